//! Noise recorded on a tape.

use super::NoiseConfig;
use crate::error::Result;
use crate::tape::{Distribution, Tape, Unary, Var};

/// Streams of the generator: apart from those of initialisation and augmentation under the same
/// seed.
const COUNTS: u32 = 0x6e01;
const READOUT: u32 = 0x6e02;

impl NoiseConfig {
    /// Records a noisy measurement whose noise-free value is `clean`. `draw` is a scalar holding
    /// the draw's number (an integer below 2^24): the same seed and draw give the same noise.
    ///
    /// A Poisson mean that is negative gives NaN.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] if `draw` is no scalar.
    pub fn record(self, tape: &mut Tape, clean: Var, draw: Var, seed: u64) -> Result<Var> {
        let poisson = |tape: &mut Tape, gain: f64| {
            let means = tape.scale(clean, (1.0 / gain) as f32);
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
            NoiseConfig::None {} => Ok(clean),
            NoiseConfig::Gaussian { sigma } => gaussian(tape, clean, sigma),
            NoiseConfig::Poisson { gain } => poisson(tape, gain),
            NoiseConfig::PoissonGaussian { gain, sigma } => {
                let counts = poisson(tape, gain)?;
                gaussian(tape, counts, sigma)
            }
            NoiseConfig::LowDoseCt {
                photons,
                attenuation,
                eta,
            } => {
                let depth = tape.scale(clean, -attenuation as f32);
                let transmission = tape.unary(Unary::Exp, depth);
                let means = tape.scale(transmission, photons as f32);
                let counts = tape.poisson(draw, means, seed, COUNTS)?;
                let transmission = tape.scale(counts, (1.0 / photons) as f32);
                let transmission = tape.unary(Unary::AtLeast(eta as f32), transmission);
                let log = tape.unary(Unary::Log, transmission);
                Ok(tape.scale(log, (-1.0 / attenuation) as f32))
            }
        }
    }
}
