//! `lvq evaluate`.

use super::Done;
use super::args::Evaluate;
use super::input::{device, labelled};
use super::output::{json, table};
use super::train::holdout_of;
use crate::backend::Backend;
use crate::data::{Dataset, Labels};
use crate::error::{Error, Result};
use crate::model::{Fitted, metrics};
use serde_json::json;

pub fn run(args: Evaluate) -> Result<Done> {
    let fitted = Fitted::load(&args.model)?;
    let backend = device(&args.place, fitted.precision)?;
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
    if fitted.one_class.is_some() {
        return one_class(&args, &fitted, &data, labels, &*backend);
    }
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

/// How well a one-class model tells its target from everything else.
fn one_class(
    args: &Evaluate,
    fitted: &Fitted,
    data: &Dataset,
    labels: &Labels,
    backend: &dyn Backend,
) -> Result<Done> {
    let names = fitted.one_class.as_ref().expect("a one-class model");
    // Whatever is not the target is an outlier, known to the model or not.
    let target: Vec<bool> = labels.values().iter().map(|l| *l == names.target).collect();
    let scores = fitted.on(backend)?.decision_function(&data.features)?;
    let accepted: Vec<bool> = scores.iter().map(|s| *s >= 0.5).collect();
    let count = |t: bool, a: bool| {
        target.iter().zip(&accepted).filter(|(x, y)| **x == t && **y == a).count()
    };
    let [tp, false_negative, fp, tn] =
        [(true, true), (true, false), (false, true), (false, false)].map(|(t, a)| count(t, a));
    let share = |part: usize, whole: usize| match whole {
        0 => f64::NAN,
        _ => part as f64 / whole as f64,
    };
    let (right, wrong) = (share(tp, tp + false_negative), share(fp, fp + tn));
    let accuracy = share(tp + tn, target.len());
    let balanced =
        if right.is_nan() || wrong.is_nan() { f64::NAN } else { (right + 1.0 - wrong) / 2.0 };
    // Only where both kinds of rows are there.
    let auc = metrics::auroc(&target, &scores).unwrap_or(f64::NAN);
    let number = |v: f64| if v.is_nan() { serde_json::Value::Null } else { v.into() };
    if args.json {
        json(&json!({
            "model": fitted.model.name(),
            "device": backend.info().name,
            "rows": target.len(),
            "accuracy": accuracy,
            "balanced_accuracy": number(balanced),
            "confusion_matrix": [[tp, false_negative], [fp, tn]],
            "classes": [names.target, names.outlier],
            "roc_auc": number(auc),
            "true_positive_rate": number(right),
            "false_positive_rate": number(wrong),
        }));
        return Ok(Done::Ok);
    }
    println!("{} on {} rows of {}", fitted.model.name(), target.len(), data.source);
    println!("target {}, everything else {}", names.target, names.outlier);
    println!("accuracy             {accuracy:.4}");
    println!("balanced accuracy    {balanced:.4}");
    println!("area under the ROC   {auc:.4}");
    println!("true positive rate   {right:.4}");
    println!("false positive rate  {wrong:.4}\n");
    let mut t = table(&["", "accepted", "refused"]);
    t.add_row(["target".to_string(), tp.to_string(), false_negative.to_string()]);
    t.add_row(["others".to_string(), fp.to_string(), tn.to_string()]);
    println!("{t}");
    Ok(Done::Ok)
}
