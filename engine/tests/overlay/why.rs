//! The why-list beside the overlay: fed with the whole journal, it accounts for every message and every recipient exactly
//! as the overlay's own rows and marks show them.

use crate::world::World;
use kabar_engine::entry::{Entry, Position, What};
use kabar_engine::id::ShardId;
use kabar_engine::mark::CHUNK;
use kabar_engine::overlay::Key;
use kabar_engine::why::{Line, Step, Why};

impl World {
    /// Explains every message and every recipient.
    pub fn explain(&mut self) {
        for shard in self.shards() {
            let journal = self.home(shard).journal.clone();
            for entry in &journal {
                match &entry.what {
                    What::Intent(intent) => self.explain_message(shard, &journal, (entry, intent.id)),
                    What::Inbound(inbound) => self.explain_message(shard, &journal, (entry, inbound.id)),
                    What::PartStarted(_) => self.explain_part(shard, &journal, entry),
                    _ => {}
                }
            }
        }
    }

    fn explain_message(
        &mut self,
        shard: ShardId,
        journal: &[Entry],
        (entry, id): (&Entry, kabar_engine::id::MessageId),
    ) {
        let row = self.know(shard, &[Key::Message(id)]).message(id).expect("what was accepted is known");
        if row.tenant != entry.tenant || row.campaign.is_some() {
            return;
        }
        let why = read(Why::of_message(entry.tenant, id), journal);
        assert!(why.accounts_for(&row, None), "{row:#?}\n{why:#?}");
        sound(&why.list(&row, None, (self.now, self.policy.0)));
    }

    fn explain_part(&mut self, shard: ShardId, journal: &[Entry], entry: &Entry) {
        let What::PartStarted(start) = &entry.what else { return };
        let (campaign, part) = (start.campaign, start.part);
        let own = self.know(shard, &[Key::Part(campaign, part)]).part(campaign, part);
        let Some(own) = own.filter(|own| own.tenant == entry.tenant) else { return };
        for (chunk, line) in own.chunk_numbers().zip(&own.start.chunks) {
            for index in (0..line.count).map(|offset| chunk * CHUNK + offset) {
                let overlay = self.know(shard, &[Key::Part(campaign, part)]);
                let mark = overlay.mark(campaign, index);
                let why = Why::of_recipient(own.tenant, &own.start, index, own.start.launched);
                let why = read(why, journal);
                let row = kabar_engine::message::MessageRow::accepted(own.tenant, self.now, &intent());
                assert!(why.accounts_for(&row, mark), "{index}: {mark:#?}\n{why:#?}");
                sound(&why.list(&row, None, (self.now, self.policy.0)));
            }
        }
    }
}

/// Stands for the row a recipient has not.
fn intent() -> kabar_engine::entry::Intent {
    kabar_engine::entry::Intent {
        id: kabar_engine::id::MessageId(1),
        session: kabar_engine::id::SessionId(1),
        conversation: kabar_engine::id::ConversationId(1),
        to: crate::cast::person(1),
        content: crate::cast::template(),
        lane: kabar_engine::pacing::Lane::Broadcast,
        due: crate::cast::BEGIN,
        valid_until: crate::cast::BEGIN,
        context: None,
        idempotency: None,
        by: None,
        tag: None,
        identity: None,
    }
}

fn read(mut why: Why, journal: &[Entry]) -> Why {
    (1..).zip(journal).for_each(|(at, entry)| why.read(Position(at), entry));
    why
}

/// Begins with the begin, in the order of time, no two waits at once.
fn sound(lines: &[Line]) {
    assert!(matches!(lines[0].step, Step::Accepted { .. } | Step::Received { .. }), "{lines:#?}");
    assert!(lines.is_sorted_by_key(|line| line.at), "{lines:#?}");
    let waits: Vec<_> = lines
        .iter()
        .filter_map(|line| match line.step {
            Step::Waited { until, .. } => Some((line.at, until)),
            _ => None,
        })
        .collect();
    assert!(waits.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{lines:#?}");
}
