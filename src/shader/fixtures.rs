//! Shorthand of this room's unit tests.

use super::{Composed, Module, Variant, check, compose_from};
use crate::error::Result;

/// Composes the first of `files`, given as (path, text).
pub fn compose_files(files: &[(&str, &str)], variant: &Variant) -> Result<Composed> {
    let lookup = |path: &str| files.iter().find(|file| file.0 == path).map(|file| file.1);
    compose_from(&lookup, files[0].0, variant)
}

/// Composes one file, `test.wgsl`, with the empty variant.
pub fn compose_text(text: &str) -> Composed {
    compose_files(&[("test.wgsl", text)], &Variant::new()).unwrap()
}

/// [`compose_text`], then [`check`].
pub fn check_text(text: &str) -> Module {
    check(compose_text(text)).unwrap()
}
