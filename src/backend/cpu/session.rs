//! A training problem on the CPU.

use super::block::{BlockRows, Plan, Ready, Workspace};
use super::lanes::{TILE, Turned};
use super::rows::{Partial, Pass};
use super::{Team, on_pool, rule};
use crate::backend::{Problem, Question, Rows, Samples, Session, Set, Slot};
use crate::error::Result;
use crate::parts::composition::Objective;
use crate::parts::constraint;
use crate::parts::objective::svq_occ::Cost;
use crate::parts::optimizer::Optimizer;
use crate::parts::real::Real;
use crate::parts::tensor::{Tensor, Tensors};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Bytes that the partial sums of one wave of chunks may take.
const PARTIAL_BYTES: usize = 64 << 20;
/// Bytes of them that are in the cache still when they are added up: a wave need not end before, and threads wait for each other at its end.
const WAVE_BYTES: usize = 1 << 20;
/// Bytes of rows at most that are kept twice, as they are and turned.
const TURNED_BYTES: usize = 1 << 30;
/// Where at least so many passes are meant to be made: to turn all rows takes as long as some, and each of the others gains a part of itself. (The bits are
/// the same.)
const PASSES: usize = 64;
/// Chunks of a pass at most: the parallelism there can be.
const CHUNKS: usize = 256;

pub(super) struct CpuSession<'a, T: Real> {
    plan: Plan<T>,
    training: Samples<'a>,
    validation: Option<Samples<'a>>,
    row_weights: Option<Vec<f64>>,
    learn: Vec<String>,
    train: Vec<String>,
    /// All tensors of each slot; those that do not learn are the same in all.
    slots: [Tensors<T>; Slot::COUNT],
    gradient: Tensors<T>,
    accumulated: Option<Tensors<T>>,
    optimizer: Option<Optimizer<T>>,
    pool: Option<Arc<rayon::ThreadPool>>,
    team: Team,
    /// Passes that are meant to be made.
    passes: usize,
    /// The training rows, where they are kept turned.
    turned: OnceLock<Turned>,
}

impl<'a, T: Real> CpuSession<'a, T> {
    pub fn new(problem: Problem<'a>, pool: Option<Arc<rayon::ThreadPool>>) -> Result<Self> {
        let tensors: Tensors<T> = problem.tensors.cast();
        let only = |names: &[String]| Tensors {
            list: tensors.list.iter().filter(|t| names.contains(&t.name)).cloned().collect(),
        };
        let plan = Plan::new(&Question {
            composition: problem.composition,
            classes: problem.classes,
            target: problem.target,
            prototype_labels: problem.prototype_labels,
            centre: problem.centre,
            tensors: problem.tensors,
            precision: problem.precision,
        });
        let optimizer =
            problem.optimizer.map(|(spec, lr)| Optimizer::new(spec, lr, &only(problem.train)));
        Ok(CpuSession {
            plan,
            training: problem.training,
            validation: problem.validation,
            row_weights: problem.row_weights,
            learn: problem.learn.to_vec(),
            train: problem.train.to_vec(),
            gradient: only(problem.learn).zeros_like(),
            slots: std::array::from_fn(|_| tensors.clone()),
            accumulated: None,
            optimizer,
            team: Team::new(&pool),
            pool,
            passes: problem.passes,
            turned: OnceLock::new(),
        })
    }

    /// The training rows turned, if a pass over `rows` goes over all of them and its steps gain by it. (Not those of a file: memory stays flat there.)
    fn turned(&self, ready: &Ready<T>, rows: Rows<'_>) -> Option<&Turned> {
        let features = self.training.features;
        let all = rows.indices.is_none() && rows.set == Set::Training && self.passes >= PASSES;
        if !all || features.is_mapped() || !are_kept_turned(features.rows(), self.plan.d) {
            return None;
        }
        let packed = self.plan.for_short(ready)?;
        Some(self.turned.get_or_init(|| {
            on_pool(&self.pool, || {
                packed.turn(self.plan.d, features.rows(), |first, out: &mut [T]| {
                    self.plan.centred_rows_into(features, first, out);
                })
            })
        }))
    }

    fn samples(&self, set: Set) -> Samples<'a> {
        match set {
            Set::Training => self.training,
            Set::Validation => self.validation.expect("the problem has validation data"),
        }
    }

    /// One pass over rows: weighted mean loss, and the gradient by tensor if it is wanted.
    fn pass(
        &self,
        tensors: &Tensors<T>,
        rows: Rows<'_>,
        scale: T,
        gradient: bool,
    ) -> (f64, Vec<(&'static str, Vec<T>)>) {
        let samples = self.samples(rows.set);
        let n = rows.indices.map_or(samples.features.rows(), <[u32]>::len);
        let learn = |name: &str| gradient && self.learn.iter().any(|l| l == name);
        let ready = self.plan.ready(tensors, &learn);
        let mut chunks = Chunks::new(n, self.plan.rows, partial_len(&self.plan, &ready));
        if ready.at_once && rows.indices.is_none() {
            chunks.at_a_time = AT_A_TIME;
        }
        let turned = self.turned(&ready, rows);
        let inverse = 1.0 / n as f64;
        let weighted = rows.weights.is_some() || self.row_weights.is_some();
        let weight = |k: usize| -> f64 {
            match (rows.weights, &self.row_weights, rows.set) {
                (Some(w), _, _) => w[k],
                (None, Some(w), Set::Training) => w[rows.indices.map_or(k, |r| r[k] as usize)],
                _ => 1.0,
            }
        };
        let row = |k: usize| rows.indices.map_or(k, |r| r[k] as usize);
        let one_class = self.plan.composition.objective.is_one_class();
        let is_target = |k: &usize| samples.codes[row(*k)] == self.plan.target;
        let targets = match one_class {
            true => (0..n).filter(is_target).map(|k| weight(k) * inverse).sum(),
            false => 0.0,
        };
        let pass = Pass { gradient, scale, n, targets };
        let task = |ws: &mut Workspace<T>, chunk: usize| -> Partial<T> {
            let mut partial = self.plan.partial(&ready);
            let mut factors = Vec::with_capacity(chunks.at_a_time);
            for (start, end) in chunks.blocks(chunk) {
                factors.clear();
                if weighted {
                    factors.extend((start..end).map(|k| T::of(weight(k) * inverse)));
                } else {
                    factors.resize(end - start, T::of(inverse));
                }
                let block = BlockRows {
                    features: samples.features,
                    codes: samples.codes,
                    indices: rows.indices,
                    turned,
                    start,
                    end,
                };
                self.plan.step(&ready, block, &factors, pass, ws, &mut partial);
            }
            partial
        };
        let Some(total) = chunks.sum(&self.plan, &self.team, task) else {
            return (0.0, Vec::new());
        };
        self.finish(&ready, total, pass)
    }

    /// Loss, and gradients by tensor if they are wanted, from the sums of a pass.
    fn finish(
        &self,
        ready: &Ready<T>,
        mut total: Partial<T>,
        pass: Pass<T>,
    ) -> (f64, Vec<(&'static str, Vec<T>)>) {
        let composition = &self.plan.composition;
        let mut loss = total.loss;
        if let Objective::SvqOcc { alpha, cost: Cost::Contrastive, .. } = composition.objective {
            // The slope of this cost is one number for target rows and one for all others, known only now.
            let (cost, by_target, by_other) = total.confusion.contrastive(pass.n);
            loss += (1.0 - alpha) * cost;
            let factors = [by_target, by_other].map(|b| T::of((1.0 - alpha) * b));
            let count = total.metric.len() / 3;
            for (c, factor) in factors.into_iter().enumerate() {
                for i in 0..count {
                    let part = std::mem::take(&mut total.metric[(c + 1) * count + i]);
                    add_scaled(&mut total.metric[i], factor, &part);
                }
                let (first, rest) = total.own.split_at_mut(self.plan.p);
                add_scaled(first, factor, &rest[c * self.plan.p..][..self.plan.p]);
            }
            total.metric.truncate(count);
            total.own.truncate(self.plan.p);
        }
        if !pass.gradient {
            return (loss, Vec::new());
        }
        let mut gradients = ready.metric.finish(&total.metric);
        // To a metric prototypes are prototypes; the model may call them otherwise.
        for (name, _) in &mut gradients {
            if *name == "prototypes" {
                *name = composition.prototypes;
            }
        }
        match composition.objective.thresholds() {
            Some((name, _)) if ready.learn_thetas => gradients.push((name, total.own)),
            None if ready.learn_reasonings => gradients.push(("reasonings", total.own)),
            _ => {}
        }
        if pass.scale != T::one() {
            for (_, values) in &mut gradients {
                values.iter_mut().for_each(|v| *v /= pass.scale);
            }
        }
        if let Some(anneal) = composition.anneal
            && ready.learn_range
        {
            gradients.push((anneal.tensor, vec![T::of(total.range)]));
        }
        (loss, gradients)
    }

    /// Row losses at the parameters of a slot, in the order of the rows.
    fn losses(&self, tensors: &Tensors<T>, rows: Rows<'_>) -> Vec<f64> {
        let samples = self.samples(rows.set);
        let n = rows.indices.map_or(samples.features.rows(), <[u32]>::len);
        let ready = self.plan.ready(tensors, &|_| false);
        let mut losses = vec![0.0; n];
        let size = self.plan.rows;
        let pass = Pass { gradient: false, scale: T::one(), n, targets: 1.0 };
        let ones = vec![T::one(); size];
        on_pool(&self.pool, || {
            losses.par_chunks_mut(size).enumerate().for_each_init(
                || self.plan.workspace(),
                |ws, (i, out)| {
                    let mut partial = self.plan.partial(&ready);
                    let block = BlockRows {
                        features: samples.features,
                        codes: samples.codes,
                        indices: rows.indices,
                        turned: None,
                        start: i * size,
                        end: i * size + out.len(),
                    };
                    self.plan.step(&ready, block, &ones[..out.len()], pass, ws, &mut partial);
                    for (o, l) in out.iter_mut().zip(&ws.losses) {
                        *o = l.f64();
                    }
                },
            );
        });
        losses
    }

    fn set_gradient(&mut self, gradients: Vec<(&'static str, Vec<T>)>) {
        for (name, values) in gradients {
            if let Some(t) = self.gradient.get_mut(name) {
                t.data = values;
            }
        }
    }
}

/// Whether so many rows of `d` features are few enough to be kept turned as well.
pub(super) fn are_kept_turned(rows: usize, d: usize) -> bool {
    rows * d * size_of::<f32>() <= TURNED_BYTES
}

/// Values of one chunk's sums.
fn partial_len<T: Real>(plan: &Plan<T>, ready: &Ready<T>) -> usize {
    let own = plan.p * plan.classes.max(1) * 2;
    plan.channels() * (ready.metric.sums().iter().sum::<usize>() + own)
}

/// How `n` rows are cut into chunks, and those into blocks. Depends on sizes only.
pub(super) struct Chunks {
    n: usize,
    /// Rows of a block at most.
    block: usize,
    /// Rows that are taken from a chunk at a time: a block, or more where they need no room of their own.
    at_a_time: usize,
    chunks: usize,
    /// Whether chunks are of as many rows, and not of whole blocks.
    even: bool,
    /// Bytes of a chunk's sums.
    sums_bytes: usize,
}

/// Rows of a step that reads them where they are stored: what it begins and ends with is a small part then, and their losses stay in the cache.
const AT_A_TIME: usize = 128 * TILE;

impl Chunks {
    pub fn new(n: usize, block: usize, partial_len: usize) -> Self {
        // Of few rows smaller blocks: the threads have as many each.
        let block = block.min((n / TILE / TILE * TILE).max(256));
        let blocks = n.div_ceil(block);
        // A chunk's sums must cost less than its rows: several blocks each, and not too many chunks. But some for each thread, and as many.
        let chunks = (blocks / 4 / 16 * 16).clamp(blocks.clamp(1, 16), CHUNKS);
        // Even chunks are shared evenly, but not where that takes many more blocks.
        let even = 7 * chunks * n.div_ceil(chunks).div_ceil(block) <= 8 * blocks;
        Chunks { n, block, at_a_time: block, chunks, even, sums_bytes: 8 * partial_len.max(1) }
    }

    /// The first row of a chunk.
    fn first(&self, chunk: usize) -> usize {
        match self.even {
            _ if chunk == self.chunks => self.n,
            true => chunk * self.n / self.chunks / TILE * TILE,
            false => chunk * self.n.div_ceil(self.block) / self.chunks * self.block,
        }
    }

    /// What is taken of a chunk at a time as ranges of rows, as long as each other but for a tile.
    pub fn blocks(&self, chunk: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (start, end) = (self.first(chunk), self.first(chunk + 1));
        let blocks = (end - start).div_ceil(self.at_a_time).max(1);
        let rows = (end - start).div_ceil(blocks).next_multiple_of(TILE).min(self.at_a_time).max(1);
        (start..end).step_by(rows).map(move |first| (first, (first + rows).min(end)))
    }

    /// Runs all chunks and adds their sums in the order of the chunks.
    ///
    /// Chunks run in waves, so that only a wave's sums exist at a time.
    pub fn sum<T: Real>(
        &self,
        plan: &Plan<T>,
        team: &Team,
        task: impl Fn(&mut Workspace<T>, usize) -> Partial<T> + Sync,
    ) -> Option<Partial<T>> {
        let wave = (16 * team.threads).max(WAVE_BYTES / self.sums_bytes);
        let wave = wave.min(PARTIAL_BYTES / self.sums_bytes).max(1);
        let mut total: Option<Partial<T>> = None;
        let mut next = 0;
        while next < self.chunks {
            let end = (next + wave).min(self.chunks);
            let sums: Vec<OnceLock<Partial<T>>> = (next..end).map(|_| OnceLock::new()).collect();
            team.share(
                sums.len(),
                || plan.workspace(),
                |ws, k| {
                    // No other thread has this number.
                    let _ = sums[k].set(task(ws, next + k));
                },
            );
            let mut parts = sums.into_iter().filter_map(OnceLock::into_inner);
            if total.is_none() {
                total = parts.next();
            }
            let others: Vec<Partial<T>> = parts.collect();
            if let Some(total) = &mut total {
                total.add(&others, team);
            }
            others.into_iter().for_each(|part| plan.give_back(part));
            next = end;
        }
        total
    }
}

/// `to += factor * from`
fn add_scaled<T: Real>(to: &mut [T], factor: T, from: &[T]) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t += factor * *f);
}

impl<T: Real> Session for CpuSession<'_, T> {
    fn loss(&mut self, slot: Slot, rows: Rows<'_>) -> Result<f64> {
        let tensors = &self.slots[slot as usize];
        if self.plan.composition.objective.is_rule() {
            let samples = self.samples(rows.set);
            let weights = match rows.set {
                Set::Training => self.row_weights.as_deref(),
                Set::Validation => None,
            };
            return Ok(on_pool(&self.pool, || rule::loss(&self.plan, tensors, samples, weights)));
        }
        Ok(self.pass(tensors, rows, T::one(), false).0)
    }

    fn row_losses(&mut self, rows: Rows<'_>) -> Result<Vec<f64>> {
        let tensors = &self.slots[Slot::Current as usize];
        if self.plan.composition.objective.is_rule() {
            let samples = self.samples(rows.set);
            return Ok(on_pool(&self.pool, || rule::row_losses(&self.plan, tensors, samples)));
        }
        Ok(self.losses(tensors, rows))
    }

    fn row_gradient_norms(&mut self, rows: Rows<'_>) -> Result<Vec<f64>> {
        let samples = self.samples(rows.set);
        let n = rows.indices.map_or(samples.features.rows(), <[u32]>::len);
        let tensors = &self.slots[Slot::Current as usize];
        let learn = |name: &str| self.train.iter().any(|l| l == name);
        let ready = self.plan.ready(tensors, &learn);
        // One row at a time: the sums of a single row are its own gradient, whatever the metric.
        let norm = |ws: &mut Workspace<T>, k: usize| {
            let mut partial = self.plan.partial(&ready);
            let block = BlockRows {
                features: samples.features,
                codes: samples.codes,
                indices: rows.indices,
                turned: None,
                start: k,
                end: k + 1,
            };
            // The factor of one row in a loss of its own; a one-class row counts its class as the whole.
            let pass = Pass { gradient: true, scale: T::one(), n: 1, targets: 1.0 };
            self.plan.step(&ready, block, &[T::one()], pass, ws, &mut partial);
            let (_, gradients) = self.finish(&ready, partial, pass);
            let all = gradients.iter().flat_map(|(_, v)| v);
            all.map(|v| v.f64() * v.f64()).sum::<f64>().sqrt()
        };
        Ok(on_pool(&self.pool, || {
            (0..n).into_par_iter().map_init(|| self.plan.workspace(), |ws, k| norm(ws, k)).collect()
        }))
    }

    fn gradient(&mut self, rows: Rows<'_>, scale: f64) -> Result<f64> {
        let (loss, gradients) =
            self.pass(&self.slots[Slot::Current as usize], rows, T::of(scale), true);
        self.set_gradient(gradients);
        Ok(loss)
    }

    fn rule(&mut self, rows: Rows<'_>, rate: f64) -> Result<f64> {
        debug_assert!(rows.indices.is_none(), "update rules see all rows");
        let current = Slot::Current as usize;
        let (loss, moved) = on_pool(&self.pool, || {
            rule::step(
                &self.plan,
                &self.slots[current],
                self.training,
                self.row_weights.as_deref(),
                rate,
            )
        });
        let name = self.plan.composition.prototypes;
        self.slots[current].values_mut(name).copy_from_slice(&moved);
        Ok(loss)
    }

    fn read_gradient(&self) -> Result<Tensors<f64>> {
        Ok(self.gradient.cast())
    }

    fn write_gradient(&mut self, gradient: &Tensors<f64>) -> Result<()> {
        for t in &gradient.list {
            self.gradient.insert(Tensor::new(
                t.name.clone(),
                &t.shape,
                t.data.iter().map(|v| T::of(*v)).collect(),
            ));
        }
        Ok(())
    }

    fn gradient_not_finite(&self) -> Result<Option<String>> {
        Ok(self.gradient.first_not_finite().map(str::to_string))
    }

    fn not_finite(&self, slot: Slot) -> Result<Option<String>> {
        Ok(self.slots[slot as usize].first_not_finite().map(str::to_string))
    }

    fn accumulate(&mut self, weight: f64) -> Result<()> {
        let mean = self.accumulated.get_or_insert_with(|| self.gradient.zeros_like());
        let weight = T::of(weight);
        for (a, g) in mean.list.iter_mut().zip(&self.gradient.list) {
            for (a, g) in a.data.iter_mut().zip(&g.data) {
                *a = if weight == T::one() { *g } else { *a + weight * (*g - *a) };
            }
        }
        Ok(())
    }

    fn take_accumulated(&mut self) -> Result<()> {
        if let Some(mean) = self.accumulated.take() {
            self.gradient = mean;
        }
        Ok(())
    }

    fn accumulated(&self) -> Result<Option<Tensors<f64>>> {
        Ok(self.accumulated.as_ref().map(Tensors::cast))
    }

    fn set_accumulated(&mut self, mean: &Tensors<f64>) -> Result<()> {
        let mut own = self.gradient.zeros_like();
        for t in &mean.list {
            if let Some(o) = own.get_mut(&t.name) {
                o.data = t.data.iter().map(|v| T::of(*v)).collect();
            }
        }
        self.accumulated = Some(own);
        Ok(())
    }

    fn update(
        &mut self,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        rows: Rows<'_>,
        loss: f64,
    ) -> Result<()> {
        let Some(mut optimizer) = self.optimizer.take() else { return Ok(()) };
        let n = rows.indices.map_or(self.samples(rows.set).features.rows(), <[u32]>::len);
        let mut current = std::mem::take(&mut self.slots[Slot::Current as usize]);
        let trains = |t: &&Tensor<T>| self.train.contains(&t.name);
        let whole = self.gradient.list.iter().all(|t| trains(&t));
        let gradient = match whole {
            true => std::mem::take(&mut self.gradient),
            false => Tensors { list: self.gradient.list.iter().filter(trains).cloned().collect() },
        };
        let result = if optimizer.needs_objective() {
            optimizer.line_search_update(&mut current, loss, &gradient, rate, &mut |trial| {
                let (loss, gradients) = self.pass(trial, rows, T::one(), true);
                let mut g = gradient.zeros_like();
                for (name, values) in gradients {
                    if let Some(t) = g.get_mut(name) {
                        t.data = values;
                    }
                }
                Ok((loss, g))
            })
        } else {
            optimizer.update(&mut current, &gradient, rate, multiplier, n);
            Ok(())
        };
        if whole {
            self.gradient = gradient;
        }
        self.slots[Slot::Current as usize] = current;
        self.optimizer = Some(optimizer);
        self.constrain(Slot::Current)?;
        result
    }

    fn optimizer_state(&self) -> Result<Tensors<f64>> {
        Ok(self.optimizer.as_ref().map(Optimizer::state).unwrap_or_default())
    }

    fn restore_optimizer(&mut self, state: &Tensors<f64>) -> Result<()> {
        match &mut self.optimizer {
            Some(optimizer) => optimizer.restore(state),
            None => Ok(()),
        }
    }

    fn blend(&mut self, to: Slot, from: Slot, a: f64) -> Result<()> {
        if to == from {
            return Ok(());
        }
        let [to, from] =
            self.slots.get_disjoint_mut([to as usize, from as usize]).expect("two different slots");
        let a = T::of(a);
        for (t, f) in to.list.iter_mut().zip(&from.list) {
            if a == T::one() {
                t.data.copy_from_slice(&f.data);
            } else if self.learn.contains(&t.name) {
                t.data.iter_mut().zip(&f.data).for_each(|(t, f)| *t += a * (*f - *t));
            }
        }
        Ok(())
    }

    fn constrain(&mut self, slot: Slot) -> Result<()> {
        let tensors = &mut self.slots[slot as usize];
        for c in &self.plan.composition.constraints {
            for t in &mut tensors.list {
                if self.learn.contains(&t.name) {
                    constraint::apply(*c, t);
                }
            }
        }
        Ok(())
    }

    fn read(&self, slot: Slot) -> Result<Tensors<f64>> {
        Ok(self.slots[slot as usize].cast())
    }

    fn write(&mut self, slot: Slot, tensors: &Tensors<f64>) -> Result<()> {
        let own = &mut self.slots[slot as usize];
        for t in &tensors.list {
            if let Some(o) = own.get_mut(&t.name) {
                o.data = t.data.iter().map(|v| T::of(*v)).collect();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_every_row_once() {
        for n in [1, 31, 32, 255, 300, 1000, 10_000, 20_000, 99_999, 1_000_003] {
            for block in [16, 96, 384, 480] {
                let mut chunks = Chunks::new(n, block, 1000);
                for at_a_time in [chunks.block, AT_A_TIME] {
                    chunks.at_a_time = at_a_time;
                    let mut next = 0;
                    for (start, end) in (0..chunks.chunks).flat_map(|c| chunks.blocks(c)) {
                        assert!(
                            start == next && end > start && end - start <= at_a_time,
                            "{n} {block} {at_a_time}"
                        );
                        next = end;
                    }
                    assert_eq!(next, n);
                }
            }
        }
    }
}
