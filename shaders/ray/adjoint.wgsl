// Exact transpose of the ray transform: for each pixel a thread, in one entry of the batch or in several,
// or several threads of which each takes every so many views (lib/ray), gathers in every view the bins
// whose rays interpolate from it, with the transform's own weights.
//
// params: extents, and the fan.
// source: the sinogram, N 1 views bins.
// source1, source2, source3: the same for a thread's further entries, where they are bound apart
// (generated).
// views: one vec4 for each view (lib/view, lib/fan).
// tangents: of a curved detector's bins (lib/fan).
// result: N 1 H W.
// Twin: reference::ray_transform::adjoint

#import lib/index
#import lib/entries
#import lib/ray
#import lib/view

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = linear_workgroup(group, groups) * NEIGHBOURS + neighbour(lane);
    let pixels = params.rows * params.columns;
    let all = groups_of_entries() * pixels;
    let there = thread * LANES < all;
    // What is beyond the last result repeats it.
    let i = min(thread * LANES + NUMBERS, Indices(all - 1u));
    let turn = i / params.columns;
    let group_of_entries = turn / params.rows;
    let column = Lanes(i - turn * params.columns);
    let row = Lanes(turn - group_of_entries * params.rows);
    let centred_column = column - 0.5 * f32(params.columns - 1u);
    let centred_row = row - 0.5 * f32(params.rows - 1u);
    let entry = group_of_entries * ENTRIES;
    let origins = sources(entry, params.views * params.bins);
    // Beyond the last pixel there is nothing to add.
    let end = select(0u, params.end, there);
    var total = each(0.0);
    for (var v = params.begin + first_term(lane); v < end; v += SHARES) {
        let view = views[v];
        let line_of_bins = v * params.bins;
        var part = each(0.0);
#ifdef FAN
        let near = bins_near(view, centred_row, centred_column);
        let last = f32(params.bins - 1u);
        for (var k = 0.0; k < largest(near.count); k += 1.0) {
            let bin = min(near.first + k, Lanes(last));
            let ray = ray_of(view, bin);
            let along = ray.metres > Lanes(0.0);
            let line = select(centred_column, centred_row, along);
            let pixel = select(row, column, along);
            let weight = share(crossing(ray, line) - pixel, ray.per_line) * abs(ray.metres);
            let value = times(elements_of(origins, line_of_bins + Indices(bin)), weight);
            part = plus(part, only(Lanes(k) < near.count, value));
        }
        total = plus(total, part);
#else
        let along = view.w > 0.0;
        let line = select(centred_column, centred_row, along);
        let pixel = select(row, column, along);
        // WINDOW bins hold all whose crossing lies within one pixel of this one, and a little more
        // for the rounding of `middle`: the weight decides.
        let per_unit = 1.0 / view.x;
        let middle = (pixel - view.y * line - view.z) * per_unit + 0.5 * f32(params.bins - 1u);
        let reach = abs(per_unit) + 0.01;
        let first = clamp(ceil(middle - reach), Lanes(0.0), Lanes(f32(params.bins - WINDOW)));
        let at = line_of_bins + Indices(first);
        for (var k = 0u; k < WINDOW; k++) {
            let ray = ray_of(view, first + f32(k));
            let weight = share(crossing(ray, line) - pixel, ray.per_line);
            part = plus(part, times(elements_of(origins, at + k), weight));
        }
        total = plus(total, times(part, Lanes(abs(view.w))));
#endif
    }
    total = joined_entries(total, lane);
    if there && first_term(lane) == 0u {
        put(places(entry, pixels), i - group_of_entries * pixels, total);
    }
}
