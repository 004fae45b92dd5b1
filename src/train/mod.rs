//! Training: the loop and what it is made of.

mod batch;
mod checks;
pub mod observer;
mod options;
mod run;
pub mod schedule;
mod warnings;

pub use observer::{Flow, Iteration, Observer};
pub use options::{Checkpoint, ClassWeight, FrozenUpdate, Lookahead, Training, Weighting};

use crate::backend::{Backend, Problem, Rows, Samples};
use crate::data::Dataset;
use crate::data::scaling::StandardScaler;
use crate::error::{Error, Result};
use crate::model::start::{self, Given};
use crate::model::{Fitted, Model, Sizes};
use crate::parts::tensor::Tensors;
use run::{From, Job, Mode};

/// What training may be given beside model, options and data.
#[derive(Default)]
pub struct Extras<'a> {
    /// Data on which the loss is measured after each iteration, without learning from it.
    pub validation: Option<&'a Dataset>,
    /// Start tensors.
    pub given: Given,
    /// Who is told of each iteration.
    pub observers: Vec<&'a mut dyn Observer>,
    /// The scaling that was applied to `data` and `validation`: kept in the model, which then takes unscaled rows.
    pub scaler: Option<StandardScaler>,
    /// Anything else to be kept with the model, and in its checkpoints.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Training {
    /// Trains a model on data, on a device.
    ///
    /// # Errors
    /// Anything wrong with options, model or data is an error before any work. A loss, gradient or tensor that turns
    /// non-finite is [`Error::Diverged`] with the model of the last finite tensors.
    pub fn fit(&self, model: &Model, data: &Dataset, backend: &dyn Backend) -> Result<Fitted> {
        self.fit_with(model, data, backend, Extras::default())
    }

    /// The same with validation data, start tensors and observers.
    pub fn fit_with(
        &self,
        model: &Model,
        data: &Dataset,
        backend: &dyn Backend,
        mut extras: Extras<'_>,
    ) -> Result<Fitted> {
        Job {
            model,
            options: self,
            data,
            validation: extras.validation,
            from: From::Scratch(&extras.given),
            mode: Mode::Fit,
            backend,
            scaler: extras.scaler,
            extra: extras.extra,
        }
        .run(&mut extras.observers)
    }

    /// Goes on where `fitted` stopped, until `max_iter` iterations are done over all runs: optimizer, schedule, random
    /// streams, averages and the best weights continue, histories are appended.
    ///
    /// With the same data and options the result is that of one uninterrupted run, to the bit.
    pub fn resume(
        &self,
        fitted: &Fitted,
        data: &Dataset,
        backend: &dyn Backend,
        mut extras: Extras<'_>,
    ) -> Result<Fitted> {
        if !extras.given.is_empty() {
            return Err(Error::parameter(
                "init",
                "start tensors cannot be given when training goes on",
            ));
        }
        if fitted.quantisation.is_some() {
            return Err(Error::data(
                "the model is quantised: dequantise it before training goes on",
            ));
        }
        Job {
            model: &fitted.model,
            options: self,
            data,
            validation: extras.validation,
            from: From::Fitted(fitted),
            mode: Mode::Fit,
            backend,
            scaler: extras.scaler.or_else(|| fitted.scaler.clone()),
            extra: fitted.extra.clone().into_iter().chain(extras.extra).collect(),
        }
        .run(&mut extras.observers)
    }

    /// One step on the rows of `data`, which may be new ones; the state of training continues.
    pub fn partial_fit(
        &self,
        fitted: &Fitted,
        data: &Dataset,
        backend: &dyn Backend,
    ) -> Result<Fitted> {
        if fitted.quantisation.is_some() {
            return Err(Error::data(
                "the model is quantised: dequantise it before training goes on",
            ));
        }
        Job {
            model: &fitted.model,
            options: self,
            data,
            validation: None,
            from: From::Fitted(fitted),
            mode: Mode::Partial,
            backend,
            scaler: fitted.scaler.clone(),
            extra: fitted.extra.clone(),
        }
        .run(&mut [])
    }

    /// Loss and gradient of a model at given tensors, no training. What is not given starts as usual.
    pub fn gradient(
        &self,
        model: &Model,
        data: &Dataset,
        given: &Given,
        backend: &dyn Backend,
    ) -> Result<(f64, Tensors<f64>)> {
        data.validate()?;
        let labels = data
            .labels
            .as_ref()
            .ok_or_else(|| Error::data(format!("{}: a gradient needs labels", data.source)))?;
        if labels.classes.len() < 2 && !model.row().is_one_class() {
            return Err(Error::data(format!("{}: at least two classes are needed", data.source)));
        }
        let centre = model.centre(&data.features);
        let start =
            start::start(model, data, &labels.classes, &labels.codes, given, self.random_seed)?;
        let composition = model.compose(Sizes {
            n: data.features.rows(),
            d: data.features.columns(),
            p: start.prototype_labels.len(),
            classes: labels.classes.len(),
        })?;
        if composition.objective.is_rule() {
            return Err(Error::parameter(
                "model",
                format!("{} has an update rule and no gradient", model.name()),
            ));
        }
        // The range of the ranks is no parameter, but it has a slope, and who asks for gradients may want to see it.
        let row = model.row();
        let names = row.tensors.iter().map(|t| t.name).chain(row.range());
        let learn: Vec<String> = names.map(String::from).collect();
        let row_weights =
            batch::row_weights(data, &labels.classes, &labels.codes, &self.class_weight)?;
        let mut session = backend.session(Problem {
            composition: &composition,
            training: Samples { features: &data.features, codes: &labels.codes },
            validation: None,
            row_weights,
            classes: labels.classes.len(),
            target: start.target,
            prototype_labels: &start.prototype_labels,
            centre: &centre,
            tensors: &start.tensors,
            learn: &learn,
            train: &[],
            precision: self.precision,
            optimizer: None,
            passes: 1,
        })?;
        let loss = session.gradient(Rows::TRAINING, 1.0)?;
        if !loss.is_finite() {
            return Err(Error::data("the loss is not finite at these tensors; scale the data"));
        }
        let gradient = session.read_gradient()?;
        Ok((loss, gradient))
    }
}
