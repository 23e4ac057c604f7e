//! The minimal filtering algorithms of Winograd for 3x3 windows: F(m x m, 3x3) computes a tile of m x m
//! outputs by (m + 2)^2 products instead of 9 m^2. Kernel and image are transformed so that the
//! convolution becomes a product for each of the (m + 2)^2 frequencies, which is transformed back.
//!
//! The price is accuracy: the transforms' terms are larger than the convolution's own and cancel.
//! The twin returns the sum of their magnitudes, from which a bound follows as for any sum.

use super::{Twin, assert_len, offset};
use crate::shape::{Padding, Shape};

/// A row of a transform: whole numbers over one denominator.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// One for each number transformed.
    pub numerators: &'static [i32],
    /// Of all of them.
    pub denominator: i32,
}

/// The transforms of one tile size, applied to rows and columns alike.
#[derive(Clone, Copy, Debug)]
pub struct Matrices {
    /// From m + 2 pixels to frequencies.
    pub input: &'static [Row],
    /// From 3 weights to frequencies.
    pub kernel: &'static [Row],
    /// From frequencies to m outputs.
    pub output: &'static [Row],
}

/// The tile size m.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outputs {
    /// F(2x2, 3x3): 2.25 times fewer products.
    Two,
    /// F(4x4, 3x3): 4 times fewer.
    Four,
}

const fn row(numerators: &'static [i32], denominator: i32) -> Row {
    Row {
        numerators,
        denominator,
    }
}

/// Interpolation at 0, 1, -1 and infinity.
const TWO: Matrices = Matrices {
    input: &[
        row(&[1, 0, -1, 0], 1),
        row(&[0, 1, 1, 0], 1),
        row(&[0, -1, 1, 0], 1),
        row(&[0, 1, 0, -1], 1),
    ],
    kernel: &[
        row(&[1, 0, 0], 1),
        row(&[1, 1, 1], 2),
        row(&[1, -1, 1], 2),
        row(&[0, 0, 1], 1),
    ],
    output: &[row(&[1, 1, 1, 0], 1), row(&[0, 1, -1, -1], 1)],
};

/// Interpolation at 0, 1, -1, 2, -2 and infinity.
const FOUR: Matrices = Matrices {
    input: &[
        row(&[4, 0, -5, 0, 1, 0], 1),
        row(&[0, -4, -4, 1, 1, 0], 1),
        row(&[0, 4, -4, -1, 1, 0], 1),
        row(&[0, -2, -1, 2, 1, 0], 1),
        row(&[0, 2, -1, -2, 1, 0], 1),
        row(&[0, 4, 0, -5, 0, 1], 1),
    ],
    kernel: &[
        row(&[1, 0, 0], 4),
        row(&[-1, -1, -1], 6),
        row(&[-1, 1, -1], 6),
        row(&[1, 2, 4], 24),
        row(&[1, -2, 4], 24),
        row(&[0, 0, 1], 1),
    ],
    output: &[
        row(&[1, 1, 1, 1, 1, 0], 1),
        row(&[0, 1, -1, 2, -2, 0], 1),
        row(&[0, 1, 1, 4, 4, 0], 1),
        row(&[0, 1, -1, 8, -8, 1], 1),
    ],
};

impl Outputs {
    /// m.
    pub fn count(self) -> usize {
        self.matrices().output.len()
    }

    /// The transforms.
    pub fn matrices(self) -> &'static Matrices {
        match self {
            Outputs::Two => &TWO,
            Outputs::Four => &FOUR,
        }
    }

    /// Roundings on the way of one term through the three transforms, along rows and columns: sums,
    /// products with numbers that are no powers of two, and the rounding of such a number itself.
    pub fn roundings(self) -> usize {
        let exact = |n: i32| n == 0 || n.unsigned_abs().is_power_of_two();
        let of_row = |row: &Row| {
            let terms = row.numerators.iter().filter(|&&n| n != 0).count();
            let product = usize::from(!row.numerators.iter().all(|&n| exact(n)));
            let quotient = if exact(row.denominator) { 0 } else { 2 };
            terms - 1 + product + quotient
        };
        let of = |rows: &[Row]| rows.iter().map(of_row).max().unwrap_or(0);
        let Matrices {
            input,
            kernel,
            output,
        } = self.matrices();
        2 * (of(input) + of(kernel) + of(output))
    }
}

/// Rows applied to the columns and to the rows of a square matrix given by its elements; with
/// `sizes`, the numerators' magnitudes.
fn transform(rows: &[Row], element: impl Fn(usize, usize) -> f64, sizes: bool) -> Vec<Vec<f64>> {
    let entry = |row: &Row, k: usize| {
        let entry = f64::from(row.numerators[k]) / f64::from(row.denominator);
        if sizes { entry.abs() } else { entry }
    };
    let from = rows[0].numerators.len();
    let apply = |row: &Row, of: &dyn Fn(usize) -> f64| -> f64 {
        (0..from).map(|k| entry(row, k) * of(k)).sum()
    };
    let half: Vec<Vec<f64>> = (rows.iter())
        .map(|row| (0..from).map(|j| apply(row, &|k| element(k, j))).collect())
        .collect();
    (half.iter())
        .map(|line| rows.iter().map(|row| apply(row, &|k| line[k])).collect())
        .collect()
}

/// The cross-correlation of `x`, of shape `xs` = `N I H W`, with `w`, of shape `ws` = `O I 3 3`, with
/// the first tap of output 0 at image row and column `origin`; the result has the shape `ys`, and
/// its magnitudes are those of the terms of this algorithm.
pub fn forward(
    (x, xs): (&[f64], Shape),
    (w, ws): (&[f64], Shape),
    padding: Padding,
    origin: [isize; 2],
    ys: Shape,
    outputs: Outputs,
) -> Twin {
    assert_len(x, xs);
    assert_len(w, ws);
    let m = outputs.count();
    let matrices = outputs.matrices();
    let size = m + 2;
    let mut y = Twin::zeros(ys.elements());
    for o in 0..ys.c() {
        let kernels: Vec<[Vec<Vec<f64>>; 2]> = (0..xs.c())
            .map(|i| {
                let g = |r: usize, c: usize| w[offset(ws, [o, i, r, c])];
                [
                    transform(matrices.kernel, g, false),
                    transform(matrices.kernel, |r, c| g(r, c).abs(), true),
                ]
            })
            .collect();
        for n in 0..ys.n() {
            for top in (0..ys.h()).step_by(m) {
                for left in (0..ys.w()).step_by(m) {
                    let mut product = vec![vec![0.0; size]; size];
                    let mut sizes = product.clone();
                    for (i, kernel) in kernels.iter().enumerate() {
                        let pixel = |r: usize, c: usize| {
                            let place = |first: usize, k: usize, origin: isize, extent| {
                                padding.resolve((first + k) as isize + origin, extent)
                            };
                            let row = place(top, r, origin[0], xs.h());
                            let column = place(left, c, origin[1], xs.w());
                            (row.zip(column)).map_or(0.0, |(r, c)| x[offset(xs, [n, i, r, c])])
                        };
                        let image = transform(matrices.input, pixel, false);
                        let image_sizes = transform(matrices.input, |r, c| pixel(r, c).abs(), true);
                        for f in 0..size {
                            for g in 0..size {
                                product[f][g] += kernel[0][f][g] * image[f][g];
                                sizes[f][g] += kernel[1][f][g] * image_sizes[f][g];
                            }
                        }
                    }
                    let value = transform(matrices.output, |r, c| product[r][c], false);
                    let magnitude = transform(matrices.output, |r, c| sizes[r][c], true);
                    for r in 0..m.min(ys.h() - top) {
                        for c in 0..m.min(ys.w() - left) {
                            let at = offset(ys, [n, o, top + r, left + c]);
                            y.value[at] = value[r][c];
                            y.magnitude[at] = magnitude[r][c];
                        }
                    }
                }
            }
        }
    }
    y
}

/// The transpose of [`forward`] at the origin (-1, -1), in `x` of shape `xs`, applied to `dy` of shape
/// `dys`: the algorithm with the kernel transposed and turned. For paddings that repeat pixels it goes
/// over the padded domain, with `border` columns on either side, and the domain is folded back onto
/// the image.
pub fn input_gradient(
    dy: (&[f64], Shape),
    (w, ws): (&[f64], Shape),
    xs: Shape,
    (padding, border): (Padding, usize),
    outputs: Outputs,
) -> Twin {
    assert_len(w, ws);
    let turned = Shape::new(ws.c(), ws.n(), 3, 3);
    let mut kernel = vec![0.0; w.len()];
    for (at, value) in w.iter().enumerate() {
        let (o, i, tap) = (at / (9 * ws.c()), at / 9 % ws.c(), at % 9);
        kernel[(i * ws.n() + o) * 9 + 8 - tap] = *value;
    }
    let borders = match padding {
        Padding::Zero => [0, 0],
        _ => [1, border],
    };
    let [rows, columns] = [xs.h() + 2 * borders[0], xs.w() + 2 * borders[1]];
    let domain = xs.with(2, rows).with(3, columns);
    let origin = borders.map(|b| -1 - b as isize);
    let kernel = (&kernel[..], turned);
    let unfolded = forward(dy, kernel, Padding::Zero, origin, domain, outputs);
    let mut dx = Twin::zeros(xs.elements());
    for at in 0..domain.elements() {
        let (plane, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
        let place = |k: usize, border: usize, extent: usize| {
            let place = k as isize - border as isize;
            // Beyond the window's reach the domain holds zeros.
            let reached = place >= -1 && place <= extent as isize;
            padding.resolve(place, extent).filter(|_| reached)
        };
        let (row, column) = (
            place(row, borders[0], xs.h()),
            place(column, borders[1], xs.w()),
        );
        if let Some((row, column)) = row.zip(column) {
            let to = (plane * xs.h() + row) * xs.w() + column;
            dx.value[to] += unfolded.value[at];
            dx.magnitude[to] += unfolded.magnitude[at];
        }
    }
    dx
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::conv2d;
    use crate::reference::testing::{assert_close, noise};
    use crate::shape::Window;

    #[test]
    fn it_is_the_convolution_with_larger_terms() {
        for xs in [
            Shape::new(2, 3, 9, 6),
            Shape::new(1, 1, 1, 1),
            Shape::new(1, 2, 4, 5),
        ] {
            for padding in Padding::ALL {
                let ws = Shape::new(2, xs.c(), 3, 3);
                let (x, w) = (noise(1, xs.elements()), noise(2, ws.elements()));
                let window = Window::same(3, padding);
                let direct = conv2d::forward(&x, xs, &w, ws, window);
                let ys = window.output(xs, 2);
                let dy = noise(3, ys.elements());
                let transposed = conv2d::input_gradient(&dy, ys, &w, ws, xs, window);
                for outputs in [Outputs::Two, Outputs::Four] {
                    let image = (&x[..], xs);
                    let y = forward(image, (&w, ws), padding, [-1, -1], ys, outputs);
                    assert_close(&y.value, &direct.value, 1e-12);
                    let (gradient, kernel) = ((&dy[..], ys), (&w[..], ws));
                    let domain = (padding, 4);
                    let dx = input_gradient(gradient, kernel, xs, domain, outputs);
                    assert_close(&dx.value, &transposed.value, 1e-12);
                    let pairs = y.magnitude.iter().zip(&direct.magnitude);
                    let pairs = pairs.chain(dx.magnitude.iter().zip(&transposed.magnitude));
                    for (found, least) in pairs {
                        assert!(*found >= *least * (1.0 - 1e-12));
                    }
                }
            }
        }
    }

    #[test]
    fn roundings_are_those_of_the_longest_rows() {
        // One sum; two sums, halved exactly; two sums. Twice.
        assert_eq!(Outputs::Two.roundings(), 2 * (1 + 2 + 2));
        // Two sums and 5 x or three sums; two sums and a division; four sums.
        assert_eq!(Outputs::Four.roundings(), 2 * (3 + 4 + 4));
    }
}
