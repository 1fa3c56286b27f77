//! Who may append to a shard and where: the fence, the position and the refusal after a failure, the same on
//! every backend that owns its shards in memory. Not the order on disk and not the bytes.

use super::Fence;
use crate::codec::frame::FrameError;
use crate::error::StoreError;
use kabar_engine::entry::Position;

/// One shard before the journal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Admission {
    tip: u64,
    epoch: u64,
    /// Taken by an owner in this process.
    taken: bool,
    /// An append failed: nothing more until it is taken again.
    failed: bool,
}

impl Admission {
    /// A shard that nobody has taken yet.
    pub(crate) fn new(tip: Position, epoch: u64) -> Self {
        Self { tip: tip.0, epoch, taken: false, failed: false }
    }

    /// Lets `count` entries in at `base`, or refuses. `refused` is what else speaks against the batch. A refusal
    /// under the current fence is the last word until the shard is taken again: what the owner decided next
    /// stands on this batch.
    pub(crate) fn admit(
        &mut self,
        fence: Fence,
        base: Position,
        count: u64,
        refused: Option<StoreError>,
    ) -> Result<(), StoreError> {
        if !self.taken || self.epoch != fence.epoch {
            return Err(StoreError::Fenced { current: self.epoch });
        }
        if self.failed {
            return Err(StoreError::Unavailable);
        }
        let refused = refused.or_else(|| {
            (base.0 != self.tip + 1).then(|| {
                let tip = self.tip;
                tracing::error!(shard = fence.shard.0, base = base.0, tip, "a batch does not follow the tip");
                StoreError::Conflict
            })
        });
        match refused {
            Some(error) => {
                self.failed = true;
                Err(error)
            }
            None => {
                self.tip += count;
                Ok(())
            }
        }
    }

    /// Nothing more until the shard is taken again.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
    }

    /// Gives the shard to a new owner who found its tip elsewhere.
    pub(crate) fn take_at(&mut self, epoch: u64, tip: Position) -> Result<Position, StoreError> {
        self.tip = tip.0;
        self.take(epoch)
    }

    /// An empty shard's stream begins behind `tip`; whoever had it must take it again.
    pub(crate) fn begin_at(&mut self, tip: Position) {
        *self = Self::new(tip, self.epoch);
    }

    /// Gives the shard to a new owner; tells its tip.
    pub(crate) fn take(&mut self, epoch: u64) -> Result<Position, StoreError> {
        if epoch <= self.epoch {
            return Err(StoreError::Fenced { current: self.epoch });
        }
        *self = Self { tip: self.tip, epoch, taken: true, failed: false };
        Ok(Position(self.tip))
    }
}

/// What a caller is told of a batch that is no frame; the log is told why.
pub(crate) fn refusal(fence: Fence, error: FrameError) -> StoreError {
    tracing::error!(shard = fence.shard.0, %error, "a batch cannot be appended");
    match error {
        FrameError::Seal(_) => StoreError::Unavailable,
        FrameError::Empty | FrameError::EntryTooLarge { .. } | FrameError::TooLarge { .. } => {
            StoreError::Conflict
        }
    }
}
