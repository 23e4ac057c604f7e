//! Pooling over the channels of a field: to scalars that the group does not change.

use super::fields::{check_channels, each_block};
use super::nonlinearity::norms;
use crate::error::{Error, Result};
use crate::group::FieldType;
use crate::tape::{Tape, Var};

/// What becomes of a field's channels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GroupPooling {
    /// Their maximum, where the group permutes the channels. Ties share the gradient.
    Max,
    /// Their mean, where the group permutes the channels.
    Mean,
    /// The field's Euclidean norm, for every representation.
    Norm,
}

impl GroupPooling {
    /// What comes out: a scalar field for each field.
    pub fn output(self, fields: &FieldType) -> FieldType {
        FieldType::trivial(fields.group(), fields.fields())
    }

    /// Records it on `x`, `N C H W` with fields of type `fields`: `N fields H W`.
    ///
    /// # Errors
    /// [`Error::Config`] if the group mixes channels of which the maximum or mean is asked;
    /// [`Error::Shape`] if the channels do not fit.
    pub fn record(self, tape: &mut Tape, fields: &FieldType, x: Var) -> Result<Var> {
        if self == GroupPooling::Norm {
            return norms(tape, fields, x);
        }
        if !fields.is_permutation() {
            return Err(Error::Config(format!(
                "the maximum or mean over the channels of the fields {fields} changes with the group, which mixes them: pool trivial, regular or quotient fields, or take the norm"
            )));
        }
        check_channels("group pooling", fields, x.shape())?;
        each_block(tape, fields, x, |tape, block, part| {
            let apart = block.apart(tape, part)?;
            let one = apart.shape().with(1, 1);
            let pooled = match self {
                GroupPooling::Max => tape.max(apart, one)?,
                _ => {
                    let sum = tape.sum(apart, one)?;
                    tape.scale(sum, 1.0 / block.size as f32)
                }
            };
            block.scalars(tape, pooled)
        })
    }
}
