// Index arithmetic shared by kernels. Arrays are row-major; extents are written N C H W.

// The number of this workgroup in a 1-D dispatch that was folded into y and z because it has more
// than 65535 groups.
//
// id:     @builtin(workgroup_id)
// groups: @builtin(num_workgroups)
//
// A folded dispatch may have more groups than asked for: compare the result with the count in
// `params` before using it.
fn linear_workgroup(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return (id.z * groups.y + id.y) * groups.x + id.x;
}

// The offset of the element at `position` in an array of `extent`, both N C H W.
fn ravel(position: vec4<u32>, extent: vec4<u32>) -> u32 {
    return ((position.x * extent.y + position.y) * extent.z + position.z) * extent.w + position.w;
}

// The position N C H W of the element at `offset` in an array of `extent`: undoes `ravel`.
fn unravel(offset: u32, extent: vec4<u32>) -> vec4<u32> {
    let row = offset / extent.w;
    let plane = row / extent.z;
    let item = plane / extent.y;
    return vec4<u32>(
        item,
        plane - item * extent.y,
        row - plane * extent.z,
        offset - row * extent.w,
    );
}

// The offset of `position` with element strides `strides`.
fn strided(position: vec4<u32>, strides: vec4<u32>) -> u32 {
    let terms = position * strides;
    return terms.x + terms.y + terms.z + terms.w;
}
