//! Validation data, early stopping, and an observer.
//!
//! ```sh
//! cargo run --release --example early_stopping
//! ```

use lvq::data::{ReadOptions, read, split};
use lvq::{Cpu, Extras, Flow, Iteration, Model, Training};
use std::path::Path;

fn main() -> lvq::Result<()> {
    let data = read(Path::new("data/digits.csv"), &ReadOptions::default())?;
    let codes = &data.labels.as_ref().expect("digits have labels").codes;
    let parts = split::stratified_train_test_split(codes, 0.25, 1)?;
    let (train, test) = (data.select(&parts.train), data.select(&parts.test));

    let model = Model::new("GMLVQ")?.set("n_prototypes_per_class", 3)?.set("latent_dim", 20)?;
    let training = Training {
        max_iter: 300,
        batch_size: Some(64),
        patience: Some(10),
        restore_best: true,
        ..Training::default()
    };
    let mut report = |it: &Iteration<'_>| {
        if it.iteration.is_multiple_of(10) {
            let validation = it.validation_loss.unwrap_or(f64::NAN);
            println!("{:4}  loss {:.4}  validation {validation:.4}", it.iteration, it.loss);
        }
        Flow::Continue
    };
    let extras =
        Extras { validation: Some(&test), observers: vec![&mut report], ..Extras::default() };
    let fitted = training.fit_with(&model, &train, &Cpu::default(), extras)?;
    let labels = test.labels.as_ref().expect("digits have labels").values();
    println!(
        "stopped by {} after {} epochs; accuracy {:.4}",
        fitted.record.stopped_by,
        fitted.n_iter(),
        fitted.accuracy(&test.features, &labels)?
    );
    Ok(())
}
