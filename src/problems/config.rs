//! The problem file: `[operator]`, `[noise]` and, for complex images, `[phase]`.

use super::{
    BlurConfig, DownsamplingConfig, FourierConfig, IdentityConfig, InpaintingConfig, MatrixConfig,
};
use crate::config::within;
use crate::data::phase::SmoothPhase;
use crate::error::{Error, Result};
use crate::operators::{Composed, LinearOperator, Noise, RayTransform, Several, Stacked};
use crate::shape::{Beam, Detector, Fan, Projector, RayGeometry, equally_spaced};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// A problem: what is measured, and with which noise. The defaults are the scan of Celledoni et al.
/// 2021, section 5.1.1.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemConfig {
    /// The forward operator.
    pub operator: OperatorConfig,
    /// The noise; none unless given.
    #[serde(default)]
    pub noise: Noise,
    /// A phase that the object of each complex image gets before it is measured; none unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<SmoothPhase>,
}

impl ProblemConfig {
    /// The same with every number checked and every default written out.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used.
    pub fn resolved(&self) -> Result<Self> {
        self.noise.validate()?;
        let operator = self.operator.resolved()?;
        let first = operator.measuring();
        let complex = matches!(first, OperatorConfig::Fourier(_));
        let kind = first.kind();
        match (first, &self.noise) {
            (
                OperatorConfig::Fourier(_),
                Noise::Poisson { .. } | Noise::PoissonGaussian { .. } | Noise::LowDoseCt { .. },
            ) => {
                return Err(Error::Config(
                    "noise.kind: k-space is not counted, so its noise is `gaussian` or `none`"
                        .into(),
                ));
            }
            (OperatorConfig::RayTransform(_), Noise::LowDoseCt { .. }) => {}
            (_, Noise::LowDoseCt { .. }) => {
                return Err(Error::Config(format!(
                    "noise.kind: `low_dose_ct` is the noise of rays through an object, and {kind} has none; use `gaussian`, `poisson`, `poisson_gaussian` or `none`"
                )));
            }
            _ => {}
        }
        if self.phase.is_some() && !complex {
            return Err(Error::Config(format!(
                "[phase]: the images of operator.kind = \"{kind}\" are real and have no phase; remove the section"
            )));
        }
        if let Some(phase) = &self.phase {
            phase.validate()?;
        }
        Ok(ProblemConfig {
            operator,
            ..self.clone()
        })
    }

    /// The same with relative paths made absolute from `directory`.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no current directory.
    pub fn anchored(&self, directory: &Path) -> Result<Self> {
        let mut config = self.clone();
        config.operator.anchor(directory)?;
        Ok(config)
    }
}

/// A forward operator by its `kind`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OperatorConfig {
    /// Computed tomography.
    RayTransform(RayTransformConfig),
    /// Magnetic resonance imaging.
    Fourier(FourierConfig),
    /// Images as they are: denoising.
    Identity(IdentityConfig),
    /// Missing pixels.
    Inpainting(InpaintingConfig),
    /// Blurred images.
    Blur(BlurConfig),
    /// Images of low resolution.
    Downsampling(DownsamplingConfig),
    /// Compressed sensing by a small dense matrix.
    Matrix(MatrixConfig),
    /// Operators of one kind that take turns.
    Several(SeveralConfig),
    /// Every image measured by all operators at once.
    Stacked(SeveralConfig),
    /// Operators one after another, in the order in which they are applied to the image.
    Composed(SeveralConfig),
}

/// A list of operators: those that take turns (image `i` is measured by operator `i` modulo their
/// number, see [`Several`]), that are [`Stacked`] or [`Composed`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeveralConfig {
    /// The operators; those that take turns are of one kind and have the same shapes.
    pub operators: Vec<OperatorConfig>,
}

impl SeveralConfig {
    fn build(&self, oversampling: usize) -> Result<Vec<Arc<dyn LinearOperator>>> {
        let operators = self.operators.iter();
        operators.map(|o| o.build(oversampling)).collect()
    }

    /// The list of what `f` makes of each operator.
    pub(super) fn map(
        &self,
        f: impl FnMut(&OperatorConfig) -> Result<OperatorConfig>,
    ) -> Result<Self> {
        let operators = self.operators.iter().map(f).collect::<Result<_>>()?;
        Ok(SeveralConfig { operators })
    }
}

impl Default for OperatorConfig {
    fn default() -> Self {
        OperatorConfig::RayTransform(RayTransformConfig::default())
    }
}

impl OperatorConfig {
    /// The `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            OperatorConfig::RayTransform(_) => "ray_transform",
            OperatorConfig::Fourier(_) => "fourier",
            OperatorConfig::Identity(_) => "identity",
            OperatorConfig::Inpainting(_) => "inpainting",
            OperatorConfig::Blur(_) => "blur",
            OperatorConfig::Downsampling(_) => "downsampling",
            OperatorConfig::Matrix(_) => "matrix",
            OperatorConfig::Several(_) => "several",
            OperatorConfig::Stacked(_) => "stacked",
            OperatorConfig::Composed(_) => "composed",
        }
    }

    /// The operator that tells what kind of numbers is measured: the first of those that take turns
    /// or are stacked, the last of a composition; else the operator itself.
    pub fn measuring(&self) -> &OperatorConfig {
        match self {
            OperatorConfig::Several(list) | OperatorConfig::Stacked(list) => {
                list.operators.first().map_or(self, |o| o.measuring())
            }
            OperatorConfig::Composed(list) => list.operators.last().map_or(self, |o| o.measuring()),
            operator => operator,
        }
    }

    /// Makes relative paths absolute from `directory`.
    fn anchor(&mut self, directory: &Path) -> Result<()> {
        match self {
            OperatorConfig::RayTransform(_) | OperatorConfig::Identity(_) => Ok(()),
            OperatorConfig::Fourier(config) => config.anchor(directory),
            OperatorConfig::Inpainting(config) => config.mask.anchor(directory),
            OperatorConfig::Blur(config) => config.kernel.anchor(directory),
            OperatorConfig::Downsampling(config) => match &mut config.kernel {
                Some(kernel) => kernel.anchor(directory),
                None => Ok(()),
            },
            OperatorConfig::Matrix(config) => config.matrix.anchor(directory),
            OperatorConfig::Several(config)
            | OperatorConfig::Stacked(config)
            | OperatorConfig::Composed(config) => {
                let mut operators = config.operators.iter_mut();
                operators.try_for_each(|operator| operator.anchor(directory))
            }
        }
    }

    /// The operator on a grid that is `oversampling` times finer than the configured one: the same
    /// field of view and the same measurement. Only the ray transform has finer grids.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used; [`Error::Io`] or
    /// [`Error::Data`] naming a file.
    pub fn build(&self, oversampling: usize) -> Result<Arc<dyn LinearOperator>> {
        if oversampling != 1 && !self.has_finer_grids() {
            return Err(Error::Config(format!(
                "operator.image_size: {} is simulated on the grid of the image alone, not on one {oversampling} times as fine; give images of that size",
                self.kind()
            )));
        }
        Ok(match self {
            OperatorConfig::RayTransform(config) => {
                Arc::new(RayTransform::new(config.geometry(oversampling)?))
            }
            OperatorConfig::Fourier(config) => Arc::new(config.operator()?),
            OperatorConfig::Identity(config) => Arc::new(config.operator()?),
            OperatorConfig::Inpainting(config) => Arc::new(config.operator()?),
            OperatorConfig::Blur(config) => Arc::new(config.operator()?),
            OperatorConfig::Downsampling(config) => Arc::new(config.operator()?),
            OperatorConfig::Matrix(config) => Arc::new(config.operator()?),
            OperatorConfig::Several(_) => Arc::new(Several::new(self.each(oversampling)?)?),
            OperatorConfig::Stacked(config) => Arc::new(Stacked::new(config.build(oversampling)?)?),
            OperatorConfig::Composed(config) => {
                Arc::new(Composed::new(config.build(oversampling)?)?)
            }
        })
    }

    /// The operators that take turns, one after another; else the operator alone.
    ///
    /// # Errors
    /// As [`OperatorConfig::build`].
    pub fn each(&self, oversampling: usize) -> Result<Vec<Arc<dyn LinearOperator>>> {
        match self {
            OperatorConfig::Several(several) => several.build(oversampling),
            operator => Ok(vec![operator.build(oversampling)?]),
        }
    }

    /// Whether [`OperatorConfig::build`] knows finer grids.
    pub fn has_finer_grids(&self) -> bool {
        match self {
            OperatorConfig::RayTransform(_) => true,
            OperatorConfig::Several(list) | OperatorConfig::Stacked(list) => {
                list.operators.iter().all(OperatorConfig::has_finer_grids)
            }
            // What comes before the measurement lives on the image's own grid.
            _ => false,
        }
    }

    /// The same operator with every default written out.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used.
    pub fn resolved(&self) -> Result<Self> {
        Ok(match self {
            OperatorConfig::RayTransform(config) => {
                OperatorConfig::RayTransform(config.resolved()?)
            }
            OperatorConfig::Fourier(config) => OperatorConfig::Fourier(config.resolved()?),
            OperatorConfig::Identity(config) => {
                config.image_size.checked()?;
                self.clone()
            }
            OperatorConfig::Inpainting(config) => OperatorConfig::Inpainting(config.resolved()?),
            OperatorConfig::Blur(config) => OperatorConfig::Blur(config.resolved()?),
            OperatorConfig::Downsampling(config) => {
                OperatorConfig::Downsampling(config.resolved()?)
            }
            OperatorConfig::Matrix(config) => OperatorConfig::Matrix(config.resolved()?),
            OperatorConfig::Several(config) => {
                OperatorConfig::Several(config.map(OperatorConfig::resolved)?)
            }
            OperatorConfig::Stacked(config) => {
                OperatorConfig::Stacked(config.map(OperatorConfig::resolved)?)
            }
            OperatorConfig::Composed(config) => {
                OperatorConfig::Composed(config.map(OperatorConfig::resolved)?)
            }
        })
    }
}

/// Rows and columns of an image: `N` for a square one, or `[rows, columns]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number, or [rows, columns]")]
pub enum ImageSize {
    /// As many rows as columns.
    Square(usize),
    /// Rows, columns.
    Rectangle([usize; 2]),
}

impl ImageSize {
    /// Rows, columns.
    pub fn extents(self) -> [usize; 2] {
        match self {
            ImageSize::Square(side) => [side, side],
            ImageSize::Rectangle(extents) => extents,
        }
    }

    /// Rows, columns of the operator's images.
    ///
    /// # Errors
    /// [`Error::Config`] if one is 0 or above 8192.
    pub(super) fn checked(self) -> Result<[usize; 2]> {
        let extents = self.extents();
        for side in extents {
            within("operator.image_size", side, 1..=8192)?;
        }
        Ok(extents)
    }
}

/// The field of view: its width in metres, of square pixels, or `[height, width]`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected metres, or [height, width] in metres")]
pub enum FieldOfView {
    /// Width of the image; pixels are square.
    Width(f64),
    /// Height and width of the image.
    Extents([f64; 2]),
}

impl FieldOfView {
    /// Height and width of a pixel in metres.
    fn pixel(self, [rows, columns]: [usize; 2]) -> Result<[f64; 2]> {
        let length = |metres: f64| within("operator.field_of_view", metres, 1e-6..=1e3);
        Ok(match self {
            FieldOfView::Width(width) => [length(width)? / columns as f64; 2],
            FieldOfView::Extents([height, width]) => [
                length(height)? / rows as f64,
                length(width)? / columns as f64,
            ],
        })
    }
}

/// How the rays of one view run; lengths in metres.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BeamConfig {
    /// Side by side.
    Parallel {},
    /// From a source that turns about the image's centre with the detector: [`Fan`].
    Fan {
        /// From the source to the image's centre; the source is outside the image.
        source_to_centre: f64,
        /// From the image's centre to the detector.
        centre_to_detector: f64,
        /// `flat` (the default) or `curved`, an arc about the source along which `detector_width`
        /// and `detector_offset` are measured.
        #[serde(default)]
        detector: Detector,
        /// The views' range unless `angles` or `angular_range` is given; see [`ScanConfig`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scan: Option<ScanConfig>,
    },
}

/// How far a fan turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScanConfig {
    /// A whole turn, the default.
    Full,
    /// Half a turn and the fan's angle, just enough to see every line; with `angular_range`, at least
    /// that.
    Short,
}

/// A scan by parallel or divergent rays; lengths in metres, angles in degrees. The geometry is that
/// of [`RayGeometry`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RayTransformConfig {
    /// Pixels of the image.
    pub image_size: ImageSize,
    /// Views equally spaced on the angular range; 50 unless `angles` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views: Option<usize>,
    /// The first view's angle and the angle that they stop before: `[0, 180]`, of a fan `[0, 360]`.
    /// Less is a scan of limited angle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angular_range: Option<[f64; 2]>,
    /// View angles, instead of `views`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angles: Option<Vec<f64>>,
    /// Bins of the detector; by default the image's diagonal in pixels, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector_bins: Option<usize>,
    /// Width of the image, or its height and width.
    pub field_of_view: FieldOfView,
    /// Width of a bin; by default the bins cover the circle around the image, `sqrt(2)` times the
    /// field of view of a square image and parallel rays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector_width: Option<f64>,
    /// Shift of the detector's centre. Where it leaves one side of the image unseen, a whole turn
    /// (`angular_range = [0, 360]`, the default of a fan) sees every line nevertheless, and FBP weights
    /// it accordingly: [`wang`](crate::operators::wang).
    pub detector_offset: f64,
    /// How a ray weights the pixels that it meets: `joseph` or `siddon`.
    pub projector: Projector,
    /// Parallel rays or a fan.
    pub beam: BeamConfig,
}

impl Default for RayTransformConfig {
    fn default() -> Self {
        RayTransformConfig {
            image_size: ImageSize::Square(512),
            views: None,
            angular_range: None,
            angles: None,
            detector_bins: None,
            field_of_view: FieldOfView::Width(0.36),
            detector_width: None,
            detector_offset: 0.0,
            projector: Projector::Joseph,
            beam: BeamConfig::Parallel {},
        }
    }
}

impl RayTransformConfig {
    const DEFAULT_VIEWS: usize = 50;

    /// The geometry on a grid that is `oversampling` times finer, with the same field of view and
    /// detector.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used.
    pub fn geometry(&self, oversampling: usize) -> Result<RayGeometry> {
        let [rows, columns] = self.image_size.checked()?;
        let pixel = self.field_of_view.pixel([rows, columns])?;
        let diagonal = (rows as f64).hypot(columns as f64);
        let bins = self.detector_bins.unwrap_or(diagonal.ceil() as usize);
        within("operator.detector_bins", bins, 1..=65_536)?;
        // The relations to the configured grid hold on the finer one as well.
        let mut geometry = RayGeometry {
            rows,
            columns,
            pixel,
            beam: Beam::Parallel,
            angles: Vec::new(),
            bins,
            bin_width: 0.0,
            offset: 0.0,
            projector: self.projector,
        };
        if let BeamConfig::Fan {
            source_to_centre,
            centre_to_detector,
            detector,
            ..
        } = self.beam
        {
            let length = |key: &str, metres: f64| within(key, metres, 1e-6..=1e4);
            let fan = Fan {
                source_to_centre: length("operator.beam.source_to_centre", source_to_centre)?,
                centre_to_detector: length("operator.beam.centre_to_detector", centre_to_detector)?,
                detector,
            };
            let least = geometry.radius() + pixel[0].max(pixel[1]);
            if source_to_centre <= least {
                return Err(Error::Config(format!(
                    "operator.beam.source_to_centre = {source_to_centre} puts the source into the image, which turns about its centre and whose corners are {:.4} m from there: use more than {least:.4}, or a smaller operator.field_of_view",
                    geometry.radius()
                )));
            }
            geometry.beam = Beam::Fan(fan);
        }
        let magnification = match geometry.beam {
            Beam::Parallel => 1.0,
            Beam::Fan(fan) => fan.source_to_detector() / fan.source_to_centre,
        };
        geometry.bin_width = match self.detector_width {
            Some(width) => {
                let [least, most] = [1e-3 * pixel[0].min(pixel[1]), 1e3 * pixel[0].max(pixel[1])];
                let range = magnification * least..=magnification * most;
                within("operator.detector_width", width, range)?
            }
            None => geometry.covering_width(),
        };
        // Farther out, no ray would meet the image.
        let reach = 0.5 * bins as f64 * (geometry.covering_width() + geometry.bin_width);
        geometry.offset = within(
            "operator.detector_offset",
            self.detector_offset,
            -reach..=reach,
        )?;
        let half = geometry.half_fan().to_degrees();
        if geometry.check().is_err() {
            return Err(Error::Config(format!(
                "operator.detector_width = {} and operator.detector_bins = {bins} make a fan whose rays are up to {half:.1} degrees from the central one, and 85 are possible: use fewer or narrower bins, or a larger operator.beam.source_to_centre",
                geometry.bin_width
            )));
        }
        geometry.angles = self.angles_in_radians(geometry.half_fan())?;
        geometry.rows *= oversampling;
        geometry.columns *= oversampling;
        geometry.pixel = pixel.map(|length| length / oversampling as f64);
        Ok(geometry)
    }

    /// The views' angles, with rays up to `half_fan` radians from the central one.
    fn angles_in_radians(&self, half_fan: f64) -> Result<Vec<f64>> {
        const VIEWS: std::ops::RangeInclusive<usize> = 1..=100_000;
        let scan = match self.beam {
            BeamConfig::Parallel {} => None,
            BeamConfig::Fan { scan, .. } => scan,
        };
        if let Some(angles) = &self.angles {
            let others = [
                ("views", self.views.is_some()),
                ("angular_range", self.angular_range.is_some()),
                ("beam.scan", scan.is_some()),
            ];
            if let Some((key, _)) = others.into_iter().find(|(_, given)| *given) {
                return Err(Error::Config(format!(
                    "operator.{key} and operator.angles are both given: keep `{key}` for equally spaced views, `angles` for any others"
                )));
            }
            within("the number of operator.angles", angles.len(), VIEWS)?;
            let radians = |&a: &f64| Ok(within("operator.angles", a, -360.0..=360.0)?.to_radians());
            return angles.iter().map(radians).collect();
        }
        let views = self.views.unwrap_or(Self::DEFAULT_VIEWS);
        within("operator.views", views, VIEWS)?;
        let turn = match self.beam {
            BeamConfig::Parallel {} => 180.0,
            BeamConfig::Fan { .. } => 360.0,
        };
        let least = 180.0 + 2.0 * half_fan.to_degrees();
        let [from, to] = match (self.angular_range, scan) {
            (None, None | Some(ScanConfig::Full)) => [0.0, turn],
            (None, Some(ScanConfig::Short)) => [0.0, least],
            (Some(range), _) => {
                let [from, to] = range;
                within("operator.angular_range", from, -360.0..=360.0)?;
                // A range that is empty or backward fails here as well.
                let extent = within(
                    "the extent of operator.angular_range",
                    to - from,
                    1e-3..=360.0,
                )?;
                let (scan, needed) = match scan {
                    None => ("limited", 0.0),
                    Some(ScanConfig::Short) => ("short", least),
                    Some(ScanConfig::Full) => ("full", turn),
                };
                // The range may have been written with the digits of a message.
                if extent < needed - 1e-6 {
                    return Err(Error::Config(format!(
                        "operator.angular_range = [{from}, {to}] is {extent} degrees, and operator.beam.scan = \"{scan}\" takes {needed:.2} at least (a short scan turns by 180 degrees and the fan's angle, here {:.2}): widen the range, or remove `scan` for a scan of limited angle",
                        least - 180.0
                    )));
                }
                range
            }
        };
        Ok(equally_spaced(from.to_radians(), to.to_radians(), views))
    }

    fn resolved(&self) -> Result<Self> {
        let geometry = self.geometry(1)?;
        let views = self.angles.is_none().then_some(geometry.angles.len());
        Ok(RayTransformConfig {
            views,
            detector_bins: Some(geometry.bins),
            detector_width: Some(geometry.bin_width),
            ..self.clone()
        })
    }
}
