// Exact transpose of the pixel-driven back-projection: one thread for each bin of a view gathers the
// pixels that interpolate from it, with the back-projection's own weights.
//
// params: extents.
// source: the image, N 1 H W.
// views: one vec4 for each view (lib/bins).
// result: N 1 views bins, in the image's unit.
// Twin: reference::ray_transform::backproject_transpose

#import lib/index
#import lib/ray
#import lib/bins

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let ray = linear_workgroup(group, groups) * 64u + lane;
    let rays = params.views * params.bins;
    if ray >= params.n * rays {
        return;
    }
    let turn = ray / params.bins;
    let item = turn / params.views;
    let bin = f32(ray - turn * params.bins);
    let view = views[turn - item * params.views];
    let row_centre = 0.5 * f32(params.rows - 1u);
    let column_centre = 0.5 * f32(params.columns - 1u);
    // Lines are rows where the place moves faster along columns, else columns. The source holds
    // these lines, and these pixels of each.
    let along = abs(view.x) >= abs(view.y);
    let rows = vec2<u32>(params.begin, params.end);
    let columns = vec2<u32>(0u, params.columns);
    let lines = select(columns, rows, along);
    let pixels = vec2<f32>(select(rows, columns, along));
    let per_pixel = select(view.y, view.x, along);
    let per_line = select(view.x, view.y, along);
    let line_centre = select(column_centre, row_centre, along);
    let centre = select(row_centre, column_centre, along);
    let line_stride = select(1u, params.columns, along);
    let step = select(params.columns, 1u, along);
    let base = (params.item + item) * params.rows * params.columns - params.start;
    let reach = abs(1.0 / per_pixel) + 0.01;
    let highest = max(pixels.y - f32(WINDOW), pixels.x);
    var total = Lanes(0.0);
    for (var line = lines.x; line < lines.y; line += LANES) {
        // WINDOW pixels hold all that fall within one bin of this one, and a little more for the
        // rounding of `middle`: the weight decides.
        let here = line + NUMBERS;
        let l = Lanes(here) - line_centre;
        let middle = (bin - view.z - per_line * l) / per_pixel + centre;
        let first = clamp(ceil(middle - reach), Lanes(pixels.x), Lanes(highest));
        let at = base + min(here, Indices(lines.y - 1u)) * line_stride;
        var part = Lanes(0.0);
        for (var k = 0u; k < WINDOW; k++) {
            // The source may hold fewer pixels than the window.
            let pixel = min(first + f32(k), Lanes(pixels.y - 1.0));
            let p = pixel - centre;
            let place = bin_place(view, select(p, l, along), select(l, p, along));
            let weight = select(Lanes(0.0), hat(place - bin), first + f32(k) < Lanes(pixels.y));
            part += weight * elements(at + Indices(pixel) * step);
        }
        total += select(Lanes(0.0), part, here < Indices(lines.y));
    }
    let at = params.item * rays + ray;
    var value = sum(total);
    // Earlier dispatches have added the rows before.
    if params.begin > 0u {
        value += result[at];
    }
    result[at] = value;
}
