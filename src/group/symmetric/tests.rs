//! Programs against the expanded layer, their operation counts, and equivariance to the bit.

use super::*;
use crate::group::testing::numbers;

const KINDS: [FieldKind; 2] = [FieldKind::Trivial, FieldKind::Regular];

fn representation(kind: FieldKind) -> Representation {
    match kind {
        FieldKind::Trivial => Representation::Trivial,
        FieldKind::Regular => Representation::Regular,
    }
}

fn conv(group: Group, input: FieldKind, output: FieldKind, size: usize) -> SymmetricConv {
    let (from, to) = (representation(input), representation(output));
    let basis = KernelBasis::complete(group, &from, &to, size).expect("on grid");
    SymmetricConv::new(group, input, output, basis, Padding::Zero).expect("a basis")
}

fn products(group: Group, input: FieldKind, output: FieldKind) -> [usize; 2] {
    let table = SymmetricTable::new(&conv(group, input, output, 3));
    [table.products(), table.weights]
}

/// One output pixel of one pair of fields from the window `x[channel][row][column]`.
fn run(table: &SymmetricTable, coefficients: &[f64], x: impl Fn(Load) -> f64) -> Vec<f64> {
    let weights: Vec<f64> = (table.change.chunks(coefficients.len()))
        .map(|row| row.iter().zip(coefficients).map(|(a, b)| a * b).sum())
        .collect();
    let mut nodes: Vec<f64> = table.loads.iter().map(|&l| x(l)).collect();
    for s in &table.sums {
        let b = if s.minus { -nodes[s.b] } else { nodes[s.b] };
        nodes.push(nodes[s.a] + b);
    }
    let mut components = vec![0.0; table.components];
    for t in &table.terms {
        let product = weights[t.weight] * nodes[t.node];
        components[t.component] += if t.minus { -product } else { product };
    }
    for &[a, b] in &table.synthesis {
        let (x, y) = (components[a], components[b]);
        (components[a], components[b]) = (x + y, x - y);
    }
    components
}

#[test]
fn programs_compute_the_expanded_layer() {
    for group in Group::ON_GRID {
        for input in KINDS {
            for output in KINDS {
                for size in [1, 3, 5] {
                    for transposed in [false, true] {
                        let conv = conv(group, input, output, size);
                        let conv = if transposed { conv.transposed() } else { conv };
                        let table = SymmetricTable::new(&conv);
                        let mut random = numbers(5);
                        let [len, outputs, inputs, ..] = conv.basis().shape();
                        let coefficients: Vec<f64> = (0..len).map(|_| random()).collect();
                        let x: Vec<f64> = (0..inputs * size * size).map(|_| random()).collect();
                        let found = run(&table, &coefficients, |l| {
                            x[(l.channel * size + l.row) * size + l.column]
                        });
                        for o in 0..outputs {
                            let expected: f64 = (conv.basis().elements())
                                .chunks(outputs * x.len())
                                .zip(&coefficients)
                                .map(|(e, c)| {
                                    let row = &e[o * x.len()..(o + 1) * x.len()];
                                    c * row.iter().zip(&x).map(|(a, b)| a * b).sum::<f64>()
                                })
                                .sum();
                            let error = (found[o] - expected).abs();
                            assert!(
                                error < 1e-12,
                                "{group} {input:?} -> {output:?} {size}: {error}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn products_are_as_few_as_the_irreps_allow() {
    use FieldKind::{Regular, Trivial};
    let (c2, c4, d4) = (Group::cyclic(2), Group::cyclic(4), Group::dihedral(4));
    // Dense: 36, 144 and 576 for regular to regular.
    assert_eq!(products(c2, Regular, Regular), [18, 18]);
    assert_eq!(products(c4, Regular, Regular), [54, 36]);
    assert_eq!(products(d4, Regular, Regular), [108, 72]);
    // Dense: 36 and 72 for lifting and projection.
    assert_eq!(products(c4, Trivial, Regular), [13, 9]);
    assert_eq!(products(c4, Regular, Trivial), [9, 9]);
    assert_eq!(products(d4, Regular, Trivial), [9, 9]);
    assert_eq!(products(d4, Trivial, Regular)[1], 9);
}

/// Moving the image moves every rounding with it.
#[test]
fn programs_are_equivariant_to_the_bit() {
    for group in Group::ON_GRID {
        for [input, output] in KINDS.into_iter().flat_map(|a| KINDS.map(|b| [a, b])) {
            let there = conv(group, input, output, 3);
            let back = there.transposed();
            for (conv, [input, output]) in [(there, [input, output]), (back, [output, input])] {
                let table = SymmetricTable::new(&conv);
                let mut random = numbers(9);
                let coefficients: Vec<f64> = (0..conv.basis().len()).map(|_| random()).collect();
                let inputs = input.size(group);
                let x: Vec<f64> = (0..inputs * 9).map(|_| random()).collect();
                let at = |c: usize, [px, py]: [i32; 2]| {
                    x[(c * 3 + (1 - py) as usize) * 3 + (1 + px) as usize]
                };
                let still = run(&table, &coefficients, |l| {
                    at(l.channel, [l.column as i32 - 1, 1 - l.row as i32])
                });
                for g in 0..group.order() {
                    // (T_g f)_h(p) = f_{g^-1 h}(R_g^-1 p).
                    let back = group.inverse(g);
                    let moved = run(&table, &coefficients, |l| {
                        let point = [l.column as i32 - 1, 1 - l.row as i32];
                        let channel = match input {
                            FieldKind::Trivial => 0,
                            FieldKind::Regular => group.product(back, l.channel),
                        };
                        at(channel, conv.turned(back, point))
                    });
                    for (h, value) in moved.iter().enumerate() {
                        let from = match output {
                            FieldKind::Trivial => 0,
                            FieldKind::Regular => group.product(back, h),
                        };
                        assert_eq!(
                            value.to_bits(),
                            still[from].to_bits(),
                            "{group} {input:?} -> {output:?} under {g}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_harmonic_basis_has_a_table_too() {
    let c4 = Group::cyclic(4);
    let regular = Representation::Regular;
    let basis = KernelBasis::harmonic(c4, &regular, &regular, 3).expect("valid");
    let kind = FieldKind::Regular;
    let conv = SymmetricConv::new(c4, kind, kind, basis, Padding::Zero).expect("valid");
    let table = SymmetricTable::new(&conv);
    assert!(table.products() <= 54 && table.weights <= 36);
}

#[test]
fn foreign_bases_are_refused() {
    let (c4, kind) = (Group::cyclic(4), FieldKind::Regular);
    let regular = Representation::Regular;
    let c2 = KernelBasis::complete(Group::cyclic(2), &regular, &regular, 3).expect("valid");
    assert!(SymmetricConv::new(c4, kind, kind, c2, Padding::Zero).is_err());
    let c1 = vec![1.0; 4 * 4 * 9];
    let c1 = Arc::new(KernelBasis::from_elements(1, [4, 4, 3, 3], c1));
    assert!(SymmetricConv::new(c4, kind, kind, c1, Padding::Zero).is_ok());
    let mut broken = vec![1.0; 4 * 4 * 9];
    broken[3] = 0.5;
    let broken = Arc::new(KernelBasis::from_elements(1, [4, 4, 3, 3], broken));
    assert!(SymmetricConv::new(c4, kind, kind, broken, Padding::Zero).is_err());
    let off = KernelBasis::harmonic(Group::cyclic(3), &regular, &regular, 3).expect("valid");
    assert!(SymmetricConv::new(Group::cyclic(3), kind, kind, off, Padding::Zero).is_err());
}
