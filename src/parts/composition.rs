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
use super::kernel::Map;
use super::metric::Operand;
use super::metric::custom::Shared;
use super::objective::svq_occ::{Cost, Response};
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
    /// `|(x - w_j) Omega_c(j)|^2`, one map per class
    ClassOmega,
    /// `|(x - w_j) Omega_j|^2`
    LocalOmega,
    /// `|(I - Omega_j Omega_j^T)(x - w_j)|^2`
    Tangent,
    /// `x L x - 2 x L w + w L w` in the exponential kernel, with `L = Omega_hat Omega_hat^T`
    Bilinear,
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
            MetricName::ClassOmega => "class_omega",
            MetricName::LocalOmega => "local_omega",
            MetricName::Tangent => "tangent",
            MetricName::Bilinear => "bilinear",
            MetricName::Cosine => "cosine",
            MetricName::Custom => "custom",
        }
    }

    /// Whether the distance depends on `x - w` alone, so that both may be centred.
    pub fn is_translation_invariant(self) -> bool {
        !matches!(self, MetricName::Bilinear | MetricName::Cosine | MetricName::Custom)
    }

    /// The metric's own tensor, if it has one.
    pub fn own_tensor(self) -> Option<&'static str> {
        match self {
            MetricName::Relevance => Some("relevances"),
            MetricName::Omega => Some("omega"),
            MetricName::ClassOmega | MetricName::LocalOmega | MetricName::Tangent => Some("omegas"),
            MetricName::Bilinear => Some("omega_hat"),
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
    /// The distance `2 (1 - exp(-D / (2 sigma_j^2)))` with a learned bandwidth per prototype.
    Bandwidth {
        /// Floor of the bandwidths.
        sigma_min: f64,
    },
    /// The distance of the exponential kernel, `exp(x L x) + exp(w L w) - 2 exp(x L w)`.
    Exponential,
    /// The similarity `1 - D` of a dissimilarity in `[0, 1]`.
    Complement,
    /// The similarity `exp(-exp(-rank / lambda) D)`, rank 0 = nearest.
    RankScaledGaussian {
        /// Range of the ranks.
        lambda: f64,
    },
}

impl Kernel {
    /// What the metric's keys stand for.
    pub fn map(self) -> Map {
        match self {
            Kernel::Bandwidth { .. } => Map::Gaussian,
            Kernel::Exponential => Map::Log,
            _ => Map::Identity,
        }
    }
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
    /// All of the row's own class, weighted by rank, against the nearest of all others.
    RanksOwn {
        /// Exact ties of the nearest other.
        ties: Ties,
    },
    /// All, weighted by rank within their class.
    RanksEach,
    /// All, weighted by rank.
    RanksAll,
    /// All, weighted by responsibility times rank weight.
    PosteriorRanks {
        /// Width of the mixture's components.
        sigma: f64,
        /// Ranks within the class in place of ranks among all.
        within_class: bool,
    },
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
        /// Factor of the gradient through the nearest other prototype (with ranks).
        lr_ratio: f64,
    },
    /// The GLVQ ratio against a learned threshold per prototype.
    OneClass {
        /// The transfer function f.
        transfer: Transfer,
        /// Added before f.
        margin: f64,
        /// Steepness of the score.
        beta: f64,
    },
    /// Representation and classification cost of SVQ-OCC.
    SvqOcc {
        /// Share of the representation.
        alpha: f64,
        /// The classification cost.
        cost: Cost,
        /// The response.
        response: Response,
        /// Width of the soft step at the threshold.
        sigma: f64,
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

    /// Whether there is one class to be told from everything else, with a threshold per prototype.
    pub fn is_one_class(&self) -> bool {
        self.thresholds().is_some()
    }

    /// The tensor of the thresholds, and whether it holds their roots.
    pub fn thresholds(&self) -> Option<(&'static str, bool)> {
        match self {
            Objective::OneClass { .. } => Some(("radii", true)),
            Objective::SvqOcc { .. } => Some(("thetas", false)),
            _ => None,
        }
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
    /// Whether prototypes have variances that add to the distance (Wasserstein).
    pub spread: bool,
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
    /// The range of the ranks, if there are any.
    pub anneal: Option<Anneal>,
}

/// A range that shrinks from update to update: schedule state, not a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anneal {
    /// Its tensor, a scalar: `gamma` or `lambda_ng`.
    pub tensor: &'static str,
    /// Factor per update; none: so that the floor is reached with the last.
    pub decay: Option<f64>,
    /// Its floor.
    pub floor: f64,
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
    /// The same with TF32: the range of single precision with the 10 bits after the point of half precision.
    Tf32,
}

impl Precision {
    /// The names, in the order of the variants.
    pub const NAMES: [&str; 5] = ["f32", "f64", "bf16", "f16", "tf32"];

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
            Precision::Tf32 => Operand::Tf32,
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
            "tf32" => Ok(Precision::Tf32),
            _ => Err(Error::unknown("precision", s, &Self::NAMES)),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
