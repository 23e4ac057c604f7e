//! The random transforms of a loss, drawn on the host.

use crate::data::{AffineRanges, Stream};
use crate::error::Result;
use crate::losses::{MotionInput, Moved, Rotation, Transforms, Turns};

/// Names and values of the inputs of `motions`, drawn from the stream `name` of `seed`.
///
/// # Errors
/// None in practice: the ranges have been checked.
pub(super) fn draw(
    motions: &[MotionInput],
    seed: u64,
    name: &str,
) -> Result<Vec<(String, Vec<f32>)>> {
    let mut inputs = Vec::new();
    for (index, motion) in motions.iter().enumerate() {
        let mut stream = Stream::new(seed, &format!("transform {index} of {name}"));
        let extents = [motion.images.h(), motion.images.w()];
        let moved: Vec<Moved> = (0..motion.images.n())
            .map(|_| draw_one(&motion.transforms, extents, &mut stream))
            .collect();
        inputs.extend(motion.values(&moved)?);
    }
    Ok(inputs)
}

/// The ranges of the part that is no circular shift.
fn ranges(transforms: &Transforms) -> AffineRanges {
    let symmetric = |most: f64| [-most, most];
    let rotation = match transforms.rotation {
        Rotation::Named(Turns::Any) => AffineRanges::rotations().rotation,
        Rotation::Named(_) => [0.0; 2],
        Rotation::Within(degrees) => degrees.map(f64::to_radians),
    };
    AffineRanges {
        rotation,
        quarter_turns: transforms.rotation == Rotation::Named(Turns::Quarter),
        shift: symmetric(transforms.translation),
        scaling: transforms.scaling,
        shear: symmetric(transforms.shear),
        mirror: transforms.mirror,
    }
}

fn draw_one(transforms: &Transforms, extents: [usize; 2], stream: &mut Stream) -> Moved {
    let map = ranges(transforms).draw(stream);
    let shift = extents.map(|extent| {
        let most = (transforms.shift * extent as f64).floor() as usize;
        // From -most to most; both ends are the same shift where they are half of the extent.
        (stream.below(2 * most + 1) + extent - most) % extent
    });
    Moved { map, shift }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn shifts_reach_as_far_as_they_may() {
        let mut stream = Stream::new(1, "test");
        let mut rows = |shift: f64| -> BTreeSet<usize> {
            let transforms = Transforms {
                shift,
                ..Transforms::default()
            };
            let draws = (0..500).map(|_| draw_one(&transforms, [10, 7], &mut stream).shift[0]);
            draws.collect()
        };
        assert_eq!(rows(0.2), BTreeSet::from([8, 9, 0, 1, 2]));
        assert_eq!(rows(0.5), (0..10).collect());
        assert_eq!(rows(0.0), BTreeSet::from([0]));
    }

    #[test]
    fn quarter_turns_are_the_four() {
        let transforms = Transforms {
            rotation: Rotation::Named(Turns::Quarter),
            ..Transforms::default()
        };
        let mut stream = Stream::new(2, "test");
        let mut found = BTreeSet::new();
        for _ in 0..100 {
            let moved = draw_one(&transforms, [4, 4], &mut stream);
            assert_eq!(moved.shift, [0, 0]);
            found.insert(moved.map.matrix.map(|row| row.map(|v| v as i32)));
            assert!(moved.map.matrix.iter().flatten().all(|v| v.fract() == 0.0));
        }
        assert_eq!(found.len(), 4);
    }
}
