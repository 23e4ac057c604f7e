//! What a thread of a register tile reads: the window of its strip of pixels, and its weights.

use super::dense::Dense;
use super::exchange::Exchange;
use super::folding::{Folding, More, sum};
use super::row::{COMPONENTS, Row};
use super::tile::{PIXELS, Tile};
use crate::shape::Window;
use std::fmt::Write;

/// The pixels around a strip of `rows` rows of 4 pixels.
pub(in crate::kernels) struct Reader {
    window: Window,
    /// Rows of the image that a thread reads.
    rows: u32,
    row: Row,
    exchange: Option<Exchange>,
    folding: Option<Folding>,
}

impl Reader {
    pub(super) fn new(tile: Tile, dense: &Dense) -> Self {
        let Dense {
            x,
            output,
            window,
            ref origin,
            ..
        } = *dense;
        let (size, stride) = (window.size as u32, window.stride as u32);
        let row = Row {
            columns: (PIXELS - 1) * stride + size,
            origin: origin.column,
            quads: x.w().is_multiple_of(4),
            padding: window.padding,
        };
        let rows = (tile.rows - 1) * stride + size;
        let exchange = (tile.subgroup.filter(|_| stride == 1))
            .and_then(|lanes| Exchange::new(row, rows, lanes, x.w(), output.w()));
        Reader {
            window,
            rows,
            row,
            exchange,
            folding: (dense.folded).then(|| Folding::new(window, output, tile.rows, PIXELS)),
        }
    }

    /// Whether rows are read by `vec4`.
    pub(super) fn quads(&self) -> bool {
        self.row.quads
    }

    /// The places that the strip reads, once for each thread.
    pub(super) fn declare(&self, text: &mut String) {
        match &self.exchange {
            Some(exchange) => exchange.declare(text),
            None => {
                self.row.declare("i32(column * STRIDE)", text);
                for k in 0..self.rows {
                    self.row.declare_line(k, &format!("top + {k}"), text);
                }
            }
        }
        if let Some(folding) = self.folding {
            text.push_str(&folding.declare("strip.y", "column"));
        }
    }

    /// Loads what [`Reader::pixels`] names, for the channel that begins at element `plane` of an
    /// image: `PREFIXtK_DX` are the four pixels at column `DX` of the taps in row `K` of the window.
    pub(in crate::kernels) fn load(&self, plane: &str, prefix: &str, text: &mut String) {
        let (size, stride) = (self.window.size as u32, self.window.stride as u32);
        if let Some(exchange) = &self.exchange {
            exchange.load_halo(plane, prefix, text);
        }
        for k in 0..self.rows {
            match &self.exchange {
                Some(exchange) => exchange.load(k, plane, prefix, text),
                None => {
                    let start = format!("{plane} + item + line{k}");
                    (self.row).load(k, &start, "let ", &format!("{prefix}x{k}_"), text);
                }
            }
            for dx in 0..size {
                let number = |p: u32, dx: u32| format!("{prefix}x{k}_{}", p * stride + dx);
                let columns = (0..PIXELS).map(|p| {
                    let own = number(p, dx);
                    match self.folding.and_then(|folding| folding.columns(p, dx)) {
                        Some(More { end, taps }) => {
                            let more = sum(taps, |dx| number(p, dx));
                            format!("{own} + select(0.0, {more}, {end})")
                        }
                        None => own,
                    }
                });
                let columns: Vec<String> = columns.collect();
                let _ = writeln!(
                    text,
                    "let {prefix}t{k}_{dx} = vec4({});",
                    columns.join(", ")
                );
            }
        }
        for (r, k, More { end, taps }) in self.folded_rows() {
            for dx in 0..size {
                let own = |k: u32| format!("{prefix}t{}_{dx}", r + k);
                let (name, own, more) = (
                    self.pixels(prefix, r, k, dx),
                    own(k),
                    sum(taps.clone(), own),
                );
                let _ = writeln!(
                    text,
                    "let {name} = {own} + select(vec4<f32>(), {more}, {end});"
                );
            }
        }
    }

    /// The name of the four pixels that the tap in row `k` and column `dx` of the kernel reads for
    /// row `r` of the strip.
    pub(in crate::kernels) fn pixels(&self, prefix: &str, r: u32, k: u32, dx: u32) -> String {
        match self.folding.and_then(|folding| folding.rows(r, k)) {
            Some(More { end, .. }) => format!("{prefix}{end}{k}_{dx}"),
            None => format!("{prefix}t{}_{dx}", r * self.window.stride as u32 + k),
        }
    }

    /// Rows of the strip and taps that read more than one row there.
    fn folded_rows(&self) -> Vec<(u32, u32, More)> {
        let Some(folding) = self.folding else {
            return Vec::new();
        };
        let size = self.window.size as u32;
        let rows = self.rows + 1 - size;
        let taps = (0..rows).flat_map(|r| (0..size).map(move |k| (r, k)));
        taps.filter_map(|(r, k)| folding.rows(r, k).map(|more| (r, k, more)))
            .collect()
    }
}

/// The packed weights of a turn, which stand one after another.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Weights {
    /// How many quads of them.
    quads: u32,
    /// Lanes of a subgroup that load them for each other.
    lanes: Option<u32>,
}

impl Weights {
    /// `count` weights, a multiple of 4.
    pub(in crate::kernels) fn new(count: u32, lanes: Option<u32>) -> Self {
        debug_assert!(count.is_multiple_of(4));
        Weights {
            quads: count / 4,
            lanes,
        }
    }

    /// Loads them, four to a load: a whole subgroup of loads each time, if there is one.
    pub(in crate::kernels) fn load(self, text: &mut String) {
        let quads = self.quads;
        let Some(lanes) = self.lanes else {
            for quad in 0..quads {
                let _ = writeln!(text, "let v{quad} = packed_quad(weights + {quad}u);");
            }
            return;
        };
        for group in 0..quads.div_ceil(lanes) {
            let first = group * lanes;
            // The last group may reach beyond the turn's weights.
            let index = if first + lanes > quads {
                format!("min({first}u + sublane, {}u)", quads - 1)
            } else {
                format!("{first}u + sublane")
            };
            let _ = writeln!(text, "let v{group} = packed_quad(weights + {index});");
        }
    }

    /// Weight `k`.
    pub(in crate::kernels) fn get(self, k: u32) -> String {
        let (quad, component) = (k / 4, COMPONENTS[(k % 4) as usize]);
        match self.lanes {
            Some(lanes) => format!(
                "subgroupBroadcast(v{}.{component}, {}u)",
                quad / lanes,
                quad % lanes
            ),
            None => format!("v{quad}.{component}"),
        }
    }
}
