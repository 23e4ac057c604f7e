//! TOML configurations: one way to read them, with errors that a person can act on.
//!
//! A leaf: every room that has a configuration may import it.

use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use toml::Value;
use toml::de::{DeTable, DeValue};

/// The key that names the variant of a tagged enum.
const TAG: &str = "kind";

/// Reads a configuration; `path` only names it in messages.
///
/// # Errors
/// [`Error::Config`] in one paragraph with file, line and key. An unknown key or variant names the
/// nearest known one.
pub fn parse_toml<T: DeserializeOwned>(path: impl AsRef<Path>, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| {
        let file = path.as_ref().display();
        let Ok(document) = DeTable::parse(text) else {
            let (line, column) = position(text, e.span().map_or(0, |s| s.start));
            let message = e.message().replace('\n', ", ");
            return Error::Config(format!(
                "{file}, line {line}, column {column}: {message}; see https://toml.io for the syntax"
            ));
        };
        let message = e.message();
        let mut found = culprit::<T>(message, text);
        if let Some(key) = between(message, "missing field `") {
            found.push(key.to_string());
        }
        let span = locate(document.get_ref(), &found).or(e.span());
        let (line, _) = position(text, span.map_or(0, |s| s.start));
        let key = match found.join(".") {
            key if key.is_empty() => String::new(),
            key => format!(", key `{key}`"),
        };
        Error::Config(format!("{file}, line {line}{key}: {}", explain(message)))
    })
}

/// `value` if it lies in `range`; the message names `key`. NaN lies in no range.
///
/// # Errors
/// [`Error::Config`].
pub fn within<T: PartialOrd + std::fmt::Display>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<T> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(Error::Config(format!(
            "{key} = {value} is out of range: use a value from {} to {}",
            range.start(),
            range.end()
        )))
    }
}

/// serde's message in the words of the person who wrote the file.
fn explain(message: &str) -> String {
    let message = message.replace('\n', ", ");
    for (what, noun) in [("unknown field", "key"), ("unknown variant", "value")] {
        let Some(rest) = message.strip_prefix(what) else {
            continue;
        };
        // `found`, expected `a` or `b` | expected one of `a`, `b` | there are no fields
        let mut names = rest.split('`').skip(1).step_by(2);
        let found = names.next().unwrap_or_default();
        let known: Vec<&str> = names.collect();
        let nearest = (known.iter()).min_by_key(|name| strsim::damerau_levenshtein(name, found));
        return match nearest {
            Some(nearest) => format!(
                "unknown {noun} `{found}`; the nearest known one is `{nearest}`, and all are {}",
                known.join(", ")
            ),
            None => format!("unknown {noun} `{found}`; none is allowed here"),
        };
    }
    if message.starts_with("missing field") {
        return "the key is missing; add it".into();
    }
    message
}

/// The path of the key whose value or name is to blame; empty if a key is missing.
///
/// serde buffers the contents of a tagged enum and forgets where they stood. But fields are read in
/// order and the first bad one ends the reading, so the one whose removal changes the message is
/// the bad one.
fn culprit<T: DeserializeOwned>(message: &str, text: &str) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    let Ok(document) = toml::from_str::<toml::Table>(text).map(Value::Table) else {
        return path;
    };
    if message.starts_with("missing field") {
        return path;
    }
    let fails_alike =
        |document: Value| T::deserialize(document).is_err_and(|e| e.message() == message);
    while let Some(Value::Table(table)) = path.iter().try_fold(&document, |v, key| v.get(key)) {
        // Removing the tag changes every message about what it selects: it is to blame for an
        // unknown variant if no other key is.
        let (tag, others): (Vec<_>, Vec<_>) = table.keys().partition(|key| key.as_str() == TAG);
        let tag = tag
            .into_iter()
            .filter(|_| message.starts_with("unknown variant"));
        let blamed = others.into_iter().chain(tag).find(|key| {
            let mut without = document.clone();
            let parent = path.iter().try_fold(&mut without, |v, key| v.get_mut(key));
            if let Some(Value::Table(parent)) = parent {
                parent.remove(key.as_str());
            }
            !fails_alike(without)
        });
        match blamed {
            Some(key) => path.push(key.clone()),
            None => break,
        }
    }
    path
}

/// Where the last key of `path` that exists stands in the text.
fn locate(document: &DeTable<'_>, path: &[String]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let (key, value) = document.get_key_value(first.as_str())?;
    let inner = match value.get_ref() {
        DeValue::Table(inner) => locate(inner, rest),
        _ => None,
    };
    inner.or(Some(key.span()))
}

/// What stands between `start` and the next backquote.
fn between<'m>(message: &'m str, start: &str) -> Option<&'m str> {
    let rest = &message[message.find(start)? + start.len()..];
    rest.split('`').next()
}

/// Line and column of a byte, counted from 1.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let line_start = (before.iter().rposition(|&b| b == b'\n')).map_or(0, |i| i + 1);
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&before[line_start..])
        .chars()
        .count()
        + 1;
    (line, column)
}
