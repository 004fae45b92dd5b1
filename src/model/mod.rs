//! What a model is and what becomes of it.

pub mod container;
pub mod metrics;
pub mod quantise;
