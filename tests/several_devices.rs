//! Several devices train one model: with the result of one device but for the order in which sums are formed, the same bits again and
//! again, and the same parameters on all (which every reading of them checks, `backend/gpu/group.rs`).
//!
//! The devices are `cuda-host`, several in this program, with sums added up by the host.
#![cfg(feature = "cuda")]

mod common;

use common::{data, problem, random, relative, required};
use lvq::backend::cuda::host::{self, Options};
use lvq::backend::{Backend, DeviceRequest, Kernels, open};
use lvq::data::{ReadOptions, read};
use lvq::model::catalogue::CATALOGUE;
use lvq::parts::composition::Precision;
use lvq::parts::tensor::Tensors;
use lvq::train::{Checkpoint, Lookahead};
use lvq::{Dataset, Extras, Features, Fitted, Flow, Iteration, Labels, Model, Training};
use ndarray::Array2;
use serde_json::json;

/// Of the largest entry: what the order of single-precision sums changes, and what a few steps make of it.
const TOLERANCE: f64 = 2e-5;
const AFTER_STEPS: f64 = 5e-4;

/// So many devices as one, or nothing after saying that there are none.
fn several(count: usize) -> Option<Box<dyn Backend>> {
    found(host::open_several(&vec![Options::default(); count]))
}

fn one() -> Option<Box<dyn Backend>> {
    found(host::open_with(&Options::default()))
}

fn found(opened: lvq::Result<Box<dyn Backend>>) -> Option<Box<dyn Backend>> {
    let missing = |why: &lvq::Error| {
        assert!(!required(host::NAME), "{} is required: {why}", host::NAME);
        println!("{} is not tested: {why}", host::NAME);
    };
    opened.inspect_err(missing).ok()
}

fn model(name: &str) -> Model {
    Model::new(name).unwrap()
}

/// `n` rows of three classes that overlap.
fn table(n: usize, d: usize) -> Dataset {
    let mut x = Array2::from_shape_vec((n, d), random(3, n * d)).unwrap();
    let y: Vec<i64> = (0..n).map(|i| (i % 3) as i64).collect();
    for (mut row, y) in x.rows_mut().into_iter().zip(&y) {
        row.mapv_inplace(|v| v + 0.4 * *y as f64 + 2.0);
    }
    Dataset::new(Features::from(x), Some(Labels::new(&y).unwrap())).unwrap()
}

fn base() -> Training {
    Training { max_iter: 4, epsilon: 0.0, lr: 0.02, ..Training::default() }
}

/// How far two sets of tensors are apart.
fn apart(a: &Tensors<f64>, b: &Tensors<f64>) -> f64 {
    assert_eq!(a.list.len(), b.list.len());
    let one = |t: &lvq::parts::tensor::Tensor<f64>| relative(&t.data, b.values(&t.name), 1e-2);
    a.list.iter().map(one).fold(0.0, f64::max)
}

/// What differs between a model of one device and one of several.
fn differences(what: &str, one: &Fitted, several: &Fitted) -> Vec<String> {
    let mut wrong = Vec::new();
    let histories = [
        ("losses", &one.record.loss_history, &several.record.loss_history),
        ("validation losses", &one.record.validation_history, &several.record.validation_history),
    ];
    for (name, a, b) in histories {
        let error = relative(b, a, 1e-2);
        if error > AFTER_STEPS {
            wrong.push(format!("{what}: {name} off by {error:e}"));
        }
    }
    let error = apart(&several.tensors, &one.tensors);
    if error > AFTER_STEPS {
        wrong.push(format!("{what}: tensors off by {error:e}"));
    }
    let state = |f: &Fitted| f.state.clone().unwrap();
    let (a, b) = (state(one), state(several));
    let error = apart(&b.current, &a.current);
    if error > AFTER_STEPS {
        wrong.push(format!("{what}: state off by {error:e}"));
    }
    for (name, a, b) in [("slow", a.slow, b.slow), ("average", a.average, b.average)] {
        assert_eq!(a.is_some(), b.is_some(), "{what}: {name}");
        if let (Some(a), Some(b)) = (a, b)
            && apart(&b, &a) > AFTER_STEPS
        {
            wrong.push(format!("{what}: {name} off by {:e}", apart(&b, &a)));
        }
    }
    wrong
}

fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

fn same_bits(a: &Fitted, b: &Fitted) -> bool {
    a.record.loss_history == b.record.loss_history && a.tensors == b.tensors
}

/// Loss and gradient, and three steps, of every model; the same again gives the same bits.
#[test]
fn every_model_is_trained_as_by_one_device() {
    let (Some(one), Some(two), Some(three)) = (one(), several(2), several(3)) else { return };
    // Without a division by the gradient's own size, which makes much of the last digits of what is nearly zero.
    let sgd = Training { max_iter: 3, optimizer: "sgd".into(), ..base() };
    let mut wrong = Vec::new();
    for row in CATALOGUE {
        let model = model(row.name);
        let (data, given) = problem(&model, 67, 4, 3, 2);
        let t = if row.is_rule() { base() } else { sgd.clone() };
        let fit = |on: &dyn Backend| {
            t.fit_with(&model, &data, on, Extras { given: given.clone(), ..Extras::default() })
        };
        if row.name == "MedianLVQ" {
            let error = Training::default().fit(&model, &data, &*two).unwrap_err().to_string();
            assert!(error.contains("device cuda-host:0,1: Median LVQ"), "{error}");
            assert!(error.contains("use cuda-host:0"), "{error}");
            continue;
        }
        let alone = fit(&*one).unwrap();
        for (count, group) in [(2, &two), (3, &three)] {
            let what = format!("{} on {count}", row.name);
            if !row.is_rule() {
                let gradient = |on: &dyn Backend| t.gradient(&model, &data, &given, on).unwrap();
                let ((loss, g), (want, expected)) = (gradient(&**group), gradient(&*one));
                let error = relative(&[loss], &[want], 1e-2).max(apart(&g, &expected));
                if error > TOLERANCE {
                    wrong.push(format!("{what}: gradient off by {error:e}"));
                }
            }
            let together = fit(&**group).unwrap();
            wrong.extend(differences(&what, &alone, &together));
            if !same_bits(&together, &fit(&**group).unwrap()) {
                wrong.push(format!("{what}: other bits"));
            }
        }
    }
    nothing(&wrong);
}

/// Ways of training: a name, a model and options.
fn ways() -> Vec<(&'static str, &'static str, Training)> {
    let t = base();
    let set = |key: &str, value: serde_json::Value| t.set(key, value).unwrap();
    let optimizer = |name: &str| Training { optimizer: name.into(), ..base() };
    let batches = |size| Training { batch_size: Some(size), ..base() };
    let clip = json!({"l2_norm_clip": 0.01, "noise_multiplier": 0.1, "seed": 1});
    let clip = clip.as_object().unwrap().clone();
    let look = Some(Lookahead { sync_period: 2, slow_step_size: 0.5 });
    vec![
        ("batches", "GMLVQ", batches(16)),
        ("batches of one row", "GLVQ", Training { max_iter: 1, ..batches(1) }),
        ("batches of few rows", "RSLVQ", batches(3)),
        ("batches, contrastive", "SVQOCC", batches(20)),
        ("batches, ranges", "RSLVQ_NG", batches(20)),
        (
            "batches, averages",
            "GMLVQ",
            Training { ema_decay: Some(0.9), lookahead: look, ..batches(16) },
        ),
        ("lbfgs", "GMLVQ", optimizer("lbfgs")),
        ("lbfgs, contrastive", "SVQOCC_M", optimizer("lbfgs")),
        ("sgd", "GLVQ", optimizer("sgd")),
        ("adafactor", "LGMLVQ", optimizer("adafactor")),
        ("lamb", "CELVQ", optimizer("lamb")),
        ("sm3", "GMLVQ", optimizer("sm3")),
        ("noise", "GLVQ", optimizer("noisy_sgd")),
        ("clipped rows", "GLVQ", Training { optimizer_kwargs: clip, ..optimizer("dpsgd") }),
        ("moving average", "CELVQ", Training { ema_decay: Some(0.8), ..base() }),
        ("lookahead", "GRLVQ", Training { lookahead: look, ..base() }),
        ("best", "GMLVQ", Training { restore_best: true, ema_decay: Some(0.8), ..base() }),
        ("clipped", "GMLVQ", Training { clip_norm: Some(0.05), ..base() }),
        ("clipped groups", "GMLVQ", set("per_group_clip", json!({"omega": 0.01}))),
        ("accumulated", "GMLVQ", Training { gradient_accumulation_steps: Some(3), ..batches(16) }),
        ("frozen", "GMLVQ", Training { freeze_params: vec!["omega".into()], ..base() }),
        ("weights", "GLVQ", set("class_weight", json!({"0": 3.0, "1": 0.0}))),
        (
            "resampled",
            "GLVQ",
            set("class_weight", json!({"0": 3.0})).set("weighting", "resample").unwrap(),
        ),
        (
            "weighted batches",
            "GMLVQ",
            Training { batch_size: Some(16), ..set("class_weight", json!({"0": 3.0})) },
        ),
        ("curriculum", "GMLVQ", set("curriculum", json!({"mode": "hard"}))),
        ("diversity", "GLVQ", Training { diversity_weight: 0.1, ..base() }),
        ("sparse", "GRLVQ", Training { l1_weight: 0.01, ..base() }),
        ("f16", "GMLVQ", Training { precision: Precision::F16, ..base() }),
        ("bf16", "GMLVQ", Training { precision: Precision::Bf16, ..base() }),
        ("constraints", "GTLVQ", Training { lr: 0.1, ..base() }),
        ("tangents in batches", "GTLVQ", batches(16)),
        ("warm-up", "GMLVQ", set("lr_scheduler", json!("cosine_decay"))),
    ]
}

#[test]
fn every_way_of_training_is_that_of_one_device() {
    let (Some(one), Some(two), Some(three)) = (one(), several(2), several(3)) else { return };
    let (all, validation) = (table(53, 4), table(19, 4));
    let mut wrong = Vec::new();
    for (what, name, t) in ways() {
        let fit = |on: &dyn Backend| {
            let extras = Extras { validation: Some(&validation), ..Extras::default() };
            t.fit_with(&model(name), &all, on, extras).unwrap()
        };
        let alone = fit(&*one);
        for (count, group) in [(2, &two), (3, &three)] {
            let together = fit(&**group);
            assert_eq!(together.record.device, group.info().name);
            wrong.extend(differences(&format!("{what} on {count}"), &alone, &together));
            if !same_bits(&together, &fit(&**group)) {
                wrong.push(format!("{what} on {count}: other bits"));
            }
        }
    }
    nothing(&wrong);
}

/// Also where some devices have no rows at all, of the data or of a batch.
#[test]
fn few_rows_are_enough_for_many_devices() {
    let (Some(one), Some(five)) = (one(), several(5)) else { return };
    let mut wrong = Vec::new();
    for n in [3, 4, 7, 11] {
        for name in ["GLVQ", "GMLVQ", "SVQOCC", "RSLVQ_NG", "LVQ1", "CBC"] {
            let all = table(n, 3);
            let mut model = model(name);
            for count in ["n_components", "n_prototypes"] {
                if model.has(count) {
                    model = model.set(count, 3).unwrap();
                }
            }
            let rule = model.row().is_rule();
            let sizes = if rule { vec![None] } else { vec![None, Some(2)] };
            for batch_size in sizes {
                // Prototypes start on the rows, where gradients are nothing: Adam would make steps of what is rounded.
                let optimizer = if rule { base().optimizer } else { "sgd".into() };
                let t = Training { batch_size, optimizer, ..base() };
                let validation = table(3, 3);
                let fit = |on: &dyn Backend| {
                    let extras = Extras { validation: Some(&validation), ..Extras::default() };
                    t.fit_with(&model, &all, on, extras).unwrap()
                };
                let what = format!("{name} of {n} rows, batches {batch_size:?}");
                wrong.extend(differences(&what, &fit(&*one), &fit(&*five)));
            }
        }
    }
    nothing(&wrong);
}

/// The other form of the kernels.
#[test]
fn naive_kernels_add_up_too() {
    let naive = Options { kernels: Kernels::Naive, ..Options::default() };
    let Some(two) = found(host::open_several(&[naive.clone(), naive.clone()])) else { return };
    let one = host::open_with(&naive).unwrap();
    let (all, mut wrong) = (table(53, 4), Vec::new());
    for name in ["GLVQ", "GMLVQ", "SVQOCC"] {
        let fit = |on: &dyn Backend| base().fit(&model(name), &all, on).unwrap();
        wrong.extend(differences(name, &fit(&*one), &fit(&*two)));
    }
    nothing(&wrong);
}

/// What was begun on one device goes on on several, and the other way round.
#[test]
fn training_goes_on_on_other_devices() {
    let (Some(one), Some(three)) = (one(), several(3)) else { return };
    let all = read(&data("iris.csv"), &ReadOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut wrong = Vec::new();
    for (what, name, t) in ways().into_iter().filter(|(what, ..)| {
        ["batches, ranges", "batches, averages", "lbfgs", "accumulated", "adafactor"].contains(what)
    }) {
        let model = model(name);
        let t = Training { max_iter: 5, ..t };
        let checkpoint = Some(Checkpoint { path: path.clone(), every: 1 });
        let interrupted = Training { checkpoint, ..t.clone() };
        // As after a run that was interrupted: the checkpoint of the second iteration.
        let begin = |on: &dyn Backend| {
            let mut stop =
                |i: &Iteration<'_>| if i.iteration == 1 { Flow::Stop } else { Flow::Continue };
            let extras = Extras { observers: vec![&mut stop], ..Extras::default() };
            interrupted.fit_with(&model, &all, on, extras).unwrap();
            let begun = Fitted::load(&path).unwrap();
            assert_eq!(begun.n_iter(), 2);
            begun
        };
        let (alone, together) =
            (t.fit(&model, &all, &*one).unwrap(), t.fit(&model, &all, &*three).unwrap());
        for (from, to) in [(&one, &three), (&three, &one), (&three, &three)] {
            let done = t.resume(&begin(&**from), &all, &**to, Extras::default()).unwrap();
            let what = format!("{what}, {} to {}", from.info().name, to.info().name);
            wrong.extend(differences(&what, &alone, &done));
            if std::ptr::eq(from, to) && !same_bits(&together, &done) {
                wrong.push(format!("{what}: other bits"));
            }
        }
    }
    nothing(&wrong);
}

/// Each row is answered for by one device: to the bit what one device says.
#[test]
fn questions_are_answered_as_by_one_device() {
    let (Some(one), Some(three)) = (one(), several(3)) else { return };
    let all = table(50, 4);
    for name in ["GMLVQ", "RSLVQ", "CBC", "SVQOCC", "LGMLVQ"] {
        let fitted = Training { max_iter: 2, ..base() }.fit(&model(name), &all, &*one).unwrap();
        for rows in [50, 2, 1, 0] {
            let some = all.features.select(&(0..rows).collect::<Vec<_>>());
            let ask = |on: &dyn Backend| {
                let asked = fitted.on(on).unwrap();
                let labels = asked.predict(&some).map_err(|e| e.to_string());
                let distances = asked.distances(&some).map_err(|e| e.to_string());
                let transformed = asked.transform(&some).map_err(|e| e.to_string());
                let scores = asked.predict_proba(&some).map_err(|e| e.to_string());
                (labels, distances, transformed, scores)
            };
            assert!(ask(&*one) == ask(&*three), "{name}, {rows} rows");
        }
    }
}

/// A device that fails while the others do not ends the run with an error that names it.
#[test]
fn the_device_that_fails_is_named() {
    if one().is_none() {
        return;
    }
    let all = table(53, 4);
    let mut ends = 0;
    for submissions in [0, 3, 9, 20, 40] {
        for failing in 0..3 {
            let mut options = vec![Options::default(); 3];
            options[failing].lost_after = Some(submissions);
            let group = host::open_several(&options).unwrap();
            let t = Training { batch_size: Some(20), max_iter: 10, ..base() };
            let error = t.fit(&model("GMLVQ"), &all, &*group).unwrap_err().to_string();
            assert_eq!(error, format!("device cuda-host:{failing}: the device was lost"));
            ends += 1;
        }
    }
    assert_eq!(ends, 15);
}

#[test]
fn a_device_without_memory_is_named() {
    if one().is_none() {
        return;
    }
    let small = Options { memory_bytes: Some(5_000), ..Options::default() };
    let group = host::open_several(&[Options::default(), small]).unwrap();
    let error = base().fit(&model("GLVQ"), &table(53, 4), &*group).unwrap_err().to_string();
    assert!(error.starts_with("device cuda-host:1: out of memory"), "{error}");
}

/// A shard that does not fit its device is streamed through it; the other's stays.
#[test]
fn a_shard_that_does_not_fit_is_streamed() {
    let Some(one) = one() else { return };
    let small = Options { memory_bytes: Some(460_000), ..Options::default() };
    let two = host::open_several(&[Options::default(), small]).unwrap();
    let (all, mut wrong) = (table(8_001, 16), Vec::new());
    for (name, batch_size) in
        [("GMLVQ", None), ("SVQOCC", None), ("LVQ1", None), ("GMLVQ", Some(3_000))]
    {
        let t = Training { max_iter: 2, batch_size, ..base() };
        let fit = |on: &dyn Backend| t.fit(&model(name), &all, on).unwrap();
        wrong.extend(differences(&format!("{name} {batch_size:?}"), &fit(&*one), &fit(&*two)));
    }
    nothing(&wrong);
}

#[test]
fn what_no_group_can_be_is_refused() {
    let none = host::open_several(&[]).err().unwrap();
    assert!(none.to_string().contains("no device is named") || one().is_none(), "{none}");
    for (request, parts) in [
        (DeviceRequest::CudaSeveral(vec![1, 1]), &["device cuda:1,1: ", "named twice"][..]),
        (DeviceRequest::CudaSeveral(vec![]), &["no device is named"]),
        // The index is not there, or nothing is.
        (DeviceRequest::CudaSeveral(vec![998, 999]), &["device cuda:998: "]),
    ] {
        let error = open(request, None).err().unwrap().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    // There may be devices; where there are none the error says what is missing.
    match open(DeviceRequest::CudaAll, None) {
        Ok(all) => assert!(all.info().name.starts_with("cuda:")),
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("device cuda") && text.len() > 30, "{text}");
        }
    }
    let Some(two) = several(2) else { return };
    let double = Training { precision: Precision::F64, ..base() };
    let error = double.fit(&model("GLVQ"), &table(9, 2), &*two).unwrap_err().to_string();
    assert!(error.contains("device cuda-host:0,1: it cannot run double precision"), "{error}");
}
