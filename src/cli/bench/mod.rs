//! `lvq bench`: the time of one training step on made data, and what share of the machine it uses.

mod other;
mod peaks;

use super::Done;
use super::args::Bench;
use super::input::{assignment, device, set};
use super::output::{json, table};
use crate::backend::{Backend, DeviceRequest, Problem, Rows, Samples};
use crate::data::made::{gaussian_blobs, gaussian_blobs_mapped};
use crate::error::{Error, Result};
use crate::model::parameter::from_text;
use crate::model::start::{self, Given};
use crate::model::{Model, Sizes, cost};
use crate::parts::composition::Precision;
use crate::train::Training;
use peaks::{Held, peak_bandwidth, peak_flops, peak_responsibilities};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
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
    if args.batch.is_some_and(|rows| rows == 0 || rows > args.rows) {
        return Err(Error::parameter("--batch", "must be at least 1, and at most the rows"));
    }
    for (option, given, what) in [
        ("--batch", args.batch.is_some(), "step"),
        ("--explain", args.explain, "step"),
        ("--metric", args.metric.is_some(), "distances"),
    ] {
        if given && args.what != what {
            return Err(Error::parameter(option, format!("goes with --what {what}")));
        }
    }
    if args.what == "distances" {
        if args.mmap {
            return Err(Error::parameter("--mmap", "goes with --what step or predict"));
        }
        return other::distances(&args);
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
    let before = Held::now();
    let make = if args.mmap { gaussian_blobs_mapped } else { gaussian_blobs };
    let data = make(args.rows, args.features, args.classes, training.random_seed)?;
    let labels = data.labels.as_ref().ok_or_else(|| Error::data("made data has labels"))?;
    if args.what == "predict" {
        return other::predict(&args, &model, &training, &data, &*backend);
    }
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
        // A step among many.
        passes: if args.batch.is_none() { usize::MAX } else { 0 },
    })?;
    if rule && args.batch.is_some() {
        let why = format!("{} has an update rule, which takes all rows", model.name());
        return Err(Error::parameter("--batch", why));
    }
    let mut step = |rows: Rows<'_>| -> Result<()> {
        if rule {
            session.rule(rows, training.lr).map(drop)
        } else if session.step(rows, training.lr, &|_| 1.0, false)? {
            Ok(())
        } else {
            let loss = session.gradient(rows, 1.0)?;
            session.update(training.lr, &|_| 1.0, rows, loss)
        }
    };
    // Mini-batches: rows in an order of their own; what is timed is all of them, over their number.
    let mut order: Vec<u32> = match args.batch {
        None => Vec::new(),
        Some(_) => (0..args.rows as u32).collect(),
    };
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(training.random_seed));
    let batches: Vec<Rows<'_>> = match args.batch {
        None => vec![Rows::TRAINING],
        Some(size) => {
            let batch = |rows| Rows { indices: Some(rows), ..Rows::TRAINING };
            order.chunks_exact(size).map(batch).collect()
        }
    };
    // Two steps make whatever is made once; the system needs a while longer until the threads have a core each.
    let warm = Instant::now();
    for (count, rows) in batches.iter().cycle().enumerate() {
        if count >= 2 && warm.elapsed().as_secs_f64() > 0.2 {
            break;
        }
        step(*rows)?;
    }
    let mut seconds = Vec::with_capacity(args.steps);
    for _ in 0..args.steps {
        let t = Instant::now();
        batches.iter().try_for_each(|rows| step(*rows))?;
        seconds.push(t.elapsed().as_secs_f64() / batches.len() as f64);
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let rows = args.batch.unwrap_or(args.rows);
    let held = Held::now().zip(before).map(|(now, before)| now.since(before));

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
    let cost = cost::step(&composition, [rows, args.features, p, sizes.classes, l], size);
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
        "batch": rows,
        "features": args.features,
        "classes": sizes.classes,
        "prototypes": p,
        "precision": training.precision.name(),
        "steps": args.steps,
        "mmap": args.mmap,
        "seconds_per_step": median,
        "fastest": seconds[0],
        "slowest": seconds[seconds.len() - 1],
        "rows_per_second": rows as f64 / median,
        "flops_per_step": cost.flops(),
        "bytes_per_step": cost.bytes,
        "arithmetic": arithmetic,
        "peak_flops": peak_flops,
        "peak_bandwidth": peak_bandwidth,
        "share_of_peak_flops": flops_rate / peak_flops,
        "share_of_peak_bandwidth": byte_rate / peak_bandwidth,
        "share_of_roofline": roofline / median,
        "share_of_roofline_of_fastest": roofline / seconds[0],
    });
    // The model of a step is one of the CPU, and of all rows at once.
    let mut predicted = None;
    if args.explain && backend.info().name == "cpu" && args.batch.is_none() {
        let responsibilities = match training.precision {
            Precision::F64 => peak_responsibilities::<f64>(&args)?,
            _ => peak_responsibilities::<f32>(&args)?,
        };
        let threads = peaks::threads(&args);
        let [flops, responsibilities] =
            [peak_flops, responsibilities].map(|rate| rate / threads as f64);
        let machine = cost::Machine { threads, flops, responsibilities };
        let sizes = [rows, args.features, p, sizes.classes, l];
        let of_step = cost::predict(&composition, sizes, size, machine, args.mmap);
        report["predicted"] = json!({
            "seconds": of_step.seconds,
            "bytes": of_step.bytes,
            "responsibilities_per_second": responsibilities * threads as f64,
        });
        predicted = Some(of_step);
    }
    if args.explain {
        report["resident_bytes"] = json!(held.map(|held| held.resident));
        report["anonymous_bytes"] = json!(held.map(|held| held.anonymous));
    }
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
    line("rows per second", format!("{:.3e}", rows as f64 / median));
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
    // (The limits are the best of some runs each.)
    let [of_median, of_fastest] = [median, seconds[0]].map(|seconds| 100.0 * roofline / seconds);
    line(
        "roofline",
        format!(
            "{of_median:.1} % of the lower of the two limits, {of_fastest:.1} % by the fastest step"
        ),
    );
    if args.explain {
        line("parts", model.row().parts().join(" > "));
        if let Some(plan) = &plan {
            line("step", plan.choice.clone());
            let launches = plan.launches.iter();
            let text = launches.map(|(kernel, [x, y, z], _)| format!("{kernel} [{}]", x * y * z));
            line("launches", text.collect::<Vec<_>>().join(" > "));
        }
        if let Some(predicted) = predicted {
            let (ms, ratio) = (1e3 * predicted.seconds, predicted.seconds / median);
            let mib = predicted.bytes / f64::from(1 << 20);
            let text = format!("{ms:.3} ms ({ratio:.2} of that measured), {mib:.1} MiB of memory");
            line("predicted", text);
        }
        if let Some(held) = held {
            let [resident, anonymous] =
                [held.resident, held.anonymous].map(|bytes| bytes as f64 / f64::from(1 << 20));
            line("held", format!("{resident:.1} MiB, {anonymous:.1} MiB of it not pages of files"));
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
