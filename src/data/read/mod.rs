//! Reading data sets from files: CSV, NPY, NPZ, safetensors.

pub mod csv;
pub mod npy;
pub mod npz;
pub mod safetensors;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::dataset::{Dataset, Features};
use super::labels::Labels;
use super::stored::StoredTensor;
use crate::error::{Error, Result};
use npy::NpyArray;

/// What the file alone does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// CSV: the column of the labels; by default the last one.
    pub target: Option<String>,
    /// NPY: the file of the labels, an `.npy` too.
    pub labels: Option<PathBuf>,
    /// Labels may be missing (prediction, models that need none). A CSV then has a label column only if
    /// `target` names one that is there, or if it has one column more than `expected_columns`.
    pub unlabelled: bool,
    /// Column of a CSV, or array of an NPZ or safetensors file, with a weight for each row.
    pub weights_column: Option<String>,
    /// With `unlabelled`: the number of features of the model that the data is for.
    pub expected_columns: Option<usize>,
    /// NPY: map the features into memory in place of reading them, so that memory stays flat however many rows there are. The
    /// file must not change as long as the data set or a clone of it is there; see [`npy::map_npy`] for what can be mapped.
    pub mmap: bool,
}

/// Reads a data set; the ending of `path` (`.csv`, `.npy`, `.npz`, `.safetensors`) says how, and `-` is
/// CSV from the standard input.
///
/// NPZ and safetensors hold the arrays `x` (n,d) and `y` (n). Element types that `f32` holds exactly
/// give features in `f32`; all others, and CSV, give `f64`.
///
/// Errors: [`Error::Io`] for a file that cannot be read, [`Error::Format`] for one that is not what its
/// ending says (rows count from 0 and do not include the header), [`Error::Parameter`] for an option
/// that does not fit the file (such as `mmap` for a file that is no `.npy`), and those of [`Dataset::new`].
pub fn read(path: &Path, options: &ReadOptions) -> Result<Dataset> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_lowercase();
    if options.mmap && ending != "npy" {
        let why =
            "only .npy files can be mapped; save the features as .npy, or read them without it";
        return Err(Error::parameter("mmap", why));
    }
    if path == Path::new("-") {
        reject(&options.labels, "labels", "CSV has the labels in one of its columns")?;
        let name = Path::new("standard input");
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map_err(|source| Error::io(name, source))?;
        return csv::read_csv_bytes(&bytes, name, options);
    }
    match ending.as_str() {
        "csv" => {
            reject(&options.labels, "labels", "CSV has the labels in one of its columns")?;
            csv::read_csv(path, options)
        }
        "npy" => {
            reject(&options.target, "target", "an .npy file has no named columns")?;
            reject(&options.weights_column, "weights", "an .npy file has no named columns")?;
            read_npy(path, options)
        }
        "npz" => {
            reject(&options.target, "target", "the labels of an .npz file are its array 'y'")?;
            reject(&options.labels, "labels", "the labels of an .npz file are its array 'y'")?;
            let mut file = npz::NpzFile::open(path)?;
            let names = file.names()?;
            assemble(path, options, &names, |name| file.read(name))
        }
        "safetensors" => {
            let why = "the labels of a .safetensors file are its tensor 'y'";
            reject(&options.target, "target", why)?;
            reject(&options.labels, "labels", why)?;
            let mut file = safetensors::SafetensorsFile::open(path)?;
            let names = file.names();
            assemble(path, options, &names, |name| file.read(name).map(NpyArray::Numbers))
        }
        _ => Err(Error::format(
            path,
            "the ending says nothing known; expected .csv, .npy, .npz or .safetensors",
        )),
    }
}

/// An option that the format cannot use is an error, not ignored.
fn reject<T>(option: &Option<T>, name: &str, why: &str) -> Result<()> {
    if option.is_some() { Err(Error::parameter(name, why)) } else { Ok(()) }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|source| Error::io(path, source))
}

fn read_npy(path: &Path, options: &ReadOptions) -> Result<Dataset> {
    let features = match options.mmap {
        true => npy::map_npy(path)?,
        false => {
            features_of(npy::read_npy(path)?, "the array").map_err(|r| Error::format(path, r))?
        }
    };
    let labels = match &options.labels {
        Some(file) => {
            let labels = labels_of(npy::read_npy(file)?, "the array");
            Some(labels.map_err(|reason| Error::format(file, reason))?)
        }
        None if options.unlabelled => None,
        None => {
            return Err(Error::parameter(
                "labels",
                format!("{} has no labels; name the .npy file that has them", path.display()),
            ));
        }
    };
    finish(path, features, labels, Vec::new(), None)
}

/// Puts the arrays of an archive together.
fn assemble(
    path: &Path,
    options: &ReadOptions,
    names: &[String],
    mut read: impl FnMut(&str) -> Result<NpyArray>,
) -> Result<Dataset> {
    let has = |name: &str| names.iter().any(|n| n == name);
    let mut get = |name: &str| {
        if !has(name) {
            let held = if names.is_empty() { "nothing".to_string() } else { names.join(", ") };
            return Err(Error::format(path, format!("has no array '{name}'; it holds {held}")));
        }
        read(name)
    };
    let wrong = |reason| Error::format(path, reason);

    let features = features_of(get("x")?, "array 'x'").map_err(wrong)?;
    let labels = if options.unlabelled && !has("y") {
        None
    } else {
        Some(labels_of(get("y")?, "array 'y'").map_err(wrong)?)
    };
    let weights = match &options.weights_column {
        Some(name) => Some(list_of(get(name)?, &format!("array '{name}'")).map_err(wrong)?),
        None => None,
    };
    finish(path, features, labels, Vec::new(), weights)
}

/// Checks everything and makes the data set.
fn finish(
    path: &Path,
    features: Features,
    labels: Option<Labels>,
    feature_names: Vec<String>,
    weights: Option<Vec<f64>>,
) -> Result<Dataset> {
    let source = path.display().to_string();
    let dataset = Dataset { features, labels, feature_names, weights, source };
    dataset.validate()?;
    Ok(dataset)
}

fn numbers(array: NpyArray, what: &str) -> Result<StoredTensor, String> {
    match array {
        NpyArray::Numbers(tensor) => Ok(tensor),
        NpyArray::Texts { .. } => Err(format!("{what} holds texts, expected numbers")),
    }
}

fn features_of(array: NpyArray, what: &str) -> Result<Features, String> {
    let tensor = numbers(array, what)?;
    let [rows, columns] = tensor.shape[..] else {
        return Err(no_matrix(what, &tensor.shape));
    };
    let failed = |e: ndarray::ShapeError| format!("{what}: {e}");
    if tensor.dtype.fits_f32() {
        let array = Array2::from_shape_vec((rows, columns), tensor.to_f32()).map_err(failed)?;
        Ok(Features::from(array))
    } else {
        let array = Array2::from_shape_vec((rows, columns), tensor.to_f64()).map_err(failed)?;
        Ok(Features::from(array))
    }
}

fn no_matrix(what: &str, shape: &[usize]) -> String {
    format!("{what} has shape {shape:?}, expected (rows, columns)")
}

/// One number a row: shape (n) or (n,1).
fn list_of(array: NpyArray, what: &str) -> Result<Vec<f64>, String> {
    let tensor = numbers(array, what)?;
    check_list(&tensor.shape, what)?;
    Ok(tensor.to_f64())
}

fn labels_of(array: NpyArray, what: &str) -> Result<Labels, String> {
    check_list(array.shape(), what)?;
    let labels = match array {
        NpyArray::Texts { values, .. } => Labels::new(&values),
        NpyArray::Numbers(tensor) => match tensor.to_i64() {
            Some(values) => Labels::new(&values),
            // Floating point, or whole numbers beyond 64 bits with a sign: both have to pass as f64.
            None => Labels::new(&tensor.to_f64()),
        },
    };
    labels.map_err(|error| format!("{what}: {error}"))
}

fn check_list(shape: &[usize], what: &str) -> Result<(), String> {
    match shape {
        [_] | [_, 1] => Ok(()),
        _ => Err(format!("{what} has shape {shape:?}, expected (n) or (n, 1)")),
    }
}

/// Why a file could not be read, before the path is added.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Wrong(String),
}

impl Fault {
    pub(crate) fn at(self, path: &Path) -> Error {
        match self {
            Fault::Io(source) => Error::io(path, source),
            Fault::Wrong(reason) => Error::format(path, reason),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.raw_os_error().is_some() {
            Fault::Io(error)
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            Fault::Wrong("is truncated".to_string())
        } else {
            // Decoders report damaged content as errors of their own, without a system error behind.
            Fault::Wrong(format!("is damaged: {error}"))
        }
    }
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Fault::Wrong(reason)
    }
}
