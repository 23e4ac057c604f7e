//! Images measured as they are: what is left to do is denoising.

use super::{LinearOperator, check};
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Tape, Var};

/// `A x = x`, for images of any number of channels.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    image: Shape,
}

impl Identity {
    /// For images of this shape, whatever its N.
    pub fn new(image: Shape) -> Self {
        Identity {
            image: image.with(0, 1),
        }
    }
}

impl LinearOperator for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn domain(&self) -> Shape {
        self.image
    }

    fn range(&self) -> Shape {
        self.image
    }

    fn forward(&self, _: &mut Tape, x: Var) -> Result<Var> {
        check("identity", x, self.image)?;
        Ok(x)
    }

    fn adjoint(&self, _: &mut Tape, y: Var) -> Result<Var> {
        check("identity", y, self.image)?;
        Ok(y)
    }

    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.adjoint(tape, y)
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        "noisy"
    }
}
