//! Small Fourier transforms as straight-line code: what a pass holds in registers.
//!
//! One function writes every size, by the factors of the size as Cooley and Tukey (1965) do, with
//! constants that are known beforehand: multiplications by 1, -1, i and -i cost nothing, those by
//! the odd eighths of a turn half of others. Odd primes pair the points `k` and `p - k`, whose
//! sums meet cosines alone and whose differences sines alone.

use crate::reference::fourier::{Complex, root};
use std::fmt::Write;

/// What straight-line code is made of: WGSL, numbers in the tests, or a count of operations.
pub trait Arithmetic {
    /// A real number.
    type Value: Clone;

    /// The sum of the products. At least one factor is not zero.
    fn sum(&mut self, terms: &[(f64, &Self::Value)]) -> Self::Value;
}

/// Real and imaginary part.
pub type Pair<V> = [V; 2];

/// The forward transform of `x`, without a factor.
pub fn transform<A: Arithmetic>(a: &mut A, x: &[Pair<A::Value>]) -> Vec<Pair<A::Value>> {
    let n = x.len();
    let Some(first) = first_factor(n) else {
        return x.to_vec();
    };
    let rest = n / first;
    if rest == 1 {
        return prime(a, x);
    }
    // Transforms of every `first`-th point, turned, and transforms of those.
    let inner: Vec<Vec<Pair<A::Value>>> = (0..first)
        .map(|r| {
            let points: Vec<_> = x.iter().skip(r).step_by(first).cloned().collect();
            transform(a, &points)
        })
        .collect();
    let mut y = x.to_vec();
    for k in 0..rest {
        let turned: Vec<_> = (0..first)
            .map(|r| turn(a, &inner[r][k], root(r * k, n).conj()))
            .collect();
        for (q, value) in transform(a, &turned).into_iter().enumerate() {
            y[q * rest + k] = value;
        }
    }
    y
}

/// Fours first, then primes; `None` of 1.
fn first_factor(n: usize) -> Option<usize> {
    match n {
        1 => None,
        4 => Some(2),
        n if n.is_multiple_of(4) => Some(4),
        n => (2..=n).find(|p| n.is_multiple_of(*p)),
    }
}

/// `x` times a constant.
fn turn<A: Arithmetic>(a: &mut A, [re, im]: &Pair<A::Value>, w: Complex) -> Pair<A::Value> {
    [
        a.sum(&[(w.re, re), (-w.im, im)]),
        a.sum(&[(w.im, re), (w.re, im)]),
    ]
}

/// A prime size.
fn prime<A: Arithmetic>(a: &mut A, x: &[Pair<A::Value>]) -> Vec<Pair<A::Value>> {
    let p = x.len();
    let mut both = |i: usize, j: usize, sign: f64| -> Pair<A::Value> {
        std::array::from_fn(|part| a.sum(&[(1.0, &x[i][part]), (sign, &x[j][part])]))
    };
    if p == 2 {
        return vec![both(0, 1, 1.0), both(0, 1, -1.0)];
    }
    let half = (p - 1) / 2;
    let sums: Vec<_> = (1..=half).map(|k| both(k, p - k, 1.0)).collect();
    let differences: Vec<_> = (1..=half).map(|k| both(k, p - k, -1.0)).collect();
    let mut y = x.to_vec();
    y[0] = std::array::from_fn(|part| {
        let sums = sums.iter().map(|s| (1.0, &s[part]));
        let terms: Vec<_> = std::iter::once((1.0, &x[0][part])).chain(sums).collect();
        a.sum(&terms)
    });
    for m in 1..=half {
        let turns: Vec<Complex> = (1..=half).map(|k| root(m * k, p)).collect();
        let even: Pair<A::Value> = std::array::from_fn(|part| {
            let sums = turns.iter().zip(&sums).map(|(w, s)| (w.re, &s[part]));
            let terms: Vec<_> = std::iter::once((1.0, &x[0][part])).chain(sums).collect();
            a.sum(&terms)
        });
        let odd: Pair<A::Value> = std::array::from_fn(|part| {
            let terms: Vec<_> = (turns.iter().zip(&differences))
                .map(|(w, d)| (w.im, &d[part]))
                .collect();
            a.sum(&terms)
        });
        // even - i odd, and even + i odd at the mirrored place.
        for (place, sign) in [(m, 1.0), (p - m, -1.0)] {
            y[place] = [
                a.sum(&[(1.0, &even[0]), (sign, &odd[1])]),
                a.sum(&[(1.0, &even[1]), (-sign, &odd[0])]),
            ];
        }
    }
    y
}

/// WGSL: one `let` for each sum.
#[derive(Default)]
pub struct Text {
    /// The lines so far.
    pub lines: String,
    names: usize,
}

impl Text {
    /// Names the value of an expression.
    pub fn name(&mut self, expression: &str) -> String {
        let name = format!("v{}", self.names);
        self.names += 1;
        let _ = writeln!(self.lines, "let {name} = {expression};");
        name
    }

    /// The product of two complex values.
    pub fn product(&mut self, [ar, ai]: &Pair<String>, [br, bi]: &Pair<String>) -> Pair<String> {
        [
            self.name(&format!("{ar} * {br} - {ai} * {bi}")),
            self.name(&format!("{ar} * {bi} + {ai} * {br}")),
        ]
    }
}

impl Arithmetic for Text {
    type Value = String;

    fn sum(&mut self, terms: &[(f64, &String)]) -> String {
        let terms: Vec<_> = terms.iter().filter(|(f, _)| *f != 0.0).collect();
        let size = terms[0].0.abs();
        if let [(1.0, value)] = terms[..] {
            return (*value).clone();
        }
        // A factor in common is multiplied once.
        let common = terms.iter().all(|(f, _)| f.abs() == size);
        let mut text = String::new();
        for (i, (factor, value)) in terms.iter().enumerate() {
            text += match (i, *factor < 0.0) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            if !common && factor.abs() != 1.0 {
                let _ = write!(text, "{:?}f * ", factor.abs() as f32);
            }
            text += value;
        }
        if common && size != 1.0 {
            text = format!("{:?}f * ({text})", size as f32);
        }
        self.name(&text)
    }
}

/// Additions and multiplications.
#[derive(Default)]
pub struct Count(pub usize);

impl Arithmetic for Count {
    type Value = ();

    fn sum(&mut self, terms: &[(f64, &())]) {
        let terms: Vec<f64> = terms.iter().map(|t| t.0).filter(|f| *f != 0.0).collect();
        let common = terms.iter().all(|f| f.abs() == terms[0].abs());
        let scaled = terms.iter().filter(|f| f.abs() != 1.0).count();
        self.0 += terms.len() - 1 + if common { scaled.min(1) } else { scaled };
    }
}

/// Floating-point operations of a transform of `n` points.
pub fn flops(n: usize) -> usize {
    let mut count = Count::default();
    transform(&mut count, &vec![[(), ()]; n]);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::fourier::direct;
    use crate::shape::FourierDirection;

    struct Numbers;

    impl Arithmetic for Numbers {
        type Value = f64;

        fn sum(&mut self, terms: &[(f64, &f64)]) -> f64 {
            terms.iter().map(|(factor, value)| factor * **value).sum()
        }
    }

    #[test]
    fn every_size_is_the_sum_as_it_stands() {
        for n in 1..=64 {
            let point = |k: usize| [(k as f64 * 0.7).sin(), (k as f64 * 1.3 + 0.4).cos()];
            let x: Vec<Pair<f64>> = (0..n).map(point).collect();
            let pairs: Vec<Complex> = x.iter().map(|p| Complex::new(p[0], p[1])).collect();
            let expected = direct(&pairs, FourierDirection::Forward);
            for (found, expected) in transform(&mut Numbers, &x).iter().zip(expected) {
                let error = (Complex::new(found[0], found[1]) - expected).norm();
                assert!(error < 1e-13 * n as f64, "{n}: {error}");
            }
        }
    }

    /// The counts of the textbooks for powers of two (a product by an odd eighth of a turn is two
    /// multiplications and two additions), and for 3: Winograd's two multiplications and one pair more.
    #[test]
    fn trivial_products_cost_nothing() {
        let counts = [1, 2, 3, 4, 8, 16].map(flops);
        assert_eq!(counts, [0, 4, 16, 16, 56, 168]);
    }

    #[test]
    fn text_drops_what_is_zero_or_one() {
        let mut text = Text::default();
        let [a, b] = ["a".to_string(), "b".to_string()];
        assert_eq!(text.sum(&[(1.0, &a), (0.0, &b)]), "a");
        text.sum(&[(-1.0, &a), (1.0, &b)]);
        text.sum(&[(0.5, &a), (-0.5, &b)]);
        text.sum(&[(1.0, &a), (-0.25, &b)]);
        text.sum(&[(-1.0, &b)]);
        let expected =
            "let v0 = -a + b;\nlet v1 = 0.5f * (a - b);\nlet v2 = a - 0.25f * b;\nlet v3 = -b;\n";
        assert_eq!(text.lines, expected);
    }
}
