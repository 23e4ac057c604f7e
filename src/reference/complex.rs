//! Products of complex values, whose real and imaginary parts are pairs of channels.

use super::{Twin, assert_len, indices, offset};
use crate::shape::Shape;

/// `a b`, or `a` times the conjugate of `b`: the extents broadcast, channels as pairs.
pub fn multiply(a: &[f64], a_shape: Shape, b: &[f64], b_shape: Shape, conjugate: bool) -> Twin {
    assert_len(a, a_shape);
    assert_len(b, b_shape);
    let pairs = |s: Shape| s.complex().expect("channels are pairs");
    let (a_pairs, b_pairs) = (pairs(a_shape), pairs(b_shape));
    let out_pairs = a_pairs.broadcast(b_pairs).expect("shapes broadcast");
    let out = out_pairs.with(1, 2 * out_pairs.c());
    let sign = if conjugate { -1.0 } else { 1.0 };
    // Real and imaginary part of the pair that `index` reads.
    let pair = |x: &[f64], shape: Shape, pairs: Shape, index: [usize; 4]| {
        let mut at: [usize; 4] = std::array::from_fn(|axis| match pairs.0[axis] {
            1 => 0,
            _ => index[axis],
        });
        at[1] *= 2;
        let re = offset(shape, at);
        (x[re], x[re + shape.h() * shape.w()])
    };
    let mut product = Twin::zeros(out.elements());
    for index in indices(out_pairs) {
        let (ar, ai) = pair(a, a_shape, a_pairs, index);
        let (br, bi) = pair(b, b_shape, b_pairs, index);
        let bi = sign * bi;
        let re = offset(out, [index[0], 2 * index[1], index[2], index[3]]);
        let im = re + out.h() * out.w();
        product.add(re, ar * br);
        product.add(re, -ai * bi);
        product.add(im, ar * bi);
        product.add(im, ai * br);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_by_hand() {
        let shape = Shape::new(1, 2, 1, 1);
        let product = |conjugate| multiply(&[1.0, 2.0], shape, &[3.0, -5.0], shape, conjugate);
        assert_eq!(product(false).value, [13.0, 1.0]);
        assert_eq!(product(true).value, [-7.0, 11.0]);
        assert_eq!(product(true).magnitude, [13.0, 11.0]);
    }

    #[test]
    fn one_pair_meets_every_pair() {
        let (a, b) = (Shape::new(2, 2, 1, 2), Shape::new(1, 4, 1, 1));
        // Planes of two pixels: item 0 is 1 and i, item 1 is 2 and 0; the factors are i and 3.
        let a_values = [1.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0];
        let product = multiply(&a_values, a, &[0.0, 1.0, 3.0, 0.0], b, false).value;
        let expected = [
            [0.0, -1.0, 1.0, 0.0, 3.0, 0.0, 0.0, 3.0],
            [0.0, 0.0, 2.0, 0.0, 6.0, 0.0, 0.0, 0.0],
        ];
        assert_eq!(product, expected.concat());
    }
}
