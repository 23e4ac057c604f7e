use super::super::fixtures::{compose_files, compose_text};
use super::*;

fn text(files: &[(&str, &str)], variant: &Variant) -> String {
    compose_files(files, variant).unwrap().text
}

/// The error of composing `text` as `a/k.wgsl`, with every flag in `flags` set.
fn error(text: &str, flags: &[&'static str]) -> String {
    let variant = flags
        .iter()
        .fold(Variant::new(), |variant, flag| variant.flag(flag));
    let error = compose_files(&[("a/k.wgsl", text)], &variant).unwrap_err();
    assert!(matches!(error, Error::Shader(_)));
    error.to_string()
}

#[test]
fn prologue_comes_first_in_the_order_given() {
    let variant = Variant::new()
        .constant("TILE_X", 8u32)
        .constant("SHIFT", -3i32)
        .constant("ALPHA", 0.25f32);
    assert_eq!(
        text(&[("k.wgsl", "fn f() {}\n")], &variant),
        "const TILE_X: u32 = 8u;\nconst SHIFT: i32 = -3;\nconst ALPHA: f32 = 0.25f;\nfn f() {}\n"
    );
}

#[test]
fn a_constant_that_is_not_finite_is_refused() {
    let variant = Variant::new().constant("X", f32::NAN);
    let message = compose_files(&[("k.wgsl", "")], &variant)
        .unwrap_err()
        .to_string();
    assert!(message.contains("`X` is not a finite number"), "{message}");
}

#[test]
fn ifdef_nests() {
    let source = "0\n#ifdef A\n1\n#ifdef B\n2\n#else\n3\n#endif\n4\n#else // A\n5\n#ifdef B\n6\n\
                  #endif\n#endif\n7\n";
    let kept = |a, b| {
        let variant = Variant::new().flag_if("A", a).flag_if("B", b);
        text(&[("k.wgsl", source)], &variant).replace('\n', "")
    };
    assert_eq!(kept(false, false), "057");
    assert_eq!(kept(false, true), "0567");
    assert_eq!(kept(true, false), "01347");
    assert_eq!(kept(true, true), "01247");
}

#[test]
fn imports_are_included_once_where_first_named() {
    let files = [
        (
            "k.wgsl",
            "#import lib/a\n#import lib/b\n#import generated/s\nk\n",
        ),
        ("lib/a.wgsl", "a\n#import lib/b\n"),
        ("lib/b.wgsl", "b\n#import generated/s\n"),
    ];
    let variant = Variant::new().snippet("s", "s1\ns2");
    assert_eq!(text(&files, &variant), "a\nb\ns1\ns2\nk\n");
}

#[test]
fn imports_in_skipped_text_are_not_followed() {
    let source = "#ifdef A\n#import lib/missing\n#import generated/missing\n#endif\nk\n";
    assert_eq!(text(&[("k.wgsl", source)], &Variant::new()), "k\n");
}

#[test]
fn every_line_knows_its_origin() {
    let files = [
        (
            "k.wgsl",
            "// k\n#import lib/a\n#ifdef A\nskipped\n#endif\n#import generated/s\nk7\n",
        ),
        ("lib/a.wgsl", "a1\na2\n"),
    ];
    let variant = Variant::new().constant("N", 1u32).snippet("s", "s1");
    let composed = compose_files(&files, &variant).unwrap();
    let origins: Vec<_> = (1..)
        .zip(composed.text.lines())
        .map(|(line, text)| (text, composed.origin(line)))
        .collect();
    assert_eq!(
        origins,
        [
            ("const N: u32 = 1u;", ("<variant>", 1)),
            ("// k", ("k.wgsl", 1)),
            ("a1", ("lib/a.wgsl", 1)),
            ("a2", ("lib/a.wgsl", 2)),
            ("s1", ("generated/s", 1)),
            ("k7", ("k.wgsl", 7)),
        ]
    );
    assert_eq!(composed.origin(1000), ("k.wgsl", 7));
    assert_eq!(compose_text("").origin(1), ("test.wgsl", 1));
}

#[test]
fn malformed_directives_are_refused_with_their_place() {
    for (source, expected) in [
        ("x\n#define A\n", "a/k.wgsl:2: unknown directive `#define`"),
        ("#\n", "a/k.wgsl:1: unknown directive `#`"),
        ("# ifndef A\n", "a/k.wgsl:1: unknown directive `#ifndef`"),
        (
            "x\n  #ifdef A\n",
            "a/k.wgsl:2: a directive must stand at column 0",
        ),
        ("#import\n", "a/k.wgsl:1: `#import` takes one path"),
        (
            "#import lib/a lib/b\n",
            "a/k.wgsl:1: `#import` takes one path",
        ),
        ("#ifdef\n", "a/k.wgsl:1: `#ifdef` takes one flag"),
        (
            "#ifdef A\n#else A\n#endif\n",
            "a/k.wgsl:2: `#else` takes nothing after it",
        ),
        ("x\n#else\n", "a/k.wgsl:2: #else without an #ifdef"),
        ("x\ny\n#endif\n", "a/k.wgsl:3: #endif without an #ifdef"),
        (
            "x\n#ifdef A\n#else\n#else\n#endif\n",
            "a/k.wgsl:4: a second #else for the #ifdef of line 2",
        ),
        (
            "#ifdef A\n#endif\n#ifdef A\ny\n",
            "a/k.wgsl:3: this #ifdef has no #endif",
        ),
    ] {
        // In kept and in skipped text alike.
        for flags in [&[] as &[&str], &["A"]] {
            let asked = format!("{source}#ifdef A\n#endif\n");
            let source = if source.ends_with("y\n") {
                source
            } else {
                &asked
            };
            let message = error(source, flags);
            assert!(
                message.contains(expected),
                "{source:?} {flags:?}: {message}"
            );
        }
    }
    let message = error("#ifdef A\n#define B\n#endif\n", &[]);
    assert!(
        message.contains("a/k.wgsl:2: unknown directive"),
        "{message}"
    );
}

#[test]
fn imports_that_lead_nowhere_are_refused() {
    let message = error("x\n#import lib/nothing\n", &[]);
    assert!(message.contains("a/k.wgsl:2: unknown import"), "{message}");
    assert!(message.contains("shaders/lib/nothing.wgsl"), "{message}");
    let message = error("#import generated/nothing\n", &[]);
    assert!(message.contains("a/k.wgsl:1: unknown import"), "{message}");
    let message = error("#import conv/conv2d\n", &[]);
    assert!(
        message.contains("a/k.wgsl:1: cannot import `conv/conv2d`"),
        "{message}"
    );
    let message = compose("conv/nothing.wgsl", &Variant::new())
        .unwrap_err()
        .to_string();
    assert!(message.contains("conv/nothing.wgsl"), "{message}");
}

#[test]
fn import_cycles_are_refused_and_shown() {
    let files = [
        ("k.wgsl", "#import lib/a\n"),
        ("lib/a.wgsl", "a\n#import lib/b\n"),
        ("lib/b.wgsl", "b\n\n#import lib/a\n"),
    ];
    let message = compose_files(&files, &Variant::new())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("lib/b.wgsl:3: import cycle: lib/a.wgsl -> lib/b.wgsl -> lib/a.wgsl"),
        "{message}"
    );
    let own = [("lib/a.wgsl", "#import lib/a\n")];
    let message = compose_files(&own, &Variant::new())
        .unwrap_err()
        .to_string();
    assert!(message.contains("lib/a.wgsl:1: import cycle"), "{message}");
}

#[test]
fn flags_and_snippets_that_nothing_asks_for_are_refused() {
    assert!(error("x\n", &["TYPO"]).contains("the variant has `TYPO`"));
    let unused = Variant::new().snippet("s", "");
    let message = compose_files(&[("k.wgsl", "x\n")], &unused)
        .unwrap_err()
        .to_string();
    assert!(message.contains("`generated/s`"), "{message}");
    // Asked for in skipped text is asked for.
    let nested = "#ifdef A\n#ifdef B\n#import generated/s\n#endif\n#endif\n";
    compose_files(&[("k.wgsl", nested)], &unused.flag("B")).unwrap();
}

#[test]
fn the_hash_is_fnv1a_of_the_final_text() {
    // Published test vectors of FNV-1a, 64 bit.
    assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    assert_eq!(compose_text("foobar\n").hash, fnv1a(b"foobar\n"));
    assert_eq!(compose_text("a\r\nb").hash, compose_text("a\nb\n").hash);
    assert_ne!(compose_text("a\n").hash, compose_text("b\n").hash);
}

#[test]
fn the_crate_s_own_files_compose() {
    for source in crate::shader::sources()
        .iter()
        .filter(|source| source.is_library())
    {
        let composed = compose(source.path, &Variant::new()).unwrap();
        assert_eq!(composed.path, source.path);
    }
}
