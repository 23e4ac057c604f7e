//! Stein's unbiased risk estimate: the distance of `A f(y)` from the noise-free measurement,
//! estimated without it.

use super::consistency::residual;
use super::scene::Scene;
use crate::config::within;
use crate::error::{Error, Result};
use crate::operators::Noise;
use crate::shape::Shape;
use crate::tape::{Tape, Unary, Var};
use serde::{Deserialize, Serialize};

/// Where the risk of low-dose CT is estimated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// On line integrals, as they are measured after the logarithm. Their noise is taken for normal,
    /// with the variance that linearising the logarithm gives; all rays count alike.
    #[default]
    PostLog,
    /// On transmissions, before the logarithm, where the noise is exactly Poisson (with readout
    /// noise: Poisson-Gaussian). Rays count by what passes, so those through thick parts hardly do.
    PreLog,
}

/// SURE (Chen, Tachella and Davies 2022, eq. 8 to 10): with `m` measured values `y`, `h = A f`, a
/// probe `b` of independent signs and the variance `v(y)` of the noise,
///
/// `|h(y) - y|^2 / m - sum v(y) / m + 2 / (t m) sum b v(y) (h(y + t b) - h(y))`,
///
/// `v = sigma^2` for Gaussian noise, `gain y` for Poisson noise, `gain y + sigma^2` for both, and
/// then, with a second probe `c` of mean 0 and second and third moments 1,
///
/// `- 2 sigma^2 gain / (t^2 m) sum c (h(y + t c) + h(y - t c) - 2 h(y))`.
///
/// Its mean over the noise is that of `|h(y) - A x|^2 / m`, exactly for Gaussian noise, up to higher
/// derivatives of `h` for counts. (The sign of the last term follows from Stein's and Hudson's
/// lemmas; the third moment must not vanish, or the term does.)
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sure {
    /// What it is multiplied by in the sum.
    pub weight: f64,
    /// The step `t` relative to the root mean square of the measurements.
    pub probe: f64,
    /// Where the risk of low-dose CT is estimated.
    pub domain: Domain,
}

impl Default for Sure {
    fn default() -> Self {
        Sure {
            weight: 1.0,
            probe: 0.01,
            domain: Domain::default(),
        }
    }
}

/// The noise of numbers `y`: its variance is `gain y + sigma^2`, or `variance`.
#[derive(Clone, Copy, Debug)]
struct Moments {
    gain: f64,
    sigma: f64,
    variance: Option<Var>,
}

/// What the risk is estimated on.
struct Data {
    /// The measured numbers.
    y: Var,
    moments: Moments,
    /// On transmissions: the attenuation and the least transmission of the logarithm.
    logarithm: Option<[f64; 2]>,
}

impl Sure {
    /// Checks that the noise is known.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub(super) fn check(&self, key: &str, noise: Noise) -> Result<()> {
        within(&format!("{key}.probe"), self.probe, 1e-6..=1.0)?;
        if noise == (Noise::None {}) {
            return Err(Error::Config(format!(
                "{key}: `sure` subtracts the noise, and the problem's noise.kind is `none`; use `measurement_consistency`"
            )));
        }
        if matches!(noise, Noise::GaussianRange { .. }) {
            return Err(level_unknown(key));
        }
        if self.domain == Domain::PreLog && !matches!(noise, Noise::LowDoseCt { .. }) {
            return Err(Error::Config(format!(
                "{key}.domain: `pre_log` is for noise.kind `low_dose_ct`; remove the key"
            )));
        }
        Ok(())
    }

    pub(super) fn record(&self, tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
        let data = self.data(tape, scene)?;
        let (y, moments) = (data.y, data.moments);
        let h = scene.predicted(tape)?;
        let h = data.link(tape, h);
        let risk = residual(tape, scene, h, y)?;
        let variance = match moments.variance {
            Some(variance) => variance,
            None => {
                let linear = tape.scale(y, moments.gain as f32);
                let square = (moments.sigma * moments.sigma) as f32;
                tape.unary(Unary::Offset(square), linear)
            }
        };
        let mean = scene.measured_mean(tape, variance)?;
        let risk = tape.sub(risk, mean)?;
        let step = step(tape, scene, y, self.probe)?;
        let b = scene.either(tape, y.shape(), 0.5, [-1.0, 1.0])?;
        let ahead = data.predicted_at(tape, scene, b, step)?;
        let change = tape.sub(ahead, h)?;
        let divergence = tape.mul(b, variance)?;
        let divergence = tape.mul(divergence, change)?;
        let divergence = scene.measured_mean(tape, divergence)?;
        let divergence = tape.div(divergence, step)?;
        let divergence = tape.scale(divergence, 2.0);
        let risk = tape.add(risk, divergence)?;
        if moments.variance.is_some() || moments.gain == 0.0 || moments.sigma == 0.0 {
            return Ok(risk);
        }
        // (1 -+ sqrt 5) / 2: mean 0, second and third moments 1.
        let root = 5f64.sqrt();
        let values = [(1.0 + root) / 2.0, (1.0 - root) / 2.0];
        let c = scene.either(tape, y.shape(), (root - 1.0) / (2.0 * root), values)?;
        let ahead = data.predicted_at(tape, scene, c, step)?;
        let back = tape.scale(step, -1.0);
        let behind = data.predicted_at(tape, scene, c, back)?;
        let both = tape.add(ahead, behind)?;
        let twice = tape.scale(h, 2.0);
        let second = tape.sub(both, twice)?;
        let second = tape.mul(c, second)?;
        let second = scene.measured_mean(tape, second)?;
        let second = tape.div(second, step)?;
        let second = tape.div(second, step)?;
        let factor = 2.0 * moments.sigma * moments.sigma * moments.gain;
        let second = tape.scale(second, factor as f32);
        tape.sub(risk, second)
    }

    fn data(&self, tape: &mut Tape, scene: &Scene) -> Result<Data> {
        let y = scene.measurements();
        let plain = |gain, sigma| {
            Ok(Data {
                y,
                moments: Moments {
                    gain,
                    sigma,
                    variance: None,
                },
                logarithm: None,
            })
        };
        match scene.noise() {
            Noise::None {} => plain(0.0, 0.0),
            Noise::Gaussian { sigma } => plain(0.0, sigma),
            Noise::GaussianRange { .. } => Err(level_unknown("loss")),
            Noise::Poisson { gain } => plain(gain, 0.0),
            Noise::PoissonGaussian { gain, sigma } => plain(gain, sigma),
            Noise::LowDoseCt {
                photons,
                attenuation,
                eta,
                readout,
            } => {
                let (gain, sigma) = (1.0 / photons, readout / photons);
                let depth = tape.scale(y, -attenuation as f32);
                let transmission = tape.unary(Unary::Exp, depth);
                if self.domain == Domain::PreLog {
                    return Ok(Data {
                        y: transmission,
                        moments: Moments {
                            gain,
                            sigma,
                            variance: None,
                        },
                        logarithm: Some([attenuation, eta]),
                    });
                }
                // The derivative of -log(t) / mu is -1 / (mu t): (gain t + sigma^2) / (mu t)^2. No ray
                // is taken for thinner than one photon, or its variance would outweigh all others.
                let seen = tape.unary(Unary::AtLeast(gain as f32), transmission);
                let inverse = tape.unary(Unary::Reciprocal, seen);
                let counts = tape.scale(inverse, gain as f32);
                let square = tape.mul(inverse, inverse)?;
                let reading = tape.scale(square, (sigma * sigma) as f32);
                let sum = tape.add(counts, reading)?;
                let variance = tape.scale(sum, (1.0 / (attenuation * attenuation)) as f32);
                let moments = Moments {
                    gain,
                    sigma,
                    variance: Some(variance),
                };
                Ok(Data {
                    y,
                    moments,
                    logarithm: None,
                })
            }
        }
    }
}

/// Why the loss under `key` is no loss for noise of kind `gaussian_range`.
fn level_unknown(key: &str) -> Error {
    Error::Config(format!(
        "{key}: `sure` subtracts the noise, and with noise.kind `gaussian_range` its level is not known; use `supervised` or `splitting`"
    ))
}

impl Data {
    /// What noise-free line integrals `z` are measured as.
    fn link(&self, tape: &mut Tape, z: Var) -> Var {
        match self.logarithm {
            None => z,
            Some([attenuation, _]) => {
                let depth = tape.scale(z, -attenuation as f32);
                tape.unary(Unary::Exp, depth)
            }
        }
    }

    /// `h(y + step * probe)`.
    fn predicted_at(&self, tape: &mut Tape, scene: &Scene, probe: Var, step: Var) -> Result<Var> {
        let change = tape.mul(probe, step)?;
        let change = scene.operator().restrict(tape, change)?;
        let mut moved = tape.add(self.y, change)?;
        if let Some([attenuation, eta]) = self.logarithm {
            let seen = tape.unary(Unary::AtLeast(eta as f32), moved);
            let logarithm = tape.unary(Unary::Log, seen);
            moved = tape.scale(logarithm, (-1.0 / attenuation) as f32);
        }
        let estimate = scene.reconstruct(tape, scene.operator(), moved)?;
        let predicted = scene.operator().forward(tape, estimate)?;
        Ok(self.link(tape, predicted))
    }
}

/// `probe` times the root mean square of the measured values of `y`: a scalar.
pub(super) fn step(tape: &mut Tape, scene: &Scene, y: Var, probe: f64) -> Result<Var> {
    let square = tape.mul(y, y)?;
    let mean = scene.measured_mean(tape, square)?;
    // A measurement of nothing but zeros has no scale.
    let mean = tape.unary(Unary::AtLeast(f32::MIN_POSITIVE), mean);
    let root = tape.unary(Unary::Sqrt, mean);
    let step = tape.scale(root, probe as f32);
    debug_assert_eq!(step.shape(), Shape::SCALAR);
    Ok(step)
}
