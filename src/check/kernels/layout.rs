//! Rearrangements and grid symmetries: exact.

use crate::check::Check;
use crate::check::harness::{Case, Problem, exact, wide};
use crate::kernels::{Lowered, layout};
use crate::reference::layout as twin;
use crate::shape::{GridSymmetry, Shape};

pub(super) fn checks() -> Vec<Check> {
    // The last one moves in fours.
    let shapes = [
        Shape::new(2, 3, 5, 7),
        Shape::new(1, 6, 17, 13),
        Shape::new(2, 4, 3, 8),
    ];
    let each =
        |case: &dyn Fn(Shape) -> Vec<Case>| shapes.into_iter().flat_map(case).collect::<Vec<_>>();
    let broadcasts = [Shape::new(2, 3, 11, 7), Shape::new(2, 3, 5, 12)];
    let each_broadcast = broadcasts
        .into_iter()
        .flat_map(|out| (1..16).map(move |repeated| broadcast(out, repeated)));
    vec![
        Check::kernel("layout/copy", [1, 255, 256, 257, 4099].map(copy)),
        Check::kernel("layout/assign", [1, 256, 257, 4099].map(assign)),
        Check::kernel("layout/transpose", each(&transposes)),
        Check::kernel("layout/slice", each(&slices)),
        Check::kernel("layout/pad", each(&pads)),
        Check::kernel("layout/broadcast", each_broadcast),
        Check::kernel("layout/concat", each(&concats)),
        Check::kernel("layout/symmetry", each(&symmetries)),
    ]
}

/// One input of shape `xs`, rearranged.
fn case(
    label: String,
    lowered: Lowered,
    xs: Shape,
    twin: impl Fn(&[f64]) -> Vec<f64> + 'static,
) -> Case {
    Case::new(label, lowered, move |noise| {
        let x = noise.signed(xs.elements());
        let y = twin(&wide(&x));
        Problem::new(vec![x], y.len(), exact(y))
    })
}

fn copy(len: usize) -> Case {
    let shape = Shape::vector(len);
    case(
        format!("copy {len}"),
        layout::copy(shape),
        shape,
        <[f64]>::to_vec,
    )
}

/// A copy of the second input.
fn assign(len: usize) -> Case {
    let lowered = layout::assign(Shape::vector(len));
    Case::new(format!("assign {len}"), lowered, move |noise| {
        let (old, new) = (noise.signed(len), noise.signed(len));
        let judge = exact(wide(&new));
        Problem::new(vec![old, new], len, judge)
    })
}

fn transposes(xs: Shape) -> Vec<Case> {
    let all = (0..256).map(|i| [i / 64, i / 16 % 4, i / 4 % 4, i % 4]);
    let permutations = all.filter(|axes: &[usize; 4]| (0..4).all(|a| axes.contains(&a)));
    let one = |axes| {
        let lowered = layout::transpose(xs, axes);
        case(format!("transpose {xs} {axes:?}"), lowered, xs, move |x| {
            twin::transpose(x, xs, axes)
        })
    };
    permutations.map(one).collect()
}

fn slices(xs: Shape) -> Vec<Case> {
    let mut cases = Vec::new();
    for axis in 0..4 {
        let extent = xs.0[axis];
        for (start, len) in [(0, 1), (extent - 1, 1), (extent / 2, extent - extent / 2)] {
            let lowered = layout::slice(xs, xs.with(axis, len), axis, start);
            let label = format!("slice {xs} axis {axis} from {start} length {len}");
            cases.push(case(label, lowered, xs, move |x| {
                twin::slice(x, xs, axis, start, len)
            }));
        }
    }
    cases
}

fn pads(xs: Shape) -> Vec<Case> {
    let mut cases = Vec::new();
    for axis in 0..4 {
        for (before, after) in [(0, 1), (1, 0), (3, 2), (4, 8)] {
            let total = before + xs.0[axis] + after;
            let lowered = layout::pad(xs, xs.with(axis, total), axis, before);
            let label = format!("pad {xs} axis {axis} by {before} and {after}");
            cases.push(case(label, lowered, xs, move |x| {
                twin::pad(x, xs, axis, before, total)
            }));
        }
    }
    cases
}

/// `repeated` has a bit for every axis that is repeated.
fn broadcast(out: Shape, repeated: usize) -> Case {
    let kept = |axis: usize| {
        if repeated >> axis & 1 == 1 {
            1
        } else {
            out.0[axis]
        }
    };
    let xs = Shape(std::array::from_fn(kept));
    case(
        format!("broadcast {xs} to {out}"),
        layout::broadcast(xs, out),
        xs,
        move |x| twin::broadcast(x, xs, out),
    )
}

fn concats(xs: Shape) -> Vec<Case> {
    let one = |axis: usize| {
        let parts = [xs, xs.with(axis, 1), xs.with(axis, 4)];
        let total = parts.iter().map(|p| p.0[axis]).sum();
        let lowered = layout::concat(&parts, xs.with(axis, total), axis, &[]);
        Case::new(format!("concat {xs} axis {axis}"), lowered, move |noise| {
            let inputs: Vec<_> = parts.iter().map(|p| noise.signed(p.elements())).collect();
            let wide: Vec<_> = inputs.iter().map(|x| wide(x)).collect();
            let pairs: Vec<_> = wide.iter().map(Vec::as_slice).zip(parts).collect();
            let y = twin::concat(&pairs, axis);
            Problem::new(inputs, y.len(), exact(y))
        })
    };
    (0..4).map(one).collect()
}

fn symmetries(xs: Shape) -> Vec<Case> {
    let one = |g: GridSymmetry| {
        let lowered = layout::symmetry(xs, g.output(xs), g);
        case(format!("symmetry {xs} {g:?}"), lowered, xs, move |x| {
            twin::grid_symmetry(x, xs, g)
        })
    };
    GridSymmetry::ALL.into_iter().map(one).collect()
}
