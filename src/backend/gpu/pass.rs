//! A model's passes as launches.

mod backward;
mod room;
mod rows;
mod rule;
mod step;
mod winners;

use super::slots::finite;
use super::{CHUNK_BYTES, Driver, Kernels, Launch, Limits};
use crate::backend::Question;
use crate::data::Features;
use crate::error::Result;
use crate::parts::composition::{
    Composition, Cooperation, Kernel, MetricName, Objective, Precision,
};
use crate::parts::objective::svq_occ::Cost;
use crate::parts::objective::transfer::Transfer;
use crate::parts::tensor::Tensors;
use std::sync::Arc;
use step::Step;
use winners::Winners;

/// Places in the buffer of the step's numbers; as in `shaders/include/options.glsl`.
pub(super) mod dynamic {
    pub const SCALE: usize = 0;
    pub const TARGETS: usize = 1;
    pub const INVERSE_ROWS: usize = 2;
    pub const RATE: usize = 3;
    pub const CONTRAST: usize = 6;
    pub const BLEND: usize = 7;
    pub const STEP: usize = 8;
    pub const COUNT: usize = 16;
}

/// Bits of OPTIONS; as there.
mod option {
    pub const GRADIENT: u32 = 1;
    pub const TIES_EVEN: u32 = 2;
    pub const LEARN_RANGE: u32 = 4;
    pub const THETA_ROOTS: u32 = 8;
    pub const EXACT_LOG: u32 = 16;
    /// Of a fused step: what the prototypes push each row's projection with is wanted.
    pub const PUSH: u32 = 64;
    // The others of `kernels/step.cu`.
    pub const LOSSES: u32 = 128;
    pub const LOOK: u32 = 256;
    pub const RANKED: u32 = 512;
    pub const THRESHOLDS: u32 = 1024;
    pub const PRODUCTS: u32 = 2048;
    pub const RATIOS: u32 = 4096;
    pub const PROJECT: u32 = 8192;
}

/// Columns of the outcome of a row: loss, slope of the range, and what a part has besides.
const OUTCOMES: usize = 6;

/// Words of the totals: the outcomes' sums, then a flag for each gradient that is not finite.
const TOTALS: usize = 32;
/// Where the flags begin.
pub(super) const FLAGS: usize = OUTCOMES;

/// Rows of a pass, on the device.
pub(super) struct Batch<'a, B> {
    /// Their features, `n x d`.
    pub x: &'a B,
    /// Their classes.
    pub codes: &'a B,
    /// Their weights over n.
    pub factors: &'a B,
    /// How many.
    pub n: usize,
}

/// One chunk of a pass.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Number of its first row in the pass, and in the buffer that holds its features.
    pub base: usize,
    pub x_base: usize,
    /// Rows.
    pub n: usize,
}

/// A tensor on the device.
pub(super) struct Held<B> {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub buffer: B,
}

impl<B> Held<B> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Tensors on a device.
pub(super) fn hold<D: Driver>(driver: &D, tensors: &Tensors<f64>) -> Result<Vec<Held<D::Buffer>>> {
    let one = |t: &crate::parts::tensor::Tensor<f64>| {
        let values: Vec<f32> = t.data.iter().map(|v| *v as f32).collect();
        Ok(Held {
            name: t.name.clone(),
            shape: t.shape.clone(),
            // A single number (the range of the ranks) is set by the host after each update.
            buffer: match values[..] {
                [one] => {
                    let buffer = driver.shared(1)?;
                    driver.write_numbers(&buffer, 0, &[one])?;
                    buffer
                }
                _ => driver.with_numbers(&values)?,
            },
        })
    };
    tensors.list.iter().map(one).collect()
}

fn find<'a, B>(tensors: &'a [Held<B>], name: &str) -> &'a Held<B> {
    tensors.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no tensor {name}"))
}

/// Which gradients a pass forms.
#[derive(Clone, Default)]
pub(super) struct Learn(pub Vec<String>);

impl Learn {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|n| n == name)
    }
}

/// The raw differences that update rules sum: any metric moves prototypes towards rows.
const DIFFERENCES: &str = "squared_euclidean.pull";

/// What a pass does with the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rows {
    /// The loss alone.
    Loss,
    /// Loss and slopes.
    Gradient,
    /// The soft confusion matrix of the contrastive cost.
    Detect,
    /// The nearest prototype.
    Winner,
    /// The least key of each class.
    ClassMinimum,
    /// Class scores of the models that reason.
    ClassScores,
    /// Scores of the one-class models.
    TargetScores,
}

/// A model made ready for a device: sizes, buffers, and the launches of its passes.
pub(super) struct Pass<D: Driver> {
    pub driver: Arc<D>,
    question: Owned,
    pub d: usize,
    pub p: usize,
    /// Maps of the metric (0: none), and the length of what they map to.
    maps: usize,
    l: usize,
    /// Rows of a chunk at most, and words from one prototype's entries to the next's.
    pub chunk: usize,
    labels: D::Buffer,
    /// Where a prototype's words begin in a projected row.
    offsets: D::Buffer,
    /// `p` zeros.
    zeros: D::Buffer,
    centre: D::Buffer,
    w: D::Buffer,
    v: D::Buffer,
    lam: D::Buffer,
    affine: D::Buffer,
    neighbourhood: D::Buffer,
    keys: D::Buffer,
    slopes: D::Buffer,
    theta_slopes: D::Buffer,
    pub outcome: D::Buffer,
    room: D::Buffer,
    ranks: D::Buffer,
    raw: D::Buffer,
    more: D::Buffer,
    y: D::Buffer,
    h: D::Buffer,
    slabs: D::Buffer,
    pulls: D::Buffer,
    shares: D::Buffer,
    outer: D::Buffer,
    /// `sum_i g` and `sum_i g u` of each prototype.
    columns: D::Buffer,
    extra: D::Buffer,
    reasoning: D::Buffer,
    tangent_room: D::Buffer,
    /// Sums of parts of the rows, on their way to sums of all.
    partials: D::Buffer,
    /// Of a step on tensor cores: prototypes as operands, and the rows' winners.
    prepared: D::Buffer,
    list: D::Buffer,
    one_kernel: Option<OneKernel>,
    pub totals: D::Buffer,
    pub dynamic: D::Buffer,
}

/// The kernel on tensor cores that is the whole step.
enum OneKernel {
    Winners(Winners),
    Step(Step),
}

impl OneKernel {
    /// That of these parts and sizes, if there is one.
    fn plan(
        limits: &Limits,
        composition: &Composition,
        precision: Precision,
        sizes: step::Sizes,
    ) -> Option<Self> {
        // Pairs of winners are pulled and pushed by differences, which are exact where a row is close to its prototype: products are not. That
        // kernel does not project rows.
        Winners::plan(limits, composition, precision, [sizes.p, sizes.l])
            .map(Self::Winners)
            .or_else(|| Step::plan(limits, composition, precision, sizes).map(Self::Step))
    }

    /// Prototypes and terms as they are prepared; whether as halves; whether weighted.
    fn operands(&self) -> ([usize; 2], bool, bool) {
        match self {
            Self::Winners(w) => ([w.prototypes, w.terms], w.half(), w.relevance),
            Self::Step(s) => ([s.prototypes, s.terms], s.half, s.relevance),
        }
    }

    /// Words of what is prepared from the prototypes.
    fn prepared_words(&self) -> usize {
        let ([prototypes, terms], ..) = self.operands();
        2 * prototypes * terms + prototypes + terms
    }

    /// Whether rows are projected in it.
    fn projects(&self) -> bool {
        matches!(self, Self::Step(step) if step.projects())
    }

    /// Words of the list of the rows' winners.
    fn list_words(&self, n: usize) -> usize {
        match self {
            Self::Winners(winners) => winners.list_words(n),
            Self::Step(_) => 1,
        }
    }

    /// Words of the sums that a chunk of n rows leaves.
    fn sums_words(&self, limits: &Limits, n: usize, [p, l]: [usize; 2]) -> usize {
        match self {
            Self::Winners(winners) => winners.sets(limits, n, p) * p * l,
            Self::Step(step) => step.sums_words(limits, n),
        }
    }
}

/// Whether a metric's forward pass keeps a number a pair for the backward products, and another.
fn keeps_raw(metric: MetricName) -> bool {
    matches!(metric, MetricName::Euclidean | MetricName::Lp(_)) || keeps_more(metric)
}
fn keeps_more(metric: MetricName) -> bool {
    matches!(metric, MetricName::Bilinear | MetricName::Cosine | MetricName::Chebyshev)
}

/// Rows of the room that an objective wants for its numbers of a row, beside the loss.
fn room_rows(c: &Composition, p: usize, classes: usize) -> usize {
    match (&c.objective, c.cooperation) {
        (Objective::Hinge { .. }, _) => 2 * classes + p,
        (Objective::CrossEntropy, _) => 2 * classes,
        (Objective::OneClass { .. }, Cooperation::Winner) => 1,
        (Objective::OneClass { .. }, _) | (_, Cooperation::PosteriorRanks { .. }) => 2 * p,
        _ => 1,
    }
}

/// What of a question a pass keeps.
pub(super) struct Owned {
    pub composition: crate::parts::composition::Composition,
    pub classes: usize,
    pub target: u32,
    pub prototype_labels: Vec<u32>,
    pub centre: Vec<f64>,
    pub precision: Precision,
}

/// Results along a side of a tile; as in `shaders/include/tile.glsl`.
const TILE: usize = 64;
/// Rows that a workgroup of a fused step takes at a time, and workgroups at most.
const FUSED_ROWS: usize = 64;
const FUSED_GROUPS: usize = 256;

/// Whether a fused step's sums fit what a workgroup shares: `cells` of prototypes, and one for each of `l` features.
fn fits_fused(limits: &Limits, cells: usize, l: usize) -> bool {
    let words = 64 * 65 + cells + l + 4 * FUSED_ROWS;
    4 * words as u64 <= u64::from(limits.shared_bytes)
}

/// Rows beyond which sums are formed in parts, and parts at most.
const SUMMED_ROWS: usize = 8192;
const PARTS: usize = 64;

/// Slabs of at most so many rows make a backward product parallel.
struct Slabs {
    rows: usize,
    count: usize,
}

fn slabs(n: usize, cells: usize) -> Slabs {
    // Enough sums at a time to fill a device, and slabs of some length.
    let wanted = (65_536 / cells.max(1)).clamp(1, 256);
    let rows = n.div_ceil(wanted).max(64);
    Slabs { rows, count: n.div_ceil(rows) }
}

/// Those of a product in tiles.
fn tiled_slabs(limits: &Limits, n: usize, [rows, columns]: [usize; 2]) -> Slabs {
    let tiles = (rows.div_ceil(TILE) * columns.div_ceil(TILE)).max(1);
    let wanted = match limits.multiprocessors {
        0 => (256 / tiles).clamp(1, 64),
        count => (4 * count as usize / tiles).clamp(1, 512),
    };
    let rows = n.div_ceil(wanted).max(128);
    Slabs { rows, count: n.div_ceil(rows) }
}

/// Of the objectives of a winner pair: transfer function and margin.
fn ratio_of(objective: &Objective) -> (&Transfer, f64) {
    match objective {
        Objective::Glvq { transfer, margin, .. } => (transfer, *margin),
        _ => (&Transfer::Identity, 0.0),
    }
}

/// A transfer function's number and steepness.
fn transfer_code(transfer: &Transfer) -> (u32, f64) {
    match transfer {
        Transfer::SigmoidBeta(beta) => (1, *beta),
        Transfer::SwishBeta(beta) => (2, *beta),
        _ => (0, 1.0),
    }
}

impl<D: Driver> Pass<D> {
    /// Copies the words of rows from memory that both sides see to the device's own.
    pub fn bring(&self, from: &D::Buffer, to: &D::Buffer, n: usize) -> Launch<D::Buffer> {
        let words = [(n * self.d) as u32];
        self.each("blend.copy", &[to, from, &self.dynamic], &words, n * self.d)
    }

    /// The rows whose numbers are in `numbers`, from `from` to `to`.
    pub fn take(
        &self,
        from: &D::Buffer,
        numbers: &D::Buffer,
        to: &D::Buffer,
        n: usize,
    ) -> Launch<D::Buffer> {
        let words = [n as u32, self.d as u32];
        self.each("take", &[from, numbers, to], &words, n * self.d)
    }

    /// Length of what a row is transformed to, where the metric projects rows.
    pub fn transform_width(&self) -> Option<usize> {
        (self.question.composition.metric == MetricName::Omega).then_some(self.l)
    }

    /// What the pass is about.
    pub fn about(&self) -> &Owned {
        &self.question
    }

    /// Share of the representation, where losses need a look at all rows before the first (the contrastive cost).
    fn contrastive(&self) -> Option<f64> {
        match self.question.composition.objective {
            Objective::SvqOcc { alpha, cost: Cost::Contrastive, .. } => Some(alpha),
            _ => None,
        }
    }

    fn operand(&self) -> u32 {
        match self.question.precision {
            Precision::Bf16 => 1,
            Precision::F16 => 2,
            Precision::Tf32 => 3,
            _ => 0,
        }
    }

    fn launch(
        &self,
        kernel: &'static str,
        buffers: &[&D::Buffer],
        words: &[u32],
        [x, y]: [usize; 2],
    ) -> Launch<D::Buffer> {
        let most = self.driver.limits().groups as usize;
        Launch {
            kernel,
            constants: vec![(1, self.operand())],
            buffers: buffers.iter().map(|b| (*b).clone()).collect(),
            words: words.to_vec(),
            groups: [x, y, 1].map(|g| g.clamp(1, most) as u32),
        }
    }

    /// A launch in tiles of `rows x columns` results, over `slabs` of terms.
    fn tiles(
        &self,
        kernel: &'static str,
        buffers: &[&D::Buffer],
        words: &[u32],
        [rows, columns, slabs]: [usize; 3],
    ) -> Launch<D::Buffer> {
        let groups = [rows.div_ceil(TILE), columns.div_ceil(TILE)];
        let mut launch = self.launch(kernel, buffers, words, groups);
        launch.groups[2] = slabs as u32;
        launch
    }

    fn tuned(&self) -> bool {
        self.driver.kernels() == Kernels::Tuned
    }

    /// The slabs of a backward product of so many results.
    fn slabs(&self, n: usize, [rows, columns]: [usize; 2], tiled: bool) -> Slabs {
        if !tiled {
            return slabs(n, rows * columns);
        }
        tiled_slabs(&self.driver.limits(), n, [rows, columns])
    }

    /// A launch with an invocation an element.
    fn each(
        &self,
        kernel: &'static str,
        buffers: &[&D::Buffer],
        words: &[u32],
        count: usize,
    ) -> Launch<D::Buffer> {
        self.launch(kernel, buffers, words, [count.div_ceil(64), 1])
    }

    /// Launches that depend on the tensors alone.
    pub fn prepare(&self, tensors: &[Held<D::Buffer>]) -> Vec<Launch<D::Buffer>> {
        let c = &self.question.composition;
        let (p, d) = (self.p as u32, self.d as u32);
        let from = &find(tensors, c.prototypes).buffer;
        let mut all =
            vec![self.each("centre", &[from, &self.centre, &self.w], &[p, d], self.p * self.d)];
        if let (true, Some(own)) = (self.maps > 0, c.metric.own_tensor()) {
            let buffers = [&self.w, &find(tensors, own).buffer, &self.v, &self.offsets];
            let mut own =
                self.each("omega.own", &buffers, &self.map_words(0, 0, 0), self.p * self.l);
            if c.metric == MetricName::Tangent {
                own.constants.clear();
            }
            all.push(own);
        }
        if c.metric == MetricName::Relevance {
            let rho = &find(tensors, "relevances").buffer;
            let buffers = [rho, &self.lam, &self.pulls, &self.slabs, &self.dynamic];
            all.push(self.launch("relevance.prepare", &buffers, &[p, d], [1, 1]));
        }
        if c.spread {
            let buffers = [&find(tensors, "log_variances").buffer, &self.affine];
            all.push(self.each("spread.prepare", &buffers, &[p, d], self.p));
        }
        if let Kernel::Bandwidth { sigma_min } = c.kernel {
            let buffers = [&find(tensors, "sigmas").buffer, &self.affine];
            let words = [p, (sigma_min as f32).to_bits()];
            all.push(self.each("bandwidth.prepare", &buffers, &words, self.p));
        }
        if let Some(anneal) = c.anneal {
            let buffers = [&find(tensors, anneal.tensor).buffer, &self.neighbourhood];
            all.push(self.launch("ranks.prepare", &buffers, &[p], [1, 1]));
        }
        if c.cooperation == Cooperation::Reasoning {
            let buffers = [&find(tensors, "reasonings").buffer, &self.neighbourhood];
            let words = [p, self.question.classes as u32];
            all.push(self.each("reasoning.prepare", &buffers, &words, self.question.classes));
        }
        all.extend(self.one_kernel.as_ref().map(|kernel| self.prepare_operands(kernel)));
        all
    }

    /// Sizes of the launches about maps; `n` rows from row `base` on, slabs of `slab` rows.
    fn map_words(&self, n: usize, base: usize, slab: usize) -> [u32; 10] {
        // Of a gradient: dV = c P, and f X^T H.
        let (c, f): (f32, f32) = match self.question.composition.metric {
            MetricName::Bilinear => (-1.0, 1.0),
            _ => (-2.0, 2.0),
        };
        let sizes =
            [n, self.p, self.chunk, base, self.d, self.l, self.maps, slab].map(|v| v as u32);
        let mut words = [0; 10];
        words[..8].copy_from_slice(&sizes);
        words[8] = c.to_bits();
        words[9] = f.to_bits();
        words
    }

    /// The same for `kernels/products.cu`: in place of the factors, whether rows of both operands begin at whole fours.
    fn product_words(&self, words: &[u32; 10]) -> [u32; 9] {
        let mut of_products = [0; 9];
        of_products[..8].copy_from_slice(&words[..8]);
        of_products[8] = u32::from(self.d.is_multiple_of(4) && self.l.is_multiple_of(4));
        of_products
    }

    /// The exponent of Lp, or the columns of a basis.
    fn power(&self) -> f32 {
        match self.question.composition.metric {
            MetricName::Lp(p) => p as f32,
            MetricName::Tangent => self.l as f32,
            _ => 0.0,
        }
    }

    /// Sizes of the launches about pairs: rows of `ld` words, of which l are compared.
    fn pair_words(&self, n: usize, base: usize, l: usize, ld: usize, slab: usize) -> [u32; 8] {
        let sizes = [n, self.p, self.chunk, base, l, ld].map(|v| v as u32);
        let mut words = [0; 8];
        words[..6].copy_from_slice(&sizes);
        words[6] = self.power().to_bits();
        words[7] = slab as u32;
        words
    }

    /// What is compared with what: rows, prototypes, offsets, first row, compared words and length of a row.
    fn compared<'a>(
        &'a self,
        x: &'a D::Buffer,
        base: usize,
    ) -> (&'a D::Buffer, &'a D::Buffer, &'a D::Buffer, usize, usize, usize) {
        match self.question.composition.metric {
            MetricName::Tangent => (x, &self.w, &self.zeros, base, self.d, self.d),
            _ if self.maps > 0 => (&self.y, &self.v, &self.offsets, 0, self.l, self.maps * self.l),
            _ => (x, &self.w, &self.zeros, base, self.d, self.d),
        }
    }

    /// The rows' projections.
    fn project(
        &self,
        tensors: &[Held<D::Buffer>],
        x: &D::Buffer,
        base: usize,
        n: usize,
    ) -> Option<Launch<D::Buffer>> {
        let own = self.question.composition.metric.own_tensor().filter(|_| self.maps > 0)?;
        let buffers = [x, &find(tensors, own).buffer, &self.y];
        let words = self.map_words(n, base, 0);
        let width = self.maps * self.l;
        let mut launch = match self.tuned() {
            true if self.driver.limits().multiprocessors > 0 => {
                let words = self.product_words(&words);
                self.tiles("products.project", &buffers, &words, [n, width, 1])
            }
            true => self.tiles("omega.project_tile", &buffers, &words, [n, width, 1]),
            false => self.each("omega.project", &buffers, &words, n * width),
        };
        if self.question.composition.metric == MetricName::Tangent {
            launch.constants.retain(|(id, _)| *id != 1);
        }
        Some(launch)
    }

    /// Keys of the rows `base .. base + n`.
    fn forward(
        &self,
        tensors: &[Held<D::Buffer>],
        x: &D::Buffer,
        base: usize,
        n: usize,
    ) -> Vec<Launch<D::Buffer>> {
        let metric = self.question.composition.metric;
        let mut all: Vec<_> = self.project(tensors, x, base, n).into_iter().collect();
        let (y, v, offsets, first, l, ld) = self.compared(x, base);
        let kernel = match metric {
            MetricName::SquaredEuclidean
            | MetricName::Omega
            | MetricName::ClassOmega
            | MetricName::LocalOmega => "squared_euclidean.forward",
            MetricName::Euclidean => "euclidean.forward",
            MetricName::Manhattan => "manhattan.forward",
            MetricName::Lp(_) => "lp.forward",
            MetricName::Chebyshev => "chebyshev.forward",
            MetricName::Relevance => "relevance.forward",
            MetricName::Tangent => "tangent.forward",
            MetricName::Bilinear => "exponential.forward",
            MetricName::Cosine => "cosine.forward",
            MetricName::Custom => unreachable!("refused before"),
        };
        let mut buffers = vec![y, v, &self.affine, offsets, &self.lam, &self.keys];
        match metric {
            MetricName::Tangent => {
                buffers[4] = &find(tensors, "omegas").buffer;
                buffers.extend([&self.y, &self.v, &self.offsets]);
            }
            _ => buffers.extend([&self.raw, &self.more]),
        }
        let words = self.pair_words(n, first, l, ld, 0);
        let tiled = match kernel {
            "squared_euclidean.forward" => "squared_euclidean.forward_tile",
            "euclidean.forward" => "euclidean.forward_tile",
            "manhattan.forward" => "manhattan.forward_tile",
            "relevance.forward" => "relevance.forward_tile",
            _ => "",
        };
        // In tiles all prototypes stand against the same words of a row.
        all.push(match self.tuned() && self.maps < 2 && !tiled.is_empty() {
            true => self.tiles(tiled, &buffers, &words, [n, self.p, 1]),
            false => self.launch(kernel, &buffers, &words, [n.div_ceil(64), self.p]),
        });
        all
    }

    /// First rows and lengths of the chunks of `n` rows.
    pub fn chunks(&self, n: usize) -> impl Iterator<Item = (usize, usize)> + use<D> {
        let chunk = self.chunk;
        (0..n.div_ceil(chunk)).map(move |i| (i * chunk, chunk.min(n - i * chunk)))
    }

    /// Prepares, and forms the keys of one chunk and what `what` makes of them.
    pub fn one_chunk(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        Part { base, x_base, n }: Part,
        what: Rows,
    ) -> Vec<Launch<D::Buffer>> {
        let mut all = self.prepare(tensors);
        // They have no room for keys.
        let part = Part { base, x_base, n };
        match (&self.one_kernel, what) {
            (Some(OneKernel::Winners(winners)), Rows::Loss) => {
                let nothing = (false, &Learn::default());
                all.extend(self.winners(winners, tensors, batch, part, nothing));
                return all;
            }
            (Some(OneKernel::Step(step)), Rows::Loss) => {
                all.extend(self.step(step, tensors, batch, part, (what, true), None));
                return all;
            }
            _ => {}
        }
        all.extend(self.forward(tensors, batch.x, x_base, n));
        all.extend(self.rows(tensors, batch, (base, n), what, &Learn::default()));
        all
    }

    /// Prepares, and forms the keys of one chunk.
    pub fn keys_of_chunk(
        &self,
        tensors: &[Held<D::Buffer>],
        x: &D::Buffer,
        (base, n): (usize, usize),
    ) -> Vec<Launch<D::Buffer>> {
        let mut all = self.prepare(tensors);
        all.extend(self.forward(tensors, x, base, n));
        all
    }

    /// The keys' buffer, entry (i, j) at `j * chunk + i`.
    pub fn keys(&self) -> &D::Buffer {
        &self.keys
    }

    /// Projections of one chunk's rows, `n x (maps l)`, with their buffer.
    pub fn projections(
        &self,
        tensors: &[Held<D::Buffer>],
        x: &D::Buffer,
        (base, n): (usize, usize),
    ) -> Option<(Launch<D::Buffer>, &D::Buffer)> {
        let mut launch = self.project(tensors, x, base, n)?;
        launch.constants.retain(|(id, _)| *id != 1);
        Some((launch, &self.y))
    }

    /// For the contrastive cost: the confusion matrix of one chunk, added to those before.
    pub fn detect_chunk(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        part: Part,
        learn: &Learn,
    ) -> Vec<Launch<D::Buffer>> {
        if let Some(OneKernel::Step(step)) = &self.one_kernel {
            return self.step(step, tensors, batch, part, (Rows::Detect, false), None);
        }
        let mut all = self.forward(tensors, batch.x, part.x_base, part.n);
        all.extend(self.rows(tensors, batch, (part.base, part.n), Rows::Detect, learn));
        let buffers = (&self.outcome, &self.outcome, &self.totals);
        all.extend(self.sums("sum.columns", buffers, (part.n, 4, 0), part.base > 0, [2, 0, 2]));
        all
    }

    /// What follows from the confusion matrix of all rows.
    pub fn contrast(&self) -> Option<Launch<D::Buffer>> {
        let words = [(self.contrastive()? as f32).to_bits()];
        Some(self.launch("svq_contrast", &[&self.totals, &self.dynamic], &words, [1, 1]))
    }

    /// Loss and, with `gradients`, the sums of one chunk, added to those before. `keys`: they are there already.
    pub fn chunk(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        part: Part,
        gradients: Option<(&[Held<D::Buffer>], &Learn)>,
        keys: bool,
    ) -> Vec<Launch<D::Buffer>> {
        let nothing = Learn::default();
        let learn = gradients.map_or(&nothing, |(_, learn)| learn);
        let Part { base, n, .. } = part;
        let losses = (&self.outcome, &self.outcome, &self.totals);
        let losses = self.sums("sum.columns", losses, (n, 1, 0), base > 0, [0; 3]);
        let mut all = Vec::new();
        let what = if gradients.is_some() { Rows::Gradient } else { Rows::Loss };
        let fused = match (&self.one_kernel, self.fused_kernel()) {
            (Some(OneKernel::Step(step)), _) => {
                return self.step(step, tensors, batch, part, (what, false), gradients);
            }
            (Some(OneKernel::Winners(winners)), _) => {
                Some(self.winners(winners, tensors, batch, part, (gradients.is_some(), learn)))
            }
            (None, Some(kernel)) => {
                Some(self.fused(kernel, tensors, batch, part, (gradients.is_some(), learn)))
            }
            (None, None) => None,
        };
        if let Some(launches) = fused {
            all.extend(launches);
            all.extend(losses);
            return all;
        }
        if !keys {
            all.extend(self.forward(tensors, batch.x, part.x_base, n));
        }
        all.extend(self.rows(tensors, batch, (base, n), what, learn));
        all.extend(losses);
        if let Some((gradients, learn)) = gradients {
            all.extend(self.backward(batch.x, part.x_base, n, gradients, learn, base > 0));
        }
        all
    }

    /// Gradients from the sums of all chunks, and whether they are finite.
    pub fn end(
        &self,
        tensors: &[Held<D::Buffer>],
        gradients: &[Held<D::Buffer>],
        learn: &Learn,
    ) -> Vec<Launch<D::Buffer>> {
        let mut all = self.finish(tensors, gradients, learn);
        all.extend(finite(gradients, &self.totals, FLAGS));
        all
    }

    /// A whole pass: the loss into `totals[0]`, and with `gradients` their values.
    pub fn whole(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        gradients: Option<(&[Held<D::Buffer>], &Learn)>,
    ) -> Vec<Launch<D::Buffer>> {
        let mut all = match self.contrast() {
            Some(contrast) => {
                let mut all = self.look(tensors, batch, gradients);
                all.push(contrast);
                all
            }
            None => self.prepare(tensors),
        };
        all.extend(self.rest(tensors, batch, gradients));
        all
    }

    fn parts(&self, n: usize) -> Vec<Part> {
        self.chunks(n).map(|(base, n)| Part { base, x_base: base, n }).collect()
    }

    /// For the contrastive cost: prepares, and looks at all rows.
    pub fn look(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        gradients: Option<(&[Held<D::Buffer>], &Learn)>,
    ) -> Vec<Launch<D::Buffer>> {
        let nothing = Learn::default();
        let learn = gradients.map_or(&nothing, |(_, learn)| learn);
        let mut all = self.prepare(tensors);
        for part in self.parts(batch.n) {
            all.extend(self.detect_chunk(tensors, batch, part, learn));
        }
        all
    }

    /// A pass after what it prepares, and after the look where there is one.
    pub fn rest(
        &self,
        tensors: &[Held<D::Buffer>],
        batch: &Batch<'_, D::Buffer>,
        gradients: Option<(&[Held<D::Buffer>], &Learn)>,
    ) -> Vec<Launch<D::Buffer>> {
        let parts = self.parts(batch.n);
        // A single chunk's keys are still there.
        let keys = self.contrastive().is_some() && parts.len() == 1;
        let mut all = Vec::new();
        for part in parts {
            all.extend(self.chunk(tensors, batch, part, gradients, keys));
        }
        if let Some((gradients, learn)) = gradients {
            all.extend(self.end(tensors, gradients, learn));
        }
        all
    }
}
