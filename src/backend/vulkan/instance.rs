//! The loader, the instance and the devices behind it.

use super::super::{DeviceInfo, DeviceKind, artefacts};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, OnceLock};
use vulkano::device::QueueFlags;
use vulkano::device::physical::{PhysicalDevice, PhysicalDeviceType};
use vulkano::instance::debug::{
    DebugUtilsMessageSeverity, DebugUtilsMessageType, DebugUtilsMessenger,
    DebugUtilsMessengerCallback, DebugUtilsMessengerCreateInfo,
};
use vulkano::instance::{Instance, InstanceCreateFlags, InstanceCreateInfo, InstanceExtensions};
use vulkano::memory::MemoryHeapFlags;
use vulkano::{Version, VulkanLibrary};

/// The layer that checks every call.
const VALIDATION: &str = "VK_LAYER_KHRONOS_validation";

/// What the validation layer has said.
static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The instance, with the messenger that must live as long as it is to be heard.
struct Opened {
    instance: Arc<Instance>,
    messenger: Option<DebugUtilsMessenger>,
}

/// An error with all its causes, on one line.
pub(super) fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.replace('\n', " ")
}

/// Whether `LVQ_VULKAN_VALIDATION` asks for the validation layer (set, and not `0`).
fn validating() -> bool {
    std::env::var_os("LVQ_VULKAN_VALIDATION").is_some_and(|v| !v.is_empty() && v != "0")
}

/// The errors and warnings of the validation layer so far in this process, for tests; `None` unless
/// `LVQ_VULKAN_VALIDATION=1` asks for the layer and it is installed.
pub fn validation_messages() -> Option<Vec<String>> {
    let opened = opened().as_ref().ok()?;
    opened.messenger.as_ref()?;
    let messages = MESSAGES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    Some(messages.clone())
}

/// The process's one instance. Opening it loads every installed driver, so it is done once.
fn opened() -> &'static Result<Opened, String> {
    static OPENED: OnceLock<Result<Opened, String>> = OnceLock::new();
    OPENED.get_or_init(open)
}

fn open() -> Result<Opened, String> {
    let library = VulkanLibrary::new()
        .map_err(|e| format!("the loader (libvulkan.so.1, vulkan-1.dll): {}", explain(&e)))?;
    if library.api_version() < Version::V1_1 {
        return Err(format!("the loader is for Vulkan {}, 1.1 is needed", library.api_version()));
    }
    let check = validating();
    let known = library.layer_properties().map_err(|e| explain(&e))?;
    if check && !known.into_iter().any(|layer| layer.name() == VALIDATION) {
        return Err(format!("LVQ_VULKAN_VALIDATION is set, and {VALIDATION} is not installed"));
    }
    let create = InstanceCreateInfo {
        application_name: Some("lvq".into()),
        // Devices that translate to another API (MoltenVK) are listed only when asked for.
        flags: InstanceCreateFlags::ENUMERATE_PORTABILITY,
        enabled_layers: if check { vec![VALIDATION.into()] } else { Vec::new() },
        enabled_extensions: InstanceExtensions {
            ext_debug_utils: check,
            ..InstanceExtensions::empty()
        },
        ..Default::default()
    };
    let instance = Instance::new(library, create)
        .map_err(|e| format!("no instance (is a driver installed?): {}", causes(e)))?;
    let messenger = check.then(|| listen(&instance)).transpose()?;
    Ok(Opened { instance, messenger })
}

/// The text of a validated error: `Validated` itself only says which sort it is.
pub(super) fn causes<E: Error + 'static>(error: vulkano::Validated<E>) -> String {
    match error {
        vulkano::Validated::Error(error) => explain(&error),
        vulkano::Validated::ValidationError(error) => explain(&error),
    }
}

fn listen(instance: &Arc<Instance>) -> Result<DebugUtilsMessenger, String> {
    // SAFETY: the closure makes no Vulkan call.
    let callback = unsafe {
        DebugUtilsMessengerCallback::new(|_, _, data| {
            let mut messages = MESSAGES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            messages.push(data.message.to_string());
        })
    };
    let create = DebugUtilsMessengerCreateInfo {
        message_severity: DebugUtilsMessageSeverity::ERROR | DebugUtilsMessageSeverity::WARNING,
        message_type: DebugUtilsMessageType::VALIDATION,
        ..DebugUtilsMessengerCreateInfo::user_callback(callback)
    };
    DebugUtilsMessenger::new(instance.clone(), create).map_err(causes)
}

/// The usable devices in the order of their indices, and why others were left out.
pub(super) fn physical_devices() -> Result<(Vec<Arc<PhysicalDevice>>, Vec<String>), String> {
    let opened = opened().as_ref().map_err(String::clone)?;
    let all = opened
        .instance
        .enumerate_physical_devices()
        .map_err(|e| format!("no device (is a driver installed?): {}", explain(&e)))?;
    let mut usable = Vec::new();
    let mut problems = Vec::new();
    for device in all {
        let name = &device.properties().device_name;
        if device.api_version() < Version::V1_1 {
            let version = device.api_version();
            problems.push(format!("{name}: Vulkan {version}, 1.1 is needed"));
        } else if compute_family(&device).is_none() {
            problems.push(format!("{name}: it has no queue that computes"));
        } else {
            usable.push(device);
        }
    }
    if usable.is_empty() && problems.is_empty() {
        problems.push("the loader is installed and has no device (no driver)".into());
    }
    // Stable: devices of one sort stay in the driver's order.
    usable.sort_by_key(|device| kind(device));
    Ok((usable, problems))
}

/// The queue family to compute on.
pub(super) fn compute_family(device: &PhysicalDevice) -> Option<u32> {
    let families = device.queue_family_properties();
    let index = families.iter().position(|f| f.queue_flags.intersects(QueueFlags::COMPUTE))?;
    u32::try_from(index).ok()
}

fn kind(device: &PhysicalDevice) -> DeviceKind {
    match device.properties().device_type {
        PhysicalDeviceType::DiscreteGpu => DeviceKind::DiscreteGpu,
        PhysicalDeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
        PhysicalDeviceType::VirtualGpu => DeviceKind::VirtualGpu,
        _ => DeviceKind::Software,
    }
}

/// The devices, and what stood in the way of finding more.
pub(in super::super) fn discover() -> (Vec<DeviceInfo>, Vec<String>) {
    match physical_devices() {
        Ok((devices, problems)) => {
            (devices.iter().enumerate().map(|(i, d)| describe(i, d)).collect(), problems)
        }
        Err(why) => (Vec::new(), vec![why]),
    }
}

pub(super) fn describe(index: usize, device: &PhysicalDevice) -> DeviceInfo {
    let properties = device.properties();
    let features = device.supported_features();
    let heaps = &device.memory_properties().memory_heaps;
    let local = heaps.iter().filter(|h| h.flags.intersects(MemoryHeapFlags::DEVICE_LOCAL));
    let mut info = BTreeMap::from([
        ("vulkan_version", device.api_version().to_string()),
        ("shared_memory_bytes", properties.max_compute_shared_memory_size.to_string()),
        ("workgroup_size", properties.max_compute_work_group_invocations.to_string()),
        ("storage_buffers", properties.max_per_stage_descriptor_storage_buffers.to_string()),
        ("buffer_bytes", properties.max_storage_buffer_range.to_string()),
        ("f16", features.shader_float16.to_string()),
        ("storage_16_bit", features.storage_buffer16_bit_access.to_string()),
        ("atomic_f32_add", features.shader_buffer_float32_atomic_add.to_string()),
        ("shaders", artefacts::SPIRV_ORIGIN.to_string()),
    ]);
    let driver = [&properties.driver_name, &properties.driver_info];
    let driver: Vec<&str> = driver.into_iter().flatten().map(String::as_str).collect();
    if !driver.is_empty() {
        info.insert("driver", driver.join(" "));
    }
    if let Some(size) = properties.subgroup_size {
        info.insert("subgroup_size", size.to_string());
    }
    DeviceInfo {
        name: format!("vulkan:{index}"),
        kind: kind(device),
        description: properties.device_name.clone(),
        memory_bytes: Some(local.map(|heap| heap.size).sum()),
        info,
    }
}
