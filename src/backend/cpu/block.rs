//! One block of rows: loading, centring, distances; and what they are made ready with.

use super::lanes::{self, Packed, Soft, Turned};
use super::prefetch::prefetch;
use crate::backend::Question;
use crate::data::Features;
use crate::parts::composition::{Composition, Cooperation, Kernel, MetricName, Objective, Ties};
use crate::parts::cooperation::ranks::{Neighbourhood, Room};
use crate::parts::cooperation::reasoning::Reasoning;
use crate::parts::cooperation::winner_pair::{Classes, NOBODY};
use crate::parts::kernel::{Map, Opposed, bandwidth::Bandwidth, exponential::Exponential};
use crate::parts::metric::{
    Bent, Inputs, Metric, Operand, Pair, Scratch, Squares, class_omega::ClassOmega, custom::Custom,
    local_omega::LocalOmega, omega::Omega, plain::plain, relevance::Relevance, spread::Spread,
    tangent::Tangent,
};
use crate::parts::objective::{one_class, svq_occ};
use crate::parts::real::Real;
use crate::parts::tensor::Tensors;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Bytes that the rows of a block bring into the cache.
const BLOCK_BYTES: usize = 2 << 20;

/// The widest tile that a product forms at a time.
const TILE: usize = 96;
/// How many rows ahead of its turn a row that stands anywhere is asked for.
const AHEAD: usize = 8;

/// What stays the same from step to step.
pub(super) struct Plan<T> {
    pub composition: Composition,
    pub d: usize,
    pub p: usize,
    pub classes: usize,
    pub prototype_labels: Vec<u32>,
    /// Prototypes of each class as runs.
    pub runs: Classes,
    /// The centre, more than once in a row where it is short.
    centre: Vec<f64>,
    centre_t: Vec<T>,
    operand: Operand,
    /// The class that one-class models are about.
    pub target: u32,
    /// What the metric's keys stand for.
    pub map: Map,
    /// Winner pairs, the first on ties, with both winners there for a row of any class.
    pub opposed: bool,
    /// Posteriors of distances, and a loss that depends on their sums by side alone.
    pub soft: Option<Soft>,
    /// Rows of a block.
    pub rows: usize,
    /// Workspaces that no thread works in, and sums that have been added.
    shelf: Mutex<Vec<Workspace<T>>>,
    pub spare_sums: Mutex<Vec<Vec<T>>>,
}

/// A plan made ready for one set of tensors.
pub(super) struct Ready<T: Real> {
    pub metric: Box<dyn Metric<T>>,
    /// Its prototypes laid out for rows side by side.
    pub packed: Option<Packed>,
    /// Whether distances are plain squared ones, of rows as they are but for their centre.
    pub plain: bool,
    /// Whether those prototypes see to a whole step of rows as they stand in memory.
    pub at_once: bool,
    /// The same prototypes for such rows as they are, where nothing need be taken from those.
    as_stored: Option<AsStored<T>>,
    pub reasoning: Option<Reasoning<T>>,
    pub learn_reasonings: bool,
    /// Weights by rank, at the range's present value.
    pub neighbourhood: Option<Neighbourhood<T>>,
    /// Thresholds of the prototypes, on the scale of distances.
    pub thetas: Vec<T>,
    /// `dtheta/d(tensor)`: 1, or twice the root.
    pub theta_slopes: Vec<T>,
    pub learn_thetas: bool,
    /// Whether the gradient of the range is wanted.
    pub learn_range: bool,
}

/// Prototypes that are not centred, laid out when they are first wanted: batches of rows that stand anywhere never do.
struct AsStored<T> {
    w: Vec<T>,
    few: bool,
    packed: OnceLock<Option<Packed>>,
}

/// Working memory of one thread.
#[derive(Default)]
pub(super) struct Workspace<T> {
    /// Centred rows of the block, `b x d`.
    pub x: Vec<T>,
    /// Distances, `b x p`.
    pub d: Vec<T>,
    /// `dL/dD`, `b x p`, where it is dense.
    pub g: Vec<T>,
    pub pairs: Vec<Pair<T>>,
    pub scratch: Scratch<T>,
    /// Loss of each row.
    pub losses: Vec<T>,
    pub row: Vec<T>,
    pub other: Vec<T>,
    /// Distances that keys stand for.
    pub seen: Vec<T>,
    pub scores: Vec<T>,
    pub score_gradients: Vec<T>,
    pub similarities: Vec<T>,
    pub indices: Vec<u32>,
    pub ranks: Vec<u32>,
    pub members: Vec<usize>,
    pub winners: Vec<Option<usize>>,
    /// The nearest prototype of its class and of all others for each row.
    pub winner_pairs: Vec<[u32; 2]>,
    /// Rows and prototypes whose keys by differences are wanted, and those.
    pub wanted: Vec<[u32; 2]>,
    pub exact: Vec<T>,
    pub detection: svq_occ::Buffers<T>,
    pub costs: one_class::Costs<T>,
    /// The two winners' distances of many rows.
    pub opposed: Opposed<T>,
    /// For ranks within classes.
    pub room: Room<T>,
    /// For rows side by side.
    pub lanes: lanes::Room,
}

/// A workspace on loan, which goes back when it is dropped: buffers stay as they grew, from block to block and from step to step.
pub(super) struct Lent<'a, T: Real> {
    workspace: Workspace<T>,
    shelf: &'a Mutex<Vec<Workspace<T>>>,
}

impl<T: Real> Deref for Lent<'_, T> {
    type Target = Workspace<T>;
    fn deref(&self) -> &Workspace<T> {
        &self.workspace
    }
}

impl<T: Real> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut Workspace<T> {
        &mut self.workspace
    }
}

impl<T: Real> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        // A panic elsewhere leaves nothing half done here.
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.push(std::mem::take(&mut self.workspace));
    }
}

/// The rows of one block within the data.
#[derive(Clone, Copy)]
pub(super) struct BlockRows<'a> {
    pub features: &'a Features,
    pub codes: &'a [u32],
    /// Which rows; none: all, in order.
    pub indices: Option<&'a [u32]>,
    /// All rows of the data turned, for steps that take them so.
    pub turned: Option<&'a Turned>,
    pub start: usize,
    pub end: usize,
}

impl<'a> BlockRows<'a> {
    /// Their values, if they stand in memory one after the other and are stored in `T`.
    pub fn stored<T: Real>(&self) -> Option<&'a [T]> {
        let x = match self.indices {
            None => self.features.values(self.start..self.end),
            Some(_) => &[],
        };
        (!x.is_empty()).then_some(x)
    }

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

    /// The values of as many rows after these, where rows follow each other and are stored in `T`.
    pub fn ahead<T: Real>(&self) -> &[T] {
        match self.indices {
            None => self.features.values(self.end..self.end + self.len()),
            Some(_) => &[],
        }
    }
}

crate::vectorized! {
    /// Every row minus the centre, the difference taken in f64.
    fn centred<T>(rows: &mut [T], centre: &[f64]) {
        for row in rows.chunks_exact_mut(centre.len()) {
            for (v, c) in row.iter_mut().zip(centre) {
                *v = T::of(v.f64() - *c);
            }
        }
    }
}

impl<T: Real> Plan<T> {
    pub fn new(question: &Question<'_>) -> Self {
        let Question { composition, classes, target, prototype_labels, centre, tensors, .. } =
            *question;
        let (d, p) = (centre.len(), prototype_labels.len());
        // Values a row brings into the cache: itself, its distances twice, and its projections.
        let projections = match composition.metric {
            MetricName::Omega => tensors.get("omega").map_or(0, |t| t.shape[1]),
            MetricName::LocalOmega | MetricName::Tangent => {
                tensors.get("omegas").map_or(0, |t| p * t.shape[2])
            }
            MetricName::ClassOmega => tensors.get("omegas").map_or(0, |t| t.shape[0] * t.shape[2]),
            MetricName::Bilinear => tensors.get("omega_hat").map_or(0, |t| t.shape[1]),
            _ => 0,
        };
        let runs = Classes::new(prototype_labels, classes);
        let bytes = (d + 2 * p + projections) * size_of::<T>();
        // A product repacks the prototypes for each block: many rows pay for that.
        let rows = (BLOCK_BYTES / bytes).clamp(16, 480);
        // Whole tiles of the products, which are 96 wide at most.
        let rows = if rows < TILE { rows / 16 * 16 } else { rows / TILE * TILE };
        // Short ones in a row: a loop over few features is over before it is under way.
        let wide = centre.repeat(64usize.div_ceil(d));
        Plan {
            composition: composition.clone(),
            d,
            p,
            classes,
            prototype_labels: prototype_labels.to_vec(),
            opposed: runs.are_opposed()
                && composition.cooperation == Cooperation::WinnerPair { ties: Ties::First },
            soft: match (&composition.objective, composition.cooperation) {
                _ if composition.kernel.map() != Map::Identity => None,
                (Objective::Nllr, Cooperation::Posterior { .. }) => Some(Soft::Nllr),
                (Objective::Rslvq { exact_log: false }, Cooperation::Posterior { .. }) => {
                    Some(Soft::Rslvq)
                }
                _ => None,
            },
            runs,
            centre_t: wide.iter().map(|c| T::of(*c)).collect(),
            centre: wide,
            operand: question.precision.operand(),
            target,
            map: composition.kernel.map(),
            rows,
            shelf: Mutex::default(),
            spare_sums: Mutex::default(),
        }
    }

    /// Builds the metric and whatever else depends on the tensors alone. `learn`: whose gradient is wanted.
    pub fn ready(&self, tensors: &Tensors<T>, learn: &dyn Fn(&str) -> bool) -> Ready<T> {
        let name = self.composition.prototypes;
        // Not in T: a centre far from 0 would cost the prototypes their digits.
        let mut prototypes = tensors.values(name).to_vec();
        centred(&mut prototypes, self.centre());
        self.operand.round(&mut prototypes);
        let own = self.composition.metric.own_tensor();
        let own_tensor = own.and_then(|name| tensors.get(name));
        let mut metric = self.metric(
            &prototypes,
            own_tensor.map_or(&[][..], |t| &t.data),
            own_tensor.and_then(|t| t.shape.last().copied()).unwrap_or(0),
            learn(name),
            own.is_some_and(learn),
        );
        if self.composition.spread {
            let variances = tensors.values("log_variances");
            metric = Box::new(Spread::new(metric, variances, self.d, learn("log_variances")));
        }
        if let Kernel::Bandwidth { sigma_min } = self.composition.kernel {
            let floor = T::of(sigma_min);
            let sigmas = tensors.values("sigmas");
            metric = Box::new(Bandwidth::new(metric, sigmas, floor, learn("sigmas")));
        }
        let reasoning = (self.composition.cooperation == Cooperation::Reasoning)
            .then(|| Reasoning::new(tensors.values("reasonings"), self.p, self.classes));
        let range = self.composition.anneal.map(|a| a.tensor);
        let neighbourhood =
            range.map(|name| Neighbourhood::new(tensors.values(name)[0].f64(), self.p));
        let thresholds = self.composition.objective.thresholds();
        let (thetas, theta_slopes) = match thresholds {
            // Thresholds are on the scale of squared distances: radii are their roots.
            Some((name, true)) => tensors.values(name).iter().map(|a| (*a * *a, *a + *a)).unzip(),
            Some((name, false)) => tensors.values(name).iter().map(|t| (*t, T::one())).unzip(),
            None => (Vec::new(), Vec::new()),
        };
        // Plain squared distances for inference at least.
        let wanted = self.opposed || self.soft.is_some() || metric.sums_differences();
        let plain = metric.sums_differences() && self.map == Map::Identity;
        let pay = if plain && self.opposed { lanes::tiles_pay } else { lanes::pays };
        let mut few = false;
        let packed = wanted.then(|| metric.squares()).flatten().and_then(|squares| {
            few = self.opposed && squares.bent == Bent::Not;
            few = few && pay(squares.w.len() / self.p, self.p);
            Packed::new(squares, &self.prototype_labels, few)
        });
        let plain = plain && self.operand == Operand::Full;
        let pays = self.soft.is_some() || self.opposed && pay(self.d, self.p);
        let at_once = packed.is_some() && plain && pays;
        // (Not of short steps: the bits of a result shall not tell from where they take rows.)
        let as_they_are = at_once && !self.is_short() && self.is_near(&prototypes);
        let as_stored = as_they_are.then(|| AsStored {
            w: tensors.values(name).to_vec(),
            few,
            packed: OnceLock::new(),
        });
        Ready {
            metric,
            packed,
            plain,
            at_once,
            as_stored,
            reasoning,
            learn_reasonings: learn("reasonings"),
            neighbourhood,
            thetas,
            theta_slopes,
            learn_thetas: thresholds.is_some_and(|(name, _)| learn(name)),
            learn_range: range.is_some_and(learn),
        }
    }

    /// Whether every prototype is at least half as far from the centre as that is from 0. Terms of products are larger by some factors at most then
    /// where nothing is centred, and differences lose nothing. (Not some prototype: one may be anywhere.)
    fn is_near(&self, prototypes: &[T]) -> bool {
        let norm = |w: &[T]| w.iter().map(|v| v.f64() * v.f64()).sum::<f64>();
        let centre: f64 = self.centre().iter().map(|c| c * c).sum();
        prototypes.chunks_exact(self.d).all(|w| 4.0 * norm(w) >= centre)
    }

    /// The prototypes for rows as they stand in memory, and what is to be taken from those, if the model goes over such rows at once.
    pub fn for_stored<'a>(&'a self, ready: &'a Ready<T>) -> Option<(&'a Packed, &'a [T])> {
        let packed = ready.packed.as_ref().filter(|_| ready.at_once)?;
        let as_stored = ready.as_stored.as_ref().and_then(|AsStored { w, few, packed }| {
            let squares = Squares { w, lam: None, bent: Bent::Not };
            packed.get_or_init(|| Packed::new(squares, &self.prototype_labels, *few)).as_ref()
        });
        Some(as_stored.map_or((packed, self.centre_of_rows()), |packed| (packed, &[][..])))
    }

    /// The prototypes for a step that sums for all of them over short rows, if that is what the model has: such a step goes over rows at once wherever
    /// they stand. Rows that are kept turned are for it: to turn them takes long beside the rest of it.
    pub fn for_short<'a>(&self, ready: &'a Ready<T>) -> Option<&'a Packed> {
        ready.packed.as_ref().filter(|_| ready.at_once && self.is_short())
    }

    fn is_short(&self) -> bool {
        let (soft, opposed) = (self.soft.is_some(), self.opposed);
        soft && lanes::pays(self.d, self.p) || opposed && lanes::are_summed(self.d, self.p)
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
        if let Some(metric) = plain(self.composition.metric, inputs) {
            return metric;
        }
        match self.composition.metric {
            MetricName::Relevance => Box::new(Relevance::new(inputs)),
            MetricName::Omega => Box::new(Omega::new(inputs, width)),
            MetricName::ClassOmega => {
                Box::new(ClassOmega::new(inputs, width, &self.prototype_labels))
            }
            MetricName::LocalOmega => Box::new(LocalOmega::new(inputs, width)),
            MetricName::Bilinear => Box::new(Exponential::new(inputs, width)),
            MetricName::Tangent => Box::new(Tangent::new(inputs, width)),
            _ => {
                let own = self.composition.user_metric.clone().expect("composed with its metric");
                Box::new(Custom::new(inputs, own))
            }
        }
    }

    /// Working memory for a thread.
    pub fn workspace(&self) -> Lent<'_, T> {
        let spare = self.shelf.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent { workspace: spare.unwrap_or_default(), shelf: &self.shelf }
    }

    /// Centred rows from number `first` on, as many as there is room for.
    pub fn centred_rows_into(&self, features: &Features, first: usize, out: &mut [T]) {
        features.centred_rows_into(first, (&self.centre[..], &self.centre_t[..]), out);
    }

    /// Centred rows of the block, in `ws.x`.
    pub fn load(&self, rows: BlockRows<'_>, ws: &mut Workspace<T>) {
        let (b, d) = (rows.len(), self.d);
        ws.x.resize(b * d, T::zero());
        if rows.indices.is_none() {
            self.centred_rows_into(rows.features, rows.start, &mut ws.x);
        } else {
            for (k, out) in ws.x.chunks_exact_mut(d).enumerate() {
                if k + AHEAD < b {
                    let row = rows.row(k + AHEAD);
                    prefetch(rows.features.values::<T>(row..row + 1));
                }
                self.centred_rows_into(rows.features, rows.row(k), out);
            }
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

    /// How operands of distance products are rounded.
    pub fn operand(&self) -> Operand {
        self.operand
    }

    /// What is subtracted from rows, in their precision.
    pub fn centre_of_rows(&self) -> &[T] {
        &self.centre_t[..self.d]
    }

    /// What is subtracted from rows and prototypes.
    pub fn centre(&self) -> &[f64] {
        &self.centre[..self.d]
    }

    /// The metric of one prototype, number j's own matrix, standing at row `at` of the data.
    pub fn ready_at(&self, features: &Features, at: usize, own: &[T]) -> Box<dyn Metric<T>> {
        let mut w = vec![T::zero(); self.d];
        self.centred_rows_into(features, at, &mut w);
        self.metric(&w, own, own.len() / self.d, false, false)
    }

    /// Rows and distances of the block.
    pub fn forward(&self, ready: &Ready<T>, rows: BlockRows<'_>, ws: &mut Workspace<T>) {
        self.load(rows, ws);
        self.distances(ready, ws);
    }

    /// The nearest prototype of each row; those that products cannot tell apart are compared by differences.
    pub fn winners(
        &self,
        ready: &Ready<T>,
        rows: BlockRows<'_>,
        ws: &mut Workspace<T>,
        out: &mut [u32],
    ) {
        if !self.winners_without_distances(ready, rows, ws, out) {
            self.forward(ready, rows, ws);
            for (k, out) in out.iter_mut().enumerate() {
                *out = self.nearest(ready, k, ws) as u32;
            }
        }
    }

    /// The same without distances of the block, where the backend has a way of its own for the metric.
    fn winners_without_distances(
        &self,
        ready: &Ready<T>,
        rows: BlockRows<'_>,
        ws: &mut Workspace<T>,
        out: &mut [u32],
    ) -> bool {
        let packed = ready.packed.as_ref().filter(|packed| packed.has_nearest_of_all());
        let Some(packed) = packed else { return false };
        ws.indices.clear();
        ws.indices.resize(out.len(), NOBODY);
        let stored = rows.stored().filter(|_| ready.plain);
        let (x, centre) = match stored {
            Some(x) => (x, self.centre_of_rows()),
            None => {
                self.load(rows, ws);
                match ready.metric.project_block(&ws.x, &mut ws.scratch) {
                    Some(width) => (&ws.scratch.kept[..out.len() * width], &[][..]),
                    None => (&ws.x[..], &[][..]),
                }
            }
        };
        let labels = &self.prototype_labels;
        let of = &ws.indices;
        let tiles = lanes::Labelled { x, of, labels, ahead: &[], stored: stored.is_some(), centre };
        packed.nearest_of_all(&tiles, &mut ws.lanes, &mut ws.winner_pairs, out);
        for (k, out) in out.iter_mut().enumerate().filter(|(_, j)| **j == NOBODY) {
            let row = if stored.is_some() {
                let at = rows.start + k;
                self.load(BlockRows { start: at, end: at + 1, ..rows }, ws);
                0
            } else {
                k
            };
            let mut least = T::infinity();
            *out = 0;
            for j in 0..self.p {
                let exact = ready.metric.exact(&ws.x, row, j, &mut ws.scratch);
                if exact < least {
                    (*out, least) = (j as u32, exact);
                }
            }
        }
        true
    }

    /// Distances of the rows that have been loaded.
    pub fn distances(&self, ready: &Ready<T>, ws: &mut Workspace<T>) {
        ws.d.resize(ws.x.len() / self.d * self.p, T::zero());
        ready.metric.forward(&ws.x, &mut ws.d, &mut ws.scratch);
    }
}
