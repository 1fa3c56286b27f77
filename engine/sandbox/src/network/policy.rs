//! What WhatsApp weighs over many messages: the portfolio's limit, the cap of marketing per user, phones that blocked a
//! number, quality, free service messages, entry points. A part of the ledger, under its lock; not the codes' wording.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::ledger::{hash, pair};
use super::message::{Category, Kind, Outgoing};
use super::price::{self, Rate};
use crate::behaviour::{Behaviour, Integrity, OverLimit};

const DAY_MS: i64 = 24 * 3_600 * 1_000;
const ENTRY_MS: i64 = 3 * DAY_MS;
const QUALITY_DAYS: i64 = 7;

/// How good a number or a template is taken to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Quality {
    #[default]
    Green,
    Yellow,
    Red,
}

impl Quality {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Green => "GREEN",
            Self::Yellow => "YELLOW",
            Self::Red => "RED",
        }
    }
}

/// One phone as the control API sets it; what is left out follows from the seed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhoneOrder {
    /// The phone, digits.
    pub wa_id: String,
    /// Every message to it fails later with 131026.
    pub unreachable: Option<bool>,
    /// Whether its read receipts are off.
    pub no_read: Option<bool>,
    /// Whether it stopped marketing: templates of marketing fail with 131050; told as `user_preferences`.
    pub marketing_stopped: Option<bool>,
    /// Whether it belongs to Meta's experiment: templates of marketing fail with 130472.
    pub experiment: Option<bool>,
    /// The hash of its user's identity: messages that expect another one are refused with 137000. `""`: none.
    pub identity_key_hash: Option<String>,
    /// Whether it has blocked this number.
    pub blocks: Option<String>,
    /// Whether it no longer blocks that number.
    pub unblocks: Option<String>,
}

/// Blocks and deliveries of the last days of a number or a template.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Health {
    /// Day, delivered, blocks.
    days: VecDeque<(i64, u32, u32)>,
    quality: Quality,
}

impl Health {
    fn today(&mut self, at_ms: i64) -> Option<&mut (i64, u32, u32)> {
        let day = at_ms.div_euclid(DAY_MS);
        self.days.retain(|(then, ..)| day - then < QUALITY_DAYS);
        if self.days.back().is_none_or(|(then, ..)| *then != day) {
            self.days.push_back((day, 0, 0));
        }
        self.days.back_mut()
    }

    /// The quality, if it changed.
    fn judge(&mut self, integrity: &Integrity) -> Option<Quality> {
        let (delivered, blocks) = self.days.iter().fold((0, 0), |sum, (_, d, b)| (sum.0 + d, sum.1 + b));
        if delivered < integrity.quality_sample.max(1) {
            return None;
        }
        let share = f64::from(blocks) / f64::from(delivered);
        let quality = if share >= integrity.quality_red {
            Quality::Red
        } else if share >= integrity.quality_yellow {
            Quality::Yellow
        } else {
            Quality::Green
        };
        let changed = std::mem::replace(&mut self.quality, quality) != quality;
        changed.then_some(quality)
    }
}

/// A number's or a template's new quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Number(usize, Quality),
    Template(u64, Quality),
}

/// What the past means for one message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weighed {
    /// Refused in the answer.
    pub(crate) refused: Option<u32>,
    /// Accepted, fails later.
    pub(crate) doom: Option<u32>,
    /// Accepted, and nothing more is heard but perhaps `sent`.
    pub(crate) silent: Option<Silence>,
    pub(crate) outside_window: bool,
    pub(crate) rate: Rate,
    pub(crate) unreachable: Option<bool>,
    pub(crate) no_read: Option<bool>,
}

/// How little is heard of a message that never arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Not even `sent`.
    Whole,
    /// `sent`: the phone has blocked the number.
    AfterSent,
}

/// What is remembered over many messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// Users reached outside a window, and when.
    reached: HashMap<u64, i64>,
    /// Marketing that went to a user.
    marketing: HashMap<u64, Vec<i64>>,
    /// Pairs whose phone has blocked the number.
    blocked: HashSet<u64>,
    numbers: BTreeMap<usize, Health>,
    templates: BTreeMap<u64, Health>,
    /// Number, to a month and its service messages.
    services: BTreeMap<usize, (i64, u32)>,
    /// Pair, to when an advertisement brought the user, and when it was answered.
    entries: HashMap<u64, (i64, Option<i64>)>,
    phones: HashMap<String, PhoneOrder>,
}

impl Policy {
    /// Weighs a message that would be accepted.
    pub(crate) fn weigh(
        &mut self,
        message: &Outgoing<'_>,
        behaviour: &Behaviour,
        at_ms: i64,
        heard: Option<i64>,
    ) -> Weighed {
        let integrity = &behaviour.integrity;
        let in_window = heard.is_some_and(|heard| at_ms - heard < DAY_MS);
        let is_template = message.kind == Kind::Template;
        let mut weighed = Weighed {
            outside_window: behaviour.enforce_window && !is_template && !in_window,
            ..Weighed::default()
        };
        if !self.blocked.is_empty() && self.blocked.contains(&pair(message.number, message.to)) {
            weighed.silent = Some(Silence::AfterSent);
        }
        let markets = message.category == Category::Marketing;
        if !self.phones.is_empty()
            && let Some(phone) = self.phones.get(message.to)
        {
            (weighed.unreachable, weighed.no_read) = (phone.unreachable, phone.no_read);
            weighed.doom = [(phone.marketing_stopped, 131_050), (phone.experiment, 130_472)]
                .into_iter()
                .find_map(|(set, code)| (markets && set == Some(true)).then_some(code));
        }
        if markets && !in_window && weighed.doom.is_none() {
            weighed.doom = self.over_cap(message.to, integrity, at_ms).then_some(131_049);
        }
        if integrity.portfolio_limit > 0 && !in_window && self.over_portfolio(message.to, integrity, at_ms) {
            match integrity.portfolio_over {
                OverLimit::Drop => weighed.silent = Some(Silence::Whole),
                OverLimit::SpamRateLimit => weighed.doom = Some(131_048),
                OverLimit::MessagingLimit => weighed.refused = Some(131_064),
            }
        }
        weighed.rate = self.rate(message, integrity, (at_ms, in_window), &mut weighed.doom);
        weighed
    }

    fn over_cap(&mut self, to: &str, integrity: &Integrity, at_ms: i64) -> bool {
        if integrity.marketing_to_us_paused && to.starts_with('1') {
            return true;
        }
        let exempt = || integrity.marketing_cap_exempt.iter().any(|code| to.starts_with(code.as_str()));
        if integrity.marketing_cap == 0 || exempt() {
            return false;
        }
        let times = self.marketing.entry(hash(to)).or_default();
        times.retain(|at| at_ms - at < DAY_MS);
        // one that is kept back counts too: who tries again sooner waits longer
        let over = times.len() >= integrity.marketing_cap as usize;
        times.push(at_ms);
        if times.len() > 64 {
            times.remove(0);
        }
        over
    }

    fn over_portfolio(&mut self, to: &str, integrity: &Integrity, at_ms: i64) -> bool {
        let user = hash(to);
        if self.reached.get(&user).is_some_and(|at| at_ms - at < DAY_MS) {
            return false;
        }
        let limit = integrity.portfolio_limit as usize;
        if self.reached.len() >= limit {
            self.reached.retain(|_, at| at_ms - *at < DAY_MS);
        }
        let over = self.reached.len() >= limit;
        if !over {
            self.reached.insert(user, at_ms);
        }
        over
    }

    fn rate(
        &mut self,
        message: &Outgoing<'_>,
        integrity: &Integrity,
        when: (i64, bool),
        doom: &mut Option<u32>,
    ) -> Rate {
        let (at_ms, in_window) = when;
        if !self.entries.is_empty()
            && let Some((came, answered)) = self.entries.get_mut(&pair(message.number, message.to))
        {
            if answered.is_none() && at_ms - *came < DAY_MS {
                *answered = Some(at_ms);
            }
            if answered.is_some_and(|answered| at_ms - answered < ENTRY_MS) {
                return Rate::FreeEntryPoint;
            }
        }
        if message.category != Category::Service || !price::window_is_charged(at_ms) {
            return price::rate(message.category, in_window, at_ms, false);
        }
        let month = price::month(at_ms);
        let used = self.services.entry(message.number).or_insert((month, 0));
        if used.0 != month {
            *used = (month, 0);
        }
        used.1 += 1;
        let free = used.1 <= integrity.free_service_messages;
        if !free && !integrity.payment_method {
            *doom = doom.or(Some(131_042));
        }
        price::rate(message.category, in_window, at_ms, free)
    }

    /// A message arrived.
    pub(crate) fn delivered(
        &mut self,
        number: usize,
        template: u64,
        at_ms: i64,
        integrity: &Integrity,
    ) -> Vec<Judged> {
        let mut judged = Vec::new();
        let health = self.numbers.entry(number).or_default();
        if let Some(today) = health.today(at_ms) {
            today.1 += 1;
        }
        // only what was bad can get better by an arrival
        if health.quality != Quality::Green {
            judged.extend(health.judge(integrity).map(|quality| Judged::Number(number, quality)));
        }
        if template != 0 {
            let health = self.templates.entry(template).or_default();
            if let Some(today) = health.today(at_ms) {
                today.1 += 1;
            }
            if health.quality != Quality::Green {
                judged.extend(health.judge(integrity).map(|quality| Judged::Template(template, quality)));
            }
        }
        judged
    }

    /// A phone blocks a number, after this template (0: after none).
    pub(crate) fn block(
        &mut self,
        pair: (usize, &str),
        template: u64,
        at_ms: i64,
        integrity: &Integrity,
    ) -> Vec<Judged> {
        let (number, user) = pair;
        if !self.blocked.insert(super::ledger::pair(number, user)) {
            return Vec::new();
        }
        let mut judged = Vec::new();
        let health = self.numbers.entry(number).or_default();
        if let Some(today) = health.today(at_ms) {
            today.2 += 1;
        }
        judged.extend(health.judge(integrity).map(|quality| Judged::Number(number, quality)));
        if template != 0 {
            let health = self.templates.entry(template).or_default();
            if let Some(today) = health.today(at_ms) {
                today.2 += 1;
            }
            judged.extend(health.judge(integrity).map(|quality| Judged::Template(template, quality)));
        }
        judged
    }

    /// A user writes: whoever had blocked the number no longer does.
    pub(crate) fn heard(&mut self, number: usize, from: &str) {
        if !self.blocked.is_empty() {
            self.blocked.remove(&pair(number, from));
        }
    }

    /// An advertisement brought a user to a number.
    pub(crate) fn entered(&mut self, number: usize, from: &str, at_ms: i64) {
        self.entries.retain(|_, (came, _)| at_ms - *came < DAY_MS + ENTRY_MS);
        self.entries.insert(pair(number, from), (at_ms, None));
    }

    pub(crate) fn unblock(&mut self, number: usize, user: &str) {
        self.blocked.remove(&pair(number, user));
    }

    pub(crate) fn set_phone(&mut self, order: PhoneOrder) {
        let phone = self
            .phones
            .entry(order.wa_id.clone())
            .or_insert_with(|| PhoneOrder { wa_id: order.wa_id.clone(), ..PhoneOrder::default() });
        for (own, given) in [
            (&mut phone.unreachable, order.unreachable),
            (&mut phone.no_read, order.no_read),
            (&mut phone.marketing_stopped, order.marketing_stopped),
            (&mut phone.experiment, order.experiment),
        ] {
            *own = given.or(*own);
        }
        if let Some(hash) = order.identity_key_hash {
            phone.identity_key_hash = Some(hash).filter(|hash| !hash.is_empty());
        }
    }

    /// Whether a phone is known to be another person's than the one of this identity.
    pub(crate) fn is_another(&self, phone: &str, identity: &str) -> bool {
        let known = self.phones.get(phone).and_then(|phone| phone.identity_key_hash.as_deref());
        known.is_some_and(|known| known != identity)
    }

    /// Phones the control API has set.
    pub(crate) fn phones(&self) -> Vec<PhoneOrder> {
        let mut all: Vec<PhoneOrder> = self.phones.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.wa_id.cmp(&b.wa_id));
        all
    }
}
