//! The campaign's actor: freezes the audience, tells the parts what is wanted until each has taken it over, and
//! notices the end. It holds the phase only through the shard; totals are the sum of its parts'.

use crate::freeze::{FreezeError, freeze, freeze_nobody};
use crate::frequency::LatelyError;
use crate::metrics;
use crate::node::Node;
use crate::shard::{DoorError, Shard};
use kabar_engine::campaign::{CampaignRow, Phase};
use kabar_engine::entry::Frozen;
use kabar_engine::id::{CampaignId, TenantId};
use kabar_engine::overlay::decide::PartOrder;
use kabar_engine::overlay::{Input, Key};
use kabar_engine::part::Totals;
use kabar_engine::schedule::Recurrence;
use kabar_engine::time::Timestamp;
use kabar_runtime::{Actor, Context, Next, Timer};
use kabar_schema::error::StoreError;
use kabar_schema::records::{Campaign as Spec, Origin, Relation, Timing};
use std::sync::{Arc, Weak};

/// The actor's label.
pub const LABEL: &str = "campaign";
/// A running campaign looks at its parts this often.
const LOOK_MS: u64 = 500;
/// Waits after something could not be done.
const RETRY_MS: u64 = 500;
/// Longest sleep between two looks at the clock.
const LONGEST_WAIT_MS: u64 = 60_000;

/// What a campaign's actor is told.
pub enum Message {
    /// Something may have changed.
    Work,
    /// A test makes it panic in the middle of work.
    Panic,
}

/// The campaign's actor.
pub struct Campaign {
    node: Weak<Node>,
    tenant: TenantId,
    id: CampaignId,
    timer: Option<Timer>,
}

impl Campaign {
    /// An actor that has looked at nothing yet.
    #[must_use]
    pub fn new(node: Weak<Node>, tenant: TenantId, id: CampaignId) -> Self {
        Self { node, tenant, id, timer: None }
    }

    async fn work(&mut self, ctx: &mut Context<Message>) -> Next {
        let Some(node) = self.node.upgrade() else { return Next::Stop };
        self.timer = None;
        let shard = node.shard_of_campaign(self.tenant, self.id);
        let wait = match self.step(&node, &shard).await {
            Step::Done => return Next::Stop,
            Step::Look => LOOK_MS,
            Step::Retry => RETRY_MS,
            Step::Again => 1,
            Step::At(ms) => u64::try_from(ms).unwrap_or(1).clamp(1, LONGEST_WAIT_MS),
        };
        self.timer = Some(ctx.after_ms(wait, Message::Work));
        Next::Continue
    }

    async fn step(&self, node: &Arc<Node>, shard: &Arc<Shard>) -> Step {
        let id = self.id;
        let read = shard.read(&[Key::Campaign(id)], |o| o.campaign(id)).await;
        let Ok(row) = read else { return Step::Retry };
        let Some(row) = row.filter(|r| r.is_live()) else { return Step::Done };
        let Ok(spec) = node.store().nouns.get::<Spec>(self.tenant, id.0).await else { return Step::Retry };
        let Some(spec) = spec.map(|v| v.noun) else {
            tracing::error!(campaign = %id, "a launched campaign has no record");
            return Step::Done;
        };
        if row.phase == Phase::Freezing {
            return self.before(node, shard, &spec, row.launched).await;
        }
        let Some(frozen) = row.frozen.clone() else { return Step::Done };
        let waiting = row.disobedient();
        if !waiting.is_empty() {
            return self.order(node, shard, (&spec, &row, &frozen), waiting).await;
        }
        match self.totals(node, &frozen).await {
            None => Step::Retry,
            Some(totals) if totals.is_finished() => {
                let finish = Input::Finish { tenant: self.tenant, campaign: id };
                if shard.ask(finish).await.is_ok() { Step::Done } else { Step::Retry }
            }
            Some(_) => Step::Look,
        }
    }

    /// Before the audience is frozen: the start is waited for, a recurring campaign lives here until its last time.
    async fn before(&self, node: &Arc<Node>, shard: &Arc<Shard>, spec: &Spec, launched: Timestamp) -> Step {
        let (now, begins) = (Timestamp(node.clock().now_ms()), spec.begins(launched));
        // Any number will do that an earlier, crashed attempt did not use.
        let attempt = ((node.options().dice.throw() >> 32) as u32).max(1);
        match &spec.timing.recurrence {
            Some(rule) => match recur(node, spec, rule, (begins, now)).await {
                Some(Some(next)) => Step::At(next.since_ms(now)),
                Some(None) => {
                    let frozen = freeze_nobody(spec, attempt);
                    let asked = shard.ask(Input::Freeze { tenant: self.tenant, frozen }).await;
                    if asked.is_ok() { Step::Again } else { Step::Retry }
                }
                None => Step::Retry,
            },
            None if begins > now => Step::At(begins.since_ms(now)),
            None => self.freeze(node, shard, (spec, launched), attempt).await,
        }
    }

    async fn freeze(
        &self,
        node: &Arc<Node>,
        shard: &Arc<Shard>,
        (spec, launched): (&Spec, Timestamp),
        attempt: u32,
    ) -> Step {
        match freeze(node, spec, launched, attempt).await {
            Ok(frozen) => {
                let left_out = [
                    ("opted_out", frozen.opted_out),
                    ("missing_variable", frozen.missing_variable),
                    ("frequency_cap", frozen.frequency_capped),
                ];
                if shard.ask(Input::Freeze { tenant: self.tenant, frozen }).await.is_err() {
                    return Step::Retry;
                }
                // Counted once, however often it was tried.
                left_out.into_iter().for_each(|(cause, count)| metrics::left_out(cause, count));
                Step::Again
            }
            Err(FreezeError::Lately(LatelyError::Earlier(other))) => {
                tracing::debug!(campaign = %self.id, %other, "another campaign's audience is frozen first");
                Step::Retry
            }
            Err(error) => {
                tracing::error!(campaign = %self.id, %error, "the audience could not be frozen; trying again");
                Step::Retry
            }
        }
    }

    /// Brings the latest command to the parts that have not taken it over.
    async fn order(
        &self,
        node: &Arc<Node>,
        shard: &Arc<Shard>,
        (spec, row, frozen): (&Spec, &CampaignRow, &Frozen),
        waiting: Vec<u32>,
    ) -> Step {
        let (tenant, campaign, begins) = (self.tenant, self.id, spec.begins(row.launched));
        let mut obeyed = Vec::new();
        for part in waiting.into_iter().take(64) {
            let manifest = node.store().ledger.get_part(tenant, campaign, frozen.attempt, part).await;
            let Ok(Some(manifest)) = manifest else { return Step::Retry };
            let order = PartOrder {
                tenant,
                campaign,
                part,
                attempt: frozen.attempt,
                session: manifest.session,
                launched: begins,
                valid_until: begins.plus_ms(spec.timing.valid_for_ms),
                chunks: manifest.chunks,
                verb: row.verb,
                command: row.command,
            };
            let target = node.shard_of_session(tenant, manifest.session);
            if target.ask(Input::Order(Box::new(order))).await.is_ok() {
                obeyed.push(part);
            }
        }
        let input = Input::Obey { tenant, campaign, command: row.command, parts: obeyed };
        match shard.ask(input).await {
            Ok(_) => Step::Again,
            Err(_) => Step::Retry,
        }
    }

    async fn totals(&self, node: &Arc<Node>, frozen: &Frozen) -> Option<Totals> {
        totals(node, self.tenant, self.id, frozen).await
    }
}

/// The sum of the parts' totals, asked from their shards now; a part that has not begun counts as waiting.
pub async fn totals(
    node: &Arc<Node>,
    tenant: TenantId,
    campaign: CampaignId,
    frozen: &Frozen,
) -> Option<Totals> {
    let mut sum = Totals::default();
    for (part, line) in (0_u32..).zip(&frozen.parts) {
        let shard = node.shard_of_session(tenant, line.session);
        let part = shard.read(&[Key::Part(campaign, part)], move |o| o.totals(campaign, part)).await.ok()?;
        let begins = || Totals {
            recipients: u64::from(line.recipients),
            waiting: u64::from(line.recipients),
            ..Totals::default()
        };
        sum.add(&part.unwrap_or_else(begins));
    }
    Some(sum)
}

enum Step {
    Done,
    Look,
    Retry,
    Again,
    /// Nothing to do for so many milliseconds.
    At(i64),
}

/// Makes and launches the times of a recurring campaign that have come, each once, and says when the next one comes;
/// `Some(None)` behind the last one, `None` when something could not be done. A time whose validity has run out
/// meanwhile (nobody was here, or it was paused) is left out: all its recipients would have expired.
async fn recur(
    node: &Arc<Node>,
    spec: &Spec,
    rule: &Recurrence,
    (begins, now): (Timestamp, Timestamp),
) -> Option<Option<Timestamp>> {
    let tenant = spec.tenant;
    let since = now.plus_ms(-spec.timing.valid_for_ms).max(begins.plus_ms(-1));
    let shard = node.shard_of_campaign(tenant, spec.id);
    let held = shard.peek(|o| o.campaign(spec.id).is_some_and(|row| row.paused));
    let due = if held { Vec::new() } else { rule.between(begins, since, now).ok()? };
    for at in due {
        let occurrence = occurrence(spec, at, now);
        match node.store().nouns.create(&occurrence).await {
            // Made before, here or by an earlier life of this actor.
            Ok(()) | Err(StoreError::Conflict) => {}
            Err(_) => return None,
        }
        let campaign = occurrence.id;
        let launch = Input::Launch { tenant, campaign, idempotency: None };
        match node.shard_of_campaign(tenant, campaign).ask(launch).await {
            Ok(_) | Err(DoorError::Refused(_)) => {}
            Err(_) => return None,
        }
    }
    rule.next(begins, now).ok()
}

/// One time of a recurring campaign. Its id says which, so that it is made once.
fn occurrence(spec: &Spec, at: Timestamp, now: Timestamp) -> Spec {
    let key = format!("occurrence {} {}", spec.id, at.0);
    Spec {
        id: CampaignId::derived(spec.tenant, key.as_bytes()),
        name: format!("{} {}", spec.name, at.to_rfc3339()),
        timing: Timing { start_at: Some(at), recurrence: None, ..spec.timing.clone() },
        origin: Some(Origin { campaign: spec.id, relation: Relation::Occurrence }),
        body_hash: String::new(),
        created: now,
        ..spec.clone()
    }
}

impl Actor for Campaign {
    type Message = Message;

    async fn started(&mut self, ctx: &mut Context<Message>) -> Next {
        self.work(ctx).await
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Message>) -> Next {
        match message {
            Message::Work => self.work(ctx).await,
            #[expect(clippy::panic, reason = "a test's way to see the supervisor at work")]
            Message::Panic => panic!("planted: a campaign's actor panics"),
        }
    }
}
