//! `burn-peer NAME [--samples N] [--serve]`: times in burn (wgpu backend) what `equilens bench NAME`
//! times. The README beside `Cargo.toml` says how the two are compared.

mod ray;
mod step;

use burn::tensor::module::{conv_transpose2d, conv2d, conv2d_weight_backward};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, DeviceKind, Distribution, Tensor};
use serde_json::json;
use std::io::BufRead;
use std::time::Instant;

/// Calls before the first sample, the very first with compiling and autotuning not counted.
const WARM_UP: usize = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let serve = arguments.iter().any(|a| a == "--serve");
    let samples = (arguments.iter().position(|a| a == "--samples"))
        .and_then(|at| arguments.get(at + 1)?.parse().ok())
        .unwrap_or(9);
    let Some(name) = arguments.first().filter(|name| !name.starts_with('-')) else {
        eprintln!("usage: burn-peer NAME [--samples N] [--serve]");
        std::process::exit(2);
    };
    // CUBECL_WGPU_DEFAULT_DEVICE chooses among several adapters.
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    let Some(mut work) = work(name, &device) else {
        eprintln!(
            "burn-peer knows conv3x3/forward|input_gradient|weight_gradient/IN-OUT/SIZE and step/ct/C1|C2|C4/WIDTH/SIZE, not '{name}'"
        );
        std::process::exit(2);
    };
    let mut sample = || {
        let start = Instant::now();
        // Kept until the work is done: operations on dropped tensors need not run.
        let _result = work();
        device.sync().expect("the device works");
        1e3 * start.elapsed().as_secs_f64()
    };
    let first_ms = sample();
    (0..WARM_UP).for_each(|_| drop(sample()));
    let mut times = Vec::new();
    if serve {
        println!("{}", json!({"ready": true, "name": name, "peer": "burn"}));
        for line in std::io::stdin().lock().lines() {
            if line.is_err() {
                break;
            }
            times.push(sample());
            println!("{}", json!({"ms": times.last()}));
        }
    } else {
        times.extend((0..samples).map(|_| sample()));
    }
    times.sort_by(f64::total_cmp);
    let (Some(min), Some(max)) = (times.first(), times.last()) else {
        return;
    };
    let middle = times.len() / 2;
    let median = match times.len() % 2 {
        0 => 0.5 * (times[middle - 1] + times[middle]),
        _ => times[middle],
    };
    let record = json!({
        "name": name, "peer": "burn", "median_ms": median, "min_ms": min, "max_ms": max,
        "samples": times.len(), "first_ms": first_ms, "version": "burn 0.22, wgpu, autotune, fusion",
        "threads": std::thread::available_parallelism().map_or(0, usize::from),
    });
    println!("{record}");
}

/// One call of a benchmark: a convolution's result, or nothing of a step, which keeps its own.
type Work = Box<dyn FnMut() -> Option<Tensor<4>>>;

fn work(name: &str, device: &Device) -> Option<Work> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["conv3x3", pass, channels, size] => {
            let (input, output) = channels.split_once('-')?;
            let shape = [input, output, size].map(|text| text.parse().ok());
            convolution(pass, [shape[0]?, shape[1]?, shape[2]?], device)
        }
        ["step", "ct", group, width, size] => {
            let order = match *group {
                "C1" => 1,
                "C2" => 2,
                "C4" => 4,
                _ => return None,
            };
            let mut step = step::Step::new(order, width.parse().ok()?, size.parse().ok()?, device);
            Some(Box::new(move || {
                step.run();
                None
            }))
        }
        _ => None,
    }
}

fn convolution(pass: &str, [input, output, size]: [usize; 3], device: &Device) -> Option<Work> {
    let normal =
        |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), device);
    let x = normal([1, input, size, size]);
    let w = normal([output, input, 3, 3]);
    let dy = normal([1, output, size, size]);
    let options = || ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    let work: Work = match pass {
        "forward" => Box::new(move || Some(conv2d(x.clone(), w.clone(), None, options()))),
        // What burn's own rule for the gradient calls.
        "input_gradient" => Box::new(move || {
            let options = ConvTransposeOptions::new([1, 1], [1, 1], [0, 0], [1, 1], 1);
            Some(conv_transpose2d(dy.clone(), w.clone(), None, options))
        }),
        "weight_gradient" => Box::new(move || {
            let (x, w, dy) = (x.clone(), w.clone(), dy.clone());
            Some(conv2d_weight_backward(x, w, dy, options()))
        }),
        _ => return None,
    };
    Some(work)
}
