//! Chains of elementwise functions as generated WGSL: the whole of an elementwise kernel, or the
//! epilogue of another one.

use super::Slot;
use crate::gpu::Texture;
use crate::reference::elementwise::{Binary, Unary};
use crate::shader::Variant;
use crate::shape::Shape;
use std::fmt::Write;

/// Where a stage takes an argument from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The value that the kernel computed itself.
    Root,
    /// Operand `i`, read from memory.
    Operand(usize),
    /// The result of stage `i`.
    Stage(usize),
}

/// One elementwise function.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Stage {
    /// Of one argument.
    Unary(Unary, Source),
    /// Of two.
    Binary(Binary, Source, Source),
}

/// Elementwise functions one after another; the last stage is the result, or the root if there is
/// none. Operands broadcast to the output.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Chain {
    /// In order of evaluation.
    pub stages: Vec<Stage>,
    /// Shapes of the operands.
    pub operands: Vec<Shape>,
    /// Operands are read through textures, those that fit into one, and so is what a kernel that
    /// does little more than to run the chain reads itself.
    pub textures: bool,
}

/// The names under which operands are bound.
pub const OPERANDS: [&str; 6] = [
    "operand0", "operand1", "operand2", "operand3", "operand4", "operand5",
];

impl Chain {
    /// The identity.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether an output of shape `shape` may be computed four numbers at a time: its rows, and
    /// with them those of every operand that does not broadcast along them, are whole `vec4`s.
    pub fn quads(shape: Shape) -> bool {
        shape.w().is_multiple_of(4)
    }

    /// WGSL for `fn chain(value: Number, i: u32, at: vec4<u32>) -> Number`, where `i` is the linear
    /// index in the output of shape `shape` and `at` its coordinates, and the operands' bindings
    /// from binding 8 on. A `Number` is an f32, or with `quads` the vec4 of the elements from `i`
    /// on, a multiple of 4. A loop runs it, so nothing here is unrolled.
    pub fn wgsl(&self, shape: Shape, quads: bool) -> String {
        let (number, width) = if quads { ("vec4<f32>", 4) } else { ("f32", 1) };
        let mut text = format!("alias Number = {number};\nconst WIDTH = {width}u;\n");
        if self.operands.iter().any(|&o| self.through_texture(o)) {
            text.insert_str(0, "#import lib/texels\n");
        }
        let whole = |operand: Shape| operand.w() == shape.w();
        for (k, (operand, name)) in self.operands.iter().zip(OPERANDS).enumerate() {
            let binding = 8 + k;
            let ty = match (self.through_texture(*operand), whole(*operand)) {
                (true, _) => "var NAME: texture_2d<f32>",
                (false, true) => "var<storage, read> NAME: array<Number>",
                (false, false) => "var<storage, read> NAME: array<f32>",
            };
            let variable = ty.replace("NAME", name);
            let _ = writeln!(text, "@group(0) @binding({binding}) {variable};");
        }
        text.push_str("fn chain(value: Number, i: u32, at: vec4<u32>) -> Number {\n");
        for (k, (operand, name)) in self.operands.iter().zip(OPERANDS).enumerate() {
            let index = operand_index(*operand, shape);
            let texel = format!("textureLoad({name}, texel(({index}) / 4u), 0)");
            let element = match (self.through_texture(*operand), quads && whole(*operand)) {
                (true, true) => texel,
                (true, false) => format!("Number({texel}[({index}) % 4u])"),
                (false, true) => format!("{name}[({index}) / 4u]"),
                (false, false) => format!("Number({name}[{index}])"),
            };
            let _ = writeln!(text, "    let o{k} = {element};");
        }
        let name = |source: Source| match source {
            Source::Root => "value".to_string(),
            Source::Operand(k) => format!("o{k}"),
            Source::Stage(k) => format!("s{k}"),
        };
        for (k, stage) in self.stages.iter().enumerate() {
            let expression = match *stage {
                Stage::Unary(f, a) => unary(f, &name(a)),
                Stage::Binary(f, a, b) => binary(f, &name(a), &name(b)),
            };
            let _ = writeln!(text, "    let s{k} = {expression};");
        }
        let result = match self.stages.len() {
            0 => "value".to_string(),
            n => format!("s{}", n - 1),
        };
        let _ = writeln!(text, "    return {result};\n}}");
        text
    }

    fn through_texture(&self, operand: Shape) -> bool {
        self.textures && Texture::holds(operand.bytes())
    }

    /// What the operands are bound to, if they are the operation's inputs from `first` on.
    pub fn bind(&self, first: usize, bindings: &mut Vec<(&'static str, Slot)>) {
        for (k, (&operand, name)) in self.operands.iter().zip(OPERANDS).enumerate() {
            let slot = Slot::Input(first + k);
            bindings.push(match self.through_texture(operand) {
                true => (name, slot.through_texture()),
                false => (name, slot),
            });
        }
    }

    /// `variant` with this chain as `generated/chain`.
    pub fn into_variant(&self, variant: Variant, shape: Shape, quads: bool) -> Variant {
        variant.snippet("chain", self.wgsl(shape, quads))
    }

    /// Bytes that the operands hold.
    pub fn bytes(&self) -> u64 {
        self.operands.iter().map(|s| s.bytes()).sum()
    }
}

/// The linear index of an operand of shape `operand` at `i`, `at` of an output of shape `shape`.
fn operand_index(operand: Shape, shape: Shape) -> String {
    if operand == shape {
        return "i".into();
    }
    let strides = operand.strides();
    let terms: Vec<String> = (0..4)
        .filter(|&axis| operand.0[axis] > 1)
        .map(|axis| match strides[axis] {
            1 => format!("at[{axis}]"),
            stride => format!("at[{axis}] * {stride}u"),
        })
        .collect();
    if terms.is_empty() {
        "0".into()
    } else {
        terms.join(" + ")
    }
}

/// An f32 literal that reads back to the same bits.
fn literal(x: f32) -> String {
    if x.is_finite() {
        format!("{x:?}f")
    } else {
        format!("bitcast<f32>({:#x}u)", x.to_bits())
    }
}

fn unary(f: Unary, x: &str) -> String {
    match f {
        Unary::Scale(c) => format!("{} * {x}", literal(c)),
        Unary::Offset(c) => format!("{x} + {}", literal(c)),
        Unary::AtLeast(c) => format!("max({x}, Number({}))", literal(c)),
        Unary::Exp => format!("exp({x})"),
        Unary::Log => format!("log({x})"),
        Unary::Sqrt => format!("sqrt({x})"),
        Unary::Reciprocal => format!("1.0 / {x}"),
        Unary::Abs => format!("abs({x})"),
        Unary::Sign => format!("sign({x})"),
        Unary::LeakyRelu(c) => format!("select({} * {x}, {x}, {x} > Number())", literal(c)),
    }
}

fn binary(f: Binary, a: &str, b: &str) -> String {
    match f {
        Binary::Add => format!("{a} + {b}"),
        Binary::Sub => format!("{a} - {b}"),
        Binary::Mul => format!("{a} * {b}"),
        Binary::Div => format!("{a} / {b}"),
        Binary::Greater => format!("select(Number(), Number(1.0), {a} > {b})"),
        Binary::Equal => format!("select(Number(), Number(1.0), {a} == {b})"),
        Binary::LeakyReluGradient(c) => {
            format!("select({} * {b}, {b}, {a} > Number())", literal(c))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_survive_the_round_trip() {
        for x in [0.1f32, -1e-38, 3.0, f32::MAX, 1e-45] {
            let text = literal(x);
            let parsed: f32 = text.trim_end_matches('f').parse().expect("a float");
            assert_eq!(parsed.to_bits(), x.to_bits());
        }
        assert!(literal(f32::INFINITY).starts_with("bitcast"));
    }

    #[test]
    fn a_channel_operand_is_indexed_by_its_channel_alone() {
        let shape = Shape::new(2, 3, 4, 5);
        assert_eq!(operand_index(Shape::new(1, 3, 1, 1), shape), "at[1]");
        assert_eq!(operand_index(shape, shape), "i");
        assert_eq!(operand_index(Shape::SCALAR, shape), "0");
        assert_eq!(
            operand_index(Shape::new(2, 1, 4, 1), shape),
            "at[0] * 4u + at[2]"
        );
    }
}
