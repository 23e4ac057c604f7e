//! The vectors of a tensor product of representations that the group leaves where they are.

use super::{Group, Representation};

/// Entries below this are rounding noise of entries that cancel exactly; those that remain are of
/// the order of 1 divided by the group's order.
const NOISE: f64 = 1e-14;

/// A vector as (index, value) pairs.
pub type Sparse = Vec<(usize, f64)>;

/// An orthogonal action of a group on a space with a basis, kept as sparse columns.
pub struct Action {
    size: usize,
    /// `[element][column]`.
    columns: Vec<Vec<Sparse>>,
}

impl Action {
    /// The action with the given row-major `size x size` matrix for each element.
    pub fn new(group: Group, size: usize, matrix: impl Fn(usize) -> Vec<f64>) -> Self {
        let column = |matrix: &[f64], j: usize| -> Sparse {
            let entries = matrix.iter().skip(j).step_by(size).copied().enumerate();
            entries.filter(|(_, value)| *value != 0.0).collect()
        };
        let columns = |g| {
            let matrix = matrix(g);
            (0..size).map(|j| column(&matrix, j)).collect()
        };
        Action {
            size,
            columns: (0..group.order()).map(columns).collect(),
        }
    }

    /// The action in which element `g` moves basis vector `i` to `moved[g][i]`.
    pub fn permutation(moved: Vec<Vec<usize>>) -> Self {
        let unit = |to| vec![(to, 1.0)];
        Action {
            size: moved.first().map_or(0, Vec::len),
            columns: moved
                .into_iter()
                .map(|moved| moved.into_iter().map(unit).collect())
                .collect(),
        }
    }

    /// The action of a representation of `from` on its own space, of the elements of the finite
    /// subgroup `to` alone.
    pub fn of(representation: &Representation, from: Group, to: Group) -> Self {
        // What a continuous group permutes is trivial, whatever the element.
        let element = |g| {
            if from.is_finite() {
                from.element_of(to, g)
            } else {
                0
            }
        };
        let moved = (0..to.order()).map(|g| representation.permutation(from, element(g)));
        match moved.collect() {
            Some(moved) => Action::permutation(moved),
            None => Action::new(to, representation.size(from), |g| {
                representation.restricted_matrix(from, to, g)
            }),
        }
    }

    /// The dimension of the space.
    pub fn size(&self) -> usize {
        self.size
    }

    fn trace(&self, g: usize) -> f64 {
        let columns = self.columns[g].iter().enumerate();
        columns
            .flat_map(|(j, column)| column.iter().filter(move |(i, _)| *i == j))
            .map(|(_, value)| value)
            .sum()
    }
}

/// The dimension of the invariant subspace of `a (x) b (x) c`: the mean of the character over the
/// group (for permutations, Burnside's count of orbits).
pub fn dimension([a, b, c]: [&Action; 3]) -> usize {
    let order = a.columns.len();
    let sum: f64 = (0..order)
        .map(|g| a.trace(g) * b.trace(g) * c.trace(g))
        .sum();
    (sum / order as f64).round() as usize
}

/// An orthonormal basis of the vectors `v` of `a (x) b (x) c` with `g v = v` for every element `g`;
/// the index of a tensor entry is row-major.
///
/// The mean over the group is the orthogonal projector `P` onto that subspace. Its columns are taken
/// in the order of their index and orthogonalised (Gram-Schmidt); dependent ones are left out. So
/// the order is fixed, and each basis vector is the first that reaches its smallest index. For
/// permutation actions the result is the indicator vectors of the orbits, scaled to unit norm, in
/// the order of the orbits' smallest indices.
pub fn basis(factors: [&Action; 3]) -> Vec<Sparse> {
    let [a, b, c] = factors;
    let order = a.columns.len();
    let weight = 1.0 / order as f64;
    let size = a.size * b.size * c.size;
    let dimension = dimension(factors);

    let mut found: Vec<Sparse> = Vec::with_capacity(dimension);
    // For each index, the basis vectors found so far that have an entry there.
    let mut touching: Vec<Sparse> = vec![Vec::new(); size];
    let mut column = vec![0.0; size];
    for index in 0..size {
        if found.len() == dimension {
            break;
        }
        let (rest, k) = (index / c.size, index % c.size);
        let (i, j) = (rest / b.size, rest % b.size);
        // |P e|^2 = (P e)_index; a basis vector q has the coefficient q . P e = q_index.
        let projected: f64 = (0..order)
            .map(|g| entry(a, g, i) * entry(b, g, j) * entry(c, g, k))
            .sum();
        let explained: f64 = touching[index].iter().map(|(_, q)| q * q).sum();
        // What is left of an independent column is algebraic in the cosines and at least of the
        // order of the projection; rounding is 1e-16.
        if projected * weight - explained <= 1e-9 * weight {
            continue;
        }

        let mut support = Vec::new();
        for g in 0..order {
            for &(p, x) in &a.columns[g][i] {
                for &(q, y) in &b.columns[g][j] {
                    for &(r, z) in &c.columns[g][k] {
                        let at = (p * b.size + q) * c.size + r;
                        support.push(at);
                        column[at] += weight * x * y * z;
                    }
                }
            }
        }
        // Twice is enough: the second pass removes what rounding left in the first.
        for _ in 0..2 {
            for &(vector, _) in &touching[index] {
                let vector = &found[vector];
                let coefficient: f64 = vector.iter().map(|&(at, q)| q * column[at]).sum();
                for &(at, q) in vector {
                    support.push(at);
                    column[at] -= coefficient * q;
                }
            }
        }
        support.sort_unstable();
        support.dedup();
        let norm = support
            .iter()
            .map(|&at| column[at].powi(2))
            .sum::<f64>()
            .sqrt();
        let vector: Sparse = support
            .iter()
            .map(|&at| (at, std::mem::take(&mut column[at]) / norm))
            .filter(|(_, value)| value.abs() > NOISE)
            .collect();
        for &(at, value) in &vector {
            touching[at].push((found.len(), value));
        }
        found.push(vector);
    }
    debug_assert_eq!(found.len(), dimension);
    found
}

/// The diagonal entry `i` of the matrix of `g`.
fn entry(action: &Action, g: usize, i: usize) -> f64 {
    let column = &action.columns[g][i];
    column
        .iter()
        .find(|(row, _)| *row == i)
        .map_or(0.0, |(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::representation::tests::some_representations;
    use crate::group::testing::{max_difference, rank};

    /// The Kronecker product of three square matrices of sizes `n`.
    fn kronecker(matrices: [&[f64]; 3], [p, q, r]: [usize; 3]) -> Vec<f64> {
        let size = p * q * r;
        let entry = |at: usize| {
            let (row, column) = (at / size, at % size);
            matrices[0][row / (q * r) * p + column / (q * r)]
                * matrices[1][row / r % q * q + column / r % q]
                * matrices[2][row % r * r + column % r]
        };
        (0..size * size).map(entry).collect()
    }

    #[test]
    fn the_basis_is_orthonormal_and_the_image_of_the_projector() {
        for group in [Group::cyclic(3), Group::cyclic(5), Group::dihedral(3)] {
            let some = some_representations(group);
            for (i, a) in some.iter().enumerate() {
                for b in &some[i..] {
                    let c = &some[(2 * i + 3) % some.len()];
                    let rho = [a, b, c];
                    let sizes = rho.map(|rho| rho.size(group));
                    let size: usize = sizes.iter().product();
                    let mut projector = vec![0.0; size * size];
                    for g in 0..group.order() {
                        let [p, q, r] = rho.map(|rho| rho.matrix(group, g));
                        let moved = kronecker([&p, &q, &r], sizes);
                        let pairs = projector.iter_mut().zip(moved);
                        pairs.for_each(|(sum, entry)| *sum += entry / group.order() as f64);
                    }
                    let actions = rho.map(|rho| Action::of(rho, group, group));
                    let found = basis(actions.each_ref());
                    assert_eq!(found.len(), rank(&projector, size), "{group} {a} {b} {c}");
                    // P is the sum of q q^T over an orthonormal basis of its image, and only then.
                    let mut sum = vec![0.0; size * size];
                    for vector in &found {
                        for &(i, x) in vector {
                            for &(j, y) in vector {
                                sum[i * size + j] += x * y;
                            }
                        }
                    }
                    let error = max_difference(&sum, &projector);
                    assert!(error <= 1e-14, "{group} {a} {b} {c}: {error}");
                }
            }
        }
    }
}
