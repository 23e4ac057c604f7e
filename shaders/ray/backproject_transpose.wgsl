// Exact transpose of the pixel-driven back-projection: one thread for each bin of a view gathers the
// pixels that interpolate from it, with the back-projection's own weights.
//
// params: extents.
// image: N 1 H W.
// views: one Bins for each view.
// result: N 1 views bins, in the image's unit.
// Twin: reference::ray_transform::backproject_transpose

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
@group(0) @binding(1) var<storage, read> image: array<f32>;
@group(0) @binding(2) var<storage, read> views: array<Bins>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    if i >= params.n * params.views * params.bins {
        return;
    }
    let bin = f32(i % params.bins);
    let view = views[i / params.bins % params.views];
    let n = i / (params.bins * params.views);
    let row_centre = 0.5 * f32(params.rows - 1u);
    let column_centre = 0.5 * f32(params.columns - 1u);
    // Lines are rows where the place moves faster along columns, else columns.
    let along = abs(view.per_column) >= abs(view.per_row);
    let lines = select(params.columns, params.rows, along);
    let width = i32(select(params.rows, params.columns, along));
    let per_pixel = select(view.per_row, view.per_column, along);
    let per_line = select(view.per_column, view.per_row, along);
    let line_centre = select(column_centre, row_centre, along);
    let centre = select(row_centre, column_centre, along);
    let line_stride = select(1u, params.columns, along);
    let step = select(params.columns, 1u, along);
    let base = n * params.rows * params.columns;
    let reach = abs(1.0 / per_pixel);
    var total = 0.0;
    for (var line = 0u; line < lines; line++) {
        // Pixels that fall within one bin of this one, and a little more for the rounding of
        // `middle`: the weight decides.
        let l = f32(line) - line_centre;
        let middle = (bin - view.centre - per_line * l) / per_pixel + centre;
        let last = f32(width - 1);
        let begin = i32(clamp(floor(middle - reach - 0.01), 0.0, last + 1.0));
        let to = i32(clamp(ceil(middle + reach + 0.01), -1.0, last));
        var part = 0.0;
        for (var pixel = begin; pixel <= to; pixel++) {
            let p = f32(pixel) - centre;
            let place = bin_place(view, select(p, l, along), select(l, p, along));
            let left = floor(place);
            let fraction = place - left;
            var weight = select(0.0, 1.0 - fraction, left == bin);
            weight = select(weight, fraction, left + 1.0 == bin);
            part += weight * image[base + line * line_stride + u32(pixel) * step];
        }
        total += part;
    }
    result[i] = total;
}
