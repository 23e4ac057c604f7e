// Cross-correlation in register tiles: each thread computes ROWS rows of 4 neighbouring pixels for
// CHANNELS output channels; all threads of a workgroup share the block of output channels, so that a
// subgroup can load its weights together. A turn of the loop takes TURN input channels and WEIGHTS
// packed weights: one channel for a dense convolution, a field for a symmetric one, whose thread
// accumulates in the Fourier domain of the group. With QUAD_ROWS, the image's rows are multiples of 4 and
// read by vec4; with QUADS, the result's are and are written so. With TEXTURE, x and (but with
// UNIFORM) packed are read through textures. With KERNELS, every entry of the batch has its own
// kernel.
//
// params: extents; origin is the input row and column of the first tap of output 0. With UNIFORM, a
// dispatch does BLOCKS blocks of output channels from the first on, whose weights are bound as uniform.
// x: image, N C H W.
// packed: kernel as conv/pack.wgsl leaves it, or for a symmetric convolution conv/change.wgsl; with
// KERNELS, N of them.
// result: N O OH OW.
// operand0, operand1, operand2, operand3: operands of the fused chain, which broadcast (generated).
// Twin: reference::conv2d::forward

#import lib/index
#import lib/conv
#import lib/padding
#import lib/image
#import generated/chain

#ifdef UNIFORM
@group(0) @binding(2) var<uniform> packed: array<vec4<f32>, PACKED>;

fn packed_quad(i: u32) -> vec4<f32> {
    return packed[i];
}
#else
#ifdef TEXTURE
@group(0) @binding(2) var packed: texture_2d<f32>;

fn packed_quad(i: u32) -> vec4<f32> {
    return textureLoad(packed, texel(i), 0);
}
#else
@group(0) @binding(2) var<storage, read> packed: array<vec4<f32>>;

fn packed_quad(i: u32) -> vec4<f32> {
    return packed[i];
}
#endif
#endif
@group(0) @binding(3) var<storage, read_write> result: array<Number>;

// A thread's pixels: image number, first row and first column.
struct Strip {
    n: u32,
    y: u32,
    column: u32,
}

fn strip_at(strip: u32, across: u32, bands: u32) -> Strip {
    return Strip(strip / (across * bands), strip / across % bands * ROWS, strip % across * 4u);
}

#ifdef SUBGROUP
// The element of channel 0 that the strip at the end of a subgroup needs from beyond it: in row
// `row` of the strip's window and there number `item` of the columns outside the strip's own quad, of
// which the first `left` are those on the left.
fn halo_place(
    row: u32,
    item: i32,
    left: i32,
    leftmost: u32,
    rightmost: u32,
    across: u32,
    bands: u32,
) -> u32 {
    let on_left = item < left;
    let strip = strip_at(select(rightmost, leftmost, on_left), across, bands);
    let own = i32(strip.column);
    let column = clamp(own + item - left + select(4, 0, on_left), 0, i32(params.w) - 1);
    let line = u32(resolve(i32(strip.y) + params.origin + i32(row), i32(params.h)));
    return (strip.n * params.c * params.h + line) * params.w + u32(column);
}
#endif

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
#ifdef SUBGROUP
    @builtin(subgroup_invocation_id) sublane: u32,
    @builtin(subgroup_id) subgroup: u32,
#else
    @builtin(local_invocation_index) lane: u32,
#endif
) {
#ifdef SUBGROUP
    // Neighbouring lanes of a subgroup take neighbouring strips, however it lies in the workgroup.
    let lane = subgroup * SUBGROUP_LANES + sublane;
#endif
#ifdef UNIFORM
    let blocks = min(BLOCKS, (params.oc + CHANNELS - 1u) / CHANNELS - params.first);
#else
    let blocks = (params.oc + CHANNELS - 1u) / CHANNELS;
#endif
    let across = (params.ow + 3u) / 4u;
    let bands = (params.oh + ROWS - 1u) / ROWS;
    let task = linear_workgroup(group, groups);
    // Neighbouring workgroups share the pixels, so that they are still in the cache.
    let block = task % blocks;
#ifdef KERNELS
    // A workgroup keeps to one entry of the batch.
    let own_strips = bands * across;
    let sets = (own_strips + LANES - 1u) / LANES;
    let entry = task / blocks / sets;
    let strips = min(entry + 1u, params.n) * own_strips;
    let wanted = entry * own_strips + task / blocks % sets * LANES + lane;
    let kernel = min(entry, params.n - 1u) * blocks + block;
#else
    let strips = params.n * bands * across;
    let wanted = task / blocks * LANES + lane;
    let kernel = block;
#endif
    let strip = strip_at(min(wanted, strips - 1u), across, bands);
    let column = strip.column;
    let item = strip.n * params.c * params.h * params.w;
    let top = i32(strip.y * STRIDE) + params.origin;
#import generated/declare
    for (var c = 0u; c < params.c; c += TURN) {
        let plane = c * params.h * params.w;
        let weights = (kernel * (params.c / TURN) + c / TURN) * (WEIGHTS / 4u);
#import generated/accumulate
    }
#import generated/collect
    if wanted >= strips {
        return;
    }
    for (var k = 0u; k < CHANNELS; k++) {
        let o = (params.first + block) * CHANNELS + k;
        if o >= params.oc {
            break;
        }
        for (var r = 0u; r < ROWS; r++) {
            let y = strip.y + r;
            if y >= params.oh {
                break;
            }
            let i = ((strip.n * params.oc + o) * params.oh + y) * params.ow + column;
#ifdef QUADS
            result[i / 4u] = chain(values[k * ROWS + r], i, vec4<u32>(strip.n, o, y, column));
#else
            for (var p = 0u; p < min(4u, params.ow - column); p++) {
                let at = vec4<u32>(strip.n, o, y, column + p);
                result[i + p] = chain(values[k * ROWS + r][p], i + p, at);
            }
#endif
        }
    }
}
