// Weight gradient with one output channel in each lane: a subgroup holds the gradients of OUTPUTS (its
// lanes) x INPUTS channels and walks along bands of ROWS rows with a sliding window, reading image and
// gradient by vec4. SPLITS subgroups share a tile of channels; their sums are added by a reduction
// afterwards. With TEXTURE, x and dy are read through textures.
//
// params: extents of the image (n c h w) and of the gradient (oc oh ow); origin is -r.
// x: image, N C H W.
// dy: gradient at the outputs, N O OH OW.
// partial: parts O C k k.
// Twin: reference::conv2d::weight_gradient

#import lib/index
#import lib/conv
#import lib/padding
#import lib/image
#import lib/gradient

@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) sublane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let down = (params.oc + OUTPUTS - 1u) / OUTPUTS;
    let across = (params.c + INPUTS - 1u) / INPUTS;
    let wanted = linear_workgroup(group, groups) * (64u / OUTPUTS) + subgroup;
    let task = min(wanted, down * across * SPLITS - 1u);
    let split = task / (down * across);
    let o = task / across % down * OUTPUTS + sublane;
    let c = task % across * INPUTS;
    let channel = min(o, params.oc - 1u);
    let bands = (params.oh + ROWS - 1u) / ROWS;
    let quads = i32(params.ow / 4u);
#import generated/declare
    // As many turns for every subgroup, so that all of them stay in step.
    for (var first = 0u; first < params.n * bands; first += SPLITS) {
        let visited = first + split < params.n * bands;
        let band = min(first + split, params.n * bands - 1u);
        let n = band / bands;
        let top = band % bands * ROWS;
        let item = n * params.c * params.h * params.w;
        let output = (n * params.oc + channel) * params.oh * params.ow;
#import generated/start
        for (var quad = 0; quad < quads; quad++) {
            let last = quad + 1 == quads;
#import generated/slide
        }
#import generated/add
    }
#import generated/collect
    if wanted != task || o >= params.oc {
        return;
    }
    let taps = SIZE * SIZE;
    let place = ((split * params.oc + o) * params.c + c) * taps;
    for (var i = 0u; i < min(INPUTS, params.c - c) * taps; i++) {
        partial[place + i] = values[i];
    }
}
