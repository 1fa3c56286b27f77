//! The names of everything this room counts, in one place. Labels never hold a number, a name or a body.

/// Counter: synced groups of the journal.
pub const JOURNAL_SYNCS: &str = "kabar_journal_syncs_total";
/// Counter: frames (appended batches) made durable.
pub const JOURNAL_FRAMES: &str = "kabar_journal_frames_total";
/// Counter: bytes of frames made durable.
pub const JOURNAL_BYTES: &str = "kabar_journal_bytes_total";
/// Histogram: seconds of one sync.
pub const JOURNAL_SYNC_SECONDS: &str = "kabar_journal_sync_seconds";

/// Counts a frame that a cluster took.
pub(crate) fn appended(bytes: u64) {
    metrics::counter!(JOURNAL_SYNCS).increment(1);
    metrics::counter!(JOURNAL_FRAMES).increment(1);
    metrics::counter!(JOURNAL_BYTES).increment(bytes);
}

/// Gauge: connections of the CQL driver.
pub const CQL_CONNECTIONS: &str = "kabar_cql_connections";
/// Gauge: requests the CQL driver has sent since the start.
pub const CQL_REQUESTS: &str = "kabar_cql_requests";
/// Gauge: requests that ended in an error.
pub const CQL_ERRORS: &str = "kabar_cql_errors";
/// Gauge: requests the driver sent again.
pub const CQL_RETRIES: &str = "kabar_cql_retries";
/// Gauge: requests that ran into the client's timeout.
pub const CQL_TIMEOUTS: &str = "kabar_cql_timeouts";
/// Gauge: mean time of a request in seconds.
pub const CQL_SECONDS: &str = "kabar_cql_request_seconds_mean";

/// Passes on what the CQL driver counts.
pub(crate) fn driver(counted: &scylla::observability::metrics::Metrics) {
    let set = |name: &'static str, value: u64| metrics::gauge!(name).set(value as f64);
    set(CQL_CONNECTIONS, counted.get_total_connections());
    set(CQL_REQUESTS, counted.get_requests_unpaged_num() + counted.get_requests_automatically_paged_num());
    set(CQL_ERRORS, counted.get_errors_unpaged_num() + counted.get_errors_automatically_paged_num());
    set(CQL_RETRIES, counted.get_retries_num());
    set(CQL_TIMEOUTS, counted.get_request_timeouts());
    if let Ok(mean) = counted.get_latency_avg_ms() {
        metrics::gauge!(CQL_SECONDS).set(mean as f64 / 1_000.0);
    }
}
