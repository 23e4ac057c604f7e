//! Iterative methods from the command line: how they start, choose their weight and stop, and what
//! is told of them.

use super::super::outputs::{self, about_file};
use super::super::{global::Session, pictures};
use crate::config::within;
use crate::data::stack::Stack;
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::{self, SSIM_WINDOW};
use crate::operators::{LinearOperator, Noise};
use crate::problems::Problem;
use crate::report::plot::{Axes, Curve, line_plot};
use crate::solvers::{
    self, Choice, Iterative, Progress, Run, Solution, by_discrepancy, l_curve, weights_of_l_curve,
};
use crate::tape::plan::Store;
use serde_json::{Value, json};
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

/// The noise's standard deviation: a number, or that of the problem.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Sigma {
    Problem,
    Number(f64),
}

impl FromStr for Sigma {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "problem" => Ok(Sigma::Problem),
            _ => (text.parse().map(Sigma::Number))
                .map_err(|_| "give a number, or nothing for the problem's Gaussian noise".into()),
        }
    }
}

impl Sigma {
    /// The norm of the noise of one measurement: sigma times the root of the number of measured
    /// values.
    ///
    /// # Errors
    /// [`Error::Config`] if the number is not positive, or the problem's noise is not Gaussian.
    pub fn norm(self, problem: &Problem) -> Result<f64> {
        let sigma = match (self, problem.noise) {
            (Sigma::Number(sigma), _) => sigma,
            (Sigma::Problem, Noise::Gaussian { sigma }) => sigma,
            (Sigma::Problem, _) => {
                return Err(Error::Config(
                    "--discrepancy: the problem's [noise] is not gaussian, so its standard deviation is not known; give it as --discrepancy SIGMA".into(),
                ));
            }
        };
        within("--discrepancy", sigma, f64::MIN_POSITIVE..=1e30)?;
        Ok(sigma * (problem.operator.measured() as f64).sqrt())
    }
}

/// How the weight is found, or where the iteration stops.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Choose {
    /// As given.
    Given,
    /// The weight by the discrepancy principle.
    Weight(f64),
    /// The iteration by the discrepancy principle.
    Stop(f64),
    /// The weight at the corner of the L-curve.
    LCurve,
}

/// What is told to a run.
pub(super) struct How<'a> {
    pub choose: Choose,
    /// The images to start at, one for each measurement.
    pub start: Option<&'a Stack>,
    /// Look every so many iterations.
    pub every: Option<usize>,
}

/// What came out.
pub(super) struct Outcome {
    pub images: Vec<f32>,
    /// How the iteration went.
    pub solution: Option<Solution>,
    /// How the weight was found.
    choice: Option<Choice>,
    pub seconds: f64,
}

impl Outcome {
    /// Of a method of one pass.
    pub fn direct(images: Vec<f32>, seconds: f64) -> Self {
        Outcome {
            images,
            solution: None,
            choice: None,
            seconds,
        }
    }

    pub fn last(&self) -> Option<Progress> {
        self.solution.as_ref()?.history.last().copied()
    }

    /// The weights that were found.
    pub fn weights(&self) -> Option<&[f64]> {
        Some(&self.choice.as_ref()?.weights)
    }
}

/// Solves by `method`, with a progress bar.
///
/// # Errors
/// Those of [`Run`], [`Iterative::prepare`] and of iterating.
pub(super) fn solve(
    session: &Session,
    method: &dyn Iterative,
    operator: &dyn LinearOperator,
    store: &Store,
    measurements: &Stack,
    how: &How<'_>,
) -> Result<Outcome> {
    let started = Instant::now();
    let mut run = Run::new(operator, store, &measurements.values, measurements.count())?;
    if let Some(start) = how.start {
        run = run.starting_at(&start.values)?;
    }
    if let Choose::Stop(noise) = how.choose {
        run = run.until_residual(noise)?;
    }
    if let Some(every) = how.every {
        run = run.looking_every(every)?;
    }
    let prepared = method.prepare(&run)?;
    let bar = session
        .console
        .bar(method.iterations() as u64, "iterations");
    bar.set_prefix(method.name());
    let mut progress = |progress: Progress| {
        bar.set_position(progress.iteration as u64);
        bar.set_message(format!(
            "objective {:.4e}, residual {:.1} %, criterion {:.1e}",
            progress.objective,
            100.0 * progress.residual,
            progress.criterion
        ));
    };
    let choice = match how.choose {
        Choose::Weight(noise) => Some(by_discrepancy(&prepared, noise, &mut progress)?),
        Choose::LCurve => {
            let weights = weights_of_l_curve();
            Some(l_curve(&prepared, &weights, &mut progress)?)
        }
        Choose::Given | Choose::Stop(_) => None,
    };
    let solution = match &choice {
        Some(choice) => choice.solution.clone(),
        None => prepared.iterate(&mut progress)?,
    };
    bar.finish_and_clear();
    Ok(Outcome {
        images: solution.images.clone(),
        solution: Some(solution),
        choice,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Checks that curves can be written to `path`.
///
/// # Errors
/// [`Error::Config`] for another extension than .json and .svg; [`Error::Io`].
pub(super) fn check_curves(path: &Path) -> Result<()> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("json" | "svg") => outputs::check_file(path),
        _ => Err(Error::Config(format!(
            "--curves {}: name a file that ends in .json or .svg",
            path.display()
        ))),
    }
}

/// Writes the curves of an iteration: numbers (.json) or a picture (.svg).
///
/// # Errors
/// [`Error::Io`]; those of plotting.
pub(super) fn write_curves(
    path: &Path,
    method: &str,
    solution: &Solution,
    outcome: &Outcome,
) -> Result<()> {
    let history = &solution.history;
    if path.extension().is_some_and(|e| e == "json") {
        let column = |f: fn(&Progress) -> f64| history.iter().map(f).collect::<Vec<f64>>();
        let mut document = json!({
            "method": method,
            "stop": solution.stop.to_string(),
            "iteration": history.iter().map(|p| p.iteration).collect::<Vec<_>>(),
            "objective": column(|p| p.objective),
            "residual": column(|p| p.residual),
            "criterion": column(|p| p.criterion),
            "seconds": column(|p| p.seconds),
        });
        if let Some(choice) = &outcome.choice {
            let trials = |trials: &Vec<solvers::Trial>| -> Vec<Value> {
                let trial = |t: &solvers::Trial| {
                    json!({
                        "weight": t.weight,
                        "residual": t.residual,
                        "penalty": t.penalty,
                        "criterion": t.criterion,
                        "curvature": t.curvature,
                    })
                };
                trials.iter().map(trial).collect()
            };
            document["weights"] = json!(choice.weights);
            document["trials"] = choice.trials.iter().map(trials).collect();
        }
        let text = format!("{document:#}\n");
        return files::write_bytes(path, text.as_bytes());
    }
    // On a common axis: the objective relative to the first one.
    let first = history.first().map_or(1.0, |p| p.objective);
    let first = if first > 0.0 { first } else { 1.0 };
    let curve = |name: &str, value: &dyn Fn(&Progress) -> f64| {
        let points = history.iter().map(|p| (p.iteration as f64, value(p)));
        // Zero has no logarithm.
        Curve::new(name, points.filter(|point| point.1 > 0.0).collect())
    };
    let axes = Axes::new(
        format!("{method}: objective, residual and stopping criterion"),
        "iteration",
        "relative",
    );
    let curves = [
        curve("objective / first", &|p| p.objective / first),
        curve("residual", &|p| p.residual),
        curve("criterion", &|p| p.criterion),
    ];
    let plot = line_plot(&axes.log_y(), &curves)?;
    files::write_bytes(path, plot.to_string().as_bytes())
}

/// The true images of a problem, in the shape of its reconstructions.
///
/// # Errors
/// Those of reading; [`Error::Data`] unless there is one for each measurement.
pub(super) fn truth(path: &Path, problem: &Problem, count: usize) -> Result<Stack> {
    let domain = problem.operator.domain();
    let images = Stack::read(path, domain.c())?;
    if images.count() != count {
        return Err(Error::data(
            path,
            format!(
                "it holds {} images and there are {count} measurements; give the images that were measured, in their order",
                images.count()
            ),
        ));
    }
    let truth = about_file(problem.ground_truth(&images.values, images.shape), path)?;
    Ok(images.with_items(truth, domain))
}

/// How close reconstructions are to the truth, complex ones by their magnitude.
pub(super) struct Scores {
    /// Decibels, with the maximum of each true image as the peak.
    pub psnr: Vec<f64>,
    /// With the data range 1; none for images smaller than its window.
    pub ssim: Option<Vec<f64>>,
}

impl Scores {
    /// # Errors
    /// Those of [`metrics::psnr`].
    pub fn of(truth: &Stack, images: &Stack) -> Result<Self> {
        let (truth, images) = (pictures::images(truth)?, pictures::images(images)?);
        let mut scores = Scores {
            psnr: Vec::new(),
            ssim: Some(Vec::new()),
        };
        for (truth, image) in truth.iter().zip(&images) {
            let (t, i, size) = (&truth.pixels, &image.pixels, truth.size());
            scores.psnr.push(metrics::psnr(t, i)?);
            if size.into_iter().any(|side| side < SSIM_WINDOW) {
                scores.ssim = None;
            }
            if let Some(ssim) = &mut scores.ssim {
                ssim.push(metrics::ssim(t, i, size, 1.0)?);
            }
        }
        Ok(scores)
    }

    pub fn mean_psnr(&self) -> f64 {
        mean(&self.psnr)
    }

    pub fn mean_ssim(&self) -> Option<f64> {
        self.ssim.as_deref().map(mean)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
