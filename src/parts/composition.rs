//! The composition: which parts a model is made of, with their settings resolved to numbers.
//!
//! ```text
//! X --embedding--> Z --metric--> D --kernel--> K --cooperation + objective--> L
//! ```
//!
//! A backend is given a [`Composition`], never a model's name. Every family of the catalogue is a value of
//! this type: supervised neural gas and the one-class models are further [`Cooperation`]s and [`Objective`]s on
//! the same metrics, differentiating kernels a [`Kernel`] behind the metric, Wasserstein models a decorated
//! metric, manifold models a metric applied to `Log_w(x)`, deep models an [`Embedding`] in front.

use super::constraint::Constraint;
use super::metric::Operand;
use super::metric::custom::Shared;
use super::objective::transfer::Transfer;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What is done to the rows (and, for Siamese models, the prototypes) before the metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Embedding {
    /// Nothing.
    #[default]
    Identity,
}

/// The metric by name, with its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricName {
    /// `|x - w|^2`
    SquaredEuclidean,
    /// `|x - w|`
    Euclidean,
    /// `sum |x_a - w_a|`
    Manhattan,
    /// `(sum |x_a - w_a|^p)^(1/p)`, `1 < p < inf`
    Lp(f64),
    /// `max |x_a - w_a|`
    Chebyshev,
    /// `sum softmax(rho)_a (x_a - w_a)^2`
    Relevance,
    /// `|(x - w) Omega|^2`
    Omega,
    /// `|(x - w_j) Omega_j|^2`
    LocalOmega,
    /// `|(I - Omega_j Omega_j^T)(x - w_j)|^2`
    Tangent,
    /// `1 - max(0, cos(x, w))`
    Cosine,
    /// The user's own: [`Composition::user_metric`].
    Custom,
}

impl MetricName {
    /// Name as in the catalogue.
    pub fn name(self) -> &'static str {
        match self {
            MetricName::SquaredEuclidean => "squared_euclidean",
            MetricName::Euclidean => "euclidean",
            MetricName::Manhattan => "manhattan",
            MetricName::Lp(_) => "lp",
            MetricName::Chebyshev => "chebyshev",
            MetricName::Relevance => "relevance",
            MetricName::Omega => "omega",
            MetricName::LocalOmega => "local_omega",
            MetricName::Tangent => "tangent",
            MetricName::Cosine => "cosine",
            MetricName::Custom => "custom",
        }
    }

    /// Whether the distance depends on `x - w` alone, so that both may be centred.
    pub fn is_translation_invariant(self) -> bool {
        !matches!(self, MetricName::Cosine | MetricName::Custom)
    }

    /// The metric's own tensor, if it has one.
    pub fn own_tensor(self) -> Option<&'static str> {
        match self {
            MetricName::Relevance => Some("relevances"),
            MetricName::Omega => Some("omega"),
            MetricName::LocalOmega | MetricName::Tangent => Some("omegas"),
            _ => None,
        }
    }
}

/// What is done to distances before the objective sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Kernel {
    /// Nothing.
    #[default]
    None,
    /// The similarity `exp(-D / (2 sigma^2))`, one given width.
    Gaussian {
        /// Width.
        sigma: f64,
    },
    /// The similarity `1 - D` of a dissimilarity in `[0, 1]`.
    Complement,
    /// The similarity `exp(-exp(-rank / lambda) D)`, rank 0 = nearest.
    RankScaledGaussian {
        /// Range of the ranks.
        lambda: f64,
    },
}

/// Who gets the subgradient of a minimum that several prototypes attain exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ties {
    /// The lowest index takes all.
    #[default]
    First,
    /// All share equally.
    Even,
}

/// Which prototypes take part in a row's loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cooperation {
    /// The nearest prototype.
    Winner,
    /// The nearest of the row's own class and the nearest of all others.
    WinnerPair {
        /// Exact ties.
        ties: Ties,
    },
    /// The nearest of each class.
    ClassMinimum {
        /// Exact ties.
        ties: Ties,
    },
    /// All, weighted by `softmax(-D / (2 sigma^2))`.
    Posterior {
        /// Width of the mixture's components.
        sigma: f64,
    },
    /// All, through positive and negative reasoning about each class.
    Reasoning,
}

/// What is minimised, or the update rule of the models without a gradient.
#[derive(Clone, Debug, PartialEq)]
pub enum Objective {
    /// `f((d+ - d-)/(d+ + d-) + margin)`
    Glvq {
        /// The transfer function f.
        transfer: Transfer,
        /// Added before f.
        margin: f64,
    },
    /// `d+` where right, `-d-` where wrong.
    Lvq1,
    /// `d+ - d-`
    Lvq21,
    /// Cross-entropy of `softmax(-classwise minimum)`.
    CrossEntropy,
    /// Negative log ratio of right to wrong class likelihood.
    Nllr,
    /// Negative log of the right class's posterior.
    Rslvq {
        /// Without the `eps` that makes far rows fade.
        exact_log: bool,
    },
    /// Margin loss on class scores.
    Hinge {
        /// Wanted distance between the right score and the best wrong one.
        margin: f64,
    },
    /// LVQ1, LVQ2.1: prototypes move towards and away from the rows they win.
    Hebbian {
        /// LVQ2.1's window; none: every row counts.
        window: Option<f64>,
    },
    /// Median LVQ: prototypes are rows.
    Medoid {
        /// Which rows a prototype answers for.
        assignment: Assignment,
    },
}

impl Objective {
    /// Whether the model is trained by a rule and not by a gradient.
    pub fn is_rule(&self) -> bool {
        matches!(self, Objective::Hebbian { .. } | Objective::Medoid { .. })
    }
}

/// Which rows of its class a medoid is chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assignment {
    /// Those nearer to it than to any other prototype of the class.
    #[default]
    ReceptiveField,
    /// All (the reference's rule: all prototypes of a class become one row).
    Class,
}

/// A model as the backends see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Composition {
    /// Before the metric.
    pub embedding: Embedding,
    /// The metric.
    pub metric: MetricName,
    /// The metric itself, if it is the user's own.
    pub user_metric: Option<Shared>,
    /// After the metric.
    pub kernel: Kernel,
    /// Who takes part.
    pub cooperation: Cooperation,
    /// What for.
    pub objective: Objective,
    /// What is restored after each update.
    pub constraints: Vec<Constraint>,
    /// The tensor that plays the prototypes: `prototypes` or `components`.
    pub prototypes: &'static str,
}

/// Precision of data, products and parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    F32,
    /// Double precision throughout.
    F64,
    /// Rows and other operands of distance products in bfloat16, everything else in single precision.
    Bf16,
    /// The same with IEEE half precision and a scaled loss.
    F16,
}

impl Precision {
    /// The names, in the order of the variants.
    pub const NAMES: [&str; 4] = ["f32", "f64", "bf16", "f16"];

    /// The name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// How operands of distance products are rounded.
    pub fn operand(self) -> Operand {
        match self {
            Precision::F32 | Precision::F64 => Operand::Full,
            Precision::Bf16 => Operand::Bf16,
            Precision::F16 => Operand::F16,
        }
    }
}

impl std::str::FromStr for Precision {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s.to_ascii_lowercase().as_str() {
            "f32" | "float32" => Ok(Precision::F32),
            "f64" | "float64" => Ok(Precision::F64),
            "bf16" | "bfloat16" => Ok(Precision::Bf16),
            "f16" | "float16" => Ok(Precision::F16),
            _ => Err(Error::unknown("precision", s, &Self::NAMES)),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
