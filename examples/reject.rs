//! The reject option: how accurate are the answers the model is sure of?
//!
//! ```sh
//! cargo run --release --example reject
//! ```

use lvq::data::{ReadOptions, read};
use lvq::{Cpu, Model, Training};
use std::path::Path;

fn main() -> lvq::Result<()> {
    let data = read(Path::new("data/breast_cancer.csv"), &ReadOptions::default())?;
    let labels = data.labels.as_ref().expect("the data has labels");
    let model = Model::new("GLVQ")?.set("n_prototypes_per_class", 2)?;
    let fitted = Training::default().fit(&model, &data, &Cpu::default())?;
    let asked = fitted.on(&Cpu::default())?;
    let curve = asked.accuracy_coverage_curve(&data.features, &labels.codes, 6)?;
    println!("confidence >=  accuracy  coverage");
    for i in 0..curve.thresholds.len() {
        let (t, a, c) = (curve.thresholds[i], curve.accuracy[i], curve.coverage[i]);
        println!("{t:13.1}  {a:8.4}  {c:8.4}");
    }
    let best = asked.optimal_threshold(&data.features, &labels.codes, 0.1, 1.0, 101)?;
    println!("with a rejection at a tenth of an error's cost: reject below {best:.2}");
    Ok(())
}
