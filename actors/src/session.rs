//! The session's actor: its outbox, its pace, its calls in flight. It asks the shard what to send, never
//! decides it; the parts of campaigns that leave from its number ask it for room.

mod outcome;
mod parcel;
mod permit;
mod sleep;
#[cfg(test)]
mod tests;

pub use permit::Permits;

use crate::node::{Link, Node};
use crate::shard::Shard;
use crate::turn::{Turn, tell_held};
use crate::wire::{Feedback, OnWire, Parcel, Route, Told, transmit};
use kabar_engine::fair::{Queue, Share};
use kabar_engine::health::Blocks;
use kabar_engine::id::{CampaignId, MessageId, SessionId, TenantId};
use kabar_engine::overlay::{Answer, Input, Overlay};
use kabar_engine::pacing::{Bucket, Held, Hold, Holding, Lane, PairLimit, Throttle, claim_size};
use kabar_engine::time::Timestamp;
use kabar_runtime::{Actor, Context, Handle, Next, Reply, Timer};
use parcel::parcel;
use permit::Asked;
use sleep::worthwhile;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// The actor's label.
pub const LABEL: &str = "session";
/// A link that is lost is tried again after this.
const LINK_LOST_WAIT_MS: i64 = 30_000;
/// Looks at the calls of an earlier incarnation this often before adopting what they left.
const ADOPT_WAIT_MS: u64 = 50;
/// Waits after the store could not answer.
const STORE_WAIT_MS: u64 = 200;
/// A restricted account is looked at again after this.
const RESTRICTED_LOOK_MS: i64 = 60_000;

/// What a session's actor is told.
pub enum Message {
    /// Something may have changed.
    Work,
    /// A part of this campaign wants room for so many.
    Grant(Share<CampaignId>, Reply<Permits>),
    /// The node's turn that was asked for has come.
    Turn(Turn),
    /// Room that was granted is free again; so much of it was never used.
    Return {
        /// Places among the calls.
        places: u32,
        /// Tokens of the pace.
        unused: u32,
    },
    /// A batch came back.
    Back(Feedback),
    /// Its record or its health changed.
    Relink,
    /// A webhook says that this is held or too fast.
    Throttled(Throttle),
    /// How does it look?
    Look(Reply<Look>),
    /// Its record was changed or taken away: what was read of it holds no longer.
    Changed,
    /// A test makes it panic in the middle of work.
    Panic,
}

/// What a session shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Calls in flight.
    pub in_flight: u32,
    /// Throttled until.
    pub paused_until: Option<Timestamp>,
    /// The link is lost.
    pub link_lost: bool,
    /// The provider restricts the account.
    pub restricted: bool,
    /// The last time the provider accepted something.
    pub last_success: Option<Timestamp>,
}

/// Asking the shard came to nothing: it cannot answer now, or nothing of what waits can go. To ask again at once is no use.
struct Stuck;

/// The session's actor.
pub struct Session {
    node: Weak<Node>,
    tenant: TenantId,
    id: SessionId,
    pace: Option<Pace>,
    adopted: bool,
    in_flight: u32,
    waiting: Queue<CampaignId, Asked>,
    /// Why the parts that waited last had to.
    scant: Hold,
    holding: Holding,
    /// A turn of the node that has come.
    turn: Option<Turn>,
    turn_asked: bool,
    timer: Option<Timer>,
    link_lost: bool,
    /// Paused because the account is held or restricted.
    restricted: bool,
    /// How often in a row the account was held, and the provider could not be reached.
    strikes: u32,
    unreached: u32,
    /// The link is to be read anew.
    stale: bool,
    paused_until: Option<Timestamp>,
    last_success: Option<Timestamp>,
}

struct Pace {
    link: Arc<Link>,
    bucket: Bucket,
    pairs: PairLimit,
}

impl Session {
    /// An actor that has looked at nothing yet.
    #[must_use]
    pub fn new(node: Weak<Node>, tenant: TenantId, id: SessionId) -> Self {
        Self {
            node,
            tenant,
            id,
            pace: None,
            adopted: false,
            in_flight: 0,
            waiting: Queue::default(),
            scant: Hold::Pace,
            holding: Holding::default(),
            turn: None,
            turn_asked: false,
            timer: None,
            link_lost: false,
            restricted: false,
            strikes: 0,
            unreached: 0,
            stale: false,
            paused_until: None,
            last_success: None,
        }
    }

    async fn work(&mut self, ctx: &mut Context<Message>) -> Next {
        let Some(node) = self.node.upgrade() else { return Next::Stop };
        self.timer = None;
        let now = Timestamp(ctx.clock().now_ms());
        let ready = self.ready(&node, now).await;
        let shard = node.shard_of_session(self.tenant, self.id);
        if !self.adopted && !self.adopt(&node, &shard).await {
            self.timer = Some(ctx.after_ms(ADOPT_WAIT_MS, Message::Work));
            return Next::Continue;
        }
        let policy = node.policy(self.tenant).await;
        // Without a record, which may have been taken away, nothing is sent; what waits for a moment still ends.
        let settled = self.settle(&shard, (policy.proof_ms, policy.resend && ready), now).await;
        if !ready {
            let id = self.id;
            if !self.waiting.is_empty() || shard.peek(|o| o.outbox(id).is_some_and(|b| !b.is_empty())) {
                self.timer = Some(ctx.after_ms(STORE_WAIT_MS, Message::Work));
            }
            return Next::Continue;
        }
        let sent = loop {
            match self.send_next(&node, &shard, policy.weight, ctx).await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(stuck) => break Err(stuck),
            }
        };
        // Nothing is left to use it for.
        self.turn = None;
        self.serve_parts(&shard, node.options().connections_per_session, ctx);
        self.sleep((&node, &shard), policy.proof_ms, settled.and(sent), ctx);
        Next::Continue
    }

    /// Whether the session's record is known.
    async fn ready(&mut self, node: &Arc<Node>, now: Timestamp) -> bool {
        if self.stale
            && let Some(pace) = &mut self.pace
            && let Some(link) = node.link(self.tenant, self.id).await
        {
            let rate = link.rate();
            pace.bucket.set_rate(now, rate, claim_size(rate));
            pace.link = link;
            self.stale = false;
        }
        if self.pace.is_none()
            && let Some(link) = node.link(self.tenant, self.id).await
        {
            let rate = link.rate();
            let mut bucket = Bucket::new(rate, claim_size(rate));
            if self.link_lost {
                bucket.pause_until(now.plus_ms(LINK_LOST_WAIT_MS));
            }
            self.pace = Some(Pace { link, bucket, pairs: PairLimit::new() });
        }
        self.restrict(now);
        self.pace.is_some()
    }

    /// Holds everything while the provider restricts all of the account.
    fn restrict(&mut self, now: Timestamp) {
        let Some(pace) = &mut self.pace else { return };
        if let (Blocks::All, until) = pace.link.health.blocks(now) {
            let look = now.plus_ms(RESTRICTED_LOOK_MS);
            let until = until.map_or(look, |until| until.min(look));
            pace.bucket.pause_until(until);
            (self.restricted, self.paused_until) = (true, Some(until));
        }
    }

    /// What a restriction keeps from the wire now.
    fn blocks(&self, now: Timestamp) -> Blocks {
        self.pace.as_ref().map_or(Blocks::Nothing, |pace| pace.link.health.blocks(now).0)
    }

    /// Parks what an earlier incarnation claimed, once its calls have come back or were given up.
    async fn adopt(&mut self, node: &Arc<Node>, shard: &Arc<Shard>) -> bool {
        if node.on_wire(self.id).load(Ordering::Acquire) > 0 {
            return false;
        }
        loop {
            match shard.ask(Input::Adopt { tenant: self.tenant, session: self.id }).await {
                Ok(Answer::Counted { new: 0, .. }) => break,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        self.adopted = true;
        true
    }

    /// Expires and resolves what is due by the clock.
    async fn settle(
        &self,
        shard: &Arc<Shard>,
        (proof_ms, resend): (i64, bool),
        now: Timestamp,
    ) -> Result<(), Stuck> {
        let id = self.id;
        while shard.peek(|o| o.outbox(id).and_then(|b| b.wake_settling(proof_ms))).is_some_and(|at| at <= now)
        {
            let input = Input::Due { tenant: self.tenant, session: id, proof_ms, resend };
            let before = shard.peek(Overlay::position);
            shard.ask(input).await.map_err(|_| Stuck)?;
            if shard.peek(Overlay::position) == before {
                return Err(Stuck);
            }
        }
        Ok(())
    }

    /// Puts the next messages on the wire; `false` when nothing may or can go now.
    async fn send_next(
        &mut self,
        node: &Arc<Node>,
        shard: &Arc<Shard>,
        weight: u32,
        ctx: &Context<Message>,
    ) -> Result<bool, Stuck> {
        let now = Timestamp(ctx.clock().now_ms());
        let (id, tenant) = (self.id, self.tenant);
        let urgency = shard.peek(|o| o.outbox(id).and_then(|b| b.urgency(now)));
        let Some(lane) = urgency.filter(|_| !node.is_draining()) else {
            // Whoever was held up has ended otherwise: the next one was not held up by that.
            self.holding = Holding::default();
            return Ok(false);
        };
        let mut free = node.options().connections_per_session.saturating_sub(self.in_flight as usize);
        if self.blocks(now) == Blocks::Initiated {
            if lane != Lane::Reply {
                self.holding.by(Hold::Restricted, now);
                return Ok(false);
            }
            free = free.min(shard.peek(|o| o.outbox(id).map_or(0, |b| b.replies(now, free.min(256)))));
        }
        let free = u32::try_from(free).unwrap_or(u32::MAX);
        let Some(pace) = &mut self.pace else { return Ok(false) };
        if free == 0 || pace.bucket.ready_at(now) > now {
            self.holding.by(if free == 0 { Hold::Room } else { self.slow(now) }, now);
            return Ok(false);
        }
        let cost = claim_size(pace.link.rate()).min(free);
        if !self.has_turn(node, lane, Share { of: tenant, weight, cost }, ctx) {
            self.holding.by(Hold::Turn, now);
            return Ok(false);
        }
        let (Some(pace), Some(mut turn)) = (&mut self.pace, self.turn.take()) else { return Ok(false) };
        let tokens = pace.bucket.take(now, cost.min(turn.count()));
        let held = self.holding.over(now);
        let input = Input::Claim { tenant, session: id, max: tokens as usize, held };
        let before = shard.peek(Overlay::position);
        let Ok(Answer::Transmit(list)) = shard.ask(input).await else {
            pace.bucket.give_back(tokens);
            return Err(Stuck);
        };
        tell_held(held, now);
        let used = u32::try_from(list.len()).unwrap_or(tokens);
        turn.used(used);
        pace.bucket.give_back(tokens.saturating_sub(used));
        if list.is_empty() {
            // What may not go any more was ended: the next ones are looked at. But a message can be ready and not due, on a
            // clock that was put back.
            let ended = shard.peek(Overlay::position) != before;
            return if ended { Ok(true) } else { Err(Stuck) };
        }
        let link = Arc::clone(&pace.link);
        let parcels = list.into_iter().filter_map(|o| parcel(o, pace, now)).collect();
        self.in_flight += used;
        self.launch(node, shard, (link, parcels, turn), ctx.handle().clone());
        Ok(true)
    }

    /// Whether the node's turn is here; else it is asked for, once.
    fn has_turn(
        &mut self,
        node: &Arc<Node>,
        lane: Lane,
        share: Share<TenantId>,
        ctx: &Context<Message>,
    ) -> bool {
        if self.turn.is_none() && !self.turn_asked {
            let me = ctx.handle().clone();
            // Where this actor is being restarted the turn goes back by being dropped.
            self.turn = node.turns().ask(lane, share, move |turn| _ = me.force(Message::Turn(turn)));
            self.turn_asked = self.turn.is_none();
        }
        self.turn.is_some()
    }

    /// Why the bucket gives nothing.
    fn slow(&self, now: Timestamp) -> Hold {
        match self.paused_until {
            Some(until) if until > now && self.link_lost => Hold::LinkLost,
            Some(until) if until > now && self.restricted => Hold::Restricted,
            Some(until) if until > now => Hold::Throttled,
            _ => Hold::Pace,
        }
    }

    fn launch(
        &self,
        node: &Arc<Node>,
        shard: &Arc<Shard>,
        (link, parcels, turn): (Arc<Link>, Vec<Parcel<MessageId>>, Turn),
        me: Handle<Message>,
    ) {
        let route = Route {
            node: Arc::clone(node),
            tenant: self.tenant,
            shard: Arc::clone(shard),
            connector: Arc::clone(&link.connector),
            held: OnWire::enter(&node.on_wire(self.id)),
        };
        let (tenant, session) = (self.tenant, self.id);
        tokio::spawn(async move {
            let file = move |results: Vec<(MessageId, Told)>, random| Input::Answers {
                tenant,
                session,
                results,
                random,
            };
            let feedback = transmit(route, parcels, file).await;
            drop(turn);
            // A restarted actor counts its own calls; its earlier ones are not its business.
            let _restarting = me.force(Message::Back(feedback));
        });
    }

    /// Gives waiting parts what is left of the pace, the campaigns by their weight. An eighth of the places is kept free
    /// for replies and single messages.
    fn serve_parts(&mut self, shard: &Arc<Shard>, places: usize, ctx: &Context<Message>) {
        let (now, id) = (Timestamp(ctx.clock().now_ms()), self.id);
        let places = u32::try_from(places - places / 8).unwrap_or(u32::MAX);
        let slow = self.slow(now);
        if self.blocks(now) == Blocks::Initiated {
            self.scant = Hold::Restricted;
            return;
        }
        let Some(pace) = &mut self.pace else { return };
        let limit = claim_size(pace.link.rate());
        while let Some((share, _)) = self.waiting.first() {
            let (want, free) = (share.cost, places.saturating_sub(self.in_flight));
            let granted = pace.bucket.take(now, want.min(limit).min(free));
            // A grant costs a claim entry and a task: single tokens are saved up.
            if granted < worthwhile(claim_size(pace.bucket.rate(now))).min(want) {
                pace.bucket.give_back(granted);
                let urgent = || shard.peek(|o| o.outbox(id).is_some_and(|b| b.has_ready(now)));
                self.scant = match slow {
                    _ if free == 0 => Hold::Room,
                    Hold::Pace if urgent() => Hold::Lane,
                    slow => slow,
                };
                return;
            }
            let Some((share, asked)) = self.waiting.pop() else { return };
            self.waiting.refund(&Share { cost: want - granted, ..share });
            self.in_flight += granted;
            let held = Held { by: self.scant, since: asked.since };
            // An asker that is gone drops them, which brings them back.
            asked.reply.send(Permits {
                session: ctx.handle().clone(),
                places: granted,
                unused: granted,
                held: held.told(now),
            });
        }
    }
}

impl Actor for Session {
    type Message = Message;

    async fn started(&mut self, ctx: &mut Context<Message>) -> Next {
        self.work(ctx).await
    }

    async fn stopped(&mut self) {
        if let Some(node) = self.node.upgrade() {
            node.session_left(self.id);
        }
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Message>) -> Next {
        let now = Timestamp(ctx.clock().now_ms());
        match message {
            Message::Work => {}
            Message::Grant(share, reply) => self.waiting.push(0, share, Asked { since: now, reply }),
            Message::Turn(turn) => {
                self.turn_asked = false;
                self.turn = Some(turn);
            }
            Message::Return { places, unused } => {
                self.in_flight = self.in_flight.saturating_sub(places);
                if let Some(pace) = &mut self.pace {
                    pace.bucket.give_back(unused);
                }
            }
            Message::Back(mut feedback) => {
                self.note(std::mem::take(&mut feedback.troubles));
                self.back(&feedback, now);
            }
            // A token that was replaced is tried at once, and a pace that was changed holds from now on.
            Message::Changed => (self.pace, self.link_lost, self.paused_until) = (None, false, None),
            Message::Relink => self.relink(),
            Message::Throttled(throttle) => self.throttled(throttle, now),
            Message::Look(reply) => {
                reply.send(Look {
                    in_flight: self.in_flight,
                    paused_until: self.paused_until.filter(|at| *at > now),
                    link_lost: self.link_lost,
                    restricted: self.restricted || self.blocks(now) > Blocks::Nothing,
                    last_success: self.last_success,
                });
                return Next::Continue;
            }
            #[expect(clippy::panic, reason = "a test's way to see the supervisor at work")]
            Message::Panic => panic!("planted: a session's actor panics"),
        }
        self.work(ctx).await
    }
}
