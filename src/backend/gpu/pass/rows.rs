//! Cooperation and objective of a chunk of rows, as launches.

use super::{Batch, Held, Learn, Pass, Rows, find, option, transfer_code};
use crate::backend::gpu::{Driver, Launch};
use crate::parts::composition::{Composition, Cooperation, Kernel, MetricName, Objective, Ties};
use crate::parts::objective::svq_occ::{Cost, Response};
use crate::parts::objective::transfer::Transfer;

/// Whether ranks are wanted for losses.
pub(super) fn ranked(c: &Composition) -> bool {
    c.anneal.is_some() || matches!(c.kernel, Kernel::RankScaledGaussian { .. })
}

/// Whether they are ranks within the class.
pub(super) fn ranked_within_class(c: &Composition) -> bool {
    match c.cooperation {
        Cooperation::RanksOwn { .. } | Cooperation::RanksEach => true,
        // One class has ranks among all.
        Cooperation::PosteriorRanks { within_class, .. } => {
            within_class && !c.objective.is_one_class()
        }
        _ => false,
    }
}

/// The kernel of a row's cooperation and objective.
pub(super) fn kernel(c: &Composition) -> &'static str {
    match (&c.objective, c.cooperation) {
        (Objective::Glvq { .. }, Cooperation::RanksOwn { .. }) => "glvq.ranks_own",
        (Objective::Glvq { .. }, _) => "glvq.winner_pair",
        (Objective::Lvq1, _) => "lvq1.winner_pair",
        (Objective::Lvq21, _) => "lvq21.winner_pair",
        (Objective::CrossEntropy, Cooperation::RanksEach) => "cross_entropy.ranks_each",
        (Objective::CrossEntropy, _) => "cross_entropy.class_minimum",
        (Objective::Nllr, _) => "nllr.posterior",
        (Objective::Rslvq { .. }, Cooperation::PosteriorRanks { .. }) => "rslvq.posterior_ranks",
        (Objective::Rslvq { .. }, _) => "rslvq.posterior",
        (Objective::Hinge { .. }, _) => "hinge.reasoning",
        (Objective::OneClass { .. }, Cooperation::Winner) => "one_class.winner",
        (Objective::OneClass { .. }, _) => "one_class.weighted",
        (Objective::SvqOcc { .. }, _) => "svq_occ.ranks_all",
        (Objective::Hebbian { .. }, _) => "hebbian.rows",
        (Objective::Medoid { .. }, _) => "medoid.rows",
    }
}

impl<D: Driver> Pass<D> {
    /// Cooperation and objective for the chunk's rows, with the ranks before where they are wanted.
    pub(super) fn rows(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        (base, n): (usize, usize),
        what: Rows,
        learn: &Learn,
    ) -> Vec<Launch<D::Buffer>> {
        let c = &self.question.composition;
        let mut all = Vec::new();
        let ranked = match what {
            Rows::Winner | Rows::ClassMinimum | Rows::Detect => false,
            Rows::TargetScores => matches!(c.cooperation, Cooperation::PosteriorRanks { .. }),
            _ => ranked(c),
        };
        if ranked {
            let within = ranked_within_class(c);
            let words = [n, self.p, self.chunk, usize::from(within)].map(|v| v as u32);
            let buffers = [&self.keys, &self.labels, &self.ranks];
            let groups = [n.div_ceil(64), self.p.div_ceil(8)];
            all.push(self.launch("ranks.count", &buffers, &words, groups));
        }
        let row = self.row_launch(tensors, batch, base, n, what, learn);
        let along = |kernel: &'static str, count: usize| {
            let groups = [row.groups[0], count.min(self.driver.limits().groups as usize) as u32, 1];
            Launch { kernel, groups, ..row.clone() }
        };
        let classes = self.question.classes;
        let reasons = matches!(c.objective, Objective::Hinge { .. });
        let asked = matches!(what, Rows::Loss | Rows::Gradient | Rows::ClassScores);
        if !(reasons && asked) {
            all.push(row);
            return all;
        }
        all.push(along("hinge.detect", self.p));
        all.push(along("hinge.scores", classes));
        if what != Rows::ClassScores {
            all.push(row.clone());
        }
        if what == Rows::Gradient {
            all.push(along("hinge.slopes", self.p));
        }
        all
    }

    /// The launch with an invocation a row.
    pub(super) fn row_launch(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        base: usize,
        n: usize,
        what: Rows,
        learn: &Learn,
    ) -> Launch<D::Buffer> {
        let c = &self.question.composition;
        let mut options = if what == Rows::Gradient { option::GRADIENT } else { 0 };
        let (mut rule, mut cost, mut transfer) = (0, 0, &Transfer::Identity);
        let (mut sigma, mut margin, mut lr_ratio) = (1.0, 0.0, 1.0);
        let (mut shape, mut alpha, mut score_beta) = (1.0, 0.0, 1.0);
        match c.cooperation {
            Cooperation::WinnerPair { ties: Ties::Even }
            | Cooperation::ClassMinimum { ties: Ties::Even }
            | Cooperation::RanksOwn { ties: Ties::Even } => options |= option::TIES_EVEN,
            Cooperation::Posterior { sigma: s } => sigma = s,
            Cooperation::PosteriorRanks { sigma: s, .. } => {
                sigma = s;
            }
            _ => {}
        }
        match c.kernel {
            Kernel::Gaussian { sigma: s } => sigma = s,
            Kernel::Complement => rule = 1,
            Kernel::RankScaledGaussian { lambda } => {
                rule = 2;
                shape = lambda;
            }
            _ if c.cooperation == Cooperation::Reasoning => rule = 3,
            _ => {}
        }
        let mut kernel = kernel(c);
        match &c.objective {
            Objective::Glvq { transfer: t, margin: m, lr_ratio: r } => {
                (transfer, margin, lr_ratio) = (t, *m, *r);
            }
            Objective::OneClass { transfer: t, margin: m, beta } => {
                (transfer, margin, score_beta) = (t, *m, *beta);
                rule = match c.cooperation {
                    Cooperation::Posterior { .. } => 0,
                    Cooperation::PosteriorRanks { .. } => 2,
                    // Scores are those of the winner.
                    _ if what == Rows::TargetScores => 3,
                    _ => 1,
                };
            }
            Objective::SvqOcc { alpha: a, cost: k, response, sigma: s } => {
                (alpha, sigma) = (*a, *s);
                (rule, shape) = match response {
                    Response::Gaussian { gamma } => (0, *gamma),
                    Response::StudentT { nu } => (1, *nu),
                    Response::Uniform => (2, 1.0),
                };
                cost = match k {
                    Cost::Contrastive => 0,
                    Cost::Brier => 1,
                    Cost::CrossEntropy => 2,
                };
            }
            Objective::Rslvq { exact_log: true } => options |= option::EXACT_LOG,
            Objective::Hinge { margin: m } => margin = *m,
            Objective::Hebbian { window } => {
                // The window is on unsquared distances; metrics that are roots or sums already are taken as they are.
                let squared = matches!(
                    c.metric,
                    MetricName::SquaredEuclidean
                        | MetricName::Omega
                        | MetricName::LocalOmega
                        | MetricName::Tangent
                );
                rule = match (c.cooperation, window) {
                    (Cooperation::Winner, _) => 0,
                    (_, None) => 1,
                    (_, Some(_)) => {
                        if squared {
                            2
                        } else {
                            3
                        }
                    }
                };
                margin = window.unwrap_or(0.0);
            }
            Objective::Medoid { assignment } => {
                rule = u32::from(*assignment == crate::parts::composition::Assignment::Class);
            }
            _ => {}
        }
        if let Some((_, true)) = c.objective.thresholds() {
            options |= option::THETA_ROOTS;
        }
        if let Some(anneal) = c.anneal
            && learn.has(anneal.tensor)
        {
            options |= option::LEARN_RANGE;
        }
        let (mut code, mut beta) = transfer_code(transfer);
        match what {
            Rows::Loss | Rows::Gradient => {}
            Rows::Detect => kernel = "svq_occ.detect",
            Rows::Winner => kernel = "nearest.winner",
            Rows::ClassMinimum => kernel = "nearest.class_minimum",
            Rows::ClassScores => kernel = "hinge.scores",
            Rows::TargetScores => {
                kernel = match c.objective {
                    Objective::SvqOcc { .. } => "svq_occ.score",
                    _ => "one_class.score",
                };
                (code, beta) = (0, score_beta);
            }
        }
        let map = match c.kernel.map() {
            crate::parts::kernel::Map::Identity => 0,
            crate::parts::kernel::Map::Gaussian => 1,
            crate::parts::kernel::Map::Log => 2,
        };
        let thetas = c.objective.thresholds().map(|(name, _)| &find(tensors, name).buffer);
        let buffers = [
            &self.keys,
            &self.slopes,
            &self.theta_slopes,
            &self.outcome,
            batch.codes,
            batch.factors,
            &self.labels,
            &self.neighbourhood,
            thetas.unwrap_or(&self.zeros),
            &self.room,
            &self.dynamic,
            &self.ranks,
        ];
        let sizes =
            [n, self.p, self.chunk, base, self.question.classes, self.question.target as usize];
        let numbers = [sigma, margin, beta, lr_ratio, shape, alpha];
        let words: Vec<u32> = (sizes.iter().map(|v| *v as u32))
            .chain(numbers.iter().map(|v| (*v as f32).to_bits()))
            .collect();
        let mut launch = self.each(kernel, &buffers, &words, n);
        launch.constants =
            vec![(0, map), (1, self.operand()), (2, code), (3, options), (4, rule), (5, cost)];
        launch
    }
}
