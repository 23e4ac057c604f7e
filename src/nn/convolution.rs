//! Equivariant convolution between field types: lifting, group and projection convolutions are
//! settings of it, and so is the ordinary one (the trivial group).

use super::bias::FieldBias;
use super::parameters::{Bound, Initial, ParameterId, Parameters};
use crate::error::{Error, Result};
use crate::group::{FieldKind, FieldType, KernelBasis, Representation, SymmetricConv};
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

/// How a [`GroupConvolution`] is made.
#[derive(Clone, PartialEq, Debug)]
pub struct ConvolutionConfig {
    /// What comes in.
    pub input: FieldType,
    /// What goes out; of the same group.
    pub output: FieldType,
    /// Kernel size, 1 to 9, odd.
    pub size: usize,
    /// 1, or 2 for an output of half the extents: of the pixels 0, 2, 4, ... of rows and columns.
    pub stride: usize,
    /// What is read outside the image.
    pub padding: Padding,
    /// The kernels that it spans.
    pub basis: BasisKind,
    /// A trained bias is added.
    pub bias: bool,
    /// The variance of the untrained layer's output for independent inputs of variance 1: 0 lets
    /// it start at zero, `2 / (1 + slope^2)` makes up for a leaky ReLU before or after it.
    pub gain: f64,
}

impl ConvolutionConfig {
    /// A 3x3 convolution of stride 1 with replicate padding, the complete basis, a bias and gain 1.
    pub fn new(input: FieldType, output: FieldType) -> Self {
        ConvolutionConfig {
            input,
            output,
            size: 3,
            stride: 1,
            padding: Padding::Replicate,
            basis: BasisKind::Complete,
            bias: true,
            gain: 1.0,
        }
    }
}

/// The kernels from one block of input fields to one block of output fields.
#[derive(Clone, Debug)]
struct Pair {
    /// `1, output fields, input fields, elements`; `None` if only the zero kernel is equivariant.
    weight: Option<ParameterId>,
    /// Fields in the blocks: output, input.
    fields: [usize; 2],
    /// Channels of a field: output, input.
    sizes: [usize; 2],
    elements: usize,
    /// Elements, flat: basis, out, in, row, column; `None` where the kernel is free.
    basis: Option<Arc<[f32]>>,
}

impl Pair {
    /// The part of the kernel, `out in k k`.
    fn shape(&self, k: usize) -> Shape {
        let [output, input] = [0, 1].map(|i| self.fields[i] * self.sizes[i]);
        Shape::new(output, input, k, k)
    }

    fn record(&self, tape: &mut Tape, bound: &Bound, k: usize) -> Result<Var> {
        let shape = self.shape(k);
        let Some(weight) = self.weight else {
            return tape.constant(shape, vec![0.0; shape.elements()]);
        };
        let weight = bound.get(weight);
        let Some(basis) = &self.basis else {
            return tape.reshape(weight, shape);
        };
        let ([fo, fi], [ho, hi]) = (self.fields, self.sizes);
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

    /// Writes the part of the kernel with `stride` input channels from output channel `at[0]` and
    /// input channel `at[1]` on.
    fn freeze(
        &self,
        weight: &[f32],
        taps: usize,
        [first_out, first_in]: [usize; 2],
        stride: usize,
        kernel: &mut [f32],
    ) {
        let ([_, fi], [ho, hi]) = (self.fields, self.sizes);
        for (pair, coefficients) in weight.chunks(self.elements).enumerate() {
            let (to, from) = (pair / fi * ho, pair % fi * hi);
            for (element, (o, i)) in (0..ho)
                .flat_map(|o| (0..hi).map(move |i| (o, i)))
                .enumerate()
            {
                let row = (first_out + to + o) * stride + first_in + from + i;
                for t in 0..taps {
                    let entry = element * taps + t;
                    kernel[row * taps + t] = match &self.basis {
                        None => coefficients[entry],
                        Some(basis) => {
                            let terms = coefficients.iter().enumerate().map(|(b, &c)| {
                                f64::from(c) * f64::from(basis[b * ho * hi * taps + entry])
                            });
                            terms.sum::<f64>() as f32
                        }
                    };
                }
            }
        }
    }
}

/// A convolution whose kernel satisfies `k(Rx) = pi_out(R) k(x) pi_in(R^-1)` (Celledoni et al. 2021,
/// eq. 8), with a [`FieldBias`].
///
/// Trained are the coefficients of a basis of such kernels, `output fields x input fields x basis
/// elements` for each pair of representations. Where it can be, the layer is one symmetric
/// convolution, which works with the coefficients themselves; else the kernel is expanded on the
/// GPU by one small matrix product for each pair.
///
/// With stride 2 it commutes with the group on images of odd extents, whose corners are all
/// sampled; on others, where a moved image would be sampled elsewhere, it is refused.
#[derive(Clone, Debug)]
pub struct GroupConvolution {
    /// Row-major, output blocks times input blocks.
    pairs: Vec<Pair>,
    bias: Option<FieldBias>,
    input: FieldType,
    output: FieldType,
    window: Window,
    /// The layer as one operation that needs no expanded kernel, where the group maps the pixel
    /// grid to itself and the fields are trivial and regular.
    symmetric: Option<Arc<SymmetricConv>>,
}

impl GroupConvolution {
    /// Registers the layer's parameters: `NAME.weight`, or `NAME.weight.OUT.IN` for each pair of
    /// blocks if there are several, and `NAME.bias`.
    ///
    /// # Errors
    /// [`Error::Config`] if the group has no such basis, the types belong to different groups, or
    /// no kernel leads to one of the output's representations.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        config: &ConvolutionConfig,
    ) -> Result<Self> {
        let ConvolutionConfig { input, output, .. } = config;
        let group = input.group();
        if output.group() != group {
            return Err(Error::Config(format!(
                "the layer {name} leads from fields of {group} to fields of {}: one group must act on both",
                output.group()
            )));
        }
        let window = Window {
            size: config.size,
            stride: config.stride,
            padding: config.padding,
        };
        if !matches!(config.stride, 1 | 2) {
            return Err(Error::Config(format!(
                "the layer {name} has the stride {}: choose 1 or 2",
                config.stride
            )));
        }
        let single = input.blocks().len() == 1 && output.blocks().len() == 1;
        let free = group.is_trivial() && config.basis == BasisKind::Complete;
        let mut symmetric = None;
        let mut pairs = Vec::new();
        for (row, (to, fo)) in output.blocks().iter().enumerate() {
            let bases = input.blocks().iter().map(|(from, _)| match config.basis {
                BasisKind::Complete => KernelBasis::complete(group, from, to, config.size),
                BasisKind::Harmonic => KernelBasis::harmonic(group, from, to, config.size),
            });
            let bases = bases.collect::<Result<Vec<_>>>()?;
            let sources = bases.iter().filter(|basis| !basis.is_empty()).count();
            if sources == 0 {
                return Err(Error::Config(format!(
                    "no {size}x{size} kernel of the layer {name} leads from {input} to {to}: choose a larger kernel or other input fields",
                    size = config.size
                )));
            }
            for (column, (basis, (from, fi))) in bases.iter().zip(input.blocks()).enumerate() {
                // The contributions of the input's blocks add up.
                let variance = config.gain * basis.init_variance(*fi) / sources as f64;
                let initial = match variance {
                    0.0 => Initial::Constant(0.0),
                    variance => Initial::Normal { variance },
                };
                let weight = (!basis.is_empty()).then(|| {
                    let name = match single {
                        true => format!("{name}.weight"),
                        false => format!("{name}.weight.{row}.{column}"),
                    };
                    parameters.add(name, Shape::new(1, *fo, *fi, basis.len()), initial)
                });
                if single && !group.is_trivial() && group.on_grid() && config.stride == 1 {
                    symmetric = match (FieldKind::of(from), FieldKind::of(to)) {
                        (Some(from), Some(to)) => Some(Arc::new(SymmetricConv::new(
                            group,
                            from,
                            to,
                            basis.clone(),
                            config.padding,
                        )?)),
                        _ => None,
                    };
                }
                pairs.push(Pair {
                    weight,
                    fields: [*fo, *fi],
                    sizes: [to.size(group), from.size(group)],
                    elements: basis.len(),
                    basis: (!free).then(|| basis.single_precision().clone()),
                });
            }
        }
        let bias = config
            .bias
            .then(|| FieldBias::new(parameters, &format!("{name}.bias"), output, 0.0))
            .transpose()?;
        Ok(GroupConvolution {
            pairs,
            bias,
            input: input.clone(),
            output: output.clone(),
            window,
            symmetric,
        })
    }

    /// What comes in.
    pub fn input(&self) -> &FieldType {
        &self.input
    }

    /// What goes out.
    pub fn output(&self) -> &FieldType {
        &self.output
    }

    /// Kernel size, stride and padding.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Records the expanded kernel, `out in k k`.
    ///
    /// # Errors
    /// None in practice.
    pub fn kernel(&self, tape: &mut Tape, bound: &Bound) -> Result<Var> {
        let k = self.window.size;
        let rows = self.pairs.chunks(self.input.blocks().len()).map(|row| {
            let parts = row.iter().map(|pair| pair.record(tape, bound, k));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            tape.concat(&parts, 1)
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        tape.concat(&rows, 0)
    }

    /// Records the layer on `x` of shape `N in H W`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit, or the stride is 2 and the group would move
    /// the sampled pixels.
    pub fn forward(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        check_extents(self.input.group().is_trivial(), self.window, x.shape())?;
        let y = match &self.symmetric {
            Some(conv) => {
                let weight = self.pairs[0].weight.map(|weight| bound.get(weight));
                let weight = weight.expect("a symmetric layer has coefficients");
                tape.symmetric_conv(x, weight, conv)?
            }
            None => {
                let kernel = self.kernel(tape, bound)?;
                tape.conv2d(x, kernel, self.window)?
            }
        };
        match &self.bias {
            Some(bias) => bias.add(tape, bound, y),
            None => Ok(y),
        }
    }

    /// The same layer as an ordinary convolution: its kernel `out in k k` and bias `out`, from the
    /// flat parameters.
    pub fn freeze(&self, parameters: &Parameters, values: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let taps = self.window.size * self.window.size;
        let [input, output] = [self.input.channels(), self.output.channels()];
        let mut kernel = vec![0.0; output * input * taps];
        let mut first = 0;
        for row in self.pairs.chunks(self.input.blocks().len()) {
            let mut column = 0;
            for pair in row {
                if let Some(weight) = pair.weight {
                    let weight = &values[parameters.range(weight)];
                    pair.freeze(weight, taps, [first, column], input, &mut kernel);
                }
                column += pair.fields[1] * pair.sizes[1];
            }
            first += row[0].fields[0] * row[0].sizes[0];
        }
        let bias = match &self.bias {
            Some(bias) => bias.freeze(parameters, values),
            None => vec![0.0; output],
        };
        (kernel, bias)
    }

    /// Gives this ordinary convolution, one of the trivial group, the kernel and bias of another
    /// that was [frozen](Self::freeze), in the flat parameters `values`.
    pub fn thaw(
        &self,
        parameters: &Parameters,
        values: &mut [f32],
        (kernel, bias): (Vec<f32>, Vec<f32>),
    ) {
        if let Some(weight) = self.weight() {
            values[parameters.range(weight)].copy_from_slice(&kernel);
        }
        if let Some(place) = self.bias.as_ref().and_then(FieldBias::parameter) {
            values[parameters.range(place)].copy_from_slice(&bias);
        }
    }

    /// The coefficients' place among the parameters, of a layer from fields of one representation
    /// to fields of one.
    pub fn weight(&self) -> Option<ParameterId> {
        match self.pairs.as_slice() {
            [pair] => pair.weight,
            _ => None,
        }
    }
}

/// Verifies that a window of stride 2 samples what the group maps to sampled pixels.
fn check_extents(trivial: bool, window: Window, image: Shape) -> Result<()> {
    let even = |extent: usize| extent.is_multiple_of(2);
    if trivial || window.stride == 1 || !(even(image.h()) || even(image.w())) {
        return Ok(());
    }
    Err(Error::shape(
        "group convolution",
        format!(
            "stride 2 on {image}: only odd extents keep the symmetry, since a moved image of even extent would be sampled between the pixels; use Downsampling, or pad by one row and column"
        ),
    ))
}

/// The transpose of a [`GroupConvolution`] of stride 2, with a bias of its own: from
/// `N in (H + 1)/2 (W + 1)/2` to `N out H W` with odd `H` and `W`. The transpose of an equivariant
/// map is equivariant, since the representations are orthogonal.
#[derive(Clone, Debug)]
pub struct TransposedConvolution {
    /// From the output fields to the input fields.
    convolution: GroupConvolution,
    bias: Option<FieldBias>,
}

impl TransposedConvolution {
    /// Registers the layer's parameters as a [`GroupConvolution`] does. `config` reads as for
    /// one: `input` comes in; the stride is 2.
    ///
    /// # Errors
    /// Those of [`GroupConvolution::new`].
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        config: &ConvolutionConfig,
    ) -> Result<Self> {
        let (input, output) = (&config.input, &config.output);
        // The variance of the weights is that for a sum over the output's channels, and only a
        // quarter of the taps meets each pixel.
        let gain = 4.0 * config.gain * output.channels() as f64 / input.channels().max(1) as f64;
        let transposed = ConvolutionConfig {
            input: output.clone(),
            output: input.clone(),
            stride: 2,
            bias: false,
            gain,
            ..config.clone()
        };
        let convolution = GroupConvolution::new(parameters, name, &transposed)?;
        let bias = config
            .bias
            .then(|| FieldBias::new(parameters, &format!("{name}.bias"), output, 0.0))
            .transpose()?;
        Ok(TransposedConvolution { convolution, bias })
    }

    /// Records the layer on `x` of shape `N in H W`; the result has the extents `2 H - 1`,
    /// `2 W - 1`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit.
    pub fn forward(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        let Shape([n, _, h, w]) = x.shape();
        let channels = self.convolution.input().channels();
        let to = Shape::new(n, channels, 2 * h - 1, 2 * w - 1);
        let kernel = self.convolution.kernel(tape, bound)?;
        let y = tape.conv2d_input_gradient(x, kernel, self.convolution.window(), to)?;
        match &self.bias {
            Some(bias) => bias.add(tape, bound, y),
            None => Ok(y),
        }
    }

    /// The kernel `in out k k` and bias `out` of the same layer as an ordinary transposed
    /// convolution, from the flat parameters.
    pub fn freeze(&self, parameters: &Parameters, values: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (kernel, _) = self.convolution.freeze(parameters, values);
        let bias = match &self.bias {
            Some(bias) => bias.freeze(parameters, values),
            None => vec![0.0; self.convolution.input().channels()],
        };
        (kernel, bias)
    }
}

/// The field type of `width` channels in regular fields of `group`; scalar fields of the trivial
/// group.
///
/// # Errors
/// [`Error::Config`] if the width is not a positive multiple of the group's order, naming
/// `setting`, or the group is not finite.
pub fn regular_fields(
    group: crate::group::Group,
    width: usize,
    setting: &str,
) -> Result<FieldType> {
    if group.is_trivial() && width > 0 {
        return Ok(FieldType::trivial(group, width));
    }
    let order = group
        .finite(&format!("{setting}: a network of regular fields"))?
        .order();
    if width == 0 || !width.is_multiple_of(order) {
        return Err(Error::Config(format!(
            "{setting} = {width}: the width must be a positive multiple of the order {order} of {group}"
        )));
    }
    FieldType::new(group, Representation::Regular, width / order)
}
