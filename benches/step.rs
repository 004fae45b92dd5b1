//! One training step of each model, and the parts it is made of.
//!
//! ```sh
//! cargo bench --bench step            # all
//! cargo bench --bench step -- GMLVQ   # one
//! ```

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lvq::data::made::gaussian_blobs;
use lvq::model::catalogue::CATALOGUE;
use lvq::model::start::Given;
use lvq::parts::metric::squared_euclidean::SquaredEuclidean;
use lvq::parts::metric::{Inputs, Metric, Operand, Pair, Scratch, Sums};
use lvq::{Cpu, Model, Training};

/// Loss and gradient of every gradient model, loading included.
fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    let (n, d, classes) = (5_000, 32, 5);
    let data = gaussian_blobs(n, d, classes, 1).expect("sizes are good");
    group.throughput(Throughput::Elements(n as u64)).sample_size(10);
    for row in CATALOGUE.iter().filter(|r| !r.is_rule()) {
        let mut model = Model::new(row.name).expect("in the catalogue");
        if model.has("n_prototypes_per_class") {
            model = model.set("n_prototypes_per_class", 4).expect("a count");
        }
        let cpu = Cpu::default();
        group.bench_function(BenchmarkId::from_parameter(row.name), |b| {
            b.iter(|| Training::default().gradient(&model, &data, &Given::default(), &cpu));
        });
    }
    group.finish();
}

/// The metric's passes over one block.
fn metric(c: &mut Criterion) {
    let mut group = c.benchmark_group("squared_euclidean");
    let (b, p, d) = (256, 50, 64);
    let value = |i: usize| ((i * 2_654_435_761) % 1_000) as f32 / 1_000.0 - 0.5;
    let x: Vec<f32> = (0..b * d).map(value).collect();
    let w: Vec<f32> = (0..p * d).map(|i| value(i + 7)).collect();
    let metric = SquaredEuclidean::new(Inputs {
        d,
        prototypes: &w,
        own: &[],
        learn_prototypes: true,
        learn_own: false,
        operand: Operand::Full,
    });
    let (mut scratch, mut dist) = (Scratch::default(), vec![0.0; b * p]);
    let mut sums: Sums<f32> = metric.sums().into_iter().map(|n| vec![0.0; n]).collect();
    group.throughput(Throughput::Elements((2 * b * p * d) as u64));
    group.bench_function("forward", |t| t.iter(|| metric.forward(&x, &mut dist, &mut scratch)));
    let pairs: Vec<Pair<f32>> = (0..2 * b)
        .map(|i| Pair { row: (i / 2) as u32, prototype: (i * 7 % p) as u32, g: 0.1 })
        .collect();
    group.throughput(Throughput::Elements((2 * pairs.len() * d) as u64));
    group.bench_function("backward_pairs", |t| {
        t.iter(|| metric.backward_pairs(&x, &pairs, &mut scratch, &mut sums));
    });
    let g = vec![1e-3; b * p];
    group.throughput(Throughput::Elements((2 * b * p * d) as u64));
    group.bench_function("backward_dense", |t| {
        t.iter(|| metric.backward_dense(&x, &dist, &g, &mut scratch, &mut sums));
    });
    group.finish();
}

criterion_group!(benches, steps, metric);
criterion_main!(benches);
