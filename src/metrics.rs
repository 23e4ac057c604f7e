//! Image quality: PSNR, SSIM and normalised mean squared error.
//!
//! All take real `f32` images and compute in `f64`; a complex image is compared by its
//! [`magnitude`], as published. The peak is always taken from the reference, never from the
//! reconstruction, and SSIM agrees with scikit-image's `structural_similarity` at its defaults.

use crate::error::{Error, Result};
use std::borrow::Cow;

/// Edge of SSIM's square window, in pixels.
pub const SSIM_WINDOW: usize = 7;

/// The magnitude of a complex image, its two channels one after another; any image of another
/// number of channels as it is.
pub fn magnitude(image: &[f32], channels: usize) -> Cow<'_, [f32]> {
    if channels != 2 {
        return image.into();
    }
    let (re, im) = image.split_at(image.len() / 2);
    re.iter().zip(im).map(|(re, im)| re.hypot(*im)).collect()
}

/// Peak signal-to-noise ratio in decibels with the maximum of `reference` as the peak:
/// `10 log10(peak^2 / MSE)`. Infinite for equal images.
///
/// # Errors
/// As [`psnr_with_range`]; also [`Error::Data`] if no value of the reference is positive.
pub fn psnr(reference: &[f32], image: &[f32]) -> Result<f64> {
    let peak = reference.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if peak <= 0.0 {
        return Err(Error::data(
            "PSNR's reference",
            format!(
                "its maximum is {peak}, so it cannot be the peak; give a fixed data range instead"
            ),
        ));
    }
    psnr_with_range(reference, image, f64::from(peak))
}

/// Peak signal-to-noise ratio in decibels with a fixed peak, `10 log10(data_range^2 / MSE)`, the
/// mean taken over all values given. Infinite for equal images.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ or are zero or `data_range` is not positive,
/// [`Error::NotFinite`] if an image holds a NaN or an infinity.
pub fn psnr_with_range(reference: &[f32], image: &[f32], data_range: f64) -> Result<f64> {
    check("psnr", reference, image)?;
    check_range("psnr", data_range)?;
    let mse = squared_distance(reference, image) / reference.len() as f64;
    Ok(10.0 * (data_range * data_range / mse).log10())
}

/// Normalised mean squared error, `|image - reference|^2 / |reference|^2`.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ or are zero, [`Error::NotFinite`] if an image holds a NaN
/// or an infinity, [`Error::Data`] if the reference is zero everywhere.
pub fn nmse(reference: &[f32], image: &[f32]) -> Result<f64> {
    check("nmse", reference, image)?;
    let energy: f64 = reference.iter().map(|&r| f64::from(r).powi(2)).sum();
    if energy == 0.0 {
        return Err(Error::data(
            "NMSE's reference",
            "it is zero everywhere, so there is nothing to normalise by; compare PSNR instead",
        ));
    }
    Ok(squared_distance(reference, image) / energy)
}

/// Mean structural similarity of two images `[h, w]` (Wang et al. 2004, eq. 13), as scikit-image
/// computes it by default: uniform 7x7 window, `K1 = 0.01`, `K2 = 0.03`, sample covariance
/// (`n / (n - 1)`), averaged over the pixels whose window lies inside the image. `data_range` is
/// `L`, the span that the values could take.
///
/// # Errors
/// [`Error::Data`] if the image is smaller than the window, [`Error::Shape`] if the lengths do not
/// equal `h * w` or `data_range` is not positive, [`Error::NotFinite`] for a NaN or an infinity.
pub fn ssim(reference: &[f32], image: &[f32], [h, w]: [usize; 2], data_range: f64) -> Result<f64> {
    check("ssim", reference, image)?;
    check_range("ssim", data_range)?;
    if reference.len() != h * w {
        return Err(Error::shape(
            "ssim",
            format!("{} values were given for {h}x{w} pixels", reference.len()),
        ));
    }
    if h < SSIM_WINDOW || w < SSIM_WINDOW {
        return Err(Error::data(
            "SSIM's reference",
            format!(
                "{h}x{w} pixels are smaller than the {SSIM_WINDOW}x{SSIM_WINDOW} window; use larger images, or PSNR"
            ),
        ));
    }

    let product = |a: &[f32], b: &[f32]| -> Vec<f64> {
        let pairs = a.iter().zip(b);
        pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).collect()
    };
    let plain = |a: &[f32]| -> Vec<f64> { a.iter().map(|&a| f64::from(a)).collect() };
    let mean = |values: Vec<f64>| window_means(&values, w);
    let (mx, my) = (mean(plain(reference)), mean(plain(image)));
    let mxx = mean(product(reference, reference));
    let myy = mean(product(image, image));
    let mxy = mean(product(reference, image));

    let n = (SSIM_WINDOW * SSIM_WINDOW) as f64;
    let sample = n / (n - 1.0);
    let (c1, c2) = ((0.01 * data_range).powi(2), (0.03 * data_range).powi(2));
    let total: f64 = (0..mx.len())
        .map(|i| {
            let (x, y) = (mx[i], my[i]);
            let vx = sample * (mxx[i] - x * x);
            let vy = sample * (myy[i] - y * y);
            let vxy = sample * (mxy[i] - x * y);
            ((2.0 * x * y + c1) * (2.0 * vxy + c2)) / ((x * x + y * y + c1) * (vx + vy + c2))
        })
        .sum();
    Ok(total / mx.len() as f64)
}

/// Mean and sample standard deviation (`n - 1`; zero for one value) of per-image scores.
/// `None` for no values.
pub fn mean_and_sd(scores: &[f64]) -> Option<(f64, f64)> {
    if scores.is_empty() {
        return None;
    }
    let n = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let squares: f64 = scores.iter().map(|s| (s - mean).powi(2)).sum();
    let sd = if scores.len() > 1 {
        (squares / (n - 1.0)).sqrt()
    } else {
        0.0
    };
    Some((mean, sd))
}

/// Means over all windows inside an image of width `w`, row-major.
fn window_means(image: &[f64], w: usize) -> Vec<f64> {
    let along_rows: Vec<f64> = image
        .chunks_exact(w)
        .flat_map(|row| {
            row.windows(SSIM_WINDOW)
                .map(|window| window.iter().sum::<f64>())
        })
        .collect();
    let columns = w + 1 - SSIM_WINDOW;
    let outputs = along_rows.len() - (SSIM_WINDOW - 1) * columns;
    let area = (SSIM_WINDOW * SSIM_WINDOW) as f64;
    (0..outputs)
        .map(|i| {
            (0..SSIM_WINDOW)
                .map(|d| along_rows[i + d * columns])
                .sum::<f64>()
                / area
        })
        .collect()
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum()
}

fn check(op: &'static str, reference: &[f32], image: &[f32]) -> Result<()> {
    if reference.is_empty() || reference.len() != image.len() {
        return Err(Error::shape(
            op,
            format!(
                "the reference has {} values and the image {}; give two images of one shape",
                reference.len(),
                image.len()
            ),
        ));
    }
    for (name, values) in [("reference", reference), ("image", image)] {
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite(format!(
                "{op}: value {i} of the {name} is {}",
                values[i]
            )));
        }
    }
    Ok(())
}

fn check_range(op: &'static str, data_range: f64) -> Result<()> {
    if data_range > 0.0 && data_range.is_finite() {
        return Ok(());
    }
    Err(Error::shape(
        op,
        format!("the data range is {data_range}; it must be positive and finite"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The image of `tests/golden/metrics/make_metrics.py` and its distorted copy.
    fn pattern(h: usize, w: usize, seed: usize, noise: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut reference, mut image) = (Vec::new(), Vec::new());
        for r in 0..h {
            for c in 0..w {
                let texture = (r * 7919 + c * 104_729 + seed * 1_299_709) % 97;
                let inside = (2 * r).abs_diff(h) < h / 2 && (2 * c).abs_diff(w) < w / 3;
                let value = (4 * (r + c) + 3 * texture + 300 * usize::from(inside)) % 1024;
                let error = ((r * 31 + c * 17 + seed * 5) % (2 * noise + 1)) as f32 - noise as f32;
                reference.push(value as f32 / 1024.0);
                image.push((value as f32 + error) / 1024.0);
            }
        }
        (reference, image)
    }

    #[test]
    fn scores_agree_with_scikit_image() {
        let golden = include_str!("../tests/golden/metrics/metrics.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let size = |key: &str| case[key].as_u64().unwrap() as usize;
            let expected = |key: &str| case[key].as_f64().unwrap();
            let (h, w) = (size("h"), size("w"));
            let (reference, image) = pattern(h, w, size("seed"), size("noise"));
            let range = expected("data_range");
            for (key, score) in [
                ("psnr", psnr_with_range(&reference, &image, range)),
                ("psnr_peak", psnr(&reference, &image)),
                ("ssim", ssim(&reference, &image, [h, w], range)),
                ("nmse", nmse(&reference, &image)),
            ] {
                let (score, expected) = (score.unwrap(), expected(key));
                assert!(
                    (score - expected).abs() <= 1e-10 * expected.abs(),
                    "{key} of {case}: {score}"
                );
            }
        }
    }

    #[test]
    fn complex_images_are_compared_by_their_magnitude() {
        assert_eq!(*magnitude(&[3.0, 0.0, 4.0, -2.0], 2), [5.0, 2.0]);
        assert_eq!(*magnitude(&[3.0, -4.0], 1), [3.0, -4.0]);
    }

    #[test]
    fn equal_images_are_perfect() {
        let (image, _) = pattern(9, 11, 0, 1);
        assert_eq!(psnr(&image, &image).unwrap(), f64::INFINITY);
        assert_eq!(nmse(&image, &image).unwrap(), 0.0);
        let score = ssim(&image, &image, [9, 11], 1.0).unwrap();
        assert!((score - 1.0).abs() < 1e-14, "{score}");
    }

    #[test]
    fn unusable_input_is_a_typed_error() {
        let small = [0.5; 36];
        let error = ssim(&small, &small, [6, 6], 1.0).unwrap_err();
        assert!(matches!(error, Error::Data { .. }), "{error}");
        let error = ssim(&[0.5; 60], &[0.5; 60], [10, 7], 1.0).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
        assert!(matches!(
            psnr(&small, &small[1..]),
            Err(Error::Shape { .. })
        ));
        assert!(matches!(psnr(&[], &[]), Err(Error::Data { .. })));
        assert!(matches!(
            psnr_with_range(&small, &small, 0.0),
            Err(Error::Shape { .. })
        ));
        assert!(matches!(psnr(&[-1.0], &[0.0]), Err(Error::Data { .. })));
        assert!(matches!(nmse(&[0.0], &[1.0]), Err(Error::Data { .. })));
        let nan = [f32::NAN; 36];
        assert!(matches!(nmse(&small, &nan), Err(Error::NotFinite(_))));
        assert!(matches!(
            psnr_with_range(&nan, &small, 1.0),
            Err(Error::NotFinite(_))
        ));
    }

    #[test]
    fn the_spread_is_the_sample_standard_deviation() {
        assert_eq!(mean_and_sd(&[]), None);
        assert_eq!(mean_and_sd(&[3.0]), Some((3.0, 0.0)));
        assert_eq!(mean_and_sd(&[1.0, 2.0, 3.0]), Some((2.0, 1.0)));
    }
}
