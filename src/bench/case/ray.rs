//! The ray transform and its transpose.

use super::compared::{UNITS, compare, noise, wide};
use crate::bench::name::{Direction, Rays, default_bins};
use crate::error::Result;
use crate::operators::{LinearOperator, RayTransform};
use crate::reference::{Twin, ray_transform};
use crate::shape::{Beam, Fan, RayGeometry};
use crate::tape::Tape;
use crate::tape::plan::{Options, Plan, Store};

const FIELD_OF_VIEW: f64 = 0.36;

/// The geometry on a detector that covers the circle around the image: views on half a turn, those of
/// a fan with this detector on a whole one, with the source 0.6 m and the detector 0.5 m from the centre.
pub(super) fn geometry(rays: Rays) -> RayGeometry {
    let Rays { size, views, .. } = rays;
    let bins = rays.bins.unwrap_or_else(|| default_bins(size));
    let Some(detector) = rays.fan else {
        return RayGeometry::parallel([size, size], FIELD_OF_VIEW, views, bins);
    };
    let fan = Fan {
        source_to_centre: 0.6,
        centre_to_detector: 0.5,
        detector,
    };
    RayGeometry::fan([size, size], FIELD_OF_VIEW, views, bins, fan)
}

/// The plan of one direction, and why it differs from its twin if it does.
pub(super) fn ray(
    store: &Store,
    direction: Direction,
    rays: Rays,
    options: Options,
) -> Result<(Plan, Option<String>)> {
    let geometry = geometry(rays);
    let operator = RayTransform::new(geometry.clone());
    let mut tape = Tape::new();
    let (argument, result) = match direction {
        Direction::Forward => {
            let x = tape.input("a", geometry.image(rays.n));
            (x, operator.forward(&mut tape, x)?)
        }
        Direction::Adjoint => {
            let y = tape.input("a", geometry.sinogram(rays.n));
            (y, operator.adjoint(&mut tape, y)?)
        }
    };
    let plan = Plan::compile(&tape, &[result], store, options)?;
    let values = noise(argument.shape(), 0);
    plan.run(&[("a", &values)])?;
    let found = plan.read(result)?;
    let twin = match direction {
        Direction::Forward => ray_transform::forward(&wide(&values), rays.n, &geometry),
        Direction::Adjoint => ray_transform::adjoint(&wide(&values), rays.n, &geometry),
    };
    // A crossing is rounded in units of the image's size, so a term is off by that much of the two
    // pixels that it lies between, even if its own weight is next to nothing.
    let largest = values.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
    let term = std::f64::consts::SQRT_2 * geometry.pixel[0] * largest;
    // The divisions of a fan's crossings cost four times as much.
    let roundings = match geometry.beam {
        Beam::Parallel => 1.0,
        Beam::Fan(_) => 4.0,
    };
    let slack = 1.0 + roundings * rays.size as f64 / UNITS;
    let magnitude = (twin.magnitude.iter())
        .map(|m| (m + term) * slack)
        .collect();
    let mismatch = compare(
        &found,
        &Twin {
            value: twin.value,
            magnitude,
        },
    );
    Ok((plan, mismatch))
}
