//! The preprocessor: `#import`, `#ifdef` and the prologue of constants.
//!
//! Directives stand at column 0, one to a line:
//!
//! ```text
//! #import lib/index          the file shaders/lib/index.wgsl, once
//! #import generated/NAME     the variant's snippet NAME, once
//! #ifdef FLAG                until #else or #endif, where the variant has FLAG; nests
//! ```

use super::source::{LIBRARY, source};
use super::variant::Variant;
use crate::error::{Error, Result};
use std::collections::BTreeSet;

/// Stands for the file name of the prologue in diagnostics.
const PROLOGUE: &str = "<variant>";
/// Imports under this folder name snippets of the variant.
const GENERATED: &str = "generated/";

/// One WGSL text ready for a compiler, with the way back to the files it came from.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The file that was asked for, relative to `shaders/`.
    pub path: String,
    /// The final WGSL.
    pub text: String,
    /// FNV-1a (64 bit) of `text`: the same on every platform and in every run.
    pub hash: u64,
    files: Vec<String>,
    /// For each line of `text`: index into `files`, 1-based line number there.
    origins: Vec<(usize, usize)>,
}

impl Composed {
    /// File and 1-based line that line `line` (1-based) of [`Composed::text`] came from. Lines of
    /// the prologue come from `<variant>`; a line past the end answers as the last one.
    pub fn origin(&self, line: usize) -> (&str, usize) {
        let index = line.saturating_sub(1).min(self.origins.len().max(1) - 1);
        match self.origins.get(index) {
            Some(&(file, line)) => (&self.files[file], line),
            None => (&self.path, 1),
        }
    }
}

/// Composes the crate's file at `path` (relative to `shaders/`).
///
/// # Errors
/// [`Error::Shader`] naming `file:line`: unknown directives, files, snippets; import cycles;
/// unbalanced `#ifdef`; flags and snippets that no directive asks for.
pub fn compose(path: &str, variant: &Variant) -> Result<Composed> {
    source(path)?;
    let lookup = |path: &str| source(path).ok().map(|source| source.text);
    compose_from(&lookup, path, variant)
}

/// [`compose`] over any set of files: `lookup` gives the text of a path.
///
/// # Errors
/// As for [`compose`].
pub fn compose_from<'a>(
    lookup: &dyn Fn(&str) -> Option<&'a str>,
    path: &str,
    variant: &Variant,
) -> Result<Composed> {
    let text = lookup(path)
        .ok_or_else(|| Error::Shader(format!("there is no WGSL file `{path}` to compose")))?;
    let mut composer = Composer {
        lookup,
        variant,
        text: String::new(),
        files: Vec::new(),
        origins: Vec::new(),
        open: Vec::new(),
        asked: BTreeSet::new(),
    };
    composer.prologue(path)?;
    composer.file(path, text)?;
    composer.reject_unasked(path)?;
    Ok(Composed {
        path: path.to_owned(),
        hash: fnv1a(composer.text.as_bytes()),
        text: composer.text,
        files: composer.files,
        origins: composer.origins,
    })
}

/// The FNV-1a hash, 64 bit (Fowler, Noll and Vo; RFC 9923).
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

enum Directive<'a> {
    Import(&'a str),
    Ifdef(&'a str),
    Else,
    Endif,
}

impl<'a> Directive<'a> {
    /// `Ok(None)` for a line of WGSL, `Err` with what is wrong for a malformed directive.
    fn parse(line: &'a str) -> Result<Option<Self>, String> {
        let Some(rest) = line.strip_prefix('#') else {
            return match line.trim_start().starts_with('#') {
                true => Err("a directive must stand at column 0".into()),
                false => Ok(None),
            };
        };
        let rest = rest.split_once("//").map_or(rest, |(code, _comment)| code);
        let words: Vec<&str> = rest.split_whitespace().collect();
        match words[..] {
            ["import", path] => Ok(Some(Directive::Import(path))),
            ["ifdef", flag] => Ok(Some(Directive::Ifdef(flag))),
            ["else"] => Ok(Some(Directive::Else)),
            ["endif"] => Ok(Some(Directive::Endif)),
            ["import", ..] => Err("`#import` takes one path".into()),
            ["ifdef", ..] => Err("`#ifdef` takes one flag".into()),
            ["else" | "endif", ..] => Err(format!("`#{}` takes nothing after it", words[0])),
            _ => Err(format!(
                "unknown directive `#{}`; there are #import, #ifdef, #else and #endif",
                words.first().unwrap_or(&"")
            )),
        }
    }
}

/// An `#ifdef` that has not met its `#endif`.
struct Branch {
    line: usize,
    /// Whether the text around the `#ifdef` is kept.
    outer: bool,
    defined: bool,
    in_else: bool,
}

impl Branch {
    fn kept(&self) -> bool {
        self.outer && self.defined != self.in_else
    }
}

struct Composer<'a, 'v> {
    lookup: &'v dyn Fn(&str) -> Option<&'a str>,
    variant: &'v Variant,
    text: String,
    /// Every file begun so far, which is also what must not be included again.
    files: Vec<String>,
    origins: Vec<(usize, usize)>,
    /// The chain of imports down to the current file.
    open: Vec<String>,
    /// Flags tested and `generated/` paths imported, in kept and in skipped text alike.
    asked: BTreeSet<String>,
}

impl<'a, 'v> Composer<'a, 'v> {
    fn line(&mut self, file: usize, number: usize, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.origins.push((file, number));
    }

    fn prologue(&mut self, path: &str) -> Result<()> {
        self.files.push(PROLOGUE.to_owned());
        for (index, &(name, value)) in self.variant.constants.iter().enumerate() {
            let declaration = value.declaration(name).ok_or_else(|| {
                Error::Shader(format!(
                    "{path}: the variant's constant `{name}` is not a finite number, which WGSL \
                     cannot write; pass it in the uniform parameters or guard for it by a flag"
                ))
            })?;
            self.line(0, index + 1, &declaration);
        }
        Ok(())
    }

    fn file(&mut self, path: &str, text: &str) -> Result<()> {
        let file = self.files.len();
        self.files.push(path.to_owned());
        self.open.push(path.to_owned());
        let mut branches: Vec<Branch> = Vec::new();
        // `lines` drops a carriage return too, so a checkout with CRLF has the same hash.
        for (number, line) in (1..).zip(text.lines()) {
            let at = |message: String| Error::Shader(format!("{path}:{number}: {message}"));
            let kept = branches.last().is_none_or(Branch::kept);
            let directive = Directive::parse(line).map_err(at)?;
            match directive {
                None if kept => self.line(file, number, line),
                None => {}
                Some(Directive::Import(target)) => {
                    if target.starts_with(GENERATED) {
                        self.asked.insert(target.to_owned());
                    }
                    if kept {
                        self.import(target, path, number)?;
                    }
                }
                Some(Directive::Ifdef(flag)) => {
                    self.asked.insert(flag.to_owned());
                    branches.push(Branch {
                        line: number,
                        outer: kept,
                        defined: self.variant.flags.contains(flag),
                        in_else: false,
                    });
                }
                Some(Directive::Else) => match branches.last_mut() {
                    Some(branch) if !branch.in_else => branch.in_else = true,
                    Some(branch) => {
                        let line = branch.line;
                        return Err(at(format!("a second #else for the #ifdef of line {line}")));
                    }
                    None => return Err(at("#else without an #ifdef".into())),
                },
                Some(Directive::Endif) => {
                    let closed = branches.pop();
                    closed.ok_or_else(|| at("#endif without an #ifdef".into()))?;
                }
            }
        }
        if let Some(branch) = branches.last() {
            let line = branch.line;
            return Err(Error::Shader(format!(
                "{path}:{line}: this #ifdef has no #endif before the end of the file"
            )));
        }
        self.open.pop();
        Ok(())
    }

    /// `importer` and `number`: file and line of the directive.
    fn import(&mut self, target: &str, importer: &str, number: usize) -> Result<()> {
        let at = |message: String| Error::Shader(format!("{importer}:{number}: {message}"));
        let variant: &'v Variant = self.variant;
        let (path, text): (String, Option<&str>) =
            if let Some(name) = target.strip_prefix(GENERATED) {
                let text = variant.snippets.get(name).map(String::as_str);
                (target.to_owned(), text)
            } else if target.starts_with(LIBRARY) {
                let path = format!("{target}.wgsl");
                let text = (self.lookup)(&path);
                (path, text)
            } else {
                return Err(at(format!(
                    "cannot import `{target}`: only `lib/...` and `generated/...` are importable, \
                 because every other file has an entry point"
                )));
            };
        if let Some(first) = self.open.iter().position(|open| *open == path) {
            let chain = self.open[first..].join(" -> ");
            return Err(at(format!("import cycle: {chain} -> {path}")));
        }
        if self.files.contains(&path) {
            return Ok(());
        }
        let text = text.ok_or_else(|| {
            at(match target.strip_prefix(GENERATED) {
                Some(name) => format!("unknown import: the variant has no snippet `{name}`"),
                None => format!("unknown import: there is no file `shaders/{path}`"),
            })
        })?;
        self.file(&path, text)
    }

    /// A misspelt flag would silently select the default kernel.
    fn reject_unasked(&self, path: &str) -> Result<()> {
        let flags = self.variant.flags.iter().map(|&flag| flag.to_owned());
        let snippets = self.variant.snippets.keys();
        let snippets = snippets.map(|name| format!("{GENERATED}{name}"));
        match flags
            .chain(snippets)
            .find(|name| !self.asked.contains(name))
        {
            None => Ok(()),
            Some(name) => Err(Error::Shader(format!(
                "{path}: the variant has `{name}`, but no directive of this file or of its \
                 imports asks for it; correct the name, or drop it from the variant"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
