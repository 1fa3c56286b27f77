//! The simulated cluster: the rows of the leases and a journal for each shard, changed one call at a time and whole, as
//! conditional writes are. When a call arrives, or whether, is the world's business.

use kabar_engine::id::ShardId;
use kabar_engine::lease::{Call, Heard, LeaseRow, Owner};

/// Shards of the simulation.
pub const SHARDS: usize = 12;

/// What a process asks the cluster about one shard.
#[derive(Debug, Clone)]
pub enum Question {
    /// Of its lease.
    Lease(Owner, Call),
    /// To raise the fence to this epoch and tell the tip.
    Open(u64),
    /// To write an item.
    Append { epoch: u64, seq: usize, item: u64 },
    /// What stands at a place.
    Look { seq: usize },
}

/// What it is told.
#[derive(Debug, Clone)]
pub enum Told {
    /// Of its lease.
    Lease(Heard),
    /// The fence is up, and this is the tip.
    Opened(usize),
    /// The item was written.
    Written,
    /// What stands there: the fence and the item at the place that was asked for.
    Stands { fence: u64, item: Option<u64> },
    /// It may have been done.
    Unknown,
    /// It was not done.
    Unavailable,
}

#[derive(Debug, Clone, Default)]
struct Journal {
    fence: u64,
    items: Vec<u64>,
}

/// The cluster.
#[derive(Debug)]
pub struct Table {
    fenced: bool,
    rows: Vec<LeaseRow>,
    journals: Vec<Journal>,
    /// Items written.
    pub items: u64,
    /// Those that must not have been.
    pub stale: u64,
}

impl Table {
    /// A fresh one. Without `fenced` an item is a plain write.
    pub fn new(fenced: bool) -> Self {
        let rows = ShardId::all().take(SHARDS).map(LeaseRow::fresh).collect();
        Self { fenced, rows, journals: vec![Journal::default(); SHARDS], items: 0, stale: 0 }
    }

    /// The row of a shard.
    pub fn row(&self, shard: usize) -> &LeaseRow {
        &self.rows[shard]
    }

    /// Does it now.
    pub fn apply(&mut self, shard: usize, question: Question) -> Told {
        match question {
            Question::Lease(owner, call) => Told::Lease(self.lease(shard, &owner, call)),
            Question::Open(epoch) => self.open(shard, epoch),
            Question::Append { epoch, seq, item } => self.append(shard, epoch, (seq, item)),
            Question::Look { seq } => self.look(shard, seq),
        }
    }

    /// The three statements, as `kabar_engine::lease` gives them.
    fn lease(&mut self, shard: usize, me: &Owner, call: Call) -> Heard {
        let row = &mut self.rows[shard];
        let holds = match &call {
            Call::Read => return Heard::Row(row.clone()),
            Call::Take(seen) => row == seen,
            Call::Renew { epoch, ctr } => row.is_held(me, *epoch) && row.ctr == *ctr,
            Call::Release { epoch } => row.is_held(me, *epoch),
        };
        if !holds {
            return Heard::Refused(row.clone());
        }
        match call {
            Call::Take(_) => *row = row.taken_by(me),
            Call::Renew { .. } => row.ctr += 1,
            Call::Release { .. } => row.owner = None,
            Call::Read => {}
        }
        Heard::Applied
    }

    fn open(&mut self, shard: usize, epoch: u64) -> Told {
        let journal = &mut self.journals[shard];
        if self.fenced && epoch < journal.fence {
            return Told::Stands { fence: journal.fence, item: None };
        }
        // Without the fence this is only a note of who has read the tip.
        journal.fence = journal.fence.max(epoch);
        Told::Opened(journal.items.len())
    }

    fn append(&mut self, shard: usize, epoch: u64, (seq, item): (usize, u64)) -> Told {
        let journal = &mut self.journals[shard];
        let stands = journal.items.get(seq).copied();
        if self.fenced && (epoch != journal.fence || stands.is_some()) {
            return Told::Stands { fence: journal.fence, item: stands };
        }
        if stands == Some(item) {
            return Told::Written; // a late copy of itself
        }
        if epoch < journal.fence || stands.is_some() || seq > journal.items.len() {
            self.stale += 1;
        }
        if seq >= journal.items.len() {
            journal.items.resize(seq + 1, 0);
        }
        journal.items[seq] = item;
        self.items += 1;
        Told::Written
    }

    fn look(&self, shard: usize, seq: usize) -> Told {
        let journal = &self.journals[shard];
        Told::Stands { fence: journal.fence, item: journal.items.get(seq).copied() }
    }
}
