// Exact transpose of the ray transform: one thread for each pixel gathers, in every view, the bins
// whose rays interpolate from it, with the transform's own weights.
//
// params: extents.
// sinogram: N 1 views bins.
// views: one vec4 for each view (lib/view).
// result: N 1 H W.
// Twin: reference::ray_transform::adjoint

#import lib/index
#import lib/view

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
@group(0) @binding(2) var<storage, read> views: array<vec4<f32>>;
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
    let column = i % params.columns;
    let row = i / params.columns % params.rows;
    let n = i / (params.columns * params.rows);
    let row_centre = 0.5 * f32(params.rows - 1u);
    let column_centre = 0.5 * f32(params.columns - 1u);
    let bin_centre = 0.5 * f32(params.bins - 1u);
    var total = 0.0;
    for (var v = 0u; v < params.views; v++) {
        let view = views[v];
        let along = crosses_rows(view);
        let line = select(f32(column) - column_centre, f32(row) - row_centre, along);
        let centre = select(row_centre, column_centre, along);
        let pixel = select(f32(row), f32(column), along);
        // Bins whose crossing lies within one pixel of this one, and a little more for the rounding
        // of `middle`: the weight decides.
        let per_unit = 1.0 / view.x;
        let middle = (pixel - centre - view.y * line - view.z) * per_unit + bin_centre;
        let reach = abs(per_unit);
        let begin = max(i32(ceil(middle - reach - 0.01)), 0);
        let to = min(i32(floor(middle + reach + 0.01)), i32(params.bins) - 1);
        let base = (n * params.views + v) * params.bins;
        var part = 0.0;
        for (var bin = begin; bin <= to; bin++) {
            let place = crossing(view, f32(bin) - bin_centre, line) + centre;
            let left = floor(place);
            let fraction = place - left;
            // The weight that the transform gives this pixel: (1 - fraction) as the left
            // neighbour, fraction as the right one.
            var weight = select(0.0, 1.0 - fraction, left == pixel);
            weight = select(weight, fraction, left + 1.0 == pixel);
            part += weight * sinogram[base + u32(bin)];
        }
        total += part * abs(view.w);
    }
    result[i] = total;
}
