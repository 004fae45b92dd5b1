//! The copies of the parameters that a session keeps, on the device.

use super::pass::{Held, dynamic, hold};
use super::{Driver, Launch};
use crate::backend::Slot;
use crate::error::Result;
use crate::parts::constraint::{self, Constraint};
use crate::parts::tensor::{Tensor, Tensors};
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// A program that a session runs again and again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Program {
    /// All tensors of one slot to another, exactly.
    Copy(usize, usize),
    /// A step towards another slot, of the tensors that learn.
    Blend(usize, usize),
    /// The constraints on a slot.
    Constrain(usize),
    /// Whether a slot is finite.
    Finite(usize),
}

/// All tensors of each slot; those that do not learn are the same in all.
pub(super) struct Slots<D: Driver> {
    driver: Arc<D>,
    slots: [Vec<Held<D::Buffer>>; Slot::COUNT],
    learn: Vec<String>,
    constraints: Vec<Constraint>,
    dynamic: D::Buffer,
    /// A flag a tensor, then one a constraint.
    flags: D::Buffer,
    /// Where polar factors are formed.
    room: D::Buffer,
    programs: RefCell<HashMap<Program, D::Recorded>>,
}

fn matrices(shape: &[usize]) -> (usize, usize, usize) {
    match *shape {
        [d, l] => (1, d, l),
        [m, d, l] => (m, d, l),
        _ => (0, 0, 0),
    }
}

/// Reads tensors back.
pub(super) fn read_all<D: Driver>(driver: &D, held: &[Held<D::Buffer>]) -> Result<Tensors<f32>> {
    let one = |h: &Held<D::Buffer>| {
        let mut data = vec![0.0f32; h.len()];
        driver.read_numbers(&h.buffer, 0, &mut data)?;
        Ok(Tensor::new(h.name.clone(), &h.shape, data))
    };
    Ok(Tensors { list: held.iter().map(one).collect::<Result<_>>()? })
}

/// Writes the tensors that are among those held.
pub(super) fn write_all<D: Driver>(
    driver: &D,
    held: &[Held<D::Buffer>],
    tensors: &Tensors<f32>,
) -> Result<()> {
    for t in &tensors.list {
        if let Some(h) = held.iter().find(|h| h.name == t.name) {
            driver.write_numbers(&h.buffer, 0, &t.data)?;
        }
    }
    Ok(())
}

impl<D: Driver> Slots<D> {
    /// All slots filled with `tensors`. `dynamic`: the step's numbers.
    pub fn new(
        driver: Arc<D>,
        tensors: &Tensors<f64>,
        learn: &[String],
        constraints: &[Constraint],
        dynamic: &D::Buffer,
    ) -> Result<Self> {
        let mut slots = Vec::with_capacity(Slot::COUNT);
        for _ in 0..Slot::COUNT {
            slots.push(hold(&*driver, tensors)?);
        }
        let polar = constraints.contains(&Constraint::Polar);
        let (m, d, s) = tensors.get("omegas").map_or((0, 0, 0), |t| matrices(&t.shape));
        let room = if polar { m * (2 * d * s + s * s) } else { 0 };
        Ok(Slots {
            slots: slots.try_into().unwrap_or_else(|_| unreachable!("as many as there are slots")),
            learn: learn.to_vec(),
            constraints: constraints.to_vec(),
            dynamic: dynamic.clone(),
            flags: driver.shared(tensors.list.len() + 1)?,
            room: driver.buffer(room.max(1))?,
            programs: RefCell::default(),
            driver,
        })
    }

    /// The tensors of a slot.
    pub fn of(&self, slot: Slot) -> &[Held<D::Buffer>] {
        &self.slots[slot as usize]
    }

    fn launch(
        &self,
        kernel: &'static str,
        buffers: &[&D::Buffer],
        words: &[u32],
        groups: usize,
    ) -> Launch<D::Buffer> {
        let most = self.driver.limits().groups as usize;
        Launch {
            kernel,
            constants: Vec::new(),
            buffers: buffers.iter().map(|b| (*b).clone()).collect(),
            words: words.to_vec(),
            groups: [groups.clamp(1, most) as u32, 1, 1],
        }
    }

    fn run(
        &self,
        program: Program,
        launches: impl FnOnce() -> Vec<Launch<D::Buffer>>,
    ) -> Result<()> {
        let mut programs = self.programs.borrow_mut();
        let recorded = match programs.entry(program) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.driver.record(&launches())?),
        };
        self.driver.run(recorded)
    }

    fn learns(&self, held: &Held<D::Buffer>) -> bool {
        self.learn.contains(&held.name)
    }

    /// Launches that copy a slot exactly.
    pub fn copy(&self, to: Slot, from: Slot) -> Vec<Launch<D::Buffer>> {
        let one = |(t, f): (&Held<D::Buffer>, &Held<D::Buffer>)| {
            let buffers = [&t.buffer, &f.buffer, &self.dynamic];
            self.launch("blend.copy", &buffers, &[t.len() as u32], t.len().div_ceil(64))
        };
        self.of(to).iter().zip(self.of(from)).map(one).collect()
    }

    /// Whether the host may have to finish what a constraint began.
    pub fn settles(&self) -> bool {
        self.constraints.contains(&Constraint::Polar)
    }

    /// `to <- to + a (from - to)` on the tensors that learn; `a = 1` copies all tensors exactly.
    pub fn blend(&self, to: Slot, from: Slot, a: f64) -> Result<()> {
        if to == from {
            return Ok(());
        }
        if a == 1.0 {
            return self.run(Program::Copy(to as usize, from as usize), || self.copy(to, from));
        }
        self.driver.write_numbers(&self.dynamic, dynamic::BLEND, &[a as f32])?;
        self.run(Program::Blend(to as usize, from as usize), || {
            (self.of(to).iter().zip(self.of(from)))
                .filter(|(t, _)| self.learns(t))
                .map(|(t, f)| {
                    let buffers = [&t.buffer, &f.buffer, &self.dynamic];
                    self.launch("blend.blend", &buffers, &[t.len() as u32], t.len().div_ceil(64))
                })
                .collect()
        })
    }

    /// Launches of the constraints on a slot. Where a polar factor is not found by iteration the flag behind the tensors' is set.
    pub fn constraints(&self, slot: Slot) -> Vec<Launch<D::Buffer>> {
        let flag = self.of(slot).len() as u32;
        let mut all = Vec::new();
        for constraint in &self.constraints {
            for held in self.of(slot).iter().filter(|h| self.learns(h)) {
                let (m, d, l) = matrices(&held.shape);
                let name = held.name.as_str();
                let wanted = match constraint {
                    Constraint::TraceNormalise => d as f32,
                    _ => 1.0,
                };
                let clamp = |least: f32, most: f32| {
                    let words = [held.len() as u32, least.to_bits(), most.to_bits()];
                    self.launch("clamp", &[&held.buffer], &words, held.len().div_ceil(64))
                };
                match (constraint, name) {
                    (Constraint::Polar, "omegas") => {
                        let words = [m as u32, d as u32, l as u32, flag];
                        let buffers = [&held.buffer, &self.room, &self.flags];
                        all.push(self.launch("polar", &buffers, &words, m));
                    }
                    (
                        Constraint::TraceNormalise | Constraint::NormalizeOmega,
                        "omega" | "omegas",
                    ) => {
                        let words = [m as u32, (d * l) as u32, wanted.to_bits()];
                        all.push(self.launch("trace", &[&held.buffer], &words, m));
                    }
                    (Constraint::Clamp { tensor, floor }, own) if *tensor == own => {
                        all.push(clamp(*floor as f32, f32::MAX));
                    }
                    (Constraint::ClipReasonings, "reasonings") => all.push(clamp(0.0, 1.0)),
                    _ => {}
                }
            }
        }
        all
    }

    /// Whether a slot has constraints at all.
    pub fn is_constrained(&self) -> bool {
        !self.constraints(Slot::Current).is_empty()
    }

    /// Applies the constraints to a slot.
    pub fn constrain(&self, slot: Slot) -> Result<()> {
        if self.is_constrained() {
            self.run(Program::Constrain(slot as usize), || self.constraints(slot))?;
        }
        self.settle(slot)
    }

    /// What a constraint left to the host after it was run on a slot.
    pub fn settle(&self, slot: Slot) -> Result<()> {
        if !self.settles() {
            return Ok(());
        }
        let at = self.of(slot).len();
        let mut flag = [0.0f32];
        self.driver.read_numbers(&self.flags, at, &mut flag)?;
        if flag[0] == 0.0 {
            return Ok(());
        }
        self.driver.write_numbers(&self.flags, at, &[0.0])?;
        let mut tensors = read_all(&*self.driver, self.of(slot))?;
        for t in tensors.list.iter_mut().filter(|t| self.learn.contains(&t.name)) {
            constraint::apply(Constraint::Polar, t);
        }
        write_all(&*self.driver, self.of(slot), &tensors)
    }

    /// The first tensor of a slot that is not finite.
    pub fn not_finite(&self, slot: Slot) -> Result<Option<String>> {
        let held = self.of(slot);
        self.run(Program::Finite(slot as usize), || finite(held, &self.flags, 0))?;
        let mut flags = vec![0.0f32; held.len()];
        self.driver.read_numbers(&self.flags, 0, &mut flags)?;
        Ok(first_of(held, &flags))
    }
}

/// The name of the first tensor whose flag is set.
pub(super) fn first_of<B>(held: &[Held<B>], flags: &[f32]) -> Option<String> {
    held.iter().zip(flags).find(|(_, f)| **f != 0.0).map(|(h, _)| h.name.clone())
}

/// Launches that set a flag for each tensor that is not finite, from word `at` on.
pub(super) fn finite<B: Clone>(held: &[Held<B>], flags: &B, at: usize) -> Vec<Launch<B>> {
    let one = |(i, h): (usize, &Held<B>)| Launch {
        kernel: "finite",
        constants: Vec::new(),
        buffers: vec![h.buffer.clone(), flags.clone()],
        words: vec![h.len() as u32, (at + i) as u32],
        groups: [1, 1, 1],
    };
    held.iter().enumerate().map(one).collect()
}
