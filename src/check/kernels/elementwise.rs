//! Elementwise functions, broadcasting and fused chains.

use crate::check::Check;
use crate::check::harness::{Case, Noise, Problem, close, wide};
use crate::kernels::chain::{Chain, Source, Stage};
use crate::kernels::elementwise;
use crate::reference::Twin;
use crate::reference::elementwise::{Binary, Unary};
use crate::reference::layout;
use crate::shape::Shape;

/// Which numbers a function is tried on.
#[derive(Clone, Copy)]
enum Domain {
    /// (-4, 4), with zeros and pairs of equal numbers among them.
    Line,
    /// (0.01, 100).
    Positive,
    /// Away from zero on both sides.
    NonZero,
}

const UNARY: [(Unary, Domain); 10] = [
    (Unary::Scale(-1.7), Domain::Line),
    (Unary::Offset(0.3), Domain::Line),
    (Unary::AtLeast(0.25), Domain::Line),
    (Unary::Exp, Domain::Line),
    (Unary::Log, Domain::Positive),
    (Unary::Sqrt, Domain::Positive),
    (Unary::Reciprocal, Domain::NonZero),
    (Unary::Abs, Domain::Line),
    (Unary::Sign, Domain::Line),
    (Unary::LeakyRelu(0.01), Domain::Line),
];

const BINARY: [(Binary, Domain); 7] = [
    (Binary::Add, Domain::Line),
    (Binary::Sub, Domain::Line),
    (Binary::Mul, Domain::Line),
    (Binary::Div, Domain::NonZero),
    (Binary::Greater, Domain::Line),
    (Binary::Equal, Domain::Line),
    (Binary::LeakyReluGradient(0.01), Domain::Line),
];

/// The shapes that broadcast to `FULL` beside it.
const BROADCAST: [Shape; 6] = [
    Shape::SCALAR,
    Shape::new(1, 3, 1, 1),
    Shape::new(2, 1, 11, 7),
    Shape::new(1, 3, 11, 1),
    Shape::new(2, 1, 1, 7),
    Shape::new(1, 1, 11, 7),
];
const FULL: Shape = Shape::new(2, 3, 11, 7);
/// More than a row of a texture.
const QUADS: Shape = Shape::new(2, 3, 40, 20);

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (f, domain) in UNARY {
        let name = format!("elementwise/{}", f.name());
        // Around a workgroup's share of 256 elements.
        let cases = [1, 255, 256, 257, 1009].map(|len| unary(f, domain, len));
        checks.push(Check::kernel(name, cases));
    }
    for (f, domain) in BINARY {
        let name = format!("elementwise/{}", f.name());
        checks.push(Check::kernel(
            name,
            [binary(f, domain, [FULL, FULL], false)],
        ));
    }
    let broadcast = BROADCAST.map(|s| binary(Binary::Sub, Domain::Line, [s, FULL], false));
    let both = [[1, 2], [3, 4]].map(|[a, b]| {
        binary(
            Binary::Mul,
            Domain::Line,
            [BROADCAST[a], BROADCAST[b]],
            false,
        )
    });
    let broadcast = broadcast.into_iter().chain(both);
    checks.push(Check::kernel("elementwise/broadcast", broadcast));
    // Through textures: rows of whole quads and others, operands that broadcast along them or not.
    let shapes = BROADCAST.map(|s| [s, FULL]).into_iter().chain([
        [QUADS, QUADS],
        [QUADS, Shape::new(1, 3, 1, 1)],
        [QUADS.with(1, 1), QUADS.with(3, 1)],
    ]);
    let textures = shapes.map(|s| binary(Binary::Sub, Domain::Line, s, true));
    checks.push(Check::kernel("elementwise/textures", textures));
    checks.push(Check::kernel("elementwise/chain", [chain()]));
    checks
}

impl Domain {
    fn sample(self, noise: &mut Noise, len: usize) -> Vec<f32> {
        match self {
            // Multiples of 1/8 half of the time, so that zeros and ties occur.
            Domain::Line => (noise.range(len, -4.0, 4.0).iter().enumerate())
                .map(|(i, x)| {
                    if i % 2 == 0 {
                        (x * 8.0).round() / 8.0
                    } else {
                        *x
                    }
                })
                .collect(),
            Domain::Positive => noise.range(len, 0.01, 100.0),
            Domain::NonZero => noise.apart_from_zero(len, 0.1, 4.0),
        }
    }
}

/// What WGSL allows `f` to be off at `x`, in units of eps (specification, "Floating point
/// accuracy"); 0 where the result is one of the arguments or a truth value.
fn unary_allowance(f: Unary, x: f64) -> f64 {
    let y = f.apply(x).abs();
    match f {
        Unary::AtLeast(_) | Unary::Abs | Unary::Sign => 0.0,
        Unary::Scale(_) | Unary::LeakyRelu(_) => y,
        Unary::Offset(c) => x.abs() + f64::from(c).abs(),
        // 2.5 units in the last place.
        Unary::Reciprocal => 2.5 * y,
        // Inherited from 1 / inverseSqrt(x): 2 and 2.5 units.
        Unary::Sqrt => 5.0 * y,
        Unary::Exp => (3.0 + 2.0 * x.abs()) * y,
        // 2^-21 in [0.5, 2], else 3 units.
        Unary::Log if (0.5..=2.0).contains(&x) => 4.0,
        Unary::Log => 3.0 * y,
    }
}

/// [`unary_allowance`] of a function of two numbers.
fn binary_allowance(f: Binary, a: f64, b: f64) -> f64 {
    let y = f.apply(a, b).abs();
    match f {
        Binary::Greater | Binary::Equal => 0.0,
        Binary::Add | Binary::Sub => a.abs() + b.abs(),
        Binary::Mul | Binary::LeakyReluGradient(_) => y,
        Binary::Div => 2.5 * y,
    }
}

fn unary(f: Unary, domain: Domain, len: usize) -> Case {
    let shape = Shape::vector(len);
    let chain = Chain {
        stages: vec![Stage::Unary(f, Source::Operand(0))],
        operands: vec![shape],
        textures: false,
    };
    let lowered = elementwise::evaluate(&chain, shape);
    Case::new(format!("{f:?} {len}"), lowered, move |noise| {
        let x = domain.sample(noise, len);
        let value = wide(&x).iter().map(|&x| f.apply(x)).collect();
        let magnitude = wide(&x).iter().map(|&x| unary_allowance(f, x)).collect();
        Problem::new(vec![x], len, close(Twin { value, magnitude }, 1.0))
    })
}

fn binary(f: Binary, domain: Domain, [a_shape, b_shape]: [Shape; 2], textures: bool) -> Case {
    let shape = a_shape.broadcast(b_shape).unwrap_or(FULL);
    let chain = Chain {
        stages: vec![Stage::Binary(f, Source::Operand(0), Source::Operand(1))],
        operands: vec![a_shape, b_shape],
        textures,
    };
    let lowered = elementwise::evaluate(&chain, shape);
    Case::new(
        format!("{f:?} {a_shape} {b_shape}"),
        lowered,
        move |noise| {
            let a = domain.sample(noise, a_shape.elements());
            let b = domain.sample(noise, b_shape.elements());
            let x = layout::broadcast(&wide(&a), a_shape, shape);
            let y = layout::broadcast(&wide(&b), b_shape, shape);
            let pairs = || x.iter().zip(&y);
            let value = pairs().map(|(&a, &b)| f.apply(a, b)).collect();
            let magnitude = pairs().map(|(&a, &b)| binary_allowance(f, a, b)).collect();
            let judge = close(Twin { value, magnitude }, 1.0);
            Problem::new(vec![a, b], shape.elements(), judge)
        },
    )
}

/// Six operands, one of them used twice, and intermediate results used twice:
/// `|a b - c| / (d d + 1) + leaky(e) - f`.
fn chain() -> Case {
    use Source::{Operand, Stage as At};
    let shapes = [
        FULL,
        BROADCAST[1],
        BROADCAST[2],
        FULL,
        BROADCAST[5],
        Shape::SCALAR,
    ];
    let chain = Chain {
        stages: vec![
            Stage::Binary(Binary::Mul, Operand(0), Operand(1)),
            Stage::Binary(Binary::Sub, At(0), Operand(2)),
            Stage::Unary(Unary::Abs, At(1)),
            Stage::Binary(Binary::Mul, Operand(3), Operand(3)),
            Stage::Unary(Unary::Offset(1.0), At(3)),
            Stage::Binary(Binary::Div, At(2), At(4)),
            Stage::Unary(Unary::LeakyRelu(0.1), Operand(4)),
            Stage::Binary(Binary::Add, At(5), At(6)),
            Stage::Binary(Binary::Sub, At(7), Operand(5)),
        ],
        operands: shapes.to_vec(),
        textures: false,
    };
    let lowered = elementwise::evaluate(&chain, FULL);
    Case::new("chain", lowered, move |noise| {
        let inputs: Vec<_> = shapes.iter().map(|s| noise.signed(s.elements())).collect();
        let full: Vec<_> = (inputs.iter().zip(shapes))
            .map(|(x, s)| layout::broadcast(&wide(x), s, FULL))
            .collect();
        let mut twin = Twin {
            value: Vec::new(),
            magnitude: Vec::new(),
        };
        let [a, b, c, d, e, f] = std::array::from_fn(|k| full[k].iter().copied());
        let (products, others) = (a.zip(b), c.zip(d).zip(e.zip(f)));
        for ((a, b), ((c, d), (e, f))) in products.zip(others) {
            let leaky = Unary::LeakyRelu(0.1).apply(e);
            let quotient = (a * b - c).abs() / (d * d + 1.0);
            twin.value.push(quotient + leaky - f);
            let terms = ((a * b).abs() + c.abs()) / (d * d + 1.0);
            twin.magnitude.push(terms + leaky.abs() + f.abs());
        }
        // Two roundings above and two below the line, the quotient's 2.5, two sums.
        Problem::new(inputs, FULL.elements(), close(twin, 9.0))
    })
}
