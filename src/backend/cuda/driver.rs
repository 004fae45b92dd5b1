//! CUDA devices through `cudarc`.

use super::super::gpu::{Driver, Kernels, Launch, Limits};
use super::super::{DeviceInfo, DeviceKind, artefacts};
use super::Arguments;
use crate::{Error, Result};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{
    self, CUdevice_attribute as Attribute, CUfunction_attribute as FunctionAttribute, CUresult,
};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaGraph, CudaStream, DeviceRepr, LaunchConfig,
    PushKernelArg,
};
use cudarc::nvrtc::Ptx;
use std::collections::{BTreeMap, HashMap};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, MutexGuard};

/// The compute capability that the kernels' PTX is compiled for.
const OLDEST: (i32, i32) = (7, 5);

/// The one from which tensor cores take what `kernels/include/mma.h` gives them.
const TENSOR_CORES: (i32, i32) = (8, 0);

/// The devices, and what stood in the way of finding more.
pub(in super::super) fn discover() -> (Vec<DeviceInfo>, Vec<String>) {
    match guarded(list) {
        Ok(found) => found,
        Err(why) => (Vec::new(), vec![why]),
    }
}

/// The functions of the driver that are called, here and by `cudarc`.
const NEEDED: &[&str] = &[
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncGetAttribute",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamQuery",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// Runs `f` where the driver library is present and has what is [`NEEDED`]: `cudarc` panics where something is missing, so it is
/// asked for first, and what this did not foresee becomes an error too.
fn guarded<T>(f: impl FnOnce() -> Result<T, String> + std::panic::UnwindSafe) -> Result<T, String> {
    // SAFETY: opens libcuda, whose initialisers are the vendor's and run at most once; no symbol of
    // it is called here.
    let present = unsafe { sys::is_culib_present() };
    if !present {
        return Err("the driver library (libcuda.so, nvcuda.dll) is not installed".into());
    }
    catch_unwind(|| {
        // SAFETY: as above.
        let library = unsafe { sys::culib() };
        for name in NEEDED {
            // SAFETY: the address is looked up and not called.
            let found = unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) };
            found.map_err(|_| format!("the driver is too old: it lacks the function {name}"))?;
        }
        f()
    })
    .unwrap_or_else(|_| Err("the driver is too old: it lacks a function".into()))
}

/// Whether a device can run the kernels, by what is known of it and its driver; what is missing if not.
pub(in super::super) fn runs_models(device: &DeviceInfo) -> Result<(), String> {
    let known = |key: &str| device.info.get(key).and_then(|text| version(text));
    if let Some(capability) = known("compute_capability")
        && capability < OLDEST
    {
        return Err(too_old(capability));
    }
    let compiler = artefacts::PTX.first().and_then(|(name, _)| release(artefacts::ptx(name)?));
    match (known("driver_cuda_version"), compiler) {
        (Some(driver), Some(compiler)) if driver < compiler => Err(format!(
            "its driver is for CUDA {}.{}, and the kernels' PTX is of CUDA {}.{}",
            driver.0, driver.1, compiler.0, compiler.1
        )),
        _ => Ok(()),
    }
}

fn too_old(capability: (i32, i32)) -> String {
    format!(
        "its compute capability is {}.{}, and {}.{} is needed",
        capability.0, capability.1, OLDEST.0, OLDEST.1
    )
}

/// Reads `13.0`.
fn version(text: &str) -> Option<(i32, i32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The CUDA whose compiler made a PTX, as its head says.
fn release(ptx: &str) -> Option<(i32, i32)> {
    let (_, rest) = ptx.split_once("compilation tools, release ")?;
    version(rest.split(',').next()?)
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
    use CUresult as E;
    let advice = match error.0 {
        E::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
            let version = driver_version().unwrap_or_else(|_| "an unknown version".into());
            format!(
                "; the driver is for CUDA {version}, and the kernels were {}: install a newer \
                 driver, or build with an older nvcc",
                artefacts::PTX_ORIGIN
            )
        }
        E::CUDA_ERROR_OUT_OF_MEMORY => "; the memory is full".into(),
        E::CUDA_ERROR_NO_DEVICE => "; no GPU is visible (CUDA_VISIBLE_DEVICES?)".into(),
        E::CUDA_ERROR_LAUNCH_FAILED
        | E::CUDA_ERROR_LAUNCH_TIMEOUT
        | E::CUDA_ERROR_ILLEGAL_ADDRESS
        | E::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | E::CUDA_ERROR_MISALIGNED_ADDRESS
        | E::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | E::CUDA_ERROR_INVALID_PC
        | E::CUDA_ERROR_HARDWARE_STACK_ERROR
        | E::CUDA_ERROR_ECC_UNCORRECTABLE
        | E::CUDA_ERROR_UNKNOWN => "; the device is lost to this process".into(),
        _ => String::new(),
    };
    match (error.error_string(), error.error_name()) {
        (Ok(text), Ok(name)) => {
            format!("{} ({}){advice}", text.to_string_lossy(), name.to_string_lossy())
        }
        _ => format!("{:?}{advice}", error.0),
    }
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
    /// All launches, and copies of all memory that is not staged.
    stream: Arc<CudaStream>,
    /// Copies to staged memory, which go on while launches run.
    copies: Arc<CudaStream>,
    /// Held while something is put on the streams: what another thread put there meanwhile would become part of a recording.
    turn: Mutex<()>,
    loaded: Mutex<HashMap<&'static str, Kernel>>,
    kernels: Kernels,
}

/// Memory of a device.
pub(in super::super) struct Memory {
    pointer: sys::CUdeviceptr,
    words: usize,
    context: Arc<CudaContext>,
    stage: Option<Stage>,
}

/// The host's side of memory that is written while launches run.
///
/// The order of the two streams is kept by events: launches that use the memory wait for `copied`, a copy to it waits for `used`.
struct Stage {
    /// As many words, page-locked: the device copies from them while the host goes on.
    words: *mut u32,
    /// After the last copy.
    copied: CudaEvent,
    /// After the last launches that use the memory.
    used: CudaEvent,
}

// SAFETY: the words are this structure's own and no thread's; they are written by whoever holds the driver's `turn`.
unsafe impl Send for Stage {}
// SAFETY: as above.
unsafe impl Sync for Stage {}

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
        let context = &self.context;
        // An error that was noted before would be handed out in place of the context; it is noted again for the next who can return it.
        let noted = context.check_err();
        context.record_err(context.bind_to_thread());
        // Launches that use it have ended: every run is waited for. A copy may be on its way where its launches were never begun.
        if let Some(stage) = &self.stage {
            // SAFETY: a live event.
            context.record_err(unsafe { result::event::synchronize(stage.copied.cu_event()) });
            // SAFETY: allocated by `try_stage`, of which this is the only owner.
            context.record_err(unsafe { result::free_host(stage.words.cast()) });
        }
        // SAFETY: allocated by `try_buffer`, and this is its only owner.
        context.record_err(unsafe { result::free_sync(self.pointer) });
        context.record_err(noted);
    }
}

/// Launches as a graph of the driver, with the memory that they use; no graph where there are none.
pub(in super::super) struct Recorded {
    graph: Option<CudaGraph>,
    memory: Vec<Arc<Memory>>,
}

// SAFETY: a graph may be used by any thread, by one at a time: it is launched with `turn` held and dropped by its only owner.
unsafe impl Send for Recorded {}

/// What sums over several devices (`nccl.rs`) need of each.
impl CudaDriver {
    /// Its name.
    pub(super) fn device(&self) -> &str {
        &self.name
    }

    /// The stream that launches are put on, with its context bound to the thread; to be used while `turn` is held.
    pub(super) fn stream_of_launches(&self) -> Result<sys::CUstream, String> {
        self.bind()?;
        Ok(self.stream.cu_stream())
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
    /// Opens the device of this index. `memory_bytes`: it plans with no more memory than that.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver or the device is missing, older than compute capability
    /// 7.5, or too old for the PTX.
    pub fn open(index: usize, kernels: Kernels, memory_bytes: Option<u64>) -> Result<Self> {
        let name = format!("cuda:{index}");
        let mut driver = guarded(|| Self::open_present(index, kernels))
            .map_err(|reason| Error::Device { device: name, reason })?;
        let limits = &mut driver.limits;
        limits.memory_bytes = limits.memory_bytes.min(memory_bytes.unwrap_or(u64::MAX));
        Ok(driver)
    }

    fn open_present(index: usize, kernels: Kernels) -> Result<Self, String> {
        let count = CudaContext::device_count().map_err(explain)?;
        let ordinal = i32::try_from(index).ok().filter(|i| *i < count);
        let ordinal =
            ordinal.ok_or_else(|| format!("there is no such device; the driver has {count}"))?;
        let context = CudaContext::new(index).map_err(explain)?;
        let capability = context.compute_capability().map_err(explain)?;
        if capability < OLDEST {
            return Err(too_old(capability));
        }
        let info = describe(ordinal).map_err(explain)?;
        let shared = context
            .attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)
            .map_err(explain)?;
        let attribute = |which| context.attribute(which).map_err(explain);
        let most = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let tensor_cores = capability >= TENSOR_CORES;
        let driver = CudaDriver {
            name: info.name.clone(),
            limits: Limits {
                // Kernels count words in 32 bits.
                buffer_bytes: 4 * u64::from(u32::MAX),
                memory_bytes: info.memory_bytes.unwrap_or(u64::MAX),
                groups: 65_535,
                shared_bytes: shared as u32,
                subgroups: true,
                multiprocessors: if tensor_cores { multiprocessors as u32 } else { 0 },
                shared_most: most as u32,
            },
            info,
            stream: context.new_stream().map_err(explain)?,
            copies: context.new_stream().map_err(explain)?,
            turn: Mutex::default(),
            loaded: Mutex::default(),
            kernels,
        };
        driver.try_out()?;
        Ok(driver)
    }

    /// Brings a number, records and runs a kernel, and reads it back: what the driver lacks is found out now.
    fn try_out(&self) -> Result<(), String> {
        let memory = Arc::new(self.try_stage(1)?);
        let [number, least, most] = [5.0f32, -1.0, 1.0].map(f32::to_bits);
        self.try_write(&memory, 0, &[number])?;
        let (kernel, constants, groups) = ("clamp", vec![], [1; 3]);
        let (buffers, words) = (vec![memory.clone()], vec![1, least, most]);
        let recorded = self.try_record(&[Launch { kernel, constants, buffers, words, groups }])?;
        self.begin(&recorded)?;
        self.end()?;
        let mut got = [0];
        self.try_read(&memory, 0, &mut got)?;
        match got == [most] {
            true => Ok(()),
            false => Err(format!(
                "its kernels do not compute: {} where 1 is right",
                f32::from_bits(got[0])
            )),
        }
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
        let memory = Memory { pointer, words, context, stage: None };
        // SAFETY: as many bytes as were allocated, on the stream that launches are on.
        unsafe { result::memset_d8_async(pointer, 0, 4 * words, self.stream.cu_stream()) }
            .map_err(explain)?;
        Ok(memory)
    }

    fn try_stage(&self, words: usize) -> Result<Memory, String> {
        let mut memory = self.try_buffer(words)?;
        let _turn = self.turn();
        self.bind()?;
        let event = || self.stream.context().new_event(None).map_err(explain);
        let (copied, used) = (event()?, event()?);
        // Its first use is that it is set to zero.
        used.record(&self.stream).map_err(explain)?;
        // SAFETY: asks for memory, which is written before anything is copied from it.
        let host = unsafe { result::malloc_host(4 * words, 0) }.map_err(|error| {
            let bytes = 4 * words as u64;
            format!("{bytes} page-locked bytes of the host are needed: {}", explain(error))
        })?;
        memory.stage = Some(Stage { words: host.cast(), copied, used });
        Ok(memory)
    }

    /// Writes words while launches run: to page-locked memory, from where the device takes them.
    fn bring(&self, to: &Memory, stage: &Stage, at: usize, words: &[u32]) -> Result<(), String> {
        // The copy before has taken its words.
        stage.copied.synchronize().map_err(explain)?;
        // SAFETY: within the memory, as the caller asserted, and nothing else reads or writes there: no copy, as just seen, and no
        // other thread, as the turn is ours.
        let own = unsafe {
            let own = stage.words.add(at);
            own.copy_from_nonoverlapping(words.as_ptr(), words.len());
            std::slice::from_raw_parts(own, words.len())
        };
        let pointer = to.pointer + 4 * at as u64;
        self.copies.wait(&stage.used).map_err(explain)?;
        // SAFETY: within the memory, whose launches are waited for on this stream; the words stay as they are until `copied`.
        unsafe { result::memcpy_htod_async(pointer, own, self.copies.cu_stream()) }
            .map_err(explain)?;
        stage.copied.record(&self.copies).map_err(explain)
    }

    /// Puts launches on the stream, after the copies to their memory and before the next ones.
    fn between(
        &self,
        memory: &[Arc<Memory>],
        put: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        let stages = || memory.iter().filter_map(|m| m.stage.as_ref());
        for stage in stages() {
            self.stream.wait(&stage.copied).map_err(explain)?;
        }
        put()?;
        stages().try_for_each(|stage| stage.used.record(&self.stream).map_err(explain))
    }

    fn try_write(&self, to: &Memory, at: usize, words: &[u32]) -> Result<(), String> {
        assert!(at + words.len() <= to.words);
        let _turn = self.turn();
        self.bind()?;
        if let Some(stage) = &to.stage {
            return self.bring(to, stage, at, words);
        }
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
        if let Some(stage) = &from.stage {
            self.stream.wait(&stage.copied).map_err(explain)?;
        }
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
        // What a block declares itself counts towards what it may have.
        let declared = function
            .get_attribute(FunctionAttribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)
            .map_err(explain)?;
        let dynamic = self.limits.shared_most as i32 - declared;
        function
            .set_attribute(
                FunctionAttribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                dynamic,
            )
            .map_err(explain)?;
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
        Ok(Recorded { graph: graph?, memory: memory(launches) })
    }

    fn begin(&self, recorded: &Recorded) -> Result<(), String> {
        let _turn = self.turn();
        let Some(graph) = &recorded.graph else { return Ok(()) };
        self.between(&recorded.memory, || graph.launch().map_err(explain))
    }

    fn end(&self) -> Result<(), String> {
        let _turn = self.turn();
        self.stream.synchronize().map_err(explain)
    }

    fn try_run_once(&self, launches: &[Launch<Arc<Memory>>]) -> Result<(), String> {
        let _turn = self.turn();
        let submitted = self.loaded(launches).and_then(|kernels| {
            self.between(&memory(launches), || self.submit(&kernels, launches))
        });
        // Also after a launch that failed: those before it use the buffers.
        self.stream.synchronize().map_err(explain)?;
        submitted
    }
}

/// The memory that launches use, each once.
fn memory(launches: &[Launch<Arc<Memory>>]) -> Vec<Arc<Memory>> {
    let mut all: Vec<_> =
        launches.iter().flat_map(|launch| launch.buffers.iter().cloned()).collect();
    all.sort_by_key(|m| m.pointer);
    all.dedup_by_key(|m| m.pointer);
    all
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

    fn stage(&self, words: usize) -> Result<Self::Buffer> {
        self.try_stage(words).map(Arc::new).map_err(|why| self.error(why))
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
            assert!(threads(ptx).is_some_and(|n| [1, 32, 64, 128, 256].contains(&n)), "{name}");
            assert!(release(ptx).is_some_and(|of| of >= (11, 0)), "{name}");
        }
        assert_eq!(threads(".maxntid 64, 1, 1\n"), Some(64));
        assert_eq!(threads(".entry a"), None);
        assert_eq!(release("// Cuda compilation tools, release 12.4, V12.4.99\n"), Some((12, 4)));
        assert_eq!(release(".version 9.0"), None);
    }
}
