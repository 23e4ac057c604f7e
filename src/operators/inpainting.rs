//! Images of which some pixels are missing.

use super::{LinearOperator, check};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// `A x = m x`: the pixels that are measured, and zeros elsewhere. Images and measurements are
/// `N 1 H W`.
///
/// The mask is a projection, so it is its own adjoint and its own pseudo-inverse.
#[derive(Clone, Debug)]
pub struct Inpainting {
    size: [usize; 2],
    /// `1 1 H W`.
    mask: Arc<[f32]>,
}

impl Inpainting {
    /// Images of `size` = [rows, columns], measured where `measured` (row-major) says so.
    ///
    /// # Errors
    /// [`Error::Shape`] if `measured` has another size; [`Error::Config`] if nothing is measured.
    pub fn new(size: [usize; 2], measured: &[bool]) -> Result<Self> {
        let [rows, columns] = size;
        if measured.is_empty() || measured.len() != rows * columns {
            return Err(Error::shape(
                "inpainting",
                format!("a mask of {} pixels for {rows}x{columns}", measured.len()),
            ));
        }
        if !measured.contains(&true) {
            return Err(Error::Config(
                "operator.mask measures nothing: leave at least one pixel".into(),
            ));
        }
        let mask = measured.iter().map(|&m| f32::from(u8::from(m)));
        Ok(Inpainting {
            size,
            mask: mask.collect(),
        })
    }

    fn apply(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        check("inpainting", x, self.domain())?;
        let mask = tape.constant(self.domain(), self.mask.clone())?;
        tape.mul(x, mask)
    }
}

impl LinearOperator for Inpainting {
    fn name(&self) -> &'static str {
        "inpainting"
    }

    fn domain(&self) -> Shape {
        Shape::new(1, 1, self.size[0], self.size[1])
    }

    fn range(&self) -> Shape {
        self.domain()
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        self.apply(tape, x)
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.apply(tape, y)
    }

    /// The masked image, exactly `A^+ y`.
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.apply(tape, y)
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        "zero-filled"
    }

    fn measured(&self) -> usize {
        self.mask.iter().filter(|&&m| m != 0.0).count()
    }

    fn restrict(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.apply(tape, y)
    }
}
