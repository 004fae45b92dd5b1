//! Several devices that train one model together, data parallel.
//!
//! The rows are cut into contiguous shards of like size, one a device, in the order of the devices. Every device holds all parameters,
//! slots and optimizer state. In a step each forms losses and gradients of its own rows, whose weights are those among all rows; the sums
//! over rows (totals and gradients, [`GpuSession::sums`]) are added over the devices by a [`Communicator`], which leaves the same bits on
//! all; and each makes the same update. So the parameters stay the same to the bit on every device, which every reading of them checks.
//! What one device would find differs by the order in which a sum is formed, and by nothing else.
//!
//! ```text
//! whole data     the shards
//! batch          each device takes the rows of its shard, filled up with rows that weigh nothing, so that few numbers of rows occur
//! contrastive    the look at all rows, sums, the losses and gradients, sums
//! Hebbian rules  their sums over rows, added up; each device moves its own copy
//! L-BFGS         the first device searches along the line; where it looks, the others look too
//! medoid rules   refused: they hold all rows against all rows
//! ```

use super::session::{GpuSession, Shard, Sweep};
use super::{Driver, peaks, predictor, refuse, shards};
use crate::backend::{
    Backend, DeviceInfo, Peaks, Plan, Predictor, Problem, Question, Rows, Session, Set, Slot,
};
use crate::error::{Error, Result};
use crate::parts::composition::Objective;
use crate::parts::tensor::Tensors;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Adds up what several devices have.
pub(in crate::backend) trait Communicator<B>: Send + Sync {
    /// Of each list, one a device, the k-th buffers become the sum of all k-th buffers, to the same bits on every device.
    fn add_up(&self, lists: &[Vec<B>]) -> Result<()>;
}

/// Adds up on the host, in the order of the devices.
pub(in crate::backend) struct ByHost<D: Driver>(pub Vec<Arc<D>>);

impl<D: Driver> Communicator<D::Buffer> for ByHost<D> {
    fn add_up(&self, lists: &[Vec<D::Buffer>]) -> Result<()> {
        let kinds = lists.first().map_or(0, Vec::len);
        for k in 0..kinds {
            let mut sum = vec![0.0f32; self.0[0].words(&lists[0][k])];
            let mut one = sum.clone();
            for (driver, list) in self.0.iter().zip(lists) {
                driver.read_numbers(&list[k], 0, &mut one)?;
                sum.iter_mut().zip(&one).for_each(|(sum, v)| *sum += v);
            }
            for (driver, list) in self.0.iter().zip(lists) {
                driver.write_numbers(&list[k], 0, &sum)?;
            }
        }
        Ok(())
    }
}

/// Several devices as one.
pub(in crate::backend) struct Group<D: Driver> {
    name: String,
    drivers: Vec<Arc<D>>,
    communicator: Arc<dyn Communicator<D::Buffer>>,
}

impl<D: Driver> Group<D> {
    /// `name`: as they are asked for together.
    pub fn new(
        name: String,
        drivers: Vec<Arc<D>>,
        communicator: Arc<dyn Communicator<D::Buffer>>,
    ) -> Self {
        Group { name, drivers, communicator }
    }

    fn group_session<'a>(&self, problem: Problem<'a>) -> Result<GroupSession<'a, D>> {
        refuse(&self.name, problem.composition, problem.precision)?;
        if matches!(problem.composition.objective, Objective::Medoid { .. }) {
            let first = self.drivers[0].name();
            let reason = format!(
                "Median LVQ holds all rows against all rows, which one device has to have: use {first}"
            );
            return Err(Error::Device { device: self.name.clone(), reason });
        }
        let whole = Shard::whole(&problem);
        let count = self.drivers.len();
        let training = shards(whole.training.len(), count);
        let validation = shards(whole.validation.len(), count);
        let opened: Vec<Result<_>> = (self.drivers.par_iter())
            .zip(training.par_iter().zip(&validation))
            .map(|(driver, (training, validation))| {
                let shard = Shard { training: training.clone(), validation: validation.clone() };
                GpuSession::new(driver.clone(), problem.clone(), &shard)
            })
            .collect();
        let sessions = opened.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(GroupSession {
            contrastive: sessions[0].looks_first(),
            sessions,
            communicator: self.communicator.clone(),
            training,
            validation,
            row_weights: problem.row_weights,
        })
    }
}

impl<D: Driver> Backend for Group<D> {
    fn info(&self) -> DeviceInfo {
        let all: Vec<DeviceInfo> = self.drivers.iter().map(|d| d.info()).collect();
        let names: Vec<&str> = all.iter().map(|d| d.description.as_str()).collect();
        DeviceInfo {
            name: self.name.clone(),
            kind: all[0].kind,
            description: names.join(", "),
            memory_bytes: all.iter().map(|d| d.memory_bytes).sum(),
            info: all[0].info.clone(),
        }
    }

    /// Those of the first times the number of devices: they are of one kind.
    fn peaks(&self) -> Result<Option<Peaks>> {
        let one = peaks::peaks(&*self.drivers[0])?;
        let count = self.drivers.len() as f64;
        Ok(Some(Peaks {
            f32: count * one.f32,
            tensor: one.tensor.map(|rates| rates.map(|rate| count * rate)),
            bandwidth: count * one.bandwidth,
        }))
    }

    fn session<'a>(&self, problem: Problem<'a>) -> Result<Box<dyn Session + 'a>> {
        Ok(Box::new(self.group_session(problem)?))
    }

    fn predictor(&self, question: Question<'_>) -> Result<Box<dyn Predictor>> {
        refuse(&self.name, question.composition, question.precision)?;
        Ok(Box::new(predictor::GpuPredictor::new(&self.drivers, &question)?))
    }
}

/// Rows of a batch that are one device's are filled up to a multiple of so many.
const FILL: usize = 64;

/// The rows of a pass that are one device's, by their numbers there.
#[derive(Clone, Default)]
struct Share {
    indices: Option<Vec<u32>>,
    weights: Option<Vec<f64>>,
    /// How many, without those that fill up.
    n: usize,
}

impl Share {
    fn rows(&self, set: Set) -> Rows<'_> {
        Rows { set, indices: self.indices.as_deref(), weights: self.weights.as_deref() }
    }
}

/// A training problem on several devices.
struct GroupSession<'a, D: Driver> {
    sessions: Vec<GpuSession<'a, D>>,
    communicator: Arc<dyn Communicator<D::Buffer>>,
    training: Vec<Range<usize>>,
    validation: Vec<Range<usize>>,
    row_weights: Option<Vec<f64>>,
    contrastive: bool,
}

impl<'a, D: Driver> GroupSession<'a, D> {
    fn shards(&self, set: Set) -> &[Range<usize>] {
        match set {
            Set::Training => &self.training,
            Set::Validation => &self.validation,
        }
    }

    /// Which device has a row.
    fn owner(&self, set: Set, row: u32) -> usize {
        self.shards(set).partition_point(|shard| shard.end <= row as usize)
    }

    /// How many rows.
    fn count(&self, rows: &Rows<'_>) -> usize {
        let all = || self.shards(rows.set).iter().map(Range::len).sum();
        rows.indices.map_or_else(all, <[u32]>::len)
    }

    /// Each device's share of the rows. `fill`: of batches to a multiple of so many rows.
    fn shares(&self, rows: &Rows<'_>, fill: usize) -> Vec<Share> {
        let shards = self.shards(rows.set);
        let Some(indices) = rows.indices else {
            let weights = |shard: &Range<usize>| rows.weights.map(|w| w[shard.clone()].to_vec());
            let one = |shard| Share { indices: None, weights: weights(shard), n: shard.len() };
            return shards.iter().map(one).collect();
        };
        let mut lists = vec![(Vec::new(), Vec::new()); shards.len()];
        for (k, row) in indices.iter().enumerate() {
            let weight = match (rows.weights, &self.row_weights, rows.set) {
                (Some(w), _, _) => w[k],
                (None, Some(w), Set::Training) => w[*row as usize],
                _ => 1.0,
            };
            let owner = self.owner(rows.set, *row);
            lists[owner].0.push(row - shards[owner].start as u32);
            lists[owner].1.push(weight);
        }
        let one = |(mut indices, mut weights): (Vec<u32>, Vec<f64>)| {
            let n = indices.len();
            if let Some(first) = indices.first().copied() {
                indices.resize(n.next_multiple_of(fill), first);
                weights.resize(indices.len(), 0.0);
            }
            Share { indices: Some(indices), weights: Some(weights), n }
        };
        lists.into_iter().map(one).collect()
    }

    /// Numbers of rows from each device, in the order of the rows.
    fn joined(&self, rows: &Rows<'_>, lists: Vec<Vec<f64>>) -> Vec<f64> {
        let Some(indices) = rows.indices else { return lists.concat() };
        let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
        let next = |row: &u32| lists[self.owner(rows.set, *row)].next();
        indices.iter().filter_map(next).collect()
    }

    /// Does something on every device at the same time, and waits for all of them; the error is that of the first device that has one.
    fn each<T: Send>(
        &mut self,
        work: impl Fn(usize, &mut GpuSession<'a, D>) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let sessions = self.sessions.par_iter_mut().enumerate();
        let done: Vec<Result<T>> = sessions.map(|(i, session)| work(i, session)).collect();
        done.into_iter().collect()
    }

    fn add_up(&self, of: impl Fn(&GpuSession<'a, D>) -> Vec<D::Buffer>) -> Result<()> {
        let lists: Vec<Vec<D::Buffer>> = self.sessions.iter().map(of).collect();
        self.communicator.add_up(&lists)
    }

    /// A pass over rows of all devices; the sums are afterwards on each.
    fn pass(&mut self, slot: Slot, rows: Rows<'_>, scale: f64, gradient: bool) -> Result<()> {
        let (set, of) = (rows.set, self.count(&rows));
        let shares = self.shares(&rows, FILL);
        let first = shares.iter().position(|share| share.n > 0);
        let targets = self.each(|i, session| match shares[i].n {
            0 => Ok(0.0),
            _ => session.ready(&shares[i].rows(set), of),
        })?;
        let targets = targets.iter().sum();
        let run = |i: usize, session: &mut GpuSession<'a, D>, sweep: Sweep| match shares[i].n {
            0 => session.clear(&session.sums(gradient)),
            _ => session.run_pass(slot, shares[i].rows(set), sweep, gradient),
        };
        let contrastive = self.contrastive;
        self.each(|i, session| {
            session.tell(scale, targets, of)?;
            run(i, session, if contrastive { Sweep::Look } else { Sweep::Whole })
        })?;
        if contrastive {
            self.add_up(|session| session.sums(false))?;
            self.each(|i, session| {
                session.contrast(Some(i) == first)?;
                run(i, session, Sweep::Rest)
            })?;
        }
        self.add_up(|session| session.sums(gradient))
    }

    /// The first device's parameters become those of all.
    fn follow_first(&mut self) -> Result<()> {
        let tensors = self.sessions[0].read(Slot::Current)?;
        self.each(|i, session| match i {
            0 => Ok(()),
            _ => session.write(Slot::Current, &tensors),
        })?;
        Ok(())
    }
}

impl<D: Driver> Session for GroupSession<'_, D> {
    fn loss(&mut self, slot: Slot, rows: Rows<'_>) -> Result<f64> {
        self.pass(slot, rows, 1.0, false)?;
        self.sessions[0].read_loss()
    }

    fn row_losses(&mut self, rows: Rows<'_>) -> Result<Vec<f64>> {
        let (set, of) = (rows.set, self.count(&rows));
        let shares = self.shares(&rows, 1);
        let losses = self.each(|i, session| match shares[i].n {
            0 => Ok(Vec::new()),
            _ => session.row_losses_of(shares[i].rows(set), of),
        })?;
        Ok(self.joined(&rows, losses))
    }

    fn row_gradient_norms(&mut self, rows: Rows<'_>) -> Result<Vec<f64>> {
        let shares = self.shares(&rows, 1);
        let norms = self.each(|i, session| session.row_gradient_norms(shares[i].rows(rows.set)))?;
        Ok(self.joined(&rows, norms))
    }

    fn gradient(&mut self, rows: Rows<'_>, scale: f64) -> Result<f64> {
        self.pass(Slot::Current, rows, scale, true)?;
        self.each(|_, session| session.flag())?;
        self.sessions[0].read_loss()
    }

    fn rule(&mut self, _rows: Rows<'_>, rate: f64) -> Result<f64> {
        let shards = self.training.clone();
        self.each(|i, session| match shards[i].len() {
            0 => session.clear(&session.sums_of_rule()),
            _ => session.rule_sums(),
        })?;
        self.add_up(GpuSession::sums_of_rule)?;
        self.each(|_, session| session.rule_move(rate))?;
        self.sessions[0].read_loss()
    }

    fn read_gradient(&self) -> Result<Tensors<f64>> {
        self.sessions[0].read_gradient()
    }

    fn write_gradient(&mut self, gradient: &Tensors<f64>) -> Result<()> {
        self.each(|_, session| session.write_gradient(gradient)).map(drop)
    }

    fn gradient_not_finite(&self) -> Result<Option<String>> {
        self.sessions[0].gradient_not_finite()
    }

    fn not_finite(&self, slot: Slot) -> Result<Option<String>> {
        self.sessions[0].not_finite(slot)
    }

    fn accumulate(&mut self, weight: f64) -> Result<()> {
        self.each(|_, session| session.accumulate(weight)).map(drop)
    }

    fn take_accumulated(&mut self) -> Result<()> {
        self.each(|_, session| session.take_accumulated()).map(drop)
    }

    fn accumulated(&self) -> Result<Option<Tensors<f64>>> {
        self.sessions[0].accumulated()
    }

    fn set_accumulated(&mut self, mean: &Tensors<f64>) -> Result<()> {
        self.each(|_, session| session.set_accumulated(mean)).map(drop)
    }

    fn update(
        &mut self,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        rows: Rows<'_>,
        loss: f64,
    ) -> Result<()> {
        let Some(mut search) = self.sessions[0].search.take() else {
            let n = self.count(&rows);
            for session in &mut self.sessions {
                session.tell_optimizer(rate, multiplier, n)?;
            }
            return self.each(|_, session| session.run_update()).map(drop);
        };
        let done = search.update(loss, rate, &mut || {
            self.follow_first()?;
            self.pass(Slot::Current, rows, 1.0, true)?;
            self.sessions[0].read_loss()
        });
        self.sessions[0].search = Some(search);
        done?;
        self.follow_first()?;
        self.constrain(Slot::Current)
    }

    fn step(
        &mut self,
        rows: Rows<'_>,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        before: bool,
    ) -> Result<bool> {
        if !self.sessions.iter().all(|session| session.steps_at_once(&rows)) {
            return Ok(false);
        }
        if before {
            self.blend(Slot::Before, Slot::Current, 1.0)?;
        }
        self.pass(Slot::Current, rows, 1.0, true)?;
        let n = self.count(&rows);
        for session in &mut self.sessions {
            session.tell_step(rate, multiplier, n)?;
        }
        self.each(|_, session| session.follow())?;
        Ok(true)
    }

    fn kept_losses(&mut self) -> Result<(Vec<f64>, Option<String>)> {
        let mut kept = self.each(|_, session| session.kept_losses())?;
        Ok(kept.swap_remove(0))
    }

    fn plan(&self) -> Option<Plan> {
        let mut plan = self.sessions[0].plan()?;
        plan.choice.push_str(&format!("; the same on each of {} devices", self.sessions.len()));
        Some(plan)
    }

    fn optimizer_state(&self) -> Result<Tensors<f64>> {
        self.sessions[0].optimizer_state()
    }

    fn restore_optimizer(&mut self, state: &Tensors<f64>) -> Result<()> {
        self.each(|_, session| session.restore_optimizer(state)).map(drop)
    }

    fn blend(&mut self, to: Slot, from: Slot, a: f64) -> Result<()> {
        self.each(|_, session| session.blend(to, from, a)).map(drop)
    }

    fn constrain(&mut self, slot: Slot) -> Result<()> {
        self.each(|_, session| session.constrain(slot)).map(drop)
    }

    /// Those of the first device; the others must have the same bits.
    fn read(&self, slot: Slot) -> Result<Tensors<f64>> {
        let tensors = self.sessions[0].read(slot)?;
        for session in &self.sessions[1..] {
            let others = session.read(slot)?;
            let pairs = tensors.list.iter().zip(&others.list);
            let same = |a: &[f64], b: &[f64]| {
                a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
            };
            if let Some((t, _)) = pairs.into_iter().find(|(a, b)| !same(&a.data, &b.data)) {
                let reason = format!(
                    "its {} are no longer those of {}: the devices do not compute the same",
                    t.name,
                    self.sessions[0].device()
                );
                return Err(Error::Device { device: session.device().into(), reason });
            }
        }
        Ok(tensors)
    }

    fn write(&mut self, slot: Slot, tensors: &Tensors<f64>) -> Result<()> {
        self.each(|_, session| session.write(slot, tensors)).map(drop)
    }
}
