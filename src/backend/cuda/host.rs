//! The CUDA kernels compiled for the host (`kernels/include/host.h`): a device for tests, which runs
//! the sources of the PTX block by block where there is no GPU. It is never chosen for a user.

use super::super::operands::Operands;
use crate::{Error, Result};
use ndarray::{Array2, ArrayView2};
use std::ffi::{c_char, c_void};

/// The name under which tests know this device.
pub const NAME: &str = "cuda-host";

/// `lvq_host::Launch`.
#[repr(C)]
struct Launch {
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    descending: u32,
}

/// Runs one kernel over a grid; null, or what went wrong as text that lives for ever.
type Entry = unsafe extern "C" fn(*const Launch, *mut *mut c_void) -> *const c_char;

// `KERNELS`: the entry points by name.
#[cfg(lvq_cuda_host)]
include!(concat!(env!("OUT_DIR"), "/host.rs"));

/// Not built: no entry points.
#[cfg(not(lvq_cuda_host))]
static KERNELS: &[(&str, Entry)] = &[];

/// Why the kernels were not compiled for the host, or `None` when they were.
pub fn missing() -> Option<&'static str> {
    if cfg!(lvq_cuda_host) {
        return None;
    }
    Some(option_env!("LVQ_CUDA_HOST_MISSING").unwrap_or("no C++ compiler"))
}

/// The kernels as host code.
#[derive(Clone, Debug)]
pub struct CudaHost {
    descending: bool,
}

impl CudaHost {
    /// The device, running the threads of a block in ascending order.
    ///
    /// # Errors
    /// [`Error::Device`] when the crate was built without a C++ compiler.
    pub fn open() -> Result<Self> {
        match missing() {
            None => Ok(CudaHost { descending: false }),
            Some(why) => Err(failed(format!("the kernels were not built for the host: {why}"))),
        }
    }

    /// The same device, running the threads of a block in descending order. A kernel without a
    /// missing barrier gives the same result to the bit.
    pub fn descending(self) -> Self {
        CudaHost { descending: true }
    }

    /// Squared Euclidean distances (n x p) of the rows of `x` (n x dim) to those of `w` (p x dim).
    ///
    /// # Errors
    /// [`Error::Shape`] when the columns differ in number; [`Error::Device`] when the matrices are
    /// too large for a launch, or the kernel breaks a rule that the host build checks.
    pub fn distances(&self, x: ArrayView2<f32>, w: ArrayView2<f32>) -> Result<Array2<f32>> {
        let operands = Operands::new(x, w)?;
        let (rows, prototypes) = (operands.n, operands.p);
        if operands.is_empty() {
            return Ok(Array2::zeros((rows, prototypes)));
        }
        let (grid, block) = super::squared_euclidean_launch(rows, prototypes)
            .ok_or_else(|| failed(format!("{rows} x {prototypes} distances are too many")))?;
        let (n, p) = (rows as i64, prototypes as i64);
        let dim = i32::try_from(operands.dim).map_err(|_| failed("too many columns".into()))?;
        let mut d = Fenced::new(rows * prototypes);
        let launch = Launch { grid, block, shared_bytes: 0, descending: self.descending.into() };
        let (x, w, out) = (operands.x.as_ptr(), operands.w.as_ptr(), d.values().as_mut_ptr());
        // SAFETY: the arguments are those of the kernel's signature, in order and type; x, w and out
        // point to n * dim, p * dim and n * p values, which outlive the call, and the kernel touches
        // nothing beyond them (for small mistakes in what it writes there is the fence).
        unsafe {
            run(
                "squared_euclidean",
                &launch,
                &mut [
                    argument(&x),
                    argument(&w),
                    argument(&out),
                    argument(&n),
                    argument(&p),
                    argument(&dim),
                ],
            )
        }?;
        if !d.is_intact() {
            return Err(failed("squared_euclidean wrote beyond its result".into()));
        }
        Array2::from_shape_vec((rows, prototypes), d.values().to_vec())
            .map_err(|e| failed(e.to_string()))
    }
}

/// The result of a kernel with values before and after it that the kernel must leave alone: a missing
/// guard for the last rows of a tile is found out.
struct Fenced(Vec<f32>);

impl Fenced {
    /// Values on either side: more than 64 rows of every test's result.
    const FENCE: usize = 1 << 16;
    /// A NaN that no arithmetic produces.
    const MARK: u32 = 0x7fc5_1de5;

    fn new(len: usize) -> Self {
        Fenced(vec![f32::from_bits(Self::MARK); len + 2 * Self::FENCE])
    }

    fn values(&mut self) -> &mut [f32] {
        let end = self.0.len() - Self::FENCE;
        &mut self.0[Self::FENCE..end]
    }

    fn is_intact(&self) -> bool {
        let (before, rest) = self.0.split_at(Self::FENCE);
        let after = &rest[rest.len() - Self::FENCE..];
        before.iter().chain(after).all(|v| v.to_bits() == Self::MARK)
    }
}

fn failed(reason: String) -> Error {
    Error::Device { device: NAME.into(), reason }
}

/// A kernel argument: where its value lies.
fn argument<T>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}

/// Runs the kernel `name`.
///
/// # Safety
/// `arguments` must match the kernel's parameters in number, order and type, and each pointer among
/// their values must be valid for all that the kernel reads or writes through it.
unsafe fn run(name: &str, launch: &Launch, arguments: &mut [*mut c_void]) -> Result<()> {
    let entry = KERNELS.iter().find(|(n, _)| *n == name).map(|(_, entry)| entry);
    let entry = entry.ok_or_else(|| failed(format!("no kernel {name}")))?;
    // SAFETY: `launch` has the layout of lvq_host::Launch, which is read only during the call; the
    // rest is the caller's promise.
    let error = unsafe { entry(launch, arguments.as_mut_ptr()) };
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so a string literal of host.h.
    let text = unsafe { std::ffi::CStr::from_ptr(error) };
    Err(failed(format!("{name}: {}", text.to_string_lossy())))
}
