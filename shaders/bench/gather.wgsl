// Single numbers from places of the threads' own, out of a cache: what the adapter could gather at most.
// Neighbouring threads read neighbouring numbers, as hardware likes it, which no compiler can know. A
// flag UNIFORM reads through a uniform binding.
//
// params: rounds and invocations.
// source: ELEMENTS numbers, a power of two.
// result: one sum for each invocation.
// Twin: reference::gather::sums

#import lib/index

struct Params {
    rounds: u32,
    invocations: u32,
    _pad0: u32,
    _pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef UNIFORM
@group(0) @binding(1) var<uniform> source: array<vec4<f32>, ELEMENTS / 4u>;
#else
@group(0) @binding(1) var<storage, read> source: array<f32>;
#endif
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

fn number(at: u32) -> f32 {
    let i = at % ELEMENTS;
#ifdef UNIFORM
    return source[i / 4u][i % 4u];
#else
    return source[i];
#endif
}

fn four(at: u32) -> vec4<f32> {
    return vec4(number(at), number(at + 31u), number(at + 62u), number(at + 93u));
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
    // Sixteen reads under way together.
    var a = vec4<f32>();
    var b = vec4<f32>();
    var c = vec4<f32>();
    var d = vec4<f32>();
    for (var round = 0u; round < params.rounds; round++) {
        let at = i + round * 496u;
        a += four(at);
        b += four(at + 124u);
        c += four(at + 248u);
        d += four(at + 372u);
    }
    let sum = (a + b) + (c + d);
    result[i] = (sum.x + sum.y) + (sum.z + sum.w);
}
