//! Decisions about a campaign's phase, in its own shard.

use super::{Answer, Effect, Effects, Refusal, Wake, refuse};
use crate::campaign::{CampaignRow, Verb};
use crate::entry::{Frozen, What};
use crate::id::{CampaignId, CommandId, TenantId};
use crate::once::Once;
use crate::overlay::Overlay;
use crate::time::Timestamp;

impl Overlay {
    fn owned(&self, tenant: TenantId, campaign: CampaignId) -> Option<&CampaignRow> {
        self.campaigns.get(&campaign).filter(|c| c.tenant == tenant)
    }

    fn command(&self, now: Timestamp) -> CommandId {
        let mut sequence = self.sequence;
        CommandId(sequence.next(self.shard, now))
    }

    pub(super) fn launch(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        once: Option<Once>,
        now: Timestamp,
    ) -> Vec<Effect> {
        match self.campaigns.get(&campaign) {
            None => self.commanded((tenant, campaign), Verb::Launch, once, now),
            Some(row) => {
                let met = if row.tenant == tenant { self.met(once, now) } else { None };
                met.unwrap_or_else(|| refuse(Refusal::WrongPhase))
            }
        }
    }

    pub(super) fn move_campaign(
        &self,
        whose: (TenantId, CampaignId),
        verb: Verb,
        once: Option<Once>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(row) = self.owned(whose.0, whose.1) else { return refuse(Refusal::NotFound) };
        match self.met(once, now) {
            Some(met) => met,
            None if row.may(verb) => self.commanded(whose, verb, once, now),
            None => refuse(Refusal::WrongPhase),
        }
    }

    fn commanded(
        &self,
        (tenant, campaign): (TenantId, CampaignId),
        verb: Verb,
        once: Option<Once>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        let command = self.command(now);
        effects.append(What::Moved { campaign, verb, command, once: once.map(Box::new) });
        effects.reply_and_wake(Answer::Commanded(command), Wake::Campaign(tenant, campaign))
    }

    pub(super) fn freeze(&self, tenant: TenantId, frozen: &Frozen, now: Timestamp) -> Vec<Effect> {
        let Some(row) = self.owned(tenant, frozen.campaign) else { return refuse(Refusal::NotFound) };
        if row.frozen.is_some() || row.phase != crate::campaign::Phase::Freezing {
            return refuse(Refusal::WrongPhase);
        }
        let mut effects = Effects::new(tenant, now);
        effects.append(What::Frozen(Box::new(frozen.clone())));
        effects.done()
    }

    pub(super) fn obey(
        &self,
        (tenant, campaign): (TenantId, CampaignId),
        command: CommandId,
        parts: &[u32],
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(row) = self.owned(tenant, campaign) else { return refuse(Refusal::NotFound) };
        let mut effects = Effects::new(tenant, now);
        let new: Vec<u32> = parts.iter().copied().filter(|p| !row.obeyed.contains(p)).collect();
        if row.command == command && !new.is_empty() {
            effects.append(What::Obeyed { campaign, command, parts: new });
        }
        effects.done()
    }

    pub(super) fn finish(&self, tenant: TenantId, campaign: CampaignId, now: Timestamp) -> Vec<Effect> {
        use crate::campaign::Phase;
        match self.owned(tenant, campaign) {
            None => refuse(Refusal::NotFound),
            Some(row) if matches!(row.phase, Phase::Running | Phase::Paused) => {
                let mut effects = Effects::new(tenant, now);
                effects.append(What::Finished { campaign });
                effects.done()
            }
            Some(_) => refuse(Refusal::WrongPhase),
        }
    }
}
