//! Sensitivity maps of receive coils.

use super::array::Array;
use super::npy;
use crate::error::{Error, Result};
use std::f64::consts::TAU;
use std::path::Path;

/// The maps of `count` coils on a circle about an image of `[rows, columns]` pixels: complex
/// numbers as planes, `count 2 rows columns`, with `sum |S|^2 = 1` in every pixel.
///
/// Each coil is a long straight wire through the circle, perpendicular to the image: by
/// Biot-Savart's law its field falls with the inverse distance and turns with the direction from
/// the wire, which gives modulus and phase. The circle's `radius` is in units of half the longer
/// side of the image; beyond `sqrt(2)` no wire lies inside a square image. Coil 0 lies to the right,
/// the others follow counter-clockwise, and the phases are those of coils turned with their places.
pub fn birdcage([rows, columns]: [usize; 2], count: usize, radius: f64) -> Vec<f32> {
    let plane = rows * columns;
    let half = rows.max(columns) as f64 / 2.0;
    let mut maps = vec![0.0; count * 2 * plane];
    for pixel in 0..plane {
        let x = ((pixel % columns) as f64 - (columns as f64 - 1.0) / 2.0) / half;
        let y = ((rows as f64 - 1.0) / 2.0 - (pixel / columns) as f64) / half;
        let fields: Vec<[f64; 2]> = (0..count)
            .map(|coil| {
                let (sin, cos) = (TAU * coil as f64 / count as f64).sin_cos();
                // From the wire to the pixel, in the frame of the coil.
                let (dx, dy) = (x - radius * cos, y - radius * sin);
                let (along, across) = (cos * dx + sin * dy, cos * dy - sin * dx);
                let square = (along * along + across * across).max(1e-12);
                [along / square, across / square]
            })
            .collect();
        let sum: f64 = fields.iter().map(|[re, im]| re * re + im * im).sum();
        for (coil, field) in fields.iter().enumerate() {
            for (part, value) in field.iter().enumerate() {
                maps[(2 * coil + part) * plane + pixel] = (value / sum.sqrt()) as f32;
            }
        }
    }
    maps
}

/// Reads the maps of any number of coils, `[coils, rows, columns]` complex, as planes
/// `coils 2 rows columns`, and the number of coils.
///
/// # Errors
/// Those of [`npy::read_npy`]; [`Error::Data`] with both sizes if the maps have another shape or
/// are zero everywhere.
pub fn read_maps(path: &Path, [rows, columns]: [usize; 2]) -> Result<(Vec<f32>, usize)> {
    let Array { shape, data } = npy::read_complex_npy(path)?;
    let &[coils, h, w] = shape.as_slice() else {
        return Err(Error::data(
            path,
            format!("the shape of the coil maps is {shape:?}; give [coils, {rows}, {columns}]"),
        ));
    };
    if [h, w] != [rows, columns] {
        return Err(Error::data(
            path,
            format!(
                "the coil maps are {h}x{w} and operator.image_size is {rows}x{columns}; give maps of that size"
            ),
        ));
    }
    if data.iter().all(|z| z.norm_sqr() == 0.0) {
        return Err(Error::data(
            path,
            "the coil maps are zero everywhere, so nothing would be measured",
        ));
    }
    let mut planes = Vec::with_capacity(2 * data.len());
    for map in data.chunks_exact(h * w) {
        planes.extend(map.iter().map(|z| z.re));
        planes.extend(map.iter().map(|z| z.im));
    }
    Ok((planes, coils))
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_complex::{Complex32, Complex64};

    fn complex(maps: &[f32], coil: usize, plane: usize, pixel: usize) -> Complex64 {
        let part = |p: usize| f64::from(maps[(2 * coil + p) * plane + pixel]);
        Complex64::new(part(0), part(1))
    }

    #[test]
    fn squares_add_up_to_one() {
        for (size, count) in [([7, 12], 8), ([5, 5], 1), ([16, 9], 3)] {
            let maps = birdcage(size, count, 1.5);
            let plane = size[0] * size[1];
            for pixel in 0..plane {
                let sum: f64 = (0..count)
                    .map(|coil| complex(&maps, coil, plane, pixel).norm_sqr())
                    .sum();
                assert!((sum - 1.0).abs() < 1e-6, "{sum}");
            }
        }
    }

    /// Four coils about a square: a quarter turn of the image is the next coil.
    #[test]
    fn coils_follow_each_other_counter_clockwise() {
        let n = 9;
        let maps = birdcage([n, n], 4, 1.5);
        for coil in 0..4 {
            for r in 0..n {
                for c in 0..n {
                    // The pixel that a counter-clockwise quarter turn brings to (r, c).
                    let before = complex(&maps, coil, n * n, c * n + n - 1 - r);
                    let after = complex(&maps, (coil + 1) % 4, n * n, r * n + c);
                    assert!((before - after).norm() < 1e-6, "{before} {after}");
                }
            }
        }
        // The nearer, the stronger; on its own axis a coil's field has one phase.
        let middle = |c: usize| complex(&maps, 0, n * n, 4 * n + c);
        assert!(middle(8).norm() > 2.0 * middle(0).norm());
        assert!(middle(8).im.abs() < 1e-6 && middle(8).re < 0.0);
    }

    #[test]
    fn maps_from_files_are_read_or_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s.npy");
        let read = |shape: &[usize], values: &[Complex32]| {
            npy::write_npy(&path, shape, values).expect("written");
            read_maps(&path, [1, 2]).map_err(|e| e.to_string())
        };
        let maps: Vec<Complex32> = (0..4).map(|k| Complex32::new(k as f32, -1.0)).collect();
        let planes = vec![0.0, 1.0, -1.0, -1.0, 2.0, 3.0, -1.0, -1.0];
        assert_eq!(read(&[2, 1, 2], &maps), Ok((planes, 2)));
        for (shape, values, word) in [
            (&[2, 2, 1][..], maps.clone(), "2x1"),
            (&[2, 2], maps, "[coils, 1, 2]"),
            (&[2, 1, 2], vec![Complex32::ZERO; 4], "zero everywhere"),
        ] {
            let error = read(shape, &values).expect_err("refused");
            assert!(error.contains(word) && error.contains("s.npy"), "{error}");
        }
    }
}
