//! `Fitted`: the RESULT, a trained model that answers, is saved, and can be trained further.

use super::inference::Inference;
use super::quantise::{self, Quantised};
use super::spec::{Model, Sizes};
use super::state::{Record, TrainingState};
use crate::backend::cpu::Cpu;
use crate::backend::{Backend, Problem, Question, Rows, Samples, Slot};
use crate::data::scaling::StandardScaler;
use crate::data::{Dataset, Features, Label};
use crate::error::{Error, Result};
use crate::parts::composition::{
    Composition, Cooperation, Kernel, MetricName, Objective, Precision, Ties,
};
use crate::parts::linalg::{Mat, gemm, softmax};
use crate::parts::tensor::{Tensor, Tensors};
use ndarray::{Array1, Array2, Array3};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Tensors stored in fewer bits. The model computes with the values that the codes stand for.
#[derive(Clone, Debug)]
pub struct Quantisation {
    /// How values are stored.
    pub precision: quantise::Precision,
    /// The tensors, in the order of the model's.
    pub tensors: Vec<Quantised>,
}

/// What a one-class model answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneClass {
    /// The label of the target class.
    pub target: Label,
    /// The label of everything else.
    pub outlier: Label,
}

impl OneClass {
    /// For a target among the classes of the data. Everything else is called by the smallest other label; if there is none, `1 -
    /// target` for a number, else `outlier`.
    pub fn new(classes: &[Label], target: u32) -> Self {
        let target = classes[target as usize].clone();
        let outlier = match (classes.iter().find(|c| **c != target), &target) {
            (Some(other), _) => other.clone(),
            (None, Label::Int(t)) => Label::Int(1 - t),
            (None, Label::Text(_)) => Label::Text("outlier".into()),
        };
        OneClass { target, outlier }
    }
}

/// A trained model.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// What was learned.
    pub model: Model,
    /// How: all training options.
    pub training: Map<String, Json>,
    /// Precision it was trained in and is used in.
    pub precision: Precision,
    /// The labels, sorted; everything with one column a class follows this order.
    pub classes: Vec<Label>,
    /// Index into `classes` of each prototype.
    pub prototype_labels: Vec<u32>,
    /// Column means of the training data, subtracted before distances are taken.
    pub centre: Vec<f64>,
    /// The labels of a one-class model.
    pub one_class: Option<OneClass>,
    /// Names of the features, if the data had any.
    pub feature_names: Vec<String>,
    /// Applied to rows before anything else.
    pub scaler: Option<StandardScaler>,
    /// The tensors, by their names in the specification.
    pub tensors: Tensors<f64>,
    /// What happened in training.
    pub record: Record,
    /// What training needs to go on.
    pub state: Option<TrainingState>,
    /// How the tensors are stored, if they are quantised.
    pub quantisation: Option<Quantisation>,
    /// Anything else a program wants to keep with the model (the command line: which rows were held out).
    pub extra: Map<String, Json>,
}

impl Fitted {
    /// Number of features it expects.
    pub fn features(&self) -> usize {
        self.centre.len()
    }

    /// Number of prototypes or components.
    pub fn prototypes(&self) -> usize {
        self.prototype_labels.len()
    }

    /// Index into `classes` of a one-class model's target; 0 for all others.
    pub(crate) fn target_code(&self) -> u32 {
        let target = self.one_class.as_ref().map(|o| &o.target);
        self.classes.iter().position(|c| Some(c) == target).unwrap_or(0) as u32
    }

    /// Iterations trained, over all runs.
    pub fn n_iter(&self) -> usize {
        self.record.loss_history.len()
    }

    /// The composition it was trained with.
    pub fn composition(&self) -> Result<Composition> {
        self.model.compose(Sizes {
            n: self.record.rows,
            d: self.features(),
            p: self.prototypes(),
            classes: self.classes.len(),
        })
    }

    /// The composition that measures in plain squared Euclidean distance, whatever was learned.
    pub(super) fn euclidean_composition(&self) -> Result<Composition> {
        Ok(Composition {
            metric: MetricName::SquaredEuclidean,
            user_metric: None,
            spread: false,
            anneal: None,
            kernel: Kernel::None,
            cooperation: Cooperation::WinnerPair { ties: Ties::First },
            objective: Objective::Lvq21,
            ..self.composition()?
        })
    }

    /// Loads the model onto a device, to be asked there.
    pub fn on<'a>(&'a self, backend: &dyn Backend) -> Result<Inference<'a>> {
        Inference::new(self, backend)
    }

    pub(super) fn question<'a>(&'a self, composition: &'a Composition) -> Question<'a> {
        Question {
            composition,
            classes: self.classes.len(),
            target: self.target_code(),
            prototype_labels: &self.prototype_labels,
            centre: &self.centre,
            tensors: &self.tensors,
            // Half precision is for training; inference is in single precision.
            precision: match self.precision {
                Precision::F64 => Precision::F64,
                _ => Precision::F32,
            },
        }
    }

    /// The label of each row, on the CPU (see [`Fitted::on`] for other devices).
    pub fn predict(&self, x: &Features) -> Result<Vec<Label>> {
        self.on(&Cpu::default())?.predict(x)
    }

    /// Class probabilities or scores, `n x classes`, on the CPU.
    pub fn predict_proba(&self, x: &Features) -> Result<Array2<f64>> {
        self.on(&Cpu::default())?.predict_proba(x)
    }

    /// Share of rows whose label is right, on the CPU. Labels the model has never seen count as wrong.
    pub fn accuracy(&self, x: &Features, y: &[Label]) -> Result<f64> {
        if x.rows() != y.len() {
            return Err(Error::shape("labels", format!("{} values", x.rows()), y.len()));
        }
        let predicted = self.predict(x)?;
        let right = predicted.iter().zip(y).filter(|(a, b)| a == b).count();
        Ok(right as f64 / y.len().max(1) as f64)
    }

    /// The model's loss on labelled rows, unweighted: of the returned tensors, where the last entry of the history belongs to
    /// the ones before the last update.
    pub fn loss(&self, data: &Dataset, backend: &dyn Backend) -> Result<f64> {
        data.validate()?;
        if data.columns() != self.features() {
            let expected = format!("{} features", self.features());
            return Err(Error::shape(&data.source, expected, data.columns()));
        }
        let labels = data.labels.as_ref().ok_or_else(|| Error::data("a loss needs labels"))?;
        let codes = labels.recode(&self.classes)?.codes;
        let scaled = self.scaler.as_ref().map(|s| s.transform(&data.features)).transpose()?;
        let composition = self.composition()?;
        let mut session = backend.session(Problem {
            composition: &composition,
            training: Samples {
                features: scaled.as_ref().unwrap_or(&data.features),
                codes: &codes,
            },
            validation: None,
            row_weights: None,
            classes: self.classes.len(),
            target: self.target_code(),
            prototype_labels: &self.prototype_labels,
            centre: &self.centre,
            tensors: &self.tensors,
            learn: &[],
            train: &[],
            precision: self.precision,
            optimizer: None,
            passes: 1,
        })?;
        session.loss(Slot::Current, Rows::TRAINING)
    }

    /// Thresholds of a one-class model's prototypes, on the scale of distances (squared). None for classifiers.
    pub fn thetas(&self) -> Option<Vec<f64>> {
        let radii = self.tensors.get("radii").map(|t| t.data.iter().map(|r| r * r).collect());
        radii.or_else(|| self.tensors.get("thetas").map(|t| t.data.clone()))
    }

    /// The ranks' range after training, if the model has ranks.
    pub fn range(&self) -> Option<f64> {
        Some(self.tensors.get(self.model.row().range()?)?.data[0])
    }

    /// A tensor of two axes as an array.
    fn matrix(&self, name: &str) -> Option<Array2<f64>> {
        let t = self.tensors.get(name)?;
        let &[a, b] = &t.shape[..] else { return None };
        Array2::from_shape_vec((a, b), t.data.clone()).ok()
    }

    /// Prototypes (or components), `p x d`.
    pub fn prototype_matrix(&self) -> Array2<f64> {
        self.matrix(self.model.prototypes()).unwrap_or_else(|| Array2::zeros((0, 0)))
    }

    /// The learned relevance of each feature: positive, sum 1. None if the metric has none.
    pub fn relevances(&self) -> Option<Array1<f64>> {
        let mut values = self.tensors.get("relevances")?.data.clone();
        softmax(&mut values);
        Some(Array1::from_vec(values))
    }

    /// The learned map, `d x l`, of the models with one for all prototypes.
    pub fn omega(&self) -> Option<Array2<f64>> {
        self.matrix("omega")
    }

    /// The matrices `Omega Omega^T` (`d x d`) with `D = (x - w) Lambda (x - w)^T`, one, or one a prototype; for tangent
    /// models `I - Omega_j Omega_j^T`. Empty if the metric has no matrix.
    pub fn lambda_matrices(&self) -> Vec<Array2<f64>> {
        let tangent = self.model.metric() == MetricName::Tangent;
        self.maps()
            .into_iter()
            .map(|(d, l, omega)| {
                let mut lambda = vec![0.0; d * d];
                let m = Mat::new(&omega, d, l);
                gemm(&mut lambda, false, if tangent { -1.0 } else { 1.0 }, m, m.t());
                if tangent {
                    (0..d).for_each(|a| lambda[a * d + a] += 1.0);
                }
                Array2::from_shape_vec((d, d), lambda).expect("d x d values")
            })
            .collect()
    }

    /// The matrices `Omega^T Omega` (`l x l`) in the latent space, one, or one a prototype.
    pub fn latent_grams(&self) -> Vec<Array2<f64>> {
        self.maps()
            .into_iter()
            .map(|(d, l, omega)| {
                let mut gram = vec![0.0; l * l];
                let m = Mat::new(&omega, d, l);
                gemm(&mut gram, false, 1.0, m.t(), m);
                Array2::from_shape_vec((l, l), gram).expect("l x l values")
            })
            .collect()
    }

    /// All linear maps of the metric as `(d, l, values)`.
    fn maps(&self) -> Vec<(usize, usize, Vec<f64>)> {
        let names = ["omega", "omegas", "omega_hat"];
        let Some(t) = names.iter().find_map(|name| self.tensors.get(name)) else {
            return Vec::new();
        };
        let (d, l) = match t.shape[..] {
            [d, l] | [_, d, l] => (d, l),
            _ => return Vec::new(),
        };
        t.data.chunks(d * l).map(|c| (d, l, c.to_vec())).collect()
    }

    /// Positive and negative reasoning of each component about each class, `p x C` each, in `[0, 1]`. None but for CBC.
    pub fn reasonings(&self) -> Option<(Array2<f64>, Array2<f64>)> {
        let t = self.tensors.get("reasonings")?;
        let r = Array3::from_shape_vec((t.shape[0], t.shape[1], 2), t.data.clone()).ok()?;
        let clip = |v: f64| v.clamp(0.0, 1.0);
        let positive = r.index_axis(ndarray::Axis(2), 0).mapv(clip);
        let negative = (1.0 - &positive) * r.index_axis(ndarray::Axis(2), 1).mapv(clip);
        Some((positive, negative))
    }

    /// The same model with tensors stored as `float16`, `bfloat16` or `int8` codes (`per_row`: one `int8` scale for each
    /// prototype), and without what training needs. A quantised model is requantised from its values.
    ///
    /// # Errors
    /// A value too large for the precision, naming the tensor.
    pub fn quantize(&self, precision: quantise::Precision, per_row: bool) -> Result<Self> {
        let codes = |t: &Tensor<f64>| {
            Quantised::new(t, precision, per_row && precision == quantise::Precision::Int8)
        };
        let tensors = self.tensors.list.iter().map(codes).collect::<Result<Vec<_>>>()?;
        Ok(Fitted {
            tensors: Tensors { list: tensors.iter().map(Quantised::dequantise).collect() },
            quantisation: Some(Quantisation { precision, tensors }),
            state: None,
            ..self.clone()
        })
    }

    /// The same model with tensors stored in full; what rounding lost stays lost.
    pub fn dequantize(&self) -> Self {
        Fitted { quantisation: None, ..self.clone() }
    }
}
