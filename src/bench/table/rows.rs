//! The rows of the table and their aims.

use super::{Aim, Row};

/// One row, or one for each peer.
pub(super) struct Spec {
    /// What `--filter` looks at.
    pub key: &'static str,
    /// What is done, in words.
    pub title: &'static str,
    /// What it is compared with, where that is no peer.
    pub against: &'static str,
    pub unit: &'static str,
    pub aim: Aim,
    pub work: Work,
}

/// How a row is measured.
#[derive(Clone, Copy)]
pub(super) enum Work {
    /// A benchmark against peers, in turns.
    Against {
        name: &'static str,
        peers: &'static [(&'static str, Aim)],
    },
    /// Two benchmarks in turns.
    Sides {
        first: &'static str,
        second: &'static str,
    },
    /// The dense-equivalent speed of a benchmark against the adapter's multiply-add ceiling.
    Ceiling { name: &'static str },
    /// The overhead of a replay.
    Overhead { name: &'static str },
    /// The first training step of a fresh process, with empty or filled caches.
    FirstStep { name: &'static str, filled: bool },
    /// Peak memory of a training step.
    Memory {
        name: &'static str,
        peer: &'static str,
    },
    /// From the start of `demo` to its first score.
    Demo,
}

const STEP: &str = "step/ct/C4/96/128";
const BURN: &[(&str, Aim)] = &[("burn", Aim::AtLeast(8.0))];
const RAY: &[(&str, Aim)] = &[
    ("astra", Aim::AtLeast(2.0)),
    ("pytorch", Aim::Told),
    ("scipy", Aim::Told),
];

const FFT: &[(&str, Aim)] = &[("pytorch", Aim::AtLeast(0.25))];

const fn against(
    name: &'static str,
    title: &'static str,
    peers: &'static [(&'static str, Aim)],
) -> Spec {
    Spec {
        key: name,
        title,
        against: "",
        unit: "ms",
        aim: Aim::Told,
        work: Work::Against { name, peers },
    }
}

const fn ceiling(key: &'static str, title: &'static str, aim: Aim, name: &'static str) -> Spec {
    Spec {
        key,
        title,
        against: "multiply-add ceiling",
        unit: "GFLOP/s",
        aim,
        work: Work::Ceiling { name },
    }
}

const fn first_step(key: &'static str, title: &'static str, seconds: f64, filled: bool) -> Spec {
    Spec {
        key,
        title,
        against: "",
        unit: "s",
        aim: Aim::AtMost(seconds),
        work: Work::FirstStep { name: STEP, filled },
    }
}

pub(super) const ROWS: [Spec; 21] = [
    against("conv3x3/forward/96-96/64", "convolution", BURN),
    against(
        "conv3x3/input_gradient/96-96/64",
        "its input gradient",
        BURN,
    ),
    against(
        "conv3x3/weight_gradient/96-96/64",
        "its weight gradient",
        BURN,
    ),
    against("conv3x3/forward/96-96/128", "convolution", BURN),
    against(
        "conv3x3/input_gradient/96-96/128",
        "its input gradient",
        BURN,
    ),
    against(
        "conv3x3/weight_gradient/96-96/128",
        "its weight gradient",
        BURN,
    ),
    first_step(
        "first-step/empty",
        "first training step, caches empty",
        15.0,
        false,
    ),
    first_step(
        "first-step/filled",
        "first training step, caches filled",
        3.0,
        true,
    ),
    ceiling(
        "ceiling/dense/64",
        "ordinary convolution 96-96, 64 x 64",
        Aim::AtLeast(0.6),
        "conv3x3/forward/96-96/64",
    ),
    ceiling(
        "ceiling/dense/128",
        "ordinary convolution 96-96, 128 x 128",
        Aim::AtLeast(0.6),
        "conv3x3/forward/96-96/128",
    ),
    ceiling(
        "ceiling/C4/64",
        "C4 convolution 24-24, 64 x 64, dense-equivalent",
        Aim::AtLeast(1.0),
        "symmetric_conv/C4/forward/24-24/64",
    ),
    ceiling(
        "ceiling/C4/128",
        "C4 convolution 24-24, 128 x 128, dense-equivalent",
        Aim::AtLeast(1.0),
        "symmetric_conv/C4/forward/24-24/128",
    ),
    against(
        STEP,
        "training step, C4",
        &[("pytorch", Aim::AtLeast(1.0)), ("burn", Aim::Told)],
    ),
    Spec {
        key: "step/C4:C1",
        title: "training step, C4 : ordinary",
        against: "ordinary network",
        unit: "ms",
        aim: Aim::AtMost(0.6),
        work: Work::Sides {
            first: STEP,
            second: "step/ct/C1/96/128",
        },
    },
    against("ray/forward/512-50-728", "ray transform", RAY),
    against("ray/adjoint/512-50-728", "its adjoint", RAY),
    against("fft2/320", "2-D FFT 320 x 320", FFT),
    against("fft2/512", "2-D FFT 512 x 512", FFT),
    Spec {
        key: "overhead/64",
        title: "overhead of replaying a training step, C4, 96 channels, 64 x 64",
        against: "its kernels",
        unit: "%",
        aim: Aim::AtMost(5.0),
        work: Work::Overhead {
            name: "step/ct/C4/96/64",
        },
    },
    Spec {
        key: "memory/128",
        title: "peak memory of the training step, C4",
        against: "pytorch",
        unit: "MiB",
        aim: Aim::AtMost(0.7),
        work: Work::Memory {
            name: STEP,
            peer: "pytorch",
        },
    },
    Spec {
        key: "demo",
        title: "first result of `equilens demo`",
        against: "",
        unit: "s",
        aim: Aim::AtMost(3.0),
        work: Work::Demo,
    },
];

impl Spec {
    /// The row without numbers.
    pub fn row(&self) -> Row {
        Row {
            key: self.key.into(),
            work: self.title,
            ours: None,
            unit: self.unit,
            against: self.against,
            peer: None,
            ratio_of: None,
            ratio: None,
            aim: self.aim,
            reached: None,
            note: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Benchmark;
    use crate::bench::peers::PEERS;

    #[test]
    fn every_row_names_benchmarks_and_peers_that_there_are() {
        for spec in &ROWS {
            let names = match spec.work {
                Work::Against { name, peers } => {
                    assert!(peers.iter().all(|(peer, _)| PEERS.contains(peer)));
                    vec![name]
                }
                Work::Sides { first, second } => vec![first, second],
                Work::Ceiling { name }
                | Work::Overhead { name }
                | Work::FirstStep { name, .. }
                | Work::Memory { name, .. } => vec![name],
                Work::Demo => vec![],
            };
            for name in names {
                name.parse::<Benchmark>().unwrap();
            }
            let same = ROWS.iter().filter(|other| other.key == spec.key);
            assert_eq!(same.count(), 1, "{}", spec.key);
        }
    }

    #[test]
    fn the_verdict_is_on_the_ratio_or_on_our_number() {
        let mut row = ROWS[0].row();
        row.aim = Aim::AtLeast(8.0);
        row.ours = Some(100.0);
        assert_eq!(row.clone().judged().reached, Some(true));
        row.ratio_of = Some("peer : ours");
        assert_eq!(row.clone().judged().reached, None);
        row.ratio = crate::bench::Spread::of(&[7.9]);
        assert_eq!(row.clone().judged().reached, Some(false));
        row.aim = Aim::Told;
        assert_eq!(row.judged().reached, None);
    }
}
