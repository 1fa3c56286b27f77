//! How a shard's stream is taken and how a frame gets into it, as state machines without a wire: what to ask the
//! table next, given what it answered. That they are right under any order of calls, under answers that are lost
//! and under owners that slept, is checked in `tests` beside them.
//!
//! The table's one rule: a frame is written at `seq` only where none stands and only while the bucket's
//! `owner_epoch` is the expected one. A fresh bucket has none; whoever writes its first frame sets it.

/// Most entries of one frame, so that a frame never reaches far beyond the bucket it begins in. 64 KiB of the
/// smallest entries are about as many.
pub(super) const COUNT_MAX: u64 = 4_096;

/// Positions per bucket, as a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits(pub(super) u32);

impl Bits {
    /// The bucket of a frame that begins at `seq`.
    pub(super) fn bucket(self, seq: u64) -> u64 {
        seq >> self.0
    }

    /// How many buckets a frame may begin before the bucket of one of its positions.
    pub(super) fn reach(self) -> u64 {
        1 + (COUNT_MAX >> self.0)
    }
}

/// A bucket as a serial read finds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Its fence.
    pub(super) owner: Option<u64>,
    /// The last position of its newest frame.
    pub(super) last: Option<u64>,
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Applied,
    Refused,
    Unknown,
}

/// What a takeover asks next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Read a bucket, serially.
    Look(u64),
    /// Set the bucket's fence if it is still `seen`.
    Raise { bucket: u64, seen: Option<u64> },
    /// The shard is ours and ends here.
    Done { tip: u64, bucket: u64 },
    /// Somebody newer has it.
    Fenced(u64),
}

/// Taking a shard: the fence of the bucket of the *next* frame is raised, and then the tip is read again, until the
/// next frame still belongs to the bucket that was raised. From then on the older owner's next frame is refused
/// wherever it is: in the raised bucket by the fence, before it because a frame stands there.
#[derive(Debug)]
pub(super) struct Takeover {
    bits: Bits,
    epoch: u64,
    tip: u64,
    at: u64,
    raised: Option<u64>,
    tried: Option<u64>,
    step: Step,
}

impl Takeover {
    /// Begins at a position that was certainly reached: the views', or the floor.
    pub(super) fn new(bits: Bits, epoch: u64, from: u64) -> Self {
        // A frame that holds `from + 1` may begin before that position's bucket, and so does the last owner's fence.
        let at = bits.bucket(from + 1).saturating_sub(bits.reach());
        Self { bits, epoch, tip: from, at, raised: None, tried: None, step: Step::Look(at) }
    }

    /// What to ask now.
    pub(super) fn step(&self) -> Step {
        self.step
    }

    /// The answer to [`Step::Look`].
    pub(super) fn looked(&mut self, look: Look) {
        self.tip = self.tip.max(look.last.unwrap_or(0));
        let ours = self.raised == Some(self.at) || self.tried == Some(self.at);
        if let Some(owner) = look.owner.filter(|o| *o > self.epoch || (*o == self.epoch && !ours)) {
            self.step = Step::Fenced(owner);
            return;
        }
        if look.owner == Some(self.epoch) {
            self.raised = Some(self.at);
        }
        let next = self.bits.bucket(self.tip + 1);
        self.step = if self.at < next {
            self.at += 1;
            Step::Look(self.at)
        } else if self.raised == Some(self.at) {
            Step::Done { tip: self.tip, bucket: self.at }
        } else {
            self.tried = Some(self.at);
            Step::Raise { bucket: self.at, seen: look.owner }
        };
    }

    /// The answer to [`Step::Raise`]: whatever it was, the bucket says what holds now.
    pub(super) fn raised(&mut self, _: Outcome) {
        self.step = Step::Look(self.at);
    }
}

/// The row of a frame as a serial read finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// The bucket's fence.
    pub(super) owner: Option<u64>,
    /// The batch and the epoch of the frame that stands there.
    pub(super) frame: Option<(u64, u64)>,
}

/// What an append asks next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Write the frame if the bucket's fence is `seen` and nothing stands there.
    Write { bucket: u64, seq: u64, seen: Option<u64> },
    /// Read the row, serially.
    Read { bucket: u64, seq: u64 },
    /// The frame is in.
    Done,
    /// Somebody else has the shard.
    Fenced(u64),
}

/// An owner that appends: one frame at a time, the next only when the one before is certainly in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    bits: Bits,
    epoch: u64,
    /// The bucket whose fence is known to be ours.
    bucket: Option<u64>,
}

/// One frame on its way.
#[derive(Debug)]
pub(super) struct Append {
    owner: Owner,
    batch: u64,
    bucket: u64,
    seq: u64,
    ask: Ask,
}

impl Owner {
    /// The owner a takeover made.
    pub(super) fn new(bits: Bits, epoch: u64, bucket: u64) -> Self {
        Self { bits, epoch, bucket: Some(bucket) }
    }

    /// Its epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Begins to append the frame of `batch` at `seq`.
    pub(super) fn append(&self, batch: u64, seq: u64) -> Append {
        let bucket = self.bits.bucket(seq);
        // A bucket nobody wrote to has no fence yet.
        let seen = (self.bucket == Some(bucket)).then_some(self.epoch);
        Append { owner: *self, batch, bucket, seq, ask: Ask::Write { bucket, seq, seen } }
    }
}

impl Append {
    /// What to ask now.
    pub(super) fn ask(&self) -> Ask {
        self.ask
    }

    /// The owner behind this frame.
    pub(super) fn owner(mut self) -> Owner {
        self.owner.bucket = Some(self.bucket);
        self.owner
    }

    /// The answer to [`Ask::Write`].
    pub(super) fn wrote(&mut self, outcome: Outcome) {
        let (bucket, seq) = (self.bucket, self.seq);
        self.ask = if outcome == Outcome::Applied { Ask::Done } else { Ask::Read { bucket, seq } };
    }

    /// The answer to [`Ask::Read`]. A write that may still be under way somewhere does no harm: written again, the
    /// frame is the same, and what is found is recognised by its batch.
    pub(super) fn read(&mut self, row: Row) {
        let epoch = self.owner.epoch;
        self.ask = match row {
            Row { frame: Some((batch, of)), .. } if batch == self.batch && of == epoch => Ask::Done,
            Row { frame: Some((_, of)), owner } => Ask::Fenced(of.max(owner.unwrap_or(0)).max(1)),
            Row { owner: Some(owner), .. } if owner > epoch => Ask::Fenced(owner),
            // Nothing stands there, and nobody newer has the bucket: a fence an older owner left behind, or ours.
            Row { owner, .. } => Ask::Write { bucket: self.bucket, seq: self.seq, seen: owner },
        };
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
