//! What clients and people do in a simulated storm: single messages with keys that are repeated until there is an answer,
//! campaigns that are paused and cancelled, people who write, leave and come back. Nothing here judges an answer.

use super::book::Accepted;
use super::post::Letter;
use super::town::Town;
use super::weather::{Chance, pass};
use crate::people;
use kabar_actors::{DispatchError, Dispatcher, Told};
use kabar_engine::address::Address;
use kabar_engine::audience::Audience;
use kabar_engine::campaign::Verb;
use kabar_engine::content::Content;
use kabar_engine::entry::Idempotency;
use kabar_engine::frequency::Purpose;
use kabar_engine::id::{CampaignId, ImportId, TenantId};
use kabar_engine::optout::Wish;
use kabar_engine::overlay::decide::Draft;
use kabar_engine::pacing::Lane;
use kabar_engine::schedule::Hours;
use kabar_engine::time::HOUR_MS;
use kabar_schema::contacts::ContactDraft;
use kabar_schema::records::{Campaign, Timing};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Validity of everything: longer than a simulation may last.
const VALID_MS: i64 = 12 * HOUR_MS;
/// People that single messages and answers are about.
const FRIENDS: u64 = 40;

/// The `nth` person.
pub fn person(nth: u64) -> Address {
    Address::phone_digits(&people::digits(nth)).expect("invariant: made-up numbers are numbers")
}

/// Lets everybody begin within the storm of so many ms.
pub fn begin(town: &Arc<Town>, seed: u64, storm_ms: u64) {
    let dice = Arc::new(Chance::new(seed, 10));
    for nth in 0..dice.between(20, 90) {
        client(town, &dice, storm_ms, move |town, dice| Box::pin(single(town, dice, nth)));
    }
    for nth in 0..dice.between(1, 3) {
        client(town, &dice, storm_ms / 2, move |town, dice| Box::pin(campaign(town, dice, nth, storm_ms)));
    }
    for nth in 0..dice.between(10, 50) {
        client(town, &dice, storm_ms, move |town, dice| Box::pin(write(town, dice, nth)));
    }
    for nth in 0..dice.between(1, 6) {
        client(town, &dice, storm_ms, move |town, dice| Box::pin(wish(town, dice, nth)));
    }
}

type Doing = futures::future::BoxFuture<'static, ()>;

/// Somebody who begins some time within so many ms.
fn client(
    town: &Arc<Town>,
    dice: &Arc<Chance>,
    within_ms: u64,
    act: impl FnOnce(Arc<Town>, Arc<Chance>) -> Doing + Send + 'static,
) {
    let (town, dice, wait) = (Arc::clone(town), Arc::clone(dice), dice.below(within_ms));
    town.book.enter();
    tokio::spawn(async move {
        pass(Duration::from_millis(wait)).await;
        act(Arc::clone(&town), dice).await;
        town.book.leave();
    });
}

/// Asks the node that lives until there is an answer; a refusal is one.
async fn insist<T, F: Future<Output = Result<T, DispatchError>> + Send>(
    town: &Town,
    dice: &Chance,
    ask: impl Fn(Dispatcher) -> F + Send,
) -> Option<T> {
    loop {
        let alive = town.alive().await;
        let answer = tokio::select! {
            biased;
            answer = ask(alive.node.dispatcher()) => Some(answer),
            () = alive.life.over() => None,
        };
        match answer {
            Some(Ok(answer)) => return Some(answer),
            Some(Err(DispatchError::Refused(_) | DispatchError::NotFound)) => return None,
            Some(Err(_)) | None => pass(Duration::from_millis(dice.between(20, 900))).await,
        }
    }
}

async fn single(town: Arc<Town>, dice: Arc<Chance>, nth: u64) {
    let number = usize::try_from(dice.pick(&[0, 0, 1, 1, 2])).expect("a small number fits");
    let (tenant, session) = town.numbers[number];
    let key = u128::from(nth) + 1;
    let lane = dice.pick(&[Lane::Transactional, Lane::Transactional, Lane::Broadcast, Lane::Reply]);
    let text = format!("Pesanan {key}");
    let content = if lane == Lane::Reply { Content::plain(&text) } else { template(&text) };
    let now = town.now();
    let later = if dice.one_in(5) { dice.between(1, 25_000) } else { 0 };
    let draft = Draft {
        tenant,
        session,
        to: person(dice.below(FRIENDS)),
        content: Arc::new(content),
        lane,
        due: now.plus_ms(i64::try_from(later).expect("a small number fits")),
        valid_until: now.plus_ms(VALID_MS),
        context: None,
        idempotency: Some(Idempotency { key, body: key }),
        by: None,
        tag: None,
        identity: None,
        had_enough: false,
    };
    let send = |desk: Dispatcher| {
        let draft = draft.clone();
        async move { desk.send(draft).await }
    };
    let sent = insist(&town, &dice, send).await;
    let Some(sent) = sent else { return };
    town.book.accept(Accepted { tenant, message: sent.message, key });
    if dice.one_in(8) {
        let message = sent.message;
        let cancel = |desk: Dispatcher| async move { desk.cancel_message(tenant, message, None).await };
        insist(&town, &dice, cancel).await;
    }
}

async fn campaign(town: Arc<Town>, dice: Arc<Chance>, nth: u64, storm_ms: u64) {
    let tenant = town.tenants[0];
    let count = if dice.one_in(12) { dice.between(520, 1_100) } else { dice.between(15, 160) };
    let list = list(&town, tenant, nth, count).await;
    let both = dice.one_in(2);
    let senders = town.numbers.iter().filter(|(of, _)| *of == tenant).map(|(_, id)| *id);
    let senders: Vec<_> = senders.take(if both { 2 } else { 1 }).collect();
    let id = CampaignId::random(town.now(), dice.below(u64::MAX));
    let record = Campaign {
        id,
        tenant,
        name: "Simulated".into(),
        content: template("{{name|default:\"kak\"}}"),
        spintax: false,
        senders,
        audience: Audience::Contacts { list: Some(list), filter: None },
        timing: Timing { start_at: None, valid_for_ms: VALID_MS, hours: Hours::default(), recurrence: None },
        weight: Campaign::WEIGHT,
        purpose: Purpose::default(),
        origin: None,
        body_hash: String::new(),
        created: town.now(),
    };
    town.base.nouns.create(&record).await.expect("invariant: the memory beneath does not fail");
    insist(&town, &dice, |desk: Dispatcher| async move { desk.launch(tenant, id, None).await }).await;
    town.book.launched(tenant, id);
    let verbs: &[Verb] = match dice.below(6) {
        0 => &[Verb::Pause, Verb::Resume],
        1 => &[Verb::Cancel],
        2 => &[Verb::Pause, Verb::Cancel],
        _ => &[],
    };
    for verb in verbs {
        pass(Duration::from_millis(dice.below(storm_ms / 2))).await;
        let verb = *verb;
        let moved = |desk: Dispatcher| async move { desk.move_campaign(tenant, id, verb, None).await };
        insist(&town, &dice, moved).await;
    }
}

async fn list(town: &Town, tenant: TenantId, nth: u64, count: u64) -> ImportId {
    let list = ImportId(1_000 + nth);
    let rows = (0..count).map(|nth| ContactDraft {
        address: person(nth),
        input: people::digits(nth),
        name: Some(format!("Person {nth}")),
        zone: None,
        fields: BTreeMap::new(),
    });
    let written = town.base.contacts.upsert(tenant, Some(list), rows.collect(), town.now()).await;
    written.expect("invariant: the memory beneath does not fail");
    list
}

/// A person writes to a number.
async fn write(town: Arc<Town>, dice: Arc<Chance>, nth: u64) {
    let number = usize::try_from(dice.pick(&[0, 0, 1, 2])).expect("a small number fits");
    let words = ["STOP", "stop promo", "START", "Halo", "Ya", "Berapa harganya?", "Terima kasih"];
    let id = format!("wamid.person{nth}");
    let message = json!({
        "from": people::digits(dice.below(FRIENDS)), "id": id, "type": "text",
        "text": {"body": dice.pick(&words)},
    });
    town.book.wrote(id.clone());
    let copies = if dice.one_in(5) { 2 } else { 1 };
    for _ in 0..copies {
        town.post.put(dice.below(800), number, Letter::Message(id.clone(), message.clone()));
    }
}

/// The tenant learns a person's wish.
async fn wish(town: Arc<Town>, dice: Arc<Chance>, nth: u64) {
    let tenant = town.tenants[0];
    let session = dice.one_in(2).then(|| town.numbers[1].1);
    let wish = if dice.one_in(5) { Wish::OptIn } else { Wish::OptOut };
    let told = Told { session, address: person(dice.below(FRIENDS)), wish };
    let key = 1_000_000 + u128::from(nth);
    let tell = |desk: Dispatcher| {
        let (told, once) = (told.clone(), Some(Idempotency { key, body: key }));
        async move { desk.consent(tenant, told, once).await }
    };
    insist(&town, &dice, tell).await;
}

fn template(text: &str) -> Content {
    Content::from_json(&people::template(text)).expect("invariant: the template is one")
}
