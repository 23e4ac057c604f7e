//! Operators on smaller images.

use super::config::{ImageSize, OperatorConfig, RayTransformConfig};
use super::{
    BlurConfig, CoilsConfig, DownsamplingConfig, FileOr, FourierConfig, IdentityConfig,
    InpaintingConfig, MaskConfig, MatrixConfig, PixelMaskConfig, RandomMatrixConfig,
};
use crate::config::within;
use crate::error::{Error, Result};

impl OperatorConfig {
    /// This operator for images whose longer side has `side` pixels, with every default written out:
    /// the same field of view and, as far as whole numbers allow, as many measurements for each
    /// pixel. A scan gets fewer views (of a list of angles, some) of fewer, wider bins, k-space fewer
    /// lines; coils stay as they are. At its own size the operator is unchanged.
    ///
    /// # Errors
    /// [`Error::Config`] if `side` is 0 or beyond the operator's own, or if a file gives what would
    /// have to change; those of [`OperatorConfig::resolved`].
    pub fn scaled(&self, side: usize) -> Result<Self> {
        let own = self.resolved()?;
        let ratio = Ratio::new(own.image_size(), side)?;
        if ratio.from == ratio.to {
            return Ok(own);
        }
        Ok(match &own {
            OperatorConfig::RayTransform(config) => {
                OperatorConfig::RayTransform(config.scaled(ratio))
            }
            OperatorConfig::Fourier(config) => OperatorConfig::Fourier(config.scaled(ratio)?),
            OperatorConfig::Identity(config) => OperatorConfig::Identity(IdentityConfig {
                image_size: ratio.image(config.image_size),
            }),
            OperatorConfig::Inpainting(config) => OperatorConfig::Inpainting(config.scaled(ratio)?),
            OperatorConfig::Blur(config) => OperatorConfig::Blur(config.scaled(ratio)),
            OperatorConfig::Downsampling(config) => {
                OperatorConfig::Downsampling(config.scaled(ratio))
            }
            OperatorConfig::Matrix(config) => OperatorConfig::Matrix(config.scaled(ratio)?),
            OperatorConfig::Several(list) => OperatorConfig::Several(list.map(|o| o.scaled(side))?),
            OperatorConfig::Stacked(list) => OperatorConfig::Stacked(list.map(|o| o.scaled(side))?),
            // Each in the same proportion: what is measured may be smaller than the image.
            OperatorConfig::Composed(list) => OperatorConfig::Composed(list.map(|o| {
                let [rows, columns] = o.image_size().extents();
                o.scaled(ratio.of(rows.max(columns)))
            })?),
        })
    }

    /// Rows and columns of the image.
    pub fn image_size(&self) -> ImageSize {
        match self {
            OperatorConfig::RayTransform(config) => config.image_size,
            OperatorConfig::Fourier(config) => config.image_size,
            OperatorConfig::Identity(config) => config.image_size,
            OperatorConfig::Inpainting(config) => config.image_size,
            OperatorConfig::Blur(config) => config.image_size,
            OperatorConfig::Downsampling(config) => config.image_size,
            OperatorConfig::Matrix(config) => config.image_size,
            OperatorConfig::Several(list)
            | OperatorConfig::Stacked(list)
            | OperatorConfig::Composed(list) => {
                let first = list.operators.first();
                first.map_or(ImageSize::Square(1), OperatorConfig::image_size)
            }
        }
    }
}

/// By how much an image shrinks: its longer side from `from` to `to` pixels.
#[derive(Clone, Copy)]
struct Ratio {
    from: usize,
    to: usize,
}

impl Ratio {
    fn new(size: ImageSize, to: usize) -> Result<Self> {
        let [rows, columns] = size.extents();
        let from = rows.max(columns);
        within("the longer side of the smaller image", to, 1..=from)?;
        Ok(Ratio { from, to })
    }

    /// The nearest count in proportion, at least 1.
    fn of(self, count: usize) -> usize {
        ((2 * count * self.to + self.from) / (2 * self.from)).max(1)
    }

    fn image(self, size: ImageSize) -> ImageSize {
        match size {
            ImageSize::Square(side) => ImageSize::Square(self.of(side)),
            ImageSize::Rectangle(extents) => ImageSize::Rectangle(extents.map(|n| self.of(n))),
        }
    }
}

impl RayTransformConfig {
    fn scaled(&self, ratio: Ratio) -> Self {
        let bins = self.detector_bins.map(|bins| ratio.of(bins));
        // Whole numbers of bins change their proportion: the detector keeps its length.
        let width = (self.detector_width.zip(self.detector_bins).zip(bins))
            .map(|((width, own), bins)| width * own as f64 / bins as f64);
        let some = |angles: &Vec<f64>| {
            let kept = ratio.of(angles.len());
            (0..kept).map(|i| angles[i * angles.len() / kept]).collect()
        };
        RayTransformConfig {
            image_size: ratio.image(self.image_size),
            views: self.views.map(|views| ratio.of(views)),
            angles: self.angles.as_ref().map(some),
            detector_bins: bins,
            detector_width: width,
            ..self.clone()
        }
    }
}

impl Ratio {
    /// The nearest image of which both sides are multiples of `factor`.
    fn divisible(self, size: ImageSize, factor: usize) -> ImageSize {
        let side = |n: usize| (self.of(n).div_ceil(factor)).max(1) * factor;
        match size {
            ImageSize::Square(n) => ImageSize::Square(side(n)),
            ImageSize::Rectangle(extents) => ImageSize::Rectangle(extents.map(side)),
        }
    }

    /// What a file gives cannot change.
    fn fixed<T>(self, key: &str) -> Result<T> {
        Err(Error::Config(format!(
            "operator.{key} is a file for images of {} pixels along the longer side, so the operator cannot be had at {}: give `{key}` as a table, or a file and operator.image_size of the smaller size",
            self.from, self.to
        )))
    }
}

impl InpaintingConfig {
    fn scaled(&self, ratio: Ratio) -> Result<Self> {
        let mut config = self.clone();
        config.image_size = ratio.image(self.image_size);
        match &mut config.mask {
            FileOr::File(_) => return ratio.fixed("mask"),
            FileOr::Made(PixelMaskConfig::Random(_)) => {}
            FileOr::Made(PixelMaskConfig::Hole(hole)) => {
                hole.size = ratio.image(hole.size);
                // Its place by default: the middle.
                hole.at = None;
            }
        }
        Ok(config)
    }
}

impl MatrixConfig {
    /// As many rows for each pixel.
    fn scaled(&self, ratio: Ratio) -> Result<Self> {
        let mut config = self.clone();
        config.image_size = ratio.image(self.image_size);
        match &mut config.matrix {
            FileOr::File(_) => return ratio.fixed("matrix"),
            FileOr::Made(RandomMatrixConfig::Gaussian(rows) | RandomMatrixConfig::Signs(rows)) => {
                let [before, after] = [self.image_size, config.image_size].map(|size| {
                    let [h, w] = size.extents();
                    h * w
                });
                rows.rows = (rows.rows * after).div_ceil(before);
            }
        }
        Ok(config)
    }
}

impl BlurConfig {
    /// Kernels stay as they are: their unit is the pixel.
    fn scaled(&self, ratio: Ratio) -> Self {
        BlurConfig {
            image_size: ratio.image(self.image_size),
            ..self.clone()
        }
    }
}

impl DownsamplingConfig {
    /// The factor stays, and with it the share of what is measured.
    fn scaled(&self, ratio: Ratio) -> Self {
        DownsamplingConfig {
            image_size: ratio.divisible(self.image_size, self.factor),
            ..self.clone()
        }
    }
}

impl FourierConfig {
    fn scaled(&self, ratio: Ratio) -> Result<Self> {
        let mut config = self.clone();
        config.image_size = ratio.image(self.image_size);
        match &mut config.mask {
            FileOr::File(_) => return ratio.fixed("mask"),
            FileOr::Made(MaskConfig::Cartesian(pattern)) => {
                pattern.lines = pattern.lines.map(|lines| ratio.of(lines));
                // No centre stays none.
                pattern.centre = pattern.centre.map(|n| if n == 0 { 0 } else { ratio.of(n) });
            }
        }
        match &config.coils {
            Some(FileOr::File(_)) => ratio.fixed("coils"),
            Some(FileOr::Made(CoilsConfig::Birdcage(_))) | None => Ok(config),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_toml;
    use crate::operators::LinearOperator;

    fn scaled(text: &str, side: usize) -> Result<OperatorConfig> {
        parse_toml::<OperatorConfig>("operator.toml", text)
            .expect("readable")
            .scaled(side)
    }

    #[test]
    fn a_scan_keeps_its_lengths_and_its_share_of_measurements() {
        let text = "kind = 'ray_transform'\nimage_size = [256, 512]\nviews = 60\ndetector_bins = 700\ndetector_offset = 0.01";
        let own = scaled(text, 512).expect("its own size");
        assert_eq!(own, own.resolved().expect("valid"));
        let [fine, coarse] = [512, 128].map(|side| match scaled(text, side) {
            Ok(OperatorConfig::RayTransform(config)) => config.geometry(1).expect("valid"),
            other => panic!("{other:?}"),
        });
        assert_eq!((coarse.rows, coarse.columns), (64, 128));
        assert_eq!((coarse.angles.len(), coarse.bins), (15, 175));
        let length = |bins: usize, width: f64| bins as f64 * width;
        let [a, b] = [&fine, &coarse].map(|g| length(g.bins, g.bin_width));
        assert!((a - b).abs() < 1e-15, "{a} {b}");
        assert_eq!((coarse.offset, fine.offset), (0.01, 0.01));
        assert!((coarse.pixel[0] - 4.0 * fine.pixel[0]).abs() < 1e-15);
    }

    #[test]
    fn a_fan_keeps_its_distances_and_its_angles() {
        let beam = "beam = { kind = 'fan', source_to_centre = 0.5, centre_to_detector = 0.3, scan = 'short' }";
        let text = format!("kind = 'ray_transform'\nimage_size = 128\nviews = 60\n{beam}");
        let [fine, coarse] = [128, 32].map(|side| match scaled(&text, side) {
            Ok(OperatorConfig::RayTransform(config)) => config.geometry(1).expect("valid"),
            other => panic!("{other:?}"),
        });
        assert_eq!((coarse.rows, coarse.angles.len()), (32, 15));
        assert_eq!(coarse.beam, fine.beam);
        assert!((coarse.half_fan() - fine.half_fan()).abs() < 1e-12);
        // The same arc, in a quarter as many steps.
        assert!((coarse.angles[1] - fine.angles[4]).abs() < 1e-12);
    }

    #[test]
    fn of_a_list_of_angles_some_stay() {
        let text = "kind = 'ray_transform'\nimage_size = 64\nangles = [0, 10, 20, 30, 40, 50]";
        let angles = |side: usize| match scaled(text, side).expect("smaller") {
            OperatorConfig::RayTransform(config) => config.angles.expect("a list"),
            other => panic!("{other:?}"),
        };
        assert_eq!(angles(64), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(angles(32), [0.0, 20.0, 40.0]);
        assert_eq!(angles(1), [0.0]);
    }

    #[test]
    fn k_space_keeps_its_share_of_lines() {
        let mask = |text: &str| format!("mask = {{ kind = 'cartesian', {text} }}");
        for (image, pattern, side, expected) in [
            // The defaults: 65 and 16 of 320.
            (320, String::new(), 40, (8, 2)),
            // No centre stays none; lines are never fewer than those of the centre.
            (64, mask("lines = 5, centre = 0"), 32, (3, 0)),
            (64, mask("lines = 5, centre = 5"), 7, (1, 1)),
        ] {
            let coils = "coils = { kind = 'birdcage', count = 3 }";
            let text = format!("kind = 'fourier'\nimage_size = {image}\n{pattern}\n{coils}");
            let config = match scaled(&text, side) {
                Ok(OperatorConfig::Fourier(config)) => config,
                other => panic!("{other:?}"),
            };
            let FileOr::Made(MaskConfig::Cartesian(pattern)) = &config.mask else {
                panic!("a file");
            };
            let (lines, centre) = expected;
            assert_eq!((pattern.lines, pattern.centre), (Some(lines), Some(centre)));
            let measured = config.operator().expect("valid").measured();
            assert_eq!(measured, 2 * 3 * lines * side);
        }
    }

    #[test]
    fn images_that_are_restored_keep_their_pixels() {
        for (text, side, domain, measured) in [
            (
                "kind = 'inpainting'\nimage_size = 64\nmask = { kind = 'random', share = 0.25 }",
                16,
                [16, 16],
                64,
            ),
            (
                "kind = 'inpainting'\nimage_size = 64\nmask = { kind = 'hole', size = 32 }",
                16,
                [16, 16],
                192,
            ),
            ("kind = 'blur'\nimage_size = [64, 32]", 16, [16, 8], 128),
            (
                "kind = 'downsampling'\nimage_size = 64\nfactor = 4",
                18,
                [20, 20],
                25,
            ),
            (
                "kind = 'several'\n[[operators]]\nkind = 'inpainting'\nimage_size = 64\n[[operators]]\nkind = 'inpainting'\nimage_size = 64\nmask = { kind = 'random', seed = 2 }",
                8,
                [8, 8],
                32,
            ),
        ] {
            let operator = scaled(text, side)
                .expect("smaller")
                .build(1)
                .expect("valid");
            let image = operator.domain();
            assert_eq!([image.h(), image.w()], domain, "{text}");
            assert_eq!(operator.measured(), measured, "{text}");
        }
    }

    #[test]
    fn sizes_and_files_that_do_not_scale_are_refused() {
        let scan = "kind = 'ray_transform'\nimage_size = 64";
        let mask = "kind = 'fourier'\nimage_size = 64\nmask = 'mask.npy'";
        let maps = "kind = 'fourier'\nimage_size = 64\ncoils = 'maps.npy'";
        for (text, side, named) in [
            (scan, 0, "64"),
            (scan, 65, "64"),
            (mask, 32, "operator.mask"),
            (maps, 32, "operator.coils"),
        ] {
            let error = scaled(text, side).expect_err("refused");
            assert!(matches!(error, Error::Config(_)), "{error}");
            assert!(error.to_string().contains(named), "{error}");
        }
        assert!(scaled(mask, 64).is_ok());
    }
}
