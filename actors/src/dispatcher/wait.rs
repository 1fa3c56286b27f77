//! What one message waits for, and until when: its moment, another try, the hours where the recipient is, a resume, its
//! sender. Read when it is asked for; nothing of it is stored.

use super::{DispatchError, Dispatcher};
use crate::view::{Wait, WaitReason};
use kabar_engine::campaign::Phase;
use kabar_engine::health::TemplateName;
use kabar_engine::id::CampaignId;
use kabar_engine::message::{MessageRow, Stage};
use kabar_engine::overlay::Key;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use std::collections::BTreeSet;

impl Dispatcher {
    /// `None` for a message that does not wait to be sent.
    pub(super) async fn wait(&self, row: &MessageRow) -> Result<Option<Wait>, DispatchError> {
        if row.status != Status::Queued {
            return Ok(None);
        }
        let now = Timestamp(self.0.clock().now_ms());
        let (reason, until) = match row.campaign {
            Some((campaign, index)) => match self.recipient_wait(row, (campaign, index), now).await? {
                Some(found) => found,
                None => return Ok(None),
            },
            None if row.stage != Stage::Waiting => return Ok(None),
            None if row.due > now && row.attempts > 0 => (WaitReason::Retry, Some(row.due)),
            None if row.due > now => (WaitReason::Start, Some(row.due)),
            None => {
                let template = row.content.as_ref().and_then(|content| TemplateName::of(content));
                self.held_up((row.tenant, BTreeSet::from([row.session])), template.as_ref()).await
            }
        };
        Ok(Some(Wait { reason, until, recipients: 1 }))
    }

    async fn recipient_wait(
        &self,
        row: &MessageRow,
        (campaign, index): (CampaignId, u32),
        now: Timestamp,
    ) -> Result<Option<(WaitReason, Option<Timestamp>)>, DispatchError> {
        let shard = self.0.shard_of_campaign(row.tenant, campaign);
        let of = shard.read(&[Key::Campaign(campaign)], move |o| o.campaign(campaign)).await?;
        let Some((frozen, paused)) = of.and_then(|c| Some((c.frozen.clone()?, c.phase == Phase::Paused)))
        else {
            return Ok(None);
        };
        let own = self.0.shard(row.id.shard());
        let (mark, until) = own.peek(|o| (o.mark(campaign, index), o.put_back_until(campaign, index)));
        if !mark.is_some_and(|mark| mark.waits()) {
            return Ok(None);
        }
        if paused {
            return Ok(Some((WaitReason::Paused, None)));
        }
        let spec = self.spec(row.tenant, campaign).await?;
        let (Some(spec), Some(until)) = (&spec, until.filter(|until| *until > now)) else {
            let template = spec.as_ref().and_then(|spec| TemplateName::of(&spec.content));
            let sender = (row.tenant, BTreeSet::from([row.session]));
            return Ok(Some(self.held_up(sender, template.as_ref()).await));
        };
        let reason = self.reason(spec, &frozen, index, (until, now)).await?;
        Ok(Some((reason, Some(until))))
    }
}
