//! NPZ: a ZIP archive of NPY members.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::npy::{NpyArray, read_array};
use super::{Fault, open};
use crate::error::Result;

/// An open `.npz` file.
pub struct NpzFile {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

impl NpzFile {
    /// Opens an archive; members may be stored or deflated.
    pub fn open(path: &Path) -> Result<Self> {
        let archive = ZipArchive::new(BufReader::new(open(path)?))
            .map_err(|error| Fault::from(error).at(path))?;
        Ok(NpzFile { path: path.to_path_buf(), archive })
    }

    /// The names of the arrays, sorted. Error for a member whose name is not text.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for file in self.archive.file_names() {
            let file = file.map_err(|error| Fault::from(error).at(&self.path))?;
            names.extend(file.strip_suffix(".npy").map(String::from));
        }
        names.sort();
        Ok(names)
    }

    /// Reads one array; the checksum of its member is checked.
    pub fn read(&mut self, name: &str) -> Result<NpyArray> {
        self.read_member(name).map_err(|fault| {
            match fault {
                Fault::Wrong(reason) => Fault::Wrong(format!("array '{name}' {reason}")),
                io => io,
            }
            .at(&self.path)
        })
    }

    fn read_member(&mut self, name: &str) -> Result<NpyArray, Fault> {
        let mut member = self.archive.by_name(&format!("{name}.npy"))?;
        // A damaged or hostile archive may claim any size; up to this much is reserved at once.
        const RESERVED: u64 = 1 << 26;
        let size = member.size().min(RESERVED);
        read_array(&mut member, size)
    }
}

impl From<ZipError> for Fault {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) => error.into(),
            ZipError::FileNotFound => Fault::Wrong("is missing".to_string()),
            other => Fault::Wrong(format!("cannot be read as ZIP: {other}")),
        }
    }
}
