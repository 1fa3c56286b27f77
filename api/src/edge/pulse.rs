//! How a connection does: whether a request is being handled, since when nothing was, since when a head is coming in
//! or a reader takes nothing; and what that means by now. Every clock of a connection is looked at here, in its own
//! task, so that no request pays for a timer. Not the bytes.

use crate::config::Edge;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long what a refused client still sends is read and thrown away, so that it can read why, ms.
const LINGER_MS: u64 = 2_000;

/// The times of a connection, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) head_ms: u64,
    pub(super) idle_ms: u64,
    pub(super) write_ms: u64,
}

impl Terms {
    pub(super) fn of(edge: &Edge) -> Self {
        Self { head_ms: edge.head_timeout_ms, idle_ms: edge.idle_timeout_ms, write_ms: edge.write_stall_ms }
    }

    /// What can begin at any moment is over at the earliest so much later.
    fn shortest(self) -> u64 {
        self.head_ms.min(self.write_ms).min(LINGER_MS)
    }
}

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again then.
    Look(Instant),
    /// Nobody asks any more: take leave in order.
    Idle,
    /// Close it now; the word is the reason in metrics.
    Close(&'static str),
}

/// Shared by the connection's task, its bytes and its requests. Moments are ms since `begin`, 0 is "not".
#[derive(Debug)]
pub(super) struct Pulse {
    begin: Instant,
    /// Requests whose answers are not whole yet.
    requests: AtomicU32,
    /// When the last of them was.
    idle: AtomicU64,
    /// When the first byte of a head came.
    head: AtomicU64,
    /// When a write first found no room.
    blocked: AtomicU64,
    /// When the last answer was given and the client still sent.
    linger: AtomicU64,
    /// A body was answered before it was read to its end.
    unread: AtomicBool,
    /// HTTP/2, whose idle connections speak too.
    framed: AtomicBool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            begin: Instant::now(),
            requests: AtomicU32::new(0),
            idle: AtomicU64::new(1),
            head: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            linger: AtomicU64::new(0),
            unread: AtomicBool::new(false),
            framed: AtomicBool::new(false),
        }
    }

    /// Never 0.
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Keeps the first moment.
    fn mark(&self, moment: &AtomicU64) {
        if moment.load(Ordering::Relaxed) == 0 {
            moment.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Bytes came. Between two requests they are the begin of a head.
    pub(super) fn read(&self, bytes: &[u8]) {
        if self.requests.load(Ordering::Relaxed) == 0 && !self.framed.load(Ordering::Relaxed) {
            if self.idle.load(Ordering::Relaxed) == 1 && bytes.starts_with(b"PRI ") {
                self.framed.store(true, Ordering::Relaxed);
            } else {
                self.mark(&self.head);
            }
        }
    }

    /// A write found room or did not.
    pub(super) fn wrote(&self, room: bool) {
        if room { self.blocked.store(0, Ordering::Relaxed) } else { self.mark(&self.blocked) }
    }

    /// A request's head is whole.
    pub(super) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
    }

    /// A request's answer is whole, or given up.
    pub(super) fn answered(&self) {
        // 1 is the moment of a connection that never asked.
        self.idle.store(self.now().max(2), Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// A body will not be read to its end.
    pub(super) fn left_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether what still comes is to be read and thrown away before the end.
    pub(super) fn lingers(&self) -> bool {
        let lingers = self.unread.load(Ordering::Relaxed);
        if lingers {
            self.mark(&self.linger);
        }
        lingers
    }

    /// What the clocks say.
    pub(super) fn verdict(&self, terms: Terms) -> Verdict {
        let now = self.now();
        let over = |moment: &AtomicU64, term: u64| match moment.load(Ordering::Relaxed) {
            0 => None,
            since => Some(since.saturating_add(term)),
        };
        let closing = [
            (over(&self.head, terms.head_ms), "head"),
            (over(&self.blocked, terms.write_ms), "reader"),
            (over(&self.linger, LINGER_MS), "linger"),
        ];
        for (end, reason) in closing {
            if end.is_some_and(|end| end <= now) {
                return Verdict::Close(reason);
            }
        }
        let idle = over(&self.idle, terms.idle_ms).filter(|_| self.requests.load(Ordering::Relaxed) == 0);
        if idle.is_some_and(|end| end <= now) {
            return Verdict::Idle;
        }
        let ends = closing.iter().filter_map(|(end, _)| *end).chain(idle);
        let next = ends.min().unwrap_or(u64::MAX).min(now.saturating_add(terms.shortest()));
        Verdict::Look(self.begin + Duration::from_millis(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { head_ms: 1_000, idle_ms: 5_000, write_ms: 3_000 };

    async fn after(ms: u64) {
        tokio::time::advance(Duration::from_millis(ms)).await;
    }

    fn open(pulse: &Pulse) -> bool {
        matches!(pulse.verdict(TERMS), Verdict::Look(_))
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_in_drops_ends_at_its_time() {
        let pulse = Pulse::new();
        after(4_000).await;
        pulse.read(b"GET");
        for _ in 0..9 {
            after(100).await;
            pulse.read(b" ");
            assert!(open(&pulse));
        }
        after(100).await;
        assert_eq!(pulse.verdict(TERMS), Verdict::Close("head"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_ends_in_order_and_one_with_a_request_does_not() {
        let pulse = Pulse::new();
        pulse.read(b"GET / HTTP/1.1\r\n\r\n");
        pulse.asked();
        after(60_000).await;
        assert!(open(&pulse));
        pulse.answered();
        after(4_999).await;
        assert!(open(&pulse));
        after(1).await;
        assert_eq!(pulse.verdict(TERMS), Verdict::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_idle_http_2_connection_says_is_no_head() {
        let pulse = Pulse::new();
        pulse.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        after(2_000).await;
        pulse.read(b"ping");
        after(2_000).await;
        assert!(open(&pulse));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_left_and_one_that_takes_a_little_is_not() {
        let pulse = Pulse::new();
        pulse.asked();
        for room in [false, true, false] {
            pulse.wrote(room);
            after(2_900).await;
            assert!(open(&pulse));
        }
        after(100).await;
        assert_eq!(pulse.verdict(TERMS), Verdict::Close("reader"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_look_is_never_later_than_what_may_end_meanwhile() {
        let pulse = Pulse::new();
        pulse.asked();
        let Verdict::Look(next) = pulse.verdict(TERMS) else { panic!("closed") };
        assert!(next <= Instant::now() + Duration::from_millis(1_001), "{next:?}");
    }
}
