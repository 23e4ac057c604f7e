//! The algorithms of a convolution's three maps, and the problems that they are chosen for.

use super::dense::Method;
use super::{
    Block, Tile, WeightBlock, WeightTile, Winograd, forward, input_gradient, weight_gradient,
};
use crate::kernels::chain::Chain;
use crate::kernels::family::rounded;
use crate::kernels::{Capabilities, Family, Forced, Lowered};
use crate::reference::winograd::Outputs;
use crate::shape::{Shape, Window};
use std::fmt;

/// A convolution: what the choice of an algorithm depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Convolution {
    /// The image, N C H W.
    pub x: Shape,
    /// Output channels.
    pub outputs: usize,
    /// Size, stride and padding.
    pub window: Window,
}

impl Convolution {
    /// The kernel's shape.
    pub fn w(&self) -> Shape {
        let size = self.window.size;
        Shape::new(self.outputs, self.x.c(), size, size)
    }

    /// The output's shape.
    pub fn y(&self) -> Shape {
        self.window.output(self.x, self.outputs)
    }

    /// Multiply-adds count two.
    fn flops(&self) -> u64 {
        super::flops(self.y(), self.w())
    }

    /// With N, H and W rounded up; the width stays a multiple of 4 or none.
    pub(in crate::kernels) fn representative(&self) -> Self {
        let [n, c, h, w] = self.x.0;
        let x = Shape::new(n.next_power_of_two(), c, h.next_power_of_two(), rounded(w));
        Convolution { x, ..*self }
    }
}

impl fmt::Display for Convolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window {
            size,
            stride,
            padding,
        } = self.window;
        let [n, c, h, w] = self.x.0;
        let padding = format!("{padding:?}").to_lowercase();
        write!(f, "{c}-{} {size}x{size} {padding}", self.outputs)?;
        if stride > 1 {
            write!(f, " stride {stride}")?;
        }
        write!(f, " on {n}x{h}x{w}")
    }
}

/// A convolution or its transpose in the image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ImageProblem {
    /// The transpose.
    pub transposed: bool,
    /// The convolution.
    pub convolution: Convolution,
}

impl fmt::Display for ImageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.transposed {
            true => "input gradient ",
            false => "forward ",
        })?;
        self.convolution.fmt(f)
    }
}

/// How a convolution or its input gradient is computed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ImageAlgorithm {
    /// One thread for each output, loop for loop.
    Readable,
    /// Register tiles. Input gradients with a stride are read out loop for loop.
    Tiled(Tile),
    /// Blocks through workgroup memory. Windows with a stride or wider than 5 go loop for loop.
    Block(Block),
    /// Winograd's minimal filtering. Windows other than 3x3 without a stride go loop for loop.
    Winograd(Winograd),
}

impl ImageAlgorithm {
    /// The method for this window, or `None` where it goes loop for loop.
    pub(super) fn method(&self, window: Window) -> Option<&dyn Method> {
        match self {
            ImageAlgorithm::Readable => None,
            ImageAlgorithm::Tiled(tile) => Some(tile),
            ImageAlgorithm::Block(block) => block.takes(window).then_some(block as _),
            ImageAlgorithm::Winograd(w) => w.takes(window).then_some(w as _),
        }
    }
}

/// How a convolution's weight gradient is computed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WeightAlgorithm {
    /// One workgroup for each weight, loop for loop.
    Readable,
    /// Register tiles. Windows with a stride or wider than 5 go loop for loop.
    Tiled(WeightTile),
}

impl fmt::Display for ImageAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageAlgorithm::Readable => f.write_str("readable"),
            ImageAlgorithm::Tiled(tile) => tile.fmt(f),
            ImageAlgorithm::Block(block) => block.fmt(f),
            ImageAlgorithm::Winograd(winograd) => winograd.fmt(f),
        }
    }
}

impl fmt::Display for WeightAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WeightAlgorithm::Readable => f.write_str("readable"),
            WeightAlgorithm::Tiled(tile) => tile.fmt(f),
        }
    }
}

/// Operations beyond which the readable kernels are not tried: they lose, and take seconds.
const SMALL: u64 = 200_000_000;

/// Bytes of workgroup memory that most hardware grants beyond WebGPU's: half of what a multiprocessor
/// of a small one has, so that two workgroups share it.
pub(in crate::kernels) const MORE_MEMORY: u32 = 32 << 10;

/// Channels and rows of the tiles that are tried; the first four promise most.
const TILES: [(u32, u32); 8] = [
    (16, 2),
    (8, 4),
    (16, 4),
    (8, 2),
    (4, 4),
    (4, 8),
    (8, 8),
    (4, 2),
];

/// Tiles that are tried besides for convolutions with at most [`FEW`] outputs, whose larger tiles make
/// too few threads for a large adapter.
const SMALL_TILES: [(u32, u32); 2] = [(8, 1), (4, 1)];
/// Output channels of which one thread takes all: then only pixels and shares make threads.
pub(in crate::kernels) const FEW: usize = 8;

/// Blocks that are tried on hardware: more and fewer outputs to a thread and to a workgroup, and
/// longer and shorter stages, the longest where there is more workgroup memory than WebGPU grants.
const BLOCKS: [Block; 7] = [
    Block::new(64, 16, 8, 8, 18),
    Block::new(32, 16, 8, 4, 18),
    Block::new(32, 32, 8, 8, 18),
    Block::new(64, 16, 8, 4, 9),
    Block::new(32, 16, 4, 4, 36),
    Block::new(64, 16, 8, 4, 36).with_memory(MORE_MEMORY),
    Block::new(64, 32, 8, 8, 36).with_memory(MORE_MEMORY),
];

/// Blocks that are tried on hardware besides for convolutions with at most [`FEW`] outputs, most shares
/// first: their stages are so small that there is room for a field to each share.
const SHARED: [Block; 4] = [
    Block::new(8, 16, 4, 4, 18).with_shares(8),
    Block::new(8, 16, 8, 4, 18)
        .with_shares(8)
        .with_memory(MORE_MEMORY),
    Block::new(8, 16, 4, 4, 18).with_shares(4),
    Block::new(8, 16, 8, 4, 18).with_shares(2),
];

impl ImageProblem {
    /// Channels of what is read and of the result.
    fn channels(&self) -> [usize; 2] {
        let convolution = &self.convolution;
        let (inputs, outputs) = (convolution.x.c(), convolution.outputs);
        match self.transposed {
            true => [outputs, inputs],
            false => [inputs, outputs],
        }
    }

    /// Blocks whose shares all have something to do, most shares first.
    fn shared(&self, capabilities: Capabilities) -> impl Iterator<Item = Block> {
        let [inputs, outputs] = self.channels();
        let window = self.convolution.window;
        SHARED.into_iter().filter(move |block| {
            outputs <= FEW
                && block.shares as usize <= inputs
                && block.suits(capabilities)
                && block.takes(window)
        })
    }
}

impl Family for ImageAlgorithm {
    type Problem = ImageProblem;

    const NAME: &'static str = "conv2d";

    fn default_for(capabilities: Capabilities, problem: &ImageProblem) -> Self {
        if problem.transposed && problem.convolution.window.stride > 1 {
            return ImageAlgorithm::Readable;
        }
        let output = Self::output(problem);
        let mut shared = problem.shared(capabilities);
        if let Some(block) = shared.find(|block| block.is_wanted(capabilities, output)) {
            return ImageAlgorithm::Block(block);
        }
        // Workgroup memory is what hardware adapters are made for; software has none.
        match Block::DEFAULT.suits(capabilities) && Block::DEFAULT.takes(problem.convolution.window)
        {
            true => ImageAlgorithm::Block(Block::DEFAULT),
            false => ImageAlgorithm::Tiled(Tile::default_for(capabilities)),
        }
    }

    fn alternatives(capabilities: Capabilities, problem: &ImageProblem) -> Vec<Self> {
        if problem.transposed && problem.convolution.window.stride > 1 {
            return Vec::new();
        }
        let default = Tile::default_for(capabilities);
        let Tile {
            subgroup, texture, ..
        } = default;
        // The default's way in every size; the other ways in the sizes that promise most.
        let all = |way: Tile, sizes: &'static [(u32, u32)]| {
            sizes.iter().map(move |&(channels, rows)| Tile {
                channels,
                rows,
                ..way
            })
        };
        let convolution = &problem.convolution;
        let [_, outputs] = problem.channels();
        let small: &'static [(u32, u32)] = if outputs <= FEW { &SMALL_TILES } else { &[] };
        let other = |subgroup, texture, uniform| Tile {
            subgroup,
            texture,
            uniform,
            ..default
        };
        let tiles = all(default, &TILES)
            .chain(all(default, small))
            .chain(all(other(subgroup, texture, !default.uniform), &TILES[..3]))
            .chain(all(other(subgroup, !texture, false), &TILES[..2]))
            .chain(all(other(None, texture, true), &TILES[..2]))
            .chain(all(other(None, texture, false), &TILES[..2]));
        let readable = (convolution.flops() <= SMALL).then_some(ImageAlgorithm::Readable);
        let window = convolution.window;
        let blocks = (BLOCKS.into_iter())
            .filter(|block| block.suits(capabilities) && block.takes(window))
            .chain(problem.shared(capabilities))
            .map(ImageAlgorithm::Block);
        let winograd = [Outputs::Two, Outputs::Four]
            .map(|outputs| Winograd::new(outputs, capabilities))
            .into_iter()
            .filter(|winograd| winograd.takes(window))
            .map(ImageAlgorithm::Winograd);
        let tiles = tiles.map(ImageAlgorithm::Tiled);
        blocks
            .chain(tiles)
            .chain(winograd)
            .chain(readable)
            .collect()
    }

    fn forced(forced: &Forced) -> Option<Self> {
        forced.images
    }

    fn force(self, forced: &mut Forced) {
        forced.images = Some(self);
    }

    fn lower(self, problem: &ImageProblem) -> Lowered {
        let c = &problem.convolution;
        let chain = Chain::none();
        match problem.transposed {
            true => input_gradient(c.y(), c.w(), c.window, c.x, &chain, self),
            false => forward(c.x, c.w(), c.window, &chain, self),
        }
    }

    fn representative(problem: &ImageProblem) -> ImageProblem {
        ImageProblem {
            convolution: problem.convolution.representative(),
            ..*problem
        }
    }

    fn inputs(problem: &ImageProblem) -> Vec<Shape> {
        let c = &problem.convolution;
        vec![if problem.transposed { c.y() } else { c.x }, c.w()]
    }

    fn output(problem: &ImageProblem) -> Shape {
        let c = &problem.convolution;
        if problem.transposed { c.x } else { c.y() }
    }
}

/// Output and input channels of the column tiles that are tried.
const COLUMNS: [(u32, u32); 5] = [(8, 2), (4, 2), (8, 1), (4, 4), (4, 1)];
/// Input channels and rows of the lane tiles that are tried.
const LANES: [(u32, u32); 5] = [(16, 4), (8, 4), (16, 2), (8, 8), (4, 4)];
/// Blocks that are tried on hardware.
const WEIGHT_BLOCKS: [WeightBlock; 6] = [
    WeightBlock::new(64, 16, 16),
    WeightBlock::new(32, 16, 16),
    WeightBlock::new(64, 8, 16),
    WeightBlock::new(64, 16, 8),
    WeightBlock::new(96, 16, 16).with_memory(MORE_MEMORY),
    WeightBlock::new(64, 16, 32).with_memory(MORE_MEMORY),
];

impl Family for WeightAlgorithm {
    type Problem = Convolution;

    const NAME: &'static str = "conv2d weight gradient";

    fn default_for(capabilities: Capabilities, problem: &Convolution) -> Self {
        match tileable(problem) {
            true => WeightAlgorithm::Tiled(WeightTile::default_for(capabilities)),
            false => WeightAlgorithm::Readable,
        }
    }

    fn alternatives(capabilities: Capabilities, problem: &Convolution) -> Vec<Self> {
        if !tileable(problem) {
            return Vec::new();
        }
        let mut tiles = Vec::new();
        let default = WeightTile::default_for(capabilities);
        for texture in [default.texture(), !default.texture()] {
            if let WeightTile::Lanes { lanes, .. } = default {
                tiles.extend(LANES.map(|(inputs, rows)| WeightTile::Lanes {
                    lanes,
                    inputs,
                    rows,
                    texture,
                }));
            }
            tiles.extend(COLUMNS.map(|(outputs, inputs)| WeightTile::Columns {
                outputs,
                inputs,
                texture,
            }));
        }
        let blocks = (WEIGHT_BLOCKS.into_iter()).filter(|block| block.suits(capabilities));
        tiles.extend(blocks.map(WeightTile::Block));
        let readable = (problem.flops() <= SMALL).then_some(WeightAlgorithm::Readable);
        let tiles = tiles.into_iter().map(WeightAlgorithm::Tiled);
        tiles.chain(readable).collect()
    }

    fn forced(forced: &Forced) -> Option<Self> {
        forced.weights
    }

    fn force(self, forced: &mut Forced) {
        forced.weights = Some(self);
    }

    fn lower(self, problem: &Convolution) -> Lowered {
        weight_gradient(problem.x, problem.y(), problem.window, self)
    }

    fn representative(problem: &Convolution) -> Convolution {
        problem.representative()
    }

    fn inputs(problem: &Convolution) -> Vec<Shape> {
        vec![problem.x, problem.y()]
    }

    fn output(problem: &Convolution) -> Shape {
        problem.w()
    }
}

/// Whether the tiled weight gradients take the window.
fn tileable(problem: &Convolution) -> bool {
    problem.window.stride == 1 && problem.window.size <= 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::WEBGPU_MEMORY;
    use crate::shape::Padding;

    fn problem(channels: [usize; 2], size: usize, n: usize, transposed: bool) -> ImageProblem {
        ImageProblem {
            transposed,
            convolution: Convolution {
                x: Shape::new(n, channels[0], size, size),
                outputs: channels[1],
                window: Window::same(3, Padding::Replicate),
            },
        }
    }

    /// Shares of a block; `None` of anything else.
    fn shares(algorithm: ImageAlgorithm) -> Option<u32> {
        match algorithm {
            ImageAlgorithm::Block(block) => Some(block.shares),
            _ => None,
        }
    }

    #[test]
    fn inputs_of_few_outputs_are_shared_on_hardware_alone() {
        let hardware = Capabilities::default();
        for (channels, size, n, transposed, expected) in [
            ([96, 6], 128, 1, false, 8),
            ([7, 96], 128, 1, true, 8),
            ([96, 6], 128, 4, false, 8),
            ([96, 6], 128, 8, false, 4),
            ([96, 6], 512, 1, false, 2),
            ([96, 6], 128, 32, false, 1),
            ([96, 6], 1024, 1, false, 1),
            // As many shares as there are input channels.
            ([7, 6], 128, 1, false, 4),
            ([1, 1], 128, 1, false, 1),
            // Many outputs have threads of their own.
            ([96, 96], 128, 1, false, 1),
            ([96, 6], 128, 1, true, 1),
            ([7, 96], 128, 1, false, 1),
        ] {
            let problem = problem(channels, size, n, transposed);
            let default = ImageAlgorithm::default_for(hardware, &problem);
            assert_eq!(shares(default), Some(expected), "{problem}");
            for other in [
                Capabilities {
                    software: true,
                    ..hardware
                },
                Capabilities {
                    memory: 4 << 10,
                    ..hardware
                },
            ] {
                let candidates = ImageAlgorithm::candidates(other, &problem);
                let shared = candidates.into_iter().filter_map(shares);
                assert_eq!(shared.max(), None, "{other:?}: {problem}");
            }
        }
    }

    #[test]
    fn larger_windows_are_shared_as_far_as_there_is_room() {
        let mut problem = problem([96, 6], 128, 1, false);
        for (size, memory, expected) in [
            (1, WEBGPU_MEMORY, 8),
            (5, WEBGPU_MEMORY, 4),
            (5, MORE_MEMORY, 8),
        ] {
            problem.convolution.window.size = size;
            let hardware = Capabilities {
                memory,
                ..Capabilities::default()
            };
            let default = ImageAlgorithm::default_for(hardware, &problem);
            assert_eq!(shares(default), Some(expected), "{size} in {memory}");
        }
        problem.convolution.window.stride = 2;
        let default = ImageAlgorithm::default_for(Capabilities::default(), &problem);
        assert_eq!(shares(default), None);
    }
}
