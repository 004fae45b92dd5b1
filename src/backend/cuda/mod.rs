//! NVIDIA GPUs through the CUDA driver, which is opened at run time, and the same kernels compiled
//! for the host, for tests.

#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "cuda")]
pub mod host;
#[cfg(feature = "cuda")]
mod nccl;

#[cfg(feature = "cuda")]
pub(super) use driver::{discover, runs_models};

#[cfg(feature = "cuda")]
use super::gpu::{FIRST_LENGTH, Launch};
#[cfg(feature = "cuda")]
use std::sync::Arc;

/// Opens the device of this index with one form of the kernels.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) when the driver or the device is missing, older than compute capability 7.5, or too old for
/// the kernels' PTX.
#[cfg(feature = "cuda")]
pub fn open_with(index: usize, kernels: super::Kernels) -> crate::Result<Box<dyn super::Backend>> {
    open_within(index, kernels, None)
}

/// The same, planning with no more than so many bytes of the device's memory: rows that take more than half of them are streamed.
///
/// # Errors
/// Those of [`open_with`].
#[cfg(feature = "cuda")]
pub fn open_within(
    index: usize,
    kernels: super::Kernels,
    memory_bytes: Option<u64>,
) -> crate::Result<Box<dyn super::Backend>> {
    let driver = driver::CudaDriver::open(index, kernels, memory_bytes)?;
    Ok(Box::new(super::gpu::Gpu::new(driver)))
}

/// Opens several devices as one, with one form of the kernels: the rows of the training data are cut into as many shards, and sums over
/// rows are added up through NCCL.
///
/// # Errors
/// Those of [`open_with`] for each; an index given twice; NCCL is not installed or cannot connect the devices.
#[cfg(feature = "cuda")]
pub fn open_several(
    indices: &[usize],
    kernels: super::Kernels,
) -> crate::Result<Box<dyn super::Backend>> {
    let list: Vec<String> = indices.iter().map(usize::to_string).collect();
    let name = format!("cuda:{}", list.join(","));
    if let Some(twice) = indices.iter().enumerate().find(|(k, i)| indices[..*k].contains(i)) {
        let reason = format!("device {} is named twice", twice.1);
        return Err(crate::Error::Device { device: name, reason });
    }
    match indices {
        [] => Err(crate::Error::Device { device: name, reason: "no device is named".into() }),
        [one] => open_with(*one, kernels),
        several => {
            let opened =
                several.iter().map(|i| driver::CudaDriver::open(*i, kernels, None).map(Arc::new));
            let drivers = opened.collect::<crate::Result<Vec<_>>>()?;
            let sums = nccl::AllReduce::new(&name, several, drivers.clone())?;
            Ok(Box::new(super::gpu::Group::new(name, drivers, Arc::new(sums))))
        }
    }
}

/// Opens all devices of the driver as one.
///
/// # Errors
/// Those of [`open_several`]; there is none.
#[cfg(feature = "cuda")]
pub fn open_all(kernels: super::Kernels) -> crate::Result<Box<dyn super::Backend>> {
    let (devices, problems) = discover();
    if devices.is_empty() {
        return Err(crate::Error::Device {
            device: "cuda:all".into(),
            reason: problems.join("; "),
        });
    }
    // Numbered as the driver numbers them; one that cannot be described is refused with the reason when it is opened.
    let indices: Vec<usize> = (0..devices.len() + problems.len()).collect();
    open_several(&indices, kernels)
}

/// Opens several devices as one.
#[cfg(feature = "cuda")]
pub(super) fn open_group(indices: &[usize]) -> crate::Result<Box<dyn super::Backend>> {
    open_several(indices, super::Kernels::default())
}

/// Opens all devices as one.
#[cfg(feature = "cuda")]
pub(super) fn open_every() -> crate::Result<Box<dyn super::Backend>> {
    open_all(super::Kernels::default())
}

/// Nothing can be opened without the feature.
#[cfg(not(feature = "cuda"))]
pub(super) fn open_group(_: &[usize]) -> crate::Result<Box<dyn super::Backend>> {
    open_every()
}

/// Nothing can be opened without the feature.
#[cfg(not(feature = "cuda"))]
pub(super) fn open_every() -> crate::Result<Box<dyn super::Backend>> {
    let reason = "this program was built without the feature `cuda`".into();
    Err(crate::Error::Device { device: "cuda:all".into(), reason })
}

/// Opens the device of this index.
#[cfg(feature = "cuda")]
pub(super) fn open(index: usize) -> crate::Result<Box<dyn super::Backend>> {
    open_with(index, super::Kernels::default())
}

/// Nothing can be opened without the feature.
#[cfg(not(feature = "cuda"))]
pub(super) fn open(index: usize) -> crate::Result<Box<dyn super::Backend>> {
    let reason = "this program was built without the feature `cuda`".into();
    Err(crate::Error::Device { device: format!("cuda:{index}"), reason })
}

/// Nothing can be run without the feature.
#[cfg(not(feature = "cuda"))]
pub(super) fn runs_models(_: &super::DeviceInfo) -> Result<(), String> {
    Err("this program was built without the feature `cuda`".into())
}

/// Nothing can be found without the feature.
#[cfg(not(feature = "cuda"))]
pub(super) fn discover() -> (Vec<super::DeviceInfo>, Vec<String>) {
    (Vec::new(), vec!["this program was built without the feature `cuda`".into()])
}

/// Buffers, words and constants that a kernel may have.
#[cfg(feature = "cuda")]
const BUFFERS: usize = 14;
#[cfg(feature = "cuda")]
const WORDS: usize = 32;
#[cfg(feature = "cuda")]
const CONSTANTS: usize = 10;

/// The one argument of every kernel; `Arguments` of `kernels/include/glsl.h`.
#[cfg(feature = "cuda")]
#[repr(C)]
#[derive(Clone)]
struct Arguments {
    buffers: [u64; BUFFERS],
    words: [u32; WORDS],
    constants: [u32; CONSTANTS],
    /// Bit i: `constants[i]` was given.
    given: u32,
}

/// The argument of a launch and the bytes of shared memory that it wants beside what its kernel always has. `address`: where a buffer
/// lies.
#[cfg(feature = "cuda")]
fn arguments<B>(
    launch: &Launch<B>,
    address: impl Fn(&B) -> u64,
) -> Result<(Arguments, u32), String> {
    let mut arguments =
        Arguments { buffers: [0; BUFFERS], words: [0; WORDS], constants: [0; CONSTANTS], given: 0 };
    let limits = [
        ("buffers", launch.buffers.len(), BUFFERS),
        ("words", launch.words.len(), WORDS),
        ("blocks along x", launch.groups[0] as usize, i32::MAX as usize),
        ("blocks along y", launch.groups[1] as usize, 65_535),
        ("blocks along z", launch.groups[2] as usize, 65_535),
    ];
    if let Some((what, wanted, most)) = limits.iter().find(|(_, wanted, most)| wanted > most) {
        return Err(format!("{wanted} {what} are too many; there may be {most}"));
    }
    for (slot, buffer) in arguments.buffers.iter_mut().zip(&launch.buffers) {
        *slot = address(buffer);
    }
    arguments.words[..launch.words.len()].copy_from_slice(&launch.words);
    let mut shared = 0;
    for &(id, value) in &launch.constants {
        let slot = arguments.constants.get_mut(id as usize);
        *slot.ok_or_else(|| format!("constant {id} is not one of {CONSTANTS}"))? = value;
        arguments.given |= 1 << id;
        if id >= FIRST_LENGTH {
            shared += 4 * value;
        }
    }
    Ok((arguments, shared))
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;

    fn launch(groups: [u32; 3], constants: Vec<(u32, u32)>) -> Launch<u64> {
        Launch { kernel: "clamp", constants, buffers: vec![7, 9], words: vec![1, 2, 3], groups }
    }

    #[test]
    fn arguments_are_laid_out_as_the_kernels_read_them() {
        let (arguments, shared) =
            arguments(&launch([1; 3], vec![(0, 5), (8, 100), (9, 11)]), |b| *b).unwrap();
        assert_eq!(size_of::<Arguments>(), 288);
        assert_eq!(arguments.buffers[..3], [7, 9, 0]);
        assert_eq!(arguments.words[..4], [1, 2, 3, 0]);
        assert_eq!((arguments.constants[0], arguments.given), (5, 1 | 1 << 8 | 1 << 9));
        assert_eq!(shared, 444);
    }

    #[test]
    fn what_a_launch_cannot_be_is_an_error() {
        let groups = [[1 << 31, 1, 1], [1, 65_536, 1], [1, 1, 65_536]];
        for groups in groups {
            let why = arguments(&launch(groups, vec![]), |b| *b).err().unwrap();
            assert!(why.contains("too many"), "{why}");
        }
        assert!(arguments(&launch([1; 3], vec![(10, 0)]), |b| *b).is_err());
    }
}
