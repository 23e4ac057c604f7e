//! Rules for kernels that a validator does not know.

use super::compose::Composed;
use super::module::{Module, place};
use super::reflect::{BindingClass, Interface, functions, visit_statements};
use super::source::Source;
use crate::error::{Error, Result};
use naga::{AddressSpace, Expression, Function, Handle, MathFunction, Statement, TypeInner};

/// Checks the comment that a kernel's file starts with: it has a line `Twin: path::of::function`
/// and a line for every binding of `interface`, which begins with the binding's name or has it
/// before a colon. Returns the twin's path.
///
/// # Errors
/// [`Error::Shader`] naming what is missing.
pub fn header(source: &Source, interface: &Interface) -> Result<&'static str> {
    let fail = |what: String| Err(Error::Shader(format!("{}:1: {what}", source.path)));
    let comment: Vec<&str> = source
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//"))
        .map(str::trim)
        .collect();
    if comment.is_empty() {
        return fail("the file does not start with a `//` header comment".into());
    }
    let Some(twin) = comment.iter().find_map(|line| line.strip_prefix("Twin:")) else {
        return fail("the header has no line `Twin: reference::FAMILY::FUNCTION`".into());
    };
    let twin = twin.trim().trim_end_matches('.').trim_matches('`');
    if !twin.starts_with("reference::") || twin.split("::").any(|part| !is_identifier(part)) {
        return fail(format!(
            "the twin `{twin}` is not a path `reference::...` to a function"
        ));
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let has_line = |name: &str| {
        comment.iter().any(|line| {
            let words = |text: &'static str| text.split(|c| !is_word(c)).filter(|w| !w.is_empty());
            let label = line.split_once(':').map_or("", |(label, _)| label);
            words(line).next() == Some(name) || words(label).any(|word| word == name)
        })
    };
    match interface
        .bindings
        .iter()
        .find(|binding| !has_line(&binding.name))
    {
        None => Ok(twin),
        Some(binding) => fail(format!(
            "the header has no line `{}: ...` with the shape and unit of that binding",
            binding.name
        )),
    }
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Finds functions whose accuracy WGSL leaves open (sine, exponential, logarithm and their kin)
/// outside of `allowed`: (file, functions by their WGSL names). WGSL promises an absolute error
/// of 2^-11 for the sine and nothing outside [-pi, pi]; angles, twiddles and rotation weights are
/// computed on the host in f64. Constant expressions count as naga evaluates them: not at all.
///
/// # Errors
/// [`Error::Shader`] listing the place of every such call.
pub fn transcendentals(module: &Module, allowed: &[(&str, &[&str])]) -> Result<()> {
    let composed = &module.composed;
    let mut found = Vec::new();
    for function in functions(&module.module) {
        for (handle, expression) in function.expressions.iter() {
            let Expression::Math { fun, .. } = *expression else {
                continue;
            };
            let Some(name) = transcendental(fun) else {
                continue;
            };
            let span = function.expressions.get_span(handle);
            let (file, _) = composed.origin(span.location(&composed.text).line_number as usize);
            let permitted = allowed
                .iter()
                .any(|(path, names)| *path == file && names.contains(&name));
            if !permitted {
                found.push(format!("`{name}` at {}", place(composed, span)));
            }
        }
    }
    report(composed, found, |found| {
        format!(
            "WGSL leaves the accuracy of {found} open; compute the values on the host in f64 and \
             upload them, or list the function for this file in the allow-list"
        )
    })
}

fn transcendental(fun: MathFunction) -> Option<&'static str> {
    Some(match fun {
        MathFunction::Sin => "sin",
        MathFunction::Cos => "cos",
        MathFunction::Tan => "tan",
        MathFunction::Asin => "asin",
        MathFunction::Acos => "acos",
        MathFunction::Atan => "atan",
        MathFunction::Atan2 => "atan2",
        MathFunction::Sinh => "sinh",
        MathFunction::Cosh => "cosh",
        MathFunction::Tanh => "tanh",
        MathFunction::Asinh => "asinh",
        MathFunction::Acosh => "acosh",
        MathFunction::Atanh => "atanh",
        MathFunction::Exp => "exp",
        MathFunction::Exp2 => "exp2",
        MathFunction::Log => "log",
        MathFunction::Log2 => "log2",
        MathFunction::Pow => "pow",
        _ => return None,
    })
}

/// Finds writes to function-local or private memory at an index that is not constant: to an
/// array, vector or matrix element, or by passing a pointer to one to a function. Direct3D's older
/// compiler (FXC) has to unroll every loop around such a write, and gives up on the loops that
/// naga writes.
///
/// # Errors
/// [`Error::Shader`] listing the place of every such write.
pub fn dynamic_local_writes(module: &Module) -> Result<()> {
    let composed = &module.composed;
    let mut found = Vec::new();
    for function in functions(&module.module) {
        let is_dynamic = |pointer| is_dynamic_local(&module.module, function, pointer);
        visit_statements(&function.body, &mut |statement, span| {
            let offends = match statement {
                Statement::Store { pointer, .. } => is_dynamic(*pointer),
                Statement::Call { arguments, .. } => arguments.iter().any(|&a| is_dynamic(a)),
                _ => false,
            };
            if offends {
                found.push(place(composed, span));
            }
        });
    }
    report(composed, found, |found| {
        format!(
            "a local array is written at an index that is not constant, at {found}; unroll the \
             loop with a generated snippet, or put the array in workgroup memory"
        )
    })
}

/// Whether `pointer` is a chain of accesses into local memory, one of them at a run-time index.
fn is_dynamic_local(
    module: &naga::Module,
    function: &Function,
    mut pointer: Handle<Expression>,
) -> bool {
    let expressions = &function.expressions;
    let mut dynamic = false;
    loop {
        match expressions[pointer] {
            Expression::Access { base, index } => {
                dynamic |= !matches!(
                    expressions[index],
                    Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_)
                );
                pointer = base;
            }
            Expression::AccessIndex { base, .. } => pointer = base,
            Expression::LocalVariable(_) => return dynamic,
            Expression::GlobalVariable(handle) => {
                return dynamic && module.global_variables[handle].space == AddressSpace::Private;
            }
            Expression::FunctionArgument(index) => {
                let argument = function.arguments[index as usize].ty;
                let local = match module.types[argument].inner {
                    TypeInner::Pointer { space, .. } | TypeInner::ValuePointer { space, .. } => {
                        matches!(space, AddressSpace::Function | AddressSpace::Private)
                    }
                    _ => false,
                };
                return dynamic && local;
            }
            _ => return false,
        }
    }
}

fn report(
    composed: &Composed,
    mut found: Vec<String>,
    message: impl Fn(&str) -> String,
) -> Result<()> {
    // A line with several calls is one place.
    found.dedup();
    match found.is_empty() {
        true => Ok(()),
        false => Err(Error::Shader(format!(
            "{}: {}",
            composed.path,
            message(&found.join(", "))
        ))),
    }
}

/// A WebGPU limit that a kernel goes beyond, and so has to declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit, by its field in `wgpu::Limits`.
    pub limit: &'static str,
    /// What the kernel needs.
    pub needed: u64,
    /// What every WebGPU adapter grants.
    pub default: u64,
}

/// The default limits of WebGPU that a kernel exceeds, in a fixed order; empty for most.
///
/// Source of the numbers: WebGPU specification, section "Limits".
pub fn exceeded_limits(interface: &Interface) -> Vec<Exceeded> {
    let bindings = &interface.bindings;
    let uniforms = || bindings.iter().filter(|b| b.class == BindingClass::Uniform);
    let uniform_count = uniforms().count();
    let storage_count = bindings.len() - uniform_count;
    let largest_uniform = uniforms().map(|b| b.min_size).max().unwrap_or(0);
    let [x, y, z] = interface.workgroup_size;
    let limits = [
        (
            "max_storage_buffers_per_shader_stage",
            storage_count as u64,
            8,
        ),
        (
            "max_uniform_buffers_per_shader_stage",
            uniform_count as u64,
            12,
        ),
        ("max_uniform_buffer_binding_size", largest_uniform, 65_536),
        (
            "max_compute_workgroup_storage_size",
            u64::from(interface.workgroup_bytes),
            16_384,
        ),
        (
            "max_compute_invocations_per_workgroup",
            interface.invocations(),
            256,
        ),
        ("max_compute_workgroup_size_x", u64::from(x), 256),
        ("max_compute_workgroup_size_y", u64::from(y), 256),
        ("max_compute_workgroup_size_z", u64::from(z), 64),
    ];
    limits
        .into_iter()
        .filter(|&(_, needed, default)| needed > default)
        .map(|(limit, needed, default)| Exceeded {
            limit,
            needed,
            default,
        })
        .collect()
}

#[cfg(test)]
mod tests;
