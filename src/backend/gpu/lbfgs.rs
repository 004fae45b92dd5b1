//! L-BFGS with its vectors on a GPU (`parts/optimizer/lbfgs.rs` has the method): the host sees the few numbers that the line search is
//! made of.

use super::pass::Held;
use super::{Driver, Launch};
use crate::error::Result;
use crate::parts::optimizer::{Optimizer, OptimizerSpec, Pair, Search, Space, slabs};
use crate::parts::tensor::Tensors;
use std::collections::VecDeque;
use std::sync::Arc;

/// No scalar, in place of the number of one.
const NONE: u32 = u32::MAX;

/// A trainable block: where it lies in the vector, its values and its gradient.
struct Part<B> {
    start: usize,
    count: usize,
    theta: B,
    gradient: B,
}

/// The vectors' memory, and what works on them.
struct Room<D: Driver> {
    driver: Arc<D>,
    parts: Vec<Part<D::Buffer>>,
    size: usize,
    /// A gradient as a vector, and the one with which the update began.
    other: D::Buffer,
    first: D::Buffer,
    /// Sums of slabs.
    slabs: D::Buffer,
    /// Products: word 0 is for one that is read back, then one for each pair of the first loop, then one.
    scalars: D::Buffer,
}

/// An optimizer that searches along a line, with its state on the device.
pub(super) struct DeviceLbfgs<D: Driver> {
    spec: OptimizerSpec,
    lr: f64,
    shapes: Tensors<f32>,
    room: Room<D>,
    search: Search<D::Buffer>,
    memory: usize,
    t: u64,
}

/// The device's side of one update. `objective` returns the loss at the parameters and leaves the gradient there.
struct Device<'a, D: Driver> {
    room: &'a Room<D>,
    objective: &'a mut dyn FnMut() -> Result<f64>,
}

impl<D: Driver> DeviceLbfgs<D> {
    /// The optimizer before its first update, for exactly the blocks in `shapes`, which are among the parameters and gradients.
    ///
    /// # Errors
    /// The device has no memory left.
    pub fn new(
        driver: Arc<D>,
        (spec, lr): (&OptimizerSpec, f64),
        shapes: Tensors<f32>,
        params: &[Held<D::Buffer>],
        gradients: &[Held<D::Buffer>],
    ) -> Result<Self> {
        let find = |held: &[Held<D::Buffer>], name: &str| {
            let found = held.iter().find(|h| h.name == name);
            found.unwrap_or_else(|| panic!("no tensor '{name}'")).buffer.clone()
        };
        let mut size = 0;
        let mut parts = Vec::new();
        for t in &shapes.list {
            let (start, count) = (size, t.data.len());
            size += count;
            let (theta, gradient) = (find(params, &t.name), find(gradients, &t.name));
            parts.push(Part { start, count, theta, gradient });
        }
        let memory = Optimizer::new(spec, lr, &shapes).line_search().map_or(0, |l| l.memory());
        let vector = || driver.buffer(size.max(1));
        let search = Search::new(memory, [vector()?, vector()?, vector()?]);
        let room = Room {
            other: vector()?,
            first: vector()?,
            slabs: driver.buffer(slabs(size))?,
            scalars: driver.buffer(2)?,
            driver,
            parts,
            size,
        };
        Ok(DeviceLbfgs { spec: spec.clone(), lr, shapes, room, search, memory, t: 0 })
    }

    /// One update, as [`Optimizer::line_search_update`]; the gradient is afterwards as it was before.
    ///
    /// # Errors
    /// Those of the objective and of the device; the parameters are then as before.
    pub fn update(
        &mut self,
        loss: f64,
        h: f64,
        objective: &mut dyn FnMut() -> Result<f64>,
    ) -> Result<()> {
        let wanted = 2 + self.memory.min(self.search.pairs.len() + 1);
        if self.room.driver.words(&self.room.scalars) < wanted {
            self.room.scalars = self.room.driver.buffer(2 * wanted)?;
        }
        let mut device = Device { room: &self.room, objective };
        let done = self.search.update(&mut device, loss, h);
        let back = self.room.run(&self.room.spread(&self.room.first, |part| &part.gradient));
        done.and(back)?;
        self.t += 1;
        Ok(())
    }

    fn on_host(&self) -> Optimizer<f32> {
        Optimizer::new(&self.spec, self.lr, &self.shapes)
    }

    /// The state, as [`Optimizer::state`].
    ///
    /// # Errors
    /// The device fails.
    pub fn state(&self) -> Result<Tensors<f64>> {
        let read = |v: &D::Buffer| {
            let mut values = vec![0.0f32; self.room.size];
            self.room.driver.read_numbers(v, 0, &mut values)?;
            Ok(values)
        };
        let last = match &self.search.last {
            Some((x, g)) => Some((read(x)?, read(g)?)),
            None => None,
        };
        let pair = |p: &Pair<D::Buffer>| Ok((read(&p.s)?, read(&p.y)?));
        let pairs = self.search.pairs.iter().map(pair).collect::<Result<_>>()?;
        let mut host = self.on_host();
        host.resume(self.t);
        if let Some(lbfgs) = host.line_search() {
            lbfgs.remember(last, pairs);
        }
        Ok(host.state())
    }

    /// Continues from the state that [`DeviceLbfgs::state`] or [`Optimizer::state`] returned.
    ///
    /// # Errors
    /// As [`Optimizer::restore`], with the optimizer then as before; the device fails.
    pub fn restore(&mut self, saved: &Tensors<f64>) -> Result<()> {
        let mut host = self.on_host();
        host.restore(saved)?;
        let t = host.updates();
        let Some(lbfgs) = host.line_search() else { return Ok(()) };
        let driver = &self.room.driver;
        let last = match &lbfgs.search.last {
            Some((x, g)) => Some((driver.with_numbers(x)?, driver.with_numbers(g)?)),
            None => None,
        };
        let mut pairs = VecDeque::new();
        for pair in &lbfgs.search.pairs {
            let (s, y) = (driver.with_numbers(&pair.s)?, driver.with_numbers(&pair.y)?);
            let ys = self.room.product(&y, &s)?;
            pairs.push_back(Pair { s, y, ys });
        }
        (self.search.last, self.search.pairs, self.t) = (last, pairs, t);
        Ok(())
    }
}

impl<D: Driver> Room<D> {
    fn run(&self, launches: &[Launch<D::Buffer>]) -> Result<()> {
        if launches.is_empty() { Ok(()) } else { self.driver.run_once(launches) }
    }

    fn launch(
        &self,
        kernel: &'static str,
        buffers: [&D::Buffer; 4],
        words: [u32; 6],
        groups: usize,
    ) -> Launch<D::Buffer> {
        let most = self.driver.limits().groups as usize;
        Launch {
            kernel,
            constants: Vec::new(),
            buffers: buffers.map(Clone::clone).to_vec(),
            words: words.to_vec(),
            groups: [groups.clamp(1, most) as u32, 1, 1],
        }
    }

    /// `to = x + a p` for so many elements, each from its own word on; exactly `x` for `a = 0`.
    fn moved(
        &self,
        (x, at_x): (&D::Buffer, usize),
        (p, at_p): (&D::Buffer, usize),
        (to, at_to): (&D::Buffer, usize),
        a: f64,
        count: usize,
    ) -> Launch<D::Buffer> {
        let [count_, at_x, at_p, at_to] = [count, at_x, at_p, at_to].map(|v| v as u32);
        let words = [count_, at_x, at_p, at_to, (a as f32).to_bits(), 0];
        self.launch("lbfgs.moved", [x, p, to, &self.scalars], words, count.div_ceil(64))
    }

    /// The blocks' values, in one vector.
    fn gather(
        &self,
        of: impl Fn(&Part<D::Buffer>) -> &D::Buffer,
        to: &D::Buffer,
    ) -> Vec<Launch<D::Buffer>> {
        let one = |part: &Part<D::Buffer>| {
            let from = (of(part), 0);
            self.moved(from, from, (to, part.start), 0.0, part.count)
        };
        self.parts.iter().filter(|part| part.count > 0).map(one).collect()
    }

    /// A vector's values, in the blocks.
    fn spread(
        &self,
        from: &D::Buffer,
        of: impl Fn(&Part<D::Buffer>) -> &D::Buffer,
    ) -> Vec<Launch<D::Buffer>> {
        let one = |part: &Part<D::Buffer>| {
            let from = (from, part.start);
            self.moved(from, from, (of(part), 0), 0.0, part.count)
        };
        self.parts.iter().filter(|part| part.count > 0).map(one).collect()
    }

    /// Scalar number `to` becomes `<a, b>`.
    fn dot(&self, a: &D::Buffer, b: &D::Buffer, to: usize) -> Vec<Launch<D::Buffer>> {
        let (size, to) = (self.size as u32, to as u32);
        let slabs = slabs(self.size);
        if slabs == 1 {
            let words = [size, 0, 0, to, 0, 0];
            return vec![self.launch("lbfgs.dot", [a, b, &self.scalars, &self.scalars], words, 1)];
        }
        let sum = [slabs as u32, 0, 0, to, 0, 0];
        let buffers = [&self.slabs, &self.slabs, &self.scalars, &self.scalars];
        vec![
            self.launch(
                "lbfgs.dot",
                [a, b, &self.slabs, &self.slabs],
                [size, 0, 0, 0, 0, 0],
                slabs,
            ),
            self.launch("lbfgs.total", buffers, sum, 1),
        ]
    }

    /// `to <- keep to + factor (scalar i - scalar j) v`.
    fn add(
        &self,
        v: &D::Buffer,
        to: &D::Buffer,
        factor: f64,
        [i, j]: [u32; 2],
    ) -> Launch<D::Buffer> {
        let words = [self.size as u32, i, j, (factor as f32).to_bits(), 0, 0];
        self.launch("lbfgs.add", [v, v, to, &self.scalars], words, self.size.div_ceil(64))
    }

    /// `to = factor from`.
    fn scaled(&self, from: &D::Buffer, to: &D::Buffer, factor: f64) -> Launch<D::Buffer> {
        let words = [self.size as u32, 0, 0, (factor as f32).to_bits(), 0, 0];
        self.launch("lbfgs.scaled", [from, from, to, &self.scalars], words, self.size.div_ceil(64))
    }

    /// `v = factor v`. By itself: a launch reads and writes a buffer through one binding, or the order of launches is lost on some drivers.
    fn rescaled(&self, v: &D::Buffer, factor: f64) -> Launch<D::Buffer> {
        let words = [self.size as u32, 0, 0, (factor as f32).to_bits(), 0, 0];
        let buffers = [&self.slabs, &self.slabs, v, &self.scalars];
        self.launch("lbfgs.rescaled", buffers, words, self.size.div_ceil(64))
    }

    /// `<a, b>`, read back.
    fn product(&self, a: &D::Buffer, b: &D::Buffer) -> Result<f64> {
        self.run(&self.dot(a, b, 0))?;
        let mut value = [0.0f32];
        self.driver.read_numbers(&self.scalars, 0, &mut value)?;
        Ok(f64::from(value[0]))
    }
}

impl<D: Driver> Space for Device<'_, D> {
    type Vector = D::Buffer;

    fn vector(&mut self) -> Result<D::Buffer> {
        self.room.driver.buffer(self.room.size.max(1))
    }

    fn parameters(&mut self, to: &mut D::Buffer) -> Result<()> {
        self.room.run(&self.room.gather(|part| &part.theta, to))
    }

    fn gradient(&mut self, to: &mut D::Buffer) -> Result<()> {
        let mut launches = self.room.gather(|part| &part.gradient, to);
        launches.extend(self.room.gather(|part| &part.gradient, &self.room.first));
        self.room.run(&launches)
    }

    fn place(&mut self, x: &D::Buffer, p: &D::Buffer, a: f64) -> Result<()> {
        let room = self.room;
        let one = |part: &Part<D::Buffer>| {
            room.moved((x, part.start), (p, part.start), (&part.theta, 0), a, part.count)
        };
        let launches: Vec<_> = room.parts.iter().filter(|p| p.count > 0).map(one).collect();
        room.run(&launches)
    }

    fn evaluate(&mut self, p: &D::Buffer) -> Result<(f64, f64)> {
        let loss = (self.objective)()?;
        let room = self.room;
        room.run(&room.gather(|part| &part.gradient, &room.other))?;
        Ok((loss, room.product(&room.other, p)?))
    }

    fn subtract(&mut self, a: &D::Buffer, b: &D::Buffer, to: &mut D::Buffer) -> Result<()> {
        self.room.run(&[self.room.moved((a, 0), (b, 0), (to, 0), -1.0, self.room.size)])
    }

    fn dot(&mut self, a: &D::Buffer, b: &D::Buffer) -> Result<f64> {
        self.room.product(a, b)
    }

    /// Both loops are one run: their products stay on the device.
    fn direction(
        &mut self,
        g: &D::Buffer,
        pairs: &VecDeque<Pair<D::Buffer>>,
        gamma: f64,
        h: f64,
        q: &mut D::Buffer,
    ) -> Result<()> {
        let room = self.room;
        // A pair too short for single precision has no curvature.
        let rho = |pair: &Pair<D::Buffer>| {
            let rho = pair.rho();
            if (rho as f32).is_finite() { rho } else { 0.0 }
        };
        let mut all = vec![room.scaled(g, q, 1.0)];
        for (i, pair) in pairs.iter().enumerate().rev() {
            all.extend(room.dot(&pair.s, q, 1 + i));
            all.push(room.add(&pair.y, q, -rho(pair), [1 + i as u32, NONE]));
        }
        all.push(room.rescaled(q, gamma));
        let last = 1 + pairs.len();
        for (i, pair) in pairs.iter().enumerate() {
            all.extend(room.dot(&pair.y, q, last));
            all.push(room.add(&pair.s, q, rho(pair), [1 + i as u32, last as u32]));
        }
        all.push(room.rescaled(q, -h));
        room.run(&all)
    }
}
