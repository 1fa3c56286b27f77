//! The counts of requests by route, method and status, kept at hand: finding a metric by freshly written labels costs as much
//! as a header of the request. Routes, methods and statuses are words of closed sets, so this stays small.

use super::{REQUESTS, SECONDS};
use kabar_engine::hash::HashMap;
use metrics::{Counter, Histogram};
use std::sync::{PoisonError, RwLock};

/// Every route that was asked for.
#[derive(Default)]
pub(crate) struct Tallies(RwLock<HashMap<String, Tally>>);

struct Tally {
    seconds: Histogram,
    answers: Vec<(&'static str, u16, Counter)>,
}

impl Tallies {
    /// Counts and times one answer.
    pub(super) fn count(&self, (route, method, status): (&str, &'static str, u16), seconds: f64) {
        // A count is whole at any time, whoever panicked beside it.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = known.get(route)
            && let Some(counter) = tally.find(method, status)
        {
            counter.increment(1);
            tally.seconds.record(seconds);
            return;
        }
        drop(known);
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let tally = all.entry(route.to_owned()).or_insert_with(|| Tally {
            seconds: metrics::histogram!(SECONDS, "route" => route.to_owned()),
            answers: Vec::new(),
        });
        tally.seconds.record(seconds);
        if let Some(counter) = tally.find(method, status) {
            return counter.increment(1);
        }
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        let counter = metrics::counter!(REQUESTS, &labels);
        counter.increment(1);
        tally.answers.push((method, status, counter));
    }
}

impl Tally {
    fn find(&self, method: &str, status: u16) -> Option<&Counter> {
        let found = self.answers.iter().find(|(of, with, _)| *of == method && *with == status);
        found.map(|(_, _, counter)| counter)
    }
}
