// Reduction over few terms: one thread for each output, or for four neighbours (QUADS). AHEAD terms
// are on their way at once. With SHARES, so many threads share an output's rows of 8 terms.
//
// params: kept and reduced extents, strides of the input.
// source: the input.
// result: one number for each output.
// Twin: reference::reduce

#import lib/index
#import lib/reduce

@group(0) @binding(2) var<storage, read_write> result: array<Element>;

#ifdef SHARED
var<workgroup> shares: array<Element, 64u * SHARES>;
#endif

@compute @workgroup_size(64u * SHARES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let output = linear_workgroup(group, groups) * 64u + lane % 64u;
    let share = lane / 64u;
    let first = strided(unravel(min(output, params.outputs - 1u), params.kept), params.strides);
    // Two levels, so that no sum has more than 8 roundings and one for each row.
    var total = Element(NEUTRAL);
    for (var start = 8u * share; start < params.terms; start += 8u * SHARES) {
        let stop = min(start + 8u, params.terms);
        var row = Element(NEUTRAL);
        for (var t = start; t < stop; t += AHEAD) {
#import generated/terms
        }
        total = combine(total, row);
    }
#ifdef SHARED
    shares[lane] = total;
    workgroupBarrier();
    for (var s = 1u; s < SHARES && share == 0u; s++) {
        total = combine(total, shares[lane + 64u * s]);
    }
#endif
    if share == 0u && output < params.outputs {
        result[output] = total;
    }
}
