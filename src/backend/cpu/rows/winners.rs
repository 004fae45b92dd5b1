//! The nearest prototypes of rows, their distances by differences, and what a pair objective makes of them.

use super::{Found, Partial, Rows};
use crate::backend::cpu::block::Workspace;
use crate::backend::cpu::lanes::{self, Judged, Labelled};
use crate::parts::composition::Ties;
use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::kernel::{Map, Opposed};
use crate::parts::metric::{Bent, Pair};
use crate::parts::objective::{EPS, PairObjective};
use crate::parts::real::Real;

crate::vectorized! {
    /// [`PairObjective::pairs`]
    fn judged<T, O: PairObjective<T>>(objective: &O, plus: &mut [T], minus: &mut [T], eps: &mut [T], losses: &mut [T]) {
        objective.pairs(plus, minus, eps, losses);
    }
}

impl<T: Real> Rows<'_, T> {
    /// Distances by differences for all prototypes of one row: equal prototypes get equal distances.
    pub(super) fn exact_row(&self, k: usize, ws: &mut Workspace<T>) {
        let p = self.plan.p;
        ws.wanted.clear();
        ws.wanted.extend((0..p as u32).map(|j| [k as u32, j]));
        self.exact_of_wanted(ws);
        ws.d[k * p..][..p].copy_from_slice(&ws.exact);
    }

    /// The nearest of its class and of all others for each row, in `ws.winner_pairs`, and their keys by differences, one after the other, in
    /// `ws.exact`.
    pub(super) fn pairs_of_winners(&self, ties: Ties, ws: &mut Workspace<T>) {
        let count = self.rows.len();
        if ties == Ties::Even {
            (0..count).for_each(|k| self.exact_row(k, ws));
        }
        self.classes(&mut ws.indices);
        self.plan.runs.winner_pairs(&ws.d, self.plan.p, &ws.indices, &mut ws.winner_pairs);
        self.exact_of_winners(ws);
    }

    /// Keys by differences of the pairs `ws.wanted`, into `ws.exact`.
    pub(super) fn exact_of_wanted(&self, ws: &mut Workspace<T>) {
        ws.exact.resize(ws.wanted.len(), T::zero());
        self.ready.metric.exact_pairs(&ws.x, &ws.wanted, &mut ws.scratch, &mut ws.exact);
    }

    pub(super) fn winner_pairs(
        &self,
        objective: &(impl PairObjective<T> + PairObjective<f32>),
        ties: Ties,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        if self.found == Found::AtOnce {
            return self.sums_of_opposed(objective, ws, out);
        }
        if self.plan.opposed {
            return self.opposed_pairs(objective, ws);
        }
        let map = self.plan.map;
        self.pairs_of_winners(ties, ws);
        let mut next = 0;
        for k in 0..self.rows.len() {
            let [plus, minus] = ws.winner_pairs[k].map(|j| (j != NOBODY).then_some(j as usize));
            let keys = [plus, minus].map(|j| {
                j.map(|_| {
                    next += 1;
                    ws.exact[next - 1]
                })
            });
            let (seen, eps) = match keys {
                [Some(a), Some(b)] => {
                    let (a, b, eps) = map.pair(a, b);
                    ([Some(a), Some(b)], eps)
                }
                keys => (keys.map(|key| key.map(|key| map.see(key))), T::of(EPS)),
            };
            let [d_plus, d_minus] = seen.map(|s| s.map(|s| s.value));
            let (loss, g_plus, g_minus) = objective.pair(d_plus, d_minus, eps);
            ws.losses.push(loss);
            let Some(factor) = self.factor(k) else { continue };
            let class = self.class(k);
            for (winner, seen, same, g) in
                [(plus, seen[0], true, g_plus), (minus, seen[1], false, g_minus)]
            {
                let (Some(winner), Some(seen)) = (winner, seen) else { continue };
                let competes = |j: usize| (self.plan.prototype_labels[j] == class) == same;
                self.push(ws, k, winner, ties, g * seen.slope * factor, competes);
            }
        }
    }

    /// [`Rows::winner_pairs`] of [opposed](Plan::opposed) winners: many rows at a time.
    pub(super) fn opposed_pairs(&self, objective: &impl PairObjective<T>, ws: &mut Workspace<T>) {
        let b = self.rows.len();
        if self.found == Found::Nothing {
            self.pairs_of_winners(Ties::First, ws);
        }
        let opposed = &mut ws.opposed;
        for room in [&mut opposed.plus, &mut opposed.minus, &mut ws.losses] {
            room.resize(b, T::zero());
        }
        let distances = opposed.plus.iter_mut().zip(&mut opposed.minus);
        for ((plus, minus), pair) in distances.zip(ws.exact.chunks_exact(2)) {
            (*plus, *minus) = (pair[0], pair[1]);
        }
        let map = self.plan.map;
        map.pairs(opposed);
        let Opposed { plus, minus, eps, plus_slopes, minus_slopes } = opposed;
        judged(objective, plus, minus, eps, &mut ws.losses);
        if !self.pass.gradient {
            return;
        }
        if map != Map::Identity {
            plus.iter_mut().zip(plus_slopes).for_each(|(g, slope)| *g *= *slope);
            minus.iter_mut().zip(minus_slopes).for_each(|(g, slope)| *g *= *slope);
        }
        let rows = ws.winner_pairs.iter().zip(plus.iter().zip(minus.iter())).zip(self.factors);
        // (What was there is overwritten.)
        ws.pairs.resize(2 * b, Pair { row: 0, prototype: 0, g: T::zero() });
        for ((k, ((winners, (plus, minus)), factor)), pairs) in
            rows.enumerate().zip(ws.pairs.chunks_exact_mut(2))
        {
            let row = k as u32;
            pairs[0] = Pair { row, prototype: winners[0], g: *plus * *factor };
            pairs[1] = Pair { row, prototype: winners[1], g: *minus * *factor };
        }
        // Rows that do not count are left out, whatever their slopes are.
        if self.factors.contains(&T::zero()) {
            ws.pairs.retain(|pair| self.factors[pair.row as usize] != T::zero());
        }
    }

    /// Losses of opposed winners and the metric's sums, in one go over the rows.
    fn sums_of_opposed(
        &self,
        objective: &impl PairObjective<f32>,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        let Some((rows, packed)) = self.taken(&ws.x, &mut ws.indices) else { return };
        ws.losses.resize(self.rows.len(), T::zero());
        let out = Judged {
            factors: self.factors,
            scale: self.pass.scale,
            losses: &mut ws.losses,
            any: &|class| self.plan.runs.first_of_each_side(class),
            sums: out.metric.first_mut().filter(|_| self.pass.gradient).map(|h| &mut h[..]),
        };
        packed.step_of_winners(rows, &mut ws.lanes, objective, out);
    }

    /// The nearest of its class and of all others for each row, without the block's distances: what [`Rows::pairs_of_winners`] leaves, where the
    /// backend has a way of its own for the metric.
    pub(super) fn without_distances(&self, ws: &mut Workspace<T>) -> Found {
        if self.found == Found::AtOnce || self.plan.for_short(self.ready).is_some() {
            return Found::AtOnce;
        }
        let Some(squares) = self.ready.metric.squares() else { return Found::Nothing };
        let few =
            squares.bent == Bent::Not && lanes::pays(squares.w.len() / self.plan.p, self.plan.p);
        if self.ready.packed.is_none() && !few {
            return Found::Nothing;
        }
        self.classes(&mut ws.indices);
        let width = self.ready.metric.project_block(&ws.x, &mut ws.scratch);
        let rows = self.labelled((&ws.x, &ws.scratch.kept, width), &ws.indices);
        let exact = match &self.ready.packed {
            Some(packed) => {
                packed.winner_pairs(&rows, &mut ws.lanes, &mut ws.winner_pairs, &mut ws.exact)
            }
            None => {
                lanes::winner_pairs(&rows, squares, &mut ws.winner_pairs, &mut ws.exact);
                true
            }
        };
        let nobody = |any: bool, j: &u32| any | (*j == NOBODY);
        if ws.winner_pairs.as_flattened().iter().fold(false, nobody) {
            // No distance was a number: the loss will not be one either, and any prototype will do.
            for (pair, class) in ws.winner_pairs.iter_mut().zip(&ws.indices) {
                let any = self.plan.runs.first_of_each_side(*class);
                for (winner, any) in pair.iter_mut().zip(any) {
                    *winner = if *winner == NOBODY { any } else { *winner };
                }
            }
        }
        if let (false, Some(packed)) = (exact, &self.ready.packed) {
            let rows = self.labelled((&ws.x, &ws.scratch.kept, width), &ws.indices);
            packed.squares_of_winners(&rows, squares, &ws.winner_pairs, &mut ws.exact);
            let metric = &self.ready.metric;
            metric.keys_of_winners(&ws.winner_pairs, &mut ws.scratch, &mut ws.exact);
        }
        Found::Results
    }

    /// The block's rows, or their projections if those are so wide, and their classes.
    pub(super) fn labelled<'b>(
        &'b self,
        (x, projections, width): (&'b [T], &'b [T], Option<usize>),
        of: &'b [u32],
    ) -> Labelled<'b, T> {
        let labels = &self.plan.prototype_labels;
        match width {
            Some(l) => Labelled {
                x: &projections[..of.len() * l],
                of,
                labels,
                ahead: &[],
                stored: false,
                centre: &[],
            },
            None => {
                Labelled { x, of, labels, ahead: self.rows.ahead(), stored: false, centre: &[] }
            }
        }
    }

    /// Keys by differences of `ws.winner_pairs`, one after the other, into `ws.exact`.
    fn exact_of_winners(&self, ws: &mut Workspace<T>) {
        ws.wanted.clear();
        for (k, pair) in ws.winner_pairs.iter().enumerate() {
            ws.wanted.extend(pair.iter().filter(|j| **j != NOBODY).map(|j| [k as u32, *j]));
        }
        self.exact_of_wanted(ws);
    }

    /// A pair for the winner, or, with even ties, a share for each prototype that is exactly as near.
    pub(super) fn push(
        &self,
        ws: &mut Workspace<T>,
        k: usize,
        winner: usize,
        ties: Ties,
        g: T,
        competes: impl Fn(usize) -> bool,
    ) {
        let (row, p) = (k as u32, self.plan.p);
        if ties == Ties::First {
            ws.pairs.push(Pair { row, prototype: winner as u32, g });
            return;
        }
        let d = &ws.d[k * p..][..p];
        ws.indices.clear();
        ws.indices.extend((0..p).filter(|&j| competes(j) && d[j] == d[winner]).map(|j| j as u32));
        let share = g / T::of(ws.indices.len() as f64);
        ws.pairs.extend(ws.indices.iter().map(|&prototype| Pair { row, prototype, g: share }));
    }
}
