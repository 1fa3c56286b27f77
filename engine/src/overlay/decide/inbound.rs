//! Decisions about what the provider tells: statuses, received messages. Repeats are recognised and journaled
//! no second time.

use super::{Answer, Effect, Effects, Received, Refusal, chunk_key, refuse, says_stop, seen_hash};
use crate::address::Address;
use crate::cause::Cause;
use crate::conversation::speaks;
use crate::entry::{ConsentSource, ConversationOpened, Inbound, StatusReport, What};
use crate::hash::{HashMap, HashSet};
use crate::id::{CampaignId, ConversationId, MediaId, MessageId, Sequence, SessionId, TenantId};
use crate::mark::{Mark, MarkState, step};
use crate::optout::{self, Wish};
use crate::outgoing::Reference;
use crate::overlay::Overlay;
use crate::part::{chunk_of, part_of};
use crate::status::Status;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Overlay {
    pub(super) fn statuses(
        &self,
        tenant: TenantId,
        session: SessionId,
        reports: &[StatusReport<Reference>],
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        let mut single: Vec<StatusReport<MessageId>> = Vec::new();
        let mut packed: BTreeMap<CampaignId, Vec<StatusReport<u32>>> = BTreeMap::new();
        let mut stopped = Vec::new();
        let mut charged: HashSet<(CampaignId, u32)> = HashSet::default();
        let mut batch = Batch::default();
        for report in reports.iter().filter(|r| r.status.is_reported()) {
            if batch.repeats(report) {
                continue;
            }
            match report.of {
                Reference::Message(id) if self.news_of_message(tenant, session, id, report) => {
                    if report.cause.is_some_and(says_stop) {
                        stopped.extend(self.messages.get(&id).map(|m| m.address.clone()));
                    }
                    let told = self.messages.get(&id).is_some_and(|row| row.times.sent.is_some());
                    let told = batch.sent(report) || told;
                    single.push(alone(of(report, id), told));
                }
                Reference::Campaign(campaign, index)
                    if self.news_of_recipient((tenant, session), campaign, index, report) =>
                {
                    if report.cause.is_some_and(says_stop)
                        && let Some(part) = self.parts.get(&(campaign, part_of(index)))
                    {
                        stopped.extend(self.recipient(part, index));
                    }
                    let mut line = of(report, index);
                    // The same may stand in a body twice: it is counted once.
                    let counted = line.counts_price() && charged.insert((campaign, index));
                    if !counted && !line.details_sent() {
                        line.pricing = None;
                    }
                    let told = self.mark(campaign, index).is_some_and(Mark::is_sent);
                    let told = batch.sent(report) || told;
                    packed.entry(campaign).or_default().push(alone(line, told));
                }
                _ => {}
            }
        }
        let new = single.len() + packed.values().map(Vec::len).sum::<usize>();
        for list in StatusReport::batches(&single) {
            effects.append(What::Statuses(list.to_vec()));
        }
        for (campaign, list) in packed {
            for statuses in StatusReport::batches(&list) {
                effects.append(What::PartStatuses { campaign, statuses: statuses.to_vec() });
            }
        }
        effects.stop(stopped);
        effects.reply(Ok(Answer::Counted { new, known: reports.len() - new }))
    }

    /// Whether the report is about a message of this session and changes it. A report of another tenant's
    /// webhook about it changes nothing, whatever its reference says.
    fn news_of_message(
        &self,
        tenant: TenantId,
        session: SessionId,
        id: MessageId,
        report: &StatusReport<Reference>,
    ) -> bool {
        self.messages.get(&id).filter(|m| m.tenant == tenant && m.session == session).is_some_and(|row| {
            let mut after = row.clone();
            let mut line = of(report, id);
            // What it will cost is no news before it is delivered: `sent` comes after the answer to the call, for every
            // message, and its price comes again with the delivery.
            if !line.counts_price() {
                line.pricing = None;
            }
            after.reported(&line);
            after != *row
        })
    }

    fn news_of_recipient(
        &self,
        (tenant, session): (TenantId, SessionId),
        campaign: CampaignId,
        index: u32,
        report: &StatusReport<Reference>,
    ) -> bool {
        let part = self.parts.get(&(campaign, part_of(index)));
        let Some(part) = part.filter(|p| p.tenant == tenant && p.start.session == session) else {
            return false;
        };
        self.mark(campaign, index).is_some_and(|mark| {
            let mut after = mark;
            after.reported(step(part.start.launched, report.at), &of(report, index));
            after != mark
        })
    }

    pub(super) fn receive(
        &self,
        tenant: TenantId,
        session: SessionId,
        messages: &[Received],
        now: Timestamp,
    ) -> Vec<Effect> {
        let abroad = |m: &Received| m.addresses().any(|a| self.leads_abroad(tenant, session, a));
        if self.is_foreign(tenant, session) || messages.iter().any(abroad) {
            return refuse(Refusal::NotFound);
        }
        let mut desk = Desk {
            overlay: self,
            effects: Effects::new(tenant, now),
            sequence: self.sequence,
            session,
            fresh: HashMap::default(),
            seen: HashSet::default(),
            touched: HashSet::default(),
        };
        let new = messages.iter().filter(|m| desk.take(m)).count();
        desk.effects.reply(Ok(Answer::Counted { new, known: messages.len() - new }))
    }

    /// Tells of what a person sent, once it is known which message it came with.
    pub(super) fn fetched(
        &self,
        (tenant, session): (TenantId, SessionId),
        provider_id: &Arc<str>,
        fetched: Result<MediaId, Cause>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let seen = self.seen.get(&(session, seen_hash(provider_id)));
        let row = seen.and_then(|seen| self.messages.get(&seen.message));
        let row = row.filter(|row| row.tenant == tenant && row.provider_id.as_ref() == Some(provider_id));
        let Some(message) = row.map(|row| row.id) else { return refuse(Refusal::NotFound) };
        let mut effects = Effects::new(tenant, now);
        effects.append(match fetched {
            Ok(media) => What::MediaStored { message, media },
            Err(cause) => What::MediaFailed { message, cause },
        });
        effects.done()
    }

    /// The newest campaign message this person got from the session and has not answered yet.
    fn answered(
        &self,
        (tenant, session): (TenantId, SessionId),
        from: &Address,
    ) -> Option<(CampaignId, u32, MessageId)> {
        self.session_parts.get(&session)?.holding(tenant, from).into_iter().find_map(|key| {
            let part = self.parts.get(&key)?;
            let number = part.chunk_of(from)?;
            let offset = self.chunks.get(&chunk_key(part, number))?.find(from)?;
            let index = number * crate::mark::CHUNK + offset;
            let mark = self.mark(key.0, index)?;
            let reached = !matches!(
                mark.state(),
                MarkState::Pending | MarkState::Retry | MarkState::Failed | MarkState::Expired
            );
            debug_assert_eq!(chunk_of(index), (number, offset));
            reached.then(|| part.message(index).map(|id| (key.0, index, id)))?
        })
    }
}

fn of<K>(report: &StatusReport<Reference>, key: K) -> StatusReport<K> {
    StatusReport {
        of: key,
        status: report.status,
        at: report.at,
        cause: report.cause.or_else(|| (report.status == Status::Failed).then_some(Cause::UNREADABLE)),
        provider_id: report.provider_id.clone(),
        pricing: report.pricing.clone(),
        rest: report.rest.clone(),
    }
}

/// What one batch has told of `sent`: what the state does not know yet.
#[derive(Default)]
struct Batch {
    sent: HashSet<Reference>,
    detailed: HashSet<Reference>,
}

impl Batch {
    /// Whether it says again what more there is to `sent`.
    fn repeats(&self, report: &StatusReport<Reference>) -> bool {
        report.details_sent() && self.detailed.contains(&report.of)
    }

    /// Notes a report that is news; whether `sent` was told in this batch before.
    fn sent(&mut self, report: &StatusReport<Reference>) -> bool {
        if report.status != Status::Sent {
            return false;
        }
        if report.details_sent() {
            self.detailed.insert(report.of);
        }
        !self.sent.insert(report.of)
    }
}

/// A `sent` that was told before, by the answer to the call, is news only for what else it says.
fn alone<K>(mut report: StatusReport<K>, told: bool) -> StatusReport<K> {
    if told && report.details_sent() {
        report.rest = report.rest.map(|rest| Arc::new(rest.alone()));
    }
    report
}

/// Works one batch of received messages off, remembering what the batch itself brought.
struct Desk<'a> {
    overlay: &'a Overlay,
    effects: Effects,
    sequence: Sequence,
    session: SessionId,
    fresh: HashMap<Address, ConversationId>,
    seen: HashSet<Arc<str>>,
    touched: HashSet<(CampaignId, u32)>,
}

impl Desk<'_> {
    /// Whether the message was new.
    fn take(&mut self, m: &Received) -> bool {
        if self.is_repeat(m) {
            return false;
        }
        let conversation = self.conversation(m);
        if speaks(&m.content) {
            self.touch(m, conversation);
        }
        let id = MessageId(self.sequence.next(self.overlay.shard, self.effects.now));
        self.effects.append(What::Inbound(Box::new(Inbound {
            id,
            session: self.session,
            conversation,
            from: m.from.clone(),
            name: m.name.clone(),
            provider_id: Arc::clone(&m.provider_id),
            sent_at: m.sent_at,
            content: Arc::clone(&m.content),
            context: m.context.clone(),
            beside: m.beside.clone(),
        })));
        self.wishes(m);
        true
    }

    /// What the person wants from now on. Who opted out under an old number has opted out under the new one.
    fn wishes(&mut self, m: &Received) {
        let edited = m.content.edited();
        let said = edited.as_ref().unwrap_or(&m.content).text().and_then(optout::read);
        let moved = m.content.kind() == "system" && self.overlay.opted_out(self.effects.tenant, &m.from);
        let (wish, source) = match said {
            Some(wish) => (wish, ConsentSource::Word),
            None if moved => (Wish::OptOut, ConsentSource::Provider),
            None => return,
        };
        for address in m.addresses() {
            self.effects.append(What::Consent { address: address.clone(), wish, source, once: None });
        }
    }

    /// A hash that was seen is proof only with the full id in the message it became.
    fn is_repeat(&mut self, m: &Received) -> bool {
        if !self.seen.insert(Arc::clone(&m.provider_id)) {
            return true;
        }
        let row = self.overlay.seen.get(&(self.session, seen_hash(&m.provider_id)));
        row.and_then(|r| self.overlay.messages.get(&r.message))
            .is_some_and(|known| known.provider_id.as_ref() == Some(&m.provider_id))
    }

    fn known(&self, address: &Address) -> Option<ConversationId> {
        let stored = self.overlay.addresses.get(&(self.session, address.clone()));
        self.fresh.get(address).copied().or_else(|| stored.map(|a| a.conversation))
    }

    /// The conversation of the sender; phone and user id meet on one.
    fn conversation(&mut self, m: &Received) -> ConversationId {
        let by_from = self.known(&m.from);
        let by_alias = m.addresses().skip(1).find_map(|a| self.known(a));
        let id = by_from.or(by_alias).unwrap_or_else(|| {
            let id = ConversationId(self.sequence.next(self.overlay.shard, self.effects.now));
            let opened = ConversationOpened { id, session: self.session, address: m.from.clone() };
            self.effects.append(What::Conversation(Box::new(opened)));
            self.fresh.insert(m.from.clone(), id);
            id
        });
        for address in m.addresses() {
            if self.known(address).is_some() {
                continue;
            }
            self.fresh.insert(address.clone(), id);
            let address = address.clone();
            self.effects.append(What::Alias { session: self.session, conversation: id, address });
        }
        id
    }

    /// The first answer to a campaign joins its message to the conversation, before the answer itself.
    fn touch(&mut self, m: &Received, conversation: ConversationId) {
        let whose = (self.effects.tenant, self.session);
        let found = m.addresses().find_map(|address| self.overlay.answered(whose, address));
        let Some((campaign, index, message)) = found else { return };
        let before = self.overlay.mark(campaign, index).is_some_and(crate::mark::Mark::replied);
        if before || !self.touched.insert((campaign, index)) {
            return;
        }
        let session = self.session;
        self.effects.append(What::Touched { campaign, index, session, conversation, message });
    }
}
