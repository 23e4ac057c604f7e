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

// The numbers from element `i` on, a multiple of WIDTH.
fn padded_numbers(i: u32) -> Number {
    let quad = textureLoad(padded, texel(i / 4u), 0);
#ifdef QUADS
    return quad;
#else
    return quad[i % 4u];
#endif
}
#else
@group(0) @binding(1) var<storage, read> padded: array<Number>;

// The numbers from element `i` on, a multiple of WIDTH.
fn padded_numbers(i: u32) -> Number {
    return padded[i / WIDTH];
}
#endif
@group(0) @binding(2) var<storage, read_write> result: array<Number>;

// What the numbers from place `column` on, of a row of `columns`, add to the pixels that they stand
// for.
fn standing(numbers: Number, column: i32, columns: i32, radius: i32) -> Number {
#ifdef QUADS
    if column >= 0 && column < columns {
        return numbers;
    }
    // Only a radius of the border counts.
    let places = column + vec4(0, 1, 2, 3);
    let counts = places >= vec4(-radius) & places < vec4(columns + radius);
    let outside = select(vec4<f32>(), numbers, counts);
#ifdef REPLICATE
    let sum = dot(outside, vec4(1.0));
    return select(vec4(0.0, 0.0, 0.0, sum), vec4(sum, 0.0, 0.0, 0.0), column < 0);
#else
    return outside;
#endif
#else
    return numbers;
#endif
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
    let rows = i32(params.oh);
    let columns = i32(params.ow);
    let border = i32(params.w - params.ow) / 2;
    let y = i32(at.z);
    let x = i32(at.w);
    let plane = i / params.ow / params.oh * params.h;
    var total = Number();
    for (var row = first_alias(y, rows, radius); row < rows + radius; row = next_alias(row, y, 1, rows, radius)) {
        let line = (plane + u32(row + radius)) * params.w;
        for (
            var column = first_alias(x, columns, border);
            column < columns + border;
            column = next_alias(column, x, i32(WIDTH), columns, border)
        ) {
            let numbers = padded_numbers(line + u32(column + border));
            total += standing(numbers, column, columns, radius);
        }
    }
    result[j] = chain(total, i, at);
}
