//! The order of the timings, and who has won.

use crate::error::Result;

/// Samples of each candidate that stays in the race, without the first, which is dropped.
const SAMPLES: usize = 7;
/// Samples before a candidate may be dropped.
const FAIR: usize = 3;
/// How far behind the best one it is dropped.
const BEHIND: f64 = 1.5;
/// Differences that may be noise: within them the earlier candidate wins.
const CLOSE: f64 = 1.03;

/// Times `entrants` candidates in turns. `sample` gives a time, or `None` to end it all; `in_time` is
/// asked after each round that leaves enough samples. The result is what was kept of each.
pub(super) fn race(
    entrants: usize,
    mut sample: impl FnMut(usize) -> Result<Option<f64>>,
    in_time: impl Fn() -> bool,
) -> Result<Option<Vec<Vec<f64>>>> {
    let mut kept = vec![Vec::with_capacity(SAMPLES); entrants];
    let mut running = vec![true; entrants];
    for round in 0..=SAMPLES {
        for i in (0..entrants).filter(|&i| running[i]) {
            let Some(time) = sample(i)? else {
                return Ok(None);
            };
            if round > 0 {
                kept[i].push(time);
            }
        }
        if round < FAIR {
            continue;
        }
        let medians: Vec<f64> = (kept.iter())
            .map(|samples| median(samples).unwrap_or(f64::INFINITY))
            .collect();
        let still = (0..entrants).filter(|&i| running[i]);
        let best = still.map(|i| medians[i]).fold(f64::INFINITY, f64::min);
        for i in 0..entrants {
            running[i] &= medians[i] <= BEHIND * best;
        }
        if !in_time() {
            break;
        }
    }
    Ok(Some(kept))
}

/// The first whose median is within 3 % of the lowest, among those that were not dropped.
pub(super) fn winner(samples: &[Vec<f64>]) -> usize {
    let full = samples.iter().map(Vec::len).max().unwrap_or(0);
    let time = |i: usize| match samples[i].len() == full {
        true => median(&samples[i]).unwrap_or(f64::INFINITY),
        false => f64::INFINITY,
    };
    let lowest = (0..samples.len()).map(time).fold(f64::INFINITY, f64::min);
    let close = (0..samples.len()).find(|&i| time(i) <= CLOSE * lowest);
    close.unwrap_or(0)
}

/// The middle value; the mean of both for an even number.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(0.5 * (lower + upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn run(times: &[f64]) -> (Vec<Vec<f64>>, Vec<usize>) {
        let mut order = Vec::new();
        let kept = race(
            times.len(),
            |i| {
                order.push(i);
                Ok(Some(times[i]))
            },
            || true,
        );
        (kept.unwrap().unwrap(), order)
    }

    #[test]
    fn candidates_take_turns_and_the_slow_ones_leave_after_three() {
        let (kept, order) = run(&[1.0, 1.6, 1.4]);
        let lengths: Vec<usize> = kept.iter().map(Vec::len).collect();
        assert_eq!(lengths, [7, 3, 7]);
        assert_eq!(order[..9], [0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert_eq!(order[12..], [0, 2, 0, 2, 0, 2, 0, 2]);
        // 7 kept and one dropped.
        assert_eq!(order.iter().filter(|&&i| i == 0).count(), 8);
    }

    #[test]
    fn the_first_sample_is_dropped() {
        let calls = Cell::new(0);
        let sample = |_| {
            calls.set(calls.get() + 1);
            Ok(Some(if calls.get() == 1 { 100.0 } else { 1.0 }))
        };
        let kept = race(1, sample, || true).unwrap().unwrap();
        assert_eq!(kept, [vec![1.0; 7]]);
    }

    #[test]
    fn little_time_ends_it_after_three_and_an_interruption_at_once() {
        let kept = race(2, |_| Ok(Some(1.0)), || false).unwrap().unwrap();
        assert_eq!(kept, [vec![1.0; 3], vec![1.0; 3]]);
        assert_eq!(race(2, |_| Ok(None), || true).unwrap(), None);
    }

    #[test]
    fn within_three_per_cent_the_earlier_one_wins() {
        let of = |times: &[f64]| winner(&times.iter().map(|&t| vec![t]).collect::<Vec<_>>());
        assert_eq!(of(&[1.029, 1.0]), 0);
        assert_eq!(of(&[1.031, 1.0]), 1);
        assert_eq!(of(&[2.0, 1.02, 1.0]), 1);
        assert_eq!(of(&[]), 0);
        // The median counts, not the mean; who was dropped cannot win.
        assert_eq!(winner(&[vec![1.0, 1.0, 50.0], vec![2.0, 2.0, 2.0]]), 0);
        assert_eq!(winner(&[vec![1.0; 3], vec![2.0; 7]]), 1);
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[]), None);
    }
}
