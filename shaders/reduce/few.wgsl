// Reduction over few terms: one thread for each output.
//
// params: kept and reduced extents, strides of the input.
// source: the input.
// result: one number for each output.
// Twin: reference::reduce

#import lib/index

struct Params {
    kept: vec4<u32>,
    reduced: vec4<u32>,
    strides: vec4<u32>,
    outputs: u32,
    terms: u32,
    chunks: u32,
    chunk: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let output = linear_workgroup(group, groups) * 64u + lane;
    if output >= params.outputs {
        return;
    }
    let first = strided(unravel(output, params.kept), params.strides);
    // Two levels, so that no sum has more than 8 plus 8 roundings.
    var total = source[first];
    var t = 1u;
    while t < params.terms {
        let end = min(t + 8u, params.terms);
        var part = source[first + strided(unravel(t, params.reduced), params.strides)];
        for (var j = t + 1u; j < end; j++) {
            let x = source[first + strided(unravel(j, params.reduced), params.strides)];
#ifdef MAXIMUM
            part = max(part, x);
#else
            part += x;
#endif
        }
#ifdef MAXIMUM
        total = max(total, part);
#else
        total += part;
#endif
        t = end;
    }
    result[output] = total;
}
