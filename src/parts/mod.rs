//! The mathematics: every part a forward and its hand-derived backward side by side.

pub mod linalg;
pub mod metric;
pub mod optimizer;
pub mod random;
pub mod real;
pub mod simd;
pub mod tensor;
