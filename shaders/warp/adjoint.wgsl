// Exact transpose of the warp: one thread for each pixel gathers the warped pixels that interpolate
// from it, with the warp's own weights. They lie in the image, under the map, of the square that
// reaches one pixel to each side.
//
// params: extents.
// source: the warped image, N C H W.
// maps: N 1 5 4, one map for each image (shape::Maps).
// result: N C H W.
// Twin: reference::warp::adjoint

#import lib/warp

// Bounds the rounding, relative to the sum of the magnitudes that were added, of every number below
// that says where to look: about eight roundings. The weights decide what counts.
const SLACK: f32 = 1e-6;

// The warp's weight from the pixel `at` at this place.
fn weight(place: Place, at: vec2<f32>) -> f32 {
    let second = select(vec2<f32>(0.0), place.share, place.near + 1.0 == at);
    let both = select(second, 1.0 - place.share, place.near == at);
    return both.x * both.y;
}

// What the magnitudes of a matrix, an offset and the halved extents add up to.
fn size(matrix: vec4<f32>, offset: vec2<f32>) -> vec2<f32> {
    return transformed(abs(matrix), 0.5 * extent(), abs(offset)) + extent();
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(global_invocation_id) thread: vec3<u32>,
) {
    if thread.x >= params.columns || thread.y >= params.rows {
        return;
    }
    let plane = plane_of(group);
    let start = start_of(plane);
    let map = maps[image_of(plane)];
    let own = vec2<f32>(thread.xy);
    let centred = own - centre();
    let inverse = map.coarse + map.fine;
    let offset = map.offset.xy + map.offset.zw;
    // The bounding box of the square's image.
    let reach = 1.0 + SLACK * size(inverse, offset);
    let spread = transformed(abs(map.matrix), reach, SLACK * size(map.matrix, map.shift.xy));
    let middle = transformed(map.matrix, centred, map.shift.xy) + centre();
    let low = clamp(ceil(middle - spread), vec2<f32>(0.0), extent());
    let high = clamp(floor(middle + spread) + 1.0, vec2<f32>(0.0), extent());
    // Within a row of it, the columns that are read within reach in each direction: an interval
    // about where the row passes the pixel, unless the place hardly moves along the row.
    let moves = abs(inverse.xz) > vec2<f32>(1e-6);
    let per_place = select(vec2<f32>(0.0), 1.0 / inverse.xz, moves);
    let half = select(vec2<f32>(1e30), reach * abs(per_place) + SLACK * extent().x, moves);
    // Integers are clamped as well: what they come from may be no number.
    let end_row = min(u32(high.y), params.rows);
    var total = Values(0.0);
    for (var row = u32(low.y); row < end_row; row++) {
        let line = f32(row) - centre().y;
        let passes = (centred - fma(inverse.yw, vec2<f32>(line), offset)) * per_place + centre().x;
        let begins = passes - half;
        let ends = passes + half;
        let first = clamp(ceil(max(begins.x, begins.y)), low.x, high.x);
        let last = clamp(floor(min(ends.x, ends.y)) + 1.0, low.x, high.x);
        let end = min(u32(last), params.columns);
        let at = start + row * params.columns;
        // A sum for each row keeps the rounding low.
        var part = Values(0.0);
        for (var column = u32(first); column < end; column++) {
            let reads = place(map, vec2<f32>(f32(column) - centre().x, line));
            part += weight(reads, own) * values(at + column);
        }
        total += part;
    }
    write(start + thread.y * params.columns + thread.x, total);
}
