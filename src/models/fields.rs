//! The fields inside a network and what is done to them between convolutions.

use crate::error::{Error, Result};
use crate::group::{FieldType, Group, Representation};
use crate::nn::NormalisationKind;
use serde::{Deserialize, Serialize};

/// The nonlinearity of a network's layers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NonlinearityKind {
    /// A leaky ReLU of each channel, for fields whose channels the group permutes.
    #[default]
    Pointwise,
    /// A trained threshold for each field's norm, for every representation.
    Norm,
    /// A gate for each field, for every representation.
    Gated,
}

/// Which fields a network has inside, and their nonlinearity.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldsConfig {
    /// The representation of each field, as `equilens group basis` reads it; the summands of a
    /// direct sum, `irrep(0) + irrep(1)`, are fields of their own. Without a group (`C1`) fields are
    /// single channels.
    pub representation: String,
    /// The nonlinearity.
    pub nonlinearity: NonlinearityKind,
}

impl Default for FieldsConfig {
    fn default() -> Self {
        FieldsConfig {
            representation: "regular".into(),
            nonlinearity: NonlinearityKind::Pointwise,
        }
    }
}

impl FieldsConfig {
    /// Fields of `group` with `width` channels in all: as many of each summand.
    ///
    /// # Errors
    /// [`Error::Config`] if the group has no such representation, the width is not a positive
    /// multiple of its size, or the group mixes the channels that a pointwise nonlinearity takes
    /// one by one.
    pub fn fields(&self, group: Group, width: usize) -> Result<FieldType> {
        if group.is_trivial() && width > 0 {
            return Ok(FieldType::trivial(group, width));
        }
        let parsed = Representation::parse(&self.representation, group)?;
        parsed.check(group)?;
        let size = parsed.size(group);
        if width == 0 || !width.is_multiple_of(size) {
            return Err(Error::Config(format!(
                "[model] width = {width}: the width must be a positive multiple of the {size} channels of {parsed} of {group}"
            )));
        }
        let summands = match parsed {
            Representation::Sum(summands) => summands,
            single => vec![single],
        };
        let blocks = summands.into_iter().map(|summand| (summand, width / size));
        let fields = FieldType::mixed(group, blocks.collect())?;
        if self.nonlinearity == NonlinearityKind::Pointwise && !fields.is_permutation() {
            return Err(Error::Config(format!(
                "[model] fields.nonlinearity = \"pointwise\" would break the symmetry of fields {}, whose channels {group} mixes: use \"norm\" or \"gated\", or regular, quotient or trivial fields",
                self.representation
            )));
        }
        Ok(fields)
    }

    /// The nonlinearity; without a group there are channels only, and it is pointwise.
    pub(super) fn nonlinearity_of(&self, group: Group) -> NonlinearityKind {
        match group.is_trivial() {
            true => NonlinearityKind::Pointwise,
            false => self.nonlinearity,
        }
    }

    /// Verifies that ordinary convolutions and pointwise nonlinearities can express a network of
    /// these fields.
    pub(super) fn check_freezable(
        &self,
        group: Group,
        normalisation: NormalisationKind,
    ) -> Result<()> {
        let pointwise = self.nonlinearity_of(group) == NonlinearityKind::Pointwise;
        if group.is_trivial() || (normalisation == NormalisationKind::None && pointwise) {
            return Ok(());
        }
        Err(Error::Config(
            "the network cannot be frozen to ordinary convolutions: its normalisation or nonlinearity acts on whole fields; use [model] normalisation = \"none\" and a pointwise nonlinearity".into(),
        ))
    }
}
