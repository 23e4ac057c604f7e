//! The tuner on the device: wrong candidates, modes, what plans use of it.
//!
//! Needs an adapter, as `tests/kernels.rs` says.

use equilens::error::Error;
use equilens::gpu::{Gpu, Selection, Tuning};
use equilens::kernels::conv2d::{Convolution, WeightAlgorithm};
use equilens::kernels::{Capabilities, Family, layout};
use equilens::shape::{Padding, Shape, Window};
use equilens::tape::Tape;
use equilens::tape::plan::{Options, Plan, Store};
use equilens::tune::{Outcome, Subject, Tuned, Tuner};
use std::path::Path;
use std::time::Duration;

fn gpu(tuning: Tuning, cache: Option<&Path>) -> Gpu {
    let selection = Selection {
        tuning,
        cache: cache.map(Path::to_path_buf),
        ..Selection::default()
    };
    Gpu::open(&selection).expect("an adapter")
}

const SHAPE: Shape = Shape::new(1, 1, 16, 16);

/// Copies of an image, by name; `wrong` among them leaves the last element out.
fn copies(names: &[&str]) -> Subject {
    let way = |name: &&str| {
        let copied = match *name {
            "wrong" => Shape::vector(SHAPE.elements() - 1),
            _ => SHAPE,
        };
        (name.to_string(), layout::copy(copied))
    };
    let ways: Vec<_> = names.iter().map(way).collect();
    Subject::new("copy".into(), ways, vec![SHAPE], SHAPE)
}

const LONG: Duration = Duration::from_secs(60);

fn tune(gpu: &Gpu, subjects: &[Subject]) -> Result<Vec<Outcome>, Error> {
    Ok(Tuner::of(gpu)?.tune(subjects, LONG, |_| true)?.outcomes)
}

#[test]
fn a_wrong_candidate_is_an_error_that_names_it() {
    let gpu = gpu(Tuning::On, None);
    let error = tune(&gpu, &[copies(&["right", "wrong"])]).expect_err("wrong");
    let message = error.to_string();
    assert!(matches!(error, Error::Shader(_)), "{message}");
    for part in ["'wrong'", "copy", "element 255", "'right'"] {
        assert!(message.contains(part), "no {part} in {message}");
    }
    // Also where all others are compared with it.
    let error = tune(&gpu, &[copies(&["wrong", "right"])]).expect_err("wrong");
    assert!(error.to_string().contains("'wrong'"), "{error}");
    let outcomes = tune(&gpu, &[copies(&["right"])]).expect("right");
    assert_eq!(outcomes[0].record.winner, "right");
    gpu.check_fault().expect("no error of the device");
}

fn gradient() -> Convolution {
    Convolution {
        x: Shape::new(1, 2, 8, 8),
        outputs: 3,
        window: Window::same(3, Padding::Zero),
    }
}

/// The variant that a plan has for the weight gradient.
fn in_a_plan(gpu: &Gpu, options: Options) -> String {
    let mut tape = Tape::new();
    let problem = gradient();
    let x = tape.input("x", problem.x);
    let dy = tape.input("dy", problem.y());
    let dw = tape
        .conv2d_weight_gradient(x, dy, problem.window)
        .expect("fits");
    let plan = Plan::compile(&tape, &[dw], &Store::new(gpu), options).expect("compiles");
    let [chosen] = plan.chosen() else {
        panic!("{:?}", plan.chosen());
    };
    assert_eq!(
        chosen.operation,
        "conv2d weight gradient 2-3 3x3 zero on 1x8x8"
    );
    chosen.variant.clone()
}

/// The file of measurements; compiled pipelines lie beside it.
fn records(cache: &Path) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(cache).expect("a directory");
    let mut paths = entries.map(|entry| entry.expect("readable").path());
    paths.find(|path| path.extension().is_some_and(|e| e == "json"))
}

/// Makes `winner` the fastest on record in the one file of `cache`.
fn falsify(cache: &Path, winner: &str) {
    let path = records(cache).expect("a file");
    let text = std::fs::read_to_string(&path).expect("text");
    let mut file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    file["records"][0]["winner"] = winner.into();
    std::fs::write(&path, file.to_string()).expect("written");
}

#[test]
fn modes_do_what_they_say() {
    let cache = tempfile::tempdir().expect("a directory");
    let here = Some(cache.path());
    let measured = || records(cache.path()).is_some();
    let capabilities = Capabilities::of(&gpu(Tuning::Off, None));
    let default = WeightAlgorithm::default_for(capabilities, &gradient()).to_string();
    let all = WeightAlgorithm::candidates(capabilities, &gradient());
    let all: Vec<String> = all.iter().map(|a| a.to_string()).collect();
    let other = all.iter().find(|name| **name != default).expect("several");

    // Nothing is measured where it was not asked for.
    for (mode, options) in [
        (Tuning::Off, Options::tuned()),
        (Tuning::Read, Options::tuned()),
        (Tuning::On, Options::default()),
    ] {
        assert_eq!(in_a_plan(&gpu(mode, here), options), default);
        assert!(!measured(), "{mode:?}");
    }
    let on = gpu(Tuning::On, here);
    let first = in_a_plan(&on, Options::tuned());
    assert!(measured());
    assert!(all.contains(&first), "{first}");
    assert_eq!(in_a_plan(&on, Options::tuned()), first);
    on.check_fault().expect("no error of the device");

    // What is on record counts, also in another process, unless it is to be left alone.
    falsify(cache.path(), other);
    for (mode, options, expected) in [
        (Tuning::Off, Options::tuned(), &default),
        (Tuning::Read, Options::default(), &default),
        (Tuning::Read, Options::tuned(), other),
        (Tuning::On, Options::tuned(), other),
    ] {
        assert_eq!(&in_a_plan(&gpu(mode, here), options), expected, "{mode:?}");
    }
    // A winner that there is not is none.
    falsify(cache.path(), "fastest");
    assert_eq!(
        in_a_plan(&gpu(Tuning::Read, here), Options::tuned()),
        default
    );
    let forced = in_a_plan(&gpu(Tuning::Force, here), Options::tuned());
    assert!(all.contains(&forced), "{forced}");
    assert_eq!(
        in_a_plan(&gpu(Tuning::Read, here), Options::tuned()),
        forced
    );
}

#[test]
fn what_is_measured_is_kept_at_once_and_not_measured_again() {
    let cache = tempfile::tempdir().expect("a directory");
    let subject = Subject::of::<WeightAlgorithm>(Capabilities::default(), &gradient());
    let subjects = [copies(&["right"]), subject, copies(&["unseen"])];
    let gpu = gpu(Tuning::On, Some(cache.path()));
    let tuner = Tuner::of(&gpu).expect("a tuner");
    // Interrupted before the second is done.
    let tuned = tuner.tune(&subjects, LONG, |progress| progress.done == 0);
    let tuned = tuned.expect("interrupted");
    let first = tuned.outcomes;
    assert_eq!(first.len(), 1);
    assert!(first[0].fresh && first[0].record.complete);
    let left_out = [1, 2].map(|i| subjects[i].operation());
    assert_eq!(tuned.left_out, left_out);
    let run = |subjects| tuner.tune(subjects, LONG, |_| true).expect("runs").outcomes;
    let both = run(&subjects[..2]);
    assert!(!both[0].fresh && both[1].fresh);
    let record = &both[1].record;
    assert_eq!(record.trials[0].samples_ms.len().min(3), 3);
    assert!(record.speedup().expect("timed") > 0.0);
    let again = run(&subjects[..2]);
    assert_eq!(again[1].record, *record);
    // Another set of candidates under the same name.
    let changed = run(&subjects[2..]);
    assert!(changed[0].fresh);
    assert_eq!(changed[0].record.winner, "unseen");
}

/// Less than any candidate takes to compile and to be timed.
const SHORT: Duration = Duration::from_millis(100);

/// Tunes while the time is over as soon as the first candidate is measured; with the operations in the
/// order in which they were begun.
fn tune_shortly(tuner: &Tuner, subjects: &[Subject]) -> (Tuned, Vec<String>) {
    let mut begun: Vec<String> = Vec::new();
    let mut late = false;
    let tuned = tuner.tune(subjects, SHORT, |progress| {
        if begun.last().is_none_or(|last| last != progress.operation) {
            begun.push(progress.operation.into());
        }
        if !progress.candidate.is_empty() && !late {
            std::thread::sleep(SHORT);
            late = true;
        }
        true
    });
    (tuned.expect("runs"), begun)
}

#[test]
fn what_the_budget_leaves_out_is_told_and_the_next_runs_go_on() {
    let gpu = gpu(Tuning::On, None);
    let subject = Subject::of::<WeightAlgorithm>(Capabilities::default(), &gradient());
    let subjects = [subject, copies(&["right"])];
    let [long, short] = [0, 1].map(|i| subjects[i].operation());
    let tuner = Tuner::of(&gpu).expect("a tuner");
    let nothing = tuner.tune(&subjects, Duration::ZERO, |_| true);
    let nothing = nothing.expect("runs");
    assert_eq!(nothing.outcomes, []);
    assert_eq!(nothing.left_out, [long, short]);
    // The time is over while the default is being measured.
    let (tuned, begun) = tune_shortly(&tuner, &subjects);
    assert_eq!(begun, [long]);
    assert_eq!(tuned.left_out, [short]);
    let [outcome] = &tuned.outcomes[..] else {
        panic!("{tuned:?}");
    };
    let record = &outcome.record;
    assert!(outcome.fresh && !record.complete);
    assert_eq!(record.trials.len(), 1);
    assert_eq!(record.winner, record.trials[0].name);
    assert!(outcome.candidates > 1);
    // First what is not on record, then what is incomplete: each run with candidates that are new.
    let (tuned, begun) = tune_shortly(&tuner, &subjects);
    assert_eq!(begun, [short]);
    assert_eq!(tuned.left_out, Vec::<String>::new());
    assert_eq!(tuned.outcomes[0].record, *record);
    assert!(!tuned.outcomes[0].fresh && tuned.outcomes[1].fresh);
    let mut last = record.clone();
    while !last.complete {
        let (tuned, begun) = tune_shortly(&tuner, &subjects);
        assert_eq!(begun, [long]);
        let record = &tuned.outcomes[0].record;
        assert!(record.trials.len() > last.trials.len(), "{record:?}");
        assert_eq!(record.trials[0].name, last.trials[0].name);
        let names = || record.trials.iter().map(|t| &t.name);
        assert!(last.trials.iter().all(|t| names().any(|n| *n == t.name)));
        assert!(names().any(|name| *name == record.winner));
        last = record.clone();
    }
    let (tuned, begun) = tune_shortly(&tuner, &subjects);
    assert_eq!(begun, Vec::<String>::new());
    assert_eq!(tuned.outcomes[0].record, last);
}

#[test]
fn what_does_not_fit_is_left_at_the_default() {
    let selection = Selection {
        tuning: Tuning::On,
        memory_limit: Some(1000),
        ..Selection::default()
    };
    let gpu = Gpu::open(&selection).expect("an adapter");
    let chosen = Tuner::of(&gpu)
        .and_then(|tuner| tuner.choose::<WeightAlgorithm>(&gradient(), true))
        .expect("chooses");
    let capabilities = Capabilities::of(&gpu);
    assert_eq!(
        chosen,
        WeightAlgorithm::default_for(capabilities, &gradient())
    );
    // No time was missing.
    let subject = Subject::of::<WeightAlgorithm>(capabilities, &gradient());
    let tuner = Tuner::of(&gpu).expect("a tuner");
    let subjects = std::slice::from_ref(&subject);
    let tuned = tuner.tune(subjects, LONG, |_| true).expect("runs");
    assert_eq!(tuned.too_large, [subject.operation()]);
    assert!(tuned.outcomes.is_empty() && tuned.left_out.is_empty());
}
