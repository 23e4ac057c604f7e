// Where numbers lie in a texture that stands for a buffer: four to a texel, as gpu::Texture copies
// them.

// The place of quad `i`.
fn texel(i: u32) -> vec2<u32> {
    return vec2<u32>(i % 1024u, i / 1024u);
}
