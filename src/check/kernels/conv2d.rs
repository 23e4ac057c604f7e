//! Convolution and its two transposes, in every algorithm.

use crate::check::Check;
use crate::check::harness::{Case, Problem, close, exact, wide};
use crate::kernels::chain::{Chain, Source, Stage};
use crate::kernels::conv2d::{
    self, Block, Convolution, ImageAlgorithm, ImageProblem, Product, Tile, WeightAlgorithm,
    WeightBlock, WeightTile, Winograd,
};
use crate::kernels::{Capabilities, Family, Lowered, Slot};
use crate::reference::elementwise::{Binary, Unary};
use crate::reference::winograd::{self as winograd_twin, Outputs};
use crate::reference::{Twin, conv2d as twin, layout};
use crate::shape::{Padding, Shape, Window};

/// Size and stride.
type WindowSize = (usize, usize);

/// What is computed, and how.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Work {
    Forward(ImageAlgorithm),
    Input(ImageAlgorithm),
    Weight(WeightAlgorithm),
}

/// What an algorithm is tried with. A tiled kernel is compiled anew for every window, and for the
/// weight gradient for every shape, so it gets fewer of both; the large tiles, which take seconds
/// to compile on a software adapter, get one.
struct Trial {
    name: &'static str,
    images: Option<ImageAlgorithm>,
    weights: Option<WeightAlgorithm>,
    windows: &'static [WindowSize],
    shapes: &'static [(Shape, usize)],
    paddings: &'static [Padding],
}

pub(super) fn checks(capabilities: Capabilities) -> Vec<Check> {
    let small = |subgroup, texture| {
        let tile = Tile {
            channels: 4,
            rows: 2,
            subgroup,
            texture,
            uniform: false,
        };
        let weight = match subgroup {
            Some(lanes) => WeightTile::Lanes {
                lanes,
                inputs: 3,
                rows: 2,
                texture,
            },
            None => WeightTile::Columns {
                outputs: 2,
                inputs: 1,
                texture,
            },
        };
        let images = Some(ImageAlgorithm::Tiled(tile));
        (images, Some(WeightAlgorithm::Tiled(weight)))
    };
    let lanes = capabilities.subgroup.filter(|s| (4..=64).contains(s));
    let mut trials = vec![
        Trial {
            name: "readable",
            images: Some(ImageAlgorithm::Readable),
            weights: Some(WeightAlgorithm::Readable),
            windows: &[
                (1, 1),
                (3, 1),
                (5, 1),
                (7, 1),
                (1, 2),
                (3, 2),
                (5, 2),
                (7, 2),
            ],
            shapes: &SHAPES,
            paddings: &Padding::ALL,
        },
        Trial {
            name: "tiled",
            images: small(None, false).0,
            weights: small(None, false).1,
            windows: &[(1, 1), (3, 1), (3, 2)],
            shapes: &SHAPES,
            paddings: &Padding::ALL,
        },
        Trial {
            name: "texture",
            images: small(None, true).0,
            weights: small(None, true).1,
            windows: &[(3, 1)],
            shapes: &SHAPES,
            paddings: &Padding::ALL,
        },
        Trial {
            name: "tiled-large-kernel",
            images: small(None, false).0,
            weights: small(None, false).1,
            windows: &[(5, 1), (7, 1), (5, 2)],
            shapes: SHAPES.split_at(4).0.split_at(3).1,
            paddings: &[Padding::Replicate, Padding::Circular],
        },
        Trial {
            name: "default",
            images: Some(ImageAlgorithm::Tiled(Tile::default_for(capabilities))),
            weights: Some(WeightAlgorithm::Tiled(WeightTile::default_for(
                capabilities,
            ))),
            windows: &[(3, 1)],
            shapes: SHAPES.split_at(6).0.split_at(5).1,
            paddings: &[Padding::Replicate],
        },
    ];
    for (name, texture) in [("subgroup", false), ("subgroup-texture", true)] {
        trials.extend(lanes.map(|lanes| Trial {
            name,
            images: small(Some(lanes), texture).0,
            weights: small(Some(lanes), texture).1,
            windows: &[(3, 1)],
            shapes: &SHAPES,
            paddings: &Padding::ALL,
        }));
    }
    let mut checks: Vec<Check> = trials.iter().flat_map(rows).collect();
    checks.extend(other_trials(capabilities).iter().flat_map(rows));
    for trial in trials[..3].iter().chain(&other_trials(capabilities)[..3]) {
        let images = |work: &Work| !matches!(work, Work::Weight(_));
        for (part, work) in trial.work().filter(|(_, work)| images(work)) {
            let cases = Padding::ALL.into_iter().flat_map(|padding| {
                [SHAPES[2], SHAPES[8]].map(|s| case(work, s, window(3, 1, padding), true))
            });
            checks.push(Check::kernel(
                format!("conv2d/{part}/{}/fused", trial.name),
                cases,
            ));
        }
    }
    checks.push(Check::kernel(
        "conv2d/pack",
        [(5, 7, 3), (4, 4, 1), (17, 3, 5)].map(pack),
    ));
    checks
}

/// Every variant of the usual 3x3 convolution, on images that leave tiles unfilled; those that there are
/// for few outputs alone, on batches of images, with more inputs than a stage holds and not a multiple.
pub(super) fn variants(capabilities: Capabilities) -> Vec<Check> {
    let shape = (Shape::new(1, 17, 5, 20), 18);
    let window = window(3, 1, Padding::Replicate);
    let convolution = |(x, outputs): (Shape, usize)| Convolution { x, outputs, window };
    let row = |part: &str, name: &dyn std::fmt::Display, work: Work, shapes: &[_]| {
        let name = format!("variant/conv2d/{part}/{name}").replace(' ', "-");
        Check::kernel(name, shapes.iter().map(|&s| case(work, s, window, false)))
    };
    let few = |c, outputs| [21, 20].map(|w| (Shape::new(2, c, 9, w), outputs));
    let mut checks: Vec<Check> = Vec::new();
    type Make = fn(ImageAlgorithm) -> Work;
    for (work, part, few) in [
        (Work::Forward as Make, "forward", few(19, 6)),
        (Work::Input, "input_gradient", few(7, 19)),
    ] {
        for shapes in [&[shape][..], &few] {
            let problem = ImageProblem {
                transposed: part != "forward",
                convolution: convolution(shapes[0]),
            };
            for images in ImageAlgorithm::candidates(capabilities, &problem) {
                let row = row(part, &images, work(images), shapes);
                if checks.iter().all(|known| known.name != row.name) {
                    checks.push(row);
                }
            }
        }
    }
    for weights in WeightAlgorithm::candidates(capabilities, &convolution(shape)) {
        checks.push(row(
            "weight_gradient",
            &weights,
            Work::Weight(weights),
            &[shape],
        ));
    }
    checks
}

fn window(size: usize, stride: usize, padding: Padding) -> Window {
    Window {
        size,
        stride,
        padding,
    }
}

/// Image N C H W and output channels: one pixel; an image smaller than the kernels; extents and
/// channels one below, at and one above a tile of 4, 8 or 16; primes; 64 and 65 columns;
/// an odd number of quads, so that every lane of a subgroup meets the border, in more bands of rows than
/// a weight gradient has parts, and not a multiple of them.
const SHAPES: [(Shape, usize); 9] = [
    (Shape::new(1, 1, 1, 1), 1),
    (Shape::new(2, 3, 2, 3), 7),
    (Shape::new(2, 6, 8, 9), 6),
    (Shape::new(1, 7, 13, 11), 17),
    (Shape::new(3, 1, 15, 7), 3),
    (Shape::new(1, 17, 5, 16), 16),
    (Shape::new(1, 3, 4, 65), 5),
    (Shape::new(2, 2, 3, 64), 4),
    (Shape::new(3, 2, 47, 12), 3),
];

/// So many input channels that weights take several uniform bindings, on more strips than a
/// workgroup has threads.
const MANY: [(Shape, usize); 1] = [(Shape::new(1, 256, 24, 24), 9)];

impl Trial {
    /// The work it is tried on, by the part of the check's name.
    fn work(&self) -> impl Iterator<Item = (&'static str, Work)> {
        let images = self.images.into_iter().flat_map(|algorithm| {
            [
                ("forward", Work::Forward(algorithm)),
                ("input_gradient", Work::Input(algorithm)),
            ]
        });
        let weights = self.weights.map(Work::Weight);
        images.chain(weights.map(|work| ("weight_gradient", work)))
    }
}

/// One row for each of forward, input gradient and weight gradient, and each padding.
fn rows(trial: &Trial) -> Vec<Check> {
    let mut rows = Vec::new();
    for (part, work) in trial.work() {
        for &padding in trial.paddings {
            let name = format!("conv2d/{part}/{}/{padding:?}", trial.name).to_lowercase();
            // Without tiles of its own the weight gradient falls back to the readable kernel.
            let tiled = |&(size, stride): &WindowSize| stride == 1 && size <= 5;
            let cases = (trial.windows.iter())
                .filter(|w| {
                    !matches!(work, Work::Weight(_)) || trial.name == "readable" || tiled(w)
                })
                .flat_map(|&(size, stride)| {
                    let window = window(size, stride, padding);
                    let one = move |s: &(Shape, usize)| case(work, *s, window, false);
                    trial.shapes.iter().map(one)
                });
            rows.push(Check::kernel(name, cases));
        }
    }
    rows
}

impl Work {
    /// Whether a fused chain reads its operands through textures too.
    fn uses_textures(self) -> bool {
        let (Work::Forward(images) | Work::Input(images)) = self else {
            return false;
        };
        matches!(images, ImageAlgorithm::Tiled(Tile { texture: true, .. }))
    }
}

/// Blocks through workgroup memory, of which the small one makes many stages, patches and channel
/// blocks, and for images Winograd's algorithm and weights that are bound as uniform.
fn other_trials(capabilities: Capabilities) -> Vec<Trial> {
    let small = Block::new(16, 8, 8, 4, 18);
    let wide = Block { pixels: 8, ..small };
    // All shares have fields of a stage, fewer, or none.
    let shared = Block::new(8, 8, 8, 4, 18).with_shares(4);
    let shared_wide = Block::new(16, 16, 8, 8, 18).with_shares(2);
    let tile = |subgroup| Tile {
        channels: 4,
        rows: 2,
        subgroup,
        texture: subgroup.is_some(),
        uniform: false,
    };
    let block = |outputs, inputs, columns| {
        WeightAlgorithm::Tiled(WeightTile::Block(WeightBlock::new(
            outputs, inputs, columns,
        )))
    };
    let weights = |name| match name {
        "block" | "block-other-kernels" => Some(block(16, 4, 16)),
        "block-default" => Some(WeightAlgorithm::Tiled(WeightTile::Block(
            WeightBlock::DEFAULT,
        ))),
        _ => None,
    };
    let trial = |name, algorithm, windows, shapes, paddings| Trial {
        name,
        images: Some(algorithm),
        weights: weights(name),
        windows,
        shapes,
        paddings,
    };
    let uniform = |tile| {
        ImageAlgorithm::Tiled(Tile {
            uniform: true,
            ..tile
        })
    };
    let winograd = |outputs, product| ImageAlgorithm::Winograd(Winograd { outputs, product });
    let three = &[(3, 1)];
    let all = &Padding::ALL;
    let mut trials = vec![
        trial("block", ImageAlgorithm::Block(small), three, &SHAPES, all),
        trial(
            "block-shared",
            ImageAlgorithm::Block(shared),
            three,
            &SHAPES,
            all,
        ),
        trial(
            "winograd-4x4",
            winograd(Outputs::Four, Product::Tiled(tile(None))),
            three,
            &SHAPES,
            all,
        ),
        trial(
            "winograd-2x2",
            winograd(Outputs::Two, Product::Block(small)),
            three,
            &SHAPES,
            all,
        ),
        trial(
            "winograd-4x4-many",
            winograd(Outputs::Four, Product::Tiled(tile(None))),
            three,
            &MANY,
            &[Padding::Zero],
        ),
        trial(
            "winograd-2x2-many",
            winograd(Outputs::Two, Product::Tiled(tile(None))),
            three,
            &MANY,
            &[Padding::Zero],
        ),
        trial("uniform", uniform(tile(None)), three, &SHAPES, all),
        trial(
            "uniform-shared",
            uniform(tile(capabilities.subgroup)),
            three,
            &MANY,
            &[Padding::Zero, Padding::Circular],
        ),
        trial(
            "block-other-kernels",
            ImageAlgorithm::Block(wide),
            &[(1, 1), (5, 1)],
            SHAPES.split_at(5).0.split_at(2).1,
            &[Padding::Replicate, Padding::Circular],
        ),
        trial(
            "block-shared-other-kernels",
            ImageAlgorithm::Block(shared_wide),
            &[(1, 1), (5, 1)],
            SHAPES.split_at(6).0.split_at(2).1,
            &[Padding::Replicate, Padding::Circular],
        ),
        trial(
            "winograd-2x2-many-shared",
            winograd(Outputs::Two, Product::Block(small.with_shares(2))),
            three,
            &MANY,
            &[Padding::Zero],
        ),
        trial(
            "block-default",
            ImageAlgorithm::Block(Block::DEFAULT),
            three,
            SHAPES.split_at(6).0.split_at(5).1,
            &[Padding::Replicate],
        ),
    ];
    trials.extend(capabilities.subgroup.map(|lanes| {
        trial(
            "winograd-4x4-subgroup",
            winograd(Outputs::Four, Product::Tiled(tile(Some(lanes)))),
            three,
            &SHAPES,
            &[Padding::Zero],
        )
    }));
    trials
}

/// Bias, leaky ReLU, then a residual.
fn epilogue(output: Shape, textures: bool) -> Chain {
    Chain {
        stages: vec![
            Stage::Binary(Binary::Add, Source::Root, Source::Operand(0)),
            Stage::Unary(Unary::LeakyRelu(0.01), Source::Stage(0)),
            Stage::Binary(Binary::Add, Source::Stage(1), Source::Operand(1)),
        ],
        operands: vec![output.with(0, 1).with(2, 1).with(3, 1), output],
        textures,
    }
}

fn case(work: Work, (xs, channels): (Shape, usize), window: Window, fused: bool) -> Case {
    let ws = Shape::new(channels, xs.c(), window.size, window.size);
    let ys = window.output(xs, channels);
    let (kind, output) = match work {
        Work::Forward(_) => ("Forward", ys),
        Work::Input(_) => ("Input", xs),
        Work::Weight(_) => ("Weight", ws),
    };
    let chain = if fused {
        epilogue(output, work.uses_textures())
    } else {
        Chain::none()
    };
    let lowered = match work {
        Work::Forward(images) => conv2d::forward(xs, ws, window, &chain, images),
        Work::Input(images) => conv2d::input_gradient(ys, ws, window, xs, &chain, images),
        Work::Weight(weights) => conv2d::weight_gradient(xs, ys, window, weights),
    };
    let Window {
        size,
        stride,
        padding,
    } = window;
    let label = format!("{kind} {xs} with {ws}, {size}x{size} stride {stride} {padding:?}");
    Case::new(label, lowered, move |noise| {
        let (x, w) = (noise.signed(xs.elements()), noise.signed(ws.elements()));
        let dy = noise.signed(ys.elements());
        let [wide_x, wide_w, wide_dy] = [&x, &w, &dy].map(|v| wide(v));
        let (mut inputs, (mut twin, mut k)) = match work {
            Work::Forward(ImageAlgorithm::Winograd(winograd)) => {
                let (image, kernel) = ((&wide_x[..], xs), (&wide_w[..], ws));
                let twin =
                    winograd_twin::forward(image, kernel, padding, [-1, -1], ys, winograd.outputs);
                (vec![x, w], (twin, winograd_roundings(winograd, xs.c())))
            }
            Work::Input(ImageAlgorithm::Winograd(winograd)) => {
                let kernel = (&wide_w[..], ws);
                // Where rows are read by fours, the kernels' domain is widened.
                let border = if xs.w().is_multiple_of(4) { 4 } else { 1 };
                let domain = (padding, border);
                let gradient = (&wide_dy[..], ys);
                let twin =
                    winograd_twin::input_gradient(gradient, kernel, xs, domain, winograd.outputs);
                (
                    vec![dy, w],
                    (twin, winograd_roundings(winograd, ys.c()) + 9.0),
                )
            }
            Work::Forward(_) => {
                let twin = twin::forward(&wide_x, xs, &wide_w, ws, window);
                (vec![x, w], (twin, roundings(work, xs, ws, ys, window)))
            }
            Work::Input(_) => {
                let twin = twin::input_gradient(&wide_dy, ys, &wide_w, ws, xs, window);
                (vec![dy, w], (twin, roundings(work, xs, ws, ys, window)))
            }
            Work::Weight(_) => {
                let twin = twin::weight_gradient(&wide_x, xs, &wide_dy, ys, ws, window);
                (vec![x, dy], (twin, roundings(work, xs, ws, ys, window)))
            }
        };
        if fused {
            let bias = noise.signed(output.c());
            let residual = noise.signed(output.elements());
            fuse(&mut twin, &bias, &residual, output);
            inputs.extend([bias, residual]);
            k += 3.0;
        }
        Problem::new(inputs, output.elements(), close(twin, k))
    })
}

/// Roundings on the way of one term of Winograd's algorithm: the transforms, the product, and the sum
/// over the channels.
fn winograd_roundings(winograd: Winograd, channels: usize) -> f64 {
    (winograd.outputs.roundings() + 1 + channels) as f64
}

/// The epilogue applied to the twin.
fn fuse(twin: &mut Twin, bias: &[f32], residual: &[f32], output: Shape) {
    let channels = Shape::new(1, output.c(), 1, 1);
    let bias = layout::broadcast(&wide(bias), channels, output);
    let terms = bias.iter().zip(wide(residual));
    for ((value, magnitude), (b, r)) in twin.value.iter_mut().zip(&mut twin.magnitude).zip(terms) {
        *value = Unary::LeakyRelu(0.01).apply(*value + b) + r;
        *magnitude += b.abs() + r.abs();
    }
}

/// Roundings on the way of one term, for the algorithm that has most. Forward: a tiled kernel adds
/// all taps of all channels one after another. Input: so does a tiled one, and then adds the padded
/// places that stand for a pixel, at most one for each tap; the readable one adds the channels, then
/// every pair of tap and output that reads the pixel. Weight: a thread adds the rows of its columns, or
/// the pixels of its segments, then come the parts, in sums
/// of at most 64.
fn roundings(work: Work, xs: Shape, ws: Shape, ys: Shape, window: Window) -> f64 {
    let taps = window.size * window.size;
    let terms = match work {
        Work::Forward(_) => ws.c() * taps,
        Work::Input(_) => {
            let plane = |s: Shape| s.with(0, 1).with(1, 1);
            let ones = |s: Shape| vec![1.0; s.elements()];
            let (x, w, y) = (plane(xs), plane(ws), plane(ys));
            let pairs = twin::input_gradient(&ones(y), y, &ones(w), w, x, window).value;
            let pairs = pairs.into_iter().fold(0.0, f64::max) as usize;
            (ws.n() * taps + taps).max(ws.n() + pairs)
        }
        Work::Weight(_) => {
            let columns = ys.n() * ys.h() * ys.w().div_ceil(64);
            let segments = (ys.n() * ys.h() * ys.w().div_ceil(16)).div_ceil(64);
            columns.max(16 * segments) + 64
        }
    };
    // One more for the product.
    terms as f64 + 1.0
}

/// The kernel's packing for the tiled convolution, before any arithmetic: exact.
fn pack((outputs, inputs, size): (usize, usize, usize)) -> Case {
    let ws = Shape::new(outputs, inputs, size, size);
    let tile = Tile {
        channels: 4,
        rows: 2,
        subgroup: None,
        texture: false,
        uniform: false,
    };
    let lowered = conv2d::forward(
        Shape::new(1, inputs, 8, 8),
        ws,
        window(size, 1, Padding::Zero),
        &Chain::none(),
        ImageAlgorithm::Tiled(tile),
    );
    let packing = Lowered {
        launches: lowered
            .launches
            .into_iter()
            .filter(|l| l.path == "conv/pack.wgsl")
            .collect(),
        scratch: lowered.scratch,
    };
    Case::new(format!("pack {ws}"), packing, move |noise| {
        let w = noise.signed(ws.elements());
        let packed = twin::pack(&wide(&w), ws, 4);
        // Input 0 is the image, which packing does not touch.
        Problem {
            inputs: vec![Vec::new(), w],
            output: 0,
            judges: vec![(Slot::Scratch(0), exact(packed))],
        }
    })
}
