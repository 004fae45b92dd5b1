//! From arguments to models, options and data.

use super::args::{Data, Where, Which};
use crate::backend::{self, Backend, DeviceRequest};
use crate::data::{Dataset, Label, ReadOptions, read};
use crate::error::{Error, Result};
use crate::model::compose;
use crate::model::container::read_container;
use crate::model::parameter::from_text;
use crate::model::start::Given;
use crate::model::{Fitted, Model};
use crate::parts::composition::Precision;
use crate::parts::tensor::Tensor;
use crate::train::Training;
use serde_json::Value as Json;
use std::path::Path;

/// The device asked for; says on standard error what `auto` chose.
pub fn device(place: &Where, precision: Precision) -> Result<Box<dyn Backend>> {
    let request: DeviceRequest = place.device.as_deref().unwrap_or("auto").parse()?;
    backend::open_for(request, place.threads, precision)
}

/// Splits `key=value`.
pub fn assignment(text: &str) -> Result<(&str, &str)> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim(), value.trim())),
        _ => Err(Error::parameter("--set", format!("expected KEY=VALUE, got '{text}'"))),
    }
}

/// Sets a hyper-parameter of the model, or else a training option.
pub fn set(model: Model, training: Training, key: &str, value: Json) -> Result<(Model, Training)> {
    let head = key.split('.').next().unwrap_or(key);
    if key == "compat" {
        let training = training.set_compat(&value)?;
        return Ok((model.set(key, value)?, training));
    }
    if !model.has(key) && Training::canonical(head).is_some() {
        let training = training.set(key, value)?;
        return Ok((model, training));
    }
    Ok((model.set(key, value)?, training))
}

/// Model and options of the flags that several commands share.
pub fn model_and_options(
    which: &Which,
    mut model: Model,
    mut training: Training,
) -> Result<(Model, Training)> {
    let mut sets = which.set.iter().map(|s| assignment(s)).collect::<Result<Vec<_>>>()?;
    // The parts of a composed model decide which other hyper-parameters there are.
    sets.sort_by_key(|(key, _)| !compose::PARTS.iter().any(|p| p.name == *key));
    for (key, value) in sets {
        (model, training) = set(model, training, key, from_text(value))?;
    }
    if let Some(text) = &which.prototypes {
        let keys = ["n_components", "n_prototypes"];
        let key = keys.into_iter().find(|k| model.has(k)).unwrap_or("n_prototypes_per_class");
        model = model.set(key, from_text(text))?;
    }
    if let Some(precision) = &which.precision {
        training = training.set("precision", precision.as_str())?;
    }
    if let Some(seed) = which.seed {
        training.random_seed = seed;
    }
    if let Some(text) = &which.class_weight {
        training = training.set("class_weight", from_text(text))?;
    }
    Ok((model, training))
}

/// The model named, or an error that lists the names.
pub fn named_model(name: Option<&str>) -> Result<Model> {
    match name {
        Some(name) => Model::new(name),
        None => Err(Error::parameter("--model", "missing; `lvq models` lists the names")),
    }
}

/// Start tensors of a file: learnable tensors by name, and `prototype_labels`.
pub fn given(path: Option<&Path>, classes: &[Label]) -> Result<Given> {
    let Some(path) = path else { return Ok(Given::default()) };
    let (stored, header) = read_container(path)?;
    let mut given = Given::default();
    for (name, tensor) in &stored {
        let values = tensor.to_f64();
        if name == "prototype_labels" {
            given.prototype_labels = Some(prototype_labels(path, &values, &header, classes)?);
        } else if name == "centre" || name.contains('/') {
            // Of a model file: not a start tensor.
            continue;
        } else {
            given.tensors.insert(Tensor::new(name, &tensor.shape, values));
        }
    }
    Ok(given)
}

/// The labels of given prototypes: values of integer labels, or indices into the classes where labels are text or the
/// file is a model.
fn prototype_labels(
    path: &Path,
    values: &[f64],
    header: &Option<Json>,
    classes: &[Label],
) -> Result<Vec<Label>> {
    let own: Option<Vec<Label>> = header
        .as_ref()
        .and_then(|h| h.get("classes"))
        .and_then(|c| serde_json::from_value(c.clone()).ok());
    let text = classes.iter().any(|c| matches!(c, Label::Text(_)));
    values
        .iter()
        .map(|&v| {
            let index = v as usize;
            let by_index = own.as_deref().or(text.then_some(classes));
            match by_index {
                Some(list) => list.get(index).cloned().ok_or_else(|| {
                    Error::format(path, format!("prototype_labels: no class number {v}"))
                }),
                None if v.fract() == 0.0 => Ok(Label::Int(v as i64)),
                None => Err(Error::format(path, format!("prototype_labels: {v} is no label"))),
            }
        })
        .collect()
}

/// Labelled rows.
pub fn labelled(path: &Path, source: &Data) -> Result<Dataset> {
    let options = ReadOptions {
        target: source.target.clone(),
        labels: source.labels.clone(),
        mmap: source.mmap,
        ..ReadOptions::default()
    };
    read(path, &options)
}

/// Rows for a model: labels may be there or not.
pub fn rows_for(fitted: &Fitted, path: &Path, source: &Data) -> Result<Dataset> {
    let options = ReadOptions {
        target: source.target.clone(),
        labels: source.labels.clone(),
        mmap: source.mmap,
        unlabelled: true,
        expected_columns: Some(fitted.features()),
        ..ReadOptions::default()
    };
    let data = read(path, &options)?;
    if data.features.columns() != fitted.features() {
        return Err(Error::shape(
            path.display().to_string(),
            format!("{} features", fitted.features()),
            data.features.columns(),
        ));
    }
    Ok(data)
}
