//! The mathematics: every part a forward and its hand-derived backward side by side.

pub mod competition;
pub mod composition;
pub mod constraint;
pub mod cooperation;
pub mod curriculum;
pub mod exp;
pub mod initialiser;
pub mod kernel;
pub mod linalg;
pub mod metric;
pub mod objective;
pub mod optimizer;
pub mod pooling;
pub mod random;
pub mod real;
pub mod regulariser;
pub mod rule;
pub mod simd;
pub mod tensor;
