//! Decisions about a campaign's phase, in its own shard.

use super::{Answer, Effect, Effects, Refusal, Wake, refuse};
use crate::campaign::{CampaignRow, Verb};
use crate::entry::{Frozen, What};
use crate::id::{CampaignId, CommandId, TenantId};
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

    pub(super) fn launch(&self, tenant: TenantId, campaign: CampaignId, now: Timestamp) -> Vec<Effect> {
        if self.campaigns.get(&campaign).is_some() {
            return refuse(Refusal::WrongPhase);
        }
        self.commanded(tenant, campaign, Verb::Launch, now)
    }

    pub(super) fn move_campaign(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        verb: Verb,
        now: Timestamp,
    ) -> Vec<Effect> {
        match self.owned(tenant, campaign) {
            None => refuse(Refusal::NotFound),
            Some(row) if !row.may(verb) => refuse(Refusal::WrongPhase),
            Some(_) => self.commanded(tenant, campaign, verb, now),
        }
    }

    fn commanded(&self, tenant: TenantId, campaign: CampaignId, verb: Verb, now: Timestamp) -> Vec<Effect> {
        let mut effects = Effects::new(tenant, now);
        let command = self.command(now);
        effects.append(What::Moved { campaign, verb, command });
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
