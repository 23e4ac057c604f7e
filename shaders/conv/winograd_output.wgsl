// Winograd's transform of the frequencies' products back to a result: each thread computes a block of
// 4 x 4 pixels of one channel. With QUADS, the result's rows are multiples of 4 and written by vec4.
//
// params: extents; which bands of blocks.
// products: FREQUENCIES O tiles.
// result: N O OH OW.
// operand0, operand1, operand2, operand3: operands of the fused chain, which broadcast (generated).
// Twin: reference::winograd::forward

#import lib/index
#import lib/winograd
#import generated/chain

@group(0) @binding(1) var<storage, read> products: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<Number>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = block_at(linear_workgroup(group, groups) * 64u + lane);
    if at.channel >= params.oc {
        return;
    }
    let first = tile_place(at);
    let pitch = params.oc * channel_extent();
#import generated/transform
    for (var r = 0u; r < min(4u, params.oh - at.y); r++) {
        let y = at.y + r;
        let i = ((at.n * params.oc + at.channel) * params.oh + y) * params.ow + at.column;
#ifdef QUADS
        result[i / 4u] = chain(values[r], i, vec4<u32>(at.n, at.channel, y, at.column));
#else
        for (var p = 0u; p < min(4u, params.ow - at.column); p++) {
            let place = vec4<u32>(at.n, at.channel, y, at.column + p);
            result[i + p] = chain(values[r][p], i + p, place);
        }
#endif
    }
}
