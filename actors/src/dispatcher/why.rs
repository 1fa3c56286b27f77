//! Why a message is where it is: its entries read from the journal of its shard, and what its webhooks came to. Reads
//! around the moments the message itself remembers, never more than so much; writes nothing.

mod attempt;
mod reading;

pub use attempt::Attempt;

use super::{DispatchError, Dispatcher};
use crate::view::{WaitReason, overlay_mark};
use kabar_engine::id::{CampaignId, MessageId, ShardId, TenantId};
use kabar_engine::mark::Mark;
use kabar_engine::message::{MessageRow, Stage};
use kabar_engine::overlay::{Key, Overlay};
use kabar_engine::part::part_of;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use kabar_engine::why::{Line, Reason, Step, Why};
use kabar_schema::journal::seek;
use reading::Reading;

/// Entries that may be read on the way to a message's begin, and around each later moment.
const WINDOW_MAX: usize = 12_000;
/// What follows a message's end is read whole when it is not longer.
const TAIL_MAX: u64 = 10_000;
/// An entry may be so much older than the moment that a message remembers.
const MARGIN_MS: i64 = 100;
/// A provider's clock, in whole seconds, may be so far ahead of ours.
const PROVIDER_MS: i64 = 5_000;
/// A claim lies at most so long before its answer.
const CALL_MS: i64 = 35_000;

/// Why a list is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Entries of it are no longer kept.
    Retention,
    /// More lies between its moments than one question may read.
    Length,
    /// The log of webhook attempts is longer than one question may read.
    Webhooks,
}

/// The list of a message's steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The message as it stands.
    pub row: MessageRow,
    /// The steps in the order of time.
    pub lines: Vec<Line>,
    /// What its webhooks came to, in the order of time.
    pub attempts: Vec<Attempt>,
    /// What is missing; `None`: nothing.
    pub missing: Option<Missing>,
}

impl From<WaitReason> for Reason {
    fn from(reason: WaitReason) -> Self {
        match reason {
            WaitReason::Start => Self::Start,
            WaitReason::Recurrence => Self::Recurrence,
            WaitReason::Paused => Self::Paused,
            WaitReason::Blackout => Self::Blackout,
            WaitReason::QuietHours => Self::QuietHours,
            WaitReason::SendWindow => Self::SendWindow,
            WaitReason::Retry => Self::Retry,
            WaitReason::Throttled => Self::Throttled,
            WaitReason::LinkLost => Self::LinkLost,
            WaitReason::Restricted => Self::Restricted,
            WaitReason::Template => Self::Template,
            WaitReason::Pace => Self::Pace,
        }
    }
}

impl Dispatcher {
    /// Every step of a message, as far as it is kept; `None` when there is none, or it is another tenant's.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn why(&self, tenant: TenantId, id: MessageId) -> Result<Option<Explanation>, DispatchError> {
        let Some(view) = self.message(tenant, id).await? else { return Ok(None) };
        let (reading, row, mark) = match view.row.campaign {
            Some(recipient) => self.read_recipient(view.row, recipient).await?,
            None => self.read_message(view.row).await?,
        };
        let (cut, mut missing, mut why) = (reading.is_cut(), reading.missing, reading.why);
        if missing.is_none() && (cut || !why.accounts_for(&row, mark)) {
            missing = Some(Missing::Length);
        }
        if missing.is_some() {
            why.remember(&row);
        }
        let wait = self.wait(&row).await?.map(|wait| (wait.reason.into(), wait.until));
        let (attempts, whole) = self.attempts(&row, why.events()).await?;
        let proof_ms = self.0.policy(tenant).await.proof_ms;
        let now = Timestamp(self.0.clock().now_ms());
        let mut lines = why.list(&row, wait, (now, proof_ms));
        self.name_hours(&row, &mut lines).await?;
        let missing = missing.or((!whole).then_some(Missing::Webhooks));
        Ok(Some(Explanation { row, lines, attempts, missing }))
    }

    /// A message with entries of its own.
    async fn read_message(
        &self,
        row: MessageRow,
    ) -> Result<(Reading<'_>, MessageRow, Option<Mark>), DispatchError> {
        let (id, shard) = (row.id, self.0.shard(row.id.shard()));
        let look = move |o: &Overlay| (o.message(id), o.position());
        let (now, tip) = shard.read(&[Key::Message(id)], look).await?;
        let row = now.map_or(row, |now| (*now).clone());
        let end = if row.stage == Stage::Done { row.upto } else { tip };
        let why = Why::of_message(row.tenant, row.id);
        let mut reading = Reading::new(&self.0, shard.id(), end, why);
        reading.begin(row.times.accepted.plus_ms(-MARGIN_MS)).await?;
        reading.on(WINDOW_MAX, Why::has_begun).await?;
        if reading.why.has_begun() {
            reading.on(usize::MAX, |why| row.stage == Stage::Done && why.is_settled()).await?;
        } else {
            reading.lost().await?;
        }
        reading.tail(&row).await?;
        Ok((reading, row, None))
    }

    /// A campaign's recipient: the entries of its part.
    async fn read_recipient(
        &self,
        mut row: MessageRow,
        (campaign, index): (CampaignId, u32),
    ) -> Result<(Reading<'_>, MessageRow, Option<Mark>), DispatchError> {
        let (tenant, shard, part) = (row.tenant, self.0.shard(row.id.shard()), part_of(index));
        let look = move |o: &Overlay| {
            (o.part(campaign, part), o.mark(campaign, index), o.marks_upto(campaign, index), o.position())
        };
        let (start, mark, upto, tip) = shard.read(&[Key::Part(campaign, part)], look).await?;
        let start = start.ok_or(DispatchError::NotFound)?;
        if let Some(mark) = mark {
            overlay_mark(&mut row, mark, start.start.launched);
        }
        let home = self.0.shard_of_campaign(tenant, campaign);
        let look = move |o: &Overlay| (o.campaign(campaign).map(|c| c.launched), o.position());
        let (launched, home_tip) = home.read(&[Key::Campaign(campaign)], look).await?;
        let launched = launched.unwrap_or(start.start.launched);
        row.times.accepted = launched;
        let settled = mark.is_some_and(|mark| mark.state().status().is_settled());
        let end = if settled { upto.unwrap_or(tip) } else { tip };
        let why = Why::of_recipient(tenant, &start.start, index, launched);
        let mut reading = Reading::new(&self.0, shard.id(), end, why);
        reading.frozen(home.id(), row.id.at().plus_ms(-MARGIN_MS), home_tip).await?;
        reading.begin(row.id.at().plus_ms(-MARGIN_MS)).await?;
        reading.on(WINDOW_MAX, Why::has_begun).await?;
        if !reading.why.has_begun() {
            reading.lost().await?;
        } else if reading.fits() {
            reading.on(usize::MAX, |why| settled && why.is_settled()).await?;
        } else if let Some(sent) = row.times.sent.or(row.times.delivered) {
            reading.jump(sent.plus_ms(-CALL_MS)).await?;
            reading.on(WINDOW_MAX, Why::is_settled).await?;
        }
        reading.tail(&row).await?;
        Ok((reading, row, mark))
    }

    /// Which of its campaign's hours a recipient waited for.
    async fn name_hours(&self, row: &MessageRow, lines: &mut [Line]) -> Result<(), DispatchError> {
        let Some((campaign, index)) = row.campaign else { return Ok(()) };
        let hours = |step: &Step| matches!(step, Step::Waited { reason: Reason::Hours, .. });
        if !lines.iter().any(|line| hours(&line.step)) {
            return Ok(());
        }
        let shard = self.0.shard_of_campaign(row.tenant, campaign);
        let frozen = shard.read(&[Key::Campaign(campaign)], move |o| o.campaign(campaign)).await?;
        let frozen = frozen.and_then(|row| row.frozen.clone());
        let (Some(spec), Some(frozen)) = (self.spec(row.tenant, campaign).await?, frozen) else {
            return Ok(());
        };
        for line in lines.iter_mut().filter(|line| hours(&line.step)) {
            let Step::Waited { reason, .. } = &mut line.step else { continue };
            // Not compared with its end: a wait that was cut short does not end when the hours do.
            if let Some(closed) = self.closed(&spec, &frozen, (index, line.at)).await? {
                *reason = WaitReason::from(closed.why).into();
            }
        }
        Ok(())
    }
}
