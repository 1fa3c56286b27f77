//! What an entry means. Total: never fails, never asks a clock; an impossible sequence is counted and ignored;
//! an entry a row has already seen (its `upto`) changes nothing, so a tail may be replayed over newer views.

mod part;

use super::{AddressRow, DiscoveredRow, IdempotencyRow, Overlay, SeenRow};
use crate::campaign::{CampaignRow, Verb};
use crate::cause::Cause;
use crate::consent::SuppressedRow;
use crate::conversation::{ConversationRow, speaks};
use crate::entry::{ConversationOpened, Entry, Inbound, Intent, Position, What};
use crate::id::{ConversationId, MessageId, SessionId, TenantId};
use crate::message::{MessageRow, Stage};
use crate::notice::Notice;
use crate::once::Once;
use crate::plant::Plant;
use crate::status::Status;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// What every change of an entry carries.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    /// The entry's position.
    at: Position,
    /// Whose entry: rows of others are never changed by it.
    tenant: TenantId,
    /// When it happened.
    now: Timestamp,
}

impl Overlay {
    /// Folds one entry at its position. Whatever [`Overlay::needs_of`] named must have been told before.
    pub fn fold(&mut self, at: Position, entry: &Entry) {
        self.position = self.position.max(at);
        let now = entry.at;
        let stamp = Stamp { at, tenant: entry.tenant, now };
        match &entry.what {
            // Where a subscription or a file stands is in its record; this only tells of it, as words do.
            What::Opened { .. }
            | What::Quoted(_)
            | What::MediaStored { .. }
            | What::MediaFailed { .. }
            | What::WebhookDisabled { .. } => {}
            What::Notice(notice) => self.noticed(stamp, notice),
            What::Conversation(opened) => self.opened(stamp, opened),
            What::Alias { session, conversation, address } => {
                self.alias(stamp, (*session, *conversation), address);
            }
            What::Intent(intent) => self.intent(stamp, intent),
            What::Claim { messages, .. } => self.each(stamp, messages, |m| m.claimed(now)),
            What::Released { messages, .. } => self.each(stamp, messages, MessageRow::released),
            What::Parked { messages, .. } => self.each(stamp, messages, |m| m.parked(now)),
            What::Resolved { again, messages } => self.each(stamp, messages, |m| m.resolved(now, *again)),
            What::Ended { cause, messages, once } => {
                self.asked_under(stamp, once.as_deref());
                self.each(stamp, messages, |m| end(m, now, *cause));
            }
            What::Results(results) => {
                for (id, outcomes) in by_message(results.iter().map(|(id, outcome)| (*id, outcome))) {
                    self.each(stamp, &[id], |m| outcomes.iter().for_each(|o| m.answered(now, o)));
                }
            }
            What::Statuses(reports) => {
                for (id, reports) in by_message(reports.iter().map(|r| (r.of, r))) {
                    let back = self.plant == Plant::StatusBackwards;
                    self.each(stamp, &[id], |m| {
                        for report in &reports {
                            m.reported(report);
                            m.status = if back { report.status } else { m.status };
                        }
                    });
                }
            }
            What::Inbound(inbound) => self.inbound(stamp, inbound),
            What::Consent { address, wish, source, once } => {
                self.asked_under(stamp, once.as_deref());
                let key = (entry.tenant, address.clone());
                if self.consents.get(&key).is_none_or(|r| r.upto < at) {
                    let (tenant, shard) = (entry.tenant, self.shard);
                    let (address, wish, source) = (address.clone(), *wish, *source);
                    self.consents
                        .put(key, SuppressedRow { tenant, address, shard, wish, at: now, source, upto: at });
                }
            }
            What::Frozen(_) | What::Moved { .. } | What::Obeyed { .. } | What::Finished { .. } => {
                self.campaign_entry(stamp, &entry.what);
            }
            _ => self.part_entry(stamp, &entry.what),
        }
    }

    /// Changes message rows and files them anew.
    fn each(&mut self, stamp: Stamp, messages: &[MessageId], mut change: impl FnMut(&mut MessageRow)) {
        for id in messages {
            match self.messages.get(id) {
                // Newer than this entry.
                Some(m) if m.tenant == stamp.tenant && m.upto >= stamp.at => continue,
                Some(m) if m.tenant == stamp.tenant => {}
                // Unknown here: foreign or erased.
                _ => {
                    self.impossible += 1;
                    continue;
                }
            }
            self.messages.edit(id, |m| {
                change(m);
                m.upto = stamp.at;
            });
            self.file(*id);
        }
    }

    fn opened(&mut self, stamp: Stamp, opened: &ConversationOpened) {
        self.sequence.seen(opened.id.0);
        if self.conversations.get(&opened.id).is_none() {
            let mut row = ConversationRow::begin(stamp.tenant, opened);
            row.upto = stamp.at;
            self.conversations.put(opened.id, row);
        }
        self.lead(stamp, (opened.session, opened.id), &opened.address);
    }

    fn lead(
        &mut self,
        stamp: Stamp,
        (session, conversation): (SessionId, ConversationId),
        address: &crate::address::Address,
    ) {
        let key = (session, address.clone());
        if self.addresses.get(&key).is_none_or(|r| r.upto < stamp.at) {
            let (tenant, address) = (stamp.tenant, address.clone());
            self.addresses.put(key, AddressRow { tenant, session, address, conversation, upto: stamp.at });
        }
    }

    fn alias(&mut self, stamp: Stamp, whose: (SessionId, ConversationId), address: &crate::address::Address) {
        self.lead(stamp, whose, address);
        self.conversations.edit(&whose.1, |c| {
            if c.upto < stamp.at && !c.aliases.contains(address) && c.address != *address {
                c.aliases.push(address.clone());
                c.upto = stamp.at;
            }
        });
    }

    /// Joins a message to its conversation's chain and stores it. The two rows are judged apart: the views
    /// write messages before conversations, so a torn flush never has the head without its message. Where the
    /// conversation is newer than the entry, the message's row in the views already knows the one before it.
    fn join(&mut self, at: Position, mut row: MessageRow, heard: Option<&Inbound>) {
        let (id, conversation) = (row.id, row.conversation);
        self.sequence.seen(id.0);
        let newer = self.messages.get(&id).is_some_and(|m| m.upto >= at);
        let behind = self.conversations.get(&conversation).map(|c| c.upto < at);
        let place = match behind {
            Some(true) => self.conversations.edit(&conversation, |c| {
                c.upto = at;
                if let Some(inbound) = heard.filter(|inbound| speaks(&inbound.content)) {
                    c.heard(inbound.sent_at, inbound.name.as_deref());
                }
                if let Some((inbound, beside)) = heard.and_then(|i| Some((i, i.beside.as_deref()?))) {
                    c.learned(beside, inbound.sent_at);
                }
                c.joined(id)
            }),
            Some(false) => {
                self.impossible += u64::from(!newer);
                None
            }
            None => {
                self.impossible += 1;
                None
            }
        };
        if !newer {
            (row.prev, row.number) = place.unwrap_or_default();
            row.upto = at;
            self.messages.put(id, row);
        }
        self.file(id);
    }

    fn intent(&mut self, stamp: Stamp, intent: &Intent) {
        if let Some(idempotency) = intent.idempotency {
            let row = IdempotencyRow {
                session: intent.session,
                key: idempotency.key,
                body: idempotency.body,
                message: intent.id,
                at: stamp.now,
                upto: stamp.at,
            };
            self.idempotency.put((intent.session, idempotency.key), row);
        }
        self.join(stamp.at, MessageRow::accepted(stamp.tenant, stamp.now, intent), None);
    }

    /// Remembers the key an action was asked under.
    fn asked_under(&mut self, stamp: Stamp, once: Option<&Once>) {
        let Some(once) = once else { return };
        let ((session, key), body) = (once.place(), once.body);
        let (message, at, upto) = (MessageId(0), stamp.now, stamp.at);
        self.idempotency.put((session, key), IdempotencyRow { session, key, body, message, at, upto });
    }

    fn inbound(&mut self, stamp: Stamp, inbound: &Inbound) {
        let hash = super::decide::seen_hash(&inbound.provider_id);
        let (session, message, at) = (inbound.session, inbound.id, stamp.now);
        self.seen.put((session, hash), SeenRow { session, hash, message, at, upto: stamp.at });
        let key = (stamp.tenant, inbound.from.clone());
        if self.discovered.get(&key).is_none() {
            let (tenant, address, name) = (stamp.tenant, inbound.from.clone(), inbound.name.clone());
            self.discovered.put(key, DiscoveredRow { tenant, address, name, session, at, upto: stamp.at });
        }
        self.join(stamp.at, MessageRow::received(stamp.tenant, stamp.now, inbound), Some(inbound));
    }

    /// What it says is the number's health, a record; here a repeat is recognised by it, and its place found again.
    fn noticed(&mut self, stamp: Stamp, notice: &Notice) {
        let (session, hash) = (notice.session.unwrap_or_default(), notice.hash());
        let message = MessageId(stamp.at.0);
        let row = SeenRow { session, hash, message, at: stamp.now, upto: stamp.at };
        self.seen.put((session, hash), row);
    }

    fn campaign_entry(&mut self, stamp: Stamp, what: &What) {
        let campaign = match what {
            What::Frozen(frozen) => frozen.campaign,
            What::Moved { campaign, command, once, .. } => {
                self.asked_under(stamp, once.as_deref());
                self.sequence.seen(command.0);
                *campaign
            }
            What::Obeyed { campaign, .. } | What::Finished { campaign } => *campaign,
            _ => return,
        };
        match self.campaigns.get(&campaign) {
            Some(row) if row.tenant != stamp.tenant => self.impossible += 1,
            Some(row) if row.upto >= stamp.at => {}
            Some(_) => _ = self.campaigns.edit(&campaign, |row| change_campaign(row, what, stamp)),
            None => match what {
                What::Moved { verb: Verb::Launch, command, .. } => {
                    let mut row = CampaignRow::launched(stamp.tenant, campaign, stamp.now, *command);
                    row.upto = stamp.at;
                    self.campaigns.put(campaign, row);
                }
                _ => self.impossible += 1,
            },
        }
        self.note_live(campaign);
    }
}

fn change_campaign(row: &mut CampaignRow, what: &What, stamp: Stamp) {
    match what {
        What::Frozen(frozen) => row.freeze(frozen),
        What::Moved { verb, command, .. } => row.moved(*verb, *command, stamp.now),
        What::Obeyed { command, parts, .. } => row.obeyed(*command, parts),
        What::Finished { .. } => row.finish(stamp.now),
        _ => {}
    }
    row.upto = stamp.at;
}

/// One entry may speak of a message more than once: its row sees all of it or, when it is newer, nothing.
fn by_message<T>(list: impl Iterator<Item = (MessageId, T)>) -> BTreeMap<MessageId, Vec<T>> {
    let mut grouped: BTreeMap<MessageId, Vec<T>> = BTreeMap::new();
    for (id, one) in list {
        grouped.entry(id).or_default().push(one);
    }
    grouped
}

fn end(message: &mut MessageRow, at: Timestamp, cause: Option<Cause>) {
    if message.stage == Stage::Waiting {
        let status = if cause.is_some() { Status::Failed } else { Status::Expired };
        message.heard(status, at, cause);
    }
}
