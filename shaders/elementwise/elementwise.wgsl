// A chain of elementwise functions, fused into one pass: result = chain(operands). With QUADS, four
// elements at a time.
//
// params: extents of the output.
// result: the output, N C H W.
// operand0, operand1, operand2, operand3, operand4, operand5: inputs, which broadcast (generated).
// Twin: reference::elementwise

#import lib/index
#import generated/chain

struct Params {
    extents: vec4<u32>,
    elements: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> result: array<Number>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = linear_workgroup(group, groups) * 256u + lane;
    for (var k = 0u; k < 4u; k++) {
        let j = first + 64u * k;
        let i = j * WIDTH;
        if i < params.elements {
            result[j] = chain(Number(), i, unravel(i, params.extents));
        }
    }
}
