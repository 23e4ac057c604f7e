//! The convolution in blocks through workgroup memory, for hardware adapters. The unrolled lines are
//! generated here.

use super::dense::{Dense, Kernel, Method};
use super::folding::{Folding, sum};
use super::patch::{Patch, Stage, guarded, items, memory_name};
use super::row::COMPONENTS;
use super::{CLAMPED, ConvParams, window_variant, with_operands};
use crate::kernels::chain::Chain;
use crate::kernels::{Capabilities, Launch, Lowered, Slot, WEBGPU_MEMORY};
use crate::shape::{Shape, Window};
use std::fmt::Write;

/// The shape of a workgroup's work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Block {
    /// Output channels of a workgroup at most: the convolution's channels are divided evenly into
    /// blocks, of multiples of 8.
    pub channels: u32,
    /// Columns of its pixels, a multiple of `pixels`.
    pub columns: u32,
    /// Rows of its pixels; more where its channels are few.
    pub rows: u32,
    /// Neighbouring pixels of a thread, 4 or 8. A thread has 8 channels.
    pub pixels: u32,
    /// Terms of each output that a thread adds in a stage, in whole input fields: at least one, and as
    /// many as two stages have room for.
    pub depth: u32,
    /// Groups of the workgroup's threads, all with the same pixels and channels, between which the
    /// input fields are divided: 1, 2, 4 or 8. What they have summed is added at the end. They
    /// make threads where there are few pixels and output channels.
    pub shares: u32,
    /// Bytes of workgroup memory that two stages may take.
    pub memory: u32,
}

/// Output channels of a thread.
const CHANNELS: u32 = 8;
/// Threads of a workgroup: two subgroups of most hardware at least, WebGPU's limit at most.
const THREADS: std::ops::RangeInclusive<u32> = 64..=256;

impl Block {
    /// A block of this shape in the memory that every adapter has.
    pub const fn new(channels: u32, columns: u32, rows: u32, pixels: u32, depth: u32) -> Self {
        Block {
            channels,
            columns,
            rows,
            pixels,
            depth,
            shares: 1,
            memory: WEBGPU_MEMORY,
        }
    }

    /// The same with so many shares.
    pub const fn with_shares(self, shares: u32) -> Self {
        Block { shares, ..self }
    }

    /// The same with so many bytes of workgroup memory.
    pub const fn with_memory(self, memory: u32) -> Self {
        Block { memory, ..self }
    }

    /// Whether it is worth trying on such an adapter.
    pub(in crate::kernels) fn suits(self, capabilities: Capabilities) -> bool {
        capabilities.has_memory(self.memory)
    }

    /// A sensible start for hardware adapters, which reaches 0.4 of the multiply-adds of an NVIDIA
    /// H100 and H200 (96 to 96 channels, 128 x 128 pixels): a thread holds 32
    /// accumulators and stages a dozen numbers, so that its 60 or so registers leave room for the
    /// 1024 to 2048 threads that hide a multiprocessor's latencies, on integrated adapters too; and
    /// 64 x 128 outputs to a workgroup make some hundred workgroups of a 128 x 128 image with 96
    /// channels, enough for any adapter. For each channel of a 3x3 kernel a thread then reads its 18
    /// pixels and 18 `vec4`s of weights, which its subgroup shares, for 288 multiply-adds.
    pub const DEFAULT: Block = Block::new(64, 16, 8, 4, 18);

    /// Whether the blocks of this window fit into a workgroup and its memory; strides leave gaps in
    /// them.
    pub fn takes(self, window: Window) -> bool {
        self.has_room(
            window,
            1,
            window.size as u32 * window.size as u32 * CHANNELS,
        )
    }

    /// The same for input fields of `size` channels, `share` weights of each to a thread.
    pub(in crate::kernels) fn has_room(self, window: Window, size: u32, share: u32) -> bool {
        // Where the shares' sums are added, half of the threads put one accumulator or more at a time
        // into the memory of two stages' patches.
        let joins = self.shares == 1 || self.channels <= CHANNELS * self.pixels;
        window.stride == 1
            && self.threads() <= *THREADS.end()
            && self.fields_fitting(window, size, share) >= self.shares
            && joins
    }

    /// Whether half as many shares would leave the adapter room for more threads of a convolution with
    /// this output.
    pub(in crate::kernels) fn is_wanted(self, capabilities: Capabilities, output: Shape) -> bool {
        let strips = output.n() * output.h() * output.w().div_ceil(self.pixels as usize);
        let threads = strips * output.c().div_ceil(CHANNELS as usize);
        threads * (self.shares as usize) < 2 * capabilities.filling
    }

    /// Input fields for which two stages have room.
    fn fields_fitting(self, window: Window, size: u32, share: u32) -> u32 {
        let patch = self.patch(window, 0, true);
        self.memory / (2 * 4 * (size * patch.bound() + share * self.channels / CHANNELS))
    }

    fn patch(self, window: Window, origin: i32, quads: bool) -> Patch {
        Patch {
            rows: self.rows,
            columns: self.columns,
            window,
            origin,
            quads,
        }
    }

    /// Threads of a share.
    fn threads_of_share(self) -> u32 {
        self.channels / CHANNELS * (self.columns / self.pixels) * self.rows
    }

    fn threads(self) -> u32 {
        self.shares * self.threads_of_share()
    }

    /// The same for a convolution with `outputs` channels.
    pub(in crate::kernels) fn fitted(self, outputs: usize) -> Self {
        let outputs = outputs as u32;
        let blocks = outputs.div_ceil(self.channels);
        let mut block = Block {
            channels: outputs.div_ceil(blocks).next_multiple_of(CHANNELS),
            ..self
        };
        while block.threads() < *THREADS.start() {
            block.rows *= 2;
        }
        block
    }

    /// With the kernel that [`Kernel::pack`] made for `channels` of this block.
    pub(super) fn launch(self, dense: &Dense, packed: Slot) -> Launch {
        let taps = (dense.window.size * dense.window.size) as u32;
        let turn = BlockTurn {
            size: 1,
            share: taps * CHANNELS,
            stride: CHANNELS,
            accumulate: self.taps(dense.window, CHANNELS.min(dense.output.c() as u32)),
            collect: String::new(),
        };
        self.launch_turns(dense, packed, turn)
    }

    /// A convolution that makes `turn` for each input field, with packed weights `block, input
    /// field, ...`.
    pub(in crate::kernels) fn launch_turns(
        self,
        dense: &Dense,
        packed: Slot,
        turn: BlockTurn,
    ) -> Launch {
        debug_assert!(THREADS.contains(&self.threads()));
        let (x, output) = (dense.x, dense.output);
        let tiles = [
            output.n(),
            output.c().div_ceil(self.channels as usize),
            output.h().div_ceil(self.rows as usize),
            output.w().div_ceil(self.columns as usize),
        ];
        let quads = Chain::quads(output);
        let quad_rows = x.w().is_multiple_of(4);
        let patch = self.patch(dense.window, dense.origin.column, quad_rows);
        let fitting = self.fields_fitting(dense.window, turn.size, turn.share);
        // As many to each share; beyond the last one they are zeros.
        let fields = (self.depth / patch.taps() / turn.size)
            .clamp(1, fitting / self.shares)
            .min((x.c() as u32 / turn.size).div_ceil(self.shares))
            * self.shares;
        let unrolled = Unrolled {
            block: self,
            weights: fields * turn.share * (self.channels / CHANNELS) / 4,
            stage: Stage {
                patch,
                channels: fields * turn.size,
                threads: self.threads(),
            },
        };
        let mut variant = window_variant(dense.window)
            .constant("CHANNELS", self.channels)
            .constant("COLUMNS", self.columns)
            .constant("ROWS", self.rows)
            .constant("PIXELS", self.pixels)
            .constant("STRIPS", self.columns / self.pixels * self.rows)
            .constant("THREADS", self.threads())
            .constant("SHARES", self.shares)
            .constant("FIELDS", fields)
            .constant("SIZE_OF_FIELD", turn.size)
            .constant(
                "QUADS_OF_FIELD",
                turn.share * (self.channels / CHANNELS) / 4,
            )
            .constant("STRIDE_OF_THREAD", turn.stride / 4)
            .constant("PITCH", patch.pitch())
            .constant("PATCH", patch.size())
            .constant("SHIFT", patch.shift())
            .flag_if("QUAD_ROWS", quad_rows)
            .flag_if("QUADS", quads)
            .flag_if("KERNELS", dense.kernels)
            .snippet("declare", unrolled.declare())
            .snippet("fetch", unrolled.fetch())
            .snippet("pixels", self.windows(dense, turn.size))
            .snippet("accumulate", turn.accumulate)
            .snippet("store", unrolled.store())
            .snippet("collect", turn.collect + &self.collect());
        if self.shares > 1 {
            let words = 2 * fields * turn.size * patch.size();
            variant = variant.flag("SHARED").snippet("join", self.join(words));
        }
        let bindings = vec![
            ("x", dense.source.clone()),
            ("packed", packed),
            ("result", dense.result.clone()),
        ];
        let mut launch = Launch::new(
            "conv/block.wgsl",
            &ConvParams::new(x, output, dense.origin.row),
            with_operands(bindings, dense.chain),
            tiles.iter().product::<usize>() as u64,
        )
        .variant(dense.chain.into_variant(variant, output, quads));
        // Patches, channels and pixels beyond the last are clamped to it for reading and skipped in
        // writing; places in workgroup memory follow from the constants above.
        launch.trust = CLAMPED;
        launch
    }

    fn quads(self) -> u32 {
        self.pixels / 4
    }

    /// The windows of a thread's pixels in the patches of an input field, from its own `pixel` on:
    /// `tC_R_J_Q` is what tap (`R`, `J`) reads of channel `C` for pixels `4 Q` and on.
    fn windows(self, dense: &Dense, channels: u32) -> String {
        let size = dense.window.size as u32;
        let folding =
            (dense.folded).then(|| Folding::new(dense.window, dense.output, 1, self.pixels));
        let keyword = if dense.folded { "var" } else { "let" };
        let mut text = String::new();
        if let Some(folding) = folding {
            text.push_str(&folding.declare("(top + row)", "(left + column)"));
        }
        for c in 0..channels {
            for k in 0..size {
                for j in 0..self.pixels + size - 1 {
                    let _ = writeln!(
                        text,
                        "let x{c}_{k}_{j} = pixels[pixel + {c}u * PATCH + {k}u * PITCH + {j}u];"
                    );
                }
                for j in 0..size {
                    for q in 0..self.quads() {
                        let columns = (0..4).map(|p| format!("x{c}_{k}_{}", 4 * q + p + j));
                        let columns: Vec<String> = columns.collect();
                        let _ = writeln!(
                            text,
                            "{keyword} t{c}_{k}_{j}_{q} = vec4({});",
                            columns.join(", ")
                        );
                    }
                }
            }
            if let Some(folding) = folding {
                self.fold(folding, size, c, &mut text);
            }
        }
        text
    }

    /// Adds to the windows of channel `c` what folding adds at the border: in branches, which few
    /// threads take.
    fn fold(self, folding: Folding, size: u32, c: u32, text: &mut String) {
        for end in ["at_left", "at_right"] {
            let _ = writeln!(text, "if {end} {{");
            for (j, p) in (0..size).flat_map(|j| (0..self.pixels).map(move |p| (j, p))) {
                let Some(more) = folding.columns(p, j).filter(|more| more.end == end) else {
                    continue;
                };
                let (q, component) = (p / 4, COMPONENTS[(p % 4) as usize]);
                for k in 0..size {
                    let more = sum(more.taps.clone(), |j| format!("x{c}_{k}_{}", p + j));
                    let _ = writeln!(text, "t{c}_{k}_{j}_{q}.{component} += {more};");
                }
            }
            text.push_str("}\n");
        }
        // The taps farthest out first: they read the others as they are.
        let outermost_first: [Vec<u32>; 2] = [(0..size).rev().collect(), (0..size).collect()];
        for (end, order) in ["at_top", "at_bottom"].into_iter().zip(outermost_first) {
            let _ = writeln!(text, "if {end} {{");
            for k in order {
                let Some(more) = folding.rows(0, k).filter(|more| more.end == end) else {
                    continue;
                };
                for (j, q) in (0..size).flat_map(|j| (0..self.quads()).map(move |q| (j, q))) {
                    let more = sum(more.taps.clone(), |k| format!("t{c}_{k}_{j}_{q}"));
                    let _ = writeln!(text, "t{c}_{k}_{j}_{q} += {more};");
                }
            }
            text.push_str("}\n");
        }
    }

    /// The products of an ordinary kernel's taps for the first `outputs` channels of a thread.
    fn taps(self, window: Window, outputs: u32) -> String {
        let size = window.size as u32;
        let channel_quads = self.channels / 4;
        let mut text = String::new();
        for tap in 0..size * size {
            for v in 0..CHANNELS / 4 {
                let place = tap * channel_quads + v;
                let _ = writeln!(text, "let v{tap}_{v} = weights[weight + {place}u];");
            }
            for c in 0..outputs {
                let weight = format!("v{tap}_{}.{}", c / 4, COMPONENTS[(c % 4) as usize]);
                for q in 0..self.quads() {
                    let _ = writeln!(
                        text,
                        "a{c}_{q} = fma(vec4({weight}), t0_{}_{}_{q}, a{c}_{q});",
                        tap / size,
                        tap % size
                    );
                }
            }
        }
        text
    }

    /// The accumulators.
    fn declare(self) -> String {
        let mut text = String::new();
        for c in 0..CHANNELS {
            for q in 0..self.quads() {
                let _ = write!(text, "var a{c}_{q} = vec4<f32>(); ");
            }
            text.push('\n');
        }
        text
    }

    /// Their names, channels first.
    fn accumulators(self) -> Vec<String> {
        (0..CHANNELS)
            .flat_map(|c| (0..self.quads()).map(move |q| format!("a{c}_{q}")))
            .collect()
    }

    /// Adds the accumulators of the shares from number `rest` to `2 rest` to those of the shares before,
    /// through the patches' `words` words of workgroup memory: in as few rounds as they have room
    /// for. Each component has an array of its own there, from which threads next to each other read
    /// different banks.
    fn join(self, words: u32) -> String {
        let half = self.threads() / 2;
        let accumulators = self.accumulators();
        let rounds = accumulators.len().div_ceil((words / (4 * half)) as usize);
        let mut text = String::new();
        for names in accumulators.chunks(accumulators.len().div_ceil(rounds)) {
            let places = |i: usize| {
                (4 * i..4 * i + 4).map(|j| format!("pixels[sum + {}u]", j as u32 * half))
            };
            text.push_str("if share / rest == 1u {\n");
            for (i, name) in names.iter().enumerate() {
                for (place, component) in places(i).zip(COMPONENTS) {
                    let _ = writeln!(text, "{place} = {name}.{component};");
                }
            }
            text.push_str("}\nworkgroupBarrier();\nif share < rest {\n");
            for (i, name) in names.iter().enumerate() {
                let places: Vec<String> = places(i).collect();
                let _ = writeln!(text, "{name} += vec4({});", places.join(", "));
            }
            text.push_str("}\nworkgroupBarrier();\n");
        }
        text
    }

    /// The accumulators as one array, channels first.
    fn collect(self) -> String {
        let names = self.accumulators();
        let count = names.len();
        format!(
            "var values = array<vec4<f32>, {count}>({});\n",
            names.join(", ")
        )
    }
}

/// What a thread does with an input field.
pub(in crate::kernels) struct BlockTurn {
    /// Channels of the field.
    pub size: u32,
    /// Weights that a thread uses, a multiple of 4.
    pub share: u32,
    /// Weights between the first ones of neighbouring threads, a multiple of 4.
    pub stride: u32,
    /// Adds the products to `aC_Q`, component `C` of 8 of the thread's output at pixels `4 Q` and on,
    /// from `tC_R_J_Q` ([`Block::windows`]) and `weights`, the thread's own from number `weight` on.
    pub accumulate: String,
    /// Makes channels of the components, in place.
    pub collect: String,
}

impl Method for Block {
    fn lower(&self, dense: &Dense, kernel: &Kernel, lowered: &mut Lowered) {
        let block = self.fitted(dense.output.c());
        let packed = kernel.pack(block.channels, lowered);
        let launch = block.launch(dense, packed);
        let bytes = dense.bytes() + kernel.shape.bytes();
        lowered.launches.push(launch.work(dense.flops(), bytes));
    }
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Block {
            channels,
            columns,
            rows,
            pixels,
            depth,
            shares,
            memory,
        } = self;
        write!(
            f,
            "block {channels}x{rows}x{columns} by {pixels} depth {depth}"
        )?;
        if *shares > 1 {
            write!(f, " by {shares} shares")?;
        }
        memory_name(*memory, f)
    }
}

/// Generates the unrolled lines that bring a stage to workgroup memory.
struct Unrolled {
    block: Block,
    /// `vec4`s of weights in a stage.
    weights: u32,
    stage: Stage,
}

impl Unrolled {
    /// Accumulators, what is on its way to workgroup memory, and the places that it comes from.
    fn declare(&self) -> String {
        let mut text = self.block.declare();
        items(self.weights, self.stage.threads, |g, _, _| {
            let _ = writeln!(text, "var w{g} = vec4<f32>();");
        });
        self.stage.declare(&mut text);
        self.stage.places(&mut text);
        text
    }

    /// Loads the stage that begins with input channel `c`, of field `field`.
    fn fetch(&self) -> String {
        let mut text = String::new();
        items(self.weights, self.stage.threads, |g, item, _| {
            let _ = writeln!(
                text,
                "w{g} = packed[min(kernel + field * QUADS_OF_FIELD + {item}, last_weight)];"
            );
        });
        self.stage.fetch(&mut text);
        text
    }

    /// Puts it into the half of workgroup memory that begins with patch `part`, and its weights.
    fn store(&self) -> String {
        let mut text = String::new();
        items(self.weights, self.stage.threads, |g, item, partial| {
            let line = format!("weights[half * FIELDS * QUADS_OF_FIELD + {item}] = w{g};\n");
            text.push_str(&guarded(&item, self.weights, partial, line));
        });
        self.stage.store(&mut text);
        text
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
