//! The kernel bases of this process, made once.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Group, KernelBasis, Representation};
use crate::error::Result;

/// Which basis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Every kernel on the pixel grid.
    Complete,
    /// Circular harmonics on rings.
    Harmonic,
}

/// What a basis is made from: kind, group, input, output, size.
pub type Key = (Kind, Group, Representation, Representation, usize);

/// Bytes of all bases that are kept. The largest of the usual ones, regular fields of twelve
/// rotations with kernels of 7x7 pixels, takes 18 MB.
const LIMIT: usize = 128 << 20;

static BASES: Mutex<Bases> = Mutex::new(Bases::new(LIMIT));

/// The basis of `key`, from memory or from `make`.
pub fn get(key: Key, make: impl FnOnce() -> Result<KernelBasis>) -> Result<Arc<KernelBasis>> {
    // A list is whole between any two of its operations, so one that panicked left nothing broken.
    let bases = || BASES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(basis) = bases().find(&key) {
        return Ok(basis);
    }
    // Made without the lock: two threads may both make it, and neither waits for another basis.
    let basis = Arc::new(make()?);
    bases().keep(key, basis.clone());
    Ok(basis)
}

/// Bases, the most recently used one last. There are few, so they are searched one by one.
struct Bases {
    limit: usize,
    bytes: usize,
    kept: Vec<(Key, Arc<KernelBasis>)>,
}

fn bytes(basis: &KernelBasis) -> usize {
    basis.elements().len() * (size_of::<f64>() + size_of::<f32>())
}

impl Bases {
    const fn new(limit: usize) -> Self {
        Bases {
            limit,
            bytes: 0,
            kept: Vec::new(),
        }
    }

    fn find(&mut self, key: &Key) -> Option<Arc<KernelBasis>> {
        let place = self.kept.iter().position(|(known, _)| known == key)?;
        self.kept[place..].rotate_left(1);
        self.kept.last().map(|(_, basis)| basis.clone())
    }

    fn keep(&mut self, key: Key, basis: Arc<KernelBasis>) {
        if bytes(&basis) > self.limit || self.find(&key).is_some() {
            return;
        }
        self.bytes += bytes(&basis);
        self.kept.push((key, basis));
        let mut forgotten = 0;
        while self.bytes > self.limit {
            self.bytes -= bytes(&self.kept[forgotten].1);
            forgotten += 1;
        }
        self.kept.drain(..forgotten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basis(pixels: usize) -> Arc<KernelBasis> {
        let kernel = [1, 1, 1, pixels];
        Arc::new(KernelBasis::from_elements(1, kernel, vec![1.0; pixels]))
    }

    fn key(size: usize) -> Key {
        let trivial = Representation::Trivial;
        (
            Kind::Complete,
            Group::TRIVIAL,
            trivial.clone(),
            trivial,
            size,
        )
    }

    #[test]
    fn the_least_recently_used_ones_are_forgotten() {
        let mut bases = Bases::new(12 * 10);
        for size in 1..=3 {
            bases.keep(key(size), basis(3));
        }
        assert!(bases.find(&key(1)).is_some());
        bases.keep(key(4), basis(4));
        let known = [1, 2, 3, 4].map(|size| bases.find(&key(size)).is_some());
        assert_eq!(known, [true, false, true, true]);
        // One that does not fit at all drives nothing out.
        bases.keep(key(5), basis(11));
        assert!(bases.find(&key(5)).is_none() && bases.find(&key(3)).is_some());
        assert_eq!(bases.bytes, 12 * 10);
        // Twice is once.
        bases.keep(key(4), basis(4));
        assert_eq!((bases.bytes, bases.kept.len()), (12 * 10, 3));
    }

    #[test]
    fn a_basis_is_made_once_for_each_key() {
        let (regular, trivial) = (Representation::Regular, Representation::Trivial);
        let c10 = Group::cyclic(10);
        let make = |input: &Representation, size| {
            KernelBasis::harmonic(c10, input, &regular, size).expect("valid")
        };
        let first = make(&trivial, 3);
        assert!(Arc::ptr_eq(&first, &make(&trivial, 3)));
        assert!(!Arc::ptr_eq(&first, &make(&regular, 3)));
        assert!(!Arc::ptr_eq(&first, &make(&trivial, 5)));
        let c4 = Group::cyclic(4);
        let [harmonic, complete] = [KernelBasis::harmonic, KernelBasis::complete]
            .map(|build| build(c4, &trivial, &regular, 3).expect("valid"));
        assert_ne!(harmonic.len(), complete.len());
    }
}
