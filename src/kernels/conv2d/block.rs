//! The convolution in blocks through workgroup memory, for hardware adapters. The unrolled lines are
//! generated here.

use super::dense::{Dense, Kernel, Method};
use super::patch::{MEMORY, Patch, Stage, guarded, items};
use super::row::COMPONENTS;
use super::{CLAMPED, ConvParams, window_variant, with_operands};
use crate::kernels::chain::Chain;
use crate::kernels::{Launch, Lowered, Slot};
use crate::shape::Window;
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
    /// Terms of each output that a stage adds, in whole input channels: at least one, and as many
    /// as two stages have room for.
    pub depth: u32,
}

/// Output channels of a thread.
const CHANNELS: u32 = 8;
/// Threads of a workgroup: two subgroups of most hardware at least, WebGPU's limit at most.
const THREADS: std::ops::RangeInclusive<u32> = 64..=256;

impl Block {
    /// A sensible start for hardware adapters, by reckoning, not by measurement: a thread holds 32
    /// accumulators and stages a dozen numbers, so that its 60 or so registers leave room for the
    /// 1024 to 2048 threads that hide a multiprocessor's latencies, on integrated adapters too; and
    /// 64 x 128 outputs to a workgroup make some hundred workgroups of a 128 x 128 image with 96
    /// channels, enough for any adapter. For each channel of a 3x3 kernel a thread then reads its 18
    /// pixels and 18 `vec4`s of weights, which its subgroup shares, for 288 multiply-adds.
    pub const DEFAULT: Block = Block {
        channels: 64,
        columns: 16,
        rows: 8,
        pixels: 4,
        depth: 18,
    };

    /// Whether the blocks of this window fit into workgroup memory; strides leave gaps in them.
    pub fn takes(self, window: Window) -> bool {
        window.stride == 1 && self.channels_fitting(window) > 0
    }

    /// Input channels for which two stages have room.
    fn channels_fitting(self, window: Window) -> u32 {
        let patch = self.patch(window, 0, true);
        MEMORY / (2 * 4 * (patch.bound() + patch.taps() * self.channels))
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

    fn threads(self) -> u32 {
        self.channels / CHANNELS * (self.columns / self.pixels) * self.rows
    }

    /// The same for a convolution with `outputs` channels.
    pub(super) fn fitted(self, outputs: usize) -> Self {
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
        let taps = patch.taps();
        let depth = (self.depth / taps)
            .clamp(1, self.channels_fitting(dense.window))
            .min(x.c() as u32);
        let unrolled = Unrolled {
            block: self,
            channels: CHANNELS.min(output.c() as u32),
            stage: Stage {
                patch,
                channels: depth,
                threads: self.threads(),
            },
        };
        let variant = window_variant(dense.window)
            .constant("CHANNELS", self.channels)
            .constant("COLUMNS", self.columns)
            .constant("ROWS", self.rows)
            .constant("PIXELS", self.pixels)
            .constant("STRIPS", self.columns / self.pixels * self.rows)
            .constant("THREADS", self.threads())
            .constant("DEPTH", depth)
            .constant("TAPS", taps)
            .constant("PITCH", patch.pitch())
            .constant("PATCH", patch.size())
            .constant("SHIFT", patch.shift())
            .flag_if("QUAD_ROWS", quad_rows)
            .flag_if("QUADS", quads)
            .flag_if("KERNELS", dense.kernels)
            .snippet("declare", unrolled.declare())
            .snippet("fetch", unrolled.fetch())
            .snippet("accumulate", unrolled.accumulate())
            .snippet("store", unrolled.store())
            .snippet("collect", unrolled.collect());
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
        } = self;
        write!(
            f,
            "block {channels}x{rows}x{columns} by {pixels} depth {depth}"
        )
    }
}

/// Generates the unrolled lines of one variant.
struct Unrolled {
    block: Block,
    /// Output channels of a thread, fewer where the convolution has fewer.
    channels: u32,
    stage: Stage,
}

impl Unrolled {
    /// `vec4`s of weights in a stage.
    fn weights(&self) -> u32 {
        self.stage.channels * self.stage.patch.taps() * self.block.channels / 4
    }

    fn quads(&self) -> u32 {
        self.block.pixels / 4
    }

    /// Accumulators, what is on its way to workgroup memory, and the places that it comes from.
    fn declare(&self) -> String {
        let mut text = String::new();
        for c in 0..self.channels {
            for q in 0..self.quads() {
                let _ = write!(text, "var a{c}_{q} = vec4<f32>(); ");
            }
            text.push('\n');
        }
        items(self.weights(), self.stage.threads, |g, _, _| {
            let _ = writeln!(text, "var w{g} = vec4<f32>();");
        });
        self.stage.declare(&mut text);
        self.stage.places(&mut text);
        text
    }

    /// Loads the stage that begins with input channel `c`.
    fn fetch(&self) -> String {
        let mut text = String::new();
        items(self.weights(), self.stage.threads, |g, item, _| {
            let _ = writeln!(
                text,
                "w{g} = packed[min(kernel + c * quads + {item}, last_weight)];"
            );
        });
        self.stage.fetch(&mut text);
        text
    }

    /// Puts it into the half of workgroup memory that begins with patch `part`.
    fn store(&self) -> String {
        let mut text = String::new();
        items(self.weights(), self.stage.threads, |g, item, partial| {
            let line = format!("weights[part * quads + {item}] = w{g};\n");
            text.push_str(&guarded(&item, self.weights(), partial, line));
        });
        self.stage.store(&mut text);
        text
    }

    /// One input channel of a stage, from its own `pixel` and `weight` on.
    fn accumulate(&self) -> String {
        let (window, pixels) = (self.stage.patch.window.size as u32, self.block.pixels);
        let channel_quads = self.block.channels / 4;
        let mut text = String::new();
        for k in 0..window {
            for j in 0..pixels + window - 1 {
                let _ = writeln!(text, "let x{k}_{j} = pixels[pixel + {k}u * PITCH + {j}u];");
            }
            for dx in 0..window {
                let tap = k * window + dx;
                for q in 0..self.quads() {
                    let columns = (0..4).map(|p| format!("x{k}_{}", 4 * q + p + dx));
                    let columns: Vec<String> = columns.collect();
                    let _ = writeln!(text, "let t{tap}_{q} = vec4({});", columns.join(", "));
                }
                for v in 0..CHANNELS / 4 {
                    let place = tap * channel_quads + v;
                    let _ = writeln!(text, "let v{tap}_{v} = weights[weight + {place}u];");
                }
                for c in 0..self.channels {
                    let weight = format!("v{tap}_{}.{}", c / 4, COMPONENTS[(c % 4) as usize]);
                    for q in 0..self.quads() {
                        let _ = writeln!(
                            text,
                            "a{c}_{q} = fma(vec4({weight}), t{tap}_{q}, a{c}_{q});"
                        );
                    }
                }
            }
        }
        text
    }

    /// The accumulators as one array, channels first.
    fn collect(&self) -> String {
        let names: Vec<String> = (0..self.channels)
            .flat_map(|c| (0..self.quads()).map(move |q| format!("a{c}_{q}")))
            .collect();
        let count = names.len();
        format!(
            "var values = array<vec4<f32>, {count}>({});\n",
            names.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Padding;

    #[test]
    fn every_window_up_to_five_fits_and_larger_ones_do_not() {
        for padding in Padding::ALL {
            for size in [1, 3, 5] {
                let window = Window::same(size, padding);
                assert!(Block::DEFAULT.takes(window));
                for outputs in [1, 6, 8, 24, 63, 64, 65, 96] {
                    let block = Block::DEFAULT.fitted(outputs);
                    assert!(block.takes(window), "{outputs} outputs, {size}");
                    assert!(THREADS.contains(&block.threads()));
                    let padded = outputs.next_multiple_of(block.channels as usize);
                    assert!(padded - outputs < 8 * outputs.div_ceil(64));
                }
            }
            assert!(!Block::DEFAULT.takes(Window::same(7, padding)));
            let strided = Window {
                stride: 2,
                ..Window::same(3, padding)
            };
            assert!(!Block::DEFAULT.takes(strided));
        }
    }
}
