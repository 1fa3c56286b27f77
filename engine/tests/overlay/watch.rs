//! What must hold at any time: the picture of a shard by its rows, statuses that only go forward, totals that
//! add up, people who are left alone. Judges; changes nothing.

use crate::action::Scope;
use crate::cast::Desk;
use crate::views::Views;
use kabar_engine::address::Address;
use kabar_engine::campaign::CampaignRow;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::{Entry, Outcome, What};
use kabar_engine::id::{CampaignId, ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::mark::Mark;
use kabar_engine::message::{MessageRow, Stage};
use kabar_engine::optout::Wish;
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::decide::Received;
use kabar_engine::overlay::{OutboxKey, Overlay};
use kabar_engine::part::{PartRow, Totals, chunk_of};
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a watcher remembers of the journals.
#[derive(Debug, Default)]
pub struct Watch {
    messages: BTreeMap<MessageId, (ShardId, SessionId)>,
    conversations: BTreeSet<(ShardId, ConversationId)>,
    campaigns: BTreeSet<(ShardId, CampaignId)>,
    /// Parts with the indexes of their recipients.
    pub parts: BTreeMap<(ShardId, CampaignId, u32), Vec<u32>>,
    statuses: BTreeMap<MessageId, Status>,
    marks: BTreeMap<(CampaignId, u32), Status>,
    wishes: BTreeMap<(TenantId, Address), BTreeMap<ShardId, (Wish, Timestamp)>>,
    due: BTreeMap<(CampaignId, u32), Timestamp>,
    valid: BTreeMap<(CampaignId, u32), Timestamp>,
    /// Every id given by a shard.
    given: BTreeSet<u64>,
    /// Idempotency keys used: body, message (0 for an action), when.
    pub keys: BTreeMap<(Scope, u128), (u128, MessageId, Timestamp)>,
    /// What people wrote, to be repeated.
    pub received: Vec<(SessionId, Received)>,
}

/// A shard's rows.
#[derive(Debug, PartialEq)]
pub struct Picture {
    /// Messages.
    pub messages: Vec<Arc<MessageRow>>,
    /// Conversations.
    pub conversations: Vec<Arc<ConversationRow>>,
    /// Campaigns.
    pub campaigns: Vec<Arc<CampaignRow>>,
    /// Parts.
    pub parts: Vec<Arc<PartRow>>,
    /// Recipients.
    pub marks: BTreeMap<(CampaignId, u32), Mark>,
}

impl Watch {
    /// An id was given: never twice.
    fn gave(&mut self, id: u64) {
        assert!(self.given.insert(id), "the id {id} is given twice");
    }

    /// An entry was journaled.
    pub fn heard(&mut self, shard: ShardId, entry: &Entry) {
        match &entry.what {
            What::Intent(i) => {
                self.gave(i.id.0);
                self.messages.insert(i.id, (shard, i.session));
            }
            What::Inbound(i) => {
                self.gave(i.id.0);
                self.messages.insert(i.id, (shard, i.session));
            }
            What::Touched { message, session, .. } => {
                let before = self.messages.insert(*message, (shard, *session));
                assert!(before.is_none(), "a recipient is touched twice");
            }
            What::Conversation(c) => {
                self.gave(c.id.0);
                self.conversations.insert((shard, c.id));
            }
            What::Moved { campaign, command, .. } => {
                self.gave(command.0);
                self.campaigns.insert((shard, *campaign));
            }
            What::PartStarted(start) => {
                let row = PartRow::begin(entry.tenant, (**start).clone());
                let offsets = row.chunk_numbers().zip(&start.chunks);
                let indexes = offsets.flat_map(|(n, line)| (0..line.count).map(move |o| n * 512 + o));
                let indexes: Vec<u32> = indexes.collect();
                for index in &indexes {
                    self.gave(row.message(*index).expect("a recipient has an id").0);
                    self.valid.insert((start.campaign, *index), start.valid_until);
                }
                let before = self.parts.insert((shard, start.campaign, start.part), indexes);
                assert!(before.is_none(), "a part begins twice");
            }
            What::Consent { address, wish, .. } => {
                let shards = self.wishes.entry((entry.tenant, address.clone())).or_default();
                shards.insert(shard, (*wish, entry.at));
            }
            What::PartResults { campaign, results } => {
                for (index, outcome) in results {
                    if let Outcome::Retry { due, .. } = outcome {
                        self.due.insert((*campaign, *index), *due);
                    }
                }
            }
            _ => {}
        }
    }

    /// The session of a message.
    pub fn session_of(&self, id: MessageId) -> SessionId {
        self.messages[&id].1
    }

    /// Every message in the order of ids.
    pub fn messages(&self) -> Vec<MessageId> {
        self.messages.keys().copied().collect()
    }

    /// A message that goes on the wire: claimed just now, due, valid and not ended.
    pub fn may_leave(&self, row: &MessageRow, now: Timestamp) {
        assert_eq!((row.stage, row.status), (Stage::Claimed, Status::Queued), "{:?} leaves", row.id);
        assert!(row.due <= now, "{:?} leaves {} ms before it is due", row.id, row.due.since_ms(now));
        assert!(row.valid_until >= now, "{:?} leaves after its validity", row.id);
    }

    /// The same for a recipient.
    pub fn recipient_may_leave(&self, key: (CampaignId, u32), now: Timestamp) {
        assert!(self.due.get(&key).is_none_or(|due| *due <= now), "{key:?} leaves before it is due");
        assert!(self.valid.get(&key).is_none_or(|until| *until >= now), "{key:?} leaves after its validity");
        let ended = self.marks.get(&key).is_some_and(|s| *s != Status::Queued);
        assert!(!ended, "{key:?} leaves though it has ended");
    }

    /// Nobody gets a message who opted out in this very shard and has not come back since. What was heard before
    /// `since` is left to the freezing, which leaves such people out.
    pub fn wants(&self, shard: ShardId, (tenant, address): (TenantId, &Address), since: Timestamp) {
        let Some(shards) = self.wishes.get(&(tenant, address.clone())) else { return };
        let Some((Wish::OptOut, out)) = shards.get(&shard) else { return };
        let back = shards.values().any(|(wish, at)| *wish == Wish::OptIn && at > out);
        assert!(back || *out < since, "{tenant:?} writes to somebody who opted out");
    }

    /// A shard's rows: live where known, else as the views hold them.
    pub fn picture(&self, shard: ShardId, overlay: &Overlay, views: &Views) -> Picture {
        let here = self.messages.iter().filter(|(_, (of, _))| *of == shard);
        let message = |id: &MessageId| {
            let row = overlay.message(*id).or_else(|| views.messages.get(id).cloned());
            row.unwrap_or_else(|| panic!("{id:?} is lost"))
        };
        let mut marks = BTreeMap::new();
        for ((_, campaign, _), indexes) in self.parts.iter().filter(|(k, _)| k.0 == shard) {
            for index in indexes {
                let (chunk, offset) = chunk_of(*index);
                let stored = || views.marks.get(&(*campaign, chunk)).and_then(|r| r.get(offset));
                let mark = overlay.mark(*campaign, *index).or_else(stored);
                marks.insert((*campaign, *index), mark.expect("a mark is lost"));
            }
        }
        let talks = self.conversations.iter().filter(|(of, _)| *of == shard);
        let campaigns = self.campaigns.iter().filter(|(of, _)| *of == shard);
        let parts = self.parts.keys().filter(|k| k.0 == shard);
        Picture {
            messages: here.map(|(id, _)| message(id)).collect(),
            conversations: talks
                .map(|(_, id)| {
                    let row = overlay.conversation(*id).or_else(|| views.conversations.get(id).cloned());
                    row.expect("a conversation is lost")
                })
                .collect(),
            campaigns: campaigns
                .map(|key| {
                    let row = overlay.campaign(key.1).or_else(|| views.campaigns.get(key).cloned());
                    row.expect("a campaign is lost")
                })
                .collect(),
            parts: parts
                .map(|key| {
                    let row = overlay.part(key.1, key.2).or_else(|| views.parts.get(key).cloned());
                    row.expect("a part is lost")
                })
                .collect(),
            marks,
        }
    }

    /// Nobody ends by Kabar's own conclusion while its call is under way.
    pub fn is_honest(&self, picture: &Picture, flying: &[Reference]) {
        for reference in flying {
            let (waits, status, cause) = match reference {
                Reference::Message(id) => {
                    let Some(row) = picture.messages.iter().find(|m| m.id == *id) else { continue };
                    (row.stage == Stage::Waiting, row.status, row.cause)
                }
                Reference::Campaign(campaign, index) => {
                    let Some(mark) = picture.marks.get(&(*campaign, *index)) else { continue };
                    (mark.waits(), mark.state().status(), mark.cause())
                }
            };
            let concluded = matches!(status, Status::Expired | Status::Unknown);
            let ours = cause.filter(|c| c.0 < 1_000 && status == Status::Failed);
            assert!(
                !waits && !concluded && ours.is_none(),
                "{reference:?} is on the wire: {status:?} {cause:?}"
            );
        }
    }

    /// No status goes back.
    pub fn only_forward(&mut self, picture: &Picture) {
        for row in &picture.messages {
            let was = self.statuses.insert(row.id, row.status).unwrap_or(row.status);
            assert!(was == row.status || was.may_become(row.status), "{was:?} became {:?}", row.status);
        }
        for (key, mark) in &picture.marks {
            let now = mark.state().status();
            let was = self.marks.insert(*key, now).unwrap_or(now);
            assert!(was == now || was.may_become(now), "{was:?} became {now:?}");
        }
    }

    /// After a whole flush the outbox view has one line for every open message and no other.
    pub fn outbox_is_the_open_messages(&self, shard: ShardId, views: &Views) {
        let rows = views.messages.values().filter(|m| m.id.shard() == shard && m.is_open());
        let open: BTreeSet<OutboxKey> = rows.map(|m| OutboxKey::of(m)).collect();
        let filed: BTreeSet<OutboxKey> =
            views.outbox.keys().filter(|(of, _)| *of == shard).map(|(_, key)| *key).collect();
        assert_eq!(filed, open, "the outbox view is not what is open");
    }
}

impl Picture {
    /// The rows of one tenant.
    pub fn of(mut self, tenant: TenantId) -> Self {
        let campaigns: Vec<CampaignId> =
            self.parts.iter().filter(|p| p.tenant == tenant).map(|p| p.start.campaign).collect();
        self.messages.retain(|r| r.tenant == tenant);
        self.conversations.retain(|r| r.tenant == tenant);
        self.campaigns.retain(|r| r.tenant == tenant);
        self.parts.retain(|r| r.tenant == tenant);
        self.marks.retain(|key, _| campaigns.contains(&key.0));
        self
    }

    /// The same rows, one kind after the other so that a difference is short to read.
    pub fn assert_same(&self, live: &Self) {
        for (again, live) in self.messages.iter().zip(&live.messages) {
            assert_eq!(again, live, "replayed (left) and live (right) differ");
        }
        assert_eq!(self.conversations, live.conversations, "replayed (left) and live (right) differ");
        assert_eq!(self.campaigns, live.campaigns, "replayed (left) and live (right) differ");
        assert_eq!(self.parts, live.parts, "replayed (left) and live (right) differ");
        assert_eq!(self.marks, live.marks, "replayed (left) and live (right) differ");
    }

    /// What is derived agrees with the rows: outboxes, chains, totals.
    pub fn assert_sound(&self, overlay: &Overlay, desks: &[Desk], name: &str) {
        for desk in desks.iter().filter(|d| d.shard == overlay.shard()) {
            let open = || self.messages.iter().filter(|m| m.session == desk.session && m.is_open());
            let outbox = overlay.outbox(desk.session);
            assert_eq!(outbox.map_or(0, |o| o.len()), open().count(), "{name}: open messages in the outbox");
            let claimed = outbox.map(|o| o.claimed(usize::MAX)).unwrap_or_default();
            let rows = open().filter(|m| m.stage == Stage::Claimed).map(|m| m.id);
            assert_eq!(claimed, rows.collect::<Vec<_>>(), "{name}: messages on the wire");
        }
        for talk in &self.conversations {
            let mut chain = Vec::new();
            let mut next = talk.last;
            while let Some(id) = next {
                chain.push(id);
                let row = self.messages.iter().find(|m| m.id == id).expect("the chain leads to messages");
                assert_eq!(row.conversation, talk.id);
                next = row.prev;
            }
            let here = self.messages.iter().filter(|m| m.conversation == talk.id).count();
            assert_eq!((chain.len(), talk.count), (here, here as u64), "{name}: the chain of a conversation");
        }
        for part in &self.parts {
            let (campaign, number) = (part.start.campaign, part.start.part);
            let marks = self.marks.iter().filter(|(k, _)| (k.0, k.1 / 10_240) == (campaign, number));
            let mut totals = Totals::default();
            marks.for_each(|(_, mark)| totals.count(*mark));
            let sum = totals.waiting + totals.on_wire + totals.parked;
            let ended = totals.sent + totals.failed + totals.expired + totals.unknown;
            assert_eq!(totals.recipients, sum + ended, "{name}: totals add up");
            assert_eq!(totals.recipients, u64::from(part.recipients()), "{name}: nobody is lost");
            assert_eq!(
                totals.failed,
                totals.causes.values().sum::<u64>(),
                "{name}: every failure has a cause"
            );
            if let Some(counted) = overlay.totals(campaign, number) {
                assert_eq!(counted, totals, "{name}: a part counts its marks");
            }
            let due = overlay.part_due(campaign, number, Timestamp(i64::MAX), 0);
            assert_eq!(due.finished, totals.is_finished(), "{name}: what waits in a part");
            assert!(!part.finished || totals.is_finished(), "{name}: a finished part has something to do");
        }
    }
}
