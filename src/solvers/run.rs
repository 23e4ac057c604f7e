//! Measurements to reconstruct from, and what the methods record of them.

use super::TINY;
use crate::config::within;
use crate::error::{Error, Result};
use crate::operators::{LinearOperator, diagnostics};
use crate::shape::Shape;
use crate::tape::plan::Store;
use crate::tape::{Tape, Unary, Var};

/// Refuses data that are not `n` finite measurements of `operator`.
pub(super) fn check_measurements(operator: &dyn LinearOperator, y: &[f32], n: usize) -> Result<()> {
    let range = operator.range();
    if n == 0 || y.len() != n * range.elements() {
        return Err(Error::data(
            "measurements",
            format!(
                "{} values, but {n} measurements of shape {range} have {}; give whole measurements of the operator {}",
                y.len(),
                n * range.elements(),
                operator.name()
            ),
        ));
    }
    check_finite("measurements", y)
}

fn check_finite(what: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite(format!(
            "element {at} of the {what} is {}; remove or repair it",
            values[at]
        ))),
    }
}

/// Measurements to reconstruct from, and how an iteration on them goes: where it starts, at which
/// residual it stops, how often it looks.
///
/// Methods see `A / ||A||` and `y / ||A||`.
pub struct Run<'o> {
    operator: &'o dyn LinearOperator,
    store: Store,
    norm: f64,
    pub(super) n: usize,
    /// `y / ||A||`.
    pub(super) y: Vec<f32>,
    pub(super) start: Option<Vec<f32>>,
    /// `noise / ||A||`.
    pub(super) noise: Option<f64>,
    pub(super) every: Option<usize>,
}

impl<'o> Run<'o> {
    /// The `n` measurements `y` (N times the operator's range), from a zero image.
    ///
    /// # Errors
    /// [`Error::Data`] if `y` does not hold `n` measurements; [`Error::NotFinite`] if one is NaN or
    /// infinite; [`Error::Config`] if the operator is zero; those of running the operator.
    pub fn new(
        operator: &'o dyn LinearOperator,
        store: &Store,
        y: &[f32],
        n: usize,
    ) -> Result<Self> {
        check_measurements(operator, y, n)?;
        let norm = diagnostics::norm(operator, &Store::new(store.gpu()), 100)?;
        if !(norm > 0.0 && norm.is_finite()) {
            return Err(Error::Config(format!(
                "the norm of the operator {} is {norm}: nothing can be reconstructed from its measurements; check the geometry",
                operator.name()
            )));
        }
        let scale = (1.0 / norm) as f32;
        Ok(Run {
            operator,
            store: store.clone(),
            norm,
            n,
            y: y.iter().map(|v| v * scale).collect(),
            start: None,
            noise: None,
            every: None,
        })
    }

    /// The same from `images` (N times the operator's domain) instead of zero.
    ///
    /// # Errors
    /// [`Error::Data`] if there are not as many images as measurements; [`Error::NotFinite`].
    pub fn starting_at(self, images: &[f32]) -> Result<Self> {
        let domain = self.domain();
        if images.len() != domain.elements() {
            return Err(Error::data(
                "start images",
                format!(
                    "{} values, but {} images of shape {} have {}; give one image for each measurement",
                    images.len(),
                    self.n,
                    self.operator.domain(),
                    domain.elements()
                ),
            ));
        }
        check_finite("start images", images)?;
        Ok(Run {
            start: Some(images.to_vec()),
            ..self
        })
    }

    /// The same, but each image rests as soon as `|A u - y| <= noise`, in the unit of the measurement
    /// (Morozov's discrepancy principle as a stopping rule). For methods whose number of iterations
    /// regularises.
    ///
    /// # Errors
    /// [`Error::Config`] unless `noise` is positive.
    pub fn until_residual(self, noise: f64) -> Result<Self> {
        Ok(Run {
            noise: Some(self.in_run(noise)?),
            ..self
        })
    }

    /// The same with progress measured about every so many iterations. Each time costs about as much
    /// as one iteration.
    ///
    /// # Errors
    /// [`Error::Config`] for 0.
    pub fn looking_every(self, iterations: usize) -> Result<Self> {
        within("the iterations between looks", iterations, 1..=10_000_000)?;
        Ok(Run {
            every: Some(iterations),
            ..self
        })
    }

    /// `||A||`, by power iteration.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// The number of measurements.
    pub fn count(&self) -> usize {
        self.n
    }

    /// A norm of measurements in the unit that methods see.
    pub(super) fn in_run(&self, noise: f64) -> Result<f64> {
        if noise > 0.0 && noise.is_finite() {
            return Ok(noise / self.norm);
        }
        Err(Error::Config(format!(
            "the noise's norm is {noise}: give a positive number in the unit of the measurements"
        )))
    }

    /// `|y|` of each measurement, in the unit that methods see.
    pub(super) fn lengths(&self) -> impl Iterator<Item = f64> {
        let square = |y: &[f32]| y.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        let item = self.operator.range().elements();
        self.y.chunks(item).map(move |y| square(y).sqrt())
    }

    pub(super) fn store(&self) -> Store {
        Store::new(self.store.gpu())
    }

    pub(super) fn operator(&self) -> &dyn LinearOperator {
        self.operator
    }

    pub(super) fn domain(&self) -> Shape {
        self.operator.domain().with(0, self.n)
    }

    pub(super) fn range(&self) -> Shape {
        self.operator.range().with(0, self.n)
    }

    /// One number for each image.
    pub(super) fn per_image(&self) -> Shape {
        Shape::new(self.n, 1, 1, 1)
    }

    pub(super) fn y(&self, tape: &mut Tape) -> Var {
        tape.state("y", self.range())
    }

    /// The weight of each image.
    pub(super) fn weight(&self, tape: &mut Tape) -> Var {
        tape.state("weight", self.per_image())
    }

    pub(super) fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let y = self.operator.forward(tape, x)?;
        Ok(tape.scale(y, (1.0 / self.norm) as f32))
    }

    pub(super) fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let x = self.operator.adjoint(tape, y)?;
        Ok(tape.scale(x, (1.0 / self.norm) as f32))
    }

    /// `y - A u`.
    pub(super) fn residual(&self, tape: &mut Tape, u: Var) -> Result<Var> {
        let y = self.y(tape);
        let au = self.forward(tape, u)?;
        tape.sub(y, au)
    }

    /// `<a, b>` of each image.
    pub(super) fn dot(&self, tape: &mut Tape, a: Var, b: Var) -> Result<Var> {
        let product = tape.mul(a, b)?;
        tape.sum(product, self.per_image())
    }

    /// `square / 2 + weight penalty` of each image, `square` its `|A u - y|^2`.
    pub(super) fn objective(&self, tape: &mut Tape, square: Var, penalty: Var) -> Result<Var> {
        let data = tape.scale(square, 0.5);
        let weight = self.weight(tape);
        let weighted = tape.mul(weight, penalty)?;
        tape.add(data, weighted)
    }

    /// `|x| / |A^T y|` of each image.
    pub(super) fn relative_to_start(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let y = self.y(tape);
        let start = self.adjoint(tape, y)?;
        self.ratio(tape, x, start)
    }

    /// `|a| / |b|` of each image.
    pub(super) fn ratio(&self, tape: &mut Tape, a: Var, b: Var) -> Result<Var> {
        let squares = [self.dot(tape, a, a)?, self.dot(tape, b, b)?];
        let divisor = tape.unary(Unary::AtLeast(TINY), squares[1]);
        let ratio = tape.div(squares[0], divisor)?;
        Ok(tape.unary(Unary::Sqrt, ratio))
    }

    /// `u` after so many steps of conjugate gradients for `normal(u) = b`, `normal` symmetric and positive.
    pub(super) fn descended(
        &self,
        tape: &mut Tape,
        mut u: Var,
        b: Var,
        steps: usize,
        normal: impl Fn(&mut Tape, Var) -> Result<Var>,
    ) -> Result<Var> {
        let now = normal(tape, u)?;
        let mut r = tape.sub(b, now)?;
        let mut p = r;
        let mut gamma = self.dot(tape, r, r)?;
        for _ in 0..steps {
            let q = normal(tape, p)?;
            let delta = self.dot(tape, p, q)?;
            let delta = tape.unary(Unary::AtLeast(TINY), delta);
            let alpha = tape.div(gamma, delta)?;
            let du = tape.mul(alpha, p)?;
            u = tape.add(u, du)?;
            let dr = tape.mul(alpha, q)?;
            r = tape.sub(r, dr)?;
            let next = self.dot(tape, r, r)?;
            let before = tape.unary(Unary::AtLeast(TINY), gamma);
            let beta = tape.div(next, before)?;
            let along = tape.mul(beta, p)?;
            p = tape.add(r, along)?;
            gamma = next;
        }
        Ok(u)
    }

    /// How long dual variables are beside the image, for each image of the batch: the penalty's, of
    /// length `weight` at most, relative to the root mean square of `A^T y`, times 3. Steps that are
    /// balanced by it make the methods equally fast over five decades of weights. Within
    /// `[1e-4, greatest]`, so that zero data have one as well.
    pub(super) fn dual_scale(&self, tape: &mut Tape, greatest: f32) -> Result<Var> {
        let y = self.y(tape);
        let back = self.adjoint(tape, y)?;
        let square = self.dot(tape, back, back)?;
        let square = tape.scale(square, 1.0 / self.operator.domain().elements() as f32);
        let square = tape.unary(Unary::AtLeast(TINY), square);
        let size = tape.unary(Unary::Sqrt, square);
        let weight = self.weight(tape);
        let scale = tape.div(weight, size)?;
        let negative = tape.scale(scale, -3.0);
        let negative = tape.unary(Unary::AtLeast(-greatest), negative);
        let scale = tape.scale(negative, -1.0);
        Ok(tape.unary(Unary::AtLeast(1e-4), scale))
    }

    /// `x`, or its part that is not negative.
    pub(super) fn constrained(&self, tape: &mut Tape, x: Var, nonnegative: bool) -> Var {
        match nonnegative {
            true => tape.unary(Unary::AtLeast(0.0), x),
            false => x,
        }
    }

    /// Refuses the constraint `u >= 0` for complex images.
    pub(super) fn check_sign(&self, method: &str, nonnegative: bool) -> Result<()> {
        if nonnegative && self.domain().c() != 1 {
            return Err(Error::Config(format!(
                "{method}.nonnegative: the images of the operator {} are complex and have no sign; leave it out",
                self.operator.name()
            )));
        }
        Ok(())
    }
}
