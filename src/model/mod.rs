//! Models: the catalogue, their specification, how they start, and what comes out.

pub mod catalogue;
pub mod compose;
pub mod container;
pub mod cost;
pub mod file;
pub mod fitted;
pub mod inference;
pub mod metrics;
pub mod parameter;
pub mod quantise;
pub mod spec;
pub mod start;
pub mod state;

pub use fitted::{Fitted, OneClass};
pub use inference::Inference;
pub use spec::{Model, Sizes};
