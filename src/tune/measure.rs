//! Candidates on the device: compared with the default, then timed.

use super::race::{self, median};
use super::records::{self, Record};
use super::subject::{Candidate, Subject};
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu};
use crate::kernels::{Dispatch, Lowered, Range, Slot, encode};
use crate::reference::random::{self, Draw};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The timings of one candidate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Its name.
    pub name: String,
    /// Milliseconds that compiling took.
    pub compile_ms: f64,
    /// Milliseconds of each sample that counts; none if the device refused the kernel.
    pub samples_ms: Vec<f64>,
}

impl Trial {
    /// The median time in milliseconds.
    pub fn median(&self) -> Option<f64> {
        median(&self.samples_ms)
    }
}

/// Milliseconds that a sample takes at least: short kernels are repeated in one submission.
const LONG_ENOUGH: f64 = 5.0;

/// How far a candidate's result may be from the default's, relative to the largest element. Both
/// carry their own rounding, in ray transforms of 512 pixels up to 1e-4; a term that is wrong
/// or missing shows as more than 1e-2 on random numbers.
const TOLERANCE: f64 = 5e-4;

/// Compares and times the candidates until the deadline, which the default does not have to keep.
/// With a record from `before`, which did not try them all, only those that are new to it, and once
/// more the default and the winner, because times of different runs do not compare; at least some of
/// the new ones, whatever the deadline. `None` if `tell`, which hears the name of each candidate,
/// returns false.
///
/// # Errors
/// [`Error::Shader`] that names the candidate whose result is not the default's; that the default
/// does not run; [`Error::OutOfMemory`]; [`Error::Device`].
pub(super) fn measure(
    gpu: &Gpu,
    subject: &Subject,
    before: Option<&Record>,
    deadline: Instant,
    tell: &mut dyn FnMut(&str) -> bool,
) -> Result<Option<Record>> {
    let arena = Arena::new(gpu, subject)?;
    let distinct = subject.distinct()?;
    let (order, certain) = order(subject, &distinct, before);
    let mut trials: Vec<Trial> = Vec::new();
    // Numbers of trials, and what runs them.
    let mut entrants: Vec<(usize, Entrant)> = Vec::new();
    let mut expected = Vec::new();
    let mut untried = order.as_slice();
    // The default alone; then as many at a time as compile at once.
    let mut together = 1;
    while !untried.is_empty() && (trials.len() < certain || Instant::now() < deadline) {
        let (chunk, rest) = untried.split_at(together.min(untried.len()));
        (untried, together) = (rest, threads());
        let chunk: Vec<&Candidate> = chunk.iter().map(|&i| &subject.candidates[i]).collect();
        for (candidate, compiled) in chunk.iter().zip(compile(gpu, &chunk)) {
            if !tell(&candidate.name) {
                return Ok(None);
            }
            let number = trials.len();
            let (compile_ms, refused) = match compiled {
                Ok(milliseconds) => (milliseconds, None),
                Err(e) => (0.0, Some(e)),
            };
            trials.push(Trial {
                name: candidate.name.clone(),
                compile_ms,
                samples_ms: Vec::new(),
            });
            match refused {
                Some(e) if number == 0 => return Err(e),
                Some(e) => {
                    log::warn!(
                        "{}: {} is left out: {e}",
                        subject.operation(),
                        candidate.name
                    );
                    continue;
                }
                None => {}
            }
            let mut entrant = arena.entrant(&candidate.lowered)?;
            let found = arena.result(&entrant)?;
            let verdict = match number {
                0 => complete(&found),
                _ => compare(&found, &expected),
            };
            verdict.map_err(|what| {
                Error::Shader(format!(
                    "the kernel variant '{}' of {} on {} is wrong: {what} (the default is '{}'); go on with --tune off if it is not the default, and please report this",
                    candidate.name,
                    subject.operation(),
                    gpu.label(),
                    subject.candidates[0].name
                ))
            })?;
            if number == 0 {
                expected = found;
            }
            let once = entrant.time(gpu)?;
            entrant.repetitions = (LONG_ENOUGH / once).ceil().clamp(1.0, 1000.0) as usize;
            entrants.push((number, entrant));
        }
    }
    if let Some((_, default)) = entrants.first() {
        gpu.warm_up(|| default.time(gpu))?;
    }
    let sample = |i: usize| {
        let (trial, entrant): &(usize, Entrant) = &entrants[i];
        if !tell(&trials[*trial].name) {
            return Ok(None);
        }
        entrant.time(gpu).map(Some)
    };
    let in_time = || Instant::now() < deadline;
    let Some(samples) = race::race(entrants.len(), sample, in_time)? else {
        return Ok(None);
    };
    let winner = entrants[race::winner(&samples)].0;
    for ((number, _), samples_ms) in entrants.iter().zip(samples) {
        trials[*number].samples_ms = samples_ms;
    }
    let winner = trials[winner].name.clone();
    let earlier = before.map_or(&[][..], |before| before.trials.as_slice());
    let trials: Vec<Trial> = (distinct.iter())
        .filter_map(|&i| {
            let named = |trial: &&Trial| trial.name == subject.candidates[i].name;
            let newest = trials.iter().chain(earlier).find(named);
            newest.cloned()
        })
        .collect();
    Ok(Some(Record {
        operation: subject.operation().into(),
        sources: records::key(subject)?,
        winner,
        complete: untried.is_empty(),
        trials,
    }))
}

/// What is measured, in this order: the default, the winner of `before`, and what is not in there;
/// and how many of them must be, whatever the deadline.
fn order(subject: &Subject, distinct: &[usize], before: Option<&Record>) -> (Vec<usize>, usize) {
    let name = |i: usize| subject.candidates[i].name.as_str();
    let again = |i: &usize| *i == distinct[0] || before.is_some_and(|b| b.winner == name(*i));
    let tried = |i: &usize| before.is_some_and(|b| b.trials.iter().any(|t| t.name == name(*i)));
    let mut order: Vec<usize> = distinct.iter().copied().filter(again).collect();
    let certain = order.len() + usize::from(before.is_some());
    let others = distinct.iter().copied();
    order.extend(others.filter(|i| !again(i) && !tried(i)));
    (order, certain)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Compiles each candidate on a thread of its own; the result is how long each took.
fn compile(gpu: &Gpu, candidates: &[&Candidate]) -> Vec<Result<f64>> {
    let one = |lowered: &Lowered| {
        let start = Instant::now();
        for launch in &lowered.launches {
            gpu.pipeline(launch.path, &launch.variant, launch.trust)?;
        }
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    std::thread::scope(|scope| {
        let start = |c: &&Candidate| {
            let lowered = c.lowered.clone();
            scope.spawn(move || one(&lowered))
        };
        let workers: Vec<_> = candidates.iter().map(start).collect();
        let join = workers.into_iter().map(|worker| {
            let panicked = Error::Device("a thread that compiled shaders panicked".into());
            worker.join().unwrap_or(Err(panicked))
        });
        join.collect()
    })
}

/// What is wrong with the default's result, by itself.
fn complete(found: &[f32]) -> Result<(), String> {
    match found.iter().position(|f| !f.is_finite()) {
        None => Ok(()),
        Some(i) => Err(format!("element {i} is {:e}", found[i])),
    }
}

/// What is wrong with `found`.
fn compare(found: &[f32], expected: &[f32]) -> Result<(), String> {
    let largest = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let bound = TOLERANCE * f64::from(largest);
    let wrong = (found.iter().zip(expected)).position(|(f, e)| {
        let error = (f64::from(*f) - f64::from(*e)).abs();
        // A NaN, such as an element that was not written, is wrong as well.
        error.is_nan() || error > bound
    });
    match wrong {
        None => Ok(()),
        Some(i) => Err(format!(
            "element {i} is {:e} instead of {:e}",
            found[i], expected[i]
        )),
    }
}

/// The buffers that all candidates of a subject share.
struct Arena<'a> {
    gpu: &'a Gpu,
    inputs: Vec<(Buffer, u64)>,
    output: (Buffer, u64),
    scratch: Vec<Buffer>,
}

impl<'a> Arena<'a> {
    fn new(gpu: &'a Gpu, subject: &Subject) -> Result<Self> {
        let mut scratch: Vec<u64> = Vec::new();
        for candidate in &subject.candidates {
            for (k, &bytes) in candidate.lowered.scratch.iter().enumerate() {
                match scratch.get_mut(k) {
                    Some(largest) => *largest = bytes.max(*largest),
                    None => scratch.push(bytes),
                }
            }
        }
        let arrays = subject.inputs.iter().chain([&subject.output]);
        let needed = arrays.map(|s| s.bytes()).sum::<u64>() + scratch.iter().sum::<u64>();
        if let Some(available) = gpu.memory_limit().filter(|&limit| needed > limit) {
            return Err(Error::OutOfMemory {
                needed,
                available,
                advice: "raise --memory-limit, or go on with --tune read".into(),
            });
        }
        let inputs = (subject.inputs.iter().enumerate()).map(|(k, shape)| {
            let buffer = gpu.buffer("input", shape.bytes())?;
            gpu.write(&buffer, 0, &noise(k as u32, shape.elements()));
            Ok((buffer, shape.bytes()))
        });
        Ok(Arena {
            gpu,
            inputs: inputs.collect::<Result<_>>()?,
            output: (
                gpu.buffer("output", subject.output.bytes())?,
                subject.output.bytes(),
            ),
            scratch: (scratch.iter())
                .map(|&bytes| gpu.buffer("scratch", bytes))
                .collect::<Result<_>>()?,
        })
    }

    /// The launches bound to the buffers.
    fn entrant(&self, lowered: &Lowered) -> Result<Entrant> {
        let dispatches = (lowered.launches.iter())
            .map(|launch| Dispatch::alone(self.gpu, launch, |slot| self.place(slot, lowered)));
        Ok(Entrant {
            dispatches: dispatches.collect::<Result<_>>()?,
            repetitions: 1,
        })
    }

    fn place(&self, slot: &Slot, lowered: &Lowered) -> Result<Range> {
        let missing = || Error::Shader(format!("a kernel binds {slot:?}, which is not there"));
        let (buffer, offset, bytes) = match slot {
            Slot::Input(k) => {
                let (buffer, bytes) = self.inputs.get(*k).ok_or_else(missing)?;
                (buffer, 0, *bytes)
            }
            Slot::Part { of, offset, bytes } => {
                let whole = self.place(of, lowered)?;
                return Ok(Range {
                    offset: whole.offset + offset,
                    bytes: *bytes,
                    ..whole
                });
            }
            Slot::Output => (&self.output.0, 0, self.output.1),
            Slot::Scratch(k) => {
                let buffer = self.scratch.get(*k).ok_or_else(missing)?;
                let bytes = lowered.scratch.get(*k).ok_or_else(missing)?;
                (buffer, 0, bytes.next_multiple_of(4))
            }
            Slot::Table(words) => {
                let bytes = 4 * words.len() as u64;
                let buffer = self.gpu.buffer("table", bytes)?;
                let queue = self.gpu.queue();
                queue.write_buffer(buffer.raw(), 0, bytemuck::cast_slice(words));
                return Ok(Range {
                    buffer: buffer.raw().clone(),
                    offset: 0,
                    bytes,
                });
            }
            Slot::Texture(source) => return self.place(source, lowered),
        };
        Ok(Range {
            buffer: buffer.raw().clone(),
            offset,
            bytes,
        })
    }

    /// What the entrant computes.
    fn result(&self, entrant: &Entrant) -> Result<Vec<f32>> {
        let (buffer, bytes) = &self.output;
        let elements = *bytes as usize / 4;
        self.gpu.write(buffer, 0, &vec![f32::NAN; elements]);
        entrant.submit(self.gpu);
        self.gpu.read(buffer, 0, elements)
    }
}

/// A candidate ready to run.
struct Entrant {
    dispatches: Vec<Dispatch>,
    /// Runs of one sample.
    repetitions: usize,
}

impl Entrant {
    fn submit(&self, gpu: &Gpu) {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let all = (0..self.repetitions).flat_map(|_| &self.dispatches);
        encode(all.map(|dispatch| (dispatch, false)), &mut encoder);
        gpu.queue().submit([encoder.finish()]);
    }

    /// Milliseconds of one run.
    fn time(&self, gpu: &Gpu) -> Result<f64> {
        gpu.wait()?;
        let start = Instant::now();
        self.submit(gpu);
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / self.repetitions as f64)
    }
}

/// Numbers in (-1, 1), the same in every run. They repeat after a prime number of elements, so that
/// neighbouring rows and channels never are alike.
fn noise(stream: u32, len: usize) -> Vec<f32> {
    const PERIOD: usize = 65_537;
    let uniform = random::uniform(Draw::new(1, stream), len.min(PERIOD));
    let one: Vec<f32> = uniform.iter().map(|u| (2.0 * u - 1.0) as f32).collect();
    one.into_iter().cycle().take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_element_a_nan_and_nothing_but_zeros_are_told_apart() {
        let expected = [1.0, -2.0, 0.0];
        assert!(compare(&[1.0, -2.0, 0.0009], &expected).is_ok());
        let message = compare(&[1.0, -2.0, 0.0011], &expected).unwrap_err();
        assert!(message.contains("element 2"), "{message}");
        assert!(compare(&[f32::NAN, -2.0, 0.0], &expected).is_err());
        assert!(compare(&[0.0; 3], &expected).is_err());
        assert!(compare(&[0.0], &[0.0]).is_ok());
    }

    #[test]
    fn noise_fills_any_length() {
        let values = noise(0, 70_000);
        assert_eq!(values.len(), 70_000);
        assert!(values.iter().all(|v| v.abs() < 1.0));
        assert_ne!(values[..100], noise(1, 100)[..]);
    }
}
