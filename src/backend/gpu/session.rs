//! A training problem on a GPU.

use super::Driver;
use super::lbfgs::DeviceLbfgs;
use super::optimizer::DeviceOptimizer;
use super::pass::{Batch, Held, Learn, Pass, Rows as What, dynamic, hold};
use crate::backend::{Problem, Question, Rows, Samples, Session, Set, Slot};
use crate::error::Result;
use crate::parts::constraint;
use crate::parts::tensor::{Tensor, Tensors};
use std::sync::Arc;

/// Rows on the device.
struct Data<'a, D: Driver> {
    samples: Samples<'a>,
    x: D::Buffer,
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
    /// All tensors of each slot; those that do not learn are the same in all.
    slots: [Vec<Held<D::Buffer>>; Slot::COUNT],
    gradient: Vec<Held<D::Buffer>>,
    accumulated: Option<Tensors<f32>>,
    optimizer: Option<DeviceOptimizer<D>>,
    /// The optimizer's launches.
    update: Option<D::Recorded>,
    /// The optimizer that searches along a line.
    search: Option<DeviceLbfgs<D>>,
    /// Rows of a batch: features, numbers, classes, factors.
    batch: Option<[D::Buffer; 4]>,
}

fn single(tensors: &Tensors<f64>) -> Tensors<f32> {
    tensors.cast()
}

impl<'a, D: Driver> GpuSession<'a, D> {
    pub fn new(driver: Arc<D>, problem: Problem<'a>) -> Result<Self> {
        let question = Question {
            composition: problem.composition,
            classes: problem.classes,
            target: problem.target,
            prototype_labels: problem.prototype_labels,
            centre: problem.centre,
            tensors: problem.tensors,
            precision: problem.precision,
        };
        let most = [Some(problem.training), problem.validation]
            .iter()
            .flatten()
            .map(|s| s.features.rows())
            .max()
            .unwrap_or(0);
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
        let mut slots = Vec::with_capacity(Slot::COUNT);
        for _ in 0..Slot::COUNT {
            slots.push(hold(&*driver, problem.tensors)?);
        }
        let gradient = hold(&*driver, &only(problem.learn).zeros_like())?;
        let (mut optimizer, mut update, mut search) = (None, None, None);
        if let Some((spec, lr)) = problem.optimizer {
            let trained = single(&only(problem.train));
            let current: &[Held<D::Buffer>] = &slots[Slot::Current as usize];
            optimizer = DeviceOptimizer::new(driver.clone(), spec, lr, trained.clone())?;
            match &optimizer {
                Some(o) => update = Some(driver.record(&o.launches(current, &gradient))?),
                None => {
                    let new =
                        DeviceLbfgs::new(driver.clone(), (spec, lr), trained, current, &gradient)?;
                    search = Some(new);
                }
            }
        }
        let weights = problem.row_weights.as_deref();
        let training = Data::load(&*driver, &pass, problem.training, weights)?;
        let validation = match problem.validation {
            Some(samples) => Some(Data::load(&*driver, &pass, samples, None)?),
            None => None,
        };
        Ok(GpuSession {
            driver,
            pass,
            training,
            validation,
            row_weights: problem.row_weights,
            learn: Learn(problem.learn.to_vec()),
            train: problem.train.to_vec(),
            slots: slots.try_into().unwrap_or_else(|_| unreachable!("as many as there are slots")),
            gradient,
            accumulated: None,
            optimizer,
            update,
            search,
            batch: None,
        })
    }

    fn data(&self, set: Set) -> &Data<'a, D> {
        match set {
            Set::Training => &self.training,
            Set::Validation => self.validation.as_ref().expect("the problem has validation data"),
        }
    }

    fn read_all(&self, held: &[Held<D::Buffer>]) -> Result<Tensors<f32>> {
        let one = |h: &Held<D::Buffer>| {
            let mut data = vec![0.0f32; h.len()];
            self.driver.read_numbers(&h.buffer, 0, &mut data)?;
            Ok(Tensor::new(h.name.clone(), &h.shape, data))
        };
        Ok(Tensors { list: held.iter().map(one).collect::<Result<_>>()? })
    }

    fn write_all(&self, held: &[Held<D::Buffer>], tensors: &Tensors<f32>) -> Result<()> {
        for t in &tensors.list {
            if let Some(h) = held.iter().find(|h| h.name == t.name) {
                self.driver.write_numbers(&h.buffer, 0, &t.data)?;
            }
        }
        Ok(())
    }

    /// Weight of the k-th row of `rows`.
    fn weight(&self, rows: &Rows<'_>, k: usize) -> f64 {
        match (rows.weights, &self.row_weights, rows.set) {
            (Some(w), _, _) => w[k],
            (None, Some(w), Set::Training) => w[rows.indices.map_or(k, |r| r[k] as usize)],
            _ => 1.0,
        }
    }

    /// Runs a pass over rows at the tensors of `slot`; `ones`: every row has factor 1.
    fn pass(&mut self, slot: Slot, rows: Rows<'_>, scale: f64, gradient: bool) -> Result<f64> {
        let data = self.data(rows.set);
        let n = rows.indices.map_or(data.n, <[u32]>::len);
        if n == 0 {
            return Ok(0.0);
        }
        let inverse = 1.0 / n as f64;
        let whole = rows.indices.is_none() && rows.weights.is_none();
        let targets = match whole {
            true => data.targets,
            false => self.load_batch(&rows, &|k| self.weight(&rows, k) * inverse)?,
        };
        self.set_numbers(&[
            (dynamic::SCALE, scale),
            (dynamic::TARGETS, targets),
            (dynamic::INVERSE_ROWS, inverse),
        ])?;
        let launches = {
            let data = self.data(rows.set);
            let batch = self.batch_of(&rows, data, n);
            let gradients = gradient.then_some((&self.gradient[..], &self.learn));
            self.pass.whole(&self.slots[slot as usize], &batch, gradients)?
        };
        self.driver.run_once(&launches)?;
        let mut loss = [0.0f32];
        self.driver.read_numbers(&self.pass.totals, 0, &mut loss)?;
        Ok(f64::from(loss[0]))
    }

    fn set_numbers(&self, numbers: &[(usize, f64)]) -> Result<()> {
        for (at, value) in numbers {
            self.driver.write_numbers(&self.pass.dynamic, *at, &[*value as f32])?;
        }
        Ok(())
    }

    /// The rows where the kernels look for them.
    fn batch_of<'s>(
        &'s self,
        rows: &Rows<'_>,
        data: &'s Data<'a, D>,
        n: usize,
    ) -> Batch<'s, D::Buffer> {
        let whole = rows.indices.is_none() && rows.weights.is_none();
        match (&self.batch, whole) {
            (Some([x, _, codes, factors]), false) => {
                let x = if rows.indices.is_some() { x } else { &data.x };
                let codes = if rows.indices.is_some() { codes } else { &data.codes };
                Batch { x, codes, factors, n }
            }
            _ => Batch { x: &data.x, codes: &data.codes, factors: &data.factors, n },
        }
    }

    /// Brings the rows of a batch together; returns the sum of the factors of the target's rows.
    fn load_batch(&self, rows: &Rows<'_>, factor: &dyn Fn(usize) -> f64) -> Result<f64> {
        let data = self.data(rows.set);
        let n = rows.indices.map_or(data.n, <[u32]>::len);
        let [x, numbers, codes, factors] = self.batch.as_ref().expect("reserved before");
        let factor: Vec<f32> = (0..n).map(|k| factor(k) as f32).collect();
        self.driver.write_numbers(factors, 0, &factor)?;
        let code = |k: usize| data.samples.codes[rows.indices.map_or(k, |r| r[k] as usize)];
        if let Some(indices) = rows.indices {
            let mine: Vec<u32> = (0..n).map(code).collect();
            self.driver.write(codes, 0, &mine)?;
            self.driver.write(numbers, 0, indices)?;
            self.driver.run_once(&[self.pass.take(&data.x, numbers, x, n)])?;
        }
        let target = self.pass.about().target;
        Ok((0..n).filter(|k| code(*k) == target).map(|k| f64::from(factor[k])).sum())
    }

    fn reserve_batch(&mut self, rows: &Rows<'_>) -> Result<()> {
        let n = rows.indices.map_or(self.data(rows.set).n, <[u32]>::len);
        let d = self.pass.d;
        let fits = |b: &[D::Buffer; 4]| self.driver.words(&b[3]) >= n;
        if self.batch.as_ref().is_none_or(|b| !fits(b)) {
            let words = |count: usize| self.driver.buffer(count.max(1));
            self.batch = Some([words(n * d)?, words(n)?, words(n)?, words(n)?]);
        }
        Ok(())
    }
}

impl<'a, D: Driver> Data<'a, D> {
    fn load(
        driver: &D,
        pass: &Pass<D>,
        samples: Samples<'a>,
        weights: Option<&[f64]>,
    ) -> Result<Self> {
        let n = samples.features.rows();
        let inverse = 1.0 / n as f64;
        let factors: Vec<f64> = (0..n).map(|k| weights.map_or(1.0, |w| w[k]) * inverse).collect();
        let target = pass.about().target;
        let targets =
            factors.iter().zip(samples.codes).filter(|(_, c)| **c == target).map(|(f, _)| f).sum();
        let single: Vec<f32> = factors.iter().map(|f| *f as f32).collect();
        Ok(Data {
            samples,
            x: pass.upload(samples.features)?,
            codes: driver.with_words(samples.codes)?,
            factors: driver.with_numbers(&single)?,
            targets,
            n,
        })
    }
}

impl<D: Driver> Session for GpuSession<'_, D> {
    fn loss(&mut self, slot: Slot, rows: Rows<'_>) -> Result<f64> {
        self.reserve_batch(&rows)?;
        self.pass(slot, rows, 1.0, false)
    }

    fn row_losses(&mut self, rows: Rows<'_>) -> Result<Vec<f64>> {
        self.reserve_batch(&rows)?;
        let n = rows.indices.map_or(self.data(rows.set).n, <[u32]>::len);
        let one = Rows { weights: Some(&vec![1.0; n]), ..rows };
        self.load_batch(&one, &|_| 1.0)?;
        self.set_numbers(&[
            (dynamic::TARGETS, 1.0),
            (dynamic::INVERSE_ROWS, 1.0 / n as f64),
            (dynamic::CONTRAST, 0.0),
        ])?;
        let mut losses = Vec::with_capacity(n);
        for (base, count) in self.pass.chunks(n) {
            let launches = {
                let batch = self.batch_of(&one, self.data(rows.set), n);
                let tensors = &self.slots[Slot::Current as usize];
                self.pass.one_chunk(tensors, &batch, (base, count), What::Loss)
            };
            self.driver.run_once(&launches)?;
            let mut chunk = vec![0.0f32; count];
            self.driver.read_numbers(&self.pass.outcome, 0, &mut chunk)?;
            losses.extend(chunk.iter().map(|l| f64::from(*l)));
        }
        Ok(losses)
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
                self.pass.whole(&self.slots[Slot::Current as usize], &batch, gradients)?
            };
            self.driver.run_once(&launches)?;
            let gradient = self.read_all(&self.gradient)?;
            let mine = gradient.list.iter().filter(|t| trained.contains(&t.name));
            let squares: f64 =
                mine.flat_map(|t| &t.data).map(|v| f64::from(*v) * f64::from(*v)).sum();
            norms.push(squares.sqrt());
        }
        Ok(norms)
    }

    fn gradient(&mut self, rows: Rows<'_>, scale: f64) -> Result<f64> {
        self.reserve_batch(&rows)?;
        self.pass(Slot::Current, rows, scale, true)
    }

    fn rule(&mut self, _rows: Rows<'_>, _rate: f64) -> Result<f64> {
        Err(crate::Error::Device {
            device: self.driver.name().into(),
            reason: "it cannot run the update rules".into(),
        })
    }

    fn read_gradient(&self) -> Tensors<f64> {
        self.read_all(&self.gradient).expect("the device answers").cast()
    }

    fn write_gradient(&mut self, gradient: &Tensors<f64>) {
        self.write_all(&self.gradient, &gradient.cast()).expect("the device answers");
    }

    fn gradient_not_finite(&self) -> Option<String> {
        self.read_gradient().first_not_finite().map(str::to_string)
    }

    fn not_finite(&self, slot: Slot) -> Option<String> {
        self.read(slot).first_not_finite().map(str::to_string)
    }

    fn accumulate(&mut self, weight: f64) {
        let gradient: Tensors<f32> = self.read_gradient().cast();
        let mean = self.accumulated.get_or_insert_with(|| gradient.zeros_like());
        let weight = weight as f32;
        for (a, g) in mean.list.iter_mut().zip(&gradient.list) {
            for (a, g) in a.data.iter_mut().zip(&g.data) {
                *a = if weight == 1.0 { *g } else { *a + weight * (*g - *a) };
            }
        }
    }

    fn take_accumulated(&mut self) {
        if let Some(mean) = self.accumulated.take() {
            self.write_gradient(&mean.cast());
        }
    }

    fn accumulated(&self) -> Option<Tensors<f64>> {
        self.accumulated.as_ref().map(Tensors::cast)
    }

    fn set_accumulated(&mut self, mean: &Tensors<f64>) {
        self.accumulated = Some(mean.cast());
    }

    fn update(
        &mut self,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        rows: Rows<'_>,
        loss: f64,
    ) -> Result<()> {
        let n = rows.indices.map_or(self.data(rows.set).n, <[u32]>::len);
        if let (Some(optimizer), Some(update)) = (&mut self.optimizer, &self.update) {
            optimizer.step(rate, multiplier, n)?;
            self.driver.run(update)?;
            self.constrain(Slot::Current);
            return Ok(());
        }
        let Some(mut search) = self.search.take() else { return Ok(()) };
        let done = search.update(loss, rate, &mut || self.pass(Slot::Current, rows, 1.0, true));
        self.search = Some(search);
        self.constrain(Slot::Current);
        done
    }

    fn optimizer_state(&self) -> Tensors<f64> {
        match (&self.optimizer, &self.search) {
            (Some(optimizer), _) => optimizer.state().expect("the device answers"),
            (None, Some(search)) => search.state().expect("the device answers"),
            (None, None) => Tensors::default(),
        }
    }

    fn restore_optimizer(&mut self, state: &Tensors<f64>) -> Result<()> {
        match (&mut self.optimizer, &mut self.search) {
            (Some(optimizer), _) => optimizer.restore(state),
            (None, Some(search)) => search.restore(state),
            (None, None) => Ok(()),
        }
    }

    fn blend(&mut self, to: Slot, from: Slot, a: f64) {
        let (mut t, f) = (self.read(to), self.read(from));
        let a = a as f32;
        for (t, f) in t.list.iter_mut().zip(&f.list) {
            if a == 1.0 {
                t.data.copy_from_slice(&f.data);
            } else if self.learn.0.contains(&t.name) {
                for (t, f) in t.data.iter_mut().zip(&f.data) {
                    let (x, y) = (*t as f32, *f as f32);
                    *t = f64::from(x + a * (y - x));
                }
            }
        }
        self.write(to, &t);
    }

    fn constrain(&mut self, slot: Slot) {
        let mut tensors: Tensors<f32> = self.read(slot).cast();
        for c in &self.pass.about().composition.constraints {
            for t in &mut tensors.list {
                if self.learn.0.contains(&t.name) {
                    constraint::apply(*c, t);
                }
            }
        }
        self.write(slot, &tensors.cast());
    }

    fn read(&self, slot: Slot) -> Tensors<f64> {
        self.read_all(&self.slots[slot as usize]).expect("the device answers").cast()
    }

    fn write(&mut self, slot: Slot, tensors: &Tensors<f64>) {
        self.write_all(&self.slots[slot as usize], &tensors.cast()).expect("the device answers");
    }
}
