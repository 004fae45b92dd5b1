//! CUDA devices through `cudarc`.

use super::super::gpu::{Driver, Kernels, Launch, Limits};
use super::super::{DeviceInfo, DeviceKind, artefacts};
use super::Arguments;
use crate::{Error, Result};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUresult};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaStream, DeviceRepr, LaunchConfig, PushKernelArg,
};
use cudarc::nvrtc::Ptx;
use std::collections::{BTreeMap, HashMap};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, MutexGuard};

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

/// A kernel on the device, and the threads of its blocks.
#[derive(Clone)]
struct Kernel {
    function: CudaFunction,
    threads: u32,
}

// SAFETY: plain numbers in the layout of C, which is what a kernel gets.
unsafe impl DeviceRepr for Arguments {}

/// An opened CUDA device.
pub(in super::super) struct CudaDriver {
    name: String,
    info: DeviceInfo,
    limits: Limits,
    stream: Arc<CudaStream>,
    /// Held while something is put on the stream: what another thread put there meanwhile would become part of a recording.
    turn: Mutex<()>,
    loaded: Mutex<HashMap<&'static str, Kernel>>,
    kernels: Kernels,
}

/// Memory of a device.
pub(in super::super) struct Memory {
    pointer: sys::CUdeviceptr,
    words: usize,
    context: Arc<CudaContext>,
}

impl Memory {
    /// Where it lies on the device.
    pub(super) fn address(&self) -> u64 {
        self.pointer
    }

    /// Its words.
    pub(super) fn words(&self) -> usize {
        self.words
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Whatever runs on it has ended: every run is waited for.
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: allocated by `try_buffer`, and this is its only owner.
        self.context.record_err(unsafe { result::free_sync(self.pointer) });
    }
}

/// Launches as a graph of the driver, with the memory that they use; no graph where there are none.
pub(in super::super) struct Recorded {
    graph: Option<CudaGraph>,
    _memory: Vec<Arc<Memory>>,
}

// SAFETY: a graph may be used by any thread, by one at a time: it is launched with `turn` held and dropped by its only owner.
unsafe impl Send for Recorded {}

/// What sums over several devices (`nccl.rs`) need of each.
impl CudaDriver {
    /// Its name.
    pub(super) fn device(&self) -> &str {
        &self.name
    }

    /// The stream that launches are put on; to be used while `turn` is held.
    pub(super) fn stream_of_launches(&self) -> sys::CUstream {
        self.stream.cu_stream()
    }

    /// Whether something on that stream has not ended.
    pub(super) fn is_running(&self) -> Result<bool> {
        let _turn = self.turn();
        self.bind().map_err(|why| self.error(why))?;
        // SAFETY: a live stream of the context that is bound.
        match unsafe { sys::cuStreamQuery(self.stream.cu_stream()) } {
            CUresult::CUDA_ERROR_NOT_READY => Ok(true),
            other => other.result().map(|()| false).map_err(|e| self.error(explain(e))),
        }
    }
}

impl CudaDriver {
    /// Opens the device of this index.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver or the device is missing, older than compute capability
    /// 7.5, or too old for the PTX.
    pub fn open(index: usize, kernels: Kernels) -> Result<Self> {
        let name = format!("cuda:{index}");
        guarded(|| Self::open_present(index, kernels))
            .map_err(|reason| Error::Device { device: name, reason })
    }

    fn open_present(index: usize, kernels: Kernels) -> Result<Self, String> {
        let count = CudaContext::device_count().map_err(explain)?;
        let ordinal = i32::try_from(index).ok().filter(|i| *i < count);
        let ordinal =
            ordinal.ok_or_else(|| format!("there is no such device; the driver has {count}"))?;
        let context = CudaContext::new(index).map_err(explain)?;
        let capability = context.compute_capability().map_err(explain)?;
        if capability < OLDEST {
            return Err(format!(
                "its compute capability is {}.{}, and {}.{} is needed",
                capability.0, capability.1, OLDEST.0, OLDEST.1
            ));
        }
        let info = describe(ordinal).map_err(explain)?;
        let shared = context
            .attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)
            .map_err(explain)?;
        let driver = CudaDriver {
            name: info.name.clone(),
            limits: Limits {
                // Kernels count words in 32 bits.
                buffer_bytes: 4 * u64::from(u32::MAX),
                memory_bytes: info.memory_bytes.unwrap_or(u64::MAX),
                groups: 65_535,
                shared_bytes: shared as u32,
                subgroups: true,
            },
            info,
            stream: context.new_stream().map_err(explain)?,
            turn: Mutex::default(),
            loaded: Mutex::default(),
            kernels,
        };
        driver.try_out()?;
        Ok(driver)
    }

    /// Records and runs a kernel over nothing: what the driver lacks is found out now.
    fn try_out(&self) -> Result<(), String> {
        let buffers = vec![Arc::new(self.try_buffer(1)?)];
        let launch =
            Launch { kernel: "clamp", constants: vec![], buffers, words: vec![0], groups: [1; 3] };
        let recorded = self.try_record(&[launch])?;
        self.begin(&recorded)?;
        self.end()
    }

    fn error(&self, reason: String) -> Error {
        Error::Device { device: self.name.clone(), reason }
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn bind(&self) -> Result<(), String> {
        self.stream.context().bind_to_thread().map_err(explain)
    }

    fn try_buffer(&self, words: usize) -> Result<Memory, String> {
        let bytes = 4 * words as u64;
        if bytes > self.limits.buffer_bytes {
            let allowed = self.limits.buffer_bytes;
            return Err(format!("a buffer of {bytes} bytes is needed, and kernels take {allowed}"));
        }
        let _turn = self.turn();
        self.bind()?;
        // SAFETY: asks for memory; what it holds is set below, before anything reads it.
        let pointer = unsafe { result::malloc_sync(4 * words) }.map_err(|error| {
            let free = result::mem_get_info()
                .map_or(String::new(), |(free, total)| format!(", {free} of {total} are free"));
            format!("{bytes} bytes are needed{free}: {}", explain(error))
        })?;
        let context = self.stream.context().clone();
        let memory = Memory { pointer, words, context };
        // SAFETY: as many bytes as were allocated, on the stream that all work is on.
        unsafe { result::memset_d8_async(pointer, 0, 4 * words, self.stream.cu_stream()) }
            .map_err(explain)?;
        Ok(memory)
    }

    fn try_write(&self, to: &Memory, at: usize, words: &[u32]) -> Result<(), String> {
        assert!(at + words.len() <= to.words);
        let _turn = self.turn();
        self.bind()?;
        let stream = self.stream.cu_stream();
        let pointer = to.pointer + 4 * at as u64;
        // SAFETY: within the memory, as asserted. The driver has copied from pageable memory of the host when the call returns.
        unsafe { result::memcpy_htod_async(pointer, words, stream) }.map_err(explain)
    }

    fn try_read(&self, from: &Memory, at: usize, words: &mut [u32]) -> Result<(), String> {
        assert!(at + words.len() <= from.words);
        let _turn = self.turn();
        self.bind()?;
        let stream = self.stream.cu_stream();
        let pointer = from.pointer + 4 * at as u64;
        // SAFETY: within the memory, as asserted, and `words` is borrowed until the copy is done.
        unsafe { result::memcpy_dtoh_async(words, pointer, stream) }
            .and_then(|()| self.stream.synchronize())
            .map_err(explain)
    }

    /// The kernel of this name, compiled by the driver on first use.
    fn kernel(&self, name: &'static str) -> Result<Kernel, String> {
        let mut loaded = self.loaded.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(kernel) = loaded.get(name) {
            return Ok(kernel.clone());
        }
        let ptx = artefacts::ptx(name).ok_or("there is no PTX of it")?;
        let threads = threads(ptx).ok_or("its PTX names no number of threads")?;
        let module = self.stream.context().load_module(Ptx::from_src(ptx)).map_err(explain)?;
        let symbol = format!("lvq_{}", name.replace('.', "_"));
        let function = module.load_function(&symbol).map_err(explain)?;
        let kernel = Kernel { function, threads };
        loaded.insert(name, kernel.clone());
        Ok(kernel)
    }

    /// Puts launches on the stream.
    fn submit(&self, kernels: &[Kernel], launches: &[Launch<Arc<Memory>>]) -> Result<(), String> {
        for (kernel, launch) in kernels.iter().zip(launches) {
            let name = launch.kernel;
            let (arguments, shared_mem_bytes) =
                super::arguments(launch, |b| b.pointer).map_err(|why| format!("{name}: {why}"))?;
            let [x, y, z] = launch.groups;
            let block_dim = (kernel.threads, 1, 1);
            let shape = LaunchConfig { grid_dim: (x, y, z), block_dim, shared_mem_bytes };
            let mut builder = self.stream.launch_builder(&kernel.function);
            builder.arg(&arguments);
            // SAFETY: the argument has the layout that the kernel reads (`Arguments` of kernels/include/glsl.h). The buffers are as
            // long as the sizes among the words say (`gpu/pass.rs` makes both), the kernel touches nothing beyond them, and they
            // live until its end: a run is waited for, and a recording holds them.
            unsafe { builder.launch(shape) }.map_err(|e| format!("{name}: {}", explain(e)))?;
        }
        Ok(())
    }

    /// The kernel of each launch.
    fn loaded(&self, launches: &[Launch<Arc<Memory>>]) -> Result<Vec<Kernel>, String> {
        let names = launches.iter().map(|launch| launch.kernel);
        names.map(|name| self.kernel(name).map_err(|why| format!("{name}: {why}"))).collect()
    }

    fn try_record(&self, launches: &[Launch<Arc<Memory>>]) -> Result<Recorded, String> {
        let _turn = self.turn();
        // Loaded before: a recording holds launches only.
        let kernels = self.loaded(launches)?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(explain)?;
        let submitted = self.submit(&kernels, launches);
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0)).map_err(explain);
        submitted?;
        let _memory = launches.iter().flat_map(|launch| launch.buffers.iter().cloned()).collect();
        Ok(Recorded { graph: graph?, _memory })
    }

    fn begin(&self, recorded: &Recorded) -> Result<(), String> {
        let _turn = self.turn();
        let Some(graph) = &recorded.graph else { return Ok(()) };
        graph.launch().map_err(explain)
    }

    fn end(&self) -> Result<(), String> {
        let _turn = self.turn();
        self.stream.synchronize().map_err(explain)
    }

    fn try_run_once(&self, launches: &[Launch<Arc<Memory>>]) -> Result<(), String> {
        let _turn = self.turn();
        let submitted = self.loaded(launches).and_then(|kernels| self.submit(&kernels, launches));
        // Also after a launch that failed: those before it use the buffers.
        self.stream.synchronize().map_err(explain)?;
        submitted
    }
}

/// The threads of a kernel's blocks, as its PTX says.
fn threads(ptx: &str) -> Option<u32> {
    let line = ptx.lines().find_map(|line| line.trim().strip_prefix(".maxntid"))?;
    line.split(',').next()?.trim().parse().ok()
}

impl Driver for CudaDriver {
    type Buffer = Arc<Memory>;
    type Recorded = Recorded;
    type Pending = ();

    fn info(&self) -> DeviceInfo {
        self.info.clone()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn kernels(&self) -> Kernels {
        self.kernels
    }

    fn words(&self, buffer: &Self::Buffer) -> usize {
        buffer.words
    }

    fn buffer(&self, words: usize) -> Result<Self::Buffer> {
        self.try_buffer(words).map(Arc::new).map_err(|why| self.error(why))
    }

    /// Kernels read such numbers in every thread, which they would do across the bus: short copies cost less.
    fn shared(&self, words: usize) -> Result<Self::Buffer> {
        self.buffer(words)
    }

    fn write(&self, to: &Self::Buffer, at: usize, words: &[u32]) -> Result<()> {
        if words.is_empty() {
            return Ok(());
        }
        self.try_write(to, at, words).map_err(|why| self.error(why))
    }

    fn read(&self, from: &Self::Buffer, at: usize, words: &mut [u32]) -> Result<()> {
        if words.is_empty() {
            return Ok(());
        }
        self.try_read(from, at, words).map_err(|why| self.error(why))
    }

    fn record(&self, launches: &[Launch<Self::Buffer>]) -> Result<Self::Recorded> {
        self.try_record(launches).map_err(|why| self.error(why))
    }

    fn submit(&self, recorded: &Self::Recorded) -> Result<()> {
        self.begin(recorded).map_err(|why| self.error(why))
    }

    fn wait(&self, (): ()) -> Result<()> {
        self.end().map_err(|why| self.error(why))
    }

    fn run_once(&self, launches: &[Launch<Self::Buffer>]) -> Result<()> {
        self.try_run_once(launches).map_err(|why| self.error(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_tells_its_threads() {
        for (name, _) in artefacts::PTX {
            let ptx = artefacts::ptx(name).unwrap();
            assert!(threads(ptx).is_some_and(|n| [1, 64, 256].contains(&n)), "{name}");
        }
        assert_eq!(threads(".maxntid 64, 1, 1\n"), Some(64));
        assert_eq!(threads(".entry a"), None);
    }
}
