//! Spreads and fitted exponents.

use serde::Serialize;

/// The middle of a sample and how far it spreads.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// A quarter of the sample lies below.
    pub low: f64,
    /// A quarter of the sample lies above.
    pub high: f64,
}

impl Spread {
    /// Of `values`; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Spread {
            median: quantile(values, 0.5)?,
            low: quantile(values, 0.25)?,
            high: quantile(values, 0.75)?,
        })
    }
}

/// Linear between the order statistics.
fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = q * (sorted.len().checked_sub(1)?) as f64;
    let (lower, upper) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(lower + (upper - lower) * at.fract())
}

/// The exponent `e` of `y = c x^e` by least squares in the logarithms; `None` unless at least two
/// different `x` are there and all numbers are positive.
pub(super) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|&(x, y)| !(x > 0.0 && y > 0.0)) {
        return None;
    }
    let logs = || points.iter().map(|&(x, y)| (x.ln(), y.ln()));
    let n = points.len() as f64;
    let mean = |f: fn((f64, f64)) -> f64| logs().map(f).sum::<f64>() / n;
    let (mx, my) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = logs().map(|(x, y)| (x - mx) * (y - my)).sum();
    let variance: f64 = logs().map(|(x, _)| (x - mx).powi(2)).sum();
    (variance > 1e-12).then_some(covariance / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_quartiles() {
        let spread = Spread::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (2.0, 3.0, 4.0));
        assert_eq!(Spread::of(&[1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn an_exponent_is_found_and_needs_two_places() {
        let points: Vec<(f64, f64)> = [64.0, 128.0, 512.0]
            .iter()
            .map(|&x: &f64| (x, 3.0 * x.powf(1.7)))
            .collect();
        assert!((exponent(&points).unwrap() - 1.7).abs() < 1e-12);
        assert_eq!(exponent(&points[..1]), None);
        assert_eq!(exponent(&[(1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(exponent(&[(1.0, 0.0), (2.0, 3.0)]), None);
    }
}
