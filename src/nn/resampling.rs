//! Half and twice the extents: anti-aliased pooling with its counterpart, and adaptive polyphase
//! sampling.

use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::{Binary, Tape, Var};

/// Records `x`, `N C H W`, at half the extents, rounded up, without aliasing: along an even extent
/// the means of the pixels 2 i and 2 i + 1; along an odd one the means around the pixels 2 i with
/// weights 1/4, 1/2, 1/4, the border's pixel counting for what is outside.
///
/// Both sample the image symmetrically, so that this commutes with every symmetry of the grid on
/// images of any extents.
///
/// # Errors
/// None in practice.
pub fn halved(tape: &mut Tape, x: Var) -> Result<Var> {
    let Shape([n, c, h, w]) = x.shape();
    let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
    let lines = tape.reshape(x, Shape::new(n * c, h, 1, w))?;
    let half = half_line(tape, lines)?;
    let lines = tape.reshape(half, Shape::new(n * c * rows, w, 1, 1))?;
    let half = half_line(tape, lines)?;
    tape.reshape(half, Shape::new(n, c, rows, columns))
}

/// Records `x`, of half the extents rounded up, at `[H, W]`, interpolated linearly: along an even
/// extent at a quarter pixel to both sides of each pixel (the border's pixel counting for what is
/// outside), along an odd one at each pixel and halfway to the next. It commutes with every
/// symmetry of the grid.
///
/// # Errors
/// [`Error::Shape`] if `x` has not half the extents.
pub fn doubled(tape: &mut Tape, x: Var, [h, w]: [usize; 2]) -> Result<Var> {
    let Shape([n, c, rows, columns]) = x.shape();
    if rows != h.div_ceil(2) || columns != w.div_ceil(2) {
        return Err(Error::shape(
            "doubled",
            format!("{} has not half the extents of {h}x{w}", x.shape()),
        ));
    }
    let lines = tape.reshape(x, Shape::new(n * c * rows, columns, 1, 1))?;
    let wide = double_line(tape, lines, w)?;
    let lines = tape.reshape(wide, Shape::new(n * c, rows, 1, w))?;
    let both = double_line(tape, lines, h)?;
    tape.reshape(both, Shape::new(n, c, h, w))
}

/// Half of axis 1 of `x`, `A L 1 B`.
fn half_line(tape: &mut Tape, x: Var) -> Result<Var> {
    let Shape([a, l, _, b]) = x.shape();
    if l.is_multiple_of(2) {
        let pairs = tape.reshape(x, Shape::new(a, l / 2, 2, b))?;
        let sums = tape.sum(pairs, Shape::new(a, l / 2, 1, b))?;
        return Ok(tape.scale(sums, 0.5));
    }
    if l == 1 {
        return Ok(x);
    }
    let even = phase(tape, x, 0)?;
    let odd = phase(tape, x, 1)?;
    let (first, last) = (tape.slice(even, 1, 0, 1)?, tape.slice(even, 1, l / 2, 1)?);
    let before = tape.concat(&[first, odd], 1)?;
    let after = tape.concat(&[odd, last], 1)?;
    let around = tape.add(before, after)?;
    let around = tape.scale(around, 0.25);
    let centre = tape.scale(even, 0.5);
    tape.add(centre, around)
}

/// Axis 1 of `x`, `A ceil(L/2) 1 B`, at length `l`.
fn double_line(tape: &mut Tape, x: Var, l: usize) -> Result<Var> {
    let Shape([a, half, _, b]) = x.shape();
    if half == 1 {
        let same = tape.broadcast(x, Shape::new(a, 1, l, b))?;
        return tape.reshape(same, Shape::new(a, l, 1, b));
    }
    if l.is_multiple_of(2) {
        let (first, last) = (tape.slice(x, 1, 0, 1)?, tape.slice(x, 1, half - 1, 1)?);
        let (but_last, but_first) = (
            tape.slice(x, 1, 0, half - 1)?,
            tape.slice(x, 1, 1, half - 1)?,
        );
        let before = tape.concat(&[first, but_last], 1)?;
        let after = tape.concat(&[but_first, last], 1)?;
        let neighbours = tape.concat(&[before, after], 2)?;
        let own = tape.scale(x, 0.75);
        let quarter = tape.scale(neighbours, 0.25);
        let both = tape.add(own, quarter)?;
        return tape.reshape(both, Shape::new(a, l, 1, b));
    }
    let left = tape.slice(x, 1, 0, half - 1)?;
    let right = tape.slice(x, 1, 1, half - 1)?;
    let sum = tape.add(left, right)?;
    let between = tape.scale(sum, 0.5);
    let even = place(tape, x, 0, l)?;
    let odd = place(tape, between, 1, l)?;
    tape.add(even, odd)
}

/// The elements `start`, `start + 2`, ... along axis 1 of `x`, `A L 1 B`; `start` is 0 or 1.
fn phase(tape: &mut Tape, x: Var, start: usize) -> Result<Var> {
    let Shape([a, l, _, b]) = x.shape();
    let pairs = l.div_ceil(2);
    let even = tape.pad(x, 1, 0, 2 * pairs)?;
    let pairs = tape.reshape(even, Shape::new(a, pairs, 2, b))?;
    let chosen = tape.slice(pairs, 2, start, 1)?;
    tape.slice(chosen, 1, 0, (l - start).div_ceil(2))
}

/// The transpose of [`phase`]: `x` at the elements `start`, `start + 2`, ... of `l`, zeros between.
fn place(tape: &mut Tape, x: Var, start: usize, l: usize) -> Result<Var> {
    let Shape([a, _, _, b]) = x.shape();
    let pairs = l.div_ceil(2);
    let all = tape.pad(x, 1, 0, pairs)?;
    let placed = tape.pad(all, 2, start, 2)?;
    let line = tape.reshape(placed, Shape::new(a, 2 * pairs, 1, b))?;
    tape.slice(line, 1, 0, l)
}

/// The phases that [`polyphase_down`] has taken, which [`polyphase_up`] puts the pixels back to.
#[derive(Clone, Copy, Debug)]
pub struct Phases {
    /// `N 4 1 1`: the share of each phase in each image; 1 and zeros but for ties.
    shares: Var,
    extents: [usize; 2],
}

/// Records adaptive polyphase downsampling (Chaman and Dokmanić 2021) of `x`, `N C H W` with even
/// extents: of the four ways to take every second row and column, for each image the one whose
/// pixels have the largest norm over all channels.
///
/// Where a shift of the image, circular over its extents, moves the largest phase, it is taken
/// there: with [`polyphase_up`] after it this commutes with every circular shift, not only the even
/// ones, and with the symmetries of the grid. Phases of exactly the same norm are averaged, so that
/// no order of them breaks the symmetry. The choice itself has no gradient.
///
/// # Errors
/// [`Error::Shape`] if an extent is odd.
pub fn polyphase_down(tape: &mut Tape, x: Var) -> Result<(Var, Phases)> {
    let Shape([n, c, h, w]) = x.shape();
    if !(h.is_multiple_of(2) && w.is_multiple_of(2)) || h * w == 0 {
        return Err(Error::shape(
            "polyphase downsampling",
            format!(
                "{}: a periodic image of odd extent has no phases; pad it to even ones",
                x.shape()
            ),
        ));
    }
    let mut phases = Vec::with_capacity(4);
    let mut norms = Vec::with_capacity(4);
    for [row, column] in OFFSETS {
        let lines = tape.reshape(x, Shape::new(n * c, h, 1, w))?;
        let rows = phase(tape, lines, row)?;
        let lines = tape.reshape(rows, Shape::new(n * c * h / 2, w, 1, 1))?;
        let pixels = phase(tape, lines, column)?;
        let pixels = tape.reshape(pixels, Shape::new(n, c, h / 2, w / 2))?;
        let square = tape.mul(pixels, pixels)?;
        norms.push(tape.sum(square, Shape::new(n, 1, 1, 1))?);
        phases.push(pixels);
    }
    let norms = tape.concat(&norms, 1)?;
    let one = Shape::new(n, 1, 1, 1);
    let largest = tape.max(norms, one)?;
    let ties = tape.binary(Binary::Equal, norms, largest)?;
    let count = tape.sum(ties, one)?;
    let shares = tape.div(ties, count)?;
    let phases = phases.into_iter().enumerate().map(|(k, pixels)| {
        let share = tape.slice(shares, 1, k, 1)?;
        tape.mul(pixels, share)
    });
    let parts = phases.collect::<Result<Vec<_>>>()?;
    let sum = sum_of(tape, &parts)?;
    let extents = [h, w];
    Ok((sum, Phases { shares, extents }))
}

/// Records `y`, of half the extents, at the pixels that [`polyphase_down`] has taken; the others
/// are zero.
///
/// # Errors
/// [`Error::Shape`] if `y` has not the batch and half the extents of what was taken.
pub fn polyphase_up(tape: &mut Tape, y: Var, phases: &Phases) -> Result<Var> {
    let Shape([n, c, rows, columns]) = y.shape();
    let [h, w] = phases.extents;
    if phases.shares.shape().n() != n || [2 * rows, 2 * columns] != phases.extents {
        return Err(Error::shape(
            "polyphase upsampling",
            format!("{} where {h}x{w} were halved", y.shape()),
        ));
    }
    let mut parts = Vec::with_capacity(4);
    for (k, [row, column]) in OFFSETS.into_iter().enumerate() {
        let share = tape.slice(phases.shares, 1, k, 1)?;
        let pixels = tape.mul(y, share)?;
        let lines = tape.reshape(pixels, Shape::new(n * c * rows, columns, 1, 1))?;
        let wide = place(tape, lines, column, w)?;
        let lines = tape.reshape(wide, Shape::new(n * c, rows, 1, w))?;
        let both = place(tape, lines, row, h)?;
        parts.push(tape.reshape(both, Shape::new(n, c, h, w))?);
    }
    sum_of(tape, &parts)
}

/// The first row and column of each phase.
const OFFSETS: [[usize; 2]; 4] = [[0, 0], [0, 1], [1, 0], [1, 1]];

fn sum_of(tape: &mut Tape, parts: &[Var]) -> Result<Var> {
    let mut sum = parts[0];
    for &part in &parts[1..] {
        sum = tape.add(sum, part)?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::reference::{Feeds, evaluate};

    fn run(
        [h, w]: [usize; 2],
        x: &[f64],
        body: impl Fn(&mut Tape, Var) -> Result<Var>,
    ) -> Vec<f64> {
        let mut tape = Tape::new();
        let input = tape.input("x", Shape::new(1, 1, h, w));
        let y = body(&mut tape, input).expect("fits");
        let mut feeds: Feeds = [("x".to_string(), x.to_vec())].into();
        evaluate(&tape, &mut feeds, &[y])
            .expect("evaluates")
            .concat()
    }

    #[test]
    fn halves_and_doubles_are_the_stated_means() {
        let half = |x: &[f64]| run([1, x.len()], x, halved);
        assert_eq!(half(&[1.0, 3.0, 5.0, 9.0]), [2.0, 7.0]);
        assert_eq!(half(&[4.0, 8.0, 0.0, 4.0, 8.0]), [5.0, 3.0, 7.0]);
        let double = |x: &[f64], to: usize| run([1, x.len()], x, |t, x| doubled(t, x, [1, to]));
        assert_eq!(double(&[4.0, 8.0], 4), [4.0, 5.0, 7.0, 8.0]);
        assert_eq!(double(&[4.0, 8.0, 0.0], 5), [4.0, 6.0, 8.0, 4.0, 0.0]);
        assert_eq!(double(&[3.0], 2), [3.0, 3.0]);
        // Columns as rows.
        assert_eq!(run([4, 1], &[1.0, 3.0, 5.0, 9.0], halved), [2.0, 7.0]);
    }

    #[test]
    fn a_linear_ramp_is_doubled_to_a_linear_ramp() {
        let x: Vec<f64> = (0..6).map(f64::from).collect();
        let y = run([6, 1], &x, |t, x| doubled(t, x, [12, 1]));
        let steps: Vec<f64> = y.windows(2).skip(1).take(9).map(|p| p[1] - p[0]).collect();
        assert_eq!(steps, [0.5; 9]);
    }

    #[test]
    fn the_phase_of_largest_norm_is_taken_and_put_back() {
        // The odd rows and even columns hold the largest numbers.
        let x = [1.0, 0.0, 1.0, 0.0, 5.0, 1.0, 6.0, 1.0];
        let y = run([2, 4], &x, |t, x| {
            let (half, phases) = polyphase_down(t, x)?;
            polyphase_up(t, half, &phases)
        });
        assert_eq!(y, [0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 6.0, 0.0]);
        let half = run([2, 4], &x, |t, x| Ok(polyphase_down(t, x)?.0));
        assert_eq!(half, [5.0, 6.0]);
        // Equal phases are averaged.
        assert_eq!(
            run([2, 2], &[2.0; 4], |t, x| Ok(polyphase_down(t, x)?.0)),
            [2.0]
        );
    }
}
