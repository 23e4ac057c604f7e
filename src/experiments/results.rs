//! What the experiments that train many networks find: scores, their table, their plots.

use super::Scale;
use super::scores::{Method, Scores, Summary};
use super::study::Orientation;
use crate::report::{Align, Table};
use serde::Serialize;

/// One network, or one classical method, on one training set.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Point {
    /// Training images; none for a classical method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
    /// The training's seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The scores.
    #[serde(flatten)]
    pub method: Method,
}

/// The results, as `metrics.json` holds them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Results {
    /// The experiment's name.
    pub experiment: &'static str,
    /// How much was done.
    pub scale: Scale,
    /// What was reconstructed from what.
    pub problem: String,
    /// The adapter that computed it.
    pub adapter: String,
    /// The first seed.
    pub seed: u64,
    /// Test images in each orientation.
    pub tests: usize,
    /// Every network and classical method.
    pub methods: Vec<Point>,
}

/// The scores that are plotted: name, axis, value.
pub(super) const PLOTTED: [(&str, &str, fn(&Scores) -> f64); 2] = [
    ("PSNR", "PSNR / dB", |s| s.psnr),
    ("SSIM", "SSIM (data range 1)", |s| s.ssim_l1),
];

/// The scores over all seeds of the points that `of` picks.
pub(super) fn pooled<'a>(
    points: impl IntoIterator<Item = &'a Point>,
    orientation: Orientation,
    of: impl Fn(&Point) -> bool,
) -> Summary {
    let points = points.into_iter().filter(|&p| of(p));
    Summary::together(points.filter_map(|p| orientation.of_method(&p.method)))
}

/// Mean and standard deviation as the tables print them.
pub(super) fn psnr(summary: &Summary) -> String {
    format!("{:.2} +- {:.2}", summary.psnr, summary.psnr_sd)
}

/// `points` for people: means over test images and seeds.
pub fn table(points: &[Point]) -> Table {
    let mut table = Table::new([
        ("images", Align::Right),
        ("method", Align::Left),
        ("parameters", Align::Right),
        ("train s", Align::Right),
        ("PSNR upright", Align::Right),
        ("PSNR rotated", Align::Right),
        ("SSIM upright", Align::Right),
        ("SSIM rotated", Align::Right),
    ]);
    let same = |a: &Point, b: &Point| a.images == b.images && a.method.label() == b.method.label();
    for (i, first) in points.iter().enumerate() {
        if points[..i].iter().any(|p| same(p, first)) {
            continue;
        }
        let [upright, rotated] = Orientation::BOTH.map(|o| pooled(points, o, |p| same(p, first)));
        let seconds: Vec<f64> = (points.iter().filter(|p| same(p, first)))
            .map(|p| p.method.train_seconds)
            .collect();
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
        table.row([
            first.images.map_or(String::new(), |n| n.to_string()),
            first.method.label(),
            number(first.method.parameters),
            format!("{mean:.0}"),
            psnr(&upright),
            psnr(&rotated),
            format!("{:.3}", upright.ssim_l1),
            format!("{:.3}", rotated.ssim_l1),
        ]);
    }
    table
}
