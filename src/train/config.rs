//! A training config: TOML in, checked and fully resolved settings out.

use crate::config::{parse_toml, within};
use crate::error::{Error, Result};
use crate::files;
use crate::losses::{self, Term};
use crate::models::{ModelConfig, Network, OperatorFacts};
use crate::operators::{LinearOperator, Noise, diagnostics};
use crate::problems::{Problem, ProblemConfig};
use crate::tape::AdamConstants;
use crate::tape::plan::Store;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt::Formatter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything that determines a training run. Every default is that of Celledoni et al. 2021.
///
/// ```toml
/// [problem]
/// file = "ct.toml"          # or [problem.operator] and [problem.noise] here
/// [data]
/// train = "train.npy"
/// train_images = 10         # the first ten; default all
/// validation = "validation.npy"
/// [model]
/// kind = "learned_proximal_gradient"
/// group = "C4"
/// [[loss]]                  # any number of terms; default: one, supervised
/// kind = "supervised"
/// [training]
/// steps = 100000
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig<P = ProblemConfig> {
    /// The forward operator and the noise.
    pub problem: P,
    /// The images.
    pub data: DataConfig,
    /// The network.
    #[serde(default)]
    pub model: ModelConfig,
    /// What is made small: the weighted sum of these terms.
    #[serde(default = "supervised", deserialize_with = "terms")]
    pub loss: Vec<Term>,
    /// How.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// How long, and how often to look.
    #[serde(default)]
    pub training: TrainingConfig,
}

/// `[problem]` that stands in a file of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProblemFile {
    file: PathBuf,
}

fn supervised() -> Vec<Term> {
    vec![Term::default()]
}

/// A list of terms; what is no list is told how to become one.
fn terms<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Term>, D::Error> {
    struct Terms;
    impl<'de> Visitor<'de> for Terms {
        type Value = Vec<Term>;

        fn expecting(&self, f: &mut Formatter) -> std::fmt::Result {
            f.write_str("a list of terms: write each one as [[loss]], with two brackets")
        }

        fn visit_seq<A: SeqAccess<'de>>(
            self,
            mut terms: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(term) = terms.next_element()? {
                found.push(term);
            }
            Ok(found)
        }
    }
    deserializer.deserialize_seq(Terms)
}

/// Ground-truth images, whose measurements are simulated, or measurements without ground truth.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Images to train on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// Measurements to train on, for a loss that needs no ground truth; instead of `train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_measurements: Option<PathBuf>,
    /// How many of them, from the first; by default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_images: Option<usize>,
    /// Images that are never trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// Measurements that are never trained on, instead of `validation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_measurements: Option<PathBuf>,
    /// How many of them, from the first; by default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_images: Option<usize>,
}

/// Images, or measurements alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source<'a> {
    Images(&'a Path),
    Measurements(&'a Path),
}

impl DataConfig {
    /// What to train on.
    ///
    /// # Errors
    /// [`Error::Config`] unless one of the two keys is given.
    pub(super) fn training(&self) -> Result<Source<'_>> {
        match source("train", [&self.train, &self.train_measurements])? {
            Some(source) => Ok(source),
            None => Err(Error::Config(
                "data.train is missing: give a file of images, or data.train_measurements for a loss that needs no ground truth".into(),
            )),
        }
    }

    /// What to validate on, if anything.
    ///
    /// # Errors
    /// [`Error::Config`] if both keys are given.
    pub(super) fn validation(&self) -> Result<Option<Source<'_>>> {
        source(
            "validation",
            [&self.validation, &self.validation_measurements],
        )
    }
}

/// Of `[images, measurements]` the one that is given.
fn source<'a>(
    key: &str,
    [images, measurements]: [&'a Option<PathBuf>; 2],
) -> Result<Option<Source<'a>>> {
    match (images, measurements) {
        (Some(_), Some(_)) => Err(Error::Config(format!(
            "data.{key} and data.{key}_measurements are both given: keep one"
        ))),
        (Some(images), None) => Ok(Some(Source::Images(images))),
        (None, measurements) => Ok(measurements.as_deref().map(Source::Measurements)),
    }
}

/// The optimiser.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OptimiserConfig {
    /// Adam (Kingma and Ba, 2015).
    Adam(AdamConfig),
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        OptimiserConfig::Adam(AdamConfig::default())
    }
}

/// Adam's settings.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the square root.
    pub epsilon: f64,
    /// The gradient is scaled down to this 2-norm where it is longer; by default never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// How the step size changes.
    pub schedule: Schedule,
}

impl Default for AdamConfig {
    fn default() -> Self {
        AdamConfig {
            learning_rate: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: None,
            schedule: Schedule::Constant,
        }
    }
}

/// How the step size changes in the course of training.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Not at all.
    #[default]
    Constant,
    /// By the factor `(1 + cos(pi (t - 1) / steps)) / 2` in step `t`, counted from 1.
    Cosine,
}

/// Length and rhythm of a training run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Steps of the optimiser.
    pub steps: u64,
    /// Images in each step.
    pub batch: usize,
    /// Seed of the initial parameters, of the order of the images and of the noise.
    pub seed: u64,
    /// Steps between validations.
    pub validate_every: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between lines of the log.
    pub log_every: u64,
    /// Training ends early after this many validations without a better one; by default never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        TrainingConfig {
            steps: 100_000,
            batch: 1,
            seed: 0,
            validate_every: 1000,
            checkpoint_every: 1000,
            log_every: 10,
            patience: None,
        }
    }
}

/// What the trainer needs of a [`TrainConfig`]: everything but where the data come from.
#[derive(Clone, PartialEq, Debug)]
pub struct Recipe {
    /// The noise of the measurements, for losses that draw or subtract it.
    pub noise: Noise,
    /// What is made small: the weighted sum of these terms.
    pub loss: Vec<Term>,
    /// How.
    pub optimiser: OptimiserConfig,
    /// How long.
    pub training: TrainingConfig,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            noise: Noise::default(),
            loss: supervised(),
            optimiser: OptimiserConfig::default(),
            training: TrainingConfig::default(),
        }
    }
}

impl TrainConfig {
    /// Reads a config file; see [`TrainConfig::parse`].
    ///
    /// # Errors
    /// [`Error::Io`] if the file, or the problem file that it names, cannot be read; else as
    /// [`TrainConfig::parse`].
    pub fn load(path: impl AsRef<Path>, overrides: &[String]) -> Result<Self> {
        Self::parse(path.as_ref(), &files::read_text(&path)?, overrides)
    }

    /// The config in `text`, which stands, or would stand, in the file `path`: defaults are filled
    /// in, a problem file is read, and relative paths are made absolute from the directory of
    /// `path`. Each override is `key.in.dots=value` with a TOML value, or plain text for a string.
    ///
    /// # Errors
    /// [`Error::Config`] that names the file and the key for an unknown key, a value of the wrong
    /// type or out of range, or an override that is not `key=value`; [`Error::Io`] if the problem
    /// file cannot be read.
    pub fn parse(path: &Path, text: &str, overrides: &[String]) -> Result<Self> {
        let table = text.parse::<toml::Table>();
        let text = match (&table, overrides) {
            (_, []) | (Err(_), _) => text.to_string(),
            (Ok(table), overrides) => {
                let mut table = table.clone();
                for text in overrides {
                    set(&mut table, text)?;
                }
                to_toml(&table)?
            }
        };
        let names_file = text.parse::<toml::Table>().is_ok_and(|table| {
            let problem = table.get("problem").and_then(|p| p.as_table());
            problem.is_some_and(|p| p.contains_key("file"))
        });
        let directory = path.parent().unwrap_or(Path::new(""));
        let config = if names_file {
            let config: TrainConfig<ProblemFile> = parse_toml(path, &text)?;
            let file = directory.join(&config.problem.file);
            config.with_problem(Problem::load(&file)?.config)
        } else {
            parse_toml::<TrainConfig>(path, &text)?
        };
        config.resolved(directory).map_err(|e| e.in_config(path))
    }

    /// The same config, checked, with every default written out and relative paths made absolute
    /// from `directory`: what it means does not depend on where it stands.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key of a value out of range.
    pub fn resolved(&self, directory: &Path) -> Result<Self> {
        self.validate()?;
        let mut config = self.clone();
        config.problem = Problem::new(&config.problem.anchored(directory)?)?.config;
        let data = &mut config.data;
        let paths = [
            data.train.as_mut(),
            data.train_measurements.as_mut(),
            data.validation.as_mut(),
            data.validation_measurements.as_mut(),
        ];
        for data in paths.into_iter().flatten() {
            *data = std::path::absolute(directory.join(&*data))
                .map_err(|e| Error::io(&*data, "resolve", e))?;
        }
        Ok(config)
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key.
    pub fn validate(&self) -> Result<()> {
        for (key, count) in [
            ("data.train_images", self.data.train_images),
            ("data.validation_images", self.data.validation_images),
        ] {
            if let Some(count) = count {
                within(key, count, 1..=usize::MAX)?;
            }
        }
        let sources = [Some(self.data.training()?), self.data.validation()?];
        let measured = |source| matches!(source, Some(Source::Measurements(_)));
        if sources.into_iter().any(measured) && self.loss.iter().any(Term::needs_truth) {
            return Err(Error::Config(
                "data gives measurements without ground truth, and a [[loss]] of kind `supervised` or `augmentation` needs it: give images in data.train and data.validation, or a loss such as `measurement_consistency` with `equivariant_imaging`".into(),
            ));
        }
        self.recipe().validate()
    }

    /// The noise, the loss, the optimiser and the length of training.
    pub fn recipe(&self) -> Recipe {
        Recipe {
            noise: self.problem.noise,
            loss: self.loss.clone(),
            optimiser: self.optimiser.clone(),
            training: self.training.clone(),
        }
    }

    /// The whole config as TOML, every default written out.
    ///
    /// # Errors
    /// [`Error::Config`] if a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String> {
        to_toml(self)
    }
}

impl<P> TrainConfig<P> {
    fn with_problem<Q>(self, problem: Q) -> TrainConfig<Q> {
        TrainConfig {
            problem,
            data: self.data,
            model: self.model,
            loss: self.loss,
            optimiser: self.optimiser,
            training: self.training,
        }
    }
}

fn to_toml(value: &impl Serialize) -> Result<String> {
    toml::to_string(value)
        .map_err(|e| Error::Config(format!("the config cannot be written as TOML: {e}")))
}

/// Applies one override `key.in.dots=value`.
fn set(table: &mut toml::Table, text: &str) -> Result<()> {
    let bad = |why: &str| {
        Error::Config(format!(
            "--set {text}: {why}; write for example --set optimiser.learning_rate=1e-3"
        ))
    };
    let (key, value) = text.split_once('=').ok_or_else(|| bad("there is no '='"))?;
    let parsed = format!("value = {value}").parse::<toml::Table>();
    let value = match parsed.ok().and_then(|mut t| t.remove("value")) {
        Some(value) => value,
        None => toml::Value::String(value.into()),
    };
    let (sections, name) = match key.trim().rsplit_once('.') {
        Some((sections, name)) => (sections.split('.').collect(), name),
        None => (Vec::new(), key.trim()),
    };
    let mut place = table;
    for section in sections {
        place = (place.entry(section.trim()))
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| bad(&format!("'{section}' is not a section")))?;
    }
    place.insert(name.trim().into(), value);
    Ok(())
}

impl Recipe {
    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key.
    pub fn validate(&self) -> Result<()> {
        let OptimiserConfig::Adam(adam) = &self.optimiser;
        for (key, value) in [
            ("optimiser.learning_rate", Some(adam.learning_rate)),
            ("optimiser.epsilon", Some(adam.epsilon)),
            ("optimiser.clip_norm", adam.clip_norm),
        ] {
            if let Some(value) = value {
                // The kernel computes in single precision: what vanishes there is no setting.
                within(key, value, 1e-30..=1e30)?;
            }
        }
        // 1 - beta must not vanish in single precision either.
        within("optimiser.beta1", adam.beta1, 0.0..=0.999_999)?;
        within("optimiser.beta2", adam.beta2, 0.0..=0.999_999)?;
        losses::check(&self.loss, self.noise)?;
        let training = &self.training;
        for (key, count) in [
            ("training.steps", training.steps),
            ("training.validate_every", training.validate_every),
            ("training.checkpoint_every", training.checkpoint_every),
            ("training.log_every", training.log_every),
            ("training.patience", training.patience.unwrap_or(1)),
        ] {
            within(key, count, 1..=1 << 40)?;
        }
        within("training.batch", training.batch, 1..=4096)?;
        // TOML's integers are signed.
        within("training.seed", training.seed, 0..=i64::MAX as u64)?;
        Ok(())
    }
}

impl AdamConfig {
    /// The step size of step `t`, counted from 1, of `steps`.
    pub fn learning_rate(&self, t: u64, steps: u64) -> f64 {
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                let phase = t.saturating_sub(1).min(steps) as f64 / steps as f64;
                0.5 * self.learning_rate * (1.0 + (std::f64::consts::PI * phase).cos())
            }
        }
    }

    pub(super) fn constants(&self) -> AdamConstants {
        AdamConstants {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            epsilon: self.epsilon as f32,
        }
    }
}

/// A network together with what it takes from its operator: what a checkpoint must know to build
/// it again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ModelSpec {
    /// The settings.
    pub config: ModelConfig,
    /// Channels of an image.
    pub channels: usize,
    /// Channels of a measurement.
    pub measurement_channels: usize,
    /// Rows and columns of an image, for a network that fits one size only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// Whether measurements are sinograms that close onto themselves.
    pub closed_views: bool,
    /// The norm of the operator that the network is trained with. Single precision survives the
    /// way through a text file.
    pub operator_norm: f32,
}

impl ModelSpec {
    /// The network `config` for `operator`, whose norm is measured on the device of `store`.
    ///
    /// # Errors
    /// Those of compiling and running the operator.
    pub fn measure(
        config: &ModelConfig,
        operator: &dyn LinearOperator,
        store: &Store,
    ) -> Result<Self> {
        let norm = diagnostics::norm(operator, store, 200)? as f32;
        Ok(ModelSpec::new(config, operator, norm))
    }

    /// The network `config` for `operator` of norm `operator_norm`.
    pub fn new(config: &ModelConfig, operator: &dyn LinearOperator, operator_norm: f32) -> Self {
        let facts = OperatorFacts::of(operator, f64::from(operator_norm));
        ModelSpec {
            config: config.clone(),
            channels: facts.channels,
            size: config.fits_one_size().then_some(facts.size),
            measurement_channels: facts.measurement_channels,
            closed_views: facts.closed_views,
            operator_norm,
        }
    }

    /// The network.
    ///
    /// # Errors
    /// Those of [`ModelConfig::build`].
    pub fn build(&self) -> Result<Arc<dyn Network>> {
        self.config.build(&OperatorFacts {
            channels: self.channels,
            size: self.size.unwrap_or_default(),
            measurement_channels: self.measurement_channels,
            norm: f64::from(self.operator_norm),
            closed_views: self.closed_views,
        })
    }

    /// This network with the operator's norm that `trained` was made with, so that a norm measured
    /// on another adapter changes no bit.
    ///
    /// # Errors
    /// [`Error::Config`] if the norms differ by more than measuring them does.
    pub fn adopt_norm(&mut self, trained: &ModelSpec) -> Result<()> {
        let (theirs, ours) = (trained.operator_norm, self.operator_norm);
        if (theirs - ours).abs() > 1e-3 * ours {
            return Err(Error::Config(format!(
                "the network was trained with an operator of norm {theirs} and this problem's has {ours}: use the problem of the training run"
            )));
        }
        self.operator_norm = theirs;
        Ok(())
    }

    /// The first setting in which networks of `self` and `other` compute something different, as
    /// `(key, self's value, other's value)`. The operator's norm is not compared.
    pub fn difference(&self, other: &ModelSpec) -> Option<(String, String, String)> {
        let settings = |spec: &ModelSpec| {
            let config = spec.config.clone().with_recompute(false);
            let mut value = serde_json::to_value(config).unwrap_or_default();
            value["channels"] = spec.channels.into();
            value["measurement_channels"] = spec.measurement_channels.into();
            value["closed_views"] = spec.closed_views.into();
            if let Some([rows, columns]) = spec.size {
                value["size"] = format!("{rows}x{columns}").into();
            }
            value
        };
        let (a, b) = (settings(self), settings(other));
        let keys = a.as_object().into_iter().chain(b.as_object());
        keys.flat_map(|o| o.keys())
            .find(|key| a.get(*key) != b.get(*key))
            .map(|key| {
                let show = |v: &serde_json::Value| {
                    v.get(key)
                        .map_or_else(|| "absent".into(), |v| v.to_string())
                };
                (key.clone(), show(&a), show(&b))
            })
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
