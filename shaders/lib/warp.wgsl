// What the kernels of warp/ share: parameters, bindings, a thread's pixel, and where an output pixel
// reads. With TEXTURE the source is read through a texture; with UNIFORM_MAPS the MAPS maps through
// a uniform binding. A plane is one channel of an image or, with PAIRS, two; with MANY_PLANES an image
// has more than one.

#import lib/texels

struct Params {
    rows: u32,
    columns: u32,
    // Planes of an image, and the first plane of this dispatch.
    planes: u32,
    plane: u32,
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

// The values of a pixel of a plane.
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

// The image of a plane.
fn image_of(plane: u32) -> u32 {
#ifdef MANY_PLANES
    // A software adapter takes a long time to divide.
    return plane / params.planes;
#else
    return plane;
#endif
}

// The plane of a workgroup, of 8 x 8 pixels, and the plane's first element.
fn plane_of(workgroup: vec3<u32>) -> u32 {
    return params.plane + workgroup.z;
}

fn start_of(plane: u32) -> u32 {
    return plane * CHANNELS * params.rows * params.columns;
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
