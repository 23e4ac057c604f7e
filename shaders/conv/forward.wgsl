// Cross-correlation, one thread for each output, loop for loop:
// result[n, o, y, x] = chain(sum over c, dy, dx of x[n, c, y S + dy - r, x S + dx - r] kernel[o, c, dy, dx]).
//
// params: extents; origin is -r.
// x: image, N C H W.
// kernel: O C k k.
// result: N O OH OW.
// operand0, operand1, operand2, operand3: operands of the fused chain, which broadcast (generated).
// Twin: reference::conv2d::forward

#import lib/index
#import lib/conv
#import lib/padding
#import generated/chain

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> kernel: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    let extents = vec4<u32>(params.n, params.oc, params.oh, params.ow);
    if i >= params.n * params.oc * params.oh * params.ow {
        return;
    }
    let at = unravel(i, extents);
    let top = i32(at.z * STRIDE) + params.origin;
    let left = i32(at.w * STRIDE) + params.origin;
    var total = 0.0;
    for (var c = 0u; c < params.c; c++) {
        var part = 0.0;
        for (var dy = 0u; dy < SIZE; dy++) {
            let row = top + i32(dy);
            let line = ((at.x * params.c + c) * params.h + u32(resolve(row, i32(params.h)))) * params.w;
            let taps = ((at.y * params.c + c) * SIZE + dy) * SIZE;
            for (var dx = 0u; dx < SIZE; dx++) {
                let column = left + i32(dx);
                let value = x[line + u32(resolve(column, i32(params.w)))] * kernel[taps + dx];
#ifdef ZERO
                if inside(row, i32(params.h)) && inside(column, i32(params.w)) {
                    part += value;
                }
#else
                part += value;
#endif
            }
        }
        total += part;
    }
    result[i] = chain(total, i, at);
}
