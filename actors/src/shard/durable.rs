//! Up to where a shard's entries are durable, and who waits for that. Frames become durable in their order, but on several
//! threads what is heard of one may be heard after what is heard of the next: a position counts when everything before it
//! was heard of as well. Not the journal, and not what a failed append means.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

pub(super) struct Durable {
    at: AtomicU64,
    /// Frames heard of before one that comes before them: the last position by the first.
    ahead: Mutex<BTreeMap<u64, u64>>,
    news: Notify,
}

impl Durable {
    /// Everything up to `at` is.
    pub(super) fn new(at: u64) -> Self {
        Self { at: AtomicU64::new(at), ahead: Mutex::default(), news: Notify::new() }
    }

    pub(super) fn at(&self) -> u64 {
        self.at.load(Ordering::Acquire)
    }

    /// The frame from `first` to `last` is.
    pub(super) fn hear(&self, first: u64, last: u64) {
        let mut ahead = self.ahead.lock();
        ahead.insert(first, last);
        let mut at = self.at();
        while let Some(frame) = ahead.first_entry().filter(|frame| *frame.key() <= at + 1) {
            at = frame.remove().max(at);
        }
        drop(ahead);
        self.jump(at);
    }

    /// Says that everything up to `to` is, whatever was heard.
    pub(super) fn jump(&self, to: u64) {
        if self.at.fetch_max(to, Ordering::AcqRel) < to {
            self.ring();
        }
    }

    /// Lets those who wait look again.
    pub(super) fn ring(&self) {
        self.news.notify_waiters();
    }

    /// Waits for a position; `false` when `broken` says that it will never come.
    pub(super) async fn reach(&self, position: u64, broken: impl Fn() -> bool) -> bool {
        let mut news = pin!(self.news.notified());
        loop {
            news.as_mut().enable();
            if self.at() >= position {
                return true;
            }
            if broken() {
                return false;
            }
            news.as_mut().await;
            news.set(self.news.notified());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_only_when_everything_before_it_was_heard_of() {
        let durable = Durable::new(4);
        durable.hear(8, 9);
        durable.hear(6, 7);
        assert_eq!(durable.at(), 4, "the frame from 5 on was not heard of");
        durable.hear(5, 5);
        assert_eq!(durable.at(), 9);
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_position_and_of_the_end() {
        let durable = Durable::new(0);
        let ahead = durable.reach(2, || false);
        let (reached, ()) = futures::join!(ahead, async {
            durable.hear(2, 2);
            durable.hear(1, 1);
        });
        assert!(reached);
        assert!(!durable.reach(3, || true).await);
    }
}
