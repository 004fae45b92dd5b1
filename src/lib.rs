//! `lvq`: a compute engine for prototype-based machine learning.

pub mod data;
pub mod error;
pub mod model;
pub mod parts;

pub use error::{Error, Result};
