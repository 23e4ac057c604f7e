use super::*;
use crate::config::parse_toml;
use crate::data::npy;
use crate::problems::{OperatorConfig, Problem, ProblemConfig};

fn parse(operator: &str) -> Result<ProblemConfig> {
    let text = format!("[operator]\nkind = \"fourier\"\n{operator}\n");
    parse_toml("p.toml", &text)
}

fn fourier(operator: &str) -> FourierConfig {
    match parse(operator).expect("parses").operator {
        OperatorConfig::Fourier(config) => config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_defaults_are_the_papers() {
    let config = fourier("").resolved().expect("valid");
    assert_eq!(config.image_size.extents(), [320, 320]);
    let FileOr::Made(MaskConfig::Cartesian(mask)) = &config.mask else {
        panic!("{config:?}");
    };
    assert_eq!((mask.lines, mask.centre), (Some(65), Some(16)));
    let lines = mask.lines_of(320).expect("fits");
    let share = lines.iter().filter(|&&m| m).count() as f64 / 320.0;
    assert!((share - 0.203).abs() < 5e-4, "20.3 % of k-space");
    // In proportion at other sizes.
    let small = fourier("image_size = 64").resolved().expect("valid");
    let FileOr::Made(MaskConfig::Cartesian(mask)) = &small.mask else {
        panic!("{small:?}");
    };
    assert_eq!((mask.lines, mask.centre), (Some(13), Some(3)));
    // 7.5 and 1.85, rounded.
    let odd = fourier("image_size = 37").resolved().expect("valid");
    let FileOr::Made(MaskConfig::Cartesian(mask)) = &odd.mask else {
        panic!("{odd:?}");
    };
    assert_eq!((mask.lines, mask.centre), (Some(8), Some(2)));
    let tiny = fourier("image_size = 1").operator().expect("valid");
    assert_eq!(tiny.size(), [1, 1]);
}

#[test]
fn configs_survive_being_written_out() {
    for text in [
        "image_size = [37, 64]\nmask = { kind = \"cartesian\", lines = 9, density = \"uniform\" }",
        "mask = \"mask.npy\"\ncoils = \"maps.npy\"\ncentred = true",
        "image_size = 32\ncoils = { kind = \"birdcage\", count = 4 }",
    ] {
        let config = fourier(text).resolved().expect("valid");
        let problem = ProblemConfig {
            operator: OperatorConfig::Fourier(config),
            ..Default::default()
        };
        let written = toml::to_string(&problem).expect("TOML");
        let again: ProblemConfig = parse_toml("again.toml", &written).expect("parses");
        assert_eq!(again, problem, "{written}");
    }
}

#[test]
fn unusable_settings_name_their_key() {
    let refused = |text: &str| match parse(text) {
        Err(e) => e.to_string(),
        Ok(config) => match Problem::new(&config) {
            Err(e) => e.to_string(),
            Ok(_) => panic!("{text} is accepted"),
        },
    };
    for (text, words) in [
        ("image_size = 0", &["operator.image_size"][..]),
        ("image_sise = 8", &["image_sise", "image_size"]),
        ("mask = 3", &["mask", ".npy"]),
        ("mask = { lines = 3 }", &["kind"]),
        ("mask = { kind = \"radial\" }", &["radial", "cartesian"]),
        (
            "mask = { kind = \"cartesian\", line = 3 }",
            &["line", "lines"],
        ),
        (
            "image_size = 20\nmask = { kind = \"cartesian\", lines = 21 }",
            &["mask.lines = 21", "20 lines"],
        ),
        (
            "image_size = 20\nmask = { kind = \"cartesian\", lines = 4, centre = 5 }",
            &["mask.centre = 5"],
        ),
        (
            "mask = { kind = \"cartesian\", density = \"dense\" }",
            &["dense", "variable"],
        ),
        (
            "coils = { kind = \"birdcage\", count = 0 }",
            &["coils.count"],
        ),
        (
            "coils = { kind = \"birdcage\", radius = 1.0 }",
            &["coils.radius"],
        ),
        (
            "image_size = 8192\ncoils = { kind = \"birdcage\" }",
            &["operator.coils", "8 coils"],
        ),
        ("coils = \"absent.npy\"", &["absent.npy"]),
        ("mask = \"absent.npy\"", &["absent.npy"]),
        ("[noise]\nkind = \"poisson\"", &["noise.kind", "gaussian"]),
        (
            "[noise]\nkind = \"low_dose_ct\"",
            &["noise.kind", "gaussian"],
        ),
        ("[phase]\nradians = -1.0", &["phase.radians"]),
        ("[phase]\nradian = 1.0", &["radian", "radians"]),
    ] {
        let message = refused(text);
        for word in words {
            assert!(message.contains(word), "no {word} in {message}");
        }
    }
    let text = "[operator]\nkind = \"ray_transform\"\n[phase]\nseed = 1\n";
    let config: ProblemConfig = parse_toml("p.toml", text).expect("parses");
    let error = Problem::new(&config).expect_err("refused").to_string();
    assert!(
        error.contains("[phase]") && error.contains("ray_transform"),
        "{error}"
    );
}

#[test]
fn files_are_found_beside_the_problem() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let mask: Vec<f32> = (0..12).map(|i| f32::from(u8::from(i < 8))).collect();
    npy::write_npy(path("mask.npy"), &[3, 4], &mask).expect("written");
    let maps = vec![num_complex::Complex32::new(0.5, 0.5); 24];
    npy::write_npy(path("maps.npy"), &[2, 3, 4], &maps).expect("written");
    let text = "[operator]\nkind = \"fourier\"\nimage_size = [3, 4]\nmask = \"mask.npy\"\ncoils = \"maps.npy\"\n";
    std::fs::write(path("p.toml"), text).expect("written");
    let problem = Problem::load(&path("p.toml")).expect("loads");
    assert_eq!(problem.operator.range().0, [1, 4, 3, 4]);
    assert_eq!(problem.operator.domain().0, [1, 2, 3, 4]);
    for (size, file) in [("[4, 3]", "mask.npy"), ("[3, 5]", "mask.npy")] {
        std::fs::write(path("p.toml"), text.replace("[3, 4]", size)).expect("written");
        let error = Problem::load(&path("p.toml")).expect_err("refused");
        assert!(matches!(error, Error::Data { .. }), "{error:?}");
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn the_mask_follows_the_origin_of_k_space() {
    let mask = CartesianConfig {
        lines: Some(3),
        centre: Some(3),
        ..Default::default()
    };
    let rows = |centred| -> Vec<usize> {
        let measured = mask.measured([8, 2], centred).expect("fits");
        (0..8).filter(|r| measured[2 * r]).collect()
    };
    assert_eq!(rows(true), [3, 4, 5]);
    assert_eq!(rows(false), [0, 1, 7]);
}
