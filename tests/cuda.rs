//! What a CUDA device does beside computing: faults, data larger than its memory, the order of copies and launches.
//!
//! Two devices stand for one: `cuda-host`, which can be told to fail, and `cuda:0` of a driver library made for tests (`tests/libcuda.c`),
//! which runs the kernels' host build behind the calls of the real driver.
#![cfg(all(feature = "cuda", target_os = "linux"))]

mod common;

use common::{data, random, relative, required};
use lvq::backend::cuda::{host, open_several, open_with, open_within};
use lvq::backend::{Backend, DeviceRequest, Kernels, open};
use lvq::train::Checkpoint;
use lvq::{Cpu, Dataset, Error, Extras, Features, Fitted, Labels, Model, Training};
use ndarray::Array2;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The device, or nothing after saying that there is none.
fn device(options: &host::Options) -> Option<Box<dyn Backend>> {
    host::open_with(options).inspect_err(|why| missing(&why.to_string())).ok()
}

fn missing(why: &str) {
    assert!(!required(host::NAME), "{} is required: {why}", host::NAME);
    println!("{} is not tested: {why}", host::NAME);
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

fn model(name: &str) -> Model {
    Model::new(name).unwrap()
}

/// Bytes of memory of which the features of [`large`] take more than half.
const SMALL: u64 = 460_000;

/// Several chunks of rows, the last one short.
fn large() -> Dataset {
    table(4_000, 16)
}

fn small() -> host::Options {
    host::Options { memory_bytes: Some(SMALL), ..host::Options::default() }
}

/// What goes through streamed rows in some way: a name, a model and how it is trained.
fn streaming() -> Vec<(&'static str, Model, Training)> {
    let best = Training { restore_best: true, ema_decay: Some(0.9), ..training(2) };
    let batches = Training { batch_size: Some(1_500), ..training(2) };
    let weighted = training(2).set("class_weight", "balanced").unwrap();
    let mut all: Vec<_> =
        ["GMLVQ", "SMNG", "SVQOCC", "LVQ1"].map(|name| (name, model(name), training(2))).into();
    all.push(("best", model("GMLVQ"), best));
    all.push(("batches", model("GMLVQ"), batches));
    all.push(("weights", model("GLVQ"), weighted));
    all
}

/// Trains as the CPU does on rows that go through the device in chunks.
fn streams(device: &dyn Backend, all: &Dataset) {
    for (what, model, t) in streaming() {
        let a = t.fit(&model, all, &Cpu::default()).unwrap();
        let b = t.fit(&model, all, device).unwrap();
        let error = relative(&b.record.loss_history, &a.record.loss_history, 1e-3);
        assert!(error < 1e-4, "{what}: history off by {error:e}");
        for t in &a.tensors.list {
            let error = relative(b.tensors.values(&t.name), &t.data, 1e-3);
            assert!(error < 1e-3, "{what}: {} off by {error:e}", t.name);
        }
    }
}

#[test]
fn data_larger_than_the_device_is_streamed() {
    let Some(device) = device(&small()) else { return };
    let all = large();
    streams(&*device, &all);
    let rule = Training { max_iter: 2, ..Training::default() };
    let text = rule.fit(&model("MedianLVQ"), &all, &*device).unwrap_err().to_string();
    assert!(text.contains("cuda-host") && text.contains("256000 bytes"), "{text}");
}

/// The same on a GPU, where there is one.
#[test]
fn a_gpu_streams_what_it_has_no_room_for() {
    let device = match open_within(0, Kernels::Tuned, small().memory_bytes) {
        Ok(device) => device,
        Err(why) => {
            assert!(!required("cuda"), "cuda is required: {why}");
            println!("cuda:0 is not tested: {why}");
            return;
        }
    };
    let all = large();
    streams(&*device, &all);
}

#[test]
fn out_of_memory_says_what_was_needed_and_what_there_is() {
    let tiny = host::Options { memory_bytes: Some(20_000), ..host::Options::default() };
    let Some(device) = device(&tiny) else { return };
    let error = training(2).fit(&model("GLVQ"), &table(500, 16), &*device).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cuda-host") && text.contains("out of memory"), "{text}");
    assert!(text.contains("bytes are needed") && text.contains("of 20000"), "{text}");
    // The device is as good as before.
    training(2).fit(&model("GLVQ"), &table(30, 2), &*device).unwrap();
}

/// A device lost in mid-training: an error that says so, and the last checkpoint goes on elsewhere to the same bits.
#[test]
fn a_lost_device_leaves_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ckpt");
    let (all, model) = (table(200, 4), model("GMLVQ"));
    let Some(sound) = device(&host::Options::default()) else { return };
    let whole = training(40).fit(&model, &all, &*sound).unwrap();
    let mut lost = 0;
    for after in [3, 15, 25, 35] {
        let faulty = host::Options { lost_after: Some(after), ..host::Options::default() };
        let _ = std::fs::remove_file(&path);
        let checkpoint = Some(Checkpoint { path: path.clone(), every: 5 });
        let t = Training { checkpoint, ..training(40) };
        match device(&faulty).map(|device| t.fit(&model, &all, &*device)).unwrap() {
            Err(error @ Error::Device { .. }) => {
                let text = error.to_string();
                assert!(text.contains("cuda-host") && text.contains("lost"), "{text}");
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

/// Folders with driver libraries: a whole one, and one that lacks a function.
struct Library {
    folder: tempfile::TempDir,
}

impl Library {
    fn build() -> Result<Self, String> {
        if let Some(why) = host::missing() {
            return Err(format!("the kernels were not built for the host: {why}"));
        }
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libcuda.c");
        let kernels = Path::new(env!("OUT_DIR")).join("liblvq_cuda_host.a");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        for (name, define) in [("whole", "-DWHOLE"), ("old", "-DWITHOUT")] {
            let into = folder.path().join(name);
            std::fs::create_dir(&into).map_err(|e| e.to_string())?;
            let mut words = compiler.split_whitespace();
            let output = Command::new(words.next().ok_or("CC is empty")?)
                .args(words)
                .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"])
                .args([Path::new(define), &source])
                .args([Path::new("-Wl,--whole-archive"), &kernels])
                .args(["-Wl,--no-whole-archive", "-lpthread", "-lm", "-ldl", "-o"])
                .arg(into.join("libcuda.so"))
                .output()
                .map_err(|e| format!("{compiler}: {e}"))?;
            if !output.status.success() {
                // A compiler that is there and refuses the source is a mistake in it.
                panic!("{}", String::from_utf8_lossy(&output.stderr));
            }
            std::fs::copy(into.join("libcuda.so"), into.join("libcuda.so.1"))
                .map_err(|e| e.to_string())?;
        }
        Ok(Library { folder })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The driver libraries for tests, or nothing after saying why there are none.
fn library() -> Option<&'static Library> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(Library::build).as_ref().inspect_err(|why| missing(why)).ok()
}

/// What a program sees of the machine.
type Settings<'a> = &'a [(&'a str, &'a str)];

fn start(program: &Path, args: &[&str], driver: &Path, settings: Settings) -> Output {
    let output = Command::new(program)
        .args(args)
        .env("LD_LIBRARY_PATH", driver)
        .env_remove("LVQ_VULKAN_VALIDATION")
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("panicked") && output.status.code().is_some(), "{args:?}: {text}");
    output
}

fn lvq(args: &[&str], driver: &Path, settings: Settings) -> Output {
    start(Path::new(env!("CARGO_BIN_EXE_lvq")), args, driver, settings)
}

/// Runs one of the jobs below in a program of its own, which sees the driver library for tests.
fn run(job: &str, driver: &Path, settings: Settings) {
    let program = std::env::current_exe().unwrap();
    let settings = [settings, &[(JOB, job)]].concat();
    let args = ["--exact", "child", "--nocapture"];
    let output = start(&program, &args, driver, &settings);
    let (said, failed) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(DONE), "{job} with {settings:?}: {said}{failed}");
}

const JOB: &str = "LVQ_TEST_CUDA_JOB";
const DONE: &str = "the job is done";

/// Not a test by itself: the program that `run` starts.
#[test]
fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    match job.as_str() {
        "same" => same(),
        "streamed" => streamed(),
        "one streamed" => one_streamed(),
        "shared" => shared(),
        "lost" => lost(),
        "several" => several(),
        "all are one" => {
            assert_eq!(open(DeviceRequest::CudaAll, None).unwrap().info().name, "cuda:0")
        }
        "sum fails" => sum_fails(),
        "no sums" => no_sums(),
        other => panic!("{other}"),
    }
    println!("{DONE}");
}

fn assert_same_bits(
    what: &str,
    (a, b): (&dyn Backend, &dyn Backend),
    f: impl Fn(&dyn Backend) -> Fitted,
) {
    let (a, b) = (f(a), f(b));
    assert_eq!(a.record.loss_history, b.record.loss_history, "{what}");
    assert!(a.tensors == b.tensors, "{what}");
}

fn same() {
    let all = table(150, 5);
    for (kernels, names) in [
        (Kernels::Tuned, &["GLVQ", "GMLVQ", "SMNG", "MedianLVQ"][..]),
        (Kernels::Naive, &["GRLVQ", "CBC"]),
    ] {
        let cuda = open_with(0, kernels).unwrap();
        let host = host::open(kernels, host::Order::Ascending).unwrap();
        for name in names {
            let batches = Training { batch_size: Some(40), ..training(3) };
            let search = Training { optimizer: "lbfgs".into(), ..training(3) };
            let rule = Training { max_iter: 3, ..Training::default() };
            let ways =
                if *name == "MedianLVQ" { vec![rule] } else { vec![training(5), batches, search] };
            for t in &ways {
                let fit = |on: &dyn Backend| t.fit(&model(name), &all, on).unwrap();
                assert_same_bits(name, (&*cuda, &*host), fit);
            }
            let fitted = ways[0].fit(&model(name), &all, &*host).unwrap();
            let distances = |on: &dyn Backend| fitted.on(on).unwrap().distances(&all.features);
            assert_eq!(distances(&*cuda).unwrap(), distances(&*host).unwrap(), "{name}");
        }
    }
}

fn streamed() {
    let all = large();
    let (cuda, host) = (open_with(0, Kernels::Tuned).unwrap(), device(&small()).unwrap());
    for (what, model, t) in streaming() {
        assert_same_bits(what, (&*cuda, &*host), |on| t.fit(&model, &all, on).unwrap());
    }
}

fn one_streamed() {
    let cuda = open_with(0, Kernels::Tuned).unwrap();
    training(2).fit(&model("GLVQ"), &large(), &*cuda).unwrap();
}

fn shared() {
    let (all, cuda) = (table(300, 5), open_with(0, Kernels::Tuned).unwrap());
    let fit = || training(5).fit(&model("GMLVQ"), &all, &*cuda).unwrap();
    let alone = fit();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert!(fit().tensors == alone.tensors));
        }
    });
}

/// After the device is lost everything says so, nothing panics, and the rest of the program goes on.
fn lost() {
    let all = large();
    let cuda = open_with(0, Kernels::Tuned).unwrap();
    let (sound, whole) = (table(30, 2), training(20));
    let fitted = training(1).fit(&model("GLVQ"), &sound, &*cuda).unwrap();
    let asked = fitted.on(&*cuda).unwrap();
    for _ in 0..2 {
        let text = whole.fit(&model("GLVQ"), &all, &*cuda).unwrap_err().to_string();
        assert!(text.starts_with("device cuda:0: ") && text.contains("is lost"), "{text}");
    }
    for error in [
        asked.distances(&sound.features).err(),
        fitted.on(&*cuda).err(),
        open_with(0, Kernels::Tuned).err(),
    ] {
        assert!(
            matches!(&error, Some(Error::Device { device, .. }) if device == "cuda:0"),
            "{error:?}"
        );
    }
    drop((asked, cuda));
    training(2).fit(&model("GLVQ"), &all, &Cpu::default()).unwrap();
}

/// Two devices whose sums NCCL adds up do to the bit what two do whose sums the host adds up.
fn several() {
    let cuda = open("cuda:all".parse().unwrap(), None).unwrap();
    assert_eq!(cuda.info().name, "cuda:0,1");
    let host = host::open_several(&vec![host::Options::default(); 2]).unwrap();
    let all = table(151, 5);
    let batches = Training { batch_size: Some(40), ..training(3) };
    let search = Training { optimizer: "lbfgs".into(), ..training(3) };
    for (name, t) in [
        ("GLVQ", training(5)),
        ("GMLVQ", batches),
        ("GMLVQ", search),
        ("SVQOCC", training(3)),
        ("LVQ1", training(3)),
    ] {
        let fit = |on: &dyn Backend| t.fit(&model(name), &all, on).unwrap();
        assert_same_bits(name, (&*cuda, &*host), fit);
        let fitted = fit(&*host);
        let distances = |on: &dyn Backend| fitted.on(on).unwrap().distances(&all.features);
        assert_eq!(distances(&*cuda).unwrap(), distances(&*host).unwrap(), "{name}");
    }
    // In another order, and by two threads at a time.
    let other = open_several(&[1, 0], Kernels::Naive).unwrap();
    let fit = || training(4).fit(&model("GMLVQ"), &all, &*other).unwrap();
    let alone = fit();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert!(fit().tensors == alone.tensors));
        }
    });
}

/// A sum that fails ends the run; the devices are of no further use together, and each alone is.
fn sum_fails() {
    let all = table(60, 3);
    let two = open_several(&[0, 1], Kernels::Tuned).unwrap();
    let fit = |on: &dyn Backend| training(9).fit(&model("GLVQ"), &all, on);
    let text = fit(&*two).unwrap_err().to_string();
    assert!(text.starts_with("device cuda:1: NCCL: the sum over the devices: "), "{text}");
    assert!(text.contains("unhandled cuda error (1)"), "{text}");
    let text = fit(&*two).unwrap_err().to_string();
    assert!(text.starts_with("device cuda:0,1: a sum over the devices has failed"), "{text}");
    fit(&*open_with(0, Kernels::Tuned).unwrap()).unwrap();
}

/// What stands in the way of sums is said when the devices are opened; one device needs none.
fn no_sums() {
    let wanted = std::env::var("LVQ_TEST_CUDA_WANTED").unwrap();
    let text = open_several(&[0, 1], Kernels::Tuned).err().unwrap().to_string();
    assert!(text.starts_with("device cuda:0,1: "), "{text}");
    assert!(wanted.split('|').all(|part| text.contains(part)), "{text}");
    let text = open_several(&[0, 2], Kernels::Tuned).err().unwrap().to_string();
    assert!(text.starts_with("device cuda:2: there is no such device"), "{text}");
    training(2).fit(&model("GLVQ"), &table(9, 2), &*open_with(1, Kernels::Tuned).unwrap()).unwrap();
}

/// A folder with the driver library and an NCCL made for tests (`tests/libnccl.c`), whole or lacking a function; or with files in its place
/// that are no libraries, so that one of this machine is not found.
fn with_nccl(library: &Library, nccl: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::fs::copy(library.at("whole").join(name), folder.path().join(name)).unwrap();
    }
    let Some(define) = nccl else {
        for name in ["libnccl.so", "libnccl.so.2"] {
            std::fs::write(folder.path().join(name), "no library").unwrap();
        }
        return folder;
    };
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = compiler.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", define])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libnccl.c"))
        .arg(folder.path().join("libcuda.so"))
        .arg("-o")
        .arg(folder.path().join("libnccl.so.2"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

const TWO: (&str, &str) = ("FAKE_CUDA_DEVICES", "2");

#[test]
fn nccl_is_called_as_it_wants_to_be() {
    let Some(library) = library() else { return };
    let folder = with_nccl(library, Some("-DWHOLE"));
    run("several", folder.path(), &[TWO]);
    run("sum fails", folder.path(), &[TWO, ("FAKE_NCCL_SUMS", "3")]);

    let (rows, out) = (data("iris.csv"), folder.path().join("model.safetensors"));
    let (rows, out) = (rows.to_str().unwrap(), out.to_str().unwrap());
    let args = ["train", rows, "--device", "cuda:0,1", "--model", "GLVQ", "--out", out];
    let output = lvq(&args, folder.path(), &[TWO]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(Fitted::load(Path::new(out)).unwrap().record.device, "cuda:0,1");
}

#[test]
fn what_stands_in_the_way_of_nccl_is_said() {
    let Some(library) = library() else { return };
    let missing = with_nccl(library, None);
    let wanted = |parts| ("LVQ_TEST_CUDA_WANTED", parts);
    let install = wanted("libnccl.so.2|libnccl2|nvidia-nccl-cu13|LD_LIBRARY_PATH|cuda:0");
    run("no sums", missing.path(), &[TWO, install]);
    // One device adds nothing up.
    run("all are one", missing.path(), &[]);
    let old = with_nccl(library, Some("-DWITHOUT"));
    run("no sums", old.path(), &[TWO, wanted("too old|ncclGetErrorString")]);
    let apart = with_nccl(library, Some("-DWHOLE"));
    let settings =
        [TWO, ("FAKE_NCCL_INIT", "fails"), wanted("ncclCommInitAll|unhandled system error (2)")];
    run("no sums", apart.path(), &settings);
}

/// Through the calls of the driver the kernels do what they do without them.
#[test]
fn the_driver_is_called_as_it_wants_to_be() {
    let Some(library) = library() else { return };
    run("same", &library.at("whole"), &[]);
    run("shared", &library.at("whole"), &[]);
}

/// Streamed rows arrive in time, and are not overwritten before they were used, however late or early the copies are done.
#[test]
fn copies_and_launches_keep_their_order() {
    let Some(library) = library() else { return };
    let memory = SMALL.to_string();
    for copies in ["late", "early"] {
        let settings = [("FAKE_CUDA_MEMORY", memory.as_str()), ("FAKE_CUDA_COPIES", copies)];
        run("streamed", &library.at("whole"), &settings);
    }
}

/// Chunks go on a stream of their own, after the launches that used their memory and before those that will, while others run.
#[test]
fn copies_overlap_launches() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let memory = SMALL.to_string();
    let settings =
        [("FAKE_CUDA_MEMORY", memory.as_str()), ("FAKE_CUDA_LOG", log.to_str().unwrap())];
    run("one streamed", &library.at("whole"), &settings);
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let copy = lines.iter().find_map(|l| l.strip_prefix("copy page-locked on stream ")).unwrap();
    let graph = lines.iter().find_map(|l| l.strip_prefix("graph on stream ")).unwrap();
    assert_ne!(copy, graph);

    let (mut copies, mut beside, mut running) = (0, 0, false);
    for (i, line) in lines.iter().enumerate() {
        if line.starts_with("graph on stream ") {
            assert_eq!(line.strip_prefix("graph on stream "), Some(graph));
            running = true;
        } else if *line == format!("wait for stream {graph}") {
            running = false;
        } else if line.starts_with("copy page-locked") {
            assert_eq!(line.strip_prefix("copy page-locked on stream "), Some(copy));
            copies += 1;
            beside += usize::from(running);
            // Before it the copy waits for what used its memory, which the launches tell.
            let used = event(lines[i - 1], "wait for", copy).expect(lines[i - 1]);
            let record = format!("record event {used} on stream {graph}");
            assert!(lines[..i].contains(&record.as_str()));
            // After it launches wait for the copy, and tell when they are done.
            let copied = event(lines[i + 1], "record", copy).expect(lines[i + 1]);
            let wait = format!("wait for event {copied} on stream {graph}");
            let rest = &lines[i + 2..];
            let at = rest.iter().position(|l| **l == wait).expect("no launch waits for a copy");
            let again = format!("record event {copied} on stream {copy}");
            assert!(!rest[..at].contains(&again.as_str()), "memory is written twice for one use");
            assert!(rest[at + 1].starts_with("graph on") && rest[at + 2] == record, "{rest:?}");
        }
    }
    assert!(copies >= 10, "{copies} copies");
    // All but the first chunk of each pass.
    assert!(2 * beside > copies, "{beside} of {copies} beside launches");
}

/// The event that a line of the log is about, which says `what` of it on a stream.
fn event<'l>(line: &'l str, what: &str, stream: &str) -> Option<&'l str> {
    line.strip_prefix(what)?.strip_prefix(" event ")?.strip_suffix(&format!(" on stream {stream}"))
}

#[test]
fn a_lost_device_is_an_error_everywhere() {
    let Some(library) = library() else { return };
    let memory = SMALL.to_string();
    for after in ["15", "31", "100"] {
        let settings = [("FAKE_CUDA_MEMORY", memory.as_str()), ("FAKE_CUDA_LAUNCHES", after)];
        run("lost", &library.at("whole"), &settings);
    }
}

/// Each fault that is there at the start: what the user reads, the exit status, and no file.
#[test]
fn the_command_says_what_is_wrong_with_the_device() {
    let Some(library) = library() else { return };
    let (whole, old) = (library.at("whole"), library.at("old"));
    let none = library.at("none");
    let _ = std::fs::create_dir(&none);
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::fs::write(none.join(name), "not a library").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("m.safetensors");
    let (iris, out_text) = (data("iris.csv"), out.to_str().unwrap());
    let train = |device: &str, driver: &Path, settings: Settings| {
        let iris = iris.to_str().unwrap();
        let args = ["train", iris, "--model", "GLVQ", "--device", device, "--out", out_text];
        let args = [&args[..], &["--max-iter", "3"]].concat();
        let got = lvq(&args, driver, settings);
        (got.status.code(), String::from_utf8_lossy(&got.stderr).into_owned())
    };
    let faults: [(&str, &Path, Settings, &[&str]); 9] = [
        ("cuda:0", &none, &[], &["libcuda.so", "not installed"]),
        ("cuda:0", &old, &[], &["too old", "cuGraphInstantiateWithFlags"]),
        ("cuda:0", &whole, &[("FAKE_CUDA_DEVICES", "0")], &["no GPU is visible"]),
        ("cuda:7", &whole, &[], &["no such device", "has 1"]),
        ("cuda:0", &whole, &[("FAKE_CUDA_CAPABILITY", "70")], &["7.0", "7.5 is needed"]),
        (
            "cuda:0",
            &whole,
            &[("FAKE_CUDA_VERSION", "11040")],
            &["PTX", "for CUDA 11.4", "newer driver"],
        ),
        (
            "cuda:0",
            &whole,
            &[("FAKE_CUDA_MEMORY", "9000")],
            &["bytes are needed", "of 9000 are free", "CUDA_ERROR_OUT_OF_MEMORY"],
        ),
        ("cuda:0", &whole, &[("FAKE_CUDA_WRONG", "1")], &["do not compute"]),
        ("cuda:0", &whole, &[("FAKE_CUDA_LAUNCHES", "0")], &["CUDA_ERROR_LAUNCH_FAILED"]),
    ];
    for (device, driver, settings, words) in faults {
        let (code, text) = train(device, driver, settings);
        assert_eq!(code, Some(2), "{settings:?}: {text}");
        for word in [&[device][..], words].concat() {
            assert!(text.contains(word), "{settings:?}, '{word}': {text}");
        }
    }
    assert!(!out.exists());
    let (code, text) = train("cuda:0", &whole, &[]);
    assert_eq!(code, Some(0), "{text}");

    // `auto` takes the device where it can do the work, and passes over one that cannot.
    let list = |driver: &Path, settings: Settings| -> serde_json::Value {
        let got = lvq(&["devices", "--json"], driver, settings);
        assert!(got.status.success());
        let list: serde_json::Value = serde_json::from_slice(&got.stdout).unwrap();
        let mut list = list.as_array().unwrap().clone();
        list.retain(|d| d["name"] == "cuda:0");
        list.pop().unwrap_or_default()
    };
    let sound = list(&whole, &[]);
    assert_eq!((&sound["auto"], &sound["trains"]), (&true.into(), &true.into()), "{sound}");
    for settings in [("FAKE_CUDA_CAPABILITY", "61"), ("FAKE_CUDA_VERSION", "11040")] {
        let device = list(&whole, &[settings]);
        assert_eq!(
            (&device["auto"], &device["trains"]),
            (&false.into(), &false.into()),
            "{device}"
        );
        let (code, text) = train("auto", &whole, &[settings]);
        assert_eq!(code, Some(0), "{text}");
    }
    for (driver, word) in [(&none, "not installed"), (&old, "cuGraphInstantiateWithFlags")] {
        assert!(list(driver, &[]).is_null());
        let got = lvq(&["devices"], driver, &[]);
        let text = String::from_utf8_lossy(&got.stdout) + String::from_utf8_lossy(&got.stderr);
        assert!(got.status.success() && text.contains(word), "{text}");
    }
}

/// Launches that fail in mid-training: exit status 1, and the checkpoint goes on to the same bits as a run that was never disturbed.
#[test]
fn the_command_goes_on_from_the_checkpoint_of_a_device_that_failed() {
    let Some(library) = library() else { return };
    let driver = library.at("whole");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (iris, whole, rest, checkpoint) =
        (data("iris.csv"), file("whole"), file("rest"), file("run.ckpt"));
    let args =
        ["train", iris.to_str().unwrap(), "--model", "GMLVQ", "--max-iter", "40", "--device"];
    let train = |more: &[&str], settings: Settings| {
        let got = lvq(&[&args[..], more].concat(), &driver, settings);
        (got.status.code(), String::from_utf8_lossy(&got.stderr).into_owned())
    };
    assert_eq!(train(&["cuda:0", "--out", &whole], &[]).0, Some(0));
    let saves = ["--checkpoint", &checkpoint, "--checkpoint-every", "5"];
    let more = [&["cuda:0", "--out", &rest][..], &saves].concat();
    let (code, text) = train(&more, &[("FAKE_CUDA_LAUNCHES", "25")]);
    assert_eq!(code, Some(1), "{text}");
    for word in ["device cuda:0: ", "CUDA_ERROR_LAUNCH_FAILED", "is lost", "--resume", &checkpoint]
    {
        assert!(text.contains(word), "'{word}': {text}");
    }
    assert!(!Path::new(&rest).exists());
    let half = Fitted::load(Path::new(&checkpoint)).unwrap();
    assert!(half.n_iter() >= 5 && half.n_iter() < 40, "{}", half.n_iter());
    // On the processor, and on the device to the same bits.
    let on = |device: &str| train(&[device, "--resume", &checkpoint, "--out", &rest], &[]);
    let (code, text) = on("cpu");
    assert_eq!(code, Some(0), "{text}");
    let cpu = Fitted::load(Path::new(&rest)).unwrap();
    let (code, text) = on("cuda:0");
    assert_eq!(code, Some(0), "{text}");
    let load = |path: &str| Fitted::load(Path::new(path)).unwrap();
    assert!(load(&rest).tensors == load(&whole).tensors);
    let (a, b) = (cpu.record.loss_history, load(&whole).record.loss_history);
    assert!(relative(&a, &b, 1e-3) < 1e-3);
}

/// The host's page-locked memory may be short where the device's is not.
#[test]
fn too_little_page_locked_memory_is_an_error() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("large.csv");
    let mut text = String::from("a,b,c,d,e,f,g,h,label\n");
    for (i, row) in random(3, 8 * 4_000).chunks_exact(8).enumerate() {
        let row: Vec<String> = row.iter().map(|v| format!("{v:.3}")).collect();
        text.push_str(&format!("{},{}\n", row.join(","), i % 2));
    }
    std::fs::write(&csv, text).unwrap();
    let args = ["train", csv.to_str().unwrap(), "--model", "GLVQ", "--device", "cuda:0"];
    let settings = [("FAKE_CUDA_MEMORY", "240000"), ("FAKE_CUDA_PINNED", "1000")];
    let got = lvq(&args, &library.at("whole"), &settings);
    let text = String::from_utf8_lossy(&got.stderr);
    assert!(got.status.code().is_some_and(|c| c == 1 || c == 2), "{text}");
    assert!(text.contains("cuda:0") && text.contains("page-locked bytes"), "{text}");
}
