//! Whose messages a node puts on their way next. Replies and single messages never wait behind campaigns, and of two
//! tenants neither waits for more than the other's next claim. What there is to share is the room of the node
//! ([`kabar_engine::pacing::Room`]); a number's own pace is its session's affair.

use crate::metrics;
use kabar_engine::fair::{Queue, Share};
use kabar_engine::id::TenantId;
use kabar_engine::pacing::{Held, Kinds, Lane, Room};
use kabar_engine::time::Timestamp;
use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked whether work is late.
const LOOK: Duration = Duration::from_millis(1);
/// Looks of one beat.
const LOOKS: u32 = 8;
/// A turn is not cut smaller than this to fit in.
const CUT: u32 = 16;
/// Beats for which it is remembered that a desk was asked: some 3 s.
const LATELY: u32 = 256;
/// A beat while nothing is on its way.
const BEAT: Duration = Duration::from_millis(50);
/// Work that is late while the process had less than this of the time (percent of one core) is not late through it.
const OWN_PERCENT: u128 = 40;

type Go = Box<dyn FnOnce(Turn) + Send>;

/// Those of one kind: campaigns, or all others.
#[derive(Default)]
struct Desk {
    open: u32,
    waiting: Queue<TenantId, Go>,
    /// Beats for which it counts as in use.
    lately: u32,
}

impl Desk {
    /// How many of so many have room: all, or a good part. One alone always has some, however full it is elsewhere.
    fn fitting(&self, cost: u32, size: u32) -> Option<u32> {
        let free = size.saturating_sub(self.open);
        (free >= cost.min(CUT) || self.open == 0).then(|| cost.min(free.max(CUT)))
    }
}

#[derive(Default)]
struct State {
    room: Room,
    desks: [Desk; 2],
}

/// The turns of one node.
#[derive(Default)]
pub struct Turns(Mutex<State>);

/// A turn for so many messages. Dropping it gives it back.
pub struct Turn {
    turns: Arc<Turns>,
    desk: usize,
    share: Share<TenantId>,
}

impl Turn {
    /// For how many.
    pub fn count(&self) -> u32 {
        self.share.cost
    }

    /// So many messages come of it.
    pub fn used(&mut self, count: u32) {
        let over = self.share.cost.saturating_sub(count);
        if over > 0 {
            self.share.cost -= over;
            self.turns.left(self.desk, Share { cost: over, ..self.share }, true);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.left(self.desk, self.share, false);
    }
}

impl Turns {
    /// A turn now, or `go` is called with it when it has come; for as many as there is room for then.
    pub fn ask(
        self: &Arc<Self>,
        lane: Lane,
        share: Share<TenantId>,
        go: impl FnOnce(Turn) + Send + 'static,
    ) -> Option<Turn> {
        let at = desk_of(lane);
        let mut state = self.0.lock();
        let size = state.room.size();
        let desk = &mut state.desks[at];
        desk.lately = LATELY;
        if desk.waiting.is_empty()
            && let Some(cost) = desk.fitting(share.cost, size)
        {
            desk.waiting.rest();
            desk.open = desk.open.saturating_add(cost);
            drop(state);
            return Some(Turn { turns: Arc::clone(self), desk: at, share: Share { cost, ..share } });
        }
        desk.waiting.push(lane as u8, share, Box::new(go));
        None
    }

    /// Waits for a turn.
    pub async fn take(self: &Arc<Self>, lane: Lane, share: Share<TenantId>) -> Turn {
        let (tell, told) = tokio::sync::oneshot::channel();
        if let Some(turn) = self.ask(lane, share, move |turn| drop(tell.send(turn))) {
            return turn;
        }
        // Nobody forgets who waits; were it so, nothing may hang on it.
        let none =
            || Turn { turns: Arc::clone(self), desk: desk_of(lane), share: Share { cost: 0, ..share } };
        told.await.unwrap_or_else(|_| none())
    }

    fn left(self: &Arc<Self>, desk: usize, share: Share<TenantId>, unused: bool) {
        let mut state = self.0.lock();
        state.desks[desk].open = state.desks[desk].open.saturating_sub(share.cost);
        if unused {
            state.desks[desk].waiting.refund(&share);
        }
        self.go_on(state);
    }

    /// Calls those whose turn has come.
    fn go_on(self: &Arc<Self>, mut state: parking_lot::MutexGuard<'_, State>) {
        let (size, mut next) = (state.room.size(), Vec::new());
        for at in 0..state.desks.len() {
            let desk = &mut state.desks[at];
            while let Some((share, _)) = desk.waiting.first() {
                let Some(cost) = desk.fitting(share.cost, size) else { break };
                let Some((share, go)) = desk.waiting.pop() else { break };
                desk.waiting.refund(&Share { cost: share.cost - cost, ..share });
                desk.open = desk.open.saturating_add(cost);
                next.push((go, Turn { turns: Arc::clone(self), desk: at, share: Share { cost, ..share } }));
            }
        }
        drop(state);
        next.into_iter().for_each(|(go, turn)| go(turn));
    }

    /// Whether nothing is on its way; then it begins small again.
    fn rest(&self) -> bool {
        let mut state = self.0.lock();
        let idle = state.desks.iter().all(|desk| desk.open == 0 && desk.waiting.is_empty());
        if idle {
            state.room.rest();
        }
        idle
    }

    fn hear(self: &Arc<Self>, late_us: u64) {
        let mut state = self.0.lock();
        let open = state.desks.iter().map(|desk| desk.open).sum();
        let wanted = state.desks.iter().any(|desk| !desk.waiting.is_empty());
        let kinds = match state.desks.each_ref().map(|desk| desk.lately > 0) {
            [true, true] => Kinds::Both,
            [false, true] => Kinds::Campaigns,
            _ => Kinds::Singles,
        };
        state.desks.iter_mut().for_each(|desk| desk.lately = desk.lately.saturating_sub(1));
        state.room.hear(late_us, open, wanted, kinds);
        metrics::room(state.room.size());
        self.go_on(state);
    }
}

fn desk_of(lane: Lane) -> usize {
    usize::from(lane == Lane::Broadcast)
}

/// Looks how late the node's work is, for as long as it lives.
pub(crate) async fn watch(turns: Weak<Turns>) {
    let mut own = own_time();
    metrics::room(Room::default().size());
    metrics::late(Duration::ZERO);
    loop {
        if turns.upgrade().is_some_and(|turns| turns.rest()) {
            tokio::time::sleep(BEAT).await;
            own = own_time();
            continue;
        }
        let (begin, mut late) = (Instant::now(), Duration::ZERO);
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK).await;
            // Behind everything that is ready to run now.
            let asked = Instant::now();
            tokio::task::yield_now().await;
            late += asked.elapsed();
        }
        let Some(turns) = turns.upgrade() else { return };
        let (before, took) = (own, begin.elapsed());
        own = own_time();
        let busy = own.saturating_sub(before).as_micros() * 100 >= took.as_micros() * OWN_PERCENT;
        let late = if busy { late / LOOKS } else { Duration::ZERO };
        metrics::late(late);
        turns.hear(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }
}

/// Counts what held a claim up until now.
pub(crate) fn tell_held(held: Option<Held>, now: Timestamp) {
    if let Some(held) = held {
        metrics::held(held.by, now.since_ms(held.since) as f64 / 1_000.0);
    }
}

/// Time the process had of all cores.
fn own_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIG: TenantId = TenantId(1);
    const SMALL: TenantId = TenantId(2);

    fn share(of: TenantId, cost: u32) -> Share<TenantId> {
        Share { of, weight: 10, cost }
    }

    /// Turns that come are noted with whose they are.
    fn ask(turns: &Arc<Turns>, lane: Lane, share: Share<TenantId>, log: &Arc<Mutex<Vec<Turn>>>) {
        let noted = Arc::clone(log);
        if let Some(turn) = turns.ask(lane, share, move |turn| noted.lock().push(turn)) {
            log.lock().push(turn);
        }
    }

    /// Without the log in hand: who is called then writes to it.
    fn give_back(log: &Mutex<Vec<Turn>>, nth: usize) {
        let turn = log.lock().remove(nth);
        drop(turn);
    }

    fn whose(log: &Mutex<Vec<Turn>>) -> Vec<u64> {
        log.lock().iter().map(|turn| turn.share.of.0).collect()
    }

    #[test]
    fn a_small_tenant_waits_for_one_claim_of_a_big_one_and_not_for_all() {
        let (turns, log) = (Arc::new(Turns::default()), Arc::default());
        for _ in 0..100 {
            ask(&turns, Lane::Broadcast, share(BIG, 32), &log);
        }
        assert_eq!(whose(&log), [1; 4], "room for 128");
        ask(&turns, Lane::Broadcast, share(SMALL, 8), &log);
        ask(&turns, Lane::Broadcast, share(SMALL, 8), &log);
        (0..3).for_each(|_| give_back(&log, 0));
        assert_eq!(whose(&log), [1, 1, 2, 2, 1, 1], "the last gets what is left");
    }

    #[test]
    fn who_sends_one_never_waits_behind_a_campaign() {
        let (turns, log) = (Arc::new(Turns::default()), Arc::default());
        for _ in 0..100 {
            ask(&turns, Lane::Broadcast, share(BIG, 32), &log);
        }
        ask(&turns, Lane::Transactional, share(BIG, 8), &log);
        ask(&turns, Lane::Reply, share(SMALL, 8), &log);
        assert_eq!(whose(&log), [1, 1, 1, 1, 1, 2]);
    }

    #[test]
    fn replies_go_before_single_messages() {
        let (turns, log) = (Arc::new(Turns::default()), Arc::default());
        ask(&turns, Lane::Transactional, share(BIG, 128), &log);
        ask(&turns, Lane::Transactional, share(BIG, 8), &log);
        ask(&turns, Lane::Reply, share(SMALL, 100), &log);
        assert_eq!(whose(&log), [1]);
        give_back(&log, 0);
        assert_eq!(whose(&log), [2, 1]);
    }

    #[tokio::test]
    async fn a_turn_nobody_waits_for_any_more_goes_on() {
        let (turns, log) = (Arc::new(Turns::default()), Arc::default());
        ask(&turns, Lane::Broadcast, share(BIG, 128), &log);
        let waits = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.take(Lane::Broadcast, share(BIG, 100)).await.count() }
        });
        tokio::task::yield_now().await;
        waits.abort();
        assert!(waits.await.is_err());
        ask(&turns, Lane::Broadcast, share(SMALL, 20), &log);
        give_back(&log, 0);
        assert_eq!(whose(&log), [2]);
        give_back(&log, 0);
        assert!(turns.rest());
    }

    #[test]
    fn what_a_claim_does_not_need_is_free_at_once() {
        let (turns, log) = (Arc::new(Turns::default()), Arc::default());
        ask(&turns, Lane::Broadcast, share(BIG, 128), &log);
        ask(&turns, Lane::Broadcast, share(SMALL, 100), &log);
        let mut first = log.lock().remove(0);
        first.used(24);
        assert_eq!(whose(&log), [2]);
    }
}
