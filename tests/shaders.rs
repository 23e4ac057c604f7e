//! The static suite: every variant of every kernel that the checks run, without a device.

use equilens::check::launches;
use equilens::kernels::{Capabilities, Launch, WEBGPU_MEMORY};
use equilens::shader::{
    Module, Source, Target, check, compare_fields, compose, lint, source, sources, translate,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

/// A launch with its checked module and the row it comes from.
struct Variant {
    row: String,
    launch: Launch,
    module: Module,
}

impl Variant {
    /// For messages.
    fn name(&self) -> String {
        format!("{} of {}", self.launch.path, self.row)
    }
}

/// The kernels' choices on devices without subgroups and with narrow and wide ones, and on one with
/// more workgroup memory than WebGPU grants.
fn devices() -> [Capabilities; 5] {
    [
        (None, true, WEBGPU_MEMORY),
        (Some(4), true, WEBGPU_MEMORY),
        (Some(8), true, WEBGPU_MEMORY),
        (Some(32), false, WEBGPU_MEMORY),
        (Some(32), false, MOST_MEMORY),
    ]
    .map(|(subgroup, software, memory)| Capabilities {
        subgroup,
        software,
        memory,
        ..Capabilities::default()
    })
}

/// Bytes of workgroup memory of which kernels may make use where the device has them.
const MOST_MEMORY: u32 = 32 << 10;

/// Every distinct variant. Composing and validating happens here.
fn variants() -> &'static [Variant] {
    static VARIANTS: OnceLock<Vec<Variant>> = OnceLock::new();
    VARIANTS.get_or_init(|| {
        let mut distinct = BTreeMap::new();
        for device in devices() {
            for (row, launch) in launches(device) {
                let composed =
                    compose(launch.path, &launch.variant).unwrap_or_else(|e| panic!("{row}: {e}"));
                distinct
                    .entry((composed.path.clone(), composed.hash))
                    .or_insert((row, launch, composed));
            }
        }
        let checked = distinct.into_values().map(|(row, launch, composed)| {
            let module = check(composed).unwrap_or_else(|e| panic!("{row}: {e}"));
            Variant {
                row,
                launch,
                module,
            }
        });
        checked.collect()
    })
}

/// Fails with all messages together.
fn none(what: &str, problems: impl IntoIterator<Item = String>) {
    let problems: BTreeSet<String> = problems.into_iter().collect();
    let lines: Vec<&str> = problems.iter().map(String::as_str).collect();
    assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
}

#[test]
fn every_variant_translates_to_every_target() {
    let (mut done, mut skipped) = (0, BTreeMap::new());
    let mut problems = Vec::new();
    for variant in variants() {
        for target in Target::ALL {
            if variant.module.interface.uses_subgroups && !target.has_subgroups() {
                *skipped.entry(target.name()).or_insert(0) += 1;
                continue;
            }
            match translate(&variant.module, target) {
                Ok(text) if !text.is_empty() => done += 1,
                Ok(_) => problems.push(format!("{}: empty {}", variant.name(), target.name())),
                Err(e) => problems.push(format!("{}: {e}", variant.row)),
            }
        }
    }
    use std::io::Write;
    // Past the capture of the test harness: what is not checked is said.
    let _ = writeln!(
        std::io::stderr(),
        "{} variants, {done} translations; without subgroups, and so skipped: {skipped:?}",
        variants().len()
    );
    none("translations", problems);
    assert!(
        !skipped.is_empty(),
        "no variant uses subgroups: the suite does not see them"
    );
}

#[test]
fn variants_stay_within_the_default_limits_of_webgpu() {
    let mut problems = Vec::new();
    for variant in variants() {
        for exceeded in lint::exceeded_limits(&variant.module.interface) {
            // A block that says so in its name, and only a device with as much gets it.
            let larger = exceeded.limit == "max_compute_workgroup_storage_size"
                && exceeded.needed <= u64::from(MOST_MEMORY)
                && variant.row.contains("-in-32-KiB");
            if larger {
                continue;
            }
            problems.push(format!("{}: {exceeded:?}", variant.name()));
        }
    }
    for device in devices() {
        for (row, launch) in launches(device) {
            if launch.groups.iter().any(|&g| g == 0 || g > 65_535) {
                problems.push(format!(
                    "{} of {row}: {:?} workgroups",
                    launch.path, launch.groups
                ));
            }
        }
    }
    none("limits", problems);
}

#[test]
fn local_arrays_are_written_at_constant_indices() {
    let results = variants()
        .iter()
        .map(|v| lint::dynamic_local_writes(&v.module));
    none(
        "writes",
        results.filter_map(|r| r.err().map(|e| e.to_string())),
    );
}

/// Where WGSL's open accuracy is accounted for in the bounds: random numbers, and the elementwise
/// functions that a user asks for by name.
const TRANSCENDENTALS: [(&str, &[&str]); 2] = [
    ("random/random.wgsl", &["cos", "exp", "log"]),
    ("generated/chain", &["exp", "log"]),
];

#[test]
fn transcendental_functions_stand_in_the_allow_list_alone() {
    let results = variants()
        .iter()
        .map(|v| lint::transcendentals(&v.module, &TRANSCENDENTALS));
    none(
        "functions",
        results.filter_map(|r| r.err().map(|e| e.to_string())),
    );
    // The list holds nothing that is not there.
    for (file, names) in TRANSCENDENTALS {
        for name in names {
            let without: Vec<&str> = names.iter().copied().filter(|n| n != name).collect();
            let list = [
                (file, without.as_slice()),
                TRANSCENDENTALS[usize::from(file == TRANSCENDENTALS[0].0)],
            ];
            let used = variants()
                .iter()
                .any(|v| lint::transcendentals(&v.module, &list).is_err());
            assert!(used, "{file} does not use {name}");
        }
    }
}

#[test]
fn parameters_are_the_same_in_rust_and_wgsl() {
    let mut problems = Vec::new();
    for variant in variants() {
        let Launch { fields, params, .. } = &variant.launch;
        match variant.module.interface.binding("params") {
            None => problems.push(format!("{} has no `params`", variant.name())),
            Some(binding) => problems.extend(
                compare_fields("its Params", fields, params.len(), binding)
                    .err()
                    .map(|e| format!("{}: {e}", variant.name())),
            ),
        }
    }
    none("parameters", problems);
}

#[test]
fn every_binding_is_supplied_and_every_supply_is_bound() {
    let mut problems = Vec::new();
    for variant in variants() {
        let wanted: BTreeSet<&str> = variant
            .module
            .interface
            .bindings
            .iter()
            .map(|b| b.name.as_str())
            .collect();
        let mut supplied: BTreeSet<&str> = variant
            .launch
            .bindings
            .iter()
            .map(|(name, _)| *name)
            .collect();
        supplied.insert("params");
        if wanted != supplied {
            problems.push(format!("{}: {wanted:?} and {supplied:?}", variant.name()));
        }
    }
    none("bindings", problems);
}

/// Whether `path`, as `reference::module` or `reference::module::function`, is in the sources.
fn twin_exists(path: &str) -> Result<(), String> {
    let parts: Vec<&str> = path.split("::").collect();
    let (module, function) = match parts[..] {
        ["reference", module] => (module, None),
        ["reference", module, function] => (module, Some(function)),
        _ => {
            return Err(format!(
                "`{path}` is not reference::MODULE or reference::MODULE::FUNCTION"
            ));
        }
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/reference/{module}.rs"));
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    // A module alone stands for all its functions, of which there is one at least.
    let declared = match function {
        Some(function) => format!("pub fn {function}("),
        None => "pub fn ".into(),
    };
    match text.contains(&declared) {
        true => Ok(()),
        false => Err(format!("{} has no `{declared}`", file.display())),
    }
}

#[test]
fn every_kernel_has_a_header_and_a_twin() {
    let mut problems = Vec::new();
    for variant in variants() {
        let file = source(variant.launch.path).expect("composed before");
        match lint::header(file, &variant.module.interface) {
            Err(e) => problems.push(e.to_string()),
            Ok(twin) => problems.extend(
                twin_exists(twin)
                    .err()
                    .map(|e| format!("{}: {e}", file.path)),
            ),
        }
    }
    none("headers", problems);
    assert!(twin_exists("reference::conv2d::forward").is_ok());
    assert!(twin_exists("reference::conv2d::backward").is_err());
    assert!(twin_exists("reference::conv3d::forward").is_err());
    assert!(twin_exists("elsewhere::conv2d::forward").is_err());
}

#[test]
fn every_file_is_used_by_some_row() {
    let used: BTreeSet<&str> = variants().iter().map(|v| v.launch.path).collect();
    let kernels = sources().iter().filter(|s| !s.is_library());
    none(
        "kernels without a row in src/check",
        kernels
            .filter(|s| !used.contains(s.path))
            .map(|s| s.path.to_string()),
    );
    let imported = |library: &Source| {
        let line = format!("#import {}", library.path.trim_end_matches(".wgsl"));
        sources()
            .iter()
            .any(|s| s.text.lines().any(|l| l.trim_end() == line))
    };
    let libraries = sources().iter().filter(|s| s.is_library());
    none(
        "libraries that nothing imports",
        libraries
            .filter(|s| !imported(s))
            .map(|s| s.path.to_string()),
    );
}
