//! State that outlives a plan: parameters and optimiser moments, by name.

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu};
use crate::shape::Shape;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The states of one device, shared by every plan that is compiled with it. A cheap handle.
#[derive(Clone, Debug)]
pub struct Store {
    gpu: Gpu,
    states: Arc<Mutex<BTreeMap<String, (Shape, Buffer)>>>,
}

impl Store {
    /// An empty store.
    pub fn new(gpu: &Gpu) -> Self {
        Store {
            gpu: gpu.clone(),
            states: Arc::default(),
        }
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn lock(&self) -> Result<MutexGuard<'_, BTreeMap<String, (Shape, Buffer)>>> {
        (self.states.lock())
            .map_err(|_| Error::Device("a thread that used the store panicked".into()))
    }

    /// The buffer of the state `name`, made of zeros at its first use.
    ///
    /// # Errors
    /// [`Error::Shape`] if it exists with another shape; [`Error::OutOfMemory`].
    pub(super) fn buffer(&self, name: &str, shape: Shape) -> Result<Buffer> {
        let mut states = self.lock()?;
        if let Some((known, buffer)) = states.get(name) {
            if *known != shape {
                return Err(Error::shape(
                    "state",
                    format!("'{name}' has shape {known} in the store and {shape} on the tape"),
                ));
            }
            return Ok(buffer.clone());
        }
        let buffer = self.gpu.buffer(name, shape.bytes())?;
        states.insert(name.to_string(), (shape, buffer.clone()));
        Ok(buffer)
    }

    /// Bytes that states of these names and shapes would add.
    pub(super) fn missing_bytes<'a>(
        &self,
        states: impl Iterator<Item = (&'a str, Shape)>,
    ) -> Result<u64> {
        let known = self.lock()?;
        Ok(states
            .filter(|(name, _)| !known.contains_key(*name))
            .map(|(_, shape)| shape.bytes())
            .sum())
    }

    /// Sets the state `name`, making it if need be.
    ///
    /// # Errors
    /// [`Error::Shape`] if the values do not fill the shape or the state has another one.
    pub fn write(&self, name: &str, shape: Shape, values: &[f32]) -> Result<()> {
        if values.len() != shape.elements() {
            return Err(Error::shape(
                "state",
                format!("{} values for '{name}' of shape {shape}", values.len()),
            ));
        }
        let buffer = self.buffer(name, shape)?;
        self.gpu.write(&buffer, 0, values);
        Ok(())
    }

    /// The values of the state `name`; blocks until the work submitted so far is done.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no such state; [`Error::Device`].
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let (shape, buffer) = (self.lock()?.get(name).cloned())
            .ok_or_else(|| Error::shape("state", format!("no state is named '{name}'")))?;
        self.gpu.read(&buffer, 0, shape.elements())
    }
}
