//! The ray transform by Joseph's method and its exact transpose, and pixel-driven back-projection
//! and its exact transpose: all as gathers, one thread for each ray or for each pixel, no atomics.

use super::{Launch, Lowered, Slot};
use crate::shader::params;
use crate::shape::ParallelBeam;
use std::sync::Arc;

params! {
    /// Uniform of every kernel in `ray/`.
    pub struct RayParams {
        pub n: u32,
        pub rows: u32,
        pub columns: u32,
        pub views: u32,
        pub bins: u32,
        pub pad0: u32,
        pub pad1: u32,
        pub pad2: u32,
    }
}

/// The views as the kernels read them (`lib/view.wgsl`), computed in f64: `per_bin`, `per_step`,
/// `shift`, and `weight` with the sign that tells rows from columns.
pub fn view_table(beam: &ParallelBeam) -> Arc<[u32]> {
    let views = (0..beam.angles.len()).map(|view| beam.joseph_view(view));
    let words = views.flat_map(|v| {
        let weight = if v.along_rows { v.weight } else { -v.weight };
        [v.per_bin, v.per_step, v.shift, weight].map(|x| (x as f32).to_bits())
    });
    words.collect()
}

fn params_of(beam: &ParallelBeam, n: usize) -> RayParams {
    RayParams {
        n: n as u32,
        rows: beam.rows as u32,
        columns: beam.columns as u32,
        views: beam.angles.len() as u32,
        bins: beam.bins as u32,
        pad0: 0,
        pad1: 0,
        pad2: 0,
    }
}

/// Images to sinograms, for a batch of `n`.
pub fn forward(beam: &ParallelBeam, n: usize) -> Lowered {
    let rays = n * beam.angles.len() * beam.bins;
    Launch::new(
        "ray/forward.wgsl",
        &params_of(beam, n),
        vec![
            ("image", Slot::Input(0)),
            ("views", Slot::Table(view_table(beam))),
            ("result", Slot::Output),
        ],
        rays.div_ceil(64) as u64,
    )
    .work(
        (5 * rays * beam.rows.max(beam.columns)) as u64,
        beam.image(n).bytes() + beam.sinogram(n).bytes(),
    )
    .into()
}

/// Sinograms to images, for a batch of `n`.
pub fn adjoint(beam: &ParallelBeam, n: usize) -> Lowered {
    let pixels = n * beam.rows * beam.columns;
    // A pixel lies on about 2 |cos| h / w bins of a view.
    let bins = (2.0 * beam.pixel / beam.bin_width).ceil() as usize;
    Launch::new(
        "ray/adjoint.wgsl",
        &params_of(beam, n),
        vec![
            ("sinogram", Slot::Input(0)),
            ("views", Slot::Table(view_table(beam))),
            ("result", Slot::Output),
        ],
        pixels.div_ceil(64) as u64,
    )
    .work(
        (pixels * beam.angles.len() * (4 + 5 * bins)) as u64,
        beam.image(n).bytes() + beam.sinogram(n).bytes(),
    )
    .into()
}

/// Where pixels fall on the detector, for each view: bins per column, bins per row, the centre's
/// bin and a word of padding; computed in f64.
pub fn bin_table(beam: &ParallelBeam) -> Arc<[u32]> {
    let views = 0..beam.angles.len();
    let words = views.flat_map(|view| {
        let [per_column, per_row, centre] = beam.bin_view(view).map(|x| (x as f32).to_bits());
        [per_column, per_row, centre, 0]
    });
    words.collect()
}

/// Sinograms to images by linear interpolation between bins, for a batch of `n`.
pub fn backproject(beam: &ParallelBeam, n: usize) -> Lowered {
    let pixels = n * beam.rows * beam.columns;
    Launch::new(
        "ray/backproject.wgsl",
        &params_of(beam, n),
        vec![
            ("sinogram", Slot::Input(0)),
            ("views", Slot::Table(bin_table(beam))),
            ("result", Slot::Output),
        ],
        pixels.div_ceil(64) as u64,
    )
    .work(
        (9 * pixels * beam.angles.len()) as u64,
        beam.image(n).bytes() + beam.sinogram(n).bytes(),
    )
    .into()
}

/// Images to sinograms with the weights of [`backproject`], for a batch of `n`.
pub fn backproject_transpose(beam: &ParallelBeam, n: usize) -> Lowered {
    let rays = n * beam.angles.len() * beam.bins;
    // On each line, the pixels within one bin: at most about 2 sqrt(2) w / h.
    let pixels = (3.0 * beam.bin_width / beam.pixel).ceil() as usize;
    Launch::new(
        "ray/backproject_transpose.wgsl",
        &params_of(beam, n),
        vec![
            ("image", Slot::Input(0)),
            ("views", Slot::Table(bin_table(beam))),
            ("result", Slot::Output),
        ],
        rays.div_ceil(64) as u64,
    )
    .work(
        (rays * beam.rows.max(beam.columns) * (8 + 6 * pixels)) as u64,
        beam.image(n).bytes() + beam.sinogram(n).bytes(),
    )
    .into()
}
