//! Bases of the convolution kernels that commute with a group.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::shape::GridSymmetry;

use super::cache::{self, Kind};
use super::invariants::{self, Action};
use super::{Group, Representation};

/// A basis of convolution kernels `k` of shape `[out, in, size, size]` that satisfy the kernel
/// constraint (Celledoni et al. 2021, eq. 8).
///
/// The layer is the cross-correlation
/// `out[o](row, col) = sum k[o, i, dr, dc] in[i](row + dr - size/2, col + dc - size/2)`; entry
/// `(dr, dc)` is the kernel at the point `x = dc - size/2`, `y = size/2 - dr`, and the layer commutes
/// with `(T_g f)(x) = rho(g) f(R_g^-1 x)`.
#[derive(Clone, PartialEq, Debug)]
pub struct KernelBasis {
    shape: [usize; 5],
    elements: Vec<f64>,
    single: Arc<[f32]>,
}

impl KernelBasis {
    /// The complete basis: every kernel of odd `size` from 1 to 9 with which the layer commutes with
    /// `group`, which must map the pixel grid to itself.
    ///
    /// The elements are orthonormal. For permutation representations they are the indicators of the
    /// orbits of the group on the entries `[out, in, row, column]`, in the order of the orbits'
    /// smallest flat indices, divided by the square root of the orbit's size. In general they are
    /// the columns of the projector onto the solutions, in that order, orthogonalised; each lives on
    /// one orbit of pixels.
    ///
    /// The bases of this process are kept in memory, the least recently used ones up to a limit,
    /// since the layers of a network ask for the same ones again and again.
    ///
    /// # Errors
    /// [`Error::Config`] if the group does not map the grid to itself, the size is not one of the
    /// above, a representation is not one of `group`, or the basis would take more than a gibibyte.
    pub fn complete(
        group: Group,
        input: &Representation,
        output: &Representation,
        size: usize,
    ) -> Result<Arc<KernelBasis>> {
        let key = (Kind::Complete, group, input.clone(), output.clone(), size);
        cache::get(key, || {
            KernelBasis::new_complete(group, input, output, size)
        })
    }

    fn new_complete(
        group: Group,
        input: &Representation,
        output: &Representation,
        size: usize,
    ) -> Result<KernelBasis> {
        check_arguments(group, input, output, size)?;
        if !group.on_grid() {
            return Err(Error::Config(format!(
                "the complete kernel basis needs a group that maps the pixel grid to itself, and \
                 {group} does not: choose one of C1, C2, C4, D1, D2, D4, or the harmonic basis"
            )));
        }
        let symmetries: Vec<GridSymmetry> = (0..group.order())
            .filter_map(|g| group.grid_symmetry(g))
            .collect();
        let factors = [
            &Action::of(output, group, group),
            &Action::of(input, group, group),
            &pixel_action(&symmetries, size),
        ];
        let kernel = [factors[0].size(), factors[1].size(), size, size];
        check_memory(invariants::dimension(factors), kernel)?;

        let solutions = invariants::basis(factors);
        let entries: usize = kernel.iter().product();
        let mut elements = vec![0.0; solutions.len() * entries];
        for (solution, element) in solutions.iter().zip(elements.chunks_mut(entries)) {
            for &(at, value) in solution {
                element[at] = value;
            }
        }
        Ok(KernelBasis::from_elements(
            solutions.len(),
            kernel,
            elements,
        ))
    }

    pub(super) fn from_elements(len: usize, kernel: [usize; 4], elements: Vec<f64>) -> Self {
        let [output, input, rows, columns] = kernel;
        KernelBasis {
            shape: [len, output, input, rows, columns],
            single: elements.iter().map(|&e| e as f32).collect(),
            elements,
        }
    }

    /// The number of elements, the dimension of the space. It can be 0: no kernel of one pixel maps
    /// one irrep to another.
    pub const fn len(&self) -> usize {
        self.shape[0]
    }

    /// Only the zero kernel commutes with the group.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[basis, out, in, size, size]`.
    pub const fn shape(&self) -> [usize; 5] {
        self.shape
    }

    /// The elements, row-major in [`shape`](Self::shape), each of unit Euclidean norm.
    pub fn elements(&self) -> &[f64] {
        &self.elements
    }

    /// The elements in single precision, shared by all who ask: what layers give to the GPU.
    pub fn single_precision(&self) -> &Arc<[f32]> {
        &self.single
    }

    /// The variance of independent weights of mean zero with which a layer that sums over
    /// `input_multiplicity` input fields maps independent inputs of unit variance to outputs whose
    /// variance, averaged over the channels of a field, is 1: `out / (input_multiplicity len)`.
    ///
    /// The output's variance summed over the `out` channels is the variance of a weight times the
    /// sum of the elements' energies, each of which is 1, over all input fields. It is 0 if there
    /// are no weights.
    pub fn init_variance(&self, input_multiplicity: usize) -> f64 {
        let weights = input_multiplicity * self.len();
        if weights == 0 {
            return 0.0;
        }
        self.shape[1] as f64 / weights as f64
    }
}

/// Verifies the arguments that the two bases have in common.
pub(super) fn check_arguments(
    group: Group,
    input: &Representation,
    output: &Representation,
    size: usize,
) -> Result<()> {
    input.check(group)?;
    output.check(group)?;
    if matches!(size, 1 | 3 | 5 | 7 | 9) {
        Ok(())
    } else {
        Err(Error::Config(format!(
            "kernels of {size}x{size} pixels are not supported: choose the size 1, 3, 5, 7 or 9"
        )))
    }
}

/// Verifies that `len` kernels fit into a gibibyte.
pub(super) fn check_memory(len: usize, kernel: [usize; 4]) -> Result<()> {
    const LIMIT: usize = 1 << 30;
    let numbers = kernel
        .iter()
        .try_fold(len, |n, &extent| n.checked_mul(extent));
    match numbers.and_then(|n| n.checked_mul(size_of::<f64>())) {
        Some(bytes) if bytes <= LIMIT => Ok(()),
        _ => Err(Error::Config(format!(
            "a kernel basis of {len} elements of shape {kernel:?} takes more than {LIMIT} bytes: \
             choose a smaller group, representation or kernel"
        ))),
    }
}

/// How symmetries move functions on the kernel's pixels, `(T_g f)(x) = f(R_g^-1 x)`: what stood at a
/// pixel's source stands at the pixel.
fn pixel_action(symmetries: &[GridSymmetry], size: usize) -> Action {
    let moved = |symmetry: &GridSymmetry| {
        let mut moved = vec![0; size * size];
        for pixel in 0..size * size {
            let (row, col) = symmetry.source(pixel / size, pixel % size, size, size);
            moved[row * size + col] = pixel;
        }
        moved
    };
    Action::permutation(symmetries.iter().map(moved).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::representation::tests::some_representations;
    use crate::group::testing::{max_difference, numbers, rank};

    const REGULAR: Representation = Representation::Regular;
    const TRIVIAL: Representation = Representation::Trivial;

    /// Channels of images with `h` rows and `w` columns.
    #[derive(Clone)]
    struct Field {
        h: usize,
        w: usize,
        values: Vec<f64>,
    }

    impl Field {
        fn random(channels: usize, h: usize, w: usize, mut random: impl FnMut() -> f64) -> Self {
            let values = (0..channels * h * w).map(|_| random()).collect();
            Field { h, w, values }
        }

        /// `(T_g f)(x) = rho(g) f(R_g^-1 x)`.
        fn moved(&self, group: Group, rho: &Representation, g: usize) -> Field {
            let symmetry = group.grid_symmetry(g).expect("an on-grid group");
            let n = rho.size(group);
            let matrix = rho.matrix(group, g);
            let (h, w) = if symmetry.swaps_extents() {
                (self.w, self.h)
            } else {
                (self.h, self.w)
            };
            let mut values = vec![0.0; n * h * w];
            for (at, value) in values.iter_mut().enumerate() {
                let (channel, pixel) = (at / (h * w), at % (h * w));
                let (row, col) = symmetry.source(pixel / w, pixel % w, h, w);
                *value = (0..n)
                    .map(|c| {
                        matrix[channel * n + c] * self.values[(c * self.h + row) * self.w + col]
                    })
                    .sum();
            }
            Field { h, w, values }
        }

        /// The layer, zero padded.
        fn convolved(&self, kernel: &[f64], outputs: usize, size: usize) -> Field {
            let (h, w, r) = (self.h, self.w, size / 2);
            let inputs = self.values.len() / (h * w);
            let mut values = vec![0.0; outputs * h * w];
            for (at, value) in values.iter_mut().enumerate() {
                let (o, y, x) = (at / (h * w), at / w % h, at % w);
                for i in 0..inputs {
                    for (dy, dx) in (0..size * size).map(|p| (p / size, p % size)) {
                        let (row, col) = ((y + dy).wrapping_sub(r), (x + dx).wrapping_sub(r));
                        if row < h && col < w {
                            *value += kernel[((o * inputs + i) * size + dy) * size + dx]
                                * self.values[(i * h + row) * w + col];
                        }
                    }
                }
            }
            Field { h, w, values }
        }
    }

    /// The largest relative error of `conv(T_g f) = T_g conv(f)` over the group, for a random
    /// combination of the basis and a random image of unequal sides.
    fn equivariance_error(
        group: Group,
        input: &Representation,
        output: &Representation,
        basis: &KernelBasis,
    ) -> f64 {
        let mut random = numbers(7);
        let [len, outputs, inputs, size, _] = basis.shape();
        let mut kernel = vec![0.0; outputs * inputs * size * size];
        for element in basis.elements().chunks(kernel.len()).take(len) {
            let weight = random();
            kernel
                .iter_mut()
                .zip(element)
                .for_each(|(k, e)| *k += weight * e);
        }
        let image = Field::random(inputs, 6, 5, random);
        let out = image.convolved(&kernel, outputs, size);
        let scale = out.values.iter().fold(1e-300, |m: f64, v| m.max(v.abs()));
        let mut largest = 0.0f64;
        for g in 0..group.order() {
            let there = image
                .moved(group, input, g)
                .convolved(&kernel, outputs, size);
            let expected = out.moved(group, output, g);
            assert_eq!((there.h, there.w), (expected.h, expected.w));
            let error = max_difference(&there.values, &expected.values) / scale;
            assert!(!error.is_nan());
            largest = largest.max(error);
        }
        largest
    }

    #[test]
    fn layers_commute_with_the_group() {
        for group in Group::ON_GRID {
            for (input, output) in [
                (&TRIVIAL, &TRIVIAL),
                (&TRIVIAL, &REGULAR),
                (&REGULAR, &REGULAR),
                (&REGULAR, &TRIVIAL),
            ] {
                for size in [1, 3, 5] {
                    for build in [KernelBasis::complete, KernelBasis::harmonic] {
                        let basis = build(group, input, output, size).expect("valid arguments");
                        let error = equivariance_error(group, input, output, &basis);
                        assert!(
                            error <= 1e-13,
                            "{group} {input} -> {output} {size}: {error}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn layers_between_any_representations_commute() {
        for group in Group::ON_GRID {
            let some = some_representations(group);
            for input in &some {
                for output in &some {
                    for build in [KernelBasis::complete, KernelBasis::harmonic] {
                        let basis = build(group, input, output, 3).expect("valid arguments");
                        let error = equivariance_error(group, input, output, &basis);
                        assert!(error <= 1e-13, "{group} {input} -> {output}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_kernel_outside_the_basis_does_not_commute() {
        let c4 = Group::cyclic(4);
        let mut basis = KernelBasis::new_complete(c4, &TRIVIAL, &REGULAR, 3).expect("ok");
        basis.elements[5] += 0.1;
        assert!(equivariance_error(c4, &TRIVIAL, &REGULAR, &basis) > 1e-3);
    }

    /// The entry `[out, in, row, column]` that `g` moves an entry to, from the group's definition.
    fn moved_entry(
        group: Group,
        [input, output]: [&Representation; 2],
        size: usize,
        g: usize,
        at: usize,
    ) -> usize {
        let inputs = input.size(group);
        let (pixel, rest) = (at % (size * size), at / (size * size));
        let radius = (size / 2) as f64;
        let (x, y) = (
            (pixel % size) as f64 - radius,
            radius - (pixel / size) as f64,
        );
        let [[a, b], [c, d]] = group.matrix(g);
        let col = (a * x + b * y + radius).round() as usize;
        let row = (radius - (c * x + d * y)).round() as usize;
        let i = input.permutation(group, g).expect("a permutation")[rest % inputs];
        let o = output.permutation(group, g).expect("a permutation")[rest / inputs];
        ((o * inputs + i) * size + row) * size + col
    }

    #[test]
    fn permutation_bases_are_the_ordered_orbit_indicators() {
        for group in Group::ON_GRID {
            let some: Vec<_> = some_representations(group)
                .into_iter()
                .filter(Representation::is_permutation)
                .collect();
            for input in &some {
                for output in &some {
                    for size in [3, 5] {
                        let basis = KernelBasis::complete(group, input, output, size).expect("ok");
                        let entries = output.size(group) * input.size(group) * size * size;
                        let mut seen = vec![false; entries];
                        let mut elements = basis.elements().chunks(entries);
                        for first in 0..entries {
                            if seen[first] {
                                continue;
                            }
                            let mut orbit: Vec<usize> = (0..group.order())
                                .map(|g| moved_entry(group, [input, output], size, g, first))
                                .collect();
                            orbit.sort_unstable();
                            orbit.dedup();
                            let mut expected = vec![0.0; entries];
                            for &at in &orbit {
                                seen[at] = true;
                                expected[at] = 1.0 / (orbit.len() as f64).sqrt();
                            }
                            let element = elements.next().expect("an element for each orbit");
                            assert!(max_difference(element, &expected) <= 1e-15, "{group}");
                        }
                        assert!(elements.next().is_none(), "{group} {input} -> {output}");
                    }
                }
            }
        }
    }

    #[test]
    fn dimensions_are_burnsides_count() {
        for group in Group::ON_GRID {
            for [input, output] in [
                [&TRIVIAL, &TRIVIAL],
                [&TRIVIAL, &REGULAR],
                [&REGULAR, &REGULAR],
                [&REGULAR, &TRIVIAL],
            ] {
                for size in [1, 3, 5] {
                    let basis = KernelBasis::complete(group, input, output, size).expect("ok");
                    let entries = basis.elements().len() / basis.len();
                    let fixed = |g| {
                        let stays =
                            |&at: &usize| moved_entry(group, [input, output], size, g, at) == at;
                        (0..entries).filter(stays).count()
                    };
                    let orbits = (0..group.order()).map(fixed).sum::<usize>() / group.order();
                    assert_eq!(basis.len(), orbits, "{group} {input} -> {output} {size}");
                }
            }
        }
        let lens = |group| {
            let pairs = [
                (&TRIVIAL, &TRIVIAL),
                (&TRIVIAL, &REGULAR),
                (&REGULAR, &REGULAR),
                (&REGULAR, &TRIVIAL),
            ];
            pairs.map(|(input, output)| {
                KernelBasis::complete(group, input, output, 3)
                    .expect("ok")
                    .len()
            })
        };
        assert_eq!(lens(Group::cyclic(1)), [9, 9, 9, 9]);
        assert_eq!(lens(Group::cyclic(2)), [5, 9, 18, 9]);
        assert_eq!(lens(Group::cyclic(4)), [3, 9, 36, 9]);
        assert_eq!(lens(Group::dihedral(1)), [6, 9, 18, 9]);
        assert_eq!(lens(Group::dihedral(4)), [3, 9, 72, 9]);
    }

    #[test]
    fn irrep_bases_are_orthonormal_and_the_whole_null_space() {
        for group in [Group::cyclic(4), Group::dihedral(2), Group::dihedral(4)] {
            for input in group.irreps().into_iter().map(Representation::Irrep) {
                for output in group.irreps().into_iter().map(Representation::Irrep) {
                    let (m, n, size) = (input.size(group), output.size(group), 3);
                    let basis = KernelBasis::complete(group, &input, &output, size).expect("ok");
                    let entries = n * m * size * size;
                    for (i, a) in basis.elements().chunks(entries).enumerate() {
                        for (j, b) in basis.elements().chunks(entries).enumerate() {
                            let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                            let expected = f64::from(u8::from(i == j));
                            assert!((product - expected).abs() <= 1e-13, "{group} {product}");
                        }
                    }
                    // The constraint k(R x) - rho_out k(x) rho_in^T = 0 as a dense matrix.
                    let mut constraints = Vec::new();
                    for g in 0..group.order() {
                        let (a, b) = (output.matrix(group, g), input.matrix(group, g));
                        for row in 0..entries {
                            let mut constraint = vec![0.0; entries];
                            let (o, i, pixel) = (row / (m * 9), row / 9 % m, row % 9);
                            let moved = moved_entry(group, [&TRIVIAL; 2], size, g, pixel);
                            constraint[(o * m + i) * 9 + moved] += 1.0;
                            for (p, q) in (0..n * m).map(|c| (c / m, c % m)) {
                                constraint[(p * m + q) * 9 + pixel] -= a[o * n + p] * b[i * m + q];
                            }
                            constraints.extend(constraint);
                        }
                    }
                    let nullity = entries - rank(&constraints, entries);
                    assert_eq!(basis.len(), nullity, "{group} {input} -> {output}");
                }
            }
        }
    }

    #[test]
    fn initial_weights_keep_the_variance() {
        let mut random = numbers(3);
        // Uniform on [-1, 1) has the variance 1/3.
        let mut unit = || 3f64.sqrt() * random();
        let (d4, c8) = (Group::dihedral(4), Group::cyclic(8));
        let vector = Representation::Irrep(d4.irreps()[2]);
        for (group, input, output, build) in [
            (
                d4,
                &TRIVIAL,
                &REGULAR,
                KernelBasis::complete as fn(_, &_, &_, _) -> _,
            ),
            (d4, &REGULAR, &TRIVIAL, KernelBasis::complete),
            (d4, &vector, &REGULAR, KernelBasis::complete),
            (c8, &REGULAR, &REGULAR, KernelBasis::harmonic),
        ] {
            let basis: Arc<KernelBasis> = Result::expect(build(group, input, output, 3), "valid");
            let fields = 3;
            let deviation = basis.init_variance(fields).sqrt();
            let [_, outputs, inputs, size, _] = basis.shape();
            let columns = inputs * size * size;
            let (mut squares, trials) = (0.0, 3000);
            for _ in 0..trials {
                let mut out = vec![0.0; outputs];
                for _ in 0..fields {
                    let patch: Vec<f64> = (0..columns).map(|_| unit()).collect();
                    for element in basis.elements().chunks(outputs * columns) {
                        let weight = deviation * unit();
                        for (value, row) in out.iter_mut().zip(element.chunks(columns)) {
                            let dot: f64 = row.iter().zip(&patch).map(|(k, x)| k * x).sum();
                            *value += weight * dot;
                        }
                    }
                }
                squares += out.iter().map(|v| v * v).sum::<f64>() / outputs as f64;
            }
            let variance = squares / f64::from(trials);
            // The standard error is at most sqrt(2 / 3000) = 0.026, times a little for heavy tails.
            assert!(
                (variance - 1.0).abs() < 0.12,
                "{group} {input} -> {output}: {variance}"
            );
        }
    }

    #[test]
    fn what_cannot_be_built_is_an_error() {
        let c4 = Group::cyclic(4);
        for size in [0, 2, 11] {
            assert!(KernelBasis::complete(c4, &TRIVIAL, &REGULAR, size).is_err());
            assert!(KernelBasis::harmonic(c4, &TRIVIAL, &REGULAR, size).is_err());
        }
        for (group, output) in [
            (Group::cyclic(8), &REGULAR),
            (Group::cyclic(3), &REGULAR),
            (Group::SO2, &TRIVIAL),
        ] {
            let off_grid = KernelBasis::complete(group, &TRIVIAL, output, 3);
            let message = off_grid.expect_err("off the grid").to_string();
            for word in [&group.to_string(), "C4", "harmonic"] {
                assert!(message.contains(word), "{message}");
            }
        }
        assert!(KernelBasis::harmonic(Group::SO2, &TRIVIAL, &REGULAR, 3).is_err());
        let foreign = Representation::Irrep(Group::cyclic(8).irreps()[1]);
        assert!(KernelBasis::complete(c4, &foreign, &REGULAR, 3).is_err());
        assert!(KernelBasis::harmonic(c4, &REGULAR, &foreign, 3).is_err());
        let huge = KernelBasis::harmonic(Group::dihedral(360), &REGULAR, &REGULAR, 9);
        assert!(huge.is_err());
        // No kernel of one pixel turns a scalar into a vector.
        let vector = Representation::Irrep(c4.irreps()[1]);
        let empty = KernelBasis::complete(c4, &TRIVIAL, &vector, 1).expect("an empty basis");
        assert!(empty.is_empty() && empty.init_variance(4) == 0.0);
    }
}
