//! Kernel families: operations that several algorithms compute with the same result up to rounding.

use super::conv2d::{ImageAlgorithm, WeightAlgorithm};
use super::fourier::FourierAlgorithm;
use super::ray_transform::Reading;
use super::symmetric_conv::{SymmetricAlgorithm, SymmetricWeightAlgorithm};
use super::{Capabilities, Lowered};
use crate::shape::Shape;
use std::fmt::{Debug, Display};

/// The ways to compute one kind of operation. A value is one of them; its `Display` is a stable
/// name, by which tuning records know it.
pub trait Family: Copy + PartialEq + Debug + Display {
    /// What is to be computed: shapes and settings. Its `Display` is a stable name too.
    type Problem: Display;

    /// The name of the family.
    const NAME: &'static str;

    /// A sensible choice for most adapters of this kind; the tuner may know better.
    fn default_for(capabilities: Capabilities, problem: &Self::Problem) -> Self;

    /// What may be better, in the order of preference between equals: at most about 30. The
    /// default may be among them.
    fn alternatives(capabilities: Capabilities, problem: &Self::Problem) -> Vec<Self>;

    /// What is checked and may be asked for by name, but is not tried by the tuner, because a plan
    /// would lose more by it than rounding.
    fn by_request(capabilities: Capabilities, problem: &Self::Problem) -> Vec<Self> {
        let _ = (capabilities, problem);
        Vec::new()
    }

    /// The choice that the caller of a plan insists on.
    fn forced(forced: &Forced) -> Option<Self>;

    /// Makes `forced` insist on this one.
    fn force(self, forced: &mut Forced);

    /// The dispatches, without an epilogue. Where the algorithm does not apply, those of another.
    fn lower(self, problem: &Self::Problem) -> Lowered;

    /// The problem that is measured in place of this one and of all that are as large up to a factor
    /// of two: it has what decides between the algorithms in common with them.
    fn representative(problem: &Self::Problem) -> Self::Problem;

    /// The shapes of the operation's inputs.
    fn inputs(problem: &Self::Problem) -> Vec<Shape>;

    /// The shape of its result.
    fn output(problem: &Self::Problem) -> Shape;

    /// The default, then the alternatives to it.
    fn candidates(capabilities: Capabilities, problem: &Self::Problem) -> Vec<Self> {
        let mut candidates = vec![Self::default_for(capabilities, problem)];
        for alternative in Self::alternatives(capabilities, problem) {
            if !candidates.contains(&alternative) {
                candidates.push(alternative);
            }
        }
        candidates
    }

    /// The candidates, then what there is by request.
    fn all(capabilities: Capabilities, problem: &Self::Problem) -> Vec<Self> {
        let mut all = Self::candidates(capabilities, problem);
        all.extend(Self::by_request(capabilities, problem));
        all
    }

    /// The candidate of this name.
    fn by_name(name: &str, capabilities: Capabilities, problem: &Self::Problem) -> Option<Self> {
        let mut candidates = Self::candidates(capabilities, problem).into_iter();
        candidates.find(|c| c.to_string() == name)
    }
}

/// Algorithms that a plan must use whatever suits the adapter: one field for each family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Forced {
    /// For convolutions and their input gradients.
    pub images: Option<ImageAlgorithm>,
    /// For weight gradients.
    pub weights: Option<WeightAlgorithm>,
    /// For symmetric convolutions and their input gradients.
    pub symmetric: Option<SymmetricAlgorithm>,
    /// For the weight gradients of symmetric convolutions.
    pub symmetric_weights: Option<SymmetricWeightAlgorithm>,
    /// For ray transforms.
    pub reading: Option<Reading>,
    /// For Fourier transforms.
    pub fourier: Option<FourierAlgorithm>,
}

/// `extent` rounded up to a power of two, less what keeps its remainder by 4: kernels read rows of
/// a multiple of 4 by fours.
pub(super) fn rounded(extent: usize) -> usize {
    let power = extent.next_power_of_two();
    match extent % 4 {
        0 => power,
        rest if power >= 4 => power - 4 + rest,
        _ => extent,
    }
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn rounding_keeps_the_remainder_and_repeats_nothing() {
        for (extent, expected) in [
            (1, 1),
            (2, 2),
            (3, 3),
            (4, 4),
            (5, 5),
            (7, 7),
            (12, 16),
            (65, 125),
            (96, 128),
            (128, 128),
            (130, 254),
        ] {
            assert_eq!(rounded(extent), expected);
            assert_eq!(rounded(expected), expected, "of {extent}");
        }
    }
}
