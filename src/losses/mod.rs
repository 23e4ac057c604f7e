//! Losses: scalars that training makes small, from ground truth or from measurements alone.
//!
//! A loss is a weighted sum of [`Term`]s. Each records itself on the tape of a [`Scene`]: a network
//! that reconstructs, the operator and the noise, and the measurements of one batch. What several
//! terms need, the reconstruction and its measurement, is recorded once.
//!
//! | term | needs ground truth | source |
//! | --- | --- | --- |
//! | [`Supervised`] | yes | Celledoni et al. 2021, section 5.1.2 |
//! | [`Augmentation`] | yes | Chen et al. 2023, section IV |
//! | [`MeasurementConsistency`] | no | Chen et al. 2023, eq. 15 |
//! | [`EquivariantImaging`] | no | Chen, Tachella and Davies 2021; 2023, eq. 19 |
//! | [`Sure`] | no | Chen, Tachella and Davies 2022, eq. 8 to 10 |
//! | [`Unsure`] | no | Tachella, Davies and Jacques 2025 |
//! | [`Splitting`] | no | Yaman et al. 2020; Sechaud et al. 2025 |
//! | [`MultiOperator`] | no | Tachella, Chen and Davies 2022 |

mod augmentation;
mod consistency;
mod distance;
mod equivariant_imaging;
mod motion;
mod multi_operator;
mod scene;
mod splitting;
mod sure;
mod term;
mod unsure;

pub use augmentation::Augmentation;
pub use consistency::MeasurementConsistency;
pub use distance::{Distance, Supervised, half_mean_squared_error};
pub use equivariant_imaging::EquivariantImaging;
pub use motion::{Motion, MotionInput, Moved, Rotation, Transforms, Turns};
pub use multi_operator::MultiOperator;
pub use scene::{LossState, Randomness, Reconstruct, Scene};
pub use splitting::{Splitting, Unit};
pub use sure::{Domain, Sure};
pub use term::{Term, calls_again, check, record};
pub use unsure::Unsure;
