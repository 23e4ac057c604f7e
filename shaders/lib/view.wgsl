// The rays of one view: of a fan-beam geometry (lib/fan) with a flag FAN, else of a parallel-beam
// one, which kernels::ray_transform::view_table lays out as one vec4, because a load costs nearly
// the same for four numbers as for one. The angles' sines and cosines were taken on the host in f64.
//
// x: crossing coordinate (in pixels, from the line's first) per bin.
// y: the same per line.
// z: the same at the centre.
// w: metres of ray in one line; positive if rays cross rows, negative if they cross columns.

#import lib/ray

#ifdef FAN
#import lib/fan

// A ray, or one for each lane.
struct Ray {
    // Pixels from line to line.
    per_line: Lanes,
    // Crossing coordinate (in pixels, from the line's first) at the central line.
    at_centre: Lanes,
    // Metres in one line; positive if it crosses rows, negative if it crosses columns.
    metres: Lanes,
}

// The ray of a whole bin.
fn ray_of(view: vec4<f32>, bin: Lanes) -> Ray {
    let t = tangent(bin);
    let along = abs(per_column(view, t)) >= abs(per_row(view, t));
    let met = meeting(view, t, along);
    let last = select(Lanes(f32(params.rows - 1u)), Lanes(f32(params.columns - 1u)), along);
    let metres = params.metres * sqrt(fma(t, t, Lanes(1.0))) / abs(met.steep);
    return Ray(met.per_line, fma(Lanes(0.5), last, met.at_centre), select(-metres, metres, along));
}

// Where the ray crosses the centred line: the same expression, hence the same rounding, in the
// transform and in its transpose.
fn crossing(ray: Ray, line: Lanes) -> Lanes {
    return fma(ray.per_line, line, ray.at_centre);
}
#else

// A ray, or one for each lane.
struct Ray {
    // Pixels from line to line.
    per_line: Lanes,
    // Crossing coordinate (in pixels, from the line's first) at the central line.
    at_centre: Lanes,
    // Metres in one line; positive if it crosses rows, negative if it crosses columns.
    metres: Lanes,
    // The centred bin, the coordinate per bin, and that of the centre.
    q: Lanes,
    per_bin: Lanes,
    shift: Lanes,
}

// The ray of a whole bin.
fn ray_of(view: vec4<f32>, bin: Lanes) -> Ray {
    let q = bin - 0.5 * f32(params.bins - 1u);
    let at_centre = fma(Lanes(view.x), q, Lanes(view.z));
    return Ray(Lanes(view.y), at_centre, Lanes(view.w), q, Lanes(view.x), Lanes(view.z));
}

// Where the ray crosses the centred line: the same expression, hence the same rounding, in the
// transform and in its transpose. What the rays of a view share comes first, so that a loop over
// bins computes it once.
fn crossing(ray: Ray, line: Lanes) -> Lanes {
    return fma(ray.per_bin, ray.q, fma(ray.per_line, line, ray.shift));
}
#endif
