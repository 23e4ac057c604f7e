// One view of a fan-beam geometry, as kernels::ray_transform::fan_table lays it out: a pixel of
// height h and width w at the centred row r and column c, the source at the distance R in the view
// at the angle theta. Sines and cosines were taken on the host in f64.
//
// x: cos(theta) w / R.
// y: sin(theta) w / R.
// z: sin(theta) h / R.
// w: cos(theta) h / R.
//
// A ray is known by t, the tangent of its angle at the source with the central one: it is the line
// (x + t y) c - (z - t w) r = t.

#import lib/ray

#ifdef CURVED
// The tangents of the bins -1 .. bins, of a curved detector.
@group(0) @binding(4) var<storage, read> tangents: array<f32>;
#endif

// t of whole bins from -1 to `bins`.
fn tangent(bin: Lanes) -> Lanes {
#ifdef CURVED
    let at = Indices(bin + 1.0);
#ifdef FOUR
    return vec4<f32>(tangents[at.x], tangents[at.y], tangents[at.z], tangents[at.w]);
#else
    return tangents[at];
#endif
#else
    return fma(bin - 0.5 * f32(params.bins - 1u), Lanes(params.per_bin), Lanes(params.shift));
#endif
}

// The arc tangent to 1e-8, a polynomial on [0, tan(pi / 8)]: WGSL's own may be off by 4096 units in
// the last place.
fn arctan(t: Lanes) -> Lanes {
    let size = abs(t);
    // Beyond 3 pi / 8, and beyond pi / 8.
    let large = size > Lanes(2.41421356);
    let middle = size > Lanes(0.41421356);
    let numerator = select(select(size, size - 1.0, middle), Lanes(-1.0), large);
    let denominator = select(select(Lanes(1.0), size + 1.0, middle), size, large);
    let start = select(select(Lanes(0.0), Lanes(0.78539816), middle), Lanes(1.57079633), large);
    let x = numerator / denominator;
    let z = x * x;
    var tail = fma(Lanes(0.0788249), z, Lanes(-0.13817132));
    tail = fma(fma(tail, z, Lanes(0.19971039)), z, Lanes(-0.33332727));
    let angle = start + fma(tail * z, x, x);
    return select(angle, -angle, t < Lanes(0.0));
}

// The bin, fractional, of the ray t.
fn bin_of(t: Lanes) -> Lanes {
#ifdef CURVED
    let along = arctan(t);
#else
    let along = t;
#endif
    return fma(along - params.shift, Lanes(params.bins_per), Lanes(0.5 * f32(params.bins - 1u)));
}

// Where a ray crosses rows if `along`, else columns: at `at_centre + per_line * line`, both in pixels
// from the image's centre. `steep` is what it was divided by.
struct Meeting {
    per_line: Lanes,
    at_centre: Lanes,
    steep: Lanes,
}

// How steeply the ray t crosses rows: the change of its equation per column.
fn per_column(view: vec4<f32>, t: Lanes) -> Lanes {
    return fma(t, Lanes(view.y), Lanes(view.x));
}

// How steeply it crosses columns: the change of its equation per row, negated.
fn per_row(view: vec4<f32>, t: Lanes) -> Lanes {
    return fma(-t, Lanes(view.w), Lanes(view.z));
}

fn meeting(view: vec4<f32>, t: Lanes, along: Flags) -> Meeting {
    let a = per_column(view, t);
    let b = per_row(view, t);
    let steep = select(b, a, along);
    return Meeting(select(a, b, along) / steep, select(-t, t, along) / steep, steep);
}

// The bins of all rays that pass a pixel by less than one pixel, along its row or along its column:
// `count` of them from `first` on. Rounding may add one to either side: the weight decides.
struct Bins {
    first: Lanes,
    count: Lanes,
}

fn bins_near(view: vec4<f32>, row: Lanes, column: Lanes) -> Bins {
    let depth = 1.0 - fma(Lanes(view.y), column, view.w * row);
    let t = fma(Lanes(view.x), column, -view.z * row) / depth;
    // t of the neighbours: the source is more than a pixel away from the image.
    let reach = max(
        abs(per_column(view, t)) / (depth - abs(view.y)),
        abs(per_row(view, t)) / (depth - abs(view.w)),
    );
    let last = f32(params.bins - 1u);
    let first = clamp(ceil(bin_of(t - reach) - 0.01), Lanes(0.0), Lanes(last));
    let end = clamp(floor(bin_of(t + reach) + 0.01), Lanes(-1.0), Lanes(last));
    return Bins(first, end - first + 1.0);
}
