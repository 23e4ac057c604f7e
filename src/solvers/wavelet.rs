//! Orthogonal wavelet transforms of images of any extents.

use crate::config::within;
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Tape, Var};

/// An orthogonal wavelet with compact support.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WaveletFamily {
    /// Haar (1910): two taps, one vanishing moment.
    #[default]
    Haar,
    /// Daubechies (Comm. Pure Appl. Math. 41 (1988), table 1), four taps, two vanishing moments.
    Daubechies4,
    /// The same, eight taps, four vanishing moments.
    Daubechies8,
}

impl WaveletFamily {
    /// The low-pass filter; its sum is `sqrt(2)`.
    pub fn taps(self) -> Vec<f64> {
        match self {
            WaveletFamily::Haar => vec![0.5_f64.sqrt(); 2],
            WaveletFamily::Daubechies4 => {
                let (root, scale) = (3.0_f64.sqrt(), 4.0 * 2.0_f64.sqrt());
                let taps = [1.0 + root, 3.0 + root, 3.0 - root, 1.0 - root];
                taps.map(|tap| tap / scale).to_vec()
            }
            WaveletFamily::Daubechies8 => vec![
                0.230_377_813_308_896_5,
                0.714_846_570_552_915_7,
                0.630_880_767_929_858_9,
                -0.027_983_769_416_859_854,
                -0.187_034_811_719_093_1,
                0.030_841_381_835_560_764,
                0.032_883_011_666_885_2,
                -0.010_597_401_785_069_032,
            ],
        }
    }

    /// One level along an axis of `n` pixels, `n x n`: the coarse values, the last pixel of an odd
    /// extent, the details.
    fn matrix(self, n: usize) -> Vec<f32> {
        let low = self.taps();
        let (pairs, last) = (n / 2, low.len() - 1);
        let mut matrix = vec![0.0; n * n];
        for pair in 0..pairs {
            for (i, tap) in low.iter().enumerate() {
                let at = (2 * pair + i) % (2 * pairs);
                let sign = if i.is_multiple_of(2) { 1.0 } else { -1.0 };
                matrix[pair * n + at] += tap;
                matrix[(n - pairs + pair) * n + at] += sign * low[last - i];
            }
        }
        if n % 2 == 1 {
            matrix[pairs * n + n - 1] = 1.0;
        }
        matrix.into_iter().map(|v: f64| v as f32).collect()
    }
}

/// A wavelet transform of so many levels: an orthogonal map of images of any extents.
///
/// Each level divides the coarse image into a coarser one of half the extents, rounded up, at its top
/// left, and details beside and below. The signal goes on periodically; the last pixel of an odd
/// extent is passed on to the coarser image as it is, and an axis of one pixel is left alone, so the
/// transform is orthogonal whatever the extents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wavelet {
    /// The wavelet.
    pub family: WaveletFamily,
    /// Levels, 1 to 16; those that find a single pixel do nothing.
    pub levels: usize,
}

impl Default for Wavelet {
    fn default() -> Self {
        Wavelet {
            family: WaveletFamily::Haar,
            levels: 3,
        }
    }
}

impl Wavelet {
    /// # Errors
    /// [`crate::error::Error::Config`] if there are no levels, or too many.
    pub(super) fn validate(self) -> Result<()> {
        within("wavelet.levels", self.levels, 1..=16).map(drop)
    }

    /// The transform of every channel of `x`, in the shape of `x`.
    ///
    /// # Errors
    /// None in practice: every shape can be transformed.
    pub fn forward(self, tape: &mut Tape, x: Var) -> Result<Var> {
        self.level(tape, x, self.levels, false)
    }

    /// The inverse of [`Wavelet::forward`], which is its transpose.
    ///
    /// # Errors
    /// None in practice.
    pub fn inverse(self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.level(tape, y, self.levels, true)
    }

    /// The extents of the coarsest image.
    fn coarse(self, mut size: [usize; 2]) -> [usize; 2] {
        for _ in 0..self.levels {
            size = size.map(|n| n.div_ceil(2));
        }
        size
    }

    /// Ones at the details of an image of `size` = [rows, columns], zeros at the coarsest image.
    pub(super) fn details(self, size: [usize; 2]) -> Vec<f32> {
        let coarse = self.coarse(size);
        let inside = |i: usize| i / size[1] < coarse[0] && i % size[1] < coarse[1];
        let pixels = 0..size[0] * size[1];
        pixels.map(|i| f32::from(u8::from(!inside(i)))).collect()
    }

    /// This level and those below, which see the coarse image; the inverse goes upwards.
    fn level(self, tape: &mut Tape, x: Var, levels: usize, inverse: bool) -> Result<Var> {
        let [.., h, w] = x.shape().0;
        if levels == 0 || h * w == 1 {
            return Ok(x);
        }
        // Few dispatches count for more than few operations: both filters of an axis are one dense
        // matrix, which is less work than a ray transform of the image by as many views as it has rows.
        let here = |tape: &mut Tape, x: Var| {
            let [rows, columns] = [h, w].map(|n| (Shape::new(1, 1, n, n), self.family.matrix(n)));
            let rows = tape.constant(rows.0, rows.1)?;
            let columns = tape.constant(columns.0, columns.1)?;
            let x = tape.matmul(rows, x, inverse, false)?;
            tape.matmul(x, columns, false, !inverse)
        };
        let below = |tape: &mut Tape, x: Var| {
            if levels == 1 {
                return Ok(x);
            }
            let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
            let top = tape.slice(x, 2, 0, rows)?;
            let coarse = tape.slice(top, 3, 0, columns)?;
            let coarse = self.level(tape, coarse, levels - 1, inverse)?;
            let top = match w - columns {
                0 => coarse,
                rest => {
                    let beside = tape.slice(top, 3, columns, rest)?;
                    tape.concat(&[coarse, beside], 3)?
                }
            };
            match h - rows {
                0 => Ok(top),
                rest => {
                    let under = tape.slice(x, 2, rows, rest)?;
                    tape.concat(&[top, under], 2)
                }
            }
        };
        match inverse {
            false => {
                let x = here(tape, x)?;
                below(tape, x)
            }
            true => {
                let x = below(tape, x)?;
                here(tape, x)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::reference::{Feeds, evaluate};

    const FAMILIES: [WaveletFamily; 3] = [
        WaveletFamily::Haar,
        WaveletFamily::Daubechies4,
        WaveletFamily::Daubechies8,
    ];

    fn apply(x: &[f64], shape: Shape, wavelet: Wavelet, inverse: bool) -> Vec<f64> {
        let mut tape = Tape::new();
        let input = tape.input("x", shape);
        let output = match inverse {
            false => wavelet.forward(&mut tape, input),
            true => wavelet.inverse(&mut tape, input),
        };
        let output = output.expect("fits");
        assert_eq!(output.shape(), shape);
        let mut feeds = Feeds::from([("x".to_string(), x.to_vec())]);
        evaluate(&tape, &mut feeds, &[output])
            .expect("evaluates")
            .remove(0)
    }

    #[test]
    fn filters_have_their_moments() {
        for family in FAMILIES {
            let taps = family.taps();
            let sum: f64 = taps.iter().sum();
            assert!((sum - 2.0_f64.sqrt()).abs() < 1e-12, "{family:?}: {sum}");
            for shift in (0..taps.len()).step_by(2) {
                let shifted = taps.iter().zip(&taps[shift..]);
                let product: f64 = shifted.map(|(a, b)| a * b).sum();
                let expected = f64::from(u8::from(shift == 0));
                assert!((product - expected).abs() < 1e-12, "{family:?}: {product}");
            }
            for moment in 0..taps.len() / 2 {
                let terms = taps.iter().rev().enumerate().map(|(i, tap)| {
                    let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
                    sign * tap * (i as f64).powi(moment as i32)
                });
                let sum: f64 = terms.sum();
                assert!(sum.abs() < 1e-9, "{family:?}, moment {moment}: {sum}");
            }
        }
    }

    #[test]
    fn the_transform_is_orthogonal_for_any_extents() {
        for family in FAMILIES {
            for (size, levels) in [
                ([8, 8], 3),
                ([7, 12], 2),
                ([5, 9], 4),
                ([1, 11], 3),
                ([2, 3], 2),
                ([1, 1], 1),
            ] {
                let wavelet = Wavelet { family, levels };
                let shape = Shape::new(1, 1, size[0], size[1]);
                let n = shape.elements();
                let columns: Vec<Vec<f64>> = (0..n)
                    .map(|i| {
                        let mut unit = vec![0.0; n];
                        unit[i] = 1.0;
                        apply(&unit, shape, wavelet, false)
                    })
                    .collect();
                for (i, a) in columns.iter().enumerate() {
                    for (j, b) in columns.iter().enumerate() {
                        let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                        let expected = f64::from(u8::from(i == j));
                        assert!(
                            (product - expected).abs() < 1e-6,
                            "{family:?} {size:?}: <{i}, {j}> = {product}"
                        );
                    }
                }
                // The inverse is the transpose: row i is the transform of the unit vector.
                for i in 0..n {
                    let mut unit = vec![0.0; n];
                    unit[i] = 1.0;
                    let row = apply(&unit, shape, wavelet, true);
                    for (j, value) in row.iter().enumerate() {
                        assert!((value - columns[j][i]).abs() < 1e-6);
                    }
                }
            }
        }
    }

    #[test]
    fn channels_are_transformed_alike_and_smooth_images_have_few_details() {
        let shape = Shape::new(2, 2, 6, 10);
        let plane = Shape::new(1, 1, 6, 10);
        let x: Vec<f64> = (0..240).map(|i| (i * i % 17) as f64).collect();
        let wavelet = Wavelet::default();
        let whole = apply(&x, shape, wavelet, false);
        for (x, y) in x.chunks(60).zip(whole.chunks(60)) {
            assert_eq!(apply(x, plane, wavelet, false), y);
        }
        // Constants are coarse, and so are ramps for two vanishing moments, but where they wrap around.
        let size = [16, 16];
        let plane = Shape::new(1, 1, 16, 16);
        let ramp: Vec<f64> = (0..256).map(|i| (i % 16) as f64).collect();
        for family in FAMILIES {
            let wavelet = Wavelet { family, levels: 2 };
            let mask = wavelet.details(size);
            assert_eq!(mask.iter().filter(|&&m| m == 0.0).count(), 16);
            let constant = apply(&[1.0; 256], plane, wavelet, false);
            let details = |values: &[f64]| -> Vec<f64> {
                let pairs = values.iter().zip(&mask);
                pairs.map(|(v, &m)| v * f64::from(m)).collect()
            };
            assert!(details(&constant).iter().all(|v| v.abs() < 1e-6));
            let ramp = apply(&ramp, plane, wavelet, false);
            let exact = details(&ramp).iter().filter(|v| v.abs() < 1e-5).count();
            println!("{family:?}: {exact} of 256 vanish");
            let smooth = family != WaveletFamily::Haar;
            assert_eq!(details(&ramp)[9].abs() < 1e-5, smooth, "{family:?}");
        }
    }
}
