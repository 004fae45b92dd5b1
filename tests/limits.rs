//! Limits, invariances and worked examples of the neural-gas, one-class, differentiating-kernel and Wasserstein families.
//!
//! P1 to P19 are the numbers of the specification's table for supervised neural gas.

mod common;

use common::{data, loss_and_gradient, problem, random, relative};
use lvq::data::{ReadOptions, read};
use lvq::model::catalogue::MetricChoice;
use lvq::model::start::Given;
use lvq::parts::metric::custom::UserMetric;
use lvq::parts::tensor::{Tensor, Tensors};
use lvq::{Cpu, Dataset, Extras, Features, Label, Labels, Model, Training};
use ndarray::{Array2, ArrayView2};
use std::sync::Arc;

fn model(name: &str) -> Model {
    Model::new(name).unwrap()
}

/// The given tensors that another model has too, with its range if it has one.
fn for_model(m: &Model, given: &Given, range: f64) -> Given {
    let row = m.row();
    let mut tensors = Tensors::default();
    for t in &given.tensors.list {
        if row.tensors.iter().any(|own| own.name == t.name) {
            tensors.insert(t.clone());
        }
    }
    if let Some(name) = row.range() {
        tensors.insert(Tensor::new(name, &[], vec![range]));
    }
    Given { tensors, prototype_labels: given.prototype_labels.clone() }
}

fn with(given: &Given, name: &str, shape: &[usize], values: Vec<f64>) -> Given {
    let mut given = given.clone();
    given.tensors.insert(Tensor::new(name, shape, values));
    given
}

fn values<'a>(t: &'a Tensors<f64>, name: &str) -> &'a [f64] {
    t.values(name)
}

/// Same loss and same gradients of the tensors that both have.
fn assert_same(
    (a, b): (&Model, &Model),
    data: &Dataset,
    (ga, gb): (&Given, &Given),
    (loss, gradient): (f64, f64),
) {
    let (la, da) = loss_and_gradient(a, data, ga);
    let (lb, db) = loss_and_gradient(b, data, gb);
    let what = format!("{} and {}", a.name(), b.name());
    assert!((la - lb).abs() <= loss, "{what}: losses differ by {:e}", la - lb);
    let mut compared = 0;
    for t in &db.list {
        if let Some(own) = da.get(&t.name) {
            let error = relative(&own.data, &t.data, 0.0);
            assert!(error <= gradient, "{what}: {} differs by {error:e}", t.name);
            compared += 1;
        }
    }
    assert!(compared > 0, "{what}: nothing compared");
}

#[test]
fn p1_p2_p3_small_range_is_the_winner_alone() {
    for (ranked, hard) in [
        ("SNG", "GLVQ"),
        ("SRNG", "GRLVQ"),
        ("SMNG", "GMLVQ"),
        ("SLNG", "LGMLVQ"),
        ("STNG", "GTLVQ"),
        ("CELVQ_NG", "CELVQ"),
        ("DKGLVQ_NG", "DKGLVQ"),
        ("DKGRLVQ_NG", "DKGRLVQ"),
        ("DKGMLVQ_NG", "DKGMLVQ"),
        ("OCGLVQ_NG", "OCGLVQ"),
        ("OCGRLVQ_NG", "OCGRLVQ"),
        ("OCGMLVQ_NG", "OCGMLVQ"),
        ("OCLGMLVQ_NG", "OCLGMLVQ"),
        ("OCGTLVQ_NG", "OCGTLVQ"),
        ("OCDKGLVQ_NG", "OCDKGLVQ"),
        ("OCDKGRLVQ_NG", "OCDKGRLVQ"),
        ("OCDKGMLVQ_NG", "OCDKGMLVQ"),
    ] {
        let (mut a, mut b) = (model(ranked), model(hard));
        if a.has("lr_ratio") {
            a = a.set("lr_ratio", 1.0).unwrap();
        }
        for transfer in ["identity", "sigmoid_beta", "swish_beta"] {
            if a.has("transfer_fn") {
                let set =
                    |m: Model| m.set("transfer_fn", transfer).unwrap().set("beta", 2.0).unwrap();
                (a, b) = (set(a), set(b));
            }
            let (data, given) = problem(&a, 40, 3, 3, 2);
            let (ga, gb) = (for_model(&a, &given, 0.01), for_model(&b, &given, 0.0));
            // exp(-1/0.01) has no bit left; what remains is the 1e-10 in the sum of the weights, and a
            // loss is a mean of values about 1 of which 1e-10 of the gradient's largest part is left.
            assert_same((&a, &b), &data, (&ga, &gb), (3e-10, 2e-9));
            if a.has("lr_ratio") {
                // P1b: another ratio changes the gradient and not the loss.
                let half = a.clone().set("lr_ratio", 0.5).unwrap();
                let (l, g) = loss_and_gradient(&half, &data, &ga);
                let (l1, g1) = loss_and_gradient(&b, &data, &gb);
                assert!((l - l1).abs() < 3e-10, "{ranked}");
                assert!(relative(values(&g, "prototypes"), values(&g1, "prototypes"), 0.0) > 1e-3);
            }
        }
    }
    // P2 with the metrics that have no model of their own without ranks; P3.
    for (ranked, metric, objective) in [
        ("MCELVQ_NG", "omega", "cross_entropy"),
        ("LCELVQ_NG", "local_omega", "cross_entropy"),
        ("TCELVQ_NG", "tangent", "cross_entropy"),
        ("SCMNG", "class_omega", "glvq"),
    ] {
        let a = model(ranked);
        let mut b = model("compose").set("metric", metric).unwrap();
        if objective == "cross_entropy" {
            b = b.set("cooperation", "class_minimum").unwrap().set("objective", objective).unwrap();
        }
        let (data, given) = problem(&a, 40, 3, 3, 2);
        let (ga, gb) = (for_model(&a, &given, 0.01), for_model(&b, &given, 0.0));
        assert_same((&a, &b), &data, (&ga, &gb), (1e-9, 2e-9));
    }
}

#[test]
fn p1a_whole_runs_in_single_precision() {
    let iris = read(&data("iris.csv"), &ReadOptions::default()).unwrap();
    for (ranked, hard) in [("SNG", "GLVQ"), ("SMNG", "GMLVQ"), ("CELVQ_NG", "CELVQ")] {
        let run = |name: &str| {
            let mut m = model(name).set("n_prototypes_per_class", 3).unwrap();
            if m.has("lr_ratio") {
                m = m.set("lr_ratio", 1.0).unwrap();
            }
            if m.row().range().is_some() {
                m = m.set("gamma_init", 1e-3).unwrap().set("gamma_final", 1e-3).unwrap();
            }
            let t = Training { max_iter: 50, lr: 0.01, epsilon: 0.0, ..Training::default() };
            t.fit(&m, &iris, &Cpu::default()).unwrap().tensors.values("prototypes").to_vec()
        };
        assert!(relative(&run(ranked), &run(hard), 1.0) < 1e-5, "{ranked}");
    }
}

#[test]
fn p4_p5_robust_soft_at_both_ends() {
    for (ranked, soft) in
        [("RSLVQ_NG", "RSLVQ"), ("MRSLVQ_NG", "MRSLVQ"), ("LMRSLVQ_NG", "LMRSLVQ")]
    {
        let (a, b) = (model(ranked), model(soft));
        let (data, given) = problem(&a, 40, 3, 3, 2);
        let gb = for_model(&b, &given, 0.0);
        // The error falls like 1 / gamma.
        for (range, tolerance) in [(1e6, 2e-5), (1e9, 2e-8)] {
            let ga = for_model(&a, &given, range);
            assert_same((&a, &b), &data, (&ga, &gb), (tolerance, tolerance));
        }
    }
    // gamma -> 0: only the nearest prototype counts, a wrong row costs -ln(1e-10), and nothing moves.
    let m = model("RSLVQ_NG");
    let (data, given) = problem(&m, 40, 3, 3, 2);
    let (loss, g) = loss_and_gradient(&m, &data, &for_model(&m, &given, 0.01));
    let (x, y) = (matrix(&data), &data.labels.as_ref().unwrap().codes);
    let w = given.tensors.values("prototypes");
    let wrong = (0..40)
        .filter(|i| {
            let d: Vec<f64> =
                (0..6).map(|j| (0..3).map(|k| (x[[*i, k]] - w[j * 3 + k]).powi(2)).sum()).collect();
            let nearest = (0..6).min_by(|a, b| d[*a].total_cmp(&d[*b])).unwrap();
            nearest as u32 / 2 != y[*i]
        })
        .count();
    assert!(wrong > 0);
    let expected = -(1e-10f64.ln()) * wrong as f64 / 40.0;
    assert!((loss - expected).abs() < 1e-4, "{loss} {expected}");
    assert!(values(&g, "prototypes").iter().all(|v| v.abs() < 1e-8));
}

fn matrix(data: &Dataset) -> ArrayView2<'_, f64> {
    match &data.features {
        Features::F64(x) => x.view(),
        Features::F32(_) => unreachable!(),
    }
}

#[test]
fn p6_one_prototype_a_class_has_no_range() {
    for name in
        ["SNG", "SRNG", "SMNG", "SCMNG", "SLNG", "STNG", "CELVQ_NG", "MCELVQ_NG", "RSLVQ_NG"]
    {
        let m = model(name);
        let (data, given) = problem(&m, 30, 3, 3, 1);
        let at = |range: f64| loss_and_gradient(&m, &data, &for_model(&m, &given, range));
        let ((l1, g1), (l2, g2)) = (at(0.3), at(3.0));
        if name == "RSLVQ_NG" {
            // Its ranks are over all prototypes.
            assert!((l1 - l2).abs() > 1e-3);
            continue;
        }
        assert_eq!(l1, l2, "{name}");
        for t in &g1.list {
            assert_eq!(t.data, g2.get(&t.name).unwrap().data, "{name} {}", t.name);
        }
        assert_eq!(values(&g1, "gamma"), [0.0], "{name}");
    }
}

#[test]
fn p7_an_endless_range_is_the_mean() {
    let (data, given) = problem(&model("SNG"), 30, 3, 3, 2);
    let (x, y) = (matrix(&data), &data.labels.as_ref().unwrap().codes);
    let w = given.tensors.values("prototypes");
    let d =
        |i: usize, j: usize| -> f64 { (0..3).map(|k| (x[[i, k]] - w[j * 3 + k]).powi(2)).sum() };
    let mut glvq = 0.0;
    let mut entropy = 0.0;
    for (i, c) in y.iter().enumerate() {
        let c = *c as usize;
        let other = (0..6).filter(|j| j / 2 != c).map(|j| d(i, j)).fold(f64::MAX, f64::min);
        let mu = |j: usize| (d(i, j) - other) / (d(i, j) + other);
        glvq += (mu(2 * c) + mu(2 * c + 1)) / 2.0 / 30.0;
        let mean = |c: usize| (d(i, 2 * c) + d(i, 2 * c + 1)) / 2.0;
        let sum: f64 = (0..3).map(|k| (-mean(k)).exp()).sum();
        entropy -= ((-mean(c)).exp() / sum).ln() / 30.0;
    }
    for (name, expected) in [("SNG", glvq), ("CELVQ_NG", entropy)] {
        let m = model(name);
        let (loss, _) = loss_and_gradient(&m, &data, &for_model(&m, &given, 1e12));
        assert!((loss - expected).abs() < 1e-9, "{name}: {loss} {expected}");
    }
}

#[test]
fn p8_p9_p10_what_the_weights_of_a_row_sum_to() {
    // P8: affine in lr_ratio.
    for name in ["SNG", "SMNG", "STNG", "DKGLVQ_NG", "DKGMLVQ_NG"] {
        let m = model(name);
        let (data, given) = problem(&m, 30, 3, 3, 2);
        let at = |ratio: f64| {
            let m = m.clone().set("lr_ratio", ratio).unwrap();
            loss_and_gradient(&m, &data, &given).1
        };
        let (zero, part, one) = (at(0.0), at(0.3), at(1.0));
        for t in part.list.iter().filter(|t| t.name != "gamma") {
            let line: Vec<f64> = values(&zero, &t.name)
                .iter()
                .zip(values(&one, &t.name))
                .map(|(a, b)| a + 0.3 * (b - a))
                .collect();
            assert!(relative(&t.data, &line, 0.0) < 1e-13, "{name} {}", t.name);
        }
    }
    // P9 (no dependence on scale) and P10 (none on a common summand), row by row.
    let d: Vec<f64> = random(4, 12 * 6).iter().map(|v| 1.5 + v).collect();
    let y: Vec<i64> = (0..12).map(|i| i % 3).collect();
    let labels = [0, 0, 1, 1, 2, 2];
    for name in ["SNG", "CELVQ_NG", "RSLVQ_NG"] {
        let mut m = neural_gas(name);
        if name == "SNG" {
            m = m.set("lr_ratio", 1.0).unwrap();
        }
        let (_, g, _) = on_table(m, &d, &y, &labels, &[("gamma", &[0.7])]);
        let most = g.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (g, d) in g.chunks(6).zip(d.chunks(6)) {
            let sum: f64 = match name {
                "SNG" => g.iter().zip(d).map(|(g, d)| g * d).sum(),
                _ => g.iter().sum(),
            };
            assert!(sum.abs() < 1e-10 * most, "{name}: {sum:e}");
        }
    }
}

#[test]
fn p11_to_p14_metrics_that_are_each_other() {
    let set = |name: &str| {
        let m = model(name);
        if m.has("lr_ratio") { m.set("lr_ratio", 1.0).unwrap() } else { m }
    };
    let (sng, srng, smng) = (set("SNG"), set("SRNG"), set("SMNG"));
    let (data, given) = problem(&sng, 40, 3, 3, 2);
    let identity: Vec<f64> = (0..9).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
    // P11.
    let with_identity = with(&given, "omega", &[3, 3], identity);
    assert_same((&smng, &sng), &data, (&with_identity, &given), (1e-15, 1e-14));
    let equal = with(&given, "relevances", &[3], vec![0.4; 3]);
    assert_same((&srng, &sng), &data, (&equal, &given), (1e-9, 1e-8));
    // P12.
    let rho = [0.2, -0.3, 0.5];
    let sum: f64 = rho.iter().map(|r: &f64| r.exp()).sum();
    let lambda = rho.map(|r| r.exp() / sum);
    let mut root = vec![0.0; 9];
    for a in 0..3 {
        root[a * 4] = lambda[a].sqrt();
    }
    let relevant = with(&given, "relevances", &[3], rho.to_vec());
    let diagonal = with(&given, "omega", &[3, 3], root.clone());
    assert_same((&srng, &smng), &data, (&relevant, &diagonal), (1e-14, 1e-13));
    let (_, gr) = loss_and_gradient(&srng, &data, &relevant);
    let (_, gm) = loss_and_gradient(&smng, &data, &diagonal);
    let slope = [0, 1, 2].map(|a| values(&gm, "omega")[a * 4] / (2.0 * root[a * 4]));
    let mean: f64 = (0..3).map(|a| lambda[a] * slope[a]).sum();
    let expected = [0, 1, 2].map(|a| lambda[a] * (slope[a] - mean));
    assert!(relative(values(&gr, "relevances"), &expected, 0.0) < 1e-12);
    // P13.
    let (scmng, slng) = (set("SCMNG"), set("SLNG"));
    let omega = random(77, 9);
    let one = with(&given, "omega", &[3, 3], omega.clone());
    let each = with(&given, "omegas", &[3, 3, 3], omega.repeat(3));
    let all = with(&given, "omegas", &[6, 3, 3], omega.repeat(6));
    let (l1, g1) = loss_and_gradient(&smng, &data, &one);
    let (l2, g2) = loss_and_gradient(&scmng, &data, &each);
    let (l3, g3) = loss_and_gradient(&slng, &data, &all);
    assert!((l1 - l2).abs() < 1e-14 && (l1 - l3).abs() < 1e-14);
    let add = |v: &[f64], groups: usize| -> Vec<f64> {
        // Sum of equal shares of consecutive matrices.
        let share = v.len() / 9 / groups;
        (0..groups * 9)
            .map(|k| (0..share).map(|s| v[(k / 9 * share + s) * 9 + k % 9]).sum())
            .collect()
    };
    assert!(relative(&add(values(&g2, "omegas"), 1), values(&g1, "omega"), 0.0) < 1e-12);
    assert!(relative(&add(values(&g3, "omegas"), 3), values(&g2, "omegas"), 0.0) < 1e-12);
    // P14: what a basis takes away, the complement keeps.
    let (c, s) = (0.6f64, 0.8f64);
    let rotation = [[c, -s, 0.0], [s * 0.8, c * 0.8, -0.6], [s * 0.6, c * 0.6, 0.8]];
    let column = |k: usize| rotation.iter().map(move |r| r[k]);
    let basis: Vec<f64> = column(0).collect::<Vec<_>>().repeat(6);
    let rest: Vec<f64> = rotation.iter().flat_map(|r| [r[1], r[2]]).collect::<Vec<_>>().repeat(6);
    let (stng, slng) = (set("STNG").set("subspace_dim", 1).unwrap(), slng);
    let tangent = with(&given, "omegas", &[6, 3, 1], basis);
    let complement = with(&given, "omegas", &[6, 3, 2], rest);
    let (lt, gt) = loss_and_gradient(&stng, &data, &tangent);
    let (ll, gl) = loss_and_gradient(&slng, &data, &complement);
    assert!((lt - ll).abs() < 1e-13, "{lt} {ll}");
    assert!(relative(values(&gt, "prototypes"), values(&gl, "prototypes"), 0.0) < 1e-12);
}

#[test]
fn p15_p16_p17_p19_what_holds_after_training() {
    let iris = read(&data("iris.csv"), &ReadOptions::default()).unwrap();
    for row in lvq::model::catalogue::CATALOGUE.iter().filter(|r| r.range().is_some()) {
        let mut seen = Vec::new();
        let mut watch = |it: &lvq::Iteration<'_>| {
            seen.push(it.iteration);
            lvq::Flow::Continue
        };
        let mut m = model(row.name);
        if let Some(key) = ["n_prototypes_per_class", "n_prototypes"].iter().find(|k| m.has(k)) {
            m = m.set(key, 2).unwrap();
        }
        let m = match row.is_one_class() {
            true => m.set_text("target_label", "virginica").unwrap(),
            false => m,
        };
        let t = Training { max_iter: 15, epsilon: 0.0, ..Training::default() };
        let extras = Extras { observers: vec![&mut watch], ..Extras::default() };
        let f = t.fit_with(&m, &iris, &Cpu::default(), extras).unwrap();
        assert_eq!(seen.len(), 15, "{}", row.name);
        let range = row.range().unwrap();
        let last = m.float(&format!("{}_final", range.trim_end_matches("_ng"))).unwrap();
        let got = f.tensors.values(range)[0];
        assert!((got - last).abs() < 1e-5 * last, "{}: {range} ends at {got}", row.name);
        if let Some(lambda) = f.relevances() {
            assert!(lambda.iter().all(|v| *v >= 0.0), "{}", row.name);
            assert!((lambda.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{}", row.name);
        }
        if row.metric == MetricChoice::Tangent {
            let t = f.tensors.get("omegas").unwrap();
            let (d, s) = (t.shape[1], t.shape[2]);
            for basis in t.data.chunks(d * s) {
                for a in 0..s {
                    for b in 0..s {
                        let dot: f64 = (0..d).map(|k| basis[k * s + a] * basis[k * s + b]).sum();
                        let one = f64::from(u8::from(a == b));
                        assert!((dot - one).abs() < 1e-5, "{}", row.name);
                    }
                }
            }
        }
        if !row.is_one_class() {
            let p = f.predict_proba(&iris.features).unwrap();
            let labels = f.predict(&iris.features).unwrap();
            let differ = (0..150)
                .filter(|i| {
                    let row = p.row(*i);
                    let best = (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
                    let names = &f.classes;
                    names[best] != labels[*i]
                })
                .count();
            assert_eq!(differ, 0, "{}", row.name);
        }
    }
}

#[test]
fn p18_order_and_place_do_not_matter() {
    for row in lvq::model::catalogue::CATALOGUE.iter().filter(|r| !r.is_rule()) {
        let m = model(row.name);
        let (data, given) = problem(&m, 30, 3, 3, 2);
        let (loss, g) = loss_and_gradient(&m, &data, &given);
        // Prototypes in another order, with everything that belongs to them.
        let order = [4, 2, 0, 5, 1, 3];
        let moved = |t: &Tensor<f64>| -> Vec<f64> {
            match t.shape.first() {
                Some(6) => {
                    let size = t.data.len() / 6;
                    order.iter().flat_map(|j| t.data[j * size..][..size].to_vec()).collect()
                }
                _ => t.data.clone(),
            }
        };
        let mut permuted = given.clone();
        for t in &mut permuted.tensors.list {
            t.data = moved(t);
        }
        permuted.prototype_labels =
            given.prototype_labels.as_ref().map(|l| order.iter().map(|j| l[*j].clone()).collect());
        let (l, gp) = loss_and_gradient(&m, &data, &permuted);
        assert!((l - loss).abs() < 1e-12, "{}", row.name);
        for t in &g.list {
            let error = relative(values(&gp, &t.name), &moved(t), 1e-6);
            assert!(error < 1e-11, "{}: {} {error:e}", row.name, t.name);
        }
        // Rows and prototypes moved together. (The exponential kernel is about the origin.)
        if g.get("omega_hat").is_some() {
            continue;
        }
        let mut there = given.clone();
        there.tensors.values_mut(m.prototypes()).iter_mut().for_each(|v| *v += 3.0);
        let shifted = Dataset { features: Features::from(matrix(&data).map(|v| v + 3.0)), ..data };
        let (l, gs) = loss_and_gradient(&m, &shifted, &there);
        assert!((l - loss).abs() < 1e-12, "{}: {l} {loss}", row.name);
        for t in &g.list {
            let error = relative(values(&gs, &t.name), &t.data, 1e-3);
            assert!(error < 1e-10, "{}: {} {error:e}", row.name, t.name);
        }
    }
}

/// Distances read from a table; the derivative for row i is kept in entry i of a prototype.
struct Table(Vec<f64>, usize);

impl UserMetric for Table {
    fn distance(&self, x: &[f64], w: &[f64]) -> f64 {
        self.0[x[0] as usize * self.1 + w[0] as usize]
    }

    fn add_gradient(&self, g: f64, x: &[f64], _: &[f64], dw: &mut [f64]) {
        dw[x[0] as usize] += g;
    }
}

/// A model of neural gas as a composition, which takes any metric.
fn neural_gas(name: &str) -> Model {
    let (cooperation, objective) = match name {
        "SNG" => ("ranks_own", "glvq"),
        "CELVQ_NG" => ("ranks_each", "cross_entropy"),
        "RSLVQ_NG" => ("posterior_ranks", "rslvq"),
        other => panic!("{other}"),
    };
    let m = model("compose").set("cooperation", cooperation).unwrap();
    let m = m.set("objective", objective).unwrap();
    // The same parts, but for the metric that may be replaced.
    assert_eq!(m.row().parts()[1..], model(name).row().parts()[1..], "{name}");
    m
}

/// Loss, dL/dD row by row, and the other gradients, for a model whose distances are the table `d`.
fn on_table(
    m: Model,
    d: &[f64],
    y: &[i64],
    labels: &[i64],
    more: &[(&str, &[f64])],
) -> (f64, Vec<f64>, Tensors<f64>) {
    let (n, p) = (y.len(), d.len() / y.len());
    let m = m.metric_fn(Arc::new(Table(d.to_vec(), p))).unwrap();
    let numbered = |rows: usize| {
        let mut x = Array2::zeros((rows, n));
        (0..rows).for_each(|i| x[[i, 0]] = i as f64);
        x
    };
    let data = Dataset::new(Features::from(numbered(n)), Some(Labels::new(y).unwrap())).unwrap();
    let mut tensors = Tensors::default();
    tensors.insert(Tensor::new("prototypes", &[p, n], numbered(p).into_raw_vec_and_offset().0));
    for (name, v) in more {
        let shape = if v.len() == 1 { vec![] } else { vec![v.len()] };
        tensors.insert(Tensor::new(*name, &shape, v.to_vec()));
    }
    let labels = (!m.row().is_one_class()).then(|| labels.iter().map(|l| Label::Int(*l)).collect());
    let (loss, g) = loss_and_gradient(&m, &data, &Given { tensors, prototype_labels: labels });
    let by_prototype = values(&g, "prototypes").to_vec();
    let by_row = (0..n * p).map(|k| by_prototype[k % p * n + k / p]).collect();
    (loss, by_row, g)
}

/// Section 12 for supervised neural gas.
#[test]
fn worked_examples_of_neural_gas() {
    let d = [1.0, 4.0, 2.0, 3.0, 5.0, 2.0, 0.5, 0.25, 6.0, 1.0];
    type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], f64, [f64; 10], f64);
    let cases: [Example<'_>; 5] = [
        (
            "SNG",
            &[("lr_ratio", "0.5")],
            -0.245132639217,
            [
                0.19573268396,
                0.0066223845585,
                -0.0555555555502,
                0.0,
                0.0,
                0.0,
                -0.21982147584,
                0.77050073949,
                0.00018788449690,
                0.026068983967,
            ],
            0.342410474822,
        ),
        (
            "SNG",
            &[("transfer_fn", "sigmoid_beta"), ("beta", "10"), ("lr_ratio", "1")],
            0.152218133774,
            [
                0.065098193459,
                0.0022025206133,
                -0.036954137957,
                0.0,
                0.0,
                0.0,
                -0.14547454610,
                0.25625871572,
                3.9710727491e-7,
                0.0086702114712,
            ],
            0.438149871353,
        ),
        (
            "SNG",
            &[
                ("transfer_fn", "swish_beta"),
                ("beta", "10"),
                ("margin", "0.1"),
                ("lr_ratio", "0.5"),
            ],
            0.040067226782,
            [
                -0.0195013163,
                0.0069035178,
                -0.0020281887,
                0.0,
                0.0,
                0.0,
                -0.0091120036,
                -0.0767668349,
                0.0001880081,
                0.0271756635,
            ],
            0.240473511978,
        ),
        (
            "CELVQ_NG",
            &[],
            0.472488816451,
            [
                0.1358451866,
                0.0183846468,
                -0.1336884758,
                -0.0180927677,
                -0.0024485898,
                -0.0261017686,
                -0.1928674325,
                0.1898054228,
                0.0034764076,
                0.0256873707,
            ],
            0.153977170813,
        ),
        (
            "RSLVQ_NG",
            &[("sigma", "1")],
            0.098749635421,
            [
                2.0382199842e-2,
                1.1273070268e-5,
                -1.8836833121e-2,
                -1.5462214299e-3,
                -1.0418361577e-5,
                -2.2798561596e-4,
                -2.6351553075e-2,
                2.6248620572e-2,
                4.9676699875e-7,
                3.3042135247e-4,
            ],
            0.386478481646,
        ),
    ];
    for (name, sets, loss, expected, range) in cases {
        let m = sets.iter().fold(neural_gas(name), |m, (k, v)| m.set_text(k, v).unwrap());
        let (l, g, all) = on_table(m, &d, &[0, 1], &[0, 0, 1, 1, 1], &[("gamma", &[0.5])]);
        assert!((l - loss).abs() < 1e-11, "{name} {sets:?}: {l}");
        let error = relative(&g, &expected, 0.0);
        assert!(error < 1e-8, "{name} {sets:?}: {error:e}\n{g:?}");
        assert!((values(&all, "gamma")[0] - range).abs() < 1e-9, "{name} {sets:?}");
    }
}

const OC_DISTANCES: [f64; 12] = [0.5, 2.0, 1.0, 3.0, 0.25, 1.5, 1.0, 1.0, 4.0, 6.0, 2.5, 0.75];
const OC_LABELS: [i64; 4] = [1, 1, 0, 0];

/// Section 11 for one-class models: a table of distances with a tie in row 2.
#[test]
fn worked_examples_of_one_class() {
    // Thresholds are squares of what is learned.
    let theta = [1.0f64, 0.8, 1.2];
    let alpha = theta.map(f64::sqrt);
    type Example<'a> = (&'a str, f64, [f64; 12], [f64; 3], Option<f64>, f64, [f64; 3]);
    let cases: [Example<'_>; 4] = [
        (
            "OCGLVQ",
            -0.156593407,
            [0.22222222, 0.0, 0.0, 0.0, 0.36281179, 0.0, -0.125, 0.0, 0.0, 0.0, 0.0, -0.15779093],
            [0.01388889, -0.11337868, 0.09861933],
            None,
            0.449594918,
            [0.15622583, -0.01590382, 0.03359129],
        ),
        (
            "OCGLVQ_NG",
            -0.154798233,
            [
                0.19262518,
                0.00081001,
                0.01454262,
                0.00049613,
                0.3144901,
                0.00965518,
                -0.10835167,
                -0.01448277,
                -0.00035228,
                -0.000162,
                -0.00430892,
                -0.13677528,
            ],
            [0.01152269, -0.06873434, 0.06247101],
            Some(0.01090808),
            0.453474503,
            [0.13540272, 0.03328644, -0.01260321],
        ),
        (
            "OCRSLVQ",
            -0.101645676,
            [
                0.11224828,
                -0.00288524,
                0.04294376,
                -0.00775905,
                0.22631015,
                0.01340864,
                -0.06207597,
                -0.05513436,
                0.00322334,
                0.00370071,
                0.00690381,
                -0.1273316,
            ],
            [-0.00340848, 0.0113731, 0.00710612],
            None,
            0.509897718,
            [0.07051128, 0.16767156, -0.09537912],
        ),
        (
            "OCRSLVQ_NG",
            -0.151628887,
            [
                0.20270957,
                -0.00031539,
                0.00920266,
                -0.00039056,
                0.34231721,
                0.0005937,
                -0.11136442,
                -0.01323858,
                0.00015504,
                0.00012896,
                0.00274084,
                -0.1540187,
            ],
            [0.00964234, -0.08180464, 0.0768079],
            Some(0.02450265),
            0.456154946,
            [0.13531179, 0.03180126, 0.00073905],
        ),
    ];
    for (name, loss, expected, gt, range, sigmoid_loss, sigmoid_gt) in cases {
        let mut more: Vec<(&str, &[f64])> = vec![("radii", &alpha)];
        if range.is_some() {
            more.push(("gamma", &[0.5]));
        }
        let m = model(name).set("target_label", 1).unwrap();
        let m = if m.has("sigma") { m.set("sigma", 1.0).unwrap() } else { m };
        let thresholds = |all: &Tensors<f64>| -> Vec<f64> {
            // dL/dalpha = 2 alpha dL/dtheta.
            values(all, "radii").iter().zip(alpha).map(|(g, a)| g / (2.0 * a)).collect()
        };
        let identity = m.clone().set("transfer_fn", "identity").unwrap();
        let identity = identity.set("margin", 0.0).unwrap();
        let (l, g, all) = on_table(identity, &OC_DISTANCES, &OC_LABELS, &[], &more);
        assert!((l - loss).abs() < 1e-9, "{name}: {l}");
        let worst = g.iter().zip(expected).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst < 1e-8, "{name}: {worst:e} {g:?}");
        assert!(relative(&thresholds(&all), &gt, 1.0) < 1e-8, "{name}");
        if let Some(range) = range {
            assert!((values(&all, "gamma")[0] - range).abs() < 1e-8, "{name}");
        }
        let sigmoid = m.set("transfer_fn", "sigmoid_beta").unwrap().set("beta", 10.0).unwrap();
        let sigmoid = sigmoid.set("margin", 0.1).unwrap();
        let (l, _, all) = on_table(sigmoid, &OC_DISTANCES, &OC_LABELS, &[], &more);
        assert!((l - sigmoid_loss).abs() < 1e-9, "{name}: {l}");
        assert!(relative(&thresholds(&all), &sigmoid_gt, 1.0) < 1e-8, "{name}");
    }
}

#[test]
fn worked_examples_of_svq_occ() {
    let theta = [1.0, 0.8, 1.2];
    let cases = [
        ("contrastive", "gaussian", 0.745915003, [0.00366452, -0.01727528, 0.01923247]),
        ("contrastive", "student_t", 0.733574829, [0.00957038, -0.00268378, -0.009513]),
        ("contrastive", "uniform", 0.713586078, [0.01495898, 0.01112368, -0.03541779]),
        ("brier", "gaussian", 0.401485177, [0.00561307, -0.00020464, 0.02844026]),
        ("brier", "student_t", 0.391938156, [-0.00020162, -0.00724205, -0.00758326]),
        ("brier", "uniform", 0.397965128, [-0.00660646, -0.01289601, -0.03637593]),
        ("cross_entropy", "gaussian", 0.603997737, [0.00992491, -0.00349796, 0.05917797]),
        ("cross_entropy", "student_t", 0.584899864, [0.00161724, -0.0122797, -0.01450095]),
        ("cross_entropy", "uniform", 0.592440335, [-0.00888381, -0.02308674, -0.070258]),
    ];
    let gaussian = [
        (
            "contrastive",
            [
                0.32403699,
                -0.00734361,
                0.07481783,
                -0.00260619,
                0.3458959,
                0.04387444,
                -0.06779708,
                -0.05349627,
                0.00258353,
                0.00067088,
                0.01875523,
                -0.10818788,
            ],
        ),
        (
            "brier",
            [
                0.27763232,
                0.00012915,
                0.04913,
                0.00205762,
                0.28365031,
                0.03735712,
                -0.03004897,
                -0.02371057,
                0.00114507,
                0.0004109,
                0.0114873,
                -0.06626347,
            ],
        ),
        (
            "cross_entropy",
            [
                0.30797803,
                -0.00475756,
                0.06592821,
                -0.00083897,
                0.32230969,
                0.04140488,
                -0.06098194,
                -0.04811868,
                0.00232382,
                0.00086184,
                0.02409372,
                -0.13898249,
            ],
        ),
    ];
    for (cost, response, loss, gt) in cases {
        // The composition of SVQOCC, with a metric that may be replaced.
        let m = [
            ("cooperation", "ranks_all"),
            ("objective", "svq_occ"),
            ("target_label", "1"),
            ("cost_function", cost),
            ("response_type", response),
            ("alpha", "0.5"),
            ("sigma", "0.5"),
            ("gamma_resp", "1"),
            ("nu", "2"),
        ]
        .iter()
        .fold(model("compose"), |m, (k, v)| m.set_text(k, v).unwrap());
        let more: [(&str, &[f64]); 2] = [("thetas", &theta), ("lambda_ng", &[0.5])];
        let (l, g, all) = on_table(m, &OC_DISTANCES, &OC_LABELS, &[], &more);
        assert!((l - loss).abs() < 1e-8, "{cost} {response}: {l}");
        assert!(relative(values(&all, "thetas"), &gt, 1.0) < 1e-8, "{cost} {response}");
        assert!((values(&all, "lambda_ng")[0] - 0.5214946).abs() < 1e-7, "{cost} {response}");
        if let ("gaussian", Some((_, expected))) =
            (response, gaussian.iter().find(|(c, _)| *c == cost))
        {
            let worst = g.iter().zip(expected).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst < 1e-7, "{cost}: {worst:e}");
        }
    }
}

/// Section 11 for differentiating kernels.
#[test]
fn worked_examples_of_kernels() {
    let x = [0.0, 0.0, 1.0, 0.5, 2.0, 1.0, -1.0, 1.0];
    let x = Array2::from_shape_vec((4, 2), x.to_vec()).unwrap();
    let data =
        Dataset::new(Features::from(x), Some(Labels::new(&[0i64, 0, 1, 1]).unwrap())).unwrap();
    type Example<'a> = (&'a str, f64, &'a [(&'a str, &'a [f64])]);
    let cases: &[Example<'_>] = &[
        (
            "DKGLVQ",
            0.29951371912,
            &[
                (
                    "prototypes",
                    &[
                        -0.005311998976,
                        0.04101101376,
                        -0.01072870607,
                        -0.1660761215,
                        -0.1787807481,
                        -0.08762890533,
                    ],
                ),
                ("sigmas", &[0.07261889621, -0.1047359916, 0.07220702869]),
            ],
        ),
        (
            "DKGRLVQ",
            0.300043345638,
            &[
                (
                    "prototypes",
                    &[
                        -0.03559773096,
                        0.0338748152,
                        -0.012987028,
                        -0.1503915339,
                        -0.2041907858,
                        -0.07532516741,
                    ],
                ),
                ("relevances", &[-0.01856943171, 0.01856943171]),
                ("sigmas", &[0.1118168543, -0.08446452002, 0.04326542262]),
            ],
        ),
        (
            "DKGMLVQ",
            0.324126421509,
            &[
                ("omega_hat", &[0.2282987431, 0.1677336005, 0.1431782681, -0.2978110139]),
                (
                    "prototypes",
                    &[
                        -0.146449851,
                        -0.06476377879,
                        0.003781730788,
                        0.006884930517,
                        -0.09118816466,
                        -0.1506687329,
                    ],
                ),
            ],
        ),
        (
            "DKGLVQ_NG",
            0.31839293978,
            &[
                ("gamma", &[0.03108053853]),
                (
                    "prototypes",
                    &[
                        -0.01773548404,
                        0.0129657646,
                        0.003060210436,
                        -0.1433438628,
                        -0.1348751934,
                        -0.02585810635,
                    ],
                ),
                ("sigmas", &[0.003265849789, -0.1070701925, 0.0005567127331]),
            ],
        ),
        (
            "DKGRLVQ_NG",
            0.324431100646,
            &[
                ("gamma", &[0.04014914453]),
                (
                    "prototypes",
                    &[
                        -0.03686292633,
                        0.01115593889,
                        -0.003229593058,
                        -0.1287374613,
                        -0.1470711063,
                        -0.02644795642,
                    ],
                ),
                ("relevances", &[-0.009135790912, 0.009135790912]),
                ("sigmas", &[0.02365775567, -0.09209206579, -0.02506274527]),
            ],
        ),
        (
            "DKGMLVQ_NG",
            0.328557753463,
            &[
                ("gamma", &[0.007295226156]),
                ("omega_hat", &[0.3718353004, 0.2670471977, 0.10622307, 0.004414012553]),
                (
                    "prototypes",
                    &[
                        -0.1085721737,
                        -0.06436273299,
                        0.003814171771,
                        -0.03751074138,
                        -0.04352234818,
                        -0.06337343924,
                    ],
                ),
            ],
        ),
        (
            "OCDKGLVQ",
            0.37792741554,
            &[
                (
                    "prototypes",
                    &[
                        0.1246528092,
                        0.08183161358,
                        -0.02112160846,
                        -0.1689728677,
                        0.0915984627,
                        -0.03663938508,
                    ],
                ),
                ("radii", &[0.06304407704, -0.1749956284, 0.05289020579]),
                ("sigmas", &[-0.007258038249, -0.1248095046, 0.0590301204]),
            ],
        ),
        (
            "OCDKGRLVQ",
            0.349040932425,
            &[
                (
                    "prototypes",
                    &[
                        0.03523904604,
                        0.04287211395,
                        -0.0147282797,
                        -0.07146522561,
                        0.05233996547,
                        -0.01269831752,
                    ],
                ),
                ("radii", &[0.1360492078, -0.06861483773, 0.02752448372]),
                ("relevances", &[-0.02367264631, 0.02367264631]),
                ("sigmas", &[0.0630348672, -0.05331364405, 0.03189960693]),
            ],
        ),
        (
            "OCDKGMLVQ",
            0.46584227089,
            &[
                ("omega_hat", &[-0.2426481072, 0.3029128143, 0.3100903087, -0.08897468483]),
                (
                    "prototypes",
                    &[-0.09231222301, 0.03488857466, 0.0, 0.0, 0.01054466364, -0.004107676331],
                ),
                ("radii", &[0.123689775, 0.0, 0.005827996113]),
            ],
        ),
        (
            "OCDKGLVQ_NG",
            0.378297769421,
            &[
                ("gamma", &[0.0104480122]),
                (
                    "prototypes",
                    &[
                        0.09219319982,
                        0.06113434162,
                        0.01474997885,
                        -0.1311499862,
                        0.08707207894,
                        -0.005346324333,
                    ],
                ),
                ("radii", &[0.04470546733, -0.1135050518, 0.01381008639]),
                ("sigmas", &[-0.01019556205, -0.1017584816, 0.01791812645]),
            ],
        ),
        (
            "OCDKGRLVQ_NG",
            0.350793349296,
            &[
                ("gamma", &[0.0111620741]),
                (
                    "prototypes",
                    &[
                        0.02072580336,
                        0.03109903149,
                        0.01873473925,
                        -0.04828791096,
                        0.05459587806,
                        0.002156907005,
                    ],
                ),
                ("radii", &[0.09873439398, -0.01046939744, 0.006469794198]),
                ("relevances", &[-0.01548153213, 0.01548153213]),
                ("sigmas", &[0.0420340477, -0.02478784617, 0.006222011037]),
            ],
        ),
        (
            "OCDKGMLVQ_NG",
            0.44332025789,
            &[
                ("gamma", &[-0.04135941738]),
                ("omega_hat", &[-0.3160287296, 0.1764322189, 0.2472392053, -0.1436314348]),
                (
                    "prototypes",
                    &[
                        -0.06902276177,
                        0.02883959368,
                        0.002025600921,
                        0.01267044017,
                        0.008836311892,
                        0.0008618928526,
                    ],
                ),
                ("radii", &[0.1062957882, 0.05892745442, 0.003337205033]),
            ],
        ),
    ];
    for (name, loss, gradients) in cases {
        let mut m = model(name);
        let sets = [
            ("transfer_fn", "sigmoid_beta"),
            ("beta", "3"),
            ("margin", "0.05"),
            ("lr_ratio", "0.5"),
            ("target_label", "0"),
        ];
        for (key, value) in sets {
            if m.has(key) {
                m = m.set_text(key, value).unwrap();
            }
        }
        let mut tensors = Tensors::default();
        for t in m.row().tensors.iter().map(|t| t.name).chain(m.row().range()) {
            let (shape, v): (&[usize], &[f64]) = match t {
                "prototypes" => (&[3, 2], &[0.2, 0.1, 0.9, -0.3, 1.5, 1.2]),
                "sigmas" => (&[3], &[0.8, 1.1, 0.9]),
                "relevances" => (&[2], &[0.3, -0.2]),
                "omega_hat" => (&[2, 2], &[0.3, 0.1, -0.1, 0.4]),
                "radii" => (&[3], &[0.7, 0.9, 1.1]),
                "gamma" => (&[], &[0.7]),
                other => panic!("{other}"),
            };
            tensors.insert(Tensor::new(t, shape, v.to_vec()));
        }
        let labels = (!m.row().is_one_class()).then(|| [0, 0, 1].map(Label::Int).to_vec());
        let (l, g) = loss_and_gradient(&m, &data, &Given { tensors, prototype_labels: labels });
        assert!((l - loss).abs() < 1e-10, "{name}: {l}");
        assert_eq!(g.list.len(), gradients.len(), "{name}");
        for (t, expected) in *gradients {
            let error = relative(values(&g, t), expected, 0.0);
            assert!(error < 1e-8, "{name}: {t} off by {error:e}");
        }
    }
}

/// Section 11 for Wasserstein models.
#[test]
fn worked_examples_of_wasserstein() {
    let x = Array2::from_shape_vec((3, 2), vec![1.0, 0.0, 0.0, 2.0, 1.0, 1.0]).unwrap();
    let data = Dataset::new(Features::from(x), Some(Labels::new(&[0i64, 1, 1]).unwrap())).unwrap();
    type Own<'a> = Option<(&'a str, Vec<usize>, [f64; 2], [f64; 2])>;
    type Example<'a> = (&'a str, f64, [f64; 4], [f64; 4], Own<'a>);
    let cases: [Example<'_>; 3] = [
        (
            "WGLVQ",
            -0.277029946678,
            [-0.0686215710, 0.4404188627, 0.0112267185, -0.0714723075],
            [-0.0388023256, -0.0142745778, 0.1106739018, 0.0407146532],
            None,
        ),
        (
            "WGMLVQ",
            0.074639680713,
            [0.1399203847, 0.0699601924, -0.0887228178, -0.0443614089],
            [-0.1029476659, -0.0378723298, 0.1076262184, 0.0395934731],
            Some(("omega", vec![2, 1], [1.0, 0.5], [-0.0068361580, -0.0119264675])),
        ),
        (
            "WGRLVQ",
            -0.143412571802,
            [-0.1235078316, 0.1998272415, 0.0611770043, -0.0652346832],
            [-0.0454559502, -0.0167223096, 0.1238187809, 0.0455503839],
            Some(("relevances", vec![2], [0.5, -0.5], [0.0539189752, -0.0539189752])),
        ),
    ];
    for (name, loss, dm, dv, own) in cases {
        let m = model(name).set("transfer_fn", "identity").unwrap().set("margin", 0.0).unwrap();
        let mut tensors = Tensors::default();
        tensors.insert(Tensor::new("prototypes", &[2, 2], vec![1.0, 0.5, 0.5, 1.5]));
        tensors.insert(Tensor::new("log_variances", &[2, 2], vec![-1.0, -2.0, -0.5, -1.5]));
        if let Some((t, shape, v, _)) = &own {
            tensors.insert(Tensor::new(*t, shape, v.to_vec()));
        }
        let labels = Some([0, 1].map(Label::Int).to_vec());
        let (l, g) = loss_and_gradient(&m, &data, &Given { tensors, prototype_labels: labels });
        assert!((l - loss).abs() < 1e-10, "{name}: {l}");
        assert!(relative(values(&g, "prototypes"), &dm, 0.0) < 1e-8, "{name}");
        assert!(relative(values(&g, "log_variances"), &dv, 0.0) < 1e-8, "{name}");
        if let Some((t, _, _, expected)) = own {
            assert!(relative(values(&g, t), &expected, 0.0) < 1e-8, "{name}");
        }
    }
}
