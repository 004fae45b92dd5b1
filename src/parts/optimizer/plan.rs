//! How a device runs a rule: which kernels, over how many workgroups.
//!
//! A kernel of a rule has a block's parameters, gradient, numbers ([`super::rule::Rule::numbers`]) and
//! state, and the sizes given here (`shaders/include/optimizer.glsl`).

use std::ops::Range;

/// Elements up to which one workgroup sums a block.
const WHOLE: usize = 4096;
/// Elements of a slab of a large block, and the most slabs.
const SLAB: usize = 1024;
const SLABS: usize = 256;
/// Invocations of a workgroup: of elementwise kernels, and of those that form sums.
const NARROW: usize = 64;
const WIDE: usize = 256;
/// Words of room for one slab's sums.
const SUMS: usize = 4;

/// Slabs in which so many elements are summed, a workgroup each.
pub(crate) fn slabs(count: usize) -> usize {
    if count <= WHOLE { 1 } else { count.div_ceil(SLAB).min(SLABS) }
}

/// One launch for one block.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// The kernel.
    pub kernel: &'static str,
    /// What it is specialised by, from constant 0 on: which part of a measured update, then the
    /// rule's options.
    pub constants: Vec<u32>,
    /// Sizes, after those that all kernels of rules have.
    pub sizes: Vec<u32>,
    /// Workgroups wanted; kernels go on from group to group.
    pub groups: usize,
}

/// The launches of one block's update, in their order, and where its state lies.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The launches.
    pub stages: Vec<Stage>,
    /// Tensors of the state that lie one after the other in the block's small buffer. Every other has
    /// a buffer of its own.
    pub packed: Range<usize>,
    /// Words of the small buffer behind these tensors and the state's scalars.
    pub room: usize,
}

impl Plan {
    /// An update with nothing but elements: one launch.
    pub fn elementwise(kernel: &'static str, shape: &[usize]) -> Plan {
        let groups = shape.iter().product::<usize>().div_ceil(NARROW);
        Plan { stages: vec![Stage::new(kernel, 0, &[], groups)], packed: 0..0, room: 0 }
    }

    /// An update that needs norms of the whole block first: sums over slabs, the factor that comes of
    /// them, the update. A small block has one workgroup and one launch.
    pub fn measured(kernel: &'static str, shape: &[usize]) -> Plan {
        Plan::measured_with(kernel, shape, &[])
    }

    /// The same with further sizes.
    pub fn measured_with(kernel: &'static str, shape: &[usize], sizes: &[u32]) -> Plan {
        let count = shape.iter().product::<usize>();
        let slabs = slabs(count);
        let sizes = [&[slabs as u32], sizes].concat();
        let stage = |part, groups| Stage::new(kernel, part, &sizes, groups);
        let stages = if slabs == 1 {
            vec![stage(3, 1)]
        } else {
            vec![stage(0, slabs), stage(1, 1), stage(2, count.div_ceil(WIDE))]
        };
        // The factor, and the sums of the slabs.
        Plan { stages, packed: 0..0, room: 1 + SUMS * slabs }
    }

    /// Sets the rule's options.
    pub fn with(mut self, options: &[u32]) -> Plan {
        for stage in &mut self.stages {
            stage.constants.truncate(1);
            stage.constants.extend(options);
        }
        self
    }
}

impl Stage {
    /// A launch; `part`: which of a measured update.
    pub fn new(kernel: &'static str, part: u32, sizes: &[u32], groups: usize) -> Stage {
        Stage { kernel, constants: vec![part], sizes: sizes.to_vec(), groups }
    }
}
