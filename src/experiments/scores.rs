//! How well a method reconstructs a set of images: the numbers behind tables and JSON files.

use crate::error::Result;
use crate::metrics;
use crate::report::{Align, Table};
use serde::Serialize;

/// PSNR and SSIM of one image.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Scores {
    /// Decibels, with the maximum of the reference as the peak.
    pub psnr: f64,
    /// SSIM with the data range 2, as in the published tables.
    pub ssim_l2: f64,
    /// SSIM with the data range 1.
    pub ssim_l1: f64,
}

/// Means over a set of images.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// Mean PSNR in decibels.
    pub psnr: f64,
    /// Its standard deviation over the images.
    pub psnr_sd: f64,
    /// Mean SSIM with the data range 2.
    pub ssim_l2: f64,
    /// Mean SSIM with the data range 1.
    pub ssim_l1: f64,
    /// Every image's scores.
    pub per_image: Vec<Scores>,
}

impl Summary {
    /// Scores of images of `[rows, columns]` pixels, one after another in both slices.
    ///
    /// # Errors
    /// Those of [`metrics::psnr`] and [`metrics::ssim`].
    pub fn of(truth: &[f32], images: &[f32], size: [usize; 2]) -> Result<Self> {
        let pixels = size[0] * size[1];
        let per_image = truth
            .chunks_exact(pixels)
            .zip(images.chunks_exact(pixels))
            .map(|(truth, image)| {
                Ok(Scores {
                    psnr: metrics::psnr(truth, image)?,
                    ssim_l2: metrics::ssim(truth, image, size, 2.0)?,
                    ssim_l1: metrics::ssim(truth, image, size, 1.0)?,
                })
            })
            .collect::<Result<Vec<Scores>>>()?;
        let column = |f: fn(&Scores) -> f64| -> Vec<f64> { per_image.iter().map(f).collect() };
        let mean = |f| metrics::mean_and_sd(&column(f)).unwrap_or((f64::NAN, f64::NAN));
        let (psnr, psnr_sd) = mean(|s| s.psnr);
        Ok(Summary {
            psnr,
            psnr_sd,
            ssim_l2: mean(|s| s.ssim_l2).0,
            ssim_l1: mean(|s| s.ssim_l1).0,
            per_image,
        })
    }
}

/// One method's row in a comparison.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Method {
    /// `fbp`, `tv`, `ordinary`, `equivariant`, `equivariant-wide`.
    pub name: String,
    /// Trained numbers.
    pub parameters: usize,
    /// Seconds of training (of tuning, for classical methods).
    pub train_seconds: f64,
    /// On the test images as they are.
    pub upright: Summary,
    /// On the same images turned by random angles before they were measured.
    pub rotated: Summary,
}

impl Method {
    /// The comparison as a table for people.
    pub fn table(methods: &[Method]) -> Table {
        let mut table = Table::new([
            ("method", Align::Left),
            ("parameters", Align::Right),
            ("train s", Align::Right),
            ("PSNR upright", Align::Right),
            ("PSNR rotated", Align::Right),
            ("SSIM upright", Align::Right),
            ("SSIM rotated", Align::Right),
        ]);
        for m in methods {
            table.row([
                m.name.clone(),
                if m.parameters == 0 {
                    String::new()
                } else {
                    m.parameters.to_string()
                },
                format!("{:.0}", m.train_seconds),
                format!("{:.2} +- {:.2}", m.upright.psnr, m.upright.psnr_sd),
                format!("{:.2} +- {:.2}", m.rotated.psnr, m.rotated.psnr_sd),
                format!("{:.3}", m.upright.ssim_l1),
                format!("{:.3}", m.rotated.ssim_l1),
            ]);
        }
        table
    }
}
