//! The eight symmetries of the square, which map a pixel grid to itself.

use super::Shape;

/// A symmetry of the square (the dihedral group D4): mirror the columns if [`flip`](Self::flip),
/// then turn by [`quarter_turns`](Self::quarter_turns).
///
/// With `R` = [`matrix`](Self::matrix) in coordinates `(x, y)`, x to the right and y up, an image
/// is transformed as `(T_g f)(x) = f(R^-1 x)`; hence `T_g T_h = T_{gh}` with `gh` =
/// `g.compose(h)`. On pixels this is an exact permutation, and an odd number of quarter turns
/// exchanges the extents H and W.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GridSymmetry {
    /// Quarter turns, counter-clockwise as seen with y up; counted modulo 4.
    pub quarter_turns: u8,
    /// Mirror the columns (`x -> -x`) before turning.
    pub flip: bool,
}

impl GridSymmetry {
    /// The identity.
    pub const IDENTITY: GridSymmetry = GridSymmetry::new(0, false);

    /// All eight, the four rotations first.
    pub const ALL: [GridSymmetry; 8] = [
        GridSymmetry::new(0, false),
        GridSymmetry::new(1, false),
        GridSymmetry::new(2, false),
        GridSymmetry::new(3, false),
        GridSymmetry::new(0, true),
        GridSymmetry::new(1, true),
        GridSymmetry::new(2, true),
        GridSymmetry::new(3, true),
    ];

    /// Mirror if `flip`, then turn by `quarter_turns` (reduced modulo 4).
    pub const fn new(quarter_turns: u8, flip: bool) -> Self {
        GridSymmetry {
            quarter_turns: quarter_turns % 4,
            flip,
        }
    }

    /// The product `self * other`: first `other`, then `self`.
    pub const fn compose(self, other: GridSymmetry) -> GridSymmetry {
        // R^a F^f R^b F^g = R^(a +- b) F^(f+g), because F R^b = R^-b F.
        let (a, b) = (self.quarter_turns % 4, other.quarter_turns % 4);
        let turns = if self.flip { a + 4 - b } else { a + b };
        GridSymmetry::new(turns, self.flip != other.flip)
    }

    /// The inverse. Every reflection is its own.
    pub const fn inverse(self) -> GridSymmetry {
        let turns = self.quarter_turns % 4;
        GridSymmetry::new(if self.flip { turns } else { 4 - turns }, self.flip)
    }

    /// The orthogonal matrix `R`, rows first, that acts on `(x, y)` with y up.
    pub const fn matrix(self) -> [[i32; 2]; 2] {
        let (cos, sin) = match self.quarter_turns % 4 {
            0 => (1, 0),
            1 => (0, 1),
            2 => (-1, 0),
            _ => (0, -1),
        };
        let mirror = if self.flip { -1 } else { 1 };
        [[cos * mirror, -sin], [sin * mirror, cos]]
    }

    /// Whether H and W change places (an odd number of quarter turns).
    pub const fn swaps_extents(self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// The shape of the transformed image.
    pub const fn output(self, input: Shape) -> Shape {
        let Shape([n, c, h, w]) = input;
        if self.swaps_extents() {
            Shape([n, c, w, h])
        } else {
            input
        }
    }

    /// The input pixel `(row, column)` that is read by the output pixel (`row`, `col`) of an
    /// output with extents `out_h`, `out_w`: the pixel at `R^-1 x`.
    pub const fn source(
        self,
        row: usize,
        col: usize,
        out_h: usize,
        out_w: usize,
    ) -> (usize, usize) {
        let (in_h, in_w) = if self.swaps_extents() {
            (out_w, out_h)
        } else {
            (out_h, out_w)
        };
        // Twice the centred coordinates, so that even extents stay in the integers.
        let x = 2 * col as i64 - (out_w as i64 - 1);
        let y = (out_h as i64 - 1) - 2 * row as i64;
        let [[xx, xy], [yx, yy]] = self.inverse().matrix();
        let source_x = xx as i64 * x + xy as i64 * y;
        let source_y = yx as i64 * x + yy as i64 * y;
        let source_row = (in_h as i64 - 1 - source_y) / 2;
        let source_col = (in_w as i64 - 1 + source_x) / 2;
        (source_row as usize, source_col as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(a: [[i32; 2]; 2], b: [[i32; 2]; 2]) -> [[i32; 2]; 2] {
        let entry = |i: usize, j: usize| a[i][0] * b[0][j] + a[i][1] * b[1][j];
        [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]]
    }

    #[test]
    fn composition_is_the_product_of_matrices() {
        for g in GridSymmetry::ALL {
            for h in GridSymmetry::ALL {
                assert_eq!(g.compose(h).matrix(), product(g.matrix(), h.matrix()));
            }
            assert_eq!(g.compose(g.inverse()), GridSymmetry::IDENTITY);
            assert_eq!(g.inverse().compose(g), GridSymmetry::IDENTITY);
        }
    }

    #[test]
    fn a_quarter_turn_takes_x_to_y() {
        // The point (1, 0) goes to (0, 1): counter-clockwise with y up.
        let [[xx, _], [yx, _]] = GridSymmetry::new(1, false).matrix();
        assert_eq!((xx, yx), (0, 1));
        // Mirrored first: (1, 0) -> (-1, 0) -> (0, -1).
        let [[xx, _], [yx, _]] = GridSymmetry::new(1, true).matrix();
        assert_eq!((xx, yx), (0, -1));
    }

    #[test]
    fn the_eight_are_distinct() {
        let matrices: std::collections::HashSet<_> =
            GridSymmetry::ALL.iter().map(|g| g.matrix()).collect();
        assert_eq!(matrices.len(), 8);
    }

    #[test]
    fn turns_count_modulo_four() {
        let raw = GridSymmetry {
            quarter_turns: 7,
            flip: false,
        };
        assert_eq!(raw.matrix(), GridSymmetry::new(3, false).matrix());
        assert_eq!(raw.compose(raw), GridSymmetry::new(2, false));
        assert!(raw.swaps_extents());
    }

    #[test]
    fn sources_are_a_permutation_of_the_input() {
        for g in GridSymmetry::ALL {
            let input = Shape::new(1, 1, 3, 4);
            let output = g.output(input);
            let mut seen = [false; 12];
            for row in 0..output.h() {
                for col in 0..output.w() {
                    let (r, c) = g.source(row, col, output.h(), output.w());
                    assert!(r < 3 && c < 4);
                    seen[r * 4 + c] = true;
                }
            }
            assert!(seen.iter().all(|&s| s), "{g:?}");
        }
    }
}
