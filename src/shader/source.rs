//! The WGSL files compiled into the crate.

use crate::error::{Error, Result};

/// One WGSL file compiled into the crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Path relative to `shaders/`, for example `conv/conv2d.wgsl`.
    pub path: &'static str,
    /// The file's text, directives included.
    pub text: &'static str,
}

impl Source {
    /// Whether the file is importable, and so has no entry point: those under `shaders/lib/`.
    pub fn is_library(&self) -> bool {
        self.path.starts_with(LIBRARY)
    }
}

/// Where importable files live.
pub(super) const LIBRARY: &str = "lib/";

macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        &[$(Source { path: $path, text: include_str!(concat!("../../shaders/", $path)) }),*]
    };
}

/// One line per file, sorted by path.
#[rustfmt::skip]
static SOURCES: &[Source] = sources![
    "bench/gather.wgsl",
    "bench/multiply_add.wgsl",
    "conv/block.wgsl",
    "conv/change.wgsl",
    "conv/fold.wgsl",
    "conv/forward.wgsl",
    "conv/input_gradient.wgsl",
    "conv/pack.wgsl",
    "conv/symmetric_weight_gradient.wgsl",
    "conv/tiled.wgsl",
    "conv/weight_gradient.wgsl",
    "conv/weight_gradient_block.wgsl",
    "conv/weight_gradient_columns.wgsl",
    "conv/weight_gradient_lanes.wgsl",
    "conv/winograd_input.wgsl",
    "conv/winograd_kernel.wgsl",
    "conv/winograd_output.wgsl",
    "elementwise/complex_multiply.wgsl",
    "elementwise/elementwise.wgsl",
    "fourier/block.wgsl",
    "fourier/modulate.wgsl",
    "fourier/pass.wgsl",
    "layout/copy.wgsl",
    "lib/bins.wgsl",
    "lib/conv.wgsl",
    "lib/entries.wgsl",
    "lib/fan.wgsl",
    "lib/folding.wgsl",
    "lib/gradient.wgsl",
    "lib/image.wgsl",
    "lib/index.wgsl",
    "lib/padding.wgsl",
    "lib/philox.wgsl",
    "lib/ray.wgsl",
    "lib/reduce.wgsl",
    "lib/texels.wgsl",
    "lib/view.wgsl",
    "lib/warp.wgsl",
    "lib/winograd.wgsl",
    "linalg/matmul.wgsl",
    "optim/adam.wgsl",
    "random/random.wgsl",
    "ray/adjoint.wgsl",
    "ray/backproject.wgsl",
    "ray/backproject_transpose.wgsl",
    "ray/forward.wgsl",
    "reduce/few.wgsl",
    "reduce/tree.wgsl",
    "warp/adjoint.wgsl",
    "warp/forward.wgsl",
];

/// Every WGSL file of the crate, sorted by path.
pub fn sources() -> &'static [Source] {
    SOURCES
}

/// The file at `path`, relative to `shaders/`.
///
/// # Errors
/// [`Error::Shader`] when no such file is registered; the message names the nearest path.
pub fn source(path: &str) -> Result<&'static Source> {
    let found = SOURCES.iter().find(|source| source.path == path);
    found.ok_or_else(|| {
        let nearest = SOURCES
            .iter()
            .min_by_key(|source| strsim::levenshtein(source.path, path));
        let hint = nearest.map_or(String::new(), |source| {
            format!("; the nearest one is `{}`", source.path)
        });
        Error::Shader(format!(
            "no WGSL file `{path}` is registered in src/shader/source.rs{hint}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shader::{Variant, check_library, compose};
    use std::path::Path;

    /// Paths of all `.wgsl` files under `directory`, relative to `root`, with `/` between parts.
    fn wgsl_files(root: &Path, directory: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                wgsl_files(root, &path, found);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "wgsl")
            {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.push(relative.replace('\\', "/"));
            }
        }
    }

    #[test]
    fn table_lists_every_file_once_in_order() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let mut on_disk = Vec::new();
        wgsl_files(&root, &root, &mut on_disk);
        on_disk.sort();
        let registered: Vec<_> = sources().iter().map(|source| source.path).collect();
        assert_eq!(
            registered, on_disk,
            "the table of src/shader/source.rs and the files of shaders/ differ"
        );
    }

    #[test]
    fn libraries_stand_alone_and_say_what_they_hold() {
        for source in sources().iter().filter(|source| source.is_library()) {
            assert!(
                source.text.starts_with("//"),
                "{} has no header comment",
                source.path
            );
            check_library(compose(source.path, &Variant::new()).unwrap()).unwrap();
        }
    }

    #[test]
    fn unknown_path_names_the_nearest() {
        let message = source("lib/indx.wgsl").unwrap_err().to_string();
        assert!(message.contains("`lib/index.wgsl`"), "{message}");
    }
}
