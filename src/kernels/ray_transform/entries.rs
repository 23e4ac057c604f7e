//! Several entries of a batch in one thread, which share what the geometry costs: `lib/entries.wgsl` has
//! one, and imports this for more.

use std::fmt::Write;
use std::ops::Range;

/// The most entries of a thread: each takes a few registers, and threads become fewer.
pub(super) const MOST: usize = 4;

/// How many entries of a batch of `n` (at least 1) a thread takes, so that as few as possible are
/// computed twice.
pub(super) fn count(n: usize) -> usize {
    n.div_ceil(n.div_ceil(MOST))
}

/// The binding before those of further sources: the tangents'.
const BINDING: usize = 4;

/// The name of the source's binding for the entry `e` of a thread, which lie `apart`, or all in one.
pub(super) fn source(e: usize) -> &'static str {
    ["source", "source1", "source2", "source3"][e]
}

/// What `lib/entries.wgsl` declares for one entry, for `count` of them: all in one source, or each in a uniform
/// binding of its own.
pub(super) fn declare(count: usize, apart: bool) -> String {
    let all = 0..count;
    let entries = |text: &dyn Fn(usize) -> String| format!("Entries({})", list(&all, text));
    let members = |kind: &str| list(&all, &|e| format!("e{e}: {kind}"));
    let mut text = format!(
        "struct Entries {{ {} }}\nstruct Places {{ {} }}\n",
        members("Lanes"),
        members("Indices")
    );
    let mut function = |head: &str, lines: &[String], result: &str| {
        let _ = writeln!(text, "fn {head} {{");
        for line in lines {
            let _ = writeln!(text, "    {line}");
        }
        if !result.is_empty() {
            let _ = writeln!(text, "    return {result};");
        }
        text.push_str("}\n");
    };
    let lines = |line: &dyn Fn(usize) -> String| all.clone().map(line).collect::<Vec<_>>();
    function(
        "each(value: f32) -> Entries",
        &[],
        &entries(&|_| "Lanes(value)".into()),
    );
    function(
        "plus(a: Entries, b: Entries) -> Entries",
        &[],
        &entries(&|e| format!("a.e{e} + b.e{e}")),
    );
    function(
        "times(a: Entries, factor: Lanes) -> Entries",
        &[],
        &entries(&|e| format!("a.e{e} * factor")),
    );
    function(
        "only(flags: Flags, a: Entries) -> Entries",
        &[],
        &entries(&|e| format!("select(Lanes(0.0), a.e{e}, flags)")),
    );
    let places = list(&all, &|e| format!("entry_number(entry + {e}u) * size"));
    function(
        "places(entry: Indices, size: u32) -> Places",
        &[],
        &format!("Places({places})"),
    );
    let of = |e: usize| if apart { e } else { 0 };
    let sources = list(&all, &|e| format!("all.e{e} - params.starts[{}]", of(e)));
    function(
        "sources(entry: Indices, size: u32) -> Places",
        &["let all = places(entry, size);".into()],
        &format!("Places({sources})"),
    );
    function(
        "elements_of(origins: Places, at: Indices) -> Entries",
        &[],
        &entries(&|e| match of(e) {
            0 => format!("elements(origins.e{e} + at)"),
            e => format!("elements{e}(origins.e{e} + at)"),
        }),
    );
    function(
        "joined_entries(own: Entries, lane: u32) -> Entries",
        &lines(&|e| format!("let e{e} = joined(own.e{e}, lane);")),
        &entries(&|e| format!("e{e}")),
    );
    // All are read before any is written: beyond the last entry the same one is meant again.
    let mut put = lines(&|e| format!("let value{e} = before(origins.e{e} + at) + value.e{e};"));
    put.extend(lines(&|e| format!("write(origins.e{e} + at, value{e});")));
    function(
        "put(origins: Places, at: Indices, value: Entries)",
        &put,
        "",
    );
    let mut put = lines(&|e| {
        format!("let value{e} = before_one(one_place(origins.e{e}) + at) + sum(value.e{e});")
    });
    put.extend(lines(&|e| {
        format!("result[one_place(origins.e{e}) + at] = value{e};")
    }));
    function(
        "put_sum(origins: Places, at: u32, value: Entries)",
        &put,
        "",
    );
    for e in 1..if apart { count } else { 1 } {
        let (name, binding) = (source(e), BINDING + e);
        let _ = writeln!(
            text,
            "@group(0) @binding({binding}) var<uniform> {name}: array<vec4<f32>, SOURCE>;"
        );
        let numbers = ["x", "y", "z", "w"].map(|c| format!("{name}[at.{c} / 4u][at.{c} % 4u]"));
        let _ = writeln!(
            text,
            "fn elements{e}(at: Indices) -> Lanes {{\n    return Lanes({});\n}}",
            numbers.join(", ")
        );
    }
    text
}

fn list(entries: &Range<usize>, text: &dyn Fn(usize) -> String) -> String {
    entries.clone().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_divided_evenly() {
        for (n, expected) in [
            (1, 1),
            (2, 2),
            (3, 3),
            (4, 4),
            (5, 3),
            (6, 3),
            (7, 4),
            (8, 4),
            (9, 3),
            (16, 4),
        ] {
            assert_eq!(count(n), expected, "{n}");
            let groups = n.div_ceil(count(n));
            assert!(groups * count(n) - n < groups, "{n}");
        }
    }
}
