//! Images with their measurements, and the order they are trained in.

use crate::data::Stream;
use crate::data::stack::Stack;
use crate::error::{Error, Result};
use crate::operators::LinearOperator;
use crate::problems::Problem;
use crate::shape::Shape;
use crate::tape::plan::Store;
use std::path::Path;

/// Measurements, and of each the ground-truth image where there is one, on the host.
#[derive(Clone, PartialEq, Debug)]
pub struct Dataset {
    /// Empty if there is none.
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
        check_finite("ground truth", &truth, image)?;
        check_finite("measurements", &measurements, measurement)?;
        Ok(Dataset {
            truth,
            measurements,
            count,
            image,
            measurement,
        })
    }

    /// Measurements of shape `measurement`, one after another, of images of shape `image` (both with
    /// N = 1) that nobody knows.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn measured(measurements: Vec<f32>, image: Shape, measurement: Shape) -> Result<Self> {
        let one = measurement.elements();
        if measurement.n() != 1
            || one == 0
            || measurements.is_empty()
            || !measurements.len().is_multiple_of(one)
        {
            return Err(Error::shape(
                "dataset",
                format!(
                    "{} values for measurements {measurement}: give whole ones, and at least one",
                    measurements.len()
                ),
            ));
        }
        check_finite("measurements", &measurements, measurement)?;
        Ok(Dataset {
            truth: Vec::new(),
            count: measurements.len() / one,
            measurements,
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

    /// All images, one after another; none if the ground truth is unknown.
    pub fn truth(&self) -> &[f32] {
        &self.truth
    }

    /// Whether the ground truth is known.
    pub fn has_truth(&self) -> bool {
        !self.truth.is_empty()
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

    /// The same with every value of the ground truth NaN.
    #[cfg(test)]
    pub(super) fn with_unreadable_truth(mut self) -> Self {
        self.truth.fill(f32::NAN);
        self
    }

    /// The ground truth of the images `indices`, one after another.
    pub(super) fn truths(&self, indices: &[usize]) -> Vec<f32> {
        gathered(&self.truth, self.image.elements(), indices)
    }

    /// The measurements `indices`, one after another.
    pub(super) fn batch(&self, indices: &[usize]) -> Vec<f32> {
        gathered(&self.measurements, self.measurement.elements(), indices)
    }
}

fn gathered(values: &[f32], one: usize, indices: &[usize]) -> Vec<f32> {
    let items = indices.iter().map(|i| &values[i * one..(i + 1) * one]);
    items.flatten().copied().collect()
}

fn check_finite(name: &str, values: &[f32], one: Shape) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::NotFinite(format!(
            "value {} of the {name} of image {} is {}",
            i % one.elements(),
            i / one.elements(),
            values[i]
        ))),
    }
}

/// The first `count` images of a `.npy` file (`None`: all) as a batch of images with `channels`
/// channels. Complex numbers become two channels; real ones of a complex problem get the imaginary
/// part zero.
///
/// # Errors
/// Those of [`Stack::read`] and [`Stack::first`].
pub fn load_images(
    path: &Path,
    channels: usize,
    count: Option<usize>,
) -> Result<(Vec<f32>, Shape)> {
    let stack = Stack::read(path, channels)?.first(path, count)?;
    Ok((stack.values, stack.shape))
}

/// The images of each step: every epoch is a new random order of all images, and epochs follow each
/// other without a gap. A pure function of seed and step, so that a resumed run needs no
/// generator's state.
///
/// Where several operators take turns (`period` of them), image `i` was measured by operator `i`
/// modulo their number, and place `k` of a batch gets an image of operator `k` modulo it: each
/// operator's images have an order of their own.
#[derive(Clone, Debug)]
pub(super) struct BatchOrder {
    batch: usize,
    classes: Vec<ClassOrder>,
}

impl BatchOrder {
    /// The order of `count` images in batches of `batch`, a multiple of `period`.
    pub fn new(seed: u64, count: usize, batch: usize, period: usize) -> Self {
        let class = |k: usize| ClassOrder {
            seed: seed.wrapping_add(k as u64),
            epoch: None,
            order: (k..count).step_by(period).collect(),
        };
        BatchOrder {
            batch,
            classes: (0..period).map(class).collect(),
        }
    }

    /// The images of step `step`, counted from 0.
    pub fn images(&mut self, step: u64) -> Vec<usize> {
        let period = self.classes.len();
        let each = (self.batch / period) as u64;
        let image = |slot: usize| {
            let position = step * each + (slot / period) as u64;
            self.classes[slot % period].image(position)
        };
        (0..self.batch).map(image).collect()
    }
}

/// The order of the images of one operator.
#[derive(Clone, Debug)]
struct ClassOrder {
    seed: u64,
    /// The epoch whose order is at hand.
    epoch: Option<u64>,
    order: Vec<usize>,
}

impl ClassOrder {
    fn image(&mut self, position: u64) -> usize {
        let count = self.order.len() as u64;
        let epoch = position / count;
        if self.epoch != Some(epoch) {
            self.order.sort_unstable();
            Stream::new(self.seed, &format!("order of epoch {epoch}")).shuffle(&mut self.order);
            self.epoch = Some(epoch);
        }
        self.order[(position % count) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_shows_every_image_once_in_another_order() {
        let mut order = BatchOrder::new(3, 10, 4, 1);
        let all: Vec<usize> = (0..10).flat_map(|step| order.images(step)).collect();
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
        let mut straight = BatchOrder::new(5, 7, 2, 1);
        let images: Vec<_> = (0..30).map(|step| straight.images(step)).collect();
        for step in [29, 3, 17] {
            let found = BatchOrder::new(5, 7, 2, 1).images(step);
            assert_eq!(found, images[step as usize]);
        }
        let mut other = BatchOrder::new(6, 7, 2, 1);
        let other: Vec<_> = (0..30).map(|step| other.images(step)).collect();
        assert_ne!(images, other);
    }

    #[test]
    fn operators_take_turns_within_a_batch() {
        // Images 0, 3, 6 | 1, 4 | 2, 5 by three operators.
        let mut order = BatchOrder::new(1, 7, 6, 3);
        let steps: Vec<_> = (0..6).map(|step| order.images(step)).collect();
        for images in &steps {
            let operators: Vec<usize> = images.iter().map(|i| i % 3).collect();
            assert_eq!(operators, [0, 1, 2, 0, 1, 2]);
        }
        let mut first: Vec<_> = steps.iter().flat_map(|s| [s[0], s[3]]).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 0, 0, 0, 3, 3, 3, 3, 6, 6, 6, 6]);
    }

    #[test]
    fn measurements_need_no_images() {
        let (image, measurement) = (Shape::new(1, 1, 2, 2), Shape::new(1, 1, 1, 3));
        let data = Dataset::measured(vec![1.0; 6], image, measurement).expect("two");
        assert_eq!((data.count(), data.has_truth()), (2, false));
        for wrong in [vec![], vec![1.0; 7]] {
            let error = Dataset::measured(wrong, image, measurement).expect_err("sizes");
            assert!(matches!(error, Error::Shape { .. }), "{error}");
        }
        let error = Dataset::measured(vec![f32::NAN; 3], image, measurement).expect_err("NaN");
        assert!(matches!(error, Error::NotFinite(_)), "{error}");
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
        use crate::data::npy;
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
            (&real, 1, Some(3), "holds 2 items"),
        ] {
            let error = load(path, channels, count).expect_err("refused");
            assert!(error.contains(word), "{error}");
        }
    }
}
