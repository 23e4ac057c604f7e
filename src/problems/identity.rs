//! `[operator] kind = "identity"`: denoising.

use super::ImageSize;
use crate::error::Result;
use crate::operators::Identity;
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

/// Images measured as they are, real ones; what it computes is told at [`Identity`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// Pixels of the image.
    pub image_size: ImageSize,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        IdentityConfig {
            image_size: ImageSize::Square(256),
        }
    }
}

impl IdentityConfig {
    /// The operator.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if an extent is 0 or above 8192.
    pub fn operator(&self) -> Result<Identity> {
        let [rows, columns] = self.image_size.checked()?;
        Ok(Identity::new(Shape::new(1, 1, rows, columns)))
    }
}
