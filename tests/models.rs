//! Every network on the device: it learns one image by heart, its statistics travel with its
//! checkpoint, and its frozen form computes the same.

use equilens::error::Result;
use equilens::gpu::{Gpu, Selection};
use equilens::group::Group;
use equilens::models::{
    DenoisingCnnConfig, FieldsConfig, FullyConnectedConfig, LearnedPrimalDualConfig,
    LearnedProximalGradientConfig, ModelConfig, NonlinearityKind, Sampling, UNetConfig,
    UnrolledProximalGradientConfig,
};
use equilens::nn::NormalisationKind;
use equilens::operators::{LinearOperator, RayTransform};
use equilens::shape::{Padding, RayGeometry};
use equilens::train::{
    AdamConfig, Dataset, ModelSpec, OptimiserConfig, Recipe, Reconstructor, Trainer, TrainingConfig,
};

fn gpu() -> Gpu {
    Gpu::open(&Selection::default()).expect("an adapter")
}

/// 16 x 16 images, 12 views: quarter turns shift the views by 6.
fn operator() -> RayTransform {
    RayTransform::new(RayGeometry::parallel([16, 16], 0.36, 12, 23))
}

/// An image with structure and its noisy measurement.
fn data(operator: &RayTransform) -> Result<Dataset> {
    let image = |p: usize| {
        let (r, c) = ((p / 16) as f32 - 7.0, (p % 16) as f32 - 8.0);
        let disc = if r * r + c * c < 30.0 { 0.3 } else { 0.0 };
        let square = if r.abs() < 2.0 && c > 0.0 && c < 5.0 {
            0.4
        } else {
            0.0
        };
        disc + square
    };
    let truth: Vec<f32> = (0..256).map(image).collect();
    let wide: Vec<f64> = truth.iter().map(|&v| f64::from(v)).collect();
    let beam = RayGeometry::parallel([16, 16], 0.36, 12, 23);
    let sinogram = equilens::reference::ray_transform::forward(&wide, 1, &beam).value;
    let noisy = sinogram.iter().enumerate();
    let noisy = noisy.map(|(i, &v)| (v + 2e-3 * ((i * i) as f64).sin()) as f32);
    Dataset::new(truth, noisy.collect(), operator.domain(), operator.range())
}

/// The networks, small, with a step size.
fn networks() -> Vec<(&'static str, ModelConfig, f64)> {
    let c4 = Group::cyclic(4);
    let unet = UNetConfig {
        group: c4,
        width: 8,
        levels: 2,
        ..Default::default()
    };
    let dncnn = DenoisingCnnConfig {
        group: c4,
        width: 16,
        depth: 4,
        ..Default::default()
    };
    let unrolled = |tied| {
        ModelConfig::UnrolledProximalGradient(UnrolledProximalGradientConfig {
            blocks: 3,
            tied,
            proximal: Box::new(ModelConfig::DenoisingCnn(dncnn.clone())),
            ..Default::default()
        })
    };
    vec![
        (
            "learned proximal gradient",
            ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
                width: 16,
                blocks: 3,
                ..Default::default()
            }),
            3e-3,
        ),
        (
            "learned primal-dual",
            ModelConfig::LearnedPrimalDual(LearnedPrimalDualConfig {
                width: 16,
                iterations: 3,
                primal: 3,
                dual: 2,
                ..Default::default()
            }),
            3e-3,
        ),
        ("unet", ModelConfig::UNet(unet.clone()), 3e-3),
        (
            "unet, batch norm, polyphase, dropout",
            ModelConfig::UNet(UNetConfig {
                levels: 1,
                normalisation: NormalisationKind::Batch,
                sampling: Sampling::Polyphase,
                padding: Padding::Circular,
                dropout: 0.05,
                ..unet
            }),
            3e-3,
        ),
        ("dncnn", ModelConfig::DenoisingCnn(dncnn.clone()), 3e-3),
        ("unrolled proximal gradient", unrolled(false), 3e-3),
        ("unrolled proximal gradient, tied", unrolled(true), 3e-3),
        (
            "fully connected",
            ModelConfig::FullyConnected(FullyConnectedConfig {
                width: 64,
                ..Default::default()
            }),
            3e-3,
        ),
        (
            "dncnn of irreps",
            ModelConfig::DenoisingCnn(DenoisingCnnConfig {
                group: Group::SO2,
                basis: equilens::nn::BasisKind::Harmonic,
                width: 15,
                fields: FieldsConfig {
                    representation: "irrep(0) + irrep(1) + irrep(2)".into(),
                    nonlinearity: NonlinearityKind::Gated,
                },
                ..dncnn
            }),
            3e-3,
        ),
    ]
}

fn recipe(learning_rate: f64) -> Recipe {
    Recipe {
        optimiser: OptimiserConfig::Adam(AdamConfig {
            learning_rate,
            ..Default::default()
        }),
        training: TrainingConfig {
            steps: 1000,
            batch: 1,
            seed: 3,
            ..Default::default()
        },
        ..Default::default()
    }
}

#[test]
fn every_network_learns_one_image_by_heart() -> Result<()> {
    let (gpu, operator) = (gpu(), operator());
    for (name, config, rate) in networks() {
        let spec = ModelSpec::new(&config, &operator, 0.3);
        let data = data(&operator)?;
        let mut trainer = Trainer::new(&gpu, &spec, &operator, &recipe(rate), data.clone(), None)?;
        trainer.step()?;
        let first = trainer.loss()?;
        for _ in 1..120 {
            trainer.step()?;
        }
        let last = trainer.loss()?;
        assert!(last < first / 3.0, "{name}: {first:e} to {last:e}");
        // What was learned is what reconstructs, running statistics included.
        let values = trainer.parameters()?;
        let network = Reconstructor::new(&gpu, &operator, &spec, &values, 1)?;
        let image = network.reconstruct(data.measurements(), 1)?;
        let squares = image.iter().zip(data.truth());
        let squares = squares.map(|(&u, &t)| f64::from(u - t).powi(2));
        let error = 0.5 * squares.sum::<f64>() / image.len() as f64;
        assert!(error < first / 2.5, "{name}: {error:e} after training");
    }
    Ok(())
}

#[test]
fn a_checkpoint_with_statistics_goes_on_bit_for_bit() -> Result<()> {
    let (gpu, operator) = (gpu(), operator());
    let (_, config, rate) = networks().swap_remove(3);
    let spec = ModelSpec::new(&config, &operator, 0.3);
    let trainer = || {
        Trainer::new(
            &gpu,
            &spec,
            &operator,
            &recipe(rate),
            data(&operator)?,
            None,
        )
    };
    let mut whole = trainer()?;
    for _ in 0..6 {
        whole.step()?;
    }
    let mut first = trainer()?;
    for _ in 0..3 {
        first.step()?;
    }
    let directory = std::env::temp_dir().join(format!("equilens-models-{}", std::process::id()));
    first.checkpoint()?.save(&directory)?;
    let mut second = trainer()?;
    second.restore(&equilens::train::Checkpoint::load(&directory, &spec)?)?;
    for _ in 0..3 {
        second.step()?;
    }
    let same = second.parameters()? == whole.parameters()?;
    std::fs::remove_dir_all(&directory).ok();
    assert!(same, "parameters and statistics after resuming");
    // The statistics have left their initial values.
    let values = whole.parameters()?;
    let model = spec.build()?;
    let start = model.parameters().initial(3);
    let flat = model.parameters().flat().elements();
    assert!(values.len() > flat && values[flat..] != start[flat..]);
    Ok(())
}

#[test]
fn recomputation_updates_running_statistics_once() -> Result<()> {
    let (gpu, operator) = (gpu(), operator());
    let (_, config, rate) = networks().swap_remove(3);
    let after = |recompute: bool| -> Result<Vec<f32>> {
        let spec = ModelSpec::new(&config.clone().with_recompute(recompute), &operator, 0.3);
        let recipe = recipe(rate);
        let mut trainer = Trainer::new(&gpu, &spec, &operator, &recipe, data(&operator)?, None)?;
        for _ in 0..3 {
            trainer.step()?;
        }
        trainer.parameters()
    };
    let (kept, again) = (after(false)?, after(true)?);
    for (i, (a, b)) in kept.iter().zip(&again).enumerate() {
        assert!(
            (a - b).abs() <= 1e-4 * (1.0 + a.abs()),
            "value {i}: {a} and {b}"
        );
    }
    Ok(())
}

/// The network on an image, by the tape's definition in f64.
fn improved(model: &ModelConfig, image: &[f64], size: usize) -> Result<Vec<f64>> {
    use equilens::models::{DenoisingCnn, UNet};
    use equilens::nn::Parameters;
    use equilens::tape::reference::{Feeds, evaluate};
    let mut tape = equilens::tape::Tape::new();
    let x = tape.input("x", equilens::shape::Shape::new(1, 1, size, size));
    let (parameters, y): (Parameters, _) = match model {
        ModelConfig::UNet(config) => {
            let network = UNet::new(config, 1)?;
            let parameters = equilens::models::Network::parameters(&network).clone();
            let (_, bound) = parameters.bind(&mut tape)?;
            (parameters, network.improve(&mut tape, &bound, x)?)
        }
        ModelConfig::DenoisingCnn(config) => {
            let network = DenoisingCnn::new(config, 1)?;
            let parameters = equilens::models::Network::parameters(&network).clone();
            let (_, bound) = parameters.bind(&mut tape)?;
            (parameters, network.improve(&mut tape, &bound, x)?)
        }
        _ => unreachable!("networks on images"),
    };
    let values = parameters.initial(2);
    let values = values.iter().enumerate();
    let values = values.map(|(i, &v)| f64::from(v) + 0.05 * (i as f64).sin());
    let mut feeds: Feeds = [("x".to_string(), image.to_vec())].into();
    feeds.insert(Parameters::STATE.into(), values.collect());
    Ok(evaluate(&tape, &mut feeds, &[y])?.concat())
}

fn textured(size: usize) -> Vec<f64> {
    (0..size * size)
        .map(|i| ((i * i + 3 * i) as f64).sin())
        .collect()
}

/// The largest difference relative to the largest magnitude.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    a.iter()
        .zip(b)
        .fold(0.0f64, |m, (a, b)| m.max((a - b).abs()))
        / scale
}

#[test]
fn networks_without_biases_are_homogeneous_and_others_are_not() -> Result<()> {
    let image = textured(8);
    let brighter: Vec<f64> = image.iter().map(|v| 7.0 * v).collect();
    let miss = |bias: bool, model: fn(bool) -> ModelConfig| -> Result<f64> {
        let once: Vec<f64> = improved(&model(bias), &image, 8)?
            .iter()
            .map(|v| 7.0 * v)
            .collect();
        Ok(difference(&improved(&model(bias), &brighter, 8)?, &once))
    };
    let dncnn = |bias| {
        ModelConfig::DenoisingCnn(DenoisingCnnConfig {
            width: 8,
            depth: 3,
            bias,
            ..Default::default()
        })
    };
    let unet = |bias| {
        ModelConfig::UNet(UNetConfig {
            width: 4,
            levels: 1,
            bias,
            ..Default::default()
        })
    };
    for model in [dncnn as fn(bool) -> ModelConfig, unet] {
        let (without, with) = (miss(false, model)?, miss(true, model)?);
        assert!(without < 1e-12 && with > 1e-3, "{without:e} {with:e}");
    }
    Ok(())
}

/// With circular padding and adaptive polyphase sampling a U-Net commutes with shifts by any number
/// of pixels; with means of neighbours only with even ones.
#[test]
fn a_polyphase_unet_commutes_with_odd_shifts() -> Result<()> {
    let size = 8;
    let image = textured(size);
    let shifted = |image: &[f64], by: [usize; 2]| -> Vec<f64> {
        let pixel = |p: usize| {
            let (r, c) = ((p / size + by[0]) % size, (p % size + by[1]) % size);
            image[r * size + c]
        };
        (0..size * size).map(pixel).collect()
    };
    let miss = |sampling, by: [usize; 2]| -> Result<f64> {
        let model = ModelConfig::UNet(UNetConfig {
            width: 4,
            levels: 2,
            sampling,
            padding: Padding::Circular,
            ..Default::default()
        });
        let first = improved(&model, &shifted(&image, by), size)?;
        let second = shifted(&improved(&model, &image, size)?, by);
        Ok(difference(&first, &second))
    };
    for by in [[1, 0], [0, 3], [5, 2], [3, 3]] {
        let adaptive = miss(Sampling::Polyphase, by)?;
        let means = miss(Sampling::Average, by)?;
        assert!(
            adaptive < 1e-12 && means > 1e-4,
            "{by:?}: {adaptive:e} {means:e}"
        );
    }
    Ok(())
}

#[test]
fn frozen_networks_compute_the_same() -> Result<()> {
    let (gpu, operator) = (gpu(), operator());
    let measurement = data(&operator)?;
    for (name, config, _) in networks() {
        let spec = ModelSpec::new(&config, &operator, 0.3);
        let model = spec.build()?;
        let mut values = model.parameters().initial(5);
        for (i, value) in values.iter_mut().enumerate() {
            *value += 0.02 * (i as f32).sin();
        }
        let (frozen, frozen_values) = match model.freeze(&values) {
            Ok(frozen) => frozen,
            Err(refused) => {
                assert!(refused.to_string().contains("frozen"), "{name}: {refused}");
                continue;
            }
        };
        let run = |model: &dyn equilens::models::Network, values: &[f32]| -> Result<Vec<f32>> {
            use equilens::tape::plan::{Options, Plan, Store};
            let store = Store::new(&gpu);
            for (name, shape, range) in model.parameters().states() {
                store.write(name, shape, &values[range])?;
            }
            let mut tape = equilens::tape::Tape::new();
            let (_, bound) = model.parameters().bind(&mut tape)?;
            let y = tape.input("y", operator.range());
            let image = model.reconstruct(&mut tape, &bound, &operator, y)?;
            let plan = Plan::compile(&tape, &[image], &store, Options::default())?;
            plan.run(&[("y", measurement.measurements())])?;
            plan.read(image)
        };
        let (a, b) = (run(&*model, &values)?, run(&*frozen, &frozen_values)?);
        let scale = a.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let error = a
            .iter()
            .zip(&b)
            .fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(error <= 2e-5 * scale, "{name}: {error:e} of {scale:e}");
    }
    Ok(())
}
