//! Sinograms of views on half a turn as a strip that closes onto itself: after the last view comes
//! the first one with its bins reversed.

use super::convolution::{ConvolutionConfig, GroupConvolution};
use super::parameters::{Bound, Parameters};
use crate::error::{Error, Result};
use crate::group::{FieldType, Group};
use crate::shape::{GridSymmetry, Padding, Shape};
use crate::tape::{Tape, Var};

/// A convolution on sinograms of views that are equally spaced on `[0, pi)` with a centred
/// detector: shape `N C views bins`, fields of `D1` (bins reversed) or `D2` (views reversed as well).
///
/// There `g(theta + pi, s) = g(theta, -s)`, so the sinogram goes on beyond its last view as the
/// group's mirror of its first ones. A rotation of the image shifts the views along that strip, and
/// a kernel that commutes with the mirror, reading across the seam through it, commutes with every
/// such shift. Beyond the detector it reads zeros.
#[derive(Clone, Debug)]
pub struct TwistedConvolution {
    convolution: GroupConvolution,
    /// The mirror of the bins on the channels of the input, row-major.
    mirror: Vec<f32>,
}

impl TwistedConvolution {
    /// Registers the layer's parameters as a [`GroupConvolution`] does; the padding is this
    /// layer's own.
    ///
    /// # Errors
    /// [`Error::Config`] if the group is not D1 or D2; those of [`GroupConvolution::new`].
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        config: &ConvolutionConfig,
    ) -> Result<Self> {
        let group = config.input.group();
        if ![Group::dihedral(1), Group::dihedral(2)].contains(&group) {
            return Err(Error::Config(format!(
                "the layer {name} acts on sinograms, whose symmetries are D1 and D2: {group} is neither"
            )));
        }
        let config = ConvolutionConfig {
            padding: Padding::Zero,
            stride: 1,
            ..config.clone()
        };
        Ok(TwistedConvolution {
            convolution: GroupConvolution::new(parameters, name, &config)?,
            mirror: mirror(&config.input),
        })
    }

    /// Records the layer on `x`, `N in views bins`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit, or there are fewer views than the kernel
    /// reaches.
    pub fn forward(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        let (reach, views) = (self.convolution.window().radius(), x.shape().h());
        if views < reach {
            return Err(Error::shape(
                "twisted convolution",
                format!("{}: a kernel that reaches {reach} views further", x.shape()),
            ));
        }
        if reach == 0 {
            return self.convolution.forward(tape, bound, x);
        }
        let last = tape.slice(x, 2, views - reach, reach)?;
        let first = tape.slice(x, 2, 0, reach)?;
        let (before, after) = (self.mirrored(tape, last)?, self.mirrored(tape, first)?);
        let longer = tape.concat(&[before, x, after], 2)?;
        let y = self.convolution.forward(tape, bound, longer)?;
        tape.slice(y, 2, reach, views)
    }

    /// `x` as the mirror of the bins moves it: positions and channels.
    fn mirrored(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let moved = tape.symmetry(x, GridSymmetry::new(0, true));
        let Shape([n, c, h, w]) = x.shape();
        let columns = tape.reshape(moved, Shape::new(n, 1, c, h * w))?;
        let mirror = tape.constant(Shape::new(1, 1, c, c), self.mirror.clone())?;
        let mixed = tape.matmul(mirror, columns, false, false)?;
        tape.reshape(mixed, x.shape())
    }
}

/// How the mirror of the columns, the first mirror of D1 and D2, acts on the channels.
fn mirror(fields: &FieldType) -> Vec<f32> {
    let group = fields.group();
    let (channels, element) = (fields.channels(), group.rotations());
    let mut matrix = vec![0.0; channels * channels];
    let mut start = 0;
    for (representation, count) in fields.blocks() {
        let size = representation.size(group);
        let block = representation.matrix(group, element);
        for _ in 0..*count {
            for (i, row) in block.chunks(size).enumerate() {
                for (j, &value) in row.iter().enumerate() {
                    matrix[(start + i) * channels + start + j] = value as f32;
                }
            }
            start += size;
        }
    }
    matrix
}
