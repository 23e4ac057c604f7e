// Matrix product, batched, with any strides; each thread computes a 4 x 4 tile. The inner sum runs
// in blocks of 32, so that its rounding grows with 32 + inner / 32 and not with the inner extent.
//
// params: extents and strides of both factors.
// a: first factor.
// b: second factor.
// result: batch, channel, row, column.
// Twin: reference::matmul::forward

#import lib/index

struct Params {
    rows: u32,
    columns: u32,
    inner: u32,
    channels: u32,
    a_strides: vec4<u32>,
    b_strides: vec4<u32>,
    batches: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = linear_workgroup(group, groups) * 64u + lane;
    let across = (params.columns + 3u) / 4u;
    let down = (params.rows + 3u) / 4u;
    let batch = tile / (across * down);
    if batch >= params.batches {
        return;
    }
    let n = batch / params.channels;
    let c = batch % params.channels;
    let row = (tile / across) % down * 4u;
    let column = tile % across * 4u;
    // Surplus rows and columns read the last one and are not written.
    let last = vec4<u32>(params.rows - 1u);
    let rows = min(vec4<u32>(row, row + 1u, row + 2u, row + 3u), last);
    let columns = min(
        vec4<u32>(column, column + 1u, column + 2u, column + 3u),
        vec4<u32>(params.columns - 1u),
    );
    var ia = rows * params.a_strides.z + n * params.a_strides.x + c * params.a_strides.y;
    var ib = columns * params.b_strides.w + n * params.b_strides.x + c * params.b_strides.y;
    var total: mat4x4<f32>;
    var k = 0u;
    while k < params.inner {
        let end = min(k + 32u, params.inner);
        var part: mat4x4<f32>;
        for (; k < end; k++) {
            let x = vec4<f32>(a[ia.x], a[ia.y], a[ia.z], a[ia.w]);
            let y = vec4<f32>(b[ib.x], b[ib.y], b[ib.z], b[ib.w]);
            part[0] += x.x * y;
            part[1] += x.y * y;
            part[2] += x.z * y;
            part[3] += x.w * y;
            ia += params.a_strides.w;
            ib += params.b_strides.z;
        }
        total += part;
    }
    let base = (batch * params.rows + row) * params.columns + column;
    for (var r = 0u; r < 4u; r++) {
        if row + r < params.rows {
            let line = total[r];
            for (var j = 0u; j < 4u; j++) {
                if column + j < params.columns {
                    result[base + r * params.columns + j] = line[j];
                }
            }
        }
    }
}
