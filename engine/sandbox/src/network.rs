//! The network of phones: takes messages from a face (today the Graph API, later WhatsApp Web),
//! decides their fate, keeps the ledger, and tells the face what happens when. Knows no HTTP.

pub(crate) mod clock;
pub(crate) mod code;
pub(crate) mod dice;
pub(crate) mod fate;
pub(crate) mod ledger;
pub(crate) mod limit;
pub(crate) mod magic;
pub(crate) mod message;
pub(crate) mod phone;
pub(crate) mod policy;
pub(crate) mod price;
pub(crate) mod saved;
pub(crate) mod schedule;
pub(crate) mod stats;
pub(crate) mod wamid;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::behaviour::{Behaviour, BehaviourCell};
use crate::config::{NumberConfig, SandboxConfig};
use clock::{Clock, ms};
use dice::{Dice, Stream, key};
use fate::{Act, Answer, Journey, Scene};
use ledger::{FaultKind, Ledger, LedgerRow, Outcome, Told, Verdict, pair};
use limit::Limits;
use magic::Magic;
use message::{Category, Kind, Outgoing};
use phone::{Phones, Traits};
use policy::{Judged, PhoneOrder, Weighed};
use price::Rate;
use schedule::{Event, Schedule};
use stats::Stats;
use wamid::Id;

/// Events told between two looks at the clock.
const EVENTS_AT_ONCE: usize = 256;

/// Where the network tells what happens.
pub(crate) trait Face: Send + Sync {
    /// A message changed its status.
    fn status(&self, told: &Told, act: Act, unix_s: i64);
    /// A user answered a message.
    fn reply(&self, told: &Told, reply: &Reply);
    /// A number or a template is better or worse than before.
    fn judged(&self, judged: Judged);
}

/// A send call as the network takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) end: End,
    pub(crate) latency_ms: u64,
    /// Held for quality assessment.
    pub(crate) held: bool,
    /// When it arrives, in milliseconds from now.
    pub(crate) arrives_ms: Option<u64>,
}

/// A user's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) id: Id,
    pub(crate) text: &'static str,
    pub(crate) quote: bool,
    pub(crate) unix_s: i64,
}

/// What the dice are asked about, and for the how-manieth time.
#[derive(Clone, Copy, Debug)]
struct Question {
    key: u128,
    ordinal: u64,
}

/// How a send call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Accepted(Id),
    /// Over one of the limits, at the HTTP status the behaviour says.
    Throttled(u32),
    /// HTTP 429 with this code, by a fault.
    TooMany(u32),
    /// Refused with this code, at the HTTP status the code has.
    Refused(u32),
    /// HTTP 500 with this code.
    ServerError(u32),
    /// HTTP 502 without a Graph body.
    Bare,
    /// The connection closes without an answer.
    Dropped,
    /// The connection is reset.
    Reset,
}

impl End {
    /// The id, as far as the caller hears of it.
    pub(crate) fn accepted(self) -> Option<Id> {
        match self {
            Self::Accepted(id) => Some(id),
            _ => None,
        }
    }
}

/// One seeded network of phones.
pub(crate) struct Network {
    pub(crate) numbers: Arc<[NumberConfig]>,
    pub(crate) phones: Phones,
    pub(crate) clock: Arc<Clock>,
    pub(crate) behaviour: Arc<BehaviourCell>,
    seed: u64,
    by_id: HashMap<String, usize>,
    ledger: Mutex<Ledger>,
    limits: Limits,
    schedule: Schedule,
    face: Arc<dyn Face>,
}

impl Network {
    pub(crate) fn new(
        config: &SandboxConfig,
        numbers: Arc<[NumberConfig]>,
        clock: Arc<Clock>,
        behaviour: Arc<BehaviourCell>,
        face: Arc<dyn Face>,
    ) -> Self {
        let by_id = numbers.iter().enumerate().map(|(at, n)| (n.phone_number_id.clone(), at)).collect();
        Self {
            limits: Limits::new(numbers.iter().map(|number| number.messages_per_second)),
            numbers,
            phones: Phones::new(config.seed),
            clock,
            behaviour,
            seed: config.seed,
            by_id,
            ledger: Mutex::default(),
            schedule: Schedule::default(),
            face,
        }
    }

    /// Index of a business number by its Graph id.
    pub(crate) fn number(&self, phone_number_id: &str) -> Option<usize> {
        self.by_id.get(phone_number_id).copied()
    }

    /// Takes one well-formed message: limits, fate, ledger, and what follows.
    pub(crate) fn accept(&self, message: &Outgoing<'_>) -> Taken {
        let behaviour = self.behaviour.get();
        let now = self.clock.now_ns();
        let magic = magic::of(message.to);
        if let Some(code) = self.over_limit(message, magic, now, &behaviour) {
            self.refuse(message, code);
            return Taken { end: End::Throttled(code), latency_ms: 0, held: false, arrives_ms: None };
        }
        let number = &self.numbers[message.number].phone_number_id;
        let question = key(&[number, message.to, message.reference.unwrap_or_default()]);
        let ordinal = self.ledger.lock().ordinal(question);
        let answer = fate::answer(&behaviour, &mut Dice::new(self.seed, question, ordinal, Stream::Answer));
        let (mut end, mut outcome) = end_of(&answer, &behaviour);
        let at_ms = self.clock.unix_ms(now);
        let (row, generation, weighed) = {
            let mut ledger = self.ledger.lock();
            let weighed = if outcome == Outcome::Accepted {
                let heard = ledger.last_heard(message.number, message.to);
                ledger.policy.weigh(message, &behaviour, at_ms, heard)
            } else {
                Weighed::default()
            };
            if let Some(code) = weighed.refused {
                (end, outcome) = (End::Refused(code), Outcome::Rejected);
            }
            let verdict = Verdict {
                at_ms,
                id: answer.id,
                outcome,
                code: match end {
                    End::TooMany(code) | End::Refused(code) | End::ServerError(code) => code,
                    _ => 0,
                },
                fault: answer.fault.or(answer.refused.map(|_| FaultKind::FailInAnswer)),
                rate: weighed.rate,
            };
            (ledger.write(message, &verdict), ledger.generation, weighed)
        };
        let late = if answer.fault == Some(FaultKind::Slow) { behaviour.faults.slow_ms } else { 0 };
        let mut taken = Taken { end, latency_ms: answer.latency_ms + late, held: false, arrives_ms: None };
        if outcome == Outcome::Accepted
            && (behaviour.statuses || behaviour.reply_rate > 0.0 || magic.is_some() || message.scripted)
        {
            let question = Question { key: question, ordinal };
            let (steps, held) = self.follow(message, &weighed, (&answer, &behaviour, magic), question);
            (taken.held, taken.arrives_ms) = (held, steps.arrives_ms);
            self.schedule.add(steps.steps.into_iter().map(|step| Event {
                due_ns: now.saturating_add(ms(step.after_ms)),
                row,
                generation,
                unix_s: self.clock.unix_ms(now.saturating_add(ms(step.stamp_ms))) / 1_000,
                act: step.act,
            }));
        }
        taken
    }

    /// What follows an accepted message, and whether it is held first.
    fn follow(
        &self,
        message: &Outgoing<'_>,
        weighed: &Weighed,
        fate: (&Answer, &Behaviour, Option<Magic>),
        question: Question,
    ) -> (Journey, bool) {
        let (answer, behaviour, magic) = fate;
        let integrity = &behaviour.integrity;
        let (mut held, mut blocks) = (false, false);
        if integrity.hold_rate > 0.0 || integrity.block_rate > 0.0 {
            let mut dice = Dice::new(self.seed, question.key, question.ordinal, Stream::Policy);
            held = dice.chance(integrity.hold_rate) && message.kind == Kind::Template;
            blocks = dice.chance(integrity.block_rate) && message.category == Category::Marketing;
        }
        let mut traits = if behaviour.statuses || message.scripted {
            self.phones.traits(message.to, behaviour)
        } else {
            Traits::default()
        };
        traits.unreachable = weighed.unreachable.unwrap_or(traits.unreachable);
        traits.no_read = weighed.no_read.unwrap_or(traits.no_read);
        let dropped = (held && integrity.hold_drops).then_some(132_015);
        let scene = Scene {
            behaviour,
            magic,
            traits,
            kind: message.kind,
            outside_window: weighed.outside_window,
            doom: message.doom.or(dropped).or(weighed.doom),
            silent: weighed.silent,
            ttl_ms: message.ttl_s.map(|ttl| ttl.saturating_mul(1_000)),
            held_ms: if held { integrity.hold_ms } else { 0 },
            scripted: message.scripted,
            blocks,
        };
        let mut dice = Dice::new(self.seed, question.key, question.ordinal, Stream::Journey);
        (fate::journey(&scene, answer, &mut dice), held)
    }

    fn over_limit(
        &self,
        message: &Outgoing<'_>,
        magic: Option<Magic>,
        now: u64,
        behaviour: &Behaviour,
    ) -> Option<u32> {
        if let Some(Magic::Throttle(code)) = magic {
            return Some(code);
        }
        if behaviour.throughput_limit && !self.limits.throughput(message.number, now, behaviour.burst_ms) {
            return Some(130_429);
        }
        let too_close = behaviour.pair_limit && !self.limits.pair(pair(message.number, message.to), now);
        too_close.then_some(131_056)
    }

    /// Writes down a request that was refused before its fate was asked.
    pub(crate) fn refuse(&self, message: &Outgoing<'_>, code: u32) {
        let at_ms = self.clock.unix_ms(self.clock.now_ns());
        let verdict = Verdict {
            at_ms,
            id: Id::default(),
            outcome: Outcome::Rejected,
            code,
            fault: None,
            rate: Rate::default(),
        };
        self.ledger.lock().write(message, &verdict);
    }

    /// Writes down a read receipt or typing indicator.
    pub(crate) fn receipt(&self, number: usize) {
        let at_ms = self.clock.unix_ms(self.clock.now_ns());
        let message = Outgoing {
            number,
            to: "",
            kind: Kind::Receipt,
            category: Category::Service,
            reference: None,
            doom: None,
            template: 0,
            ttl_s: None,
            scripted: false,
        };
        let verdict = Verdict {
            at_ms,
            id: Id::default(),
            outcome: Outcome::Receipt,
            code: 0,
            fault: None,
            rate: Rate::default(),
        };
        self.ledger.lock().write(&message, &verdict);
    }

    /// Counts a request with an unknown token or number.
    pub(crate) fn stranger(&self, code: u32) {
        self.ledger.lock().stranger(code);
    }

    /// A user writes to a number: counts it and gives it an id and a time (Unix milliseconds).
    pub(crate) fn hear(&self, number: usize, from: &str) -> (Id, i64) {
        let now = self.clock.now_ns();
        let at_ms = self.clock.unix_ms(now);
        if self.behaviour.get().inbound_counts {
            self.limits.inbound(number, now);
        }
        let ordinal = self.ledger.lock().hear(number, from, at_ms);
        let question = key(&[&self.numbers[number].phone_number_id, from]);
        (Dice::new(self.seed, question, ordinal, Stream::Inbound).id(), at_ms)
    }

    /// Gives a number another rate of messages per second.
    pub(crate) fn set_rate(&self, number: usize, messages_per_second: u32) {
        self.limits.set_rate(number, messages_per_second);
    }

    /// When a user last wrote to a number, Unix milliseconds.
    pub(crate) fn last_heard(&self, number: usize, from: &str) -> Option<i64> {
        self.ledger.lock().last_heard(number, from)
    }

    /// Remembers the id of a message a number received.
    pub(crate) fn note_inbound(&self, number: usize, wamid: &str, at_ms: i64) {
        self.ledger.lock().note_inbound(number, wamid, at_ms);
    }

    /// Whether a number received this message within 30 days.
    pub(crate) fn has_heard(&self, number: usize, wamid: &str, now_ms: i64) -> bool {
        self.ledger.lock().has_heard(number, wamid, now_ms)
    }

    /// Marks the message with this id as a status ordered by hand says, and hands it out.
    pub(crate) fn ordered(&self, id: Id, act: Act) -> Option<Told> {
        let mut ledger = self.ledger.lock();
        let row = ledger.find(id)?;
        ledger.note(row, act)
    }

    /// Tells what is due, until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let due = self.schedule.take_due(self.clock.now_ns(), EVENTS_AT_ONCE);
            if due.is_empty() {
                let next = self.schedule.next_due().map(|due| self.clock.until(due));
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.schedule.woken() => {}
                    () = pause(next) => {}
                }
                continue;
            }
            for event in &due {
                self.tell(event);
            }
            self.schedule.done(due.len());
            if stop.is_cancelled() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn tell(&self, event: &Event) {
        let (told, judged) = {
            let mut ledger = self.ledger.lock();
            if ledger.generation != event.generation {
                return;
            }
            let told = ledger.note(event.row, event.act);
            let judged = match (&told, event.act) {
                (Some(told), Act::Block) => {
                    let behaviour = self.behaviour.get();
                    let at_ms = event.unix_s * 1_000;
                    ledger.policy.block((told.number, &told.to), told.template, at_ms, &behaviour.integrity)
                }
                (Some(told), _) if told.arrived => {
                    let behaviour = self.behaviour.get();
                    let at_ms = event.unix_s * 1_000;
                    ledger.policy.delivered(told.number, told.template, at_ms, &behaviour.integrity)
                }
                _ => Vec::new(),
            };
            (told, judged)
        };
        judged.into_iter().for_each(|judged| self.face.judged(judged));
        let Some(told) = told else { return };
        match event.act {
            Act::Status { .. } => self.face.status(&told, event.act, event.unix_s),
            Act::Reply { text, quote } => {
                let (id, at_ms) = self.hear(told.number, &told.to);
                self.note_inbound(told.number, &wamid::inbound(&told.to, id), at_ms);
                self.face.reply(&told, &Reply { id, text, quote, unix_s: event.unix_s });
            }
            Act::Block => {}
        }
    }

    /// A phone blocks a number, after this template (0: after none).
    pub(crate) fn block(&self, number: usize, user: &str, template: u64) {
        let at_ms = self.clock.unix_ms(self.clock.now_ns());
        let behaviour = self.behaviour.get();
        let judged = {
            let mut ledger = self.ledger.lock();
            ledger.count_block();
            ledger.policy.block((number, user), template, at_ms, &behaviour.integrity)
        };
        judged.into_iter().for_each(|judged| self.face.judged(judged));
    }

    /// Sets a phone.
    pub(crate) fn set_phone(&self, order: &PhoneOrder) {
        self.ledger.lock().policy.set_phone(order.clone());
    }

    pub(crate) fn is_another(&self, phone: &str, identity: &str) -> bool {
        self.ledger.lock().policy.is_another(phone, identity)
    }

    pub(crate) fn unblock(&self, number: usize, user: &str) {
        self.ledger.lock().policy.unblock(number, user);
    }

    pub(crate) fn set_phones(&self) -> Vec<PhoneOrder> {
        self.ledger.lock().policy.phones()
    }

    /// An advertisement brought a user to a number.
    pub(crate) fn entered(&self, number: usize, from: &str, at_ms: i64) {
        self.ledger.lock().policy.entered(number, from, at_ms);
    }

    /// Puts the clock ahead; what became due happens now.
    pub(crate) fn advance(&self, ms: u64) {
        self.clock.advance(ms);
        self.schedule.wake();
    }

    pub(crate) fn stats(&self) -> Stats {
        // the schedule first: what leaves it is counted by the face before it is gone from here
        let scheduled_events = self.schedule.open();
        Stats { scheduled_events, ..self.ledger.lock().stats() }
    }

    /// At most `limit` rows after `seq`, and how many there are.
    pub(crate) fn rows(&self, after: u64, limit: usize) -> (Vec<LedgerRow>, u64) {
        let ledger = self.ledger.lock();
        (ledger.page(after, limit, &self.numbers), ledger.len())
    }

    pub(crate) fn recipients(&self) -> BTreeMap<String, u64> {
        self.ledger.lock().recipients()
    }

    /// Forgets every message, limit and plan.
    pub(crate) fn reset(&self) {
        self.ledger.lock().clear();
        self.schedule.clear();
        self.limits.clear();
    }
}

/// Waits that long, for ever without an end.
pub(crate) async fn pause(time: Option<std::time::Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn end_of(answer: &Answer, behaviour: &Behaviour) -> (End, Outcome) {
    match (answer.fault, answer.refused) {
        (Some(FaultKind::ResetBeforeAccept), _) => (End::Reset, Outcome::Lost),
        (Some(FaultKind::Throttled), _) => (End::TooMany(130_429), Outcome::Rejected),
        (Some(FaultKind::Graph500), _) => {
            (End::ServerError(behaviour.faults.graph_500_code), Outcome::Rejected)
        }
        (Some(FaultKind::Bare502), _) if answer.accepted_behind => (End::Bare, Outcome::Accepted),
        (Some(FaultKind::Bare502), _) => (End::Bare, Outcome::Lost),
        (Some(FaultKind::DroppedAfterAccept), _) => (End::Dropped, Outcome::Accepted),
        (_, Some(code)) => (End::Refused(code), Outcome::Rejected),
        (_, None) => (End::Accepted(answer.id), Outcome::Accepted),
    }
}
