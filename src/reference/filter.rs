//! Filtering of sinograms for filtered back-projection.
//!
//! The filters are the ramp `|f|`, cut off at the detector's Nyquist frequency `1 / (2 w)` and
//! multiplied by a window, sampled as spatial taps and applied by linear convolution: the ramp
//! sampled in frequency instead would lose the mean and wrap around. Source: A. C. Kak and M.
//! Slaney, "Principles of Computerized Tomographic Imaging" (1988), sections 3.3.3 and 3.3.4.
//!
//! The taps include the factor `w` of the convolution integral. With `q` the filtered sinogram,
//! the image is the integral over the angles in `[0, pi)` of `q(theta, x cos theta + y sin
//! theta)`, which has the value of the scanned object (per metre, if the sinogram has no unit).

use super::{Twin, assert_len};
use crate::shape::Shape;
use std::f64::consts::PI;

/// Convolves every view with a symmetric filter: `q[.., b] = sum over b' of taps[|b - b'|] *
/// p[.., b']`, with zeros outside the detector.
///
/// `sinogram` has the shape `N 1 views bins` (`shape`), the result the same; `taps` holds at least
/// `bins` numbers. Symmetric, hence its own transpose.
pub fn filter_views(sinogram: &[f64], shape: Shape, taps: &[f64]) -> Twin {
    assert_len(sinogram, shape);
    let bins = shape.w();
    assert!(taps.len() >= bins, "{} taps for {bins} bins", taps.len());
    let mut filtered = Twin::zeros(sinogram.len());
    for view in 0..shape.n() * shape.c() * shape.h() {
        for bin in 0..bins {
            for source in 0..bins {
                let tap = taps[bin.abs_diff(source)];
                filtered.add(view * bins + bin, tap * sinogram[view * bins + source]);
            }
        }
    }
    filtered
}

/// Ram-Lak, the ramp without a window: `1/4, 0` at even and `-1 / (pi k)^2` at odd offsets, in
/// units of `1 / w` with `w` = `bin_width` in metres. Ramachandran and Lakshminarayanan 1971; Kak
/// and Slaney eq. 61.
pub fn ram_lak(bins: usize, bin_width: f64) -> Vec<f64> {
    taps(bins, bin_width, ramp)
}

/// Shepp-Logan, the ramp times `sinc(f w)`: `-2 / (pi^2 (4 k^2 - 1))`, in units of `1 / w`. Shepp
/// and Logan 1974.
pub fn shepp_logan(bins: usize, bin_width: f64) -> Vec<f64> {
    taps(bins, bin_width, |k| -2.0 / (PI * PI * (4.0 * k * k - 1.0)))
}

/// The ramp times `cos(pi f w)`, which is zero at the Nyquist frequency. A product of cosines is a
/// sum of cosines, so the inverse Fourier integral is the mean of the ramp's at `k - 1/2` and
/// `k + 1/2`.
pub fn cosine(bins: usize, bin_width: f64) -> Vec<f64> {
    taps(bins, bin_width, |k| 0.5 * (ramp(k - 0.5) + ramp(k + 0.5)))
}

/// The ramp times the Hann window `(1 + cos(2 pi f w)) / 2`: by the same sum of cosines, the
/// ramp's taps smoothed with `1/4, 1/2, 1/4`.
pub fn hann(bins: usize, bin_width: f64) -> Vec<f64> {
    taps(bins, bin_width, |k| {
        0.25 * ramp(k - 1.0) + 0.5 * ramp(k) + 0.25 * ramp(k + 1.0)
    })
}

/// `unit(k) / bin_width` for offsets `k` in `0..bins`.
fn taps(bins: usize, bin_width: f64, unit: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..bins).map(|k| unit(k as f64) / bin_width).collect()
}

/// The inverse Fourier integral of the ramp cut off at 1/2, `2 * integral over [0, 1/2] of
/// f cos(2 pi f k) df`, at any real offset `k`.
fn ramp(k: f64) -> f64 {
    if k == 0.0 {
        return 0.25;
    }
    // At whole offsets the sine is exactly zero and the cosine 1 or -1; in floating point they
    // are not, which would leave 1e-17 at the even taps.
    let (sin, cos) = if k.fract() == 0.0 {
        (0.0, if k % 2.0 == 0.0 { 1.0 } else { -1.0 })
    } else {
        (PI * k).sin_cos()
    };
    sin / (2.0 * PI * k) + (cos - 1.0) / (2.0 * PI * PI * k * k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::{assert_adjoint, assert_close, noise};

    type Taps = fn(usize, f64) -> Vec<f64>;
    const FILTERS: [(&str, Taps); 4] = [
        ("ram-lak", ram_lak),
        ("shepp-logan", shepp_logan),
        ("cosine", cosine),
        ("hann", hann),
    ];

    /// The window of each filter at frequency `u` in cycles per bin.
    fn window(name: &str, u: f64) -> f64 {
        match name {
            "ram-lak" => 1.0,
            "shepp-logan" if u == 0.0 => 1.0,
            "shepp-logan" => (PI * u).sin() / (PI * u),
            "cosine" => (PI * u).cos(),
            _ => 0.5 * (1.0 + (2.0 * PI * u).cos()),
        }
    }

    #[test]
    fn taps_are_the_inverse_fourier_integral_of_the_windowed_ramp() {
        let w = 0.7;
        for (name, filter) in FILTERS {
            for (k, tap) in filter(12, w).into_iter().enumerate() {
                // Simpson's rule on [0, 1/2], 2000 intervals: error about 1e-11 at k = 11.
                let at = |u: f64| 2.0 * u * window(name, u) * (2.0 * PI * u * k as f64).cos();
                let step = 0.5 / 2000.0;
                let simpson: f64 = (0..1000)
                    .map(|i| 2.0 * step * i as f64)
                    .map(|u| (at(u) + 4.0 * at(u + step) + at(u + 2.0 * step)) * step / 3.0)
                    .sum();
                assert_close(&[tap * w], &[simpson], 1e-9);
            }
        }
    }

    #[test]
    fn ram_lak_by_hand() {
        let taps = ram_lak(4, 2.0);
        let odd = |k: f64| -1.0 / (PI * PI * k * k) / 2.0;
        assert_close(&taps, &[0.125, odd(1.0), 0.0, odd(3.0)], 1e-17);
        assert_eq!(taps[2], 0.0);
    }

    #[test]
    fn views_are_filtered_apart_from_each_other() {
        let shape = Shape::new(1, 1, 2, 3);
        let filtered = filter_views(&[1.0, 2.0, 0.0, 0.0, 0.0, 1.0], shape, &[2.0, -1.0, 0.5]);
        assert_eq!(filtered.value, [0.0, 3.0, -1.5, 0.5, -1.0, 2.0]);
        assert_eq!(filtered.magnitude, [4.0, 5.0, 2.5, 0.5, 1.0, 2.0]);
    }

    #[test]
    fn filtering_is_symmetric() {
        let shape = Shape::new(2, 1, 3, 20);
        let (x, y) = (noise(1, 120), noise(2, 120));
        let taps = hann(20, 0.1);
        let fx = filter_views(&x, shape, &taps).value;
        let fy = filter_views(&y, shape, &taps).value;
        assert_adjoint(&fx, &y, &x, &fy);
    }

    #[test]
    fn filtered_back_projection_returns_the_value_of_a_disc() {
        // A disc of value 3 and radius 0.08 m, off-centre; chords known in closed form.
        let (views, bins, w) = (180, 257, 0.001);
        let (value, radius, centre) = (3.0, 0.08, (0.02, -0.01));
        let s = |bin: usize| (bin as f64 - 128.0) * w;
        let angle = |view: usize| PI * view as f64 / views as f64;
        let mut sinogram = Vec::new();
        for view in 0..views {
            let (sin, cos) = angle(view).sin_cos();
            for bin in 0..bins {
                let d = s(bin) - centre.0 * cos - centre.1 * sin;
                let chord = 2.0 * f64::max(radius * radius - d * d, 0.0).sqrt();
                sinogram.push(value * chord);
            }
        }
        let shape = Shape::new(1, 1, views, bins);
        for (name, filter) in FILTERS {
            let q = filter_views(&sinogram, shape, &filter(bins, w)).value;
            // The angular integral at a point, linear between the bins.
            let back_project = |x: f64, y: f64| -> f64 {
                let at = |view: usize| {
                    let (sin, cos) = angle(view).sin_cos();
                    let position = (x * cos + y * sin) / w + 128.0;
                    let (bin, t) = (position.floor() as usize, position.fract());
                    let row = &q[view * bins..][..bins];
                    (1.0 - t) * row[bin] + t * row[bin + 1]
                };
                (0..views).map(at).sum::<f64>() * PI / views as f64
            };
            for i in 0..40 {
                let (r, phi) = (0.75 * radius * i as f64 / 40.0, i as f64);
                let inside = back_project(centre.0 + r * phi.cos(), centre.1 + r * phi.sin());
                let error = (inside - value).abs();
                assert!(error < 0.01 * value, "{name}: {inside} at {r} m");
            }
        }
    }
}
