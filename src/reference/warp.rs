//! Rotation of images by any angle, and its transpose.

use super::{Twin, assert_len, offset};
use crate::shape::Shape;

/// Rotates image `n` counter-clockwise (y up) by `radians[n]` about the image centre: `(T f)(x) =
/// f(R^-1 x)`, interpolated bilinearly, with zeros outside the image.
///
/// `x` has shape `xs` = `N C H W`, `radians` has `N` elements, and the result has the shape `xs`.
pub fn rotate(x: &[f64], xs: Shape, radians: &[f64]) -> Twin {
    assert_len(x, xs);
    let mut rotated = Twin::zeros(xs.elements());
    for_each_weight(xs, radians, |input, output, weight| {
        rotated.add(output, weight * x[input]);
    });
    rotated
}

/// The transpose of [`rotate`], with the same weights. Not the rotation by the opposite angle,
/// which has other interpolation weights.
pub fn rotate_adjoint(y: &[f64], ys: Shape, radians: &[f64]) -> Twin {
    assert_len(y, ys);
    let mut back = Twin::zeros(ys.elements());
    for_each_weight(ys, radians, |input, output, weight| {
        back.add(input, weight * y[output]);
    });
    back
}

/// Calls `visit(input, output, weight)` for the up to four input pixels that each output pixel
/// reads.
fn for_each_weight(shape: Shape, radians: &[f64], mut visit: impl FnMut(usize, usize, f64)) {
    let Shape([batch, channels, height, width]) = shape;
    assert_eq!(radians.len(), batch);
    let (centre_row, centre_col) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
    for (n, angle) in radians.iter().enumerate() {
        let (sin, cos) = angle.sin_cos();
        for row in 0..height {
            for col in 0..width {
                let (x, y) = (col as f64 - centre_col, centre_row - row as f64);
                let (source_x, source_y) = (cos * x + sin * y, -sin * x + cos * y);
                let (source_row, source_col) = (centre_row - source_y, centre_col + source_x);
                for (r, row_share) in neighbours(source_row, height) {
                    for (c, col_share) in neighbours(source_col, width) {
                        for channel in 0..channels {
                            visit(
                                offset(shape, [n, channel, r, c]),
                                offset(shape, [n, channel, row, col]),
                                row_share * col_share,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// The pixels on both sides of `position` that lie in `0..extent`, with their shares in the linear
/// interpolation.
fn neighbours(position: f64, extent: usize) -> impl Iterator<Item = (usize, f64)> {
    let near = position.floor();
    let fraction = position - near;
    [(near, 1.0 - fraction), (near + 1.0, fraction)]
        .into_iter()
        .filter(move |&(index, _)| (0.0..extent as f64).contains(&index))
        .map(|(index, share)| (index as usize, share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::layout;
    use crate::reference::testing::{assert_adjoint, assert_close, columns, dot, noise};
    use crate::shape::GridSymmetry;
    use std::f64::consts::FRAC_PI_2;

    #[test]
    fn quarter_turns_equal_the_grid_symmetry() {
        for size in [7, 8] {
            let xs = Shape::new(1, 2, size, size);
            let x = noise(1, xs.elements());
            for turns in -1i8..=5 {
                let rotated = rotate(&x, xs, &[FRAC_PI_2 * f64::from(turns)]).value;
                let symmetry = GridSymmetry::new(turns.rem_euclid(4) as u8, false);
                assert_close(&rotated, &layout::grid_symmetry(&x, xs, symmetry), 1e-12);
            }
        }
    }

    #[test]
    fn a_linear_image_rotates_exactly_inside() {
        // f(x, y) = 2 x - 3 y + 1 is reproduced by bilinear interpolation.
        let xs = Shape::new(1, 1, 20, 31);
        let f = |x: f64, y: f64| 2.0 * x - 3.0 * y + 1.0;
        let at = |r: usize, c: usize| (c as f64 - 15.0, 9.5 - r as f64);
        let image: Vec<f64> = (0..620)
            .map(|i| at(i / 31, i % 31))
            .map(|(x, y)| f(x, y))
            .collect();
        let angle: f64 = 0.4;
        let rotated = rotate(&image, xs, &[angle]).value;
        for r in 0..20 {
            for c in 0..31 {
                let (x, y) = at(r, c);
                if x.hypot(y) < 9.0 {
                    let expected = f(
                        angle.cos() * x + angle.sin() * y,
                        -angle.sin() * x + angle.cos() * y,
                    );
                    assert_close(&[rotated[r * 31 + c]], &[expected], 1e-12);
                }
            }
        }
        // The corner reads from outside the image.
        assert_eq!(rotated[30], 0.0);
    }

    #[test]
    fn each_image_has_its_own_angle() {
        let xs = Shape::new(2, 1, 5, 5);
        let x = noise(1, 50);
        let both = rotate(&x, xs, &[0.0, 1.0]).value;
        let one = Shape::new(1, 1, 5, 5);
        assert_close(&both[..25], &x[..25], 1e-15);
        assert_eq!(both[25..], rotate(&x[25..], one, &[1.0]).value);
    }

    #[test]
    fn rotate_adjoint_is_the_transpose() {
        let xs = Shape::new(3, 2, 9, 6);
        let radians = [0.3, -2.0, 5.5];
        let (x, y) = (noise(1, xs.elements()), noise(2, xs.elements()));
        let ax = rotate(&x, xs, &radians).value;
        let aty = rotate_adjoint(&y, xs, &radians).value;
        assert_adjoint(&ax, &y, &x, &aty);
        let matrix = columns(xs.elements(), |x| rotate(x, xs, &radians).value);
        let expected: Vec<f64> = matrix.iter().map(|column| dot(column, &y)).collect();
        assert_close(&aty, &expected, 1e-13);
    }
}
