//! The names of benchmarks: a benchmark is its name, and any name of these forms can be asked for.

use crate::error::{Error, Result};
use crate::group::Group;
use crate::shape::Shape;
use std::fmt;
use std::str::FromStr;

/// Which map of a convolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// The convolution.
    Forward,
    /// Its transpose in the image.
    InputGradient,
    /// Its transpose in the kernel.
    WeightGradient,
}

/// Which direction of an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The operator.
    Forward,
    /// Its exact transpose.
    Adjoint,
}

/// One benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Benchmark {
    /// `conv3x3/PASS/IN-OUT/SIZE`: a 3x3 convolution with replicate padding, batch 1.
    Convolution {
        /// Which map.
        pass: Pass,
        /// Input channels.
        input: usize,
        /// Output channels.
        output: usize,
        /// Rows and columns.
        size: usize,
    },
    /// `ray/DIRECTION/SIZE-VIEWS`: the ray transform on `ceil(sqrt(2) SIZE)` bins.
    Ray {
        /// Which direction.
        direction: Direction,
        /// Rows and columns.
        size: usize,
        /// Views.
        views: usize,
    },
    /// `step/ct/GROUP/WIDTH/SIZE`: one training step of learned proximal gradient, 8 blocks,
    /// 50 views, batch 1, optimiser included.
    Step(Network),
    /// `infer/ct/GROUP/WIDTH/SIZE`: the reconstruction alone, frozen to plain convolutions.
    Infer(Network),
}

/// The network of a benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Symmetry group.
    pub group: Group,
    /// Channels inside a block.
    pub width: usize,
    /// Rows and columns.
    pub size: usize,
}

/// The benchmarks that `bench` knows by itself: those that it runs unasked (together under a minute
/// on two processor cores without a GPU), and the larger ones.
const CATALOGUE: [(&str, bool); 23] = [
    ("conv3x3/forward/96-96/64", true),
    ("conv3x3/input_gradient/96-96/64", true),
    ("conv3x3/weight_gradient/96-96/64", true),
    ("conv3x3/forward/96-96/128", true),
    ("conv3x3/input_gradient/96-96/128", true),
    ("conv3x3/weight_gradient/96-96/128", true),
    ("conv3x3/forward/7-96/128", true),
    ("conv3x3/input_gradient/7-96/128", true),
    ("conv3x3/weight_gradient/7-96/128", true),
    ("conv3x3/forward/96-6/128", true),
    ("conv3x3/input_gradient/96-6/128", true),
    ("conv3x3/weight_gradient/96-6/128", true),
    ("ray/forward/128-50", true),
    ("ray/adjoint/128-50", true),
    ("ray/forward/512-50", true),
    ("ray/adjoint/512-50", true),
    ("step/ct/C1/32/64", true),
    ("step/ct/C4/32/64", true),
    ("step/ct/C1/96/128", false),
    ("step/ct/C4/96/128", false),
    ("infer/ct/C4/32/64", true),
    ("infer/ct/C1/96/128", false),
    ("infer/ct/C4/96/128", false),
];

impl Benchmark {
    /// Those that run unasked.
    pub fn defaults() -> Vec<Benchmark> {
        Self::catalogue(|_, unasked| unasked)
    }

    /// Those of the catalogue whose name begins with `prefix`.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none.
    pub fn with_prefix(prefix: &str) -> Result<Vec<Benchmark>> {
        let found = Self::catalogue(|name, _| name.starts_with(prefix));
        if found.is_empty() {
            return Err(Error::Config(format!(
                "no benchmark begins with '{prefix}': the families are conv3x3/, ray/, step/ and infer/"
            )));
        }
        Ok(found)
    }

    fn catalogue(keep: impl Fn(&str, bool) -> bool) -> Vec<Benchmark> {
        let kept = CATALOGUE
            .iter()
            .filter(|(name, unasked)| keep(name, *unasked));
        kept.filter_map(|(name, _)| name.parse().ok()).collect()
    }

    /// The first part of the name: benchmarks of one family are measured in turns.
    pub fn family(self) -> &'static str {
        match self {
            Benchmark::Convolution { .. } => "conv3x3",
            Benchmark::Ray { .. } => "ray",
            Benchmark::Step(_) => "step",
            Benchmark::Infer(_) => "infer",
        }
    }
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = self.family();
        match self {
            Benchmark::Convolution {
                pass,
                input,
                output,
                size,
            } => {
                let pass = match pass {
                    Pass::Forward => "forward",
                    Pass::InputGradient => "input_gradient",
                    Pass::WeightGradient => "weight_gradient",
                };
                write!(f, "{family}/{pass}/{input}-{output}/{size}")
            }
            Benchmark::Ray {
                direction,
                size,
                views,
            } => {
                let direction = match direction {
                    Direction::Forward => "forward",
                    Direction::Adjoint => "adjoint",
                };
                write!(f, "{family}/{direction}/{size}-{views}")
            }
            Benchmark::Step(n) | Benchmark::Infer(n) => {
                write!(f, "{family}/ct/{}/{}/{}", n.group, n.width, n.size)
            }
        }
    }
}

impl FromStr for Benchmark {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        parse(name).ok_or_else(|| {
            let nearest = (CATALOGUE.iter())
                .min_by_key(|(known, _)| strsim::damerau_levenshtein(known, name))
                .map_or("", |(known, _)| known);
            Error::Config(format!(
                "no benchmark is named '{name}' (the nearest is {nearest}); the forms are conv3x3/forward|input_gradient|weight_gradient/IN-OUT/SIZE, ray/forward|adjoint/SIZE-VIEWS, step/ct/GROUP/WIDTH/SIZE and infer/ct/GROUP/WIDTH/SIZE, with channels up to 1024 (WIDTH a multiple of the group's order), sizes of 8 to 1024 and up to 4096 views"
            ))
        })
    }
}

fn parse(name: &str) -> Option<Benchmark> {
    let number = |text: &str, range: std::ops::RangeInclusive<usize>| {
        let number = text.parse().ok().filter(|n| range.contains(n))?;
        // One spelling for each benchmark.
        (text == format!("{number}")).then_some(number)
    };
    let channels = |text: &str| number(text, 1..=1024);
    let size = |text: &str| number(text, 8..=1024);
    let parts: Vec<&str> = name.split('/').collect();
    Some(match parts.as_slice() {
        ["conv3x3", pass, pair, extent] => {
            let (input, output) = pair.split_once('-')?;
            Benchmark::Convolution {
                pass: match *pass {
                    "forward" => Pass::Forward,
                    "input_gradient" => Pass::InputGradient,
                    "weight_gradient" => Pass::WeightGradient,
                    _ => return None,
                },
                input: channels(input)?,
                output: channels(output)?,
                size: size(extent)?,
            }
        }
        ["ray", direction, pair] => {
            let (extent, views) = pair.split_once('-')?;
            Benchmark::Ray {
                direction: match *direction {
                    "forward" => Direction::Forward,
                    "adjoint" => Direction::Adjoint,
                    _ => return None,
                },
                size: size(extent)?,
                views: number(views, 1..=4096)?,
            }
        }
        [family @ ("step" | "infer"), "ct", group, width, extent] => {
            let network = Network {
                group: group
                    .parse()
                    .ok()
                    .filter(|g: &Group| g.to_string() == *group)?,
                width: channels(width)?,
                size: size(extent)?,
            };
            if !network.width.is_multiple_of(network.group.order()) {
                return None;
            }
            match *family {
                "step" => Benchmark::Step(network),
                _ => Benchmark::Infer(network),
            }
        }
        _ => return None,
    })
}

/// The shapes of a convolution benchmark: image, kernel, output.
pub(super) fn convolution_shapes(input: usize, output: usize, size: usize) -> [Shape; 3] {
    [
        Shape::new(1, input, size, size),
        Shape::new(output, input, 3, 3),
        Shape::new(1, output, size, size),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_catalogued_name_reads_back() {
        for (name, _) in CATALOGUE {
            assert_eq!(name.parse::<Benchmark>().unwrap().to_string(), name);
        }
        assert!(Benchmark::defaults().len() < CATALOGUE.len());
        assert_eq!(Benchmark::with_prefix("step/ct/C4").unwrap().len(), 2);
        assert!(matches!(
            Benchmark::with_prefix("fft"),
            Err(Error::Config(_))
        ));
    }

    #[test]
    fn other_names_are_refused_with_the_nearest() {
        for name in [
            "",
            "conv3x3",
            "conv3x3/forward/96/128",
            "conv3x3/forward/0-96/128",
            "conv3x3/forward/96-96/99999999999999999999",
            "conv3x3/forward/96-96/0128",
            "ray/forward/128-0",
            "step/ct/C4/30/64",
            "step/ct/X4/32/64",
            "step/mri/C4/32/64",
            "ray/forward/128-50/1",
        ] {
            let error = name.parse::<Benchmark>().unwrap_err();
            assert!(matches!(error, Error::Config(_)), "{name}");
        }
        let error = "ray/foward/128-50".parse::<Benchmark>().unwrap_err();
        assert!(error.to_string().contains("ray/forward/128-50"), "{error}");
    }
}
