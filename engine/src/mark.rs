//! Marks: what became of a campaign's recipients, seven bytes each, 512 in a chunk. Times are 16-second steps
//! from the launch. Not rows of their own: a recipient gets a row when it answers.

use crate::cause::Cause;
use crate::entry::{Outcome, Position, StatusReport};
use crate::id::{CampaignId, ShardId, TenantId};
use crate::status::Status;
use crate::time::{Step, Timestamp};

/// Recipients in one chunk.
pub const CHUNK: u32 = 512;
/// Bytes of one mark: state u8 (low four bits; three flags above), then three u16 (sent, delivered, read); a
/// failed mark keeps its cause in the last two.
pub const MARK_BYTES: usize = 7;
const REPLIED: u8 = 0x80;
const RESENT: u8 = 0x40;
const DETAILED: u8 = 0x20;
const STATE: u8 = 0x0f;

/// What a recipient's message is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum MarkState {
    /// Not claimed yet.
    Pending = 0,
    /// On the wire.
    Claimed = 1,
    /// Outcome not known, waiting for proof.
    Parked = 2,
    /// Refused for now, waits for another try.
    Retry = 3,
    /// Waiting for proof ended without any.
    Unknown = 4,
    /// The provider took it.
    Sent = 5,
    /// On the phone.
    Delivered = 6,
    /// Opened.
    Read = 7,
    /// Refused or undeliverable.
    Failed = 8,
    /// Its validity passed.
    Expired = 9,
}

const STATES: [MarkState; 10] = [
    MarkState::Pending,
    MarkState::Claimed,
    MarkState::Parked,
    MarkState::Retry,
    MarkState::Unknown,
    MarkState::Sent,
    MarkState::Delivered,
    MarkState::Read,
    MarkState::Failed,
    MarkState::Expired,
];

impl MarkState {
    /// The status everybody sees.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Pending | Self::Claimed | Self::Parked | Self::Retry => Status::Queued,
            Self::Unknown => Status::Unknown,
            Self::Sent => Status::Sent,
            Self::Delivered => Status::Delivered,
            Self::Read => Status::Read,
            Self::Failed => Status::Failed,
            Self::Expired => Status::Expired,
        }
    }

    fn of(status: Status) -> Option<Self> {
        Some(match status {
            Status::Unknown => Self::Unknown,
            Status::Sent => Self::Sent,
            Status::Delivered => Self::Delivered,
            Status::Read | Status::Played => Self::Read,
            Status::Failed => Self::Failed,
            Status::Expired => Self::Expired,
            Status::Queued | Status::Received => return None,
        })
    }
}

/// One recipient's mark, unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark([u8; MARK_BYTES]);

impl Mark {
    /// What it is doing.
    #[must_use]
    pub fn state(self) -> MarkState {
        STATES.get(usize::from(self.0[0] & STATE)).copied().unwrap_or(MarkState::Unknown)
    }

    /// Whether the recipient answered.
    #[must_use]
    pub fn replied(self) -> bool {
        self.0[0] & REPLIED != 0
    }

    /// Whether it was sent once more without proof that the first time had failed.
    #[must_use]
    pub fn resent(self) -> bool {
        self.0[0] & RESENT != 0
    }

    /// Whether the provider said more with `sent` than that, which it says once.
    #[must_use]
    pub fn detailed(self) -> bool {
        self.0[0] & DETAILED != 0
    }

    /// Whether it counts as a message the person got or will get: not when it failed or expired.
    #[must_use]
    pub fn counts(self) -> bool {
        !matches!(self.state(), MarkState::Failed | MarkState::Expired)
    }

    /// Whether it waits to be sent.
    #[must_use]
    pub fn waits(self) -> bool {
        matches!(self.state(), MarkState::Pending | MarkState::Retry)
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(self) -> Option<Cause> {
        let bytes = [self.0[3], self.0[4], self.0[5], self.0[6]];
        (self.state() == MarkState::Failed).then(|| Cause(u32::from_le_bytes(bytes)))
    }

    /// When it was sent (parked or put back, while it is that).
    #[must_use]
    pub fn sent(self) -> Step {
        self.step(1)
    }

    /// Whether the provider is known to have taken it, whatever came after that.
    #[must_use]
    pub fn is_sent(self) -> bool {
        self.state().status() != Status::Queued && self.sent() != Step(0)
    }

    /// When it was delivered.
    #[must_use]
    pub fn delivered(self) -> Step {
        if self.state() == MarkState::Failed { Step(0) } else { self.step(3) }
    }

    /// When it was read.
    #[must_use]
    pub fn read(self) -> Step {
        if self.state() == MarkState::Failed { Step(0) } else { self.step(5) }
    }

    fn step(self, at: usize) -> Step {
        Step(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn set_step(&mut self, at: usize, step: Step) {
        self.0[at..at + 2].copy_from_slice(&step.0.to_le_bytes());
    }

    fn set_state(&mut self, state: MarkState) {
        self.0[0] = (self.0[0] & !STATE) | state as u8;
    }

    /// The recipient answered.
    pub fn touch(&mut self) {
        self.0[0] |= REPLIED;
    }

    /// Put on the wire.
    pub fn claimed(&mut self) {
        if self.waits() {
            self.set_state(MarkState::Claimed);
        }
    }

    /// Taken back unsent.
    pub fn released(&mut self, step: Step) {
        if self.state() == MarkState::Claimed {
            self.set_state(MarkState::Retry);
            self.set_step(1, step);
        }
    }

    /// Waits for a later moment, unclaimed.
    pub fn deferred(&mut self, step: Step) {
        if self.waits() {
            self.set_state(MarkState::Retry);
            self.set_step(1, step);
        }
    }

    /// Its outcome is not known.
    pub fn parked(&mut self, step: Step) {
        if self.state() == MarkState::Claimed {
            self.set_state(MarkState::Parked);
            self.set_step(1, step);
        }
    }

    /// The provider answered.
    pub fn answered(&mut self, step: Step, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted(_) => self.heard(Status::Sent, step, None),
            Outcome::Failed(cause) => self.heard(Status::Failed, step, Some(*cause)),
            Outcome::Ambiguous => self.parked(step),
            Outcome::Retry { .. } => {
                if matches!(self.state(), MarkState::Claimed | MarkState::Parked) {
                    self.set_state(MarkState::Retry);
                    self.set_step(1, step);
                }
            }
        }
    }

    /// The provider said more with `sent`. Of what failed without having been sent that is no news.
    pub fn detail(&mut self) {
        if self.state() != MarkState::Failed || self.is_sent() {
            self.0[0] |= DETAILED;
        }
    }

    /// The provider reported on it.
    pub fn reported<K>(&mut self, step: Step, report: &StatusReport<K>) {
        if report.details_sent() {
            self.detail();
        }
        self.heard(report.status, step, report.cause);
    }

    /// A status was heard.
    pub fn heard(&mut self, status: Status, step: Step, cause: Option<Cause>) {
        let Some(next) = MarkState::of(status) else { return };
        let was = self.state();
        if was.status().may_become(status) {
            // The slots of a waiting mark hold other things than steps of delivery, a failed one's last two too.
            match was {
                MarkState::Failed => self.0[3..].fill(0),
                _ if was.status() == Status::Queued => self.0[1..].fill(0),
                _ => {}
            }
            self.set_state(next);
            if next == MarkState::Failed {
                let cause = cause.unwrap_or(Cause::UNREADABLE);
                self.0[3..7].copy_from_slice(&cause.0.to_le_bytes());
                return;
            }
        } else if was == MarkState::Failed || was.status() == Status::Queued {
            return;
        }
        let slot = match status {
            Status::Sent => 1,
            Status::Delivered => 3,
            Status::Read | Status::Played => 5,
            _ => return,
        };
        if self.step(slot).0 == 0 {
            self.set_step(slot, step);
        }
    }

    /// Waiting for proof ended.
    pub fn resolved(&mut self, step: Step, again: bool) {
        if self.state() != MarkState::Parked {
            return;
        }
        if again {
            self.set_state(MarkState::Retry);
            self.set_step(1, step);
            self.0[0] |= RESENT;
        } else {
            self.heard(Status::Unknown, step, None);
        }
    }

    /// Ended before it was sent: expired, or failed with a cause. What is on the wire, parked or settled is not.
    pub fn ended(&mut self, step: Step, cause: Option<Cause>) {
        if self.waits() {
            let status = if cause.is_some() { Status::Failed } else { Status::Expired };
            self.heard(status, step, cause);
        }
    }
}

/// One chunk's marks: a view row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarksRow {
    /// Whose.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The shard of the part it belongs to.
    pub shard: ShardId,
    /// The chunk's number in the campaign: index / 512.
    pub chunk: u32,
    /// Seven bytes a recipient.
    pub bytes: Vec<u8>,
    /// The last entry that changed it.
    pub upto: Position,
}

impl MarksRow {
    /// The marks of `count` recipients nobody has claimed.
    #[must_use]
    pub fn fresh((tenant, campaign): (TenantId, CampaignId), shard: ShardId, chunk: u32, count: u32) -> Self {
        let bytes = vec![0; MARK_BYTES * count as usize];
        Self { tenant, campaign, shard, chunk, bytes, upto: Position::default() }
    }

    /// How many recipients.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.bytes.len() / MARK_BYTES).unwrap_or(CHUNK)
    }

    /// The mark at `offset` in the chunk, `None` past its end.
    #[must_use]
    pub fn get(&self, offset: u32) -> Option<Mark> {
        let at = offset as usize * MARK_BYTES;
        self.bytes.get(at..at + MARK_BYTES).and_then(|b| b.try_into().ok()).map(Mark)
    }

    /// Replaces the mark at `offset`; past the end nothing happens.
    pub fn set(&mut self, offset: u32, mark: Mark) {
        let at = offset as usize * MARK_BYTES;
        if let Some(slot) = self.bytes.get_mut(at..at + MARK_BYTES) {
            slot.copy_from_slice(&mark.0);
        }
    }

    /// All marks in order.
    pub fn iter(&self) -> impl Iterator<Item = Mark> + '_ {
        self.bytes.chunks_exact(MARK_BYTES).map(|b| Mark(b.try_into().expect("chunks are exact")))
    }
}

/// The step of `at`, for a mark of a campaign launched at `launch`.
#[must_use]
pub fn step(launch: Timestamp, at: Timestamp) -> Step {
    Step::of(launch, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Act {
        Claim,
        Release,
        Answer(Outcome),
        Hear(Status),
        Park,
        Resolve(bool),
        Touch,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            Just(Act::Claim),
            Just(Act::Release),
            Just(Act::Answer(Outcome::Accepted("w".into()))),
            Just(Act::Answer(Outcome::Failed(Cause(131_026)))),
            Just(Act::Answer(Outcome::Retry { due: Timestamp(0), cause: Cause(130_429) })),
            Just(Act::Answer(Outcome::Ambiguous)),
            Just(Act::Park),
            any::<bool>().prop_map(Act::Resolve),
            Just(Act::Touch),
            prop_oneof![
                Just(Status::Sent),
                Just(Status::Delivered),
                Just(Status::Read),
                Just(Status::Failed),
                Just(Status::Expired)
            ]
            .prop_map(Act::Hear),
        ]
    }

    fn apply(mark: &mut Mark, act: &Act, step: Step) {
        match act {
            Act::Claim => mark.claimed(),
            Act::Release => mark.released(step),
            Act::Answer(outcome) => mark.answered(step, outcome),
            Act::Hear(status) => mark.heard(*status, step, Some(Cause(131_049))),
            Act::Park => mark.parked(step),
            Act::Resolve(again) => mark.resolved(step, *again),
            Act::Touch => mark.touch(),
        }
    }

    proptest! {
        #[test]
        fn a_mark_never_goes_back_and_a_failed_one_knows_why(acts in proptest::collection::vec(act(), 0..40)) {
            let mut mark = Mark::default();
            for (i, act) in acts.iter().enumerate() {
                let was = mark;
                apply(&mut mark, act, Step(i as u16 + 1));
                let (a, b) = (was.state().status(), mark.state().status());
                prop_assert!(a == b || a.may_become(b), "{a:?} -> {b:?} by {act:?}");
                prop_assert!(!was.replied() || mark.replied());
                prop_assert!(!was.resent() || mark.resent());
                prop_assert_eq!(mark.cause().is_some(), mark.state() == MarkState::Failed);
                if mark.state() == MarkState::Delivered { prop_assert!(mark.delivered().0 > 0); }
                if was.state().status().is_settled() { prop_assert!(b.is_settled()); }
            }
        }

        #[test]
        fn hearing_a_status_twice_changes_nothing(acts in proptest::collection::vec(act(), 0..20), status in 3..9_u8) {
            let mut mark = Mark::default();
            for act in &acts { apply(&mut mark, act, Step(1)); }
            let status = Status::from_byte(status).unwrap();
            mark.heard(status, Step(5), Some(Cause(1)));
            let once = mark;
            mark.heard(status, Step(9), Some(Cause(2)));
            prop_assert_eq!(once, mark);
        }
    }

    #[test]
    fn marks_outside_a_chunk_are_ignored() {
        let mut row = MarksRow::fresh((TenantId(1), CampaignId(1)), ShardId(0), 0, 2);
        let mut mark = row.get(1).unwrap();
        mark.claimed();
        row.set(1, mark);
        row.set(2, mark);
        assert_eq!(row.get(2), None);
        assert_eq!(row.iter().map(Mark::state).collect::<Vec<_>>(), [MarkState::Pending, MarkState::Claimed]);
    }
}
