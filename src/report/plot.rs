//! Plots as SVG: curves over steps, and scores by method as bars or violins.
//!
//! Text and axes are drawn in `currentColor`, so a plot inside a page takes the page's colours, and
//! the series in Okabe and Ito's palette, which readers with any colour vision can tell apart.

use super::html::escape;
use super::marks::Shapes;
use super::scale::{Axis, Scale, padded, thinned};
use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::element::{Drawable, PointCollection};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt;

pub use super::marks::Mark;

const SIZE: (u32, u32) = (720, 400);
/// Room for the names and numbers left of the y axis, and around the plot.
const LEFT: i32 = 66;
const MARGIN: i32 = 12;
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(128, 128, 128),
];

/// A plot: an `<svg>` element that stands alone as a file and fits into a [`Page`](super::Page).
#[derive(Clone, PartialEq, Debug)]
pub struct Svg(String);

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the plot and its axes are called.
#[derive(Clone, PartialEq, Debug)]
pub struct Axes {
    title: String,
    x: String,
    y: String,
    scale: Scale,
}

impl Axes {
    /// Linear axes named `x` and `y`; `title` describes the plot to readers who cannot see it.
    pub fn new(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Self {
        Axes {
            title: title.into(),
            x: x.into(),
            y: y.into(),
            scale: Scale::Linear,
        }
    }

    /// The same with a logarithmic y axis.
    pub fn log_y(self) -> Self {
        Axes {
            scale: Scale::Log,
            ..self
        }
    }
}

/// A named curve.
#[derive(Clone, PartialEq, Debug)]
pub struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// A curve through `points`, (x, y) in ascending x.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Curve {
            name: name.into(),
            points,
        }
    }
}

/// One colour of a grouped plot: its scores in each group.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    name: String,
    groups: Vec<Vec<f64>>,
}

impl Series {
    /// `groups[i]` are the scores in the plot's group `i`; it may be empty.
    pub fn new(name: impl Into<String>, groups: Vec<Vec<f64>>) -> Self {
        Series {
            name: name.into(),
            groups,
        }
    }
}

/// Curves over a common x axis: training and validation scores over steps.
///
/// # Errors
/// [`Error::Data`] if there is nothing to draw or a logarithm of a number that is not positive is
/// needed, [`Error::NotFinite`] for a NaN or an infinity.
pub fn line_plot(axes: &Axes, curves: &[Curve]) -> Result<Svg> {
    let mut curves: Vec<Curve> = curves.to_vec();
    for curve in &mut curves {
        for (x, y) in &mut curve.points {
            *x = Scale::Linear.apply(&axes.title, *x)?;
            *y = axes.scale.apply(&axes.title, *y)?;
        }
    }
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let x = padded(&axes.title, points().map(|p| p.0), 0.0)?;
    let y = padded(&axes.title, points().map(|p| p.1), 0.05)?;

    let (x, y) = (Axis::new(Scale::Linear, x), Axis::new(axes.scale, y));
    let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
    draw(axes, &names, x, y, |chart| {
        for (curve, colour) in curves.iter().zip(PALETTE.iter().cycle()) {
            let line = LineSeries::new(thinned(&curve.points), colour.stroke_width(2));
            chart.add(line)?;
        }
        Ok(())
    })
}

/// Scores by group (on the x axis) and series (in colours), each as a [`Mark`].
///
/// # Errors
/// As [`line_plot`]; also [`Error::Shape`] if a series has another number of groups than `groups`,
/// and [`Error::Data`] for bars on a logarithmic axis, which has no zero to start from.
pub fn grouped_plot(axes: &Axes, groups: &[&str], series: &[Series], mark: Mark) -> Result<Svg> {
    if mark == Mark::Bar && axes.scale == Scale::Log {
        return Err(Error::data(
            format!("plot \"{}\"", axes.title),
            "bars start at zero, which a logarithmic axis does not have; draw violins",
        ));
    }
    let mut series: Vec<Series> = series.to_vec();
    for one in &mut series {
        if one.groups.len() != groups.len() {
            return Err(Error::shape(
                "grouped plot",
                format!(
                    "the series {} has {} groups and the plot {}",
                    one.name,
                    one.groups.len(),
                    groups.len()
                ),
            ));
        }
        for score in one.groups.iter_mut().flatten() {
            *score = axes.scale.apply(&axes.title, *score)?;
        }
    }
    let marks = |one: &Series| -> Vec<Shapes> {
        one.groups
            .iter()
            .map(|scores| Shapes::new(scores, mark))
            .collect()
    };
    let shapes: Vec<Vec<Shapes>> = series.iter().map(marks).collect();
    let heights = shapes.iter().flatten().flat_map(Shapes::heights);
    let y = padded(&axes.title, heights, 0.05)?;
    let x = -0.5..groups.len() as f64 - 0.5;

    let names: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
    let bottom = y.start;
    let (x, y) = (Axis::without_ticks(x), Axis::new(axes.scale, y));
    draw(axes, &names, x, y, |chart| {
        let half = 0.4 / series.len() as f64;
        for (i, (marks, &colour)) in shapes.iter().zip(PALETTE.iter().cycle()).enumerate() {
            for (group, mark) in marks.iter().enumerate() {
                let x = group as f64 - 0.4 + half * (2 * i + 1) as f64;
                chart.add(mark.area(x, half, colour))?;
                chart.add(mark.circles(x, colour))?;
                chart.add(mark.lines(x, half))?;
            }
        }
        for (group, name) in groups.iter().enumerate() {
            chart.name_below(name, group as f64, bottom)?;
        }
        Ok(())
    })
}

/// The drawing library's chart, and the picture that it lies in.
struct Chart<'a, 'b> {
    context: ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>,
    root: &'a DrawingArea<SVGBackend<'b>, Shift>,
}

impl<'b> Chart<'_, 'b> {
    /// Draws elements in the plot's units.
    fn add<E, I>(&mut self, elements: I) -> Result<()>
    where
        I: IntoIterator<Item = E>,
        for<'r> &'r E: PointCollection<'r, (f64, f64)>,
        E: Drawable<SVGBackend<'b>>,
    {
        self.context.draw_series(elements).map_err(refused)?;
        Ok(())
    }

    /// Writes `name` below the x axis at `x`.
    fn name_below(&self, name: &str, x: f64, bottom: f64) -> Result<()> {
        let (x, y) = self.context.backend_coord(&(x, bottom));
        let style = TextStyle::from(("sans-serif", 15)).pos(Pos::new(HPos::Center, VPos::Top));
        self.root
            .draw_text(name, &style, (x, y + 8))
            .map_err(refused)
    }
}

fn refused(error: impl fmt::Display) -> Error {
    Error::data("plot", format!("it cannot be drawn: {error}"))
}

/// Draws a plot with a legend of `names` above it.
fn draw(
    axes: &Axes,
    names: &[&str],
    x: Axis,
    y: Axis,
    content: impl FnOnce(&mut Chart<'_, '_>) -> Result<()>,
) -> Result<Svg> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let legend = legend(&root, names)?;
        let mut context = ChartBuilder::on(&root)
            .margin(MARGIN)
            .margin_top(legend)
            .x_label_area_size(44)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(x, y)
            .map_err(refused)?;
        context
            .configure_mesh()
            .x_desc(&axes.x)
            .y_desc(&axes.y)
            .label_style(("sans-serif", 15))
            .axis_desc_style(("sans-serif", 16))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.15))
            .draw()
            .map_err(refused)?;
        let root = &root;
        content(&mut Chart { context, root })?;
        root.present().map_err(refused)?;
    }
    // Text and axes follow the page. No text can contain the quoted colour: quotes are escaped.
    let svg = svg.replace("\"#000000\"", "\"currentColor\"");
    let title = format!(" role=\"img\"><title>{}</title>", escape(&axes.title));
    Ok(Svg(svg.replacen('>', &title, 1)))
}

/// Draws coloured names above the plot, in as many lines as they need, and returns the height.
fn legend(root: &DrawingArea<SVGBackend<'_>, Shift>, names: &[&str]) -> Result<i32> {
    const LINE: i32 = 24;
    let start = LEFT + MARGIN;
    let (mut left, mut top) = (start, MARGIN);
    let style = TextStyle::from(("sans-serif", 15)).pos(Pos::new(HPos::Left, VPos::Center));
    for (name, colour) in names.iter().zip(PALETTE.iter().cycle()) {
        // The reader's font is not known; this is generous for most.
        let width = 36 + 8 * name.chars().count() as i32;
        if left > start && left + width > SIZE.0 as i32 {
            (left, top) = (start, top + LINE);
        }
        let swatch = Rectangle::new([(left, top), (left + 14, top + 10)], colour.filled());
        root.draw(&swatch).map_err(refused)?;
        root.draw_text(name, &style, (left + 20, top + 5))
            .map_err(refused)?;
        left += width;
    }
    Ok(top + LINE)
}

#[cfg(test)]
#[path = "plot_tests.rs"]
mod tests;
