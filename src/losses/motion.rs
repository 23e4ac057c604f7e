//! Random transforms of images on a tape: the group actions `T_g` of equivariant imaging and of
//! data augmentation.

use crate::config::within;
use crate::error::{Error, Result};
use crate::shape::{Affine, Maps, Shape};
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};

/// The angles that images are turned by.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"none\", \"quarter\", \"any\", or [least, greatest] in degrees"
)]
pub enum Rotation {
    /// None, quarter turns, or any angle.
    Named(Turns),
    /// Any angle between two, in degrees counter-clockwise.
    Within([f64; 2]),
}

/// Angles with a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Turns {
    /// Not at all.
    #[default]
    None,
    /// Quarter turns: exact permutations of the pixels of a square image.
    Quarter,
    /// Any angle, interpolated bilinearly, zero from outside.
    Any,
}

impl Default for Rotation {
    fn default() -> Self {
        Rotation::Named(Turns::None)
    }
}

/// A family of random transforms. An image is mirrored, scaled, sheared, turned and moved, in this
/// order, about its centre, then shifted circularly.
///
/// Quarter turns of square images, mirrors, circular shifts and their products are exact
/// permutations; everything else interpolates bilinearly and takes zero from outside.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transforms {
    /// Turns.
    pub rotation: Rotation,
    /// Half of the images change left and right.
    pub mirror: bool,
    /// Largest circular shift along each axis by whole pixels, as a share of the extent: 0.5 is any
    /// shift.
    pub shift: f64,
    /// Largest move along each axis, in pixels; zero comes in from outside.
    pub translation: f64,
    /// Least and greatest factor of enlargement.
    pub scaling: [f64; 2],
    /// Largest shear, `k` of `x -> x + k y`, in both directions.
    pub shear: f64,
}

impl Default for Transforms {
    /// Nothing moves.
    fn default() -> Self {
        Transforms {
            rotation: Rotation::default(),
            mirror: false,
            shift: 0.0,
            translation: 0.0,
            scaling: [1.0; 2],
            shear: 0.0,
        }
    }
}

impl Transforms {
    /// Turns by any angle.
    pub fn rotations() -> Self {
        Transforms {
            rotation: Rotation::Named(Turns::Any),
            ..Transforms::default()
        }
    }

    /// Whether no image is ever moved.
    pub fn is_identity(&self) -> bool {
        *self == Transforms::default()
    }

    fn warps(&self) -> bool {
        let still = Transforms {
            shift: self.shift,
            ..Transforms::default()
        };
        *self != still
    }

    /// Checks every number; `key` is where the family stands in the config.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key.
    pub fn validate(&self, key: &str) -> Result<()> {
        let at = |name: &str| format!("{key}.{name}");
        if let Rotation::Within([least, greatest]) = self.rotation {
            within(&at("rotation"), least, -360.0..=360.0)?;
            within(&at("rotation"), greatest, least..=360.0)?;
        }
        within(&at("shift"), self.shift, 0.0..=0.5)?;
        within(&at("translation"), self.translation, 0.0..=4096.0)?;
        let [least, greatest] = self.scaling;
        within(&at("scaling"), least, 0.1..=10.0)?;
        within(&at("scaling"), greatest, least..=10.0)?;
        within(&at("shear"), self.shear, 0.0..=2.0).map(drop)
    }
}

/// The inputs of the transforms of one batch.
#[derive(Clone, PartialEq, Debug)]
pub struct MotionInput {
    /// Where on the tape.
    name: String,
    /// What is drawn.
    pub transforms: Transforms,
    /// The images: `N C H W`.
    pub images: Shape,
}

/// One drawn transform.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Moved {
    /// Moves the image, zero from outside.
    pub map: Affine,
    /// Rows down and columns to the right that the image is shifted by circularly, below the
    /// extents.
    pub shift: [usize; 2],
}

impl MotionInput {
    /// The `index`-th transforms on a tape, of images of shape `images`.
    ///
    /// # Errors
    /// [`Error::Config`] for quarter turns of images that are not square.
    pub fn new(index: usize, transforms: &Transforms, images: Shape) -> Result<Self> {
        if transforms.rotation == Rotation::Named(Turns::Quarter) && images.h() != images.w() {
            return Err(Error::Config(format!(
                "[[loss]] transforms.rotation = \"quarter\": a quarter turn takes an image of {}x{} pixels to another shape; use \"any\", or square images",
                images.h(),
                images.w()
            )));
        }
        Ok(MotionInput {
            name: format!("transform.{index}"),
            transforms: *transforms,
            images,
        })
    }

    /// Records the inputs.
    pub fn record(&self, tape: &mut Tape) -> Motion {
        let [n, _, h, w] = self.images.0;
        let mut input =
            |part: &str, shape: Shape| tape.input(&format!("{}.{part}", self.name), shape);
        Motion {
            maps: (self.transforms.warps()).then(|| input("maps", Maps::shape(n))),
            shifts: (self.transforms.shift > 0.0).then(|| {
                [
                    input("rows", Shape::new(n, 1, h, h)),
                    input("columns", Shape::new(n, 1, w, w)),
                ]
            }),
        }
    }

    /// The inputs' names and values for `moved`, one transform for each image.
    ///
    /// # Errors
    /// [`Error::Config`] if a map has no inverse; [`Error::Shape`] if there is not one transform for
    /// each image.
    pub fn values(&self, moved: &[Moved]) -> Result<Vec<(String, Vec<f32>)>> {
        if moved.len() != self.images.n() {
            return Err(Error::shape(
                "transform",
                format!("{} transforms for images {}", moved.len(), self.images),
            ));
        }
        let mut values = Vec::new();
        if self.transforms.warps() {
            let maps: Vec<Affine> = moved.iter().map(|m| m.map).collect();
            values.push((format!("{}.maps", self.name), Maps::of(&maps)?));
        }
        if self.transforms.shift > 0.0 {
            for (axis, part) in ["rows", "columns"].into_iter().enumerate() {
                let extent = self.images.0[2 + axis];
                let matrices = moved.iter().flat_map(|m| cyclic(extent, m.shift[axis]));
                values.push((format!("{}.{part}", self.name), matrices.collect()));
            }
        }
        Ok(values)
    }
}

/// The permutation matrix that takes index `i` to `i + shift`, modulo `extent`.
fn cyclic(extent: usize, shift: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; extent * extent];
    for i in 0..extent {
        matrix[(i + shift) % extent * extent + i] = 1.0;
    }
    matrix
}

/// A transform for each image of a batch, on a tape: linear, with its exact transpose.
#[derive(Clone, Copy, Debug)]
pub struct Motion {
    maps: Option<Var>,
    /// Permutation matrices of rows and of columns, `N 1 H H` and `N 1 W W`. A product with zeros
    /// and ones is exact.
    shifts: Option<[Var; 2]>,
}

impl Motion {
    /// Records `T_g x`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` is not of the images' shape.
    pub fn apply(&self, tape: &mut Tape, mut x: Var) -> Result<Var> {
        if let Some(maps) = self.maps {
            x = tape.warp(x, maps)?;
        }
        if let Some([rows, columns]) = self.shifts {
            x = tape.matmul(rows, x, false, false)?;
            x = tape.matmul(x, columns, false, true)?;
        }
        Ok(x)
    }

    /// Records `T_g^T x`: the inverse where the transform is a permutation.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` is not of the images' shape.
    pub fn transpose(&self, tape: &mut Tape, mut x: Var) -> Result<Var> {
        if let Some([rows, columns]) = self.shifts {
            x = tape.matmul(rows, x, true, false)?;
            x = tape.matmul(x, columns, false, false)?;
        }
        match self.maps {
            Some(maps) => tape.warp_adjoint(x, maps),
            None => Ok(x),
        }
    }
}
