// Cross-correlation in blocks through workgroup memory: a workgroup computes a patch of ROWS x COLUMNS
// pixels for CHANNELS output channels, a thread PIXELS neighbouring pixels for 8 of them. The image's
// patch and the weights of FIELDS input fields are a stage; while the threads work on one, the next
// is on its way to the other half of the workgroup memory. A field takes SIZE_OF_FIELD channels, in
// an ordinary convolution 1, and QUADS_OF_FIELD vec4s of weights. With QUAD_ROWS, the image's rows are
// multiples of 4 and read by vec4; with QUADS, the result's are and are written so. With KERNELS,
// every entry of the batch has its own kernel. With SHARED, the threads are SHARES groups with the same
// pixels and channels: each takes every SHARES-th field of a stage, and the first one writes what all
// have summed.
//
// params: extents; origin is the input row of the first tap of output 0.
// x: image, N C H W.
// packed: kernel as conv/pack.wgsl leaves it; with KERNELS, N of them.
// result: N O OH OW.
// operand0, operand1, operand2, operand3: operands of the fused chain, which broadcast (generated).
// Twin: reference::conv2d::forward

#import lib/index
#import lib/conv
#import lib/padding
#import generated/chain

#ifdef QUAD_ROWS
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;
#endif
@group(0) @binding(2) var<storage, read> packed: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<Number>;

// Two stages each: the image's patches, and the weights.
var<workgroup> pixels: array<f32, 2u * FIELDS * SIZE_OF_FIELD * PATCH>;
var<workgroup> weights: array<vec4<f32>, 2u * FIELDS * QUADS_OF_FIELD>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (params.oc + CHANNELS - 1u) / CHANNELS;
    let across = (params.ow + COLUMNS - 1u) / COLUMNS;
    let bands = (params.oh + ROWS - 1u) / ROWS;
    let patches = params.n * bands * across;
    let task = linear_workgroup(group, groups);
    // Neighbouring workgroups share the pixels, so that they are still in the cache.
    let block = task % blocks;
    let wanted = task / blocks;
    let place = min(wanted, patches - 1u);
    let n = place / (across * bands);
    let top = place / across % bands * ROWS;
    let left = place % across * COLUMNS;
    let item = n * params.c * params.h * params.w;
    let fields = params.c / SIZE_OF_FIELD;
    // Where the weights of field 0 begin.
#ifdef KERNELS
    let kernel = (n * blocks + block) * fields * QUADS_OF_FIELD;
#else
    let kernel = block * fields * QUADS_OF_FIELD;
#endif
    let last_weight = kernel + fields * QUADS_OF_FIELD - 1u;
#ifdef SHARED
    let share = lane / (THREADS / SHARES);
    let own = lane % (THREADS / SHARES);
#else
    let share = 0u;
    let own = lane;
#endif
    // The thread's pixels in the patch, and its channels in the block; the threads of a subgroup
    // share their channels, and with them the reads of weights, as far as it goes.
    let strip = own % STRIPS;
    let row = strip / (COLUMNS / PIXELS);
    let column = strip % (COLUMNS / PIXELS) * PIXELS;
    let channel = own / STRIPS * 8u;
#import generated/declare
    let stages = (fields + FIELDS - 1u) / FIELDS;
    for (var stage = 0u; stage <= stages; stage++) {
        let more = stage < stages;
        // The loads of a stage are issued before the arithmetic of the one before it and waited for
        // after.
        if more {
            let field = stage * FIELDS;
            let c = field * SIZE_OF_FIELD;
#import generated/fetch
        }
        if stage > 0u {
            for (var d = share; d < FIELDS; d += SHARES) {
                let part = (stage - 1u) % 2u * FIELDS + d;
                let pixel = part * SIZE_OF_FIELD * PATCH + row * PITCH + column + SHIFT;
                let weight = part * QUADS_OF_FIELD + channel / 8u * STRIDE_OF_THREAD;
#import generated/pixels
#import generated/accumulate
            }
        }
        if more {
            let half = stage % 2u;
            let part = half * FIELDS * SIZE_OF_FIELD;
#import generated/store
        }
        workgroupBarrier();
    }
#ifdef SHARED
    // The shares' sums in a fixed tree, through the memory of the patches, which all have read: the
    // second half is added to the first until there is one.
    for (var rest = SHARES / 2u; rest > 0u; rest /= 2u) {
        let sum = lane % (rest * (THREADS / SHARES));
#import generated/join
    }
    if share > 0u {
        return;
    }
#endif
#import generated/collect
    let y = top + row;
    if wanted != place || y >= params.oh {
        return;
    }
    for (var k = 0u; k < 8u; k++) {
        let o = block * CHANNELS + channel + k;
        if o >= params.oc {
            break;
        }
        for (var q = 0u; q < PIXELS / 4u; q++) {
            let across_result = left + column + 4u * q;
            if across_result >= params.ow {
                break;
            }
            let i = ((n * params.oc + o) * params.oh + y) * params.ow + across_result;
            let value = values[k * (PIXELS / 4u) + q];
#ifdef QUADS
            result[i / 4u] = chain(value, i, vec4<u32>(n, o, y, across_result));
#else
            for (var p = 0u; p < min(4u, params.ow - across_result); p++) {
                result[i + p] = chain(value[p], i + p, vec4<u32>(n, o, y, across_result + p));
            }
#endif
        }
    }
}
