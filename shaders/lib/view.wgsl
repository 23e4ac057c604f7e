// One view of a parallel-beam geometry, as kernels::ray_transform::view_table lays it out. The
// angles' sines and cosines were taken on the host in f64.

struct View {
    // 1: rays cross rows; 0: rays cross columns.
    along_rows: u32,
    // Crossing coordinate (in pixels, from the image's centre) per bin, per line, and at the centre.
    per_bin: f32,
    per_step: f32,
    shift: f32,
    // Metres of ray in one line.
    weight: f32,
    // 1 / per_bin.
    per_unit: f32,
    pad0: u32,
    pad1: u32,
}

// Where the ray of centred bin q crosses the centred line: the same expression, hence the same
// rounding, in the transform and in its transpose.
fn crossing(view: View, q: f32, line: f32) -> f32 {
    return fma(view.per_bin, q, fma(view.per_step, line, view.shift));
}
