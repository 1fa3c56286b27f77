//! Where a node's randomness comes from: the operating system, or a seed where a simulation must go the same way twice.
//! Not for keys, nonces or anything else that must not be guessed.

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

/// A node's dice. Clones of seeded ones throw one sequence.
#[derive(Clone, Default)]
pub struct Dice(Option<Arc<Mutex<StdRng>>>);

impl Dice {
    /// The same throws for the same seed, as long as they are asked for in the same order.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// Any number.
    #[must_use]
    pub fn throw(&self) -> u64 {
        self.0.as_ref().map_or_else(rand::random, |seeded| seeded.lock().random())
    }
}

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dice").field(&self.0.is_some()).finish()
    }
}
