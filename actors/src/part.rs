//! The part's actor: a patient client of its session. It asks for room, claims recipients at the shard, renders
//! and transmits. It decides nothing and holds no state but what it waits for.

use crate::media::may_name;
use crate::node::{Link, Node};
use crate::plant::Plant;
use crate::session;
use crate::shard::Shard;
use crate::trace;
use crate::turn::tell_held;
use crate::wire::{OnWire, Parcel, Route, Told, transmit};
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::fair::Share;
use kabar_engine::frequency::Purpose;
use kabar_engine::health::{Blocks, TemplateName};
use kabar_engine::id::{CampaignId, MediaId, MessageId, SessionId, TenantId};
use kabar_engine::outgoing::{Outgoing, Reason, Reference, SendError};
use kabar_engine::overlay::decide::{DueAt, PartClaim};
use kabar_engine::overlay::{Answer, Input, Picked};
use kabar_engine::pacing::{Held, Hold, Lane, claim_size};
use kabar_engine::spintax;
use kabar_engine::template::{ContentPattern, MissingVariable};
use kabar_engine::time::Timestamp;
use kabar_runtime::{Actor, Context, Next, Timer};
use kabar_schema::records::Campaign as Spec;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The actor's label.
pub const LABEL: &str = "part";
/// Waits when the store or the session cannot answer.
const WAIT_MS: i64 = 100;
/// What the provider holds back is looked at again after this.
const HELD_LOOK_MS: i64 = 5_000;
/// Room is asked for again after this: what is due meanwhile, a cancel or an expiry, is not to wait for a held number.
const GRANT_WAIT: Duration = Duration::from_secs(10);
/// Longest sleep between two looks at the clock.
const LONGEST_WAIT_MS: i64 = 60_000;

/// What a part's actor is told.
pub enum Message {
    /// Something may have changed.
    Work,
    /// A batch came back; `lost`: some of its answers could not be recorded.
    Back {
        /// Its claims must be adopted.
        lost: bool,
        /// Recipients in it.
        count: u32,
    },
    /// Its files were brought to the provider, or could not be.
    Fetched,
    /// A test makes it panic in the middle of work.
    Panic,
}

/// Which part, of whom, from where.
#[derive(Debug, Clone, Copy)]
pub struct PartName {
    /// Whose.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The part.
    pub part: u32,
    /// The sending session.
    pub session: SessionId,
}

/// The part's actor.
pub struct Part {
    node: Weak<Node>,
    name: PartName,
    work: Option<Arc<Work>>,
    adopted: bool,
    /// Recipients on the wire, also those of several batches.
    in_flight: u32,
    /// Files are on their way to the provider.
    fetching: bool,
    /// They were tried just now.
    fetched: bool,
    /// What the provider held it back by, until now.
    held: Option<Held>,
    timer: Option<Timer>,
}

/// What every claim of the part needs.
struct Work {
    spec: Spec,
    pattern: ContentPattern,
    link: Arc<Link>,
    /// Whether what it sends may name media of ours.
    dressed: bool,
    /// The files every recipient gets: uploaded before the first of them is claimed.
    files: Vec<MediaId>,
    template: Option<TemplateName>,
}

impl Part {
    /// An actor that has looked at nothing yet.
    #[must_use]
    pub fn new(node: Weak<Node>, name: PartName) -> Self {
        let (work, timer, held) = (None, None, None);
        Self { node, name, work, adopted: false, in_flight: 0, fetching: false, fetched: false, held, timer }
    }

    fn wait(&mut self, ctx: &mut Context<Message>, ms: i64) -> Next {
        self.timer = Some(ctx.after_ms(u64::try_from(ms).unwrap_or(1), Message::Work));
        Next::Continue
    }

    async fn go(&mut self, ctx: &mut Context<Message>) -> Next {
        let Some(node) = self.node.upgrade() else { return Next::Stop };
        self.timer = None;
        let PartName { tenant, campaign, part, session } = self.name;
        let shard = node.shard_of_session(tenant, session);
        if self.work.is_none() {
            self.work = self.prepare(&node).await;
        }
        let Some(work) = self.work.clone() else { return self.wait(ctx, WAIT_MS) };
        if !self.adopted && !self.adopt(&node, &shard).await {
            return self.wait(ctx, WAIT_MS);
        }
        let policy = node.policy(tenant).await;
        let (proof_ms, resend) = (policy.proof_ms, policy.resend);
        loop {
            let now = Timestamp(ctx.clock().now_ms());
            let due = shard.peek(|o| o.part_due(campaign, part, now, proof_ms));
            if due.finished || due.next.is_some_and(|at| at <= now) || !self.may_send(&shard) {
                let input = Input::PartDue { tenant, campaign, part, proof_ms, resend };
                if shard.ask(input).await.is_err() {
                    return self.wait(ctx, WAIT_MS);
                }
            }
            let due = shard.peek(|o| o.part_due(campaign, part, now, proof_ms));
            if due.finished && self.in_flight == 0 {
                return Next::Stop;
            }
            if let Some(wait) = self.held_back(&node, &work, now).await {
                let next = due.next.map_or(wait, |at| wait.min(at.since_ms(now).max(1)));
                return self.wait(ctx, next);
            }
            let may = !node.is_draining() && self.may_send(&shard);
            let goes = may && due.ready && self.room(&node) > 0 && self.stocked(&node, &work, ctx);
            if !goes || !self.claim((&node, &shard), &work, policy.weight, ctx).await {
                self.sleep(due, (may, now), ctx);
                return Next::Continue;
            }
        }
    }

    /// How many more may go on the wire: slow answers must not hold back what the pace allows.
    fn room(&self, node: &Node) -> u32 {
        let most = u32::try_from(node.options().connections_per_session).unwrap_or(u32::MAX);
        most.saturating_sub(self.in_flight)
    }

    /// Whether the part may send at all (running, not paused or cancelled).
    fn may_send(&self, shard: &Arc<Shard>) -> bool {
        use kabar_engine::part::PartPhase;
        let (campaign, part) = (self.name.campaign, self.name.part);
        shard.peek(|o| o.part(campaign, part).is_some_and(|p| p.phase == PartPhase::Running))
    }

    /// How long (ms) the provider's hold on the template or the account is waited for before it is looked at again.
    async fn held_back(&mut self, node: &Arc<Node>, work: &Work, now: Timestamp) -> Option<i64> {
        let link = node.link(self.name.tenant, self.name.session).await?;
        let (by, until) = match link.health.blocks(now) {
            (Blocks::Nothing, _) => (Hold::Template, link.health.holds(work.template.as_ref()?, now)?),
            (_, until) => (Hold::Restricted, until),
        };
        self.held.get_or_insert(Held { by, since: now });
        let wait = until.map_or(HELD_LOOK_MS, |until| until.since_ms(now).min(HELD_LOOK_MS));
        Some(wait.max(1))
    }

    /// `may`: what is ready could go. Where that came to nothing, and no call is on the wire that will come back, it is tried
    /// again soon; a part that stands still is told when it may go on.
    fn sleep(&mut self, due: DueAt, (may, now): (bool, Timestamp), ctx: &mut Context<Message>) {
        let again = (may && due.ready && self.in_flight == 0).then(|| now.plus_ms(WAIT_MS));
        if let Some(at) = [due.next, again].into_iter().flatten().min() {
            let wait = at.since_ms(now).clamp(1, LONGEST_WAIT_MS);
            self.timer = Some(ctx.after_ms(u64::try_from(wait).unwrap_or(1), Message::Work));
        }
    }

    async fn prepare(&self, node: &Arc<Node>) -> Option<Arc<Work>> {
        let PartName { tenant, campaign, session, .. } = self.name;
        let spec = node.store().nouns.get::<Spec>(tenant, campaign.0).await.ok()??.noun;
        let link = node.link(tenant, session).await?;
        match ContentPattern::compile(&spec.content, spec.spintax) {
            Ok(pattern) => {
                let (dressed, files) = (may_name(&spec.content), named(&spec.content));
                let template = TemplateName::of(&spec.content);
                Some(Arc::new(Work { spec, pattern, link, dressed, files, template }))
            }
            Err(error) => {
                tracing::error!(%campaign, %error, "a launched campaign's content does not compile");
                None
            }
        }
    }

    /// Whether the provider has the files that everybody gets. Otherwise they are brought there now, beside the actor, and
    /// nobody is claimed meanwhile: what is claimed could be lost with the process, what waits could not. An upload that
    /// comes to nothing is the recipients' to hear.
    fn stocked(&mut self, node: &Arc<Node>, work: &Arc<Work>, ctx: &Context<Message>) -> bool {
        if self.fetching {
            return false;
        }
        let (session, now) = (self.name.session, Timestamp(ctx.clock().now_ms()));
        let known = |file: &MediaId| node.media().copies.is_known(session, *file, now);
        if work.files.iter().all(known) || std::mem::take(&mut self.fetched) {
            return true;
        }
        self.fetching = true;
        let (node, work, me) = (Arc::clone(node), Arc::clone(work), ctx.handle().clone());
        tokio::spawn(async move {
            for file in &work.files {
                if let Err(error) = node.media().copies.of(&node, &work.link, *file).await {
                    tracing::debug!(%error, "a campaign's media is not with the provider");
                }
            }
            let _restarting = me.force(Message::Fetched);
        });
        false
    }

    async fn adopt(&mut self, node: &Arc<Node>, shard: &Arc<Shard>) -> bool {
        let PartName { tenant, campaign, part, .. } = self.name;
        if node.part_on_wire(campaign, part).load(Ordering::Acquire) > 0 {
            return false;
        }
        self.adopted = shard.ask(Input::PartAdopt { tenant, campaign, part }).await.is_ok();
        self.adopted
    }

    /// Claims and transmits one batch; `false` when there was no room or nothing to claim.
    async fn claim(
        &mut self,
        (node, shard): (&Arc<Node>, &Arc<Shard>),
        work: &Arc<Work>,
        weight: u32,
        ctx: &Context<Message>,
    ) -> bool {
        let PartName { tenant, campaign, part, session } = self.name;
        let want = claim_size(work.link.rate()).min(self.room(node));
        let Some(desk) = node.session_handle(tenant, session).await else { return false };
        let share = Share { of: campaign, weight: work.spec.weight, cost: want };
        let grant = desk.ask(|reply| session::Message::Grant(share, reply));
        let Ok(Ok(mut permits)) = tokio::time::timeout(GRANT_WAIT, grant).await else { return false };
        let asked = Timestamp(ctx.clock().now_ms());
        let share = Share { of: tenant, weight, cost: permits.count() };
        let mut turn = node.turns().take(Lane::Broadcast, share).await;
        let now = Timestamp(ctx.clock().now_ms());
        let held = longer(permits.held(), Held { by: Hold::Turn, since: asked }, (asked, now));
        let held = self.held.take().or(held);
        let claim = PartClaim {
            tenant,
            campaign,
            part,
            max: turn.count() as usize,
            free_form: work.spec.content.needs_window(),
            hours: work.spec.timing.hours.clone(),
            held,
        };
        let picked = match shard.ask(Input::PartClaim(claim)).await {
            Ok(Answer::Picked(picked)) => picked,
            _ => Vec::new(),
        };
        let count = u32::try_from(picked.len()).unwrap_or(u32::MAX);
        permits.used(count);
        turn.used(count);
        if picked.is_empty() {
            return false;
        }
        tell_held(held, now);
        self.in_flight = self.in_flight.saturating_add(count);
        let row = trace::is_heard().then(|| shard.peek(|o| o.part(campaign, part))).flatten();
        let message = |index| row.as_ref().and_then(|row| row.message(index));
        let parcels = picked.iter().map(|p| self.parcel(work, p, message(p.index))).collect();
        let route = Route {
            node: Arc::clone(node),
            tenant,
            shard: Arc::clone(shard),
            connector: Arc::clone(&work.link.connector),
            held: OnWire::enter(&node.part_on_wire(campaign, part)),
        };
        let me = ctx.handle().clone();
        tokio::spawn(async move {
            let file = move |results: Vec<(u32, Told)>, random| Input::PartAnswers {
                tenant,
                campaign,
                part,
                results,
                random,
            };
            let mut feedback = transmit(route, parcels, file).await;
            drop((permits, turn));
            // A part's calls are not counted among the session's own: its permits were.
            let lost = std::mem::take(&mut feedback.lost);
            feedback.done = 0;
            let _gone = desk.force(session::Message::Back(feedback));
            let _restarting = me.force(Message::Back { count, lost });
        });
        true
    }

    /// Renders one recipient's message; what cannot be rendered is answered instead of sent.
    fn parcel(&self, work: &Work, picked: &Picked, message: Option<MessageId>) -> Parcel<u32> {
        let recipient = &picked.chunk.recipients[picked.offset as usize];
        let to = recipient.address.clone();
        let seed = spintax::seed(self.name.campaign, &to);
        let lookup = |name: &str| picked.chunk.value(picked.offset, name);
        let rendered = work.pattern.render(seed, &lookup);
        let instead = rendered.as_ref().err().map(unrendered);
        let content = rendered.unwrap_or_else(|_| work.spec.content.clone());
        let outgoing = Outgoing {
            session: self.name.session,
            reference: Reference::Campaign(self.name.campaign, picked.index),
            to,
            content: Arc::new(content),
            context: None,
            identity: None,
        };
        let marketing = work.spec.purpose == Purpose::Marketing;
        Parcel { key: picked.index, message, outgoing, dressed: work.dressed, marketing, instead }
    }
}

/// The media of ours that a content names, whoever gets it.
fn named(content: &Content) -> Vec<MediaId> {
    let mut files: Vec<MediaId> =
        content.media_uses().iter().filter_map(|name| name.id.parse().ok()).collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// What a claim waited for longest: its number's grant until `granted`, or the node's turn since then.
fn longer(number: Option<Held>, node: Held, (granted, now): (Timestamp, Timestamp)) -> Option<Held> {
    let before = number.map_or(0, |held| granted.since_ms(held.since));
    if now.since_ms(node.since) > before { node.told(now) } else { number }
}

/// What a recipient is answered whose message cannot be rendered.
fn unrendered(missing: &MissingVariable) -> SendError {
    let detail = format!("the variable `{}` has no value", missing.name);
    SendError::Rejected(Reason { cause: Cause::RENDER, detail, trace: None })
}

impl Actor for Part {
    type Message = Message;

    async fn started(&mut self, ctx: &mut Context<Message>) -> Next {
        self.go(ctx).await
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Message>) -> Next {
        match message {
            Message::Work => {}
            Message::Fetched => (self.fetching, self.fetched) = (false, true),
            Message::Back { count, lost } => {
                if self.node.upgrade().is_some_and(|node| node.options().plant == Plant::LostWakeup) {
                    return Next::Continue;
                }
                self.in_flight = self.in_flight.saturating_sub(count);
                self.adopted &= !lost;
            }
            #[expect(clippy::panic, reason = "a test's way to see the supervisor at work")]
            Message::Panic => panic!("planted: a part's actor panics"),
        }
        self.go(ctx).await
    }
}

#[cfg(test)]
mod tests;
