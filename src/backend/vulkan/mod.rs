//! GPUs of any make through Vulkan 1.1 compute, whose loader is opened at run time.

#[cfg(feature = "vulkan")]
mod cache;
#[cfg(feature = "vulkan")]
mod device;
#[cfg(feature = "vulkan")]
mod instance;

#[cfg(feature = "vulkan")]
pub use instance::validation_messages;

#[cfg(feature = "vulkan")]
pub(super) use instance::discover;

#[cfg(feature = "vulkan")]
pub use device::Options;

/// Whether a device has what the kernels need; what is missing if not.
pub(super) fn runs_models(device: &super::DeviceInfo) -> Result<(), String> {
    for (what, least) in [("storage_buffers", 12), ("shared_memory_bytes", 16_384)] {
        let there = device.info.get(what).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        if there < least {
            return Err(format!("its kernels may have {there} {what}, {least} are needed"));
        }
    }
    Ok(())
}

/// Opens the device of this index with options.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) when the loader, a driver or the device is missing, or the driver refuses.
#[cfg(feature = "vulkan")]
pub fn open_with(index: usize, options: &Options) -> crate::Result<Box<dyn super::Backend>> {
    Ok(Box::new(super::gpu::Gpu::new(device::VulkanDriver::open(index, options)?)))
}

/// Opens the device of this index.
#[cfg(feature = "vulkan")]
pub(super) fn open(index: usize) -> crate::Result<Box<dyn super::Backend>> {
    open_with(index, &Options::default())
}

/// Nothing can be opened without the feature.
#[cfg(not(feature = "vulkan"))]
pub(super) fn open(index: usize) -> crate::Result<Box<dyn super::Backend>> {
    let reason = "this program was built without the feature `vulkan`".into();
    Err(crate::Error::Device { device: format!("vulkan:{index}"), reason })
}

/// Nothing can be found without the feature.
#[cfg(not(feature = "vulkan"))]
pub(super) fn discover() -> (Vec<super::DeviceInfo>, Vec<String>) {
    (Vec::new(), vec!["this program was built without the feature `vulkan`".into()])
}
