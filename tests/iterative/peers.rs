//! Methods against scikit-image.

use super::support::{golden, largest, store};
use equilens::operators::{Inpainting, RayTransform};
use equilens::shape::RayGeometry;
use equilens::solvers::{Admm, Fista, Iterative, Tv};

/// Numbers of scikit-image: `tests/golden/peers`.
fn peers() -> serde_json::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/peers/peers.json");
    let text = std::fs::read_to_string(path).expect("a golden file");
    serde_json::from_str(&text).expect("json")
}

#[test]
fn filtered_back_projection_is_scikit_images() {
    use equilens::metrics::{psnr, ssim};
    use equilens::operators::Filter;
    use equilens::solvers::Fbp;
    let operator = RayTransform::new(RayGeometry {
        pixel: [1.0; 2],
        bin_width: 1.0,
        ..RayGeometry::parallel([63, 63], 63.0, 48, 91)
    });
    let sinogram: Vec<f32> = golden("peers/sinogram");
    let truth: Vec<f32> = golden("peers/truth");
    for (name, filter) in [
        ("ram-lak", Filter::RamLak),
        ("shepp-logan", Filter::SheppLogan),
        ("cosine", Filter::Cosine),
        ("hann", Filter::Hann),
    ] {
        let fbp = Fbp {
            filter,
            nonnegative: false,
        };
        let found = fbp
            .solve(&operator, &store(), &sinogram, 1)
            .expect("solves");
        let expected: Vec<f64> = golden(&format!("peers/fbp_{name}"));
        let error = largest(&found, &expected);
        let score = |what: &str| peers()[what][format!("fbp_{name}")].as_f64();
        let difference = [
            psnr(&truth, &found).expect("fits") - score("psnr").expect("a number"),
            ssim(&truth, &found, [63, 63], 1.0).expect("fits") - score("ssim").expect("a number"),
        ];
        println!("{name}: image {error:.1e}, PSNR and SSIM {difference:?}");
        // Of an image whose maximum is 0.9. Both window the same ramp, scikit-image on a periodic line.
        assert!(error < 5e-3, "{name}: {error}");
        assert!(difference[0].abs() < 0.05 && difference[1].abs() < 1e-3);
    }
}

#[test]
fn total_variation_is_scikit_images() {
    use equilens::metrics::{psnr, ssim};
    let holes = Inpainting::new([40, 33], &[true; 1320]).expect("fits");
    let [clean, noisy]: [Vec<f32>; 2] = ["clean", "noisy"].map(|n| golden(&format!("peers/{n}")));
    let expected: Vec<f64> = golden("peers/tv");
    let peers = peers();
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    let weight = number(&peers["weight"]);
    let methods: [Box<dyn Iterative>; 3] = [
        Box::new(Tv {
            weight,
            iterations: 20_000,
            nonnegative: false,
            tolerance: 1e-5,
        }),
        Box::new(Fista {
            weight,
            iterations: 2000,
            nonnegative: false,
            tolerance: 5e-6,
            ..Fista::default()
        }),
        Box::new(Admm {
            weight,
            iterations: 300,
            nonnegative: false,
            tolerance: 1e-5,
            ..Admm::default()
        }),
    ];
    for method in methods {
        let found = method
            .solve(&holes, &store(), &noisy, 1, &mut |_| {})
            .expect("solves");
        let last = found.history.last().expect("measured");
        let objective = last.objective / number(&peers["objective"]) - 1.0;
        let error = largest(&found.images, &expected);
        let score = |what: &str| number(&peers[what]["tv"]);
        let difference = [
            psnr(&clean, &found.images).expect("fits") - score("psnr"),
            ssim(&clean, &found.images, [40, 33], 1.0).expect("fits") - score("ssim"),
        ];
        println!(
            "{}: objective {objective:.1e}, image {error:.1e}, PSNR and SSIM {difference:?}",
            method.name()
        );
        // The proximal map alone makes this problem, so FISTA comes closest.
        let bound = if method.name() == "fista" { 1e-5 } else { 1e-4 };
        assert!(objective.abs() < bound, "{objective}");
        assert!(error < 2e-3, "{error}");
        assert!(difference[0].abs() < 0.01 && difference[1].abs() < 1e-3);
    }
}
