//! Values of a configuration that may stand in a file of their own.

use crate::error::{Error, Result};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// What is made from settings, or read from a file.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum FileOr<T> {
    /// A path; a relative one starts at the directory of the problem file.
    File(PathBuf),
    /// Settings.
    Made(T),
}

// serde's own untagged enums forget what was wrong with a table.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for FileOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = FileOr<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a table with its `kind`, or the path of a .npy file")
            }
            fn visit_str<E>(self, path: &str) -> Result<FileOr<T>, E> {
                Ok(FileOr::File(path.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FileOr<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(FileOr::Made)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<T> FileOr<T> {
    /// The same with a relative path made absolute from `directory`.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no current directory.
    pub(super) fn anchor(&mut self, directory: &Path) -> Result<()> {
        if let FileOr::File(path) = self {
            let absolute = std::path::absolute(directory.join(&*path));
            *path = absolute.map_err(|e| Error::io(&*path, "resolve", e))?;
        }
        Ok(())
    }
}
