//! A simulated process: a lease machine and an append at a time for each shard, a monotonic clock that runs a little
//! wrong, and what it asks the cluster. Not when its calls arrive.

use super::table::{Question, SHARDS, Told};
use kabar_engine::id::ShardId;
use kabar_engine::lease::{Heard, Lease, Order, Owner};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Chance that a shard has something to write at a turn, one in so many.
const IDLE: u32 = 4;
/// Clocks run wrong by up to this many thousandths.
const DRIFT: i64 = 20;

/// What a shard does beside its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// It is not ours.
    None,
    /// The fence is to be raised; `true`: asked.
    Opening { epoch: u64, asked: bool },
    /// Nothing is under way.
    Ready { epoch: u64, tip: usize },
    /// An item is.
    Appending { epoch: u64, tip: usize, item: u64 },
    /// Its outcome is not known, and has to be asked for (`false`) or is being.
    Doubt { epoch: u64, tip: usize, item: u64, asked: bool },
}

impl Work {
    fn epoch(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Opening { epoch, .. }
            | Self::Ready { epoch, .. }
            | Self::Appending { epoch, .. }
            | Self::Doubt { epoch, .. } => Some(epoch),
        }
    }
}

/// A process.
#[derive(Debug)]
pub struct Node {
    me: Owner,
    /// Its clock's thousandths for each thousand of the world's, and where it began.
    rate: u64,
    base: u64,
    leases: Vec<Lease>,
    works: Vec<Work>,
}

/// What a turn asks of the cluster: now, or after the gap between looking at the lease and sending.
#[derive(Debug)]
pub struct Asked {
    pub shard: usize,
    pub question: Question,
    pub gap: bool,
}

impl Node {
    /// A process that begins with nothing.
    pub fn new(name: &str, rng: &mut ChaCha8Rng) -> Self {
        let me = Owner::new(name, rng.random());
        let rate = 1_000_u64.saturating_add_signed(rng.random_range(-DRIFT..=DRIFT));
        // Where a monotonic clock begins says nothing; two seconds of wall time apart, or an hour.
        let base = rng.random_range(0..3_600_000);
        let leases = ShardId::all().take(SHARDS).map(|shard| Lease::new(shard, me.clone(), false)).collect();
        Self { me, rate, base, leases, works: vec![Work::None; SHARDS] }
    }

    /// Its name.
    pub fn me(&self) -> &Owner {
        &self.me
    }

    fn clock(&self, now: u64) -> u64 {
        self.base + now * self.rate / 1_000
    }

    /// The epoch under which it believes it may act on a shard.
    pub fn believes(&self, shard: usize, now: u64) -> Option<u64> {
        let term = self.leases[shard].term()?;
        term.holds_for(0, self.clock(now)).then_some(term.epoch)
    }

    /// Gives everything back and begins nothing new.
    pub fn leave(&mut self) {
        self.leases.iter_mut().for_each(Lease::leave);
        self.works.fill(Work::None);
    }

    /// Whether it gave everything back.
    pub fn has_left(&self) -> bool {
        self.leases.iter().all(Lease::has_left)
    }

    /// Looks at what is due.
    pub fn turn(&mut self, now: u64, rng: &mut ChaCha8Rng) -> Vec<Asked> {
        let clock = self.clock(now);
        let mut asked = Vec::new();
        for shard in 0..SHARDS {
            while let Some(order) = self.leases[shard].poll(clock) {
                match order {
                    Order::Stop => self.works[shard] = Work::None,
                    Order::Ask(call) => {
                        let question = Question::Lease(self.me.clone(), call);
                        asked.push(Asked { shard, question, gap: false });
                    }
                }
            }
            if let Some(epoch) = self.believes(shard, now) {
                asked.extend(self.act(shard, epoch, rng));
            } else {
                self.works[shard] = Work::None;
            }
        }
        asked
    }

    /// The lease holds: the next step of the work.
    fn act(&mut self, shard: usize, epoch: u64, rng: &mut ChaCha8Rng) -> Option<Asked> {
        let work = &mut self.works[shard];
        if work.epoch() != Some(epoch) {
            *work = Work::Opening { epoch, asked: false };
        }
        let (question, gap) = match work {
            Work::Opening { epoch, asked: asked @ false } => {
                *asked = true;
                (Question::Open(*epoch), false)
            }
            Work::Ready { epoch, tip } if rng.random_range(0..IDLE) == 0 => {
                let (epoch, seq, item) = (*epoch, *tip, rng.random());
                *work = Work::Appending { epoch, tip: seq, item };
                (Question::Append { epoch, seq, item }, true)
            }
            Work::Doubt { tip, asked: asked @ false, .. } => {
                *asked = true;
                (Question::Look { seq: *tip }, false)
            }
            _ => return None,
        };
        Some(Asked { shard, question, gap })
    }

    /// Hears an answer. `true`: the shard was opened.
    pub fn hear(&mut self, shard: usize, about: &Question, told: Told, now: u64) -> bool {
        match about {
            Question::Lease(..) => {
                let heard = match told {
                    Told::Lease(heard) => heard,
                    Told::Unknown => Heard::Unknown,
                    _ => Heard::Unavailable,
                };
                let clock = self.clock(now);
                self.leases[shard].hear(heard, clock);
                false
            }
            Question::Open(epoch) => self.opened(shard, *epoch, &told, now),
            Question::Append { epoch, item, .. } => {
                let Work::Appending { epoch: ours, tip, item: mine } = self.works[shard] else {
                    return false;
                };
                if (ours, mine) == (*epoch, *item) {
                    self.works[shard] = match told {
                        Told::Written => Work::Ready { epoch: ours, tip: tip + 1 },
                        _ => Work::Doubt { epoch: ours, tip, item: mine, asked: false },
                    };
                }
                false
            }
            Question::Look { .. } => {
                self.looked(shard, &told, now);
                false
            }
        }
    }

    fn opened(&mut self, shard: usize, epoch: u64, told: &Told, now: u64) -> bool {
        if self.works[shard] != (Work::Opening { epoch, asked: true }) {
            return false;
        }
        match told {
            Told::Opened(tip) => {
                self.works[shard] = Work::Ready { epoch, tip: *tip };
                return true;
            }
            Told::Stands { .. } => self.fenced(shard, now),
            _ => self.works[shard] = Work::Opening { epoch, asked: false },
        }
        false
    }

    fn looked(&mut self, shard: usize, told: &Told, now: u64) {
        let Work::Doubt { epoch, tip, item, asked: true } = self.works[shard] else { return };
        match told {
            Told::Stands { item: Some(stands), .. } if *stands == item => {
                self.works[shard] = Work::Ready { epoch, tip: tip + 1 };
            }
            // Still free, and ours: what is late and what comes next compete for one place, one gets it.
            Told::Stands { fence, item: None } if *fence == epoch => {
                self.works[shard] = Work::Ready { epoch, tip };
            }
            Told::Stands { .. } => self.fenced(shard, now),
            _ => self.works[shard] = Work::Doubt { epoch, tip, item, asked: false },
        }
    }

    /// What was decided is void; the shard is taken anew, if it is still ours.
    fn fenced(&mut self, shard: usize, now: u64) {
        let clock = self.clock(now);
        self.works[shard] = Work::None;
        self.leases[shard].renounce(clock);
    }
}
