//! The way from Kabar to a tenant in the kill proof: a webhook subscription and the server it brings its events to, from
//! the first message to the last, over all kills. In the end every event of the journal must have come, in the order
//! of its conversation; what came again is counted, for a repeat is allowed and a gap is not.

use super::client::Client;
use super::receiver::Receiver;
use super::truth::truth;
use anyhow::Result;
use kabar_engine::id::EventId;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// What is subscribed: what people write, what is accepted for them, and what becomes of a campaign as a whole. Of a
/// campaign's recipients there are ten times as many events; the events proof brings all of them.
const TYPES: [&str; 5] =
    ["message.accepted", "message.received", "campaign.launched", "campaign.frozen", "campaign.finished"];
/// Longest wait for the last event, from the last new one on.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same when a bug is planted: what a bug keeps from coming never does.
const PATIENCE_PLANTED: Duration = Duration::from_secs(10);
/// A subscription writes down where it stands a second after a change.
const WRITTEN: Duration = Duration::from_secs(20);

/// The subscription and its server.
pub(super) struct Hook {
    receiver: Receiver,
    webhook: String,
}

/// What was brought.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Brought {
    /// Events of the journal that were owed.
    pub(super) events: u64,
    /// Of them, those that never came.
    pub(super) lost: u64,
    /// Those that came more than once.
    pub(super) again: u64,
}

impl Hook {
    /// Subscribes; nothing has happened before.
    pub(super) async fn begin(client: &Client) -> Result<Self> {
        let receiver = Receiver::start().await?;
        let wanted = json!({"url": receiver.url(), "types": TYPES});
        let webhook = client.post("/v1/webhooks", "webhook", &wanted).await?.text("id")?;
        Ok(Self { receiver, webhook })
    }

    /// Waits until everything was brought and holds it against the journal; gives the counts and what is broken.
    pub(super) async fn end(self, client: &Client, is_planted: bool) -> Result<(Brought, Vec<String>)> {
        let patience = if is_planted { PATIENCE_PLANTED } else { PATIENCE };
        let mut owed = truth(client, &TYPES.join(",")).await?.events;
        // A campaign may say that it is finished a moment before its last event is in the journal.
        loop {
            within(patience, owed.len(), || self.receiver.count()).await;
            let now = truth(client, &TYPES.join(",")).await?.events;
            if now.len() == owed.len() {
                break;
            }
            owed = now;
        }
        let mut broken: Vec<String> = standing(client, &self.webhook).await.into_iter().collect();
        let (events, came) = (owed.len(), self.receiver.count());
        let brought = self.receiver.end();
        // So late an event need not have come, but may have.
        let known: HashSet<EventId> = owed.iter().map(|(event, _)| *event).collect();
        let taken = brought.calls.iter().filter(|(_, taken)| *taken);
        let arrived: HashSet<EventId> = taken.map(|(event, _)| *event).collect();
        let last = truth(client, &TYPES.join(",")).await?.events;
        let owed: Vec<_> =
            last.into_iter().filter(|(event, _)| known.contains(event) || arrived.contains(event)).collect();
        broken.extend(brought.compare(&owed));
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let lost = count(events.saturating_sub(came));
        Ok((Brought { events: count(events), lost, again: count(brought.repeats()) }, broken))
    }
}

/// What a subscription says of itself that it should not, when everything was taken; it is written down a little later.
pub(super) async fn standing(client: &Client, webhook: &str) -> Option<String> {
    let (path, mut last) = (format!("/v1/webhooks/{webhook}"), Value::Null);
    let well = crate::wait::within(WRITTEN, async || {
        last = client.get(&path).await.ok()?.json();
        let well = last["enabled"] == true && last["waiting"] == 0 && last["failing_since"].is_null();
        (well && last["missed_before"].is_null()).then_some(())
    });
    well.await.is_none().then(|| format!("the subscription is not well: {last}"))
}

/// Waits until so many have come, or nothing new comes any more.
pub(super) async fn within_patience(wanted: usize, count: impl Fn() -> usize) {
    within(PATIENCE, wanted, count).await;
}

async fn within(patience: Duration, wanted: usize, count: impl Fn() -> usize) {
    let (mut last, mut since) = (0, Instant::now());
    crate::wait::within(Duration::MAX, async || {
        let count = count();
        if count > last {
            (last, since) = (count, Instant::now());
        }
        (count >= wanted || since.elapsed() > patience).then_some(())
    })
    .await;
}
