//! A trained denoiser for plug-and-play reconstruction.

use super::run_dir::{RunDir, Which};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::models::Network;
use crate::nn::reynolds;
use crate::operators::Identity;
use crate::problems::OperatorConfig;
use crate::shape::Shape;
use crate::solvers::Denoiser;
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// A network that was trained to denoise, in the form in which it is the fastest, averaged over a
/// group if asked.
pub struct NetworkDenoiser {
    network: Arc<dyn Network>,
    values: Vec<f32>,
    channels: usize,
    average: Option<Group>,
}

impl NetworkDenoiser {
    /// The network of a training run.
    ///
    /// # Errors
    /// [`Error::Config`] if the run is not one of denoising; those of [`RunDir::load`].
    pub fn open(run: &RunDir, which: Which) -> Result<Self> {
        let operator = &run.config().problem.operator;
        if !matches!(operator, OperatorConfig::Identity(_)) {
            return Err(Error::Config(format!(
                "the network was trained for operator.kind = \"{}\", and plug-and-play needs a denoiser: train one with operator.kind = \"identity\"",
                operator.kind()
            )));
        }
        let checkpoint = run.load(which)?;
        let model = checkpoint.model.build()?;
        let (network, values) = model.deployed(&checkpoint.parameters)?;
        Ok(NetworkDenoiser {
            network,
            values,
            channels: checkpoint.model.channels,
            average: None,
        })
    }

    /// The average of `T_g^-1 D T_g` over a group (Reynolds averaging; Chen et al. 2023, section IV), at
    /// the cost of one application for each element.
    ///
    /// # Errors
    /// [`Error::Config`] if the group does not map the pixel grid to itself.
    pub fn averaged_over(self, group: Group) -> Result<Self> {
        if !group.on_grid() {
            return Err(Error::Config(format!(
                "the average over {group} is not exact, since it does not map the pixel grid to itself: choose one of C2, C4, D1, D2, D4"
            )));
        }
        Ok(NetworkDenoiser {
            average: (!group.is_trivial()).then_some(group),
            ..self
        })
    }
}

impl Denoiser for NetworkDenoiser {
    fn states(&self) -> Vec<(String, Shape, Vec<f32>)> {
        let states = self.network.parameters().states();
        states
            .map(|(name, shape, range)| (name.to_string(), shape, self.values[range].to_vec()))
            .collect()
    }

    fn denoise(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        if x.shape().c() != self.channels {
            return Err(Error::Config(format!(
                "the denoiser was trained on images with {} channels, and these have {}: complex images need a denoiser of complex images",
                self.channels,
                x.shape().c()
            )));
        }
        let (_, bound) = self.network.parameters().bind(tape)?;
        let apply = |tape: &mut Tape, x: Var| {
            let operator = Identity::new(x.shape());
            self.network.reconstruct(tape, &bound, &operator, x)
        };
        match self.average {
            Some(group) => reynolds(tape, group, x, apply),
            None => apply(tape, x),
        }
    }
}
