//! Classical reconstruction, recorded on the tape and run on the device.
//!
//! Filtered back-projection ([`Fbp`]) and zero filling ([`pseudo_inverse`]) are one pass. The
//! iterative methods ([`Tv`], [`Cgls`],
//! [`Landweber`]) keep their iterates in states: one plan of a few iterations is replayed, and nothing
//! is read back but two numbers per image when progress is measured.
//!
//! The iterative methods divide the operator and the data by `||A||`, so their weights mean about the
//! same for every geometry and unit of the measurement. Images of a batch do not influence each
//! other, except that all go on until the last of them has converged.

mod direct;
mod least_squares;
mod tv;

pub use direct::{Fbp, pseudo_inverse, root_sum_of_squares};
pub use least_squares::{Cgls, Landweber};
pub use tv::Tv;

use crate::config::within;
use crate::error::{Error, Result};
use crate::operators::{LinearOperator, diagnostics};
use crate::shape::Shape;
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Tape, Var};

/// Where an iteration stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Progress {
    /// Iterations done.
    pub iteration: usize,
    /// The objective, summed over the batch.
    pub objective: f64,
    /// What the stopping rule compares with the tolerance: the worst in the batch.
    pub criterion: f64,
}

/// What an iterative method found.
#[derive(Clone, PartialEq, Debug)]
pub struct Solution {
    /// The images, N times the operator's domain.
    pub images: Vec<f32>,
    /// Every measurement of progress; the last one belongs to `images`.
    pub history: Vec<Progress>,
}

/// Replays at most so many iterations at once.
const BLOCK: usize = 10;
/// Progress is measured about every so many iterations.
const CHECK: usize = 50;

/// When an iteration ends: [`Stopping::of`] checks the numbers.
#[derive(Clone, Copy)]
struct Stopping {
    iterations: usize,
    tolerance: f64,
}

impl Stopping {
    /// # Errors
    /// [`Error::Config`] that names the key of `method`.
    fn of(method: &str, iterations: usize, tolerance: f64) -> Result<Self> {
        within(&format!("{method}.iterations"), iterations, 1..=10_000_000)?;
        within(&format!("{method}.tolerance"), tolerance, 0.0..=1.0)?;
        Ok(Stopping {
            iterations,
            tolerance,
        })
    }
}

/// Refuses data that are not `n` finite measurements of `operator`.
fn check_measurements(operator: &dyn LinearOperator, y: &[f32], n: usize) -> Result<()> {
    let range = operator.range();
    if n == 0 || y.len() != n * range.elements() {
        return Err(Error::data(
            "measurements",
            format!(
                "{} values, but {n} measurements of shape {range} have {}; give whole measurements of the operator {}",
                y.len(),
                n * range.elements(),
                operator.name()
            ),
        ));
    }
    if let Some(at) = y.iter().position(|v| !v.is_finite()) {
        return Err(Error::NotFinite(format!(
            "element {at} of the measurements is {}; remove or repair it",
            y[at]
        )));
    }
    Ok(())
}

/// `A / ||A||` with data `y / ||A||` for a batch, and the states of an iteration.
struct Scaled<'o> {
    operator: &'o dyn LinearOperator,
    scale: f32,
    n: usize,
    store: Store,
}

/// One state of an iteration: its name and shape. It starts at zero unless written.
type State = (&'static str, Shape);

impl<'o> Scaled<'o> {
    /// Uploads the data.
    ///
    /// # Errors
    /// [`Error::Data`] if `y` does not hold `n` finite measurements; [`Error::Config`] if the
    /// operator is zero.
    fn new(operator: &'o dyn LinearOperator, store: &Store, y: &[f32], n: usize) -> Result<Self> {
        check_measurements(operator, y, n)?;
        // States of this iteration alone.
        let store = Store::new(store.gpu());
        let norm = diagnostics::norm(operator, &store, 100)?;
        if !(norm > 0.0 && norm.is_finite()) {
            return Err(Error::Config(format!(
                "the norm of the operator {} is {norm}: nothing can be reconstructed from its measurements; check the geometry",
                operator.name()
            )));
        }
        let scaled = Scaled {
            operator,
            scale: (1.0 / norm) as f32,
            n,
            store,
        };
        let y: Vec<f32> = y.iter().map(|v| v * scaled.scale).collect();
        scaled.store.write("y", scaled.range(), &y)?;
        Ok(scaled)
    }

    fn domain(&self) -> Shape {
        self.operator.domain().with(0, self.n)
    }

    fn range(&self) -> Shape {
        self.operator.range().with(0, self.n)
    }

    /// One number for each image.
    fn per_image(&self) -> Shape {
        Shape::new(self.n, 1, 1, 1)
    }

    fn y(&self, tape: &mut Tape) -> Var {
        tape.state("y", self.range())
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let y = self.operator.forward(tape, x)?;
        Ok(tape.scale(y, self.scale))
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let x = self.operator.adjoint(tape, y)?;
        Ok(tape.scale(x, self.scale))
    }

    /// `y - A u`.
    fn residual(&self, tape: &mut Tape, u: Var) -> Result<Var> {
        let y = self.y(tape);
        let au = self.forward(tape, u)?;
        tape.sub(y, au)
    }

    /// `<a, b>` of each image.
    fn dot(&self, tape: &mut Tape, a: Var, b: Var) -> Result<Var> {
        let product = tape.mul(a, b)?;
        tape.sum(product, self.per_image())
    }

    /// Iterates `step`, which records one iteration from the states' values to their new values,
    /// until `stopping` says so. The first state is the image. `measure` records the objective and
    /// the criterion of each image.
    fn iterate<const S: usize>(
        &self,
        states: [State; S],
        step: impl Fn(&mut Tape, [Var; S]) -> Result<[Var; S]>,
        measure: impl Fn(&mut Tape, [Var; S]) -> Result<[Var; 2]>,
        stopping: Stopping,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Solution> {
        // The largest block that the number of iterations is a multiple of.
        let divides = |d: &usize| stopping.iterations.is_multiple_of(*d);
        let block = (1..=BLOCK).rev().find(divides).unwrap_or(1);
        let record = |tape: &mut Tape| states.map(|(name, shape)| tape.state(name, shape));

        let mut tape = Tape::new();
        let old = record(&mut tape);
        let mut values = old;
        for _ in 0..block {
            values = step(&mut tape, values)?;
        }
        let mut updates = Vec::with_capacity(S);
        for (old, new) in old.into_iter().zip(values) {
            updates.push(tape.assign(old, new)?);
        }
        let iteration = Plan::compile(&tape, &updates, &self.store, Options::tuned())?;

        let mut tape = Tape::new();
        let values = record(&mut tape);
        let [objective, criterion] = measure(&mut tape, values)?;
        let outputs = [objective, criterion];
        let measurement = Plan::compile(&tape, &outputs, &self.store, Options::tuned())?;

        let mut history = Vec::new();
        let mut done = 0;
        while done < stopping.iterations {
            iteration.submit();
            done += block;
            let due = done / block % CHECK.div_ceil(block) == 0;
            if !due && done < stopping.iterations {
                continue;
            }
            measurement.submit();
            let objective = measurement.read(objective)?;
            let criterion = measurement.read(criterion)?;
            let now = Progress {
                iteration: done,
                objective: objective.iter().copied().map(f64::from).sum(),
                criterion: (criterion.iter().copied().map(f64::from)).fold(0.0, f64::max),
            };
            // `max` drops NaN: look at every value.
            if !objective.iter().chain(&criterion).all(|v| v.is_finite()) {
                return Err(Error::NotFinite(format!(
                    "the objective or its stopping criterion after {done} iterations; check the scale of the measurements and the weight"
                )));
            }
            history.push(now);
            progress(now);
            if now.criterion <= stopping.tolerance {
                break;
            }
        }
        Ok(Solution {
            images: self.store.read(states[0].0)?,
            history,
        })
    }
}
