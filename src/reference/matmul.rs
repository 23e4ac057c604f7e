//! Batched matrix products.

use super::{Twin, assert_len, indices, offset};
use crate::shape::Shape;

/// `C[n,c] = op(A[n,c]) op(B[n,c])`, where the last two axes are rows and columns, `op` transposes
/// if `transpose_a` (`transpose_b`), and along the first two axes an extent of 1 broadcasts.
///
/// The result has shape `N C rows(op(A)) columns(op(B))`.
pub fn forward(
    a: &[f64],
    a_shape: Shape,
    b: &[f64],
    b_shape: Shape,
    transpose_a: bool,
    transpose_b: bool,
) -> Twin {
    assert_len(a, a_shape);
    assert_len(b, b_shape);
    let (rows, inner) = extents(a_shape, transpose_a);
    let (inner_b, columns) = extents(b_shape, transpose_b);
    assert_eq!(inner, inner_b, "{a_shape} times {b_shape}");
    let extent = |axis: usize| match (a_shape.0[axis], b_shape.0[axis]) {
        (1, extent) | (extent, 1) => extent,
        (extent, other) => {
            assert_eq!(extent, other, "{a_shape} times {b_shape}");
            extent
        }
    };
    let shape = Shape::new(extent(0), extent(1), rows, columns);
    let mut product = Twin::zeros(shape.elements());
    for [n, c, row, column] in indices(shape) {
        for k in 0..inner {
            let left = a[entry(a_shape, transpose_a, [n, c, row, k])];
            let right = b[entry(b_shape, transpose_b, [n, c, k, column])];
            product.add(offset(shape, [n, c, row, column]), left * right);
        }
    }
    product
}

/// Rows and columns of `op(matrix)`.
fn extents(shape: Shape, transpose: bool) -> (usize, usize) {
    if transpose {
        (shape.w(), shape.h())
    } else {
        (shape.h(), shape.w())
    }
}

/// The position of an entry of `op(matrix)`, with broadcasting along the first two axes.
fn entry(shape: Shape, transpose: bool, [n, c, row, column]: [usize; 4]) -> usize {
    let (row, column) = if transpose {
        (column, row)
    } else {
        (row, column)
    };
    let clamp = |index: usize, extent: usize| if extent == 1 { 0 } else { index };
    offset(
        shape,
        [clamp(n, shape.n()), clamp(c, shape.c()), row, column],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::layout;
    use crate::reference::testing::{assert_adjoint, noise};

    #[test]
    fn product_by_hand() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2x3
        let b = [1.0, 0.0, -1.0, 2.0, 3.0, 1.0]; // 3x2
        let (a_shape, b_shape) = (Shape::new(1, 1, 2, 3), Shape::new(1, 1, 3, 2));
        let c = forward(&a, a_shape, &b, b_shape, false, false);
        assert_eq!(c.value, [8.0, 7.0, 17.0, 16.0]);
        assert_eq!(c.magnitude, [12.0, 7.0, 27.0, 16.0]);
    }

    #[test]
    fn flags_equal_explicit_transposes() {
        let swap = [0, 1, 3, 2];
        let (a_shape, b_shape) = (Shape::new(2, 3, 4, 5), Shape::new(2, 3, 5, 6));
        let (a, b) = (noise(1, a_shape.elements()), noise(2, b_shape.elements()));
        let expected = forward(&a, a_shape, &b, b_shape, false, false);
        let a_turned = layout::transpose(&a, a_shape, swap);
        let b_turned = layout::transpose(&b, b_shape, swap);
        let (at_shape, bt_shape) = (Shape::new(2, 3, 5, 4), Shape::new(2, 3, 6, 5));
        for (left, left_shape, ta) in [(&a, a_shape, false), (&a_turned, at_shape, true)] {
            for (right, right_shape, tb) in [(&b, b_shape, false), (&b_turned, bt_shape, true)] {
                let actual = forward(left, left_shape, right, right_shape, ta, tb);
                assert_eq!(actual, expected);
            }
        }
    }

    #[test]
    fn an_extent_of_one_broadcasts_on_either_side() {
        let (a_shape, b_shape) = (Shape::new(2, 1, 3, 4), Shape::new(1, 3, 4, 2));
        let (a, b) = (noise(1, a_shape.elements()), noise(2, b_shape.elements()));
        let c = forward(&a, a_shape, &b, b_shape, false, false).value;
        for n in 0..2 {
            for channel in 0..3 {
                let left = layout::slice(&a, a_shape, 0, n, 1);
                let right = layout::slice(&b, b_shape, 1, channel, 1);
                let (one_a, one_b) = (Shape::new(1, 1, 3, 4), Shape::new(1, 1, 4, 2));
                let expected = forward(&left, one_a, &right, one_b, false, false).value;
                assert_eq!(c[(n * 3 + channel) * 6..][..6], expected);
            }
        }
    }

    #[test]
    fn gradients_are_products_with_transposes() {
        let (a_shape, b_shape) = (Shape::new(2, 2, 3, 4), Shape::new(2, 2, 4, 5));
        let c_shape = Shape::new(2, 2, 3, 5);
        let (a, b) = (noise(1, a_shape.elements()), noise(2, b_shape.elements()));
        let dc = noise(3, c_shape.elements());
        let c = forward(&a, a_shape, &b, b_shape, false, false).value;
        let da = forward(&dc, c_shape, &b, b_shape, false, true).value;
        let db = forward(&a, a_shape, &dc, c_shape, true, false).value;
        assert_adjoint(&c, &dc, &a, &da);
        assert_adjoint(&c, &dc, &b, &db);
    }
}
