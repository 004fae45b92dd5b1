//! The command line, as `command-line` scripts use it: every command, JSON fields, files, exit status.

mod common;

use common::{Case, data, devices, golden_folder, relative};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn lvq(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lvq")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn ok(args: &[&str]) -> Output {
    let output = lvq(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The one JSON value on standard output.
fn json(args: &[&str]) -> Value {
    let output = ok(args);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", String::from_utf8_lossy(&output.stdout)))
}

/// A failing call: its status and what it says; one line, no backtrace.
fn fails(args: &[&str]) -> (i32, String) {
    let output = lvq(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{args:?} succeeded");
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().unwrap(), text)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }
}

fn file(name: &str) -> String {
    data(name).to_str().unwrap().to_string()
}

#[test]
fn train_evaluate_predict_inspect() {
    let folder = Folder::new();
    let (digits, model) = (file("digits.csv"), folder.text("m.safetensors"));
    let report = json(&[
        "train",
        &digits,
        "--model",
        "gmlvq",
        "--holdout",
        "0.2",
        "--out",
        &model,
        "--json",
    ]);
    for key in ["model", "device", "loss", "epochs", "converged", "seconds", "accuracy", "out"] {
        assert!(report.get(key).is_some(), "no {key} in {report}");
    }
    assert_eq!(report["model"], "GMLVQ");
    assert_eq!(report["held_out_rows"], 359);
    let held_out = report["held_out_accuracy"].as_f64().unwrap();
    assert!(held_out >= 0.95, "held-out accuracy {held_out}");

    let evaluation = json(&["evaluate", &model, &digits, "--holdout", "--json"]);
    assert_eq!(evaluation["accuracy"].as_f64().unwrap(), held_out);
    assert_eq!(evaluation["classes"].as_array().unwrap().len(), 10);
    let confusion = evaluation["confusion_matrix"].as_array().unwrap();
    let total: u64 =
        confusion.iter().flat_map(|r| r.as_array().unwrap()).map(|v| v.as_u64().unwrap()).sum();
    assert_eq!(total, 359);
    assert!(evaluation["balanced_accuracy"].as_f64().unwrap() > 0.9);

    // Labels, probabilities, distances and rejections, as CSV and .npy.
    let out = folder.text("labels.csv");
    let report = json(&["predict", &model, &digits, "--out", &out, "--json"]);
    assert_eq!(report["rows"], 1797);
    let labels = std::fs::read_to_string(&out).unwrap();
    assert_eq!(labels.lines().next(), Some("label"));
    assert_eq!(labels.lines().count(), 1798);
    let proba = String::from_utf8(ok(&["predict", &model, &digits, "--proba"]).stdout).unwrap();
    assert_eq!(proba.lines().next(), Some("0,1,2,3,4,5,6,7,8,9"));
    let sum: f64 =
        proba.lines().nth(1).unwrap().split(',').map(|v| v.parse::<f64>().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6);
    let out = folder.text("distances.npy");
    ok(&["predict", &model, &digits, "--distances", "--out", &out]);
    let bytes = std::fs::read(&out).unwrap();
    assert!(
        bytes.starts_with(b"\x93NUMPY")
            && String::from_utf8_lossy(&bytes[..128]).contains("(1797, 40)")
    );
    let rejected =
        String::from_utf8(ok(&["predict", &model, &digits, "--reject", "0.9"]).stdout).unwrap();
    assert!(rejected.lines().filter(|l| *l == "-1").count() > 100);

    let out = folder.text("z.csv");
    ok(&["transform", &model, &digits, "--out", &out]);
    let z = std::fs::read_to_string(&out).unwrap();
    assert_eq!(z.lines().next().unwrap().split(',').count(), 64);

    let inspection = json(&["inspect", &model, "--json"]);
    assert_eq!(inspection["model"], "GMLVQ");
    assert_eq!(inspection["relevances"].as_array().unwrap().len(), 64);
    assert!(String::from_utf8(ok(&["inspect", &model]).stdout).unwrap().contains("omega"));
}

#[test]
fn text_labels_go_all_the_way() {
    let folder = Folder::new();
    let (iris, model) = (file("iris.csv"), folder.text("m.safetensors"));
    ok(&[
        "train",
        &iris,
        "--model",
        "GLVQ",
        "--prototypes",
        "setosa=1,versicolor=2,virginica=3",
        "--out",
        &model,
        "--quiet",
    ]);
    let inspection = json(&["inspect", &model, "--json"]);
    assert_eq!(inspection["classes"][1], "versicolor");
    assert_eq!(inspection["prototype_labels"].as_array().unwrap().len(), 6);
    // Standard input, with and without the label column.
    let csv = std::fs::read_to_string(&iris).unwrap();
    let bare: String =
        csv.lines().map(|l| format!("{}\n", l.rsplit_once(',').unwrap().0)).collect();
    let mut answers = Vec::new();
    for input in [csv, bare] {
        use std::io::Write;
        let mut child = Command::new(env!("CARGO_BIN_EXE_lvq"))
            .args(["predict", &model, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        answers.push(child.wait_with_output().unwrap().stdout);
    }
    assert_eq!(answers[0], answers[1]);
    assert!(String::from_utf8_lossy(&answers[0]).contains("virginica"));
    let out = folder.text("labels.npy");
    ok(&["predict", &model, &iris, "--out", &out]);
    assert!(String::from_utf8_lossy(&std::fs::read(&out).unwrap()[..64]).contains("<U10"));
}

/// A golden case through the command line alone: gradient, training, history, final tensors.
#[test]
fn golden_cases_through_files() {
    let folder = Folder::new();
    for name in ["GMLVQ", "LGMLVQ-latent2", "RSLVQ", "CBC", "GRLVQ-sigmoid"] {
        let path = golden_folder().join(format!("{name}.safetensors"));
        let case = Case::read(&path);
        let source = path.to_str().unwrap();
        let init = folder.text("init.safetensors");
        write_init(&case, Path::new(&init));
        let mut set = Vec::new();
        for (key, value) in case.case["hyperparameters"].as_object().unwrap() {
            set.push(format!("{key}={value}"));
        }
        if let Some(t) = case.case["transfer"].as_str().filter(|t| *t != "default") {
            set.push(format!("transfer_fn={t}"));
        }
        let mut which = vec!["--model", case.model(), "--init", &init, "--precision", "f64"];
        set.iter().for_each(|s| which.extend(["--set", s]));
        let out = folder.text("gradient.safetensors");
        let mut args = vec!["gradient", source, "--json", "--out", &out];
        args.extend(&which);
        let loss = json(&args)["loss"].as_f64().unwrap();
        assert!(relative(&[loss], case.get("loss").unwrap(), 0.0) < 1e-9, "{name}");
        let gradient = lvq::model::container::tensors_from(Path::new(&out)).unwrap();
        for expected in &case.group("grad/").list {
            let got = gradient.get(&format!("grad/{}", expected.name)).unwrap();
            assert!(relative(&got.data, &expected.data, 0.0) < 1e-9, "{name} {}", expected.name);
        }
        let (model, history) = (folder.text("m.safetensors"), folder.text("history.csv"));
        let mut args = vec![
            "train",
            source,
            "--epsilon",
            "0",
            "--out",
            &model,
            "--history",
            &history,
            "--json",
        ];
        args.extend(&which);
        json(&args);
        let text = std::fs::read_to_string(&history).unwrap();
        assert!(text.starts_with("epoch,loss,learning_rate,seconds\n1,"), "{text}");
        let losses: Vec<f64> =
            text.lines().skip(1).map(|l| l.split(',').nth(1).unwrap().parse().unwrap()).collect();
        assert!(relative(&losses, case.get("history").unwrap(), 0.0) < 1e-7, "{name}");
        let tensors = lvq::model::container::tensors_from(Path::new(&model)).unwrap();
        for expected in &case.group("final/").list {
            let got = tensors.get(&expected.name).unwrap();
            assert!(relative(&got.data, &expected.data, 0.0) < 1e-6, "{name} {}", expected.name);
        }
    }
}

/// Start tensors of a case as a plain safetensors file, scalars as shape (1).
fn write_init(case: &Case, path: &Path) {
    use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
    let mut tensors: Vec<(String, Vec<usize>, Dtype, Vec<u8>)> = case
        .group("init/")
        .list
        .into_iter()
        .map(|t| {
            let bytes = t.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            (t.name, t.shape, Dtype::F64, bytes)
        })
        .collect();
    let labels = case.get("prototype_labels").unwrap();
    let bytes = labels.iter().flat_map(|v| (*v as i64).to_le_bytes()).collect();
    tensors.push(("prototype_labels".into(), vec![labels.len()], Dtype::I64, bytes));
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, shape, dtype, bytes)| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        })
        .collect();
    serialize_to_file(views, None, path).unwrap();
}

#[test]
fn configuration_files_and_flags() {
    let folder = Folder::new();
    let config = folder.text("job.toml");
    std::fs::write(
        &config,
        format!(
            "data = '{}'\nmodel = 'GMLVQ'\nmax-iter = 7\nlr = 0.03\nepsilon = 0\nprototypes = 2\n\
         optimizer = 'adamw'\n[optimizer_kwargs]\nweight_decay = 0.01\n[set]\nlatent_dim = 2\n",
            file("iris.csv")
        ),
    )
    .unwrap();
    let (a, b) = (folder.text("a.safetensors"), folder.text("b.safetensors"));
    let report = json(&["train", "--config", &config, "--out", &a, "--json"]);
    assert_eq!(report["epochs"], 7);
    let inspection = json(&["inspect", &a, "--json"]);
    assert_eq!(inspection["training"]["lr"], 0.03);
    assert_eq!(inspection["training"]["optimizer_kwargs"]["weight_decay"], 0.01);
    assert_eq!(inspection["hyper_parameters"]["latent_dim"], 2);
    // Flags win.
    let report = json(&["train", "--config", &config, "--max-iter", "3", "--out", &b, "--json"]);
    assert_eq!(report["epochs"], 3);
    std::fs::write(&config, "modle = 'GMLVQ'\n").unwrap();
    let (status, text) =
        fails(&["train", &file("iris.csv"), "--model", "GLVQ", "--config", &config]);
    assert_eq!(status, 2);
    assert!(text.contains("modle"), "{text}");
}

#[test]
fn every_model_trains_from_the_command_line() {
    let models = json(&["models", "--json"]);
    for row in models.as_array().unwrap() {
        let name = row["name"].as_str().unwrap();
        let lr = if name == "MedianLVQ" { "0.01" } else { "0.05" };
        let report = json(&[
            "train",
            &file("wine.csv"),
            "--model",
            name,
            "--standardize",
            "--lr",
            lr,
            "--json",
        ]);
        let accuracy = report["accuracy"].as_f64().unwrap();
        // One-class models know the majority class only, two rows in five.
        let least = match () {
            _ if name.starts_with("OC") => 0.5,
            // Thresholds start on the scale of the plain distance, which the metric need not have.
            _ if name.starts_with("SVQ") => 0.3,
            _ if name == "CBC" => 0.8,
            _ => 0.9,
        };
        assert!(accuracy > least, "{name}: {accuracy}");
        for key in ["name", "family", "parameters", "tensors", "paper"] {
            assert!(row.get(key).is_some());
        }
    }
}

/// A model of one's own through the command: trained, described, saved, asked.
#[test]
fn composed_models() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.safetensors").to_str().unwrap().to_string();
    // The further hyper-parameters may come first: the parts are set before them.
    let report = json(&[
        "train",
        &file("wine.csv"),
        "--model",
        "compose",
        "--set",
        "gamma_final=0.05",
        "--set",
        "latent_dim=3",
        "--set",
        "metric=omega",
        "--set",
        "spread=true",
        "--set",
        "cooperation=ranks_own",
        "--standardize",
        "--lr",
        "0.05",
        "--out",
        &path,
        "--json",
    ]);
    assert!(report["accuracy"].as_f64().unwrap() > 0.95, "{report}");
    let evaluated = json(&["evaluate", &path, &file("wine.csv"), "--json"]);
    assert_eq!(evaluated["accuracy"], report["accuracy"]);
    let text = String::from_utf8(ok(&["inspect", &path]).stdout).unwrap();
    assert!(text.contains("omega + spread > ranks(own class) > glvq"), "{text}");
    let text = String::from_utf8(ok(&["models", "compose"]).stdout).unwrap();
    assert!(text.contains("cooperation") && text.contains("ranks_own"), "{text}");
    let wine = file("wine.csv");
    let train = ["train", &wine, "--model", "compose", "--set"];
    let (code, text) = fails(&[&train[..], &["objective=rslvq"]].concat());
    assert!(code == 2 && text.contains("posterior"), "{text}");
    let (code, text) = fails(&[&train[..], &["metric=omgea"]].concat());
    assert!(code == 2 && text.contains("omega"), "{text}");
    // A hyper-parameter of parts that are not there.
    let (code, text) = fails(&[&train[..], &["sigma=0.5"]].concat());
    assert!(code == 2 && text.contains("sigma"), "{text}");
}

#[test]
fn one_class_models() {
    let folder = Folder::new();
    let (cancer, model) = (file("breast_cancer.csv"), folder.text("m.safetensors"));
    ok(&[
        "train",
        &cancer,
        "--model",
        "OCGMLVQ_NG",
        "--set",
        "target_label=benign",
        "--standardize",
        "--holdout",
        "0.3",
        "--out",
        &model,
        "--quiet",
    ]);
    let report = json(&["evaluate", &model, &cancer, "--holdout", "--json"]);
    assert!(report["roc_auc"].as_f64().unwrap() > 0.95, "{report}");
    assert_eq!(report["classes"], serde_json::json!(["benign", "malignant"]));
    assert!(report["true_positive_rate"].as_f64().unwrap() > 0.8);
    assert!(String::from_utf8(ok(&["evaluate", &model, &cancer]).stdout).unwrap().contains("ROC"));
    let scores = String::from_utf8(ok(&["predict", &model, &cancer, "--scores"]).stdout).unwrap();
    assert_eq!(scores.lines().next(), Some("score"));
    let scores: Vec<f64> = scores.lines().skip(1).map(|l| l.parse().unwrap()).collect();
    assert!(scores.iter().all(|s| (0.0..=1.0).contains(s)));
    let labels = String::from_utf8(
        ok(&[
            "predict",
            &model,
            &cancer,
            "--upper",
            "0.6",
            "--lower",
            "0.4",
            "--reject-label",
            "unsure",
        ])
        .stdout,
    )
    .unwrap();
    for (label, score) in labels.lines().skip(1).zip(&scores) {
        let expected = if *score >= 0.6 {
            "benign"
        } else if *score < 0.4 {
            "malignant"
        } else {
            "unsure"
        };
        assert_eq!(label, expected);
    }
    for (args, expected) in [
        (&["--reject", "0.5"][..], "--upper"),
        (&["--upper", "0.2", "--lower", "0.5"][..], "lower at most upper"),
        (&["--upper", "0.5", "--reject-label", "malignant"][..], "is a class"),
    ] {
        let mut call = vec!["predict", &model, &cancer];
        call.extend(args);
        let (status, text) = fails(&call);
        assert!(status == 2 && text.contains(expected), "{text}");
    }
    let (status, text) =
        fails(&["train", &cancer, "--model", "OCGLVQ", "--set", "target_label=rose"]);
    assert!(status == 2 && text.contains("benign"), "{text}");
}

#[test]
fn the_table_of_the_readme_is_the_catalogue() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let table = String::from_utf8(ok(&["models", "--markdown"]).stdout).unwrap();
    assert!(
        readme.contains(table.trim()),
        "README.md: put the output of `lvq models --markdown` there"
    );
}

#[test]
fn models_devices_bench() {
    let text = String::from_utf8(ok(&["models", "gtlvq"]).stdout).unwrap();
    assert!(text.contains("subspace_dim") && text.contains("Saralajew"), "{text}");
    let devices = json(&["devices", "--json"]);
    let cpu = devices.as_array().unwrap().iter().find(|d| d["name"] == "cpu").unwrap();
    assert!(
        cpu["memory_bytes"].as_u64().unwrap() > 0
            && cpu["auto"] == true
            && cpu.get("kind").is_some()
    );
    ok(&["devices"]);
    let report = json(&[
        "bench",
        "--model",
        "GMLVQ",
        "--rows",
        "2000",
        "--features",
        "8",
        "--classes",
        "3",
        "--per-class",
        "2",
        "--steps",
        "3",
        "--json",
    ]);
    for key in [
        "model",
        "device",
        "rows",
        "features",
        "prototypes",
        "precision",
        "seconds_per_step",
        "rows_per_second",
        "flops_per_step",
        "bytes_per_step",
        "share_of_peak_flops",
        "share_of_peak_bandwidth",
    ] {
        assert!(report.get(key).is_some(), "no {key}");
    }
    ok(&["completions", "bash"]);
}

/// Beside steps, `bench` times mini-batches, inference and matrices of distances; and it predicts a step on the CPU.
#[test]
fn bench_times_more_than_steps() {
    let sizes = ["bench", "--rows", "600", "--features", "7", "--classes", "3", "--per-class", "2"];
    let with = |more: &[&'static str]| [&sizes[..], &["--steps", "3"], more].concat();
    let timed = |more: &[&'static str]| {
        let report = json(&with(&[more, &["--json", "--device", "cpu"]].concat()));
        assert!(report["seconds_per_step"].as_f64().unwrap() > 0.0, "{report}");
        report
    };
    assert_eq!(timed(&["--batch", "100"])["batch"], 100);
    assert_eq!(timed(&["--what", "predict", "--model", "RSLVQ"])["model"], "RSLVQ");
    for metric in ["squared_euclidean", "manhattan", "lp"] {
        assert_eq!(timed(&["--what", "distances", "--metric", metric])["prototypes"], 6);
    }
    timed(&["--what", "distances", "--metric", "lp", "--set", "p=3"]);
    ok(&with(&["--what", "distances", "--precision", "f64"]));
    let report = timed(&["--explain", "--model", "GMLVQ"]);
    for what in ["seconds", "bytes"] {
        assert!(report["predicted"][what].as_f64().unwrap() > 0.0, "{report}");
    }
    // 51 MB of features, in memory and not.
    let many: &[&str] = &["bench", "--rows", "200000", "--steps", "1", "--device", "cpu"];
    let held = |more: &[&str]| {
        let report = json(&[many, &["--explain", "--json"], more].concat());
        assert_eq!(report["mmap"], !more.is_empty());
        report["anonymous_bytes"].as_u64()
    };
    if cfg!(target_os = "linux") {
        let (made, mapped) = (held(&[]).unwrap(), held(&["--mmap"]).unwrap());
        assert!(made > 48 << 20 && mapped < 25 << 20, "{made} {mapped}");
    }
    for (more, told) in [
        (&["--what", "distances", "--mmap"][..], "--mmap"),
        (&["--batch", "601"], "--batch"),
        (&["--batch", "0"], "--batch"),
        (&["--batch", "10", "--model", "LVQ1"], "update rule"),
        (&["--batch", "10", "--what", "predict"], "--what step"),
        (&["--metric", "manhattan"], "--what distances"),
        (&["--what", "distances", "--metric", "omega"], "squared_euclidean"),
        (&["--what", "distances", "--set", "q=1"], "no q"),
        (&["--what", "distances", "--precision", "bf16"], "f32 or f64"),
        (&["--what", "distances", "--device", "vulkan"], "on the cpu"),
    ] {
        let (status, text) = fails(&with(more));
        assert!(status == 2 && text.contains(told), "{more:?}: {text}");
    }
}

/// Every model's step can be timed on every other device, and in the naive form of its kernels.
#[test]
fn every_model_can_be_timed_on_a_device() {
    let models = json(&["models", "--json"]);
    let names: Vec<&str> =
        models.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    let time = |name: &str, device: &str, kernels: &str| {
        let sizes = ["--rows", "60", "--features", "5", "--classes", "2", "--per-class", "1"];
        let mut args = vec!["bench", "--model", name, "--device", device, "--steps", "1"];
        args.extend(sizes);
        args.extend(["--kernels", kernels, "--json"]);
        let report = json(&args);
        assert!(report["device"].as_str().unwrap().starts_with(device), "{report}");
        assert!(report["seconds_per_step"].as_f64().unwrap() > 0.0, "{report}");
    };
    for (device, _) in devices().into_iter().filter(|(name, _)| name.contains(':')) {
        // The machine's limits are measured each time: two at once.
        std::thread::scope(|scope| {
            for half in names.chunks(names.len().div_ceil(2)) {
                let (time, device) = (&time, &device);
                scope.spawn(move || half.iter().for_each(|name| time(name, device, "tuned")));
            }
        });
        time("GMLVQ", &device, "naive");
    }
    let (status, text) = fails(&["bench", "--device", "cpu", "--kernels", "naive"]);
    assert!(status == 2 && text.contains("--kernels"), "{text}");
    for row in models.as_array().unwrap() {
        assert_eq!(row["devices"], serde_json::json!(["cpu", "vulkan", "cuda"]));
    }
}

/// The command on a GPU ends where it ends on the CPU: a file written on one is read on the other.
#[test]
fn a_device_by_name() {
    let folder = Folder::new();
    // What the command can name: not `cuda-host`.
    for (device, _) in devices().into_iter().filter(|(name, _)| name.contains(':')) {
        let name = device.split(':').next().unwrap().to_string();
        let (iris, model) = (file("iris.csv"), folder.text("m.safetensors"));
        let train = |device: &str, model: &str| {
            let args = ["train", &iris, "--model", "SMNG", "--out", model, "--json", "--device"];
            json(&[&args[..], &[device]].concat())
        };
        let there = train(&name, &model);
        assert_eq!(there["device"].as_str().unwrap(), device);
        let here = train("cpu", &folder.text("cpu.safetensors"));
        assert_eq!(there["accuracy"], here["accuracy"]);
        for on in ["cpu", &name] {
            let report = json(&["evaluate", &model, &iris, "--device", on, "--json"]);
            assert_eq!(report["accuracy"], there["accuracy"], "on {on}");
        }
        let (status, text) =
            fails(&["train", &iris, "--model", "GLVQ", "--device", &name, "--precision", "f64"]);
        assert!(status == 2 && text.contains("double precision"), "{text}");
    }
}

/// Wrong calls: exit status 2, the reason, the valid choices, and nothing written.
/// A file that is mapped gives what it gives when it is read, by flag and by configuration.
#[test]
fn mapped_features_give_the_same_bits() {
    use lvq::data::write::{npy_bytes, npy_bytes_of_texts};
    let folder = Folder::new();
    let iris = lvq::data::read(&data("iris.csv"), &Default::default()).unwrap();
    let lvq::Features::F64(x) = &iris.features else { panic!("a CSV is read in f64") };
    let names: Vec<String> =
        iris.labels.as_ref().unwrap().values().iter().map(|l| l.to_string()).collect();
    let [x_file, y_file, job] = ["x.npy", "y.npy", "job.toml"].map(|name| folder.text(name));
    std::fs::write(&x_file, npy_bytes(x.view().mapv(|v| v as f32).view())).unwrap();
    std::fs::write(&y_file, npy_bytes_of_texts(&names)).unwrap();
    std::fs::write(&job, "mmap = true").unwrap();
    let run = |model: &str, name: &str, more: &[&str]| {
        let out = folder.text(name);
        let args = ["--model", model, "--max-iter", "70", "--out", &out, "--json"];
        let data = ["train", &x_file, "--labels", &y_file, "--device", "cpu"];
        let report = json(&[&data[..], &args, more].concat());
        let mut tensors = lvq::model::container::read_container(Path::new(&out)).unwrap().0;
        assert!(tensors.remove("history/seconds").is_some());
        (report["loss"].clone(), report["accuracy"].clone(), tensors)
    };
    // (Rows of the first two that are read are kept turned as well for so many steps.)
    for model in ["RSLVQ", "GLVQ", "GMLVQ"] {
        for more in [&[][..], &["--batch-size", "40"], &["--standardize", "--holdout", "0.2"]] {
            let read = run(model, "read.safetensors", more);
            let flag = run(model, "flag.safetensors", &[more, &["--mmap"]].concat());
            assert!(flag == read, "{model} {more:?}");
            let job = run(model, "job.safetensors", &[more, &["--config", &job]].concat());
            assert!(job == read, "{model} {more:?}");
        }
    }
    let model = folder.text("read.safetensors");
    for args in [
        &["predict", &model, &x_file, "--distances"][..],
        &["predict", &model, &x_file],
        &["evaluate", &model, &x_file, "--labels", &y_file],
        &["gradient", &x_file, "--labels", &y_file, "--model", "GLVQ"],
    ] {
        assert_eq!(ok(args).stdout, ok(&[args, &["--mmap"]].concat()).stdout, "{args:?}");
    }
    let [read, mapped] = ["read.npy", "mapped.npy"].map(|name| folder.text(name));
    ok(&["transform", &model, &x_file, "--out", &read]);
    ok(&["transform", &model, &x_file, "--out", &mapped, "--mmap"]);
    assert_eq!(std::fs::read(read).unwrap(), std::fs::read(mapped).unwrap());
    // Every command asks for the mapping, which a CSV file cannot have.
    let csv = file("iris.csv");
    for args in [
        &["train", &csv, "--model", "GLVQ", "--mmap"][..],
        &["train", &csv, "--model", "GLVQ", "--config", &job],
        &["train", &x_file, "--labels", &y_file, "--model", "GLVQ", "--mmap", "--validation", &csv],
        &["predict", &model, &csv, "--mmap"],
        &["evaluate", &model, &csv, "--mmap"],
        &["transform", &model, &csv, "--out", &folder.text("z.npy"), "--mmap"],
        &["gradient", &csv, "--model", "GLVQ", "--mmap"],
    ] {
        let (status, text) = fails(args);
        assert!(status == 2 && text.contains("mmap: only .npy files can be mapped"), "{text}");
    }
}

#[test]
fn wrong_calls() {
    let folder = Folder::new();
    let (iris, out) = (file("iris.csv"), folder.text("never.safetensors"));
    let train = |more: &[&str]| {
        let mut args = vec!["train", &iris, "--out", &out];
        args.extend(more);
        fails(&args)
    };
    let table: Vec<(&[&str], &str)> = vec![
        (&["--model", "GMLQV"], "did you mean 'GMLVQ'"),
        (&[], "--model"),
        (&["--model", "GMLVQ", "--set", "latent_dmi=2"], "did you mean 'latent_dim'"),
        (&["--model", "GMLVQ", "--set", "latent_dim=0"], "latent_dim"),
        (&["--model", "GMLVQ", "--set", "latent_dim"], "KEY=VALUE"),
        (&["--model", "GLVQ", "--set", "sigma=2"], "not used by GLVQ"),
        (&["--model", "GTLVQ", "--set", "subspace_dim=4"], "below the number of features, 4"),
        (&["--model", "GLVQ", "--optimizer", "adma"], "did you mean 'adam'"),
        (&["--model", "GLVQ", "--schedule", "cosine"], "cosine_decay"),
        (&["--model", "GLVQ", "--lr", "-1"], "lr"),
        (&["--model", "GLVQ", "--lr", "nan"], "lr"),
        (&["--model", "GLVQ", "--max-iter", "0"], "max_iter"),
        (&["--model", "GLVQ", "--batch-size", "0"], "batch_size"),
        (&["--model", "GLVQ", "--freeze", "omega"], "valid: prototypes"),
        (&["--model", "GLVQ", "--lookahead", "0"], "sync_period"),
        (&["--model", "GLVQ", "--precision", "f8"], "f32, f64, bf16, f16"),
        (&["--model", "GLVQ", "--device", "gpu"], "cuda"),
        (&["--model", "GLVQ", "--device", "cuda:99"], "cuda:99"),
        (&["--model", "GLVQ", "--threads", "0"], "threads"),
        (&["--model", "GLVQ", "--prototypes", "setosa=2"], "versicolor"),
        (&["--model", "GLVQ", "--class-weight", "rose=2"], "setosa"),
        (&["--model", "GLVQ", "--target", "colour"], "colour"),
        (&["--model", "GLVQ", "--init", "/no/such/file.safetensors"], "/no/such/file"),
        (&["--model", "GLVQ", "--holdout", "1.5"], "holdout"),
        (&["--model", "GLVQ", "--folds", "5"], "--folds"),
        (&["--model", "GLVQ", "--resume", "/no/such/file"], "/no/such/file"),
        (&["--model", "GLVQ", "--checkpoint-every", "3"], "--checkpoint"),
        (&["--model", "GLVQ", "--history", "/no/such/folder/h.csv"], "/no/such/folder"),
        (&["--model", "GLVQ", "--mmap"], "mmap: only .npy files can be mapped; save the features"),
    ];
    for (args, expected) in table {
        let (status, text) = train(args);
        assert_eq!(status, 2, "{args:?}: {text}");
        assert!(text.contains(expected), "{args:?}: {text}");
        assert!(!Path::new(&out).exists(), "{args:?} wrote a file");
    }
    let (status, text) =
        fails(&["train", &iris, "--model", "GLVQ", "--out", "/no/such/folder/m.safetensors"]);
    assert!(status == 2 && text.contains("/no/such/folder"), "{text}");
    // Not in the order of the rows; a validation file is mapped as well.
    let turned = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/f8-fortran.npy");
    let (status, text) = fails(&["train", turned, "--labels", turned, "--model", "GLVQ", "--mmap"]);
    assert!(status == 2 && text.contains("f8-fortran.npy: cannot be mapped"), "{text}");
    let (status, text) = fails(&["train", "missing.csv", "--model", "GLVQ"]);
    assert!(status == 2 && text.contains("missing.csv"), "{text}");
}

#[test]
fn resumed_runs_must_be_the_same_run() {
    let folder = Folder::new();
    let (iris, ckpt) = (file("iris.csv"), folder.text("c.ckpt"));
    let (whole, rest) = (folder.text("whole.safetensors"), folder.text("rest.safetensors"));
    let base = [
        "--model",
        "GMLVQ",
        "--epsilon",
        "0",
        "--batch-size",
        "32",
        "--standardize",
        "--holdout",
        "0.3",
        "--quiet",
    ];
    let run = |more: &[&str]| {
        let mut args = vec!["train", &iris];
        args.extend(base);
        args.extend(more);
        lvq(&args)
    };
    assert!(run(&["--max-iter", "12", "--out", &whole]).status.success());
    assert!(run(&["--max-iter", "5", "--checkpoint", &ckpt]).status.success());
    assert!(
        run(&["--max-iter", "12", "--resume", &ckpt, "--threads", "1", "--out", &rest])
            .status
            .success()
    );
    let (a, b) = (
        lvq::Fitted::load(Path::new(&whole)).unwrap(),
        lvq::Fitted::load(Path::new(&rest)).unwrap(),
    );
    assert_eq!(a.tensors, b.tensors);
    assert_eq!(a.record.loss_history, b.record.loss_history);
    let table: Vec<(Vec<&str>, &str)> = vec![
        (vec!["--lr", "0.5"], "lr (checkpoint 0.01, now 0.5)"),
        (vec!["--optimizer", "sgd"], "optimizer"),
        (vec!["--set", "latent_dim=2"], "latent_dim"),
        (vec!["--seed", "3"], "random_seed"),
    ];
    for (more, expected) in table {
        let mut args = vec!["--resume", ckpt.as_str()];
        args.extend(more);
        let output = run(&args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let (status, text) = fails(&["train", &file("wine.csv"), "--resume", &ckpt]);
    assert!(status == 2, "{text}");
}

/// An interrupt finishes the step at hand, saves what was promised, and exits with 130; the run then goes on to the
/// same bits.
#[cfg(unix)]
#[test]
fn interrupts_save_and_continue() {
    let folder = Folder::new();
    let (digits, out, whole) =
        (file("digits.csv"), folder.text("m.safetensors"), folder.text("w.safetensors"));
    let base = [
        "train",
        &digits,
        "--model",
        "GMLVQ",
        "--epsilon",
        "0",
        "--batch-size",
        "16",
        "--max-iter",
        "30",
        "--quiet",
    ];
    let mut args = base.to_vec();
    args.extend(["--out", &whole]);
    ok(&args);
    for signal in ["INT", "TERM"] {
        let child = Command::new(env!("CARGO_BIN_EXE_lvq"))
            .args(base)
            .args(["--out", &out])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(700));
        Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            // The machine was fast: nothing was left to interrupt.
            continue;
        }
        assert_eq!(output.status.code(), Some(130), "{text}");
        assert!(text.contains("saved to"), "{text}");
        let mut args = base.to_vec();
        args.extend(["--resume", &out, "--out", &out]);
        ok(&args);
        let (a, b) = (
            lvq::Fitted::load(Path::new(&whole)).unwrap(),
            lvq::Fitted::load(Path::new(&out)).unwrap(),
        );
        assert_eq!(a.tensors, b.tensors);
        assert_eq!(a.record.loss_history, b.record.loss_history);
    }
}

/// A run killed at any moment resumes from its last checkpoint to the bits of one that was never killed.
#[cfg(unix)]
#[test]
fn killed_runs_resume_to_the_same_bits() {
    let folder = Folder::new();
    let (wine, ckpt, whole) =
        (file("wine.csv"), folder.text("c.ckpt"), folder.text("w.safetensors"));
    let base = [
        "train",
        &wine,
        "--model",
        "GTLVQ",
        "--standardize",
        "--epsilon",
        "0",
        "--batch-size",
        "8",
        "--max-iter",
        "150",
        "--ema",
        "0.9",
        "--restore-best",
        "--schedule",
        "cosine_decay",
        "--quiet",
    ];
    let mut args = base.to_vec();
    args.extend(["--out", &whole]);
    let began = std::time::Instant::now();
    ok(&args);
    let length = began.elapsed();
    let whole = lvq::Fitted::load(Path::new(&whole)).unwrap();
    // Ten moments over a run and a half, spread by the golden ratio.
    for i in 0..10 {
        let share = (0.1 + f64::from(i) * 0.618_034).fract() * 1.5;
        let _ = std::fs::remove_file(&ckpt);
        let mut args = base.to_vec();
        args.extend(["--checkpoint", &ckpt]);
        let mut child = Command::new(env!("CARGO_BIN_EXE_lvq")).args(&args).spawn().unwrap();
        std::thread::sleep(length.mul_f64(share));
        let _ = child.kill(); // SIGKILL
        child.wait().unwrap();
        let out = folder.text("m.safetensors");
        let mut args = base.to_vec();
        args.extend(["--out", &out]);
        if Path::new(&ckpt).exists() {
            args.extend(["--resume", &ckpt]);
        }
        ok(&args);
        let resumed = lvq::Fitted::load(Path::new(&out)).unwrap();
        assert_eq!(resumed.tensors, whole.tensors, "killed after {share:.2} of a run");
        assert_eq!(resumed.record.loss_history, whole.record.loss_history);
        let left: Vec<_> =
            std::fs::read_dir(folder.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        // A temporary file of the killed run may be left, but never a checkpoint that does not load.
        assert!(
            !Path::new(&ckpt).exists() || lvq::Fitted::load(Path::new(&ckpt)).is_ok(),
            "{left:?}"
        );
    }
}
