//! The names under which the variants of a kernel can be asked for.

use super::ray::geometry;
use crate::bench::name::{Benchmark, Direction, Pass, SymmetricConvolution, convolution_shapes};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::group::{FieldKind, KernelBasis, Representation, SymmetricConv};
use crate::kernels::conv2d::{Convolution, ImageAlgorithm, ImageProblem, WeightAlgorithm};
use crate::kernels::fourier::{FourierAlgorithm, FourierProblem};
use crate::kernels::ray_transform::{RayMap, RayProblem, Reading};
use crate::kernels::symmetric_conv::{
    SymmetricAlgorithm, SymmetricImageProblem, SymmetricProblem, SymmetricWeightAlgorithm,
};
use crate::kernels::{Capabilities, Family, Forced};
use crate::shape::{Fourier, Shape};
use crate::tape::plan::Options;
use std::sync::Arc;

/// The names of a kernel's variants, and what forces each.
type Variants = Vec<(String, Forced)>;

/// What computes `benchmark` by its variant `name`.
///
/// # Errors
/// [`Error::Config`] with the names that there are.
pub(in crate::bench) fn named(gpu: &Gpu, benchmark: Benchmark, name: &str) -> Result<Options> {
    let all = all(gpu, benchmark)?;
    if let Some((_, forced)) = all.iter().find(|(known, _)| known == name) {
        return Ok(Options {
            forced: *forced,
            ..Options::default()
        });
    }
    let names: Vec<String> = all.iter().map(|(known, _)| format!("'{known}'")).collect();
    Err(Error::Config(match names.as_slice() {
        [] => format!(
            "{benchmark} runs many kernels, which have no one variant; compare the variants of a single kernel, such as conv3x3/forward/96-96/128"
        ),
        names => format!(
            "{benchmark} has no variant '{name}' on this adapter; it has {}",
            names.join(", ")
        ),
    }))
}

/// All of them, the default first; none for whole networks.
fn all(gpu: &Gpu, benchmark: Benchmark) -> Result<Variants> {
    let capabilities = Capabilities::of(gpu);
    Ok(match benchmark {
        Benchmark::Convolution {
            pass,
            input,
            output,
            size,
        } => convolution(capabilities, pass, convolution_shapes(input, output, size)),
        Benchmark::Symmetric { pass, layer } => symmetric(capabilities, pass, layer)?,
        Benchmark::Ray { direction, rays } => {
            let problem = RayProblem {
                map: match direction {
                    Direction::Forward => RayMap::Forward,
                    Direction::Adjoint => RayMap::Adjoint,
                },
                geometry: Arc::new(geometry(rays)),
                n: rays.n,
            };
            of_family(capabilities, &problem, |reading: Reading| Forced {
                reading: Some(reading),
                ..Default::default()
            })
        }
        Benchmark::Fourier { rows, columns } => {
            let problem = FourierProblem {
                shape: super::fourier::shape([rows, columns]),
                transform: Fourier::planes(),
            };
            of_family(capabilities, &problem, |algorithm: FourierAlgorithm| {
                Forced {
                    fourier: Some(algorithm),
                    ..Default::default()
                }
            })
        }
        Benchmark::Warp { .. } | Benchmark::Step(_) | Benchmark::Infer(_) => Vec::new(),
    })
}

fn convolution(capabilities: Capabilities, pass: Pass, [x, w, _]: [Shape; 3]) -> Variants {
    let problem = Convolution {
        x,
        outputs: w.n(),
        window: super::convolution::WINDOW,
    };
    if pass == Pass::WeightGradient {
        return of_family(capabilities, &problem, |algorithm: WeightAlgorithm| {
            Forced {
                weights: Some(algorithm),
                ..Default::default()
            }
        });
    }
    let problem = ImageProblem {
        transposed: pass == Pass::InputGradient,
        convolution: problem,
    };
    of_family(capabilities, &problem, |algorithm: ImageAlgorithm| Forced {
        images: Some(algorithm),
        ..Default::default()
    })
}

fn symmetric(
    capabilities: Capabilities,
    pass: Pass,
    layer: SymmetricConvolution,
) -> Result<Variants> {
    let [x, w, y] = layer.expanded();
    if layer.group.order() == 1 {
        return Ok(convolution(capabilities, pass, [x, w, y]));
    }
    let (regular, window) = (Representation::Regular, super::convolution::WINDOW);
    let basis = KernelBasis::complete(layer.group, &regular, &regular, window.size)?;
    let kind = FieldKind::Regular;
    let conv = SymmetricConv::new(layer.group, kind, kind, basis, window.padding)?;
    let problem = SymmetricProblem {
        conv: Arc::new(conv),
        x,
        outputs: layer.output,
    };
    if pass == Pass::WeightGradient {
        let forced = |algorithm: SymmetricWeightAlgorithm| Forced {
            symmetric_weights: Some(algorithm),
            ..Default::default()
        };
        return Ok(of_family(capabilities, &problem, forced));
    }
    let problem = SymmetricImageProblem {
        transposed: pass == Pass::InputGradient,
        convolution: problem,
    };
    let forced = |algorithm: SymmetricAlgorithm| Forced {
        symmetric: Some(algorithm),
        ..Default::default()
    };
    Ok(of_family(capabilities, &problem, forced))
}

fn of_family<F: Family>(
    capabilities: Capabilities,
    problem: &F::Problem,
    forced: fn(F) -> Forced,
) -> Variants {
    let all = F::all(capabilities, problem).into_iter();
    all.map(|candidate| (candidate.to_string(), forced(candidate)))
        .collect()
}
