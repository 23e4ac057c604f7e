//! Discrete Fourier transforms: what is transformed, and how it is scaled.

use super::Shape;

/// The axes that a transform runs along.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FourierAxes {
    /// The last axis: every line of `W` numbers for itself.
    Lines,
    /// The last two: every plane of `H` times `W` numbers for itself.
    Planes,
}

/// The sign of the exponent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FourierDirection {
    /// `exp(-2 pi i j k / n)`.
    Forward,
    /// `exp(2 pi i j k / n)`.
    Inverse,
}

/// The factor of the sum over `n` points.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FourierScale {
    /// `1 / sqrt(n)`: the inverse is the adjoint.
    Unitary,
    /// None.
    Sum,
    /// `1 / n`: with the other direction, the inverse of [`FourierScale::Sum`].
    Mean,
}

/// Which side of a transform is real. Complex values are pairs of channels, real and imaginary
/// part after each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FourierValues {
    /// Complex values to complex values: `N 2C H W` to the same.
    Complex,
    /// Real values to complex values: `N C H W` to `N 2C H W`, all of the spectrum.
    FromReal,
    /// The real part of the result alone: `N 2C H W` to `N C H W`.
    ToReal,
}

/// A discrete Fourier transform of any size, zero frequency first: `y_k = scale * sum over j of
/// exp(-+ 2 pi i j k / n) x_j`, along one axis or two. Unitary unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fourier {
    /// What is transformed.
    pub axes: FourierAxes,
    /// The sign of the exponent.
    pub direction: FourierDirection,
    /// The factor.
    pub scale: FourierScale,
    /// Which side is real.
    pub values: FourierValues,
}

impl Fourier {
    /// The unitary forward transform of complex values.
    pub const fn new(axes: FourierAxes) -> Self {
        Fourier {
            axes,
            direction: FourierDirection::Forward,
            scale: FourierScale::Unitary,
            values: FourierValues::Complex,
        }
    }

    /// The unitary forward transform along the last axis.
    pub const fn lines() -> Self {
        Self::new(FourierAxes::Lines)
    }

    /// The unitary forward transform along the last two axes.
    pub const fn planes() -> Self {
        Self::new(FourierAxes::Planes)
    }

    /// With this factor.
    pub const fn scaled(mut self, scale: FourierScale) -> Self {
        self.scale = scale;
        self
    }

    /// With values that are real on one side.
    pub const fn with_values(mut self, values: FourierValues) -> Self {
        self.values = values;
        self
    }

    /// The transpose as a real-linear map: the other direction, the same factor, and the real side
    /// on the other end.
    pub const fn adjoint(mut self) -> Self {
        self.direction = match self.direction {
            FourierDirection::Forward => FourierDirection::Inverse,
            FourierDirection::Inverse => FourierDirection::Forward,
        };
        self.values = match self.values {
            FourierValues::Complex => FourierValues::Complex,
            FourierValues::FromReal => FourierValues::ToReal,
            FourierValues::ToReal => FourierValues::FromReal,
        };
        self
    }

    /// The transform that undoes this one: the adjoint with the reciprocal factor. (After
    /// [`FourierValues::ToReal`], which forgets the imaginary part, nothing can.)
    pub const fn inverse(self) -> Self {
        self.adjoint().scaled(match self.scale {
            FourierScale::Unitary => FourierScale::Unitary,
            FourierScale::Sum => FourierScale::Mean,
            FourierScale::Mean => FourierScale::Sum,
        })
    }

    /// The extents that are transformed, the inner one last.
    pub fn extents(self, shape: Shape) -> Vec<usize> {
        match self.axes {
            FourierAxes::Lines => vec![shape.w()],
            FourierAxes::Planes => vec![shape.h(), shape.w()],
        }
    }

    /// The factor for values of shape `shape`.
    pub fn factor(self, shape: Shape) -> f64 {
        let points: f64 = self.extents(shape).iter().map(|&n| n as f64).product();
        match self.scale {
            FourierScale::Unitary => 1.0 / points.sqrt(),
            FourierScale::Sum => 1.0,
            FourierScale::Mean => 1.0 / points,
        }
    }

    /// The shape of the result for `input`; `None` if its channels are no pairs where they must be,
    /// or it is empty.
    pub fn output(self, input: Shape) -> Option<Shape> {
        let channels = match self.values {
            FourierValues::FromReal => 2 * input.c(),
            FourierValues::Complex if input.c().is_multiple_of(2) => input.c(),
            FourierValues::ToReal if input.c().is_multiple_of(2) => input.c() / 2,
            FourierValues::Complex | FourierValues::ToReal => return None,
        };
        (input.elements() > 0).then(|| input.with(1, channels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjoint_and_inverse_undo_themselves() {
        let shape = Shape::new(1, 2, 3, 4);
        for scale in [FourierScale::Unitary, FourierScale::Sum, FourierScale::Mean] {
            for values in [FourierValues::Complex, FourierValues::FromReal] {
                let transform = Fourier::planes().scaled(scale).with_values(values);
                assert_eq!(transform.adjoint().adjoint(), transform);
                assert_eq!(transform.inverse().inverse(), transform);
                let both = transform.factor(shape) * transform.inverse().factor(shape);
                assert!((both - 1.0 / 12.0).abs() < 1e-15);
            }
        }
        assert_eq!(Fourier::planes().adjoint(), Fourier::planes().inverse());
    }

    #[test]
    fn channels_are_pairs_on_the_complex_side() {
        let [one, two] = [1, 2].map(|c| Shape::new(3, c, 4, 5));
        let real = Fourier::lines().with_values(FourierValues::FromReal);
        assert_eq!(Fourier::lines().output(one), None);
        assert_eq!(Fourier::lines().output(two), Some(two));
        assert_eq!(real.output(one), Some(two));
        assert_eq!(real.adjoint().output(two), Some(one));
        assert_eq!(real.adjoint().output(one), None);
        assert_eq!(real.output(one.with(0, 0)), None);
        assert_eq!(Fourier::planes().extents(two), [4, 5]);
    }
}
