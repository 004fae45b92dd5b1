//! The parts that a step on the CPU is made of, one thread, one block of rows at a time.
//!
//! ```sh
//! cargo bench --bench parts                 # all
//! cargo bench --bench parts -- posterior    # one group
//! ```

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lvq::backend::cpu::distance_matrix;
use lvq::parts::composition::MetricName;
use lvq::parts::cooperation::posterior::posterior;
use lvq::parts::cooperation::ranks::ranks;
use lvq::parts::cooperation::winner_pair::Classes;
use lvq::parts::linalg::{Mat, gemm};
use lvq::parts::metric::local_omega::LocalOmega;
use lvq::parts::metric::omega::Omega;
use lvq::parts::metric::plain::{plain, plain_named};
use lvq::parts::metric::relevance::Relevance;
use lvq::parts::metric::tangent::Tangent;
use lvq::parts::metric::{Inputs, Metric, Operand, Pair, Scratch, Sums};
use lvq::parts::objective::{cross_entropy, nllr, rslvq};
use lvq::parts::optimizer::{Optimizer, OptimizerSpec};
use lvq::parts::tensor::{Tensor, Tensors};
use ndarray::Array2;
use std::hint::black_box;

/// Rows, prototypes and features of a block.
const B: usize = 256;
const P: usize = 50;
const D: usize = 64;

fn values(count: usize, shift: usize) -> Vec<f32> {
    (0..count).map(|i| ((i + shift) * 2_654_435_761 % 1_000) as f32 / 1_000.0 - 0.5).collect()
}

fn inputs<'a>(prototypes: &'a [f32], own: &'a [f32]) -> Inputs<'a, f32> {
    Inputs {
        d: D,
        prototypes,
        own,
        learn_prototypes: true,
        learn_own: true,
        operand: Operand::Full,
    }
}

/// Forward, the two winners by differences, and both kinds of backward of each metric.
fn metrics(c: &mut Criterion) {
    let (x, w) = (values(B * D, 0), values(P * D, 7));
    let of_maps = values(P * D * D, 11);
    let mut all: Vec<(&str, Box<dyn Metric<f32>>)> = Vec::new();
    for name in ["squared_euclidean", "euclidean", "manhattan", "lp", "chebyshev", "cosine"] {
        let metric = plain_named(name).expect("a metric");
        all.push((name, plain(metric, inputs(&w, &[])).expect("one without a tensor")));
    }
    all.push(("relevance", Box::new(Relevance::new(inputs(&w, &of_maps[..D])))));
    all.push(("omega", Box::new(Omega::new(inputs(&w, &of_maps[..D * D]), D))));
    all.push(("local_omega", Box::new(LocalOmega::new(inputs(&w, &of_maps), D))));
    all.push(("tangent", Box::new(Tangent::new(inputs(&w, &of_maps[..P * D * 4]), 4))));
    let mut group = c.benchmark_group("metric");
    group.throughput(Throughput::Elements(B as u64)).sample_size(20);
    let two: Vec<[u32; 2]> = (0..2 * B as u32).map(|i| [i / 2, i * 7 % P as u32]).collect();
    let pairs: Vec<Pair<f32>> = two
        .iter()
        .map(|[row, prototype]| Pair { row: *row, prototype: *prototype, g: 0.1 })
        .collect();
    let g = vec![1e-3; B * P];
    for (name, metric) in &all {
        let (mut scratch, mut d) = (Scratch::default(), vec![0.0; B * P]);
        // A backward may ask for what the block's forward left in the scratch.
        metric.forward(&x, &mut d, &mut scratch);
        let mut exact = vec![0.0; two.len()];
        let mut sums: Sums<f32> = metric.sums().into_iter().map(|n| vec![0.0; n]).collect();
        let mut bench = |what: &str, f: &mut dyn FnMut(&mut Scratch<f32>, &mut [f32])| {
            group.bench_function(BenchmarkId::new(what, name), |b| {
                b.iter(|| f(&mut scratch, &mut d));
            });
        };
        bench("forward", &mut |scratch, d| metric.forward(&x, d, scratch));
        bench("exact", &mut |scratch, _| metric.exact_pairs(&x, &two, scratch, &mut exact));
        bench("backward_pairs", &mut |scratch, _| {
            metric.backward_pairs(&x, &pairs, scratch, &mut sums);
        });
        bench("backward_dense", &mut |scratch, d| {
            metric.backward_dense(&x, d, &g, scratch, &mut sums);
        });
    }
    group.finish();
}

/// Cooperations of a block's distances.
fn cooperations(c: &mut Criterion) {
    let d: Vec<f32> = values(B * P, 3).iter().map(|v| v + 0.5).collect();
    let labels: Vec<u32> = (0..P as u32).map(|j| j / 5).collect();
    let of: Vec<u32> = (0..B as u32).map(|i| i % 10).collect();
    let classes = Classes::new(&labels, 10);
    let mut group = c.benchmark_group("cooperation");
    group.throughput(Throughput::Elements((B * P) as u64));
    let mut winners = Vec::new();
    group.bench_function("winner_pair", |b| {
        b.iter(|| classes.winner_pairs(&d, P, &of, &mut winners));
    });
    let mut each = vec![None; 10];
    group.bench_function("class_minimum", |b| {
        b.iter(|| d.chunks_exact(P).for_each(|d| classes.nearest_of_each(d, black_box(&mut each))));
    });
    let mut row = vec![0.0; P];
    group.bench_function("posterior", |b| {
        b.iter(|| d.chunks_exact(P).for_each(|d| posterior(d, 0.7, black_box(&mut row))));
    });
    let mut places = vec![0; P];
    group.bench_function("ranks", |b| {
        b.iter(|| d.chunks_exact(P).for_each(|d| ranks(d, black_box(&mut places))));
    });
    group.finish();
}

/// Objectives of rows whose cooperation is done.
fn objectives(c: &mut Criterion) {
    let labels: Vec<u32> = (0..P as u32).map(|j| j / 5).collect();
    let start = vec![1.0 / P as f32; P];
    let (mut row, mut room) = (start.clone(), start.clone());
    let mut group = c.benchmark_group("objective");
    group.throughput(Throughput::Elements(P as u64));
    group.bench_function("rslvq", |b| {
        b.iter(|| {
            row.copy_from_slice(&start);
            rslvq::row(&mut row, &labels, 3, 0.7)
        });
    });
    group.bench_function("nllr", |b| {
        b.iter(|| {
            row.copy_from_slice(&start);
            nllr::row(&mut row, &mut room, &labels, 3, 0.7)
        });
    });
    group.bench_function("cross_entropy", |b| {
        b.iter(|| {
            row.copy_from_slice(&start);
            cross_entropy::row(&mut row, 3)
        });
    });
    group.finish();
}

/// Updates of a hundred thousand parameters.
fn optimizers(c: &mut Criterion) {
    let one = |shift| Tensors {
        list: vec![Tensor {
            name: "prototypes".into(),
            shape: vec![1000, 100],
            data: values(100_000, shift),
        }],
    };
    let mut group = c.benchmark_group("optimizer");
    group.throughput(Throughput::Elements(100_000)).sample_size(20);
    for name in ["sgd", "adam", "rmsprop", "lion", "adafactor"] {
        let spec = OptimizerSpec::parse(name, &Default::default()).expect("an optimizer");
        let (mut tensors, gradient) = (one(0), one(5));
        let mut optimizer = Optimizer::new(&spec, 1e-3, &tensors);
        group.bench_function(name, |b| {
            b.iter(|| optimizer.update(&mut tensors, &gradient, 1e-3, &|_| 1.0, 1_000));
        });
    }
    group.finish();
}

/// The products that everything is measured by, and matrices of distances.
fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("product");
    group.sample_size(20);
    for p in [8, 50, 512] {
        let (x, w) = (values(384 * 256, 0), values(p * 256, 1));
        let mut d = vec![0.0f32; 384 * p];
        group.throughput(Throughput::Elements((2 * 384 * 256 * p) as u64));
        group.bench_function(BenchmarkId::new("x_w", p), |b| {
            b.iter(|| gemm(&mut d, false, 1.0, Mat::new(&x, 384, 256), Mat::new(&w, p, 256).t()));
        });
    }
    let matrix =
        |rows, shift| Array2::from_shape_vec((rows, D), values(rows * D, shift)).expect("rows x D");
    let (x, w) = (matrix(2_000, 0), matrix(1_000, 1));
    group.throughput(Throughput::Elements(2_000_000));
    for metric in [MetricName::SquaredEuclidean, MetricName::Manhattan] {
        group.bench_function(BenchmarkId::new("distances", metric.name()), |b| {
            b.iter(|| distance_matrix(metric, x.view(), w.view()));
        });
    }
    group.finish();
}

criterion_group!(benches, metrics, cooperations, objectives, optimizers, products);
criterion_main!(benches);
