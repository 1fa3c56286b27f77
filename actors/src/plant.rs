//! Bugs planted on purpose, behind a switch only tests turn: the proofs that Kabar loses and doubles nothing
//! must turn red with each of them. Not a feature.

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
}
