//! The texts of events that are kept between their reading and their delivery, so that the journal is not asked twice.
//! Only while an address takes what it is brought: of a dead one's events nothing is kept but their names, and the
//! journal is asked again by the few attempts it gets.

use bytes::Bytes;
use kabar_engine::event::Kind;
use kabar_engine::id::EventId;
use std::collections::HashMap;

/// Texts kept of one subscription.
const KEPT_MAX: usize = 256;

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Texts {
    kept: HashMap<EventId, (Kind, Bytes)>,
    /// The last attempt has failed.
    failing: bool,
}

impl Texts {
    /// For an address whose last attempt has failed, or not.
    pub(super) fn new(failing: bool) -> Self {
        Self { kept: HashMap::new(), failing }
    }

    /// Whether another one would be kept; else it need not be made.
    pub(super) fn has_room(&self) -> bool {
        !self.failing && self.kept.len() < KEPT_MAX
    }

    pub(super) fn keep(&mut self, event: EventId, kind: Kind, text: Bytes) {
        if self.has_room() {
            self.kept.insert(event, (kind, text));
        }
    }

    pub(super) fn get(&self, event: EventId) -> Option<(Kind, Bytes)> {
        self.kept.get(&event).cloned()
    }

    /// An attempt has ended: its own text goes, and with a failure every other one.
    pub(super) fn ended(&mut self, event: EventId, good: bool) {
        self.failing = !good;
        match good {
            true => _ = self.kept.remove(&event),
            // And the room it took.
            false => self.kept = HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(nth: u64) -> EventId {
        EventId(nth)
    }

    #[test]
    fn of_an_address_that_fails_no_text_is_kept_until_it_takes_something() {
        let mut texts = Texts::new(false);
        let keep =
            |texts: &mut Texts, nth| texts.keep(event(nth), Kind::MessageSent, Bytes::from_static(b"x"));
        (0..1_000).for_each(|nth| keep(&mut texts, nth));
        assert_eq!(texts.kept.len(), KEPT_MAX);
        texts.ended(event(0), true);
        assert!(texts.get(event(0)).is_none() && texts.get(event(1)).is_some());
        texts.ended(event(1), false);
        (1_000..2_000).for_each(|nth| keep(&mut texts, nth));
        assert_eq!((texts.kept.len(), texts.has_room()), (0, false));
        texts.ended(event(2), true);
        keep(&mut texts, 3);
        assert!(texts.get(event(3)).is_some());
        assert!(!Texts::new(true).has_room(), "it failed in an earlier life too");
    }
}
