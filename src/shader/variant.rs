//! The structural choices that turn one WGSL file into one of several kernels.

use std::collections::{BTreeMap, BTreeSet};

/// The value of a WGSL `const`. Floats are held by their bits, so that variants compare and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Constant {
    /// `u32`.
    Unsigned(u32),
    /// `i32`.
    Signed(i32),
    /// `f32`, as [`f32::to_bits`].
    Float(u32),
}

impl From<u32> for Constant {
    fn from(value: u32) -> Self {
        Constant::Unsigned(value)
    }
}

impl From<i32> for Constant {
    fn from(value: i32) -> Self {
        Constant::Signed(value)
    }
}

impl From<f32> for Constant {
    fn from(value: f32) -> Self {
        Constant::Float(value.to_bits())
    }
}

impl Constant {
    /// `const NAME: u32 = 8u;`, or `None` for a float that WGSL cannot write (NaN, infinity).
    pub(super) fn declaration(self, name: &str) -> Option<String> {
        Some(match self {
            Constant::Unsigned(value) => format!("const {name}: u32 = {value}u;"),
            // No suffix: `-2147483648i` would be the negation of a number that i32 cannot hold.
            Constant::Signed(value) => format!("const {name}: i32 = {value};"),
            Constant::Float(bits) => {
                let value = f32::from_bits(bits);
                // Rust's shortest form reads back as the same f32.
                value
                    .is_finite()
                    .then(|| format!("const {name}: f32 = {value:?}f;"))?
            }
        })
    }
}

/// Typed structural choices of a kernel: constants, flags for `#ifdef`, and generated snippets
/// importable as `#import generated/NAME`.
///
/// ```
/// use equilens::shader::Variant;
/// let variant = Variant::new().constant("TILE_X", 8u32).flag_if("HAS_BIAS", true);
/// assert_eq!(variant, Variant::new().flag("HAS_BIAS").constant("TILE_X", 8u32));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variant {
    pub(super) constants: Vec<(&'static str, Constant)>,
    pub(super) flags: BTreeSet<&'static str>,
    pub(super) snippets: BTreeMap<&'static str, String>,
}

impl Variant {
    /// No constants, flags or snippets.
    pub fn new() -> Self {
        Variant::default()
    }

    /// Declares `const name` in front of the file, after the constants given before. A second
    /// value for the same name replaces the first in its place.
    pub fn constant(mut self, name: &'static str, value: impl Into<Constant>) -> Self {
        let value = value.into();
        match self.constants.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.constants.push((name, value)),
        }
        self
    }

    /// Makes `#ifdef name` true.
    pub fn flag(mut self, name: &'static str) -> Self {
        self.flags.insert(name);
        self
    }

    /// [`Variant::flag`] where `condition` holds.
    pub fn flag_if(self, name: &'static str, condition: bool) -> Self {
        if condition { self.flag(name) } else { self }
    }

    /// Makes `#import generated/name` insert `text`, which may itself import. A second text for
    /// the same name replaces the first.
    pub fn snippet(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.snippets.insert(name, text.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_keep_their_order_and_last_value() {
        let variant = Variant::new()
            .constant("B", 1u32)
            .constant("A", 2i32)
            .constant("B", 3u32);
        assert_eq!(
            variant.constants,
            [("B", Constant::Unsigned(3)), ("A", Constant::Signed(2))]
        );
    }

    #[test]
    fn equality_sees_every_part() {
        let base = || Variant::new().constant("A", 1.0f32);
        assert_eq!(base(), base());
        assert_ne!(base(), Variant::new().constant("A", 1u32));
        assert_ne!(base(), base().flag("F"));
        assert_eq!(base(), base().flag_if("F", false));
        assert_ne!(base().snippet("s", "x"), base().snippet("s", "y"));
    }

    /// naga is the independent reader: what it parses must be the value that was given.
    #[test]
    fn declarations_read_back_bit_for_bit() {
        let read = |constant: Constant| {
            let text = constant.declaration("X").unwrap();
            let module = naga::front::wgsl::parse_str(&text).unwrap();
            let (_, constant) = module.constants.iter().next().unwrap();
            match module.global_expressions[constant.init] {
                naga::Expression::Literal(naga::Literal::U32(value)) => Constant::from(value),
                naga::Expression::Literal(naga::Literal::I32(value)) => Constant::from(value),
                naga::Expression::Literal(naga::Literal::F32(value)) => Constant::from(value),
                ref other => panic!("{other:?}"),
            }
        };
        for value in [0, 8, u32::MAX] {
            assert_eq!(read(value.into()), value.into());
        }
        for value in [i32::MIN, -1, 0, i32::MAX] {
            assert_eq!(read(value.into()), value.into());
        }
        let floats = [
            0.0,
            0.1,
            -1.0 / 3.0,
            1e-8,
            1e20,
            f32::MIN_POSITIVE,
            f32::MAX,
        ];
        for value in floats {
            assert_eq!(read(value.into()), value.into(), "{value:?}");
        }
    }

    #[test]
    fn unwritable_floats_have_no_declaration() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(Constant::from(value).declaration("X"), None);
        }
    }
}
