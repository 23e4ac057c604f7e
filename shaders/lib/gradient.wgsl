// The gradient at a convolution's outputs, dy, that weight gradients read: as lib/image.wgsl has it
// for the image.

#import lib/texels

#ifdef TEXTURE
@group(0) @binding(2) var dy: texture_2d<f32>;

fn dy_quad(i: u32) -> vec4<f32> {
    return textureLoad(dy, texel(i), 0);
}

fn dy_number(i: u32) -> f32 {
    return textureLoad(dy, texel(i / 4u), 0)[i % 4u];
}
#else
#ifdef QUAD_ROWS
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;

fn dy_quad(i: u32) -> vec4<f32> {
    return dy[i];
}
#else
@group(0) @binding(2) var<storage, read> dy: array<f32>;

fn dy_number(i: u32) -> f32 {
    return dy[i];
}
#endif
#endif
