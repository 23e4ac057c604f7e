// Transpose of the cross-correlation in its kernel: one workgroup for each weight; each thread adds
// every 64th pixel in blocks of 32, then the threads combine as a tree.
//
// params: extents of the image (n c h w) and of the gradient (oc oh ow); origin is -r.
// x: image, N C H W.
// dy: gradient at the outputs, N O OH OW.
// result: O C k k.
// Twin: reference::conv2d::weight_gradient

#import lib/index
#import lib/conv
#import lib/padding

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let weights = params.oc * params.c * SIZE * SIZE;
    let task = linear_workgroup(group, groups);
    // at = (o, c, ky, kx); surplus workgroups repeat the last weight and do not write it.
    let at = unravel(min(task, weights - 1u), vec4<u32>(params.oc, params.c, SIZE, SIZE));
    let pixels = params.n * params.oh * params.ow;
    var total = 0.0;
    var i = lane;
    while i < pixels {
        var part = 0.0;
        for (var k = 0u; k < 32u && i < pixels; k++) {
            let n = i / (params.oh * params.ow);
            let y = i / params.ow % params.oh;
            let xo = i % params.ow;
            let row = i32(y * STRIDE + at.z) + params.origin;
            let column = i32(xo * STRIDE + at.w) + params.origin;
            let line = ((n * params.c + at.y) * params.h + u32(resolve(row, i32(params.h)))) * params.w;
            let value = x[line + u32(resolve(column, i32(params.w)))]
                * dy[((n * params.oc + at.x) * params.oh + y) * params.ow + xo];
#ifdef ZERO
            if inside(row, i32(params.h)) && inside(column, i32(params.w)) {
                part += value;
            }
#else
            part += value;
#endif
            i += 64u;
        }
        total += part;
    }
    partial[lane] = total;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width /= 2u) {
        if lane < width {
            partial[lane] += partial[lane + width];
        }
        workgroupBarrier();
    }
    if lane == 0u && task < weights {
        result[task] = partial[0];
    }
}
