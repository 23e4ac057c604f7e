//! The ray transform by Joseph's method and its exact transpose, and pixel-driven back-projection
//! and its exact transpose: all as gathers, one thread for each ray or for one or four pixels, no
//! atomics.

mod reading;

use super::{Launch, Lowered, Slot};
use crate::gpu::Trust;
use crate::shader::{Variant, params};
use crate::shape::ParallelBeam;
pub use reading::{RayMap, RayProblem, Reading};
use std::sync::Arc;

params! {
    /// Uniform of every kernel in `ray/`.
    pub struct RayParams {
        /// Entries of the batch ...
        pub n: u32,
        /// ... from this one on.
        pub item: u32,
        /// Rows of an image or views of a sinogram that the source holds: from this one ...
        pub begin: u32,
        /// ... to before this one.
        pub end: u32,
        /// The element of the whole with which the source starts.
        pub start: u32,
        pub rows: u32,
        pub columns: u32,
        pub views: u32,
        pub bins: u32,
        pub pad0: u32,
        pub pad1: u32,
        pub pad2: u32,
    }
}

/// Views of which the table is read through a uniform binding: 16 KiB of them, which even adapters
/// below WebGPU's limits grant.
const UNIFORM_VIEWS: usize = 1024;

/// The views as the kernels read them (`lib/view.wgsl`), computed in f64: `per_bin`, `per_step`,
/// `shift` from the line's first pixel, and `weight` with the sign that tells rows from columns.
pub fn view_table(beam: &ParallelBeam) -> Arc<[u32]> {
    let views = (0..beam.angles.len()).map(|view| beam.joseph_view(view));
    let words = views.flat_map(|v| {
        let (weight, pixels) = match v.along_rows {
            true => (v.weight, beam.columns),
            false => (-v.weight, beam.rows),
        };
        let shift = v.shift + (pixels as f64 - 1.0) / 2.0;
        [v.per_bin, v.per_step, shift, weight].map(|x| (x as f32).to_bits())
    });
    words.collect()
}

/// Where pixels fall on the detector (`lib/bins.wgsl`), for each view: bins per column, bins per
/// row, the centre's bin and a word of padding; computed in f64.
pub fn bin_table(beam: &ParallelBeam) -> Arc<[u32]> {
    let views = 0..beam.angles.len();
    let words = views.flat_map(|view| {
        let [per_column, per_row, centre] = beam.bin_view(view).map(|x| (x as f32).to_bits());
        [per_column, per_row, centre, 0]
    });
    words.collect()
}

/// What one dispatch reads: entries `item..item + n` of the batch, lines `begin..end` of each,
/// bound from the element `start` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    item: usize,
    n: usize,
    begin: usize,
    end: usize,
    start: usize,
}

/// Elements that a binding's offset is a multiple of: WebGPU's 256 bytes.
const ALIGNMENT: usize = 64;

/// Divides `n` arrays of `lines` times `length` elements into parts of at most `limit` elements.
/// Every part is bound with the same length, so that one variant reads them all; it comes with
/// them. `None` if no line fits.
fn parts(n: usize, [lines, length]: [usize; 2], limit: usize) -> Option<(Vec<Part>, usize)> {
    let total = (n * lines * length).next_multiple_of(4);
    let whole = Part {
        item: 0,
        n,
        begin: 0,
        end: lines,
        start: 0,
    };
    if total <= limit {
        return Some((vec![whole], total));
    }
    // A part is bound from a multiple of ALIGNMENT before it to at least its end, and that the last
    // one ends with the array takes as much again.
    let slack = match length.is_multiple_of(ALIGNMENT) {
        true => 0,
        false => ALIGNMENT - 1,
    };
    let fitting = limit.saturating_sub(2 * slack) / length;
    if fitting == 0 {
        return None;
    }
    let even = |count: usize, most: usize| count.div_ceil(count.div_ceil(most));
    let (items, band) = match fitting / lines {
        0 => (1, even(lines, fitting)),
        items => (even(n, items), lines),
    };
    let span = items * band * length + slack;
    let last = (total - span) / ALIGNMENT * ALIGNMENT;
    let parts = (0..n).step_by(items).flat_map(|item| {
        let bands = (0..lines).step_by(band);
        bands.map(move |begin| Part {
            item,
            n: items.min(n - item),
            begin,
            end: (begin + band).min(lines),
            start: ((item * lines + begin) * length / ALIGNMENT * ALIGNMENT).min(last),
        })
    });
    Some((parts.collect(), total - last))
}

/// One of the four kernels on a geometry.
struct Kernel<'a> {
    path: &'static str,
    beam: &'a ParallelBeam,
    table: Arc<[u32]>,
    /// Images to sinograms, or sinograms to images.
    of_images: bool,
    /// Elements of a line that may count, if the kernel goes through them.
    window: Option<usize>,
    /// For each result.
    flops: usize,
}

impl Kernel<'_> {
    /// The dispatches for a batch of `n`.
    fn lower(self, n: usize, reading: Reading) -> Lowered {
        let beam = self.beam;
        let (image, sinogram) = ([beam.rows, beam.columns], [beam.angles.len(), beam.bins]);
        let (from, to) = match self.of_images {
            true => (image, sinogram),
            false => (sinogram, image),
        };
        let divided = match reading {
            Reading::Storage => None,
            Reading::Uniform { limit } => parts(n, from, limit),
        };
        let views = beam.angles.len();
        let mut variant = Variant::new();
        if views <= UNIFORM_VIEWS {
            variant = variant
                .flag("UNIFORM_VIEWS")
                .constant("VIEWS", views as u32);
        }
        if let Some(window) = self.window {
            variant = variant.constant("WINDOW", window as u32);
        }
        if let Some((_, bound)) = divided {
            variant = (variant.flag("UNIFORM").flag("FOUR")).constant("SOURCE", bound as u32 / 4);
        }
        let lanes = match (&divided, self.of_images) {
            (Some(_), false) => 4,
            _ => 1,
        };
        let whole = Part {
            item: 0,
            n,
            begin: 0,
            end: from[0],
            start: 0,
        };
        let (parts, bound) = divided.map_or((vec![whole], None), |(p, bound)| (p, Some(bound)));
        let launch = |part: &Part| {
            let results = part.n * to[0] * to[1];
            let params = RayParams {
                n: part.n as u32,
                item: part.item as u32,
                begin: part.begin as u32,
                end: part.end as u32,
                start: part.start as u32,
                rows: beam.rows as u32,
                columns: beam.columns as u32,
                views: views as u32,
                bins: beam.bins as u32,
                pad0: 0,
                pad1: 0,
                pad2: 0,
            };
            let source = match bound {
                None => Slot::Input(0),
                Some(bound) => Slot::Part {
                    of: Box::new(Slot::Input(0)),
                    offset: 4 * part.start as u64,
                    bytes: 4 * bound as u64,
                },
            };
            let bindings = vec![
                ("source", source),
                ("views", Slot::Table(self.table.clone())),
                ("result", Slot::Output),
            ];
            let lines = part.end - part.begin;
            let read = part.n * lines * from[1];
            // Beyond 64 bits for geometries that no adapter has the memory for.
            let flops = self.flops as u128 * results as u128 * lines as u128 / from[0] as u128;
            let flops = flops.min(u64::MAX.into()) as u64;
            let groups = results.div_ceil(64 * lanes) as u64;
            let mut launch = Launch::new(self.path, &params, bindings, groups)
                .variant(variant.clone())
                .work(flops, 4 * (read + results) as u64);
            launch.trust = CLAMPED;
            launch
        };
        Lowered {
            launches: parts.iter().map(launch).collect(),
            scratch: Vec::new(),
        }
    }
}

/// The kernels compare their thread with the number of results and clamp every place that they
/// read to what the source holds.
const CLAMPED: Trust = Trust::Unchecked;

/// The whole numbers that may lie within `reach` of a real one, and within the kernels' slack of
/// 0.01 more.
fn window(reach: f64, extent: usize) -> Option<usize> {
    Some(((2.0 * reach + 0.02).floor() as usize + 1).min(extent))
}

/// Images to sinograms, for a batch of `n`.
pub fn forward(beam: &ParallelBeam, n: usize, reading: Reading) -> Lowered {
    let kernel = Kernel {
        path: "ray/forward.wgsl",
        beam,
        table: view_table(beam),
        of_images: true,
        window: None,
        flops: 5 * beam.rows.max(beam.columns),
    };
    kernel.lower(n, reading)
}

/// Sinograms to images, for a batch of `n`.
pub fn adjoint(beam: &ParallelBeam, n: usize, reading: Reading) -> Lowered {
    let views = 0..beam.angles.len();
    let reach = views.map(|v| 1.0 / beam.joseph_view(v).per_bin.abs());
    // A pixel lies on about 2 |cos| h / w bins of a view.
    let bins = (2.0 * beam.pixel / beam.bin_width).ceil() as usize;
    let kernel = Kernel {
        path: "ray/adjoint.wgsl",
        beam,
        table: view_table(beam),
        of_images: false,
        window: window(reach.fold(0.0, f64::max), beam.bins),
        flops: beam.angles.len() * (4 + 5 * bins),
    };
    kernel.lower(n, reading)
}

/// Sinograms to images by linear interpolation between bins, for a batch of `n`.
pub fn backproject(beam: &ParallelBeam, n: usize, reading: Reading) -> Lowered {
    let kernel = Kernel {
        path: "ray/backproject.wgsl",
        beam,
        table: bin_table(beam),
        of_images: false,
        window: None,
        flops: 9 * beam.angles.len(),
    };
    kernel.lower(n, reading)
}

/// Images to sinograms with the weights of [`backproject`], for a batch of `n`.
pub fn backproject_transpose(beam: &ParallelBeam, n: usize, reading: Reading) -> Lowered {
    let reach = (0..beam.angles.len()).map(|v| {
        let [per_column, per_row, _] = beam.bin_view(v);
        1.0 / per_column.abs().max(per_row.abs())
    });
    let extent = beam.rows.max(beam.columns);
    // On each line, the pixels within one bin: at most about 2 sqrt(2) w / h.
    let pixels = (3.0 * beam.bin_width / beam.pixel).ceil() as usize;
    let kernel = Kernel {
        path: "ray/backproject_transpose.wgsl",
        beam,
        table: bin_table(beam),
        of_images: true,
        window: window(reach.fold(0.0, f64::max), extent),
        flops: extent * (8 + 6 * pixels),
    };
    kernel.lower(n, reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line once, inside what is bound, and that inside the array.
    #[test]
    fn parts_cover_the_source() {
        let mut tried = 0;
        for n in [1, 2, 3, 8] {
            for shape in [
                [64, 64],
                [50, 91],
                [7, 37],
                [1, 1],
                [50, 725],
                [300, 65],
                [3, 513],
            ] {
                for limit in [256, 512, 4096, 16_384] {
                    let Some((parts, bound)) = parts(n, shape, limit) else {
                        continue;
                    };
                    tried += 1;
                    let [lines, length] = shape;
                    let total = (n * lines * length).next_multiple_of(4);
                    assert!(
                        bound <= limit && bound.is_multiple_of(4),
                        "{n} {shape:?} {limit}"
                    );
                    let mut covered = vec![0; n * lines];
                    for part in parts {
                        assert!(
                            part.start.is_multiple_of(ALIGNMENT) && part.start + bound <= total
                        );
                        for item in part.item..part.item + part.n {
                            for line in part.begin..part.end {
                                let at = (item * lines + line) * length;
                                assert!(part.start <= at && at + length <= part.start + bound);
                                covered[item * lines + line] += 1;
                            }
                        }
                    }
                    assert!(covered.iter().all(|&c| c == 1));
                }
            }
        }
        assert!(tried > 80, "{tried}");
    }
}
