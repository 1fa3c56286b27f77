//! When a session's actor looks again by itself. Not what it does then.

use super::{Message, RESTRICTED_LOOK_MS, STORE_WAIT_MS, Session, Stuck};
use crate::node::Node;
use crate::shard::Shard;
use kabar_engine::health::Blocks;
use kabar_engine::pacing::claim_size;
use kabar_engine::time::Timestamp;
use kabar_runtime::Context;
use std::sync::Arc;

/// Longest sleep between two looks at the clock.
const LONGEST_WAIT_MS: i64 = 60_000;

impl Session {
    pub(super) fn sleep(
        &mut self,
        (node, shard): (&Arc<Node>, &Arc<Shard>),
        proof_ms: i64,
        went: Result<(), Stuck>,
        ctx: &mut Context<Message>,
    ) {
        let now = Timestamp(ctx.clock().now_ms());
        let id = self.id;
        // What became due since it was looked at has no other timer, and the next one may be days away.
        let (due, settles, ready) = shard.peek(|o| match o.outbox(id) {
            Some(b) => (b.wake(proof_ms), b.wake_settling(proof_ms), b.has_ready(now)),
            None => (None, None, false),
        });
        let pace = self.pace.as_ref().map(|p| p.bucket.ready_at(now));
        // Without a free place it is a call that comes back, not the clock, that lets something go.
        let (places, in_flight) = (node.options().connections_per_session, self.in_flight as usize);
        let saved = |at: Timestamp| {
            let rate = self.pace.as_ref().map_or(1, |p| p.bucket.rate(now).max(1));
            at.max(now.plus_ms(i64::from(worthwhile(claim_size(rate))) * 1_000 / i64::from(rate)))
        };
        // What waits for the end of a restriction is looked at now and then, not as fast as tokens come.
        let held = |at: Timestamp| match self.blocks(now) {
            Blocks::Initiated => at.max(now.plus_ms(RESTRICTED_LOOK_MS)),
            Blocks::Nothing | Blocks::All => at,
        };
        let room = in_flight < places - places / 8;
        let parts = (!self.waiting.is_empty() && room).then_some(pace).flatten().map(saved).map(held);
        // A turn that was asked for comes by itself, and a node that is drained lets nothing go any more.
        let may = ready && !self.turn_asked && in_flight < places && !node.is_draining();
        let own = may.then_some(pace).flatten().map(held);
        let next = [settles, due.filter(|at| *at > now), own, parts].into_iter().flatten().min();
        let least = if went.is_err() { STORE_WAIT_MS } else { 1 };
        if let Some(at) = next {
            let wait = u64::try_from(at.since_ms(now).min(LONGEST_WAIT_MS)).unwrap_or(0);
            self.timer = Some(ctx.after_ms(wait.max(least), Message::Work));
        }
    }
}

/// The smallest grant worth its costs: a quarter of a claim.
pub(super) fn worthwhile(claim: u32) -> u32 {
    (claim / 4).max(1)
}
