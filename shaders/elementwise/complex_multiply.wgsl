// Products of complex values, whose real and imaginary parts are pairs of channels: a b, or a times
// the conjugate of b. Both broadcast. With QUADS four numbers at a time; A_ONE and B_ONE then tell
// which factor has but one column; with TEXTURE both are read through textures.
//
// params: extents of the product in pairs, strides of the factors.
// a: the first factor, N 2C H W.
// b: the second one.
// result: the product.
// Twin: reference::complex::multiply

#import lib/index
#import lib/texels

struct Params {
    // N, pairs, H, W, counted in quads.
    extents: vec4<u32>,
    // Zero along what broadcasts.
    a_strides: vec4<u32>,
    b_strides: vec4<u32>,
    // From real to imaginary part.
    a_imaginary: u32,
    b_imaginary: u32,
    result_imaginary: u32,
    elements: u32,
    // -1 conjugates b.
    sign: f32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef QUADS
alias Number = vec4<f32>;
#else
alias Number = f32;
#endif
#ifdef A_ONE
alias NumberA = f32;
#else
alias NumberA = Number;
#endif
#ifdef B_ONE
alias NumberB = f32;
#else
alias NumberB = Number;
#endif
#ifdef TEXTURE
@group(0) @binding(1) var a: texture_2d<f32>;
@group(0) @binding(2) var b: texture_2d<f32>;

fn number_a(i: u32) -> NumberA {
#ifdef QUADS_A
    return textureLoad(a, texel(i), 0);
#else
    return textureLoad(a, texel(i / 4u), 0)[i % 4u];
#endif
}

fn number_b(i: u32) -> NumberB {
#ifdef QUADS_B
    return textureLoad(b, texel(i), 0);
#else
    return textureLoad(b, texel(i / 4u), 0)[i % 4u];
#endif
}
#else
@group(0) @binding(1) var<storage, read> a: array<NumberA>;
@group(0) @binding(2) var<storage, read> b: array<NumberB>;

fn number_a(i: u32) -> NumberA {
    return a[i];
}

fn number_b(i: u32) -> NumberB {
    return b[i];
}
#endif
@group(0) @binding(3) var<storage, read_write> result: array<Number>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    if i >= params.elements {
        return;
    }
    let at = unravel(i, params.extents);
    let from_a = strided(at, params.a_strides);
    let from_b = strided(at, params.b_strides);
    let a_real = number_a(from_a);
    let a_imaginary = number_a(from_a + params.a_imaginary);
    let b_real = number_b(from_b);
    let b_imaginary = params.sign * number_b(from_b + params.b_imaginary);
    // The planes of a pair lie beside each other.
    let to = i + (i / params.result_imaginary) * params.result_imaginary;
    result[to] = Number(a_real * b_real - a_imaginary * b_imaginary);
    result[to + params.result_imaginary] = Number(a_real * b_imaginary + a_imaginary * b_real);
}
