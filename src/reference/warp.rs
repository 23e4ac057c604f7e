//! Images moved by affine maps, and the transpose.

use super::{Twin, assert_len, offset};
use crate::shape::{Maps, Shape};

/// Moves image `n` by the map `n` of `maps` (an array of [`Maps`]): `(T f)(x) = f(M^-1 (x - o))` on
/// the same grid, interpolated bilinearly, with zeros outside the image.
///
/// `x` and the result have shape `xs` = `N C H W`.
pub fn forward(x: &[f64], xs: Shape, maps: &[f64]) -> Twin {
    assert_len(x, xs);
    let mut moved = Twin::zeros(xs.elements());
    for_each_weight(xs, maps, |input, output, weight| {
        moved.add(output, weight * x[input]);
    });
    moved
}

/// The transpose of [`forward`], with the same weights. Not the motion by the inverse map, which has
/// other interpolation weights.
pub fn adjoint(y: &[f64], ys: Shape, maps: &[f64]) -> Twin {
    assert_len(y, ys);
    let mut back = Twin::zeros(ys.elements());
    for_each_weight(ys, maps, |input, output, weight| {
        back.add(input, weight * y[output]);
    });
    back
}

/// Calls `visit(input, output, weight)` for the up to four input pixels that each output pixel
/// reads, output after output; a weight may be zero.
pub fn for_each_weight(shape: Shape, maps: &[f64], mut visit: impl FnMut(usize, usize, f64)) {
    let Shape([batch, channels, height, width]) = shape;
    assert_len(maps, Maps::shape(batch));
    let (centre_row, centre_col) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
    for (n, map) in maps.chunks_exact(Maps::LEN).enumerate() {
        for row in 0..height {
            for col in 0..width {
                let place = [col as f64 - centre_col, row as f64 - centre_row];
                let [source_col, source_row] = Maps::source(map, place);
                for (r, row_share) in neighbours(source_row + centre_row, height) {
                    for (c, col_share) in neighbours(source_col + centre_col, width) {
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
    use crate::shape::{Affine, GridSymmetry};
    use std::f64::consts::FRAC_PI_2;

    fn maps(affines: &[Affine]) -> Vec<f64> {
        let maps = Maps::of(affines).expect("invertible");
        maps.into_iter().map(f64::from).collect()
    }

    #[test]
    fn quarter_turns_equal_the_grid_symmetry() {
        for size in [7, 8] {
            let xs = Shape::new(1, 2, size, size);
            let x = noise(1, xs.elements());
            for turns in -1i8..=5 {
                let turn = Affine::rotation(FRAC_PI_2 * f64::from(turns));
                for flip in [false, true] {
                    let map = match flip {
                        true => turn.compose(Affine::mirror()),
                        false => turn,
                    };
                    let symmetry = GridSymmetry::new(turns.rem_euclid(4) as u8, flip);
                    let expected = layout::grid_symmetry(&x, xs, symmetry);
                    assert_eq!(forward(&x, xs, &maps(&[map])).value, expected);
                }
            }
        }
    }

    #[test]
    fn shifts_go_right_and_up() {
        let xs = Shape::new(1, 1, 3, 4);
        let x: Vec<f64> = (1..=12).map(f64::from).collect();
        let moved = |dx, dy| forward(&x, xs, &maps(&[Affine::shift(dx, dy)])).value;
        let right = [0.0, 1.0, 2.0, 3.0, 0.0, 5.0, 6.0, 7.0, 0.0, 9.0, 10.0, 11.0];
        assert_eq!(moved(1.0, 0.0), right);
        let up = [
            5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 0.0, 0.0, 0.0, 0.0,
        ];
        assert_eq!(moved(0.0, 1.0), up);
        // Half of each neighbour, and of nothing at the left border.
        assert_eq!(moved(0.5, 0.0)[..4], [0.5, 1.5, 2.5, 3.5]);
    }

    #[test]
    fn a_linear_image_moves_exactly_inside() {
        // f(x, y) = 2 x - 3 y + 1 is reproduced by bilinear interpolation.
        let xs = Shape::new(1, 1, 20, 31);
        let f = |[x, y]: [f64; 2]| 2.0 * x - 3.0 * y + 1.0;
        let at = |i: usize| [(i % 31) as f64 - 15.0, 9.5 - (i / 31) as f64];
        let image: Vec<f64> = (0..620).map(|i| f(at(i))).collect();
        for map in [
            Affine::rotation(0.4),
            Affine::shift(1.3, -0.8).compose(Affine::shear(0.3)),
            Affine::rotation(-2.0).compose(Affine::scaling(1.7, 0.6)),
        ] {
            let moved = forward(&image, xs, &maps(&[map])).value;
            let inverse = map.inverse().expect("invertible");
            let mut inside = 0;
            for (i, &value) in moved.iter().enumerate() {
                let [x, y] = inverse.apply(at(i));
                if x.abs() < 14.999 && y.abs() < 9.499 {
                    inside += 1;
                    assert_close(&[value], &[f([x, y])], 1e-8);
                } else if x.abs() > 16.001 || y.abs() > 10.501 {
                    assert_eq!(value, 0.0);
                }
            }
            assert!((200..600).contains(&inside), "{inside}");
        }
    }

    #[test]
    fn each_image_has_its_own_map() {
        let xs = Shape::new(2, 1, 5, 5);
        let x = noise(1, 50);
        let turn = Affine::rotation(1.0);
        let both = forward(&x, xs, &maps(&[Affine::IDENTITY, turn])).value;
        let one = Shape::new(1, 1, 5, 5);
        assert_eq!(both[..25], x[..25]);
        assert_eq!(both[25..], forward(&x[25..], one, &maps(&[turn])).value);
    }

    #[test]
    fn the_adjoint_is_the_transpose() {
        let xs = Shape::new(3, 2, 9, 6);
        let maps = maps(&[
            Affine::rotation(0.3),
            Affine::shift(1.7, 0.4).compose(Affine::scaling(0.4, 2.5)),
            Affine::shear(-0.8).compose(Affine::mirror()),
        ]);
        let (x, y) = (noise(1, xs.elements()), noise(2, xs.elements()));
        let ax = forward(&x, xs, &maps).value;
        let aty = adjoint(&y, xs, &maps).value;
        assert_adjoint(&ax, &y, &x, &aty);
        let matrix = columns(xs.elements(), |x| forward(x, xs, &maps).value);
        let expected: Vec<f64> = matrix.iter().map(|column| dot(column, &y)).collect();
        assert_close(&aty, &expected, 1e-13);
    }
}
