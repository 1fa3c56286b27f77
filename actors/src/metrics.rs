//! The names of what this room counts. Values carry no number, no body and no tenant.

use kabar_engine::pacing::Hold;
use kabar_schema::records::AttemptOutcome;
use metrics::{counter, gauge, histogram};
use std::time::Duration;

/// Messages accepted from the API.
pub fn accepted() {
    counter!("kabar_messages_accepted_total").increment(1);
}

/// Messages and recipients handed to a connector, by outcome.
pub fn transmitted(outcome: &'static str, count: u64) {
    counter!("kabar_messages_transmitted_total", "outcome" => outcome).increment(count);
}

/// One upload of a file to a provider.
pub fn media_uploaded(taken: bool) {
    let outcome = if taken { "taken" } else { "failed" };
    counter!("kabar_media_uploads_total", "outcome" => outcome).increment(1);
}

/// What became of a file that somebody sent.
pub fn media_received(kept: bool) {
    let outcome = if kept { "stored" } else { "failed" };
    counter!("kabar_media_received_total", "outcome" => outcome).increment(1);
}

/// What the shard's door refused.
pub fn refused(reason: &'static str) {
    counter!("kabar_refusals_total", "reason" => reason).increment(1);
}

/// Items of webhooks by kind.
pub fn webhook(kind: &'static str, count: usize) {
    if count > 0 {
        counter!("kabar_webhook_items_total", "kind" => kind).increment(count as u64);
    }
}

/// A webhook that nobody signed with the app's secrets.
pub fn unsigned() {
    counter!("kabar_webhooks_unsigned_total").increment(1);
}

/// A notice of the provider by the kind of its event.
pub fn notice(kind: &'static str) {
    counter!("kabar_notices_total", "kind" => kind).increment(1);
}

/// One flush of the projector.
pub fn flushed(rows: usize, seconds: f64, lag_seconds: f64) {
    counter!("kabar_projector_rows_total").increment(rows as u64);
    histogram!("kabar_projector_flush_seconds").record(seconds);
    gauge!("kabar_projector_lag_seconds").set(lag_seconds);
}

/// One attempt to deliver an event to a webhook.
pub fn attempted(outcome: AttemptOutcome, took_ms: u32) {
    let word = match outcome {
        AttemptOutcome::Delivered => "delivered",
        AttemptOutcome::Again => "again",
        AttemptOutcome::Failed => "failed",
    };
    counter!("kabar_delivery_attempts_total", "outcome" => word).increment(1);
    histogram!("kabar_delivery_attempt_seconds").record(f64::from(took_ms) / 1_000.0);
}

/// A subscription was given up.
pub fn webhook_disabled() {
    counter!("kabar_webhooks_disabled_total").increment(1);
}

/// People of an audience that were left out when it was frozen.
pub fn left_out(cause: &'static str, count: u64) {
    if count > 0 {
        counter!("kabar_audience_left_out_total", "cause" => cause).increment(count);
    }
}

/// The name of a hold.
#[must_use]
pub fn hold(by: Hold) -> &'static str {
    match by {
        Hold::Pace => "pace",
        Hold::Throttled => "throttled",
        Hold::LinkLost => "link_lost",
        Hold::Room => "room",
        Hold::Lane => "lane",
        Hold::Turn => "turn",
        Hold::Restricted => "restricted",
        Hold::Template => "template",
    }
}

/// What held a claim up, and for how long.
pub fn held(by: Hold, seconds: f64) {
    let by = hold(by);
    counter!("kabar_holds_total", "cause" => by).increment(1);
    histogram!("kabar_hold_seconds", "cause" => by).record(seconds);
}

/// Messages and recipients that wait for a moment of their own.
pub fn waits(cause: &'static str, count: u64) {
    counter!("kabar_waits_total", "cause" => cause).increment(count);
}

/// How many messages the node may have on their way.
pub fn room(size: u32) {
    gauge!("kabar_room_messages").set(f64::from(size));
}

/// How late the node's work was.
pub fn late(late: Duration) {
    gauge!("kabar_late_seconds").set(late.as_secs_f64());
}

/// Leases that were lost, or ran out before they could be renewed.
pub fn lease_lost(count: u64) {
    counter!("kabar_leases_lost_total").increment(count);
}

/// Leases this node holds; told only where the store is shared.
pub fn leases_held(count: usize) {
    gauge!("kabar_leases_held").set(count as f64);
}

/// Recipients that wait for proof.
pub fn reopened() {
    counter!("kabar_shard_reopened_total").increment(1);
}
