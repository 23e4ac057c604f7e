//! Register-tiled weight gradients: the image is shared out among workgroups, whose partial sums are
//! added in a second pass, so no atomics are needed.

use super::weight_block::{Pair, WeightBlock, taps};
use super::weight_columns::Columns;
use super::weight_lanes::Lanes;
use super::{CLAMPED, ConvParams};
use crate::gpu::Texture;
use crate::kernels::reduce::{self, Loads, Reduction};
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
    /// Blocks through workgroup memory, for hardware adapters.
    Block(WeightBlock),
}

/// Threads of a workgroup.
pub(in crate::kernels) const THREADS: usize = 64;
/// Partial sums that the second pass adds: bounds its rounding and the scratch memory.
pub(in crate::kernels) const PARTS: usize = 64;

impl WeightTile {
    /// A sensible start.
    pub fn default_for(capabilities: Capabilities) -> Self {
        let texture = capabilities.software;
        if WeightBlock::DEFAULT.suits(capabilities) {
            return WeightTile::Block(WeightBlock::DEFAULT);
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
            WeightTile::Block(_) => false,
        }
    }

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
            WeightTile::Block(block) => {
                let size = window.size as u32;
                let pair = Pair {
                    sizes: [1, 1],
                    weights: size * size,
                    products: &|p, outputs, text| taps(size, p, outputs, text),
                };
                block.pass(x, dy, window, &pair)
            }
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
        let kernel = Shape::new(dy.c(), x.c(), window.size, window.size);
        let pass = self.pass(x, dy, window);
        pass.lower(x, dy, window, kernel.elements(), (flops, bytes))
    }
}

/// The first pass: partial sums of the whole kernel, one after another.
pub(in crate::kernels) struct Pass {
    pub path: &'static str,
    /// Every place that it reads is clamped into range.
    pub variant: Variant,
    /// Workgroups.
    pub groups: usize,
    /// Partial sums.
    pub parts: usize,
    /// Image and gradient are read through textures.
    pub texture: bool,
    /// How the second pass reads the partial sums.
    pub sum: Loads,
}

impl Pass {
    /// Both passes of a gradient of `count` numbers, with the operations and bytes of the first.
    pub(in crate::kernels) fn lower(
        self,
        x: Shape,
        dy: Shape,
        window: Window,
        count: usize,
        (flops, bytes): (u64, u64),
    ) -> Lowered {
        let partial = Slot::Scratch(0);
        let [image, gradient] = [0, 1].map(|k| match self.texture {
            true => Slot::Input(k).through_texture(),
            false => Slot::Input(k),
        });
        let bindings = vec![("x", image), ("dy", gradient), ("partial", partial.clone())];
        let params = ConvParams::new(x, dy, -(window.radius() as i32));
        let mut first = Launch::new(self.path, &params, bindings, self.groups as u64)
            .variant(self.variant)
            .work(flops, bytes);
        first.trust = CLAMPED;
        let parts = Shape::new(1, 1, self.parts, count);
        let sum = Shape::vector(count);
        let sum = reduce::reduce_from(Reduction::Sum, parts, sum, partial, self.sum);
        let mut launches = vec![first];
        launches.extend(sum.launches);
        Lowered {
            launches,
            scratch: vec![parts.bytes()],
        }
    }
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
            WeightTile::Block(block) => return block.fmt(f),
        };
        f.write_str(if *texture { " texture" } else { "" })
    }
}
