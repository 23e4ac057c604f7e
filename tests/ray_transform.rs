//! The ray transforms and their transposes as matrices, however their kernels read.

use equilens::gpu::{Gpu, Selection};
use equilens::kernels::Forced;
use equilens::kernels::ray_transform::Reading;
use equilens::shape::{Detector, Fan, Projector, RayGeometry, Shape};
use equilens::tape::plan::{Options, Plan, Store};
use equilens::tape::{Tape, Var};
use std::sync::Arc;

const READINGS: [Reading; 4] = [
    Reading::Storage,
    Reading::Uniform { limit: 16_384 },
    Reading::Shared { threads: 4 },
    Reading::Shared { threads: 16 },
];

/// A map as the tape records it.
type Record = fn(&mut Tape, Var, &Arc<RayGeometry>) -> equilens::error::Result<Var>;

/// What the map makes of each unit array, one after another; asserts that it does so again.
fn columns(
    store: &Store,
    beam: &Arc<RayGeometry>,
    reading: Reading,
    one: Shape,
    map: Record,
) -> Vec<f32> {
    let n = one.elements();
    let mut tape = Tape::new();
    let x = tape.input("x", Shape::new(n, 1, one.h(), one.w()));
    let y = map(&mut tape, x, beam).expect("records");
    let options = Options {
        forced: Forced {
            reading: Some(reading),
            ..Forced::default()
        },
        ..Options::default()
    };
    let plan = Plan::compile(&tape, &[y], store, options).expect("compiles");
    let units: Vec<f32> = (0..n * n)
        .map(|i| f32::from(u8::from(i % (n + 1) == 0)))
        .collect();
    let run = || {
        plan.run(&[("x", &units)]).expect("runs");
        plan.read(y).expect("reads")
    };
    let columns = run();
    assert_eq!(columns, run(), "another result of {reading}");
    columns
}

#[test]
fn transposes_are_exact_as_matrices_however_they_read() {
    let store = Store::new(&Gpu::open(&Selection::default()).expect("an adapter"));
    let fan = |detector| {
        let fan = Fan {
            source_to_centre: 0.5,
            centre_to_detector: 0.4,
            detector,
        };
        RayGeometry::fan([14, 19], 0.36, 9, 31, fan)
    };
    let square = RayGeometry::parallel([17, 17], 0.36, 9, 25);
    let siddon = RayGeometry {
        projector: Projector::Siddon,
        ..fan(Detector::Flat)
    };
    let maps: [[Record; 2]; 2] = [
        [
            |t, v, beam| t.ray_forward(v, beam),
            |t, v, beam| t.ray_adjoint(v, beam),
        ],
        [
            |t, v, beam| t.ray_backproject_transpose(v, beam),
            |t, v, beam| t.ray_backproject(v, beam),
        ],
    ];
    for beam in [square, fan(Detector::Flat), fan(Detector::Curved), siddon] {
        let beam = Arc::new(beam);
        let (image, sinogram) = (beam.image(1), beam.sinogram(1));
        let (pixels, rays) = (image.elements(), sinogram.elements());
        for [of_images, of_sinograms] in maps {
            for reading in READINGS {
                let forward = columns(&store, &beam, reading, image, of_images);
                let transpose = columns(&store, &beam, reading, sinogram, of_sinograms);
                let largest = forward.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                assert!(largest > 0.0);
                let worst = (0..pixels * rays).map(|at| {
                    let (pixel, ray) = (at / rays, at % rays);
                    (forward[at] - transpose[ray * pixels + pixel]).abs()
                });
                let worst = worst.fold(0.0f32, f32::max) / largest;
                // The same expressions: compilers may only contract them differently, which moves a
                // place by a rounding.
                let bound = beam.bins as f32 * f32::EPSILON;
                assert!(worst <= bound, "{reading}: {worst:e} of the largest weight");
            }
        }
    }
}
