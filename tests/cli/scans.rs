//! Computed tomography by fan beams, short scans, limited angles and Siddon's method, from images to
//! reconstructions.

use super::place::Place;
use equilens::data::npy;

const FLAT: &str = r#"
[operator]
kind = "ray_transform"
image_size = 16
views = 40
detector_bins = 25
[operator.beam]
kind = "fan"
source_to_centre = 0.6
centre_to_detector = 0.4
"#;

const SHORT: &str = r#"
[operator]
kind = "ray_transform"
image_size = 16
views = 40
detector_bins = 25
projector = "siddon"
beam = { kind = "fan", source_to_centre = 0.6, centre_to_detector = 0.4, detector = "curved", scan = "short" }
"#;

const LIMITED: &str = r#"
[operator]
kind = "ray_transform"
image_size = 16
views = 40
detector_bins = 25
angular_range = [30, 150]
field_of_view = [0.36, 0.36]
projector = "siddon"
"#;

#[test]
fn every_scan_is_simulated_and_solved() {
    let place = Place::new();
    // A third of the directions is missing from the last one.
    for (text, fbp, cgls) in [
        (FLAT, 0.03, 0.01),
        (SHORT, 0.03, 0.01),
        (LIMITED, 0.08, 0.05),
    ] {
        place.text("p.toml", text);
        place.json("simulate --problem p.toml --images images.npy --out y.npy");
        let y = npy::read_real_npy(place.path("y.npy")).unwrap();
        assert_eq!(y.shape, [3, 40, 25]);
        place.json("classical fbp --problem p.toml --input y.npy --out fbp.npy --filter hann");
        place.json("classical cgls --problem p.toml --input y.npy --out cgls.npy --iterations 20");
        let errors = ["fbp.npy", "cgls.npy"].map(|name| place.error(name));
        println!("{errors:?}");
        assert!(errors[0] < fbp && errors[1] < cgls, "{errors:?}: {text}");

        place.json("operator forward --problem p.toml --input images.npy --out ax.npy");
        let clean = npy::read_real_npy(place.path("ax.npy")).unwrap();
        assert_eq!(clean.data, y.data, "no noise");
        place.json("operator adjoint --problem p.toml --input y.npy --out aty.npy");
        let norm = place.json("operator norm --problem p.toml");
        assert!(norm["norm"].as_f64().unwrap() > 0.01, "{norm}");
    }
}

#[test]
fn scans_that_cannot_be_are_refused() {
    let place = Place::new();
    for (from, to, named) in [
        (
            "source_to_centre = 0.6",
            "source_to_centre = 0.1",
            &[
                "bad.toml",
                "operator.beam.source_to_centre = 0.1",
                "use more than",
            ][..],
        ),
        (
            "source_to_centre = 0.6",
            "source_to_center = 0.6",
            &["bad.toml", "source_to_center", "`source_to_centre`"],
        ),
        (
            "views = 40",
            "views = 40\nangular_range = [0, 200]",
            &["bad.toml", "operator.angular_range", "short"],
        ),
        (
            "projector = \"siddon\"",
            "projector = \"sidon\"",
            &["bad.toml", "sidon", "siddon"],
        ),
    ] {
        place.text("bad.toml", &SHORT.replace(from, to));
        for command in [
            "simulate --problem bad.toml --images images.npy --out out.npy",
            "classical fbp --problem bad.toml --input y.npy --out out.npy",
            "operator norm --problem bad.toml",
        ] {
            place.refused(command, 2, named);
        }
    }
}
