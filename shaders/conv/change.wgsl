// A change of basis for every pair of an output field and an input field: RESULTS numbers of a pair
// are fixed combinations of its SOURCES numbers. It packs the coefficients of a symmetric
// convolution in the Fourier domain of the group, expands them to an ordinary kernel, and takes
// gradients the same ways back.
//
// params: output fields that are written and that there are, input fields. Those beyond are zero.
// source: numbers of each pair, where `source_at` says.
// result: numbers of each pair, where `result_at` says.
// Twin: reference::symmetric_conv::expand

#import lib/index
#import generated/places

struct Params {
    outputs: u32,
    valid: u32,
    inputs: u32,
    pad0: u32,
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
    let pair = linear_workgroup(group, groups) * 64u + lane;
    if pair >= params.outputs * params.inputs {
        return;
    }
    let o = pair / params.inputs;
    let i = pair % params.inputs;
    let valid = o < params.valid;
    let known = min(o, params.valid - 1u);
#import generated/combine
}
