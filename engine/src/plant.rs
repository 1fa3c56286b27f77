//! Bugs planted on purpose in what is decided and folded, for the simulation alone: it must turn red with each of them.
//! Not a feature, and not reachable by any setting; an overlay has none until a test's node gives it one.

/// Which promise an overlay breaks on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Plant {
    /// None: the product.
    #[default]
    None,
    /// The last status heard stands, whatever stood before.
    StatusBackwards,
    /// A part's claim does not ask who has opted out.
    OptoutIgnored,
    /// A part's totals are carried on from older rows of its recipients.
    TotalFromOlderRow,
}
