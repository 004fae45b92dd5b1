//! Every operation of every backend present against the CPU in double precision.
//!
//! A device that is missing is said and passed over; `LVQ_REQUIRE_DEVICES` makes its absence a failure (see `devices.rs`).
//!
//! Tolerances: all numbers of a device are single precision, sums over rows and features are formed in another order than the
//! CPU's. What is held to 1e-4 of the largest entry of a tensor is found within 1e-5 on the devices tried, where the CPU's own single
//! precision is.

mod common;

use common::{
    devices, devices_in_both_forms, problem, random, relative, training, validation_is_silent,
};
use lvq::backend::Backend;
use lvq::model::catalogue::{CATALOGUE, MetricChoice};
use lvq::model::compose::PARTS;
use lvq::model::parameter::Kind;
use lvq::model::start::Given;
use lvq::parts::composition::Precision;
use lvq::train::Lookahead;
use lvq::{Cpu, Dataset, Extras, Features, Fitted, Labels, Model, Training};
use ndarray::Array2;
use serde_json::json;

/// Of the largest entry.
const TOLERANCE: f64 = 1e-4;

const METRICS: [&str; 8] = [
    "squared_euclidean",
    "euclidean",
    "manhattan",
    "lp",
    "chebyshev",
    "omega",
    "local_omega",
    "tangent",
];

/// A model with each metric that may be plugged into it.
fn with_metrics(name: &str) -> Vec<(String, Model)> {
    let model = Model::new(name).unwrap();
    if model.row().metric != MetricChoice::Pluggable {
        return vec![(name.into(), model)];
    }
    let with = |metric: &&str| {
        let mut model = model.clone().set("distance_fn", *metric).unwrap();
        if *metric == "lp" {
            model = model.set("p", 3.5).unwrap();
        }
        (format!("{name} {metric}"), model)
    };
    METRICS.iter().map(with).collect()
}

/// What is wrong with the loss and the gradients of a device.
fn gradient_errors(on: &dyn Backend, model: &Model, data: &Dataset, given: &Given) -> Vec<String> {
    let (loss, expected) = training().gradient(model, data, given, &Cpu::default()).unwrap();
    let single = Training { precision: Precision::F32, ..training() };
    let (got_loss, got) = match single.gradient(model, data, given, on) {
        Ok(got) => got,
        Err(e) => return vec![e.to_string()],
    };
    // What single precision itself loses (exponents of some hundreds, sums of a thousand features) no device is held to.
    let (_, on_cpu) = single.gradient(model, data, given, &Cpu::default()).unwrap();
    let mut wrong = Vec::new();
    if (got_loss - loss).abs() > TOLERANCE * loss.abs().max(1e-3) {
        wrong.push(format!("loss {got_loss} for {loss}"));
    }
    let all = expected.list.iter().flat_map(|t| &t.data);
    let largest = all.fold(0.0f64, |m, v| m.max(v.abs()));
    for t in &expected.list {
        match got.get(&t.name) {
            None => wrong.push(format!("no gradient of {}", t.name)),
            Some(g) if g.data.iter().any(|v| !v.is_finite()) => {
                wrong.push(format!("gradient of {} is not finite", t.name));
            }
            Some(g) => {
                // A tensor whose gradient is nothing beside the others' is held to theirs.
                let floor = (1e-2 * largest).max(1e-6);
                let error = relative(&g.data, &t.data, floor);
                let lost = relative(on_cpu.values(&t.name), &t.data, floor);
                // A device adds the features one after another, and tensor cores round sums towards 0.
                let many = 1.0 + data.features.columns() as f64 / 250.0;
                if error > many * TOLERANCE.max(3.0 * lost) {
                    wrong.push(format!("gradient of {} off by {error:e}", t.name));
                }
            }
        }
    }
    wrong
}

/// Says all that is wrong at once.
fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    validation_is_silent();
}

fn say(wrong: &mut Vec<String>, what: &str, all: Vec<String>) {
    wrong.extend(all.into_iter().map(|w| format!("{what}: {w}")));
}

#[test]
fn gradients_of_every_model_and_metric() {
    let mut wrong = Vec::new();
    for (name, device) in devices_in_both_forms() {
        for row in CATALOGUE.iter().filter(|r| !r.is_rule()) {
            for (what, model) in with_metrics(row.name) {
                let (data, given) = problem(&model, 67, 5, 3, 2);
                let what = format!("{name} {what}");
                say(&mut wrong, &what, gradient_errors(&*device, &model, &data, &given));
            }
        }
    }
    nothing(&wrong);
}

/// The CPU's single precision has ways of its own through the rows, the more so where these are stored in it.
#[test]
fn gradients_of_the_cpu_in_single_precision() {
    let mut wrong = Vec::new();
    // Few and short prototypes, more and longer ones, and many of them; blocks of rows and the rest of one. Exponents of some dozens leave fewer digits:
    // the largest error found is 1.7e-3 (SVQOCC_T, 37 features).
    for (n, d, classes, each, tolerance) in [
        (67, 5, 3, 2, TOLERANCE),
        (700, 20, 3, 4, TOLERANCE),
        (1000, 37, 4, 9, 40.0 * TOLERANCE),
        (530, 70, 2, 60, 40.0 * TOLERANCE),
    ] {
        for row in CATALOGUE.iter().filter(|r| !r.is_rule()) {
            for (what, model) in with_metrics(row.name) {
                let what = format!("{what} {n} x {d}, {} prototypes", classes * each);
                let (data, given) = problem(&model, n, d, classes, each);
                in_single_precision(&mut wrong, (&what, tolerance), &model, data, given, 0.0);
            }
        }
    }
    nothing(&wrong);
}

/// Rows whose mean is farther from 0 than they are from it: it is taken from what is stored.
#[test]
fn gradients_of_the_cpu_in_single_precision_far_from_zero() {
    let mut wrong = Vec::new();
    for (n, d, classes, each) in [(67, 5, 3, 2), (700, 20, 3, 4), (300, 70, 2, 9)] {
        let names = ["GLVQ", "GLVQ21", "RSLVQ", "SLVQ"];
        for (name, stray) in names.into_iter().flat_map(|name| [(name, 0.0), (name, 300.0)]) {
            let model = Model::new(name).unwrap();
            let (data, mut given) = problem(&model, n, d, classes, each);
            // A prototype that is farther still changes nothing for the others.
            let w = given.tensors.values_mut("prototypes");
            w[..d].iter_mut().for_each(|w| *w += stray);
            let what = format!("{name} {n} x {d}, {} prototypes, {stray}", classes * each);
            in_single_precision(&mut wrong, (&what, TOLERANCE), &model, data, given, 30.0);
        }
    }
    nothing(&wrong);
}

/// Adds what is wrong with loss and gradient in single precision of rows and prototypes so far from 0.
fn in_single_precision(
    wrong: &mut Vec<String>,
    (what, tolerance): (&str, f64),
    model: &Model,
    data: Dataset,
    mut given: Given,
    far: f64,
) {
    let cpu = Cpu::default();
    let [single, double] =
        [Precision::F32, Precision::F64].map(|precision| Training { precision, ..training() });
    let shape = (data.features.rows(), data.features.columns());
    let x = random(1, shape.0 * shape.1).iter().map(|v| (*v + far) as f32).collect();
    let data = Dataset::new(Array2::from_shape_vec(shape, x).unwrap(), data.labels).unwrap();
    if far != 0.0 {
        // Both precisions begin with the same.
        let w = given.tensors.values_mut("prototypes");
        w.iter_mut().for_each(|w| *w = f64::from((*w + far) as f32));
    }
    let (loss, expected) = double.gradient(model, &data, &given, &cpu).unwrap();
    let (got_loss, got) = single.gradient(model, &data, &given, &cpu).unwrap();
    // (What is not a number is not near.)
    let near = (got_loss - loss).abs() < TOLERANCE * loss.abs().max(1e-3);
    if !near {
        wrong.push(format!("{what}: loss {got_loss} for {loss}"));
    }
    let all = expected.list.iter().flat_map(|t| &t.data);
    let largest = all.fold(0.0f64, |m, v| m.max(v.abs()));
    for t in &expected.list {
        let floor = (1e-2 * largest).max(1e-6);
        let error = relative(got.values(&t.name), &t.data, floor);
        let near = error < tolerance;
        if !near {
            wrong.push(format!("{what}: gradient of {} off by {error:e}", t.name));
        }
    }
}

/// Options that change what a kernel does.
#[test]
fn gradients_with_every_option() {
    type Options = (&'static [&'static str], &'static [(&'static str, &'static str)]);
    let options: &[Options] = &[
        (&["GLVQ", "SNG", "OCGLVQ", "SMNG"], &[("transfer_fn", "sigmoid_beta"), ("beta", "3")]),
        (&["GLVQ", "SNG", "OCGLVQ_NG"], &[("transfer_fn", "swish_beta"), ("beta", "3")]),
        (&["GLVQ", "DKGLVQ", "GMLVQ", "CELVQ", "SNG"], &[("ties", "even")]),
        (&["GLVQ", "SNG"], &[("margin", "0.3")]),
        (&["SNG", "SMNG"], &[("lr_ratio", "1.0")]),
        (&["RSLVQ", "MRSLVQ", "LMRSLVQ"], &[("exact_log", "true"), ("sigma", "0.4")]),
        (&["RSLVQ_NG", "MRSLVQ_NG"], &[("rank_scope", "class")]),
        (&["RSLVQ", "SLVQ", "OCRSLVQ", "RSLVQ_NG", "OCRSLVQ_NG"], &[("sigma", "0.3")]),
        (&["CBC"], &[("similarity_fn", "cosine")]),
        (&["CBC"], &[("similarity_fn", "rank_scaled_gaussian")]),
        (&["SVQOCC"], &[("cost_function", "brier"), ("response_type", "student_t")]),
        (&["SVQOCC_M"], &[("cost_function", "cross_entropy"), ("response_type", "uniform")]),
        (&["SVQOCC_T"], &[("cost_function", "contrastive"), ("response_type", "student_t")]),
        (&["SVQOCC_R"], &[("cost_function", "brier"), ("response_type", "gaussian")]),
    ];
    let mut wrong = Vec::new();
    for (name, device) in devices_in_both_forms() {
        for (models, sets) in options {
            for model in *models {
                let what = format!("{name} {model} {sets:?}");
                let model = sets
                    .iter()
                    .try_fold(Model::new(model).unwrap(), |m, (k, v)| m.set_text(k, v))
                    .unwrap_or_else(|e| panic!("{what}: {e}"));
                let (data, given) = problem(&model, 50, 4, 3, 2);
                say(&mut wrong, &what, gradient_errors(&*device, &model, &data, &given));
            }
        }
    }
    nothing(&wrong);
}

/// Every combination of parts that is not refused.
#[test]
fn gradients_of_composed_models() {
    let mut wrong = Vec::new();
    for (name, device) in devices_in_both_forms() {
        let mut all = vec![(String::new(), Model::new("compose").unwrap())];
        for part in PARTS.iter().filter(|p| p.name != "trace_normalise") {
            let values: Vec<&str> = match part.kind {
                Kind::Choice(names) => names.to_vec(),
                _ => vec!["false", "true"],
            };
            all = (all.iter())
                .flat_map(|(what, model)| {
                    values.iter().map(move |v| {
                        let model = model.clone().set_text(part.name, v).unwrap();
                        (format!("{what}{v} "), model)
                    })
                })
                .collect();
        }
        for (what, model) in all {
            if model.check_parts().is_ok() && !model.row().is_rule() {
                let (data, given) = problem(&model, 40, 3, 3, 2);
                let what = format!("{name} {what}");
                say(&mut wrong, &what, gradient_errors(&*device, &model, &data, &given));
            }
        }
    }
    nothing(&wrong);
}

/// Sizes that fit no tile: one row, one prototype a class, one feature, many of each, and classes of unequal counts.
#[test]
fn gradients_of_odd_sizes() {
    let mut wrong = Vec::new();
    for (name, device) in devices_in_both_forms() {
        for (n, d, classes, each) in [
            (2, 3, 2, 1),
            (3, 1, 3, 1),
            (7, 1000, 2, 1),
            (65, 17, 5, 3),
            (129, 33, 3, 21),
            (200, 3, 4, 125),
            (1025, 2, 2, 1),
            (90, 4, 11, 1),
            // Maps whose gradients are too much for a block's shared memory.
            (21, 64, 4, 2),
        ] {
            for model in [
                "GLVQ",
                "GRLVQ",
                "GMLVQ",
                "SMNG",
                "RSLVQ",
                "CELVQ_NG",
                "CBC",
                "OCGLVQ_NG",
                "SVQOCC",
                "DKGLVQ",
                "DKGMLVQ",
                "WGLVQ",
            ] {
                let model = Model::new(model).unwrap();
                let (data, given) = problem(&model, n, d, classes, each);
                // Some classes have more rows than others.
                let codes = data.labels.as_ref().unwrap().codes.clone();
                let last = (classes - 1) as i64;
                let y: Vec<i64> = (codes.iter().enumerate())
                    .map(|(i, c)| if i > classes && i % 3 == 0 { last } else { i64::from(*c) })
                    .collect();
                let data =
                    Dataset::new(data.features.clone(), Some(Labels::new(&y).unwrap())).unwrap();
                let what = format!("{name} {} {n} x {d}, {classes} x {each}", model.name());
                say(&mut wrong, &what, gradient_errors(&*device, &model, &data, &given));
            }
            if d <= 64 && each <= 3 {
                for model in ["LGMLVQ", "GTLVQ", "SCMNG", "OCGTLVQ"] {
                    let model = Model::new(model).unwrap();
                    let (data, given) = problem(&model, n, d.max(3), classes, each);
                    let what = format!("{name} {} {n} x {d}, {classes} x {each}", model.name());
                    say(&mut wrong, &what, gradient_errors(&*device, &model, &data, &given));
                }
            }
        }
    }
    nothing(&wrong);
}

fn table(n: usize, d: usize, classes: usize, seed: u64) -> Dataset {
    let mut x = Array2::from_shape_vec((n, d), random(seed, n * d)).unwrap();
    let y: Vec<i64> = (0..n).map(|i| (i % classes) as i64).collect();
    // Classes that overlap, not at the origin.
    for (mut row, y) in x.rows_mut().into_iter().zip(&y) {
        row.mapv_inplace(|v| v + 0.7 * *y as f64 + 3.0);
    }
    Dataset::new(Features::from(x), Some(Labels::new(&y).unwrap())).unwrap()
}

/// The matrices that a metric plugged in needs.
fn matrices(model: &Model, d: usize, classes: usize, each: usize) -> Given {
    let mut given = problem(model, 4, d, classes, each).1;
    given.prototype_labels = None;
    given.tensors.list.retain(|t| Some(t.name.as_str()) == model.fixed_tensor());
    if model.fixed_tensor().is_some() && model.metric().name() == "tangent" {
        // Orthonormal: a coordinate axis each.
        let t = &mut given.tensors.list[0];
        let width = t.shape[2];
        for (i, v) in t.data.iter_mut().enumerate() {
            *v = if i / width % d == i % width { 1.0 } else { 0.0 };
        }
    }
    given
}

fn fit(model: &Model, training: &Training, data: &Dataset, on: &dyn Backend) -> Fitted {
    let validation = table(23, data.features.columns(), 2, 9);
    let each = if model.has("n_prototypes_per_class") { 2 } else { 1 };
    let given =
        matrices(model, data.features.columns(), data.labels.as_ref().unwrap().classes.len(), each);
    let extras = Extras { validation: Some(&validation), given, ..Extras::default() };
    training.fit_with(model, data, on, extras).unwrap_or_else(|e| panic!("{}: {e}", model.name()))
}

/// What the trainer asks of a session in every mode: batches, weights, averages, snapshots, clipping, curriculum.
#[test]
fn every_way_of_training() {
    let base = Training {
        max_iter: 6,
        lr: 0.02,
        epsilon: 0.0,
        optimizer: "sgd".into(),
        precision: Precision::F32,
        ..Training::default()
    };
    let kwargs = |v: serde_json::Value| v.as_object().unwrap().clone();
    let ways: Vec<(&str, Training)> = vec![
        ("full batch", base.clone()),
        ("batches of one", Training { batch_size: Some(1), max_iter: 1, ..base.clone() }),
        ("batches", Training { batch_size: Some(16), ..base.clone() }),
        ("average", Training { ema_decay: Some(0.8), ..base.clone() }),
        (
            "lookahead",
            Training {
                lookahead: Some(Lookahead { sync_period: 2, slow_step_size: 0.5 }),
                ..base.clone()
            },
        ),
        ("best", Training { restore_best: true, patience: Some(3), ..base.clone() }),
        (
            "accumulation",
            Training { gradient_accumulation_steps: Some(3), batch_size: Some(16), ..base.clone() },
        ),
        ("clipping", Training { clip_norm: Some(0.01), ..base.clone() }),
        ("diversity", Training { diversity_weight: 0.1, ..base.clone() }),
        ("balanced", base.clone().set("class_weight", "balanced").unwrap()),
        ("curriculum", base.clone().set("curriculum", json!({"mode": "hard"})).unwrap()),
        ("soft curriculum", base.clone().set("curriculum", json!({})).unwrap()),
        ("frozen", Training { freeze_params: vec!["prototypes".into()], ..base.clone() }),
        (
            "row clipping",
            Training {
                optimizer: "dpsgd".into(),
                optimizer_kwargs: kwargs(json!({"l2_norm_clip": 0.5, "noise_multiplier": 0.1})),
                batch_size: Some(10),
                max_iter: 2,
                ..base.clone()
            },
        ),
        ("line search", Training { optimizer: "lbfgs".into(), lr: 1.0, ..base.clone() }),
    ];
    let data = table(50, 4, 2, 3);
    let mut wrong = Vec::new();
    for (name, device) in devices() {
        for (way, t) in &ways {
            for model in ["GMLVQ", "RSLVQ_NG", "OCGTLVQ", "SVQOCC_R"] {
                let mut model = Model::new(model).unwrap();
                if model.has("subspace_dim") {
                    model = model.set("subspace_dim", 2).unwrap();
                }
                let double = Training { precision: Precision::F64, ..t.clone() };
                let (a, b) =
                    (fit(&model, &double, &data, &Cpu::default()), fit(&model, t, &data, &*device));
                let what = format!("{name} {way} {}", model.name());
                let (x, y) = (&a.record.loss_history, &b.record.loss_history);
                if x.len() != y.len() || relative(y, x, 1e-3) > 1e-3 {
                    wrong.push(format!("{what}: history {y:?} for {x:?}"));
                }
                let (x, y) = (&a.record.validation_history, &b.record.validation_history);
                if x.len() != y.len() || relative(y, x, 1e-3) > 1e-3 {
                    wrong.push(format!("{what}: validation {y:?} for {x:?}"));
                }
                for t in &a.tensors.list {
                    let error = relative(b.tensors.values(&t.name), &t.data, 1e-3);
                    if error > 1e-3 {
                        wrong.push(format!("{what}: {} off by {error:e}", t.name));
                    }
                }
            }
        }
    }
    nothing(&wrong);
}

/// The models with an update rule, with every metric.
#[test]
fn update_rules() {
    let data = table(60, 4, 3, 3);
    let mut wrong = Vec::new();
    for (name, device) in devices() {
        for row in CATALOGUE.iter().filter(|r| r.is_rule()) {
            for (what, model) in with_metrics(row.name) {
                let model = model.set("n_prototypes_per_class", 2).unwrap();
                let mut models = vec![model.clone()];
                if model.has("assignment") {
                    models.push(model.clone().set("assignment", "class").unwrap());
                }
                if model.has("window") {
                    models.push(model.set("window", 0.5).unwrap());
                }
                for model in models {
                    let t = Training {
                        max_iter: 4,
                        epsilon: 0.0,
                        precision: Precision::F32,
                        ..Training::default()
                    };
                    let double = Training { precision: Precision::F64, ..t.clone() };
                    let (a, b) = (
                        fit(&model, &double, &data, &Cpu::default()),
                        fit(&model, &t, &data, &*device),
                    );
                    let (x, y) = (&a.record.loss_history, &b.record.loss_history);
                    if relative(y, x, 1e-3) > 1e-4 {
                        wrong.push(format!("{name} {what}: history {y:?} for {x:?}"));
                    }
                    let t = &a.tensors.list[0];
                    let error = relative(b.tensors.values(&t.name), &t.data, 1e-3);
                    if error > 1e-4 {
                        wrong.push(format!("{name} {what}: prototypes off by {error:e}"));
                    }
                }
            }
        }
    }
    nothing(&wrong);
}

/// Everything that a fitted model is asked.
#[test]
fn inference_of_every_model_and_metric() {
    let data = table(90, 4, 3, 5);
    let asked_of = table(77, 4, 3, 6).features;
    let mut wrong = Vec::new();
    for (name, device) in devices_in_both_forms() {
        for row in CATALOGUE {
            for (what, mut model) in with_metrics(row.name) {
                if model.has("subspace_dim") {
                    model = model.set("subspace_dim", 2).unwrap();
                }
                if model.has("n_components") {
                    model = model.set("n_components", 3).unwrap();
                }
                let t = Training { max_iter: 5, precision: Precision::F32, ..Training::default() };
                let given = matrices(&model, 4, 3, 1);
                let extras = Extras { given, ..Extras::default() };
                let f = t.fit_with(&model, &data, &Cpu::default(), extras).unwrap();
                let mut double = f.clone();
                double.precision = Precision::F64;
                let cpu = Cpu::default();
                let (a, b) = (double.on(&cpu).unwrap(), f.on(&*device).unwrap());
                let mut same = |what: &str, a: &[f64], b: &[f64]| {
                    let error = relative(b, a, 1e-6);
                    if error > TOLERANCE {
                        wrong.push(format!("{name} {what} off by {error:e}"));
                    }
                };
                let flat = |a: Array2<f64>| a.iter().copied().collect::<Vec<f64>>();
                let x = &asked_of;
                same(
                    &format!("{what} distances"),
                    &flat(a.distances(x).unwrap()),
                    &flat(b.distances(x).unwrap()),
                );
                same(
                    &format!("{what} transform"),
                    &flat(a.transform(x).unwrap()),
                    &flat(b.transform(x).unwrap()),
                );
                if row.is_one_class() {
                    let (a, b) = (a.decision_function(x).unwrap(), b.decision_function(x).unwrap());
                    same(&format!("{what} scores"), &a, &b);
                } else {
                    let (p, q) = (a.predict_proba(x).unwrap(), b.predict_proba(x).unwrap());
                    same(&format!("{what} probabilities"), &flat(p), &flat(q));
                    let (p, q) = (a.confidence(x).unwrap(), b.confidence(x).unwrap());
                    same(&format!("{what} confidence"), &p.1, &q.1);
                }
                if a.predict(x).unwrap() != b.predict(x).unwrap() {
                    wrong.push(format!("{name} {what}: other labels"));
                }
            }
        }
    }
    nothing(&wrong);
}

/// Operands in shorter formats: the same rounding as on the CPU.
#[test]
fn operands_of_fewer_bits() {
    let data = table(50, 4, 3, 3);
    let mut wrong = Vec::new();
    for (name, device) in devices() {
        for precision in [Precision::Bf16, Precision::F16, Precision::Tf32] {
            for model in [
                "GLVQ", "GMLVQ", "GRLVQ", "LGMLVQ", "RSLVQ", "DKGLVQ", "DKGMLVQ", "OCGLVQ", "CBC",
                "CELVQ", "SMNG", "SRNG",
            ] {
                let model = Model::new(model).unwrap();
                let t = Training {
                    max_iter: 5,
                    precision,
                    optimizer: "sgd".into(),
                    epsilon: 0.0,
                    ..Training::default()
                };
                let (a, b) = (
                    t.fit(&model, &data, &Cpu::default()).unwrap(),
                    t.fit(&model, &data, &*device).unwrap(),
                );
                let error = relative(&b.record.loss_history, &a.record.loss_history, 1e-3);
                if error > 2e-2 {
                    let (a, b) = (&a.record.loss_history, &b.record.loss_history);
                    wrong.push(format!("{name} {} {precision}: {b:?} for {a:?}", model.name()));
                }
            }
        }
    }
    nothing(&wrong);
}

/// The same bits from run to run.
#[test]
fn runs_are_repeated_to_the_bit() {
    let data = table(3000, 5, 3, 3);
    for (name, device) in devices() {
        for model in ["GLVQ", "GMLVQ", "SMNG", "OCGLVQ_NG", "SVQOCC"] {
            let model = Model::new(model).unwrap();
            let t = Training { max_iter: 5, batch_size: Some(500), ..Training::default() };
            let (a, b) =
                (t.fit(&model, &data, &*device).unwrap(), t.fit(&model, &data, &*device).unwrap());
            assert!(a.tensors == b.tensors, "{name} {}", model.name());
            assert_eq!(a.record.loss_history, b.record.loss_history, "{name} {}", model.name());
        }
    }
    validation_is_silent();
}

/// What a device cannot run is an error that names it before any work.
#[test]
fn what_a_device_cannot_run_is_refused() {
    let data = table(20, 3, 2, 3);
    for (name, device) in devices() {
        let double = Training { precision: Precision::F64, ..Training::default() };
        let error = double.fit(&Model::new("GLVQ").unwrap(), &data, &*device).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&name) && text.contains("double precision"), "{text}");
        let own =
            lvq::parts::objective::transfer::Transfer::Custom(std::sync::Arc::new(|z| (z, 1.0)));
        let model = Model::new("GLVQ").unwrap().transfer(own).unwrap();
        let text = Training::default().fit(&model, &data, &*device).unwrap_err().to_string();
        assert!(text.contains(&name) && text.contains("transfer"), "{text}");
    }
}
