//! Each device present finds the squared Euclidean distances that f64 finds.
//!
//! `LVQ_REQUIRE_DEVICES=cpu,vulkan,cuda-host` (comma-separated, of cpu, vulkan, cuda, cuda-host) makes
//! the absence of a named device a failure; otherwise it is said and its tests are passed over.

use lvq::backend::{Discovery, devices};

/// Whether `device` must be there.
fn required(device: &str) -> bool {
    let list = std::env::var("LVQ_REQUIRE_DEVICES").unwrap_or_default();
    list.split(',').any(|name| name.trim() == device)
}

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
mod yardstick {
    use super::required;
    pub use lvq::Error;
    use lvq::Result;
    pub use ndarray::Array2;
    use ndarray::{ArrayView2, s};
    use rand::RngExt;
    pub use rand::SeedableRng;
    pub use rand_chacha::ChaCha8Rng;

    /// `device`, or `None` after saying that it is missing; fails when it is required.
    pub fn present<T>(device: &str, opened: lvq::Result<T>) -> Option<T> {
        match opened {
            Ok(opened) => Some(opened),
            Err(why) => {
                assert!(!required(device), "{device} is required: {why}");
                println!("{device} is not tested: {why}");
                None
            }
        }
    }

    /// (n, p, dim): below, at and beyond every tile (64 distances a side, 32 on small devices, 16
    /// columns), and long in each direction.
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

    /// Holds `d` to the distances in f64. Every term is a difference (one rounding), squared and added
    /// (two, or one where fused), and sums of squares cannot cancel: the relative error is at most
    /// (dim + 3) units of 2^-24, whatever the offset. One more unit is for the products of small terms.
    fn hold(device: &str, x: ArrayView2<f32>, w: ArrayView2<f32>, d: &Array2<f32>) {
        let (n, dim) = x.dim();
        assert_eq!(d.dim(), (n, w.nrows()));
        let tolerance = (dim as f64 + 4.0) * 2f64.powi(-24);
        for ((i, j), got) in d.indexed_iter() {
            let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            let want: f64 = x.row(i).iter().zip(w.row(j)).map(square).sum();
            let error = (f64::from(*got) - want).abs();
            assert!(
                error <= tolerance * want,
                "{device}, {n} x {} x {dim}, ({i}, {j}): {got} for {want}",
                w.nrows()
            );
        }
    }

    /// The tests that every device must pass.
    pub fn exercise(
        device: &str,
        distances: impl Fn(ArrayView2<f32>, ArrayView2<f32>) -> Result<Array2<f32>>,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for (n, p, dim) in SIZES {
            for offset in [0.0, 1e4] {
                let x = matrix(n, dim, offset, &mut rng);
                let mut w = matrix(p, dim, offset, &mut rng);
                // A prototype that is a data point has distance 0 exactly.
                w.row_mut(p - 1).assign(&x.row(0));
                let d = distances(x.view(), w.view()).unwrap();
                hold(device, x.view(), w.view(), &d);
                assert_eq!(d[[0, p - 1]], 0.0);
                assert_eq!(d, distances(x.view(), w.view()).unwrap(), "{device}: other bits");
            }
        }

        // Views that are not row-major, and have gaps.
        let x = matrix(33, 40, 0.0, &mut rng);
        let w = matrix(20, 11, 0.0, &mut rng);
        let (x, w) = (x.slice(s![..;2, ..;-2]), w.t());
        hold(device, x, w, &distances(x, w).unwrap());

        // Nothing to do.
        assert_eq!(distances(x.slice(s![..0, ..]), w).unwrap().dim(), (0, 11));
        assert_eq!(distances(x, w.slice(s![..0, ..])).unwrap().dim(), (17, 0));
        let empty = distances(x.slice(s![.., ..0]), w.slice(s![.., ..0])).unwrap();
        assert_eq!(empty, Array2::<f32>::zeros((17, 11)));

        // A value that is no number stays in its row.
        let mut x = matrix(66, 5, 0.0, &mut rng);
        x[[65, 2]] = f32::NAN;
        let w = matrix(3, 5, 0.0, &mut rng);
        let d = distances(x.view(), w.view()).unwrap();
        assert!(d.row(65).iter().all(|v| v.is_nan()));
        assert!(d.slice(s![..65, ..]).iter().all(|v| v.is_finite()));

        let error = distances(x.view(), w.slice(s![.., ..4])).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::yardstick::*;
    use lvq::backend::cuda::CudaDevice;
    use lvq::backend::cuda::host::{self, CudaHost};

    #[test]
    fn distances() {
        let Some(device) = present("cuda", CudaDevice::open(0)) else { return };
        exercise("cuda", |x, w| device.distances(x, w));
    }

    #[test]
    fn a_missing_index_is_an_error() {
        let error = CudaDevice::open(999).unwrap_err();
        assert!(matches!(&error, Error::Device { device, .. } if device == "cuda:999"), "{error}");
    }

    #[test]
    fn distances_on_the_host() {
        let Some(device) = present(host::NAME, CudaHost::open()) else { return };
        exercise(host::NAME, |x, w| device.distances(x, w));
    }

    /// The order in which threads run between barriers makes no difference.
    #[test]
    fn thread_order_does_not_matter() {
        let Some(device) = present(host::NAME, CudaHost::open()) else { return };
        let other = device.clone().descending();
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        for (n, p, dim) in SIZES {
            let (x, w) = (matrix(n, dim, 0.0, &mut rng), matrix(p, dim, 0.0, &mut rng));
            let expected = device.distances(x.view(), w.view()).unwrap();
            assert_eq!(other.distances(x.view(), w.view()).unwrap(), expected);
        }
    }

    #[test]
    fn several_threads_run_kernels_at_once() {
        let Some(device) = present(host::NAME, CudaHost::open()) else { return };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| exercise("cuda-host, shared", |x, w| device.distances(x, w)));
            }
        });
    }

    /// More prototypes than a launch has blocks for.
    #[test]
    fn a_launch_too_large_is_an_error() {
        let Some(device) = present(host::NAME, CudaHost::open()) else { return };
        let x = Array2::<f32>::zeros((1, 1));
        let w = Array2::<f32>::zeros((65_535 * 64 + 1, 1));
        let error = device.distances(x.view(), w.view()).unwrap_err();
        assert!(error.to_string().contains("too many"), "{error}");
    }

    /// Barriers, shuffles, votes, atomics and the rules of kernels/include/host.h, tried by kernels of
    /// their own.
    #[test]
    fn the_host_header_keeps_its_promises() {
        if present(host::NAME, CudaHost::open()).is_none() {
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
