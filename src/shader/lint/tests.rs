use super::super::fixtures::{check_text, compose_files};
use super::*;
use crate::shader::{Variant, check};

const SCALE: &str = "\
// Multiplies an image by a number.
//
// params: the number `factor`
// image: [n, c, h, w], in attenuation per pixel
//
// Twin: reference::elementwise::scale
struct Params { factor: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@compute @workgroup_size(1) fn main() { image[0] *= params.factor; }
";

fn header_of(text: &str) -> Result<&'static str> {
    let text: &'static str = text.to_owned().leak();
    let source = Source {
        path: "test.wgsl",
        text,
    };
    header(&source, &check_text(text).interface)
}

fn message(result: Result<impl std::fmt::Debug>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn header_accepts_twin_and_bindings() {
    assert_eq!(header_of(SCALE).unwrap(), "reference::elementwise::scale");
    let quoted = SCALE.replace(
        "reference::elementwise::scale",
        "`reference::ray::forward`.",
    );
    assert_eq!(header_of(&quoted).unwrap(), "reference::ray::forward");
    let styled = SCALE
        .replace("// params:", "// - `params` ")
        .replace("// image:", "// (1) image:");
    header_of(&styled).unwrap();
}

#[test]
fn header_rejects_what_is_missing() {
    let late = format!("\n{SCALE}");
    assert!(message(header_of(&late)).contains("does not start with"));
    let no_twin = SCALE.replace("Twin: ", "See ");
    assert!(message(header_of(&no_twin)).contains("no line `Twin:"));
    let outside = SCALE.replace("reference::elementwise", "kernels::elementwise");
    assert!(message(header_of(&outside)).contains("`kernels::elementwise::scale`"));
    let prose = SCALE.replace("reference::elementwise::scale", "reference::to do");
    assert!(message(header_of(&prose)).contains("not a path"));
    // A longer word, a mention in prose and one outside the header do not count.
    let unnamed = SCALE.replace("// image:", "// images:");
    assert!(message(header_of(&unnamed)).contains("no line `image: ...`"));
}

/// A kernel around `body`, in which `x` is a run-time f32 and `i` a run-time u32.
fn kernel(body: &str) -> Module {
    check_text(&format!(
        "struct Cell {{ tile: array<vec4<f32>, 4>, sum: f32 }}\n\
         @group(0) @binding(0) var<storage, read_write> out: array<f32>;\n\
         var<private> memory: array<f32, 4>;\n\
         var<workgroup> shared_tile: array<f32, 4>;\n\
         fn assign(cell: ptr<function, f32>, x: f32) {{ *cell = x; }}\n\
         @compute @workgroup_size(1) fn main(@builtin(local_invocation_index) i: u32) {{\n\
         let x = out[i];\n{body}\n}}\n"
    ))
}

#[test]
fn transcendentals_accepts_exact_functions_constants_and_the_allowed() {
    let exact =
        kernel("out[0] = sqrt(abs(x)) + fma(x, x, floor(x)) + inverseSqrt(x) + f32(sin(1.0));");
    transcendentals(&exact, &[]).unwrap();
    let module = kernel("out[0] = exp(x) + log(x);");
    transcendentals(&module, &[("test.wgsl", &["log", "exp"])]).unwrap();
}

#[test]
fn transcendentals_rejects_each_function() {
    for name in [
        "sin", "cos", "tan", "exp", "exp2", "log", "log2", "asin", "acos", "atan", "sinh", "cosh",
        "tanh", "asinh", "acosh", "atanh",
    ] {
        let module = kernel(&format!("\nout[0] = {name}(x);"));
        let message = message(transcendentals(&module, &[]));
        assert!(
            message.contains(&format!("`{name}` at test.wgsl:9")),
            "{message}"
        );
    }
    for name in ["pow", "atan2"] {
        let module = kernel(&format!("out[0] = {name}(x, 2.5);"));
        assert!(message(transcendentals(&module, &[])).contains(name));
    }
    // Being allowed is a matter of one file and one function.
    let module = kernel("out[0] = exp(x) + log(x);");
    let half = message(transcendentals(&module, &[("test.wgsl", &["exp"])]));
    assert!(half.contains("`log`") && !half.contains("`exp`"), "{half}");
    assert!(transcendentals(&module, &[("other.wgsl", &["exp", "log"])]).is_err());
}

#[test]
fn transcendentals_belong_to_the_file_they_stand_in() {
    let files = [
        (
            "test.wgsl",
            "#import lib/gauss\n@compute @workgroup_size(1) fn main() {}\n",
        ),
        (
            "lib/gauss.wgsl",
            "// head\nfn gauss(x: f32) -> f32 { return exp(-x * x); }\n",
        ),
    ];
    let module = check(compose_files(&files, &Variant::new()).unwrap()).unwrap();
    assert!(message(transcendentals(&module, &[])).contains("`exp` at lib/gauss.wgsl:2"));
    assert!(transcendentals(&module, &[("test.wgsl", &["exp"])]).is_err());
    transcendentals(&module, &[("lib/gauss.wgsl", &["exp"])]).unwrap();
}

#[test]
fn dynamic_local_writes_accepts_constant_indices_and_shared_memory() {
    for body in [
        "var a: array<f32, 4>; a[2] = x; a[3u] += x; out[0] = a[i];",
        "const K = 1u + 2u; var a: array<f32, 4>; a[K] = x; out[0] = a[i];",
        "let k = 2u; var a: array<f32, 4>; a[k] = x; out[0] = a[i];",
        "var c: Cell; c.tile[1].y = x; c.sum = x; out[0] = c.tile[i][i];",
        "var a: array<f32, 4>; assign(&a[1], x); memory[1] = x; out[0] = a[1];",
        "shared_tile[i] = x; out[i] = x;",
    ] {
        dynamic_local_writes(&kernel(body)).unwrap();
    }
}

#[test]
fn dynamic_local_writes_rejects_run_time_indices() {
    for body in [
        "var a: array<f32, 4>; a[i] = x;",
        "var a: array<f32, 4>; a[i & 3u] += x;",
        "var a: array<f32, 4>; for (var k = 0u; k < 4u; k++) { a[k] = x; }",
        "var a: array<f32, 4>; loop { if x > 0.0 { a[i] = x; } continuing { break if i == 0u; } }",
        "var a: array<f32, 4>; switch i { case 1u { a[i] = x; } default {} }",
        "var c: Cell; c.tile[i].y = x;",
        "var c: Cell; c.tile[1][i] = x;",
        "var v: vec4<f32>; v[i] = x;",
        "var a: array<f32, 4>; assign(&a[i], x);",
        "memory[i] = x;",
    ] {
        let message = message(dynamic_local_writes(&kernel(body)));
        assert!(message.contains("test.wgsl:8"), "{body}: {message}");
    }
}

#[test]
fn dynamic_local_writes_sees_through_pointer_arguments() {
    let text = |index| {
        format!(
            "fn fill(a: ptr<function, array<f32, 4>>, i: u32) {{\n (*a)[{index}] = 1.0; }}\n\
             @compute @workgroup_size(1) fn main() {{ var a: array<f32, 4>; fill(&a, 1u); }}\n"
        )
    };
    dynamic_local_writes(&check_text(&text("2"))).unwrap();
    let message = message(dynamic_local_writes(&check_text(&text("i"))));
    assert!(message.contains("test.wgsl:2"), "{message}");
}

/// A kernel with `storage` storage buffers, `floats` in workgroup memory and `size` invocations.
fn sized(storage: u32, floats: u32, size: &str) -> Interface {
    let mut declarations = String::new();
    let mut sum = String::from("tile[0]");
    for k in 0..storage {
        declarations.push_str(&format!(
            "@group(0) @binding({k}) var<storage, read_write> b{k}: array<f32>;\n"
        ));
        sum.push_str(&format!(" + b{k}[1]"));
    }
    let text = format!(
        "{declarations}var<workgroup> tile: array<f32, {floats}>;\n\
         @compute @workgroup_size({size}) fn main() {{ b0[0] = {sum}; }}\n"
    );
    check_text(&text).interface
}

#[test]
fn limits_accepts_the_defaults_themselves() {
    assert_eq!(exceeded_limits(&sized(8, 4096, "256")), []);
    assert_eq!(exceeded_limits(&sized(8, 4096, "2, 2, 64")), []);
}

#[test]
fn limits_lists_each_that_is_exceeded() {
    let names = |interface: &Interface| -> Vec<_> {
        let exceeded = exceeded_limits(interface);
        exceeded
            .iter()
            .map(|e| (e.limit, e.needed, e.default))
            .collect()
    };
    assert_eq!(
        names(&sized(9, 4097, "257")),
        [
            ("max_storage_buffers_per_shader_stage", 9, 8),
            // 16388 bytes, counted in steps of 16.
            ("max_compute_workgroup_storage_size", 16_400, 16_384),
            ("max_compute_invocations_per_workgroup", 257, 256),
            ("max_compute_workgroup_size_x", 257, 256),
        ]
    );
    assert_eq!(
        names(&sized(1, 1, "1, 1, 65")),
        [("max_compute_workgroup_size_z", 65, 64)]
    );
    let uniform = check_text(
        "@group(0) @binding(0) var<uniform> table: array<vec4<f32>, 4097>;\n\
         @group(0) @binding(1) var<storage, read_write> out: array<f32>;\n\
         @compute @workgroup_size(1) fn main() { out[0] = table[5].x; }\n",
    );
    assert_eq!(
        names(&uniform.interface),
        [("max_uniform_buffer_binding_size", 65_552, 65_536)]
    );
}
