//! The trainer: every option acts in every mode, and continuing changes nothing.

mod common;

use common::{data, relative};
use lvq::data::{ReadOptions, read};
use lvq::model::start::Given;
use lvq::parts::composition::Precision;
use lvq::parts::tensor::Tensors;
use lvq::train::{Checkpoint, ClassWeight, FrozenUpdate, Lookahead, Weighting};
use lvq::{Cpu, Dataset, Error, Extras, Fitted, Flow, Iteration, Label, Model, Training};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

fn iris() -> Dataset {
    read(&data("iris.csv"), &ReadOptions::default()).unwrap()
}

fn wine() -> Dataset {
    read(&data("wine.csv"), &ReadOptions::default()).unwrap()
}

/// A short run in double precision that never stops by itself.
fn base() -> Training {
    Training {
        max_iter: 12,
        lr: 0.05,
        epsilon: 0.0,
        precision: Precision::F64,
        ..Training::default()
    }
}

fn model(name: &str) -> Model {
    let model = Model::new(name).unwrap();
    match model.has("n_prototypes_per_class") {
        true => model.set("n_prototypes_per_class", 2).unwrap(),
        false => model,
    }
}

fn fit(name: &str, training: &Training, data: &Dataset) -> Fitted {
    training.fit(&model(name), data, &Cpu::default()).unwrap()
}

fn fit_with_validation(name: &str, training: &Training, data: &Dataset, v: &Dataset) -> Fitted {
    let extras = Extras { validation: Some(v), ..Extras::default() };
    training.fit_with(&model(name), data, &Cpu::default(), extras).unwrap()
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn difference(a: &Tensors<f64>, b: &Tensors<f64>) -> f64 {
    a.list
        .iter()
        .map(|t| relative(&t.data, &b.get(&t.name).unwrap().data, 1e-300))
        .fold(0.0, f64::max)
}

/// Training and validation rows of iris.
fn halves() -> (Dataset, Dataset) {
    let all = iris();
    let even: Vec<usize> = (0..150).step_by(2).collect();
    let odd: Vec<usize> = (1..150).step_by(2).collect();
    (all.select(&even), all.select(&odd))
}

#[test]
fn every_option_changes_the_result_in_every_mode() {
    let d = iris();
    let options: Vec<(&str, Training)> = vec![
        ("ema", Training { ema_decay: Some(0.8), ..base() }),
        (
            "lookahead",
            Training {
                lookahead: Some(Lookahead { sync_period: 3, slow_step_size: 0.5 }),
                ..base()
            },
        ),
        (
            "class_weight",
            Training {
                class_weight: ClassWeight::Map(BTreeMap::from([("setosa".into(), 5.0)])),
                ..base()
            },
        ),
        ("accumulation", Training { gradient_accumulation_steps: Some(2), ..base() }),
        ("freeze", Training { freeze_params: vec!["omega".into()], ..base() }),
        ("clip_norm", Training { clip_norm: Some(1e-3), optimizer: "sgd".into(), ..base() }),
        (
            "per_group_clip",
            Training {
                per_group_clip: BTreeMap::from([("omega".into(), 1e-3)]),
                optimizer: "sgd".into(),
                ..base()
            },
        ),
        ("optimizer", Training { optimizer: "lion".into(), ..base() }),
        ("schedule", Training { lr_scheduler: Some("cosine_decay".into()), ..base() }),
        (
            "schedule and optimizer",
            Training { lr_scheduler: Some("linear".into()), optimizer: "lamb".into(), ..base() },
        ),
        ("diversity", Training { diversity_weight: 0.1, ..base() }),
        ("curriculum", base().set("curriculum", json!({"mode": "hard"})).unwrap()),
        ("seed", Training { random_seed: 7, ..base() }),
        (
            "resample",
            Training {
                class_weight: ClassWeight::Map(BTreeMap::from([("setosa".into(), 5.0)])),
                weighting: Weighting::Resample,
                ..base()
            },
        ),
        (
            "frozen_update",
            Training {
                freeze_params: vec!["omega".into()],
                frozen_update: FrozenUpdate::RawGradient,
                ..base()
            },
        ),
        ("bf16", Training { precision: Precision::Bf16, ..base() }),
        ("f16", Training { precision: Precision::F16, ..base() }),
        ("tf32", Training { precision: Precision::Tf32, ..base() }),
    ];
    for batch_size in [None, Some(32)] {
        let mode = |t: &Training| Training { batch_size, ..t.clone() };
        let plain = fit("GMLVQ", &mode(&base()), &d);
        for (name, training) in &options {
            let with = fit("GMLVQ", &mode(training), &d);
            assert!(
                difference(&with.tensors, &plain.tensors) > 1e-9,
                "{name} {batch_size:?} changes nothing"
            );
            assert_eq!(with.n_iter(), 12, "{name}");
        }
        // A compatible optimizer with its own options.
        let sgd = |kwargs: Value| Training {
            optimizer: "sgd".into(),
            optimizer_kwargs: map(kwargs),
            ..mode(&base())
        };
        let (a, b) =
            (fit("GMLVQ", &sgd(json!({})), &d), fit("GMLVQ", &sgd(json!({"momentum": 0.9})), &d));
        assert!(difference(&a.tensors, &b.tensors) > 1e-6);
    }
}

#[test]
fn options_without_numerical_effect_change_no_bit() {
    let d = iris();
    let plain = fit("GMLVQ", &base(), &d);
    let mut seen = 0;
    let mut count = |it: &Iteration<'_>| {
        assert!(it.gradient_norm().unwrap().is_finite() && !it.tensors().unwrap().is_empty());
        seen += 1;
        Flow::Continue
    };
    let training = Training { use_scan: false, gradient_checkpointing: true, ..base() };
    let extras = Extras { observers: vec![&mut count], ..Extras::default() };
    let observed = training.fit_with(&model("GMLVQ"), &d, &Cpu::default(), extras).unwrap();
    assert_eq!(seen, 12);
    assert_eq!(observed.tensors, plain.tensors);
    assert_eq!(observed.record.loss_history, plain.record.loss_history);
    // Batches as large as the data are the full batch.
    let big = fit("GMLVQ", &Training { batch_size: Some(1000), ..base() }, &d);
    assert_eq!(big.tensors, plain.tensors);
}

#[test]
fn frozen_tensors_keep_their_bits() {
    let d = iris();
    for optimizer in ["adamw", "lion", "lamb"] {
        let training = Training {
            freeze_params: vec!["prototypes".into()],
            optimizer: optimizer.into(),
            ema_decay: Some(0.9),
            lookahead: Some(Lookahead::default()),
            ..base()
        };
        let start = fit(
            "GMLVQ",
            &Training {
                max_iter: 1,
                freeze_params: vec!["prototypes".into(), "omega".into()],
                ..base()
            },
            &d,
        );
        let f = fit("GMLVQ", &training, &d);
        assert_eq!(f.tensors.get("prototypes"), start.tensors.get("prototypes"));
        assert_ne!(f.tensors.get("omega"), start.tensors.get("omega"));
    }
}

#[test]
fn integer_weights_equal_repeated_rows() {
    let d = iris();
    for name in ["GLVQ", "GMLVQ", "RSLVQ", "CELVQ", "CBC", "LVQ1", "LVQ21", "MedianLVQ"] {
        let weights: Vec<f64> = (0..150).map(|i| (i % 4) as f64).collect();
        let rows: Vec<usize> = (0..150).flat_map(|i| std::iter::repeat_n(i, i % 4)).collect();
        let repeated = d.select(&rows);
        let rule = Model::new(name).unwrap().row().is_rule();
        let training = if rule {
            Training {
                optimizer: "adam".into(),
                lr: if name == "MedianLVQ" { 0.01 } else { 0.05 },
                ..base()
            }
        } else {
            base()
        };
        // The same start tensors for both.
        let zero = Training {
            max_iter: 1,
            epsilon: 0.0,
            precision: Precision::F64,
            ..Training::default()
        };
        let start = lvq::model::start::start(
            &model(name),
            &d,
            &d.labels.as_ref().unwrap().classes,
            &d.labels.as_ref().unwrap().codes,
            &Given::default(),
            zero.random_seed,
        )
        .unwrap();
        let classes = d.labels.as_ref().unwrap().classes.clone();
        let labels: Vec<Label> =
            start.prototype_labels.iter().map(|c| classes[*c as usize].clone()).collect();
        let run = |data: &Dataset| {
            let given =
                Given { tensors: start.tensors.clone(), prototype_labels: Some(labels.clone()) };
            let extras = Extras { given, ..Extras::default() };
            training.fit_with(&model(name), data, &Cpu::default(), extras).unwrap()
        };
        let a = run(&d.clone().with_weights(weights).unwrap());
        let b = run(&repeated);
        let error = relative(&a.record.loss_history, &b.record.loss_history, 0.0);
        assert!(error < 1e-12, "{name}: loss off by {error:e}");
        assert!(difference(&a.tensors, &b.tensors) < 1e-9, "{name}");
    }
}

#[test]
fn thread_counts_and_offsets_change_nothing() {
    let d = wine();
    let one = Training { batch_size: Some(50), ..base() }
        .fit(&model("LMRSLVQ"), &d, &Cpu::with_threads(Some(1)).unwrap())
        .unwrap();
    let four = Training { batch_size: Some(50), ..base() }
        .fit(&model("LMRSLVQ"), &d, &Cpu::with_threads(Some(4)).unwrap())
        .unwrap();
    assert_eq!(one.tensors, four.tensors);
    assert_eq!(one.record.loss_history, four.record.loss_history);
}

#[test]
fn stopping_rules() {
    let d = iris();
    // The epsilon test keeps the update of the iteration it stops after.
    let early = fit("GMLVQ", &Training { epsilon: 1e-3, max_iter: 500, ..base() }, &d);
    assert!(early.record.converged && early.n_iter() < 500);
    let exact = fit("GMLVQ", &Training { max_iter: early.n_iter(), ..base() }, &d);
    assert_eq!(early.tensors, exact.tensors);
    // Accumulating groups and warm-up from 0 do not look converged.
    let training =
        Training { gradient_accumulation_steps: Some(3), epsilon: 1e-9, max_iter: 9, ..base() };
    let f = fit("GMLVQ", &training, &d);
    assert_eq!(f.n_iter(), 9);
    assert_eq!(f.record.loss_history[0], f.record.loss_history[2]);
    assert_ne!(f.record.loss_history[2], f.record.loss_history[3]);
    let warm = Training {
        lr_scheduler: Some("warmup_constant".into()),
        epsilon: 1e-6,
        max_iter: 30,
        ..base()
    };
    assert!(fit("GMLVQ", &warm, &d).n_iter() > 2);
    // Patience counts consecutive iterations without improvement.
    let (train, test) = halves();
    let patient = Training { patience: Some(3), max_iter: 400, lr: 0.3, ..base() };
    let f = fit_with_validation("GLVQ", &patient, &train, &test);
    let v = &f.record.validation_history;
    assert!(f.record.converged && v.len() == f.n_iter() && v.len() < 400);
    let best = v.iter().copied().enumerate().fold(0, |b, (i, x)| if x < v[b] { i } else { b });
    assert_eq!(v.len(), best + 1 + 3);
    // One iteration works.
    assert_eq!(fit("GLVQ", &Training { max_iter: 1, ..base() }, &d).n_iter(), 1);
    // An observer stops.
    let mut stop = |it: &Iteration<'_>| if it.iteration == 4 { Flow::Stop } else { Flow::Continue };
    let extras = Extras { observers: vec![&mut stop], ..Extras::default() };
    let f = base().fit_with(&model("GLVQ"), &d, &Cpu::default(), extras).unwrap();
    assert_eq!((f.n_iter(), f.record.stopped_by.as_str()), (5, "observer"));
}

#[test]
fn restore_best_returns_what_the_best_loss_belongs_to() {
    let d = iris();
    // A rate that overshoots, so that the last weights are not the best.
    for training in [
        Training { lr: 0.8, max_iter: 30, restore_best: true, ..base() },
        Training { lr: 0.8, max_iter: 30, restore_best: true, ema_decay: Some(0.5), ..base() },
        Training {
            lr: 0.8,
            max_iter: 30,
            restore_best: true,
            lookahead: Some(Lookahead::default()),
            ..base()
        },
    ] {
        let f = fit("GMLVQ", &training, &d);
        let best = f.record.best_loss.unwrap();
        let error = (f.loss(&d, &Cpu::default()).unwrap() - best).abs();
        assert!(error < 1e-12, "{training:?}: off by {error:e}");
    }
    let (train, test) = halves();
    let f = fit_with_validation(
        "GMLVQ",
        &Training { lr: 0.8, max_iter: 30, restore_best: true, ..base() },
        &train,
        &test,
    );
    let smallest = f.record.validation_history.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(f.record.best_loss, Some(smallest));
    let loss = f.loss(&test, &Cpu::default()).unwrap();
    assert!((loss - smallest).abs() < 1e-9, "{loss} {smallest}");
}

#[test]
fn averages_follow_their_recurrences() {
    let d = iris();
    let steps = |training: &Training| {
        let mut all = Vec::new();
        let mut keep = |it: &Iteration<'_>| {
            all.push(it.tensors().unwrap());
            Flow::Continue
        };
        let extras = Extras { observers: vec![&mut keep], ..Extras::default() };
        let f = training.fit_with(&model("GLVQ"), &d, &Cpu::default(), extras).unwrap();
        (f, all)
    };
    let sgd = Training { optimizer: "sgd".into(), ..base() };
    let start = fit(
        "GLVQ",
        &Training { freeze_params: vec!["prototypes".into()], max_iter: 1, ..sgd.clone() },
        &d,
    );
    let w0 = start.tensors.values("prototypes").to_vec();

    let (f, path) = steps(&Training { ema_decay: Some(0.7), ..sgd.clone() });
    let mut ema = w0.clone();
    for theta in &path {
        for (e, t) in ema.iter_mut().zip(theta.values("prototypes")) {
            *e = 0.7 * *e + 0.3 * t;
        }
    }
    assert!(relative(f.tensors.values("prototypes"), &ema, 0.0) < 1e-14);

    // Lookahead with period 4 and step 0.5 over 12 updates: after a synchronisation fast = slow.
    let (f, path) = steps(&Training {
        lookahead: Some(Lookahead { sync_period: 4, slow_step_size: 0.5 }),
        ..sgd.clone()
    });
    assert_eq!(f.tensors.values("prototypes"), path[11].values("prototypes"));
    // Fewer updates than a period: one synchronisation, with a warning, and not the start.
    let (f, path) = steps(&Training {
        lookahead: Some(Lookahead { sync_period: 100, slow_step_size: 0.5 }),
        ..sgd
    });
    let half: Vec<f64> =
        w0.iter().zip(path[11].values("prototypes")).map(|(a, b)| a + 0.5 * (b - a)).collect();
    assert!(relative(f.tensors.values("prototypes"), &half, 0.0) < 1e-14);
    assert!(f.record.warnings.iter().any(|w| w.contains("lookahead")), "{:?}", f.record.warnings);
}

#[test]
fn bases_stay_orthonormal_whatever_is_returned() {
    let d = wine();
    for training in [
        base(),
        Training { ema_decay: Some(0.9), ..base() },
        Training { lookahead: Some(Lookahead { sync_period: 5, slow_step_size: 0.3 }), ..base() },
        Training { restore_best: true, batch_size: Some(40), ema_decay: Some(0.5), ..base() },
    ] {
        let f = fit("GTLVQ", &training, &d);
        for gram in f.latent_grams() {
            for ((a, b), v) in gram.indexed_iter() {
                assert!((v - f64::from(u8::from(a == b))).abs() < 1e-12, "{gram}");
            }
        }
    }
}

/// Runs of half the length, continued, end in the bits of one run.
#[test]
fn continued_runs_end_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = halves();
    let options: Vec<(&str, Training)> = vec![
        ("GMLVQ", base()),
        ("GMLVQ", Training { precision: Precision::F32, batch_size: Some(16), ..base() }),
        (
            "GTLVQ",
            Training {
                ema_decay: Some(0.9),
                lookahead: Some(Lookahead { sync_period: 5, slow_step_size: 0.5 }),
                restore_best: true,
                ..base()
            },
        ),
        (
            "RSLVQ",
            Training {
                gradient_accumulation_steps: Some(5),
                batch_size: Some(20),
                lr_scheduler: Some("cosine_decay".into()),
                ..base()
            },
        ),
        ("GLVQ", Training { optimizer: "lbfgs".into(), lr: 1.0, ..base() }),
        (
            "GLVQ",
            Training {
                optimizer: "dpsgd".into(),
                optimizer_kwargs: map(
                    json!({"l2_norm_clip": 1.0, "noise_multiplier": 0.5, "seed": 3}),
                ),
                batch_size: Some(20),
                ..base()
            },
        ),
        ("GMLVQ", Training { precision: Precision::F16, batch_size: Some(16), ..base() }),
        ("LVQ1", base()),
        ("CBC", Training { patience: Some(50), ..base() }),
        // A range that shrinks with each update, by a factor derived from the length of the whole run.
        ("SNG", Training { restore_best: true, ema_decay: Some(0.9), ..base() }),
        ("RSLVQ_NG", Training { batch_size: Some(16), ..base() }),
        (
            "OCGMLVQ_NG",
            Training {
                lookahead: Some(Lookahead { sync_period: 5, slow_step_size: 0.5 }),
                gradient_accumulation_steps: Some(3),
                batch_size: Some(20),
                ..base()
            },
        ),
        ("SVQOCC_T", base()),
        ("DKGLVQ", Training { precision: Precision::Bf16, ..base() }),
    ];
    for (name, training) in options {
        let whole = fit_with_validation(name, &training, &train, &test);
        let path = folder.path().join("half.safetensors");
        let mut stop =
            |it: &Iteration<'_>| if it.iteration == 6 { Flow::Stop } else { Flow::Continue };
        let extras =
            Extras { validation: Some(&test), observers: vec![&mut stop], ..Extras::default() };
        let half = training.fit_with(&model(name), &train, &Cpu::default(), extras).unwrap();
        assert_eq!(half.n_iter(), 7);
        half.save(&path).unwrap();
        let loaded = Fitted::load(&path).unwrap();
        let extras = Extras { validation: Some(&test), ..Extras::default() };
        let rest = training.resume(&loaded, &train, &Cpu::default(), extras).unwrap();
        assert_eq!(rest.record.loss_history, whole.record.loss_history, "{name} {training:?}");
        assert_eq!(rest.record.validation_history, whole.record.validation_history, "{name}");
        assert_eq!(rest.tensors, whole.tensors, "{name} {training:?}");
        assert_eq!(rest.state.as_ref().unwrap().counters, whole.state.as_ref().unwrap().counters);
    }
}

#[test]
fn checkpoints_are_written_and_continue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ckpt");
    let d = iris();
    let training =
        Training { checkpoint: Some(Checkpoint { path: path.clone(), every: 5 }), ..base() };
    let mut halfway = None;
    let mut look = |it: &Iteration<'_>| {
        if it.iteration == 7 {
            halfway = Some(Fitted::load(&path).unwrap());
        }
        Flow::Continue
    };
    let extras = Extras { observers: vec![&mut look], ..Extras::default() };
    let whole = training.fit_with(&model("GMLVQ"), &d, &Cpu::default(), extras).unwrap();
    let halfway = halfway.unwrap();
    assert_eq!(halfway.n_iter(), 5);
    let last = Fitted::load(&path).unwrap();
    assert_eq!(last.tensors, whole.tensors);
    let rest = base().resume(&halfway, &d, &Cpu::default(), Extras::default()).unwrap();
    assert_eq!(rest.tensors, whole.tensors);
}

#[test]
fn partial_fit_is_one_step_and_continues_the_optimizer() {
    let d = iris();
    let two = fit("GMLVQ", &Training { max_iter: 2, ..base() }, &d);
    let one = fit("GMLVQ", &Training { max_iter: 1, ..base() }, &d);
    let partial =
        Training { max_iter: 1, ..base() }.partial_fit(&one, &d, &Cpu::default()).unwrap();
    assert_eq!(partial.tensors, two.tensors);
    assert_eq!(partial.record.loss_history, two.record.loss_history);
    // Labels that training never saw are an error that names them.
    let other = Dataset::new(d.features.select(&[0]), Some(lvq::Labels::new(&["orchid"]).unwrap()))
        .unwrap();
    let error = base().partial_fit(&one, &other, &Cpu::default()).unwrap_err().to_string();
    assert!(error.contains("orchid"), "{error}");
}

/// The range of the ranks is a schedule: a factor an update, whatever else happens to the parameters.
#[test]
fn the_range_of_the_ranks_is_a_schedule() {
    let d = iris();
    let range = |f: &Fitted| {
        f.tensors.values(if f.tensors.get("gamma").is_some() { "gamma" } else { "lambda_ng" })[0]
    };
    let lookahead = Some(Lookahead { sync_period: 5, slow_step_size: 0.5 });
    for name in ["SMNG", "CELVQ_NG", "MRSLVQ_NG", "OCGLVQ_NG", "SVQOCC", "DKGLVQ_NG"] {
        let plain = fit(name, &base(), &d);
        // The end is reached with the last update.
        let m = model(name);
        let last = m.float("gamma_final").or_else(|| m.float("lambda_final")).unwrap();
        assert!((range(&plain) - last).abs() < 1e-9, "{name}: {}", range(&plain));
        for other in [
            Training { ema_decay: Some(0.9), ..base() },
            Training { lookahead, ..base() },
            Training { clip_norm: Some(1e-3), ..base() },
            Training { optimizer: "adamw".into(), ..base() },
            Training { freeze_params: vec![m.row().range().unwrap().into()], ..base() },
            Training { batch_size: Some(50), gradient_accumulation_steps: Some(3), ..base() },
        ] {
            assert_eq!(range(&fit(name, &other, &d)), range(&plain), "{name} {other:?}");
        }
        // Three updates an iteration: the factor is that of 36 updates.
        let small = fit(name, &Training { batch_size: Some(50), ..base() }, &d);
        assert!((range(&small) - last).abs() < 1e-9, "{name}: {}", range(&small));
        // The factor stays when a run is stopped early, and goes on with it; one more step is one more factor.
        let decay = plain.state.as_ref().unwrap().counters.range_decay.unwrap();
        let mut stop =
            |it: &Iteration<'_>| if it.iteration == 3 { Flow::Stop } else { Flow::Continue };
        let extras = Extras { observers: vec![&mut stop], ..Extras::default() };
        let four = base().fit_with(&m, &d, &Cpu::default(), extras).unwrap();
        let five = base().partial_fit(&four, &d, &Cpu::default()).unwrap();
        let expected = (range(&four) * decay).max(last);
        assert!((range(&five) - expected).abs() < 1e-12, "{name}: {} {expected}", range(&five));
        // With the best parameters comes the range that they had.
        let best = Training { restore_best: true, lr: 0.8, ..base() };
        let f = fit(name, &best, &d);
        let error = (f.loss(&d, &Cpu::default()).unwrap() - f.record.best_loss.unwrap()).abs();
        assert!(error < 1e-12, "{name}: {error:e}");
    }
    // The reference's rule on request: a frozen range takes its raw gradient too, and is another number.
    let leaks = Training {
        freeze_params: vec!["gamma".into()],
        frozen_update: lvq::train::FrozenUpdate::RawGradient,
        ..base()
    };
    let f = fit("SMNG", &leaks, &d);
    assert_ne!(range(&f), range(&fit("SMNG", &base(), &d)));
}

#[test]
fn mixed_precision_follows_single_precision() {
    let d = wine();
    let scaler = lvq::data::scaling::StandardScaler::fit(&d.features).unwrap();
    let d = Dataset { features: scaler.transform(&d.features).unwrap(), ..d };
    for name in ["GLVQ", "GMLVQ", "RSLVQ", "LGMLVQ", "GTLVQ", "CBC", "CELVQ", "GRLVQ"] {
        let f32 = fit(name, &Training { precision: Precision::F32, ..base() }, &d);
        for precision in [Precision::Bf16, Precision::F16, Precision::Tf32] {
            let half = fit(name, &Training { precision, ..base() }, &d);
            let error = relative(&half.record.loss_history, &f32.record.loss_history, 0.0);
            assert!(error < 1e-2, "{name} {precision}: {error:e}");
        }
    }
}

#[test]
fn f16_skips_steps_that_overflow_and_scales_less() {
    // Close rows have steep losses: G of order 1e6/n overflows f16 at the first scale.
    let d = iris();
    let near = Dataset {
        features: lvq::Features::from(match &d.features {
            lvq::Features::F64(x) => &x.view() * 1e-3,
            lvq::Features::F32(x) => x.view().mapv(f64::from) * 1e-3,
        }),
        ..d
    };
    let training = Training { precision: Precision::F16, max_iter: 40, lr: 1e-4, ..base() };
    let f = fit("GLVQ", &training, &near);
    let state = f.state.unwrap();
    assert!(state.counters.scale < 32768.0, "scale {}", state.counters.scale);
    assert!(
        state.counters.updates > 0 && state.counters.updates < 40,
        "{}",
        state.counters.updates
    );
    assert!(f.record.loss_history.last() < f.record.loss_history.first());
}

#[test]
fn lbfgs_and_dpsgd_work() {
    let d = iris();
    let adam = fit("GMLVQ", &Training { max_iter: 30, ..base() }, &d);
    let lbfgs =
        fit("GMLVQ", &Training { max_iter: 30, optimizer: "lbfgs".into(), lr: 1.0, ..base() }, &d);
    assert!(lbfgs.record.loss_history.last() < adam.record.loss_history.last());
    // Without noise and with a clip that never acts, DP-SGD is SGD.
    let private = |clip: f64| Training {
        optimizer: "dpsgd".into(),
        optimizer_kwargs: map(json!({"l2_norm_clip": clip, "noise_multiplier": 0.0, "seed": 1})),
        ..base()
    };
    for name in ["GLVQ", "GMLVQ", "LMRSLVQ", "CBC"] {
        let sgd = fit(name, &Training { optimizer: "sgd".into(), ..base() }, &d);
        assert!(difference(&fit(name, &private(1e9), &d).tensors, &sgd.tensors) < 1e-12, "{name}");
        assert!(difference(&fit(name, &private(1e-3), &d).tensors, &sgd.tensors) > 1e-6, "{name}");
    }
}

#[test]
fn what_cannot_be_combined_is_refused_with_the_reason() {
    let d = iris();
    let lbfgs = Training { optimizer: "lbfgs".into(), ..base() };
    let dpsgd = Training {
        optimizer: "dpsgd".into(),
        optimizer_kwargs: map(json!({"l2_norm_clip": 1.0, "noise_multiplier": 0.0, "seed": 1})),
        ..base()
    };
    let table: Vec<(&str, Training, &str)> = vec![
        ("GLVQ", Training { gradient_accumulation_steps: Some(2), ..lbfgs.clone() }, "line search"),
        ("GLVQ", Training { clip_norm: Some(1.0), ..lbfgs.clone() }, "line search"),
        ("GLVQ", Training { diversity_weight: 1.0, ..lbfgs }, "line search"),
        ("GLVQ", Training { gradient_accumulation_steps: Some(2), ..dpsgd.clone() }, "noise"),
        ("GLVQ", Training { l1_weight: 0.1, ..base() }, "relevances"),
        ("CBC", Training { diversity_weight: 0.1, ..base() }, "components"),
        ("LVQ1", Training { optimizer: "sgd".into(), ..base() }, "not used by LVQ1"),
        ("LVQ1", Training { batch_size: Some(10), ..base() }, "not used by LVQ1"),
        ("LVQ1", Training { lr: 3.0, ..base() }, "must be > 0 and < 1"),
        ("MedianLVQ", Training { lr: 0.5, ..base() }, "not used by MedianLVQ"),
        ("GLVQ", Training { freeze_params: vec!["omega".into()], ..base() }, "valid: prototypes"),
        (
            "GLVQ",
            Training { per_group_clip: BTreeMap::from([("omega".into(), 1.0)]), ..base() },
            "valid: prototypes",
        ),
        (
            "GLVQ",
            Training {
                class_weight: ClassWeight::Map(BTreeMap::from([("rose".into(), 1.0)])),
                ..base()
            },
            "setosa",
        ),
    ];
    for (name, training, expected) in table {
        let error = training
            .fit(&model(name), &d, &Cpu::default())
            .map(|f| f.n_iter())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn a_run_that_diverges_names_the_tensor_and_keeps_the_last_finite_one() {
    let d = iris();
    let training = Training { lr: 1e300, optimizer: "sgd".into(), max_iter: 50, ..base() };
    match training.fit(&model("GLVQ21"), &d, &Cpu::default()) {
        Err(Error::Diverged { last: Some(fitted), .. }) => {
            assert!(fitted.tensors.first_not_finite().is_none());
            assert!(fitted.predict(&d.features).is_ok());
        }
        other => panic!("{:?}", other.map(|f| f.record.loss_history)),
    }
}

#[test]
fn translation_changes_no_label() {
    let d = iris();
    let plain = fit("GMLVQ", &Training { max_iter: 50, ..base() }, &d);
    let far = Dataset {
        features: lvq::Features::from(match &d.features {
            lvq::Features::F64(x) => &x.view() + 1e4,
            lvq::Features::F32(x) => x.view().mapv(f64::from) + 1e4,
        }),
        ..d.clone()
    };
    for precision in [Precision::F64, Precision::F32] {
        let moved = fit("GMLVQ", &Training { max_iter: 50, precision, ..base() }, &far);
        let same = moved.predict(&far.features).unwrap();
        let agree =
            same.iter().zip(plain.predict(&d.features).unwrap()).filter(|(a, b)| **a == *b).count();
        assert!(agree >= 149, "{precision}: {agree} of 150 labels agree");
    }
}
