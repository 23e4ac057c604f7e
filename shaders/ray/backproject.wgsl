// Pixel-driven back-projection: for each pixel a thread, or several of which each takes every so many
// views (lib/ray), adds up, over the views, the sinogram interpolated linearly at the pixel's detector
// coordinate (zero outside the detector), times the weight that a fan has there.
//
// params: extents, and the fan.
// source: the sinogram, N 1 views bins.
// views: one vec4 for each view (lib/bins, lib/fan).
// result: N 1 H W, in the sinogram's unit.
// Twin: reference::ray_transform::backproject

#import lib/index
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
    let there = thread * LANES < params.n * pixels;
    // What is beyond the last result repeats it.
    let i = min(thread * LANES + NUMBERS, Indices(params.n * pixels - 1u));
    let turn = i / params.columns;
    let item = turn / params.rows;
    let column = Lanes(i - turn * params.columns) - 0.5 * f32(params.columns - 1u);
    let row = Lanes(turn - item * params.rows) - 0.5 * f32(params.rows - 1u);
    let last = f32(params.bins - 1u);
    let base = (params.item + item) * params.views * params.bins - params.start;
    // Beyond the last pixel there is nothing to add.
    let end = select(0u, params.end, there);
    var total = Lanes(0.0);
    var v = params.begin + first_term(lane);
    while v < end {
        // Blocks of 16 keep the rounding of the sum low.
        let stop = min(v + 16u * SHARES, end);
        var part = Lanes(0.0);
        for (; v < stop; v += SHARES) {
            let place = bin_place(views[v], row, column);
            let line = base + v * params.bins;
            part += place.weight * interpolate(place.bin, Lanes(1.0), 0.0, last, line, 1u);
        }
        total += part;
    }
    total = joined(total, lane);
    if there && first_term(lane) == 0u {
        let at = params.item * pixels + i;
        // Earlier dispatches have added the views before.
        if params.begin > 0u {
            total += results(at);
        }
        write(at, total);
    }
}
