// Winograd's transform of a kernel, laid out for a product at each frequency as conv/pack.wgsl does it:
// block of CHANNELS outputs, input, output within the block; zeros beyond the last output. TRANSPOSED
// exchanges inputs and outputs and turns the kernel by half a turn.
//
// params: channels of the convolution that will read `packed`.
// kernel: O C 3 3.
// packed: FREQUENCIES blocks C CHANNELS.
// Twin: reference::winograd::forward

#import lib/index
#import lib/winograd

@group(0) @binding(1) var<storage, read> kernel: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    let pitch = (params.oc + CHANNELS - 1u) / CHANNELS * CHANNELS * params.c;
    if i >= pitch {
        return;
    }
    let c = i / CHANNELS % params.c;
    let wanted = i / (CHANNELS * params.c) * CHANNELS + i % CHANNELS;
    let o = min(wanted, params.oc - 1u);
#ifdef TRANSPOSED
    let first = (c * params.oc + o) * 9u;
#else
    let first = (o * params.c + c) * 9u;
#endif
    let scale = select(0.0, 1.0, wanted < params.oc);
#import generated/transform
}
