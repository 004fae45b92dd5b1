//! What a Vulkan device does beside computing: data larger than its memory, faults, sharing, the cache of pipelines.
#![cfg(feature = "vulkan")]

mod common;

use common::{data, random, relative, required, validation_is_silent};
use lvq::backend::vulkan::{Options, open_with};
use lvq::backend::{Backend, DeviceRequest, Kernels, open};
use lvq::train::Checkpoint;
use lvq::{Cpu, Dataset, Error, Extras, Features, Fitted, Labels, Model, Training};
use ndarray::Array2;
use std::path::Path;
use std::process::{Command, Output};

/// The first device with options, or nothing after saying that there is none.
fn device(options: &Options) -> Option<Box<dyn Backend>> {
    match open_with(0, options) {
        Ok(device) => Some(device),
        Err(why) => {
            assert!(!required("vulkan"), "vulkan is required: {why}");
            println!("vulkan is not tested: {why}");
            None
        }
    }
}

fn table(n: usize, d: usize) -> Dataset {
    let mut x = Array2::from_shape_vec((n, d), random(2, n * d)).unwrap();
    let y: Vec<i64> = (0..n).map(|i| (i % 3) as i64).collect();
    for (mut row, y) in x.rows_mut().into_iter().zip(&y) {
        row.mapv_inplace(|v| v + 0.3 * *y as f64 + 5.0);
    }
    Dataset::new(Features::from(x), Some(Labels::new(&y).unwrap())).unwrap()
}

fn training(max_iter: usize) -> Training {
    Training { max_iter, epsilon: 0.0, lr: 0.02, ..Training::default() }
}

fn assert_same(a: &Fitted, b: &Fitted, what: &str) {
    let error = relative(&b.record.loss_history, &a.record.loss_history, 1e-3);
    assert!(error < 1e-4, "{what}: history off by {error:e}");
    for t in &a.tensors.list {
        let error = relative(b.tensors.values(&t.name), &t.data, 1e-3);
        assert!(error < 1e-3, "{what}: {} off by {error:e}", t.name);
    }
}

/// Rows that do not fit are streamed: same model, whatever is asked of the session on the way.
#[test]
fn data_larger_than_the_device_is_streamed() {
    let small = Options { memory_bytes: Some(1_900_000), ..Options::default() };
    let Some(device) = device(&small) else { return };
    // 1,024,000 bytes of features: more than half of what is there.
    let (all, validation) = (table(16_000, 16), table(500, 16));
    let fit = |name: &str, t: &Training, on: &dyn Backend| {
        let model = Model::new(name).unwrap();
        let extras = Extras { validation: Some(&validation), ..Extras::default() };
        t.fit_with(&model, &all, on, extras).unwrap()
    };
    for name in
        ["GLVQ", "GMLVQ", "GTLVQ", "SMNG", "RSLVQ_NG", "OCGLVQ", "SVQOCC", "DKGLVQ", "CBC", "LVQ1"]
    {
        let t = training(4);
        assert_same(&fit(name, &t, &Cpu::default()), &fit(name, &t, &*device), name);
    }
    let batches = Training { batch_size: Some(5_000), ..training(2) };
    let best = Training { restore_best: true, ema_decay: Some(0.9), ..training(3) };
    let weighted = training(3).set("class_weight", "balanced").unwrap();
    for (what, t) in [("batches", batches), ("best", best), ("weights", weighted)] {
        assert_same(&fit("GMLVQ", &t, &Cpu::default()), &fit("GMLVQ", &t, &*device), what);
    }
    let naive = Options { kernels: Kernels::Naive, ..small };
    let other = open_with(0, &naive).unwrap();
    let t = training(3);
    assert_same(&fit("GRLVQ", &t, &Cpu::default()), &fit("GRLVQ", &t, &*other), "naive");
    // Median LVQ looks at all rows at once.
    let model = Model::new("MedianLVQ").unwrap();
    let rule = Training { max_iter: 2, ..Training::default() };
    let text = rule.fit(&model, &all, &*device).unwrap_err().to_string();
    assert!(text.contains("1024000 bytes"), "{text}");
    validation_is_silent();
}

#[test]
fn out_of_memory_says_what_was_needed_and_what_there_is() {
    let tiny = Options { memory_bytes: Some(20_000), ..Options::default() };
    let Some(device) = device(&tiny) else { return };
    let error = training(2).fit(&Model::new("GLVQ").unwrap(), &table(500, 16), &*device);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("vulkan:0") && text.contains("out of memory"), "{text}");
    assert!(text.contains("bytes are needed") && text.contains("of 20000"), "{text}");
    // The device is as good as before.
    let model = Model::new("GLVQ").unwrap();
    training(2).fit(&model, &table(30, 2), &*device).unwrap();
    validation_is_silent();
}

/// A device lost in mid-training: an error that says so, and the last checkpoint goes on elsewhere to the same bits.
#[test]
fn a_lost_device_leaves_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ckpt");
    let (all, model) = (table(200, 4), Model::new("GMLVQ").unwrap());
    let checkpoint = || Some(Checkpoint { path: path.clone(), every: 5 });
    let Some(sound) = device(&Options::default()) else { return };
    let whole = training(40).fit(&model, &all, &*sound).unwrap();
    let mut lost = 0;
    for after in [3, 15, 25, 35] {
        let faulty = Options { lost_after: Some(after), ..Options::default() };
        let _ = std::fs::remove_file(&path);
        let t = Training { checkpoint: checkpoint(), ..training(40) };
        let result = device(&faulty).map(|device| t.fit(&model, &all, &*device));
        match result.unwrap() {
            Err(error @ Error::Device { .. }) => {
                let text = error.to_string().to_lowercase();
                assert!(text.contains("vulkan:0") && text.contains("lost"), "{text}");
            }
            other => panic!("after {after}: {:?}", other.map(|f| f.n_iter())),
        }
        if path.exists() {
            lost += 1;
            let half = Fitted::load(&path).unwrap();
            assert!(half.n_iter() >= 5 && half.n_iter() < 40);
            let rest = training(40).resume(&half, &all, &*sound, Extras::default()).unwrap();
            assert!(rest.tensors == whole.tensors, "after {after}");
        }
    }
    assert!(lost >= 2, "no checkpoint was reached");
}

/// A run that leaves the range of numbers, found when the losses of its steps are read: the error names what, the last finite model is there.
#[test]
fn a_run_that_diverges_keeps_the_last_finite_model() {
    let Some(device) = device(&Options::default()) else { return };
    let all = table(200, 4);
    for batch_size in [None, Some(50)] {
        let t = Training { optimizer: "sgd".into(), lr: 1e30, batch_size, ..training(20) };
        match t.fit(&Model::new("GLVQ21").unwrap(), &all, &*device) {
            Err(Error::Diverged { last, .. }) => {
                let last = last.unwrap();
                assert!(last.tensors.list.iter().all(|t| t.data.iter().all(|v| v.is_finite())));
            }
            other => panic!("{:?}", other.map(|f| f.record.loss_history)),
        }
    }
    validation_is_silent();
}

#[test]
fn a_missing_index_is_an_error() {
    let error = open(DeviceRequest::Vulkan(999), None).err().unwrap();
    assert!(matches!(&error, Error::Device { device, .. } if device == "vulkan:999"), "{error}");
    if device(&Options::default()).is_some() {
        assert!(error.to_string().contains("found: "), "{error}");
    }
}

#[test]
fn several_threads_share_a_device() {
    let Some(device) = device(&Options::default()) else { return };
    let (all, model) = (table(300, 5), Model::new("GMLVQ").unwrap());
    let alone = training(10).fit(&model, &all, &*device).unwrap();
    let device = &*device;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let f = training(10).fit(&model, &all, device).unwrap();
                assert!(f.tensors == alone.tensors);
                let p = f.on(device).unwrap();
                let (a, b) = (p.distances(&all.features), p.distances(&all.features));
                assert_eq!(a.unwrap(), b.unwrap());
            });
        }
    });
    validation_is_silent();
}

/// Every kind of part once, at sizes that fit no tile: for the layer's check of each access against its buffer's bounds, which is slow
/// (see `.ci/run`).
#[test]
fn every_access_is_within_its_buffer() {
    if std::env::var_os("LVQ_VULKAN_BOUNDS").is_none() {
        println!("not run: it waits for LVQ_VULKAN_BOUNDS and the layer's check of bounds");
        return;
    }
    let all: &[&str] =
        &["GRLVQ", "GMLVQ", "LMRSLVQ", "GTLVQ", "SMNG", "CBC", "OCGLVQ_NG", "SVQOCC", "DKGMLVQ"];
    for (kernels, names) in [(Kernels::Tuned, all), (Kernels::Naive, &all[..2])] {
        let Some(device) = device(&Options { kernels, ..Options::default() }) else { return };
        for name in names {
            let model = Model::new(name).unwrap();
            let (data, given) = common::problem(&model, 67, 3, 2, 1);
            training(1).gradient(&model, &data, &given, &*device).unwrap();
        }
    }
    validation_is_silent();
}

fn lvq(args: &[&str], settings: &[(&str, &Path)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lvq"))
        .args(args)
        .env_remove("LVQ_VULKAN_VALIDATION")
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

/// Two processes on one device at a time: each gets what it gets alone.
#[test]
fn two_processes_share_a_device() {
    if device(&Options::default()).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let digits = data("digits.csv");
    let train = |out: &Path, seed: &str| {
        Command::new(env!("CARGO_BIN_EXE_lvq"))
            .args(["train", digits.to_str().unwrap(), "--model", "GMLVQ", "--device", "vulkan:0"])
            .args(["--max-iter", "40", "--seed", seed, "--out", out.to_str().unwrap()])
            .output()
            .unwrap()
    };
    let file = |name: &str| folder.path().join(name);
    for (name, seed) in [("alone1", "1"), ("alone2", "2")] {
        assert!(train(&file(name), seed).status.success());
    }
    std::thread::scope(|scope| {
        for (name, seed) in [("both1", "1"), ("both2", "2")] {
            let (out, train) = (file(name), &train);
            scope.spawn(move || assert!(train(&out, seed).status.success()));
        }
    });
    for (alone, both) in [("alone1", "both1"), ("alone2", "both2")] {
        let (a, b) = (Fitted::load(&file(alone)).unwrap(), Fitted::load(&file(both)).unwrap());
        assert!(a.tensors == b.tensors, "{both}");
    }
}

/// Compiled pipelines are found again; a file that is damaged is as good as none.
#[test]
fn pipelines_are_kept_on_disk() {
    if device(&Options::default()).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let iris = data("iris.csv");
    let args = ["train", iris.to_str().unwrap(), "--model", "GLVQ", "--device", "vulkan", "--json"];
    let run = |cache: &Path| {
        let out = lvq(&args, &[("LVQ_CACHE", cache)]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        report["accuracy"].as_f64().unwrap()
    };
    let first = run(&cache);
    let files: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let kept = std::fs::read(&files[0]).unwrap();
    assert_eq!(run(&cache), first);
    assert_eq!(std::fs::read(&files[0]).unwrap(), kept, "it was compiled again");
    for damaged in [kept[..kept.len() / 2].to_vec(), vec![0; 3], vec![7; kept.len()]] {
        std::fs::write(&files[0], damaged).unwrap();
        assert_eq!(run(&cache), first);
    }
    // A folder that cannot be written costs the cache and nothing else.
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    assert_eq!(run(&blocked.join("below")), first);
    assert_eq!(run(Path::new("off")), first);
    assert!(!Path::new("off").exists());
}

/// No loader, a loader without a driver, no such device: the command says what is missing and writes nothing.
#[cfg(target_os = "linux")]
#[test]
fn the_command_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("libvulkan.so.1"), "not a library").unwrap();
    let nowhere = Path::new("/nonexistent/driver.json");
    let out = folder.path().join("m.safetensors");
    let iris = data("iris.csv");
    let train = |device: &str, settings: &[(&str, &Path)]| {
        let (iris, out) = (iris.to_str().unwrap(), out.to_str().unwrap());
        let args = ["train", iris, "--model", "GLVQ", "--device", device, "--out", out];
        let got = lvq(&args, settings);
        assert_eq!(got.status.code(), Some(2), "{device}");
        String::from_utf8_lossy(&got.stderr).into_owned()
    };
    let text = train("vulkan", &[("LD_LIBRARY_PATH", folder.path())]);
    assert!(text.contains("vulkan:0") && text.contains("libvulkan.so.1"), "{text}");
    let text = train("vulkan", &[("VK_ICD_FILENAMES", nowhere), ("VK_DRIVER_FILES", nowhere)]);
    assert!(
        text.contains("vulkan:0") && (text.contains("driver") || text.contains("loader")),
        "{text}"
    );
    let text = train("vulkan:77", &[]);
    assert!(text.contains("vulkan:77"), "{text}");
    assert!(!out.exists());
}
