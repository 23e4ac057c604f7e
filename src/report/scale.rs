//! What an axis needs: its range, its ticks, and curves of a sensible number of points.

use crate::error::{Error, Result};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// A longer curve is thinned to about this many points; a plot has fewer pixels across.
pub const MOST_POINTS: usize = 1000;

/// Whether an axis shows values or their logarithms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Values themselves.
    Linear,
    /// Logarithms to base 10.
    Log,
}

impl Scale {
    /// `value` in the units that are drawn. `plot` is the plot's title, for messages.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a NaN or an infinity, [`Error::Data`] for the logarithm of a number
    /// that is not positive.
    pub fn apply(self, plot: &str, value: f64) -> Result<f64> {
        if !value.is_finite() {
            return Err(Error::NotFinite(format!(
                "the plot \"{plot}\" was given the value {value}"
            )));
        }
        match self {
            Scale::Linear => Ok(value),
            Scale::Log if value > 0.0 => Ok(value.log10()),
            Scale::Log => Err(Error::data(
                format!("plot \"{plot}\""),
                format!("{value} has no place on a logarithmic axis; use a linear one"),
            )),
        }
    }

    /// Where ticks stand within `range`, in drawn units: round values, about six.
    pub fn ticks(self, range: &Range<f64>) -> Vec<f64> {
        let decades = range.end - range.start;
        match self {
            Scale::Log if decades < 3.0 => {
                let powers = range.start.floor() as i32..=range.end.ceil() as i32;
                let steps: &[f64] = if decades < 1.5 {
                    &[1.0, 2.0, 3.0, 5.0, 7.0]
                } else {
                    &[1.0, 2.0, 5.0]
                };
                let exact = |power: i32| move |&step: &f64| f64::from(power) + step.log10();
                let all = powers.flat_map(|power| steps.iter().map(exact(power)));
                all.filter(|tick| range.contains(tick)).collect()
            }
            // Whole powers of ten.
            Scale::Log => multiples((decades / 8.0).ceil(), range),
            Scale::Linear => {
                let rough = decades / 6.0;
                let power = 10_f64.powf(rough.log10().floor());
                let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
                let step = steps.into_iter().find(|&step| step >= rough);
                multiples(step.unwrap_or(rough), range)
            }
        }
    }

    /// The text at a tick: short, with an exponent where zeros would pile up.
    pub fn label(self, tick: f64) -> String {
        let value = match self {
            Scale::Linear => tick,
            Scale::Log => 10_f64.powf(tick),
        };
        let size = value.abs();
        let text = if size != 0.0 && !(1e-3..1e5).contains(&size) {
            format!("{value:.2e}")
        } else {
            format!("{value:.5}")
        };
        let (digits, exponent) = match text.split_once('e') {
            Some((digits, exponent)) => (digits, format!("e{exponent}")),
            None => (text.as_str(), String::new()),
        };
        let short = digits.trim_end_matches('0').trim_end_matches('.');
        if short == "-0" {
            "0".into()
        } else {
            format!("{short}{exponent}")
        }
    }
}

/// An axis of the drawing library that puts our ticks on it.
pub struct Axis {
    scale: Scale,
    /// In drawn units.
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Axis {
    /// An axis over `range`, in drawn units, with ticks.
    pub fn new(scale: Scale, range: Range<f64>) -> Self {
        let ticks = scale.ticks(&range);
        Axis {
            scale,
            range,
            ticks,
        }
    }

    /// A linear axis without ticks.
    pub fn without_ticks(range: Range<f64>) -> Self {
        Axis {
            scale: Scale::Linear,
            range,
            ticks: Vec::new(),
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let fraction = (value - self.range.start) / (self.range.end - self.range.start);
        first + (fraction * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.scale.label(*value)
    }
}

/// The multiples of `step` in `range`.
fn multiples(step: f64, range: &Range<f64>) -> Vec<f64> {
    let first = (range.start / step).ceil();
    let count = ((range.end / step).floor() - first).clamp(0.0, 20.0) as usize;
    (0..=count)
        .map(|k| (first + k as f64) * step)
        .filter(|t| *t <= range.end)
        .collect()
}

/// The range of `values`, a fraction `margin` wider at both ends and never empty.
///
/// # Errors
/// [`Error::Data`] if there are no values or they span more than a double holds.
pub fn padded(plot: &str, values: impl Iterator<Item = f64>, margin: f64) -> Result<Range<f64>> {
    let refuse = |reason| Err(Error::data(format!("plot \"{plot}\""), reason));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low > high {
        return refuse("there are no values to draw");
    }
    let (span, size) = (high - low, low.abs().max(high.abs()));
    if span > 1e300 || size > 1e300 {
        return refuse("its values are too large to draw; rescale them");
    }
    // Values that are equal, or equal but for rounding, get room around them.
    let pad = if span > 1e-9 * size {
        margin * span
    } else {
        (0.1 * size).max(1e-6)
    };
    Ok(low - pad..high + pad)
}

/// At most about [`MOST_POINTS`] of `points` that look the same: of each run of neighbours the
/// lowest and the highest, in their order.
pub fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let run = points.len().div_ceil(MOST_POINTS / 2);
    let mut kept = Vec::with_capacity(MOST_POINTS);
    for run in points.chunks(run) {
        let heights = || run.iter().enumerate().map(|(i, p)| (p.1, i));
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0);
        let (low, high) = (heights().min_by(order), heights().max_by(order));
        let mut places: Vec<usize> = low.into_iter().chain(high).map(|(_, i)| i).collect();
        places.sort_unstable();
        kept.extend(places.into_iter().map(|i| run[i]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_thinned_without_losing_their_peaks() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|k| (f64::from(k), 1.0)).collect();
        points[54_321].1 = 9.0;
        points[54_322].1 = -9.0;
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS, "{}", thin.len());
        assert!(thin.contains(&(54_321.0, 9.0)) && thin.contains(&(54_322.0, -9.0)));
        assert!(thin.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn ticks_are_round_and_few() {
        let labels = |scale: Scale, range: Range<f64>| -> Vec<String> {
            scale
                .ticks(&range)
                .into_iter()
                .map(|t| scale.label(t))
                .collect()
        };
        let linear = labels(Scale::Linear, 0.0..2999.0);
        assert_eq!(linear, ["0", "500", "1000", "1500", "2000", "2500"]);
        assert_eq!(
            labels(Scale::Linear, 25.9..31.6),
            ["26", "27", "28", "29", "30", "31"]
        );
        assert_eq!(
            labels(Scale::Linear, -0.11..0.1),
            ["-0.1", "-0.05", "0", "0.05", "0.1"]
        );
        let log = labels(Scale::Log, -2.5..-0.4);
        assert_eq!(log, ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]);
        assert_eq!(
            labels(Scale::Log, -6.0..0.5),
            ["1e-6", "1e-5", "1e-4", "0.001", "0.01", "0.1", "1"]
        );
        assert_eq!(labels(Scale::Log, 0.0..0.5), ["1", "2", "3"]);
        for k in -300..300 {
            let span = 10_f64.powi(k) * 3.3;
            let ticks = Scale::Linear.ticks(&(-span..span)).len();
            assert!((3..=9).contains(&ticks), "{k}: {ticks}");
        }
        for decades in 1..600 {
            let ticks = Scale::Log
                .ticks(&(-300.0..f64::from(decades) - 300.0))
                .len();
            assert!((3..=10).contains(&ticks), "{decades}: {ticks}");
        }
    }

    #[test]
    fn labels_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (12.5, "12.5"),
            (30.0, "30"),
            (0.001, "0.001"),
            (1e-4, "1e-4"),
            (100_000.0, "1e5"),
            (-250.25, "-250.25"),
            (2.5e-7, "2.5e-7"),
        ] {
            assert_eq!(Scale::Linear.label(value), text);
        }
        assert_eq!(Scale::Log.label(-2.0), "0.01");
    }

    #[test]
    fn a_range_is_never_empty() {
        for value in [0.0, 5.0, -1e-30, 1e30] {
            let range = padded("p", [value].into_iter(), 0.05).unwrap();
            assert!(range.contains(&value) && range.start < range.end, "{value}");
        }
        assert_eq!(padded("p", [1.0, 3.0].into_iter(), 0.5).unwrap(), 0.0..4.0);
        assert!(padded("p", [].into_iter(), 0.05).is_err());
        assert!(padded("p", [-1e308, 1e308].into_iter(), 0.05).is_err());
    }
}
