//! Kernel bases of all kinds of groups, as they are saved, against formulas written down here.

use super::place::Place;
use super::results::npy_f64;
use std::f64::consts::{SQRT_2, TAU};

/// A saved basis: `[elements, out, in, size, size]`.
struct Basis {
    shape: [usize; 5],
    values: Vec<f64>,
}

impl Basis {
    fn of(place: &Place, arguments: &str) -> Self {
        let told = place.json(&format!("group basis {arguments} --out basis.npy"));
        let values = npy_f64(&place.path("basis.npy"));
        let shape = told["shape"].as_array().unwrap();
        let shape = [0, 1, 2, 3, 4].map(|i| shape[i].as_u64().unwrap() as usize);
        assert_eq!(told["dimension"].as_u64().unwrap() as usize, shape[0]);
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Basis { shape, values }
    }

    /// The matrix `[out, in]` of an element at the pixel `(x, y)`, `y` up, counted from the centre.
    fn at(&self, element: usize, [x, y]: [i32; 2]) -> Vec<Vec<f64>> {
        let [_, outputs, inputs, size, _] = self.shape;
        let r = size as i32 / 2;
        let pixel = ((r - y) * size as i32 + r + x) as usize;
        let entry = |o, i| ((element * outputs + o) * inputs + i) * size * size + pixel;
        (0..outputs)
            .map(|o| (0..inputs).map(|i| self.values[entry(o, i)]).collect())
            .collect()
    }
}

fn product(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |row: &Vec<f64>| {
        (0..b[0].len())
            .map(|j| row.iter().zip(b).map(|(v, b)| v * b[j]).sum())
            .collect()
    };
    a.iter().map(row).collect()
}

fn transposed(a: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..a[0].len())
        .map(|j| a.iter().map(|row| row[j]).collect())
        .collect()
}

/// Rotations by `turn` full turns: the matrices of irreps of these frequencies, on the diagonal.
fn irreps(frequencies: &[usize], turn: f64) -> Vec<Vec<f64>> {
    let n = frequencies
        .iter()
        .map(|&k| if k == 0 { 1 } else { 2 })
        .sum();
    let mut matrix = vec![vec![0.0; n]; n];
    let mut at = 0;
    for &k in frequencies {
        let (sin, cos) = (TAU * k as f64 * turn).sin_cos();
        matrix[at][at] = cos;
        if k > 0 {
            matrix[at][at + 1] = -sin;
            matrix[at + 1][at] = sin;
            matrix[at + 1][at + 1] = cos;
        }
        at += if k == 0 { 1 } else { 2 };
    }
    matrix
}

/// A rotation by `steps` steps of the regular representation of `C_m`.
fn regular(m: usize, steps: usize) -> Vec<Vec<f64>> {
    let entry = |to: usize, from: usize| f64::from(u8::from(to == (from + steps) % m));
    (0..m)
        .map(|to| (0..m).map(|from| entry(to, from)).collect())
        .collect()
}

/// `k(R x) = rho_out k(x) rho_in^T` for the quarter turns `R`, all elements and pixels.
fn assert_commutes(
    basis: &Basis,
    quarters: &[usize],
    rho_out: impl Fn(usize) -> Vec<Vec<f64>>,
    rho_in: impl Fn(usize) -> Vec<Vec<f64>>,
) {
    let r = basis.shape[3] as i32 / 2;
    for element in 0..basis.shape[0] {
        let mut energy = 0.0;
        for (x, y) in (-r..=r).flat_map(|x| (-r..=r).map(move |y| (x, y))) {
            let here = basis.at(element, [x, y]);
            energy += here.concat().iter().map(|v| v * v).sum::<f64>();
            for &q in quarters {
                let there = [[x, y], [-y, x], [-x, -y], [y, -x]][q];
                let found = basis.at(element, there);
                let expected = product(&product(&rho_out(q), &here), &transposed(&rho_in(q)));
                for (f, e) in found.concat().iter().zip(expected.concat()) {
                    assert!(
                        (f - e).abs() <= 1e-12,
                        "{f} instead of {e}, quarter turn {q}"
                    );
                }
            }
        }
        assert!((energy - 1.0).abs() <= 1e-12, "{energy}");
    }
}

#[test]
fn kernels_on_the_grid_commute_with_its_rotations() {
    let place = Place::new();
    let one = |_| irreps(&[0], 0.0);
    for (group, m, quarters) in [
        ("C4", 4, &[0, 1, 2, 3][..]),
        ("c8", 8, &[0, 1, 2, 3]),
        ("C6", 6, &[0, 2]),
        ("C12", 12, &[0, 1, 2, 3]),
    ] {
        for size in [3, 5] {
            let arguments = format!(
                "--group {group} --basis harmonic --input regular --output regular --size {size}"
            );
            let basis = Basis::of(&place, &arguments);
            let turn = |q: usize| regular(m, q * m / 4);
            assert_commutes(&basis, quarters, turn, turn);
            assert_eq!(basis.shape[0], m * if size == 3 { 6 } else { 11 });
        }
    }
    // Of D4, the rotations; element 4 + r is a rotation after the mirror x -> -x.
    let d4 = Basis::of(&place, "--group D4 --input trivial --output regular");
    let turn = |q: usize| {
        let rotations = regular(4, q);
        let mut matrix = vec![vec![0.0; 8]; 8];
        for (i, row) in rotations.iter().enumerate() {
            matrix[i][..4].copy_from_slice(row);
            matrix[4 + i][4..].copy_from_slice(row);
        }
        matrix
    };
    assert_eq!(d4.shape, [9, 8, 1, 3, 3]);
    assert_commutes(&d4, &[0, 1, 2, 3], turn, one);
    for element in 0..9 {
        for (x, y) in (-1..=1).flat_map(|x| (-1..=1).map(move |y| (x, y))) {
            let [here, there] = [[x, y], [-x, y]].map(|p| d4.at(element, p));
            for r in 0..4 {
                // F R^r = R^-r F.
                assert_eq!(there[4 + (4 - r) % 4][0], here[r][0], "{element} {r}");
            }
        }
    }
}

#[test]
fn kernels_of_all_rotations_commute_with_those_of_the_grid() {
    let place = Place::new();
    for (input, frequencies_in, output, frequencies_out) in [
        ("irrep(0)+irrep(1)", &[0, 1][..], "irrep(2)", &[2][..]),
        ("irrep(1)", &[1], "irrep(1)+trivial", &[1, 0]),
    ] {
        let arguments =
            format!("--group SO2 --input {input} --output {output} --size 5 --basis harmonic");
        let basis = Basis::of(&place, &arguments);
        let turned =
            |frequencies: &'static [usize]| move |q: usize| irreps(frequencies, q as f64 / 4.0);
        assert_commutes(
            &basis,
            &[1, 2, 3],
            turned(frequencies_out),
            turned(frequencies_in),
        );
    }
    // 0 -> 2 at frequency 2 and 1 -> 2 at 1 and 3, twice each; rings of 5x5: 0, then 2 and 2.
    let basis = Basis::of(
        &place,
        "--group SO2 --input irrep(0)+irrep(1) --output irrep(2) --size 5 --basis harmonic",
    );
    assert_eq!(basis.shape, [8, 2, 3, 5, 5]);
}

/// A kernel on 3x3 pixels as a function of the plane, `profile(r) (a0 + a1 cos phi + ...)`, read off
/// from its samples.
struct Function([f64; 5]);

const PROFILE_WIDTH: f64 = 0.4;

fn profile(r: f64) -> f64 {
    (-((r - 1.0) / PROFILE_WIDTH).powi(2) / 2.0).exp()
}

impl Function {
    fn of(f: impl Fn([i32; 2]) -> f64) -> Self {
        let [e, n, w, s] = [[1, 0], [0, 1], [-1, 0], [0, -1]].map(&f);
        let [ne, nw, sw, se] = [[1, 1], [-1, 1], [-1, -1], [1, -1]].map(&f);
        Function([
            (e + n + w + s) / 4.0,
            (e - w) / 2.0,
            (n - s) / 2.0,
            (e + w - n - s) / 4.0,
            (ne + sw - nw - se) / (4.0 * profile(SQRT_2)),
        ])
    }

    fn at(&self, r: f64, phi: f64) -> f64 {
        let Function([mean, c1, s1, c2, s2]) = self;
        let (sin, cos) = phi.sin_cos();
        let (sin2, cos2) = (2.0 * phi).sin_cos();
        profile(r) * (mean + c1 * cos + s1 * sin + c2 * cos2 + s2 * sin2)
    }
}

#[test]
fn off_the_grid_kernels_are_turned_functions() {
    let place = Place::new();
    for m in [3, 4, 5, 6, 8, 12] {
        let arguments = format!("--group C{m} --input trivial --output regular --basis harmonic");
        let basis = Basis::of(&place, &arguments);
        assert_eq!(basis.shape, [6, m, 1, 3, 3]);
        for element in 0..6 {
            let first = Function::of(|p| basis.at(element, p)[0][0]);
            for g in 0..m {
                for (x, y) in (-1..=1).flat_map(|x| (-1..=1).map(move |y| (x, y))) {
                    let found = basis.at(element, [x, y])[g][0];
                    // k_g(x) = k_e(R_g^-1 x).
                    let (x, y) = (f64::from(x), f64::from(y));
                    let expected = match x.hypot(y) {
                        0.0 => basis.at(element, [0, 0])[0][0],
                        r => first.at(r, y.atan2(x) - TAU * g as f64 / m as f64),
                    };
                    let error = (found - expected).abs();
                    assert!(
                        error <= 1e-12,
                        "C{m}, element {element}, rotation {g}: {error}"
                    );
                }
            }
        }
    }
}
