//! `lvq`: a compute engine for prototype-based machine learning.

pub mod backend;
pub mod error;
pub mod parts;

pub use error::{Error, Result};
