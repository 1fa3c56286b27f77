//! Decisions about single messages: accept, claim, answer, expire, resolve, cancel.

use super::{Answer, Draft, Effect, Effects, OUTBOX_LIMIT, Refusal, Wake, outcome, refuse, says_stop};
use crate::address::Address;
use crate::cause::Cause;
use crate::conversation::{Barrier, may_send};
use crate::entry::{ConsentSource, ConversationOpened, Intent, Outcome, Quoted, What};
use crate::id::{ConversationId, MessageId, SessionId, TenantId};
use crate::message::{MessageRow, Stage};
use crate::once::Once;
use crate::optout::Wish;
use crate::outgoing::{Accepted, Outgoing, Reference, SendError};
use crate::overlay::Overlay;
use crate::pacing::Held;
use crate::time::Timestamp;
use std::sync::Arc;

/// Messages in one entry.
const PER_ENTRY: usize = 256;

impl Overlay {
    pub(super) fn send(&self, draft: &Draft, now: Timestamp) -> Vec<Effect> {
        let (tenant, session) = (draft.tenant, draft.session);
        if self.is_foreign(tenant, session) || self.leads_abroad(tenant, session, &draft.to) {
            return refuse(Refusal::NotFound);
        }
        if let Some(answer) = self.replay(draft, now) {
            return vec![Effect::Reply(answer)];
        }
        if self.outbox(draft.session).map_or(0, super::super::Outbox::len) >= OUTBOX_LIMIT {
            return refuse(Refusal::OutboxFull);
        }
        let known = self.addresses.get(&(draft.session, draft.to.clone())).map(|a| a.conversation);
        let talk = known.and_then(|id| self.conversations.get(&id));
        let out = self.opted_out(draft.tenant, &draft.to);
        match may_send(talk, out, &draft.content, draft.lane, now) {
            Err(Barrier::OptedOut) => return refuse(Refusal::OptedOut),
            Err(Barrier::WindowClosed) => return refuse(Refusal::WindowClosed),
            Ok(()) if draft.had_enough => return refuse(Refusal::FrequencyCap),
            Ok(()) => {}
        }
        let mut effects = Effects::new(draft.tenant, now);
        let mut sequence = self.sequence;
        let conversation = known.unwrap_or_else(|| {
            let id = ConversationId(sequence.next(self.shard, now));
            let opened = ConversationOpened { id, session: draft.session, address: draft.to.clone() };
            effects.append(What::Conversation(Box::new(opened)));
            id
        });
        let message = MessageId(sequence.next(self.shard, now));
        effects.append(What::Intent(Box::new(Intent {
            id: message,
            session: draft.session,
            conversation,
            to: draft.to.clone(),
            content: Arc::clone(&draft.content),
            lane: draft.lane,
            due: draft.due,
            valid_until: draft.valid_until,
            context: draft.context.clone(),
            idempotency: draft.idempotency,
            by: draft.by,
            tag: draft.tag.clone(),
            identity: draft.identity.clone(),
        })));
        let wake = Wake::Session(draft.tenant, draft.session);
        effects.reply_and_wake(Answer::Accepted { message, replayed: false }, wake)
    }

    /// The answer to a request that was seen before.
    fn replay(&self, draft: &Draft, now: Timestamp) -> Option<Result<Answer, Refusal>> {
        let asked = draft.idempotency?;
        let row = self.used((draft.session, asked.key), now)?;
        if self.messages.get(&row.message).is_some_and(|m| m.tenant != draft.tenant) {
            return Some(Err(Refusal::NotFound));
        }
        Some(if row.body == asked.body {
            Ok(Answer::Accepted { message: row.message, replayed: true })
        } else {
            Err(Refusal::IdempotencyMismatch)
        })
    }

    pub(super) fn claim(
        &self,
        tenant: TenantId,
        session: SessionId,
        (max, held): (usize, Option<Held>),
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        let outbox = self.outbox(session).filter(|o| o.tenant() == Some(tenant));
        let next = outbox.map(|o| o.next(now, max)).unwrap_or_default();
        let (mut wire, mut expired) = (Vec::new(), Vec::new());
        let (mut out, mut closed) = (Vec::new(), Vec::new());
        let rows = next.iter().filter_map(|id| self.messages.get(id));
        for row in rows.filter(|m| m.tenant == tenant && m.stage == Stage::Waiting && m.due <= now) {
            let Some(content) = &row.content else { continue };
            let talk = self.conversations.get(&row.conversation);
            let opted_out = self.opted_out(tenant, &row.address);
            match may_send(talk, opted_out, content, row.lane, now) {
                _ if row.valid_until < now => expired.push(row.id),
                Err(Barrier::OptedOut) => out.push(row.id),
                Err(Barrier::WindowClosed) => closed.push(row.id),
                Ok(()) => wire.push(Outgoing {
                    session,
                    reference: Reference::Message(row.id),
                    to: row.address.clone(),
                    content: Arc::clone(content),
                    context: row.context.clone(),
                    identity: row
                        .beside
                        .as_ref()
                        .and_then(|beside| beside.recipient_identity_key_hash.clone()),
                }),
            }
        }
        end(&mut effects, None, expired);
        end(&mut effects, Some(Cause::OPTED_OUT), out);
        end(&mut effects, Some(Cause::WINDOW_CLOSED), closed);
        if !wire.is_empty() {
            let messages = wire.iter().filter_map(|o| message_of(o.reference)).collect();
            effects.append(What::Claim { session, messages, held });
        }
        effects.reply(Ok(Answer::Transmit(wire)))
    }

    pub(super) fn release(
        &self,
        tenant: TenantId,
        session: SessionId,
        messages: &[MessageId],
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        let owned = |id: &&MessageId| {
            let row = self.owned_message(tenant, session, **id);
            row.is_some_and(|m| m.stage == Stage::Claimed)
        };
        let claimed: Vec<MessageId> = messages.iter().filter(owned).copied().collect();
        for messages in claimed.chunks(PER_ENTRY) {
            effects.append(What::Released { session, messages: messages.to_vec() });
        }
        effects.done()
    }

    fn owned_message(&self, tenant: TenantId, session: SessionId, id: MessageId) -> Option<&MessageRow> {
        self.messages.get(&id).filter(|m| m.tenant == tenant && m.session == session)
    }

    pub(super) fn adopt(&self, tenant: TenantId, session: SessionId, now: Timestamp) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        let mut messages = self.outbox(session).map(|o| o.claimed(PER_ENTRY)).unwrap_or_default();
        messages.retain(|id| self.owned_message(tenant, session, *id).is_some());
        let new = messages.len();
        if new > 0 {
            effects.append(What::Parked { session, messages });
        }
        effects.reply(Ok(Answer::Counted { new, known: 0 }))
    }

    pub(super) fn answers(
        &self,
        (tenant, session): (TenantId, SessionId),
        results: &[(MessageId, Result<Accepted, SendError>)],
        random: u64,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        let mut list = Vec::with_capacity(results.len());
        let mut stopped = Vec::new();
        for (place, (id, result)) in results.iter().enumerate() {
            let Some(row) = self.owned_message(tenant, session, *id) else { continue };
            let tried = (u32::from(row.attempts), row.valid_until);
            let outcome = outcome(result, tried, random.rotate_left(place as u32), now);
            if matches!(outcome, Outcome::Failed(cause) if says_stop(cause)) {
                stopped.push(row.address.clone());
            }
            list.push((*id, outcome));
        }
        effects.quote(Quoted::of(None, results.iter().map(|(id, result)| (id.0, result))));
        for results in list.chunks(PER_ENTRY) {
            effects.append(What::Results(results.to_vec()));
        }
        effects.stop(stopped);
        effects.done()
    }

    pub(super) fn due(
        &self,
        (tenant, session): (TenantId, SessionId),
        proof_ms: i64,
        resend: bool,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        let owned = self.outbox(session).filter(|o| o.tenant() == Some(tenant));
        let Some(outbox) = owned else { return effects.done() };
        end(&mut effects, None, outbox.overdue(now, PER_ENTRY));
        let unproven = outbox.unproven(now.plus_ms(-proof_ms), PER_ENTRY);
        let again = |id: &MessageId| resend && self.messages.get(id).is_some_and(may_resend(now));
        let (repeat, unknown): (Vec<_>, Vec<_>) = unproven.into_iter().partition(again);
        for (again, messages) in [(true, repeat), (false, unknown)] {
            if !messages.is_empty() {
                effects.append(What::Resolved { again, messages });
            }
        }
        effects.done()
    }

    /// Ends what waits in a number's outbox. What is on the wire or parked ends by its answer or its proof.
    pub(super) fn clear(&self, tenant: TenantId, session: SessionId, now: Timestamp) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        let owned = self.outbox(session).filter(|o| o.tenant() == Some(tenant));
        let waiting = owned.map(|outbox| outbox.waiting(PER_ENTRY)).unwrap_or_default();
        end(&mut effects, Some(Cause::SESSION_REMOVED), waiting);
        effects.done()
    }

    pub(super) fn cancel_message(
        &self,
        tenant: TenantId,
        message: MessageId,
        once: Option<Once>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(row) = self.messages.get(&message).filter(|m| m.tenant == tenant) else {
            return refuse(Refusal::NotFound);
        };
        if let Some(met) = self.met(once, now) {
            return met;
        }
        if row.stage != Stage::Waiting {
            return refuse(Refusal::WrongPhase);
        }
        let mut effects = Effects::new(tenant, now);
        let (cause, messages) = (Some(Cause::CANCELLED), vec![message]);
        effects.append(What::Ended { cause, messages, once: once.map(Box::new) });
        effects.done()
    }

    /// A wish that was not said in a message: who it is of, which, and where it was said.
    pub(super) fn consent(
        &self,
        (tenant, session): (TenantId, Option<SessionId>),
        (address, wish, source): (&Address, Wish, ConsentSource),
        once: Option<Once>,
        now: Timestamp,
    ) -> Vec<Effect> {
        if session.is_some_and(|session| self.is_foreign(tenant, session)) {
            return refuse(Refusal::NotFound);
        }
        self.met(once, now).unwrap_or_else(|| {
            let mut effects = Effects::new(tenant, now);
            let (address, once) = (address.clone(), once.map(Box::new));
            effects.append(What::Consent { address, wish, source, once });
            effects.done()
        })
    }
}

/// Once, and only while it is valid.
fn may_resend(now: Timestamp) -> impl Fn(&MessageRow) -> bool {
    move |m| m.attempts < 2 && m.valid_until >= now
}

fn end(effects: &mut Effects, cause: Option<Cause>, messages: Vec<MessageId>) {
    if !messages.is_empty() {
        effects.append(What::Ended { cause, messages, once: None });
    }
}

fn message_of(reference: Reference) -> Option<MessageId> {
    match reference {
        Reference::Message(id) => Some(id),
        Reference::Campaign(..) => None,
    }
}
