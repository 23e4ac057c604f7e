//! The register tile of a symmetric convolution: a thread transforms each input field over the group
//! at its pixels, multiplies in the Fourier domain, and transforms back once at the end.

use crate::group::SymmetricTable;
use crate::kernels::Capabilities;
use crate::kernels::conv2d::{Body, Reader, Tile, Weights};
use std::fmt::Write;

/// The shape of a thread's work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SymmetricTile {
    /// Output channels of a thread, or less where whole fields or an even share ask for it.
    pub channels: u32,
    /// Accumulators of a thread, in `vec4`s: they decide how many rows it takes, up to 8.
    pub accumulators: u32,
    /// With `Some(lanes)`, the lanes of a subgroup load for each other.
    pub subgroup: Option<u32>,
    /// Pixels and weights are read through textures, if they fit into one.
    pub texture: bool,
    /// Weights are bound as uniform, as [`Tile::uniform`] has it.
    pub uniform: bool,
}

impl SymmetricTile {
    /// What every adapter can do.
    pub(super) const PLAIN: SymmetricTile = SymmetricTile {
        channels: 8,
        accumulators: 16,
        subgroup: None,
        texture: false,
        uniform: false,
    };

    /// A sensible start for an adapter of this kind.
    pub fn default_for(capabilities: Capabilities) -> Self {
        let Tile {
            subgroup, uniform, ..
        } = Tile::default_for(capabilities);
        // On the processor what compiles in a second: larger tiles are up to a fifth faster and take
        // ten times as long. Without neighbours that load for it, a lane reads all weights itself,
        // which two rows share.
        let (channels, accumulators) = match (capabilities.software, subgroup) {
            (true, Some(_)) => (24, 24),
            (true, None) => (24, 48),
            (false, _) => (8, 16),
        };
        SymmetricTile {
            channels,
            accumulators,
            subgroup,
            texture: capabilities.software,
            uniform,
        }
    }

    /// Output fields of a thread for `outputs` fields of `size` channels, and the tile of ordinary
    /// shape that they make.
    pub(super) fn fitted(self, outputs: usize, size: usize) -> (u32, Tile) {
        let most = (self.channels as usize / size).clamp(1, outputs.max(1));
        // Blocks of equal shares.
        let fields = outputs.max(1).div_ceil(outputs.max(1).div_ceil(most));
        let channels = (fields * size) as u32;
        let mut rows = 1;
        while rows < 8 && 2 * rows * channels <= self.accumulators {
            rows *= 2;
        }
        let tile = Tile {
            channels,
            rows,
            subgroup: self.subgroup,
            texture: self.texture,
            uniform: self.uniform,
        };
        (fields as u32, tile)
    }
}

impl std::fmt::Display for SymmetricTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fourier {}x{}", self.channels, self.accumulators)?;
        if self.subgroup.is_some() {
            f.write_str(" subgroup")?;
        }
        f.write_str(if self.texture { " texture" } else { "" })?;
        f.write_str(if self.uniform { " uniform" } else { "" })
    }
}

/// Packed weights of a turn: those of `fields` pairs, rounded up to whole quads.
pub(super) fn turn(table: &SymmetricTable, fields: u32) -> u32 {
    (table.weights as u32 * fields).next_multiple_of(4)
}

/// The turn of a tile that takes `fields` output fields, for input fields of `channels` channels.
pub(super) fn body(
    table: &SymmetricTable,
    fields: u32,
    tile: Tile,
    channels: usize,
    reader: &Reader,
) -> Body {
    let count = turn(table, fields);
    let weights = Weights::new(count, tile.weight_lanes());
    let mut text = String::new();
    weights.load(&mut text);
    for g in 0..channels {
        let plane = format!("(plane + {g}u * params.h * params.w)");
        reader.load(&plane, &format!("f{g}"), &mut text);
    }
    for f in 0..fields {
        for k in 0..table.weights as u32 {
            let weight = weights.get(f * table.weights as u32 + k);
            let _ = writeln!(text, "let w{f}_{k} = vec4({weight});");
        }
    }
    for r in 0..tile.rows {
        nodes(
            table,
            r,
            |l| reader.pixels(&format!("f{}", l.channel), r, l.row as u32, l.column as u32),
            &mut text,
        );
        for f in 0..fields {
            for t in &table.terms {
                let a = f as usize * table.components + t.component;
                let sign = if t.minus { "-" } else { "" };
                let _ = writeln!(
                    text,
                    "a{a}_{r} = fma(w{f}_{}, {sign}u{r}_{}, a{a}_{r});",
                    t.weight, t.node
                );
            }
        }
    }
    Body {
        channels: channels as u32,
        weights: count,
        accumulate: text,
        collect: synthesise(table, fields, tile.rows),
    }
}

/// Declares `uR_K`, node `K` of the program for output row `R`.
pub(super) fn nodes(
    table: &SymmetricTable,
    r: u32,
    pixels: impl Fn(&crate::group::Load) -> String,
    text: &mut String,
) {
    for (k, load) in table.loads.iter().enumerate() {
        let _ = writeln!(text, "let u{r}_{k} = {};", pixels(load));
    }
    for (k, sum) in table.sums.iter().enumerate() {
        let k = k + table.loads.len();
        let sign = if sum.minus { '-' } else { '+' };
        let _ = writeln!(text, "let u{r}_{k} = u{r}_{} {sign} u{r}_{};", sum.a, sum.b);
    }
}

/// Components to channels, in place.
pub(super) fn synthesise(table: &SymmetricTable, fields: u32, rows: u32) -> String {
    let mut text = String::new();
    for f in 0..fields as usize {
        for r in 0..rows {
            for &[a, b] in &table.synthesis {
                let [a, b] = [a, b].map(|c| f * table.components + c);
                let _ = writeln!(
                    text,
                    "{{ let s = a{a}_{r} + a{b}_{r}; let d = a{a}_{r} - a{b}_{r}; a{a}_{r} = s; a{b}_{r} = d; }}"
                );
            }
        }
    }
    text
}
