//! The step of any cooperation and objective on tensor cores (`kernels/step.cu`): what it needs in shared memory, and its launches.

use super::{Batch, Held, Learn, OUTCOMES, Part, Pass, Rows, find, option, room_rows};
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
    /// Rows of a block, and words from one prototype's entries to the next's, and from one row of features to the next.
    tile: usize,
    stride: usize,
    wide: usize,
    pulled: usize,
    /// Who has a map of its own: 0 nobody, 1 each class, 2 each prototype.
    mapped: usize,
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

impl Step {
    /// The plan for `p` prototypes of `l` compared terms and `maps` maps; none where the tensor cores, the shared memory or the parts do not allow it.
    pub fn plan(
        limits: &Limits,
        c: &Composition,
        precision: Precision,
        [p, l, maps]: [usize; 3],
        classes: usize,
    ) -> Option<Step> {
        let name = super::rows::kernel(c);
        let rows = ROWS.iter().position(|known| *known == name)? as u32;
        let mapped = match c.metric {
            MetricName::SquaredEuclidean | MetricName::Relevance | MetricName::Omega => 0,
            MetricName::ClassOmega => 1,
            MetricName::LocalOmega => 2,
            _ => return None,
        };
        if limits.multiprocessors == 0 {
            return None;
        }
        let relevance = c.metric == MetricName::Relevance;
        let bandwidths = matches!(c.kernel, Kernel::Bandwidth { .. });
        // Weighted prototypes and scaled slopes are no numbers of a shorter format.
        let scaled = relevance || bandwidths || c.spread || mapped > 0;
        let (kernel, half) = match precision {
            Precision::Bf16 if !scaled => ("step.bf16", true),
            Precision::F16 if !scaled => ("step.f16", true),
            Precision::Tf32 if !scaled => ("step.tf32", false),
            _ => ("step.f32", false),
        };
        let (prototypes, terms) = (p.next_multiple_of(TERMS), l.next_multiple_of(TERMS));
        // At least so many words, eight more than a multiple of 32.
        let spread = |words: usize| (words.saturating_sub(8)).next_multiple_of(32) + 8;
        let pulled = spread(terms);
        let wide = if mapped > 0 { spread(maps * l) } else { pulled };
        let ranked = super::rows::ranked(c);
        let thresholds = c.objective.is_one_class();
        let reasons = (name == "hinge.reasoning").then_some(classes);
        let rooms = room_rows(c, p, classes);
        let reasoning = reasons.map_or(0, |k| (p + 2) * k);
        let cells = if relevance { 2 * p * l } else { p * l };
        let most = limits.shared_most as usize / 4;
        let words = |tile: usize| {
            let stride = tile + 4;
            let matrices = p * (1 + usize::from(ranked) + usize::from(thresholds))
                + prototypes
                + OUTCOMES
                + OUTCOMES.max(reasons.unwrap_or(0))
                + rooms;
            let labels = (p + classes).next_multiple_of(4);
            let squares = if relevance { wide } else { 0 };
            let features = tile * wide + prototypes * pulled + squares;
            features + matrices * stride + labels + tile + 3 * p + reasoning
        };
        let tile = (TILES.into_iter().find(|t| 2 * words(*t) <= most))
            .or_else(|| TILES.into_iter().find(|t| words(*t) <= most))?;
        Some(Step {
            kernel,
            half,
            rows,
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
            rooms,
            shared_words: words(tile),
            per_multiprocessor: (most / words(tile)).clamp(1, BLOCKS),
            cells,
            set: cells + OUTCOMES + 3 * p + reasoning,
        })
    }

    /// Whether its products are done on tensor cores.
    pub fn tensor_cores(&self) -> bool {
        self.mapped == 0
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
        let operands = match (self.mapped, self.kernel) {
            (0, "step.f32") => "on tensor cores (f32 as three products of tf32)".to_string(),
            (0, kernel) => format!("on tensor cores ({})", &kernel["step.".len()..]),
            _ => "by differences (maps of their own)".to_string(),
        };
        let (rows, bytes, blocks) = (self.tile, 4 * self.shared_words, self.per_multiprocessor);
        format!(
            "fused, {operands}: {rows} rows a block with their keys and slopes in {bytes} bytes of shared memory, \
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
        let mut all: Vec<_> = self.project(tensors, batch.x, x_base, n).into_iter().collect();
        let (y, _, _, first, l, ld) = self.compared(batch.x, x_base);
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
        ];
        let mut words = row.words;
        words[2] = step.stride as u32;
        let aligned = usize::from(l.is_multiple_of(4) && ld.is_multiple_of(4));
        let within = usize::from(step.within);
        let sizes = [l, ld, first, step.prototypes, step.terms, aligned, step.tile, step.wide];
        let more = [step.pulled, step.rooms, step.set, within, step.mapped];
        words.extend(sizes.iter().chain(&more).map(|v| *v as u32));
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
        ];
        for (id, value) in &mut launch.constants {
            if *id == 3 {
                *value |= options.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum::<u32>();
            }
        }
        launch.constants.extend([
            (6, step.rows),
            (7, u32::from(step.relevance)),
            (8, step.shared_words as u32),
        ]);
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
            sum(others + 3 * self.p, (self.p + 2) * classes, &self.reasoning, 0);
        }
        if pushes {
            all.extend(self.outer(batch.x, x_base, n, add));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::winners::tests::limits;
    use super::*;
    use crate::Model;
    use crate::model::Sizes;

    fn plan(limits: &Limits, model: &str, precision: Precision, sizes: [usize; 3]) -> Option<Step> {
        let [p, l, _] = sizes;
        let model = Model::new(model).unwrap();
        let c = model.compose(Sizes { n: 100, d: l, p, classes: 10 }).unwrap();
        Step::plan(limits, &c, precision, sizes, 10)
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
            ("LGMLVQ", Precision::F32, [20, 8, 20], 64, "step.f32"),
        ] {
            let step = plan(&limits(), model, precision, sizes).unwrap();
            assert_eq!((step.tile, step.kernel), (tile, kernel), "{model} {sizes:?} {step:?}");
            assert!(4 * step.shared_words <= 227 << 10, "{step:?}");
            assert_eq!(
                (step.stride % 32, step.wide % 32, step.pulled % 32),
                (step.tile % 32 + 4, 8, 8)
            );
        }
    }

    #[test]
    fn what_does_not_fit_has_no_plan() {
        assert!(plan(&limits(), "RSLVQ", Precision::F32, [50, 4096, 0]).is_none());
        assert!(plan(&limits(), "GTLVQ", Precision::F32, [8, 32, 8]).is_none());
        let none = Limits { multiprocessors: 0, ..limits() };
        assert!(plan(&none, "RSLVQ", Precision::F32, [50, 64, 0]).is_none());
    }
}
