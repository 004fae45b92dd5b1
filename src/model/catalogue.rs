//! The catalogue: every model a row of parts.
//!
//! This is the one table from which the command line's `models`, the model list of the documentation,
//! validation, serialisation and the coverage tests are read. To add a model, add its row; to add a part, write
//! the part and name it here.

use super::compose;
use super::parameter::{FINITE, Kind, NOT_NEGATIVE, POSITIVE, Parameter, UNIT, parameter};
use crate::error::{Error, Result};

/// A family of models, one specification page each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The core LVQ family.
    Lvq,
    /// Supervised neural gas.
    SupervisedNeuralGas,
    /// One-class LVQ and SVQ-OCC.
    OneClass,
    /// Differentiating kernels.
    DifferentiatingKernel,
    /// Wasserstein LVQ.
    Wasserstein,
    /// Put together by the user.
    Composed,
}

impl Family {
    /// Name for people.
    pub fn title(self) -> &'static str {
        match self {
            Family::Lvq => "learning vector quantization",
            Family::SupervisedNeuralGas => "supervised neural gas",
            Family::OneClass => "one-class learning vector quantization",
            Family::DifferentiatingKernel => "differentiating kernels",
            Family::Wasserstein => "Wasserstein learning vector quantization",
            Family::Composed => "put together by the user",
        }
    }

    /// Short key.
    pub fn key(self) -> &'static str {
        match self {
            Family::Lvq => "lvq",
            Family::SupervisedNeuralGas => "sng",
            Family::OneClass => "oc",
            Family::DifferentiatingKernel => "dk",
            Family::Wasserstein => "w2",
            Family::Composed => "compose",
        }
    }
}

/// The metric of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricChoice {
    /// Squared Euclidean unless `distance_fn` says otherwise.
    Pluggable,
    /// `|x - w|^2`
    SquaredEuclidean,
    /// `sum softmax(rho)_a (x_a - w_a)^2`
    Relevance,
    /// `|(x - w) Omega|^2`
    Omega,
    /// `|(x - w_j) Omega_c(j)|^2`
    ClassOmega,
    /// `|(x - w_j) Omega_j|^2`
    LocalOmega,
    /// `x L x - 2 x L w + w L w` in the exponential kernel
    Bilinear,
    /// `|(I - Omega_j Omega_j^T)(x - w_j)|^2`
    Tangent,
}

/// The kernel of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelChoice {
    /// None.
    None,
    /// A similarity of given width.
    Similarity,
    /// The Gaussian kernel's distance, a learned bandwidth per prototype.
    Gaussian,
    /// The exponential kernel's distance.
    Exponential,
}

/// The cooperation of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Ranks within the row's class.
    RanksOwn,
    /// Ranks within each class.
    RanksEach,
    /// Ranks among all.
    RanksAll,
    /// Gaussian responsibilities times ranks.
    PosteriorRanks,
}

/// The objective of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// The ratio against a threshold.
    OneClass,
    /// Representation and classification cost.
    SvqOcc,
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
    /// The trace of each omega is the number of features.
    TraceNormalise,
    /// The tensor stays above its floor.
    Clamp(&'static str),
    /// The ranks' range shrinks.
    Anneal(&'static str),
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
    /// Whether prototypes have variances.
    pub spread: bool,
    /// Kernel.
    pub kernel: KernelChoice,
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

const fn tensor(name: &'static str, shape: &'static str) -> TensorSpec {
    TensorSpec { name, shape }
}

pub(super) const PROTOTYPES: TensorSpec = tensor("prototypes", "p,d");
pub(super) const RELEVANCES: TensorSpec = tensor("relevances", "d");
pub(super) const OMEGA: TensorSpec = tensor("omega", "d,l");
pub(super) const LOCAL_OMEGAS: TensorSpec = tensor("omegas", "p,d,l");
pub(super) const BASES: TensorSpec = tensor("omegas", "p,d,s");
pub(super) const COMPONENTS_TENSOR: TensorSpec = tensor("components", "p,d");
pub(super) const REASONINGS: TensorSpec = tensor("reasonings", "p,C,2");
pub(super) const CLASS_OMEGAS: TensorSpec = tensor("omegas", "C,d,l");
pub(super) const OMEGA_HAT: TensorSpec = tensor("omega_hat", "d,l");
pub(super) const SIGMAS: TensorSpec = tensor("sigmas", "p");
pub(super) const RADII: TensorSpec = tensor("radii", "p");
pub(super) const THETAS: TensorSpec = tensor("thetas", "p");
pub(super) const LOG_VARIANCES: TensorSpec = tensor("log_variances", "p,d");

/// How many prototypes a class gets.
pub(super) const COUNTS: &[Parameter] = &[parameter(
    "n_prototypes_per_class",
    Kind::Counts,
    "1",
    "prototypes of each class: one count, a list by class, or a map label=count",
)];

/// How prototypes start (all models with class prototypes).
pub(super) const START: &[Parameter] = &[
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
pub(super) const DISTANCE: &[Parameter] = &[
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
pub(super) const TRANSFER: &[Parameter] = &[
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
pub(super) const LATENT: &[Parameter] = &[
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
pub(super) const SUBSPACE: &[Parameter] = &[Parameter {
    name: "subspace_dim",
    kind: Kind::Int { min: 1 },
    default: "2",
    meaning: "directions of invariance per prototype, below the number of features",
    aliases: &["tangent_dim"],
}];

/// Width of the posterior, and **RC**, its reject option.
pub(super) const SOFT: &[Parameter] = &[
    parameter("sigma", POSITIVE, "1", "width of the mixture's Gaussians"),
    parameter(
        "rejection_confidence",
        UNIT,
        "none",
        "class probability below which predict_with_rejection rejects; none: never",
    ),
];

/// RSLVQ's exact logarithm.
pub(super) const EXACT_LOG: &[Parameter] = &[parameter(
    "exact_log",
    Kind::Bool,
    "false",
    "without the constant that makes the gradient of far rows fade",
)];

/// Ties of the minima.
pub(super) const TIES: &[Parameter] = &[parameter(
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

/// **NG**: the ranks' range.
pub(super) const RANGE: &[Parameter] = &[
    parameter(
        "gamma_init",
        POSITIVE,
        "none",
        "range of the ranks at the start; none: half the largest number of prototypes in a scope",
    ),
    parameter("gamma_final", NOT_NEGATIVE, "0.01", "its floor"),
    parameter(
        "gamma_decay",
        DECAY,
        "none",
        "factor per update; none: the floor is reached with the last",
    ),
];

/// A factor in `(0, 1]`.
const DECAY: Kind = Kind::Float { min: 0.0, max: 1.0, min_included: false };

/// Gradient through the nearest wrong prototype, against the others'.
pub(super) const LR_RATIO: &[Parameter] = &[parameter(
    "lr_ratio",
    NOT_NEGATIVE,
    "0.5",
    "factor of the gradient through the nearest wrong prototype",
)];

/// The same, and a rate of its own for the class-wise maps.
const LR_RATIO_CLASS: &[Parameter] = &[
    parameter(
        "lr_ratio",
        NOT_NEGATIVE,
        "1",
        "factor of the gradient through the nearest wrong prototype",
    ),
    parameter("omega_lr", POSITIVE, "none", "learning rate of the omegas; none: that of the run"),
];

/// How classwise distances are pooled for probabilities.
pub(super) const POOLING: &[Parameter] = &[parameter(
    "pooling",
    Kind::Choice(&["min", "ng"]),
    "min",
    "probabilities from the least distance to a class, or from its rank-weighted mean as in training",
)];

/// Scope of the ranks beside responsibilities.
pub(super) const RANK_SCOPE: &[Parameter] = &[parameter(
    "rank_scope",
    Kind::Choice(&["all", "class"]),
    "all",
    "ranks among all prototypes, or within each class",
)];

/// **OC**: one class to be told from everything else.
pub(super) const ONE_CLASS: &[Parameter] = &[
    parameter("n_prototypes", Kind::Int { min: 1 }, "3", "prototypes, all of the target class"),
    parameter(
        "target_label",
        Kind::Label,
        "none",
        "the class to be told from all others; none: the most frequent",
    ),
];

/// Width of one-class responsibilities.
pub(super) const WIDTH: &[Parameter] =
    &[parameter("sigma", POSITIVE, "1", "width of the responsibilities' Gaussians")];

/// **SVQ**: costs of SVQ-OCC.
pub(super) const SVQ: &[Parameter] = &[
    parameter("alpha", UNIT, "0.5", "share of the representation; the rest is classification"),
    parameter(
        "cost_function",
        Kind::Choice(&["contrastive", "brier", "cross_entropy"]),
        "contrastive",
        "the classification cost",
    ),
    parameter(
        "response_type",
        Kind::Choice(&["gaussian", "student_t", "uniform"]),
        "gaussian",
        "how prototypes respond to a row",
    ),
    parameter("sigma", POSITIVE, "0.1", "width of the soft step at the threshold"),
    parameter("gamma_resp", POSITIVE, "1", "inverse temperature of the gaussian response"),
    parameter("nu", POSITIVE, "1", "degrees of freedom of the student_t response"),
    parameter(
        "lambda_init",
        POSITIVE,
        "none",
        "range of the ranks at the start; none: half the number of prototypes",
    ),
    parameter("lambda_final", NOT_NEGATIVE, "0.01", "its floor"),
    parameter(
        "lambda_decay",
        DECAY,
        "none",
        "factor per update; none: the floor is reached with the last",
    ),
];

/// **K**: bandwidths of the Gaussian kernel.
pub(super) const BANDWIDTHS: &[Parameter] = &[
    parameter(
        "sigma_init",
        Kind::ChoiceOrPositive(&["median", "mean"]),
        "median",
        "bandwidth at the start: of the distances to the rows of the class, or a number",
    ),
    parameter("sigma_min", POSITIVE, "0.001", "floor of the bandwidths"),
];

/// **E**: the exponential kernel's matrix.
pub(super) const KERNEL_MATRIX: &[Parameter] = &[
    parameter("omega_hat_scale", FINITE, "0.1", "scale of the matrix at the start, not 0"),
    parameter(
        "latent_dim",
        Kind::Int { min: 1 },
        "none",
        "columns of omega_hat; none: as many as features",
    ),
];

/// Classification by components.
pub(super) const COMPONENTS: &[Parameter] = &[
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
pub(super) const WINDOW: &[Parameter] = &[parameter(
    "window",
    Kind::Float { min: 0.0, max: 1.0, min_included: false },
    "none",
    "update only rows in this relative window around the midplane; none: all rows",
)];

/// Median LVQ's receptive fields.
pub(super) const ASSIGNMENT: &[Parameter] = &[parameter(
    "assignment",
    Kind::Choice(&["receptive_field", "class"]),
    "receptive_field",
    "rows a prototype answers for",
)];

use ConstraintChoice::{Anneal, Clamp, Polar, TraceNormalise};
use CooperationChoice as C;
use KernelChoice as K;
use MetricChoice as M;
use ObjectiveChoice as O;

/// A row of the core family with a pluggable metric and nothing but prototypes to learn.
const BASE: Row = Row {
    name: "",
    family: Family::Lvq,
    summary: "",
    metric: M::Pluggable,
    spread: false,
    kernel: K::None,
    cooperation: C::WinnerPair,
    objective: O::Glvq,
    constraints: &[],
    tensors: &[PROTOTYPES],
    parameters: &[COUNTS, START, DISTANCE],
    paper: "",
};

/// Supervised neural gas: GLVQ with ranks.
const SNG: Row = Row {
    family: Family::SupervisedNeuralGas,
    metric: M::SquaredEuclidean,
    cooperation: C::RanksOwn,
    constraints: &[Anneal("gamma")],
    parameters: &[COUNTS, START, TRANSFER, RANGE, LR_RATIO, TIES],
    paper: "Hammer, Strickert & Villmann 2005",
    ..BASE
};

/// Cross-entropy with ranks in each class.
const CE_NG: Row = Row {
    family: Family::SupervisedNeuralGas,
    cooperation: C::RanksEach,
    objective: O::CrossEntropy,
    constraints: &[Anneal("gamma")],
    parameters: &[COUNTS, START, RANGE, POOLING, LATENT, INFERENCE],
    paper: "Villmann et al. 2019; Hammer et al. 2003",
    ..BASE
};

/// Robust soft LVQ with ranks.
const RS_NG: Row = Row {
    family: Family::SupervisedNeuralGas,
    cooperation: C::PosteriorRanks,
    objective: O::Rslvq,
    constraints: &[Anneal("gamma")],
    parameters: &[COUNTS, START, RANGE, SOFT, RANK_SCOPE, LATENT, INFERENCE],
    paper: "Seo & Obermayer 2003; Hammer et al. 2003",
    ..BASE
};

/// One-class LVQ, winner takes all.
const OC: Row = Row {
    family: Family::OneClass,
    cooperation: C::Winner,
    objective: O::OneClass,
    tensors: &[PROTOTYPES, RADII],
    parameters: &[ONE_CLASS, START, TRANSFER],
    paper: "Sato & Yamada 1995; Staps et al. 2022",
    ..BASE
};

/// One-class LVQ with ranks.
const OC_NG: Row = Row {
    cooperation: C::RanksAll,
    constraints: &[Anneal("gamma")],
    parameters: &[ONE_CLASS, START, TRANSFER, RANGE],
    paper: "Staps et al. 2022; Martinetz, Berkovich & Schulten 1993",
    ..OC
};

/// One-class LVQ with responsibilities.
const OC_RS: Row = Row {
    cooperation: C::Posterior,
    parameters: &[ONE_CLASS, START, TRANSFER, WIDTH],
    paper: "Seo & Obermayer 2003; Staps et al. 2022",
    ..OC
};

/// One-class LVQ with responsibilities times ranks.
const OC_RS_NG: Row = Row {
    cooperation: C::PosteriorRanks,
    constraints: &[Anneal("gamma")],
    parameters: &[ONE_CLASS, START, TRANSFER, WIDTH, RANGE],
    paper: "Seo & Obermayer 2003; Hammer et al. 2003; Staps et al. 2022",
    ..OC
};

/// SVQ-OCC.
const SVQ_OCC: Row = Row {
    metric: M::SquaredEuclidean,
    cooperation: C::RanksAll,
    objective: O::SvqOcc,
    constraints: &[Clamp("thetas"), Anneal("lambda_ng")],
    tensors: &[PROTOTYPES, THETAS],
    parameters: &[ONE_CLASS, START, SVQ],
    paper: "Staps et al. 2022",
    ..OC
};

/// Gaussian kernel with learned bandwidths.
const DK: Row = Row {
    family: Family::DifferentiatingKernel,
    metric: M::SquaredEuclidean,
    kernel: K::Gaussian,
    constraints: &[Clamp("sigmas")],
    tensors: &[PROTOTYPES, SIGMAS],
    parameters: &[COUNTS, START, TRANSFER, BANDWIDTHS, TIES, INFERENCE],
    paper: "Villmann, Haase & Kaden 2015",
    ..BASE
};

/// Exponential kernel with a learned matrix.
const DKM: Row = Row {
    metric: M::Bilinear,
    kernel: K::Exponential,
    constraints: &[],
    tensors: &[PROTOTYPES, OMEGA_HAT],
    parameters: &[COUNTS, START, TRANSFER, KERNEL_MATRIX, TIES, INFERENCE],
    ..DK
};

/// The Gaussian kernel with ranks.
const DK_NG: Row = Row {
    cooperation: C::RanksOwn,
    constraints: &[Clamp("sigmas"), Anneal("gamma")],
    parameters: &[COUNTS, START, TRANSFER, BANDWIDTHS, RANGE, LR_RATIO, TIES, INFERENCE],
    paper: "Villmann, Haase & Kaden 2015; Hammer, Strickert & Villmann 2005",
    ..DK
};

/// The Gaussian kernel for one class.
const OC_DK: Row = Row {
    cooperation: C::Winner,
    objective: O::OneClass,
    tensors: &[PROTOTYPES, RADII, SIGMAS],
    parameters: &[ONE_CLASS, START, TRANSFER, BANDWIDTHS],
    paper: "Villmann, Haase & Kaden 2015; Staps et al. 2022",
    ..DK
};

/// The Gaussian kernel for one class with ranks.
const OC_DK_NG: Row = Row {
    cooperation: C::RanksAll,
    constraints: &[Clamp("sigmas"), Anneal("gamma")],
    parameters: &[ONE_CLASS, START, TRANSFER, BANDWIDTHS, RANGE],
    paper: "Villmann, Haase & Kaden 2015; Staps et al. 2022; Martinetz et al. 1993",
    ..OC_DK
};

/// Wasserstein LVQ.
const W2: Row = Row {
    family: Family::Wasserstein,
    metric: M::SquaredEuclidean,
    spread: true,
    tensors: &[PROTOTYPES, LOG_VARIANCES],
    parameters: &[COUNTS, START, TRANSFER, TIES, INFERENCE],
    paper: "Sato & Yamada 1996; Givens & Shortt 1984",
    ..BASE
};

/// All models, in the order of the specification.
pub const CATALOGUE: &[Row] = &[
    Row {
        name: "GLVQ",
        summary: "margin-maximising prototype classifier",
        parameters: &[COUNTS, START, DISTANCE, TRANSFER, TIES],
        paper: "Sato & Yamada 1995",
        ..BASE
    },
    Row {
        name: "GLVQ1",
        summary: "gradient descent on LVQ1's cost",
        objective: O::Lvq1,
        parameters: &[COUNTS, START, DISTANCE, TIES],
        paper: "Kohonen 1990",
        ..BASE
    },
    Row {
        name: "GLVQ21",
        summary: "gradient descent on LVQ2.1's cost (unbounded below)",
        objective: O::Lvq21,
        parameters: &[COUNTS, START, DISTANCE, TIES],
        paper: "Kohonen 1990",
        ..BASE
    },
    Row {
        name: "CELVQ",
        summary: "cross-entropy over classwise minimum distances",
        cooperation: C::ClassMinimum,
        objective: O::CrossEntropy,
        parameters: &[COUNTS, START, DISTANCE, TIES],
        paper: "Villmann et al. 2019",
        ..BASE
    },
    Row {
        name: "SLVQ",
        summary: "soft LVQ: likelihood ratio of a Gaussian mixture",
        cooperation: C::Posterior,
        objective: O::Nllr,
        parameters: &[COUNTS, START, DISTANCE, SOFT],
        paper: "Seo & Obermayer 2003",
        ..BASE
    },
    Row {
        name: "RSLVQ",
        summary: "robust soft LVQ: posterior of the right class",
        cooperation: C::Posterior,
        objective: O::Rslvq,
        parameters: &[COUNTS, START, DISTANCE, SOFT, EXACT_LOG],
        paper: "Seo & Obermayer 2003",
        ..BASE
    },
    Row {
        name: "GRLVQ",
        summary: "GLVQ with one learned weight per feature",
        metric: M::Relevance,
        tensors: &[PROTOTYPES, RELEVANCES],
        parameters: &[COUNTS, START, TRANSFER, TIES, INFERENCE],
        paper: "Hammer & Villmann 2002",
        ..BASE
    },
    Row {
        name: "GMLVQ",
        summary: "GLVQ with a learned linear map",
        metric: M::Omega,
        tensors: &[PROTOTYPES, OMEGA],
        parameters: &[COUNTS, START, TRANSFER, LATENT, TIES, INFERENCE],
        paper: "Schneider, Biehl & Hammer 2009",
        ..BASE
    },
    Row {
        name: "LGMLVQ",
        summary: "GLVQ with a learned linear map per prototype",
        metric: M::LocalOmega,
        tensors: &[PROTOTYPES, LOCAL_OMEGAS],
        parameters: &[COUNTS, START, TRANSFER, LATENT, TIES, INFERENCE],
        paper: "Schneider, Biehl & Hammer 2009",
        ..BASE
    },
    Row {
        name: "GTLVQ",
        summary: "distance orthogonal to a learned subspace per prototype",
        metric: M::Tangent,
        constraints: &[Polar],
        tensors: &[PROTOTYPES, BASES],
        parameters: &[COUNTS, START, TRANSFER, SUBSPACE, TIES, INFERENCE],
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
        parameters: &[COUNTS, START, SOFT, EXACT_LOG, LATENT, INFERENCE],
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
        parameters: &[COUNTS, START, SOFT, EXACT_LOG, LATENT, INFERENCE],
        paper: "Schneider, Biehl & Hammer 2009",
        ..BASE
    },
    Row {
        name: "CBC",
        summary: "classification by components: detections and reasoning",
        kernel: K::Similarity,
        cooperation: C::Reasoning,
        objective: O::Hinge,
        tensors: &[COMPONENTS_TENSOR, REASONINGS],
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
        parameters: &[COUNTS, START, DISTANCE, WINDOW],
        paper: "Kohonen 1990",
        ..BASE
    },
    Row {
        name: "MedianLVQ",
        summary: "prototypes are rows of the data",
        objective: O::Medoid,
        parameters: &[COUNTS, START, DISTANCE, ASSIGNMENT],
        paper: "Nebel, Hammer, Frohberg & Villmann 2015",
        ..BASE
    },
    Row { name: "SNG", summary: "GLVQ in which all prototypes of the class learn, by rank", ..SNG },
    Row {
        name: "SRNG",
        summary: "supervised neural gas with one learned weight per feature",
        metric: M::Relevance,
        tensors: &[PROTOTYPES, RELEVANCES],
        parameters: &[COUNTS, START, TRANSFER, RANGE, LR_RATIO, TIES, INFERENCE],
        ..SNG
    },
    Row {
        name: "SMNG",
        summary: "supervised neural gas with a learned linear map",
        metric: M::Omega,
        tensors: &[PROTOTYPES, OMEGA],
        parameters: &[COUNTS, START, TRANSFER, RANGE, LR_RATIO, LATENT, TIES, INFERENCE],
        paper: "Hammer et al. 2005; Schneider, Biehl & Hammer 2009",
        ..SNG
    },
    Row {
        name: "SCMNG",
        summary: "supervised neural gas with a learned linear map per class",
        metric: M::ClassOmega,
        tensors: &[PROTOTYPES, CLASS_OMEGAS],
        parameters: &[COUNTS, START, TRANSFER, RANGE, LR_RATIO_CLASS, LATENT, TIES, INFERENCE],
        paper: "Hammer et al. 2005; Schneider, Biehl & Hammer 2009",
        ..SNG
    },
    Row {
        name: "SLNG",
        summary: "supervised neural gas with a learned linear map per prototype",
        metric: M::LocalOmega,
        tensors: &[PROTOTYPES, LOCAL_OMEGAS],
        parameters: &[COUNTS, START, TRANSFER, RANGE, LR_RATIO, LATENT, TIES, INFERENCE],
        paper: "Hammer et al. 2005; Schneider, Biehl & Hammer 2009",
        ..SNG
    },
    Row {
        name: "STNG",
        summary: "supervised neural gas with a tangent subspace per prototype",
        metric: M::Tangent,
        constraints: &[Polar, Anneal("gamma")],
        tensors: &[PROTOTYPES, BASES],
        parameters: &[COUNTS, START, TRANSFER, RANGE, LR_RATIO, SUBSPACE, TIES, INFERENCE],
        paper: "Hammer et al. 2005; Saralajew & Villmann 2016",
        ..SNG
    },
    Row {
        name: "CELVQ_NG",
        summary: "cross-entropy over rank-weighted class distances",
        parameters: &[COUNTS, START, DISTANCE, RANGE, POOLING],
        ..CE_NG
    },
    Row {
        name: "MCELVQ_NG",
        summary: "the same with a learned linear map",
        metric: M::Omega,
        tensors: &[PROTOTYPES, OMEGA],
        ..CE_NG
    },
    Row {
        name: "LCELVQ_NG",
        summary: "the same with a learned linear map per prototype",
        metric: M::LocalOmega,
        tensors: &[PROTOTYPES, LOCAL_OMEGAS],
        ..CE_NG
    },
    Row {
        name: "TCELVQ_NG",
        summary: "the same with a tangent subspace per prototype",
        metric: M::Tangent,
        constraints: &[Polar, Anneal("gamma")],
        tensors: &[PROTOTYPES, BASES],
        parameters: &[COUNTS, START, RANGE, POOLING, SUBSPACE, INFERENCE],
        ..CE_NG
    },
    Row {
        name: "RSLVQ_NG",
        summary: "robust soft LVQ with responsibilities times ranks",
        parameters: &[COUNTS, START, DISTANCE, RANGE, SOFT, RANK_SCOPE],
        ..RS_NG
    },
    Row {
        name: "MRSLVQ_NG",
        summary: "the same with a learned linear map",
        metric: M::Omega,
        tensors: &[PROTOTYPES, OMEGA],
        ..RS_NG
    },
    Row {
        name: "LMRSLVQ_NG",
        summary: "the same with a learned linear map per prototype",
        metric: M::LocalOmega,
        tensors: &[PROTOTYPES, LOCAL_OMEGAS],
        ..RS_NG
    },
    Row {
        name: "OCGLVQ",
        summary: "one class against a threshold per prototype",
        constraints: &[],
        tensors: &[PROTOTYPES, RADII],
        parameters: &[ONE_CLASS, START, DISTANCE, TRANSFER],
        ..OC
    },
    Row {
        name: "OCGRLVQ",
        summary: "one class against a threshold per prototype with one learned weight per feature",
        metric: M::Relevance,
        constraints: &[],
        tensors: &[PROTOTYPES, RADII, RELEVANCES],
        parameters: &[ONE_CLASS, START, TRANSFER],
        ..OC
    },
    Row {
        name: "OCGMLVQ",
        summary: "one class against a threshold per prototype with a learned linear map",
        metric: M::Omega,
        constraints: &[TraceNormalise],
        tensors: &[PROTOTYPES, RADII, OMEGA],
        parameters: &[ONE_CLASS, START, TRANSFER, LATENT],
        ..OC
    },
    Row {
        name: "OCLGMLVQ",
        summary: "one class against a threshold per prototype with a learned linear map per prototype",
        metric: M::LocalOmega,
        constraints: &[TraceNormalise],
        tensors: &[PROTOTYPES, RADII, LOCAL_OMEGAS],
        parameters: &[ONE_CLASS, START, TRANSFER, LATENT],
        ..OC
    },
    Row {
        name: "OCGTLVQ",
        summary: "one class against a threshold per prototype with a tangent subspace per prototype",
        metric: M::Tangent,
        constraints: &[Polar],
        tensors: &[PROTOTYPES, RADII, BASES],
        parameters: &[ONE_CLASS, START, TRANSFER, SUBSPACE],
        ..OC
    },
    Row {
        name: "OCGLVQ_NG",
        summary: "one class, all prototypes by rank",
        constraints: &[Anneal("gamma")],
        tensors: &[PROTOTYPES, RADII],
        parameters: &[ONE_CLASS, START, DISTANCE, TRANSFER, RANGE],
        ..OC_NG
    },
    Row {
        name: "OCGRLVQ_NG",
        summary: "one class, all prototypes by rank with one learned weight per feature",
        metric: M::Relevance,
        constraints: &[Anneal("gamma")],
        tensors: &[PROTOTYPES, RADII, RELEVANCES],
        parameters: &[ONE_CLASS, START, TRANSFER, RANGE],
        ..OC_NG
    },
    Row {
        name: "OCGMLVQ_NG",
        summary: "one class, all prototypes by rank with a learned linear map",
        metric: M::Omega,
        constraints: &[TraceNormalise, Anneal("gamma")],
        tensors: &[PROTOTYPES, RADII, OMEGA],
        parameters: &[ONE_CLASS, START, TRANSFER, RANGE, LATENT],
        ..OC_NG
    },
    Row {
        name: "OCLGMLVQ_NG",
        summary: "one class, all prototypes by rank with a learned linear map per prototype",
        metric: M::LocalOmega,
        constraints: &[TraceNormalise, Anneal("gamma")],
        tensors: &[PROTOTYPES, RADII, LOCAL_OMEGAS],
        parameters: &[ONE_CLASS, START, TRANSFER, RANGE, LATENT],
        ..OC_NG
    },
    Row {
        name: "OCGTLVQ_NG",
        summary: "one class, all prototypes by rank with a tangent subspace per prototype",
        metric: M::Tangent,
        constraints: &[Polar, Anneal("gamma")],
        tensors: &[PROTOTYPES, RADII, BASES],
        parameters: &[ONE_CLASS, START, TRANSFER, RANGE, SUBSPACE],
        ..OC_NG
    },
    Row {
        name: "OCRSLVQ",
        summary: "one class, all prototypes by responsibility",
        constraints: &[],
        tensors: &[PROTOTYPES, RADII],
        parameters: &[ONE_CLASS, START, DISTANCE, TRANSFER, WIDTH],
        ..OC_RS
    },
    Row {
        name: "OCMRSLVQ",
        summary: "one class, all prototypes by responsibility with a learned linear map",
        metric: M::Omega,
        constraints: &[],
        tensors: &[PROTOTYPES, RADII, OMEGA],
        parameters: &[ONE_CLASS, START, TRANSFER, WIDTH, LATENT],
        ..OC_RS
    },
    Row {
        name: "OCLMRSLVQ",
        summary: "one class, all prototypes by responsibility with a learned linear map per prototype",
        metric: M::LocalOmega,
        constraints: &[],
        tensors: &[PROTOTYPES, RADII, LOCAL_OMEGAS],
        parameters: &[ONE_CLASS, START, TRANSFER, WIDTH, LATENT],
        ..OC_RS
    },
    Row {
        name: "OCRSLVQ_NG",
        summary: "one class, responsibilities times ranks",
        constraints: &[Anneal("gamma")],
        tensors: &[PROTOTYPES, RADII],
        parameters: &[ONE_CLASS, START, DISTANCE, TRANSFER, WIDTH, RANGE],
        ..OC_RS_NG
    },
    Row {
        name: "OCMRSLVQ_NG",
        summary: "one class, responsibilities times ranks with a learned linear map",
        metric: M::Omega,
        constraints: &[Anneal("gamma")],
        tensors: &[PROTOTYPES, RADII, OMEGA],
        parameters: &[ONE_CLASS, START, TRANSFER, WIDTH, RANGE, LATENT],
        ..OC_RS_NG
    },
    Row {
        name: "OCLMRSLVQ_NG",
        summary: "one class, responsibilities times ranks with a learned linear map per prototype",
        metric: M::LocalOmega,
        constraints: &[Anneal("gamma")],
        tensors: &[PROTOTYPES, RADII, LOCAL_OMEGAS],
        parameters: &[ONE_CLASS, START, TRANSFER, WIDTH, RANGE, LATENT],
        ..OC_RS_NG
    },
    Row { name: "SVQOCC", summary: "representation and classification of one class", ..SVQ_OCC },
    Row {
        name: "SVQOCC_R",
        summary: "representation and classification of one class with one learned weight per feature",
        metric: M::Relevance,
        constraints: &[Clamp("thetas"), Anneal("lambda_ng")],
        tensors: &[PROTOTYPES, THETAS, RELEVANCES],
        parameters: &[ONE_CLASS, START, SVQ],
        ..SVQ_OCC
    },
    Row {
        name: "SVQOCC_M",
        summary: "representation and classification of one class with a learned linear map",
        metric: M::Omega,
        constraints: &[Clamp("thetas"), Anneal("lambda_ng")],
        tensors: &[PROTOTYPES, THETAS, OMEGA],
        parameters: &[ONE_CLASS, START, SVQ, LATENT],
        ..SVQ_OCC
    },
    Row {
        name: "SVQOCC_LM",
        summary: "representation and classification of one class with a learned linear map per prototype",
        metric: M::LocalOmega,
        constraints: &[Clamp("thetas"), Anneal("lambda_ng")],
        tensors: &[PROTOTYPES, THETAS, LOCAL_OMEGAS],
        parameters: &[ONE_CLASS, START, SVQ, LATENT],
        ..SVQ_OCC
    },
    Row {
        name: "SVQOCC_T",
        summary: "representation and classification of one class with a tangent subspace per prototype",
        metric: M::Tangent,
        constraints: &[Polar, Clamp("thetas"), Anneal("lambda_ng")],
        tensors: &[PROTOTYPES, THETAS, BASES],
        parameters: &[ONE_CLASS, START, SVQ, SUBSPACE],
        ..SVQ_OCC
    },
    Row {
        name: "DKGLVQ",
        summary: "GLVQ in the Gaussian kernel's space, a bandwidth per prototype",
        ..DK
    },
    Row {
        name: "DKGRLVQ",
        summary: "the same with one learned weight per feature",
        metric: M::Relevance,
        tensors: &[PROTOTYPES, SIGMAS, RELEVANCES],
        ..DK
    },
    Row {
        name: "DKGMLVQ",
        summary: "GLVQ in the exponential kernel's space with a learned matrix",
        ..DKM
    },
    Row {
        name: "DKGLVQ_NG",
        summary: "DKGLVQ in which all prototypes of the class learn, by rank",
        ..DK_NG
    },
    Row {
        name: "DKGRLVQ_NG",
        summary: "the same with one learned weight per feature",
        metric: M::Relevance,
        tensors: &[PROTOTYPES, SIGMAS, RELEVANCES],
        ..DK_NG
    },
    Row {
        name: "DKGMLVQ_NG",
        summary: "DKGMLVQ in which all prototypes of the class learn, by rank",
        cooperation: C::RanksOwn,
        constraints: &[Anneal("gamma")],
        parameters: &[COUNTS, START, TRANSFER, KERNEL_MATRIX, RANGE, LR_RATIO, TIES, INFERENCE],
        paper: DK_NG.paper,
        ..DKM
    },
    Row { name: "OCDKGLVQ", summary: "one class in the Gaussian kernel's space", ..OC_DK },
    Row {
        name: "OCDKGRLVQ",
        summary: "the same with one learned weight per feature",
        metric: M::Relevance,
        tensors: &[PROTOTYPES, RADII, SIGMAS, RELEVANCES],
        ..OC_DK
    },
    Row {
        name: "OCDKGMLVQ",
        summary: "one class in the exponential kernel's space with a learned matrix",
        cooperation: C::Winner,
        objective: O::OneClass,
        tensors: &[PROTOTYPES, RADII, OMEGA_HAT],
        parameters: &[ONE_CLASS, START, TRANSFER, KERNEL_MATRIX],
        paper: OC_DK.paper,
        ..DKM
    },
    Row {
        name: "OCDKGLVQ_NG",
        summary: "one class in the Gaussian kernel's space, all prototypes by rank",
        ..OC_DK_NG
    },
    Row {
        name: "OCDKGRLVQ_NG",
        summary: "the same with one learned weight per feature",
        metric: M::Relevance,
        tensors: &[PROTOTYPES, RADII, SIGMAS, RELEVANCES],
        ..OC_DK_NG
    },
    Row {
        name: "OCDKGMLVQ_NG",
        summary: "one class in the exponential kernel's space, all prototypes by rank",
        cooperation: C::RanksAll,
        objective: O::OneClass,
        constraints: &[Anneal("gamma")],
        tensors: &[PROTOTYPES, RADII, OMEGA_HAT],
        parameters: &[ONE_CLASS, START, TRANSFER, KERNEL_MATRIX, RANGE],
        paper: OC_DK_NG.paper,
        ..DKM
    },
    Row { name: "WGLVQ", summary: "prototypes are Gaussians with learned variances", ..W2 },
    Row {
        name: "WGMLVQ",
        summary: "the same with a learned linear map of the means",
        metric: M::Omega,
        tensors: &[PROTOTYPES, LOG_VARIANCES, OMEGA],
        parameters: &[COUNTS, START, TRANSFER, LATENT, TIES, INFERENCE],
        ..W2
    },
    Row {
        name: "WGRLVQ",
        summary: "the same with one learned weight per feature",
        metric: M::Relevance,
        tensors: &[PROTOTYPES, LOG_VARIANCES, RELEVANCES],
        ..W2
    },
];

/// The row of that name; case, `_` and `-` do not matter.
pub fn find(name: &str) -> Result<&'static Row> {
    let fold = |s: &str| s.to_lowercase().replace(['_', '-'], "");
    if fold(name) == compose::NAME {
        return Ok(compose::row(&Default::default()));
    }
    CATALOGUE.iter().find(|r| fold(r.name) == fold(name)).ok_or_else(|| {
        let names = CATALOGUE.iter().map(|r| r.name).chain([compose::NAME]);
        let names: Vec<&str> = names.collect();
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
        matches!(self.cooperation, C::Posterior | C::PosteriorRanks) && !self.is_one_class()
    }

    /// Whether the row tells one class from everything else.
    pub fn is_one_class(&self) -> bool {
        matches!(self.objective, O::OneClass | O::SvqOcc)
    }

    /// The tensor of the ranks' range, if there are ranks.
    pub fn range(&self) -> Option<&'static str> {
        self.constraints.iter().find_map(|c| match c {
            Anneal(name) => Some(*name),
            _ => None,
        })
    }

    /// The parts by name, in the order of the composition.
    pub fn parts(&self) -> Vec<String> {
        let metric = match self.metric {
            M::Pluggable => "squared_euclidean*",
            M::SquaredEuclidean => "squared_euclidean",
            M::Relevance => "relevance",
            M::Omega => "omega",
            M::ClassOmega => "class_omega",
            M::LocalOmega => "local_omega",
            M::Tangent => "tangent",
            M::Bilinear => "bilinear",
        };
        let mut parts = vec![match self.spread {
            true => format!("{metric} + spread"),
            false => metric.to_string(),
        }];
        match self.kernel {
            K::None => {}
            K::Similarity | K::Gaussian => parts.push("gaussian".into()),
            K::Exponential => parts.push("exponential".into()),
        }
        let cooperation = match self.cooperation {
            C::Winner => "winner",
            C::WinnerPair => "winner_pair",
            C::ClassMinimum => "class_minimum",
            C::Posterior => "posterior",
            C::Reasoning => "reasoning",
            C::RanksOwn => "ranks(own class)",
            C::RanksEach => "ranks(each class)",
            C::RanksAll if self.objective == O::SvqOcc => "ranks(all) + response",
            C::RanksAll => "ranks(all)",
            C::PosteriorRanks => "posterior x ranks(all)",
        };
        let objective = match self.objective {
            O::Glvq => "glvq",
            O::Lvq1 => "lvq1",
            O::Lvq21 => "lvq21",
            O::CrossEntropy => "cross_entropy",
            O::Nllr => "nllr",
            O::Rslvq => "rslvq",
            O::Hinge => "hinge",
            O::OneClass => "one_class",
            O::SvqOcc => "svq_occ",
            O::Hebbian => "hebbian",
            O::Medoid => "medoid",
        };
        parts.extend([cooperation, objective].map(String::from));
        parts.extend(self.constraints.iter().map(|c| match c {
            Polar => "polar".to_string(),
            TraceNormalise => "trace_normalise".to_string(),
            Clamp(name) => format!("clamp({name})"),
            Anneal(name) => format!("anneal({name})"),
        }));
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
