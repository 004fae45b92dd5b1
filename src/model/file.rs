//! Model files: one `.safetensors` file, tensors by their names, everything else as JSON under the header key `lvq`.
//!
//! | tensors | are |
//! |---|---|
//! | by the catalogue's names | the model, in the precision it was trained in (or quantised) |
//! | `prototype_labels` | index into `classes` of each prototype |
//! | `centre` | column means of the training data |
//! | `history/*` | loss, validation loss, learning rate, seconds |
//! | `state/...` | what training needs to go on |
//!
//! A checkpoint is the same file written in mid-training.

use super::fitted::{Fitted, OneClass, Quantisation};
use super::quantise::{Precision as Bits, Quantised};
use super::spec::Model;
use super::state::{Counters, Record, TrainingState};
use crate::data::Label;
use crate::data::stored::StoredTensor;
use crate::error::{Error, Result};
use crate::model::container::{read_container, write_container};
use crate::parts::composition::Precision;
use crate::parts::tensor::{Tensor, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::Path;

/// Version of the layout; a file of a later version is refused.
const FORMAT: u32 = 1;

/// The JSON of the header.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    lvq_version: String,
    model: String,
    hyper_parameters: Map<String, Json>,
    training: Map<String, Json>,
    precision: Precision,
    classes: Vec<Label>,
    #[serde(default)]
    one_class: Option<OneClass>,
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    scaler: Option<crate::data::scaling::StandardScaler>,
    #[serde(default)]
    quantisation: Option<QuantisationHeader>,
    record: Record,
    #[serde(default)]
    counters: Option<Counters>,
    #[serde(default)]
    extra: Map<String, Json>,
}

/// How tensors are quantised: the codes are the tensors, their scales are here.
#[derive(Serialize, Deserialize)]
struct QuantisationHeader {
    precision: String,
    scales: BTreeMap<String, Vec<f32>>,
}

/// Groups of the training state, by the name they have in the file.
const GROUPS: [&str; 6] = ["current", "slow", "average", "best", "accumulated", "optimizer"];

impl Fitted {
    /// Writes the model, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written, or the model holds a function of the user's own, which no file can store.
    pub fn save(&self, path: &Path) -> Result<()> {
        if let Some(option) = self.model.custom_option() {
            return Err(Error::parameter(
                option,
                "is a function of your own, which a file cannot store",
            ));
        }
        let double = self.precision == Precision::F64;
        let mut tensors: Vec<(String, StoredTensor)> = Vec::new();
        let mut quantisation = None;
        if let Some(q) = &self.quantisation {
            let mut scales = BTreeMap::new();
            for (t, codes) in self.tensors.list.iter().zip(&q.tensors) {
                let (stored, s) = codes.to_stored();
                scales.insert(t.name.clone(), s.to_vec());
                tensors.push((t.name.clone(), stored));
            }
            quantisation =
                Some(QuantisationHeader { precision: q.precision.name().into(), scales });
        } else {
            for t in &self.tensors.list {
                tensors.push((t.name.clone(), stored(&t.shape, &t.data, double)?));
            }
        }
        let labels: Vec<i64> = self.prototype_labels.iter().map(|c| i64::from(*c)).collect();
        tensors
            .push(("prototype_labels".into(), StoredTensor::from_i64(&[labels.len()], &labels)?));
        let vectors = [
            ("centre", &self.centre),
            ("history/loss", &self.record.loss_history),
            ("history/validation_loss", &self.record.validation_history),
            ("history/learning_rate", &self.record.rate_history),
            ("history/seconds", &self.record.seconds_history),
        ];
        for (name, values) in vectors.into_iter().filter(|(_, v)| !v.is_empty()) {
            tensors.push((name.to_string(), stored(&[values.len()], values, true)?));
        }
        if let Some(state) = &self.state {
            let groups = [
                Some(&state.current),
                state.slow.as_ref(),
                state.average.as_ref(),
                state.best.as_ref(),
                state.accumulated.as_ref(),
                Some(&state.optimizer),
            ];
            for (group, content) in GROUPS.iter().zip(groups) {
                for t in content.iter().flat_map(|c| &c.list) {
                    // Some optimizers keep scalars in double precision in any mode.
                    let wide = double || *group == "optimizer";
                    let stored = stored(&t.shape, &t.data, wide)?;
                    tensors.push((format!("state/{group}/{}", t.name), stored));
                }
            }
        }
        let header = Header {
            format: FORMAT,
            lvq_version: env!("CARGO_PKG_VERSION").into(),
            model: self.model.name().into(),
            hyper_parameters: self.model.hyper_parameters(),
            training: self.training.clone(),
            precision: self.precision,
            classes: self.classes.clone(),
            one_class: self.one_class.clone(),
            feature_names: self.feature_names.clone(),
            scaler: self.scaler.clone(),
            quantisation,
            record: self.record.clone(),
            counters: self.state.as_ref().map(|s| s.counters.clone()),
            extra: self.extra.clone(),
        };
        let header = serde_json::to_value(header)
            .map_err(|e| Error::format(path, format!("cannot be described: {e}")))?;
        write_container(path, &tensors, &header)
    }

    /// Reads a model or checkpoint. Structure, checksums, version and shapes are checked.
    pub fn load(path: &Path) -> Result<Self> {
        let (stored, header) = read_container(path)?;
        let wrong = |reason: String| Error::format(path, reason);
        let header = header.ok_or_else(|| {
            wrong("a safetensors file, but no lvq model: the header has no key 'lvq'".into())
        })?;
        let format = header.get("format").and_then(Json::as_u64).unwrap_or(0);
        if format != u64::from(FORMAT) {
            return Err(wrong(format!("layout version {format}; this lvq reads version {FORMAT}")));
        }
        let header: Header = serde_json::from_value(header)
            .map_err(|e| wrong(format!("the header under 'lvq' is damaged: {e}")))?;
        let model = Model::from_json(&header.model, &header.hyper_parameters)?;

        let get = |name: &str| -> Result<&StoredTensor> {
            stored.get(name).ok_or_else(|| wrong(format!("tensor '{name}' is missing")))
        };
        let vector = |name: &str| stored.get(name).map_or(Vec::new(), StoredTensor::to_f64);
        let labels = get("prototype_labels")?.to_f64();
        if labels.iter().any(|c| *c < 0.0 || *c >= header.classes.len() as f64) {
            return Err(wrong("prototype_labels name a class that does not exist".into()));
        }
        let centre = vector("centre");
        let mut tensors = Tensors::default();
        let mut quantisation = match &header.quantisation {
            Some(q) => {
                Some(Quantisation { precision: Bits::parse(&q.precision)?, tensors: Vec::new() })
            }
            None => None,
        };
        let row = model.row();
        let names = row.tensors.iter().map(|t| t.name);
        let names = names.chain(model.fixed_tensor()).chain(row.range());
        for name in names {
            let t = get(name)?;
            let scales = header.quantisation.as_ref().and_then(|q| q.scales.get(name));
            let tensor = match &mut quantisation {
                Some(q) => {
                    let codes = Quantised::from_stored(name, t, scales.map_or(&[], |s| s))
                        .map_err(|e| wrong(e.to_string()))?;
                    let values = codes.dequantise();
                    q.tensors.push(codes);
                    values
                }
                None => Tensor::new(name, &t.shape, t.to_f64()),
            };
            tensors.insert(tensor);
        }
        let shape = &tensors.list[0].shape;
        if shape[..] != [labels.len(), centre.len()] {
            return Err(wrong(format!(
                "tensor '{}' has shape {shape:?}, expected [{}, {}]",
                model.prototypes(),
                labels.len(),
                centre.len()
            )));
        }
        let mut record = header.record;
        record.loss_history = vector("history/loss");
        record.validation_history = vector("history/validation_loss");
        record.rate_history = vector("history/learning_rate");
        record.seconds_history = vector("history/seconds");
        let state = header.counters.map(|counters| read_state(counters, &stored));
        Ok(Fitted {
            model,
            training: header.training,
            precision: header.precision,
            classes: header.classes,
            one_class: header.one_class,
            prototype_labels: labels.iter().map(|c| *c as u32).collect(),
            centre,
            feature_names: header.feature_names,
            scaler: header.scaler,
            tensors,
            record,
            state,
            quantisation,
            extra: header.extra,
        })
    }

    /// The model without what only training needs: smaller files that cannot be trained further.
    pub fn without_state(mut self) -> Self {
        self.state = None;
        self
    }
}

/// A tensor in double or single precision; values of a single-precision model are singles, so nothing is lost.
pub(crate) fn stored(shape: &[usize], values: &[f64], double: bool) -> Result<StoredTensor> {
    if double {
        StoredTensor::from_f64(shape, values)
    } else {
        let singles: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        StoredTensor::from_f32(shape, &singles)
    }
}

fn read_state(counters: Counters, stored: &BTreeMap<String, StoredTensor>) -> TrainingState {
    let group = |name: &str| {
        let prefix = format!("state/{name}/");
        let tensors = stored.iter().filter_map(|(key, t)| {
            Some(Tensor::new(key.strip_prefix(&prefix)?, &t.shape, t.to_f64()))
        });
        Tensors { list: tensors.collect() }
    };
    let some = |t: Tensors<f64>| (!t.list.is_empty()).then_some(t);
    TrainingState {
        counters,
        current: group("current"),
        slow: some(group("slow")),
        average: some(group("average")),
        best: some(group("best")),
        accumulated: some(group("accumulated")),
        optimizer: group("optimizer"),
    }
}
