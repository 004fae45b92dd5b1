//! How a model starts: the tensors before the first step.

use super::spec::Model;
use crate::data::{Dataset, Label};
use crate::error::{Error, Result};
use crate::parts::composition::MetricName;
use crate::parts::initialiser::{self, Counts, Settings};
use crate::parts::linalg;
use crate::parts::random::stream;
use crate::parts::tensor::{Tensor, Tensors};
use serde_json::Value as Json;

/// Start tensors from outside: used as they are; the rest is initialised from the prototypes actually used.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Tensors by their names in the specification.
    pub tensors: Tensors<f64>,
    /// Label of each prototype.
    pub prototype_labels: Option<Vec<Label>>,
}

impl Given {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.tensors.list.is_empty() && self.prototype_labels.is_none()
    }
}

/// A model before its first step.
pub struct Start {
    /// All tensors, learnable ones first and in the row's order.
    pub tensors: Tensors<f64>,
    /// Class of each prototype.
    pub prototype_labels: Vec<u32>,
    /// What a user should know.
    pub warnings: Vec<String>,
}

/// Start tensors of `model` for `data`; `codes` are the data's labels as indices into `classes`.
pub fn start(
    model: &Model,
    data: &Dataset,
    classes: &[Label],
    codes: &[u32],
    given: &Given,
    seed: u64,
) -> Result<Start> {
    let (n, d) = (data.features.rows(), data.features.columns());
    let names: Vec<&str> =
        model.row().tensors.iter().map(|t| t.name).chain(model.fixed_tensor()).collect();
    for t in &given.tensors.list {
        if !names.contains(&t.name.as_str()) {
            return Err(Error::unknown(
                &format!("start tensor of {}", model.name()),
                &t.name,
                &names,
            ));
        }
        if let Some(i) = t.data.iter().position(|v| !v.is_finite()) {
            return Err(Error::data(format!(
                "start tensor '{}': value {i} is {}, not a finite number",
                t.name, t.data[i]
            )));
        }
    }
    let mut warnings = Vec::new();
    let prototypes_name = model.prototypes();
    let components = prototypes_name == "components";
    let rows = |i: usize, out: &mut [f64]| data.features.row_into(i, out);

    // Prototypes (or components) and their classes come first: everything else follows from them.
    let (prototypes, prototype_labels) = match given.tensors.get(prototypes_name) {
        Some(t) => {
            let p = match t.shape[..] {
                [p, width] if width == d && p > 0 => p,
                _ => {
                    return Err(Error::shape(
                        format!("start tensor '{prototypes_name}'"),
                        format!("(p, {d})"),
                        format!("{:?}", t.shape),
                    ));
                }
            };
            let labels = match &given.prototype_labels {
                _ if components => vec![0; p],
                Some(labels) => given_labels(labels, classes, p)?,
                None => {
                    let counts = counts(model, classes, &mut warnings)?;
                    let labels: Vec<u32> = (0..classes.len() as u32)
                        .flat_map(|c| std::iter::repeat_n(c, counts[c as usize]))
                        .collect();
                    if labels.len() != p {
                        return Err(Error::shape(
                            format!("start tensor '{prototypes_name}'"),
                            format!(
                                "{} prototypes (n_prototypes_per_class); give prototype_labels for another number",
                                labels.len()
                            ),
                            p,
                        ));
                    }
                    labels
                }
            };
            (t.data.clone(), labels)
        }
        None if given.prototype_labels.is_some() && !components => {
            return Err(Error::parameter("prototype_labels", "given without prototypes"));
        }
        None if components => {
            let p = model.int("n_components").unwrap_or(5);
            let settings = settings(model);
            let name = model.text("components_initializer").unwrap_or_default();
            (initialiser::components(&name, n, d, p, &settings, seed, &rows)?, vec![0; p])
        }
        None => {
            let counts = counts(model, classes, &mut warnings)?;
            let name = model.text("prototypes_initializer").unwrap_or_default();
            let settings = settings(model);
            let made = initialiser::prototypes(
                &name,
                &settings,
                n,
                d,
                codes,
                classes.len(),
                &counts,
                seed,
                &rows,
            )?;
            warnings.extend(made.warnings);
            (made.values, made.labels)
        }
    };
    let p = prototype_labels.len();
    let mut tensors = Tensors::default();
    tensors.insert(Tensor::new(prototypes_name, &[p, d], prototypes));

    for name in names.into_iter().skip(1) {
        let fixed = model.fixed_tensor() == Some(name);
        let tensor = match (given.tensors.get(name), model.metric(), name) {
            (Some(t), metric, _) => {
                let t = if t.shape == [1] && name == "gamma" {
                    Tensor::new(name, &[], t.data.clone())
                } else {
                    t.clone()
                };
                check_shape(model, &t, metric, d, p, classes.len())?;
                t
            }
            (None, ..) if fixed => {
                return Err(Error::parameter(
                    "distance_fn",
                    format!(
                        "{} needs its matrices: give '{name}' as a start tensor",
                        model.metric().name()
                    ),
                ));
            }
            (None, _, "relevances") => Tensor::new(name, &[d], vec![1.0 / d as f64; d]),
            (None, _, "omega") => {
                let l = latent(model, d, &mut warnings);
                Tensor::new(name, &[d, l], omega(model, data, l, seed)?)
            }
            (None, MetricName::LocalOmega, _) => {
                let l = latent(model, d, &mut warnings);
                let one = omega(model, data, l, seed)?;
                Tensor::new(name, &[p, d, l], one.repeat(p))
            }
            (None, MetricName::Tangent, _) => {
                let s = model.int("subspace_dim").unwrap_or(2);
                if s >= d {
                    return Err(Error::parameter(
                        "subspace_dim",
                        format!("must be below the number of features, {d}; got {s}"),
                    ));
                }
                let bases = (0..p).flat_map(|j| {
                    initialiser::random_omega(d, s, &mut stream(seed, "omegas", j as u64))
                });
                Tensor::new(name, &[p, d, s], bases.collect())
            }
            (None, _, "reasonings") => {
                let c = classes.len();
                let values = match model.text("reasonings_initializer").as_deref() {
                    Some("pure_positive") => initialiser::pure_positive_reasonings(p, c),
                    _ => initialiser::random_reasonings(p, c, &mut stream(seed, "reasonings", 0)),
                };
                Tensor::new(name, &[p, c, 2], values)
            }
            (None, ..) => unreachable!("tensor '{name}' of {} has no start", model.name()),
        };
        tensors.insert(tensor);
    }
    // The model is checked against its sizes before anything is trained.
    model.compose(super::spec::Sizes { n, d, p, classes: classes.len() })?;
    Ok(Start { tensors, prototype_labels, warnings })
}

fn given_labels(labels: &[Label], classes: &[Label], p: usize) -> Result<Vec<u32>> {
    if labels.len() != p {
        return Err(Error::shape(
            "prototype_labels",
            format!("{p} labels, one a prototype"),
            labels.len(),
        ));
    }
    labels
        .iter()
        .map(|label| match classes.binary_search(label) {
            Ok(c) => Ok(c as u32),
            Err(_) => Err(Error::data(format!(
                "prototype_labels: '{label}' does not occur in y; labels there: {}",
                classes.iter().map(Label::to_string).collect::<Vec<_>>().join(", ")
            ))),
        })
        .collect()
}

/// Prototypes of each class, from `n_prototypes_per_class`.
fn counts(model: &Model, classes: &[Label], warnings: &mut Vec<String>) -> Result<Vec<usize>> {
    let value = model.get("n_prototypes_per_class").unwrap_or(Json::from(1));
    let count = |v: &Json| v.as_u64().unwrap_or(1) as usize;
    let counts = match &value {
        Json::Array(list) => Counts::List(list.iter().map(count).collect()),
        Json::Object(map) => Counts::Map(map.iter().map(|(k, v)| (k.clone(), count(v))).collect()),
        v => Counts::All(count(v)),
    };
    let names: Vec<String> = classes.iter().map(Label::to_string).collect();
    let (counts, more) = counts.resolve(&names)?;
    warnings.extend(more);
    Ok(counts)
}

fn settings(model: &Model) -> Settings {
    let default = Settings::default();
    Settings {
        noise_std: model.float("noise_std").unwrap_or(default.noise_std),
        jitter: model.float("jitter").unwrap_or(default.jitter),
        mean: model.float("init_mean").unwrap_or(default.mean),
        std: model.float("init_std").unwrap_or(default.std),
        low: model.float("init_low").unwrap_or(default.low),
        high: model.float("init_high").unwrap_or(default.high),
        value: model.float("init_value").unwrap_or(default.value),
    }
}

fn latent(model: &Model, d: usize, warnings: &mut Vec<String>) -> usize {
    let l = model.int("latent_dim").unwrap_or(d);
    if l > d {
        warnings.push(format!(
            "latent_dim {l} is above the number of features {d}: the last {} columns stay zero",
            l - d
        ));
    }
    l
}

/// Where a linear map starts, `d x l`.
fn omega(model: &Model, data: &Dataset, l: usize, seed: u64) -> Result<Vec<f64>> {
    let (n, d) = (data.features.rows(), data.features.columns());
    match model.text("omega_initializer").as_deref() {
        Some("random") => {
            if l > d {
                return Err(Error::parameter(
                    "latent_dim",
                    format!("omega_initializer random needs latent_dim <= {d}"),
                ));
            }
            Ok(initialiser::random_omega(d, l, &mut stream(seed, "omegas", 0)))
        }
        Some("pca") => {
            let mut x = vec![0.0; n * d];
            for (i, row) in x.chunks_mut(d).enumerate() {
                data.features.row_into(i, row);
            }
            linalg::principal_axes(&x, n, d, l)
        }
        _ => Ok(initialiser::identity_omega(d, l)),
    }
}

fn check_shape(
    model: &Model,
    t: &Tensor<f64>,
    metric: MetricName,
    d: usize,
    p: usize,
    classes: usize,
) -> Result<()> {
    let expected = match (t.name.as_str(), metric) {
        ("relevances", _) => format!("({d})"),
        ("reasonings", _) => format!("({p}, {classes}, 2)"),
        ("omega", _) => match model.int("latent_dim") {
            Some(l) => format!("({d}, {l})"),
            None => format!("({d}, l)"),
        },
        ("omegas", MetricName::Tangent) => {
            if let [_, _, s] = t.shape[..]
                && s >= d
            {
                return Err(Error::parameter(
                    "subspace_dim",
                    format!(
                        "must be below the number of features, {d}; start tensor 'omegas' has {s}"
                    ),
                ));
            }
            match model.int("subspace_dim").filter(|_| model.is_set("subspace_dim")) {
                Some(s) => format!("({p}, {d}, {s})"),
                None => format!("({p}, {d}, s)"),
            }
        }
        ("omegas", _) => match model.int("latent_dim") {
            Some(l) => format!("({p}, {d}, {l})"),
            None => format!("({p}, {d}, l)"),
        },
        _ => return Ok(()),
    };
    let got = format!("({})", t.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", "));
    let wild = |s: &str| -> String {
        // A letter stands for any length of that axis.
        let parts: Vec<&str> = s.trim_matches(['(', ')']).split(", ").collect();
        let shape: Vec<String> = t.shape.iter().map(usize::to_string).collect();
        let fits = parts.len() == shape.len()
            && parts.iter().zip(&shape).all(|(a, b)| a == b || a.chars().all(char::is_alphabetic));
        if fits { got.clone() } else { s.to_string() }
    };
    if wild(&expected) == got && !t.data.is_empty() {
        Ok(())
    } else {
        Err(Error::shape(format!("start tensor '{}'", t.name), expected, got))
    }
}
