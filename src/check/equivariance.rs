//! Networks with symmetric layers commute with the group on the device: to the bit, if nothing but
//! symmetric convolutions and pointwise functions of fields is in them, else to rounding.

use super::harness::{Noise, wide};
use super::plans::{SMALL, outputs, random_parameters};
use super::{Check, Context, Measure, relative_error};
use crate::error::Result;
use crate::group::Group;
use crate::kernels::symmetric_conv::SymmetricAlgorithm;
use crate::kernels::{Capabilities, Forced};
use crate::models::{
    DenoisingCnnConfig, FieldsConfig, LearnedPrimalDualConfig, LearnedProximalGradientConfig,
    ModelConfig, NonlinearityKind, OperatorFacts, Sampling, Start, UNetConfig,
    UnrolledProximalGradientConfig,
};
use crate::nn::{BasisKind, NormalisationKind, Parameters};
use crate::operators::{FourierSampling, Identity, LinearOperator, RayTransform};
use crate::reference::layout::grid_symmetry;
use crate::shape::{GridSymmetry, Padding, RayGeometry, Shape};
use crate::tape::plan::Plan;
use crate::tape::{Tape, Var};
use std::f64::consts::PI;

/// Relative to the output's largest element.
const BOUND: f64 = 1e-5;

/// Where every rounding moves with the image.
const EXACT: f64 = 0.0;

/// A network, what it sees, and the name of its row.
struct Entry {
    name: String,
    model: ModelConfig,
    domain: Domain,
}

impl Entry {
    fn bound(&self) -> f64 {
        match (&self.model, self.domain) {
            (ModelConfig::LearnedProximalGradient(_), Domain::Image(_)) => EXACT,
            _ => BOUND,
        }
    }
}

/// Every network of `models`, small: one line or block each.
fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |name: String, model: ModelConfig, domain: Domain| {
        entries.push(Entry {
            name: name.to_lowercase(),
            model,
            domain,
        });
    };
    let (c4, d4) = (Group::cyclic(4), Group::dihedral(4));
    use BasisKind::{Complete, Harmonic};
    for (group, basis, padding, size) in [
        (Group::cyclic(2), Complete, Padding::Replicate, 13),
        (c4, Complete, Padding::Replicate, 13),
        (c4, Harmonic, Padding::Zero, 12),
        (Group::dihedral(1), Complete, Padding::Circular, 12),
        (d4, Complete, Padding::Replicate, 12),
    ] {
        let model = proximal_gradient(group, basis, padding, Start::Zero);
        add(
            format!("{group}/{basis:?}/{padding:?}"),
            model,
            Domain::Image(size),
        );
    }
    for (group, domain, start, path) in [
        (c4, Domain::Sinogram, Start::Zero, "ct"),
        (d4, Domain::Sinogram, Start::Zero, "ct"),
        (
            c4,
            Domain::Sinogram,
            Start::PseudoInverse,
            "ct/residual-from-fbp",
        ),
        (c4, Domain::KSpace, Start::Zero, "mri"),
        (
            d4,
            Domain::KSpace,
            Start::PseudoInverse,
            "mri/residual-from-zero-filled",
        ),
    ] {
        let model = proximal_gradient(group, Complete, Padding::Replicate, start);
        add(format!("{group}/{path}"), model, domain);
    }
    for group in [c4, d4] {
        let model = LearnedPrimalDualConfig {
            group,
            width: 16,
            iterations: 2,
            primal: 2,
            dual: 1,
            ..Default::default()
        };
        let model = ModelConfig::LearnedPrimalDual(model);
        add(
            format!("{group}/learned-primal-dual/ct"),
            model,
            Domain::Sinogram,
        );
    }
    for (group, tied) in [(c4, false), (d4, true)] {
        let proximal = DenoisingCnnConfig {
            group,
            width: 16,
            depth: 3,
            ..Default::default()
        };
        let model = UnrolledProximalGradientConfig {
            blocks: 2,
            tied,
            start: Start::PseudoInverse,
            proximal: Box::new(ModelConfig::DenoisingCnn(proximal)),
            ..Default::default()
        };
        let path = if tied { "ct/tied" } else { "ct" };
        add(
            format!("{group}/unrolled-proximal-gradient/{path}"),
            ModelConfig::UnrolledProximalGradient(model),
            Domain::Sinogram,
        );
    }
    let fields = |representation: &str, nonlinearity| FieldsConfig {
        representation: representation.into(),
        nonlinearity,
    };
    let unet = |group, width| UNetConfig {
        group,
        width,
        levels: 2,
        ..Default::default()
    };
    for (name, model, size) in [
        ("c4/unet", unet(c4, 4), 13),
        ("d4/unet", unet(d4, 8), 12),
        (
            "c4/unet/instance-norm",
            UNetConfig {
                normalisation: NormalisationKind::Instance,
                ..unet(c4, 4)
            },
            13,
        ),
        (
            "d4/unet/gated-irreps",
            UNetConfig {
                fields: fields("irrep(0) + irrep(1) + irrep(2)", NonlinearityKind::Gated),
                ..unet(d4, 8)
            },
            11,
        ),
        (
            "c4/unet/polyphase",
            UNetConfig {
                sampling: Sampling::Polyphase,
                padding: Padding::Circular,
                ..unet(c4, 4)
            },
            12,
        ),
    ] {
        add(name.into(), ModelConfig::UNet(model), Domain::Image(size));
    }
    for (name, representation, nonlinearity, width) in [
        ("d4/dncnn", "quotient(D1)", NonlinearityKind::Pointwise, 8),
        (
            "c4/dncnn/norm",
            "irrep(0) + irrep(1)",
            NonlinearityKind::Norm,
            6,
        ),
    ] {
        let model = DenoisingCnnConfig {
            group: if name.starts_with("c4") { c4 } else { d4 },
            width,
            depth: 4,
            fields: fields(representation, nonlinearity),
            ..Default::default()
        };
        add(
            name.into(),
            ModelConfig::DenoisingCnn(model),
            Domain::Image(12),
        );
    }
    entries
}

fn proximal_gradient(
    group: Group,
    basis: BasisKind,
    padding: Padding,
    start: Start,
) -> ModelConfig {
    ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
        group,
        basis,
        padding,
        width: 16,
        blocks: 2,
        start,
        residual: start == Start::PseudoInverse,
        ..Default::default()
    })
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for entry in entries() {
        let row = format!("equivariance/{}", entry.name);
        checks.push(Check::new(row, move |context| {
            let setting = Setting::new(&entry.model, entry.domain, context.seed)?;
            setting.measure(entry.bound(), |y| setting.on_device(context, SMALL, y))
        }));
    }
    checks
}

/// The network of C4 with each variant of its layers in the Fourier domain of the group in turn, on an
/// image whose rows are read by fours: exact with all of them.
pub(super) fn variants(capabilities: Capabilities) -> Vec<Check> {
    let setting = |seed| {
        let model = proximal_gradient(
            Group::cyclic(4),
            BasisKind::Complete,
            Padding::Replicate,
            Start::Zero,
        );
        Setting::new(&model, Domain::Image(12), seed)
    };
    let variants = setting(0)
        .and_then(|s| Plan::variants(&s.tape, &[s.output], capabilities, Forced::default()));
    let variants = match variants {
        Ok(variants) => variants,
        Err(e) => {
            let message = e.to_string();
            let failed = move |_: &Context| Ok(Measure::failed(EXACT, message.clone()));
            return vec![Check::new("variant/equivariance", failed)];
        }
    };
    let fourier = variants.into_iter().filter(|(_, forced)| {
        let expanded = |s| matches!(s, SymmetricAlgorithm::Expanded(_));
        forced.symmetric.is_some_and(|s| !expanded(s))
    });
    let checks = fourier.map(|(name, forced)| {
        let row = format!("variant/equivariance/{}", name.replace(' ', "-"));
        Check::new(row, move |context| {
            let setting = setting(context.seed)?;
            setting.measure(EXACT, |y| setting.on_device(context, forced, y))
        })
    });
    checks.collect()
}

/// What the network reconstructs from.
#[derive(Clone, Copy)]
enum Domain {
    /// Square images of this size, seen directly.
    Image(usize),
    /// Sinograms with views on [0, pi) in a multiple of four, which the group permutes.
    Sinogram,
    /// Centred k-space of 13 x 13 pixels with a mask that the group leaves as it is: there the
    /// transform of a moved image is the moved transform.
    KSpace,
}

/// A mask of 13 x 13 entries that rotations and mirrors of the square leave as it is.
fn symmetric_mask() -> Vec<bool> {
    let measured = |i: usize| {
        let (r, c) = ((i / 13).abs_diff(6), (i % 13).abs_diff(6));
        r.max(c) < 3 || (r + c) % 3 == 0
    };
    (0..169).map(measured).collect()
}

/// A network with random weights, recorded once.
struct Setting {
    group: Group,
    domain: Domain,
    tape: Tape,
    output: Var,
    measurement: Shape,
    parameters: Parameters,
    values: Vec<f32>,
    y: Vec<f32>,
}

impl Setting {
    fn new(model: &ModelConfig, domain: Domain, seed: u64) -> Result<Self> {
        let operator: Box<dyn LinearOperator> = match domain {
            Domain::Image(size) => Box::new(Identity::new(Shape::new(1, 1, size, size))),
            Domain::Sinogram => Box::new(RayTransform::new(RayGeometry::parallel(
                [13, 13],
                0.36,
                12,
                19,
            ))),
            Domain::KSpace => {
                Box::new(FourierSampling::new([13, 13], &symmetric_mask())?.centred())
            }
        };
        let norm = match domain {
            Domain::Image(_) | Domain::KSpace => 1.0,
            Domain::Sinogram => 0.3,
        };
        let group = model.group();
        let model = model.build(&OperatorFacts::of(&*operator, norm))?;
        let mut noise = Noise::new(seed, "equivariance");
        let mut tape = Tape::new();
        let (_, bound) = model.parameters().bind(&mut tape)?;
        let measurement = operator.range();
        let y = tape.input("y", measurement);
        let output = model.reconstruct(&mut tape, &bound, &*operator, y)?;
        Ok(Setting {
            group,
            domain,
            tape,
            output,
            measurement,
            values: random_parameters(model.parameters(), &mut noise),
            parameters: model.parameters().clone(),
            y: noise.signed(measurement.elements()),
        })
    }

    fn on_device(&self, context: &Context, forced: Forced, y: &[f32]) -> Result<Vec<f32>> {
        let states: Vec<_> = (self.parameters.states())
            .map(|(name, shape, range)| (name, shape, &self.values[range]))
            .collect();
        outputs(
            &context.store(),
            forced,
            &self.tape,
            self.output,
            &states,
            &[("y", y)],
        )
    }

    /// `f(T_g y) = T_g f(y)` for every element `g`, `run` being the network.
    fn measure(&self, bound: f64, run: impl Fn(&[f32]) -> Result<Vec<f32>>) -> Result<Measure> {
        let image = self.output.shape();
        let upright = wide(&run(&self.y)?);
        let mut worst = Measure::new(0.0, bound);
        for g in 1..self.group.order() {
            let Some(symmetry) = self.group.grid_symmetry(g) else {
                continue;
            };
            let expected = grid_symmetry(&upright, image, symmetry);
            let found = run(&self.moved(symmetry))?;
            worst = worst.worse(Measure {
                note: Some(format!("element {g} of {}", self.group)),
                ..Measure::new(relative_error(&found, &expected), bound)
            });
        }
        Ok(worst)
    }

    /// The measurement of the moved image.
    fn moved(&self, symmetry: GridSymmetry) -> Vec<f32> {
        match self.domain {
            Domain::Image(_) | Domain::KSpace => {
                let moved = grid_symmetry(&wide(&self.y), self.measurement, symmetry);
                moved.into_iter().map(|v| v as f32).collect()
            }
            Domain::Sinogram => move_sinogram(&self.y, self.measurement, symmetry),
        }
    }
}

/// The sinogram of `(T_g f)(x) = f(R^-1 x)`, for views equally spaced on [0, pi): its view in
/// direction `n` is the view of `f` in direction `R^-1 n`, and a direction in the lower half plane
/// is the opposite one with the bins reversed.
fn move_sinogram(y: &[f32], shape: Shape, symmetry: GridSymmetry) -> Vec<f32> {
    let (views, bins) = (shape.h(), shape.w());
    let [[xx, xy], [yx, yy]] = symmetry.inverse().matrix().map(|row| row.map(f64::from));
    let mut moved = Vec::with_capacity(y.len());
    for view in 0..views {
        let (sin, cos) = (PI * view as f64 / views as f64).sin_cos();
        let angle = (yx * cos + yy * sin).atan2(xx * cos + xy * sin);
        let step = (angle * views as f64 / PI).round() as isize;
        let step = step.rem_euclid(2 * views as isize) as usize;
        let row = &y[step % views * bins..][..bins];
        if step < views {
            moved.extend(row);
        } else {
            moved.extend(row.iter().rev());
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ray_transform;
    use crate::tape::reference::{Feeds, evaluate};

    /// The network on the host, in f64 up to the result.
    fn on_host(setting: &Setting, y: &[f32]) -> Result<Vec<f32>> {
        let mut feeds: Feeds = [("y".to_string(), wide(y))].into();
        for (name, _, range) in setting.parameters.states() {
            feeds.insert(name.to_string(), wide(&setting.values[range]));
        }
        let value = evaluate(&setting.tape, &mut feeds, &[setting.output])?;
        Ok(value[0].iter().map(|&v| v as f32).collect())
    }

    #[test]
    fn a_symmetric_network_passes_and_an_ordinary_one_does_not() {
        for entry in entries() {
            let symmetric = Setting::new(&entry.model, entry.domain, 3).expect("valid");
            let measure = symmetric
                .measure(BOUND, |y| on_host(&symmetric, y))
                .expect("evaluates");
            assert!(measure.error < 1e-6, "{}: {measure:?}", entry.name);
        }
        for domain in [Domain::Image(8), Domain::Sinogram, Domain::KSpace] {
            for group in [Group::cyclic(4), Group::dihedral(4)] {
                let ordinary = proximal_gradient(
                    Group::TRIVIAL,
                    BasisKind::Complete,
                    Padding::Replicate,
                    Start::Zero,
                );
                let mut ordinary = Setting::new(&ordinary, domain, 3).expect("valid");
                ordinary.group = group;
                let measure = ordinary
                    .measure(BOUND, |y| on_host(&ordinary, y))
                    .expect("evaluates");
                assert!(measure.error > 0.05, "{measure:?}");
            }
        }
    }

    #[test]
    fn a_moved_sinogram_is_the_sinogram_of_the_moved_image() {
        let beam = RayGeometry::parallel([9, 9], 0.36, 8, 15);
        let image = Noise::new(1, "image").signed(81);
        let shape = Shape::new(1, 1, 9, 9);
        let transform = |x: &[f64]| ray_transform::forward(x, 1, &beam).value;
        let upright: Vec<f32> = transform(&wide(&image)).iter().map(|&v| v as f32).collect();
        for g in GridSymmetry::ALL {
            let expected = transform(&grid_symmetry(&wide(&image), shape, g));
            let moved = move_sinogram(&upright, beam.sinogram(1), g);
            assert!(relative_error(&moved, &expected) < 1e-6, "{g:?}");
        }
    }
}
