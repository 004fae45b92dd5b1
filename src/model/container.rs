//! The file of models and checkpoints: safetensors, with everything that is not a tensor as JSON under
//! one header key.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype as FileDtype, Metadata, TensorInfo};
use serde_json::{Map, Value};

use crate::data::read::safetensors::SafetensorsFile;
use crate::data::write::write_atomically;
use crate::error::{Error, Result};
use crate::parts::tensor::{Tensor, Tensors};

pub use crate::data::stored::{Dtype, StoredTensor};

/// The header key that holds the JSON.
pub const HEADER_KEY: &str = "lvq";

/// The entry of the JSON that holds the checksums.
const CHECKSUMS: &str = "crc32";

/// Writes one safetensors file, whole or not at all (see [`write_atomically`]).
///
/// `header` is a JSON object; it is stored under the key [`HEADER_KEY`] together with an entry `crc32`:
/// `{tensor: CRC-32 of its bytes}`. Equal contents give equal bytes.
///
/// Errors: a header that is no object or has an entry `crc32`, two tensors of one name, a tensor named
/// `__metadata__`, a tensor whose bytes do not fit its shape, and [`Error::Io`].
pub fn write_container(
    path: &Path,
    tensors: &[(String, StoredTensor)],
    header: &Value,
) -> Result<()> {
    let wrong = |reason: String| Error::format(path, reason);
    let mut header = match header {
        Value::Object(entries) if !entries.contains_key(CHECKSUMS) => entries.clone(),
        _ => {
            return Err(wrong(format!(
                "the header has to be an object without an entry '{CHECKSUMS}'"
            )));
        }
    };

    // Wide elements first, then by name: every tensor is aligned to its elements, as readers that map
    // the file into memory expect.
    let mut sorted: Vec<&(String, StoredTensor)> = tensors.iter().collect();
    sorted.sort_by_key(|(name, tensor)| (std::cmp::Reverse(tensor.dtype.size()), name));

    let mut infos = Vec::with_capacity(sorted.len());
    let mut checksums: BTreeMap<&String, Value> = BTreeMap::new();
    let mut offset = 0;
    for (name, tensor) in &sorted {
        let end = offset + tensor.bytes.len();
        infos.push((
            name.clone(),
            TensorInfo {
                dtype: file_dtype(tensor.dtype),
                shape: tensor.shape.clone(),
                data_offsets: (offset, end),
            },
        ));
        offset = end;
        let checksum = crc32fast::hash(&tensor.bytes).into();
        if name == "__metadata__" || checksums.insert(name, checksum).is_some() {
            return Err(wrong(format!("a second tensor '{name}', or a reserved name")));
        }
    }
    let checksums: Map<String, Value> =
        checksums.into_iter().map(|(name, checksum)| (name.clone(), checksum)).collect();
    header.insert(CHECKSUMS.to_string(), checksums.into());

    let texts = HashMap::from([(HEADER_KEY.to_string(), Value::from(header).to_string())]);
    let metadata = Metadata::new(Some(texts), infos).map_err(|error| wrong(error.to_string()))?;
    let mut text = serde_json::to_vec(&metadata).map_err(|error| wrong(error.to_string()))?;
    text.resize(text.len().next_multiple_of(8), b' ');

    write_atomically(path, |out| {
        out.write_all(&(text.len() as u64).to_le_bytes())?;
        out.write_all(&text)?;
        sorted.iter().try_for_each(|(_, tensor)| out.write_all(&tensor.bytes))
    })
}

/// Reads a safetensors file, ours or any other: its tensors, and our JSON (without the checksums) if the
/// header has it.
///
/// Errors: [`Error::Io`]; [`Error::Format`] for a file that is truncated, damaged or something else, for
/// a tensor whose checksum is wrong (named), and for an element type that is not supported.
pub fn read_container(path: &Path) -> Result<(BTreeMap<String, StoredTensor>, Option<Value>)> {
    let mut file = SafetensorsFile::open(path)?;
    let mut header = match file.texts().and_then(|texts| texts.get(HEADER_KEY)) {
        None => None,
        Some(text) => Some(parse_header(text).map_err(|reason| Error::format(path, reason))?),
    };
    let mut tensors = BTreeMap::new();
    for name in file.names() {
        tensors.insert(name.clone(), file.read(&name)?);
    }
    if let Some(checksums) = header.as_mut().and_then(|entries| entries.remove(CHECKSUMS)) {
        check(&tensors, &checksums).map_err(|reason| Error::format(path, reason))?;
    }
    Ok((tensors, header.map(Value::Object)))
}

/// All tensors of a safetensors file as `f64`, sorted by name, whatever their element types
/// (64-bit integers beyond 2^53 are rounded). Errors as [`read_container`].
pub fn tensors_from(path: &Path) -> Result<Tensors<f64>> {
    let (tensors, _) = read_container(path)?;
    let list = tensors
        .into_iter()
        .map(|(name, tensor)| Tensor::new(name, &tensor.shape, tensor.to_f64()))
        .collect();
    Ok(Tensors { list })
}

fn parse_header(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(entries)) => Ok(entries),
        Ok(_) => Err(format!("the header entry '{HEADER_KEY}' is not an object")),
        Err(error) => Err(format!("the header entry '{HEADER_KEY}' is not JSON: {error}")),
    }
}

fn check(tensors: &BTreeMap<String, StoredTensor>, checksums: &Value) -> Result<(), String> {
    let checksums =
        checksums.as_object().ok_or_else(|| format!("the entry '{CHECKSUMS}' is not an object"))?;
    for (name, expected) in checksums {
        let tensor = tensors
            .get(name)
            .ok_or_else(|| format!("has a checksum of '{name}', but no such tensor"))?;
        if expected.as_u64() != Some(u64::from(crc32fast::hash(&tensor.bytes))) {
            return Err(format!("tensor '{name}' is damaged: its checksum is wrong"));
        }
    }
    Ok(())
}

fn file_dtype(dtype: Dtype) -> FileDtype {
    match dtype {
        Dtype::F64 => FileDtype::F64,
        Dtype::F32 => FileDtype::F32,
        Dtype::F16 => FileDtype::F16,
        Dtype::BF16 => FileDtype::BF16,
        Dtype::I64 => FileDtype::I64,
        Dtype::I32 => FileDtype::I32,
        Dtype::I16 => FileDtype::I16,
        Dtype::I8 => FileDtype::I8,
        Dtype::U64 => FileDtype::U64,
        Dtype::U32 => FileDtype::U32,
        Dtype::U16 => FileDtype::U16,
        Dtype::U8 => FileDtype::U8,
        Dtype::Bool => FileDtype::BOOL,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sample() -> Vec<(String, StoredTensor)> {
        vec![
            ("codes".into(), StoredTensor::from_i8(&[3], &[-127, 0, 127]).unwrap()),
            ("prototypes".into(), StoredTensor::from_f32(&[2, 1], &[0.1, -2.0]).unwrap()),
            ("empty".into(), StoredTensor::from_f64(&[0, 4], &[]).unwrap()),
            ("gamma".into(), StoredTensor::from_f64(&[], &[0.1]).unwrap()),
        ]
    }

    #[test]
    fn a_file_reads_back_and_is_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let header = json!({"model": "GLVQ", "lr": 0.1, "classes": [-1, "a \"b\"\n"]});
        write_container(&first, &sample(), &header).unwrap();
        write_container(&second, &sample(), &header).unwrap();
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());

        let (tensors, read) = read_container(&first).unwrap();
        assert_eq!(tensors, sample().into_iter().collect());
        assert_eq!(read, Some(header));

        let tensors = tensors_from(&first).unwrap();
        assert_eq!(tensors.get("codes").unwrap().data, [-127.0, 0.0, 127.0]);
        assert_eq!(tensors.get("prototypes").unwrap().data[0], f64::from(0.1f32));
        assert_eq!(tensors.get("gamma").unwrap().shape, [0usize; 0]);
    }

    #[test]
    fn the_format_library_reads_our_files_and_we_read_its() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_container(&path, &sample(), &json!({})).unwrap();
        let bytes = fs::read(&path).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.tensor("prototypes").unwrap().data(), sample()[1].1.bytes);
        assert_eq!(theirs.tensor("prototypes").unwrap().shape(), [2, 1]);

        let values = 7i32.to_le_bytes();
        let view = safetensors::tensor::TensorView::new(FileDtype::I32, vec![1], &values).unwrap();
        let bytes = safetensors::serialize([("t", view)], None).unwrap();
        fs::write(&path, bytes).unwrap();
        let (tensors, header) = read_container(&path).unwrap();
        assert_eq!((tensors["t"].to_i64(), header), (Some(vec![7]), None));
    }

    #[test]
    fn what_cannot_be_written_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let scalar = StoredTensor::from_f64(&[], &[1.0]).unwrap();
        let torn = StoredTensor { dtype: Dtype::F64, shape: vec![2], bytes: vec![0; 8] };
        let twice = [("w".to_string(), scalar.clone()), ("w".to_string(), scalar.clone())];
        for (tensors, header) in [
            (&twice[..], json!({})),
            (&[("__metadata__".to_string(), scalar.clone())], json!({})),
            (&[("w".to_string(), torn)], json!({})),
            (&[], json!([1])),
            (&[], json!({"crc32": {}})),
        ] {
            let error = write_container(&path, tensors, &header).unwrap_err();
            assert!(matches!(error, Error::Format { .. }), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_tensor_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_container(&path, &sample(), &json!({})).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1; // The narrowest elements are last: `codes`.
        fs::write(&path, bytes).unwrap();
        let message = read_container(&path).unwrap_err().to_string();
        assert!(message.contains("'codes'") && message.contains("checksum"), "{message}");
    }

    proptest! {
        #[test]
        fn any_tensors_round_trip(
            values in prop::collection::btree_map(
                "[a-zA-Z0-9_./äß\"\\\\-]{0,8}",
                prop::collection::vec(any::<f32>(), 0..20),
                0..5,
            ),
            note in ".*",
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a");
            let tensors: Vec<(String, StoredTensor)> = values
                .iter()
                .map(|(name, v)| (name.clone(), StoredTensor::from_f32(&[v.len()], v).unwrap()))
                .collect();
            let header = json!({ "note": note });
            write_container(&path, &tensors, &header).unwrap();
            let (read, read_header) = read_container(&path).unwrap();
            prop_assert_eq!(read, tensors.into_iter().collect());
            prop_assert_eq!(read_header, Some(header));
        }

        /// Whatever happens to a file, reading it is an error or gives tensors; it never panics, and a
        /// truncated file is never taken for whole.
        #[test]
        fn damage_is_an_error_not_a_panic(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a");
            write_container(&path, &sample(), &json!({"model": "GLVQ"})).unwrap();
            let whole = fs::read(&path).unwrap();
            let mut damaged = whole.clone();
            let at = at % whole.len();
            damaged[at] = byte;
            fs::write(&path, &damaged).unwrap();
            let _ = read_container(&path);
            fs::write(&path, &whole[..cut % whole.len()]).unwrap();
            prop_assert!(read_container(&path).is_err());
        }
    }
}
