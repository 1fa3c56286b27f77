//! What held a waiting message up, stretch by stretch: collected while the journal is read, cut to the message's own
//! waiting when it ends. Not what it waits for now, which is the live state's to say.

use super::{Reason, Step};
use crate::cause::Cause;
use crate::pacing::{Held, Hold};
use crate::time::Timestamp;

/// Stretches of the same reason that lie this close together are one.
const CLOSE_MS: i64 = 1_000;
/// What nobody explains is told from this length on; less is what deciding and the disk take.
const GAP_MS: i64 = 10;
/// Stretches of one waiting.
const STRETCHES_MAX: usize = 200;

impl From<Hold> for Reason {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::Pace => Self::Pace,
            Hold::Throttled => Self::Throttled,
            Hold::LinkLost => Self::LinkLost,
            Hold::Room => Self::Room,
            Hold::Lane => Self::Lane,
            Hold::Turn => Self::Turn,
            Hold::Restricted => Self::Restricted,
            Hold::Template => Self::Template,
        }
    }
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    reason: Reason,
    from: Timestamp,
    until: Timestamp,
}

/// A message's waiting while it lasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Waits {
    now: Option<Waiting>,
    /// Since when its campaign's part is paused.
    paused: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    since: Timestamp,
    /// Not before this moment, for this reason.
    due: Timestamp,
    reason: Reason,
    cause: Option<Cause>,
    held: Vec<Stretch>,
    /// Entries in between were not read: what they would explain is not put down to the queue.
    blind: bool,
}

impl Waits {
    /// The message waits from now on, at least until `due`.
    pub(super) fn begin(
        &mut self,
        since: Timestamp,
        due: Timestamp,
        (reason, cause): (Reason, Option<Cause>),
    ) {
        self.now = Some(Waiting { since, due, reason, cause, held: Vec::new(), blind: false });
        if self.paused.is_some() {
            self.paused = Some(since);
        }
    }

    /// Those it waits among were held up until `until`.
    pub(super) fn held(&mut self, held: Held, until: Timestamp) {
        self.add(Stretch { reason: held.by.into(), from: held.since, until });
    }

    pub(super) fn pause(&mut self, at: Timestamp) {
        self.paused.get_or_insert(at);
    }

    pub(super) fn resume(&mut self, until: Timestamp) {
        if let Some(from) = self.paused.take() {
            self.add(Stretch { reason: Reason::Paused, from, until });
        }
    }

    /// Entries were left out.
    pub(super) fn skip(&mut self) {
        if let Some(now) = &mut self.now {
            now.blind = true;
        }
    }

    fn add(&mut self, stretch: Stretch) {
        let Some(now) = &mut self.now else { return };
        let from = stretch.from.max(now.since);
        if stretch.until <= from {
            return;
        }
        let full = now.held.len() >= STRETCHES_MAX;
        match now.held.last_mut() {
            Some(last) if last.reason == stretch.reason && from.since_ms(last.until) <= CLOSE_MS => {
                last.until = last.until.max(stretch.until);
            }
            _ if full => now.blind = true,
            _ => now.held.push(Stretch { from, ..stretch }),
        }
    }

    /// The waiting is over, or is looked at while it lasts: its stretches up to `at`, and where they end. What lasts
    /// has no last stretch yet.
    pub(super) fn end(&mut self, at: Timestamp, over: bool) -> (Vec<(Timestamp, Step)>, Timestamp) {
        let paused = self.paused;
        if paused.is_some() && over {
            self.resume(at);
            self.paused = paused;
        }
        let Some(now) = self.now.take() else { return (Vec::new(), at) };
        let mut told = Told { steps: Vec::new(), at: now.since, fill: !now.blind };
        if now.due > now.since && (over || now.due <= at) {
            told.take(now.reason, now.cause, now.due.min(at));
        }
        let mut held = now.held.clone();
        held.sort_by_key(|stretch| stretch.from);
        for stretch in held {
            let (from, until) = (stretch.from.max(told.at), stretch.until.min(at));
            if until > from {
                told.gap(from);
                told.take(stretch.reason, None, until);
            }
        }
        if over {
            told.gap(at);
        } else {
            self.now = Some(now);
        }
        (told.steps, told.at)
    }
}

/// Steps on their way out, without holes as far as something is known.
struct Told {
    steps: Vec<(Timestamp, Step)>,
    at: Timestamp,
    fill: bool,
}

impl Told {
    fn take(&mut self, reason: Reason, cause: Option<Cause>, until: Timestamp) {
        self.steps.push((self.at, Step::Waited { until, reason, cause }));
        self.at = until;
    }

    fn gap(&mut self, until: Timestamp) {
        if self.fill && until.since_ms(self.at) >= GAP_MS {
            self.take(Reason::Queue, None, until);
        }
        self.at = self.at.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(waits: &mut Waits, at: i64) -> Vec<(i64, i64, Reason)> {
        let (steps, _) = waits.end(Timestamp(at), true);
        let line = |(from, step): (Timestamp, Step)| match step {
            Step::Waited { until, reason, .. } => (from.0, until.0, reason),
            other => panic!("{other:?}"),
        };
        steps.into_iter().map(line).collect()
    }

    fn begun(since: i64, due: i64) -> Waits {
        let mut waits = Waits::default();
        waits.begin(Timestamp(since), Timestamp(due), (Reason::Start, None));
        waits
    }

    #[test]
    fn what_held_others_before_it_came_is_not_its_own_waiting() {
        let mut waits = begun(1_000, 1_000);
        waits.held(Held { by: Hold::Throttled, since: Timestamp(0) }, Timestamp(900));
        waits.held(Held { by: Hold::Pace, since: Timestamp(900) }, Timestamp(1_300));
        assert_eq!(told(&mut waits, 1_305), [(1_000, 1_300, Reason::Pace)]);
    }

    #[test]
    fn one_cause_over_many_claims_is_one_stretch_and_holes_are_the_queue() {
        let mut waits = begun(0, 500);
        for claim in 6..20 {
            let since = Timestamp(claim * 100 - 90);
            waits.held(Held { by: Hold::Pace, since }, Timestamp(claim * 100));
        }
        waits.held(Held { by: Hold::LinkLost, since: Timestamp(5_000) }, Timestamp(9_000));
        let seen = told(&mut waits, 9_500);
        let expected = [
            (0, 500, Reason::Start),
            (500, 510, Reason::Queue),
            (510, 1_900, Reason::Pace),
            (1_900, 5_000, Reason::Queue),
            (5_000, 9_000, Reason::LinkLost),
            (9_000, 9_500, Reason::Queue),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_pause_ends_with_the_resume_or_with_the_message() {
        let mut waits = begun(0, 0);
        waits.pause(Timestamp(5));
        waits.resume(Timestamp(2_000));
        waits.pause(Timestamp(2_004));
        assert_eq!(told(&mut waits, 4_000), [(5, 4_000, Reason::Paused)], "pauses that lie close are one");
        assert_eq!(waits.now, None);
    }

    #[test]
    fn what_was_not_read_is_not_put_down_to_the_queue() {
        let mut waits = begun(0, 0);
        waits.skip();
        assert_eq!(told(&mut waits, 60_000), []);
    }

    #[test]
    fn a_look_ends_nothing() {
        let mut waits = begun(0, 0);
        waits.held(Held { by: Hold::Pace, since: Timestamp(0) }, Timestamp(100));
        let (steps, until) = waits.end(Timestamp(700), false);
        assert_eq!((steps.len(), until), (1, Timestamp(100)));
        assert!(waits.now.is_some());
    }
}
