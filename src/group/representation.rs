//! Orthogonal representations: how the values of a field move under the group.

use std::fmt;

use crate::error::{Error, Result};

use super::{Group, Irrep, Subgroup};

/// An orthogonal real representation of a [`Group`]: how the channels of one field mix when the
/// image moves.
///
/// An irrep and a subgroup belong to one group; the functions below that take a group need it to be
/// that one, which [`check`](Self::check) verifies.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Representation {
    /// One channel that keeps its value: `rho(g) = 1`.
    Trivial,
    /// One channel for each element: `rho(g) e_h = e_gh`.
    Regular,
    /// One channel for each left coset of the subgroup: `rho(g) e_xH = e_gxH`.
    Quotient(Subgroup),
    /// An irreducible representation.
    Irrep(Irrep),
    /// The direct sum: block diagonal, in this order.
    Sum(Vec<Representation>),
}

impl Representation {
    /// The number of channels of one field.
    pub fn size(&self, group: Group) -> usize {
        match self {
            Representation::Trivial => 1,
            Representation::Regular => group.order(),
            Representation::Quotient(subgroup) => subgroup.index(),
            Representation::Irrep(irrep) => irrep.dimension(),
            Representation::Sum(summands) => summands.iter().map(|s| s.size(group)).sum(),
        }
    }

    /// The orthogonal matrix `rho(g)`, row-major, `size x size`.
    pub fn matrix(&self, group: Group, g: usize) -> Vec<f64> {
        let n = self.size(group);
        let mut matrix = vec![0.0; n * n];
        self.write_block(group, g, &mut matrix, n, 0);
        matrix
    }

    /// Writes `rho(g)` on the diagonal of a matrix with `stride` columns, from row `start` on.
    fn write_block(&self, group: Group, g: usize, matrix: &mut [f64], stride: usize, start: usize) {
        match self {
            Representation::Irrep(irrep) => {
                let n = irrep.dimension();
                for (i, row) in irrep.matrix(g).chunks(n).enumerate() {
                    let from = (start + i) * stride + start;
                    matrix[from..from + n].copy_from_slice(row);
                }
            }
            Representation::Sum(summands) => {
                let mut start = start;
                for summand in summands {
                    summand.write_block(group, g, matrix, stride, start);
                    start += summand.size(group);
                }
            }
            Representation::Trivial | Representation::Regular | Representation::Quotient(_) => {
                for (from, to) in self.permutation(group, g).into_iter().flatten().enumerate() {
                    matrix[(start + to) * stride + start + from] = 1.0;
                }
            }
        }
    }

    /// Where `g` moves each channel, `rho(g) e_i = e_p[i]`, or `None` if this is not a
    /// [permutation representation](Self::is_permutation).
    pub fn permutation(&self, group: Group, g: usize) -> Option<Vec<usize>> {
        match self {
            Representation::Trivial => Some(vec![0]),
            Representation::Regular => {
                Some((0..group.order()).map(|h| group.product(g, h)).collect())
            }
            Representation::Quotient(subgroup) => {
                let cosets = subgroup.cosets();
                let mut moved = vec![0; subgroup.index()];
                for (x, &coset) in cosets.iter().enumerate() {
                    moved[coset] = cosets[group.product(g, x)];
                }
                Some(moved)
            }
            Representation::Irrep(_) => None,
            Representation::Sum(summands) => {
                let mut moved = Vec::new();
                for summand in summands {
                    let start = moved.len();
                    moved.extend(summand.permutation(group, g)?.iter().map(|p| start + p));
                }
                Some(moved)
            }
        }
    }

    /// The group permutes the channels, so that a nonlinearity may act on each by itself. An irrep
    /// does not count, not even the one that is equivalent to the trivial representation.
    pub fn is_permutation(&self) -> bool {
        match self {
            Representation::Trivial | Representation::Regular | Representation::Quotient(_) => true,
            Representation::Irrep(_) => false,
            Representation::Sum(summands) => summands.iter().all(Representation::is_permutation),
        }
    }

    /// Verifies that this is a representation of `group`.
    ///
    /// # Errors
    /// [`Error::Config`] if an irrep or a subgroup belongs to another group, or a sum is empty.
    pub fn check(&self, group: Group) -> Result<()> {
        let owner = match self {
            Representation::Trivial | Representation::Regular => group,
            Representation::Quotient(subgroup) => subgroup.group(),
            Representation::Irrep(irrep) => irrep.group(),
            Representation::Sum(summands) if summands.is_empty() => {
                return Err(Error::Config(
                    "a direct sum needs at least one representation".into(),
                ));
            }
            Representation::Sum(summands) => {
                return summands.iter().try_for_each(|s| s.check(group));
            }
        };
        if owner == group {
            Ok(())
        } else {
            Err(Error::Config(format!(
                "the representation {self} belongs to the group {owner} and cannot be used with \
                 {group}: make it from {group}"
            )))
        }
    }

    /// Reads a representation of `group`: `trivial`, `regular`, `irrep(FREQUENCY)`,
    /// `irrep(FREQUENCY,odd)`, `quotient(C2)`, `quotient(D1)`, `quotient(D1,MIRROR)`, or several of
    /// them joined by `+`; case and spaces do not matter. [`Display`](fmt::Display) writes the same.
    ///
    /// # Errors
    /// [`Error::Config`] if the text is none of these or the group has no such representation.
    pub fn parse(text: &str, group: Group) -> Result<Self> {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let plain = plain.to_lowercase();
        let summands = plain
            .split('+')
            .map(|summand| parse_summand(summand, group, text))
            .collect::<Result<Vec<_>>>()?;
        Ok(match <[Representation; 1]>::try_from(summands) {
            Ok([single]) => single,
            Err(summands) => Representation::Sum(summands),
        })
    }
}

fn parse_summand(summand: &str, group: Group, text: &str) -> Result<Representation> {
    let unknown = || {
        Error::Config(format!(
            "`{text}` is not a representation: write trivial, regular, irrep(FREQUENCY), \
             irrep(FREQUENCY,odd), quotient(SUBGROUP) with a subgroup such as C2, D1 or D1,MIRROR, \
             or a sum of them joined by +"
        ))
    };
    let number = |digits: &str| digits.parse().map_err(|_| unknown());
    let (name, arguments) = match summand.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')').ok_or_else(unknown)?)),
        None => (summand, None),
    };
    let arguments: Vec<&str> = arguments.map_or(Vec::new(), |a| a.split(',').collect());
    match (name, arguments.as_slice()) {
        ("trivial", []) => Ok(Representation::Trivial),
        ("regular", []) => Ok(Representation::Regular),
        ("irrep", [frequency]) => {
            Irrep::new(group, number(frequency)?, false).map(Representation::Irrep)
        }
        ("irrep", [frequency, "odd"]) => {
            Irrep::new(group, number(frequency)?, true).map(Representation::Irrep)
        }
        ("quotient", [subgroup, axis @ ..]) => {
            let subgroup: Group = subgroup.parse().map_err(|_| unknown())?;
            let mirror = match (subgroup.has_mirrors(), axis) {
                (false, []) => None,
                (true, []) => Some(0),
                (true, [mirror]) => Some(number(mirror)?),
                _ => return Err(unknown()),
            };
            Subgroup::new(group, subgroup.rotations(), mirror).map(Representation::Quotient)
        }
        _ => Err(unknown()),
    }
}

impl fmt::Display for Representation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Representation::Trivial => write!(f, "trivial"),
            Representation::Regular => write!(f, "regular"),
            Representation::Quotient(subgroup) => write!(f, "quotient({subgroup})"),
            Representation::Irrep(irrep) => irrep.fmt(f),
            Representation::Sum(summands) => {
                for (i, summand) in summands.iter().enumerate() {
                    let join = if i > 0 { " + " } else { "" };
                    write!(f, "{join}{summand}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::group::subgroup::tests::all_subgroups;
    use crate::group::testing::{max_difference, multiply, some_groups, transpose};

    /// Every kind of representation of the group, a nested sum among them.
    pub fn some_representations(group: Group) -> Vec<Representation> {
        let mut all = vec![Representation::Trivial, Representation::Regular];
        all.extend(
            all_subgroups(group)
                .into_iter()
                .map(Representation::Quotient),
        );
        all.extend(group.irreps().into_iter().map(Representation::Irrep));
        all.push(Representation::Sum(vec![
            all[all.len() - 1].clone(),
            Representation::Sum(vec![Representation::Trivial, all[2].clone()]),
        ]));
        all
    }

    #[test]
    fn representations_are_orthogonal_homomorphisms() {
        for group in some_groups() {
            for rho in some_representations(group) {
                let n = rho.size(group);
                for g in 0..group.order() {
                    let matrix = rho.matrix(group, g);
                    assert_eq!(matrix.len(), n * n);
                    let inverse = rho.matrix(group, group.inverse(g));
                    let error = max_difference(&transpose(&matrix, n), &inverse);
                    assert!(error <= 2e-15, "{group} {rho}: {error}");
                    for h in 0..group.order() {
                        let product = multiply(&matrix, &rho.matrix(group, h), n);
                        let expected = rho.matrix(group, group.product(g, h));
                        let error = max_difference(&product, &expected);
                        assert!(error <= 5e-15, "{group} {rho} {g} {h}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn permutations_agree_with_the_matrices() {
        for group in some_groups() {
            for rho in some_representations(group) {
                let n = rho.size(group);
                for g in 0..group.order() {
                    let Some(moved) = rho.permutation(group, g) else {
                        assert!(!rho.is_permutation());
                        continue;
                    };
                    assert!(rho.is_permutation());
                    let matrix = rho.matrix(group, g);
                    for (from, to) in moved.into_iter().enumerate() {
                        assert_eq!(matrix[to * n + from], 1.0);
                    }
                }
            }
        }
    }

    #[test]
    fn extreme_quotients_are_regular_and_trivial() {
        for group in some_groups() {
            let mirror = group.has_mirrors().then_some(0);
            let whole = Subgroup::new(group, group.rotations(), mirror).expect("the group");
            let one = Subgroup::new(group, 1, None).expect("the trivial subgroup");
            for g in 0..group.order() {
                let of = |rho: Representation| rho.matrix(group, g);
                assert_eq!(
                    of(Representation::Quotient(whole)),
                    of(Representation::Trivial)
                );
                assert_eq!(
                    of(Representation::Quotient(one)),
                    of(Representation::Regular)
                );
            }
        }
    }

    #[test]
    fn text_round_trips_and_errors_teach() {
        for group in some_groups() {
            for rho in some_representations(group) {
                let flat = |rho: &Representation| rho.to_string();
                let back = Representation::parse(&flat(&rho), group).expect("its own text");
                assert_eq!(flat(&back), flat(&rho), "{group}");
                assert!(back.check(group).is_ok());
                assert_eq!(
                    back.matrix(group, group.order() - 1),
                    rho.matrix(group, group.order() - 1)
                );
            }
        }
        let d4 = Group::dihedral(4);
        for wrong in [
            "",
            "regul",
            "irrep",
            "irrep()",
            "irrep(9)",
            "irrep(1,odd)",
            "irrep(1",
            "quotient(C3)",
            "quotient(C2,1)",
            "quotient()",
            "trivial(1)",
            "regular+",
            "irrep(-1)",
        ] {
            assert!(Representation::parse(wrong, d4).is_err(), "{wrong}");
        }
        let message = Representation::parse("regul", d4)
            .expect_err("wrong")
            .to_string();
        assert!(
            message.contains("regular") && message.contains("`regul`"),
            "{message}"
        );
    }

    #[test]
    fn a_representation_of_another_group_is_refused() {
        let c4 = Group::cyclic(4);
        let irrep = Representation::Irrep(c4.irreps()[1]);
        assert!(irrep.check(c4).is_ok());
        assert!(irrep.check(Group::cyclic(6)).is_err());
        let sum = Representation::Sum(vec![Representation::Trivial, irrep]);
        assert!(sum.check(Group::dihedral(4)).is_err());
        assert!(Representation::Sum(vec![]).check(c4).is_err());
    }
}
