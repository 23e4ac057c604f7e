// Weight gradient in blocks through workgroup memory: a workgroup holds the gradients of OUTPUTS x
// INPUTS channels, a thread those of OWN output channels and one input field, and goes through
// segments of COLUMNS pixels of image rows. A field takes OUTPUT_SIZE or INPUT_SIZE channels, in an
// ordinary convolution 1, and a pair of fields has WEIGHTS gradients. While the threads work on one segment, the next is on its
// way to the other half of the workgroup memory. SPLITS workgroups share a tile of channels; their sums
// are added by a reduction afterwards. With QUAD_ROWS, rows are multiples of 4 and read by vec4.
//
// params: extents of the image (n c h w) and of the gradient (oc oh ow); origin is -r.
// x: image, N C H W.
// dy: gradient at the outputs, N O OH OW.
// partial: parts, output fields, input fields, WEIGHTS.
// Twin: reference::conv2d::weight_gradient

#import lib/index
#import lib/conv
#import lib/padding

#ifdef QUAD_ROWS
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
#endif
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

// Two segments each: patches of the image, and the gradient as pixel, output channels by fours.
var<workgroup> pixels: array<f32, 2u * INPUTS * PATCH>;
var<workgroup> gradient: array<vec4<f32>, 2u * COLUMNS * (OUTPUTS / 4u)>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let down = (params.oc + OUTPUTS - 1u) / OUTPUTS;
    let across = (params.c + INPUTS - 1u) / INPUTS;
    let wanted = linear_workgroup(group, groups);
    let task = min(wanted, down * across * SPLITS - 1u);
    let split = task / (down * across);
    let o = task / across % down * OUTPUTS;
    let c = task % across * INPUTS;
    // Threads of a subgroup share their output channels, as far as it goes.
    let fields = INPUTS / INPUT_SIZE;
    let own_input = lane % fields * INPUT_SIZE;
    let own_output = min(lane / fields * OWN, OUTPUTS - OWN);
    let segments_across = (params.ow + COLUMNS - 1u) / COLUMNS;
    let segments = params.n * params.oh * segments_across;
    let turns = (segments + SPLITS - 1u) / SPLITS;
#import generated/declare
    for (var turn = 0u; turn <= turns; turn++) {
        let more = turn < turns;
        // The loads of a segment are issued before the arithmetic of the one before it and waited
        // for after.
        if more {
            let visited = turn * SPLITS + split < segments;
            let segment = min(turn * SPLITS + split, segments - 1u);
            let left = segment % segments_across * COLUMNS;
            let top = segment / segments_across % params.oh;
            let n = segment / (segments_across * params.oh);
            let item = n * params.c * params.h * params.w;
#import generated/fetch
        }
        if turn > 0u {
            let half = (turn - 1u) % 2u;
            for (var column = 0u; column < COLUMNS; column += PIXELS) {
                let pixel = (half * INPUTS + own_input) * PATCH + column + SHIFT;
                let output = (half * COLUMNS + column) * (OUTPUTS / 4u) + own_output / 4u;
#import generated/accumulate
            }
        }
        if more {
            let part = turn % 2u * INPUTS;
#import generated/store
        }
        workgroupBarrier();
    }
#import generated/collect
    // Small blocks have more threads than gradients, for the loads.
    if wanted != task || c + own_input >= params.c || lane >= fields * (OUTPUTS / OWN) {
        return;
    }
    let outputs = params.oc / OUTPUT_SIZE;
    let first = min((o + own_output) / OUTPUT_SIZE, outputs);
    let input = (c + own_input) / INPUT_SIZE;
    for (var f = 0u; f < min(OWN / OUTPUT_SIZE, outputs - first); f++) {
        let place = ((split * outputs + first + f) * (params.c / INPUT_SIZE) + input) * WEIGHTS;
        for (var k = 0u; k < WEIGHTS; k++) {
            partial[place + k] = values[f * WEIGHTS + k];
        }
    }
}
