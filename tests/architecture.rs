//! A room imports only rooms above it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rooms of `src`, from the ground up. Rooms of one row do not import each other.
const ROWS: [&[&str]; 15] = [
    &["error"],
    &["shape"],
    &["shader", "group", "reference", "config", "files"],
    &["gpu"],
    &["kernels"],
    &["tune"],
    &["tape"],
    &["operators", "nn"],
    &["losses", "solvers", "models", "metrics"],
    &["data"],
    &["problems"],
    &["train"],
    &["report", "check", "bench"],
    &["experiments"],
    &["cli"],
];

/// The map and the program, which see every room.
const OUTSIDE: [&str; 2] = ["lib", "main"];

fn row(room: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&room))
}

/// The rooms that `text` names as `crate::ROOM`, `use crate::{ROOM, ...}` or in a path; comments
/// do not count.
fn imports(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = (text.lines())
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let word = |text: &str| -> String {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_string()
    };
    let mut rooms = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        // `$crate::` of a macro counts; a name that ends in `crate` does not.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            None => {
                rooms.insert(word(rest));
            }
            Some(list) => {
                // The first word of every entry at the list's own depth.
                let (mut depth, mut fresh) = (0, true);
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => fresh = true,
                        c if c.is_alphabetic() && fresh && depth == 0 => {
                            rooms.insert(word(&list[i..]));
                            fresh = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    rooms
}

/// What the file of `room` with this text imports and may not.
fn violations(room: &str, text: &str) -> Vec<String> {
    let Some(own) = row(room) else {
        return vec![format!(
            "{room} has no row: add it to ROWS of tests/architecture.rs"
        )];
    };
    (imports(text).into_iter())
        .filter(|import| import != room)
        .filter_map(|import| match row(&import) {
            Some(other) if other < own => None,
            Some(other) => Some(format!(
                "{room} (row {}) imports {import} (row {})",
                own + 1,
                other + 1
            )),
            // A name that the crate's root re-exports would hide the room it comes from.
            None => Some(format!("{room} imports {import}, which is no room")),
        })
        .collect()
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn rooms_import_only_rooms_above_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.len() > 50, "{} files", files.len());
    let mut problems = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&source).expect("under src");
        let first = inside.components().next().expect("a name").as_os_str();
        let room = Path::new(first)
            .file_stem()
            .and_then(|s| s.to_str())
            .expect("UTF-8");
        if OUTSIDE.contains(&room) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a readable file");
        problems.extend(
            violations(room, &text)
                .into_iter()
                .map(|v| format!("{}: {v}", inside.display())),
        );
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "
        use crate::error::{Error, Result};
        use crate::{gpu::Gpu, kernels::{adam, chain}, tape};
        pub(super) use crate::shape::Shape;
        fn f() -> crate::reference::Twin { $crate::shader::compose() }
        // use crate::cli::main;
        /// See [`crate::report`].
        use mycrate::data::x; let not_crate::data = 1;
        use super::models;
    ";
    let expected = [
        "error",
        "gpu",
        "kernels",
        "reference",
        "shader",
        "shape",
        "tape",
    ];
    assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_lies_above_is_accepted_and_the_rest_is_not() {
    assert!(violations("tape", "use crate::kernels::adam; use crate::tape::Op;").is_empty());
    assert!(violations("gpu", "use crate::shader::Variant;").is_empty());
    assert!(violations("check", "use crate::models::x; use crate::train::y;").is_empty());
    // Below, beside, and unknown.
    assert_eq!(
        violations("kernels", "fn f(x: crate::tape::Var) {}").len(),
        1
    );
    assert_eq!(
        violations("operators", "use crate::{error::Result, nn::Fields};").len(),
        1
    );
    assert_eq!(violations("reference", "use crate::gpu::Gpu;").len(), 1);
    assert_eq!(violations("check", "use crate::cli;").len(), 1);
    assert_eq!(violations("tape", "use crate::Error;").len(), 1);
    assert_eq!(violations("attic", "").len(), 1);
}
