//! Up to where a shard's entries are durable, and who waits for that. Frames become durable in their order, but on several
//! threads what is heard of one may be heard after what is heard of the next: a position counts when everything before it
//! was heard of as well. Not the journal, and not what a failed append means.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

pub(super) struct Durable {
    /// Only ever raised under the lock; read without it.
    at: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Frames heard of before one that comes before them: the last position by the first.
    ahead: BTreeMap<u64, u64>,
    /// Who waits, by the position: an advance wakes those it reaches and nobody else.
    waiting: BTreeMap<u64, Vec<oneshot::Sender<()>>>,
}

impl Durable {
    /// Everything up to `at` is.
    pub(super) fn new(at: u64) -> Self {
        Self { at: AtomicU64::new(at), state: Mutex::default() }
    }

    pub(super) fn at(&self) -> u64 {
        self.at.load(Ordering::Acquire)
    }

    /// The frame from `first` to `last` is.
    pub(super) fn hear(&self, first: u64, last: u64) {
        let mut state = self.state.lock();
        state.ahead.insert(first, last);
        let mut at = self.at();
        while let Some(frame) = state.ahead.first_entry().filter(|frame| *frame.key() <= at + 1) {
            at = frame.remove().max(at);
        }
        self.advance(state, at);
    }

    /// Says that everything up to `to` is, whatever was heard.
    pub(super) fn jump(&self, to: u64) {
        self.advance(self.state.lock(), to);
    }

    fn advance(&self, mut state: parking_lot::MutexGuard<'_, State>, to: u64) {
        if self.at.fetch_max(to, Ordering::AcqRel) >= to {
            return;
        }
        let later = state.waiting.split_off(&(to + 1));
        let reached = std::mem::replace(&mut state.waiting, later);
        drop(state);
        // Who has gone away meanwhile hears nothing.
        reached.into_values().flatten().for_each(|waiting| _ = waiting.send(()));
    }

    /// Nothing more will be durable: whoever still waits hears that. To be called when `broken` says so.
    pub(super) fn end(&self) {
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        drop(waiting);
    }

    /// Waits for a position; `false` when `broken` says that it will never come.
    pub(super) async fn reach(&self, position: u64, broken: impl Fn() -> bool) -> bool {
        if self.at() >= position {
            return true;
        }
        let told = {
            let mut state = self.state.lock();
            // Under the lock: what is reached, or breaks, after this look finds who waits.
            if self.at() >= position {
                return true;
            }
            if broken() {
                return false;
            }
            let (tell, told) = oneshot::channel();
            state.waiting.entry(position).or_default().push(tell);
            told
        };
        told.await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::task::{ArcWake, waker};
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Context;

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
        let (never, ()) = futures::join!(durable.reach(3, || false), async { durable.end() });
        assert!(!never);
    }

    /// Counts how often a waiting task was woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl ArcWake for Wakes {
        fn wake_by_ref(wakes: &Arc<Self>) {
            wakes.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    #[test]
    fn an_advance_wakes_whom_it_reaches_and_nobody_else() {
        let durable = Durable::new(0);
        let wakes = [(); 3].map(|()| Arc::<Wakes>::default());
        let mut waits = [1, 2, 3].map(|position| durable.reach(position, || false).boxed());
        for (wait, wakes) in waits.iter_mut().zip(&wakes) {
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker(Arc::clone(wakes)))).is_pending());
        }
        let woken = || wakes.each_ref().map(|wakes| wakes.0.load(Ordering::Acquire));
        durable.hear(3, 3);
        assert_eq!(woken(), [0, 0, 0], "what is ahead reaches nobody");
        durable.hear(1, 1);
        assert_eq!(woken(), [1, 0, 0]);
        durable.hear(2, 2);
        assert_eq!(woken(), [1, 1, 1]);
        assert!(waits.map(|wait| wait.now_or_never()).into_iter().all(|reached| reached == Some(true)));
    }
}
