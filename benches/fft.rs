//! The two-dimensional Fourier transform beside rustfft in one process, sample by sample in turns:
//! `cargo bench --bench fft [-- SIZE ...]`, each `SIZE` as in `equilens bench fft2/SIZE`.
//!
//! rustfft transforms rows, transposes, transforms what were columns, and transposes back, on as many
//! threads as there are cores. Both start from the same numbers, and are timed only if their results
//! agree.

use equilens::bench::{Benchmark, Spread, run};
use equilens::gpu::{Gpu, Selection, Tuning};
use equilens::shape::{Fourier, Shape};
use equilens::tape::Tape;
use equilens::tape::plan::{Options, Plan, Store};
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

const SAMPLES: usize = 25;
/// Milliseconds that a sample takes at least.
const LONG_ENOUGH: f64 = 20.0;

type Number = Complex<f32>;

/// The peer: plans for both axes and the memory between them.
struct Rust {
    rows: usize,
    columns: usize,
    along_rows: Arc<dyn Fft<f32>>,
    along_columns: Arc<dyn Fft<f32>>,
    turned: Vec<Number>,
    threads: usize,
}

impl Rust {
    fn new(rows: usize, columns: usize) -> Self {
        let mut planner = FftPlanner::new();
        Rust {
            rows,
            columns,
            along_rows: planner.plan_fft_forward(columns),
            along_columns: planner.plan_fft_forward(rows),
            turned: vec![Number::default(); rows * columns],
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Transforms the lines of `data` on all threads.
    fn lines(threads: usize, fft: &Arc<dyn Fft<f32>>, data: &mut [Number]) {
        let lines = data.len() / fft.len();
        let share = lines.div_ceil(threads) * fft.len();
        std::thread::scope(|scope| {
            for part in data.chunks_mut(share) {
                scope.spawn(|| fft.process(part));
            }
        });
    }

    fn transpose(from: &[Number], to: &mut [Number], columns: usize) {
        const TILE: usize = 16;
        let rows = from.len() / columns;
        for top in (0..rows).step_by(TILE) {
            for left in (0..columns).step_by(TILE) {
                for row in top..(top + TILE).min(rows) {
                    for column in left..(left + TILE).min(columns) {
                        to[column * rows + row] = from[row * columns + column];
                    }
                }
            }
        }
    }

    fn transform(&mut self, data: &mut [Number]) {
        Self::lines(self.threads, &self.along_rows, data);
        Self::transpose(data, &mut self.turned, self.columns);
        Self::lines(self.threads, &self.along_columns, &mut self.turned);
        Self::transpose(&self.turned, data, self.rows);
    }
}

fn compare(gpu: &Gpu, name: &str) -> Result<(), Box<dyn Error>> {
    let benchmark: Benchmark = name.parse()?;
    let Benchmark::Fourier { rows, columns } = benchmark else {
        return Err(format!("{name} is no transform: give sizes, as 320 or 210x96").into());
    };
    let points = rows * columns;
    let mut tape = Tape::new();
    let x = tape.input("x", Shape::new(1, 2, rows, columns));
    let y = tape.fourier(x, Fourier::planes())?;
    let plan = Plan::compile(&tape, &[y], &Store::new(gpu), Options::tuned())?;
    let values: Vec<f32> = (0..2 * points as u64)
        .map(|j| ((7919 * j * j + 104_729 * j) % 1021) as f32 / 512.0 - 1.0)
        .collect();
    let start: Vec<Number> = (0..points)
        .map(|i| Number::new(values[i], values[i + points]))
        .collect();
    let mut rust = Rust::new(rows, columns);
    let mut data = start.clone();
    rust.transform(&mut data);
    plan.run(&[("x", &values)])?;
    let ours = plan.read(y)?;
    let scale = 1.0 / (points as f32).sqrt();
    let (mut error, mut size) = (0.0, 0.0);
    for (i, peer) in data.iter().enumerate() {
        let peer = peer * scale;
        error += f64::from((peer - Number::new(ours[i], ours[i + points])).norm_sqr());
        size += f64::from(peer.norm_sqr());
    }
    let error = (error / size).sqrt();
    if error.is_nan() || error > 1e-6 {
        return Err(format!("{name}: the results differ by {error:e}").into());
    }
    let gpu_time = |repetitions: usize| -> Result<f64, Box<dyn Error>> {
        gpu.wait()?;
        let start = Instant::now();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        (0..repetitions).for_each(|_| plan.encode(&mut encoder));
        gpu.queue().submit([encoder.finish()]);
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / repetitions as f64)
    };
    let mut rust_time = |repetitions: usize| {
        let mut time = 0.0;
        for _ in 0..repetitions {
            data.copy_from_slice(&start);
            let start = Instant::now();
            rust.transform(&mut data);
            time += start.elapsed().as_secs_f64() * 1e3;
        }
        time / repetitions as f64
    };
    let enough = |once: f64| (LONG_ENOUGH / once).ceil().clamp(1.0, 1000.0) as usize;
    gpu_time(1)?;
    let repetitions = [enough(gpu_time(1)?), enough(rust_time(1))];
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..SAMPLES {
        let (a, b) = if pair % 2 == 0 {
            let a = gpu_time(repetitions[0])?;
            (a, rust_time(repetitions[1]))
        } else {
            let b = rust_time(repetitions[1]);
            (gpu_time(repetitions[0])?, b)
        };
        ours.push(a);
        theirs.push(b);
        ratios.push(a / b);
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let report = run(gpu, &[benchmark], 5, |_| {})?;
    let fraction = report.results.first().and_then(|r| r.timing);
    let fraction = fraction.map_or("-".into(), |t| format!("{:.2}", t.rates.fraction));
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let ratio = Spread::of(&ratios).map_or("-".into(), |s| {
        format!("{:.2} ({:.2} to {:.2})", s.median, s.low, s.high)
    });
    println!("{name:14}  {ours:8.3}  {theirs:8.3}  {ratio:24}  {fraction:>8}  {error:9.1e}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo passes options of its own harness.
    let sizes: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let sizes = match sizes.is_empty() {
        true => ["210x96", "320", "317", "512", "1024"]
            .map(String::from)
            .to_vec(),
        false => sizes,
    };
    let gpu = Gpu::open(&Selection {
        tuning: Tuning::Off,
        ..Selection::default()
    })?;
    println!("{}", gpu.label());
    println!("benchmark        ours ms  rustfft ms  ours : rustfft (pairs)  roofline      error");
    for size in sizes {
        compare(&gpu, &format!("fft2/{size}"))?;
    }
    Ok(())
}
