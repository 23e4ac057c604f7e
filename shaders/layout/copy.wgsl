// A strided copy of a region of up to four axes: slice, pad, transpose, broadcast, concatenation
// and grid symmetries are settings of it. With QUADS elements are moved four at a time, and params
// counts in fours; with FLAT the region has one axis, the last.
//
// params: the region, its strides in both arrays, and where it is zero.
// source: the input.
// result: the output; only the region is written.
// Twin: reference::layout

#import lib/index

struct Params {
    extents: vec4<u32>,
    output_strides: vec4<u32>,
    input_strides: vec4<i32>,
    inside_from: vec4<u32>,
    inside_to: vec4<u32>,
    output_offset: u32,
    input_offset: i32,
    elements: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef QUADS
alias Element = vec4<f32>;
#else
alias Element = f32;
#endif

@group(0) @binding(1) var<storage, read> source: array<Element>;
@group(0) @binding(2) var<storage, read_write> result: array<Element>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = linear_workgroup(group, groups) * 256u + lane;
    for (var k = 0u; k < 4u; k++) {
        let i = first + 64u * k;
        if i < params.elements {
#ifdef FLAT
            let at = vec4<u32>(0u, 0u, 0u, i);
#else
            let at = unravel(i, params.extents);
#endif
            let inside = all(at >= params.inside_from) && all(at < params.inside_to);
            var value = Element(0.0);
            if inside {
                let terms = params.input_strides * vec4<i32>(at);
                value = source[params.input_offset + terms.x + terms.y + terms.z + terms.w];
            }
            let places = params.output_strides * at;
            result[params.output_offset + places.x + places.y + places.z + places.w] = value;
        }
    }
}
