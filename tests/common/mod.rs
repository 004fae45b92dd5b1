//! What several tests need: golden files, and small data.
#![allow(dead_code)]

#[cfg(any(feature = "cuda", feature = "vulkan"))]
use lvq::backend::Kernels;
#[cfg(feature = "cuda")]
use lvq::backend::cuda::host;
use lvq::backend::{Backend, DeviceRequest, open};
use lvq::model::start::Given;
use lvq::parts::composition::Precision;
use lvq::parts::tensor::{Tensor, Tensors};
use lvq::{Cpu, Dataset, Features, Label, Labels, Model, Training};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The folder of the golden files.
pub fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// One golden case of a model.
pub struct Case {
    pub name: String,
    pub case: Value,
    tensors: Vec<(String, Vec<usize>, Vec<f64>)>,
}

impl Case {
    pub fn read(path: &Path) -> Case {
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let case = metadata.metadata().as_ref().unwrap()["case"].clone();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file
            .tensors()
            .into_iter()
            .map(|(name, view)| {
                let values = match view.dtype() {
                    Dtype::F64 => view
                        .data()
                        .chunks_exact(8)
                        .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
                        .collect(),
                    Dtype::I64 => view
                        .data()
                        .chunks_exact(8)
                        .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64)
                        .collect(),
                    other => panic!("{name}: {other:?}"),
                };
                (name, view.shape().to_vec(), values)
            })
            .collect();
        Case {
            name: path.file_stem().unwrap().to_str().unwrap().to_string(),
            case: serde_json::from_str(&case).unwrap(),
            tensors,
        }
    }

    /// All cases of models that are in the catalogue.
    pub fn all() -> Vec<Case> {
        let mut cases: Vec<Case> = std::fs::read_dir(golden_folder())
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
            .filter(|p| !p.file_name().unwrap().to_str().unwrap().starts_with("optimizer-"))
            .map(|p| Case::read(&p))
            .collect();
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        cases
    }

    pub fn model(&self) -> &str {
        self.case["model"].as_str().unwrap()
    }

    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.tensors.iter().find(|t| t.0 == name).map(|t| &t.2[..])
    }

    /// Tensors below a prefix, by the rest of their names.
    pub fn group(&self, prefix: &str) -> Tensors<f64> {
        let list = self
            .tensors
            .iter()
            .filter_map(|(name, shape, values)| {
                let rest = name.strip_prefix(prefix)?;
                Some(Tensor::new(rest, shape, values.clone()))
            })
            .collect();
        Tensors { list }
    }

    pub fn dataset(&self) -> Dataset {
        let shape = &self.tensors.iter().find(|t| t.0 == "x").unwrap().1;
        let x =
            Array2::from_shape_vec((shape[0], shape[1]), self.get("x").unwrap().to_vec()).unwrap();
        let y: Vec<i64> = self.get("y").unwrap().iter().map(|v| *v as i64).collect();
        Dataset::new(Features::from(x), Some(Labels::new(&y).unwrap())).unwrap()
    }

    pub fn labels(&self, name: &str) -> Option<Vec<Label>> {
        Some(self.get(name)?.iter().map(|v| Label::Int(*v as i64)).collect())
    }
}

/// Largest difference relative to the largest entry of what is expected, or to `floor` if that is larger.
pub fn relative(got: &[f64], expected: &[f64], floor: f64) -> f64 {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(floor, |m, v| m.max(v.abs()));
    let difference = got.iter().zip(expected).fold(0.0f64, |m, (a, b)| {
        assert!(a.is_finite(), "not finite");
        m.max((a - b).abs())
    });
    if scale == 0.0 { difference } else { difference / scale }
}

/// The data of the repository.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// Gradients in double precision.
pub fn training() -> Training {
    Training { precision: Precision::F64, epsilon: 0.0, ..Training::default() }
}

pub fn loss_and_gradient(model: &Model, data: &Dataset, given: &Given) -> (f64, Tensors<f64>) {
    training().gradient(model, data, given, &Cpu::default()).unwrap()
}

/// Central differences of the loss, for every entry of every tensor.
pub fn check_by_differences(model: &Model, what: &str) {
    let (data, given) = problem(model, 23, 3, 3, 2);
    let (_, gradient) = loss_and_gradient(model, &data, &given);
    for t in &gradient.list {
        let mut slopes = Vec::new();
        for i in 0..t.data.len() {
            let at = |h: f64| {
                let mut moved = given.clone();
                moved.tensors.values_mut(&t.name)[i] += h;
                loss_and_gradient(model, &data, &moved).0
            };
            slopes.push((at(1e-6) - at(-1e-6)) / 2e-6);
        }
        let error = relative(&t.data, &slopes, 1e-3);
        assert!(error < 2e-6, "{what}: gradient of {} off by {error:e}", t.name);
    }
}

/// Numbers in -1 .. 1.
pub fn random(seed: u64, n: usize) -> Vec<f64> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random::<f64>() * 2.0 - 1.0).collect()
}

/// Random data away from ties, and random tensors for a model.
pub fn problem(
    model: &Model,
    n: usize,
    d: usize,
    classes: usize,
    per_class: usize,
) -> (Dataset, Given) {
    let x = Array2::from_shape_vec((n, d), random(1, n * d)).unwrap();
    let y: Vec<i64> = (0..n).map(|i| (i % classes) as i64).collect();
    let data = Dataset::new(Features::from(x), Some(Labels::new(&y).unwrap())).unwrap();
    let p = classes * per_class;
    let row = model.row();
    let names = row.tensors.iter().map(|t| t.name).chain(model.fixed_tensor()).chain(row.range());
    let mut tensors = Tensors::default();
    for (k, name) in names.enumerate() {
        let class_wise = model.metric().name() == "class_omega";
        let shape = match name {
            "prototypes" | "components" => vec![p, d],
            "relevances" => vec![d],
            "omega" | "omega_hat" => vec![d, 2],
            "omegas" if class_wise => vec![classes, d, 2],
            "omegas" => vec![p, d, 2],
            "sigmas" | "radii" | "thetas" => vec![p],
            "log_variances" => vec![p, d],
            "gamma" | "lambda_ng" => vec![],
            _ => vec![p, classes, 2],
        };
        let len = shape.iter().product();
        let mut values = random(10 + k as u64, len);
        match name {
            "reasonings" => values.iter_mut().for_each(|v| *v = 0.5 + 0.4 * *v),
            // Bandwidths, thresholds and ranges are positive.
            "sigmas" | "radii" | "thetas" | "gamma" | "lambda_ng" => {
                values.iter_mut().for_each(|v| *v = 0.8 + 0.3 * *v);
            }
            _ => {}
        }
        tensors.insert(Tensor::new(name, &shape, values));
    }
    let labels = (0..p).map(|j| Label::Int((j / per_class) as i64)).collect();
    let prototype_labels = (!row.is_one_class()).then_some(labels);
    (data, Given { tensors, prototype_labels })
}

/// Whether `device` must be there: `LVQ_REQUIRE_DEVICES` is a list of names.
pub fn required(device: &str) -> bool {
    let list = std::env::var("LVQ_REQUIRE_DEVICES").unwrap_or_default();
    list.split(',').any(|name| name.trim() == device)
}

/// Whether `device` takes part: `LVQ_TEST_DEVICES`, where it is set, is a list of those that do.
fn takes_part(device: &str) -> bool {
    std::env::var("LVQ_TEST_DEVICES")
        .map_or(true, |list| list.split(',').any(|name| name == device))
}

/// The devices beside the CPU that run models: name and backend. One that is missing is said, and fails if it is required.
pub fn devices() -> Vec<(String, Box<dyn Backend>)> {
    let mut found = Vec::new();
    let requests = [("vulkan", DeviceRequest::Vulkan(0)), ("cuda", DeviceRequest::Cuda(0))];
    for (name, request) in requests.into_iter().filter(|(name, _)| takes_part(name)) {
        take(&mut found, name, &request.to_string(), open(request, None));
    }
    #[cfg(feature = "cuda")]
    if takes_part(host::NAME) {
        let opened = host::open(Kernels::Tuned, host::Order::Ascending);
        take(&mut found, host::NAME, host::NAME, opened);
    }
    found
}

/// Puts a device that could be opened on the list.
fn take(
    found: &mut Vec<(String, Box<dyn Backend>)>,
    name: &str,
    device: &str,
    opened: lvq::Result<Box<dyn Backend>>,
) {
    match opened {
        Ok(backend) => found.push((device.into(), backend)),
        Err(why) => {
            assert!(!required(name), "{name} is required: {why}");
            println!("{device} is not tested: {why}");
        }
    }
}

/// The same, and again with the naive form of the kernels that have two.
pub fn devices_in_both_forms() -> Vec<(String, Box<dyn Backend>)> {
    let mut found = devices();
    let naive: Vec<_> = found
        .iter()
        .filter_map(|(name, _)| Some((format!("{name} naive"), naive(name)?.unwrap())))
        .collect();
    found.extend(naive);
    #[cfg(feature = "cuda")]
    if found.iter().any(|(name, _)| name == host::NAME) {
        let options = host::Options { without_tensor_cores: true, ..host::Options::default() };
        let name = format!("{} without tensor cores", host::NAME);
        found.push((name, host::open_with(&options).unwrap()));
    }
    found
}

/// A device with the naive form of its kernels.
fn naive(name: &str) -> Option<lvq::Result<Box<dyn Backend>>> {
    match name {
        #[cfg(feature = "vulkan")]
        "vulkan:0" => {
            let options =
                lvq::backend::vulkan::Options { kernels: Kernels::Naive, ..Default::default() };
            Some(lvq::backend::vulkan::open_with(0, &options))
        }
        #[cfg(feature = "cuda")]
        "cuda:0" => Some(lvq::backend::cuda::open_with(0, Kernels::Naive)),
        #[cfg(feature = "cuda")]
        host::NAME => Some(host::open(Kernels::Naive, host::Order::Descending)),
        _ => None,
    }
}

/// No complaint of the validation layer, where `LVQ_VULKAN_VALIDATION=1` asks for it.
pub fn validation_is_silent() {
    #[cfg(feature = "vulkan")]
    if let Some(messages) = lvq::backend::vulkan::validation_messages() {
        assert!(messages.is_empty(), "{}", messages.join("\n"));
    }
}
