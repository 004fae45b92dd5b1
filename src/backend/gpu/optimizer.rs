//! Optimizers on a GPU: parameters, gradient and state stay there.
//!
//! A rule's Rust file says which kernels update a block and which numbers they are told at a step (`parts/optimizer/plan.rs`); the
//! kernels are in the shader of the rule's name. Launches know nothing of the step, so they can be recorded once: what changes is
//! in one small buffer, written before each run. Its content:
//!
//! ```text
//! the rule's numbers of block 0, of block 1, ...; noise for each element of block 0, of block 1, ...
//! ```

use super::pass::Held;
use super::{Driver, Launch};
use crate::error::Result;
use crate::parts::optimizer::{Optimizer, OptimizerSpec, Plan, Rule, Slots, Step};
use crate::parts::tensor::Tensors;
use std::sync::Arc;

/// Buffers of a kernel of a rule: parameters, gradient, numbers, noise, what is small, and up to four tensors of the state.
const BUFFERS: usize = 9;

/// The state of one block.
struct Block<B> {
    name: String,
    count: usize,
    plan: Plan,
    /// Tensors of the state, but for those that are packed.
    own: Vec<B>,
    /// Packed tensors, the state's scalars, and the kernels' room.
    small: B,
    /// Word of `small` where the room begins.
    room: usize,
    /// Word of the numbers where the block's noise begins.
    noise: usize,
}

/// An optimizer that treats every block by itself, with its state on the device.
pub(super) struct DeviceOptimizer<D: Driver> {
    driver: Arc<D>,
    spec: OptimizerSpec,
    lr: f64,
    /// Names and shapes, with no values that matter.
    shapes: Tensors<f32>,
    rule: Arc<dyn Rule<f32>>,
    blocks: Vec<Block<D::Buffer>>,
    numbers: D::Buffer,
    t: u64,
}

impl<D: Driver> DeviceOptimizer<D> {
    /// The optimizer before its first update, with state for exactly the blocks in `shapes`; none for one that searches along a line.
    ///
    /// # Errors
    /// The device has no memory left.
    pub fn new(
        driver: Arc<D>,
        spec: &OptimizerSpec,
        lr: f64,
        shapes: Tensors<f32>,
    ) -> Result<Option<Self>> {
        let start = Optimizer::new(spec, lr, &shapes);
        let Some(rule) = start.rule().cloned() else { return Ok(None) };
        let first = Step { t: 1, h: lr, ratio: 1.0, rows: 1, noise: None };
        let mut words = rule.numbers(&first).len() * shapes.list.len();
        let mut made = Vec::with_capacity(shapes.list.len());
        for block in start.blocks() {
            made.push(Block::new(&*driver, &*rule, &block.name, &block.slots, words)?);
            if rule.noise(1).is_some() {
                words += made.last().map_or(0, |b| b.count);
            }
        }
        let numbers = driver.buffer(words.max(1))?;
        Ok(Some(DeviceOptimizer {
            driver,
            spec: spec.clone(),
            lr,
            shapes,
            rule,
            blocks: made,
            numbers,
            t: 0,
        }))
    }

    /// One update of all blocks: `params <- params + u(gradients)`. To be run again and again, each time after
    /// [`DeviceOptimizer::step`].
    ///
    /// # Panics
    /// On programming errors: a block that is not among the parameters and gradients, or has another shape there.
    pub fn launches(
        &self,
        params: &[Held<D::Buffer>],
        gradients: &[Held<D::Buffer>],
    ) -> Vec<Launch<D::Buffer>> {
        let most = self.driver.limits().groups as usize;
        let mut all = Vec::new();
        for (number, block) in self.blocks.iter().enumerate().filter(|(_, b)| b.count > 0) {
            let find = |held: &[Held<D::Buffer>]| {
                let found = held.iter().find(|h| h.name == block.name && h.len() == block.count);
                let found = found.unwrap_or_else(|| panic!("no tensor '{}'", block.name));
                found.buffer.clone()
            };
            let (theta, g) = (find(params), find(gradients));
            let (numbers, small) = (&self.numbers, &block.small);
            let mut buffers = vec![theta, g, numbers.clone(), numbers.clone(), small.clone()];
            buffers.extend(block.own.iter().cloned());
            // Bound, and not touched.
            buffers.resize(BUFFERS, small.clone());
            let sizes = [number, block.count, block.noise, block.room].map(|v| v as u32);
            all.extend(block.plan.stages.iter().map(|stage| Launch {
                kernel: stage.kernel,
                constants: (0..).zip(stage.constants.iter().copied()).collect(),
                buffers: buffers.clone(),
                words: [&sizes, &stage.sizes[..]].concat(),
                groups: [stage.groups.clamp(1, most) as u32, 1, 1],
            }));
        }
        all
    }

    /// Counts an update and tells the device its numbers. `h` is the scheduled rate, `multipliers(block)` scales it for a block,
    /// `rows` is the number of rows in the batch.
    ///
    /// # Errors
    /// The device fails.
    pub fn step(&mut self, h: f64, multipliers: &dyn Fn(&str) -> f64, rows: usize) -> Result<()> {
        self.t += 1;
        let noise = self.rule.noise(self.t);
        let mut step = Step { t: self.t, h, ratio: 1.0, rows, noise };
        let (mut numbers, mut noise) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            step.h = h * multipliers(&block.name);
            step.ratio = step.h / self.lr;
            numbers.extend(self.rule.numbers(&step).iter().map(|v| *v as f32));
            if step.noise.is_some() {
                let deviation = self.rule.deviation(&step);
                noise.extend((0..block.count).map(|_| (deviation * step.normal()) as f32));
            }
        }
        numbers.append(&mut noise);
        self.driver.write_numbers(&self.numbers, 0, &numbers)
    }

    /// The same optimizer on the host, before its first update.
    fn on_host(&self) -> Optimizer<f32> {
        Optimizer::new(&self.spec, self.lr, &self.shapes)
    }

    /// The state, as [`Optimizer::state`].
    ///
    /// # Errors
    /// The device fails.
    pub fn state(&self) -> Result<Tensors<f64>> {
        let mut host = self.on_host();
        for (to, from) in host.resume(self.t).iter_mut().zip(&self.blocks) {
            from.read(&*self.driver, &mut to.slots)?;
        }
        Ok(host.state())
    }

    /// Continues from the state that [`DeviceOptimizer::state`] or [`Optimizer::state`] returned.
    ///
    /// # Errors
    /// As [`Optimizer::restore`], with the optimizer then as before; the device fails.
    pub fn restore(&mut self, saved: &Tensors<f64>) -> Result<()> {
        let mut host = self.on_host();
        host.restore(saved)?;
        for (from, to) in host.blocks().iter().zip(&self.blocks) {
            to.write(&*self.driver, &from.slots)?;
        }
        self.t = host.updates();
        Ok(())
    }
}

impl<B: Clone> Block<B> {
    fn new<D: Driver<Buffer = B>>(
        driver: &D,
        rule: &dyn Rule<f32>,
        name: &str,
        slots: &Slots<f32>,
        noise: usize,
    ) -> Result<Self> {
        let plan = rule.plan(&slots.shape);
        let packed: usize = slots.tensors[plan.packed.clone()].iter().map(|t| t.data.len()).sum();
        let room = packed + slots.scalars.len();
        let small = driver.buffer((room + plan.room).max(1))?;
        let apart = (0..slots.tensors.len()).filter(|i| !plan.packed.contains(i));
        let own = apart
            .map(|i| driver.buffer(slots.tensors[i].data.len().max(1)))
            .collect::<Result<Vec<B>>>()?;
        let count = slots.shape.iter().product();
        let block = Block { name: name.into(), count, plan, own, small, room, noise };
        block.write(driver, slots)?;
        Ok(block)
    }

    /// Buffer and first word of each tensor of the state, then of each scalar.
    fn places(&self, slots: &Slots<f32>) -> Vec<(B, usize)> {
        let mut own = self.own.iter();
        let mut at = 0;
        let mut places = Vec::new();
        for (i, tensor) in slots.tensors.iter().enumerate() {
            if self.plan.packed.contains(&i) {
                places.push((self.small.clone(), at));
                at += tensor.data.len();
            } else {
                places.push((own.next().expect("one buffer a tensor").clone(), 0));
            }
        }
        places.extend((at..at + slots.scalars.len()).map(|at| (self.small.clone(), at)));
        places
    }

    fn write<D: Driver<Buffer = B>>(&self, driver: &D, slots: &Slots<f32>) -> Result<()> {
        let scalars: Vec<[f32; 1]> = slots.scalars.iter().map(|(_, v)| [*v as f32]).collect();
        let values =
            slots.tensors.iter().map(|t| &t.data[..]).chain(scalars.iter().map(|s| &s[..]));
        for ((buffer, at), values) in self.places(slots).iter().zip(values) {
            driver.write_numbers(buffer, *at, values)?;
        }
        Ok(())
    }

    fn read<D: Driver<Buffer = B>>(&self, driver: &D, slots: &mut Slots<f32>) -> Result<()> {
        let places = self.places(slots);
        let (tensors, scalars) = places.split_at(slots.tensors.len());
        for ((buffer, at), tensor) in tensors.iter().zip(&mut slots.tensors) {
            driver.read_numbers(buffer, *at, &mut tensor.data)?;
        }
        for ((buffer, at), (_, value)) in scalars.iter().zip(&mut slots.scalars) {
            let mut number = [0.0f32];
            driver.read_numbers(buffer, *at, &mut number)?;
            *value = f64::from(number[0]);
        }
        Ok(())
    }
}
