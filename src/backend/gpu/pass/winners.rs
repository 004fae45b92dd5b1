//! The step of a winner pair on tensor cores (`kernels/winners.cu`): which shape of the kernel, and its launches.

use super::{Batch, Held, Learn, OneKernel, Part, Pass, option, ratio_of, transfer_code};
use crate::backend::gpu::{Driver, Launch, Limits};
use crate::parts::composition::{
    Composition, Cooperation, Kernel, MetricName, Objective, Precision, Ties,
};

/// Terms that a product takes at a time.
const TERMS: usize = 16;
/// Prototypes that a block of `winners.pull` goes through a slab of rows for, its threads, and slabs at most.
const PULLED: usize = 8;
const SLABS: usize = 64;

/// Words of shared memory that the sums of more than one group of threads may take.
const SUMS: usize = 8192;

/// One shape of the kernel, as its text says.
#[derive(Debug)]
struct Shape {
    /// Its entries, for f32, bf16, f16 and tf32.
    kernels: [&'static str; 4],
    /// Entries that know the compared terms: number (0, 1, 2) in `kernels`, terms, whether pushes are wanted.
    known: &'static [(usize, usize, bool, &'static str)],
    /// Rows of a block, by whether operands are halves.
    rows: [usize; 2],
    threads: usize,
    /// Prototypes that its warps take at a time, and warps side by side along them.
    prototypes: usize,
    warps: usize,
    /// Steps of [`TERMS`] terms of these prototypes in shared memory.
    stages: usize,
}

const FEW: Shape = Shape {
    kernels: ["winners.few_f32", "winners.few_bf16", "winners.few_f16", "winners.few_tf32"],
    known: &[(0, 32, false, "winners.few_f32_32"), (0, 64, false, "winners.few_f32_64")],
    rows: [128, 128],
    threads: 128,
    prototypes: 8,
    warps: 1,
    stages: 0,
};
const SOME: Shape = Shape {
    kernels: ["winners.some_f32", "winners.some_bf16", "winners.some_f16", "winners.some_tf32"],
    known: &[
        (0, 32, false, "winners.some_f32_32"),
        (0, 64, false, "winners.some_f32_64"),
        (0, 64, true, "winners.some_f32_64_push"),
        (1, 64, false, "winners.some_bf16_64"),
        (1, 64, true, "winners.some_bf16_64_push"),
    ],
    rows: [128, 128],
    threads: 128,
    prototypes: 32,
    warps: 1,
    stages: 0,
};
const MANY: Shape = Shape {
    kernels: ["winners.many_f32", "winners.many_bf16", "winners.many_f16", "winners.many_tf32"],
    known: &[],
    rows: [64, 128],
    threads: 256,
    prototypes: 256,
    warps: 4,
    stages: 4,
};

/// How the step of a winner pair is done.
#[derive(Debug)]
pub(in super::super) struct Winners {
    /// The shape of the kernel, and the number of its operands.
    shape: &'static Shape,
    entry: usize,
    objective: u32,
    operand: u32,
    pub relevance: bool,
    /// Prototypes and terms, rounded up to what the kernel takes.
    pub prototypes: usize,
    pub terms: usize,
    /// Rows of a block.
    rows: usize,
    /// Sums of a group of threads in shared memory, and groups; no sums where the pull goes by the list of the rows' winners.
    sums: usize,
    groups: usize,
    /// Threads of a group.
    columns: usize,
    /// Words of shared memory.
    pub shared_words: usize,
    /// Blocks that a multiprocessor holds at least, by their memory.
    per_multiprocessor: usize,
}

impl Winners {
    /// The plan for `p` prototypes of `l` compared terms; none where the tensor cores, the shared memory or the parts do not allow it.
    pub fn plan(
        limits: &Limits,
        composition: &Composition,
        precision: Precision,
        [p, l]: [usize; 2],
    ) -> Option<Winners> {
        let objective = objective(composition)?;
        if limits.multiprocessors == 0 {
            return None;
        }
        let relevance = composition.metric == MetricName::Relevance;
        let operand = match precision {
            Precision::Bf16 => 1,
            Precision::F16 => 2,
            Precision::Tf32 => 3,
            _ => 0,
        };
        // A weighted prototype is no number of a shorter format.
        let entry = if relevance { 0 } else { operand as usize };
        let half = matches!(entry, 1 | 2);
        let terms = l.next_multiple_of(TERMS);
        let most = limits.shared_most as usize / 4;
        let one = |shape: &'static Shape, sums: bool| {
            let prototypes = p.next_multiple_of(shape.prototypes);
            let rows = shape.rows[usize::from(half)];
            let stride = match (half, terms % 32 == 0) {
                (true, _) => terms / 2 + 8,
                (false, true) => terms + 16,
                (false, false) => terms,
            };
            // A thread has two columns of features.
            let columns = (terms / 2).next_power_of_two().clamp(16, shape.threads);
            let cells = if relevance { (p + 1) * terms } else { p * terms };
            let groups = (SUMS / cells).clamp(1, shape.threads / columns);
            let (sums, groups) = if sums { (cells, groups) } else { (0, 1) };
            let staged = shape.stages * shape.prototypes * if half { TERMS / 2 } else { TERMS };
            let words =
                4 * rows * shape.warps + rows * stride + staged + 2 * prototypes + sums * groups;
            // With its sums beside it a block of four warps is not enough for a multiprocessor.
            let share = if sums > 0 { 2 } else { 1 };
            (words <= most / share).then(|| Winners {
                shape,
                entry,
                objective,
                operand,
                relevance,
                prototypes,
                terms,
                rows,
                sums,
                groups,
                columns,
                shared_words: words,
                per_multiprocessor: (most / words).clamp(1, 65_536 / (shape.threads * 128)),
            })
        };
        let shapes: &[(&'static Shape, bool)] = match p {
            ..=8 => &[(&FEW, true), (&FEW, false), (&MANY, false)],
            9..=96 => &[(&SOME, true), (&SOME, false), (&MANY, false)],
            _ => &[(&MANY, false), (&SOME, false)],
        };
        shapes.iter().find_map(|(shape, sums)| one(shape, *sums))
    }

    /// The kernel for rows of `l` compared terms that begin at whole fours (`aligned`) or not.
    pub fn kernel(&self, l: usize, aligned: bool, pushes: bool) -> &'static str {
        let general = self.shape.kernels[self.entry];
        if self.relevance || !aligned {
            return general;
        }
        let known = self.shape.known.iter();
        known
            .filter(|k| (k.0, k.1, k.2) == (self.entry, l, pushes))
            .map(|k| k.3)
            .next()
            .unwrap_or(general)
    }

    /// Whether its operands are halves.
    pub fn half(&self) -> bool {
        matches!(self.entry, 1 | 2)
    }

    /// Words of the rows' winners.
    pub fn list_words(&self, n: usize) -> usize {
        if self.sums > 0 { 1 } else { 4 * n }
    }

    /// Whether the pull goes by the list of the rows' winners.
    pub fn lists(&self) -> bool {
        self.sums == 0
    }

    /// Blocks for n rows: as many as run at once.
    pub fn blocks(&self, limits: &Limits, n: usize) -> usize {
        n.div_ceil(self.rows).min(limits.multiprocessors as usize * self.per_multiprocessor).max(1)
    }

    /// Slabs of the pull by the list, and their rows.
    fn slabs(&self, limits: &Limits, n: usize, p: usize) -> (usize, usize) {
        let wanted = 4 * limits.multiprocessors as usize / p.div_ceil(PULLED);
        let rows = n.div_ceil(wanted.clamp(1, SLABS)).max(1024);
        (n.div_ceil(rows), rows)
    }

    /// Sets of sums that a chunk of n rows leaves.
    pub fn sets(&self, limits: &Limits, n: usize, p: usize) -> usize {
        let sets = if self.lists() { self.slabs(limits, n, p).0 } else { self.blocks(limits, n) };
        if self.relevance { 2 * sets } else { sets }
    }
}

/// The number of an objective of the kernel, where the parts are those of a winner pair.
fn objective(c: &Composition) -> Option<u32> {
    let winner_pair = Cooperation::WinnerPair { ties: Ties::First };
    let plain = c.kernel == Kernel::None && !c.spread && c.cooperation == winner_pair;
    let metric = matches!(
        c.metric,
        MetricName::SquaredEuclidean | MetricName::Relevance | MetricName::Omega
    );
    match c.objective {
        _ if !(plain && metric) => None,
        Objective::Glvq { .. } => Some(0),
        Objective::Lvq1 => Some(1),
        Objective::Lvq21 => Some(2),
        _ => None,
    }
}

/// Whether there is a kernel of the whole step for these parts.
fn known(limits: &Limits, c: &Composition) -> bool {
    let any = limits.multiprocessors > 0 && super::step::known(c).is_some();
    any || objective(c).is_some()
}

impl Winners {
    /// In words.
    fn described(&self) -> String {
        let operands = match (self.operand, self.relevance) {
            (0, _) | (_, true) => "f32 as three products of tf32",
            (1, _) => "bf16",
            (2, _) => "f16",
            _ => "tf32",
        };
        let pull = match self.sums {
            0 => "the pull goes by the list of the rows' winners (its sums do not fit beside them)"
                .into(),
            _ => format!("sums of {} group(s) of threads in shared memory", self.groups),
        };
        let (rows, bytes) = (self.rows, 4 * self.shared_words);
        format!(
            "fused, on tensor cores ({operands}): {rows} rows a block, {bytes} bytes of shared memory; {pull}"
        )
    }
}

impl<D: Driver> Pass<D> {
    /// How losses and gradients are formed, and why so; whether on tensor cores.
    pub fn choice(&self) -> (String, bool) {
        match &self.one_kernel {
            Some(OneKernel::Winners(winners)) => {
                let projected = match self.maps {
                    0 => "",
                    _ => "; rows are projected before, and the maps' gradient formed after it",
                };
                return (winners.described() + projected, true);
            }
            Some(OneKernel::Step(step)) => return (step.described(), step.tensor_cores()),
            None => {}
        }
        let limits = self.driver.limits();
        if self.fused_kernel().is_some() {
            let bytes = limits.shared_bytes;
            let why =
                format!("fused: sums of p x l = {} x {} fit in {bytes} bytes", self.p, self.l);
            return (why, false);
        }
        let c = &self.question.composition;
        let why = if !self.tuned() {
            "these are the naive kernels".to_string()
        } else if !known(&limits, c) {
            "these parts have no kernel of the whole step".to_string()
        } else {
            let most = limits.shared_bytes.max(limits.shared_most);
            format!("p x l = {} x {} do not fit in {most} bytes", self.p, self.l)
        };
        (format!("staged, {} rows at a time: {why}", self.chunk), false)
    }

    /// Prototypes as a kernel on tensor cores takes them.
    pub(super) fn prepare_operands(&self, kernel: &OneKernel) -> Launch<D::Buffer> {
        let (v, l) = match self.question.composition.metric {
            MetricName::Tangent => (&self.w, self.d),
            _ if self.maps > 0 => (&self.v, self.l),
            _ => (&self.w, self.d),
        };
        let ([prototypes, terms], half, relevance) = kernel.operands();
        let kernel = if half { "winners.prepare_half" } else { "winners.prepare" };
        let sizes = [self.p, l, prototypes, terms].map(|v| v as u32);
        let buffers = [v, &self.lam, &self.prepared];
        let mut launch = self.launch(kernel, &buffers, &sizes, [prototypes, 1]);
        launch.constants = vec![(1, self.operand()), (4, u32::from(relevance))];
        launch
    }

    /// The whole step of a chunk: losses and, with `gradient`, what its rows pull the prototypes with.
    pub(super) fn winners(
        &self,
        winners: &Winners,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        Part { base, x_base, n }: Part,
        (gradient, learn): (bool, &Learn),
    ) -> Vec<Launch<D::Buffer>> {
        let c = &self.question.composition;
        let limits = self.driver.limits();
        let add = base > 0;
        let mut all: Vec<_> = self.project(tensors, batch.x, x_base, n).into_iter().collect();
        let (y, _, _, first, l, ld) = self.compared(batch.x, x_base);
        let own = c.metric.own_tensor().filter(|name| learn.has(name));
        let pushes = gradient && own.is_some() && self.maps > 0;
        let (transfer, margin) = ratio_of(&c.objective);
        let (code, beta) = transfer_code(transfer);
        let fours = l % 4 == 0 && ld % 4 == 0;
        let aligned = u32::from(fours);
        let sizes = [n, self.p, l, ld, base, first].map(|v| v as u32);
        let mut words = sizes.to_vec();
        words.extend([margin as f32, beta as f32].map(f32::to_bits));
        let (prototypes, terms) = (winners.prototypes as u32, winners.terms as u32);
        words.extend([prototypes, terms, aligned, winners.columns as u32]);
        let buffers = [
            y,
            &self.prepared,
            batch.codes,
            batch.factors,
            &self.labels,
            &self.outcome,
            &self.slabs,
            &self.h,
            &self.list,
            &self.dynamic,
        ];
        let kernel = winners.kernel(l, fours, pushes);
        let mut launch = self.launch(kernel, &buffers, &words, [winners.blocks(&limits, n), 1]);
        let options =
            if gradient { option::GRADIENT } else { 0 } | if pushes { option::PUSH } else { 0 };
        launch.constants = vec![
            (1, winners.operand),
            (2, code),
            (3, options),
            (4, u32::from(winners.relevance)),
            (5, winners.objective),
            (6, winners.sums as u32),
            (7, winners.groups as u32),
            (8, winners.shared_words as u32),
        ];
        all.push(launch);
        if !gradient {
            return all;
        }
        let cells = if winners.relevance { 2 * self.p * self.l } else { self.p * self.l };
        let mut sets = winners.blocks(&limits, n);
        if winners.lists() {
            let (slabs, rows) = winners.slabs(&limits, n, self.p);
            let sizes = [n, self.p, l, ld, first, winners.prototypes, winners.terms, rows];
            let mut words = sizes.map(|v| v as u32).to_vec();
            words.push(aligned);
            let buffers = [y, &self.prepared, &self.list, &self.slabs];
            let groups = [self.p.div_ceil(PULLED), slabs];
            let mut launch = self.launch("winners.pull", &buffers, &words, groups);
            let columns = l.next_multiple_of(4);
            launch.constants = vec![
                (4, u32::from(winners.relevance)),
                (8, (PULLED * columns) as u32),
                (9, if winners.relevance { columns as u32 } else { 4 }),
            ];
            all.push(launch);
            sets = slabs;
        }
        all.push(self.add_slabs(sets, cells, add, &self.pulls));
        if pushes {
            all.extend(self.outer(batch.x, x_base, n, add));
        }
        all
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Model;
    use crate::model::Sizes;

    /// As an H200 has them.
    pub fn limits() -> Limits {
        Limits {
            buffer_bytes: 1 << 34,
            memory_bytes: 1 << 37,
            groups: 65_535,
            shared_bytes: 48 << 10,
            subgroups: true,
            multiprocessors: 132,
            shared_most: 227 << 10,
        }
    }

    fn plan(model: &str, precision: Precision, sizes: [usize; 2]) -> Option<Winners> {
        let [p, l] = sizes;
        let model = Model::new(model).unwrap();
        let c = model.compose(Sizes { n: 100, d: l, p, classes: 2 }).unwrap();
        Winners::plan(&limits(), &c, precision, sizes)
    }

    #[test]
    fn the_shape_follows_from_the_sizes() {
        let kernel = |model, precision, p, l: usize, pushes| {
            let plan = plan(model, precision, [p, l]).unwrap();
            assert!(4 * plan.shared_words <= 227 << 10, "{plan:?}");
            (plan.kernel(l, l.is_multiple_of(4), pushes), plan.lists())
        };
        let f32 = Precision::F32;
        for (model, precision, p, l, pushes, expected) in [
            ("GLVQ", f32, 8, 32, false, ("winners.few_f32_32", false)),
            ("GLVQ", f32, 8, 31, false, ("winners.few_f32", false)),
            ("GLVQ", f32, 50, 64, false, ("winners.some_f32_64", false)),
            ("GMLVQ", f32, 50, 64, true, ("winners.some_f32_64_push", false)),
            ("GRLVQ", f32, 50, 64, false, ("winners.some_f32", false)),
            ("GLVQ", Precision::Bf16, 50, 64, false, ("winners.some_bf16_64", false)),
            ("GRLVQ", Precision::Bf16, 50, 64, false, ("winners.some_f32", false)),
            ("GLVQ", f32, 1024, 512, false, ("winners.many_f32", true)),
            ("GLVQ", Precision::F16, 1024, 512, false, ("winners.many_f16", true)),
            ("GLVQ", f32, 96, 200, false, ("winners.some_f32", true)),
        ] {
            assert_eq!(kernel(model, precision, p, l, pushes), expected, "{model} {p} x {l}");
        }
    }

    #[test]
    fn what_does_not_fit_has_no_plan() {
        assert!(plan("GLVQ", Precision::F32, [8, 4096]).is_none());
        assert!(plan("RSLVQ", Precision::F32, [8, 32]).is_none());
        let none = Limits { multiprocessors: 0, ..limits() };
        let model = Model::new("GLVQ").unwrap();
        let c = model.compose(Sizes { n: 100, d: 32, p: 8, classes: 2 }).unwrap();
        assert!(Winners::plan(&none, &c, Precision::F32, [8, 32]).is_none());
    }
}
