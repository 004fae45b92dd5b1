//! A training problem on a GPU.

mod batch;
mod rules;
mod shared;

use super::lbfgs::DeviceLbfgs;
use super::optimizer::DeviceOptimizer;
use super::pass::{Batch, FLAGS, Held, Learn, Part, Pass, Rows as What, dynamic, hold};
use super::slots::{Slots, finite, first_of, read_all, write_all};
use super::{Driver, FIRST_LENGTH, Launch};
use crate::backend::{Plan, Problem, Question, Rows, Samples, Session, Set, Slot};
use crate::error::{Error, Result};
use crate::parts::composition::{MetricName, Objective};
use crate::parts::tensor::Tensors;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

/// The rows of a problem that one device has.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    /// Of the training data.
    pub training: Range<usize>,
    /// Of the validation data.
    pub validation: Range<usize>,
}

impl Shard {
    /// All rows.
    pub fn whole(problem: &Problem<'_>) -> Self {
        let rows = |samples: &Samples<'_>| samples.features.rows();
        Shard {
            training: 0..rows(&problem.training),
            validation: 0..problem.validation.as_ref().map_or(0, rows),
        }
    }
}

/// Rows on the device.
struct Data<'a, D: Driver> {
    /// All features of the set, and the classes of the rows that are here.
    samples: Samples<'a>,
    /// Number among all rows of the first one here.
    first: usize,
    /// None where they do not stay on the device.
    x: Option<D::Buffer>,
    codes: D::Buffer,
    /// All weights over n.
    factors: D::Buffer,
    /// Sum of the factors of the target's rows.
    targets: f64,
    n: usize,
}

pub(super) struct GpuSession<'a, D: Driver> {
    driver: Arc<D>,
    pass: Pass<D>,
    training: Data<'a, D>,
    validation: Option<Data<'a, D>>,
    row_weights: Option<Vec<f64>>,
    learn: Learn,
    train: Vec<String>,
    slots: Slots<D>,
    gradient: Vec<Held<D::Buffer>>,
    /// The running mean of gradients, and whether it has begun.
    accumulated: Option<Vec<Held<D::Buffer>>>,
    accumulating: bool,
    optimizer: Option<DeviceOptimizer<D>>,
    /// The optimizer's launches, and the constraints' after them.
    update: Option<D::Recorded>,
    /// The optimizer that searches along a line.
    pub(super) search: Option<DeviceLbfgs<D>>,
    /// Rows of a batch: features, numbers, classes, factors.
    batch: Option<[D::Buffer; 4]>,
    /// Where streamed rows pass: two buffers in turn, of which the host writes one while launches read the other, and one of the
    /// device.
    stream: Option<[D::Buffer; 3]>,
    /// Flags and losses of the steps that the host has not read yet, and how many there are.
    kept: D::Buffer,
    steps: usize,
    programs: HashMap<Program, D::Recorded>,
}

/// Which part of a pass. Of the cost that needs a look at all rows before the first loss, devices that share the rows run the two parts
/// one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sweep {
    /// All of it.
    Whole,
    /// The look.
    Look,
    /// What follows from the look, which is known.
    Rest,
}

/// Steps whose losses are kept at most before the host reads them.
const STEPS: usize = 1024;

/// A program that is run at every step.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Program {
    /// A pass over n rows: all of a set (0 training, 1 validation), or a batch (2).
    Pass {
        slot: usize,
        rows: usize,
        n: usize,
        gradient: bool,
        sweep: Sweep,
    },
    /// Of a pass over rows that are streamed: its beginning, one chunk (of `sweep` 0: the look before; 1 the pass), and its end.
    Begin {
        slot: usize,
    },
    Chunk {
        slot: usize,
        set: usize,
        chunk: usize,
        sweep: usize,
        gradient: bool,
    },
    Between,
    End {
        slot: usize,
    },
    /// Whether the gradient is finite.
    Flags,
    /// What follows the gradient in a step.
    Follow,
    /// A whole step of n rows, all or a batch, with a copy of the parameters first or without.
    Step {
        whole: bool,
        n: usize,
        before: bool,
    },
    /// A step of the running mean, or its beginning (`first`), or its end.
    Accumulate {
        first: bool,
    },
    /// The running mean becomes the gradient.
    Take,
}

fn single(tensors: &Tensors<f64>) -> Tensors<f32> {
    tensors.cast()
}

impl<'a, D: Driver> GpuSession<'a, D> {
    /// The problem, or the share of it that a shard is.
    pub fn new(driver: Arc<D>, problem: Problem<'a>, shard: &Shard) -> Result<Self> {
        let question = Question {
            composition: problem.composition,
            classes: problem.classes,
            target: problem.target,
            prototype_labels: problem.prototype_labels,
            centre: problem.centre,
            tensors: problem.tensors,
            precision: problem.precision,
        };
        let most = shard.training.len().max(shard.validation.len());
        let pass = Pass::new(driver.clone(), &question, most, true)?;
        let only = |names: &[String]| Tensors {
            list: problem
                .tensors
                .list
                .iter()
                .filter(|t| names.contains(&t.name))
                .cloned()
                .collect(),
        };
        let constraints = &problem.composition.constraints;
        let slots =
            Slots::new(driver.clone(), problem.tensors, problem.learn, constraints, &pass.dynamic)?;
        let gradient = hold(&*driver, &only(problem.learn).zeros_like())?;
        let medoid = matches!(problem.composition.objective, Objective::Medoid { .. });
        let words = shard.training.len() * pass.d;
        if medoid && !super::stays(&driver.limits(), words) {
            return Err(Error::Device {
                device: driver.name().into(),
                reason: format!(
                    "Median LVQ looks at all rows at once: {} bytes are needed on the device",
                    4 * words
                ),
            });
        }
        let (mut optimizer, mut update, mut search) = (None, None, None);
        if let Some((spec, lr)) = problem.optimizer {
            let trained = single(&only(problem.train));
            let current: &[Held<D::Buffer>] = slots.of(Slot::Current);
            optimizer = DeviceOptimizer::new(driver.clone(), spec, lr, trained.clone())?;
            match &optimizer {
                Some(o) => {
                    let mut launches = o.launches(current, &gradient);
                    launches.extend(slots.constraints(Slot::Current));
                    update = Some(driver.record(&launches)?);
                }
                None => {
                    let new =
                        DeviceLbfgs::new(driver.clone(), (spec, lr), trained, current, &gradient)?;
                    search = Some(new);
                }
            }
        }
        let weights = problem.row_weights.as_deref();
        let training = Data::load(&*driver, &pass, problem.training, &shard.training, weights)?;
        let validation = match problem.validation {
            Some(samples) => Some(Data::load(&*driver, &pass, samples, &shard.validation, None)?),
            None => None,
        };
        let kept = driver.shared(gradient.len() + problem.tensors.list.len() + STEPS)?;
        Ok(GpuSession {
            driver,
            pass,
            training,
            validation,
            row_weights: problem.row_weights.map(|w| w[shard.training.clone()].to_vec()),
            learn: Learn(problem.learn.to_vec()),
            train: problem.train.to_vec(),
            slots,
            gradient,
            accumulated: None,
            accumulating: false,
            optimizer,
            update,
            search,
            batch: None,
            stream: None,
            kept,
            steps: 0,
            programs: HashMap::new(),
        })
    }

    fn data(&self, set: Set) -> &Data<'a, D> {
        match set {
            Set::Training => &self.training,
            Set::Validation => self.validation.as_ref().expect("the problem has validation data"),
        }
    }

    /// Weight of the k-th row of `rows`.
    fn weight(&self, rows: &Rows<'_>, k: usize) -> f64 {
        match (rows.weights, &self.row_weights, rows.set) {
            (Some(w), _, _) => w[k],
            (None, Some(w), Set::Training) => w[rows.indices.map_or(k, |r| r[k] as usize)],
            _ => 1.0,
        }
    }

    /// How many rows.
    fn count(&self, rows: &Rows<'_>) -> usize {
        rows.indices.map_or_else(|| self.data(rows.set).n, <[u32]>::len)
    }

    /// Runs a pass over rows at the tensors of `slot`.
    fn pass(&mut self, slot: Slot, rows: Rows<'_>, scale: f64, gradient: bool) -> Result<f64> {
        let n = self.count(&rows);
        if n == 0 {
            return Ok(0.0);
        }
        let targets = self.ready(&rows, n)?;
        self.tell(scale, targets, n)?;
        self.run_pass(slot, rows, Sweep::Whole, gradient)?;
        self.read_loss()
    }

    /// Makes the rows of a pass ready, where `of` rows weigh 1 together; returns the sum of the factors of the target's rows.
    pub(super) fn ready(&mut self, rows: &Rows<'_>, of: usize) -> Result<f64> {
        self.reserve_batch(rows)?;
        if rows.indices.is_none() && rows.weights.is_none() {
            return Ok(self.data(rows.set).targets);
        }
        let inverse = 1.0 / of as f64;
        self.load_batch(rows, &|k| self.weight(rows, k) * inverse)
    }

    /// The numbers of a pass over `of` rows, those that are elsewhere included.
    pub(super) fn tell(&self, scale: f64, targets: f64, of: usize) -> Result<()> {
        let inverse = 1.0 / of as f64;
        let numbers = [scale as f32, targets as f32, inverse as f32];
        self.driver.write_numbers(&self.pass.dynamic, dynamic::SCALE, &numbers)
    }

    /// The loss that a pass left.
    pub(super) fn read_loss(&self) -> Result<f64> {
        let mut loss = [0.0f32];
        self.driver.read_numbers(&self.pass.totals, 0, &mut loss)?;
        Ok(f64::from(loss[0]))
    }

    /// Runs a pass, or a part of it, over rows that are [ready](Self::ready), and at least one.
    pub(super) fn run_pass(
        &mut self,
        slot: Slot,
        rows: Rows<'_>,
        sweep: Sweep,
        gradient: bool,
    ) -> Result<()> {
        let n = self.count(&rows);
        let whole = rows.indices.is_none() && rows.weights.is_none();
        if self.data(rows.set).x.is_none() && rows.indices.is_none() {
            return self.stream(slot, rows, sweep, gradient);
        }
        let kind = match (whole, rows.indices.is_some()) {
            (false, true) => 2,
            (false, false) => 3 + rows.set as usize,
            (true, _) => rows.set as usize,
        };
        let program = Program::Pass { slot: slot as usize, rows: kind, n, gradient, sweep };
        let mut programs = std::mem::take(&mut self.programs);
        let done = run(&*self.driver, &mut programs, program, || {
            let batch = self.batch_of(&rows, self.data(rows.set), n);
            let gradients = gradient.then_some((&self.gradient[..], &self.learn));
            let tensors = self.slots.of(slot);
            match sweep {
                Sweep::Whole => self.pass.whole(tensors, &batch, gradients),
                Sweep::Look => self.pass.look(tensors, &batch, gradients),
                Sweep::Rest => self.pass.rest(tensors, &batch, gradients),
            }
        });
        self.programs = programs;
        done
    }

    /// A pass over all rows of a set that does not stay on the device: while one chunk is worked on the next is brought.
    fn stream(&mut self, slot: Slot, rows: Rows<'_>, part: Sweep, gradient: bool) -> Result<()> {
        self.reserve_stream()?;
        let mut programs = std::mem::take(&mut self.programs);
        let done = self.stream_with(&mut programs, slot, rows, part, gradient);
        self.programs = programs;
        done
    }

    fn stream_with(
        &self,
        programs: &mut HashMap<Program, D::Recorded>,
        slot: Slot,
        rows: Rows<'_>,
        part: Sweep,
        gradient: bool,
    ) -> Result<()> {
        let (driver, data) = (&*self.driver, self.data(rows.set));
        let tensors = self.slots.of(slot);
        let [even, odd, own] = self.stream.as_ref().expect("reserved before");
        let at = slot as usize;
        if part != Sweep::Rest {
            run(driver, programs, Program::Begin { slot: at }, || self.pass.prepare(tensors))?;
        }
        let chunks: Vec<(usize, usize)> = self.pass.chunks(data.n).collect();
        let side = |k: usize| if k.is_multiple_of(2) { even } else { odd };
        let bring = |k: usize| {
            let (base, n) = chunks[k];
            let first = data.first + base;
            self.pass.write_rows(data.samples.features, first..first + n, side(k))
        };
        let contrast = self.pass.contrast();
        // 3: with weights of its own.
        let set = rows.set as usize + if rows.weights.is_some() { 2 } else { 0 };
        let begin = if contrast.is_none() || part == Sweep::Rest { 1 } else { 0 };
        let end = if part == Sweep::Look { 1 } else { 2 };
        for sweep in begin..end {
            bring(0)?;
            for (k, &(base, n)) in chunks.iter().enumerate() {
                let program = Program::Chunk { slot: at, set, chunk: k, sweep, gradient };
                let recorded = match programs.entry(program) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        let batch = Batch { x: own, ..self.batch_of(&rows, data, data.n) };
                        let part = Part { base, x_base: 0, n };
                        let mut all = vec![self.pass.bring(side(k), own, n)];
                        let gradients = gradient.then_some((&self.gradient[..], &self.learn));
                        all.extend(match sweep {
                            0 => self.pass.detect_chunk(tensors, &batch, part, &self.learn),
                            _ => self.pass.chunk(tensors, &batch, part, gradients, false),
                        });
                        new.insert(driver.record(&all)?)
                    }
                };
                let pending = driver.submit(recorded)?;
                let brought = if k + 1 < chunks.len() { bring(k + 1) } else { Ok(()) };
                // Waited for in any case: no memory may go while launches use it.
                driver.wait(pending)?;
                brought?;
            }
            if sweep == 0 && part == Sweep::Whole {
                run(driver, programs, Program::Between, || contrast.iter().cloned().collect())?;
            }
        }
        if gradient && part != Sweep::Look {
            let launches = || self.pass.end(tensors, &self.gradient, &self.learn);
            run(driver, programs, Program::End { slot: at }, launches)?;
        }
        Ok(())
    }

    fn set_numbers(&self, numbers: &[(usize, f64)]) -> Result<()> {
        for (at, value) in numbers {
            self.driver.write_numbers(&self.pass.dynamic, *at, &[*value as f32])?;
        }
        Ok(())
    }

    /// Memory for the running mean of gradients: what there is, or new.
    fn mean(&mut self) -> Result<Vec<Held<D::Buffer>>> {
        if let Some(mean) = self.accumulated.take() {
            return Ok(mean);
        }
        let zeros = read_all(&*self.driver, &self.gradient)?.zeros_like();
        // Programs know the buffers that they were recorded with.
        self.programs.retain(|p, _| !matches!(p, Program::Accumulate { .. } | Program::Take));
        hold(&*self.driver, &zeros.cast())
    }

    /// Gradient, update, constraints, and what is kept of them.
    fn step_launches(&self, rows: &Rows<'_>, n: usize, before: bool) -> Vec<Launch<D::Buffer>> {
        let current = self.slots.of(Slot::Current);
        let mut all = match before {
            true => self.slots.copy(Slot::Before, Slot::Current),
            false => Vec::new(),
        };
        all.extend(self.gather(rows));
        let batch = self.batch_of(rows, &self.training, n);
        all.extend(self.pass.whole(current, &batch, Some((&self.gradient, &self.learn))));
        all.extend(self.follow_launches());
        all
    }

    /// What follows the gradient in a step.
    fn follow_launches(&self) -> Vec<Launch<D::Buffer>> {
        let current = self.slots.of(Slot::Current);
        let mut all = Vec::new();
        all.extend(self.optimizer.iter().flat_map(|o| o.launches(current, &self.gradient)));
        all.extend(self.slots.constraints(Slot::Current));
        all.extend(finite(current, &self.pass.totals, FLAGS + self.gradient.len()));
        all.push(Launch {
            kernel: "keep",
            constants: Vec::new(),
            buffers: vec![self.pass.totals.clone(), self.kept.clone(), self.pass.dynamic.clone()],
            words: vec![(self.gradient.len() + current.len()) as u32, FLAGS as u32],
            groups: [1, 1, 1],
        });
        all
    }

    /// Whether a step can be one program, or its parts programs without a word from the host between them.
    pub(super) fn steps_at_once(&self, rows: &Rows<'_>) -> bool {
        let streamed = rows.indices.is_none() && self.training.x.is_none();
        let able = rows.weights.is_none() && !streamed && !self.slots.settles();
        self.optimizer.is_some() && able && self.steps < STEPS
    }

    /// The optimizer's numbers of an update by a gradient of `n` rows.
    pub(super) fn tell_optimizer(
        &mut self,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        n: usize,
    ) -> Result<()> {
        match &mut self.optimizer {
            Some(optimizer) => optimizer.step(rate, multiplier, n),
            None => Ok(()),
        }
    }

    /// The same, and the step's number, of a step whose loss is kept.
    pub(super) fn tell_step(
        &mut self,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        n: usize,
    ) -> Result<()> {
        let step = [self.steps as f32];
        self.driver.write_numbers(&self.pass.dynamic, dynamic::STEP, &step)?;
        self.tell_optimizer(rate, multiplier, n)
    }

    /// Updates the parameters, which are then as the constraints want them.
    pub(super) fn run_update(&self) -> Result<()> {
        let Some(update) = &self.update else { return Ok(()) };
        self.driver.run(update)?;
        self.slots.settle(Slot::Current)
    }

    /// Losses of rows among `of`, those that are elsewhere included.
    pub(super) fn row_losses_of(&mut self, rows: Rows<'_>, of: usize) -> Result<Vec<f64>> {
        self.reserve_batch(&rows)?;
        let n = self.count(&rows);
        let one = Rows { weights: Some(&vec![1.0; n]), ..rows };
        self.load_batch(&one, &|_| 1.0)?;
        self.set_numbers(&[
            (dynamic::TARGETS, 1.0),
            (dynamic::INVERSE_ROWS, 1.0 / of as f64),
            (dynamic::CONTRAST, 0.0),
        ])?;
        let mut losses = Vec::with_capacity(n);
        for (base, count) in self.pass.chunks(n) {
            let part = self.part(&one, base, count)?;
            let launches = {
                let batch = self.batch_of(&one, self.data(rows.set), n);
                let tensors = self.slots.of(Slot::Current);
                self.pass.one_chunk(tensors, &batch, part, What::Loss)
            };
            self.driver.run_once(&launches)?;
            let mut chunk = vec![0.0f32; count];
            self.driver.read_numbers(&self.pass.outcome, 0, &mut chunk)?;
            losses.extend(chunk.iter().map(|l| f64::from(*l)));
        }
        Ok(losses)
    }
}

/// Runs a program, recorded on first use.
fn run<D: Driver>(
    driver: &D,
    programs: &mut HashMap<Program, D::Recorded>,
    program: Program,
    launches: impl FnOnce() -> Vec<Launch<D::Buffer>>,
) -> Result<()> {
    let recorded = match programs.entry(program) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(driver.record(&launches())?),
    };
    driver.run(recorded)
}

/// Steps of tensors towards others, or copies of them.
fn blends<B: Clone>(
    kernel: &'static str,
    to: &[Held<B>],
    from: &[Held<B>],
    numbers: &B,
) -> Vec<Launch<B>> {
    let one = |(t, f): (&Held<B>, &Held<B>)| Launch {
        kernel,
        constants: Vec::new(),
        buffers: vec![t.buffer.clone(), f.buffer.clone(), numbers.clone()],
        words: vec![t.len() as u32],
        groups: [t.len().div_ceil(64).clamp(1, 1024) as u32, 1, 1],
    };
    to.iter().zip(from).map(one).collect()
}

impl<'a, D: Driver> Data<'a, D> {
    fn load(
        driver: &D,
        pass: &Pass<D>,
        samples: Samples<'a>,
        rows: &Range<usize>,
        weights: Option<&[f64]>,
    ) -> Result<Self> {
        let (first, n) = (rows.start, rows.len());
        let inverse = 1.0 / samples.features.rows() as f64;
        let factors: Vec<f64> =
            rows.clone().map(|k| weights.map_or(1.0, |w| w[k]) * inverse).collect();
        let samples = Samples { codes: &samples.codes[rows.clone()], ..samples };
        let target = pass.about().target;
        let targets =
            factors.iter().zip(samples.codes).filter(|(_, c)| **c == target).map(|(f, _)| f).sum();
        let single: Vec<f32> = factors.iter().map(|f| *f as f32).collect();
        Ok(Data {
            samples,
            first,
            x: match super::stays(&driver.limits(), n * pass.d) {
                true => Some(pass.upload_rows(samples.features, first, first + n)?),
                false => None,
            },
            codes: driver.with_words(samples.codes)?,
            factors: driver.with_numbers(&single)?,
            targets,
            n,
        })
    }
}

impl<D: Driver> Session for GpuSession<'_, D> {
    fn loss(&mut self, slot: Slot, rows: Rows<'_>) -> Result<f64> {
        self.pass(slot, rows, 1.0, false)
    }

    fn row_losses(&mut self, rows: Rows<'_>) -> Result<Vec<f64>> {
        let n = self.count(&rows);
        self.row_losses_of(rows, n)
    }

    fn row_gradient_norms(&mut self, rows: Rows<'_>) -> Result<Vec<f64>> {
        let n = rows.indices.map_or(self.data(rows.set).n, <[u32]>::len);
        let trained = self.train.clone();
        let mut norms = Vec::with_capacity(n);
        for k in 0..n {
            let index = [rows.indices.map_or(k as u32, |r| r[k])];
            let row = Rows { set: rows.set, indices: Some(&index), weights: Some(&[1.0]) };
            self.reserve_batch(&row)?;
            // A one-class row counts its class as the whole.
            self.load_batch(&row, &|_| 1.0)?;
            self.set_numbers(&[
                (dynamic::SCALE, 1.0),
                (dynamic::TARGETS, 1.0),
                (dynamic::INVERSE_ROWS, 1.0),
            ])?;
            let launches = {
                let batch = self.batch_of(&row, self.data(rows.set), 1);
                let gradients = Some((&self.gradient[..], &self.learn));
                self.pass.whole(self.slots.of(Slot::Current), &batch, gradients)
            };
            self.driver.run_once(&launches)?;
            let gradient = read_all(&*self.driver, &self.gradient)?;
            let mine = gradient.list.iter().filter(|t| trained.contains(&t.name));
            let squares: f64 =
                mine.flat_map(|t| &t.data).map(|v| f64::from(*v) * f64::from(*v)).sum();
            norms.push(squares.sqrt());
        }
        Ok(norms)
    }

    fn gradient(&mut self, rows: Rows<'_>, scale: f64) -> Result<f64> {
        self.pass(Slot::Current, rows, scale, true)
    }

    fn rule(&mut self, _rows: Rows<'_>, rate: f64) -> Result<f64> {
        if !matches!(self.pass.about().composition.objective, Objective::Medoid { .. }) {
            self.rule_sums()?;
            self.rule_move(rate)?;
            return self.read_loss();
        }
        let squared = self.pass.about().composition.metric == MetricName::SquaredEuclidean;
        if squared {
            self.rule_sums()?;
        } else {
            self.begin_rule()?;
        }
        let batch = self.batch_of(&Rows::TRAINING, &self.training, self.training.n);
        let chosen = match squared {
            true => self.medoids_by_mean(&batch)?,
            false => self.medoids_by_score(&batch)?,
        };
        let d = self.pass.d;
        for (j, row) in chosen.into_iter().enumerate() {
            if let Some(row) = row {
                let mut w = vec![0.0f32; d];
                self.training.samples.features.row_into(row, &mut w);
                self.driver.write_numbers(self.prototypes(), j * d, &w)?;
            }
        }
        self.read_loss()
    }

    fn read_gradient(&self) -> Result<Tensors<f64>> {
        Ok(read_all(&*self.driver, &self.gradient)?.cast())
    }

    fn write_gradient(&mut self, gradient: &Tensors<f64>) -> Result<()> {
        write_all(&*self.driver, &self.gradient, &gradient.cast())
    }

    fn gradient_not_finite(&self) -> Result<Option<String>> {
        // The pass has looked already.
        let mut flags = vec![0.0f32; self.gradient.len()];
        self.driver.read_numbers(&self.pass.totals, FLAGS, &mut flags)?;
        Ok(first_of(&self.gradient, &flags))
    }

    fn not_finite(&self, slot: Slot) -> Result<Option<String>> {
        self.slots.not_finite(slot)
    }

    fn accumulate(&mut self, weight: f64) -> Result<()> {
        let mean = self.mean()?;
        let first = weight == 1.0;
        let numbers = &self.pass.dynamic;
        self.driver.write_numbers(numbers, dynamic::BLEND, &[weight as f32])?;
        let kernel = if first { "blend.copy" } else { "blend.blend" };
        let launches = || blends(kernel, &mean, &self.gradient, numbers);
        run(&*self.driver, &mut self.programs, Program::Accumulate { first }, launches)?;
        self.accumulated = Some(mean);
        self.accumulating = true;
        Ok(())
    }

    fn take_accumulated(&mut self) -> Result<()> {
        if !self.accumulating {
            return Ok(());
        }
        let mean = self.mean()?;
        let launches = || blends("blend.copy", &self.gradient, &mean, &self.pass.dynamic);
        run(&*self.driver, &mut self.programs, Program::Take, launches)?;
        self.accumulated = Some(mean);
        self.accumulating = false;
        Ok(())
    }

    fn accumulated(&self) -> Result<Option<Tensors<f64>>> {
        match self.accumulated.as_ref().filter(|_| self.accumulating) {
            Some(mean) => Ok(Some(read_all(&*self.driver, mean)?.cast())),
            None => Ok(None),
        }
    }

    fn set_accumulated(&mut self, mean: &Tensors<f64>) -> Result<()> {
        let held = self.mean()?;
        write_all(&*self.driver, &held, &mean.cast())?;
        self.accumulated = Some(held);
        self.accumulating = true;
        Ok(())
    }

    fn update(
        &mut self,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        rows: Rows<'_>,
        loss: f64,
    ) -> Result<()> {
        let n = rows.indices.map_or(self.data(rows.set).n, <[u32]>::len);
        if self.optimizer.is_some() {
            self.tell_optimizer(rate, multiplier, n)?;
            return self.run_update();
        }
        let Some(mut search) = self.search.take() else { return Ok(()) };
        let done = search.update(loss, rate, &mut || self.pass(Slot::Current, rows, 1.0, true));
        self.search = Some(search);
        self.constrain(Slot::Current)?;
        done
    }

    fn step(
        &mut self,
        rows: Rows<'_>,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        before: bool,
    ) -> Result<bool> {
        if !self.steps_at_once(&rows) {
            return Ok(false);
        }
        self.reserve_batch(&rows)?;
        let whole = rows.indices.is_none();
        let n = self.count(&rows);
        let inverse = 1.0 / n as f64;
        let targets = match whole {
            true => self.training.targets,
            false => self.name_batch(&rows, &|k| self.weight(&rows, k) * inverse)?,
        };
        self.tell(1.0, targets, n)?;
        self.tell_step(rate, multiplier, n)?;
        let mut programs = std::mem::take(&mut self.programs);
        let done = run(&*self.driver, &mut programs, Program::Step { whole, n, before }, || {
            self.step_launches(&rows, n, before)
        });
        self.programs = programs;
        done?;
        self.steps += 1;
        Ok(true)
    }

    fn kept_losses(&mut self) -> Result<(Vec<f64>, Option<String>)> {
        let current = self.slots.of(Slot::Current);
        let flags = self.gradient.len() + current.len();
        let mut kept = vec![0.0f32; flags + self.steps];
        self.driver.read_numbers(&self.kept, 0, &mut kept)?;
        self.steps = 0;
        let (flags, losses) = kept.split_at(flags);
        let bad = match first_of(&self.gradient, flags) {
            Some(name) => Some(format!("the gradient of {name}")),
            None => first_of(current, &flags[self.gradient.len()..]),
        };
        if bad.is_some() {
            self.driver.write_numbers(&self.kept, 0, &vec![0.0; flags.len()])?;
        }
        Ok((losses.iter().map(|l| f64::from(*l)).collect(), bad))
    }

    fn plan(&self) -> Option<Plan> {
        // Streamed rows go chunk by chunk: there is no one list.
        self.training.x.as_ref()?;
        let launches = self.step_launches(&Rows::TRAINING, self.training.n, false);
        let shared = |launch: &Launch<D::Buffer>| {
            launch.constants.iter().filter(|c| c.0 >= FIRST_LENGTH).map(|c| 4 * c.1).sum()
        };
        let (choice, tensor_cores) = self.pass.choice();
        Some(Plan {
            launches: launches.iter().map(|l| (l.kernel, l.groups, shared(l))).collect(),
            choice,
            tensor_cores,
        })
    }

    fn optimizer_state(&self) -> Result<Tensors<f64>> {
        match (&self.optimizer, &self.search) {
            (Some(optimizer), _) => optimizer.state(),
            (None, Some(search)) => search.state(),
            (None, None) => Ok(Tensors::default()),
        }
    }

    fn restore_optimizer(&mut self, state: &Tensors<f64>) -> Result<()> {
        match (&mut self.optimizer, &mut self.search) {
            (Some(optimizer), _) => optimizer.restore(state),
            (None, Some(search)) => search.restore(state),
            (None, None) => Ok(()),
        }
    }

    fn blend(&mut self, to: Slot, from: Slot, a: f64) -> Result<()> {
        self.slots.blend(to, from, a)
    }

    fn constrain(&mut self, slot: Slot) -> Result<()> {
        self.slots.constrain(slot)
    }

    fn read(&self, slot: Slot) -> Result<Tensors<f64>> {
        Ok(read_all(&*self.driver, self.slots.of(slot))?.cast())
    }

    fn write(&mut self, slot: Slot, tensors: &Tensors<f64>) -> Result<()> {
        write_all(&*self.driver, self.slots.of(slot), &tensors.cast())
    }
}
