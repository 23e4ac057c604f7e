// Cross-correlation in register tiles: each thread computes PIXELS neighbouring pixels of one row
// for CHANNELS output channels; all threads of a workgroup share the block of output channels, so
// that a subgroup can load its weights together. With QUADS, rows are multiples of 4 and read by
// vec4.
//
// params: extents; origin is the input row and column of the first tap of output 0.
// x: image, N C H W.
// packed: kernel as conv/pack.wgsl leaves it.
// result: N O OH OW.
// operand0, operand1, operand2, operand3: operands of the fused chain, which broadcast (generated).
// Twin: reference::conv2d::forward

#import lib/index
#import lib/padding
#import generated/chain

struct Params {
    n: u32,
    c: u32,
    h: u32,
    w: u32,
    oc: u32,
    oh: u32,
    ow: u32,
    origin: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef QUADS
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;
#endif
@group(0) @binding(2) var<storage, read> packed: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
#ifdef SUBGROUP
    @builtin(subgroup_invocation_id) sublane: u32,
#endif
) {
    let blocks = (params.oc + CHANNELS - 1u) / CHANNELS;
    let across = (params.ow + PIXELS - 1u) / PIXELS;
    let strips = params.n * params.oh * across;
    let task = linear_workgroup(group, groups);
    // Neighbouring workgroups share the pixels, so that they are still in the cache.
    let block = task % blocks;
    let wanted = task / blocks * LANES + lane;
    let strip = min(wanted, strips - 1u);
    let column = strip % across * PIXELS;
    let y = strip / across % params.oh;
    let n = strip / (across * params.oh);
#import generated/declare
    let top = i32(y * STRIDE) + params.origin;
    for (var c = 0u; c < params.c; c++) {
        let plane = (n * params.c + c) * params.h * params.w;
        let weights = (block * params.c + c) * SIZE * SIZE * CHANNELS / 4u;
#import generated/accumulate
    }
#import generated/collect
    if wanted >= strips {
        return;
    }
    for (var k = 0u; k < CHANNELS; k++) {
        let o = block * CHANNELS + k;
        if o >= params.oc {
            break;
        }
        let place = ((n * params.oc + o) * params.oh + y) * params.ow;
        for (var p = 0u; p < PIXELS; p++) {
            if column + p >= params.ow {
                break;
            }
            let i = place + column + p;
            result[i] = chain(values[k * PIXELS + p], i, vec4<u32>(n, o, y, column + p));
        }
    }
}
