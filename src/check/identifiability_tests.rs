use super::*;
use crate::data::random::Stream;
use crate::operators::{FourierSampling, RayTransform};
use crate::reference::ray_transform;
use crate::shape::RayGeometry;
use crate::tape::Var;

fn found(operator: &dyn LinearOperator, groups: &str) -> Identifiability {
    let groups: Vec<TransformGroup> = groups
        .split_whitespace()
        .map(|name| name.parse().expect("a set of transforms"))
        .collect();
    identifiability(operator, &groups).expect("small")
}

/// Singular values of `M` that are `factor` times `expected`, to 1e-6 of the largest: what rounding
/// leaves of those that should be zero.
#[track_caller]
fn assert_spectrum(found: &Spectrum, expected: &Spectrum, factor: f64) {
    let tolerance = 1e-6 * found.singular_values[0];
    let pairs = found.singular_values.iter().zip(&expected.singular_values);
    for (i, (f, e)) in pairs.enumerate() {
        let e = factor * e;
        assert!((f - e).abs() <= tolerance, "{i}: {f} instead of {e}");
    }
    assert_eq!(found.rank, expected.rank);
}

/// k-space of which these rows are measured.
fn lines(size: [usize; 2], rows: &[usize]) -> FourierSampling {
    let entries = 0..size[0] * size[1];
    let measured: Vec<bool> = entries.map(|i| rows.contains(&(i / size[1]))).collect();
    FourierSampling::new(size, &measured).expect("valid")
}

/// A scan of a square image at equidistant angles.
fn scan(size: usize, views: usize) -> RayTransform {
    RayTransform::new(RayGeometry::parallel([size, size], 0.36, views, 2 * size))
}

/// Any matrix, as an operator on images of `rows` x `columns` pixels.
struct Dense {
    image: Shape,
    measurements: usize,
    matrix: Vec<f32>,
}

impl Dense {
    fn product(&self, tape: &mut Tape, x: Var, transpose: bool) -> Result<Var> {
        let (n, from, to) = match transpose {
            false => (self.image.elements(), self.image, self.range()),
            true => (self.measurements, self.range(), self.image),
        };
        let batch = x.shape().n();
        assert_eq!(x.shape(), from.with(0, batch));
        let flat = tape.reshape(x, Shape::new(1, 1, batch, n))?;
        let shape = Shape::new(1, 1, self.measurements, self.image.elements());
        let matrix = tape.constant(shape, self.matrix.clone())?;
        let product = tape.matmul(flat, matrix, false, !transpose)?;
        tape.reshape(product, to.with(0, batch))
    }
}

impl LinearOperator for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn domain(&self) -> Shape {
        self.image
    }

    fn range(&self) -> Shape {
        Shape::vector(self.measurements)
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        self.product(tape, x, false)
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.product(tape, y, true)
    }

    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.adjoint(tape, y)
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        "transpose"
    }
}

/// Of `pixels`, numbered row by row, the values.
fn inpainting(image: Shape, pixels: &[usize]) -> Dense {
    let n = image.elements();
    let mut matrix = vec![0.0; pixels.len() * n];
    for (row, &pixel) in pixels.iter().enumerate() {
        matrix[row * n + pixel] = 1.0;
    }
    Dense {
        image,
        measurements: pixels.len(),
        matrix,
    }
}

#[test]
fn the_operator_alone_is_its_matrix() {
    let operator = scan(7, 3);
    let beam = RayGeometry::parallel([7, 7], 0.36, 3, 14);
    let a = ray_transform::matrix(&beam);
    let gram = gram(&operator).expect("recorded");
    for i in 0..49 {
        for j in 0..49 {
            let products = a.chunks_exact(49).map(|row| row[i] * row[j]);
            let expected: f64 = products.sum();
            assert!((gram[i * 49 + j] - expected).abs() < 1e-15, "{i} {j}");
        }
    }
}

#[test]
fn all_of_k_space_needs_no_transform() {
    let found = found(&lines([5, 8], &[0, 1, 2, 3, 4]), "C1");
    assert!(found.identifiable && found.enough_measurements);
    assert_eq!((found.order, found.unknowns, found.measured), (1, 80, 80));
    // Unitary.
    assert!((found.stacked.smallest - 1.0).abs() < 1e-12);
    let verdict = found.verdict();
    assert!(verdict.contains("has no null space"), "{verdict}");
}

#[test]
fn shifts_reveal_nothing_of_k_space() {
    // Rectangular, so that rows and columns cannot be confused.
    let operator = lines([6, 9], &[0, 1, 4]);
    let found = found(&operator, "shifts");
    assert!(!found.identifiable);
    assert_eq!((found.alone.rank, found.stacked.rank), (54, 54));
    // Of complex k-space what is measured, not all of the range.
    assert_eq!(found.measured, 54);
    // Counting alone would allow it: 54 measurements by 54 shifts.
    assert!(found.enough_measurements);
    // They commute up to phases: M^T M is A^T A as often as there are shifts.
    assert_spectrum(&found.stacked, &found.alone, 54f64.sqrt());
    let verdict = found.verdict();
    assert!(
        verdict.starts_with("no: with shifts 54 of 108 dimensions"),
        "{verdict}"
    );
}

#[test]
fn most_of_a_spectrum_may_be_rounding() {
    let found = found(&lines([20, 20], &[0, 1, 5, 19]), "C2");
    // Half a turn adds row 15.
    assert_eq!((found.alone.rank, found.stacked.rank), (160, 200));
    assert_eq!((found.alone.below.tenth, found.unknowns), (640, 800));
}

#[test]
fn quarter_turns_reveal_columns_of_k_space() {
    let operator = lines([8, 8], &[0, 1, 7, 2]);
    let c4 = found(&operator, "C4");
    // Rows 0, 1, 7 and 2, half a turn adds 6; as many columns, which cross them in 25 entries.
    assert_eq!((c4.alone.rank, c4.stacked.rank), (64, 2 * (80 - 25)));
    assert!(!c4.identifiable);
    // With shifts as well, the same; every shift counts.
    for both in ["C4 shifts", "shifts C4"] {
        let both = found(&operator, both);
        assert_eq!(both.order, 4 * 64);
        assert_spectrum(&both.stacked, &c4.stacked, 8.0);
    }
}

#[test]
fn shifts_reveal_every_pixel_once_one_is_measured() {
    let image = Shape::new(1, 1, 4, 6);
    let found = found(&inpainting(image, &[3, 17, 20]), "shifts");
    assert_eq!((found.alone.rank, found.stacked.rank), (3, 24));
    assert!(found.identifiable);
    // Each pixel is seen by each of the three at one shift.
    let values = &found.stacked.singular_values;
    assert!(values.iter().all(|v| (v - 3f64.sqrt()).abs() < 1e-12));
    assert_eq!(found.alone.below.thousandth, 21);
}

#[test]
fn a_scan_turned_by_quarters_is_one_with_twice_the_views() {
    // Three views turned by 90 degrees are the other three of six; each comes twice.
    let turned = found(&scan(9, 3), "C4");
    let six = found(&scan(9, 6), "C1");
    assert!(turned.alone.rank < six.alone.rank);
    assert_spectrum(&turned.stacked, &six.alone, 2f64.sqrt());
    // Views that quarter turns take to each other are nothing new.
    let four = found(&scan(9, 4), "C4");
    assert_eq!(four.stacked.rank, four.alone.rank);
    assert!(!four.identifiable);
}

#[test]
fn rotations_of_a_scan_with_few_views_reveal_its_null_space() {
    let found = found(&scan(10, 2), "C36");
    assert!(found.alone.rank < 40);
    assert!(found.identifiable, "{}", found.verdict());
    assert!(found.stacked.smallest > 1e-3 && found.stacked.smallest < 0.5);
}

/// A transform as a function on images.
type Motion = Box<dyn Fn(&[f64]) -> Vec<f64>>;

/// `M` row by row, from its definition.
fn stacked(operator: &Dense, transforms: &[Motion]) -> Vec<f64> {
    let n = operator.image.elements();
    let mut rows = vec![0.0; transforms.len() * operator.measurements * n];
    for pixel in 0..n {
        let mut unit = vec![0.0; n];
        unit[pixel] = 1.0;
        for (g, transform) in transforms.iter().enumerate() {
            let moved = transform(&unit);
            for (row, weights) in operator.matrix.chunks_exact(n).enumerate() {
                let products = weights.iter().zip(&moved).map(|(&w, v)| f64::from(w) * v);
                rows[((g * operator.measurements) + row) * n + pixel] = products.sum();
            }
        }
    }
    rows
}

#[test]
fn products_of_sets_are_all_pairs_with_the_first_one_last() {
    // Two channels, not square: every index counts.
    let image = Shape::new(1, 2, 3, 4);
    let n = image.elements();
    let mut stream = Stream::new(3, "matrix");
    let entries = (0..2 * n).map(|_| stream.between(-1.0, 1.0) as f32);
    let operator = Dense {
        image,
        measurements: 2,
        matrix: entries.collect(),
    };
    let rotations = || {
        (0..3).map(move |g| {
            let map = Affine::linear(Group::cyclic(3).matrix(g));
            let maps: Vec<f64> = (Maps::of(&[map]).expect("a rotation").into_iter())
                .map(f64::from)
                .collect();
            move |x: &[f64]| warp::forward(x, image, &maps).value
        })
    };
    let shifts = || {
        (0..3)
            .flat_map(|dr| (0..4).map(move |dc| [dr, dc]))
            .map(|[dr, dc]| {
                move |x: &[f64]| -> Vec<f64> {
                    let at =
                        |c: usize, r: usize, k: usize| x[(c * 3 + (r + dr) % 3) * 4 + (k + dc) % 4];
                    (0..24).map(|i| at(i / 12, i / 4 % 3, i % 4)).collect()
                }
            })
    };
    let mut spectra = Vec::new();
    for (groups, shifts_last) in [("shifts C3", true), ("C3 shifts", false)] {
        let mut pairs: Vec<Motion> = Vec::new();
        for turn in rotations() {
            for shift in shifts() {
                let turn = turn.clone();
                pairs.push(match shifts_last {
                    true => Box::new(move |x: &[f64]| shift(&turn(x))),
                    false => Box::new(move |x: &[f64]| turn(&shift(x))),
                });
            }
        }
        let rows = stacked(&operator, &pairs);
        let mut gram = vec![0.0; n * n];
        for row in rows.chunks_exact(n) {
            for (i, a) in row.iter().enumerate() {
                for (j, b) in row.iter().enumerate() {
                    gram[i * n + j] += a * b;
                }
            }
        }
        let expected = Spectrum::of_gram(gram, n).expect("finite");
        let found = found(&operator, groups);
        assert_eq!(found.order, 36);
        assert_spectrum(&found.stacked, &expected, 1.0);
        spectra.push(found.stacked);
    }
    // Rotations of pixels and circular shifts do not commute.
    let [a, b] = [0, 1].map(|i| spectra[i].singular_values[5]);
    assert!((a - b).abs() > 1e-3, "{a} {b}");
}

#[test]
fn mirrors_and_half_turns_are_permutations_of_any_image() {
    let image = Shape::new(1, 1, 3, 4);
    // A corner: the half turn adds the opposite one, mirrors the other two.
    for (group, rank) in [("C1", 1), ("C2", 2), ("D1", 2), ("D2", 4)] {
        let found = found(&inpainting(image, &[0]), group);
        assert_eq!(found.stacked.rank, rank, "{group}");
        // Each pixel counts whole: nothing is interpolated.
        let values = &found.stacked.singular_values;
        let whole = (found.order as f64 / rank as f64).sqrt();
        assert!(values[..rank].iter().all(|v| (v - whole).abs() < 1e-12));
    }
}

#[test]
fn nothing_measured_is_rank_zero() {
    let image = Shape::new(1, 1, 3, 3);
    let nothing = Dense {
        image,
        measurements: 1,
        matrix: vec![0.0; 9],
    };
    let found = found(&nothing, "D4");
    assert_eq!((found.alone.rank, found.stacked.rank), (0, 0));
    assert_eq!(
        (found.stacked.smallest, found.stacked.below.tenth),
        (0.0, 9)
    );
    assert!(found.stacked.relative().all(|v| v == 0.0));
}

#[test]
fn what_is_too_large_or_no_transform_is_refused() {
    let config = |result: Result<Identifiability>, named: &[&str]| {
        let error = result.expect_err("refused");
        assert!(matches!(error, Error::Config(_)), "{error}");
        for name in named {
            assert!(error.to_string().contains(name), "{error}");
        }
    };
    let scan_of =
        |rows, columns| RayTransform::new(RayGeometry::parallel([rows, columns], 0.36, 2, 4));
    let [c4, d360] = ["c4", "D360"].map(|name| name.parse::<TransformGroup>().expect("a group"));
    config(
        identifiability(&scan_of(46, 46), &[c4]),
        &["2116", "--size"],
    );
    config(
        identifiability(&scan_of(4, 5), &[c4]),
        &["C4", "C2", "square"],
    );
    config(
        identifiability(&scan_of(20, 20), &[d360, d360]),
        &["720 of D360 times 720 of D360", "--size"],
    );
    // More than a machine word counts.
    config(
        identifiability(&scan_of(20, 20), &[TransformGroup::Shifts; 12]),
        &["400 of shifts"],
    );
    for (name, named) in [("Q8", "shifts"), ("SO2", "finite"), ("", "shifts")] {
        let error = name.parse::<TransformGroup>().expect_err("refused");
        assert!(matches!(error, Error::Config(_)), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let nan = Dense {
        image: Shape::new(1, 1, 2, 2),
        measurements: 1,
        matrix: vec![f32::NAN; 4],
    };
    let error = identifiability(&nan, &[c4]).expect_err("refused");
    assert!(matches!(error, Error::NotFinite(_)), "{error}");
}
