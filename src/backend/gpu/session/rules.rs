//! Updates without a gradient: Hebbian moves, medoids.

use super::GpuSession;
use crate::backend::gpu::Driver;
use crate::backend::gpu::pass::{Batch, Part, dynamic};
use crate::backend::{Rows, Slot};
use crate::error::Result;

impl<D: Driver> GpuSession<'_, D> {
    /// Which prototypes answer for any row, by the counts that the chunks left.
    pub(super) fn answering(&self) -> Result<Vec<bool>> {
        let mut counts = vec![0.0f32; self.pass.p];
        self.driver.read_numbers(self.pass.columns(), self.pass.p, &mut counts)?;
        Ok(counts.iter().map(|c| *c > 0.0).collect())
    }

    /// Of each prototype the row nearest to the weighted mean of its rows, whose sums the chunks left.
    pub(super) fn medoids_by_mean(
        &self,
        batch: &Batch<'_, D::Buffer>,
    ) -> Result<Vec<Option<usize>>> {
        let p = self.pass.p;
        let answering = self.answering()?;
        let (least, chosen) = (self.driver.buffer(p)?, self.driver.buffer(p)?);
        self.driver.run_once(&[self.pass.medoid_means()])?;
        let current = self.slots.of(Slot::Current);
        for chunk in self.pass.chunks(batch.n) {
            let found = (&least, &chosen);
            self.driver.run_once(&self.pass.medoid_choose(current, batch, chunk, found))?;
        }
        let mut rows = vec![0; p];
        self.driver.read(&chosen, 0, &mut rows)?;
        let rows = rows.into_iter().zip(answering);
        Ok(rows.map(|(r, there)| (there && r != u32::MAX).then_some(r as usize)).collect())
    }

    /// Of each prototype the row of its class with the least score, all rows tried p at a time.
    pub(super) fn medoids_by_score(
        &self,
        batch: &Batch<'_, D::Buffer>,
    ) -> Result<Vec<Option<usize>>> {
        let p = self.pass.p;
        let labels = &self.pass.about().prototype_labels;
        let weight = |i: usize| self.row_weights.as_ref().is_none_or(|w| w[i] > 0.0);
        let classes = self.pass.about().classes as u32;
        let candidates: Vec<Vec<u32>> = (0..classes)
            .map(|c| {
                let rows = 0..batch.n as u32;
                let mine = |i: &u32| self.training.samples.codes[*i as usize] == c;
                rows.filter(|i| mine(i) && weight(*i as usize)).collect()
            })
            .collect();
        // A block of scores for each p candidates of a class, and again for each prototype with matrices of its own.
        let own = self.pass.has_own_maps();
        let mut blocks = Vec::new();
        for (c, rows) in candidates.iter().enumerate() {
            let members: Vec<usize> = (0..p).filter(|j| labels[*j] == c as u32).collect();
            let asking = if own { members.len() } else { members.len().min(1) };
            for of in &members[..asking] {
                blocks.extend(rows.chunks(p).map(|rows| (c, *of, rows)));
            }
        }
        let scores = self.driver.buffer((blocks.len() * p * p).max(1))?;
        let current = self.slots.of(Slot::Current);
        for (base, n) in self.pass.chunks(batch.n) {
            let part = Part { base, x_base: base, n };
            self.driver.run_once(&self.pass.rule_chunk(current, batch, part))?;
            for (i, (_, of, rows)) in blocks.iter().enumerate() {
                let mut numbers = rows.to_vec();
                numbers.resize(p, rows[0]);
                let numbers = self.driver.with_words(&numbers)?;
                let offsets = self.driver.with_words(&self.pass.offsets_of(*of))?;
                let launches = self.pass.medoid_scores(
                    current,
                    batch.x,
                    (base, n),
                    (&numbers, &offsets),
                    (&scores, i * p * p),
                );
                self.driver.run_once(&launches)?;
            }
        }
        let mut values = vec![0.0f32; blocks.len() * p * p];
        self.driver.read_numbers(&scores, 0, &mut values)?;
        let answering = self.answering()?;
        let mut best: Vec<Option<(f32, usize)>> = vec![None; p];
        for ((c, of, rows), values) in blocks.iter().zip(values.chunks_exact(p * p)) {
            for j in (0..p).filter(|j| labels[*j] == *c as u32 && (!own || j == of)) {
                for (row, score) in rows.iter().zip(&values[j * p..]) {
                    if best[j].is_none_or(|(least, _)| *score < least) {
                        best[j] = Some((*score, *row as usize));
                    }
                }
            }
        }
        Ok((best.into_iter().zip(answering))
            .map(|(b, there)| b.filter(|_| there).map(|(_, row)| row))
            .collect())
    }

    pub(super) fn begin_rule(&mut self) -> Result<()> {
        self.set_numbers(&[(dynamic::SCALE, 1.0)])?;
        if self.training.x.is_none() { self.reserve_stream() } else { Ok(()) }
    }

    pub(super) fn prototypes(&self) -> &D::Buffer {
        let name = self.pass.about().composition.prototypes;
        let current = self.slots.of(Slot::Current);
        &current.iter().find(|t| t.name == name).expect("prototypes").buffer
    }

    /// The sums that an update rule goes by: of all training rows that are here.
    pub(in crate::backend::gpu) fn rule_sums(&mut self) -> Result<()> {
        self.begin_rule()?;
        let current = self.slots.of(Slot::Current);
        let n = self.training.n;
        let batch = self.batch_of(&Rows::TRAINING, &self.training, n);
        for (base, count) in self.pass.chunks(n) {
            let part = self.part(&Rows::TRAINING, base, count)?;
            self.driver.run_once(&self.pass.rule_chunk(current, &batch, part))?;
        }
        Ok(())
    }

    /// Moves the prototypes by these sums.
    pub(in crate::backend::gpu) fn rule_move(&self, rate: f64) -> Result<()> {
        self.set_numbers(&[(dynamic::RATE, rate)])?;
        let counts = self.driver.buffer(self.pass.p)?;
        let mut values = vec![0.0f32; self.pass.p];
        self.driver.read_numbers(self.pass.columns(), self.pass.p, &mut values)?;
        self.driver.write_numbers(&counts, 0, &values)?;
        self.driver.run_once(&[self.pass.hebbian_move(self.prototypes(), &counts)])
    }
}
