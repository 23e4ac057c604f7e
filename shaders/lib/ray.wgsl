// What the kernels of ray/ share: parameters, bindings, interpolation, and which thread does what. A
// flag UNIFORM reads the source through a uniform binding of SOURCE quads, or the part of it that fits
// there; with FOUR a thread works on four pixels, or on four lines of its ray, at once; with SHARED,
// SHARES threads (a power of two) of a workgroup of THREADS share each result (lib/entries: in several
// entries of the batch). SIDDON weights pixels by the length of the ray inside them instead of by
// Joseph's interpolation.

struct Params {
    // Entries of the batch, and the first of them.
    n: u32,
    item: u32,
    // Rows of an image or views of a sinogram that the source holds.
    begin: u32,
    end: u32,
    // The elements of the whole with which the source starts, one for each of a thread's entries if they
    // lie apart.
    starts: vec4<u32>,
    rows: u32,
    columns: u32,
    views: u32,
    bins: u32,
    // Of a fan (lib/fan): the tangent (of a curved detector: the angle) of the central bin and its
    // change per bin, bins per change of 1, and pixel height times pixel width by the distance from
    // the source to the centre, in metres.
    shift: f32,
    per_bin: f32,
    bins_per: f32,
    metres: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
#ifdef UNIFORM
@group(0) @binding(1) var<uniform> source: array<vec4<f32>, SOURCE>;
#else
@group(0) @binding(1) var<storage, read> source: array<f32>;
#endif
#ifdef UNIFORM_VIEWS
@group(0) @binding(2) var<uniform> views: array<vec4<f32>, VIEWS>;
#else
@group(0) @binding(2) var<storage, read> views: array<vec4<f32>>;
#endif
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

fn element(index: u32) -> f32 {
#ifdef UNIFORM
    return source[index / 4u][index % 4u];
#else
    return source[index];
#endif
}

// What a thread works on at once.
#ifdef FOUR
alias Lanes = vec4<f32>;
alias Indices = vec4<u32>;
alias Flags = vec4<bool>;

const LANES: u32 = 4u;
const NUMBERS: Indices = vec4<u32>(0u, 1u, 2u, 3u);

fn sum(x: Lanes) -> f32 {
    return (x.x + x.y) + (x.z + x.w);
}

fn largest(x: Lanes) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

// Of what is the same in every lane.
fn one(x: Lanes) -> f32 {
    return x.x;
}

fn one_place(at: Indices) -> u32 {
    return at.x;
}

fn elements(at: Indices) -> Lanes {
    return vec4<f32>(element(at.x), element(at.y), element(at.z), element(at.w));
}

fn results(at: Indices) -> Lanes {
    return vec4<f32>(result[at.x], result[at.y], result[at.z], result[at.w]);
}

fn write(at: Indices, value: Lanes) {
    result[at.x] = value.x;
    result[at.y] = value.y;
    result[at.z] = value.z;
    result[at.w] = value.w;
}
#else
alias Lanes = f32;
alias Indices = u32;
alias Flags = bool;

const LANES: u32 = 1u;
const NUMBERS: Indices = 0u;

fn sum(x: Lanes) -> f32 {
    return x;
}

fn largest(x: Lanes) -> f32 {
    return x;
}

fn one(x: Lanes) -> f32 {
    return x;
}

fn one_place(at: Indices) -> u32 {
    return at;
}

fn elements(at: Indices) -> Lanes {
    return element(at);
}

fn results(at: Indices) -> Lanes {
    return result[at];
}

fn write(at: Indices, value: Lanes) {
    result[at] = value;
}
#endif

#ifdef SHARED
// Results of a workgroup, or fours of pixels with FOUR.
const NEIGHBOURS: u32 = THREADS / SHARES;

var<workgroup> sums: array<Lanes, THREADS>;

// Which of the workgroup's results a thread works on. Threads next to each other work on results next
// to each other, so that they read next to each other.
fn neighbour(lane: u32) -> u32 {
    return lane % NEIGHBOURS;
}

// Which of a result's terms: every SHARES-th from this one on. At any time the threads of a workgroup
// then read lines or views next to each other, and each adds up fewer.
fn first_term(lane: u32) -> u32 {
    return lane / NEIGHBOURS;
}

// What the threads of a result have added up, in the first of them: a fixed tree, so that it is the
// same in every run. All threads of the workgroup must get here.
fn joined(own: Lanes, lane: u32) -> Lanes {
    sums[lane] = own;
    workgroupBarrier();
    for (var width = THREADS / 2u; width >= NEIGHBOURS; width /= 2u) {
        if lane < width {
            sums[lane] += sums[lane + width];
        }
        workgroupBarrier();
    }
    return sums[lane];
}
#else
const THREADS: u32 = 64u;
const SHARES: u32 = 1u;
const NEIGHBOURS: u32 = THREADS;

fn neighbour(lane: u32) -> u32 {
    return lane;
}

fn first_term(lane: u32) -> u32 {
    return 0u;
}

fn joined(own: Lanes, lane: u32) -> Lanes {
    return own;
}
#endif

// The weight of linear interpolation for an element at this distance: the same expression, hence
// the same rounding, in every transform and in its transpose.
fn hat(distance: Lanes) -> Lanes {
    return max(1.0 - abs(distance), Lanes(0.0));
}

// The share of a line's ray that a pixel gets at this distance from the crossing, of a ray that moves
// by `slope` pixels from line to line: shape::Projector::share.
fn share(distance: Lanes, slope: Lanes) -> Lanes {
#ifdef SIDDON
    let covered = max(abs(slope), Lanes(0.0009765625));
    return clamp((0.5 + 0.5 * covered - abs(distance)) / covered, Lanes(0.0), Lanes(1.0));
#else
    return hat(distance);
#endif
}
