//! Seeing the fields in the channels of a feature map.

use crate::error::{Error, Result};
use crate::group::{FieldType, Representation};
use crate::shape::Shape;
use crate::tape::{Tape, Var};

/// The fields of one representation in a feature map `N C H W`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub representation: Representation,
    /// How many fields.
    pub fields: usize,
    /// Channels of a field.
    pub size: usize,
}

impl Block {
    /// `N (fields size) H W` as `(N fields) size H W`.
    pub fn apart(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let Shape([n, _, h, w]) = x.shape();
        tape.reshape(x, Shape::new(n * self.fields, self.size, h, w))
    }

    /// `(N fields) 1 H W` as `N fields H W`.
    pub fn scalars(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let Shape([n, _, h, w]) = x.shape();
        tape.reshape(x, Shape::new(n / self.fields, self.fields, h, w))
    }
}

/// Records `body` on the channels of each block of `fields` and joins the results' channels.
///
/// # Errors
/// Those of `body`; [`Error::Shape`] if the channels do not fit.
pub(super) fn each_block(
    tape: &mut Tape,
    fields: &FieldType,
    x: Var,
    mut body: impl FnMut(&mut Tape, &Block, Var) -> Result<Var>,
) -> Result<Var> {
    let mut start = 0;
    let mut parts = Vec::with_capacity(fields.blocks().len());
    for (representation, count) in fields.blocks().iter().filter(|block| block.1 > 0) {
        let block = Block {
            representation: representation.clone(),
            fields: *count,
            size: representation.size(fields.group()),
        };
        let channels = block.fields * block.size;
        let part = tape.slice(x, 1, start, channels)?;
        parts.push(body(tape, &block, part)?);
        start += channels;
    }
    tape.concat(&parts, 1)
}

/// Verifies that a feature map of shape `x` has the channels of `fields`.
pub(super) fn check_channels(op: &'static str, fields: &FieldType, x: Shape) -> Result<()> {
    match x.c() == fields.channels() && x.c() > 0 {
        true => Ok(()),
        false => Err(Error::shape(
            op,
            format!(
                "{x} where the fields {fields} have {} channels",
                fields.channels()
            ),
        )),
    }
}

/// `x`, `N C H W`, with each field multiplied by its own number: `factor` has as many channels
/// as there are fields, and broadcasts in the other axes.
pub(super) fn scaled(tape: &mut Tape, fields: &FieldType, x: Var, factor: Var) -> Result<Var> {
    if fields
        .blocks()
        .iter()
        .all(|(r, _)| r.size(fields.group()) == 1)
    {
        return tape.mul(x, factor);
    }
    let [n, _, h, w] = x.shape().0;
    let factor = tape.broadcast(factor, factor.shape().with(0, n).with(1, fields.fields()))?;
    let mut first = 0;
    each_block(tape, fields, x, |tape, block, part| {
        let own = tape.slice(factor, 1, first, block.fields)?;
        first += block.fields;
        let Shape([_, _, fh, fw]) = own.shape();
        let own = tape.reshape(own, Shape::new(n * block.fields, 1, fh, fw))?;
        let apart = block.apart(tape, part)?;
        let product = tape.mul(apart, own)?;
        tape.reshape(product, Shape::new(n, block.fields * block.size, h, w))
    })
}
