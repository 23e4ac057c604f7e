//! Equivariant convolution between field types: lifting, group and projection convolutions are
//! settings of it, and so is the ordinary one (the trivial group).

use super::parameters::{Bound, Initial, ParameterId, Parameters};
use crate::error::{Error, Result};
use crate::group::{FieldKind, Group, KernelBasis, Representation, SymmetricConv};
use crate::shape::{Padding, Shape, Window};
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// Which basis of equivariant kernels a layer spans.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum BasisKind {
    /// All equivariant kernels on the pixel grid (groups that map the grid to itself).
    #[default]
    Complete,
    /// Circular harmonics on Gaussian rings (every group).
    Harmonic,
}

/// A stack of fields of one representation: `fields` of them, `size` channels each.
#[derive(Clone, PartialEq, Debug)]
pub struct Fields {
    /// How the group acts on each field.
    pub representation: Representation,
    /// How many there are.
    pub fields: usize,
}

impl Fields {
    /// `fields` scalar fields.
    pub fn trivial(fields: usize) -> Self {
        Fields {
            representation: Representation::Trivial,
            fields,
        }
    }

    /// `fields` regular fields.
    pub fn regular(fields: usize) -> Self {
        Fields {
            representation: Representation::Regular,
            fields,
        }
    }
}

/// How a [`GroupConvolution`] is made.
#[derive(Clone, PartialEq, Debug)]
pub struct ConvolutionConfig {
    /// The group that the layer respects.
    pub group: Group,
    /// What comes in.
    pub input: Fields,
    /// What goes out.
    pub output: Fields,
    /// Kernel size, 1 to 9, odd.
    pub size: usize,
    /// What is read outside the image.
    pub padding: Padding,
    /// The kernels that it spans.
    pub basis: BasisKind,
    /// Start with zero weights, so that the layer's output is zero.
    pub zero: bool,
}

/// A convolution whose kernel satisfies `k(Rx) = pi_out(R) k(x) pi_in(R^-1)` (Celledoni et al. 2021, eq. 8), with one
/// bias for each output field.
///
/// Trained are the coefficients of a basis of such kernels, `output fields x input fields x basis
/// elements`. Where it can be, the layer is one symmetric convolution, which works with the
/// coefficients themselves; else the kernel is expanded on the GPU by one small matrix product.
#[derive(Clone, Debug)]
pub struct GroupConvolution {
    weight: ParameterId,
    bias: ParameterId,
    input_fields: usize,
    output_fields: usize,
    input_size: usize,
    output_size: usize,
    window: Window,
    /// Elements, flat: basis, out, in, row, column; `None` where the kernel is free.
    basis: Option<Arc<[f32]>>,
    elements: usize,
    /// The layer as one operation that needs no expanded kernel, where the group maps the pixel
    /// grid to itself and the fields are trivial and regular.
    symmetric: Option<Arc<SymmetricConv>>,
}

impl GroupConvolution {
    /// Registers the layer's parameters as `NAME.weight` and `NAME.bias`.
    ///
    /// # Errors
    /// [`Error::Config`] if the group has no such basis, or the fields are such that a bias that
    /// is equal on all channels of a field would break the symmetry.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        config: &ConvolutionConfig,
    ) -> Result<Self> {
        let ConvolutionConfig {
            group,
            input,
            output,
            size,
            padding,
            ..
        } = config;
        if !output.representation.is_permutation() {
            return Err(Error::Config(format!(
                "the layer {name} has a bias, which an irrep field cannot have: use trivial, regular or quotient output fields"
            )));
        }
        let basis = match config.basis {
            BasisKind::Complete => {
                KernelBasis::complete(*group, &input.representation, &output.representation, *size)?
            }
            BasisKind::Harmonic => {
                KernelBasis::harmonic(*group, &input.representation, &output.representation, *size)?
            }
        };
        let elements = basis.len();
        let variance = if config.zero {
            0.0
        } else {
            basis.init_variance(input.fields)
        };
        let initial = if config.zero {
            Initial::Constant(0.0)
        } else {
            Initial::Normal { variance }
        };
        let kinds = (
            FieldKind::of(&input.representation),
            FieldKind::of(&output.representation),
        );
        let symmetric = match kinds {
            (Some(from), Some(to)) if group.order() > 1 && group.on_grid() => {
                let conv = SymmetricConv::new(*group, from, to, basis.clone(), *padding)?;
                Some(Arc::new(conv))
            }
            _ => None,
        };
        let free = group.order() == 1 && config.basis == BasisKind::Complete;
        let weight = parameters.add(
            format!("{name}.weight"),
            Shape::new(1, output.fields, input.fields, elements),
            initial,
        );
        let bias = parameters.add(
            format!("{name}.bias"),
            Shape::vector(output.fields),
            Initial::Constant(0.0),
        );
        Ok(GroupConvolution {
            weight,
            bias,
            input_fields: input.fields,
            output_fields: output.fields,
            input_size: input.representation.size(*group),
            output_size: output.representation.size(*group),
            window: Window::same(*size, *padding),
            basis: (!free).then(|| basis.elements().iter().map(|&e| e as f32).collect()),
            elements,
            symmetric,
        })
    }

    /// Input and output channels.
    pub fn channels(&self) -> [usize; 2] {
        [
            self.input_fields * self.input_size,
            self.output_fields * self.output_size,
        ]
    }

    /// Records the expanded kernel, `out in k k`.
    ///
    /// # Errors
    /// None in practice.
    pub fn kernel(&self, tape: &mut Tape, bound: &Bound) -> Result<Var> {
        let weight = bound.get(self.weight);
        let [input, output] = self.channels();
        let k = self.window.size;
        let shape = Shape::new(output, input, k, k);
        let Some(basis) = &self.basis else {
            return tape.reshape(weight, shape);
        };
        let (fo, fi) = (self.output_fields, self.input_fields);
        let (ho, hi) = (self.output_size, self.input_size);
        let coefficients = tape.reshape(weight, Shape::new(1, 1, fo * fi, self.elements))?;
        let basis = tape.constant(
            Shape::new(1, 1, self.elements, ho * hi * k * k),
            basis.clone(),
        )?;
        let expanded = tape.matmul(coefficients, basis, false, false)?;
        let expanded = tape.reshape(expanded, Shape::new(fo, fi, ho, hi * k * k))?;
        let ordered = tape.transpose(expanded, [0, 2, 1, 3])?;
        tape.reshape(ordered, shape)
    }

    /// Records the bias for each channel, `1 out 1 1`.
    fn channel_bias(&self, tape: &mut Tape, bound: &Bound) -> Result<Var> {
        let (fields, size) = (self.output_fields, self.output_size);
        let bias = tape.reshape(bound.get(self.bias), Shape::new(1, 1, fields, 1))?;
        let bias = tape.broadcast(bias, Shape::new(1, 1, fields, size))?;
        tape.reshape(bias, Shape::new(1, fields * size, 1, 1))
    }

    /// Records the layer on `x` of shape `N in H W`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit.
    pub fn forward(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        let y = match &self.symmetric {
            Some(conv) => tape.symmetric_conv(x, bound.get(self.weight), conv)?,
            None => {
                let kernel = self.kernel(tape, bound)?;
                tape.conv2d(x, kernel, self.window)?
            }
        };
        let bias = self.channel_bias(tape, bound)?;
        tape.add(y, bias)
    }

    /// The same layer as an ordinary convolution: its kernel `out in k k` and bias `out`, from the
    /// flat parameters.
    pub fn freeze(&self, parameters: &Parameters, values: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let weight = &values[parameters.range(self.weight)];
        let [input, output] = self.channels();
        let (ho, hi) = (self.output_size, self.input_size);
        let taps = self.window.size * self.window.size;
        let kernel = match &self.basis {
            None => weight.to_vec(),
            Some(basis) => {
                let mut kernel = vec![0.0; output * input * taps];
                for (pair, coefficients) in weight.chunks(self.elements).enumerate() {
                    let (fo, fi) = (pair / self.input_fields, pair % self.input_fields);
                    for o in 0..ho {
                        for i in 0..hi {
                            for t in 0..taps {
                                let place = ((fo * ho + o) * input + fi * hi + i) * taps + t;
                                let element = (o * hi + i) * taps + t;
                                let sum: f64 = (coefficients.iter().enumerate())
                                    .map(|(b, &c)| {
                                        f64::from(c)
                                            * f64::from(basis[b * ho * hi * taps + element])
                                    })
                                    .sum();
                                kernel[place] = sum as f32;
                            }
                        }
                    }
                }
                kernel
            }
        };
        let bias = &values[parameters.range(self.bias)];
        let bias = bias.iter().flat_map(|&b| std::iter::repeat_n(b, ho));
        (kernel, bias.collect())
    }

    /// The weight's and the bias's place among the parameters.
    pub fn parameters(&self) -> [ParameterId; 2] {
        [self.weight, self.bias]
    }
}
