//! Which kernel variant each operation of a plan gets.

use super::Options;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::{Capabilities, Family, Forced};
use crate::tune::{Subject, Tuner};
use serde::{Deserialize, Serialize};

/// The kernel variant of one kind of operation in a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chosen {
    /// Family, structure and extents.
    pub operation: String,
    /// The variant's name.
    pub variant: String,
}

/// Chooses, one operation after another.
pub(super) struct Choices {
    pub(super) capabilities: Capabilities,
    forced: Forced,
    tuner: Option<Tuner>,
    may_measure: bool,
    overlap: Option<bool>,
    chosen: Vec<Chosen>,
    /// Also collects what there is to choose from.
    collection: Option<Collection>,
}

/// What there is to choose from in a plan.
#[derive(Default)]
pub(super) struct Collection {
    /// Every operation with its candidates.
    pub subjects: Vec<Subject>,
    /// Every candidate of any operation, by family and name.
    pub variants: Vec<(String, Forced)>,
}

impl Choices {
    /// With `may_measure`, variants may be measured on the device if its mode says so.
    ///
    /// # Errors
    /// Those of [`Tuner::of`].
    pub(super) fn new(gpu: &Gpu, options: Options, may_measure: bool) -> Result<Self> {
        Ok(Choices {
            capabilities: Capabilities::of(gpu),
            forced: options.forced,
            tuner: options.tuned.then(|| Tuner::of(gpu)).transpose()?,
            may_measure,
            overlap: options.overlap,
            chosen: Vec::new(),
            collection: None,
        })
    }

    /// Whether the caller has said how launches follow one another.
    pub(super) fn is_ordered(&self) -> bool {
        self.overlap.is_some()
    }

    /// Whether launches overlap: software runs one after another anyway, and copies into textures
    /// between them.
    pub(super) fn overlap(&self) -> bool {
        self.overlap.unwrap_or(!self.capabilities.software)
    }

    /// What is forced, and a collection of what else there is.
    pub(super) fn collecting(capabilities: Capabilities, forced: Forced) -> Self {
        Choices {
            capabilities,
            forced,
            tuner: None,
            may_measure: false,
            overlap: None,
            chosen: Vec::new(),
            collection: Some(Collection::default()),
        }
    }

    /// With launches that overlap, or not.
    pub(super) fn overlapping(self, overlap: Option<bool>) -> Self {
        Choices { overlap, ..self }
    }

    /// The algorithm for `problem`.
    ///
    /// # Errors
    /// Those of [`Tuner::choose`].
    pub(super) fn choose<F: Family>(&mut self, problem: &F::Problem) -> Result<F> {
        if let Some(collection) = &mut self.collection {
            collection.add::<F>(self.capabilities, self.forced, problem);
        }
        let algorithm = match (F::forced(&self.forced), &self.tuner) {
            (Some(forced), _) => forced,
            (None, Some(tuner)) => tuner.choose(problem, self.may_measure)?,
            (None, None) => F::default_for(self.capabilities, problem),
        };
        let chosen = Chosen {
            operation: format!("{} {problem}", F::NAME),
            variant: algorithm.to_string(),
        };
        if !self.chosen.contains(&chosen) {
            self.chosen.push(chosen);
        }
        Ok(algorithm)
    }

    pub(super) fn finish(self) -> (Vec<Chosen>, Collection) {
        (self.chosen, self.collection.unwrap_or_default())
    }
}

impl Collection {
    fn add<F: Family>(&mut self, capabilities: Capabilities, others: Forced, problem: &F::Problem) {
        // Lowering all candidates takes time, and most operations of a network are repeated.
        let operation = Subject::name::<F>(problem);
        if !self.subjects.iter().any(|s| s.operation() == operation) {
            self.subjects.push(Subject::of::<F>(capabilities, problem));
        }
        for candidate in F::all(capabilities, problem) {
            let name = format!("{}/{candidate}", F::NAME);
            if !self.variants.iter().any(|(known, _)| *known == name) {
                let mut forced = others;
                candidate.force(&mut forced);
                self.variants.push((name, forced));
            }
        }
    }
}
