//! Leases: under which epoch a node owns its shards. With one node the epoch rises at every start; placement over
//! several nodes is not here yet.

use crate::Answer;

/// The giver of epochs.
pub trait Leases: Send + Sync {
    /// A new epoch, higher than every one before; durable when answered.
    fn take(&self) -> Answer<'_, u64>;
}
