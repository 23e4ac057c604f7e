//! The choice of a penalty's weight.

use super::prepared::{Measured, Prepared, Progress, Solution};
use crate::config::within;
use crate::error::{Error, Result};

/// The weights that are tried lie between.
const RANGE: [f64; 2] = [1e-10, 1e5];
/// The residual meets the noise within this part of it.
const ACCURACY: f64 = 0.01;
/// Less of the objective than this part, and a penalty says more about the iteration's accuracy than
/// about the image.
const SHARE: f64 = 0.01;
/// Above so many times the tolerance of the method a trial is not near its minimiser, and no part of the
/// curve; or above `SETTLED`, where the method makes all of its iterations.
const TOLERANCES: f64 = 5.0;
const SETTLED: f64 = 0.05;
/// Weights tried after the residual's passage through the noise is enclosed.
const TRIALS: usize = 12;

/// One weight that was tried for one image.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Trial {
    /// The weight.
    pub weight: f64,
    /// `|A u - y|`, in the unit of the measurement.
    pub residual: f64,
    /// The penalty without its weight.
    pub penalty: f64,
    /// The stopping criterion at its end.
    pub criterion: f64,
    /// The curvature of the L-curve, where the weight belongs to it and to two neighbours.
    pub curvature: Option<f64>,
}

/// The weights that were chosen, and what they give.
#[derive(Clone, PartialEq, Debug)]
pub struct Choice {
    /// One for each image.
    pub weights: Vec<f64>,
    /// The reconstructions with these weights.
    pub solution: Solution,
    /// What was tried for each image, in order.
    pub trials: Vec<Vec<Trial>>,
}

/// Solves with one weight for each image and keeps what came out.
fn attempt(
    prepared: &Prepared<'_>,
    weights: &[f64],
    trials: &mut [Vec<Trial>],
    progress: &mut dyn FnMut(Progress),
) -> Result<(Solution, Vec<Measured>)> {
    prepared.set_weights(weights)?;
    let (solution, measured) = prepared.iterate_measured(progress)?;
    let norm = prepared.run_of().norm();
    for ((trials, measured), &weight) in trials.iter_mut().zip(&measured).zip(weights) {
        trials.push(Trial {
            weight,
            residual: norm * measured.residual,
            penalty: measured.penalty,
            criterion: measured.criterion,
            curvature: None,
        });
    }
    Ok((solution, measured))
}

/// Morozov's discrepancy principle (1966): for each image the weight with which `|A u - y| = noise`
/// within one per cent, `noise` in the unit of the measurement: for Gaussian noise of standard
/// deviation sigma, sigma times the root of the number of measured values. Every trial starts where
/// the last one ended.
///
/// The residual grows with the weight, so the noise's level is enclosed by steps of ten and then found
/// by regula falsi (Illinois) on logarithms.
///
/// # Errors
/// [`Error::Config`] if the method has no weight, or no weight between 1e-10 and 1e5 has that residual:
/// the message tells whether the noise is too small or too large; those of [`Prepared::iterate`].
pub fn by_discrepancy(
    prepared: &Prepared<'_>,
    noise: f64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Choice> {
    let run = prepared.run_of();
    let goal = run.in_run(noise)?;
    for (i, length) in run.lengths().enumerate() {
        if goal >= length {
            return Err(Error::Config(format!(
                "discrepancy: the noise's norm {noise:.3e} is not below {:.3e}, that of measurement {i}: a zero image explains it; give a smaller noise level",
                length * run.norm()
            )));
        }
    }
    let mut trials = vec![Vec::new(); run.count()];
    let mut searches = vec![Search::new(prepared.weight()?); run.count()];
    for _ in 0..TRIALS + (RANGE[1] / RANGE[0]).log10().ceil() as usize {
        let weights: Vec<f64> = searches.iter().map(|s| s.at.exp()).collect();
        let (solution, measured) = attempt(prepared, &weights, &mut trials, progress)?;
        let mut found = true;
        for (i, (search, measured)) in searches.iter_mut().zip(&measured).enumerate() {
            let miss = (measured.residual.max(f64::MIN_POSITIVE) / goal).ln();
            found &= search.take(miss, i, noise)?;
        }
        if found {
            return Ok(Choice {
                weights,
                solution,
                trials,
            });
        }
    }
    Err(Error::Config(format!(
        "discrepancy: the residual of {} does not settle at the noise {noise:.3e}; let it make more iterations, or a smaller tolerance",
        prepared.method()
    )))
}

/// The search for the weight of one image, on logarithms.
#[derive(Clone)]
struct Search {
    /// What is tried next.
    at: f64,
    /// The closest weights with a residual below and above the noise, and how far.
    below: Option<(f64, f64)>,
    above: Option<(f64, f64)>,
    done: bool,
}

impl Search {
    fn new(weight: f64) -> Self {
        Search {
            at: weight.clamp(RANGE[0], RANGE[1]).ln(),
            below: None,
            above: None,
            done: false,
        }
    }

    /// Takes `miss`, the logarithm of residual over noise at `self.at`, and says whether that is good
    /// enough; else goes on.
    fn take(&mut self, miss: f64, image: usize, noise: f64) -> Result<bool> {
        if self.done || miss.abs() <= ACCURACY {
            self.done = true;
            return Ok(true);
        }
        let side = if miss < 0.0 {
            &mut self.below
        } else {
            &mut self.above
        };
        // The same end twice: halving the other one's weight makes the next trial pass it.
        let again = side.is_some();
        *side = Some((self.at, miss));
        let other = if miss < 0.0 {
            &mut self.above
        } else {
            &mut self.below
        };
        if let Some(other) = other.as_mut().filter(|_| again) {
            other.1 /= 2.0;
        }
        self.at = match (self.below, self.above) {
            (Some((low, under)), Some((high, over))) => low - under * (high - low) / (over - under),
            // Not enclosed yet: the residual grows with the weight.
            (Some(_), None) => self.at + 10_f64.ln(),
            _ => self.at - 10_f64.ln(),
        };
        if !(RANGE[0].ln() - 1e-6..=RANGE[1].ln() + 1e-6).contains(&self.at) {
            let (side, advice) = match miss < 0.0 {
                true => ("below", "smaller"),
                false => ("above", "larger"),
            };
            return Err(Error::Config(format!(
                "discrepancy: with every weight as far as {:.0e} the residual of image {image} stays {side} the noise {noise:.3e}; give a {advice} noise level",
                self.at.exp().clamp(RANGE[0], RANGE[1])
            )));
        }
        Ok(false)
    }
}

/// The weights from 10 down to 1e-7 among which [`l_curve`] looks by default, three a decade.
pub fn weights_of_l_curve() -> Vec<f64> {
    (0..25)
        .map(|i| 10_f64.powf(1.0 - f64::from(i) / 3.0))
        .collect()
}

/// The corner of the L-curve (Hansen, SIAM Rev. 34 (1992), 561-580): for each image the weight at which
/// the curve of `log |A u - y|` and the logarithm of the penalty bends the most, with parabolas
/// through three neighbouring weights, `t = log weight`,
///
/// `curvature = (x' y'' - x'' y') / (x'^2 + y'^2)^(3/2)`.
///
/// `weights` fall; every trial starts where the last one ended. Along the curve the slope of the two
/// logarithms is `-|A u - y|^2 / (weight penalty)`, so at a corner both terms of the objective are of the
/// same order. Where the penalty is less than a hundredth of the objective (large weights of total
/// variation leave a constant image, small ones the noise) the curve is not followed: its end there ends
/// the trials. Nor does a trial count whose stopping criterion is still above five times the method's tolerance (above 0.05,
/// if that is zero).
///
/// # Errors
/// [`Error::Config`] if the method has no weight, if there are fewer than three weights or they do not
/// fall, or if the curve has no corner; those of [`Prepared::iterate`].
pub fn l_curve(
    prepared: &Prepared<'_>,
    weights: &[f64],
    progress: &mut dyn FnMut(Progress),
) -> Result<Choice> {
    prepared.weight()?;
    within(
        "the number of weights of an L-curve",
        weights.len(),
        3..=1000,
    )?;
    if !weights.is_sorted_by(|a, b| a > b) {
        return Err(Error::Config(
            "the weights of an L-curve must fall from one to the next".into(),
        ));
    }
    let (count, norm) = (prepared.run_of().count(), prepared.run_of().norm());
    let settled = match prepared.tolerance() {
        0.0 => SETTLED,
        tolerance => SETTLED.min(TOLERANCES * tolerance),
    };
    let mut trials = vec![Vec::new(); count];
    for &weight in weights {
        attempt(prepared, &vec![weight; count], &mut trials, progress)?;
        if trials.iter().all(|trials| has_ended(trials, norm)) {
            break;
        }
    }
    let mut chosen = Vec::with_capacity(count);
    for (i, trials) in trials.iter_mut().enumerate() {
        curvatures(trials, norm, settled);
        let bends = trials.iter().filter_map(|t| Some((t.curvature?, t.weight)));
        let corner = bends.max_by(|a, b| a.0.total_cmp(&b.0));
        match corner {
            Some((curvature, weight)) if curvature > 0.0 => chosen.push(weight),
            _ => {
                return Err(Error::Config(format!(
                    "the L-curve of image {i} has no corner between the weights {:.1e} and {:.1e}; give a weight or the noise's level, or let the method make more iterations",
                    weights[weights.len() - 1],
                    weights[0]
                )));
            }
        }
    }
    let (solution, _) = attempt(prepared, &chosen, &mut trials, progress)?;
    Ok(Choice {
        weights: chosen,
        solution,
        trials,
    })
}

/// Whether the penalty is enough of the objective to tell weights apart.
fn matters(trial: &Trial, norm: f64) -> bool {
    let weighted = trial.weight * trial.penalty;
    let data = 0.5 * (trial.residual / norm).powi(2);
    weighted > 0.0 && weighted >= SHARE * (data + weighted)
}

/// Whether the curve was followed beyond its end.
fn has_ended(trials: &[Trial], norm: f64) -> bool {
    let begun = trials.iter().any(|t| matters(t, norm));
    begun && trials.last().is_some_and(|t| !matters(t, norm))
}

/// Fills in the curvature at every trial of the curve that has two neighbours on it.
fn curvatures(trials: &mut [Trial], norm: f64, settled: f64) {
    let log = |v: f64| v.max(f64::MIN_POSITIVE).ln();
    let counts = |t: &Trial| t.criterion <= settled && matters(t, norm);
    let points: Vec<Option<[f64; 3]>> = trials
        .iter()
        .map(|t| counts(t).then(|| [log(t.weight), log(t.residual), log(t.penalty)]))
        .collect();
    for (trial, window) in trials[1..].iter_mut().zip(points.windows(3)) {
        let &[Some(a), Some(b), Some(c)] = window else {
            continue;
        };
        let [x, y] = [1, 2].map(|k| parabola([a, b, c].map(|point| (point[0], point[k]))));
        let bend = x[0] * y[1] - x[1] * y[0];
        let speed = (x[0] * x[0] + y[0] * y[0]).powf(1.5);
        trial.curvature = Some(if speed > 0.0 { bend / speed } else { 0.0 });
    }
}

/// First and second derivative, at the middle one, of the parabola through three points.
fn parabola([a, b, c]: [(f64, f64); 3]) -> [f64; 2] {
    let (left, right) = ((b.1 - a.1) / (b.0 - a.0), (c.1 - b.1) / (c.0 - b.0));
    let second = 2.0 * (right - left) / (c.0 - a.0);
    [left + 0.5 * second * (b.0 - a.0), second]
}
