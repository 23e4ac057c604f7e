//! The names of benchmarks: a benchmark is its name, and any name of these forms can be asked for.

use crate::error::{Error, Result};
use crate::group::Group;
use crate::shape::{Detector, Shape};
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

impl Pass {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "forward" => Pass::Forward,
            "input_gradient" => Pass::InputGradient,
            "weight_gradient" => Pass::WeightGradient,
            _ => return None,
        })
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pass::Forward => "forward",
            Pass::InputGradient => "input_gradient",
            Pass::WeightGradient => "weight_gradient",
        })
    }
}

/// Which direction of an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The operator.
    Forward,
    /// Its exact transpose.
    Adjoint,
}

impl Direction {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "forward" => Direction::Forward,
            "adjoint" => Direction::Adjoint,
            _ => return None,
        })
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Forward => "forward",
            Direction::Adjoint => "adjoint",
        })
    }
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
    /// `symmetric_conv/GROUP/PASS/INFIELDS-OUTFIELDS/SIZE`: the 3x3 convolution between regular
    /// fields that commutes with the group, replicate padding, batch 1.
    Symmetric {
        /// Which map.
        pass: Pass,
        /// Between what.
        layer: SymmetricConvolution,
    },
    /// `ray/DIRECTION/[FAN/][BATCHx]SIZE-VIEWS[-BINS]`: the ray transform of parallel rays, or of a fan
    /// with the detector `fan_flat` or `fan_curved`.
    Ray {
        /// Which direction.
        direction: Direction,
        /// Of what.
        rays: Rays,
    },
    /// `warp/DIRECTION/SIZE`: one image turned by half a radian about its centre.
    Warp {
        /// Which direction.
        direction: Direction,
        /// Rows and columns.
        size: usize,
    },
    /// `fft2/SIZE` or `fft2/ROWSxCOLUMNS`: the unitary Fourier transform of one complex plane.
    Fourier {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// `step/SCAN/GROUP/WIDTH/SIZE`: one training step of learned proximal gradient, 8 blocks,
    /// batch 1, optimiser included.
    Step(Network),
    /// `infer/SCAN/GROUP/WIDTH/SIZE`: the reconstruction alone, as deployed: frozen to
    /// plain convolutions if the group is off the pixel grid.
    Infer(Network),
}

/// The images and rays of a `ray` benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rays {
    /// The detector of a fan; `None` for parallel rays.
    pub fan: Option<Detector>,
    /// Images.
    pub n: usize,
    /// Rows and columns.
    pub size: usize,
    /// Views.
    pub views: usize,
    /// Bins, where they are not `ceil(sqrt(2) SIZE)`.
    pub bins: Option<usize>,
}

/// The layer of a `symmetric_conv` benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SymmetricConvolution {
    /// Symmetry group, one of [`Group::ON_GRID`].
    pub group: Group,
    /// Regular fields that come in.
    pub input: usize,
    /// Regular fields that go out.
    pub output: usize,
    /// Rows and columns.
    pub size: usize,
}

impl SymmetricConvolution {
    /// The shapes of the ordinary convolution that it expands to: image, kernel, output.
    pub(super) fn expanded(self) -> [Shape; 3] {
        let order = self.group.order();
        convolution_shapes(order * self.input, order * self.output, self.size)
    }
}

/// What a network reconstructs from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scan {
    /// `ct`: sinograms of 50 views.
    Ct,
    /// `mri`: k-space of one coil, a fifth of its lines.
    Mri,
}

impl Scan {
    fn name(self) -> &'static str {
        match self {
            Scan::Ct => "ct",
            Scan::Mri => "mri",
        }
    }
}

/// The network of a benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// What it reconstructs from.
    pub scan: Scan,
    /// Symmetry group.
    pub group: Group,
    /// Channels inside a block.
    pub width: usize,
    /// Rows and columns.
    pub size: usize,
}

/// The benchmarks that `bench` knows by itself: those that it runs unasked (together under a minute
/// on two processor cores without a GPU), and the larger ones.
const CATALOGUE: [(&str, bool); 49] = [
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
    ("symmetric_conv/C4/forward/24-24/64", true),
    ("symmetric_conv/C4/input_gradient/24-24/64", true),
    ("symmetric_conv/C4/weight_gradient/24-24/64", true),
    ("symmetric_conv/C4/forward/24-24/128", true),
    ("symmetric_conv/C4/input_gradient/24-24/128", true),
    ("symmetric_conv/C4/weight_gradient/24-24/128", true),
    ("symmetric_conv/C2/forward/48-48/128", false),
    ("symmetric_conv/D4/forward/12-12/128", false),
    ("ray/forward/128-50", true),
    ("ray/adjoint/128-50", true),
    ("ray/forward/512-50", true),
    ("ray/adjoint/512-50", true),
    ("ray/forward/512-50-728", false),
    ("ray/adjoint/512-50-728", false),
    ("ray/forward/4x128-50", false),
    ("ray/adjoint/4x128-50", false),
    ("ray/forward/fan_flat/512-50", false),
    ("ray/adjoint/fan_flat/512-50", false),
    ("ray/forward/fan_curved/512-50", false),
    ("ray/adjoint/fan_curved/512-50", false),
    ("warp/forward/128", true),
    ("warp/adjoint/128", true),
    ("warp/forward/512", true),
    ("warp/adjoint/512", true),
    ("fft2/320", true),
    ("fft2/512", true),
    ("fft2/210x96", false),
    ("step/ct/C1/32/64", true),
    ("step/ct/C4/32/64", true),
    ("step/ct/C1/96/128", false),
    ("step/ct/C4/96/128", false),
    ("step/mri/C1/32/64", false),
    ("step/mri/C4/32/64", false),
    ("infer/mri/C4/32/64", false),
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
                "no benchmark begins with '{prefix}': the families are conv3x3/, symmetric_conv/, ray/, warp/, fft2/, step/ and infer/"
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
            Benchmark::Symmetric { .. } => "symmetric_conv",
            Benchmark::Ray { .. } => "ray",
            Benchmark::Warp { .. } => "warp",
            Benchmark::Fourier { .. } => "fft2",
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
            } => write!(f, "{family}/{pass}/{input}-{output}/{size}"),
            Benchmark::Symmetric { pass, layer } => {
                let SymmetricConvolution {
                    group,
                    input,
                    output,
                    size,
                } = layer;
                write!(f, "{family}/{group}/{pass}/{input}-{output}/{size}")
            }
            Benchmark::Ray { direction, rays } => {
                write!(f, "{family}/{direction}/")?;
                f.write_str(match rays.fan {
                    None => "",
                    Some(Detector::Flat) => "fan_flat/",
                    Some(Detector::Curved) => "fan_curved/",
                })?;
                if rays.n > 1 {
                    write!(f, "{}x", rays.n)?;
                }
                write!(f, "{}-{}", rays.size, rays.views)?;
                rays.bins.map_or(Ok(()), |bins| write!(f, "-{bins}"))
            }
            Benchmark::Warp { direction, size } => write!(f, "{family}/{direction}/{size}"),
            Benchmark::Fourier { rows, columns } if rows == columns => {
                write!(f, "{family}/{rows}")
            }
            Benchmark::Fourier { rows, columns } => write!(f, "{family}/{rows}x{columns}"),
            Benchmark::Step(n) | Benchmark::Infer(n) => {
                let scan = n.scan.name();
                write!(f, "{family}/{scan}/{}/{}/{}", n.group, n.width, n.size)
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
                "no benchmark is named '{name}' (the nearest is {nearest}); the forms are conv3x3/forward|input_gradient|weight_gradient/IN-OUT/SIZE, symmetric_conv/GROUP/forward|input_gradient|weight_gradient/INFIELDS-OUTFIELDS/SIZE with a group that maps the pixel grid to itself, ray/forward|adjoint/[fan_flat/|fan_curved/][BATCHx]SIZE-VIEWS[-BINS] with a batch of 2 to 64, warp/forward|adjoint/SIZE, fft2/SIZE, fft2/ROWSxCOLUMNS, step/ct|mri/GROUP/WIDTH/SIZE and infer/ct|mri/GROUP/WIDTH/SIZE, with channels up to 1024 (WIDTH a multiple of the group's order), sizes of 8 to 1024 (fft2: 1 to 4096) and up to 4096 views and bins"
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
                pass: Pass::named(pass)?,
                input: channels(input)?,
                output: channels(output)?,
                size: size(extent)?,
            }
        }
        ["symmetric_conv", group, pass, pair, extent] => {
            let (input, output) = pair.split_once('-')?;
            let group = self::group(group).filter(|g| Group::ON_GRID.contains(g))?;
            let fields = |text: &str| number(text, 1..=1024 / group.order());
            Benchmark::Symmetric {
                pass: Pass::named(pass)?,
                layer: SymmetricConvolution {
                    group,
                    input: fields(input)?,
                    output: fields(output)?,
                    size: size(extent)?,
                },
            }
        }
        ["ray", direction, fan @ .., extents] => {
            let fan = match fan {
                [] => None,
                ["fan_flat"] => Some(Detector::Flat),
                ["fan_curved"] => Some(Detector::Curved),
                _ => return None,
            };
            let (n, extents) = match extents.split_once('x') {
                Some((n, extents)) => (number(n, 2..=64)?, extents),
                None => (1, *extents),
            };
            let (extent, rest) = extents.split_once('-')?;
            let (views, bins) = match rest.split_once('-') {
                Some((views, bins)) => (views, Some(number(bins, 1..=4096)?)),
                None => (rest, None),
            };
            let size = size(extent)?;
            // One spelling for each benchmark.
            if bins == Some(default_bins(size)) {
                return None;
            }
            Benchmark::Ray {
                direction: Direction::named(direction)?,
                rays: Rays {
                    fan,
                    n,
                    size,
                    views: number(views, 1..=4096)?,
                    bins,
                },
            }
        }
        ["warp", direction, extent] => Benchmark::Warp {
            direction: Direction::named(direction)?,
            size: size(extent)?,
        },
        ["fft2", extents] => {
            let extent = |text: &str| number(text, 1..=4096);
            let (rows, columns) = match extents.split_once('x') {
                Some((rows, columns)) => (extent(rows)?, extent(columns)?),
                None => (extent(extents)?, extent(extents)?),
            };
            // One spelling for each benchmark.
            if rows == columns && extents.contains('x') {
                return None;
            }
            Benchmark::Fourier { rows, columns }
        }
        [
            family @ ("step" | "infer"),
            scan @ ("ct" | "mri"),
            group,
            width,
            extent,
        ] => {
            let network = Network {
                scan: match *scan {
                    "ct" => Scan::Ct,
                    _ => Scan::Mri,
                },
                group: self::group(group)?,
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

/// A group in its one spelling.
fn group(text: &str) -> Option<Group> {
    let group = text.parse().ok();
    group.filter(|group: &Group| group.is_finite() && group.to_string() == text)
}

/// Bins of a detector that spans the diagonal of an image of `size` rows and columns.
pub(super) fn default_bins(size: usize) -> usize {
    (std::f64::consts::SQRT_2 * size as f64).ceil() as usize
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
            Benchmark::with_prefix("dct"),
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
            "step/pet/C4/32/64",
            "ray/forward/128-50/1",
            "ray/forward/1x512-50",
            "ray/forward/65x512-50",
            "ray/forward/x512-50",
            "ray/forward/512-50-725",
            "ray/forward/512-50-",
            "ray/forward/fan/512-50",
            "ray/forward/fan_flat/fan_flat/512-50",
            "ray/forward/fan_flat/512-50-725",
            "ray/fan_flat/512-50",
            "warp/backward/64",
            "warp/forward/64-1",
            "symmetric_conv/C3/forward/24-24/64",
            "symmetric_conv/C4/forward/257-24/64",
            "symmetric_conv/c4/forward/24-24/64",
            "fft2/320x320",
            "fft2/0x320",
            "fft2/320/320",
            "fft2/4097",
        ] {
            let error = name.parse::<Benchmark>().unwrap_err();
            assert!(matches!(error, Error::Config(_)), "{name}");
        }
        let error = "ray/foward/128-50".parse::<Benchmark>().unwrap_err();
        assert!(error.to_string().contains("ray/forward/128-50"), "{error}");
    }
}
