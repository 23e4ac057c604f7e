//! Safetensors files, read with suspicion: the header is bounded and checked against the file's
//! length, and every tensor against what is expected, before anything is allocated for the values.

use crate::error::{Error, Result};
use crate::files;
use crate::nn::Parameters;
use crate::shape::Shape;
use safetensors::tensor::{Dtype, Metadata, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest header that is read: hundreds of times that of the largest network.
const LONGEST_HEADER: u64 = 16 << 20;
/// Where the description stands among the file's metadata. One key, because their order in the file
/// would not be reproducible.
const KEY: &str = "equilens";
/// Files in flat vectors: `(prefix of the tensors' names, values)`.
pub(super) type Part<'a> = (&'a str, &'a [f32]);

/// Writes flat vectors as one tensor for each named parameter, and `description` as JSON.
pub(super) fn write(
    path: &Path,
    parameters: &Parameters,
    parts: &[Part],
    description: &impl Serialize,
) -> Result<()> {
    let bad = |e: &dyn std::fmt::Display| Error::data(path, format!("cannot be encoded: {e}"));
    let mut bytes: Vec<(String, [usize; 4], Vec<u8>)> = Vec::new();
    for (prefix, values) in parts {
        for (name, shape, range) in parameters.layout() {
            let little = values[range].iter().flat_map(|v| v.to_le_bytes());
            bytes.push((format!("{prefix}{name}"), shape.0, little.collect()));
        }
    }
    let views = (bytes.iter())
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(|e| bad(&e))?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>>>()?;
    let description = serde_json::to_string(description).map_err(|e| bad(&e))?;
    let metadata = HashMap::from([(KEY.to_string(), description)]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(|e| bad(&e))?;
    files::write_bytes(path, &file)
}

/// An open file whose header has been checked against its length.
pub(super) struct TensorFile {
    path: PathBuf,
    file: File,
    header: Metadata,
}

impl TensorFile {
    /// Reads the header.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e| Error::io(path, "read", e);
        let bad = |what: String| {
            Error::data(
                path,
                format!("{what}; the file is damaged or no safetensors file"),
            )
        };
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(Error::data(path, "this is not a file"));
        }
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length < 8 {
            return Err(bad(format!("it has {length} bytes, expected at least 8")));
        }
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(io)?;
        let size = u64::from_le_bytes(size);
        if size > LONGEST_HEADER.min(length - 8) {
            return Err(bad(format!(
                "the header claims {size} bytes in a file of {length}"
            )));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header).map_err(io)?;
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|e| bad(format!("the header cannot be read: {e}")))?;
        let expected = 8 + size + header.data_len() as u64;
        if expected != length {
            return Err(bad(format!(
                "it has {length} bytes, expected {expected} by its header"
            )));
        }
        Ok(TensorFile {
            path: path.into(),
            file,
            header,
        })
    }

    /// The description that [`write`] put in.
    pub fn description<T: DeserializeOwned>(&self) -> Result<T> {
        let text = (self.header.metadata().as_ref()).and_then(|m| m.get(KEY));
        let Some(text) = text else {
            return Err(Error::data(
                &self.path,
                format!(
                    "the metadata have no '{KEY}': it was not written by equilens as a checkpoint"
                ),
            ));
        };
        serde_json::from_str(text).map_err(|e| {
            Error::data(
                &self.path,
                format!("the metadata '{KEY}' cannot be read: {e}"),
            )
        })
    }

    /// The flat vectors with these prefixes. Every tensor must be there with the right shape, hold
    /// finite numbers, and no other tensor may be.
    pub fn read<const N: usize>(
        mut self,
        parameters: &Parameters,
        prefixes: [&str; N],
    ) -> Result<[Vec<f32>; N]> {
        let path = self.path.clone();
        let bad = |name: &str, what: String| {
            Error::data(
                &path,
                format!("tensor '{name}' {what}; it is damaged or belongs to another model"),
            )
        };
        let wanted: Vec<(usize, String, Shape, std::ops::Range<usize>)> = (prefixes
            .iter()
            .enumerate())
        .flat_map(|(part, prefix)| {
            (parameters.layout())
                .map(move |(name, shape, range)| (part, format!("{prefix}{name}"), shape, range))
        })
        .collect();
        for (_, name, shape, _) in &wanted {
            let Some(info) = self.header.info(name) else {
                return Err(bad(
                    name,
                    format!("is missing, expected shape {:?}", shape.0),
                ));
            };
            if info.dtype != Dtype::F32 || info.shape != shape.0 {
                return Err(bad(
                    name,
                    format!(
                        "has shape {:?} and type {}, expected {:?} and F32",
                        info.shape, info.dtype, shape.0
                    ),
                ));
            }
        }
        for name in self.header.offset_keys() {
            if !wanted.iter().any(|(_, wanted, ..)| *wanted == name) {
                return Err(bad(&name, "is not expected".into()));
            }
        }
        // Now the length is that of the expected tensors, and known to be the file's.
        let mut payload = vec![0; self.header.data_len()];
        (self.file.read_exact(&mut payload)).map_err(|e| Error::io(&path, "read", e))?;
        let mut flat = [(); N].map(|()| vec![0.0f32; parameters.values()]);
        for (part, name, _, range) in wanted {
            let Some(info) = self.header.info(&name) else {
                continue;
            };
            let (start, end) = info.data_offsets;
            let values = payload[start..end].chunks_exact(4);
            for (i, (to, bytes)) in flat[part][range].iter_mut().zip(values).enumerate() {
                *to = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                if !to.is_finite() {
                    return Err(bad(
                        &name,
                        format!("has {to} at place {i}, expected finite numbers"),
                    ));
                }
            }
        }
        Ok(flat)
    }
}
