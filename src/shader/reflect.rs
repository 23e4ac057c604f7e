//! What the host needs to know of a kernel, read back from the validated module.

use super::compose::Composed;
use super::module::place;
use crate::error::{Error, Result};
use naga::valid::ModuleInfo;
use naga::{AddressSpace, BuiltIn, Statement, StorageAccess, TypeInner};

/// Everything the host binds and dispatches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The entry point's name, always `main`.
    pub entry: String,
    /// Invocations along x, y, z.
    pub workgroup_size: [u32; 3],
    /// Bytes of workgroup memory, each variable rounded up to 16 as the WebGPU limit counts them.
    pub workgroup_bytes: u32,
    /// The bindings that the entry point uses, in binding order.
    pub bindings: Vec<Binding>,
    /// Whether `wgpu::Features::SUBGROUP` is needed. True also where only an unused function of
    /// the text has subgroup operations, because a device checks the whole text.
    pub uses_subgroups: bool,
}

impl Interface {
    /// The binding called `name` in the WGSL text.
    pub fn binding(&self, name: &str) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.name == name)
    }

    /// Invocations in a workgroup.
    pub fn invocations(&self) -> u64 {
        self.workgroup_size.iter().map(|&n| u64::from(n)).product()
    }
}

/// One binding of group 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The variable's name in WGSL.
    pub name: String,
    /// The number in `@binding(...)`.
    pub binding: u32,
    /// Uniform, storage or texture.
    pub class: BindingClass,
    /// Bytes that a bound buffer has at least; an array without length counts as one element. 0 for
    /// textures.
    pub min_size: u64,
    /// The members, where the binding is a uniform struct; else empty.
    pub fields: Vec<Field>,
}

/// How a buffer, or a texture that stands for one, is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingClass {
    /// `var<uniform>`.
    Uniform,
    /// `var<storage, read>` or `var<storage, read_write>`.
    Storage {
        /// Whether the access is `read`.
        read_only: bool,
    },
    /// `var name: texture_2d<f32>`, which is read by `textureLoad` alone.
    Texture,
}

/// One member of a uniform struct; offset and size in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The member's name in WGSL.
    pub name: String,
    /// Bytes from the start of the struct.
    pub offset: u32,
    /// Bytes, without padding after the member.
    pub size: u32,
}

pub(super) fn reflect(
    composed: &Composed,
    module: &naga::Module,
    info: &ModuleInfo,
) -> Result<Interface> {
    let path = &composed.path;
    let entry = match &module.entry_points[..] {
        [entry] if entry.name == "main" && entry.stage == naga::ShaderStage::Compute => entry,
        others => {
            let names: Vec<_> = others
                .iter()
                .map(|entry| format!("{:?} `{}`", entry.stage, entry.name))
                .collect();
            let found = match names.is_empty() {
                true => "none".to_owned(),
                false => names.join(", "),
            };
            return Err(Error::Shader(format!(
                "{path}: a kernel has exactly one entry point, `@compute ... fn main`; found {found}"
            )));
        }
    };
    if let Some((handle, constant)) = module.overrides.iter().next() {
        return Err(Error::Shader(format!(
            "{}: `override {}`: pipeline overrides are not used here; make it a constant of the \
             variant",
            place(composed, module.overrides.get_span(handle)),
            constant.name.as_deref().unwrap_or("")
        )));
    }

    let size = |ty: naga::Handle<naga::Type>| module.types[ty].inner.size(module.to_ctx());
    let uses = info.get_entry_point(0);
    let mut bindings = Vec::new();
    let mut workgroup_bytes = 0u32;
    for (handle, variable) in module.global_variables.iter() {
        let name = variable.name.clone().unwrap_or_default();
        let reject = |what: &str| {
            let at = place(composed, module.global_variables.get_span(handle));
            Err(Error::Shader(format!("{at}: `{name}` {what}")))
        };
        let used = !uses[handle].is_empty();
        let class = match variable.space {
            AddressSpace::Uniform => BindingClass::Uniform,
            AddressSpace::Storage { access } => BindingClass::Storage {
                read_only: !access.contains(StorageAccess::STORE),
            },
            AddressSpace::WorkGroup => {
                if used {
                    let bytes = size(variable.ty).next_multiple_of(16);
                    workgroup_bytes = workgroup_bytes.saturating_add(bytes);
                }
                continue;
            }
            AddressSpace::Private => continue,
            AddressSpace::Handle if is_plain_texture(&module.types[variable.ty].inner) => {
                BindingClass::Texture
            }
            _ => {
                return reject(
                    "is no uniform buffer, storage buffer or `texture_2d<f32>`, which are all that \
                     kernels bind",
                );
            }
        };
        let binding = match &variable.binding {
            Some(naga::ResourceBinding { group: 0, binding }) => *binding,
            Some(other) => {
                return reject(&format!(
                    "is in group {}; kernels bind in group 0 only",
                    other.group
                ));
            }
            None => return reject("has no @group and @binding"),
        };
        if !used {
            continue;
        }
        let fields = match &module.types[variable.ty].inner {
            TypeInner::Struct { members, .. } if class == BindingClass::Uniform => members
                .iter()
                .map(|member| Field {
                    name: member.name.clone().unwrap_or_default(),
                    offset: member.offset,
                    size: size(member.ty),
                })
                .collect(),
            _ => Vec::new(),
        };
        bindings.push(Binding {
            name,
            binding,
            class,
            min_size: match class {
                BindingClass::Texture => 0,
                _ => u64::from(size(variable.ty)),
            },
            fields,
        });
    }
    bindings.sort_by_key(|binding| binding.binding);
    Ok(Interface {
        entry: entry.name.clone(),
        workgroup_size: entry.workgroup_size,
        workgroup_bytes,
        bindings,
        uses_subgroups: uses_subgroups(module),
    })
}

/// `texture_2d<f32>`.
fn is_plain_texture(ty: &TypeInner) -> bool {
    matches!(
        ty,
        TypeInner::Image {
            dim: naga::ImageDimension::D2,
            arrayed: false,
            class: naga::ImageClass::Sampled {
                kind: naga::ScalarKind::Float,
                multi: false,
            },
        }
    )
}

/// Every function of the text, entry points last.
pub(super) fn functions(module: &naga::Module) -> impl Iterator<Item = &naga::Function> {
    let entries = module.entry_points.iter().map(|entry| &entry.function);
    module
        .functions
        .iter()
        .map(|(_, function)| function)
        .chain(entries)
}

/// Calls `visit` on every statement of `block`, outer before inner.
pub(super) fn visit_statements(block: &naga::Block, visit: &mut dyn FnMut(&Statement, naga::Span)) {
    for (statement, &span) in block.span_iter() {
        visit(statement, span);
        match statement {
            Statement::Block(block) => visit_statements(block, visit),
            Statement::If { accept, reject, .. } => {
                visit_statements(accept, visit);
                visit_statements(reject, visit);
            }
            Statement::Switch { cases, .. } => {
                for case in cases {
                    visit_statements(&case.body, visit);
                }
            }
            Statement::Loop {
                body, continuing, ..
            } => {
                visit_statements(body, visit);
                visit_statements(continuing, visit);
            }
            _ => {}
        }
    }
}

/// Whether any function of the text has subgroup operations or reads a subgroup built-in value.
pub(super) fn uses_subgroups(module: &naga::Module) -> bool {
    let is_subgroup = |binding: &Option<naga::Binding>| {
        matches!(
            binding,
            Some(naga::Binding::BuiltIn(
                BuiltIn::NumSubgroups
                    | BuiltIn::SubgroupId
                    | BuiltIn::SubgroupSize
                    | BuiltIn::SubgroupInvocationId
            ))
        )
    };
    functions(module).any(|function| {
        let mut found = function.arguments.iter().any(|argument| {
            is_subgroup(&argument.binding)
                || match &module.types[argument.ty].inner {
                    TypeInner::Struct { members, .. } => {
                        members.iter().any(|member| is_subgroup(&member.binding))
                    }
                    _ => false,
                }
        });
        visit_statements(&function.body, &mut |statement, _| {
            found |= match statement {
                Statement::SubgroupBallot { .. }
                | Statement::SubgroupGather { .. }
                | Statement::SubgroupCollectiveOperation { .. } => true,
                Statement::ControlBarrier(barrier) => barrier.contains(naga::Barrier::SUB_GROUP),
                _ => false,
            };
        });
        found
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{check_text, compose_text};
    use super::*;
    use crate::shader::check;

    const KERNEL: &str = "\
struct Params { n: u32, scale: f32, extent: vec4<u32>, tail: array<vec4<f32>, 2> }
@group(0) @binding(4) var<storage, read_write> result: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> image: array<f32>;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> unused: array<f32>;
@group(0) @binding(3) var<uniform> table: array<vec4<f32>, 8>;
var<workgroup> tile: array<f32, 33>;
var<workgroup> total: f32;
var<workgroup> spare: array<f32, 1000>;
var<private> sum: f32;
fn helper(i: u32) -> f32 { return image[i] + tile[i] + table[i & 7u].x; }
@compute @workgroup_size(8, 4, 2)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    sum = params.scale;
    total = sum;
    if id.x < params.n { result[id.x] = vec2<f32>(helper(id.x), total); }
}
";

    #[test]
    fn interface_of_a_kernel() {
        let interface = check_text(KERNEL).interface;
        let storage = |read_only| BindingClass::Storage { read_only };
        let summary: Vec<_> = interface
            .bindings
            .iter()
            .map(|b| (b.name.as_str(), b.binding, b.class, b.min_size))
            .collect();
        assert_eq!(
            summary,
            [
                ("params", 0, BindingClass::Uniform, 64),
                ("image", 1, storage(true), 4),
                ("table", 3, BindingClass::Uniform, 128),
                ("result", 4, storage(false), 8),
            ]
        );
        assert_eq!(interface.entry, "main");
        assert_eq!(interface.workgroup_size, [8, 4, 2]);
        assert_eq!(interface.invocations(), 64);
        // 33 * 4 = 132 and 4, each rounded up to a multiple of 16; `spare` is not used.
        assert_eq!(interface.workgroup_bytes, 144 + 16);
        assert!(!interface.uses_subgroups);
        let field = |name: &str, offset, size| Field {
            name: name.into(),
            offset,
            size,
        };
        assert_eq!(
            interface.binding("params").unwrap().fields,
            [
                field("n", 0, 4),
                field("scale", 4, 4),
                field("extent", 16, 16),
                field("tail", 32, 32),
            ]
        );
        assert!(interface.binding("table").unwrap().fields.is_empty());
        assert_eq!(interface.binding("unused"), None);
    }

    #[test]
    fn entry_points_other_than_one_compute_main_are_refused() {
        let other = "@compute @workgroup_size(1) fn other() {}\n";
        let main = "@compute @workgroup_size(1) fn main() {}\n";
        for (text, found) in [
            (String::from("fn f() {}"), "none"),
            (other.into(), "Compute `other`"),
            (format!("{main}{other}"), "Compute `main`, Compute `other`"),
            (String::from("@fragment fn main() {}"), "Fragment `main`"),
        ] {
            let message = check(compose_text(&text)).unwrap_err().to_string();
            assert!(message.ends_with(&format!("found {found}")), "{message}");
        }
        check_text(main);
    }

    #[test]
    fn bindings_outside_group_0_are_refused_even_if_unused() {
        let text = "// head\n@group(1) @binding(0) var<storage, read> weight: array<f32>;\n\
                    @compute @workgroup_size(1) fn main() {}\n";
        let message = check(compose_text(text)).unwrap_err().to_string();
        assert!(
            message.contains("test.wgsl:2: `weight` is in group 1"),
            "{message}"
        );
    }

    #[test]
    fn other_textures_and_overrides_are_refused() {
        let main = "@compute @workgroup_size(1) fn main() {}\n";
        for other in [
            "texture_3d<f32>",
            "texture_2d<u32>",
            "texture_2d_array<f32>",
        ] {
            let texture = format!("@group(0) @binding(0) var t: {other};\n{main}");
            let message = check(compose_text(&texture)).unwrap_err().to_string();
            assert!(message.contains("test.wgsl:1: `t` is no"), "{message}");
        }
        let constant = format!("\noverride N: u32 = 4u;\n{main}");
        let message = check(compose_text(&constant)).unwrap_err().to_string();
        assert!(message.contains("test.wgsl:2: `override N`"), "{message}");
    }

    #[test]
    fn subgroups_are_found_wherever_they_stand() {
        let buffer = "@group(0) @binding(0) var<storage, read_write> a: array<f32>;\n";
        let inside = "fn deep(x: f32) -> f32 {\n  var y = x;\n  for (var i = 0u; i < 2u; i++) {\n    \
                      if y > 0.0 { y = subgroupAdd(y); }\n  }\n  return y;\n}\n\
                      @compute @workgroup_size(32) fn main() { a[0] = 1.0; }\n";
        assert!(
            check_text(&format!("{buffer}{inside}"))
                .interface
                .uses_subgroups
        );
        let built_in = "@compute @workgroup_size(32) fn main(\
                        @builtin(subgroup_size) size: u32) { a[0] = f32(size); }\n";
        assert!(
            check_text(&format!("{buffer}{built_in}"))
                .interface
                .uses_subgroups
        );
        let member = "struct In { @builtin(subgroup_invocation_id) lane: u32 }\n\
                      @compute @workgroup_size(32) fn main(in: In) { a[0] = f32(in.lane); }\n";
        assert!(
            check_text(&format!("{buffer}{member}"))
                .interface
                .uses_subgroups
        );
    }
}
