//! The algorithms of a symmetric convolution's three maps, and the problems they are chosen for.

use super::{
    SymmetricLanes, SymmetricTile, block, expanded, forward, input_gradient, sizes, weight_gradient,
};
use crate::group::{SymmetricConv, SymmetricTable};
use crate::kernels::chain::Chain;
use crate::kernels::conv2d::{
    Block, Convolution, FEW, ImageAlgorithm, ImageProblem, MORE_MEMORY, WeightAlgorithm,
    WeightBlock,
};
use crate::kernels::{Capabilities, Family, Forced, Lowered};
use crate::shape::Shape;
use std::fmt;
use std::sync::Arc;

/// A symmetric convolution: what the choice of an algorithm depends on.
#[derive(Clone, PartialEq, Debug)]
pub struct SymmetricProblem {
    /// The layer.
    pub conv: Arc<SymmetricConv>,
    /// The image, N C H W.
    pub x: Shape,
    /// Output fields.
    pub outputs: usize,
}

impl SymmetricProblem {
    /// The shape of the weight, 1 FO FI B.
    pub fn w(&self) -> Shape {
        let inputs = self.x.c() / self.conv.input().size(self.conv.group());
        Shape::new(1, self.outputs, inputs, self.conv.basis().len())
    }

    /// The shape of the output.
    pub fn y(&self) -> Shape {
        self.dense().y()
    }

    /// The convolution with the expanded kernel.
    pub fn dense(&self) -> Convolution {
        Convolution {
            x: self.x,
            outputs: expanded(&self.conv, self.w()).n(),
            window: self.conv.window(),
        }
    }

    fn representative(&self) -> Self {
        SymmetricProblem {
            x: self.dense().representative().x,
            ..self.clone()
        }
    }
}

impl fmt::Display for SymmetricProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {}-{} ",
            self.conv.group(),
            self.conv.basis().len(),
            self.w().h(),
            self.outputs
        )?;
        self.dense().fmt(f)
    }
}

/// A symmetric convolution or its transpose in the image.
#[derive(Clone, PartialEq, Debug)]
pub struct SymmetricImageProblem {
    /// The transpose.
    pub transposed: bool,
    /// The convolution.
    pub convolution: SymmetricProblem,
}

impl fmt::Display for SymmetricImageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.transposed {
            true => "input gradient ",
            false => "forward ",
        })?;
        self.convolution.fmt(f)
    }
}

/// How a symmetric convolution or its input gradient is computed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SymmetricAlgorithm {
    /// In the Fourier domain of the group.
    Fourier(SymmetricTile),
    /// The same in blocks through workgroup memory. Fields for which they have no room go by tiles.
    Block(Block),
    /// As an ordinary convolution with the expanded kernel.
    Expanded(ImageAlgorithm),
}

/// How its weight gradient is computed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SymmetricWeightAlgorithm {
    /// In the Fourier domain of the group. Images whose rows are no multiple of 4 go by way of the
    /// expanded kernel, loop for loop.
    Fourier(SymmetricLanes),
    /// The same in blocks through workgroup memory. Fields for which they have no room go by way of
    /// the expanded kernel, loop for loop.
    Block(WeightBlock),
    /// The gradient of the expanded kernel, projected onto the coefficients.
    Expanded(WeightAlgorithm),
}

impl SymmetricWeightAlgorithm {
    /// How the gradient of the expanded kernel is computed.
    pub(super) fn dense(self) -> WeightAlgorithm {
        match self {
            SymmetricWeightAlgorithm::Expanded(dense) => dense,
            _ => WeightAlgorithm::Readable,
        }
    }

    /// Whether blocks have room for the layer's fields.
    pub(super) fn takes(self, conv: &SymmetricConv) -> bool {
        match self {
            SymmetricWeightAlgorithm::Block(block) => {
                block.takes(conv.window(), sizes(conv).map(|s| s as u32))
            }
            _ => false,
        }
    }
}

impl fmt::Display for SymmetricAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SymmetricAlgorithm::Fourier(tile) => tile.fmt(f),
            SymmetricAlgorithm::Block(block) => write!(f, "fourier {block}"),
            SymmetricAlgorithm::Expanded(dense) => write!(f, "expanded {dense}"),
        }
    }
}

impl fmt::Display for SymmetricWeightAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SymmetricWeightAlgorithm::Fourier(lanes) => lanes.fmt(f),
            SymmetricWeightAlgorithm::Block(block) => write!(f, "fourier {block}"),
            SymmetricWeightAlgorithm::Expanded(dense) => write!(f, "expanded {dense}"),
        }
    }
}

impl SymmetricImageProblem {
    /// The convolution with the expanded kernel, as suits the adapter.
    fn expanded(&self, capabilities: Capabilities) -> SymmetricAlgorithm {
        let dense = ImageProblem {
            transposed: self.transposed,
            convolution: self.convolution.dense(),
        };
        SymmetricAlgorithm::Expanded(ImageAlgorithm::default_for(capabilities, &dense))
    }

    /// Whether blocks of this shape have room for its fields.
    fn takes(&self, block: Block) -> bool {
        let conv = &self.convolution.conv;
        let conv = match self.transposed {
            true => &Arc::new(conv.transposed()),
            false => conv,
        };
        let channels = SymmetricAlgorithm::output(self).c();
        let table = SymmetricTable::new(conv);
        block::takes(block.fitted(channels), &table, conv.window(), sizes(conv))
    }

    /// Blocks whose shares all have something to do, most shares first.
    fn shared(&self, capabilities: Capabilities) -> impl Iterator<Item = Block> {
        let w = self.convolution.w();
        let fields = if self.transposed { w.c() } else { w.h() };
        let few = SymmetricAlgorithm::output(self).c() <= FEW;
        SHARED.into_iter().filter(move |&block| {
            few && block.shares as usize <= fields && block.suits(capabilities) && self.takes(block)
        })
    }
}

/// Blocks that are tried on hardware, the first one in place of measurements.
const BLOCKS: [Block; 8] = [
    Block::new(64, 16, 8, 4, 36),
    Block::new(32, 16, 8, 4, 36),
    Block::new(64, 16, 4, 4, 36),
    Block::new(96, 16, 4, 4, 36),
    Block::new(32, 16, 8, 8, 36),
    Block::new(64, 16, 8, 4, 72).with_memory(MORE_MEMORY),
    Block::new(96, 16, 4, 4, 72).with_memory(MORE_MEMORY),
    Block::new(64, 16, 8, 8, 72).with_memory(MORE_MEMORY),
];

/// Blocks that are tried on hardware besides for convolutions with at most [`FEW`] output channels, most
/// shares first: for the fields of groups with 2 elements, 4 and 8.
const SHARED: [Block; 4] = [
    Block::new(8, 16, 4, 4, 36)
        .with_shares(8)
        .with_memory(MORE_MEMORY),
    Block::new(8, 16, 4, 4, 36).with_shares(4),
    Block::new(8, 16, 4, 4, 36)
        .with_shares(4)
        .with_memory(MORE_MEMORY),
    Block::new(8, 32, 4, 4, 36)
        .with_shares(2)
        .with_memory(MORE_MEMORY),
];

/// Channels and accumulators of the tiles that are tried: the last takes seconds to compile and is worth
/// it to who trains for long.
const TILES: [(u32, u32); 8] = [
    (24, 24),
    (24, 48),
    (48, 48),
    (32, 64),
    (16, 32),
    (8, 32),
    (8, 16),
    (96, 96),
];

impl Family for SymmetricAlgorithm {
    type Problem = SymmetricImageProblem;

    const NAME: &'static str = "symmetric conv";

    fn default_for(capabilities: Capabilities, problem: &SymmetricImageProblem) -> Self {
        let output = Self::output(problem);
        let mut shared = problem.shared(capabilities);
        if let Some(block) = shared.find(|block| block.is_wanted(capabilities, output)) {
            return SymmetricAlgorithm::Block(block);
        }
        match BLOCKS[0].suits(capabilities) && problem.takes(BLOCKS[0]) {
            true => SymmetricAlgorithm::Block(BLOCKS[0]),
            false => SymmetricAlgorithm::Fourier(SymmetricTile::default_for(capabilities)),
        }
    }

    fn alternatives(capabilities: Capabilities, problem: &SymmetricImageProblem) -> Vec<Self> {
        let default = SymmetricTile::default_for(capabilities);
        // Registers bound the tiles of hardware adapters, and larger ones take seconds to compile.
        let fits = |tile: &SymmetricTile| capabilities.software || tile.accumulators <= 32;
        let tiles = TILES.map(|(channels, accumulators)| SymmetricTile {
            channels,
            accumulators,
            ..default
        });
        let others = tiles.map(|tile| SymmetricTile {
            uniform: !default.uniform,
            ..tile
        });
        let others = others.into_iter().filter(fits).take(3);
        let tiles = tiles.into_iter().filter(fits).chain(others);
        let blocks = (BLOCKS.into_iter())
            .filter(|&block| block.suits(capabilities) && problem.takes(block))
            .chain(problem.shared(capabilities))
            .map(SymmetricAlgorithm::Block);
        let mut all: Vec<Self> = (blocks.chain(tiles.map(SymmetricAlgorithm::Fourier))).collect();
        if problem.transposed {
            all.push(problem.expanded(capabilities));
        }
        all
    }

    /// The expanded kernel is equivariant up to rounding only: no network is to lose its exact symmetry
    /// by tuning. Input gradients are equal up to rounding at the border anyway.
    fn by_request(capabilities: Capabilities, problem: &SymmetricImageProblem) -> Vec<Self> {
        match problem.transposed {
            true => Vec::new(),
            false => vec![problem.expanded(capabilities)],
        }
    }

    fn forced(forced: &Forced) -> Option<Self> {
        forced.symmetric
    }

    fn force(self, forced: &mut Forced) {
        forced.symmetric = Some(self);
    }

    fn lower(self, problem: &SymmetricImageProblem) -> Lowered {
        let c = &problem.convolution;
        let chain = Chain::none();
        match problem.transposed {
            true => input_gradient(&c.conv, c.y(), c.w(), c.x, &chain, self),
            false => forward(&c.conv, c.x, c.w(), &chain, self),
        }
    }

    fn representative(problem: &SymmetricImageProblem) -> SymmetricImageProblem {
        SymmetricImageProblem {
            convolution: problem.convolution.representative(),
            ..problem.clone()
        }
    }

    fn inputs(problem: &SymmetricImageProblem) -> Vec<Shape> {
        let c = &problem.convolution;
        vec![if problem.transposed { c.y() } else { c.x }, c.w()]
    }

    fn output(problem: &SymmetricImageProblem) -> Shape {
        let c = &problem.convolution;
        if problem.transposed { c.x } else { c.y() }
    }
}

/// Blocks that are tried on hardware, the first one in place of measurements.
const WEIGHT_BLOCKS: [WeightBlock; 8] = [
    WeightBlock::new(96, 24, 8),
    WeightBlock::new(48, 32, 8),
    WeightBlock::new(96, 16, 8),
    WeightBlock::new(48, 16, 16),
    WeightBlock::new(32, 32, 8),
    WeightBlock::new(96, 48, 8).with_memory(MORE_MEMORY),
    WeightBlock::new(96, 24, 16).with_memory(MORE_MEMORY),
    WeightBlock::new(96, 32, 8).with_memory(MORE_MEMORY),
];

/// Accumulators and rows of the lanes that are tried: the last two as the last tile.
const LANES: [(u32, u32); 6] = [(144, 4), (144, 2), (216, 4), (72, 4), (288, 4), (432, 2)];

impl Family for SymmetricWeightAlgorithm {
    type Problem = SymmetricProblem;

    const NAME: &'static str = "symmetric conv weight gradient";

    fn default_for(capabilities: Capabilities, problem: &SymmetricProblem) -> Self {
        let block = SymmetricWeightAlgorithm::Block(WEIGHT_BLOCKS[0]);
        match SymmetricLanes::default_for(capabilities) {
            _ if WEIGHT_BLOCKS[0].suits(capabilities) && block.takes(&problem.conv) => block,
            Some(lanes) if capabilities.software && problem.x.w().is_multiple_of(4) => {
                SymmetricWeightAlgorithm::Fourier(lanes)
            }
            _ => {
                let dense = WeightAlgorithm::default_for(capabilities, &problem.dense());
                SymmetricWeightAlgorithm::Expanded(dense)
            }
        }
    }

    fn alternatives(capabilities: Capabilities, problem: &SymmetricProblem) -> Vec<Self> {
        let blocks = (WEIGHT_BLOCKS.into_iter()).filter(|block| block.suits(capabilities));
        let mut all: Vec<Self> = (blocks.map(SymmetricWeightAlgorithm::Block))
            .filter(|block| block.takes(&problem.conv))
            .collect();
        // Lanes hold more than the registers of hardware adapters.
        let lanes = SymmetricLanes::default_for(capabilities);
        let lanes = lanes.filter(|_| capabilities.software && problem.x.w().is_multiple_of(4));
        if let Some(default) = lanes {
            all.extend(LANES.map(|(accumulators, rows)| {
                SymmetricWeightAlgorithm::Fourier(SymmetricLanes {
                    accumulators,
                    rows,
                    ..default
                })
            }));
        }
        let dense = WeightAlgorithm::default_for(capabilities, &problem.dense());
        all.push(SymmetricWeightAlgorithm::Expanded(dense));
        all
    }

    fn forced(forced: &Forced) -> Option<Self> {
        forced.symmetric_weights
    }

    fn force(self, forced: &mut Forced) {
        forced.symmetric_weights = Some(self);
    }

    fn lower(self, problem: &SymmetricProblem) -> Lowered {
        weight_gradient(&problem.conv, problem.x, problem.y(), problem.w(), self)
    }

    fn representative(problem: &SymmetricProblem) -> SymmetricProblem {
        problem.representative()
    }

    fn inputs(problem: &SymmetricProblem) -> Vec<Shape> {
        vec![problem.x, problem.y()]
    }

    fn output(problem: &SymmetricProblem) -> Shape {
        problem.w()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{FieldKind, Group, KernelBasis, Representation};
    use crate::kernels::WEBGPU_MEMORY;
    use crate::shape::Padding;

    /// From 96 channels of regular fields to 6 trivial ones, or of 7 trivial fields the gradient.
    fn projection(group: Group, n: usize, transposed: bool) -> SymmetricImageProblem {
        let kinds = [
            (FieldKind::Regular, Representation::Regular),
            (FieldKind::Trivial, Representation::Trivial),
        ];
        let [input, output] = match transposed {
            true => [&kinds[1], &kinds[0]],
            false => [&kinds[0], &kinds[1]],
        };
        let basis = KernelBasis::complete(group, &input.1, &output.1, 3).unwrap();
        let conv = SymmetricConv::new(group, input.0, output.0, basis, Padding::Replicate);
        let (channels, outputs) = match transposed {
            true => (7, 96 / group.order()),
            false => (96, 6),
        };
        SymmetricImageProblem {
            transposed,
            convolution: SymmetricProblem {
                conv: Arc::new(conv.unwrap()),
                x: Shape::new(n, channels, 128, 128),
                outputs,
            },
        }
    }

    #[test]
    fn fields_of_few_outputs_are_shared_on_hardware_alone() {
        for (group, memory, n, expected) in [
            (Group::cyclic(2), MORE_MEMORY, 1, Some(8)),
            (Group::cyclic(2), WEBGPU_MEMORY, 1, Some(4)),
            (Group::cyclic(4), MORE_MEMORY, 1, Some(4)),
            (Group::cyclic(4), MORE_MEMORY, 16, Some(2)),
            (Group::cyclic(4), MORE_MEMORY, 32, Some(1)),
            (Group::cyclic(4), WEBGPU_MEMORY, 1, Some(1)),
            (Group::dihedral(4), MORE_MEMORY, 1, Some(2)),
            (Group::dihedral(4), WEBGPU_MEMORY, 1, None),
        ] {
            for transposed in [false, true] {
                let problem = projection(group, n, transposed);
                let hardware = Capabilities {
                    memory,
                    ..Capabilities::default()
                };
                let shares = |algorithm| match algorithm {
                    SymmetricAlgorithm::Block(block) => Some(block.shares),
                    _ => None,
                };
                let default = SymmetricAlgorithm::default_for(hardware, &problem);
                assert_eq!(shares(default), expected, "{problem} in {memory}");
                let software = Capabilities {
                    software: true,
                    ..hardware
                };
                let candidates = SymmetricAlgorithm::candidates(software, &problem).into_iter();
                assert_eq!(candidates.filter_map(shares).max(), None, "{problem}");
            }
        }
    }
}
