// Lines of complex values times a complex table along them, cut or padded with zeros to another
// length: the steps of a Fourier transform by way of a convolution (Bluestein), and of filters. With
// QUADS, four neighbours at once; with ALONG these are four points of a line.
//
// params: counts, and where lines lie.
// source: real parts and imaginary parts in arrays of their own; with FROM_REAL none of the latter.
// factors: real and imaginary part of the factor of each point; with ALONG four real parts, then four
//     imaginary ones.
// result: as the source; with TO_REAL real parts alone.
// Twin: reference::fourier::transform

#import lib/index
#import lib/texels

struct Params {
    // Invocations; values (or quads) between neighbours of a line; points of the source's and of the
    // result's lines.
    count: u32,
    inner: u32,
    source_length: u32,
    result_length: u32,
    // Lines (or quads of them) of a pair of channels; from one pair to the next; from real to
    // imaginary part.
    outer: u32,
    source_pair: u32,
    source_imaginary: u32,
    result_pair: u32,
    result_imaginary: u32,
    // Factors of the result's real and imaginary part, and of the source's imaginary part.
    scale_real: f32,
    scale_imaginary: f32,
    sign: f32,
}

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
#ifdef ALONG
@group(0) @binding(3) var<storage, read> factors: array<vec4<f32>>;
#else
@group(0) @binding(3) var<storage, read> factors: array<vec2<f32>>;
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
    let row = i / params.inner;
    let across = i - row * params.inner;
    let item = row / params.result_length;
    let point = row - item * params.result_length;
    let pair = item / params.outer;
    let start = item - pair * params.outer;
    let inside = point < params.source_length;
    let nearest = select(params.source_length - 1u, point, inside);
    let begin = pair * params.source_pair
        + (start * params.source_length + nearest) * params.inner + across;
    let end = pair * params.result_pair
        + (start * params.result_length + point) * params.inner + across;
#ifdef ALONG
    let factor_real = factors[2u * point];
    let factor_imaginary = factors[2u * point + 1u];
#else
    let factor_real = factors[point].x;
    let factor_imaginary = factors[point].y;
#endif
    let real = number(begin);
#ifdef FROM_REAL
    let product_real = real * factor_real;
    let product_imaginary = real * factor_imaginary;
#else
    let imaginary = params.sign * number(begin + params.source_imaginary);
    let product_real = real * factor_real - imaginary * factor_imaginary;
    let product_imaginary = real * factor_imaginary + imaginary * factor_real;
#endif
    result[end] = select(Number(), params.scale_real * product_real, inside);
#ifdef TO_REAL
#else
    result[end + params.result_imaginary] =
        select(Number(), params.scale_imaginary * product_imaginary, inside);
#endif
}
