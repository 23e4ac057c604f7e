//! A smooth phase for images that are known by their magnitude only.

use super::random::Stream;
use crate::config::within;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// A random phase that varies slowly over the image, as inhomogeneous fields cause it: a polynomial
/// in the two coordinates with random coefficients, and 0 in the image's centre.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmoothPhase {
    /// The largest phase in the image.
    pub radians: f64,
    /// The polynomial's total degree.
    pub degree: u32,
    /// Seed; each image has its own phase.
    pub seed: u64,
}

impl Default for SmoothPhase {
    fn default() -> Self {
        SmoothPhase {
            radians: 1.5,
            degree: 3,
            seed: 0,
        }
    }
}

impl SmoothPhase {
    /// Checks every number.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        within("phase.radians", self.radians, 0.0..=100.0)?;
        within("phase.degree", self.degree, 1..=8)?;
        // TOML's integers are signed.
        within("phase.seed", self.seed, 0..=i64::MAX as u64).map(drop)
    }

    /// The phase of `image`, in radians, for each of its `[rows, columns]` pixels. The image's own
    /// values decide which random phase it gets, so that the phase does not depend on where in a
    /// file the image stands.
    pub fn of(&self, image: &[f32], [rows, columns]: [usize; 2]) -> Vec<f64> {
        let hash = image.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, v| {
            (hash ^ u64::from(v.to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut stream = Stream::new(self.seed, &format!("phase of {hash:016x}"));
        let powers = (1..=self.degree).flat_map(|d| (0..=d).map(move |i| (i, d - i)));
        let terms: Vec<(u32, u32, f64)> = powers
            .map(|(i, j)| (i, j, stream.between(-1.0, 1.0)))
            .collect();
        let half = rows.max(columns) as f64 / 2.0;
        let mut phase: Vec<f64> = (0..rows * columns)
            .map(|pixel| {
                let x = ((pixel % columns) as f64 - (columns as f64 - 1.0) / 2.0) / half;
                let y = ((rows as f64 - 1.0) / 2.0 - (pixel / columns) as f64) / half;
                let term = |&(i, j, c): &(u32, u32, f64)| c * x.powi(i as i32) * y.powi(j as i32);
                terms.iter().map(term).sum()
            })
            .collect();
        let largest = phase.iter().fold(0.0_f64, |m, p| m.max(p.abs()));
        if largest > 0.0 {
            for p in &mut phase {
                *p *= self.radians / largest;
            }
        }
        phase
    }

    /// Multiplies a complex image, real plane then imaginary plane, by its own
    /// [phase](SmoothPhase::of); magnitudes stay.
    pub fn apply(&self, image: &mut [f32], size: [usize; 2]) {
        let phase = self.of(image, size);
        let (re, im) = image.split_at_mut(size[0] * size[1]);
        for ((re, im), phase) in re.iter_mut().zip(im).zip(phase) {
            let (sin, cos) = phase.sin_cos();
            let (a, b) = (f64::from(*re), f64::from(*im));
            (*re, *im) = ((a * cos - b * sin) as f32, (a * sin + b * cos) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_is_smooth_bounded_and_the_images_own() {
        let size = [24, 31];
        let image: Vec<f32> = (0..744).map(|k| (k % 17) as f32 / 17.0).collect();
        let phase = SmoothPhase::default();
        let field = phase.of(&image, size);
        let largest = field.iter().fold(0.0_f64, |m, p| m.max(p.abs()));
        assert!((largest - 1.5).abs() < 1e-12);
        assert_eq!(field, phase.of(&image, size));
        let steps = field.chunks(31).flat_map(|row| row.windows(2));
        let steepest = steps.map(|w| (w[1] - w[0]).abs()).fold(0.0, f64::max);
        assert!((0.01..0.5).contains(&steepest), "{steepest}");
        let mut other = image.clone();
        other[0] += 1.0;
        assert_ne!(field, phase.of(&other, size));
        let reseeded = SmoothPhase { seed: 1, ..phase };
        assert_ne!(field, reseeded.of(&image, size));
    }

    #[test]
    fn magnitudes_stay() {
        let mut image: Vec<f32> = (0..2 * 20).map(|k| (k as f32).sin()).collect();
        let before = image.clone();
        SmoothPhase::default().apply(&mut image, [4, 5]);
        assert_ne!(image, before);
        for i in 0..20 {
            let norm = |v: &[f32]| v[i].hypot(v[20 + i]);
            assert!((norm(&image) - norm(&before)).abs() < 1e-6);
        }
    }
}
