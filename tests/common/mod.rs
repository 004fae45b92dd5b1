//! What several tests need: golden files, and small data.
#![allow(dead_code)]

use lvq::parts::tensor::{Tensor, Tensors};
use lvq::{Dataset, Features, Label, Labels};
use ndarray::Array2;
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
