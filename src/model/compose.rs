//! `compose`: a model put together from parts by the user.
//!
//! ```
//! use lvq::Model;
//! // Relevances with cross-entropy over rank-weighted class distances: no model of the catalogue.
//! let model = Model::new("compose")?
//!     .set("metric", "relevance")?
//!     .set("cooperation", "ranks_each")?
//!     .set("objective", "cross_entropy")?
//!     .set("gamma_final", 0.05)?;
//! assert_eq!(model.row().parts().join(" > "), "relevance > ranks(each class) > cross_entropy > anneal(gamma)");
//! // Parts that make no sense together are refused with the reason, when training starts at the latest.
//! assert!(Model::new("compose")?.set("objective", "rslvq")?.check_parts().is_err());
//! # Ok::<(), lvq::Error>(())
//! ```
//!
//! Set the parts first: they decide which other hyper-parameters there are.

use super::catalogue::{
    self as c, ConstraintChoice, CooperationChoice as C, Family, KernelChoice as K,
    MetricChoice as M, ObjectiveChoice as O, Row, TensorSpec,
};
use super::parameter::{Kind, Parameter, parameter};
use crate::error::{Error, Result};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

/// The name.
pub const NAME: &str = "compose";

const METRICS: &[(&str, M)] = &[
    ("squared_euclidean", M::Pluggable),
    ("relevance", M::Relevance),
    ("omega", M::Omega),
    ("class_omega", M::ClassOmega),
    ("local_omega", M::LocalOmega),
    ("tangent", M::Tangent),
    ("bilinear", M::Bilinear),
];
const KERNELS: &[(&str, K)] =
    &[("no", K::None), ("gaussian", K::Gaussian), ("exponential", K::Exponential)];
const COOPERATIONS: &[(&str, C)] = &[
    ("winner", C::Winner),
    ("winner_pair", C::WinnerPair),
    ("class_minimum", C::ClassMinimum),
    ("posterior", C::Posterior),
    ("reasoning", C::Reasoning),
    ("ranks_own", C::RanksOwn),
    ("ranks_each", C::RanksEach),
    ("ranks_all", C::RanksAll),
    ("posterior_ranks", C::PosteriorRanks),
];
const OBJECTIVES: &[(&str, O)] = &[
    ("glvq", O::Glvq),
    ("lvq1", O::Lvq1),
    ("lvq21", O::Lvq21),
    ("cross_entropy", O::CrossEntropy),
    ("nllr", O::Nllr),
    ("rslvq", O::Rslvq),
    ("hinge", O::Hinge),
    ("one_class", O::OneClass),
    ("svq_occ", O::SvqOcc),
    ("hebbian", O::Hebbian),
    ("medoid", O::Medoid),
];

/// The hyper-parameters that name the parts.
pub const PARTS: &[Parameter] = &[
    parameter(
        "metric",
        Kind::Choice(&[
            "squared_euclidean",
            "relevance",
            "omega",
            "class_omega",
            "local_omega",
            "tangent",
            "bilinear",
        ]),
        "squared_euclidean",
        "how far a row is from a prototype; squared_euclidean may be replaced by distance_fn",
    ),
    parameter(
        "spread",
        Kind::Bool,
        "false",
        "variances of the prototypes that add to the distance",
    ),
    parameter(
        "kernel",
        Kind::Choice(&["no", "gaussian", "exponential"]),
        "no",
        "distance in a kernel's space: gaussian with learned bandwidths, exponential with bilinear",
    ),
    parameter(
        "cooperation",
        Kind::Choice(&[
            "winner",
            "winner_pair",
            "class_minimum",
            "posterior",
            "reasoning",
            "ranks_own",
            "ranks_each",
            "ranks_all",
            "posterior_ranks",
        ]),
        "winner_pair",
        "which prototypes take part",
    ),
    parameter(
        "objective",
        Kind::Choice(&[
            "glvq",
            "lvq1",
            "lvq21",
            "cross_entropy",
            "nllr",
            "rslvq",
            "hinge",
            "one_class",
            "svq_occ",
            "hebbian",
            "medoid",
        ]),
        "glvq",
        "what is minimised, or the update rule",
    ),
    parameter(
        "trace_normalise",
        Kind::Bool,
        "false",
        "scale each omega to trace d after each update",
    ),
];

/// The row that the parts among `values` make; combinations are not judged here.
pub fn row(values: &Map<String, Json>) -> &'static Row {
    let word = |key: &str, default: &'static str| -> String {
        values.get(key).and_then(Json::as_str).unwrap_or(default).to_string()
    };
    let flag = |key: &str| values.get(key).and_then(Json::as_bool).unwrap_or(false);
    let parts = (
        find(METRICS, &word("metric", "squared_euclidean")),
        find(KERNELS, &word("kernel", "no")),
        find(COOPERATIONS, &word("cooperation", "winner_pair")),
        find(OBJECTIVES, &word("objective", "glvq")),
        flag("spread"),
        flag("trace_normalise"),
    );
    // A row lives as long as the program; there are not many.
    type Parts = (M, K, C, O, bool, bool);
    static ROWS: OnceLock<Mutex<HashMap<Parts, &'static Row>>> = OnceLock::new();
    let mut rows = ROWS.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
    rows.entry(parts).or_insert_with(|| Box::leak(Box::new(build(parts))))
}

fn find<T: Copy>(list: &[(&str, T)], name: &str) -> T {
    list.iter().find(|(n, _)| *n == name).map_or(list[0].1, |(_, v)| *v)
}

/// Tensors, hyper-parameters and constraints follow from the parts.
fn build((metric, kernel, cooperation, objective, spread, trace): (M, K, C, O, bool, bool)) -> Row {
    let reasons = cooperation == C::Reasoning;
    let one_class = matches!(objective, O::OneClass | O::SvqOcc);
    let ranks = matches!(cooperation, C::RanksOwn | C::RanksEach | C::RanksAll | C::PosteriorRanks);
    let mut tensors: Vec<TensorSpec> =
        vec![if reasons { c::COMPONENTS_TENSOR } else { c::PROTOTYPES }];
    let mut parameters: Vec<&'static [Parameter]> = vec![PARTS];
    let mut constraints = Vec::new();
    parameters.extend(match (reasons, one_class) {
        (true, _) => vec![c::COMPONENTS],
        (_, true) => vec![c::ONE_CLASS, c::START],
        _ => vec![c::COUNTS, c::START],
    });
    match objective {
        O::OneClass => tensors.push(c::RADII),
        O::SvqOcc => {
            tensors.push(c::THETAS);
            constraints.push(ConstraintChoice::Clamp("thetas"));
        }
        _ => {}
    }
    if reasons {
        tensors.push(c::REASONINGS);
    }
    if spread {
        tensors.push(c::LOG_VARIANCES);
    }
    match metric {
        M::Pluggable => parameters.push(c::DISTANCE),
        M::Relevance => tensors.push(c::RELEVANCES),
        M::Omega => tensors.push(c::OMEGA),
        M::ClassOmega => tensors.push(c::CLASS_OMEGAS),
        M::LocalOmega => tensors.push(c::LOCAL_OMEGAS),
        M::Tangent => {
            tensors.push(c::BASES);
            parameters.push(c::SUBSPACE);
            constraints.push(ConstraintChoice::Polar);
        }
        M::Bilinear => {
            tensors.push(c::OMEGA_HAT);
            parameters.push(c::KERNEL_MATRIX);
        }
        M::SquaredEuclidean => {}
    }
    if matches!(metric, M::Omega | M::ClassOmega | M::LocalOmega) {
        parameters.push(c::LATENT);
        if trace {
            constraints.push(ConstraintChoice::TraceNormalise);
        }
    }
    if kernel == K::Gaussian {
        tensors.push(c::SIGMAS);
        parameters.push(c::BANDWIDTHS);
        constraints.push(ConstraintChoice::Clamp("sigmas"));
    }
    if matches!(objective, O::Glvq | O::OneClass) {
        parameters.push(c::TRANSFER);
    }
    match cooperation {
        C::WinnerPair | C::ClassMinimum if !matches!(objective, O::Hebbian | O::Medoid) => {
            parameters.push(c::TIES);
        }
        C::RanksOwn => parameters.extend([c::LR_RATIO, c::TIES]),
        C::RanksEach => parameters.push(c::POOLING),
        C::Posterior | C::PosteriorRanks if one_class => parameters.push(c::WIDTH),
        C::Posterior | C::PosteriorRanks => parameters.push(c::SOFT),
        _ => {}
    }
    match (objective, cooperation) {
        (O::Rslvq, C::Posterior) => parameters.push(c::EXACT_LOG),
        (O::Rslvq, C::PosteriorRanks) => parameters.push(c::RANK_SCOPE),
        (O::SvqOcc, _) => parameters.push(c::SVQ),
        (O::Hebbian, C::WinnerPair) => parameters.push(c::WINDOW),
        (O::Medoid, _) => parameters.push(c::ASSIGNMENT),
        _ => {}
    }
    if ranks {
        if objective == O::SvqOcc {
            constraints.push(ConstraintChoice::Anneal("lambda_ng"));
        } else {
            parameters.push(c::RANGE);
            constraints.push(ConstraintChoice::Anneal("gamma"));
        }
    }
    Row {
        name: NAME,
        family: Family::Composed,
        summary: "a model put together from parts",
        metric,
        spread,
        kernel: if reasons { K::Similarity } else { kernel },
        cooperation,
        objective,
        constraints: Vec::leak(constraints),
        tensors: Vec::leak(tensors),
        parameters: Vec::leak(parameters),
        paper: "",
    }
}

/// Refuses parts that make no sense together, with the reason. `kernel`: as asked for.
pub fn check(row: &Row, kernel: &str) -> Result<()> {
    let refuse = |what: &str, why: &str| Err(Error::parameter(what, why));
    let fits: &[&str] = match row.objective {
        O::Glvq => &["winner_pair", "ranks_own"],
        O::Lvq1 | O::Lvq21 | O::Medoid => &["winner_pair"],
        O::CrossEntropy => &["class_minimum", "ranks_each"],
        O::Nllr => &["posterior"],
        O::Rslvq => &["posterior", "posterior_ranks"],
        O::Hinge => &["reasoning"],
        O::OneClass => &["winner", "ranks_all", "posterior", "posterior_ranks"],
        O::SvqOcc => &["ranks_all"],
        O::Hebbian => &["winner", "winner_pair"],
    };
    let name = |list: &[(&'static str, C)]| {
        list.iter().find(|(_, v)| *v == row.cooperation).map_or("", |(n, _)| *n)
    };
    let cooperation = name(COOPERATIONS);
    if !fits.contains(&cooperation) {
        let objective =
            OBJECTIVES.iter().find(|(_, v)| *v == row.objective).map_or("", |(n, _)| *n);
        return refuse(
            "cooperation",
            &format!("the objective {objective} is about {}, not {cooperation}", fits.join(" or ")),
        );
    }
    let learns_metric = !matches!(row.metric, M::Pluggable | M::SquaredEuclidean);
    let rule = matches!(row.objective, O::Hebbian | O::Medoid);
    if rule && (learns_metric || row.spread || kernel != "no") {
        return refuse(
            "objective",
            "an update rule moves prototypes only: it takes metrics without tensors of their own (distance_fn), no kernel and no spread",
        );
    }
    match (row.metric == M::Bilinear, kernel == "exponential") {
        (true, false) => {
            return refuse(
                "metric",
                "bilinear is the exponent of kernel=exponential and no distance by itself",
            );
        }
        (false, true) => {
            return refuse(
                "kernel",
                "exponential takes metric=bilinear: any other exponent is no kernel",
            );
        }
        _ => {}
    }
    if kernel == "exponential" && !matches!(row.objective, O::Glvq | O::OneClass) {
        return refuse(
            "kernel",
            "exponential distances leave the range of numbers: only the ratios of glvq and one_class can be formed",
        );
    }
    if kernel == "exponential" && matches!(row.cooperation, C::Posterior | C::PosteriorRanks) {
        return refuse(
            "cooperation",
            "responsibilities of exponential distances are all or nothing: use winner or ranks_all",
        );
    }
    if kernel == "exponential" && row.spread {
        return refuse(
            "spread",
            "adds to a distance, and the exponential kernel works on its logarithm",
        );
    }
    if kernel == "gaussian" && matches!(row.objective, O::SvqOcc | O::Hinge) {
        return refuse(
            "kernel",
            "svq_occ and hinge have a response of their own to the distance: a kernel on top would respond twice",
        );
    }
    if row.metric == M::ClassOmega && row.is_one_class() {
        return refuse("metric", "one class has one map: use omega");
    }
    if row.metric == M::ClassOmega && row.cooperation == C::Reasoning {
        return refuse("metric", "components belong to no class: use omega or local_omega");
    }
    if row.spread && row.cooperation == C::Reasoning {
        return refuse(
            "spread",
            "variances start from a class's rows, and components belong to no class",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Model;

    #[test]
    fn parts_make_the_rows_of_the_catalogue() {
        for (sets, name) in [
            (vec![], "GLVQ"),
            (vec![("metric", "omega"), ("cooperation", "ranks_own")], "SMNG"),
            (vec![("metric", "relevance"), ("kernel", "gaussian")], "DKGRLVQ"),
            (vec![("metric", "bilinear"), ("kernel", "exponential")], "DKGMLVQ"),
            (vec![("cooperation", "posterior"), ("objective", "rslvq")], "RSLVQ"),
            (vec![("cooperation", "ranks_all"), ("objective", "one_class")], "OCGLVQ_NG"),
            (vec![("cooperation", "reasoning"), ("objective", "hinge")], "CBC"),
        ] {
            let model =
                sets.iter().fold(Model::new("compose").unwrap(), |m, (k, v)| m.set(k, *v).unwrap());
            model.check_parts().unwrap();
            let known = Model::new(name).unwrap();
            assert_eq!(
                model.row().parts().join(">").replace('*', ""),
                known.row().parts().join(">").replace('*', ""),
            );
            assert_eq!(model.row().tensors.len(), known.row().tensors.len());
            for t in known.row().tensors {
                assert!(model.row().tensors.contains(t), "{name}: {}", t.name);
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (sets, expected) in [
            (vec![("objective", "rslvq")], "posterior"),
            (vec![("metric", "bilinear")], "exponential"),
            (vec![("kernel", "exponential")], "bilinear"),
            (
                vec![("metric", "omega"), ("cooperation", "winner"), ("objective", "hebbian")],
                "update rule",
            ),
            (
                vec![
                    ("metric", "class_omega"),
                    ("cooperation", "winner"),
                    ("objective", "one_class"),
                ],
                "omega",
            ),
            (
                vec![
                    ("kernel", "gaussian"),
                    ("cooperation", "ranks_all"),
                    ("objective", "svq_occ"),
                ],
                "twice",
            ),
        ] {
            let model =
                sets.iter().fold(Model::new("compose").unwrap(), |m, (k, v)| m.set(k, *v).unwrap());
            let text = model.check_parts().unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
