//! The Fourier transform of a group by butterflies.

use super::{Butterfly, Group};

/// The Fourier transform of a group as stages of butterflies: node `i` holds component `i` of the
/// transform after all of them, element `i` before.
pub(super) struct Transform {
    pub stages: Vec<Vec<Butterfly>>,
    /// Component `c` is `sum_g rows[c][g] v_g`, with entries 0 and +-1.
    pub rows: Vec<Vec<i32>>,
}

impl Transform {
    /// Pairs `g` with `g z` for one element `z` after another, in every block of nodes that right
    /// multiplication by `z` exchanges in pairs (up to a common sign of each pair).
    pub fn new(group: Group) -> Self {
        let order = group.order();
        let unit = |i: usize| (0..order).map(|g| i32::from(g == i)).collect();
        let mut rows: Vec<Vec<i32>> = (0..order).map(unit).collect();
        let mut stages = Vec::new();
        let mut blocks: Vec<Vec<usize>> = vec![(0..order).collect()];
        for z in Self::generators(group) {
            let mut stage = Vec::new();
            let mut next = Vec::new();
            for block in blocks {
                let pairs = Self::pairs(group, z, &block, &rows);
                if pairs.is_empty() {
                    next.push(block);
                    continue;
                }
                next.push(pairs.iter().map(|p| p[0]).collect());
                next.push(pairs.iter().map(|p| p[1]).collect());
                stage.extend(pairs);
            }
            for &[a, b] in &stage {
                let (x, y) = (rows[a].clone(), rows[b].clone());
                rows[a] = x.iter().zip(&y).map(|(x, y)| x + y).collect();
                rows[b] = x.iter().zip(&y).map(|(x, y)| x - y).collect();
            }
            stages.push(stage);
            blocks = next;
        }
        Transform { stages, rows }
    }

    /// The half turn, the mirror and the smallest turn, as far as the group has them.
    fn generators(group: Group) -> Vec<usize> {
        let turns = group.rotations();
        let mut generators = Vec::new();
        if turns.is_multiple_of(4) {
            generators.push(turns / 2);
        }
        if group.has_mirrors() {
            generators.push(turns);
        }
        if turns > 1 {
            generators.push(1);
        }
        generators
    }

    /// The nodes of `block` in pairs that multiplication by `z` exchanges; empty if it does not.
    fn pairs(group: Group, z: usize, block: &[usize], rows: &[Vec<i32>]) -> Vec<Butterfly> {
        let moved = |row: &[i32]| -> Vec<i32> {
            let mut moved = vec![0; row.len()];
            for (g, &value) in row.iter().enumerate() {
                moved[group.product(g, z)] = value;
            }
            moved
        };
        let mut pairs: Vec<Butterfly> = Vec::new();
        for &i in block {
            let image = moved(&rows[i]);
            match block.iter().find(|&&j| rows[j] == image) {
                Some(&j) if j != i && moved(&rows[j]) == rows[i] => {
                    if i < j {
                        pairs.push([i, j]);
                    }
                }
                _ => return Vec::new(),
            }
        }
        pairs
    }

    /// The component that is `functional` up to sign.
    pub fn component(&self, functional: &[i32]) -> Option<(usize, i32)> {
        (self.rows.iter().enumerate()).find_map(|(c, row)| {
            let same = row.iter().zip(functional).all(|(a, b)| a == b);
            let opposite = row.iter().zip(functional).all(|(a, b)| *a == -b);
            match (same, opposite) {
                (true, _) => Some((c, 1)),
                (_, true) => Some((c, -1)),
                _ => None,
            }
        })
    }
}
