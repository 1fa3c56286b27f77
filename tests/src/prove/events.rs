//! The events proof: the real binary on a real folder is killed while messages are accepted, and a reader follows the
//! events as a browser does: it comes back with the last `id:` it was told, and knows repeats by the events' names.
//! Beside it a webhook subscription brings the same events to a server that outlives the kills. In the end what either
//! got is held, event by event, against what the journal has.

mod reader;

use super::child::Child;
use super::client::{Ask, Client};
use super::hook::{standing, within_patience};
use super::load::Pace;
use super::options::Options;
use super::receiver::Receiver;
use super::truth::{Truth, truth};
use super::world::{self, World};
use crate::people;
use anyhow::{Result, bail};
use kabar_engine::id::EventId;
use kabar_engine::time::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reader::{Reader, Seen};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Messages of one request.
const BATCH: u64 = 500;
/// Requests at the same time.
const CALLERS: u64 = 4;
/// People who are written to, over and over.
const PEOPLE: u64 = 5_000;
const FIRST: u64 = 70_000_000;
/// A kill strikes so long (ms) after its turn has come, at the latest.
const LATEST_MS: u64 = 400;
/// Kills more while a subscription brings what the load left behind.
const KILLS_BEHIND: usize = 3;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);

/// What it came to.
#[derive(Debug)]
pub struct Verdict {
    /// Events of the journal, kills, comebacks, repeats, and how long it took.
    figures: Value,
    /// Broken promises.
    broken: Vec<String>,
}

impl Verdict {
    /// Whether every promise held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// One JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"holds": self.holds(), "figures": self.figures, "broken": self.broken})
    }
}

/// Runs the proof.
///
/// # Errors
/// The proof could not be made; a broken promise is no error but in the verdict.
pub async fn run(options: &Options) -> Result<Verdict> {
    eprintln!("events proof: {} events, {} kills, seed {}", options.events, options.kills, options.seed);
    let folder = tempfile::tempdir()?;
    let mut child = Child::new(folder.path(), options)?;
    child.start().await?;
    let rate = Pace::FULL.rate;
    let world = Arc::new(world::furnish(world::sandbox(options.seed, rate).await?, &child, rate).await?);
    // Nothing is sent before tomorrow: what is proved here needs no provider.
    let tomorrow = Timestamp(super::postmortem::now_ms()).plus_ms(86_400_000).to_rfc3339();
    let reader = Reader::start(&child.base(), world.key());
    let subscribed = match options.reader_only {
        true => None,
        false => Some(Subscribed::begin(&world.client).await?),
    };
    let begin = Instant::now();
    let load = Load { world: Arc::clone(&world), tomorrow };
    let accepted = load.run(options, &mut child).await?;
    let loaded = begin.elapsed();
    eprintln!("{} messages were accepted; reading what the journal has", accepted.len());
    let truth = truth(&world.client, "").await?;
    let all = truth.events.len();
    within_patience(all, || reader.count()).await;
    let (seen, took) = (reader.seen(), begin.elapsed());
    reader.stop();
    let mut broken = compare(&truth, &seen, &accepted);
    let webhook = match subscribed {
        Some(subscribed) => subscribed.end(&world.client, &truth, &mut child, &mut broken).await?,
        None => Value::Null,
    };
    let figures = json!({
        "events": all,
        "kills": options.kills,
        "reader_came_back": seen.connections.saturating_sub(1),
        "reader_met_again": seen.repeats,
        "load_s": loaded.as_secs(),
        "total_s": took.as_secs(),
        "events_per_s": seen.order.len() as u64 / took.as_secs().max(1),
        "webhook": webhook,
    });
    child.end().await?;
    Ok(Verdict { figures, broken })
}

/// A subscription of everything, and the server it brings it to.
struct Subscribed {
    receiver: Receiver,
    webhook: String,
    /// What had happened before it.
    before: Vec<EventId>,
    begin: Instant,
}

impl Subscribed {
    async fn begin(client: &Client) -> Result<Self> {
        let before = truth(client, "").await?.events.into_iter().map(|(event, _)| event).collect();
        let receiver = Receiver::start().await?;
        let wanted = json!({"url": receiver.url()});
        let webhook = client.post("/v1/webhooks", "webhook", &wanted).await?.text("id")?;
        Ok(Self { receiver, webhook, before, begin: Instant::now() })
    }

    /// Waits until everything was brought, over a few kills more, and holds it against what there is.
    async fn end(
        self,
        client: &Client,
        truth: &Truth,
        child: &mut Child,
        broken: &mut Vec<String>,
    ) -> Result<Value> {
        let owed: Vec<_> =
            truth.events.iter().filter(|(event, _)| !self.before.contains(event)).cloned().collect();
        let behind = owed.len().saturating_sub(self.receiver.count());
        let from = owed.len() - behind;
        for nth in 1..=KILLS_BEHIND {
            within_patience(from + behind * nth / (KILLS_BEHIND + 1), || self.receiver.count()).await;
            child.kill().await?;
            child.start().await?;
            eprintln!(
                "{} of {} events were brought when it was killed again",
                self.receiver.count(),
                owed.len()
            );
        }
        within_patience(owed.len(), || self.receiver.count()).await;
        let took = self.begin.elapsed();
        broken.extend(standing(client, &self.webhook).await);
        let brought = self.receiver.end();
        broken.extend(brought.compare(&owed));
        Ok(json!({
            "events": owed.len(),
            "behind_the_load": behind,
            "kills_behind_the_load": KILLS_BEHIND,
            "calls": brought.calls.len(),
            "refused_at_first": brought.refused(),
            "brought_again": brought.repeats(),
            "total_s": took.as_secs(),
            "events_per_s": owed.len() as u64 / took.as_secs().max(1),
        }))
    }
}

/// Holds what was seen against what there is; gives what differs.
fn compare(truth: &Truth, seen: &Seen, accepted: &BTreeSet<String>) -> Vec<String> {
    let mut broken = Vec::new();
    let there: BTreeSet<EventId> = truth.events.iter().map(|(event, _)| *event).collect();
    let read: BTreeSet<EventId> = seen.order.iter().copied().collect();
    let missed: Vec<String> = there.difference(&read).map(EventId::to_string).collect();
    let foreign: Vec<String> = read.difference(&there).map(EventId::to_string).collect();
    let lost: Vec<&String> = accepted.difference(&truth.messages).collect();
    for (what, list) in [("events the reader missed", &missed), ("events that are none", &foreign)] {
        if let Some(first) = list.first() {
            broken.push(format!("{what}: {}, such as {first}", list.len()));
        }
    }
    if let Some(first) = lost.first() {
        broken.push(format!("acknowledged messages without an event: {}, such as {first}", lost.len()));
    }
    if there.len() != truth.events.len() {
        broken.push("an event stands in the list twice".to_owned());
    }
    // All of a conversation lies in one shard, and within a shard the names rise with the journal.
    let mut last = std::collections::BTreeMap::new();
    for event in &seen.order {
        let shard = event.place().0;
        if last.insert(shard, *event).is_some_and(|before| before > *event) {
            broken.push(format!("{event} came before an earlier one of its shard"));
            break;
        }
    }
    broken
}

/// Messages on their way in.
struct Load {
    world: Arc<World>,
    tomorrow: String,
}

impl Load {
    /// Sends until there are as many events as wanted, and kills the node meanwhile; gives what was acknowledged.
    async fn run(&self, options: &Options, child: &mut Child) -> Result<BTreeSet<String>> {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let mut accepted = BTreeSet::new();
        let (mut kills, mut round) = (0, 0);
        while (accepted.len() as u64) < options.events || kills < options.kills {
            let due = options.events * u64::from(kills + 1) / u64::from(options.kills + 1);
            let calls = (0..CALLERS).map(|nth| self.call(round * CALLERS + nth));
            let calls = futures::future::join_all(calls);
            round += 1;
            if kills == options.kills || (accepted.len() as u64) < due {
                accepted.extend(calls.await.into_iter().flatten());
                continue;
            }
            // In the middle of these: what was not acknowledged may be there or not.
            let wait = Duration::from_millis(rng.random_range(0..LATEST_MS));
            let (done, killed) = tokio::join!(tokio::time::timeout(wait, calls), async {
                let mut turn = tokio::time::interval(wait.max(Duration::from_millis(1)));
                turn.tick().await;
                turn.tick().await;
                child.kill().await
            });
            killed?;
            accepted.extend(done.into_iter().flatten().flatten());
            child.start().await?;
            kills += 1;
            eprintln!("kill {kills} at {} messages", accepted.len());
        }
        Ok(accepted)
    }

    /// One request; gives the messages whose acceptance was told.
    async fn call(&self, nth: u64) -> Vec<String> {
        let session = &self.world.sessions[usize::try_from(nth).unwrap_or(0) % self.world.sessions.len()];
        let row = |place: u64| {
            json!({"session": session, "to": people::digits(FIRST + (nth * BATCH + place) % PEOPLE),
                "type": "template", "template": {"name": "halo", "language": {"code": "id"}},
                "options": {"send_at": self.tomorrow, "valid_for_seconds": 600}})
        };
        let body = json!({"messages": (0..BATCH).map(row).collect::<Vec<_>>()});
        let ask = Ask::post("/v1/messages/batch", format!("batch-{nth}"), &body);
        let Ok(told) = self.world.client.ask(ask).await else {
            wait_a_little().await;
            return Vec::new();
        };
        if told.is_passing() {
            wait_a_little().await;
        }
        let page = told.json();
        let rows = page["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter().filter_map(|row| row["message"]["id"].as_str().map(str::to_owned)).collect()
    }
}

async fn wait_a_little() {
    let mut turn = tokio::time::interval(AGAIN);
    turn.tick().await;
    turn.tick().await;
}

/// Whether the wanted count makes sense.
pub(super) fn count(text: &str) -> Result<u64> {
    let count = text.parse()?;
    if !(1..=100_000_000).contains(&count) {
        bail!("1 to 100,000,000");
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_engine::id::ShardId;

    fn event(shard: u8, position: u64) -> EventId {
        EventId::of(ShardId(shard), position, 0)
    }

    fn seen(order: Vec<EventId>) -> Seen {
        Seen { order, connections: 1, repeats: 0 }
    }

    #[test]
    fn a_missed_a_foreign_and_a_swapped_event_are_each_found() {
        let events = vec![event(1, 1), event(1, 2), event(2, 1)];
        let named = events.iter().map(|event| (*event, None)).collect();
        let truth = Truth { events: named, messages: BTreeSet::from(["a".to_owned()]) };
        let accepted = BTreeSet::from(["a".to_owned()]);
        assert_eq!(compare(&truth, &seen(events.clone()), &accepted), Vec::<String>::new());
        for (order, word) in [
            (vec![event(1, 1), event(2, 1)], "missed"),
            ([events.clone(), vec![event(3, 1)]].concat(), "none"),
            (vec![event(1, 2), event(1, 1), event(2, 1)], "earlier"),
        ] {
            let broken = compare(&truth, &seen(order), &accepted);
            assert!(broken.len() == 1 && broken[0].contains(word), "{word}: {broken:?}");
        }
        let lost = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert!(compare(&truth, &seen(events), &lost)[0].contains("without an event"));
    }
}
