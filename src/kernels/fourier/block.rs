//! Whole lines in workgroup memory.

use super::butterfly::{Pair, Text, flops, transform};
use super::factors::cheapest;
use super::step::{Grid, Step};
use crate::gpu::Trust;
use crate::kernels::{Launch, Slot, WEBGPU_MEMORY};
use crate::reference::fourier::root;
use crate::shader::{Variant, params};
use std::fmt::Write;
use std::sync::Arc;

params! {
    /// Uniform of `fourier/block.wgsl`.
    pub struct BlockParams {
        pub lines: u32,
        pub shares: u32,
        pub groups: u32,
        pub inner: u32,
        pub source_pair: u32,
        pub source_imaginary: u32,
        pub result_pair: u32,
        pub result_imaginary: u32,
        pub scale_real: f32,
        pub scale_imaginary: f32,
        pub sign: f32,
        pub pad0: u32,
    }
}

/// The axis of `grid`, by all factors of its length at once.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub grid: Grid,
    radices: Vec<usize>,
    /// Lines of a workgroup.
    lines: usize,
}

/// Complex values that the workgroup memory holds which WebGPU grants.
const VALUES: usize = WEBGPU_MEMORY as usize / 8;
/// Invocations of a workgroup that WebGPU grants.
const THREADS: usize = 256;
/// Neighbouring columns that make full use of a memory transaction.
const COLUMNS: usize = 16;
/// Points that an invocation holds.
const RADIX: usize = 16;

impl Block {
    /// Bytes of workgroup memory that a kernel takes at most.
    pub const MEMORY: u32 = WEBGPU_MEMORY;

    /// `None` if the lines are too long, or have factors that are too large or too small.
    pub fn new(grid: Grid) -> Option<Self> {
        let length = grid.length;
        if length > VALUES || grid.outer > 1 && grid.inner > 1 {
            return None;
        }
        let cost = |_: usize, radix: usize| match length / radix <= THREADS {
            true => 1.0 + radix as f64 / 16.0,
            false => f64::INFINITY,
        };
        let radices = cheapest(length, RADIX, &cost)?;
        let smallest = radices.iter().copied().min().unwrap_or(1);
        let most = (VALUES / length).min(THREADS * smallest / length);
        let lines = match grid.inner {
            1 => most.min(grid.outer),
            inner => most.min(inner).min(COLUMNS),
        };
        Some(Block {
            grid,
            radices,
            lines: lines.max(1),
        })
    }

    fn columns(&self) -> bool {
        self.grid.inner > 1
    }

    pub fn launch(&self, step: &Step) -> Launch {
        let (grid, plane) = (self.grid, self.grid.plane());
        let lines = if self.columns() {
            grid.inner
        } else {
            grid.outer
        };
        let shares = lines.div_ceil(self.lines);
        let groups = step.pairs * shares;
        let params = BlockParams {
            lines: lines as u32,
            shares: shares as u32,
            groups: groups as u32,
            inner: grid.inner as u32,
            source_pair: (plane * step.source_parts()) as u32,
            source_imaginary: plane as u32,
            result_pair: (plane * step.result_parts()) as u32,
            result_imaginary: plane as u32,
            scale_real: step.scale[0] as f32,
            scale_imaginary: step.scale[1] as f32,
            sign: step.sign as f32,
            pad0: 0,
        };
        let turned = self.radices.len() > 1;
        let mut bindings = vec![
            ("source", step.source.clone()),
            ("result", step.result.clone()),
        ];
        if turned {
            bindings.push(("roots", Slot::Table(self.table())));
        }
        let values = self.lines * grid.length;
        let threads = self.radices.iter().map(|r| values / r).max().unwrap_or(1);
        let variant = Variant::new()
            .constant("THREADS", threads as u32)
            .constant("LINES", self.lines as u32)
            .constant("SIZE", grid.length as u32)
            .constant("VALUES", values as u32)
            .flag_if("COLUMNS", self.columns())
            .flag_if("TURNED", turned)
            .snippet("stages", self.stages(step));
        let per_line = |r: &usize| grid.length / r * (flops(*r) + 6 * (r - 1));
        let work: usize = self.radices.iter().map(per_line).sum();
        let bytes = 4 * step.pairs * plane * (step.source_parts() + step.result_parts());
        let mut launch = Launch::new("fourier/block.wgsl", &params, bindings, groups as u64)
            .variant(variant)
            .work((work * step.pairs * lines) as u64, bytes as u64);
        // Lines are clamped for reading and not written where there are none; the places within a
        // block follow from constants.
        launch.trust = Trust::Unchecked;
        launch
    }

    fn table(&self) -> Arc<[u32]> {
        let roots = (0..self.grid.length).map(|k| root(k, self.grid.length).conj());
        let parts = roots.flat_map(|w| [w.re, w.im]);
        parts.map(|x| (x as f32).to_bits()).collect()
    }

    /// Every factor: what an invocation reads, the butterfly, the turns, and where it writes.
    fn stages(&self, step: &Step) -> String {
        let size = self.grid.length;
        let mut text = Text::default();
        let (mut done, last) = (1, self.radices.len() - 1);
        for (k, &radix) in self.radices.iter().enumerate() {
            // Places of a line, or with columns those of all lines together.
            let (span, stride) = match self.columns() {
                true => (self.lines * size / radix, self.lines * done),
                false => (size / radix, done),
            };
            let items = self.lines * size / radix;
            let _ = writeln!(text.lines, "let item{k} = min(lane, {}u);", items - 1);
            // The block's array, the place in it, the number of the transform.
            let _ = match self.columns() {
                true => writeln!(text.lines, "let base{k} = 0u; let place{k} = item{k};"),
                false => writeln!(
                    text.lines,
                    "let base{k} = item{k} / {span}u * SIZE; let place{k} = item{k} % {span}u;"
                ),
            };
            let _ = writeln!(text.lines, "let turn{k} = place{k} / {stride}u;");
            let x: Vec<Pair<String>> = (0..radix)
                .map(|r| {
                    let at = format!("base{k} + place{k} + {}u", r * span);
                    if k == 0 {
                        let at = text.name(&format!("begin + place(line, {at})"));
                        let re = text.name(&format!("source[{at}]"));
                        let im = match step.from_real {
                            true => "0.0".to_string(),
                            false => text.name(&format!(
                                "params.sign * source[{at} + params.source_imaginary]"
                            )),
                        };
                        [re, im]
                    } else {
                        let value = text.name(&format!("shared_values[{at}]"));
                        [format!("{value}.x"), format!("{value}.y")]
                    }
                })
                .collect();
            let mut y = transform(&mut text, &x);
            if k < last {
                for (s, value) in y.iter_mut().enumerate().skip(1) {
                    let root = text.name(&format!("roots[turn{k} * {}u]", s * done));
                    *value = text.product(value, &[format!("{root}.x"), format!("{root}.y")]);
                }
            }
            if k > 0 && k < last {
                text.lines += "workgroupBarrier();\n";
            }
            let _ = writeln!(
                text.lines,
                "let first{k} = base{k} + place{k} + turn{k} * {}u;",
                (radix - 1) * stride
            );
            if k == last {
                y = (y.into_iter()).map(|v| step.scaled(&mut text, v)).collect();
            }
            let _ = writeln!(text.lines, "if lane < {items}u {{");
            for (s, [re, im]) in y.iter().enumerate() {
                let at = format!("first{k} + {}u", s * stride);
                let _ = match k == last {
                    false => writeln!(text.lines, "shared_values[{at}] = vec2<f32>({re}, {im});"),
                    true => {
                        let imaginary = match step.to_real {
                            true => String::new(),
                            false => format!("result[at + params.result_imaginary] = {im};"),
                        };
                        writeln!(
                            text.lines,
                            "if exists(line, {at}) {{ let at = end + place(line, {at}); result[at] = {re}; {imaginary} }}"
                        )
                    }
                };
            }
            text.lines += "}\n";
            if k < last {
                text.lines += "workgroupBarrier();\n";
            }
            done *= radix;
        }
        text.lines
    }
}
