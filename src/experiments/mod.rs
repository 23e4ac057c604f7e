//! Named experiments: the demo, and the papers' figures.

pub mod demo;
mod scores;

pub use scores::{Method, Scores, Summary, picture};
