// Where pixels fall on the detector, as kernels::ray_transform::bin_table lays it out: the place is
// a bin index, fractional. Sines and cosines were taken on the host in f64.

struct Bins {
    // Bins per column and per row, and the place of the image's centre.
    per_column: f32,
    per_row: f32,
    centre: f32,
    pad0: u32,
}

// The place of the pixel at the centred row and column: the same expression, hence the same
// rounding, in the back-projection and in its transpose.
fn bin_place(view: Bins, row: f32, column: f32) -> f32 {
    return fma(view.per_column, column, fma(view.per_row, row, view.centre));
}
