//! What is typed wrongly, what cannot be written or allocated, and help.

use super::place::{PROBLEM, Place};

#[test]
fn wrong_usage_is_one_paragraph_with_code_2() {
    let place = Place::new();
    for (arguments, named) in [
        ("trian", &["train"][..]),
        ("train", &["CONFIG.toml"]),
        ("train train.toml", &["--out"]),
        ("simulate --problem problem.toml", &["--images"]),
        ("devices --bakend gl", &["--backend"]),
        ("devices --backend opengl", &["opengl", "vulkan"]),
        ("devices --seed -1", &["-1"]),
        ("devices --seed 99999999999999999999", &["--seed"]),
        ("devices --memory-limit lots", &["--memory-limit", "2GiB"]),
        ("devices --memory-limit 0", &["--memory-limit"]),
        ("group basis --group Q8", &["Q8", "C4"]),
        ("group basis --output regulr", &["regulr", "regular"]),
        ("group basis --size 4", &["4"]),
        ("group basis --size 11", &["11"]),
        ("group basis --group C8", &["C8", "harmonic"]),
        ("group basis --group C3", &["C3", "C4", "D4", "harmonic"]),
        ("group basis --group SO3", &["SO3", "SO2"]),
        (
            "group basis --group SO2",
            &["regular", "SO2", "irreps", "harmonic"],
        ),
        (
            "group basis --group SO2 --output irrep(1)",
            &["SO2", "harmonic"],
        ),
        (
            "group basis --group O2 --output quotient(C2)",
            &["quotient", "O2", "finite"],
        ),
        (
            "group basis --group SO2 --output irrep(1000) --basis harmonic",
            &["1000", "180"],
        ),
        (
            "train train.toml --out run --set model.group=\"SO2\"",
            &["group", "SO2", "finite"],
        ),
        (
            "group basis --group D360 --input regular --size 9 --basis harmonic",
            &["bytes"],
        ),
        ("check identifiability", &["--problem", "--group"]),
        (
            "check identifiability --problem problem.toml --group Q8",
            &["Q8", "shifts"],
        ),
        (
            "check identifiability --problem problem.toml --group SO2",
            &["SO2", "finite"],
        ),
        (
            "check identifiability --problem problem.toml --group C4 --size 17",
            &["17", "16"],
        ),
        (
            "check identifiability --problem problem.toml --group D360 --group D360",
            &["D360", "--size"],
        ),
        ("check conv identifiability", &["identifiability"]),
        ("bench ray/foward/128-50", &["ray/forward/128-50"]),
        ("bench conv3x3/forward/96-96/0", &["conv3x3"]),
        ("bench --filter nothing", &["nothing"]),
        ("bench --samples 0", &["--samples"]),
        ("tune nothing", &["nothing", "--list", "conv2d"]),
        ("tune --budget 0", &["--budget"]),
        ("tune --config absent.toml", &["absent.toml"]),
        ("devices --tune always", &["always", "--tune"]),
        (
            "bench symmetric_conv/C3/forward/24-24/64",
            &["symmetric_conv/C4"],
        ),
        ("bench --compare ray/forward/16-5", &["--compare"]),
        ("bench --compare readable ray/forward/16-5", &["--name"]),
        (
            "bench --compare storage fast --name ray/forward/16-5",
            &["'fast'", "'storage'"],
        ),
        (
            "bench --compare a b --name step/ct/C4/8/16",
            &["single kernel"],
        ),
        ("bench --quick", &["--scaling"]),
        ("bench --scaling --table", &["--scaling", "--table"]),
        ("bench --table --filter nothing", &["nothing", "conv3x3"]),
        (
            "bench --table --peer-command jax=python3",
            &["jax", "scipy"],
        ),
        ("bench --first-step ray/forward/16-5", &["step/ct"]),
        (
            "classical tv --problem problem.toml --input y.npy --out u.npy --weight nan",
            &["weight"],
        ),
        (
            "classical tv --problem problem.toml --input y.npy --out u.npy --weight -1",
            &["weight"],
        ),
        (
            "classical tv --problem problem.toml --input y.npy --out u.npy --iterations 0",
            &["iterations"],
        ),
        (
            "classical fbp --problem problem.toml --input y.npy --out u.npy --filter ramp",
            &["ramp", "ram-lak"],
        ),
        ("completions tcsh", &["tcsh", "bash"]),
        ("operator norm --problem problem.toml --adapter 99", &["99"]),
    ] {
        let code = match arguments {
            _ if arguments.contains("--adapter") => 3,
            _ if arguments.contains("absent") => 4,
            _ => 2,
        };
        place.refused(arguments, code, named);
    }
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_the_work() {
    let place = Place::new();
    for out in ["file/out", "no/such/directory/out.npy", "."] {
        for command in [
            "simulate --problem problem.toml --images images.npy --out OUT",
            "operator forward --problem problem.toml --input images.npy --out OUT",
            "classical fbp --problem problem.toml --input y.npy --out OUT",
            "group basis --out OUT",
            "bench ray/forward/8-4 --samples 1 --record OUT",
        ] {
            place.refused(&command.replace("OUT", out), 4, &[out, "cannot write"]);
        }
    }
    for out in ["file", "file/run"] {
        place.refused(
            &format!("train train.toml --out {out}"),
            4,
            &[out, "cannot"],
        );
        let picture = "classical fbp --problem problem.toml --input y.npy --out u.npy --png";
        place.refused(&format!("{picture} {out}"), 4, &[out, "cannot"]);
    }
}

#[test]
fn empty_variables_count_as_unset_and_unknown_values_are_refused() {
    let place = Place::new();
    let empty = [
        ("EQUILENS_BACKEND", ""),
        ("EQUILENS_ADAPTER", ""),
        ("EQUILENS_TUNE", ""),
    ];
    let output = place.run_with("devices", &empty);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    place.refused_with(
        "operator norm --problem problem.toml",
        &[("EQUILENS_BACKEND", "vulcan")],
        2,
        &["EQUILENS_BACKEND=vulcan", "vulkan"],
    );
    place.refused_with(
        "operator norm --problem problem.toml",
        &[("EQUILENS_TUNE", "always")],
        2,
        &["EQUILENS_TUNE=always", "force"],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn without_an_adapter_the_message_says_what_to_install() {
    let place = Place::new();
    let environment = [
        ("VK_DRIVER_FILES", "/nonexistent"),
        ("VK_ICD_FILENAMES", "/nonexistent"),
        ("EQUILENS_BACKEND", "vulkan"),
    ];
    for command in [
        "devices",
        "operator norm --problem problem.toml",
        "train train.toml --out run",
        "simulate --problem problem.toml --images images.npy --out out.npy",
        "bench",
    ] {
        let install = "apt-get install mesa-vulkan-drivers";
        place.refused_with(command, &environment, 3, &["no usable adapter", install]);
    }
}

#[test]
fn too_little_memory_tells_both_numbers() {
    let place = Place::new();
    for command in [
        "operator norm --problem problem.toml",
        "simulate --problem problem.toml --images images.npy --out out.npy",
        "classical fbp --problem problem.toml --input y.npy --out out.npy",
        "classical tv --problem problem.toml --input y.npy --out out.npy",
        "train train.toml --out run",
    ] {
        let limited = format!("{command} --memory-limit 1000");
        place.refused(
            &limited,
            5,
            &["1000 bytes are available", "bytes are needed"],
        );
    }
    // One buffer beyond what the adapter binds, whatever the limit.
    let large = PROBLEM
        .replace(
            "image_size = 16",
            "image_size = 8192\ndetector_bins = 65536",
        )
        .replace("views = 8", "views = 100000");
    place.text("large.toml", &large);
    place.refused("operator norm --problem large.toml", 5, &["bytes"]);
}

#[test]
fn help_and_version_go_to_standard_output() {
    let place = Place::new();
    for (arguments, says) in [
        ("--help", "Exit codes"),
        ("--version", "equilens"),
        ("train --help", "Examples"),
        ("operator forward --help", "--problem"),
        ("completions bash", "equilens"),
    ] {
        let output = place.run(arguments);
        assert!(output.status.success(), "{arguments}");
        assert!(output.stderr.is_empty(), "{arguments}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(says), "{arguments}: {text}");
    }
}
