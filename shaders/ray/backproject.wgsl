// Pixel-driven back-projection: one thread for each pixel adds up, over the views, the sinogram
// interpolated linearly at the pixel's detector coordinate (zero outside the detector).
//
// params: extents.
// sinogram: N 1 views bins.
// views: one Bins for each view.
// result: N 1 H W, in the sinogram's unit.
// Twin: reference::ray_transform::backproject

#import lib/index
#import lib/bins

struct Params {
    n: u32,
    rows: u32,
    columns: u32,
    views: u32,
    bins: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sinogram: array<f32>;
@group(0) @binding(2) var<storage, read> views: array<Bins>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    if i >= params.n * params.rows * params.columns {
        return;
    }
    let column = f32(i % params.columns) - 0.5 * f32(params.columns - 1u);
    let row = f32(i / params.columns % params.rows) - 0.5 * f32(params.rows - 1u);
    let n = i / (params.columns * params.rows);
    let bins = i32(params.bins);
    var total = 0.0;
    var v = 0u;
    while v < params.views {
        // Blocks of 16 keep the rounding of the sum low.
        let end = min(v + 16u, params.views);
        var part = 0.0;
        for (; v < end; v++) {
            // Clamped beyond the detector's ends, so that the conversion to i32 is defined.
            let place = clamp(bin_place(views[v], row, column), -2.0, f32(bins) + 1.0);
            let left = floor(place);
            let fraction = place - left;
            let l = i32(left);
            let base = i32((n * params.views + v) * params.bins);
            if l >= 0 && l < bins {
                part += (1.0 - fraction) * sinogram[base + l];
            }
            if l >= -1 && l < bins - 1 {
                part += fraction * sinogram[base + l + 1];
            }
        }
        total += part;
    }
    result[i] = total;
}
