//! Backward products, the fused step, and gradients from the sums, as launches.

use super::{
    Batch, FUSED_GROUPS, FUSED_ROWS, Held, Learn, PARTS, Part, Pass, SUMMED_ROWS, find, fits_fused,
    option, ratio_of, transfer_code,
};
use crate::backend::gpu::{Driver, Launch};
use crate::parts::composition::{Cooperation, Kernel, MetricName, Objective, Ties};

/// Numbers that a workgroup of `sum.slabs` forms.
const ADDED: usize = 16;

impl<D: Driver> Pass<D> {
    /// Sums over the chunk's rows: `first_a`, `first_b`, `first` as in `sum.comp`.
    pub(super) fn sums(
        &self,
        kernel: &'static str,
        (a, b, to): (&D::Buffer, &D::Buffer, &D::Buffer),
        (n, count, width): (usize, usize, usize),
        add: bool,
        [first_a, first_b, first]: [usize; 3],
    ) -> Vec<Launch<D::Buffer>> {
        let kernel = match (kernel, self.tuned() && self.driver.limits().subgroups) {
            ("sum.columns", true) => "sum.columns_subgroup",
            ("sum.products", true) => "sum.products_subgroup",
            ("sum.cross", true) => "sum.cross_subgroup",
            (plain, _) => plain,
        };
        let parts = n.div_ceil(SUMMED_ROWS).clamp(1, PARTS);
        let rows = n.div_ceil(parts);
        let words = |add: bool, first: usize| {
            [n, self.chunk, count, width, usize::from(add), first_a, first_b, first, rows]
                .map(|v| v as u32)
        };
        if parts == 1 {
            return vec![self.launch(kernel, &[a, b, to], &words(add, first), [count, 1])];
        }
        let parted = [a, b, &self.partials];
        vec![
            self.launch(kernel, &parted, &words(false, 0), [count, parts]),
            self.added((&self.partials, to), (parts, count), add, first),
        ]
    }

    /// Adds the slabs of a backward product to `to`.
    pub(super) fn add_slabs(
        &self,
        slabs: usize,
        count: usize,
        add: bool,
        to: &D::Buffer,
    ) -> Launch<D::Buffer> {
        self.added((&self.slabs, to), (slabs, count), add, 0)
    }

    /// The sum over `parts` of `count` numbers each, to place `first` on.
    fn added(
        &self,
        (from, to): (&D::Buffer, &D::Buffer),
        (parts, count): (usize, usize),
        add: bool,
        first: usize,
    ) -> Launch<D::Buffer> {
        self.added_of(from, (0, count), to, (parts, count), add, first)
    }

    /// The same where the numbers of each part begin at word `at` of its `stride` words.
    pub(super) fn added_of(
        &self,
        from: &D::Buffer,
        (at, stride): (usize, usize),
        to: &D::Buffer,
        (parts, count): (usize, usize),
        add: bool,
        first: usize,
    ) -> Launch<D::Buffer> {
        let words = [parts, stride, count, 0, usize::from(add), at, 0, first, 0].map(|v| v as u32);
        self.launch("sum.slabs", &[from, from, to], &words, [count.div_ceil(ADDED), 1])
    }

    /// What the rows pull the prototypes with, `p x l` (twice that with squares), into `to`.
    pub(super) fn pull(
        &self,
        kernel: &'static str,
        (y, v, offsets): (&D::Buffer, &D::Buffer, &D::Buffer),
        (n, base, l, ld): (usize, usize, usize, usize),
        add: bool,
        to: &D::Buffer,
    ) -> [Launch<D::Buffer>; 2] {
        let cells = self.p * l;
        let tiled = match kernel {
            "squared_euclidean.pull" => "squared_euclidean.pull_tile",
            "manhattan.pull" => "manhattan.pull_tile",
            "relevance.pull" => "relevance.pull_tile",
            _ => "",
        };
        // In tiles all prototypes stand against the same words of a row: a row is those words.
        let in_tiles = self.tuned() && l == ld && !tiled.is_empty();
        let slabs = self.slabs(n, [self.p, l], in_tiles);
        let buffers = [
            y,
            v,
            &self.affine,
            offsets,
            &self.lam,
            &self.slopes,
            &self.raw,
            &self.more,
            &self.slabs,
        ];
        let words = self.pair_words(n, base, l, ld, slabs.rows);
        let count = if kernel == "relevance.pull" { 2 * cells } else { cells };
        let launch = match in_tiles {
            true => self.tiles(tiled, &buffers, &words, [self.p, l, slabs.count]),
            false => self.launch(kernel, &buffers, &words, [cells.div_ceil(64), slabs.count]),
        };
        [launch, self.add_slabs(slabs.count, count, add, to)]
    }

    /// Adds the chunk's share of all gradients. `add`: not the first chunk.
    pub(super) fn backward(
        &self,
        x: &D::Buffer,
        base: usize,
        n: usize,
        gradients: &[Held<D::Buffer>],
        learn: &Learn,
        add: bool,
    ) -> Vec<Launch<D::Buffer>> {
        let c = &self.question.composition;
        let mut all = Vec::new();
        let own = c.metric.own_tensor().filter(|name| learn.has(name));
        let prototypes = learn.has(c.prototypes);
        if let Some((name, _)) = c.objective.thresholds()
            && learn.has(name)
        {
            let to = &find(gradients, name).buffer;
            let buffers = (&self.theta_slopes, &self.theta_slopes, to);
            all.extend(self.sums("sum.columns", buffers, (n, self.p, 0), add, [0; 3]));
        }
        if let Some(anneal) = c.anneal
            && learn.has(anneal.tensor)
        {
            let to = &find(gradients, anneal.tensor).buffer;
            let buffers = (&self.outcome, &self.outcome, to);
            all.extend(self.sums("sum.columns", buffers, (n, 1, 0), add, [1, 0, 0]));
        }
        if learn.has("reasonings") {
            let k = self.question.classes;
            let buffers = (&self.room, &self.room, &self.reasoning);
            all.extend(self.sums("sum.cross", buffers, (n, self.p * k, k), add, [2 * k, 0, 0]));
            all.extend(self.sums("sum.columns", buffers, (n, 2 * k, 0), add, [0, 0, self.p * k]));
        }
        if c.spread && learn.has("log_variances") {
            let buffers = (&self.slopes, &self.slopes, &self.columns);
            all.extend(self.sums("sum.columns", buffers, (n, self.p, 0), add, [0; 3]));
        }
        if learn.has("sigmas") {
            let buffers = (&self.slopes, &self.keys, &self.columns);
            all.extend(self.sums("sum.products", buffers, (n, self.p, 0), add, [0, 0, self.p]));
        }
        if !prototypes && own.is_none() {
            return all;
        }
        let (y, v, offsets, first, l, ld) = self.compared(x, base);
        let special = match c.metric {
            // What multiplies the prototype itself is in `more` or in `raw`.
            MetricName::Bilinear => Some(("exponential.slopes", &self.more)),
            MetricName::Cosine => Some(("cosine.slopes", &self.raw)),
            _ => None,
        };
        if let Some((kernel, factors)) = special {
            let buffers =
                [y, v, &self.affine, offsets, &self.lam, &self.slopes, &self.raw, &self.more];
            let words = self.pair_words(n, first, l, ld, 0);
            all.push(self.launch(kernel, &buffers, &words, [n.div_ceil(64), self.p]));
            let buffers = (factors, factors, &self.extra);
            all.extend(self.sums("sum.columns", buffers, (n, self.p, 0), add, [0; 3]));
        }
        let kernel = match c.metric {
            MetricName::Euclidean => "euclidean.pull",
            MetricName::Manhattan => "manhattan.pull",
            MetricName::Lp(_) => "lp.pull",
            MetricName::Chebyshev => "chebyshev.pull",
            MetricName::Relevance => "relevance.pull",
            MetricName::Cosine => "cosine.pull",
            _ => "squared_euclidean.pull",
        };
        all.extend(self.pull(kernel, (y, v, offsets), (n, first, l, ld), add, &self.pulls));
        if own.is_none() || self.maps == 0 {
            return all;
        }
        let width = self.maps * self.l;
        if c.metric == MetricName::Tangent {
            let shape = (n, 0, self.l, width);
            let compared = (&self.y, &self.v, &self.offsets);
            all.extend(self.pull("squared_euclidean.pull", compared, shape, add, &self.shares));
        }
        let buffers = [&self.y, &self.v, &self.affine, &self.offsets, &self.slopes, &self.h];
        let words = self.map_words(n, 0, 0);
        all.push(match self.tuned() && self.maps == 1 {
            true => self.tiles("omega.push_tile", &buffers, &words, [n, self.l, 1]),
            false => self.each("omega.push", &buffers, &words, n * width),
        });
        if c.metric == MetricName::Bilinear {
            let words = [n, self.p, self.chunk, self.l].map(|v| v as u32);
            all.push(self.each("exponential.push", &[&self.y, &self.raw, &self.h], &words, n));
        }
        all.extend(self.outer(x, base, n, add));
        all
    }

    /// `X^T H` of the chunk.
    pub(super) fn outer(
        &self,
        x: &D::Buffer,
        base: usize,
        n: usize,
        add: bool,
    ) -> [Launch<D::Buffer>; 2] {
        let width = self.maps * self.l;
        let cells = self.d * width;
        let slabs = self.slabs(n, [self.d, width], self.tuned());
        let words = self.map_words(n, base, slabs.rows);
        let buffers = [x, &self.h, &self.slabs];
        let launch = match self.tuned() {
            true => {
                let shape = [self.d, width, slabs.count];
                match self.driver.limits().multiprocessors {
                    0 => self.tiles("omega.outer_tile", &buffers, &words, shape),
                    _ => {
                        let words = self.product_words(&words);
                        self.tiles("products.outer", &buffers, &words, shape)
                    }
                }
            }
            false => {
                let groups = [cells.div_ceil(64), slabs.count];
                self.launch("omega.outer", &buffers, &words, groups)
            }
        };
        [launch, self.add_slabs(slabs.count, cells, add, &self.outer)]
    }

    /// The kernel of the whole step, where there is one and its sums fit what a workgroup shares.
    pub(super) fn fused_kernel(&self) -> Option<&'static str> {
        let c = &self.question.composition;
        let winner_pair = Cooperation::WinnerPair { ties: Ties::First };
        let plain = c.kernel == Kernel::None && !c.spread && self.operand() == 0;
        let metric = matches!(
            c.metric,
            MetricName::SquaredEuclidean | MetricName::Relevance | MetricName::Omega
        );
        let fits = fits_fused(&self.driver.limits(), self.p * self.l, self.l);
        if !(self.tuned() && c.cooperation == winner_pair && plain && metric && fits) {
            return None;
        }
        match c.objective {
            Objective::Glvq { .. } => Some("glvq.fused"),
            Objective::Lvq1 => Some("lvq1.fused"),
            Objective::Lvq21 => Some("lvq21.fused"),
            _ => None,
        }
    }

    /// The whole step of a chunk as one kernel: losses and, with `gradient`, what its rows pull the prototypes with.
    pub(super) fn fused(
        &self,
        kernel: &'static str,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        Part { base, x_base, n }: Part,
        (gradient, learn): (bool, &Learn),
    ) -> Vec<Launch<D::Buffer>> {
        let c = &self.question.composition;
        let add = base > 0;
        let mut all: Vec<_> = self.project(tensors, batch.x, x_base, n).into_iter().collect();
        let (y, v, _, first, l, ld) = self.compared(batch.x, x_base);
        let own = c.metric.own_tensor().filter(|name| learn.has(name));
        let pushes = gradient && own.is_some() && self.maps > 0;
        let (transfer, margin) = ratio_of(&c.objective);
        let (code, beta) = transfer_code(transfer);
        let relevance = c.metric == MetricName::Relevance;
        let groups = n.div_ceil(FUSED_ROWS).min(FUSED_GROUPS);
        let buffers = [
            y,
            v,
            &self.lam,
            batch.codes,
            batch.factors,
            &self.labels,
            &self.outcome,
            &self.slabs,
            &self.h,
            &self.dynamic,
        ];
        let sizes = [n, self.p, l, ld, base, first].map(|v| v as u32);
        let mut words = sizes.to_vec();
        words.extend([margin as f32, beta as f32].map(f32::to_bits));
        let mut launch = self.launch(kernel, &buffers, &words, [groups, 1]);
        let options =
            if gradient { option::GRADIENT } else { 0 } | if pushes { option::PUSH } else { 0 };
        launch.constants = vec![
            (2, code),
            (3, options),
            (4, u32::from(relevance)),
            (8, (self.p * l) as u32),
            (9, if relevance { l as u32 } else { 1 }),
        ];
        all.push(launch);
        if gradient {
            let count = if relevance { 2 * self.p * l } else { self.p * l };
            all.push(self.add_slabs(groups, count, add, &self.pulls));
            if pushes {
                all.extend(self.outer(batch.x, x_base, n, add));
            }
        }
        all
    }

    /// Gradients from the sums.
    pub(super) fn finish(
        &self,
        tensors: &[Held<D::Buffer>],
        gradients: &[Held<D::Buffer>],
        learn: &Learn,
    ) -> Vec<Launch<D::Buffer>> {
        let c = &self.question.composition;
        let (p, d) = (self.p as u32, self.d as u32);
        let mut all = Vec::new();
        let own = c.metric.own_tensor().filter(|name| learn.has(name));
        let prototypes = learn.has(c.prototypes);
        let special = matches!(c.metric, MetricName::Bilinear | MetricName::Cosine);
        let factors = if special { &self.extra } else { &self.zeros };
        let to = |name: &str| &find(gradients, name).buffer;
        if c.metric == MetricName::Tangent {
            if prototypes || own.is_some() {
                let learned = u32::from(prototypes) | (u32::from(own.is_some()) << 1);
                let unused = &self.slabs;
                let buffers = [
                    &self.pulls,
                    &find(tensors, "omegas").buffer,
                    &self.outer,
                    &self.shares,
                    &self.w,
                    &self.dynamic,
                    if prototypes { to(c.prototypes) } else { unused },
                    own.map_or(unused, to),
                    &self.tangent_room,
                ];
                let words = [p, d, self.l as u32, learned];
                all.push(self.launch("tangent.finish", &buffers, &words, [self.p, 1]));
            }
        } else if let (true, Some(name)) = (self.maps > 0, c.metric.own_tensor()) {
            let matrices = &find(tensors, name).buffer;
            let shared = [&self.pulls, matrices, &self.offsets, &self.dynamic, &self.v, factors];
            let words = self.map_words(0, 0, 0);
            if prototypes {
                let mut buffers = shared.to_vec();
                buffers.push(to(c.prototypes));
                all.push(self.each("omega.prototypes", &buffers, &words, self.p * self.d));
            }
            if own.is_some() {
                let mut buffers = shared.to_vec();
                buffers.extend([to(name), &self.outer, &self.w]);
                let count = self.maps * self.d * self.l;
                all.push(self.each("omega.maps", &buffers, &words, count));
            }
        } else if prototypes {
            let factor: f32 = match c.metric {
                MetricName::SquaredEuclidean | MetricName::Relevance => -2.0,
                MetricName::Cosine => 1.0,
                _ => -1.0,
            };
            let buffers = [&self.pulls, &self.w, factors, &self.dynamic, to(c.prototypes)];
            let words = [p, d, factor.to_bits()];
            all.push(self.each("direct.prototypes", &buffers, &words, self.p * self.d));
        }
        if c.metric == MetricName::Relevance && own.is_some() {
            let rho = &find(tensors, "relevances").buffer;
            let buffers = [rho, &self.lam, &self.pulls, to("relevances"), &self.dynamic];
            all.push(self.launch("relevance.finish", &buffers, &[p, d], [1, 1]));
        }
        if c.spread && learn.has("log_variances") {
            let buffers = [
                &find(tensors, "log_variances").buffer,
                &self.affine,
                &self.columns,
                &self.dynamic,
                to("log_variances"),
            ];
            all.push(self.each("spread.finish", &buffers, &[p, d], self.p * self.d));
        }
        if let Kernel::Bandwidth { sigma_min } = c.kernel
            && learn.has("sigmas")
        {
            let buffers = [
                &find(tensors, "sigmas").buffer,
                &self.affine,
                &self.columns,
                &self.dynamic,
                to("sigmas"),
            ];
            let words = [p, (sigma_min as f32).to_bits()];
            all.push(self.each("bandwidth.finish", &buffers, &words, self.p));
        }
        if learn.has("reasonings") {
            let buffers = [&find(tensors, "reasonings").buffer, &self.reasoning, to("reasonings")];
            let count = self.p * self.question.classes;
            let words = [p, self.question.classes as u32];
            all.push(self.each("reasoning.finish", &buffers, &words, count));
        }
        all
    }
}
