//! One training step of learned proximal gradient: 8 blocks, 50 views, batch 1, Adam.
//!
//! burn has no rule for the gradient of a gather that is quick on a GPU, and the operator's own is
//! its transpose: so each block's network is differentiated by burn, and the operator between the
//! blocks by hand.

use crate::ray::Ray;
use burn::tensor::activation::leaky_relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Device, Distribution, Tensor, TensorData};

const BLOCKS: usize = 8;
const VIEWS: usize = 50;
const MEMORY: usize = 5;
const SLOPE: f64 = 0.01;

/// Weights `1 out in elements` of one layer, its bias, and their moments.
struct Layer {
    /// Elements of the basis, flat: element, then out, in, row, column; `None` if all are free.
    basis: Option<Tensor<2>>,
    /// Channels of an output field and of an input field.
    sizes: [usize; 2],
    weight: Parameter<3>,
    bias: Parameter<1>,
}

struct Parameter<const D: usize> {
    value: Tensor<D>,
    m: Tensor<D>,
    v: Tensor<D>,
}

impl<const D: usize> Parameter<D> {
    fn new(value: Tensor<D>) -> Self {
        Parameter {
            m: value.zeros_like(),
            v: value.zeros_like(),
            value,
        }
    }

    /// Adam; `t` counts from 1.
    fn update(&mut self, gradient: Tensor<D>, t: i32) {
        let (b1, b2) = (0.9f64, 0.999f64);
        self.m = self.m.clone() * b1 + gradient.clone() * (1.0 - b1);
        self.v = self.v.clone() * b2 + gradient.clone() * gradient * (1.0 - b2);
        let (c1, c2) = (1.0 - b1.powi(t), 1.0 - b2.powi(t));
        let step = (self.m.clone() / c1) / ((self.v.clone() / c2).sqrt() + 1e-8);
        self.value = self.value.clone() - step * 1e-4;
    }
}

impl Layer {
    fn new(order: usize, sizes: [usize; 2], fields: [usize; 2], device: &Device) -> Self {
        let (basis, elements) = basis(order, sizes);
        let total = sizes[0] * sizes[1] * 9;
        let spread = 1.0 / ((fields[1] * elements) as f64).sqrt();
        let weight = Tensor::random(
            [fields[0], fields[1], elements],
            Distribution::Normal(0.0, spread),
            device,
        );
        Layer {
            basis: (order > 1)
                .then(|| Tensor::from_data(TensorData::new(basis, [elements, total]), device)),
            sizes,
            weight: Parameter::new(weight),
            bias: Parameter::new(Tensor::zeros([fields[0]], device)),
        }
    }

    /// The layer on `x`, from tracked weight and bias.
    fn forward(&self, x: Tensor<4>, weight: Tensor<3>, bias: Tensor<1>) -> Tensor<4> {
        let [fo, fi, elements] = weight.dims();
        let [ho, hi] = self.sizes;
        let kernel = match &self.basis {
            None => weight.reshape([fo, fi, 3, 3]),
            Some(basis) => {
                let expanded = weight.reshape([fo * fi, elements]).matmul(basis.clone());
                let expanded: Tensor<4> = expanded.reshape([fo, fi, ho, hi * 9]);
                expanded
                    .permute([0, 2, 1, 3])
                    .reshape([fo * ho, fi * hi, 3, 3])
            }
        };
        let bias: Tensor<2> = bias.reshape([fo, 1]);
        let bias: Tensor<1> = bias.expand([fo, ho]).reshape([fo * ho]);
        let padded = x.pad((1, 1, 1, 1), PadMode::Edge);
        let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
        conv2d(padded, kernel, Some(bias), options)
    }
}

/// The indicators of the orbits of (out, in, row, column), scaled to unit norm, and their number.
fn basis(order: usize, [out, input]: [usize; 2]) -> (Vec<f32>, usize) {
    let total = out * input * 9;
    let act = |g: usize, index: usize| {
        let (o, i, mut row, mut column) = (
            index / 9 / input,
            index / 9 % input,
            index / 3 % 3,
            index % 3,
        );
        for _ in 0..(if order > 1 { g * 4 / order } else { 0 }) {
            (row, column) = (2 - column, row);
        }
        ((o + g) % out * input + (i + g) % input) * 9 + row * 3 + column
    };
    let mut seen = vec![false; total];
    let mut elements = Vec::new();
    for index in 0..total {
        if seen[index] {
            continue;
        }
        let mut orbit: Vec<usize> = (0..order).map(|g| act(g, index)).collect();
        orbit.sort_unstable();
        orbit.dedup();
        let mut element = vec![0.0; total];
        for &at in &orbit {
            seen[at] = true;
            element[at] = 1.0 / (orbit.len() as f32).sqrt();
        }
        elements.push(element);
    }
    let count = elements.len();
    (elements.concat(), count)
}

pub struct Step {
    ray: Ray,
    blocks: Vec<[Layer; 3]>,
    truth: Tensor<4>,
    sinogram: Tensor<1>,
    steps: i32,
}

/// A block between its forward and its backward pass.
struct Recorded {
    input: Tensor<4>,
    output: Tensor<4>,
    weights: [Tensor<3>; 3],
    biases: [Tensor<1>; 3],
}

impl Step {
    pub fn new(order: usize, width: usize, size: usize, device: &Device) -> Self {
        let fields = width / order;
        let block = || {
            [
                Layer::new(order, [order, 1], [fields, 2 + MEMORY], device),
                Layer::new(order, [order, order], [fields, fields], device),
                Layer::new(order, [1, order], [1 + MEMORY, fields], device),
            ]
        };
        let ray = Ray::new(size, VIEWS, device);
        let truth = Tensor::random([1, 1, size, size], Distribution::Uniform(0.0, 1.0), device);
        let sinogram = ray.forward(truth.clone());
        Step {
            ray,
            blocks: (0..BLOCKS).map(|_| block()).collect(),
            truth,
            sinogram,
            steps: 0,
        }
    }

    fn record(&self, [lift, intermediate, projection]: &[Layer; 3], input: Tensor<4>) -> Recorded {
        let layers = [lift, intermediate, projection];
        let input = input.autodiff().require_grad();
        let weights = layers.map(|l| l.weight.value.clone().autodiff().require_grad());
        let biases = layers.map(|l| l.bias.value.clone().autodiff().require_grad());
        let layer = |k: usize, x| layers[k].forward(x, weights[k].clone(), biases[k].clone());
        let lifted = leaky_relu(layer(0, input.clone()), SLOPE);
        let inner = leaky_relu(layer(1, lifted.clone()), SLOPE);
        let output = layer(2, lifted + inner);
        Recorded {
            input,
            output,
            weights,
            biases,
        }
    }

    /// Forward, backward and Adam.
    pub fn run(&mut self) {
        self.steps += 1;
        let [_, _, rows, columns] = self.truth.dims();
        let device = self.truth.device();
        let mut state: Tensor<4> = Tensor::zeros([1, 1 + MEMORY, rows, columns], &device);
        let mut recorded = Vec::new();
        for block in &self.blocks {
            let image = state.clone().narrow(1, 0, 1);
            let residual = self.ray.forward(image.clone()) - self.sinogram.clone();
            let gradient = self.ray.adjoint(residual) * self.ray.scale;
            let input = Tensor::cat(vec![image, gradient, state.narrow(1, 1, MEMORY)], 1);
            let block = self.record(block, input);
            state = block.output.clone().inner();
            recorded.push(block);
        }
        let error = state.narrow(1, 0, 1) - self.truth.clone();
        let zero = Tensor::zeros([1, MEMORY, rows, columns], &device);
        let mut wanted = Tensor::cat(vec![error / (rows * columns) as f64, zero], 1);
        for (layers, block) in self.blocks.iter_mut().zip(recorded).rev() {
            let gradients = (block.output * wanted.autodiff()).sum().backward();
            let input = block.input.grad(&gradients).expect("a gradient");
            let through = self.ray.forward(input.clone().narrow(1, 1, 1));
            let through = self.ray.adjoint(through) * self.ray.scale;
            let image = input.clone().narrow(1, 0, 1) + through;
            wanted = Tensor::cat(vec![image, input.narrow(1, 2, MEMORY)], 1);
            for (k, layer) in layers.iter_mut().enumerate() {
                let weight = block.weights[k].grad(&gradients).expect("a gradient");
                let bias = block.biases[k].grad(&gradients).expect("a gradient");
                layer.weight.update(weight, self.steps);
                layer.bias.update(bias, self.steps);
            }
        }
    }
}
