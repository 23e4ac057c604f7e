//! Register-tiled weight gradients: the image is shared out among workgroups, whose partial sums are
//! added in a second pass, so no atomics are needed.

use super::weight_block::Blocks;
use super::weight_columns::Columns;
use super::weight_lanes::Lanes;
use super::{CLAMPED, ConvParams};
use crate::gpu::Texture;
use crate::kernels::reduce::{self, Reduction};
use crate::kernels::{Capabilities, Launch, Lowered, Slot};
use crate::shader::Variant;
use crate::shape::{Shape, Window};

/// How a tiled weight gradient shares its work out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WeightTile {
    /// Each thread holds a few output and input channels and walks down image columns.
    Columns {
        /// Output channels of a thread.
        outputs: u32,
        /// Input channels of a thread.
        inputs: u32,
        /// Image and gradient are read through textures, if they fit into one.
        texture: bool,
    },
    /// Each lane of a subgroup holds one output channel and a few input channels, and the subgroup
    /// walks along image rows; pixels reach the lanes by `subgroupBroadcast`. Images whose rows are
    /// no multiple of 4 go by columns, 8 outputs and 2 inputs to a thread.
    Lanes {
        /// Lanes of a subgroup.
        lanes: u32,
        /// Input channels of a lane, or all of them where there are fewer.
        inputs: u32,
        /// Image rows of a walk.
        rows: u32,
        /// Image and gradient are read through textures, if they fit into one.
        texture: bool,
    },
    /// Blocks through workgroup memory, for hardware adapters: a workgroup holds the gradients of up
    /// to `outputs` x `inputs` channels and goes through segments of image rows.
    Block {
        /// Output channels of a workgroup at most, a multiple of 8.
        outputs: u32,
        /// Input channels of a workgroup at most; `outputs` times `inputs` is at most 1024.
        inputs: u32,
    },
}

/// Threads of a workgroup.
pub(in crate::kernels) const THREADS: usize = 64;
/// Partial sums that the second pass adds: bounds its rounding and the scratch memory.
pub(in crate::kernels) const PARTS: usize = 64;

impl WeightTile {
    /// A sensible start.
    pub fn default_for(capabilities: Capabilities) -> Self {
        let texture = capabilities.software;
        if !capabilities.software {
            return Self::BLOCK;
        }
        match capabilities
            .subgroup
            .filter(|s| (4..=THREADS as u32).contains(s))
        {
            Some(lanes) => WeightTile::Lanes {
                lanes,
                inputs: 16,
                rows: 4,
                texture,
            },
            None => Self::columns(texture),
        }
    }

    /// Whether image and gradient are read through textures, if they fit.
    pub(super) fn texture(self) -> bool {
        match self {
            WeightTile::Columns { texture, .. } | WeightTile::Lanes { texture, .. } => texture,
            WeightTile::Block { .. } => false,
        }
    }

    /// For hardware adapters, by reckoning, not by measurement: a workgroup of 128 threads with 72
    /// accumulators each fits several times into the registers of a multiprocessor, and for every
    /// four pixels a thread reads 26 times from workgroup memory for 288 multiply-adds.
    pub const BLOCK: WeightTile = WeightTile::Block {
        outputs: 64,
        inputs: 16,
    };

    const fn columns(texture: bool) -> Self {
        WeightTile::Columns {
            outputs: 8,
            inputs: 2,
            texture,
        }
    }

    fn pass(self, x: Shape, dy: Shape, window: Window) -> Pass {
        let fits = Texture::holds(x.bytes()) && Texture::holds(dy.bytes());
        match self {
            WeightTile::Lanes { texture, .. } if !x.w().is_multiple_of(4) => {
                Self::columns(texture).pass(x, dy, window)
            }
            WeightTile::Lanes {
                lanes,
                inputs,
                rows,
                texture,
            } => Lanes {
                lanes,
                inputs: inputs.min(x.c() as u32),
                rows,
                texture: texture && fits,
            }
            .pass(x, dy, window),
            WeightTile::Columns {
                outputs,
                inputs,
                texture,
            } => Columns {
                outputs,
                inputs,
                texture: texture && fits,
            }
            .pass(x, dy, window),
            WeightTile::Block { outputs, inputs } => Blocks { outputs, inputs }.pass(x, dy, window),
        }
    }

    pub(super) fn lower(
        self,
        x: Shape,
        dy: Shape,
        window: Window,
        flops: u64,
        bytes: u64,
    ) -> Lowered {
        let pass = self.pass(x, dy, window);
        let kernel = Shape::new(dy.c(), x.c(), window.size, window.size);
        let partial = Slot::Scratch(0);
        let [image, gradient] = [0, 1].map(|k| match pass.texture {
            true => Slot::Input(k).through_texture(),
            false => Slot::Input(k),
        });
        let bindings = vec![("x", image), ("dy", gradient), ("partial", partial.clone())];
        let params = ConvParams::new(x, dy, -(window.radius() as i32));
        let mut launch = Launch::new(pass.path, &params, bindings, pass.groups as u64)
            .variant(pass.variant)
            .work(flops, bytes);
        launch.trust = CLAMPED;
        let count = kernel.elements();
        let parts = Shape::new(1, 1, pass.parts, count);
        let sum = reduce::reduce_from(Reduction::Sum, parts, Shape::vector(count), partial);
        let mut launches = vec![launch];
        launches.extend(sum.launches);
        Lowered {
            launches,
            scratch: vec![parts.bytes()],
        }
    }
}

/// The first pass: partial sums of the whole kernel, one after another.
pub(super) struct Pass {
    pub path: &'static str,
    /// Every place that it reads is clamped into range.
    pub variant: Variant,
    /// Workgroups.
    pub groups: usize,
    /// Partial sums.
    pub parts: usize,
    /// Image and gradient are read through textures.
    pub texture: bool,
}

impl std::fmt::Display for WeightTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texture = match self {
            WeightTile::Columns {
                outputs,
                inputs,
                texture,
            } => {
                write!(f, "columns {outputs}x{inputs}")?;
                texture
            }
            WeightTile::Lanes {
                lanes,
                inputs,
                rows,
                texture,
            } => {
                write!(f, "lanes {lanes}x{inputs}x{rows}")?;
                texture
            }
            WeightTile::Block { outputs, inputs } => {
                return write!(f, "block {outputs}x{inputs}");
            }
        };
        f.write_str(if *texture { " texture" } else { "" })
    }
}
