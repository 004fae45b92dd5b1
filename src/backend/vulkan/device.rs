//! A Vulkan device as a [`Driver`].

use super::super::gpu::{Driver, Kernels, Launch, Limits};
use super::super::{DeviceInfo, DeviceKind, artefacts};
use super::cache::Cache;
use super::instance::{causes, compute_family, describe, explain, physical_devices};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use vulkano::buffer::{AllocateBufferError, Buffer, BufferCreateInfo, BufferUsage, Subbuffer};
use vulkano::command_buffer::CommandBufferExecFuture;
use vulkano::command_buffer::allocator::StandardCommandBufferAllocator;
use vulkano::command_buffer::{
    AutoCommandBufferBuilder, BufferCopy, CommandBufferUsage, CopyBufferInfo,
    PrimaryAutoCommandBuffer, PrimaryCommandBufferAbstract,
};
use vulkano::descriptor_set::allocator::StandardDescriptorSetAllocator;
use vulkano::descriptor_set::layout::{
    DescriptorSetLayout, DescriptorSetLayoutBinding, DescriptorSetLayoutCreateInfo, DescriptorType,
};
use vulkano::descriptor_set::{DescriptorSet, WriteDescriptorSet};
use vulkano::device::physical::SubgroupFeatures;
use vulkano::device::{Device, DeviceCreateInfo, Queue, QueueCreateInfo};
use vulkano::memory::allocator::{AllocationCreateInfo, MemoryTypeFilter, StandardMemoryAllocator};
use vulkano::pipeline::compute::ComputePipelineCreateInfo;
use vulkano::pipeline::layout::{PipelineLayoutCreateInfo, PushConstantRange};
use vulkano::pipeline::{
    ComputePipeline, Pipeline, PipelineBindPoint, PipelineLayout, PipelineShaderStageCreateInfo,
};
use vulkano::shader::{ShaderModule, ShaderModuleCreateInfo, ShaderStages, SpecializationConstant};
use vulkano::sync::GpuFuture;
use vulkano::sync::future::{FenceSignalFuture, NowFuture};
use vulkano::{Validated, ValidationError, VulkanError};

/// Words of settings that a kernel may have: what every device allows.
const WORDS: usize = 32;

/// A kernel specialised and laid out: name, constants, number of buffers.
type Key = (&'static str, Vec<(u32, u32)>, usize);

/// An opened Vulkan device.
pub(in super::super) struct VulkanDriver {
    name: String,
    info: DeviceInfo,
    device: Arc<Device>,
    queue: Arc<Queue>,
    memory: Arc<StandardMemoryAllocator>,
    commands: Arc<StandardCommandBufferAllocator>,
    descriptors: Arc<StandardDescriptorSetAllocator>,
    pipelines: Mutex<HashMap<Key, Arc<ComputePipeline>>>,
    kernels: Kernels,
    faults: Faults,
    /// Bytes to use at most, and in use.
    memory_bytes: u64,
    used: Arc<AtomicU64>,
    cache: Cache,
}

/// Memory of a device, and whether the host sees it.
#[derive(Clone)]
pub(in super::super) struct Memory {
    words: Subbuffer<[u32]>,
    mapped: bool,
    _share: Arc<Share>,
}

/// Bytes in use, given back when the memory is.
struct Share {
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Commands that run.
type Pending = FenceSignalFuture<CommandBufferExecFuture<NowFuture>>;

/// How a device is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which form of the kernels.
    pub kernels: Kernels,
    /// Bytes of memory to use at most, where that is less than there is.
    pub memory_bytes: Option<u64>,
    /// For tests of what becomes of a program: after so many submissions the device counts as lost.
    pub lost_after: Option<u64>,
}

/// What is made to go wrong.
struct Faults {
    submissions: Option<AtomicI64>,
}

/// A command buffer being recorded.
type Recording = AutoCommandBufferBuilder<PrimaryAutoCommandBuffer>;

impl VulkanDriver {
    /// Opens the device of this index (discrete first, then integrated, virtual, software).
    ///
    /// # Errors
    /// [`Error::Device`] when the loader, a driver or the device is missing, or the driver refuses.
    pub fn open(index: usize, options: &Options) -> Result<Self> {
        Self::start(index, options)
            .map_err(|reason| Error::Device { device: format!("vulkan:{index}"), reason })
    }

    fn start(index: usize, options: &Options) -> Result<Self, String> {
        let (devices, problems) = physical_devices()?;
        let count = devices.len();
        let physical = devices.into_iter().nth(index).ok_or_else(|| {
            let why = if problems.is_empty() { String::new() } else { "; ".to_string() };
            format!("there is no such device; found: {count}{why}{}", problems.join("; "))
        })?;
        let family = compute_family(&physical).ok_or("it has no queue that computes")?;
        let info = describe(index, &physical);
        super::runs_models(&info)?;
        let create = DeviceCreateInfo {
            queue_create_infos: vec![QueueCreateInfo {
                queue_family_index: family,
                ..Default::default()
            }],
            ..Default::default()
        };
        let (device, mut queues) = Device::new(physical, create).map_err(causes)?;
        let queue = queues.next().ok_or("the driver gave no queue")?;
        let memory = info.memory_bytes.unwrap_or(u64::MAX);
        Ok(VulkanDriver {
            name: format!("vulkan:{index}"),
            info,
            memory: Arc::new(StandardMemoryAllocator::new_default(device.clone())),
            commands: Arc::new(StandardCommandBufferAllocator::new(
                device.clone(),
                Default::default(),
            )),
            descriptors: Arc::new(StandardDescriptorSetAllocator::new(
                device.clone(),
                Default::default(),
            )),
            pipelines: Mutex::default(),
            kernels: options.kernels,
            faults: Faults {
                submissions: options.lost_after.map(|n| AtomicI64::new(n.cast_signed())),
            },
            memory_bytes: options.memory_bytes.unwrap_or(u64::MAX).min(memory),
            used: Arc::default(),
            cache: Cache::open(&device),
            device,
            queue,
        })
    }

    fn error(&self, reason: String) -> Error {
        Error::Device { device: self.name.clone(), reason }
    }

    fn recording(&self, usage: CommandBufferUsage) -> Result<Recording, String> {
        AutoCommandBufferBuilder::primary(
            self.commands.clone(),
            self.queue.queue_family_index(),
            usage,
        )
        .map_err(causes)
    }

    fn begin(&self, commands: Arc<PrimaryAutoCommandBuffer>) -> Result<Pending, String> {
        if let Some(left) = &self.faults.submissions
            && left.fetch_sub(1, Ordering::Relaxed) <= 0
        {
            return Err(VulkanError::DeviceLost.to_string());
        }
        commands
            .execute(self.queue.clone())
            .map_err(|e| explain(&e))?
            .then_signal_fence_and_flush()
            .map_err(causes)
    }

    fn end(&self, pending: Pending) -> Result<(), String> {
        pending.wait(None).map_err(causes)
    }

    fn execute(&self, commands: Arc<PrimaryAutoCommandBuffer>) -> Result<(), String> {
        self.end(self.begin(commands)?)
    }

    fn finish(&self, recording: Recording) -> Result<(), String> {
        self.execute(recording.build().map_err(causes)?)
    }

    fn allocate(
        &self,
        words: usize,
        usage: BufferUsage,
        filter: MemoryTypeFilter,
    ) -> Result<Subbuffer<[u32]>, String> {
        let bytes = 4 * words as u64;
        let limits = self.device.physical_device().properties();
        let allowed = u64::from(limits.max_storage_buffer_range);
        if bytes > allowed {
            return Err(format!("a buffer of {bytes} bytes is needed, and it allows {allowed}"));
        }
        Buffer::new_slice::<u32>(
            self.memory.clone(),
            BufferCreateInfo { usage, ..Default::default() },
            AllocationCreateInfo { memory_type_filter: filter, ..Default::default() },
            words as u64,
        )
        .map_err(|e: Validated<AllocateBufferError>| causes(e))
    }

    fn no_room(&self, bytes: u64, used: u64) -> String {
        format!(
            "out of memory: {bytes} bytes are needed, {used} of {} are in use",
            self.memory_bytes
        )
    }

    fn try_buffer(&self, words: usize, mapped: bool) -> Result<Memory, String> {
        let usage =
            BufferUsage::STORAGE_BUFFER | BufferUsage::TRANSFER_SRC | BufferUsage::TRANSFER_DST;
        // What shares its memory with the host needs no copies.
        let mapped =
            mapped || matches!(self.info.kind, DeviceKind::Software | DeviceKind::IntegratedGpu);
        let access = match mapped {
            true => MemoryTypeFilter::HOST_RANDOM_ACCESS,
            false => MemoryTypeFilter::empty(),
        };
        let bytes = 4 * words as u64;
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let share = Arc::new(Share { bytes, used: self.used.clone() });
        if used.saturating_add(bytes) > self.memory_bytes {
            return Err(self.no_room(bytes, used));
        }
        let words = self
            .allocate(words, usage, MemoryTypeFilter::PREFER_DEVICE | access)
            .map_err(|why| format!("{}: {why}", self.no_room(bytes, used)))?;
        if mapped {
            words.write().map_err(|e| explain(&e))?.fill(0);
        } else {
            let mut recording = self.recording(CommandBufferUsage::OneTimeSubmit)?;
            recording.fill_buffer(words.clone(), 0).map_err(invalid)?;
            self.finish(recording)?;
        }
        Ok(Memory { words, mapped, _share: share })
    }

    /// Memory that both sides see.
    fn staging(&self, words: usize, access: MemoryTypeFilter) -> Result<Subbuffer<[u32]>, String> {
        let usage = BufferUsage::TRANSFER_SRC | BufferUsage::TRANSFER_DST;
        self.allocate(words, usage, MemoryTypeFilter::PREFER_HOST | access)
    }

    fn copy(
        &self,
        from: &Subbuffer<[u32]>,
        to: &Subbuffer<[u32]>,
        region: [usize; 3],
    ) -> Result<(), String> {
        let [src_offset, dst_offset, size] = region.map(|words| 4 * words as u64);
        let region = BufferCopy { src_offset, dst_offset, size, ..Default::default() };
        let info = CopyBufferInfo {
            regions: [region].into(),
            ..CopyBufferInfo::buffers(from.clone().into_bytes(), to.clone().into_bytes())
        };
        let mut recording = self.recording(CommandBufferUsage::OneTimeSubmit)?;
        recording.copy_buffer(info).map_err(invalid)?;
        self.finish(recording)
    }

    fn try_write(&self, to: &Memory, at: usize, words: &[u32]) -> Result<(), String> {
        if to.mapped {
            let part = to.words.clone().slice(at as u64..(at + words.len()) as u64);
            part.write().map_err(|e| explain(&e))?.copy_from_slice(words);
            return Ok(());
        }
        let staging = self.staging(words.len(), MemoryTypeFilter::HOST_SEQUENTIAL_WRITE)?;
        staging.write().map_err(|e| explain(&e))?.copy_from_slice(words);
        self.copy(&staging, &to.words, [0, at, words.len()])
    }

    fn try_read(&self, from: &Memory, at: usize, words: &mut [u32]) -> Result<(), String> {
        if from.mapped {
            let part = from.words.clone().slice(at as u64..(at + words.len()) as u64);
            words.copy_from_slice(&part.read().map_err(|e| explain(&e))?);
            return Ok(());
        }
        let staging = self.staging(words.len(), MemoryTypeFilter::HOST_RANDOM_ACCESS)?;
        self.copy(&from.words, &staging, [at, 0, words.len()])?;
        words.copy_from_slice(&staging.read().map_err(|e| explain(&e))?);
        Ok(())
    }

    fn try_record(
        &self,
        launches: &[Launch<Memory>],
    ) -> Result<Arc<PrimaryAutoCommandBuffer>, String> {
        let mut recording = self.recording(CommandBufferUsage::MultipleSubmit)?;
        for launch in launches {
            self.dispatch(&mut recording, launch)
                .map_err(|why| format!("{}: {why}", launch.kernel))?;
        }
        recording.build().map_err(causes)
    }

    fn dispatch(&self, recording: &mut Recording, launch: &Launch<Memory>) -> Result<(), String> {
        let pipeline = self.pipeline(launch)?;
        // The order of launches is kept by what each reads and writes, which is told apart by buffer and not by binding.
        let needs = pipeline.descriptor_binding_requirements();
        let writes = |binding: usize| {
            let all = needs.get(&(0, binding as u32)).into_iter().flat_map(|n| &n.descriptors);
            all.into_iter().any(|(_, d)| !d.memory_write.is_empty())
        };
        let reads = |binding: usize| needs.contains_key(&(0, binding as u32)) && !writes(binding);
        for (i, a) in launch.buffers.iter().enumerate() {
            let twice = |(j, b): (usize, &Memory)| i != j && a.words == b.words && reads(j);
            if writes(i) && launch.buffers.iter().enumerate().any(twice) {
                return Err(format!("buffer {i} is written, and read through another binding"));
            }
        }
        let layout = pipeline.layout();
        let buffers = launch.buffers.iter().map(|b| b.words.clone());
        let writes = (0..).zip(buffers).map(|(binding, b)| WriteDescriptorSet::buffer(binding, b));
        let set_layout = layout.set_layouts().first().ok_or("it binds nothing")?;
        let set = DescriptorSet::new(self.descriptors.clone(), set_layout.clone(), writes, [])
            .map_err(causes)?;
        let mut words = [0u32; WORDS];
        words[..launch.words.len()].copy_from_slice(&launch.words);
        recording
            .bind_pipeline_compute(pipeline.clone())
            .and_then(|r| {
                r.bind_descriptor_sets(PipelineBindPoint::Compute, layout.clone(), 0, set)
            })
            .and_then(|r| r.push_constants(layout.clone(), 0, words))
            .map_err(invalid)?;
        // SAFETY: the buffers are as long as the sizes pushed say (`gpu/pass.rs` makes both), the shader touches nothing beyond
        // them, and its barriers are reached by all invocations of a workgroup.
        unsafe { recording.dispatch(launch.groups) }.map_err(invalid)?;
        Ok(())
    }

    /// The pipeline of a launch, compiled on first use.
    fn pipeline(&self, launch: &Launch<Memory>) -> Result<Arc<ComputePipeline>, String> {
        let key = (launch.kernel, launch.constants.clone(), launch.buffers.len());
        let mut known = self.pipelines.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(pipeline) = known.get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = self.compile(&key)?;
        self.cache.grown();
        known.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn compile(&self, (name, constants, buffers): &Key) -> Result<Arc<ComputePipeline>, String> {
        let device = &self.device;
        let code = artefacts::spirv(name).ok_or("there is no SPIR-V of it")?;
        // SAFETY: the code comes from glslc, for Vulkan 1.1, and spirv-val accepts it.
        let module =
            unsafe { ShaderModule::new(device.clone(), ShaderModuleCreateInfo::new(&code)) }
                .map_err(causes)?;
        // A kernel has the constants that its text uses.
        let has = module.specialization_constants();
        let constants = (constants.iter())
            .filter(|(id, _)| has.contains_key(id))
            .map(|(id, value)| (*id, SpecializationConstant::U32(*value)))
            .collect();
        let entry = module
            .specialize(constants)
            .map_err(invalid)?
            .entry_point("main")
            .ok_or("it has no entry point")?;
        let stage = PipelineShaderStageCreateInfo::new(entry);
        // Laid out by hand: what a shader does not use is left out of what can be read off it.
        let binding = || DescriptorSetLayoutBinding {
            stages: ShaderStages::COMPUTE,
            ..DescriptorSetLayoutBinding::descriptor_type(DescriptorType::StorageBuffer)
        };
        let set = DescriptorSetLayout::new(
            device.clone(),
            DescriptorSetLayoutCreateInfo {
                bindings: (0..*buffers as u32).map(|i| (i, binding())).collect(),
                ..Default::default()
            },
        )
        .map_err(causes)?;
        let layout = PipelineLayout::new(
            device.clone(),
            PipelineLayoutCreateInfo {
                set_layouts: vec![set],
                push_constant_ranges: vec![PushConstantRange {
                    stages: ShaderStages::COMPUTE,
                    offset: 0,
                    size: 4 * WORDS as u32,
                }],
                ..Default::default()
            },
        )
        .map_err(causes)?;
        let create = ComputePipelineCreateInfo::stage_layout(stage, layout);
        ComputePipeline::new(device.clone(), self.cache.pipelines(), create)
            .map_err(|e: Validated<VulkanError>| causes(e))
    }
}

impl Driver for VulkanDriver {
    type Buffer = Memory;
    type Recorded = Arc<PrimaryAutoCommandBuffer>;
    type Pending = Pending;

    fn info(&self) -> DeviceInfo {
        self.info.clone()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        let limits = self.device.physical_device().properties();
        let [x, y, _] = limits.max_compute_work_group_count;
        Limits {
            buffer_bytes: u64::from(limits.max_storage_buffer_range),
            memory_bytes: self.memory_bytes,
            // Kernels go on from group to group, so more are never needed.
            groups: x.min(y).min(65_535),
            shared_bytes: limits.max_compute_shared_memory_size,
            multiprocessors: 0,
            shared_most: 0,
            subgroups: limits
                .subgroup_supported_operations
                .is_some_and(|o| o.intersects(SubgroupFeatures::ARITHMETIC))
                && limits
                    .subgroup_supported_stages
                    .is_some_and(|s| s.intersects(ShaderStages::COMPUTE)),
        }
    }

    fn kernels(&self) -> Kernels {
        self.kernels
    }

    fn words(&self, buffer: &Self::Buffer) -> usize {
        buffer.words.len() as usize
    }

    fn buffer(&self, words: usize) -> Result<Self::Buffer> {
        self.try_buffer(words, false).map_err(|why| self.error(why))
    }

    fn shared(&self, words: usize) -> Result<Self::Buffer> {
        self.try_buffer(words, true).map_err(|why| self.error(why))
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

    fn submit(&self, recorded: &Self::Recorded) -> Result<Self::Pending> {
        self.begin(recorded.clone()).map_err(|why| self.error(why))
    }

    fn wait(&self, pending: Self::Pending) -> Result<()> {
        self.end(pending).map_err(|why| self.error(why))
    }
}

fn invalid(error: Box<ValidationError>) -> String {
    explain(&error)
}
