//! Posteriors of a block's rows, and what losses make of them.

use super::{Found, Partial, Rows};
use crate::backend::cpu::block::Workspace;
use crate::backend::cpu::lanes::{Slopes, SoftSums};
use crate::parts::cooperation::posterior::posterior;
use crate::parts::cooperation::ranks::{ranks, ranks_within};
use crate::parts::objective::{nllr, rslvq};
use crate::parts::real::Real;

impl<T: Real> Rows<'_, T> {
    /// Losses and slopes of posteriors without the block's distances, where the backend has a way of its own for the metric; their sums as well, where
    /// it goes over rows at once.
    pub(super) fn soft_without_distances(
        &self,
        sigma: f64,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) -> Found {
        let (Some(soft), Some(packed)) = (self.plan.soft, &self.ready.packed) else {
            return Found::Nothing;
        };
        let b = self.rows.len();
        ws.losses.resize(b, T::zero());
        let losses = &mut ws.losses[..];
        if let Some((rows, packed)) = self.taken(&ws.x, &mut ws.indices) {
            let sums = out.metric.first_mut().filter(|_| self.pass.gradient).map(|h| &mut h[..]);
            let out = SoftSums { factors: self.factors, losses, sums };
            packed.step_of_posteriors(rows, &mut ws.lanes, soft, sigma, out);
            return Found::AtOnce;
        }
        self.classes(&mut ws.indices);
        ws.g.resize(b * self.plan.p, T::zero());
        let width = self.ready.metric.project_block(&ws.x, &mut ws.scratch);
        let rows = self.labelled((&ws.x, &ws.scratch.kept, width), &ws.indices);
        let out = Slopes { factors: self.factors, losses, g: &mut ws.g };
        packed.posteriors(&rows, &mut ws.lanes, soft, sigma, out);
        Found::Results
    }

    /// The same from the block's distances.
    pub(super) fn posteriors(
        &self,
        sigma: f64,
        ratio: bool,
        exact_log: bool,
        ws: &mut Workspace<T>,
    ) {
        let (p, labels) = (self.plan.p, &self.plan.prototype_labels);
        let width = T::of(sigma);
        ws.g.resize(self.rows.len() * p, T::zero());
        ws.other.resize(p, T::zero());
        for k in 0..self.rows.len() {
            let class = self.class(k);
            let keys = &ws.d[k * p..][..p];
            let d = self.plan.map.values(keys, &mut ws.seen);
            let g = &mut ws.g[k * p..][..p];
            let loss = if exact_log {
                rslvq::exact_log(d, g, &mut ws.other, labels, class, width)
            } else {
                posterior(d, width, g);
                match ratio {
                    true => nllr::row(g, &mut ws.other, labels, class, width),
                    false => rslvq::row(g, labels, class, width),
                }
            };
            ws.losses.push(loss);
            let factor = self.factor(k).unwrap_or(T::zero());
            self.plan.map.backward(keys, factor, g);
        }
    }

    /// Robust soft LVQ with responsibilities times rank weights: one softmax.
    pub(super) fn posterior_ranks(
        &self,
        sigma: f64,
        within_class: bool,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        let (p, labels) = (self.plan.p, &self.plan.prototype_labels);
        let Some(neighbourhood) = &self.ready.neighbourhood else { return };
        let width = T::of(sigma);
        ws.g.resize(self.rows.len() * p, T::zero());
        ws.row.resize(p, T::zero());
        for k in 0..self.rows.len() {
            let class = self.class(k);
            ws.ranks.resize(p, 0);
            let keys = &ws.d[k * p..][..p];
            if within_class {
                ranks_within(keys, &self.plan.runs, &mut ws.room, &mut ws.ranks);
            } else {
                ranks(keys, &mut ws.ranks);
            }
            let sums = self.plan.ranked_posterior(k, sigma, neighbourhood, ws);
            let weights = (&ws.row[..], &ws.other[..]);
            let g = &mut ws.g[k * p..][..p];
            let loss = rslvq::row_of_weights(weights, sums.1, g, labels, class, width);
            ws.losses.push(loss);
            let factor = self.factor(k).unwrap_or(T::zero());
            self.plan.map.backward(&ws.d[k * p..][..p], factor, g);
            if self.ready.learn_range && factor != T::zero() {
                ws.scores.resize(p, T::zero());
                neighbourhood.height_slopes(&ws.ranks, &mut ws.scores);
                let slope = rslvq::slope_of_range(weights, &mut ws.scores, sums, labels, class);
                out.range += (slope * factor).f64();
            }
        }
    }
}
