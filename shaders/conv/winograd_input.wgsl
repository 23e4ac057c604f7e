// Winograd's transform of an image: each thread reads the 6 x 6 pixels of one channel on which a block
// of 4 x 4 outputs depends, and writes the frequencies of its tiles. With QUAD_ROWS, the image's rows
// are multiples of 4 and read by vec4; with TEXTURE, x is read through a texture.
//
// params: extents; which bands of blocks.
// x: image, N C H W.
// frequencies: FREQUENCIES C tiles.
// Twin: reference::winograd::forward

#import lib/index
#import lib/winograd
#import lib/padding
#import lib/image

@group(0) @binding(2) var<storage, read_write> frequencies: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = block_at(linear_workgroup(group, groups) * 64u + lane);
    if at.channel >= params.c {
        return;
    }
    let top = i32(at.y) + params.origin;
    let column = at.column;
    let plane = (at.n * params.c + at.channel) * params.h * params.w;
    let first = tile_place(at);
    let pitch = params.c * channel_extent();
#import generated/transform
}
