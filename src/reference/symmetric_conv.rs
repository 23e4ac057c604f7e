//! Convolution with kernels from a basis: expanded, then convolved as any other.

use super::{Twin, conv2d};
use crate::shape::{Shape, Window};

/// A basis of kernels between two kinds of fields, as a slice of elements `out in k k`.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The elements, one after another.
    pub elements: &'a [f64],
    /// Channels of an output field.
    pub outputs: usize,
    /// Channels of an input field.
    pub inputs: usize,
    /// How the kernels are moved over the image.
    pub window: Window,
}

impl Basis<'_> {
    /// Numbers of an element.
    fn entries(&self) -> usize {
        self.outputs * self.inputs * self.window.size * self.window.size
    }

    /// The shape of the expanded kernel for the weight `w` (1 FO FI B).
    pub fn kernel(&self, w: Shape) -> Shape {
        let size = self.window.size;
        Shape::new(w.c() * self.outputs, w.h() * self.inputs, size, size)
    }

    /// Calls `visit(weight, kernel, element)` for every nonzero entry of every element of every
    /// pair of fields.
    fn for_each(&self, w: Shape, mut visit: impl FnMut(usize, usize, f64)) {
        let [fo, fi, elements] = [w.c(), w.h(), w.w()];
        let taps = self.window.size * self.window.size;
        for o in 0..fo {
            for i in 0..fi {
                for b in 0..elements {
                    let element = &self.elements[b * self.entries()..(b + 1) * self.entries()];
                    for (k, &value) in element.iter().enumerate().filter(|(_, v)| **v != 0.0) {
                        let (row, column) = (k / (self.inputs * taps), k / taps % self.inputs);
                        let at =
                            (o * self.outputs + row) * fi * self.inputs + i * self.inputs + column;
                        visit((o * fi + i) * elements + b, at * taps + k % taps, value);
                    }
                }
            }
        }
    }

    /// The kernel of the weight `w` (1 FO FI B).
    pub fn expand(&self, w: &[f64], ws: Shape) -> Vec<f64> {
        let mut kernel = vec![0.0; self.kernel(ws).elements()];
        self.for_each(ws, |weight, entry, value| {
            kernel[entry] += value * w[weight]
        });
        kernel
    }
}

/// The convolution of `x` with the kernel of the weight `w`.
///
/// The magnitudes are those of all channels of a field together: an algorithm may sum over the
/// group before it takes the channels apart.
pub fn forward(basis: Basis, x: &[f64], xs: Shape, w: &[f64], ws: Shape) -> Twin {
    let kernel = basis.expand(w, ws);
    let twin = conv2d::forward(x, xs, &kernel, basis.kernel(ws), basis.window);
    let output = basis.window.output(xs, basis.kernel(ws).n());
    pooled(twin, output, basis.outputs)
}

/// The transpose of [`forward`] in `x`, which has the shape `xs`; magnitudes likewise.
pub fn input_gradient(
    basis: Basis,
    dy: &[f64],
    dys: Shape,
    w: &[f64],
    ws: Shape,
    xs: Shape,
) -> Twin {
    let kernel = basis.expand(w, ws);
    let twin = conv2d::input_gradient(dy, dys, &kernel, basis.kernel(ws), xs, basis.window);
    pooled(twin, xs, basis.inputs)
}

/// The transpose of [`forward`] in `w`, which has the shape `ws`. The magnitudes are those of all
/// coefficients of a pair of fields together.
pub fn weight_gradient(
    basis: Basis,
    x: &[f64],
    xs: Shape,
    dy: &[f64],
    dys: Shape,
    ws: Shape,
) -> Twin {
    let kernel = conv2d::weight_gradient(x, xs, dy, dys, basis.kernel(ws), basis.window);
    let mut twin = Twin::zeros(ws.elements());
    let mut magnitude = vec![0.0; ws.elements()];
    basis.for_each(ws, |weight, entry, value| {
        twin.value[weight] += value * kernel.value[entry];
        magnitude[weight] += value.abs() * kernel.magnitude[entry];
    });
    for (pair, sum) in (twin.magnitude.chunks_mut(ws.w())).zip(magnitude.chunks(ws.w())) {
        pair.fill(sum.iter().sum());
    }
    twin
}

/// `twin` of shape `shape` with the magnitudes of `size` neighbouring channels added up.
fn pooled(mut twin: Twin, shape: Shape, size: usize) -> Twin {
    let plane = shape.h() * shape.w();
    for field in twin.magnitude.chunks_mut(size * plane) {
        for p in 0..plane {
            let sum: f64 = (0..size).map(|c| field[c * plane + p]).sum();
            (0..size).for_each(|c| field[c * plane + p] = sum);
        }
    }
    twin
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::{assert_adjoint, noise};
    use crate::shape::Padding;

    #[test]
    fn transposes_are_transposes() {
        let window = Window::same(3, Padding::Replicate);
        let elements = noise(1, 5 * 2 * 3 * 9);
        let basis = Basis {
            elements: &elements,
            outputs: 2,
            inputs: 3,
            window,
        };
        let (xs, ws) = (Shape::new(2, 6, 4, 5), Shape::new(1, 3, 2, 5));
        let ys = window.output(xs, 6);
        let [x, w, dy] = [(xs, 2), (ws, 3), (ys, 4)].map(|(s, seed)| noise(seed, s.elements()));
        let y = forward(basis, &x, xs, &w, ws).value;
        let dx = input_gradient(basis, &dy, ys, &w, ws, xs).value;
        let dw = weight_gradient(basis, &x, xs, &dy, ys, ws).value;
        assert_adjoint(&y, &dy, &x, &dx);
        assert_adjoint(&y, &dy, &w, &dw);
    }
}
