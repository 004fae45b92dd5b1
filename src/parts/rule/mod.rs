//! Update rules of the models without a gradient.

pub mod hebbian;
pub mod medoid;
