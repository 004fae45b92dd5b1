//! Tables for people, files for programs.

use crate::data::Label;
use crate::data::write::{npy_bytes, npy_bytes_of_integers, npy_bytes_of_texts, write_atomically};
use crate::error::{Error, Result};
use comfy_table::{ContentArrangement, Table, presets};
use ndarray::Array2;
use std::io::Write;
use std::path::Path;

/// A plain table with a header.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|h| h.to_string()));
    table
}

/// Prints a JSON value on one line of standard output.
pub fn json(value: &serde_json::Value) {
    println!("{value}");
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Fails now if the file could not be written later.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::io(path, std::io::Error::other("is a folder, not a file")));
    }
    tempfile::NamedTempFile::new_in(folder_of(path)).map(drop).map_err(|e| Error::io(path, e))
}

/// What a command writes: labels, or columns of numbers.
pub enum Output {
    /// One label a row.
    Labels(Vec<Label>),
    /// Columns with names.
    Columns(Vec<String>, Array2<f64>),
}

/// Ending of an output file.
pub fn check_ending(path: &Path) -> Result<()> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("csv" | "npy") => Ok(()),
        _ => Err(Error::parameter(
            "--out",
            format!("{}: the ending must be .csv or .npy", path.display()),
        )),
    }
}

impl Output {
    /// Writes to the file, by its ending, or as CSV to standard output.
    pub fn write(&self, path: Option<&Path>) -> Result<()> {
        match path {
            None => {
                let stdout = std::io::stdout();
                match self.csv(&mut stdout.lock()) {
                    // The reader went away: nothing is wrong.
                    Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                    other => other.map_err(|e| Error::Running(format!("standard output: {e}"))),
                }
            }
            Some(path) if path.extension().is_some_and(|e| e == "npy") => {
                write_atomically(path, |w| w.write_all(&self.npy()))
            }
            Some(path) => write_atomically(path, |w| self.csv(w)),
        }
    }

    fn csv(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        match self {
            Output::Labels(labels) => {
                csv.write_record(["label"])?;
                for label in labels {
                    csv.write_record([label.to_string()])?;
                }
            }
            Output::Columns(names, values) => {
                csv.write_record(names)?;
                for row in values.rows() {
                    csv.write_record(row.iter().map(|v| v.to_string()))?;
                }
            }
        }
        csv.flush()
    }

    fn npy(&self) -> Vec<u8> {
        match self {
            Output::Columns(_, values) => npy_bytes(values.view()),
            Output::Labels(labels) => match integers(labels) {
                Some(integers) => npy_bytes_of_integers(&integers),
                None => {
                    let texts: Vec<String> = labels.iter().map(Label::to_string).collect();
                    npy_bytes_of_texts(&texts)
                }
            },
        }
    }
}

fn integers(labels: &[Label]) -> Option<Vec<i64>> {
    labels
        .iter()
        .map(|l| match l {
            Label::Int(v) => Some(*v),
            Label::Text(_) => None,
        })
        .collect()
}
