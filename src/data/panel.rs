//! Labelled images side by side, as one colour picture: reconstructions in a common grey window,
//! error maps in a diverging colour map.

use super::image::Image;
use super::{font, png};
use crate::error::{Error, Result};
use crate::files;
use std::path::Path;

/// How values become colours.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Colours {
    /// Black at the first value, white at the second.
    Grey([f32; 2]),
    /// Blue at minus the value, white at zero, red at plus the value: for signed errors.
    Diverging(f32),
}

impl Colours {
    /// The colour of `value`: red, green, blue. Values beyond the ends take the end's colour.
    pub fn of(self, value: f32) -> [u8; 3] {
        match self {
            Colours::Grey(window) => [(png::grey_level(value, window) * 255.0).round() as u8; 3],
            Colours::Diverging(limit) => {
                // Ends of ColorBrewer's RdBu: equally dark, and apart for every kind of sight.
                const NEGATIVE: [f64; 3] = [33.0, 102.0, 172.0];
                const POSITIVE: [f64; 3] = [178.0, 24.0, 43.0];
                let t = 2.0 * png::grey_level(value, [-limit, limit]) - 1.0;
                let end = if t < 0.0 { NEGATIVE } else { POSITIVE };
                end.map(|channel| (255.0 + (channel - 255.0) * t.abs()).round() as u8)
            }
        }
    }

    fn window(self) -> [f32; 2] {
        match self {
            Colours::Grey(window) => window,
            Colours::Diverging(limit) => [-limit, limit],
        }
    }
}

/// One labelled image of a [`Figure`].
#[derive(Clone, PartialEq, Debug)]
pub struct Panel {
    image: Image,
    label: String,
    colours: Colours,
}

impl Panel {
    /// `image` in the grey window `[black, white]` under `label`. Lines of the label end at `\n` and
    /// at the panel's edge; characters beyond ASCII appear as `?`.
    pub fn grey(label: impl Into<String>, image: Image, window: [f32; 2]) -> Self {
        Panel {
            image,
            label: label.into(),
            colours: Colours::Grey(window),
        }
    }

    /// The signed error `image - reference`, blue at `-limit` to red at `+limit`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the images differ in size.
    pub fn error(
        label: impl Into<String>,
        reference: &Image,
        image: &Image,
        limit: f32,
    ) -> Result<Self> {
        if reference.size() != image.size() {
            return Err(Error::shape(
                "error map",
                format!(
                    "{:?} and {:?} pixels differ in size",
                    reference.size(),
                    image.size()
                ),
            ));
        }
        let pairs = image.pixels.iter().zip(&reference.pixels);
        let pixels = pairs.map(|(a, b)| a - b).collect();
        let difference = Image { pixels, ..*image };
        Ok(Panel {
            image: difference,
            label: label.into(),
            colours: Colours::Diverging(limit),
        })
    }
}

/// Rows of panels.
#[derive(Clone, PartialEq, Debug)]
pub struct Figure {
    zoom: usize,
    rows: Vec<Vec<Panel>>,
}

const BACKGROUND: [u8; 3] = [24, 24, 24];
const INK: [u8; 3] = [235, 235, 235];
/// Pixels between panels and around text.
const GAP: usize = 4;

impl Figure {
    /// An empty figure that shows each image pixel as `zoom` x `zoom` picture pixels (at least 1).
    pub fn new(zoom: usize) -> Self {
        Figure {
            zoom: zoom.max(1),
            rows: Vec::new(),
        }
    }

    /// The figure with another row of panels below.
    pub fn row(mut self, panels: Vec<Panel>) -> Self {
        self.rows.push(panels);
        self
    }

    /// The figure as a colour picture.
    ///
    /// # Errors
    /// [`Error::Data`] if there are no panels or a colour window is empty, [`Error::NotFinite`] if a
    /// pixel is NaN.
    pub fn render(&self) -> Result<Picture> {
        let panels = || self.rows.iter().flatten();
        for panel in panels() {
            png::check_window(&panel.image, panel.colours.window())?;
        }
        let width = |panel: &Panel| panel.image.columns * self.zoom;
        let height = |panel: &Panel| panel.image.rows * self.zoom;
        // Text scales with the panels, so that all labels of a figure are of one size.
        let narrowest = panels().map(width).min().unwrap_or(0);
        let text = (narrowest / 128).max(1);
        let line = (font::HEIGHT + 2) * text;
        let lines =
            |panel: &Panel| wrapped(&panel.label, width(panel) / (text * (font::WIDTH + 1)));

        let row_width = |row: &Vec<Panel>| row.iter().map(|p| width(p) + GAP).sum::<usize>();
        let strip = |row: &Vec<Panel>| {
            let most = row.iter().map(|p| lines(p).len()).max();
            most.unwrap_or(0) * line + GAP
        };
        let tallest = |row: &Vec<Panel>| row.iter().map(height).max().unwrap_or(0);
        let columns = GAP + self.rows.iter().map(row_width).max().unwrap_or(0);
        let rows = GAP
            + self
                .rows
                .iter()
                .map(|r| strip(r) + tallest(r) + GAP)
                .sum::<usize>();
        if panels().next().is_none() {
            return Err(Error::data(
                "figure",
                "it has no panels; add a row of images",
            ));
        }

        let mut picture = Picture::filled([rows, columns], BACKGROUND);
        let mut top = GAP;
        for row in &self.rows {
            let mut left = GAP;
            for panel in row {
                for (i, words) in lines(panel).iter().enumerate() {
                    picture.write(words, [top + i * line, left], text);
                }
                picture.paint(panel, [top + strip(row), left], self.zoom);
                left += width(panel) + GAP;
            }
            top += strip(row) + tallest(row) + GAP;
        }
        Ok(picture)
    }
}

/// The lines of `label`, none longer than `most` characters (at least one), broken at spaces
/// where there are any.
fn wrapped(label: &str, most: usize) -> Vec<String> {
    let most = most.max(1);
    let mut lines = Vec::new();
    for line in label.lines() {
        let mut rest: Vec<char> = line.trim_end().chars().collect();
        while rest.len() > most {
            let space = rest[..=most].iter().rposition(|&c| c == ' ');
            let (end, next) = match space {
                Some(space) if space > 0 => (space, space + 1),
                _ => (most, most),
            };
            lines.push(rest[..end].iter().collect());
            rest.drain(..next);
        }
        if !rest.is_empty() {
            lines.push(rest.into_iter().collect());
        }
    }
    lines
}

/// A colour picture, row-major: red, green, blue.
#[derive(Clone, PartialEq, Debug)]
pub struct Picture {
    rows: usize,
    columns: usize,
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    fn filled([rows, columns]: [usize; 2], colour: [u8; 3]) -> Self {
        Picture {
            rows,
            columns,
            pixels: vec![colour; rows * columns],
        }
    }

    /// `[H, W]`.
    pub fn size(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// The colour at (row, column), if there is such a pixel.
    pub fn at(&self, r: usize, c: usize) -> Option<[u8; 3]> {
        (c < self.columns).then(|| self.pixels.get(r * self.columns + c).copied())?
    }

    /// The picture as a PNG.
    ///
    /// # Errors
    /// [`Error::Data`] if it does not fit the format.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        png::encode_rgb_png(&self.pixels, self.size())
    }

    /// Writes the picture to a PNG file.
    ///
    /// # Errors
    /// As [`to_png`](Self::to_png), and [`Error::Io`].
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_bytes(path, &self.to_png()?)
    }

    fn set(&mut self, r: usize, c: usize, colour: [u8; 3]) {
        if r < self.rows && c < self.columns {
            self.pixels[r * self.columns + c] = colour;
        }
    }

    fn paint(&mut self, panel: &Panel, [top, left]: [usize; 2], zoom: usize) {
        for r in 0..panel.image.rows * zoom {
            for c in 0..panel.image.columns * zoom {
                let value = panel.image.at(r / zoom, c / zoom);
                self.set(top + r, left + c, panel.colours.of(value));
            }
        }
    }

    fn write(&mut self, words: &str, [top, left]: [usize; 2], scale: usize) {
        for (i, character) in words.chars().enumerate() {
            let left = left + i * (font::WIDTH + 1) * scale;
            for r in 0..font::HEIGHT * scale {
                for c in 0..font::WIDTH * scale {
                    if font::ink(character, r / scale, c / scale) {
                        self.set(top + r, left + c, INK);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(rows: usize, columns: usize) -> Image {
        Image::from_fn([rows, columns], |r, c| (r + c) as f32)
    }

    #[test]
    fn the_diverging_map_is_white_at_zero_and_coloured_at_the_ends() {
        let map = Colours::Diverging(0.5);
        assert_eq!(map.of(0.0), [255; 3]);
        assert_eq!(map.of(-0.5), [33, 102, 172]);
        assert_eq!(map.of(0.5), [178, 24, 43]);
        assert_eq!(map.of(9.0), map.of(0.5));
        assert_eq!(Colours::Grey([0.0, 2.0]).of(1.0), [128; 3]);
    }

    #[test]
    fn panels_stand_side_by_side_in_one_window() {
        let (a, b) = (ramp(10, 16), ramp(8, 12));
        let figure = Figure::new(2)
            .row(vec![
                Panel::grey("A", a.clone(), [0.0, 20.0]),
                Panel::grey("", b, [0.0, 20.0]),
            ])
            .row(vec![Panel::error("E", &a, &a, 1.0).unwrap()]);
        let picture = figure.render().unwrap();
        // Two rows of one line of text (9) and images of 10 rows, zoomed.
        assert_eq!(
            picture.size(),
            [4 + 2 * (9 + 4 + 20 + 4), 4 + (32 + 4) + (24 + 4)]
        );
        let grey = Colours::Grey([0.0, 20.0]);
        let top = 4 + 9 + 4;
        assert_eq!(picture.at(top, 4), Some(grey.of(0.0)));
        assert_eq!(picture.at(top + 19, 4 + 31), Some(grey.of(24.0)));
        assert_eq!(picture.at(top + 15, 4 + 36 + 23), Some(grey.of(18.0)));
        assert_eq!(picture.at(top + 16, 4 + 36 + 23), Some(BACKGROUND));
        assert_eq!(picture.at(top + 37, 4), Some([255; 3]));
        assert_eq!(picture.at(0, 10_000), None);
        // The crossbar of the A: five pixels of ink in its fourth row.
        let ink = (0..6)
            .filter(|&c| picture.at(4 + 3, 4 + c) == Some(INK))
            .count();
        assert_eq!(ink, 5);
        assert!(picture.to_png().unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn long_labels_wrap_and_every_text_is_accepted() {
        assert_eq!(wrapped("abcdefg\nhi", 3), ["abc", "def", "g", "hi"]);
        assert!(wrapped("", 3).is_empty());
        assert_eq!(wrapped("two words here", 9), ["two words", "here"]);
        assert_eq!(wrapped("two words", 8), ["two", "words"]);
        assert_eq!(wrapped(" x", 1), [" ", "x"]);
        let label = "U-Net élan 34.2 dB";
        let picture = Figure::new(1).row(vec![Panel::grey(label, ramp(4, 24), [0.0, 9.0])]);
        assert_eq!(picture.render().unwrap().size()[0], 4 + 5 * 9 + 4 + 4 + 4);
    }

    #[test]
    fn unusable_figures_are_typed_errors() {
        assert!(matches!(Figure::new(1).render(), Err(Error::Data { .. })));
        let image = ramp(3, 3);
        let empty = Figure::new(1).row(vec![Panel::grey("", image.clone(), [1.0, 1.0])]);
        assert!(matches!(empty.render(), Err(Error::Data { .. })));
        let error = Panel::error("", &image, &ramp(3, 4), 1.0);
        assert!(matches!(error, Err(Error::Shape { .. })));
        let nan = Image::new([1, 1], vec![f32::NAN]).unwrap();
        let nan = Figure::new(1).row(vec![Panel::grey("", nan, [0.0, 1.0])]);
        assert!(matches!(nan.render(), Err(Error::NotFinite(_))));
    }
}
