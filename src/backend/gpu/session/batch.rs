//! Rows where the kernels look for them: those of a batch, brought together, and streamed ones.

use super::{Data, GpuSession, Program};
use crate::backend::Rows;
use crate::backend::gpu::pass::{Batch, Part};
use crate::backend::gpu::{Driver, Launch};
use crate::error::Result;

impl<'a, D: Driver> GpuSession<'a, D> {
    /// One chunk of rows; those that do not stay on the device are brought there.
    pub(super) fn part(&self, rows: &Rows<'_>, base: usize, n: usize) -> Result<Part> {
        let data = self.data(rows.set);
        if data.x.is_some() || rows.indices.is_some() {
            return Ok(Part { base, x_base: base, n });
        }
        let [.., own] = self.stream.as_ref().expect("reserved before");
        let first = data.first + base;
        self.pass.write_rows(data.samples.features, first..first + n, own)?;
        Ok(Part { base, x_base: 0, n })
    }

    pub(super) fn reserve_stream(&mut self) -> Result<()> {
        if self.stream.is_none() {
            let words = self.pass.chunk * self.pass.d;
            let stage = || self.driver.stage(words);
            self.stream = Some([stage()?, stage()?, self.driver.buffer(words)?]);
        }
        Ok(())
    }

    /// The rows where the kernels look for them.
    pub(super) fn batch_of<'s>(
        &'s self,
        rows: &Rows<'_>,
        data: &'s Data<'a, D>,
        n: usize,
    ) -> Batch<'s, D::Buffer> {
        let whole = rows.indices.is_none() && rows.weights.is_none();
        match (&self.batch, whole) {
            (Some([x, _, codes, factors]), false) => {
                // Without indices all rows in their order, where they are.
                let at = |own: &'s D::Buffer, all: &'s D::Buffer| {
                    if rows.indices.is_some() { own } else { all }
                };
                let all = data.x.as_ref().or(self.stream.as_ref().map(|s| &s[2])).unwrap_or(x);
                Batch { x: at(x, all), codes: at(codes, &data.codes), factors, n }
            }
            _ => {
                let streamed = self.stream.as_ref().map(|s| &s[2]);
                let x = data.x.as_ref().or(streamed).expect("rows on the device or on their way");
                Batch { x, codes: &data.codes, factors: &data.factors, n }
            }
        }
    }

    /// Brings the rows of a batch together; returns the sum of the factors of the target's rows.
    pub(super) fn load_batch(&self, rows: &Rows<'_>, factor: &dyn Fn(usize) -> f64) -> Result<f64> {
        let targets = self.name_batch(rows, factor)?;
        if let Some(gather) = self.gather(rows) {
            self.driver.run_once(&[gather])?;
        }
        Ok(targets)
    }

    /// The launch that gathers the features of a batch that was named, where they stay on the device.
    pub(super) fn gather(&self, rows: &Rows<'_>) -> Option<Launch<D::Buffer>> {
        let all = self.data(rows.set).x.as_ref()?;
        let [x, numbers, ..] = self.batch.as_ref()?;
        Some(self.pass.take(all, numbers, x, rows.indices?.len()))
    }

    /// Writes the numbers, classes and factors of the rows of a batch (and their features, where those are not on the device).
    pub(super) fn name_batch(&self, rows: &Rows<'_>, factor: &dyn Fn(usize) -> f64) -> Result<f64> {
        let data = self.data(rows.set);
        let n = rows.indices.map_or(data.n, <[u32]>::len);
        let [x, numbers, codes, factors] = self.batch.as_ref().expect("reserved before");
        let factor: Vec<f32> = (0..n).map(|k| factor(k) as f32).collect();
        self.driver.write_numbers(factors, 0, &factor)?;
        let code = |k: usize| data.samples.codes[rows.indices.map_or(k, |r| r[k] as usize)];
        if let Some(indices) = rows.indices {
            let mine: Vec<u32> = (0..n).map(code).collect();
            self.driver.write(codes, 0, &mine)?;
            match &data.x {
                Some(_) => self.driver.write(numbers, 0, indices)?,
                None => {
                    let rows = indices.iter().map(|i| data.first + *i as usize);
                    self.pass.write_rows(data.samples.features, rows, x)?;
                }
            }
        }
        let target = self.pass.about().target;
        Ok((0..n).filter(|k| code(*k) == target).map(|k| f64::from(factor[k])).sum())
    }

    pub(super) fn reserve_batch(&mut self, rows: &Rows<'_>) -> Result<()> {
        if self.data(rows.set).x.is_none() {
            self.reserve_stream()?;
        }
        let n = rows.indices.map_or(self.data(rows.set).n, <[u32]>::len);
        let d = self.pass.d;
        // Without indices the rows are where they are.
        let words = if rows.indices.is_some() { n * d } else { 1 };
        let fits =
            |b: &[D::Buffer; 4]| self.driver.words(&b[3]) >= n && self.driver.words(&b[0]) >= words;
        if self.batch.as_ref().is_none_or(|b| !fits(b)) {
            let more = |count: usize| self.driver.buffer(count.max(1));
            self.batch = Some([more(words)?, more(n)?, more(n)?, more(n)?]);
            // Programs know the buffers that they were recorded with.
            self.programs.retain(|p, _| {
                let batch = matches!(
                    p,
                    Program::Pass { rows: 2.., .. }
                        | Program::Chunk { set: 2.., .. }
                        | Program::Step { whole: false, .. }
                );
                !batch
            });
        }
        Ok(())
    }
}
