//! The simulated world: time, three processes, and everything that happens to them and to their calls. Told a seed, it
//! always comes to the same.

use super::Figures;
use super::node::{Asked, Node};
use super::table::{Question, SHARDS, Table, Told};
use kabar_engine::lease::{Call, Heard};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::RangeInclusive;

/// Processes.
const NODES: usize = 3;
/// Between two looks of a process (ms).
const TURN_MS: u64 = 250;
/// One way of a call that is well (ms).
const WAY_MS: RangeInclusive<u64> = 1..=8;
/// Between looking at the lease and sending (ms).
const GAP_MS: RangeInclusive<u64> = 0..=3;
/// A call that is late (ms).
const LATE_MS: RangeInclusive<u64> = 500..=12_000;
/// A caller waits no longer (ms).
const PATIENCE_MS: u64 = 5_000;
/// The cluster itself says that it does not know after this (ms).
const CLUSTER_MS: u64 = 2_000;
/// From one misfortune of a process to its next (ms).
const CALM_MS: RangeInclusive<u64> = 5_000..=115_000;
/// How long a process stands still (ms).
const PAUSE_MS: RangeInclusive<u64> = 100..=25_000;
/// How long the answers to a process are slow before nothing of it arrives any more, for as long as a pause.
const SLOW_MS: RangeInclusive<u64> = 0..=10_000;
/// A slow answer (ms).
const SLOW_ANSWER_MS: RangeInclusive<u64> = 500..=4_900;
/// How long it is away after a kill or an orderly end (ms).
const AWAY_MS: RangeInclusive<u64> = 1_000..=20_000;

#[derive(Debug)]
enum Event {
    Turn,
    /// Something bad.
    Fate,
    Start,
    /// After the gap.
    Send(usize, Question),
    /// A call reaches the cluster; `Some`: when it is answered, and whether truly.
    Arrive {
        shard: usize,
        question: Question,
        answer: Option<(u64, bool)>,
    },
    Answer(usize, Question, Told),
}

struct Process {
    node: Option<Node>,
    /// Events of an earlier life concern nobody.
    life: u32,
    stands_until: u64,
    /// Stands still at the end of its next turn, for so long.
    stumbles: Option<u64>,
    leaving: bool,
    /// Its answers are slow until, and then it is cut off until.
    slow_until: u64,
    cut_until: u64,
}

/// The world.
pub struct World {
    rng: ChaCha8Rng,
    now: u64,
    count: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, (usize, u32, Event)>,
    processes: Vec<Process>,
    table: Table,
    orphaned: [Option<u64>; SHARDS],
    figures: Figures,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, fenced: bool) -> Self {
        let process = || Process {
            node: None,
            life: 0,
            stands_until: 0,
            stumbles: None,
            leaving: false,
            slow_until: 0,
            cut_until: 0,
        };
        let mut world = Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: 0,
            count: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            processes: (0..NODES).map(|_| process()).collect(),
            table: Table::new(fenced),
            orphaned: [None; SHARDS],
            figures: Figures::default(),
        };
        for at in 0..NODES {
            let (wait, fate) = (world.rng.random_range(0..1_000), world.rng.random_range(CALM_MS));
            world.plan(wait, at, Event::Start);
            world.plan(fate, at, Event::Fate);
        }
        world
    }

    /// Lets `length_ms` go by.
    pub fn run(mut self, length_ms: u64) -> Figures {
        while let Some(Reverse((when, nth))) = self.queue.pop() {
            if when > length_ms {
                break;
            }
            self.now = when;
            if let Some((at, life, event)) = self.events.remove(&nth) {
                self.happen(at, life, event);
            }
        }
        self.figures.items = self.table.items;
        self.figures.stale_writes = self.table.stale;
        self.figures.takeovers.sort_unstable();
        self.figures
    }

    fn plan(&mut self, after_ms: u64, at: usize, event: Event) {
        let life = self.processes[at].life;
        self.plan_in(self.now + after_ms, (at, life), event);
    }

    fn plan_in(&mut self, when: u64, (at, life): (usize, u32), event: Event) {
        self.count += 1;
        self.queue.push(Reverse((when, self.count)));
        self.events.insert(self.count, (at, life, event));
    }

    fn happen(&mut self, at: usize, life: u32, event: Event) {
        match event {
            Event::Fate => return self.fate(at),
            // What was sent arrives, whatever became of its sender.
            Event::Arrive { shard, question, answer } => {
                return self.arrive((at, life), shard, question, answer);
            }
            Event::Start => return self.start(at),
            Event::Turn | Event::Send(..) | Event::Answer(..) => {}
        }
        let process = &self.processes[at];
        if process.life != life {
            return;
        }
        if process.stands_until > self.now {
            // A process that stands still does everything later, without noticing.
            let until = process.stands_until;
            return self.plan_in(until, (at, life), event);
        }
        match event {
            Event::Turn => self.turn(at),
            Event::Send(shard, question) => self.send(at, shard, question),
            Event::Answer(shard, question, told) => self.answer(at, shard, &question, told),
            Event::Fate | Event::Start | Event::Arrive { .. } => {}
        }
    }

    fn start(&mut self, at: usize) {
        let node = Node::new(&format!("n{at}"), &mut self.rng);
        let process = &mut self.processes[at];
        process.life += 1;
        (process.node, process.stands_until, process.leaving, process.stumbles) =
            (Some(node), 0, false, None);
        self.plan(0, at, Event::Turn);
    }

    fn turn(&mut self, at: usize) {
        let Some(mut node) = self.processes[at].node.take() else { return };
        let asked = node.turn(self.now, &mut self.rng);
        for shard in 0..SHARDS {
            // It is about to act on what it believes: the table must say the same.
            let believes = node.believes(shard, self.now);
            if believes.is_some_and(|epoch| !self.table.row(shard).is_held(node.me(), epoch)) {
                self.figures.overlaps += 1;
            }
        }
        let left = self.processes[at].leaving && node.has_left();
        self.processes[at].node = Some(node);
        for Asked { shard, question, gap } in asked {
            let wait = if gap { self.rng.random_range(GAP_MS) } else { 0 };
            self.plan(wait, at, Event::Send(shard, question));
        }
        if let Some(ms) = self.processes[at].stumbles.take() {
            self.processes[at].stands_until = self.now + ms;
        }
        if left {
            self.end(at);
        } else {
            self.plan(TURN_MS, at, Event::Turn);
        }
    }

    fn end(&mut self, at: usize) {
        self.processes[at].node = None;
        self.processes[at].life += 1;
        let away = self.rng.random_range(AWAY_MS);
        self.plan(away, at, Event::Start);
    }

    fn fate(&mut self, at: usize) {
        let (calm, which) = (self.rng.random_range(CALM_MS), self.rng.random_range(0..10));
        self.plan(calm, at, Event::Fate);
        let process = &mut self.processes[at];
        let Some(node) = &mut process.node else { return };
        match which {
            0..=3 => process.stumbles = Some(self.rng.random_range(PAUSE_MS)),
            4..=6 => {
                process.slow_until = self.now + self.rng.random_range(SLOW_MS);
                process.cut_until = process.slow_until + self.rng.random_range(PAUSE_MS);
            }
            7..=8 => {
                let me = node.me().clone();
                for shard in 0..SHARDS {
                    if self.table.row(shard).owner.as_ref() == Some(&me) {
                        self.orphaned[shard].get_or_insert(self.now);
                    }
                }
                self.end(at);
            }
            _ if !process.leaving => {
                process.leaving = true;
                node.leave();
            }
            _ => {}
        }
    }

    /// A call goes on its way, and may have an accident there.
    fn send(&mut self, at: usize, shard: usize, question: Question) {
        let (there, back) = (self.rng.random_range(WAY_MS), self.rng.random_range(WAY_MS));
        let late = self.rng.random_range(LATE_MS);
        let process = &self.processes[at];
        let (slow, cut) = (self.now < process.slow_until, self.now < process.cut_until);
        let slowly = self.rng.random_range(SLOW_ANSWER_MS);
        let unknown = |after: u64| Some((self.now + after, false));
        // Arrives after so long, or never; is answered then, truly or not.
        let (arrives, answer) = match self.rng.random_range(0..1_000) {
            _ if slow => (Some(there), Some((self.now + there + slowly, true))),
            _ if cut => (None, unknown(PATIENCE_MS)),
            0..=1 => (Some(late), (late + back <= PATIENCE_MS).then_some((self.now + late + back, true))),
            2..=4 => (None, unknown(PATIENCE_MS)),
            5..=7 => (Some(there), unknown(PATIENCE_MS)),
            8 => (Some(late), unknown(CLUSTER_MS)),
            9 => (Some(there), unknown(CLUSTER_MS)),
            10 => (None, unknown(CLUSTER_MS)),
            11..=12 => return self.plan(there + back, at, Event::Answer(shard, question, Told::Unavailable)),
            _ => (Some(there), Some((self.now + there + back, true))),
        };
        let answer = answer.or(unknown(PATIENCE_MS));
        if let Some((when, false)) = answer {
            let told = Event::Answer(shard, question.clone(), Told::Unknown);
            self.plan(when - self.now, at, told);
        }
        if let Some(after) = arrives {
            let answer = answer.filter(|(_, truly)| *truly);
            self.plan(after, at, Event::Arrive { shard, question, answer });
        }
    }

    fn arrive(&mut self, who: (usize, u32), shard: usize, question: Question, answer: Option<(u64, bool)>) {
        let told = self.table.apply(shard, question.clone());
        if let Some((when, _)) = answer {
            self.plan_in(when, who, Event::Answer(shard, question, told));
        }
    }

    fn answer(&mut self, at: usize, shard: usize, question: &Question, told: Told) {
        // A read without an answer has no outcome to be in doubt of.
        let told = match (question, told) {
            (Question::Lease(_, Call::Read), Told::Unknown) => Told::Lease(Heard::Unavailable),
            (_, told) => told,
        };
        let Some(node) = &mut self.processes[at].node else { return };
        if node.hear(shard, question, told, self.now)
            && let Some(since) = self.orphaned[shard].take()
        {
            self.figures.takeovers.push(self.now - since);
        }
    }
}
