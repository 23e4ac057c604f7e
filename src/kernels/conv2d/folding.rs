//! Reading a gradient as the transpose of replicate padding does.
//!
//! Replicate padding makes `y_i = sum_t w_t x_clamp(i + t)` of a line; its transpose therefore sums,
//! for pixel `k` and tap `t`, all `y_i` with `clamp(i + t) = k`. Inside, that is one; for the first
//! pixel, which is repeated before the line, taps that read `d` places behind it read everything up
//! to there as well, and so for the last pixel before it. Outside the line there are zeros. Rows and
//! columns do so one after the other.

use crate::shape::{Shape, Window};
use std::ops::Range;

/// Where pixels of a thread may be the first and last ones: structural, like the remainder of a row
/// by four.
#[derive(Clone, Copy)]
pub(super) struct Folding {
    radius: u32,
    /// Which of a thread's rows is the image's last, if one is; its first may be the image's first.
    last_row: u32,
    /// The same for its columns.
    last_column: u32,
}

/// What a tap reads besides its own place, at one end of the image.
#[derive(Clone)]
pub(super) struct More {
    /// The condition under which it does.
    pub end: &'static str,
    /// The taps whose places it reads too.
    pub taps: Range<u32>,
}

impl Folding {
    /// For threads with `rows` x `columns` pixels of `output`.
    pub fn new(window: Window, output: Shape, rows: u32, columns: u32) -> Self {
        let last = |extent: usize, own: u32| (extent.max(1) as u32 - 1) % own;
        Folding {
            radius: window.radius() as u32,
            last_row: last(output.h(), rows),
            last_column: last(output.w(), columns),
        }
    }

    /// Conditions `at_top`, `at_bottom`, `at_left` and `at_right` of a thread whose pixels begin at
    /// row `y` and column `x`.
    pub fn declare(self, y: &str, x: &str) -> String {
        let (row, column) = (self.last_row + 1, self.last_column + 1);
        format!(
            "let at_top = {y} == 0u;\nlet at_bottom = {y} + {row}u == params.oh;\nlet at_left = {x} == 0u;\nlet at_right = {x} + {column}u == params.ow;\n"
        )
    }

    /// For tap `tap` of a thread's row `row`.
    pub fn rows(self, row: u32, tap: u32) -> Option<More> {
        self.along(row, tap, self.last_row, ["at_top", "at_bottom"])
    }

    /// The same for columns.
    pub fn columns(self, column: u32, tap: u32) -> Option<More> {
        self.along(column, tap, self.last_column, ["at_left", "at_right"])
    }

    fn along(
        self,
        own: u32,
        tap: u32,
        last: u32,
        [first_end, last_end]: [&'static str; 2],
    ) -> Option<More> {
        if own == 0 && tap > self.radius {
            Some(More {
                end: first_end,
                taps: self.radius..tap,
            })
        } else if own == last && tap < self.radius {
            Some(More {
                end: last_end,
                taps: tap + 1..self.radius + 1,
            })
        } else {
            None
        }
    }
}

/// `name(tap)` of all `taps`, added.
pub(super) fn sum(taps: Range<u32>, name: impl Fn(u32) -> String) -> String {
    let names: Vec<String> = taps.map(name).collect();
    names.join(" + ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Padding;

    /// The rows of `y` that tap `tap` of row `k` reads, by the formula that is transposed.
    fn expected(k: i32, tap: u32, radius: i32, extent: i32) -> Vec<i32> {
        let t = radius - tap as i32;
        let reads = |i: &i32| (i + t).clamp(0, extent - 1) == k;
        (0..extent).filter(reads).collect()
    }

    #[test]
    fn every_tap_reads_what_the_transpose_of_clamping_reads() {
        for (size, extent, own) in [
            (3, 1, 4),
            (3, 2, 4),
            (3, 9, 4),
            (5, 8, 4),
            (5, 3, 1),
            (7, 5, 2),
        ] {
            let window = Window::same(size, Padding::Zero);
            let output = Shape::new(1, 1, extent, extent);
            let folding = Folding::new(window, output, own, own);
            let radius = window.radius() as i32;
            for k in 0..extent as u32 {
                let (first, row) = (k / own * own, k % own);
                for tap in 0..size as u32 {
                    let holds = |condition: &str| match condition {
                        "at_top" => first == 0,
                        _ => first + folding.last_row + 1 == extent as u32,
                    };
                    let mut taps = vec![tap];
                    if let Some(More { end, taps: more }) = folding.rows(row, tap)
                        && holds(end)
                    {
                        taps.extend(more);
                    }
                    let places = taps.iter().map(|&t| k as i32 + t as i32 - radius);
                    let mut read: Vec<i32> = places
                        .filter(|place| (0..extent as i32).contains(place))
                        .collect();
                    read.sort_unstable();
                    assert_eq!(
                        read,
                        expected(k as i32, tap, radius, extent as i32),
                        "pixel {k} of {extent}, tap {tap} of {size}"
                    );
                }
            }
        }
    }
}
