//! One pass through memory: the values of one factor of a size in registers.

use super::butterfly::{Pair, Text, flops, transform};
use super::step::{Grid, Step};
use crate::gpu::Trust;
use crate::kernels::{Launch, Slot};
use crate::reference::fourier::root;
use crate::shader::{Variant, params};
use std::fmt::Write;
use std::sync::Arc;

params! {
    /// Uniform of `fourier/pass.wgsl`.
    pub struct PassParams {
        pub count: u32,
        pub source_pair: u32,
        pub source_imaginary: u32,
        pub result_pair: u32,
        pub result_imaginary: u32,
        pub scale_real: f32,
        pub scale_imaginary: f32,
        pub sign: f32,
    }
}

/// The factor `radix` of the axis of `grid`, after the factors whose product is `done`; and before
/// it, if this is the first one, the last factor `rows` of the rows of the plane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub grid: Grid,
    pub done: usize,
    pub radix: usize,
    pub rows: usize,
}

/// How four neighbours are worked on at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quads {
    /// They are not.
    None,
    /// They lie beside each other in one transform after another.
    Beside,
    /// They belong to four neighbouring transforms along the last axis.
    Neighbours,
}

/// Entries of a table of turns that a uniform binding holds on every device.
const UNIFORM_TURNS: usize = 4096;

impl Pass {
    /// Values between the results of a transform.
    fn stride(self) -> usize {
        self.grid.inner * self.done
    }

    /// Values between those that are transformed along the rows, if any are; neighbouring transforms.
    fn near(self) -> usize {
        self.stride() / self.rows
    }

    /// Transforms that are turned differently.
    fn turns(self) -> usize {
        self.grid.length / (self.done * self.radix)
    }

    /// How it may take four at once.
    pub fn quads(self) -> Quads {
        let (near, span) = (self.near(), self.near() * self.turns());
        match () {
            () if !span.is_multiple_of(4) => Quads::None,
            () if near.is_multiple_of(4) => Quads::Beside,
            () if self.stride() == 1 && self.radix.is_multiple_of(4) => Quads::Neighbours,
            () => Quads::None,
        }
    }

    /// The launch; with `quads`, four at once where that is possible.
    pub fn launch(self, step: &Step, quads: bool) -> Launch {
        let quads = match quads {
            true => self.quads(),
            false => Quads::None,
        };
        let width = if quads == Quads::None { 1 } else { 4 };
        // The stride of neighbours that trade places does not count.
        let number = |values: usize| (values / width).max(1) as u32;
        let (grid, plane) = (self.grid, self.grid.plane());
        let span = self.near() * self.turns();
        let count = step.pairs * grid.outer * span / width;
        let params = PassParams {
            count: count as u32,
            source_pair: number(plane * step.source_parts()),
            source_imaginary: number(plane),
            result_pair: number(plane * step.result_parts()),
            result_imaginary: number(plane),
            scale_real: step.scale[0] as f32,
            scale_imaginary: step.scale[1] as f32,
            sign: step.sign as f32,
        };
        let turned = self.turns() > 1;
        let mut bindings = vec![
            ("source", step.source.clone()),
            ("result", step.result.clone()),
        ];
        if turned {
            bindings.push(("turns", Slot::Table(self.table(quads))));
        }
        let uniform = turned && self.turns() <= UNIFORM_TURNS;
        let mut variant = Variant::new()
            .constant("RADIX", self.radix as u32)
            .constant("STRIDE", number(self.stride()))
            .constant("NEAR", number(self.near()))
            .constant("SPAN", number(span))
            .constant("ARRAY", number(grid.length * grid.inner))
            .constant("ARRAYS", grid.outer as u32)
            .flag_if("QUADS", quads != Quads::None)
            .flag_if("NEIGHBOURS", quads == Quads::Neighbours)
            .flag_if("TURNED", turned)
            .flag_if("UNIFORM_TURNS", uniform)
            .flag_if("TEXTURE", step.reads_texture())
            .snippet("load", self.load(step));
        if uniform {
            variant = variant.constant("TURNS", self.turns() as u32);
        }
        let (transform, results) = self.transform(step, quads, turned);
        let variant = variant
            .snippet("transform", transform)
            .snippet("store", self.store(step, quads, &results));
        // The turns by products of two, and the products with them.
        let products = if turned {
            (1 + self.rows) * self.radix
        } else {
            0
        };
        let butterflies = self.rows * flops(self.radix) + self.radix * flops(self.rows);
        let work = (butterflies + 6 * products) * width * count;
        let bytes = 4 * step.pairs * plane * (step.source_parts() + step.result_parts());
        let groups = (count as u64).div_ceil(64);
        let mut launch = Launch::new("fourier/pass.wgsl", &params, bindings, groups)
            .variant(variant)
            .work(work as u64, bytes as u64);
        // An invocation below the count reads and writes its share of whole arrays.
        launch.trust = Trust::Unchecked;
        launch
    }

    /// For each place the root of its number and the fourth power of that; four places together
    /// where neighbours are worked on at once, for which the order is the same but by parts.
    fn table(self, quads: Quads) -> Arc<[u32]> {
        let (turns, order) = (self.turns(), self.turns() * self.radix);
        let roots = |place: usize| [1, 4].map(|power| root(place * power, order).conj());
        let numbers: Vec<f64> = match quads {
            Quads::Neighbours => (0..turns / 4)
                .flat_map(|quad| {
                    let four: [_; 4] = std::array::from_fn(|c| roots(4 * quad + c));
                    let parts = [0, 1].map(|power| {
                        let re: [f64; 4] = std::array::from_fn(|c| four[c][power].re);
                        let im: [f64; 4] = std::array::from_fn(|c| four[c][power].im);
                        [re, im]
                    });
                    parts.concat().concat()
                })
                .collect(),
            Quads::None | Quads::Beside => (0..turns)
                .flat_map(|place| roots(place).map(|w| [w.re, w.im]).concat())
                .collect(),
        };
        numbers.into_iter().map(|x| (x as f32).to_bits()).collect()
    }

    /// Value `r` of the rows of value `s` of the axis is `xS_R`, its imaginary part `yS_R`.
    fn load(self, step: &Step) -> String {
        let mut text = String::new();
        for s in 0..self.radix {
            for r in 0..self.rows {
                let at = format!("{s}u * SPACING + {r}u * NEAR");
                let _ = writeln!(text, "let x{s}_{r} = number(real + {at});");
                let _ = match step.from_real {
                    true => writeln!(text, "let y{s}_{r} = Number();"),
                    false => writeln!(
                        text,
                        "let y{s}_{r} = params.sign * number(imaginary + {at});"
                    ),
                };
            }
        }
        text
    }

    /// The butterflies and the turns; and the names of what comes out, by `r`, then by `s`.
    fn transform(
        self,
        step: &Step,
        quads: Quads,
        turned: bool,
    ) -> (String, Vec<Vec<Pair<String>>>) {
        let mut text = Text::default();
        let rows: Vec<Vec<Pair<String>>> = (0..self.radix)
            .map(|s| {
                let name = |r| [format!("x{s}_{r}"), format!("y{s}_{r}")];
                let row: Vec<_> = (0..self.rows).map(name).collect();
                transform(&mut text, &row)
            })
            .collect();
        let powers = match turned {
            true => self.powers(&mut text, quads),
            false => Vec::new(),
        };
        let columns = (0..self.rows).map(|r| {
            let column: Vec<_> = rows.iter().map(|row| row[r].clone()).collect();
            let mut y = transform(&mut text, &column);
            for (value, power) in y.iter_mut().skip(1).zip(&powers) {
                *value = text.product(value, power);
            }
            let y = y.into_iter().map(|value| step.scaled(&mut text, value));
            y.collect()
        });
        let columns = columns.collect();
        (text.lines, columns)
    }

    /// The turns of all results but the first.
    fn powers(self, text: &mut Text, quads: Quads) -> Vec<Pair<String>> {
        let (once, four) = match quads {
            Quads::Neighbours => {
                let part = |k: usize| format!("turns[turn + {k}u]");
                ([0, 1].map(part), [2, 3].map(part))
            }
            Quads::None | Quads::Beside => {
                let part = |c: &str| format!("turns[turn].{c}");
                (["x", "y"].map(part), ["z", "w"].map(part))
            }
        };
        let once = once.map(|part| text.name(&part));
        let four = match self.radix > 4 {
            true => Some(four.map(|part| text.name(&part))),
            false => None,
        };
        powers(text, self.radix, once, four)
    }

    fn store(self, step: &Step, quads: Quads, columns: &[Vec<Pair<String>>]) -> String {
        let mut text = String::new();
        let mut write = |at: String, [re, im]: [String; 2]| {
            let _ = writeln!(text, "result[first + {at}] = {re};");
            if !step.to_real {
                let _ = writeln!(
                    text,
                    "result[first + {at} + params.result_imaginary] = {im};"
                );
            }
        };
        for (r, y) in columns.iter().enumerate() {
            if quads != Quads::Neighbours {
                for (s, value) in y.iter().enumerate() {
                    write(format!("{s}u * STRIDE + {r}u * NEAR"), value.clone());
                }
                continue;
            }
            for c in 0..4 {
                for (k, four) in y.chunks(4).enumerate() {
                    let parts = [0, 1].map(|part| {
                        let values = four.iter().map(|v| format!("{}[{c}]", v[part]));
                        let values: Vec<_> = values.collect();
                        format!("vec4<f32>({})", values.join(", "))
                    });
                    write(format!("{}u", c * self.radix / 4 + k), parts);
                }
            }
        }
        text
    }
}

/// The powers 1 to `count - 1` of `once`, whose fourth power is `four`: every one a product of at
/// most a few, so that roundings do not pile up.
fn powers(
    text: &mut Text,
    count: usize,
    once: Pair<String>,
    four: Option<Pair<String>>,
) -> Vec<Pair<String>> {
    let mut low = vec![once.clone()];
    if count > 2 {
        low.push(text.product(&once, &once));
    }
    if count > 3 {
        low.push(text.product(&low[1], &once));
    }
    let mut high: Vec<Pair<String>> = four.into_iter().collect();
    while 4 * (high.len() + 1) < count {
        let next = high.len() + 1;
        let (a, b) = (next / 2, next - next / 2);
        high.push(text.product(&high[a - 1], &high[b - 1]));
    }
    (1..count)
        .map(|s| match (s % 4, s / 4) {
            (low_part, 0) => low[low_part - 1].clone(),
            (0, high_part) => high[high_part - 1].clone(),
            (low_part, high_part) => text.product(&low[low_part - 1], &high[high_part - 1]),
        })
        .collect()
}
