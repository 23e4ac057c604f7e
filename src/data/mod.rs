//! Images and arrays on the host: where they come from, how they are stored, what they look like.
//!
//! | file | holds |
//! | --- | --- |
//! | [`mod@array`] | shape and values, as in `.npy` files |
//! | [`npy`] | `.npy` files, read with suspicion |
//! | [`stack`] | `.npy` files as batches of images or measurements |
//! | [`image`] | grey images: canvas, downsampling |
//! | [`png`] | grey and colour PNG |
//! | [`panel`] | labelled images side by side, error maps |
//! | [`assets`] | the real images that the program carries |
//! | [`mask`], [`coils`], [`phase`] | sampling patterns of k-space, coil sensitivities, smooth phases |
//! | [`phantom`] | analytic phantoms and their line integrals |
//! | [`affine`] | random affine maps of images |
//! | [`random`] | seeded streams that are the same on every platform |
//!
//! Images are row-major, rows first. Nothing here touches a GPU.

pub mod affine;
pub mod array;
pub mod assets;
pub mod coils;
mod font;
pub mod image;
pub mod mask;
pub mod npy;
pub mod panel;
pub mod phantom;
pub mod phase;
pub mod png;
pub mod random;
pub mod stack;

pub use affine::AffineRanges;
pub use array::{AnyArray, Array, ComplexArray};
pub use image::Image;
pub use random::Stream;
