// Where pixels fall on the detector in one view, as kernels::ray_transform::bin_table lays it out:
// the place is a bin index, fractional. Sines and cosines were taken on the host in f64.
//
// x: bins per column.
// y: bins per row.
// z: the place of the image's centre.

#import lib/ray

// The place of the pixel at the centred row and column: the same expression, hence the same
// rounding, in the back-projection and in its transpose.
fn bin_place(view: vec4<f32>, row: Lanes, column: Lanes) -> Lanes {
    return fma(Lanes(view.x), column, fma(Lanes(view.y), row, Lanes(view.z)));
}
