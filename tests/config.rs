//! Messages about configurations: file, line, key, and what to do.

use equilens::config::parse_toml;
use equilens::error::Error;
use equilens::operators::Noise;
use equilens::problems::{ImageSize, OperatorConfig, Problem, ProblemConfig};

fn parse(text: &str) -> Result<ProblemConfig, Error> {
    parse_toml("scans/p.toml", text)
}

/// The message, which names every part in `parts` and is one paragraph.
#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let error = parse(text)
        .and_then(|config| Problem::new(&config))
        .expect_err("refused");
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    for part in parts {
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
}

const HEAD: &str = "[operator]\nkind = \"ray_transform\"\n";

fn operator(line: &str) -> String {
    format!("{HEAD}{line}\n")
}

fn noise(lines: &str) -> String {
    format!("{HEAD}image_size = 16\n[noise]\n{lines}\n")
}

#[test]
fn the_documented_file_is_read() {
    let config = parse(
        r#"
        [operator]
        kind = "ray_transform"
        image_size = 128
        views = 50
        detector_bins = 182
        field_of_view = 0.36
        [noise]
        kind = "low_dose_ct"
        photons = 1e4
        attenuation = 81.35858
        "#,
    )
    .expect("valid");
    let low_dose = Noise::LowDoseCt {
        photons: 1e4,
        attenuation: 81.35858,
        eta: 1e-8,
        readout: 0.0,
    };
    assert_eq!(config.noise, low_dose);
    let problem = Problem::new(&config).expect("valid");
    assert_eq!(problem.operator.domain().0, [1, 1, 128, 128]);
    assert_eq!(problem.operator.range().0, [1, 1, 50, 182]);
}

#[test]
fn defaults_are_the_papers_and_are_written_out() {
    let problem = Problem::new(&parse(HEAD).expect("valid")).expect("valid");
    assert_eq!(problem.operator.domain().0, [1, 1, 512, 512]);
    assert_eq!(problem.operator.range().0, [1, 1, 50, 725]);
    let text = toml::to_string(&problem.config).expect("serializable");
    for line in ["views = 50", "detector_bins = 725", "kind = \"none\""] {
        assert!(text.contains(line), "{text}");
    }
    // What is written out is read back to the same problem.
    assert_eq!(parse(&text).expect("valid"), problem.config);
    let OperatorConfig::RayTransform(ray) = &problem.config.operator else {
        panic!("{:?}", problem.config);
    };
    let width = ray.detector_width.expect("written out");
    assert!((width - std::f64::consts::SQRT_2 * 0.36 / 725.0).abs() < 1e-15);
}

#[test]
fn rectangles_angles_and_offsets_are_understood() {
    let config = parse(&operator(
        "image_size = [30, 40]\nangles = [0, 45.0, 90]\nfield_of_view = 0.4\ndetector_offset = 0.01",
    ))
    .expect("valid");
    let OperatorConfig::RayTransform(ray) = &config.operator else {
        panic!("{config:?}");
    };
    assert_eq!(ray.image_size, ImageSize::Rectangle([30, 40]));
    let beam = ray.geometry(1).expect("valid");
    // The diagonal is 50 pixels of 1 cm.
    assert_eq!((beam.rows, beam.columns, beam.bins), (30, 40, 50));
    assert!((beam.bin_width - 0.01).abs() < 1e-15);
    assert!((beam.angles[1] - std::f64::consts::FRAC_PI_4).abs() < 1e-15);
    // A finer grid has the same field of view and detector.
    let fine = ray.geometry(2).expect("valid");
    assert_eq!((fine.rows, fine.columns, fine.bins), (60, 80, 50));
    assert_eq!(fine.pixel[0] * 2.0, beam.pixel[0]);
    assert_eq!(fine.bin_width, beam.bin_width);
}

#[test]
fn unknown_names_bring_the_nearest_known_one() {
    refused(
        &operator("image_size = 16\nveiws = 3"),
        &["scans/p.toml", "line 4", "operator.veiws", "`views`"],
    );
    refused(
        "[operator]\nkind = \"ray_transfrom\"\n",
        &["line 2", "operator.kind", "`ray_transform`"],
    );
    refused(
        &noise("kind = \"gausian\"\nsigma = 1.0"),
        &["line 5", "noise.kind", "`gaussian`", "low_dose_ct"],
    );
    refused(
        &noise("kind = \"gaussian\"\nsigma = 1.0\nphotons = 3"),
        &["line 7", "noise.photons", "unknown key"],
    );
    refused(
        &noise("kind = \"none\"\nsigma = 1.0"),
        &["line 6", "noise.sigma"],
    );
    refused(
        &format!("{HEAD}[nois]\nkind = \"none\""),
        &["line 3", "key `nois`", "`noise`"],
    );
    refused(
        &operator("view = { a = 1 }"),
        &["line 3", "operator.view", "`views`"],
    );
}

#[test]
fn wrong_types_name_their_key() {
    refused(
        &operator("image_size = 16\nviews = \"many\""),
        &["line 4", "operator.views", "string"],
    );
    refused(&operator("views = -3"), &["line 3", "operator.views", "-3"]);
    refused(
        &operator("views = 3\nimage_size = [1, 2, 3]"),
        &["line 4", "operator.image_size", "[rows, columns]"],
    );
    refused(
        &noise("kind = \"gaussian\"\nsigma = [1]"),
        &["line 6", "noise.sigma"],
    );
}

#[test]
fn missing_keys_and_bad_syntax_say_where() {
    refused(
        &noise("kind = \"gaussian\""),
        &["line 4", "`sigma`", "missing"],
    );
    refused("[noise]\nkind = \"none\"", &["`operator`", "missing"]);
    refused("[operator]\nviews = 3", &["line 1", "`kind`", "missing"]);
    refused(
        "[operator]\nkind = = 3",
        &["scans/p.toml, line 2, column 8", "https://toml.io"],
    );
    refused("[operator]\nkind = \"a", &["line 2"]);
    refused("", &["`operator`"]);
}

#[test]
fn numbers_that_cannot_be_used_are_refused_by_key() {
    for (line, key) in [
        ("image_size = 0", "operator.image_size"),
        ("image_size = [4, 0]", "operator.image_size"),
        ("image_size = 8193", "operator.image_size"),
        ("image_size = 9223372036854775807", "operator.image_size"),
        ("views = 0", "operator.views"),
        ("views = 100001", "operator.views"),
        ("angles = []", "operator.angles"),
        ("angles = [0.0, nan]", "operator.angles"),
        ("angles = [inf]", "operator.angles"),
        ("views = 2\nangles = [0.0]", "operator.angles"),
        ("detector_bins = 0", "operator.detector_bins"),
        ("detector_bins = 65537", "operator.detector_bins"),
        ("field_of_view = 0.0", "operator.field_of_view"),
        ("field_of_view = -0.36", "operator.field_of_view"),
        ("field_of_view = nan", "operator.field_of_view"),
        ("field_of_view = 1e300", "operator.field_of_view"),
        ("detector_width = 0", "operator.detector_width"),
        ("detector_width = -inf", "operator.detector_width"),
        ("detector_width = 1e-30", "operator.detector_width"),
        ("detector_offset = nan", "operator.detector_offset"),
        ("detector_offset = 5.0", "operator.detector_offset"),
    ] {
        refused(&operator(line), &[key]);
    }
    for (lines, key) in [
        ("kind = \"gaussian\"\nsigma = 0", "noise.sigma"),
        ("kind = \"gaussian\"\nsigma = -1", "noise.sigma"),
        ("kind = \"gaussian\"\nsigma = nan", "noise.sigma"),
        ("kind = \"poisson\"\ngain = 0.0", "noise.gain"),
        ("kind = \"poisson\"\ngain = inf", "noise.gain"),
        ("kind = \"poisson_gaussian\"\nsigma = nan", "noise.sigma"),
        (
            "kind = \"poisson_gaussian\"\ngain = -1\nsigma = 1",
            "noise.gain",
        ),
        ("kind = \"low_dose_ct\"\nphotons = 0", "noise.photons"),
        ("kind = \"low_dose_ct\"\nphotons = 1e7", "noise.photons"),
        (
            "kind = \"low_dose_ct\"\nattenuation = 0",
            "noise.attenuation",
        ),
        ("kind = \"low_dose_ct\"\neta = 0", "noise.eta"),
        ("kind = \"low_dose_ct\"\neta = 2.0", "noise.eta"),
    ] {
        refused(&noise(lines), &[key]);
    }
}
