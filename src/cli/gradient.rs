//! `lvq gradient`.

use super::Done;
use super::args::Gradient;
use super::input::{device, given, labelled, model_and_options, named_model};
use super::output::{check_writable, json};
use crate::error::Result;
use crate::model::container::write_container;
use crate::model::file::stored;
use crate::parts::composition::Precision;
use crate::train::Training;
use serde_json::json;

pub fn run(args: Gradient) -> Result<Done> {
    let model = named_model(args.which.model.as_deref())?;
    let (model, training) = model_and_options(&args.which, model, Training::default())?;
    training.check()?;
    if let Some(path) = &args.out {
        check_writable(path)?;
    }
    let backend = device(&args.place, training.precision)?;
    let data = labelled(&args.data, &args.source)?;
    let classes = data.labels.as_ref().map(|l| l.classes.clone()).unwrap_or_default();
    let start = given(args.which.init.as_deref(), &classes)?;
    let (loss, gradient) = training.gradient(&model, &data, &start, &*backend)?;
    if let Some(path) = &args.out {
        let double = training.precision == Precision::F64;
        let tensors = gradient
            .list
            .iter()
            .map(|t| Ok((format!("grad/{}", t.name), stored(&t.shape, &t.data, double)?)))
            .collect::<Result<Vec<_>>>()?;
        let header = json!({"format": 1, "model": model.name(), "loss": loss, "precision": training.precision.name()});
        write_container(path, &tensors, &header)?;
    }
    if args.json {
        json(
            &json!({"loss": loss, "out": args.out, "model": model.name(), "device": backend.info().name}),
        );
    } else {
        println!("loss  {loss:?}");
        for t in &gradient.list {
            let norm = t.data.iter().map(|v| v * v).sum::<f64>().sqrt();
            println!("|gradient of {}|  {norm:e}", t.name);
        }
    }
    Ok(Done::Ok)
}
