//! Recording convolutions, matrix products, ray transforms and affine maps of images.

use super::{Tape, Var};
use crate::error::{Error, Result};
use crate::group::SymmetricConv;
use crate::shape::{Maps, RayGeometry, Shape, Window};
use crate::tape::op::Op;
use std::sync::Arc;

impl Tape {
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

    // Symmetric convolution.

    /// What must hold for an image, a weight and an output of `conv`.
    fn check_symmetric(
        op: &'static str,
        conv: &SymmetricConv,
        [x, w, y]: [Shape; 3],
    ) -> Result<()> {
        let (inputs, outputs) = (
            conv.input().size(conv.group()),
            conv.output().size(conv.group()),
        );
        let fits = w.n() == 1
            && w.w() == conv.basis().len()
            && w.h() * inputs == x.c()
            && conv.window().output(x, w.c() * outputs) == y;
        if fits && x.elements() > 0 && w.elements() > 0 {
            return Ok(());
        }
        Err(Error::shape(
            op,
            format!(
                "image {x}, weight {w} (1, output fields, input fields, {} coefficients) and output {y} do not fit fields of {inputs} and {outputs} channels",
                conv.basis().len()
            ),
        ))
    }

    /// The convolution of `x` (N C H W) with the kernels that the weight `w` (1 FO FI B) combines from
    /// the layer's basis.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels or the coefficients do not fit.
    pub fn symmetric_conv(&mut self, x: Var, w: Var, conv: &Arc<SymmetricConv>) -> Result<Var> {
        let outputs = w.shape.c() * conv.output().size(conv.group());
        let y = conv.window().output(x.shape, outputs);
        Self::check_symmetric("symmetric_conv", conv, [x.shape, w.shape, y])?;
        Ok(self.push(Op::SymmetricConv(conv.clone()), &[x, w], y))
    }

    /// The transpose of [`Tape::symmetric_conv`] in its image, of shape `to`; errors likewise.
    pub fn symmetric_conv_input_gradient(
        &mut self,
        dy: Var,
        w: Var,
        conv: &Arc<SymmetricConv>,
        to: Shape,
    ) -> Result<Var> {
        let op = Op::SymmetricConvInputGradient(conv.clone());
        Self::check_symmetric(op.name(), conv, [to, w.shape, dy.shape])?;
        Ok(self.push(op, &[dy, w], to))
    }

    /// The transpose of [`Tape::symmetric_conv`] in its weight, of shape `to`; errors likewise.
    pub fn symmetric_conv_weight_gradient(
        &mut self,
        x: Var,
        dy: Var,
        conv: &Arc<SymmetricConv>,
        to: Shape,
    ) -> Result<Var> {
        let op = Op::SymmetricConvWeightGradient(conv.clone());
        Self::check_symmetric(op.name(), conv, [x.shape, to, dy.shape])?;
        Ok(self.push(op, &[x, dy], to))
    }

    // Matrix product.

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

    // Ray transforms.

    /// Ray transform of images (N 1 H W), in metres times the image's unit.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the image is the geometry's, and if the geometry cannot be: see
    /// [`RayGeometry::check`].
    pub fn ray_forward(&mut self, x: Var, geometry: &Arc<RayGeometry>) -> Result<Var> {
        let (image, sinogram) = Self::ray_shapes(geometry, x)?;
        self.push_ray(Op::RayForward(geometry.clone()), x, image, sinogram)
    }

    /// The exact transpose of [`Tape::ray_forward`]; errors likewise.
    pub fn ray_adjoint(&mut self, y: Var, geometry: &Arc<RayGeometry>) -> Result<Var> {
        let (image, sinogram) = Self::ray_shapes(geometry, y)?;
        self.push_ray(Op::RayAdjoint(geometry.clone()), y, sinogram, image)
    }

    /// Pixel-driven back-projection of sinograms (N 1 views bins): the sum over the views of the
    /// sinogram interpolated linearly at each pixel's detector coordinate, in the sinogram's unit;
    /// zero outside the detector. Fan beams weight every view by the pixel's distance from the
    /// source: see [`Sighting::weight`](crate::shape::Sighting::weight).
    ///
    /// Unlike [`Tape::ray_adjoint`] it treats every pixel alike, which filtered back-projection
    /// needs; it is not the transpose of [`Tape::ray_forward`]. Errors likewise.
    pub fn ray_backproject(&mut self, y: Var, geometry: &Arc<RayGeometry>) -> Result<Var> {
        let (image, sinogram) = Self::ray_shapes(geometry, y)?;
        self.push_ray(Op::RayBackproject(geometry.clone()), y, sinogram, image)
    }

    /// The exact transpose of [`Tape::ray_backproject`]; errors likewise.
    pub fn ray_backproject_transpose(
        &mut self,
        x: Var,
        geometry: &Arc<RayGeometry>,
    ) -> Result<Var> {
        let (image, sinogram) = Self::ray_shapes(geometry, x)?;
        let op = Op::RayBackprojectTranspose(geometry.clone());
        self.push_ray(op, x, image, sinogram)
    }

    /// Image and sinogram of as many items as `of` has, of a geometry that can be.
    fn ray_shapes(geometry: &RayGeometry, of: Var) -> Result<(Shape, Shape)> {
        geometry.check()?;
        let n = of.shape.n();
        Ok((geometry.image(n), geometry.sinogram(n)))
    }

    fn push_ray(&mut self, op: Op, x: Var, expected: Shape, shape: Shape) -> Result<Var> {
        if x.shape == expected {
            return Ok(self.push(op, &[x], shape));
        }
        let what = format!("{} where the geometry has {expected}", x.shape);
        Err(Error::shape(op.name(), what))
    }

    // Affine maps of images.

    /// The images `x` (N C H W) moved by the maps `maps` (N 1 5 4, made by [`Maps::of`]), one for
    /// each image and all of its channels: `(T f)(p) = f(M^-1 (p - o))` on the same grid, interpolated
    /// bilinearly, zero outside the image.
    ///
    /// Gradients reach `x` alone; one with respect to `maps` is a typed error.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one map for each image.
    pub fn warp(&mut self, x: Var, maps: Var) -> Result<Var> {
        self.push_warp(Op::Warp, x, maps)
    }

    /// The exact transpose of [`Tape::warp`] in its images, with the same weights: not the motion by
    /// the inverse maps. Errors likewise.
    pub fn warp_adjoint(&mut self, y: Var, maps: Var) -> Result<Var> {
        self.push_warp(Op::WarpAdjoint, y, maps)
    }

    fn push_warp(&mut self, op: Op, x: Var, maps: Var) -> Result<Var> {
        let expected = Maps::shape(x.shape.n());
        if maps.shape == expected && x.shape.elements() > 0 {
            return Ok(self.push(op, &[x, maps], x.shape));
        }
        Err(Error::shape(
            op.name(),
            format!(
                "images {} and maps {}: one map for each image is {expected}",
                x.shape, maps.shape
            ),
        ))
    }
}
