//! Eigenvalues of dense symmetric matrices.
//!
//! Source: G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th edition, sections 8.3.1
//! (Householder tridiagonalisation) and 8.3.3 to 8.3.5 (implicit shifts). Without eigenvectors: the
//! reduction takes 4/3 n^3 operations, the iteration only some n^2.

use crate::error::{Error, Result};

/// Sweeps for one eigenvalue; two or three are usual.
const SWEEPS: usize = 60;

/// The eigenvalues of a symmetric matrix of `n` rows, from the largest to the smallest; its lower
/// triangle is read. The error of each is some `f64::EPSILON` times the largest magnitude.
///
/// # Errors
/// [`Error::NotFinite`] if the iteration does not converge, which is so if an entry is NaN or
/// infinite.
pub(super) fn symmetric_eigenvalues(mut matrix: Vec<f64>, n: usize) -> Result<Vec<f64>> {
    assert_eq!(matrix.len(), n * n, "a square matrix");
    // Squares of entries neither overflow nor vanish.
    let scale = matrix.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    if scale > 0.0 {
        matrix.iter_mut().for_each(|x| *x /= scale);
    }
    let (mut diagonal, mut beside) = tridiagonalise(matrix, n);
    let converged = implicit_ql(&mut diagonal, &mut beside);
    diagonal.iter_mut().for_each(|x| *x *= scale);
    if !converged || diagonal.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite(format!(
            "the eigenvalues of a matrix of {n} rows do not converge; an entry is NaN or infinite"
        )));
    }
    diagonal.sort_by(|a, b| b.total_cmp(a));
    Ok(diagonal)
}

/// The diagonal of an orthogonally similar tridiagonal matrix, and at `i` the entry (i, i + 1)
/// beside it; the last one is 0.
fn tridiagonalise(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; n];
    let (mut v, mut p) = (vec![0.0; n], vec![0.0; n]);
    // Row after row from below: the reflection I - v v^T / h takes the row, left of its diagonal, to
    // a multiple of the last unit vector, and acts on the block above from both sides.
    for i in (1..n).rev() {
        let (block, row) = a.split_at_mut(i * n);
        let (v, p) = (&mut v[..i], &mut p[..i]);
        v.copy_from_slice(&row[..i]);
        let (last, others) = (v[i - 1], dot(&v[..i - 1], &v[..i - 1]));
        if others == 0.0 {
            beside[i - 1] = last;
            continue;
        }
        let norm = (last * last + others).sqrt();
        // Of the two reflections the one that does not cancel.
        let image = if last > 0.0 { -norm } else { norm };
        beside[i - 1] = image;
        v[i - 1] = last - image;
        let h = norm * (norm + last.abs());
        p.fill(0.0);
        for (r, row) in block.chunks_exact(n).enumerate() {
            let (left, vr) = (&row[..r], v[r]);
            p[r] += dot(left, &v[..r]) + row[r] * vr;
            for (p, a) in p.iter_mut().zip(left) {
                *p += a * vr;
            }
        }
        p.iter_mut().for_each(|p| *p /= h);
        let k = dot(v, p) / (2.0 * h);
        for (p, v) in p.iter_mut().zip(v.iter()) {
            *p -= k * v;
        }
        for (r, row) in block.chunks_exact_mut(n).enumerate() {
            let (vr, pr) = (v[r], p[r]);
            for ((a, v), p) in row[..=r].iter_mut().zip(v.iter()).zip(p.iter()) {
                *a -= vr * p + pr * v;
            }
        }
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    (diagonal, beside)
}

/// Turns the diagonal of a tridiagonal matrix into its eigenvalues, in no order; tells whether it
/// came to an end.
fn implicit_ql(d: &mut [f64], e: &mut [f64]) -> bool {
    let n = d.len();
    // Relative to the whole matrix, not to the neighbours on the diagonal: where a null space has
    // left rounding errors alone, those never become small beside each other.
    let norm = (d.iter().zip(e.iter())).fold(0.0f64, |m, (d, e)| m.max(d.abs() + e.abs()));
    let negligible = f64::EPSILON * norm;
    for low in 0..n {
        let mut sweeps = 0;
        loop {
            // The block from `low` on that no negligible entry cuts.
            let cut = (low..n - 1).find(|&i| e[i].abs() <= negligible);
            let high = cut.unwrap_or(n - 1);
            if high == low {
                break;
            }
            if sweeps == SWEEPS {
                return false;
            }
            sweeps += 1;
            sweep(d, e, low, high);
        }
    }
    true
}

/// One step on the block of the rows from `low` to `high`: a plane rotation as the QL factorisation
/// of the shifted matrix begins with, and the others that chase what it makes beside the three
/// diagonals up to the block's other end.
fn sweep(d: &mut [f64], e: &mut [f64], low: usize, high: usize) {
    // Wilkinson's shift: the eigenvalue of the block's first two rows that is nearer to the first.
    let half = (d[low + 1] - d[low]) / (2.0 * e[low]);
    let shift = d[low] - e[low] / (half + half.hypot(1.0).copysign(half));
    let (mut sin, mut cos) = (1.0, 1.0);
    let (mut moved, mut bulge) = (0.0, d[high] - shift);
    for i in (low..high).rev() {
        let (f, b) = (sin * e[i], cos * e[i]);
        let r = f.hypot(bulge);
        e[i + 1] = r;
        if r == 0.0 {
            // The block falls apart here.
            d[i + 1] -= moved;
            e[high] = 0.0;
            return;
        }
        (sin, cos) = (f / r, bulge / r);
        let rest = d[i + 1] - moved;
        let turned = (d[i] - rest) * sin + 2.0 * cos * b;
        moved = sin * turned;
        d[i + 1] = rest + moved;
        bulge = cos * turned - b;
    }
    d[low] -= moved;
    e[low] = bulge;
    e[high] = 0.0;
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums, which the compiler may keep in vectors.
    let mut sums = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = (a8.remainder().iter().zip(b8.remainder()))
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a8.zip(b8) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::Stream;
    use std::f64::consts::{PI, TAU};

    /// Eigenvalues within `tolerance` of `expected`, in any order.
    #[track_caller]
    fn assert_eigenvalues(matrix: Vec<f64>, mut expected: Vec<f64>, tolerance: f64) {
        let found = symmetric_eigenvalues(matrix, expected.len()).expect("finite");
        expected.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(found.len(), expected.len());
        for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
            assert!((f - e).abs() <= tolerance, "{i}: {f} instead of {e}");
        }
    }

    fn matrix(n: usize, entry: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        (0..n * n).map(|at| entry(at / n, at % n)).collect()
    }

    #[test]
    fn closed_forms() {
        // The second difference with zeros outside.
        let second = |i: usize, j: usize| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        };
        let expected = |k: usize| 2.0 - 2.0 * (PI * (k + 1) as f64 / 41.0).cos();
        assert_eigenvalues(matrix(40, second), (0..40).map(expected).collect(), 1e-14);
        // A circulant matrix, whose eigenvalues come in pairs.
        let kernel = |d: usize| 1.0 / (1.0 + d.min(31 - d) as f64);
        let circulant = matrix(31, |i, j| kernel((i + 31 - j) % 31));
        let transformed = |k: usize| {
            let term = |d: usize| kernel(d) * (TAU * (k * d) as f64 / 31.0).cos();
            (0..31).map(term).sum()
        };
        assert_eigenvalues(circulant, (0..31).map(transformed).collect(), 1e-13);
        let diagonal = [3.0, -1.0, 0.0, 0.0, 7.5, 3.0];
        let of = |i: usize, j: usize| if i == j { diagonal[i] } else { 0.0 };
        assert_eigenvalues(matrix(6, of), diagonal.to_vec(), 0.0);
        // All ones: rank 1.
        let mut ones = vec![0.0; 50];
        ones[0] = 50.0;
        assert_eigenvalues(vec![1.0; 2500], ones, 1e-13);
        assert_eigenvalues(vec![0.0; 9], vec![0.0; 3], 0.0);
        assert_eigenvalues(vec![-2.5], vec![-2.5], 0.0);
        assert_eigenvalues(vec![], vec![], 0.0);
    }

    /// `Q D Q^T` for a product of random reflections `Q`.
    fn similar(diagonal: &[f64], seed: u64) -> Vec<f64> {
        let n = diagonal.len();
        let mut stream = Stream::new(seed, "reflections");
        let mut a = matrix(n, |i, j| if i == j { diagonal[i] } else { 0.0 });
        for _ in 0..4 {
            let v: Vec<f64> = (0..n).map(|_| stream.between(-1.0, 1.0)).collect();
            let twice = 2.0 / dot(&v, &v);
            for row in a.chunks_exact_mut(n) {
                let share = twice * dot(row, &v);
                row.iter_mut().zip(&v).for_each(|(a, v)| *a -= share * v);
            }
            // The transposed of a symmetric matrix reflected from one side: the other side is next.
            a = matrix(n, |i, j| a[j * n + i]);
            for row in a.chunks_exact_mut(n) {
                let share = twice * dot(row, &v);
                row.iter_mut().zip(&v).for_each(|(a, v)| *a -= share * v);
            }
        }
        a
    }

    #[test]
    fn eigenvalues_survive_a_change_of_basis() {
        // Spread over many orders, with clusters, both signs and a null space.
        let spread = (0..90).map(|i| match i % 3 {
            0 => 10f64.powi(-(i / 9)),
            1 => -1.0 + 1e-9 * f64::from(i),
            _ => 0.0,
        });
        let spread: Vec<f64> = spread.collect();
        assert_eigenvalues(similar(&spread, 1), spread.clone(), 1e-13);
        // The scale does not matter, even where squares overflow or vanish.
        for scale in [1e200, 1e-200] {
            let scaled = similar(&spread, 2).iter().map(|x| scale * x).collect();
            let expected = spread.iter().map(|x| scale * x).collect();
            assert_eigenvalues(scaled, expected, 1e-13 * scale);
        }
    }

    #[test]
    fn trace_and_frobenius_norm_are_kept() {
        let mut stream = Stream::new(5, "entries");
        for n in [2, 3, 17, 64] {
            let entries: Vec<f64> = (0..n * n).map(|_| stream.between(-1.0, 1.0)).collect();
            let a = matrix(n, |i, j| entries[i.max(j) * n + i.min(j)]);
            let (trace, squares) = (0..n).fold((0.0, 0.0), |(t, s), i| {
                let row = &a[i * n..(i + 1) * n];
                (t + row[i], s + dot(row, row))
            });
            let found = symmetric_eigenvalues(a, n).expect("finite");
            assert!(found.is_sorted_by(|a, b| a >= b));
            let tolerance = 1e-14 * n as f64;
            assert!((found.iter().sum::<f64>() - trace).abs() <= tolerance);
            assert!((dot(&found, &found) - squares).abs() <= tolerance * squares.sqrt());
        }
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut a = similar(&[1.0, 2.0, 3.0, 4.0], 3);
            a[2 * 4 + 1] = bad;
            let error = symmetric_eigenvalues(a, 4).expect_err("refused");
            assert!(matches!(error, Error::NotFinite(_)), "{error}");
            assert!(symmetric_eigenvalues(vec![bad], 1).is_err());
        }
    }
}
