//! Messages about configurations: file, line, key, and what to do.

use equilens::config::parse_toml;
use equilens::error::Error;
use equilens::operators::Noise;
use equilens::problems::{ImageSize, OperatorConfig, Problem, ProblemConfig};
use equilens::shape::{Beam, Detector, Projector, RayGeometry};

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

/// The scan of `[operator]` lines.
fn scan(lines: &str) -> RayGeometry {
    let config = parse(&operator(lines)).expect("readable");
    let problem = Problem::new(&config).expect("valid");
    // What is written out is read back to the same problem.
    let text = toml::to_string(&problem.config).expect("serializable");
    assert_eq!(parse(&text).expect("valid"), problem.config);
    match &problem.config.operator {
        OperatorConfig::RayTransform(ray) => ray.geometry(1).expect("valid"),
        other => panic!("{other:?}"),
    }
}

const FAN: &str =
    "image_size = 40\nbeam = { kind = 'fan', source_to_centre = 0.5, centre_to_detector = 0.3";

#[test]
fn fans_ranges_projectors_and_pixels_are_understood() {
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    let flat = scan(&format!("{FAN} }}\nviews = 8"));
    let Beam::Fan(fan) = flat.beam else {
        panic!("{flat:?}");
    };
    assert_eq!(fan.source_to_centre, 0.5);
    assert_eq!(fan.centre_to_detector, 0.3);
    assert_eq!(fan.detector, Detector::Flat);
    // A whole turn, and a detector that just covers the circle around the image.
    near(flat.angles[1], std::f64::consts::FRAC_PI_4);
    assert_eq!(flat.bins, 57);
    near(flat.half_fan().sin(), flat.radius() / 0.5);

    let short = scan(&format!(
        "{FAN}, detector = 'curved', scan = 'short' }}\nviews = 100"
    ));
    let extent = std::f64::consts::PI + 2.0 * short.half_fan();
    near(short.angles[99], 0.99 * extent);
    assert!(matches!(short.beam, Beam::Fan(fan) if fan.detector == Detector::Curved));

    // A longer short scan, and less than one without calling it that.
    let longer = scan(&format!(
        "{FAN}, scan = 'short' }}\nangular_range = [-20, 280]\nviews = 3"
    ));
    near(longer.angles[0].to_degrees(), -20.0);
    near(longer.angles[2].to_degrees(), 180.0);
    let limited = scan(&format!("{FAN} }}\nangular_range = [10, 130]\nviews = 12"));
    near(limited.angles[11].to_degrees(), 120.0);
    let limited = scan("image_size = 40\nangular_range = [30, 150]\nviews = 60");
    near(limited.angles[59].to_degrees(), 148.0);
    assert_eq!(limited.beam, Beam::Parallel);

    let siddon = scan("image_size = [30, 40]\nprojector = 'siddon'\nfield_of_view = [0.6, 0.4]");
    assert_eq!(siddon.projector, Projector::Siddon);
    near(siddon.pixel[0], 0.02);
    near(siddon.pixel[1], 0.01);
    near(siddon.bin_width * siddon.bins as f64, f64::hypot(0.6, 0.4));
}

#[test]
fn scans_that_cannot_be_are_refused_by_key() {
    let fan = |distances: &str, rest: &str| {
        operator(&format!(
            "image_size = 40\nbeam = {{ kind = 'fan', {distances} }}\n{rest}"
        ))
    };
    let good = "source_to_centre = 0.5, centre_to_detector = 0.3";
    for (text, named) in [
        // Its corners are 0.2546 m from the centre.
        (
            fan("source_to_centre = 0.2, centre_to_detector = 0.3", ""),
            &[
                "operator.beam.source_to_centre = 0.2",
                "into the image",
                "0.2546",
                "use more than",
            ][..],
        ),
        (
            fan("source_to_centre = 0, centre_to_detector = 0.3", ""),
            &["operator.beam.source_to_centre"],
        ),
        (
            fan("source_to_centre = 0.5, centre_to_detector = 0", ""),
            &["operator.beam.centre_to_detector"],
        ),
        (
            fan("source_to_centre = nan, centre_to_detector = 0.3", ""),
            &["operator.beam.source_to_centre"],
        ),
        (
            fan("source_to_centre = 0.5", ""),
            &["centre_to_detector", "missing"],
        ),
        (
            fan(good, "detector_width = 0.5"),
            &["operator.detector_width", "85"],
        ),
        (
            fan(good, "detector_offset = 2.0"),
            &["operator.detector_offset"],
        ),
        (
            fan(&format!("{good}, detector = 'round'"), ""),
            &["round", "curved"],
        ),
        (
            fan(&format!("{good}, scan = 'half'"), ""),
            &["half", "full", "short"],
        ),
        (fan(&format!("{good}, radius = 1"), ""), &["radius"]),
        (
            fan(
                &format!("{good}, scan = 'short'"),
                "angular_range = [0, 190]",
            ),
            &[
                "operator.angular_range = [0, 190] is 190 degrees",
                "operator.beam.scan = \"short\"",
                "241.2",
            ],
        ),
        (
            fan(
                &format!("{good}, scan = 'full'"),
                "angular_range = [0, 300]",
            ),
            &["operator.angular_range", "360"],
        ),
        (
            fan(&format!("{good}, scan = 'short'"), "angles = [0, 10]"),
            &["operator.beam.scan", "operator.angles"],
        ),
        (
            operator("angular_range = [0, 90]\nangles = [0]"),
            &["operator.angular_range", "operator.angles"],
        ),
        (
            operator("angular_range = [90, 0]"),
            &["operator.angular_range"],
        ),
        (
            operator("angular_range = [0, 400]"),
            &["operator.angular_range"],
        ),
        (
            operator("angular_range = [nan, 90]"),
            &["operator.angular_range"],
        ),
        (
            operator("projector = 'josef'"),
            &["josef", "joseph", "siddon"],
        ),
        (
            operator("field_of_view = [0.3]"),
            &["field_of_view", "[height, width]"],
        ),
        (
            operator("field_of_view = [0.3, 0]"),
            &["operator.field_of_view"],
        ),
        (operator("beam = { kind = 'cone' }"), &["cone", "fan"]),
    ] {
        refused(&text, named);
    }
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
