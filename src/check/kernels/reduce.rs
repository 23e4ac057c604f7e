//! Sums and maxima.

use crate::check::Check;
use crate::check::harness::{Case, Problem, close, exact, wide};
use crate::kernels::reduce::{self, Loads, Reduction};
use crate::reference::reduce as twin;
use crate::shape::Shape;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, kind) in [("sum", Reduction::Sum), ("max", Reduction::Max)] {
        // Few terms and many, with every subset of the axes.
        let each = |xs| (1..16).map(move |axes| case(kind, xs, axes, Loads::Serial));
        let few = each(Shape::new(2, 3, 4, 5));
        let tree = each(Shape::new(2, 7, 31, 37));
        // The same in fours.
        let fours = each(Shape::new(2, 3, 5, 4)).chain(each(Shape::new(2, 7, 31, 36)));
        // Around the ends of a thread's and a workgroup's share: 8, 64, 2048, 16384.
        let lengths = [
            1, 2, 8, 9, 10, 63, 64, 65, 127, 128, 2047, 2048, 2049, 2052, 4097, 8193, 16_383,
            16_384, 16_385, 16_388,
        ];
        let ends = lengths.map(|len| case(kind, Shape::new(1, 2, 1, len), 0b1000, Loads::Serial));
        // 2048 terms for each workgroup, twice over.
        let levels = [(397, 401), (400, 404)]
            .map(|(h, w)| case(kind, Shape::new(1, 2, h, w), 0b1100, Loads::Serial));
        checks.push(Check::kernel(
            format!("reduce/{name}/axes"),
            few.chain(tree).chain(fours),
        ));
        let shapes = [Shape::new(2, 7, 31, 37), Shape::new(2, 7, 31, 36)];
        let textures = shapes.into_iter().flat_map(|xs| {
            [0b1101, 0b1000, 0b0111, 0b0011].map(|axes| case(kind, xs, axes, Loads::Texture))
        });
        checks.push(Check::kernel(format!("reduce/{name}/textures"), textures));
        checks.push(Check::kernel(format!("reduce/{name}/lengths"), ends));
        // Hardware's: 256 threads, and 8 terms at once.
        let ahead = |xs, axes| case(kind, xs, axes, Loads::Ahead);
        let shapes = [Shape::new(2, 7, 31, 37), Shape::new(2, 7, 31, 36)];
        let axes = shapes
            .into_iter()
            .flat_map(|xs| (1..16).map(move |axes| ahead(xs, axes)));
        let lengths = [
            1, 7, 9, 64, 65, 255, 2047, 2049, 8191, 8196, 65_536, 65_537, 65_540,
        ];
        let lengths = lengths.map(|len| ahead(Shape::new(1, 2, 1, len), 0b1000));
        // Four threads to an output, which takes up to 256 terms.
        let shared = [33, 64, 65, 100, 255, 256, 257]
            .into_iter()
            .flat_map(|terms| {
                [5, 68].map(|outputs| ahead(Shape::new(1, terms, 1, outputs), 0b0010))
            });
        let ahead = axes.chain(lengths).chain(shared);
        checks.push(Check::kernel(format!("reduce/{name}/ahead"), ahead));
        checks.push(Check::kernel(format!("reduce/{name}/levels"), levels));
    }
    checks
}

/// Roundings on the way of one term: 32 and 8 in its thread and 8 in the tree, or 8 and 8, in each
/// of at most two levels.
const ROUNDINGS: f64 = 2.0 * (32.0 + 8.0 + 8.0);

/// `axes` has a bit for every axis that is reduced.
fn case(kind: Reduction, xs: Shape, axes: usize, loads: Loads) -> Case {
    let kept = |axis: usize| if axes >> axis & 1 == 1 { 1 } else { xs.0[axis] };
    let out = Shape(std::array::from_fn(kept));
    let lowered = reduce::reduce(kind, xs, out, loads);
    Case::new(format!("{kind:?} {xs} to {out}"), lowered, move |noise| {
        let x = noise.signed(xs.elements());
        let judge = match kind {
            Reduction::Sum => close(twin::sum(&wide(&x), xs, out), ROUNDINGS),
            Reduction::Max => exact(twin::max(&wide(&x), xs, out)),
        };
        Problem::new(vec![x], out.elements(), judge)
    })
}
