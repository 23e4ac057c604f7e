//! The marks of a grouped plot: bars and violins.

use crate::metrics::mean_and_sd;
use plotters::element::{Circle, PathElement, Polygon};
use plotters::style::{BLACK, Color, RGBColor};

/// How a grouped plot shows the scores of one group and series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// A bar from zero to the mean, with a whisker of one sample standard deviation either way.
    Bar,
    /// The distribution (Gaussian kernels, Silverman's bandwidth), each score as a dot, and a line
    /// at the median.
    Violin,
}

/// One [`Mark`] in the plot's y units; widths are fractions of the room it has.
pub(super) struct Shapes {
    /// Closed outline, (side in -1..1, height).
    outline: Vec<(f64, f64)>,
    /// Horizontal or vertical strokes, (side, height) from and to.
    strokes: Vec<[(f64, f64); 2]>,
    dots: Vec<f64>,
}

impl Shapes {
    pub(super) fn new(scores: &[f64], mark: Mark) -> Shapes {
        let mut shapes = Shapes {
            outline: vec![],
            strokes: vec![],
            dots: vec![],
        };
        let Some((mean, sd)) = mean_and_sd(scores) else {
            return shapes;
        };
        match mark {
            Mark::Bar => {
                let side = 0.9;
                shapes.outline = vec![(-side, 0.0), (side, 0.0), (side, mean), (-side, mean)];
                if sd > 0.0 {
                    let (low, high) = (mean - sd, mean + sd);
                    shapes.strokes = vec![[(0.0, low), (0.0, high)]];
                    let cap = |y: f64| [(-0.2, y), (0.2, y)];
                    shapes.strokes.extend([cap(low), cap(high)]);
                }
            }
            Mark::Violin => {
                shapes.outline = violin(scores, sd);
                let middle = median(scores);
                shapes.strokes = vec![[(-0.5, middle), (0.5, middle)]];
                shapes.dots = scores.to_vec();
            }
        }
        shapes
    }

    pub(super) fn heights(&self) -> impl Iterator<Item = f64> {
        let corners = self.outline.iter().chain(self.strokes.iter().flatten());
        corners.map(|p| p.1).chain(self.dots.iter().copied())
    }

    /// The outline, filled, in a plot where the mark has `half` to either side of `x`.
    pub(super) fn area(&self, x: f64, half: f64, colour: RGBColor) -> Option<Polygon<(f64, f64)>> {
        let corners = self.outline.iter().map(|&(side, y)| (x + side * half, y));
        let style = colour.mix(0.45).filled();
        (!self.outline.is_empty()).then(|| Polygon::new(corners.collect::<Vec<_>>(), style))
    }

    pub(super) fn circles(&self, x: f64, colour: RGBColor) -> Vec<Circle<(f64, f64), i32>> {
        let circle = |&y: &f64| Circle::new((x, y), 2, colour.mix(0.8).filled());
        self.dots.iter().map(circle).collect()
    }

    pub(super) fn lines(&self, x: f64, half: f64) -> Vec<PathElement<(f64, f64)>> {
        let place = |(side, y): (f64, f64)| (x + side * half, y);
        let line = |ends: &[_; 2]| PathElement::new(ends.map(place), BLACK.stroke_width(2));
        self.strokes.iter().map(line).collect()
    }
}

/// The outline of a violin: the density of `scores`, mirrored, its widest place at 1. Empty if
/// they do not spread.
fn violin(scores: &[f64], sd: f64) -> Vec<(f64, f64)> {
    const STEPS: usize = 60;
    if sd <= 0.0 {
        return Vec::new();
    }
    let bandwidth = 1.06 * sd * (scores.len() as f64).powf(-0.2);
    let low = scores.iter().copied().fold(f64::INFINITY, f64::min) - bandwidth;
    let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max) + bandwidth;
    let density = |y: f64| -> f64 {
        scores
            .iter()
            .map(|s| (-0.5 * ((y - s) / bandwidth).powi(2)).exp())
            .sum()
    };
    let height = |k: usize| low + (high - low) * k as f64 / STEPS as f64;
    let side: Vec<(f64, f64)> = (0..=STEPS)
        .map(|k| (density(height(k)), height(k)))
        .collect();
    let widest = side.iter().map(|p| p.0).fold(0.0, f64::max);
    let right = side.iter().map(|&(d, y)| (d / widest, y));
    let left = side.iter().rev().map(|&(d, y)| (-d / widest, y));
    right.chain(left).collect()
}

fn median(scores: &[f64]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (sorted[half - 1] + sorted[half]) / 2.0
    } else {
        sorted[half]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violins_are_widest_where_the_scores_are_densest() {
        let scores: Vec<f64> = (0..9)
            .map(|k| 30.0 + f64::from(k - 4).powi(3) / 64.0)
            .collect();
        let (_, sd) = mean_and_sd(&scores).unwrap();
        let outline = violin(&scores, sd);
        let by_side = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0);
        let widest = outline.iter().copied().max_by(by_side).unwrap();
        assert_eq!(widest.0, 1.0);
        assert!((widest.1 - 30.0).abs() < 0.05, "{widest:?}");
        for &(side, y) in &outline {
            assert!(outline.contains(&(-side, y)));
        }
        assert!(violin(&[3.0, 3.0], 0.0).is_empty());
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn whiskers_reach_one_standard_deviation() {
        let bar = Shapes::new(&[1.0, 2.0, 3.0], Mark::Bar);
        assert_eq!(bar.strokes[0], [(0.0, 1.0), (0.0, 3.0)]);
        assert!(bar.outline.contains(&(0.9, 2.0)) && bar.outline.contains(&(0.9, 0.0)));
        assert_eq!(Shapes::new(&[], Mark::Bar).heights().count(), 0);
    }
}
