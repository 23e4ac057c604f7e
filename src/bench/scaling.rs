//! How the time and memory of a training step grow with the size of its parts.

use super::case::network::{self, Recorded, Settings, UNKNOWN_NORM};
use super::name::{Network, Scan};
use super::statistics::exponent;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::group::Group;
use crate::tape::plan::{Options, Store};
use crate::tune::median;
use serde::Serialize;
use std::time::Instant;

/// The training step from which one number at a time is changed, and that number's values.
const BASE: [(&str, usize); 4] = [("size", 128), ("width", 48), ("blocks", 4), ("batch", 1)];
const AXES: [&[usize]; 4] = [
    &[64, 128, 256, 512],
    &[24, 48, 96],
    &[2, 4, 8],
    &[1, 2, 4, 8],
];
/// The values of a quick run.
const QUICK: [&[usize]; 4] = [&[64, 128, 256], &[24, 48], &[2, 4], &[1, 2]];
const GROUP: Group = Group::cyclic(4);
/// Seconds above which a step is not timed.
const LIMIT: f64 = 30.0;
const QUICK_LIMIT: f64 = 5.0;

/// One training step.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Point {
    /// The value of the axis's number.
    pub value: usize,
    /// Bytes that the plan takes.
    pub peak_bytes: u64,
    /// The same if inner activations are computed again in the backward pass.
    pub recomputed_bytes: u64,
    /// 1e9 floating-point operations.
    pub gflop: f64,
    /// Milliseconds of a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_ms: Option<f64>,
    /// Why there is no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// One number changed, the others as in the base.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Axis {
    /// `size`, `width`, `blocks` or `batch`.
    pub axis: &'static str,
    /// By ascending value.
    pub points: Vec<Point>,
    /// The fitted `e` in `time ~ value^e`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_exponent: Option<f64>,
    /// The fitted `e` in `peak_bytes ~ value^e`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_exponent: Option<f64>,
    /// The same with recomputation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recomputed_memory_exponent: Option<f64>,
}

/// Time and memory of training steps around a base.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Scaling {
    /// The symmetry group of the networks.
    pub group: Group,
    /// Seconds above which a step was not timed.
    pub limit_seconds: f64,
    /// The base: name and value of each number.
    pub base: Vec<(&'static str, usize)>,
    /// One for each number.
    pub axes: Vec<Axis>,
}

/// Measures steps around the base, each the median of `samples`; `quick` leaves the large ones out.
/// Tells `progress` of every point. Memory is that of the plan before anything is allocated, so it
/// is known for steps that are too long or too large to run as well.
///
/// # Errors
/// Those of compiling and running; a network that differs from its twin is no error, but its points
/// are not timed.
pub fn scaling(
    gpu: &Gpu,
    samples: usize,
    quick: bool,
    mut progress: impl FnMut(&str),
) -> Result<Scaling> {
    let (values, limit) = match quick {
        true => (QUICK, QUICK_LIMIT),
        false => (AXES, LIMIT),
    };
    let mut bench = Bench {
        gpu,
        samples,
        limit,
        gflops: None,
        verified: Vec::new(),
        known: Vec::new(),
    };
    let mut axes = Vec::with_capacity(BASE.len());
    for (k, (axis, _)) in BASE.into_iter().enumerate() {
        let mut points = Vec::new();
        for &value in values[k] {
            let mut at = BASE.map(|(_, value)| value);
            at[k] = value;
            let point = bench.point(at, value)?;
            progress(&format!("{axis} {value}: {}", described(&point)));
            points.push(point);
        }
        let fit = |y: fn(&Point) -> Option<f64>| {
            let known = (points.iter()).filter_map(|p| Some((p.value as f64, y(p)?)));
            exponent(&known.collect::<Vec<_>>())
        };
        axes.push(Axis {
            axis,
            time_exponent: fit(|p| p.median_ms),
            memory_exponent: fit(|p| Some(p.peak_bytes as f64)),
            recomputed_memory_exponent: fit(|p| Some(p.recomputed_bytes as f64)),
            points,
        });
    }
    gpu.check_fault()?;
    Ok(Scaling {
        group: GROUP,
        limit_seconds: limit,
        base: BASE.to_vec(),
        axes,
    })
}

fn described(point: &Point) -> String {
    let memory = point.peak_bytes as f64 / f64::from(1 << 20);
    match (&point.skipped, point.median_ms) {
        (Some(why), _) => format!("{memory:.0} MiB, not timed: {why}"),
        (None, Some(ms)) => format!("{memory:.0} MiB, {ms:.0} ms"),
        (None, None) => format!("{memory:.0} MiB"),
    }
}

struct Bench<'a> {
    gpu: &'a Gpu,
    samples: usize,
    /// Seconds.
    limit: f64,
    /// The speed of the last step that ran, in 1e9 operations a second.
    gflops: Option<f64>,
    /// Width and batch of networks that were compared with their twins, and how they differed.
    verified: Vec<([usize; 2], Option<String>)>,
    /// Points measured so far: the base lies on every axis.
    known: Vec<([usize; 4], Point)>,
}

impl Bench<'_> {
    fn point(&mut self, at: [usize; 4], value: usize) -> Result<Point> {
        if let Some((_, known)) = self.known.iter().find(|(other, _)| *other == at) {
            let point = known.clone();
            return Ok(Point { value, ..point });
        }
        let [size, width, blocks, batch] = at;
        let network = Network {
            scan: Scan::Ct,
            group: GROUP,
            width,
            size,
        };
        let settings = Settings {
            blocks,
            batch,
            ..Settings::named(true)
        };
        let store = Store::new(self.gpu);
        let recorded = Recorded::new(network, settings, UNKNOWN_NORM)?;
        let recompute = Settings {
            recompute: true,
            ..settings
        };
        let recomputed = Recorded::new(network, recompute, UNKNOWN_NORM)?.memory(&store)?;
        let mut point = Point {
            value,
            peak_bytes: recorded.memory(&store)?.total(),
            recomputed_bytes: recomputed.total(),
            gflop: recorded.flops(&store)? as f64 / 1e9,
            median_ms: None,
            skipped: None,
        };
        point.skipped = self.obstacle(&point, network, settings, &store)?;
        if point.skipped.is_none() {
            match self.time(network, settings, &store) {
                Ok(ms) => {
                    point.median_ms = Some(ms);
                    self.gflops = Some(point.gflop / ms * 1e3);
                }
                // The plan fits nowhere; smaller ones do.
                Err(error @ Error::OutOfMemory { .. }) => point.skipped = Some(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        self.known.push((at, point.clone()));
        Ok(point)
    }

    /// Milliseconds of a step.
    fn time(&self, network: Network, settings: Settings, store: &Store) -> Result<f64> {
        let norm = network::norm(network, settings, store)?;
        let recorded = Recorded::new(network, settings, norm)?;
        let plan = recorded.compile(store, Options::tuned())?;
        let run = || -> Result<f64> {
            let start = Instant::now();
            plan.submit();
            self.gpu.wait()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        };
        run()?;
        let times = (0..self.samples.max(1))
            .map(|_| run())
            .collect::<Result<Vec<f64>>>()?;
        Ok(median(&times).unwrap_or(f64::NAN))
    }

    /// Why a point is not to be timed.
    fn obstacle(
        &mut self,
        point: &Point,
        network: Network,
        settings: Settings,
        store: &Store,
    ) -> Result<Option<String>> {
        if let Some(gflops) = self.gflops {
            let seconds = point.gflop / gflops;
            if seconds > self.limit {
                return Ok(Some(format!(
                    "about {seconds:.0} s a step at {gflops:.0} GFLOP/s, more than {:.0} s",
                    self.limit
                )));
            }
        }
        if let Some(limit) = self.gpu.memory_limit()
            && point.peak_bytes > limit
        {
            return Ok(Some(format!(
                "more than the {limit} bytes that are allowed"
            )));
        }
        let key = [network.width, settings.batch];
        if let Some((_, found)) = self.verified.iter().find(|(other, _)| *other == key) {
            return Ok(found.clone());
        }
        let options = Options::tuned();
        let mismatch = network::mismatch(network, settings, store, options)?
            .map(|how| format!("it differs from its twin: {how}"));
        self.verified.push((key, mismatch.clone()));
        Ok(mismatch)
    }
}
