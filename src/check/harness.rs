//! One kernel under guard: its buffers lie between guard words, what it must write is poisoned
//! before the run, and what it wrote is judged afterwards.

use super::Measure;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu};
use crate::kernels::{Dispatch, Launch, Lowered, Range, Slot, encode};
use crate::reference::Twin;
use crate::reference::random::{self, Draw};
use crate::shader::fnv1a;

/// Reproducible inputs: the numbers of one seed and one label.
#[derive(Clone, Debug)]
pub struct Noise {
    draw: Draw,
}

impl Noise {
    /// The numbers of `label` under `seed`. They depend on nothing else, so that one check run
    /// alone sees what it saw among the others.
    pub fn new(seed: u64, label: &str) -> Self {
        // Folded to the generator's 32-bit stream.
        let hash = fnv1a(label.as_bytes());
        Noise {
            draw: Draw::new(seed, (hash ^ (hash >> 32)) as u32),
        }
    }

    /// `len` numbers, uniform in (`from`, `to`).
    pub fn range(&mut self, len: usize, from: f32, to: f32) -> Vec<f32> {
        let uniform = random::uniform(self.draw, len);
        self.draw.number += 1;
        let (from, width) = (f64::from(from), f64::from(to) - f64::from(from));
        uniform.iter().map(|u| (from + width * u) as f32).collect()
    }

    /// `len` numbers, uniform in (-1, 1).
    pub fn signed(&mut self, len: usize) -> Vec<f32> {
        self.range(len, -1.0, 1.0)
    }

    /// `len` numbers with magnitudes uniform in (`from`, `to`) and either sign.
    pub fn apart_from_zero(&mut self, len: usize, from: f32, to: f32) -> Vec<f32> {
        let signs = self.signed(len);
        let magnitudes = self.range(len, from, to);
        let pairs = magnitudes.iter().zip(signs);
        pairs.map(|(m, s)| m.copysign(s)).collect()
    }

    /// A whole number below `bound`, for seeds and counters.
    pub fn below(&mut self, bound: u32) -> u32 {
        (f64::from(self.range(1, 0.0, 1.0)[0]) * f64::from(bound)) as u32 % bound
    }
}

/// The same numbers in f64, as the twins take them.
pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// What a run must leave in a buffer.
pub type Judge = Box<dyn Fn(&[f32]) -> Measure>;

/// Every element equal to `value`.
pub fn exact(value: Vec<f64>) -> Judge {
    let magnitude = vec![0.0; value.len()];
    close(Twin { value, magnitude }, 0.0)
}

/// `|found - twin| <= k eps * sum |terms|` for every element, with `eps` = 2^-23, twice the error
/// of one rounding to nearest: devices may round either way.
pub fn close(twin: Twin, k: f64) -> Judge {
    Box::new(move |found| {
        let bound = k * f64::from(f32::EPSILON);
        let mut worst = Measure::new(0.0, bound);
        for (i, (&f, (&v, &m))) in (found.iter())
            .zip(twin.value.iter().zip(&twin.magnitude))
            .enumerate()
        {
            let error = match (f64::from(f) - v).abs() {
                0.0 => 0.0,
                // A sum without terms is exactly zero: any other value is infinitely wrong.
                e => e / m,
            };
            // NaN is worse than anything.
            if (error.is_nan() || error > worst.error) && !worst.error.is_nan() {
                worst.error = error;
                worst.note = Some(format!("element {i} is {f:e} instead of {v:e}"));
            }
        }
        if twin.value.len() != found.len() {
            worst = Measure::failed(bound, format!("{} elements", found.len()));
        }
        worst
    })
}

/// `|found - value| <= bound |value|` in the Euclidean norm.
pub fn close_in_norm(value: Vec<f64>, bound: f64) -> Judge {
    Box::new(move |found| {
        if value.len() != found.len() {
            return Measure::failed(bound, format!("{} elements", found.len()));
        }
        let norm = |squares: f64| squares.sqrt();
        let pairs = found.iter().zip(&value);
        let error = norm(pairs.map(|(&f, v)| (f64::from(f) - v).powi(2)).sum());
        let size = norm(value.iter().map(|v| v * v).sum());
        let relative = if error == 0.0 { 0.0 } else { error / size };
        Measure {
            note: Some(format!(
                "the error's norm is {error:e}, the result's {size:e}"
            )),
            ..Measure::new(relative, bound)
        }
    })
}

/// The numbers that a case runs on and what must come out.
pub struct Problem {
    /// Values of [`Slot::Input`] 0, 1, ...
    pub inputs: Vec<Vec<f32>>,
    /// Elements of [`Slot::Output`]; 0 if the kernel works in place.
    pub output: usize,
    /// What must stand where after the run.
    pub judges: Vec<(Slot, Judge)>,
}

impl Problem {
    /// A kernel with one output of `output` elements.
    pub fn new(inputs: Vec<Vec<f32>>, output: usize, judge: Judge) -> Self {
        Problem {
            inputs,
            output,
            judges: vec![(Slot::Output, judge)],
        }
    }
}

/// One run of a kernel. Making it touches no device and computes nothing.
pub struct Case {
    /// The setting, for messages; also names the inputs' random stream.
    pub label: String,
    /// The dispatches.
    pub lowered: Lowered,
    /// Makes the inputs and evaluates the twin.
    pub problem: Box<dyn Fn(&mut Noise) -> Problem>,
}

impl Case {
    /// A case.
    pub fn new(
        label: impl Into<String>,
        lowered: impl Into<Lowered>,
        problem: impl Fn(&mut Noise) -> Problem + 'static,
    ) -> Self {
        Case {
            label: label.into(),
            lowered: lowered.into(),
            problem: Box::new(problem),
        }
    }

    /// Runs it with fresh inputs of `seed`.
    ///
    /// # Errors
    /// [`Error::Shader`] or [`Error::Device`] if the kernel does not build or run.
    pub fn measure(&self, gpu: &Gpu, seed: u64) -> Result<Measure> {
        let problem = (self.problem)(&mut Noise::new(seed, &self.label));
        let mut measure = run(gpu, &self.lowered, &problem)?;
        if let Some(note) = &mut measure.note {
            *note = format!("{}: {note}", self.label);
        }
        Ok(measure)
    }
}

/// Fills guards and scratch memory: a quiet NaN, so that a value read from there shows.
const GUARD: u32 = 0x7fc0_dead;
/// Fills outputs before the run: another quiet NaN, which no arithmetic produces.
const POISON: u32 = 0x7fc0_beef;

/// A buffer with guard words on both sides.
struct Guarded {
    buffer: Buffer,
    front: usize,
    len: usize,
}

impl Guarded {
    fn new(gpu: &Gpu, label: &str, payload: &[u32]) -> Result<Self> {
        let limits = gpu.limits();
        // Bindings begin at multiples of this many words.
        let front = 64.max(limits.min_storage_buffer_offset_alignment as usize / 4);
        let len = payload.len();
        let total = (front + len + BACK).next_multiple_of(4);
        let buffer = gpu.buffer(label, 4 * total as u64)?;
        let mut words = vec![GUARD; total];
        words[front..front + len].copy_from_slice(payload);
        (gpu.queue()).write_buffer(buffer.raw(), 0, bytemuck::cast_slice(&words));
        Ok(Guarded { buffer, front, len })
    }

    /// The payload and the guard words behind it: devices clamp or drop what leaves a binding, so
    /// only a guard inside the binding sees an index beyond the end. An index below zero wraps
    /// around and is one.
    fn whole(&self) -> Range {
        Range {
            buffer: self.buffer.raw().clone(),
            offset: 4 * self.front as u64,
            bytes: 4 * (self.len + BACK) as u64,
        }
    }

    /// A part of the payload and the guard words behind it, if a uniform binding may be so long.
    fn part(&self, offset: u64, bytes: u64, limit: u64) -> Range {
        Range {
            buffer: self.buffer.raw().clone(),
            offset: 4 * self.front as u64 + offset,
            bytes: (bytes + 4 * BACK as u64).min(limit),
        }
    }

    /// The payload, or where the first guard word was overwritten.
    fn read(&self, gpu: &Gpu) -> Result<std::result::Result<Vec<f32>, String>> {
        let all = gpu.read(&self.buffer, 0, self.buffer.bytes() as usize / 4)?;
        let end = self.front + self.len;
        let broken = (all.iter().enumerate())
            .find(|(i, x)| !(self.front..end).contains(i) && x.to_bits() != GUARD);
        Ok(match broken {
            Some((i, x)) => Err(format!(
                "out-of-range write of {x:e} to element {} of {}",
                i as isize - self.front as isize,
                self.len
            )),
            None => Ok(all[self.front..end].to_vec()),
        })
    }
}

/// Guard words behind the payload.
const BACK: usize = 64;

/// The buffers of one run.
struct Buffers {
    inputs: Vec<Guarded>,
    output: Guarded,
    scratch: Vec<Guarded>,
    tables: Vec<(std::sync::Arc<[u32]>, Guarded)>,
}

impl Buffers {
    fn new(gpu: &Gpu, lowered: &Lowered, problem: &Problem) -> Result<Self> {
        let mut tables: Vec<(std::sync::Arc<[u32]>, Guarded)> = Vec::new();
        for (_, slot) in lowered.launches.iter().flat_map(|l| &l.bindings) {
            if let Slot::Table(words) = slot
                && !tables.iter().any(|(known, _)| known == words)
            {
                tables.push((words.clone(), Guarded::new(gpu, "table", words)?));
            }
        }
        let input = |x: &Vec<f32>| Guarded::new(gpu, "input", bytemuck::cast_slice(x));
        let scratch = |&bytes: &u64| {
            let words = (bytes as usize).div_ceil(4);
            Guarded::new(gpu, "scratch", &vec![POISON; words])
        };
        Ok(Buffers {
            inputs: problem.inputs.iter().map(input).collect::<Result<_>>()?,
            output: Guarded::new(gpu, "output", &vec![POISON; problem.output])?,
            scratch: lowered.scratch.iter().map(scratch).collect::<Result<_>>()?,
            tables,
        })
    }

    fn get(&self, slot: &Slot) -> Result<&Guarded> {
        let found = match slot {
            Slot::Texture(source) | Slot::Part { of: source, .. } => return self.get(source),
            Slot::Input(k) => self.inputs.get(*k),
            Slot::Output => Some(&self.output),
            Slot::Scratch(k) => self.scratch.get(*k),
            Slot::Table(words) => (self.tables.iter())
                .find(|(known, _)| known == words)
                .map(|(_, table)| table),
        };
        found.ok_or_else(|| Error::Shader(format!("the check supplies no {slot:?}")))
    }
}

/// Runs `lowered` on the problem's inputs and judges what it left; the worst judge counts. An
/// element that was not written, or a write outside, fails.
///
/// # Errors
/// [`Error::Shader`] or [`Error::Device`] if the kernel does not build or run.
pub fn run(gpu: &Gpu, lowered: &Lowered, problem: &Problem) -> Result<Measure> {
    let buffers = Buffers::new(gpu, lowered, problem)?;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut writable: Vec<&Slot> = Vec::new();
    for launch in &lowered.launches {
        writable.extend(dispatch(gpu, launch, &buffers, &mut encoder)?);
    }
    gpu.queue().submit([encoder.finish()]);
    let mut worst = Measure::new(0.0, 0.0);
    let mut judged = 0;
    for (i, &slot) in writable.iter().enumerate() {
        if writable[..i].contains(&slot) {
            continue;
        }
        let values = match buffers.get(slot)?.read(gpu)? {
            Ok(values) => values,
            Err(what) => return Ok(Measure::failed(0.0, format!("{slot:?}: {what}"))),
        };
        for (_, judge) in problem.judges.iter().filter(|(s, _)| s == slot) {
            judged += 1;
            if let Some(i) = values.iter().position(|x| x.to_bits() == POISON) {
                let what = format!("{slot:?}: element {i} was not written");
                return Ok(Measure::failed(0.0, what));
            }
            worst = worst.worse(judge(&values));
        }
    }
    if judged < problem.judges.len() {
        return Ok(Measure::failed(
            0.0,
            "no launch writes what the check judges",
        ));
    }
    Ok(worst)
}

/// Encodes one launch; returns what it may write.
fn dispatch<'a>(
    gpu: &Gpu,
    launch: &'a Launch,
    buffers: &Buffers,
    encoder: &mut wgpu::CommandEncoder,
) -> Result<Vec<&'a Slot>> {
    let limit = gpu.limits().max_uniform_buffer_binding_size;
    let dispatch = Dispatch::alone(gpu, launch, |slot| {
        let buffer = buffers.get(slot)?;
        Ok(match slot {
            Slot::Part { offset, bytes, .. } => buffer.part(*offset, *bytes, limit),
            _ => buffer.whole(),
        })
    })?;
    encode([(&dispatch, false)], encoder);
    Ok(dispatch.writable(launch))
}
