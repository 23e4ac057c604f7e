//! Files and directories that appear whole or not at all.
//!
//! Everything is written under a temporary name in the target's own directory, synced, and renamed:
//! whoever reads the final name sees the old contents or the new ones, never a half, even after a
//! crash or a full disk.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Creates or replaces the file `path` with what `write` puts into it.
///
/// # Errors
/// [`Error::Io`] with the path if the directory does not exist, if `write` fails, or if the file
/// cannot be created, synced or renamed, or if `path` is something else than a file. What stood
/// under `path` is then as it was before.
pub fn write_atomic(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let put = || -> io::Result<()> {
        if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
            // A rename would replace a device such as /dev/null itself.
            return Err(io::Error::other("it exists and is not an ordinary file"));
        }
        let parent = parent(path);
        let temporary =
            public(tempfile::Builder::new().prefix(".writing-"), 0o666).tempfile_in(parent)?;
        let mut buffered = BufWriter::new(temporary);
        write(&mut buffered)?;
        let temporary = buffered
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|e| e.error)?;
        sync_directory(parent)
    };
    put().map_err(|e| Error::io(path, "write", e))
}

/// [`write_atomic`] with the contents at hand.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_atomic(path, |file| file.write_all(bytes))
}

/// Creates or replaces the directory `path` with what `fill` puts into an empty one.
///
/// A directory cannot be renamed over a filled one, so an old one first steps aside to
/// `.NAME.previous`. A crash in that moment leaves only the old one under that name, and
/// [`recover_directory`] puts it back.
///
/// # Errors
/// What `fill` returns, or [`Error::Io`] with the path; the old directory is then still there.
pub fn write_directory(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let io = |e| Error::io(path, "write", e);
    recover_directory(path)?;
    let parent = parent(path);
    let temporary = public(tempfile::Builder::new().prefix(".writing-"), 0o777)
        .tempdir_in(parent)
        .map_err(io)?;
    fill(temporary.path())?;
    sync_tree(temporary.path()).map_err(io)?;

    let aside = previous(path);
    let swap = || -> io::Result<()> {
        let replaces = path.try_exists()?;
        if replaces {
            fs::rename(path, &aside)?;
        }
        if let Err(e) = fs::rename(temporary.path(), path) {
            if replaces {
                fs::rename(&aside, path)?;
            }
            return Err(e);
        }
        sync_directory(parent)?;
        if replaces {
            fs::remove_dir_all(&aside)
        } else {
            Ok(())
        }
    };
    swap().map_err(io)
    // The temporary name no longer exists now, and dropping the guard on it does nothing.
}

/// Puts the directory `path` back if a crash during [`write_directory`] left only its previous
/// version, and clears that version away if the new one is complete. Call it before reading a
/// directory that [`write_directory`] writes.
///
/// # Errors
/// [`Error::Io`] with the path if the rename or the removal fails.
pub fn recover_directory(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let aside = previous(path);
    let recover = || -> io::Result<()> {
        match (aside.try_exists()?, path.try_exists()?) {
            (false, _) => Ok(()),
            (true, true) => fs::remove_dir_all(&aside),
            (true, false) => fs::rename(&aside, path),
        }
    };
    recover().map_err(|e| Error::io(path, "restore", e))
}

/// Creates `path` and its missing parents.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn create_directory(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    fs::create_dir_all(path).map_err(|e| Error::io(path, "create", e))
}

/// The whole contents of a file.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn read_bytes(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    fs::read(path).map_err(|e| Error::io(path, "read", e))
}

/// The whole contents of a UTF-8 text file.
///
/// # Errors
/// [`Error::Io`] with the path, also for bytes that are not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))
}

/// Where caches are kept: `EQUILENS_CACHE`, or `equilens` in the platform's directory for caches.
/// `None` if `EQUILENS_CACHE` is set and empty, or there is no such directory.
pub fn cache_directory() -> Option<PathBuf> {
    cache_among(|name| std::env::var_os(name))
}

/// [`cache_directory`] for these environment variables.
fn cache_among(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let path = |name| {
        let value = variable(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    if variable("EQUILENS_CACHE").is_some() {
        return path("EQUILENS_CACHE");
    }
    let platform = if cfg!(windows) {
        path("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        path("HOME").map(|home| home.join("Library/Caches"))
    } else {
        // A relative path is to be ignored, says the XDG specification.
        let given = path("XDG_CACHE_HOME").filter(|p| p.is_absolute());
        given.or_else(|| path("HOME").map(|home| home.join(".cache")))
    };
    platform.map(|caches| caches.join("equilens"))
}

/// The directory that `path` lies in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn previous(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".previous");
    parent(path).join(name)
}

/// Gives temporary files the permissions of ordinary ones (the umask applies): they are renamed to
/// results, which other users may be meant to read.
#[cfg_attr(not(unix), allow(unused_variables))]
fn public<'a, 'b, 'c>(
    builder: &'c mut tempfile::Builder<'a, 'b>,
    mode: u32,
) -> &'c mut tempfile::Builder<'a, 'b> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(mode))
    }
    #[cfg(not(unix))]
    builder
}

fn sync_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            // Windows syncs only handles that may write.
            File::options().write(true).open(entry.path())?.sync_all()?;
        }
    }
    sync_directory(directory)
}

/// Makes renames inside `directory` durable. Only Unix offers this.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        write_bytes(&path, b"old").unwrap();
        let error = write_atomic(&path, |file| {
            file.write_all(b"new")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert!(error.to_string().contains("a.txt") && error.to_string().contains("disk full"));
        assert_eq!(read_text(&path).unwrap(), "old");
        assert_eq!(names(directory.path()), ["a.txt"]);
        write_bytes(&path, b"new").unwrap();
        assert_eq!(read_bytes(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["a.txt"]);
    }

    #[cfg(unix)]
    #[test]
    fn results_have_the_permissions_of_ordinary_files() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (ours, plain) = (
            directory.path().join("ours"),
            directory.path().join("plain"),
        );
        write_bytes(&ours, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        assert_eq!(mode(&ours), mode(&plain));
        let (ours, plain) = (directory.path().join("d"), directory.path().join("e"));
        write_directory(&ours, |_| Ok(())).unwrap();
        fs::create_dir(&plain).unwrap();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn a_directory_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        write_directory(&path, |d| write_bytes(d.join("one"), b"1")).unwrap();
        write_directory(&path, |d| {
            create_directory(d.join("inner"))?;
            write_bytes(d.join("inner").join("two"), b"2")
        })
        .unwrap();
        assert_eq!(names(&path), ["inner"]);
        assert_eq!(read_text(path.join("inner").join("two")).unwrap(), "2");
        let error = write_directory(&path, |_| Err(Error::Config("stop".into())));
        assert!(matches!(error, Err(Error::Config(_))));
        assert_eq!(names(&path), ["inner"]);
        assert_eq!(names(directory.path()), ["checkpoint"]);
    }

    #[test]
    fn a_crash_between_the_renames_is_recovered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        write_directory(&path, |d| write_bytes(d.join("one"), b"1")).unwrap();
        fs::rename(&path, previous(&path)).unwrap();
        recover_directory(&path).unwrap();
        assert_eq!(read_text(path.join("one")).unwrap(), "1");
        // The other half: the new one is in place and the old one was not removed yet.
        fs::create_dir(previous(&path)).unwrap();
        recover_directory(&path).unwrap();
        assert_eq!(names(directory.path()), ["checkpoint"]);
    }

    #[test]
    fn the_cache_is_the_variables_or_the_platforms() {
        let set = |pairs: &'static [(&str, &str)]| {
            cache_among(|name| {
                let found = pairs.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.into())
            })
        };
        let home = &[
            ("HOME", "/h"),
            ("LOCALAPPDATA", "/h"),
            ("EQUILENS_CACHE", "/c"),
        ];
        assert_eq!(set(home), Some("/c".into()));
        // Empty: none are kept.
        assert_eq!(set(&[("EQUILENS_CACHE", ""), ("HOME", "/h")]), None);
        let home = &[("HOME", "/h"), ("LOCALAPPDATA", "/h")];
        assert!(set(home).is_some_and(|p| p.starts_with("/h") && p.ends_with("equilens")));
        assert_eq!(set(&[]), None);
        if cfg!(target_os = "linux") {
            let relative = &[("XDG_CACHE_HOME", "x"), ("HOME", "/h")];
            assert_eq!(set(relative), Some("/h/.cache/equilens".into()));
            let absolute = &[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
            assert_eq!(set(absolute), Some("/x/equilens".into()));
        }
    }

    #[test]
    fn errors_name_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("no").join("file");
        for error in [
            write_bytes(&missing, b"").unwrap_err(),
            read_bytes(&missing).unwrap_err(),
            read_text(&missing).unwrap_err(),
            write_directory(&missing, |_| Ok(())).unwrap_err(),
        ] {
            assert!(
                matches!(error, Error::Io { .. }) && error.to_string().contains("no"),
                "{error}"
            );
        }
    }
}
