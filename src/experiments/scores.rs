//! How well a method reconstructs a set of images: the numbers behind tables and JSON files.

use crate::data::Image;
use crate::data::panel::{Figure, Panel, Picture};
use crate::error::{Error, Result};
use crate::files;
use crate::group::Group;
use crate::metrics;
use crate::report::{Align, Table};
use serde::Serialize;
use std::path::Path;

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
        Ok(Summary::from(per_image))
    }

    /// The scores of several sets together.
    pub fn together<'a>(sets: impl IntoIterator<Item = &'a Summary>) -> Self {
        let scores = sets.into_iter().flat_map(|set| set.per_image.clone());
        Summary::from(scores.collect::<Vec<_>>())
    }
}

impl From<Vec<Scores>> for Summary {
    fn from(per_image: Vec<Scores>) -> Self {
        let column = |f: fn(&Scores) -> f64| -> Vec<f64> { per_image.iter().map(f).collect() };
        let mean = |f| metrics::mean_and_sd(&column(f)).unwrap_or((f64::NAN, f64::NAN));
        let (psnr, psnr_sd) = mean(|s| s.psnr);
        Summary {
            psnr,
            psnr_sd,
            ssim_l2: mean(|s| s.ssim_l2).0,
            ssim_l1: mean(|s| s.ssim_l1).0,
            per_image,
        }
    }
}

/// One method's row in a comparison.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Method {
    /// `fbp`, `zero-filled`, `least-squares`, `tv`; `ordinary`, `equivariant`, `equivariant-wide`;
    /// by the loss `mc`, `ei`, `rei`, `supervised`, `augmented`.
    pub name: String,
    /// The symmetry group of a network, C1 for the ordinary one; none for classical methods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// Trained numbers.
    pub parameters: usize,
    /// Seconds of training (of tuning, for classical methods).
    pub train_seconds: f64,
    /// On the test images as they are.
    pub upright: Summary,
    /// On the same images turned by random angles before they were measured, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated: Option<Summary>,
}

impl Method {
    /// The name of a network with this symmetry group.
    pub fn network_name(group: Group) -> &'static str {
        match group.order() {
            1 => "ordinary",
            _ => "equivariant",
        }
    }

    /// A method by its name, with everything else empty.
    pub(super) fn unscored(name: &str) -> Self {
        Method {
            name: name.to_string(),
            group: None,
            parameters: 0,
            train_seconds: 0.0,
            upright: Summary::from(Vec::new()),
            rotated: None,
        }
    }

    /// The name for people, with the group of an equivariant network: `equivariant (D4)`.
    pub fn label(&self) -> String {
        match self.group {
            Some(group) if self.name != Self::network_name(Group::cyclic(1)) => {
                format!("{} ({group})", self.name)
            }
            _ => self.name.clone(),
        }
    }

    /// The comparison as a table for people, SSIM with the data range 1.
    pub fn table(methods: &[Method]) -> Table {
        let turned = methods.iter().any(|m| m.rotated.is_some());
        let mut columns = vec![
            ("method", Align::Left),
            ("parameters", Align::Right),
            ("train s", Align::Right),
            ("PSNR upright", Align::Right),
            ("PSNR rotated", Align::Right),
            ("SSIM upright", Align::Right),
            ("SSIM rotated", Align::Right),
        ];
        columns.retain(|(name, _)| turned || !name.ends_with("rotated"));
        let mut table = Table::new(columns);
        for m in methods {
            let sets =
                || std::iter::once(Some(&m.upright)).chain(turned.then_some(m.rotated.as_ref()));
            let mut row = vec![
                m.label(),
                match m.parameters {
                    0 => String::new(),
                    count => count.to_string(),
                },
                format!("{:.0}", m.train_seconds),
            ];
            row.extend(sets().map(|set| {
                set.map_or(String::new(), |s| {
                    format!("{:.2} +- {:.2}", s.psnr, s.psnr_sd)
                })
            }));
            row.extend(
                sets().map(|set| set.map_or(String::new(), |s| format!("{:.3}", s.ssim_l1))),
            );
            table.row(row);
        }
        table
    }
}

/// The true image and its reconstructions, each under its name, PSNR and SSIM (data range 1), above
/// their error maps: blue is too low, red too high, full colour at `limit`.
///
/// # Errors
/// Those of [`metrics::psnr`] and [`metrics::ssim`], which include images of other sizes.
pub fn picture(
    title: &str,
    truth: &Image,
    reconstructions: &[(&str, Image)],
    window: [f32; 2],
    limit: f32,
    zoom: usize,
) -> Result<Picture> {
    let mut upper = vec![Panel::grey("truth", truth.clone(), window)];
    let blank = Image::new(truth.size(), vec![0.0; truth.pixels.len()])?;
    let mut lower = vec![Panel::grey(title, blank, [0.0, 1.0])];
    for (name, image) in reconstructions {
        let psnr = metrics::psnr(&truth.pixels, &image.pixels)?;
        let ssim = metrics::ssim(&truth.pixels, &image.pixels, truth.size(), 1.0)?;
        upper.push(Panel::grey(
            format!("{name}\n{psnr:.2} dB\nSSIM {ssim:.3}"),
            image.clone(),
            window,
        ));
        lower.push(Panel::error("error", truth, image, limit)?);
    }
    Figure::new(zoom).row(upper).row(lower).render()
}

/// Writes results as indented JSON.
///
/// # Errors
/// [`Error::NotFinite`] if a number cannot be written, [`Error::Io`].
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::NotFinite(format!("the results cannot be written as JSON: {e}")))?;
    text.push('\n');
    files::write_bytes(path, text.as_bytes())
}
