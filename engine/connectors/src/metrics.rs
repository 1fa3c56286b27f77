//! The names of this room's metrics, in one place. Labels are words of closed sets: no number, no id, no body.

use kabar_engine::outgoing::{Accepted, SendError};
use metrics::{counter, histogram};
use std::time::Duration;

const SENDS: &str = "kabar_connector_sends_total";
const SEND_SECONDS: &str = "kabar_connector_send_seconds";
const ITEMS: &str = "kabar_webhook_items_total";

/// One send came to its outcome.
pub(crate) fn sent(outcome: &Result<Accepted, SendError>, took: Duration) {
    let word = match outcome {
        Ok(Accepted { held: true, .. }) => "held",
        Ok(_) => "accepted",
        Err(SendError::RetryAfter { .. }) => "retry_after",
        Err(SendError::Rejected(_)) => "rejected",
        Err(SendError::Ambiguous) => "ambiguous",
        Err(SendError::LinkLost(_)) => "link_lost",
        Err(SendError::Held { .. }) => "held_back",
    };
    counter!(SENDS, "outcome" => word).increment(1);
    histogram!(SEND_SECONDS).record(took.as_secs_f64());
}

/// A webhook held so many items of a kind.
pub(crate) fn items(kind: &'static str, count: usize) {
    if count > 0 {
        counter!(ITEMS, "kind" => kind).increment(count as u64);
    }
}
