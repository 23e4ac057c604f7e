//! Validation: the training loss and the PSNR on images, or the loss on measurements alone.

use super::config::Recipe;
use super::dataset::Dataset;
use super::draws;
use super::step::{DRAW, MEASUREMENTS};
use super::trainer::Scores;
use crate::error::{Error, Result};
use crate::losses::{self, MotionInput, Randomness, Scene};
use crate::metrics;
use crate::models::Network;
use crate::operators::LinearOperator;
use crate::shape::Shape;
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Tape, Var};

/// Pixels in a batch that keep a GPU busy.
const PIXELS: usize = 1 << 16;
/// Makes the random numbers of validation others than those of training.
const KEY: u64 = 0x7661_6c69_6461_7465;

/// The loss and the reconstructions of fixed measurements, compiled. The random numbers of the loss
/// are the same each time, so that validations compare.
pub(super) struct Validation {
    data: Dataset,
    plan: Plan,
    recorded: Recorded,
    batch: usize,
    seed: u64,
}

struct Recorded {
    loss: Var,
    estimate: Var,
    motions: Vec<MotionInput>,
    reads_truth: bool,
}

impl Validation {
    /// Compiles for `data`, in batches of equal size: fewer images at a time if more do not fit into
    /// the memory that is left after `reserved` bytes.
    ///
    /// # Errors
    /// [`Error::Config`] if the loss needs a ground truth that is unknown, or the images are no
    /// multiple of the operators that take turns; [`Error::Data`] if an image has no positive value
    /// (then it has no PSNR); [`Error::OutOfMemory`]; those of recording and compiling.
    pub fn new(
        store: &Store,
        model: &dyn Network,
        operator: &dyn LinearOperator,
        recipe: &Recipe,
        data: Dataset,
        reserved: u64,
    ) -> Result<Self> {
        data.check(operator)?;
        if data.has_truth() {
            // Before hours of training, not after.
            psnr(&data, data.truth())?;
        }
        let pixels = data.image().h() * data.image().w();
        let (count, period) = (data.count(), operator.period());
        let most = (PIXELS / pixels.max(1)).clamp(period, count.max(period));
        let fits = |batch: &usize| count.is_multiple_of(*batch) && batch.is_multiple_of(period);
        let mut batches = (1..=most).rev().filter(fits).peekable();
        while let Some(batch) = batches.next() {
            let (tape, recorded) = record(model, operator, recipe, batch)?;
            if recorded.reads_truth && !data.has_truth() {
                return Err(Error::Config(
                    "the loss needs ground truth and the validation data have none: validate on images".into(),
                ));
            }
            let outputs = [recorded.loss, recorded.estimate];
            let needed = Plan::memory_needed(&tape, &outputs, store, Options::tuned())?.total();
            if let Some(available) = store.gpu().memory_limit()
                && needed + reserved > available
            {
                if batches.peek().is_some() {
                    continue;
                }
                return Err(Error::OutOfMemory {
                    needed: needed + reserved,
                    available,
                    advice: "use a smaller image or width, or raise --memory-limit".into(),
                });
            }
            let plan = Plan::compile(&tape, &outputs, store, Options::tuned())?;
            return Ok(Validation {
                data,
                plan,
                recorded,
                batch,
                seed: recipe.training.seed,
            });
        }
        Err(Error::Config(format!(
            "{count} validation images for {period} operators that take turns: give a multiple of {period}"
        )))
    }

    /// Bytes that the plan takes.
    pub fn bytes(&self) -> u64 {
        self.plan.memory().total()
    }

    /// The mean scores with the parameters as they are now.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a reconstruction or the loss is; [`Error::Device`].
    pub fn scores(&self) -> Result<Scores> {
        let count = self.data.count();
        let mut images = Vec::with_capacity(count * self.data.image().elements());
        let mut loss = 0.0;
        for (number, start) in (0..count).step_by(self.batch).enumerate() {
            let indices: Vec<usize> = (start..start + self.batch).collect();
            let measurements = self.data.batch(&indices);
            let truths = match self.recorded.reads_truth {
                true => self.data.truths(&indices),
                false => Vec::new(),
            };
            let motions = draws::draw(
                &self.recorded.motions,
                self.seed,
                &format!("validation batch {number}"),
            )?;
            let draw = [number as f32];
            let mut inputs: Vec<(&str, &[f32])> = vec![
                (MEASUREMENTS, &measurements),
                (Scene::TRUTH, &truths),
                (DRAW, &draw),
            ];
            inputs.retain(|(name, _)| self.plan.has_input(name));
            inputs.extend(
                motions
                    .iter()
                    .map(|(name, values)| (name.as_str(), &values[..])),
            );
            self.plan.run(&inputs)?;
            loss += f64::from(self.plan.read(self.recorded.loss)?[0]) * self.batch as f64;
            images.extend(self.plan.read(self.recorded.estimate)?);
        }
        if let Some(i) = images.iter().position(|v| !v.is_finite()) {
            let pixels = self.data.image().elements();
            return Err(Error::NotFinite(format!(
                "pixel {} of reconstruction {} is {}",
                i % pixels,
                i / pixels,
                images[i]
            )));
        }
        if !loss.is_finite() {
            return Err(Error::NotFinite(format!("the validation loss is {loss}")));
        }
        let psnr = match self.data.has_truth() {
            true => Some(psnr(&self.data, &images)?),
            false => None,
        };
        Ok(Scores {
            loss: loss / count as f64,
            psnr,
        })
    }
}

/// Records loss and reconstruction of a network that is applied, not trained.
fn record(
    model: &dyn Network,
    operator: &dyn LinearOperator,
    recipe: &Recipe,
    batch: usize,
) -> Result<(Tape, Recorded)> {
    let mut tape = Tape::new();
    let y = tape.input(MEASUREMENTS, operator.range().with(0, batch));
    let draw = tape.input(DRAW, Shape::SCALAR);
    let (_, bound) = model.parameters().bind(&mut tape)?;
    let network = |tape: &mut Tape, operator: &dyn LinearOperator, y| {
        model.reconstruct(tape, &bound, operator, y)
    };
    let randomness = Randomness {
        seed: recipe.training.seed ^ KEY,
        draw,
    };
    let mut scene = Scene::new(&network, operator, recipe.noise, y, randomness);
    let loss = losses::record(&recipe.loss, &mut tape, &mut scene)?;
    let estimate = scene.estimate(&mut tape)?;
    let recorded = Recorded {
        loss,
        estimate,
        motions: scene.motions().to_vec(),
        reads_truth: scene.reads_truth(),
    };
    Ok((tape, recorded))
}

/// The mean PSNR of `images` against the ground truth of `data`, with the maximum of each as the
/// peak; complex images by their magnitude.
fn psnr(data: &Dataset, images: &[f32]) -> Result<f64> {
    let one = data.image().elements();
    let mut sum = 0.0;
    for (truth, image) in data.truth().chunks(one).zip(images.chunks(one)) {
        let [truth, image] = [truth, image].map(|x| metrics::magnitude(x, data.image().c()));
        sum += metrics::psnr(&truth, &image)?;
    }
    Ok(sum / data.count() as f64)
}
