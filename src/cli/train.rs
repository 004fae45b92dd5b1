//! `lvq train`.

use super::Done;
use super::args::Train;
use super::input::{self, device, labelled, named_model};
use super::output::{check_writable, json, table};
use super::progress::Progress;
use crate::backend::Backend;
use crate::data::write::write_atomically;
use crate::data::{Dataset, scaling::StandardScaler, split};
use crate::error::{Error, Result};
use crate::model::parameter::from_text;
use crate::model::{Fitted, Model};
use crate::train::{Checkpoint, Extras, Observer, Training};
use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Prototypes of each class where nothing says how many.
const PROTOTYPES_PER_CLASS: usize = 4;

/// Which rows were kept out of training: enough to find them again in the same file.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Holdout {
    pub share: f64,
    pub seed: u64,
    pub rows: usize,
}

impl Holdout {
    /// Rows trained on and rows kept out.
    pub fn split(&self, data: &Dataset) -> Result<(Vec<usize>, Vec<usize>)> {
        let labels = data
            .labels
            .as_ref()
            .ok_or_else(|| Error::data("rows are kept out by class: labels are needed"))?;
        if !(self.share > 0.0 && self.share < 1.0) {
            return Err(Error::parameter(
                "--holdout",
                format!("must be > 0 and < 1, got {}", self.share),
            ));
        }
        let split = split::stratified_train_test_split(&labels.codes, self.share, self.seed)?;
        // In the order of the file, so that a shuffle shows in nothing but the choice of rows.
        let (mut train, mut test) = (split.train, split.test);
        train.sort_unstable();
        test.sort_unstable();
        Ok((train, test))
    }
}

pub fn run(mut args: Train) -> Result<Done> {
    let mut config = match &args.config {
        Some(path) => read_config(path)?,
        None => Map::new(),
    };
    apply_config(&mut args, &mut config)?;
    let data_path =
        args.data.clone().ok_or_else(|| Error::parameter("DATA", "missing: what to train on"))?;

    let resumed = args.resume.as_deref().map(Fitted::load).transpose()?;
    let model = match (&resumed, &args.which.model) {
        (Some(f), None) => f.model.clone(),
        (Some(f), Some(name)) if Model::new(name)?.name() == f.model.name() => f.model.clone(),
        (Some(f), Some(name)) => {
            return Err(Error::parameter(
                "--model",
                format!("the checkpoint holds {}, not {name}", f.model.name()),
            ));
        }
        (None, name) => named_model(name.as_deref())?,
    };
    let training = match &resumed {
        Some(f) => Training::from_json(&f.training)?,
        None => Training::default(),
    };
    let (model, mut training) = options(&args, config, model, training)?;
    training.check()?;

    for path in [&args.out, &args.history, &args.checkpoint].into_iter().flatten() {
        check_writable(path)?;
    }
    if args.checkpoint.is_none() && args.checkpoint_every.is_some() {
        return Err(Error::parameter("--checkpoint-every", "given without --checkpoint"));
    }
    if let Some(path) = &args.checkpoint {
        let checkpoint =
            Checkpoint { path: path.clone(), every: args.checkpoint_every.unwrap_or(1) };
        training.checkpoint = Some(checkpoint);
    }
    training.check()?;
    let backend = device(&args.place, training.precision)?;
    let data = labelled(&data_path, &args.source)?;
    if let Some(k) = args.folds {
        return cross_validate(&args, &model, &training, &data, k, &*backend);
    }

    let holdout = match (args.holdout, &resumed) {
        (Some(share), _) => {
            Some(Holdout { share, seed: training.random_seed, rows: data.features.rows() })
        }
        (None, Some(f)) => f.extra.get("holdout").map(holdout_of).transpose()?,
        (None, None) => None,
    };
    let (mut rows, kept) = match &holdout {
        Some(h) => {
            let (train, test) = h.split(&data)?;
            (data.select(&train), Some(data.select(&test)))
        }
        None => (data, None),
    };
    let mut validation =
        args.validation.as_deref().map(|p| labelled(p, &args.source)).transpose()?;

    let standardize = args.standardize || resumed.as_ref().is_some_and(|f| f.scaler.is_some());
    let scaler = match (&resumed, standardize) {
        (Some(f), true) if f.scaler.is_none() => {
            return Err(Error::parameter("--standardize", "the checkpoint was trained without it"));
        }
        (Some(f), true) => f.scaler.clone(),
        (None, true) => Some(StandardScaler::fit(&rows.features)?),
        (_, false) => None,
    };
    if let Some(scaler) = &scaler {
        rows.features = scaler.transform(&rows.features)?;
        if let Some(v) = &mut validation {
            v.features = scaler.transform(&v.features)?;
        }
    }
    if let Some(f) = &resumed {
        same_run(f, &model, &training, &rows)?;
    }

    let stop = Arc::new(AtomicBool::new(false));
    listen(&stop)?;
    training.stop = Some(stop.clone());

    let mut extra = Map::new();
    if let Some(h) = &holdout {
        extra.insert("holdout".into(), json!(h));
    }
    let classes = rows.labels.as_ref().map(|l| l.classes.clone()).unwrap_or_default();
    let given = input::given(args.which.init.as_deref(), &classes)?;
    let mut progress = Progress::new(args.quiet || args.json);
    let observers: Vec<&mut dyn Observer> = vec![&mut progress];
    let extras =
        Extras { validation: validation.as_ref(), given, observers, scaler: scaler.clone(), extra };
    let fitted = match &resumed {
        Some(f) => training.resume(f, &rows, &*backend, extras),
        None => training.fit_with(&model, &rows, &*backend, extras),
    };
    let fitted =
        fitted.map_err(|e| in_training(e, progress.started(), args.checkpoint.as_deref()))?;
    let interrupted = stop.load(Ordering::Relaxed) && fitted.record.stopped_by == "interrupt";

    let after = |e: Error| Error::Running(e.to_string());
    if let Some(path) = &args.out {
        fitted.save(path).map_err(after)?;
    }
    if let Some(path) = &args.history {
        write_history(path, &fitted).map_err(after)?;
    }
    report(&args, &fitted, rows, kept, &*backend)?;
    if interrupted {
        eprintln!(
            "interrupted after {} iterations{}",
            fitted.n_iter(),
            match args.out.as_ref().or(args.checkpoint.as_ref()) {
                Some(path) => format!("; saved to {}", path.display()),
                None => String::new(),
            }
        );
        return Ok(Done::Interrupted);
    }
    Ok(Done::Ok)
}

/// A device that fails in mid-training is no fault of the call; the run can go on from its checkpoint.
fn in_training(error: Error, started: bool, checkpoint: Option<&Path>) -> Error {
    match error {
        Error::Device { .. } if started => {
            let rest = checkpoint.filter(|p| p.exists()).map_or(String::new(), |p| {
                format!("; go on from the last checkpoint with --resume {}", p.display())
            });
            Error::Running(format!("{error}{rest}"))
        }
        other => other,
    }
}

/// The holdout that a model file records.
pub fn holdout_of(value: &Json) -> Result<Holdout> {
    serde_json::from_value(value.clone())
        .map_err(|e| Error::data(format!("the model's record of rows kept out is damaged: {e}")))
}

/// SIGINT and SIGTERM ask training to stop; the second SIGINT ends the program.
fn listen(stop: &Arc<AtomicBool>) -> Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let failed = |e: std::io::Error| Error::Running(format!("cannot listen to signals: {e}"));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .map_err(failed)?;
        signal_hook::flag::register(signal, stop.clone()).map_err(failed)?;
    }
    Ok(())
}

/// Model and options from the configuration file and the flags; flags win.
fn options(
    args: &Train,
    config: Map<String, Json>,
    mut model: Model,
    mut training: Training,
) -> Result<(Model, Training)> {
    // More than the library's one: what a person who names no number is served best by (README, table of accuracies).
    let chosen = |key: &str| {
        let set = args.which.set.iter().any(|s| s.trim_start().starts_with(key));
        set || config.contains_key(key) || args.which.prototypes.is_some()
    };
    let key = "n_prototypes_per_class";
    if model.has(key) && !chosen(key) && args.which.init.is_none() && args.resume.is_none() {
        model = model.set(key, PROTOTYPES_PER_CLASS)?;
    }
    for (key, value) in config {
        (model, training) = input::set(model, training, &key, value)?;
    }
    (model, training) = input::model_and_options(&args.which, model, training)?;
    let mut flag = |key: &str, value: Option<Json>| -> Result<()> {
        if let Some(value) = value {
            training = training.set(key, value)?;
        }
        Ok(())
    };
    flag("max_iter", args.max_iter.map(Json::from))?;
    flag("lr", args.lr.map(Json::from))?;
    flag("epsilon", args.epsilon.map(Json::from))?;
    flag("lr_scheduler", args.schedule.as_deref().map(from_text))?;
    flag("optimizer", args.optimizer.as_deref().map(Json::from))?;
    flag("batch_size", args.batch_size.map(Json::from))?;
    flag("patience", args.patience.map(Json::from))?;
    flag("restore_best", args.restore_best.then_some(Json::from(true)))?;
    flag("gradient_accumulation_steps", args.grad_accumulation.map(Json::from))?;
    flag("ema_decay", args.ema.map(Json::from))?;
    let names = |text: &str| text.split(',').map(|s| Json::from(s.trim())).collect::<Vec<_>>();
    flag("freeze_params", args.freeze.as_deref().map(|t| Json::Array(names(t))))?;
    flag("lookahead", args.lookahead.as_deref().map(lookahead))?;
    Ok((model, training))
}

/// `6`, `6,0.5`, or `sync_period=6,slow_step_size=0.5`.
fn lookahead(text: &str) -> Json {
    match from_text(text) {
        Json::Array(list) if list.len() == 2 => {
            json!({"sync_period": list[0], "slow_step_size": list[1]})
        }
        period @ Json::Number(_) => json!({"sync_period": period}),
        other => other,
    }
}

fn read_config(path: &Path) -> Result<Map<String, Json>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let table: toml::Table =
        toml::from_str(&text).map_err(|e| Error::format(path, e.to_string()))?;
    match serde_json::to_value(table) {
        Ok(Json::Object(map)) => Ok(map),
        _ => Err(Error::format(path, "not a table of options")),
    }
}

/// Moves what concerns files and devices from the configuration to the arguments that are not given; a table `set` is
/// merged with the other keys, which are hyper-parameters and training options.
fn apply_config(args: &mut Train, config: &mut Map<String, Json>) -> Result<()> {
    let keys: Vec<String> = config.keys().cloned().collect();
    for key in keys {
        let name = key.replace('-', "_");
        if name != key
            && let Some(value) = config.remove(&key)
        {
            config.insert(name, value);
        }
    }
    if let Some(Json::Object(set)) = config.remove("set") {
        config.extend(set);
    }
    let mut text = |key: &str| -> Result<Option<String>> {
        match config.remove(key) {
            None => Ok(None),
            Some(Json::String(s)) => Ok(Some(s)),
            Some(Json::Number(n)) => Ok(Some(n.to_string())),
            Some(other) => Err(Error::parameter(key, format!("expected text, got {other}"))),
        }
    };
    fn or<T>(slot: &mut Option<T>, value: Option<T>) {
        if slot.is_none() {
            *slot = value;
        }
    }
    fn number<T: std::str::FromStr>(key: &str, text: Option<String>) -> Result<Option<T>> {
        text.map(|t| {
            t.parse().map_err(|_| Error::parameter(key, format!("expected a number, got '{t}'")))
        })
        .transpose()
    }
    let path = |t: Option<String>| t.map(PathBuf::from);
    or(&mut args.data, path(text("data")?));
    or(&mut args.which.model, text("model")?);
    or(&mut args.which.init, path(text("init")?));
    or(&mut args.source.target, text("target")?);
    or(&mut args.source.labels, path(text("labels")?));
    or(&mut args.place.device, text("device")?);
    or(&mut args.place.threads, number("threads", text("threads")?)?);
    or(&mut args.validation, path(text("validation")?));
    or(&mut args.holdout, number("holdout", text("holdout")?)?);
    or(&mut args.folds, number("folds", text("folds")?)?);
    or(&mut args.out, path(text("out")?));
    or(&mut args.history, path(text("history")?));
    or(&mut args.checkpoint, path(text("checkpoint")?));
    or(&mut args.checkpoint_every, number("checkpoint_every", text("checkpoint_every")?)?);
    or(&mut args.resume, path(text("resume")?));
    for (key, flag) in [("standardize", &mut args.standardize), ("mmap", &mut args.source.mmap)] {
        if let Some(value) = config.remove(key) {
            *flag |= value.as_bool().ok_or_else(|| {
                Error::parameter(key, format!("expected true or false, got {value}"))
            })?;
        }
    }
    if let Some(value) = config.remove("prototypes") {
        config.insert("n_prototypes_per_class".into(), value);
    }
    Ok(())
}

/// A continued run must agree with its checkpoint in everything but its length, its device and its outputs.
fn same_run(f: &Fitted, model: &Model, training: &Training, rows: &Dataset) -> Result<()> {
    let mut differences = training.differences(&f.training);
    let (mine, theirs) = (model.hyper_parameters(), f.model.hyper_parameters());
    for (key, value) in &mine {
        if theirs.get(key) != Some(value) {
            let old = theirs.get(key).cloned().unwrap_or(Json::Null);
            differences.push(format!("{key} (checkpoint {old}, now {value})"));
        }
    }
    if !differences.is_empty() {
        return Err(Error::parameter(
            "--resume",
            format!("options differ from the checkpoint's: {}", differences.join("; ")),
        ));
    }
    if f.record.data_crc32 != 0 && f.record.data_crc32 != rows.crc32() {
        return Err(Error::data(format!(
            "{}: not the data of the checkpoint (rows, labels or their order differ)",
            rows.source
        )));
    }
    Ok(())
}

fn write_history(path: &Path, fitted: &Fitted) -> Result<()> {
    let r = &fitted.record;
    let validation = !r.validation_history.is_empty();
    write_atomically(path, |w| {
        let columns = if validation { "epoch,loss,validation_loss" } else { "epoch,loss" };
        writeln!(w, "{columns},learning_rate,seconds")?;
        for (i, loss) in r.loss_history.iter().enumerate() {
            // The shortest text that reads back as the same number.
            write!(w, "{},{loss:?}", i + 1)?;
            if validation {
                write!(w, ",{:?}", r.validation_history[i])?;
            }
            writeln!(w, ",{:?},{:?}", r.rate_history[i], r.seconds_history[i])?;
        }
        Ok(())
    })
}

/// Labels of a scaled or unscaled data set, as the classes of the model.
fn codes(fitted: &Fitted, data: &Dataset) -> Result<Vec<u32>> {
    let labels = data.labels.as_ref().ok_or_else(|| Error::data("labels are needed"))?;
    labels.recode(&fitted.classes).map(|l| l.codes)
}

fn report(
    args: &Train,
    fitted: &Fitted,
    rows: Dataset,
    kept: Option<Dataset>,
    backend: &dyn Backend,
) -> Result<()> {
    // The training rows are scaled already.
    let bare = Fitted { scaler: None, state: None, ..fitted.clone() };
    let accuracy = bare.on(backend)?.accuracy(&rows.features, &codes(fitted, &rows)?)?;
    let held_out = match &kept {
        Some(kept) => Some(fitted.on(backend)?.accuracy(&kept.features, &codes(fitted, kept)?)?),
        None => None,
    };
    let r = &fitted.record;
    if args.json {
        let mut report = json!({
            "model": fitted.model.name(),
            "device": r.device,
            "loss": r.loss_history.last(),
            "epochs": fitted.n_iter(),
            "converged": r.converged,
            "stopped_by": r.stopped_by,
            "seconds": r.seconds,
            "accuracy": accuracy,
            "rows": rows.features.rows(),
            "features": fitted.features(),
            "prototypes": fitted.prototypes(),
            "classes": fitted.classes,
            "precision": fitted.precision.name(),
            "warnings": r.warnings,
            "out": args.out,
        });
        if let (Some(a), Some(kept)) = (held_out, &kept) {
            report["held_out_accuracy"] = a.into();
            report["held_out_rows"] = kept.features.rows().into();
        }
        if let Some(v) = r.validation_history.last() {
            report["validation_loss"] = (*v).into();
        }
        if let Some(b) = r.best_loss {
            report["best_loss"] = b.into();
        }
        json(&report);
        return Ok(());
    }
    for warning in &r.warnings {
        eprintln!("warning: {warning}");
    }
    let mut t = table(&["", ""]);
    t.set_header(Vec::<String>::new());
    let mut line = |name: &str, value: String| {
        t.add_row(vec![name.to_string(), value]);
    };
    line(
        "model",
        format!(
            "{} ({} prototypes, {})",
            fitted.model.name(),
            fitted.prototypes(),
            fitted.precision
        ),
    );
    line("device", r.device.clone());
    line(
        "rows",
        format!(
            "{} x {} features, {} classes",
            rows.features.rows(),
            fitted.features(),
            fitted.classes.len()
        ),
    );
    line("iterations", format!("{} ({})", fitted.n_iter(), r.stopped_by));
    if let Some(loss) = r.loss_history.last() {
        line("loss", format!("{loss:.6}"));
    }
    if let Some(loss) = r.validation_history.last() {
        line("validation loss", format!("{loss:.6}"));
    }
    line("training accuracy", format!("{accuracy:.4}"));
    if let (Some(a), Some(kept)) = (held_out, &kept) {
        line("held-out accuracy", format!("{a:.4} ({} rows)", kept.features.rows()));
    }
    line("seconds", format!("{:.3}", r.seconds));
    if let Some(path) = &args.out {
        line("saved to", path.display().to_string());
    }
    println!("{t}");
    Ok(())
}

/// Trains on all folds but one and measures on that one, for each fold.
fn cross_validate(
    args: &Train,
    model: &Model,
    training: &Training,
    data: &Dataset,
    k: usize,
    backend: &dyn Backend,
) -> Result<Done> {
    for (name, given) in [
        ("--out", args.out.is_some()),
        ("--history", args.history.is_some()),
        ("--checkpoint", args.checkpoint.is_some()),
        ("--resume", args.resume.is_some()),
        ("--holdout", args.holdout.is_some()),
        ("--validation", args.validation.is_some()),
    ] {
        if given {
            return Err(Error::parameter(
                "--folds",
                format!("cannot be combined with {name}: no single model is made"),
            ));
        }
    }
    let labels = data.labels.as_ref().ok_or_else(|| Error::data("folds need labels"))?;
    let folds = split::stratified_k_fold(&labels.codes, k, training.random_seed)?;
    let mut accuracies = Vec::new();
    for fold in &folds {
        let (mut train, test) = (data.select(&fold.train), data.select(&fold.test));
        let mut scaler = None;
        if args.standardize {
            let s = StandardScaler::fit(&train.features)?;
            train.features = s.transform(&train.features)?;
            scaler = Some(s);
        }
        let classes = train.labels.as_ref().map(|l| l.classes.clone()).unwrap_or_default();
        let given = input::given(args.which.init.as_deref(), &classes)?;
        let extras = Extras { given, scaler, ..Extras::default() };
        let fitted = training.fit_with(model, &train, backend, extras)?;
        accuracies.push(fitted.on(backend)?.accuracy(&test.features, &codes(&fitted, &test)?)?);
    }
    let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
    let variance = accuracies.iter().map(|a| (a - mean) * (a - mean)).sum::<f64>();
    let std = (variance / accuracies.len() as f64).sqrt();
    if args.json {
        json(&json!({
            "model": model.name(),
            "device": backend.info().name,
            "folds": k,
            "accuracies": accuracies,
            "accuracy": mean,
            "standard_deviation": std,
        }));
    } else {
        let mut t = table(&["fold", "accuracy"]);
        for (i, a) in accuracies.iter().enumerate() {
            t.add_row(vec![(i + 1).to_string(), format!("{a:.4}")]);
        }
        t.add_row(vec!["mean".to_string(), format!("{mean:.4} (standard deviation {std:.4})")]);
        println!("{t}");
    }
    Ok(Done::Ok)
}
