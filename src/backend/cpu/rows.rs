//! From a block's distances to its loss and gradient sums: cooperation and objective, row by row.

mod partial;
mod soft;
mod winners;

pub(super) use partial::Partial;

use super::block::{BlockRows, Plan, Ready, Workspace};
use super::lanes::{Labelled, Packed, Taken};
use crate::parts::composition::{Cooperation, Kernel, Objective, Ties};
use crate::parts::cooperation::class_minimum::class_minimum;
use crate::parts::cooperation::posterior::{posterior, ranked};
use crate::parts::cooperation::ranks::{Neighbourhood, ranks, ranks_within};
use crate::parts::cooperation::winner_pair::{nearest_of_all, several_within};
use crate::parts::kernel;
use crate::parts::metric::{Operand, Pair, Sums};
use crate::parts::objective::svq_occ::{self, Confusion, Cost};
use crate::parts::objective::{
    EPS, cross_entropy, glvq, hinge, lvq1::Lvq1, lvq21::Lvq21, one_class, transfer::Transfer,
};
use crate::parts::real::Real;
use crate::parts::simd::{LANES, add_scaled, inner};
use std::sync::PoisonError;

/// What a pass wants, and what it knows of all its rows.
#[derive(Clone, Copy)]
pub(super) struct Pass<T> {
    /// Whether the gradient is wanted beside the loss.
    pub gradient: bool,
    /// Factor of the `G` operand of the backward products.
    pub scale: T,
    /// Rows of the pass.
    pub n: usize,
    /// Sum of the factors of the target rows (one-class models).
    pub targets: f64,
}

crate::vectorized! {
    /// `sum_i a_i b_i` in f64.
    fn weighted_sum<T>(a: &[T], b: &[T]) -> f64 {
        let mut lanes = [0.0; LANES];
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for l in 0..LANES {
                lanes[l] += a[l].f64() * b[l].f64();
            }
        }
        let mut sum = 0.0;
        for lane in lanes {
            sum += lane;
        }
        for (a, b) in a_rest.iter().zip(b_rest) {
            sum += a.f64() * b.f64();
        }
        sum
    }
}

impl<T: Real> Plan<T> {
    /// Parts in which gradient sums are kept apart: the contrastive cost's slope is known after the pass only, one number for
    /// target rows and one for all others.
    pub fn channels(&self) -> usize {
        match self.composition.objective {
            Objective::SvqOcc { cost: Cost::Contrastive, .. } => 3,
            _ => 1,
        }
    }

    /// Zeros, in memory that was used before where there is some.
    fn zeros(&self, count: usize) -> Vec<T> {
        let mut spare = self.spare_sums.lock().unwrap_or_else(PoisonError::into_inner);
        let found = spare.iter().position(|sums| sums.len() == count);
        let found = found.map(|at| spare.swap_remove(at));
        drop(spare);
        match found {
            Some(mut sums) => {
                sums.fill(T::zero());
                sums
            }
            None => vec![T::zero(); count],
        }
    }

    /// Keeps the memory of sums that have been added to others.
    pub fn give_back(&self, partial: Partial<T>) {
        let mut spare = self.spare_sums.lock().unwrap_or_else(PoisonError::into_inner);
        spare.extend(partial.metric.into_iter().chain([partial.own]).filter(|s| !s.is_empty()));
    }

    /// An empty total.
    pub fn partial(&self, ready: &Ready<T>) -> Partial<T> {
        let own = match (&ready.reasoning, ready.thetas.len()) {
            (Some(_), _) => self.p * self.classes * 2,
            (None, p) => p * self.channels(),
        };
        let sums = ready.metric.sums();
        let all = std::iter::repeat_n(sums, self.channels()).flatten();
        Partial {
            metric: all.map(|n| self.zeros(n)).collect(),
            own: self.zeros(own),
            range: 0.0,
            loss: 0.0,
            confusion: Confusion::default(),
        }
    }

    /// Loss of each row of the block into `ws.losses`; loss and gradient, each row times its factor (its weight over the number of
    /// rows), added to `out`.
    pub fn step(
        &self,
        ready: &Ready<T>,
        rows: BlockRows<'_>,
        factors: &[T],
        pass: Pass<T>,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        let mut row = Rows { plan: self, ready, rows, factors, pass, found: Found::AtOnce };
        if rows.turned.is_none() && row.stored().is_none() {
            self.load(rows, ws);
            row.found = Found::Nothing;
        }
        row.found = match self.composition.cooperation {
            Cooperation::Posterior { sigma } => row.soft_without_distances(sigma, ws, out),
            _ if self.opposed => row.without_distances(ws),
            _ => row.found,
        };
        if row.found == Found::Nothing {
            self.distances(ready, ws);
            if !self.opposed {
                ws.losses.clear();
                ws.pairs.clear();
            }
        }
        let objective = &self.composition.objective;
        let mut sparse = false;
        match (objective, self.composition.cooperation) {
            (Objective::Glvq { transfer, margin, .. }, Cooperation::WinnerPair { ties }) => {
                let objective = glvq::Glvq { transfer: transfer.clone(), margin: *margin };
                row.winner_pairs(&objective, ties, ws, out);
                sparse = true;
            }
            (Objective::Glvq { transfer, margin, lr_ratio }, Cooperation::RanksOwn { ties }) => {
                row.ranks_own(transfer, T::of(*margin), T::of(*lr_ratio), ties, ws, out);
                sparse = true;
            }
            (Objective::Lvq1, Cooperation::WinnerPair { ties }) => {
                row.winner_pairs(&Lvq1, ties, ws, out);
                sparse = true;
            }
            (Objective::Lvq21, Cooperation::WinnerPair { ties }) => {
                row.winner_pairs(&Lvq21, ties, ws, out);
                sparse = true;
            }
            (Objective::CrossEntropy, Cooperation::ClassMinimum { ties }) => {
                row.class_minima(ties, ws);
                sparse = true;
            }
            (Objective::CrossEntropy, Cooperation::RanksEach) => row.ranks_each(ws, out),
            (_, Cooperation::Posterior { .. }) if row.found != Found::Nothing => {}
            (Objective::Nllr, Cooperation::Posterior { sigma }) => {
                row.posteriors(sigma, true, false, ws);
            }
            (Objective::Rslvq { exact_log }, Cooperation::Posterior { sigma }) => {
                row.posteriors(sigma, false, *exact_log, ws);
            }
            (Objective::Rslvq { .. }, Cooperation::PosteriorRanks { sigma, within_class }) => {
                row.posterior_ranks(sigma, within_class, ws, out)
            }
            (Objective::OneClass { transfer, margin, .. }, Cooperation::Winner) => {
                row.one_class_winner(transfer, T::of(*margin), ws, out);
                sparse = true;
            }
            (Objective::OneClass { transfer, margin, .. }, _) => {
                row.one_class(transfer, T::of(*margin), ws, out);
            }
            (Objective::SvqOcc { alpha, cost, response, sigma }, _) => {
                row.svq_occ(*alpha, *cost, *response, T::of(*sigma), ws, out);
                // Its channels have gone through the backward products already.
                self.add_losses(factors, ws, out);
                return;
            }
            (Objective::Hinge { margin }, _) => row.reason(*margin, ws, out),
            (objective, cooperation) => {
                unreachable!("no model combines {objective:?} with {cooperation:?}")
            }
        }
        self.add_losses(factors, ws, out);
        if !pass.gradient || row.found == Found::AtOnce {
            return;
        }
        if sparse {
            self.scale_pairs(pass.scale, ws);
            ready.metric.backward_pairs(&ws.x, &ws.pairs, &mut ws.scratch, &mut out.metric);
        } else {
            self.scale_dense(pass.scale, ws);
            ready.metric.backward_dense(&ws.x, &ws.d, &ws.g, &mut ws.scratch, &mut out.metric);
        }
    }

    fn add_losses(&self, factors: &[T], ws: &Workspace<T>, out: &mut Partial<T>) {
        out.loss += weighted_sum(&ws.losses, factors);
    }

    fn scale_pairs(&self, scale: T, ws: &mut Workspace<T>) {
        if scale != T::one() || self.operand() != Operand::Full {
            for pair in &mut ws.pairs {
                let mut g = [pair.g * scale];
                self.operand().round(&mut g);
                pair.g = g[0];
            }
        }
    }

    fn scale_dense(&self, scale: T, ws: &mut Workspace<T>) {
        if scale != T::one() || self.operand() != Operand::Full {
            ws.g.iter_mut().for_each(|g| *g *= scale);
            self.operand().round(&mut ws.g);
        }
    }

    /// Similarities of the block's distances, by the composition's kernel; those of an exponent up to `faint` are 0.
    fn similarities(&self, faint: T, ws: &mut Workspace<T>) {
        ws.similarities.resize(ws.d.len(), T::zero());
        match self.composition.kernel {
            Kernel::Gaussian { sigma } => {
                kernel::gaussian::similarity(&ws.d, T::of(sigma), faint, &mut ws.similarities);
            }
            Kernel::RankScaledGaussian { lambda } => {
                let lambda = T::of(lambda);
                kernel::similarity::rank_scaled_gaussian(
                    &ws.d,
                    self.p,
                    lambda,
                    faint,
                    &mut ws.similarities,
                );
            }
            Kernel::Complement => {
                ws.similarities.iter_mut().zip(&ws.d).for_each(|(s, d)| *s = T::one() - *d);
            }
            _ => ws.similarities.copy_from_slice(&ws.d),
        }
    }

    /// `dL/dS` in `ws.g` becomes `dL/dD`.
    fn similarities_backward(&self, ws: &mut Workspace<T>) {
        match self.composition.kernel {
            Kernel::Gaussian { sigma } => {
                kernel::gaussian::backward(&ws.similarities, T::of(sigma), &mut ws.g);
            }
            Kernel::RankScaledGaussian { lambda } => {
                kernel::similarity::rank_scaled_gaussian_backward(
                    &ws.d,
                    &ws.similarities,
                    self.p,
                    T::of(lambda),
                    &mut ws.g,
                );
            }
            Kernel::Complement => ws.g.iter_mut().for_each(|g| *g = -*g),
            _ => {}
        }
    }

    /// Class scores of the block's rows, `b x classes`.
    pub fn class_scores(
        &self,
        ready: &Ready<T>,
        rows: BlockRows<'_>,
        ws: &mut Workspace<T>,
    ) -> Vec<T> {
        self.forward(ready, rows, ws);
        // Nothing else tells the classes of a far row apart, however small they are.
        self.similarities(T::LEAST, ws);
        let mut scores = vec![T::zero(); rows.len() * self.classes];
        if let Some(reasoning) = &ready.reasoning {
            reasoning.forward(&ws.similarities, &mut scores);
        }
        scores
    }

    /// One-class scores of the block's rows, high for the target class.
    pub fn target_scores(
        &self,
        ready: &Ready<T>,
        rows: BlockRows<'_>,
        ws: &mut Workspace<T>,
        out: &mut [f64],
    ) {
        self.forward(ready, rows, ws);
        let p = self.p;
        for (k, out) in out.iter_mut().enumerate() {
            let m = |key: T, j: usize| {
                let (d, theta, eps) = self.map.against(key, ready.thetas[j]);
                (d.value - theta.value) / (d.value + theta.value + eps)
            };
            *out = match self.composition.objective {
                Objective::SvqOcc { response, sigma, .. } => {
                    let d = &ws.d[k * p..][..p];
                    let sigma = T::of(sigma);
                    let buffers = &mut ws.detection;
                    let r = svq_occ::responsibility(d, &ready.thetas, response, sigma, buffers);
                    r.f64().clamp(0.0, 1.0)
                }
                Objective::OneClass { beta, .. } => {
                    let m = match self.composition.cooperation {
                        Cooperation::Posterior { sigma } => {
                            self.weights(ready, k, Some(sigma), false, ws);
                            (0..p).map(|j| ws.row[j] * m(ws.d[k * p + j], j)).sum()
                        }
                        Cooperation::PosteriorRanks { sigma, .. } => {
                            self.weights(ready, k, Some(sigma), true, ws);
                            (0..p).map(|j| ws.row[j] * m(ws.d[k * p + j], j)).sum()
                        }
                        _ => {
                            let j = self.nearest(ready, k, ws);
                            m(ready.metric.exact(&ws.x, k, j, &mut ws.scratch), j)
                        }
                    };
                    one_class::score(m, T::of(beta)).f64()
                }
                _ => f64::NAN,
            };
        }
    }

    /// Nearest prototype of row `k`; those that the forward cannot tell apart are compared by differences.
    pub fn nearest(&self, ready: &Ready<T>, k: usize, ws: &mut Workspace<T>) -> usize {
        let p = self.p;
        let d = &ws.d[k * p..][..p];
        let best = nearest_of_all(d);
        let relative = T::of(1e-4) * num_traits::Float::abs(d[best]);
        let limit = d[best] + relative + ready.metric.slack(k, &ws.scratch);
        if !several_within(d, limit) {
            return best;
        }
        let (mut nearest, mut least) = (best, T::infinity());
        for j in 0..p {
            if ws.d[k * p + j] <= limit {
                let exact = ready.metric.exact(&ws.x, k, j, &mut ws.scratch);
                if exact < least {
                    (nearest, least) = (j, exact);
                }
            }
        }
        nearest
    }

    /// Weights of all prototypes for row `k` into `ws.row`, their ranks into `ws.ranks`: responsibilities (`sigma`), times
    /// rank weights (`ranked`), or rank weights alone. Of both together returns what [`ranked`] does and leaves P in `ws.other`
    /// (see [`Plan::ranked_posterior`]).
    fn weights(
        &self,
        ready: &Ready<T>,
        k: usize,
        sigma: Option<f64>,
        ranked: bool,
        ws: &mut Workspace<T>,
    ) -> Option<(T, T)> {
        let p = self.p;
        let d = &ws.d[k * p..][..p];
        ws.row.resize(p, T::zero());
        ws.ranks.resize(p, 0);
        let neighbourhood = ready.neighbourhood.as_ref().filter(|_| ranked);
        if neighbourhood.is_some() {
            ranks(d, &mut ws.ranks);
        }
        match (sigma, neighbourhood) {
            (Some(sigma), None) => {
                let seen = self.map.values(d, &mut ws.other);
                posterior(seen, T::of(sigma), &mut ws.row);
            }
            (Some(sigma), Some(n)) => return Some(self.ranked_posterior(k, sigma, n, ws)),
            (None, Some(n)) => n.weights(&ws.ranks, &mut ws.row),
            (None, None) => ws.row.fill(T::one() / T::of(p as f64)),
        }
        None
    }

    /// Responsibilities times rank weights of row `k` into `ws.row` (see [`ranked`]), with the ranks in `ws.ranks`.
    ///
    /// Leaves P in `ws.other`; returns `sum h + eps` and `sum u + eps`.
    fn ranked_posterior(
        &self,
        k: usize,
        sigma: f64,
        n: &Neighbourhood<T>,
        ws: &mut Workspace<T>,
    ) -> (T, T) {
        let d = &ws.d[k * self.p..][..self.p];
        let mut seen = std::mem::take(&mut ws.seen);
        n.heights(&ws.ranks, &mut ws.row);
        ws.other.resize(self.p, T::zero());
        let d = self.map.values(d, &mut seen);
        let sums = ranked(d, T::of(sigma), &mut ws.row, &mut ws.other);
        ws.seen = seen;
        sums
    }
}

/// The rows of one block on their way through an objective.
struct Rows<'a, T: Real> {
    plan: &'a Plan<T>,
    ready: &'a Ready<T>,
    rows: BlockRows<'a>,
    factors: &'a [T],
    pass: Pass<T>,
    found: Found,
}

/// What is there of the block.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    /// Its distances, or nothing yet.
    Nothing,
    /// What depends on its distances, which are not there: winners and their keys, or losses and slopes.
    Results,
    /// Nothing but its rows as they stand in memory: losses and sums are formed in one go over them.
    AtOnce,
}

impl<T: Real> Rows<'_, T> {
    fn class(&self, k: usize) -> u32 {
        self.rows.codes[self.rows.row(k)]
    }

    /// The class of each row.
    fn classes(&self, out: &mut Vec<u32>) {
        out.clear();
        match self.rows.indices {
            None => out.extend_from_slice(&self.rows.codes[self.rows.start..self.rows.end]),
            Some(_) => out.extend((0..self.rows.len()).map(|k| self.class(k))),
        }
    }

    /// The block's rows as they stand in memory, and the prototypes for those, if the model's are laid out for a step of such, and they stand there one
    /// after the other.
    fn stored(&self) -> Option<(Labelled<'_, T>, &Packed)> {
        let x = self.rows.stored()?;
        let (packed, centre) = self.plan.for_stored(self.ready)?;
        let rows = Labelled {
            x,
            of: &self.rows.codes[self.rows.start..self.rows.end],
            labels: &self.plan.prototype_labels,
            // Rows in their order are brought in without being asked for.
            ahead: &[],
            stored: true,
            centre,
        };
        Some((rows, packed))
    }

    /// The block's rows for a step that goes over them at once, and the prototypes for those, if the model has such a step: from where they are kept turned,
    /// as they stand in memory, or, if it takes them from anywhere, from `x`. `of`: room for their classes.
    fn taken<'b>(&'b self, x: &'b [T], of: &'b mut Vec<u32>) -> Option<(Taken<'b, T>, &'b Packed)> {
        let BlockRows { turned, codes, start, end, .. } = self.rows;
        if let Some(rows) = turned {
            let packed = self.plan.for_short(self.ready)?;
            return Some((Taken::Turned { rows, start, of: &codes[start..end] }, packed));
        }
        if let Some((rows, packed)) = self.stored() {
            return Some((Taken::Rows(rows), packed));
        }
        let packed = self.plan.for_short(self.ready)?;
        self.classes(of);
        Some((Taken::Rows(self.labelled((x, &[], None), of)), packed))
    }

    /// The row's factor where a gradient is wanted and the row counts.
    fn factor(&self, k: usize) -> Option<T> {
        Some(self.factors[k]).filter(|f| self.pass.gradient && *f != T::zero())
    }

    /// Key of a pair by differences.
    fn exact(&self, k: usize, j: usize, ws: &mut Workspace<T>) -> T {
        self.ready.metric.exact(&ws.x, k, j, &mut ws.scratch)
    }

    /// All prototypes of the row's class by rank, each against the nearest of all others (supervised neural gas).
    fn ranks_own(
        &self,
        transfer: &Transfer,
        margin: T,
        lr_ratio: T,
        ties: Ties,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        let (p, map) = (self.plan.p, self.plan.map);
        let Some(neighbourhood) = &self.ready.neighbourhood else { return };
        for k in 0..self.rows.len() {
            let class = self.class(k);
            if ties == Ties::Even {
                self.exact_row(k, ws);
            }
            let (_, minus) = self.plan.runs.winner_pair(&ws.d[k * p..][..p], class);
            self.members(class, ws);
            let m = ws.members.len();
            ws.wanted.clear();
            let wanted = ws.members.iter().copied().chain(minus);
            ws.wanted.extend(wanted.map(|j| [k as u32, j as u32]));
            self.exact_of_wanted(ws);
            let minus = minus.map(|j| (j, ws.exact[m]));
            let mut keys = std::mem::take(&mut ws.row);
            keys.clear();
            keys.extend_from_slice(&ws.exact[..m]);
            ws.ranks.resize(m, 0);
            ranks(&keys, &mut ws.ranks);
            let factor = self.factor(k);
            let (mut loss, mut range, mut through_minus) = (T::zero(), T::zero(), T::zero());
            for (i, key) in keys.iter().enumerate() {
                let rank = ws.ranks[i];
                let weight = neighbourhood.weight(rank, m);
                let (mu, by_own, by_minus) = match minus {
                    Some((_, other)) => {
                        let (a, b, eps) = map.pair(*key, other);
                        let (mu, da, db) = glvq::ratio(a.value, b.value, eps);
                        (mu, da * a.slope, db * b.slope)
                    }
                    None => (-T::one(), T::zero(), T::zero()),
                };
                let (value, slope) = transfer.value_and_derivative(mu + margin);
                loss += weight * value;
                if self.ready.learn_range {
                    range += value * neighbourhood.weight_slope(rank, m);
                }
                if let Some(factor) = factor {
                    let g = weight * slope * factor;
                    let prototype = ws.members[i] as u32;
                    ws.pairs.push(Pair { row: k as u32, prototype, g: g * by_own });
                    through_minus += g * by_minus;
                }
            }
            ws.row = keys;
            ws.losses.push(loss);
            if let (Some(factor), Some((j, _))) = (factor, minus) {
                out.range += (range * factor).f64();
                let competes = |j: usize| self.plan.prototype_labels[j] != class;
                self.push(ws, k, j, ties, lr_ratio * through_minus, competes);
            }
        }
    }

    /// The prototypes of a class into `ws.members`.
    fn members(&self, class: u32, ws: &mut Workspace<T>) {
        ws.members.clear();
        ws.members.extend(self.plan.runs.own(class).iter().flat_map(Clone::clone));
    }

    fn class_minima(&self, ties: Ties, ws: &mut Workspace<T>) {
        let (p, classes) = (self.plan.p, self.plan.classes);
        ws.row.resize(classes, T::zero());
        let mut winners = std::mem::take(&mut ws.winners);
        winners.resize(classes, None);
        for k in 0..self.rows.len() {
            let class = self.class(k) as usize;
            if ties == Ties::Even {
                self.exact_row(k, ws);
            }
            class_minimum(&self.plan.runs, &ws.d[k * p..][..p], &mut winners);
            ws.other.resize(classes, T::one());
            ws.wanted.clear();
            ws.wanted.extend(winners.iter().flatten().map(|j| [k as u32, *j as u32]));
            self.exact_of_wanted(ws);
            let mut exact = ws.exact.iter();
            for (c, winner) in winners.iter().enumerate() {
                let key = winner.and_then(|_| exact.next());
                let seen = key.map(|key| self.plan.map.see(*key));
                ws.row[c] = seen.map_or(<T as num_traits::Float>::max_value(), |s| s.value);
                ws.other[c] = seen.map_or(T::zero(), |s| s.slope);
            }
            let loss = cross_entropy::row(&mut ws.row[..classes], class);
            ws.losses.push(loss);
            let Some(factor) = self.factor(k) else { continue };
            for (c, winner) in winners.iter().enumerate() {
                if let Some(j) = winner {
                    let g = ws.row[c] * ws.other[c] * factor;
                    self.push(ws, k, *j, ties, g, |j| self.plan.prototype_labels[j] as usize == c);
                }
            }
        }
        ws.winners = winners;
    }

    /// Cross-entropy of classwise distances that are rank-weighted means.
    fn ranks_each(&self, ws: &mut Workspace<T>, out: &mut Partial<T>) {
        let (p, classes, map) = (self.plan.p, &self.plan.runs, self.plan.map);
        let Some(neighbourhood) = &self.ready.neighbourhood else { return };
        ws.g.resize(self.rows.len() * p, T::zero());
        ws.ranks.resize(p, 0);
        for k in 0..self.rows.len() {
            let keys = &ws.d[k * p..][..p];
            ranks_within(keys, classes, &mut ws.room, &mut ws.ranks);
            let d = map.values(keys, &mut ws.seen);
            let g = &mut ws.g[k * p..][..p];
            // The distance to each class.
            let delta = &mut ws.row;
            delta.clear();
            for c in 0..classes.len() as u32 {
                let members = classes.size(c);
                let (unit, mut sum) = (neighbourhood.unit(members), T::zero());
                for run in classes.own(c) {
                    for j in run.clone() {
                        let weight = neighbourhood.height(ws.ranks[j]) * unit;
                        sum += weight * d[j];
                        // The class's share of the gradient follows when its probability is known.
                        g[j] = weight;
                    }
                }
                let none = <T as num_traits::Float>::max_value();
                delta.push(if members == 0 { none } else { sum });
            }
            ws.losses.push(cross_entropy::row(delta, self.class(k) as usize));
            let factor = self.factor(k).unwrap_or(T::zero());
            for (g, c) in g.iter_mut().zip(&self.plan.prototype_labels) {
                *g *= delta[*c as usize];
            }
            map.backward(keys, factor, g);
            if self.ready.learn_range && factor != T::zero() {
                let mut range = T::zero();
                for (c, by_delta) in delta.iter().enumerate() {
                    let members = classes.size(c as u32);
                    for j in classes.own(c as u32).iter().flat_map(Clone::clone) {
                        let slope = neighbourhood.weight_slope(ws.ranks[j], members);
                        range += *by_delta * slope * d[j];
                    }
                }
                out.range += (range * factor).f64();
            }
        }
    }

    fn is_target(&self, k: usize) -> bool {
        self.class(k) == self.plan.target
    }

    /// One-class cost at the nearest prototype.
    fn one_class_winner(
        &self,
        transfer: &Transfer,
        margin: T,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        for k in 0..self.rows.len() {
            let j = self.plan.nearest(self.ready, k, ws);
            let key = self.exact(k, j, ws);
            let (d, theta, eps) = self.plan.map.against(key, self.ready.thetas[j]);
            let (loss, g, gt) = one_class::cost(d, theta, eps, self.is_target(k), transfer, margin);
            ws.losses.push(loss);
            if let Some(factor) = self.factor(k) {
                ws.pairs.push(Pair { row: k as u32, prototype: j as u32, g: g * factor });
                out.own[j] += gt * factor * self.ready.theta_slopes[j] * self.pass.scale;
            }
        }
    }

    /// One-class cost at all prototypes, weighted by responsibility, rank, or both.
    fn one_class(
        &self,
        transfer: &Transfer,
        margin: T,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        let p = self.plan.p;
        let (sigma, ranked) = match self.plan.composition.cooperation {
            Cooperation::Posterior { sigma } => (Some(sigma), false),
            Cooperation::PosteriorRanks { sigma, .. } => (Some(sigma), true),
            _ => (None, true),
        };
        ws.g.resize(self.rows.len() * p, T::zero());
        let mut costs = std::mem::take(&mut ws.costs);
        for k in 0..self.rows.len() {
            let sum = self.plan.weights(self.ready, k, sigma, ranked, ws);
            let keys = &ws.d[k * p..][..p];
            let factor = self.factor(k).unwrap_or(T::zero());
            costs.row(self.plan.map, keys, &self.ready.thetas, self.is_target(k), transfer, margin);
            let g = &mut ws.g[k * p..][..p];
            let scale = self.pass.scale;
            let on_theta = (&self.ready.theta_slopes[..], &mut out.own[..]);
            let loss = costs.weigh(&ws.row, factor, scale, g, on_theta);
            ws.losses.push(loss);
            ws.scores.resize(p, T::zero());
            if let Some(sigma) = sigma {
                // The responsibilities change with the distances too.
                let half = T::of(1.0 / (2.0 * sigma * sigma));
                // Weights that do not quite sum to 1: what `eps` takes from all of them.
                let tau = sum.map_or(T::zero(), |(_, sum)| loss * T::of(EPS) / sum);
                costs.shares(&ws.row, (&ws.other, tau), loss, &mut ws.scores);
                self.plan.map.backward(keys, half * factor, &mut ws.scores);
                g.iter_mut().zip(&ws.scores).for_each(|(g, share)| *g -= *share);
            }
            if let (true, Some(n)) = (self.ready.learn_range && ranked, &self.ready.neighbourhood) {
                n.weight_slopes(&ws.ranks, &mut ws.scores);
                let by_range = match sum {
                    Some((_, sum)) => costs.along(&ws.other, &ws.scores, loss) / sum,
                    None => inner(&costs.cost, &ws.scores),
                };
                out.range += (by_range * factor).f64();
            }
        }
        ws.costs = costs;
    }

    /// SVQ-OCC; runs the backward products of its channels itself.
    fn svq_occ(
        &self,
        alpha: f64,
        cost: Cost,
        response: svq_occ::Response,
        sigma: T,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        let (p, b) = (self.plan.p, self.rows.len());
        let Some(neighbourhood) = &self.ready.neighbourhood else { return };
        let channels = self.plan.channels();
        // In units of the number of rows: N+ + e.
        let targets = self.pass.targets + EPS / self.pass.n as f64;
        let share = T::of(alpha / targets);
        let rest = T::of(1.0 - alpha);
        let mut g = std::mem::take(&mut ws.g);
        g.clear();
        g.resize(channels * b * p, T::zero());
        ws.ranks.resize(p, 0);
        for k in 0..b {
            let (target, factor) = (self.is_target(k), self.factors[k]);
            let d = &ws.d[k * p..][..p];
            let mut loss = T::zero();
            if target {
                ranks(d, &mut ws.ranks);
                ws.row.resize(p, T::zero());
                if self.ready.learn_range {
                    neighbourhood.height_slopes(&ws.ranks, &mut ws.row);
                    out.range += (share * inner(d, &ws.row) * factor).f64();
                }
                neighbourhood.heights(&ws.ranks, &mut ws.row);
                loss += share * inner(d, &ws.row);
                add_scaled(&mut g[k * p..][..p], share * factor, &ws.row);
            }
            let detection =
                svq_occ::detect(d, &self.ready.thetas, response, sigma, &mut ws.detection);
            let (r, rb) = (detection.r, detection.rb);
            let (channel, slope) = if cost == Cost::Contrastive {
                out.confusion.add(factor.f64(), r.f64(), rb.f64(), target);
                (if target { 1 } else { 2 }, svq_occ::pass(r, rb))
            } else {
                let (value, slope) = svq_occ::row_cost(cost, r, rb, target);
                loss += rest * value;
                (0, rest * slope)
            };
            ws.losses.push(loss);
            let slope = slope * factor;
            if self.pass.gradient && slope != T::zero() {
                add_scaled(&mut g[(channel * b + k) * p..][..p], slope, detection.by_distance);
                let own = &mut out.own[channel * p..][..p];
                add_scaled(own, slope * self.pass.scale, detection.by_theta);
            }
        }
        if self.pass.gradient {
            let count = out.metric.len() / channels;
            for (channel, g) in g.chunks_exact(b * p).enumerate() {
                ws.g.clear();
                ws.g.extend_from_slice(g);
                self.plan.scale_dense(self.pass.scale, ws);
                let mut sums: Sums<T> =
                    out.metric[channel * count..][..count].iter_mut().map(std::mem::take).collect();
                self.ready.metric.backward_dense(&ws.x, &ws.d, &ws.g, &mut ws.scratch, &mut sums);
                for (slot, sum) in out.metric[channel * count..].iter_mut().zip(sums) {
                    *slot = sum;
                }
            }
        }
        ws.g = g;
    }

    fn reason(&self, margin: f64, ws: &mut Workspace<T>, out: &mut Partial<T>) {
        let (b, classes, p) = (self.rows.len(), self.plan.classes, self.plan.p);
        let Some(reasoning) = &self.ready.reasoning else { return };
        self.plan.similarities(T::FAINT, ws);
        ws.scores.resize(b * classes, T::zero());
        ws.score_gradients.resize(b * classes, T::zero());
        reasoning.forward(&ws.similarities, &mut ws.scores);
        for k in 0..b {
            let class = self.class(k) as usize;
            let gradient = &mut ws.score_gradients[k * classes..][..classes];
            let scores = &ws.scores[k * classes..][..classes];
            let loss = hinge::row(scores, class, T::of(margin), gradient);
            ws.losses.push(loss);
            let factor = self.factor(k).unwrap_or(T::zero());
            gradient.iter_mut().for_each(|g| *g *= factor);
        }
        if !self.pass.gradient {
            return;
        }
        ws.g.resize(b * p, T::zero());
        let learn = self.ready.learn_reasonings;
        if learn {
            ws.row.clear();
            ws.row.resize(out.own.len(), T::zero());
        }
        reasoning.backward(
            &ws.similarities,
            &ws.scores,
            &ws.score_gradients,
            &mut ws.g,
            learn.then_some(&mut ws.row),
        );
        if learn {
            // The reasonings do not pass the scaled products: their share is brought to the same scale.
            out.own.iter_mut().zip(&ws.row).for_each(|(s, g)| *s += *g * self.pass.scale);
        }
        self.plan.similarities_backward(ws);
    }
}
