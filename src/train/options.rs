//! `Training`: HOW to learn. Every option is honoured in every combination, or refused with the reason.

use crate::error::{Error, Result};
use crate::model::parameter::plain;
use crate::parts::composition::Precision;
use crate::parts::curriculum::Curriculum;
use crate::parts::optimizer::OptimizerSpec;
use crate::train::schedule::Schedule;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How a model is trained. Plain data: fields may be set one by one; they are checked when training starts.
///
/// ```
/// let training = lvq::Training { max_iter: 50, lr: 0.02, batch_size: Some(256), ..Default::default() };
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Iterations: full-batch steps, or epochs with `batch_size`. Counted over all runs when training is continued.
    pub max_iter: usize,
    /// Step size.
    pub lr: f64,
    /// Stop when the loss changes by less from one iteration to the next; 0 never stops early. With `patience`: the
    /// smallest improvement that counts.
    pub epsilon: f64,
    /// Seed of all random streams.
    pub random_seed: u64,
    /// Optimizer by name (see [`OptimizerSpec`]).
    pub optimizer: String,
    /// Its hyper-parameters.
    pub optimizer_kwargs: Map<String, Json>,
    /// Learning-rate schedule by name (see [`Schedule`]); none: constant.
    pub lr_scheduler: Option<String>,
    /// Its arguments. Lengths that are not given follow the number of updates of the run.
    pub lr_scheduler_kwargs: Map<String, Json>,
    /// Rows of a mini-batch; none: all.
    pub batch_size: Option<usize>,
    /// Stop after so many iterations in a row without improvement of the validation loss (the training loss without
    /// validation data), in place of the `epsilon` test.
    pub patience: Option<usize>,
    /// Return the weights with the best monitored loss and not the last.
    pub restore_best: bool,
    /// Weight of each class.
    pub class_weight: ClassWeight,
    /// Batches whose mean gradient makes one update.
    pub gradient_accumulation_steps: Option<usize>,
    /// Decay of an exponential moving average of the weights, which is then what is returned.
    pub ema_decay: Option<f64>,
    /// Tensors that do not learn.
    pub freeze_params: Vec<String>,
    /// Lookahead.
    pub lookahead: Option<Lookahead>,
    /// Precision of data, products and parameters.
    pub precision: Precision,
    /// Upper bound of the norm of the whole gradient.
    pub clip_norm: Option<f64>,
    /// Upper bounds of the norms of single tensors' gradients.
    pub per_group_clip: BTreeMap<String, f64>,
    /// Weight of the prototype diversity term.
    pub diversity_weight: f64,
    /// Width of its kernel.
    pub diversity_sigma: f64,
    /// Self-paced weights: easy rows first.
    pub curriculum: Option<Curriculum>,
    /// Proximal L1 step on relevance logits after each update.
    pub l1_weight: f64,
    /// Proximal L2 step on relevance logits after each update.
    pub l2_weight: f64,
    /// How row weights act.
    pub weighting: Weighting,
    /// What happens to frozen tensors (compatibility).
    pub frozen_update: FrozenUpdate,
    /// Accepted, without effect: there is one loop.
    pub use_scan: bool,
    /// Accepted, without effect on these models: gradients are analytic and nothing is stored for them.
    pub gradient_checkpointing: bool,
    /// Where and how often checkpoints are written. Not part of what a continued run must agree in.
    #[serde(skip)]
    pub checkpoint: Option<Checkpoint>,
    /// A schedule of the user's own in place of `lr_scheduler`: number of updates made -> rate.
    #[serde(skip)]
    pub schedule_fn: Option<Arc<dyn Fn(u64) -> f64 + Send + Sync>>,
    /// Set from outside, training stops after the update at hand.
    #[serde(skip)]
    pub stop: Option<Arc<AtomicBool>>,
}

/// Where and how often training is saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The file, rewritten whole each time.
    pub path: PathBuf,
    /// Iterations from one to the next.
    pub every: usize,
}

/// Lookahead (Zhang et al. 2019).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lookahead {
    /// Updates from one synchronisation to the next.
    pub sync_period: usize,
    /// Step of the slow weights towards the fast ones.
    pub slow_step_size: f64,
}

impl Default for Lookahead {
    fn default() -> Self {
        Lookahead { sync_period: 6, slow_step_size: 0.5 }
    }
}

/// Weights of the classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeight {
    /// All rows count the same.
    #[default]
    None,
    /// All classes count the same: `n / (C n_c)`.
    Balanced,
    /// By label as written; classes not named count 1.
    Map(BTreeMap<String, f64>),
}

impl Serialize for ClassWeight {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            ClassWeight::None => s.serialize_none(),
            ClassWeight::Balanced => s.serialize_str("balanced"),
            ClassWeight::Map(map) => map.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeight {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            None(()),
            Name(String),
            Map(BTreeMap<String, f64>),
        }
        match Form::deserialize(d) {
            Ok(Form::None(())) => Ok(ClassWeight::None),
            Ok(Form::Name(name)) if name == "balanced" => Ok(ClassWeight::Balanced),
            Ok(Form::Map(map)) => Ok(ClassWeight::Map(map)),
            _ => Err(serde::de::Error::custom("expected none, balanced or a map label=weight")),
        }
    }
}

/// How row weights act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weighting {
    /// As exact weights in the loss.
    #[default]
    Loss,
    /// By drawing rows with probability in proportion to their weight (the reference's way).
    Resample,
}

/// What happens to frozen tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrozenUpdate {
    /// Nothing.
    #[default]
    Zero,
    /// Their raw gradient is added (what the reference does).
    RawGradient,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            max_iter: 100,
            lr: 0.01,
            epsilon: 1e-6,
            random_seed: 42,
            optimizer: "adam".into(),
            optimizer_kwargs: Map::new(),
            lr_scheduler: None,
            lr_scheduler_kwargs: Map::new(),
            batch_size: None,
            patience: None,
            restore_best: false,
            class_weight: ClassWeight::None,
            gradient_accumulation_steps: None,
            ema_decay: None,
            freeze_params: Vec::new(),
            lookahead: None,
            precision: Precision::F32,
            clip_norm: None,
            per_group_clip: BTreeMap::new(),
            diversity_weight: 0.0,
            diversity_sigma: 1.0,
            curriculum: None,
            l1_weight: 0.0,
            l2_weight: 0.0,
            weighting: Weighting::Loss,
            frozen_update: FrozenUpdate::Zero,
            use_scan: true,
            gradient_checkpointing: false,
            checkpoint: None,
            schedule_fn: None,
            stop: None,
        }
    }
}

impl std::fmt::Debug for Training {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Training {}", Json::Object(self.to_json()))
    }
}

/// Other names of options: the reference's, and the flags'.
const ALIASES: &[(&str, &str)] = &[
    ("seed", "random_seed"),
    ("schedule", "lr_scheduler"),
    ("mixed_precision", "precision"),
    ("dtype", "precision"),
    ("grad_accumulation", "gradient_accumulation_steps"),
    ("ema", "ema_decay"),
    ("freeze", "freeze_params"),
];

impl Training {
    /// All options as stored in files.
    pub fn to_json(&self) -> Map<String, Json> {
        match serde_json::to_value(self) {
            Ok(Json::Object(map)) => map,
            _ => Map::new(),
        }
    }

    /// From the options of a file.
    pub fn from_json(options: &Map<String, Json>) -> Result<Self> {
        options.iter().try_fold(Training::default(), |t, (k, v)| t.set(k, v.clone()))
    }

    /// The names of the options.
    pub fn names() -> Vec<String> {
        Training::default().to_json().keys().cloned().collect()
    }

    /// The option's own name for a name or alias, or none.
    pub fn canonical(key: &str) -> Option<String> {
        let key = ALIASES.iter().find(|(a, _)| *a == key).map_or(key, |(_, k)| k);
        Training::names().into_iter().find(|name| name == key)
    }

    /// Sets one option by name, without the checks of [`Training::check`]; nested ones as `optimizer_kwargs.b1` or with a map.
    pub fn set(&self, key: &str, value: impl Into<Json>) -> Result<Self> {
        let mut value: Json = value.into();
        let (head, tail) = key.split_once('.').map_or((key, None), |(h, t)| (h, Some(t)));
        let Some(name) = Training::canonical(head) else {
            let names = Training::names();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(Error::unknown("training option", key, &names));
        };
        let mut options = self.to_json();
        if let Some(tail) = tail {
            let mut map = options[&name].as_object().cloned().unwrap_or_default();
            map.insert(tail.to_string(), value);
            value = Json::Object(map);
        }
        match (name.as_str(), &value) {
            // One name is a list of one; none is an empty list or map.
            ("freeze_params", Json::String(one)) => value = Json::Array(vec![one.clone().into()]),
            ("freeze_params", Json::Null) => value = Json::Array(Vec::new()),
            ("optimizer_kwargs" | "lr_scheduler_kwargs" | "per_group_clip", Json::Null) => {
                value = Json::Object(Map::new());
            }
            ("precision", Json::String(s)) => value = s.parse::<Precision>()?.name().into(),
            ("precision", Json::Null) => value = "f32".into(),
            _ => {}
        }
        let shown = plain(&value);
        options.insert(name.clone(), value);
        let mut new: Training = serde_json::from_value(Json::Object(options))
            .map_err(|e| Error::parameter(&name, format!("{e}; got {shown}")))?;
        new.checkpoint = self.checkpoint.clone();
        new.schedule_fn = self.schedule_fn.clone();
        new.stop = self.stop.clone();
        Ok(new)
    }

    /// The reference's behaviour in all the points where we differ, for comparing with it.
    pub fn set_compat(&self, value: &Json) -> Result<Self> {
        match value.as_str() {
            _ if value.is_null() => Ok(self.clone()),
            Some("prosemble-2.4") => {
                let mut new =
                    self.set("frozen_update", "raw_gradient")?.set("weighting", "resample")?;
                if new.optimizer == "rprop" {
                    new = new.set("optimizer_kwargs.rprop_delay", true)?;
                }
                Ok(new)
            }
            _ => Err(Error::parameter(
                "compat",
                format!("expected none or prosemble-2.4, got {}", plain(value)),
            )),
        }
    }

    /// The optimizer.
    pub fn optimizer_spec(&self) -> Result<OptimizerSpec> {
        OptimizerSpec::parse(&self.optimizer, &self.optimizer_kwargs)
    }

    /// The schedule for a run of so many updates.
    pub fn schedule(&self, total_updates: u64) -> Result<Schedule> {
        match &self.schedule_fn {
            Some(f) => Ok(Schedule::custom(f.clone())),
            None => Schedule::parse(
                self.lr_scheduler.as_deref(),
                &self.lr_scheduler_kwargs,
                self.lr,
                total_updates,
            ),
        }
    }

    /// Checks every option's range, and what cannot be combined. Model and data are not looked at.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &str, v: f64| -> Result<()> {
            if v > 0.0 && v.is_finite() {
                Ok(())
            } else {
                Err(Error::parameter(name, format!("must be a finite number > 0, got {v}")))
            }
        };
        let at_least_0 = |name: &str, v: f64| -> Result<()> {
            if v >= 0.0 && v.is_finite() {
                Ok(())
            } else {
                Err(Error::parameter(name, format!("must be a finite number >= 0, got {v}")))
            }
        };
        let at_least_1 = |name: &str, v: Option<usize>| -> Result<()> {
            match v {
                Some(0) => Err(Error::parameter(name, "must be at least 1, got 0")),
                _ => Ok(()),
            }
        };
        at_least_1("max_iter", Some(self.max_iter))?;
        positive("lr", self.lr)?;
        at_least_0("epsilon", self.epsilon)?;
        at_least_1("batch_size", self.batch_size)?;
        at_least_1("patience", self.patience)?;
        at_least_1("gradient_accumulation_steps", self.gradient_accumulation_steps)?;
        if let Some(a) = self.ema_decay
            && !(a > 0.0 && a < 1.0)
        {
            return Err(Error::parameter("ema_decay", format!("must be > 0 and < 1, got {a}")));
        }
        if let Some(l) = self.lookahead {
            at_least_1("lookahead.sync_period", Some(l.sync_period))?;
            if !(l.slow_step_size > 0.0 && l.slow_step_size <= 1.0) {
                return Err(Error::parameter(
                    "lookahead.slow_step_size",
                    format!("must be > 0 and <= 1, got {}", l.slow_step_size),
                ));
            }
        }
        if let Some(c) = self.clip_norm {
            positive("clip_norm", c)?;
        }
        for (name, c) in &self.per_group_clip {
            positive(&format!("per_group_clip.{name}"), *c)?;
        }
        at_least_0("diversity_weight", self.diversity_weight)?;
        positive("diversity_sigma", self.diversity_sigma)?;
        at_least_0("l1_weight", self.l1_weight)?;
        at_least_0("l2_weight", self.l2_weight)?;
        if let ClassWeight::Map(map) = &self.class_weight {
            for (label, w) in map {
                at_least_0(&format!("class_weight.{label}"), *w)?;
            }
        }
        if let Some(c) = &self.curriculum {
            c.check()?;
        }
        if let Some(c) = &self.checkpoint {
            at_least_1("checkpoint_every", Some(c.every))?;
        }
        let optimizer = self.optimizer_spec()?;
        // With a length of 1 only the names and ranges of the arguments are checked; lengths come with the data.
        if self.schedule_fn.is_some() && self.lr_scheduler.is_some() {
            return Err(Error::parameter("lr_scheduler", "given twice: by name and as a function"));
        }
        if self.lr_scheduler.is_none() && !self.lr_scheduler_kwargs.is_empty() {
            return Err(Error::parameter("lr_scheduler_kwargs", "given without lr_scheduler"));
        }
        let refuse = |with: &str, why: &str| -> Result<()> {
            Err(Error::parameter(
                "optimizer",
                format!("{} cannot be combined with {with}: {why}", optimizer.name()),
            ))
        };
        let accumulates = self.gradient_accumulation_steps.is_some_and(|k| k > 1);
        let clips = self.clip_norm.is_some() || !self.per_group_clip.is_empty();
        match optimizer.name() {
            "lbfgs" => {
                let why = "its line search evaluates the loss of one batch, and needs that loss's own gradient";
                if accumulates {
                    refuse("gradient_accumulation_steps", why)?;
                }
                if clips {
                    refuse("clipping", why)?;
                }
                if self.diversity_weight > 0.0 {
                    refuse("diversity_weight", why)?;
                }
                if self.precision == Precision::F16 {
                    refuse(
                        "precision f16",
                        "a skipped step would break the line search; use bf16",
                    )?;
                }
            }
            "dpsgd" => {
                let why = "the noise is matched to the clipped sum of one batch's rows";
                if accumulates {
                    refuse("gradient_accumulation_steps", why)?;
                }
                if clips {
                    refuse("clipping", why)?;
                }
                if self.diversity_weight > 0.0 {
                    refuse("diversity_weight", why)?;
                }
                if self.curriculum.is_some() {
                    refuse("curriculum", why)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The options in which a run and its continuation differ, `max_iter` excepted.
    pub fn differences(&self, stored: &Map<String, Json>) -> Vec<String> {
        let mine = self.to_json();
        mine.iter()
            .filter(|(k, _)| !matches!(k.as_str(), "max_iter" | "use_scan"))
            .filter_map(|(k, v)| {
                let old = stored.get(k)?;
                (old != v).then(|| format!("{k} (checkpoint {}, now {})", plain(old), plain(v)))
            })
            .collect()
    }
}
