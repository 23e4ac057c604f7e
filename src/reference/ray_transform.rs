//! The parallel-beam ray transform by Joseph's method and its transpose, and pixel-driven
//! back-projection and its transpose.
//!
//! Source: P. M. Joseph, "An improved algorithm for reprojecting rays through pixel images", IEEE
//! Transactions on Medical Imaging 1 (1982) 192-196. The geometry and the weights are those of
//! [`ParallelBeam::joseph_view`].

use super::{Twin, assert_len};
use crate::shape::ParallelBeam;

/// The line integrals of `n` images: `n 1 H W` to `n 1 views bins`, in metres times the image's
/// unit.
pub fn forward(image: &[f64], n: usize, beam: &ParallelBeam) -> Twin {
    let (pixels, rays) = (beam.image(1).elements(), beam.sinogram(1).elements());
    assert_len(image, beam.image(n));
    let mut sinogram = Twin::zeros(n * rays);
    for_each_weight(beam, |ray, pixel, weight| {
        for i in 0..n {
            sinogram.add(i * rays + ray, weight * image[i * pixels + pixel]);
        }
    });
    sinogram
}

/// The transpose of [`forward`], with the same weights: `n 1 views bins` to `n 1 H W`.
pub fn adjoint(sinogram: &[f64], n: usize, beam: &ParallelBeam) -> Twin {
    let (pixels, rays) = (beam.image(1).elements(), beam.sinogram(1).elements());
    assert_len(sinogram, beam.sinogram(n));
    let mut image = Twin::zeros(n * pixels);
    for_each_weight(beam, |ray, pixel, weight| {
        for i in 0..n {
            image.add(i * pixels + pixel, weight * sinogram[i * rays + ray]);
        }
    });
    image
}

/// The dense matrix of [`forward`] on one image, row-major with `views * bins` rows and `H * W`
/// columns. For small sizes.
pub fn matrix(beam: &ParallelBeam) -> Vec<f64> {
    let (pixels, rays) = (beam.image(1).elements(), beam.sinogram(1).elements());
    let mut matrix = vec![0.0; rays * pixels];
    for_each_weight(beam, |ray, pixel, weight| {
        matrix[ray * pixels + pixel] += weight;
    });
    matrix
}

/// Pixel-driven back-projection of `n` sinograms, `n 1 views bins` to `n 1 H W`: the sum over the
/// views of the sinogram interpolated linearly at each pixel's detector coordinate, zero outside
/// the detector. The discrete form of the back-projection integral (Kak and Slaney 1988, section
/// 3.3.3), without the angular weights; not the transpose of [`forward`].
pub fn backproject(sinogram: &[f64], n: usize, beam: &ParallelBeam) -> Twin {
    let (pixels, rays) = (beam.image(1).elements(), beam.sinogram(1).elements());
    assert_len(sinogram, beam.sinogram(n));
    let mut image = Twin::zeros(n * pixels);
    for_each_share(beam, |ray, pixel, share| {
        for i in 0..n {
            image.add(i * pixels + pixel, share * sinogram[i * rays + ray]);
        }
    });
    image
}

/// The transpose of [`backproject`], with the same weights: `n 1 H W` to `n 1 views bins`.
pub fn backproject_transpose(image: &[f64], n: usize, beam: &ParallelBeam) -> Twin {
    let (pixels, rays) = (beam.image(1).elements(), beam.sinogram(1).elements());
    assert_len(image, beam.image(n));
    let mut sinogram = Twin::zeros(n * rays);
    for_each_share(beam, |ray, pixel, share| {
        for i in 0..n {
            sinogram.add(i * rays + ray, share * image[i * pixels + pixel]);
        }
    });
    sinogram
}

/// Calls `visit(ray, pixel, share)` for the two bins of each view that each pixel lies between.
fn for_each_share(beam: &ParallelBeam, mut visit: impl FnMut(usize, usize, f64)) {
    let centre = |extent: usize| (extent as f64 - 1.0) / 2.0;
    for view in 0..beam.angles.len() {
        let [per_column, per_row, origin] = beam.bin_view(view);
        for pixel in 0..beam.rows * beam.columns {
            let row = (pixel / beam.columns) as f64 - centre(beam.rows);
            let column = (pixel % beam.columns) as f64 - centre(beam.columns);
            let place = per_column * column + per_row * row + origin;
            let fraction = place - place.floor();
            let left = place.floor() as isize;
            for (bin, share) in [(left, 1.0 - fraction), (left + 1, fraction)] {
                if (0..beam.bins as isize).contains(&bin) {
                    visit(view * beam.bins + bin as usize, pixel, share);
                }
            }
        }
    }
}

/// Calls `visit(ray, pixel, weight)` for every weight that is not zero by construction; `ray` is
/// `view * bins + bin` and `pixel` is `row * W + column`.
fn for_each_weight(beam: &ParallelBeam, mut visit: impl FnMut(usize, usize, f64)) {
    let centre = |extent: usize| (extent as f64 - 1.0) / 2.0;
    for view in 0..beam.angles.len() {
        let joseph = beam.joseph_view(view);
        // The ray takes one step per line and crosses it somewhere between two pixels.
        let (lines, width) = if joseph.along_rows {
            (beam.rows, beam.columns)
        } else {
            (beam.columns, beam.rows)
        };
        for bin in 0..beam.bins {
            let q = bin as f64 - centre(beam.bins);
            for line in 0..lines {
                let step = line as f64 - centre(lines);
                let crossing = joseph.per_bin * q + joseph.per_step * step + joseph.shift;
                let position = crossing + centre(width);
                let fraction = position - position.floor();
                let near = position.floor() as isize;
                for (index, share) in [(near, 1.0 - fraction), (near + 1, fraction)] {
                    if !(0..width as isize).contains(&index) {
                        continue;
                    }
                    let (row, column) = if joseph.along_rows {
                        (line, index as usize)
                    } else {
                        (index as usize, line)
                    };
                    visit(
                        view * beam.bins + bin,
                        row * beam.columns + column,
                        joseph.weight * share,
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::{assert_adjoint, assert_close, columns, dot, noise};
    use std::f64::consts::PI;

    /// Square and not, with a shifted detector, and angles over the whole circle.
    fn beams() -> [ParallelBeam; 3] {
        let square = ParallelBeam::equispaced([37, 37], 0.36, 23, 59);
        let wide = ParallelBeam {
            offset: 0.013,
            ..ParallelBeam::equispaced([20, 31], 0.36, 23, 59)
        };
        let tall = ParallelBeam {
            rows: 31,
            columns: 20,
            angles: vec![-2.9, -1.6, -PI / 4.0, 0.0, 0.7, PI / 2.0, 2.0, PI, 4.0, 6.2],
            offset: -0.02,
            ..square.clone()
        };
        [square, wide, tall]
    }

    #[test]
    fn adjoint_is_the_transpose() {
        for beam in beams() {
            let x = noise(1, beam.image(2).elements());
            let y = noise(2, beam.sinogram(2).elements());
            let ax = forward(&x, 2, &beam).value;
            let aty = adjoint(&y, 2, &beam).value;
            assert_adjoint(&ax, &y, &x, &aty);
        }
    }

    #[test]
    fn matrix_has_the_transform_of_each_pixel_as_its_columns() {
        let beam = ParallelBeam {
            offset: 0.01,
            ..ParallelBeam::equispaced([5, 7], 0.1, 6, 9)
        };
        let dense = matrix(&beam);
        let y = noise(1, beam.sinogram(1).elements());
        let back = adjoint(&y, 1, &beam).value;
        let transformed = columns(35, |x| forward(x, 1, &beam).value);
        for (pixel, column) in transformed.iter().enumerate() {
            let of_matrix: Vec<f64> = dense.iter().skip(pixel).step_by(35).copied().collect();
            assert_eq!(&of_matrix, column);
            assert_close(&[back[pixel]], &[dot(column, &y)], 1e-14);
        }
    }

    /// The geometry's definition, written a second time: the point of the ray on each line, in
    /// metres, and the image interpolated linearly there.
    #[test]
    fn forward_interpolates_where_the_ray_crosses_each_line() {
        for beam in beams() {
            let (rows, cols, h) = (beam.rows, beam.columns, beam.pixel);
            let image = noise(3, rows * cols);
            let at = |row: f64, col: f64| {
                let mut sum = 0.0;
                for r in 0..rows {
                    for c in 0..cols {
                        let hat = |d: f64| (1.0 - d.abs()).max(0.0);
                        sum += hat(row - r as f64) * hat(col - c as f64) * image[r * cols + c];
                    }
                }
                sum
            };
            let actual = forward(&image, 1, &beam).value;
            for view in [0, 3, 5, beam.angles.len() - 1] {
                let (sin, cos) = beam.angles[view].sin_cos();
                for bin in (0..beam.bins).step_by(5) {
                    let s = (bin as f64 - (beam.bins as f64 - 1.0) / 2.0) * beam.bin_width
                        + beam.offset;
                    let mut expected = 0.0;
                    if cos.abs() >= sin.abs() {
                        for r in 0..rows {
                            let y = ((rows as f64 - 1.0) / 2.0 - r as f64) * h;
                            let x = (s - y * sin) / cos;
                            expected +=
                                h / cos.abs() * at(r as f64, x / h + (cols as f64 - 1.0) / 2.0);
                        }
                    } else {
                        for c in 0..cols {
                            let x = (c as f64 - (cols as f64 - 1.0) / 2.0) * h;
                            let y = (s - x * cos) / sin;
                            expected +=
                                h / sin.abs() * at((rows as f64 - 1.0) / 2.0 - y / h, c as f64);
                        }
                    }
                    assert_close(&[actual[view * beam.bins + bin]], &[expected], 1e-12);
                }
            }
        }
    }

    #[test]
    fn aligned_bins_sum_columns_and_rows() {
        let h = 0.5;
        let beam = ParallelBeam {
            rows: 4,
            columns: 6,
            pixel: h,
            angles: vec![0.0, PI / 2.0, PI],
            bins: 6,
            bin_width: h,
            offset: 0.0,
        };
        let image = noise(1, 24);
        let sinogram = forward(&image, 1, &beam).value;
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
        let beam = ParallelBeam::equispaced([128, 128], 0.36, 18, 181);
        let radius = 0.12;
        // The area of the disc within each pixel, on a grid of 16x16 points.
        let mut image = vec![0.0; 128 * 128];
        for r in 0..128 * 16 {
            for c in 0..128 * 16 {
                let (x, y) = (
                    c as f64 / 16.0 - 64.0 + 1.0 / 32.0,
                    64.0 - r as f64 / 16.0 - 1.0 / 32.0,
                );
                if x.hypot(y) * beam.pixel < radius {
                    image[r / 16 * 128 + c / 16] += 1.0 / 256.0;
                }
            }
        }
        let sinogram = forward(&image, 1, &beam).value;
        for view in 0..18 {
            for bin in 0..181 {
                let s = (bin as f64 - 90.0) * beam.bin_width;
                let value = sinogram[view * 181 + bin];
                if s.abs() > radius + 2.0 * beam.pixel {
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
        let mut beam = ParallelBeam::equispaced([41, 41], 0.41, 36, 201);
        beam.angles = (0..36).map(|v| 2.0 * PI * v as f64 / 36.0).collect();
        let (x, y) = (0.10, 0.06);
        let mut image = vec![0.0; 41 * 41];
        image[(20 - 6) * 41 + 20 + 10] = 1.0;
        let sinogram = forward(&image, 1, &beam).value;
        for (view, angle) in beam.angles.iter().enumerate() {
            let values = &sinogram[view * 201..][..201];
            let total: f64 = values.iter().sum();
            let centroid: f64 = values
                .iter()
                .enumerate()
                .map(|(bin, value)| value * (bin as f64 - 100.0) * beam.bin_width / total)
                .sum();
            let expected = x * angle.cos() + y * angle.sin();
            assert!(
                (centroid - expected).abs() < 0.1 * beam.pixel,
                "view {view}"
            );
        }
    }
}
