//! The catalogue: every model a row of parts.
//!
//! This is the one table from which the command line's `models`, the model list of the documentation,
//! validation, serialisation and the coverage tests are read. To add a model, add its row; to add a part, write
//! the part and name it here.

use super::parameter::{FINITE, Kind, NOT_NEGATIVE, POSITIVE, Parameter, UNIT};
use crate::error::{Error, Result};

/// A family of models, one specification page each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The core LVQ family.
    Lvq,
}

impl Family {
    /// Name for people.
    pub fn title(self) -> &'static str {
        match self {
            Family::Lvq => "learning vector quantization",
        }
    }

    /// Short key.
    pub fn key(self) -> &'static str {
        match self {
            Family::Lvq => "lvq",
        }
    }
}

/// The metric of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricChoice {
    /// Squared Euclidean unless `distance_fn` says otherwise.
    Pluggable,
    /// `sum softmax(rho)_a (x_a - w_a)^2`
    Relevance,
    /// `|(x - w) Omega|^2`
    Omega,
    /// `|(x - w_j) Omega_j|^2`
    LocalOmega,
    /// `|(I - Omega_j Omega_j^T)(x - w_j)|^2`
    Tangent,
}

/// The cooperation of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CooperationChoice {
    /// The nearest prototype.
    Winner,
    /// Nearest right and nearest wrong prototype.
    WinnerPair,
    /// Nearest prototype of each class.
    ClassMinimum,
    /// Gaussian responsibilities.
    Posterior,
    /// Classification by components.
    Reasoning,
}

/// The objective of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectiveChoice {
    /// Relative distance difference with transfer and margin.
    Glvq,
    /// LVQ1's cost.
    Lvq1,
    /// LVQ2.1's cost.
    Lvq21,
    /// Cross-entropy over classwise minima.
    CrossEntropy,
    /// Negative log likelihood ratio.
    Nllr,
    /// Robust soft LVQ.
    Rslvq,
    /// Margin loss on class scores.
    Hinge,
    /// LVQ1 / LVQ2.1 moves, no gradient.
    Hebbian,
    /// Median LVQ, no gradient.
    Medoid,
}

/// The constraint of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstraintChoice {
    /// Orthonormal bases: the polar factor of each.
    Polar,
}

/// A learnable tensor of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in files, start tensors and `freeze_params`.
    pub name: &'static str,
    /// Shape in the letters of the specification: n prototypes p, features d, latent l, subspace s, classes C.
    pub shape: &'static str,
}

/// One model.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name as in the literature.
    pub name: &'static str,
    /// Family.
    pub family: Family,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// Metric.
    pub metric: MetricChoice,
    /// Cooperation.
    pub cooperation: CooperationChoice,
    /// Objective or update rule.
    pub objective: ObjectiveChoice,
    /// Constraints after each update.
    pub constraints: &'static [ConstraintChoice],
    /// Learnable tensors, prototypes first.
    pub tensors: &'static [TensorSpec],
    /// Groups of hyper-parameters.
    pub parameters: &'static [&'static [Parameter]],
    /// Whom to cite.
    pub paper: &'static str,
}

const fn parameter(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Parameter {
    Parameter { name, kind, default, meaning, aliases: &[] }
}

const fn tensor(name: &'static str, shape: &'static str) -> TensorSpec {
    TensorSpec { name, shape }
}

const PROTOTYPES: TensorSpec = tensor("prototypes", "p,d");
const RELEVANCES: TensorSpec = tensor("relevances", "d");
const OMEGA: TensorSpec = tensor("omega", "d,l");
const LOCAL_OMEGAS: TensorSpec = tensor("omegas", "p,d,l");
const BASES: TensorSpec = tensor("omegas", "p,d,s");

/// How prototypes start (all models with class prototypes).
const START: &[Parameter] = &[
    parameter(
        "n_prototypes_per_class",
        Kind::Counts,
        "1",
        "prototypes of each class: one count, a list by class, or a map label=count",
    ),
    parameter(
        "prototypes_initializer",
        Kind::Choice(crate::parts::initialiser::NAMES),
        "stratified_random",
        "where prototypes start",
    ),
    parameter(
        "noise_std",
        NOT_NEGATIVE,
        "0.1",
        "stratified_noise: standard deviation of the noise",
    ),
    parameter("jitter", NOT_NEGATIVE, "0", "class means: standard deviation added to each copy"),
    parameter("init_mean", FINITE, "0", "random_normal: mean"),
    parameter("init_std", NOT_NEGATIVE, "1", "random_normal: standard deviation"),
    parameter("init_low", FINITE, "0", "uniform: lower end"),
    parameter("init_high", FINITE, "1", "uniform: upper end"),
    parameter("init_value", FINITE, "0", "fill_value: the value"),
];

/// `distance_fn` of the models whose metric is an option.
const DISTANCE: &[Parameter] = &[
    parameter(
        "distance_fn",
        Kind::Choice(DISTANCES),
        "squared_euclidean",
        "the metric; omega, local_omega and tangent take their matrices as start tensors and keep them",
    ),
    parameter(
        "p",
        Kind::Float { min: 1.0, max: f64::INFINITY, min_included: true },
        "2",
        "exponent of distance_fn lp",
    ),
];

/// The metrics by which `distance_fn` may be called.
pub const DISTANCES: &[&str] = &[
    "squared_euclidean",
    "euclidean",
    "manhattan",
    "lp",
    "chebyshev",
    "omega",
    "local_omega",
    "tangent",
];

/// **T**: the transfer function of the GLVQ ratio.
const TRANSFER: &[Parameter] = &[
    parameter(
        "transfer_fn",
        Kind::Choice(&["identity", "sigmoid_beta", "swish_beta"]),
        "identity",
        "shapes the relative distance difference",
    ),
    parameter("beta", POSITIVE, "10", "steepness of sigmoid_beta and swish_beta"),
    parameter("margin", FINITE, "0", "added before the transfer function"),
];

/// **L**: the latent dimension of a linear map.
const LATENT: &[Parameter] = &[
    parameter(
        "latent_dim",
        Kind::Int { min: 1 },
        "none",
        "columns of omega; none: as many as features",
    ),
    parameter(
        "omega_initializer",
        Kind::Choice(&["identity", "random", "pca"]),
        "identity",
        "where omega starts: ones on the diagonal, random orthonormal columns, or principal axes",
    ),
    parameter(
        "normalize_omega",
        Kind::Bool,
        "false",
        "scale each omega to sum of squares 1 after each update",
    ),
];

/// **S**: the subspace dimension of a tangent basis.
const SUBSPACE: &[Parameter] = &[Parameter {
    name: "subspace_dim",
    kind: Kind::Int { min: 1 },
    default: "2",
    meaning: "directions of invariance per prototype, below the number of features",
    aliases: &["tangent_dim"],
}];

/// Width of the posterior, and **RC**, its reject option.
const SOFT: &[Parameter] = &[
    parameter("sigma", POSITIVE, "1", "width of the mixture's Gaussians"),
    parameter(
        "rejection_confidence",
        UNIT,
        "none",
        "class probability below which predict_with_rejection rejects; none: never",
    ),
];

/// RSLVQ's exact logarithm.
const EXACT_LOG: &[Parameter] = &[parameter(
    "exact_log",
    Kind::Bool,
    "false",
    "without the constant that makes the gradient of far rows fade",
)];

/// Ties of the minima.
const TIES: &[Parameter] = &[parameter(
    "ties",
    Kind::Choice(&["first", "even"]),
    "first",
    "who learns when prototypes are at exactly the same distance",
)];

/// In which metric probabilities and confidence are computed.
const INFERENCE: &[Parameter] = &[parameter(
    "inference_metric",
    Kind::Choice(&["learned", "euclidean"]),
    "learned",
    "metric of probabilities, confidence and win ratios (compatibility)",
)];

/// Classification by components.
const COMPONENTS: &[Parameter] = &[
    parameter("n_components", Kind::Int { min: 1 }, "5", "components, shared by all classes"),
    Parameter {
        name: "n_classes",
        kind: Kind::Int { min: 2 },
        default: "none",
        meaning: "must equal the number of labels in y; none: taken from y",
        aliases: &["num_classes"],
    },
    parameter("sigma", POSITIVE, "1", "width of the detection"),
    parameter(
        "margin",
        NOT_NEGATIVE,
        "0.3",
        "wanted gap between the right and the best wrong score",
    ),
    parameter(
        "components_initializer",
        Kind::Choice(&[
            "random",
            "mean",
            "random_normal",
            "uniform",
            "zeros",
            "ones",
            "fill_value",
        ]),
        "random",
        "where components start: distinct rows of X, its mean, or made values",
    ),
    parameter("init_mean", FINITE, "0", "random_normal: mean"),
    parameter("init_std", NOT_NEGATIVE, "1", "random_normal: standard deviation"),
    parameter("init_low", FINITE, "0", "uniform: lower end"),
    parameter("init_high", FINITE, "1", "uniform: upper end"),
    parameter("init_value", FINITE, "0", "fill_value: the value"),
    parameter(
        "reasonings_initializer",
        Kind::Choice(&["random", "pure_positive"]),
        "random",
        "where reasonings start: 0.5 with a little noise, or component i for class i mod C",
    ),
    parameter(
        "similarity_fn",
        Kind::Choice(&["gaussian", "rank_scaled_gaussian", "cosine"]),
        "gaussian",
        "detection: from distance, or max(0, cosine of the angle to the component)",
    ),
    parameter("lambd", POSITIVE, "1", "range of rank_scaled_gaussian"),
    parameter(
        "clip_reasonings",
        Kind::Bool,
        "false",
        "project reasonings to [0, 1] after each update",
    ),
];

/// LVQ2.1's window.
const WINDOW: &[Parameter] = &[parameter(
    "window",
    Kind::Float { min: 0.0, max: 1.0, min_included: false },
    "none",
    "update only rows in this relative window around the midplane; none: all rows",
)];

/// Median LVQ's receptive fields.
const ASSIGNMENT: &[Parameter] = &[parameter(
    "assignment",
    Kind::Choice(&["receptive_field", "class"]),
    "receptive_field",
    "rows a prototype answers for",
)];

use ConstraintChoice::Polar;
use CooperationChoice as C;
use MetricChoice as M;
use ObjectiveChoice as O;

/// A row of the core family with a pluggable metric and nothing but prototypes to learn.
const BASE: Row = Row {
    name: "",
    family: Family::Lvq,
    summary: "",
    metric: M::Pluggable,
    cooperation: C::WinnerPair,
    objective: O::Glvq,
    constraints: &[],
    tensors: &[PROTOTYPES],
    parameters: &[START, DISTANCE],
    paper: "",
};

/// All models, in the order of the specification.
pub const CATALOGUE: &[Row] = &[
    Row {
        name: "GLVQ",
        summary: "margin-maximising prototype classifier",
        parameters: &[START, DISTANCE, TRANSFER, TIES],
        paper: "Sato & Yamada 1995",
        ..BASE
    },
    Row {
        name: "GLVQ1",
        summary: "gradient descent on LVQ1's cost",
        objective: O::Lvq1,
        parameters: &[START, DISTANCE, TIES],
        paper: "Kohonen 1990",
        ..BASE
    },
    Row {
        name: "GLVQ21",
        summary: "gradient descent on LVQ2.1's cost (unbounded below)",
        objective: O::Lvq21,
        parameters: &[START, DISTANCE, TIES],
        paper: "Kohonen 1990",
        ..BASE
    },
    Row {
        name: "CELVQ",
        summary: "cross-entropy over classwise minimum distances",
        cooperation: C::ClassMinimum,
        objective: O::CrossEntropy,
        parameters: &[START, DISTANCE, TIES],
        paper: "Villmann et al. 2019",
        ..BASE
    },
    Row {
        name: "SLVQ",
        summary: "soft LVQ: likelihood ratio of a Gaussian mixture",
        cooperation: C::Posterior,
        objective: O::Nllr,
        parameters: &[START, DISTANCE, SOFT],
        paper: "Seo & Obermayer 2003",
        ..BASE
    },
    Row {
        name: "RSLVQ",
        summary: "robust soft LVQ: posterior of the right class",
        cooperation: C::Posterior,
        objective: O::Rslvq,
        parameters: &[START, DISTANCE, SOFT, EXACT_LOG],
        paper: "Seo & Obermayer 2003",
        ..BASE
    },
    Row {
        name: "GRLVQ",
        summary: "GLVQ with one learned weight per feature",
        metric: M::Relevance,
        tensors: &[PROTOTYPES, RELEVANCES],
        parameters: &[START, TRANSFER, TIES, INFERENCE],
        paper: "Hammer & Villmann 2002",
        ..BASE
    },
    Row {
        name: "GMLVQ",
        summary: "GLVQ with a learned linear map",
        metric: M::Omega,
        tensors: &[PROTOTYPES, OMEGA],
        parameters: &[START, TRANSFER, LATENT, TIES, INFERENCE],
        paper: "Schneider, Biehl & Hammer 2009",
        ..BASE
    },
    Row {
        name: "LGMLVQ",
        summary: "GLVQ with a learned linear map per prototype",
        metric: M::LocalOmega,
        tensors: &[PROTOTYPES, LOCAL_OMEGAS],
        parameters: &[START, TRANSFER, LATENT, TIES, INFERENCE],
        paper: "Schneider, Biehl & Hammer 2009",
        ..BASE
    },
    Row {
        name: "GTLVQ",
        summary: "distance orthogonal to a learned subspace per prototype",
        metric: M::Tangent,
        constraints: &[Polar],
        tensors: &[PROTOTYPES, BASES],
        parameters: &[START, TRANSFER, SUBSPACE, TIES, INFERENCE],
        paper: "Saralajew & Villmann 2016",
        ..BASE
    },
    Row {
        name: "MRSLVQ",
        summary: "robust soft LVQ with a learned linear map",
        metric: M::Omega,
        cooperation: C::Posterior,
        objective: O::Rslvq,
        tensors: &[PROTOTYPES, OMEGA],
        parameters: &[START, SOFT, EXACT_LOG, LATENT, INFERENCE],
        paper: "Schneider, Biehl & Hammer 2009",
        ..BASE
    },
    Row {
        name: "LMRSLVQ",
        summary: "robust soft LVQ with a learned linear map per prototype",
        metric: M::LocalOmega,
        cooperation: C::Posterior,
        objective: O::Rslvq,
        tensors: &[PROTOTYPES, LOCAL_OMEGAS],
        parameters: &[START, SOFT, EXACT_LOG, LATENT, INFERENCE],
        paper: "Schneider, Biehl & Hammer 2009",
        ..BASE
    },
    Row {
        name: "CBC",
        summary: "classification by components: detections and reasoning",
        cooperation: C::Reasoning,
        objective: O::Hinge,
        tensors: &[tensor("components", "p,d"), tensor("reasonings", "p,C,2")],
        parameters: &[COMPONENTS, DISTANCE],
        paper: "Saralajew, Holdijk, Rees, Asan & Villmann 2019",
        ..BASE
    },
    Row {
        name: "LVQ1",
        summary: "the winner moves towards its rows or away from them (batch form)",
        cooperation: C::Winner,
        objective: O::Hebbian,
        paper: "Kohonen 1990",
        ..BASE
    },
    Row {
        name: "LVQ21",
        summary: "nearest right and nearest wrong prototype move (batch form)",
        objective: O::Hebbian,
        parameters: &[START, DISTANCE, WINDOW],
        paper: "Kohonen 1990",
        ..BASE
    },
    Row {
        name: "MedianLVQ",
        summary: "prototypes are rows of the data",
        objective: O::Medoid,
        parameters: &[START, DISTANCE, ASSIGNMENT],
        paper: "Nebel, Hammer, Frohberg & Villmann 2015",
        ..BASE
    },
];

/// The row of that name; case, `_` and `-` do not matter.
pub fn find(name: &str) -> Result<&'static Row> {
    let fold = |s: &str| s.to_lowercase().replace(['_', '-'], "");
    CATALOGUE.iter().find(|r| fold(r.name) == fold(name)).ok_or_else(|| {
        let names: Vec<&str> = CATALOGUE.iter().map(|r| r.name).collect();
        Error::unknown("model", name, &names)
    })
}

impl Row {
    /// All hyper-parameters of the row, in order.
    pub fn all_parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters.iter().flat_map(|group| group.iter())
    }

    /// Whether the row is trained by a rule and not by a gradient.
    pub fn is_rule(&self) -> bool {
        matches!(self.objective, O::Hebbian | O::Medoid)
    }

    /// Whether the reject option works on class probabilities (the soft models) and not on the relative distance.
    pub fn is_soft(&self) -> bool {
        self.cooperation == C::Posterior
    }

    /// The parts by name, in the order of the composition.
    pub fn parts(&self) -> Vec<&'static str> {
        let mut parts = vec![match self.metric {
            M::Pluggable => "squared_euclidean*",
            M::Relevance => "relevance",
            M::Omega => "omega",
            M::LocalOmega => "local_omega",
            M::Tangent => "tangent",
        }];
        if self.cooperation == C::Reasoning {
            parts.push("gaussian");
        }
        parts.push(match self.cooperation {
            C::Winner => "winner",
            C::WinnerPair => "winner_pair",
            C::ClassMinimum => "class_minimum",
            C::Posterior => "posterior",
            C::Reasoning => "reasoning",
        });
        parts.push(match self.objective {
            O::Glvq => "glvq",
            O::Lvq1 => "lvq1",
            O::Lvq21 => "lvq21",
            O::CrossEntropy => "cross_entropy",
            O::Nllr => "nllr",
            O::Rslvq => "rslvq",
            O::Hinge => "hinge",
            O::Hebbian => "hebbian",
            O::Medoid => "medoid",
        });
        parts.extend(self.constraints.iter().map(|Polar| "polar"));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        for name in ["GMLVQ", "gmlvq", "G-MLVQ", "g_mlvq"] {
            assert_eq!(find(name).unwrap().name, "GMLVQ");
        }
        let error = find("GMLQV").unwrap_err().to_string();
        assert!(error.contains("did you mean 'GMLVQ'"), "{error}");
    }

    #[test]
    fn names_and_parameters_are_distinct() {
        for (i, row) in CATALOGUE.iter().enumerate() {
            assert!(CATALOGUE[..i].iter().all(|r| r.name != row.name), "{}", row.name);
            let names: Vec<_> = row.all_parameters().map(|p| p.name).collect();
            for (j, name) in names.iter().enumerate() {
                assert!(!names[..j].contains(name), "{}: {name}", row.name);
            }
        }
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for row in CATALOGUE {
            for p in row.all_parameters() {
                p.check(&super::super::parameter::from_text(p.default))
                    .unwrap_or_else(|e| panic!("{} {e}", row.name));
            }
        }
    }
}
