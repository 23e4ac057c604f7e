//! Which buffer holds which value: a dead value's buffer is used again.
//!
//! Within one dispatch WebGPU forbids binding a buffer both read-only and read-write, even at
//! disjoint ranges; so whole buffers are reused, by size class.

use std::collections::HashMap;

/// One value that needs a buffer, in tasks' order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// Bytes.
    pub bytes: u64,
    /// The task that writes it.
    pub born: usize,
    /// The last task that reads it.
    pub dies: usize,
}

/// Buffers by number, and the buffer of each need.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Assignment {
    /// Bytes of each buffer.
    pub buffers: Vec<u64>,
    /// The buffer of each need.
    pub of: Vec<usize>,
}

/// Sizes are rounded up to eighths of a power of two, so that nearly equal values share buffers.
fn class(bytes: u64) -> u64 {
    let bytes = bytes.max(256);
    let step = (1u64 << (63 - bytes.leading_zeros())) / 8;
    bytes.next_multiple_of(step.max(256))
}

/// Assigns buffers; `needs` are sorted by `born`.
pub(super) fn assign(needs: &[Need]) -> Assignment {
    let mut result = Assignment::default();
    let mut free: HashMap<u64, Vec<usize>> = HashMap::new();
    // (dies, buffer, class) of what is alive.
    let mut alive: Vec<(usize, usize, u64)> = Vec::new();
    for need in needs {
        alive.retain(|&(dies, buffer, class)| {
            let keep = dies >= need.born;
            if !keep {
                free.entry(class).or_default().push(buffer);
            }
            keep
        });
        let class = class(need.bytes);
        let buffer = free.get_mut(&class).and_then(Vec::pop).unwrap_or_else(|| {
            result.buffers.push(class);
            result.buffers.len() - 1
        });
        alive.push((need.dies, buffer, class));
        result.of.push(buffer);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn living_values_never_share_and_dead_ones_are_used_again() {
        let need = |born, dies| Need {
            bytes: 1000,
            born,
            dies,
        };
        let needs = [need(0, 2), need(1, 1), need(2, 3), need(3, 4), need(4, 4)];
        let assignment = assign(&needs);
        for (i, a) in needs.iter().enumerate() {
            for (j, b) in needs.iter().enumerate().skip(i + 1) {
                if a.dies >= b.born {
                    assert_ne!(assignment.of[i], assignment.of[j], "{i} and {j}");
                }
            }
        }
        assert_eq!(assignment.buffers.len(), 2);
    }

    #[test]
    fn classes_waste_at_most_an_eighth() {
        for bytes in [4096u64, 5000, 123_456, 7_654_321] {
            assert!(class(bytes) >= bytes && class(bytes) <= bytes + bytes / 8 + 256);
        }
    }
}
