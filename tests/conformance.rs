//! Every operation of every backend present against the CPU in double precision.
//!
//! `LVQ_REQUIRE_DEVICES` makes the absence of a named device a failure (see `devices.rs`).

mod common;

use common::{data, problem, relative, training};
use lvq::backend::{Backend, DeviceRequest, open};
use lvq::model::catalogue::{CATALOGUE, MetricChoice};
use lvq::model::start::Given;
use lvq::parts::composition::Precision;
use lvq::{Cpu, Dataset, Extras, Fitted, Model, Training};

/// The devices to be held to the CPU: name and backend.
fn present() -> Vec<(String, Box<dyn Backend>)> {
    let required = std::env::var("LVQ_REQUIRE_DEVICES").unwrap_or_default();
    let mut found = Vec::new();
    for request in [DeviceRequest::Vulkan(0)] {
        match open(request, None) {
            Ok(backend) => found.push((request.to_string(), backend)),
            Err(why) => {
                assert!(!required.split(',').any(|r| r.trim() == "vulkan"), "{why}");
                println!("{request} is not tested: {why}");
            }
        }
    }
    found
}

/// No complaint of the validation layer, where `LVQ_VULKAN_VALIDATION=1` asks for it.
fn silent() {
    #[cfg(feature = "vulkan")]
    if let Some(messages) = lvq::backend::vulkan::validation_messages() {
        assert!(messages.is_empty(), "{}", messages.join("\n"));
    }
}

fn gradient_agrees(
    backend: &dyn Backend,
    model: &Model,
    data: &Dataset,
    given: &Given,
    what: &str,
) -> Vec<String> {
    let (loss, expected) = training().gradient(model, data, given, &Cpu::default()).unwrap();
    let single = Training { precision: Precision::F32, ..training() };
    let (got_loss, got) = match single.gradient(model, data, given, backend) {
        Ok(got) => got,
        Err(e) => return vec![format!("{what}: {e}")],
    };
    let mut wrong = Vec::new();
    if (got_loss - loss).abs() > 1e-5 * loss.abs().max(1.0) {
        wrong.push(format!("{what}: loss {got_loss} for {loss}"));
    }
    for t in &expected.list {
        let Some(g) = got.get(&t.name) else {
            wrong.push(format!("{what}: no gradient of {}", t.name));
            continue;
        };
        if g.data.iter().any(|v| !v.is_finite()) {
            wrong.push(format!("{what}: gradient of {} is not finite", t.name));
            continue;
        }
        let error = relative(&g.data, &t.data, 1e-4);
        if error > 1e-4 {
            wrong.push(format!("{what}: gradient of {} off by {error:e}", t.name));
        }
    }
    wrong
}

#[test]
fn gradients_of_every_model() {
    let mut wrong = Vec::new();
    for (name, backend) in present() {
        for row in CATALOGUE.iter().filter(|r| !r.is_rule()) {
            let metrics: &[&str] = match row.metric {
                MetricChoice::Pluggable => &[
                    "squared_euclidean",
                    "euclidean",
                    "manhattan",
                    "lp",
                    "chebyshev",
                    "omega",
                    "local_omega",
                    "tangent",
                ],
                _ => &[""],
            };
            for metric in metrics {
                let mut model = Model::new(row.name).unwrap();
                if !metric.is_empty() {
                    model = model.set("distance_fn", *metric).unwrap();
                }
                if *metric == "lp" {
                    model = model.set("p", 3.5).unwrap();
                }
                let (data, given) = problem(&model, 67, 5, 3, 2);
                let what = format!("{name} {} {metric}", row.name);
                wrong.extend(gradient_agrees(&*backend, &model, &data, &given, &what));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    silent();
}
