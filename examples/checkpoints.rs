//! A long run in pieces: start tensors, checkpoints, and going on to the same bits.
//!
//! ```sh
//! cargo run --release --example checkpoints
//! ```

use lvq::data::{ReadOptions, read};
use lvq::model::start::Given;
use lvq::parts::tensor::{Tensor, Tensors};
use lvq::train::Checkpoint;
use lvq::{Cpu, Extras, Fitted, Model, Training};
use std::path::Path;

fn main() -> lvq::Result<()> {
    let data = read(Path::new("data/iris.csv"), &ReadOptions::default())?;
    let path = std::env::temp_dir().join("lvq-example.safetensors");
    let model = Model::new("GMLVQ")?.set("latent_dim", 2)?;
    // Omega starts where we say; prototypes start as usual.
    let omega = Tensor::new("omega", &[4, 2], vec![0.0, 0.5, 0.5, 0.0, 1.0, 0.0, 0.0, 1.0]);
    let given = || Given { tensors: Tensors { list: vec![omega.clone()] }, ..Given::default() };
    let cpu = Cpu::default();

    let whole = Training { max_iter: 40, epsilon: 0.0, ..Training::default() };
    let extras = || Extras { given: given(), ..Extras::default() };
    let uninterrupted = whole.fit_with(&model, &data, &cpu, extras())?;

    let checkpoint = Some(Checkpoint { path: path.clone(), every: 10 });
    let first = Training { max_iter: 20, checkpoint, ..whole.clone() };
    first.fit_with(&model, &data, &cpu, extras())?;
    let resumed = whole.resume(&Fitted::load(&path)?, &data, &cpu, Extras::default())?;

    assert_eq!(resumed.tensors, uninterrupted.tensors);
    println!("two runs of 20 iterations end in the bits of one of 40");
    Ok(())
}
