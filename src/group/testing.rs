//! What the tests of this room share.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Group;

/// C1 to C12 and D1 to D8.
pub fn some_groups() -> impl Iterator<Item = Group> {
    let cyclic = (1..=12).map(Group::cyclic);
    cyclic.chain((1..=8).map(Group::dihedral))
}

/// Uniform numbers on `[-1, 1)`.
pub fn numbers(seed: u64) -> impl FnMut() -> f64 {
    let mut rng = StdRng::seed_from_u64(seed);
    move || rng.random_range(-1.0..1.0)
}

/// The largest difference of two arrays of one length; NaN if there is one.
pub fn max_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |m, d| if m.is_nan() || m > d { m } else { d })
}

/// The product of two row-major matrices, `n x k` and `k x m`.
pub fn multiply(a: &[f64], b: &[f64], k: usize) -> Vec<f64> {
    let m = b.len() / k;
    let row = |row: &[f64]| -> Vec<f64> {
        (0..m)
            .map(|j| row.iter().enumerate().map(|(l, v)| v * b[l * m + j]).sum())
            .collect()
    };
    a.chunks(k).flat_map(row).collect()
}

/// The transpose of a row-major matrix with `columns` columns.
pub fn transpose(a: &[f64], columns: usize) -> Vec<f64> {
    let column = |j: usize| a.iter().skip(j).step_by(columns).copied();
    (0..columns).flat_map(column).collect()
}

/// The identity matrix.
pub fn identity(n: usize) -> Vec<f64> {
    (0..n * n)
        .map(|i| f64::from(u8::from(i / n == i % n)))
        .collect()
}

/// The rank of a row-major matrix by elimination with full row pivoting.
pub fn rank(a: &[f64], columns: usize) -> usize {
    let mut rows: Vec<Vec<f64>> = a.chunks(columns).map(<[f64]>::to_vec).collect();
    let mut rank = 0;
    for column in 0..columns {
        let size = |row: &Vec<f64>| row[column].abs();
        let Some(pivot) =
            (rank..rows.len()).max_by(|&i, &j| size(&rows[i]).total_cmp(&size(&rows[j])))
        else {
            break;
        };
        if size(&rows[pivot]) < 1e-9 {
            continue;
        }
        rows.swap(rank, pivot);
        let (above, below) = rows.split_at_mut(rank + 1);
        let pivot = &above[rank];
        for row in below {
            let factor = row[column] / pivot[column];
            row.iter_mut()
                .zip(pivot)
                .for_each(|(v, p)| *v -= factor * p);
        }
        rank += 1;
    }
    rank
}
