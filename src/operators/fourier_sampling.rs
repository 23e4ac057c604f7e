//! Sampled Fourier transforms: magnetic resonance imaging with one or several coils.

use super::{LinearOperator, check};
use crate::error::{Error, Result};
use crate::reference::fourier;
use crate::shape::{Fourier, Shape};
use crate::tape::{Tape, Unary, Var};
use std::sync::Arc;

/// `A x = M F (S_c x)` for every coil `c`: the image times the coil's sensitivity `S_c`, its unitary
/// Fourier transform `F`, and the entries `M` of k-space that are measured, zeros elsewhere.
///
/// Images are complex, `N 2 H W`, real part then imaginary part; measurements `N 2C H W`, a pair of
/// channels for each coil. Without maps there is one coil that sees every pixel alike. Frequency 0
/// is entry (0, 0) of k-space and pixel (0, 0) the origin; *centred*, entry and pixel
/// `(H/2, W/2)`, rounded down, are: `fftshift(fft2(ifftshift(x), norm="ortho"))` in NumPy's words.
#[derive(Clone, Debug)]
pub struct FourierSampling {
    size: [usize; 2],
    coils: usize,
    /// Complex factors of the image, `1 2C H W`: sensitivities and the phases of centring.
    before: Option<Arc<[f32]>>,
    /// Where k-space is measured, `1 1 H W`.
    mask: Arc<[f32]>,
    /// Complex factors of k-space, `1 2 H W`: the mask times the phases of centring.
    after: Option<Arc<[f32]>>,
    /// `1 / sum |S_c|^2` where it is not zero, `1 1 H W`; none where it is 1 everywhere.
    compensation: Option<Arc<[f32]>>,
}

impl FourierSampling {
    /// One coil, k-space of `size` = [rows, columns] measured where `measured` (row-major) says so.
    ///
    /// # Errors
    /// [`Error::Shape`] if `measured` has another size; [`Error::Config`] if nothing is measured.
    pub fn new(size: [usize; 2], measured: &[bool]) -> Result<Self> {
        let [rows, columns] = size;
        if measured.is_empty() || measured.len() != rows * columns {
            return Err(Error::shape(
                "fourier_sampling",
                format!("a mask of {} entries for {rows}x{columns}", measured.len()),
            ));
        }
        if !measured.contains(&true) {
            return Err(Error::Config(
                "operator.mask measures nothing: give at least one line".into(),
            ));
        }
        let mask = measured.iter().map(|&m| f32::from(u8::from(m)));
        Ok(FourierSampling {
            size,
            coils: 1,
            before: None,
            mask: mask.collect(),
            after: None,
            compensation: None,
        })
    }

    /// With the sensitivities of `maps`, planes `coils 2 rows columns`. Call it before
    /// [`FourierSampling::centred`].
    ///
    /// # Errors
    /// [`Error::Shape`] if `maps` does not hold whole maps; [`Error::NotFinite`] if a value is.
    pub fn with_coils(mut self, maps: &[f32]) -> Result<Self> {
        let plane = self.size[0] * self.size[1];
        if maps.is_empty() || !maps.len().is_multiple_of(2 * plane) {
            return Err(Error::shape(
                "fourier_sampling",
                format!(
                    "{} values are no coil maps of {}x{}",
                    maps.len(),
                    self.size[0],
                    self.size[1]
                ),
            ));
        }
        if let Some(at) = maps.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite(format!(
                "value {at} of the coil maps is {}",
                maps[at]
            )));
        }
        let squares = |pixel: usize| -> f64 {
            let planes = maps.chunks_exact(plane);
            planes.map(|p| f64::from(p[pixel]).powi(2)).sum()
        };
        let sums: Vec<f64> = (0..plane).map(squares).collect();
        // Normalised maps, rounded to single precision, need no compensation.
        let normalised = sums.iter().all(|s| (s - 1.0).abs() < 1e-5);
        self.compensation = (!normalised).then(|| {
            let inverse = |s: &f64| if *s > 0.0 { (1.0 / s) as f32 } else { 0.0 };
            sums.iter().map(inverse).collect()
        });
        self.coils = maps.len() / (2 * plane);
        self.before = Some(maps.into());
        Ok(self)
    }

    /// With the origins of image and k-space at their centres. The mask stays where it is: entry
    /// (0, 0) of it belongs to entry (0, 0) of k-space.
    pub fn centred(mut self) -> Self {
        let plane = self.size[0] * self.size[1];
        let ones = || [vec![1.0; plane], vec![0.0; plane]].concat();
        // With s = n / 2 the exponent (j - s)(x - s) of the centred transform is j x - s x - (s j -
        // s^2): a plain transform between two diagonal ones.
        let before = self.before.map_or_else(ones, |maps| maps.to_vec());
        self.before = Some(turned(&before, self.size, |_| 0).into());
        let mask = [&self.mask[..], &vec![0.0; plane]].concat();
        self.after = Some(turned(&mask, self.size, |s| s).into());
        self
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The number of coils.
    pub fn coils(&self) -> usize {
        self.coils
    }

    /// Records the root of the sum of the squared moduli of the coils' zero-filled images, `N 1 H W`
    /// (Roemer et al. 1990): the magnitude of the image where the measurement is complete and
    /// `sum |S|^2` is 1, and it needs no maps.
    ///
    /// # Errors
    /// [`Error::Shape`] if `y` does not fit.
    pub fn root_sum_of_squares(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        check("root_sum_of_squares", y, self.range())?;
        let measured = self.sample(tape, y, true)?;
        // Moduli do not feel the image's phases of centring.
        let images = tape.fourier(measured, Fourier::planes().adjoint())?;
        let squares = tape.mul(images, images)?;
        let sum = tape.sum(squares, squares.shape().with(1, 1))?;
        Ok(tape.unary(Unary::Sqrt, sum))
    }

    /// `1 1 H W`.
    fn plane(&self) -> Shape {
        Shape::new(1, 1, self.size[0], self.size[1])
    }

    /// Multiplies k-space by the mask and the phases of centring, conjugated for the adjoint.
    fn sample(&self, tape: &mut Tape, y: Var, conjugate: bool) -> Result<Var> {
        match &self.after {
            Some(after) => {
                let after = tape.constant(self.plane().with(1, 2), after.clone())?;
                tape.complex_mul(y, after, conjugate)
            }
            None => {
                let mask = tape.constant(self.plane(), self.mask.clone())?;
                tape.mul(y, mask)
            }
        }
    }

    /// The factors of the image, if there are any.
    fn factors(&self, tape: &mut Tape) -> Result<Option<Var>> {
        let shape = self.plane().with(1, 2 * self.coils);
        let constant = |before: &Arc<[f32]>| tape.constant(shape, before.clone());
        self.before.as_ref().map(constant).transpose()
    }
}

/// Complex planes times `exp(2 pi i s (x - origin(s)) / n)` along both axes, `s = n / 2` rounded down.
fn turned(
    values: &[f32],
    [rows, columns]: [usize; 2],
    origin: impl Fn(usize) -> usize,
) -> Vec<f32> {
    let phases = |n: usize| -> Vec<fourier::Complex> {
        let s = n / 2;
        let turns = |x: usize| s * (x + n - origin(s));
        (0..n).map(|x| fourier::root(turns(x), n)).collect()
    };
    let (down, across) = (phases(rows), phases(columns));
    let plane = rows * columns;
    let mut result = values.to_vec();
    for pair in result.chunks_exact_mut(2 * plane) {
        let (re, im) = pair.split_at_mut(plane);
        for (i, (re, im)) in re.iter_mut().zip(im).enumerate() {
            let value = fourier::Complex::new(f64::from(*re), f64::from(*im));
            let turned = value * down[i / columns] * across[i % columns];
            (*re, *im) = (turned.re as f32, turned.im as f32);
        }
    }
    result
}

impl LinearOperator for FourierSampling {
    fn name(&self) -> &'static str {
        "fourier"
    }

    fn domain(&self) -> Shape {
        self.plane().with(1, 2)
    }

    fn range(&self) -> Shape {
        self.plane().with(1, 2 * self.coils)
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        check("fourier_sampling", x, self.domain())?;
        let images = match self.factors(tape)? {
            Some(factors) => tape.complex_mul(x, factors, false)?,
            None => x,
        };
        let spectra = tape.fourier(images, Fourier::planes())?;
        self.sample(tape, spectra, false)
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        check("fourier_sampling", y, self.range())?;
        let spectra = self.sample(tape, y, true)?;
        let images = tape.fourier(spectra, Fourier::planes().adjoint())?;
        match self.factors(tape)? {
            Some(factors) => {
                let parts = tape.complex_mul(images, factors, true)?;
                tape.complex_sum(parts, self.domain().with(0, y.shape().n()))
            }
            None => Ok(images),
        }
    }

    fn measured(&self) -> usize {
        let entries = self.mask.iter().filter(|&&m| m != 0.0).count();
        2 * self.coils * entries
    }

    /// Zero filling: the adjoint, divided by `sum |S_c|^2` where that is not 1.
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let x = self.adjoint(tape, y)?;
        match &self.compensation {
            Some(values) => {
                let compensation = tape.constant(self.plane(), values.clone())?;
                tape.mul(x, compensation)
            }
            None => Ok(x),
        }
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        "zero-filled"
    }

    fn restrict(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        check("fourier_sampling", y, self.range())?;
        let mask = tape.constant(self.plane(), self.mask.clone())?;
        tape.mul(y, mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::reference::evaluate;
    use num_complex::Complex64;
    use std::f64::consts::TAU;

    fn values(count: usize, seed: u64) -> Vec<f32> {
        let draw = crate::reference::random::Draw::new(seed, 0);
        let normal = crate::reference::random::normal(draw, count);
        normal.into_iter().map(|v| v as f32).collect()
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&v| f64::from(v)).collect()
    }

    /// Evaluates `record` on `x` in f64.
    fn apply(
        x: &[f64],
        shape: Shape,
        record: impl FnOnce(&mut Tape, Var) -> Result<Var>,
    ) -> Vec<f64> {
        let mut tape = Tape::new();
        let input = tape.input("x", shape);
        let output = record(&mut tape, input).expect("records");
        let mut feeds = [("x".to_string(), x.to_vec())].into();
        let values = evaluate(&tape, &mut feeds, &[output]).expect("evaluates");
        values.into_iter().next().expect("one output")
    }

    /// The definition, sum by sum: k-space of one coil at (k, l).
    fn entry(
        image: &[f64],
        map: &[f32],
        [h, w]: [usize; 2],
        [k, l]: [usize; 2],
        centred: bool,
    ) -> Complex64 {
        let origin = |n: usize| if centred { (n / 2) as f64 } else { 0.0 };
        let mut sum = Complex64::ZERO;
        for i in 0..h * w {
            let (r, c) = ((i / w) as f64 - origin(h), (i % w) as f64 - origin(w));
            let (k, l) = (k as f64 - origin(h), l as f64 - origin(w));
            let turns = k * r / h as f64 + l * c / w as f64;
            let x = Complex64::new(image[i], image[h * w + i]);
            let s = Complex64::new(f64::from(map[i]), f64::from(map[h * w + i]));
            sum += s * x * Complex64::cis(-TAU * turns);
        }
        sum / ((h * w) as f64).sqrt()
    }

    fn operator(size: [usize; 2], coils: usize, centred: bool) -> (FourierSampling, Vec<f32>) {
        let plane = size[0] * size[1];
        let mask: Vec<bool> = (0..plane).map(|i| i % 3 != 1).collect();
        let operator = FourierSampling::new(size, &mask).expect("fits");
        let maps = match coils {
            0 => [vec![1.0; plane], vec![0.0; plane]].concat(),
            _ => values(coils * 2 * plane, 9),
        };
        let operator = match coils {
            0 => operator,
            _ => operator.with_coils(&maps).expect("fits"),
        };
        let operator = if centred {
            operator.centred()
        } else {
            operator
        };
        (operator, maps)
    }

    #[test]
    fn the_operator_is_its_definition() {
        for size in [[4, 6], [5, 7], [6, 3], [1, 5]] {
            for (coils, centred) in [(0, false), (0, true), (2, false), (3, true)] {
                let (operator, maps) = operator(size, coils, centred);
                let plane = size[0] * size[1];
                let x = wide(&values(2 * 2 * plane, 1));
                let y = apply(&x, operator.domain().with(0, 2), |t, x| {
                    operator.forward(t, x)
                });
                for (n, x) in x.chunks(2 * plane).enumerate() {
                    for (coil, map) in maps.chunks(2 * plane).enumerate() {
                        for i in 0..plane {
                            let measured = i % 3 != 1;
                            let expected = match measured {
                                true => entry(x, map, size, [i / size[1], i % size[1]], centred),
                                false => Complex64::ZERO,
                            };
                            let at = (n * operator.coils() + coil) * 2 * plane + i;
                            let found = Complex64::new(y[at], y[at + plane]);
                            assert!((found - expected).norm() < 1e-6, "{found} {expected}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_adjoint_is_the_transpose() {
        for (coils, centred) in [(0, false), (0, true), (2, false), (3, true)] {
            let (operator, _) = operator([5, 6], coils, centred);
            let x = wide(&values(operator.domain().elements(), 1));
            let y = wide(&values(operator.range().elements(), 2));
            let ax = apply(&x, operator.domain(), |t, x| operator.forward(t, x));
            let aty = apply(&y, operator.range(), |t, y| operator.adjoint(t, y));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (left, right) = (dot(&ax, &y), dot(&x, &aty));
            assert!(
                (left - right).abs() < 1e-12 * dot(&x, &x).max(1.0),
                "{left} {right}"
            );
        }
    }

    #[test]
    fn a_complete_measurement_is_inverted() {
        let size = [6, 5];
        let everything = FourierSampling::new(size, &[true; 30]).expect("fits");
        for operator in [
            everything.clone(),
            everything.clone().centred(),
            everything
                .clone()
                .with_coils(&values(3 * 60, 4))
                .expect("fits")
                .centred(),
        ] {
            let x = wide(&values(60, 1));
            let back = apply(&x, operator.domain(), |tape, x| {
                let y = operator.forward(tape, x)?;
                operator.pseudo_inverse(tape, y)
            });
            for (found, x) in back.iter().zip(&x) {
                assert!((found - x).abs() < 1e-5, "{found} {x}");
            }
        }
        // The root sum of squares is the modulus where the maps' squares add up to 1.
        let maps: Vec<f32> = (0..2 * 60).map(|_| 0.5).collect();
        let operator = everything.with_coils(&maps).expect("fits").centred();
        let x = wide(&values(60, 1));
        let modulus = apply(&x, operator.domain(), |tape, x| {
            let y = operator.forward(tape, x)?;
            operator.root_sum_of_squares(tape, y)
        });
        for (i, found) in modulus.iter().enumerate() {
            assert!((found - x[i].hypot(x[30 + i])).abs() < 1e-6);
        }
    }

    #[test]
    fn unusable_masks_and_maps_are_typed_errors() {
        let new = FourierSampling::new;
        assert!(matches!(new([2, 3], &[true; 5]), Err(Error::Shape { .. })));
        assert!(matches!(new([0, 3], &[]), Err(Error::Shape { .. })));
        assert!(matches!(new([2, 3], &[false; 6]), Err(Error::Config(_))));
        let operator = new([2, 3], &[true; 6]).expect("fits");
        let maps = |maps: &[f32]| operator.clone().with_coils(maps).map(|o| o.coils());
        assert!(matches!(maps(&[1.0; 24]), Ok(2)));
        assert!(matches!(maps(&[1.0; 18]), Err(Error::Shape { .. })));
        assert!(matches!(maps(&[f32::NAN; 12]), Err(Error::NotFinite(_))));
        let mut tape = Tape::new();
        let wrong = tape.input("x", Shape::new(1, 2, 3, 2));
        assert!(operator.forward(&mut tape, wrong).is_err());
        assert!(operator.adjoint(&mut tape, wrong).is_err());
    }
}
