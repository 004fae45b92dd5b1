//! What works and will disappoint: said at the start, and when training has ended.

use crate::backend::{Backend, Question};
use crate::data::{Dataset, Features, Label};
use crate::error::Result;
use crate::model::Model;
use crate::model::catalogue::{KernelChoice, ObjectiveChoice};
use crate::model::start::Start;
use crate::parts::composition::{Composition, Cooperation, Precision};
use crate::parts::tensor::Tensors;

/// Rows that are looked at.
const LOOK: usize = 2048;

/// What a start makes likely. `classes`: the labels that `codes` are of.
pub(super) fn at_start(
    model: &Model,
    composition: &Composition,
    start: &Start,
    data: &Dataset,
    (codes, classes): (&[u32], &[Label]),
    centre: &[f64],
    (backend, precision): (&dyn Backend, Precision),
) -> Result<Vec<String>> {
    let mut said = Vec::new();
    let row = model.row();
    if row.is_one_class() && codes.iter().all(|c| *c == start.target) {
        said.push(format!(
            "all rows are of the target class, {}: without an outlier the thresholds grow as long as training goes on",
            classes[start.target as usize]
        ));
    }
    if let (Some(sigmas), Some(floor)) = (start.tensors.get("sigmas"), model.float("sigma_min"))
        && model.float("sigma_init").is_none()
    {
        for (j, _) in sigmas.data.iter().enumerate().filter(|(_, s)| **s <= floor) {
            said.push(format!(
                "prototype {j} of class {} lies on the rows of its class: its bandwidth starts at sigma_min and it sees nothing else; set sigma_init",
                classes[start.prototype_labels[j] as usize]
            ));
        }
    }
    let width = centre.len();
    let points = start.tensors.values(model.prototypes());
    let labels = &start.prototype_labels;
    let twins = (1..labels.len()).find_map(|j| {
        let same = |i: usize| {
            labels[i] == labels[j] && points[i * width..][..width] == points[j * width..][..width]
        };
        (0..j).find(|i| same(*i)).map(|i| (i, j))
    });
    if let Some((i, j)) = twins {
        said.push(format!(
            "prototypes {i} and {j} of class {} start at the same place: the first takes the rows until they part",
            classes[labels[j] as usize]
        ));
    }
    let soft_ranks = matches!(composition.cooperation, Cooperation::PosteriorRanks { .. });
    if let (true, Some(a)) = (soft_ranks && !row.is_one_class(), composition.anneal)
        && a.floor < 0.1
    {
        said.push(format!(
            "gamma_final={}: near 0 the nearest prototype takes all, and the gradient vanishes with it",
            a.floor
        ));
    }
    // Decided already: every kernel at its end, or one prototype responsible for all of a row.
    let soft = match composition.cooperation {
        Cooperation::PosteriorRanks { sigma, within_class } => Some((sigma, within_class)),
        _ => None,
    };
    if row.kernel != KernelChoice::Gaussian && soft.is_none() {
        return Ok(said);
    }
    let n = data.features.rows();
    let rows: Vec<usize> = (0..n).step_by(n.div_ceil(LOOK)).collect();
    let features: Features = data.features.select(&rows);
    let question = Question {
        composition,
        classes: classes.len(),
        target: start.target,
        prototype_labels: &start.prototype_labels,
        centre,
        tensors: &start.tensors,
        precision,
    };
    let distances = backend.predictor(question)?.distances(&features)?;
    let share = |decided: &dyn Fn(&[f64]) -> bool| {
        let count = distances.rows().into_iter().filter(|d| decided(&d.to_vec())).count();
        100.0 * count as f64 / rows.len() as f64
    };
    if row.kernel == KernelChoice::Gaussian {
        // 2 - 2 exp(-u) is 2 in single precision from u = 17.33 on.
        let end = 2.0 - 2.0 * (-17.33f64).exp();
        let far = share(&|d| d.iter().all(|d| *d >= end));
        if far > 50.0 {
            said.push(format!(
                "{far:.0} % of the rows are farther than 5.9 bandwidths from every prototype and learn nothing: raise sigma_init or scale the data"
            ));
        }
    }
    if let Some((sigma, within_class)) = soft {
        let range = row.range().map_or(1.0, |r| start.tensors.values(r)[0]);
        let labels = &start.prototype_labels;
        let decided = share(&|d| {
            let log_weight = |j: usize| {
                let before =
                    |k: usize| (d[k], k) < (d[j], j) && (!within_class || labels[k] == labels[j]);
                let rank = (0..d.len()).filter(|k| before(*k)).count();
                -d[j] / (2.0 * sigma * sigma) - rank as f64 / range
            };
            let weights: Vec<f64> = (0..d.len()).map(log_weight).collect();
            let most = weights.iter().copied().fold(f64::MIN, f64::max);
            1.0 / weights.iter().map(|w| (w - most).exp()).sum::<f64>() > 1.0 - 1e-6
        });
        if decided > 50.0 && labels.len() > 1 {
            said.push(format!(
                "one prototype is responsible for all of {decided:.0} % of the rows, which learn nothing: raise sigma or scale the data"
            ));
        }
    }
    Ok(said)
}

/// What the trained tensors show.
pub(super) fn at_end(model: &Model, tensors: &Tensors<f64>) -> Vec<String> {
    let mut said = Vec::new();
    let row = model.row();
    // No distance in a Gaussian kernel's space exceeds 2.
    if row.kernel == KernelChoice::Gaussian
        && let Some(radii) = tensors.get("radii")
    {
        let all: Vec<String> = radii
            .data
            .iter()
            .enumerate()
            .filter(|(_, r)| **r * **r >= 2.0)
            .map(|(j, _)| j.to_string())
            .collect();
        if !all.is_empty() {
            said.push(format!(
                "the thresholds of prototypes {} have passed 2, the largest distance there is: they accept every row",
                all.join(", ")
            ));
        }
    }
    let matrices = ["omega", "omegas"].iter().find_map(|name| tensors.get(name));
    if let (ObjectiveChoice::SvqOcc, Some(t)) = (row.objective, matrices)
        && let [.., d, l] = t.shape[..]
    {
        let shrunk =
            t.data.chunks(d * l).any(|m| m.iter().map(|v| v * v).sum::<f64>() < 1e-6 * d as f64);
        if shrunk {
            said.push(format!(
                "{} has shrunk to nothing: the representation is cheapest there, and everything is accepted; lower alpha",
                t.name
            ));
        }
    }
    said
}
