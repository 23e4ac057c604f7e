//! What the tests share: the device, golden files, the methods with what they find, dense arithmetic.

use equilens::gpu::{Gpu, Selection};
use equilens::operators::{LinearOperator, RayTransform};
use equilens::reference::ray_transform;
use equilens::shape::RayGeometry;
use equilens::solvers::{
    Admm, Fista, Iterative, Penalty, Quadratic, Run, Solution, Tgv, Tikhonov, Wavelet,
    WaveletFamily,
};
use equilens::tape::plan::Store;
use std::sync::OnceLock;

pub fn store() -> Store {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    Store::new(GPU.get_or_init(|| Gpu::open(&Selection::default()).expect("an adapter")))
}

pub fn noise(seed: u64, len: usize) -> Vec<f32> {
    use equilens::reference::random::{Draw, normal};
    let draws = normal(Draw::new(seed, 0), len);
    draws.into_iter().map(|v| v as f32).collect()
}

pub fn golden<T: npyz::Deserialize>(name: &str) -> Vec<T> {
    let path = format!("{}/tests/golden/{name}.npy", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).expect("a golden file");
    let npy = npyz::NpyFile::new(&bytes[..]).expect("an array");
    npy.into_vec().expect("of this type")
}

pub fn case() -> serde_json::Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/solvers/solvers.json"
    );
    let text = std::fs::read_to_string(path).expect("a golden file");
    serde_json::from_str(&text).expect("json")
}

pub fn number(key: &str) -> f64 {
    case()[key].as_f64().expect("a number")
}

/// The operator and the measurement of `tests/golden/tv`.
pub fn scan() -> (RayTransform, Vec<f32>) {
    let beam = RayGeometry::parallel([16, 12], 0.36, 12, 23);
    (RayTransform::new(beam), golden("tv/sinogram"))
}

pub fn largest(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    pairs
        .map(|(a, b)| (f64::from(*a) - b).abs())
        .fold(0.0, f64::max)
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

pub fn haar(family: WaveletFamily) -> Penalty {
    Penalty::Wavelet(Wavelet { family, levels: 2 })
}

/// The methods, the golden image that each finds, and the bounds of the errors of the objective
/// (relative) and of the image (absolute).
pub fn minimisers() -> Vec<(&'static str, Box<dyn Iterative>, [f64; 2])> {
    let tikhonov = |weight, penalty, nonnegative| Tikhonov {
        weight: number(weight),
        penalty,
        nonnegative,
        iterations: 3000,
        tolerance: 1e-6,
    };
    let fista = |penalty, weight, nonnegative| Fista {
        penalty,
        weight: number(weight),
        nonnegative,
        iterations: 1000,
        // In f32 the gap of images of any sign ends near 2e-4 for wavelets.
        tolerance: match (penalty, nonnegative) {
            (Penalty::Wavelet(_), false) => 5e-4,
            (Penalty::Wavelet(_), true) => 1e-4,
            _ => 2e-5,
        },
    };
    let admm = |penalty, weight, nonnegative| Admm {
        penalty,
        weight: number(weight),
        nonnegative,
        iterations: 600,
        tolerance: 2e-6,
    };
    let tgv = |nonnegative| Tgv {
        weight: number("tgv"),
        ratio: number("ratio"),
        iterations: 4000,
        nonnegative,
        tolerance: 1e-4,
    };
    let tv = Penalty::TotalVariation;
    let (haar, daubechies) = (haar(WaveletFamily::Haar), haar(WaveletFamily::Daubechies4));
    let (one, d) = (Quadratic::Identity, Quadratic::Differences);
    vec![
        (
            "tikhonov",
            Box::new(tikhonov("tikhonov", one, false)),
            [1e-5, 1e-4],
        ),
        (
            "tikhonov_differences",
            Box::new(tikhonov("differences", d, false)),
            [1e-5, 1e-4],
        ),
        (
            "tikhonov_nonnegative",
            Box::new(tikhonov("differences", d, true)),
            [1e-5, 1e-3],
        ),
        (
            "haar",
            Box::new(fista(haar, "wavelet", false)),
            [1e-5, 2e-3],
        ),
        (
            "haar_nonnegative",
            Box::new(fista(haar, "wavelet", true)),
            [1e-4, 2e-3],
        ),
        (
            "daubechies4",
            Box::new(fista(daubechies, "wavelet", false)),
            [1e-5, 2e-3],
        ),
        ("tv_cone", Box::new(fista(tv, "tv", false)), [1e-4, 2e-3]),
        ("haar", Box::new(admm(haar, "wavelet", false)), [1e-5, 2e-3]),
        (
            "haar_nonnegative",
            Box::new(admm(haar, "wavelet", true)),
            [1e-4, 2e-3],
        ),
        ("tv_cone", Box::new(admm(tv, "tv", false)), [1e-4, 2e-3]),
        ("tgv", Box::new(tgv(false)), [1e-4, 5e-3]),
        ("tgv_nonnegative", Box::new(tgv(true)), [1e-4, 5e-3]),
    ]
}

pub fn solved(method: &dyn Iterative, run: &Run) -> Solution {
    let prepared = method.prepare(run).expect("compiles");
    prepared.iterate(&mut |_| {}).expect("solves")
}

pub fn iterations(solution: &Solution) -> usize {
    solution.history.last().expect("measured").iteration
}

/// The dense matrix of the scan in f64.
pub struct Dense {
    pub matrix: Vec<f64>,
    pub pixels: usize,
}

impl Dense {
    pub fn new(operator: &RayTransform) -> Self {
        Dense {
            matrix: ray_transform::matrix(operator.geometry()),
            pixels: operator.domain().elements(),
        }
    }

    pub fn forward(&self, x: &[f64]) -> Vec<f64> {
        let dot = |row: &[f64]| row.iter().zip(x).map(|(a, b)| a * b).sum();
        self.matrix.chunks(self.pixels).map(dot).collect()
    }

    pub fn adjoint(&self, y: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; self.pixels];
        for (row, y) in self.matrix.chunks(self.pixels).zip(y) {
            x.iter_mut().zip(row).for_each(|(x, a)| *x += a * y);
        }
        x
    }

    pub fn residual(&self, x: &[f64], y: &[f64]) -> Vec<f64> {
        let ax = self.forward(x);
        y.iter().zip(ax).map(|(y, a)| y - a).collect()
    }
}

pub fn length(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}
