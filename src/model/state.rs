//! What training needs, beside the tensors, to go on as if it had never stopped.

use crate::parts::tensor::Tensors;
use serde::{Deserialize, Serialize};

/// Counters and scalars of a run between two steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Iterations finished.
    pub iteration: usize,
    /// Batches finished of the iteration at hand (0 between iterations).
    pub batch: usize,
    /// Sum of loss times rows over those batches.
    pub epoch_loss: f64,
    /// Rows of those batches.
    pub epoch_rows: f64,
    /// Updates made: the schedule's counter.
    pub updates: u64,
    /// Updates with a rate above 0 in the iteration at hand.
    pub moved: u64,
    /// Updates with a rate above 0 in the iteration before.
    pub moved_before: u64,
    /// Rows whose gradients wait in the running mean.
    pub accumulated_rows: f64,
    /// Batches whose gradients wait in the running mean.
    pub accumulated_batches: usize,
    /// The ranks' range, not rounded to the precision of the run.
    pub range: Option<f64>,
    /// Its factor per update.
    pub range_decay: Option<f64>,
    /// Lookahead synchronisations made.
    pub synchronised: u64,
    /// Iterations in a row without improvement.
    pub waited: usize,
    /// Best monitored value the patience test has seen.
    pub patience_best: Option<f64>,
    /// Loss scale (f16).
    pub scale: f64,
    /// Good steps since the scale last changed.
    pub good_steps: u32,
}

/// Everything that a continued run restores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingState {
    /// Counters.
    pub counters: Counters,
    /// The weights being trained (not the averaged or slow ones that are deployed).
    pub current: Tensors<f64>,
    /// Lookahead's slow weights.
    pub slow: Option<Tensors<f64>>,
    /// The moving average.
    pub average: Option<Tensors<f64>>,
    /// The best weights so far.
    pub best: Option<Tensors<f64>>,
    /// The running mean of gradients.
    pub accumulated: Option<Tensors<f64>>,
    /// The optimizer's state.
    pub optimizer: Tensors<f64>,
}

/// What happened in training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Loss of each iteration, before its update.
    #[serde(skip)]
    pub loss_history: Vec<f64>,
    /// Validation loss after each iteration, if there was validation data.
    #[serde(skip)]
    pub validation_history: Vec<f64>,
    /// Rate of the last update of each iteration.
    #[serde(skip)]
    pub rate_history: Vec<f64>,
    /// Seconds from the start of training to the end of each iteration, over all runs.
    #[serde(skip)]
    pub seconds_history: Vec<f64>,
    /// Smallest monitored loss.
    pub best_loss: Option<f64>,
    /// Iteration it belongs to.
    pub best_iteration: Option<usize>,
    /// Whether the epsilon test or patience ended training.
    pub converged: bool,
    /// Why training ended.
    pub stopped_by: String,
    /// Seconds of training, over all runs.
    pub seconds: f64,
    /// Device of the last run.
    pub device: String,
    /// Rows trained on.
    pub rows: usize,
    /// CRC-32 of the training data, by which a continued run knows that it has the same.
    pub data_crc32: u32,
    /// What a user should know.
    pub warnings: Vec<String>,
}
