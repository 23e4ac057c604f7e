// One step of Adam over all parameters, in place.
//
// params: the constants.
// theta: parameters.
// m: first moments.
// v: second moments.
// gradient: of the loss.
// rates: lr / (1 - beta1^t) and 1 / sqrt(1 - beta2^t), taken on the host in f64.
// Twin: reference::adam::step

#import lib/index

struct Params {
    beta1: f32,
    beta2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    epsilon: f32,
    elements: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> theta: array<f32>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> v: array<f32>;
@group(0) @binding(4) var<storage, read> gradient: array<f32>;
@group(0) @binding(5) var<storage, read> rates: array<f32>;

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
    let g = gradient[i];
    let first = params.beta1 * m[i] + params.one_minus_beta1 * g;
    let second = params.beta2 * v[i] + params.one_minus_beta2 * g * g;
    m[i] = first;
    v[i] = second;
    theta[i] -= rates[0] * first / (sqrt(second) * rates[1] + params.epsilon);
}
