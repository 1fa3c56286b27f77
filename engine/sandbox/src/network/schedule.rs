//! What is still to happen: one heap of due events and the order they fire in. One task empties it
//! for all messages; a message costs no task.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::fate::Act;

/// One thing that will happen to a message of the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) due_ns: u64,
    pub(crate) row: u64,
    /// The ledger's generation: a reset makes older events void.
    pub(crate) generation: u32,
    pub(crate) unix_s: i64,
    pub(crate) act: Act,
}

#[derive(Debug)]
struct Queued(u64, u64, Event);

impl Queued {
    fn rank(&self) -> (u64, u64) {
        (self.0, self.1)
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The heap, the events in it and the ones just being told.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    heap: Mutex<(BinaryHeap<Reverse<Queued>>, u64)>,
    open: AtomicU64,
    wake: Notify,
}

impl Schedule {
    pub(crate) fn add(&self, events: impl ExactSizeIterator<Item = Event>) {
        if events.len() == 0 {
            return;
        }
        self.open.fetch_add(events.len() as u64, Ordering::SeqCst);
        let mut heap = self.heap.lock();
        let head = |heap: &BinaryHeap<Reverse<Queued>>| heap.peek().map(|first| first.0.0);
        let before = head(&heap.0);
        for event in events {
            heap.1 += 1;
            let order = heap.1;
            heap.0.push(Reverse(Queued(event.due_ns, order, event)));
        }
        let sooner = before.is_none_or(|before| head(&heap.0).is_some_and(|now| now < before));
        drop(heap);
        if sooner {
            self.wake.notify_one();
        }
    }

    /// Takes at most `most` events that are due, in order.
    pub(crate) fn take_due(&self, now_ns: u64, most: usize) -> Vec<Event> {
        let mut heap = self.heap.lock();
        let mut due = Vec::new();
        while due.len() < most && heap.0.peek().is_some_and(|first| first.0.0 <= now_ns) {
            due.extend(heap.0.pop().map(|first| first.0.2));
        }
        due
    }

    /// Every event that is still to come, in order.
    pub(crate) fn all(&self) -> Vec<Event> {
        let heap = self.heap.lock();
        let mut all: Vec<(u64, u64, Event)> =
            heap.0.iter().map(|Reverse(Queued(due, order, event))| (*due, *order, *event)).collect();
        all.sort_unstable_by_key(|(due, order, _)| (*due, *order));
        all.into_iter().map(|(.., event)| event).collect()
    }

    /// When the next event is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.heap.lock().0.peek().map(|first| first.0.0)
    }

    /// Whether events were taken and are not told yet.
    pub(crate) fn is_telling(&self) -> bool {
        let waiting = self.heap.lock().0.len() as u64;
        self.open() > waiting
    }

    /// That many taken events have been told.
    pub(crate) fn done(&self, events: usize) {
        self.open.fetch_sub(events as u64, Ordering::SeqCst);
    }

    /// Events not told yet.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }

    /// Something changed: a sooner event, or the clock.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn clear(&self) {
        let mut heap = self.heap.lock();
        let dropped = heap.0.len();
        heap.0.clear();
        drop(heap);
        self.done(dropped);
    }
}
