//! What a webhook subscription still has to deliver: which event may be tried now, when one is tried again, when it is
//! given up, and when the whole subscription is. Told the time and the randomness; not the calls, not what is stored.

use crate::id::EventId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Waits before the attempts: the first at once, each further one so long after the one before.
pub const SCHEDULE_MS: [i64; 8] =
    [0, 5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000];
/// A subscription of which nothing succeeded for this long is given up.
pub const GIVE_UP_MS: i64 = 5 * 86_400_000;
/// The same where events are told as Meta tells them: as long as Meta would try.
pub const META_GIVE_UP_MS: i64 = 7 * 86_400_000;
/// Attempts at one event there: the schedule, and its last wait again and again until seven days are over.
const META_ATTEMPTS: u32 = 22;
/// Failures further apart than this are not one failing: longer than any wait of the schedule.
const LULL_MS: i64 = 86_400_000;
/// Events that may wait in one subscription; more are not read before some have ended.
pub const BACKLOG: usize = 1_000;
/// Attempts of one subscription at the same time, when all goes well.
pub const WIDTH_MAX: usize = 16;
/// The most, in parts of a hundred, that chance makes a wait longer.
const JITTER_PERCENT: u64 = 20;

/// In whose words a subscription is told of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// Kabar's events, signed by the Standard Webhooks specification.
    #[default]
    Kabar,
    /// The webhooks of Meta's Cloud API, signed with `X-Hub-Signature-256`.
    Meta,
}

impl Envelope {
    /// The wait before an attempt, counted from 0; `None`: there is no further one.
    fn wait(self, nth: u32) -> Option<i64> {
        let last = SCHEDULE_MS.len() - 1;
        let at = usize::try_from(nth).ok()?;
        match self {
            Self::Kabar => SCHEDULE_MS.get(at).copied(),
            Self::Meta => (nth < META_ATTEMPTS).then(|| SCHEDULE_MS[at.min(last)]),
        }
    }

    fn give_up_ms(self) -> i64 {
        match self {
            Self::Kabar => GIVE_UP_MS,
            Self::Meta => META_GIVE_UP_MS,
        }
    }
}

/// An event that is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Which.
    pub event: EventId,
    /// What it keeps its order in.
    pub lane: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Not before.
    pub due: Timestamp,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filed {
    /// The event is delivered.
    Delivered,
    /// It is tried again then.
    Again(Timestamp),
    /// It was tried as often as it may be.
    Failed,
}

/// Since when nothing succeeded, and the last time something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// The first failure.
    pub since: Timestamp,
    /// The last one.
    pub last: Timestamp,
}

/// The events of one subscription. Of a lane only the first may be tried: what follows waits for it, and only that.
#[derive(Debug, Clone)]
pub struct Queue {
    lines: BTreeMap<u64, Pending>,
    numbers: HashMap<EventId, u64>,
    lanes: HashMap<u64, BTreeSet<u64>>,
    /// The first of each lane, unless it is being tried.
    due: BTreeSet<(Timestamp, u64)>,
    trying: BTreeSet<u64>,
    next: u64,
    width: usize,
    failing: Option<Failing>,
    envelope: Envelope,
}

impl Default for Queue {
    fn default() -> Self {
        Self::new(Vec::new(), None, Envelope::default())
    }
}

impl Queue {
    /// A queue with what an earlier one had left, in its order.
    #[must_use]
    pub fn new(left: Vec<Pending>, failing: Option<Failing>, envelope: Envelope) -> Self {
        let mut queue = Self {
            lines: BTreeMap::new(),
            numbers: HashMap::new(),
            lanes: HashMap::new(),
            due: BTreeSet::new(),
            trying: BTreeSet::new(),
            next: 0,
            // Who was down may still be.
            width: if failing.is_some() { 1 } else { WIDTH_MAX / 4 },
            failing,
            envelope,
        };
        left.into_iter().for_each(|pending| _ = queue.push(pending));
        queue
    }

    /// How many more events it takes.
    #[must_use]
    pub fn room(&self) -> usize {
        BACKLOG.saturating_sub(self.lines.len())
    }

    /// Whether nothing waits and nothing is tried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What waits or is being tried, in order.
    pub fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.lines.values()
    }

    /// Since when nothing succeeds.
    #[must_use]
    pub fn failing(&self) -> Option<Failing> {
        self.failing
    }

    /// Takes an event behind the others; `false` when it is there already.
    pub fn push(&mut self, pending: Pending) -> bool {
        if self.numbers.contains_key(&pending.event) {
            return false;
        }
        let number = self.next;
        self.next += 1;
        self.numbers.insert(pending.event, number);
        let lane = self.lanes.entry(pending.lane).or_default();
        if lane.is_empty() {
            self.due.insert((pending.due, number));
        }
        lane.insert(number);
        self.lines.insert(number, pending);
        true
    }

    /// The next event that may be tried now.
    pub fn start(&mut self, now: Timestamp) -> Option<Pending> {
        if self.trying.len() >= self.width {
            return None;
        }
        let first = self.due.first().copied().filter(|(due, _)| *due <= now)?;
        self.due.remove(&first);
        self.trying.insert(first.1);
        self.lines.get(&first.1).copied()
    }

    /// When the next event may be tried, if no answer comes before; `None` when only answers help.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().filter(|_| self.trying.len() < self.width).map(|(due, _)| *due)
    }

    /// An attempt has ended. `None` when there was no such attempt.
    pub fn answered(&mut self, event: EventId, good: bool, now: Timestamp, random: u64) -> Option<Filed> {
        let number = *self.numbers.get(&event)?;
        if !self.trying.remove(&number) {
            return None;
        }
        if good {
            self.failing = None;
            self.width = (self.width * 2).min(WIDTH_MAX);
            self.end(number);
            return Some(Filed::Delivered);
        }
        self.width = 1;
        let continued = self.failing.filter(|failing| now.since_ms(failing.last) <= LULL_MS);
        self.failing = Some(Failing { since: continued.map_or(now, |failing| failing.since), last: now });
        let pending = self.lines.get_mut(&number)?;
        pending.attempts += 1;
        let Some(wait) = self.envelope.wait(pending.attempts) else {
            self.end(number);
            return Some(Filed::Failed);
        };
        pending.due = now.plus_ms(jittered(wait, random));
        self.due.insert((pending.due, number));
        Some(Filed::Again(pending.due))
    }

    /// An attempt was not made after all: it may be made at `due`, and counts as none.
    pub fn answered_nothing(&mut self, event: EventId, due: Timestamp) {
        let Some(number) = self.numbers.get(&event).copied() else { return };
        if self.trying.remove(&number)
            && let Some(pending) = self.lines.get_mut(&number)
        {
            pending.due = due;
            self.due.insert((due, number));
        }
    }

    /// The event no longer exists: nothing is left to try.
    pub fn forget(&mut self, event: EventId) {
        if let Some(number) = self.numbers.get(&event).copied() {
            self.trying.remove(&number);
            self.end(number);
        }
    }

    /// Since when nothing succeeded, when that is too long. Failures from before `from` do not count.
    #[must_use]
    pub fn given_up(&self, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let since = self.failing?.since.max(from);
        (now.since_ms(since) >= self.envelope.give_up_ms()).then_some(since)
    }

    fn end(&mut self, number: u64) {
        let Some(pending) = self.lines.remove(&number) else { return };
        self.due.remove(&(pending.due, number));
        self.numbers.remove(&pending.event);
        let Some(lane) = self.lanes.get_mut(&pending.lane) else { return };
        lane.remove(&number);
        match lane.first() {
            // A replay may stand behind what is being tried.
            Some(next) if self.trying.contains(next) => {}
            Some(next) => {
                if let Some(pending) = self.lines.get(next) {
                    self.due.insert((pending.due, *next));
                }
            }
            None => _ = self.lanes.remove(&pending.lane),
        }
    }
}

fn jittered(wait: i64, random: u64) -> i64 {
    let more = u64::try_from(wait).unwrap_or(0) * JITTER_PERCENT / 100;
    wait + i64::try_from(random % (more + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEGIN: Timestamp = Timestamp(1_790_000_000_000);

    fn pending(event: u64, lane: u64) -> Pending {
        Pending { event: EventId(event), lane, attempts: 0, due: BEGIN }
    }

    fn queue(lanes: &[u64]) -> Queue {
        Queue::new(
            (0..).zip(lanes).map(|(event, lane)| pending(event, *lane)).collect(),
            None,
            Envelope::Kabar,
        )
    }

    #[test]
    fn as_meta_tells_it_an_event_is_tried_for_seven_days_and_no_longer() {
        let waits: Vec<i64> = (0..).map_while(|nth| Envelope::Meta.wait(nth)).collect();
        let total: i64 = waits.iter().sum();
        let (day, longest) = (86_400_000, 36_000_000);
        assert!((7 * day - longest..=7 * day).contains(&total), "{total}");
        assert_eq!(waits[..SCHEDULE_MS.len()], SCHEDULE_MS);
        assert!(waits[SCHEDULE_MS.len()..].iter().all(|wait| *wait == longest));
    }

    #[test]
    fn the_schedule_is_the_promised_one_and_then_the_event_is_given_up() {
        let mut queue = queue(&[1]);
        let (mut now, mut waits) = (BEGIN, Vec::new());
        loop {
            assert_eq!(queue.start(now).map(|p| p.event), Some(EventId(0)));
            match queue.answered(EventId(0), false, now, 0) {
                Some(Filed::Again(due)) => {
                    waits.push(due.since_ms(now));
                    assert_eq!(queue.start(due.plus_ms(-1)), None);
                    now = due;
                }
                other => {
                    assert_eq!(other, Some(Filed::Failed));
                    break;
                }
            }
        }
        let (second, minute, hour) = (1_000, 60_000, 3_600_000);
        let promised = [5 * second, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 10 * hour];
        assert_eq!((SCHEDULE_MS[0], waits), (0, promised.to_vec()));
        assert!(queue.is_empty());
    }

    #[test]
    fn chance_makes_a_wait_longer_by_a_fifth_at_most() {
        for random in [0, 1, 999, 1_000, 1_001, u64::MAX] {
            assert!((5_000..=6_000).contains(&jittered(5_000, random)));
        }
        assert!(jittered(5_000, 777) > 5_000);
    }

    #[test]
    fn a_failing_event_holds_back_its_own_lane_alone() {
        let mut queue = queue(&[1, 1, 2, 1, 3]);
        let tried: Vec<_> = std::iter::from_fn(|| queue.start(BEGIN)).map(|p| p.event.0).collect();
        assert_eq!(tried, [0, 2, 4]);
        queue.answered(EventId(0), false, BEGIN, 0);
        queue.answered(EventId(2), true, BEGIN, 0);
        queue.answered(EventId(4), true, BEGIN, 0);
        assert_eq!((queue.start(BEGIN), queue.next_due()), (None, Some(BEGIN.plus_ms(5_000))));
        assert_eq!(queue.start(BEGIN.plus_ms(5_000)).map(|p| p.event.0), Some(0));
        queue.answered(EventId(0), true, BEGIN, 0);
        assert_eq!(queue.start(BEGIN).map(|p| p.event.0), Some(1));
    }

    #[test]
    fn a_subscription_is_given_up_after_five_days_without_any_success() {
        let day = 86_400_000;
        let mut queue = queue(&[1, 2]);
        let fail = |queue: &mut Queue, days: i64| {
            let now = BEGIN.plus_ms(days * day);
            let event = queue.start(now.plus_ms(day)).unwrap().event;
            queue.answered(event, false, now, 0);
            queue.given_up(BEGIN, now)
        };
        for days in 0..5 {
            assert_eq!(fail(&mut queue, days), None, "day {days}");
        }
        assert_eq!(fail(&mut queue, 5), Some(BEGIN));
        assert_eq!(GIVE_UP_MS, 5 * day);
        // Enabled again since: what failed before does not count.
        assert_eq!(queue.given_up(BEGIN.plus_ms(day), BEGIN.plus_ms(5 * day)), None);
        // Nothing was tried for long: the old failure says nothing about now.
        assert_eq!(fail(&mut queue, 30), None);
        let event = queue.start(BEGIN.plus_ms(99 * day)).unwrap().event;
        queue.answered(event, true, BEGIN, 0);
        assert_eq!(queue.failing(), None);
    }

    #[test]
    fn who_fails_is_asked_one_at_a_time() {
        let lanes: Vec<u64> = (0..50).collect();
        let mut queue = queue(&lanes);
        let first: Vec<_> = std::iter::from_fn(|| queue.start(BEGIN)).collect();
        assert_eq!(first.len(), WIDTH_MAX / 4);
        for tried in &first {
            queue.answered(tried.event, false, BEGIN, 0);
        }
        assert!(queue.start(BEGIN).is_some() && queue.start(BEGIN).is_none());
    }

    proptest! {
        /// Whatever fails and whatever an earlier life had left: a lane's events end in their order, each once.
        #[test]
        fn every_lane_keeps_its_order(
            lanes in proptest::collection::vec(0..4_u64, 1..60),
            luck in proptest::collection::vec(any::<bool>(), 600),
            restart in 0..40_usize,
        ) {
            let mut queue = queue(&lanes);
            let (mut now, mut ended, mut luck) = (BEGIN, Vec::new(), luck.into_iter());
            for turn in 0.. {
                prop_assert!(turn < 10_000);
                if turn == restart {
                    queue = Queue::new(queue.pending().copied().collect(), queue.failing(), Envelope::Kabar);
                }
                let Some(tried) = queue.start(now) else {
                    let Some(due) = queue.next_due() else { break };
                    now = due;
                    continue;
                };
                match queue.answered(tried.event, luck.next().unwrap_or(true), now, turn as u64) {
                    Some(Filed::Again(_)) => {}
                    Some(_) => ended.push((tried.lane, tried.event)),
                    None => prop_assert!(false, "an answer that nobody waited for"),
                }
            }
            prop_assert!(queue.is_empty());
            prop_assert_eq!(ended.len(), lanes.len());
            for lane in 0..4 {
                let of: Vec<_> = ended.iter().filter(|(l, _)| *l == lane).map(|(_, e)| e.0).collect();
                prop_assert!(of.is_sorted(), "lane {}: {:?}", lane, of);
            }
        }
    }
}
