//! `lvq`: a compute engine for prototype-based machine learning.
//!
//! Five things, in the order in which a user meets them:
//!
//! | | is | here |
//! |---|---|---|
//! | WHAT to learn | a row of the catalogue with its hyper-parameters | [`Model`] |
//! | FROM WHAT | features, labels, weights | [`Dataset`] |
//! | WHERE | a device | [`Cpu`], [`backend::open`] |
//! | HOW | optimizer, schedule, batches, stopping, ... | [`Training`] |
//! | the RESULT | predicts, is saved, can be trained further | [`Fitted`] |
//!
//! ```
//! use lvq::{Cpu, Dataset, Features, Labels, Model, Training};
//! use ndarray::array;
//!
//! // Two classes on a line.
//! let x = array![[0.0_f32, 1.0], [0.2, 0.9], [0.1, 1.2], [2.0, 0.1], [2.2, 0.0], [1.9, -0.1]];
//! let y = Labels::new(&["left", "left", "left", "right", "right", "right"])?;
//! let data = Dataset::new(Features::from(x), Some(y))?;
//!
//! let model = Model::new("GMLVQ")?.set("latent_dim", 1)?;
//! let training = Training { max_iter: 50, lr: 0.05, ..Training::default() };
//! let fitted = training.fit(&model, &data, &Cpu::default())?;
//!
//! let labels = fitted.predict(&Features::from(array![[0.1_f32, 1.0], [2.1, 0.0]]))?;
//! assert_eq!(labels[0].to_string(), "left");
//! assert_eq!(labels[1].to_string(), "right");
//! # Ok::<(), lvq::Error>(())
//! ```

pub mod backend;
pub mod cli;
pub mod data;
pub mod error;
pub mod model;
pub mod parts;
pub mod train;

pub use backend::cpu::Cpu;
pub use backend::{Backend, DeviceRequest};
pub use data::{Dataset, Features, Label, Labels};
pub use error::{Error, Result};
pub use model::{Fitted, Model};
pub use train::{Extras, Flow, Iteration, Observer, Training};

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
