//! Rust mirrors of WGSL uniform structs, compared and not trusted.

use super::reflect::{Binding, BindingClass};
use crate::error::{Error, Result};

/// Rust mirror of a WGSL `Params` uniform. Made by the `params!` macro.
pub trait Params: bytemuck::Pod {
    /// Name, offset in bytes and size in bytes of each field, in order.
    const FIELDS: &'static [(&'static str, usize, usize)];
}

/// Defines a `#[repr(C)]` struct that mirrors a WGSL uniform struct, and its `Params` impl.
///
/// Padding is written out as fields (`_pad0: u32`) on both sides; bytemuck rejects any other at
/// compile time. In WGSL a `vec2` starts at a multiple of 8 bytes, a `vec3` or `vec4` and each
/// element of an array at a multiple of 16.
#[allow(unused_macros, reason = "for the rooms below")]
macro_rules! params {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $Name:ident {
            $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $Type:ty),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        // The fields are the shader's, and are explained there.
        #[allow(missing_docs)]
        $visibility struct $Name {
            $($(#[$field_meta])* $field_visibility $field: $Type),*
        }

        impl $crate::shader::Params for $Name {
            const FIELDS: &'static [(&'static str, usize, usize)] = &[
                $((
                    stringify!($field),
                    ::core::mem::offset_of!($Name, $field),
                    ::core::mem::size_of::<$Type>(),
                )),*
            ];
        }
    };
}
pub(crate) use params;

/// Compares the Rust struct with the WGSL struct behind `binding`: field names, offsets and sizes
/// in order, and the total size.
///
/// # Errors
/// [`Error::Shader`] with the first difference.
pub fn compare_params<P: Params>(binding: &Binding) -> Result<()> {
    let rust = std::any::type_name::<P>();
    let rust = rust.rsplit("::").next().unwrap_or(rust);
    compare_fields(rust, P::FIELDS, size_of::<P>(), binding)
}

/// [`compare_params`] of a struct that is known by its name `rust`, its fields and its size alone.
///
/// # Errors
/// [`Error::Shader`] with the first difference.
pub fn compare_fields(
    rust: &str,
    fields: &[(&str, usize, usize)],
    bytes: usize,
    binding: &Binding,
) -> Result<()> {
    let name = &binding.name;
    let differ = |what: String| Err(Error::Shader(format!("`{name}` and {rust} differ: {what}")));
    if binding.class != BindingClass::Uniform || binding.fields.is_empty() {
        return differ(format!(
            "`{name}` is not a uniform struct in WGSL; declare `var<uniform> {name}: Params`"
        ));
    }
    let describe = |field: Option<(&str, usize, usize)>| match field {
        Some((name, offset, size)) => format!("`{name}` at byte {offset}, {size} bytes"),
        None => "no field".to_owned(),
    };
    for index in 0..fields.len().max(binding.fields.len()) {
        let ours = fields.get(index).copied();
        let theirs = binding.fields.get(index);
        let theirs = theirs.map(|f| (f.name.as_str(), f.offset as usize, f.size as usize));
        if ours != theirs {
            return differ(format!(
                "field {index} is {} in WGSL and {} in Rust",
                describe(theirs),
                describe(ours)
            ));
        }
    }
    let bytes = bytes as u64;
    if bytes != binding.min_size {
        return differ(format!(
            "the struct has {} bytes in WGSL and {bytes} in Rust; write the padding at its end as \
             fields on both sides",
            binding.min_size
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::check_text;
    use super::*;

    params! {
        /// Mirrors the WGSL of [`binding`].
        struct Sizes {
            n: u32,
            scale: f32,
            _pad0: [u32; 2],
            extent: [u32; 4],
            twiddles: [[f32; 4]; 2],
        }
    }
    params! { struct Renamed { n: u32, gain: f32, _pad0: [u32; 2], extent: [u32; 4], twiddles: [[f32; 4]; 2] } }
    params! { struct Unpadded { n: u32, scale: f32, extent: [u32; 4], twiddles: [[f32; 4]; 2], _pad0: [u32; 2] } }
    params! { struct Short { n: u32, scale: f32, _pad0: [u32; 2], extent: [u32; 4] } }
    params! { struct Three { x: [f32; 3] } }

    fn binding(members: &str, used: &str) -> Binding {
        let text = format!(
            "struct Params {{ {members} }}\n\
             @group(0) @binding(0) var<uniform> params: Params;\n\
             @group(0) @binding(1) var<storage, read_write> result: array<f32>;\n\
             @compute @workgroup_size(1) fn main() {{ result[0] = {used}; }}\n"
        );
        check_text(&text)
            .interface
            .binding("params")
            .unwrap()
            .clone()
    }

    fn sizes() -> Binding {
        binding(
            "n: u32, scale: f32, _pad0: vec2<u32>, extent: vec4<u32>, twiddles: array<vec4<f32>, 2>",
            "params.scale",
        )
    }

    #[test]
    fn equal_layouts_pass() {
        compare_params::<Sizes>(&sizes()).unwrap();
        let value = Sizes {
            n: 1,
            scale: 2.0,
            _pad0: [0; 2],
            extent: [3; 4],
            twiddles: [[0.0; 4]; 2],
        };
        assert_eq!(bytemuck::bytes_of(&value).len() as u64, sizes().min_size);
    }

    fn difference<P: Params>(binding: &Binding) -> String {
        compare_params::<P>(binding).unwrap_err().to_string()
    }

    #[test]
    fn the_first_difference_is_named() {
        let message = difference::<Renamed>(&sizes());
        assert!(
            message.contains(
                "`params` and Renamed differ: field 1 is `scale` at byte 4, 4 bytes in WGSL \
                 and `gain` at byte 4, 4 bytes in Rust"
            ),
            "{message}"
        );
        let message = difference::<Unpadded>(&sizes());
        assert!(
            message.contains("field 2 is `_pad0` at byte 8"),
            "{message}"
        );
        let message = difference::<Short>(&sizes());
        assert!(message.contains("field 4 is `twiddles`"), "{message}");
        assert!(message.ends_with("no field in Rust"), "{message}");
    }

    #[test]
    fn the_total_size_counts_padding_at_the_end() {
        let message = difference::<Three>(&binding("x: vec3<f32>", "params.x.x"));
        assert!(
            message.contains("16 bytes in WGSL and 12 in Rust"),
            "{message}"
        );
    }

    #[test]
    fn storage_is_not_a_mirror() {
        let mut storage = sizes();
        storage.class = BindingClass::Storage { read_only: true };
        assert!(difference::<Sizes>(&storage).contains("not a uniform struct"));
    }
}
