//! WhatsApp as the node meets it behind the connector seam: takes messages, refuses them, takes them without saying so, is
//! slow, throttles; and what became of what it took it tells by webhook, twice, out of order, or before its answer. Its
//! ledger is the truth that the checks compare with; it never recognises a repeat. Not HTTP: that is the sandbox's.

use super::journal::Claims;
use super::post::{Letter, Post};
use super::weather::{Chance, Life, Weather, pass};
use kabar_connectors::{BoxFuture, Capabilities, Connector};
use kabar_engine::cause::Cause;
use kabar_engine::outgoing::{Accepted, Outgoing, Reason, Reference, SendError};
use kabar_engine::pacing::Throttle;
use kabar_sandbox::{FaultKind, LedgerRow, Outcome};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Calls that take longer are given up by the connector.
pub const DEADLINE_MS: u64 = 4_000;

/// The provider of one simulation.
pub struct Provider {
    pub weather: Arc<Weather>,
    pub chance: Chance,
    pub claims: Arc<Claims>,
    pub post: Arc<Post>,
    ledger: Mutex<Vec<LedgerRow>>,
    /// Calls for which no claim was durable.
    unclaimed: Mutex<Vec<Reference>>,
}

/// What a call comes to, and what the caller hears of it.
enum Fate {
    Taken,
    TakenUnsaid,
    Lost,
    Refused(SendError),
}

impl Provider {
    pub fn new(weather: Arc<Weather>, chance: Chance, claims: Arc<Claims>, post: Arc<Post>) -> Self {
        let (ledger, unclaimed) = (Mutex::default(), Mutex::default());
        Self { weather, chance, claims, post, ledger, unclaimed }
    }

    /// Everything that reached it, in order.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        self.ledger.lock().expect("invariant: nobody panics with the ledger in hand").clone()
    }

    /// References that were called without a durable claim.
    pub fn unclaimed(&self) -> Vec<Reference> {
        self.unclaimed.lock().expect("invariant: nobody panics with the list in hand").clone()
    }

    fn fate(&self) -> Fate {
        if !self.weather.strikes(&self.chance, |rates| rates.call) {
            return Fate::Taken;
        }
        let refused = |code| Fate::Refused(SendError::Rejected(reason(code)));
        let later = |throttle, code, after_ms| {
            Fate::Refused(SendError::RetryAfter { throttle, after_ms, cause: Cause(code), words: None })
        };
        match self.chance.below(100) {
            0..=24 => Fate::TakenUnsaid,
            25..=44 => Fate::Lost,
            45..=59 => refused(131_026),
            60 => refused(131_050),
            61..=64 => refused(100),
            65..=74 => later(Throttle::Transient, 131_000, 0),
            75..=82 => later(Throttle::Throughput, 130_429, self.chance.below(400)),
            83..=90 => later(Throttle::Pair, 131_056, 0),
            91..=94 => later(Throttle::Maintenance, 131_057, 0),
            // What makes everybody wait for minutes is rarer still.
            95..=96 if self.chance.one_in(4) => later(Throttle::RequestLimit, 80_007, 0),
            97 => Fate::Refused(SendError::LinkLost(reason(190))),
            98 if self.chance.one_in(6) => Fate::Refused(held(Throttle::Account, 131_048)),
            _ => later(Throttle::Transient, 131_016, 2_000),
        }
    }

    /// A call has arrived: what becomes of it stands in the ledger from here on.
    fn arrive(&self, number: usize, m: &Outgoing) -> Result<Accepted, SendError> {
        if !self.claims.call(m.reference) {
            self.unclaimed.lock().expect("invariant: nobody panics with the list in hand").push(m.reference);
        }
        let fate = self.fate();
        let mut ledger = self.ledger.lock().expect("invariant: nobody panics with the ledger in hand");
        let seq = ledger.len() as u64 + 1;
        let mut row = LedgerRow {
            seq,
            at_ms: 0,
            phone_number_id: super::town::number_id(number),
            to: m.to.value().to_owned(),
            kind: m.content.kind().to_owned(),
            reference: Some(m.reference.to_string()),
            wamid: None,
            outcome: Outcome::Accepted,
            code: None,
            fault: None,
            sent: false,
            delivered: false,
            read: false,
            failed: None,
            replied: false,
        };
        let told = match fate {
            Fate::Taken | Fate::TakenUnsaid => {
                let wamid = format!("wamid.sim{seq}");
                row.wamid = Some(wamid.clone());
                self.report(number, &mut row);
                if matches!(fate, Fate::Taken) {
                    Ok(Accepted { provider_id: Arc::from(wamid), held: false })
                } else {
                    row.fault = Some(FaultKind::DroppedAfterAccept);
                    Err(SendError::Ambiguous)
                }
            }
            Fate::Lost => {
                (row.outcome, row.fault) = (Outcome::Lost, Some(FaultKind::ResetBeforeAccept));
                Err(SendError::Ambiguous)
            }
            Fate::Refused(error) => {
                (row.outcome, row.code) = (Outcome::Rejected, error.cause().map(|cause| cause.0));
                Err(error)
            }
        };
        ledger.push(row);
        told
    }

    /// Draws how far a message gets, and posts the reports of it in any order.
    fn report(&self, number: usize, row: &mut LedgerRow) {
        let far = self.chance.below(100);
        (row.sent, row.delivered, row.read) = (far >= 8, far >= 22, far >= 55);
        if (8..14).contains(&far) {
            row.failed = Some(131_026);
        }
        let mut words = Vec::new();
        if row.sent && self.chance.below(10) < 8 || row.sent && !row.delivered && row.failed.is_none() {
            words.push("sent");
        }
        if row.delivered && (!row.read || self.chance.below(10) < 8) {
            words.push("delivered");
        }
        words.extend(row.read.then_some("read"));
        words.extend(row.failed.map(|_| "failed"));
        for word in words {
            let copies = if self.chance.one_in(6) { 2 } else { 1 };
            for _ in 0..copies {
                // Some overtake the answer to the call.
                let slow = if self.chance.one_in(4) { 6_000 } else { 400 };
                let mut status = json!({
                    "id": row.wamid, "status": word, "recipient_id": row.to,
                    "biz_opaque_callback_data": row.reference,
                });
                if word == "failed" {
                    status["errors"] = json!([{"code": 131_026, "title": "Message undeliverable"}]);
                }
                self.post.put(self.chance.below(slow), number, Letter::Status(status));
            }
        }
    }

    async fn call(&self, life: &Life, number: usize, m: &Outgoing) -> Result<Accepted, SendError> {
        life.live().await;
        let slow = |calm, rough| if self.weather.is_calm() { calm } else { rough };
        let travel = self.chance.between(1, slow(10, 60));
        pass(Duration::from_millis(travel)).await;
        life.live().await;
        let told = self.arrive(number, m);
        let late = !self.weather.is_calm() && self.chance.one_in(40);
        let answer = if late { self.chance.between(1_000, 8_000) } else { self.chance.between(1, 250) };
        pass(Duration::from_millis(answer.min(DEADLINE_MS - travel))).await;
        life.live().await;
        if answer > DEADLINE_MS - travel {
            let mut ledger = self.ledger.lock().expect("invariant: nobody panics with the ledger in hand");
            let reference = m.reference.to_string();
            let row = ledger.iter_mut().rev().find(|row| row.reference.as_ref() == Some(&reference));
            row.into_iter().for_each(|row| row.fault = Some(FaultKind::Slow));
            return Err(SendError::Ambiguous);
        }
        told
    }
}

fn reason(code: u32) -> Reason {
    Reason { cause: Cause(code), detail: String::new(), trace: None }
}

fn held(throttle: Throttle, code: u32) -> SendError {
    SendError::Held { throttle, after_ms: 0, reason: reason(code) }
}

/// One number's connector in one life of the node.
pub struct Line {
    pub provider: Arc<Provider>,
    pub life: Arc<Life>,
    pub number: usize,
}

impl Connector for Line {
    fn send<'a>(&'a self, m: &'a Outgoing) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            let busy = self.life.call();
            let call = self.provider.call(&self.life, self.number, m);
            // A killed process's calls are nobody's.
            let told = tokio::select! {
                biased;
                told = call => Some(told),
                () = self.life.over() => None,
            };
            drop(busy);
            match told {
                Some(told) => told,
                None => std::future::pending().await,
            }
        })
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }
}

static CAPABILITIES: Capabilities = Capabilities {
    name: "simulated",
    templates: true,
    window: true,
    media_by_link: false,
    media_by_id: false,
    polls: false,
    buttons: false,
    lists: false,
    reactions: false,
    quotes: true,
    read_receipts: false,
    typing: false,
    user_ids: false,
    lids: false,
    groups: false,
    idempotent: false,
    text_max: 4_096,
};
