//! What the experiments measure: the problems, and the images, built in or of one's own.

use super::study::{Images, Slices};
use crate::data::{Stream, npy};
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::operators::Noise;
use crate::problems::{
    FourierConfig, ImageSize, OperatorConfig, Problem, ProblemConfig, RayTransformConfig,
};
use crate::train::dataset::load_images;
use num_complex::Complex32;
use std::path::{Path, PathBuf};

/// Views of every CT problem here.
pub(super) const VIEWS: usize = 50;
/// Photons in each ray of every CT problem here. With a few hundred, hardly any passes the middle of
/// these chests, and nothing can be reconstructed from it.
pub(super) const PHOTONS: f64 = 1e4;
/// Noise of every MRI problem here, in each component.
pub(super) const SIGMA: f64 = 0.03;
/// White in pictures of CT, and the error in full colour.
pub(super) const CT_WINDOW: [f32; 2] = [0.4, 0.05];
/// White in pictures of MRI, and the error in full colour.
pub(super) const MRI_WINDOW: [f32; 2] = [0.8, 0.15];

/// Low-dose CT of `size` x `size` pixels.
pub(super) fn ct(size: usize) -> ProblemConfig {
    ProblemConfig {
        operator: OperatorConfig::RayTransform(RayTransformConfig {
            image_size: ImageSize::Square(size),
            views: Some(VIEWS),
            ..RayTransformConfig::default()
        }),
        noise: low_dose(),
        phase: None,
    }
}

/// [`ct`] in words.
pub(super) fn described_ct(size: usize) -> String {
    format!("low-dose CT, {VIEWS} views, {PHOTONS} photons, {size} x {size} pixels")
}

/// The noise of every CT problem here that has one.
pub(super) fn low_dose() -> Noise {
    Noise::LowDoseCt {
        photons: PHOTONS,
        attenuation: 81.35858,
        eta: 1e-8,
        readout: 0.0,
    }
}

/// MRI of `size` x `size` pixels, a fifth of the lines of k-space.
pub(super) fn mri(size: usize) -> ProblemConfig {
    ProblemConfig {
        operator: OperatorConfig::Fourier(FourierConfig {
            image_size: ImageSize::Square(size),
            ..FourierConfig::default()
        }),
        noise: Noise::Gaussian { sigma: SIGMA },
        phase: None,
    }
}

/// The name of a test set within that of a file.
pub(super) fn file_name(name: &str) -> String {
    name.replace(' ', "-")
}

impl Slices {
    /// Training and test images for `problem` from two files, square and of `size` pixels along a
    /// side, or of a multiple of it where the problem simulates on finer grids.
    pub fn own(
        gpu: &Gpu,
        paths: &[PathBuf; 2],
        problem: &ProblemConfig,
        size: usize,
        angles: &mut Stream,
    ) -> Result<Self> {
        let finer = problem.operator.has_finer_grids();
        let channels = if finer { 1 } else { 2 };
        let read = |path: &PathBuf| -> Result<Images> {
            let (values, shape) = load_images(path, channels, None)?;
            let [h, w] = [shape.h(), shape.w()];
            if h == w && (h == size || finer && h.is_multiple_of(size)) {
                return Ok(Images { values, shape });
            }
            let multiple = if finer { " (or a multiple of it)" } else { "" };
            Err(Error::data(
                path,
                format!(
                    "its images are {h}x{w} and this scale's are {size}x{size}{multiple}; crop, pad or average them to that size"
                ),
            ))
        };
        let [training, upright] = [read(&paths[0])?, read(&paths[1])?];
        Slices::new(gpu, training, upright, angles)
    }

    /// The CT slices of an experiment: its own, or the built-in ones, which have 256 x 256 pixels.
    pub fn for_ct(
        gpu: &Gpu,
        own: Option<&[PathBuf; 2]>,
        problem: &ProblemConfig,
        size: usize,
        angles: &mut Stream,
    ) -> Result<Self> {
        match own {
            Some(paths) => Slices::own(gpu, paths, problem, size, angles),
            None if 256 % size == 0 => Slices::ct(gpu, angles),
            None => Err(Error::Config(format!(
                "this scale reconstructs {size}x{size} pixels and the built-in slices have 256x256: give images of {size}x{size} or a multiple of it with --train and --test"
            ))),
        }
    }

    /// The images averaged onto the grid of `problem`, so that what measures them there is the very
    /// operator that reconstructs.
    pub fn averaged(&self, problem: &Problem) -> Result<Self> {
        let domain = problem.operator.domain();
        let averaged = |images: &Images| -> Result<Images> {
            Ok(Images {
                values: problem.ground_truth(&images.values, images.shape)?,
                shape: domain.with(0, images.shape.n()),
            })
        };
        Ok(Slices {
            training: averaged(&self.training)?,
            upright: averaged(&self.upright)?,
            rotated: averaged(&self.rotated)?,
            names: self.names,
        })
    }

    /// The training images in an order of which every beginning is a fair sample.
    pub fn shuffled(mut self, seed: u64) -> Self {
        let one = self.training.shape.with(0, 1).elements();
        let mut order: Vec<usize> = (0..self.training.shape.n()).collect();
        Stream::new(seed, "training images").shuffle(&mut order);
        self.training.values = (order.into_iter())
            .flat_map(|i| self.training.values[i * one..(i + 1) * one].to_vec())
            .collect();
        self
    }

    /// Writes the images as arrays below `out`, complex64 if they have two channels, and returns
    /// the path of those to train on.
    pub fn write(&self, out: &Path) -> Result<PathBuf> {
        let directory = out.join("images");
        files::create_directory(&directory)?;
        let [first, second] = self
            .names
            .map(|name| format!("test-{}.npy", file_name(name)));
        for (name, images) in [
            ("train.npy", &self.training),
            (&first, &self.upright),
            (&second, &self.rotated),
        ] {
            let Images { values, shape } = images;
            let extents = [shape.n(), shape.h(), shape.w()];
            let path = directory.join(name);
            if shape.c() == 1 {
                npy::write_npy(path, &extents, values)?;
                continue;
            }
            let plane = shape.h() * shape.w();
            let complex: Vec<Complex32> = (values.chunks_exact(2 * plane))
                .flat_map(|item| (0..plane).map(|i| Complex32::new(item[i], item[plane + i])))
                .collect();
            npy::write_npy(path, &extents, &complex)?;
        }
        Ok(directory.join("train.npy"))
    }
}
