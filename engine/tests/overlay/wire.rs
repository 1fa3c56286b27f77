//! The provider's side: which references are on the wire, what it took, and what may be told of it. It keeps
//! the ledger of handings against which sending once is judged.

use kabar_engine::cause::Cause;
use kabar_engine::entry::{StatusReport, StatusRest};
use kabar_engine::outgoing::{Accepted, Reason, Reference, SendError};
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Under way.
    Flying,
    /// Certainly not taken.
    Never,
    /// Taken, or nobody knows.
    Perhaps,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// What the caller knows.
    pub fate: Fate,
    /// Whether the provider took it.
    pub taken: bool,
}

/// Every call of one reference.
#[derive(Debug, Default)]
pub struct Track {
    calls: Vec<Call>,
    again: bool,
}

/// The wire.
#[derive(Debug, Default)]
pub struct Wire {
    pub tracks: BTreeMap<Reference, Track>,
    /// How many calls with an unknown outcome a reference may have: 1, or 2 when the tenant resends.
    pub allowed: usize,
}

impl Wire {
    /// A message is handed to the provider.
    pub fn hand(&mut self, reference: Reference) {
        let track = self.tracks.entry(reference).or_default();
        if let Some(last) = track.calls.last() {
            assert!(last.fate != Fate::Flying, "{reference:?} is claimed while it is on the wire");
            assert!(
                last.fate == Fate::Never || track.again,
                "{reference:?} goes out again though it may have arrived"
            );
        }
        track.again = false;
        track.calls.push(Call { fate: Fate::Flying, taken: false });
        let open = track.calls.iter().filter(|c| c.fate != Fate::Never).count();
        assert!(open <= self.allowed, "{reference:?} may have gone out {open} times");
    }

    /// The engine decided that it is sent once more.
    pub fn again(&mut self, reference: Reference) {
        self.tracks.entry(reference).or_default().again = true;
    }

    /// The call came back, was lost, or was taken back before it was made.
    pub fn landed(&mut self, reference: Reference, fate: Fate, taken: bool) {
        let last = self.tracks.get_mut(&reference).and_then(|t| t.calls.last_mut());
        let last = last.expect("only calls under way come back");
        assert_eq!(last.fate, Fate::Flying);
        *last = Call { fate, taken: taken || last.taken };
    }

    /// The provider takes a call that is still under way.
    pub fn take(&mut self, reference: Reference) {
        let last = self.tracks.get_mut(&reference).and_then(|t| t.calls.last_mut());
        last.expect("a call under way").taken = true;
    }

    /// Whether the provider took the call under way.
    pub fn is_taken(&self, reference: Reference) -> bool {
        self.tracks.get(&reference).and_then(|t| t.calls.last()).is_some_and(|c| c.taken)
    }

    /// References with a call under way.
    pub fn flying(&self) -> Vec<Reference> {
        let under_way = |t: &Track| t.calls.last().is_some_and(|c| c.fate == Fate::Flying);
        self.tracks.iter().filter(|(_, t)| under_way(t)).map(|(r, _)| *r).collect()
    }

    /// References the provider has taken: it may report on them.
    pub fn taken(&self) -> Vec<Reference> {
        let taken = |t: &Track| t.calls.iter().any(|c| c.taken);
        self.tracks.iter().filter(|(_, t)| taken(t)).map(|(r, _)| *r).collect()
    }

    /// How often a reference was handed over.
    pub fn handed(&self, reference: Reference) -> usize {
        self.tracks.get(&reference).map_or(0, |t| t.calls.len())
    }
}

/// A status as the provider tells it.
pub fn reported(
    of: Reference,
    status: Status,
    cause: Option<Cause>,
    at: Timestamp,
) -> StatusReport<Reference> {
    // Every other moment it says more.
    let rest =
        StatusRest::of([("conversation", r#"{"expiration_timestamp":"1"}"#)]).filter(|_| at.0 % 2 == 0);
    StatusReport { of, status, at, cause, provider_id: None, pricing: None, rest: rest.map(Arc::new) }
}

/// What is answered over a dead link.
pub fn lost() -> Result<Accepted, SendError> {
    Err(SendError::LinkLost(Reason { cause: Cause::LINK_LOST, detail: String::new(), trace: None }))
}
