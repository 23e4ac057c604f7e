// Folds an input gradient from the padded domain back onto the image: every pixel gets the sum of
// the padded places that stand for it. With QUADS, rows are multiples of 4, those of the domain too,
// and are read and written by vec4; with TEXTURE, padded is read through a texture.
//
// params: extents of the padded domain (n c h w) and of the image (oc oh ow); origin is the radius.
// padded: N C H+2r W+2p, where p is r, or with QUADS the next multiple of 4.
// result: N C H W.
// operand0, operand1, operand2, operand3: operands of the fused chain, which broadcast (generated).
// Twin: reference::conv2d::input_gradient

#import lib/index
#import lib/conv
#import lib/folding
#import lib/texels
#import generated/chain

#ifdef TEXTURE
@group(0) @binding(1) var padded: texture_2d<f32>;

fn padded_number(i: u32) -> f32 {
    return textureLoad(padded, texel(i / 4u), 0)[i % 4u];
}

fn padded_numbers(i: u32) -> Number {
#ifdef QUADS
    return textureLoad(padded, texel(i / 4u), 0);
#else
    return padded_number(i);
#endif
}
#else
@group(0) @binding(1) var<storage, read> padded: array<Number>;

fn padded_number(i: u32) -> f32 {
#ifdef QUADS
    return padded[i / 4u][i % 4u];
#else
    return padded[i];
#endif
}

fn padded_numbers(i: u32) -> Number {
    return padded[i / WIDTH];
}
#endif
@group(0) @binding(2) var<storage, read_write> result: array<Number>;

// The sum of the padded places that stand for one pixel; `plane` is its channel's first row.
fn folded(plane: u32, y: i32, x: i32, border: i32) -> f32 {
    let radius = params.origin;
    let rows = i32(params.oh);
    let columns = i32(params.ow);
    var total = 0.0;
    for (var row = first_alias(y, rows, radius); row < rows + radius; row = next_alias(row, y, rows, radius)) {
        let line = (plane + u32(row + radius)) * params.w;
        for (var column = first_alias(x, columns, radius); column < columns + radius; column = next_alias(column, x, columns, radius)) {
            let i = line + u32(column + border);
            total += padded_number(i);
        }
    }
    return total;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let j = linear_workgroup(group, groups) * 64u + lane;
    let i = j * WIDTH;
    if i >= params.n * params.oc * params.oh * params.ow {
        return;
    }
    let at = unravel(i, vec4<u32>(params.n, params.oc, params.oh, params.ow));
    let radius = params.origin;
    let border = i32(params.w - params.ow) / 2;
    let y = i32(at.z);
    let x = i32(at.w);
    let plane = (at.x * params.c + at.y) * params.h;
    let inner_row = y >= radius && y < i32(params.oh) - radius;
    var total = Number();
    if inner_row && x >= radius && x + i32(WIDTH) <= i32(params.ow) - radius {
        // Away from the border a pixel stands for itself alone.
        total = padded_numbers((plane + u32(y + radius)) * params.w + u32(x + border));
    } else {
#ifdef QUADS
        total = vec4(
            folded(plane, y, x, border),
            folded(plane, y, x + 1, border),
            folded(plane, y, x + 2, border),
            folded(plane, y, x + 3, border),
        );
#else
        total = folded(plane, y, x, border);
#endif
    }
    result[j] = chain(total, i, at);
}
