//! Writing files whole or not at all, and `.npy`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ndarray::ArrayView2;

use crate::error::{Error, Result};
use crate::parts::real::Real;

/// Writes a file whole or not at all: `fill` writes to a temporary file in the same folder, which is
/// synchronised with the disk and then takes the place of `path`.
///
/// When anything fails, `path` is as it was before and the temporary file is gone. A file that was there
/// keeps its permissions, one that is protected against writing is an error; a symbolic link is followed.
/// What is not a regular file (a pipe, `/dev/stdout`) is written to directly.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    replace(path, fill).map_err(|source| Error::io(path, source))
}

fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let before = match fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(metadata) = &before {
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder, not a file"));
        }
        if metadata.permissions().readonly() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the file is protected against writing",
            ));
        }
        if !metadata.is_file() {
            let mut out = BufWriter::new(File::options().write(true).open(path)?);
            fill(&mut out)?;
            return out.flush();
        }
    }

    let target = if before.is_some() { fs::canonicalize(path)? } else { path.to_path_buf() };
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "is not the name of a file"))?;
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };

    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // The crate's own choice is a private file; a result is as public as any file the user makes.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder)?;

    // From here on an early return drops `temporary`, which removes the file.
    let mut out = BufWriter::with_capacity(1 << 20, temporary.as_file());
    fill(&mut out)?;
    out.flush()?;
    drop(out);
    if let Some(metadata) = before {
        temporary.as_file().set_permissions(metadata.permissions())?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(&target).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes the new name itself durable.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot synchronise a folder; the file is in place all the same.
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        done => done,
    }
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(()) // Folders cannot be opened as files here.
}

/// A matrix as the bytes of an `.npy` file (format version 1.0, row-major, little-endian), in the
/// precision of its values.
pub fn npy_bytes<T: Real>(matrix: ArrayView2<'_, T>) -> Vec<u8> {
    let shape = format!("({}, {})", matrix.nrows(), matrix.ncols());
    let mut out = npy_header(&format!("<f{}", size_of::<T>()), &shape);
    out.reserve(matrix.len() * size_of::<T>());
    for value in matrix {
        // `T` is one of the two types; a conversion to itself is exact.
        match size_of::<T>() {
            4 => out.extend((value.f64() as f32).to_le_bytes()),
            _ => out.extend(value.f64().to_le_bytes()),
        }
    }
    out
}

/// Whole numbers as the bytes of a one-dimensional `.npy` file of type `<i8`.
pub fn npy_bytes_of_integers(values: &[i64]) -> Vec<u8> {
    let mut out = npy_header("<i8", &format!("({},)", values.len()));
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    out
}

/// Texts as the bytes of a one-dimensional `.npy` file of fixed-width UTF-32 (`<U...`). NumPy drops
/// NUL characters at the end of a text; so does every reader of the format.
pub fn npy_bytes_of_texts<S: AsRef<str>>(values: &[S]) -> Vec<u8> {
    let width = values.iter().map(|text| text.as_ref().chars().count()).max().unwrap_or(0).max(1);
    let mut out = npy_header(&format!("<U{width}"), &format!("({},)", values.len()));
    for text in values {
        let mut left = width;
        for character in text.as_ref().chars() {
            out.extend(u32::from(character).to_le_bytes());
            left -= 1;
        }
        out.resize(out.len() + 4 * left, 0);
    }
    out
}

/// Magic number, version 1.0, length, and a Python literal padded so that data starts at a multiple of 64.
fn npy_header(descr: &str, shape: &str) -> Vec<u8> {
    const BEFORE_TEXT: usize = 10;
    let mut text =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
    let total = (BEFORE_TEXT + text.len() + 1).next_multiple_of(64);
    text.resize(total - BEFORE_TEXT - 1, b' ');
    text.push(b'\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    // Descriptions and shapes of the functions above take far fewer than 2^16 bytes.
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(&[0; 1 << 21])?;
            Err(io::Error::other("the disk is full"))
        });
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("model") && message.contains("the disk is full"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["model"]);

        write_atomically(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["model"]);
    }

    #[test]
    fn places_that_cannot_be_written_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        for bad in [folder.path().to_path_buf(), folder.path().join("no/model"), file.join("model")]
        {
            let error = write_atomically(&bad, |out| out.write_all(b"x")).unwrap_err();
            assert!(matches!(&error, Error::Io { path, .. } if *path == bad), "{error}");
        }
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn a_protected_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        fs::write(&path, "old").unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        assert!(write_atomically(&path, |out| out.write_all(b"new")).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("model"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        write_atomically(&link, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        // A new file is as readable as one that any other program makes.
        let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
        write_atomically(&ours, |out| out.write_all(b"x")).unwrap();
        fs::write(&theirs, "x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&theirs));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn devices_are_written_directly() {
        write_atomically(Path::new("/dev/null"), |out| out.write_all(b"x")).unwrap();
        let full = write_atomically(Path::new("/dev/full"), |out| out.write_all(b"x"));
        assert!(matches!(full, Err(Error::Io { .. })));
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
