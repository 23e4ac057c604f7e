//! One problem with test images in two orientations, and the methods that are tried on them.

use super::scores::{Method, Summary, picture};
use crate::data::{AffineRanges, Image, Stream, assets};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::metrics;
use crate::operators::{Filter, RayTransform};
use crate::problems::{OperatorConfig, Problem};
use crate::shape::{Maps, Shape};
use crate::solvers::{self, Cgls, Fbp, Iterative, Tv};
use crate::tape::Tape;
use crate::tape::plan::{Options, Plan, Store};
use crate::train::{Dataset, Reconstructor};

/// Images as the tape takes them: values, `N C H W`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Images {
    pub values: Vec<f32>,
    pub shape: Shape,
}

impl Images {
    /// Real images of one size; of `channels` = 2 channels with the imaginary part zero.
    pub fn new(images: &[Image], channels: usize) -> Self {
        let [rows, columns] = images.first().map_or([0, 0], Image::size);
        let mut values = Vec::with_capacity(images.len() * channels * rows * columns);
        for image in images {
            values.extend_from_slice(&image.pixels);
            values.resize(values.len() + (channels - 1) * rows * columns, 0.0);
        }
        Images {
            values,
            shape: Shape::new(images.len(), channels, rows, columns),
        }
    }

    /// The first `count` of them.
    pub fn first(&self, count: usize) -> Self {
        let shape = self.shape.with(0, count);
        Images {
            values: self.values[..shape.elements()].to_vec(),
            shape,
        }
    }

    /// As many, evenly spread.
    pub fn spread(&self, count: usize) -> Self {
        let total = self.shape.n();
        let one = self.shape.with(0, 1).elements();
        let image = |k: usize| &self.values[(2 * k + 1) * total / (2 * count) * one..][..one];
        Images {
            values: (0..count).flat_map(image).copied().collect(),
            shape: self.shape.with(0, count),
        }
    }
}

/// Every image turned about its centre by its own random angle (bilinear, zero outside). `values`
/// has the shape `shape`; the channels of an image turn together.
///
/// # Errors
/// [`crate::error::Error::Shape`] if `values` has another shape; those of compiling and running.
pub fn turned(gpu: &Gpu, values: &[f32], shape: Shape, angles: &mut Stream) -> Result<Vec<f32>> {
    let one = shape.with(0, 1);
    if values.len() != shape.elements() || one.elements() == 0 {
        return Err(Error::shape(
            "turned",
            format!("{} values for images {shape}", values.len()),
        ));
    }
    let mut tape = Tape::new();
    let x = tape.input("image", one);
    let maps = tape.input("maps", Maps::shape(1));
    let y = tape.warp(x, maps)?;
    let plan = Plan::compile(&tape, &[y], &Store::new(gpu), Options::default())?;
    let mut result = Vec::with_capacity(values.len());
    for image in values.chunks_exact(one.elements()) {
        let map = Maps::of(&[AffineRanges::rotations().draw(angles)])?;
        plan.run(&[("image", image), ("maps", &map)])?;
        result.extend(plan.read(y)?);
    }
    Ok(result)
}

/// Images to train on, and to test on in two orientations.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Slices {
    pub training: Images,
    pub upright: Images,
    pub rotated: Images,
    /// How each of the test sets is called.
    pub names: [&'static str; 2],
}

impl Slices {
    /// The test images upright and turned by random angles.
    pub fn new(gpu: &Gpu, training: Images, upright: Images, angles: &mut Stream) -> Result<Self> {
        let rotated = Images {
            values: turned(gpu, &upright.values, upright.shape, angles)?,
            shape: upright.shape,
        };
        Ok(Slices {
            training,
            upright,
            rotated,
            names: Orientation::BOTH.map(Orientation::name),
        })
    }

    /// The CT slices that the program carries, 256 x 256.
    pub fn ct(gpu: &Gpu, angles: &mut Stream) -> Result<Self> {
        let images = |images: Vec<Image>| Images::new(&images, 1);
        Slices::new(
            gpu,
            images(assets::ct_train()),
            images(assets::ct_test()),
            angles,
        )
    }

    /// The MRI slices that the program carries as complex images of `size` x `size` pixels:
    /// in the middle of a canvas of at least 256, turned there, and halved as often as needed.
    pub fn mri(gpu: &Gpu, size: usize, angles: &mut Stream) -> Result<Self> {
        let mut canvas = size;
        while canvas < 256 {
            canvas *= 2;
        }
        let on_canvas = |images: Vec<Image>| -> Images {
            let images = images.iter().map(|i| i.on_canvas([canvas, canvas]));
            Images::new(&images.collect::<Vec<_>>(), 1)
        };
        let slices = Slices::new(
            gpu,
            on_canvas(assets::mri_train()),
            on_canvas(assets::mri_test()),
            angles,
        )?;
        let halved = |images: &Images| -> Result<Images> {
            let planes = images.values.chunks_exact(canvas * canvas);
            let small = planes.map(|plane| {
                let mut image = Image::new([canvas, canvas], plane.to_vec())?;
                while image.rows > size {
                    image = image.downsampled()?;
                }
                Ok(image)
            });
            Ok(Images::new(&small.collect::<Result<Vec<_>>>()?, 2))
        };
        Ok(Slices {
            training: halved(&slices.training)?,
            upright: halved(&slices.upright)?,
            rotated: halved(&slices.rotated)?,
            names: slices.names,
        })
    }
}

/// Test images in one orientation with their measurements.
struct TestSet {
    truth: Vec<f32>,
    measurements: Vec<f32>,
}

/// A method's reconstructions of both test sets, N times the operator's domain.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Reconstructions {
    pub upright: Vec<f32>,
    pub rotated: Vec<f32>,
}

/// The two test sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Orientation {
    Upright,
    Rotated,
}

impl Orientation {
    pub const BOTH: [Orientation; 2] = [Orientation::Upright, Orientation::Rotated];

    pub fn name(self) -> &'static str {
        match self {
            Orientation::Upright => "upright",
            Orientation::Rotated => "rotated",
        }
    }

    /// A method's scores, if it was tried on this set.
    pub fn of_method(self, method: &Method) -> Option<&Summary> {
        match self {
            Orientation::Upright => Some(&method.upright),
            Orientation::Rotated => method.rotated.as_ref(),
        }
    }

    pub fn of(self, images: &Reconstructions) -> &[f32] {
        match self {
            Orientation::Upright => &images.upright,
            Orientation::Rotated => &images.rotated,
        }
    }
}

/// A problem and its test sets.
pub(super) struct Study<'a> {
    pub gpu: &'a Gpu,
    pub problem: Problem,
    pub store: Store,
    upright: TestSet,
    rotated: TestSet,
    tests: usize,
    names: [&'static str; 2],
}

/// Images on which parameters of classical methods are chosen, at most.
const TUNED: usize = 8;

impl<'a> Study<'a> {
    /// Simulates the test sets, with different noise for each.
    pub fn new(gpu: &'a Gpu, problem: Problem, slices: &Slices, seed: u64) -> Result<Self> {
        let store = Store::new(gpu);
        let test = |images: &Images, seed: u64| -> Result<TestSet> {
            Ok(TestSet {
                truth: problem.ground_truth(&images.values, images.shape)?,
                measurements: problem.simulate(&store, &images.values, images.shape, seed)?,
            })
        };
        let upright = test(&slices.upright, seed.wrapping_add(1))?;
        let rotated = test(&slices.rotated, seed.wrapping_add(2))?;
        Ok(Study {
            gpu,
            upright,
            rotated,
            tests: slices.upright.shape.n(),
            names: slices.names,
            store,
            problem,
        })
    }

    /// What a test set is called.
    pub fn name(&self, of: Orientation) -> &'static str {
        self.names[of as usize]
    }

    /// Test images in each orientation.
    pub fn tests(&self) -> usize {
        self.tests
    }

    fn set(&self, orientation: Orientation) -> &TestSet {
        match orientation {
            Orientation::Upright => &self.upright,
            Orientation::Rotated => &self.rotated,
        }
    }

    fn size(&self) -> [usize; 2] {
        let domain = self.problem.operator.domain();
        [domain.h(), domain.w()]
    }

    /// The magnitudes of images one after another.
    fn magnitudes(&self, images: &[f32]) -> Vec<f32> {
        let domain = self.problem.operator.domain();
        let images = images.chunks_exact(domain.elements());
        let magnitude = |image| metrics::magnitude(image, domain.c()).into_owned();
        images.flat_map(magnitude).collect()
    }

    fn score(&self, truth: &[f32], images: &[f32]) -> Result<Summary> {
        Summary::of(
            &self.magnitudes(truth),
            &self.magnitudes(images),
            self.size(),
        )
    }

    /// The scores of reconstructions in one orientation.
    pub fn scores(&self, images: &Reconstructions, of: Orientation) -> Result<Summary> {
        self.score(&self.set(of).truth, of.of(images))
    }

    /// What `solve` makes of both test sets.
    fn both(&self, solve: impl Fn(&[f32]) -> Result<Vec<f32>>) -> Result<Reconstructions> {
        Ok(Reconstructions {
            upright: solve(&self.upright.measurements)?,
            rotated: solve(&self.rotated.measurements)?,
        })
    }

    /// The candidate with which `solve` reconstructs (at most `tuned`) training images best.
    fn best<T: Copy>(
        &self,
        training: &Dataset,
        tuned: usize,
        candidates: &[T],
        solve: impl Fn(T, &[f32]) -> Result<Vec<f32>>,
    ) -> Result<T> {
        let count = training.count().min(tuned);
        let y = &training.measurements()[..count * training.measurement().elements()];
        let truth = &training.truth()[..count * training.image().elements()];
        let mut best = (f64::NEG_INFINITY, candidates[0]);
        for &candidate in candidates {
            let score = self.score(truth, &solve(candidate, y)?)?.psnr;
            if score > best.0 {
                best = (score, candidate);
            }
        }
        Ok(best.1)
    }

    fn count(&self, y: &[f32]) -> usize {
        y.len() / self.problem.operator.range().elements()
    }

    /// The pseudo-inverse as it is: what networks start from.
    pub fn pseudo_inverse(&self) -> Result<Reconstructions> {
        let (operator, store) = (self.problem.operator.as_ref(), &self.store);
        self.both(|y| solvers::pseudo_inverse(operator, store, y, self.count(y)))
    }

    /// The solution of least squares with the smallest norm, `A^+ y`, as far as conjugate gradients
    /// get in single precision.
    pub fn least_squares(&self) -> Result<Reconstructions> {
        let cgls = Cgls {
            weight: 0.0,
            iterations: 500,
            tolerance: 1e-5,
        };
        let (operator, store) = (self.problem.operator.as_ref(), &self.store);
        self.both(|y| {
            Ok(cgls
                .solve(operator, store, y, self.count(y), &mut |_| {})?
                .images)
        })
    }

    /// FBP with the filter that is best on the training images, clamped at 0; or zero filling.
    pub fn direct(&self, training: &Dataset) -> Result<Reconstructions> {
        let (operator, store) = (self.problem.operator.as_ref(), &self.store);
        match &self.problem.config.operator {
            OperatorConfig::RayTransform(config) => {
                let ray = RayTransform::new(config.geometry(1)?);
                let apply = |filter: Filter, y: &[f32]| {
                    let fbp = Fbp {
                        filter,
                        nonnegative: true,
                    };
                    fbp.solve(&ray, store, y, self.count(y))
                };
                let filters = [
                    Filter::RamLak,
                    Filter::SheppLogan,
                    Filter::Cosine,
                    Filter::Hann,
                ];
                let filter = self.best(training, usize::MAX, &filters, apply)?;
                self.both(|y| apply(filter, y))
            }
            _ => self.both(|y| solvers::pseudo_inverse(operator, store, y, self.count(y))),
        }
    }

    /// TV with the weight that is best on (up to eight of) the training images.
    pub fn total_variation(&self, training: &Dataset) -> Result<Reconstructions> {
        let operator = self.problem.operator.as_ref();
        let solve = |weight: f64, y: &[f32]| -> Result<Vec<f32>> {
            let tv = Tv {
                weight,
                iterations: 100,
                tolerance: 1e-3,
                ..Tv::for_images(operator.domain())
            };
            let solution = tv.solve(operator, &self.store, y, self.count(y), &mut |_| {})?;
            Ok(solution.images)
        };
        let weights: &[f64] = match &self.problem.config.operator {
            OperatorConfig::RayTransform(_) => &[1e-3, 2e-3, 4e-3, 8e-3],
            _ => &[2.5e-3, 5e-3, 1e-2, 2e-2],
        };
        let weight = self.best(training, TUNED, weights, solve)?;
        self.both(|y| solve(weight, y))
    }

    /// What a trained network makes of both test sets.
    pub fn network(&self, network: &Reconstructor) -> Result<Reconstructions> {
        self.both(|y| network.reconstruct(y, self.count(y)))
    }

    /// Truth and reconstructions of test image `index` above their error maps, as PNG: black at 0,
    /// white at `white`, errors in full colour at `limit`.
    pub fn picture(
        &self,
        orientation: Orientation,
        index: usize,
        shown: &[(String, &Reconstructions)],
        [white, limit]: [f32; 2],
    ) -> Result<Vec<u8>> {
        let domain = self.problem.operator.domain();
        let image = |values: &[f32]| {
            let one = &values[index * domain.elements()..][..domain.elements()];
            let pixels = metrics::magnitude(one, domain.c()).into_owned();
            Image::new(self.size(), pixels)
        };
        let truth = image(&self.set(orientation).truth)?;
        let mut row = Vec::with_capacity(shown.len());
        for (name, images) in shown {
            row.push((name.as_str(), image(orientation.of(images))?));
        }
        let zoom = (192 / domain.w()).max(1);
        picture(
            self.name(orientation),
            &truth,
            &row,
            [0.0, white],
            limit,
            zoom,
        )?
        .to_png()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Selection;

    #[test]
    fn mri_slices_are_square_complex_and_turned() {
        let gpu = Gpu::open(&Selection::default()).expect("an adapter");
        for size in [64, 128] {
            let slices = Slices::mri(&gpu, size, &mut Stream::new(1, "test")).expect("fits");
            for (images, count) in [
                (&slices.training, 24),
                (&slices.upright, 10),
                (&slices.rotated, 10),
            ] {
                assert_eq!(images.shape, Shape::new(count, 2, size, size));
                for image in images.values.chunks(2 * size * size) {
                    let (re, im) = image.split_at(size * size);
                    assert!(im.iter().all(|&v| v == 0.0));
                    assert!(re.iter().all(|v| (0.0..=1.0).contains(v)));
                    assert!(re.iter().any(|&v| v > 0.3));
                }
            }
            assert_ne!(slices.upright, slices.rotated);
        }
        let full = Slices::mri(&gpu, 320, &mut Stream::new(1, "test")).expect("fits");
        assert_eq!(full.upright.shape, Shape::new(10, 2, 320, 320));
    }

    #[test]
    fn spread_images_are_those_of_the_middles() {
        let images: Vec<Image> = (0..6)
            .map(|k| Image::from_fn([1, 1], |_, _| k as f32))
            .collect();
        let images = Images::new(&images, 1);
        assert_eq!(images.spread(2).values, [1.0, 4.0]);
        assert_eq!(images.spread(6), images);
    }
}
