//! Reconstruction inside a program that already owns a wgpu device: the plan is encoded into the
//! caller's command encoder, and the result stays in a buffer on the device.
//!
//! Run with `cargo run --release --example own_device`.

use equilens::data::phantom;
use equilens::gpu::Gpu;
use equilens::operators::{Filter, LinearOperator, RayTransform, fbp};
use equilens::shape::RayGeometry;
use equilens::tape::Tape;
use equilens::tape::plan::{Options, Plan, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The caller's own instance, adapter and device: a viewer has these already.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: adapter.limits(),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let gpu = Gpu::from_device(device.clone(), queue.clone());

    // FBP of 180 views, compiled once.
    let beam = RayGeometry::parallel([128, 128], 0.36, 180, 182);
    let operator = RayTransform::new(beam.clone());
    let store = Store::new(&gpu);
    let mut tape = Tape::new();
    let y = tape.input("sinogram", operator.range());
    let u = fbp(&mut tape, y, &operator, Filter::Hann)?;
    let plan = Plan::compile(&tape, &[u], &store, Options::default())?;

    // Each frame: write the measurement, encode, and go on computing with the buffer.
    let phantom = phantom::shepp_logan(0.36);
    let sinogram: Vec<f32> = (phantom::sinogram(&phantom, &beam).into_iter())
        .map(|v| v as f32)
        .collect();
    plan.write("sinogram", &sinogram)?;
    let mut encoder = device.create_command_encoder(&Default::default());
    plan.encode(&mut encoder);
    let (image, offset) = plan.output_buffer(u)?;
    let download = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("download"),
        size: u.shape().bytes(),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    encoder.copy_buffer_to_buffer(image, 4 * offset as u64, &download, 0, u.shape().bytes());
    queue.submit([encoder.finish()]);
    download.map_async(wgpu::MapMode::Read, .., |result| result.expect("mapped"));
    device.poll(wgpu::PollType::wait_indefinitely())?;

    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&download.get_mapped_range(..)?);
    let truth = phantom::rasterise(&phantom, [128, 128], 0.36 / 128.0, 4);
    let psnr = equilens::metrics::psnr(&truth.pixels, &values)?;
    println!("FBP on {}: {psnr:.1} dB", gpu.label());
    Ok(())
}
