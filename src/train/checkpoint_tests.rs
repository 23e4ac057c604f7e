use super::*;
use crate::group::Group;
use crate::models::{LearnedProximalGradientConfig, ModelConfig};

use std::fs;

fn spec(width: usize) -> ModelSpec {
    ModelSpec {
        config: ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
            group: Group::cyclic(4),
            width,
            blocks: 2,
            ..Default::default()
        }),
        channels: 1,
        size: None,
        measurement_channels: 1,
        closed_views: true,
        operator_norm: 0.335_060_04,
    }
}

fn checkpoint(step: u64) -> Checkpoint {
    let model = spec(8);
    let network = model.build().expect("valid");
    let values = |seed| network.parameters().initial(seed);
    let squares = values(step + 2).iter().map(|v| v * v).collect();
    Checkpoint {
        state: TrainingState {
            step,
            seed: 7,
            seconds: 1.25,
            best: Some(30.5),
            stale: 2,
            loss: vec![0.1],
        },
        parameters: values(step),
        moments: Some([values(step + 1), squares]),
        model,
    }
}

#[test]
fn a_checkpoint_reads_back_bit_for_bit() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("checkpoint-last");
    for step in [10, 20] {
        let saved = checkpoint(step);
        saved.save(&path).expect("saved");
        let loaded = Checkpoint::load(&path, &spec(8)).expect("loaded");
        assert_eq!(loaded, saved);
        let bits = |c: &Checkpoint| c.parameters.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&loaded), bits(&saved));
    }
    let once = fs::read(path.join(MODEL)).expect("read");
    checkpoint(20).save(&path).expect("saved");
    assert_eq!(fs::read(path.join(MODEL)).expect("read"), once);
    let (model, state) = Checkpoint::describe(&path).expect("described");
    assert_eq!((model, state.step), (spec(8), 20));
}

#[test]
fn a_kill_at_any_point_leaves_a_whole_checkpoint() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("checkpoint-last");
    let load = || {
        Checkpoint::load(&path, &spec(8))
            .expect("loaded")
            .state
            .step
    };
    checkpoint(10).save(&path).expect("saved");
    // Killed while the next one was written beside it.
    let half = directory.path().join(".writing-half");
    fs::create_dir(&half).expect("made");
    fs::write(half.join(MODEL), b"half").expect("written");
    assert_eq!(load(), 10);
    // Killed after the old one had stepped aside.
    let aside = directory.path().join(".checkpoint-last.previous");
    fs::rename(&path, &aside).expect("renamed");
    assert_eq!(load(), 10);
    // Killed before the old one was removed.
    checkpoint(20).save(&path).expect("saved");
    checkpoint(10).save(&aside).expect("saved");
    assert_eq!(load(), 20);
    assert!(!aside.exists());
}

/// The file with its header changed by `edit`.
fn edited(file: &[u8], edit: impl Fn(String) -> String) -> Vec<u8> {
    let size = u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let header = String::from_utf8(file[8..8 + size].to_vec()).expect("text");
    let header = edit(header);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(&file[8 + size..]);
    bytes
}

#[test]
fn damaged_checkpoints_are_typed_errors_that_say_what_was_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("checkpoint-last");
    checkpoint(10).save(&path).expect("saved");
    let model = fs::read(path.join(MODEL)).expect("read");
    let optimiser = fs::read(path.join(OPTIMISER)).expect("read");
    let payload = |file: &[u8], at: usize, value: f32| {
        let mut bytes = file.to_vec();
        let end = bytes.len() - 4 * at;
        bytes[end - 4..end].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    let swap = |file: &[u8], from: &str, to: &str| {
        edited(file, |header| {
            assert!(header.contains(from), "{from} in {header}");
            header.replace(from, to)
        })
    };
    let huge = |size: u64| {
        let mut bytes = model.clone();
        bytes[..8].copy_from_slice(&size.to_le_bytes());
        bytes
    };
    let table: Vec<(&str, &str, Vec<u8>, &[&str])> = vec![
        ("empty", MODEL, vec![], &["0 bytes", "at least 8"]),
        ("no header", MODEL, model[..7].to_vec(), &["7 bytes"]),
        (
            "header cut",
            MODEL,
            model[..100].to_vec(),
            &["header claims"],
        ),
        (
            "truncated",
            MODEL,
            model[..model.len() - 1].to_vec(),
            &["bytes, expected"],
        ),
        (
            "longer",
            MODEL,
            [&model[..], &[0]].concat(),
            &["bytes, expected"],
        ),
        ("hostile header", MODEL, huge(u64::MAX), &["header claims"]),
        (
            "another hostile header",
            MODEL,
            huge(1 << 40),
            &["header claims"],
        ),
        ("noise", MODEL, vec![0x5a; 4096], &["header claims"]),
        (
            "no JSON",
            MODEL,
            edited(&model, |h| h.replace('{', "[")),
            &["header cannot be read"],
        ),
        (
            "NaN",
            MODEL,
            payload(&model, 0, f32::NAN),
            &["tensor '1.projection.weight'", "NaN"],
        ),
        (
            "infinity",
            MODEL,
            payload(&model, 5, f32::INFINITY),
            &["inf", "finite"],
        ),
        (
            "shape",
            MODEL,
            swap(&model, "\"shape\":[1,2,7,9]", "\"shape\":[1,7,2,9]"),
            &[
                "lift.weight' has shape [1, 7, 2, 9]",
                "expected [1, 2, 7, 9]",
            ],
        ),
        (
            "type",
            MODEL,
            swap(&model, "\"F32\"", "\"I32\""),
            &["type I32", "F32"],
        ),
        (
            "missing tensor",
            MODEL,
            swap(&model, "\"0.lift.bias\"", "\"0.lift.bios\""),
            &["'0.lift.bias' is missing"],
        ),
        (
            "foreign",
            MODEL,
            swap(&model, "\"equilens\"", "\"someone\""),
            &["no 'equilens'"],
        ),
        (
            "newer",
            MODEL,
            swap(&model, "format\\\":3", "format\\\":9"),
            &["format 9", "expected 3"],
        ),
        (
            "another model",
            MODEL,
            swap(&model, "\\\"width\\\":8", "\\\"width\\\":12"),
            &["another model", "width is 12 in the file, expected 8"],
        ),
        (
            "norm",
            MODEL,
            swap(
                &model,
                "\\\"operator_norm\\\":0",
                "\\\"operator_norm\\\":-0",
            ),
            &["operator_norm is -0.33"],
        ),
        (
            "moments",
            OPTIMISER,
            optimiser[..optimiser.len() / 2].to_vec(),
            &["bytes, expected"],
        ),
        (
            "moment NaN",
            OPTIMISER,
            payload(&optimiser, 0, f32::NAN),
            &["tensor 'v.1.projection"],
        ),
        (
            "negative",
            OPTIMISER,
            payload(&optimiser, 0, -1.0),
            &["second moment is -1"],
        ),
        (
            "steps",
            OPTIMISER,
            swap(&optimiser, "step\\\":10", "step\\\":11"),
            &["step 11", "10"],
        ),
        (
            "wrong file",
            OPTIMISER,
            model.clone(),
            &["tensor 'm.0.lift.weight' is missing"],
        ),
    ];
    for (name, file, bytes, words) in table {
        fs::write(path.join(MODEL), &model).expect("written");
        fs::write(path.join(OPTIMISER), &optimiser).expect("written");
        Checkpoint::load(&path, &spec(8)).expect("good as it was");
        fs::write(path.join(file), &bytes).expect("written");
        let error = Checkpoint::load(&path, &spec(8)).expect_err(name);
        assert!(matches!(error, Error::Data { .. }), "{name}: {error:?}");
        let error = error.to_string();
        for word in words.iter().chain([&file]) {
            assert!(error.contains(word), "{name}: '{word}' in {error}");
        }
    }
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("checkpoint-last");
    checkpoint(10).save(&path).expect("saved");
    let error = Checkpoint::load(&path, &spec(12))
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("width is 8 in the file, expected 12"),
        "{error}"
    );
    let missing = Checkpoint::load(&directory.path().join("none"), &spec(8));
    assert!(matches!(missing, Err(Error::Io { .. })));
}
