//! Products with a table along an axis, and the change of its length.

use super::step::{Grid, Step};
use crate::gpu::Trust;
use crate::kernels::{Launch, Slot};
use crate::reference::fourier::Complex;
use crate::shader::{Variant, params};
use std::sync::Arc;

params! {
    /// Uniform of `fourier/modulate.wgsl`.
    pub struct ModulateParams {
        pub count: u32,
        pub inner: u32,
        pub source_length: u32,
        pub result_length: u32,
        pub outer: u32,
        pub source_pair: u32,
        pub source_imaginary: u32,
        pub result_pair: u32,
        pub result_imaginary: u32,
        pub scale_real: f32,
        pub scale_imaginary: f32,
        pub sign: f32,
    }
}

/// The axis of `grid` times `factors`, cut or padded with zeros to `length`.
#[derive(Clone, Debug)]
pub(super) struct Modulate {
    pub grid: Grid,
    pub length: usize,
    /// As many as the longer one of both lengths has points that count.
    pub factors: Arc<[Complex]>,
}

impl Modulate {
    /// Where its result lies.
    pub fn result(&self) -> Grid {
        Grid {
            length: self.length,
            ..self.grid
        }
    }

    pub fn launch(&self, step: &Step, quads: bool) -> Launch {
        let Grid {
            outer,
            length,
            inner,
        } = self.grid;
        let across = quads && inner.is_multiple_of(4);
        let fours = |n: usize| n.is_multiple_of(4);
        let along = quads && inner == 1 && fours(length) && fours(self.length);
        let width = if across || along { 4 } else { 1 };
        let number = |values: usize| (values / width) as u32;
        let shorten = |length: usize| if along { length / 4 } else { length };
        let (plane, result) = (self.grid.plane(), self.result().plane());
        let count = step.pairs * result / width;
        let params = ModulateParams {
            count: count as u32,
            inner: if across { inner / 4 } else { inner } as u32,
            source_length: shorten(length) as u32,
            result_length: shorten(self.length) as u32,
            outer: outer as u32,
            source_pair: number(plane * step.source_parts()),
            source_imaginary: number(plane),
            result_pair: number(result * step.result_parts()),
            result_imaginary: number(result),
            scale_real: step.scale[0] as f32,
            scale_imaginary: step.scale[1] as f32,
            sign: step.sign as f32,
        };
        let bindings = vec![
            ("source", step.source.clone()),
            ("result", step.result.clone()),
            ("factors", Slot::Table(self.table(along))),
        ];
        let variant = Variant::new()
            .flag_if("QUADS", width == 4)
            .flag_if("ALONG", along)
            .flag_if("TEXTURE", step.reads_texture())
            .flag_if("FROM_REAL", step.from_real)
            .flag_if("TO_REAL", step.to_real);
        let read = plane * step.source_parts();
        let written = result * step.result_parts();
        let groups = (count as u64).div_ceil(64);
        let mut launch = Launch::new("fourier/modulate.wgsl", &params, bindings, groups)
            .variant(variant)
            .work(
                (8 * width * count) as u64,
                4 * (step.pairs * (read + written)) as u64,
            );
        // An invocation below the count reads a point that is clamped to the source's and writes
        // its own; the table has a factor for each point of the result.
        launch.trust = Trust::Unchecked;
        launch
    }

    /// A factor for each point of the result; what is padded has none that counts.
    fn table(&self, along: bool) -> Arc<[u32]> {
        let zero = Complex::default();
        let factor = |k: usize| self.factors.get(k).copied().unwrap_or(zero);
        let factors: Vec<Complex> = (0..self.length).map(factor).collect();
        let numbers: Vec<f64> = match along {
            true => (factors.chunks(4))
                .flat_map(|four| {
                    let re = four.iter().map(|f| f.re);
                    re.chain(four.iter().map(|f| f.im))
                })
                .collect(),
            false => factors.iter().flat_map(|f| [f.re, f.im]).collect(),
        };
        numbers.into_iter().map(|x| (x as f32).to_bits()).collect()
    }
}
