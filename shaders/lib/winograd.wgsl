// What the kernels of Winograd's algorithm share: their parameters. A square block of 4 x 4 outputs is
// one tile of F(4x4, 3x3), or with TWO 2 x 2 tiles of F(2x2, 3x3): PER_BLOCK tiles along each axis.
// Frequencies lie as FREQUENCIES channels bands*PER_BLOCK across*PER_BLOCK.

#ifdef TWO
const PER_BLOCK: u32 = 2u;
#else
const PER_BLOCK: u32 = 1u;
#endif

struct Params {
    // Extents of the image and of the result.
    n: u32,
    c: u32,
    h: u32,
    w: u32,
    oc: u32,
    oh: u32,
    ow: u32,
    // Input row of the first tap of output 0.
    origin: i32,
    // The first band of blocks, counted over the batch, and how many this pass treats.
    first: u32,
    bands: u32,
    // Blocks in a band.
    across: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// A block: channel, band within the pass, image number, first row and first column.
struct Place {
    channel: u32,
    band: u32,
    n: u32,
    y: u32,
    column: u32,
}

fn block_at(i: u32) -> Place {
    let channel = i / (params.across * params.bands);
    let band = i / params.across % params.bands;
    let down = (params.oh + 3u) / 4u;
    let line = params.first + band;
    return Place(channel, band, line / down, line % down * 4u, i % params.across * 4u);
}

// Numbers of one channel in one frequency.
fn channel_extent() -> u32 {
    return params.bands * params.across * PER_BLOCK * PER_BLOCK;
}

// Where the first tile of a block lies in its frequency; the next row of tiles lies one
// `row_extent` further.
fn tile_place(at: Place) -> u32 {
    return at.channel * channel_extent() + at.band * PER_BLOCK * row_extent() + at.column / 4u * PER_BLOCK;
}

fn row_extent() -> u32 {
    return params.across * PER_BLOCK;
}
