//! Optimizers and schedules against optax's numbers, the formulas, and their own promises.

use lvq::parts::optimizer::clip::{check_groups, clip_global, clip_groups};
use lvq::parts::optimizer::prox::prox_l1_l2;
use lvq::parts::optimizer::{Optimizer, OptimizerSpec};
use lvq::parts::real::Real;
use lvq::parts::tensor::{Tensor, Tensors};
use lvq::train::schedule::Schedule;
use lvq::{Error, Result};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn kwargs(value: Value) -> Map<String, Value> {
    value.as_object().expect("a map").clone()
}

fn spec(name: &str, options: Value) -> OptimizerSpec {
    OptimizerSpec::parse(name, &kwargs(options)).unwrap()
}

/// Any valid specification of that name.
fn plain(name: &str) -> OptimizerSpec {
    match name {
        "dpsgd" => spec(name, json!({"l2_norm_clip": 1.0, "noise_multiplier": 0.5, "seed": 3})),
        _ => spec(name, json!({})),
    }
}

fn block<T: Real>(name: &str, shape: &[usize], values: &[f64]) -> Tensor<T> {
    Tensor::new(name, shape, values.iter().map(|v| T::of(*v)).collect())
}

fn one<T: Real>(values: &[f64]) -> Tensors<T> {
    Tensors { list: vec![block("w", &[values.len()], values)] }
}

/// `update` with no multipliers, on one row.
fn step<T: Real>(o: &mut Optimizer<T>, params: &mut Tensors<T>, grads: &Tensors<T>, h: f64) {
    o.update(params, grads, h, &|_| 1.0, 1);
}

/// The largest entry.
fn largest<T: Real>(t: &Tensor<T>) -> f64 {
    t.data.iter().fold(0.0, |m, v| m.max(v.f64().abs()))
}

/// The largest difference of a tensor over the largest entry that it has in `b` or had in `start`,
/// of all tensors the worst. (A scalar that passes through 0 has no digits of its own there.)
fn distance_since<A: Real, B: Real>(start: &Tensors<B>, a: &Tensors<A>, b: &Tensors<B>) -> f64 {
    let of = |b: &Tensor<B>| {
        let a = a.get(&b.name).expect(&b.name);
        let scale = start.get(&b.name).map_or(0.0, largest).max(largest(b));
        let gap = a.data.iter().zip(&b.data).map(|(a, b)| (a.f64() - b.f64()).abs());
        gap.fold(0.0, f64::max) / if scale == 0.0 { 1.0 } else { scale }
    };
    assert_eq!(a.list.len(), b.list.len());
    b.list.iter().map(of).fold(0.0, f64::max)
}

/// The same over the largest entry in `b` alone.
fn distance<A: Real, B: Real>(a: &Tensors<A>, b: &Tensors<B>) -> f64 {
    distance_since(b, a, b)
}

// -------------------------------------------------------------------------------------------------
// Golden numbers
// -------------------------------------------------------------------------------------------------

struct Golden {
    case: Value,
    tensors: Tensors<f64>,
}

impl Golden {
    fn read(path: &Path) -> Golden {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let case = header.metadata().as_ref().unwrap()["case"].clone();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let list = file.iter().map(|(name, view)| {
            assert_eq!(view.dtype(), safetensors::Dtype::F64, "{name}");
            let numbers = view.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b));
            Tensor::new(name, view.shape(), numbers.collect())
        });
        let tensors = Tensors { list: list.collect() };
        Golden { case: serde_json::from_str(&case).unwrap(), tensors }
    }

    /// The tensors under a prefix such as `grad/3/`.
    fn under<T: Real>(&self, prefix: &str) -> Tensors<T> {
        let mut list = Vec::new();
        for t in &self.tensors.list {
            if let Some(name) = t.name.strip_prefix(prefix) {
                list.push(block(name, &t.shape, &t.data));
            }
        }
        assert!(!list.is_empty(), "nothing under {prefix}");
        list.sort_by(|a: &Tensor<T>, b| a.name.cmp(&b.name));
        Tensors { list }
    }

    fn steps(&self) -> usize {
        self.case["steps"].as_u64().unwrap() as usize
    }

    fn lr(&self) -> f64 {
        self.case["lr"].as_f64().unwrap()
    }

    fn rate(&self, i: usize) -> f64 {
        self.case["rates"].get(i).map_or(self.lr(), |r| r.as_f64().unwrap())
    }

    /// The optimizer of the file. Files without `kwargs` have defaults, but for three.
    fn spec(&self) -> OptimizerSpec {
        let name = self.case["optimizer"].as_str().unwrap();
        match (name, self.case.get("kwargs")) {
            (_, Some(given)) => spec(name, given.clone()),
            ("sgd_momentum", _) => spec("sgd", json!({"momentum": 0.9})),
            ("sgd_nesterov", _) => spec("sgd", json!({"momentum": 0.9, "nesterov": true})),
            // optax emits the step before.
            ("rprop", _) => spec("rprop", json!({"rprop_delay": true})),
            _ => spec(name, json!({})),
        }
    }

    /// Worst distance over all steps of a run on the file's gradients.
    fn replay<T: Real>(&self) -> f64 {
        let start = self.under::<f64>("init/");
        let mut params = self.under::<T>("init/");
        let mut optimizer = Optimizer::new(&self.spec(), self.lr(), &params);
        let mut worst = 0.0f64;
        for i in 0..self.steps() {
            step(&mut optimizer, &mut params, &self.under(&format!("grad/{i}/")), self.rate(i));
            let expected = self.under::<f64>(&format!("params/{i}/"));
            worst = worst.max(distance_since(&start, &params, &expected));
        }
        assert_eq!(optimizer.updates(), self.steps() as u64);
        worst
    }
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// All optimizer files but those of L-BFGS, by name.
fn golden_files(lbfgs: bool) -> Vec<(String, Golden)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(golden_folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".safetensors") else { continue };
        let Some(stem) = stem.strip_prefix("optimizer-") else { continue };
        if stem.starts_with("lbfgs") == lbfgs {
            files.push((stem.to_owned(), Golden::read(&golden_folder().join(&name))));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

#[test]
fn golden_updates_in_f64() {
    let files = golden_files(false);
    // Every optimizer of optax is there: with its defaults, but for the two that draw noise and
    // L-BFGS.
    for name in OptimizerSpec::names() {
        let ours = ["noisy_sgd", "dpsgd", "lbfgs", "hypergradient_descent", "riemannian_nesterov"];
        assert!(ours.contains(&name) || files.iter().any(|(stem, _)| stem == name), "{name}");
    }
    for (stem, golden) in files {
        let error = golden.replay::<f64>();
        assert!(error <= 1e-12, "{stem}: {error:e}");
    }
}

#[test]
fn golden_updates_in_f32() {
    for (stem, golden) in golden_files(false) {
        let error = golden.replay::<f32>();
        assert!(error <= 1e-5, "{stem}: {error:e}");
    }
}

#[test]
fn golden_schedules() {
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(golden_folder().join(name)).unwrap()).unwrap()
    };
    let mut seen = Vec::new();
    let mut check = |name: &str, case: &Value, lr: f64| {
        let schedule =
            Schedule::parse(Some(name), &kwargs(case["parameters"].clone()), lr, 7).unwrap();
        let values = case["values"].as_array().unwrap();
        assert_eq!(values.len(), 41);
        for (s, value) in values.iter().enumerate() {
            let (ours, theirs) = (schedule.rate(s as u64), value.as_f64().unwrap());
            // A cosine leaves 1e-17 where it should leave 0.
            let gap = (ours - theirs).abs();
            assert!(gap <= 1e-12 * theirs.abs() + 1e-17, "{name} at {s}: {ours} {theirs}");
        }
        seen.push(name.to_owned());
    };
    let first = read("schedules.json");
    for (name, case) in first["schedules"].as_object().unwrap() {
        check(name.trim_end_matches("_staircase"), case, first["lr"].as_f64().unwrap());
    }
    let second = read("optimizer-schedules.json");
    for case in second["schedules"].as_array().unwrap() {
        check(case["name"].as_str().unwrap(), case, second["lr"].as_f64().unwrap());
    }
    for name in Schedule::names() {
        assert!(seen.iter().filter(|s| *s == name).count() >= 2, "{name}");
    }
}

// -------------------------------------------------------------------------------------------------
// L-BFGS
// -------------------------------------------------------------------------------------------------

/// Value and gradient of a function of one vector.
type Function = fn(&[f64]) -> (f64, Vec<f64>);

/// Rosenbrock's valley in any number of dimensions.
fn valley(z: &[f64]) -> (f64, Vec<f64>) {
    let (mut value, mut grad) = (0.0, vec![0.0; z.len()]);
    for i in 0..z.len() - 1 {
        let (off, rest) = (z[i + 1] - z[i] * z[i], 1.0 - z[i]);
        value += 100.0 * off * off + rest * rest;
        grad[i] += -400.0 * off * z[i] - 2.0 * rest;
        grad[i + 1] += 200.0 * off;
    }
    (value, grad)
}

/// A sum of hyperbolas, coupled by the square of the sum.
fn bowl(z: &[f64]) -> (f64, Vec<f64>) {
    let sum: f64 = z.iter().sum();
    let (mut value, mut grad) = (0.25 * sum * sum, vec![0.5 * sum; z.len()]);
    for (i, z) in z.iter().enumerate() {
        let (weight, off) = (1.0 + i as f64, z - i as f64 / 3.0);
        let root = (1.0 + off * off).sqrt();
        value += weight * root;
        grad[i] += weight * off / root;
    }
    (value, grad)
}

/// A function of all blocks of `params` in their order, as the objective of a line search.
fn objective<T: Real>(f: Function, params: &Tensors<T>) -> (f64, Tensors<T>) {
    let z: Vec<f64> = params.list.iter().flat_map(|t| t.data.iter().map(|v| v.f64())).collect();
    let (value, grad) = f(&z);
    let mut grads = params.zeros_like();
    let all = grads.list.iter_mut().flat_map(|t| t.data.iter_mut());
    all.zip(grad).for_each(|(to, g)| *to = T::of(g));
    (value, grads)
}

/// Ever steeper, then rising.
fn hook(z: &[f64]) -> (f64, Vec<f64>) {
    let value = z.iter().map(|z| -z - 2.0 * z.powi(3) + 4.0 * z.powi(8)).sum();
    (value, z.iter().map(|z| -1.0 - 6.0 * z.powi(2) + 32.0 * z.powi(7)).collect())
}

/// One step; returns the loss before it, and loss, gradient after it.
fn search<T: Real>(o: &mut Optimizer<T>, params: &mut Tensors<T>, f: Function, h: f64) -> f64 {
    let (loss, grads) = objective(f, params);
    o.line_search_update(params, loss, &grads, h, &mut |p| Ok(objective(f, p))).unwrap();
    loss
}

#[test]
fn lbfgs_golden() {
    let files = golden_files(true);
    assert!(files.len() >= 9);
    for (stem, golden) in files {
        let function: Function = match golden.case["objective"].as_str().unwrap() {
            "valley" => valley,
            "bowl" => bowl,
            "hook" => hook,
            other => panic!("{other}"),
        };
        let mut params = golden.under::<f64>("init/");
        let mut optimizer = Optimizer::new(&golden.spec(), golden.lr(), &params);
        assert!(optimizer.needs_objective());
        for i in 0..golden.steps() {
            search(&mut optimizer, &mut params, function, golden.lr());
            let error = distance(&params, &golden.under::<f64>(&format!("params/{i}/")));
            // A search amplifies rounding from step to step.
            assert!(error <= 1e-10, "{stem}, step {i}: {error:e}");
        }
    }
}

#[test]
fn lbfgs_converges() {
    let mut params = one::<f64>(&[-1.2, 1.0, -0.5, 0.8]);
    let mut optimizer = Optimizer::new(&plain("lbfgs"), 1.0, &params);
    let losses: Vec<f64> =
        (0..60).map(|_| search(&mut optimizer, &mut params, valley, 1.0)).collect();
    assert!(losses.windows(2).all(|w| w[1] <= w[0]), "{losses:?}");
    assert!(params.list[0].data.iter().all(|v| (v - 1.0).abs() < 1e-7), "{params:?}");

    // A quadratic with condition 100: exact in n + 1 steps or so, in f32 too.
    let quadratic: Function = |z| {
        let weight = |i: usize| [1.0, 4.0, 25.0, 100.0][i];
        let grad: Vec<f64> = z.iter().enumerate().map(|(i, z)| weight(i) * (z - 2.0)).collect();
        (z.iter().enumerate().map(|(i, z)| 0.5 * weight(i) * (z - 2.0).powi(2)).sum(), grad)
    };
    let mut params = one::<f32>(&[5.0, -3.0, 1.0, 0.0]);
    let mut optimizer = Optimizer::new(&plain("lbfgs"), 1.0, &params);
    for _ in 0..30 {
        search(&mut optimizer, &mut params, quadratic, 1.0);
    }
    assert!(params.list[0].data.iter().all(|v| (v - 2.0).abs() < 1e-5), "{params:?}");
}

#[test]
fn lbfgs_leaves_everything_as_it_was_when_the_objective_fails() {
    let mut params = one::<f64>(&[-1.2, 1.0, -0.5, 0.8]);
    let mut optimizer = Optimizer::new(&spec("lbfgs", json!({"memory": 2})), 1.0, &params);
    for _ in 0..4 {
        search(&mut optimizer, &mut params, valley, 1.0);
    }
    let (before, state) = (params.clone(), optimizer.state());
    let (loss, grads) = objective(valley, &params);
    let mut calls = 0;
    let result = optimizer.line_search_update(&mut params, loss, &grads, 1e-3, &mut |p| {
        calls += 1;
        if calls == 2 { Err(Error::data("no more")) } else { Ok(objective(valley, p)) }
    });
    assert!(result.is_err() && calls == 2);
    assert_eq!(params, before);
    assert_eq!(optimizer.state(), state);
}

#[test]
fn lbfgs_stays_where_every_step_leaves_the_domain() {
    let mut params = one::<f64>(&[1.0, 2.0]);
    let mut optimizer = Optimizer::new(&plain("lbfgs"), 1.0, &params);
    let (before, mut calls) = (params.clone(), 0);
    let grads = one(&[1.0, 1.0]);
    let nan = one(&[f64::NAN, f64::NAN]);
    let mut outside = |_: &Tensors<f64>| -> Result<(f64, Tensors<f64>)> {
        calls += 1;
        Ok((f64::NAN, nan.clone()))
    };
    optimizer.line_search_update(&mut params, 1.0, &grads, 1.0, &mut outside).unwrap();
    assert_eq!(params, before);
    assert_eq!(calls, 20);
}

#[test]
fn lbfgs_goes_on_where_the_gradient_does_not_change() {
    // y = 0, hence rho = 0 and gamma = 1: the second step is plain descent. Without a lower bound the
    // search ends after 20 evaluations at 2^19 times the direction; the first is g min(1, 1/|g|).
    let linear: Function = |z| (3.0 * z[0] + 4.0 * z[1], vec![3.0, 4.0]);
    let mut params = one::<f64>(&[0.0, 0.0]);
    let mut optimizer = Optimizer::new(&plain("lbfgs"), 1.0, &params);
    let far = 2f64.powi(19);
    search(&mut optimizer, &mut params, linear, 1.0);
    assert!(distance(&params, &one::<f64>(&[-0.6 * far, -0.8 * far])) < 1e-12);
    search(&mut optimizer, &mut params, linear, 1.0);
    assert!(distance(&params, &one::<f64>(&[-3.6 * far, -4.8 * far])) < 1e-12);
}

#[test]
fn lbfgs_touches_only_its_blocks() {
    let frozen = block("frozen", &[2], &[f64::MIN_POSITIVE, -0.0]);
    let mut params = one::<f64>(&[-1.2, 1.0, 0.3]);
    let mut optimizer = Optimizer::new(&plain("lbfgs"), 1.0, &params);
    params.list.insert(0, frozen.clone());
    for _ in 0..5 {
        let trainable = |p: &Tensors<f64>| Tensors { list: vec![p.get("w").unwrap().clone()] };
        let (loss, grads) = objective(valley, &trainable(&params));
        let mut at = |p: &Tensors<f64>| {
            assert_eq!(p.list.len(), 2);
            Ok(objective(valley, &trainable(p)))
        };
        optimizer.line_search_update(&mut params, loss, &grads, 1.0, &mut at).unwrap();
    }
    assert_eq!(params.list[0].data[0].to_bits(), frozen.data[0].to_bits());
    assert_eq!(params.list[0].data[1].to_bits(), frozen.data[1].to_bits());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Along a convex function the accepted step fulfils both Wolfe conditions, for rates far too
    /// small and far too large.
    #[test]
    fn lbfgs_steps_fulfil_the_wolfe_conditions(
        start in proptest::collection::vec(-3.0f64..3.0, 5), exponent in -2.0f64..2.0,
    ) {
        let mut params = one::<f64>(&start);
        let h = 10f64.powf(exponent);
        let mut optimizer = Optimizer::new(&plain("lbfgs"), h, &params);
        for _ in 0..4 {
            let before = params.clone();
            let loss = search(&mut optimizer, &mut params, bowl, h);
            let (_, grad) = objective(bowl, &before);
            let (new, new_grad) = objective(bowl, &params);
            let moved = |g: &Tensors<f64>| -> f64 {
                let steps = params.values("w").iter().zip(before.values("w"));
                steps.zip(g.values("w")).map(|((a, b), g)| (a - b) * g).sum()
            };
            // Slopes along the step itself: both sides of both conditions scale with it.
            let (slope, new_slope) = (moved(&grad), moved(&new_grad));
            prop_assert!(slope < 0.0);
            prop_assert!(new <= loss + 1e-4 * slope + 1e-12 * loss.abs());
            prop_assert!(new_slope.abs() <= 0.9 * slope.abs() * (1.0 + 1e-9));
        }
    }
}

// -------------------------------------------------------------------------------------------------
// What has no golden numbers
// -------------------------------------------------------------------------------------------------

/// Gradients that repeat, turn and vanish.
fn some_gradients() -> Vec<[f64; 3]> {
    let mut gradients = Vec::new();
    for i in 0..9 {
        let i = f64::from(i);
        gradients.push([0.5 + 0.1 * i, (2.1 * i).sin(), if i > 3.0 { 0.3 } else { 0.0 }]);
    }
    gradients
}

#[test]
fn rprop_without_delay_is_the_paper_s() {
    let mut params = one::<f64>(&[1.0, 2.0, 3.0]);
    let mut optimizer = Optimizer::new(&plain("rprop"), 0.1, &params);
    let mut theta = [1.0, 2.0, 3.0];
    let (mut d, mut last) = ([0.1f64; 3], [0.0f64; 3]);
    for g in some_gradients() {
        step(&mut optimizer, &mut params, &one(&g), 0.1);
        for j in 0..3 {
            // Riedmiller & Braun: compare the sign of this gradient with that of the last step.
            let agreement = g[j] * last[j];
            if agreement > 0.0 {
                d[j] = (d[j] * 1.2).min(50.0);
            } else if agreement < 0.0 {
                d[j] = (d[j] * 0.5).max(1e-6);
            }
            let moving = agreement >= 0.0 && g[j] != 0.0;
            last[j] = if moving { d[j] * g[j].signum() } else { 0.0 };
            theta[j] -= last[j];
        }
        assert!(distance(&params, &one::<f64>(&theta)) < 1e-14);
    }
    // It moved at the first update already.
    assert!(theta[0] < 0.9);
}

#[test]
fn hypergradient_follows_its_formula() {
    let options = json!({"init_lr": 0.02, "hyper_lr": 0.01, "min_lr": 0.015, "max_lr": 0.03});
    let mut params = one::<f64>(&[1.0, 2.0, 3.0]);
    let mut optimizer = Optimizer::new(&spec("hypergradient_descent", options), 0.1, &params);
    let (mut theta, mut e, mut before) = ([1.0, 2.0, 3.0], 0.02f64, [0.0; 3]);
    let mut rates = Vec::new();
    for g in some_gradients() {
        // The scheduled rate is half the base rate.
        step(&mut optimizer, &mut params, &one(&g), 0.05);
        let product: f64 = (0..3).map(|j| g[j] * before[j]).sum();
        e = (e + 0.01 * product).clamp(0.015, 0.03);
        (0..3).for_each(|j| theta[j] -= 0.5 * e * g[j]);
        before = g;
        rates.push(e);
        assert!(distance(&params, &one::<f64>(&theta)) < 1e-14);
    }
    // Free and clipped steps were both among them.
    assert!(rates.contains(&0.03) && rates.iter().any(|e| *e > 0.02 && *e < 0.03), "{rates:?}");
    let explicit = spec("hypergradient_descent", json!({"inner_optimizer": "sgd"}));
    assert_eq!(explicit.kwargs()["inner_optimizer"], "sgd");
}

#[test]
fn riemannian_nesterov_is_sgd_with_nesterov_momentum() {
    for momentum in [0.9, 0.4] {
        let ours = spec("riemannian_nesterov", json!({"momentum": momentum}));
        let sgd = spec("sgd", json!({"momentum": momentum, "nesterov": true}));
        let (mut a, mut b) = (one::<f64>(&[1.0, 2.0, 3.0]), one::<f64>(&[1.0, 2.0, 3.0]));
        let (mut x, mut y) = (Optimizer::new(&ours, 0.1, &a), Optimizer::new(&sgd, 0.1, &b));
        for g in some_gradients() {
            step(&mut x, &mut a, &one(&g), 0.1);
            step(&mut y, &mut b, &one(&g), 0.1);
            assert_eq!(a, b);
        }
    }
    assert_eq!(plain("riemannian_nesterov").kwargs()["momentum"], 0.9);
}

#[test]
fn dpsgd_without_noise_is_sgd() {
    for momentum in
        [json!({}), json!({"momentum": 0.9}), json!({"momentum": 0.9, "nesterov": true})]
    {
        let mut options = kwargs(momentum.clone());
        options.extend(kwargs(json!({"l2_norm_clip": 1e9, "noise_multiplier": 0.0})));
        let (private, sgd) = (spec("dpsgd", Value::Object(options)), spec("sgd", momentum));
        let (mut a, mut b) = (one::<f64>(&[1.0, 2.0, 3.0]), one::<f64>(&[1.0, 2.0, 3.0]));
        let (mut x, mut y) = (Optimizer::new(&private, 0.1, &a), Optimizer::new(&sgd, 0.1, &b));
        assert_eq!((x.row_clip(), y.row_clip()), (Some(1e9), None));
        for g in some_gradients() {
            step(&mut x, &mut a, &one(&g), 0.1);
            step(&mut y, &mut b, &one(&g), 0.1);
            assert_eq!(a, b);
        }
    }
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// The noise that an optimizer adds to a gradient of 0: its first `steps` updates over `-h`, every
/// one with 20000 values in two blocks.
fn noise(spec: &OptimizerSpec, rows: usize, steps: usize) -> Vec<Vec<f64>> {
    let zero = Tensors {
        list: vec![block("a", &[8000], &[0.0; 8000]), block("b", &[3, 4000], &[0.0; 12000])],
    };
    let mut optimizer = Optimizer::<f64>::new(spec, 0.1, &zero);
    let mut one_step = || {
        let mut params = zero.clone();
        optimizer.update(&mut params, &zero, 0.1, &|_| 1.0, rows);
        params.list.iter().flat_map(|t| t.data.iter().map(|v| v / -0.1)).collect()
    };
    (0..steps).map(|_| one_step()).collect()
}

#[test]
fn noise_has_the_stated_deviation_and_depends_on_seed_and_update_only() {
    let dp = |seed: u64| {
        spec("dpsgd", json!({"l2_norm_clip": 2.0, "noise_multiplier": 1.5, "seed": seed}))
    };
    let noisy = |seed: u64| spec("noisy_sgd", json!({"eta": 0.04, "gamma": 0.5, "seed": seed}));
    // c z / n, and sqrt(eta / t^gamma) at updates 1 to 4.
    let noisy_deviation = |t: f64| (0.04 / t.sqrt()).sqrt();
    type Seeded<'a> = &'a dyn Fn(u64) -> OptimizerSpec;
    let dp_deviations = [2.0 * 1.5 / 10.0; 4];
    let noisy_deviations = [1.0, 2.0, 3.0, 4.0].map(noisy_deviation);
    let expected: [(Seeded, [f64; 4]); 2] = [(&dp, dp_deviations), (&noisy, noisy_deviations)];
    for (spec, deviations) in expected {
        let drawn = noise(&spec(1), 10, 4);
        for (values, wanted) in drawn.iter().zip(deviations) {
            let (mean, deviation) = moments(values);
            // Six standard errors of 20000 draws.
            assert!(mean.abs() < 6.0 * wanted / 20000f64.sqrt(), "{mean}");
            assert!(
                (deviation / wanted - 1.0).abs() < 6.0 / 40000f64.sqrt(),
                "{deviation} {wanted}"
            );
            // A normal distribution: 68.3 % within one deviation.
            let within = values.iter().filter(|v| v.abs() < wanted).count() as f64 / 20000.0;
            assert!((within - 0.6827).abs() < 0.02, "{within}");
        }
        assert_eq!(drawn, noise(&spec(1), 10, 4));
        assert_ne!(drawn[0], noise(&spec(2), 10, 1)[0]);
        let ratio: Vec<f64> = drawn[1].iter().zip(&drawn[0]).map(|(a, b)| a / b).collect();
        assert!(moments(&ratio).1 > 0.1, "the same draws twice");
    }
    assert_eq!(plain("noisy_sgd").kwargs()["eta"], 0.01);
    assert_eq!(plain("noisy_sgd").kwargs()["gamma"], 0.55);
}

#[test]
fn sm3_takes_a_scalar_as_a_vector_of_one() {
    let mut scalar = Tensors::<f64> { list: vec![block("w", &[], &[0.7])] };
    let mut vector = one::<f64>(&[0.7]);
    let mut a = Optimizer::new(&plain("sm3"), 0.1, &scalar);
    let mut b = Optimizer::new(&plain("sm3"), 0.1, &vector);
    for g in some_gradients() {
        step(&mut a, &mut scalar, &Tensors { list: vec![block("w", &[], &g[1..2])] }, 0.1);
        step(&mut b, &mut vector, &one(&g[1..2]), 0.1);
        assert_eq!(scalar.list[0].data, vector.list[0].data);
    }
}

#[test]
fn adafactor_factors_from_128_entries_on() {
    let shapes: [(&[usize], bool); 6] = [
        (&[127, 300], false),
        (&[128, 300], true),
        (&[2, 128, 3, 128], true),
        (&[5000], false),
        (&[], false),
        (&[128, 128, 127], true),
    ];
    for (shape, factored) in shapes {
        let count = shape.iter().product::<usize>();
        let params = Tensors { list: vec![block::<f64>("w", shape, &vec![1.0; count])] };
        let state = Optimizer::new(&plain("adafactor"), 0.1, &params).state();
        assert_eq!(state.get("adafactor/r/w").is_some(), factored, "{shape:?}");
        assert_eq!(state.get("adafactor/v/w").is_none(), factored, "{shape:?}");
    }
    // R lacks the longest axis, S the second longest; of equal ones the last is the longest.
    let params = Tensors { list: vec![block::<f64>("w", &[300, 2, 128], &vec![1.0; 76800])] };
    let state = Optimizer::new(&plain("adafactor"), 0.1, &params).state();
    assert_eq!(state.get("adafactor/r/w").unwrap().shape, [2, 128]);
    assert_eq!(state.get("adafactor/s/w").unwrap().shape, [300, 2]);
    // So in a square R are the means of the rows; at the first update nothing else is in it.
    let mut square = Tensors { list: vec![block::<f64>("w", &[2, 2], &[1.0; 4])] };
    let grads = Tensors { list: vec![block::<f64>("w", &[2, 2], &[1.0, 3.0, 5.0, 7.0])] };
    let factored = spec("adafactor", json!({"min_dim_size_to_factor": 2}));
    let mut optimizer = Optimizer::new(&factored, 0.1, &square);
    step(&mut optimizer, &mut square, &grads, 0.1);
    assert_eq!(optimizer.state().values("adafactor/r/w"), [5.0, 37.0]);
    assert_eq!(optimizer.state().values("adafactor/s/w"), [13.0, 29.0]);
}

// -------------------------------------------------------------------------------------------------
// Promises that hold for every optimizer
// -------------------------------------------------------------------------------------------------

/// Every optimizer by name, and options that bring further state.
fn all_specs() -> Vec<OptimizerSpec> {
    let mut all: Vec<OptimizerSpec> = OptimizerSpec::names().into_iter().map(plain).collect();
    all.push(spec("sgd", json!({"momentum": 0.9})));
    all.push(spec("adagrad", json!({"initial_accumulator_value": 0, "eps": 0})));
    all.push(spec("rmsprop", json!({"momentum": 0.9, "centered": true})));
    all.push(spec("adafactor", json!({"momentum": 0.9})));
    all.push(spec("adafactor", json!({"momentum": 0.9, "min_dim_size_to_factor": 2})));
    all.push(spec(
        "dpsgd",
        json!({"l2_norm_clip": 1.0, "noise_multiplier": 1.0, "seed": 1, "momentum": 0.5}),
    ));
    all
}

/// Two blocks of one smooth problem.
fn start<T: Real>() -> Tensors<T> {
    let list = vec![
        block("omega", &[2, 3], &[0.3, -1.2, 0.7, 0.1, 2.0, -0.4]),
        block("w", &[3], &[1.5, -0.2, 0.9]),
        block("theta", &[], &[0.4]),
    ];
    Tensors { list }
}

/// Training steps on `bowl`, whatever the optimizer.
fn train<T: Real>(o: &mut Optimizer<T>, params: &mut Tensors<T>, steps: usize) {
    for _ in 0..steps {
        if o.needs_objective() {
            search(o, params, bowl, 0.05);
        } else {
            let (_, grads) = objective(bowl, params);
            o.update(params, &grads, 0.05, &|name| if name == "w" { 0.5 } else { 1.0 }, 4);
        }
    }
}

fn restored_runs_continue<T: Real>() {
    for spec in all_specs() {
        for cut in [0, 1, 4] {
            let mut straight = start::<T>();
            let mut optimizer = Optimizer::new(&spec, 0.05, &straight);
            train(&mut optimizer, &mut straight, cut);
            let (state, mut again) = (optimizer.state(), straight.clone());
            train(&mut optimizer, &mut straight, 15);

            let mut copy = Optimizer::new(&spec, 0.05, &again);
            // What was there before must not show through.
            train(&mut copy, &mut start::<T>(), 2);
            copy.restore(&state).unwrap();
            assert_eq!(copy.updates(), cut as u64);
            assert_eq!(copy.state(), state, "{spec:?}");
            train(&mut copy, &mut again, 15);
            assert_eq!(straight, again, "{spec:?} cut at {cut}");
            assert_ne!(straight, start::<T>(), "{spec:?} does not move");
            assert!(straight.first_not_finite().is_none(), "{spec:?}");
        }
    }
}

#[test]
fn restored_runs_continue_bit_by_bit() {
    restored_runs_continue::<f64>();
    restored_runs_continue::<f32>();
}

#[test]
fn every_optimizer_descends() {
    for spec in all_specs() {
        let mut params = start::<f64>();
        let (before, _) = objective(bowl, &params);
        let mut optimizer = Optimizer::new(&spec, 0.05, &params);
        train(&mut optimizer, &mut params, 60);
        let (after, _) = objective(bowl, &params);
        assert!(after < before, "{spec:?}: {before} to {after}");
    }
}

#[test]
fn other_blocks_are_not_touched() {
    for spec in all_specs() {
        if spec.name() == "lbfgs" {
            continue; // lbfgs_touches_only_its_blocks
        }
        let values = [f64::MIN_POSITIVE / 2.0, -0.0, 1.0 / 3.0];
        let mut params = start::<f64>();
        let mut optimizer = Optimizer::new(&spec, 0.05, &params);
        params.list.insert(1, block("frozen", &[3], &values));
        let all = params.clone();
        for _ in 0..3 {
            let grads = start::<f64>();
            step(&mut optimizer, &mut params, &grads, 0.05);
        }
        let bits = |t: &Tensors<f64>| -> Vec<u64> {
            t.values("frozen").iter().map(|v| v.to_bits()).collect()
        };
        assert_eq!(bits(&params), bits(&all), "{spec:?}");
        assert_ne!(params, all);
        assert!(optimizer.state().list.iter().all(|t| !t.name.contains("frozen")));
    }
}

#[test]
fn a_multiplier_is_a_rate_of_the_block() {
    for spec in all_specs() {
        if spec.name() == "lbfgs" {
            continue; // one step for all blocks
        }
        let run = |h: f64, multiplier: f64| {
            let mut params = start::<f64>();
            let mut optimizer = Optimizer::new(&spec, 0.05, &params);
            for _ in 0..3 {
                let grads = start::<f64>();
                optimizer.update(
                    &mut params,
                    &grads,
                    h,
                    &|n| if n == "w" { multiplier } else { 1.0 },
                    1,
                );
            }
            params
        };
        let (base, half, slow) = (run(0.05, 1.0), run(0.05, 0.5), run(0.025, 1.0));
        assert_eq!(half.values("omega"), base.values("omega"), "{spec:?}");
        assert_eq!(half.values("w"), slow.values("w"), "{spec:?}");
        assert_ne!(half.values("w"), base.values("w"), "{spec:?}");
    }
}

#[test]
fn a_rate_of_zero_moves_nothing_at_first() {
    for spec in all_specs() {
        if spec.name() == "lbfgs" {
            continue; // its rate is the first trial of a search
        }
        let mut params = start::<f64>();
        let mut optimizer = Optimizer::new(&spec, 0.05, &params);
        step(&mut optimizer, &mut params, &start::<f64>(), 0.0);
        let gap = distance(&params, &start::<f64>());
        // (The decay of adafactor, off by default, does not know the rate.)
        assert_eq!(gap, 0.0, "{spec:?}");
    }
}

#[test]
fn a_zero_gradient_stays_finite() {
    for spec in all_specs() {
        let params = start::<f32>();
        let zero = params.zeros_like();
        for mut params in [params, zero.clone()] {
            let mut optimizer = Optimizer::new(&spec, 0.05, &params);
            for _ in 0..3 {
                if optimizer.needs_objective() {
                    let mut flat = |_: &Tensors<f32>| Ok((1.0, zero.clone()));
                    optimizer.line_search_update(&mut params, 1.0, &zero, 1.0, &mut flat).unwrap();
                } else {
                    step(&mut optimizer, &mut params, &zero, 0.05);
                }
            }
            assert!(params.first_not_finite().is_none(), "{spec:?}");
        }
    }
}

#[test]
fn thawed_blocks_begin_anew_and_frozen_ones_are_passed_over() {
    for spec in all_specs() {
        let both = start::<f64>();
        let mut fewer = both.clone();
        fewer.list.remove(0);
        let run = |blocks: &Tensors<f64>| {
            let mut params = blocks.clone();
            let mut optimizer = Optimizer::new(&spec, 0.05, blocks);
            train(&mut optimizer, &mut params, 3);
            optimizer.state()
        };
        // A block was frozen after the state was saved.
        let mut optimizer = Optimizer::new(&spec, 0.05, &fewer);
        let saved = run(&both);
        optimizer.restore(&saved).unwrap();
        for tensor in optimizer.state().list {
            assert_eq!(saved.get(&tensor.name), Some(&tensor), "{spec:?}");
        }
        // A block was thawed.
        let mut optimizer = Optimizer::new(&spec, 0.05, &both);
        let fresh = optimizer.state();
        let saved = run(&fewer);
        optimizer.restore(&saved).unwrap();
        assert_eq!(optimizer.updates(), 3);
        for tensor in optimizer.state().list {
            let expected = saved.get(&tensor.name).or(fresh.get(&tensor.name));
            assert_eq!(expected, Some(&tensor), "{spec:?}");
        }
    }
}

#[test]
fn a_foreign_or_damaged_state_is_refused() {
    let params = start::<f64>();
    let trained = |spec: &OptimizerSpec| {
        let mut optimizer = Optimizer::new(spec, 0.05, &params);
        train(&mut optimizer, &mut params.clone(), 3);
        optimizer.state()
    };
    let refuse = |spec: &OptimizerSpec, state: &Tensors<f64>, word: &str| {
        let mut optimizer = Optimizer::new(spec, 0.05, &params);
        train(&mut optimizer, &mut params.clone(), 2);
        let before = optimizer.state();
        let text = optimizer.restore(state).unwrap_err().to_string();
        assert!(text.contains(word), "{text}");
        assert_eq!(optimizer.state(), before);
    };
    let adam = trained(&plain("adam"));
    refuse(&plain("sgd"), &adam, "adam/m/omega");
    refuse(&plain("lbfgs"), &adam, "adam/m/omega");
    let change = |state: &Tensors<f64>, f: &dyn Fn(&mut Vec<Tensor<f64>>)| {
        let mut state = state.clone();
        f(&mut state.list);
        state
    };
    refuse(&plain("adam"), &change(&adam, &|l| drop(l.remove(0))), "'t'");
    refuse(&plain("adam"), &change(&adam, &|l| l[0].data[0] = 1.5), "'t'");
    refuse(&plain("adam"), &change(&adam, &|l| drop(l.remove(1))), "adam/m/omega");
    let misshape =
        |l: &mut Vec<Tensor<f64>>| l[1] = Tensor::new("adam/m/omega", &[6], vec![0.0; 6]);
    refuse(&plain("adam"), &change(&adam, &misshape), "[2, 3]");
    refuse(&plain("sgd"), &trained(&spec("sgd", json!({"momentum": 0.9}))), "hyper-parameters");
    let lbfgs = trained(&plain("lbfgs"));
    refuse(&spec("lbfgs", json!({"memory": 1})), &lbfgs, "memory");
    refuse(&plain("lbfgs"), &change(&lbfgs, &|l| drop(l.remove(4))), "lbfgs/y/omega");
}

#[test]
fn a_specification_survives_serialisation() {
    for spec in all_specs() {
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<OptimizerSpec>(&text).unwrap(), spec, "{text}");
        // Hyper-parameters are spelt out, so a change of a default does not change a stored model.
        let explicit = OptimizerSpec::parse(spec.name(), spec.kwargs()).unwrap();
        assert_eq!(explicit, spec);
    }
    let short: OptimizerSpec = serde_json::from_str(r#"{"name": "adam"}"#).unwrap();
    assert_eq!(short, plain("adam"));
    assert_eq!(short, spec("adam", json!({"b1": 0.9, "nesterov": null})));
    assert!(serde_json::from_str::<OptimizerSpec>(r#"{"name": "adam", "lr": 1}"#).is_err());
    assert!(serde_json::from_str::<OptimizerSpec>(r#"{"name": "adm", "kwargs": {}}"#).is_err());
}

// -------------------------------------------------------------------------------------------------
// Bad input
// -------------------------------------------------------------------------------------------------

#[test]
fn bad_optimizer_options_are_named() {
    let table = [
        ("Adam2", json!({}), "did you mean 'adam'"),
        ("foo", json!({}), "riemannian_nesterov"),
        ("adam", json!({"beta1": 0.9}), "valid: b1, b2, eps, eps_root, nesterov"),
        ("adam", json!({"b1": 1.0}), "optimizer_kwargs.b1: must be >= 0 and < 1, got 1.0"),
        ("adam", json!({"b1": -0.1}), "optimizer_kwargs.b1"),
        ("adam", json!({"b1": "0.9"}), "must be a number, got \"0.9\""),
        ("adam", json!({"eps": -1e-8}), "optimizer_kwargs.eps: must be >= 0"),
        ("adam", json!({"nesterov": 1}), "true or false"),
        ("adam", json!({"weight_decay": 0.1}), "unknown 'weight_decay'"),
        ("adamw", json!({"weight_decay": -1}), "optimizer_kwargs.weight_decay"),
        ("adamax", json!({"eps": 0}), "optimizer_kwargs.eps: must be > 0"),
        ("radam", json!({"threshold": 4}), "must be > 4"),
        ("sgd", json!({"nesterov": true}), "needs momentum"),
        ("sgd", json!({"momentum": 1.0}), "optimizer_kwargs.momentum"),
        ("sign_sgd", json!({"beta": 0.9}), "takes no arguments"),
        ("rmsprop", json!({"nesterov": true}), "needs momentum"),
        ("rprop", json!({"eta_plus": 0.9}), "optimizer_kwargs.eta_plus: must be > 1"),
        ("rprop", json!({"eta_minus": 1.0}), "optimizer_kwargs.eta_minus"),
        ("rprop", json!({"min_step_size": 3, "max_step_size": 2}), "max_step_size"),
        ("lbfgs", json!({"memory": 0}), "optimizer_kwargs.memory: must be an integer >= 1"),
        ("lbfgs", json!({"memory": 2.5}), "an integer"),
        ("lbfgs", json!({"memory": -3}), "an integer"),
        ("dpsgd", json!({}), "optimizer_kwargs.l2_norm_clip: is required by 'dpsgd' (> 0)"),
        ("dpsgd", json!({"l2_norm_clip": 1.0}), "optimizer_kwargs.noise_multiplier"),
        ("dpsgd", json!({"l2_norm_clip": 0, "noise_multiplier": 1}), "l2_norm_clip: must be > 0"),
        ("hypergradient_descent", json!({"inner_optimizer": "adam"}), "unknown 'adam'"),
        ("hypergradient_descent", json!({"min_lr": 2.0}), "max_lr"),
        ("adafactor", json!({"clipping_threshold": 0}), "clipping_threshold"),
        ("riemannian_nesterov", json!({"transport": true}), "unknown 'transport'"),
    ];
    for (name, options, words) in table {
        let error = OptimizerSpec::parse(name, &kwargs(options)).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }));
        assert!(error.to_string().contains(words), "{name}: {error} lacks '{words}'");
    }
    assert_eq!(spec("lbfgs", json!({"memory": 7.0})), spec("lbfgs", json!({"memory": 7})));
}

#[test]
fn bad_schedules_are_named() {
    let table = [
        (Some("cosine"), json!({}), "cosine_decay"),
        (Some("cosine_decay"), json!({"decay_step": 5}), "did you mean 'decay_steps'"),
        (Some("cosine_decay"), json!({"decay_steps": 0}), "an integer >= 1"),
        (Some("cosine_decay"), json!({"decay_steps": 3.5}), "an integer"),
        (Some("cosine_decay"), json!({"alpha": -1}), "lr_scheduler_kwargs.alpha"),
        (Some("linear"), json!({"power": 2}), "unknown 'power'"),
        (Some("exponential_decay"), json!({"gamma": 0.5, "decay_rate": 0.5}), "another name"),
        (Some("exponential_decay"), json!({"staircase": "yes"}), "true or false"),
        (
            Some("warmup_cosine_decay"),
            json!({"warmup_steps": 9, "decay_steps": 9}),
            "< decay_steps 9",
        ),
        (Some("warmup_cosine_decay"), json!({"warmup_steps": 20}), "< decay_steps 20"),
        (Some("piecewise_constant"), json!({"boundaries_and_scales": {"a": 1}}), "'a'"),
        (Some("piecewise_constant"), json!({"boundaries_and_scales": {"3": -1}}), "at 3"),
        (Some("piecewise_constant"), json!({"boundaries_and_scales": [1]}), "must be a map"),
        (Some("sgdr"), json!({"cosine_kwargs": []}), "at least one"),
        (Some("sgdr"), json!({"cosine_kwargs": [3]}), "cycle 0"),
        (Some("sgdr"), json!({"cosine_kwargs": [{"warmup": 3}]}), "warmup_steps"),
        (None, json!({"decay_steps": 3}), "without lr_scheduler"),
    ];
    for (name, options, words) in table {
        let error = Schedule::parse(name, &kwargs(options), 0.1, 20).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }));
        assert!(error.to_string().contains(words), "{name:?}: {error} lacks '{words}'");
    }
    for lr in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Schedule::parse(None, &Map::new(), lr, 20).is_err());
    }
}

// -------------------------------------------------------------------------------------------------
// Schedules beyond the golden numbers
// -------------------------------------------------------------------------------------------------

#[test]
fn lengths_default_to_the_total_number_of_updates() {
    let at = |name: &str, total: u64, s: u64| {
        Schedule::parse(Some(name), &Map::new(), 0.2, total).unwrap().rate(s)
    };
    for name in ["cosine_decay", "polynomial", "linear", "sgdr"] {
        assert!((at(name, 50, 0) - 0.2).abs() < 1e-15, "{name}");
        assert!((at(name, 50, 25) - 0.1).abs() < 1e-15, "{name}");
        assert!(at(name, 50, 49) > 0.0, "{name}");
        assert!(at(name, 50, 50).abs() < 1e-15 && at(name, 50, 1000) == at(name, 50, 50), "{name}");
    }
    for name in ["warmup_cosine_decay", "warmup_exponential_decay", "warmup_constant"] {
        // Ten updates, or one less than there are.
        assert_eq!(at(name, 50, 0), 0.0, "{name}");
        assert!((at(name, 50, 5) - 0.1).abs() < 1e-15, "{name}");
        assert!((at(name, 50, 10) - 0.2).abs() < 1e-15, "{name}");
        assert!((at(name, 5, 4) - 0.2).abs() < 1e-15, "{name}");
        assert!((at(name, 5, 2) - 0.1).abs() < 1e-15, "{name}");
    }
    assert!((at("exponential_decay", 50, 3) - 0.2 * 0.99f64.powi(3)).abs() < 1e-15);
    assert_eq!(at("piecewise_constant", 50, 30), 0.2);
    for name in Schedule::names() {
        for total in [0, 1, 2] {
            let schedule = Schedule::parse(Some(name), &Map::new(), 0.2, total).unwrap();
            assert!((0..5).all(|s| (0.0..=0.2).contains(&schedule.rate(s))), "{name} {total}");
            assert!(schedule.rate(u64::MAX).is_finite(), "{name} {total}");
        }
    }
}

#[test]
fn a_schedule_can_be_none_or_the_user_s() {
    let constant = Schedule::parse(None, &Map::new(), 0.03, 10).unwrap();
    assert!([0, 1, 9, 10, 1 << 40].iter().all(|s| constant.rate(*s) == 0.03));
    let own = Schedule::custom(Arc::new(|s| 1.0 / (1.0 + s as f64)));
    assert_eq!((own.rate(0), own.rate(3)), (1.0, 0.25));
    // "gamma" is a name of the decay rate.
    let options = kwargs(json!({"gamma": 0.5}));
    let half = Schedule::parse(Some("exponential_decay"), &options, 0.4, 10).unwrap();
    assert_eq!(half.rate(2), 0.1);
}

// -------------------------------------------------------------------------------------------------
// Clipping and the proximal step
// -------------------------------------------------------------------------------------------------

#[test]
fn global_clipping() {
    let grads =
        || Tensors::<f64> { list: vec![block("a", &[2], &[3.0, 0.0]), block("b", &[1], &[4.0])] };
    let mut clipped = grads();
    assert_eq!(clip_global(&mut clipped, 1.0), 5.0);
    assert!((clipped.values("a")[0] - 0.6).abs() < 1e-15);
    assert!((clipped.values("b")[0] - 0.8).abs() < 1e-15);
    let mut whole = grads();
    assert_eq!(clip_global(&mut whole, 5.5), 5.0);
    assert_eq!(whole, grads());
    let mut zero = grads().zeros_like();
    assert_eq!(clip_global(&mut zero, 1.0), 0.0);
    assert_eq!(zero, grads().zeros_like());
}

#[test]
fn group_clipping() {
    let grads = || Tensors::<f64> {
        list: vec![
            block("omega", &[2], &[3.0, 4.0]),
            block("backbone.0.0", &[1], &[6.0]),
            block("backbone.0.1", &[1], &[8.0]),
            block("backbones", &[1], &[100.0]),
        ],
    };
    let mut clipped = grads();
    clip_groups(&mut clipped, &[("omega".into(), 1.0), ("backbone".into(), 5.0)]).unwrap();
    let close = |name: &str, i: usize, v: f64| (clipped.values(name)[i] - v).abs() < 1e-9;
    assert!(close("omega", 0, 0.6) && close("omega", 1, 0.8));
    // A nested block has one norm.
    assert!(close("backbone.0.0", 0, 3.0) && close("backbone.0.1", 0, 4.0));
    assert_eq!(clipped.values("backbones")[0], 100.0);
    let mut loose = grads();
    clip_groups(&mut loose, &[("omega".into(), 6.0)]).unwrap();
    assert_eq!(loose, grads());

    for (name, c, word) in
        [("omeag", 1.0, "'omega'"), ("omega", 0.0, "> 0"), ("omega", f64::NAN, "> 0")]
    {
        let groups = [("backbone".into(), 1.0), (name.into(), c)];
        let mut untouched = grads();
        let text = clip_groups(&mut untouched, &groups).unwrap_err().to_string();
        assert!(text.contains("per_group_clip") && text.contains(word), "{text}");
        assert_eq!(untouched, grads());
        assert!(check_groups(&groups, &["omega", "backbone.0.0"]).is_err());
    }
    assert!(check_groups(&[("backbone".into(), 1.0)], &["omega", "backbone.0.0"]).is_ok());
}

#[test]
fn the_proximal_step_minimises_the_elastic_net() {
    let start = [1.5, -0.3, 0.05, 0.0, -2.0];
    let (l1, l2, lr) = (0.8, 0.6, 0.25);
    let mut logits = start;
    prox_l1_l2(&mut logits, l1, l2, lr);
    for (x, p) in start.iter().zip(logits) {
        // prox = argmin_z (z-x)^2/2 + lr ( l1 |z| + l2 z^2/2 ), a convex function: no neighbour is
        // lower.
        let f = |z: f64| 0.5 * (z - x).powi(2) + lr * (l1 * z.abs() + 0.5 * l2 * z * z);
        assert!(f(p) <= f(p + 1e-4) && f(p) <= f(p - 1e-4), "{x} to {p}");
    }
    assert_eq!(logits[2], 0.0);
    let mut unchanged = start;
    prox_l1_l2(&mut unchanged, 0.0, 0.0, 1.0);
    assert_eq!(unchanged, start);
}
