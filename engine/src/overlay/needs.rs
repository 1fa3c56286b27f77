//! What must be known before an input can be decided or an entry folded. Asked again after every load, until
//! nothing is missing: one answer can lead to the next question. Nothing is changed here but the memory of
//! what is wanted.

use super::decide::{Input, says_stop};
use super::{IdempotencyRow, Key, Overlay};
use crate::address::Address;
use crate::cause::Cause;
use crate::entry::{Entry, Range, What};
use crate::hash::HashSet;
use crate::id::{CampaignId, ConversationId, MessageId, SessionId, TenantId};
use crate::outgoing::SendError;
use crate::part::{PartPhase, PartRow, chunk_of, part_of};
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

struct Missing<'a> {
    overlay: &'a mut Overlay,
    keys: Vec<Key>,
}

impl Overlay {
    /// What [`Overlay::decide`] lacks for this input; empty when it can decide.
    pub fn needs(&mut self, input: &Input, now: Timestamp) -> Vec<Key> {
        let mut missing = Missing { overlay: self, keys: Vec::new() };
        missing.input(input, now);
        missing.done()
    }

    /// What [`Overlay::fold`] lacks for this entry of the tail; empty when it can fold.
    pub fn needs_of(&mut self, entry: &Entry) -> Vec<Key> {
        let mut missing = Missing { overlay: self, keys: Vec::new() };
        missing.entry(entry);
        missing.done()
    }
}

impl Missing<'_> {
    /// Each key once, in the order they were met.
    fn done(self) -> Vec<Key> {
        if self.keys.len() < 2 {
            return self.keys;
        }
        let mut met = HashSet::default();
        self.keys.into_iter().filter(|key| met.insert(key.clone())).collect()
    }

    fn message(&mut self, id: MessageId) {
        if !self.overlay.messages.want(&id) {
            self.keys.push(Key::Message(id));
        }
    }

    fn conversation(&mut self, id: ConversationId) {
        if !self.overlay.conversations.want(&id) {
            self.keys.push(Key::Conversation(id));
        }
    }

    /// The conversation of an address, and the conversation itself once it is known which.
    fn address(&mut self, session: SessionId, address: &Address) {
        let key = (session, address.clone());
        if !self.overlay.addresses.want(&key) {
            self.keys.push(Key::Address(session, address.clone()));
        } else if let Some(row) = self.overlay.addresses.shared(&key) {
            self.conversation(row.conversation);
        }
    }

    fn consent(&mut self, tenant: TenantId, address: &Address, now: Timestamp) {
        let key = (tenant, address.clone());
        if !self.overlay.consent_known(&key, now) {
            // A row of our own that waits for the projector is never overwritten by the answer.
            self.overlay.others.remove(&key);
            self.keys.push(Key::Consent(tenant, address.clone()));
        }
    }

    fn campaign(&mut self, id: CampaignId) {
        if !self.overlay.campaigns.want(&id) {
            self.keys.push(Key::Campaign(id));
        }
    }

    fn part(&mut self, campaign: CampaignId, part: u32) -> Option<Arc<PartRow>> {
        if !self.overlay.parts.want(&(campaign, part)) {
            self.keys.push(Key::Part(campaign, part));
            return None;
        }
        let row = self.overlay.parts.shared(&(campaign, part))?;
        for chunk in row.chunk_numbers() {
            self.marks(campaign, chunk);
        }
        Some(row)
    }

    fn marks(&mut self, campaign: CampaignId, chunk: u32) {
        if !self.overlay.marks.want(&(campaign, chunk)) {
            self.keys.push(Key::Marks(campaign, chunk));
        }
    }

    /// A mark and its part's row (the launch is there), without the part's other marks.
    fn mark(&mut self, campaign: CampaignId, index: u32) {
        let part = part_of(index);
        if !self.overlay.parts.want(&(campaign, part)) {
            self.keys.push(Key::Part(campaign, part));
            return;
        }
        self.marks(campaign, chunk_of(index).0);
    }

    fn ranges(&mut self, campaign: CampaignId, ranges: &[Range]) {
        let chunks: BTreeSet<u32> = Range::indexes(ranges).map(|i| chunk_of(i).0).collect();
        for chunk in chunks {
            self.mark(campaign, chunk * crate::mark::CHUNK);
        }
    }

    /// The chunk a recipient stands in, where a cause says that the person stopped marketing.
    fn stopped(&mut self, campaign: CampaignId, index: u32, cause: Option<Cause>) {
        let part = self.overlay.parts.shared(&(campaign, part_of(index)));
        if let Some(part) = part.filter(|p| cause.is_some_and(says_stop) && p.message(index).is_some()) {
            self.chunk(&part, chunk_of(index).0);
        }
    }

    /// A message that joins a conversation. Where the views' conversation is newer than what is folded (a torn
    /// flush), the message's own row is there too and knows the one before it.
    fn joins(&mut self, conversation: ConversationId, message: MessageId) {
        self.conversation(conversation);
        let position = self.overlay.position;
        if self.overlay.conversations.get(&conversation).is_some_and(|c| c.upto > position) {
            self.message(message);
        }
    }

    fn chunk(&mut self, part: &PartRow, chunk: u32) {
        let key = super::decide::chunk_key(part, chunk);
        if !self.overlay.chunks.want(&key) {
            self.keys.push(Key::Chunk(key));
        }
    }

    /// Whether an answer from `address` touches a campaign: the parts, then the chunk that could hold it.
    fn campaigns_of(&mut self, (tenant, session): (TenantId, SessionId), address: &Address) {
        if !self.overlay.sessions_known.contains(&session) {
            self.keys.push(Key::SessionParts(session));
            return;
        }
        let parts = self.overlay.session_parts.get(&session);
        for key in parts.map(|p| p.holding(tenant, address)).unwrap_or_default() {
            if !self.overlay.parts.want(&key) {
                self.keys.push(Key::Part(key.0, key.1));
                continue;
            }
            let Some(part) = self.overlay.parts.shared(&key) else { continue };
            if let Some(chunk) = part.chunk_of(address) {
                self.chunk(&part, chunk);
                self.marks(key.0, chunk);
            }
        }
    }

    /// The row of an idempotency key, once it is known that there is one.
    fn used(&mut self, place: (SessionId, u128)) -> Option<Arc<IdempotencyRow>> {
        if !self.overlay.idempotency.want(&place) {
            self.keys.push(Key::Idempotency(place.0, place.1));
        }
        self.overlay.idempotency.shared(&place)
    }

    fn input(&mut self, input: &Input, now: Timestamp) {
        if let Some(once) = self.overlay.once(input) {
            _ = self.used(once.place());
        }
        match input {
            Input::Send(draft) => {
                self.address(draft.session, &draft.to);
                self.consent(draft.tenant, &draft.to, now);
                if let Some(idempotency) = draft.idempotency
                    && let Some(row) = self.used((draft.session, idempotency.key))
                    && row.message.0 != 0
                {
                    self.message(row.message);
                }
            }
            Input::Claim { tenant, session, max, .. } => self.claim(*tenant, *session, (*max).min(256), now),
            Input::Release { messages, .. } => messages.iter().for_each(|id| self.message(*id)),
            Input::Adopt { session, .. } => {
                let claimed = self.overlay.outbox.get(session).map(|o| o.claimed(256)).unwrap_or_default();
                claimed.into_iter().for_each(|id| self.message(id));
            }
            Input::Answers { results, .. } => results.iter().for_each(|(id, _)| self.message(*id)),
            Input::Due { session, proof_ms, .. } => {
                let due = self.overlay.outbox.get(session).map(|o| {
                    let mut list = o.overdue(now, 256);
                    list.extend(o.unproven(now.plus_ms(-proof_ms), 256));
                    list
                });
                due.unwrap_or_default().into_iter().for_each(|id| self.message(id));
            }
            Input::Clear { session, .. } => {
                let waiting = self.overlay.outbox.get(session).map(|o| o.waiting(256)).unwrap_or_default();
                waiting.into_iter().for_each(|id| self.message(id));
            }
            Input::CancelMessage { message, .. } => self.message(*message),
            Input::Statuses { reports, .. } => {
                for report in reports {
                    match report.of {
                        crate::outgoing::Reference::Message(id) => self.message(id),
                        crate::outgoing::Reference::Campaign(campaign, index) => {
                            self.mark(campaign, index);
                            self.stopped(campaign, index, report.cause);
                        }
                    }
                }
            }
            Input::Receive { tenant, session, messages } => {
                messages.iter().for_each(|received| self.received((*tenant, *session), received, now));
            }
            Input::Media { session, provider_id, .. } => self.seen(*session, provider_id),
            Input::Consent { .. } | Input::DisableWebhook { .. } => {}
            Input::Notice { notice, .. } => self.told((notice.session.unwrap_or_default(), notice.hash())),
            Input::Launch { campaign, .. }
            | Input::Freeze { frozen: crate::entry::Frozen { campaign, .. }, .. }
            | Input::Move { campaign, .. }
            | Input::Obey { campaign, .. }
            | Input::Finish { campaign, .. } => self.campaign(*campaign),
            Input::Order(order) => _ = self.part(order.campaign, order.part),
            Input::PartAdopt { campaign, part, .. }
            | Input::PartDue { campaign, part, .. }
            | Input::PartRelease { campaign, part, .. } => _ = self.part(*campaign, *part),
            Input::PartAnswers { campaign, part, results, .. } => {
                _ = self.part(*campaign, *part);
                for (index, result) in results {
                    if let Err(SendError::Rejected(reason)) = result {
                        self.stopped(*campaign, *index, Some(reason.cause));
                    }
                }
            }
            Input::PartClaim(claim) => self.part_claim(claim, now),
        }
    }

    fn claim(&mut self, tenant: TenantId, session: SessionId, max: usize, now: Timestamp) {
        let Some(outbox) = self.overlay.outbox.get(&session).filter(|o| o.tenant() == Some(tenant)) else {
            return;
        };
        // After a start only the minute is known in which a line is due; the row that is read for the claim corrects
        // its line, and the next round sees who is really due.
        for id in outbox.next(now, max) {
            self.message(id);
            if let Some(row) = self.overlay.messages.shared(&id) {
                self.consent(row.tenant, &row.address, now);
                self.conversation(row.conversation);
            }
        }
    }

    /// The message a provider's id became, if it did.
    fn seen(&mut self, session: SessionId, provider_id: &str) {
        let key = (session, super::decide::seen_hash(provider_id));
        if !self.overlay.seen.want(&key) {
            self.keys.push(Key::Seen(key.0, key.1));
        } else if let Some(row) = self.overlay.seen.shared(&key) {
            self.message(row.message);
        }
    }

    fn received(&mut self, whose: (TenantId, SessionId), received: &super::decide::Received, now: Timestamp) {
        let session = whose.1;
        for address in received.addresses() {
            self.address(session, address);
        }
        if received.content.kind() == "system" {
            self.consent(whose.0, &received.from, now);
        }
        self.seen(session, &received.provider_id);
        for address in received.addresses() {
            self.campaigns_of(whose, address);
        }
    }

    /// Whether a notice came before.
    fn told(&mut self, key: (SessionId, u64)) {
        if !self.overlay.seen.want(&key) {
            self.keys.push(Key::Seen(key.0, key.1));
        }
    }

    fn part_claim(&mut self, claim: &super::decide::PartClaim, now: Timestamp) {
        let Some(part) = self.part(claim.campaign, claim.part) else { return };
        if part.tenant != claim.tenant || part.phase != PartPhase::Running || part.start.valid_until < now {
            return;
        }
        let Some(index) = self.overlay.part_index.get(&(claim.campaign, claim.part)) else { return };
        let next = index.next(now, claim.max.min(256));
        let chunks: BTreeSet<u32> = next.iter().map(|i| chunk_of(*i).0).collect();
        for chunk in chunks {
            self.chunk(&part, chunk);
        }
        // After a start nobody has told yet who opted out since the launch: then it is asked for each.
        let listened = self.overlay.has_listened(part.tenant, part.start.launched);
        if listened && !claim.free_form {
            return;
        }
        for address in
            next.into_iter().filter_map(|index| self.overlay.recipient(&part, index)).collect::<Vec<_>>()
        {
            if !listened {
                self.consent(part.tenant, &address, now);
            }
            if claim.free_form {
                self.address(part.start.session, &address);
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        match &entry.what {
            What::Opened { .. }
            | What::Conversation(_)
            | What::PartStarted(_)
            | What::MediaStored { .. }
            | What::MediaFailed { .. }
            | What::Notice(_)
            | What::Quoted(_)
            | What::WebhookDisabled { .. } => {}
            What::Alias { conversation, .. } => self.conversation(*conversation),
            What::Intent(intent) => self.joins(intent.conversation, intent.id),
            What::Inbound(inbound) => self.joins(inbound.conversation, inbound.id),
            What::Claim { messages, .. }
            | What::Released { messages, .. }
            | What::Parked { messages, .. }
            | What::Resolved { messages, .. }
            | What::Ended { messages, .. } => messages.iter().for_each(|id| self.message(*id)),
            What::Results(results) => results.iter().for_each(|(id, _)| self.message(*id)),
            What::Statuses(reports) => reports.iter().for_each(|r| self.message(r.of)),
            What::Consent { address, .. } => {
                let key = (entry.tenant, address.clone());
                if !self.overlay.consents.want(&key) {
                    self.keys.push(Key::Consent(entry.tenant, address.clone()));
                }
            }
            What::Frozen(frozen) => self.campaign(frozen.campaign),
            What::Moved { campaign, .. } | What::Obeyed { campaign, .. } | What::Finished { campaign } => {
                self.campaign(*campaign);
            }
            What::PartMoved { campaign, part, .. } | What::PartFinished { campaign, part } => {
                _ = self.part(*campaign, *part);
            }
            What::PartClaim { campaign, ranges, .. }
            | What::PartReleased { campaign, ranges }
            | What::PartParked { campaign, ranges }
            | What::PartDeferred { campaign, ranges, .. }
            | What::PartResolved { campaign, ranges, .. }
            | What::PartEnded { campaign, ranges, .. } => self.ranges(*campaign, ranges),
            What::PartResults { campaign, results } => {
                results.iter().for_each(|(index, _)| self.mark(*campaign, *index));
            }
            What::PartStatuses { campaign, statuses } => {
                statuses.iter().for_each(|s| self.mark(*campaign, s.of));
            }
            What::Touched { campaign, index, conversation, message, .. } => {
                self.mark(*campaign, *index);
                self.joins(*conversation, *message);
            }
        }
    }
}
