//! GPUs of any make through Vulkan 1.1 compute, whose loader is opened at run time.

#[cfg(feature = "vulkan")]
mod device;
#[cfg(feature = "vulkan")]
mod instance;

#[cfg(feature = "vulkan")]
pub use device::VulkanDevice;
#[cfg(feature = "vulkan")]
pub use instance::validation_messages;

#[cfg(feature = "vulkan")]
pub(super) use instance::discover;

/// Nothing can be found without the feature.
#[cfg(not(feature = "vulkan"))]
pub(super) fn discover() -> (Vec<super::DeviceInfo>, Vec<String>) {
    (Vec::new(), vec!["this program was built without the feature `vulkan`".into()])
}
