//! One training step of each model.
//!
//! ```sh
//! cargo bench --bench step            # all
//! cargo bench --bench step -- GMLVQ   # one
//! ```

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lvq::data::made::gaussian_blobs;
use lvq::model::catalogue::CATALOGUE;
use lvq::model::start::Given;
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

criterion_group!(benches, steps);
criterion_main!(benches);
