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
