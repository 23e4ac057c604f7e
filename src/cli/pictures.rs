//! Reconstructions as grey pictures.

use crate::data::stack::Stack;
use crate::data::{Image, png};
use crate::error::Result;
use crate::files;
use crate::metrics;
use std::path::Path;

/// The items of `stack` as images, complex ones by their magnitude.
///
/// # Errors
/// None for a stack that was read.
pub(super) fn images(stack: &Stack) -> Result<Vec<Image>> {
    let item = stack.item();
    let size = [item.h(), item.w()];
    (stack.values.chunks_exact(item.elements()))
        .map(|values| Image::new(size, metrics::magnitude(values, item.c()).into_owned()))
        .collect()
}

/// Writes each image of `stack` as `NNN.png` with 16 bits, all with one grey window: from 0, or the
/// smallest value if that is negative, to the largest value.
///
/// # Errors
/// [`crate::error::Error::Io`]; [`crate::error::Error::NotFinite`] if a pixel is NaN.
pub(super) fn write(directory: &Path, stack: &Stack) -> Result<()> {
    files::create_directory(directory)?;
    let images = images(stack)?;
    let (mut low, mut high) = (0.0f32, f32::MIN_POSITIVE);
    for &value in images.iter().flat_map(|image| &image.pixels) {
        (low, high) = (low.min(value), high.max(value));
    }
    for (i, image) in images.iter().enumerate() {
        png::write_png16(directory.join(format!("{i:03}.png")), image, [low, high])?;
    }
    Ok(())
}
