//! Winograd's minimal filtering for 3x3 windows (`reference::winograd`): transforms, a product over the
//! channels for each frequency, and the transform back. The products are 1x1 convolutions of a batch
//! of frequencies in which every entry has its own kernel, so the tiled kernels compute them.

use super::block::Block;
use super::dense::{Dense, Kernel, Method, Origin};
use super::row::Row;
use super::tile::Tile;
use super::{CLAMPED, with_operands};
use crate::gpu::Texture;
use crate::kernels::chain::Chain;
use crate::kernels::{Capabilities, Launch, Lowered, Slot};
use crate::reference::winograd::{Outputs, Row as Combination};
use crate::shader::{Variant, params};
use crate::shape::{Padding, Shape, Window};
use std::fmt::Write;

params! {
    /// Uniform of the kernels of Winograd's algorithm: `lib/winograd.wgsl`.
    pub struct WinogradParams {
        pub n: u32,
        pub c: u32,
        pub h: u32,
        pub w: u32,
        pub oc: u32,
        pub oh: u32,
        pub ow: u32,
        pub origin: i32,
        pub first: u32,
        pub bands: u32,
        pub across: u32,
        pub pad0: u32,
    }
}

/// Winograd's algorithm for a tile size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Winograd {
    /// F(2x2, 3x3) or F(4x4, 3x3).
    pub outputs: Outputs,
    /// How the frequencies' products are computed.
    pub product: Product,
}

/// The kernel that computes the frequencies' products.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Product {
    /// Register tiles.
    Tiled(Tile),
    /// Blocks through workgroup memory.
    Block(Block),
}

/// Rows and columns of outputs that a thread transforms.
const BLOCK: usize = 4;
/// Bytes of transformed image, and of products, that are held at once: images beyond are treated
/// band after band. WebGPU grants bindings of 128 MiB; less stays nearer to the caches.
const HELD: usize = 32 << 20;

impl Winograd {
    /// With the products that suit the adapter.
    pub fn new(outputs: Outputs, capabilities: Capabilities) -> Self {
        let product = match Block::DEFAULT.suits(capabilities) {
            true => Product::Block(Block::DEFAULT),
            false => Product::Tiled(Tile::default_for(capabilities)),
        };
        Winograd { outputs, product }
    }

    /// Whether it computes this window.
    pub fn takes(self, window: Window) -> bool {
        window.size == 3 && window.stride == 1
    }

    fn size(self) -> usize {
        self.outputs.count() + 2
    }

    fn frequencies(self) -> usize {
        self.size() * self.size()
    }

    fn tiles(self) -> usize {
        BLOCK / self.outputs.count()
    }

    fn variant(self) -> Variant {
        Variant::new().flag_if("TWO", self.tiles() == 2)
    }
}

impl Product {
    fn fitted(self, outputs: usize) -> Self {
        match self {
            Product::Tiled(tile) => Product::Tiled(tile.fitted(outputs)),
            Product::Block(block) => Product::Block(block.fitted(outputs)),
        }
    }

    fn channels(self) -> u32 {
        match self {
            Product::Tiled(tile) => tile.channels,
            Product::Block(block) => block.channels,
        }
    }

    fn lower(self, dense: &Dense, packed: Slot, lowered: &mut Lowered) {
        match self {
            Product::Tiled(tile) => tile.lower_packed(dense, packed, lowered),
            Product::Block(block) => {
                let launch = block.launch(dense, packed);
                let bytes = dense.x.bytes() + dense.output.bytes();
                lowered.launches.push(launch.work(dense.flops(), bytes));
            }
        }
    }

    /// Whether it reads an image of this size through a texture, as then the transform does.
    fn texture(self, bytes: u64) -> bool {
        matches!(self, Product::Tiled(tile) if tile.texture) && Texture::holds(bytes)
    }
}

impl Method for Winograd {
    /// Its tiles share what they read between pixels that would fold it differently.
    fn folds(&self) -> bool {
        false
    }

    fn lower(&self, dense: &Dense, kernel: &Kernel, lowered: &mut Lowered) {
        let (x, output) = (dense.x, dense.output);
        let product = self.product.fitted(output.c());
        let (down, across) = (output.h().div_ceil(BLOCK), output.w().div_ceil(BLOCK));
        let params = WinogradParams {
            n: x.n() as u32,
            c: x.c() as u32,
            h: x.h() as u32,
            w: x.w() as u32,
            oc: output.c() as u32,
            oh: output.h() as u32,
            ow: output.w() as u32,
            origin: dense.origin.row,
            first: 0,
            bands: 0,
            across: across as u32,
            pad0: 0,
        };
        let packed = self.transform_kernel(product.channels(), &params, kernel, lowered);
        // Bands of blocks, counted over the batch, in passes of as many as may be held.
        let bands = output.n() * down;
        let frequencies = |channels: usize, bands: usize| {
            let (rows, columns) = (bands * self.tiles(), across * self.tiles());
            Shape::new(self.frequencies(), channels, rows, columns)
        };
        let widest = x.c().max(output.c());
        let most = (HELD / frequencies(widest, 1).bytes() as usize).clamp(1, bands);
        let passes = bands.div_ceil(most);
        let most = bands.div_ceil(passes);
        let mut held = |channels| {
            lowered.scratch.push(frequencies(channels, most).bytes());
            Slot::Scratch(lowered.scratch.len() - 1)
        };
        let (transformed, products) = (held(x.c()), held(output.c()));
        for first in (0..bands).step_by(most) {
            let count = most.min(bands - first);
            let params = WinogradParams {
                first: first as u32,
                bands: count as u32,
                ..params
            };
            let texture = product.texture(x.bytes());
            let chain = Chain::none();
            let dense_product = Dense {
                x: frequencies(x.c(), count),
                output: frequencies(output.c(), count),
                origin: Origin { row: 0, column: 0 },
                window: Window::same(1, Padding::Zero),
                chain: &chain,
                source: transformed.clone(),
                result: products.clone(),
                kernels: true,
                folded: false,
            };
            let input = self.transform_input(dense, &params, transformed.clone(), texture);
            lowered.launches.push(input);
            product.lower(&dense_product, packed.clone(), lowered);
            let output = self.transform_output(dense, &params, products.clone());
            lowered.launches.push(output);
        }
    }
}

impl Winograd {
    fn transform_kernel(
        self,
        channels: u32,
        params: &WinogradParams,
        kernel: &Kernel,
        lowered: &mut Lowered,
    ) -> Slot {
        let (outputs, inputs) = (kernel.outputs(), kernel.inputs());
        let elements = outputs.next_multiple_of(channels as usize) * inputs;
        let bytes = 4 * (self.frequencies() * elements) as u64;
        lowered.scratch.push(bytes);
        let packed = Slot::Scratch(lowered.scratch.len() - 1);
        let bindings = vec![("kernel", Slot::Input(1)), ("packed", packed.clone())];
        let variant = (self.variant())
            .constant("CHANNELS", channels)
            .flag_if("TRANSPOSED", kernel.transposed)
            .snippet("transform", kernel_lines(self.outputs, kernel.transposed));
        let mut launch = Launch::new(
            "conv/winograd_kernel.wgsl",
            params,
            bindings,
            elements.div_ceil(64) as u64,
        )
        .variant(variant)
        .work(0, kernel.shape.bytes() + bytes);
        // Outputs beyond the last are clamped to it for reading, threads beyond the last leave.
        launch.trust = CLAMPED;
        lowered.launches.push(launch);
        packed
    }

    fn transform_input(
        self,
        dense: &Dense,
        params: &WinogradParams,
        transformed: Slot,
        texture: bool,
    ) -> Launch {
        let x = dense.x;
        let quads = x.w().is_multiple_of(4);
        let row = Row {
            columns: BLOCK as u32 + 2,
            origin: dense.origin.column,
            quads,
            padding: dense.window.padding,
        };
        let blocks = x.c() * (params.bands * params.across) as usize;
        let source = match texture {
            true => dense.source.clone().through_texture(),
            false => dense.source.clone(),
        };
        let variant = dense
            .padding_flag(self.variant())
            .flag_if("QUAD_ROWS", quads)
            .flag_if("TEXTURE", texture)
            .snippet("transform", input_lines(self.outputs, row));
        let bindings = vec![("x", source), ("frequencies", transformed)];
        let groups = blocks.div_ceil(64) as u64;
        let mut launch = Launch::new("conv/winograd_input.wgsl", params, bindings, groups)
            .variant(variant)
            .work(
                0,
                4 * (blocks * (BLOCK * BLOCK + self.frequencies() * self.tiles().pow(2))) as u64,
            );
        // Pixels outside are resolved to some inside, threads beyond the last leave.
        launch.trust = CLAMPED;
        launch
    }

    fn transform_output(self, dense: &Dense, params: &WinogradParams, products: Slot) -> Launch {
        let output = dense.output;
        let quads = Chain::quads(output);
        let blocks = output.c() * (params.bands * params.across) as usize;
        let bindings = vec![("products", products), ("result", dense.result.clone())];
        let variant = (self.variant())
            .flag_if("QUADS", quads)
            .snippet("transform", output_lines(self.outputs));
        let groups = blocks.div_ceil(64) as u64;
        let bindings = with_operands(bindings, dense.chain);
        let mut launch = Launch::new("conv/winograd_output.wgsl", params, bindings, groups)
            .variant(dense.chain.into_variant(variant, output, quads))
            .work(
                0,
                4 * (blocks * (BLOCK * BLOCK + self.frequencies() * self.tiles().pow(2))) as u64
                    + dense.chain.bytes(),
            );
        // Threads beyond the last leave, pixels beyond the last are not written.
        launch.trust = CLAMPED;
        launch
    }
}

impl std::fmt::Display for Winograd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let m = self.outputs.count();
        write!(f, "winograd {m}x{m} ")?;
        match self.product {
            Product::Tiled(tile) => tile.fmt(f),
            Product::Block(block) => block.fmt(f),
        }
    }
}

/// A combination of the numbers `of(k)`.
fn combine(row: &Combination, of: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for (k, &n) in row.numerators.iter().enumerate().filter(|(_, n)| **n != 0) {
        let sign = if n < 0 { "-" } else { "+" };
        let number = match n.abs() {
            1 => of(k),
            n => format!("{n}.0 * {}", of(k)),
        };
        let _ = match (text.is_empty(), n < 0) {
            (true, false) => write!(text, "{number}"),
            (true, true) => write!(text, "-{number}"),
            (false, _) => write!(text, " {sign} {number}"),
        };
    }
    match row.denominator {
        1 => text,
        d => format!("({text}) * (1.0 / {d}.0)"),
    }
}

/// Sets `NAMEi_j` to the transform of the square matrix of the numbers `element(i, j)`, columns first.
fn transform(
    rows: &[Combination],
    element: impl Fn(usize, usize) -> String,
    name: &str,
    text: &mut String,
) {
    let from = rows[0].numerators.len();
    for (i, row) in rows.iter().enumerate() {
        for j in 0..from {
            let value = combine(row, |k| element(k, j));
            let _ = writeln!(text, "let {name}h{i}_{j} = {value};");
        }
        for (j, across) in rows.iter().enumerate() {
            let value = combine(across, |k| format!("{name}h{i}_{k}"));
            let _ = writeln!(text, "let {name}{i}_{j} = {value};");
        }
    }
}

fn kernel_lines(outputs: Outputs, transposed: bool) -> String {
    let mut text = String::new();
    for tap in 0..9 {
        let place = if transposed { 8 - tap } else { tap };
        let _ = writeln!(
            text,
            "let g{}_{} = scale * kernel[first + {place}u];",
            tap / 3,
            tap % 3
        );
    }
    let rows = outputs.matrices().kernel;
    transform(rows, |i, j| format!("g{i}_{j}"), "u", &mut text);
    for f in 0..rows.len() * rows.len() {
        let (i, j) = (f / rows.len(), f % rows.len());
        let _ = writeln!(text, "packed[{f}u * pitch + i] = u{i}_{j};");
    }
    text
}

/// Rows and columns of tiles of a block.
fn tiles(outputs: Outputs) -> impl Iterator<Item = (usize, usize)> {
    let tiles = BLOCK / outputs.count();
    (0..tiles).flat_map(move |r| (0..tiles).map(move |c| (r, c)))
}

fn input_lines(outputs: Outputs, row: Row) -> String {
    let mut text = String::new();
    row.declare("i32(column)", &mut text);
    for k in 0..BLOCK as u32 + 2 {
        row.declare_line(k, &format!("top + {k}"), &mut text);
        let start = format!("plane + line{k}");
        row.load(k, &start, "let ", &format!("x{k}_"), &mut text);
    }
    let (rows, m) = (outputs.matrices().input, outputs.count());
    for (r, c) in tiles(outputs) {
        let name = format!("v{r}{c}_");
        let pixel = |i: usize, j: usize| format!("x{}_{}", m * r + i, m * c + j);
        transform(rows, pixel, &name, &mut text);
        for f in 0..rows.len() * rows.len() {
            let (i, j) = (f / rows.len(), f % rows.len());
            let _ = writeln!(
                text,
                "frequencies[{f}u * pitch + first + {r}u * row_extent() + {c}u] = {name}{i}_{j};"
            );
        }
    }
    text
}

fn output_lines(outputs: Outputs) -> String {
    let mut text = String::new();
    let (rows, m) = (outputs.matrices().output, outputs.count());
    let size = m + 2;
    for (r, c) in tiles(outputs) {
        for f in 0..size * size {
            let _ = writeln!(
                text,
                "let m{r}{c}_{}_{} = products[{f}u * pitch + first + {r}u * row_extent() + {c}u];",
                f / size,
                f % size
            );
        }
        let product = |i: usize, j: usize| format!("m{r}{c}_{i}_{j}");
        transform(rows, product, &format!("y{r}{c}_"), &mut text);
    }
    let pixel = |i: usize, j: usize| format!("y{}{}_{}_{}", i / m, j / m, i % m, j % m);
    let lines = (0..BLOCK).map(|i| {
        let columns: Vec<String> = (0..BLOCK).map(|j| pixel(i, j)).collect();
        format!("vec4({})", columns.join(", "))
    });
    let lines: Vec<String> = lines.collect();
    let _ = writeln!(
        text,
        "var values = array<vec4<f32>, {BLOCK}>({});",
        lines.join(", ")
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_written_as_sums_of_whole_multiples() {
        let name = |k: usize| format!("a{k}");
        let matrices = Outputs::Four.matrices();
        assert_eq!(
            combine(&matrices.input[0], name),
            "4.0 * a0 - 5.0 * a2 + a4"
        );
        assert_eq!(
            combine(&matrices.kernel[1], name),
            "(-a0 - a1 - a2) * (1.0 / 6.0)"
        );
        assert_eq!(combine(&matrices.output[0], name), "a0 + a1 + a2 + a3 + a4");
    }

    #[test]
    fn large_images_are_treated_in_bands_that_bindings_hold() {
        let shape = |c| Shape::new(2, c, 512, 510);
        let chain = Chain::none();
        let dense = Dense {
            x: shape(96),
            output: shape(64),
            origin: Origin {
                row: -1,
                column: -1,
            },
            window: Window::same(3, Padding::Zero),
            chain: &chain,
            source: Slot::Input(0),
            result: Slot::Output,
            kernels: false,
            folded: false,
        };
        let kernel = Kernel::new(Shape::new(64, 96, 3, 3), false);
        for outputs in [Outputs::Two, Outputs::Four] {
            let mut lowered = Lowered::default();
            let winograd = Winograd::new(outputs, Capabilities::default());
            winograd.lower(&dense, &kernel, &mut lowered);
            assert!(lowered.scratch.iter().all(|&bytes| bytes <= HELD as u64));
            let bands: u32 = (lowered.launches.iter())
                .filter(|l| l.path == "conv/winograd_input.wgsl")
                .map(|l| bytemuck::pod_read_unaligned::<WinogradParams>(&l.params).bands)
                .sum();
            assert_eq!(bands, 2 * 128);
        }
    }
}
