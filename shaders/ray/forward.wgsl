// Ray transform, Joseph's method: one thread for each ray steps through one pixel line after
// another and interpolates linearly where it crosses.
//
// params: extents.
// image: N 1 H W.
// views: one vec4 for each view (lib/view), lengths in metres.
// result: N 1 views bins, in metres times the image's unit.
// Twin: reference::ray_transform::forward

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
@group(0) @binding(1) var<storage, read> image: array<f32>;
@group(0) @binding(2) var<storage, read> views: array<vec4<f32>>;
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
    let bin = i % params.bins;
    let view = views[i / params.bins % params.views];
    let n = i / (params.bins * params.views);
    // Lines are rows or columns; along a line lie `width` pixels, `step` elements apart.
    let along = crosses_rows(view);
    let lines = select(params.columns, params.rows, along);
    let width = i32(select(params.rows, params.columns, along));
    let line_stride = i32(select(1u, params.columns, along));
    let step = i32(select(params.columns, 1u, along));
    let q = f32(bin) - 0.5 * f32(params.bins - 1u);
    let line_centre = 0.5 * f32(lines - 1u);
    let centre = 0.5 * f32(width - 1);
    let base = i32(n * params.rows * params.columns);
    // Lines whose crossing lies within (-1, width): outside nothing is read.
    var begin = 0u;
    var to = lines;
    if abs(view.y) > 1e-6 {
        let at_first = crossing(view, q, -line_centre) + centre;
        let a = (-1.0 - at_first) / view.y;
        let b = (f32(width) - at_first) / view.y;
        begin = u32(clamp(floor(min(a, b)) - 1.0, 0.0, f32(lines)));
        to = u32(clamp(ceil(max(a, b)) + 2.0, 0.0, f32(lines)));
    }
    var total = 0.0;
    var line = begin;
    while line < to {
        // Blocks of 16 keep the rounding of the sum low.
        let end = min(line + 16u, to);
        var part = 0.0;
        for (; line < end; line++) {
            let place = crossing(view, q, f32(line) - line_centre) + centre;
            let left = floor(place);
            let fraction = place - left;
            let l = i32(left);
            let first = base + i32(line) * line_stride + l * step;
            var a = 0.0;
            var b = 0.0;
            if l >= 0 && l < width {
                a = image[first];
            }
            if l >= -1 && l < width - 1 {
                b = image[first + step];
            }
            part += (1.0 - fraction) * a + fraction * b;
        }
        total += part;
    }
    result[i] = total * abs(view.w);
}
