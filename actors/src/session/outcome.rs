//! What comes back to a session: answers of its calls, and what webhooks and records say meanwhile. It slows down, holds or
//! lets go; it sends nothing.

use super::{LINK_LOST_WAIT_MS, Session};
use crate::wire::Feedback;
use kabar_engine::health::Trouble;
use kabar_engine::pacing::{Throttle, backoff};
use kabar_engine::time::Timestamp;

/// A number in maintenance is tried again after this.
const MAINTENANCE_WAIT_MS: i64 = 10_000;

impl Session {
    pub(super) fn back(&mut self, feedback: &Feedback, now: Timestamp) {
        self.in_flight = self.in_flight.saturating_sub(feedback.done);
        self.adopted &= !feedback.lost;
        if feedback.accepted > 0 {
            self.last_success = Some(now);
            (self.link_lost, self.restricted, self.strikes, self.unreached) = (false, false, 0, 0);
        }
        if feedback.account_held {
            self.hold_account(feedback.pause_ms, now);
        }
        if feedback.unreachable && feedback.accepted == 0 {
            self.wait_for_provider(now);
        }
        let Some(pace) = &mut self.pace else { return };
        if feedback.slow_down {
            pace.bucket.slow_down(now);
        }
        for key in &feedback.pairs {
            pace.pairs.penalise(now, *key, 0);
        }
        let pause = i64::try_from(feedback.pause_ms).unwrap_or(0);
        if feedback.link_lost {
            self.link_lost = true;
        }
        let pause = if feedback.link_lost { pause.max(LINK_LOST_WAIT_MS) } else { pause };
        if pause > 0 {
            let until = now.plus_ms(pause);
            pace.bucket.pause_until(until);
            self.paused_until = Some(until);
        }
        if feedback.link_lost {
            // The record may have been mended meanwhile: read it again before the next try.
            self.pace = None;
        }
    }

    /// Nobody accepts connections: what else is claimed would come back the same way. Batches that were on their way
    /// when the first of them met it count once.
    fn wait_for_provider(&mut self, now: Timestamp) {
        let Some(pace) = &mut self.pace else { return };
        if self.paused_until.is_some_and(|until| until > now) {
            return;
        }
        let wait = backoff(Throttle::Unreachable, self.unreached, 0).unwrap_or(0);
        self.unreached = self.unreached.saturating_add(1);
        let until = now.plus_ms(i64::try_from(wait).unwrap_or(i64::MAX));
        pace.bucket.pause_until(until);
        self.paused_until = Some(until);
    }

    /// Notes what was about more than one message, beside the actor's own work.
    pub(super) fn note(&self, troubles: Vec<Trouble>) {
        let (Some(node), false) = (self.node.upgrade(), troubles.is_empty()) else { return };
        let (tenant, session) = (self.tenant, self.id);
        tokio::spawn(async move {
            for trouble in troubles {
                node.note(tenant, session, &trouble).await;
            }
        });
    }

    /// Asks less and less often while the account is held.
    fn hold_account(&mut self, after_ms: u64, now: Timestamp) {
        let Some(pace) = &mut self.pace else { return };
        let already = self.restricted && self.paused_until.is_some_and(|until| until > now);
        if already && after_ms == 0 {
            return;
        }
        let wait = backoff(Throttle::Account, self.strikes, 0).unwrap_or(0).max(after_ms);
        self.strikes = self.strikes.saturating_add(1);
        let until = now.plus_ms(i64::try_from(wait).unwrap_or(i64::MAX));
        pace.bucket.pause_until(until);
        (self.restricted, self.paused_until) = (true, Some(until));
    }

    /// A failed message told later what an answer would have told at once.
    pub(super) fn throttled(&mut self, throttle: Throttle, now: Timestamp) {
        match (throttle, &mut self.pace) {
            (Throttle::Account, _) => self.hold_account(0, now),
            (Throttle::Throughput, Some(pace)) => pace.bucket.slow_down(now),
            (Throttle::Maintenance, Some(pace)) => {
                let until = now.plus_ms(MAINTENANCE_WAIT_MS);
                pace.bucket.pause_until(until);
                self.paused_until = Some(until);
            }
            _ => {}
        }
    }

    /// The record or the health changed: what is slowed stays slowed, what was held for the account is asked again.
    pub(super) fn relink(&mut self) {
        self.stale = true;
        if self.restricted {
            (self.pace, self.restricted, self.paused_until) = (None, false, None);
        }
    }
}
