//! Which entries of k-space a scan measures, and which pixels of an image are known.

use super::array::Array;
use super::npy;
use super::random::Stream;
use crate::config::within;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How the lines outside the fully sampled centre are spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Density {
    /// At random, the denser the lower their frequency `f`: in proportion to `(1 - |f|)^3`, `f`
    /// relative to the highest one (Lustig, Donoho and Pauly 2007, section "sampling pattern").
    #[default]
    Variable,
    /// At equal distances, from a random first one.
    Uniform,
    /// At random, all lines alike.
    Random,
}

/// A Cartesian sampling pattern: whole lines, each a row of k-space (one frequency down the image,
/// every frequency across it).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cartesian {
    /// Lines that are measured.
    pub lines: usize,
    /// How many of them are the ones of lowest frequency.
    pub centre: usize,
    /// How the others are spread.
    pub density: Density,
    /// Seed of the others.
    pub seed: u64,
}

impl Cartesian {
    /// Whether each of `rows` lines is measured, the highest negative frequency first, 0 at
    /// `rows / 2`: exactly `lines` of them are.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key if there are more lines than rows, more in the centre
    /// than in all, or none.
    pub fn centred_lines(&self, rows: usize) -> Result<Vec<bool>> {
        if self.lines > rows {
            return Err(Error::Config(format!(
                "operator.mask.lines = {}: k-space has only {rows} lines, one for each row of operator.image_size",
                self.lines
            )));
        }
        within("operator.mask.lines", self.lines, 1..=rows)?;
        within("operator.mask.centre", self.centre, 0..=self.lines)?;
        let mut measured = vec![false; rows];
        let first = rows / 2 - self.centre / 2;
        measured[first..first + self.centre].fill(true);
        let rest: Vec<usize> = (0..rows).filter(|&row| !measured[row]).collect();
        let wanted = self.lines - self.centre;
        let mut stream = Stream::new(self.seed, "k-space lines");
        let chosen: Vec<usize> = match self.density {
            Density::Variable => weighted(&mut stream, &rest, wanted, |row| {
                // Not zero at the ends, so that every line can be had.
                let reach = (rows / 2 + 1) as f64;
                (1.0 - row.abs_diff(rows / 2) as f64 / reach).powi(3)
            }),
            Density::Uniform => {
                let start = stream.uniform();
                let place = |k: usize| (k as f64 + start) * rest.len() as f64 / wanted as f64;
                (0..wanted).map(|k| rest[place(k) as usize]).collect()
            }
            Density::Random => {
                let mut rest = rest;
                stream.shuffle(&mut rest);
                rest[..wanted].to_vec()
            }
        };
        for row in chosen {
            measured[row] = true;
        }
        Ok(measured)
    }
}

/// `count` different ones of `items`, drawn one after another with chances in proportion to
/// `weight`. Sums and products alone, so every platform draws the same.
fn weighted(
    stream: &mut Stream,
    items: &[usize],
    count: usize,
    weight: impl Fn(usize) -> f64,
) -> Vec<usize> {
    let mut left: Vec<(usize, f64)> = items.iter().map(|&i| (i, weight(i))).collect();
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count && !left.is_empty() {
        let total: f64 = left.iter().map(|(_, w)| w).sum();
        let mut mark = stream.uniform() * total;
        let hit = left.iter().position(|(_, w)| {
            mark -= w;
            mark < 0.0
        });
        // Rounding may leave the mark just beyond the last one.
        let (item, _) = left.remove(hit.unwrap_or(left.len() - 1));
        chosen.push(item);
    }
    chosen
}

/// Whether each of `count` pixels is measured: exactly `measured` of them are (all at most), every
/// choice as likely as any other (Knuth's algorithm S: sums and products alone, so every platform
/// draws the same).
pub fn random_pixels(count: usize, measured: usize, seed: u64) -> Vec<bool> {
    let mut stream = Stream::new(seed, "pixels");
    let mut wanted = measured.min(count);
    let mut draw = |left: usize| {
        let taken = stream.uniform() * (left as f64) < wanted as f64;
        wanted -= usize::from(taken);
        taken
    };
    (0..count).map(|i| draw(count - i)).collect()
}

/// Reads which entries of a k-space or pixels of an image of `[rows, columns]` are measured,
/// row-major: a `.npy` file of zeros and ones (or booleans) of shape `[rows, columns]`, `[rows, 1]`
/// (whole lines) or `[1, columns]`.
///
/// # Errors
/// Those of [`npy::read_real_npy`]; [`Error::Data`] with both sizes if the shape is another, if a
/// value is neither 0 nor 1, or if nothing is measured.
pub fn read_mask(path: &Path, [rows, columns]: [usize; 2]) -> Result<Vec<bool>> {
    let Array { shape, data } = npy::read_real_npy(path)?;
    let &[h, w] = shape.as_slice() else {
        return Err(Error::data(
            path,
            format!(
                "the mask's shape is {shape:?}; give [{rows}, {columns}], or [{rows}, 1] for lines"
            ),
        ));
    };
    if ![rows, 1].contains(&h) || ![columns, 1].contains(&w) {
        return Err(Error::data(
            path,
            format!(
                "the mask is {h}x{w} and what it masks is {rows}x{columns}; give a mask of that size, or change operator.image_size"
            ),
        ));
    }
    if let Some(at) = data.iter().position(|&v| v != 0.0 && v != 1.0) {
        return Err(Error::data(
            path,
            format!(
                "value {at} of the mask is {}; a mask holds ones where something is measured and zeros elsewhere",
                data[at]
            ),
        ));
    }
    if data.iter().all(|&v| v == 0.0) {
        return Err(Error::data(
            path,
            "the mask is zero everywhere, so nothing would be measured; set what is measured to 1",
        ));
    }
    let at = |i: usize| data[(i / columns % h) * w + i % columns % w] == 1.0;
    Ok((0..rows * columns).map(at).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: usize, centre: usize, density: Density, seed: u64, rows: usize) -> Vec<bool> {
        let pattern = Cartesian {
            lines,
            centre,
            density,
            seed,
        };
        pattern.centred_lines(rows).expect("fits")
    }

    #[test]
    fn exactly_so_many_lines_with_a_full_centre() {
        for density in [Density::Variable, Density::Uniform, Density::Random] {
            for (rows, count, centre) in [
                (320, 65, 16),
                (320, 80, 0),
                (37, 12, 5),
                (7, 7, 2),
                (1, 1, 1),
                (2, 1, 0),
                (64, 64, 0),
            ] {
                let mask = lines(count, centre, density, 3, rows);
                assert_eq!(mask.iter().filter(|&&m| m).count(), count, "{density:?}");
                let first = rows / 2 - centre / 2;
                assert!(mask[first..first + centre].iter().all(|&m| m));
                // Of an odd centre, as many lines on either side of frequency 0.
                if centre % 2 == 1 {
                    assert_eq!(rows / 2 - first, centre / 2);
                }
            }
            let one = lines(65, 16, density, 1, 320);
            assert_eq!(one, lines(65, 16, density, 1, 320));
            assert_ne!(one, lines(65, 16, density, 2, 320), "{density:?}");
        }
    }

    #[test]
    fn lines_are_as_dense_as_asked() {
        // Of 256 lines: how many measured ones lie in the inner half, over 200 seeds.
        let inner = |density| -> f64 {
            let count = |seed| {
                let mask = lines(32, 0, density, seed, 256);
                mask[64..192].iter().filter(|&&m| m).count()
            };
            (0..200).map(count).sum::<usize>() as f64 / (200.0 * 32.0)
        };
        // Equal chances; 1 - (1/2)^4 for the cubic density with replacement, a little less without.
        assert!((inner(Density::Random) - 0.5).abs() < 0.02);
        assert!((inner(Density::Uniform) - 0.5).abs() < 0.02);
        let variable = inner(Density::Variable);
        assert!((0.88..0.94).contains(&variable), "{variable}");
        // Equal distances.
        let mask = lines(32, 0, Density::Uniform, 5, 256);
        let rows: Vec<usize> = (0..256).filter(|&r| mask[r]).collect();
        assert!(rows.windows(2).all(|w| w[1] - w[0] == 8), "{rows:?}");
    }

    #[test]
    fn impossible_patterns_name_their_key() {
        for (lines, centre, word) in [
            (41, 0, "40 lines"),
            (0, 0, "mask.lines"),
            (10, 11, "mask.centre"),
        ] {
            let pattern = Cartesian {
                lines,
                centre,
                density: Density::Variable,
                seed: 0,
            };
            let error = pattern.centred_lines(40).expect_err("refused");
            assert!(matches!(error, Error::Config(_)), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn so_many_pixels_at_random() {
        for (count, measured) in [(12, 5), (1, 1), (100, 0), (7, 7), (3, 9), (20_000, 6000)] {
            let mask = random_pixels(count, measured, 4);
            assert_eq!(mask.len(), count);
            let found = mask.iter().filter(|&&m| m).count();
            assert_eq!(found, measured.min(count));
            assert_eq!(mask, random_pixels(count, measured, 4));
        }
        assert_ne!(random_pixels(50, 25, 1), random_pixels(50, 25, 2));
        // Each of 6 pixels in a third of the draws of 2: within 5 standard errors.
        let mut counts = [0.0; 6];
        for seed in 0..3000 {
            for (count, measured) in counts.iter_mut().zip(random_pixels(6, 2, seed)) {
                *count += f64::from(u8::from(measured));
            }
        }
        let error = (3000.0_f64 * 2.0 / 9.0).sqrt();
        assert!(
            counts.iter().all(|c| (c - 1000.0).abs() < 5.0 * error),
            "{counts:?}"
        );
    }

    #[test]
    fn masks_from_files_are_read_or_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("m.npy");
        let read = |shape: &[usize], values: &[f32]| {
            npy::write_npy(&path, shape, values).expect("written");
            read_mask(&path, [2, 3]).map_err(|e| e.to_string())
        };
        let full = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        let expected = full.map(|v| v == 1.0).to_vec();
        assert_eq!(read(&[2, 3], &full), Ok(expected));
        let rows = [true, true, true, false, false, false].to_vec();
        assert_eq!(read(&[2, 1], &[1.0, 0.0]), Ok(rows));
        let columns = [false, true, true, false, true, true].to_vec();
        assert_eq!(read(&[1, 3], &[0.0, 1.0, 1.0]), Ok(columns));
        for (shape, values, word) in [
            (&[3, 2][..], &full[..], "3x2"),
            (&[6], &full, "[2, 3]"),
            (&[1, 2, 3], &full, "[2, 3]"),
            (&[2, 1], &[1.0, 0.5], "0.5"),
            (&[2, 1], &[0.0, 0.0], "zero everywhere"),
        ] {
            let error = read(shape, values).expect_err("refused");
            assert!(error.contains(word) && error.contains("m.npy"), "{error}");
        }
    }
}
