//! Elementwise functions: the definition that the WGSL expressions of
//! `kernels::elementwise` are tested against.

/// A function of one number, applied to every element.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Unary {
    /// `c * x`
    Scale(f32),
    /// `x + c`
    Offset(f32),
    /// `max(x, c)`
    AtLeast(f32),
    /// `e^x`
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// `1 / x`
    Reciprocal,
    /// Absolute value.
    Abs,
    /// -1, 0 or 1.
    Sign,
    /// `x` where positive, `slope * x` elsewhere; the slope is positive.
    LeakyRelu(f32),
}

/// A function of two numbers, applied element by element with broadcasting.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// 1 where `a > b`, else 0.
    Greater,
    /// 1 where `a == b`, else 0.
    Equal,
    /// `b` where `a > 0`, `slope * b` elsewhere: the derivative of [`Unary::LeakyRelu`] with
    /// `a` its *output* (which has the sign of its input, so the input need not be kept) and `b`
    /// the incoming gradient.
    LeakyReluGradient(f32),
}

impl Unary {
    /// The value at `x`.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Unary::Scale(c) => f64::from(c) * x,
            Unary::Offset(c) => x + f64::from(c),
            Unary::AtLeast(c) => x.max(f64::from(c)),
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Sqrt => x.sqrt(),
            Unary::Reciprocal => 1.0 / x,
            Unary::Abs => x.abs(),
            Unary::Sign if x == 0.0 => 0.0,
            Unary::Sign => x.signum(),
            Unary::LeakyRelu(slope) if x <= 0.0 => f64::from(slope) * x,
            Unary::LeakyRelu(_) => x,
        }
    }

    /// The name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Scale(_) => "scale",
            Unary::Offset(_) => "offset",
            Unary::AtLeast(_) => "at_least",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Sqrt => "sqrt",
            Unary::Reciprocal => "reciprocal",
            Unary::Abs => "abs",
            Unary::Sign => "sign",
            Unary::LeakyRelu(_) => "leaky_relu",
        }
    }
}

impl Binary {
    /// The value at `a`, `b`.
    pub fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Greater => f64::from(u8::from(a > b)),
            Binary::Equal => f64::from(u8::from(a == b)),
            Binary::LeakyReluGradient(_) if a > 0.0 => b,
            Binary::LeakyReluGradient(slope) => f64::from(slope) * b,
        }
    }

    /// The name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Greater => "greater",
            Binary::Equal => "equal",
            Binary::LeakyReluGradient(_) => "leaky_relu_gradient",
        }
    }
}
