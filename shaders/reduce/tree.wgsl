// Reduction over many terms: one workgroup for each output and chunk of terms. Each thread combines
// at most 32 terms in a row, one or four (QUADS) at a time, then joins these rows, at most 8; then
// the THREADS threads combine as a tree. Of a row, AHEAD terms are on their way at once.
//
// params: kept and reduced extents, strides of the input, how many chunks of which length.
// source: the input.
// result: one number for each output and chunk.
// Twin: reference::reduce

#import lib/index
#import lib/reduce

@group(0) @binding(2) var<storage, read_write> result: array<f32>;

var<workgroup> partial: array<f32, THREADS>;

// Elements in the rows of all threads.
#ifdef QUADS
const ROWS: u32 = THREADS * 8u;
#else
const ROWS: u32 = THREADS * 32u;
#endif

fn joined(x: Element) -> f32 {
#ifdef QUADS
    return combine_two(combine_two(x.x, x.y), combine_two(x.z, x.w));
#else
    return x;
#endif
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let task = linear_workgroup(group, groups);
    // Uniform for the workgroup, so the barriers below stay in uniform control flow.
    let output = min(task / params.chunks, params.outputs - 1u);
    let chunk = task % params.chunks;
    let first = strided(unravel(output, params.kept), params.strides);
    let end = min((chunk + 1u) * params.chunk, params.terms);
    var total = Element(NEUTRAL);
    for (var start = chunk * params.chunk; start < end; start += ROWS) {
        let stop = min(start + ROWS, end);
        var row = Element(NEUTRAL);
        for (var t = start + lane; t < stop; t += AHEAD * THREADS) {
#import generated/terms
        }
        total = combine(total, row);
    }
    partial[lane] = joined(total);
    workgroupBarrier();
    for (var width = THREADS / 2u; width > 0u; width /= 2u) {
        if lane < width {
            partial[lane] = combine_two(partial[lane], partial[lane + width]);
        }
        workgroupBarrier();
    }
    if lane == 0u && task < params.outputs * params.chunks {
        result[task] = partial[0];
    }
}
