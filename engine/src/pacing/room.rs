//! How many messages a node has on their way at once: as many as it can handle without falling behind. It grows while
//! its work is in time and shrinks when that is late (additive increase, multiplicative decrease), so that nobody's next
//! message stands behind all of somebody else's. Not whose turn it is ([`crate::fair`]).

/// Never fewer: one claim of a slow number, many times.
const LEAST: u32 = 32;
/// Of single messages alone never fewer than this: what is accepted faster than it is sent is written down in between and read
/// again, which costs more than the time that work is late.
const LEAST_SINGLES: u32 = 128;
/// Never more.
const MOST: u32 = 65_536;
/// Room at the beginning, and after a rest: what is begun at once is done at once.
const FIRST: u32 = 128;
/// Who is on the way, of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// Single messages: who sends them waits for an answer.
    Singles,
    /// Campaigns alone: nobody waits for any one message of them.
    Campaigns,
    /// Single messages beside campaigns.
    Both,
}

impl Kinds {
    /// Work that is later than this is late, µs. Beside single messages campaigns give some of their speed for the
    /// others' time; alone they may fill the machine, and one single message is enough to end that. A burst of
    /// their webhooks makes work late as well, for some 8 ms: with less than that they would take the room from the sends.
    fn late_us(self) -> u64 {
        match self {
            Self::Singles => 350,
            Self::Campaigns => 10_000,
            Self::Both => 250,
        }
    }

    fn least(self) -> u32 {
        match self {
            Self::Singles => LEAST_SINGLES,
            Self::Campaigns | Self::Both => LEAST,
        }
    }
}

/// The room of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room(u32);

impl Default for Room {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Room {
    /// How many.
    #[must_use]
    pub fn size(self) -> u32 {
        self.0
    }

    /// Nothing was on its way for a while: what had room then says nothing of now.
    pub fn rest(&mut self) {
        self.0 = self.0.min(FIRST);
    }

    /// How late work was of late, how many are on their way, whether somebody waits for room, and of which kinds they
    /// are. Called at a steady beat.
    pub fn hear(&mut self, late_us: u64, open: u32, wanted: bool, kinds: Kinds) {
        let late = kinds.late_us();
        if late_us > late {
            self.0 = (self.0.min(open) / 4 * 3).max(kinds.least());
        } else if wanted && late_us < late / 2 {
            self.0 = (self.0 + self.0 / 16 + 8).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that handles `per_beat` messages a beat and whose provider answers after `beats`: what is on its way
    /// beyond that waits for the machine.
    fn settled(per_beat: u32, beats: u32) -> (u32, f64) {
        let (mut room, mut handled) = (Room::default(), 0.0);
        let mut sizes = Vec::new();
        for beat in 0..2_000 {
            let open = room.size();
            let late = u64::from(open.saturating_sub(per_beat * beats)) * 20_000 / u64::from(per_beat);
            room.hear(late, open, true, Kinds::Singles);
            if beat >= 1_000 {
                sizes.push(room.size());
                handled += f64::from(open.min(per_beat * beats)) / f64::from(per_beat * beats);
            }
        }
        (*sizes.iter().max().unwrap(), handled / 1_000.0)
    }

    #[test]
    fn it_finds_what_the_machine_can_do_with_fast_and_with_slow_providers() {
        for (per_beat, beats) in [(200, 1), (200, 10), (20, 10), (1_000, 20)] {
            let (size, used) = settled(per_beat, beats);
            let fits = per_beat * beats;
            assert!(size <= fits + per_beat / 2 + 8 + fits / 16, "{per_beat} {beats}: {size}");
            assert!(used > 0.85, "{per_beat} {beats}: {used}");
        }
    }

    #[test]
    fn it_neither_grows_unasked_nor_shrinks_to_nothing() {
        let mut room = Room::default();
        (0..100).for_each(|_| room.hear(0, 10, false, Kinds::Singles));
        assert_eq!(room, Room::default());
        (0..100).for_each(|_| room.hear(0, 200, true, Kinds::Singles));
        assert!(room.size() > 10 * FIRST);
        room.rest();
        assert_eq!(room, Room::default());
        (0..100).for_each(|_| room.hear(1_000_000, 0, true, Kinds::Campaigns));
        assert_eq!(room.size(), LEAST);
        (0..10_000).for_each(|_| room.hear(0, LEAST, true, Kinds::Singles));
        assert_eq!(room.size(), MOST);
        room.hear(8_000, MOST, true, Kinds::Campaigns);
        room.hear(300, MOST, true, Kinds::Singles);
        assert_eq!(room.size(), MOST, "in time for one kind alone");
        let after = |kinds| {
            let mut room = room;
            room.hear(if kinds == Kinds::Both { 300 } else { 400 }, MOST, true, kinds);
            room.size()
        };
        assert!(after(Kinds::Both) < MOST, "late for both together");
        assert!(after(Kinds::Singles) < MOST, "late for who waits for an answer");
        assert_eq!(after(Kinds::Campaigns), MOST);
    }
}
