//! What this room counts, and `/metrics`: everything the process recorded, and the node's own figures read at every
//! scrape. Labels are words of closed sets: routes as they stand in `router.rs`, methods, status codes.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use kabar_actors::NodeStats;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Counter `{method, route, status}`: requests answered.
pub const REQUESTS: &str = "kabar_http_requests_total";
/// Histogram `{route}`: seconds from the request to its answer.
pub const SECONDS: &str = "kabar_http_request_seconds";
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
pub struct Exposition(Option<PrometheusHandle>);

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
            metrics::describe_counter!(REQUESTS, "Requests answered");
            metrics::describe_histogram!(
                SECONDS,
                metrics::Unit::Seconds,
                "Time from a request to its answer"
            );
            kabar_schema::metrics::describe();
        }
        Self(handle)
    }

    /// Drains the histograms until dropped; without this they grow between scrapes.
    pub(crate) async fn keep_up(self) {
        let Some(handle) = self.0 else { return };
        let mut turn = tokio::time::interval(UPKEEP);
        loop {
            turn.tick().await;
            handle.run_upkeep();
        }
    }

    /// Prometheus' text format.
    pub(crate) fn render(&self, stats: &NodeStats) -> String {
        let mut text = self.0.as_ref().map(PrometheusHandle::render).unwrap_or_default();
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
        text
    }
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

/// Counts and times every request under its route.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!(SECONDS, "route" => route).record(begin.elapsed().as_secs_f64());
    response
}
