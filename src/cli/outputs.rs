//! Output paths are tried before long work, so that hours do not end in "cannot write".

use crate::error::{Error, Result};
use std::io;
use std::path::Path;

/// Makes sure that the file `path` can be created or replaced, without touching it.
///
/// # Errors
/// [`Error::Io`] with the path.
pub(super) fn check_file(path: &Path) -> Result<()> {
    let refuse = |e| Error::io(path, "write", e);
    if path.file_name().is_none() {
        return Err(refuse(io::Error::other("it does not name a file")));
    }
    if std::fs::metadata(path).is_ok_and(|m| !m.is_file()) {
        return Err(refuse(io::Error::other(
            "it exists and is not an ordinary file",
        )));
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    try_to_write_in(parent).map_err(refuse)
}

/// Makes sure that the directory `path` can be created, parents included, or written in, without
/// making it.
///
/// # Errors
/// [`Error::Io`] with the path.
pub(super) fn check_directory(path: &Path) -> Result<()> {
    let refuse = |e| Error::io(path, "create", e);
    let path_or_here = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let absolute = std::path::absolute(path_or_here).map_err(refuse)?;
    for ancestor in absolute.ancestors() {
        match std::fs::metadata(ancestor) {
            Ok(_) => return try_to_write_in(ancestor).map_err(refuse),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(refuse(e)),
        }
    }
    Ok(())
}

fn try_to_write_in(directory: &Path) -> io::Result<()> {
    if !std::fs::metadata(directory)?.is_dir() {
        return Err(io::Error::other(format!(
            "{} is not a directory",
            directory.display()
        )));
    }
    tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(directory)
        .map(drop)
}

/// Puts the name of a file in the place of the name that a library function gave to its argument.
pub(super) fn about_file<T>(result: Result<T>, path: &Path) -> Result<T> {
    result.map_err(|error| error.about(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind_and_what_cannot_be_written_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        check_file(&path("a.npy")).unwrap();
        check_directory(&path("b/c/d")).unwrap();
        check_directory(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        std::fs::write(path("file"), "x").unwrap();
        check_file(&path("file")).unwrap();
        for result in [
            check_file(&path("no/such/directory")),
            check_file(&path("file/a.npy")),
            check_file(directory.path()),
            check_file(Path::new("/")),
            check_directory(&path("file")),
            check_directory(&path("file/b")),
        ] {
            assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
        }
    }
}
