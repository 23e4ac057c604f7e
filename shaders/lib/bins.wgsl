// Where pixels fall on the detector in one view: of a fan-beam geometry (lib/fan) with a flag FAN,
// else of a parallel-beam one, as kernels::ray_transform::bin_table lays it out. Sines and cosines
// were taken on the host in f64.
//
// x: bins per column.
// y: bins per row.
// z: the place of the image's centre.

#import lib/ray
#ifdef FAN
#import lib/fan
#endif

// A bin index, fractional, and the weight that the back-projection of a fan has there.
struct Place {
    bin: Lanes,
    weight: Lanes,
}

// The place of the pixel at the centred row and column: the same expression, hence the same
// rounding, in the back-projection and in its transpose.
fn bin_place(view: vec4<f32>, row: Lanes, column: Lanes) -> Place {
#ifdef FAN
    let depth = 1.0 - fma(Lanes(view.y), column, view.w * row);
    let across = fma(Lanes(view.x), column, -view.z * row);
    // Of the distance from the source along the central ray, or of the distance itself.
#ifdef CURVED
    let square = fma(depth, depth, across * across);
#else
    let square = depth * depth;
#endif
    return Place(bin_of(across / depth), 1.0 / square);
#else
    return Place(fma(Lanes(view.x), column, fma(Lanes(view.y), row, Lanes(view.z))), Lanes(1.0));
#endif
}
