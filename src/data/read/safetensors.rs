//! Safetensors: a JSON header with names, element types, shapes and offsets, then the values.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype as FileDtype, Metadata};

use super::{Fault, open};
use crate::data::stored::{Dtype, StoredTensor};
use crate::error::Result;

/// Longest header that is read; the limit of the format's own library.
const LONGEST_HEADER: u64 = 100_000_000;

/// An open `.safetensors` file: the header is read, the tensors are read when asked for.
pub struct SafetensorsFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where in the file the values begin.
    start: u64,
}

impl SafetensorsFile {
    /// Opens a file and checks that names, shapes and offsets fit each other and the length of the file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
        Self::parse(path, file).map_err(|fault| fault.at(path))
    }

    fn parse(path: &Path, mut file: File) -> Result<Self, Fault> {
        // A folder opens like a file and has a length; reading from it is the error to report.
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let header_bytes = u64::from_le_bytes(length);
        let file_bytes = file.metadata()?.len();
        if header_bytes > LONGEST_HEADER || header_bytes > file_bytes.saturating_sub(8) {
            return Err(Fault::Wrong(format!(
                "is not a safetensors file, or is truncated: its first 8 bytes promise a header of \
                 {header_bytes} bytes"
            )));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| {
            format!("has a header that is not that of a safetensors file: {error}")
        })?;
        let start = 8 + header_bytes;
        let expected = start.saturating_add(metadata.data_len() as u64);
        if expected != file_bytes {
            let what = if file_bytes < expected {
                "is truncated"
            } else {
                "has more bytes than its tensors"
            };
            return Err(Fault::Wrong(format!(
                "{what}: {expected} bytes expected, {file_bytes} found"
            )));
        }
        Ok(SafetensorsFile { path: path.to_path_buf(), file, metadata, start })
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.metadata.offset_keys();
        names.sort();
        names
    }

    /// The texts in the header beside the tensors (`__metadata__`).
    pub fn texts(&self) -> Option<&HashMap<String, String>> {
        self.metadata.metadata().as_ref()
    }

    /// Reads one tensor. Error if there is none of that name or its element type is not supported.
    pub fn read(&mut self, name: &str) -> Result<StoredTensor> {
        self.read_tensor(name).map_err(|fault| fault.at(&self.path))
    }

    fn read_tensor(&mut self, name: &str) -> Result<StoredTensor, Fault> {
        let info =
            self.metadata.info(name).ok_or_else(|| format!("has no tensor '{name}'"))?.clone();
        let dtype = match info.dtype {
            FileDtype::F64 => Dtype::F64,
            FileDtype::F32 => Dtype::F32,
            FileDtype::F16 => Dtype::F16,
            FileDtype::BF16 => Dtype::BF16,
            FileDtype::I64 => Dtype::I64,
            FileDtype::I32 => Dtype::I32,
            FileDtype::I16 => Dtype::I16,
            FileDtype::I8 => Dtype::I8,
            FileDtype::U64 => Dtype::U64,
            FileDtype::U32 => Dtype::U32,
            FileDtype::U16 => Dtype::U16,
            FileDtype::U8 => Dtype::U8,
            FileDtype::BOOL => Dtype::Bool,
            other => {
                return Err(Fault::Wrong(format!(
                    "tensor '{name}' has elements of type {other}, which is not supported"
                )));
            }
        };
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to - from];
        self.file.seek(SeekFrom::Start(self.start + from as u64))?;
        self.file.read_exact(&mut bytes)?;
        Ok(StoredTensor { dtype, shape: info.shape, bytes })
    }
}
