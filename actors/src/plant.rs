//! Bugs planted on purpose, behind a switch only tests turn: the proofs that Kabar loses and doubles nothing
//! must turn red with each of them. Not a feature. The first three can be planted in a running binary by a hidden setting,
//! for the kill proof; the others only by who builds a node in its own process, for the simulation.

use kabar_engine::plant::Plant as EnginePlant;

/// Which promise is broken on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Plant {
    /// None: the product.
    #[default]
    None,
    /// What may have been sent is sent again.
    ResendAmbiguous,
    /// Answers before the entry is durable.
    AckBeforeAppend,
    /// Views are written before their entries are durable.
    ViewsAheadOfJournal,
    /// A call goes out, and its result comes in, before its claim is durable.
    ResultBeforeClaim,
    /// Where the views stand is written before the entries are durable, and before the rows.
    CheckpointBeforeAppend,
    /// A part is not woken when its calls have come back.
    LostWakeup,
    /// A bug in what is decided or folded.
    Engine(EnginePlant),
}

impl Plant {
    /// What an overlay is given of it.
    #[must_use]
    pub fn of_engine(self) -> EnginePlant {
        match self {
            Self::Engine(plant) => plant,
            _ => EnginePlant::None,
        }
    }
}
