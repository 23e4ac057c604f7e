//! The terms of a loss by their `kind`, and their weighted sum.

use super::augmentation::Augmentation;
use super::consistency::MeasurementConsistency;
use super::distance::{Supervised, check_weight};
use super::equivariant_imaging::EquivariantImaging;
use super::multi_operator::MultiOperator;
use super::scene::Scene;
use super::splitting::Splitting;
use super::sure::Sure;
use super::unsure::Unsure;
use crate::config::within;
use crate::error::{Error, Result};
use crate::operators::Noise;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};

/// One term of a loss.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Term {
    /// The distance from the ground truth.
    Supervised(Supervised),
    /// The same for moved images, measured anew.
    Augmentation(Augmentation),
    /// The measured residual.
    MeasurementConsistency(MeasurementConsistency),
    /// Equivariance of reconstruction and measurement together.
    EquivariantImaging(EquivariantImaging),
    /// The measured risk, by Stein's estimate.
    Sure(Sure),
    /// The same with unknown noise level.
    Unsure(Unsure),
    /// One part of a measurement from the other.
    Splitting(Splitting),
    /// Agreement among several operators.
    MultiOperator(MultiOperator),
}

impl Default for Term {
    fn default() -> Self {
        Term::Supervised(Supervised::default())
    }
}

impl Term {
    /// Whether it compares with the ground truth.
    pub fn needs_truth(&self) -> bool {
        matches!(self, Term::Supervised(_) | Term::Augmentation(_))
    }

    fn weight(&self) -> f64 {
        match self {
            Term::Supervised(term) => term.weight,
            Term::Augmentation(term) => term.weight,
            Term::MeasurementConsistency(term) => term.weight,
            Term::EquivariantImaging(term) => term.weight,
            Term::Sure(term) => term.weight,
            Term::Unsure(term) => term.weight,
            Term::Splitting(term) => term.weight,
            Term::MultiOperator(term) => term.weight,
        }
    }

    /// Whether it reads `f(y)`, which all terms share.
    fn reads_estimate(&self) -> bool {
        !matches!(self, Term::Augmentation(_) | Term::Splitting(_))
    }

    /// Whether it applies the network to something else than the measurement.
    fn calls_again(&self) -> bool {
        !matches!(self, Term::Supervised(_) | Term::MeasurementConsistency(_))
    }

    fn check(&self, key: &str, noise: Noise) -> Result<()> {
        check_weight(key, self.weight())?;
        let moves = |transforms: &super::Transforms| {
            let key = format!("{key}.transforms");
            if transforms.is_identity() {
                return Err(Error::Config(format!(
                    "{key}: nothing is moved; give for example {{ rotation = \"any\" }}"
                )));
            }
            transforms.validate(&key)
        };
        match self {
            Term::Supervised(_) | Term::MeasurementConsistency(_) | Term::MultiOperator(_) => {
                Ok(())
            }
            Term::Augmentation(term) => moves(&term.transforms),
            Term::EquivariantImaging(term) => {
                within(&format!("{key}.draws"), term.draws, 1..=64)?;
                moves(&term.transforms)
            }
            Term::Sure(term) => term.check(key, noise),
            Term::Unsure(term) => term.check(key),
            Term::Splitting(term) => term.check(key),
        }
    }

    fn record(&self, tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
        match self {
            Term::Supervised(term) => term.record(tape, scene),
            Term::Augmentation(term) => term.record(tape, scene),
            Term::MeasurementConsistency(term) => term.record(tape, scene),
            Term::EquivariantImaging(term) => term.record(tape, scene),
            Term::Sure(term) => term.record(tape, scene),
            Term::Unsure(term) => term.record(tape, scene),
            Term::Splitting(term) => term.record(tape, scene),
            Term::MultiOperator(term) => term.record(tape, scene),
        }
    }
}

/// Checks the numbers of a loss for measurements with `noise`.
///
/// # Errors
/// [`Error::Config`] that names the key.
pub fn check(terms: &[Term], noise: Noise) -> Result<()> {
    if terms.is_empty() {
        return Err(Error::Config(
            "[[loss]] has no term: give one, for example kind = \"supervised\"".into(),
        ));
    }
    let unsure = terms.iter().filter(|term| matches!(term, Term::Unsure(_)));
    if unsure.count() > 1 {
        return Err(Error::Config(
            "[[loss]] kind = \"unsure\" stands twice: there is one noise level to learn".into(),
        ));
    }
    for (i, term) in terms.iter().enumerate() {
        term.check(&format!("loss[{i}]"), noise)?;
    }
    Ok(())
}

/// Whether a loss applies the network more than once: then it must be one function, without
/// statistics of the batch that it is applied to.
pub fn calls_again(terms: &[Term]) -> bool {
    let again = terms.iter().filter(|term| term.calls_again()).count();
    again + usize::from(terms.iter().any(Term::reads_estimate)) > 1
}

/// Records the weighted sum of `terms`: a scalar.
///
/// # Errors
/// [`Error::Config`] if a term does not fit the problem; those of the network and the operator.
pub fn record(terms: &[Term], tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
    let mut sum = None;
    for term in terms {
        let value = term.record(tape, scene)?;
        let value = match term.weight() {
            1.0 => value,
            weight => tape.scale(value, weight as f32),
        };
        sum = Some(match sum {
            Some(sum) => tape.add(sum, value)?,
            None => value,
        });
    }
    sum.ok_or_else(|| Error::shape("loss", "a loss of no terms"))
}
