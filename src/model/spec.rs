//! `Model`: WHAT to learn, a row of the catalogue with its hyper-parameters.

use super::catalogue::{
    self, CATALOGUE, ConstraintChoice, CooperationChoice as C, KernelChoice as K,
    MetricChoice as M, ObjectiveChoice as O, Row,
};
use super::compose;
use super::parameter::{Parameter, from_text, plain};
use crate::error::{Error, Result, did_you_mean};
use crate::parts::composition::{
    Anneal, Assignment, Composition, Cooperation, Embedding, Kernel, MetricName, Objective, Ties,
};
use crate::parts::constraint::Constraint;
use crate::parts::metric::custom::{Shared, UserMetric};
use crate::parts::objective::svq_occ::{Cost, Response, THETA_MIN};
use crate::parts::objective::transfer::Transfer;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// A model to be trained: a row of the catalogue and the hyper-parameters that differ from its defaults.
///
/// ```
/// use lvq::Model;
/// let model = Model::new("GMLVQ")?.set("latent_dim", 2)?.set("transfer_fn", "sigmoid_beta")?;
/// assert!(model.clone().set("latent_dim", 0).is_err());
/// assert!(model.set("sigma", 0.5).is_err()); // GMLVQ has no sigma
/// # Ok::<(), lvq::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    row: &'static Row,
    values: Map<String, Json>,
    transfer: Option<Transfer>,
    user_metric: Option<Shared>,
}

/// The sizes that a model takes from its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Rows.
    pub n: usize,
    /// Features.
    pub d: usize,
    /// Prototypes or components.
    pub p: usize,
    /// Classes.
    pub classes: usize,
}

impl Model {
    /// The model of that name (case, `_` and `-` do not matter) with all defaults.
    pub fn new(name: &str) -> Result<Self> {
        Ok(Model {
            row: catalogue::find(name)?,
            values: Map::new(),
            transfer: None,
            user_metric: None,
        })
    }

    /// The catalogue row.
    pub fn row(&self) -> &'static Row {
        self.row
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// Whether the row has a hyper-parameter of that name or alias.
    pub fn has(&self, key: &str) -> bool {
        self.parameter(key).is_some()
    }

    fn parameter(&self, key: &str) -> Option<&'static Parameter> {
        self.row.all_parameters().find(|p| p.name == key || p.aliases.contains(&key))
    }

    /// Sets a hyper-parameter. The key and the value are checked at once.
    ///
    /// A hyper-parameter that only other models have is an error unless it is set to its default, which says nothing.
    pub fn set(mut self, key: &str, value: impl Into<Json>) -> Result<Self> {
        let value = value.into();
        if key == "compat" {
            return self.set_compat(&value);
        }
        let Some(parameter) = self.parameter(key) else {
            let mut valid: Vec<&str> = self.row.all_parameters().map(|p| p.name).collect();
            return match foreign(key) {
                Some(p) if p.check(&value).is_ok_and(|v| v == default(p)) => Ok(self),
                Some(_) => {
                    let hint = did_you_mean(key, &valid);
                    Err(Error::parameter(key, format!("not used by {}{hint}", self.name())))
                }
                None => {
                    valid.push("compat");
                    Err(Error::unknown(&format!("hyper-parameter of {}", self.name()), key, &valid))
                }
            };
        };
        let value = parameter.check(&value)?;
        if value == default(parameter) {
            self.values.remove(parameter.name);
        } else {
            self.values.insert(parameter.name.into(), value);
        }
        if compose::PARTS.iter().any(|p| p.name == parameter.name) {
            self.row = compose::row(&self.values);
            // Hyper-parameters that the new parts do not have are forgotten.
            let row = self.row;
            self.values.retain(|key, _| row.all_parameters().any(|p| p.name == key));
        }
        match parameter.name {
            "transfer_fn" => self.transfer = None,
            "distance_fn" => self.user_metric = None,
            _ => {}
        }
        Ok(self)
    }

    /// Sets a hyper-parameter from the text of `key=value`.
    pub fn set_text(self, key: &str, text: &str) -> Result<Self> {
        self.set(key, from_text(text))
    }

    /// A transfer function of the user's own: value and derivative. Such a model can be trained and used, but not saved.
    pub fn transfer(mut self, transfer: Transfer) -> Result<Self> {
        if !self.has("transfer_fn") {
            return Err(Error::parameter("transfer_fn", format!("not used by {}", self.name())));
        }
        self.transfer = Some(transfer);
        Ok(self)
    }

    /// A metric of the user's own, in place of `distance_fn`. Such a model can be trained and used, but not saved.
    pub fn metric_fn(mut self, metric: Arc<dyn UserMetric>) -> Result<Self> {
        if !self.has("distance_fn") {
            return Err(Error::parameter("distance_fn", format!("not used by {}", self.name())));
        }
        self = self.set("distance_fn", "squared_euclidean")?;
        self.user_metric = Some(Shared(metric));
        Ok(self)
    }

    /// The reference's behaviour in all the points where we differ, for comparing with it.
    fn set_compat(mut self, value: &Json) -> Result<Self> {
        match value.as_str() {
            _ if value.is_null() => Ok(self),
            Some("prosemble-2.4") => {
                for (key, v) in
                    [("ties", "even"), ("inference_metric", "euclidean"), ("assignment", "class")]
                {
                    if self.has(key) {
                        self = self.set(key, v)?;
                    }
                }
                Ok(self)
            }
            _ => Err(Error::parameter(
                "compat",
                format!("expected none or prosemble-2.4, got {}", plain(value)),
            )),
        }
    }

    /// The value of a hyper-parameter that the row has: as set, or its default.
    pub fn get(&self, key: &str) -> Option<Json> {
        let p = self.parameter(key)?;
        Some(self.values.get(p.name).cloned().unwrap_or_else(|| default(p)))
    }

    /// Whether the hyper-parameter was set to something else than its default.
    pub fn is_set(&self, key: &str) -> bool {
        self.parameter(key).is_some_and(|p| self.values.contains_key(p.name))
    }

    /// A number, if the row has the key and it is not none.
    pub fn float(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// A whole number, if the row has the key and it is not none.
    pub fn int(&self, key: &str) -> Option<usize> {
        self.get(key)?.as_u64().map(|v| v as usize)
    }

    /// A word, if the row has the key.
    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.as_str().map(str::to_string)
    }

    /// A yes or no; no if the row has no such key.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(|v| v.as_bool()).unwrap_or(false)
    }

    /// All hyper-parameters with their values, defaults included.
    pub fn hyper_parameters(&self) -> Map<String, Json> {
        self.row
            .all_parameters()
            .map(|p| (p.name.to_string(), self.get(p.name).unwrap_or(Json::Null)))
            .collect()
    }

    /// Whether the model holds a function that no file can store.
    pub fn custom_option(&self) -> Option<&'static str> {
        let transfer = self.transfer.as_ref().map(|_| "transfer_fn");
        transfer.or(self.user_metric.as_ref().map(|_| "distance_fn"))
    }

    /// From the name and hyper-parameters of a file.
    pub fn from_json(name: &str, values: &Map<String, Json>) -> Result<Self> {
        values.iter().try_fold(Model::new(name)?, |m, (k, v)| m.set(k, v.clone()))
    }

    /// The metric, as the row or `distance_fn` says.
    pub fn metric(&self) -> MetricName {
        match self.row.metric {
            M::SquaredEuclidean => MetricName::SquaredEuclidean,
            M::Relevance => MetricName::Relevance,
            M::Omega => MetricName::Omega,
            M::ClassOmega => MetricName::ClassOmega,
            M::Bilinear => MetricName::Bilinear,
            M::LocalOmega => MetricName::LocalOmega,
            M::Tangent => MetricName::Tangent,
            M::Pluggable if self.text("similarity_fn").as_deref() == Some("cosine") => {
                MetricName::Cosine
            }
            M::Pluggable if self.user_metric.is_some() => MetricName::Custom,
            M::Pluggable => match self.text("distance_fn").as_deref() {
                Some("euclidean") => MetricName::Euclidean,
                Some("manhattan") => MetricName::Manhattan,
                Some("chebyshev") => MetricName::Chebyshev,
                Some("omega") => MetricName::Omega,
                Some("local_omega") => MetricName::LocalOmega,
                Some("tangent") => MetricName::Tangent,
                Some("lp") => match self.float("p").unwrap_or(2.0) {
                    1.0 => MetricName::Manhattan,
                    2.0 => MetricName::Euclidean,
                    p => MetricName::Lp(p),
                },
                _ => MetricName::SquaredEuclidean,
            },
        }
    }

    /// The tensor that the metric reads but does not learn (`distance_fn` omega, local_omega, tangent).
    pub fn fixed_tensor(&self) -> Option<&'static str> {
        (self.row.metric == M::Pluggable).then(|| self.metric().own_tensor()).flatten()
    }

    /// What is subtracted from rows and prototypes before distances are taken: the column means, unless the metric may not
    /// be translation invariant.
    pub fn centre(&self, features: &crate::data::Features) -> Vec<f64> {
        match self.metric().is_translation_invariant() {
            true => features.column_means(),
            false => vec![0.0; features.columns()],
        }
    }

    /// The tensor that plays the prototypes.
    pub fn prototypes(&self) -> &'static str {
        self.row.tensors[0].name
    }

    /// Whether the parts of a composed model make sense together; the catalogue's do.
    pub fn check_parts(&self) -> Result<()> {
        match self.text("kernel") {
            Some(kernel) if self.name() == compose::NAME => compose::check(self.row, &kernel),
            _ => Ok(()),
        }
    }

    /// The composition, with every setting resolved to numbers; sizes are checked here.
    pub fn compose(&self, sizes: Sizes) -> Result<Composition> {
        self.check_parts()?;
        if self.float("omega_hat_scale") == Some(0.0) {
            return Err(Error::parameter("omega_hat_scale", "must not be 0"));
        }
        if self.text("distance_fn").as_deref() != Some("lp")
            && self.float("p").is_some_and(|p| p != 2.0)
        {
            return Err(Error::parameter("p", "used with distance_fn=lp only"));
        }
        if self.metric() == MetricName::Cosine
            && (self.is_set("distance_fn") || self.is_set("sigma") || self.user_metric.is_some())
        {
            return Err(Error::parameter(
                "similarity_fn",
                "cosine is computed from the rows themselves: distance_fn and sigma have no use",
            ));
        }
        if let Some(classes) = self.int("n_classes")
            && classes != sizes.classes
        {
            return Err(Error::parameter(
                "n_classes",
                format!("is {classes}, but y has {} classes", sizes.classes),
            ));
        }
        let ties = match self.text("ties").as_deref() {
            Some("even") => Ties::Even,
            _ => Ties::First,
        };
        let sigma = self.float("sigma").unwrap_or(1.0);
        let margin = self.float("margin").unwrap_or(0.0);
        let cooperation = match self.row.cooperation {
            C::Winner => Cooperation::Winner,
            C::WinnerPair => Cooperation::WinnerPair { ties },
            C::ClassMinimum => Cooperation::ClassMinimum { ties },
            C::Posterior => Cooperation::Posterior { sigma },
            C::Reasoning => Cooperation::Reasoning,
            C::RanksOwn => Cooperation::RanksOwn { ties },
            C::RanksEach => Cooperation::RanksEach,
            C::RanksAll => Cooperation::RanksAll,
            C::PosteriorRanks => Cooperation::PosteriorRanks {
                sigma,
                within_class: self.text("rank_scope").as_deref() == Some("class"),
            },
        };
        let kernel = match (self.row.kernel, self.text("similarity_fn").as_deref()) {
            (K::None, _) => Kernel::None,
            (K::Similarity, Some("rank_scaled_gaussian")) => {
                Kernel::RankScaledGaussian { lambda: self.float("lambd").unwrap_or(1.0) }
            }
            (K::Similarity, Some("cosine")) => Kernel::Complement,
            (K::Similarity, _) => Kernel::Gaussian { sigma },
            (K::Gaussian, _) => {
                Kernel::Bandwidth { sigma_min: self.float("sigma_min").unwrap_or(1e-3) }
            }
            (K::Exponential, _) => Kernel::Exponential,
        };
        let objective = match self.row.objective {
            O::Glvq => Objective::Glvq {
                transfer: self.transfer_function()?,
                margin,
                lr_ratio: self.float("lr_ratio").unwrap_or(1.0),
            },
            O::Lvq1 => Objective::Lvq1,
            O::Lvq21 => Objective::Lvq21,
            O::CrossEntropy => Objective::CrossEntropy,
            O::Nllr => Objective::Nllr,
            O::Rslvq => Objective::Rslvq { exact_log: self.flag("exact_log") },
            O::Hinge => Objective::Hinge { margin },
            O::OneClass => Objective::OneClass {
                transfer: self.transfer_function()?,
                margin,
                beta: self.float("beta").unwrap_or(10.0),
            },
            O::SvqOcc => Objective::SvqOcc {
                alpha: self.float("alpha").unwrap_or(0.5),
                cost: Cost::parse(&self.text("cost_function").unwrap_or_default())?,
                response: match self.text("response_type").as_deref() {
                    Some("student_t") => Response::StudentT { nu: self.float("nu").unwrap_or(1.0) },
                    Some("uniform") => Response::Uniform,
                    _ => Response::Gaussian { gamma: self.float("gamma_resp").unwrap_or(1.0) },
                },
                sigma: self.float("sigma").unwrap_or(0.1),
            },
            O::Hebbian => Objective::Hebbian { window: self.float("window") },
            O::Medoid => Objective::Medoid {
                assignment: match self.text("assignment").as_deref() {
                    Some("class") => Assignment::Class,
                    _ => Assignment::ReceptiveField,
                },
            },
        };
        let mut constraints: Vec<Constraint> = self
            .row
            .constraints
            .iter()
            .filter_map(|c| match c {
                ConstraintChoice::Polar => Some(Constraint::Polar),
                ConstraintChoice::TraceNormalise => Some(Constraint::TraceNormalise),
                ConstraintChoice::Clamp("sigmas") => Some(Constraint::Clamp {
                    tensor: "sigmas",
                    floor: self.float("sigma_min").unwrap_or(1e-3),
                }),
                ConstraintChoice::Clamp(tensor) => {
                    Some(Constraint::Clamp { tensor, floor: THETA_MIN })
                }
                ConstraintChoice::Anneal(_) => None,
            })
            .collect();
        if self.flag("normalize_omega") {
            constraints.push(Constraint::NormalizeOmega);
        }
        if self.flag("clip_reasonings") {
            constraints.push(Constraint::ClipReasonings);
        }
        Ok(Composition {
            embedding: Embedding::Identity,
            metric: self.metric(),
            user_metric: self.user_metric.clone(),
            spread: self.row.spread,
            kernel,
            cooperation,
            objective,
            constraints,
            prototypes: self.prototypes(),
            anneal: self.row.range().map(|tensor| Anneal {
                tensor,
                decay: self.float(if tensor == "gamma" { "gamma_decay" } else { "lambda_decay" }),
                floor: self.range_floor(),
            }),
        })
    }

    /// Floor of the ranks' range.
    fn range_floor(&self) -> f64 {
        self.float("gamma_final").or(self.float("lambda_final")).unwrap_or(0.01)
    }

    /// Range of the ranks at the start: as set, or half of `scope`, the largest number of prototypes ranked together; just above its
    /// floor at least.
    pub fn first_range(&self, scope: usize) -> f64 {
        let set = self.float("gamma_init").or(self.float("lambda_init"));
        set.unwrap_or(scope as f64 / 2.0).max(self.range_floor() + 1e-6)
    }

    /// Factor of the learning rate of a tensor in a run with rate `lr`.
    pub fn multiplier(&self, tensor: &str, lr: f64) -> f64 {
        match self.float("omega_lr") {
            Some(rate) if tensor == "omegas" => rate / lr,
            _ => 1.0,
        }
    }

    fn transfer_function(&self) -> Result<Transfer> {
        match &self.transfer {
            Some(t) => Ok(t.clone()),
            None => Transfer::parse(
                &self.text("transfer_fn").unwrap_or_else(|| "identity".into()),
                self.float("beta").unwrap_or(10.0),
            ),
        }
    }
}

fn default(p: &Parameter) -> Json {
    // The check brings the text of the default to its normal form (a float key's `1` becomes 1.0).
    p.check(&from_text(p.default)).unwrap_or(Json::Null)
}

/// A hyper-parameter that some other row has.
fn foreign(key: &str) -> Option<&'static Parameter> {
    CATALOGUE.iter().flat_map(Row::all_parameters).find(|p| p.name == key)
}
