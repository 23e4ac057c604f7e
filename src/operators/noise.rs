//! The noise of measurements: its distribution, and draws from it recorded on a tape.

use crate::config::within;
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Distribution, Tape, Unary, Var};
use serde::{Deserialize, Serialize};

/// Streams of the generator: apart from those of initialisation and augmentation under the same
/// seed.
const COUNTS: u32 = 0x6e01;
const READOUT: u32 = 0x6e02;
const LEVELS: u32 = 0x6e03;

/// Noise by its `kind`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Noise {
    /// `y = A u`.
    None {},
    /// `y = A u + sigma N(0, 1)`.
    Gaussian {
        /// Standard deviation, in the unit of the measurement.
        sigma: f64,
    },
    /// `y = A u + s N(0, 1)` with a level `s` of its own for each measurement, drawn evenly between
    /// two: what a denoiser for a range of levels is trained on.
    GaussianRange {
        /// The smallest standard deviation, in the unit of the measurement.
        least: f64,
        /// The largest one.
        greatest: f64,
    },
    /// `y = gain Pois(A u / gain)`; `A u` must not be negative.
    Poisson {
        /// The unit of the measurement that one count stands for.
        #[serde(default = "one")]
        gain: f64,
    },
    /// `y = gain Pois(A u / gain) + sigma N(0, 1)`; `A u` must not be negative.
    PoissonGaussian {
        /// The unit of the measurement that one count stands for.
        #[serde(default = "one")]
        gain: f64,
        /// Standard deviation, in the unit of the measurement.
        sigma: f64,
    },
    /// `y = -log(max(n / photons, eta)) / attenuation` with `n ~ Pois(photons exp(-attenuation A
    /// u)) + readout N(0, 1)` (Celledoni et al. 2021, section 5.1.1; the normal part as in Chen,
    /// Tachella and Davies 2022).
    LowDoseCt {
        /// Photons sent along each ray.
        #[serde(default = "photons")]
        photons: f64,
        /// Attenuation per metre where the image is 1.
        #[serde(default = "attenuation")]
        attenuation: f64,
        /// The transmission assumed where no photon arrived.
        #[serde(default = "eta")]
        eta: f64,
        /// Standard deviation of the detector's own noise, in photons.
        #[serde(default)]
        readout: f64,
    },
}

fn one() -> f64 {
    1.0
}
fn photons() -> f64 {
    1e4
}
fn attenuation() -> f64 {
    81.35858
}
fn eta() -> f64 {
    1e-8
}

impl Default for Noise {
    fn default() -> Self {
        Noise::None {}
    }
}

impl Noise {
    /// Checks every number.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] naming the key whose value cannot be used.
    pub fn validate(&self) -> Result<()> {
        const POSITIVE: std::ops::RangeInclusive<f64> = 1e-12..=1e6;
        let check = |key, value| within(key, value, POSITIVE).map(drop);
        match *self {
            Noise::None {} => Ok(()),
            Noise::Gaussian { sigma } => check("noise.sigma", sigma),
            Noise::GaussianRange { least, greatest } => {
                within("noise.greatest", greatest, POSITIVE)?;
                within("noise.least", least, 0.0..=greatest).map(drop)
            }
            Noise::Poisson { gain } => check("noise.gain", gain),
            Noise::PoissonGaussian { gain, sigma } => {
                check("noise.gain", gain)?;
                check("noise.sigma", sigma)
            }
            Noise::LowDoseCt {
                photons,
                attenuation,
                eta,
                readout,
            } => {
                // Poisson sampling is right for means up to 1e6.
                within("noise.photons", photons, 1.0..=1e6)?;
                check("noise.attenuation", attenuation)?;
                within("noise.readout", readout, 0.0..=1e6)?;
                within("noise.eta", eta, 1e-30..=1.0).map(drop)
            }
        }
    }

    /// Records a noisy measurement whose noise-free value is `clean`. `draw` is a scalar holding
    /// the draw's number (an integer below 2^24): the same seed and draw give the same noise.
    ///
    /// A Poisson mean that is negative gives NaN, unless it is so by rounding alone: within 1e-5 of
    /// the image's largest.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] if `draw` is no scalar.
    pub fn record(self, tape: &mut Tape, clean: Var, draw: Var, seed: u64) -> Result<Var> {
        let poisson = |tape: &mut Tape, gain: f64| {
            let means = without_rounding(tape, clean)?;
            let means = tape.scale(means, (1.0 / gain) as f32);
            let counts = tape.poisson(draw, means, seed, COUNTS)?;
            Ok(tape.scale(counts, gain as f32))
        };
        let gaussian = |tape: &mut Tape, mean: Var, sigma: f64| {
            let to = clean.shape();
            let normal = tape.random(Distribution::Normal, draw, seed, READOUT, to)?;
            let noise = tape.scale(normal, sigma as f32);
            tape.add(mean, noise)
        };
        match self {
            Noise::None {} => Ok(clean),
            Noise::Gaussian { sigma } => gaussian(tape, clean, sigma),
            Noise::GaussianRange { least, greatest } => {
                let each = Shape::new(clean.shape().n(), 1, 1, 1);
                let level = tape.random(Distribution::Uniform, draw, seed, LEVELS, each)?;
                let level = tape.scale(level, (greatest - least) as f32);
                let level = tape.unary(Unary::Offset(least as f32), level);
                let to = clean.shape();
                let normal = tape.random(Distribution::Normal, draw, seed, READOUT, to)?;
                let noise = tape.mul(normal, level)?;
                tape.add(clean, noise)
            }
            Noise::Poisson { gain } => poisson(tape, gain),
            Noise::PoissonGaussian { gain, sigma } => {
                let counts = poisson(tape, gain)?;
                gaussian(tape, counts, sigma)
            }
            Noise::LowDoseCt {
                photons,
                attenuation,
                eta,
                readout,
            } => {
                let depth = tape.scale(clean, -attenuation as f32);
                let transmission = tape.unary(Unary::Exp, depth);
                let means = tape.scale(transmission, photons as f32);
                let mut counts = tape.poisson(draw, means, seed, COUNTS)?;
                if readout > 0.0 {
                    counts = gaussian(tape, counts, readout)?;
                }
                let transmission = tape.scale(counts, (1.0 / photons) as f32);
                let transmission = tape.unary(Unary::AtLeast(eta as f32), transmission);
                let log = tape.unary(Unary::Log, transmission);
                Ok(tape.scale(log, (-1.0 / attenuation) as f32))
            }
        }
    }
}

/// Zeros where `x` is negative by no more than 1e-5 of its item's largest value: a convolution through
/// the Fourier domain leaves such numbers where an image is black. Others stay what they are if
/// positive, and negative if negative.
fn without_rounding(tape: &mut Tape, x: Var) -> Result<Var> {
    const ROUNDING: f32 = 1e-5;
    let positive = tape.unary(Unary::AtLeast(0.0), x);
    let negative = tape.sub(x, positive)?;
    let item = Shape::new(x.shape().n(), 1, 1, 1);
    let largest = tape.max(positive, item)?;
    let allowed = tape.scale(largest, ROUNDING);
    let raised = tape.add(negative, allowed)?;
    let above = tape.unary(Unary::AtLeast(0.0), raised);
    let excess = tape.sub(raised, above)?;
    tape.add(positive, excess)
}
