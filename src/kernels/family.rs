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

    /// The default, then the alternatives to it, each once.
    fn candidates(capabilities: Capabilities, problem: &Self::Problem) -> Vec<Self> {
        let mut candidates = vec![Self::default_for(capabilities, problem)];
        candidates.extend(Self::alternatives(capabilities, problem));
        distinct(candidates)
    }

    /// The candidates, then what there is by request, each once.
    fn all(capabilities: Capabilities, problem: &Self::Problem) -> Vec<Self> {
        let mut all = Self::candidates(capabilities, problem);
        all.extend(Self::by_request(capabilities, problem));
        distinct(all)
    }

    /// The candidate of this name.
    fn by_name(name: &str, capabilities: Capabilities, problem: &Self::Problem) -> Option<Self> {
        let mut candidates = Self::candidates(capabilities, problem).into_iter();
        candidates.find(|c| c.to_string() == name)
    }
}

/// The items where they come first.
fn distinct<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut seen = Vec::with_capacity(items.len());
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
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
    use super::*;

    /// An algorithm by its number, of which some are listed more than once.
    #[derive(Clone, Copy, PartialEq, Debug)]
    struct Numbered(u32);

    impl Display for Numbered {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Display::fmt(&self.0, f)
        }
    }

    impl Family for Numbered {
        type Problem = usize;
        const NAME: &'static str = "numbered";

        fn default_for(_: Capabilities, _: &usize) -> Self {
            Numbered(2)
        }

        fn alternatives(_: Capabilities, _: &usize) -> Vec<Self> {
            [1, 2, 3, 1].map(Numbered).to_vec()
        }

        fn by_request(_: Capabilities, _: &usize) -> Vec<Self> {
            [3, 4, 2, 4].map(Numbered).to_vec()
        }

        fn forced(_: &Forced) -> Option<Self> {
            None
        }

        fn force(self, _: &mut Forced) {}

        fn lower(self, _: &usize) -> Lowered {
            unreachable!("nothing is computed")
        }

        fn representative(problem: &usize) -> usize {
            *problem
        }

        fn inputs(_: &usize) -> Vec<Shape> {
            Vec::new()
        }

        fn output(_: &usize) -> Shape {
            Shape::SCALAR
        }
    }

    #[test]
    fn each_algorithm_is_listed_once_where_it_comes_first() {
        let capabilities = Capabilities::default();
        let candidates = Numbered::candidates(capabilities, &0);
        assert_eq!(candidates, [2, 1, 3].map(Numbered));
        let all = Numbered::all(capabilities, &0);
        assert_eq!(all, [2, 1, 3, 4].map(Numbered));
    }

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
