//! Classical reconstruction, recorded on the tape and run on the device.
//!
//! Filtered back-projection ([`Fbp`]) and zero filling ([`pseudo_inverse`]) are one pass. The
//! iterative methods are [`Iterative`]: they turn a [`Run`], measurements and how to go about them,
//! into a [`Prepared`] iteration. It keeps its iterates in states; one plan of a few iterations is
//! replayed, and nothing is read back but a few numbers per image when progress is measured.
//!
//! | method | makes small |
//! | --- | --- |
//! | [`Landweber`], [`Sirt`], [`Cgls`] | the residual; the number of iterations regularises |
//! | [`Tikhonov`] | with the square of the image or of its differences |
//! | [`Tv`] (primal-dual), [`Fista`], [`Admm`] | with total variation, or the sum of the wavelet coefficients |
//! | [`Tgv`] | with total generalised variation of second order |
//! | [`PlugAndPlay`] | nothing: a [`Denoiser`] takes the place of a penalty |
//!
//! The iterative methods divide the operator and the data by `||A||`, so their weights mean about the
//! same for every geometry and unit of the measurement. [`by_discrepancy`] and [`l_curve`] choose the
//! weight. Images of a batch do not influence each other, except that all go on until the last of
//! them has converged.

mod admm;
mod analysis;
mod direct;
mod fista;
mod least_squares;
mod plug_and_play;
mod prepared;
mod primal_dual;
mod run;
mod sirt;
mod tgv;
mod tikhonov;
mod tv;
mod wavelet;
mod weight;

pub use admm::Admm;
pub use analysis::Penalty;
pub use direct::{Fbp, pseudo_inverse, root_sum_of_squares};
pub use fista::Fista;
pub use least_squares::{Cgls, Landweber};
pub use plug_and_play::{Denoiser, PlugAndPlay, Scheme};
pub use prepared::{Prepared, Progress, Solution, Stop};
pub use run::Run;
pub use sirt::Sirt;
pub use tgv::Tgv;
pub use tikhonov::{Quadratic, Tikhonov};
pub use tv::Tv;
pub use wavelet::{Wavelet, WaveletFamily};
pub use weight::{Choice, Trial, by_discrepancy, l_curve, weights_of_l_curve};

use crate::error::Result;
use crate::operators::LinearOperator;
use crate::tape::plan::Store;

/// A divisor that is zero only where the dividend is: below every other number that occurs.
const TINY: f32 = 1e-37;

/// A method that approaches its images step by step.
pub trait Iterative {
    /// The name in tables, and before the keys in messages: `tv`.
    fn name(&self) -> &'static str;

    /// Iterations at most.
    fn iterations(&self) -> usize;

    /// Compiles the iteration for a run.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] if a setting is out of range or the method is not for this
    /// operator; those of compiling and running.
    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>>;

    /// Solves for the `n` measurements `y` (N times the operator's range) from a zero image, telling
    /// `progress` now and then where it stands. More can be said of a [`Run`].
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] if a setting is out of range; [`crate::error::Error::Data`]
    /// if `y` does not fit; [`crate::error::Error::NotFinite`]; those of compiling and running.
    fn solve(
        &self,
        operator: &dyn LinearOperator,
        store: &Store,
        y: &[f32],
        n: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Solution> {
        let run = Run::new(operator, store, y, n)?;
        self.prepare(&run)?.iterate(progress)
    }
}
