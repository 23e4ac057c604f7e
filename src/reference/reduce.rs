//! Sums and maxima over axes.

use super::{Twin, assert_len, indices, offset};
use crate::shape::Shape;

/// Sums `x` of shape `xs` over every axis along which `out` has extent 1; along the other axes the
/// extents are equal. The transpose of broadcasting `out` to `xs`.
pub fn sum(x: &[f64], xs: Shape, out: Shape) -> Twin {
    assert_len(x, xs);
    for axis in 0..4 {
        let kept = out.0[axis] == xs.0[axis];
        assert!(kept || out.0[axis] == 1, "{xs} summed to {out}");
    }
    let mut sums = Twin::zeros(out.elements());
    for index in indices(xs) {
        let target = std::array::from_fn(|axis| if out.0[axis] == 1 { 0 } else { index[axis] });
        sums.add(offset(out, target), x[offset(xs, index)]);
    }
    sums
}

/// The maximum of `x` over every axis along which `out` has extent 1.
pub fn max(x: &[f64], xs: Shape, out: Shape) -> Vec<f64> {
    assert_len(x, xs);
    let mut maxima = vec![f64::NEG_INFINITY; out.elements()];
    for index in indices(xs) {
        let target = std::array::from_fn(|axis| if out.0[axis] == 1 { 0 } else { index[axis] });
        let target = offset(out, target);
        maxima[target] = maxima[target].max(x[offset(xs, index)]);
    }
    maxima
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_axis_is_summed_where_the_output_has_extent_one() {
        // x[n,c,h,w] = 1000 n + 100 c + 10 h + w on 2x2x2x3.
        let xs = Shape::new(2, 2, 2, 3);
        let x: Vec<f64> = indices(xs)
            .map(|[n, c, h, w]| (1000 * n + 100 * c + 10 * h + w) as f64)
            .collect();
        assert_eq!(sum(&x, xs, xs).value, x);
        assert_eq!(
            sum(&x, xs, Shape::SCALAR).value,
            [24.0 * (500.0 + 50.0 + 5.0 + 1.0)]
        );
        let per_channel = sum(&x, xs, Shape::new(1, 2, 1, 1)).value;
        assert_eq!(per_channel, [12.0 * 506.0, 12.0 * 606.0]);
        let per_column = sum(&x, xs, Shape::vector(3)).value;
        assert_eq!(per_column, [8.0 * 555.0, 8.0 * 556.0, 8.0 * 557.0]);
        let over_columns = sum(&x, xs, xs.with(3, 1)).value;
        assert_eq!(over_columns[..2], [3.0, 33.0]);
    }

    #[test]
    fn magnitude_sums_absolute_values() {
        let sums = sum(&[1.0, -3.0], Shape::vector(2), Shape::SCALAR);
        assert_eq!((sums.value[0], sums.magnitude[0]), (-2.0, 4.0));
    }
}
