// Gradient of the packed weights of a symmetric convolution, one input field in each lane: a subgroup
// holds the gradients of its lanes' fields x FIELDS output fields and walks along bands of ROWS rows
// with a sliding window. Each lane transforms its own field over the group; the gradients at the
// outputs are transformed once and reach the lanes by subgroupBroadcast. SPLITS subgroups share a
// tile of fields; their sums are added by a reduction afterwards. With TEXTURE, x and dy are read
// through textures.
//
// params: extents of the image (n c h w) and of the gradient (oc oh ow); origin is -r.
// x: image, N C H W; a field takes INPUT_SIZE channels.
// dy: gradient at the outputs, N O OH OW; a field takes OUTPUT_SIZE channels.
// partial: parts, output fields, input fields, WEIGHTS.
// Twin: reference::symmetric_conv::weight_gradient

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
    let outputs = params.oc / OUTPUT_SIZE;
    let inputs = params.c / INPUT_SIZE;
    let down = (outputs + FIELDS - 1u) / FIELDS;
    let across = (inputs + SUBGROUP_LANES - 1u) / SUBGROUP_LANES;
    let wanted = linear_workgroup(group, groups) * (64u / SUBGROUP_LANES) + subgroup;
    let task = min(wanted, down * across * SPLITS - 1u);
    let split = task / (down * across);
    let o = task / across % down * FIELDS;
    let i = task % across * SUBGROUP_LANES + sublane;
    let field = min(i, inputs - 1u) * INPUT_SIZE;
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
#import generated/start
        for (var quad = 0; quad < quads; quad++) {
            let last = quad + 1 == quads;
#import generated/slide
        }
#import generated/add
    }
#import generated/collect
    if wanted != task || i >= inputs {
        return;
    }
    for (var f = 0u; f < min(FIELDS, outputs - o); f++) {
        let place = ((split * outputs + o + f) * inputs + i) * WEIGHTS;
        for (var k = 0u; k < WEIGHTS; k++) {
            partial[place + k] = values[f * WEIGHTS + k];
        }
    }
}
