//! A subscription's actor: follows its tenant's events, carries them to the tenant's address in the order of each
//! conversation, tries again by the engine's schedule, and writes down where it stands. What is not written down when a
//! kill comes is carried again, under the same name. A slow or dead address keeps this actor waiting and nobody else.

mod log;
mod served;
mod state;
mod texts;

pub use kabar_connectors::webhook::{Delivered, Delivery};
pub(crate) use served::Served;
pub use served::{Call, Courier, Render, Verify};
pub(crate) use state::clean;

use crate::metrics;
use crate::node::Node;
use kabar_engine::entry::Position;
use kabar_engine::id::{EventId, ShardId, TenantId, WebhookId};
use kabar_engine::overlay::Input;
use kabar_engine::subscription::Pending;
use kabar_engine::time::Timestamp;
use kabar_runtime::{Actor, Context, Next, Reply, Timer};
use kabar_schema::error::StoreError;
use kabar_schema::records::{Subscription as Record, Versioned, WhyDisabled};
use state::State;
use std::sync::{Arc, Weak};
use tokio::task::JoinHandle;

/// The actor's label.
pub const LABEL: &str = "webhook";
/// Messages that may wait: bells and answers.
pub(crate) const MAILBOX: u32 = 256;
/// Where it stands is written this long (ms) after a change.
const SAVE_MS: u64 = 1_000;
/// A place that moved on alone is written this often (ms): it must not grow older than what is kept.
const PLACE_MS: i64 = 600_000;
/// It looks without being rung this often (ms).
const LOOK_MS: u64 = 60_000;
/// Between two rings (ms): what comes in bursts is read in pages.
const RING_MS: u64 = 20;
/// Wait (ms) after the store did not answer.
const RETRY_MS: u64 = 1_000;
/// Attempts whose lines are not written: more wait until they are.
const UNWRITTEN_MAX: usize = 2_048;

/// What a subscription's actor is told.
pub enum Message {
    /// There may be something to do.
    Work,
    /// The record was changed; the answer comes when that is heeded.
    Changed(Reply<()>),
    /// An attempt has ended.
    Answered(EventId, Timestamp, Delivered),
    /// Write down where it stands.
    Save,
    /// Carry these once more; the answer comes when they are written down: how many there was room for.
    Again(Vec<Pending>, Reply<Result<usize, StoreError>>),
    /// Begin again with what happened at this moment.
    Rewind(Timestamp, Reply<Result<(), StoreError>>),
    /// A test makes it panic in the middle of work.
    Panic,
}

/// The actor.
pub struct Subscription {
    node: Weak<Node>,
    tenant: TenantId,
    id: WebhookId,
    state: Option<State>,
    work: Option<Timer>,
    save: Option<Timer>,
    bell: Option<Bell>,
}

/// Rings the actor when its tenant has new events, as long as it is held.
struct Bell(JoinHandle<()>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Subscription {
    /// An actor that has looked at nothing yet.
    #[must_use]
    pub fn new(node: Weak<Node>, tenant: TenantId, id: WebhookId) -> Self {
        Self { node, tenant, id, state: None, work: None, save: None, bell: None }
    }

    /// Reads the record and where it stands; stops when it is not to be served.
    async fn load(&mut self, ctx: &mut Context<Message>) -> Next {
        let Some(node) = self.node.upgrade() else { return Next::Stop };
        let record = match node.store().nouns.get::<Record>(self.tenant, self.id.0).await {
            Ok(record) => record.map(|found| found.noun),
            Err(_) => return self.later(ctx, RETRY_MS),
        };
        if record.is_none() {
            // Of one that is no more nothing is written: whoever deleted it cleans up.
            self.state = None;
        }
        let Some(record) = record.filter(|record| record.disabled.is_none()) else {
            node.served().remove(self.id);
            return Next::Stop;
        };
        let loaded = match &mut self.state {
            Some(state) => state.change(&node, record).await,
            None => State::load(&node, record).await.map(|state| self.state = Some(state)),
        };
        if loaded.is_err() {
            return self.later(ctx, RETRY_MS);
        }
        self.ring(ctx);
        self.later(ctx, 1)
    }

    /// From now on the tide rings.
    fn ring(&mut self, ctx: &Context<Message>) {
        let Some(state) = &self.state else { return };
        let (mut risen, handle) = (state.bell(), ctx.handle().clone());
        self.bell = Some(Bell(tokio::spawn(async move {
            while risen.changed().await.is_ok() {
                // Refused: it has more than enough to do, and looks by itself.
                let _ = handle.offer(Message::Work);
                handle.clock().sleep_ms(RING_MS).await;
            }
        })));
    }

    fn later(&mut self, ctx: &Context<Message>, ms: u64) -> Next {
        self.work = Some(ctx.after_ms(ms, Message::Work));
        Next::Continue
    }

    async fn turn(&mut self, ctx: &mut Context<Message>) -> Next {
        let Some(node) = self.node.upgrade() else { return Next::Stop };
        let Some(state) = &mut self.state else { return self.load(ctx).await };
        if node.is_draining() {
            return Next::Continue;
        }
        let read = state.read(&node).await;
        let now = Timestamp(node.clock().now_ms());
        while state.log.waiting() < UNWRITTEN_MAX
            && let Some(pending) = state.queue.start(now)
        {
            match state.attempt(&node, pending, now).await {
                Ok(Some(call)) => {
                    let (handle, event) = (ctx.handle().clone(), pending.event);
                    tokio::spawn(async move {
                        // An actor that was made anew meanwhile tries again.
                        let _ = handle.force(Message::Answered(event, now, call.await));
                    });
                }
                Ok(None) => {}
                Err(_) => {
                    state.queue.answered_nothing(pending.event, now.plus_ms(1_000));
                    break;
                }
            }
        }
        let wait = match read {
            Ok(true) => 1,
            Ok(false) => {
                let due = state.queue.next_due().map(|due| due.since_ms(now).max(1));
                due.and_then(|ms| u64::try_from(ms).ok()).map_or(LOOK_MS, |ms| ms.min(LOOK_MS))
            }
            Err(error) => {
                tracing::debug!(webhook = %self.id, %error, "events could not be read now");
                RETRY_MS
            }
        };
        self.mark(ctx, now);
        self.later(ctx, wait)
    }

    /// Sees to it that what has changed is written down soon.
    fn mark(&mut self, ctx: &Context<Message>, now: Timestamp) {
        let Some(state) = &self.state else { return };
        let old = now.since_ms(state.saved_at) >= PLACE_MS;
        if (state.dirty || old) && self.save.is_none() {
            self.save = Some(ctx.after_ms(SAVE_MS, Message::Save));
        }
    }

    async fn answered(
        &mut self,
        ctx: &mut Context<Message>,
        (event, at): (EventId, Timestamp),
        delivered: Delivered,
    ) -> Next {
        let Some(node) = self.node.upgrade() else { return Next::Stop };
        let Some(state) = &mut self.state else { return Next::Continue };
        let now = Timestamp(node.clock().now_ms());
        state.file((event, at), &delivered, now);
        match state.queue.given_up(state.record.switched, now) {
            Some(since) => self.give_up(&node, ctx, since).await,
            None => self.turn(ctx).await,
        }
    }

    /// Nothing succeeded for too long. The event comes first: a crash between the two tells it twice rather than never.
    async fn give_up(&mut self, node: &Arc<Node>, ctx: &mut Context<Message>, since: Timestamp) -> Next {
        let (tenant, webhook) = (self.tenant, self.id);
        let shard = node.shard(ShardId::of_webhook(tenant, webhook));
        let told = shard.ask(Input::DisableWebhook { tenant, webhook, since }).await.is_ok();
        if told && switch_off(node, (tenant, webhook)).await.is_ok() {
            tracing::warn!(%webhook, "nothing was delivered for five days; the subscription is served no more");
            metrics::webhook_disabled();
            return self.load(ctx).await;
        }
        self.later(ctx, RETRY_MS)
    }

    async fn write(&mut self, ctx: &Context<Message>) {
        self.save = None;
        let (Some(node), Some(state)) = (self.node.upgrade(), &mut self.state) else { return };
        if let Err(error) = state.save(&node).await {
            tracing::debug!(webhook = %self.id, %error, "where a subscription stands could not be written now");
            self.save = Some(ctx.after_ms(SAVE_MS, Message::Save));
        }
    }

    async fn again(&mut self, pending: Vec<Pending>) -> Result<usize, StoreError> {
        let (Some(node), Some(state)) = (self.node.upgrade(), &mut self.state) else {
            return Err(StoreError::Unavailable);
        };
        let mut taken = 0;
        for pending in pending {
            if state.queue.room() == 0 {
                break;
            }
            // What waits already is carried anyway.
            state.queue.push(pending);
            taken += 1;
        }
        state.dirty = true;
        state.save(&node).await.map(|()| taken)
    }

    async fn rewind(&mut self, since: Timestamp) -> Result<(), StoreError> {
        let (Some(node), Some(state)) = (self.node.upgrade(), &mut self.state) else {
            return Err(StoreError::Unavailable);
        };
        state.rewind(&node, since).await?;
        state.save(&node).await
    }
}

/// Writes down that it is served no more.
async fn switch_off(node: &Arc<Node>, (tenant, webhook): (TenantId, WebhookId)) -> Result<(), StoreError> {
    let nouns = &node.store().nouns;
    let Some(Versioned { mut noun, version }) = nouns.get::<Record>(tenant, webhook.0).await? else {
        return Ok(());
    };
    noun.disabled = noun.disabled.or(Some(WhyDisabled::Failing));
    noun.switched = Timestamp(node.clock().now_ms());
    nouns.update(&noun, version).await.map(|_| ())
}

/// Where every shard stands durably now, as a standing keeps it.
pub(crate) fn tips(node: &Node) -> Vec<(u8, u64)> {
    let tips = node.tips().0.into_iter();
    tips.filter(|(_, at)| *at > Position(0)).map(|(shard, at)| (shard.0, at.0)).collect()
}

impl Actor for Subscription {
    type Message = Message;

    async fn started(&mut self, ctx: &mut Context<Message>) -> Next {
        self.load(ctx).await
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Message>) -> Next {
        match message {
            Message::Work => self.turn(ctx).await,
            Message::Changed(reply) => {
                let next = self.load(ctx).await;
                reply.send(());
                next
            }
            Message::Answered(event, at, delivered) => self.answered(ctx, (event, at), delivered).await,
            Message::Save => {
                self.write(ctx).await;
                Next::Continue
            }
            Message::Again(pending, reply) => {
                reply.send(self.again(pending).await);
                self.turn(ctx).await
            }
            Message::Rewind(since, reply) => {
                reply.send(self.rewind(since).await);
                self.turn(ctx).await
            }
            #[expect(clippy::panic, reason = "a test's way to see the supervisor at work")]
            Message::Panic => panic!("planted: a subscription's actor panics"),
        }
    }

    async fn stopped(&mut self) {
        let (Some(node), Some(state)) = (self.node.upgrade(), &mut self.state) else { return };
        if state.dirty
            && let Err(error) = state.save(&node).await
        {
            tracing::debug!(webhook = %self.id, %error, "where a subscription stands was not written at its end");
        }
    }
}
