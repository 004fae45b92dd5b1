//! What several devices that share a problem do with each other's sums between the parts of a pass or step.

use super::{GpuSession, Program, run};
use crate::backend::gpu::Driver;
use crate::backend::gpu::pass::{FLAGS, dynamic};
use crate::backend::gpu::slots::finite;
use crate::error::Result;

#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "such devices are CUDA's"))]
impl<D: Driver> GpuSession<'_, D> {
    /// Of a step whose gradient is there, what is left.
    pub(in crate::backend::gpu) fn follow(&mut self) -> Result<()> {
        let mut programs = std::mem::take(&mut self.programs);
        let done = run(&*self.driver, &mut programs, Program::Follow, || {
            let mut all = finite(&self.gradient, &self.pass.totals, FLAGS);
            all.extend(self.follow_launches());
            all
        });
        self.programs = programs;
        done?;
        self.steps += 1;
        Ok(())
    }

    /// Looks again whether the gradient is finite.
    pub(in crate::backend::gpu) fn flag(&mut self) -> Result<()> {
        run(&*self.driver, &mut self.programs, Program::Flags, || {
            finite(&self.gradient, &self.pass.totals, FLAGS)
        })
    }

    /// What follows for the losses from a look at all rows. `first`: the first of all rows is here, whose loss holds what the cost has
    /// beside the rows' losses.
    pub(in crate::backend::gpu) fn contrast(&mut self, first: bool) -> Result<()> {
        let launches = || self.pass.contrast().into_iter().collect();
        run(&*self.driver, &mut self.programs, Program::Between, launches)?;
        if first { Ok(()) } else { self.set_numbers(&[(dynamic::CONTRAST, 0.0)]) }
    }

    /// Whether the cost needs a look at all rows before the first loss.
    pub(in crate::backend::gpu) fn looks_first(&self) -> bool {
        self.pass.contrast().is_some()
    }

    /// What a pass leaves that is a sum over rows: totals, and with `gradient` the gradients.
    pub(in crate::backend::gpu) fn sums(&self, gradient: bool) -> Vec<D::Buffer> {
        let gradients = self.gradient.iter().filter(|_| gradient).map(|g| &g.buffer);
        [&self.pass.totals].into_iter().chain(gradients).cloned().collect()
    }

    /// What [`Self::rule_sums`] leaves.
    pub(in crate::backend::gpu) fn sums_of_rule(&self) -> Vec<D::Buffer> {
        [&self.pass.totals, self.pass.pulls(), self.pass.columns()].map(Clone::clone).to_vec()
    }

    /// The sums over no rows.
    pub(in crate::backend::gpu) fn clear(&self, sums: &[D::Buffer]) -> Result<()> {
        let clear = |b: &D::Buffer| self.driver.write(b, 0, &vec![0; self.driver.words(b)]);
        sums.iter().try_for_each(clear)
    }

    /// The device.
    pub(in crate::backend::gpu) fn device(&self) -> &str {
        self.driver.name()
    }
}
