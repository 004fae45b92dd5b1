//! Where the work is done: the devices, how they are found and chosen, and the code that runs on them.

pub mod artefacts;
pub mod cuda;
pub mod device;
#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod operands;
pub mod vulkan;

pub use device::{Choice, DeviceInfo, DeviceKind, DeviceRequest, Discovery, Problem, devices};
