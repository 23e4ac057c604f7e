// Multiply-adds in registers alone, in independent chains: what the adapter could reach at most.
//
// params: the factor and the summand, which the compiler cannot know; rounds and invocations.
// result: one sum for each invocation.
// Twin: reference::multiply_add::sums

#import lib/index

struct Params {
    factor: f32,
    summand: f32,
    rounds: u32,
    invocations: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

fn step(x: vec4<f32>) -> vec4<f32> {
#ifdef FUSED
    return fma(x, vec4(params.factor), vec4(params.summand));
#else
    return x * params.factor + params.summand;
#endif
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    if i >= params.invocations {
        return;
    }
    // 12 chains: enough to hide the latency, and few enough for the 16 registers of a processor.
    var a = vec4(f32(i % 64u));
    var b = a + 1.0;
    var c = a + 2.0;
    // Many steps to a turn, because a software adapter stores what a loop carries in each turn.
    for (var round = 0u; round < params.rounds; round++) {
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
        a = step(a); b = step(b); c = step(c);
    }
    let sum = a + b + c;
    result[i] = sum.x + sum.y + sum.z + sum.w;
}
