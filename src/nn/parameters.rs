//! All parameters of a model in one flat vector, so that one kernel updates them.

use crate::error::{Error, Result};
use crate::reference::random::{self, Draw};
use crate::shape::Shape;
use crate::tape::{Tape, Var};

/// How a parameter starts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Initial {
    /// Every element has this value.
    Constant(f32),
    /// Independent normal numbers with mean 0 and this variance.
    Normal {
        /// The variance.
        variance: f64,
    },
}

/// A parameter of a model, by its place in [`Parameters`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ParameterId(usize);

#[derive(Clone, PartialEq, Debug)]
struct Entry {
    name: String,
    shape: Shape,
    offset: usize,
    initial: Initial,
}

/// Names, shapes and places of a model's parameters in one flat state named [`Parameters::STATE`].
///
/// Each begins at a multiple of 64 elements, which lets kernels bind it in place; the gaps hold
/// zeros.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Parameters {
    entries: Vec<Entry>,
    len: usize,
}

/// The parameters on one tape.
#[derive(Clone, Debug)]
pub struct Bound {
    vars: Vec<Var>,
}

impl Bound {
    /// The value of a parameter.
    pub fn get(&self, id: ParameterId) -> Var {
        self.vars[id.0]
    }

    /// All of them, in order.
    pub fn vars(&self) -> &[Var] {
        &self.vars
    }
}

const ALIGNMENT: usize = 64;

impl Parameters {
    /// The name of the state that holds them.
    pub const STATE: &'static str = "parameters";

    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter. Names are unique by construction: layers prefix theirs.
    pub fn add(&mut self, name: impl Into<String>, shape: Shape, initial: Initial) -> ParameterId {
        let name = name.into();
        debug_assert!(self.entries.iter().all(|e| e.name != name), "{name} twice");
        self.entries.push(Entry {
            name,
            shape,
            offset: self.len,
            initial,
        });
        self.len = (self.len + shape.elements()).next_multiple_of(ALIGNMENT);
        ParameterId(self.entries.len() - 1)
    }

    /// The number of trained numbers.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|e| e.shape.elements()).sum()
    }

    /// The shape of the flat state, gaps included.
    pub fn flat(&self) -> Shape {
        Shape::vector(self.len)
    }

    /// Name, shape and range in the flat state of each parameter.
    pub fn layout(&self) -> impl Iterator<Item = (&str, Shape, std::ops::Range<usize>)> {
        self.entries.iter().map(|e| {
            let range = e.offset..e.offset + e.shape.elements();
            (e.name.as_str(), e.shape, range)
        })
    }

    /// The range of one parameter in the flat state.
    pub fn range(&self, id: ParameterId) -> std::ops::Range<usize> {
        let entry = &self.entries[id.0];
        entry.offset..entry.offset + entry.shape.elements()
    }

    /// Initial values, from a seed; the same on every platform.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.len];
        for (stream, entry) in self.entries.iter().enumerate() {
            let part = &mut values[entry.offset..][..entry.shape.elements()];
            match entry.initial {
                Initial::Constant(c) => part.fill(c),
                Initial::Normal { variance } => {
                    let draw = Draw::new(seed, stream as u32);
                    let normal = random::normal(draw, part.len());
                    for (value, z) in part.iter_mut().zip(normal) {
                        *value = (variance.sqrt() * z) as f32;
                    }
                }
            }
        }
        values
    }

    /// Records the parameters as views of the flat state.
    ///
    /// # Errors
    /// None in practice.
    pub fn bind(&self, tape: &mut Tape) -> Result<(Var, Bound)> {
        let flat = tape.state(Self::STATE, self.flat());
        let vars = self
            .entries
            .iter()
            .map(|e| {
                let part = tape.slice(flat, 3, e.offset, e.shape.elements())?;
                tape.reshape(part, e.shape)
            })
            .collect::<Result<_>>()?;
        Ok((flat, Bound { vars }))
    }

    /// Joins the parameters' gradients in the layout of the flat state.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one gradient of the right shape for each parameter.
    pub fn pack(&self, tape: &mut Tape, gradients: &[Var]) -> Result<Var> {
        if gradients.len() != self.entries.len() {
            return Err(Error::shape(
                "pack",
                format!(
                    "{} gradients for {} parameters",
                    gradients.len(),
                    self.entries.len()
                ),
            ));
        }
        let mut parts = Vec::new();
        for (k, (entry, &gradient)) in self.entries.iter().zip(gradients).enumerate() {
            let len = entry.shape.elements();
            parts.push(tape.reshape(gradient, Shape::vector(len))?);
            let end = self.entries.get(k + 1).map_or(self.len, |e| e.offset);
            let gap = end - entry.offset - len;
            if gap > 0 {
                parts.push(tape.constant(Shape::vector(gap), vec![0.0; gap])?);
            }
        }
        tape.concat(&parts, 3)
    }
}
