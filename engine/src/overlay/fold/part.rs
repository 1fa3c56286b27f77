//! What an entry means for a part and its recipients' marks. Not the campaign's phase, not single messages.

use super::Stamp;
use crate::entry::{Outcome, Position, Range, StatusReport, What};
use crate::id::CampaignId;
use crate::mark::{Mark, MarksRow, step};
use crate::message::{MessageRow, Stage, Times};
use crate::overlay::parts::Brief;
use crate::overlay::{Overlay, RunRow};
use crate::pacing::Lane;
use crate::part::{PartRow, PartStart, chunk_of};
use crate::plant::Plant;
use crate::pricing::Pricing;
use crate::status::Status;
use crate::time::{Step, Timestamp};
use std::collections::BTreeMap;

/// The changes of marks by one entry. One entry may change many marks of a chunk, so whether it is news for a
/// chunk is judged once, before its first change there.
struct Pass {
    stamp: Stamp,
    campaign: CampaignId,
    fresh: BTreeMap<u32, bool>,
}

impl Pass {
    fn new(stamp: Stamp, campaign: CampaignId) -> Self {
        Self { stamp, campaign, fresh: BTreeMap::new() }
    }
}

impl Overlay {
    pub(super) fn part_entry(&mut self, stamp: Stamp, what: &What) {
        let now = stamp.now;
        match what {
            What::PartStarted(start) => self.part_started(stamp, start),
            What::PartMoved { campaign, part, verb, command } => {
                self.edit_part(stamp, (*campaign, *part), |p| p.moved(*verb, *command));
            }
            What::PartFinished { campaign, part } => {
                self.edit_part(stamp, (*campaign, *part), |p| p.finished = true);
                self.part_index.remove(&(*campaign, *part));
            }
            What::PartClaim { campaign, ranges, .. } => {
                self.mark_ranges(stamp, (*campaign, ranges), now, |m, _| m.claimed());
            }
            What::PartReleased { campaign, ranges } => {
                self.mark_ranges(stamp, (*campaign, ranges), now, Mark::released);
            }
            What::PartParked { campaign, ranges } => {
                self.mark_ranges(stamp, (*campaign, ranges), now, Mark::parked);
            }
            What::PartDeferred { campaign, due, ranges } => {
                self.mark_ranges(stamp, (*campaign, ranges), *due, Mark::deferred);
            }
            What::PartResolved { campaign, again, ranges } => {
                self.mark_ranges(stamp, (*campaign, ranges), now, |m, step| m.resolved(step, *again));
            }
            What::PartEnded { campaign, cause, ranges } => {
                self.mark_ranges(stamp, (*campaign, ranges), now, |m, step| m.ended(step, *cause));
            }
            What::PartResults { campaign, results } => self.part_results(stamp, *campaign, results),
            What::PartStatuses { campaign, statuses } => {
                let mut pass = Pass::new(stamp, *campaign);
                for s in statuses {
                    self.move_mark(&mut pass, s.of, s.at, |m, step| m.reported(step, s));
                }
                self.priced(stamp, *campaign, statuses);
            }
            What::Touched { .. } => self.touched(stamp, what),
            _ => {}
        }
    }

    /// Counts what was charged: one report a recipient says it beside its delivery.
    fn priced(&mut self, stamp: Stamp, campaign: CampaignId, statuses: &[StatusReport<u32>]) {
        let mut parts: BTreeMap<(CampaignId, u32), Vec<&Pricing>> = BTreeMap::new();
        for report in statuses.iter().filter(|report| report.counts_price()) {
            let key = self.part_key_of(campaign, report.of);
            parts.entry(key).or_default().extend(report.pricing.as_deref());
        }
        for (key, list) in parts {
            self.edit_part(stamp, key, |part| list.into_iter().for_each(|pricing| part.charged(pricing)));
        }
    }

    fn part_results(&mut self, stamp: Stamp, campaign: CampaignId, results: &[(u32, Outcome)]) {
        let mut pass = Pass::new(stamp, campaign);
        for (index, outcome) in results {
            let mut since = stamp.now;
            if let Outcome::Retry { due, .. } = outcome {
                since = *due;
                let key = self.part_key_of(campaign, *index);
                if let Some(waiting) = self.part_index.get_mut(&key) {
                    waiting.refused(*index);
                }
            }
            self.move_mark(&mut pass, *index, since, |m, step| m.answered(step, outcome));
        }
    }

    /// The rows of a part are judged one by one: a torn flush may have left some of them newer than this entry
    /// and others unwritten.
    fn part_started(&mut self, stamp: Stamp, start: &PartStart) {
        let key = (start.campaign, start.part);
        let mut row = PartRow::begin(stamp.tenant, start.clone());
        row.upto = stamp.at;
        if self.parts.get(&key).is_some_and(|known| known.tenant != stamp.tenant || known.upto < stamp.at) {
            self.impossible += 1;
            return;
        }
        for (number, line) in row.chunk_numbers().zip(&start.chunks) {
            if self.marks.get(&(start.campaign, number)).is_none() {
                let whose = (stamp.tenant, start.campaign);
                let mut marks = MarksRow::fresh(whose, self.shard, number, line.count);
                marks.upto = stamp.at;
                self.marks.put((start.campaign, number), marks);
            }
            self.sequence.seen(line.base.plus(line.count.saturating_sub(1)).0);
            let run = RunRow {
                tenant: stamp.tenant,
                base: line.base,
                count: line.count,
                campaign: start.campaign,
                part: start.part,
                chunk: number,
                upto: stamp.at,
            };
            self.fresh_runs.insert(line.base, (self.generation, std::sync::Arc::new(run.clone())));
            self.runs.put(line.base, run);
        }
        self.session_parts.entry(start.session).or_default().add(Brief::of(&row));
        if self.parts.get(&key).is_none() {
            self.parts.put(key, row);
        }
        self.keep_totals(key);
        if self.parts.get(&key).is_some_and(|p| !p.finished) {
            self.index_part(key, Timestamp(i64::MAX));
        }
    }

    fn edit_part(&mut self, stamp: Stamp, key: (CampaignId, u32), change: impl FnOnce(&mut PartRow)) {
        match self.parts.get(&key) {
            Some(p) if p.tenant == stamp.tenant && p.upto >= stamp.at => {}
            Some(p) if p.tenant == stamp.tenant => {
                self.parts.edit(&key, |p| {
                    change(p);
                    p.upto = stamp.at;
                });
            }
            _ => self.impossible += 1,
        }
    }

    fn mark_ranges(
        &mut self,
        stamp: Stamp,
        (campaign, ranges): (CampaignId, &[Range]),
        when: Timestamp,
        mut change: impl FnMut(&mut Mark, Step),
    ) {
        let mut pass = Pass::new(stamp, campaign);
        for index in Range::indexes(ranges) {
            self.move_mark(&mut pass, index, when, &mut change);
        }
    }

    /// Changes one mark and files the recipient as it stands then; `when` is the moment the change speaks of.
    fn move_mark(
        &mut self,
        pass: &mut Pass,
        index: u32,
        when: Timestamp,
        change: impl FnOnce(&mut Mark, Step),
    ) {
        let Some(mark) = self.change_mark(pass, index, when, change) else { return };
        let key = self.part_key_of(pass.campaign, index);
        if let Some(waiting) = self.part_index.get_mut(&key) {
            waiting.file(index, mark, when);
        }
    }

    /// Changes one mark; `None` when it has seen the entry already or is none of the tenant's.
    fn change_mark(
        &mut self,
        pass: &mut Pass,
        index: u32,
        when: Timestamp,
        change: impl FnOnce(&mut Mark, Step),
    ) -> Option<Mark> {
        let key = self.part_key_of(pass.campaign, index);
        let owned = self.parts.get(&key).filter(|p| p.tenant == pass.stamp.tenant);
        let launched = owned.map(|p| p.start.launched);
        let (chunk, offset) = chunk_of(index);
        let row = self.marks.get(&(pass.campaign, chunk));
        let (Some(launched), Some(row)) = (launched, row) else {
            self.impossible += 1;
            return None;
        };
        let fresh = *pass.fresh.entry(chunk).or_insert(row.upto < pass.stamp.at);
        let Some(mut mark) = row.get(offset) else {
            self.impossible += 1;
            return None;
        };
        if !fresh {
            return None;
        }
        // The planted bug: the total is carried on from an older state of the recipient.
        let was = if self.plant == Plant::TotalFromOlderRow { Mark::default() } else { mark };
        change(&mut mark, step(launched, when));
        if let Some(totals) = self.counts.get_mut(&key) {
            totals.uncount(was);
            totals.count(mark);
        }
        self.marks.edit(&(pass.campaign, chunk), |row| {
            row.set(offset, mark);
            row.upto = pass.stamp.at;
        });
        Some(mark)
    }

    /// A recipient answered. Its message's row holds the place in the chain; how it fared is its mark's to tell,
    /// which goes on changing, so nothing of it is copied here.
    fn touched(&mut self, stamp: Stamp, what: &What) {
        let What::Touched { campaign, index, session, conversation, message } = what else { return };
        self.change_mark(&mut Pass::new(stamp, *campaign), *index, stamp.now, |m, _| m.touch());
        let key = self.part_key_of(*campaign, *index);
        let twice = self.messages.get(message).is_some_and(|m| m.upto < stamp.at);
        let (Some(part), Some(talk)) = (self.parts.shared(&key), self.conversations.shared(conversation))
        else {
            self.impossible += 1;
            return;
        };
        if twice || part.tenant != stamp.tenant || talk.tenant != stamp.tenant {
            self.impossible += 1;
            return;
        }
        let launched = part.start.launched;
        let row = MessageRow {
            id: *message,
            tenant: stamp.tenant,
            session: *session,
            conversation: *conversation,
            address: talk.address.clone(),
            content: None,
            lane: Lane::Broadcast,
            status: Status::Sent,
            stage: Stage::Done,
            attempts: 1,
            due: launched,
            valid_until: part.start.valid_until,
            times: Times { accepted: launched, ..Times::default() },
            provider_id: None,
            cause: None,
            context: None,
            tag: None,
            beside: None,
            pricing: None,
            detailed: false,
            campaign: Some((*campaign, *index)),
            prev: None,
            number: 0,
            upto: Position::default(),
        };
        self.join(stamp.at, row, None);
    }
}
