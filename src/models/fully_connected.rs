//! A fully connected network: what has no symmetry at all (Chen et al. 2023, figure 1).

use super::stage::check_slope;
use super::{Network, OperatorFacts, check_values};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::nn::{Bound, Initial, ParameterId, Parameters};
use crate::operators::LinearOperator;
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Weights that a layer may have: 256 MiB.
const MAX_WEIGHTS: usize = 1 << 26;

/// Settings.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FullyConnectedConfig {
    /// Units of each layer inside.
    pub width: usize,
    /// Layers, the last one included.
    pub depth: usize,
    /// Slope of the leaky ReLU.
    pub slope: f32,
    /// Layers have biases.
    pub bias: bool,
    /// The result is added to the pseudo-inverse instead of taking its place; the last layer then
    /// starts at zero.
    pub residual: bool,
}

impl Default for FullyConnectedConfig {
    fn default() -> Self {
        FullyConnectedConfig {
            width: 1024,
            depth: 3,
            slope: 0.01,
            bias: true,
            residual: true,
        }
    }
}

/// `x W^T + b` on rows.
#[derive(Clone, Debug)]
struct Layer {
    weight: ParameterId,
    bias: Option<ParameterId>,
}

/// The network: the pseudo-inverse as a vector, `depth` dense layers, and an image again. It is made
/// for images of one size.
#[derive(Clone, Debug)]
pub struct FullyConnected {
    config: FullyConnectedConfig,
    parameters: Parameters,
    /// Elements of an image.
    elements: usize,
    layers: Vec<Layer>,
}

impl FullyConnected {
    /// A network for operators like `operator`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, or a layer would have too many weights.
    pub fn new(config: &FullyConnectedConfig, operator: &OperatorFacts) -> Result<Self> {
        let bad = |what: String| Err(Error::Config(format!("[model] {what}")));
        if !(2..=16).contains(&config.depth) {
            return bad(format!("depth = {}: between 2 and 16", config.depth));
        }
        if !(1..=1 << 16).contains(&config.width) {
            return bad(format!("width = {}: between 1 and 65536", config.width));
        }
        check_slope(config.slope)?;
        let [rows, columns] = operator.size;
        let elements = operator.channels * rows * columns;
        let inner = if config.depth > 2 { config.width } else { 0 };
        if elements.max(inner) > MAX_WEIGHTS / config.width {
            return bad(format!(
                "width = {}: a layer between {elements} numbers of an image and that many units, or between two such layers would have more than {MAX_WEIGHTS} weights; use fewer units or smaller images",
                config.width
            ));
        }
        let mut parameters = Parameters::new();
        let layers = (0..config.depth).map(|i| {
            let last = i + 1 == config.depth;
            let inputs = if i == 0 { elements } else { config.width };
            let outputs = if last { elements } else { config.width };
            // As for convolutions: the variance stays (He et al. 2015).
            let gain = match (last, config.residual) {
                (true, true) => 0.0,
                (true, false) => 1.0,
                (false, _) => 2.0 / (1.0 + f64::from(config.slope).powi(2)),
            };
            let variance = gain / inputs as f64;
            let weight = Shape::new(1, 1, outputs, inputs);
            let initial = Initial::Normal { variance };
            Layer {
                weight: parameters.add(format!("{i}.weight"), weight, initial),
                bias: config.bias.then(|| {
                    let shape = Shape::vector(outputs);
                    parameters.add(format!("{i}.bias"), shape, Initial::Constant(0.0))
                }),
            }
        });
        let layers = layers.collect();
        Ok(FullyConnected {
            config: config.clone(),
            parameters,
            elements,
            layers,
        })
    }
}

impl Network for FullyConnected {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn reconstruct(
        &self,
        tape: &mut Tape,
        bound: &Bound,
        operator: &dyn LinearOperator,
        y: Var,
    ) -> Result<Var> {
        let image = operator.pseudo_inverse(tape, y)?;
        let n = image.shape().n();
        if image.shape().elements() != n * self.elements {
            return Err(Error::Config(format!(
                "the fully connected network is made for images of {} numbers and got {}: such a network fits images of one size, so train another one for these",
                self.elements,
                image.shape()
            )));
        }
        let mut x = tape.reshape(image, Shape::new(1, 1, n, self.elements))?;
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = tape.leaky_relu(x, self.config.slope);
            }
            x = tape.matmul(x, bound.get(layer.weight), false, true)?;
            if let Some(bias) = layer.bias {
                x = tape.add(x, bound.get(bias))?;
            }
        }
        let x = tape.reshape(x, image.shape())?;
        match self.config.residual {
            true => tape.add(image, x),
            false => Ok(x),
        }
    }

    fn group(&self) -> Group {
        Group::TRIVIAL
    }

    fn share(&self) -> Arc<dyn Network> {
        Arc::new(self.clone())
    }

    /// Itself: there is no symmetric layer to be expanded.
    fn freeze(&self, values: &[f32]) -> Result<(Arc<dyn Network>, Vec<f32>)> {
        check_values(&self.parameters, values)?;
        Ok((self.share(), values.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::Identity;
    use crate::tape::reference::evaluate;

    fn facts(size: [usize; 2]) -> OperatorFacts {
        OperatorFacts::of(&Identity::new(Shape::new(1, 1, size[0], size[1])), 1.0)
    }

    #[test]
    fn it_is_products_of_matrices_and_leaky_relus() {
        let config = FullyConnectedConfig {
            width: 5,
            depth: 2,
            slope: 0.1,
            ..Default::default()
        };
        let network = FullyConnected::new(&config, &facts([2, 3])).expect("valid");
        assert_eq!(network.parameters().count(), 6 * 5 + 5 + 5 * 6 + 6);
        let operator = Identity::new(Shape::new(1, 1, 2, 3));
        let mut tape = Tape::new();
        let (_, bound) = network.parameters().bind(&mut tape).expect("fits");
        let y = tape.input("y", Shape::new(2, 1, 2, 3));
        let output = network
            .reconstruct(&mut tape, &bound, &operator, y)
            .expect("fits");
        let values: Vec<f64> = (0..network.parameters().values())
            .map(|i| (i as f64 * 0.7).sin())
            .collect();
        let x: Vec<f64> = (0..12).map(|i| (i as f64).cos()).collect();
        let mut feeds = [
            ("y".to_string(), x.clone()),
            (Parameters::STATE.to_string(), values.clone()),
        ]
        .into();
        let found = evaluate(&tape, &mut feeds, &[output])
            .expect("evaluates")
            .concat();
        let of = |name: &str| {
            let mut layout = network.parameters().layout();
            let (_, _, range) = layout.find(|(n, ..)| *n == name).expect("there");
            &values[range]
        };
        let dense = |x: &[f64], i: usize| -> Vec<f64> {
            let (w, b) = (of(&format!("{i}.weight")), of(&format!("{i}.bias")));
            let rows = w.chunks_exact(x.len()).zip(b);
            rows.map(|(w, b)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())
                .collect()
        };
        for (x, found) in x.chunks_exact(6).zip(found.chunks_exact(6)) {
            let inner = dense(x, 0)
                .into_iter()
                .map(|v| if v > 0.0 { v } else { 0.1 * v });
            let expected = dense(&inner.collect::<Vec<_>>(), 1);
            for ((found, expected), x) in found.iter().zip(expected).zip(x) {
                assert!((found - expected - x).abs() < 1e-7, "{found} {expected}");
            }
        }
    }

    #[test]
    fn what_is_too_large_or_of_another_size_is_refused() {
        let refused = |config: FullyConnectedConfig, size, part: &str| {
            let error = FullyConnected::new(&config, &facts(size)).map(|_| ());
            let error = error.expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        };
        let config = FullyConnectedConfig::default;
        refused(
            FullyConnectedConfig {
                depth: 1,
                ..config()
            },
            [8, 8],
            "depth = 1",
        );
        refused(
            FullyConnectedConfig {
                width: 0,
                ..config()
            },
            [8, 8],
            "width = 0",
        );
        refused(
            FullyConnectedConfig {
                width: 1 << 14,
                ..config()
            },
            [8, 8],
            "weights",
        );
        refused(config(), [512, 512], "weights");
        let network = FullyConnected::new(&config(), &facts([8, 8])).expect("valid");
        let mut tape = Tape::new();
        let (_, bound) = network.parameters().bind(&mut tape).expect("fits");
        let operator = Identity::new(Shape::new(1, 1, 4, 8));
        let y = tape.input("y", operator.range());
        let error = network.reconstruct(&mut tape, &bound, &operator, y);
        assert!(matches!(error, Err(Error::Config(_))), "{error:?}");
    }
}
