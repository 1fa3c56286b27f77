//! A part: up to 10,240 recipients of one campaign that are sent from one session and live in its shard. Not
//! the campaign, which holds the phase; not the recipients' addresses, which are chunks in the ledger.

use crate::address::Address;
use crate::campaign::Verb;
use crate::cause::Cause;
use crate::entry::Position;
use crate::id::{CampaignId, CommandId, MessageId, SessionId, TenantId};
use crate::mark::{CHUNK, Mark, MarkState};
use crate::pricing::Pricing;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// Chunks in a full part.
pub const CHUNKS: u32 = 20;
/// Recipients in a full part; a recipient's index is part × this + offset.
pub const PART: u32 = CHUNK * CHUNKS;

/// Prices that a part tells apart.
const CHARGED: usize = 32;

/// One chunk of a part: enough to find an address without reading the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkLine {
    /// The smallest address; chunks are sorted by address.
    pub first: Address,
    /// Recipients.
    pub count: u32,
    /// The message id of the first recipient; offset n has `base.plus(n)`.
    pub base: MessageId,
}

/// A part's begin: what its session's shard must know for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartStart {
    /// The campaign.
    pub campaign: CampaignId,
    /// The part's number over all senders.
    pub part: u32,
    /// The attempt to freeze that the ledger's chunks belong to.
    pub attempt: u32,
    /// The sending session.
    pub session: SessionId,
    /// The launch: marks count from here.
    pub launched: Timestamp,
    /// Recipients not sent by then expire.
    pub valid_until: Timestamp,
    /// The chunks in order.
    pub chunks: Vec<ChunkLine>,
    /// The command that started it.
    pub command: CommandId,
}

/// What a part may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PartPhase {
    /// Sends when its session has room.
    Running = 1,
    /// Waits for a resume.
    Paused = 2,
    /// Sends nothing any more.
    Cancelled = 3,
}

impl PartPhase {
    /// Decodes the stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Cancelled].into_iter().find(|s| *s as u8 == byte)
    }
}

/// A part as a view row. Its counts are not here: they are counted from its chunks' marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    /// Whose.
    pub tenant: TenantId,
    /// Its begin.
    pub start: PartStart,
    /// What it may do.
    pub phase: PartPhase,
    /// The last command it took over.
    pub command: CommandId,
    /// Whether every recipient has ended; a finished part is not loaded at a start.
    pub finished: bool,
    /// Delivered recipients by what they cost; as far as the provider said it.
    pub charged: BTreeMap<Pricing, u64>,
    /// The last entry that changed it.
    pub upto: Position,
}

impl PartRow {
    /// A part that begins.
    #[must_use]
    pub fn begin(tenant: TenantId, start: PartStart) -> Self {
        let command = start.command;
        let phase = PartPhase::Running;
        Self {
            tenant,
            start,
            phase,
            command,
            finished: false,
            charged: BTreeMap::new(),
            upto: Position::default(),
        }
    }

    /// Takes a command over; one that is not younger than the last is ignored.
    pub fn moved(&mut self, verb: Verb, command: CommandId) {
        if command <= self.command {
            return;
        }
        self.command = command;
        self.phase = match (self.phase, verb) {
            (PartPhase::Cancelled, _) | (_, Verb::Cancel) => PartPhase::Cancelled,
            (_, Verb::Pause) => PartPhase::Paused,
            (_, Verb::Launch | Verb::Resume) => PartPhase::Running,
        };
    }

    /// A recipient was delivered at this price. Prices are words of few kinds; more than [`CHARGED`] are not told apart.
    pub fn charged(&mut self, pricing: &Pricing) {
        let fits = self.charged.len() < CHARGED || self.charged.contains_key(pricing);
        let pricing = if fits { pricing.clone() } else { Pricing::default() };
        *self.charged.entry(pricing).or_default() += 1;
    }

    /// The index of the first recipient.
    #[must_use]
    pub fn first_index(&self) -> u32 {
        self.start.part * PART
    }

    /// How many recipients.
    #[must_use]
    pub fn recipients(&self) -> u32 {
        self.start.chunks.iter().map(|c| c.count).sum()
    }

    /// The numbers (in the campaign) of its chunks.
    pub fn chunk_numbers(&self) -> impl Iterator<Item = u32> + use<> {
        let first = self.start.part * CHUNKS;
        first..first + u32::try_from(self.start.chunks.len()).unwrap_or(CHUNKS)
    }

    /// The message id of a recipient by index; `None` when the index is not of this part.
    #[must_use]
    pub fn message(&self, index: u32) -> Option<MessageId> {
        let offset = index.checked_sub(self.first_index())?;
        let chunk = self.start.chunks.get(usize::try_from(offset / CHUNK).ok()?)?;
        (offset % CHUNK < chunk.count).then(|| chunk.base.plus(offset % CHUNK))
    }

    /// The number (in the campaign) of the chunk that would hold `address`.
    #[must_use]
    pub fn chunk_of(&self, address: &Address) -> Option<u32> {
        let after = self.start.chunks.partition_point(|c| c.first <= *address);
        let inside = u32::try_from(after.checked_sub(1)?).ok()?;
        Some(self.start.part * CHUNKS + inside)
    }
}

/// The part of an index.
#[must_use]
pub fn part_of(index: u32) -> u32 {
    index / PART
}

/// The chunk (number in the campaign) of an index, and the offset in it.
#[must_use]
pub fn chunk_of(index: u32) -> (u32, u32) {
    (index / CHUNK, index % CHUNK)
}

/// How a campaign's or part's recipients stand; adds up at every instant:
/// `recipients = waiting + on_wire + parked + sent + failed + expired + unknown`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// All.
    pub recipients: u64,
    /// Not sent yet, or put back.
    pub waiting: u64,
    /// Claimed, the answer outstanding.
    pub on_wire: u64,
    /// Outcome not known, waiting for proof.
    pub parked: u64,
    /// Taken by the provider; includes delivered.
    pub sent: u64,
    /// On the phone; includes read.
    pub delivered: u64,
    /// Opened.
    pub read: u64,
    /// Answered.
    pub replied: u64,
    /// Refused or undeliverable.
    pub failed: u64,
    /// Not sent in time.
    pub expired: u64,
    /// No proof either way.
    pub unknown: u64,
    /// Failures by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Delivered recipients by what they cost, as far as the provider said it.
    pub charged: BTreeMap<Pricing, u64>,
}

impl Totals {
    /// Counts one recipient.
    pub fn count(&mut self, mark: Mark) {
        self.recipients += 1;
        self.replied += u64::from(mark.replied());
        match mark.state() {
            MarkState::Pending | MarkState::Retry => self.waiting += 1,
            MarkState::Claimed => self.on_wire += 1,
            MarkState::Parked => self.parked += 1,
            MarkState::Unknown => self.unknown += 1,
            MarkState::Sent => self.sent += 1,
            MarkState::Delivered => {
                self.sent += 1;
                self.delivered += 1;
            }
            MarkState::Read => {
                self.sent += 1;
                self.delivered += 1;
                self.read += 1;
            }
            MarkState::Expired => self.expired += 1,
            MarkState::Failed => {
                self.failed += 1;
                *self.causes.entry(mark.cause().unwrap_or(Cause::UNREADABLE)).or_default() += 1;
            }
        }
    }

    /// Takes one recipient out that was counted as `mark`; the caller kept count of it.
    pub fn uncount(&mut self, mark: Mark) {
        let mut one = Self::default();
        one.count(mark);
        let fields = [
            (&mut self.recipients, one.recipients),
            (&mut self.waiting, one.waiting),
            (&mut self.on_wire, one.on_wire),
            (&mut self.parked, one.parked),
            (&mut self.sent, one.sent),
            (&mut self.delivered, one.delivered),
            (&mut self.read, one.read),
            (&mut self.replied, one.replied),
            (&mut self.failed, one.failed),
            (&mut self.expired, one.expired),
            (&mut self.unknown, one.unknown),
        ];
        for (all, less) in fields {
            *all = all.saturating_sub(less);
        }
        for cause in one.causes.into_keys() {
            let left = self.causes.remove(&cause).unwrap_or(0).saturating_sub(1);
            if left > 0 {
                self.causes.insert(cause, left);
            }
        }
    }

    /// Adds another part's.
    pub fn add(&mut self, other: &Self) {
        self.recipients += other.recipients;
        self.waiting += other.waiting;
        self.on_wire += other.on_wire;
        self.parked += other.parked;
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.read += other.read;
        self.replied += other.replied;
        self.failed += other.failed;
        self.expired += other.expired;
        self.unknown += other.unknown;
        for (cause, count) in &other.causes {
            *self.causes.entry(*cause).or_default() += count;
        }
        for (pricing, count) in &other.charged {
            *self.charged.entry(pricing.clone()).or_default() += count;
        }
    }

    /// Whether nothing is left to do or to wait for.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.waiting == 0 && self.on_wire == 0 && self.parked == 0
    }

    /// Whether only proof is waited for.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.waiting == 0 && self.on_wire == 0 && self.parked > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> PartRow {
        let line = |n: u32, count| ChunkLine {
            first: Address::phone_digits(&format!("62810000{n:04}")).unwrap(),
            count,
            base: MessageId(u64::from(n) << 14),
        };
        let start = PartStart {
            campaign: CampaignId(1),
            part: 2,
            attempt: 1,
            session: SessionId(1),
            launched: Timestamp(0),
            valid_until: Timestamp(1),
            chunks: vec![line(0, 512), line(512, 100)],
            command: CommandId(5),
        };
        PartRow::begin(TenantId(1), start)
    }

    #[test]
    fn an_index_has_its_chunks_message_and_no_other() {
        let part = part();
        assert_eq!(part.message(20_480), Some(MessageId(0)));
        assert_eq!(part.message(20_480 + 512 + 99), Some(MessageId((512 << 14) + 99)));
        assert_eq!(part.message(20_480 + 512 + 100), None);
        assert_eq!(part.message(20_479), None);
        assert_eq!(part.recipients(), 612);
    }

    #[test]
    fn an_address_is_looked_for_in_the_one_chunk_that_could_hold_it() {
        let part = part();
        let address = |d: &str| Address::phone_digits(d).unwrap();
        assert_eq!(part.chunk_of(&address("628100000511")), Some(40));
        assert_eq!(part.chunk_of(&address("628100000512")), Some(41));
        assert_eq!(part.chunk_of(&address("628099999999")), None);
    }

    #[test]
    fn an_old_command_is_ignored_and_cancel_is_final() {
        let mut part = part();
        part.moved(Verb::Pause, CommandId(5));
        assert_eq!(part.phase, PartPhase::Running);
        part.moved(Verb::Pause, CommandId(7));
        part.moved(Verb::Resume, CommandId(6));
        assert_eq!(part.phase, PartPhase::Paused);
        part.moved(Verb::Cancel, CommandId(8));
        part.moved(Verb::Resume, CommandId(9));
        assert_eq!((part.phase, part.command), (PartPhase::Cancelled, CommandId(9)));
    }
}
