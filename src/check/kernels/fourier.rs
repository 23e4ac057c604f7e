//! Fourier transforms, and products of complex values.

use crate::check::Check;
use crate::check::harness::{Case, Problem, close, close_in_norm, wide};
use crate::kernels::fourier::factors::{convolution_size, is_smooth};
use crate::kernels::fourier::{FourierAlgorithm, FourierProblem};
use crate::kernels::{Capabilities, Family, Slot, complex};
use crate::reference::{complex as complex_twin, fourier as twin};
use crate::shape::{Fourier, FourierAxes, FourierScale, FourierValues, Shape};

/// Relative to the norm of the result, for every size up to 2048 and beyond.
const NORM: f64 = 1e-6;

/// In workgroup memory, by fours through textures and from storage, and number by number.
const ALGORITHMS: [FourierAlgorithm; 4] = [
    FourierAlgorithm::Block,
    passes(64, true, true),
    passes(16, true, false),
    passes(16, false, false),
];

const fn passes(radix: usize, quads: bool, texture: bool) -> FourierAlgorithm {
    FourierAlgorithm::Passes {
        radix,
        quads,
        texture,
    }
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for algorithm in ALGORITHMS {
        let row = |part: &str, problems: Vec<FourierProblem>| {
            let name = format!("fourier/{part}/{algorithm}").replace(' ', "-");
            Check::kernel(name, problems.into_iter().map(|p| case(p, algorithm)))
        };
        let lines = |sizes: &[usize]| {
            let problem = |&n: &usize| FourierProblem {
                shape: Shape::new(2, 2, 3, n),
                transform: Fourier::lines(),
            };
            sizes.iter().map(problem).collect()
        };
        // Every radix alone, products of them, one pass and several.
        checks.push(row(
            "lines",
            lines(&[1, 2, 3, 4, 5, 7, 8, 13, 48, 210, 320]),
        ));
        // Primes, their squares, and others that go by way of a convolution.
        checks.push(row("convolved", lines(&[17, 361, 58])));
        checks.push(row("planes", planes()));
        checks.push(row("ends", ends()));
    }
    checks.push(Check::kernel(
        "fourier/long",
        [2047, 2048, 4096].map(|n| {
            let problem = FourierProblem {
                shape: Shape::new(1, 2, 1, n),
                transform: Fourier::lines(),
            };
            case(problem, ALGORITHMS[1])
        }),
    ));
    for (name, textures) in [("storage", false), ("textures", true)] {
        let cases = [false, true]
            .into_iter()
            .flat_map(|conjugate| factors().map(move |[a, b]| product(a, b, conjugate, textures)));
        checks.push(Check::kernel(format!("complex_mul/{name}"), cases));
    }
    checks
}

pub(super) fn variants(capabilities: Capabilities) -> Vec<Check> {
    let problem = FourierProblem {
        shape: Shape::new(1, 2, 210, 96),
        transform: Fourier::planes(),
    };
    let candidates = FourierAlgorithm::candidates(capabilities, &problem).into_iter();
    let row = |algorithm: FourierAlgorithm| {
        let name = format!("variant/fourier/{algorithm}").replace(' ', "-");
        Check::kernel(name, [case(problem, algorithm)])
    };
    candidates.map(row).collect()
}

/// Non-square planes, among them rows of no multiple of four and axes of one point.
fn planes() -> Vec<FourierProblem> {
    [
        Shape::new(1, 2, 37, 64),
        Shape::new(2, 4, 40, 64),
        Shape::new(2, 2, 30, 21),
        Shape::new(1, 4, 6, 1),
        Shape::new(1, 2, 1, 1),
    ]
    .map(|shape| FourierProblem {
        shape,
        transform: Fourier::planes(),
    })
    .to_vec()
}

/// Directions, factors and real sides, with one step and several, of either kind.
fn ends() -> Vec<FourierProblem> {
    let mut problems = Vec::new();
    let shapes = [
        (FourierAxes::Lines, Shape::new(1, 2, 3, 12)),
        (FourierAxes::Lines, Shape::new(1, 2, 1, 17)),
        (FourierAxes::Planes, Shape::new(2, 2, 16, 48)),
    ];
    for (axes, shape) in shapes {
        for values in [
            FourierValues::Complex,
            FourierValues::FromReal,
            FourierValues::ToReal,
        ] {
            for scale in [FourierScale::Sum, FourierScale::Mean] {
                let forward = Fourier::new(axes).scaled(scale);
                for transform in [forward, forward.adjoint()] {
                    problems.push(FourierProblem {
                        shape,
                        transform: transform.with_values(values),
                    });
                }
            }
        }
    }
    problems
}

/// Roundings on the way from a term to a result. A prime factor `p` sums `p` terms, each times a
/// constant that is rounded too, and the result is turned: two products of rounded roots, three
/// roundings each, that themselves come from up to three such products. A convolution transforms
/// twice, and a term meets a spectrum whose numbers are up to `sqrt(m)` large.
fn roundings(n: usize) -> f64 {
    if !is_smooth(n) {
        let m = convolution_size(n, 16);
        return (m as f64).sqrt() * (2.0 * roundings(m) + 12.0);
    }
    let (mut n, mut sum) = (n, 2.0);
    for p in 2..=13 {
        while n.is_multiple_of(p) {
            n /= p;
            sum += p as f64 + 14.0;
        }
    }
    sum
}

fn case(problem: FourierProblem, algorithm: FourierAlgorithm) -> Case {
    let FourierProblem { shape, transform } = problem;
    let label = format!("fourier {transform:?} {shape} {algorithm}");
    Case::new(label, algorithm.lower(&problem), move |noise| {
        let x = noise.signed(shape.elements());
        let twin = twin::transform(&wide(&x), shape, transform);
        let elements = twin.value.len();
        let extents = transform.extents(shape);
        let k = extents.into_iter().map(roundings).sum();
        let in_norm = close_in_norm(twin.value.clone(), NORM);
        Problem {
            inputs: vec![x],
            output: elements,
            judges: vec![(Slot::Output, close(twin, k)), (Slot::Output, in_norm)],
        }
    })
}

/// Shapes that broadcast to each other: rows of fours and others, along every axis.
fn factors() -> impl Iterator<Item = [Shape; 2]> {
    [
        [Shape::new(2, 6, 5, 7), Shape::new(2, 6, 5, 7)],
        [Shape::new(2, 2, 5, 7), Shape::new(1, 6, 1, 7)],
        [Shape::new(2, 6, 5, 8), Shape::new(2, 6, 5, 8)],
        [Shape::new(2, 2, 5, 8), Shape::new(1, 6, 5, 8)],
        [Shape::new(1, 6, 5, 1), Shape::new(2, 2, 1, 8)],
        [Shape::new(2, 6, 40, 20), Shape::new(1, 2, 1, 1)],
    ]
    .into_iter()
}

fn product(a_shape: Shape, b_shape: Shape, conjugate: bool, textures: bool) -> Case {
    let pairs = a_shape.complex().zip(b_shape.complex());
    let pairs = pairs.and_then(|(a, b)| a.broadcast(b)).unwrap_or(a_shape);
    let output = pairs.with(1, 2 * pairs.c());
    let lowered = complex::multiply(a_shape, b_shape, output, conjugate, textures);
    let label = format!("complex {a_shape} {b_shape} {conjugate} {textures}");
    Case::new(label, lowered, move |noise| {
        let a = noise.signed(a_shape.elements());
        let b = noise.signed(b_shape.elements());
        let twin = complex_twin::multiply(&wide(&a), a_shape, &wide(&b), b_shape, conjugate);
        // Two products and their sum.
        Problem::new(vec![a, b], output.elements(), close(twin, 2.0))
    })
}
