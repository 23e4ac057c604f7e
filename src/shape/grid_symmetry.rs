//! The eight symmetries of the pixel grid.

/// A symmetry of the square grid: first the mirror `x -> -x` if [`flip`](Self::flip), then
/// [`quarter_turns`](Self::quarter_turns) counter-clockwise turns by 90 degrees.
///
/// Coordinates are those of the geometry: `x` grows with the column, `y` grows upward (against the
/// row), the origin is the image's centre. An image moves as `(T f)(x) = f(R^-1 x)` with
/// `R` = [`matrix`](Self::matrix), so `a.compose(b)` moves an image as `b` and then `a` do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct GridSymmetry {
    /// Counter-clockwise turns by 90 degrees; only the remainder modulo 4 matters.
    pub quarter_turns: u8,
    /// Mirror `x -> -x` before turning.
    pub flip: bool,
}

impl GridSymmetry {
    /// The four turns, then the four turns after the mirror.
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

    /// The symmetry that moves nothing.
    pub const IDENTITY: GridSymmetry = GridSymmetry::new(0, false);

    /// `quarter_turns` (reduced modulo 4) after the mirror, if `flip`.
    pub const fn new(quarter_turns: u8, flip: bool) -> Self {
        GridSymmetry {
            quarter_turns: quarter_turns % 4,
            flip,
        }
    }

    /// `self` after `first`: the matrix is the product of the two.
    pub const fn compose(self, first: GridSymmetry) -> Self {
        // A turn passes the mirror as its inverse: F R = R^-1 F.
        let turns = if self.flip {
            4 - first.quarter_turns % 4
        } else {
            first.quarter_turns % 4
        };
        GridSymmetry::new(self.quarter_turns % 4 + turns, self.flip != first.flip)
    }

    /// The symmetry that undoes this one. A turned mirror is its own inverse.
    pub const fn inverse(self) -> Self {
        if self.flip {
            GridSymmetry::new(self.quarter_turns, true)
        } else {
            GridSymmetry::new(4 - self.quarter_turns % 4, false)
        }
    }

    /// Rows and columns change places.
    pub const fn swaps_axes(self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// The matrix acting on the column vector `(x, y)`.
    pub const fn matrix(self) -> [[i32; 2]; 2] {
        let (cos, sin) = match self.quarter_turns % 4 {
            0 => (1, 0),
            1 => (0, 1),
            2 => (-1, 0),
            _ => (0, -1),
        };
        let sign = if self.flip { -1 } else { 1 };
        [[sign * cos, -sin], [sign * sin, cos]]
    }

    /// The pixel `(row, column)` of the input that pixel `(row, col)` of the moved image, which has
    /// `out_h` rows and `out_w` columns, is copied from. The input has the same shape, or the
    /// swapped one where this symmetry [`swaps_axes`](Self::swaps_axes).
    pub const fn source(
        self,
        row: usize,
        col: usize,
        out_h: usize,
        out_w: usize,
    ) -> (usize, usize) {
        let (in_h, in_w) = if self.swaps_axes() {
            (out_w, out_h)
        } else {
            (out_h, out_w)
        };
        // Twice the centred coordinates, so that they are integers for even extents too.
        let x = 2 * col as isize - (out_w as isize - 1);
        let y = (out_h as isize - 1) - 2 * row as isize;
        let [[a, b], [c, d]] = self.inverse().matrix();
        let (sx, sy) = (
            a as isize * x + b as isize * y,
            c as isize * x + d as isize * y,
        );
        (
            ((in_h as isize - 1 - sy) / 2) as usize,
            ((in_w as isize - 1 + sx) / 2) as usize,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Image = Vec<Vec<u32>>;

    fn moved(symmetry: GridSymmetry, image: &Image) -> Image {
        let (h, w) = (image.len(), image[0].len());
        let (out_h, out_w) = if symmetry.swaps_axes() {
            (w, h)
        } else {
            (h, w)
        };
        (0..out_h)
            .map(|row| {
                let read = |col| {
                    let (r, c) = symmetry.source(row, col, out_h, out_w);
                    image[r][c]
                };
                (0..out_w).map(read).collect()
            })
            .collect()
    }

    #[test]
    fn images_move_as_pictured() {
        let image = vec![vec![1, 2, 3], vec![4, 5, 6]];
        let turned = vec![vec![3, 6], vec![2, 5], vec![1, 4]];
        let mirrored = vec![vec![3, 2, 1], vec![6, 5, 4]];
        let both = vec![vec![1, 4], vec![2, 5], vec![3, 6]];
        assert_eq!(moved(GridSymmetry::new(1, false), &image), turned);
        assert_eq!(moved(GridSymmetry::new(0, true), &image), mirrored);
        assert_eq!(moved(GridSymmetry::new(1, true), &image), both);
    }

    #[test]
    fn composition_multiplies_matrices_and_moves_twice() {
        let image = vec![vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10, 11, 12]];
        for a in GridSymmetry::ALL {
            for b in GridSymmetry::ALL {
                let ab = a.compose(b);
                let (p, q) = (a.matrix(), b.matrix());
                let product =
                    [0, 1].map(|i| [0, 1].map(|j| (0..2).map(|k| p[i][k] * q[k][j]).sum::<i32>()));
                assert_eq!(ab.matrix(), product, "{a:?} after {b:?}");
                assert_eq!(
                    moved(a, &moved(b, &image)),
                    moved(ab, &image),
                    "{a:?} after {b:?}"
                );
            }
            assert_eq!(a.compose(a.inverse()), GridSymmetry::IDENTITY);
        }
    }
}
