//! Whether a set of transforms can reveal what a forward operator does not see: the rank condition
//! of Chen et al. 2023, equation 18.
//!
//! If images are moved by transforms `T_g` that keep them plausible, measurements `y = A x` of one
//! operator are as good as measurements by all `A T_g`. To learn from measurements alone, the
//! stacked matrix `M = [A T_g]_g` has to have a trivial null space: rank `n` for images of `n`
//! numbers. If `A` commutes with the transforms (shifts and k-space) the rank of `M` is that of `A`
//! however many there are.
//!
//! Everything is dense, in f64 and on the host: `M^T M = sum over g of T_g^T (A^T A) T_g`, whose
//! eigenvalues are the squares of the singular values of `M`.

use super::eigenvalues::symmetric_eigenvalues;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::operators::LinearOperator;
use crate::reference::warp;
use crate::shape::{Affine, Maps, Shape};
use crate::tape::Tape;
use crate::tape::reference::{Feeds, evaluate};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// Singular values below this, relative to the largest, count as zero. They are square roots of
/// eigenvalues, whose rounding errors, some 1e-14 of the largest one, look like singular values of
/// 1e-7; weights of single precision in an operator, 6e-8, are below it as well.
pub const RANK_TOLERANCE: f64 = 1e-6;

/// Numbers of an image at most: `M^T M` takes 32 MiB, and its eigenvalues some seconds.
const MAX_UNKNOWNS: usize = 2048;
/// Numbers of an image times transforms at most.
const MAX_MOVED: usize = 1 << 26;
/// Images that are measured at once.
const BATCH: usize = 64;

/// The transforms of an image that a group has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransformGroup {
    /// Rotations (and mirrors) about the centre. Quarter turns and mirrors are permutations of the
    /// pixels; others are interpolated bilinearly, with zeros outside the image.
    Planar(Group),
    /// All circular shifts by whole pixels.
    Shifts,
}

impl fmt::Display for TransformGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransformGroup::Planar(group) => group.fmt(f),
            TransformGroup::Shifts => f.pad("shifts"),
        }
    }
}

impl FromStr for TransformGroup {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.trim().eq_ignore_ascii_case("shifts") {
            return Ok(TransformGroup::Shifts);
        }
        let group = (text.parse::<Group>())
            .map_err(|e| Error::Config(format!("{e}; `shifts` are all circular shifts")))?;
        group
            .finite("the rank condition")
            .map(TransformGroup::Planar)
    }
}

impl TransformGroup {
    /// How many there are for images of this shape.
    fn order(self, image: Shape) -> usize {
        match self {
            TransformGroup::Planar(group) => group.order(),
            TransformGroup::Shifts => image.h() * image.w(),
        }
    }

    /// Each as a matrix.
    fn matrices(self, image: Shape) -> Result<Box<dyn Iterator<Item = Result<Sparse>>>> {
        let Shape([_, channels, h, w]) = image;
        match self {
            TransformGroup::Planar(group) => {
                if group.on_grid() && group.rotations() == 4 && h != w {
                    return Err(Error::Config(format!(
                        "{group}: a quarter turn makes of {h}x{w} pixels {w}x{h}, so on images that are not square it is no transform; choose C2, D2 or shifts, a group off the grid such as C12, whose rotations are interpolated, or a square operator.image_size"
                    )));
                }
                Ok(Box::new((0..group.order()).map(move |g| {
                    Sparse::moving(image, Affine::linear(group.matrix(g)))
                })))
            }
            TransformGroup::Shifts => Ok(Box::new((0..h * w).map(move |shift| {
                let from = move |pixel: usize| {
                    let row = (pixel / w + shift / w) % h;
                    row * w + (pixel + shift) % w
                };
                let rows = (0..channels * h * w).map(|i| {
                    let plane = i - i % (h * w);
                    (i, plane + from(i % (h * w)), 1.0)
                });
                Ok(Sparse::new(image.elements(), rows))
            }))),
        }
    }
}

/// A square matrix by the nonzero entries of each row, (column, value).
struct Sparse {
    /// Where row `i` begins in `entries`; at the end, how many there are.
    starts: Vec<usize>,
    entries: Vec<(usize, f64)>,
}

impl Sparse {
    /// Of entries (row, column, value), row after row.
    fn new(n: usize, entries: impl IntoIterator<Item = (usize, usize, f64)>) -> Self {
        let mut matrix = Sparse {
            starts: vec![0; n + 1],
            entries: Vec::with_capacity(n),
        };
        for (row, column, value) in entries {
            matrix.entries.push((column, value));
            matrix.starts[row + 1] = matrix.entries.len();
        }
        // Rows without entries end where they begin.
        for row in 0..n {
            matrix.starts[row + 1] = matrix.starts[row + 1].max(matrix.starts[row]);
        }
        matrix
    }

    /// The motion of images of this shape by a map.
    fn moving(image: Shape, map: Affine) -> Result<Self> {
        let maps: Vec<f64> = Maps::of(&[map])?.into_iter().map(f64::from).collect();
        let plane = image.with(1, 1);
        let mut entries = Vec::with_capacity(4 * plane.elements());
        warp::for_each_weight(plane, &maps, |input, output, weight| {
            // Where the map takes pixels to pixels, three of four neighbours have no share.
            if weight != 0.0 {
                entries.push((output, input, weight));
            }
        });
        let channels = 0..image.c();
        let all = channels.flat_map(|c| {
            let offset = c * plane.elements();
            let entries = entries.iter();
            entries.map(move |&(row, column, value)| (offset + row, offset + column, value))
        });
        Ok(Sparse::new(image.elements(), all))
    }

    fn row(&self, i: usize) -> &[(usize, f64)] {
        &self.entries[self.starts[i]..self.starts[i + 1]]
    }

    /// Adds `T^T G T` to `sum`, for this `T` and a square `G`; `buffer` has room for a row.
    fn add_conjugated(&self, g: &[f64], sum: &mut [f64], buffer: &mut [f64]) {
        let n = buffer.len();
        for (i, row) in g.chunks_exact(n).enumerate() {
            if self.row(i).is_empty() {
                continue;
            }
            buffer.fill(0.0);
            for (j, value) in row.iter().enumerate() {
                for &(column, weight) in self.row(j) {
                    buffer[column] += weight * value;
                }
            }
            for &(column, weight) in self.row(i) {
                let target = &mut sum[column * n..(column + 1) * n];
                for (sum, value) in target.iter_mut().zip(buffer.iter()) {
                    *sum += weight * value;
                }
            }
        }
    }
}

/// The singular values of a matrix with as many columns as an image has numbers.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Spectrum {
    /// How many are above [`RANK_TOLERANCE`] times the largest.
    pub rank: usize,
    /// The smallest one relative to the largest; 0 if all are zero.
    pub smallest: f64,
    /// How many are below 0.1, 0.01 and 0.001 times the largest: what noise of that size hides.
    pub below: Below,
    /// From the largest to the smallest, one for each number of an image.
    pub singular_values: Vec<f64>,
}

/// Numbers of singular values below a part of the largest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Below {
    /// Below 0.1 of it.
    #[serde(rename = "1e-1")]
    pub tenth: usize,
    /// Below 0.01 of it.
    #[serde(rename = "1e-2")]
    pub hundredth: usize,
    /// Below 0.001 of it.
    #[serde(rename = "1e-3")]
    pub thousandth: usize,
}

impl Spectrum {
    /// Of a matrix `M` with this `M^T M`.
    fn of_gram(gram: Vec<f64>, n: usize) -> Result<Self> {
        let eigenvalues = symmetric_eigenvalues(gram, n)?;
        // Below zero by rounding alone.
        let values: Vec<f64> = eigenvalues.iter().map(|&x| x.max(0.0).sqrt()).collect();
        let largest = values.first().copied().unwrap_or(0.0);
        // A comparison that zeros fail, also of a matrix of zeros.
        let above = |part: f64| values.iter().filter(|&&v| v > part * largest).count();
        let smallest = match largest > 0.0 {
            true => values[n - 1] / largest,
            false => 0.0,
        };
        Ok(Spectrum {
            rank: above(RANK_TOLERANCE),
            smallest,
            below: Below {
                tenth: n - above(0.1),
                hundredth: n - above(0.01),
                thousandth: n - above(0.001),
            },
            singular_values: values,
        })
    }

    /// The singular values relative to the largest.
    pub fn relative(&self) -> impl Iterator<Item = f64> {
        let largest = self.singular_values.first().copied().unwrap_or(0.0);
        let relative = move |&v: &f64| if largest > 0.0 { v / largest } else { 0.0 };
        self.singular_values.iter().map(relative)
    }
}

/// What [`identifiability`] finds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Identifiability {
    /// The transforms `T_g`, products of one of each set: the first set's moves the image last.
    #[serde(serialize_with = "by_name")]
    pub transforms: Vec<TransformGroup>,
    /// How many there are, `|G|`.
    pub order: usize,
    /// Numbers of an image, `n`.
    pub unknowns: usize,
    /// Numbers of a measurement, `m`.
    pub measured: usize,
    /// `m |G| >= n`, without which the rank cannot be `n`.
    pub enough_measurements: bool,
    /// The rank of `M` is `n`.
    pub identifiable: bool,
    /// The forward operator `A` alone.
    pub alone: Spectrum,
    /// `M = [A T_g]_g`.
    pub stacked: Spectrum,
}

fn by_name<S: serde::Serializer>(all: &[TransformGroup], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(TransformGroup::to_string))
}

impl Identifiability {
    /// The answer in words.
    pub fn verdict(&self) -> String {
        let n = self.unknowns;
        let names: Vec<String> = self
            .transforms
            .iter()
            .map(TransformGroup::to_string)
            .collect();
        let names = names.join(" after ");
        let Spectrum { rank, smallest, .. } = self.stacked;
        let alone = self.alone.rank;
        if self.identifiable {
            let what = match alone == n {
                true => "the operator has no null space",
                false => "the whole null space can be seen",
            };
            return format!(
                "yes: with {names} {what}: rank {rank} of {n} ({alone} by the operator alone), smallest singular value {smallest:.1e} of the largest"
            );
        }
        let than_alone = match rank.saturating_sub(alone) {
            0 => "as many as without".into(),
            fewer => format!("{fewer} fewer than without"),
        };
        format!(
            "no: with {names} {} of {n} dimensions stay in the null space, {than_alone}: rank {rank} of {n} ({alone} by the operator alone)",
            n - rank
        )
    }
}

/// The spectra of `operator` alone and of `M = [A T_g]_g`, for all products `T_g` of one transform
/// of each set in the order of writing.
///
/// # Errors
/// [`Error::Config`] if images or the set of transforms are too large, or if quarter turns are
/// asked for and images are not square; [`Error::NotFinite`] if the operator's numbers are not
/// finite.
pub fn identifiability(
    operator: &dyn LinearOperator,
    transforms: &[TransformGroup],
) -> Result<Identifiability> {
    let image = operator.domain();
    let n = image.elements();
    if n > MAX_UNKNOWNS {
        return Err(Error::Config(format!(
            "images of {} channels, {} rows and {} columns have {n} numbers, and dense matrices are made for at most {MAX_UNKNOWNS}; choose a smaller --size",
            image.c(),
            image.h(),
            image.w()
        )));
    }
    let order = (transforms.iter()).try_fold(1usize, |all, t| all.checked_mul(t.order(image)));
    let order = order.filter(|order| order.checked_mul(n).is_some_and(|all| all <= MAX_MOVED));
    let Some(order) = order else {
        let orders: Vec<String> = (transforms.iter())
            .map(|t| format!("{} of {t}", t.order(image)))
            .collect();
        return Err(Error::Config(format!(
            "too many transforms, {}: times the {n} numbers of an image they are more than {MAX_MOVED}; choose smaller groups or a smaller --size",
            orders.join(" times ")
        )));
    };
    let alone = gram(operator)?;
    let mut stacked = alone.clone();
    // [A T_g T_h] over all pairs is [B T_h] with B = [A T_g].
    let mut buffer = vec![0.0; n];
    for set in transforms {
        let mut sum = vec![0.0; n * n];
        for matrix in set.matrices(image)? {
            matrix?.add_conjugated(&stacked, &mut sum, &mut buffer);
        }
        stacked = sum;
    }
    let [alone, stacked] = [Spectrum::of_gram(alone, n)?, Spectrum::of_gram(stacked, n)?];
    let measured = operator.measured() * operator.period();
    Ok(Identifiability {
        transforms: transforms.to_vec(),
        order,
        unknowns: n,
        measured,
        enough_measurements: measured.saturating_mul(order) >= n,
        identifiable: stacked.rank == n,
        alone,
        stacked,
    })
}

/// `A^T A`, dense: its columns are what becomes of images of a single one.
fn gram(operator: &dyn LinearOperator) -> Result<Vec<f64>> {
    let image = operator.domain();
    let n = image.elements();
    let mut columns = Vec::with_capacity(n * n);
    for first in (0..n).step_by(BATCH) {
        let batch = BATCH.min(n - first);
        let mut tape = Tape::new();
        // Operators that take turns each see every image: the rows of all of them are stacked.
        let period = operator.period();
        let x = tape.input("x", image.with(0, batch * period));
        let y = operator.forward(&mut tape, x)?;
        let back = operator.adjoint(&mut tape, y)?;
        let mut units = vec![0.0; batch * period * n];
        for i in 0..batch * period {
            units[i * n + first + i / period] = 1.0;
        }
        let mut feeds = Feeds::from([("x".to_string(), units)]);
        let back = evaluate(&tape, &mut feeds, &[back])?.concat();
        for parts in back.chunks_exact(period * n) {
            columns.extend((0..n).map(|i| parts.iter().skip(i).step_by(n).sum::<f64>()));
        }
    }
    Ok(columns)
}

#[cfg(test)]
#[path = "identifiability_tests.rs"]
mod tests;
