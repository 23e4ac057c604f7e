//! The equivariant convolution between regular fields.

use super::compared::{compare, noise, select, some_channels, wide};
use super::convolution::WINDOW;
use crate::bench::name::{Pass, SymmetricConvolution};
use crate::error::Result;
use crate::group::{FieldType, Group, KernelBasis, Representation};
use crate::nn::{ConvolutionConfig, GroupConvolution, Parameters};
use crate::reference::{Twin, conv2d};
use crate::shape::Shape;
use crate::tape::Tape;
use crate::tape::plan::{Options, Plan, Store};

/// The plan of one pass, and why it differs from the twin of the expanded layer if it does.
///
/// # Errors
/// Those of recording, compiling and running.
pub(super) fn symmetric(
    store: &Store,
    pass: Pass,
    layer: SymmetricConvolution,
    options: Options,
) -> Result<(Plan, Option<String>)> {
    let mut parameters = Parameters::new();
    let regular = |fields| FieldType::new(layer.group, Representation::Regular, fields);
    let config = ConvolutionConfig {
        size: WINDOW.size,
        padding: WINDOW.padding,
        ..ConvolutionConfig::new(regular(layer.input)?, regular(layer.output)?)
    };
    let convolution = GroupConvolution::new(&mut parameters, "layer", &config)?;
    // The biases start at zero and stay so.
    let values = parameters.initial(1);
    let weight_id = convolution.weight().expect("one pair of representations");
    let [x, w, y] = layer.expanded();

    let mut tape = Tape::new();
    let (_, bound) = parameters.bind(&mut tape)?;
    let image = tape.input("x", x);
    let output = convolution.forward(&mut tape, &bound, image)?;
    let upstream = tape.input("dy", y);
    let (wrt, arguments) = match pass {
        Pass::Forward => (None, vec!["x"]),
        Pass::InputGradient => (Some(image), vec!["dy"]),
        Pass::WeightGradient => (Some(bound.get(weight_id)), vec!["x", "dy"]),
    };
    let result = match wrt {
        None => output,
        Some(wrt) => {
            // The gradient of <output, dy>, in which the output itself no longer occurs.
            let product = tape.mul(output, upstream)?;
            let loss = tape.sum(product, Shape::SCALAR)?;
            tape.gradients(loss, &[wrt])?[0]
        }
    };
    store.write(Parameters::STATE, parameters.flat(), &values)?;
    let plan = Plan::compile(&tape, &[result], store, options)?;
    let (image, upstream) = (noise(x, 1), noise(y, 2));
    for name in arguments {
        plan.write(name, if name == "x" { &image } else { &upstream })?;
    }
    plan.submit();
    let found = plan.read(result)?;

    let (kernel, _) = convolution.freeze(&parameters, &values);
    let mismatch = match pass {
        Pass::Forward => {
            let chosen = some_channels(y.c());
            let part = wide(&select(&kernel, w, 0, &chosen));
            let twin = conv2d::forward(&wide(&image), x, &part, w.with(0, chosen.len()), WINDOW);
            compare(&select(&found, y, 1, &chosen), &twin)
        }
        Pass::InputGradient => {
            let chosen = some_channels(x.c());
            let part = wide(&select(&kernel, w, 1, &chosen));
            let (w, to) = (w.with(1, chosen.len()), x.with(1, chosen.len()));
            let twin = conv2d::input_gradient(&wide(&upstream), y, &part, w, to, WINDOW);
            compare(&select(&found, x, 1, &chosen), &twin)
        }
        Pass::WeightGradient => {
            // Whole fields of the expanded gradient, projected onto the basis.
            let (from, to) = (some_channels(layer.input), some_channels(layer.output));
            let order = layer.group.order();
            let channels = |fields: &[usize]| -> Vec<usize> {
                let of = |f: &usize| (f * order)..((f + 1) * order);
                fields.iter().flat_map(of).collect()
            };
            let (inputs, outputs) = (channels(&from), channels(&to));
            let (a, b) = (
                select(&image, x, 1, &inputs),
                select(&upstream, y, 1, &outputs),
            );
            let (x, y) = (x.with(1, inputs.len()), y.with(1, outputs.len()));
            let part = w.with(0, outputs.len()).with(1, inputs.len());
            let dense = conv2d::weight_gradient(&wide(&a), x, &wide(&b), y, part, WINDOW);
            let twin = projected(&dense, layer.group, [to.len(), from.len()])?;
            let elements = found.len() / (layer.input * layer.output);
            let shape = Shape::new(layer.output, layer.input, 1, elements);
            let rows = select(&found, shape, 0, &to);
            compare(&select(&rows, shape.with(0, to.len()), 1, &from), &twin)
        }
    };
    Ok((plan, mismatch))
}

/// The gradient of an expanded kernel, `fields` output times input fields of it, as the gradient of
/// the coefficients of its basis.
fn projected(dense: &Twin, group: Group, fields: [usize; 2]) -> Result<Twin> {
    let regular = Representation::Regular;
    let basis = KernelBasis::complete(group, &regular, &regular, WINDOW.size)?;
    let [elements, order, _, rows, columns] = basis.shape();
    let taps = rows * columns;
    let [outputs, inputs] = fields;
    let coefficient = |values: &[f64], weight: fn(f64) -> f64, at: usize| -> f64 {
        let (pair, element) = (at / elements, at % elements);
        let (fo, fi) = (pair / inputs, pair % inputs);
        let entries = &basis.elements()[element * order * order * taps..];
        let term = |k: usize| {
            let (o, i, tap) = (k / taps / order, k / taps % order, k % taps);
            let channel = (fo * order + o) * inputs * order + fi * order + i;
            weight(entries[k]) * values[channel * taps + tap]
        };
        (0..order * order * taps).map(term).sum()
    };
    let all = 0..outputs * inputs * elements;
    Ok(Twin {
        value: (all.clone())
            .map(|at| coefficient(&dense.value, |w| w, at))
            .collect(),
        magnitude: (all.map(|at| coefficient(&dense.magnitude, f64::abs, at))).collect(),
    })
}
