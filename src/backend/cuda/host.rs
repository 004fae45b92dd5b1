//! The CUDA kernels compiled for the host (`kernels/include/host.h`): a device for tests, which runs
//! the sources of the PTX block by block where there is no GPU. It is never chosen for a user.

use super::super::gpu::{ByHost, Driver, Gpu, Group, Kernels, Launch, Limits};
use super::super::{Backend, DeviceInfo, DeviceKind};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// The name under which tests know this device.
pub const NAME: &str = "cuda-host";

/// `lvq_host::Launch`.
#[repr(C)]
struct Shape {
    grid: [u32; 3],
    /// The kernel sets it.
    block: [u32; 3],
    shared_bytes: u32,
    descending: u32,
}

/// Runs one kernel over a grid; null, or what went wrong as text that lives for ever.
type Entry = unsafe extern "C" fn(*const Shape, *mut *mut c_void) -> *const c_char;

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

/// In which order the threads of a block run from barrier to barrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The first first.
    #[default]
    Ascending,
    /// The last first: a kernel without a missing barrier gives the same result to the bit.
    Descending,
}

/// How the device is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which form of the kernels.
    pub kernels: Kernels,
    /// In which order threads run.
    pub order: Order,
    /// Bytes of memory that it has; none: as many as the machine gives.
    pub memory_bytes: Option<u64>,
    /// After so many submissions the device counts as lost.
    pub lost_after: Option<u64>,
    /// As a GPU of compute capability 7.5: its tensor cores have no formats of ours.
    pub without_tensor_cores: bool,
}

/// Opens the device.
///
/// # Errors
/// [`Error::Device`] when the crate was built without a C++ compiler.
pub fn open(kernels: Kernels, order: Order) -> Result<Box<dyn Backend>> {
    open_with(&Options { kernels, order, ..Options::default() })
}

/// Opens the device with options.
///
/// # Errors
/// [`Error::Device`] when the crate was built without a C++ compiler.
pub fn open_with(options: &Options) -> Result<Box<dyn Backend>> {
    Ok(Box::new(Gpu::new(CudaHost::open(options)?)))
}

/// Opens several as one, named `cuda-host:0`, `cuda-host:1`, ..., with sums added up by the host in their order.
///
/// # Errors
/// [`Error::Device`] when the crate was built without a C++ compiler, or no device is named.
pub fn open_several(options: &[Options]) -> Result<Box<dyn Backend>> {
    let named = |(i, options): (usize, &Options)| {
        let host = CudaHost::open(options)?;
        Ok(Arc::new(CudaHost { name: format!("{NAME}:{i}"), ..host }))
    };
    let drivers = options.iter().enumerate().map(named).collect::<Result<Vec<_>>>()?;
    if drivers.is_empty() {
        return Err(failed(NAME, "no device is named".into()));
    }
    let numbers: Vec<String> = (0..drivers.len()).map(|i| i.to_string()).collect();
    let sums = Arc::new(ByHost(drivers.clone()));
    Ok(Box::new(Group::new(format!("{NAME}:{}", numbers.join(",")), drivers, sums)))
}

/// The kernels as host code.
struct CudaHost {
    name: String,
    kernels: Kernels,
    order: Order,
    /// Bytes that it has, and in use.
    memory_bytes: u64,
    used: Arc<AtomicU64>,
    /// Submissions until it is lost.
    left: Option<AtomicI64>,
    tensor_cores: bool,
}

impl CudaHost {
    fn open(options: &Options) -> Result<Self> {
        match missing() {
            None => Ok(CudaHost {
                name: NAME.into(),
                kernels: options.kernels,
                order: options.order,
                memory_bytes: options.memory_bytes.unwrap_or(u64::MAX),
                used: Arc::default(),
                left: options.lost_after.map(|n| AtomicI64::new(n.cast_signed())),
                tensor_cores: !options.without_tensor_cores,
            }),
            Some(why) => {
                Err(failed(NAME, format!("the kernels were not built for the host: {why}")))
            }
        }
    }
}

/// Memory with words before and after it that kernels must leave alone: a missing guard for the last rows of a tile is found out.
pub struct Fenced {
    words: Vec<AtomicU32>,
    /// Where what is within begins: at a multiple of [`Self::ALIGNED`] bytes, as a device's memory does.
    start: usize,
    len: usize,
    /// Bytes in use of the device that it is of.
    used: Arc<AtomicU64>,
}

impl Drop for Fenced {
    fn drop(&mut self) {
        self.used.fetch_sub(4 * self.len as u64, Ordering::Relaxed);
    }
}

impl Fenced {
    /// Words on either side.
    const FENCE: usize = 1024;
    const ALIGNED: usize = 256;
    /// A NaN that no arithmetic produces.
    const MARK: u32 = 0x7fc5_1de5;

    /// Memory of a device that has `most` bytes.
    fn new(len: usize, used: &Arc<AtomicU64>, most: u64) -> Result<Self, String> {
        let bytes = 4 * len as u64;
        let before = used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > most {
            used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(format!(
                "out of memory: {bytes} bytes are needed, {before} of {most} are in use"
            ));
        }
        let all = Self::ALIGNED / 4 + 2 * Self::FENCE + len;
        let words: Vec<_> = (0..all).map(|_| AtomicU32::new(Self::MARK)).collect();
        let start = words.as_ptr().align_offset(Self::ALIGNED) + Self::FENCE;
        let memory = Fenced { words, start, len, used: used.clone() };
        memory.inside(0, len).iter().for_each(|word| word.store(0, Ordering::Relaxed));
        Ok(memory)
    }

    fn inside(&self, at: usize, len: usize) -> &[AtomicU32] {
        &self.words[self.start..self.start + self.len][at..at + len]
    }

    fn is_intact(&self) -> bool {
        let (before, rest) = self.words.split_at(self.start);
        let after = &rest[self.len..];
        before.iter().chain(after).all(|word| word.load(Ordering::Relaxed) == Self::MARK)
    }
}

fn failed(device: &str, reason: String) -> Error {
    Error::Device { device: device.into(), reason }
}

impl CudaHost {
    fn launch(&self, launch: &Launch<Arc<Fenced>>) -> Result<(), String> {
        let address = |b: &Arc<Fenced>| b.inside(0, b.len).as_ptr() as u64;
        let (mut arguments, shared_bytes) = super::arguments(launch, address)?;
        let entry = KERNELS.iter().find(|(name, _)| *name == launch.kernel);
        let (_, entry) = entry.ok_or("there is no such kernel")?;
        let shape = Shape {
            grid: launch.groups,
            block: [1; 3],
            shared_bytes,
            descending: (self.order == Order::Descending).into(),
        };
        let mut pointers: [*mut c_void; 1] = [(&raw mut arguments).cast()];
        // SAFETY: `shape` and the one argument have the layouts of lvq_host::Launch and of Arguments (kernels/include/glsl.h). The
        // buffers outlive the call, are as long as the sizes among the words say (`gpu/pass.rs` makes both), and can be written
        // through shared references, being atomics. For small mistakes in what a kernel writes there is the fence.
        let error = unsafe { entry(&shape, pointers.as_mut_ptr()) };
        if !error.is_null() {
            // SAFETY: not null, so a string literal of host.h.
            let text = unsafe { std::ffi::CStr::from_ptr(error) };
            return Err(text.to_string_lossy().into_owned());
        }
        match launch.buffers.iter().position(|buffer| !buffer.is_intact()) {
            None => Ok(()),
            Some(number) => Err(format!("it wrote beyond buffer {number}")),
        }
    }
}

impl Driver for CudaHost {
    type Buffer = Arc<Fenced>;
    type Recorded = Vec<Launch<Arc<Fenced>>>;
    type Pending = ();

    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            name: self.name.clone(),
            kind: DeviceKind::Software,
            description: "the CUDA kernels as host code".into(),
            memory_bytes: None,
            info: BTreeMap::new(),
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        // As a GPU has them.
        Limits {
            buffer_bytes: 4 * u64::from(u32::MAX),
            memory_bytes: self.memory_bytes,
            groups: 65_535,
            shared_bytes: 48 << 10,
            subgroups: true,
            // Few, so that a block goes through several tiles.
            multiprocessors: u32::from(self.tensor_cores),
            shared_most: 227 << 10,
        }
    }

    fn kernels(&self) -> Kernels {
        self.kernels
    }

    fn words(&self, buffer: &Self::Buffer) -> usize {
        buffer.len
    }

    fn buffer(&self, words: usize) -> Result<Self::Buffer> {
        Fenced::new(words, &self.used, self.memory_bytes)
            .map(Arc::new)
            .map_err(|why| failed(&self.name, why))
    }

    fn shared(&self, words: usize) -> Result<Self::Buffer> {
        self.buffer(words)
    }

    fn write(&self, to: &Self::Buffer, at: usize, words: &[u32]) -> Result<()> {
        for (place, word) in to.inside(at, words.len()).iter().zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
        Ok(())
    }

    fn read(&self, from: &Self::Buffer, at: usize, words: &mut [u32]) -> Result<()> {
        let places = from.inside(at, words.len());
        for (word, place) in words.iter_mut().zip(places) {
            *word = place.load(Ordering::Relaxed);
        }
        Ok(())
    }

    fn record(&self, launches: &[Launch<Self::Buffer>]) -> Result<Self::Recorded> {
        Ok(launches.to_vec())
    }

    fn submit(&self, recorded: &Self::Recorded) -> Result<()> {
        if let Some(left) = &self.left
            && left.fetch_sub(1, Ordering::Relaxed) <= 0
        {
            return Err(failed(&self.name, "the device was lost".into()));
        }
        recorded.iter().try_for_each(|launch| {
            self.launch(launch)
                .map_err(|why| failed(&self.name, format!("{}: {why}", launch.kernel)))
        })
    }

    fn wait(&self, (): ()) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gpu::Communicator;
    use super::*;

    fn host() -> Option<CudaHost> {
        CudaHost::open(&Options::default())
            .inspect_err(|why| println!("{NAME} is not tested: {why}"))
            .ok()
    }

    fn clamp(buffer: &Arc<Fenced>, words: [u32; 3], groups: [u32; 3]) -> Vec<Launch<Arc<Fenced>>> {
        let (kernel, buffers) = ("clamp", vec![buffer.clone()]);
        vec![Launch { kernel, constants: vec![], buffers, words: words.to_vec(), groups }]
    }

    /// Values between -1 and 1, and one word beyond what there is.
    #[test]
    fn a_kernel_runs_and_is_caught_beyond_its_buffer() {
        let Some(host) = host() else { return };
        let values: Vec<f32> = (0..130).map(|i| 0.1 * i as f32 - 6.0).collect();
        let buffer = host.with_numbers(&values).unwrap();
        let bounds = [(-1.0f32).to_bits(), 1.0f32.to_bits()];
        host.run_once(&clamp(&buffer, [130, bounds[0], bounds[1]], [2, 1, 1])).unwrap();
        let mut got = vec![0.0; 130];
        host.read_numbers(&buffer, 0, &mut got).unwrap();
        assert!(got.iter().zip(&values).all(|(a, b)| *a == b.clamp(-1.0, 1.0)));

        let buffers = vec![buffer, host.buffer(131).unwrap(), host.buffer(8).unwrap()];
        let (kernel, constants, groups) = ("blend.copy", vec![], [1; 3]);
        let copy = |n| {
            vec![Launch {
                kernel,
                constants: constants.clone(),
                buffers: buffers.clone(),
                words: vec![n],
                groups,
            }]
        };
        host.run_once(&copy(130)).unwrap();
        let error = host.run_once(&copy(131)).unwrap_err();
        assert!(error.to_string().contains("blend.copy: it wrote beyond buffer 0"), "{error}");
    }

    /// Sums that are not added up leave the devices with parameters of their own, which is found out.
    #[test]
    fn devices_that_drift_apart_are_found_out() {
        struct Nothing;
        impl Communicator<Arc<Fenced>> for Nothing {
            fn add_up(&self, _: &[Vec<Arc<Fenced>>]) -> Result<()> {
                Ok(())
            }
        }
        let Some(first) = host() else { return };
        let named = |host: CudaHost, name: &str| Arc::new(CudaHost { name: name.into(), ..host });
        let (Some(second), Some(third)) = (host(), host()) else { return };
        let drivers = vec![named(first, "first"), named(second, "second"), named(third, "third")];
        let rows = ndarray::Array2::from_shape_fn((20, 2), |(i, j)| ((i * 7 + j * 3) % 11) as f32);
        let labels = crate::Labels::new(&(0..20).map(|i| i % 2).collect::<Vec<i64>>()).unwrap();
        let data = crate::Dataset::new(crate::Features::from(rows), Some(labels)).unwrap();
        let train = |sums: Arc<dyn Communicator<Arc<Fenced>>>| {
            let group = Group::new("all".into(), drivers.clone(), sums);
            let training = crate::Training { max_iter: 2, ..Default::default() };
            training.fit(&crate::Model::new("GLVQ").unwrap(), &data, &group)
        };
        train(Arc::new(ByHost(drivers.clone()))).unwrap();
        let error = train(Arc::new(Nothing)).unwrap_err().to_string();
        assert!(
            error.starts_with("device second: its prototypes are no longer those of first"),
            "{error}"
        );
    }

    #[test]
    fn a_launch_too_large_and_a_missing_kernel_are_errors() {
        let Some(host) = host() else { return };
        let buffer = host.buffer(1).unwrap();
        for groups in [[1, 65_536, 1], [1, 1, 65_536], [0, 1, 1]] {
            let error = host.run_once(&clamp(&buffer, [1, 0, 0], groups)).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("too many") || text.contains("size 0"), "{text}");
        }
        let mut missing = clamp(&buffer, [1, 0, 0], [1; 3]);
        missing[0].kernel = "no such kernel";
        let text = host.run_once(&missing).unwrap_err().to_string();
        assert!(text.contains("no such kernel"), "{text}");
    }
}
