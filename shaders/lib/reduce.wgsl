// What the reductions share: parameters, the source and how two terms combine. With QUADS the
// source is read four elements at a time, and params counts in fours; with LINEAR the terms of an
// output are equally spaced; with TEXTURE the source is read through a texture.

#import lib/index
#import lib/texels

struct Params {
    kept: vec4<u32>,
    reduced: vec4<u32>,
    strides: vec4<u32>,
    outputs: u32,
    terms: u32,
    chunks: u32,
    chunk: u32,
}

#ifdef QUADS
alias Element = vec4<f32>;
#else
alias Element = f32;
#endif

@group(0) @binding(0) var<uniform> params: Params;
#ifdef TEXTURE
@group(0) @binding(1) var source: texture_2d<f32>;

fn element(i: u32) -> Element {
#ifdef QUADS
    return textureLoad(source, texel(i), 0);
#else
    return textureLoad(source, texel(i / 4u), 0)[i % 4u];
#endif
}
#else
@group(0) @binding(1) var<storage, read> source: array<Element>;

fn element(i: u32) -> Element {
    return source[i];
}
#endif

#ifdef MAXIMUM
const NEUTRAL: f32 = -3.4028234663852886e38;
fn combine(a: Element, b: Element) -> Element {
    return max(a, b);
}
fn combine_two(a: f32, b: f32) -> f32 {
    return max(a, b);
}
#else
const NEUTRAL: f32 = 0.0;
fn combine(a: Element, b: Element) -> Element {
    return a + b;
}
fn combine_two(a: f32, b: f32) -> f32 {
    return a + b;
}
#endif

// Term `t` of the output whose terms start at `first`.
fn term(first: u32, t: u32) -> Element {
#ifdef LINEAR
    return element(first + t * params.strides.w);
#else
    return element(first + strided(unravel(t, params.reduced), params.strides));
#endif
}
