//! The crate on the device against numbers that NumPy and PyTorch made from the formulas in
//! float64; see `tests/golden/README.md`.

use equilens::data::npy;
use equilens::error::Result;
use equilens::gpu::{Gpu, Selection};
use equilens::group::{Group, KernelBasis, Representation};
use equilens::losses;
use equilens::models::{
    LearnedProximalGradient, LearnedProximalGradientConfig, ModelConfig, Network as _,
};
use equilens::nn::Parameters;
use equilens::operators::{LinearOperator, RayTransform, diagnostics};
use equilens::shape::{Beam, Padding, Projector, RayGeometry, Shape, Window};
use equilens::tape::plan::{Options, Plan, Store};
use equilens::tape::{Tape, Var};
use equilens::train::{
    AdamConfig, Dataset, ModelSpec, OptimiserConfig, Recipe, Trainer, TrainingConfig,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn store() -> Store {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    Store::new(GPU.get_or_init(|| Gpu::open(&Selection::default()).expect("an adapter")))
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn array(name: &str) -> Vec<f32> {
    npy::read_real_npy(file(name)).expect(name).data
}

/// An array of float64 with more axes than the crate reads, and its shape as written.
fn deep_array(name: &str) -> (String, Vec<f64>) {
    let bytes = std::fs::read(file(name)).expect(name);
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..end]);
    assert!(header.contains("'<f8'"), "{header}");
    let shape = header.split(['(', ')']).nth(1).expect("a shape");
    let values = bytes[end..]
        .chunks_exact(8)
        .map(|b| b.try_into().expect("8 bytes"));
    (shape.into(), values.map(f64::from_le_bytes).collect())
}

fn json(name: &str) -> Value {
    let text = std::fs::read_to_string(file(name)).expect(name);
    serde_json::from_str(&text).expect(name)
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn count(value: &Value) -> usize {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count")) as usize
}

/// The largest difference, relative to the largest expected value.
fn error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(0.0f64, |m, &e| m.max(f64::from(e).abs()));
    let differences = found.iter().zip(expected);
    let worst = differences.map(|(&f, &e)| {
        let d = (f64::from(f) - f64::from(e)).abs();
        if d.is_nan() { f64::INFINITY } else { d }
    });
    worst.fold(0.0, f64::max) / largest
}

#[track_caller]
fn assert_near(what: &str, found: &[f32], expected: &[f32], bound: f64) {
    let error = error(found, expected);
    println!("{what}: {error:.1e}, bound {bound:.0e}");
    assert!(error <= bound, "{what}: {error:.1e} exceeds {bound:.0e}");
}

fn evaluate<const N: usize>(
    store: &Store,
    tape: &Tape,
    outputs: [Var; N],
    inputs: &[(&str, &[f32])],
) -> Result<[Vec<f32>; N]> {
    let plan = Plan::compile(tape, &outputs, store, Options::default())?;
    plan.run(inputs)?;
    let mut values = [(); N].map(|()| Vec::new());
    for (value, output) in values.iter_mut().zip(outputs) {
        *value = plan.read(output)?;
    }
    Ok(values)
}

fn geometry(case: &Value) -> RayGeometry {
    let views = count(&case["views"]);
    let size = &case["image_size"];
    RayGeometry {
        rows: count(&size[0]),
        columns: count(&size[1]),
        pixel: [number(&case["pixel_width"]); 2],
        beam: Beam::Parallel,
        angles: (0..views)
            .map(|v| std::f64::consts::PI * v as f64 / views as f64)
            .collect(),
        bins: count(&case["bins"]),
        bin_width: number(&case["bin_width"]),
        offset: 0.0,
        projector: Projector::Joseph,
    }
}

#[test]
fn ray_transform() -> Result<()> {
    let case = json("ray/ray.json");
    let operator = RayTransform::new(geometry(&case));
    let mut tape = Tape::new();
    let x = tape.input("x", operator.domain());
    let y = tape.input("y", operator.range());
    let forward = operator.forward(&mut tape, x)?;
    let adjoint = operator.adjoint(&mut tape, y)?;
    let (image, sinogram) = (array("ray/image.npy"), array("ray/sinogram.npy"));
    let store = store();
    let inputs: [(&str, &[f32]); 2] = [("x", &image), ("y", &sinogram)];
    let [forward, adjoint] = evaluate(&store, &tape, [forward, adjoint], &inputs)?;
    assert_near("forward", &forward, &sinogram, 1e-5);
    assert_near("adjoint", &adjoint, &array("ray/backprojection.npy"), 1e-5);
    let norm = diagnostics::norm(&operator, &store, 1000)?;
    assert!((norm / number(&case["norm"]) - 1.0).abs() < 1e-4, "{norm}");
    Ok(())
}

#[test]
fn convolutions_and_their_gradients() -> Result<()> {
    for name in ["replicate_3x3", "circular_5x5_stride2", "zero_7x7"] {
        let case = json(&format!("conv/{name}/case.json"));
        let shape = |v: &Value| Shape([0, 1, 2, 3].map(|i| count(&v[i])));
        let window = Window {
            size: count(&case["size"]),
            stride: count(&case["stride"]),
            padding: match case["padding"].as_str() {
                Some("replicate") => Padding::Replicate,
                Some("circular") => Padding::Circular,
                _ => Padding::Zero,
            },
        };
        let (input, output) = (shape(&case["input"]), shape(&case["output"]));
        let mut tape = Tape::new();
        let x = tape.input("input", input);
        let kernel = Shape::new(output.c(), input.c(), window.size, window.size);
        let w = tape.input("weight", kernel);
        let b = tape.input("bias", Shape::new(1, output.c(), 1, 1));
        let dy = tape.input("output_gradient", output);
        let y = tape.conv2d(x, w, window)?;
        let y = tape.add(y, b)?;
        assert_eq!(y.shape(), output);
        let product = tape.mul(y, dy)?;
        let sum = tape.sum_all(product)?;
        let gradients = tape.gradients(sum, &[x, w, b])?;
        let read = |array_name: &str| array(&format!("conv/{name}/{array_name}.npy"));
        let inputs = ["input", "weight", "bias", "output_gradient"].map(|n| (n, read(n)));
        let inputs: Vec<(&str, &[f32])> = inputs.iter().map(|(n, v)| (*n, &v[..])).collect();
        let outputs = [y, gradients[0], gradients[1], gradients[2]];
        let values = evaluate(&store(), &tape, outputs, &inputs)?;
        for (which, values) in [
            "output",
            "input_gradient",
            "weight_gradient",
            "bias_gradient",
        ]
        .into_iter()
        .zip(&values)
        {
            assert_near(&format!("{name} {which}"), values, &read(which), 2e-6);
        }
    }
    Ok(())
}

#[test]
fn kernel_bases() -> Result<()> {
    let (trivial, regular) = (Representation::Trivial, Representation::Regular);
    for (name, input, output) in [
        ("lift", &trivial, &regular),
        ("intermediate", &regular, &regular),
        ("projection", &regular, &trivial),
    ] {
        let basis = KernelBasis::complete(Group::cyclic(4), input, output, 3)?;
        let (shape, expected) = deep_array(&format!("basis/c4_{name}.npy"));
        let found = basis.elements();
        let axes: Vec<String> = basis.shape().iter().map(|e| e.to_string()).collect();
        assert_eq!(
            (axes.join(", "), found.len()),
            (shape, expected.len()),
            "{name}"
        );
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-15, "{name}");
        }
    }
    Ok(())
}

/// The network of a case, its operator, and the case.
struct Network {
    case: Value,
    config: LearnedProximalGradientConfig,
    operator: RayTransform,
}

impl Network {
    fn new(name: &str) -> Self {
        let case = json(&format!("network/{name}/case.json"));
        let group = case["group"].as_str().expect("a group");
        Network {
            config: LearnedProximalGradientConfig {
                group: group.parse().expect("a group"),
                width: count(&case["width"]),
                blocks: count(&case["blocks"]),
                ..Default::default()
            },
            operator: RayTransform::new(geometry(&case)),
            case,
        }
    }

    fn norm(&self) -> f64 {
        number(&self.case["norm"])
    }

    /// Name and range of each tensor in the stored flat vectors.
    fn layout(&self) -> impl Iterator<Item = (&str, std::ops::Range<usize>)> {
        let entries = self.case["layout"].as_array().expect("a layout").iter();
        entries.map(|entry| {
            let extents = entry["shape"].as_array().expect("a shape");
            let len: usize = extents.iter().map(count).product();
            let offset = count(&entry["offset"]);
            (
                entry["name"].as_str().expect("a name"),
                offset..offset + len,
            )
        })
    }

    /// A stored flat vector in the layout of the crate.
    fn flat(&self, parameters: &Parameters, stored: &[f32]) -> Vec<f32> {
        let mut flat = vec![0.0; parameters.flat().elements()];
        for (name, shape, range) in parameters.layout() {
            let (_, from) = self
                .layout()
                .find(|(stored, _)| *stored == name)
                .unwrap_or_else(|| panic!("no tensor is named {name}"));
            assert_eq!(shape.elements(), from.len(), "{name}");
            flat[range].copy_from_slice(&stored[from]);
        }
        flat
    }
}

fn first_step_agrees(name: &str) -> Result<()> {
    let network = Network::new(name);
    let operator = &network.operator;
    let batch = count(&network.case["batch"]);
    let model = LearnedProximalGradient::new(&network.config, 1, network.norm())?;
    assert_eq!(
        model.parameters().count(),
        count(&network.case["parameter_count"])
    );
    let stored = array(&format!("network/{name}/parameters.npy"));
    let values = network.flat(model.parameters(), &stored);

    let mut tape = Tape::new();
    let y = tape.input("y", operator.range().with(0, batch));
    let truth = tape.input("truth", operator.domain().with(0, batch));
    let (flat, bound) = model.parameters().bind(&mut tape)?;
    let estimate = model.reconstruct(&mut tape, &bound, operator, y)?;
    let loss = losses::half_mean_squared_error(&mut tape, estimate, truth)?;
    let gradients = tape.gradients(loss, bound.vars())?;
    let packed = model.parameters().pack(&mut tape, &gradients)?;
    let projected = operator.forward(&mut tape, truth)?;
    let backprojected = operator.adjoint(&mut tape, y)?;

    let store = store();
    store.write(Parameters::STATE, flat.shape(), &values)?;
    let (sinogram, image) = (array("network/sinogram.npy"), array("network/truth.npy"));
    let inputs: [(&str, &[f32]); 2] = [("y", &sinogram), ("truth", &image)];
    let outputs = [estimate, loss, packed, projected, backprojected];
    let [estimate, loss, gradient, projected, backprojected] =
        evaluate(&store, &tape, outputs, &inputs)?;
    assert_near(
        "A truth",
        &projected,
        &array("network/projected_truth.npy"),
        1e-5,
    );
    let expected = array("network/backprojected_sinogram.npy");
    assert_near("A^T sinogram", &backprojected, &expected, 1e-5);
    let expected = array(&format!("network/{name}/reconstruction.npy"));
    assert_near(
        &format!("{name} reconstruction"),
        &estimate,
        &expected,
        1e-5,
    );
    let expected = number(&network.case["loss"]);
    assert!(
        (f64::from(loss[0]) / expected - 1.0).abs() < 1e-5,
        "{loss:?} {expected}"
    );

    let golden = array(&format!("network/{name}/gradient.npy"));
    let expected = network.flat(model.parameters(), &golden);
    for (tensor, _, range) in model.parameters().layout() {
        let (found, expected) = (&gradient[range.clone()], &expected[range]);
        assert_near(
            &format!("{name} gradient of {tensor}"),
            found,
            expected,
            1e-4,
        );
        // What is zero by structure is zero in every bit but the sign.
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(*expected != 0.0 || *found == 0.0, "{tensor}[{i}] = {found}");
        }
    }
    let zeros = golden.iter().filter(|g| **g == 0.0).count();
    assert_eq!(zeros, count(&network.case["zero_gradients"]));
    let total: f32 = gradient.iter().filter(|g| **g != 0.0).map(|_| 1.0).sum();
    assert_eq!(total as usize, golden.len() - zeros);
    Ok(())
}

#[test]
fn reconstruction_and_gradients_of_the_ordinary_network() -> Result<()> {
    first_step_agrees("c1")
}

#[test]
fn reconstruction_and_gradients_of_the_equivariant_network() -> Result<()> {
    first_step_agrees("c4")
}

#[test]
fn the_first_block_alone() -> Result<()> {
    for name in ["c1", "c4"] {
        let network = Network::new(name);
        let operator = &network.operator;
        let config = LearnedProximalGradientConfig {
            blocks: 1,
            ..network.config.clone()
        };
        let model = LearnedProximalGradient::new(&config, 1, network.norm())?;
        let stored = array(&format!("network/{name}/parameters.npy"));
        let values = network.flat(model.parameters(), &stored);
        let (frozen, frozen_values) = model.freeze(&values)?;
        let expected: Vec<f32> = {
            let pixels = operator.domain().elements();
            let all = array(&format!("network/{name}/first_block.npy"));
            all.chunks(6 * pixels)
                .flat_map(|c| c[..pixels].to_vec())
                .collect()
        };
        let networks: [(&dyn equilens::models::Network, _); 2] =
            [(&model, &values), (&*frozen, &frozen_values)];
        for (model, values) in networks {
            let mut tape = Tape::new();
            let y = tape.input("y", operator.range().with(0, 2));
            let (flat, bound) = model.parameters().bind(&mut tape)?;
            let estimate = model.reconstruct(&mut tape, &bound, operator, y)?;
            let store = store();
            store.write(Parameters::STATE, flat.shape(), values)?;
            let sinogram = array("network/sinogram.npy");
            let [found] = evaluate(&store, &tape, [estimate], &[("y", &sinogram)])?;
            assert_near(&format!("{name} first block"), &found, &expected, 1e-5);
        }
    }
    Ok(())
}

#[test]
fn ten_steps_of_adam() -> Result<()> {
    for name in ["c1", "c4"] {
        let network = Network::new(name);
        let operator = &network.operator;
        let data = Dataset::new(
            array("network/truth.npy"),
            array("network/sinogram.npy"),
            operator.domain(),
            operator.range(),
        )?;
        let config = ModelConfig::LearnedProximalGradient(network.config.clone());
        let spec = ModelSpec::new(&config, operator, network.norm() as f32);
        let adam = &network.case["adam"];
        let recipe = Recipe {
            optimiser: OptimiserConfig::Adam(AdamConfig {
                learning_rate: number(&adam["learning_rate"]),
                beta1: number(&adam["betas"][0]),
                beta2: number(&adam["betas"][1]),
                epsilon: number(&adam["epsilon"]),
                ..Default::default()
            }),
            training: TrainingConfig {
                batch: data.count(),
                ..Default::default()
            },
            ..Default::default()
        };
        let store = store();
        let mut trainer = Trainer::new(store.gpu(), &spec, operator, &recipe, data, None)?;
        let parameters = trainer.model().parameters().clone();
        let stored = array(&format!("network/{name}/parameters.npy"));
        trainer.set_parameters(&network.flat(&parameters, &stored))?;
        let losses = network.case["losses"].as_array().expect("losses");
        let mut after = Vec::new();
        for (step, expected) in losses.iter().enumerate() {
            if step + 1 == losses.len() {
                after = trainer.parameters()?;
            }
            trainer.step()?;
            let (loss, expected) = (trainer.loss()?, number(expected));
            let error = (loss / expected - 1.0).abs();
            println!("{name} loss {step}: {error:.1e}");
            assert!(
                error < 1e-3,
                "{name} step {step}: {loss}, expected {expected}"
            );
        }
        let expected = array(&format!("network/{name}/parameters_after_10_steps.npy"));
        let expected = network.flat(&parameters, &expected);
        assert_near(&format!("{name} parameters after"), &after, &expected, 2e-5);
    }
    Ok(())
}
