//! Profiles, and what is kept between runs.

use super::place::Place;

#[test]
fn a_profile_tells_where_the_step_goes_and_trains_nothing() {
    let place = Place::new();
    let profile = place.json("train train.toml --profile");
    let number = |value: &serde_json::Value, key: &str| value[key].as_f64().unwrap();
    let kernels = profile["kernels"].as_array().unwrap();
    let sum: f64 = kernels.iter().map(|k| number(k, "milliseconds")).sum();
    assert!((sum - number(&profile, "kernels_ms")).abs() < 1e-6 * sum);
    let calls: f64 = kernels.iter().map(|k| number(k, "dispatches")).sum();
    assert_eq!(calls, number(&profile, "dispatches"));
    let times: Vec<f64> = kernels.iter().map(|k| number(k, "milliseconds")).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let clock = profile["clock"].as_str().unwrap();
    assert!(["timestamps", "wall_clock"].contains(&clock), "{clock}");
    let convolutions =
        (kernels.iter()).filter(|k| k["kernel"].as_str().unwrap().starts_with("conv/"));
    assert!(convolutions.count() > 3);
    assert!(number(&profile, "peak_bytes") > 0.0 && number(&profile, "step_ms") > 0.0);
    let text = place.run("train train.toml --profile");
    assert!(text.status.success());
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for word in ["of roofline", "conv/", "ceiling", "one by one"] {
        assert!(text.contains(word), "no '{word}' in {text}");
    }
    place.refused(
        "train train.toml --profile --out run",
        2,
        &["--profile", "--out"],
    );
}

/// The one file of a cache directory, if there is one.
fn kept(place: &Place) -> Option<std::path::PathBuf> {
    let mut files = std::fs::read_dir(place.path("cache")).ok()?;
    let file = files.next().map(|entry| entry.unwrap().path());
    assert!(files.next().is_none(), "more than one file in the cache");
    file
}

#[test]
fn compiled_shaders_are_kept_where_the_backend_hands_them_out() {
    let place = Place::new();
    let directory = place.path("cache");
    let environment = [("EQUILENS_CACHE", directory.to_str().unwrap())];
    let command = "--json operator norm --problem problem.toml";
    let run = |arguments: &str| {
        let output = place.run_with(arguments, &environment);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{message}");
        (String::from_utf8(output.stdout).unwrap(), message)
    };
    run(&format!("{command} --no-cache"));
    assert!(!directory.exists());
    let (first, silent) = run(command);
    assert_eq!(silent, "");
    let Some(file) = kept(&place) else {
        println!("this backend has no pipeline cache");
        return;
    };
    assert_eq!(run(command), (first.clone(), String::new()));
    // Damaged: a warning, the same result, and a whole file again.
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let (again, warning) = run(command);
    assert_eq!(again, first);
    assert!(warning.contains("pipeline cache"), "{warning}");
    assert_eq!(run(command), (first.clone(), String::new()));
    // No place to write to.
    let blocked = [(
        "EQUILENS_CACHE",
        place.path("file").to_str().unwrap().to_owned(),
    )];
    let blocked = blocked
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let output = place.run_with(command, &blocked);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), first);
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warning.contains("pipeline cache"), "{warning}");
}
