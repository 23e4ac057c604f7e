// The places of the padded image that stand for `step` pixels from `index` on, chosen by one of the
// flags ZERO, REPLICATE, CIRCULAR: walk from `first_alias` with `next_alias` until `extent + radius`.
// Index, extent and radius are multiples of the step.

#ifdef REPLICATE
fn first_alias(index: i32, extent: i32, radius: i32) -> i32 {
    return select(index, -radius, index == 0);
}

fn next_alias(place: i32, index: i32, step: i32, extent: i32, radius: i32) -> i32 {
    let more = place < index || index + step == extent;
    return select(extent + radius, place + step, more);
}
#endif
#ifdef CIRCULAR
// The smallest place >= -radius that is congruent to index.
fn first_alias(index: i32, extent: i32, radius: i32) -> i32 {
    return index - (index + radius) / extent * extent;
}

fn next_alias(place: i32, index: i32, step: i32, extent: i32, radius: i32) -> i32 {
    return place + extent;
}
#endif
#ifdef ZERO
fn first_alias(index: i32, extent: i32, radius: i32) -> i32 {
    return index;
}

fn next_alias(place: i32, index: i32, step: i32, extent: i32, radius: i32) -> i32 {
    return extent + radius;
}
#endif
