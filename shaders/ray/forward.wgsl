// Ray transform, Joseph's or Siddon's method: a thread for each ray, in one entry of the batch or in
// several, or several threads of which each takes every so many lines (lib/ray), steps through one pixel
// line after another and reads the two pixels next to where the ray crosses it.
//
// params: extents, and the fan.
// source: the image, N 1 H W.
// source1, source2, source3: the same for a thread's further entries, where they are bound apart
// (generated).
// views: one vec4 for each view (lib/view, lib/fan), lengths in metres.
// tangents: of a curved detector's bins (lib/fan).
// result: N 1 views bins, in metres times the image's unit.
// Twin: reference::ray_transform::forward

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
    let ray = linear_workgroup(group, groups) * NEIGHBOURS + neighbour(lane);
    let rays = params.views * params.bins;
    let there = ray < groups_of_entries() * rays;
    let turn = ray / params.bins;
    let group_of_entries = turn / params.views;
    let bin = ray - turn * params.bins;
    let view = views[turn - group_of_entries * params.views];
    // Lines are rows or columns. The source holds these lines, and these pixels of each.
    let steps = ray_of(view, Lanes(f32(bin)));
    let along = one(steps.metres) > 0.0;
    let rows = vec2<u32>(params.begin, params.end);
    let columns = vec2<u32>(0u, params.columns);
    let lines = select(columns, rows, along);
    let pixels = vec2<f32>(select(rows, columns, along));
    let line_stride = select(1u, params.columns, along);
    let step = select(params.columns, 1u, along);
    let line_centre = 0.5 * f32(select(params.columns, params.rows, along) - 1u);
    let entry = group_of_entries * ENTRIES;
    let origins = sources(Indices(entry), params.rows * params.columns);
    // Lines whose crossing lies on the pixels or less than one outside.
    var begin = lines.x;
    var end = lines.y;
    let slope = one(steps.per_line);
    if abs(slope) > 1e-6 {
        let at_centre = one(steps.at_centre);
        let a = (pixels.x - 1.0 - at_centre) / slope + line_centre;
        let b = (pixels.y - at_centre) / slope + line_centre;
        let bounds = vec2<f32>(lines);
        begin = u32(clamp(floor(min(a, b)) - 1.0, bounds.x, bounds.y));
        end = u32(clamp(ceil(max(a, b)) + 2.0, bounds.x, bounds.y));
    }
    // Beyond the last ray there is nothing to add.
    end = select(0u, end, there);
    var line = begin;
#ifdef SHARED
    // By their numbers on the image, so that rays next to each other, which may enter it lines apart,
    // read the same lines at a time. Before `begin` weights are zero.
    let four = (begin - lines.x) / LANES;
    line = lines.x + LANES * (four + (first_term(lane) - four) % SHARES);
#endif
    var total = each(0.0);
    while line < end {
        // Blocks of 16 keep the rounding of the sum low.
        let stop = min(line + 16u * LANES * SHARES, end);
        var part = each(0.0);
        for (; line < stop; line += LANES * SHARES) {
            let here = line + NUMBERS;
            let place = crossing(steps, Lanes(here) - line_centre);
            let at = min(here, Indices(end - 1u)) * line_stride;
            let pair = between(place, steps.per_line, pixels.x, pixels.y - 1.0, at, step);
            part = plus(part, only(here < Indices(end), interpolated(pair, origins)));
        }
        total = plus(total, part);
    }
    total = times(joined_entries(total, lane), abs(steps.metres));
    if there && first_term(lane) == 0u {
        put_sum(places(Indices(entry), rays), ray - group_of_entries * rays, total);
    }
}
