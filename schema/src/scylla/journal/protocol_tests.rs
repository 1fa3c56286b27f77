//! The protocol under any order of calls: several owners of rising epochs take a shard in turn, sleep anywhere, wake
//! and go on; writes are lost before or after they work, or work much later. Whatever happens, an acknowledged frame
//! stands, nothing stands twice, and who was overtaken is told.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Buckets of four positions, so that every walk crosses many.
const BITS: Bits = Bits(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    batch: u64,
    epoch: u64,
    last: u64,
}

/// The table: frames by their begin, fences by bucket.
#[derive(Debug, Default)]
struct Table {
    frames: BTreeMap<u64, Frame>,
    owners: BTreeMap<u64, u64>,
    /// Without the fence, which must then be seen to matter.
    unfenced: bool,
}

#[derive(Debug, Clone, Copy)]
enum Write {
    Frame { bucket: u64, seq: u64, seen: Option<u64>, frame: Frame },
    Raise { bucket: u64, seen: Option<u64>, epoch: u64 },
}

impl Table {
    fn write(&mut self, write: Write) -> Outcome {
        let (bucket, seen, epoch) = match write {
            Write::Frame { bucket, seen, frame, .. } => (bucket, seen, frame.epoch),
            Write::Raise { bucket, seen, epoch } => (bucket, seen, epoch),
        };
        if self.owners.get(&bucket).copied() != seen && !self.unfenced {
            return Outcome::Refused;
        }
        if let Write::Frame { seq, frame, .. } = write {
            if self.frames.contains_key(&seq) {
                return Outcome::Refused;
            }
            self.frames.insert(seq, frame);
        }
        self.owners.insert(bucket, epoch);
        Outcome::Applied
    }

    fn look(&self, bucket: u64) -> Look {
        let of_bucket = self.frames.iter().rfind(|(seq, _)| BITS.bucket(**seq) == bucket);
        Look { owner: self.owners.get(&bucket).copied(), last: of_bucket.map(|(_, frame)| frame.last) }
    }

    fn row(&self, bucket: u64, seq: u64) -> Row {
        let frame = self.frames.get(&seq).map(|f| (f.batch, f.epoch));
        Row { owner: self.owners.get(&bucket).copied(), frame }
    }
}

#[derive(Debug)]
enum Doing {
    Taking(Takeover),
    Idle(Owner),
    Appending(Append, Frame),
    Gone,
}

#[derive(Debug)]
struct Node {
    doing: Doing,
    tip: u64,
    /// Frames it was told are in.
    sure: Vec<(u64, Frame)>,
}

#[derive(Debug, Default)]
struct World {
    table: Table,
    nodes: Vec<Node>,
    /// Writes that are still on the wire and may arrive at any time.
    late: Vec<Write>,
    batches: u64,
    told: u64,
    /// Which epochs took the shard, and where it ended for them.
    taken: Vec<(u64, u64)>,
}

/// One step of somebody.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// A new owner begins to take the shard.
    Challenge,
    /// Somebody does its next step; the write's fate, and how many positions a new frame has.
    Step { who: u8, fate: u8, count: u8 },
    /// A write that was given up arrives.
    Arrive(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Challenge),
        40 => (any::<u8>(), 0..12_u8, 1..9_u8).prop_map(|(who, fate, count)| Act::Step { who, fate, count }),
        3 => any::<u8>().prop_map(Act::Arrive),
    ]
}

impl World {
    fn deliver(&mut self, write: Write, fate: u8) -> Outcome {
        match fate {
            0 => {
                self.table.write(write);
                Outcome::Unknown
            }
            1 => Outcome::Unknown,
            2 => {
                self.late.push(write);
                Outcome::Unknown
            }
            _ => self.table.write(write),
        }
    }

    fn step(&mut self, who: usize, fate: u8, count: u64) {
        let Node { mut doing, mut tip, mut sure } =
            std::mem::replace(&mut self.nodes[who], Node { doing: Doing::Gone, tip: 0, sure: Vec::new() });
        doing = match doing {
            Doing::Taking(mut takeover) => match takeover.step() {
                Step::Look(bucket) => {
                    takeover.looked(self.table.look(bucket));
                    Doing::Taking(takeover)
                }
                Step::Raise { bucket, seen } => {
                    let epoch = takeover.epoch;
                    takeover.raised(self.deliver(Write::Raise { bucket, seen, epoch }, fate));
                    Doing::Taking(takeover)
                }
                Step::Done { tip: found, bucket } => {
                    tip = found;
                    self.taken.push((takeover.epoch, found));
                    Doing::Idle(Owner::new(BITS, takeover.epoch, bucket))
                }
                Step::Fenced(_) => {
                    self.told += 1;
                    Doing::Gone
                }
            },
            Doing::Idle(owner) => {
                self.batches += 1;
                let frame = Frame { batch: self.batches, epoch: owner.epoch(), last: tip + count };
                Doing::Appending(owner.append(frame.batch, tip + 1), frame)
            }
            Doing::Appending(mut append, frame) => match append.ask() {
                Ask::Write { bucket, seq, seen } => {
                    append.wrote(self.deliver(Write::Frame { bucket, seq, seen, frame }, fate));
                    Doing::Appending(append, frame)
                }
                Ask::Read { bucket, seq } => {
                    append.read(self.table.row(bucket, seq));
                    Doing::Appending(append, frame)
                }
                Ask::Done => {
                    sure.push((tip + 1, frame));
                    tip = frame.last;
                    Doing::Idle(append.owner())
                }
                Ask::Fenced(_) => {
                    self.told += 1;
                    Doing::Gone
                }
            },
            Doing::Gone => Doing::Gone,
        };
        self.nodes[who] = Node { doing, tip, sure };
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Challenge => {
                let epoch = self.nodes.len() as u64 + 1;
                let doing = Doing::Taking(Takeover::new(BITS, epoch, 0));
                self.nodes.push(Node { doing, tip: 0, sure: Vec::new() });
            }
            Act::Step { who, fate, count } if !self.nodes.is_empty() => {
                self.step(usize::from(who) % self.nodes.len(), fate, u64::from(count));
            }
            Act::Arrive(which) if !self.late.is_empty() => {
                let write = self.late.swap_remove(usize::from(which) % self.late.len());
                self.table.write(write);
            }
            _ => {}
        }
    }

    /// What is wrong, if anything.
    fn fault(&self) -> Option<String> {
        let mut next = 1;
        for (seq, frame) in &self.table.frames {
            if *seq != next {
                return Some(format!("a frame at {seq}, expected one at {next}"));
            }
            next = frame.last + 1;
        }
        let lost =
            self.nodes.iter().flat_map(|n| &n.sure).find(|(seq, f)| self.table.frames.get(seq) != Some(f));
        if let Some(lost) = lost {
            return Some(format!("an acknowledged frame is gone: {lost:?}"));
        }
        // Whoever took the shard has read all there is: nobody older may add to it.
        for (epoch, tip) in &self.taken {
            let older = self.table.frames.iter().find(|(seq, f)| **seq > *tip && f.epoch < *epoch);
            if let Some((seq, frame)) = older {
                return Some(format!(
                    "epoch {} wrote at {seq} after epoch {epoch} took over at {tip}",
                    frame.epoch
                ));
            }
        }
        None
    }
}

use proptest::strategy::ValueTree;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn an_acknowledged_frame_stands_and_epochs_never_mix(acts in proptest::collection::vec(act(), 1..400)) {
        let mut world = World::default();
        for act in acts {
            world.act(act);
            prop_assert_eq!(world.fault(), None);
        }
    }

    #[test]
    fn left_alone_the_newest_owner_gets_its_frames_in(acts in proptest::collection::vec(act(), 1..200)) {
        let mut world = World::default();
        acts.into_iter().for_each(|act| world.act(act));
        world.act(Act::Challenge);
        let who = world.nodes.len() - 1;
        for _ in 0..1_500 {
            world.step(who, 9, 3);
        }
        prop_assert_eq!(world.fault(), None);
        prop_assert!(world.nodes[who].sure.len() > 100, "{:?}", world.nodes[who].doing);
    }
}

#[test]
fn an_owner_that_wakes_in_a_fresh_bucket_is_refused() {
    let mut world = World::default();
    world.act(Act::Challenge);
    // The first owner fills a bucket to its last position and sleeps with its next frame in a fresh one.
    while world.nodes[0].tip < 3 {
        world.step(0, 9, 3);
    }
    world.step(0, 9, 2);
    assert!(
        matches!(&world.nodes[0].doing, Doing::Appending(a, _) if a.ask() == Ask::Write { bucket: 1, seq: 4, seen: None })
    );
    world.act(Act::Challenge);
    while !matches!(world.nodes[1].doing, Doing::Idle(_)) {
        world.step(1, 9, 1);
    }
    while matches!(world.nodes[0].doing, Doing::Appending(..)) {
        world.step(0, 9, 1);
    }
    assert!(matches!(world.nodes[0].doing, Doing::Gone));
    assert_eq!((world.told, world.table.frames.len(), world.fault()), (1, 1, None));
}

#[test]
fn without_the_fence_the_same_walks_go_wrong() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let walks = proptest::collection::vec(act(), 200..400);
    let wrong = (0..300).any(|_| {
        let acts = walks.new_tree(&mut runner).unwrap().current();
        let mut world = World { table: Table { unfenced: true, ..Table::default() }, ..World::default() };
        acts.into_iter().any(|act| {
            world.act(act);
            world.fault().is_some()
        })
    });
    assert!(wrong, "a table without a fence passed: the walks prove nothing");
}
