//! The ray transform by Joseph's or Siddon's method and its transpose, and pixel-driven
//! back-projection and its transpose, for parallel and fan beams.
//!
//! Sources: P. M. Joseph, "An improved algorithm for reprojecting rays through pixel images", IEEE
//! Transactions on Medical Imaging 1 (1982) 192-196; R. L. Siddon, "Fast calculation of the exact
//! radiological path for a three-dimensional CT array", Medical Physics 12 (1985) 252-255. The rays
//! are those of [`RayGeometry::crossings`], the weights of their pixels [`Projector::share`].
//!
//! [`Projector::share`]: crate::shape::Projector::share

use super::{Twin, assert_len};
use crate::shape::RayGeometry;

/// The line integrals of `n` images: `n 1 H W` to `n 1 views bins`, in metres times the image's
/// unit.
pub fn forward(image: &[f64], n: usize, geometry: &RayGeometry) -> Twin {
    let (pixels, rays) = (
        geometry.image(1).elements(),
        geometry.sinogram(1).elements(),
    );
    assert_len(image, geometry.image(n));
    let mut sinogram = Twin::zeros(n * rays);
    for_each_weight(geometry, |ray, pixel, weight| {
        for i in 0..n {
            sinogram.add(i * rays + ray, weight * image[i * pixels + pixel]);
        }
    });
    sinogram
}

/// The transpose of [`forward`], with the same weights: `n 1 views bins` to `n 1 H W`.
pub fn adjoint(sinogram: &[f64], n: usize, geometry: &RayGeometry) -> Twin {
    let (pixels, rays) = (
        geometry.image(1).elements(),
        geometry.sinogram(1).elements(),
    );
    assert_len(sinogram, geometry.sinogram(n));
    let mut image = Twin::zeros(n * pixels);
    for_each_weight(geometry, |ray, pixel, weight| {
        for i in 0..n {
            image.add(i * pixels + pixel, weight * sinogram[i * rays + ray]);
        }
    });
    image
}

/// The dense matrix of [`forward`] on one image, row-major with `views * bins` rows and `H * W`
/// columns. For small sizes.
pub fn matrix(geometry: &RayGeometry) -> Vec<f64> {
    let (pixels, rays) = (
        geometry.image(1).elements(),
        geometry.sinogram(1).elements(),
    );
    let mut matrix = vec![0.0; rays * pixels];
    for_each_weight(geometry, |ray, pixel, weight| {
        matrix[ray * pixels + pixel] += weight;
    });
    matrix
}

/// Pixel-driven back-projection of `n` sinograms, `n 1 views bins` to `n 1 H W`: the sum over the
/// views of the sinogram interpolated linearly at each pixel's detector coordinate, zero outside
/// the detector, times the weight of [`RayGeometry::sighting`]. The discrete form of the
/// back-projection integral (Kak and Slaney 1988, sections 3.3.3 and 3.4), without the angular
/// weights; not the transpose of [`forward`].
pub fn backproject(sinogram: &[f64], n: usize, geometry: &RayGeometry) -> Twin {
    let (pixels, rays) = (
        geometry.image(1).elements(),
        geometry.sinogram(1).elements(),
    );
    assert_len(sinogram, geometry.sinogram(n));
    let mut image = Twin::zeros(n * pixels);
    for_each_share(geometry, |ray, pixel, share| {
        for i in 0..n {
            image.add(i * pixels + pixel, share * sinogram[i * rays + ray]);
        }
    });
    image
}

/// The transpose of [`backproject`], with the same weights: `n 1 H W` to `n 1 views bins`.
pub fn backproject_transpose(image: &[f64], n: usize, geometry: &RayGeometry) -> Twin {
    let (pixels, rays) = (
        geometry.image(1).elements(),
        geometry.sinogram(1).elements(),
    );
    assert_len(image, geometry.image(n));
    let mut sinogram = Twin::zeros(n * rays);
    for_each_share(geometry, |ray, pixel, share| {
        for i in 0..n {
            sinogram.add(i * rays + ray, share * image[i * pixels + pixel]);
        }
    });
    sinogram
}

/// Calls `visit(ray, pixel, share)` for the two bins of each view that each pixel lies between.
fn for_each_share(geometry: &RayGeometry, mut visit: impl FnMut(usize, usize, f64)) {
    let centre = |extent: usize| (extent as f64 - 1.0) / 2.0;
    for view in 0..geometry.angles.len() {
        for pixel in 0..geometry.rows * geometry.columns {
            let row = (pixel / geometry.columns) as f64 - centre(geometry.rows);
            let column = (pixel % geometry.columns) as f64 - centre(geometry.columns);
            let place = geometry.sighting(view, [row, column]);
            let fraction = place.bin - place.bin.floor();
            let left = place.bin.floor() as isize;
            for (bin, share) in [(left, 1.0 - fraction), (left + 1, fraction)] {
                if (0..geometry.bins as isize).contains(&bin) {
                    visit(
                        view * geometry.bins + bin as usize,
                        pixel,
                        share * place.weight,
                    );
                }
            }
        }
    }
}

/// Calls `visit(ray, pixel, weight)` for every weight that is not zero by construction; `ray` is
/// `view * bins + bin` and `pixel` is `row * W + column`.
fn for_each_weight(geometry: &RayGeometry, mut visit: impl FnMut(usize, usize, f64)) {
    let centre = |extent: usize| (extent as f64 - 1.0) / 2.0;
    for ray in 0..geometry.angles.len() * geometry.bins {
        let (view, bin) = (ray / geometry.bins, ray % geometry.bins);
        let steps = geometry.crossings(view, bin as f64);
        // The ray takes one step per line and crosses it somewhere between two pixels.
        let (lines, width) = match steps.along_rows {
            true => (geometry.rows, geometry.columns),
            false => (geometry.columns, geometry.rows),
        };
        for line in 0..lines {
            let crossing = steps.at_centre + steps.per_line * (line as f64 - centre(lines));
            let position = crossing + centre(width);
            let near = position.floor() as isize;
            for index in [near, near + 1] {
                if !(0..width as isize).contains(&index) {
                    continue;
                }
                let (row, column) = match steps.along_rows {
                    true => (line, index as usize),
                    false => (index as usize, line),
                };
                let distance = position - index as f64;
                let share = (geometry.projector).share(distance, steps.per_line);
                visit(ray, row * geometry.columns + column, steps.metres * share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::{assert_adjoint, assert_close, columns, dot, noise};
    use crate::shape::{Beam, Detector, Fan, Projector};
    use std::f64::consts::PI;

    /// Square and not, with a shifted detector, angles over the whole circle; fans of both kinds,
    /// wider and narrower than the image, with pixels that are not square; all by both methods.
    fn geometries() -> Vec<RayGeometry> {
        let square = RayGeometry::parallel([37, 37], 0.36, 23, 59);
        let wide = RayGeometry {
            offset: 0.013,
            ..RayGeometry::parallel([20, 31], 0.36, 23, 59)
        };
        let tall = RayGeometry {
            rows: 31,
            columns: 20,
            pixel: [0.008, 0.011],
            angles: vec![-2.9, -1.6, -PI / 4.0, 0.0, 0.7, PI / 2.0, 2.0, PI, 4.0, 6.2],
            offset: -0.02,
            ..square.clone()
        };
        let fan = |detector| {
            let fan = Fan {
                source_to_centre: 0.31,
                centre_to_detector: 0.2,
                detector,
            };
            RayGeometry::fan([21, 30], 0.36, 11, 43, fan)
        };
        let flat = RayGeometry {
            pixel: [0.013, 0.01],
            offset: 0.02,
            ..fan(Detector::Flat)
        };
        let curved = RayGeometry {
            bin_width: 0.006,
            angles: tall.angles.clone(),
            ..fan(Detector::Curved)
        };
        let siddon = |geometry: &RayGeometry| RayGeometry {
            projector: Projector::Siddon,
            ..geometry.clone()
        };
        let joseph = vec![square, wide, tall, flat, curved];
        let siddon: Vec<_> = joseph.iter().map(siddon).collect();
        [joseph, siddon].concat()
    }

    /// A point of a ray and its direction, of length 1, in metres: straight from the definition.
    fn line(geometry: &RayGeometry, view: usize, bin: usize) -> ([f64; 2], [f64; 2]) {
        let (sin, cos) = geometry.angles[view].sin_cos();
        let d = (bin as f64 - (geometry.bins as f64 - 1.0) / 2.0) * geometry.bin_width
            + geometry.offset;
        let Beam::Fan(fan) = geometry.beam else {
            return ([d * cos, d * sin], [-sin, cos]);
        };
        let far = fan.source_to_centre + fan.centre_to_detector;
        let [across, along] = match fan.detector {
            Detector::Flat => [d, far].map(|x| x / d.hypot(far)),
            Detector::Curved => [(d / far).sin(), (d / far).cos()],
        };
        let source = [fan.source_to_centre * sin, -fan.source_to_centre * cos];
        (
            source,
            [across * cos - along * sin, across * sin + along * cos],
        )
    }

    #[test]
    fn adjoint_is_the_transpose() {
        for geometry in geometries() {
            let x = noise(1, geometry.image(2).elements());
            let y = noise(2, geometry.sinogram(2).elements());
            let ax = forward(&x, 2, &geometry).value;
            let aty = adjoint(&y, 2, &geometry).value;
            assert_adjoint(&ax, &y, &x, &aty);
        }
    }

    #[test]
    fn matrix_has_the_transform_of_each_pixel_as_its_columns() {
        let geometry = RayGeometry {
            offset: 0.01,
            ..RayGeometry::parallel([5, 7], 0.1, 6, 9)
        };
        let dense = matrix(&geometry);
        let y = noise(1, geometry.sinogram(1).elements());
        let back = adjoint(&y, 1, &geometry).value;
        let transformed = columns(35, |x| forward(x, 1, &geometry).value);
        for (pixel, column) in transformed.iter().enumerate() {
            let of_matrix: Vec<f64> = dense.iter().skip(pixel).step_by(35).copied().collect();
            assert_eq!(&of_matrix, column);
            assert_close(&[back[pixel]], &[dot(column, &y)], 1e-14);
        }
    }

    /// The definition, written a second time: the point of the ray on each line, in metres, and the
    /// image interpolated linearly there; or the ray clipped to the square of each pixel.
    #[test]
    fn forward_adds_up_what_the_ray_meets() {
        for geometry in geometries() {
            let (rows, cols) = (geometry.rows, geometry.columns);
            let [h, w] = geometry.pixel;
            let image = noise(3, rows * cols);
            // Row and column of a point, in pixels from the first one's centre.
            let place = |[x, y]: [f64; 2]| {
                let row = (rows as f64 - 1.0) / 2.0 - y / h;
                [row, x / w + (cols as f64 - 1.0) / 2.0]
            };
            let joseph = |point: [f64; 2], step: [f64; 2]| {
                let ([r0, c0], [dr, dc]) = (place(point), [-step[1] / h, step[0] / w]);
                let hat = |d: f64| (1.0 - d.abs()).max(0.0);
                let mut sum = 0.0;
                for r in 0..rows {
                    for c in 0..cols {
                        let weight = match dr.abs() >= dc.abs() {
                            true => hat(c0 + (r as f64 - r0) * dc / dr - c as f64) / dr.abs(),
                            false => hat(r0 + (c as f64 - c0) * dr / dc - r as f64) / dc.abs(),
                        };
                        sum += weight * image[r * cols + c];
                    }
                }
                sum
            };
            let siddon = |point: [f64; 2], step: [f64; 2]| {
                let ([r0, c0], [dr, dc]) = (place(point), [-step[1] / h, step[0] / w]);
                let mut sum = 0.0;
                for r in 0..rows {
                    for c in 0..cols {
                        // Metres along the ray at which it enters and leaves the pixel.
                        let inside = |at: f64, step: f64| {
                            let ends = [-0.5, 0.5].map(|edge| (edge - at) / step);
                            [ends[0].min(ends[1]), ends[0].max(ends[1])]
                        };
                        let [a, b] = inside(r0 - r as f64, dr);
                        let [c_in, c_out] = inside(c0 - c as f64, dc);
                        sum += (b.min(c_out) - a.max(c_in)).max(0.0) * image[r * cols + c];
                    }
                }
                sum
            };
            let actual = forward(&image, 1, &geometry).value;
            for view in [0, 3, 5, geometry.angles.len() - 1] {
                for bin in (0..geometry.bins).step_by(5) {
                    let (point, step) = line(&geometry, view, bin);
                    // Siddon's jump where a ray runs along edges is smoothed: not tried here.
                    let along_edges = step[0].abs().min(step[1].abs()) < 2e-3;
                    let expected = match geometry.projector {
                        Projector::Joseph => joseph(point, step),
                        Projector::Siddon if along_edges => continue,
                        Projector::Siddon => siddon(point, step),
                    };
                    assert_close(&[actual[view * geometry.bins + bin]], &[expected], 1e-12);
                }
            }
        }
    }

    #[test]
    fn aligned_bins_sum_columns_and_rows() {
        let h = 0.5;
        for projector in [Projector::Joseph, Projector::Siddon] {
            let geometry = RayGeometry {
                pixel: [h; 2],
                angles: vec![0.0, PI / 2.0, PI],
                bin_width: h,
                projector,
                ..RayGeometry::parallel([4, 6], 1.0, 1, 6)
            };
            aligned(&forward(&noise(1, 24), 1, &geometry).value, h);
        }
    }

    fn aligned(sinogram: &[f64], h: f64) {
        let image = noise(1, 24);
        for bin in 0..6 {
            let column: f64 = (0..4).map(|r| image[r * 6 + bin]).sum();
            // View 0 looks along the columns; half a turn later s runs the other way.
            assert_close(&[sinogram[bin]], &[h * column], 1e-14);
            assert_close(&[sinogram[12 + 5 - bin]], &[h * column], 1e-14);
        }
        // At a quarter turn s = y: bin 0 lies below the image, bin 1 on the last row.
        let row = |r: usize| h * image[r * 6..][..6].iter().sum::<f64>();
        let rows = [0.0, row(3), row(2), row(1), row(0), 0.0];
        assert_close(&sinogram[6..12], &rows, 1e-13);
    }

    #[test]
    fn a_disc_has_the_chord_length_as_its_transform() {
        let geometry = RayGeometry::parallel([128, 128], 0.36, 18, 181);
        let radius = 0.12;
        // The area of the disc within each pixel, on a grid of 16x16 points.
        let mut image = vec![0.0; 128 * 128];
        for r in 0..128 * 16 {
            for c in 0..128 * 16 {
                let (x, y) = (
                    c as f64 / 16.0 - 64.0 + 1.0 / 32.0,
                    64.0 - r as f64 / 16.0 - 1.0 / 32.0,
                );
                if x.hypot(y) * geometry.pixel[0] < radius {
                    image[r / 16 * 128 + c / 16] += 1.0 / 256.0;
                }
            }
        }
        let sinogram = forward(&image, 1, &geometry).value;
        for view in 0..18 {
            for bin in 0..181 {
                let s = (bin as f64 - 90.0) * geometry.bin_width;
                let value = sinogram[view * 181 + bin];
                if s.abs() > radius + 2.0 * geometry.pixel[0] {
                    assert_eq!(value, 0.0);
                } else if s.abs() < 0.9 * radius {
                    let chord = 2.0 * (radius * radius - s * s).sqrt();
                    assert!((value - chord).abs() < 0.01 * chord, "{value} not {chord}");
                }
            }
        }
    }

    #[test]
    fn a_blob_appears_at_its_detector_coordinate() {
        // One bright pixel up and to the right: x = 10 h, y = 6 h.
        let mut geometry = RayGeometry::parallel([41, 41], 0.41, 36, 201);
        geometry.angles = (0..36).map(|v| 2.0 * PI * v as f64 / 36.0).collect();
        let (x, y) = (0.10, 0.06);
        let mut image = vec![0.0; 41 * 41];
        image[(20 - 6) * 41 + 20 + 10] = 1.0;
        let sinogram = forward(&image, 1, &geometry).value;
        for (view, angle) in geometry.angles.iter().enumerate() {
            let values = &sinogram[view * 201..][..201];
            let total: f64 = values.iter().sum();
            let centroid: f64 = values
                .iter()
                .enumerate()
                .map(|(bin, value)| value * (bin as f64 - 100.0) * geometry.bin_width / total)
                .sum();
            let expected = x * angle.cos() + y * angle.sin();
            assert!(
                (centroid - expected).abs() < 0.1 * geometry.pixel[0],
                "view {view}"
            );
        }
    }
}
