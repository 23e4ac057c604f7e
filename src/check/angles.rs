//! By how much layers and networks miss `f(T x) = T f(x)` for rotations: those of their group that
//! map the pixel grid to itself, the group's others, and 15, 30 and 45 degrees. Reported, not
//! judged: off the grid an image has only what its pixels tell.

use super::harness::Noise;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::group::{FieldType, Group};
use crate::models::{
    DenoisingCnnConfig, FieldsConfig, LearnedProximalGradientConfig, ModelConfig, NonlinearityKind,
    OperatorFacts, Sampling, UNetConfig,
};
use crate::nn::{
    BasisKind, Bound, ConvolutionConfig, Gated, GroupConvolution, GroupPooling, NormNonlinearity,
    Normalisation, NormalisationKind, Parameters, doubled, halved, pointwise, polyphase_down,
    polyphase_up, reynolds,
};
use crate::operators::Identity;
use crate::shape::{Padding, Shape};
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Tape, Var};
use serde::Serialize;

/// Rows and columns of the image.
const SIZE: usize = 48;
/// Pixels at the border, where a moved image reads what is outside, that are not compared.
const MARGIN: f64 = 10.0;
/// Degrees.
pub const ANGLES: [f64; 3] = [15.0, 30.0, 45.0];

/// What one layer or network misses, relative to its output's variation, its distance from its mean,
/// in the Euclidean norm.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct AngleRow {
    /// The layer or network.
    pub name: String,
    /// Its group.
    pub group: Group,
    /// The most over the group's rotations by quarter turns; `None` if it has none.
    pub on_grid: Option<f64>,
    /// The most over the group's other rotations; `None` if it has none.
    pub off_grid: Option<f64>,
    /// At each of [`ANGLES`].
    pub at: [f64; 3],
}

type Body = Box<dyn Fn(&mut Tape, &Bound, Var) -> Result<Var>>;
type Make = Box<dyn Fn(&mut Parameters) -> Result<Body>>;

/// A map from scalar images to scalar images.
struct Entry {
    name: String,
    group: Group,
    make: Make,
}

/// How the layers of an entry are made.
#[derive(Clone, Copy)]
struct Kernels {
    group: Group,
    basis: BasisKind,
    size: usize,
}

impl Kernels {
    fn convolution(
        self,
        parameters: &mut Parameters,
        name: &str,
        from: &FieldType,
        to: &FieldType,
    ) -> Result<GroupConvolution> {
        let config = ConvolutionConfig {
            size: self.size,
            basis: self.basis,
            ..ConvolutionConfig::new(from.clone(), to.clone())
        };
        GroupConvolution::new(parameters, name, &config)
    }

    /// A lifting convolution to `input`, the layer that `make` registers, and scalars again: the
    /// norm of each field of `output`, added up.
    fn entry(
        self,
        name: &str,
        representation: &'static str,
        make: impl Fn(&mut Parameters, &FieldType) -> Result<Middle> + 'static,
    ) -> Entry {
        Entry {
            name: name.into(),
            group: self.group,
            make: Box::new(move |parameters| {
                let fields = FieldsConfig {
                    representation: representation.into(),
                    nonlinearity: NonlinearityKind::Gated,
                };
                let width = 4 * crate::group::Representation::parse(representation, self.group)?
                    .size(self.group);
                let Middle {
                    input,
                    output,
                    body,
                } = make(parameters, &fields.fields(self.group, width)?)?;
                let image = FieldType::trivial(self.group, 1);
                let lift = self.convolution(parameters, "lift", &image, &input)?;
                Ok(Box::new(move |tape: &mut Tape, bound: &Bound, x: Var| {
                    let lifted = lift.forward(tape, bound, x)?;
                    let y = body(tape, bound, lifted)?;
                    let scalars = GroupPooling::Norm.record(tape, &output, y)?;
                    let Shape([n, _, h, w]) = scalars.shape();
                    tape.sum(scalars, Shape::new(n, 1, h, w))
                }) as Body)
            }),
        }
    }
}

/// A layer with its field types.
struct Middle {
    input: FieldType,
    output: FieldType,
    body: Body,
}

impl Middle {
    fn new(
        input: &FieldType,
        output: &FieldType,
        body: impl Fn(&mut Tape, &Bound, Var) -> Result<Var> + 'static,
    ) -> Result<Self> {
        Ok(Middle {
            input: input.clone(),
            output: output.clone(),
            body: Box::new(body),
        })
    }
}

/// The layers with one choice of kernels.
fn layers(kernels: Kernels) -> Vec<Entry> {
    let irreps = "irrep(0) + irrep(1)";
    vec![
        kernels.entry("lifting convolution", "regular", |_, fields| {
            Middle::new(fields, fields, |_, _, x| Ok(x))
        }),
        kernels.entry("group convolution", "regular", move |parameters, fields| {
            let layer = kernels.convolution(parameters, "layer", fields, fields)?;
            Middle::new(fields, fields, move |t, b, x| layer.forward(t, b, x))
        }),
        kernels.entry(
            "steerable convolution",
            irreps,
            move |parameters, fields| {
                let layer = kernels.convolution(parameters, "layer", fields, fields)?;
                Middle::new(fields, fields, move |t, b, x| layer.forward(t, b, x))
            },
        ),
        kernels.entry("leaky ReLU", "regular", |_, fields| {
            let of = fields.clone();
            Middle::new(fields, fields, move |t, _, x| pointwise(t, &of, x, 0.01))
        }),
        kernels.entry("norm nonlinearity", irreps, |parameters, fields| {
            let layer = NormNonlinearity::new(parameters, "layer", fields);
            Middle::new(fields, fields, move |t, b, x| layer.forward(t, b, x))
        }),
        kernels.entry("gated nonlinearity", irreps, |_, fields| {
            let layer = Gated::new(fields);
            Middle::new(&layer.input()?, fields, move |t, _, x| layer.forward(t, x))
        }),
        kernels.entry("group max pooling", "regular", |_, fields| {
            let (of, pooling) = (fields.clone(), GroupPooling::Max);
            let output = pooling.output(fields);
            Middle::new(fields, &output, move |t, _, x| pooling.record(t, &of, x))
        }),
        kernels.entry("instance normalisation", "regular", |parameters, fields| {
            let kind = NormalisationKind::Instance;
            let layer = Normalisation::new(parameters, "layer", kind, fields)?;
            let layer = layer.expect("a kind that normalises");
            Middle::new(fields, fields, move |t, b, x| layer.forward(t, b, x))
        }),
        kernels.entry("half and double", "regular", |_, fields| {
            Middle::new(fields, fields, |t, _, x| {
                let half = halved(t, x)?;
                doubled(t, half, [x.shape().h(), x.shape().w()])
            })
        }),
        kernels.entry("polyphase down and up", "regular", |_, fields| {
            Middle::new(fields, fields, |t, _, x| {
                let (half, phases) = polyphase_down(t, x)?;
                polyphase_up(t, half, &phases)
            })
        }),
    ]
}

/// A network that sees the image itself.
fn network(name: &str, model: ModelConfig) -> Entry {
    Entry {
        name: name.into(),
        group: model.group(),
        make: Box::new(move |parameters| {
            let operator = Identity::new(Shape::new(1, 1, SIZE, SIZE));
            let network = model.build(&OperatorFacts::of(&operator, 1.0))?;
            *parameters = network.parameters().clone();
            Ok(Box::new(move |tape: &mut Tape, bound: &Bound, x: Var| {
                network.reconstruct(tape, bound, &operator, x)
            }) as Body)
        }),
    }
}

fn networks() -> Vec<Entry> {
    let harmonic = BasisKind::Harmonic;
    let complete = BasisKind::Complete;
    let proximal = |group, basis| {
        ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
            group,
            basis,
            width: 24,
            blocks: 2,
            ..Default::default()
        })
    };
    let dncnn = DenoisingCnnConfig {
        depth: 4,
        width: 24,
        kernel_size: 5,
        basis: harmonic,
        residual: false,
        ..Default::default()
    };
    let unet = UNetConfig {
        width: 8,
        levels: 2,
        residual: false,
        ..Default::default()
    };
    let (all, smooth) = (
        "learned proximal gradient",
        "learned proximal gradient, harmonic",
    );
    let mut entries = vec![
        network(all, proximal(Group::TRIVIAL, complete)),
        network(all, proximal(Group::cyclic(4), complete)),
        network(smooth, proximal(Group::cyclic(4), harmonic)),
        network(smooth, proximal(Group::cyclic(8), harmonic)),
        network(smooth, proximal(Group::cyclic(12), harmonic)),
        network(
            "DnCNN, 5x5, regular",
            ModelConfig::DenoisingCnn(DenoisingCnnConfig {
                group: Group::cyclic(12),
                ..dncnn.clone()
            }),
        ),
        network(
            "DnCNN, 5x5, gated irreps",
            ModelConfig::DenoisingCnn(DenoisingCnnConfig {
                group: Group::SO2,
                width: 20,
                fields: FieldsConfig {
                    representation: "irrep(0) + irrep(1) + irrep(2)".into(),
                    nonlinearity: NonlinearityKind::Gated,
                },
                ..dncnn
            }),
        ),
        network(
            "U-Net",
            ModelConfig::UNet(UNetConfig {
                group: Group::TRIVIAL,
                ..unet.clone()
            }),
        ),
        network("U-Net", ModelConfig::UNet(unet.clone())),
        network(
            "U-Net",
            ModelConfig::UNet(UNetConfig {
                group: Group::cyclic(8),
                basis: harmonic,
                ..unet.clone()
            }),
        ),
        network(
            "U-Net, polyphase",
            ModelConfig::UNet(UNetConfig {
                sampling: Sampling::Polyphase,
                padding: Padding::Circular,
                ..unet
            }),
        ),
    ];
    entries.push(Entry {
        name: "ordinary layer, averaged over C4".into(),
        group: Group::cyclic(4),
        make: Box::new(|parameters| {
            let channels = |n| FieldType::trivial(Group::TRIVIAL, n);
            let config = ConvolutionConfig::new(channels(1), channels(1));
            let layer = GroupConvolution::new(parameters, "layer", &config)?;
            Ok(Box::new(move |tape: &mut Tape, bound: &Bound, x: Var| {
                reynolds(tape, Group::cyclic(4), x, |tape, x| {
                    let y = layer.forward(tape, bound, x)?;
                    Ok(tape.leaky_relu(y, 0.01))
                })
            }) as Body)
        }),
    });
    entries
}

fn entries() -> Vec<Entry> {
    let mut entries = vec![Entry {
        name: "none: the interpolation alone".into(),
        group: Group::TRIVIAL,
        make: Box::new(|_| Ok(Box::new(|_: &mut Tape, _: &Bound, x: Var| Ok(x)) as Body)),
    }];
    for (group, basis, size) in [
        (Group::cyclic(4), BasisKind::Complete, 3),
        (Group::cyclic(8), BasisKind::Harmonic, 5),
    ] {
        entries.extend(layers(Kernels { group, basis, size }));
    }
    entries.extend(networks());
    entries
}

/// Smooth spots, whose turned image is known exactly.
struct Spots(Vec<[f64; 4]>);

impl Spots {
    fn new(noise: &mut Noise) -> Self {
        let spot = |_| {
            let values = noise.range(4, 0.0, 1.0);
            let [radius, angle, width, height] = [0, 1, 2, 3].map(|i| f64::from(values[i]));
            let (sin, cos) = (std::f64::consts::TAU * angle).sin_cos();
            let radius = 0.3 * SIZE as f64 * radius.sqrt();
            [radius * cos, radius * sin, 2.5 + 3.0 * width, height - 0.3]
        };
        Spots((0..16).map(spot).collect())
    }

    /// The image turned counter-clockwise.
    fn turned(&self, radians: f64) -> Vec<f32> {
        let (sin, cos) = radians.sin_cos();
        let centre = (SIZE as f64 - 1.0) / 2.0;
        let mut image = Vec::with_capacity(SIZE * SIZE);
        for row in 0..SIZE {
            for column in 0..SIZE {
                let (x, y) = (column as f64 - centre, centre - row as f64);
                let value: f64 = (self.0.iter())
                    .map(|&[a, b, width, height]| {
                        let (u, v) = (cos * a - sin * b, sin * a + cos * b);
                        let square = (x - u).powi(2) + (y - v).powi(2);
                        height * (-square / (2.0 * width * width)).exp()
                    })
                    .sum();
                image.push(value as f32);
            }
        }
        image
    }
}

/// `|found - T image|` relative to the distance of `T image` from its mean, within the margin, `T` the
/// turn by `radians`, interpolated by cubic convolution (Keys 1981).
fn missed(found: &[f32], image: &[f32], radians: f64) -> f64 {
    let (sin, cos) = radians.sin_cos();
    let centre = (SIZE as f64 - 1.0) / 2.0;
    let mut pairs = Vec::with_capacity(SIZE * SIZE);
    for row in 0..SIZE {
        for column in 0..SIZE {
            let (x, y) = (column as f64 - centre, centre - row as f64);
            if x.hypot(y) > centre - MARGIN {
                continue;
            }
            let (u, v) = (cos * x + sin * y, cos * y - sin * x);
            let expected = cubic(image, centre - v, centre + u);
            pairs.push([f64::from(found[row * SIZE + column]), expected]);
        }
    }
    let mean = pairs.iter().map(|pair| pair[1]).sum::<f64>() / pairs.len() as f64;
    let difference: f64 = pairs.iter().map(|[f, e]| (f - e).powi(2)).sum();
    let variation: f64 = pairs.iter().map(|[_, e]| (e - mean).powi(2)).sum();
    (difference / variation).sqrt()
}

/// The image between its pixels.
fn cubic(image: &[f32], row: f64, column: f64) -> f64 {
    let weights = |t: f64| {
        let (t2, t3) = (t * t, t * t * t);
        [
            -0.5 * t3 + t2 - 0.5 * t,
            1.5 * t3 - 2.5 * t2 + 1.0,
            -1.5 * t3 + 2.0 * t2 + 0.5 * t,
            0.5 * t3 - 0.5 * t2,
        ]
    };
    // Quarter turns fall on pixels up to the rounding of sines.
    let whole = |p: f64| {
        let near = (p + 1e-9).floor();
        (near as usize, (p - near).max(0.0))
    };
    let ((r, dr), (c, dc)) = (whole(row), whole(column));
    let mut sum = 0.0;
    for (i, a) in weights(dr).into_iter().enumerate() {
        for (j, b) in weights(dc).into_iter().enumerate() {
            let pixel = image[(r + i - 1) * SIZE + c + j - 1];
            sum += a * b * f64::from(pixel);
        }
    }
    sum
}

/// Measures every layer and network on `gpu` with inputs and parameters from `seed`.
///
/// # Errors
/// Those of recording, compiling and running.
pub fn angles(gpu: &Gpu, seed: u64) -> Result<Vec<AngleRow>> {
    entries()
        .iter()
        .map(|entry| measure(entry, gpu, seed))
        .collect()
}

fn measure(entry: &Entry, gpu: &Gpu, seed: u64) -> Result<AngleRow> {
    let mut noise = Noise::new(seed, &entry.name);
    let mut parameters = Parameters::new();
    let body = (entry.make)(&mut parameters)?;
    let mut tape = Tape::new();
    let (_, bound) = parameters.bind(&mut tape)?;
    let x = tape.input("x", Shape::new(1, 1, SIZE, SIZE));
    let y = body(&mut tape, &bound, x)?;
    let store = Store::new(gpu);
    // Of the size that networks start with, and none of them zero.
    let mut values = parameters.initial(u64::from(noise.below(1 << 20)));
    let moves = noise.signed(values.len());
    for (value, by) in values.iter_mut().zip(moves) {
        *value += 0.02 * by;
    }
    for (name, shape, range) in parameters.states() {
        store.write(name, shape, &values[range])?;
    }
    let plan = Plan::compile(&tape, &[y], &store, Options::default())?;
    let spots = Spots::new(&mut noise);
    let run = |radians: f64| -> Result<Vec<f32>> {
        plan.run(&[("x", &spots.turned(radians))])?;
        plan.read(y)
    };
    let upright = run(0.0)?;
    let at = |radians: f64| Ok::<_, crate::error::Error>(missed(&run(radians)?, &upright, radians));
    let group = entry.group;
    let (mut on_grid, mut off_grid) = (None, None);
    // Of all rotations, the quarter turns.
    let rotations = if group.is_finite() {
        group.rotations()
    } else {
        4
    };
    for turn in 1..rotations {
        let error = at(std::f64::consts::TAU * turn as f64 / rotations as f64)?;
        let worst: &mut Option<f64> = match (4 * turn).is_multiple_of(rotations) {
            true => &mut on_grid,
            false => &mut off_grid,
        };
        *worst = Some(worst.unwrap_or(0.0).max(error));
    }
    let mut row = AngleRow {
        name: entry.name.clone(),
        group,
        on_grid,
        off_grid,
        at: [0.0; 3],
    };
    for (error, degrees) in row.at.iter_mut().zip(ANGLES) {
        *error = at(degrees.to_radians())?;
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turned_spots_are_the_interpolated_image() {
        let spots = Spots::new(&mut Noise::new(1, "spots"));
        let upright = spots.turned(0.0);
        for degrees in [15.0f64, 90.0, 200.0] {
            let radians = degrees.to_radians();
            let right = missed(&spots.turned(radians), &upright, radians);
            let wrong = missed(&spots.turned(-radians), &upright, radians);
            assert!(right < 5e-3 && wrong > 0.1, "{degrees}: {right} {wrong}");
        }
        let quarter = std::f64::consts::FRAC_PI_2;
        assert!(missed(&spots.turned(quarter), &upright, quarter) < 1e-6);
    }
}
