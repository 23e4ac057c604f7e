//! Convolution (cross-correlation) with a square window, and its two transposes.

use super::{Twin, assert_len, offset};
use crate::shape::{Shape, Window};

/// `y[n,o,r,c] = sum over i, dr, dc of w[o,i,dr,dc] * x[n, i, r*stride + dr - k/2, c*stride + dc -
/// k/2]`, with `x` continued outside as the window's padding says.
///
/// `x` has shape `xs` = `N I H W`, `w` has shape `ws` = `O I k k`; the result has the shape
/// `window.output(xs, O)`.
pub fn forward(x: &[f64], xs: Shape, w: &[f64], ws: Shape, window: Window) -> Twin {
    assert_len(x, xs);
    assert_len(w, ws);
    let mut y = Twin::zeros(window.output(xs, ws.n()).elements());
    for_each_product(xs, ws, window, |input, weight, output| {
        y.add(output, w[weight] * x[input]);
    });
    y
}

/// The transpose of [`forward`] in `x`, applied to `dy` of shape `dys`: what fell on a padded
/// position is added to the pixel that was read there (replicate collects at the border, circular
/// wraps, zero drops it). The result has the shape `xs`.
pub fn input_gradient(
    dy: &[f64],
    dys: Shape,
    w: &[f64],
    ws: Shape,
    xs: Shape,
    window: Window,
) -> Twin {
    assert_eq!(dys, window.output(xs, ws.n()));
    assert_len(dy, dys);
    assert_len(w, ws);
    let mut dx = Twin::zeros(xs.elements());
    for_each_product(xs, ws, window, |input, weight, output| {
        dx.add(input, w[weight] * dy[output]);
    });
    dx
}

/// The transpose of [`forward`] in `w`, applied to `dy` of shape `dys`. The result has the shape
/// `ws`.
pub fn weight_gradient(
    x: &[f64],
    xs: Shape,
    dy: &[f64],
    dys: Shape,
    ws: Shape,
    window: Window,
) -> Twin {
    assert_eq!(dys, window.output(xs, ws.n()));
    assert_len(x, xs);
    assert_len(dy, dys);
    let mut dw = Twin::zeros(ws.elements());
    for_each_product(xs, ws, window, |input, weight, output| {
        dw.add(weight, x[input] * dy[output]);
    });
    dw
}

/// The kernel `w` of shape `ws` = `O I k k` as a tiled convolution reads it: blocks of `block`
/// outputs one after another, in each `I k k block`, zeros beyond the last output.
pub fn pack(w: &[f64], ws: Shape, block: usize) -> Vec<f64> {
    assert_len(w, ws);
    let Shape([outputs, inputs, rows, columns]) = ws;
    let mut packed = Vec::new();
    for first in (0..outputs).step_by(block) {
        for i in 0..inputs {
            for dr in 0..rows {
                for dc in 0..columns {
                    for o in first..first + block {
                        let inside = o < outputs;
                        packed.push(if inside {
                            w[offset(ws, [o, i, dr, dc])]
                        } else {
                            0.0
                        });
                    }
                }
            }
        }
    }
    packed
}

/// Calls `visit(input, weight, output)` with the positions in `x`, `w`, `y` of every product
/// `w x` that is a term of `y`.
fn for_each_product(
    xs: Shape,
    ws: Shape,
    window: Window,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let Shape([batch, in_channels, height, width]) = xs;
    let Shape([out_channels, _, size, _]) = ws;
    assert_eq!(ws, Shape::new(out_channels, in_channels, size, size));
    assert_eq!(size, window.size);
    let ys = window.output(xs, out_channels);
    // The position along one axis that output `out` reads at tap `tap`.
    let read = |out: usize, tap: usize, extent: usize| {
        let index = (out * window.stride + tap) as isize - window.radius() as isize;
        window.padding.resolve(index, extent)
    };
    for n in 0..batch {
        for o in 0..out_channels {
            for r in 0..ys.h() {
                for c in 0..ys.w() {
                    for i in 0..in_channels {
                        for dr in 0..size {
                            for dc in 0..size {
                                let (Some(row), Some(col)) =
                                    (read(r, dr, height), read(c, dc, width))
                                else {
                                    continue;
                                };
                                visit(
                                    offset(xs, [n, i, row, col]),
                                    offset(ws, [o, i, dr, dc]),
                                    offset(ys, [n, o, r, c]),
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::{assert_adjoint, assert_close, columns, dot, noise};
    use crate::shape::Padding;

    /// Every window on an image, the last images smaller than the largest windows.
    fn cases() -> impl Iterator<Item = (Shape, Window)> {
        [[2, 3, 6, 7], [1, 2, 5, 3], [1, 1, 1, 4]]
            .into_iter()
            .flat_map(|xs| {
                [1, 3, 5, 7, 9].into_iter().flat_map(move |size| {
                    [1, 2].into_iter().flat_map(move |stride| {
                        Padding::ALL.into_iter().map(move |padding| {
                            let window = Window {
                                size,
                                stride,
                                padding,
                            };
                            (Shape(xs), window)
                        })
                    })
                })
            })
    }

    #[test]
    fn forward_equals_sums_written_out() {
        // y(r, c) = x(r-1, c) + 2 x(r, c+1), by hand on a 3x3 image.
        let x: Vec<f64> = (1..=9).map(f64::from).collect();
        let xs = Shape::new(1, 1, 3, 3);
        let w = [0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0];
        let by_hand = [
            (
                Padding::Zero,
                [4.0, 6.0, 0.0, 11.0, 14.0, 3.0, 20.0, 23.0, 6.0],
            ),
            (
                Padding::Replicate,
                [5.0, 8.0, 9.0, 11.0, 14.0, 15.0, 20.0, 23.0, 24.0],
            ),
            (
                Padding::Circular,
                [11.0, 14.0, 11.0, 11.0, 14.0, 11.0, 20.0, 23.0, 20.0],
            ),
        ];
        for (padding, expected) in by_hand {
            let window = Window::same(3, padding);
            assert_eq!(forward(&x, xs, &w, xs, window).value, expected);
            let strided = Window {
                stride: 2,
                ..window
            };
            let every_other = [expected[0], expected[2], expected[6], expected[8]];
            assert_eq!(forward(&x, xs, &w, xs, strided).value, every_other);
        }
    }

    #[test]
    fn channels_are_summed_and_kept_apart() {
        // A 1x1 window is a matrix over the channels.
        let xs = Shape::new(2, 2, 1, 2);
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let w = [1.0, 10.0, -1.0, 0.5, 0.0, 1.0];
        let y = forward(
            &x,
            xs,
            &w,
            Shape::new(3, 2, 1, 1),
            Window::same(1, Padding::Zero),
        );
        let expected = [
            31.0, 42.0, 0.5, 0.0, 3.0, 4.0, 75.0, 86.0, -1.5, -2.0, 7.0, 8.0,
        ];
        assert_eq!(y.value, expected);
        assert_eq!(y.magnitude[2], 2.5);
    }

    #[test]
    fn input_gradient_is_the_transposed_matrix() {
        for (xs, window) in cases() {
            let ws = Shape::new(2, xs.c(), window.size, window.size);
            let ys = window.output(xs, 2);
            let w = noise(1, ws.elements());
            let dy = noise(2, ys.elements());
            let dx = input_gradient(&dy, ys, &w, ws, xs, window).value;
            let matrix = columns(xs.elements(), |x| forward(x, xs, &w, ws, window).value);
            let expected: Vec<f64> = matrix.iter().map(|column| dot(column, &dy)).collect();
            assert_close(&dx, &expected, 1e-12);
        }
    }

    #[test]
    fn weight_gradient_is_the_transposed_matrix() {
        let xs = Shape::new(2, 2, 4, 5);
        for size in [1, 3, 5] {
            for padding in Padding::ALL {
                let window = Window {
                    size,
                    stride: 2,
                    padding,
                };
                let ws = Shape::new(3, 2, size, size);
                let ys = window.output(xs, 3);
                let x = noise(1, xs.elements());
                let dy = noise(2, ys.elements());
                let dw = weight_gradient(&x, xs, &dy, ys, ws, window).value;
                let matrix = columns(ws.elements(), |w| forward(&x, xs, w, ws, window).value);
                let expected: Vec<f64> = matrix.iter().map(|column| dot(column, &dy)).collect();
                assert_close(&dw, &expected, 1e-12);
            }
        }
    }

    #[test]
    fn both_adjoint_identities_hold_for_every_window() {
        for (xs, window) in cases() {
            let ws = Shape::new(4, xs.c(), window.size, window.size);
            let ys = window.output(xs, 4);
            let (x, w) = (noise(1, xs.elements()), noise(2, ws.elements()));
            let dy = noise(3, ys.elements());
            let y = forward(&x, xs, &w, ws, window).value;
            let dx = input_gradient(&dy, ys, &w, ws, xs, window).value;
            let dw = weight_gradient(&x, xs, &dy, ys, ws, window).value;
            assert_adjoint(&y, &dy, &x, &dx);
            assert_adjoint(&y, &dy, &w, &dw);
        }
    }

    #[test]
    fn packing_puts_the_outputs_of_a_block_side_by_side() {
        // Three outputs, two inputs, one tap: w = 10 o + i.
        let w = [0.0, 1.0, 10.0, 11.0, 20.0, 21.0];
        let packed = pack(&w, Shape::new(3, 2, 1, 1), 2);
        assert_eq!(packed, [0.0, 10.0, 1.0, 11.0, 20.0, 0.0, 21.0, 0.0]);
    }

    #[test]
    fn replicate_padding_folds_back_onto_the_border() {
        // Every output of a 1x2 image under an all-ones 3x3 window reads each pixel: the left
        // pixel 3 * 2 times at the left, 3 * 1 times at the right.
        let xs = Shape::new(1, 1, 1, 2);
        let ws = Shape::new(1, 1, 3, 3);
        let window = Window::same(3, Padding::Replicate);
        let dx = input_gradient(&[1.0, 10.0], xs, &[1.0; 9], ws, xs, window);
        assert_eq!(dx.value, [36.0, 63.0]);
    }
}
