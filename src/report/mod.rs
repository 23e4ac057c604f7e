//! What people look at: tables for the terminal, plots, and one self-contained HTML page.
//!
//! A [`Table`] prints as aligned text and appears in a page as an HTML table. A [`plot`] is an
//! [`Svg`] that takes the colour of the text around it, so it reads on light and dark pages. A
//! [`Page`] needs no network, no script and no other file.

pub mod html;
mod marks;
pub mod plot;
mod scale;
pub mod table;

pub use html::Page;
pub use plot::Svg;
pub use table::{Align, Table};
