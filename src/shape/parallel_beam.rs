//! Parallel-beam geometry of the ray transform.

use super::Shape;

/// A parallel-beam scan of a rectangular image with square pixels.
///
/// Pixel (row `r`, column `c`) has its centre at `x = (c - (W-1)/2) h`, `y = ((H-1)/2 - r) h` with
/// `h` = [`pixel`](Self::pixel). In the view at angle `theta` the rays run along
/// `(-sin theta, cos theta)`; the detector coordinate is `s = x cos theta + y sin theta` and the
/// centre of bin `b` lies at `s = (b - (bins-1)/2) w + offset`. All lengths are metres.
#[derive(Clone, PartialEq, Debug)]
pub struct ParallelBeam {
    /// Image rows, `H`.
    pub rows: usize,
    /// Image columns, `W`.
    pub columns: usize,
    /// Pixel edge in metres, `h`.
    pub pixel: f64,
    /// View angles in radians.
    pub angles: Vec<f64>,
    /// Detector bins in each view.
    pub bins: usize,
    /// Distance between bin centres in metres, `w`.
    pub bin_width: f64,
    /// Shift of the detector's centre along `s`, in metres.
    pub offset: f64,
}

impl ParallelBeam {
    /// `views` angles equally spaced on `[0, pi)`, a field of view of `field_of_view` metres across
    /// the image's width, and `bins` bins that cover `sqrt(2)` times that width.
    pub fn equispaced(
        [rows, columns]: [usize; 2],
        field_of_view: f64,
        views: usize,
        bins: usize,
    ) -> Self {
        let angles = (0..views).map(|v| std::f64::consts::PI * v as f64 / views as f64);
        ParallelBeam {
            rows,
            columns,
            pixel: field_of_view / columns as f64,
            angles: angles.collect(),
            bins,
            bin_width: std::f64::consts::SQRT_2 * field_of_view / bins as f64,
            offset: 0.0,
        }
    }

    /// Whether the views are equally spaced on half a turn, from any first one on, and the detector is
    /// centred: then after the last view comes the first with its bins reversed.
    pub fn closed(&self) -> bool {
        let step = std::f64::consts::PI / self.angles.len().max(1) as f64;
        let steps = self.angles.windows(2).all(|pair| {
            let miss = pair[1] - pair[0] - step;
            miss.abs() <= 1e-9
        });
        steps && self.offset == 0.0 && !self.angles.is_empty()
    }

    /// Image shape for a batch of `n`: `n 1 H W`.
    pub fn image(&self, n: usize) -> Shape {
        Shape::new(n, 1, self.rows, self.columns)
    }

    /// Sinogram shape for a batch of `n`: `n 1 views bins`.
    pub fn sinogram(&self, n: usize) -> Shape {
        Shape::new(n, 1, self.angles.len(), self.bins)
    }

    /// Joseph's interpolation for one view: see [`JosephView`].
    pub fn joseph_view(&self, view: usize) -> JosephView {
        let (sin, cos) = self.angles[view].sin_cos();
        let along_rows = cos.abs() >= sin.abs();
        // In pixels, with q the centred bin index: s / h = q * bin_width / h + offset / h.
        let (w, o) = (self.bin_width / self.pixel, self.offset / self.pixel);
        if along_rows {
            // c' = (s - y sin) / cos with y = -r' (centred row index, in pixels).
            JosephView {
                along_rows,
                per_bin: w / cos,
                per_step: sin / cos,
                shift: o / cos,
                weight: self.pixel / cos.abs(),
            }
        } else {
            // y = (s - x cos) / sin, r' = -y.
            JosephView {
                along_rows,
                per_bin: -w / sin,
                per_step: cos / sin,
                shift: -o / sin,
                weight: self.pixel / sin.abs(),
            }
        }
    }

    /// Where the pixel at the centred column `c' = c - (W-1)/2` and row `r' = r - (H-1)/2` falls on
    /// the detector in one view: at the fractional bin index `per_column * c' + per_row * r' +
    /// centre`. The result is `[per_column, per_row, centre]`.
    pub fn bin_view(&self, view: usize) -> [f64; 3] {
        let (sin, cos) = self.angles[view].sin_cos();
        let scale = self.pixel / self.bin_width;
        // s = h (c' cos - r' sin), because y points up and rows grow downward.
        let centre = (self.bins as f64 - 1.0) / 2.0 - self.offset / self.bin_width;
        [scale * cos, -scale * sin, centre]
    }
}

/// Joseph's method for one view, in centred indices: a ray of bin `q = b - (bins-1)/2` steps
/// through one pixel line after another (rows `r' = r - (H-1)/2` if [`along_rows`](Self::along_rows),
/// else columns `c' = c - (W-1)/2`) and meets each at the crossing coordinate
/// `per_bin * q + per_step * line + shift` (centred column, or centred row), where the image is
/// interpolated linearly between the two nearest pixels (zero outside) and multiplied by
/// `weight`, the ray's length within one line in metres.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct JosephView {
    /// The ray crosses rows (steep) rather than columns.
    pub along_rows: bool,
    /// Crossing coordinate per bin.
    pub per_bin: f64,
    /// Crossing coordinate per line.
    pub per_step: f64,
    /// Crossing coordinate at the centre.
    pub shift: f64,
    /// Metres of ray per line.
    pub weight: f64,
}
