//! Cooperations: which prototypes take part in a row's loss, and with what weight.

pub mod class_minimum;
pub mod posterior;
pub mod ranks;
pub mod reasoning;
pub mod winner_pair;
