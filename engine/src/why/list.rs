//! The finished list: what the message itself remembers in the place of what was not read, and what it waits for now.

use super::{By, Line, Reason, Shadow, Source, Status, Step, Times, Timestamp, Why};
use crate::cause::Cause;
use crate::mark::MarkState;
use crate::message::{MessageRow, Stage};

impl Why {
    /// Adds what the message itself remembers where no entry told it.
    pub fn remember(&mut self, row: &MessageRow) {
        let Times { accepted, claimed, parked, sent, delivered, read, ended } = row.times;
        if row.status == Status::Received {
            if !self.any(|step| matches!(step, Step::Received { .. })) {
                let sent_at = sent.unwrap_or(accepted);
                let (session, conversation) = (row.session, row.conversation);
                self.recall(accepted, Step::Received { session, conversation, sent_at });
            }
            return;
        }
        if !self.any(|step| matches!(step, Step::Accepted { .. })) {
            let by = row.campaign.map(|(campaign, index)| By::Campaign(campaign, index));
            let conversation = (row.conversation.0 != 0).then_some(row.conversation);
            let (session, lane, due, valid_until) =
                (row.session, row.lane, row.due.min(row.valid_until), row.valid_until);
            self.recall(accepted, Step::Accepted { by, session, conversation, lane, due, valid_until });
        }
        let later =
            |at: Timestamp| self.lines.iter().any(|l| l.at >= at && matches!(l.step, Step::Claimed { .. }));
        if let Some(at) = claimed.filter(|at| !later(*at)) {
            self.recall(at, Step::Claimed { attempt: row.attempts });
        }
        let doubt = |step: &Step| matches!(step, Step::Parked | Step::Ambiguous);
        if let Some(at) = parked.filter(|_| !self.any(doubt)) {
            self.recall(at, Step::Parked);
        }
        // A provider's clock knows seconds only: what it tells comes after what it speaks of.
        let mut after = claimed.unwrap_or(accepted).max(accepted);
        for (status, at) in [(Status::Sent, sent), (Status::Delivered, delivered), (Status::Read, read)] {
            let taken = status == Status::Sent && self.any(|step| matches!(step, Step::Taken { .. }));
            if let Some(at) = at.filter(|_| !taken && !self.has_told(status)) {
                after = after.max(at);
                self.recall(after, Step::Status { status, reported_at: at, cause: None, words: None });
            }
        }
        if let Some(step) = self.unsaid_end(row) {
            // When a campaign's recipient failed is not kept: it stands last.
            let last = self.last().unwrap_or(accepted);
            self.recall(ended.unwrap_or(last).max(accepted), step);
        }
    }

    /// How it ended, when no step says so yet.
    fn unsaid_end(&self, row: &MessageRow) -> Option<Step> {
        let said = self.any(|step| match step {
            Step::Expired => row.status == Status::Expired,
            Step::Cancelled | Step::Failed { .. } | Step::Rejected { .. } => row.status == Status::Failed,
            Step::Resolved { again: false } => row.status == Status::Unknown,
            Step::Status { status, .. } => *status == row.status,
            _ => false,
        });
        match (said, row.status, row.cause) {
            (true, ..) => None,
            (_, Status::Expired, _) => Some(Step::Expired),
            (_, Status::Unknown, _) => Some(Step::Resolved { again: false }),
            (_, Status::Failed, Some(Cause::CANCELLED)) => Some(Step::Cancelled),
            (_, Status::Failed, cause) => Some(Step::Failed { cause: cause.unwrap_or(Cause::UNREADABLE) }),
            _ => None,
        }
    }

    fn any(&self, is: impl Fn(&Step) -> bool) -> bool {
        self.lines.iter().any(|line| is(&line.step))
    }

    fn recall(&mut self, at: Timestamp, step: Step) {
        self.lines.push(Line { at, step, source: Source::Message, event: None });
    }

    /// The list in the order of time. A message that has not ended ends with what it waits for at `now`: what the live
    /// state says, or else a call's answer or a proof, until `proof` after it was parked.
    #[must_use]
    pub fn list(
        mut self,
        row: &MessageRow,
        wait: Option<(Reason, Option<Timestamp>)>,
        (now, proof_ms): (Timestamp, i64),
    ) -> Vec<Line> {
        if row.status == Status::Queued {
            for (from, step) in self.waits.end(now, false).0 {
                self.tell(from, step, None);
            }
            let (reason, until) = wait.unwrap_or(match self.parked(row) {
                Some(since) => (Reason::Proof, Some(since.plus_ms(proof_ms))),
                None => (Reason::Answer, None),
            });
            let last = self.last().unwrap_or(now);
            let step = Step::Waiting { reason, until };
            self.lines.push(Line { at: now.max(last), step, source: Source::Now, event: None });
        }
        self.lines.sort_by_key(|line| line.at);
        self.lines
    }

    fn last(&self) -> Option<Timestamp> {
        self.lines.iter().map(|line| line.at).max()
    }

    /// Since when its outcome is not known, while that is so.
    fn parked(&self, row: &MessageRow) -> Option<Timestamp> {
        match &self.shadow {
            Shadow::Mark(mark, launched) if mark.state() == MarkState::Parked => mark.sent().begin(*launched),
            Shadow::Mark(..) => None,
            Shadow::Row(_) => row.times.parked.filter(|_| row.stage == Stage::Parked),
        }
    }
}
