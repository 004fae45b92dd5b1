//! The loop. There is one: full batch is the case of one batch per iteration.

mod epoch;

use super::batch;
use super::checks::{check_range, refuse_gradient_options};
use super::observer::{Flow, Iteration, Observer};
use super::options::{FrozenUpdate, Training, Weighting};
use super::schedule::Schedule;
use super::warnings::{at_end, at_start};
use crate::backend::{Backend, Problem, Rows, Samples, Session, Slot};
use crate::data::scaling::StandardScaler;
use crate::data::{Dataset, Label};
use crate::error::{Error, Result};
use crate::model::start::{self, Given};
use crate::model::state::{Counters, Record, TrainingState};
use crate::model::{Fitted, Model, OneClass, Sizes};
use crate::parts::composition::{Anneal, Cooperation, Precision};
use crate::parts::regulariser;
use crate::parts::tensor::Tensors;
use epoch::Epoch;
use std::time::Instant;

/// Largest loss scale of f16 training; also where it starts.
const LARGEST_SCALE: f64 = 32768.0;
/// Row loss above which a soft model's gradient has faded (`-ln eps` is 23.03).
const SATURATED: f64 = 23.02;

/// What a run starts from.
pub(super) enum From<'a> {
    /// Nothing but what is given.
    Scratch(&'a Given),
    /// A fitted model or checkpoint.
    Fitted(&'a Fitted),
}

/// How a run ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mode {
    /// Iterations until a stopping rule says so.
    Fit,
    /// One step on the rows given.
    Partial,
}

pub(super) struct Job<'a> {
    pub model: &'a Model,
    pub options: &'a Training,
    pub data: &'a Dataset,
    pub validation: Option<&'a Dataset>,
    pub from: From<'a>,
    pub mode: Mode,
    pub backend: &'a dyn Backend,
    pub scaler: Option<StandardScaler>,
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Job<'_> {
    pub(super) fn run(self, observers: &mut [&mut dyn Observer]) -> Result<Fitted> {
        let Job { model, options, data, validation, from, mode, backend, scaler, extra } = self;
        let began = Instant::now();
        options.check()?;
        data.validate()?;
        let labels = data
            .labels
            .as_ref()
            .ok_or_else(|| Error::data(format!("{}: training needs labels", data.source)))?;

        // Classes: those of the data, or of the model that is continued.
        let (classes, codes): (Vec<Label>, Vec<u32>) = match &from {
            From::Scratch(_) => (labels.classes.clone(), labels.codes.clone()),
            From::Fitted(f) => (f.classes.clone(), labels.recode(&f.classes)?.codes),
        };
        if classes.len() < 2 && !model.row().is_one_class() {
            return Err(Error::data(format!(
                "{}: all rows have the label {}; at least two classes are needed",
                data.source,
                classes.first().map_or_else(String::new, Label::to_string)
            )));
        }
        let validation_codes = match validation {
            Some(v) => {
                v.validate()?;
                if v.features.columns() != data.features.columns() {
                    return Err(Error::shape(
                        "validation data",
                        format!("{} features", data.features.columns()),
                        v.features.columns(),
                    ));
                }
                let labels =
                    v.labels.as_ref().ok_or_else(|| Error::data("validation data needs labels"))?;
                Some(labels.recode(&classes)?.codes)
            }
            None => None,
        };
        let (n, d) = (data.features.rows(), data.features.columns());
        let row_weights = batch::row_weights(data, &classes, &codes, &options.class_weight)?;

        let mut warnings = Vec::new();
        let (start, centre) = match &from {
            From::Scratch(given) => {
                let centre = model.centre(&data.features);
                warnings.extend(check_range(data, &centre, options.precision)?);
                let start =
                    start::start(model, data, &classes, &codes, given, options.random_seed)?;
                warnings.extend(start.warnings.iter().cloned());
                (start, centre)
            }
            From::Fitted(f) => {
                if f.features() != d {
                    return Err(Error::shape(
                        &data.source,
                        format!("{} features", f.features()),
                        d,
                    ));
                }
                // In the order of the model's tensors, whatever order the state was read in.
                let mut tensors = f.tensors.clone();
                for t in f.state.iter().flat_map(|s| &s.current.list) {
                    tensors.insert(t.clone());
                }
                let start = start::Start {
                    tensors,
                    prototype_labels: f.prototype_labels.clone(),
                    target: f.target_code(),
                    warnings: Vec::new(),
                };
                warnings.extend(check_range(data, &f.centre, options.precision)?);
                (start, f.centre.clone())
            }
        };

        let sizes = Sizes { n, d, p: start.prototype_labels.len(), classes: classes.len() };
        let composition = model.compose(sizes)?;
        let learnable: Vec<String> =
            model.row().tensors.iter().map(|t| t.name.to_string()).collect();
        let frozen = &options.freeze_params;
        let range = composition.anneal.map(|a| a.tensor);
        for name in frozen.iter().chain(options.per_group_clip.keys()) {
            // The ranks' range is never trained: to freeze it changes nothing.
            if !learnable.contains(name) && range != Some(name) {
                let names: Vec<&str> = learnable.iter().map(String::as_str).collect();
                let what = if frozen.contains(name) { "freeze_params" } else { "per_group_clip" };
                return Err(Error::unknown(what, name, &names));
            }
        }
        let leaks = options.frozen_update == FrozenUpdate::RawGradient;
        let mut computed = learnable.clone();
        if leaks {
            computed.extend(range.map(String::from));
        }
        let train: Vec<String> =
            learnable.iter().filter(|t| !frozen.contains(t)).cloned().collect();
        let rule = composition.objective.is_rule();
        if rule {
            refuse_gradient_options(model, options)?;
        }
        if options.l1_weight + options.l2_weight > 0.0
            && !learnable.iter().any(|t| t == "relevances")
        {
            return Err(Error::parameter(
                "l1_weight, l2_weight",
                format!("act on relevances, which {} does not have", model.name()),
            ));
        }
        if options.diversity_weight > 0.0 && model.prototypes() == "components" {
            return Err(Error::parameter(
                "diversity_weight",
                format!(
                    "pushes prototypes of a class apart, and the components of {} belong to none",
                    model.name()
                ),
            ));
        }
        let spec = options.optimizer_spec()?;
        if spec.name() == "lbfgs" && options.batch_size.is_some_and(|b| b < n) {
            warnings.push(
                "lbfgs with mini-batches: its curvature pairs mix batches; full batch is better"
                    .into(),
            );
        }

        let batch_size = match mode {
            Mode::Fit => options.batch_size.unwrap_or(n).min(n),
            Mode::Partial => n,
        };
        let batches = n.div_ceil(batch_size);

        let mut session = backend.session(Problem {
            composition: &composition,
            training: Samples { features: &data.features, codes: &codes },
            validation: validation
                .zip(validation_codes.as_deref())
                .map(|(v, codes)| Samples { features: &v.features, codes }),
            row_weights: match options.weighting {
                Weighting::Loss => row_weights.clone(),
                Weighting::Resample => None,
            },
            classes: classes.len(),
            target: start.target,
            prototype_labels: &start.prototype_labels,
            centre: &centre,
            tensors: &start.tensors,
            learn: if leaks { &computed } else { &train },
            train: &train,
            precision: options.precision,
            optimizer: (!rule && !train.is_empty()).then_some((&spec, options.lr)),
            passes: match mode {
                Mode::Fit if batches == 1 => options.max_iter,
                Mode::Fit => 0,
                Mode::Partial => 1,
            },
        })?;

        let accumulate = options.gradient_accumulation_steps.unwrap_or(1);
        let total_updates = (options.max_iter as u64 * batches as u64).div_ceil(accumulate as u64);

        let mut record = Record::default();
        let mut counters = Counters { scale: 1.0, ..Counters::default() };
        if options.precision == Precision::F16 {
            counters.scale = LARGEST_SCALE;
        }
        if let From::Fitted(f) = &from {
            record = f.record.clone();
            warnings.splice(0..0, record.warnings.drain(..));
            if let Some(state) = &f.state {
                counters = state.counters.clone();
                session.write(Slot::Current, &state.current)?;
                for (slot, tensors) in [
                    (Slot::Slow, &state.slow),
                    (Slot::Average, &state.average),
                    (Slot::Best, &state.best),
                ] {
                    session.write(slot, tensors.as_ref().unwrap_or(&state.current))?;
                }
                if let Some(mean) = &state.accumulated {
                    session.set_accumulated(mean)?;
                }
                if !rule && !train.is_empty() {
                    session.restore_optimizer(&state.optimizer)?;
                }
            }
            if let (None, Some(a)) = (counters.range, composition.anneal) {
                counters.range = Some(f.tensors.values(a.tensor)[0]);
            }
            if counters.batch > 0 && mode == Mode::Partial {
                // The interrupted epoch is given up: its remaining batches are not those of this step.
                (counters.batch, counters.epoch_loss, counters.epoch_rows) = (0, 0.0, 0.0);
            }
        }
        if let Some(a) = composition.anneal {
            let first = *counters.range.get_or_insert(start.tensors.values(a.tensor)[0]);
            // A run that goes on keeps the factor it began with.
            let derived = || (a.floor / first).powf(1.0 / total_updates as f64);
            counters.range_decay.get_or_insert_with(|| a.decay.unwrap_or_else(derived));
            if a.floor == 0.0 {
                warnings.push(
                    "the ranks' range ends at 0: after one update the nearest takes all".into(),
                );
            }
        }
        record.device = backend.info().name;
        record.rows = n;
        record.data_crc32 = match options.checkpoint {
            Some(_) => data.crc32(),
            None => 0,
        };

        if record.loss_history.is_empty()
            && matches!(composition.cooperation, Cooperation::Posterior { .. })
        {
            let losses = session.row_losses(Rows::TRAINING)?;
            let share = losses.iter().filter(|l| **l > SATURATED).count() as f64 / n as f64;
            if share > 0.01 {
                warnings.push(format!(
                    "{:.0} % of the rows are too far from every prototype of their class to learn: raise sigma or scale the data (--standardize)",
                    share * 100.0
                ));
            }
        }
        if record.loss_history.is_empty() {
            warnings.extend(at_start(
                model,
                &composition,
                &start,
                data,
                (&codes, &classes),
                &centre,
                (backend, options.precision),
            )?);
        }
        record.warnings = warnings;

        let run = Run {
            model,
            options,
            classes: &classes,
            prototype_labels: &start.prototype_labels,
            centre: &centre,
            scaler,
            extra,
            feature_names: data.feature_names.clone(),
            schedule: if rule {
                Schedule::parse(None, &Default::default(), options.lr, 1)?
            } else {
                options.schedule(total_updates)?
            },
            session,
            counters,
            record,
            n,
            batch_size,
            accumulate,
            row_weights,
            rule,
            leaks: if leaks {
                frozen.iter().filter(|f| range != Some(f.as_str())).cloned().collect()
            } else {
                Vec::new()
            },
            anneal: composition.anneal,
            leaking_range: leaks && range.is_some(),
            deferred: Vec::new(),
            target: start.target,
            data_scale: data.features.deviations(&centre).into_iter().fold(0.0, f64::max),
            seconds_before: 0.0,
            began,
            mode,
            has_validation: validation.is_some(),
            learns: rule || !train.is_empty(),
            row_clip: match spec.name() {
                "dpsgd" => spec.kwargs().get("l2_norm_clip").and_then(|c| c.as_f64()),
                _ => None,
            },
        };
        run.train(observers)
    }
}

/// The state of one run.
struct Run<'a> {
    model: &'a Model,
    options: &'a Training,
    classes: &'a [Label],
    prototype_labels: &'a [u32],
    centre: &'a [f64],
    scaler: Option<StandardScaler>,
    extra: serde_json::Map<String, serde_json::Value>,
    feature_names: Vec<String>,
    schedule: Schedule,
    session: Box<dyn Session + 'a>,
    counters: Counters,
    record: Record,
    n: usize,
    batch_size: usize,
    accumulate: usize,
    row_weights: Option<Vec<f64>>,
    rule: bool,
    leaks: Vec<String>,
    data_scale: f64,
    seconds_before: f64,
    began: Instant,
    mode: Mode,
    has_validation: bool,
    learns: bool,
    anneal: Option<Anneal>,
    /// Whether the range receives its raw gradient (compatibility).
    leaking_range: bool,
    /// Rows of the steps whose losses are still on the device.
    deferred: Vec<f64>,
    target: u32,
    /// Norm to which DP-SGD clips each row's gradient.
    row_clip: Option<f64>,
}

impl Run<'_> {
    fn train(mut self, observers: &mut [&mut dyn Observer]) -> Result<Fitted> {
        self.seconds_before = self.record.seconds;
        let (options, d) = (self.options, self.centre.len());
        let last = match self.mode {
            Mode::Fit => options.max_iter,
            Mode::Partial => self.counters.iteration + 1,
        };
        if self.mode == Mode::Fit {
            for o in observers.iter_mut() {
                o.on_start(self.n, d, last);
            }
        }
        let mut stopped_by = "max_iter";
        if self.mode == Mode::Fit && self.finished_before() {
            // A checkpoint written at the very end: nothing is left to do.
            stopped_by = "";
        }
        while !stopped_by.is_empty() && self.counters.iteration < last {
            let i = self.counters.iteration;
            let loss = match self.epoch(i)? {
                Epoch::Done(loss) => loss,
                Epoch::Interrupted => {
                    stopped_by = "interrupt";
                    break;
                }
            };
            self.record.loss_history.push(loss);
            self.record.rate_history.push(self.last_rate());
            let validation = if self.has_validation {
                self.deploy()?;
                Some(self.session.loss(Slot::Deployed, Rows::VALIDATION)?)
            } else {
                None
            };
            self.record.validation_history.extend(validation);
            self.counters.iteration = i + 1;
            self.track_best(i, loss, validation)?;
            self.record.seconds = self.seconds_before + self.began.elapsed().as_secs_f64();
            self.record.seconds_history.push(self.record.seconds);

            let mut stop = false;
            if !observers.is_empty() {
                let session = &self.session;
                let report = Iteration {
                    iteration: i,
                    max_iter: last,
                    loss,
                    validation_loss: validation,
                    best_loss: self.record.best_loss.unwrap_or(f64::INFINITY),
                    learning_rate: self.last_rate(),
                    updates: self.counters.updates,
                    seconds: self.began.elapsed().as_secs_f64(),
                    prototype_labels: self.prototype_labels,
                    tensors: &|| session.read(Slot::Current),
                    gradient: &|| session.read_gradient(),
                };
                for o in observers.iter_mut() {
                    stop |= o.on_iteration(&report) == Flow::Stop;
                }
            }
            if self.mode == Mode::Partial {
                stopped_by = "partial_fit";
                break;
            }
            if let Some(reason) = self.should_stop() {
                self.record.converged = true;
                stopped_by = reason;
                break;
            }
            if stop {
                stopped_by = "observer";
                break;
            }
            if let Some(c) = &options.checkpoint
                && (i + 1).is_multiple_of(c.every)
                && i + 1 < last
            {
                self.record.stopped_by = String::new();
                let snapshot = self.fitted(false)?;
                snapshot.save(&c.path)?;
            }
        }
        if !stopped_by.is_empty() {
            self.record.stopped_by = stopped_by.into();
        }
        self.record.seconds = self.seconds_before + self.began.elapsed().as_secs_f64();
        let fitted = self.fitted(true)?;
        if let Some(c) = &options.checkpoint {
            fitted.save(&c.path)?;
        }
        for o in observers.iter_mut() {
            o.on_end(&fitted);
        }
        Ok(fitted)
    }

    /// Whether a run that is continued had already ended by itself.
    fn finished_before(&self) -> bool {
        self.record.converged && self.counters.iteration > 0
    }

    fn last_rate(&self) -> f64 {
        if self.rule {
            return self.options.lr;
        }
        match self.counters.updates {
            0 => self.schedule.rate(0),
            t => self.schedule.rate(t - 1),
        }
    }

    /// The weights that would be returned now, without `restore_best`, go to their slot.
    fn deploy(&mut self) -> Result<()> {
        let session = &mut self.session;
        match (self.options.ema_decay, self.options.lookahead) {
            (Some(_), _) => {
                session.blend(Slot::Deployed, Slot::Average, 1.0)?;
                session.constrain(Slot::Deployed)?;
            }
            (None, Some(look)) => {
                session.blend(Slot::Deployed, Slot::Slow, 1.0)?;
                if self.counters.synchronised == 0 && self.counters.updates > 0 {
                    session.blend(Slot::Deployed, Slot::Current, look.slow_step_size)?;
                }
                session.constrain(Slot::Deployed)?;
            }
            (None, None) => session.blend(Slot::Deployed, Slot::Current, 1.0)?,
        }
        Ok(())
    }

    fn averages(&self) -> bool {
        self.options.ema_decay.is_some() || self.options.lookahead.is_some()
    }

    fn is_full_batch(&self) -> bool {
        self.batch_size >= self.n
    }

    /// Compares the monitored loss with the best, and keeps the weights it belongs to.
    fn track_best(&mut self, i: usize, loss: f64, validation: Option<f64>) -> Result<()> {
        let keep = self.options.restore_best;
        let (monitored, slot) = match validation {
            Some(v) => (v, Slot::Deployed),
            None if keep && self.averages() => {
                self.deploy()?;
                (self.session.loss(Slot::Deployed, Rows::TRAINING)?, Slot::Deployed)
            }
            None if self.is_full_batch() => (loss, Slot::Before),
            None => (loss, Slot::Current),
        };
        if self.record.best_loss.is_none_or(|best| monitored < best) {
            self.record.best_loss = Some(monitored);
            self.record.best_iteration = Some(i);
            if keep {
                self.session.blend(Slot::Best, slot, 1.0)?;
            }
        }
        Ok(())
    }

    /// The stopping rule that ends training after this iteration.
    fn should_stop(&mut self) -> Option<&'static str> {
        let counters = &mut self.counters;
        let moved_before = counters.moved_before > 0;
        counters.moved_before = std::mem::take(&mut counters.moved);
        let losses = &self.record.loss_history;
        let epsilon = self.options.epsilon;
        if let Some(patience) = self.options.patience {
            let now = match self.has_validation {
                true => *self.record.validation_history.last()?,
                false => *losses.last()?,
            };
            if counters.patience_best.is_none_or(|best| now < best - epsilon) {
                counters.patience_best = Some(now);
                counters.waited = 0;
            } else {
                counters.waited += 1;
            }
            return (counters.waited >= patience).then_some("patience");
        }
        // Only iterations between which the weights moved are compared: an accumulating group or a
        // warm-up rate of 0 leaves the loss where it was.
        match losses[..] {
            [.., a, b] if moved_before && (b - a).abs() < epsilon => Some("epsilon"),
            _ => None,
        }
    }

    /// A loss that is not finite ends training.
    fn check_loss(&mut self, iteration: usize, loss: f64, rows: Rows<'_>) -> Result<()> {
        if loss.is_finite() {
            return Ok(());
        }
        let losses = self.session.row_losses(rows).unwrap_or_default();
        let hint = match losses.iter().position(|l| !l.is_finite()) {
            Some(k) => {
                let row = rows.indices.map_or(k, |r| r[k] as usize);
                format!("; first in row {row}. Scale the data or lower lr")
            }
            None => "; scale the data or lower lr".to_string(),
        };
        if self.rule {
            self.session.blend(Slot::Current, Slot::Before, 1.0)?;
        }
        Err(self.diverged(iteration, "the loss".into(), hint))
    }

    /// An update that left the range of numbers is undone and ends training.
    fn check_update(&mut self, iteration: usize) -> Result<()> {
        match self.session.not_finite(Slot::Current)? {
            None => Ok(()),
            Some(tensor) => {
                self.session.blend(Slot::Current, Slot::Before, 1.0)?;
                Err(self.diverged(iteration, tensor, "; lower lr".into()))
            }
        }
    }

    fn diverged(&mut self, iteration: usize, what: String, hint: String) -> Error {
        self.record.stopped_by = "diverged".into();
        let last = self.fitted(false).ok().map(Box::new);
        Error::Diverged { iteration, what, hint, last }
    }

    /// The model as it would be returned now. `last`: training has ended.
    fn fitted(&mut self, last: bool) -> Result<Fitted> {
        let options = self.options;
        if last
            && options.lookahead.is_some()
            && options.ema_decay.is_none()
            && self.counters.synchronised == 0
            && self.counters.updates > 0
        {
            self.record.warnings.push(format!(
                "lookahead: fewer than sync_period updates were made; one synchronisation was added after update {}",
                self.counters.updates
            ));
        }
        self.deploy()?;
        let mut slot = Slot::Deployed;
        if options.restore_best && self.record.best_loss.is_some() {
            slot = Slot::Best;
            // The last weights have not been measured yet where the loss belongs to the weights before the update.
            let competes = last
                && self.is_full_batch()
                && !self.has_validation
                && !self.averages()
                && options.curriculum.is_none();
            if competes {
                let mut loss = self.session.loss(Slot::Current, Rows::TRAINING)?;
                if options.diversity_weight > 0.0 {
                    let tensors = self.session.read(Slot::Current)?;
                    let (div, _) = regulariser::diversity(
                        tensors.values(self.model.prototypes()),
                        self.centre.len(),
                        self.prototype_labels,
                        options.diversity_sigma,
                    );
                    loss += options.diversity_weight * div;
                }
                if self.record.best_loss.is_some_and(|best| loss < best) {
                    self.record.best_loss = Some(loss);
                    self.record.best_iteration = Some(self.counters.iteration);
                    slot = Slot::Deployed;
                    self.session.blend(Slot::Best, Slot::Deployed, 1.0)?;
                }
            }
        }
        let tensors = self.session.read(slot)?;
        if last {
            self.warn_of_growth(&tensors);
            self.record.warnings.extend(at_end(self.model, &tensors));
        }
        let accumulated = match self.counters.accumulated_batches {
            0 => None,
            _ => self.session.accumulated()?,
        };
        let kept = |there: bool, slot: Slot| -> Result<Option<Tensors<f64>>> {
            if there { self.session.read(slot).map(Some) } else { Ok(None) }
        };
        let state = TrainingState {
            counters: self.counters.clone(),
            current: self.session.read(Slot::Current)?,
            slow: kept(options.lookahead.is_some(), Slot::Slow)?,
            average: kept(options.ema_decay.is_some(), Slot::Average)?,
            best: kept(options.restore_best, Slot::Best)?,
            accumulated,
            optimizer: self.session.optimizer_state()?,
        };
        Ok(Fitted {
            model: self.model.clone(),
            training: options.to_json(),
            precision: options.precision,
            classes: self.classes.to_vec(),
            prototype_labels: self.prototype_labels.to_vec(),
            one_class: self
                .model
                .row()
                .is_one_class()
                .then(|| OneClass::new(self.classes, self.target)),
            centre: self.centre.to_vec(),
            feature_names: self.feature_names.clone(),
            scaler: self.scaler.clone(),
            tensors,
            record: self.record.clone(),
            state: Some(state),
            quantisation: None,
            extra: self.extra.clone(),
        })
    }

    /// Objectives without a lower bound push prototypes away for ever: say so.
    fn warn_of_growth(&mut self, tensors: &Tensors<f64>) {
        let prototypes = tensors.values(self.model.prototypes());
        let far = prototypes
            .iter()
            .zip(self.centre.iter().cycle())
            .map(|(w, c)| (w - c).abs())
            .fold(0.0, f64::max);
        if self.data_scale > 0.0 && far > 10.0 * self.data_scale {
            self.record.warnings.push(format!(
                "prototypes left the data: the farthest coordinate is {:.0} times the data's range away from its mean; the loss may have no minimum",
                far / self.data_scale
            ));
        }
    }
}
