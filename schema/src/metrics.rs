//! The names of everything this room counts, in one place. Labels never hold a number, a name or a body.

/// Counter: synced groups of the journal.
pub const JOURNAL_SYNCS: &str = "kabar_journal_syncs_total";
/// Counter: frames (appended batches) made durable.
pub const JOURNAL_FRAMES: &str = "kabar_journal_frames_total";
/// Counter: bytes of frames made durable.
pub const JOURNAL_BYTES: &str = "kabar_journal_bytes_total";
/// Histogram: seconds of one sync.
pub const JOURNAL_SYNC_SECONDS: &str = "kabar_journal_sync_seconds";

/// Tells the recorder what the names mean; call once after it is installed.
pub fn describe() {
    metrics::describe_counter!(JOURNAL_SYNCS, "Synced groups of the journal");
    metrics::describe_counter!(JOURNAL_FRAMES, "Batches of entries made durable");
    metrics::describe_counter!(JOURNAL_BYTES, metrics::Unit::Bytes, "Bytes of the journal made durable");
    metrics::describe_histogram!(JOURNAL_SYNC_SECONDS, metrics::Unit::Seconds, "Time of one journal sync");
}
