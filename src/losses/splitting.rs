//! Splitting of measurements.

use super::distance::check_weight;
use super::motion::{Motion, Transforms};
use super::scene::Scene;
use crate::config::within;
use crate::error::Result;
use crate::operators::LinearOperator;
use crate::shape::Shape;
use crate::tape::{Tape, Unary, Var};
use serde::{Deserialize, Serialize};

/// What is kept or left out as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Single values: rays, or entries of k-space for all coils.
    #[default]
    Entries,
    /// Rows of the measurement: views of a sinogram.
    Rows,
    /// Columns of the measurement.
    Columns,
}

/// `|M2 (A f(M1 y) - y)|^2 / m2`: the network sees the random part `M1` of each measurement, with
/// the operator `M1 A`, and is to predict the rest `M2 = 1 - M1` (SSDU, Yaman et al. 2020).
///
/// With `transforms` the measurement is taken for that of a moved image through the operator `A T_g`
/// (equivariant splitting, Sechaud et al. 2025, arXiv 2510.00929), so that entries which `A` never
/// measures are asked for too.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Splitting {
    /// What it is multiplied by in the sum.
    pub weight: f64,
    /// The share that the network sees.
    pub kept: f64,
    /// What is kept or left out as a whole.
    pub unit: Unit,
    /// What the set of images is invariant under; by default nothing is moved.
    pub transforms: Transforms,
}

impl Default for Splitting {
    fn default() -> Self {
        Splitting {
            weight: 1.0,
            kept: 0.6,
            unit: Unit::default(),
            transforms: Transforms::default(),
        }
    }
}

impl Splitting {
    pub(super) fn check(&self, key: &str) -> Result<()> {
        check_weight(key, self.weight)?;
        within(&format!("{key}.kept"), self.kept, 0.01..=0.99)?;
        self.transforms.validate(&format!("{key}.transforms"))
    }

    pub(super) fn record(&self, tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
        let y = scene.measurements();
        let [n, _, h, w] = y.shape().0;
        let units = match self.unit {
            Unit::Entries => Shape::new(n, 1, h, w),
            Unit::Rows => Shape::new(n, 1, h, 1),
            Unit::Columns => Shape::new(n, 1, 1, w),
        };
        let left_out = scene.either(tape, units, self.kept, [0.0, 1.0])?;
        let negative = tape.scale(left_out, -1.0);
        let kept = tape.unary(Unary::Offset(1.0), negative);
        let motion = match self.transforms.is_identity() {
            true => None,
            false => Some(scene.motion(tape, &self.transforms, n)?),
        };
        let operator = scene.operator();
        let part = Part {
            operator,
            motion: motion.as_ref(),
            kept,
            share: self.kept,
        };
        let seen = tape.mul(y, kept)?;
        let estimate = scene.reconstruct(tape, &part, seen)?;
        let estimate = part.moved(tape, estimate)?;
        let predicted = operator.forward(tape, estimate)?;
        let difference = tape.sub(predicted, y)?;
        let rest = tape.mul(difference, left_out)?;
        let square = tape.mul(rest, rest)?;
        let mean = scene.measured_mean(tape, square)?;
        Ok(tape.scale(mean, (1.0 / (1.0 - self.kept)) as f32))
    }
}

/// `M A T_g` for a random mask `M` on a tape, of which the share `share` is one, and a motion `T_g`,
/// or `M A`.
struct Part<'a> {
    operator: &'a dyn LinearOperator,
    motion: Option<&'a Motion>,
    kept: Var,
    share: f64,
}

impl Part<'_> {
    fn moved(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        match self.motion {
            Some(motion) => motion.apply(tape, x),
            None => Ok(x),
        }
    }

    fn back(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        match self.motion {
            Some(motion) => motion.transpose(tape, x),
            None => Ok(x),
        }
    }
}

impl LinearOperator for Part<'_> {
    fn name(&self) -> &'static str {
        self.operator.name()
    }

    fn domain(&self) -> Shape {
        self.operator.domain()
    }

    fn range(&self) -> Shape {
        self.operator.range()
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let x = self.moved(tape, x)?;
        let y = self.operator.forward(tape, x)?;
        tape.mul(y, self.kept)
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let y = tape.mul(y, self.kept)?;
        let x = self.operator.adjoint(tape, y)?;
        self.back(tape, x)
    }

    /// `T_g^T A^+ M y`: the transpose is the inverse of a permutation, and nearly that of a rotation.
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let y = tape.mul(y, self.kept)?;
        let x = (self.operator).partial_pseudo_inverse(tape, y, self.share)?;
        self.back(tape, x)
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        self.operator.pseudo_inverse_name()
    }

    fn closed_views(&self) -> bool {
        self.operator.closed_views()
    }

    fn period(&self) -> usize {
        self.operator.period()
    }

    fn measured(&self) -> usize {
        self.operator.measured()
    }

    fn restrict(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let y = self.operator.restrict(tape, y)?;
        tape.mul(y, self.kept)
    }
}
