//! Parsing and validation, with diagnostics that point at the source files.

use super::compose::Composed;
use super::reflect::{Interface, reflect, uses_subgroups};
use crate::error::{Error, Result};
use naga::Span;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// A kernel that has been parsed, validated and reflected.
#[derive(Debug)]
pub struct Module {
    /// The text and where it came from.
    pub composed: Composed,
    /// naga's intermediate representation.
    pub module: naga::Module,
    /// What naga's validator found out about it.
    pub info: ModuleInfo,
    /// What the host binds and dispatches.
    pub interface: Interface,
}

/// Parses, validates and reflects one kernel.
///
/// Only what every WebGPU adapter has is accepted, and subgroup functions besides; a kernel that
/// uses those says so in [`Interface::uses_subgroups`] and needs `wgpu::Features::SUBGROUP`.
/// `subgroupBarrier` is refused, because Direct3D has none.
///
/// # Errors
/// [`Error::Shader`] naming file, line and column: invalid WGSL; anything but one compute entry
/// point `main`; a binding outside group 0 or of another class than buffers; pipeline overrides.
pub fn check(composed: Composed) -> Result<Module> {
    let (module, info) = validate(&composed)?;
    let interface = reflect(&composed, &module, &info)?;
    Ok(Module {
        composed,
        module,
        info,
        interface,
    })
}

/// Parses and validates an importable file on its own: it must be complete by itself (with its
/// imports) and have no entry point.
///
/// # Errors
/// [`Error::Shader`] naming file, line and column.
pub fn check_library(composed: Composed) -> Result<()> {
    let (module, _) = validate(&composed)?;
    match module.entry_points.first() {
        None => Ok(()),
        Some(entry) => Err(Error::Shader(format!(
            "{}: an importable file has no entry point, but this one has `{}`; kernels live \
             outside shaders/lib/",
            composed.path, entry.name
        ))),
    }
}

fn validate(composed: &Composed) -> Result<(naga::Module, ModuleInfo)> {
    let module = naga::front::wgsl::parse_str(&composed.text).map_err(|error| {
        let (span, label) = error.labels().next().unwrap_or((Span::UNDEFINED, ""));
        let parts = [error.message(), label].into_iter().chain(error.notes());
        diagnostic(composed, span, parts.map(str::to_owned).collect())
    })?;
    let capabilities = match uses_subgroups(&module) {
        true => Capabilities::SUBGROUP,
        false => Capabilities::empty(),
    };
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| {
            let mut parts = vec![error.to_string()];
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                parts.push(next.to_string());
                cause = next.source();
            }
            // Spans of the function, the statement and the expression: the shortest says most.
            let spans = error.spans().map(|&(span, _)| span);
            let span = spans.min_by_key(|span| span.to_range().map_or(usize::MAX, |r| r.len()));
            let span = span.unwrap_or(Span::UNDEFINED);
            diagnostic(composed, span, parts)
        })?;
    Ok((module, info))
}

/// `file:line:column: cause: cause: in `the line of code``, as one paragraph.
fn diagnostic(composed: &Composed, span: Span, parts: Vec<String>) -> Error {
    let mut parts = parts;
    parts.retain(|part| !part.trim().is_empty());
    let message = parts.join(": ");
    if !span.is_defined() {
        return Error::Shader(format!("{}: {message}", composed.path));
    }
    let at = place(composed, span);
    let location = span.location(&composed.text);
    let line = composed.text.lines().nth(location.line_number as usize - 1);
    Error::Shader(format!(
        "{at}:{}: {message}, in `{}`",
        location.line_position,
        line.unwrap_or("").trim()
    ))
}

/// `file:line` of the start of a span of the composed text.
pub(super) fn place(composed: &Composed, span: Span) -> String {
    let (file, line) = composed.origin(span.location(&composed.text).line_number as usize);
    format!("{file}:{line}")
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{compose_files, compose_text};
    use super::*;
    use crate::shader::Variant;

    fn error(text: &str) -> String {
        check(compose_text(text)).unwrap_err().to_string()
    }

    const MAIN: &str = "@compute @workgroup_size(1)\nfn main() {}\n";

    #[test]
    fn parse_errors_point_into_the_imported_file() {
        let variant = Variant::new().constant("N", 1u32).constant("M", 2u32);
        let composed = compose_files(
            &[
                ("test.wgsl", &format!("// head\n#import lib/broken\n{MAIN}")),
                (
                    "lib/broken.wgsl",
                    "// fine\n\nfn f() -> u32 { return missing; }\n",
                ),
            ],
            &variant,
        );
        let message = check(composed.unwrap()).unwrap_err().to_string();
        assert!(message.contains("lib/broken.wgsl:3:24: "), "{message}");
        assert!(message.contains("missing"), "{message}");
    }

    #[test]
    fn parse_errors_point_into_the_variant() {
        let variant = Variant::new()
            .constant("N", 1u32)
            .constant("not a name", 2u32);
        let composed = compose_files(&[("test.wgsl", MAIN)], &variant);
        let message = check(composed.unwrap()).unwrap_err().to_string();
        assert!(message.contains("<variant>:2:"), "{message}");
    }

    #[test]
    fn validation_errors_point_at_the_innermost_cause() {
        // Type errors that only the validator finds, not the parser.
        let message = error(&format!(
            "var<workgroup> tile: array<f32, 4>;\n\
             fn f() -> f32 {{\n    let a = 1u;\n    if a + 2u {{ return 0.0; }}\n    return tile[1];\n}}\n{MAIN}"
        ));
        assert!(message.contains("test.wgsl:4:8: "), "{message}");
    }

    #[test]
    fn features_beyond_every_adapter_are_refused() {
        let message = error(
            "@group(0) @binding(0) var<storage, read_write> a: array<f64>;\n\
             @compute @workgroup_size(1)\nfn main() { a[0] = 1.0lf; }\n",
        );
        // naga keeps no place for a scalar type.
        assert!(
            message.contains("test.wgsl: ") && message.contains("f64"),
            "{message}"
        );
        let message =
            error("@compute @workgroup_size(32)\nfn main() {\n    subgroupBarrier();\n}\n");
        assert!(message.contains("test.wgsl:3"), "{message}");
    }

    #[test]
    fn a_message_is_one_paragraph() {
        let message = error("fn f() -> f32 { return cross(vec2(0.0), vec2(0.0)); }\n");
        assert!(!message.contains('\n'), "{message}");
    }

    #[test]
    fn libraries_have_no_entry_point() {
        assert!(check_library(compose_text("fn f() -> u32 { return 1u; }\n")).is_ok());
        let message = check_library(compose_text(MAIN)).unwrap_err().to_string();
        assert!(message.contains("has `main`"), "{message}");
    }
}
