//! NVIDIA GPUs through the CUDA driver, which is opened at run time, and the same kernels compiled
//! for the host, for tests.

#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "cuda")]
pub mod host;

#[cfg(feature = "cuda")]
pub use driver::CudaDevice;

#[cfg(feature = "cuda")]
pub(super) use driver::discover;

/// Nothing can be found without the feature.
#[cfg(not(feature = "cuda"))]
pub(super) fn discover() -> (Vec<super::DeviceInfo>, Vec<String>) {
    (Vec::new(), vec!["this program was built without the feature `cuda`".into()])
}

/// How `squared_euclidean` is launched: (grid, block) for n rows and p prototypes, both at least 1;
/// `None` when the grid would be larger than a launch can be.
#[cfg(feature = "cuda")]
fn squared_euclidean_launch(n: usize, p: usize) -> Option<([u32; 3], [u32; 3])> {
    // SIDE and TILE of kernels/squared_euclidean.cu.
    const SIDE: u32 = 16;
    const TILE: usize = 64;
    let rows = u32::try_from(n.div_ceil(TILE)).ok().filter(|g| *g <= i32::MAX as u32)?;
    let prototypes = u32::try_from(p.div_ceil(TILE)).ok().filter(|g| *g <= 65_535)?;
    Some(([rows, prototypes, 1], [SIDE, SIDE, 1]))
}
