// What the kernels of conv/ share: their parameters. The header of each kernel says whose extents
// they are, and what the origin is.

struct Params {
    // Entries of the batch; channels, rows and columns on one side of the convolution.
    n: u32,
    c: u32,
    h: u32,
    w: u32,
    // Channels, rows and columns on the other side.
    oc: u32,
    oh: u32,
    ow: u32,
    origin: i32,
    // The first block of output channels of the dispatch, where one does not do all.
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
