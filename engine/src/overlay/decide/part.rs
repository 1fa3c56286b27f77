//! Decisions about a part's recipients, in the shard of the session that sends them.

use super::{
    Answer, Effect, Effects, PartClaim, PartOrder, Picked, Refusal, Wake, chunk_key, outcome, refuse,
    says_stop,
};
use crate::address::Address;
use crate::campaign::Verb;
use crate::cause::Cause;
use crate::conversation::may_send_free_form;
use crate::entry::{Outcome, Quoted, Range, What};
use crate::id::{CampaignId, MessageId, TenantId};
use crate::mark::MarkState;
use crate::outgoing::{Accepted, SendError};
use crate::overlay::Overlay;
use crate::part::{ChunkLine, PartPhase, PartRow, PartStart, chunk_of};
use crate::plant::Plant;
use crate::schedule::zone_of;
use crate::time::Timestamp;
use std::collections::BTreeMap;

type PartKey = (TenantId, CampaignId, u32);
/// Results in one entry.
const PER_ENTRY: usize = 256;
/// Ranges in one entry: a full part whose every second recipient is meant needs several.
const RANGES_PER_ENTRY: usize = 2_048;

impl Overlay {
    fn owned_part(&self, (tenant, campaign, part): PartKey) -> Option<&PartRow> {
        self.parts.get(&(campaign, part)).filter(|p| p.tenant == tenant)
    }

    pub(super) fn order(&self, order: &PartOrder, now: Timestamp) -> Vec<Effect> {
        let mut effects = Effects::new(order.tenant, now);
        let (campaign, part) = (order.campaign, order.part);
        let known = self.parts.get(&(campaign, part));
        if known.is_some_and(|p| p.tenant != order.tenant || p.start.session != order.session)
            || self.is_foreign(order.tenant, order.session)
        {
            return refuse(Refusal::NotFound);
        }
        if known.is_none() {
            effects.append(What::PartStarted(Box::new(self.start(order, now))));
        }
        let command = order.command;
        if known.is_some_and(|p| p.command < command) || (known.is_none() && order.verb != Verb::Launch) {
            effects.append(What::PartMoved { campaign, part, verb: order.verb, command });
        }
        // An order that a younger one has overtaken ends nobody.
        let stale = known.is_some_and(|p| p.command > command && p.phase != PartPhase::Cancelled);
        if order.verb == Verb::Cancel && !stale {
            let waiting = match self.part_index.get(&(campaign, part)) {
                Some(index) => index.waiting(),
                None if known.is_none() => {
                    let firsts = (part * crate::part::PART..).step_by(crate::mark::CHUNK as usize);
                    firsts.zip(&order.chunks).flat_map(|(first, chunk)| first..first + chunk.1).collect()
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
            end(&mut effects, claim.campaign, None, &index.waiting());
            return effects.reply(Ok(Answer::Picked(Vec::new())));
        }
        let mut picked = Vec::new();
        let mut ended: BTreeMap<Cause, Vec<u32>> = BTreeMap::new();
        let mut deferred: BTreeMap<Timestamp, Vec<u32>> = BTreeMap::new();
        for index in index.next(now, claim.max.min(PER_ENTRY)) {
            match self.turn(part, claim, index, now) {
                Turn::Go(one) => picked.push(one),
                Turn::End(cause) => ended.entry(cause).or_default().push(index),
                Turn::Wait(due) => deferred.entry(due).or_default().push(index),
                Turn::Elsewhere => {}
            }
        }
        for (cause, indexes) in ended {
            end(&mut effects, claim.campaign, Some(cause), &indexes);
        }
        for (due, indexes) in deferred {
            let ranges = Range::pack(&indexes);
            effects.append(What::PartDeferred { campaign: claim.campaign, due, ranges });
        }
        if !picked.is_empty() {
            let indexes: Vec<u32> = picked.iter().map(|p: &Picked| p.index).collect();
            let (campaign, ranges) = (claim.campaign, Range::pack(&indexes));
            effects.append(What::PartClaim { campaign, ranges, held: claim.held });
        }
        effects.reply(Ok(Answer::Picked(picked)))
    }

    /// What becomes of one waiting recipient now.
    fn turn(&self, part: &PartRow, claim: &PartClaim, index: u32, now: Timestamp) -> Turn {
        if !self.mark(claim.campaign, index).is_some_and(crate::mark::Mark::waits) {
            return Turn::Elsewhere;
        }
        let (number, offset) = chunk_of(index);
        let chunk = self.chunks.shared(&chunk_key(part, number));
        let Some(chunk) = chunk.filter(|c| c.recipients.len() > offset as usize) else {
            // The ledger has lost it: nobody can say who it was.
            return Turn::End(Cause::INTERNAL);
        };
        let recipient = &chunk.recipients[offset as usize];
        let ignored = self.plant == Plant::OptoutIgnored;
        if !ignored && self.opted_out(part.tenant, &recipient.address) {
            return Turn::End(Cause::OPTED_OUT);
        }
        if claim.free_form && !self.window_open(part, &recipient.address, now) {
            return Turn::End(Cause::WINDOW_CLOSED);
        }
        if !claim.hours.is_always_open() {
            let zone = zone_of(&recipient.address, recipient.zone.as_deref());
            match claim.hours.wait(&zone.name, now) {
                Ok(Some(wait)) => return Turn::Wait(wait.until),
                Ok(None) => {}
                // Not open again within any time that counts: it expires.
                Err(_) => return Turn::Wait(part.start.valid_until.plus_ms(1)),
            }
        }
        Turn::Go(Picked { index, chunk, offset })
    }

    fn window_open(&self, part: &PartRow, address: &crate::address::Address, now: Timestamp) -> bool {
        let row = self.addresses.get(&(part.start.session, address.clone()));
        may_send_free_form(row.and_then(|a| self.conversations.get(&a.conversation)), now)
    }

    pub(super) fn part_release(&self, key: PartKey, indexes: &[u32], now: Timestamp) -> Vec<Effect> {
        let Some(part) = self.owned_part(key) else { return refuse(Refusal::NotFound) };
        let mut effects = Effects::new(key.0, now);
        let mut claimed: Vec<u32> = indexes.iter().copied().filter(|at| self.is_claimed(part, *at)).collect();
        claimed.sort_unstable();
        claimed.dedup();
        for ranges in Range::pack(&claimed).chunks(RANGES_PER_ENTRY) {
            effects.append(What::PartReleased { campaign: key.1, ranges: ranges.to_vec() });
        }
        effects.done()
    }

    fn is_claimed(&self, part: &PartRow, index: u32) -> bool {
        let mark = self.mark(part.start.campaign, index).filter(|_| part.message(index).is_some());
        mark.is_some_and(|m| m.state() == MarkState::Claimed)
    }

    pub(super) fn part_adopt(&self, key: PartKey, now: Timestamp) -> Vec<Effect> {
        let mut effects = Effects::new(key.0, now);
        let index = self.owned_part(key).and_then(|_| self.part_index.get(&(key.1, key.2)));
        let claimed: Vec<u32> = index.map(|i| i.claimed.iter().copied().collect()).unwrap_or_default();
        for ranges in Range::pack(&claimed).chunks(RANGES_PER_ENTRY) {
            effects.append(What::PartParked { campaign: key.1, ranges: ranges.to_vec() });
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
        let (tenant, campaign, number) = key;
        let Some(part) = self.owned_part(key) else { return refuse(Refusal::NotFound) };
        let mut effects = Effects::new(tenant, now);
        let index = self.part_index.get(&(campaign, number));
        let mut outcomes: Vec<(u32, Outcome)> = Vec::with_capacity(results.len());
        let mut stopped = Vec::new();
        for (at, result) in results.iter().filter(|(at, _)| part.message(*at).is_some()) {
            let tried = (index.map_or(1, |i| i.tries(*at) + 1), part.start.valid_until);
            let outcome = outcome(result, tried, random.rotate_left(at % 64), now);
            if matches!(outcome, Outcome::Failed(cause) if says_stop(cause)) {
                stopped.extend(self.recipient(part, *at));
            }
            outcomes.push((*at, outcome));
        }
        let told = results.iter().map(|(at, result)| (u64::from(*at), result));
        effects.quote(Quoted::of(Some(campaign), told));
        for results in outcomes.chunks(PER_ENTRY) {
            effects.append(What::PartResults { campaign, results: results.to_vec() });
        }
        effects.stop(stopped);
        effects.done()
    }

    /// Who the recipient at `index` is, where its chunk was told.
    pub(in crate::overlay) fn recipient(&self, part: &PartRow, index: u32) -> Option<Address> {
        let (number, offset) = chunk_of(index);
        let chunk = self.chunks.get(&chunk_key(part, number))?;
        chunk.recipients.get(offset as usize).map(|r| r.address.clone())
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
            end(&mut effects, campaign, Some(Cause::CANCELLED), &index.waiting());
        } else if !valid {
            end(&mut effects, campaign, None, &index.waiting());
        }
        let unproven = index.unproven(now.plus_ms(-proof_ms), PER_ENTRY);
        let may = resend && valid && part.phase != PartPhase::Cancelled;
        let again = |at: &u32| may && self.mark(campaign, *at).is_some_and(|m| !m.resent());
        let (again, unknown): (Vec<_>, Vec<_>) = unproven.into_iter().partition(again);
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

/// What becomes of a waiting recipient when its turn comes.
enum Turn {
    /// On the wire.
    Go(Picked),
    /// It will never be sent.
    End(Cause),
    /// Not before then.
    Wait(Timestamp),
    /// It does not wait any more.
    Elsewhere,
}

fn end(effects: &mut Effects, campaign: CampaignId, cause: Option<Cause>, indexes: &[u32]) {
    for ranges in Range::pack(indexes).chunks(RANGES_PER_ENTRY) {
        effects.append(What::PartEnded { campaign, cause, ranges: ranges.to_vec() });
    }
}
