// One view of a parallel-beam geometry, as kernels::ray_transform::view_table lays it out: one
// vec4, because a load costs nearly the same for four numbers as for one. The angles' sines and
// cosines were taken on the host in f64.
//
// x: crossing coordinate (in pixels, from the line's first) per bin.
// y: the same per line.
// z: the same at the centre.
// w: metres of ray in one line; positive if rays cross rows, negative if they cross columns.

#import lib/ray

fn crosses_rows(view: vec4<f32>) -> bool {
    return view.w > 0.0;
}

// Where the ray of centred bin q crosses the centred line: the same expression, hence the same
// rounding, in the transform and in its transpose.
fn crossing(view: vec4<f32>, q: Lanes, line: Lanes) -> Lanes {
    return fma(Lanes(view.x), q, fma(Lanes(view.y), line, Lanes(view.z)));
}
