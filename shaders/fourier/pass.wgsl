// One pass of a Fourier transform (Stockham): of an array of STRIDE * RADIX * M complex values it
// takes those that are STRIDE * M apart, transforms these RADIX values in registers, turns them
// (but for M = 1) and leaves them STRIDE apart. The passes of all factors of a size, STRIDE growing
// from what lies within the axis, transform the axis and leave it in order. Where NEAR is a part of
// STRIDE, the first pass down the columns ends the rows before: of every row it takes STRIDE / NEAR
// values that are NEAR apart, transforms them, and leaves them in their places. With QUADS an
// invocation works on four neighbours at once; with NEIGHBOURS, the first pass along the last axis,
// these belong to four transforms, whose results trade places.
//
// params: counts, and where arrays begin.
// source: real parts and imaginary parts in arrays of their own, or real parts alone.
// turns: for each place below M the roots of unity of order RADIX * M of that number and four times
//     it, real and imaginary part, from the host in f64; with NEIGHBOURS those of four places.
// result: as the source.
// Twin: reference::fourier::transform

#import lib/index
#import lib/texels

struct Params {
    // Invocations; from one pair of channels to the next, from real to imaginary part.
    count: u32,
    source_pair: u32,
    source_imaginary: u32,
    result_pair: u32,
    result_imaginary: u32,
    // Factors of the result's real and imaginary part, and of the source's imaginary part.
    scale_real: f32,
    scale_imaginary: f32,
    sign: f32,
}

// Between the values of a transform.
const SPACING: u32 = SPAN / NEAR * STRIDE;

@group(0) @binding(0) var<uniform> params: Params;
#ifdef QUADS
alias Number = vec4<f32>;
#else
alias Number = f32;
#endif
#ifdef TEXTURE
@group(0) @binding(1) var source: texture_2d<f32>;

fn number(i: u32) -> Number {
#ifdef QUADS
    return textureLoad(source, texel(i), 0);
#else
    return textureLoad(source, texel(i / 4u), 0)[i % 4u];
#endif
}
#else
@group(0) @binding(1) var<storage, read> source: array<Number>;

fn number(i: u32) -> Number {
    return source[i];
}
#endif
@group(0) @binding(2) var<storage, read_write> result: array<Number>;
#ifdef TURNED
#ifdef UNIFORM_TURNS
@group(0) @binding(3) var<uniform> turns: array<vec4<f32>, TURNS>;
#else
@group(0) @binding(3) var<storage, read> turns: array<vec4<f32>>;
#endif
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    if i >= params.count {
        return;
    }
    // The array, of which there are ARRAYS in a pair of channels, each the work of SPAN invocations;
    // the transform's number among those of the array that are turned differently.
    let item = i / SPAN;
    let place = i - item * SPAN;
    let pair = item / ARRAYS;
    let start = (item - pair * ARRAYS) * ARRAY;
    let number_of_turn = place / NEAR;
    let from_start = start + place + number_of_turn * (STRIDE - NEAR);
    let real = pair * params.source_pair + from_start;
    let imaginary = real + params.source_imaginary;
#import generated/load
    // Where its turns stand, and where its first result goes.
#ifdef NEIGHBOURS
    let turn = 4u * place;
    let first = pair * params.result_pair + start + place * RADIX;
#else
    let turn = number_of_turn;
    let first = pair * params.result_pair + from_start + turn * (RADIX - 1u) * STRIDE;
#endif
#import generated/transform
#import generated/store
}
