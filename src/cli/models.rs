//! `lvq models`, `lvq devices`, `lvq inspect`.

use super::Done;
use super::args::{Devices, Inspect, Models};
use super::output::{json, table};
use crate::backend;
use crate::error::Result;
use crate::model::catalogue::{CATALOGUE, Row, find};
use crate::model::parameter::{Parameter, plain};
use crate::model::{Fitted, Model};
use serde_json::{Value as Json, json};

pub fn run(args: Models) -> Result<Done> {
    let rows: Vec<&Row> = match &args.name {
        Some(name) => vec![find(name)?],
        None => CATALOGUE.iter().collect(),
    };
    if args.json {
        json(&Json::Array(rows.iter().map(|r| describe(r)).collect()));
    } else if args.markdown {
        println!("{}", markdown(&rows));
    } else if args.name.is_some() {
        one(rows[0]);
    } else {
        let mut t = table(&["model", "parts", "learns", "paper"]);
        let mut family = None;
        for r in rows {
            if family.replace(r.family) != Some(r.family) {
                t.add_row([format!("-- {} --", r.family.title())]);
            }
            t.add_row([r.name.to_string(), r.parts().join(" > "), tensors(r), r.paper.to_string()]);
        }
        println!(
            "{t}\n\nlvq models NAME shows one with its hyper-parameters; `lvq models compose` the parts of a model of your own"
        );
    }
    Ok(Done::Ok)
}

/// Kinds of devices that train and run every model.
const DEVICES: [&str; 3] = ["cpu", "vulkan", "cuda"];

fn tensors(row: &Row) -> String {
    row.tensors.iter().map(|t| format!("{} ({})", t.name, t.shape)).collect::<Vec<_>>().join(", ")
}

/// The table of the README.
fn markdown(rows: &[&Row]) -> String {
    let mut text = String::from(
        "| model | parts | learnable tensors | devices | paper |\n|---|---|---|---|---|",
    );
    for r in rows {
        text.push_str(&format!(
            "\n| {} | {} | {} | {} | {} |",
            r.name,
            r.parts().join(" > "),
            tensors(r),
            DEVICES.join(", "),
            r.paper
        ));
    }
    text
}

fn parameter(p: &Parameter) -> Json {
    json!({
        "name": p.name,
        "default": crate::model::parameter::from_text(p.default),
        "valid": p.kind.describe(),
        "meaning": p.meaning,
        "aliases": p.aliases,
    })
}

fn describe(r: &Row) -> Json {
    json!({
        "name": r.name,
        "family": r.family.key(),
        "summary": r.summary,
        "parts": r.parts(),
        "parameters": r.all_parameters().map(parameter).collect::<Vec<_>>(),
        "tensors": r.tensors.iter().map(|t| json!({"name": t.name, "shape": t.shape})).collect::<Vec<_>>(),
        "devices": DEVICES,
        "paper": r.paper,
    })
}

fn one(r: &Row) {
    println!("{}: {}", r.name, r.summary);
    println!("family   {}", r.family.title());
    println!("parts    {}", r.parts().join(" > "));
    println!("learns   {}", tensors(r));
    if !r.paper.is_empty() {
        println!("paper    {}", r.paper);
    }
    println!("devices  {}\n", DEVICES.join(", "));
    let mut t = table(&["hyper-parameter", "default", "valid", "meaning"]);
    for p in r.all_parameters() {
        t.add_row([
            p.name.to_string(),
            p.default.to_string(),
            p.kind.describe(),
            p.meaning.to_string(),
        ]);
    }
    println!("{t}");
}

pub fn devices(args: Devices) -> Result<Done> {
    let found = backend::Discovery::new();
    let choice = found.choose(backend::DeviceRequest::Auto, backend::runs_models)?;
    let (chosen, why) = (choice.device.name, choice.reason);
    if args.json {
        let list: Vec<Json> = found
            .devices
            .iter()
            .map(|d| {
                let mut v = serde_json::to_value(d).unwrap_or(Json::Null);
                v["auto"] = (d.name == chosen).into();
                v["trains"] = backend::runs_models(d).is_ok().into();
                v
            })
            .collect();
        json(&Json::Array(list));
        return Ok(Done::Ok);
    }
    let mut t = table(&["device", "kind", "hardware", "memory"]);
    for d in &found.devices {
        let memory = d
            .memory_bytes
            .map_or("-".into(), |b| format!("{:.1} GiB", b as f64 / (1u64 << 30) as f64));
        t.add_row([d.name.clone(), d.kind.to_string(), d.description.clone(), memory]);
    }
    println!("{t}");
    for d in found.devices.iter().filter(|d| d.name != "cpu") {
        let known = |key: &str| Some(format!("{key} {}", d.info.get(key)?));
        let keys = [
            "driver",
            "vulkan_version",
            "subgroup_size",
            "workgroup_size",
            "shared_memory_bytes",
            "buffer_bytes",
            "f16",
            "storage_16_bit",
            "atomic_f32_add",
            "compute_capability",
        ];
        let all: Vec<String> = keys.into_iter().filter_map(known).collect();
        println!("{}: {}", d.name, all.join(", "));
        if let Err(why) = backend::runs_models(d) {
            println!("{} runs no models: {why}", d.name);
        }
    }
    println!("\nauto takes {chosen}: {why}");
    for problem in &found.problems {
        println!("{problem}");
    }
    Ok(Done::Ok)
}

pub fn inspect(args: Inspect) -> Result<Done> {
    let f = Fitted::load(&args.model)?;
    let r = &f.record;
    let relevances: Option<Vec<f64>> = f.relevances().map(|v| v.to_vec()).or_else(|| {
        // The diagonal of the relevance matrix ranks the features of models with one map.
        let lambda = f.lambda_matrices();
        (lambda.len() == 1).then(|| lambda[0].diag().to_vec())
    });
    if args.json {
        json(&json!({
            "model": f.model.name(),
            "hyper_parameters": f.model.hyper_parameters(),
            "training": f.training,
            "precision": f.precision.name(),
            "classes": f.classes,
            "one_class": f.one_class,
            "thetas": f.thetas(),
            "prototype_labels": f.prototype_labels.iter().map(|c| &f.classes[*c as usize]).collect::<Vec<_>>(),
            "features": f.features(),
            "feature_names": f.feature_names,
            "standardized": f.scaler.is_some(),
            "tensors": f.tensors.list.iter().map(|t| json!({"name": t.name, "shape": t.shape})).collect::<Vec<_>>(),
            "relevances": relevances,
            "epochs": f.n_iter(),
            "loss": r.loss_history.last(),
            "record": r,
            "extra": f.extra,
            "can_resume": f.state.is_some(),
        }));
        return Ok(Done::Ok);
    }
    println!("{}: {}", f.model.name(), f.model.row().summary);
    println!("parts       {}", f.model.row().parts().join(" > "));
    println!("precision   {}", f.precision);
    println!(
        "classes     {}",
        f.classes.iter().map(|c| c.to_string()).collect::<Vec<_>>().join(", ")
    );
    println!(
        "features    {}{}",
        f.features(),
        if f.scaler.is_some() { " (standardized)" } else { "" }
    );
    println!(
        "iterations  {} ({})",
        f.n_iter(),
        if r.stopped_by.is_empty() { "checkpoint" } else { &r.stopped_by }
    );
    if let (Some(first), Some(last)) = (r.loss_history.first(), r.loss_history.last()) {
        println!("loss        {first:.6} -> {last:.6}");
    }
    println!("device      {}, {:.3} s, {} rows\n", r.device, r.seconds, r.rows);
    let mut t = table(&["tensor", "shape", "smallest", "largest"]);
    for tensor in &f.tensors.list {
        let least = tensor.data.iter().copied().fold(f64::INFINITY, f64::min);
        let most = tensor.data.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        t.add_row([
            tensor.name.clone(),
            format!("{:?}", tensor.shape),
            format!("{least:.4}"),
            format!("{most:.4}"),
        ]);
    }
    println!("{t}\n");
    let default = Model::new(f.model.name())?;
    let changed: Vec<String> = f
        .model
        .hyper_parameters()
        .iter()
        .filter(|(k, v)| default.get(k).as_ref() != Some(v))
        .map(|(k, v)| format!("{k} = {}", plain(v)))
        .collect();
    if !changed.is_empty() {
        println!("hyper-parameters  {}\n", changed.join(", "));
    }
    if let Some(values) = relevances {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        let mut t = table(&["feature", "relevance"]);
        for i in order.into_iter().take(20) {
            let name = f.feature_names.get(i).cloned().unwrap_or_else(|| i.to_string());
            t.add_row([name, format!("{:.6}", values[i])]);
        }
        println!("{t}");
    }
    for w in &r.warnings {
        println!("warning: {w}");
    }
    Ok(Done::Ok)
}
