//! Load from all sides while the node is killed: clients that send single messages and repeat what was not
//! acknowledged under the same key, campaigns that follow one another, and people who write whether the node lives
//! or not. It notes what was acknowledged, and asks nobody whether it is true.

use super::client::{Ask, Told};
use super::world::{SESSIONS, World, number_id};
use crate::people;
use anyhow::{Result, bail};
use kabar_sandbox::Inbound;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Clients that send single messages, each one after the other.
const SENDERS: u64 = 6;
/// People who write, over and over.
const WRITERS: u64 = 300;
/// Kills beyond which the load is lighter, so that a long proof ends in bounded memory and time.
const MANY: u32 = 60;
/// Between two tries, and between two looks at a campaign.
const AGAIN: Duration = Duration::from_millis(50);
/// Everybody writes to and hears from people of their own, so that no one is a recipient twice.
const FIRST_RECEIVER: u64 = 40_000_000;
const FIRST_WRITER: u64 = 60_000_000;

/// How heavy it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Between two messages of one client.
    pub(super) send_every: Duration,
    /// Between two messages of people.
    pub(super) write_every: Duration,
    /// Recipients of one campaign.
    pub(super) audience: u64,
    /// When fewer wait, the next campaign is made.
    pub(super) low: u64,
    /// Messages a second of one number; the sandbox takes twice as many, so that it does not throttle.
    pub(super) rate: u32,
}

impl Pace {
    /// What the machine takes: more than a thousand messages a second.
    pub(super) const FULL: Self = Self {
        send_every: Duration::from_millis(30),
        write_every: Duration::from_millis(40),
        audience: 4_000,
        low: 2_000,
        rate: 500,
    };

    /// For hours: an eighth of it. What a kill finds open is the same: claims are as long as 100 ms of the rate.
    pub(super) const LIGHT: Self = Self {
        send_every: Duration::from_millis(200),
        write_every: Duration::from_millis(200),
        audience: 1_500,
        low: 700,
        rate: 60,
    };

    /// For so many kills.
    pub(super) fn of(kills: u32) -> Self {
        if kills > MANY { Self::LIGHT } else { Self::FULL }
    }
}

/// A single message, in so few words that a hundred thousand of them can be remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter {
    /// What it says before its number.
    pub(super) word: &'static str,
    pub(super) nth: u64,
    /// To which of the people.
    pub(super) person: u64,
    /// From which of the numbers.
    pub(super) number: usize,
}

impl Letter {
    /// The digits it goes to.
    pub(super) fn to(&self) -> String {
        people::digits(self.person)
    }

    /// The body that asks for it.
    pub(super) fn body(&self, sessions: &[String]) -> Value {
        let mut body = people::template(&format!("{} {}", self.word, self.nth));
        body["session"] = json!(sessions[self.number]);
        body["to"] = json!(self.to());
        body
    }
}

/// A message whose 202 arrived.
#[derive(Debug, Clone)]
pub(super) struct Ack {
    /// Its key.
    pub(super) key: String,
    /// What was asked.
    pub(super) letter: Letter,
    /// The id in the answer.
    pub(super) id: String,
}

/// What a person wrote.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) provider_id: String,
    pub(super) from: String,
    /// Which of the numbers it was written to.
    pub(super) number: usize,
}

/// What was noted.
#[derive(Default)]
pub(super) struct Notes {
    acks: Mutex<Vec<Ack>>,
    campaigns: Mutex<Vec<String>>,
    written: Mutex<Vec<Written>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A task that panicked while it noted something fails the proof at its join.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notes {
    /// Notes a message that was acknowledged to somebody else.
    pub(super) fn acked(&self, ack: Ack) {
        lock(&self.acks).push(ack);
    }

    pub(super) fn acks(&self) -> Vec<Ack> {
        lock(&self.acks).clone()
    }

    pub(super) fn campaigns(&self) -> Vec<String> {
        lock(&self.campaigns).clone()
    }

    pub(super) fn written(&self) -> Vec<Written> {
        lock(&self.written).clone()
    }
}

/// The running load.
pub(super) struct Load {
    pub(super) notes: Arc<Notes>,
    up: watch::Sender<bool>,
    going: watch::Sender<bool>,
    tasks: JoinSet<Result<()>>,
}

#[derive(Clone)]
struct Worker {
    world: Arc<World>,
    notes: Arc<Notes>,
    up: watch::Receiver<bool>,
    going: watch::Receiver<bool>,
    pace: Pace,
}

impl Load {
    /// Begins; the node is up.
    pub(super) fn start(world: &Arc<World>, pace: Pace) -> Self {
        let (up, going) = (watch::Sender::new(true), watch::Sender::new(true));
        let notes = Arc::new(Notes::default());
        let worker = Worker {
            world: Arc::clone(world),
            notes: Arc::clone(&notes),
            up: up.subscribe(),
            going: going.subscribe(),
            pace,
        };
        let mut tasks = JoinSet::new();
        for lane in 0..SENDERS {
            tasks.spawn(worker.clone().send(lane));
        }
        tasks.spawn(worker.clone().campaigns());
        tasks.spawn(worker.write());
        Self { notes, up, going, tasks }
    }

    /// The node is ready, or about to be killed.
    pub(super) fn is_up(&self, up: bool) {
        self.up.send_replace(up);
    }

    /// Lets everybody end what they began: what was not acknowledged is repeated until it is.
    pub(super) async fn stop(&mut self) -> Result<()> {
        self.going.send_replace(false);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

impl Worker {
    fn goes_on(&self) -> bool {
        *self.going.borrow()
    }

    /// Asks until the answer is good, while the node lives; a refusal that no repeat can mend is an error.
    async fn insist(&mut self, what: &str, ask: Ask) -> Result<Told> {
        let mut turn = interval(AGAIN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            self.up.wait_for(|up| *up).await?;
            match self.world.client.ask(ask.clone()).await {
                Ok(told) if told.is_good() => return Ok(told),
                Ok(told) if !told.is_passing() => bail!("{what}: {}", told.shown()),
                Ok(_) | Err(_) => {}
            }
        }
    }

    async fn send(mut self, lane: u64) -> Result<()> {
        let mut turn = interval(self.pace.send_every);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut nth = lane;
        while self.goes_on() {
            turn.tick().await;
            let number = usize::try_from(nth)? % SESSIONS;
            let letter = Letter { word: "Pesanan", nth, person: FIRST_RECEIVER + nth, number };
            let key = format!("send-{nth}");
            let ask = Ask::post("/v1/messages", key.clone(), &letter.body(&self.world.sessions));
            let told = self.insist("a message is refused", ask).await?;
            lock(&self.notes.acks).push(Ack { id: told.text("id")?, key, letter });
            nth += SENDERS;
        }
        Ok(())
    }

    async fn campaigns(mut self) -> Result<()> {
        let mut nth = 0;
        while self.goes_on() {
            let id = self.launch(nth).await?;
            lock(&self.notes.campaigns).push(id.clone());
            nth += 1;
            let mut turn = interval(AGAIN);
            let path = format!("/v1/campaigns/{id}");
            while self.goes_on() {
                turn.tick().await;
                let waiting = match self.world.client.get(&path).await {
                    Ok(told) if told.is_good() => waiting(&told.json()),
                    _ => None,
                };
                if waiting.is_some_and(|n| n < self.pace.low) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Imports people, makes a campaign for them and launches it; each step has a key and is repeated under it.
    async fn launch(&mut self, nth: u64) -> Result<String> {
        let (path, key) = (format!("/v1/contacts/import?name=list-{nth}"), format!("import-{nth}"));
        let audience = self.pace.audience;
        let ask = Ask::file(&path, key, people::csv(nth * audience, audience));
        let import = self.insist("an import is refused", ask).await?;
        let body = json!({
            "name": format!("Campaign {nth}"),
            "senders": self.world.sessions,
            "audience": {"list": import.text("id")?},
            "message": people::pictured("{{name}}", self.world.picture()),
        });
        let ask = Ask::post("/v1/campaigns", format!("campaign-{nth}"), &body);
        let id = self.insist("a campaign is refused", ask).await?.text("id")?;
        let ask = Ask::post(&format!("/v1/campaigns/{id}/launch"), format!("launch-{nth}"), &json!({}));
        self.insist("a launch is refused", ask).await?;
        Ok(id)
    }

    /// People write whether the node lives or not; what is written while it does not is repeated by the sandbox.
    async fn write(self) -> Result<()> {
        let mut turn = interval(self.pace.write_every);
        let mut nth = 0;
        while self.goes_on() {
            turn.tick().await;
            let writer = nth % WRITERS;
            let number = usize::try_from(writer)? % SESSIONS;
            let from = people::digits(FIRST_WRITER + writer);
            let order = Inbound {
                phone_number_id: number_id(number),
                from: from.clone(),
                text: Some(format!("Halo {nth}")),
                ..Inbound::default()
            };
            match self.world.sandbox.inbound(&order) {
                Ok(provider_id) => lock(&self.notes.written).push(Written { provider_id, from, number }),
                Err(why) => bail!("the sandbox refuses a person: {why}"),
            }
            nth += 1;
        }
        Ok(())
    }
}

/// How many of a campaign still wait; the freezing is not over as long as there is no recipient.
fn waiting(campaign: &Value) -> Option<u64> {
    let totals = &campaign["totals"];
    let recipients = totals["recipients"].as_u64().filter(|n| *n > 0);
    recipients.and_then(|_| totals["waiting"].as_u64())
}
