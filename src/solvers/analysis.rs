//! What regularisers measure of an image: differences between neighbours and wavelet coefficients, as
//! a vector at each pixel, `N kC H W`. The channels of a pixel are coupled, so a complex image is
//! penalised by the modulus.

use super::wavelet::Wavelet;
use crate::error::Result;
use crate::shape::{Padding, Shape, Window};
use crate::tape::{Tape, Unary, Var};
use std::sync::Arc;

/// A penalty that favours images with few edges or few coefficients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Penalty {
    /// Total variation, as in [`Tv`](super::Tv).
    TotalVariation,
    /// The sum of the moduli of the wavelet coefficients, but for those of the coarse image.
    Wavelet(Wavelet),
}

/// A linear map `L` from images to vectors at pixels; the penalty is the sum of their lengths.
#[derive(Clone, Debug)]
pub(super) enum Analysis {
    Differences,
    /// The transform, and a mask that leaves out the coarse image (`1 1 H W`).
    Wavelet(Wavelet, Arc<[f32]>),
}

impl Analysis {
    /// # Errors
    /// [`crate::error::Error::Config`] if the wavelet's settings are out of range.
    pub fn new(penalty: Penalty, images: Shape) -> Result<Self> {
        Ok(match penalty {
            Penalty::TotalVariation => Analysis::Differences,
            Penalty::Wavelet(wavelet) => {
                wavelet.validate()?;
                Analysis::Wavelet(wavelet, wavelet.details([images.h(), images.w()]).into())
            }
        })
    }

    /// The shape of `L u`.
    pub fn shape(&self, images: Shape) -> Shape {
        match self {
            Analysis::Differences => Differences::shape(images),
            Analysis::Wavelet(..) => images,
        }
    }

    /// A bound of `||L||^2`.
    pub fn norm_squared(&self) -> f32 {
        match self {
            Analysis::Differences => Differences::NORM_SQUARED,
            Analysis::Wavelet(..) => 1.0,
        }
    }

    /// Whether `L L^T` is a projection, so that the proximal map of the penalty is closed.
    pub fn is_tight(&self) -> bool {
        matches!(self, Analysis::Wavelet(..))
    }

    pub fn forward(&self, tape: &mut Tape, u: Var) -> Result<Var> {
        match self {
            Analysis::Differences => Differences::forward(tape, u),
            Analysis::Wavelet(wavelet, details) => {
                let z = wavelet.forward(tape, u)?;
                masked(tape, z, details)
            }
        }
    }

    pub fn adjoint(&self, tape: &mut Tape, z: Var, images: Shape) -> Result<Var> {
        match self {
            Analysis::Differences => Differences::adjoint(tape, z, images),
            Analysis::Wavelet(wavelet, details) => {
                let z = masked(tape, z, details)?;
                wavelet.inverse(tape, z)
            }
        }
    }
}

/// `x` times a mask `1 1 H W`.
fn masked(tape: &mut Tape, x: Var, mask: &Arc<[f32]>) -> Result<Var> {
    let shape = Shape::new(1, 1, x.shape().h(), x.shape().w());
    let mask = tape.constant(shape, mask.clone())?;
    tape.mul(x, mask)
}

/// The length of each pixel's vector, `N kC H W` to `N 1 H W`.
pub(super) fn lengths(tape: &mut Tape, z: Var) -> Result<Var> {
    let square = tape.mul(z, z)?;
    let sum = tape.sum(square, z.shape().with(1, 1))?;
    Ok(tape.unary(Unary::Sqrt, sum))
}

/// The sum over each image of the lengths of its vectors, `N 1 1 1`.
pub(super) fn sum_of_lengths(tape: &mut Tape, z: Var) -> Result<Var> {
    let lengths = lengths(tape, z)?;
    tape.sum(lengths, Shape::new(z.shape().n(), 1, 1, 1))
}

/// The vectors of `z` projected onto the ball of the image's `radius` (N 1 1 1, positive).
pub(super) fn project(tape: &mut Tape, z: Var, radius: Var) -> Result<Var> {
    let lengths = lengths(tape, z)?;
    let excess = tape.div(lengths, radius)?;
    let excess = tape.unary(Unary::AtLeast(1.0), excess);
    tape.div(z, excess)
}

/// The vectors of `z` projected onto the unit ball.
pub(super) fn into_unit_ball(tape: &mut Tape, z: Var) -> Result<Var> {
    let lengths = lengths(tape, z)?;
    let excess = tape.unary(Unary::AtLeast(1.0), lengths);
    tape.div(z, excess)
}

/// `z + step x`, within the unit ball.
pub(super) fn climbed(tape: &mut Tape, z: Var, step: Var, x: Var) -> Result<Var> {
    let moved = tape.mul(step, x)?;
    let moved = tape.add(z, moved)?;
    into_unit_ball(tape, moved)
}

/// The vectors of `z` shortened by the image's `threshold` (N 1 1 1, positive), to zero at most.
pub(super) fn shrink(tape: &mut Tape, z: Var, threshold: Var) -> Result<Var> {
    let taken = project(tape, z, threshold)?;
    tape.sub(z, taken)
}

/// Replicate padding makes differences across the border zero.
const WINDOW: Window = Window::same(3, Padding::Replicate);

/// Forward differences to the right and lower neighbour, zero across the border: `N C H W` to
/// `N 2C H W`.
pub(super) struct Differences;

impl Differences {
    /// Each of both differences has a norm below 2.
    pub const NORM_SQUARED: f32 = 8.0;

    pub fn shape(images: Shape) -> Shape {
        images.with(1, 2 * images.c())
    }

    fn kernel(tape: &mut Tape) -> Result<Var> {
        let mut kernel = [0.0; 18];
        for (field, neighbour) in [5, 7].into_iter().enumerate() {
            kernel[9 * field + 4] = -1.0;
            kernel[9 * field + neighbour] = 1.0;
        }
        tape.constant(Shape::new(2, 1, 3, 3), kernel)
    }

    pub fn forward(tape: &mut Tape, u: Var) -> Result<Var> {
        let kernel = Self::kernel(tape)?;
        filter(tape, u, kernel, 1, Self::shape(u.shape()))
    }

    pub fn adjoint(tape: &mut Tape, q: Var, images: Shape) -> Result<Var> {
        let kernel = Self::kernel(tape)?;
        filter_adjoint(tape, q, kernel, images)
    }
}

/// The symmetrised derivative of a vector field `(w1, w2)` (right, down) by the same differences,
/// `N 2C H W` to `N 3C H W`: `d1 w1`, `d2 w2` and `(d2 w1 + d1 w2) / sqrt(2)`, so that the length of the
/// three is the Frobenius norm of the symmetric matrix.
pub(super) struct SymmetrisedDifferences;

impl SymmetrisedDifferences {
    /// At most that of all four differences.
    pub const NORM_SQUARED: f32 = 8.0;

    pub fn shape(images: Shape) -> Shape {
        images.with(1, 3 * images.c())
    }

    fn kernel(tape: &mut Tape) -> Result<Var> {
        let mut kernel = [0.0; 54];
        let half = std::f32::consts::FRAC_1_SQRT_2;
        // Output, input, neighbour, factor.
        let entries = [
            (0, 0, 5, 1.0),
            (1, 1, 7, 1.0),
            (2, 0, 7, half),
            (2, 1, 5, half),
        ];
        for (output, input, neighbour, factor) in entries {
            let at = 9 * (2 * output + input);
            kernel[at + 4] -= factor;
            kernel[at + neighbour] += factor;
        }
        tape.constant(Shape::new(3, 2, 3, 3), kernel)
    }

    /// `w` is a field of images of the shape `images`.
    pub fn forward(tape: &mut Tape, w: Var, images: Shape) -> Result<Var> {
        let kernel = Self::kernel(tape)?;
        filter(tape, w, kernel, 2, Self::shape(images))
    }

    pub fn adjoint(tape: &mut Tape, r: Var, images: Shape) -> Result<Var> {
        let kernel = Self::kernel(tape)?;
        filter_adjoint(tape, r, kernel, Differences::shape(images))
    }
}

/// Every group of `inputs` channels convolved by itself.
fn filter(tape: &mut Tape, x: Var, kernel: Var, inputs: usize, to: Shape) -> Result<Var> {
    let [n, c, h, w] = x.shape().0;
    let planes = tape.reshape(x, Shape::new(n * c / inputs, inputs, h, w))?;
    let y = tape.conv2d(planes, kernel, WINDOW)?;
    tape.reshape(y, to)
}

/// The transpose of [`filter`].
fn filter_adjoint(tape: &mut Tape, y: Var, kernel: Var, to: Shape) -> Result<Var> {
    let [outputs, inputs, ..] = kernel.shape().0;
    let [n, c, h, w] = to.0;
    let groups = n * c / inputs;
    let planes = tape.reshape(y, Shape::new(groups, outputs, h, w))?;
    let to_planes = Shape::new(groups, inputs, h, w);
    let x = tape.conv2d_input_gradient(planes, kernel, WINDOW, to_planes)?;
    tape.reshape(x, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::reference::{Feeds, evaluate};

    fn values(len: usize, seed: u64) -> Vec<f64> {
        use crate::reference::random::{Draw, normal};
        normal(Draw::new(seed, 0), len)
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// `<L x, y> = <x, L^T y>`, and `|L x|^2 <= bound |x|^2` for rough `x`.
    fn check(
        from: Shape,
        to: Shape,
        bound: f32,
        forward: impl Fn(&mut Tape, Var) -> Result<Var>,
        adjoint: impl Fn(&mut Tape, Var) -> Result<Var>,
    ) {
        let mut tape = Tape::new();
        let [x, y] = [tape.input("x", from), tape.input("y", to)];
        let lx = forward(&mut tape, x).expect("fits");
        let lty = adjoint(&mut tape, y).expect("fits");
        assert_eq!((lx.shape(), lty.shape()), (to, from));
        let (xs, ys) = (values(from.elements(), 1), values(to.elements(), 2));
        let mut feeds = Feeds::from([("x".to_string(), xs.clone()), ("y".to_string(), ys.clone())]);
        let found = evaluate(&tape, &mut feeds, &[lx, lty]).expect("evaluates");
        let (left, right) = (dot(&found[0], &ys), dot(&xs, &found[1]));
        assert!((left - right).abs() < 1e-5, "{left} {right}");
        // The roughest image of all comes near the bound.
        let rough: Vec<f64> = (0..from.elements())
            .map(|i| {
                let (r, c) = (i / from.w() % from.h(), i % from.w());
                if (r + c) % 2 == 0 { 1.0 } else { -1.0 }
            })
            .collect();
        feeds.insert("x".into(), rough.clone());
        let found = evaluate(&tape, &mut feeds, &[lx]).expect("evaluates");
        let ratio = dot(&found[0], &found[0]) / dot(&rough, &rough);
        assert!(ratio <= f64::from(bound), "{ratio}");
    }

    #[test]
    fn adjoints_are_transposes_and_norms_are_bounded() {
        for images in [
            Shape::new(2, 1, 7, 5),
            Shape::new(1, 2, 6, 9),
            Shape::new(1, 1, 1, 8),
        ] {
            let to = Differences::shape(images);
            let bound = Differences::NORM_SQUARED;
            check(images, to, bound, Differences::forward, |tape, q| {
                Differences::adjoint(tape, q, images)
            });
            type E = SymmetrisedDifferences;
            check(
                to,
                E::shape(images),
                E::NORM_SQUARED,
                |tape, w| E::forward(tape, w, images),
                |tape, r| E::adjoint(tape, r, images),
            );
        }
    }

    #[test]
    fn vectors_are_projected_and_shortened() {
        let mut tape = Tape::new();
        let z = tape.input("z", Shape::new(1, 2, 1, 3));
        let radius = tape.scalar(1.0);
        let inside = project(&mut tape, z, radius).expect("fits");
        let short = shrink(&mut tape, z, radius).expect("fits");
        let given = vec![3.0, 0.3, 0.0, 4.0, 0.4, 0.0];
        let mut feeds = Feeds::from([("z".to_string(), given)]);
        let found = evaluate(&tape, &mut feeds, &[inside, short]).expect("evaluates");
        let near = |a: &[f64], b: [f64; 6]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(&found[0], [0.6, 0.3, 0.0, 0.8, 0.4, 0.0]), "{found:?}");
        assert!(near(&found[1], [2.4, 0.0, 0.0, 3.2, 0.0, 0.0]), "{found:?}");
    }
}
