//! Discrete Fourier transforms of any size.
//!
//! Source: J. W. Cooley and J. W. Tukey, "An algorithm for the machine calculation of complex
//! Fourier series", Mathematics of Computation 19 (1965) 297-301: a transform of `p m` points is
//! `p` transforms of `m` points and sums of `p` terms. Applied to the prime factors one after
//! another; a prime is summed as it stands.

use super::{Twin, assert_len};
use crate::shape::{Fourier, FourierDirection, FourierValues, Shape};
use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// A complex number.
pub type Complex = num_complex::Complex<f64>;

/// `exp(2 pi i k / n)`, by the sine and cosine of at most an eighth of a turn: exact at the
/// multiples of a quarter, symmetric at those of an eighth, and right to the last digit elsewhere.
pub fn root(k: usize, n: usize) -> Complex {
    let k = k % n;
    // Eighths of a turn passed, and the rest in units of 1 / 8n.
    let (eighth, rest) = (8 * k / n, 8 * k % n);
    let angle = |rest: usize| TAU * (rest as f64 / (8.0 * n as f64));
    let (sin, cos) = match eighth % 2 {
        0 => angle(rest).sin_cos(),
        1 if rest == 0 => (FRAC_1_SQRT_2, FRAC_1_SQRT_2),
        // From the next multiple of a quarter backwards.
        _ => {
            let (sin, cos) = angle(n - rest).sin_cos();
            (cos, sin)
        }
    };
    match eighth / 2 {
        0 => Complex::new(cos, sin),
        1 => Complex::new(-sin, cos),
        2 => Complex::new(-cos, -sin),
        _ => Complex::new(sin, -cos),
    }
}

/// The roots of unity of a direction: `exp(-+ 2 pi i k / n)` for `k` in `0..n`.
fn roots(n: usize, direction: FourierDirection) -> Vec<Complex> {
    let sign = |root: Complex| match direction {
        FourierDirection::Forward => root.conj(),
        FourierDirection::Inverse => root,
    };
    (0..n).map(|k| sign(root(k, n))).collect()
}

/// The sum as it stands: `y_k = sum over j of exp(-+ 2 pi i j k / n) x_j`. For small sizes.
pub fn direct(x: &[Complex], direction: FourierDirection) -> Vec<Complex> {
    let n = x.len();
    let roots = roots(n, direction);
    let term = |j: usize, k: usize| x[j] * roots[j * k % n];
    (0..n).map(|k| (0..n).map(|j| term(j, k)).sum()).collect()
}

/// The same sum by the prime factors of the size.
pub fn line(x: &[Complex], direction: FourierDirection) -> Vec<Complex> {
    let mut y = vec![Complex::default(); x.len()];
    factored(x, 1, &mut y, &roots(x.len(), direction));
    y
}

/// The smallest prime factor of `n > 1`.
fn smallest_prime(n: usize) -> usize {
    let small = (2..).take_while(|p| p * p <= n);
    small
        .into_iter()
        .find(|p| n.is_multiple_of(*p))
        .unwrap_or(n)
}

/// Transforms every `stride`-th number of `x` into `y`; `roots` are those of the whole.
fn factored(x: &[Complex], stride: usize, y: &mut [Complex], roots: &[Complex]) {
    let n = y.len();
    if n == 1 {
        y[0] = x[0];
        return;
    }
    let (p, whole) = (smallest_prime(n), roots.len());
    let m = n / p;
    for r in 0..p {
        factored(&x[r * stride..], stride * p, &mut y[r * m..][..m], roots);
    }
    // exp(-+ 2 pi i a / n) is the root with number a stride.
    let step = whole / n;
    let mut terms = vec![Complex::default(); p];
    for k in 0..m {
        for (r, term) in terms.iter_mut().enumerate() {
            *term = y[r * m + k] * roots[r * k * step % whole];
        }
        for q in 0..p {
            let turned = |r: usize| terms[r] * roots[r * q * m % n * step];
            y[q * m + k] = (0..p).map(turned).sum();
        }
    }
}

/// The transform of `x`, of shape `shape`. The magnitude of every result is the factor times the
/// sum of the absolute values of all real and imaginary parts that it depends on.
pub fn transform(x: &[f64], shape: Shape, transform: Fourier) -> Twin {
    assert_len(x, shape);
    let output = transform
        .output(shape)
        .expect("a shape that has a transform");
    let factor = transform.factor(shape);
    let extents = transform.extents(shape);
    // Arrays of `rows` lines of `w` numbers are transformed for themselves.
    let (w, size) = (shape.w(), extents.iter().product::<usize>());
    let plane = shape.h() * w;
    let pairs = match transform.values {
        FourierValues::FromReal => shape.n() * shape.c(),
        FourierValues::Complex | FourierValues::ToReal => shape.n() * shape.c() / 2,
    };
    let mut twin = Twin::zeros(output.elements());
    for array in 0..pairs * plane / size {
        let (pair, start) = (array * size / plane, array * size % plane);
        let value = |i: usize| match transform.values {
            FourierValues::FromReal => Complex::new(x[pair * plane + start + i], 0.0),
            FourierValues::Complex | FourierValues::ToReal => {
                let re = 2 * pair * plane + start + i;
                Complex::new(x[re], x[re + plane])
            }
        };
        let mut values: Vec<Complex> = (0..size).map(value).collect();
        let terms: f64 = values.iter().map(|v| v.re.abs() + v.im.abs()).sum();
        for row in values.chunks_exact_mut(w) {
            row.copy_from_slice(&line(row, transform.direction));
        }
        if size > w {
            for column in 0..w {
                let down: Vec<Complex> = values.iter().skip(column).step_by(w).copied().collect();
                let down = line(&down, transform.direction);
                for (row, value) in down.into_iter().enumerate() {
                    values[row * w + column] = value;
                }
            }
        }
        for (i, value) in values.into_iter().enumerate() {
            let value = factor * value;
            let mut put = |at: usize, part: f64| {
                twin.value[at] = part;
                twin.magnitude[at] = factor * terms;
            };
            match transform.values {
                FourierValues::ToReal => put(pair * plane + start + i, value.re),
                FourierValues::Complex | FourierValues::FromReal => {
                    let re = 2 * pair * plane + start + i;
                    put(re, value.re);
                    put(re + plane, value.im);
                }
            }
        }
    }
    twin
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::{assert_adjoint, assert_close, noise};
    use crate::shape::FourierScale;

    const DIRECTIONS: [FourierDirection; 2] =
        [FourierDirection::Forward, FourierDirection::Inverse];

    fn complex(seed: u64, n: usize) -> Vec<Complex> {
        let parts = noise(seed, 2 * n);
        parts.chunks(2).map(|p| Complex::new(p[0], p[1])).collect()
    }

    fn parts(x: &[Complex]) -> Vec<f64> {
        x.iter().flat_map(|x| [x.re, x.im]).collect()
    }

    #[test]
    fn roots_are_exact_where_they_can_be() {
        for n in [1, 2, 3, 4, 5, 8, 12, 97, 1000] {
            for k in 0..2 * n {
                let angle = TAU * (k % n) as f64 / n as f64;
                let found = root(k, n);
                let expected = Complex::new(angle.cos(), angle.sin());
                // The rounding of the angle itself shows.
                assert!((found - expected).norm() < 2e-15, "{k} of {n}: {found}");
            }
        }
        assert_eq!(root(1, 4), Complex::new(0.0, 1.0));
        assert_eq!(root(6, 12), Complex::new(-1.0, 0.0));
        assert_eq!(root(3, 4), Complex::new(0.0, -1.0));
        let diagonal = root(1, 8);
        assert_eq!(diagonal.re, diagonal.im);
    }

    #[test]
    fn factors_give_the_sum_as_it_stands() {
        for n in (1..=64).chain([81, 97, 100, 121, 125, 169, 210, 343, 512]) {
            let x = complex(n as u64, n);
            for direction in DIRECTIONS {
                let (fast, slow) = (line(&x, direction), direct(&x, direction));
                assert_close(&parts(&fast), &parts(&slow), 1e-13 * n as f64);
            }
        }
    }

    #[test]
    fn a_wave_is_one_point() {
        // exp(2 pi i 3 j / 7) is 7 at the third frequency.
        let wave: Vec<Complex> = (0..7).map(|j| root(3 * j, 7)).collect();
        let spectrum = direct(&wave, FourierDirection::Forward);
        for (k, value) in spectrum.into_iter().enumerate() {
            let expected = if k == 3 { 7.0 } else { 0.0 };
            assert!((value - expected).norm() < 1e-14, "{k}: {value}");
        }
    }

    /// The definition of two dimensions, term by term.
    #[test]
    fn planes_are_the_double_sum() {
        let shape = Shape::new(2, 4, 3, 5);
        let x = noise(1, shape.elements());
        let y = transform(&x, shape, Fourier::planes().scaled(FourierScale::Sum));
        let plane = 15;
        for pair in 0..4 {
            let at =
                |i: usize| Complex::new(x[2 * pair * plane + i], x[(2 * pair + 1) * plane + i]);
            for k in 0..plane {
                let turn = |i: usize| root(i / 5 * (k / 5), 3) * root(i % 5 * (k % 5), 5);
                let sum: Complex = (0..plane).map(|i| at(i) * turn(i).conj()).sum();
                let re = 2 * pair * plane + k;
                assert_close(
                    &[y.value[re], y.value[re + plane]],
                    &[sum.re, sum.im],
                    1e-13,
                );
            }
            let terms: f64 = (0..plane).map(|i| at(i).re.abs() + at(i).im.abs()).sum();
            assert_close(&[y.magnitude[2 * pair * plane]], &[terms], 1e-12);
        }
    }

    #[test]
    fn transposes_and_inverses() {
        let complex = Shape::new(2, 2, 6, 7);
        let real = complex.with(1, 1);
        for base in [Fourier::lines(), Fourier::planes()] {
            for scale in [FourierScale::Unitary, FourierScale::Sum, FourierScale::Mean] {
                for (values, shape) in [
                    (FourierValues::Complex, complex),
                    (FourierValues::FromReal, real),
                ] {
                    let map = base.scaled(scale).with_values(values);
                    let x = noise(1, shape.elements());
                    let y = noise(2, complex.elements());
                    let ax = transform(&x, shape, map).value;
                    let aty = transform(&y, complex, map.adjoint()).value;
                    assert_adjoint(&ax, &y, &x, &aty);
                    let back = transform(&ax, complex, map.inverse()).value;
                    assert_close(&back, &x, 1e-13);
                }
            }
        }
    }
}
