//! The steps that a transform consists of.

use super::block::Block;
use super::butterfly::{Pair, Text};
use super::modulate::Modulate;
use super::pass::Pass;
use crate::kernels::{Launch, Slot};

/// Where the lines along an axis lie in a plane: `outer` arrays of `length` times `inner` values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Grid {
    pub outer: usize,
    pub length: usize,
    pub inner: usize,
}

impl Grid {
    /// Values of a plane.
    pub fn plane(self) -> usize {
        self.outer * self.length * self.inner
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Pass(Pass),
    Block(Block),
    Modulate(Modulate),
}

/// One launch: what it does, on what, and how the ends are treated.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub work: Work,
    /// Pairs of channels, or single ones on a real side.
    pub pairs: usize,
    pub source: Slot,
    pub result: Slot,
    /// The source is real.
    pub from_real: bool,
    /// Of the result the real part is kept.
    pub to_real: bool,
    /// Factor of the source's imaginary part: -1 conjugates it.
    pub sign: f64,
    /// Factors of the result's real and imaginary part.
    pub scale: [f64; 2],
}

impl Step {
    pub fn source_parts(&self) -> usize {
        if self.from_real { 1 } else { 2 }
    }

    pub fn result_parts(&self) -> usize {
        if self.to_real { 1 } else { 2 }
    }

    pub fn reads_texture(&self) -> bool {
        matches!(self.source, Slot::Texture(_))
    }

    /// Values of a plane of the result.
    pub fn result_plane(&self) -> usize {
        match &self.work {
            Work::Pass(pass) => pass.grid.plane(),
            Work::Block(block) => block.grid.plane(),
            Work::Modulate(modulate) => modulate.result().plane(),
        }
    }

    /// A value times the factors of the result, if there are any.
    pub fn scaled(&self, text: &mut Text, [re, im]: Pair<String>) -> Pair<String> {
        if self.scale == [1.0, 1.0] {
            return [re, im];
        }
        [
            text.name(&format!("params.scale_real * {re}")),
            text.name(&format!("params.scale_imaginary * {im}")),
        ]
    }

    pub fn launch(&self, quads: bool) -> Launch {
        match &self.work {
            Work::Pass(pass) => pass.launch(self, quads),
            Work::Block(block) => block.launch(self),
            Work::Modulate(modulate) => modulate.launch(self, quads),
        }
    }
}
