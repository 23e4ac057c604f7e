//! `equilens devices`.

use super::global::Session;
use crate::error::Result;
use crate::gpu::{self, AdapterSummary};
use crate::report::{Align, Table};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// List the adapters that can compute, best first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens devices
  equilens devices --backend gl
  equilens demo --adapter 1
  equilens demo --adapter nvidia

GL adapters are listed if there is no other one, or with --backend gl.")]
pub(super) struct Arguments {}

pub(super) fn run(session: &Session, _: &Arguments) -> Result<ExitCode> {
    let backend = session.selection.backend;
    let adapters = gpu::adapters(backend);
    if adapters.is_empty() {
        return Err(gpu::no_adapter(backend));
    }
    let document = json!({
        "adapters": adapters.iter().enumerate().map(|(i, a)| describe(i, a)).collect::<Vec<_>>(),
    });
    session
        .console
        .result(&document, || table(&adapters).to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Name, backend, driver: what results are labelled with.
pub(super) fn label(info: &wgpu::AdapterInfo) -> serde_json::Value {
    json!({
        "name": info.name,
        "backend": info.backend.to_str(),
        "driver": driver(info),
    })
}

fn describe(index: usize, adapter: &AdapterSummary) -> serde_json::Value {
    let (info, limits) = (&adapter.info, &adapter.limits);
    let mut document = label(info);
    document["index"] = index.into();
    document["type"] = kind(info.device_type).into();
    document["limits"] = json!({
        "max_buffer_size": limits.max_buffer_size,
        "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
        "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
        "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
        "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
    });
    document["subgroup_sizes"] = match subgroups(adapter) {
        Some(sizes) => json!(sizes),
        None => serde_json::Value::Null,
    };
    document["timestamps"] = adapter
        .features
        .contains(wgpu::Features::TIMESTAMP_QUERY)
        .into();
    document
}

fn table(adapters: &[AdapterSummary]) -> Table {
    let mut table = Table::new([
        ("#", Align::Right),
        ("adapter", Align::Left),
        ("backend", Align::Left),
        ("type", Align::Left),
        ("driver", Align::Left),
        ("largest buffer", Align::Right),
        ("workgroup memory", Align::Right),
        ("subgroup", Align::Right),
    ]);
    for (index, adapter) in adapters.iter().enumerate() {
        let (info, limits) = (&adapter.info, &adapter.limits);
        let buffer = limits
            .max_buffer_size
            .min(limits.max_storage_buffer_binding_size);
        let subgroup = match subgroups(adapter) {
            None => "-".to_string(),
            Some([min, max]) if min == max => min.to_string(),
            Some([min, max]) => format!("{min}-{max}"),
        };
        table.row([
            index.to_string(),
            info.name.clone(),
            info.backend.to_str().to_string(),
            kind(info.device_type).to_string(),
            driver(info),
            format!("{} MiB", buffer >> 20),
            format!("{} KiB", limits.max_compute_workgroup_storage_size >> 10),
            subgroup,
        ]);
    }
    table
}

fn subgroups(adapter: &AdapterSummary) -> Option<[u32; 2]> {
    let info = &adapter.info;
    (adapter.features.contains(wgpu::Features::SUBGROUP))
        .then_some([info.subgroup_min_size, info.subgroup_max_size])
}

fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info)
        .trim()
        .to_string()
}

fn kind(kind: wgpu::DeviceType) -> &'static str {
    match kind {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}
