//! Compiled pipelines kept on disk, so that a device compiles each kernel once and not in every process.
//!
//! One file a device and driver in the user's cache folder (`$XDG_CACHE_HOME/lvq`, `~/.cache/lvq`), or in the folder that
//! `LVQ_CACHE` names; `LVQ_CACHE=off` keeps nothing. The file is written whole or not at all, and a file that cannot be read, written or
//! trusted is as good as none.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vulkano::device::Device;
use vulkano::pipeline::cache::{PipelineCache, PipelineCacheCreateInfo};

pub(super) struct Cache {
    path: Option<PathBuf>,
    pipelines: Option<Arc<PipelineCache>>,
    /// Whether it holds what the file does not.
    grown: AtomicBool,
}

/// The folder, if anything is to be kept.
fn folder() -> Option<PathBuf> {
    match std::env::var_os("LVQ_CACHE") {
        Some(v) if v == "off" => None,
        Some(v) if !v.is_empty() => Some(v.into()),
        _ => Some(dirs::cache_dir()?.join("lvq")),
    }
}

/// The file of a device: another device, driver or version of the program has another.
fn file(device: &Device) -> Option<PathBuf> {
    let p = device.physical_device().properties();
    let driver: String = p.pipeline_cache_uuid.iter().map(|b| format!("{b:02x}")).collect();
    let name = format!(
        "vulkan-{:x}-{:x}-{:x}-{driver}-{}.pipelines",
        p.vendor_id,
        p.device_id,
        p.driver_version,
        env!("CARGO_PKG_VERSION")
    );
    Some(folder()?.join(name))
}

fn checksum(data: &[u8]) -> [u8; 4] {
    crc32fast::hash(data).to_le_bytes()
}

/// What a file holds behind its checksum.
fn read(path: &std::path::Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    let (sum, data) = bytes.split_first_chunk::<4>()?;
    (checksum(data) == *sum).then(|| data.to_vec())
}

impl Cache {
    pub fn open(device: &Arc<Device>) -> Self {
        let path = file(device);
        let initial_data = path.as_deref().and_then(read).unwrap_or_default();
        // SAFETY: the data is what `get_data` gave for this device and driver, unharmed by its checksum.
        let pipelines = unsafe {
            PipelineCache::new(
                device.clone(),
                PipelineCacheCreateInfo { initial_data, ..Default::default() },
            )
        };
        Cache { path, pipelines: pipelines.ok(), grown: AtomicBool::new(false) }
    }

    pub fn pipelines(&self) -> Option<Arc<PipelineCache>> {
        self.pipelines.clone()
    }

    /// A pipeline was compiled.
    pub fn grown(&self) {
        self.grown.store(true, Ordering::Relaxed);
    }

    fn save(&self) -> Option<()> {
        let path = self.path.as_deref()?;
        let data = self.pipelines.as_ref()?.get_data().ok()?;
        if read(path).is_some_and(|known| known == data) {
            return Some(());
        }
        let folder = path.parent()?;
        std::fs::create_dir_all(folder).ok()?;
        let mut file = tempfile::NamedTempFile::new_in(folder).ok()?;
        std::io::Write::write_all(&mut file, &checksum(&data)).ok()?;
        std::io::Write::write_all(&mut file, &data).ok()?;
        file.persist(path).ok()?;
        Some(())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if self.grown.load(Ordering::Relaxed) {
            self.save();
        }
    }
}
