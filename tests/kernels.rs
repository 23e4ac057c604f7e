//! Every check on the adapter that `EQUILENS_ADAPTER` and `EQUILENS_BACKEND` choose, and tests of
//! the harness itself: what is wrong must fail.
//!
//! Without an adapter these tests fail, unless `EQUILENS_NO_GPU=skip` is set. `EQUILENS_SEED`
//! repeats a run's inputs.

use equilens::check::harness::{Case, Judge, Noise, Problem, close, exact, run, wide};
use equilens::check::{fresh_seed, run_seeded};
use equilens::gpu::{Gpu, Selection, Trust};
use equilens::kernels::{Lowered, Slot, layout};
use equilens::reference::Twin;
use equilens::shape::Shape;
use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

/// Keeps the errors that wgpu logs: validation layers report through the log alone.
struct Messages(Mutex<Vec<String>>);

static MESSAGES: Messages = Messages(Mutex::new(Vec::new()));

impl log::Log for Messages {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::Level::Error
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            let message = format!("{}: {}", record.target(), record.args());
            MESSAGES
                .0
                .lock()
                .expect("no panic while logging")
                .push(message);
        }
    }

    fn flush(&self) {}
}

/// The adapter under test, or `None` for a skip that was asked for.
fn gpu() -> Option<Gpu> {
    if log::set_logger(&MESSAGES).is_ok() {
        log::set_max_level(log::LevelFilter::Error);
    }
    let variable = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
    let backend = variable("EQUILENS_BACKEND").map(|name| match name.to_lowercase().as_str() {
        "vulkan" => wgpu::Backend::Vulkan,
        "metal" => wgpu::Backend::Metal,
        "dx12" => wgpu::Backend::Dx12,
        "gl" => wgpu::Backend::Gl,
        other => panic!("EQUILENS_BACKEND={other}: vulkan, metal, dx12 or gl"),
    });
    let selection = Selection {
        adapter: variable("EQUILENS_ADAPTER"),
        backend,
        memory_limit: None,
        ..Selection::default()
    };
    match Gpu::open(&selection) {
        Ok(gpu) => Some(gpu),
        Err(e) if variable("EQUILENS_NO_GPU").as_deref() == Some("skip") => {
            say(&format!("SKIPPED, because EQUILENS_NO_GPU=skip: {e}"));
            None
        }
        Err(e) => {
            panic!("{e}. To run the other tests without an adapter, set EQUILENS_NO_GPU=skip")
        }
    }
}

/// Past the test harness's capture, so that it is seen when everything passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn every_check_passes_on_this_adapter() {
    let Some(gpu) = gpu() else { return };
    let seed = std::env::var("EQUILENS_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(fresh_seed);
    let verbose = std::env::var("EQUILENS_CHECK_VERBOSE").is_ok();
    say(&format!(
        "checking {} with EQUILENS_SEED={seed}",
        gpu.label()
    ));
    let (start, mut last) = (Instant::now(), Instant::now());
    let rows = run_seeded(&gpu, None, seed, |row| {
        if verbose {
            let (name, error, bound) = (&row.name, row.error, row.bound);
            let time = last.elapsed().as_secs_f64();
            say(&format!(
                "{name:60} {error:9.2e} {bound:9.2e} {time:6.2} s {:?}",
                row.note
            ));
            last = Instant::now();
        }
    })
    .expect("the registry is not empty");
    gpu.check_fault().expect("no error of the device");
    let time = start.elapsed().as_secs_f64();
    say(&format!(
        "{} checks on {} in {time:.1} s",
        rows.len(),
        gpu.label()
    ));
    let failed: Vec<String> = (rows.iter())
        .filter(|row| !row.pass)
        .map(|row| {
            format!(
                "{}: {:e} > {:e}: {:?}",
                row.name, row.error, row.bound, row.note
            )
        })
        .collect();
    assert!(
        failed.is_empty(),
        "on {}:\n{}",
        gpu.label(),
        failed.join("\n")
    );
    let messages = MESSAGES.0.lock().expect("no panic while logging");
    assert!(
        messages.is_empty(),
        "on {}:\n{}",
        gpu.label(),
        messages.join("\n")
    );
}

const LEN: usize = 100;

/// A copy of `copied` elements into an output of `LEN`, which must be the input plus `offset`.
fn copy(copied: usize, input: impl Fn(usize) -> f32 + 'static, offset: f64) -> Case {
    let lowered = layout::copy(Shape::vector(copied));
    Case::new("copy", lowered, move |_| {
        let x: Vec<f32> = (0..LEN.max(copied)).map(&input).collect();
        let y = wide(&x[..LEN]).iter().map(|x| x + offset).collect();
        Problem::new(vec![x], LEN, exact(y))
    })
}

fn measured(gpu: &Gpu, case: &Case) -> (bool, String) {
    let measure = case.measure(gpu, 1).expect("the kernel runs");
    (measure.pass(), measure.note.unwrap_or_default())
}

#[test]
fn a_right_kernel_passes_the_harness() {
    let Some(gpu) = gpu() else { return };
    let (pass, note) = measured(&gpu, &copy(LEN, |i| i as f32, 0.0));
    assert!(pass, "{note}");
}

#[test]
fn a_broken_twin_fails_the_harness() {
    let Some(gpu) = gpu() else { return };
    let (pass, note) = measured(&gpu, &copy(LEN, |i| i as f32, 1e-12));
    assert!(!pass && note.contains("instead of"), "{note}");
}

#[test]
fn a_nan_fails_the_harness() {
    let Some(gpu) = gpu() else { return };
    let nan = |i| if i == 3 { f32::NAN } else { i as f32 };
    let (pass, note) = measured(&gpu, &copy(LEN, nan, 0.0));
    assert!(!pass && note.contains("element 3"), "{note}");
    // Not even a bound without limit lets it pass.
    let generous: Judge = close(
        Twin {
            value: vec![0.0; 3],
            magnitude: vec![f64::INFINITY; 3],
        },
        1.0,
    );
    assert!(generous(&[1.0, -1.0, 1e30]).pass());
    for place in 0..3 {
        let mut found = [0.0; 3];
        found[place] = f32::NAN;
        assert!(!generous(&found).pass());
    }
    // Nor may an answer be missing.
    assert!(!generous(&[0.0, 0.0]).pass());
}

#[test]
fn an_unwritten_element_fails_the_harness() {
    let Some(gpu) = gpu() else { return };
    let (pass, note) = measured(&gpu, &copy(LEN - 1, |i| i as f32, 0.0));
    assert!(
        !pass && note.contains("element 99 was not written"),
        "{note}"
    );
    // The same where nothing is written at all.
    let nothing = Case::new("nothing", Lowered::default(), |_| {
        Problem::new(vec![vec![1.0]], 1, exact(vec![1.0]))
    });
    assert!(!measured(&gpu, &nothing).0);
}

#[test]
fn an_out_of_range_write_fails_the_harness() {
    let Some(gpu) = gpu() else { return };
    for trust in [Trust::Checked, Trust::Unchecked] {
        let mut case = copy(LEN + 1, |i| i as f32, 0.0);
        case.lowered.launches[0].trust = trust;
        let (pass, note) = measured(&gpu, &case);
        assert!(
            !pass && note.contains("out-of-range write"),
            "{trust:?}: {note}"
        );
    }
}

#[test]
fn an_out_of_range_read_fails_the_harness() {
    let Some(gpu) = gpu() else { return };
    // The output is as long as the copy, the input one element shorter.
    let lowered = layout::copy(Shape::vector(LEN));
    let problem = |noise: &mut Noise| {
        let x = noise.signed(LEN - 1);
        let mut y = wide(&x);
        y.push(0.0);
        Problem::new(vec![x], LEN, exact(y))
    };
    let measure = run(&gpu, &lowered, &problem(&mut Noise::new(1, "short"))).expect("runs");
    assert!(!measure.pass(), "{measure:?}");
}

#[test]
fn a_write_to_scratch_memory_is_guarded_too() {
    let Some(gpu) = gpu() else { return };
    let mut case = copy(LEN + 1, |i| i as f32, 0.0);
    case.lowered.launches[0].bindings[1].1 = Slot::Scratch(0);
    case.lowered.scratch = vec![4 * LEN as u64];
    let (pass, note) = measured(&gpu, &case);
    assert!(
        !pass && note.contains("Scratch(0): out-of-range write"),
        "{note}"
    );
}
