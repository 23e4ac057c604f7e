//! Recording: one method for each operation, which checks its shapes.

use super::op::{AdamConstants, Binary, Distribution, Node, Op, Unary};
use crate::error::{Error, Result};
use crate::shape::{GridSymmetry, ParallelBeam, Shape, Window};
use std::ops::Range;
use std::sync::Arc;

/// A value on a tape: its place and its shape.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Var {
    pub(super) index: usize,
    shape: Shape,
}

impl Var {
    /// The shape of the value.
    pub fn shape(self) -> Shape {
        self.shape
    }

    /// The place on the tape.
    pub fn index(self) -> usize {
        self.index
    }
}

/// A range of nodes whose values are computed again for the backward pass instead of being kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The nodes recorded by [`Tape::recomputed`].
    pub nodes: Range<usize>,
}

/// An append-only list of operations. It holds no GPU memory and needs no device.
///
/// ```
/// use equilens::shape::Shape;
/// use equilens::tape::Tape;
/// let mut tape = Tape::new();
/// let x = tape.input("x", Shape::vector(3));
/// let y = tape.mul(x, x)?;
/// let loss = tape.sum_all(y)?;
/// let dx = tape.gradients(loss, &[x])?[0];
/// assert_eq!(dx.shape(), x.shape());
/// # Ok::<(), equilens::error::Error>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct Tape {
    pub(super) nodes: Vec<Node>,
    pub(super) segments: Vec<Segment>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// The recorded nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The value of node `index`.
    pub fn var(&self, index: usize) -> Var {
        Var {
            index,
            shape: self.nodes[index].shape,
        }
    }

    pub(super) fn push(&mut self, op: Op, inputs: &[Var], shape: Shape) -> Var {
        debug_assert!(inputs.iter().all(|v| v.index < self.nodes.len()));
        self.nodes.push(Node {
            op,
            inputs: inputs.iter().map(|v| v.index).collect(),
            shape,
        });
        self.var(self.nodes.len() - 1)
    }

    /// Records `body` as recomputed: what it computes inside is not kept for the backward pass but
    /// computed again there, which trades time for memory.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn recomputed<T>(&mut self, body: impl FnOnce(&mut Tape) -> Result<T>) -> Result<T> {
        let start = self.nodes.len();
        let result = body(self)?;
        self.segments.push(Segment {
            nodes: start..self.nodes.len(),
        });
        Ok(result)
    }

    // Leaves.

    /// A leaf that is written before each replay. The name must be unique on the tape.
    pub fn input(&mut self, name: &str, shape: Shape) -> Var {
        self.push(Op::Input(name.into()), &[], shape)
    }

    /// A leaf that persists between replays, and between the plans that share its store.
    pub fn state(&mut self, name: &str, shape: Shape) -> Var {
        self.push(Op::State(name.into()), &[], shape)
    }

    /// A leaf with fixed values.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values is not the number of elements.
    pub fn constant(&mut self, shape: Shape, values: impl Into<Arc<[f32]>>) -> Result<Var> {
        let values = values.into();
        if values.len() != shape.elements() {
            return Err(Error::shape(
                "constant",
                format!("{} values for the shape {shape}", values.len()),
            ));
        }
        Ok(self.push(Op::Constant(values), &[], shape))
    }

    /// A scalar constant.
    pub fn scalar(&mut self, value: f32) -> Var {
        self.push(Op::Constant([value].into()), &[], Shape::SCALAR)
    }

    // Elementwise.

    /// `f(x)` element by element.
    pub fn unary(&mut self, f: Unary, x: Var) -> Var {
        self.push(Op::Unary(f), &[x], x.shape)
    }

    /// `f(a, b)` element by element; the shapes broadcast.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not.
    pub fn binary(&mut self, f: Binary, a: Var, b: Var) -> Result<Var> {
        let shape = a.shape.broadcast(b.shape).ok_or_else(|| {
            Error::shape(
                f.name(),
                format!(
                    "{} and {} do not broadcast: extents must be equal or 1",
                    a.shape, b.shape
                ),
            )
        })?;
        Ok(self.push(Op::Binary(f), &[a, b], shape))
    }

    /// `a + b`; errors as [`Tape::binary`].
    pub fn add(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Add, a, b)
    }

    /// `a - b`; errors as [`Tape::binary`].
    pub fn sub(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Sub, a, b)
    }

    /// `a * b`; errors as [`Tape::binary`].
    pub fn mul(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Mul, a, b)
    }

    /// `a / b`; errors as [`Tape::binary`].
    pub fn div(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Div, a, b)
    }

    /// `c * x`.
    pub fn scale(&mut self, x: Var, c: f32) -> Var {
        self.unary(Unary::Scale(c), x)
    }

    /// Leaky ReLU with a positive slope.
    pub fn leaky_relu(&mut self, x: Var, slope: f32) -> Var {
        self.unary(Unary::LeakyRelu(slope), x)
    }

    // Reductions and their transposes.

    fn check_reduced(op: &'static str, full: Shape, reduced: Shape) -> Result<()> {
        let fits = (0..4).all(|i| reduced.0[i] == full.0[i] || reduced.0[i] == 1);
        fits.then_some(()).ok_or_else(|| {
            Error::shape(
                op,
                format!("{reduced} is not {full} with some extents set to 1"),
            )
        })
    }

    /// Sum over every axis in which `to` has extent 1.
    ///
    /// # Errors
    /// [`Error::Shape`] unless every extent of `to` is that of `x` or 1.
    pub fn sum(&mut self, x: Var, to: Shape) -> Result<Var> {
        Self::check_reduced("sum", x.shape, to)?;
        Ok(if x.shape == to {
            x
        } else {
            self.push(Op::Sum, &[x], to)
        })
    }

    /// The sum of all elements.
    ///
    /// # Errors
    /// None in practice; see [`Tape::sum`].
    pub fn sum_all(&mut self, x: Var) -> Result<Var> {
        self.sum(x, Shape::SCALAR)
    }

    /// The mean of all elements.
    ///
    /// # Errors
    /// None in practice; see [`Tape::sum`].
    pub fn mean(&mut self, x: Var) -> Result<Var> {
        let sum = self.sum_all(x)?;
        Ok(self.scale(sum, 1.0 / x.shape.elements() as f32))
    }

    /// Maximum over every axis in which `to` has extent 1; errors as [`Tape::sum`].
    pub fn max(&mut self, x: Var, to: Shape) -> Result<Var> {
        Self::check_reduced("max", x.shape, to)?;
        Ok(if x.shape == to {
            x
        } else {
            self.push(Op::Max, &[x], to)
        })
    }

    /// Repetition along every axis in which `x` has extent 1.
    ///
    /// # Errors
    /// [`Error::Shape`] unless every extent of `x` is that of `to` or 1.
    pub fn broadcast(&mut self, x: Var, to: Shape) -> Result<Var> {
        Self::check_reduced("broadcast", to, x.shape)?;
        Ok(if x.shape == to {
            x
        } else {
            self.push(Op::Broadcast, &[x], to)
        })
    }

    // Convolution.

    fn check_window(op: &'static str, window: Window, kernel: Shape, image: Shape) -> Result<()> {
        let Window { size, stride, .. } = window;
        if !(size % 2 == 1 && (1..=9).contains(&size) && (stride == 1 || stride == 2)) {
            return Err(Error::shape(
                op,
                format!("size {size} and stride {stride}: sizes 1, 3, 5, 7, 9 and strides 1, 2"),
            ));
        }
        if kernel.h() != size || kernel.w() != size {
            return Err(Error::shape(
                op,
                format!("the kernel {kernel} for a window of size {size}"),
            ));
        }
        if image.elements() == 0 {
            return Err(Error::shape(op, format!("the image {image} is empty")));
        }
        Ok(())
    }

    /// Cross-correlation of `x` (N I H W) with `w` (O I k k).
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels or the window do not fit.
    pub fn conv2d(&mut self, x: Var, w: Var, window: Window) -> Result<Var> {
        Self::check_window("conv2d", window, w.shape, x.shape)?;
        if x.shape.c() != w.shape.c() {
            return Err(Error::shape(
                "conv2d",
                format!("image {} and kernel {}: channels differ", x.shape, w.shape),
            ));
        }
        let shape = window.output(x.shape, w.shape.n());
        Ok(self.push(Op::Conv2d(window), &[x, w], shape))
    }

    /// The transpose of [`Tape::conv2d`] in its image, of shape `to`; errors likewise.
    pub fn conv2d_input_gradient(
        &mut self,
        dy: Var,
        w: Var,
        window: Window,
        to: Shape,
    ) -> Result<Var> {
        let op = "conv2d_input_gradient";
        Self::check_window(op, window, w.shape, to)?;
        if to.c() != w.shape.c() || window.output(to, w.shape.n()) != dy.shape {
            return Err(Error::shape(
                op,
                format!(
                    "gradient {}, kernel {}, image {to} do not fit",
                    dy.shape, w.shape
                ),
            ));
        }
        Ok(self.push(Op::Conv2dInputGradient(window), &[dy, w], to))
    }

    /// The transpose of [`Tape::conv2d`] in its kernel; errors likewise.
    pub fn conv2d_weight_gradient(&mut self, x: Var, dy: Var, window: Window) -> Result<Var> {
        let op = "conv2d_weight_gradient";
        let to = Shape::new(dy.shape.c(), x.shape.c(), window.size, window.size);
        Self::check_window(op, window, to, x.shape)?;
        if window.output(x.shape, to.n()) != dy.shape {
            return Err(Error::shape(
                op,
                format!("image {} and gradient {} do not fit", x.shape, dy.shape),
            ));
        }
        Ok(self.push(Op::Conv2dWeightGradient(window), &[x, dy], to))
    }

    // Linear algebra and layout.

    /// Matrix product over the last two axes, `a` and `b` transposed first if asked; the first two
    /// axes broadcast.
    ///
    /// # Errors
    /// [`Error::Shape`] if the inner extents differ or the batch axes do not broadcast.
    pub fn matmul(&mut self, a: Var, b: Var, transpose_a: bool, transpose_b: bool) -> Result<Var> {
        let turned = |s: Shape, t: bool| if t { (s.w(), s.h()) } else { (s.h(), s.w()) };
        let (rows, inner) = turned(a.shape, transpose_a);
        let (inner_b, columns) = turned(b.shape, transpose_b);
        let batch = |s: Shape| Shape::new(s.n(), s.c(), 1, 1);
        match batch(a.shape).broadcast(batch(b.shape)) {
            Some(n) if inner == inner_b => Ok(self.push(
                Op::MatMul {
                    transpose_a,
                    transpose_b,
                },
                &[a, b],
                Shape::new(n.n(), n.c(), rows, columns),
            )),
            _ => Err(Error::shape(
                "matmul",
                format!(
                    "{} (transposed: {transpose_a}) and {} (transposed: {transpose_b})",
                    a.shape, b.shape
                ),
            )),
        }
    }

    /// The same elements with another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements differs.
    pub fn reshape(&mut self, x: Var, to: Shape) -> Result<Var> {
        if x.shape.elements() != to.elements() {
            return Err(Error::shape(
                "reshape",
                format!("{} to {to}: the numbers of elements differ", x.shape),
            ));
        }
        Ok(if x.shape == to {
            x
        } else {
            self.push(Op::Reshape, &[x], to)
        })
    }

    /// Axis `i` of the result is axis `axes[i]` of `x`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `axes` is a permutation.
    pub fn transpose(&mut self, x: Var, axes: [usize; 4]) -> Result<Var> {
        let mut sorted = axes;
        sorted.sort_unstable();
        if sorted != [0, 1, 2, 3] {
            return Err(Error::shape(
                "transpose",
                format!("{axes:?} is not a permutation of the axes 0 to 3"),
            ));
        }
        Ok(if axes == sorted {
            x
        } else {
            self.push(Op::Transpose(axes), &[x], Shape(axes.map(|a| x.shape.0[a])))
        })
    }

    /// The range `start..start + len` along `axis`.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not lie inside.
    pub fn slice(&mut self, x: Var, axis: usize, start: usize, len: usize) -> Result<Var> {
        if axis > 3 || start + len > x.shape.0[axis] || len == 0 {
            return Err(Error::shape(
                "slice",
                format!("{start}..{} along axis {axis} of {}", start + len, x.shape),
            ));
        }
        Ok(if len == x.shape.0[axis] {
            x
        } else {
            self.push(Op::Slice { axis, start }, &[x], x.shape.with(axis, len))
        })
    }

    /// `x` embedded in zeros: `total` along `axis`, `before` of them in front.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not fit.
    pub fn pad(&mut self, x: Var, axis: usize, before: usize, total: usize) -> Result<Var> {
        if axis > 3 || before + x.shape.0[axis] > total {
            return Err(Error::shape(
                "pad",
                format!("{} at {before} of {total} along axis {axis}", x.shape),
            ));
        }
        Ok(if total == x.shape.0[axis] {
            x
        } else {
            self.push(Op::Pad { axis, before }, &[x], x.shape.with(axis, total))
        })
    }

    /// The parts one after another along `axis`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are none, or they differ along another axis.
    pub fn concat(&mut self, parts: &[Var], axis: usize) -> Result<Var> {
        let Some(first) = parts.first() else {
            return Err(Error::shape("concat", "nothing to join"));
        };
        for part in parts {
            if axis > 3 || part.shape.with(axis, 1) != first.shape.with(axis, 1) {
                return Err(Error::shape(
                    "concat",
                    format!(
                        "{} and {} differ beside axis {axis}",
                        first.shape, part.shape
                    ),
                ));
            }
        }
        let total = parts.iter().map(|p| p.shape.0[axis]).sum();
        Ok(if parts.len() == 1 {
            *first
        } else {
            self.push(Op::Concat { axis }, parts, first.shape.with(axis, total))
        })
    }

    /// The grid symmetry `g` applied to the image plane: `(T_g f)(x) = f(R^-1 x)`. Odd quarter
    /// turns exchange rows and columns.
    pub fn symmetry(&mut self, x: Var, g: GridSymmetry) -> Var {
        if g == GridSymmetry::IDENTITY {
            return x;
        }
        let Shape([n, c, h, w]) = x.shape;
        let shape = if g.quarter_turns % 2 == 1 {
            Shape::new(n, c, w, h)
        } else {
            x.shape
        };
        self.push(Op::Symmetry(g), &[x], shape)
    }

    // Forward operators.

    /// Ray transform of images (N 1 H W), in metres times the image's unit.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the image is the geometry's.
    pub fn ray_forward(&mut self, x: Var, geometry: &Arc<ParallelBeam>) -> Result<Var> {
        Self::check_beam("ray_forward", x.shape, geometry.image(x.shape.n()))?;
        let shape = geometry.sinogram(x.shape.n());
        Ok(self.push(Op::RayForward(geometry.clone()), &[x], shape))
    }

    /// The exact transpose of [`Tape::ray_forward`]; errors likewise.
    pub fn ray_adjoint(&mut self, y: Var, geometry: &Arc<ParallelBeam>) -> Result<Var> {
        Self::check_beam("ray_adjoint", y.shape, geometry.sinogram(y.shape.n()))?;
        let shape = geometry.image(y.shape.n());
        Ok(self.push(Op::RayAdjoint(geometry.clone()), &[y], shape))
    }

    /// Pixel-driven back-projection of sinograms (N 1 views bins): the sum over the views of the
    /// sinogram interpolated linearly at each pixel's detector coordinate, in the sinogram's unit;
    /// zero outside the detector.
    ///
    /// Unlike [`Tape::ray_adjoint`] it treats every pixel alike, which filtered back-projection
    /// needs; it is not the transpose of [`Tape::ray_forward`].
    ///
    /// # Errors
    /// [`Error::Shape`] unless the sinogram is the geometry's.
    pub fn ray_backproject(&mut self, y: Var, geometry: &Arc<ParallelBeam>) -> Result<Var> {
        Self::check_beam("ray_backproject", y.shape, geometry.sinogram(y.shape.n()))?;
        let shape = geometry.image(y.shape.n());
        Ok(self.push(Op::RayBackproject(geometry.clone()), &[y], shape))
    }

    /// The exact transpose of [`Tape::ray_backproject`].
    ///
    /// # Errors
    /// [`Error::Shape`] unless the image is the geometry's.
    pub fn ray_backproject_transpose(
        &mut self,
        x: Var,
        geometry: &Arc<ParallelBeam>,
    ) -> Result<Var> {
        let op = "ray_backproject_transpose";
        Self::check_beam(op, x.shape, geometry.image(x.shape.n()))?;
        let shape = geometry.sinogram(x.shape.n());
        Ok(self.push(Op::RayBackprojectTranspose(geometry.clone()), &[x], shape))
    }

    fn check_beam(op: &'static str, found: Shape, expected: Shape) -> Result<()> {
        (found == expected)
            .then_some(())
            .ok_or_else(|| Error::shape(op, format!("{found} where the geometry has {expected}")))
    }

    // Random numbers and the optimiser.

    /// Random numbers of shape `to` from draw number `draw` (a scalar holding an integer below
    /// 2^24), on `stream`, under the key `seed`. Poisson is [`Tape::poisson`].
    ///
    /// # Errors
    /// [`Error::Shape`] if `draw` is no scalar or the distribution needs means.
    pub fn random(
        &mut self,
        distribution: Distribution,
        draw: Var,
        seed: u64,
        stream: u32,
        to: Shape,
    ) -> Result<Var> {
        if draw.shape != Shape::SCALAR || distribution == Distribution::Poisson {
            return Err(Error::shape(
                "random",
                format!(
                    "draw {} for {distribution:?}: a scalar, and uniform or normal",
                    draw.shape
                ),
            ));
        }
        let op = Op::Random {
            distribution,
            seed,
            stream,
        };
        Ok(self.push(op, &[draw], to))
    }

    /// Poisson random numbers with the given means, 0 to 1e6; otherwise as [`Tape::random`].
    ///
    /// # Errors
    /// [`Error::Shape`] if `draw` is no scalar.
    pub fn poisson(&mut self, draw: Var, means: Var, seed: u64, stream: u32) -> Result<Var> {
        if draw.shape != Shape::SCALAR {
            return Err(Error::shape("random", format!("draw {}", draw.shape)));
        }
        let op = Op::Random {
            distribution: Distribution::Poisson,
            seed,
            stream,
        };
        Ok(self.push(op, &[draw, means], means.shape))
    }

    /// Gives `state` the value of `value`, in place; the result is the new value. With it a plan
    /// carries its iterates from replay to replay on the device.
    ///
    /// What is recorded before reads the old value. Afterwards use the result: reading `state`
    /// itself is refused when the plan is compiled.
    ///
    /// # Errors
    /// [`Error::Shape`] if `state` is no state or the shapes differ.
    pub fn assign(&mut self, state: Var, value: Var) -> Result<Var> {
        if !matches!(self.nodes[state.index].op, Op::State(_)) || state.shape != value.shape {
            return Err(Error::shape(
                "assign",
                format!(
                    "{} of {} to {} of {}: the target must be a state of the value's shape",
                    self.nodes[value.index].op.name(),
                    value.shape,
                    self.nodes[state.index].op.name(),
                    state.shape
                ),
            ));
        }
        // One dispatch must not bind a buffer twice, so what only views a state is copied first.
        let mut source = value.index;
        while matches!(self.nodes[source].op, Op::Reshape | Op::Slice { .. }) {
            source = self.nodes[source].inputs[0];
        }
        let source = &self.nodes[source].op;
        let value = if matches!(source, Op::State(_)) || source.updates() > 0 {
            self.scale(value, 1.0)
        } else {
            value
        };
        Ok(self.push(Op::Assign, &[state, value], state.shape))
    }

    /// One step of Adam in place on the states `theta`, `m`, `v` with the gradient `gradient`;
    /// `rates` holds `lr / (1 - beta1^t)` and `1 / sqrt(1 - beta2^t)`. The result is the new theta.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes differ or one of the three is not a state.
    pub fn adam(
        &mut self,
        [theta, m, v]: [Var; 3],
        gradient: Var,
        rates: Var,
        constants: AdamConstants,
    ) -> Result<Var> {
        for x in [theta, m, v] {
            if !matches!(self.nodes[x.index].op, Op::State(_)) || x.shape != gradient.shape {
                return Err(Error::shape(
                    "adam",
                    format!(
                        "theta, m and v must be states of the gradient's shape {}; found {} of {}",
                        gradient.shape,
                        self.nodes[x.index].op.name(),
                        x.shape
                    ),
                ));
            }
        }
        if rates.shape != Shape::vector(2) {
            return Err(Error::shape("adam", format!("rates {}", rates.shape)));
        }
        Ok(self.push(
            Op::Adam(constants),
            &[theta, m, v, gradient, rates],
            theta.shape,
        ))
    }
}
