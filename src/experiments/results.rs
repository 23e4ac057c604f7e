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

/// A score that is plotted.
pub(super) struct Plotted {
    pub name: &'static str,
    /// The axis.
    pub axis: &'static str,
    pub of: fn(&Scores) -> f64,
}

/// The scores that are plotted.
pub(super) const PLOTTED: [Plotted; 2] = [
    Plotted {
        name: "PSNR",
        axis: "PSNR / dB",
        of: |s| s.psnr,
    },
    Plotted {
        name: "SSIM",
        axis: "SSIM (data range 1)",
        of: |s| s.ssim_l1,
    },
];

/// Points that differ by nothing but the seed, in the order of the first of each.
pub(super) fn by_method(points: &[Point]) -> Vec<Vec<&Point>> {
    let mut methods: Vec<Vec<&Point>> = Vec::new();
    for point in points {
        let same = |of: &&mut Vec<&Point>| {
            of[0].images == point.images && of[0].method.label() == point.method.label()
        };
        match methods.iter_mut().find(same) {
            Some(method) => method.push(point),
            None => methods.push(vec![point]),
        }
    }
    methods
}

/// The scores of all points together.
pub(super) fn pooled(points: &[&Point], orientation: Orientation) -> Summary {
    let summaries = points.iter();
    Summary::together(summaries.filter_map(|p| orientation.of_method(&p.method)))
}

/// The columns of [`cells`].
pub(super) const COLUMNS: [(&str, Align); 7] = [
    ("method", Align::Left),
    ("parameters", Align::Right),
    ("train s", Align::Right),
    ("PSNR upright", Align::Right),
    ("PSNR rotated", Align::Right),
    ("SSIM upright", Align::Right),
    ("SSIM rotated", Align::Right),
];

/// For each seed of `points`, what it gains in PSNR over the point of `over` with the same seed, image
/// by image.
pub(super) fn gains(points: &[&Point], over: &[&Point], orientation: Orientation) -> Vec<Vec<f64>> {
    let with_seed = |seed| over.iter().find(|first| first.seed == seed);
    let pairs = points.iter().filter_map(|p| Some([p, with_seed(p.seed)?]));
    let gains = pairs.filter_map(|pair| {
        let [a, b] = pair.map(|p| orientation.of_method(&p.method));
        let images = a?.per_image.iter().zip(&b?.per_image);
        Some(images.map(|(a, b)| a.psnr - b.psnr).collect())
    });
    gains.collect()
}

/// The columns of [`gain_cell`].
pub(super) const GAIN_COLUMNS: [(&str, Align); 2] = [
    ("gain upright", Align::Right),
    ("gain rotated", Align::Right),
];

/// The mean of [`gains`] over images and seeds, followed by the least and the largest of the seeds'
/// means.
pub(super) fn gain_cell(gains: &[Vec<f64>]) -> String {
    let means = gains
        .iter()
        .map(|seed| seed.iter().sum::<f64>() / seed.len() as f64);
    let means: Vec<f64> = means.collect();
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{mean:+.2} ({least:+.2}, {largest:+.2})")
}

/// One method of [`by_method`] in a table: means over test images and seeds.
pub(super) fn cells(points: &[&Point]) -> [String; 7] {
    let [upright, rotated] = Orientation::BOTH.map(|o| pooled(points, o));
    let seconds: f64 = points.iter().map(|p| p.method.train_seconds).sum();
    let psnr = |s: &Summary| format!("{:.2} +- {:.2}", s.psnr, s.psnr_sd);
    [
        points[0].method.label(),
        match points[0].method.parameters {
            0 => String::new(),
            count => count.to_string(),
        },
        format!("{:.0}", seconds / points.len() as f64),
        psnr(&upright),
        psnr(&rotated),
        format!("{:.3}", upright.ssim_l1),
        format!("{:.3}", rotated.ssim_l1),
    ]
}

/// `points` for people: means over test images and seeds.
pub fn table(points: &[Point]) -> Table {
    let mut table = Table::new([("images", Align::Right)].into_iter().chain(COLUMNS));
    for method in by_method(points) {
        let images = method[0].images.map_or(String::new(), |n| n.to_string());
        table.row([images].into_iter().chain(cells(&method)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_stand_in_one_row_and_sets_in_several() {
        let point = |images, seed, psnr| {
            let mut method = Method::unscored("ordinary");
            method.upright = Summary::from(vec![Scores {
                psnr,
                ssim_l2: 0.0,
                ssim_l1: 0.5,
            }]);
            Point {
                images,
                seed,
                method,
            }
        };
        let points = [
            point(Some(1), Some(1), 20.0),
            point(Some(3), Some(1), 30.0),
            point(Some(1), Some(2), 22.0),
        ];
        let table = table(&points);
        assert_eq!(table.rows().len(), 2);
        let cells = &table.rows()[0];
        assert_eq!(cells[..2], ["1", "ordinary"]);
        assert_eq!(cells[4], "21.00 +- 1.41");
        assert_eq!(table.rows()[1][4], "30.00 +- 0.00");
    }
}
