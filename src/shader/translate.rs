//! Translation to what every graphics API takes, with naga's back ends.
//!
//! The project is built on machines that have one API at best. A kernel that translates to all of
//! these targets is what stands behind "any Vulkan, Metal or DX12 GPU".

use super::module::Module;
use super::reflect::BindingClass;
use crate::error::{Error, Result};
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::{ResourceBinding, ShaderStage};

/// A shading language and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// SPIR-V 1.3, for Vulkan 1.1.
    Spirv,
    /// Metal Shading Language 2.4.
    Msl,
    /// HLSL shader model 5.1, for Direct3D 12 with the older compiler (FXC).
    Hlsl51,
    /// HLSL shader model 6.0, for Direct3D 12 with DXC.
    Hlsl60,
    /// GLSL 4.30, for desktop OpenGL.
    Glsl430,
    /// GLSL ES 3.10, for OpenGL ES.
    GlslEs310,
}

impl Target {
    /// Every target.
    pub const ALL: [Target; 6] = [
        Target::Spirv,
        Target::Msl,
        Target::Hlsl51,
        Target::Hlsl60,
        Target::Glsl430,
        Target::GlslEs310,
    ];

    /// Whether the language has subgroup operations: HLSL before shader model 6.0 and GLSL ES
    /// have none. (wgpu offers `Features::SUBGROUP` on none of the adapters that need these.)
    pub const fn has_subgroups(self) -> bool {
        !matches!(self, Target::Hlsl51 | Target::GlslEs310)
    }

    /// The language's name and version.
    pub const fn name(self) -> &'static str {
        match self {
            Target::Spirv => "SPIR-V 1.3",
            Target::Msl => "MSL 2.4",
            Target::Hlsl51 => "HLSL SM 5.1",
            Target::Hlsl60 => "HLSL SM 6.0",
            Target::Glsl430 => "GLSL 430",
            Target::GlslEs310 => "GLSL ES 310",
        }
    }
}

/// Out-of-range indices are clamped, as in a checked module.
const BOUNDS: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Restrict,
    buffer: BoundsCheckPolicy::Restrict,
    image_load: BoundsCheckPolicy::Restrict,
    binding_array: BoundsCheckPolicy::Restrict,
};

/// The module in `target`'s language: little-endian words for SPIR-V, else UTF-8 text.
///
/// # Errors
/// [`Error::Shader`] where the language cannot express the kernel: subgroup operations where
/// [`Target::has_subgroups`] is false, or anything else that naga's back end refuses.
pub fn translate(module: &Module, target: Target) -> Result<Vec<u8>> {
    let fail = |message: &dyn std::fmt::Display| {
        Error::Shader(format!(
            "{}: cannot be translated to {}: {message}",
            module.composed.path,
            target.name()
        ))
    };
    if module.interface.uses_subgroups && !target.has_subgroups() {
        return Err(fail(
            &"the kernel uses subgroup operations, which this language does not have; make that a \
              variant next to one without them",
        ));
    }
    match target {
        Target::Spirv => to_spirv(module).map_err(|error| fail(&error)),
        Target::Msl => to_msl(module).map_err(|error| fail(&error)),
        Target::Hlsl51 => to_hlsl(module, hlsl::ShaderModel::V5_1).map_err(|error| fail(&error)),
        Target::Hlsl60 => to_hlsl(module, hlsl::ShaderModel::V6_0).map_err(|error| fail(&error)),
        Target::Glsl430 => {
            to_glsl(module, glsl::Version::Desktop(430)).map_err(|error| fail(&error))
        }
        Target::GlslEs310 => {
            to_glsl(module, glsl::Version::new_gles(310)).map_err(|error| fail(&error))
        }
    }
}

/// Every declared binding and its slot, used or not: the HLSL writer asks for all. They are in
/// group 0, as [`super::check`] made sure.
fn slots(module: &Module) -> impl Iterator<Item = (ResourceBinding, u32)> {
    let variables = module.module.global_variables.iter();
    variables.filter_map(|(_, variable)| variable.binding.map(|key| (key, key.binding)))
}

fn to_spirv(module: &Module) -> Result<Vec<u8>, spv::Error> {
    let options = spv::Options {
        lang_version: (1, 3),
        // The default depends on the build profile.
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: BOUNDS,
        ..Default::default()
    };
    let pipeline = spv::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: module.interface.entry.clone(),
    };
    let words = spv::write_vec(&module.module, &module.info, &options, Some(&pipeline))?;
    Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
}

fn to_msl(module: &Module) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let entry = &module.interface.entry;
    let mut resources = msl::EntryPointResources::default();
    let mut last = 0;
    for (key, slot) in slots(module) {
        let slot_number = u8::try_from(slot)?;
        let texture = (module.interface.bindings.iter())
            .any(|b| b.binding == slot && b.class == BindingClass::Texture);
        let target = match texture {
            true => msl::BindTarget {
                texture: Some(slot_number),
                ..Default::default()
            },
            false => msl::BindTarget {
                buffer: Some(slot_number),
                mutable: true,
                ..Default::default()
            },
        };
        resources.resources.insert(key, target);
        last = last.max(slot);
    }
    // Bounds checks on arrays without length read the lengths from a buffer of their own.
    resources.sizes_buffer = Some(u8::try_from(last + 1)?);
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [(entry.clone(), resources)].into(),
        fake_missing_bindings: false,
        bounds_check_policies: BOUNDS,
        ..Default::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, entry.clone())),
        ..Default::default()
    };
    let (text, info) = msl::write_string(&module.module, &module.info, &options, &pipeline)?;
    // The writer leaves an entry point out, and returns Ok, when a resource has no slot.
    for name in info.entry_point_names {
        name?;
    }
    Ok(text.into_bytes())
}

fn to_hlsl(
    module: &Module,
    shader_model: hlsl::ShaderModel,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let target = |register| hlsl::BindTarget {
        register,
        restrict_indexing: true,
        ..Default::default()
    };
    let options = hlsl::Options {
        shader_model,
        binding_map: slots(module)
            .map(|(key, slot)| (key, target(slot)))
            .collect(),
        fake_missing_bindings: false,
        // Where `num_workgroups` is read, the host passes it in a root constant.
        special_constants_binding: Some(hlsl::BindTarget {
            space: 1,
            ..target(0)
        }),
        ..Default::default()
    };
    let pipeline = hlsl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, module.interface.entry.clone())),
    };
    let mut text = String::new();
    let info = hlsl::Writer::new(&mut text, &options, &pipeline).write(
        &module.module,
        &module.info,
        None,
    )?;
    for name in info.entry_point_names {
        name?;
    }
    Ok(text.into_bytes())
}

fn to_glsl(module: &Module, version: glsl::Version) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut binding_map = glsl::BindingMap::default();
    for (key, slot) in slots(module) {
        binding_map.insert(key, u8::try_from(slot)?);
    }
    let options = glsl::Options {
        version,
        writer_flags: glsl::WriterFlags::empty(),
        binding_map,
        ..Default::default()
    };
    let pipeline = glsl::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: module.interface.entry.clone(),
        multiview: None,
    };
    let mut text = String::new();
    glsl::Writer::new(
        &mut text,
        &module.module,
        &module.info,
        &options,
        &pipeline,
        BoundsCheckPolicies {
            // Image bounds checks need GL 4.3 and are nowhere in GL ES: wgpu does without there too.
            image_load: match version.is_es() {
                true => BoundsCheckPolicy::Unchecked,
                false => BOUNDS.image_load,
            },
            ..BOUNDS
        },
    )?
    .write()?;
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::check_text;
    use super::*;

    const AXPY: &str = "\
struct Params { n: u32, a: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> unused: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
var<workgroup> tile: array<f32, 64>;
@compute @workgroup_size(64)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    tile[lane] = x[id.x % arrayLength(&x)];
    workgroupBarrier();
    if id.x < params.n + groups.z { y[id.x] += params.a * tile[63u - lane]; }
}
";

    const BROADCAST: &str = "\
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    y[id.x] = subgroupBroadcast(y[id.x], 3u);
}
";

    fn text(module: &Module, target: Target) -> String {
        String::from_utf8(translate(module, target).unwrap()).unwrap()
    }

    #[test]
    fn a_kernel_reaches_every_target() {
        let module = check_text(AXPY);
        for target in Target::ALL {
            assert!(
                !translate(&module, target).unwrap().is_empty(),
                "{target:?}"
            );
        }
        let spirv = translate(&module, Target::Spirv).unwrap();
        assert_eq!(
            spirv[..8],
            [0x03, 0x02, 0x23, 0x07, 0, 3, 1, 0],
            "magic and version 1.3"
        );
        for (target, expected) in [
            (
                Target::Msl,
                ["kernel void main_", "[[buffer(3)]]", "[[buffer(5)]]"],
            ),
            (
                Target::Hlsl51,
                ["[numthreads(64, 1, 1)]", "register(t3)", "register(u5)"],
            ),
            (
                Target::Hlsl60,
                ["[numthreads(64, 1, 1)]", "register(b0)", "register(u5)"],
            ),
            (
                Target::Glsl430,
                ["#version 430 core", "local_size_x = 64", "binding = 5"],
            ),
            (
                Target::GlslEs310,
                ["#version 310 es", "local_size_x = 64", "binding = 3"],
            ),
        ] {
            let text = text(&module, target);
            for part in expected {
                assert!(text.contains(part), "{target:?} lacks {part}:\n{text}");
            }
        }
    }

    #[test]
    fn subgroups_reach_the_targets_that_have_them() {
        let module = check_text(BROADCAST);
        let lacking = [Target::Hlsl51, Target::GlslEs310];
        for target in Target::ALL {
            assert_eq!(target.has_subgroups(), !lacking.contains(&target));
            match translate(&module, target) {
                Ok(_) => assert!(!lacking.contains(&target), "{target:?}"),
                Err(Error::Shader(message)) => {
                    assert!(lacking.contains(&target), "{message}");
                    assert!(message.contains(target.name()), "{message}");
                    assert!(message.contains("subgroup"), "{message}");
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!(text(&module, Target::Msl).contains("simd_broadcast"));
        assert!(text(&module, Target::Hlsl60).contains("WaveReadLaneAt"));
        assert!(text(&module, Target::Glsl430).contains("subgroupBroadcast"));
    }

    #[test]
    fn a_back_end_error_names_kernel_and_target() {
        // A binding number beyond what GLSL's map holds.
        let module = check_text(&AXPY.replace("@binding(5)", "@binding(300)"));
        let message = translate(&module, Target::Glsl430).unwrap_err().to_string();
        assert!(
            message.contains("test.wgsl: cannot be translated to GLSL 430"),
            "{message}"
        );
    }
}
