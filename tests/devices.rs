//! What is found on this machine, and that each device finds the squared Euclidean distances that f64 finds (what else devices do is
//! tested in `conformance.rs`).
//!
//! `LVQ_REQUIRE_DEVICES=cpu,vulkan,cuda-host` (comma-separated, of cpu, vulkan, cuda, cuda-host) makes
//! the absence of a named device a failure; otherwise it is said and its tests are passed over.

mod common;

use common::required;
use lvq::backend::{Discovery, devices};

#[test]
fn required_devices_are_known() {
    let list = std::env::var("LVQ_REQUIRE_DEVICES").unwrap_or_default();
    for name in list.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        assert!(["cpu", "vulkan", "cuda", "cuda-host"].contains(&name), "unknown device '{name}'");
    }
}

#[test]
fn discovery_tells_what_is_there_and_what_is_missing() {
    let found = Discovery::new();
    for problem in &found.problems {
        println!("{problem}");
    }
    let names: Vec<&str> = found.devices.iter().map(|d| d.name.as_str()).collect();
    println!("{}", names.join(", "));
    assert_eq!(names[0], "cpu");
    for backend in ["cuda", "vulkan"] {
        let of_backend: Vec<&&str> = names.iter().filter(|n| n.starts_with(backend)).collect();
        let indices = (0..of_backend.len()).map(|i| format!("{backend}:{i}"));
        assert!(indices.eq(of_backend.iter().map(|n| n.to_string())), "{names:?}");
        // None of a sort, and no reason given, would leave the user in the dark.
        assert!(!of_backend.is_empty() || found.problems.iter().any(|p| p.backend == backend));
        assert!(!required(backend) || !of_backend.is_empty(), "{backend} is required");
    }
    let vulkan: Vec<_> = found.devices.iter().filter(|d| d.name.starts_with("vulkan")).collect();
    assert!(vulkan.is_sorted_by_key(|d| d.kind), "software before hardware");
    assert_eq!(devices(), found.devices);

    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["devices"][0]["name"], "cpu");
    assert_eq!(json["devices"][0]["kind"], "cpu");
}

/// What every device is held to.
#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod distances {
    use lvq::backend::{Backend, Question};
    use lvq::model::spec::Sizes;
    use lvq::parts::composition::{Composition, Precision};
    use lvq::parts::tensor::{Tensor, Tensors};
    use lvq::{Features, Model};
    use ndarray::{Array2, ArrayView2};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// (n, p, dim): below, at and beyond every tile (64 distances a side, 16 columns), and long in each direction.
    pub const SIZES: [(usize, usize, usize); 10] = [
        (1, 1, 1),
        (3, 5, 7),
        (16, 16, 16),
        (64, 64, 16),
        (65, 17, 33),
        (63, 129, 31),
        (257, 3, 129),
        (1, 130, 1),
        (2, 1, 1000),
        (700, 1, 2),
    ];

    pub fn matrix(rows: usize, columns: usize, offset: f32, rng: &mut ChaCha8Rng) -> Array2<f32> {
        Array2::from_shape_simple_fn((rows, columns), || offset + rng.random_range(-1.0f32..1.0))
    }

    fn composition(n: usize, d: usize, p: usize) -> Composition {
        let sizes = Sizes { n, d, p, classes: 1 };
        Model::new("GLVQ").unwrap().compose(sizes).unwrap()
    }

    /// Distances without a centre, in single precision.
    pub fn find(device: &dyn Backend, x: &Array2<f32>, w: &Array2<f32>) -> Array2<f64> {
        let (p, d) = w.dim();
        let mut tensors = Tensors::default();
        let values = w.iter().map(|v| f64::from(*v)).collect();
        tensors.insert(Tensor::new("prototypes", &[p, d], values));
        let question = Question {
            composition: &composition(x.nrows(), d, p),
            classes: 1,
            target: 0,
            prototype_labels: &vec![0; p],
            centre: &vec![0.0; d],
            tensors: &tensors,
            precision: Precision::F32,
        };
        device.predictor(question).unwrap().distances(&Features::from(x.clone())).unwrap()
    }

    /// Holds `d` to the distances in f64. Every term is a difference (one rounding), squared and added
    /// (two, or one where fused), and sums of squares cannot cancel: the relative error is at most
    /// (dim + 3) units of 2^-24, whatever the offset. One more unit is for the products of small terms.
    fn hold(device: &str, x: ArrayView2<f32>, w: ArrayView2<f32>, d: &Array2<f64>) {
        let (n, dim) = x.dim();
        assert_eq!(d.dim(), (n, w.nrows()));
        let tolerance = (dim as f64 + 4.0) * 2f64.powi(-24);
        for ((i, j), got) in d.indexed_iter() {
            let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            let want: f64 = x.row(i).iter().zip(w.row(j)).map(square).sum();
            let error = (got - want).abs();
            assert!(
                error <= tolerance * want,
                "{device}, {n} x {} x {dim}, ({i}, {j}): {got} for {want}",
                w.nrows()
            );
        }
    }

    /// The tests that every device must pass.
    pub fn exercise(name: &str, device: &dyn Backend) {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for (n, p, dim) in SIZES {
            for offset in [0.0, 1e4] {
                let x = matrix(n, dim, offset, &mut rng);
                let mut w = matrix(p, dim, offset, &mut rng);
                // A prototype that is a data point has distance 0 exactly.
                w.row_mut(p - 1).assign(&x.row(0));
                let d = find(device, &x, &w);
                hold(name, x.view(), w.view(), &d);
                assert_eq!(d[[0, p - 1]], 0.0);
                assert_eq!(d, find(device, &x, &w), "{name}: other bits");
            }
        }

        // No rows.
        let w = matrix(3, 5, 0.0, &mut rng);
        assert_eq!(find(device, &Array2::zeros((0, 5)), &w).dim(), (0, 3));
    }

    #[test]
    fn of_every_device_in_both_forms() {
        for (name, device) in super::common::devices_in_both_forms() {
            exercise(&name, &*device);
        }
        super::common::validation_is_silent();
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::common::required;
    use super::distances::{SIZES, exercise, find, matrix};
    use lvq::backend::cuda::host::{self, Order};
    use lvq::backend::{Backend, Kernels};
    use lvq::{DeviceRequest, Error, Model, Training};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// The device, or `None` after saying that it is missing; fails when it is required.
    fn host(kernels: Kernels, order: Order) -> Option<Box<dyn Backend>> {
        host::open(kernels, order)
            .inspect_err(|why| {
                assert!(!required(host::NAME), "{} is required: {why}", host::NAME);
                println!("{} is not tested: {why}", host::NAME);
            })
            .ok()
    }

    #[test]
    fn a_missing_index_is_an_error() {
        let error = lvq::backend::open(DeviceRequest::Cuda(999), None).err().unwrap();
        assert!(matches!(&error, Error::Device { device, .. } if device == "cuda:999"), "{error}");
    }

    /// The order in which threads run between barriers makes no difference.
    #[test]
    fn thread_order_does_not_matter() {
        for kernels in [Kernels::Tuned, Kernels::Naive] {
            let (Some(device), Some(other)) =
                (host(kernels, Order::Ascending), host(kernels, Order::Descending))
            else {
                return;
            };
            let mut rng = ChaCha8Rng::seed_from_u64(8);
            for (n, p, dim) in SIZES {
                let (x, w) = (matrix(n, dim, 0.0, &mut rng), matrix(p, dim, 0.0, &mut rng));
                assert_eq!(find(&*other, &x, &w), find(&*device, &x, &w));
            }
            for model in ["GLVQ", "GRLVQ", "GMLVQ", "GTLVQ", "SNG", "CBC", "SVQOCC"] {
                let model = Model::new(model).unwrap();
                let (data, given) = super::common::problem(&model, 150, 7, 3, 5);
                let step = |device| Training::default().gradient(&model, &data, &given, device);
                assert_eq!(step(&*device).unwrap(), step(&*other).unwrap(), "{}", model.name());
            }
        }
    }

    #[test]
    fn several_threads_run_kernels_at_once() {
        let Some(device) = host(Kernels::Tuned, Order::Ascending) else { return };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| exercise("cuda-host, shared", &*device));
            }
        });
    }

    /// Barriers, shuffles, votes, atomics and the rules of kernels/include/host.h, tried by kernels of
    /// their own.
    #[test]
    fn the_host_header_keeps_its_promises() {
        if host(Kernels::Tuned, Order::Ascending).is_none() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("host_header");
        let root = env!("CARGO_MANIFEST_DIR");
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let mut words = compiler.split_whitespace();
        let compiled = std::process::Command::new(words.next().unwrap())
            .args(words)
            .args(["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror"])
            .args(["-fno-exceptions", "-fno-rtti"])
            .arg(format!("-I{root}/kernels"))
            .arg(format!("{root}/tests/host_header.cpp"))
            .arg("-o")
            .arg(&program)
            .output()
            .unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let ran = std::process::Command::new(&program).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    }
}

/// What is missing on the machine is told, and the CPU is found all the same. Each case is this test
/// program again, with an environment in which something is missing.
#[cfg(all(feature = "cuda", feature = "vulkan", target_os = "linux"))]
mod faults {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    /// Set for the program that only prints what it finds.
    const CHILD: &str = "LVQ_TEST_PRINT_DISCOVERY";

    /// Not a test by itself: the program that `discover_with` starts.
    #[test]
    fn child() {
        if std::env::var_os(CHILD).is_some() {
            println!("JSON{}", serde_json::to_string(&Discovery::new()).unwrap());
        }
    }

    fn discover_with(settings: &[(&str, &Path)]) -> serde_json::Value {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::child", "--nocapture"])
            .env(CHILD, "1")
            .env_remove("LVQ_VULKAN_VALIDATION")
            .envs(settings.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("panicked"), "{text}{said}");
        let json = text.lines().find_map(|l| Some(l.split_once("JSON")?.1)).unwrap();
        serde_json::from_str(json).unwrap()
    }

    fn reason(found: &serde_json::Value, backend: &str) -> String {
        let problems = found["problems"].as_array().unwrap();
        let problem = problems.iter().find(|p| p["backend"] == backend).unwrap();
        problem["reason"].as_str().unwrap().to_string()
    }

    /// Libraries that cannot be opened stand in the way of the real ones.
    #[test]
    fn no_vulkan_loader_and_no_cuda_driver() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libvulkan.so.1", "libcuda.so", "libcuda.so.1"] {
            std::fs::write(folder.path().join(name), "not a library").unwrap();
        }
        let found = discover_with(&[("LD_LIBRARY_PATH", folder.path())]);
        assert!(reason(&found, "vulkan").contains("libvulkan.so.1"), "{found}");
        assert!(reason(&found, "cuda").contains("libcuda.so"), "{found}");
        assert_eq!(found["devices"].as_array().unwrap().len(), 1);
        assert_eq!(found["devices"][0]["name"], "cpu");
    }

    #[test]
    fn a_vulkan_loader_without_a_driver() {
        if Discovery::new().devices.iter().all(|d| !d.name.starts_with("vulkan")) {
            println!("vulkan is not tested: there is no device to hide");
            return;
        }
        let nowhere = Path::new("/nonexistent/driver.json");
        let found = discover_with(&[("VK_ICD_FILENAMES", nowhere), ("VK_DRIVER_FILES", nowhere)]);
        assert!(reason(&found, "vulkan").contains("driver"), "{found}");
        let devices = found["devices"].as_array().unwrap();
        assert!(devices.iter().all(|d| !d["name"].as_str().unwrap().starts_with("vulkan")));
    }
}
