//! Room that a session grants to a part. Not how much there is: that is the session's.

use super::Message;
use kabar_engine::pacing::Held;
use kabar_engine::time::Timestamp;
use kabar_runtime::{Handle, Reply};

/// Room for so many calls, granted to a part. Dropping it gives the places back, so that a part that panics
/// takes none with it.
pub struct Permits {
    pub(super) session: Handle<Message>,
    pub(super) places: u32,
    pub(super) unused: u32,
    pub(super) held: Option<Held>,
}

/// A part that waits for room.
pub(super) struct Asked {
    pub(super) since: Timestamp,
    pub(super) reply: Reply<Permits>,
}

impl Permits {
    /// How many.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.places
    }

    /// What it was waited for.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        self.held
    }

    /// So many were put to use; the other places are free at once.
    pub fn used(&mut self, count: u32) {
        let spare = self.places.saturating_sub(count);
        self.places -= spare;
        self.unused = 0;
        if spare > 0 {
            let _ended = self.session.force(Message::Return { places: spare, unused: spare });
        }
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        if self.places > 0 {
            let _ended = self.session.force(Message::Return { places: self.places, unused: self.unused });
        }
    }
}
