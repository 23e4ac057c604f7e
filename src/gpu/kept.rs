//! Compiled pipelines kept on disk between processes, where the backend can hand them out (Vulkan).

use crate::shader::fnv1a;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first bytes of a cache file; the checksum of the rest follows, little endian.
const MAGIC: &[u8; 8] = b"EQLPIPE1";
const HEADER: usize = MAGIC.len() + 8;

/// The driver's pipeline cache and its file. Whatever goes wrong with the file is a warning in the
/// log: then pipelines are compiled again.
#[derive(Debug)]
pub(super) struct Kept {
    raw: wgpu::PipelineCache,
    path: PathBuf,
    /// Checksum of what the file holds.
    stored: Mutex<Option<u64>>,
    /// A pipeline was made since the file was written.
    grown: AtomicBool,
}

impl Kept {
    /// The cache of `device` in `directory`; `None` where the backend has none.
    pub fn open(device: &wgpu::Device, directory: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let key = wgpu::util::pipeline_cache_key(&device.adapter_info())?;
        let path = directory.join(key);
        let data = match std::fs::read(&path) {
            Ok(bytes) => payload(&bytes).map(<[u8]>::to_vec).or_else(|| {
                log::warn!(
                    "{}: not a whole pipeline cache; it is ignored and will be written anew",
                    path.display()
                );
                None
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => {
                log::warn!("{}: cannot read the pipeline cache: {e}", path.display());
                None
            }
        };
        let stored = data.as_deref().map(fnv1a);
        // SAFETY: the checksum shows that these are the bytes that an earlier `get_data` returned;
        // wgpu compares adapter and driver itself and then starts from nothing.
        let raw = unsafe {
            device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                label: Some("pipelines on disk"),
                data: data.as_deref(),
                fallback: true,
            })
        };
        Some(Kept {
            raw,
            path,
            stored: Mutex::new(stored),
            grown: AtomicBool::new(false),
        })
    }

    /// For the creation of pipelines.
    pub fn raw(&self) -> &wgpu::PipelineCache {
        &self.raw
    }

    /// Notes that a pipeline was made.
    pub fn note(&self) {
        self.grown.store(true, Ordering::Relaxed);
    }

    /// Writes the file if it would change.
    pub fn save(&self) {
        if !self.grown.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(data) = self.raw.get_data() else {
            return;
        };
        let Ok(mut stored) = self.stored.lock() else {
            return;
        };
        let checksum = fnv1a(&data);
        if *stored == Some(checksum) {
            return;
        }
        match write(&self.path, checksum, &data) {
            Ok(()) => *stored = Some(checksum),
            Err(e) => log::warn!(
                "{}: cannot write the pipeline cache: {e}",
                self.path.display()
            ),
        }
    }
}

/// What follows the header, if the file is whole.
fn payload(bytes: &[u8]) -> Option<&[u8]> {
    let (header, data) = bytes.split_at_checked(HEADER)?;
    let (magic, checksum) = header.split_at(MAGIC.len());
    (magic == MAGIC && checksum == fnv1a(data).to_le_bytes()).then_some(data)
}

fn write(path: &Path, checksum: u64, data: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    // Another process may read or write it at the same time: each sees a whole file.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(MAGIC)?;
    file.write_all(&checksum.to_le_bytes())?;
    file.write_all(data)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_files_are_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/cache");
        let data = b"what the driver said";
        write(&path, fnv1a(data), data).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(payload(&bytes), Some(&data[..]));
        for end in [0, 5, HEADER - 1, HEADER, bytes.len() - 1] {
            assert_eq!(payload(&bytes[..end]), None, "{end} bytes");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(payload(&damaged), None, "byte {at}");
        }
        // Nothing but the file itself is left.
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1);
    }
}
