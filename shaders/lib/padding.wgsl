// What a convolution reads outside the image, chosen by one of the flags ZERO, REPLICATE,
// CIRCULAR.

// The index inside [0, extent) that is read for `index`.
#ifdef CIRCULAR
fn resolve(index: i32, extent: i32) -> i32 {
    // Unsigned, because GLSL leaves the remainder of negative numbers undefined. Windows reach at
    // most 8 pixels beyond the image.
    return i32(u32(index + 16 * extent) % u32(extent));
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
