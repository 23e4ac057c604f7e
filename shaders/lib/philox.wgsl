// Philox4x32-10 and the numbers made from its words; step by step as in reference::random.

// The two halves of a * b.
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let low = al * bl;
    let middle = ah * bl + (low >> 16u);
    let other = al * bh + (middle & 0xffffu);
    return vec2<u32>(ah * bh + (middle >> 16u) + (other >> 16u), a * b);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let p = wide_product(c.x, 0xD2511F53u);
        let q = wide_product(c.z, 0xCD9E8D57u);
        c = vec4<u32>(q.x ^ c.y ^ k.x, q.y, p.x ^ c.w ^ k.y, p.y);
        k += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// In (0, 1], from the upper 24 bits.
fn open_unit(word: u32) -> f32 {
    return (f32(word >> 8u) + 0.5) * 5.9604644775390625e-8;
}

// In (-1/2, 1/2).
fn centred_unit(word: u32) -> f32 {
    return (f32(i32(word >> 8u) - 8388608) + 0.5) * 5.9604644775390625e-8;
}
