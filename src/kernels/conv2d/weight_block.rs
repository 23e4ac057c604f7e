//! The weight gradient in blocks through workgroup memory, for hardware adapters: each thread holds
//! the gradients of one input field and the output fields of 8 (of 5x5 windows 4) channels, and a
//! workgroup goes through segments of image rows. An ordinary convolution's fields are its channels.

use super::patch::{Patch, Stage, guarded, items, memory_name};
use super::row::COMPONENTS;
use super::weight_tile::{PARTS, Pass};
use super::window_variant;
use crate::kernels::reduce::Loads;
use crate::kernels::{Capabilities, WEBGPU_MEMORY};
use crate::shape::{Shape, Window};
use std::fmt::Write;

/// Columns that are unrolled together.
const PIXELS: u32 = 4;

/// Workgroups that are wanted: a large adapter has over a hundred multiprocessors, and each needs
/// several of these small workgroups to pass the time of its loads.
const WORKGROUPS: usize = 1024;
/// Partial sums where there are few tiles.
const MOST_PARTS: usize = 4 * PARTS;
/// Segments of a workgroup where there are more than [`PARTS`]: the loads of one are under way while it
/// works on another, and its partial sums are written for all of them once.
const LEAST_SEGMENTS: usize = 4;

/// What the gradient of a pair of fields is made of.
pub(in crate::kernels) struct Pair<'a> {
    /// Channels of an output and of an input field; those of an output field divide
    /// [`outputs_of`] the window.
    pub sizes: [u32; 2],
    /// Numbers of the gradient.
    pub weights: u32,
    /// Appends what pixel `p` of [`PIXELS`] adds to `aF_K`, number `K` of output field `F` of so
    /// many, from the image's `xC_R_J`, channel `C` of the field, row `R`, column `J` from the first
    /// pixel's window on, and the gradient's `yP_V`, a `vec4` of channels `4 V` and on at pixel `P`.
    pub products: &'a dyn Fn(u32, u32, &mut String),
}

/// The shape of a workgroup's work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WeightBlock {
    /// Output channels of a workgroup at most, a multiple of 8.
    pub outputs: u32,
    /// Input channels of a workgroup at most.
    pub inputs: u32,
    /// Columns of a segment, a multiple of 4.
    pub columns: u32,
    /// Bytes of workgroup memory that two stages may take.
    pub memory: u32,
}

impl WeightBlock {
    /// A block of this shape in the memory that every adapter has.
    pub const fn new(outputs: u32, inputs: u32, columns: u32) -> Self {
        WeightBlock {
            outputs,
            inputs,
            columns,
            memory: WEBGPU_MEMORY,
        }
    }

    /// The same with so many bytes of workgroup memory.
    pub const fn with_memory(self, memory: u32) -> Self {
        WeightBlock { memory, ..self }
    }

    /// Whether it is worth trying on such an adapter.
    pub(in crate::kernels) fn suits(self, capabilities: Capabilities) -> bool {
        capabilities.has_memory(self.memory)
    }

    /// For hardware adapters: a workgroup of 128 threads with 72 accumulators each fits several times
    /// into the registers of a multiprocessor, and for every four pixels a thread reads 26 times from
    /// workgroup memory for 288 multiply-adds. With up to 64 parts no other block was faster on an
    /// NVIDIA H100.
    pub const DEFAULT: WeightBlock = WeightBlock::new(64, 16, 16);

    /// As few channels beyond the last one as may be, in blocks that fit into workgroup memory.
    fn fitted(self, x: Shape, dy: Shape, window: Window, [_, size]: [u32; 2]) -> Self {
        let even = |channels: usize, most: u32| {
            let channels = channels as u32;
            channels.div_ceil(channels.div_ceil(most))
        };
        let own = outputs_of(window);
        let fields = even(x.c() / size as usize, (self.inputs / size).max(1));
        let mut blocks = WeightBlock {
            outputs: even(dy.c(), self.outputs).next_multiple_of(own),
            inputs: size * fields,
            ..self
        };
        while blocks.words(window) * 8 > self.memory || blocks.threads(own, size) > MOST {
            match (blocks.inputs > size, blocks.outputs > own) {
                (true, _) => blocks.inputs = size * (blocks.inputs / size).div_ceil(2),
                (_, true) => blocks.outputs = (blocks.outputs / 2).next_multiple_of(own),
                // The smallest block, which [`Self::takes`] answers for.
                _ => break,
            }
        }
        blocks
    }

    /// Whether some block of such fields fits into a thread and into workgroup memory.
    pub(in crate::kernels) fn takes(self, window: Window, [output, input]: [u32; 2]) -> bool {
        let own = outputs_of(window);
        let smallest = WeightBlock {
            outputs: own,
            inputs: input,
            ..self
        };
        window.stride == 1
            && window.size <= 5
            && own.is_multiple_of(output)
            && smallest.words(window) * 8 <= self.memory
    }

    /// Threads with work, for fields of `size` input channels and `own` output channels of a thread.
    fn threads(self, own: u32, size: u32) -> u32 {
        self.outputs / own * (self.inputs / size)
    }

    fn patch(self, window: Window, quads: bool) -> Patch {
        Patch {
            rows: 1,
            columns: self.columns,
            window,
            origin: -(window.radius() as i32),
            quads,
        }
    }

    /// Words of a stage.
    fn words(self, window: Window) -> u32 {
        self.outputs * self.columns + self.inputs * self.patch(window, true).bound()
    }

    pub(in crate::kernels) fn pass(self, x: Shape, dy: Shape, window: Window, pair: &Pair) -> Pass {
        let blocks = self.fitted(x, dy, window, pair.sizes);
        let [output_size, input_size] = pair.sizes;
        let quads = x.w().is_multiple_of(4);
        let patch = blocks.patch(window, quads);
        let tiles =
            dy.c().div_ceil(blocks.outputs as usize) * x.c().div_ceil(blocks.inputs as usize);
        let segments = dy.n() * dy.h() * dy.w().div_ceil(blocks.columns as usize);
        // Workgroups that share a tile: as many as fill a large adapter several times, but not
        // more than the second pass may add, nor beyond PARTS so many that they have little to do.
        // Each takes every `splits`-th segment.
        let most = (WORKGROUPS / tiles)
            .min(MOST_PARTS)
            .min(segments / LEAST_SEGMENTS);
        let splits = segments.min(most.max(PARTS));
        let own = outputs_of(window);
        let threads = blocks.threads(own, input_size).max(FEWEST);
        let unrolled = Unrolled {
            blocks,
            own,
            pair,
            quads,
            stage: Stage {
                patch,
                channels: blocks.inputs,
                threads,
            },
        };
        let variant = window_variant(window)
            .constant("OUTPUTS", blocks.outputs)
            .constant("INPUTS", blocks.inputs)
            .constant("OUTPUT_SIZE", output_size)
            .constant("INPUT_SIZE", input_size)
            .constant("WEIGHTS", pair.weights)
            .constant("OWN", own)
            .constant("THREADS", threads)
            .constant("COLUMNS", blocks.columns)
            .constant("PIXELS", PIXELS)
            .constant("SPLITS", splits as u32)
            .constant("PATCH", patch.size())
            .constant("PITCH", patch.pitch())
            .constant("SHIFT", patch.shift())
            .flag_if("QUAD_ROWS", quads)
            .snippet("declare", unrolled.declare())
            .snippet("fetch", unrolled.fetch())
            .snippet("store", unrolled.store())
            .snippet("accumulate", unrolled.accumulate())
            .snippet("collect", unrolled.collect());
        // Segments and channels beyond the last one are clamped for reading and contribute zero or
        // are not written; places in workgroup memory follow from the constants.
        Pass {
            path: "conv/weight_gradient_block.wgsl",
            variant,
            groups: tiles * splits,
            parts: splits,
            texture: false,
            sum: Loads::Ahead,
        }
    }
}

impl std::fmt::Display for WeightBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let WeightBlock {
            outputs,
            inputs,
            columns,
            memory,
        } = self;
        write!(f, "block {outputs}x{inputs}x{columns}")?;
        memory_name(*memory, f)
    }
}

/// Threads of a workgroup at least, so that each has few loads, which are unrolled.
const FEWEST: u32 = 64;
/// Threads of a workgroup at most: WebGPU's limit.
const MOST: u32 = 256;

/// Output channels of a thread: with all taps of an ordinary kernel some 72 to 100 accumulators.
fn outputs_of(window: Window) -> u32 {
    if window.size <= 3 { 8 } else { 4 }
}

/// Appends the products of an ordinary kernel's taps.
pub(super) fn taps(size: u32, p: u32, outputs: u32, text: &mut String) {
    for o in 0..outputs {
        let (v, component) = (o / 4, COMPONENTS[(o % 4) as usize]);
        for t in 0..size * size {
            let (k, j) = (t / size, p + t % size);
            let _ = writeln!(
                text,
                "a{o}_{t} = fma(y{p}_{v}.{component}, x0_{k}_{j}, a{o}_{t});"
            );
        }
    }
}

/// Generates the unrolled lines of one variant.
struct Unrolled<'a> {
    blocks: WeightBlock,
    /// Output channels of a thread.
    own: u32,
    pair: &'a Pair<'a>,
    /// Rows are read by `vec4`.
    quads: bool,
    stage: Stage,
}

impl Unrolled<'_> {
    /// Groups of 4 output channels x 4 pixels, or one pixel, that the threads load together and lay
    /// down with the channels side by side.
    fn groups(&self) -> u32 {
        self.blocks.outputs / 4 * (self.blocks.columns / self.width())
    }

    fn width(&self) -> u32 {
        if self.quads { 4 } else { 1 }
    }

    /// Output fields of a thread.
    fn fields(&self) -> u32 {
        self.own / self.pair.sizes[0]
    }

    /// Accumulators, and what is on its way to workgroup memory.
    fn declare(&self) -> String {
        let mut text = String::new();
        for f in 0..self.fields() {
            for k in 0..self.pair.weights {
                let _ = write!(text, "var a{f}_{k} = 0.0; ");
            }
            text.push('\n');
        }
        self.stage.declare(&mut text);
        let number = if self.quads { "vec4<f32>" } else { "f32" };
        let last = self.groups() - 1;
        let across = self.blocks.columns / self.width();
        items(self.groups(), self.stage.threads, |g, item, _| {
            let _ = writeln!(text, "let group{g} = min({item}, {last}u);");
            let _ = writeln!(
                text,
                "let along{g} = group{g} % {across}u * {}u;",
                self.width()
            );
            let _ = writeln!(text, "let four{g} = group{g} / {across}u;");
            for k in 0..4 {
                let _ = writeln!(text, "var d{g}_{k} = {number}();");
                let _ = writeln!(
                    text,
                    "let channel{g}_{k} = min(o + 4u * four{g} + {k}u, params.oc - 1u);"
                );
            }
        });
        text
    }

    /// Loads the segment of output row `top` from column `left` on of image `n`.
    fn fetch(&self) -> String {
        let mut text = String::new();
        self.stage.places(&mut text);
        self.stage.fetch(&mut text);
        let zero = if self.quads { "vec4<f32>()" } else { "0.0" };
        items(self.groups(), self.stage.threads, |g, _, _| {
            let _ = writeln!(
                text,
                "let counts{g} = visited && left + along{g} < params.ow;"
            );
            let _ = writeln!(
                text,
                "let start{g} = top * params.ow + min(left + along{g}, params.ow - {}u);",
                self.width()
            );
            for k in 0..4 {
                let _ = writeln!(
                    text,
                    "d{g}_{k} = select({zero}, dy[((n * params.oc + channel{g}_{k}) * params.oh * params.ow + start{g}) / {}u], counts{g});",
                    self.width()
                );
            }
        });
        text
    }

    /// Puts it into half `part / INPUTS` of workgroup memory.
    fn store(&self) -> String {
        let mut text = String::new();
        self.stage.store(&mut text);
        let (count, fours) = (self.groups(), self.blocks.outputs / 4);
        items(count, self.stage.threads, |g, item, partial| {
            let lines = (0..self.width()).map(|p| {
                let component = |k: u32| match self.quads {
                    true => format!("d{g}_{k}.{}", COMPONENTS[p as usize]),
                    false => format!("d{g}_{k}"),
                };
                let channels: Vec<String> = (0..4).map(component).collect();
                format!(
                    "gradient[(part / INPUTS * COLUMNS + along{g} + {p}u) * {fours}u + four{g}] = vec4({});\n",
                    channels.join(", ")
                )
            });
            text.push_str(&guarded(&item, count, partial, lines.collect()));
        });
        text
    }

    /// A few columns, from the thread's own `pixel` and `output` on.
    fn accumulate(&self) -> String {
        let size = self.stage.patch.window.size as u32;
        let fours = self.blocks.outputs / 4;
        let mut text = String::new();
        for c in 0..self.pair.sizes[1] {
            for k in 0..size {
                for j in 0..PIXELS + size - 1 {
                    let _ = writeln!(
                        text,
                        "let x{c}_{k}_{j} = pixels[pixel + {c}u * PATCH + {k}u * PITCH + {j}u];"
                    );
                }
            }
        }
        for p in 0..PIXELS {
            for v in 0..self.own / 4 {
                let place = p * fours + v;
                let _ = writeln!(text, "let y{p}_{v} = gradient[output + {place}u];");
            }
            (self.pair.products)(p, self.fields(), &mut text);
        }
        text
    }

    /// The sums as one array, field by field.
    fn collect(&self) -> String {
        let names: Vec<String> = (0..self.fields())
            .flat_map(|f| (0..self.pair.weights).map(move |k| format!("a{f}_{k}")))
            .collect();
        let count = names.len();
        format!("var values = array<f32, {count}>({});\n", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Padding;

    #[test]
    fn blocks_waste_few_channels_and_fit_into_workgroup_memory() {
        let blocks = WeightBlock::DEFAULT;
        for (outputs, inputs, size, expected) in [
            (96, 96, 3, (48, 16)),
            (96, 7, 3, (48, 7)),
            (6, 96, 3, (8, 16)),
            (64, 64, 1, (64, 16)),
            // Larger windows need more pixels: fewer channels fit.
            (96, 96, 5, (48, 8)),
        ] {
            let (x, dy) = (Shape::new(1, inputs, 8, 8), Shape::new(1, outputs, 8, 8));
            let window = Window::same(size, Padding::Zero);
            assert!(blocks.takes(window, [1, 1]));
            let fitted = blocks.fitted(x, dy, window, [1, 1]);
            assert!(fitted.words(window) * 8 <= blocks.memory);
            assert_eq!((fitted.outputs, fitted.inputs), expected, "{size}");
        }
    }
    #[test]
    fn blocks_hold_whole_fields_or_none() {
        let blocks = WeightBlock::new(96, 24, 8);
        for (size, sizes, takes) in [
            (3, [4, 4], true),
            (3, [8, 8], true),
            (3, [8, 1], true),
            (3, [1, 1], true),
            (5, [4, 4], true),
            // A thread of a 5x5 window has four output channels.
            (5, [8, 8], false),
            (7, [4, 4], false),
        ] {
            let window = Window::same(size, Padding::Zero);
            assert_eq!(blocks.takes(window, sizes), takes, "{size} {sizes:?}");
            for fields in [1, 5, 24] {
                let [outputs, inputs] = sizes.map(|s| Shape::new(1, fields * s as usize, 8, 8));
                let fitted = blocks.fitted(inputs, outputs, window, sizes);
                assert!(
                    !takes || fitted.words(window) * 8 <= blocks.memory,
                    "{sizes:?}"
                );
                assert!(fitted.threads(outputs_of(window), sizes[1]) <= MOST);
                assert!(fitted.inputs.is_multiple_of(sizes[1]));
            }
        }
    }
}
