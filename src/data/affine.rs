//! Random affine maps of images.

use super::Stream;
use crate::shape::Affine;
use std::f64::consts::{FRAC_PI_2, TAU};

/// Ranges from which affine maps are drawn, uniformly. A range whose ends are equal takes no number
/// from the stream.
///
/// A map mirrors, scales, shears, rotates and shifts, in this order, about the image's centre.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AffineRanges {
    /// Angles in radians, counter-clockwise.
    pub rotation: [f64; 2],
    /// Any number of quarter turns on top.
    pub quarter_turns: bool,
    /// Pixels to the right, and independently pixels upward.
    pub shift: [f64; 2],
    /// Factors of enlargement, the same along both axes; uniform in their logarithm, so that a
    /// factor is as likely as its reciprocal.
    pub scaling: [f64; 2],
    /// `k` of `x -> x + k y`.
    pub shear: [f64; 2],
    /// Half of the maps mirror (`x -> -x`) first.
    pub mirror: bool,
}

impl Default for AffineRanges {
    /// Nothing but the identity.
    fn default() -> Self {
        AffineRanges {
            rotation: [0.0; 2],
            quarter_turns: false,
            shift: [0.0; 2],
            scaling: [1.0; 2],
            shear: [0.0; 2],
            mirror: false,
        }
    }
}

impl AffineRanges {
    /// Rotations by any angle.
    pub fn rotations() -> Self {
        AffineRanges {
            rotation: [0.0, TAU],
            ..AffineRanges::default()
        }
    }

    /// The next map.
    pub fn draw(&self, stream: &mut Stream) -> Affine {
        let mut within = |[low, high]: [f64; 2]| match low == high {
            true => low,
            false => stream.between(low, high),
        };
        let quarters = match self.quarter_turns {
            true => (4.0 * within([0.0, 1.0])).floor(),
            false => 0.0,
        };
        let rotation = Affine::rotation(within(self.rotation) + quarters * FRAC_PI_2);
        let shift = Affine::shift(within(self.shift), within(self.shift));
        let scale = match self.scaling[0] == self.scaling[1] {
            true => self.scaling[0],
            false => within(self.scaling.map(f64::ln)).exp(),
        };
        let shear = Affine::shear(within(self.shear));
        let mirrored = self.mirror && within([0.0, 1.0]) < 0.5;
        let mirror = if mirrored {
            Affine::mirror()
        } else {
            Affine::IDENTITY
        };
        let scaling = Affine::scaling(scale, scale).compose(mirror);
        shift.compose(rotation).compose(shear).compose(scaling)
    }

    /// The next `count` maps.
    pub fn draw_many(&self, count: usize, stream: &mut Stream) -> Vec<Affine> {
        (0..count).map(|_| self.draw(stream)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn determinant(map: &Affine) -> f64 {
        let [[a, b], [c, d]] = map.matrix;
        a * d - b * c
    }

    #[test]
    fn the_default_moves_nothing_and_draws_nothing() {
        let mut stream = Stream::new(1, "test");
        assert_eq!(AffineRanges::default().draw(&mut stream), Affine::IDENTITY);
        assert_eq!(stream.uniform(), Stream::new(1, "test").uniform());
    }

    #[test]
    fn rotations_take_one_uniform_angle_each() {
        let angle = Stream::new(2, "test").between(0.0, TAU);
        let maps = AffineRanges::rotations().draw_many(2000, &mut Stream::new(2, "test"));
        assert_eq!(maps[0], Affine::rotation(angle));
        assert!(maps.iter().all(|m| (determinant(m) - 1.0).abs() < 1e-12));
        // The means of cosine and sine vanish; five standard deviations of 1 / sqrt(2).
        for k in 0..2 {
            let mean = maps.iter().map(|m| m.matrix[k][0]).sum::<f64>() / 2000.0;
            assert!(mean.abs() < 0.08, "{mean}");
        }
    }

    #[test]
    fn every_part_fills_its_range() {
        let ranges = AffineRanges {
            shift: [-3.0, 5.0],
            scaling: [0.5, 2.0],
            shear: [-0.2, 0.1],
            mirror: true,
            ..AffineRanges::default()
        };
        let maps = ranges.draw_many(2000, &mut Stream::new(3, "test"));
        let within = |values: Vec<f64>, [low, high]: [f64; 2]| {
            let margin = 0.02 * (high - low);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!(low <= least && least < low + margin, "{least} {low}");
            assert!(high >= most && most > high - margin, "{most} {high}");
        };
        within(maps.iter().map(|m| m.offset[0]).collect(), [-3.0, 5.0]);
        within(maps.iter().map(|m| m.offset[1]).collect(), [-3.0, 5.0]);
        // The matrix is scale * [[+-1, k], [0, 1]].
        let scales: Vec<f64> = maps.iter().map(|m| m.matrix[1][1]).collect();
        let enlarged = scales.iter().filter(|&&s| s > 1.0).count();
        assert!(enlarged.abs_diff(1000) < 112, "{enlarged}");
        within(scales, [0.5, 2.0]);
        let shears = maps.iter().map(|m| m.matrix[0][1] / m.matrix[1][1]);
        within(shears.collect(), [-0.2, 0.1]);
        let mirrored = maps.iter().filter(|m| determinant(m) < 0.0).count();
        assert!(mirrored.abs_diff(1000) < 112, "{mirrored}");
    }
}
