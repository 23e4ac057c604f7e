//! A trained model ready to reconstruct.

use super::config::ModelSpec;
use super::forward::Forward;
use super::run_dir::{RunDir, Which};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::operators::LinearOperator;
use crate::tape::plan::Store;

/// A trained network compiled for reconstruction, in the form in which it is the fastest
/// ([`Network::deployed`](crate::models::Network::deployed)).
pub struct Reconstructor {
    forward: Forward,
    parameters: usize,
}

impl Reconstructor {
    /// The network `spec` with the flat `parameters`, for up to `batch` images at a time (fewer if
    /// they do not fit).
    ///
    /// # Errors
    /// [`Error::Shape`] if the parameters are not this network's, [`Error::Config`] if the operator
    /// has images of other channels, [`Error::NotFinite`] if a parameter is,
    /// [`Error::OutOfMemory`]; those of compiling.
    pub fn new(
        gpu: &Gpu,
        operator: &dyn LinearOperator,
        spec: &ModelSpec,
        parameters: &[f32],
        batch: usize,
    ) -> Result<Self> {
        if operator.domain().c() != spec.channels {
            return Err(Error::Config(format!(
                "the network was trained for images with {} channels and the operator {} has images {}: use the problem of the training run",
                spec.channels,
                operator.name(),
                operator.domain()
            )));
        }
        if let Some(i) = parameters.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite(format!(
                "parameter {i} is {}",
                parameters[i]
            )));
        }
        let model = spec.build()?;
        let (deployed, values) = model.deployed(parameters)?;
        let store = Store::new(gpu);
        for (name, shape, range) in deployed.parameters().states() {
            store.write(name, shape, &values[range])?;
        }
        Ok(Reconstructor {
            forward: Forward::compile(&store, operator, &*deployed, batch)?,
            parameters: model.parameters().count(),
        })
    }

    /// The network of a training run.
    ///
    /// # Errors
    /// Those of [`RunDir::load`] and [`Reconstructor::new`].
    pub fn open(
        gpu: &Gpu,
        run: &RunDir,
        which: Which,
        operator: &dyn LinearOperator,
        batch: usize,
    ) -> Result<Self> {
        let checkpoint = run.load(which)?;
        let (spec, parameters) = (&checkpoint.model, &checkpoint.parameters);
        Self::new(gpu, operator, spec, parameters, batch)
    }

    /// The reconstructions of `n` measurements, one after another: images of shape
    /// [`LinearOperator::domain`].
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not `n` measurements, [`Error::NotFinite`] if a measurement or
    /// a reconstruction is, [`Error::Device`].
    pub fn reconstruct(&self, measurements: &[f32], n: usize) -> Result<Vec<f32>> {
        self.forward.apply(measurements, n)
    }

    /// The number of trained parameters.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The largest number of images in one replay.
    pub fn batch(&self) -> usize {
        self.forward.batch()
    }
}
