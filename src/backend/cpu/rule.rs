//! The models with an update rule on the CPU: LVQ1, LVQ2.1, Median LVQ.
//!
//! Rows are looked at block by block; sums are in double precision and added in the order of the blocks.

use super::block::{BlockRows, Plan, Ready, Workspace};
use crate::backend::Samples;
use crate::parts::composition::{Assignment, Cooperation, MetricName, Objective};
use crate::parts::objective::EPS;
use crate::parts::real::Real;
use crate::parts::rule::{hebbian, medoid};
use crate::parts::tensor::Tensors;
use rayon::prelude::*;

/// Nearest prototypes of one row, with exact distances.
#[derive(Clone, Copy, Default)]
struct Nearest {
    /// Nearest of all and its distance.
    winner: (usize, f64),
    /// Nearest of the row's class.
    plus: Option<(usize, f64)>,
    /// Nearest of the other classes.
    minus: Option<(usize, f64)>,
}

impl Nearest {
    fn d_plus(&self) -> f64 {
        self.plus.map_or(f64::MAX, |p| p.1)
    }

    fn d_minus(&self) -> f64 {
        self.minus.map_or(f64::MAX, |m| m.1)
    }

    /// `(d+ - d-)/(d+ + d- + eps)`
    fn mu(&self) -> f64 {
        match (self.plus, self.minus) {
            (Some((_, p)), Some((_, m))) => (p - m) / (p + m + EPS),
            (Some(_), None) => -1.0,
            _ => 1.0,
        }
    }

    /// The row's share of the recorded loss.
    fn loss(&self, cooperation: Cooperation, objective: &Objective) -> f64 {
        match (objective, cooperation) {
            (Objective::Medoid { .. }, _) => self.mu(),
            (_, Cooperation::Winner) => self.winner.1,
            _ => self.d_plus() - self.d_minus(),
        }
    }
}

fn nearest<T: Real>(plan: &Plan<T>, ready: &Ready<T>, samples: Samples<'_>) -> Vec<Nearest> {
    let n = samples.features.rows();
    let mut all = vec![Nearest::default(); n];
    let p = plan.p;
    all.par_chunks_mut(plan.rows).enumerate().for_each_init(
        || plan.workspace(),
        |ws, (i, out)| {
            let start = i * plan.rows;
            let rows = BlockRows {
                features: samples.features,
                codes: samples.codes,
                indices: None,
                turned: None,
                start,
                end: start + out.len(),
            };
            let ws: &mut Workspace<T> = ws;
            plan.forward(ready, rows, ws);
            for (k, out) in out.iter_mut().enumerate() {
                let class = samples.codes[start + k];
                let (plus, minus) = plan.runs.winner_pair(&ws.d[k * p..][..p], class);
                let mut exact = |j: Option<usize>| {
                    j.map(|j| (j, ready.metric.exact(&ws.x, k, j, &mut ws.scratch).f64()))
                };
                let (plus, minus) = (exact(plus), exact(minus));
                // The nearest of all is one of the two; equal distances go to the lower index.
                let winner = match (plus, minus) {
                    (Some(a), Some(b)) if (b.1, b.0) < (a.1, a.0) => b,
                    (Some(a), _) => a,
                    (None, b) => b.unwrap_or_default(),
                };
                *out = Nearest { winner, plus, minus };
            }
        },
    );
    all
}

fn weight(weights: Option<&[f64]>, i: usize) -> f64 {
    weights.map_or(1.0, |w| w[i])
}

fn mean_loss<T: Real>(plan: &Plan<T>, all: &[Nearest], weights: Option<&[f64]>) -> f64 {
    let (cooperation, objective) = (plan.composition.cooperation, &plan.composition.objective);
    let sum: f64 = all
        .iter()
        .enumerate()
        .map(|(i, near)| weight(weights, i) * near.loss(cooperation, objective))
        .sum();
    sum / all.len() as f64
}

/// The loss that an iteration would record at these tensors.
pub(super) fn loss<T: Real>(
    plan: &Plan<T>,
    tensors: &Tensors<T>,
    samples: Samples<'_>,
    weights: Option<&[f64]>,
) -> f64 {
    let ready = plan.ready(tensors, &|_| false);
    mean_loss(plan, &nearest(plan, &ready, samples), weights)
}

/// Each row's share of it.
pub(super) fn row_losses<T: Real>(
    plan: &Plan<T>,
    tensors: &Tensors<T>,
    samples: Samples<'_>,
) -> Vec<f64> {
    let ready = plan.ready(tensors, &|_| false);
    let (cooperation, objective) = (plan.composition.cooperation, &plan.composition.objective);
    nearest(plan, &ready, samples).iter().map(|n| n.loss(cooperation, objective)).collect()
}

/// One iteration: the loss before it, and the prototypes after it.
pub(super) fn step<T: Real>(
    plan: &Plan<T>,
    tensors: &Tensors<T>,
    samples: Samples<'_>,
    weights: Option<&[f64]>,
    rate: f64,
) -> (f64, Vec<T>) {
    let ready = plan.ready(tensors, &|_| false);
    let all = nearest(plan, &ready, samples);
    let loss = mean_loss(plan, &all, weights);
    let old: Vec<f64> =
        tensors.values(plan.composition.prototypes).iter().map(|v| v.f64()).collect();
    let new = match plan.composition.objective {
        Objective::Medoid { assignment } => {
            medoids(plan, tensors, &all, samples, weights, assignment, old)
        }
        Objective::Hebbian { window } => hebbian(plan, &all, samples, weights, window, rate, old),
        _ => old,
    };
    (loss, new.into_iter().map(T::of).collect())
}

fn hebbian<T: Real>(
    plan: &Plan<T>,
    all: &[Nearest],
    samples: Samples<'_>,
    weights: Option<&[f64]>,
    window: Option<f64>,
    rate: f64,
    mut prototypes: Vec<f64>,
) -> Vec<f64> {
    let winner_only = plan.composition.cooperation == Cooperation::Winner;
    // The window is on unsquared distances; metrics that are roots or sums already are taken as they are.
    let squared = matches!(
        plan.composition.metric,
        MetricName::SquaredEuclidean
            | MetricName::Omega
            | MetricName::LocalOmega
            | MetricName::Tangent
    );
    let size = 16 * plan.rows;
    let parts: Vec<hebbian::Sums> = all
        .par_chunks(size)
        .enumerate()
        .map(|(i, chunk)| {
            let mut sums = hebbian::Sums::new(plan.p, plan.d);
            let mut x = vec![0.0; plan.d];
            for (k, near) in chunk.iter().enumerate() {
                let row = i * size + k;
                let w = weight(weights, row);
                if w == 0.0 {
                    continue;
                }
                samples.features.row_into(row, &mut x);
                if winner_only {
                    let right = plan.prototype_labels[near.winner.0] == samples.codes[row];
                    sums.add(near.winner.0, if right { 1.0 } else { -1.0 }, w, &x);
                    continue;
                }
                if let Some(v) = window {
                    let square = |d: f64| if squared { d } else { d * d };
                    if !hebbian::in_window(square(near.d_plus()), square(near.d_minus()), v) {
                        continue;
                    }
                }
                if let Some((j, _)) = near.plus {
                    sums.add(j, 1.0, w, &x);
                }
                if let Some((j, _)) = near.minus {
                    sums.add(j, -1.0, w, &x);
                }
            }
            sums
        })
        .collect();
    let mut total = hebbian::Sums::new(plan.p, plan.d);
    parts.iter().for_each(|part| total.merge(part));
    total.apply(&mut prototypes, rate);
    prototypes
}

fn medoids<T: Real>(
    plan: &Plan<T>,
    tensors: &Tensors<T>,
    all: &[Nearest],
    samples: Samples<'_>,
    weights: Option<&[f64]>,
    assignment: Assignment,
    mut prototypes: Vec<f64>,
) -> Vec<f64> {
    let d = plan.d;
    let centred = |i: usize, out: &mut [f64]| {
        samples.features.row_into(i, out);
        out.iter_mut().zip(plan.centre()).for_each(|(v, c)| *v -= c);
    };
    let chosen: Vec<Option<usize>> = (0..plan.p)
        .into_par_iter()
        .map(|j| {
            let class = plan.prototype_labels[j];
            // A row of weight 0 is not there.
            let candidates: Vec<usize> = (0..all.len())
                .filter(|&i| samples.codes[i] == class && weight(weights, i) > 0.0)
                .collect();
            let members: Vec<(usize, f64)> = candidates
                .iter()
                .filter(|&&i| {
                    assignment == Assignment::Class || all[i].plus.is_some_and(|(w, _)| w == j)
                })
                .map(|&i| (i, medoid::weight(all[i].mu()) * weight(weights, i)))
                .collect();
            if members.is_empty() {
                return None;
            }
            if plan.composition.metric == MetricName::SquaredEuclidean {
                return medoid::best_squared(&candidates, &members, d, &centred);
            }
            best_by_metric(plan, samples, &candidates, &members, own_matrix(plan, tensors, j))
        })
        .collect();
    for (w, row) in prototypes.chunks_exact_mut(d).zip(chosen) {
        if let Some(row) = row {
            samples.features.row_into(row, w);
        }
    }
    prototypes
}

/// The matrix of the metric that prototype j uses; empty if the metric has none.
fn own_matrix<'t, T: Real>(plan: &Plan<T>, tensors: &'t Tensors<T>, j: usize) -> &'t [T] {
    let own = plan.composition.metric.own_tensor().and_then(|name| tensors.get(name));
    match own {
        Some(t) if t.shape.len() == 3 => {
            let size = t.data.len() / plan.p;
            &t.data[j * size..][..size]
        }
        Some(t) => &t.data,
        None => &[],
    }
}

/// The medoid in another metric: candidates stand in for the prototype one after another, with its matrix `own`.
fn best_by_metric<T: Real>(
    plan: &Plan<T>,
    samples: Samples<'_>,
    candidates: &[usize],
    members: &[(usize, f64)],
    own: &[T],
) -> Option<usize> {
    let rows: Vec<u32> = members.iter().map(|(i, _)| *i as u32).collect();
    let mut best: Option<(f64, usize)> = None;
    let mut ws = plan.workspace();
    for &b in candidates {
        let ready = plan.ready_at(samples.features, b, own);
        let mut score = 0.0;
        for start in (0..rows.len()).step_by(plan.rows) {
            let end = (start + plan.rows).min(rows.len());
            let block = BlockRows {
                features: samples.features,
                codes: samples.codes,
                indices: Some(&rows),
                turned: None,
                start,
                end,
            };
            let ws: &mut Workspace<T> = &mut ws;
            plan.load(block, ws);
            ws.d.resize(end - start, T::zero());
            ready.forward(&ws.x, &mut ws.d, &mut ws.scratch);
            for k in 0..end - start {
                let exact = ready.exact(&ws.x, k, 0, &mut ws.scratch);
                score += members[start + k].1 * exact.f64();
            }
        }
        if best.is_none_or(|(least, _)| score < least) {
            best = Some((score, b));
        }
    }
    best.map(|(_, b)| b)
}
