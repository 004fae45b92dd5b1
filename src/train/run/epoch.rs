//! One iteration: its batches, their gradients, and the updates.

use super::{LARGEST_SCALE, Mode, Run};
use crate::backend::{Rows, Set, Slot};
use crate::error::Result;
use crate::parts::composition::Precision;
use crate::parts::optimizer::clip;
use crate::parts::optimizer::prox::prox_l1_l2;
use crate::parts::regulariser;
use crate::parts::tensor::{Tensor, Tensors};
use crate::train::batch;
use crate::train::options::Weighting;

/// Good steps after which the loss scale is doubled.
const GOOD_STEPS: u32 = 2000;

/// How an iteration ended.
pub(super) enum Epoch {
    /// All batches done; the loss of the iteration.
    Done(f64),
    /// The stop flag was seen after some batch.
    Interrupted,
}

impl Run<'_> {
    /// The batches of one iteration.
    pub(super) fn epoch(&mut self, i: usize) -> Result<Epoch> {
        let full = self.batch_size >= self.n;
        let seed = self.options.random_seed;
        let order = (!full).then(|| batch::permutation(self.n, seed, i as u64));
        let batches = self.n.div_ceil(self.batch_size);
        if let Some(stop) = &self.options.stop
            && stop.load(std::sync::atomic::Ordering::Relaxed)
            && self.mode == Mode::Fit
        {
            return Ok(Epoch::Interrupted);
        }
        while self.counters.batch < batches {
            let b = self.counters.batch;
            let low = b * self.batch_size;
            let high = (low + self.batch_size).min(self.n);
            let mut indices = order.as_ref().map(|o| o[low..high].to_vec());
            if self.options.weighting == Weighting::Resample
                && let Some(w) = &self.row_weights
            {
                let rows = indices.unwrap_or_else(|| (0..self.n as u32).collect());
                let step = (i * batches + b) as u64;
                indices = Some(batch::resample(&rows, w, seed, step));
            }
            let rows = if batches == 1 { 1.0 } else { (high - low) as f64 };
            // A whole iteration's steps are undone together, should one of them leave the range of numbers.
            let before = batches == 1 || self.deferred.is_empty();
            if self.defer(indices.as_deref(), before)? {
                self.deferred.push(rows);
            } else {
                self.collect(i)?;
                let loss = self.step(i, indices.as_deref(), high - low)?;
                self.counters.epoch_loss += loss * rows;
                self.counters.epoch_rows += rows;
            }
            self.counters.batch += 1;
            if self.counters.batch < batches
                && let Some(stop) = &self.options.stop
                && stop.load(std::sync::atomic::Ordering::Relaxed)
            {
                self.collect(i)?;
                return Ok(Epoch::Interrupted);
            }
        }
        self.collect(i)?;
        // One batch: its loss to the last bit, without a multiplication and a division by its rows.
        let loss = match batches {
            1 => self.counters.epoch_loss,
            _ => self.counters.epoch_loss / self.counters.epoch_rows,
        };
        (self.counters.batch, self.counters.epoch_loss, self.counters.epoch_rows) = (0, 0.0, 0.0);
        Ok(Epoch::Done(loss))
    }

    /// One batch as one program of the device, its loss left there, where nothing between gradient and update is the host's.
    fn defer(&mut self, indices: Option<&[u32]>, before: bool) -> Result<bool> {
        let o = self.options;
        let plain = self.learns
            && !self.rule
            // The first gradient is looked at.
            && self.counters.updates > 0
            && self.accumulate == 1
            && o.precision != Precision::F16
            && o.clip_norm.is_none()
            && o.per_group_clip.is_empty()
            && self.leaks.is_empty()
            && !self.leaking_range
            && o.diversity_weight == 0.0
            && o.l1_weight + o.l2_weight == 0.0
            && o.curriculum.is_none()
            && self.row_clip.is_none();
        if !plain {
            return Ok(false);
        }
        let rate = self.schedule.rate(self.counters.updates);
        let multiplier = |tensor: &str| self.model.multiplier(tensor, o.lr);
        let rows = Rows { set: Set::Training, indices, weights: None };
        if !self.session.step(rows, rate, &multiplier, before)? {
            return Ok(false);
        }
        self.updated(rate)?;
        Ok(true)
    }

    /// The losses that are still on the device.
    fn collect(&mut self, iteration: usize) -> Result<()> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        let (losses, bad) = self.session.kept_losses()?;
        let first = losses.iter().position(|l| !l.is_finite());
        let what = match (first, bad) {
            (Some(_), _) => Some("the loss".to_string()),
            (None, bad) => bad,
        };
        if let Some(what) = what {
            self.session.blend(Slot::Current, Slot::Before, 1.0)?;
            return Err(self.diverged(iteration, what, "; scale the data or lower lr".into()));
        }
        for (loss, rows) in losses.iter().zip(self.deferred.drain(..)) {
            self.counters.epoch_loss += loss * rows;
            self.counters.epoch_rows += rows;
        }
        Ok(())
    }

    /// What follows an update: the next range, counters, averages.
    fn updated(&mut self, rate: f64) -> Result<()> {
        let options = self.options;
        self.anneal()?;
        self.counters.updates += 1;
        self.counters.moved += u64::from(rate > 0.0);
        if let Some(look) = options.lookahead
            && self.counters.updates.is_multiple_of(look.sync_period as u64)
        {
            self.session.blend(Slot::Slow, Slot::Current, look.slow_step_size)?;
            self.session.constrain(Slot::Slow)?;
            self.session.blend(Slot::Current, Slot::Slow, 1.0)?;
            self.counters.synchronised += 1;
        }
        if let Some(a) = options.ema_decay {
            self.session.blend(Slot::Average, Slot::Current, 1.0 - a)?;
        }
        Ok(())
    }

    /// One batch: gradient, and an update when the group of accumulated batches is complete.
    fn step(&mut self, iteration: usize, indices: Option<&[u32]>, count: usize) -> Result<f64> {
        let options = self.options;
        let mut rows = Rows { set: Set::Training, indices, weights: None };
        self.session.blend(Slot::Before, Slot::Current, 1.0)?;
        if self.rule {
            let loss = self.session.rule(rows, options.lr)?;
            self.check_loss(iteration, loss, rows)?;
            self.check_update(iteration)?;
            self.counters.updates += 1;
            self.counters.moved += 1;
            return Ok(loss);
        }
        if !self.learns {
            let loss = self.session.loss(Slot::Current, rows)?;
            self.check_loss(iteration, loss, rows)?;
            return Ok(loss);
        }

        // Row weights that depend on the step: the curriculum's, and the clipping of DP-SGD.
        let base = |k: usize| -> f64 {
            let row = indices.map_or(k, |rows| rows[k] as usize);
            match (&self.row_weights, options.weighting) {
                (Some(w), Weighting::Loss) => w[row],
                _ => 1.0,
            }
        };
        let mut weights: Option<Vec<f64>> = None;
        if let Some(curriculum) = &options.curriculum {
            let losses = self.session.row_losses(rows)?;
            let mut w = curriculum.weights(&losses, iteration, options.max_iter);
            for (k, w) in w.iter_mut().enumerate() {
                *w *= base(k);
            }
            // The objective is sum(w l)/sum(w); the session divides by the number of rows.
            let factor = w.len() as f64 / (w.iter().sum::<f64>() + 1e-10);
            w.iter_mut().for_each(|w| *w *= factor);
            weights = Some(w);
        }
        let mut clipped_loss = None;
        if let Some(c) = self.row_clip {
            clipped_loss = Some(self.session.loss(Slot::Current, rows)?);
            let norms = self.session.row_gradient_norms(rows)?;
            let clip = |(k, norm): (usize, &f64)| {
                let weighted = base(k) * norm;
                base(k) * if weighted > c { c / weighted } else { 1.0 }
            };
            weights = Some(norms.iter().enumerate().map(clip).collect());
        }
        rows.weights = weights.as_deref();

        let mut loss = self.session.gradient(rows, self.counters.scale)?;
        if let Some(unclipped) = clipped_loss {
            loss = unclipped;
        }
        self.check_loss(iteration, loss, rows)?;
        if let Some(tensor) = self.session.gradient_not_finite()? {
            if options.precision == Precision::F16 && self.counters.scale > 1.0 {
                // The scaled gradient left the range of f16: skip the update and scale less.
                self.counters.scale = (self.counters.scale / 2.0).max(1.0);
                self.counters.good_steps = 0;
                return Ok(loss);
            }
            return Err(self.diverged(
                iteration,
                format!("the gradient of {tensor}"),
                String::new(),
            ));
        }
        if options.precision == Precision::F16 {
            self.counters.good_steps += 1;
            if self.counters.good_steps >= GOOD_STEPS {
                self.counters.scale = (self.counters.scale * 2.0).min(LARGEST_SCALE);
                self.counters.good_steps = 0;
            }
        }
        if options.diversity_weight > 0.0 {
            loss += self.add_diversity()?;
        }
        if self.counters.updates == 0
            && self.record.loss_history.is_empty()
            && self.session.read_gradient()?.list.iter().all(|t| t.data.iter().all(|g| *g == 0.0))
        {
            self.record.warnings.push(
                "the first gradient is zero: nothing is learned from here; scale the data or start elsewhere"
                    .into(),
            );
        }

        if self.accumulate > 1 {
            // The running mean weights batches by their rows; equal batches: 1/(j+1).
            self.counters.accumulated_rows += count as f64;
            self.counters.accumulated_batches += 1;
            self.session.accumulate(count as f64 / self.counters.accumulated_rows)?;
            if self.counters.accumulated_batches < self.accumulate {
                return Ok(loss);
            }
            self.session.take_accumulated()?;
            (self.counters.accumulated_rows, self.counters.accumulated_batches) = (0.0, 0);
        }
        let leaked = self.clip()?;
        if let (true, Some(a)) = (self.leaking_range, self.anneal) {
            let gradient = self.session.read_gradient()?;
            self.counters.range = self.counters.range.map(|r| r + gradient.values(a.tensor)[0]);
        }

        let rate = self.schedule.rate(self.counters.updates);
        let multiplier = |tensor: &str| self.model.multiplier(tensor, options.lr);
        self.session.update(rate, &multiplier, rows, loss)?;
        if let Some(gradient) = leaked {
            let mut tensors = self.session.read(Slot::Current)?;
            for g in &gradient.list {
                let values = tensors.values_mut(&g.name);
                values.iter_mut().zip(&g.data).for_each(|(v, g)| *v += g);
            }
            self.session.write(Slot::Current, &tensors)?;
            self.session.constrain(Slot::Current)?;
        }
        if options.l1_weight + options.l2_weight > 0.0
            && !options.freeze_params.iter().any(|name| name == "relevances")
        {
            let mut tensors = self.session.read(Slot::Current)?;
            prox_l1_l2(
                tensors.values_mut("relevances"),
                options.l1_weight,
                options.l2_weight,
                rate,
            );
            self.session.write(Slot::Current, &tensors)?;
        }
        self.check_update(iteration)?;
        self.updated(rate)?;
        Ok(loss)
    }

    /// The ranks' range takes its next value, in all copies that go on from here.
    fn anneal(&mut self) -> Result<()> {
        let (Some(a), Some(range)) = (self.anneal, self.counters.range) else { return Ok(()) };
        let next = (range * self.counters.range_decay.unwrap_or(1.0)).max(a.floor);
        self.counters.range = Some(next);
        let next = Tensors { list: vec![Tensor::new(a.tensor, &[], vec![next])] };
        for slot in [Slot::Current, Slot::Slow, Slot::Average] {
            self.session.write(slot, &next)?;
        }
        Ok(())
    }

    /// Adds the prototype diversity term to the gradient; returns its share of the loss.
    fn add_diversity(&mut self) -> Result<f64> {
        let (weight, sigma) = (self.options.diversity_weight, self.options.diversity_sigma);
        let name = self.model.prototypes();
        let tensors = self.session.read(Slot::Current)?;
        let d = self.centre.len();
        let (loss, gradient) =
            regulariser::diversity(tensors.values(name), d, self.prototype_labels, sigma);
        let mut total = self.session.read_gradient()?;
        if let Some(t) = total.get_mut(name) {
            t.data.iter_mut().zip(&gradient).for_each(|(t, g)| *t += weight * g);
            self.session.write_gradient(&total)?;
        }
        Ok(weight * loss)
    }

    /// Clips the gradient, tensor by tensor and then as a whole; returns the frozen tensors' raw gradient if it leaks.
    fn clip(&mut self) -> Result<Option<Tensors<f64>>> {
        let options = self.options;
        if options.clip_norm.is_none() && options.per_group_clip.is_empty() && self.leaks.is_empty()
        {
            return Ok(None);
        }
        let gradient = self.session.read_gradient()?;
        let (leaked, mut trained): (Vec<_>, Vec<_>) = gradient.list.into_iter().partition(|t| {
            self.leaks.contains(&t.name) || Some(t.name.as_str()) == self.anneal.map(|a| a.tensor)
        });
        let leaked = Tensors { list: leaked };
        let range = self.anneal.map(|a| a.tensor);
        let mut gradient = Tensors { list: std::mem::take(&mut trained) };
        if !options.per_group_clip.is_empty() {
            let groups: Vec<(String, f64)> = options
                .per_group_clip
                .iter()
                .filter(|(name, _)| !options.freeze_params.contains(name))
                .map(|(name, c)| (name.clone(), *c))
                .collect();
            clip::clip_groups(&mut gradient, &groups)?;
        }
        if let Some(c) = options.clip_norm {
            clip::clip_global(&mut gradient, c);
        }
        let mut all = gradient.clone();
        all.list.extend(leaked.list.iter().cloned());
        self.session.write_gradient(&all)?;
        // The range takes its gradient with its own step.
        let list = leaked.list.into_iter().filter(|t| Some(t.name.as_str()) != range).collect();
        let leaked = Tensors { list };
        Ok((!leaked.is_empty()).then_some(leaked))
    }
}
