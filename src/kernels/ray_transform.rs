//! The ray transform by Joseph's or Siddon's method and its exact transpose, and pixel-driven
//! back-projection and its exact transpose, of parallel and fan beams: all as gathers, one thread
//! for each ray or for one or four pixels, or several that share one of them, in up to four entries of
//! the batch at once; no atomics.

mod entries;
mod reading;

use super::{Launch, Lowered, Slot};
use crate::gpu::Trust;
use crate::shader::{Variant, params};
use crate::shape::{Beam, Detector, Fan, Projector, RayGeometry};
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
        /// The elements of the whole with which the sources start.
        pub starts: [u32; 4],
        pub rows: u32,
        pub columns: u32,
        pub views: u32,
        pub bins: u32,
        /// Of a fan; see `lib/ray.wgsl`.
        pub shift: f32,
        pub per_bin: f32,
        pub bins_per: f32,
        pub metres: f32,
    }
}

/// Views of which the table is read through a uniform binding: 16 KiB of them, which even adapters
/// below WebGPU's limits grant.
const UNIFORM_VIEWS: usize = 1024;

/// The views of parallel beams as the ray transform reads them (`lib/view.wgsl`), computed in f64:
/// crossings per bin and per line, the shift from the line's first pixel, and the metres in a line
/// with the sign that tells rows from columns.
pub fn view_table(geometry: &RayGeometry) -> Arc<[u32]> {
    let centre = (geometry.bins as f64 - 1.0) / 2.0;
    let words = (0..geometry.angles.len()).flat_map(|view| {
        let [ray, next] = [0.0, 1.0].map(|q| geometry.crossings(view, centre + q));
        let (metres, pixels) = match ray.along_rows {
            true => (ray.metres, geometry.columns),
            false => (-ray.metres, geometry.rows),
        };
        let shift = ray.at_centre + (pixels as f64 - 1.0) / 2.0;
        [next.at_centre - ray.at_centre, ray.per_line, shift, metres].map(word)
    });
    words.collect()
}

/// Where pixels fall on the detector of parallel beams (`lib/bins.wgsl`), for each view: bins per
/// column, bins per row, the centre's bin and a word of padding; computed in f64.
pub fn bin_table(geometry: &RayGeometry) -> Arc<[u32]> {
    let views = 0..geometry.angles.len();
    let words = views.flat_map(|view| bins_of_pixels(geometry, view).map(word));
    words.collect()
}

/// A row of [`bin_table`].
fn bins_of_pixels(geometry: &RayGeometry, view: usize) -> [f64; 4] {
    let bin = |row: f64, column: f64| geometry.sighting(view, [row, column]).bin;
    let centre = bin(0.0, 0.0);
    [bin(0.0, 1.0) - centre, bin(1.0, 0.0) - centre, centre, 0.0]
}

/// The views of a fan (`lib/fan.wgsl`), computed in f64.
fn fan_table(geometry: &RayGeometry, fan: Fan) -> Arc<[u32]> {
    let [height, width] = geometry.pixel.map(|length| length / fan.source_to_centre);
    let words = geometry.angles.iter().flat_map(|angle| {
        let (sin, cos) = angle.sin_cos();
        [cos * width, sin * width, sin * height, cos * height].map(word)
    });
    words.collect()
}

/// The tangents of the rays of a curved detector's bins, and of one more to either side.
fn tangents(geometry: &RayGeometry) -> Arc<[u32]> {
    let bins = 0..geometry.bins + 2;
    let words = bins.map(|k| word(geometry.ray_angle(k as f64 - 1.0).tan()));
    words.collect()
}

fn word(number: f64) -> u32 {
    (number as f32).to_bits()
}

/// What one dispatch reads: entries `item..item + n` of the batch, lines `begin..end` of each, bound from
/// the element `starts[0]` on, or each from its own on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    item: usize,
    n: usize,
    begin: usize,
    end: usize,
    starts: [usize; entries::MOST],
}

/// The dispatches of a batch. All bind as many elements and have as many entries in a thread, so that one
/// variant does them all.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Parts {
    parts: Vec<Part>,
    /// Elements of a binding; all that there are, if there is no bound.
    bound: Option<usize>,
    /// Entries in a thread.
    entries: usize,
    /// Each entry in a binding of its own.
    apart: bool,
}

/// Elements that a binding's offset is a multiple of: WebGPU's 256 bytes.
const ALIGNMENT: usize = 64;

impl Parts {
    /// `n` arrays of `lines` in one.
    fn whole(n: usize, lines: usize) -> Self {
        let whole = Part {
            item: 0,
            n,
            begin: 0,
            end: lines,
            starts: [0; entries::MOST],
        };
        Parts {
            parts: vec![whole],
            bound: None,
            entries: entries::count(n),
            apart: false,
        }
    }

    /// `n` arrays of `lines` times `length` elements in parts of at most `limit` elements. `None` if no
    /// line fits.
    fn bounded(n: usize, [lines, length]: [usize; 2], limit: usize) -> Option<Self> {
        let total = (n * lines * length).next_multiple_of(4);
        if total <= limit {
            let bound = Some(total);
            return Some(Parts {
                bound,
                ..Parts::whole(n, lines)
            });
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
        // Entries that a thread takes together, in one binding or else apart.
        let apart = n > 1 && fitting / lines < entries::MOST.min(n);
        let (items, held, band) = match apart {
            true => (entries::count(n), 1, even(lines, fitting.min(lines))),
            false if fitting < lines => (1, 1, even(lines, fitting)),
            false => (even(n, fitting / lines), even(n, fitting / lines), lines),
        };
        let span = held * band * length + slack;
        let last = (total - span) / ALIGNMENT * ALIGNMENT;
        let start = |line: usize| (line * length / ALIGNMENT * ALIGNMENT).min(last);
        let parts = (0..n).step_by(items).flat_map(|item| {
            let bands = (0..lines).step_by(band);
            bands.map(move |begin| Part {
                item,
                n: items.min(n - item),
                begin,
                end: (begin + band).min(lines),
                starts: std::array::from_fn(|e| {
                    let item = if apart { (item + e).min(n - 1) } else { item };
                    start(item * lines + begin)
                }),
            })
        });
        Some(Parts {
            parts: parts.collect(),
            bound: Some(total - last),
            entries: entries::count(items),
            apart,
        })
    }
}

/// One of the four kernels on a geometry.
struct Kernel<'a> {
    path: &'static str,
    geometry: &'a RayGeometry,
    /// What is read of the views of parallel beams.
    table: fn(&RayGeometry) -> Arc<[u32]>,
    /// Images to sinograms, or sinograms to images.
    of_images: bool,
    /// Steps along rays, with the geometry's projector.
    projects: bool,
    /// Reads the rays' tangents.
    rays: bool,
    /// Elements of a line that may count, if the kernel goes through so many; for a fan it finds
    /// for itself how many there are.
    window: Option<usize>,
    /// Operations and gathered numbers for each result.
    work: [usize; 2],
}

impl Kernel<'_> {
    /// The dispatches for a batch of `n`.
    fn lower(self, n: usize, reading: Reading) -> Lowered {
        let geometry = self.geometry;
        let (image, sinogram) = (
            [geometry.rows, geometry.columns],
            [geometry.angles.len(), geometry.bins],
        );
        let (from, to) = match self.of_images {
            true => (image, sinogram),
            false => (sinogram, image),
        };
        let bounded = match reading {
            Reading::Storage | Reading::Shared { .. } => None,
            Reading::Uniform { limit } => Parts::bounded(n, from, limit),
        };
        let Parts {
            parts,
            bound,
            entries,
            apart,
        } = bounded.unwrap_or_else(|| Parts::whole(n, from[0]));
        let views = geometry.angles.len();
        let [threads, shares] = reading.workgroup();
        let mut variant = Variant::new();
        if shares > 1 {
            variant = (variant.flag("SHARED"))
                .constant("THREADS", threads as u32)
                .constant("SHARES", shares as u32);
        }
        if views <= UNIFORM_VIEWS {
            variant = variant
                .flag("UNIFORM_VIEWS")
                .constant("VIEWS", views as u32);
        }
        if let Some(window) = self.window {
            variant = variant.constant("WINDOW", window as u32);
        }
        let mut curve = None;
        let (table, [shift, per_bin, metres]) = match geometry.beam {
            Beam::Parallel => ((self.table)(geometry), [0.0, 1.0, 0.0]),
            Beam::Fan(fan) => {
                variant = variant.flag("FAN");
                if fan.detector == Detector::Curved {
                    variant = variant.flag("CURVED");
                    curve = self.rays.then(|| tangents(geometry));
                }
                let far = fan.source_to_detector();
                let area = geometry.pixel[0] * geometry.pixel[1];
                let scalars = [
                    geometry.offset / far,
                    geometry.bin_width / far,
                    area / fan.source_to_centre,
                ];
                (fan_table(geometry, fan), scalars)
            }
        };
        if self.projects && geometry.projector == Projector::Siddon {
            variant = variant.flag("SIDDON");
        }
        if let Some(bound) = bound {
            variant = (variant.flag("UNIFORM")).constant("SOURCE", bound as u32 / 4);
        }
        // Four lines of a ray have their loads in flight together. Four pixels would be as many
        // threads fewer, which are the point of sharing.
        let four = bound.is_some() || (shares > 1 && self.of_images);
        let variant = variant.flag_if("FOUR", four);
        let pixels = match four && !self.of_images {
            true => 4,
            false => 1,
        };
        let variant = match entries {
            1 => variant,
            _ => (variant.flag("BATCH").constant("ENTRIES", entries as u32))
                .snippet("entries", entries::declare(entries, apart)),
        };
        let launch = |part: &Part| {
            let results = part.n * to[0] * to[1];
            let params = RayParams {
                n: part.n as u32,
                item: part.item as u32,
                begin: part.begin as u32,
                end: part.end as u32,
                starts: part.starts.map(|start| start as u32),
                rows: geometry.rows as u32,
                columns: geometry.columns as u32,
                views: views as u32,
                bins: geometry.bins as u32,
                shift: shift as f32,
                per_bin: per_bin as f32,
                bins_per: (1.0 / per_bin) as f32,
                metres: metres as f32,
            };
            let source = |e: usize| match bound {
                None => Slot::Input(0),
                Some(bound) => Slot::Part {
                    of: Box::new(Slot::Input(0)),
                    offset: 4 * part.starts[e] as u64,
                    bytes: 4 * bound as u64,
                },
            };
            let sources = if apart { entries } else { 1 };
            let mut bindings: Vec<_> = (0..sources)
                .map(|e| (entries::source(e), source(e)))
                .collect();
            bindings.extend([
                ("views", Slot::Table(table.clone())),
                ("result", Slot::Output),
            ]);
            if let Some(tangents) = &curve {
                bindings.push(("tangents", Slot::Table(tangents.clone())));
            }
            let lines = part.end - part.begin;
            let read = part.n * lines * from[1];
            let [flops, gathers] = self.work.map(|each| {
                // Beyond 64 bits for geometries that no adapter has the memory for.
                let all = each as u128 * results as u128 * lines as u128 / from[0] as u128;
                all.min(u64::MAX.into()) as u64
            });
            let of_threads = part.n.div_ceil(entries) * to[0] * to[1];
            let groups = of_threads.div_ceil(threads / shares * pixels) as u64;
            let mut launch = Launch::new(self.path, &params, bindings, groups)
                .variant(variant.clone())
                .work(flops, 4 * (read + results) as u64)
                .gathers(gathers);
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
fn window(reach: f64, extent: usize) -> usize {
    ((2.0 * reach + 0.02).floor() as usize + 1).min(extent)
}

/// The bins of a view of parallel rays that may pass a pixel by less than one.
fn bins_near(geometry: &RayGeometry) -> Option<usize> {
    if geometry.beam != Beam::Parallel {
        return None;
    }
    let reach = (0..geometry.angles.len()).map(|view| {
        let [here, next] = [0.0, 1.0].map(|bin| geometry.crossings(view, bin).at_centre);
        1.0 / (next - here).abs()
    });
    Some(window(reach.fold(0.0, f64::max), geometry.bins))
}

/// The pixels of a line that may fall within one bin of parallel rays.
fn pixels_near(geometry: &RayGeometry) -> Option<usize> {
    if geometry.beam != Beam::Parallel {
        return None;
    }
    let reach = (0..geometry.angles.len()).map(|view| {
        let [per_column, per_row, ..] = bins_of_pixels(geometry, view);
        1.0 / per_column.abs().max(per_row.abs())
    });
    let extent = geometry.rows.max(geometry.columns);
    Some(window(reach.fold(0.0, f64::max), extent))
}

/// Lines on which a ray passes pixels, on average over the views and bins, or over some of them.
fn lines_of_a_ray(geometry: &RayGeometry) -> usize {
    const SOME: usize = 64;
    let some = |count: usize| (0..count.min(SOME)).map(move |i| i * count / count.min(SOME));
    let (mut rays, mut lines) = (0, 0.0);
    for (view, bin) in
        some(geometry.angles.len()).flat_map(|v| some(geometry.bins).map(move |b| (v, b)))
    {
        let ray = geometry.crossings(view, bin as f64);
        let (across, along) = match ray.along_rows {
            true => (geometry.columns, geometry.rows),
            false => (geometry.rows, geometry.columns),
        };
        // Crossings within half the pixels and one more, on lines within half of those that there are.
        let [reach, ends] = [across as f64 / 2.0 + 0.5, along as f64 / 2.0];
        let [mut low, mut high] = [-ends, ends];
        if ray.per_line.abs() > 1e-6 {
            let [a, b] = [-reach, reach].map(|r| (r - ray.at_centre) / ray.per_line);
            low = low.max(a.min(b));
            high = high.min(a.max(b));
        } else if ray.at_centre.abs() > reach {
            high = low;
        }
        lines += (high - low).max(0.0);
        rays += 1;
    }
    (lines / f64::from(rays)).ceil() as usize
}

/// Images to sinograms, for a batch of `n`.
pub fn forward(geometry: &RayGeometry, n: usize, reading: Reading) -> Lowered {
    let lines = lines_of_a_ray(geometry);
    let kernel = Kernel {
        path: "ray/forward.wgsl",
        geometry,
        table: view_table,
        of_images: true,
        projects: true,
        rays: true,
        window: None,
        work: [5, 2].map(|of_line| of_line * lines),
    };
    kernel.lower(n, reading)
}

/// Sinograms to images, for a batch of `n`.
pub fn adjoint(geometry: &RayGeometry, n: usize, reading: Reading) -> Lowered {
    let window = bins_near(geometry);
    // A pixel lies on about 2 |cos| h / w bins of a fan's view.
    let pixel = geometry.pixel[0].max(geometry.pixel[1]);
    let bins = window.unwrap_or((2.0 * pixel / geometry.ray_spacing()).ceil() as usize);
    let of_bin = match geometry.beam {
        Beam::Parallel => 5,
        Beam::Fan(_) => 20,
    };
    let kernel = Kernel {
        path: "ray/adjoint.wgsl",
        geometry,
        table: view_table,
        of_images: false,
        projects: true,
        rays: true,
        window,
        work: [4 + of_bin * bins, bins].map(|of_view| geometry.angles.len() * of_view),
    };
    kernel.lower(n, reading)
}

/// Sinograms to images by linear interpolation between bins, for a batch of `n`.
pub fn backproject(geometry: &RayGeometry, n: usize, reading: Reading) -> Lowered {
    let kernel = Kernel {
        path: "ray/backproject.wgsl",
        geometry,
        table: bin_table,
        of_images: false,
        projects: false,
        rays: false,
        window: None,
        work: [9, 2].map(|of_view| of_view * geometry.angles.len()),
    };
    kernel.lower(n, reading)
}

/// Images to sinograms with the weights of [`backproject`], for a batch of `n`.
pub fn backproject_transpose(geometry: &RayGeometry, n: usize, reading: Reading) -> Lowered {
    let extent = geometry.rows.max(geometry.columns);
    // On each line, the pixels within one bin: at most about 2 sqrt(2) w / h.
    let pixel = geometry.pixel[0].min(geometry.pixel[1]);
    let window = pixels_near(geometry);
    let pixels = window.unwrap_or((3.0 * geometry.ray_spacing() / pixel).ceil() as usize);
    let kernel = Kernel {
        path: "ray/backproject_transpose.wgsl",
        geometry,
        table: bin_table,
        of_images: true,
        projects: false,
        rays: true,
        window,
        work: [8 + 6 * pixels, pixels].map(|of_line| extent * of_line),
    };
    kernel.lower(n, reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line once, inside what is bound, and that inside the array.
    #[test]
    fn parts_cover_the_source() {
        let mut tried = [0, 0];
        for n in [1, 2, 3, 5, 8] {
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
                    let Some(Parts {
                        parts,
                        bound,
                        entries,
                        apart,
                    }) = Parts::bounded(n, shape, limit)
                    else {
                        continue;
                    };
                    tried[usize::from(apart)] += 1;
                    let [lines, length] = shape;
                    let total = (n * lines * length).next_multiple_of(4);
                    let bound = bound.unwrap();
                    assert!(
                        bound <= limit && bound.is_multiple_of(4),
                        "{n} {shape:?} {limit}"
                    );
                    assert!(entries > 1 || n == 1, "{n} {shape:?} {limit}");
                    let mut covered = vec![0; n * lines];
                    for part in parts {
                        assert!(!apart || part.n <= entries);
                        for start in part.starts {
                            assert!(start.is_multiple_of(ALIGNMENT) && start + bound <= total);
                        }
                        for e in 0..part.n {
                            let start = part.starts[if apart { e } else { 0 }];
                            for line in part.begin..part.end {
                                let at = ((part.item + e) * lines + line) * length;
                                assert!(start <= at && at + length <= start + bound);
                                covered[(part.item + e) * lines + line] += 1;
                            }
                        }
                    }
                    assert!(covered.iter().all(|&c| c == 1));
                }
            }
        }
        assert!(tried.iter().all(|&count| count > 20), "{tried:?}");
    }
}
