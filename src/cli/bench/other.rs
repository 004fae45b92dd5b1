//! What else than steps is timed: inference and matrices of distances.

use super::peaks::pool;
use crate::backend::cpu::distance_matrix_into;
use crate::backend::{Backend, DeviceRequest};
use crate::cli::Done;
use crate::cli::args::Bench;
use crate::cli::output::json;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::parameter::from_text;
use crate::parts::composition::MetricName;
use crate::parts::metric::plain::plain_named;
use crate::train::Training;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::time::Instant;

/// Seconds of each of `count` calls after a first one, in order of size.
fn times<R>(count: usize, mut call: impl FnMut() -> Result<R>) -> Result<Vec<f64>> {
    call()?;
    let mut seconds = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let result = call()?;
        seconds.push(start.elapsed().as_secs_f64());
        drop(result);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// Prints the times beside what was timed.
fn say(args: &Bench, what: &str, seconds: &[f64], mut report: Value) -> Done {
    let median = seconds[seconds.len() / 2];
    report["what"] = json!(args.what);
    report["rows"] = json!(args.rows);
    report["features"] = json!(args.features);
    report["prototypes"] = json!(args.classes * args.per_class);
    report["precision"] = json!(args.precision);
    report["steps"] = json!(args.steps);
    report["seconds_per_step"] = json!(median);
    report["fastest"] = json!(seconds[0]);
    report["slowest"] = json!(seconds[seconds.len() - 1]);
    report["rows_per_second"] = json!(args.rows as f64 / median);
    if args.json {
        json(&report);
    } else {
        println!(
            "{what}, {} x {} against {}: {:.3} ms (median of {}; {:.3} to {:.3}), {:.3e} rows a second",
            args.rows,
            args.features,
            args.classes * args.per_class,
            1e3 * median,
            args.steps,
            1e3 * seconds[0],
            1e3 * seconds[seconds.len() - 1],
            args.rows as f64 / median
        );
    }
    Done::Ok
}

/// Labels of all rows by a model that was trained for one step.
pub fn predict(
    args: &Bench,
    model: &Model,
    training: &Training,
    data: &Dataset,
    backend: &dyn Backend,
) -> Result<Done> {
    // Enough rows to start from; inference does not depend on how good the model is.
    let most = 1000.max(20 * args.classes * args.per_class);
    let few: Vec<usize> = (0..args.rows.min(most)).collect();
    let training = Training { max_iter: 1, ..training.clone() };
    let fitted = training.fit(model, &data.select(&few), backend)?;
    let run = fitted.on(backend)?;
    let seconds = times(args.steps, || run.predict_codes(&data.features))?;
    let name = format!("labels by {} on {}", model.name(), backend.info().name);
    let about = json!({"model": model.name(), "device": backend.info().name});
    Ok(say(args, &name, &seconds, about))
}

/// A matrix of distances, on the CPU.
pub fn distances(args: &Bench) -> Result<Done> {
    let request: DeviceRequest = args.place.device.as_deref().unwrap_or("cpu").parse()?;
    if !matches!(request, DeviceRequest::Cpu | DeviceRequest::Auto) {
        return Err(Error::parameter("--device", "matrices of distances are timed on the cpu"));
    }
    let name = args.metric.as_deref().unwrap_or("squared_euclidean");
    let mut metric = plain_named(name)?;
    for text in &args.set {
        match (crate::cli::input::assignment(text)?, &mut metric) {
            (("p", value), MetricName::Lp(p)) => {
                *p = from_text(value)
                    .as_f64()
                    .ok_or_else(|| Error::parameter("p", "must be a number"))?;
            }
            ((key, _), _) => return Err(Error::parameter("--set", format!("{name} has no {key}"))),
        }
    }
    let p = args.classes * args.per_class;
    let seconds = match args.precision.as_str() {
        "f32" => matrices::<f32>(args, metric, p)?,
        "f64" => matrices::<f64>(args, metric, p)?,
        other => {
            return Err(Error::parameter(
                "--precision",
                format!("{other}: distances are f32 or f64"),
            ));
        }
    };
    Ok(say(args, &format!("{name} distances"), &seconds, json!({"metric": name, "device": "cpu"})))
}

fn matrices<T: crate::parts::real::Real>(
    args: &Bench,
    metric: MetricName,
    p: usize,
) -> Result<Vec<f64>> {
    let made = |rows: usize, stream: u64| {
        let mut values = vec![T::zero(); rows * args.features];
        values.par_chunks_mut(args.features).enumerate().for_each(|(i, row)| {
            let mut random = ChaCha8Rng::seed_from_u64(stream + 2 * i as u64);
            row.iter_mut().for_each(|v| *v = T::of(random.random_range(-1.0..1.0)));
        });
        Array2::from_shape_vec((rows, args.features), values)
            .map_err(|e| Error::data(e.to_string()))
    };
    let (x, w) = (made(args.rows, 0)?, made(p, 1)?);
    // The matrix is there: what is timed is how it is filled.
    let mut distances = Array2::zeros((args.rows, p));
    pool(args)?.install(|| {
        times(args.steps, || distance_matrix_into(metric, x.view(), w.view(), &mut distances))
    })
}
