// What the kernels of warp/ share: parameters, bindings, a thread's pixel, and where an output pixel
// reads. With TEXTURE the source is read through a texture; with UNIFORM_MAPS the MAPS maps through
// a uniform binding; with PAIRS a thread works on two channels.

#import lib/index
#import lib/texels

struct Params {
    images: u32,
    channels: u32,
    rows: u32,
    columns: u32,
    // Tiles of 8 x 8 pixels, one for each workgroup.
    tiles_down: u32,
    tiles_across: u32,
    pad0: u32,
    pad1: u32,
}

// One map, row by row as shape::Maps has it.
struct Map {
    // The inverse map's matrix, in two parts.
    coarse: vec4<f32>,
    fine: vec4<f32>,
    // Its offset's coarse part, then the fine one.
    offset: vec4<f32>,
    // The map's own matrix and offset.
    matrix: vec4<f32>,
    shift: vec4<f32>,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef TEXTURE
@group(0) @binding(1) var source: texture_2d<f32>;

fn element(i: u32) -> f32 {
    return textureLoad(source, texel(i / 4u), 0)[i % 4u];
}
#else
@group(0) @binding(1) var<storage, read> source: array<f32>;

fn element(i: u32) -> f32 {
    return source[i];
}
#endif
#ifdef UNIFORM_MAPS
@group(0) @binding(2) var<uniform> maps: array<Map, MAPS>;
#else
@group(0) @binding(2) var<storage, read> maps: array<Map>;
#endif
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

// The values of a pixel, in each channel that the thread works on.
#ifdef PAIRS
alias Values = vec2<f32>;
const CHANNELS: u32 = 2u;

fn values(i: u32) -> Values {
    return vec2<f32>(element(i), element(i + params.rows * params.columns));
}

fn write(i: u32, value: Values) {
    result[i] = value.x;
    result[i + params.rows * params.columns] = value.y;
}
#else
alias Values = f32;
const CHANNELS: u32 = 1u;

fn values(i: u32) -> Values {
    return element(i);
}

fn write(i: u32, value: Values) {
    result[i] = value;
}
#endif

// The pixel of a thread.
struct Pixel {
    // There is such a pixel.
    inside: bool,
    // (column, row).
    at: vec2<u32>,
    image: u32,
    // The first element of its plane.
    plane: u32,
}

fn pixel_of(workgroup: u32, lane: u32) -> Pixel {
    let tiles = params.tiles_down * params.tiles_across;
    let plane = workgroup / tiles;
    let tile = workgroup - plane * tiles;
    let down = tile / params.tiles_across;
    let across = tile - down * params.tiles_across;
    let at = vec2<u32>(8u * across + lane % 8u, 8u * down + lane / 8u);
    let groups = params.channels / CHANNELS;
    return Pixel(
        plane < params.images * groups && at.x < params.columns && at.y < params.rows,
        at,
        plane / groups,
        plane * CHANNELS * params.rows * params.columns,
    );
}

// (columns, rows), and the index of the centre.
fn extent() -> vec2<f32> {
    return vec2<f32>(f32(params.columns), f32(params.rows));
}

fn centre() -> vec2<f32> {
    return 0.5 * (extent() - 1.0);
}

// A matrix as shape::Maps orders it, times (column, row), plus an offset.
fn transformed(matrix: vec4<f32>, at: vec2<f32>, offset: vec2<f32>) -> vec2<f32> {
    return fma(matrix.xz, vec2<f32>(at.x), fma(matrix.yw, vec2<f32>(at.y), offset));
}

// Where a pixel reads: between the pixels `near` and `near + 1`, along columns and along rows; the
// second of them has the share `share`, the first what is left of 1.
struct Place {
    near: vec2<f32>,
    share: vec2<f32>,
}

// The place that the output pixel at the centred (column, row) reads. The coarse part is exact in
// f32 on images of up to 4096 pixels, so only the fine part and the share are rounded. The warp
// and its transpose share this function and so every weight.
fn place(map: Map, at: vec2<f32>) -> Place {
    let coarse = transformed(map.coarse, at, map.offset.xy) + centre();
    let fine = transformed(map.fine, at, map.offset.zw);
    let whole = floor(coarse);
    let rest = (coarse - whole) + fine;
    let carry = floor(rest);
    return Place(whole + carry, rest - carry);
}
