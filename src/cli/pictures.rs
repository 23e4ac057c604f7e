//! Reconstructions as grey pictures.

use super::stacks::Stack;
use crate::data::{Image, png};
use crate::error::Result;
use crate::files;
use std::path::Path;

/// The items of `stack` as images, complex ones by their magnitude.
///
/// # Errors
/// None for a stack that was read.
pub(super) fn images(stack: &Stack) -> Result<Vec<Image>> {
    let item = stack.item();
    let (size, plane) = ([item.h(), item.w()], item.h() * item.w());
    let magnitude = |values: &[f32]| -> Vec<f32> {
        match values.split_at(plane) {
            (real, []) => real.to_vec(),
            (re, im) => re.iter().zip(im).map(|(re, im)| re.hypot(*im)).collect(),
        }
    };
    (stack.values.chunks_exact(item.elements()))
        .map(|values| Image::new(size, magnitude(values)))
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
