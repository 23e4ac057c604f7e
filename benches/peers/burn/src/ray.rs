//! Joseph's ray transform as gathers with tables: burn has no sparse matrices.

use burn::tensor::{Device, Int, Tensor, TensorData};
use std::f64::consts::{PI, SQRT_2};

const FIELD_OF_VIEW: f64 = 0.36;

/// A sparse matrix of which every row has the same number of entries, zeros included.
struct Rows {
    indices: Tensor<1, Int>,
    weights: Tensor<2>,
}

impl Rows {
    fn new(rows: Vec<Vec<(usize, f64)>>, device: &Device) -> Self {
        let (height, width) = (rows.len(), rows.iter().map(Vec::len).max().unwrap_or(0));
        let mut indices = vec![0i32; height * width];
        let mut weights = vec![0f32; height * width];
        for (r, row) in rows.iter().enumerate() {
            for (k, &(index, weight)) in row.iter().enumerate() {
                indices[r * width + k] = index as i32;
                weights[r * width + k] = weight as f32;
            }
        }
        Rows {
            indices: Tensor::from_data(TensorData::new(indices, [height * width]), device),
            weights: Tensor::from_data(TensorData::new(weights, [height, width]), device),
        }
    }

    fn apply(&self, x: Tensor<1>) -> Tensor<1> {
        let [height, width] = self.weights.dims();
        let gathered = x.select(0, self.indices.clone()).reshape([height, width]);
        (gathered * self.weights.clone())
            .sum_dim(1)
            .reshape([height])
    }
}

/// The ray transform of square images and its transpose.
pub struct Ray {
    forward: Rows,
    adjoint: Rows,
    size: usize,
    /// `1 / ||A||^2`.
    pub scale: f64,
}

impl Ray {
    /// For `views` equally spaced views with `ceil(sqrt(2) size)` bins.
    pub fn new(size: usize, views: usize, device: &Device) -> Self {
        let bins = (SQRT_2 * size as f64).ceil() as usize;
        let mut rows = vec![Vec::new(); views * bins];
        let mut columns = vec![Vec::new(); size * size];
        let pixel = FIELD_OF_VIEW / size as f64;
        let half = (size as f64 - 1.0) / 2.0;
        for view in 0..views {
            let (sin, cos) = (PI * view as f64 / views as f64).sin_cos();
            let across = cos.abs() >= sin.abs();
            let length = pixel / if across { cos.abs() } else { sin.abs() };
            for bin in 0..bins {
                let offset = bin as f64 - (bins as f64 - 1.0) / 2.0;
                let s = offset * SQRT_2 * FIELD_OF_VIEW / bins as f64;
                let ray = view * bins + bin;
                for line in 0..size {
                    let crossing = match across {
                        true => (s - (half - line as f64) * pixel * sin) / cos / pixel + half,
                        false => half - (s - (line as f64 - half) * pixel * cos) / sin / pixel,
                    };
                    let share = crossing - crossing.floor();
                    for (k, share) in [(0.0, 1.0 - share), (1.0, share)] {
                        let at = crossing.floor() + k;
                        if share > 0.0 && (0.0..size as f64).contains(&at) {
                            let at = at as usize;
                            let index = if across {
                                line * size + at
                            } else {
                                at * size + line
                            };
                            rows[ray].push((index, length * share));
                            columns[index].push((ray, length * share));
                        }
                    }
                }
            }
        }
        let scale = 1.0 / squared_norm(&rows, &columns);
        Ray {
            forward: Rows::new(rows, device),
            adjoint: Rows::new(columns, device),
            size,
            scale,
        }
    }

    /// `1 1 H W` to the sinogram, flat.
    pub fn forward(&self, image: Tensor<4>) -> Tensor<1> {
        self.forward.apply(image.reshape([self.size * self.size]))
    }

    /// The transpose.
    pub fn adjoint(&self, sinogram: Tensor<1>) -> Tensor<4> {
        self.adjoint
            .apply(sinogram)
            .reshape([1, 1, self.size, self.size])
    }
}

/// The largest eigenvalue of `A^T A` by power iteration.
fn squared_norm(rows: &[Vec<(usize, f64)>], columns: &[Vec<(usize, f64)>]) -> f64 {
    let apply = |matrix: &[Vec<(usize, f64)>], x: &[f64]| -> Vec<f64> {
        (matrix.iter())
            .map(|row| row.iter().map(|&(i, w)| w * x[i]).sum())
            .collect()
    };
    let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut x = vec![1.0; columns.len()];
    for _ in 0..50 {
        let scale = 1.0 / norm(&x);
        x.iter_mut().for_each(|v| *v *= scale);
        x = apply(columns, &apply(rows, &x));
    }
    norm(&x)
}
