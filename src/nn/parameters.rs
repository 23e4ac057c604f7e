//! All parameters of a model in one flat vector, so that one kernel updates them.

use crate::error::{Error, Result};
use crate::reference::random::{self, Draw};
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use std::ops::Range;

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

/// A running statistic of a model, by its place in [`Parameters`]: a number that training updates
/// and that has no gradient.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StatisticId(usize);

/// The place that the parameters of one network have among those of another, of which it is a part:
/// see [`Parameters::append`].
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    entries: Range<usize>,
    statistics: Range<usize>,
    /// Of the flat state.
    flat: Range<usize>,
}

#[derive(Clone, PartialEq, Debug)]
struct Statistic {
    name: String,
    shape: Shape,
    initial: f32,
}

#[derive(Clone, PartialEq, Debug)]
struct Entry {
    name: String,
    shape: Shape,
    offset: usize,
    initial: Initial,
}

/// Names, shapes and places of a model's parameters in one flat state named [`Parameters::STATE`],
/// and its running statistics, each a state of its own name.
///
/// Each parameter begins at a multiple of 64 elements, which lets kernels bind it in place; the gaps
/// hold zeros. On the host the statistics follow the flat state: a model's *values* are both.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Parameters {
    entries: Vec<Entry>,
    len: usize,
    statistics: Vec<Statistic>,
}

/// The parameters on one tape, and whether it trains them.
#[derive(Clone, Debug)]
pub struct Bound {
    vars: Vec<Var>,
    statistics: Vec<Var>,
    /// The number of the random draws of a training step.
    draw: Option<Var>,
    /// What a part adds to the streams of its layers, so that no two layers draw alike.
    stream: u32,
}

impl Bound {
    /// The value of a parameter.
    pub fn get(&self, id: ParameterId) -> Var {
        self.vars[id.0]
    }

    /// The value of a running statistic.
    pub fn statistic(&self, id: StatisticId) -> Var {
        self.statistics[id.0]
    }

    /// For a training step whose random numbers are those of `draw`, a scalar holding an integer
    /// below 2^24: layers drop fields, and normalise by the batch.
    pub fn in_training(mut self, draw: Var) -> Self {
        self.draw = Some(draw);
        self
    }

    /// This is a training step.
    pub fn training(&self) -> bool {
        self.draw.is_some()
    }

    /// The number of a training step's random draws.
    pub fn draw(&self) -> Option<Var> {
        self.draw
    }

    /// The stream from which a layer draws whose own is `stream`.
    pub fn stream(&self, stream: u32) -> u32 {
        self.stream.wrapping_add(stream)
    }

    /// All of them, in order.
    pub fn vars(&self) -> &[Var] {
        &self.vars
    }

    /// The parameters of a part, as the part itself knows them. Its random draws are those of its
    /// application number `application`: another one for each time that a part is applied.
    pub fn part(&self, part: &Part, application: usize) -> Bound {
        Bound {
            vars: self.vars[part.entries.clone()].to_vec(),
            statistics: self.statistics[part.statistics.clone()].to_vec(),
            draw: self.draw,
            stream: self.stream(application as u32 * STREAMS),
        }
    }
}

/// Streams of random numbers that a part may use.
const STREAMS: u32 = 1 << 12;

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

    /// Adds a running statistic that starts at `initial` everywhere.
    pub fn add_statistic(
        &mut self,
        name: impl Into<String>,
        shape: Shape,
        initial: f32,
    ) -> StatisticId {
        self.statistics.push(Statistic {
            name: name.into(),
            shape,
            initial,
        });
        StatisticId(self.statistics.len() - 1)
    }

    /// Adds the parameters of `other` with names that begin with `NAME.`.
    pub fn append(&mut self, name: &str, other: &Parameters) -> Part {
        let (entries, statistics) = (self.entries.len(), self.statistics.len());
        let start = self.len;
        for entry in &other.entries {
            self.add(format!("{name}.{}", entry.name), entry.shape, entry.initial);
        }
        for s in &other.statistics {
            self.add_statistic(format!("{name}.{}", s.name), s.shape, s.initial);
        }
        Part {
            entries: entries..self.entries.len(),
            statistics: statistics..self.statistics.len(),
            flat: start..self.len,
        }
    }

    /// The ranges of a part's values among these, in the order in which the part has them.
    pub fn ranges(&self, part: &Part) -> impl Iterator<Item = Range<usize>> {
        let statistics = part.statistics.clone();
        let running = self.running().skip(statistics.start).take(statistics.len());
        std::iter::once(part.flat.clone()).chain(running.map(|(_, _, range)| range))
    }

    /// Whether training updates running statistics.
    pub fn has_statistics(&self) -> bool {
        !self.statistics.is_empty()
    }

    /// The number of trained numbers.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|e| e.shape.elements()).sum()
    }

    /// The shape of the flat state, gaps included.
    pub fn flat(&self) -> Shape {
        Shape::vector(self.len)
    }

    /// The number of a model's values: the flat state and after it the statistics.
    pub fn values(&self) -> usize {
        let statistics = self.statistics.iter().map(|s| s.shape.elements());
        self.len + statistics.sum::<usize>()
    }

    /// Name, shape and range in a model's values of each parameter and statistic.
    pub fn layout(&self) -> impl Iterator<Item = (&str, Shape, Range<usize>)> {
        let entries = self.entries.iter().map(|e| {
            let range = e.offset..e.offset + e.shape.elements();
            (e.name.as_str(), e.shape, range)
        });
        entries.chain(self.running())
    }

    /// The states of a model with their shapes and ranges in its values.
    pub fn states(&self) -> impl Iterator<Item = (&str, Shape, Range<usize>)> {
        std::iter::once((Self::STATE, self.flat(), 0..self.len)).chain(self.running())
    }

    fn running(&self) -> impl Iterator<Item = (&str, Shape, Range<usize>)> {
        self.statistics.iter().scan(self.len, |end, s| {
            let start = *end;
            *end += s.shape.elements();
            Some((s.name.as_str(), s.shape, start..*end))
        })
    }

    /// The range of one parameter in the flat state.
    pub fn range(&self, id: ParameterId) -> Range<usize> {
        let entry = &self.entries[id.0];
        entry.offset..entry.offset + entry.shape.elements()
    }

    /// Initial [values](Self::values), from a seed; the same on every platform.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.values()];
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
        for (statistic, (_, _, range)) in self.statistics.iter().zip(self.running()) {
            values[range].fill(statistic.initial);
        }
        values
    }

    /// Records the parameters as views of the flat state, for a network that is applied, not
    /// trained.
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
        let statistics = self.statistics.iter();
        let statistics = statistics.map(|s| tape.state(&s.name, s.shape)).collect();
        let bound = Bound {
            vars,
            statistics,
            draw: None,
            stream: 0,
        };
        Ok((flat, bound))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(size: usize) -> Parameters {
        let mut parameters = Parameters::new();
        let normal = Initial::Normal { variance: 1.0 };
        parameters.add("weight", Shape::vector(size), normal);
        parameters.add_statistic("mean", Shape::vector(2), 0.5);
        parameters.add("bias", Shape::vector(3), Initial::Constant(2.0));
        parameters
    }

    #[test]
    fn a_part_finds_its_own_among_the_whole() {
        let (first, second) = (parameters(70), parameters(5));
        let mut whole = Parameters::new();
        whole.add("step", Shape::SCALAR, Initial::Constant(7.0));
        let parts = [whole.append("0", &first), whole.append("1", &second)];
        let names: Vec<&str> = whole.layout().map(|(name, ..)| name).collect();
        let expected = [
            "step", "0.weight", "0.bias", "1.weight", "1.bias", "0.mean", "1.mean",
        ];
        assert_eq!(names, expected);
        let values: Vec<f32> = (0..whole.values()).map(|i| i as f32).collect();
        let mut tape = Tape::new();
        let (_, bound) = whole.bind(&mut tape).expect("binds");
        for (k, (part, own)) in parts.iter().zip([&first, &second]).enumerate() {
            // As many values as the part has, each at the place that the whole gives it.
            let found: Vec<f32> = whole
                .ranges(part)
                .flat_map(|r| values[r].to_vec())
                .collect();
            assert_eq!(found.len(), own.values());
            for (name, shape, range) in own.layout() {
                let name = format!("{k}.{name}");
                let mut all = whole.layout();
                let (_, there, at) = all.find(|(n, ..)| *n == name).expect("appended");
                assert_eq!(
                    (there, found[range.start]),
                    (shape, values[at.start]),
                    "{name}"
                );
            }
            let bound = bound.part(part, k);
            let shapes: Vec<Shape> = bound.vars().iter().map(|v| v.shape()).collect();
            let own: Vec<Shape> = own.entries.iter().map(|e| e.shape).collect();
            assert_eq!(shapes, own);
            assert_eq!(bound.statistic(StatisticId(0)).shape(), Shape::vector(2));
        }
        assert_ne!(
            bound.part(&parts[0], 0).stream(3),
            bound.part(&parts[0], 1).stream(3)
        );
        // Parts of one kind start with other weights.
        let initial = whole.initial(1);
        let starts = parts
            .each_ref()
            .map(|p| whole.ranges(p).next().expect("flat").start);
        assert_ne!(initial[starts[0]..][..5], initial[starts[1]..][..5]);
    }
}
