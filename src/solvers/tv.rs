//! Total variation by the primal-dual method of Chambolle and Pock.

use super::{Progress, Scaled, Solution, Stopping};
use crate::config::within;
use crate::error::Result;
use crate::operators::LinearOperator;
use crate::shape::{Padding, Shape, Window};
use crate::tape::plan::Store;
use crate::tape::{Tape, Unary, Var};

/// Total variation: makes `|A u - y|^2 / (2 ||A||^2) + weight TV(u)` small, over `u >= 0` if asked.
///
/// `TV(u)` is isotropic: the sum over the pixels of `sqrt(sum of squared forward differences)` to
/// the right and lower neighbour, zero across the border; the channels of one pixel are coupled
/// (so a complex image is penalised by the modulus of its complex differences). Differences are
/// between pixels, not per metre, and the data term is divided by `||A||^2`: `weight` has the unit
/// of the image, and flat regions lose contrast in proportion to it. For images in [0, 1], 1e-4 is
/// little and 1e-2 is much.
///
/// The iteration is PDHG (Chambolle and Pock, J. Math. Imaging Vis. 40 (2011), algorithm 1, theta =
/// 1) from zero, with one step size for each dual variable (Pock and Chambolle, ICCV 2011).
///
/// The criterion is the primal-dual gap relative to the objective. The dual problem has a
/// constraint that holds only in the limit, so the gap is the one over images bounded by twice the
/// current maximum of `|u|`: an upper bound of the distance to the optimal objective, provided the
/// optimal image obeys that bound. In f32 it ends at about 1e-5.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tv {
    /// Weight of the total variation, in the unit of the image.
    pub weight: f64,
    /// Iterations at most.
    pub iterations: usize,
    /// Keeps the image from becoming negative.
    pub nonnegative: bool,
    /// The relative gap at which it stops; 0 for all iterations.
    pub tolerance: f64,
}

impl Default for Tv {
    fn default() -> Self {
        Tv {
            weight: 1e-3,
            iterations: 1000,
            nonnegative: true,
            tolerance: 1e-3,
        }
    }
}

/// Steps of the two dual variables. With `||A|| = 1` and `||D||^2 <= 8` the method converges for
/// `tau (DATA + 8 DIFFERENCES) < 1`. Any choice is right; this one was the fastest over weights
/// from 3e-4 to 1e-2 on noisy sinograms (the dual variables are about that much smaller than the
/// image).
const DATA: f32 = 0.1;
const DIFFERENCES: f32 = 0.01;
/// Step of the image.
const TAU: f32 = 0.99 / (DATA + 8.0 * DIFFERENCES);

impl Tv {
    /// The default for images of this shape: real ones are not negative, complex ones are free.
    pub fn for_images(image: Shape) -> Self {
        Tv {
            nonnegative: image.c() == 1,
            ..Tv::default()
        }
    }

    /// Solves for the `n` measurements `y` (N times the operator's range).
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] if a setting is out of range; [`crate::error::Error::Data`]
    /// if `y` does not fit; [`crate::error::Error::NotFinite`]; those of compiling and running.
    pub fn solve(
        &self,
        operator: &dyn LinearOperator,
        store: &Store,
        y: &[f32],
        n: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Solution> {
        let weight = within("tv.weight", self.weight, 1e-12..=1e6)? as f32;
        let stopping = Stopping::of("tv", self.iterations, self.tolerance)?;
        let a = Scaled::new(operator, store, y, n)?;
        // The image u, and the dual variables p of the data and q of the differences.
        let states = [
            ("u", a.domain()),
            ("p", a.range()),
            ("q", differences_shape(a.domain())),
        ];
        let step = |tape: &mut Tape, [u, p, q]: [Var; 3]| {
            let slope = dual_slope(&a, tape, p, q)?;
            let slope = tape.scale(slope, -TAU);
            let mut next = tape.add(u, slope)?;
            if self.nonnegative {
                next = tape.unary(Unary::AtLeast(0.0), next);
            }
            // Over-relaxed: 2 u_next - u.
            let twice = tape.scale(next, 2.0);
            let ahead = tape.sub(twice, u)?;
            // p <- (p + DATA (A ahead - y)) / (1 + DATA)
            let residual = a.residual(tape, ahead)?;
            let residual = tape.scale(residual, -DATA);
            let p = tape.add(p, residual)?;
            let p = tape.scale(p, 1.0 / (1.0 + DATA));
            // q <- projection of q + DIFFERENCES D ahead onto |q| <= weight
            let d = differences(tape, ahead)?;
            let d = tape.scale(d, DIFFERENCES);
            let q = tape.add(q, d)?;
            let excess = lengths(tape, q, a.domain())?;
            let excess = tape.scale(excess, 1.0 / weight);
            let excess = tape.unary(Unary::AtLeast(1.0), excess);
            let q = divide_vectors(tape, q, excess)?;
            Ok([next, p, q])
        };
        let measure = |tape: &mut Tape, [u, p, q]: [Var; 3]| {
            let residual = a.residual(tape, u)?;
            let data = a.dot(tape, residual, residual)?;
            let data = tape.scale(data, 0.5);
            let d = differences(tape, u)?;
            let tv = lengths(tape, d, a.domain())?;
            let tv = tape.sum(tv, a.per_image())?;
            let tv = tape.scale(tv, weight);
            let objective = tape.add(data, tv)?;
            // -D(p, q) = |p|^2 / 2 + <p, y> + bound |violation|_1
            let square = a.dot(tape, p, p)?;
            let square = tape.scale(square, 0.5);
            let y = a.y(tape);
            let inner = a.dot(tape, p, y)?;
            let slope = dual_slope(&a, tape, p, q)?;
            let violation = if self.nonnegative {
                let slope = tape.scale(slope, -1.0);
                tape.unary(Unary::AtLeast(0.0), slope)
            } else {
                tape.unary(Unary::Abs, slope)
            };
            let violation = tape.sum(violation, a.per_image())?;
            let bound = tape.unary(Unary::Abs, u);
            let bound = tape.max(bound, a.per_image())?;
            let bound = tape.scale(bound, 2.0);
            let violation = tape.mul(bound, violation)?;
            let dual = tape.add(square, inner)?;
            let dual = tape.add(dual, violation)?;
            let gap = tape.add(objective, dual)?;
            // Rounding may leave it just below zero.
            let gap = tape.unary(Unary::Abs, gap);
            let floor = tape.unary(Unary::AtLeast(1e-30), objective);
            Ok([objective, tape.div(gap, floor)?])
        };
        a.iterate(states, step, measure, stopping, progress)
    }
}

/// `A^T p + D^T q`.
fn dual_slope(a: &Scaled, tape: &mut Tape, p: Var, q: Var) -> Result<Var> {
    let data = a.adjoint(tape, p)?;
    let planes = planes(a.domain());
    let kernel = difference_kernel(tape)?;
    let smooth = tape.conv2d_input_gradient(q, kernel, WINDOW, planes)?;
    let smooth = tape.reshape(smooth, a.domain())?;
    tape.add(data, smooth)
}

/// Replicate padding makes differences across the border zero.
const WINDOW: Window = Window::same(3, Padding::Replicate);

/// The kernel of forward differences to the right and downwards, 2 1 3 3.
fn difference_kernel(tape: &mut Tape) -> Result<Var> {
    let mut kernel = [0.0; 18];
    for (field, neighbour) in [5, 7].into_iter().enumerate() {
        kernel[9 * field + 4] = -1.0;
        kernel[9 * field + neighbour] = 1.0;
    }
    tape.constant(Shape::new(2, 1, 3, 3), kernel)
}

/// Every channel as an image of its own.
fn planes(images: Shape) -> Shape {
    Shape::new(images.n() * images.c(), 1, images.h(), images.w())
}

fn differences_shape(images: Shape) -> Shape {
    planes(images).with(1, 2)
}

/// Differences to the right and downwards, `N C H W` to `NC 2 H W`.
fn differences(tape: &mut Tape, u: Var) -> Result<Var> {
    let planes = tape.reshape(u, planes(u.shape()))?;
    let kernel = difference_kernel(tape)?;
    tape.conv2d(planes, kernel, WINDOW)
}

/// The length of each pixel's vector of differences, channels coupled: `NC 2 H W` to `N 1 H W`.
fn lengths(tape: &mut Tape, q: Var, images: Shape) -> Result<Var> {
    let square = tape.mul(q, q)?;
    let coupled = images.with(1, 2 * images.c());
    let square = tape.reshape(square, coupled)?;
    let sum = tape.sum(square, images.with(1, 1))?;
    Ok(tape.unary(Unary::Sqrt, sum))
}

/// Each pixel's vector, `NC 2 H W`, divided by a number, `N 1 H W`.
fn divide_vectors(tape: &mut Tape, q: Var, divisor: Var) -> Result<Var> {
    let pixels = divisor.shape();
    let coupled = pixels.with(1, q.shape().elements() / pixels.elements());
    let vectors = tape.reshape(q, coupled)?;
    let vectors = tape.div(vectors, divisor)?;
    tape.reshape(vectors, q.shape())
}
