//! Images moved by affine maps, and the transpose.

use crate::check::Check;
use crate::check::harness::{Case, Problem, close, exact, wide};
use crate::kernels::{Lowered, warp};
use crate::reference::{Twin, warp as twin};
use crate::shape::{Affine, Maps, Shape};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for kind in [FORWARD, ADJOINT] {
        for (name, shape, affines) in problems() {
            let cases = [false, true].map(|texture| {
                let label = format!("warp {} {name} texture {texture}", kind.name);
                case(kind, label, shape, affines.clone(), texture)
            });
            checks.push(Check::kernel(format!("warp/{}/{name}", kind.name), cases));
        }
    }
    checks
}

/// A kernel and its twin.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    kernel: fn(Shape, bool) -> Lowered,
    twin: fn(&[f64], Shape, &[f64]) -> Twin,
    transposed: bool,
}

const FORWARD: Kind = Kind {
    name: "forward",
    kernel: warp::forward,
    twin: twin::forward,
    transposed: false,
};

const ADJOINT: Kind = Kind {
    name: "adjoint",
    kernel: warp::adjoint,
    twin: twin::adjoint,
    transposed: true,
};

/// Name, images, and the map of each.
fn problems() -> Vec<(&'static str, Shape, Vec<Affine>)> {
    let turn = Affine::rotation;
    let general = Affine::shift(2.3, -1.6)
        .compose(turn(0.8))
        .compose(Affine::shear(0.4))
        .compose(Affine::scaling(0.8, -1.3));
    let exact = (-1..=4).map(|k| turn(f64::from(k) * FRAC_PI_2));
    let mirrored = exact.clone().map(|turn| turn.compose(Affine::mirror()));
    let shifts = [(3.0, 0.0), (0.0, -2.0), (-5.0, 4.0), (40.0, 0.0)];
    let shifts = shifts.into_iter().map(|(x, y)| Affine::shift(x, y));
    vec![
        (
            "angles",
            Shape::new(5, 1, 37, 23),
            [0.3, FRAC_PI_4, 1.9, -2.6, 1e-4].map(turn).into(),
        ),
        (
            "exact",
            Shape::new(16, 1, 9, 9),
            exact.chain(mirrored).chain(shifts).collect(),
        ),
        (
            "general",
            Shape::new(3, 2, 19, 32),
            vec![general, Affine::shear(-1.2), general.compose(turn(2.0))],
        ),
        (
            "shifts",
            Shape::new(3, 3, 8, 17),
            [(0.5, 0.25), (-7.9, 2.1), (16.4, -7.4)]
                .map(|(x, y)| Affine::shift(x, y))
                .into(),
        ),
        (
            "smaller",
            Shape::new(2, 4, 31, 16),
            vec![
                turn(0.5).compose(Affine::scaling(0.3, 0.6)),
                Affine::scaling(1.0 / 7.0, 0.9),
            ],
        ),
        (
            "larger",
            Shape::new(2, 1, 16, 33),
            vec![
                turn(-0.4).compose(Affine::scaling(3.7, 1.4)),
                Affine::scaling(1.1, 6.0),
            ],
        ),
        // The square around a pixel covers the whole image, or a line of it.
        (
            "extreme",
            Shape::new(4, 1, 12, 13),
            vec![
                turn(0.7).compose(Affine::scaling(1e5, 1e5)),
                turn(1.1).compose(Affine::scaling(1e4, 1e-4)),
                turn(0.2).compose(Affine::scaling(1e-5, 1e-5)),
                Affine::shift(0.3, 0.1).compose(Affine::scaling(1e-8, 1e8)),
            ],
        ),
        (
            "many-images",
            Shape::new(230, 1, 5, 3),
            (0..230).map(|k| turn(0.1 * f64::from(k))).collect(),
        ),
        // More workgroups than one dispatch may have.
        (
            "many-channels",
            Shape::new(1, 70_001, 1, 2),
            vec![Affine::shift(0.25, 0.5)],
        ),
        (
            "one-pixel",
            Shape::new(3, 2, 1, 1),
            vec![
                turn(1.0),
                Affine::shift(0.25, -0.5),
                Affine::scaling(9.0, 0.1),
            ],
        ),
    ]
}

fn case(kind: Kind, label: String, shape: Shape, affines: Vec<Affine>, texture: bool) -> Case {
    let lowered = (kind.kernel)(shape, texture);
    let is_exact = label.contains(" exact ");
    Case::new(label, lowered, move |noise| {
        let x = noise.signed(shape.elements());
        // Refused maps would be a bug of the list above, and fail the row.
        let maps = Maps::of(&affines).unwrap_or_default();
        let mut twin = (kind.twin)(&wide(&x), shape, &wide(&maps));
        let judge = match is_exact {
            true => exact(twin.value),
            false => {
                twin.magnitude = bounds(kind, &wide(&x), shape, &wide(&maps));
                close(twin, 1.0)
            }
        };
        Problem::new(vec![x, maps], shape.elements(), judge)
    })
}

/// For each result its roundings times the sum of its terms, with every weight replaced by 1: the
/// rounding of a place moves its weights by an absolute amount whatever their size. A term that the
/// rounded place may touch and the exact one does not counts as well.
fn bounds(kind: Kind, x: &[f64], shape: Shape, maps: &[f64]) -> Vec<f64> {
    let Shape([_, channels, rows, columns]) = shape;
    let plane = rows * columns;
    let (mut sums, mut counts) = (vec![0.0; x.len()], vec![0usize; x.len()]);
    let near = |place: f64, extent: usize| -> Vec<usize> {
        let index = |i: &usize| (place - *i as f64).abs() <= REACH;
        (0..extent).filter(index).collect()
    };
    for (n, map) in maps.chunks_exact(Maps::LEN).enumerate() {
        for output in 0..plane {
            let at = [
                (output % columns) as f64 - centre(columns),
                (output / columns) as f64 - centre(rows),
            ];
            let [column, row] = Maps::source(map, at);
            for r in near(row + centre(rows), rows) {
                for c in near(column + centre(columns), columns) {
                    for channel in 0..channels {
                        let first = (n * channels + channel) * plane;
                        let (input, output) = (first + r * columns + c, first + output);
                        let (from, to) = match kind.transposed {
                            false => (input, output),
                            true => (output, input),
                        };
                        sums[to] += x[from].abs();
                        counts[to] += 1;
                    }
                }
            }
        }
    }
    let image = channels * plane;
    let pairs = sums.iter().zip(counts).enumerate();
    pairs
        .map(|(i, (sum, count))| sum * roundings(shape, map_of(maps, i / image), count))
        .collect()
}

fn map_of(maps: &[f64], n: usize) -> &[f64] {
    &maps[n * Maps::LEN..][..Maps::LEN]
}

/// How far beyond its interval of length 1 a weight counts.
const REACH: f64 = 1.001;

/// Roundings of one of `terms` terms, in units of eps, which is two roundings to nearest of a number
/// about 1: of the fine part of the place (below 2^-12 of the extents), of the coarse part where it
/// exceeds what is exact, of the rest and the share (in each direction), of the products, and of the
/// sum, over the terms of a row and then over the rows.
fn roundings(shape: Shape, map: &[f64], terms: usize) -> f64 {
    let half = [centre(shape.w()) + 0.5, centre(shape.h()) + 0.5];
    let size = |m: usize, o: usize| {
        let place = map[m].abs() * half[0] + map[m + 1].abs() * half[1];
        place + map[o].abs() + half[0].max(half[1])
    };
    let coarse = size(0, 8).max(size(2, 9));
    let inexact = if coarse <= 2048.0 { 0.0 } else { 2.0 * coarse };
    let place = 2.0 * (half[0] + half[1]) / 4096.0 + inexact + 2.0;
    2.0 * place + 1.0 + terms.min(shape.h() + shape.w()) as f64 / 2.0
}

fn centre(extent: usize) -> f64 {
    (extent as f64 - 1.0) / 2.0
}
