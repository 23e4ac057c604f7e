//! What the channels of a feature map mean.

use std::fmt;

use crate::error::{Error, Result};

use super::{Group, Representation};

/// The type of a feature map: which representations its channels are made of.
///
/// Channels are counted block after block, in a block field after field, in a field component after
/// component; so a block of regular fields has channel `field * |G| + g`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FieldType {
    group: Group,
    blocks: Vec<(Representation, usize)>,
}

impl FieldType {
    /// `multiplicity` fields of one representation.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if the representation is not one of `group`.
    pub fn new(group: Group, representation: Representation, multiplicity: usize) -> Result<Self> {
        FieldType::mixed(group, vec![(representation, multiplicity)])
    }

    /// `multiplicity` scalar fields.
    pub fn trivial(group: Group, multiplicity: usize) -> Self {
        FieldType {
            group,
            blocks: vec![(Representation::Trivial, multiplicity)],
        }
    }

    /// Blocks of fields, each block with its representation and multiplicity.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if a representation is not one of `group`.
    pub fn mixed(group: Group, blocks: Vec<(Representation, usize)>) -> Result<Self> {
        for (representation, _) in &blocks {
            representation.check(group)?;
        }
        Ok(FieldType { group, blocks })
    }

    /// The fields of `self` and after them those of `other`: the type of joined channels.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if another group acts on `other`.
    pub fn join(&self, other: &FieldType) -> Result<Self> {
        if self.group != other.group {
            return Err(Error::Config(format!(
                "fields of {} and of {} cannot be joined: one group must act on all of them",
                self.group, other.group
            )));
        }
        let mut blocks = self.blocks.clone();
        for block in &other.blocks {
            match blocks.last_mut() {
                Some(last) if last.0 == block.0 => last.1 += block.1,
                _ => blocks.push(block.clone()),
            }
        }
        FieldType::mixed(self.group, blocks)
    }

    /// The group that acts.
    pub const fn group(&self) -> Group {
        self.group
    }

    /// The blocks: representation and multiplicity.
    pub fn blocks(&self) -> &[(Representation, usize)] {
        &self.blocks
    }

    /// The number of fields.
    pub fn fields(&self) -> usize {
        self.blocks
            .iter()
            .map(|(_, multiplicity)| multiplicity)
            .sum()
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.blocks
            .iter()
            .map(|(representation, multiplicity)| multiplicity * representation.size(self.group))
            .sum()
    }

    /// The group permutes the channels, so that a nonlinearity may act on each by itself.
    pub fn is_permutation(&self) -> bool {
        self.blocks
            .iter()
            .all(|(representation, _)| representation.is_permutation())
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.group)?;
        for (i, (representation, multiplicity)) in self.blocks.iter().enumerate() {
            let join = if i > 0 { " +" } else { "" };
            write!(f, "{join} {multiplicity} x ({representation})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_counted_over_blocks() {
        let d4 = Group::dihedral(4);
        let vector = Representation::Irrep(d4.irreps()[2]);
        let blocks = vec![(Representation::Regular, 3), (vector, 2)];
        let mixed = FieldType::mixed(d4, blocks).expect("of D4");
        assert_eq!((mixed.fields(), mixed.channels()), (5, 28));
        assert!(!mixed.is_permutation());
        assert_eq!(mixed.to_string(), "D4: 3 x (regular) + 2 x (irrep(1))");

        let paper = FieldType::new(Group::cyclic(4), Representation::Regular, 24).expect("of C4");
        assert_eq!(paper.channels(), 96);
        assert!(paper.is_permutation());
    }

    #[test]
    fn joined_types_count_like_joined_channels() {
        let c4 = Group::cyclic(4);
        let regular = FieldType::new(c4, Representation::Regular, 3).expect("of C4");
        let joined = regular.join(&regular).expect("one group");
        assert_eq!(joined.blocks(), [(Representation::Regular, 6)]);
        let scalars = FieldType::trivial(c4, 2);
        let joined = scalars.join(&regular).expect("one group");
        assert_eq!(joined.to_string(), "C4: 2 x (trivial) + 3 x (regular)");
        assert_eq!(joined.channels(), 14);
        assert!(
            joined
                .join(&FieldType::trivial(Group::cyclic(2), 1))
                .is_err()
        );
    }

    #[test]
    fn representations_of_other_groups_are_refused() {
        let irrep = Representation::Irrep(Group::cyclic(4).irreps()[1]);
        assert!(FieldType::new(Group::cyclic(8), irrep, 1).is_err());
    }
}
