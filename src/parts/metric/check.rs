//! The tests that every metric passes, against its formula written out for one row and one prototype in f64.

use super::{Inputs, Metric, Operand, Pair, Scratch, Sums};
use crate::parts::random::stream;
use crate::parts::real::Real;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rand_distr::{Distribution, StandardNormal};

/// A metric under test: how it is built, and its formulas for one pair.
pub trait Subject {
    /// Name of the metric's own tensor, if it has one.
    const OWN: &'static str = "";

    /// The metric.
    fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>>;

    /// Length of the own tensor, and whether each prototype has one of that length.
    fn own_shape(&self, d: usize) -> (usize, bool) {
        let _ = d;
        (0, false)
    }

    /// The distance of a pair; `own` is the prototype's share of the own tensor.
    fn distance(&self, x: &[f64], w: &[f64], own: &[f64]) -> f64;

    /// Its derivatives with respect to `w` and `own`.
    fn gradient(&self, x: &[f64], w: &[f64], own: &[f64]) -> (Vec<f64>, Vec<f64>);
}

/// `(x - w) Om` for `Om` of `d x l`.
pub fn projected_difference(x: &[f64], w: &[f64], own: &[f64], l: usize) -> Vec<f64> {
    (0..l).map(|k| (0..x.len()).map(|a| (x[a] - w[a]) * own[a * l + k]).sum()).collect()
}

/// One problem: a block, tensors, and the weights `G`.
#[derive(Clone)]
struct Case {
    b: usize,
    p: usize,
    d: usize,
    x: Vec<f64>,
    w: Vec<f64>,
    own: Vec<f64>,
    /// Length of one prototype's share of `own`, and the step from one to the next (0 if shared).
    share: (usize, usize),
    g: Vec<f64>,
}

/// Gradients by name.
type Gradients = Vec<(&'static str, Vec<f64>)>;

impl Case {
    fn new<S: Subject>(subject: &S, b: usize, p: usize, d: usize, seed: u64) -> Self {
        let mut rng = stream(seed, "metric", (b * 10_000 + p * 100 + d) as u64);
        let mut normal =
            |n: usize| -> Vec<f64> { (0..n).map(|_| StandardNormal.sample(&mut rng)).collect() };
        let (len, each) = subject.own_shape(d);
        let share = (len, if each { len } else { 0 });
        let (x, w) = (normal(b * d), normal(p * d));
        let own = normal(if each { p * len } else { len });
        let mut g = normal(b * p);
        // Some entries are zero, as they are for most objectives.
        g.iter_mut().step_by(3).skip(1).for_each(|g| *g = 0.0);
        Case { b, p, d, x, w, own, share, g }
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.x[i * self.d..][..self.d]
    }

    fn prototype(&self, j: usize) -> &[f64] {
        &self.w[j * self.d..][..self.d]
    }

    fn own(&self, j: usize) -> &[f64] {
        &self.own[j * self.share.1..][..self.share.0]
    }

    fn naive_distances<S: Subject>(&self, subject: &S) -> Vec<f64> {
        (0..self.b * self.p)
            .map(|at| {
                let (i, j) = (at / self.p, at % self.p);
                subject.distance(self.row(i), self.prototype(j), self.own(j))
            })
            .collect()
    }

    fn naive_gradients<S: Subject>(&self, subject: &S) -> Gradients {
        let (mut dw, mut down) = (vec![0.0; self.w.len()], vec![0.0; self.own.len()]);
        for i in 0..self.b {
            for j in 0..self.p {
                let (gw, gown) = subject.gradient(self.row(i), self.prototype(j), self.own(j));
                let g = self.g[i * self.p + j];
                (0..self.d).for_each(|a| dw[j * self.d + a] += g * gw[a]);
                (0..self.share.0).for_each(|a| down[j * self.share.1 + a] += g * gown[a]);
            }
        }
        let mut gradients = vec![("prototypes", dw)];
        if !S::OWN.is_empty() {
            gradients.push((S::OWN, down));
        }
        gradients
    }

    /// `G` as pairs, zeros left out.
    fn pairs<T: Real>(&self) -> Vec<Pair<T>> {
        let entries = self.g.iter().enumerate().filter(|(_, g)| **g != 0.0);
        entries
            .map(|(at, g)| Pair {
                row: (at / self.p) as u32,
                prototype: (at % self.p) as u32,
                g: T::of(*g),
            })
            .collect()
    }
}

fn cast<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|v| T::of(*v)).collect()
}

fn wide<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.f64()).collect()
}

/// What a metric says to a case.
struct Outcome {
    dist: Vec<f64>,
    exact: Vec<f64>,
    pairs: Gradients,
    dense: Gradients,
}

/// Runs a case in precision `T`, in blocks of `block` rows with one scratch, and `learn` = (prototypes, own).
fn run<T: Real, S: Subject>(
    subject: &S,
    case: &Case,
    block: usize,
    learn: (bool, bool),
    operand: Operand,
) -> Outcome {
    let (w, own) = (cast::<T>(&case.w), cast::<T>(&case.own));
    let mut x = cast::<T>(&case.x);
    operand.round(&mut x);
    let metric = subject.build(Inputs {
        d: case.d,
        prototypes: &w,
        own: &own,
        learn_prototypes: learn.0,
        learn_own: learn.1,
        operand,
    });
    let mut scratch = Scratch::default();
    let empty = || -> Sums<T> { metric.sums().into_iter().map(|n| vec![T::zero(); n]).collect() };
    let (mut dist, mut exact) = (vec![], vec![]);
    let (mut sparse, mut dense) = (empty(), empty());
    let (g, pairs) = (cast::<T>(&case.g), case.pairs::<T>());
    for first in (0..case.b).step_by(block) {
        let rows = block.min(case.b - first);
        let x = &x[first * case.d..][..rows * case.d];
        let mut d = vec![T::nan(); rows * case.p];
        metric.forward(x, &mut d, &mut scratch);
        for at in 0..rows * case.p {
            exact.push(metric.exact(x, at / case.p, at % case.p, &mut scratch));
        }
        let inside = |pair: &&Pair<T>| (first..first + rows).contains(&(pair.row as usize));
        let shifted = |pair: &Pair<T>| Pair { row: pair.row - first as u32, ..*pair };
        let pairs: Vec<Pair<T>> = pairs.iter().filter(inside).map(shifted).collect();
        metric.backward_dense(
            x,
            &d,
            &g[first * case.p..][..rows * case.p],
            &mut scratch,
            &mut dense,
        );
        metric.forward(x, &mut d, &mut scratch);
        metric.backward_pairs(x, &pairs, &mut scratch, &mut sparse);
        dist.extend(d);
    }
    let named = |sums: &Sums<T>| {
        metric.finish(sums).into_iter().map(|(name, values)| (name, wide(&values))).collect()
    };
    Outcome { dist: wide(&dist), exact: wide(&exact), pairs: named(&sparse), dense: named(&dense) }
}

/// Fails unless the values agree to `tolerance` times the largest of 1 and the expected values.
fn agree(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: number of values");
    let scale = expected.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (at, (g, e)) in got.iter().zip(expected).enumerate() {
        let near = (g - e).abs() <= tolerance * scale;
        assert!(near, "{what}, value {at}: {g}, expected {e} (scale {scale})");
    }
}

fn agree_by_name(what: &str, got: &Gradients, expected: &Gradients, tolerance: f64) {
    let names = |g: &Gradients| g.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(names(got), names(expected), "{what}");
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        agree(&format!("{what}, {name}"), got, expected, tolerance);
    }
}

const FULL: Operand = Operand::Full;
const BOTH: (bool, bool) = (true, true);

/// Rows, prototypes, features: odd ones, and tails of every kind.
const SIZES: [(usize, usize, usize); 8] =
    [(1, 1, 1), (2, 3, 5), (5, 1, 2), (3, 5, 17), (17, 2, 3), (4, 17, 1), (33, 4, 19), (9, 7, 36)];

/// Everything below.
pub fn all<S: Subject>(subject: &S) {
    for (b, p, d) in SIZES {
        let case = Case::new(subject, b, p, d, 1);
        let what = format!("{b} rows, {p} prototypes, {d} features");
        let out = run::<f64, S>(subject, &case, b, BOTH, FULL);
        let (dist, gradients) = (case.naive_distances(subject), case.naive_gradients(subject));
        agree(&format!("{what}, forward"), &out.dist, &dist, 1e-12);
        agree(&format!("{what}, exact"), &out.exact, &dist, 1e-12);
        agree_by_name(&format!("{what}, dense"), &out.dense, &gradients, 1e-12);
        agree_by_name(&format!("{what}, pairs"), &out.pairs, &gradients, 1e-12);
        if case.w.len() + case.own.len() < 300 {
            finite_differences(subject, &case, &gradients);
        }
        blocks(subject, &case, &out);
        frozen(subject, &case, &out);
        single_precision(subject, &case, &out);
        translated(subject, &case, &out);
        far_away(subject, &case);
        rounded_operands(subject, &case, &out);
    }
    exact_on_random_cases(subject);
}

/// Central differences of `sum(G D)` by the forward itself.
fn finite_differences<S: Subject>(subject: &S, case: &Case, gradients: &Gradients) {
    let step = 1e-6;
    let value = |case: &Case| -> f64 {
        let metric = subject.build(Inputs {
            d: case.d,
            prototypes: &case.w,
            own: &case.own,
            learn_prototypes: false,
            learn_own: false,
            operand: FULL,
        });
        let mut dist = vec![0.0; case.b * case.p];
        metric.forward(&case.x, &mut dist, &mut Scratch::default());
        dist.iter().zip(&case.g).map(|(d, g)| d * g).sum()
    };
    let slopes = |pick: fn(&mut Case) -> &mut Vec<f64>| -> Vec<f64> {
        let mut moved = case.clone();
        (0..pick(&mut moved).len())
            .map(|at| {
                let start = pick(&mut moved)[at];
                pick(&mut moved)[at] = start + step;
                let above = value(&moved);
                pick(&mut moved)[at] = start - step;
                let below = value(&moved);
                pick(&mut moved)[at] = start;
                (above - below) / (2.0 * step)
            })
            .collect()
    };
    agree("finite differences, prototypes", &gradients[0].1, &slopes(|case| &mut case.w), 1e-6);
    if let Some((name, own)) = gradients.get(1) {
        agree(&format!("finite differences, {name}"), own, &slopes(|case| &mut case.own), 1e-6);
    }
}

/// A scratch carries nothing from block to block.
fn blocks<S: Subject>(subject: &S, case: &Case, whole: &Outcome) {
    let parts = run::<f64, S>(subject, case, case.b.div_ceil(2), BOTH, FULL);
    agree("blocks, forward", &parts.dist, &whole.dist, 1e-13);
    agree("blocks, exact", &parts.exact, &whole.exact, 1e-13);
    agree_by_name("blocks, dense", &parts.dense, &whole.dense, 1e-12);
    agree_by_name("blocks, pairs", &parts.pairs, &whole.pairs, 1e-12);
}

/// A frozen tensor's gradient is missing, and the others are unchanged.
fn frozen<S: Subject>(subject: &S, case: &Case, full: &Outcome) {
    for learn in [(false, false), (false, true), (true, false)] {
        let out = run::<f64, S>(subject, case, case.b, learn, FULL);
        let stays = |name: &str| if name == "prototypes" { learn.0 } else { learn.1 };
        let keep = |gradients: &Gradients| -> Gradients {
            gradients.iter().filter(|(name, _)| stays(name)).cloned().collect()
        };
        agree_by_name("frozen, dense", &out.dense, &keep(&full.dense), 1e-13);
        agree_by_name("frozen, pairs", &out.pairs, &keep(&full.pairs), 1e-13);
    }
}

fn single_precision<S: Subject>(subject: &S, case: &Case, double: &Outcome) {
    let out = run::<f32, S>(subject, case, case.b, BOTH, FULL);
    agree("f32, forward", &out.dist, &double.dist, 2e-6);
    agree("f32, exact", &out.exact, &double.exact, 2e-6);
    agree_by_name("f32, dense", &out.dense, &double.dense, 1e-4);
    agree_by_name("f32, pairs", &out.pairs, &double.pairs, 1e-4);
}

/// One vector added to all rows and prototypes changes nothing.
fn translated<S: Subject>(subject: &S, case: &Case, here: &Outcome) {
    let mut moved = case.clone();
    let shift = |values: &mut [f64]| {
        values.iter_mut().enumerate().for_each(|(i, v)| *v += 3.0 - (i % case.d) as f64 / 8.0);
    };
    shift(&mut moved.x);
    shift(&mut moved.w);
    let there = run::<f64, S>(subject, &moved, case.b, BOTH, FULL);
    agree("translated, forward", &there.dist, &here.dist, 1e-10);
    agree_by_name("translated, dense", &there.dense, &here.dense, 1e-9);
    agree_by_name("translated, pairs", &there.pairs, &here.pairs, 1e-9);
}

/// Features around 10 000, centred as the caller does it: f32 gives the distances of the features as they are in f32.
fn far_away<S: Subject>(subject: &S, case: &Case) {
    let mut far = case.clone();
    for v in far.x.iter_mut().chain(&mut far.w) {
        *v = f64::from((*v + 1e4) as f32);
    }
    let expected = far.naive_distances(subject);
    let mean: Vec<f64> = (0..case.d)
        .map(|a| (0..case.b).map(|i| far.x[i * case.d + a]).sum::<f64>() / case.b as f64)
        .collect();
    for values in [&mut far.x, &mut far.w] {
        values.iter_mut().enumerate().for_each(|(i, v)| *v -= mean[i % case.d]);
    }
    let out = run::<f32, S>(subject, &far, case.b, BOTH, FULL);
    agree("far away, forward", &out.dist, &expected, 4e-6);
    agree("far away, exact", &out.exact, &expected, 4e-6);
}

/// Half formats change the numbers, by no more than their precision allows.
fn rounded_operands<S: Subject>(subject: &S, case: &Case, full: &Outcome) {
    for (operand, unit) in [(Operand::F16, 1.0 / 2048.0), (Operand::Bf16, 1.0 / 256.0)] {
        let out = run::<f32, S>(subject, case, case.b, BOTH, operand);
        let size = case.x.iter().chain(&case.w).fold(1.0f64, |m, v| m.max(v.abs()));
        let tolerance = 30.0 * size * unit;
        agree("rounded, forward", &out.dist, &full.dist, tolerance);
        agree("rounded, exact", &out.exact, &full.exact, tolerance);
        assert!(
            out.dist.iter().zip(&full.dist).any(|(a, b)| (a - b).abs() > 1e-5),
            "{operand:?} has no effect"
        );
        let plain = case.w.len() + case.own.len();
        assert_eq!(out.dense.iter().map(|(_, g)| g.len()).sum::<usize>(), plain);
    }
}

/// The exact distance against the formula.
fn exact_on_random_cases<S: Subject>(subject: &S) {
    let mut runner =
        TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let sizes = (1..7usize, 1..7usize, 1..40usize, any::<u64>());
    let outcome = runner.run(&sizes, |(b, p, d, seed)| {
        let case = Case::new(subject, b, p, d, seed);
        let out = run::<f64, S>(subject, &case, b, BOTH, FULL);
        for (got, expected) in out.exact.iter().zip(case.naive_distances(subject)) {
            prop_assert!((got - expected).abs() <= 1e-11 * (1.0 + expected), "{got} {expected}");
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// A row equal to the only prototype, three features: the exact distance and `dW` for `G = 1` given as a pair. The
/// forward and the dense backward agree up to rounding, and every other gradient is zero.
pub fn at_zero_distance<S: Subject>(subject: &S, own: &[f64]) -> (f64, Vec<f64>) {
    let x = vec![1.0, -2.0, 4.0];
    let case = Case {
        b: 1,
        p: 1,
        d: 3,
        w: x.clone(),
        x,
        own: own.to_vec(),
        share: (own.len(), own.len()),
        g: vec![1.0],
    };
    let out = run::<f64, S>(subject, &case, 1, BOTH, FULL);
    agree("zero distance, forward", &out.dist, &out.exact, 1e-14);
    agree_by_name("zero distance, dense", &out.dense, &out.pairs, 1e-14);
    assert!(out.pairs.iter().skip(1).all(|(_, g)| g.iter().all(|v| *v == 0.0)));
    (out.exact[0], out.pairs[0].1.clone())
}

/// The four rows and three prototypes (classes 0 0 1 1 and 0 0 1) of the specification's micro examples.
fn example(own: &[f64], share: (usize, usize)) -> Case {
    Case {
        b: 4,
        p: 3,
        d: 2,
        x: vec![0.2, -0.4, 1.0, 0.3, -0.7, 1.1, 1.4, 1.6],
        w: vec![0.1, 0.2, 0.9, -0.5, 0.6, 1.2],
        own: own.to_vec(),
        share,
        g: vec![0.0; 12],
    }
}

/// The distances of the micro examples.
pub fn example_distances<S: Subject>(subject: &S, own: &[f64], expected: &[f64]) {
    let (len, each) = subject.own_shape(2);
    let case = example(own, (len, if each { len } else { 0 }));
    let out = run::<f64, S>(subject, &case, 4, BOTH, FULL);
    agree("example, forward", &out.dist, expected, 1e-14);
    agree("example, exact", &out.exact, expected, 1e-14);
}

/// Loss and gradients of GLVQ (identity transfer) on the micro examples: with `s = d+ + d- + 1e-10` the loss is the mean
/// of `(d+ - d-)/s` and `G = (2 d- + 1e-10)/s^2 / n` at the nearest right prototype, `-(2 d+ + 1e-10)/s^2 / n` at
/// the nearest wrong one.
pub fn example_gradients<S: Subject>(
    subject: &S,
    own: &[f64],
    loss: f64,
    dw: &[f64],
    down: &[f64],
) {
    let (len, each) = subject.own_shape(2);
    let mut case = example(own, (len, if each { len } else { 0 }));
    let dist = run::<f64, S>(subject, &case, 4, BOTH, FULL).dist;
    let (labels, classes) = ([0, 0, 1, 1], [0, 0, 1]);
    let mut total = 0.0;
    for (i, label) in labels.into_iter().enumerate() {
        let nearest = |right: bool| {
            let of_kind = (0..3).filter(|j| (classes[*j] == label) == right);
            of_kind.min_by(|a, b| dist[i * 3 + a].total_cmp(&dist[i * 3 + b])).unwrap()
        };
        let (plus, minus) = (nearest(true), nearest(false));
        let (near, far) = (dist[i * 3 + plus], dist[i * 3 + minus]);
        let s = near + far + 1e-10;
        total += (near - far) / s / 4.0;
        case.g[i * 3 + plus] = (2.0 * far + 1e-10) / (s * s) / 4.0;
        case.g[i * 3 + minus] = -(2.0 * near + 1e-10) / (s * s) / 4.0;
    }
    assert!((total - loss).abs() < 1e-9, "loss {total}, expected {loss}");
    let out = run::<f64, S>(subject, &case, 4, BOTH, FULL);
    let mut expected = vec![("prototypes", dw.to_vec())];
    if !S::OWN.is_empty() {
        expected.push((S::OWN, down.to_vec()));
    }
    // The example is printed with eight digits after the point.
    agree_by_name("example, dense", &out.dense, &expected, 6e-9);
    agree_by_name("example, pairs", &out.pairs, &expected, 6e-9);
}
