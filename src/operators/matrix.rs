//! Small dense matrices: compressed sensing.

use super::{LinearOperator, check};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use std::sync::{Arc, OnceLock};

/// Entries that a matrix may have: 64 MiB.
const MAX_ENTRIES: usize = 1 << 24;
/// The regularisation of the pseudo-inverse, relative to the largest eigenvalue of `A A^T`; as for
/// periodic blurs.
const TIKHONOV: f64 = 1e-2;

/// `A x` for a dense matrix: images `N 1 H W`, row-major, to measurements `N 1 1 M`.
#[derive(Clone, Debug)]
pub struct Matrix {
    size: [usize; 2],
    /// `1 1 M HW`.
    entries: Arc<[f32]>,
    /// The regularised inverse of the smaller one of `A A^T` and `A^T A`, made at its first use.
    inverse: Arc<OnceLock<Arc<[f32]>>>,
}

impl Matrix {
    /// The matrix of these rows, one after another, for images of `size` = [rows, columns].
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are whole rows of as many entries as pixels;
    /// [`Error::Config`] if they are too many; [`Error::NotFinite`] for a NaN or an infinity.
    pub fn new(size: [usize; 2], entries: &[f32]) -> Result<Self> {
        let pixels = size[0] * size[1];
        if pixels == 0 || entries.is_empty() || !entries.len().is_multiple_of(pixels) {
            return Err(Error::shape(
                "matrix",
                format!(
                    "{} entries are no whole rows for images of {}x{} pixels",
                    entries.len(),
                    size[0],
                    size[1]
                ),
            ));
        }
        if entries.len() > MAX_ENTRIES {
            return Err(Error::Config(format!(
                "operator.matrix has {} rows of {pixels} entries, and dense matrices of at most {MAX_ENTRIES} entries are supported; use fewer rows or smaller images",
                entries.len() / pixels
            )));
        }
        if let Some(at) = entries.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite(format!(
                "entry {} of row {} of operator.matrix is {}",
                at % pixels,
                at / pixels,
                entries[at]
            )));
        }
        Ok(Matrix {
            size,
            entries: entries.into(),
            inverse: Arc::default(),
        })
    }

    fn rows(&self) -> usize {
        self.entries.len() / self.pixels()
    }

    fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Every item of `x` as a row.
    fn as_rows(tape: &mut Tape, x: Var) -> Result<Var> {
        let [n, c, h, w] = x.shape().0;
        tape.reshape(x, Shape::new(1, 1, n, c * h * w))
    }

    fn entries(&self, tape: &mut Tape) -> Result<Var> {
        let shape = Shape::new(1, 1, self.rows(), self.pixels());
        tape.constant(shape, self.entries.clone())
    }

    /// `(1 + e) (G + e |G|)^-1` for the smaller Gram matrix `G`, in f64 by Cholesky's factors.
    fn inverse(&self) -> Arc<[f32]> {
        let make = || {
            let (rows, pixels) = (self.rows(), self.pixels());
            let (k, by_rows) = (rows.min(pixels), rows <= pixels);
            let entry = |i: usize, j: usize| {
                f64::from(match by_rows {
                    true => self.entries[i * pixels + j],
                    false => self.entries[j * pixels + i],
                })
            };
            let vectors: Vec<f64> = (0..k)
                .flat_map(|i| (0..rows.max(pixels)).map(move |j| (i, j)))
                .map(|(i, j)| entry(i, j))
                .collect();
            let mut gram = vec![0.0; k * k];
            let vector = |i: usize| &vectors[i * rows.max(pixels)..][..rows.max(pixels)];
            for i in 0..k {
                for j in 0..=i {
                    let product: f64 = vector(i).iter().zip(vector(j)).map(|(a, b)| a * b).sum();
                    gram[i * k + j] = product;
                    gram[j * k + i] = product;
                }
            }
            let strongest = largest_eigenvalue(&gram, k);
            if strongest == 0.0 {
                return vec![0.0; k * k].into();
            }
            for i in 0..k {
                gram[i * k + i] += TIKHONOV * strongest;
            }
            let inverse = inverse_of_positive(gram, k);
            let scaled = inverse.iter().map(|v| ((1.0 + TIKHONOV) * v) as f32);
            scaled.collect()
        };
        self.inverse.get_or_init(make).clone()
    }
}

impl LinearOperator for Matrix {
    fn name(&self) -> &'static str {
        "matrix"
    }

    fn domain(&self) -> Shape {
        Shape::new(1, 1, self.size[0], self.size[1])
    }

    fn range(&self) -> Shape {
        Shape::new(1, 1, 1, self.rows())
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        check("matrix", x, self.domain())?;
        let matrix = self.entries(tape)?;
        let rows = Self::as_rows(tape, x)?;
        let y = tape.matmul(rows, matrix, false, true)?;
        tape.reshape(y, self.range().with(0, x.shape().n()))
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        check("matrix transposed", y, self.range())?;
        let matrix = self.entries(tape)?;
        let rows = Self::as_rows(tape, y)?;
        let x = tape.matmul(rows, matrix, false, false)?;
        tape.reshape(x, self.domain().with(0, y.shape().n()))
    }

    /// The Tikhonov-regularised inverse `(1 + e) A^T (A A^T + e ||A||^2)^-1 y`, `e` = 0.01, which
    /// inverts the strongest component exactly.
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let k = self.rows().min(self.pixels());
        let inverse = tape.constant(Shape::new(1, 1, k, k), self.inverse())?;
        let invert = |tape: &mut Tape, x: Var| {
            let rows = Self::as_rows(tape, x)?;
            let product = tape.matmul(rows, inverse, false, false)?;
            tape.reshape(product, x.shape())
        };
        // (A A^T + c)^-1 before A^T is (A^T A + c)^-1 after it.
        match self.rows() <= self.pixels() {
            true => {
                check("matrix inverted", y, self.range())?;
                let y = invert(tape, y)?;
                self.adjoint(tape, y)
            }
            false => {
                let x = self.adjoint(tape, y)?;
                invert(tape, x)
            }
        }
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        "tikhonov"
    }
}

/// By power iteration; exact enough to scale a regularisation.
fn largest_eigenvalue(gram: &[f64], k: usize) -> f64 {
    let mut x: Vec<f64> = (0..k).map(|i| 1.0 + (i % 7) as f64 / 7.0).collect();
    let mut value = 0.0;
    for _ in 0..200 {
        let length = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length == 0.0 {
            return 0.0;
        }
        x.iter_mut().for_each(|v| *v /= length);
        let row = |i: usize| gram[i * k..][..k].iter().zip(&x);
        let next: Vec<f64> = (0..k).map(|i| row(i).map(|(a, b)| a * b).sum()).collect();
        let before = value;
        value = next.iter().map(|v| v * v).sum::<f64>().sqrt();
        x = next;
        if (value - before).abs() <= 1e-9 * value {
            break;
        }
    }
    value
}

/// The inverse of a symmetric positive definite matrix, `k` by `k`.
fn inverse_of_positive(mut matrix: Vec<f64>, k: usize) -> Vec<f64> {
    // L with L L^T = matrix, in the lower triangle.
    for j in 0..k {
        for i in j..k {
            let (above, below) = matrix.split_at(i * k);
            let row_j = if i == j {
                &below[..j]
            } else {
                &above[j * k..][..j]
            };
            let product: f64 = below[..j].iter().zip(row_j).map(|(a, b)| a * b).sum();
            let value = matrix[i * k + j] - product;
            matrix[i * k + j] = match i == j {
                true => value.sqrt(),
                false => value / matrix[j * k + j],
            };
        }
    }
    // Columns of the inverse: L z = e, L^T x = z.
    let mut inverse = vec![0.0; k * k];
    let mut x = vec![0.0; k];
    for column in 0..k {
        x.fill(0.0);
        x[column] = 1.0;
        for i in column..k {
            let row = &matrix[i * k..][..i];
            let known: f64 = row[column..]
                .iter()
                .zip(&x[column..i])
                .map(|(a, b)| a * b)
                .sum();
            x[i] = (x[i] - known) / matrix[i * k + i];
        }
        for i in (0..k).rev() {
            x[i] /= matrix[i * k + i];
            let value = x[i];
            let row = &matrix[i * k..][..i];
            x[..i]
                .iter_mut()
                .zip(row)
                .for_each(|(x, l)| *x -= l * value);
        }
        inverse[column * k..][..k].copy_from_slice(&x);
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::reference::{Feeds, evaluate};

    fn apply(
        matrix: &Matrix,
        x: &[f64],
        shape: Shape,
        map: impl Fn(&Matrix, &mut Tape, Var) -> Result<Var>,
    ) -> Vec<f64> {
        let mut tape = Tape::new();
        let input = tape.input("x", shape);
        let output = map(matrix, &mut tape, input).expect("fits");
        let mut feeds = Feeds::from([("x".to_string(), x.to_vec())]);
        evaluate(&tape, &mut feeds, &[output])
            .expect("evaluates")
            .remove(0)
    }

    #[test]
    fn the_pseudo_inverse_solves_the_regularised_equations() {
        // More columns than rows, and more rows than columns.
        for rows in [4, 9] {
            let entries: Vec<f32> = (0..rows * 6)
                .map(|i| ((i * i + 3 * i) % 11) as f32 - 5.0)
                .collect();
            let matrix = Matrix::new([2, 3], &entries).expect("fits");
            let y: Vec<f64> = (0..rows).map(|i| (i as f64 - 1.5).sin()).collect();
            let range = matrix.range();
            let x = apply(&matrix, &y, range, |m, tape, y| m.pseudo_inverse(tape, y));
            // A^T A x + e s x = (1 + e) A^T y, s the largest eigenvalue.
            let ax = apply(&matrix, &x, matrix.domain(), |m, tape, x| {
                m.forward(tape, x)
            });
            let normal = apply(&matrix, &ax, range, |m, tape, y| m.adjoint(tape, y));
            let right = apply(&matrix, &y, range, |m, tape, y| m.adjoint(tape, y));
            let mut gram = vec![0.0; 36];
            for i in 0..6 {
                for j in 0..6 {
                    gram[i * 6 + j] = (0..rows)
                        .map(|r| f64::from(entries[r * 6 + i] * entries[r * 6 + j]))
                        .sum();
                }
            }
            let strongest = largest_eigenvalue(&gram, 6);
            for i in 0..6 {
                let left = normal[i] + TIKHONOV * strongest * x[i];
                let right = (1.0 + TIKHONOV) * right[i];
                assert!((left - right).abs() < 1e-4, "{rows} rows: {left} {right}");
            }
        }
    }

    #[test]
    fn what_is_no_matrix_is_a_typed_error() {
        assert!(matches!(
            Matrix::new([2, 2], &[1.0; 7]),
            Err(Error::Shape { .. })
        ));
        assert!(matches!(Matrix::new([2, 2], &[]), Err(Error::Shape { .. })));
        assert!(matches!(
            Matrix::new([0, 2], &[1.0]),
            Err(Error::Shape { .. })
        ));
        let bad = Matrix::new([1, 2], &[1.0, f32::NAN]);
        assert!(matches!(bad, Err(Error::NotFinite(_))));
        let large = vec![0.0; MAX_ENTRIES + 1];
        assert!(matches!(Matrix::new([1, 1], &large), Err(Error::Config(_))));
    }
}
