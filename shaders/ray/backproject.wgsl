// Pixel-driven back-projection: for each pixel a thread, in one entry of the batch or in several, or
// several threads of which each takes every so many views (lib/ray), adds up, over the views, the
// sinogram interpolated linearly at the pixel's detector coordinate (zero outside the detector), times
// the weight that a fan has there.
//
// params: extents, and the fan.
// source: the sinogram, N 1 views bins.
// source1, source2, source3: the same for a thread's further entries, where they are bound apart
// (generated).
// views: one vec4 for each view (lib/bins, lib/fan).
// result: N 1 H W, in the sinogram's unit.
// Twin: reference::ray_transform::backproject

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
    let thread = linear_workgroup(group, groups) * NEIGHBOURS + neighbour(lane);
    let pixels = params.rows * params.columns;
    let all = groups_of_entries() * pixels;
    let there = thread * LANES < all;
    // What is beyond the last result repeats it.
    let i = min(thread * LANES + NUMBERS, Indices(all - 1u));
    let turn = i / params.columns;
    let group_of_entries = turn / params.rows;
    let column = Lanes(i - turn * params.columns) - 0.5 * f32(params.columns - 1u);
    let row = Lanes(turn - group_of_entries * params.rows) - 0.5 * f32(params.rows - 1u);
    let last = f32(params.bins - 1u);
    let entry = group_of_entries * ENTRIES;
    let origins = sources(entry, params.views * params.bins);
    // Beyond the last pixel there is nothing to add.
    let end = select(0u, params.end, there);
    var total = each(0.0);
    var v = params.begin + first_term(lane);
    while v < end {
        // Blocks of 16 keep the rounding of the sum low.
        let stop = min(v + 16u * SHARES, end);
        var part = each(0.0);
        for (; v < stop; v += SHARES) {
            let place = bin_place(views[v], row, column);
            let line = Indices(v * params.bins);
            let pair = between(place.bin, Lanes(1.0), 0.0, last, line, 1u);
            part = plus(part, times(interpolated(pair, origins), place.weight));
        }
        total = plus(total, part);
    }
    total = joined_entries(total, lane);
    if there && first_term(lane) == 0u {
        put(places(entry, pixels), i - group_of_entries * pixels, total);
    }
}
