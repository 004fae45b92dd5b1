//! `lvq bench`: the time of one training step on made data, and what share of the machine it uses.

use super::Done;
use super::args::Bench;
use super::input::{assignment, device, set};
use super::output::{json, table};
use crate::backend::{Backend, DeviceRequest, Problem, Rows, Samples};
use crate::data::made::gaussian_blobs;
use crate::error::{Error, Result};
use crate::model::parameter::from_text;
use crate::model::start::{self, Given};
use crate::model::{Model, Sizes, cost};
use crate::parts::composition::Precision;
use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;
use crate::train::Training;
use rayon::prelude::*;
use serde_json::json;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A GPU with the naive form of its kernels.
fn naive(args: &Bench) -> Result<Box<dyn Backend>> {
    let request: DeviceRequest = args.place.device.as_deref().unwrap_or("auto").parse()?;
    match request {
        #[cfg(feature = "vulkan")]
        DeviceRequest::Vulkan(index) => {
            let kernels = crate::backend::Kernels::Naive;
            let options = crate::backend::vulkan::Options { kernels, ..Default::default() };
            crate::backend::vulkan::open_with(index, &options)
        }
        #[cfg(feature = "cuda")]
        DeviceRequest::Cuda(index) => {
            crate::backend::cuda::open_with(index, crate::backend::Kernels::Naive)
        }
        #[cfg(feature = "cuda")]
        DeviceRequest::CudaSeveral(indices) => {
            crate::backend::cuda::open_several(&indices, crate::backend::Kernels::Naive)
        }
        #[cfg(feature = "cuda")]
        DeviceRequest::CudaAll => crate::backend::cuda::open_all(crate::backend::Kernels::Naive),
        other => Err(Error::parameter("--kernels", format!("{other} has one form of its kernels"))),
    }
}

pub fn run(args: Bench) -> Result<Done> {
    for (name, value) in [
        ("--rows", args.rows),
        ("--features", args.features),
        ("--per-class", args.per_class),
        ("--steps", args.steps),
    ] {
        if value == 0 {
            return Err(Error::parameter(name, "must be at least 1, got 0"));
        }
    }
    if args.classes < 2 || args.rows < args.classes {
        return Err(Error::parameter("--classes", "must be at least 2, and at most the rows"));
    }
    let mut model = Model::new(&args.model)?;
    let mut training = Training { precision: args.precision.parse()?, ..Training::default() };
    for text in &args.set {
        let (key, value) = assignment(text)?;
        (model, training) = set(model, training, key, from_text(value))?;
    }
    let keys = ["n_components", "n_prototypes"];
    let (key, count) = match keys.into_iter().find(|k| model.has(k)) {
        Some(key) => (key, args.per_class * args.classes),
        None => ("n_prototypes_per_class", args.per_class),
    };
    model = model.set(key, count)?;
    training.check()?;
    let backend = if args.kernels == "naive" {
        naive(&args)?
    } else {
        device(&args.place, training.precision)?
    };
    let data = gaussian_blobs(args.rows, args.features, args.classes, training.random_seed)?;
    let labels = data.labels.as_ref().ok_or_else(|| Error::data("made data has labels"))?;
    let centre = model.centre(&data.features);
    let start = start::start(
        &model,
        &data,
        &labels.classes,
        &labels.codes,
        &Given::default(),
        training.random_seed,
    )?;
    let p = start.prototype_labels.len();
    let sizes = Sizes { n: args.rows, d: args.features, p, classes: labels.classes.len() };
    let composition = model.compose(sizes)?;
    let names: Vec<String> = model.row().tensors.iter().map(|t| t.name.to_string()).collect();
    let spec = training.optimizer_spec()?;
    let rule = composition.objective.is_rule();
    let mut session = backend.session(Problem {
        composition: &composition,
        training: Samples { features: &data.features, codes: &labels.codes },
        validation: None,
        row_weights: None,
        classes: labels.classes.len(),
        target: start.target,
        prototype_labels: &start.prototype_labels,
        centre: &centre,
        tensors: &start.tensors,
        learn: &names,
        train: &names,
        precision: training.precision,
        optimizer: (!rule).then_some((&spec, training.lr)),
    })?;
    let mut step = || -> Result<()> {
        if rule {
            session.rule(Rows::TRAINING, training.lr).map(drop)
        } else if session.step(Rows::TRAINING, training.lr, &|_| 1.0, false)? {
            Ok(())
        } else {
            let loss = session.gradient(Rows::TRAINING, 1.0)?;
            session.update(training.lr, &|_| 1.0, Rows::TRAINING, loss)
        }
    };
    (0..2).try_for_each(|_| step())?;
    let mut seconds = Vec::with_capacity(args.steps);
    for _ in 0..args.steps {
        let t = Instant::now();
        step()?;
        seconds.push(t.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];

    let l = start
        .tensors
        .list
        .iter()
        .find(|t| matches!(t.name.as_str(), "omega" | "omegas" | "omega_hat"))
        .and_then(|t| t.shape.last().copied())
        .unwrap_or(0);
    let size = match training.precision {
        Precision::F64 => 8,
        _ => 4,
    };
    let cost = cost::step(&composition, [args.rows, args.features, p, sizes.classes, l], size);
    let plan = session.plan();
    drop(session);
    // The rate of the arithmetic that is used.
    let tensor_cores = plan.as_ref().is_some_and(|plan| plan.tensor_cores);
    let (peak_flops, peak_bandwidth, arithmetic) = match (backend.peaks()?, training.precision) {
        (Some(peaks), precision) => {
            let (flops, what) = match (peaks.tensor, precision) {
                (Some([_, bf16, _]), Precision::Bf16) if tensor_cores => {
                    (bf16, "bf16 on tensor cores")
                }
                (Some([_, _, f16]), Precision::F16) if tensor_cores => (f16, "f16 on tensor cores"),
                // Three products for one of f32.
                (Some([of_f32, _, _]), Precision::Tf32) if tensor_cores => {
                    (3.0 * of_f32, "tf32 on tensor cores")
                }
                (Some([of_f32, _, _]), _) if tensor_cores => {
                    (of_f32, "f32 as three products of tf32")
                }
                _ => (peaks.f32, "f32"),
            };
            (flops, peaks.bandwidth, what)
        }
        (None, Precision::F64) => (peak_flops::<f64>(&args)?, peak_bandwidth(&args)?, "f64"),
        (None, _) => (peak_flops::<f32>(&args)?, peak_bandwidth(&args)?, "f32"),
    };
    let flops_rate = cost.flops() / median;
    let byte_rate = cost.bytes / median;
    let roofline = (cost.flops() / peak_flops).max(cost.bytes / peak_bandwidth);
    let mut report = json!({
        "model": model.name(),
        "device": backend.info().name,
        "rows": args.rows,
        "features": args.features,
        "classes": sizes.classes,
        "prototypes": p,
        "precision": training.precision.name(),
        "steps": args.steps,
        "seconds_per_step": median,
        "fastest": seconds[0],
        "slowest": seconds[seconds.len() - 1],
        "rows_per_second": args.rows as f64 / median,
        "flops_per_step": cost.flops(),
        "bytes_per_step": cost.bytes,
        "arithmetic": arithmetic,
        "peak_flops": peak_flops,
        "peak_bandwidth": peak_bandwidth,
        "share_of_peak_flops": flops_rate / peak_flops,
        "share_of_peak_bandwidth": byte_rate / peak_bandwidth,
        "share_of_roofline": roofline / median,
    });
    if args.json {
        if let (true, Some(plan)) = (args.explain, &plan) {
            let launch = |(kernel, groups, shared): &(&str, [u32; 3], u32)| json!({"kernel": kernel, "groups": groups, "shared_bytes": shared});
            report["choice"] = json!(plan.choice);
            report["launches"] = plan.launches.iter().map(launch).collect();
        }
        json(&report);
        return Ok(Done::Ok);
    }
    let mut t = table(&["", ""]);
    t.set_header(Vec::<String>::new());
    let mut line = |name: &str, value: String| {
        t.add_row(vec![name.to_string(), value]);
    };
    line("model", format!("{} ({p} prototypes, {})", model.name(), training.precision));
    line("device", backend.info().name);
    line("rows", format!("{} x {}", args.rows, args.features));
    line(
        "step",
        format!(
            "{:.3} ms (median of {}; {:.3} to {:.3})",
            median * 1e3,
            args.steps,
            seconds[0] * 1e3,
            seconds[seconds.len() - 1] * 1e3
        ),
    );
    line("rows per second", format!("{:.3e}", args.rows as f64 / median));
    line(
        "operations",
        format!(
            "{:.3e} a step, {:.1} GFLOP/s, {:.1} % of that arithmetic's rate here",
            cost.flops(),
            flops_rate / 1e9,
            100.0 * flops_rate / peak_flops
        ),
    );
    line(
        "memory",
        format!(
            "{:.3e} bytes a step, {:.1} GB/s, {:.1} % of a copy's rate here",
            cost.bytes,
            byte_rate / 1e9,
            100.0 * byte_rate / peak_bandwidth
        ),
    );
    line("roofline", format!("{:.1} % of the faster of the two limits", 100.0 * roofline / median));
    if args.explain {
        line("parts", model.row().parts().join(" > "));
        if let Some(plan) = &plan {
            line("step", plan.choice.clone());
            let launches = plan.launches.iter();
            let text = launches.map(|(kernel, [x, y, z], _)| format!("{kernel} [{}]", x * y * z));
            line("launches", text.collect::<Vec<_>>().join(" > "));
        }
        line("arithmetic", format!("{arithmetic}: {:.1} TFLOP/s here", peak_flops / 1e12));
        line("forward", format!("{:.3e} operations", cost.forward_flops));
        line("backward", format!("{:.3e} operations", cost.backward_flops));
        line(
            "limit",
            if cost.flops() / peak_flops > cost.bytes / peak_bandwidth {
                "arithmetic".into()
            } else {
                "memory".into()
            },
        );
    }
    println!("{t}");
    Ok(Done::Ok)
}

fn threads(args: &Bench) -> usize {
    args.place.threads.unwrap_or_else(rayon::current_num_threads)
}

/// Operations a second of a matrix product on each thread: the best of a few runs.
fn peak_flops<T: Real>(args: &Bench) -> Result<f64> {
    let (m, tasks) = (384, threads(args));
    let a = vec![T::one(); m * m];
    let mut c = vec![T::zero(); m * m * tasks];
    let pool = pool(args)?;
    let run = |c: &mut [T]| {
        let t = Instant::now();
        // One on each thread: what is left to stealing may run on one.
        let places: Vec<_> = c.chunks_mut(m * m).map(Mutex::new).collect();
        pool.broadcast(|thread| {
            let mut c = places[thread.index()].lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..8 {
                gemm(&mut c, false, T::one(), Mat::new(&a, m, m), Mat::new(&a, m, m));
            }
        });
        (8 * tasks * 2 * m * m * m) as f64 / t.elapsed().as_secs_f64()
    };
    Ok((0..8).map(|_| run(&mut c)).fold(0.0, f64::max))
}

/// Bytes a second read and written by a copy much larger than the caches: the best of a few runs.
fn peak_bandwidth(args: &Bench) -> Result<f64> {
    let n = 32 << 20;
    let from = vec![1.0f32; n];
    let mut to = vec![0.0f32; n];
    let pool = pool(args)?;
    let part = n.div_ceil(threads(args));
    let mut run = || {
        let t = Instant::now();
        pool.install(|| {
            to.par_chunks_mut(part)
                .zip(from.par_chunks(part))
                .for_each(|(t, f)| t.copy_from_slice(f));
        });
        (8 * n) as f64 / t.elapsed().as_secs_f64()
    };
    Ok((0..4).map(|_| run()).fold(0.0, f64::max))
}

fn pool(args: &Bench) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads(args))
        .build()
        .map_err(|e| Error::Running(e.to_string()))
}
