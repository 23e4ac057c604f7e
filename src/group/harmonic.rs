//! Steerable kernels as functions of the plane: circular harmonics times Gaussian rings.

use std::sync::Arc;

use crate::error::Result;

use super::cache::{self, Kind};
use super::invariants::{self, Action, Sparse};
use super::kernel_basis::{KernelBasis, check_arguments, check_memory};
use super::{Group, Representation};

/// A ring with the profile `exp(-(r - radius)^2 / (2 width^2))`, in pixels, that carries the angular
/// frequencies 0 to `cutoff`.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Ring {
    radius: f64,
    width: f64,
    cutoff: usize,
}

/// The rings of a kernel of odd `size`, by the default rule of the library that the experiments of
/// Celledoni et al. used (e2cnn's `R2Conv`): radii 0 to `size / 2`; width 0.005 on the centre, 0.4 on
/// the outermost ring, 0.6 between; frequencies up to 0 on the centre, 2 on the outermost ring, and
/// between them up to `2 r` on odd and `2 r - 1` on even radii `r`.
fn rings(size: usize) -> Vec<Ring> {
    let outermost = size / 2;
    (0..=outermost)
        .map(|r| {
            let (width, cutoff) = match r {
                0 => (0.005, 0),
                r if r == outermost => (0.4, 2),
                r => (0.6, 2 * r - (r + 1) % 2),
            };
            Ring {
                radius: r as f64,
                width,
                cutoff,
            }
        })
        .collect()
}

/// A matrix-valued function of the plane that satisfies the kernel constraint for every rotation and
/// mirror of its group: `profile(r) sum_c A[out, in, c] Y_c(phi)` with the angular functions
/// `Y = (1)` for frequency 0 and `(cos l phi, sin l phi)` for frequency `l`.
struct SteerableFunction {
    ring: Ring,
    frequency: usize,
    /// `A`, index `entry * harmonics + c` for the matrix entry `entry` of `[out, in]`.
    coefficients: Sparse,
}

impl SteerableFunction {
    /// Adds the value at `(x, y)` to a row-major `[out, in]` matrix with `entry_stride` numbers from
    /// one entry to the next. At the origin, where the angle is undefined, only frequency 0 remains.
    fn add_to(&self, [x, y]: [f64; 2], matrix: &mut [f64], entry_stride: usize) {
        let r = x.hypot(y);
        let Ring { radius, width, .. } = self.ring;
        let profile = (-((r - radius) / width).powi(2) / 2.0).exp();
        if self.frequency == 0 {
            for &(entry, a) in &self.coefficients {
                matrix[entry * entry_stride] += profile * a;
            }
        } else if r > 0.0 {
            // (cos phi + i sin phi)^l by multiplication: exact under quarter turns and mirrors.
            let (cos, sin) = (x / r, y / r);
            let step = |(c, s): (f64, f64), _| (c * cos - s * sin, c * sin + s * cos);
            let (c, s) = (1..self.frequency).fold((cos, sin), step);
            for &(at, a) in &self.coefficients {
                let harmonic = if at.is_multiple_of(2) { c } else { s };
                matrix[at / 2 * entry_stride] += profile * a * harmonic;
            }
        }
    }
}

/// How the group moves the angular functions of one frequency.
fn angular_action(group: Group, frequency: usize) -> Action {
    match frequency {
        0 => Action::new(group, 1, |_| vec![1.0]),
        l => Action::new(group, 2, |g| group.harmonic(l, g).concat()),
    }
}

/// A basis of the steerable functions on `rings`, after verifying that `check` accepts its length.
/// Order: ring, frequency, then that of [`invariants::basis`].
///
/// For a continuous group the solutions are those for finitely many rotations: on the tensor product
/// of the output, the input and an angular function, frequencies do not exceed the sum of theirs.
fn steerable_functions(
    group: Group,
    input: &Representation,
    output: &Representation,
    rings: &[Ring],
    check: impl FnOnce(usize) -> Result<()>,
) -> Result<Vec<SteerableFunction>> {
    let highest = rings.iter().map(|ring| ring.cutoff).max().unwrap_or(0);
    let finite = group.resolving(input.highest_frequency() + output.highest_frequency() + highest);
    let [output, input] = [output, input].map(|rho| Action::of(rho, group, finite));
    let actions: Vec<Action> = (0..=highest).map(|l| angular_action(finite, l)).collect();
    let dimensions: Vec<usize> = actions
        .iter()
        .map(|angular| invariants::dimension([&output, &input, angular]))
        .collect();
    check(
        rings
            .iter()
            .flat_map(|ring| &dimensions[..=ring.cutoff])
            .sum(),
    )?;

    let solutions: Vec<Vec<Sparse>> = actions
        .iter()
        .map(|angular| invariants::basis([&output, &input, angular]))
        .collect();
    let mut functions = Vec::new();
    for &ring in rings {
        for (frequency, solutions) in solutions[..=ring.cutoff].iter().enumerate() {
            functions.extend(solutions.iter().map(|coefficients| SteerableFunction {
                ring,
                frequency,
                coefficients: coefficients.clone(),
            }));
        }
    }
    Ok(functions)
}

impl KernelBasis {
    /// The harmonic basis: circular harmonics times Gaussian rings that satisfy the kernel
    /// constraint as functions of the plane, for any group, finite or continuous, sampled at the pixel centres of a kernel
    /// of odd `size` from 1 to 9 and scaled to unit norm.
    ///
    /// Rings are at the radii 0 to `size / 2` pixels. The angular frequencies are at most 0 on the
    /// centre, 2 on the outermost ring, and `2 r` (odd) or `2 r - 1` (even) on a ring of radius `r`
    /// between; widths are 0.005, 0.4 and 0.6. These are the defaults of e2cnn, the library behind
    /// the experiments of Celledoni et al. 2021. All solutions up to these frequencies are in the
    /// basis; for 3x3 and `C_N` they are 6 (trivial to regular), `6 N` (regular to regular) and 6
    /// (regular to trivial).
    ///
    /// A layer with these kernels commutes exactly with those group elements that map the grid to
    /// itself, and up to the sampling error with the others.
    ///
    /// Bases are kept in memory, as those of [`complete`](Self::complete) are.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if the size is not one of the above, a
    /// representation is not one of `group`, or the basis would take more than a gibibyte.
    pub fn harmonic(
        group: Group,
        input: &Representation,
        output: &Representation,
        size: usize,
    ) -> Result<Arc<KernelBasis>> {
        let key = (Kind::Harmonic, group, input.clone(), output.clone(), size);
        cache::get(key, || {
            KernelBasis::new_harmonic(group, input, output, size)
        })
    }

    fn new_harmonic(
        group: Group,
        input: &Representation,
        output: &Representation,
        size: usize,
    ) -> Result<KernelBasis> {
        check_arguments(group, input, output, size)?;
        let entries = output.size(group) * input.size(group);
        let kernel = [output.size(group), input.size(group), size, size];
        let functions = steerable_functions(group, input, output, &rings(size), |len| {
            check_memory(len, kernel)
        })?;

        let pixels = size * size;
        let mut elements = vec![0.0; functions.len() * entries * pixels];
        for (function, element) in functions.iter().zip(elements.chunks_mut(entries * pixels)) {
            for pixel in 0..pixels {
                let radius = (size / 2) as f64;
                let point = [
                    (pixel % size) as f64 - radius,
                    radius - (pixel / size) as f64,
                ];
                function.add_to(point, &mut element[pixel..], pixels);
            }
            let norm = element.iter().map(|v| v * v).sum::<f64>().sqrt();
            element.iter_mut().for_each(|v| *v /= norm);
        }
        Ok(KernelBasis::from_elements(
            functions.len(),
            kernel,
            elements,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::representation::tests::some_representations;
    use crate::group::testing::{max_difference, multiply, numbers, rank, some_groups, transpose};

    const REGULAR: Representation = Representation::Regular;
    const TRIVIAL: Representation = Representation::Trivial;

    fn len(group: Group, input: &Representation, output: &Representation, size: usize) -> usize {
        let basis = KernelBasis::harmonic(group, input, output, size).expect("valid arguments");
        assert_eq!(basis.shape()[0], basis.len());
        basis.len()
    }

    #[test]
    fn functions_satisfy_the_constraint_everywhere() {
        let mut random = numbers(1);
        for group in some_groups() {
            let some = some_representations(group);
            for (i, input) in some.iter().enumerate() {
                for output in some.iter().skip(i % 3).step_by(3) {
                    let (m, n) = (input.size(group), output.size(group));
                    let rings = rings(7);
                    let functions =
                        steerable_functions(group, input, output, &rings, |_| Ok(())).expect("ok");
                    for function in functions {
                        let value = |point| {
                            let mut matrix = vec![0.0; n * m];
                            function.add_to(point, &mut matrix, 1);
                            matrix
                        };
                        // Near the ring, so that no profile is tiny.
                        let radius = function.ring.radius;
                        let offset = function.ring.width * random();
                        let (sin, cos) = (4.0 * random()).sin_cos();
                        let [x, y] = [(radius + offset) * cos, (radius + offset) * sin];
                        let here = value([x, y]);
                        let g = (random().abs() * group.order() as f64) as usize;
                        for g in [g, group.order() - 1] {
                            let [[a, b], [c, d]] = group.matrix(g);
                            let there = value([a * x + b * y, c * x + d * y]);
                            let left = multiply(&output.matrix(group, g), &here, n);
                            let inverse = transpose(&input.matrix(group, g), m);
                            let error = max_difference(&there, &multiply(&left, &inverse, m));
                            assert!(error <= 1e-12, "{group} {input} {output} {g}: {error}");
                        }
                    }
                }
            }
        }
    }

    /// The functions on one ring, by frequency.
    fn on_a_ring(
        group: Group,
        [input, output]: [&Representation; 2],
        cutoff: usize,
    ) -> Vec<SteerableFunction> {
        let ring = Ring {
            radius: 1.0,
            width: 0.4,
            cutoff,
        };
        steerable_functions(group, input, output, &[ring], |_| Ok(())).expect("valid")
    }

    #[test]
    fn functions_of_continuous_groups_satisfy_the_constraint_at_every_angle() {
        let mut random = numbers(2);
        for group in [Group::SO2, Group::O2] {
            let mut some: Vec<_> = (group.irreps_up_to(4).into_iter())
                .map(Representation::Irrep)
                .collect();
            some.push(Representation::Trivial);
            some.push(Representation::Sum(some[1..4].to_vec()));
            for input in &some {
                for output in &some {
                    let (m, n) = (input.size(group), output.size(group));
                    for function in on_a_ring(group, [input, output], 9) {
                        let value = |point| {
                            let mut matrix = vec![0.0; n * m];
                            function.add_to(point, &mut matrix, 1);
                            matrix
                        };
                        let (sin, cos) = (4.0 * random()).sin_cos();
                        let here = value([cos, sin]);
                        let angle = 4.0 * random();
                        let (s, c) = angle.sin_cos();
                        for mirrored in [false, true] {
                            if mirrored && !group.has_mirrors() {
                                continue;
                            }
                            let x = if mirrored { -cos } else { cos };
                            let there = value([c * x - s * sin, s * x + c * sin]);
                            let [rho_out, rho_in] = [output, input]
                                .map(|rho| rho.matrix_at(group, angle, mirrored).expect("of it"));
                            let left = multiply(&rho_out, &here, n);
                            let expected = multiply(&left, &transpose(&rho_in, m), m);
                            let error = max_difference(&there, &expected);
                            assert!(error <= 1e-12, "{group} {input} {output}: {error}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn continuous_groups_have_the_solutions_of_the_closed_form() {
        // For irreps m and n of SO(2), the angular part is a combination of turns by n - m, and of
        // mirrored turns by n + m (Weiler and Cesa 2019, table 8).
        let irrep = |k| Representation::parse(&format!("irrep({k})"), Group::SO2).expect("of it");
        for m in 0..=4usize {
            for n in 0..=4usize {
                let functions = on_a_ring(Group::SO2, [&irrep(m), &irrep(n)], 9);
                for frequency in 0..=9 {
                    let found = functions
                        .iter()
                        .filter(|f| f.frequency == frequency)
                        .count();
                    let expected = match (m, n) {
                        (0, 0) => usize::from(frequency == 0),
                        (0, k) | (k, 0) => 2 * usize::from(frequency == k),
                        _ => {
                            2 * usize::from(frequency == m.abs_diff(n))
                                + 2 * usize::from(frequency == m + n)
                        }
                    };
                    assert_eq!(found, expected, "{m} -> {n}, frequency {frequency}");
                }
            }
        }
        // The mirrors of O(2) leave one of each two (table 9).
        let of = |text: &str| Representation::parse(text, Group::O2).expect("of it");
        for (input, output, expected) in [
            ("irrep(0)", "irrep(0)", vec![0]),
            ("irrep(0)", "irrep(0,odd)", vec![]),
            ("irrep(0,odd)", "irrep(0,odd)", vec![0]),
            ("irrep(0)", "irrep(2)", vec![2]),
            ("irrep(3)", "irrep(0,odd)", vec![3]),
            ("irrep(1)", "irrep(3)", vec![2, 4]),
            ("irrep(2)", "irrep(2)", vec![0, 4]),
        ] {
            let functions = on_a_ring(Group::O2, [&of(input), &of(output)], 9);
            let frequencies: Vec<usize> = functions.iter().map(|f| f.frequency).collect();
            assert_eq!(frequencies, expected, "{input} -> {output}");
        }
    }

    #[test]
    fn sampled_kernels_of_continuous_groups_commute_with_quarter_turns() {
        for (group, on_grid) in [
            (Group::SO2, Group::cyclic(4)),
            (Group::O2, Group::dihedral(4)),
        ] {
            let parse = |text| Representation::parse(text, group).expect("of it");
            let (input, output) = (parse("irrep(0)+irrep(1)"), parse("irrep(2)+trivial"));
            let (m, n, size) = (input.size(group), output.size(group), 5);
            let basis = KernelBasis::harmonic(group, &input, &output, size).expect("valid");
            assert!(!basis.is_empty());
            for element in basis.elements().chunks(n * m * size * size) {
                let energy: f64 = element.iter().map(|v| v * v).sum();
                assert!((energy - 1.0).abs() <= 1e-12);
                for g in 0..on_grid.order() {
                    let rho_in = transpose(&input.restricted_matrix(group, on_grid, g), m);
                    let rho_out = output.restricted_matrix(group, on_grid, g);
                    let symmetry = on_grid.grid_symmetry(g).expect("on the grid");
                    for pixel in 0..size * size {
                        let at = |pixel: usize| -> Vec<f64> {
                            element
                                .iter()
                                .skip(pixel)
                                .step_by(size * size)
                                .copied()
                                .collect()
                        };
                        let (row, col) = symmetry.source(pixel / size, pixel % size, size, size);
                        let here = at(row * size + col);
                        let expected = multiply(&multiply(&rho_out, &here, n), &rho_in, m);
                        let error = max_difference(&at(pixel), &expected);
                        assert!(error <= 1e-14, "{group} {g}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn dimensions_are_those_of_the_published_basis() {
        for n in 1..=12 {
            let group = Group::cyclic(n);
            assert_eq!(len(group, &TRIVIAL, &REGULAR, 3), 6);
            assert_eq!(len(group, &REGULAR, &REGULAR, 3), 6 * n);
            assert_eq!(len(group, &REGULAR, &TRIVIAL, 3), 6);
        }
        for n in 1..=6 {
            let group = Group::dihedral(n);
            assert_eq!(len(group, &TRIVIAL, &REGULAR, 3), 6);
            assert_eq!(len(group, &REGULAR, &REGULAR, 3), 12 * n);
        }
        // Angular functions in all: 1 + 5 + 5, 1 + 5 + 7 + 5, 1 + 5 + 7 + 13 + 5.
        let c4 = Group::cyclic(4);
        let sizes = [1, 5, 7, 9].map(|size| len(c4, &TRIVIAL, &REGULAR, size));
        assert_eq!(sizes, [1, 11, 18, 31]);
    }

    #[test]
    fn samples_are_finite_independent_and_of_unit_energy() {
        for group in [Group::cyclic(4), Group::dihedral(3), Group::cyclic(12)] {
            for size in [1, 3, 5, 7, 9] {
                for output in [TRIVIAL, REGULAR] {
                    let basis = KernelBasis::harmonic(group, &TRIVIAL, &output, size).expect("ok");
                    let columns = basis.elements().len() / basis.len();
                    for element in basis.elements().chunks(columns) {
                        let energy: f64 = element.iter().map(|v| v * v).sum();
                        assert!((energy - 1.0).abs() <= 1e-12, "{group} {size}: {energy}");
                    }
                    assert_eq!(
                        rank(basis.elements(), columns),
                        basis.len(),
                        "{group} {size}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_pair_of_irreps_gives_finite_kernels() {
        for group in some_groups() {
            for input in group.irreps().into_iter().map(Representation::Irrep) {
                for output in group.irreps().into_iter().map(Representation::Irrep) {
                    for size in [3, 9] {
                        let basis = KernelBasis::harmonic(group, &input, &output, size);
                        let basis = basis.expect("valid arguments");
                        assert!(basis.elements().iter().all(|v| v.is_finite()));
                    }
                }
            }
        }
    }

    #[test]
    fn on_the_grid_it_spans_part_of_the_complete_basis() {
        let c4 = Group::cyclic(4);
        let harmonic = KernelBasis::harmonic(c4, &REGULAR, &REGULAR, 3).expect("ok");
        let complete = KernelBasis::complete(c4, &REGULAR, &REGULAR, 3).expect("ok");
        let columns = 4 * 4 * 9;
        assert_eq!(rank(harmonic.elements(), columns), 24);
        assert_eq!(rank(complete.elements(), columns), 36);
        let both = [harmonic.elements(), complete.elements()].concat();
        assert_eq!(rank(&both, columns), 36);
    }

    #[test]
    fn three_by_three_samples_are_the_closed_form() {
        // Trivial to trivial under C1: delta, then ring 1 times 1, cos, sin, cos 2, sin 2.
        let basis = KernelBasis::harmonic(Group::TRIVIAL, &TRIVIAL, &TRIVIAL, 3).expect("ok");
        let corner = (-(2f64.sqrt() - 1.0).powi(2) / (2.0 * 0.4 * 0.4)).exp();
        let centre = (-1.0 / (2.0 * 0.4 * 0.4f64)).exp();
        let k = corner / 2f64.sqrt();
        let expected = [
            [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            [corner, 1.0, corner, 1.0, centre, 1.0, corner, 1.0, corner],
            [-k, 0.0, k, -1.0, 0.0, 1.0, -k, 0.0, k],
            [k, 1.0, k, 0.0, 0.0, 0.0, -k, -1.0, -k],
            [0.0, -1.0, 0.0, 1.0, 0.0, 1.0, 0.0, -1.0, 0.0],
            [-corner, 0.0, corner, 0.0, 0.0, 0.0, corner, 0.0, -corner],
        ];
        for (element, expected) in basis.elements().chunks(9).zip(expected) {
            let norm = expected.iter().map(|v| v * v).sum::<f64>().sqrt();
            let error = max_difference(element, &expected.map(|v| v / norm));
            assert!(error <= 1e-15, "{element:?}");
        }
    }

    #[test]
    fn a_wide_group_takes_well_under_a_second() {
        let start = std::time::Instant::now();
        let basis = KernelBasis::harmonic(Group::cyclic(12), &REGULAR, &REGULAR, 3);
        assert_eq!(basis.map(|b| b.len()).ok(), Some(72));
        let seconds = start.elapsed().as_secs_f64();
        assert!(seconds < 1.0, "{seconds} s");
    }
}
