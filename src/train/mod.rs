//! Training: what turns gradients into a fitted model.

pub mod schedule;
