//! Fourier transforms of any size along the last axis or the last two.
//!
//! A size with prime factors up to 13 is computed by Stockham's algorithm, which leaves results in
//! order: by passes through memory, each with the values of one factor in registers, or in one
//! workgroup's memory as a whole. Other sizes are convolutions with a chirp (L. Bluestein, "A linear
//! filtering approach to the computation of discrete Fourier transform", IEEE Transactions on Audio
//! and Electroacoustics 18 (1970) 451-455), whose transforms have a size of the first kind. Inverse
//! transforms are forward ones of the conjugate, conjugated. All roots of unity come from f64.

mod block;
pub mod butterfly;
pub mod factors;
mod modulate;
mod pass;
mod step;

use super::{Capabilities, Family, Forced, Lowered, Slot};
use crate::gpu::Texture;
use crate::reference::fourier::{Complex, line, root};
use crate::shape::{Fourier, FourierAxes, FourierDirection, FourierScale, FourierValues, Shape};
use block::Block;
use factors::{cheapest, convolution_size, is_smooth};
use modulate::Modulate;
use pass::{Pass, Quads};
use std::fmt;
use std::sync::Arc;
use step::{Grid, Step, Work};

/// How lines are transformed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FourierAlgorithm {
    /// By passes through memory.
    Passes {
        /// The largest factor that an invocation holds in registers.
        radix: usize,
        /// Four neighbours at once.
        quads: bool,
        /// Through textures.
        texture: bool,
    },
    /// In workgroup memory where a line fits in, else by passes of 16.
    Block,
}

impl FourierAlgorithm {
    /// Largest factor, four at once, through textures.
    fn passes(self) -> (usize, bool, bool) {
        match self {
            FourierAlgorithm::Passes {
                radix,
                quads,
                texture,
            } => (radix, quads, texture),
            FourierAlgorithm::Block => (16, false, false),
        }
    }
}

impl fmt::Display for FourierAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FourierAlgorithm::Block => f.write_str("block"),
            FourierAlgorithm::Passes {
                radix,
                quads,
                texture,
            } => {
                write!(f, "passes of {radix}")?;
                let mut told = |what: bool, name| if what { f.write_str(name) } else { Ok(()) };
                told(*quads, " quads")?;
                told(*texture, " texture")
            }
        }
    }
}

/// A transform of values of some shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FourierProblem {
    /// The shape of what is transformed.
    pub shape: Shape,
    /// How.
    pub transform: Fourier,
}

impl FourierProblem {
    /// Complex values are pairs of channels; a real side has one for each.
    fn pairs(&self) -> usize {
        let channels = self.shape.n() * self.shape.c();
        match self.transform.values {
            FourierValues::FromReal => channels,
            FourierValues::Complex | FourierValues::ToReal => channels / 2,
        }
    }
}

impl fmt::Display for FourierProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes = match self.transform.axes {
            FourierAxes::Lines => "lines",
            FourierAxes::Planes => "planes",
        };
        let values = match self.transform.values {
            FourierValues::Complex => "complex",
            FourierValues::FromReal => "from real",
            FourierValues::ToReal => "to real",
        };
        let (pairs, h, w) = (self.pairs(), self.shape.h(), self.shape.w());
        write!(f, "{axes} {values} {pairs}x{h}x{w}")
    }
}

/// Steps under construction.
struct Steps {
    algorithm: FourierAlgorithm,
    /// What is done, the sign of the source's imaginary part, the factors of the result.
    list: Vec<(Work, f64, [f64; 2])>,
}

impl Steps {
    fn push(&mut self, work: Work) {
        self.list.push((work, 1.0, [1.0, 1.0]));
    }

    /// The forward transform along the axis of `grid`.
    fn axis(&mut self, grid: Grid) {
        if grid.length == 1 {
            return;
        }
        if is_smooth(grid.length) {
            self.smooth(grid);
        } else {
            self.chirped(grid);
        }
    }

    fn smooth(&mut self, grid: Grid) {
        let block = match self.algorithm {
            FourierAlgorithm::Block => Block::new(grid),
            FourierAlgorithm::Passes { .. } => None,
        };
        if let Some(block) = block {
            return self.push(Work::Block(block));
        }
        let (_, passes) = self.factored(grid, 1, grid.length);
        passes.into_iter().for_each(|p| self.push(Work::Pass(p)));
    }

    /// The passes for the factor `rest` of the axis of `grid`, after the factor `before`, and what
    /// they cost together.
    fn factored(&self, grid: Grid, before: usize, rest: usize) -> (f64, Vec<Pass>) {
        let (largest, quads, _) = self.algorithm.passes();
        let pass = |done: usize, radix| Pass {
            grid,
            done: before * done,
            radix,
            rows: 1,
        };
        let cost = |done, radix| cost(pass(done, radix), quads);
        // Every prime factor is at most 13, and `largest` at least 16.
        let radices = cheapest(rest, largest.max(16), &cost).unwrap_or_default();
        let (mut total, mut done, mut passes) = (0.0, 1, Vec::new());
        for radix in radices {
            total += cost(done, radix);
            passes.push(pass(done, radix));
            done *= radix;
        }
        (total, passes)
    }

    /// The passes for planes of `h` rows of `w`, with one in their middle that ends the rows and
    /// begins the columns, if that is the cheapest way.
    fn crossed(&self, h: usize, w: usize) -> Option<Vec<Pass>> {
        let FourierAlgorithm::Passes {
            radix: largest,
            quads: true,
            ..
        } = self.algorithm
        else {
            return None;
        };
        if !is_smooth(h) || !is_smooth(w) {
            return None;
        }
        let (along, down) = grids(h, w);
        let mut best = self.factored(along, 1, w).0 + self.factored(down, 1, h).0;
        let mut found = None;
        for rows in (2..=largest).filter(|r| w.is_multiple_of(*r)) {
            for radix in (2..=largest / rows).filter(|r| h.is_multiple_of(*r)) {
                let middle = Pass {
                    grid: down,
                    done: 1,
                    radix,
                    rows,
                };
                if middle.quads() != Quads::Beside {
                    continue;
                }
                let (first, mut passes) = self.factored(along, 1, w / rows);
                let (last, rest) = self.factored(down, radix, h / radix);
                let total = first + cost(middle, true) + last;
                if total < best {
                    best = total;
                    passes.push(middle);
                    passes.extend(rest);
                    found = Some(passes);
                }
            }
        }
        found
    }

    /// `X_k = w_k sum over j of (w_j x_j) w*_(k-j)` with `w_j = exp(-i pi j^2 / n)`: a periodic
    /// convolution of at least `2 n - 1` points.
    fn chirped(&mut self, grid: Grid) {
        let n = grid.length;
        // Rows of a multiple of 16 can be read by fours.
        let m = convolution_size(n, if grid.inner == 1 { 16 } else { 1 });
        let chirp: Arc<[Complex]> = (0..n)
            .map(|j| root(j * j % (2 * n), 2 * n).conj())
            .collect();
        let mut kernel = vec![Complex::default(); m];
        for (j, w) in chirp.iter().enumerate() {
            kernel[j] = w.conj();
            kernel[(m - j) % m] = w.conj();
        }
        let spectrum = line(&kernel, FourierDirection::Forward);
        let spectrum: Arc<[Complex]> = spectrum.into_iter().map(|b| b / m as f64).collect();
        let longer = Grid { length: m, ..grid };
        let modulate = |grid, length, factors: &Arc<[Complex]>| {
            Work::Modulate(Modulate {
                grid,
                length,
                factors: factors.clone(),
            })
        };
        self.push(modulate(grid, m, &chirp));
        self.smooth(longer);
        // The inverse transform is the forward one between two conjugations.
        self.list
            .push((modulate(longer, m, &spectrum), 1.0, [1.0, -1.0]));
        self.smooth(longer);
        self.list
            .push((modulate(longer, n, &chirp), -1.0, [1.0, 1.0]));
    }
}

/// What a pass costs: by its loads and stores about as much as butterflies of two hundred points;
/// number by number, where four at once are wanted, three times that.
fn cost(pass: Pass, quads: bool) -> f64 {
    let alone = quads && pass.quads() == Quads::None;
    let memory = if alone { 600.0 } else { 200.0 };
    memory + (pass.rows * pass.radix) as f64
}

/// The lines of planes of `h` rows of `w`: along the rows, and down the columns.
fn grids(h: usize, w: usize) -> (Grid, Grid) {
    let along = Grid {
        outer: h,
        length: w,
        inner: 1,
    };
    let down = Grid {
        outer: 1,
        length: h,
        inner: w,
    };
    (along, down)
}

/// The dispatches of `problem` by `algorithm`.
pub fn lower(problem: &FourierProblem, algorithm: FourierAlgorithm) -> Lowered {
    let FourierProblem { shape, transform } = *problem;
    let (h, w) = (shape.h(), shape.w());
    let mut steps = Steps {
        algorithm,
        list: Vec::new(),
    };
    let (along, down) = grids(h, w);
    let crossed = match transform.axes {
        FourierAxes::Lines => None,
        FourierAxes::Planes => steps.crossed(h, w),
    };
    match (crossed, transform.axes) {
        (Some(passes), _) => passes.into_iter().for_each(|p| steps.push(Work::Pass(p))),
        (None, FourierAxes::Lines) => steps.axis(along),
        (None, FourierAxes::Planes) => {
            steps.axis(along);
            steps.axis(down);
        }
    }
    if steps.list.is_empty() {
        let grid = Grid {
            outer: 1,
            length: 1,
            inner: h * w,
        };
        steps.push(Work::Modulate(Modulate {
            grid,
            length: 1,
            factors: [Complex::new(1.0, 0.0)].into(),
        }));
    }
    let (_, quads, texture) = algorithm.passes();
    let pairs = problem.pairs();
    let factor = transform.factor(shape);
    let sign = match transform.direction {
        FourierDirection::Forward => 1.0,
        FourierDirection::Inverse => -1.0,
    };
    let last = steps.list.len() - 1;
    let mut lowered = Lowered::default();
    let mut source = Slot::Input(0);
    let mut bytes = shape.bytes();
    for (k, (work, own_sign, own_scale)) in steps.list.into_iter().enumerate() {
        let result = match k == last {
            true => Slot::Output,
            false => Slot::Scratch(k % 2),
        };
        let through_texture = texture && Texture::holds(bytes);
        let mut step = Step {
            work,
            pairs,
            source: match through_texture {
                true => source.through_texture(),
                false => source,
            },
            result: result.clone(),
            from_real: k == 0 && transform.values == FourierValues::FromReal,
            to_real: k == last && transform.values == FourierValues::ToReal,
            sign: own_sign,
            scale: own_scale,
        };
        if k == 0 {
            step.sign *= sign;
        }
        if k == last {
            step.scale[0] *= factor;
            step.scale[1] *= sign * factor;
        }
        bytes = (8 * pairs * step.result_plane()) as u64;
        if let Slot::Scratch(s) = result {
            lowered.scratch.resize(lowered.scratch.len().max(s + 1), 0);
            lowered.scratch[s] = lowered.scratch[s].max(bytes);
        }
        lowered.launches.push(step.launch(quads));
        source = result;
    }
    lowered
}

impl Family for FourierAlgorithm {
    type Problem = FourierProblem;

    const NAME: &'static str = "fourier";

    /// On a processor a pass through memory costs less than one through workgroup memory, and
    /// registers are plenty.
    fn default_for(capabilities: Capabilities, _: &FourierProblem) -> Self {
        match capabilities.has_memory(Block::MEMORY) {
            true => FourierAlgorithm::Block,
            false => FourierAlgorithm::Passes {
                radix: 64,
                quads: true,
                texture: true,
            },
        }
    }

    fn alternatives(capabilities: Capabilities, _: &FourierProblem) -> Vec<Self> {
        let passes = |radix, quads, texture| FourierAlgorithm::Passes {
            radix,
            quads,
            texture,
        };
        let block = (Block::MEMORY <= capabilities.memory).then_some(FourierAlgorithm::Block);
        let passes = [
            passes(64, true, true),
            passes(32, true, true),
            passes(16, true, true),
            passes(16, true, false),
            passes(16, false, false),
        ];
        block.into_iter().chain(passes).collect()
    }

    fn forced(forced: &Forced) -> Option<Self> {
        forced.fourier
    }

    fn force(self, forced: &mut Forced) {
        forced.fourier = Some(self);
    }

    fn lower(self, problem: &FourierProblem) -> Lowered {
        lower(problem, self)
    }

    /// The planes stay as they are, whose factors decide; forward and unitary stands for all.
    fn representative(problem: &FourierProblem) -> FourierProblem {
        let Shape([n, c, h, w]) = problem.shape;
        FourierProblem {
            shape: Shape::new(n.next_power_of_two(), c, h, w),
            transform: Fourier {
                direction: FourierDirection::Forward,
                scale: FourierScale::Unitary,
                ..problem.transform
            },
        }
    }

    fn inputs(problem: &FourierProblem) -> Vec<Shape> {
        vec![problem.shape]
    }

    fn output(problem: &FourierProblem) -> Shape {
        let output = problem.transform.output(problem.shape);
        output.unwrap_or(problem.shape)
    }
}
