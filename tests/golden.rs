//! Every golden case of the reference (prosemble 2.4.0, float64): loss, gradient, 20 steps of training, inference.

mod common;

use common::{Case, devices, relative, validation_is_silent};
use lvq::backend::Backend;
use lvq::model::start::Given;
use lvq::parts::composition::Precision;
use lvq::{Cpu, Extras, Fitted, Model, Training};
use serde_json::Value;

/// Tolerances of the golden README: loss and gradient, history, final tensors.
struct Tolerance {
    gradient: f64,
    history: f64,
    last: f64,
}

const F64: Tolerance = Tolerance { gradient: 1e-9, history: 1e-7, last: 1e-6 };
const F32: Tolerance = Tolerance { gradient: 1e-4, history: 1e-3, last: 1e-2 };

/// Steps that can be compared: two runs amplify rounding (a gradient coordinate of GLVQ1 is identically zero and Adam
/// steps on its rounding; GLVQ21 has no minimum).
fn comparable_steps(case: &Case) -> usize {
    match case.model() {
        "GLVQ1" => 3,
        "GLVQ21" => 10,
        _ => case.case["steps"].as_u64().unwrap() as usize,
    }
}

fn setup(case: &Case, precision: Precision) -> (Model, Training, Given) {
    let mut model = Model::new(case.model()).unwrap();
    let mut training = Training { epsilon: 0.0, precision, ..Training::default() };
    for (key, value) in case.case["hyperparameters"].as_object().unwrap() {
        if model.has(key) {
            model = model.set(key, value.clone()).unwrap();
        } else {
            training = training.set(key, value.clone()).unwrap();
        }
    }
    if let Some(transfer) = case.case["transfer"].as_str().filter(|t| *t != "default") {
        model = model.set("transfer_fn", transfer).unwrap();
    }
    assert_eq!(case.case["optimizer"], Value::from("adam"));
    let given =
        Given { tensors: case.group("init/"), prototype_labels: case.labels("prototype_labels") };
    (model, training, given)
}

fn check_gradient(case: &Case, precision: Precision, tolerance: &Tolerance, on: &dyn Backend) {
    let (model, training, given) = setup(case, precision);
    let (loss, gradient) = training.gradient(&model, &case.dataset(), &given, on).unwrap();
    let error = relative(&[loss], case.get("loss").unwrap(), 0.0);
    assert!(error < tolerance.gradient, "{} {precision}: loss off by {error:e}", case.name);
    let expected = case.group("grad/");
    let largest = expected.list.iter().flat_map(|t| &t.data).fold(0.0f64, |m, v| m.max(v.abs()));
    for e in &expected.list {
        let got = gradient.get(&e.name).unwrap_or_else(|| panic!("{}: no gradient", e.name));
        assert!(got.shape == e.shape || got.data.len() == 1, "{}", e.name);
        let error = relative(&got.data, &e.data, 1e-6 * largest);
        assert!(
            error < tolerance.gradient,
            "{} {precision}: gradient of {} off by {error:e}",
            case.name,
            e.name
        );
    }
}

fn fit(case: &Case, precision: Precision, on: &dyn Backend) -> Fitted {
    let (model, training, given) = setup(case, precision);
    let extras = Extras { given, ..Extras::default() };
    training.fit_with(&model, &case.dataset(), on, extras).unwrap()
}

fn check_training(case: &Case, precision: Precision, tolerance: &Tolerance, on: &dyn Backend) {
    let fitted = fit(case, precision, on);
    let steps = comparable_steps(case);
    let history = &fitted.record.loss_history;
    assert_eq!(history.len(), case.get("history").unwrap().len());
    let error = relative(&history[..steps], &case.get("history").unwrap()[..steps], 0.0);
    assert!(error < tolerance.history, "{} {precision}: history off by {error:e}", case.name);
    if steps == history.len() {
        for e in &case.group("final/").list {
            let got = fitted.tensors.get(&e.name).unwrap_or_else(|| panic!("no {}", e.name));
            let error = relative(&got.data, &e.data, 0.0);
            assert!(
                error < tolerance.last,
                "{} {precision}: final {} off by {error:e}",
                case.name,
                e.name
            );
        }
    }
}

#[test]
fn loss_and_gradient_f64() {
    let cpu = Cpu::default();
    Case::all().iter().for_each(|c| check_gradient(c, Precision::F64, &F64, &cpu));
}

#[test]
fn loss_and_gradient_f32() {
    let cpu = Cpu::default();
    Case::all().iter().for_each(|c| check_gradient(c, Precision::F32, &F32, &cpu));
}

#[test]
fn training_f64() {
    let cpu = Cpu::default();
    Case::all().iter().for_each(|c| check_training(c, Precision::F64, &F64, &cpu));
}

#[test]
fn training_f32() {
    let cpu = Cpu::default();
    Case::all().iter().for_each(|c| check_training(c, Precision::F32, &F32, &cpu));
}

/// The same cases on every other device present.
#[test]
fn loss_and_gradient_on_devices() {
    for (_, device) in devices() {
        Case::all().iter().for_each(|c| check_gradient(c, Precision::F32, &F32, &*device));
    }
    validation_is_silent();
}

#[test]
fn training_on_devices() {
    for (_, device) in devices() {
        Case::all().iter().for_each(|c| check_training(c, Precision::F32, &F32, &*device));
    }
    validation_is_silent();
}

/// Predictions, probabilities and scores at the golden run's final tensors, on every other device present, as the CPU's in double
/// precision.
#[test]
fn inference_on_devices() {
    for (name, device) in devices() {
        for case in Case::all() {
            let mut fitted = fit(&case, Precision::F32, &Cpu::default());
            fitted.tensors = case.group("final/");
            let x = case.dataset().features;
            let what = format!("{name} {}", case.name);
            let asked = fitted.on(&*device).unwrap();
            let mut double = fitted.clone();
            double.precision = Precision::F64;
            assert_eq!(asked.predict(&x).unwrap(), double.predict(&x).unwrap(), "{what}");
            if let Some(scores) = case.get("decision_function") {
                let error = relative(&asked.decision_function(&x).unwrap(), scores, 0.0);
                assert!(error < 1e-4, "{what}: scores off by {error:e}");
                continue;
            }
            let expected = double.predict_proba(&x).unwrap();
            let got = asked.predict_proba(&x).unwrap();
            let error = relative(got.as_slice().unwrap(), expected.as_slice().unwrap(), 0.0);
            assert!(error < 1e-4, "{what}: probabilities off by {error:e}");
        }
    }
    validation_is_silent();
}

/// Whether the reference's probabilities (GRLVQ, SRNG: labels too) are in plain Euclidean distance and not in the model's own metric.
fn reference_ignores_the_metric(model: &str) -> bool {
    let plain = ["GRLVQ", "GMLVQ", "LGMLVQ", "GTLVQ", "SRNG", "SMNG", "SCMNG", "SLNG", "STNG"];
    plain.contains(&model) || model.starts_with("DK") || model.starts_with('W')
}

/// Predictions, probabilities and scores at the final tensors of the golden run.
///
/// Where the reference's probabilities are in plain Euclidean distance (the specifications call that wrong), `inference_metric` asks for that; the
/// default, the model's own metric, is then held to `argmax of probabilities = prediction`.
#[test]
fn inference() {
    for case in Case::all() {
        let mut fitted = fit(&case, Precision::F64, &Cpu::default());
        fitted.tensors = case.group("final/");
        let x = case.dataset().features;
        if let Some(scores) = case.get("decision_function") {
            let asked = fitted.on(&Cpu::default()).unwrap();
            let error = relative(&asked.decision_function(&x).unwrap(), scores, 0.0);
            assert!(error < 1e-5, "{}: scores off by {error:e}", case.name);
            let labels = asked.predict(&x).unwrap();
            assert_eq!(labels, case.labels("predict").unwrap(), "{}", case.name);
            continue;
        }
        let mut as_reference = fitted.clone();
        if reference_ignores_the_metric(case.model()) {
            as_reference.model = as_reference.model.set("inference_metric", "euclidean").unwrap();
        }
        let predicted = as_reference.predict(&x).unwrap();
        assert_eq!(predicted, case.labels("predict").unwrap(), "{}", case.name);
        let proba = as_reference.predict_proba(&x).unwrap();
        let error = relative(proba.as_slice().unwrap(), case.get("predict_proba").unwrap(), 0.0);
        assert!(error < 1e-5, "{}: probabilities off by {error:e}", case.name);

        let proba = fitted.predict_proba(&x).unwrap();
        for (row, label) in proba.rows().into_iter().zip(fitted.predict(&x).unwrap()) {
            let best = (0..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b });
            assert_eq!(fitted.classes[best], label, "{}", case.name);
        }
    }
}

#[test]
fn every_gradient_model_has_a_case() {
    let cases = Case::all();
    for row in lvq::model::catalogue::CATALOGUE.iter().filter(|r| !r.is_rule()) {
        assert!(cases.iter().any(|c| c.model() == row.name), "{}", row.name);
    }
}
