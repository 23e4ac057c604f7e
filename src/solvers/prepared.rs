//! Compiled iterations: the replayed plans, stopping and progress.

use super::run::Run;
use crate::config::within;
use crate::error::{Error, Result};
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
    pub criterion: f64,
    objective: f64,
}

/// Records the new values of an iteration's states.
type Map<'m, const S: usize> = dyn Fn(&mut Tape, [Var; S]) -> Result<[Var; S]> + 'm;

/// Records what is measured of an iteration's states.
type Measure<'m, const S: usize> = dyn Fn(&mut Tape, [Var; S]) -> Result<Measures> + 'm;

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
    /// The states for an image that came from outside: made once.
    pub enter: Option<&'m Map<'m, S>>,
    /// What changes with the weight: made before each run of the iteration.
    pub begin: Option<&'m Map<'m, S>>,
    /// One iteration, from the states' values to their new values.
    pub step: &'m Map<'m, S>,
    pub measure: &'m Measure<'m, S>,
}

impl<'m, const S: usize> Recipe<'m, S> {
    /// A method without weight whose states need no preparation, for `(iterations, tolerance)`.
    pub fn new(
        method: &'static str,
        (iterations, tolerance): (usize, f64),
        states: [State; S],
        step: &'m Map<'m, S>,
        measure: &'m Measure<'m, S>,
    ) -> Self {
        Recipe {
            method,
            iterations,
            tolerance,
            weight: None,
            states,
            block: usize::MAX,
            enter: None,
            begin: None,
            step,
            measure,
        }
    }
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
    pub(super) fn new<const S: usize>(run: &'r Run<'r>, recipe: Recipe<'_, S>) -> Result<Self> {
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

        let mapped = |map: &Map<'_, S>| -> Result<Plan> {
            let mut tape = Tape::new();
            let old = record(&mut tape);
            let new = map(&mut tape, old)?;
            let updates = assign(&mut tape, old, new)?;
            compile(&tape, &updates)
        };
        if let (Some(enter), Some(_)) = (recipe.enter, &run.start) {
            mapped(enter)?.submit();
        }
        let begin = recipe.begin.map(mapped).transpose()?;

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

    /// The criterion at which it stops; 0 for all iterations.
    pub(super) fn tolerance(&self) -> f64 {
        self.tolerance
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
