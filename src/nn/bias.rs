//! What may be added to the channels of a field without breaking the symmetry.

use super::parameters::{Bound, Initial, ParameterId, Parameters};
use crate::error::Result;
use crate::group::{FieldType, KernelBasis, Representation};
use crate::shape::Shape;
use crate::tape::{Tape, Var};

/// The fields of one representation, and the vectors that the group leaves as they are.
#[derive(Clone, Debug)]
struct Block {
    fields: usize,
    size: usize,
    /// Row-major, `invariants x size`, each row scaled to largest magnitude 1; a row of ones for
    /// trivial, regular and quotient fields, none for the irreps that are not trivial.
    vectors: Vec<f32>,
}

impl Block {
    fn new(fields: &FieldType, (representation, count): &(Representation, usize)) -> Result<Self> {
        // A kernel of one pixel from a scalar field is an invariant vector.
        let basis =
            KernelBasis::harmonic(fields.group(), &Representation::Trivial, representation, 1)?;
        let size = representation.size(fields.group());
        let scaled = basis.elements().chunks(size).flat_map(|vector| {
            let largest = vector.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            vector.iter().map(move |v| (v / largest) as f32)
        });
        Ok(Block {
            fields: *count,
            size,
            vectors: scaled.collect(),
        })
    }

    fn invariants(&self) -> usize {
        self.vectors.len() / self.size
    }

    /// The trained numbers of all fields.
    fn numbers(&self) -> usize {
        self.fields * self.invariants()
    }
}

/// A trained vector for each field that the group leaves as it is: one number for a trivial,
/// regular or quotient field, added equally to its channels; one for each trivial summand of a
/// direct sum; none for other irreps.
#[derive(Clone, Debug)]
pub struct FieldBias {
    blocks: Vec<Block>,
    /// `None` if no field can have a bias.
    parameter: Option<ParameterId>,
    channels: usize,
}

impl FieldBias {
    /// Registers the parameter `NAME`, if there is anything to train; it starts at `initial`.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] if a representation is too large to decompose.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        fields: &FieldType,
        initial: f32,
    ) -> Result<Self> {
        let blocks = fields
            .blocks()
            .iter()
            .map(|block| Block::new(fields, block));
        let blocks = blocks.collect::<Result<Vec<_>>>()?;
        let numbers: usize = blocks.iter().map(Block::numbers).sum();
        let parameter = (numbers > 0)
            .then(|| parameters.add(name, Shape::vector(numbers), Initial::Constant(initial)));
        Ok(FieldBias {
            blocks,
            parameter,
            channels: fields.channels(),
        })
    }

    /// The trained parameter, if there is one.
    pub fn parameter(&self) -> Option<ParameterId> {
        self.parameter
    }

    /// Records the bias of each channel, `1 C 1 1`; `None` if it is always zero.
    ///
    /// # Errors
    /// None in practice.
    pub fn channels(&self, tape: &mut Tape, bound: &Bound) -> Result<Option<Var>> {
        let Some(parameter) = self.parameter else {
            return Ok(None);
        };
        let numbers = tape.reshape(
            bound.get(parameter),
            Shape::vector(bound.get(parameter).shape().elements()),
        )?;
        let mut start = 0;
        let mut parts = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let (fields, size, invariants) = (block.fields, block.size, block.invariants());
            let channels = Shape::new(1, fields * size, 1, 1);
            if block.numbers() == 0 {
                if fields > 0 {
                    parts.push(tape.constant(channels, vec![0.0; fields * size])?);
                }
                continue;
            }
            let part = tape.slice(numbers, 3, start, block.numbers())?;
            start += block.numbers();
            let part = tape.reshape(part, Shape::new(1, 1, fields, invariants))?;
            let part = if block.vectors.iter().all(|&v| v == 1.0) {
                tape.broadcast(part, Shape::new(1, 1, fields, size))?
            } else {
                let vectors = Shape::new(1, 1, invariants, size);
                let vectors = tape.constant(vectors, block.vectors.clone())?;
                tape.matmul(part, vectors, false, false)?
            };
            parts.push(tape.reshape(part, channels)?);
        }
        tape.concat(&parts, 1).map(Some)
    }

    /// Records `x`, `N C H W`, plus the bias.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] if the channels do not fit.
    pub fn add(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        match self.channels(tape, bound)? {
            Some(bias) => tape.add(x, bias),
            None => Ok(x),
        }
    }

    /// The bias of each channel, from the flat parameters.
    pub fn freeze(&self, parameters: &Parameters, values: &[f32]) -> Vec<f32> {
        let numbers = match self.parameter {
            Some(parameter) => &values[parameters.range(parameter)],
            None => return vec![0.0; self.channels],
        };
        let mut start = 0;
        let mut bias = Vec::with_capacity(self.channels);
        for block in &self.blocks {
            let invariants = block.invariants();
            for field in 0..block.fields {
                let own = &numbers[start + field * invariants..][..invariants];
                bias.extend((0..block.size).map(|c| -> f32 {
                    let terms = own.iter().zip(block.vectors.chunks(block.size));
                    terms.map(|(b, vector)| b * vector[c]).sum()
                }));
            }
            start += block.numbers();
        }
        bias
    }
}
