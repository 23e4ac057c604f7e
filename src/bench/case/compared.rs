//! Comparison with the f64 twin, on part of a result where the whole would take minutes.

use crate::reference::Twin;
use crate::reference::random::{self, Draw};
use crate::shape::Shape;

/// Channels of a large result that are compared: the twin computes no others.
const COMPARED: usize = 3;
/// Rounding units, relative to the sum of the terms' sizes, that a kernel may be off. A wrong term
/// among the tens of thousands in the longest of these sums is off by more.
pub(super) const UNITS: f64 = 64.0;

/// Normal numbers, different for each `stream`.
pub(super) fn noise(shape: Shape, stream: u32) -> Vec<f32> {
    let normal = random::normal(Draw::new(1, stream), shape.elements());
    normal.into_iter().map(|v| v as f32).collect()
}

/// In double precision.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// The first element in which `found` is not the twin's.
pub(super) fn compare(found: &[f32], twin: &Twin) -> Option<String> {
    let unit = f64::from(f32::EPSILON);
    let bound = |i: usize| UNITS * unit * twin.magnitude[i] + f64::from(f32::MIN_POSITIVE);
    let wrong = (0..twin.value.len().max(found.len())).find(|&i| {
        let error = match (found.get(i), twin.value.get(i)) {
            (Some(&f), Some(&t)) => (f64::from(f) - t).abs(),
            _ => return true,
        };
        error.is_nan() || error > bound(i)
    })?;
    Some(format!(
        "element {wrong} of the compared ones is {:?} and its twin {:?}",
        found.get(wrong),
        twin.value.get(wrong)
    ))
}

/// Some channels: the first, the last and one between.
pub(super) fn some_channels(channels: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = (0..COMPARED)
        .map(|k| k * (channels - 1) / (COMPARED - 1))
        .collect();
    chosen.dedup();
    chosen
}

/// `channels` of axis `axis` (0 or 1) of an array.
pub(super) fn select(values: &[f32], shape: Shape, axis: usize, channels: &[usize]) -> Vec<f32> {
    let inner: usize = shape.0[axis + 1..].iter().product();
    let outer: usize = shape.0[..axis].iter().product();
    let mut selected = Vec::with_capacity(outer * channels.len() * inner);
    for o in 0..outer {
        for &channel in channels {
            let start = (o * shape.0[axis] + channel) * inner;
            selected.extend_from_slice(&values[start..start + inner]);
        }
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_selected_along_either_axis() {
        let shape = Shape::new(2, 3, 1, 2);
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        assert_eq!(select(&values, shape, 1, &[2]), [4.0, 5.0, 10.0, 11.0]);
        assert_eq!(
            select(&values, shape, 0, &[1]),
            [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
        );
        assert_eq!(some_channels(1), [0]);
        assert_eq!(some_channels(96), [0, 47, 95]);
    }

    #[test]
    fn a_wrong_number_a_nan_and_a_missing_one_are_mismatches() {
        let twin = Twin {
            value: vec![1.0, 2.0],
            magnitude: vec![1.0, 2.0],
        };
        assert_eq!(compare(&[1.0, 2.0], &twin), None);
        assert!(compare(&[1.0, 2.001], &twin).is_some());
        assert!(compare(&[f32::NAN, 2.0], &twin).is_some());
        assert!(compare(&[1.0], &twin).is_some());
    }
}
