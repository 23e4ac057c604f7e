// What the kernels of ray/ read and write in the entries of a batch. With a flag BATCH, a thread has the same
// ray or pixels in ENTRIES of them, which share what the geometry costs, and which may be bound apart; the
// functions for so many are generated (kernels::ray_transform), those for one stand here.

#import lib/ray

// Two elements of a line, from the first of an entry on, and their weights.
struct Between {
    at: Indices,
    next: Indices,
    weight: Lanes,
    other: Lanes,
}

// What a line holds at `place`, where a ray of this slope crosses it, between elements `low..=high`,
// which are `step` apart and of which element 0 is (or would be) at `line`; zero one element outside.
// The two elements are always in range and the weights decide, so that nothing branches around a load.
// With a slope of 1 either way of weighting interpolates linearly.
fn between(
    place: Lanes,
    slope: Lanes,
    low: f32,
    high: f32,
    line: Indices,
    step: u32,
) -> Between {
    let left = clamp(floor(place), Lanes(low), Lanes(max(high - 1.0, low)));
    let right = left + 1.0;
    // The only element of a line has no neighbour.
    let next = select(0u, step, low < high);
    let other = select(Lanes(0.0), share(place - right, slope), low < high);
    let at = line + Indices(left) * step;
    return Between(at, at + next, share(place - left, slope), other);
}

// That, in each entry.
fn interpolated(between: Between, origins: Places) -> Entries {
    let first = times(elements_of(origins, between.at), between.weight);
    return plus(first, times(elements_of(origins, between.next), between.other));
}

// Groups of ENTRIES entries, each of which is a thread's.
fn groups_of_entries() -> u32 {
    return (params.n + ENTRIES - 1u) / ENTRIES;
}

// The number in the batch of an entry of the dispatch. What is beyond the last entry repeats it.
fn entry_number(entry: Indices) -> Indices {
    return params.item + min(entry, Indices(params.n - 1u));
}

// What earlier dispatches have added up, of the lines or views before.
fn before(at: Indices) -> Lanes {
    if params.begin > 0u {
        return results(at);
    }
    return Lanes(0.0);
}

fn before_one(at: u32) -> f32 {
    if params.begin > 0u {
        return result[at];
    }
    return 0.0;
}

#ifdef BATCH
#import generated/entries
#else
const ENTRIES: u32 = 1u;

// What a thread works on at once, of each entry; and where it begins.
alias Entries = Lanes;
alias Places = Indices;

fn each(value: f32) -> Entries {
    return Lanes(value);
}

fn plus(a: Entries, b: Entries) -> Entries {
    return a + b;
}

fn times(a: Entries, factor: Lanes) -> Entries {
    return a * factor;
}

fn only(flags: Flags, a: Entries) -> Entries {
    return select(Lanes(0.0), a, flags);
}

// Of entries of `size` elements, from one of the dispatch on.
fn places(entry: Indices, size: u32) -> Places {
    return entry_number(entry) * size;
}

// The same in the source.
fn sources(entry: Indices, size: u32) -> Places {
    return places(entry, size) - params.starts.x;
}

fn elements_of(origins: Places, at: Indices) -> Entries {
    return elements(origins + at);
}

// All threads of the workgroup must get here.
fn joined_entries(own: Entries, lane: u32) -> Entries {
    return joined(own, lane);
}

// The results of pixels.
fn put(origins: Places, at: Indices, value: Entries) {
    let place = origins + at;
    write(place, before(place) + value);
}

// The result of a ray: the sum of what its lanes have.
fn put_sum(origins: Places, at: u32, value: Entries) {
    let place = one_place(origins) + at;
    result[place] = before_one(place) + sum(value);
}
#endif
