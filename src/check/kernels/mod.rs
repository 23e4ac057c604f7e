//! Rows of the kernels, one file for each family.
//!
//! A bound is `k eps sum |terms|` with `k` counted from the kernel's arithmetic: every rounding on
//! the way from a term to the result adds at most `eps` times the sum of the terms' magnitudes.

mod conv2d;
mod elementwise;
mod fourier;
mod gather;
mod layout;
mod linear;
mod multiply_add;
mod random;
mod ray_transform;
mod reduce;
mod symmetric_conv;
mod warp;

use super::Check;
use crate::kernels::Capabilities;

/// Every kernel row: one line for each family.
pub(super) fn checks(capabilities: Capabilities) -> Vec<Check> {
    let mut checks = conv2d::checks(capabilities);
    checks.extend(symmetric_conv::checks(capabilities));
    checks.extend(elementwise::checks());
    checks.extend(reduce::checks());
    checks.extend(linear::checks());
    checks.extend(layout::checks());
    checks.extend(ray_transform::checks());
    checks.extend(warp::checks());
    checks.extend(fourier::checks());
    checks.extend(random::checks());
    checks.extend(multiply_add::checks());
    checks.extend(gather::checks());
    checks
}

/// Every variant of the families that have many, those of [`checks`] again among them.
pub(super) fn variants(capabilities: Capabilities) -> Vec<Check> {
    let mut checks = conv2d::variants(capabilities);
    checks.extend(symmetric_conv::variants(capabilities));
    checks.extend(fourier::variants(capabilities));
    checks
}
