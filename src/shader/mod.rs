//! WGSL text to checked module. Touches no device.
//!
//! A kernel is one WGSL file of [`sources`]. What the shape of a problem decides at pipeline
//! creation (tile sizes, padding mode, kernel size) is a [`Variant`]; what it decides at run time
//! goes in a [`Params`] uniform.
//!
//! 1. [`compose`] resolves `#import` and `#ifdef` and puts the variant's constants in front. The
//!    [`Composed::hash`] of the result is the key of pipeline caches and tuning records.
//! 2. [`check`] parses and validates it once with naga and reads back its [`Interface`]: bindings
//!    by name, workgroup size and memory, the layout of `Params`. Rust is compared with that
//!    ([`compare_params`]), never kept in step by hand.
//! 3. [`translate`] writes it for every graphics API, so that a machine with one of them can vouch
//!    for the others; [`lint`] holds the rules that a validator does not know.
//!
//! Rules for the WGSL side stand in `shaders/README.md`.

mod compose;
#[cfg(test)]
mod fixtures;
pub mod lint;
mod module;
mod params;
mod reflect;
mod source;
mod translate;
mod variant;

pub(crate) use compose::fnv1a;
pub use compose::{Composed, compose, compose_from};
pub use module::{Module, check, check_library};
pub use params::{Params, compare_fields, compare_params};
pub use reflect::{Binding, BindingClass, Field, Interface};
pub use source::{Source, source, sources};
pub use translate::{Target, translate};
pub use variant::{Constant, Variant};

#[allow(
    unused_imports,
    reason = "for the files that declare kernel parameters"
)]
pub(crate) use params::params;
