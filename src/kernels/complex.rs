//! Products of complex values, which are pairs of channels.

use super::{Launch, Lowered, Slot};
use crate::gpu::{Texture, Trust};
use crate::shader::{Variant, params};
use crate::shape::Shape;

params! {
    /// Uniform of `elementwise/complex_multiply.wgsl`.
    pub struct ComplexMultiplyParams {
        pub extents: [u32; 4],
        pub a_strides: [u32; 4],
        pub b_strides: [u32; 4],
        pub a_imaginary: u32,
        pub b_imaginary: u32,
        pub result_imaginary: u32,
        pub elements: u32,
        pub sign: f32,
        pub pad0: u32,
        pub pad1: u32,
        pub pad2: u32,
    }
}

/// `a b`, or `a` times the conjugate of `b`, of shape `output`; both through textures if `textures`
/// and they fit in.
pub fn multiply(a: Shape, b: Shape, output: Shape, conjugate: bool, textures: bool) -> Lowered {
    let quads = output.w().is_multiple_of(4);
    let textures = textures && Texture::holds(a.bytes()) && Texture::holds(b.bytes());
    let whole = |s: Shape| s.w() == output.w();
    let width = if quads { 4 } else { 1 };
    let own = |s: Shape| if quads && whole(s) { 4 } else { 1 };
    // Strides of pairs, in the numbers that the factor is read by.
    let strides = |s: Shape| -> [u32; 4] {
        let [n, c, h, w] = s.strides();
        let pairs = [n, 2 * c, h, w];
        std::array::from_fn(|axis| {
            let extent = if axis == 1 { s.c() / 2 } else { s.0[axis] };
            match (extent, axis) {
                (1, _) => 0,
                (_, 3) => 1,
                _ => (pairs[axis] / own(s)) as u32,
            }
        })
    };
    let imaginary = |s: Shape, width: usize| (s.h() * s.w() / width) as u32;
    let [n, c, h, w] = output.0.map(|e| e as u32);
    let elements = output.elements() / 2 / width;
    let params = ComplexMultiplyParams {
        extents: [n, c / 2, h, w / width as u32],
        a_strides: strides(a),
        b_strides: strides(b),
        a_imaginary: imaginary(a, own(a)),
        b_imaginary: imaginary(b, own(b)),
        result_imaginary: imaginary(output, width),
        elements: elements as u32,
        sign: if conjugate { -1.0 } else { 1.0 },
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let input = |k: usize| match textures {
        true => Slot::Input(k).through_texture(),
        false => Slot::Input(k),
    };
    let variant = Variant::new()
        .flag_if("QUADS", quads)
        .flag_if("QUADS_A", quads && whole(a))
        .flag_if("QUADS_B", quads && whole(b))
        .flag_if("A_ONE", quads && !whole(a))
        .flag_if("B_ONE", quads && !whole(b))
        .flag_if("TEXTURE", textures);
    let bindings = vec![("a", input(0)), ("b", input(1)), ("result", Slot::Output)];
    let groups = (elements as u64).div_ceil(64);
    let bytes = a.bytes() + b.bytes() + output.bytes();
    let mut launch = Launch::new(
        "elementwise/complex_multiply.wgsl",
        &params,
        bindings,
        groups,
    )
    .variant(variant)
    .work(3 * output.elements() as u64, bytes);
    // An invocation below the count of the result's pairs reads at coordinates within the factors'
    // extents, times their strides.
    launch.trust = Trust::Unchecked;
    launch.into()
}
