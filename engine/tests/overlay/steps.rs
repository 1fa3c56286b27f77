//! What can happen, as small values proptest can shrink, and how it is done to the world.

use crate::action::{Action, Scope};
use crate::cast::{ANA, ATTEMPT, BUDI, Desk, person, template, text, user_id};
use crate::wire::{Fate, lost, reported};
use crate::world::World;
use kabar_engine::campaign::Verb;
use kabar_engine::cause::Cause;
use kabar_engine::entry::{Frozen, Idempotency, PartLine};
use kabar_engine::id::{CampaignId, ShardId, TenantId};
use kabar_engine::outgoing::{Accepted, Reason, Reference, SendError};
use kabar_engine::overlay::decide::{Draft, PartClaim, PartOrder, Received};
use kabar_engine::overlay::{Answer, Input, Key, Refusal};
use kabar_engine::pacing::{Lane, Throttle};
use kabar_engine::part::CHUNKS;
use kabar_engine::schedule::Hours;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
pub enum Op {
    Send { desk: usize, who: usize, kind: u8, key: Option<u8>, due_ms: i64, valid_ms: i64 },
    Claim { desk: usize, max: usize },
    Answer { nth: usize, how: u8 },
    Take { nth: usize },
    Release { nth: usize },
    Adopt { desk: usize },
    Due { desk: usize },
    Cancel { nth: usize },
    Statuses(Vec<(usize, u8)>),
    Receive { desk: usize, who: usize, say: u8, repeat: bool, alias: bool },
    Consent { desk: usize, who: usize, out: bool },
    Keyed { key: u8, action: Action },
    Launch { score: usize },
    Freeze { score: usize },
    Move { score: usize, verb: u8 },
    Order { score: usize, part: usize, told: bool },
    OldOrder { nth: usize },
    PartClaim { score: usize, part: usize, max: usize, free_form: bool },
    PartAdopt { score: usize, part: usize },
    PartDue { score: usize, part: usize },
    Finish { score: usize },
    Listen,
    Forge { what: u8, nth: usize, by: bool },
    Flush { shard: usize, times: u8 },
    Torn { shard: usize, bits: Vec<bool> },
    Twice { shard: usize, bits: Vec<bool> },
    Reopen { shard: usize },
    Crash { bits: Vec<bool> },
    LostAppend { desk: usize, who: usize },
    Early { shard: usize, nth: usize },
    Late { shard: usize },
    Tick { ms: i64 },
}

/// What answers a person can give.
const SAYINGS: [&str; 5] = ["halo", "STOP", "Berhenti", "mulai", "terima kasih"];

impl World {
    /// Makes it happen.
    pub fn act(&mut self, op: &Op) {
        let shards = self.shards();
        let shard = |n: &usize| shards[n % shards.len()];
        match op {
            Op::Send { desk, who, kind, key, due_ms, valid_ms } => {
                let times = (self.now.plus_ms(*due_ms), self.now.plus_ms(*valid_ms));
                let draft = draft(self.desks[desk % 3], *who, *kind, *key, times);
                self.send(self.desks[desk % 3], draft);
            }
            Op::Claim { desk, max } => self.claim(self.desks[desk % 3], *max),
            Op::Answer { nth, how } => self.answer_nth(*nth, *how),
            Op::Take { nth } => {
                let flying = self.wire.flying();
                if let Some(reference) = pick(&flying, *nth) {
                    self.wire.take(reference);
                }
            }
            Op::Release { nth } => self.release(*nth),
            Op::Adopt { desk } => self.adopt(self.desks[desk % 3]),
            Op::Due { desk } => self.due(self.desks[desk % 3]),
            Op::Cancel { nth } => _ = self.carry_out(&Action::Cancel { nth: *nth }, None),
            Op::Keyed { key, action } => _ = self.carry_out(action, Some(*key)),
            Op::Statuses(list) => self.statuses(list),
            Op::Receive { desk, who, say, repeat, alias } => {
                self.receive(self.desks[desk % 3], *who, usize::from(*say), (*repeat, *alias));
            }
            Op::Consent { desk, who, out } => {
                let (desk, who, out, named) = (*desk, *who, *out, true);
                self.carry_out(&Action::Consent { desk, who, out, named }, None);
            }
            Op::Flush { shard: n, times } => (0..*times).for_each(|_| self.flush(shard(n))),
            Op::Torn { shard: n, bits } => self.torn(shard(n), bits_of(bits)),
            Op::Twice { shard: n, bits } => self.flush_twice(shard(n), bits_of(bits)),
            Op::Reopen { shard: n } => self.reopen(shard(n)),
            Op::Crash { bits } => self.crash(bits_of(bits)),
            Op::LostAppend { desk, who } => self.lost_append(self.desks[desk % 3], *who),
            Op::Early { shard: n, nth } => self.early(shard(n), *nth),
            Op::Late { shard: n } => self.tell_late(shard(n)),
            Op::Tick { ms } => self.now = self.now.plus_ms(*ms),
            Op::Listen => self.listen(),
            Op::Forge { what, nth, by } => self.forge(*what, *nth, *by),
            campaign => self.act_campaign(campaign),
        }
    }

    fn act_campaign(&mut self, op: &Op) {
        match op {
            Op::Launch { score } => _ = self.carry_out(&Action::Launch { score: *score }, None),
            Op::Freeze { score } => self.freeze(score % 2),
            Op::Move { score, verb } => {
                self.carry_out(&Action::Move { score: *score, verb: *verb }, None);
            }
            Op::Order { score, part, told } => self.order(score % 2, *part, *told),
            Op::OldOrder { nth } => {
                let orders = self.orders.clone();
                if let Some(order) = (!orders.is_empty()).then(|| orders[nth % orders.len()].clone()) {
                    let shard = ShardId::of_session(order.tenant, order.session);
                    self.ask(shard, &Input::Order(Box::new(order))).reply.expect("an order is repeated");
                }
            }
            Op::PartClaim { score, part, max, free_form } => {
                self.part_claim(score % 2, *part, *max, *free_form);
            }
            Op::PartAdopt { score, part } => self.part_adopt(score % 2, *part),
            Op::PartDue { score, part } => self.part_due(score % 2, *part),
            Op::Finish { score } => self.finish(score % 2),
            single => unreachable!("{single:?} is no campaign's"),
        }
    }

    /// A send, and what its key promises.
    pub fn send(&mut self, desk: Desk, draft: Draft) {
        let (key, tenant) = (draft.idempotency, desk.tenant);
        let scope = Scope::Session(desk.session);
        let before = key.and_then(|k| self.watch.keys.get(&(scope, k.key)).copied());
        let asked = self.ask(desk.shard, &Input::Send(Box::new(draft)));
        match (before, &asked.reply) {
            (Some((body, first, at)), reply) if self.now.since_ms(at) < kabar_engine::time::DAY_MS => {
                assert!(asked.entries.is_empty(), "a repeat is journaled");
                match reply {
                    Ok(Answer::Accepted { message, replayed: true }) => {
                        assert_eq!((*message, body), (first, key.expect("asked with one").body));
                    }
                    Err(Refusal::IdempotencyMismatch) => assert_ne!(body, key.expect("one").body),
                    other => panic!("a repeat is answered {other:?}"),
                }
            }
            (_, Ok(Answer::Accepted { message, replayed })) => {
                assert!(!replayed, "a first request is called a repeat");
                assert_eq!(message.shard(), ShardId::of_session(tenant, desk.session));
                if let Some(k) = key {
                    self.watch.keys.insert((scope, k.key), (k.body, *message, self.now));
                }
            }
            (_, Err(Refusal::OptedOut | Refusal::WindowClosed)) => assert!(asked.entries.is_empty()),
            (_, other) => panic!("a send is answered {other:?}"),
        }
    }

    pub fn claim(&mut self, desk: Desk, max: usize) {
        let (tenant, session) = (desk.tenant, desk.session);
        self.ask(desk.shard, &Input::Claim { tenant, session, max, held: None })
            .reply
            .expect("claims are answered");
    }

    fn answer_nth(&mut self, nth: usize, how: u8) {
        if let Some(reference) = pick(&self.wire.flying(), nth) {
            self.answer(reference, how);
        }
    }

    /// The provider answers a call; `how` 0 is a plain yes.
    pub fn answer(&mut self, reference: Reference, how: u8) {
        let how = if self.wire.is_taken(reference) { how % 2 } else { how % 9 };
        self.fresh += 1;
        let provider_id: Arc<str> = format!("wamid.{}", self.fresh).into();
        let refused = |cause| {
            Err(SendError::Rejected(Reason { cause: Cause(cause), detail: String::new(), trace: None }))
        };
        let later = |throttle, after_ms, cause| {
            Err(SendError::RetryAfter { throttle, after_ms, cause: Cause(cause), words: None })
        };
        let (result, fate, taken) = match how {
            0 => (Ok(Accepted { provider_id, held: false }), Fate::Perhaps, true),
            1 => (Err(SendError::Ambiguous), Fate::Perhaps, true),
            2 => (Err(SendError::Ambiguous), Fate::Perhaps, false),
            3 => (refused(131_026), Fate::Never, false),
            4 => (refused(131_050), Fate::Never, false),
            5 => (later(Throttle::Pair, 5_000, 131_056), Fate::Never, false),
            6 => (later(Throttle::Transient, 0, 131_016), Fate::Never, false),
            7 => (lost(), Fate::Never, false),
            _ => (later(Throttle::Throughput, 90_000, 130_429), Fate::Never, false),
        };
        self.wire.landed(reference, fate, taken);
        let Desk { tenant, session, shard } = self.desk_of(reference);
        let random = self.fresh.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let input = match reference {
            Reference::Message(id) => Input::Answers { tenant, session, results: vec![(id, result)], random },
            Reference::Campaign(campaign, index) => {
                let part = kabar_engine::part::part_of(index);
                Input::PartAnswers { tenant, campaign, part, results: vec![(index, result)], random }
            }
        };
        self.ask(shard, &input).reply.expect("answers are taken");
    }

    /// A graceful stop: a claim that was not called yet is taken back.
    fn release(&mut self, nth: usize) {
        let flying = self.wire.flying();
        let Some(reference) = pick(&flying, nth).filter(|r| !self.wire.is_taken(*r)) else { return };
        self.wire.landed(reference, Fate::Never, false);
        let Desk { tenant, session, shard } = self.desk_of(reference);
        let input = match reference {
            Reference::Message(id) => Input::Release { tenant, session, messages: vec![id] },
            Reference::Campaign(campaign, index) => {
                let part = kabar_engine::part::part_of(index);
                Input::PartRelease { tenant, campaign, part, indexes: vec![index] }
            }
        };
        self.ask(shard, &input).reply.expect("releases are taken");
    }

    /// A new actor adopts what is claimed; as the actors do it, only when no call of the session is under way.
    pub fn adopt(&mut self, desk: Desk) {
        let own =
            |r: &Reference| matches!(r, Reference::Message(_)) && self.desk_of(*r).session == desk.session;
        if !self.wire.flying().iter().any(own) {
            let (tenant, session) = (desk.tenant, desk.session);
            self.ask(desk.shard, &Input::Adopt { tenant, session }).reply.expect("adoption is answered");
        }
    }

    pub fn due(&mut self, desk: Desk) {
        let (tenant, session) = (desk.tenant, desk.session);
        let (proof_ms, resend) = self.policy;
        self.ask(desk.shard, &Input::Due { tenant, session, proof_ms, resend }).reply.expect("time passes");
    }

    /// One batch of statuses of what the provider took, in any order and repeated.
    fn statuses(&mut self, list: &[(usize, u8)]) {
        let taken = self.wire.taken();
        let Some(first) = list.first().and_then(|(nth, _)| pick(&taken, *nth)) else { return };
        let desk = self.desk_of(first);
        let mut reports = Vec::new();
        for (nth, status) in list {
            let of = pick(&taken, *nth).expect("something was taken");
            if self.desk_of(of).session == desk.session {
                let known = [Status::Sent, Status::Delivered, Status::Read, Status::Failed, Status::Played];
                let status = known[usize::from(*status) % known.len()];
                let cause = (status == Status::Failed).then_some(Cause(131_050));
                reports.push(reported(of, status, cause, self.now));
            }
        }
        let (tenant, session) = (desk.tenant, desk.session);
        self.ask(desk.shard, &Input::Statuses { tenant, session, reports }).reply.expect("reports are taken");
    }

    pub fn receive(&mut self, desk: Desk, who: usize, say: usize, (repeat, alias): (bool, bool)) {
        let who = who % 8;
        let last = self.watch.received.last().cloned().filter(|m| repeat && m.0 == desk.session);
        let known = last.is_some();
        let message = match last {
            Some((_, message)) => message,
            None => {
                self.fresh += 1;
                Received {
                    provider_id: format!("in.{}", self.fresh).into(),
                    from: if alias && say % 2 == 1 { user_id(who) } else { person(who) },
                    alias: alias.then(|| if say % 2 == 1 { person(who) } else { user_id(who) }),
                    name: Some("Citra".to_owned()),
                    sent_at: self.now.plus_ms(-500),
                    content: text(SAYINGS[say % SAYINGS.len()]),
                    context: None,
                    others: Vec::new(),
                    beside: None,
                }
            }
        };
        self.watch.received.push((desk.session, message.clone()));
        let (tenant, session) = (desk.tenant, desk.session);
        let input = Input::Receive { tenant, session, messages: vec![message] };
        match self.ask(desk.shard, &input).reply {
            Ok(Answer::Counted { new, .. }) => assert_eq!(new, usize::from(!known), "repeats are known"),
            other => panic!("a received message is answered {other:?}"),
        }
    }

    /// An append that the journal refuses: what was decided is void, the shard is taken again.
    fn lost_append(&mut self, desk: Desk, who: usize) {
        let until = self.now.plus_ms(600_000);
        let draft = draft(desk, who, 0, None, (self.now, until));
        let effects = self.decide(desk.shard, &Input::Send(Box::new(draft)));
        let home = self.home(desk.shard);
        for effect in effects {
            if let kabar_engine::overlay::Effect::Append(entry) = effect {
                home.overlay.fold(home.overlay.position().plus(1), &entry);
            }
        }
        self.reopen(desk.shard);
    }

    fn early(&mut self, shard: ShardId, nth: usize) {
        let mut keys: Vec<Key> = (0..8).flat_map(|n| [Key::Consent(ANA, person(n))]).collect();
        keys.extend(self.watch.messages().into_iter().map(Key::Message));
        keys.extend(self.desks.map(|d| Key::Address(d.session, person(nth % 8))));
        keys.extend(self.desks.map(|d| Key::SessionParts(d.session)));
        keys.extend(self.watch.parts.keys().map(|k| Key::Part(k.1, k.2)));
        keys.extend(self.watch.parts.keys().map(|k| Key::Marks(k.1, k.2 * CHUNKS)));
        keys.extend(self.scores.iter().map(|s| Key::Campaign(s.campaign)));
        let here = |k: &Key| match k {
            Key::Message(id) => id.shard() == shard,
            Key::Address(session, _) | Key::SessionParts(session) => {
                self.desks.iter().any(|d| d.session == *session && d.shard == shard)
            }
            Key::Part(c, p) => self.watch.parts.contains_key(&(shard, *c, *p)),
            Key::Marks(c, n) => self.watch.parts.contains_key(&(shard, *c, n / CHUNKS)),
            Key::Campaign(c) => self.scores.iter().any(|s| s.campaign == *c && s.shard() == shard),
            _ => true,
        };
        keys.retain(here);
        self.read_early(shard, &keys);
    }

    /// What the keeper does: brings the opt-outs of a tenant to the shards whose parts run. It remembers when it
    /// last looked, also when the shard was taken anew meanwhile.
    pub fn listen(&mut self) {
        let mut running: BTreeMap<(ShardId, TenantId), Timestamp> = BTreeMap::new();
        for (shard, home) in &self.homes {
            for part in home.overlay.open_parts() {
                let launched = running.entry((*shard, part.tenant)).or_insert(part.start.launched);
                *launched = part.start.launched.min(*launched);
            }
        }
        self.looked.retain(|key, _| running.contains_key(key));
        for ((shard, tenant), launched) in running {
            let since = self.looked.get(&(shard, tenant)).copied().unwrap_or(launched).plus_ms(-60_000);
            let heard = self.views.suppressed.values().filter(|r| r.tenant == tenant && r.at >= since);
            let rows: Vec<_> = heard.map(|r| (**r).clone()).collect();
            let now = self.now;
            self.home(shard).overlay.hear_consents(tenant, (since, now), &rows);
            self.looked.insert((shard, tenant), now);
        }
    }

    /// One tenant says things about what is another's: nothing of the other changes.
    fn forge(&mut self, what: u8, nth: usize, by: bool) {
        let (thief, victim) = if by { (ANA, BUDI) } else { (BUDI, ANA) };
        let own = |w: &Self, r: &Reference| w.desk_of(*r).tenant == victim;
        let messages: Vec<Reference> =
            self.watch.messages().into_iter().map(Reference::Message).filter(|r| own(self, r)).collect();
        let parts: Vec<(ShardId, CampaignId, u32)> = self.watch.parts.keys().copied().collect();
        let parts: Vec<_> = parts.into_iter().filter(|k| self.tenant_of(k.1) == victim).collect();
        let mut targets = messages;
        targets.extend(parts.iter().map(|k| Reference::Campaign(k.1, k.2 * 10_240)));
        let Some(target) = pick(&targets, nth) else { return };
        let desk = self.desk_of(target);
        let input = self.forged(what, thief, (target, desk));
        let before = self.watch.picture(desk.shard, &self.homes[&desk.shard].overlay, &self.views).of(victim);
        let asked = self.ask(desk.shard, &input);
        let after = self.watch.picture(desk.shard, &self.homes[&desk.shard].overlay, &self.views).of(victim);
        after.assert_same(&before);
        match asked.reply {
            Ok(Answer::Transmit(list)) => assert!(list.is_empty(), "a thief gets another's messages"),
            Ok(Answer::Picked(list)) => assert!(list.is_empty(), "a thief gets another's recipients"),
            Ok(Answer::Accepted { .. }) => panic!("a thief sends from another's session"),
            _ => {}
        }
    }

    fn tenant_of(&self, campaign: CampaignId) -> TenantId {
        self.scores.iter().find(|s| s.campaign == campaign).map_or(ANA, |s| s.tenant)
    }

    fn forged(&self, what: u8, tenant: TenantId, (target, desk): (Reference, Desk)) -> Input {
        let (proof_ms, session) = (0, desk.session);
        let yes = || Ok(Accepted { provider_id: "stolen".into(), held: false });
        let report = |status| reported(target, status, None, self.now);
        let reports = vec![report(Status::Failed), report(Status::Read)];
        match (target, what % 7) {
            (_, 0) => Input::Statuses { tenant, session, reports },
            (Reference::Message(id), 1) => {
                Input::Answers { tenant, session, results: vec![(id, yes())], random: 1 }
            }
            (Reference::Message(message), 2) => Input::CancelMessage { tenant, message, idempotency: None },
            (Reference::Message(id), 3) => Input::Release { tenant, session, messages: vec![id] },
            (Reference::Message(_), 4) => Input::Adopt { tenant, session },
            (Reference::Message(_), 5) => Input::Due { tenant, session, proof_ms, resend: true },
            (Reference::Message(_), _) => Input::Claim { tenant, session, max: 5, held: None },
            (Reference::Campaign(campaign, index), n) => {
                let (part, indexes) = (index / 10_240, vec![index]);
                let results = vec![(index, yes())];
                match n {
                    1 => Input::PartAnswers { tenant, campaign, part, results, random: 1 },
                    2 => Input::PartRelease { tenant, campaign, part, indexes },
                    3 => Input::PartAdopt { tenant, campaign, part },
                    4 => Input::PartDue { tenant, campaign, part, proof_ms, resend: true },
                    5 => {
                        let (max, free_form) = (5, false);
                        Input::PartClaim(PartClaim {
                            tenant,
                            campaign,
                            part,
                            max,
                            free_form,
                            hours: Hours::default(),
                            held: None,
                        })
                    }
                    _ => Input::Order(Box::new(PartOrder {
                        tenant,
                        campaign,
                        part,
                        attempt: ATTEMPT,
                        session,
                        launched: self.now,
                        valid_until: self.now,
                        chunks: vec![(person(0), 1)],
                        verb: Verb::Cancel,
                        command: kabar_engine::id::CommandId(u64::MAX >> 1),
                    })),
                }
            }
        }
    }

    fn freeze(&mut self, n: usize) {
        let score = self.scores[n].clone();
        let parts: Vec<PartLine> = score
            .parts
            .iter()
            .map(|p| PartLine {
                session: self.desks[p.desk].session,
                recipients: p.chunks.iter().map(Vec::len).sum::<usize>() as u32,
            })
            .collect();
        let frozen = Frozen {
            campaign: score.campaign,
            attempt: ATTEMPT,
            audience: parts.iter().map(|p| u64::from(p.recipients)).sum(),
            opted_out: 0,
            missing_variable: 0,
            frequency_capped: 0,
            parts,
            digest: [0; 32],
        };
        self.ask(score.shard(), &Input::Freeze { tenant: score.tenant, frozen });
    }
}

/// A draft; `kind` 0 a template, 1 an answer, 2 an urgent template, 3 an answer that is no text.
pub fn draft(
    desk: Desk,
    who: usize,
    kind: u8,
    key: Option<u8>,
    (due, valid_until): (Timestamp, Timestamp),
) -> Draft {
    let (content, lane) = match kind % 3 {
        0 => (template(), Lane::Broadcast),
        1 => (text("jawaban"), Lane::Reply),
        _ => (template(), Lane::Transactional),
    };
    let idempotency = key.map(|k| Idempotency { key: u128::from(k), body: u128::from(kind % 3) });
    Draft {
        tenant: desk.tenant,
        session: desk.session,
        to: person(who % 8),
        content,
        lane,
        due,
        valid_until,
        context: None,
        idempotency,
        by: None,
        tag: None,
        identity: None,
        had_enough: false,
    }
}

pub fn pick<T: Copy>(list: &[T], nth: usize) -> Option<T> {
    (!list.is_empty()).then(|| list[nth % list.len()])
}

fn bits_of(bits: &[bool]) -> impl FnMut() -> bool + '_ {
    let mut at = 0;
    move || {
        at += 1;
        bits.is_empty() || bits[at % bits.len()]
    }
}
