//! The Adam optimiser.

/// The two numbers of step `t` (counted from 1) that a kernel cannot take in f32 without loss:
/// `lr / (1 - beta1^t)` and `1 / sqrt(1 - beta2^t)`.
pub fn rates(lr: f64, [beta1, beta2]: [f64; 2], t: u64) -> [f64; 2] {
    let t = t as f64;
    [
        lr / (1.0 - beta1.powf(t)),
        1.0 / (1.0 - beta2.powf(t)).sqrt(),
    ]
}

/// One step of Adam with the step's [`rates`], in place on the parameters `theta` and the two
/// moments `m` and `v`, which start at zero.
///
/// Kingma and Ba 2015 in PyTorch's form, where `eps` is added after the bias correction:
///
/// ```text
/// m <- beta1 m + (1 - beta1) g          v <- beta2 v + (1 - beta2) g^2
/// theta <- theta - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
pub fn step(
    theta: &mut [f64],
    m: &mut [f64],
    v: &mut [f64],
    grad: &[f64],
    rates: [f64; 2],
    [beta1, beta2, eps]: [f64; 3],
) {
    assert!([m.len(), v.len(), grad.len()] == [theta.len(); 3]);
    for i in 0..theta.len() {
        m[i] = beta1 * m[i] + (1.0 - beta1) * grad[i];
        v[i] = beta2 * v[i] + (1.0 - beta2) * grad[i] * grad[i];
        theta[i] -= rates[0] * m[i] / (v[i].sqrt() * rates[1] + eps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing::assert_close;

    #[test]
    fn two_steps_by_hand() {
        // beta1 = 1/2, beta2 = 3/4, lr = 1, eps = 1.
        let (mut theta, mut m, mut v) = ([0.0, 5.0], [0.0; 2], [0.0; 2]);
        // Step 1, g = (2, -2): m = +-1, v = 1; corrected m = +-2, v = 4; step 2 / (2 + 1).
        step(
            &mut theta,
            &mut m,
            &mut v,
            &[2.0, -2.0],
            rates(1.0, [0.5, 0.75], 1),
            [0.5, 0.75, 1.0],
        );
        assert_close(&theta, &[-2.0 / 3.0, 5.0 + 2.0 / 3.0], 1e-15);
        assert_eq!((m, v), ([1.0, -1.0], [1.0, 1.0]));
        // Step 2, g = (4, 0): m = (2.5, -0.5), v = (4.75, 0.75); corrections 3/4 and 7/16.
        step(
            &mut theta,
            &mut m,
            &mut v,
            &[4.0, 0.0],
            rates(1.0, [0.5, 0.75], 2),
            [0.5, 0.75, 1.0],
        );
        assert_eq!((m, v), ([2.5, -0.5], [4.75, 0.75]));
        let first = -2.0 / 3.0 - (10.0 / 3.0) / ((76.0f64 / 7.0).sqrt() + 1.0);
        let second = 17.0 / 3.0 + (2.0 / 3.0) / ((12.0f64 / 7.0).sqrt() + 1.0);
        assert_close(&theta, &[first, second], 1e-15);
    }

    #[test]
    fn the_first_step_is_lr_times_the_sign() {
        let (mut theta, mut m, mut v) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        let grad = [1e-3, -7.0, 250.0];
        let rates = rates(1e-4, [0.9, 0.999], 1);
        step(
            &mut theta,
            &mut m,
            &mut v,
            &grad,
            rates,
            [0.9, 0.999, 1e-12],
        );
        assert_close(&theta, &[-1e-4, 1e-4, -1e-4], 1e-12);
    }
}
