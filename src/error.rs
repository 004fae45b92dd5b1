//! The typed errors of the crate.
//!
//! Every error says what was wrong, where (file, row, column, key) and what would be right. Rows and
//! columns are counted from 0 in memory and named as such in the text.

use std::path::{Path, PathBuf};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A hyper-parameter or a training option has a value that is not allowed, or is not known at all.
    #[error("{name}: {reason}")]
    Parameter {
        /// The option or hyper-parameter, as the user writes it.
        name: String,
        /// What was given and what would be right.
        reason: String,
    },

    /// Features, labels or weights that cannot be used.
    #[error("{0}")]
    Data(String),

    /// A feature that is NaN or infinite.
    #[error("{source_name}: row {row}, column {column}: {value} is not a finite number")]
    NotFinite {
        /// The array or file.
        source_name: String,
        /// Row, counted from 0.
        row: usize,
        /// Column, counted from 0.
        column: usize,
        /// The value found.
        value: f64,
    },

    /// Two shapes that should agree and do not.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// The array or tensor.
        what: String,
        /// The shape wanted.
        expected: String,
        /// The shape found.
        got: String,
    },

    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A file that was read and is not what it should be.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        reason: String,
    },

    /// A device that does not exist, cannot do what was asked, or failed.
    #[error("device {device}: {reason}")]
    Device {
        /// The device as asked for, e.g. `cuda:0`.
        device: String,
        /// Why.
        reason: String,
    },

    /// Something failed after the work had begun: the disk filled up, a device was lost.
    #[error("{0}")]
    Running(String),

    /// A tensor, gradient or loss turned NaN or infinite in training.
    #[error("training stopped at iteration {iteration}: {what} is not finite{hint}")]
    Diverged {
        /// Iteration (0-based) in which it happened.
        iteration: usize,
        /// The loss, gradient or tensor.
        what: String,
        /// First offending row, advice; empty or starting with `; `.
        hint: String,
        /// The model with the last finite tensors.
        last: Option<Box<crate::model::Fitted>>,
    },
}

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A parameter error.
    pub fn parameter(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Parameter { name: name.into(), reason: reason.into() }
    }

    /// A data error.
    pub fn data(reason: impl Into<String>) -> Self {
        Error::Data(reason.into())
    }

    /// A shape error.
    pub fn shape(
        what: impl Into<String>,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Self {
        Error::Shape { what: what.into(), expected: expected.to_string(), got: got.to_string() }
    }

    /// An I/O error with its path.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), source }
    }

    /// A format error with its path.
    pub fn format(path: &Path, reason: impl Into<String>) -> Self {
        Error::Format { path: path.to_path_buf(), reason: reason.into() }
    }

    /// An error for a name that is not in `valid`: lists them and names the nearest.
    pub fn unknown(what: &str, name: &str, valid: &[&str]) -> Self {
        let hint = did_you_mean(name, valid);
        Error::parameter(what, format!("unknown '{name}'{hint}; valid: {}", valid.join(", ")))
    }
}

/// ` (did you mean '...'?)` with the nearest of the valid names, or nothing if none is near.
pub(crate) fn did_you_mean(name: &str, valid: &[&str]) -> String {
    let fold = |s: &str| s.to_lowercase().replace(['_', '-', ' '], "");
    let nearest = valid
        .iter()
        .map(|v| (strsim::damerau_levenshtein(&fold(v), &fold(name)), v))
        .min()
        .filter(|(d, v)| *d <= 1 + v.len() / 3);
    nearest.map(|(_, v)| format!(" (did you mean '{v}'?)")).unwrap_or_default()
}
