//! Forward operators: adjointness, the dense matrix, the gradient of the data term, the norm.

use super::harness::{Noise, wide};
use super::{Check, Context, Measure, relative_error};
use crate::error::Result;
use crate::operators::{
    Blur, Boundary, Composed, Downsampling, FourierSampling, Inpainting, LinearOperator, Matrix,
    PointSpread, RayTransform, Stacked, diagnostics,
};
use crate::reference::ray_transform::matrix;
use crate::shape::{Affine, Detector, Fan, Maps, Projector, RayGeometry, Shape};
use crate::tape::plan::{Options, Plan};
use crate::tape::{Tape, Var};
use std::f64::consts::TAU;
use std::rc::Rc;

/// An operator and its dense matrix in f64, written down independently of it: rows are
/// measurements.
struct Entry {
    operator: Box<dyn LinearOperator>,
    matrix: Vec<f64>,
}

/// Makes an [`Entry`] when its row runs.
type Make = fn() -> Entry;

/// Every operator: one line each.
fn operators() -> Vec<(&'static str, Make)> {
    vec![
        ("ray_transform", || {
            ray_transform(RayGeometry::parallel([37, 37], 0.36, 23, 59))
        }),
        ("ray_transform/siddon", || {
            ray_transform(RayGeometry {
                projector: Projector::Siddon,
                pixel: [0.01, 0.012],
                angles: off_axis(),
                ..RayGeometry::parallel([33, 37], 0.36, 1, 59)
            })
        }),
        ("ray_transform/fan-flat", || {
            ray_transform(RayGeometry {
                pixel: [0.01, 0.012],
                offset: 0.02,
                ..fan([33, 37], 0.6, 23, Detector::Flat)
            })
        }),
        ("ray_transform/fan-curved", || {
            ray_transform(fan([37, 33], 0.5, 23, Detector::Curved))
        }),
        ("ray_transform/fan-siddon", || {
            ray_transform(RayGeometry {
                projector: Projector::Siddon,
                angles: off_axis(),
                ..fan([37, 33], 1.4, 1, Detector::Curved)
            })
        }),
        ("fourier", || fourier([14, 9], 1, false)),
        ("fourier/centred", || fourier([9, 14], 1, true)),
        ("fourier/coils", || fourier([10, 13], 3, false)),
        ("fourier/coils-centred", || fourier([11, 7], 2, true)),
        ("inpainting", || {
            let measured: Vec<bool> = (0..9 * 13).map(|i| i * i % 7 < 4).collect();
            let mut matrix = vec![0.0; measured.len() * measured.len()];
            for i in (0..measured.len()).filter(|&i| measured[i]) {
                matrix[i * measured.len() + i] = 1.0;
            }
            Entry {
                operator: Box::new(Inpainting::new([9, 13], &measured).expect("fits")),
                matrix,
            }
        }),
        ("blur/circular", || {
            blur([14, 11], PointSpread::gaussian(1.2, 7), Boundary::Circular)
        }),
        // Larger than the image, along one side and along both.
        ("blur/circular-motion", || {
            blur([5, 16], PointSpread::motion(11.5, 35.0), Boundary::Circular)
        }),
        ("blur/circular-uneven", || {
            blur([7, 6], uneven([10, 9]), Boundary::Circular)
        }),
        ("blur/valid", || {
            blur([13, 10], uneven([3, 4]), Boundary::Valid)
        }),
        ("blur/valid-one-row", || {
            blur([6, 15], PointSpread::gaussian(2.0, 6), Boundary::Valid)
        }),
        ("downsampling/mean", || {
            downsampling([12, 10], 2, PointSpread::uniform([2, 2]))
        }),
        ("downsampling/uneven", || {
            downsampling([12, 15], 3, uneven([4, 5]))
        }),
        ("downsampling/gaussian", || {
            downsampling([16, 12], 4, PointSpread::gaussian(2.0, 8))
        }),
        ("matrix", || matrix_of([7, 5], 23)),
        // Equally wide measurements one below the other, and others side by side.
        ("stacked/views", || {
            stacked(vec![
                rays(RayGeometry::parallel([9, 11], 0.36, 5, 17)),
                rays(RayGeometry::parallel([9, 11], 0.36, 8, 17)),
            ])
        }),
        ("stacked/side-by-side", || {
            stacked(vec![
                matrix_of([8, 10], 13),
                downsampling([8, 10], 2, PointSpread::uniform([2, 2])),
                blur([8, 10], uneven([3, 4]), Boundary::Valid),
            ])
        }),
        ("stacked/complex", || {
            stacked(vec![fourier([6, 9], 1, false), fourier([6, 9], 1, true)])
        }),
        ("composed", || {
            composed(vec![
                blur([12, 14], PointSpread::gaussian(1.2, 7), Boundary::Circular),
                downsampling([12, 14], 2, PointSpread::uniform([2, 2])),
                matrix_of([6, 7], 11),
            ])
        }),
        ("warp", || {
            let turn = Affine::shift(1.7, -0.6).compose(Affine::rotation(0.6));
            let stretch = Affine::shear(-0.5).compose(Affine::scaling(0.7, 1.8));
            warp(turn.compose(stretch))
        }),
        // A pixel of the image covers the whole warped image, or a thin strip of it.
        ("warp/larger", || {
            warp(Affine::rotation(2.0).compose(Affine::scaling(40.0, 25.0)))
        }),
        ("warp/smaller", || {
            warp(Affine::rotation(-0.9).compose(Affine::scaling(0.2, 30.0)))
        }),
    ]
}

fn ray_transform(geometry: RayGeometry) -> Entry {
    Entry {
        matrix: matrix(&geometry),
        operator: Box::new(RayTransform::new(geometry)),
    }
}

/// A fan of 59 rays that covers the image, over a full turn.
fn fan(size: [usize; 2], near: f64, views: usize, detector: Detector) -> RayGeometry {
    let fan = Fan {
        source_to_centre: near,
        centre_to_detector: 0.4,
        detector,
    };
    RayGeometry::fan(size, 0.36, views, 59, fan)
}

/// Views whose rays, up to 0.2 to either side, run along no edge of pixels, where Siddon's weights
/// change faster than rounding allows.
fn off_axis() -> Vec<f64> {
    vec![0.35, 0.8, 1.2, 1.95, 2.7, 3.5, 4.3, 5.1]
}

/// A sampled Fourier transform with random maps (one coil: none), and its definition written out.
fn fourier(size: [usize; 2], coils: usize, centred: bool) -> Entry {
    let [rows, columns] = size;
    let plane = rows * columns;
    let measured: Vec<bool> = (0..plane).map(|i| i % 5 < 3 || i < columns).collect();
    let maps = match coils {
        1 => [vec![1.0; plane], vec![0.0; plane]].concat(),
        _ => Noise::new(7, "maps").signed(coils * 2 * plane),
    };
    let make = || {
        let operator = FourierSampling::new(size, &measured)?;
        let operator = match coils {
            1 => operator,
            _ => operator.with_coils(&maps)?,
        };
        Ok::<_, crate::error::Error>(if centred {
            operator.centred()
        } else {
            operator
        })
    };
    let operator = make().expect("valid sizes");
    // k-space (k, l) of a unit pixel (r, c): the map there times a phase, over the square root.
    let origin = |n: usize| if centred { (n / 2) as f64 } else { 0.0 };
    let scale = 1.0 / (plane as f64).sqrt();
    let mut matrix = vec![0.0; coils * 2 * plane * 2 * plane];
    for coil in 0..coils {
        for entry in (0..plane).filter(|&i| measured[i]) {
            for pixel in 0..plane {
                let turns = |at: usize, x: usize, n: usize| {
                    (at as f64 - origin(n)) * (x as f64 - origin(n)) / n as f64
                };
                let turns = turns(entry / columns, pixel / columns, rows)
                    + turns(entry % columns, pixel % columns, columns);
                let (sin, cos) = (-TAU * turns).sin_cos();
                let map = |part: usize| f64::from(maps[(2 * coil + part) * plane + pixel]);
                let re = scale * (map(0) * cos - map(1) * sin);
                let im = scale * (map(0) * sin + map(1) * cos);
                // A complex number as the matrix ((re, -im), (im, re)).
                for (row, parts) in [[re, -im], [im, re]].into_iter().enumerate() {
                    for (column, value) in parts.into_iter().enumerate() {
                        let row = (2 * coil + row) * plane + entry;
                        matrix[row * 2 * plane + column * plane + pixel] = value;
                    }
                }
            }
        }
    }
    Entry {
        operator: Box::new(operator),
        matrix,
    }
}

/// A kernel without any symmetry.
fn uneven(size: [usize; 2]) -> Result<PointSpread> {
    let count = size[0] * size[1];
    let values: Vec<f64> = (1..=count).map(|i| (i * i % 11) as f64).collect();
    PointSpread::new(size, &values)
}

/// The matrix of `y[i] = sum over m of k[m] x[i + origin - m]`, indices modulo `size`, for the rows
/// and columns `outputs`.
fn convolution(
    size: [usize; 2],
    kernel: &PointSpread,
    origin: [usize; 2],
    outputs: [&[usize]; 2],
) -> Vec<f64> {
    let ([h, w], [_, columns]) = (size, kernel.size());
    let mut matrix = Vec::new();
    // Adding m times the period keeps the difference from becoming negative.
    let wrapped = |at: usize, origin: usize, m: usize, n: usize| (at + origin + m * n - m) % n;
    for &r in outputs[0] {
        for &c in outputs[1] {
            let mut row = vec![0.0; h * w];
            for (i, k) in kernel.values().iter().enumerate() {
                let r = wrapped(r, origin[0], i / columns, h);
                let c = wrapped(c, origin[1], i % columns, w);
                row[r * w + c] += k;
            }
            matrix.extend(row);
        }
    }
    matrix
}

fn blur(size: [usize; 2], kernel: Result<PointSpread>, boundary: Boundary) -> Entry {
    let kernel = kernel.expect("a kernel");
    let extent = kernel.size();
    let (origin, outputs) = match boundary {
        Boundary::Circular => (extent.map(|k| k / 2), size),
        Boundary::Valid => (
            extent.map(|k| k - 1),
            [0, 1].map(|i| size[i] - extent[i] + 1),
        ),
    };
    let [rows, columns] = outputs.map(|n| (0..n).collect::<Vec<_>>());
    Entry {
        operator: Box::new(Blur::new(size, &kernel, boundary).expect("fits")),
        matrix: convolution(size, &kernel, origin, [&rows, &columns]),
    }
}

fn downsampling(size: [usize; 2], factor: usize, kernel: Result<PointSpread>) -> Entry {
    let kernel = kernel.expect("a kernel");
    let kept = |n: usize| ((factor - 1) / 2..n).step_by(factor).collect::<Vec<_>>();
    let [rows, columns] = size.map(kept);
    let origin = kernel.size().map(|k| k / 2);
    Entry {
        operator: Box::new(Downsampling::new(size, factor, &kernel).expect("fits")),
        matrix: convolution(size, &kernel, origin, [&rows, &columns]),
    }
}

fn rays(beam: RayGeometry) -> Entry {
    Entry {
        matrix: matrix(&beam),
        operator: Box::new(RayTransform::new(beam)),
    }
}

/// A dense matrix of `rows` rows for images of `size`.
fn matrix_of(size: [usize; 2], rows: usize) -> Entry {
    let entries = Noise::new(1, "matrix").signed(rows * size[0] * size[1]);
    Entry {
        operator: Box::new(Matrix::new(size, &entries).expect("fits")),
        matrix: wide(&entries),
    }
}

/// The rows of all matrices, one below the other. A measurement's rows stand in the order of its
/// channels, so with several channels those of each operator take turns.
fn stacked(entries: Vec<Entry>) -> Entry {
    let pixels = entries[0].operator.domain().elements();
    let channels = entries[0].operator.range().c();
    let mut matrix = Vec::new();
    for channel in 0..channels {
        for entry in &entries {
            let part = entry.matrix.len() / channels;
            matrix.extend(&entry.matrix[channel * part..][..part]);
        }
    }
    assert_eq!(matrix.len() % pixels, 0);
    let operators = entries.into_iter().map(|e| e.operator.into());
    Entry {
        operator: Box::new(Stacked::new(operators.collect()).expect("fits")),
        matrix,
    }
}

/// The product of the matrices, the first one applied first.
fn composed(entries: Vec<Entry>) -> Entry {
    let columns = entries[0].operator.domain().elements();
    let mut matrix = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let inner = entry.operator.domain().elements();
        if i == 0 {
            matrix = entry.matrix.clone();
            continue;
        }
        let rows = entry.matrix.chunks(inner).flat_map(|row| {
            let mut sum = vec![0.0; columns];
            for (factor, below) in row.iter().zip(matrix.chunks(columns)) {
                sum.iter_mut()
                    .zip(below)
                    .for_each(|(s, b)| *s += factor * b);
            }
            sum
        });
        matrix = rows.collect();
    }
    let operators = entries.into_iter().map(|e| e.operator.into());
    Entry {
        operator: Box::new(Composed::new(operators.collect()).expect("fits")),
        matrix,
    }
}

/// Images of two channels moved by a map. Nothing reconstructs from them.
struct Warp(Affine);

impl Warp {
    fn maps(&self, tape: &mut Tape, n: usize) -> Result<Var> {
        tape.constant(Maps::shape(n), Maps::of(&vec![self.0; n])?)
    }
}

impl LinearOperator for Warp {
    fn name(&self) -> &'static str {
        "warp"
    }

    fn domain(&self) -> Shape {
        Shape::new(1, 2, 13, 10)
    }

    fn range(&self) -> Shape {
        self.domain()
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let maps = self.maps(tape, x.shape().n())?;
        tape.warp(x, maps)
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let maps = self.maps(tape, y.shape().n())?;
        tape.warp_adjoint(y, maps)
    }

    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.adjoint(tape, y)
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        "transpose"
    }
}

/// The motion by `map`, and bilinear interpolation at the point that the map takes to each pixel.
fn warp(map: Affine) -> Entry {
    let operator = Warp(map);
    let [rows, columns] = [operator.domain().h(), operator.domain().w()];
    let plane = rows * columns;
    let point = |pixel: usize| {
        let (row, column) = ((pixel / columns) as f64, (pixel % columns) as f64);
        [
            column - (columns as f64 - 1.0) / 2.0,
            (rows as f64 - 1.0) / 2.0 - row,
        ]
    };
    let hat = |distance: f64| (1.0 - distance.abs()).max(0.0);
    let inverse = map.inverse().expect("a scale that is not zero");
    let mut matrix = vec![0.0; 4 * plane * plane];
    for output in 0..plane {
        let [x, y] = inverse.apply(point(output));
        for input in 0..plane {
            let [px, py] = point(input);
            for channel in [0, plane] {
                let row = (channel + output) * 2 * plane;
                matrix[row + channel + input] = hat(x - px) * hat(y - py);
            }
        }
    }
    Entry {
        operator: Box::new(operator),
        matrix,
    }
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, make) in operators() {
        let make = Rc::new(make);
        let row = |part: &str, measure: fn(&Context, &Entry) -> Result<Measure>| {
            let make = make.clone();
            Check::new(format!("operator/{name}/{part}"), move |c| {
                measure(c, &make())
            })
        };
        checks.push(row("adjointness", adjointness));
        checks.push(row("matrix", |c, e| against_matrix(c, e, false)));
        checks.push(row("matrix-transposed", |c, e| against_matrix(c, e, true)));
        checks.push(row("gradient", gradient));
        checks.push(row("norm", norm));
    }
    checks
}

fn adjointness(context: &Context, entry: &Entry) -> Result<Measure> {
    let (error, ratio) =
        diagnostics::adjointness(&*entry.operator, &context.store(), context.seed)?;
    Ok(Measure {
        note: Some(format!("<x, A'y> is {ratio} times <Ax, y>")),
        ..Measure::new(error, 1e-6)
    })
}

/// The operator, or its adjoint, applied to noise on the device, and the same product in f64.
fn against_matrix(context: &Context, entry: &Entry, transposed: bool) -> Result<Measure> {
    let (domain, range) = (entry.operator.domain(), entry.operator.range());
    let from = if transposed { range } else { domain };
    let x = Noise::new(context.seed, entry.operator.name()).signed(from.elements());
    let mut tape = Tape::new();
    let input = tape.input("x", from);
    let output = match transposed {
        false => entry.operator.forward(&mut tape, input)?,
        true => entry.operator.adjoint(&mut tape, input)?,
    };
    let plan = Plan::compile(&tape, &[output], &context.store(), Options::default())?;
    plan.run(&[("x", &x)])?;
    let expected = product(&entry.matrix, &wide(&x), domain.elements(), transposed);
    Ok(Measure::new(
        relative_error(&plan.read(output)?, &expected),
        1e-5,
    ))
}

/// The tape's gradient of `|A x - y|^2 / 2` and the operator's own.
fn gradient(context: &Context, entry: &Entry) -> Result<Measure> {
    let mut noise = Noise::new(context.seed, "gradient");
    let mut tape = Tape::new();
    let x = tape.input("x", entry.operator.domain());
    let y = tape.input("y", entry.operator.range());
    let ax = entry.operator.forward(&mut tape, x)?;
    let residual = tape.sub(ax, y)?;
    let square = tape.mul(residual, residual)?;
    let sum = tape.sum_all(square)?;
    let loss = tape.scale(sum, 0.5);
    let of_loss = tape.gradients(loss, &[x])?[0];
    let own = entry.operator.gradient(&mut tape, x, y)?;
    let options = Options::default();
    let plan = Plan::compile(&tape, &[of_loss, own], &context.store(), options)?;
    let [values, data] = [x, y].map(|v| noise.signed(v.shape().elements()));
    plan.run(&[("x", &values), ("y", &data)])?;
    let expected = wide(&plan.read(own)?);
    Ok(Measure::new(
        relative_error(&plan.read(of_loss)?, &expected),
        1e-5,
    ))
}

/// `A x`, or `A^T x`, for a row-major matrix with `columns` columns.
fn product(matrix: &[f64], x: &[f64], columns: usize, transposed: bool) -> Vec<f64> {
    let rows = matrix.chunks(columns);
    if transposed {
        let mut y = vec![0.0; columns];
        for (row, x) in rows.zip(x) {
            y.iter_mut().zip(row).for_each(|(y, a)| *y += a * x);
        }
        y
    } else {
        let dot = |row: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).sum();
        rows.map(dot).collect()
    }
}

/// The norm by power iteration on the device, and on the dense matrix.
fn norm(context: &Context, entry: &Entry) -> Result<Measure> {
    let found = diagnostics::norm(&*entry.operator, &context.store(), 300)?;
    let columns = entry.operator.domain().elements();
    let mut x = vec![1.0; columns];
    let mut expected = 0.0;
    for _ in 0..300 {
        let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        x.iter_mut().for_each(|x| *x /= length);
        let y = product(&entry.matrix, &x, columns, false);
        x = product(&entry.matrix, &y, columns, true);
        let before = expected;
        expected = y.iter().map(|y| y * y).sum::<f64>().sqrt();
        if (expected - before).abs() <= 1e-9 * expected {
            break;
        }
    }
    // The device's iteration stops when its estimate moves by less than 1e-6.
    Ok(Measure::new((found - expected).abs() / expected, 1e-4))
}
