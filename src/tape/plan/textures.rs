//! Which texture a kernel reads a value through, and when the value must be copied there.

use super::draft::Draft;
use crate::gpu::Texture;
use crate::kernels::Slot;
use std::collections::HashMap;

/// Textures of one size that are kept, so that what several kernels read is copied once: an image
/// of activations, its gradient, and one more.
const KEPT: usize = 3;

/// A binding of a launch: task, launch of the task, binding of the launch.
type Place = (usize, usize, usize);

/// One use of a texture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Use {
    /// Place in [`Textures::sizes`].
    pub texture: usize,
    /// The value is not there yet.
    pub copy: bool,
}

/// The textures of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Textures {
    /// Bytes of each.
    pub sizes: Vec<u64>,
    /// Who reads through which.
    pub uses: HashMap<Place, Use>,
}

/// What a texture holds: a node's value, which does not change within a replay, or something that
/// no other launch may count on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Value(usize),
    Passing,
}

/// A texture while the tasks are walked through.
struct Candidate {
    texture: usize,
    held: Held,
    /// The last launch that read it, counted over all tasks.
    read: usize,
}

impl Textures {
    pub(super) fn assign(draft: &Draft) -> Self {
        let mut textures = Textures::default();
        let mut by_size: HashMap<u64, Vec<Candidate>> = HashMap::new();
        let mut now = 0;
        for ([t, l], _) in draft.schedule.launches() {
            now += 1;
            let launch = &draft.lowered[t].launches[l];
            for (b, (_, slot)) in launch.bindings.iter().enumerate() {
                let Slot::Texture(source) = slot else {
                    continue;
                };
                let (bytes, held) = draft.source(t, source);
                let candidates = by_size.entry(Texture::size(bytes)).or_default();
                let used = textures.choose(candidates, Texture::size(bytes), held, now);
                textures.uses.insert((t, l, b), used);
            }
        }
        textures
    }

    fn choose(
        &mut self,
        candidates: &mut Vec<Candidate>,
        size: u64,
        held: Held,
        now: usize,
    ) -> Use {
        if let Held::Value(_) = held
            && let Some(found) = candidates.iter_mut().find(|c| c.held == held)
        {
            found.read = now;
            return Use {
                texture: found.texture,
                copy: false,
            };
        }
        let oldest = (candidates.iter_mut().filter(|c| c.read < now)).min_by_key(|c| c.read);
        let kept = self.sizes.iter().filter(|&&s| s == size).count();
        let texture = match oldest {
            Some(oldest) if kept >= KEPT => {
                (oldest.held, oldest.read) = (held, now);
                oldest.texture
            }
            _ => {
                self.sizes.push(size);
                let texture = self.sizes.len() - 1;
                candidates.push(Candidate {
                    texture,
                    held,
                    read: now,
                });
                texture
            }
        };
        Use {
            texture,
            copy: true,
        }
    }
}

impl Draft {
    /// Bytes of a slot that is read through a texture, and what is known of its value.
    fn source(&self, task: usize, slot: &Slot) -> (u64, Held) {
        match slot {
            Slot::Input(k) => {
                let node = self.tasks[task].inputs[*k];
                // States change in place.
                let owner = &self.nodes[self.owner[node].0].op;
                let held = match owner {
                    crate::tape::op::Op::State(_) => Held::Passing,
                    _ => Held::Value(node),
                };
                (self.nodes[node].shape.bytes(), held)
            }
            Slot::Scratch(k) => (self.lowered[task].scratch[*k], Held::Passing),
            other => {
                unreachable!("kernels read inputs and scratch through textures, not {other:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(held: &[Held]) -> (Textures, Vec<Use>) {
        let (mut textures, mut candidates) = (Textures::default(), Vec::new());
        let uses = held.iter().enumerate();
        let uses = uses.map(|(now, &h)| textures.choose(&mut candidates, 64, h, now + 1));
        let uses = uses.collect();
        (textures, uses)
    }

    #[test]
    fn a_value_is_copied_once_while_it_is_kept() {
        use Held::{Passing, Value};
        let (textures, uses) = choose(&[Value(1), Value(2), Value(1), Passing, Passing, Value(2)]);
        let copies: Vec<bool> = uses.iter().map(|u| u.copy).collect();
        // The second passing value takes the place of value 2, which was read longest ago.
        assert_eq!(copies, [true, true, false, true, true, true]);
        assert_eq!(textures.sizes.len(), KEPT);
        assert_eq!(uses[4].texture, uses[1].texture);
    }

    #[test]
    fn two_bindings_of_one_launch_never_share() {
        let (mut textures, mut candidates) = (Textures::default(), Vec::new());
        let uses: Vec<Use> = (0..KEPT + 2)
            .map(|k| textures.choose(&mut candidates, 64, Held::Value(k), 1))
            .collect();
        let mut distinct: Vec<usize> = uses.iter().map(|u| u.texture).collect();
        distinct.dedup();
        assert_eq!(distinct.len(), KEPT + 2);
    }
}
