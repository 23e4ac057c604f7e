//! What the iterative methods share: the measurements, the replayed plans, stopping and progress.

use super::TINY;
use crate::config::within;
use crate::error::{Error, Result};
use crate::operators::{LinearOperator, diagnostics};
use crate::shape::Shape;
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Binary, Tape, Unary, Var};
use std::fmt;
use std::time::Instant;

/// Replays at most so many iterations at once.
const BLOCK: usize = 10;
/// Progress is measured about every so many iterations, unless a run says otherwise.
const EVERY: usize = 50;
/// An objective so many times as large as at the start, or as that of the zero image, has diverged.
const DIVERGED: f64 = 1e4;

/// Where an iteration stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Progress {
    /// Iterations done.
    pub iteration: usize,
    /// The objective, summed over the batch.
    pub objective: f64,
    /// `|A u - y|` relative to `|y|`, over the whole batch.
    pub residual: f64,
    /// What the stopping rule compares with the tolerance: the worst in the batch.
    pub criterion: f64,
    /// Seconds since the iteration began.
    pub seconds: f64,
}

/// Why an iteration ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The criterion is at most the tolerance.
    Converged,
    /// The residual of every image is at most the noise.
    Discrepancy,
    /// All iterations were made.
    Iterations,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stop::Converged => "converged",
            Stop::Discrepancy => "discrepancy",
            Stop::Iterations => "iterations",
        })
    }
}

/// What an iterative method found.
#[derive(Clone, PartialEq, Debug)]
pub struct Solution {
    /// The images, N times the operator's domain.
    pub images: Vec<f32>,
    /// Every measurement of progress, from iteration 0 on; the last one belongs to `images`.
    pub history: Vec<Progress>,
    /// Why it ended.
    pub stop: Stop,
}

/// Refuses data that are not `n` finite measurements of `operator`.
pub(super) fn check_measurements(operator: &dyn LinearOperator, y: &[f32], n: usize) -> Result<()> {
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
    check_finite("measurements", y)
}

fn check_finite(what: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite(format!(
            "element {at} of the {what} is {}; remove or repair it",
            values[at]
        ))),
    }
}

/// Measurements to reconstruct from, and how an iteration on them goes: where it starts, at which
/// residual it stops, how often it looks.
///
/// Methods see `A / ||A||` and `y / ||A||`.
pub struct Run<'o> {
    operator: &'o dyn LinearOperator,
    store: Store,
    norm: f64,
    n: usize,
    /// `y / ||A||`.
    y: Vec<f32>,
    start: Option<Vec<f32>>,
    /// `noise / ||A||`.
    noise: Option<f64>,
    every: Option<usize>,
}

impl<'o> Run<'o> {
    /// The `n` measurements `y` (N times the operator's range), from a zero image.
    ///
    /// # Errors
    /// [`Error::Data`] if `y` does not hold `n` measurements; [`Error::NotFinite`] if one is NaN or
    /// infinite; [`Error::Config`] if the operator is zero; those of running the operator.
    pub fn new(
        operator: &'o dyn LinearOperator,
        store: &Store,
        y: &[f32],
        n: usize,
    ) -> Result<Self> {
        check_measurements(operator, y, n)?;
        let norm = diagnostics::norm(operator, &Store::new(store.gpu()), 100)?;
        if !(norm > 0.0 && norm.is_finite()) {
            return Err(Error::Config(format!(
                "the norm of the operator {} is {norm}: nothing can be reconstructed from its measurements; check the geometry",
                operator.name()
            )));
        }
        let scale = (1.0 / norm) as f32;
        Ok(Run {
            operator,
            store: store.clone(),
            norm,
            n,
            y: y.iter().map(|v| v * scale).collect(),
            start: None,
            noise: None,
            every: None,
        })
    }

    /// The same from `images` (N times the operator's domain) instead of zero.
    ///
    /// # Errors
    /// [`Error::Data`] if there are not as many images as measurements; [`Error::NotFinite`].
    pub fn starting_at(self, images: &[f32]) -> Result<Self> {
        let domain = self.domain();
        if images.len() != domain.elements() {
            return Err(Error::data(
                "start images",
                format!(
                    "{} values, but {} images of shape {} have {}; give one image for each measurement",
                    images.len(),
                    self.n,
                    self.operator.domain(),
                    domain.elements()
                ),
            ));
        }
        check_finite("start images", images)?;
        Ok(Run {
            start: Some(images.to_vec()),
            ..self
        })
    }

    /// The same, but each image rests as soon as `|A u - y| <= noise`, in the unit of the measurement
    /// (Morozov's discrepancy principle as a stopping rule). For methods whose number of iterations
    /// regularises.
    ///
    /// # Errors
    /// [`Error::Config`] unless `noise` is positive.
    pub fn until_residual(self, noise: f64) -> Result<Self> {
        Ok(Run {
            noise: Some(self.in_run(noise)?),
            ..self
        })
    }

    /// The same with progress measured about every so many iterations. Each time costs about as much
    /// as one iteration.
    ///
    /// # Errors
    /// [`Error::Config`] for 0.
    pub fn looking_every(self, iterations: usize) -> Result<Self> {
        within("the iterations between looks", iterations, 1..=10_000_000)?;
        Ok(Run {
            every: Some(iterations),
            ..self
        })
    }

    /// `||A||`, by power iteration.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// The number of measurements.
    pub fn count(&self) -> usize {
        self.n
    }

    /// A norm of measurements in the unit that methods see.
    pub(super) fn in_run(&self, noise: f64) -> Result<f64> {
        if noise > 0.0 && noise.is_finite() {
            return Ok(noise / self.norm);
        }
        Err(Error::Config(format!(
            "the noise's norm is {noise}: give a positive number in the unit of the measurements"
        )))
    }

    /// `|y|` of each measurement, in the unit that methods see.
    pub(super) fn lengths(&self) -> impl Iterator<Item = f64> {
        let square = |y: &[f32]| y.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        let item = self.operator.range().elements();
        self.y.chunks(item).map(move |y| square(y).sqrt())
    }

    pub(super) fn store(&self) -> Store {
        Store::new(self.store.gpu())
    }

    pub(super) fn operator(&self) -> &dyn LinearOperator {
        self.operator
    }

    pub(super) fn domain(&self) -> Shape {
        self.operator.domain().with(0, self.n)
    }

    pub(super) fn range(&self) -> Shape {
        self.operator.range().with(0, self.n)
    }

    /// One number for each image.
    pub(super) fn per_image(&self) -> Shape {
        Shape::new(self.n, 1, 1, 1)
    }

    pub(super) fn y(&self, tape: &mut Tape) -> Var {
        tape.state("y", self.range())
    }

    /// The weight of each image.
    pub(super) fn weight(&self, tape: &mut Tape) -> Var {
        tape.state("weight", self.per_image())
    }

    pub(super) fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let y = self.operator.forward(tape, x)?;
        Ok(tape.scale(y, (1.0 / self.norm) as f32))
    }

    pub(super) fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let x = self.operator.adjoint(tape, y)?;
        Ok(tape.scale(x, (1.0 / self.norm) as f32))
    }

    /// `y - A u`.
    pub(super) fn residual(&self, tape: &mut Tape, u: Var) -> Result<Var> {
        let y = self.y(tape);
        let au = self.forward(tape, u)?;
        tape.sub(y, au)
    }

    /// `<a, b>` of each image.
    pub(super) fn dot(&self, tape: &mut Tape, a: Var, b: Var) -> Result<Var> {
        let product = tape.mul(a, b)?;
        tape.sum(product, self.per_image())
    }

    /// `|x| / |A^T y|` of each image.
    pub(super) fn relative_to_start(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let y = self.y(tape);
        let start = self.adjoint(tape, y)?;
        self.ratio(tape, x, start)
    }

    /// `|a| / |b|` of each image.
    pub(super) fn ratio(&self, tape: &mut Tape, a: Var, b: Var) -> Result<Var> {
        let squares = [self.dot(tape, a, a)?, self.dot(tape, b, b)?];
        let divisor = tape.unary(Unary::AtLeast(TINY), squares[1]);
        let ratio = tape.div(squares[0], divisor)?;
        Ok(tape.unary(Unary::Sqrt, ratio))
    }

    /// `u` after so many steps of conjugate gradients for `normal(u) = b`, `normal` symmetric and positive.
    pub(super) fn descended(
        &self,
        tape: &mut Tape,
        mut u: Var,
        b: Var,
        steps: usize,
        normal: impl Fn(&mut Tape, Var) -> Result<Var>,
    ) -> Result<Var> {
        let now = normal(tape, u)?;
        let mut r = tape.sub(b, now)?;
        let mut p = r;
        let mut gamma = self.dot(tape, r, r)?;
        for _ in 0..steps {
            let q = normal(tape, p)?;
            let delta = self.dot(tape, p, q)?;
            let delta = tape.unary(Unary::AtLeast(TINY), delta);
            let alpha = tape.div(gamma, delta)?;
            let du = tape.mul(alpha, p)?;
            u = tape.add(u, du)?;
            let dr = tape.mul(alpha, q)?;
            r = tape.sub(r, dr)?;
            let next = self.dot(tape, r, r)?;
            let before = tape.unary(Unary::AtLeast(TINY), gamma);
            let beta = tape.div(next, before)?;
            let along = tape.mul(beta, p)?;
            p = tape.add(r, along)?;
            gamma = next;
        }
        Ok(u)
    }

    /// `x`, or its part that is not negative.
    pub(super) fn constrained(&self, tape: &mut Tape, x: Var, nonnegative: bool) -> Var {
        match nonnegative {
            true => tape.unary(Unary::AtLeast(0.0), x),
            false => x,
        }
    }

    /// Refuses the constraint `u >= 0` for complex images.
    pub(super) fn check_sign(&self, method: &str, nonnegative: bool) -> Result<()> {
        if nonnegative && self.domain().c() != 1 {
            return Err(Error::Config(format!(
                "{method}.nonnegative: the images of the operator {} are complex and have no sign; leave it out",
                self.operator.name()
            )));
        }
        Ok(())
    }
}

/// One state of an iteration: its name, its shape, and the value that fills it at first.
pub(super) struct State(pub &'static str, pub Shape, pub f32);

/// What is measured of the images, each one number per image.
pub(super) struct Measures {
    pub objective: Var,
    pub criterion: Var,
    /// `|A u - y|^2`.
    pub square: Var,
    /// The penalty without its weight.
    pub penalty: Option<Var>,
}

/// The numbers of one image: `Measures`, read back.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    pub residual: f64,
    pub penalty: f64,
    objective: f64,
    criterion: f64,
}

/// Records the new values of an iteration's states.
type Map<'m, const S: usize> = dyn Fn(&mut Tape, [Var; S]) -> Result<[Var; S]> + 'm;

/// What a method records of its iteration. The first state is the image.
pub(super) struct Recipe<'m, const S: usize> {
    pub method: &'static str,
    /// Iterations at most, and the criterion at which it ends before.
    pub iterations: usize,
    pub tolerance: f64,
    /// The weight in front of the penalty, if the method has one.
    pub weight: Option<f64>,
    pub states: [State; S],
    /// Iterations that are compiled into one plan, at most.
    pub block: usize,
    /// The states for an image and a weight that came from outside.
    pub begin: Option<&'m Map<'m, S>>,
    /// One iteration, from the states' values to their new values.
    pub step: &'m Map<'m, S>,
    pub measure: &'m dyn Fn(&mut Tape, [Var; S]) -> Result<Measures>,
}

/// A compiled iteration. It may be run several times: the images stay where they are, so that each
/// run starts at what the last one found.
pub struct Prepared<'r> {
    run: &'r Run<'r>,
    method: &'static str,
    iterations: usize,
    tolerance: f64,
    weight: Option<f64>,
    image: &'static str,
    store: Store,
    begin: Option<Plan>,
    block: usize,
    iteration: Plan,
    measurement: Plan,
    /// `N 4 1 1`.
    table: Var,
}

impl<'r> Prepared<'r> {
    /// Compiles the plans and writes the states.
    pub(super) fn new<const S: usize>(run: &'r Run<'r>, recipe: &Recipe<'_, S>) -> Result<Self> {
        let method = recipe.method;
        let iterations = within(
            &format!("{method}.iterations"),
            recipe.iterations,
            1..=10_000_000,
        )?;
        within(&format!("{method}.tolerance"), recipe.tolerance, 0.0..=1.0)?;
        // States of this iteration alone.
        let store = run.store();
        store.write("y", run.range(), &run.y)?;
        for State(name, shape, value) in &recipe.states {
            store.write(name, *shape, &vec![*value; shape.elements()])?;
        }
        let image = recipe.states[0].0;
        if let Some(start) = &run.start {
            store.write(image, run.domain(), start)?;
        }
        store.write("moves", run.per_image(), &vec![1.0; run.n])?;
        if let Some(weight) = recipe.weight {
            store.write("weight", run.per_image(), &vec![weight as f32; run.n])?;
        }
        let record = |tape: &mut Tape| {
            let states = recipe.states.each_ref();
            states.map(|State(name, shape, _)| tape.state(name, *shape))
        };
        let compile =
            |tape: &Tape, outputs: &[Var]| Plan::compile(tape, outputs, &store, Options::tuned());
        let assign = |tape: &mut Tape, old: [Var; S], new: [Var; S]| -> Result<Vec<Var>> {
            let pairs = old.into_iter().zip(new).filter(|(old, new)| old != new);
            pairs.map(|(old, new)| tape.assign(old, new)).collect()
        };

        let begin = match recipe.begin {
            None => None,
            Some(begin) => {
                let mut tape = Tape::new();
                let old = record(&mut tape);
                let new = begin(&mut tape, old)?;
                let updates = assign(&mut tape, old, new)?;
                Some(compile(&tape, &updates)?)
            }
        };

        // The largest block that the number of iterations is a multiple of.
        let largest = recipe.block.min(BLOCK).min(run.every.unwrap_or(BLOCK));
        let largest = match run.noise {
            // Looks fall where images are to rest.
            Some(_) => largest.min(every(run, iterations)),
            None => largest,
        };
        let divides = |d: &usize| iterations.is_multiple_of(*d);
        let block = (1..=largest).rev().find(divides).unwrap_or(1);
        let mut tape = Tape::new();
        let old = record(&mut tape);
        let mut values = old;
        for _ in 0..block {
            values = (recipe.step)(&mut tape, values)?;
        }
        if run.noise.is_some() {
            // Images below the noise rest: of the factors one is 1 and the other 0, so that the
            // result is one of both to the bit.
            let moves = tape.state("moves", run.per_image());
            let rests = tape.scale(moves, -1.0);
            let rests = tape.unary(Unary::Offset(1.0), rests);
            for (value, old) in values.iter_mut().zip(old) {
                let moved = tape.mul(*value, moves)?;
                let rested = tape.mul(old, rests)?;
                *value = tape.add(moved, rested)?;
            }
        }
        let updates = assign(&mut tape, old, values)?;
        let iteration = compile(&tape, &updates)?;

        let mut tape = Tape::new();
        let values = record(&mut tape);
        let measures = (recipe.measure)(&mut tape, values)?;
        let penalty = match measures.penalty {
            Some(penalty) => penalty,
            None => tape.constant(run.per_image(), vec![0.0; run.n])?,
        };
        let columns = [
            measures.objective,
            measures.criterion,
            measures.square,
            penalty,
        ];
        let table = tape.concat(&columns, 1)?;
        let mut outputs = vec![table];
        if let Some(noise) = run.noise {
            let moves = tape.state("moves", run.per_image());
            let level = tape.scalar((noise * noise) as f32);
            let above = tape.binary(Binary::Greater, measures.square, level)?;
            let still = tape.mul(moves, above)?;
            outputs.push(tape.assign(moves, still)?);
        }
        let measurement = compile(&tape, &outputs)?;
        Ok(Prepared {
            run,
            method,
            iterations,
            tolerance: recipe.tolerance,
            weight: recipe.weight,
            image,
            store,
            begin,
            block,
            iteration,
            measurement,
            table,
        })
    }

    pub(super) fn run_of(&self) -> &'r Run<'r> {
        self.run
    }

    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    /// The weight that the method was given.
    ///
    /// # Errors
    /// [`Error::Config`] if it has none.
    pub(super) fn weight(&self) -> Result<f64> {
        self.weight.ok_or_else(|| {
            Error::Config(format!(
                "{} has no weight that could be chosen: its number of iterations regularises; use the discrepancy as its stopping rule, or tikhonov, tv, tgv, fista or admm",
                self.method
            ))
        })
    }

    /// Gives each image a weight of its own.
    ///
    /// # Errors
    /// [`Error::Config`] if the method has none, or one is not positive; [`Error::Shape`] unless
    /// there is one for each image.
    pub fn set_weights(&self, weights: &[f64]) -> Result<()> {
        self.weight()?;
        for &weight in weights {
            within(&format!("{}.weight", self.method), weight, 1e-12..=1e6)?;
        }
        let weights: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
        self.store.write("weight", self.run.per_image(), &weights)
    }

    /// Iterates until the criterion of every image is at most the tolerance, or the run's noise level
    /// is reached, or all iterations are made. `progress` hears of every look.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a NaN or an infinity arises; [`Error::Data`] if the iteration
    /// diverges; [`Error::Device`].
    pub fn iterate(&self, progress: &mut dyn FnMut(Progress)) -> Result<Solution> {
        Ok(self.iterate_measured(progress)?.0)
    }

    /// Fills a state that the iteration reads and does not change.
    pub(super) fn write(&self, name: &str, shape: Shape, values: &[f32]) -> Result<()> {
        self.store.write(name, shape, values)
    }

    /// As [`Prepared::iterate`], with the numbers of each image at the end.
    pub(super) fn iterate_measured(
        &self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Solution, Vec<Measured>)> {
        let started = Instant::now();
        let ones = vec![1.0; self.run.n];
        self.store.write("moves", self.run.per_image(), &ones)?;
        if let Some(begin) = &self.begin {
            begin.submit();
        }
        let zero: f64 = self.run.lengths().map(|y| 0.5 * y * y).sum();
        let every = every(self.run, self.iterations).div_ceil(self.block);
        let mut history: Vec<Progress> = Vec::new();
        let mut done = 0;
        let (stop, measured) = loop {
            let measured = self.measure(done)?;
            let now = self.progress(&measured, done, started.elapsed().as_secs_f64());
            let first = history.first().map_or(0.0, |first| first.objective);
            if done > 0 && now.objective > DIVERGED * zero.max(first) {
                return Err(Error::data(
                    "measurements",
                    format!(
                        "{} diverges: after {done} iterations its objective is {:.1e}, and at first it was {:.1e}; the operator's adjoint may not be its transpose, or the step may be too long",
                        self.method,
                        now.objective,
                        zero.max(first)
                    ),
                ));
            }
            history.push(now);
            progress(now);
            let explained = |noise: f64| measured.iter().all(|m| m.residual <= noise);
            if self.run.noise.is_some_and(explained) {
                break (Stop::Discrepancy, measured);
            }
            if done > 0 && now.criterion <= self.tolerance {
                break (Stop::Converged, measured);
            }
            if done == self.iterations {
                break (Stop::Iterations, measured);
            }
            // As far as the next look.
            for _ in 0..every {
                self.iteration.submit();
                done += self.block;
                if done == self.iterations {
                    break;
                }
            }
        };
        let solution = Solution {
            images: self.store.read(self.image)?,
            history,
            stop,
        };
        Ok((solution, measured))
    }

    fn measure(&self, done: usize) -> Result<Vec<Measured>> {
        self.measurement.submit();
        let table = self.measurement.read(self.table)?;
        if !table.iter().all(|v| v.is_finite()) {
            return Err(Error::NotFinite(format!(
                "the objective or the stopping criterion of {} after {done} iterations; check the scale of the measurements and the weight",
                self.method
            )));
        }
        let rows = table.as_chunks::<4>().0.iter();
        let rows = rows.map(|row| {
            let [objective, criterion, square, penalty] = row.map(f64::from);
            Measured {
                residual: square.max(0.0).sqrt(),
                penalty,
                objective,
                criterion,
            }
        });
        Ok(rows.collect())
    }

    fn progress(&self, measured: &[Measured], iteration: usize, seconds: f64) -> Progress {
        let sum = |f: fn(&Measured) -> f64| measured.iter().map(f).sum::<f64>();
        let data: f64 = self.run.lengths().map(|y| y * y).sum();
        let square = sum(|m| m.residual * m.residual);
        Progress {
            iteration,
            objective: sum(|m| m.objective),
            residual: match data > 0.0 {
                true => (square / data).sqrt(),
                false => square.sqrt(),
            },
            criterion: (measured.iter().map(|m| m.criterion)).fold(0.0, f64::max),
            seconds,
        }
    }
}

/// How often progress is measured. An image that is to rest at the noise must not go far beyond.
fn every(run: &Run, iterations: usize) -> usize {
    run.every.unwrap_or(match run.noise {
        Some(_) => (iterations / 100).clamp(1, EVERY),
        None => EVERY,
    })
}
