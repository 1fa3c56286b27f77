//! Campaigns through the front door: launched, moved, looked at with everything they wait for, and their recipients one
//! by one. Not the campaign's work, which is its actor's.

use super::{Acted, DispatchError, Dispatcher, RETRY_MS};
use crate::campaign;
use crate::preflight::{Preflight, preflight};
use crate::recipients::Recipients;
use crate::session;
use crate::view::{CampaignState, CampaignView, Wait, WaitReason};
use kabar_engine::campaign::{CampaignRow, Phase, Verb};
use kabar_engine::chunk::ChunkKey;
use kabar_engine::entry::{Frozen, Idempotency};
use kabar_engine::health::TemplateName;
use kabar_engine::id::{CampaignId, SessionId, TenantId};
use kabar_engine::overlay::{Input, Key};
use kabar_engine::part::chunk_of;
use kabar_engine::schedule::{Wait as Closed, zone_of};
use kabar_engine::time::Timestamp;
use kabar_schema::records::Campaign as Spec;
use std::collections::{BTreeMap, BTreeSet};

/// Waits that are told of one campaign.
const WAITS_MAX: usize = 100;

impl Dispatcher {
    /// Starts a campaign whose record exists.
    ///
    /// # Errors
    /// `NotFound`, or `WrongPhase` when it was started before.
    pub async fn launch(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        idempotency: Option<Idempotency>,
    ) -> Result<Acted, DispatchError> {
        self.spec(tenant, campaign).await?.ok_or(DispatchError::NotFound)?;
        let input = Input::Launch { tenant, campaign, idempotency };
        Ok(self.0.shard_of_campaign(tenant, campaign).ask(input).await?.into())
    }

    /// Pauses, resumes or cancels a campaign.
    ///
    /// # Errors
    /// `NotFound`, or `WrongPhase`.
    pub async fn move_campaign(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        verb: Verb,
        idempotency: Option<Idempotency>,
    ) -> Result<Acted, DispatchError> {
        let input = Input::Move { tenant, campaign, verb, idempotency };
        Ok(self.0.shard_of_campaign(tenant, campaign).ask(input).await?.into())
    }

    pub(super) async fn spec(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<Spec>, DispatchError> {
        Ok(self.0.store().nouns.get::<Spec>(tenant, campaign.0).await?.map(|v| v.noun))
    }

    /// A campaign as it stands now; `None` when it was never launched.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn campaign(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<CampaignView>, DispatchError> {
        match self.spec(tenant, campaign).await? {
            Some(spec) => self.standing(&spec).await,
            None => Ok(None),
        }
    }

    /// The same for somebody who has read its record already.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn standing(&self, spec: &Spec) -> Result<Option<CampaignView>, DispatchError> {
        let (tenant, campaign) = (spec.tenant, spec.id);
        let shard = self.0.shard_of_campaign(tenant, campaign);
        let row = shard.read(&[Key::Campaign(campaign)], move |o| o.campaign(campaign)).await?;
        let Some(row) = row.filter(|r| r.tenant == tenant) else { return Ok(None) };
        let unavailable = DispatchError::Unavailable { retry_after_ms: RETRY_MS };
        let totals = match &row.frozen {
            None => kabar_engine::part::Totals::default(),
            Some(frozen) => campaign::totals(&self.0, tenant, campaign, frozen).await.ok_or(unavailable)?,
        };
        let mut view = CampaignView::new(&row, totals);
        view.begins = spec.begins(row.launched);
        self.explain(spec, &row, &mut view).await?;
        Ok(Some(view))
    }

    /// Says what the campaign waits for.
    async fn explain(
        &self,
        spec: &Spec,
        row: &CampaignRow,
        view: &mut CampaignView,
    ) -> Result<(), DispatchError> {
        let now = Timestamp(self.0.clock().now_ms());
        let wait = |reason, until, recipients| Wait { reason, until, recipients };
        if row.phase == Phase::Freezing {
            if let Some(rule) = &spec.timing.recurrence {
                let next = rule.next(view.begins, now.max(view.begins.plus_ms(-1))).ok().flatten();
                view.state = CampaignState::Scheduled;
                view.waits.extend(next.map(|next| wait(WaitReason::Recurrence, Some(next), 0)));
            } else if view.begins > now {
                view.state = CampaignState::Scheduled;
                view.waits.push(wait(WaitReason::Start, Some(view.begins), 0));
            }
            if row.paused {
                view.waits.push(wait(WaitReason::Paused, None, 0));
            }
        } else if row.phase == Phase::Paused && view.totals.waiting > 0 {
            view.waits.push(wait(WaitReason::Paused, None, view.totals.waiting));
        } else if let (Phase::Running, Some(frozen), 1..) = (row.phase, &row.frozen, view.totals.waiting) {
            view.waits = self.waits(spec, frozen, view.totals.waiting, now).await?;
        }
        Ok(())
    }

    /// What the waiting recipients of a running campaign wait for.
    async fn waits(
        &self,
        spec: &Spec,
        frozen: &Frozen,
        waiting: u64,
        now: Timestamp,
    ) -> Result<Vec<Wait>, DispatchError> {
        let mut waits: BTreeMap<(Option<Timestamp>, WaitReason), u64> = BTreeMap::new();
        let mut told = 0;
        for (part, line) in (0_u32..).zip(&frozen.parts) {
            let (campaign, shard) = (spec.id, self.0.shard_of_session(spec.tenant, line.session));
            for (until, recipients, sample) in shard.peek(|o| o.put_back(campaign, part)) {
                if until <= now {
                    continue;
                }
                let reason = self.reason(spec, frozen, sample, (until, now)).await?;
                // Tries that lie apart by chance are told as one.
                let slot = waits.keys().find(|(_, r)| *r == WaitReason::Retry && *r == reason).copied();
                let before = slot.and_then(|slot| waits.remove(&slot).map(|n| (slot.0, n)));
                let (last, more) = before.unwrap_or((Some(until), 0));
                *waits.entry((last.max(Some(until)), reason)).or_default() += recipients + more;
                told += recipients;
            }
        }
        let rest = waiting.saturating_sub(told);
        if rest > 0 {
            let (reason, until) = {
                let senders = frozen.parts.iter().map(|line| line.session).collect();
                self.held_up((spec.tenant, senders), TemplateName::of(&spec.content).as_ref()).await
            };
            *waits.entry((until, reason)).or_default() += rest;
        }
        let each = waits.into_iter().map(|((until, reason), recipients)| Wait { reason, until, recipients });
        Ok(each.take(WAITS_MAX).collect())
    }

    /// Why a recipient was put back: the hours where it is, if they are closed as long as it waits, else another try.
    pub(super) async fn reason(
        &self,
        spec: &Spec,
        frozen: &Frozen,
        index: u32,
        (until, now): (Timestamp, Timestamp),
    ) -> Result<WaitReason, DispatchError> {
        let closed = self.closed(spec, frozen, (index, now)).await?.filter(|wait| wait.until == until);
        Ok(closed.map_or(WaitReason::Retry, |wait| wait.why.into()))
    }

    /// What of the campaign's hours is closed at a moment where a recipient is, and until when.
    pub(super) async fn closed(
        &self,
        spec: &Spec,
        frozen: &Frozen,
        (index, at): (u32, Timestamp),
    ) -> Result<Option<Closed>, DispatchError> {
        if spec.timing.hours.is_always_open() {
            return Ok(None);
        }
        let (chunk, offset) = chunk_of(index);
        let key = ChunkKey { tenant: spec.tenant, campaign: spec.id, attempt: frozen.attempt, chunk };
        let chunk = self.0.store().ledger.get_chunk(key).await?;
        let recipient = chunk.as_ref().and_then(|c| c.recipients.get(offset as usize));
        Ok(recipient.and_then(|recipient| {
            let zone = zone_of(&recipient.address, recipient.zone.as_deref());
            spec.timing.hours.wait(&zone.name, at).ok().flatten()
        }))
    }

    /// What holds recipients up whose turn it is: the first sender that is not well, else the pace.
    pub(super) async fn held_up(
        &self,
        (tenant, senders): (TenantId, BTreeSet<SessionId>),
        template: Option<&TemplateName>,
    ) -> (WaitReason, Option<Timestamp>) {
        let now = Timestamp(self.0.clock().now_ms());
        for sender in senders {
            if let Some(template) = template
                && let Some(link) = self.0.link(tenant, sender).await
                && let Some(until) = link.health.holds(template, now)
            {
                return (WaitReason::Template, until);
            }
            let Some(handle) = self.0.live_session(sender) else { continue };
            let Ok(look) = handle.ask(session::Message::Look).await else { continue };
            if look.link_lost {
                return (WaitReason::LinkLost, None);
            }
            if look.restricted {
                return (WaitReason::Restricted, look.paused_until);
            }
            if look.paused_until.is_some() {
                return (WaitReason::Throttled, look.paused_until);
            }
        }
        (WaitReason::Pace, None)
    }

    /// A launched campaign's recipients; `None` before its audience is frozen.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn recipients(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<Recipients>, DispatchError> {
        Recipients::of(&self.0, tenant, campaign).await
    }

    /// What would become of a campaign if it were launched now.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn preflight(&self, spec: &Spec) -> Result<Preflight, DispatchError> {
        self.0.flush().await;
        preflight(&self.0, spec).await
    }
}
