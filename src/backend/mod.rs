//! What a device must be able to do, and the devices.
//!
//! A [`Backend`] opens a [`Session`] for a training problem or a [`Predictor`] for a fitted model. Data,
//! parameters, gradient and optimizer state live in the session, on the device, from step to step; the host sees
//! the loss and what it asks for. Everything that crosses the border is `f64`, which holds every `f32` exactly, so the code
//! above this line is written once for all precisions and devices.

pub mod artefacts;
pub mod cpu;
pub mod cuda;
pub mod device;
#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod gpu;
pub(crate) mod mapped;
pub mod vulkan;

use crate::data::Features;
use crate::error::Result;
use crate::parts::composition::{Composition, Precision};
use crate::parts::optimizer::OptimizerSpec;
use crate::parts::tensor::Tensors;
use ndarray::Array2;

#[cfg(any(feature = "cuda", feature = "vulkan"))]
pub use gpu::Kernels;

pub use device::{Choice, DeviceInfo, DeviceKind, DeviceRequest, Discovery, devices};

/// Copies of the parameters that a session keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The weights being trained.
    Current,
    /// Lookahead's slow weights.
    Slow,
    /// The exponential moving average.
    Average,
    /// The best so far.
    Best,
    /// The weights that would be deployed now.
    Deployed,
    /// The weights before the update at hand.
    Before,
}

impl Slot {
    /// Number of slots.
    pub const COUNT: usize = 6;
}

/// Rows of which set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// The training data.
    Training,
    /// The validation data.
    Validation,
}

/// Which rows an operation runs over.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Training or validation data.
    pub set: Set,
    /// The rows in this order; none: all.
    pub indices: Option<&'a [u32]>,
    /// A weight for each of these rows, in the same order, in place of the problem's row weights.
    pub weights: Option<&'a [f64]>,
}

impl Rows<'_> {
    /// All training rows.
    pub const TRAINING: Rows<'static> = Rows { set: Set::Training, indices: None, weights: None };
    /// All validation rows.
    pub const VALIDATION: Rows<'static> =
        Rows { set: Set::Validation, indices: None, weights: None };
}

/// Features and label codes of one set.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    /// `n x d`, as the user has them; centred and rounded block by block.
    pub features: &'a Features,
    /// Class of each row, `0..classes`.
    pub codes: &'a [u32],
}

/// A training problem.
#[derive(Clone)]
pub struct Problem<'a> {
    /// What to train.
    pub composition: &'a Composition,
    /// Training data.
    pub training: Samples<'a>,
    /// Validation data.
    pub validation: Option<Samples<'a>>,
    /// Weight of each training row (mean 1); none: all 1.
    pub row_weights: Option<Vec<f64>>,
    /// Number of classes.
    pub classes: usize,
    /// The class that one-class models are about; 0 for all others.
    pub target: u32,
    /// Class of each prototype.
    pub prototype_labels: &'a [u32],
    /// Subtracted from rows and prototypes before distances are taken.
    pub centre: &'a [f64],
    /// All tensors at the start, fixed ones included.
    pub tensors: &'a Tensors<f64>,
    /// Names of the tensors whose gradient is computed, and that averages, snapshots and constraints apply to.
    pub learn: &'a [String],
    /// Names of those among them that the optimizer updates.
    pub train: &'a [String],
    /// Precision of everything on the device.
    pub precision: Precision,
    /// Update rule of the tensors that learn; none: loss and gradient only.
    pub optimizer: Option<(&'a OptimizerSpec, f64)>,
    /// Passes over all training rows that are meant to be made. No result depends on it: what takes long to prepare pays for many passes alone.
    pub passes: usize,
}

/// A fitted model to be asked.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The model.
    pub composition: &'a Composition,
    /// Number of classes.
    pub classes: usize,
    /// The class that one-class models are about; 0 for all others.
    pub target: u32,
    /// Class of each prototype.
    pub prototype_labels: &'a [u32],
    /// As in [`Problem::centre`].
    pub centre: &'a [f64],
    /// All tensors.
    pub tensors: &'a Tensors<f64>,
    /// Precision.
    pub precision: Precision,
}

/// A device's limits, as measured on it.
#[derive(Clone, Copy, Debug)]
pub struct Peaks {
    /// Operations a second in f32, a product with a sum counting 2.
    pub f32: f64,
    /// The same on tensor cores: f32 as three products of tf32, bf16, f16.
    pub tensor: Option<[f64; 3]>,
    /// Bytes a second that a copy reads and writes.
    pub bandwidth: f64,
}

/// How a training step is done on a device.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Its launches in their order: kernel, blocks (workgroups), bytes of shared memory that are asked for at the launch.
    pub launches: Vec<(&'static str, [u32; 3], u32)>,
    /// In words: fused or staged, and why.
    pub choice: String,
    /// Whether its products are done on tensor cores.
    pub tensor_cores: bool,
}

/// A device that can train and run models.
pub trait Backend: Send + Sync {
    /// What it is.
    fn info(&self) -> DeviceInfo;

    /// Measures the device's limits; none where the caller can (the CPU).
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) when it fails.
    fn peaks(&self) -> Result<Option<Peaks>> {
        Ok(None)
    }

    /// Loads a training problem. Fails before any work if the device cannot run it, naming the operation.
    fn session<'a>(&self, problem: Problem<'a>) -> Result<Box<dyn Session + 'a>>;

    /// Loads a fitted model.
    fn predictor(&self, question: Question<'_>) -> Result<Box<dyn Predictor>>;
}

/// A training problem resident on a device. Any call may fail where the device does; the session is then of no further use.
pub trait Session {
    /// Weighted mean loss of the rows at the parameters of `slot`.
    fn loss(&mut self, slot: Slot, rows: Rows<'_>) -> Result<f64>;

    /// Loss of each row, unweighted, at the current parameters.
    fn row_losses(&mut self, rows: Rows<'_>) -> Result<Vec<f64>>;

    /// Norm of each row's own gradient (all tensors that learn together) at the current parameters.
    fn row_gradient_norms(&mut self, rows: Rows<'_>) -> Result<Vec<f64>>;

    /// Loss and gradient of the rows at the current parameters, in one pass; the gradient stays on the device.
    ///
    /// Returns the weighted mean loss. `scale` multiplies the `G` operand of the backward products and is divided out
    /// of the gradient (loss scaling for f16; 1 otherwise).
    fn gradient(&mut self, rows: Rows<'_>, scale: f64) -> Result<f64>;

    /// One iteration of the models that have an update rule: returns the loss before it. `rate` is the step size.
    fn rule(&mut self, rows: Rows<'_>, rate: f64) -> Result<f64>;

    /// The gradient, read back.
    fn read_gradient(&self) -> Result<Tensors<f64>>;

    /// Replaces the gradient.
    fn write_gradient(&mut self, gradient: &Tensors<f64>) -> Result<()>;

    /// The first tensor whose gradient is not finite.
    fn gradient_not_finite(&self) -> Result<Option<String>>;

    /// The first tensor of a slot that is not finite.
    fn not_finite(&self, slot: Slot) -> Result<Option<String>>;

    /// Running mean of gradients: `a <- a + weight (g - a)`; `weight` 1 starts anew.
    fn accumulate(&mut self, weight: f64) -> Result<()>;

    /// The running mean becomes the gradient.
    fn take_accumulated(&mut self) -> Result<()>;

    /// The running mean, for a checkpoint.
    fn accumulated(&self) -> Result<Option<Tensors<f64>>>;

    /// Restores the running mean.
    fn set_accumulated(&mut self, mean: &Tensors<f64>) -> Result<()>;

    /// Applies the optimizer to the current parameters with rate `rate` (times `multiplier(tensor)`), then the constraints.
    ///
    /// `rows` are those of the gradient: the line search of L-BFGS evaluates the loss on them.
    fn update(
        &mut self,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        rows: Rows<'_>,
        loss: f64,
    ) -> Result<()>;

    /// Gradient and update of one batch, constraints included, as one program that the host does not wait for an answer of: the loss
    /// stays on the device until [`Session::kept_losses`] asks. False where the device does not work like that: nothing was done.
    ///
    /// `before`: the parameters go to [`Slot::Before`] first.
    fn step(
        &mut self,
        rows: Rows<'_>,
        rate: f64,
        multiplier: &dyn Fn(&str) -> f64,
        before: bool,
    ) -> Result<bool> {
        let _ = (rows, rate, multiplier, before);
        Ok(false)
    }

    /// Losses of the [steps](Session::step) since the last call, and the first tensor that was not finite after any of them, or whose
    /// gradient was not.
    fn kept_losses(&mut self) -> Result<(Vec<f64>, Option<String>)> {
        Ok((Vec::new(), None))
    }

    /// How a step over all training rows is done; none where it is no list of launches (the CPU's blocks, rows that
    /// are streamed).
    fn plan(&self) -> Option<Plan> {
        None
    }

    /// State of the optimizer, for a checkpoint.
    fn optimizer_state(&self) -> Result<Tensors<f64>>;

    /// Restores it.
    fn restore_optimizer(&mut self, state: &Tensors<f64>) -> Result<()>;

    /// `to <- to + a (from - to)` on the tensors that learn; `a = 1` copies all tensors exactly.
    fn blend(&mut self, to: Slot, from: Slot, a: f64) -> Result<()>;

    /// Applies the constraints to a slot.
    fn constrain(&mut self, slot: Slot) -> Result<()>;

    /// All tensors of a slot.
    fn read(&self, slot: Slot) -> Result<Tensors<f64>>;

    /// Replaces all tensors of a slot.
    fn write(&mut self, slot: Slot, tensors: &Tensors<f64>) -> Result<()>;
}

/// A fitted model resident on a device. Rows of the answers are rows of `features`.
pub trait Predictor {
    /// Nearest prototype of each row (first on ties).
    fn winners(&self, features: &Features) -> Result<Vec<u32>>;

    /// Distances to all prototypes, `n x p`.
    fn distances(&self, features: &Features) -> Result<Array2<f64>>;

    /// Smallest distance to each class, `n x classes`, as the key of the composition's kernel ([`Map`]); the largest number of
    /// the precision where a class has no prototype.
    ///
    /// [`Map`]: crate::parts::kernel::Map
    fn class_minima(&self, features: &Features) -> Result<Array2<f64>>;

    /// Class scores of the models that reason about components, `n x classes`.
    fn class_scores(&self, features: &Features) -> Result<Array2<f64>>;

    /// Score of each row, high for the target class, of one-class models.
    fn target_scores(&self, features: &Features) -> Result<Vec<f64>>;

    /// What the model projects rows to: `n x l`; distances if it has no projection.
    fn transform(&self, features: &Features) -> Result<Array2<f64>>;
}

/// Whether this version can train and run models on a device; the reason if not.
pub fn runs_models(device: &DeviceInfo) -> std::result::Result<(), String> {
    match device.name.split(':').next() {
        Some("cpu") => Ok(()),
        Some("cuda") => cuda::runs_models(device),
        Some("vulkan") => vulkan::runs_models(device),
        _ => Err("models are trained and run on cpu, cuda and vulkan".into()),
    }
}

/// Opens a device for work in single precision. `threads`: on the CPU; none: one a core.
///
/// # Errors
/// The device does not exist, or cannot run models: never a silent change to another device.
pub fn open(request: DeviceRequest, threads: Option<usize>) -> Result<Box<dyn Backend>> {
    open_for(request, threads, Precision::F32)
}

/// Opens a device for work in some precision: GPUs have no double precision here, so `auto` takes the CPU for that, and where a
/// number of threads is asked for.
///
/// # Errors
/// Those of [`open`].
pub fn open_for(
    request: DeviceRequest,
    threads: Option<usize>,
    precision: Precision,
) -> Result<Box<dyn Backend>> {
    let request = match request {
        DeviceRequest::Auto if precision == Precision::F64 || threads.is_some() => {
            DeviceRequest::Cpu
        }
        DeviceRequest::Auto => {
            Discovery::new().choose(request, runs_models)?.device.name.parse()?
        }
        named => named,
    };
    match request {
        DeviceRequest::Vulkan(index) => vulkan::open(index),
        DeviceRequest::Cuda(index) => cuda::open(index),
        DeviceRequest::CudaSeveral(indices) => cuda::open_group(&indices),
        DeviceRequest::CudaAll => cuda::open_every(),
        // The CPU needs no search, and no driver that a search would load.
        DeviceRequest::Cpu | DeviceRequest::Auto => Ok(Box::new(cpu::Cpu::with_threads(threads)?)),
    }
}
