//! Every optimizer on every GPU present against the CPU, in single and in double precision.
//!
//! `LVQ_REQUIRE_DEVICES` makes the absence of a named device a failure (see `devices.rs`).

mod common;

use common::{devices, problem, random, validation_is_silent};
use lvq::backend::{Backend, Problem, Rows, Samples, Session, Slot};
use lvq::model::spec::Sizes;
use lvq::parts::composition::{Composition, Precision};
use lvq::parts::optimizer::OptimizerSpec;
use lvq::parts::tensor::{Tensor, Tensors};
use lvq::{Cpu, Dataset, Model, Training};
use serde_json::{Value, json};

fn spec(name: &str, options: &Value) -> OptimizerSpec {
    OptimizerSpec::parse(name, options.as_object().expect("a map")).unwrap()
}

/// Every optimizer with its defaults, and with the options that change its formula or its state.
fn specs() -> Vec<OptimizerSpec> {
    let mut all: Vec<OptimizerSpec> = OptimizerSpec::names()
        .into_iter()
        .map(|name| match name {
            "dpsgd" => {
                spec(name, &json!({"l2_norm_clip": 1.0, "noise_multiplier": 0.5, "seed": 3}))
            }
            _ => spec(name, &json!({})),
        })
        .collect();
    let more = [
        ("adam", json!({"nesterov": true, "eps_root": 1e-3})),
        ("adam", json!({"b1": 0.0, "b2": 0.5})),
        ("adamw", json!({"weight_decay": 0.1, "nesterov": true})),
        ("adamaxw", json!({"weight_decay": 0.1, "b1": 0.5})),
        ("adan", json!({"weight_decay": 0.1})),
        ("adabelief", json!({"eps": 1e-8, "eps_root": 1e-8})),
        ("amsgrad", json!({"b2": 0.5, "eps_root": 1e-6})),
        ("radam", json!({"b2": 0.9})),
        ("lamb", json!({"weight_decay": 0.1, "eps_root": 1e-6})),
        ("lion", json!({"weight_decay": 0.1})),
        ("novograd", json!({"weight_decay": 0.1, "eps_root": 1e-4})),
        ("sgd", json!({"momentum": 0.9})),
        ("sgd", json!({"momentum": 0.9, "nesterov": true})),
        ("signum", json!({"beta": 0.5})),
        ("noisy_sgd", json!({"eta": 1.0, "gamma": 0.1, "seed": 7})),
        ("lars", json!({"weight_decay": 0.1, "nesterov": true, "trust_coefficient": 0.1})),
        ("lars", json!({"eps": 0.1, "momentum": 0.0})),
        ("rmsprop", json!({"centered": true})),
        ("rmsprop", json!({"momentum": 0.9, "initial_scale": 1.0})),
        ("rmsprop", json!({"momentum": 0.9, "nesterov": true, "eps_in_sqrt": false})),
        ("rmsprop", json!({"momentum": 0.9, "centered": true})),
        ("adagrad", json!({"initial_accumulator_value": 0, "eps": 0})),
        ("adadelta", json!({"weight_decay": 0.1, "rho": 0.5})),
        ("adafactor", json!({"min_dim_size_to_factor": 2})),
        (
            "adafactor",
            json!({"min_dim_size_to_factor": 2, "momentum": 0.9, "weight_decay_rate": 0.01}),
        ),
        ("adafactor", json!({"momentum": 0.9, "clipping_threshold": 0.3})),
        ("adafactor", json!({"multiply_by_parameter_scale": false, "weight_decay_rate": 0.01})),
        ("sm3", json!({"momentum": 0.0})),
        ("yogi", json!({"b2": 0.5, "eps": 1e-2})),
        ("rprop", json!({"rprop_delay": true, "max_step_size": 0.06})),
        ("fromage", json!({"min_norm": 2.0})),
        (
            "dpsgd",
            json!({"l2_norm_clip": 1.0, "noise_multiplier": 1.0, "seed": 1, "momentum": 0.5, "nesterov": true}),
        ),
        ("hypergradient_descent", json!({"hyper_lr": 1e-2, "max_lr": 0.02})),
        ("riemannian_nesterov", json!({"momentum": 0.5})),
        ("lbfgs", json!({"memory": 2})),
    ];
    all.extend(more.iter().map(|(name, options)| spec(name, options)));
    all
}

/// What a session is opened on: data and tensors.
struct Stage {
    data: Dataset,
    composition: Composition,
    labels: Vec<u32>,
    tensors: Tensors<f64>,
    train: Vec<String>,
}

/// A small model beside which stand blocks of all ranks and sizes, of which one is frozen. (No part looks at them: what
/// optimizers do with them is all that is seen.)
fn shapes() -> Stage {
    let model = Model::new("glvq").unwrap();
    let (data, given) = problem(&model, 23, 3, 3, 2);
    let composition = model.compose(Sizes { n: 23, d: 3, p: 6, classes: 3 }).unwrap();
    let mut tensors = given.tensors.cast();
    let blocks: [(&str, &[usize]); 8] = [
        ("scalar", &[]),
        ("single", &[1]),
        ("vector", &[37]),
        ("frozen", &[5]),
        ("cube", &[3, 4, 5]),
        ("long", &[5001]),
        ("table", &[70, 75]),
        ("four", &[2, 3, 2, 4]),
    ];
    for (k, (name, shape)) in blocks.into_iter().enumerate() {
        let values = random(50 + k as u64, shape.iter().product());
        tensors.insert(Tensor::new(name, shape, values));
    }
    let train = tensors.list.iter().map(|t| t.name.clone()).filter(|n| n != "frozen").collect();
    Stage { data, composition, labels: vec![0, 0, 1, 1, 2, 2], tensors: single(&tensors), train }
}

/// What a tensor is in single precision, so that all begin with the same.
fn single(tensors: &Tensors<f64>) -> Tensors<f64> {
    tensors.cast::<f32>().cast()
}

impl Stage {
    fn names(&self) -> Vec<String> {
        self.tensors.list.iter().map(|t| t.name.clone()).collect()
    }

    /// Runs `f` on a session.
    fn with<R>(
        &self,
        backend: &dyn Backend,
        precision: Precision,
        spec: &OptimizerSpec,
        f: impl FnOnce(&mut dyn Session) -> R,
    ) -> R {
        let labels = self.data.labels.as_ref().unwrap();
        let names = self.names();
        let centre = vec![0.0; self.data.features.columns()];
        let mut session = backend
            .session(Problem {
                composition: &self.composition,
                training: Samples { features: &self.data.features, codes: &labels.codes },
                validation: None,
                row_weights: None,
                classes: 3,
                target: 0,
                prototype_labels: &self.labels,
                centre: &centre,
                tensors: &self.tensors,
                learn: &names,
                train: &self.train,
                precision,
                optimizer: Some((spec, LR)),
                passes: 1,
            })
            .unwrap();
        f(&mut *session)
    }
}

const LR: f64 = 0.05;

/// Gradient number t of every tensor: of different sizes from block to block, partly steady and partly not, with zeros.
fn gradient(tensors: &Tensors<f64>, t: u64) -> Tensors<f64> {
    let mut all = tensors.zeros_like();
    for (k, block) in all.list.iter_mut().enumerate() {
        let scale = [1.0, 30.0, 1e-3, 0.2, 1e-6][k % 5];
        let (steady, noise) = (
            random(900 + k as u64, block.data.len()),
            random(1000 * (t + 1) + k as u64, block.data.len()),
        );
        for (i, v) in block.data.iter_mut().enumerate() {
            *v = if i % 11 == 3 { 0.0 } else { scale * (0.6 * steady[i] + noise[i]) };
        }
    }
    single(&all)
}

/// The step's rate, and what multiplies it.
fn rate(t: u64) -> f64 {
    LR / (1.0 + 0.1 * t as f64)
}

fn multiplier(name: &str) -> f64 {
    if name == "cube" { 0.5 } else { 1.0 }
}

/// Updates number `steps`, each with its own gradient; the parameters after each.
fn updates(
    session: &mut dyn Session,
    stage: &Stage,
    steps: std::ops::Range<u64>,
) -> Vec<Tensors<f64>> {
    steps
        .map(|t| {
            session.write_gradient(&gradient(&stage.tensors, t)).unwrap();
            session.update(rate(t), &multiplier, Rows::TRAINING, 1.0).unwrap();
            session.read(Slot::Current).unwrap()
        })
        .collect()
}

/// Of all tensors the largest difference over the largest entry that is expected or was at the start; and which.
fn distance(got: &Tensors<f64>, expected: &Tensors<f64>, start: &Tensors<f64>) -> (f64, String) {
    assert_eq!(got.list.len(), expected.list.len());
    let largest = |t: &Tensor<f64>| t.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let mut worst = (0.0, String::new());
    for e in &expected.list {
        let g = got.get(&e.name).unwrap_or_else(|| panic!("no '{}'", e.name));
        assert_eq!(g.shape, e.shape, "{}", e.name);
        let scale = largest(e).max(start.get(&e.name).map_or(0.0, largest));
        let gap = g.data.iter().zip(&e.data).map(|(a, b)| {
            assert!(a.is_finite() && b.is_finite(), "{} is not finite", e.name);
            (a - b).abs()
        });
        let error = gap.fold(0.0, f64::max) / if scale > 0.0 { scale } else { 1.0 };
        if error > worst.0 {
            worst = (error, e.name.clone());
        }
    }
    worst
}

fn described(spec: &OptimizerSpec) -> String {
    format!("{} {}", spec.name(), Value::Object(spec.kwargs().clone()))
}

/// What the parameters may be off by, over the largest entry.
const TOLERANCE: f64 = 2e-5;

#[test]
fn updates_of_every_optimizer() {
    let stage = shapes();
    let mut wrong = Vec::new();
    for (device, backend) in devices() {
        for spec in specs().iter().filter(|s| s.name() != "lbfgs") {
            let run = |backend: &dyn Backend, precision| {
                stage.with(backend, precision, spec, |s| {
                    let all = updates(s, &stage, 0..20);
                    (all, s.optimizer_state().unwrap())
                })
            };
            let (got, got_state) = run(&*backend, Precision::F32);
            let mut report = format!("{device} {}:", described(spec));
            for precision in [Precision::F32, Precision::F64] {
                let (expected, state) = run(&Cpu::default(), precision);
                let mut worst = (0.0, String::new());
                for (t, (got, expected)) in got.iter().zip(&expected).enumerate() {
                    let (error, name) = distance(got, expected, &stage.tensors);
                    if error > worst.0 {
                        worst = (error, format!("{name} after {t}"));
                    }
                }
                let by_state = distance(&got_state, &state, &state);
                report += &format!(" {precision:?} {:.1e} ({}),", worst.0, worst.1);
                report += &format!(" state {:.1e} ({})", by_state.0, by_state.1);
                if worst.0 > TOLERANCE || by_state.0 > TOLERANCE {
                    wrong.push(report.clone());
                }
            }
            println!("{report}");
            let frozen = got.last().unwrap().get("frozen").unwrap();
            assert_eq!(Some(frozen), stage.tensors.get("frozen"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    validation_is_silent();
}

#[test]
fn a_run_goes_on_on_another_device() {
    let stage = shapes();
    let cpu = Cpu::default();
    let mut wrong = Vec::new();
    for (device, backend) in devices() {
        for spec in specs().iter().filter(|s| s.name() != "lbfgs") {
            let whole = stage.with(&cpu, Precision::F32, spec, |s| updates(s, &stage, 0..12));
            for (from, to) in
                [(&*backend, &cpu as &dyn Backend), (&cpu, &*backend), (&*backend, &*backend)]
            {
                let (tensors, state) = stage.with(from, Precision::F32, spec, |s| {
                    updates(s, &stage, 0..7);
                    (s.read(Slot::Current).unwrap(), s.optimizer_state().unwrap())
                });
                let end = stage.with(to, Precision::F32, spec, |s| {
                    s.write(Slot::Current, &tensors).unwrap();
                    s.restore_optimizer(&state).unwrap();
                    updates(s, &stage, 7..12).pop().unwrap()
                });
                let (error, name) = distance(&end, &whole[11], &stage.tensors);
                if error > TOLERANCE {
                    wrong.push(format!("{device} {}: {error:e} ({name})", described(spec)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_bit_by_bit() {
    let stage = shapes();
    for (device, backend) in devices() {
        for spec in specs().iter().filter(|s| s.name() != "lbfgs") {
            let run = |s: &mut dyn Session| {
                updates(s, &stage, 0..5);
                let (tensors, state) =
                    (s.read(Slot::Current).unwrap(), s.optimizer_state().unwrap());
                let first = updates(s, &stage, 5..9);
                updates(s, &stage, 9..11);
                s.write(Slot::Current, &tensors).unwrap();
                s.restore_optimizer(&state).unwrap();
                assert_eq!(s.optimizer_state().unwrap(), state, "{device} {}", described(spec));
                assert_eq!(updates(s, &stage, 5..9), first, "{device} {}", described(spec));
            };
            stage.with(&*backend, Precision::F32, spec, run);
        }
    }
}

#[test]
fn a_foreign_or_damaged_state_is_refused_as_on_the_cpu() {
    let stage = shapes();
    for (_, backend) in devices() {
        for (name, slot) in [
            ("adam", "adam/m/vector"),
            ("sm3", "sm3/mu0/vector"),
            ("novograd", "novograd/q/vector"),
        ] {
            let spec = spec(name, &json!({}));
            let check = |backend: &dyn Backend| {
                stage.with(backend, Precision::F32, &spec, |s| {
                    updates(s, &stage, 0..3);
                    let good = s.optimizer_state().unwrap();
                    let mut messages = Vec::new();
                    let mut broken = vec![good.clone(); 4];
                    broken[0].list.retain(|t| t.name != "t");
                    broken[1].insert(Tensor::new("lion/m/vector", &[37], vec![0.0; 37]));
                    broken[2].list.retain(|t| t.name != slot);
                    broken[3].insert(Tensor::new(slot, &[2], vec![0.0; 2]));
                    if name == "novograd" {
                        // Its only other slot is missing then.
                        broken[2].list.retain(|t| t.name != slot || t.name.ends_with("scalar"));
                    }
                    for broken in &broken {
                        messages.push(s.restore_optimizer(broken).unwrap_err().to_string());
                        assert_eq!(s.optimizer_state().unwrap(), good);
                    }
                    // A block that is not known to the state begins anew; one that is frozen now is passed over.
                    let mut other = good.clone();
                    other.list.retain(|t| !t.name.ends_with("/cube"));
                    other.insert(Tensor::new(format!("{name}/m/frozen"), &[5], vec![1.0; 5]));
                    s.restore_optimizer(&other).unwrap();
                    messages.push(format!("{:?}", names(&s.optimizer_state().unwrap())));
                    let fresh = s.optimizer_state().unwrap();
                    let cube = fresh.list.iter().filter(|t| t.name.ends_with("/cube"));
                    assert!(cube.flat_map(|t| &t.data).all(|v| *v == 0.0), "{name}");
                    messages
                })
            };
            assert_eq!(check(&*backend), check(&Cpu::default()), "{name}");
        }
    }
}

fn names(tensors: &Tensors<f64>) -> Vec<(&str, &[usize])> {
    tensors.list.iter().map(|t| (t.name.as_str(), &t.shape[..])).collect()
}

/// Norms of blocks whose squares leave single precision.
#[test]
fn tiny_gradients_have_a_norm() {
    let stage = shapes();
    for (device, backend) in devices() {
        for name in ["lars", "lamb", "fromage", "adafactor"] {
            let spec = spec(name, &json!({}));
            let run = |backend: &dyn Backend| {
                stage.with(backend, Precision::F32, &spec, |s| {
                    for t in 0..3 {
                        let mut tiny = gradient(&stage.tensors, t);
                        tiny.list.iter_mut().flat_map(|t| &mut t.data).for_each(|v| *v *= 1e-26);
                        s.write_gradient(&tiny).unwrap();
                        s.update(LR, &|_| 1.0, Rows::TRAINING, 1.0).unwrap();
                    }
                    s.read(Slot::Current).unwrap()
                })
            };
            let (error, which) = distance(&run(&*backend), &run(&Cpu::default()), &stage.tensors);
            assert!(error < TOLERANCE, "{device} {name}: {error:e} ({which})");
        }
    }
}

/// A model whose parameters L-BFGS moves; with `d` large they are more than one workgroup sums.
fn searched(d: usize) -> Stage {
    let model = Model::new("lgmlvq").unwrap();
    let (data, given) = problem(&model, 67, d, 3, 2);
    let composition = model.compose(Sizes { n: 67, d, p: 6, classes: 3 }).unwrap();
    let tensors = single(&given.tensors);
    let train = vec!["prototypes".to_string(), "omegas".to_string()];
    Stage { data, composition, labels: vec![0, 0, 1, 1, 2, 2], tensors, train }
}

/// Updates along a line, each from the gradient where the parameters are.
fn searches(session: &mut dyn Session, steps: u64) -> Vec<Tensors<f64>> {
    (0..steps)
        .map(|_| {
            let loss = session.gradient(Rows::TRAINING, 1.0).unwrap();
            let before = session.read_gradient().unwrap();
            session.update(1.0, &|_| 1.0, Rows::TRAINING, loss).unwrap();
            assert_eq!(
                session.read_gradient().unwrap(),
                before,
                "the gradient is that of the update"
            );
            session.read(Slot::Current).unwrap()
        })
        .collect()
}

#[test]
fn lbfgs_searches_and_goes_on_on_another_device() {
    let cpu = Cpu::default();
    for (device, backend) in devices() {
        for (d, memory) in [(5, 10), (5, 2), (450, 3)] {
            let stage = searched(d);
            let spec = spec("lbfgs", &json!({"memory": memory}));
            let whole = stage.with(&cpu, Precision::F32, &spec, |s| searches(s, 9));
            let exact = stage.with(&cpu, Precision::F64, &spec, |s| searches(s, 9));
            let mine = stage.with(&*backend, Precision::F32, &spec, |s| searches(s, 9));
            let mut ends = vec![("all", mine[8].clone())];
            let ways: [(&str, &dyn Backend, &dyn Backend); 3] = [
                ("there", &cpu, &*backend),
                ("back", &*backend, &cpu),
                ("again", &*backend, &*backend),
            ];
            for (way, from, to) in ways {
                let (tensors, state) = stage.with(from, Precision::F32, &spec, |s| {
                    searches(s, 5);
                    (s.read(Slot::Current).unwrap(), s.optimizer_state().unwrap())
                });
                let end = stage.with(to, Precision::F32, &spec, |s| {
                    s.write(Slot::Current, &tensors).unwrap();
                    s.restore_optimizer(&state).unwrap();
                    assert_eq!(s.optimizer_state().unwrap(), state);
                    searches(s, 4).pop().unwrap()
                });
                if way == "again" {
                    assert_eq!(end, mine[8], "{device}: bit by bit");
                }
                ends.push((way, end));
            }
            for (way, end) in ends {
                for (precision, expected) in [("F32", &whole[8]), ("F64", &exact[8])] {
                    let (error, which) = distance(&end, expected, &stage.tensors);
                    println!(
                        "{device} d {d} memory {memory} {way}: {precision} {error:.1e} ({which})"
                    );
                    assert!(error < TOLERANCE, "{device} {way} {precision}: {error:e} ({which})");
                }
            }
        }
    }
    validation_is_silent();
}

#[test]
fn lbfgs_refuses_a_foreign_state_and_stays_as_it_was() {
    let stage = searched(5);
    for (_, backend) in devices() {
        let spec = spec("lbfgs", &json!({"memory": 3}));
        stage.with(&*backend, Precision::F32, &spec, |s| {
            searches(s, 4);
            let good = s.optimizer_state().unwrap();
            let mut broken = vec![good.clone(); 3];
            broken[0].list.retain(|t| t.name != "t");
            broken[1].insert(Tensor::new("lbfgs/x/prototypes", &[2], vec![0.0; 2]));
            broken[2].insert(Tensor::new("lbfgs/s/prototypes", &[4, 6, 5], vec![0.0; 120]));
            for broken in &broken {
                s.restore_optimizer(broken).unwrap_err();
                assert_eq!(s.optimizer_state().unwrap(), good);
            }
        });
    }
}

/// Training as a whole: gradient, update and constraints, step after step.
#[test]
fn training_with_every_optimizer() {
    let mut wrong = Vec::new();
    for (device, backend) in devices() {
        // The host build takes long for a step.
        let max_iter = if device.starts_with("cuda-host") { 4 } else { 20 };
        for name in ["gmlvq", "lgmlvq"] {
            let model = Model::new(name).unwrap();
            let (data, mut given) = problem(&model, 67, 5, 3, 2);
            given.tensors = single(&given.tensors);
            for spec in specs() {
                let run = |backend: &dyn Backend, precision| {
                    let training = Training {
                        precision,
                        optimizer: spec.name().into(),
                        optimizer_kwargs: spec.kwargs().clone(),
                        lr: 0.01,
                        max_iter,
                        epsilon: 0.0,
                        ..Training::default()
                    };
                    let extras = lvq::Extras { given: given.clone(), ..lvq::Extras::default() };
                    training.fit_with(&model, &data, backend, extras).unwrap().tensors
                };
                let got = run(&*backend, Precision::F32);
                let mut report = format!("{device} {name} {}:", described(&spec));
                let mut off = false;
                let on_cpu = [Precision::F32, Precision::F64]
                    .map(|precision| (precision, run(&Cpu::default(), precision)));
                // What single precision itself loses (a variance near 0 divides) no device is held to.
                let (lost, _) = distance(&on_cpu[0].1, &on_cpu[1].1, &given.tensors);
                for (precision, expected) in on_cpu {
                    let (error, which) = distance(&got, &expected, &given.tensors);
                    report += &format!(" {precision:?} {error:.1e} ({which})");
                    // A direction of L-BFGS is the gradient's rounding times the inverse Hessian: near the minimum the CPU's own
                    // two precisions are as far apart. A centred variance is a small difference of large numbers.
                    let tolerance = match spec.name() {
                        "lbfgs" => 1e-4,
                        "rmsprop" => 2.0 * TOLERANCE,
                        _ => TOLERANCE,
                    };
                    off |= error > tolerance.max(3.0 * lost);
                }
                println!("{report}");
                if off {
                    wrong.push(report);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    validation_is_silent();
}
