//! Every metric the process shows, of whatever room: name, kind, labels, meaning. `api/docs/metrics.md` and the help
//! texts are written from it, and a running binary's `/metrics` is compared with it. Not their counting.

use kabar_engine::pacing::Hold;

/// Of which kind a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only rises, from 0 at the start of the process.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Times in buckets: `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// When a metric is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    /// From the start.
    Always,
    /// From its first event on.
    Event,
    /// With `store.kind = "cql"` alone.
    Cql,
}

pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    labels: &'static str,
    there: There,
    meaning: &'static str,
}

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static str,
    there: There,
    meaning: &'static str,
) -> Metric {
    Metric { name, kind, labels, there, meaning }
}

use Kind::{Counter, Gauge, Histogram};
use There::{Always, Cql, Event};

/// All of them, in the order of the page.
#[rustfmt::skip]
pub(crate) const ALL: &[Metric] = &[
    metric("kabar_messages_accepted_total", Counter, "", Always, "Single messages accepted by the API: durable, and answered with 202."),
    metric("kabar_messages_transmitted_total", Counter, "outcome: accepted, rejected, retry, ambiguous", Event, "Messages and recipients handed to a connector, by what came back. `ambiguous` waits for proof."),
    metric("kabar_media_uploads_total", Counter, "outcome: taken, failed", Always, "Media files uploaded to a provider for a number: one upload serves every message that names the file."),
    metric("kabar_media_received_total", Counter, "outcome: stored, failed", Always, "Media files people sent, by what became of fetching them."),
    metric("kabar_refusals_total", Counter, "reason: mailbox, dirty, restarting, opted_out, window_closed, frequency_cap, template, idempotency_mismatch, outbox_full, not_found, wrong_phase", Event, "Sends refused at the front door. `mailbox`, `dirty`: too much waits behind it; `restarting`: what answers did not come back in time; the others are answers about the message."),
    metric("kabar_audience_left_out_total", Counter, "cause: opted_out, missing_variable, frequency_cap", Always, "People of audiences that became no recipients when a campaign was frozen."),
    metric("kabar_holds_total", Counter, "cause: pace, throttled, link_lost, room, lane, turn, restricted, template", Always, "Claims that had been held up for 20 ms or more, by what held them longest. `room`: calls in flight of the number; `turn`: other tenants or campaigns went first."),
    metric("kabar_hold_seconds", Histogram, "cause", Event, "How long they had been held up."),
    metric("kabar_waits_total", Counter, "cause: start, hours, and the codes of errors.md that put a message back, such as pair_rate, throughput, ecosystem", Always, "Messages and recipients that began to wait for a moment of their own. `start`: accepted for later; `hours`: until the hours of the campaign open again; otherwise what put them back."),
    metric("kabar_room_messages", Gauge, "", Always, "How many messages the node may have on their way; it shrinks while its work is late."),
    metric("kabar_late_seconds", Gauge, "", Always, "How late the node's work was of late, where that is its own doing."),
    metric("kabar_webhook_items_total", Counter, "kind: status, message, known, stray, notice and what the parser left aside", Event, "Items of providers' webhooks by kind. `known`: a repeat; `stray`: of a number nobody linked."),
    metric("kabar_webhooks_unsigned_total", Counter, "", Always, "Providers' webhooks refused because their signature did not fit; one log line in 10 s tells how many."),
    metric("kabar_notices_total", Counter, "kind: the event's type, such as template.status_changed", Event, "What providers told of numbers, templates and accounts, by the type of its event; repeats are not counted."),
    metric("kabar_delivery_attempts_total", Counter, "outcome: delivered, again, failed", Event, "Attempts to deliver an event to a tenant's webhook. `again`: another one follows; `failed`: it was the event's last."),
    metric("kabar_delivery_attempt_seconds", Histogram, "", Event, "From a call to a tenant's webhook to the end of its answer."),
    metric("kabar_webhooks_disabled_total", Counter, "", Always, "Webhook subscriptions switched off because nothing succeeded for five days."),
    metric("kabar_connector_sends_total", Counter, "outcome: accepted, held, rejected, retry_after, held_back, ambiguous, link_lost", Event, "Calls to providers by outcome."),
    metric("kabar_connector_send_seconds", Histogram, "", Event, "From a call to a provider to its outcome."),
    metric("kabar_http_requests_total", Counter, "method, route, status", Event, "Requests answered; `route` as the description writes it."),
    metric("kabar_http_request_seconds", Histogram, "route", Event, "From a request to the head of its answer."),
    metric("kabar_http_in_flight", Gauge, "", Always, "Requests in hand."),
    metric("kabar_http_refused_total", Counter, "cause: in_flight, draining", Always, "Requests that were not taken up."),
    metric("kabar_http_rate_limited_total", Counter, "bucket: api, send", Always, "Requests and messages refused because their key had used up its rate."),
    metric("kabar_http_connections_closed_total", Counter, "reason: full, idle, head, reader, linger", Always, "Connections closed by us: no place, no request, a head or a reader too slow, an end not kept."),
    metric("kabar_http_panics_total", Counter, "", Always, "Handlers that panicked; their requests were answered with 500."),
    metric("kabar_journal_syncs_total", Counter, "", Always, "Syncs of the journal."),
    metric("kabar_journal_frames_total", Counter, "", Always, "Batches of entries made durable."),
    metric("kabar_journal_bytes_total", Counter, "", Always, "Bytes of the journal made durable."),
    metric("kabar_journal_sync_seconds", Histogram, "", Event, "Time of one sync; every acknowledgement waits for one."),
    metric("kabar_projector_rows_total", Counter, "", Always, "Rows written into the views."),
    metric("kabar_projector_flush_seconds", Histogram, "", Event, "Time of one writing of the views."),
    metric("kabar_projector_lag_seconds", Gauge, "", Event, "Age of the oldest change at the last writing of the views."),
    metric("kabar_node_projector_lag_seconds", Gauge, "", Always, "Age of the oldest change that is not in the views now."),
    metric("kabar_node_dirty_rows", Gauge, "", Always, "Rows that wait for the views."),
    metric("kabar_node_overlay_rows", Gauge, "", Always, "Rows held in memory."),
    metric("kabar_node_open_claims", Gauge, "", Always, "Messages on the wire or without a known outcome."),
    metric("kabar_node_journal_syncs_total", Counter, "", Always, "Syncs of this node's journal."),
    metric("kabar_node_actors", Gauge, "kind", Always, "Actors alive."),
    metric("kabar_node_restarts_total", Counter, "kind", Always, "Actors restarted after a panic."),
    metric("kabar_node_refusals_total", Counter, "kind", Always, "Messages refused by an actor's admission."),
    metric("kabar_actors_alive", Gauge, "label", Event, "Actors that live or are being restarted."),
    metric("kabar_actor_restarts_total", Counter, "label", Event, "Actors made again after a panic."),
    metric("kabar_actor_refusals_total", Counter, "label; reason: mailbox, node, resident, restarting, broken, gone", Event, "Offers to actors that were refused."),
    metric("kabar_actor_broken_total", Counter, "label", Event, "Actors put aside because they kept failing."),
    metric("kabar_compute_jobs_total", Counter, "label; outcome: done, panicked, lost, busy", Event, "Jobs of the compute pool."),
    metric("kabar_compute_queue", Gauge, "", Event, "Jobs waiting for or running in the compute pool."),
    metric("kabar_shard_reopened_total", Counter, "", Always, "Shards that lost their store or lease and were opened again."),
    metric("kabar_leases_lost_total", Counter, "", Always, "Leases that were lost, or ran out before they could be renewed."),
    metric("kabar_leases_held", Gauge, "", Cql, "Leases this node holds."),
    metric("kabar_cql_connections", Gauge, "", Cql, "Connections of the CQL driver."),
    metric("kabar_cql_requests", Gauge, "", Cql, "Requests the driver has sent since the start."),
    metric("kabar_cql_errors", Gauge, "", Cql, "Of these, those that ended in an error."),
    metric("kabar_cql_retries", Gauge, "", Cql, "Requests the driver sent again."),
    metric("kabar_cql_timeouts", Gauge, "", Cql, "Requests that ran into the client's timeout."),
    metric("kabar_cql_request_seconds_mean", Gauge, "", Cql, "Mean time of a request."),
    metric("kabar_telemetry_spans_total", Counter, "outcome: sent, not_taken, queue_full", Always, "Spans for the configured receiver: sent, not taken by it, or dropped because too many waited."),
    metric("kabar_process_resident_bytes", Gauge, "", Always, "Memory of the process that is resident (Linux; elsewhere 0)."),
    metric("kabar_process_start_time_seconds", Gauge, "", Always, "When the process started, in seconds since 1970."),
];

/// Gives every metric its help text, and a zero to counters that are there from the start: an alert on what has not
/// happened yet is no mistake. Once, after the recorder is installed.
pub(super) fn describe() {
    for Metric { name, kind, labels, there, meaning } in ALL {
        match kind {
            Counter => metrics::describe_counter!(*name, *meaning),
            Gauge => metrics::describe_gauge!(*name, *meaning),
            Histogram => metrics::describe_histogram!(*name, *meaning),
        }
        if (*kind, *there) == (Counter, Always) && labels.is_empty() && !name.starts_with("kabar_node_") {
            metrics::counter!(*name).increment(0);
        }
    }
    // What is labelled has its words here.
    for cause in ["in_flight", "draining"] {
        metrics::counter!(super::REFUSED, "cause" => cause).increment(0);
    }
    for outcome in ["sent", "not_taken", "queue_full"] {
        metrics::counter!(super::SPANS, "outcome" => outcome).increment(0);
    }
    for cause in Hold::ALL {
        metrics::counter!("kabar_holds_total", "cause" => kabar_actors::metrics::hold(cause)).increment(0);
    }
    for cause in ["start", "hours", "pair_rate", "throughput"] {
        metrics::counter!("kabar_waits_total", "cause" => cause).increment(0);
    }
    for cause in ["opted_out", "missing_variable", "frequency_cap"] {
        metrics::counter!("kabar_audience_left_out_total", "cause" => cause).increment(0);
    }
    for (name, good) in [("kabar_media_uploads_total", "taken"), ("kabar_media_received_total", "stored")] {
        for outcome in [good, "failed"] {
            metrics::counter!(name, "outcome" => outcome).increment(0);
        }
    }
    for bucket in ["api", "send"] {
        metrics::counter!(super::LIMITED, "bucket" => bucket).increment(0);
    }
    for reason in ["full", "idle", "head", "reader", "linger"] {
        metrics::counter!(super::CLOSED, "reason" => reason).increment(0);
    }
}

/// `api/docs/metrics.md`.
#[cfg(test)]
fn page() -> String {
    use std::fmt::Write;
    let mut page = String::from(
        "# Metrics\n\nWritten from the code; a test compares it with a running binary.\n\n`GET /metrics` gives Prometheus' text \
         format, without a key: keep it from the public by the proxy in front. No label holds\na number, a name, a tenant or a \
         body. Alert rules are in [`deploy/prometheus/alerts.yml`](../../deploy/prometheus/alerts.yml),\na board for Grafana in \
         [`deploy/grafana/kabar.json`](../../deploy/grafana/kabar.json).\n\nTimes are histograms in seconds: `_bucket`, `_sum`, \
         `_count`. Counters begin at 0 with the process.\n\n| metric | kind | labels | there | meaning |\n|---|---|---|---|---|\n",
    );
    for Metric { name, kind, labels, there, meaning } in ALL {
        let kind = format!("{kind:?}").to_lowercase();
        let there = match there {
            Always => "always",
            Event => "from its first event on",
            Cql => "on a cluster",
        };
        // Writing into a string cannot fail.
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {there} | {meaning} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_stands_once_on_the_page_that_is_committed() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for Metric { name, kind, meaning, .. } in ALL {
            assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
            assert!(name.starts_with("kabar_") && meaning.ends_with('.'), "{name}");
        }
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        if std::env::var_os("KABAR_WRITE_PAGES").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(committed == page(), "api/docs/metrics.md is old: run this test with KABAR_WRITE_PAGES=1");
    }
}
