// Exact transpose of the pixel-driven back-projection: a thread for each bin of a view, in one entry of
// the batch or in several, or several threads of which each takes every so many pixel lines (lib/ray),
// gathers the pixels that interpolate from the bin, with the back-projection's own weights.
//
// params: extents, and the fan.
// source: the image, N 1 H W.
// source1, source2, source3: the same for a thread's further entries, where they are bound apart
// (generated).
// views: one vec4 for each view (lib/bins, lib/fan).
// tangents: of a curved detector's bins (lib/fan).
// result: N 1 views bins, in the image's unit.
// Twin: reference::ray_transform::backproject_transpose

#import lib/index
#import lib/entries
#import lib/ray
#import lib/bins

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
    let bin = f32(ray - turn * params.bins);
    let view = views[turn - group_of_entries * params.views];
    let row_centre = 0.5 * f32(params.rows - 1u);
    let column_centre = 0.5 * f32(params.columns - 1u);
    // Lines are rows where the place moves faster along columns, else columns. The source holds
    // these lines, and these pixels of each.
#ifdef FAN
    let t = tangent(Lanes(bin));
    let along = one(abs(per_column(view, t)) - abs(per_row(view, t))) >= 0.0;
#else
    let along = abs(view.x) >= abs(view.y);
#endif
    let rows = vec2<u32>(params.begin, params.end);
    let columns = vec2<u32>(0u, params.columns);
    let lines = select(columns, rows, along);
    let pixels = vec2<f32>(select(rows, columns, along));
    let line_centre = select(column_centre, row_centre, along);
    let centre = select(row_centre, column_centre, along);
    let line_stride = select(1u, params.columns, along);
    let step = select(params.columns, 1u, along);
    let entry = group_of_entries * ENTRIES;
    let origins = sources(Indices(entry), params.rows * params.columns);
    // Beyond the last ray there is nothing to add.
    let first_line = lines.x + LANES * first_term(lane);
    let end_line = select(0u, lines.y, there);
#ifdef FAN
    // On each line, the pixels between the rays of the bins next to this one. Of those rays, one
    // that is much flatter than this one, or runs the other way, bounds nothing.
    let own = meeting(view, t, Flags(along));
    let next = meeting(view, tangent(Lanes(bin + 1.0)), Flags(along));
    let before = meeting(view, tangent(Lanes(bin - 1.0)), Flags(along));
    // t grows along columns and falls along rows where the ray crosses them steeply.
    let grows = (own.steep > Lanes(0.0)) == Flags(along);
    let low_line = select(next.per_line, before.per_line, grows);
    let low_centre = select(next.at_centre, before.at_centre, grows);
    let low_bounds = select(next.steep, before.steep, grows) / own.steep > Lanes(0.05);
    let high_line = select(before.per_line, next.per_line, grows);
    let high_centre = select(before.at_centre, next.at_centre, grows);
    let high_bounds = select(before.steep, next.steep, grows) / own.steep > Lanes(0.05);
    var total = each(0.0);
    for (var line = first_line; line < end_line; line += LANES * SHARES) {
        let here = line + NUMBERS;
        let l = Lanes(here) - line_centre;
        // A little more for the rounding of the crossings: the weight decides.
        let low = fma(low_line, l, low_centre) + (centre - 0.01);
        let high = fma(high_line, l, high_centre) + (centre + 0.01);
        let first = select(
            Lanes(pixels.x),
            clamp(ceil(low), Lanes(pixels.x), Lanes(pixels.y - 1.0)),
            low_bounds,
        );
        let end = select(
            Lanes(pixels.y),
            clamp(floor(high) + 1.0, Lanes(pixels.x), Lanes(pixels.y)),
            high_bounds,
        );
        let at = min(here, Indices(lines.y - 1u)) * line_stride;
        let count = select(Lanes(0.0), end - first, here < Indices(lines.y));
        var part = each(0.0);
        for (var k = 0.0; k < largest(count); k += 1.0) {
            let pixel = min(first + k, Lanes(pixels.y - 1.0));
            let p = pixel - centre;
            let place = bin_place(view, select(p, l, along), select(l, p, along));
            let weight = hat(place.bin - bin) * place.weight;
            let value = times(elements_of(origins, at + Indices(pixel) * step), weight);
            part = plus(part, only(Lanes(k) < count, value));
        }
        total = plus(total, part);
    }
#else
    let per_pixel = select(view.y, view.x, along);
    let per_line = select(view.x, view.y, along);
    let reach = abs(1.0 / per_pixel) + 0.01;
    let highest = max(pixels.y - f32(WINDOW), pixels.x);
    var total = each(0.0);
    for (var line = first_line; line < end_line; line += LANES * SHARES) {
        // WINDOW pixels hold all that fall within one bin of this one, and a little more for the
        // rounding of `middle`: the weight decides.
        let here = line + NUMBERS;
        let l = Lanes(here) - line_centre;
        let middle = (bin - view.z - per_line * l) / per_pixel + centre;
        let first = clamp(ceil(middle - reach), Lanes(pixels.x), Lanes(highest));
        let at = min(here, Indices(lines.y - 1u)) * line_stride;
        var part = each(0.0);
        for (var k = 0u; k < WINDOW; k++) {
            // The source may hold fewer pixels than the window.
            let pixel = min(first + f32(k), Lanes(pixels.y - 1.0));
            let p = pixel - centre;
            let place = bin_place(view, select(p, l, along), select(l, p, along));
            let weight = select(Lanes(0.0), hat(place.bin - bin), first + f32(k) < Lanes(pixels.y));
            part = plus(part, times(elements_of(origins, at + Indices(pixel) * step), weight));
        }
        total = plus(total, only(here < Indices(lines.y), part));
    }
#endif
    total = joined_entries(total, lane);
    if there && first_term(lane) == 0u {
        put_sum(places(Indices(entry), rays), ray - group_of_entries * rays, total);
    }
}
