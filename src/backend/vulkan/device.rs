//! A Vulkan device with the shaders loaded.

use super::super::artefacts;
use super::super::operands::Operands;
use super::instance::{causes, compute_family, explain, physical_devices};
use crate::{Error, Result};
use ndarray::{Array2, ArrayView2};
use std::sync::Arc;
use vulkano::buffer::{AllocateBufferError, Buffer, BufferCreateInfo, BufferUsage, Subbuffer};
use vulkano::command_buffer::allocator::StandardCommandBufferAllocator;
use vulkano::command_buffer::{
    AutoCommandBufferBuilder, CommandBufferUsage, CopyBufferInfo, PrimaryAutoCommandBuffer,
    PrimaryCommandBufferAbstract,
};
use vulkano::descriptor_set::allocator::StandardDescriptorSetAllocator;
use vulkano::descriptor_set::{DescriptorSet, WriteDescriptorSet};
use vulkano::device::{Device, DeviceCreateInfo, Queue, QueueCreateInfo};
use vulkano::memory::allocator::{AllocationCreateInfo, MemoryTypeFilter, StandardMemoryAllocator};
use vulkano::pipeline::compute::ComputePipelineCreateInfo;
use vulkano::pipeline::layout::PipelineDescriptorSetLayoutCreateInfo;
use vulkano::pipeline::{
    ComputePipeline, Pipeline, PipelineBindPoint, PipelineLayout, PipelineShaderStageCreateInfo,
};
use vulkano::shader::{ShaderModule, ShaderModuleCreateInfo, SpecializationConstant};
use vulkano::sync::GpuFuture;
use vulkano::{Validated, ValidationError, VulkanError};

/// Sums that one invocation of squared_euclidean.comp holds along each side (EACH there).
const EACH: u32 = 4;

/// An opened Vulkan device with the shaders loaded.
pub struct VulkanDevice {
    name: String,
    device: Arc<Device>,
    queue: Arc<Queue>,
    memory: Arc<StandardMemoryAllocator>,
    commands: Arc<StandardCommandBufferAllocator>,
    descriptors: Arc<StandardDescriptorSetAllocator>,
    squared_euclidean: Arc<ComputePipeline>,
    /// Invocations along each side of a workgroup of `squared_euclidean`.
    side: u32,
}

/// A command buffer being recorded.
type Recording = AutoCommandBufferBuilder<PrimaryAutoCommandBuffer>;

impl VulkanDevice {
    /// Opens the device of this index (discrete first, then integrated, virtual, software) and
    /// loads the shaders.
    ///
    /// # Errors
    /// [`Error::Device`] when the loader, a driver or the device is missing, or the driver refuses.
    pub fn open(index: usize) -> Result<Self> {
        Self::open_with_side(index, None)
    }

    /// As [`VulkanDevice::open`], with workgroups of `side` x `side` invocations: a way to try on
    /// one device what another, with lower limits, would run.
    ///
    /// # Errors
    /// As [`VulkanDevice::open`]; also when the device does not allow such a workgroup.
    pub fn open_with_side(index: usize, side: Option<u32>) -> Result<Self> {
        Self::start(index, side)
            .map_err(|reason| Error::Device { device: format!("vulkan:{index}"), reason })
    }

    fn start(index: usize, side: Option<u32>) -> Result<Self, String> {
        let (devices, problems) = physical_devices()?;
        let count = devices.len();
        let physical = devices.into_iter().nth(index).ok_or_else(|| {
            let why = if problems.is_empty() { String::new() } else { "; ".to_string() };
            format!("there is no such device; found: {count}{why}{}", problems.join("; "))
        })?;
        let family = compute_family(&physical).ok_or("it has no queue that computes")?;
        let create = DeviceCreateInfo {
            queue_create_infos: vec![QueueCreateInfo {
                queue_family_index: family,
                ..Default::default()
            }],
            ..Default::default()
        };
        let (device, mut queues) = Device::new(physical, create).map_err(causes)?;
        let queue = queues.next().ok_or("the driver gave no queue")?;

        let limits = device.physical_device().properties();
        let size = limits.max_compute_work_group_size;
        let most = limits.max_compute_work_group_invocations;
        let fits = |side: u32| side * side <= most && side <= size[0] && side <= size[1];
        let side = side.unwrap_or(if fits(16) { 16 } else { 8 });
        if side == 0 || side > 16 || !fits(side) {
            return Err(format!("it does not allow workgroups of {side} x {side}"));
        }
        // 0 and 1 are the workgroup's sizes, 2 the constant SIDE.
        let constants = [(0, side), (1, side), (2, side)];
        Ok(VulkanDevice {
            name: format!("vulkan:{index}"),
            squared_euclidean: pipeline(&device, "squared_euclidean", &constants)?,
            memory: Arc::new(StandardMemoryAllocator::new_default(device.clone())),
            commands: Arc::new(StandardCommandBufferAllocator::new(
                device.clone(),
                Default::default(),
            )),
            descriptors: Arc::new(StandardDescriptorSetAllocator::new(
                device.clone(),
                Default::default(),
            )),
            device,
            queue,
            side,
        })
    }

    fn error(&self, reason: String) -> Error {
        Error::Device { device: self.name.clone(), reason }
    }

    /// Squared Euclidean distances (n x p) of the rows of `x` (n x dim) to those of `w` (p x dim).
    /// The relative error of each is at most about (dim + 3) / 2^24.
    ///
    /// # Errors
    /// [`Error::Shape`] when the columns differ in number; [`Error::Device`] when a matrix is larger
    /// than a buffer of the device can be or than its memory, or the driver fails.
    pub fn distances(&self, x: ArrayView2<f32>, w: ArrayView2<f32>) -> Result<Array2<f32>> {
        let operands = Operands::new(x, w)?;
        let (n, p) = (operands.n, operands.p);
        if operands.is_empty() {
            return Ok(Array2::zeros((n, p)));
        }
        let values = self.run(&operands).map_err(|why| self.error(why))?;
        Array2::from_shape_vec((n, p), values).map_err(|e| self.error(e.to_string()))
    }

    fn run(&self, operands: &Operands) -> Result<Vec<f32>, String> {
        let (n, p) = (operands.n, operands.p);
        let limits = self.device.physical_device().properties();
        let cells = n.saturating_mul(p);
        for values in [operands.x.len(), operands.w.len(), cells] {
            // The limit is below 2^32 bytes, so the sizes and offsets fit the shader's 32 bits.
            let bytes = 4 * values as u128;
            if bytes > u128::from(limits.max_storage_buffer_range) {
                return Err(format!(
                    "a buffer of {bytes} bytes is needed, and it allows {}",
                    limits.max_storage_buffer_range
                ));
            }
        }
        let mut recording = AutoCommandBufferBuilder::primary(
            self.commands.clone(),
            self.queue.queue_family_index(),
            CommandBufferUsage::OneTimeSubmit,
        )
        .map_err(causes)?;
        let x = self.upload(&mut recording, &operands.x)?;
        let w = self.upload(&mut recording, &operands.w)?;
        let d = self.local(cells)?;
        let back = self.visible(cells, MemoryTypeFilter::HOST_RANDOM_ACCESS)?;

        let tile = (self.side * EACH) as usize;
        let sizes = [n as u32, p as u32, operands.dim as u32];
        let most = limits.max_compute_work_group_count;
        let groups =
            [(n.div_ceil(tile) as u32).min(most[0]), (p.div_ceil(tile) as u32).min(most[1]), 1];
        self.dispatch(&mut recording, [x, w, d.clone()], sizes, groups)?;
        recording.copy_buffer(CopyBufferInfo::buffers(d, back.clone())).map_err(invalid)?;
        recording
            .build()
            .map_err(causes)?
            .execute(self.queue.clone())
            .map_err(|e| explain(&e))?
            .then_signal_fence_and_flush()
            .map_err(causes)?
            .wait(None)
            .map_err(causes)?;
        let values = back.read().map_err(|e| explain(&e))?;
        Ok(values.to_vec())
    }

    fn dispatch(
        &self,
        recording: &mut Recording,
        buffers: [Subbuffer<[f32]>; 3],
        sizes: [u32; 3],
        groups: [u32; 3],
    ) -> Result<(), String> {
        let pipeline = &self.squared_euclidean;
        let layout = pipeline.layout();
        let writes = (0..).zip(buffers).map(|(binding, b)| WriteDescriptorSet::buffer(binding, b));
        let set_layout = layout.set_layouts().first().ok_or("the shader binds nothing")?;
        let set = DescriptorSet::new(self.descriptors.clone(), set_layout.clone(), writes, [])
            .map_err(causes)?;
        recording
            .bind_pipeline_compute(pipeline.clone())
            .and_then(|r| {
                r.bind_descriptor_sets(PipelineBindPoint::Compute, layout.clone(), 0, set)
            })
            .and_then(|r| r.push_constants(layout.clone(), 0, sizes))
            .map_err(invalid)?;
        // SAFETY: the buffers hold n * dim, p * dim and n * p values for the sizes pushed, all below
        // 2^30, and the shader touches nothing beyond them; its barriers are reached by all.
        unsafe { recording.dispatch(groups) }.map_err(invalid)?;
        Ok(())
    }

    /// Copies `values` to the device's own memory, by way of memory that both sides see.
    fn upload(
        &self,
        recording: &mut Recording,
        values: &[f32],
    ) -> Result<Subbuffer<[f32]>, String> {
        let staging = self.visible(values.len(), MemoryTypeFilter::HOST_SEQUENTIAL_WRITE)?;
        staging.write().map_err(|e| explain(&e))?.copy_from_slice(values);
        let local = self.local(values.len())?;
        recording.copy_buffer(CopyBufferInfo::buffers(staging, local.clone())).map_err(invalid)?;
        Ok(local)
    }

    fn local(&self, len: usize) -> Result<Subbuffer<[f32]>, String> {
        let usage =
            BufferUsage::STORAGE_BUFFER | BufferUsage::TRANSFER_SRC | BufferUsage::TRANSFER_DST;
        self.buffer(len, usage, MemoryTypeFilter::PREFER_DEVICE)
    }

    fn visible(&self, len: usize, access: MemoryTypeFilter) -> Result<Subbuffer<[f32]>, String> {
        let usage = BufferUsage::TRANSFER_SRC | BufferUsage::TRANSFER_DST;
        self.buffer(len, usage, MemoryTypeFilter::PREFER_HOST | access)
    }

    fn buffer(
        &self,
        len: usize,
        usage: BufferUsage,
        filter: MemoryTypeFilter,
    ) -> Result<Subbuffer<[f32]>, String> {
        Buffer::new_slice::<f32>(
            self.memory.clone(),
            BufferCreateInfo { usage, ..Default::default() },
            AllocationCreateInfo { memory_type_filter: filter, ..Default::default() },
            len as u64,
        )
        .map_err(|e: Validated<AllocateBufferError>| {
            format!("{} bytes could not be had: {}", 4 * len, causes(e))
        })
    }
}

fn invalid(error: Box<ValidationError>) -> String {
    explain(&error)
}

/// The compute pipeline of the shader `name` with these specialisation constants.
fn pipeline(
    device: &Arc<Device>,
    name: &str,
    constants: &[(u32, u32)],
) -> Result<Arc<ComputePipeline>, String> {
    let code = artefacts::spirv(name).ok_or_else(|| format!("no SPIR-V for {name}"))?;
    // SAFETY: the code comes from glslc, for Vulkan 1.1, and spirv-val accepts it.
    let module = unsafe { ShaderModule::new(device.clone(), ShaderModuleCreateInfo::new(&code)) }
        .map_err(causes)?;
    let constants =
        constants.iter().map(|(id, value)| (*id, SpecializationConstant::U32(*value))).collect();
    let entry = module
        .specialize(constants)
        .map_err(invalid)?
        .entry_point("main")
        .ok_or_else(|| format!("{name} has no entry point"))?;
    let stage = PipelineShaderStageCreateInfo::new(entry);
    let layout = PipelineDescriptorSetLayoutCreateInfo::from_stages([&stage])
        .into_pipeline_layout_create_info(device.clone())
        .map_err(|e| causes(e.error))?;
    let layout: Arc<PipelineLayout> =
        PipelineLayout::new(device.clone(), layout).map_err(causes)?;
    let create = ComputePipelineCreateInfo::stage_layout(stage, layout);
    ComputePipeline::new(device.clone(), None, create)
        .map_err(|e: Validated<VulkanError>| format!("{name}: {}", causes(e)))
}
