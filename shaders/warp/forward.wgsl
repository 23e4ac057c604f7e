// Images moved by affine maps: one thread for each output pixel interpolates bilinearly where the
// inverse map leads it, with zeros outside the image.
//
// params: extents.
// source: the image, N C H W.
// maps: N 1 5 4, one map for each image (shape::Maps).
// result: N C H W.
// Twin: reference::warp::forward

#import lib/warp

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
    let reads = place(maps[image_of(plane)], vec2<f32>(thread.xy) - centre());
    // The four pixels are always in range and the weights decide, so that nothing branches around a
    // load. What lies far outside stays outside as an integer.
    let near = vec2<i32>(clamp(reads.near, vec2<f32>(-2.0), extent()));
    let last = vec2<i32>(vec2<u32>(params.columns, params.rows)) - 1;
    let columns = clamp(vec2<i32>(near.x, near.x + 1), vec2<i32>(0), vec2<i32>(last.x));
    let rows = clamp(vec2<i32>(near.y, near.y + 1), vec2<i32>(0), vec2<i32>(last.y));
    let first = select(vec2<f32>(0.0), 1.0 - reads.share, near >= vec2<i32>(0) & near <= last);
    let second = select(vec2<f32>(0.0), reads.share, near >= vec2<i32>(-1) & near < last);
    let upper = start + u32(rows.x) * params.columns;
    let lower = start + u32(rows.y) * params.columns;
    let left = u32(columns.x);
    let right = u32(columns.y);
    var total = first.x * first.y * values(upper + left);
    total += second.x * first.y * values(upper + right);
    total += first.x * second.y * values(lower + left);
    total += second.x * second.y * values(lower + right);
    write(start + thread.y * params.columns + thread.x, total);
}
