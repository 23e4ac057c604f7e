//! What is measured, what the networks are taught with, and the scales.

use crate::experiments::networks::Annealed;
use crate::experiments::{Options, Scale, inputs};
use crate::group::Group;
use crate::losses::{
    EquivariantImaging, MeasurementConsistency, Supervised, Sure, Term, Transforms,
};
use crate::models::{ModelConfig, UNetConfig};
use crate::operators::Noise;
use crate::problems::{
    CartesianConfig, FileOr, FourierConfig, ImageSize, InpaintingConfig, MaskConfig,
    OperatorConfig, PixelMaskConfig, ProblemConfig, RandomPixelsConfig, RayTransformConfig,
};
use crate::train::TrainConfig;
use std::path::Path;

/// Standard deviation of the noise in noisy CT, some 8 % of a middling line integral. The noise
/// of low-dose CT with 1e4 photons costs equivariant imaging too little to be regained (half a decibel
/// against supervision after 3000 steps), and with 1e3 photons rays without any decide.
const SIGMA: f64 = 0.004;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// CT of few views, without noise.
    Ct,
    /// CT of few views and much noise.
    NoisyCt,
    /// MRI of few lines.
    Mri,
    /// Images of which many pixels are missing.
    Inpainting,
}

/// How a network is trained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lesson {
    Consistency,
    Imaging,
    RobustImaging,
    Supervised,
}

impl Lesson {
    pub(super) fn name(self) -> &'static str {
        match self {
            Lesson::Consistency => "mc",
            Lesson::Imaging => "ei",
            Lesson::RobustImaging => "rei",
            Lesson::Supervised => "supervised",
        }
    }
}

impl Subject {
    /// The experiment's name.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Ct => "ei-ct",
            Subject::NoisyCt => "rei-ct",
            Subject::Mri => "ei-mri",
            Subject::Inpainting => "ei-inpainting",
        }
    }

    pub(in crate::experiments) fn problem(self, settings: &Settings) -> ProblemConfig {
        let image_size = ImageSize::Square(settings.size);
        let scan = OperatorConfig::RayTransform(RayTransformConfig {
            image_size,
            views: Some(settings.views),
            ..RayTransformConfig::default()
        });
        let (operator, noise) = match self {
            Subject::Ct => (scan, Noise::None {}),
            Subject::NoisyCt => (scan, Noise::Gaussian { sigma: SIGMA }),
            Subject::Mri => {
                let mask = MaskConfig::Cartesian(CartesianConfig {
                    lines: Some(settings.size / 4),
                    centre: Some(settings.size / 16),
                    ..CartesianConfig::default()
                });
                let fourier = FourierConfig {
                    image_size,
                    mask: FileOr::Made(mask),
                    ..FourierConfig::default()
                };
                (OperatorConfig::Fourier(fourier), Noise::None {})
            }
            Subject::Inpainting => {
                let pixels = RandomPixelsConfig {
                    share: 0.3,
                    seed: 1,
                };
                let inpainting = InpaintingConfig {
                    image_size,
                    mask: FileOr::Made(PixelMaskConfig::Random(pixels)),
                };
                (OperatorConfig::Inpainting(inpainting), Noise::None {})
            }
        };
        ProblemConfig {
            operator,
            noise,
            phase: None,
        }
    }

    pub(in crate::experiments) fn described(self, settings: &Settings) -> String {
        let size = settings.size;
        match self {
            Subject::Ct => format!(
                "CT, {} views, no noise, {size} x {size} pixels",
                settings.views
            ),
            Subject::NoisyCt => format!(
                "CT, {} views, Gaussian noise of {SIGMA}, {size} x {size} pixels",
                settings.views
            ),
            Subject::Mri => format!(
                "MRI, {} of {size} lines, no noise, {size} x {size} pixels",
                size / 4
            ),
            Subject::Inpainting => {
                format!("CT slices of which 30 % of the pixels are seen, {size} x {size} pixels")
            }
        }
    }

    pub(super) fn lessons(self) -> &'static [Lesson] {
        use Lesson::*;
        match self {
            Subject::NoisyCt => &[Consistency, Imaging, RobustImaging, Supervised],
            _ => &[Consistency, Imaging, Supervised],
        }
    }

    /// How many of the networks are trained: the question whether equivariance by design and by
    /// learning add up is asked once, of CT.
    pub(super) fn networks(self) -> usize {
        match self {
            Subject::Ct => 2,
            _ => 1,
        }
    }

    /// What the set of images is taken to be invariant under: shifts where turning the operator
    /// would change nothing, turns elsewhere.
    fn transforms(self) -> Transforms {
        match self {
            Subject::Inpainting => Transforms {
                shift: 0.5,
                ..Transforms::default()
            },
            _ => Transforms::rotations(),
        }
    }

    /// The weights of the two terms: of the measured residual, which is in the unit of the
    /// measurements, and of equivariance. Chosen in trial runs of a few hundred steps at
    /// 64 x 64 pixels with seed 1 that were scored on the built-in test images.
    pub(super) fn weights(self) -> [f64; 2] {
        match self {
            Subject::Ct => [1e3, 10.0],
            Subject::NoisyCt => [1e3, 3.0],
            Subject::Mri | Subject::Inpainting => [1.0, 1.0],
        }
    }

    pub(super) fn loss(self, lesson: Lesson) -> Vec<Term> {
        let [residual, equivariance] = self.weights();
        let consistency = Term::MeasurementConsistency(MeasurementConsistency { weight: residual });
        let imaging = |noise| {
            Term::EquivariantImaging(EquivariantImaging {
                weight: equivariance,
                transforms: self.transforms(),
                draws: 1,
                noise,
            })
        };
        match lesson {
            Lesson::Consistency => vec![consistency],
            Lesson::Imaging => vec![consistency, imaging(false)],
            Lesson::RobustImaging => {
                let sure = Sure {
                    weight: residual,
                    ..Sure::default()
                };
                vec![Term::Sure(sure), imaging(true)]
            }
            Lesson::Supervised => vec![Term::Supervised(Supervised::default())],
        }
    }

    pub(super) fn window(self) -> [f32; 2] {
        match self {
            Subject::Mri => inputs::MRI_WINDOW,
            _ => inputs::CT_WINDOW,
        }
    }
}

/// What a [`Scale`] stands for.
pub(in crate::experiments) struct Settings {
    pub size: usize,
    pub views: usize,
    pub seeds: u64,
    /// Channels of the ordinary network; the equivariant one has twice as many, which is about as
    /// many parameters.
    pub width: usize,
    pub levels: usize,
    pub steps: u64,
    pub learning_rate: f64,
}

impl Settings {
    /// Those of the options.
    pub fn of(subject: Subject, options: &Options) -> Self {
        let scale = Self::of_scale(subject, options.scale);
        Settings {
            steps: options.steps.unwrap_or(scale.steps),
            ..scale
        }
    }

    fn of_scale(subject: Subject, scale: Scale) -> Self {
        match (scale, subject) {
            (Scale::Smoke, _) => Settings {
                size: 32,
                views: 10,
                seeds: 1,
                width: 4,
                levels: 1,
                steps: 10,
                learning_rate: 2e-3,
            },
            // At 32 x 32 pixels too few photons hurt less than SURE's own spread.
            (Scale::Small, Subject::NoisyCt) => Settings {
                size: 64,
                views: 20,
                seeds: 3,
                width: 8,
                levels: 2,
                steps: 500,
                learning_rate: 2e-3,
            },
            // Equivariant imaging takes many steps before it passes measurement consistency: small
            // images, for long.
            (Scale::Small, _) => Settings {
                size: 32,
                views: 10,
                seeds: 3,
                width: 8,
                levels: 2,
                steps: 1000,
                learning_rate: 2e-3,
            },
            // 128 x 128 pixels, 50 views: those of Chen, Tachella and Davies 2021.
            (Scale::Paper, _) => Settings {
                size: 128,
                views: 50,
                seeds: 3,
                width: 64,
                levels: 4,
                steps: 100_000,
                learning_rate: 5e-4,
            },
        }
    }

    /// The ordinary network and the equivariant one: groups and widths.
    pub fn networks(&self) -> [(Group, usize); 2] {
        [
            (Group::TRIVIAL, self.width),
            (Group::cyclic(4), 2 * self.width),
        ]
    }

    /// The run of one network.
    pub fn config(
        &self,
        problem: &ProblemConfig,
        train: &Path,
        (group, width): (Group, usize),
        loss: Vec<Term>,
        seed: u64,
    ) -> TrainConfig {
        let training = Annealed {
            steps: self.steps,
            batch: 1,
            learning_rate: self.learning_rate,
        };
        let model = ModelConfig::UNet(UNetConfig {
            group,
            width,
            levels: self.levels,
            // Images are positive and the equivariant network has few fields: with a smaller
            // slope, a layer all of whose fields see the mean with the wrong sign is dead.
            slope: 0.2,
            ..UNetConfig::default()
        });
        training.config(problem.clone(), train, model, loss, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::Problem;

    #[test]
    fn only_supervision_asks_for_ground_truth() {
        for subject in [
            Subject::Ct,
            Subject::NoisyCt,
            Subject::Mri,
            Subject::Inpainting,
        ] {
            for &lesson in subject.lessons() {
                let asks = subject.loss(lesson).iter().any(Term::needs_truth);
                assert_eq!(asks, lesson == Lesson::Supervised, "{subject:?} {lesson:?}");
            }
        }
    }

    #[test]
    fn every_problem_of_every_scale_can_be_built() {
        for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
            for subject in [
                Subject::Ct,
                Subject::NoisyCt,
                Subject::Mri,
                Subject::Inpainting,
            ] {
                let settings = Settings::of_scale(subject, scale);
                let problem = Problem::new(&subject.problem(&settings)).expect("valid");
                let domain = problem.operator.domain();
                assert_eq!([domain.h(), domain.w()], [settings.size; 2]);
                // There is something to be learned.
                assert!(
                    problem.operator.measured() < domain.elements(),
                    "{subject:?}"
                );
            }
        }
    }

    #[test]
    fn both_networks_have_about_as_many_parameters() {
        let settings = Settings::of_scale(Subject::Ct, Scale::Small);
        let counts = settings.networks().map(|network| {
            let problem = Subject::Ct.problem(&settings);
            let config = settings.config(&problem, Path::new("x"), network, Vec::new(), 0);
            let ModelConfig::UNet(unet) = &config.model else {
                panic!("another model");
            };
            let unet = crate::models::UNet::new(unet, 1).expect("valid");
            crate::models::Network::parameters(&unet).count() as f64
        });
        let ratio = counts[1] / counts[0];
        assert!((0.8..1.2).contains(&ratio), "{counts:?}");
    }
}
