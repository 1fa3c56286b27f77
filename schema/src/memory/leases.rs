//! The epoch in memory: it rises as long as the store lives. Not placement.

use crate::Answer;
use crate::leases::Leases;
use std::sync::atomic::{AtomicU64, Ordering};

/// The memory backend's giver of epochs.
#[derive(Debug, Default)]
pub struct MemoryLeases(AtomicU64);

impl Leases for MemoryLeases {
    fn take(&self) -> Answer<'_, u64> {
        let epoch = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move { Ok(epoch) })
    }
}
