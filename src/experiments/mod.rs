//! Named experiments: the demo, and the papers' figures.

pub mod augmentation;
pub mod demo;
pub mod denoising;
mod inputs;
mod jobs;
mod networks;
pub mod one_image;
pub mod orders;
pub mod results;
mod scores;
pub mod shifts;
mod study;
pub mod timing;
pub mod training_size;
pub mod tv_inpainting;
pub mod unrolled;
pub mod unsupervised;

pub use results::{Point, Results};
pub use scores::{Method, Scores, Summary, picture};
pub use study::turned;

use serde::Serialize;
use std::path::PathBuf;

/// How much an experiment does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Enough to see that it works: about a minute on two processor cores.
    Smoke,
    /// Small images and networks: less than an hour on two processor cores.
    Small,
    /// The paper's sizes, for a GPU.
    Paper,
}

/// What an experiment that trains many networks does.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// How much.
    pub scale: Scale,
    /// Where runs, plots, pictures, `metrics.json` and `report.html` go.
    pub out: PathBuf,
    /// Training and test images, `.npy` files `[N, rows, columns]`, instead of those that the
    /// program carries.
    pub images: Option<[PathBuf; 2]>,
    /// Training steps of each network (iterations, where no network is trained), instead of the
    /// scale's.
    pub steps: Option<u64>,
    /// Seed of everything random.
    pub seed: u64,
}

/// What an experiment tells while it runs.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A finished piece of work, in a sentence.
    Line(String),
    /// The state of a training.
    Training {
        /// The network's name.
        name: String,
        /// Steps done.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// The last loss that was read.
        loss: f64,
        /// Seconds that remain for this network.
        seconds_left: f64,
    },
}

impl Event {
    fn training(name: &str, progress: &crate::train::Progress) -> Self {
        Event::Training {
            name: name.to_string(),
            step: progress.step,
            steps: progress.steps,
            loss: progress.loss,
            seconds_left: progress.seconds_left,
        }
    }
}
