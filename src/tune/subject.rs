//! A problem with its candidates, whatever its family.

use crate::error::Result;
use crate::kernels::{Capabilities, Family, Launch, Lowered};
use crate::shader;
use crate::shape::Shape;

/// An operation that several kernels compute.
#[derive(Clone, Debug)]
pub struct Subject {
    operation: String,
    pub(super) candidates: Vec<Candidate>,
    pub(super) inputs: Vec<Shape>,
    pub(super) output: Shape,
}

/// One way to compute it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub name: String,
    pub lowered: Lowered,
}

impl Subject {
    /// An operation on arrays of the shapes `inputs` with a result of the shape `output`, and its
    /// candidates by name: first the default, which decides what is right.
    pub fn new(
        operation: String,
        candidates: impl IntoIterator<Item = (String, Lowered)>,
        inputs: Vec<Shape>,
        output: Shape,
    ) -> Self {
        let candidates = candidates.into_iter();
        Subject {
            operation,
            candidates: candidates
                .map(|(name, lowered)| Candidate { name, lowered })
                .collect(),
            inputs,
            output,
        }
    }

    /// The operation that `problem` is measured as: family, structure and rounded extents.
    pub fn name<F: Family>(problem: &F::Problem) -> String {
        format!("{} {}", F::NAME, F::representative(problem))
    }

    /// What is measured for `problem`: its representative, in every way that the device has.
    pub fn of<F: Family>(capabilities: Capabilities, problem: &F::Problem) -> Self {
        let name = Self::name::<F>(problem);
        let problem = F::representative(problem);
        let candidates = F::candidates(capabilities, &problem);
        let ways = candidates
            .iter()
            .map(|a| (a.to_string(), a.lower(&problem)));
        Subject::new(name, ways, F::inputs(&problem), F::output(&problem))
    }

    /// Family, structure and rounded extents.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Floating-point operations of the default.
    pub fn flops(&self) -> u64 {
        let default = self.candidates.first();
        default.map_or(0, |c| c.lowered.launches.iter().map(|l| l.work.flops).sum())
    }

    /// The number of candidates.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there is nothing to choose.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The hash of the candidates' names, sources and dispatches: what was measured is true of
    /// these alone.
    ///
    /// # Errors
    /// [`Error::Shader`](crate::error::Error::Shader) if a source does not compose.
    pub fn sources(&self) -> Result<u64> {
        let mut text = String::new();
        for candidate in &self.candidates {
            text += &candidate.name;
            for launch in &candidate.lowered.launches {
                text += &signature(launch)?;
            }
        }
        Ok(shader::fnv1a(text.as_bytes()))
    }

    /// The candidates by number without those that do exactly what an earlier one does.
    ///
    /// # Errors
    /// As [`Subject::sources`].
    pub(super) fn distinct(&self) -> Result<Vec<usize>> {
        let mut seen: Vec<Vec<String>> = Vec::new();
        let mut distinct = Vec::new();
        for (i, candidate) in self.candidates.iter().enumerate() {
            let launches = candidate.lowered.launches.iter();
            let signatures = launches.map(signature).collect::<Result<Vec<_>>>()?;
            if !seen.contains(&signatures) {
                seen.push(signatures);
                distinct.push(i);
            }
        }
        Ok(distinct)
    }
}

/// Source, checks and workgroups.
fn signature(launch: &Launch) -> Result<String> {
    let source = shader::compose(launch.path, &launch.variant)?.hash;
    Ok(format!(
        "|{source:016x} {:?} {:?} {:?}",
        launch.trust, launch.groups, launch.params
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{FieldKind, Group, KernelBasis, Representation, SymmetricConv};
    use crate::kernels::conv2d::{Convolution, ImageAlgorithm, ImageProblem, WeightAlgorithm};
    use crate::kernels::fourier::{FourierAlgorithm, FourierProblem};
    use crate::kernels::ray_transform::{RayMap, RayProblem, Reading};
    use crate::kernels::symmetric_conv::{
        SymmetricAlgorithm, SymmetricImageProblem, SymmetricProblem, SymmetricWeightAlgorithm,
    };
    use crate::kernels::{Forced, WEBGPU_MEMORY};
    use crate::shape::{Fourier, Padding, RayGeometry, Window};
    use std::sync::Arc;

    fn lavapipe() -> Capabilities {
        Capabilities {
            subgroup: Some(8),
            software: true,
            memory: 32 << 10,
            ..Capabilities::default()
        }
    }

    fn image(channels: [usize; 2], size: usize, transposed: bool) -> ImageProblem {
        ImageProblem {
            transposed,
            convolution: Convolution {
                x: Shape::new(1, channels[0], size, size),
                outputs: channels[1],
                window: Window::same(3, Padding::Replicate),
            },
        }
    }

    fn conv(channels: [usize; 2], size: usize) -> Subject {
        Subject::of::<ImageAlgorithm>(lavapipe(), &image(channels, size, false))
    }

    #[test]
    fn keys_tell_structure_apart_and_round_extents() {
        let subject = conv([5, 7], 24);
        assert_eq!(
            subject.operation(),
            "conv2d forward 5-7 3x3 replicate on 1x32x32"
        );
        let same = conv([5, 7], 32);
        assert_eq!(same.operation(), subject.operation());
        assert_eq!(same.sources().unwrap(), subject.sources().unwrap());
        // Rows that are read one by one are another matter.
        assert_ne!(conv([5, 7], 31).operation(), subject.operation());
        assert_ne!(conv([5, 8], 24).operation(), subject.operation());
        let gradient = Subject::of::<ImageAlgorithm>(lavapipe(), &image([5, 7], 24, true));
        assert_ne!(gradient.operation(), subject.operation());
    }

    #[test]
    fn an_edited_source_changes_the_key() {
        let subject = conv([5, 7], 24);
        let before = subject.sources().unwrap();
        let mut edited = subject.clone();
        let launch = edited.candidates[1].lowered.launches.last_mut().unwrap();
        launch.variant = launch.variant.clone().constant("ROWS", 99u32);
        assert_ne!(edited.sources().unwrap(), before);
        let mut renamed = subject.clone();
        renamed.candidates[1].name += "2";
        assert_ne!(renamed.sources().unwrap(), before);
        let mut shorter = subject;
        shorter.candidates.pop();
        assert_ne!(shorter.sources().unwrap(), before);
    }

    #[test]
    fn candidates_are_few_have_names_of_their_own_and_begin_with_the_default() {
        fn check<F: Family>(problem: &F::Problem) {
            for capabilities in [
                lavapipe(),
                Capabilities::default(),
                Capabilities {
                    subgroup: Some(32),
                    memory: 48 << 10,
                    ..Capabilities::default()
                },
            ] {
                let candidates = F::candidates(capabilities, problem);
                assert_eq!(candidates[0], F::default_for(capabilities, problem));
                assert!(candidates.len() <= 30, "{}", candidates.len());
                for (i, candidate) in candidates.iter().enumerate() {
                    let name = candidate.to_string();
                    let found = F::by_name(&name, capabilities, problem);
                    assert_eq!(found, Some(*candidate), "{i}: {name}");
                    let mut forced = Forced::default();
                    candidate.force(&mut forced);
                    assert_eq!(F::forced(&forced), Some(*candidate));
                }
                assert_eq!(F::by_name("slowest", capabilities, problem), None);
                let representative = F::representative(problem);
                let again = F::representative(&representative);
                assert_eq!(again.to_string(), representative.to_string());
            }
        }
        for transposed in [false, true] {
            check::<ImageAlgorithm>(&image([96, 96], 30, transposed));
            check::<ImageAlgorithm>(&image([1, 2], 4, transposed));
            let mut strided = image([4, 4], 9, transposed);
            strided.convolution.window.stride = 2;
            check::<ImageAlgorithm>(&strided);
        }
        check::<WeightAlgorithm>(&image([96, 96], 30, false).convolution);
        let mut wide = image([4, 4], 9, false).convolution;
        wide.window.size = 7;
        check::<WeightAlgorithm>(&wide);
        for shape in [Shape::new(3, 2, 37, 64), Shape::new(1, 4, 1, 1)] {
            check::<FourierAlgorithm>(&FourierProblem {
                shape,
                transform: Fourier::planes().inverse(),
            });
        }
        let beam = RayGeometry::parallel([20, 20], 0.36, 7, 29);
        for map in [
            RayMap::Forward,
            RayMap::Adjoint,
            RayMap::Backproject,
            RayMap::BackprojectTranspose,
        ] {
            check::<Reading>(&RayProblem {
                map,
                geometry: beam.clone().into(),
                n: 3,
            });
        }
    }

    #[test]
    fn candidates_hold_no_more_workgroup_memory_than_the_device_has() {
        fn check<F: Family>(problem: &F::Problem) {
            for memory in [4 << 10, WEBGPU_MEMORY, 32 << 10] {
                let capabilities = Capabilities {
                    memory,
                    ..Capabilities::default()
                };
                let mut most = 0;
                for candidate in F::candidates(capabilities, problem) {
                    for launch in candidate.lower(problem).launches {
                        let composed = shader::compose(launch.path, &launch.variant).unwrap();
                        let held = shader::check(composed).unwrap().interface.workgroup_bytes;
                        assert!(held <= memory, "{candidate}: {held} of {memory}");
                        most = most.max(held);
                    }
                }
                // Where there is more of it, some candidate makes use of it.
                assert!(
                    memory < WEBGPU_MEMORY || 2 * most > memory,
                    "{most} of {memory}"
                );
            }
        }
        let problem = image([96, 96], 32, false);
        check::<ImageAlgorithm>(&problem);
        check::<WeightAlgorithm>(&problem.convolution);
        let group = Group::cyclic(4);
        let basis =
            KernelBasis::complete(group, &Representation::Regular, &Representation::Regular, 3);
        let kind = FieldKind::Regular;
        let conv = SymmetricConv::new(group, kind, kind, basis.unwrap(), Padding::Replicate);
        let convolution = SymmetricProblem {
            conv: Arc::new(conv.unwrap()),
            x: Shape::new(1, 96, 32, 32),
            outputs: 24,
        };
        check::<SymmetricWeightAlgorithm>(&convolution);
        check::<SymmetricAlgorithm>(&SymmetricImageProblem {
            transposed: false,
            convolution,
        });
    }

    #[test]
    fn candidates_that_do_the_same_are_measured_once() {
        // Tiles are halved for few channels, and so 16x4 becomes the 8x8 that is tried anyway.
        let subject = conv([96, 6], 128);
        let distinct = subject.distinct().unwrap();
        assert_eq!(distinct[0], 0);
        assert!(distinct.len() < subject.len());
        let wide = conv([96, 96], 128);
        assert_eq!(wide.distinct().unwrap().len(), wide.len());
    }
}
