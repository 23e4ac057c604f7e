// What a convolution reads outside the image, chosen by one of the flags ZERO, REPLICATE,
// CIRCULAR.

// The index inside [0, extent) that is read for `index`.
#ifdef CIRCULAR
fn resolve(index: i32, extent: i32) -> i32 {
    return ((index % extent) + extent) % extent;
}
#endif
#ifdef REPLICATE
fn resolve(index: i32, extent: i32) -> i32 {
    return clamp(index, 0, extent - 1);
}
#endif
#ifdef ZERO
// Only made safe to read: ask `inside` too.
fn resolve(index: i32, extent: i32) -> i32 {
    return clamp(index, 0, extent - 1);
}

// Whether `index` lies in [0, extent).
fn inside(index: i32, extent: i32) -> bool {
    return index >= 0 && index < extent;
}
#endif
