// Weight gradient in register tiles: each thread holds the gradients of OUTPUTS x INPUTS channels
// and walks down PIXELS neighbouring columns with a sliding window, in one of STRETCHES stretches of
// ROWS rows. SPLITS workgroups share a tile; their threads' sums are added by a
// reduction afterwards. With QUAD_ROWS, rows are multiples of 4 and read by vec4; with
// TEXTURE, through textures.
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
    @builtin(local_invocation_index) lane: u32,
) {
    let down = (params.oc + OUTPUTS - 1u) / OUTPUTS;
    let across = (params.c + INPUTS - 1u) / INPUTS;
    let wanted = linear_workgroup(group, groups);
    let task = min(wanted, down * across * SPLITS - 1u);
    let split = task / (down * across);
    let o = task / across % down * OUTPUTS;
    let c = task % across * INPUTS;
    let across_walkers = params.ow / PIXELS;
    let walkers = params.n * STRETCHES * across_walkers;
#import generated/declare
    for (var first = split * 64u; first < walkers; first += SPLITS * 64u) {
        let visited = first + lane < walkers;
        let walker = min(first + lane, walkers - 1u);
        let column = walker % across_walkers * PIXELS;
        let top = min(walker / across_walkers % STRETCHES * ROWS, params.oh);
        let n = walker / (across_walkers * STRETCHES);
        let bottom = min(top + ROWS, params.oh);
#import generated/offsets
#import generated/warm
        for (var y = top; y < bottom; y++) {
#import generated/slide
        }
    }
#import generated/collect
    if wanted != task {
        return;
    }
    let part = split * 64u + lane;
    let taps = SIZE * SIZE;
    for (var k = 0u; k < OUTPUTS; k++) {
        for (var j = 0u; j < INPUTS; j++) {
            if o + k < params.oc && c + j < params.c {
                let place = ((part * params.oc + o + k) * params.c + c + j) * taps;
                for (var t = 0u; t < taps; t++) {
                    partial[place + t] = values[(k * INPUTS + j) * taps + t];
                }
            }
        }
    }
}
