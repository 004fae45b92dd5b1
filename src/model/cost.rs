//! What a training step costs: operations and bytes, from the sizes alone.
//!
//! A multiply-add counts 2. Bytes are those that must cross the memory bus at least: the data once, the tensors a few times.

use crate::backend::cpu;
use crate::parts::composition::{Composition, Cooperation, Kernel, MetricName, Objective, Ties};
use crate::parts::simd::is_wide;

/// Cost of one full-batch step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Operations of the forward pass.
    pub forward_flops: f64,
    /// Operations of the backward pass.
    pub backward_flops: f64,
    /// Bytes.
    pub bytes: f64,
}

impl Cost {
    /// Operations of the whole step.
    pub fn flops(&self) -> f64 {
        self.forward_flops + self.backward_flops
    }
}

/// Cost of a step of `composition` on `n` rows, `d` features, `p` prototypes, `classes` classes; `l`: columns of each
/// linear map (latent or subspace dimension); `size`: bytes of a stored feature.
pub fn step(composition: &Composition, [n, d, p, classes, l]: [usize; 5], size: usize) -> Cost {
    let [n, d, p, classes, l] = [n, d, p, classes, l].map(|v| v as f64);
    // Non-zeros a row in G.
    let q = match composition.cooperation {
        Cooperation::Winner => 1.0,
        Cooperation::WinnerPair { .. } => 2.0f64.min(p),
        Cooperation::ClassMinimum { .. } => classes.min(p),
        Cooperation::RanksOwn { .. } => (p / classes + 1.0).min(p),
        Cooperation::Posterior { .. }
        | Cooperation::PosteriorRanks { .. }
        | Cooperation::RanksEach
        | Cooperation::RanksAll
        | Cooperation::Reasoning => p,
    };
    let (forward, backward) = match composition.metric {
        MetricName::SquaredEuclidean
        | MetricName::Euclidean
        | MetricName::Manhattan
        | MetricName::Lp(_)
        | MetricName::Chebyshev
        | MetricName::Cosine
        | MetricName::Custom => (2.0 * n * p * d, 2.0 * n * q * d),
        MetricName::Relevance => (2.0 * n * p * d + n * d, 2.0 * n * q * d + 3.0 * n * q * d),
        MetricName::Omega => (2.0 * n * d * l + 2.0 * n * p * l, 4.0 * n * q * l + 2.0 * n * d * l),
        MetricName::ClassOmega => (
            2.0 * n * classes * d * l + 2.0 * n * p * l,
            4.0 * n * q * l + 2.0 * n * classes * d * l,
        ),
        MetricName::Bilinear => {
            (2.0 * n * d * l + 3.0 * n * p * l, 9.0 * n * q * l + 2.0 * n * d * l)
        }
        MetricName::LocalOmega => (2.0 * n * p * d * l, 2.0 * n * q * d * l),
        MetricName::Tangent => {
            (2.0 * n * p * d * l + 2.0 * n * p * d, n * q * (4.0 * d * l + 2.0 * d))
        }
    };
    let extra = match composition.cooperation {
        Cooperation::Reasoning => 6.0 * n * p * classes,
        Cooperation::Posterior { .. } => 4.0 * n * p,
        Cooperation::PosteriorRanks { .. } | Cooperation::RanksAll => n * p * (p + 4.0),
        Cooperation::RanksOwn { .. } | Cooperation::RanksEach => n * p * (p / classes + 4.0),
        _ => n * p,
    };
    let maps = match composition.metric {
        MetricName::Omega | MetricName::Bilinear => d * l,
        MetricName::ClassOmega => classes * d * l,
        MetricName::LocalOmega | MetricName::Tangent => p * d * l,
        MetricName::Relevance => d,
        _ => 0.0,
    };
    // Tensors: read in the forward, gradient written, optimizer reads and writes them with two moments.
    let tensors = p * d + maps;
    Cost {
        forward_flops: forward + extra,
        backward_flops: backward,
        bytes: n * d * size as f64 + 4.0 * n + 8.0 * tensors * size as f64,
    }
}

/// What a machine can do, measured or known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Threads that work.
    pub threads: usize,
    /// Operations a second of a matrix product on one thread.
    pub flops: f64,
    /// Responsibilities a second on one thread, of rows of some dozens of distances in the cache: what loops can do that are no products. (How
    /// much slower than products they are differs from processor to processor.)
    pub responsibilities: f64,
}

/// Time and memory of a step on the CPU, as the model of its parts has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Seconds.
    pub seconds: f64,
    /// Bytes: data, parameters with all that is kept for them, and the threads' working memory.
    pub bytes: f64,
}

/// A product's share of its full rate where its results are `columns` wide: they are formed 16 at a time, and few of them do not hide
/// the time of a load.
fn width_share(columns: f64) -> f64 {
    columns / ((columns / 16.0).ceil() * 16.0 + 8.0)
}

/// Whether the loss depends on the posteriors of right and of wrong prototypes alone.
fn is_posterior(composition: &Composition) -> bool {
    let of_sums =
        matches!(composition.objective, Objective::Nllr | Objective::Rslvq { exact_log: false });
    of_sums && matches!(composition.cooperation, Cooperation::Posterior { .. })
}

/// Whether the loss depends on the distances of the nearest prototype of its class and of all others alone.
fn is_pairs(composition: &Composition) -> bool {
    matches!(composition.cooperation, Cooperation::WinnerPair { ties: Ties::First })
}

/// Whether distances are what the metric gives.
fn is_identity(composition: &Composition) -> bool {
    !composition.spread && composition.kernel == Kernel::None
}

/// Whether distances are plain squared ones.
fn is_plain(composition: &Composition) -> bool {
    is_identity(composition) && composition.metric == MetricName::SquaredEuclidean
}

/// Bytes of rows that are kept beside those of the data, turned, in a training of many steps.
fn turned(composition: &Composition, [n, d, p]: [usize; 3], size: usize) -> f64 {
    let pairs = is_pairs(composition);
    let short = size == 4 && is_plain(composition) && (pairs || is_posterior(composition));
    let kept = short && cpu::keeps_turned(n, d, p, pairs);
    if kept { (n * d * size) as f64 } else { 0.0 }
}

/// What the parts of a step have to do, each in its own unit, in numbers of `size` bytes; see [`RATES`].
fn work(composition: &Composition, [n, d, p, classes, l]: [f64; 5], size: usize) -> [f64; PARTS] {
    let scope = p / classes;
    let (mut soft, mut ranked, mut dense) = (0.0, 0.0, true);
    // Entries a row in G where it is sparse.
    let mut q = 0.0;
    match composition.cooperation {
        Cooperation::Winner => (q, dense) = (1.0, false),
        Cooperation::WinnerPair { .. } => (q, dense) = (2.0f64.min(p), false),
        Cooperation::ClassMinimum { .. } => (q, dense) = (classes.min(p), false),
        Cooperation::RanksOwn { .. } => {
            (q, dense) = ((scope + 1.0).min(p), false);
            (soft, ranked) = (6.0 * q, scope * scope);
        }
        Cooperation::Posterior { .. } => soft = p + SHORT,
        Cooperation::PosteriorRanks { within_class, .. } => {
            soft = 1.5 * p + SHORT;
            ranked = if within_class { p * scope } else { p * p };
        }
        // Short slices, one a class.
        Cooperation::RanksEach => (soft, ranked) = (4.0 * p, p * scope),
        Cooperation::RanksAll => {
            soft = 2.0 * p;
            ranked = p * p;
        }
        Cooperation::Reasoning => soft = p + SHORT,
    }
    if matches!(composition.objective, Objective::OneClass { .. }) {
        soft += if dense { 2.0 * p } else { 17.0 };
    }
    let product =
        |rows: f64, inner: f64, columns: f64| 2.0 * rows * inner * columns / width_share(columns);
    let when_dense = |work: f64| if dense { work } else { 0.0 };
    let (mut products, mut differences, mut lanes) = (0.0, 0.0, 0.0);
    let (mut found, mut tiled, mut side_by_side) = (n * p, 0.0, 0.0);
    let pairs = is_pairs(composition);
    let (posterior, identity) = (is_posterior(composition), is_identity(composition));
    let plain = is_plain(composition);
    // Rows stand side by side in single precision alone.
    let tiles = size == 4 && cpu::has_tiles();
    // (Wide registers are more in number as well, and have instructions of their own for powers.)
    let wide = tiles && is_wide();
    let at_once =
        tiles && plain && (pairs || posterior) && cpu::at_once(d as usize, p as usize, pairs);
    let few = pairs && (at_once || identity && cpu::few(d as usize, p as usize));
    // Sums of all prototypes, whoever a row's winners are.
    let summed = at_once && cpu::sums_all(d as usize, p as usize, pairs);
    // How many registers' worth of work a value takes after its product, where rows stand side by side.
    let values = match (composition.metric, identity) {
        (MetricName::Bilinear, _) if pairs && tiles => 16.0,
        (MetricName::SquaredEuclidean | MetricName::Relevance | MetricName::Omega, true)
            if tiles =>
        {
            if posterior {
                match (at_once, wide) {
                    (true, true) => 4.0,
                    (true, false) => 6.5,
                    (false, true) => 4.5,
                    (false, false) => 7.5,
                }
            } else if pairs && !few {
                1.0
            } else {
                0.0
            }
        }
        _ => 0.0,
    };
    if values > 0.0 {
        let width = if composition.metric == MetricName::Omega { l } else { d };
        (tiled, side_by_side, found) = (2.0 * n * width * p, n * p * values, 0.0);
        if posterior {
            soft = if at_once { 0.5 } else { TURNED };
        }
    }
    let untiled = |work: f64| if values > 0.0 { 0.0 } else { work };
    // Without differences.
    let sums_of_all = if wide { 0.45 } else { 0.6 } * n * p * d;
    let mut compared = d;
    let mut maps = 0.0;
    match composition.metric {
        MetricName::SquaredEuclidean | MetricName::Relevance if few => {
            let of_pair = match tiles {
                // By products, most of them.
                true if at_once && cpu::by_products(d as usize, p as usize) => 0.6,
                true => 1.0,
                false => 3.0,
            };
            (lanes, found) = (n * p * d * of_pair, 0.0);
            if summed {
                lanes += sums_of_all;
                side_by_side = 2.5 * n * p;
            }
        }
        MetricName::SquaredEuclidean | MetricName::Relevance => {
            products = untiled(product(n, d, p));
            if at_once {
                lanes = sums_of_all;
            } else if tiles && plain && posterior {
                // Panels of stored rows.
                tiled += 2.0 * n * p * d;
            } else {
                products += when_dense(product(n, p, d));
            }
        }
        MetricName::Omega => {
            products = product(n, d, l) + untiled(product(n, l, p)) + product(n, d, l);
            products += when_dense(2.0 * product(n, p, l));
            (compared, maps) = (l, d * l);
        }
        MetricName::ClassOmega => {
            products = classes * (2.0 * product(n, d, l) + product(n, l, scope));
            (compared, maps) = (l, classes * d * l);
        }
        MetricName::LocalOmega => {
            products = product(n, d, p * l)
                + if dense { product(n, d, p * l) } else { product(n * q, d, l) };
            differences = n * p * l;
            (compared, maps) = (l, p * d * l);
        }
        MetricName::Tangent => {
            products = product(n, d, p * l)
                + if dense { product(n, d, p * l) } else { product(n * q, d, l) };
            differences = n * p * d;
            maps = p * d * l;
        }
        MetricName::Bilinear => {
            products = 2.0 * product(n, d, l) + untiled(product(n, l, p));
            // The logarithms of a distance take as long as some features.
            differences = n * p * (when_dense(3.0 * l) + untiled(20.0));
            (compared, maps) = (l, d * l);
        }
        _ => differences = n * p * d * if dense { 2.0 } else { 1.0 },
    }
    // Formed by itself, and summed: sums alone, or sixteen pairs side by side where there are tiles.
    let share = match (at_once, few, values > 0.0) {
        (true, true, _) if summed => 0.0,
        (true, true, _) if wide => 0.22,
        (true, true, _) => 0.35,
        (true, false, _) => 0.0,
        (_, true, _) => 0.75,
        (_, _, true) if composition.metric == MetricName::Relevance => 0.75,
        (_, _, true) => 0.57,
        _ => 1.0,
    };
    let entries = n * q * compared * share;
    // Nothing is copied, and memory is asked for in time; what is kept turned is not turned either.
    let (rows, features) = match (at_once, posterior, wide) {
        (true, true, true) => (0.1, 0.35),
        (true, true, false) => (0.2, 0.8),
        (true, false, true) if !summed => (0.4, 0.5),
        (true, false, _) => (0.4, 1.0),
        _ => (1.0, 1.0),
    };
    let (rows, features) = (n * rows, n * d * features);
    let (soft, ranked, parameters) = (n * soft, n * ranked, p * d + maps);
    [
        products,
        lanes,
        tiled,
        side_by_side,
        found,
        soft,
        ranked,
        entries,
        differences,
        rows,
        features,
        parameters,
        1.0,
    ]
}

/// How many responsibilities take as long as beginning and ending a row of them.
const SHORT: f64 = 24.0;
/// The same of rows that stand side by side.
const TURNED: f64 = 7.0;

/// Parts of the time model.
const PARTS: usize = 13;
/// Those that are products, or of the same kind: the first ones.
const OF_PRODUCTS: usize = 4;

/// Time of each part of a step on one thread. In units of the time of one operation of a matrix product: of an operation of a product, of a feature of a
/// distance by differences where rows stand side by side, of an operation of a product of tiles of rows, of a value that they leave in a register. In
/// units of the time of one responsibility: of a distance (its norms, the search for the nearest), of a responsibility (in a model's own loops), of a
/// comparison of two distances for a rank, of a feature of a pair that is formed and summed by differences, of a feature of a distance by differences,
/// of a row, of a feature of a row, of a parameter, of a step.
///
/// Fitted to measured steps of the models in `benches/README.md` on three processors, where it is told how well they fit.
const RATES: [f64; PARTS] =
    [1.14, 1.14, 1.08, 12.5, 0.68, 1.43, 0.167, 0.47, 0.28, 1.33, 0.133, 11.9, 7300.0];

/// Values that a thread holds for a block: rows, distances and projections, each about twice; detection keeps lists of its own.
fn block(composition: &Composition, [n, d, p, classes, l]: [f64; 5]) -> f64 {
    let projections = match composition.metric {
        MetricName::Omega | MetricName::Bilinear => l,
        MetricName::ClassOmega => classes * l,
        MetricName::LocalOmega | MetricName::Tangent => p * l,
        _ => 0.0,
    };
    let of_row = d + 2.0 * p + projections;
    let sparse = matches!(
        composition.cooperation,
        Cooperation::Winner
            | Cooperation::WinnerPair { .. }
            | Cooperation::ClassMinimum { .. }
            | Cooperation::RanksOwn { .. }
    );
    // Where every prototype learns from a row, so do all its projections.
    let learning = if sparse { 0.0 } else { projections };
    let rows = (f64::from(1 << 19) / of_row).min(480.0).min((n / 32.0).max(256.0));
    let detection = match composition.objective {
        Objective::SvqOcc { .. } => f64::from(1 << 19),
        _ => 0.0,
    };
    2.0 * rows * (of_row + learning) + detection
}

/// Time and memory of a full-batch step on the CPU; sizes as for [`step`], `size`: bytes of a number; `mapped`: whether the data are a file that is mapped.
pub fn predict(
    composition: &Composition,
    [n, d, p, classes, l]: [usize; 5],
    size: usize,
    machine: Machine,
    mapped: bool,
) -> Prediction {
    let turned = if mapped { 0.0 } else { turned(composition, [n, d, p], size) };
    let sizes @ [n, d, ..] = [n, d, p, classes, l].map(|v| v as f64);
    let work = work(composition, sizes, size);
    let time = |part: usize| {
        let rate = if part < OF_PRODUCTS { machine.flops } else { machine.responsibilities };
        work[part] * RATES[part] / rate
    };
    // Rows are shared among the threads, parameters are not.
    let rows: f64 = (0..PARTS - 2).map(time).sum();
    let seconds = rows / machine.threads as f64 + (PARTS - 2..PARTS).map(time).sum::<f64>();
    // Data and codes; parameters in all slots, with gradient, moments and the sums of chunks; blocks of the threads; the program.
    let (number, threads, tensors) = (size as f64, machine.threads as f64, work[PARTS - 2]);
    let sums = (16.0 * threads).min((n / 512.0).max(8.0));
    let bytes = n * (d * number + 8.0)
        + turned
        + number * tensors * (12.0 + sums)
        + threads * block(composition, sizes) * number
        + 1.9 * f64::from(1 << 20);
    Prediction { seconds, bytes }
}
