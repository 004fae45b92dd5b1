//! `lvq`: a compute engine for prototype-based machine learning.

pub mod error;
pub mod parts;
pub mod train;

pub use error::{Error, Result};
