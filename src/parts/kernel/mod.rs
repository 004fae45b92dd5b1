//! Kernels: what is made of distances before the objective sees them.

pub mod bandwidth;
pub mod exponential;
pub mod gaussian;
pub mod similarity;
