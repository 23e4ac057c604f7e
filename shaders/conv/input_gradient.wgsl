// Transpose of the cross-correlation in its image, one thread for each pixel: every padded place
// that the convolution reads from this pixel contributes.
//
// params: extents of the image (n c h w) and of the gradient (oc oh ow); origin is -r.
// dy: gradient at the outputs, N O OH OW.
// kernel: O C k k.
// result: N C H W.
// operand0, operand1, operand2, operand3: operands of the fused chain, which broadcast (generated).
// Twin: reference::conv2d::input_gradient

#import lib/index
#import lib/conv
#import lib/folding
#import generated/chain

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> kernel: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_workgroup(group, groups) * 64u + lane;
    if i >= params.n * params.c * params.h * params.w {
        return;
    }
    let at = unravel(i, vec4<u32>(params.n, params.c, params.h, params.w));
    let radius = -params.origin;
    var total = 0.0;
    for (var row = first_alias(i32(at.z), i32(params.h), radius); row < i32(params.h) + radius; row = next_alias(row, i32(at.z), 1, i32(params.h), radius)) {
        for (var column = first_alias(i32(at.w), i32(params.w), radius); column < i32(params.w) + radius; column = next_alias(column, i32(at.w), 1, i32(params.w), radius)) {
            for (var ky = 0u; ky < SIZE; ky++) {
                // row = y S + ky - r
                let y = row + radius - i32(ky);
                if y < 0 || u32(y) % STRIDE != 0u || u32(y) / STRIDE >= params.oh {
                    continue;
                }
                for (var kx = 0u; kx < SIZE; kx++) {
                    let x = column + radius - i32(kx);
                    if x < 0 || u32(x) % STRIDE != 0u || u32(x) / STRIDE >= params.ow {
                        continue;
                    }
                    var part = 0.0;
                    for (var o = 0u; o < params.oc; o++) {
                        let output = ((at.x * params.oc + o) * params.oh + u32(y) / STRIDE) * params.ow + u32(x) / STRIDE;
                        part += dy[output] * kernel[((o * params.c + at.y) * SIZE + ky) * SIZE + kx];
                    }
                    total += part;
                }
            }
        }
    }
    result[i] = chain(total, i, at);
}
