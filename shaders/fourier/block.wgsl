// Fourier transforms of whole lines in workgroup memory (Stockham): the invocations of a workgroup
// hold the values of one factor of the size after another in registers, and trade them in between.
// With COLUMNS the lines are neighbouring columns of a plane, else rows.
//
// params: lines and where they lie.
// source: real parts and imaginary parts in arrays of their own, or real parts alone.
// roots: the roots of unity of order SIZE, real and imaginary part, from the host in f64.
// result: as the source.
// Twin: reference::fourier::transform

#import lib/index

struct Params {
    // Lines of a pair of channels; workgroups that share them, and those of all pairs; values from
    // one point of a line to the next.
    lines: u32,
    shares: u32,
    groups: u32,
    inner: u32,
    // From one pair to the next, from real to imaginary part.
    source_pair: u32,
    source_imaginary: u32,
    result_pair: u32,
    result_imaginary: u32,
    // Factors of the result's real and imaginary part, and of the source's imaginary part.
    scale_real: f32,
    scale_imaginary: f32,
    sign: f32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
#ifdef TURNED
@group(0) @binding(3) var<storage, read> roots: array<vec2<f32>>;
#endif

var<workgroup> shared_values: array<vec2<f32>, VALUES>;

// Where the value at `at` of the block lies in its pair of channels, whose line `line` is the
// block's first.
fn place(line: u32, at: u32) -> u32 {
#ifdef COLUMNS
    let row = at / LINES;
    let column = line + (at - row * LINES);
    return row * params.inner + min(column, params.lines - 1u);
#else
    let row = at / SIZE;
    return min(line + row, params.lines - 1u) * SIZE + (at - row * SIZE);
#endif
}

// Whether the line of the value at `at` is there.
fn exists(line: u32, at: u32) -> bool {
#ifdef COLUMNS
    return line + at % LINES < params.lines;
#else
    return line + at / SIZE < params.lines;
#endif
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Surplus workgroups of a folded dispatch do the last one's work, so that every invocation
    // reaches every barrier.
    let block = min(linear_workgroup(group, groups), params.groups - 1u);
    let pair = block / params.shares;
    let line = (block - pair * params.shares) * LINES;
    let begin = pair * params.source_pair;
    let end = pair * params.result_pair;
#import generated/stages
}
