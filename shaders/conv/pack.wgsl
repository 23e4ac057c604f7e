// Reorders a kernel for the tiled convolution: block of CHANNELS outputs, input, tap, output within
// the block; zeros beyond the last output. TRANSPOSED exchanges inputs and outputs and turns the
// kernel by half a turn, which makes the convolution with it the input gradient.
//
// params: outputs and inputs of the convolution that will read `packed`.
// kernel: O C k k.
// packed: blocks C taps CHANNELS.
// Twin: reference::conv2d::pack

#import lib/index

struct Params {
    oc: u32,
    c: u32,
    taps: u32,
    elements: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> kernel: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    if i >= params.elements {
        return;
    }
    let tap = i / CHANNELS % params.taps;
    let c = i / (CHANNELS * params.taps) % params.c;
    let o = i / (CHANNELS * params.taps * params.c) * CHANNELS + i % CHANNELS;
    var value = 0.0;
    if o < params.oc {
#ifdef TRANSPOSED
        value = kernel[(c * params.oc + o) * params.taps + params.taps - 1u - tap];
#else
        value = kernel[(o * params.c + c) * params.taps + tap];
#endif
    }
    packed[i] = value;
}
