//! Sums and maxima.

use crate::check::Check;
use crate::check::harness::{Case, Problem, close, exact, wide};
use crate::kernels::reduce::{self, Reduction};
use crate::reference::reduce as twin;
use crate::shape::Shape;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, kind) in [("sum", Reduction::Sum), ("max", Reduction::Max)] {
        // Few terms and many, with every subset of the axes.
        let each = |xs| (1..16).map(move |axes| case(kind, xs, axes, false));
        let few = each(Shape::new(2, 3, 4, 5));
        let tree = each(Shape::new(2, 7, 31, 37));
        // The same in fours.
        let fours = each(Shape::new(2, 3, 5, 4)).chain(each(Shape::new(2, 7, 31, 36)));
        // Around the ends of a thread's and a workgroup's share: 8, 64, 2048, 16384.
        let lengths = [
            1, 2, 8, 9, 10, 63, 64, 65, 127, 128, 2047, 2048, 2049, 2052, 4097, 8193, 16_383,
            16_384, 16_385, 16_388,
        ];
        let ends = lengths.map(|len| case(kind, Shape::new(1, 2, 1, len), 0b1000, false));
        // 2048 terms for each workgroup, twice over.
        let levels = [(397, 401), (400, 404)]
            .map(|(h, w)| case(kind, Shape::new(1, 2, h, w), 0b1100, false));
        checks.push(Check::kernel(
            format!("reduce/{name}/axes"),
            few.chain(tree).chain(fours),
        ));
        let shapes = [Shape::new(2, 7, 31, 37), Shape::new(2, 7, 31, 36)];
        let textures = shapes
            .into_iter()
            .flat_map(|xs| [0b1101, 0b1000, 0b0111, 0b0011].map(|axes| case(kind, xs, axes, true)));
        checks.push(Check::kernel(format!("reduce/{name}/textures"), textures));
        checks.push(Check::kernel(format!("reduce/{name}/lengths"), ends));
        checks.push(Check::kernel(format!("reduce/{name}/levels"), levels));
    }
    checks
}

/// Roundings on the way of one term: 32 and 8 in its thread and 6 in the tree, or 8 and 8, in each
/// of at most two levels.
const ROUNDINGS: f64 = 2.0 * (32.0 + 8.0 + 6.0);

/// `axes` has a bit for every axis that is reduced.
fn case(kind: Reduction, xs: Shape, axes: usize, texture: bool) -> Case {
    let kept = |axis: usize| if axes >> axis & 1 == 1 { 1 } else { xs.0[axis] };
    let out = Shape(std::array::from_fn(kept));
    let lowered = reduce::reduce(kind, xs, out, texture);
    Case::new(format!("{kind:?} {xs} to {out}"), lowered, move |noise| {
        let x = noise.signed(xs.elements());
        let judge = match kind {
            Reduction::Sum => close(twin::sum(&wide(&x), xs, out), ROUNDINGS),
            Reduction::Max => exact(twin::max(&wide(&x), xs, out)),
        };
        Problem::new(vec![x], out.elements(), judge)
    })
}
