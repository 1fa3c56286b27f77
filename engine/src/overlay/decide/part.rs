//! Decisions about a part's recipients, in the shard of the session that sends them.

use super::{
    Answer, Effect, Effects, PartClaim, PartOrder, Picked, Refusal, Wake, chunk_key, outcome, refuse,
    says_stop,
};
use crate::campaign::Verb;
use crate::cause::Cause;
use crate::conversation::may_send_free_form;
use crate::entry::{ConsentSource, Outcome, Range, What};
use crate::id::{CampaignId, MessageId, TenantId};
use crate::optout::Wish;
use crate::outgoing::{Accepted, SendError};
use crate::overlay::Overlay;
use crate::part::{ChunkLine, PartPhase, PartRow, PartStart, chunk_of};
use crate::schedule::zone_of;
use crate::time::Timestamp;
use std::collections::BTreeMap;

type PartKey = (TenantId, CampaignId, u32);
/// Results in one entry.
const PER_ENTRY: usize = 256;

impl Overlay {
    fn owned_part(&self, (tenant, campaign, part): PartKey) -> Option<&PartRow> {
        self.parts.get(&(campaign, part)).filter(|p| p.tenant == tenant)
    }

    pub(super) fn order(&self, order: &PartOrder, now: Timestamp) -> Vec<Effect> {
        let mut effects = Effects::new(order.tenant, now);
        let (campaign, part) = (order.campaign, order.part);
        let known = self.parts.get(&(campaign, part));
        if known.is_some_and(|p| p.tenant != order.tenant) {
            return refuse(Refusal::NotFound);
        }
        if known.is_none() {
            effects.append(What::PartStarted(Box::new(self.start(order, now))));
        }
        let command = order.command;
        if known.is_some_and(|p| p.command < command) || (known.is_none() && order.verb != Verb::Launch) {
            effects.append(What::PartMoved { campaign, part, verb: order.verb, command });
        }
        if order.verb == Verb::Cancel {
            let waiting = match self.part_index.get(&(campaign, part)) {
                Some(index) => index.waiting(usize::MAX),
                None if known.is_none() => {
                    let first = part * crate::part::PART;
                    (first..first + order.chunks.iter().map(|c| c.1).sum::<u32>()).collect()
                }
                None => Vec::new(),
            };
            end(&mut effects, campaign, Some(Cause::CANCELLED), &waiting);
        }
        let wake = Wake::Part(order.tenant, campaign, part, order.session);
        effects.reply_and_wake(Answer::Done, wake)
    }

    /// The part's begin, with a run of message ids for every chunk. The start's own command is the oldest
    /// possible, so that the order that brought it is still obeyed.
    fn start(&self, order: &PartOrder, now: Timestamp) -> PartStart {
        let mut sequence = self.sequence;
        let chunks = order.chunks.iter().map(|(first, count)| {
            let base = MessageId(sequence.run(self.shard, now, *count));
            ChunkLine { first: first.clone(), count: *count, base }
        });
        PartStart {
            campaign: order.campaign,
            part: order.part,
            attempt: order.attempt,
            session: order.session,
            launched: order.launched,
            valid_until: order.valid_until,
            chunks: chunks.collect(),
            command: if order.verb == Verb::Launch { order.command } else { crate::id::CommandId(0) },
        }
    }

    pub(super) fn part_claim(&self, claim: &PartClaim, now: Timestamp) -> Vec<Effect> {
        let key = (claim.tenant, claim.campaign, claim.part);
        let Some(part) = self.owned_part(key) else { return refuse(Refusal::NotFound) };
        let mut effects = Effects::new(claim.tenant, now);
        let index = self.part_index.get(&(claim.campaign, claim.part));
        let Some(index) = index.filter(|_| part.phase == PartPhase::Running) else {
            return effects.reply(Ok(Answer::Picked(Vec::new())));
        };
        if part.start.valid_until < now {
            end(&mut effects, claim.campaign, None, &index.waiting(usize::MAX));
            return effects.reply(Ok(Answer::Picked(Vec::new())));
        }
        let mut sorted = Sorted::default();
        for index in index.next(now, claim.max.min(PER_ENTRY)) {
            self.sort(part, claim, index, now, &mut sorted);
        }
        end(&mut effects, claim.campaign, Some(Cause::OPTED_OUT), &sorted.opted_out);
        end(&mut effects, claim.campaign, Some(Cause::WINDOW_CLOSED), &sorted.closed);
        for (due, indexes) in sorted.deferred {
            let ranges = Range::pack(&indexes);
            effects.append(What::PartDeferred { campaign: claim.campaign, due, ranges });
        }
        if !sorted.picked.is_empty() {
            let indexes: Vec<u32> = sorted.picked.iter().map(|p| p.index).collect();
            effects.append(What::PartClaim { campaign: claim.campaign, ranges: Range::pack(&indexes) });
        }
        effects.reply(Ok(Answer::Picked(sorted.picked)))
    }

    /// Puts one waiting recipient where it belongs now.
    fn sort(&self, part: &PartRow, claim: &PartClaim, index: u32, now: Timestamp, sorted: &mut Sorted) {
        let (number, offset) = chunk_of(index);
        let Some(chunk) = self.chunks.shared(&chunk_key(part, number)) else { return };
        let Some(recipient) = chunk.recipients.get(offset as usize) else { return };
        if self.opted_out(part.tenant, &recipient.address) {
            return sorted.opted_out.push(index);
        }
        if claim.free_form && !self.window_open(part, &recipient.address, now) {
            return sorted.closed.push(index);
        }
        if let Some(window) = &claim.window {
            let zone = zone_of(&recipient.address, recipient.zone.as_deref());
            match window.next(&zone.name, now) {
                Ok(due) if due > now => return sorted.deferred.entry(due).or_default().push(index),
                _ => {}
            }
        }
        sorted.picked.push(Picked { index, chunk, offset });
    }

    fn window_open(&self, part: &PartRow, address: &crate::address::Address, now: Timestamp) -> bool {
        let row = self.addresses.get(&(part.start.session, address.clone()));
        may_send_free_form(row.and_then(|a| self.conversations.get(&a.conversation)), now)
    }

    pub(super) fn part_release(
        &self,
        (tenant, campaign, _): PartKey,
        indexes: &[u32],
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        if !indexes.is_empty() {
            effects.append(What::PartReleased { campaign, ranges: Range::pack(indexes) });
        }
        effects.done()
    }

    pub(super) fn part_adopt(&self, key: PartKey, now: Timestamp) -> Vec<Effect> {
        let mut effects = Effects::new(key.0, now);
        let index = self.owned_part(key).and_then(|_| self.part_index.get(&(key.1, key.2)));
        let claimed: Vec<u32> = index.map(|i| i.claimed.iter().copied().collect()).unwrap_or_default();
        if !claimed.is_empty() {
            effects.append(What::PartParked { campaign: key.1, ranges: Range::pack(&claimed) });
        }
        effects.reply(Ok(Answer::Counted { new: claimed.len(), known: 0 }))
    }

    pub(super) fn part_answers(
        &self,
        key: PartKey,
        results: &[(u32, Result<Accepted, SendError>)],
        random: u64,
        now: Timestamp,
    ) -> Vec<Effect> {
        let (tenant, campaign, _) = key;
        let mut effects = Effects::new(tenant, now);
        let index = self.part_index.get(&(campaign, key.2));
        let outcomes: Vec<(u32, Outcome)> = results
            .iter()
            .map(|(at, result)| {
                let tries = index.map_or(1, |i| i.tries(*at) + 1);
                (*at, outcome(result, tries, random.rotate_left(at % 64), now))
            })
            .collect();
        for results in outcomes.chunks(PER_ENTRY) {
            effects.append(What::PartResults { campaign, results: results.to_vec() });
        }
        if let Some(part) = self.owned_part(key) {
            for (at, outcome) in &outcomes {
                let Outcome::Failed(cause) = outcome else { continue };
                let (number, offset) = chunk_of(*at);
                let chunk = self.chunks.get(&chunk_key(part, number));
                let stopped =
                    chunk.and_then(|c| c.recipients.get(offset as usize)).filter(|_| says_stop(*cause));
                if let Some(recipient) = stopped {
                    let (address, source) = (recipient.address.clone(), ConsentSource::Provider);
                    effects.append(What::Consent { address, wish: Wish::OptOut, source });
                }
            }
        }
        effects.done()
    }

    pub(super) fn part_due_now(
        &self,
        key: PartKey,
        proof_ms: i64,
        resend: bool,
        now: Timestamp,
    ) -> Vec<Effect> {
        let (tenant, campaign, number) = key;
        let Some(part) = self.owned_part(key) else { return refuse(Refusal::NotFound) };
        let mut effects = Effects::new(tenant, now);
        let Some(index) = self.part_index.get(&(campaign, number)) else { return effects.done() };
        let valid = part.start.valid_until >= now;
        if part.phase == PartPhase::Cancelled {
            end(&mut effects, campaign, Some(Cause::CANCELLED), &index.waiting(usize::MAX));
        } else if !valid {
            end(&mut effects, campaign, None, &index.waiting(usize::MAX));
        }
        let unproven = index.unproven(now.plus_ms(-proof_ms), PER_ENTRY);
        let may = resend && valid && part.phase != PartPhase::Cancelled;
        let (again, unknown): (Vec<_>, Vec<_>) =
            unproven.into_iter().partition(|at| may && index.resent(*at) == 0);
        for (again, indexes) in [(true, again), (false, unknown)] {
            if !indexes.is_empty() {
                effects.append(What::PartResolved { campaign, again, ranges: Range::pack(&indexes) });
            }
        }
        if index.is_finished() && !part.finished {
            effects.append(What::PartFinished { campaign, part: number });
        }
        effects.done()
    }
}

#[derive(Default)]
struct Sorted {
    picked: Vec<Picked>,
    opted_out: Vec<u32>,
    closed: Vec<u32>,
    deferred: BTreeMap<Timestamp, Vec<u32>>,
}

fn end(effects: &mut Effects, campaign: CampaignId, cause: Option<Cause>, indexes: &[u32]) {
    if !indexes.is_empty() {
        effects.append(What::PartEnded { campaign, cause, ranges: Range::pack(indexes) });
    }
}
