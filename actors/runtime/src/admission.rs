//! Admission: how many messages may wait, per actor and per node. Three atomics a message, one of them the count
//! of those that were handled.
//!
//! Not a queue: the queue is ractor's mailbox, which is unbounded; this is the bound in front of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::clock::Clock;
use crate::handle::Refused;
use crate::metrics;

/// Wait suggested when one actor's mailbox is full.
const MAILBOX_RETRY_MS: u64 = 100;
/// Wait suggested when the whole node is full.
const NODE_RETRY_MS: u64 = 1_000;

/// Messages admitted and not yet handled, over all actors of a node.
#[derive(Debug)]
pub(crate) struct NodeGauge {
    in_flight: AtomicU32,
    limit: u32,
}

impl NodeGauge {
    pub(crate) fn new(limit: u32) -> Self {
        Self { in_flight: AtomicU32::new(0), limit }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn enter(&self, bounded: bool) -> bool {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let admitted = !bounded || before < self.limit;
        if !admitted {
            self.leave();
        }
        admitted
    }

    fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all actors of one label on one node share: the node's bound, the clock, the counters.
#[derive(Debug)]
pub(crate) struct Label {
    pub(crate) text: &'static str,
    pub(crate) clock: Clock,
    pub(crate) node: Arc<NodeGauge>,
    pub(crate) alive: AtomicUsize,
    pub(crate) handled: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) refusals: AtomicU64,
    pub(crate) broken: AtomicU64,
}

impl Label {
    pub(crate) fn new(text: &'static str, clock: Clock, node: Arc<NodeGauge>) -> Self {
        Self {
            text,
            clock,
            node,
            alive: AtomicUsize::new(0),
            handled: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            broken: AtomicU64::new(0),
        }
    }

    /// Counts a refusal and makes it.
    pub(crate) fn refuse(&self, reason: &'static str, retry_after_ms: u64) -> Refused {
        self.count_refusal(reason);
        Refused::Overloaded { retry_after_ms: retry_after_ms.max(1) }
    }

    /// Counts a message to an actor that has ended.
    pub(crate) fn refuse_gone(&self) -> Refused {
        self.count_refusal("gone");
        Refused::Gone
    }

    fn count_refusal(&self, reason: &'static str) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        metrics::refused(self.text, reason);
    }

    pub(crate) fn born(&self) {
        self.alive.fetch_add(1, Ordering::Relaxed);
        metrics::alive(self.text, 1.0);
    }

    pub(crate) fn died(&self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
        metrics::alive(self.text, -1.0);
    }

    /// Room for one activation, counted against the node's bound until the ticket is dropped: orders to a
    /// supervisor wait in an unbounded mailbox as well.
    pub(crate) fn admit_activation(&self) -> Result<ActivationTicket, Refused> {
        if !self.node.enter(true) {
            return Err(self.refuse("node", NODE_RETRY_MS));
        }
        Ok(ActivationTicket(Arc::clone(&self.node)))
    }
}

/// Holds an activation's place in the node's bound.
#[derive(Debug)]
pub(crate) struct ActivationTicket(Arc<NodeGauge>);

impl Drop for ActivationTicket {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// One actor's own count, over all its incarnations.
#[derive(Debug)]
pub(crate) struct Meter {
    pending: AtomicU32,
    last_active_us: AtomicU64,
    limit: u32,
    pub(crate) idle_ms: Option<u64>,
    pub(crate) label: Arc<Label>,
}

impl Meter {
    pub(crate) fn new(limit: u32, idle_ms: Option<u64>, label: Arc<Label>) -> Self {
        let now = label.clock.uptime_us();
        Self { pending: AtomicU32::new(0), last_active_us: AtomicU64::new(now), limit, idle_ms, label }
    }

    /// Messages waiting or being handled.
    pub(crate) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Acquire)
    }

    pub(crate) fn touch(&self) {
        self.last_active_us.store(self.label.clock.uptime_us(), Ordering::Relaxed);
    }

    pub(crate) fn last_active_us(&self) -> u64 {
        self.last_active_us.load(Ordering::Relaxed)
    }

    /// Takes a place for one message. `bounded = false` (timers, control messages) always succeeds but is counted.
    pub(crate) fn admit(self: &Arc<Self>, bounded: bool) -> Result<Ticket, Refused> {
        let before = self.pending.fetch_add(1, Ordering::AcqRel);
        if bounded && before >= self.limit {
            self.pending.fetch_sub(1, Ordering::AcqRel);
            return Err(self.label.refuse("mailbox", MAILBOX_RETRY_MS));
        }
        if !self.label.node.enter(bounded) {
            self.pending.fetch_sub(1, Ordering::AcqRel);
            return Err(self.label.refuse("node", NODE_RETRY_MS));
        }
        Ok(Ticket(Arc::clone(self)))
    }
}

/// A place in a mailbox; given back when the message was handled or lost.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Meter>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
        self.0.label.handled.fetch_add(1, Ordering::Relaxed);
        self.0.label.node.leave();
    }
}
