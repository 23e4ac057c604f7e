// Reduction over few terms: one thread for each output, or for four neighbours (QUADS).
//
// params: kept and reduced extents, strides of the input.
// source: the input.
// result: one number for each output.
// Twin: reference::reduce

#import lib/index
#import lib/reduce

@group(0) @binding(2) var<storage, read_write> result: array<Element>;

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
    var total = element(first);
    var t = 1u;
    while t < params.terms {
        let end = min(t + 8u, params.terms);
        var part = term(first, t);
        for (var j = t + 1u; j < end; j++) {
            part = combine(part, term(first, j));
        }
        total = combine(total, part);
        t = end;
    }
    result[output] = total;
}
