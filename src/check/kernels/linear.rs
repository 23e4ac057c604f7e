//! Matrix products, and Adam's step.

use crate::check::Check;
use crate::check::harness::{Case, Noise, Problem, close, wide};
use crate::kernels::adam::{self, AdamConstants};
use crate::kernels::{Slot, matmul};
use crate::reference::{self, Twin};
use crate::shape::Shape;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
        let letter = |transposed: bool| if transposed { 't' } else { 'n' };
        let name = format!("matmul/{}{}", letter(a), letter(b));
        // Around the 4 x 4 tile and the 32-term block.
        let extents = [
            [1, 1, 1],
            [3, 1, 5],
            [4, 4, 4],
            [5, 33, 3],
            [17, 32, 13],
            [64, 97, 31],
        ];
        let sizes = extents.map(|e| product([2, 3], [2, 3], e, a, b));
        let batches = [[[1, 1], [2, 3]], [[2, 3], [1, 1]], [[2, 1], [1, 3]]];
        let broadcast = batches.map(|[x, y]| product(x, y, [6, 7, 5], a, b));
        checks.push(Check::kernel(name, sizes.into_iter().chain(broadcast)));
    }
    checks.push(Check::kernel("adam/step", [1, 63, 64, 65, 1009].map(step)));
    checks
}

/// `rows x inner` times `inner x columns`, for a batch.
fn product(
    [an, ac]: [usize; 2],
    [bn, bc]: [usize; 2],
    [rows, inner, columns]: [usize; 3],
    transpose_a: bool,
    transpose_b: bool,
) -> Case {
    let shape = |n, c, h, w, turn| {
        if turn {
            Shape::new(n, c, w, h)
        } else {
            Shape::new(n, c, h, w)
        }
    };
    let a_shape = shape(an, ac, rows, inner, transpose_a);
    let b_shape = shape(bn, bc, inner, columns, transpose_b);
    let out = Shape::new(an.max(bn), ac.max(bc), rows, columns);
    let label = format!("matmul {a_shape} {transpose_a} {b_shape} {transpose_b}");
    let lowered = matmul::matmul(a_shape, b_shape, transpose_a, transpose_b, out);
    Case::new(label, lowered, move |noise| {
        let a = noise.signed(a_shape.elements());
        let b = noise.signed(b_shape.elements());
        let twin = reference::matmul::forward(
            &wide(&a),
            a_shape,
            &wide(&b),
            b_shape,
            transpose_a,
            transpose_b,
        );
        // The product, the sum within a block, the sum over blocks.
        let k = 1.0 + inner.min(32) as f64 + inner.div_ceil(32) as f64;
        Problem::new(vec![a, b], out.elements(), close(twin, k))
    })
}

fn step(len: usize) -> Case {
    let constants = AdamConstants::default();
    let lowered = adam::step(constants, len);
    Case::new(format!("adam {len}"), lowered, move |noise| {
        step_problem(noise, constants, len)
    })
}

fn step_problem(noise: &mut Noise, constants: AdamConstants, len: usize) -> Problem {
    let betas = [constants.beta1, constants.beta2].map(f64::from);
    let rates = reference::adam::rates(1e-3, betas, 7).map(|r| r as f32);
    let (theta, gradient) = (noise.signed(len), noise.signed(len));
    let (m, v) = (noise.signed(len), noise.range(len, 0.0, 1.0));
    let [mut new_theta, mut new_m, mut new_v] = [&theta, &m, &v].map(|x| wide(x));
    let wide_rates = rates.map(f64::from);
    reference::adam::step(
        &mut new_theta,
        &mut new_m,
        &mut new_v,
        &wide(&gradient),
        wide_rates,
        [betas[0], betas[1], f64::from(constants.epsilon)],
    );
    let mut magnitudes = [const { Vec::new() }; 3];
    for i in 0..len {
        let g = f64::from(gradient[i]);
        let first = betas[0] * f64::from(m[i]).abs() + (1.0 - betas[0]) * g.abs();
        let denominator = new_v[i].sqrt() * wide_rates[1] + f64::from(constants.epsilon);
        magnitudes[0].push(f64::from(theta[i]).abs() + wide_rates[0] * first / denominator);
        magnitudes[1].push(first);
        magnitudes[2].push(new_v[i]);
    }
    let [of_theta, of_m, of_v] = magnitudes;
    let twin = |value, magnitude| Twin { value, magnitude };
    Problem {
        inputs: vec![theta, m, v, gradient, rates.to_vec()],
        output: 0,
        // One rounding for the constant 1 - beta, one for each product and sum; WGSL's square root
        // may be off by 5 units and its quotient by 2.5.
        judges: vec![
            (Slot::Input(0), close(twin(new_theta, of_theta), 18.0)),
            (Slot::Input(1), close(twin(new_m, of_m), 4.0)),
            (Slot::Input(2), close(twin(new_v, of_v), 5.0)),
        ],
    }
}
