//! One block of rows: distances, objective, backward products, while everything is in the cache.

use crate::data::Features;
use crate::parts::composition::{
    Composition, Cooperation, Kernel, MetricName, Objective, Precision, Ties,
};
use crate::parts::cooperation::class_minimum::class_minimum;
use crate::parts::cooperation::posterior::posterior;
use crate::parts::cooperation::reasoning::Reasoning;
use crate::parts::cooperation::winner_pair::Classes;
use crate::parts::kernel;
use crate::parts::metric::{
    Inputs, Metric, Operand, Pair, Scratch, Sums, chebyshev::Chebyshev, cosine::Cosine,
    custom::Custom, euclidean::Euclidean, local_omega::LocalOmega, lp::Lp, manhattan::Manhattan,
    omega::Omega, relevance::Relevance, squared_euclidean::SquaredEuclidean, tangent::Tangent,
};
use crate::parts::objective::{
    PairObjective, cross_entropy, glvq::Glvq, hinge, lvq1::Lvq1, lvq21::Lvq21, nllr, rslvq,
};
use crate::parts::real::Real;
use crate::parts::tensor::Tensors;

/// What stays the same from step to step.
pub(super) struct Plan<T> {
    pub composition: Composition,
    pub d: usize,
    pub p: usize,
    pub classes: usize,
    pub prototype_labels: Vec<u32>,
    /// Prototypes of each class as runs.
    pub runs: Classes,
    centre: Vec<f64>,
    centre_t: Vec<T>,
    operand: Operand,
    /// Rows of a block.
    pub rows: usize,
}

/// A plan made ready for one set of tensors.
pub(super) struct Ready<T: Real> {
    pub metric: Box<dyn Metric<T>>,
    reasoning: Option<Reasoning<T>>,
    pub learn_reasonings: bool,
}

/// Working memory of one thread.
#[derive(Default)]
pub(super) struct Workspace<T> {
    /// Centred rows of the block, `b x d`.
    pub x: Vec<T>,
    /// Distances, `b x p`.
    pub d: Vec<T>,
    /// `dL/dD`, `b x p`, where it is dense.
    g: Vec<T>,
    pairs: Vec<Pair<T>>,
    pub scratch: Scratch<T>,
    /// Loss of each row.
    pub losses: Vec<T>,
    row: Vec<T>,
    scores: Vec<T>,
    score_gradients: Vec<T>,
    similarities: Vec<T>,
    indices: Vec<u32>,
}

/// What a chunk of rows adds up to.
pub(super) struct Partial<T> {
    /// The metric's sums.
    pub metric: Sums<T>,
    /// Sums of the reasonings' gradient.
    pub reasonings: Vec<T>,
    /// Weighted sum of row losses.
    pub loss: f64,
}

/// The rows of one block within the data.
#[derive(Clone, Copy)]
pub(super) struct BlockRows<'a> {
    pub features: &'a Features,
    pub codes: &'a [u32],
    /// Which rows; none: all, in order.
    pub indices: Option<&'a [u32]>,
    pub start: usize,
    pub end: usize,
}

impl BlockRows<'_> {
    /// Number of the k-th row of the block in the data.
    pub fn row(&self, k: usize) -> usize {
        match self.indices {
            Some(rows) => rows[self.start + k] as usize,
            None => self.start + k,
        }
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }
}

impl<T: Real> Plan<T> {
    pub fn new(
        composition: &Composition,
        d: usize,
        classes: usize,
        prototype_labels: &[u32],
        centre: &[f64],
        precision: Precision,
        tensors: &Tensors<f64>,
    ) -> Self {
        let p = prototype_labels.len();
        // Values a row brings into the cache: itself, its distances twice, and its projections.
        let projections = match composition.metric {
            MetricName::Omega => tensors.get("omega").map_or(0, |t| t.shape[1]),
            MetricName::LocalOmega | MetricName::Tangent => {
                tensors.get("omegas").map_or(0, |t| p * t.shape[2])
            }
            _ => 0,
        };
        let bytes = (d + 2 * p + projections) * size_of::<T>();
        let rows = (256 * 1024 / bytes).clamp(16, 512) / 16 * 16;
        Plan {
            composition: composition.clone(),
            d,
            p,
            classes,
            prototype_labels: prototype_labels.to_vec(),
            runs: Classes::new(prototype_labels, classes),
            centre: centre.to_vec(),
            centre_t: centre.iter().map(|c| T::of(*c)).collect(),
            operand: precision.operand(),
            rows,
        }
    }

    /// Builds the metric and whatever else depends on the tensors alone. `learn`: whose gradient is wanted.
    pub fn ready(&self, tensors: &Tensors<T>, learn: &dyn Fn(&str) -> bool) -> Ready<T> {
        let name = self.composition.prototypes;
        // Not in T: a centre far from 0 would cost the prototypes their digits.
        let mut prototypes: Vec<T> = tensors
            .values(name)
            .iter()
            .zip(self.centre.iter().cycle())
            .map(|(w, c)| T::of(w.f64() - c))
            .collect();
        self.operand.round(&mut prototypes);
        let own = self.composition.metric.own_tensor();
        let own_tensor = own.and_then(|name| tensors.get(name));
        let metric = self.metric(
            &prototypes,
            own_tensor.map_or(&[][..], |t| &t.data),
            own_tensor.and_then(|t| t.shape.last().copied()).unwrap_or(0),
            learn(name),
            own.is_some_and(learn),
        );
        let reasoning = (self.composition.cooperation == Cooperation::Reasoning)
            .then(|| Reasoning::new(tensors.values("reasonings"), self.p, self.classes));
        Ready { metric, reasoning, learn_reasonings: learn("reasonings") }
    }

    /// The metric for centred prototypes and its own tensor, whose last axis is `width` long.
    fn metric(
        &self,
        prototypes: &[T],
        own: &[T],
        width: usize,
        learn_prototypes: bool,
        learn_own: bool,
    ) -> Box<dyn Metric<T>> {
        let inputs = Inputs {
            d: self.d,
            prototypes,
            own,
            learn_prototypes,
            learn_own,
            operand: self.operand,
        };
        match self.composition.metric {
            MetricName::SquaredEuclidean => Box::new(SquaredEuclidean::new(inputs)),
            MetricName::Euclidean => Box::new(Euclidean::new(inputs)),
            MetricName::Manhattan => Box::new(Manhattan::new(inputs)),
            MetricName::Lp(p) => Box::new(Lp::new(inputs, p)),
            MetricName::Chebyshev => Box::new(Chebyshev::new(inputs)),
            MetricName::Relevance => Box::new(Relevance::new(inputs)),
            MetricName::Omega => Box::new(Omega::new(inputs, width)),
            MetricName::LocalOmega => Box::new(LocalOmega::new(inputs, width)),
            MetricName::Tangent => Box::new(Tangent::new(inputs, width)),
            MetricName::Cosine => Box::new(Cosine::new(inputs)),
            MetricName::Custom => {
                let own = self.composition.user_metric.clone().expect("composed with its metric");
                Box::new(Custom::new(inputs, own))
            }
        }
    }

    /// Centred rows of the block, in `ws.x`.
    pub fn load(&self, rows: BlockRows<'_>, ws: &mut Workspace<T>) {
        let (b, d) = (rows.len(), self.d);
        ws.x.resize(b * d, T::zero());
        for (k, out) in ws.x.chunks_exact_mut(d).enumerate() {
            rows.features.centred_row_into(rows.row(k), &self.centre, &self.centre_t, out);
        }
        self.operand.round(&mut ws.x);
    }

    /// Rows of the block as they are, in `ws.x`.
    pub fn load_raw(&self, rows: BlockRows<'_>, ws: &mut Workspace<T>) {
        ws.x.resize(rows.len() * self.d, T::zero());
        for (k, out) in ws.x.chunks_exact_mut(self.d).enumerate() {
            rows.features.row_into(rows.row(k), out);
        }
    }

    /// What is subtracted from rows and prototypes.
    pub fn centre(&self) -> &[f64] {
        &self.centre
    }

    /// The metric of one prototype, number j's own matrix, standing at row `at` of the data.
    pub fn ready_at(&self, features: &Features, at: usize, own: &[T]) -> Box<dyn Metric<T>> {
        let mut w = vec![T::zero(); self.d];
        features.centred_row_into(at, &self.centre, &self.centre_t, &mut w);
        self.metric(&w, own, own.len() / self.d, false, false)
    }

    /// Rows and distances of the block.
    pub fn forward(&self, ready: &Ready<T>, rows: BlockRows<'_>, ws: &mut Workspace<T>) {
        self.load(rows, ws);
        ws.d.resize(rows.len() * self.p, T::zero());
        ready.metric.forward(&ws.x, &mut ws.d, &mut ws.scratch);
    }

    /// An empty total.
    pub fn partial(&self, ready: &Ready<T>) -> Partial<T> {
        let reasonings = if ready.reasoning.is_some() { self.p * self.classes * 2 } else { 0 };
        Partial {
            metric: ready.metric.sums().into_iter().map(|n| vec![T::zero(); n]).collect(),
            reasonings: vec![T::zero(); reasonings],
            loss: 0.0,
        }
    }

    /// Loss of each row of the block into `ws.losses`, and, if `factors` are given (weight of each row over the number of
    /// rows), the weighted loss and gradient into `out`.
    pub fn step(
        &self,
        ready: &Ready<T>,
        rows: BlockRows<'_>,
        factors: Option<&[T]>,
        scale: T,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        self.forward(ready, rows, ws);
        ws.losses.clear();
        ws.pairs.clear();
        let factor = |k: usize| factors.map_or(T::zero(), |f| f[k]);
        match (&self.composition.objective, self.composition.cooperation) {
            (Objective::Glvq { transfer, margin }, Cooperation::WinnerPair { ties }) => {
                let objective = Glvq { transfer: transfer.clone(), margin: *margin };
                self.winner_pairs(ready, rows, &objective, ties, &factor, ws);
            }
            (Objective::Lvq1, Cooperation::WinnerPair { ties }) => {
                self.winner_pairs(ready, rows, &Lvq1, ties, &factor, ws);
            }
            (Objective::Lvq21, Cooperation::WinnerPair { ties }) => {
                self.winner_pairs(ready, rows, &Lvq21, ties, &factor, ws);
            }
            (Objective::CrossEntropy, Cooperation::ClassMinimum { ties }) => {
                self.class_minima(ready, rows, ties, &factor, ws);
            }
            (objective, Cooperation::Posterior { sigma }) => {
                let exact_log = matches!(objective, Objective::Rslvq { exact_log: true });
                let ratio = matches!(objective, Objective::Nllr);
                self.posteriors(rows, sigma, ratio, exact_log, &factor, ws);
            }
            (Objective::Hinge { margin }, Cooperation::Reasoning) => {
                self.reason(ready, rows, *margin, &factor, scale, ws, out);
            }
            (objective, cooperation) => {
                unreachable!("no model combines {objective:?} with {cooperation:?}")
            }
        }
        let Some(factors) = factors else { return };
        for (loss, factor) in ws.losses.iter().zip(factors) {
            out.loss += loss.f64() * factor.f64();
        }
        let sparse = matches!(
            self.composition.cooperation,
            Cooperation::WinnerPair { .. } | Cooperation::ClassMinimum { .. }
        );
        if sparse {
            if scale != T::one() || self.operand != Operand::Full {
                for pair in &mut ws.pairs {
                    let mut g = [pair.g * scale];
                    self.operand.round(&mut g);
                    pair.g = g[0];
                }
            }
            ready.metric.backward_pairs(&ws.x, &ws.pairs, &mut ws.scratch, &mut out.metric);
        } else {
            if scale != T::one() || self.operand != Operand::Full {
                ws.g.iter_mut().for_each(|g| *g *= scale);
                self.operand.round(&mut ws.g);
            }
            ready.metric.backward_dense(&ws.x, &ws.d, &ws.g, &mut ws.scratch, &mut out.metric);
        }
    }

    /// Distances by differences for all prototypes of one row: equal prototypes get equal distances.
    fn exact_row(ready: &Ready<T>, k: usize, p: usize, ws: &mut Workspace<T>) {
        for j in 0..p {
            ws.d[k * p + j] = ready.metric.exact(&ws.x, k, j, &mut ws.scratch);
        }
    }

    fn winner_pairs(
        &self,
        ready: &Ready<T>,
        rows: BlockRows<'_>,
        objective: &impl PairObjective<T>,
        ties: Ties,
        factor: &dyn Fn(usize) -> T,
        ws: &mut Workspace<T>,
    ) {
        let p = self.p;
        for k in 0..rows.len() {
            let class = rows.codes[rows.row(k)];
            if ties == Ties::Even {
                Self::exact_row(ready, k, p, ws);
            }
            let (plus, minus) = self.runs.winner_pair(&ws.d[k * p..][..p], class);
            let mut exact =
                |j: Option<usize>| j.map(|j| ready.metric.exact(&ws.x, k, j, &mut ws.scratch));
            let (d_plus, d_minus) = (exact(plus), exact(minus));
            let (loss, g_plus, g_minus) = objective.pair(d_plus, d_minus);
            ws.losses.push(loss);
            let factor = factor(k);
            if factor == T::zero() {
                continue;
            }
            for (winner, same, g) in [(plus, true, g_plus), (minus, false, g_minus)] {
                let Some(winner) = winner else { continue };
                self.push(ws, k, winner, ties, g * factor, |j| {
                    (self.prototype_labels[j] == class) == same
                });
            }
        }
    }

    /// A pair for the winner, or, with even ties, a share for each prototype that is exactly as near.
    fn push(
        &self,
        ws: &mut Workspace<T>,
        k: usize,
        winner: usize,
        ties: Ties,
        g: T,
        competes: impl Fn(usize) -> bool,
    ) {
        let row = k as u32;
        if ties == Ties::First {
            ws.pairs.push(Pair { row, prototype: winner as u32, g });
            return;
        }
        let d = &ws.d[k * self.p..][..self.p];
        ws.indices.clear();
        ws.indices
            .extend((0..self.p).filter(|&j| competes(j) && d[j] == d[winner]).map(|j| j as u32));
        let share = g / T::of(ws.indices.len() as f64);
        ws.pairs.extend(ws.indices.iter().map(|&prototype| Pair { row, prototype, g: share }));
    }

    fn class_minima(
        &self,
        ready: &Ready<T>,
        rows: BlockRows<'_>,
        ties: Ties,
        factor: &dyn Fn(usize) -> T,
        ws: &mut Workspace<T>,
    ) {
        let p = self.p;
        ws.row.resize(self.classes, T::zero());
        let mut winners: Vec<Option<usize>> = vec![None; self.classes];
        for k in 0..rows.len() {
            let class = rows.codes[rows.row(k)] as usize;
            if ties == Ties::Even {
                Self::exact_row(ready, k, p, ws);
            }
            class_minimum(&self.runs, &ws.d[k * p..][..p], &mut winners);
            for (c, winner) in winners.iter().enumerate() {
                ws.row[c] = match winner {
                    Some(j) => ready.metric.exact(&ws.x, k, *j, &mut ws.scratch),
                    None => <T as num_traits::Float>::max_value(),
                };
            }
            let loss = cross_entropy::row(&mut ws.row, class);
            ws.losses.push(loss);
            let factor = factor(k);
            if factor == T::zero() {
                continue;
            }
            for (c, winner) in winners.iter().enumerate() {
                if let Some(j) = winner {
                    let g = ws.row[c] * factor;
                    self.push(ws, k, *j, ties, g, |j| self.prototype_labels[j] as usize == c);
                }
            }
        }
    }

    fn posteriors(
        &self,
        rows: BlockRows<'_>,
        sigma: f64,
        ratio: bool,
        exact_log: bool,
        factor: &dyn Fn(usize) -> T,
        ws: &mut Workspace<T>,
    ) {
        let p = self.p;
        let width = T::of(sigma);
        ws.g.resize(rows.len() * p, T::zero());
        for k in 0..rows.len() {
            let class = rows.codes[rows.row(k)];
            let d = &ws.d[k * p..][..p];
            let g = &mut ws.g[k * p..][..p];
            let loss = if exact_log {
                rslvq::exact_log(d, g, &self.prototype_labels, class, width)
            } else {
                posterior(d, width, g);
                if ratio {
                    nllr::row(g, &self.prototype_labels, class, width)
                } else {
                    rslvq::row(g, &self.prototype_labels, class, width)
                }
            };
            ws.losses.push(loss);
            let factor = factor(k);
            g.iter_mut().for_each(|g| *g *= factor);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn reason(
        &self,
        ready: &Ready<T>,
        rows: BlockRows<'_>,
        margin: f64,
        factor: &dyn Fn(usize) -> T,
        scale: T,
        ws: &mut Workspace<T>,
        out: &mut Partial<T>,
    ) {
        let (b, classes) = (rows.len(), self.classes);
        let Some(reasoning) = &ready.reasoning else { return };
        self.similarities(ws);
        ws.scores.resize(b * classes, T::zero());
        ws.score_gradients.resize(b * classes, T::zero());
        reasoning.forward(&ws.similarities, &mut ws.scores);
        for k in 0..b {
            let class = rows.codes[rows.row(k)] as usize;
            let gradient = &mut ws.score_gradients[k * classes..][..classes];
            let scores = &ws.scores[k * classes..][..classes];
            let loss = hinge::row(scores, class, T::of(margin), gradient);
            ws.losses.push(loss);
            let factor = factor(k);
            gradient.iter_mut().for_each(|g| *g *= factor);
        }
        ws.g.resize(b * self.p, T::zero());
        if ready.learn_reasonings {
            // The reasonings do not pass the scaled products: their share is brought to the same scale.
            ws.row.clear();
            ws.row.resize(out.reasonings.len(), T::zero());
            reasoning.backward(
                &ws.similarities,
                &ws.scores,
                &ws.score_gradients,
                &mut ws.g,
                Some(&mut ws.row),
            );
            out.reasonings.iter_mut().zip(&ws.row).for_each(|(s, g)| *s += *g * scale);
        } else {
            reasoning.backward(&ws.similarities, &ws.scores, &ws.score_gradients, &mut ws.g, None);
        }
        self.similarities_backward(ws);
    }

    /// Similarities of the block's distances, by the composition's kernel.
    fn similarities(&self, ws: &mut Workspace<T>) {
        ws.similarities.resize(ws.d.len(), T::zero());
        match self.composition.kernel {
            Kernel::Gaussian { sigma } => {
                kernel::gaussian::similarity(&ws.d, T::of(sigma), &mut ws.similarities);
            }
            Kernel::RankScaledGaussian { lambda } => {
                kernel::similarity::rank_scaled_gaussian(
                    &ws.d,
                    self.p,
                    T::of(lambda),
                    &mut ws.similarities,
                );
            }
            Kernel::Complement => {
                ws.similarities.iter_mut().zip(&ws.d).for_each(|(s, d)| *s = T::one() - *d);
            }
            Kernel::None => ws.similarities.copy_from_slice(&ws.d),
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
            Kernel::None => {}
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
        self.similarities(ws);
        let mut scores = vec![T::zero(); rows.len() * self.classes];
        if let Some(reasoning) = &ready.reasoning {
            reasoning.forward(&ws.similarities, &mut scores);
        }
        scores
    }
}
