//! Equivariant convolution as a fast algorithm: in the Fourier domain of the group.
//!
//! Write `v_g = f_g(x + R_g p)` for a tap `p`: channel `g` of a regular field, read where `g` takes
//! the tap. The kernel constraint makes the layer a sum over taps of convolutions on the group,
//!
//! ```text
//! out_h(x) = sum over p, g of w_p(g^-1 h) v_g,      w_p(k) = K[k, e](p),
//! ```
//!
//! and the Fourier transform over the group, `F(v)(rho) = sum_g v_g rho(g)`, turns each of them into
//! one small matrix product for each irrep: `F(out) = sum_p F(v) F(w_p)`. For C4 that is 6 products
//! instead of 16. The transforms themselves are butterflies of additions, those of `v` are shared by
//! all output fields, the one of `out` is needed once, and those of `w` are done when the weights
//! are packed. `docs/symmetric-convolution.md` derives all of this and counts the operations.
//!
//! Every table here follows from the matrices of the irreps; none is typed in.

mod transform;

use super::{Group, Irrep, KernelBasis, Representation};
use crate::error::{Error, Result};
use crate::shape::{Padding, Window};
use std::collections::HashMap;
use std::sync::Arc;
use transform::Transform;

/// How a group acts on the fields of a [`SymmetricConv`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FieldKind {
    /// One channel that stays.
    Trivial,
    /// One channel for each element of the group.
    Regular,
}

impl FieldKind {
    /// The kind of `representation`, if it is one of the two.
    pub fn of(representation: &Representation) -> Option<Self> {
        match representation {
            Representation::Trivial => Some(FieldKind::Trivial),
            Representation::Regular => Some(FieldKind::Regular),
            _ => None,
        }
    }

    /// Channels of a field.
    pub const fn size(self, group: Group) -> usize {
        match self {
            FieldKind::Trivial => 1,
            FieldKind::Regular => group.order(),
        }
    }
}

/// A convolution between trivial and regular fields of a group that maps the pixel grid to itself,
/// given by the coefficients of a basis of equivariant kernels.
///
/// Images are `N C H W` with `C` = fields times their size; the weight is `1 FO FI B`: output
/// fields, input fields, basis elements.
#[derive(Clone, PartialEq, Debug)]
pub struct SymmetricConv {
    group: Group,
    input: FieldKind,
    output: FieldKind,
    window: Window,
    basis: Arc<KernelBasis>,
}

impl SymmetricConv {
    /// The convolution of stride 1 whose kernels `basis` spans.
    ///
    /// # Errors
    /// [`Error::Config`] if the group does not map the grid to itself, the basis is of another
    /// shape, or an element of it does not satisfy the kernel constraint.
    pub fn new(
        group: Group,
        input: FieldKind,
        output: FieldKind,
        basis: Arc<KernelBasis>,
        padding: Padding,
    ) -> Result<Self> {
        let [_, outputs, inputs, size, _] = basis.shape();
        if !group.on_grid() {
            return Err(Error::Config(format!(
                "a symmetric convolution needs a group that maps the pixel grid to itself, and {group} does not"
            )));
        }
        if [outputs, inputs] != [output.size(group), input.size(group)] {
            return Err(Error::Config(format!(
                "a basis of {outputs} by {inputs} channels is not one of {output:?} and {input:?} fields of {group}"
            )));
        }
        let conv = SymmetricConv {
            group,
            input,
            output,
            window: Window::same(size, padding),
            basis,
        };
        let violation = conv.violation();
        if violation.is_nan() || violation > 1e-6 {
            return Err(Error::Config(format!(
                "the basis does not commute with {group}: an element misses the kernel constraint by {violation:.1e}"
            )));
        }
        Ok(conv)
    }

    /// The largest miss of `k(R_g p) = rho_out(g) k(p) rho_in(g)^-1` over all elements of the basis
    /// and the generators `g` of the group, from which the constraint follows for all of it.
    fn violation(&self) -> f64 {
        let entries = self.basis.elements().len() / self.basis.len().max(1);
        let rotation = (self.group.rotations() > 1).then_some(1);
        let mirror = self.group.has_mirrors().then_some(self.group.rotations());
        let mut largest = 0.0f64;
        for g in rotation.into_iter().chain(mirror) {
            let mut there = Vec::with_capacity(entries);
            for o in 0..self.output.size(self.group) {
                for i in 0..self.input.size(self.group) {
                    let [o, i] = self.moved([o, i], g);
                    there.extend(self.taps().map(|p| self.entry(o, i, self.turned(g, p))));
                }
            }
            for element in self.basis.elements().chunks(entries.max(1)) {
                for (here, &there) in element.iter().zip(&there) {
                    let miss = (here - element[there]).abs();
                    largest = if miss.is_nan() {
                        miss
                    } else {
                        largest.max(miss)
                    };
                }
            }
        }
        largest
    }

    fn moved(&self, [o, i]: [usize; 2], g: usize) -> [usize; 2] {
        let moved = |kind: FieldKind, k: usize| match kind {
            FieldKind::Trivial => 0,
            FieldKind::Regular => self.group.product(g, k),
        };
        [moved(self.output, o), moved(self.input, i)]
    }

    /// The group.
    pub fn group(&self) -> Group {
        self.group
    }

    /// What comes in.
    pub fn input(&self) -> FieldKind {
        self.input
    }

    /// What goes out.
    pub fn output(&self) -> FieldKind {
        self.output
    }

    /// Kernel size and padding; the stride is 1.
    pub fn window(&self) -> Window {
        self.window
    }

    /// The kernels that the coefficients belong to.
    pub fn basis(&self) -> &KernelBasis {
        &self.basis
    }

    /// The transpose in the image, as another convolution of the kind: its kernel is
    /// `K'[i, o](p) = K[o, i](-p)`, its padding zero. Its weight is `1 FI FO B`, the same numbers.
    pub fn transposed(&self) -> SymmetricConv {
        let [len, outputs, inputs, size, _] = self.basis.shape();
        let taps = size * size;
        let mut elements = Vec::with_capacity(self.basis.elements().len());
        for b in 0..len {
            for i in 0..inputs {
                for o in 0..outputs {
                    let start = ((b * outputs + o) * inputs + i) * taps;
                    let kernel = &self.basis.elements()[start..start + taps];
                    elements.extend(kernel.iter().rev());
                }
            }
        }
        SymmetricConv {
            group: self.group,
            input: self.output,
            output: self.input,
            window: Window::same(size, Padding::Zero),
            basis: Arc::new(KernelBasis::from_elements(
                len,
                [inputs, outputs, size, size],
                elements,
            )),
        }
    }

    /// The taps as points, `y` up.
    fn taps(&self) -> impl Iterator<Item = [i32; 2]> + use<> {
        let r = self.window.radius() as i32;
        (-r..=r)
            .rev()
            .flat_map(move |y| (-r..=r).map(move |x| [x, y]))
    }

    /// `R_g p`.
    fn turned(&self, g: usize, [x, y]: [i32; 2]) -> [i32; 2] {
        let [[a, b], [c, d]] = self.group.matrix(g).map(|row| row.map(|v| v as i32));
        [a * x + b * y, c * x + d * y]
    }

    /// Where `[o, i](p)` stands in a basis element.
    fn entry(&self, o: usize, i: usize, [x, y]: [i32; 2]) -> usize {
        let [_, _, inputs, size, _] = self.basis.shape();
        let r = self.window.radius() as i32;
        let (row, column) = ((r - y) as usize, (r + x) as usize);
        ((o * inputs + i) * size + row) * size + column
    }

    /// Entry `[o, i](p)` of basis element `b`.
    fn element(&self, b: usize, o: usize, i: usize, p: [i32; 2]) -> f64 {
        let [_, outputs, inputs, size, _] = self.basis.shape();
        self.basis.elements()[b * outputs * inputs * size * size + self.entry(o, i, p)]
    }
}

/// A pixel of the window: channel of the input field, row and column.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Load {
    /// Channel of the field.
    pub channel: usize,
    /// Row of the window, from its top.
    pub row: usize,
    /// Column of the window.
    pub column: usize,
}

/// The sum or difference of two nodes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sum {
    /// The first node.
    pub a: usize,
    /// The second one.
    pub b: usize,
    /// It is subtracted.
    pub minus: bool,
}

/// One product: `components[component] += +-weights[weight] * node`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Term {
    /// Of the output field's transform.
    pub component: usize,
    /// The factor from the image.
    pub node: usize,
    /// The factor from the packed weights of a pair of fields.
    pub weight: usize,
    /// The product is subtracted.
    pub minus: bool,
}

/// Two components that are replaced by their sum and their difference, in place.
pub type Butterfly = [usize; 2];

/// A [`SymmetricConv`] as a straight-line program.
///
/// For each input field: node `k` is load `k`, further nodes are the sums in order; each term is
/// then one multiply-add for each output field. At the end the butterflies of
/// [`synthesis`](Self::synthesis), in order, turn the components of an output field into its
/// channels.
///
/// The order of all additions is kept under the group up to signs, so that outputs are equivariant
/// to the bit. Every stage pairs elements `g` and `g z`; moving the image multiplies from the left,
/// which takes pairs to pairs, and a sum of two numbers does not depend on their order.
#[derive(Clone, PartialEq, Debug)]
pub struct SymmetricTable {
    /// Pixels that are read.
    pub loads: Vec<Load>,
    /// Nodes made from earlier ones.
    pub sums: Vec<Sum>,
    /// Products, by component.
    pub terms: Vec<Term>,
    /// Components of an output field, as many as it has channels.
    pub components: usize,
    /// What makes channels of components, and being its own transpose in each stage, what makes
    /// components of the gradient at the channels when it runs backwards.
    pub synthesis: Vec<Butterfly>,
    /// Packed weights of a pair of fields.
    pub weights: usize,
    /// The packed weights as combinations of the coefficients, `weights` rows.
    pub change: Vec<f64>,
}

impl SymmetricTable {
    /// The program of `conv`.
    pub fn new(conv: &SymmetricConv) -> Self {
        Derivation::new(conv).finish()
    }

    /// Multiply-adds of a pixel for each pair of fields.
    pub fn products(&self) -> usize {
        self.terms.len()
    }
}

/// `factor` times a node, or zero.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Multiple {
    node: usize,
    factor: i32,
}

struct Derivation<'a> {
    conv: &'a SymmetricConv,
    transform: Transform,
    nodes: Nodes,
    /// Component, node and the weight as a combination of the coefficients, in order.
    products: Vec<(usize, usize, Vec<f64>)>,
}

/// Nodes of the program, each made once.
#[derive(Default)]
struct Nodes {
    loads: Vec<Load>,
    sums: Vec<Sum>,
    known: HashMap<Sum, usize>,
}

impl Nodes {
    fn load(&mut self, load: Load) -> usize {
        self.loads
            .iter()
            .position(|l| *l == load)
            .unwrap_or_else(|| {
                debug_assert!(self.sums.is_empty(), "loads come first");
                self.loads.push(load);
                self.loads.len() - 1
            })
    }

    /// `a + b`, or `a - b`.
    fn sum(&mut self, a: Multiple, b: Multiple, minus: bool) -> Multiple {
        let b = Multiple {
            node: b.node,
            factor: if minus { -b.factor } else { b.factor },
        };
        if a.factor == 0 {
            return b;
        }
        if b.factor == 0 {
            return a;
        }
        if a.node == b.node {
            return Multiple {
                node: a.node,
                factor: a.factor + b.factor,
            };
        }
        debug_assert_eq!(a.factor.abs(), b.factor.abs(), "an orbit weighs all alike");
        let minus = a.factor != b.factor;
        let (first, second, factor) = match a.node < b.node {
            true => (a.node, b.node, a.factor),
            false => (b.node, a.node, b.factor),
        };
        let sum = Sum {
            a: first,
            b: second,
            minus,
        };
        let next = self.loads.len() + self.sums.len();
        let node = *self.known.entry(sum).or_insert(next);
        if node == next {
            self.sums.push(sum);
        }
        Multiple { node, factor }
    }
}

impl<'a> Derivation<'a> {
    fn new(conv: &'a SymmetricConv) -> Self {
        let mut derivation = Derivation {
            conv,
            transform: Transform::new(conv.group),
            nodes: Nodes::default(),
            products: Vec::new(),
        };
        // All loads first: their numbers come before those of the sums.
        let taps = derivation.representatives();
        let loads: Vec<Vec<usize>> = (taps.iter())
            .map(|&p| {
                (0..conv.group.order())
                    .map(|g| derivation.load(g, p))
                    .collect()
            })
            .collect();
        for (&p, loads) in taps.iter().zip(&loads) {
            derivation.tap(p, loads);
        }
        derivation
    }

    /// The taps that the sum runs over: all for regular input, else one of each orbit.
    fn representatives(&self) -> Vec<[i32; 2]> {
        let conv = self.conv;
        let orbits = 0..conv.group.order();
        let is_first = |p: [i32; 2]| {
            let smallest = orbits.clone().map(|g| conv.turned(g, p)).min();
            smallest == Some(p)
        };
        (conv.taps())
            .filter(|&p| conv.input == FieldKind::Regular || is_first(p))
            .collect()
    }

    fn load(&mut self, g: usize, p: [i32; 2]) -> usize {
        let r = self.conv.window.radius() as i32;
        let [x, y] = self.conv.turned(g, p);
        self.nodes.load(Load {
            channel: match self.conv.input {
                FieldKind::Trivial => 0,
                FieldKind::Regular => g,
            },
            row: (r - y) as usize,
            column: (r + x) as usize,
        })
    }

    /// The products of one tap.
    fn tap(&mut self, p: [i32; 2], loads: &[usize]) {
        let conv = self.conv;
        let group = conv.group;
        let mut nodes: Vec<Multiple> = (loads.iter())
            .map(|&node| Multiple { node, factor: 1 })
            .collect();
        for stage in &self.transform.stages {
            for &[a, b] in stage {
                let (x, y) = (nodes[a], nodes[b]);
                nodes[a] = self.nodes.sum(x, y, false);
                nodes[b] = self.nodes.sum(x, y, true);
            }
        }
        let stabiliser = (0..group.order()).filter(|&g| conv.turned(g, p) == p);
        let share = match conv.input {
            FieldKind::Regular => 1.0,
            FieldKind::Trivial => 1.0 / stabiliser.count() as f64,
        };
        if conv.output == FieldKind::Trivial {
            // Only the trivial irrep comes out: the sum over the group.
            let ones = vec![1; group.order()];
            let (component, sign) = (self.transform.component(&ones)).expect("the trivial irrep");
            let weight: Vec<f64> = (0..conv.basis.len())
                .map(|b| share * conv.element(b, 0, 0, p))
                .collect();
            self.product(0, nodes[component], sign, weight);
            return;
        }
        let mut done = vec![false; group.order()];
        for irrep in group.irreps() {
            let d = irrep.dimension();
            for j in 0..d {
                for i in 0..d {
                    let (component, sign) = self.entry(irrep, i, j);
                    if std::mem::replace(&mut done[component], true) {
                        continue;
                    }
                    let norm: i32 = self.transform.rows[component].iter().map(|v| v * v).sum();
                    let scale = share / f64::from(norm);
                    for k in 0..d {
                        let (factor, other) = self.entry(irrep, i, k);
                        let weight = self.weight(irrep, [k, j], p);
                        let weight = weight.into_iter().map(|w| scale * w).collect();
                        self.product(component, nodes[factor], sign * other, weight);
                    }
                }
            }
        }
    }

    /// The component that is entry `(i, j)` of the transform at `irrep`, up to sign.
    fn entry(&self, irrep: Irrep, i: usize, j: usize) -> (usize, i32) {
        let functional: Vec<i32> = (0..self.conv.group.order())
            .map(|g| irrep.matrix(g)[i * irrep.dimension() + j].round() as i32)
            .collect();
        (self.transform.component(&functional))
            .expect("butterflies reach every entry of every irrep of an on-grid group")
    }

    /// Entry `(k, j)` of `sum_h w_p(h) rho(h)` as a combination of the coefficients.
    fn weight(&self, irrep: Irrep, [k, j]: [usize; 2], p: [i32; 2]) -> Vec<f64> {
        let conv = self.conv;
        (0..conv.basis.len())
            .map(|b| {
                (0..conv.group.order())
                    .map(|h| irrep.matrix(h)[k * irrep.dimension() + j] * conv.element(b, h, 0, p))
                    .sum()
            })
            .collect()
    }

    fn product(&mut self, component: usize, factor: Multiple, sign: i32, weight: Vec<f64>) {
        let scale = f64::from(sign * factor.factor);
        if scale == 0.0 {
            return;
        }
        let weight = weight.into_iter().map(|w| scale * w);
        let known =
            (self.products.iter_mut()).find(|(c, node, _)| *c == component && *node == factor.node);
        match known {
            Some((_, _, sum)) => sum.iter_mut().zip(weight).for_each(|(s, w)| *s += w),
            None => (self.products).push((component, factor.node, weight.collect())),
        }
    }

    fn finish(self) -> SymmetricTable {
        let (group, output) = (self.conv.group, self.conv.output);
        let mut rows: Vec<Vec<f64>> = Vec::new();
        let mut terms = Vec::new();
        for (component, node, weight) in self.products {
            let close = |row: &[f64], sign: f64| {
                (row.iter().zip(&weight)).all(|(a, b)| (a - sign * b).abs() < 1e-12)
            };
            // No kernel of the basis has this weight: the term is zero.
            if close(&vec![0.0; weight.len()], 1.0) {
                continue;
            }
            let found = rows.iter().enumerate().find_map(|(k, row)| {
                [1.0, -1.0]
                    .into_iter()
                    .find(|&sign| close(row, sign))
                    .map(|sign| (k, sign < 0.0))
            });
            let (weight, minus) = found.unwrap_or_else(|| {
                rows.push(weight);
                (rows.len() - 1, false)
            });
            terms.push(Term {
                component,
                node,
                weight,
                minus,
            });
        }
        // Within a component the order of the taps, and in each that of the irrep's columns.
        terms.sort_by_key(|t| t.component);
        let synthesis = match output {
            FieldKind::Trivial => Vec::new(),
            FieldKind::Regular => self.transform.stages.into_iter().rev().flatten().collect(),
        };
        SymmetricTable {
            loads: self.nodes.loads,
            sums: self.nodes.sums,
            terms,
            components: output.size(group),
            synthesis,
            weights: rows.len(),
            change: rows.concat(),
        }
    }
}

#[cfg(test)]
mod tests;
