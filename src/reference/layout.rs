//! Rearrangements: every output element is one input element, or zero.

use super::{assert_len, indices, offset};
use crate::shape::{GridSymmetry, Shape};

/// Permutes the axes: axis `k` of the result is axis `axes[k]` of `x`, as in NumPy.
pub fn transpose(x: &[f64], xs: Shape, axes: [usize; 4]) -> Vec<f64> {
    assert_len(x, xs);
    let out = Shape(axes.map(|axis| xs.0[axis]));
    let read = |index: [usize; 4]| {
        let mut source = [0; 4];
        for k in 0..4 {
            source[axes[k]] = index[k];
        }
        x[offset(xs, source)]
    };
    indices(out).map(read).collect()
}

/// The part `start..start + len` of `x` along `axis`.
pub fn slice(x: &[f64], xs: Shape, axis: usize, start: usize, len: usize) -> Vec<f64> {
    assert_len(x, xs);
    assert!(start + len <= xs.0[axis]);
    let read = |mut index: [usize; 4]| {
        index[axis] += start;
        x[offset(xs, index)]
    };
    indices(xs.with(axis, len)).map(read).collect()
}

/// Repeats `x` of shape `xs` along every axis in which its extent is 1 and that of `out` is not.
pub fn broadcast(x: &[f64], xs: Shape, out: Shape) -> Vec<f64> {
    assert_len(x, xs);
    let read = |index: [usize; 4]| {
        let source = std::array::from_fn(|axis| if xs.0[axis] == 1 { 0 } else { index[axis] });
        x[offset(xs, source)]
    };
    indices(out).map(read).collect()
}

/// Embeds `x` into zeros along `axis`: `before` zeros come first, and the result has extent
/// `total`. The transpose of [`slice()`] from `before`.
pub fn pad(x: &[f64], xs: Shape, axis: usize, before: usize, total: usize) -> Vec<f64> {
    assert_len(x, xs);
    assert!(before + xs.0[axis] <= total);
    let read = |mut index: [usize; 4]| match index[axis].checked_sub(before) {
        Some(inside) if inside < xs.0[axis] => {
            index[axis] = inside;
            x[offset(xs, index)]
        }
        _ => 0.0,
    };
    indices(xs.with(axis, total)).map(read).collect()
}

/// Joins arrays along `axis`, in order; the other extents are equal. No parts give an empty array.
pub fn concat(parts: &[(&[f64], Shape)], axis: usize) -> Vec<f64> {
    let Some(&(_, first)) = parts.first() else {
        return Vec::new();
    };
    let total = parts.iter().map(|(_, shape)| shape.0[axis]).sum();
    let out = first.with(axis, total);
    let mut joined = vec![0.0; out.elements()];
    let mut start = 0;
    for &(part, shape) in parts {
        assert_len(part, shape);
        let extent = shape.0[axis];
        assert_eq!(shape.with(axis, total), out, "parts along axis {axis}");
        for mut index in indices(shape) {
            let element = part[offset(shape, index)];
            index[axis] += start;
            joined[offset(out, index)] = element;
        }
        start += extent;
    }
    joined
}

/// Acts on the image plane with a symmetry of the square: `(T_g f)(x) = f(R^-1 x)`, an exact
/// permutation. The result has the shape `symmetry.output(xs)`; the transpose is the action of
/// the inverse.
pub fn grid_symmetry(x: &[f64], xs: Shape, symmetry: GridSymmetry) -> Vec<f64> {
    assert_len(x, xs);
    let out = symmetry.output(xs);
    let read = |[n, c, row, col]: [usize; 4]| {
        let (source_row, source_col) = symmetry.source(row, col, out.h(), out.w());
        x[offset(xs, [n, c, source_row, source_col])]
    };
    indices(out).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::{assert_adjoint, noise};

    /// 0, 1, 2, ...
    fn counting(shape: Shape) -> Vec<f64> {
        (0..shape.elements()).map(|i| i as f64).collect()
    }

    #[test]
    fn transpose_moves_axes_as_numpy_does() {
        // np.arange(6).reshape(1, 1, 2, 3).transpose(0, 3, 1, 2)
        let turned = transpose(
            &counting(Shape::new(1, 1, 2, 3)),
            Shape::new(1, 1, 2, 3),
            [0, 3, 1, 2],
        );
        assert_eq!(turned, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        // A cyclic permutation is not its own inverse; its inverse undoes it.
        let xs = Shape::new(2, 3, 4, 5);
        let x = noise(1, xs.elements());
        let once = transpose(&x, xs, [1, 2, 3, 0]);
        assert_eq!(transpose(&once, Shape::new(3, 4, 5, 2), [3, 0, 1, 2]), x);
    }

    #[test]
    fn slices_and_pads_by_hand() {
        let xs = Shape::new(1, 2, 3, 2);
        let x = counting(xs);
        assert_eq!(slice(&x, xs, 2, 1, 1), [2.0, 3.0, 8.0, 9.0]);
        assert_eq!(slice(&x, xs, 1, 1, 1), x[6..]);
        let padded = pad(&[1.0, 2.0], Shape::vector(2), 3, 1, 4);
        assert_eq!(padded, [0.0, 1.0, 2.0, 0.0]);
        let rows = pad(&[1.0, 2.0], Shape::vector(2), 2, 1, 2);
        assert_eq!(rows, [0.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn pad_is_the_transpose_of_slice() {
        let xs = Shape::new(3, 4, 5, 6);
        for axis in 0..4 {
            let part = xs.with(axis, 2);
            let (x, y) = (noise(1, xs.elements()), noise(2, part.elements()));
            let sliced = slice(&x, xs, axis, 1, 2);
            let padded = pad(&y, part, axis, 1, xs.0[axis]);
            assert_adjoint(&sliced, &y, &x, &padded);
        }
    }

    #[test]
    fn concat_undoes_slicing() {
        let xs = Shape::new(3, 4, 5, 6);
        let x = noise(1, xs.elements());
        for axis in 0..4 {
            let rest = xs.0[axis] - 1;
            let (first, second) = (slice(&x, xs, axis, 0, 1), slice(&x, xs, axis, 1, rest));
            let parts = [
                (&first[..], xs.with(axis, 1)),
                (&second[..], xs.with(axis, rest)),
            ];
            assert_eq!(concat(&parts, axis), x);
        }
        assert_eq!(concat(&[], 0), Vec::<f64>::new());
    }

    #[test]
    fn turns_and_flips_by_hand() {
        // 1 2 3      3 6      3 2 1
        // 4 5 6  ->  2 5  and 6 5 4
        //            1 4
        let (x, xs) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Shape::new(1, 1, 2, 3));
        let act = |turns, flip| grid_symmetry(&x, xs, GridSymmetry::new(turns, flip));
        assert_eq!(act(1, false), [3.0, 6.0, 2.0, 5.0, 1.0, 4.0]);
        assert_eq!(act(2, false), [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
        assert_eq!(act(3, false), [4.0, 1.0, 5.0, 2.0, 6.0, 3.0]);
        assert_eq!(act(0, true), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        // Mirrored, then turned.
        assert_eq!(act(1, true), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn the_action_is_a_homomorphism_and_orthogonal() {
        let xs = Shape::new(2, 3, 4, 5);
        let x = noise(1, xs.elements());
        for g in GridSymmetry::ALL {
            for h in GridSymmetry::ALL {
                let inner = grid_symmetry(&x, xs, h);
                let twice = grid_symmetry(&inner, h.output(xs), g);
                assert_eq!(twice, grid_symmetry(&x, xs, g.compose(h)), "{g:?} {h:?}");
            }
            let y = noise(2, xs.elements());
            let turned = grid_symmetry(&x, xs, g);
            let back = grid_symmetry(&y, g.output(xs), g.inverse());
            assert_adjoint(&turned, &y, &x, &back);
        }
    }
}
