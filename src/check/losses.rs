//! Every term of a loss: on the device against the tape's definition, and its gradient against
//! differences.

use super::harness::{Noise as Random, wide};
use super::{Check, Context, Measure, relative_error};
use crate::data::{AffineRanges, Stream};
use crate::error::Result;
use crate::losses::{
    self, Augmentation, Distance, Domain, EquivariantImaging, MeasurementConsistency, Moved,
    MultiOperator, Randomness, Rotation, Scene, Splitting, Supervised, Sure, Term, Transforms,
    Turns, Unit, Unsure,
};
use crate::operators::{FourierSampling, LinearOperator, Noise, RayTransform, Several};
use crate::shape::{RayGeometry, Shape};
use crate::tape::gradcheck::gradient_error;
use crate::tape::plan::{Options, Plan};
use crate::tape::reference::{Feeds, evaluate};
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// On the device, relative to the largest element. What divides by the step of a probe loses as many
/// digits as that is small.
const BOUND: f64 = 1e-4;
/// Of gradients on the host.
const GRADIENT_BOUND: f64 = 1e-6;
/// Images in a batch.
const BATCH: usize = 2;
/// Of noise that is added.
const SIGMA: f64 = 0.05;

/// A term, and the problem that it is tried on.
struct Entry {
    name: &'static str,
    term: Term,
    operator: fn() -> Result<Arc<dyn LinearOperator>>,
    noise: Noise,
}

/// Few views, whose sinogram does not tell everything.
fn scan() -> Result<Arc<dyn LinearOperator>> {
    Ok(Arc::new(RayTransform::new(RayGeometry::parallel(
        [8, 8],
        4.0,
        5,
        12,
    ))))
}

/// Three fifths of the columns of k-space, beginning with column `start`.
fn columns(start: usize) -> Result<Arc<dyn LinearOperator>> {
    let measured: Vec<bool> = (0..80).map(|i| (i % 10 + start) % 5 < 3).collect();
    Ok(Arc::new(FourierSampling::new([8, 10], &measured)?))
}

fn entries() -> Vec<Entry> {
    let entry = |name, term, operator, noise| Entry {
        name,
        term,
        operator,
        noise,
    };
    let gaussian = Noise::Gaussian { sigma: SIGMA };
    let supervised = |distance| {
        Term::Supervised(Supervised {
            distance,
            ..Supervised::default()
        })
    };
    let everything = Transforms {
        rotation: Rotation::Within([-40.0, 70.0]),
        mirror: true,
        shift: 0.3,
        translation: 0.7,
        scaling: [0.8, 1.3],
        shear: 0.2,
    };
    let exact = Transforms {
        rotation: Rotation::Named(Turns::Quarter),
        shift: 0.5,
        ..Transforms::default()
    };
    let imaging = |transforms, draws, noise| {
        Term::EquivariantImaging(EquivariantImaging {
            weight: 2.0,
            transforms,
            draws,
            noise,
        })
    };
    let sure = |domain| {
        Term::Sure(Sure {
            domain,
            ..Sure::default()
        })
    };
    let low_dose = Noise::LowDoseCt {
        photons: 500.0,
        attenuation: 0.5,
        eta: 1e-8,
        readout: 3.0,
    };
    let splitting = |unit, transforms| {
        Term::Splitting(Splitting {
            unit,
            transforms,
            ..Splitting::default()
        })
    };
    let k_space: fn() -> Result<Arc<dyn LinearOperator>> = || columns(0);
    let turns: fn() -> Result<Arc<dyn LinearOperator>> =
        || Ok(Arc::new(Several::new(vec![columns(0)?, columns(2)?])?));
    vec![
        entry(
            "supervised/half-mse",
            supervised(Distance::HalfMse),
            scan,
            gaussian,
        ),
        entry("supervised/l1", supervised(Distance::L1), scan, gaussian),
        entry(
            "supervised/ssim",
            supervised(Distance::Ssim),
            scan,
            gaussian,
        ),
        entry(
            "augmentation",
            Term::Augmentation(Augmentation {
                transforms: everything,
                ..Augmentation::default()
            }),
            scan,
            gaussian,
        ),
        entry(
            "measurement-consistency/ct",
            Term::MeasurementConsistency(MeasurementConsistency::default()),
            scan,
            gaussian,
        ),
        entry(
            "measurement-consistency/fourier",
            Term::MeasurementConsistency(MeasurementConsistency::default()),
            k_space,
            gaussian,
        ),
        entry(
            "equivariant-imaging/affine",
            imaging(everything, 2, false),
            scan,
            gaussian,
        ),
        entry(
            "equivariant-imaging/exact",
            imaging(exact, 1, false),
            scan,
            gaussian,
        ),
        entry(
            "equivariant-imaging/noise",
            imaging(everything, 1, true),
            k_space,
            gaussian,
        ),
        entry("sure/gaussian", sure(Domain::PostLog), k_space, gaussian),
        entry(
            "sure/poisson",
            sure(Domain::PostLog),
            scan,
            Noise::Poisson { gain: 0.1 },
        ),
        entry(
            "sure/poisson-gaussian",
            sure(Domain::PostLog),
            scan,
            Noise::PoissonGaussian {
                gain: 0.1,
                sigma: 0.2,
            },
        ),
        entry("sure/post-log", sure(Domain::PostLog), scan, low_dose),
        entry("sure/pre-log", sure(Domain::PreLog), scan, low_dose),
        entry(
            "unsure",
            Term::Unsure(Unsure {
                initial: 0.3,
                ..Unsure::default()
            }),
            scan,
            gaussian,
        ),
        entry(
            "splitting/views",
            splitting(Unit::Rows, Transforms::default()),
            scan,
            gaussian,
        ),
        entry(
            "splitting/entries-moved",
            splitting(Unit::Entries, everything),
            k_space,
            gaussian,
        ),
        entry(
            "multi-operator",
            Term::MultiOperator(MultiOperator {
                noise: true,
                ..MultiOperator::default()
            }),
            turns,
            gaussian,
        ),
    ]
}

/// A recorded term with its gradient in the two parameters of a small smooth network.
struct Recorded {
    tape: Tape,
    loss: Var,
    parameters: [Var; 2],
    inputs: Vec<(String, Vec<f32>)>,
}

/// Records `entry` for the network `f(y) = a x + b x^2` with `x = A^+ y`, pixel by pixel.
fn record(entry: &Entry, random: &mut Random) -> Result<Recorded> {
    let operator = (entry.operator)()?;
    let image = operator.domain();
    let mut tape = Tape::new();
    let y = tape.input("measurements", operator.range().with(0, BATCH));
    let parameters = ["a", "b"].map(|name| tape.input(name, image));
    let network = move |tape: &mut Tape, operator: &dyn LinearOperator, y: Var| {
        let x = operator.pseudo_inverse(tape, y)?;
        let square = tape.mul(x, x)?;
        let [linear, square] = [
            tape.mul(x, parameters[0])?,
            tape.mul(square, parameters[1])?,
        ];
        tape.add(linear, square)
    };
    let randomness = Randomness {
        seed: 11,
        draw: tape.scalar(5.0),
    };
    let mut scene = Scene::new(&network, &*operator, entry.noise, y, randomness);
    let loss = losses::record(&[entry.term], &mut tape, &mut scene)?;
    // A measurement of an image with positive values, as counts need.
    let pixels = random.range(BATCH * image.elements(), 0.2, 1.0);
    let mut measuring = Tape::new();
    let x = measuring.constant(image.with(0, BATCH), pixels.clone())?;
    let measured = operator.forward(&mut measuring, x)?;
    let measured = evaluate(&measuring, &mut Feeds::new(), &[measured])?.swap_remove(0);
    let mut inputs = vec![
        (
            "measurements".to_string(),
            measured.iter().map(|&v| v as f32).collect(),
        ),
        ("a".to_string(), random.range(image.elements(), 0.5, 1.0)),
        ("b".to_string(), random.range(image.elements(), -0.2, 0.2)),
    ];
    if scene.reads_truth() {
        // Above and below every reconstruction: away from the kink of absolute values.
        let offset = |i: usize| if i.is_multiple_of(2) { 3.0 } else { -3.0 };
        let truth = pixels.iter().enumerate().map(|(i, v)| v + offset(i));
        inputs.push((Scene::TRUTH.to_string(), truth.collect()));
    }
    let mut stream = Stream::new(3, "motions");
    for motion in scene.motions() {
        let ranges = AffineRanges {
            rotation: [-0.7, 1.2],
            shift: [-0.7, 0.7],
            scaling: motion.transforms.scaling,
            shear: [-motion.transforms.shear, motion.transforms.shear],
            mirror: motion.transforms.mirror,
            ..AffineRanges::default()
        };
        let moved = |i: usize| Moved {
            map: ranges.draw(&mut stream),
            shift: [i + 1, (2 * i + 3) % motion.images.w()],
        };
        let moved: Vec<Moved> = (0..motion.images.n()).map(moved).collect();
        inputs.extend(motion.values(&moved)?);
    }
    for state in scene.states() {
        inputs.push((state.name.to_string(), vec![state.initial]));
    }
    Ok(Recorded {
        tape,
        loss,
        parameters,
        inputs,
    })
}

fn feeds(recorded: &Recorded) -> Feeds {
    let wide = |(name, values): &(String, Vec<f32>)| (name.clone(), wide(values));
    recorded.inputs.iter().map(wide).collect()
}

/// Loss and gradient on the device and by the tape's definition.
fn against_twin(entry: &Entry, context: &Context) -> Result<Measure> {
    let mut recorded = record(entry, &mut Random::new(context.seed, entry.name))?;
    let gradients = recorded
        .tape
        .gradients(recorded.loss, &recorded.parameters)?;
    let outputs = [recorded.loss, gradients[0], gradients[1]];
    let store = context.store();
    let is_state = |name: &str| name.starts_with("loss.");
    for (name, values) in recorded.inputs.iter().filter(|(name, _)| is_state(name)) {
        store.write(name, Shape::SCALAR, values)?;
    }
    let plan = Plan::compile(&recorded.tape, &outputs, &store, Options::default())?;
    let inputs = (recorded.inputs.iter()).filter(|(name, _)| plan.has_input(name));
    let inputs: Vec<(&str, &[f32])> = inputs.map(|(n, v)| (n.as_str(), &v[..])).collect();
    plan.run(&inputs)?;
    let expected = evaluate(&recorded.tape, &mut feeds(&recorded), &outputs)?;
    let mut worst = Measure::new(0.0, BOUND);
    for (output, expected) in outputs.iter().zip(&expected) {
        let error = relative_error(&plan.read(*output)?, expected);
        worst = worst.worse(Measure::new(error, BOUND));
    }
    Ok(worst)
}

/// The gradient in the network's parameters against central differences, on the host.
fn gradients(entry: &Entry, seed: u64) -> Result<Measure> {
    let recorded = record(entry, &mut Random::new(seed, entry.name))?;
    let [a, b] = recorded.parameters;
    let wrt = [(a, "a"), (b, "b")];
    let error = gradient_error(&recorded.tape, &feeds(&recorded), recorded.loss, &wrt)?;
    Ok(Measure::new(error, GRADIENT_BOUND))
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (index, entry) in entries().into_iter().enumerate() {
        // Entries are made anew for each row, like those of layers.
        let again = move || entries().swap_remove(index);
        let name = entry.name;
        checks.push(Check::new(format!("loss/{name}"), move |context| {
            against_twin(&again(), context)
        }));
        checks.push(Check::host(format!("gradient/loss/{name}"), move |seed| {
            gradients(&again(), seed)
        }));
    }
    checks
}
