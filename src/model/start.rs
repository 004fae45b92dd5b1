//! How a model starts: the tensors before the first step.

use super::catalogue::CooperationChoice;
use super::spec::{Model, Sizes};
use crate::backend::cpu::Cpu;
use crate::backend::{Backend, Question};
use crate::data::{Dataset, Label};
use crate::error::{Error, Result};
use crate::parts::composition::{Composition, MetricName, Precision};
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
    /// The class that a one-class model is about; 0 for all others.
    pub target: u32,
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
    let row = model.row();
    let names: Vec<&str> =
        row.tensors.iter().map(|t| t.name).chain(model.fixed_tensor()).chain(row.range()).collect();
    let target = match row.is_one_class() {
        true => target(model, classes, codes)?,
        false => 0,
    };
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
                Some(labels) => {
                    let labels = given_labels(labels, classes, p)?;
                    if row.is_one_class() && labels.iter().any(|l| *l != target) {
                        return Err(Error::data(format!(
                            "prototype_labels: all prototypes of {} are of the target class, {}",
                            model.name(),
                            classes[target as usize]
                        )));
                    }
                    labels
                }
                None if row.is_one_class() => vec![target; p],
                None => {
                    let counts = counts(model, classes, target, &mut warnings)?;
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
            let counts = counts(model, classes, target, &mut warnings)?;
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
    // Ranks within a class: no prototype, no distance to that class.
    let ranked = matches!(
        row.cooperation,
        CooperationChoice::RanksOwn
            | CooperationChoice::RanksEach
            | CooperationChoice::PosteriorRanks
    );
    if ranked && !row.is_one_class() {
        let missing = (0..classes.len()).find(|c| !prototype_labels.contains(&(*c as u32)));
        if let Some(c) = missing {
            return Err(Error::data(format!(
                "{}: the class '{}' has no prototype",
                model.name(),
                classes[c]
            )));
        }
    }
    let mut tensors = Tensors::default();
    tensors.insert(Tensor::new(prototypes_name, &[p, d], prototypes));

    let sizes = Sizes { n, d, p, classes: classes.len() };
    let composition = model.compose(sizes)?;
    let thresholds = composition.objective.thresholds().map(|(name, _)| name);
    for name in names.into_iter().skip(1) {
        let tensor = match given.tensors.get(name) {
            Some(t) => {
                let t = if t.data.len() == 1 && row.range() == Some(name) {
                    Tensor::new(name, &[], t.data.clone())
                } else {
                    t.clone()
                };
                check_shape(model, &t, d, p, classes.len())?;
                t
            }
            // Thresholds need all other tensors: theirs is the last turn.
            None if thresholds == Some(name) => Tensor::new(name, &[p], vec![0.0; p]),
            None if model.fixed_tensor() == Some(name) => {
                let metric = model.metric().name();
                return Err(Error::parameter(
                    "distance_fn",
                    format!("{metric} needs its matrices: give '{name}' as a start tensor"),
                ));
            }
            None => {
                let prototypes = tensors.values(prototypes_name);
                let made = Making {
                    model,
                    data,
                    codes,
                    classes: classes.len(),
                    prototypes,
                    labels: &prototype_labels,
                    seed,
                };
                made.tensor(name, &mut warnings)?
            }
        };
        tensors.insert(tensor);
    }
    if let Some(name) = thresholds
        && given.tensors.get(name).is_none()
    {
        let values = first_thresholds(
            model,
            &composition,
            data,
            codes,
            target,
            &prototype_labels,
            &tensors,
        )?;
        tensors.insert(Tensor::new(name, &[p], values));
    }
    Ok(Start { tensors, prototype_labels, target, warnings })
}

/// The target class of a one-class model: as set, or the most frequent (the smallest label on ties).
fn target(model: &Model, classes: &[Label], codes: &[u32]) -> Result<u32> {
    match model.get("target_label") {
        Some(Json::Null) | None => {
            let mut counts = vec![0usize; classes.len()];
            codes.iter().for_each(|c| counts[*c as usize] += 1);
            Ok((0..counts.len()).fold(0, |b, c| if counts[c] > counts[b] { c } else { b }) as u32)
        }
        Some(value) => {
            let text = match &value {
                Json::String(s) => s.clone(),
                v => v.to_string(),
            };
            classes.iter().position(|c| c.to_string() == text).map(|c| c as u32).ok_or_else(|| {
                let names: Vec<String> = classes.iter().map(Label::to_string).collect();
                Error::parameter(
                    "target_label",
                    format!("'{text}' does not occur in y; labels there: {}", names.join(", ")),
                )
            })
        }
    }
}

/// Thresholds at the start: `thetas` the mean squared Euclidean distance of all target rows to the prototype, `radii` the root of
/// the mean distance of the target rows that the prototype is nearest to (of all target rows, each to its nearest, if there are none).
fn first_thresholds(
    model: &Model,
    composition: &Composition,
    data: &Dataset,
    codes: &[u32],
    target: u32,
    labels: &[u32],
    tensors: &Tensors<f64>,
) -> Result<Vec<f64>> {
    let rows: Vec<usize> = (0..codes.len()).filter(|i| codes[*i] == target).collect();
    let radii = model.row().tensors.iter().any(|t| t.name == "radii");
    let plain;
    let composition = if radii {
        composition
    } else {
        plain = Composition {
            metric: MetricName::SquaredEuclidean,
            user_metric: None,
            ..composition.clone()
        };
        &plain
    };
    let question = Question {
        composition,
        classes: labels.iter().max().map_or(1, |c| *c as usize + 1),
        target,
        prototype_labels: labels,
        centre: &model.centre(&data.features),
        tensors,
        precision: Precision::F64,
    };
    let predictor = Cpu::default().predictor(question)?;
    // Of all rows, and of those that a prototype is nearest to.
    let (mut sums, mut cells) = (vec![0.0; labels.len()], vec![(0.0, 0usize); labels.len()]);
    let mut total = 0.0;
    // A block at a time: neither the rows nor their distances are ever there as a whole.
    for block in rows.chunks(4096) {
        let distances = predictor.distances(&data.features.select(block))?;
        if distances.iter().any(|d| !d.is_finite()) {
            let hint = match model.has("omega_hat_scale") {
                true => "lower omega_hat_scale or scale the data",
                false => "scale the data",
            };
            return Err(Error::data(format!(
                "distances overflow, and no threshold is formed: {hint}"
            )));
        }
        for row in distances.rows() {
            sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
            let nearest =
                row.iter().enumerate().fold(0, |b, (j, v)| if *v < row[b] { j } else { b });
            cells[nearest].0 += row[nearest];
            cells[nearest].1 += 1;
            total += row[nearest];
        }
    }
    let n = rows.len().max(1) as f64;
    if !radii {
        return Ok(sums.into_iter().map(|sum| sum / n).collect());
    }
    let mean = |(sum, count): (f64, usize)| if count == 0 { total / n } else { sum / count as f64 };
    Ok(cells.into_iter().map(|cell| mean(cell).max(1e-10).sqrt()).collect())
}

/// Makes tensors from the prototypes actually used.
struct Making<'a> {
    model: &'a Model,
    data: &'a Dataset,
    codes: &'a [u32],
    classes: usize,
    prototypes: &'a [f64],
    labels: &'a [u32],
    seed: u64,
}

impl Making<'_> {
    fn tensor(&self, name: &str, warnings: &mut Vec<String>) -> Result<Tensor<f64>> {
        let (model, d, p) = (self.model, self.data.features.columns(), self.labels.len());
        Ok(match (model.metric(), name) {
            (_, "relevances") => Tensor::new(name, &[d], vec![1.0 / d as f64; d]),
            (_, "omega") => {
                let l = latent(model, d, warnings);
                Tensor::new(name, &[d, l], omega(model, self.data, l, self.seed)?)
            }
            (_, "omega_hat") => {
                let l = latent(model, d, warnings);
                let scale = model.float("omega_hat_scale").unwrap_or(0.1);
                let values = initialiser::identity_omega(d, l).iter().map(|v| v * scale).collect();
                Tensor::new(name, &[d, l], values)
            }
            (metric @ (MetricName::LocalOmega | MetricName::ClassOmega), "omegas") => {
                let l = latent(model, d, warnings);
                let count = if metric == MetricName::LocalOmega { p } else { self.classes };
                let one = omega(model, self.data, l, self.seed)?;
                Tensor::new(name, &[count, d, l], one.repeat(count))
            }
            (MetricName::Tangent, "omegas") => {
                let s = model.int("subspace_dim").unwrap_or(2);
                if s >= d {
                    return Err(Error::parameter(
                        "subspace_dim",
                        format!("must be below the number of features, {d}; got {s}"),
                    ));
                }
                let bases = (0..p).flat_map(|j| {
                    initialiser::random_omega(d, s, &mut stream(self.seed, "omegas", j as u64))
                });
                Tensor::new(name, &[p, d, s], bases.collect())
            }
            (_, "reasonings") => {
                let c = self.classes;
                let values = match model.text("reasonings_initializer").as_deref() {
                    Some("pure_positive") => initialiser::pure_positive_reasonings(p, c),
                    _ => {
                        let mut rng = stream(self.seed, "reasonings", 0);
                        initialiser::random_reasonings(p, c, &mut rng)
                    }
                };
                Tensor::new(name, &[p, c, 2], values)
            }
            (_, "sigmas") => Tensor::new(name, &[p], self.bandwidths()),
            (_, "log_variances") => Tensor::new(name, &[p, d], self.log_variances()),
            (_, "gamma" | "lambda_ng") => {
                let mut counts = vec![0usize; self.classes];
                self.labels.iter().for_each(|c| counts[*c as usize] += 1);
                let scope = counts.into_iter().max().unwrap_or(1);
                Tensor::new(name, &[], vec![model.first_range(scope)])
            }
            _ => unreachable!("tensor '{name}' of {} has no start", model.name()),
        })
    }

    /// Rows of each class.
    fn rows_of(&self, class: u32) -> impl Iterator<Item = usize> {
        (0..self.codes.len()).filter(move |i| self.codes[*i] == class)
    }

    /// Median or mean of the Euclidean distances of a prototype to the rows of its class, or the number set; not below the floor.
    fn bandwidths(&self) -> Vec<f64> {
        let d = self.data.features.columns();
        let floor = self.model.float("sigma_min").unwrap_or(1e-3);
        let mut row = vec![0.0f64; d];
        let value = |(j, class): (usize, &u32)| {
            if let Some(fixed) = self.model.float("sigma_init") {
                return fixed.max(floor);
            }
            let w = &self.prototypes[j * d..][..d];
            let mut r: Vec<f64> = self
                .rows_of(*class)
                .map(|i| {
                    self.data.features.row_into(i, &mut row);
                    row.iter().zip(w).map(|(x, w)| (x - w) * (x - w)).sum::<f64>().sqrt()
                })
                .collect();
            if r.is_empty() {
                return floor;
            }
            let value = if self.model.text("sigma_init").as_deref() == Some("mean") {
                r.iter().sum::<f64>() / r.len() as f64
            } else {
                r.sort_by(f64::total_cmp);
                let half = r.len() / 2;
                if r.len() % 2 == 1 { r[half] } else { 0.5 * (r[half - 1] + r[half]) }
            };
            value.max(floor)
        };
        self.labels.iter().enumerate().map(value).collect()
    }

    /// Logarithm of the variance of each feature over the rows of the prototype's class.
    fn log_variances(&self) -> Vec<f64> {
        let d = self.data.features.columns();
        let mut row = vec![0.0f64; d];
        let mut of_class = |class: u32| {
            let n = self.rows_of(class).count().max(1) as f64;
            let (mut mean, mut square) = (vec![0.0f64; d], vec![0.0f64; d]);
            for i in self.rows_of(class) {
                self.data.features.row_into(i, &mut row);
                mean.iter_mut().zip(&row).for_each(|(m, x)| *m += x / n);
            }
            for i in self.rows_of(class) {
                self.data.features.row_into(i, &mut row);
                for ((s, x), m) in square.iter_mut().zip(&row).zip(&mean) {
                    *s += (x - m) * (x - m) / n;
                }
            }
            square.into_iter().map(|v| v.max(1e-6).ln()).collect::<Vec<f64>>()
        };
        let classes: Vec<Vec<f64>> = (0..self.classes as u32).map(&mut of_class).collect();
        self.labels.iter().flat_map(|c| classes[*c as usize].clone()).collect()
    }
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
fn counts(
    model: &Model,
    classes: &[Label],
    target: u32,
    warnings: &mut Vec<String>,
) -> Result<Vec<usize>> {
    if let Some(count) = model.int("n_prototypes") {
        // One-class models have prototypes of one class.
        return Ok((0..classes.len())
            .map(|c| if c == target as usize { count } else { 0 })
            .collect());
    }
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
        Some("pca") => linalg::principal_axes(n, d, l, &|i, row| data.features.row_into(i, row)),
        _ => Ok(initialiser::identity_omega(d, l)),
    }
}

/// Checks the shape of a given tensor against the model's sizes.
fn check_shape(model: &Model, t: &Tensor<f64>, d: usize, p: usize, classes: usize) -> Result<()> {
    let latent = model.int("latent_dim");
    let metric = model.metric();
    let count = if metric == MetricName::ClassOmega { classes } else { p };
    // None: any length.
    let expected: Vec<Option<usize>> = match t.name.as_str() {
        "relevances" => vec![Some(d)],
        "sigmas" | "radii" | "thetas" => vec![Some(p)],
        "gamma" | "lambda_ng" => vec![],
        "log_variances" => vec![Some(p), Some(d)],
        "reasonings" => vec![Some(p), Some(classes), Some(2)],
        "omega" | "omega_hat" => vec![Some(d), latent],
        "omegas" if metric == MetricName::Tangent => {
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
            let s = model.int("subspace_dim").filter(|_| model.is_set("subspace_dim"));
            vec![Some(p), Some(d), s]
        }
        "omegas" => vec![Some(count), Some(d), latent],
        _ => return Ok(()),
    };
    let fits = expected.len() == t.shape.len()
        && expected.iter().zip(&t.shape).all(|(e, s)| e.is_none_or(|e| e == *s));
    if fits && !t.data.is_empty() {
        return Ok(());
    }
    let list = |axes: Vec<String>| format!("({})", axes.join(", "));
    let axis = |e: &Option<usize>| e.map_or("l".to_string(), |e| e.to_string());
    Err(Error::shape(
        format!("start tensor '{}'", t.name),
        list(expected.iter().map(axis).collect()),
        list(t.shape.iter().map(usize::to_string).collect()),
    ))
}
