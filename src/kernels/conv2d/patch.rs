//! Patches of an image in workgroup memory: the places of their pixels, and the unrolled lines that
//! bring them there. Both kernels through workgroup memory share them.

use super::row::COMPONENTS;
use crate::kernels::WEBGPU_MEMORY;
use crate::shape::{Padding, Window};
use std::fmt::Write;

/// What a workgroup reads of one input channel, as it lies in workgroup memory.
#[derive(Clone, Copy)]
pub(super) struct Patch {
    /// Output rows and columns that it is for; columns are a multiple of 4.
    pub rows: u32,
    pub columns: u32,
    pub window: Window,
    /// Image column of the first one that output column 0 reads.
    pub origin: i32,
    /// The image is read by `vec4`, from the multiple of 4 at or before the first column.
    pub quads: bool,
}

impl Patch {
    fn extent(self) -> u32 {
        self.window.size as u32
    }

    pub fn taps(self) -> u32 {
        self.extent() * self.extent()
    }

    /// Columns at its left that are read only because they share a `vec4` with others.
    pub fn shift(self) -> u32 {
        match self.quads {
            true => self.origin.rem_euclid(4) as u32,
            false => 0,
        }
    }

    /// Numbers to a load.
    fn width(self) -> u32 {
        if self.quads { 4 } else { 1 }
    }

    fn image_rows(self) -> u32 {
        self.rows + self.extent() - 1
    }

    /// Loads to a row.
    fn loads(self) -> u32 {
        (self.shift() + self.columns + self.extent() - 1).div_ceil(self.width())
    }

    /// Words between rows: odd, so that threads below each other read from different banks of
    /// workgroup memory.
    pub fn pitch(self) -> u32 {
        (self.loads() * self.width()) | 1
    }

    /// Words.
    pub fn size(self) -> u32 {
        self.image_rows() * self.pitch()
    }

    /// Words of the largest patch for this window, wherever the image lies: what fits must not
    /// depend on that.
    pub fn bound(self) -> u32 {
        let widest = Patch {
            origin: 3,
            quads: true,
            ..self
        };
        widest.size()
    }
}

/// What a block's name says of its `memory`, where it is not what every adapter has.
pub(super) fn memory_name(memory: u32, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    match memory == WEBGPU_MEMORY {
        true => Ok(()),
        false => write!(f, " in {} KiB", memory >> 10),
    }
}

/// Runs `line(g, item, partial)` for each of `count` items that a thread of `threads` treats, `item`
/// being an expression: `partial` where not every thread has one.
pub(super) fn items(count: u32, threads: u32, mut line: impl FnMut(u32, String, bool)) {
    for g in 0..count.div_ceil(threads) {
        let item = format!("{}u + lane", g * threads);
        line(g, item, (g + 1) * threads > count);
    }
}

/// `lines`, if not every thread has this item, where it has.
pub(super) fn guarded(item: &str, count: u32, partial: bool, lines: String) -> String {
    match partial {
        true => format!("if {item} < {count}u {{\n{lines}}}\n"),
        false => lines,
    }
}

/// The patches of neighbouring input channels, which the threads of a workgroup load together.
pub(super) struct Stage {
    pub patch: Patch,
    pub channels: u32,
    pub threads: u32,
}

impl Stage {
    /// Loads in a stage.
    fn count(&self) -> u32 {
        self.channels * self.patch.image_rows() * self.patch.loads()
    }

    /// What is on its way to workgroup memory, and where it goes.
    pub fn declare(&self, text: &mut String) {
        let patch = self.patch;
        let (loads, rows) = (patch.loads(), patch.image_rows());
        let number = if patch.quads { "vec4<f32>" } else { "f32" };
        let last = self.count() - 1;
        items(self.count(), self.threads, |g, item, _| {
            let _ = writeln!(text, "var q{g} = {number}();");
            let _ = writeln!(text, "let item{g} = min({item}, {last}u);");
            let _ = writeln!(text, "let depth{g} = item{g} / {}u;", rows * loads);
            let _ = writeln!(text, "let down{g} = item{g} / {loads}u % {rows}u;");
            let _ = writeln!(
                text,
                "let slot{g} = depth{g} * PATCH + down{g} * PITCH + item{g} % {loads}u * {}u;",
                patch.width()
            );
        });
    }

    /// Where it comes from, for the output row `top` and column `left`, a multiple of 4.
    pub fn places(&self, text: &mut String) {
        let patch = self.patch;
        let (loads, width) = (patch.loads(), patch.width());
        let first = patch.origin.div_euclid(width as i32);
        let extent = match patch.quads {
            true => "i32(params.w / 4u)",
            false => "i32(params.w)",
        };
        items(self.count(), self.threads, |g, _, _| {
            let _ = writeln!(text, "let line{g} = i32(top + down{g}) + params.origin;");
            let _ = writeln!(
                text,
                "let load{g} = i32(left / {width}u + item{g} % {loads}u) + {first};"
            );
            let _ = writeln!(
                text,
                "let place{g} = u32(resolve(line{g}, i32(params.h))) * (params.w / {width}u) + u32(resolve(load{g}, {extent}));"
            );
            match patch.window.padding {
                Padding::Zero => {
                    let _ = writeln!(
                        text,
                        "let visible{g} = inside(line{g}, i32(params.h)) && inside(load{g}, {extent});"
                    );
                }
                Padding::Replicate if patch.quads => {
                    let _ = writeln!(text, "let before{g} = load{g} < 0;");
                    let _ = writeln!(text, "let behind{g} = load{g} >= {extent};");
                }
                _ => {}
            }
        });
    }

    /// Loads the channels from `c` on of the image that begins at element `item`. Channels beyond the
    /// last one are zero.
    pub fn fetch(&self, text: &mut String) {
        let patch = self.patch;
        items(self.count(), self.threads, |g, _, _| {
            let _ = writeln!(
                text,
                "q{g} = x[(item + min(c + depth{g}, params.c - 1u) * params.h * params.w) / {}u + place{g}];",
                patch.width()
            );
            if patch.quads && patch.window.padding == Padding::Replicate {
                // A quad outside was clamped to the first or last one, which ends in the pixel
                // that is repeated.
                let _ = writeln!(
                    text,
                    "q{g} = select(select(q{g}, vec4(q{g}.w), behind{g}), vec4(q{g}.x), before{g});"
                );
            }
            let seen = match patch.window.padding {
                Padding::Zero => format!("visible{g} && "),
                _ => String::new(),
            };
            let zero = if patch.quads { "vec4<f32>()" } else { "0.0" };
            let _ = writeln!(
                text,
                "q{g} = select({zero}, q{g}, {seen}c + depth{g} < params.c);"
            );
        });
    }

    /// Puts it into the patches from number `part` on.
    pub fn store(&self, text: &mut String) {
        let count = self.count();
        items(count, self.threads, |g, item, partial| {
            let slot = format!("pixels[part * PATCH + slot{g}");
            let lines = match self.patch.quads {
                true => (0..4)
                    .map(|k| format!("{slot} + {k}u] = q{g}.{};\n", COMPONENTS[k]))
                    .collect(),
                false => format!("{slot}] = q{g};\n"),
            };
            text.push_str(&guarded(&item, count, partial, lines));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_begins_at_a_quad_and_has_odd_rows() {
        let patch = |origin, quads| Patch {
            rows: 8,
            columns: 16,
            window: Window::same(3, Padding::Zero),
            origin,
            quads,
        };
        // Columns -4..20 and -1..17.
        let loads = [true, false].map(|quads| {
            let patch = patch(-1, quads);
            assert_eq!(patch.pitch() % 2, 1);
            assert!(patch.size() <= patch.bound());
            (patch.shift(), patch.loads())
        });
        assert_eq!(loads, [(3, 6), (0, 18)]);
    }
}
