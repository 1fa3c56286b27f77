//! The names of this room's metrics and the few functions that write them.
//!
//! Labels carry the kind of actor, never a key. The same figures are readable in code through `Node::tally`.

/// Gauge `{label}`: actors that live or are being restarted.
pub const ACTORS_ALIVE: &str = "kabar_actors_alive";
/// Counter `{label}`: actors made again after a panic.
pub const ACTOR_RESTARTS: &str = "kabar_actor_restarts_total";
/// Counter `{label, reason}`: offers refused. Reasons: `mailbox`, `node`, `resident`, `restarting`, `broken`,
/// `gone`.
pub const ACTOR_REFUSALS: &str = "kabar_actor_refusals_total";
/// Counter `{label}`: keys that used up their restarts and were put aside for the cool-down.
pub const ACTOR_BROKEN: &str = "kabar_actor_broken_total";
/// Counter `{label, outcome}`: compute jobs. Outcomes: `done`, `panicked`, `lost`, `busy`.
pub const COMPUTE_JOBS: &str = "kabar_compute_jobs_total";
/// Gauge: compute jobs waiting or running.
pub const COMPUTE_QUEUE: &str = "kabar_compute_queue";

pub(crate) fn alive(label: &'static str, change: f64) {
    ::metrics::gauge!(ACTORS_ALIVE, "label" => label).increment(change);
}

pub(crate) fn restarted(label: &'static str) {
    ::metrics::counter!(ACTOR_RESTARTS, "label" => label).increment(1);
}

pub(crate) fn refused(label: &'static str, reason: &'static str) {
    ::metrics::counter!(ACTOR_REFUSALS, "label" => label, "reason" => reason).increment(1);
}

pub(crate) fn broken(label: &'static str) {
    ::metrics::counter!(ACTOR_BROKEN, "label" => label).increment(1);
}

pub(crate) fn job(label: &'static str, outcome: &'static str) {
    ::metrics::counter!(COMPUTE_JOBS, "label" => label, "outcome" => outcome).increment(1);
}

pub(crate) fn compute_queue(change: f64) {
    ::metrics::gauge!(COMPUTE_QUEUE).increment(change);
}
