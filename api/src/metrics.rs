//! What this room counts, and `/metrics`: everything the process recorded, and the node's own figures read at every
//! scrape. Labels are words of closed sets: routes as they stand in `router.rs`, methods, status codes.

mod catalogue;
mod tally;

pub(crate) use tally::Tallies;

use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use kabar_actors::NodeStats;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime};

/// Counter `{method, route, status}`: requests answered.
pub const REQUESTS: &str = "kabar_http_requests_total";
/// Histogram `{route}`: seconds from the request to its answer.
pub const SECONDS: &str = "kabar_http_request_seconds";
/// Counter `{cause}`: requests that were not taken up: `in_flight`, `draining`.
pub const REFUSED: &str = "kabar_http_refused_total";
/// Counter `{reason}`: connections closed by us: `full`, `idle`, `head`, `reader`, `linger`.
pub const CLOSED: &str = "kabar_http_connections_closed_total";
/// Counter `{bucket}`: requests and messages refused because their key had used up its rate: `api`, `send`.
pub const LIMITED: &str = "kabar_http_rate_limited_total";
/// Counter: panics of handlers.
pub const PANICS: &str = "kabar_http_panics_total";
/// Counter `{outcome}`: spans: `sent`, `not_taken` by their receiver, `queue_full`.
pub const SPANS: &str = "kabar_telemetry_spans_total";
/// Gauge: requests in hand.
pub const IN_FLIGHT: &str = "kabar_http_in_flight";
/// Gauge: resident memory of the process, bytes.
pub const RESIDENT: &str = "kabar_process_resident_bytes";
/// Gauge: when the process started, seconds since 1970.
pub const STARTED: &str = "kabar_process_start_time_seconds";
/// Gauge `{kind}`: actors alive.
pub const ACTORS: &str = "kabar_node_actors";
/// Counter `{kind}`: actors restarted after a panic.
pub const RESTARTS: &str = "kabar_node_restarts_total";
/// Counter `{kind}`: messages refused by admission.
pub const REFUSALS: &str = "kabar_node_refusals_total";
/// Counter: syncs of the journal.
pub const SYNCS: &str = "kabar_node_journal_syncs_total";
/// Gauge: age of the oldest change that is not in the views, seconds.
pub const LAG: &str = "kabar_node_projector_lag_seconds";
/// Gauge: rows that wait for the views.
pub const DIRTY: &str = "kabar_node_dirty_rows";
/// Gauge: messages on the wire or without a known outcome.
pub const CLAIMS: &str = "kabar_node_open_claims";
/// Gauge: rows held in memory.
pub const OVERLAY: &str = "kabar_node_overlay_rows";

/// Bounds of the histograms of seconds.
const BOUNDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// How often histograms are drained.
const UPKEEP: Duration = Duration::from_secs(5);

/// What `/metrics` reads. A process has one recorder: the first server takes it, any further server of the same
/// process (tests) shows its node's figures alone.
#[derive(Clone)]
pub struct Exposition {
    recorder: Option<PrometheusHandle>,
    started: f64,
}

impl Exposition {
    /// Installs the recorder, unless the process has one.
    #[must_use]
    pub fn install() -> Self {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(seconds, BOUNDS)
            .expect("invariant: there are bounds");
        let handle = builder.install_recorder().ok();
        if handle.is_some() {
            catalogue::describe();
        }
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { recorder: handle, started: started.as_secs_f64() }
    }

    /// Drains the histograms until dropped; without this they grow between scrapes.
    pub(crate) async fn keep_up(self) {
        let Some(handle) = self.recorder else { return };
        let mut turn = tokio::time::interval(UPKEEP);
        loop {
            turn.tick().await;
            handle.run_upkeep();
        }
    }

    /// Prometheus' text format.
    pub(crate) fn render(&self, stats: &NodeStats, in_flight: usize) -> String {
        let mut text = self.recorder.as_ref().map(PrometheusHandle::render).unwrap_or_default();
        let alive: Vec<_> = stats.actors_alive.iter().map(|(kind, n)| (*kind, *n as u64)).collect();
        by_kind(&mut text, (ACTORS, "gauge", "Actors alive"), &alive);
        by_kind(&mut text, (RESTARTS, "counter", "Actors restarted after a panic"), &stats.restarts);
        by_kind(&mut text, (REFUSALS, "counter", "Messages refused by admission"), &stats.refusals);
        one(&mut text, (SYNCS, "counter", "Syncs of the journal"), stats.journal_syncs);
        let lag = stats.projector_lag_ms as f64 / 1_000.0;
        one(&mut text, (LAG, "gauge", "Age of the oldest change not in the views"), lag);
        one(&mut text, (DIRTY, "gauge", "Rows that wait for the views"), stats.dirty_rows);
        one(
            &mut text,
            (CLAIMS, "gauge", "Messages on the wire or without a known outcome"),
            stats.open_claims,
        );
        one(&mut text, (OVERLAY, "gauge", "Rows held in memory"), stats.overlay_rows);
        one(&mut text, (IN_FLIGHT, "gauge", "Requests in hand"), in_flight);
        one(&mut text, (RESIDENT, "gauge", "Resident memory"), resident());
        one(&mut text, (STARTED, "gauge", "When the process started"), self.started);
        text
    }
}

/// Resident memory in bytes, as Linux tells it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

/// Writing into a string cannot fail.
fn head(text: &mut String, (name, kind, help): (&str, &str, &str)) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn one(text: &mut String, about: (&str, &str, &str), value: impl std::fmt::Display) {
    head(text, about);
    let _ = writeln!(text, "{} {value}", about.0);
}

/// A family without a member still shows its name with a zero, so that an alert on it is no mistake.
fn by_kind(text: &mut String, about: (&str, &str, &str), values: &[(&'static str, u64)]) {
    head(text, about);
    let none = [("none", 0)];
    for (kind, value) in if values.is_empty() { &none } else { values } {
        let _ = writeln!(text, "{}{{kind=\"{kind}\"}} {value}", about.0);
    }
}

/// A connection was closed by us.
pub(crate) fn closed(reason: &'static str) {
    metrics::counter!(CLOSED, "reason" => reason).increment(1);
}

/// What became of spans.
pub(crate) fn spans(outcome: &'static str, count: u64) {
    metrics::counter!(SPANS, "outcome" => outcome).increment(count);
}

/// A request was not taken up.
pub(crate) fn refused(cause: &'static str) {
    metrics::counter!(REFUSED, "cause" => cause).increment(1);
}

/// A key had used up its rate.
pub(crate) fn limited(bucket: &'static str) {
    metrics::counter!(LIMITED, "bucket" => bucket).increment(1);
}

/// A handler panicked.
pub(crate) fn panicked() {
    metrics::counter!(PANICS).increment(1);
}

/// The method as a label; what strangers invent is one word, or every new one would be kept for good.
fn method(given: &Method) -> &'static str {
    let known = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PATCH, "PATCH"),
        (Method::DELETE, "DELETE"),
        (Method::PUT, "PUT"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
    ];
    known.iter().find(|(method, _)| method == given).map_or("other", |(_, word)| word)
}

/// Counts and times every request under its route.
pub(crate) async fn measure<F: Future<Output = Response>>(
    tallies: &Tallies,
    route: &str,
    request: Request,
    inner: impl FnOnce(Request) -> F,
) -> Response {
    let begin = Instant::now();
    let method = method(request.method());
    let response = inner(request).await;
    tallies.count((route, method, response.status().as_u16()), begin.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_is_no_label_of_its_own() {
        assert_eq!(method(&Method::PATCH), "PATCH");
        assert_eq!(method(&Method::from_bytes(b"X4F2A").unwrap()), "other");
    }
}
