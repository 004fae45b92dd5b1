//! Observers: what is told of each iteration, and may end training.

use crate::error::Result;
use crate::parts::tensor::Tensors;

/// What an observer wants to happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End training after this iteration; what was reached is returned.
    Stop,
}

/// One finished iteration.
pub struct Iteration<'a> {
    /// Number of the iteration, from 0, counted over all runs.
    pub iteration: usize,
    /// Iterations at most.
    pub max_iter: usize,
    /// Loss before the iteration's updates (mini-batches: mean over the epoch).
    pub loss: f64,
    /// Validation loss after them.
    pub validation_loss: Option<f64>,
    /// Smallest monitored loss so far.
    pub best_loss: f64,
    /// Rate of the last update.
    pub learning_rate: f64,
    /// Updates made so far.
    pub updates: u64,
    /// Seconds since training started, in this run.
    pub seconds: f64,
    /// Class of each prototype.
    pub prototype_labels: &'a [u32],
    pub(super) tensors: &'a dyn Fn() -> Result<Tensors<f64>>,
    pub(super) gradient: &'a dyn Fn() -> Result<Tensors<f64>>,
}

impl Iteration<'_> {
    /// All tensors after the iteration; copied from the device when asked for.
    ///
    /// # Errors
    /// Those of the device.
    pub fn tensors(&self) -> Result<Tensors<f64>> {
        (self.tensors)()
    }

    /// Norm of the last gradient, as the optimizer saw it; copied from the device when asked for.
    ///
    /// # Errors
    /// Those of the device.
    pub fn gradient_norm(&self) -> Result<f64> {
        let g = (self.gradient)()?;
        Ok(g.list.iter().flat_map(|t| &t.data).map(|v| v * v).sum::<f64>().sqrt())
    }
}

/// Something that watches training. Changes nothing numerically.
pub trait Observer {
    /// Before the first iteration: rows and features of the training data, iterations at most.
    fn on_start(&mut self, rows: usize, features: usize, max_iter: usize) {
        let _ = (rows, features, max_iter);
    }

    /// After each iteration.
    fn on_iteration(&mut self, iteration: &Iteration<'_>) -> Flow {
        let _ = iteration;
        Flow::Continue
    }

    /// After training, with the model that is returned.
    fn on_end(&mut self, fitted: &crate::model::Fitted) {
        let _ = fitted;
    }
}

/// A function is an observer of iterations.
impl<F: FnMut(&Iteration<'_>) -> Flow> Observer for F {
    fn on_iteration(&mut self, iteration: &Iteration<'_>) -> Flow {
        self(iteration)
    }
}
