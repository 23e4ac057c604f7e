// Random numbers from a counter: uniform, normal (Box and Muller) or Poisson (inversion of the
// survival function below a mean of 10, Hoermann's PTRS from there on). The comments that say why
// each formula is written as it is stand in the twin.
//
// params: key and stream.
// draw: the number of this draw, an integer below 2^24.
// means: of each Poisson number (POISSON only).
// result: the numbers.
// Twin: reference::random

#import lib/index
#import lib/philox

struct Params {
    elements: u32,
    seed_low: u32,
    seed_high: u32,
    stream: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> draw: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
#ifdef POISSON
@group(0) @binding(3) var<storage, read> means: array<f32>;
#endif

fn words(i: u32, attempt: u32) -> vec4<u32> {
    let counter = vec4<u32>(i, u32(draw[0]) * 64u + attempt, params.stream, KIND);
    return philox(counter, vec2<u32>(params.seed_low, params.seed_high));
}

#ifdef UNIFORM
fn number(i: u32) -> f32 {
    return open_unit(words(i, 0u).x);
}
#endif
#ifdef NORMAL
fn number(i: u32) -> f32 {
    let w = words(i, 0u);
    return sqrt(-2.0 * log(open_unit(w.x))) * cos(6.283185307179586 * centred_unit(w.y));
}
#endif
#ifdef POISSON
fn by_inversion(mean: f32, w: vec4<u32>) -> f32 {
    let u = (f32(w.x >> 8u) + open_unit(w.y)) * 5.9604644775390625e-8;
    var k = 0.0;
    var probability = exp(-mean);
    while probability > 1.3877787807814457e-17 {
        k += 1.0;
        probability *= mean / k;
    }
    var survival = probability;
    while survival <= u && k > 0.0 {
        probability *= k / mean;
        k -= 1.0;
        survival += probability;
    }
    return k;
}

fn relative_entropy(x: f32) -> f32 {
    if abs(x) >= 0.5 {
        return (1.0 + x) * log(1.0 + x) - x;
    }
    let t = x / (2.0 + x);
    let t2 = t * t;
    var series = t2 * (1.0 / 15.0);
    series = t2 * (series + 1.0 / 13.0);
    series = t2 * (series + 1.0 / 11.0);
    series = t2 * (series + 1.0 / 9.0);
    series = t2 * (series + 1.0 / 7.0);
    series = t2 * (series + 1.0 / 5.0);
    series = t2 * (series + 1.0 / 3.0);
    return 2.0 * (t2 + (1.0 + t) * t * series) / (1.0 - t);
}

fn stirling(k: f32) -> f32 {
    var tail = 1.0115232 / k;
    tail = 0.5256065 / (k + tail);
    tail = 0.25238096 / (k + tail);
    tail = 0.033333335 / (k + tail);
    return 0.083333336 / (k + tail);
}

fn log_probability(mean: f32, k: f32, distance: f32) -> f32 {
    if k == 0.0 {
        return -mean;
    }
    return -mean * relative_entropy(distance / mean) - 0.5 * log(6.283185307179586 * k) - stirling(k);
}

fn by_rejection(i: u32, mean: f32) -> f32 {
    let b = 0.931 + 2.53 * sqrt(mean);
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let squeeze = 0.9277 - 3.6224 / (b - 2.0);
    let whole = floor(mean);
    let rest = mean - whole;
    for (var attempt = 0u; attempt < 64u; attempt++) {
        let w = words(i, attempt);
        let u = centred_unit(w.x);
        let v = open_unit(w.y);
        let us = 0.5 - abs(u);
        let from_whole = floor((2.0 * a / us + b) * u + rest + 0.43);
        let k = whole + from_whole;
        if us >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        let log_hat = log(v * inverse_alpha / (a / (us * us) + b));
        if log_hat <= log_probability(mean, k, from_whole - rest) {
            return k;
        }
    }
    return whole;
}

fn number(i: u32) -> f32 {
    let mean = means[i];
    if mean == 0.0 {
        return 0.0;
    }
    if mean > 0.0 && mean < 10.0 {
        return by_inversion(mean, words(i, 0u));
    }
    if mean >= 10.0 && mean < 3.4e38 {
        return by_rejection(i, mean);
    }
    // Negative, infinite or NaN: NaN, through bits that no compiler folds.
    return bitcast<f32>(0x7fc00000u | (i & 1u));
}
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    if i < params.elements {
        result[i] = number(i);
    }
}
