//! Every layer: on the device against the tape's definition, its gradients, and that it commutes
//! with its group.

use super::harness::{Noise, wide};
use super::plans::random_parameters;
use super::{Check, Context, Measure, relative_error};
use crate::error::Result;
use crate::group::{FieldType, Group, Irrep, Representation, Subgroup};
use crate::nn::{
    BasisKind, Bound, ConvolutionConfig, FieldDropout, Gated, GroupConvolution, GroupPooling,
    NormNonlinearity, Normalisation, NormalisationKind, Parameters, TransposedConvolution, doubled,
    halved, pointwise, polyphase_down, polyphase_up, reynolds,
};
use crate::reference::layout::grid_symmetry;
use crate::shape::{GridSymmetry, Padding, Shape};
use crate::tape::gradcheck::gradient_error;
use crate::tape::plan::{Options, Plan};
use crate::tape::reference::{Feeds, evaluate};
use crate::tape::{Tape, Var};

/// On the device, relative to the largest element.
const BOUND: f64 = 1e-5;
/// Of gradients on the host.
const GRADIENT_BOUND: f64 = 1e-6;
/// Images in a batch.
const BATCH: usize = 2;

type Body = Box<dyn Fn(&mut Tape, &Bound, Var) -> Result<Var>>;
type Make = Box<dyn Fn(&mut Parameters) -> Result<Layer> + Send + Sync>;

/// A layer whose parameters are registered.
struct Layer {
    input: FieldType,
    output: FieldType,
    body: Body,
}

impl Layer {
    fn new(
        input: FieldType,
        output: FieldType,
        body: impl Fn(&mut Tape, &Bound, Var) -> Result<Var> + 'static,
    ) -> Result<Self> {
        Ok(Layer {
            input,
            output,
            body: Box::new(body),
        })
    }
}

/// A name, the extents that the layer is tried on, and how it is made.
struct Entry {
    name: String,
    extents: [usize; 2],
    make: Make,
}

fn entry(
    name: impl Into<String>,
    extents: [usize; 2],
    make: impl Fn(&mut Parameters) -> Result<Layer> + Send + Sync + 'static,
) -> Entry {
    Entry {
        name: name.into(),
        extents,
        make: Box::new(make),
    }
}

fn regular(group: Group, n: usize) -> Result<FieldType> {
    FieldType::new(group, Representation::Regular, n)
}

/// Scalars, regular fields, vectors and, of groups with mirrors, pseudoscalars; or quotient fields.
fn mixed(group: Group) -> Result<FieldType> {
    let vectors = Representation::Irrep(Irrep::new(group, 1, false)?);
    let last = match group.has_mirrors() {
        true => Representation::Irrep(Irrep::new(group, 0, true)?),
        false => Representation::Quotient(Subgroup::new(group, 2, None)?),
    };
    let blocks = vec![
        (Representation::Trivial, 2),
        (Representation::Regular, 1),
        (vectors, 2),
        (last, 1),
    ];
    FieldType::mixed(group, blocks)
}

/// Every layer of `nn`, one line or block each.
fn layers() -> Vec<Entry> {
    let mut layers = Vec::new();
    for group in [Group::cyclic(4), Group::dihedral(4)] {
        for basis in [BasisKind::Complete, BasisKind::Harmonic] {
            let name = format!("convolution/{group}/mixed-{basis:?}").to_lowercase();
            layers.push(entry(name, [5, 4], move |parameters| {
                let (input, output) = (mixed(group)?, mixed(group)?);
                let config = ConvolutionConfig {
                    basis,
                    ..ConvolutionConfig::new(input.clone(), output.clone())
                };
                let layer = GroupConvolution::new(parameters, "layer", &config)?;
                Layer::new(input, output, move |t, b, x| layer.forward(t, b, x))
            }));
        }
    }
    for group in [Group::SO2, Group::O2] {
        let name = format!("convolution/{group}/irreps").to_lowercase();
        layers.push(entry(name, [5, 4], move |parameters| {
            let text = match group.has_mirrors() {
                false => "irrep(0) + irrep(1) + irrep(2)",
                true => "irrep(0) + irrep(0,odd) + irrep(1)",
            };
            let fields = FieldType::new(group, Representation::parse(text, group)?, 1)?;
            let config = ConvolutionConfig {
                size: 5,
                basis: BasisKind::Harmonic,
                ..ConvolutionConfig::new(fields.clone(), fields.clone())
            };
            let layer = GroupConvolution::new(parameters, "layer", &config)?;
            Layer::new(fields.clone(), fields, move |t, b, x| {
                layer.forward(t, b, x)
            })
        }));
    }
    let c4 = Group::cyclic(4);
    for stride in ["strided", "transposed"] {
        let extents = if stride == "strided" { [7, 5] } else { [4, 3] };
        layers.push(entry(
            format!("convolution/c4/{stride}"),
            extents,
            move |parameters| {
                let (input, output) = (regular(c4, 2)?, mixed(c4)?);
                let config = ConvolutionConfig {
                    stride: 2,
                    padding: Padding::Zero,
                    ..ConvolutionConfig::new(input.clone(), output.clone())
                };
                match stride {
                    "strided" => {
                        let layer = GroupConvolution::new(parameters, "layer", &config)?;
                        Layer::new(input, output, move |t, b, x| layer.forward(t, b, x))
                    }
                    _ => {
                        let layer = TransposedConvolution::new(parameters, "layer", &config)?;
                        Layer::new(input, output, move |t, b, x| layer.forward(t, b, x))
                    }
                }
            },
        ));
    }
    for (name, pooling) in [
        ("max", GroupPooling::Max),
        ("mean", GroupPooling::Mean),
        ("norm", GroupPooling::Norm),
    ] {
        layers.push(entry(format!("pooling/{name}"), [4, 3], move |_| {
            let fields = match pooling {
                GroupPooling::Norm => mixed(Group::dihedral(4))?,
                _ => regular(c4, 2)?.join(&FieldType::trivial(c4, 1))?,
            };
            let output = pooling.output(&fields);
            let of = fields.clone();
            Layer::new(fields, output, move |t, _, x| pooling.record(t, &of, x))
        }));
    }
    layers.push(entry("nonlinearity/pointwise", [4, 3], |_| {
        let d4 = Group::dihedral(4);
        let quotient = Representation::Quotient(Subgroup::new(d4, 2, None)?);
        let fields = FieldType::new(d4, quotient, 2)?;
        let of = fields.clone();
        Layer::new(fields.clone(), fields, move |t, _, x| {
            pointwise(t, &of, x, 0.1)
        })
    }));
    layers.push(entry("nonlinearity/norm", [4, 3], |parameters| {
        let fields = mixed(Group::dihedral(4))?;
        let layer = NormNonlinearity::new(parameters, "layer", &fields);
        Layer::new(fields.clone(), fields, move |t, b, x| {
            layer.forward(t, b, x)
        })
    }));
    layers.push(entry("nonlinearity/gated", [4, 3], |_| {
        let fields = mixed(Group::dihedral(4))?;
        let layer = Gated::new(&fields);
        Layer::new(layer.input()?, fields, move |t, _, x| layer.forward(t, x))
    }));
    for kind in [NormalisationKind::Instance, NormalisationKind::Batch] {
        let name = format!("normalisation/{kind:?}").to_lowercase();
        layers.push(entry(name, [4, 3], move |parameters| {
            let fields = mixed(Group::dihedral(4))?;
            let layer = Normalisation::new(parameters, "layer", kind, &fields)?;
            let layer = layer.expect("a kind that normalises");
            Layer::new(fields.clone(), fields, move |t, b, x| {
                layer.forward(t, b, x)
            })
        }));
    }
    layers.push(entry("dropout", [4, 3], |_| {
        let fields = mixed(Group::dihedral(4))?;
        let layer = FieldDropout::new(&fields, 0.4, 7, 1)?;
        Layer::new(fields.clone(), fields, move |t, b, x| {
            layer.forward(t, b, x)
        })
    }));
    for extents in [[6, 4], [7, 5], [1, 8]] {
        let [h, w] = extents;
        layers.push(entry(format!("halved/{h}x{w}"), extents, |_| {
            let fields = FieldType::trivial(Group::dihedral(4), 2);
            Layer::new(fields.clone(), fields, |t, _, x| halved(t, x))
        }));
        let half = [h.div_ceil(2), w.div_ceil(2)];
        layers.push(entry(format!("doubled/{h}x{w}"), half, move |_| {
            let fields = FieldType::trivial(Group::dihedral(4), 2);
            Layer::new(fields.clone(), fields, move |t, _, x| {
                // A quarter turn has exchanged the extents.
                let turned = x.shape().h() != half[0] || x.shape().w() != half[1];
                doubled(t, x, if turned { [w, h] } else { [h, w] })
            })
        }));
    }
    layers.push(entry("polyphase", [6, 4], |_| {
        let fields = FieldType::trivial(Group::dihedral(4), 2);
        Layer::new(fields.clone(), fields, |t, _, x| {
            let (half, phases) = polyphase_down(t, x)?;
            polyphase_up(t, half, &phases)
        })
    }));
    layers.push(entry("reynolds", [5, 4], |parameters| {
        let d4 = Group::dihedral(4);
        let fields = FieldType::trivial(d4, 2);
        let ordinary = FieldType::trivial(Group::TRIVIAL, 2);
        let config = ConvolutionConfig::new(ordinary.clone(), ordinary);
        let layer = GroupConvolution::new(parameters, "layer", &config)?;
        Layer::new(fields.clone(), fields, move |t, b, x| {
            reynolds(t, d4, x, |t, x| {
                // Not linear, and without a kink.
                let y = layer.forward(t, b, x)?;
                t.mul(y, y)
            })
        })
    }));
    layers
}

/// A layer recorded for one orientation of its image.
struct Recorded {
    tape: Tape,
    x: Var,
    y: Var,
    parameters: Parameters,
    bound: Bound,
}

fn record(entry: &Entry, extents: [usize; 2]) -> Result<(Recorded, Layer)> {
    let mut parameters = Parameters::new();
    let layer = (entry.make)(&mut parameters)?;
    let mut tape = Tape::new();
    let draw = tape.scalar(3.0);
    let (_, bound) = parameters.bind(&mut tape)?;
    let bound = bound.in_training(draw);
    let [h, w] = extents;
    let x = tape.input("x", Shape::new(BATCH, layer.input.channels(), h, w));
    let y = (layer.body)(&mut tape, &bound, x)?;
    let recorded = Recorded {
        tape,
        x,
        y,
        parameters,
        bound,
    };
    Ok((recorded, layer))
}

/// Random values of the leaves, as f32 numbers.
struct Values {
    parameters: Vec<f32>,
    x: Vec<f32>,
}

impl Values {
    fn new(recorded: &Recorded, noise: &mut Noise) -> Self {
        // No number near zero and no two of one magnitude: away from kinks and ties.
        let count = recorded.x.shape().elements();
        let (keys, signs) = (noise.signed(count), noise.signed(count));
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
        let mut x = vec![0.0; count];
        for (rank, &place) in order.iter().enumerate() {
            x[place] = (0.2 + 2.8 * rank as f32 / count as f32).copysign(signs[place]);
        }
        Values {
            parameters: random_parameters(&recorded.parameters, noise),
            x,
        }
    }

    fn feeds(&self, recorded: &Recorded) -> Feeds {
        let mut feeds: Feeds = [("x".to_string(), wide(&self.x))].into();
        for (name, _, range) in recorded.parameters.states() {
            feeds.insert(name.to_string(), wide(&self.parameters[range]));
        }
        feeds
    }
}

/// The output and its gradient in the input for a fixed upstream one, on the device and by the
/// tape's definition.
fn against_twin(entry: &Entry, context: &Context) -> Result<Measure> {
    let mut noise = Noise::new(context.seed, &entry.name);
    let (mut recorded, _) = record(entry, entry.extents)?;
    let values = Values::new(&recorded, &mut noise);
    let loss = score(&mut recorded.tape, recorded.y, &mut noise)?;
    let dx = recorded.tape.gradients(loss, &[recorded.x])?[0];
    let outputs = [recorded.y, dx];
    let store = context.store();
    for (name, shape, range) in recorded.parameters.states() {
        store.write(name, shape, &values.parameters[range])?;
    }
    let plan = Plan::compile(&recorded.tape, &outputs, &store, Options::default())?;
    plan.run(&[("x", &values.x)])?;
    let expected = evaluate(&recorded.tape, &mut values.feeds(&recorded), &outputs)?;
    let mut worst = Measure::new(0.0, BOUND);
    for (output, expected) in outputs.iter().zip(&expected) {
        let error = relative_error(&plan.read(*output)?, expected);
        worst = worst.worse(Measure::new(error, BOUND));
    }
    Ok(worst)
}

/// `sum of r (y + y^2 / 2)` with random `r`.
fn score(tape: &mut Tape, y: Var, noise: &mut Noise) -> Result<Var> {
    let weights = noise.apart_from_zero(y.shape().elements(), 0.5, 1.0);
    let weights = tape.constant(y.shape(), weights)?;
    let half = tape.scale(y, 0.5);
    let square = tape.mul(y, half)?;
    let sum = tape.add(y, square)?;
    let weighted = tape.mul(sum, weights)?;
    tape.sum_all(weighted)
}

/// Gradients in the input and all parameters against central differences, on the host.
fn gradients(entry: &Entry, seed: u64) -> Result<Measure> {
    let mut noise = Noise::new(seed, &entry.name);
    let (mut recorded, _) = record(entry, entry.extents)?;
    let values = Values::new(&recorded, &mut noise);
    let loss = score(&mut recorded.tape, recorded.y, &mut noise)?;
    let mut wrt = vec![(recorded.x, "x")];
    if recorded.parameters.count() > 0 {
        // The flat state is what the parameters are views of.
        let flat = recorded.tape.nodes().iter().position(
            |node| matches!(&node.op, crate::tape::Op::State(name) if name == Parameters::STATE),
        );
        let flat = recorded.tape.var(flat.expect("bound parameters"));
        wrt.push((flat, Parameters::STATE));
    }
    debug_assert!(recorded.bound.training());
    let feeds = values.feeds(&recorded);
    let error = gradient_error(&recorded.tape, &feeds, loss, &wrt)?;
    Ok(Measure::new(error, GRADIENT_BOUND))
}

/// How `g` acts on `x`, a feature map of type `fields` and shape `N C H W`:
/// `(T_g f)(x) = rho(g) f(R_g^-1 x)`.
pub(super) fn acted(
    fields: &FieldType,
    g: usize,
    symmetry: GridSymmetry,
    x: &[f64],
    shape: Shape,
) -> Vec<f64> {
    let moved = grid_symmetry(x, shape, symmetry);
    let pixels = shape.h() * shape.w();
    let group = fields.group();
    let mut mixed = vec![0.0; moved.len()];
    for item in 0..shape.n() {
        let mut start = item * shape.c();
        for (representation, count) in fields.blocks() {
            let size = representation.size(group);
            let matrix = matrix(representation, group, g);
            for _ in 0..*count {
                for (row, weights) in matrix.chunks(size).enumerate() {
                    for (column, &weight) in weights.iter().enumerate() {
                        for p in 0..pixels {
                            mixed[(start + row) * pixels + p] +=
                                weight * moved[(start + column) * pixels + p];
                        }
                    }
                }
                start += size;
            }
        }
    }
    mixed
}

/// The elements of a group that there are to try: of a continuous one the quarter turns, and the
/// mirrors if it has some.
fn finite(group: Group) -> Group {
    match (group.is_finite(), group.has_mirrors()) {
        (true, _) => group,
        (false, false) => Group::cyclic(4),
        (false, true) => Group::dihedral(4),
    }
}

/// `rho(g)`, row-major, for an element `g` of [`finite`].
fn matrix(representation: &Representation, group: Group, g: usize) -> Vec<f64> {
    let elements = finite(group);
    if elements == group {
        return representation.matrix(group, g);
    }
    let n = representation.size(group);
    let restricted = (representation.restrict(group, elements)).expect("a subgroup");
    let (q, inner) = (
        restricted.change_of_basis,
        restricted.representation.matrix(elements, g),
    );
    let entry = |i: usize, j: usize| -> f64 {
        let terms = (0..n).flat_map(|k| (0..n).map(move |l| (k, l)));
        terms
            .map(|(k, l)| q[i * n + k] * inner[k * n + l] * q[j * n + l])
            .sum()
    };
    (0..n * n).map(|at| entry(at / n, at % n)).collect()
}

/// `f(T_g x) = T_g f(x)` for every element `g` that maps the grid to itself, `run` being the tape
/// with given values of `x` and the parameters.
fn equivariance(
    entry: &Entry,
    seed: u64,
    run: impl Fn(&Recorded, &Values) -> Result<Vec<f64>>,
) -> Result<Measure> {
    let mut noise = Noise::new(seed, &entry.name);
    let (upright, layer) = record(entry, entry.extents)?;
    let values = Values::new(&upright, &mut noise);
    let y = run(&upright, &values)?;
    let group = finite(layer.input.group());
    let mut worst = Measure::new(0.0, BOUND);
    for g in 1..group.order() {
        let Some(symmetry) = group.grid_symmetry(g) else {
            continue;
        };
        let [h, w] = entry.extents;
        let extents = if symmetry.swaps_extents() {
            [w, h]
        } else {
            [h, w]
        };
        let (turned, _) = record(entry, extents)?;
        let x = acted(
            &layer.input,
            g,
            symmetry,
            &wide(&values.x),
            upright.x.shape(),
        );
        let moved = Values {
            parameters: values.parameters.clone(),
            x: x.iter().map(|&v| v as f32).collect(),
        };
        let found: Vec<f32> = run(&turned, &moved)?.iter().map(|&v| v as f32).collect();
        let expected = acted(&layer.output, g, symmetry, &y, upright.y.shape());
        worst = worst.worse(Measure {
            note: Some(format!("element {g} of {group}")),
            ..Measure::new(relative_error(&found, &expected), BOUND)
        });
    }
    Ok(worst)
}

fn on_device(context: &Context, recorded: &Recorded, values: &Values) -> Result<Vec<f64>> {
    let store = context.store();
    for (name, shape, range) in recorded.parameters.states() {
        store.write(name, shape, &values.parameters[range])?;
    }
    let plan = Plan::compile(&recorded.tape, &[recorded.y], &store, Options::default())?;
    plan.run(&[("x", &values.x)])?;
    Ok(wide(&plan.read(recorded.y)?))
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (index, entry) in layers().into_iter().enumerate() {
        // Entries are made anew for each row: they are closures, not values.
        let again = move || layers().swap_remove(index);
        let name = entry.name;
        checks.push(Check::new(format!("layer/{name}"), move |context| {
            against_twin(&again(), context)
        }));
        checks.push(Check::host(format!("gradient/layer/{name}"), move |seed| {
            gradients(&again(), seed)
        }));
        checks.push(Check::new(
            format!("equivariance/layer/{name}"),
            move |context| {
                equivariance(&again(), context.seed, |recorded, values| {
                    on_device(context, recorded, values)
                })
            },
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Window;

    fn on_host(recorded: &Recorded, values: &Values) -> Result<Vec<f64>> {
        let y = evaluate(&recorded.tape, &mut values.feeds(recorded), &[recorded.y])?;
        Ok(y.concat())
    }

    #[test]
    fn layers_commute_with_their_groups_on_the_host() {
        for entry in layers() {
            let measure = equivariance(&entry, 5, on_host).expect("evaluates");
            // Inputs are rounded to single precision after the group has acted.
            assert!(measure.error < 1e-6, "{}: {measure:?}", entry.name);
        }
    }

    #[test]
    fn an_ordinary_layer_does_not_commute() {
        let entry = entry("ordinary", [5, 4], |parameters| {
            let fields = FieldType::trivial(Group::cyclic(4), 2);
            let ordinary = FieldType::trivial(Group::TRIVIAL, 2);
            let config = ConvolutionConfig::new(ordinary.clone(), ordinary);
            let layer = GroupConvolution::new(parameters, "layer", &config)?;
            Layer::new(fields.clone(), fields, move |t, b, x| {
                layer.forward(t, b, x)
            })
        });
        let measure = equivariance(&entry, 5, on_host).expect("evaluates");
        assert!(measure.error > 0.1, "{measure:?}");
    }

    #[test]
    fn a_pointwise_function_of_vectors_is_refused() {
        let fields = mixed(Group::cyclic(4)).expect("fields of C4");
        let mut tape = Tape::new();
        let x = tape.input("x", Shape::new(1, fields.channels(), 3, 3));
        let refused = pointwise(&mut tape, &fields, x, 0.1).expect_err("vectors mix");
        assert!(refused.to_string().contains("norm or gated"), "{refused}");
        let refused = GroupPooling::Max.record(&mut tape, &fields, x);
        assert!(refused.is_err());
    }

    #[test]
    fn strides_are_refused_where_they_break_the_symmetry() {
        let c4 = Group::cyclic(4);
        let fields = FieldType::trivial(c4, 1);
        let config = ConvolutionConfig {
            stride: 2,
            ..ConvolutionConfig::new(fields.clone(), fields)
        };
        let mut parameters = Parameters::new();
        let layer = GroupConvolution::new(&mut parameters, "layer", &config).expect("valid");
        assert_eq!(
            layer.window(),
            Window {
                size: 3,
                stride: 2,
                padding: Padding::Replicate
            }
        );
        let mut tape = Tape::new();
        let (_, bound) = parameters.bind(&mut tape).expect("binds");
        for (extents, fits) in [([7, 5], true), ([8, 5], false), ([7, 4], false)] {
            let x = tape.input("x", Shape::new(1, 1, extents[0], extents[1]));
            assert_eq!(layer.forward(&mut tape, &bound, x).is_ok(), fits);
        }
    }
}
