//! Images with their measurements, and the order they are trained in.

use crate::data::{AnyArray, Stream, npy};
use crate::error::{Error, Result};
use crate::operators::LinearOperator;
use crate::problems::Problem;
use crate::shape::Shape;
use crate::tape::plan::Store;
use std::path::Path;

/// Ground-truth images and the measurements of each, on the host.
#[derive(Clone, PartialEq, Debug)]
pub struct Dataset {
    truth: Vec<f32>,
    measurements: Vec<f32>,
    count: usize,
    image: Shape,
    measurement: Shape,
}

impl Dataset {
    /// Images of shape `image` and measurements of shape `measurement` (both with N = 1), one after
    /// another, as many of one as of the other.
    ///
    /// # Errors
    /// [`Error::Shape`] if the arrays are empty, do not hold whole images, or the counts differ;
    /// [`Error::NotFinite`] if a value is NaN or infinite.
    pub fn new(
        truth: Vec<f32>,
        measurements: Vec<f32>,
        image: Shape,
        measurement: Shape,
    ) -> Result<Self> {
        let count = truth.len() / image.elements().max(1);
        let fits = |values: &[f32], one: Shape| {
            one.n() == 1 && one.elements() > 0 && values.len() == count * one.elements()
        };
        if count == 0 || !fits(&truth, image) || !fits(&measurements, measurement) {
            return Err(Error::shape(
                "dataset",
                format!(
                    "{} values for images {image} and {} for measurements {measurement}: give equally many of both, and at least one",
                    truth.len(),
                    measurements.len()
                ),
            ));
        }
        for (name, values, one) in [
            ("ground truth", &truth, image),
            ("measurements", &measurements, measurement),
        ] {
            if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::NotFinite(format!(
                    "value {} of the {name} of image {} is {}",
                    i % one.elements(),
                    i / one.elements(),
                    values[i]
                )));
            }
        }
        Ok(Dataset {
            truth,
            measurements,
            count,
            image,
            measurement,
        })
    }

    /// Images of `shape` with the measurements that `problem` simulates, noise and all, from
    /// `seed`. Images on a finer grid than the problem's are simulated there and averaged for the
    /// ground truth, so that training does not invert the very map that made the data.
    ///
    /// # Errors
    /// Those of [`Problem::simulate`] and [`Dataset::new`].
    pub fn simulate(
        problem: &Problem,
        store: &Store,
        images: &[f32],
        shape: Shape,
        seed: u64,
    ) -> Result<Self> {
        let measurements = problem.simulate(store, images, shape, seed)?;
        let truth = problem.ground_truth(images, shape)?;
        let operator = &problem.operator;
        Dataset::new(truth, measurements, operator.domain(), operator.range())
    }

    /// The number of images.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The shape of one image.
    pub fn image(&self) -> Shape {
        self.image
    }

    /// The shape of one measurement.
    pub fn measurement(&self) -> Shape {
        self.measurement
    }

    /// All images, one after another.
    pub fn truth(&self) -> &[f32] {
        &self.truth
    }

    /// All measurements, one after another.
    pub fn measurements(&self) -> &[f32] {
        &self.measurements
    }

    /// # Errors
    /// [`Error::Shape`] unless images and measurements are those of `operator`.
    pub(super) fn check(&self, operator: &dyn LinearOperator) -> Result<()> {
        if (self.image, self.measurement) == (operator.domain(), operator.range()) {
            return Ok(());
        }
        Err(Error::shape(
            "dataset",
            format!(
                "images {} and measurements {} for an operator from {} to {}",
                self.image,
                self.measurement,
                operator.domain(),
                operator.range()
            ),
        ))
    }

    /// Copies image and measurement `index` to place `slot` of a batch.
    pub(super) fn copy(
        &self,
        index: usize,
        slot: usize,
        truth: &mut [f32],
        measurements: &mut [f32],
    ) {
        let part = |from: &[f32], to: &mut [f32], len: usize| {
            to[slot * len..][..len].copy_from_slice(&from[index * len..][..len]);
        };
        part(&self.truth, truth, self.image.elements());
        part(
            &self.measurements,
            measurements,
            self.measurement.elements(),
        );
    }
}

/// The first `count` images of a `.npy` file (`None`: all) as a batch of images with `channels`
/// channels. Complex numbers become two channels; real ones of a complex problem get the imaginary
/// part zero.
///
/// # Errors
/// Those of [`npy::read_npy`]; [`Error::Data`] if the images are complex where the problem is real,
/// or are fewer than `count`.
pub fn load_images(
    path: &Path,
    channels: usize,
    count: Option<usize>,
) -> Result<(Vec<f32>, Shape)> {
    let array = npy::read_npy(path)?;
    let [n, h, w] = match &array {
        AnyArray::Real(a) => a.as_stack(),
        AnyArray::Complex(a) => a.as_stack(),
    };
    if matches!(array, AnyArray::Complex(_)) && channels != 2 {
        return Err(Error::data(
            path,
            format!(
                "{n} complex images of {h}x{w} pixels, where the problem's have {channels} channels; save their magnitude or real part"
            ),
        ));
    }
    let wanted = count.unwrap_or(n);
    if wanted > n {
        return Err(Error::data(
            path,
            format!("it holds {n} images and {wanted} are asked for in [data]"),
        ));
    }
    let pixels = h * w;
    let mut images = Vec::with_capacity(wanted * channels * pixels);
    for k in 0..wanted {
        let range = k * pixels..(k + 1) * pixels;
        match &array {
            AnyArray::Real(a) => {
                images.extend_from_slice(&a.data[range]);
                // The imaginary part, if there is one.
                images.resize((k + 1) * channels * pixels, 0.0);
            }
            AnyArray::Complex(a) => {
                images.extend(a.data[range.clone()].iter().map(|z| z.re));
                images.extend(a.data[range].iter().map(|z| z.im));
            }
        }
    }
    Ok((images, Shape::new(wanted, channels, h, w)))
}

/// The images of each step: every epoch is a new random order of all images, and epochs follow each
/// other without a gap. A pure function of seed and step, so that a resumed run needs no
/// generator's state.
#[derive(Clone, Debug)]
pub(super) struct BatchOrder {
    seed: u64,
    count: usize,
    batch: usize,
    /// The epoch whose order is at hand.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl BatchOrder {
    pub fn new(seed: u64, count: usize, batch: usize) -> Self {
        BatchOrder {
            seed,
            count,
            batch,
            epoch: None,
            order: (0..count).collect(),
        }
    }

    /// The image in place `slot` of step `step`, counted from 0.
    pub fn image(&mut self, step: u64, slot: usize) -> usize {
        let position = step * self.batch as u64 + slot as u64;
        let epoch = position / self.count as u64;
        if self.epoch != Some(epoch) {
            for (i, image) in self.order.iter_mut().enumerate() {
                *image = i;
            }
            Stream::new(self.seed, &format!("order of epoch {epoch}")).shuffle(&mut self.order);
            self.epoch = Some(epoch);
        }
        self.order[(position % self.count as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_shows_every_image_once_in_another_order() {
        let mut order = BatchOrder::new(3, 10, 4);
        let all: Vec<usize> = (0..10)
            .flat_map(|step| (0..4).map(move |slot| (step, slot)))
            .map(|(step, slot)| order.image(step, slot))
            .collect();
        for epoch in all.chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(all[..10], all[10..20]);
        assert_ne!(all[..10], (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_is_a_function_of_seed_and_step() {
        let mut straight = BatchOrder::new(5, 7, 2);
        let images: Vec<usize> = (0..30).map(|step| straight.image(step, 1)).collect();
        for step in [29, 3, 17] {
            let image = BatchOrder::new(5, 7, 2).image(step, 1);
            assert_eq!(image, images[step as usize]);
        }
        let other: Vec<usize> = {
            let mut order = BatchOrder::new(6, 7, 2);
            (0..30).map(|step| order.image(step, 1)).collect()
        };
        assert_ne!(images, other);
    }

    #[test]
    fn unusable_data_is_a_typed_error() {
        let (image, measurement) = (Shape::new(1, 1, 2, 2), Shape::new(1, 1, 1, 3));
        let new = |truth: Vec<f32>, y: Vec<f32>| {
            Dataset::new(truth, y, image, measurement).map(|d| d.count)
        };
        assert_eq!(new(vec![0.0; 8], vec![0.0; 6]).expect("two images"), 2);
        for (truth, y) in [(0, 0), (7, 6), (8, 3), (8, 7)] {
            let error = new(vec![0.0; truth], vec![0.0; y]).expect_err("sizes");
            assert!(matches!(error, Error::Shape { .. }), "{error}");
        }
        let error = new(vec![0.0; 4], vec![0.0, f32::NAN, 0.0]).expect_err("NaN");
        assert!(
            matches!(&error, Error::NotFinite(m) if m.contains("value 1")),
            "{error}"
        );
    }

    #[test]
    fn image_files_become_planar_batches() {
        use num_complex::Complex32;
        let directory = tempfile::tempdir().expect("a directory");
        let (real, complex) = (
            directory.path().join("r.npy"),
            directory.path().join("c.npy"),
        );
        npy::write_npy(&real, &[2, 1, 2], &[1.0f32, 2.0, 3.0, 4.0]).expect("written");
        let z = [Complex32::new(1.0, 5.0), Complex32::new(2.0, 6.0)];
        npy::write_npy(&complex, &[1, 2], &z).expect("written");
        let load = |path, channels, count| {
            let loaded = load_images(path, channels, count).map_err(|e| e.to_string());
            loaded.map(|(images, shape)| (images, shape.0))
        };
        assert_eq!(load(&real, 1, Some(1)), Ok((vec![1.0, 2.0], [1, 1, 1, 2])));
        let planar = vec![1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0];
        assert_eq!(load(&real, 2, None), Ok((planar, [2, 2, 1, 2])));
        let planar = vec![1.0, 2.0, 5.0, 6.0];
        assert_eq!(load(&complex, 2, None), Ok((planar, [1, 2, 1, 2])));
        for (path, channels, count, word) in [
            (&complex, 1, None, "complex"),
            (&real, 1, Some(3), "holds 2 images"),
        ] {
            let error = load(path, channels, count).expect_err("refused");
            assert!(error.contains(word), "{error}");
        }
    }
}
