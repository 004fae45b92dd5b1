//! `lvq predict` and `lvq transform`.

use super::Done;
use super::args::{Predict, Transform};
use super::input::{device, rows_for};
use super::output::{Output, check_ending, check_writable, json};
use crate::data::Label;
use crate::error::{Error, Result};
use crate::model::Fitted;
use serde_json::json;

pub fn run(args: Predict) -> Result<Done> {
    let fitted = Fitted::load(&args.model)?;
    let zone = args.upper.is_some() || args.lower.is_some();
    if (args.scores || zone) && fitted.one_class.is_none() {
        return Err(Error::parameter(
            "--scores, --upper, --lower",
            format!(
                "{} is a classifier, not a one-class model; use --proba or --reject",
                fitted.model.name()
            ),
        ));
    }
    if args.reject.is_some() && fitted.one_class.is_some() {
        return Err(Error::parameter(
            "--reject",
            format!("{} is a one-class model: use --upper and --lower", fitted.model.name()),
        ));
    }
    if args.reject.is_some() && zone {
        return Err(Error::parameter("--reject", "cannot be combined with --upper and --lower"));
    }
    let reject_label = match &args.reject_label {
        None => Label::Int(-1),
        Some(text) => text.parse::<i64>().map_or_else(|_| Label::Text(text.clone()), Label::Int),
    };
    let rejects = args.reject.is_some() || zone;
    let outlier = fitted.one_class.as_ref().map(|o| &o.outlier);
    let mut taken = fitted.classes.iter().chain(outlier);
    if rejects && taken.any(|c| c.to_string() == reject_label.to_string()) {
        return Err(Error::parameter(
            "--reject-label",
            format!("'{reject_label}' is a class of the model; choose another"),
        ));
    }
    if args.reject_label.is_some() && !rejects {
        return Err(Error::parameter("--reject-label", "given without --reject or --upper"));
    }
    if let Some(path) = &args.out {
        check_ending(path)?;
        check_writable(path)?;
    }
    let backend = device(&args.place, fitted.precision)?;
    let data = rows_for(&fitted, &args.data, &args.source)?;
    let model = fitted.on(&*backend)?;
    let x = &data.features;
    let output = if args.scores || (args.proba && fitted.one_class.is_some()) {
        Output::Columns(vec!["score".into()], model.predict_proba(x)?)
    } else if zone {
        let upper = args.upper.unwrap_or(0.5);
        let lower = args.lower.unwrap_or(upper);
        let answers = model.predict_with_reject(x, upper, lower)?;
        let label = |answer: Option<Label>| answer.unwrap_or_else(|| reject_label.clone());
        Output::Labels(answers.into_iter().map(label).collect())
    } else if args.proba {
        let names = fitted.classes.iter().map(Label::to_string).collect();
        Output::Columns(names, model.predict_proba(x)?)
    } else if args.distances {
        let names = (0..fitted.prototypes()).map(|j| format!("distance_{j}")).collect();
        Output::Columns(names, model.distances(x)?)
    } else if args.reject.is_some() {
        let label = |code: Option<u32>| match code {
            Some(c) => fitted.classes[c as usize].clone(),
            None => reject_label.clone(),
        };
        Output::Labels(
            model.predict_with_rejection(x, args.reject)?.into_iter().map(label).collect(),
        )
    } else {
        Output::Labels(model.predict(x)?)
    };
    output.write(args.out.as_deref())?;
    if args.json {
        json(
            &json!({"rows": x.rows(), "out": args.out, "model": fitted.model.name(), "device": backend.info().name}),
        );
    }
    Ok(Done::Ok)
}

pub fn transform(args: Transform) -> Result<Done> {
    let fitted = Fitted::load(&args.model)?;
    check_ending(&args.out)?;
    check_writable(&args.out)?;
    let backend = device(&args.place, fitted.precision)?;
    let data = rows_for(&fitted, &args.data, &args.source)?;
    let values = fitted.on(&*backend)?.transform(&data.features)?;
    let columns = values.ncols();
    let names = (0..columns).map(|j| format!("z{j}")).collect();
    Output::Columns(names, values).write(Some(&args.out))?;
    if args.json {
        json(
            &json!({"rows": data.features.rows(), "columns": columns, "out": args.out, "model": fitted.model.name()}),
        );
    }
    Ok(Done::Ok)
}
