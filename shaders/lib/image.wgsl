// The image that a convolution reads, x. With TEXTURE it is read through a texture; else with
// QUAD_ROWS, where its rows are multiples of 4, by vec4.

#import lib/texels

#ifdef TEXTURE
@group(0) @binding(1) var x: texture_2d<f32>;

fn x_quad(i: u32) -> vec4<f32> {
    return textureLoad(x, texel(i), 0);
}

fn x_number(i: u32) -> f32 {
    return textureLoad(x, texel(i / 4u), 0)[i % 4u];
}
#else
#ifdef QUAD_ROWS
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

fn x_quad(i: u32) -> vec4<f32> {
    return x[i];
}

fn x_number(i: u32) -> f32 {
    return x[i / 4u][i % 4u];
}
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;

fn x_number(i: u32) -> f32 {
    return x[i];
}
#endif
#endif
