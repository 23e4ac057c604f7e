//! Symmetric convolution and its two transposes, in the Fourier domain and expanded.

use crate::check::Check;
use crate::check::harness::{Case, Problem, close, wide};
use crate::group::{FieldKind, Group, KernelBasis, Representation, SymmetricConv};
use crate::kernels::chain::Chain;
use crate::kernels::conv2d::{
    Block, ImageAlgorithm, Tile, WeightAlgorithm, WeightBlock, WeightTile,
};
use crate::kernels::symmetric_conv::{
    self, SymmetricAlgorithm, SymmetricImageProblem, SymmetricLanes, SymmetricProblem,
    SymmetricTile, SymmetricWeightAlgorithm,
};
use crate::kernels::{Capabilities, Family, Lowered, Slot};
use crate::reference::symmetric_conv as twin;
use crate::shape::{Padding, Shape};
use crate::tape::reference::basis;
use std::sync::Arc;

type Pair = (SymmetricAlgorithm, SymmetricWeightAlgorithm);

/// A layer: group, input and output kind, kernel size.
type Layer = (Group, FieldKind, FieldKind, usize);

const C4: Group = Group::cyclic(4);
const D4: Group = Group::dihedral(4);
use FieldKind::{Regular, Trivial};

/// The layers that networks are made of; other groups, larger and smaller kernels.
const LAYERS: [Layer; 8] = [
    (C4, Regular, Regular, 3),
    (C4, Trivial, Regular, 3),
    (C4, Regular, Trivial, 3),
    (D4, Regular, Regular, 3),
    (Group::cyclic(2), Regular, Regular, 3),
    (Group::dihedral(2), Regular, Regular, 3),
    (D4, Trivial, Regular, 5),
    (Group::dihedral(1), Regular, Regular, 1),
];

/// Batch, rows and columns of the image, input and output fields: one pixel; odd extents; an even
/// share and a remainder of fields and rows, in more bands of rows than a weight gradient has parts;
/// more fields than lanes; a row that subgroups cut.
const SHAPES: [([usize; 3], usize, usize); 5] = [
    ([1, 1, 1], 1, 1),
    ([2, 5, 7], 2, 3),
    ([3, 45, 8], 3, 2),
    ([2, 9, 12], 9, 5),
    ([1, 3, 68], 2, 1),
];

pub(super) fn checks(capabilities: Capabilities) -> Vec<Check> {
    let lanes = capabilities.subgroup.filter(|s| (4..=64).contains(s));
    let tile = |subgroup, texture, uniform| {
        SymmetricAlgorithm::Fourier(SymmetricTile {
            channels: 8,
            accumulators: 16,
            subgroup,
            texture,
            uniform,
        })
    };
    let walk = |lanes, texture| {
        SymmetricWeightAlgorithm::Fourier(SymmetricLanes {
            lanes,
            accumulators: 72,
            rows: 2,
            texture,
        })
    };
    let expanded: Pair = (
        SymmetricAlgorithm::Expanded(ImageAlgorithm::Tiled(Tile {
            channels: 4,
            rows: 2,
            subgroup: None,
            texture: false,
            uniform: false,
        })),
        SymmetricWeightAlgorithm::Expanded(WeightAlgorithm::Tiled(WeightTile::Columns {
            outputs: 2,
            inputs: 1,
            texture: false,
        })),
    );
    // Blocks of few channels and pixels make many stages and workgroups; a thread has 4 or 8 pixels.
    let block = |[channels, columns, rows, pixels]: [u32; 4], outputs, inputs| -> Pair {
        (
            SymmetricAlgorithm::Block(Block::new(channels, columns, rows, pixels, 18)),
            SymmetricWeightAlgorithm::Block(WeightBlock::new(outputs, inputs, 8)),
        )
    };
    let shared = SymmetricAlgorithm::Block(Block::new(8, 16, 4, 4, 36).with_shares(4));
    let mut trials: Vec<(&str, Pair)> = vec![
        ("expanded", expanded),
        ("block", block([16, 8, 8, 4], 16, 8)),
        ("block-wide", block([32, 16, 4, 8], 96, 24)),
        // With room for a field to each share where it has up to two channels.
        ("block-shared", (shared, expanded.1)),
        ("fourier", (tile(None, false, false), expanded.1)),
        ("uniform", (tile(None, false, true), expanded.1)),
    ];
    if let Some(lanes) = lanes {
        trials.push((
            "subgroup",
            (tile(Some(lanes), false, false), walk(lanes, false)),
        ));
        trials.push((
            "subgroup-texture",
            (tile(Some(lanes), true, false), walk(lanes, true)),
        ));
    } else {
        trials.push(("texture", (tile(None, true, false), expanded.1)));
    }
    let mut checks = Vec::new();
    for (name, pair) in trials {
        for (kind, part) in PARTS {
            for padding in Padding::ALL {
                // Every layer with one padding, the main one with all.
                let layers = match padding {
                    Padding::Replicate => &LAYERS[..],
                    _ => &LAYERS[..1],
                };
                let cases = layers.iter().enumerate().flat_map(|(n, &layer)| {
                    let shapes = if n == 0 { &SHAPES[..] } else { &SHAPES[2..4] };
                    shapes
                        .iter()
                        .map(move |s| case(kind, pair, layer, padding, *s))
                });
                let row = format!("symmetric_conv/{part}/{name}/{padding:?}").to_lowercase();
                checks.push(Check::kernel(row, cases));
            }
        }
    }
    let problem = SymmetricProblem {
        conv: layer(LAYERS[0], Padding::Replicate),
        x: Shape::new(2, 9 * 4, 9, 12),
        outputs: 5,
    };
    for (kind, part) in PARTS {
        let image = SymmetricImageProblem {
            transposed: kind == Kind::Input,
            convolution: problem.clone(),
        };
        let pair = (
            SymmetricAlgorithm::default_for(capabilities, &image),
            SymmetricWeightAlgorithm::default_for(capabilities, &problem),
        );
        let cases = [case(kind, pair, LAYERS[0], Padding::Replicate, SHAPES[3])];
        checks.push(Check::kernel(
            format!("symmetric_conv/{part}/default"),
            cases,
        ));
    }
    checks.push(Check::kernel(
        "symmetric_conv/expand",
        LAYERS.map(|layer| expansion(expanded.0, layer)),
    ));
    checks
}

/// The blocks whose shares divide the input fields, between which convolutions with few output channels
/// choose: on batches of images, with more fields than a stage holds and not a multiple.
pub(super) fn variants(capabilities: Capabilities) -> Vec<Check> {
    let mut checks = Vec::new();
    for (kind, part) in [PARTS[0], PARTS[1]] {
        let transposed = kind == Kind::Input;
        let layers = [Group::cyclic(2), C4, D4].map(|group| match transposed {
            true => (group, Trivial, Regular, 3),
            false => (group, Regular, Trivial, 3),
        });
        let (inputs, outputs) = if transposed { (5, 9) } else { (9, 5) };
        let mut found: Vec<(SymmetricAlgorithm, Vec<Layer>)> = Vec::new();
        for of in layers {
            let problem = SymmetricImageProblem {
                transposed,
                convolution: SymmetricProblem {
                    conv: layer(of, Padding::Replicate),
                    x: Shape::new(2, inputs * of.1.size(of.0), 9, 12),
                    outputs,
                },
            };
            for candidate in SymmetricAlgorithm::candidates(capabilities, &problem) {
                if !matches!(candidate, SymmetricAlgorithm::Block(block) if block.shares > 1) {
                    continue;
                }
                match found.iter_mut().find(|(known, _)| *known == candidate) {
                    Some((_, layers)) => layers.push(of),
                    None => found.push((candidate, vec![of])),
                }
            }
        }
        for (candidate, layers) in found {
            let pair = (
                candidate,
                SymmetricWeightAlgorithm::Expanded(WeightAlgorithm::Readable),
            );
            let cases = layers.into_iter().flat_map(|layer| {
                [[2, 9, 12], [2, 5, 7]].map(|size| {
                    let shape = (size, inputs, outputs);
                    case(kind, pair, layer, Padding::Replicate, shape)
                })
            });
            let row = format!("variant/symmetric_conv/{part}/{candidate}").replace(' ', "-");
            checks.push(Check::kernel(row, cases));
        }
    }
    checks
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Forward,
    Input,
    Weight,
}

const PARTS: [(Kind, &str); 3] = [
    (Kind::Forward, "forward"),
    (Kind::Input, "input_gradient"),
    (Kind::Weight, "weight_gradient"),
];

fn layer((group, input, output, size): Layer, padding: Padding) -> Arc<SymmetricConv> {
    let representation = |kind| match kind {
        Trivial => Representation::Trivial,
        Regular => Representation::Regular,
    };
    let basis = KernelBasis::complete(group, &representation(input), &representation(output), size);
    let conv = basis.and_then(|b| SymmetricConv::new(group, input, output, b, padding));
    Arc::new(conv.expect("the layers of the table exist"))
}

fn case(
    kind: Kind,
    (images, weights): Pair,
    layer_of: Layer,
    padding: Padding,
    ([n, h, w], inputs, outputs): ([usize; 3], usize, usize),
) -> Case {
    let conv = layer(layer_of, padding);
    let (group, input, output, size) = layer_of;
    let xs = Shape::new(n, inputs * input.size(group), h, w);
    let ys = Shape::new(n, outputs * output.size(group), h, w);
    let ws = Shape::new(1, outputs, inputs, conv.basis().len());
    let chain = Chain::none();
    let lowered = match kind {
        Kind::Forward => symmetric_conv::forward(&conv, xs, ws, &chain, images),
        Kind::Input => symmetric_conv::input_gradient(&conv, ys, ws, xs, &chain, images),
        Kind::Weight => symmetric_conv::weight_gradient(&conv, xs, ys, ws, weights),
    };
    let label = format!("{kind:?} {group} {input:?} to {output:?} {size}x{size} {padding:?}, {xs}");
    Case::new(label, lowered, move |noise| {
        let (x, w) = (noise.signed(xs.elements()), noise.signed(ws.elements()));
        let dy = noise.signed(ys.elements());
        let [wide_x, wide_w, wide_dy] = [&x, &w, &dy].map(|v| wide(v));
        let basis = basis(&conv);
        let taps = size * size;
        // Roundings of a term: in the change of basis, in the two transforms, and in every sum.
        let transforms = conv.basis().len().min(4 * taps) + 12;
        let (inputs, twin, sums) = match kind {
            Kind::Forward => (
                vec![x, w],
                twin::forward(basis, &wide_x, xs, &wide_w, ws),
                xs.c() * taps,
            ),
            Kind::Input => (
                vec![dy, w],
                twin::input_gradient(basis, &wide_dy, ys, &wide_w, ws, xs),
                ys.c() * taps + taps,
            ),
            Kind::Weight => (
                vec![x, dy],
                twin::weight_gradient(basis, &wide_x, xs, &wide_dy, ys, ws),
                n * h * xs.w().div_ceil(64) + 64,
            ),
        };
        let k = (sums + transforms) as f64;
        Problem::new(inputs, twin.value.len(), close(twin, k))
    })
}

/// The expansion of the coefficients to an ordinary kernel.
fn expansion(algorithm: SymmetricAlgorithm, layer_of: Layer) -> Case {
    let conv = layer(layer_of, Padding::Zero);
    let (group, input, _, _) = layer_of;
    let (inputs, outputs) = (3, 5);
    let xs = Shape::new(1, inputs * input.size(group), 4, 4);
    let ws = Shape::new(1, outputs, inputs, conv.basis().len());
    let lowered = symmetric_conv::forward(&conv, xs, ws, &Chain::none(), algorithm);
    let first = lowered.launches.into_iter().take(1).collect();
    let kernel = lowered.scratch.len() - 1;
    let expanding = Lowered {
        launches: first,
        scratch: lowered.scratch,
    };
    Case::new(format!("expand {layer_of:?}"), expanding, move |noise| {
        let w = noise.signed(ws.elements());
        let value = basis(&conv).expand(&wide(&w), ws);
        let magnitude = value.iter().map(|v| v.abs()).collect();
        Problem {
            // Input 0 is the image, which expanding does not touch.
            inputs: vec![Vec::new(), w],
            output: 0,
            judges: vec![(
                Slot::Scratch(kernel),
                close(crate::reference::Twin { value, magnitude }, 2.0),
            )],
        }
    })
}
