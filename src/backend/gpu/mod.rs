//! What the GPU backends share: a model's passes as launches of kernels, written once above a small [`Driver`].
//!
//! A part has a kernel of its own name in `shaders/` (and in `kernels/`); what is launched with which buffers is decided here. All
//! numbers on a device are `f32` or `u32`. Matrices with an entry for each row of a chunk and each prototype lie prototype by prototype
//! (entry `(i, j)` at `j * stride + i`), so that neighbouring invocations touch neighbouring words.
//!
//! A pass over n rows goes chunk by chunk (what a chunk needs beside its rows fits [`CHUNK_BYTES`]):
//!
//! ```text
//! prepare    centred prototypes, projections of prototypes, relevances, bandwidths, rank weights      once
//! forward    keys of all pairs (projecting the rows first, where the metric has maps)                 each chunk
//! rows       cooperation and objective: losses, slopes dL/dkey                                         each chunk
//! backward   sums over rows, in slabs that are added in their order                                    each chunk
//! finish     gradients from the sums                                                                   once
//! ```

#[cfg(feature = "cuda")]
mod group;
mod lbfgs;
mod optimizer;
mod pass;
mod peaks;
mod predictor;
mod session;
mod slots;

use super::{Backend, DeviceInfo, Peaks, Predictor, Problem, Question, Session};
use crate::error::{Error, Result};
use crate::parts::composition::{Composition, MetricName, Objective, Precision};
use crate::parts::objective::transfer::Transfer;
use std::ops::Range;
use std::sync::Arc;

#[cfg(feature = "cuda")]
pub(super) use group::{ByHost, Communicator, Group};

/// Bytes that the pairs of one chunk of rows may take.
const CHUNK_BYTES: usize = 256 << 20;

/// Constants from here on are lengths of arrays that a workgroup shares (`SHARED_SIZED` in `shaders/include/lvq.glsl`).
pub(super) const FIRST_LENGTH: u32 = 8;

/// One launch of a kernel.
#[derive(Clone)]
pub(super) struct Launch<B> {
    /// The kernel, `part.entry`.
    pub kernel: &'static str,
    /// Constants that it is specialised by: number and value.
    pub constants: Vec<(u32, u32)>,
    /// Its buffers, in the order of their bindings.
    pub buffers: Vec<B>,
    /// Its sizes and settings.
    pub words: Vec<u32>,
    /// Workgroups along x, y and z.
    pub groups: [u32; 3],
}

/// Which form of the kernels that have two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernels {
    /// An invocation a result, straight from memory: what the others are tested against.
    Naive,
    /// In tiles through shared memory, and the whole step as one kernel where it fits.
    #[default]
    Tuned,
}

/// Share of a device's memory that the rows of a data set may take before they are streamed.
const RESIDENT: f64 = 0.5;

/// What a device allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of one buffer.
    pub buffer_bytes: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Workgroups along one side of a launch.
    pub groups: u32,
    /// Bytes that a workgroup shares.
    pub shared_bytes: u32,
    /// Whether subgroups do arithmetic.
    pub subgroups: bool,
    /// Multiprocessors with tensor cores of the kind that `kernels/include/mma.h` speaks of; 0: none.
    pub multiprocessors: u32,
    /// Bytes that a workgroup of those can share.
    pub shared_most: u32,
}

/// A device with memory and kernels. Launches run in the order in which they are given; each sees what those before it wrote.
pub(super) trait Driver: Send + Sync + 'static {
    /// Memory of the device, a number of 32-bit words.
    type Buffer: Clone + Send + Sync;
    /// Launches that can be run again and again.
    type Recorded: Send;
    /// Launches that run.
    type Pending;

    /// What it is.
    fn info(&self) -> DeviceInfo;

    /// As it is asked for, `vulkan:0`.
    fn name(&self) -> &str;

    /// What it allows.
    fn limits(&self) -> Limits;

    /// Which form of the kernels to run.
    fn kernels(&self) -> Kernels;

    /// Words of a buffer.
    fn words(&self, buffer: &Self::Buffer) -> usize;

    /// Memory for so many words, all zero.
    fn buffer(&self, words: usize) -> Result<Self::Buffer>;

    /// The same that both sides see, for a few numbers that are written or read at every step.
    fn shared(&self, words: usize) -> Result<Self::Buffer>;

    /// The same for rows that pass through the device: written while launches run that use other memory.
    fn stage(&self, words: usize) -> Result<Self::Buffer> {
        self.shared(words)
    }

    /// Writes words from word `at` on.
    fn write(&self, to: &Self::Buffer, at: usize, words: &[u32]) -> Result<()>;

    /// Reads words from word `at` on.
    fn read(&self, from: &Self::Buffer, at: usize, words: &mut [u32]) -> Result<()>;

    /// Makes launches ready to be run.
    fn record(&self, launches: &[Launch<Self::Buffer>]) -> Result<Self::Recorded>;

    /// Begins to run them. Nothing else is begun before they have been waited for.
    fn submit(&self, recorded: &Self::Recorded) -> Result<Self::Pending>;

    /// Waits for their end.
    fn wait(&self, pending: Self::Pending) -> Result<()>;

    /// Runs them and waits for their end.
    fn run(&self, recorded: &Self::Recorded) -> Result<()> {
        self.wait(self.submit(recorded)?)
    }

    /// Writes numbers.
    fn write_numbers(&self, to: &Self::Buffer, at: usize, values: &[f32]) -> Result<()> {
        self.write(to, at, bytemuck::cast_slice(values))
    }

    /// Reads numbers.
    fn read_numbers(&self, from: &Self::Buffer, at: usize, values: &mut [f32]) -> Result<()> {
        self.read(from, at, bytemuck::cast_slice_mut(values))
    }

    /// Memory with numbers in it (at least one word: no buffer is empty).
    fn with_numbers(&self, values: &[f32]) -> Result<Self::Buffer> {
        let buffer = self.buffer(values.len().max(1))?;
        self.write_numbers(&buffer, 0, values)?;
        Ok(buffer)
    }

    /// Memory with words in it.
    fn with_words(&self, words: &[u32]) -> Result<Self::Buffer> {
        let buffer = self.buffer(words.len().max(1))?;
        self.write(&buffer, 0, words)?;
        Ok(buffer)
    }

    /// Runs launches once.
    fn run_once(&self, launches: &[Launch<Self::Buffer>]) -> Result<()> {
        self.run(&self.record(launches)?)
    }
}

/// A backend over a driver.
pub(super) struct Gpu<D: Driver> {
    driver: Arc<D>,
}

/// Whether so many words of a data set stay on the device.
fn stays(limits: &Limits, words: usize) -> bool {
    let bytes = 4 * words as u64;
    bytes <= limits.buffer_bytes && bytes as f64 <= RESIDENT * limits.memory_bytes as f64
}

/// `n` rows in `count` contiguous parts, one a device, of which the first have one more where it does not come out even.
fn shards(n: usize, count: usize) -> Vec<Range<usize>> {
    let (each, more) = (n / count, n % count);
    let start = |i: usize| i * each + i.min(more);
    (0..count).map(|i| start(i)..start(i + 1)).collect()
}

impl<D: Driver> Gpu<D> {
    pub fn new(driver: D) -> Self {
        Gpu { driver: Arc::new(driver) }
    }
}

/// What no GPU kernel can do, named before any work.
fn refuse(device: &str, composition: &Composition, precision: Precision) -> Result<()> {
    let what = if precision == Precision::F64 {
        "double precision (its kernels compute in single precision)"
    } else if composition.metric == MetricName::Custom {
        "a metric of the user's own (it is a function of the host)"
    } else if matches!(
        composition.objective,
        Objective::Glvq { transfer: Transfer::Custom(_), .. }
            | Objective::OneClass { transfer: Transfer::Custom(_), .. }
    ) {
        "a transfer function of the user's own (it is a function of the host)"
    } else {
        return Ok(());
    };
    Err(Error::Device { device: device.into(), reason: format!("it cannot run {what}; use cpu") })
}

impl<D: Driver> Backend for Gpu<D> {
    fn info(&self) -> DeviceInfo {
        self.driver.info()
    }

    fn peaks(&self) -> Result<Option<Peaks>> {
        peaks::peaks(&*self.driver).map(Some)
    }

    fn session<'a>(&self, problem: Problem<'a>) -> Result<Box<dyn Session + 'a>> {
        refuse(self.driver.name(), problem.composition, problem.precision)?;
        let shard = session::Shard::whole(&problem);
        Ok(Box::new(session::GpuSession::new(self.driver.clone(), problem, &shard)?))
    }

    fn predictor(&self, question: Question<'_>) -> Result<Box<dyn Predictor>> {
        refuse(self.driver.name(), question.composition, question.precision)?;
        Ok(Box::new(predictor::GpuPredictor::new(std::slice::from_ref(&self.driver), &question)?))
    }
}
