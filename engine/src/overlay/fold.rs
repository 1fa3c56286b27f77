//! What an entry means. Total: never fails, never asks a clock; an impossible sequence is counted and ignored;
//! an entry a row has already seen (its `upto`) changes nothing, so a tail may be replayed over newer views.

use super::parts::PartIndex;
use super::{AddressRow, DiscoveredRow, IdempotencyRow, Overlay, RunRow, SeenRow};
use crate::campaign::{CampaignRow, Verb};
use crate::cause::Cause;
use crate::consent::SuppressedRow;
use crate::conversation::ConversationRow;
use crate::entry::{ConversationOpened, Entry, Inbound, Intent, Outcome, Position, Range, What};
use crate::id::{CampaignId, ConversationId, MessageId, SessionId, TenantId};
use crate::mark::{Mark, MarksRow, step};
use crate::message::{MessageRow, Stage, Times};
use crate::pacing::Lane;
use crate::part::{PartRow, PartStart, chunk_of};
use crate::status::Status;
use crate::time::{Step, Timestamp};
use std::sync::Arc;

impl Overlay {
    /// Folds one entry at its position. Whatever [`Overlay::needs_of`] named must have been told before.
    pub fn fold(&mut self, at: Position, entry: &Entry) {
        self.position = self.position.max(at);
        let now = entry.at;
        match &entry.what {
            What::Opened { .. } => {}
            What::Conversation(opened) => self.opened(at, entry.tenant, opened),
            What::Alias { session, conversation, address } => {
                self.alias(at, entry.tenant, (*session, *conversation), address);
            }
            What::Intent(intent) => self.intent(at, entry, intent),
            What::Claim { messages, .. } => self.each(at, messages, |m| m.claimed(now)),
            What::Released { messages, .. } => self.each(at, messages, MessageRow::released),
            What::Parked { messages, .. } => self.each(at, messages, |m| m.parked(now)),
            What::Resolved { again, messages } => self.each(at, messages, |m| m.resolved(now, *again)),
            What::Ended { cause, messages } => self.each(at, messages, |m| end(m, now, *cause)),
            What::Results(results) => {
                for (id, outcome) in results {
                    self.each(at, &[*id], |m| m.answered(now, outcome));
                }
            }
            What::Statuses(reports) => {
                for report in reports {
                    self.each(at, &[report.of], |m| {
                        if let Some(id) = &report.provider_id {
                            m.provider_id.get_or_insert_with(|| Arc::clone(id));
                        }
                        m.heard(report.status, report.at, report.cause);
                    });
                }
            }
            What::Inbound(inbound) => self.inbound(at, entry, inbound),
            What::Consent { address, wish, source } => {
                let key = (entry.tenant, address.clone());
                if self.consents.get(&key).is_none_or(|r| r.upto < at) {
                    let (tenant, shard) = (entry.tenant, self.shard);
                    let (address, wish, source) = (address.clone(), *wish, *source);
                    self.consents
                        .put(key, SuppressedRow { tenant, address, shard, wish, at: now, source, upto: at });
                }
            }
            What::Frozen(_) | What::Moved { .. } | What::Obeyed { .. } | What::Finished { .. } => {
                self.campaign_entry(at, entry);
            }
            _ => self.part_entry(at, entry),
        }
    }

    /// Changes message rows and files them anew.
    fn each(&mut self, at: Position, messages: &[MessageId], mut change: impl FnMut(&mut MessageRow)) {
        for id in messages {
            let done = self.messages.get(id).is_none_or(|m| m.upto >= at);
            if done {
                // Unknown here: foreign, erased, or the row is newer than this entry.
                self.impossible += u64::from(self.messages.get(id).is_none());
                continue;
            }
            self.messages.edit(id, |m| {
                change(m);
                m.upto = at;
            });
            self.file(*id);
        }
    }

    pub(super) fn file(&mut self, id: MessageId) {
        let Some(row) = self.messages.shared(&id) else { return };
        let outbox = self.outbox.entry(row.session).or_default();
        outbox.file(&row);
        if outbox.is_empty() {
            self.outbox.remove(&row.session);
        }
    }

    fn opened(&mut self, at: Position, tenant: TenantId, opened: &ConversationOpened) {
        self.sequence.seen(opened.id.0);
        if self.conversations.get(&opened.id).is_none() {
            let mut row = ConversationRow::begin(tenant, opened);
            row.upto = at;
            self.conversations.put(opened.id, row);
        }
        self.lead(at, tenant, (opened.session, opened.id), &opened.address);
    }

    fn lead(
        &mut self,
        at: Position,
        tenant: TenantId,
        (session, conversation): (SessionId, ConversationId),
        address: &crate::address::Address,
    ) {
        let key = (session, address.clone());
        if self.addresses.get(&key).is_none_or(|r| r.upto < at) {
            let address = address.clone();
            self.addresses.put(key, AddressRow { tenant, session, address, conversation, upto: at });
        }
    }

    fn alias(
        &mut self,
        at: Position,
        tenant: TenantId,
        whose: (SessionId, ConversationId),
        address: &crate::address::Address,
    ) {
        self.lead(at, tenant, whose, address);
        self.conversations.edit(&whose.1, |c| {
            if c.upto < at && !c.aliases.contains(address) && c.address != *address {
                c.aliases.push(address.clone());
                c.upto = at;
            }
        });
    }

    /// Joins a message to its conversation's chain and stores it. The two rows are judged apart: the views
    /// write messages before conversations, so a torn flush never has the head without its message.
    fn join(&mut self, at: Position, mut row: MessageRow, heard: Option<&Inbound>) {
        let (id, conversation) = (row.id, row.conversation);
        self.sequence.seen(id.0);
        let joined = self.conversations.edit(&conversation, |c| {
            if c.upto >= at {
                return None;
            }
            c.upto = at;
            if let Some(inbound) = heard {
                c.heard(inbound.sent_at, inbound.name.as_deref());
            }
            c.joined(id)
        });
        self.impossible += u64::from(joined.is_none());
        if self.messages.get(&id).is_some_and(|m| m.upto >= at) {
            return;
        }
        row.prev = joined.flatten();
        row.upto = at;
        self.messages.put(id, row);
        self.file(id);
    }

    fn intent(&mut self, at: Position, entry: &Entry, intent: &Intent) {
        if let Some(idempotency) = intent.idempotency {
            let row = IdempotencyRow {
                session: intent.session,
                key: idempotency.key,
                body: idempotency.body,
                message: intent.id,
                at: entry.at,
                upto: at,
            };
            self.idempotency.put((intent.session, idempotency.key), row);
        }
        self.join(at, MessageRow::accepted(entry.tenant, entry.at, intent), None);
    }

    fn inbound(&mut self, at: Position, entry: &Entry, inbound: &Inbound) {
        let hash = super::decide::seen_hash(&inbound.provider_id);
        let (session, message) = (inbound.session, inbound.id);
        self.seen.put((session, hash), SeenRow { session, hash, message, at: entry.at, upto: at });
        let key = (entry.tenant, inbound.from.clone());
        if self.discovered.get(&key).is_none() {
            let (tenant, address, name) = (entry.tenant, inbound.from.clone(), inbound.name.clone());
            self.discovered
                .put(key, DiscoveredRow { tenant, address, name, session, at: entry.at, upto: at });
        }
        self.join(at, MessageRow::received(entry.tenant, entry.at, inbound), Some(inbound));
    }

    fn campaign_entry(&mut self, at: Position, entry: &Entry) {
        let now = entry.at;
        if let What::Moved { campaign, verb: Verb::Launch, command } = &entry.what {
            self.sequence.seen(command.0);
            if self.campaigns.get(campaign).is_none() {
                let mut row = CampaignRow::launched(entry.tenant, *campaign, now, *command);
                row.upto = at;
                self.campaigns.put(*campaign, row);
                self.note_live(*campaign);
            }
            return;
        }
        let (campaign, change): (CampaignId, Box<dyn Fn(&mut CampaignRow) + '_>) = match &entry.what {
            What::Frozen(frozen) => (frozen.campaign, Box::new(|c| c.freeze(frozen))),
            What::Moved { campaign, verb, command } => {
                self.sequence.seen(command.0);
                (*campaign, Box::new(|c| c.moved(*verb, *command, now)))
            }
            What::Obeyed { campaign, command, parts } => (*campaign, Box::new(|c| c.obeyed(*command, parts))),
            What::Finished { campaign } => (*campaign, Box::new(|c| c.finish(now))),
            _ => return,
        };
        let known = self.campaigns.edit(&campaign, |c| {
            if c.upto < at {
                change(c);
                c.upto = at;
            }
        });
        self.impossible += u64::from(known.is_none());
        self.note_live(campaign);
    }

    fn part_entry(&mut self, at: Position, entry: &Entry) {
        let now = entry.at;
        match &entry.what {
            What::PartStarted(start) => self.part_started(at, entry.tenant, start),
            What::PartMoved { campaign, part, verb, command } => {
                self.edit_part(at, (*campaign, *part), |p| p.moved(*verb, *command));
            }
            What::PartFinished { campaign, part } => {
                self.edit_part(at, (*campaign, *part), |p| p.finished = true);
                self.part_index.remove(&(*campaign, *part));
            }
            What::PartClaim { campaign, ranges } => {
                self.mark_ranges(at, now, (*campaign, ranges), |m, _| m.claimed());
            }
            What::PartReleased { campaign, ranges } => {
                self.mark_ranges(at, now, (*campaign, ranges), Mark::released);
            }
            What::PartParked { campaign, ranges } => {
                self.mark_ranges(at, now, (*campaign, ranges), Mark::parked);
            }
            What::PartDeferred { campaign, due, ranges } => {
                self.mark_ranges(at, *due, (*campaign, ranges), |m, step| m.deferred(step));
            }
            What::PartResolved { campaign, again, ranges } => {
                self.count_again(*campaign, if *again { ranges } else { &[] });
                self.mark_ranges(at, now, (*campaign, ranges), |m, step| m.resolved(step, *again));
            }
            What::PartEnded { campaign, cause, ranges } => {
                let status = if cause.is_some() { Status::Failed } else { Status::Expired };
                // A late answer may have settled one meanwhile; `heard` never moves it back.
                self.mark_ranges(at, now, (*campaign, ranges), |m, step| m.heard(status, step, *cause));
            }
            What::PartResults { campaign, results } => {
                for (index, outcome) in results {
                    let since = if let Outcome::Retry { due, .. } = outcome { *due } else { now };
                    if since != now {
                        self.count_refused(*campaign, *index);
                    }
                    self.change_mark(at, since, (*campaign, *index), |m, step| m.answered(step, outcome));
                }
            }
            What::PartStatuses { campaign, statuses } => {
                for s in statuses {
                    self.change_mark(at, s.at, (*campaign, s.of), |m, step| m.heard(s.status, step, s.cause));
                }
            }
            What::Touched { .. } => self.touched(at, entry),
            _ => {}
        }
    }

    fn count_refused(&mut self, campaign: CampaignId, index: u32) {
        let key = self.part_key_of(campaign, index);
        if let Some(waiting) = self.part_index.get_mut(&key) {
            waiting.refused(index);
        }
    }

    fn count_again(&mut self, campaign: CampaignId, ranges: &[Range]) {
        for index in Range::indexes(ranges) {
            let key = self.part_key_of(campaign, index);
            if let Some(waiting) = self.part_index.get_mut(&key) {
                waiting.sent_again(index);
            }
        }
    }

    fn part_started(&mut self, at: Position, tenant: TenantId, start: &PartStart) {
        let key = (start.campaign, start.part);
        if self.parts.get(&key).is_some() {
            return;
        }
        let mut row = PartRow::begin(tenant, start.clone());
        row.upto = at;
        let shard = self.shard;
        for (number, line) in row.chunk_numbers().zip(&start.chunks) {
            let mut marks = MarksRow::fresh((tenant, start.campaign), shard, number, line.count);
            marks.upto = at;
            self.marks.put((start.campaign, number), marks);
            self.sequence.seen(line.base.plus(line.count.saturating_sub(1)).0);
            let (campaign, part) = key;
            let run = RunRow {
                tenant,
                base: line.base,
                count: line.count,
                campaign,
                part,
                chunk: number,
                upto: at,
            };
            self.runs.put(line.base, run);
        }
        self.parts.put(key, row);
        self.index_part(key);
        let parts = self.session_parts.entry(start.session).or_default();
        if !parts.contains(&key) {
            parts.push(key);
        }
    }

    fn edit_part(&mut self, at: Position, key: (CampaignId, u32), change: impl FnOnce(&mut PartRow)) {
        let known = self.parts.edit(&key, |p| {
            if p.upto < at {
                change(p);
                p.upto = at;
            }
        });
        self.impossible += u64::from(known.is_none());
    }

    fn mark_ranges(
        &mut self,
        at: Position,
        now: Timestamp,
        (campaign, ranges): (CampaignId, &[Range]),
        mut change: impl FnMut(&mut Mark, Step),
    ) {
        for index in Range::indexes(ranges) {
            self.change_mark(at, now, (campaign, index), &mut change);
        }
    }

    /// Changes one mark; `when` is the moment the change speaks of. A chunk's `upto` is compared with the
    /// entry before it, because one entry may change many marks of the same chunk.
    fn change_mark(
        &mut self,
        at: Position,
        when: Timestamp,
        (campaign, index): (CampaignId, u32),
        change: impl FnOnce(&mut Mark, Step),
    ) {
        let key = self.part_key_of(campaign, index);
        let launched = self.parts.get(&key).map(|p| p.start.launched);
        let (chunk, offset) = chunk_of(index);
        let (Some(launched), Some(row)) = (launched, self.marks.get(&(campaign, chunk))) else {
            self.impossible += 1;
            return;
        };
        let Some(mut mark) = row.get(offset) else {
            self.impossible += 1;
            return;
        };
        if row.upto > at {
            return;
        }
        change(&mut mark, step(launched, when));
        self.marks.edit(&(campaign, chunk), |row| {
            row.set(offset, mark);
            row.upto = at;
        });
        if let Some(waiting) = self.part_index.get_mut(&key) {
            PartIndex::file(waiting, index, mark, when);
        }
    }

    fn touched(&mut self, at: Position, entry: &Entry) {
        let What::Touched { campaign, index, session, conversation, message } = &entry.what else { return };
        self.change_mark(at, entry.at, (*campaign, *index), |m, _| m.touch());
        if self.messages.get(message).is_some() {
            return;
        }
        let key = self.part_key_of(*campaign, *index);
        let mark = self.mark(*campaign, *index).unwrap_or_default();
        let (Some(part), Some(talk)) = (self.parts.shared(&key), self.conversations.shared(conversation))
        else {
            self.impossible += 1;
            return;
        };
        let launched = part.start.launched;
        let row = MessageRow {
            id: *message,
            tenant: entry.tenant,
            session: *session,
            conversation: *conversation,
            address: talk.address.clone(),
            content: None,
            lane: Lane::Broadcast,
            status: mark.state().status(),
            stage: Stage::Done,
            attempts: 1,
            due: launched,
            valid_until: part.start.valid_until,
            times: Times {
                accepted: launched,
                sent: mark.sent().begin(launched),
                delivered: mark.delivered().begin(launched),
                read: mark.read().begin(launched),
                ..Times::default()
            },
            provider_id: None,
            cause: mark.cause(),
            context: None,
            campaign: Some((*campaign, *index)),
            prev: None,
            upto: Position::default(),
        };
        self.join(at, row, None);
    }
}

fn end(message: &mut MessageRow, at: Timestamp, cause: Option<Cause>) {
    if message.stage == Stage::Waiting {
        let status = if cause.is_some() { Status::Failed } else { Status::Expired };
        message.heard(status, at, cause);
    }
}
