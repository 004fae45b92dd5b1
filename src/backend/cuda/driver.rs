//! CUDA devices through `cudarc`.

use super::super::operands::Operands;
use super::super::{DeviceInfo, DeviceKind, artefacts};
use crate::{Error, Result};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use ndarray::{Array2, ArrayView2};
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;

/// The compute capability that the kernels' PTX is compiled for.
const OLDEST: (i32, i32) = (7, 5);

/// The devices, and what stood in the way of finding more.
pub(in super::super) fn discover() -> (Vec<DeviceInfo>, Vec<String>) {
    match guarded(list) {
        Ok(found) => found,
        Err(why) => (Vec::new(), vec![why]),
    }
}

/// Runs `f` where the driver library is present. `cudarc` panics when the library, or a function of
/// a newer driver than the installed one, is missing: the library is asked for first, and what
/// remains becomes an error.
fn guarded<T>(f: impl FnOnce() -> Result<T, String> + std::panic::UnwindSafe) -> Result<T, String> {
    // SAFETY: opens libcuda, whose initialisers are the vendor's and run at most once; no symbol of
    // it is called here.
    let present = unsafe { sys::is_culib_present() };
    if !present {
        return Err("the driver library (libcuda.so, nvcuda.dll) is not installed".into());
    }
    catch_unwind(f).unwrap_or_else(|_| Err("the driver is too old: it lacks a function".into()))
}

fn list() -> Result<(Vec<DeviceInfo>, Vec<String>), String> {
    let count = CudaContext::device_count().map_err(explain)?;
    let mut devices = Vec::new();
    let mut problems = Vec::new();
    for index in 0..count {
        match describe(index) {
            Ok(device) => devices.push(device),
            Err(error) => problems.push(format!("device {index}: {}", explain(error))),
        }
    }
    if count == 0 {
        problems.push("the driver is installed and has no device".into());
    }
    Ok((devices, problems))
}

fn describe(index: i32) -> Result<DeviceInfo, DriverError> {
    let device = result::device::get(index)?;
    // SAFETY: `device` was returned by the driver just now.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    // SAFETY: as above.
    let memory = unsafe { result::device::total_mem(device) }?;
    let capability = (
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    );
    let integrated = attribute(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0;
    let shared = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
    let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
    Ok(DeviceInfo {
        name: format!("cuda:{index}"),
        kind: if integrated { DeviceKind::IntegratedGpu } else { DeviceKind::DiscreteGpu },
        description: result::device::get_name(device)?,
        memory_bytes: Some(memory as u64),
        info: BTreeMap::from([
            ("compute_capability", format!("{}.{}", capability.0, capability.1)),
            ("multiprocessors", multiprocessors.to_string()),
            ("shared_memory_bytes", shared.to_string()),
            ("driver_cuda_version", driver_version()?),
            ("kernels", artefacts::PTX_ORIGIN.to_string()),
        ]),
    })
}

/// The newest CUDA that the driver knows, e.g. `13.0`.
fn driver_version() -> Result<String, DriverError> {
    let mut version = 0;
    // SAFETY: the driver writes one int to a live variable.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok(format!("{}.{}", version / 1000, version % 1000 / 10))
}

/// What the driver says, with advice for the errors a user can do something about.
fn explain(error: DriverError) -> String {
    let advice = match error.0 {
        CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
            let version = driver_version().unwrap_or_else(|_| "an unknown CUDA".into());
            format!(
                "; the driver is for CUDA {version}, and the kernels were {}: install a newer \
                 driver, or build with an older nvcc",
                artefacts::PTX_ORIGIN
            )
        }
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => "; the device's memory is full".into(),
        CUresult::CUDA_ERROR_NO_DEVICE => "; no GPU is visible (CUDA_VISIBLE_DEVICES?)".into(),
        _ => String::new(),
    };
    format!("{error}{advice}")
}

/// A CUDA device with the kernels loaded.
#[derive(Debug)]
pub struct CudaDevice {
    name: String,
    context: Arc<CudaContext>,
    squared_euclidean: CudaFunction,
}

impl CudaDevice {
    /// Opens the device of this index and loads the kernels onto it.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver or the device is missing, older than compute capability
    /// 7.5, or too old for the PTX.
    pub fn open(index: usize) -> Result<Self> {
        let name = format!("cuda:{index}");
        guarded(|| Self::open_present(index))
            .map_err(|reason| Error::Device { device: name, reason })
    }

    fn open_present(index: usize) -> Result<Self, String> {
        let count = CudaContext::device_count().map_err(explain)?;
        if i32::try_from(index).map_or(true, |i| i >= count) {
            return Err(format!("there is no such device; the driver has {count}"));
        }
        let context = CudaContext::new(index).map_err(explain)?;
        let capability = context.compute_capability().map_err(explain)?;
        if capability < OLDEST {
            return Err(format!(
                "its compute capability is {}.{}, and {}.{} is needed",
                capability.0, capability.1, OLDEST.0, OLDEST.1
            ));
        }
        let ptx = artefacts::ptx("squared_euclidean").ok_or("no PTX for squared_euclidean")?;
        let module = context.load_module(Ptx::from_src(ptx)).map_err(explain)?;
        let squared_euclidean = module.load_function("squared_euclidean").map_err(explain)?;
        Ok(CudaDevice { name: format!("cuda:{index}"), context, squared_euclidean })
    }

    fn error(&self, reason: String) -> Error {
        Error::Device { device: self.name.clone(), reason }
    }

    /// Squared Euclidean distances (n x p) of the rows of `x` (n x dim) to those of `w` (p x dim).
    /// The relative error of each is at most about (dim + 2) / 2^24.
    ///
    /// # Errors
    /// [`Error::Shape`] when the columns differ in number; [`Error::Device`] when the matrices are
    /// too large for a launch or for the device's memory, or the driver fails.
    pub fn distances(&self, x: ArrayView2<f32>, w: ArrayView2<f32>) -> Result<Array2<f32>> {
        let operands = Operands::new(x, w)?;
        let (n, p) = (operands.n, operands.p);
        if operands.is_empty() {
            return Ok(Array2::zeros((n, p)));
        }
        let values = self.run(&operands).map_err(|why| self.error(why))?;
        Array2::from_shape_vec((n, p), values).map_err(|e| self.error(e.to_string()))
    }

    fn run(&self, operands: &Operands) -> Result<Vec<f32>, String> {
        let too_large = || format!("{} x {} distances are too many", operands.n, operands.p);
        let (grid, block) =
            super::squared_euclidean_launch(operands.n, operands.p).ok_or_else(too_large)?;
        let cells = operands.n.checked_mul(operands.p).ok_or_else(too_large)?;
        let (n, p) = (operands.n as i64, operands.p as i64);
        let dim = i32::try_from(operands.dim).map_err(|_| "too many columns".to_string())?;

        let stream = self.context.default_stream();
        let x = stream.clone_htod(operands.x.as_ref()).map_err(explain)?;
        let w = stream.clone_htod(operands.w.as_ref()).map_err(explain)?;
        let mut d = stream.alloc_zeros::<f32>(cells).map_err(explain)?;
        let shape =
            LaunchConfig { grid_dim: grid.into(), block_dim: block.into(), shared_mem_bytes: 0 };
        let mut launch = stream.launch_builder(&self.squared_euclidean);
        launch.arg(&x).arg(&w).arg(&mut d).arg(&n).arg(&p).arg(&dim);
        // SAFETY: the arguments are those of the kernel's signature, in order and type; x, w and d
        // hold n * dim, p * dim and n * p values, and the kernel touches nothing beyond them.
        unsafe { launch.launch(shape) }.map_err(explain)?;
        stream.clone_dtoh(&d).map_err(explain)
    }
}
