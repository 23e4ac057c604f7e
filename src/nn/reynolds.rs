//! Any image-to-image map made equivariant by averaging over a group.

use crate::error::{Error, Result};
use crate::group::Group;
use crate::tape::{Tape, Var};

/// Records `1/|G| sum over g of T_g^-1 f(T_g x)` (Reynolds averaging; Chen et al. 2023, section
/// IV): for every map `f` from images to images, each of any number of scalar channels, one that
/// commutes with `group` exactly, at the cost of one application of `f` for each element.
///
/// # Errors
/// [`Error::Config`] if the group does not map the pixel grid to itself; those of `f`.
pub fn reynolds(
    tape: &mut Tape,
    group: Group,
    x: Var,
    mut f: impl FnMut(&mut Tape, Var) -> Result<Var>,
) -> Result<Var> {
    if !group.on_grid() {
        return Err(Error::Config(format!(
            "averaging over {group} is not exact, since it does not map the pixel grid to itself: choose one of C1, C2, C4, D1, D2, D4"
        )));
    }
    let mut sum: Option<Var> = None;
    for symmetry in (0..group.order()).filter_map(|g| group.grid_symmetry(g)) {
        let moved = tape.symmetry(x, symmetry);
        let y = f(tape, moved)?;
        let back = tape.symmetry(y, symmetry.inverse());
        sum = Some(match sum {
            Some(sum) => tape.add(sum, back)?,
            None => back,
        });
    }
    let sum = sum.expect("a group has an element");
    Ok(tape.scale(sum, 1.0 / group.order() as f32))
}

/// Records `T_g^-1 f(T_g x)` for one element `g` for each image, which the inputs `to` and `back`
/// hold as maps and their inverses ([`Maps`](crate::shape::Maps)): drawn anew in each step, the cheap
/// version of [`reynolds`], which it equals in the mean over the draws. Rotations off the pixel grid
/// are interpolated.
///
/// # Errors
/// [`Error::Shape`] if the maps are not one for each image; those of `f`.
pub fn random_element(
    tape: &mut Tape,
    [to, back]: [Var; 2],
    x: Var,
    f: impl FnOnce(&mut Tape, Var) -> Result<Var>,
) -> Result<Var> {
    let moved = tape.warp(x, to)?;
    let y = f(tape, moved)?;
    tape.warp(y, back)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Affine, Maps, Shape};
    use crate::tape::reference::{Feeds, evaluate};
    use std::f64::consts::FRAC_PI_2;

    /// A map that commutes with nothing: weights that differ from pixel to pixel.
    fn uneven(tape: &mut Tape, x: Var) -> Result<Var> {
        let count = x.shape().with(0, 1).elements();
        let weights: Vec<f32> = (0..count).map(|i| (1.0 + i as f32).sqrt()).collect();
        let weights = tape.constant(x.shape().with(0, 1), weights)?;
        tape.mul(x, weights)
    }

    #[test]
    fn the_mean_over_the_elements_is_the_average_over_the_group() {
        let shape = Shape::new(1, 1, 5, 5);
        let image: Vec<f64> = (0..25).map(|i| f64::from(i * i % 7) - 3.0).collect();
        let mut tape = Tape::new();
        let x = tape.input("x", shape);
        let [to, back] = ["to", "back"].map(|name| tape.input(name, Maps::shape(1)));
        let whole = reynolds(&mut tape, Group::cyclic(4), x, uneven).expect("on the grid");
        let one = random_element(&mut tape, [to, back], x, uneven).expect("fits");
        let mut mean = [0.0; 25];
        let mut expected = Vec::new();
        for turn in 0..4 {
            let map = Affine::rotation(FRAC_PI_2 * f64::from(turn));
            let maps = |map: Affine| -> Vec<f64> {
                let maps = Maps::of(&[map]).expect("invertible");
                maps.iter().map(|&v| f64::from(v)).collect()
            };
            let mut feeds: Feeds = [
                ("x".to_string(), image.clone()),
                ("to".to_string(), maps(map)),
                ("back".to_string(), maps(map.inverse().expect("invertible"))),
            ]
            .into();
            let values = evaluate(&tape, &mut feeds, &[whole, one]).expect("evaluates");
            expected.clone_from(&values[0]);
            mean.iter_mut()
                .zip(&values[1])
                .for_each(|(m, v)| *m += v / 4.0);
        }
        for (m, e) in mean.iter().zip(&expected) {
            assert!((m - e).abs() < 1e-5, "{m} {e}");
        }
    }
}
