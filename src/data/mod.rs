//! From what a model learns: features, labels and weights, their files, and what is done to them first.

mod centred;
pub mod dataset;
pub mod labels;
pub mod made;
pub mod read;
pub mod scaling;
pub mod split;
pub mod stored;
pub mod table;
pub mod write;

pub use dataset::{Dataset, Features};
pub use labels::{Label, LabelValue, Labels};
pub use read::{ReadOptions, read};
pub use table::Table;
