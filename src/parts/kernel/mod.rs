//! Kernels: what is made of distances before the objective sees them.

pub mod gaussian;
pub mod similarity;
