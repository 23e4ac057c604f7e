//! The gradient rule of every operation against central differences, both in f64 on the host, and
//! the rules of what the rules record: second derivatives.

use super::harness::{Noise, wide};
use super::{Check, Measure};
use crate::error::Result;
use crate::group::{FieldKind, Group, KernelBasis, Representation, SymmetricConv};
use crate::shape::{
    Affine, Detector, Fan, Fourier, FourierScale, FourierValues, GridSymmetry, Maps, Padding,
    Projector, RayGeometry, Shape, Window,
};
use crate::tape::gradcheck::gradient_error;
use crate::tape::reference::Feeds;
use crate::tape::{Binary, Tape, Unary, Var};
use std::sync::Arc;

/// Relative to the gradient's largest element; differences are right to about 1e-9.
const BOUND: f64 = 1e-6;

/// A graph that is being recorded, with random inputs that keep away from kinks and ties.
struct Graph {
    tape: Tape,
    inputs: Vec<(Var, String)>,
    feeds: Feeds,
    noise: Noise,
}

impl Graph {
    /// Input `j` has magnitudes `1/4 + (k + j/4) / 16` for whole `k` below 16: no number is near
    /// zero, and two inputs never nearly equal.
    fn input(&mut self, shape: Shape) -> Var {
        let j = self.inputs.len();
        let (len, shift) = (shape.elements(), j as f32 / 4.0);
        let steps = self.noise.range(len, 0.0, 16.0);
        let signs = self.noise.signed(len);
        let value = |(k, s): (f32, f32)| (0.25 + (k.floor() + shift) / 16.0).copysign(s);
        let values: Vec<f32> = steps.into_iter().zip(signs).map(value).collect();
        self.feed(shape, wide(&values))
    }

    /// As [`Graph::input`], but positive.
    fn positive(&mut self, shape: Shape) -> Var {
        let var = self.input(shape);
        if let Some(values) = self.feeds.get_mut(&self.inputs[self.inputs.len() - 1].1) {
            values.iter_mut().for_each(|v| *v = v.abs());
        }
        var
    }

    /// No two numbers within 1/20 of each other, in random order.
    fn distinct(&mut self, shape: Shape) -> Var {
        let keys = self.noise.signed(shape.elements());
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
        let mut values = vec![0.0; keys.len()];
        for (rank, &place) in order.iter().enumerate() {
            values[place] = 0.05 * rank as f64 - 0.6;
        }
        self.feed(shape, values)
    }

    fn feed(&mut self, shape: Shape, values: Vec<f64>) -> Var {
        let name = format!("x{}", self.inputs.len());
        let var = self.tape.input(&name, shape);
        self.feeds.insert(name.clone(), values);
        self.inputs.push((var, name));
        var
    }

    /// `sum of r (y + y^2 / 2)` with random `r`: its gradient and its curvature see every element.
    fn score(&mut self, y: Var) -> Result<Var> {
        let weights = self.noise.apart_from_zero(y.shape().elements(), 0.5, 1.0);
        let weights = self.tape.constant(y.shape(), weights)?;
        let half = self.tape.scale(y, 0.5);
        let square = self.tape.mul(y, half)?;
        let sum = self.tape.add(y, square)?;
        let weighted = self.tape.mul(sum, weights)?;
        self.tape.sum_all(weighted)
    }
}

type Record = Box<dyn Fn(&mut Graph) -> Result<Var> + Send + Sync>;

fn record(seed: u64, name: &str, body: &Record) -> Result<(Graph, Var)> {
    let mut graph = Graph {
        tape: Tape::new(),
        inputs: Vec::new(),
        feeds: Feeds::new(),
        noise: Noise::new(seed, name),
    };
    let output = body(&mut graph)?;
    let loss = graph.score(output)?;
    Ok((graph, loss))
}

fn first(seed: u64, name: &str, body: &Record) -> Result<Measure> {
    let (graph, loss) = record(seed, name, body)?;
    error(&graph, loss)
}

/// The gradients' own score, differentiated again.
fn second(seed: u64, name: &str, body: &Record) -> Result<Measure> {
    let (mut graph, loss) = record(seed, name, body)?;
    let inputs: Vec<Var> = graph.inputs.iter().map(|i| i.0).collect();
    let gradients = graph.tape.gradients(loss, &inputs)?;
    let mut total = graph.score(gradients[0])?;
    for &gradient in &gradients[1..] {
        let score = graph.score(gradient)?;
        total = graph.tape.add(total, score)?;
    }
    error(&graph, total)
}

fn error(graph: &Graph, loss: Var) -> Result<Measure> {
    let wrt: Vec<(Var, &str)> = graph.inputs.iter().map(|(v, n)| (*v, n.as_str())).collect();
    Ok(Measure::new(
        gradient_error(&graph.tape, &graph.feeds, loss, &wrt)?,
        BOUND,
    ))
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    type Order = fn(u64, &str, &Record) -> Result<Measure>;
    for (order, measure) in [("first", first as Order), ("second", second)] {
        for (name, body) in graphs() {
            let row = format!("gradient/{order}/{name}");
            checks.push(Check::host(row, move |seed| measure(seed, &name, &body)));
        }
    }
    checks
}

/// A graph for every operation, one line or block each; a rule's variants are rows of their own.
fn graphs() -> Vec<(String, Record)> {
    let mut graphs: Vec<(String, Record)> = Vec::new();
    let mut add = |name: String, body: Record| graphs.push((name, body));
    let shape = Shape::new(2, 3, 2, 2);

    for f in [
        Unary::Scale(-1.5),
        Unary::Offset(0.3),
        // Between two steps of the inputs' magnitudes.
        Unary::AtLeast(0.5 + 1.0 / 32.0),
        Unary::Exp,
        Unary::Abs,
        Unary::Sign,
        Unary::Reciprocal,
        Unary::LeakyRelu(0.1),
    ] {
        add(
            f.name().into(),
            Box::new(move |g| {
                let x = g.input(shape);
                Ok(g.tape.unary(f, x))
            }),
        );
    }
    for f in [Unary::Log, Unary::Sqrt] {
        add(
            f.name().into(),
            Box::new(move |g| {
                let x = g.positive(shape);
                Ok(g.tape.unary(f, x))
            }),
        );
    }
    for f in [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Greater,
        Binary::Equal,
        Binary::LeakyReluGradient(0.1),
    ] {
        // Each side is broadcast along axes of its own.
        add(
            f.name().into(),
            Box::new(move |g| {
                let a = g.input(Shape::new(2, 3, 1, 2));
                let b = g.input(Shape::new(1, 3, 2, 1));
                g.tape.binary(f, a, b)
            }),
        );
    }
    for to in [
        Shape::SCALAR,
        Shape::new(1, 3, 1, 1),
        Shape::new(2, 1, 2, 1),
    ] {
        add(
            format!("sum/{to}"),
            Box::new(move |g| {
                let x = g.input(shape);
                g.tape.sum(x, to)
            }),
        );
        add(
            format!("max/{to}"),
            Box::new(move |g| {
                let x = g.distinct(shape);
                g.tape.max(x, to)
            }),
        );
        add(
            format!("broadcast/{to}"),
            Box::new(move |g| {
                let x = g.input(to);
                g.tape.broadcast(x, shape)
            }),
        );
    }
    for padding in Padding::ALL {
        for (size, stride) in [(3, 1), (3, 2), (5, 1)] {
            let window = Window {
                size,
                stride,
                padding,
            };
            let (xs, ws) = (Shape::new(2, 1, 4, 3), Shape::new(2, 1, size, size));
            let ys = window.output(xs, 2);
            let name =
                |op: &str| format!("{op}/{padding:?}/{size}x{size}/stride{stride}").to_lowercase();
            add(
                name("conv2d"),
                Box::new(move |g| {
                    let (x, w) = (g.input(xs), g.input(ws));
                    g.tape.conv2d(x, w, window)
                }),
            );
            add(
                name("conv2d_input_gradient"),
                Box::new(move |g| {
                    let (dy, w) = (g.input(ys), g.input(ws));
                    g.tape.conv2d_input_gradient(dy, w, window, xs)
                }),
            );
            add(
                name("conv2d_weight_gradient"),
                Box::new(move |g| {
                    let (x, dy) = (g.input(xs), g.input(ys));
                    g.tape.conv2d_weight_gradient(x, dy, window)
                }),
            );
        }
    }
    for padding in Padding::ALL {
        let c4 = Group::cyclic(4);
        let regular = Representation::Regular;
        let basis = KernelBasis::complete(c4, &regular, &regular, 3).expect("C4 is on the grid");
        let kind = FieldKind::Regular;
        let conv = SymmetricConv::new(c4, kind, kind, basis, padding).expect("its own basis");
        let conv = Arc::new(conv);
        let (xs, ws) = (Shape::new(2, 4, 3, 4), Shape::new(1, 2, 1, 36));
        let ys = conv.window().output(xs, 8);
        let name = |op: &str| format!("{op}/{padding:?}").to_lowercase();
        let layer = conv.clone();
        add(
            name("symmetric_conv"),
            Box::new(move |g| {
                let (x, w) = (g.input(xs), g.input(ws));
                g.tape.symmetric_conv(x, w, &layer)
            }),
        );
        let layer = conv.clone();
        add(
            name("symmetric_conv_input_gradient"),
            Box::new(move |g| {
                let (dy, w) = (g.input(ys), g.input(ws));
                g.tape.symmetric_conv_input_gradient(dy, w, &layer, xs)
            }),
        );
        add(
            name("symmetric_conv_weight_gradient"),
            Box::new(move |g| {
                let (x, dy) = (g.input(xs), g.input(ys));
                g.tape.symmetric_conv_weight_gradient(x, dy, &conv, ws)
            }),
        );
    }
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
        let turned = |h, w, t| if t { (w, h) } else { (h, w) };
        add(
            format!("matmul/{}{}", u8::from(ta), u8::from(tb)),
            Box::new(move |g| {
                let ((ah, aw), (bh, bw)) = (turned(2, 4, ta), turned(4, 3, tb));
                let a = g.input(Shape::new(2, 1, ah, aw));
                let b = g.input(Shape::new(1, 3, bh, bw));
                g.tape.matmul(a, b, ta, tb)
            }),
        );
    }
    add(
        "reshape".into(),
        Box::new(move |g| {
            let x = g.input(shape);
            g.tape.reshape(x, Shape::new(1, 4, 3, 2))
        }),
    );
    for axes in [[1, 0, 3, 2], [3, 1, 0, 2], [2, 3, 1, 0]] {
        add(
            format!("transpose/{axes:?}"),
            Box::new(move |g| {
                let x = g.input(Shape::new(2, 3, 1, 4));
                g.tape.transpose(x, axes)
            }),
        );
    }
    for axis in 0..4 {
        let xs = Shape::new(3, 3, 3, 3);
        add(
            format!("slice/{axis}"),
            Box::new(move |g| {
                let x = g.input(xs.with(axis, 4));
                g.tape.slice(x, axis, 1, 2)
            }),
        );
        add(
            format!("pad/{axis}"),
            Box::new(move |g| {
                let x = g.input(xs.with(axis, 2));
                g.tape.pad(x, axis, 1, 5)
            }),
        );
        add(
            format!("concat/{axis}"),
            Box::new(move |g| {
                let (a, b) = (g.input(xs.with(axis, 1)), g.input(xs.with(axis, 2)));
                // One part twice: its gradients add up.
                g.tape.concat(&[a, b, a], axis)
            }),
        );
    }
    for symmetry in GridSymmetry::ALL {
        let name = format!(
            "symmetry/{}{}",
            symmetry.quarter_turns,
            u8::from(symmetry.flip)
        );
        add(
            name,
            Box::new(move |g| {
                let x = g.input(Shape::new(1, 2, 3, 4));
                Ok(g.tape.symmetry(x, symmetry))
            }),
        );
    }
    let parallel = RayGeometry::parallel([4, 5], 1.0, 3, 6);
    let fan = Fan {
        source_to_centre: 1.5,
        centre_to_detector: 0.7,
        detector: Detector::Curved,
    };
    let fan = RayGeometry {
        projector: Projector::Siddon,
        ..RayGeometry::fan([4, 5], 1.0, 3, 6, fan)
    };
    type Ray = fn(&mut Tape, Var, &Arc<RayGeometry>) -> Result<Var>;
    let transforms: [(&str, Ray, bool); 4] = [
        ("ray_forward", Tape::ray_forward, true),
        ("ray_adjoint", Tape::ray_adjoint, false),
        ("ray_backproject", Tape::ray_backproject, false),
        (
            "ray_backproject_transpose",
            Tape::ray_backproject_transpose,
            true,
        ),
    ];
    for (suffix, geometry) in [("", parallel), ("/fan", fan)] {
        let geometry = Arc::new(geometry);
        for (name, transform, of_images) in transforms {
            let geometry = geometry.clone();
            add(
                format!("{name}{suffix}"),
                Box::new(move |g| {
                    let x = g.input(if of_images {
                        geometry.image(2)
                    } else {
                        geometry.sinogram(2)
                    });
                    transform(&mut g.tape, x, &geometry)
                }),
            );
        }
    }
    type Warp = fn(&mut Tape, Var, Var) -> Result<Var>;
    let warps: [(&str, Warp); 2] = [("warp", Tape::warp), ("warp_adjoint", Tape::warp_adjoint)];
    for (name, warp) in warps {
        add(
            name.into(),
            Box::new(move |g| {
                let x = g.input(Shape::new(2, 2, 4, 5));
                let turn = Affine::shift(0.7, -1.2).compose(Affine::rotation(0.6));
                let stretch = Affine::shear(0.3).compose(Affine::scaling(1.6, 0.5));
                let maps = g
                    .tape
                    .constant(Maps::shape(2), Maps::of(&[turn, stretch])?)?;
                warp(&mut g.tape, x, maps)
            }),
        );
    }
    for (name, transform) in [
        ("lines", Fourier::lines()),
        ("planes", Fourier::planes().scaled(FourierScale::Sum)),
        ("inverse", Fourier::planes().inverse()),
        (
            "from_real",
            Fourier::planes().with_values(FourierValues::FromReal),
        ),
        (
            "to_real",
            Fourier::lines().with_values(FourierValues::ToReal),
        ),
    ] {
        add(
            format!("fourier/{name}"),
            Box::new(move |g| {
                let x = g.input(Shape::new(1, 2, 3, 4));
                g.tape.fourier(x, transform)
            }),
        );
    }
    for conjugate in [false, true] {
        // Each side is broadcast along axes of its own.
        add(
            format!("complex_mul/{}", u8::from(conjugate)),
            Box::new(move |g| {
                let a = g.input(Shape::new(2, 2, 2, 1));
                let b = g.input(Shape::new(1, 6, 1, 3));
                g.tape.complex_mul(a, b, conjugate)
            }),
        );
    }
    add(
        "recomputed".into(),
        Box::new(move |g| {
            let (x, w) = (g.input(shape), g.input(shape));
            let inner = g.tape.recomputed(|tape| {
                let product = tape.mul(x, w)?;
                let inner = tape.unary(Unary::Exp, product);
                tape.mul(inner, x)
            })?;
            g.tape.recomputed(|tape| tape.div(inner, w))
        }),
    );
    graphs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::tape::{Distribution, Op};
    use std::collections::BTreeSet;

    /// Whether an operation has a gradient and so needs a row. A new operation does not compile
    /// here before that is decided.
    fn has_rule(op: &Op) -> bool {
        match op {
            Op::Input(_)
            | Op::Constant(_)
            | Op::State(_)
            | Op::Detach
            | Op::Random { .. }
            | Op::Adam(_)
            | Op::Assign => false,
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Sum
            | Op::Max
            | Op::Broadcast
            | Op::Conv2d(_)
            | Op::Conv2dInputGradient(_)
            | Op::Conv2dWeightGradient(_)
            | Op::SymmetricConv(_)
            | Op::SymmetricConvInputGradient(_)
            | Op::SymmetricConvWeightGradient(_)
            | Op::MatMul { .. }
            | Op::Reshape
            | Op::Transpose(_)
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Concat { .. }
            | Op::Symmetry(_)
            | Op::RayForward(_)
            | Op::RayAdjoint(_)
            | Op::RayBackproject(_)
            | Op::RayBackprojectTranspose(_)
            | Op::Warp
            | Op::WarpAdjoint
            | Op::Fourier(_)
            | Op::ComplexMul { .. } => true,
        }
    }

    #[test]
    fn every_operation_has_a_row() {
        let mut seen = BTreeSet::new();
        for (name, body) in graphs() {
            let (graph, _) = record(0, &name, &body).expect("records");
            let ops = graph.tape.nodes().iter().map(|n| &n.op);
            seen.extend(ops.filter(|op| has_rule(op)).map(Op::name));
        }
        // 10 of one argument, 7 of two, 24 others.
        assert_eq!(seen.len(), 41, "{seen:?}");
    }

    #[test]
    fn what_has_no_rule_says_so() {
        let mut tape = Tape::new();
        let draw = tape.input("draw", Shape::SCALAR);
        let x = tape
            .random(Distribution::Normal, draw, 1, 0, Shape::vector(4))
            .expect("fits");
        let loss = tape.sum_all(x).expect("fits");
        let error = tape.gradients(loss, &[draw]).expect_err("no rule");
        assert!(
            matches!(error, Error::NoGradient { op: "random" }),
            "{error}"
        );
    }

    #[test]
    fn what_is_detached_is_held_fixed() {
        let mut tape = Tape::new();
        let draw = tape.input("draw", Shape::SCALAR);
        let x = tape.input("x", Shape::vector(3));
        // Counts of x have no rule, and need none behind a detachment.
        let counts = tape.poisson(draw, x, 1, 0).expect("fits");
        let counts = tape.detach(counts);
        let product = tape.mul(x, counts).expect("fits");
        let loss = tape.sum_all(product).expect("fits");
        let gradient = tape.gradients(loss, &[x]).expect("a rule")[0];
        let mut feeds = Feeds::from([
            ("draw".to_string(), vec![1.0]),
            ("x".to_string(), vec![5.0, 20.0, 0.0]),
        ]);
        let found = crate::tape::reference::evaluate(&tape, &mut feeds, &[gradient, counts]);
        let [gradient, counts] = &found.expect("evaluates")[..] else {
            panic!("two outputs");
        };
        assert_eq!(gradient, counts);
        assert!(counts[1] > 0.0);
    }

    #[test]
    fn the_maps_of_a_warp_have_no_gradient() {
        let mut tape = Tape::new();
        let x = tape.input("x", Shape::new(2, 1, 3, 3));
        let maps = tape.input("maps", Maps::shape(2));
        for warp in [Tape::warp, Tape::warp_adjoint] {
            let y = warp(&mut tape, x, maps).expect("fits");
            let loss = tape.sum_all(y).expect("fits");
            assert!(tape.gradients(loss, &[x]).is_ok());
            let error = tape.gradients(loss, &[x, maps]).expect_err("no rule");
            assert!(matches!(error, Error::NoGradient { .. }), "{error}");
        }
        let one = tape.input("one", Maps::shape(1));
        let error = tape.warp(x, one).expect_err("two images");
        assert!(error.to_string().contains("2x1x5x4"), "{error}");
    }

    /// At a kink and at a pole the rule and the differences disagree.
    #[test]
    fn a_wrong_gradient_and_a_nan_fail() {
        for (f, value) in [(Unary::Abs, 1e-4), (Unary::Log, -1.0), (Unary::Log, 0.0)] {
            let body: Record = Box::new(move |g| {
                let x = g.feed(Shape::vector(3), vec![0.5, value, 0.7]);
                Ok(g.tape.unary(f, x))
            });
            let (graph, loss) = record(1, "kink", &body).expect("records");
            let measure = error(&graph, loss).expect("evaluates");
            assert!(!measure.pass(), "{f:?} at {value}: {measure:?}");
        }
    }
}
