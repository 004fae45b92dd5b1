//! `lvq evaluate`.

use super::Done;
use super::args::Evaluate;
use super::input::{device, labelled};
use super::output::{json, table};
use super::train::holdout_of;
use crate::error::{Error, Result};
use crate::model::{Fitted, metrics};
use serde_json::json;

pub fn run(args: Evaluate) -> Result<Done> {
    let fitted = Fitted::load(&args.model)?;
    let backend = device(&args.place)?;
    let mut data = labelled(&args.data, &args.source)?;
    if args.holdout {
        let record = fitted.extra.get("holdout").ok_or_else(|| {
            Error::parameter("--holdout", "the model was trained without --holdout")
        })?;
        let holdout = holdout_of(record)?;
        if holdout.rows != data.features.rows() {
            return Err(Error::data(format!(
                "{}: {} rows, but the rows kept out are of a file with {}",
                data.source,
                data.features.rows(),
                holdout.rows
            )));
        }
        let (_, kept) = holdout.split(&data)?;
        data = data.select(&kept);
    }
    let labels = data
        .labels
        .as_ref()
        .ok_or_else(|| Error::data(format!("{}: evaluation needs labels", data.source)))?;
    let truth = labels.recode(&fitted.classes)?.codes;
    let model = fitted.on(&*backend)?;
    let predicted = model.predict_codes(&data.features)?;
    let proba = model.predict_proba(&data.features)?;
    let classes = fitted.classes.len();
    let confusion = metrics::confusion_matrix(&truth, &predicted, classes)?;
    let (accuracy, balanced) = (confusion.accuracy(), confusion.balanced_accuracy());
    let per_class = confusion.per_class();
    if args.json {
        let rows: Vec<Vec<u64>> = confusion.counts.rows().into_iter().map(|r| r.to_vec()).collect();
        let per_class: Vec<_> = per_class
            .iter()
            .zip(&fitted.classes)
            .map(|(s, class)| {
                json!({"class": class, "precision": s.precision, "recall": s.recall, "f1": s.f1, "rows": s.support})
            })
            .collect();
        let reasons = fitted.tensors.get("reasonings").is_some();
        let mut report = json!({
            "model": fitted.model.name(),
            "device": backend.info().name,
            "rows": data.features.rows(),
            "accuracy": accuracy,
            "balanced_accuracy": balanced,
            "confusion_matrix": rows,
            "classes": fitted.classes,
            "per_class": per_class,
        });
        if !reasons {
            report["log_loss"] = metrics::log_loss(&truth, proba.view())?.into();
        }
        json(&report);
        return Ok(Done::Ok);
    }
    println!("{} on {} rows of {}", fitted.model.name(), data.features.rows(), data.source);
    println!("accuracy           {accuracy:.4}");
    println!("balanced accuracy  {balanced:.4}\n");
    let mut t = table(&["class", "precision", "recall", "F1", "rows"]);
    for (s, class) in per_class.iter().zip(&fitted.classes) {
        t.add_row(vec![
            class.to_string(),
            format!("{:.4}", s.precision),
            format!("{:.4}", s.recall),
            format!("{:.4}", s.f1),
            s.support.to_string(),
        ]);
    }
    println!("{t}\n\nconfusion matrix (rows: true class, columns: predicted class)");
    let names: Vec<String> = fitted.classes.iter().map(|c| c.to_string()).collect();
    let header: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    let mut t = table(&header);
    for (row, name) in confusion.counts.rows().into_iter().zip(&names) {
        t.add_row(std::iter::once(name.clone()).chain(row.iter().map(u64::to_string)));
    }
    println!("{t}");
    Ok(Done::Ok)
}
