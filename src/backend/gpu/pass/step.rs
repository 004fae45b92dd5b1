//! The step of any cooperation, objective and metric as one kernel (`kernels/step.cu`): what it needs in shared memory, and its launches.

use super::{
    Batch, Held, Learn, OUTCOMES, Part, Pass, Rows, find, keeps_more, keeps_raw, option, room_rows,
};
use crate::backend::gpu::{Driver, Launch, Limits};
use crate::parts::composition::{Composition, Kernel, MetricName, Objective, Precision};

/// Terms, prototypes and rows that a product takes at a time.
const TERMS: usize = 16;
/// Threads of a block, and blocks of a multiprocessor at most.
const THREADS: usize = 128;
const BLOCKS: usize = 4;
/// Rows of a block, the most that leave room for two blocks.
const TILES: [usize; 3] = [64, 32, 16];

/// Kernels of a row's cooperation and objective, by their numbers in the step's kernel.
const ROWS: [&str; 13] = [
    "glvq.winner_pair",
    "lvq1.winner_pair",
    "lvq21.winner_pair",
    "glvq.ranks_own",
    "cross_entropy.class_minimum",
    "cross_entropy.ranks_each",
    "nllr.posterior",
    "rslvq.posterior",
    "rslvq.posterior_ranks",
    "hinge.reasoning",
    "one_class.winner",
    "one_class.weighted",
    "svq_occ.ranks_all",
];

/// How the step is done.
#[derive(Debug)]
pub(super) struct Step {
    kernel: &'static str,
    /// Whether its operands are halves.
    pub half: bool,
    rows: u32,
    /// The metric's number in the kernel.
    metric: u32,
    pub relevance: bool,
    ranked: bool,
    within: bool,
    thresholds: bool,
    bandwidths: bool,
    /// Classes, where components are detected.
    reasons: Option<usize>,
    /// Prototypes and terms, rounded up to what the kernel takes.
    pub prototypes: usize,
    pub terms: usize,
    /// Rows of a block, and words from one prototype's entries to the next's, and from one row to the next, as they are compared or projected.
    tile: usize,
    stride: usize,
    wide: usize,
    pulled: usize,
    /// Who has a map of its own: 0 nobody, 1 each class, 2 each prototype.
    mapped: usize,
    /// Whether distances and pulls are formed by differences.
    by_differences: bool,
    /// Where rows are projected here: words from one row of X to the next, and from one feature's outer products to the next's.
    projection: Option<[usize; 2]>,
    /// Rows of the room of the objective.
    rooms: usize,
    /// Words of shared memory.
    shared_words: usize,
    /// Blocks that a multiprocessor holds, by their memory.
    per_multiprocessor: usize,
    /// Words of a block's sums: pulls (and squares), then all others.
    cells: usize,
    set: usize,
}

/// Sizes of a problem: prototypes, features, columns of a map, maps, classes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub p: usize,
    pub d: usize,
    pub l: usize,
    pub maps: usize,
    pub classes: usize,
}

/// The metric's number in the kernel, and who has a map of its own.
fn metric(metric: MetricName) -> Option<(u32, usize)> {
    match metric {
        MetricName::SquaredEuclidean | MetricName::Omega => Some((0, 0)),
        MetricName::ClassOmega => Some((0, 1)),
        MetricName::LocalOmega => Some((0, 2)),
        MetricName::Relevance => Some((1, 0)),
        MetricName::Euclidean => Some((2, 0)),
        MetricName::Manhattan => Some((3, 0)),
        MetricName::Lp(_) => Some((4, 0)),
        MetricName::Chebyshev => Some((5, 0)),
        MetricName::Cosine => Some((6, 0)),
        MetricName::Bilinear => Some((7, 0)),
        MetricName::Tangent => Some((8, 2)),
        MetricName::Custom => None,
    }
}

/// The numbers of a cooperation with its objective and of a metric in the kernel, and who has a map of its own; none for update rules and
/// metrics of the user's.
pub(super) fn known(c: &Composition) -> Option<(u32, u32, usize)> {
    let name = super::rows::kernel(c);
    let rows = ROWS.iter().position(|known| *known == name)?;
    let (metric, mapped) = metric(c.metric)?;
    Some((rows as u32, metric, mapped))
}

impl Step {
    /// The plan; none where the tensor cores, the shared memory or the parts do not allow it.
    pub fn plan(
        limits: &Limits,
        c: &Composition,
        precision: Precision,
        Sizes { p, d, l: columns, maps, classes }: Sizes,
    ) -> Option<Step> {
        let (rows, metric, mapped) = known(c)?;
        if limits.multiprocessors == 0 {
            return None;
        }
        let relevance = c.metric == MetricName::Relevance;
        let tangent = c.metric == MetricName::Tangent;
        let by_differences = mapped > 0 || metric > 1;
        // Tangent distances compare the rows themselves.
        let l = if tangent { d } else { columns };
        let width = maps * columns;
        let bandwidths = matches!(c.kernel, Kernel::Bandwidth { .. });
        // Weighted prototypes and scaled slopes are no numbers of a shorter format.
        let scaled = relevance || bandwidths || c.spread || by_differences;
        let (kernel, half) = match precision {
            _ if by_differences => ("step.differences", false),
            Precision::Bf16 if !scaled => ("step.bf16", true),
            Precision::F16 if !scaled => ("step.f16", true),
            Precision::Tf32 if !scaled => ("step.tf32", false),
            _ => ("step.f32", false),
        };
        let (prototypes, terms) = (p.next_multiple_of(TERMS), l.next_multiple_of(TERMS));
        // At least so many words, eight more than a multiple of 32.
        let spread = |words: usize| (words.saturating_sub(8)).next_multiple_of(32) + 8;
        let pulled = spread(terms);
        let wide = match (by_differences, maps) {
            (false, _) => pulled,
            (true, 0) => l | 1,
            (true, _) => width | 1,
        };
        let whole = d.next_multiple_of(TERMS);
        let apart = [spread(whole), spread(width.next_multiple_of(TERMS))];
        let ranked = super::rows::ranked(c);
        let thresholds = c.objective.is_one_class();
        let reasons = matches!(c.objective, Objective::Hinge { .. }).then_some(classes);
        let rooms = room_rows(c, p, classes);
        let reasoning = reasons.map_or(0, |k| (p + 2) * k);
        let shares = if tangent { width } else { 0 };
        let cells = if relevance { 2 * p * l } else { p * l };
        let kept = usize::from(keeps_raw(c.metric)) + usize::from(keeps_more(c.metric));
        let most = limits.shared_most as usize / 4;
        let words = |tile: usize, projects: bool| {
            let stride = tile + 4;
            let matrices = p * (1 + kept + usize::from(ranked) + usize::from(thresholds))
                + prototypes
                + OUTCOMES
                + OUTCOMES.max(reasons.unwrap_or(0))
                + rooms;
            let labels = (p + classes).next_multiple_of(4);
            let squares = if relevance { wide } else { 0 };
            let projection = if projects { tile * apart[0] + whole * apart[1] } else { 0 };
            let features = projection + tile * wide + prototypes * pulled + squares;
            features + matrices * stride + labels + tile + 4 * p + reasoning + shares
        };
        let fits = |blocks: usize, projects: bool| {
            let tile = TILES.into_iter().find(|t| blocks * words(*t, projects) <= most)?;
            Some((tile, projects))
        };
        // Rows are projected here where that leaves room for two blocks, and always for tangent distances.
        let (tile, projects) = match (maps > 0, tangent) {
            (true, true) => fits(2, true).or_else(|| fits(1, true)),
            (true, false) => fits(2, true).or_else(|| fits(2, false)).or_else(|| fits(1, false)),
            _ => fits(2, false).or_else(|| fits(1, false)),
        }?;
        let shared_words = words(tile, projects);
        let crosses = if projects { d * width } else { 0 };
        Some(Step {
            kernel,
            half,
            rows,
            metric,
            relevance,
            ranked,
            within: super::rows::ranked_within_class(c),
            thresholds,
            bandwidths,
            reasons,
            prototypes,
            terms,
            tile,
            stride: tile + 4,
            wide,
            pulled,
            mapped,
            by_differences,
            projection: projects.then_some(apart),
            rooms,
            shared_words,
            per_multiprocessor: (most / shared_words).clamp(1, BLOCKS),
            cells,
            set: cells + OUTCOMES + 4 * p + reasoning + shares + crosses,
        })
    }

    /// Whether its products are done on tensor cores.
    pub fn tensor_cores(&self) -> bool {
        !self.by_differences
    }

    /// Whether rows are projected, and outer products formed, in the kernel.
    pub fn projects(&self) -> bool {
        self.projection.is_some()
    }

    /// Blocks for n rows: as many as run at once.
    fn blocks(&self, limits: &Limits, n: usize) -> usize {
        n.div_ceil(self.tile).min(limits.multiprocessors as usize * self.per_multiprocessor).max(1)
    }

    /// Words of the sums that a chunk of n rows leaves.
    pub fn sums_words(&self, limits: &Limits, n: usize) -> usize {
        self.blocks(limits, n) * self.set
    }

    /// In words.
    pub fn described(&self) -> String {
        let operands = match self.kernel {
            "step.differences" => "by differences".to_string(),
            "step.f32" => "on tensor cores (f32 as three products of tf32)".to_string(),
            kernel => format!("on tensor cores ({})", &kernel["step.".len()..]),
        };
        let projects = match self.projects() {
            true => ", with the projection of its rows and its gradient",
            false => "",
        };
        let (rows, bytes, blocks) = (self.tile, 4 * self.shared_words, self.per_multiprocessor);
        format!(
            "fused, {operands}{projects}: {rows} rows a block with their keys and slopes in {bytes} bytes of shared memory, \
             {blocks} block(s) of {THREADS} threads a multiprocessor"
        )
    }
}

impl<D: Driver> Pass<D> {
    /// The whole step of a chunk: losses and, with `gradients`, what its rows pull and push, summed. `what` is `Loss`, `Gradient`, or `Detect`
    /// for the confusion matrix alone; `each`: also the loss of each row.
    pub(super) fn step(
        &self,
        step: &Step,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        Part { base, x_base, n }: Part,
        (what, each): (Rows, bool),
        gradients: Option<(&[Held<D::Buffer>], &Learn)>,
    ) -> Vec<Launch<D::Buffer>> {
        let c = &self.question.composition;
        let limits = self.driver.limits();
        let nothing = Learn::default();
        let learn = gradients.map_or(&nothing, |(_, learn)| learn);
        let mut all = Vec::new();
        let (mut y, _, _, mut first, l, mut ld) = self.compared(batch.x, x_base);
        let mut fours = l.is_multiple_of(4) && ld.is_multiple_of(4) && !step.by_differences;
        if step.projects() {
            (y, first, ld) = (batch.x, x_base, self.maps * self.l);
            fours = self.d.is_multiple_of(4);
        } else {
            all.extend(self.project(tensors, batch.x, x_base, n));
        }
        let nobody = &self.zeros;
        let maps = c.metric.own_tensor().filter(|_| self.maps > 0);
        let maps = maps.map_or(nobody, |name| &find(tensors, name).buffer);
        let own = c.metric.own_tensor().filter(|name| learn.has(name));
        let pushes = what == Rows::Gradient && own.is_some() && self.maps > 0;
        // The texts of the rows' kernels are those of the staged pass, and so are their constants and sizes.
        let row = self.row_launch(tensors, batch, base, n, what, learn);
        let thetas = &row.buffers[8];
        let buffers = [
            y,
            &self.prepared,
            &self.affine,
            &self.outcome,
            batch.codes,
            batch.factors,
            &self.labels,
            &self.neighbourhood,
            thetas,
            &self.h,
            &self.dynamic,
            &self.slabs,
            maps,
            if self.maps > 0 { &self.v } else { nobody },
        ];
        let mut words = row.words;
        words[2] = step.stride as u32;
        let within = usize::from(step.within);
        let aligned = usize::from(fours);
        let sizes = [l, ld, first, step.prototypes, step.terms, aligned, step.tile, step.wide];
        let more = [step.pulled, step.rooms, step.set, within, step.mapped];
        words.extend(sizes.iter().chain(&more).map(|v| *v as u32));
        words.push(self.power().to_bits());
        let [across, crossed] = step.projection.unwrap_or_default();
        words.extend([self.d, across, crossed].map(|v| v as u32));
        let blocks = step.blocks(&limits, n);
        let mut launch = self.launch(step.kernel, &buffers, &words, [blocks, 1]);
        launch.constants = row.constants;
        let options = [
            (pushes, option::PUSH),
            (each, option::LOSSES),
            (what == Rows::Detect, option::LOOK),
            (step.ranked && what != Rows::Detect, option::RANKED),
            (step.thresholds, option::THRESHOLDS),
            (step.bandwidths, option::PRODUCTS),
            (
                c.objective.is_one_class() || matches!(c.objective, Objective::Glvq { .. }),
                option::RATIOS,
            ),
            (step.projects(), option::PROJECT),
        ];
        for (id, value) in &mut launch.constants {
            if *id == 3 {
                *value |= options.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum::<u32>();
            }
        }
        launch.constants.extend([(6, step.rows), (7, step.metric), (8, step.shared_words as u32)]);
        if c.metric == MetricName::Tangent {
            // Its projections are not rounded.
            launch.constants.retain(|(id, _)| *id != 1);
        }
        all.push(launch);

        let add = base > 0;
        let mut sum = |at: usize, count: usize, to: &D::Buffer, first: usize| {
            all.push(self.added_of(&self.slabs, (at, step.set), to, (blocks, count), add, first));
        };
        let others = step.cells + OUTCOMES;
        if what == Rows::Detect {
            sum(step.cells + 2, 4, &self.totals, 2);
            return all;
        }
        if !each {
            sum(step.cells, 1, &self.totals, 0);
        }
        let Some((gradients, _)) = gradients else { return all };
        if learn.has(c.prototypes) || own.is_some() {
            sum(0, step.cells, &self.pulls, 0);
            if matches!(c.metric, MetricName::Bilinear | MetricName::Cosine) {
                sum(others + 3 * self.p, self.p, &self.extra, 0);
            }
        }
        if let Some(anneal) = c.anneal
            && learn.has(anneal.tensor)
        {
            sum(step.cells + 1, 1, &find(gradients, anneal.tensor).buffer, 0);
        }
        if c.spread && learn.has("log_variances") {
            sum(others, self.p, &self.columns, 0);
        }
        if learn.has("sigmas") {
            sum(others + self.p, self.p, &self.columns, self.p);
        }
        if let Some((name, _)) = c.objective.thresholds()
            && learn.has(name)
        {
            sum(others + 2 * self.p, self.p, &find(gradients, name).buffer, 0);
        }
        if let (Some(classes), true) = (step.reasons, learn.has("reasonings")) {
            sum(others + 4 * self.p, (self.p + 2) * classes, &self.reasoning, 0);
        }
        if pushes {
            let (width, crosses) = (self.maps * self.l, self.d * self.maps * self.l);
            if c.metric == MetricName::Tangent {
                sum(step.set - crosses - width, width, &self.shares, 0);
            }
            if step.projects() {
                sum(step.set - crosses, crosses, &self.outer, 0);
            } else {
                all.extend(self.outer(batch.x, x_base, n, add));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::winners::tests::limits;
    use super::*;
    use crate::Model;
    use crate::model::catalogue::{CATALOGUE, MetricChoice};

    fn plan(limits: &Limits, model: &str, precision: Precision, sizes: [usize; 3]) -> Option<Step> {
        let [p, d, maps] = sizes;
        let model = Model::new(model).unwrap();
        let c = model.compose(crate::model::Sizes { n: 100, d, p, classes: 10 }).unwrap();
        let l = if c.metric == MetricName::Tangent { 4 } else { d };
        Step::plan(limits, &c, precision, Sizes { p, d, l, maps, classes: 10 })
    }

    #[test]
    fn the_tile_is_what_fits() {
        for (model, precision, sizes, tile, kernel) in [
            ("RSLVQ", Precision::F32, [50, 64, 0], 64, "step.f32"),
            ("RSLVQ", Precision::Tf32, [50, 64, 0], 64, "step.tf32"),
            ("SNG", Precision::Bf16, [50, 64, 0], 64, "step.bf16"),
            // What is weighted or scaled is in single precision.
            ("SRNG", Precision::Bf16, [50, 64, 0], 64, "step.f32"),
            ("DKGLVQ", Precision::F16, [50, 64, 0], 64, "step.f32"),
            ("SNG", Precision::F32, [200, 64, 0], 32, "step.f32"),
            ("SNG", Precision::F32, [400, 64, 0], 16, "step.f32"),
            ("LGMLVQ", Precision::F32, [20, 8, 20], 64, "step.differences"),
            ("GTLVQ", Precision::F32, [8, 32, 8], 64, "step.differences"),
        ] {
            let step = plan(&limits(), model, precision, sizes).unwrap();
            assert_eq!((step.tile, step.kernel), (tile, kernel), "{model} {sizes:?} {step:?}");
            assert!(4 * step.shared_words <= 227 << 10, "{step:?}");
            // Lanes of a warp meet different banks.
            assert_eq!((step.stride % 32, step.pulled % 32), (step.tile % 32 + 4, 8));
            assert!(
                if step.by_differences { step.wide % 2 == 1 } else { step.wide % 32 == 8 },
                "{step:?}"
            );
        }
    }

    #[test]
    fn every_gradient_model_is_one_kernel() {
        for row in CATALOGUE.iter().filter(|row| !row.is_rule()) {
            for metric in
                ["euclidean", "manhattan", "lp", "chebyshev", "omega", "local_omega", "tangent"]
            {
                let mut model = Model::new(row.name).unwrap();
                if row.metric == MetricChoice::Pluggable {
                    model = model.set("distance_fn", metric).unwrap();
                }
                let sizes = crate::model::Sizes { n: 100, d: 8, p: 6, classes: 3 };
                let c = model.compose(sizes).unwrap();
                let sizes = Sizes { p: 6, d: 8, l: 2, maps: 6, classes: 3 };
                let step = Step::plan(&limits(), &c, Precision::F32, sizes);
                assert!(step.is_some(), "{} {metric}", row.name);
            }
        }
    }

    #[test]
    fn rows_are_projected_where_two_blocks_still_fit() {
        for (model, sizes, projects) in [
            ("MRSLVQ", [50, 64, 1], true),
            ("MRSLVQ", [50, 256, 1], false),
            ("LGMLVQ", [20, 16, 20], true),
            ("LGMLVQ", [20, 64, 20], false),
            ("GTLVQ", [20, 64, 20], true),
            ("RSLVQ", [50, 64, 0], false),
        ] {
            let step = plan(&limits(), model, Precision::F32, sizes).unwrap();
            assert_eq!(step.projects(), projects, "{model} {sizes:?} {step:?}");
        }
    }

    #[test]
    fn what_does_not_fit_has_no_plan() {
        assert!(plan(&limits(), "RSLVQ", Precision::F32, [50, 4096, 0]).is_none());
        assert!(plan(&limits(), "GTLVQ", Precision::F32, [100, 1024, 100]).is_none());
        let none = Limits { multiprocessors: 0, ..limits() };
        assert!(plan(&none, "RSLVQ", Precision::F32, [50, 64, 0]).is_none());
    }
}
