//! The promises, held against a world in which everything has come to rest: the provider's ledger, the journal, the views
//! and what the node says must tell one story.

use super::rebuild::{self, Line};
use super::town::Town;
use crate::audit::{self, Item, Report};
use crate::oracle::Oracle;
use anyhow::Result;
use kabar_actors::Node;
use kabar_actors::view::CampaignState;
use kabar_engine::entry::What;
use kabar_engine::event;
use kabar_engine::id::{CampaignId, EventId, ShardId, TenantId};
use kabar_engine::optout::Wish;
use kabar_engine::outgoing::Reference;
use kabar_engine::status::Status;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// What every simulation is held to.
pub const PROMISES: [&str; 14] = [
    "accepted_is_kept",
    "claimed_before_called",
    "comes_to_rest",
    "events_complete",
    "inbound_exactly_once",
    "key_makes_one_message",
    "nobody_twice",
    "no_panic",
    "optout_respected",
    "status_never_backwards",
    "status_is_the_ledgers",
    "totals_are_the_sum",
    "views_are_the_journal",
    "views_never_ahead",
];

/// Checks everything; the digest of the story.
pub async fn check(town: &Arc<Town>, node: &Arc<Node>, read: [Vec<EventId>; 2]) -> Result<String> {
    let lines = rebuild::journal(&town.base).await?;
    let ledger = town.provider.ledger();
    let oracle = Oracle::read(&ledger);
    for reference in town.provider.unclaimed() {
        town.book.wrong("claimed_before_called", format!("{reference} was called without a durable claim"));
    }
    for (reference, seen) in oracle.accepted().filter(|(_, seen)| seen.accepted > 1) {
        town.book.wrong("nobody_twice", format!("{reference} was accepted {} times", seen.accepted));
    }
    if node.panics() > 0 {
        town.book.wrong("no_panic", format!("{} panics", node.panics()));
    }
    keys(town, &lines);
    inbound(town, &lines);
    wishes(town, &lines).await?;
    for (tenant, read) in town.tenants.iter().zip(&read) {
        let expected = lines.iter().filter(|(_, _, entry)| entry.tenant == *tenant);
        let expected = expected.flat_map(|(shard, at, entry)| {
            event::drafts(entry).map(|draft| EventId::of(*shard, at.0, draft.index))
        });
        events(town, &expected.collect(), read);
    }
    messages(town, node, &oracle, &broken_shards(&lines)).await?;
    campaigns(town, node, &oracle, &broken_shards(&lines)).await?;
    let (kept, folded) = (town.views.lines(), rebuild::fold(&lines).lines());
    for line in kept.difference(&folded) {
        town.book.wrong("views_are_the_journal", format!("only in the views: {}", short(line)));
    }
    for line in folded.difference(&kept) {
        town.book.wrong("views_are_the_journal", format!("only in the journal: {}", short(line)));
    }
    let mut digest = Sha256::new();
    lines.iter().for_each(|line| digest.update(format!("{line:?}\n")));
    ledger.iter().for_each(|row| digest.update(format!("{row:?}\n")));
    kept.iter().for_each(|line| digest.update(line));
    Ok(digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn short(line: &str) -> String {
    // What a row is stands at its begin, how it is at its end.
    let (begin, end): (String, String) =
        (line.chars().take(100).collect(), line.chars().rev().take(300).collect());
    format!("{begin} … {}", end.chars().rev().collect::<String>())
}

/// Shards that a node took over from another one, or from itself after a failed append: a claim that stood open then may
/// be `unknown` although nothing went wrong on the wire.
fn broken_shards(lines: &[Line]) -> BTreeSet<ShardId> {
    lines.iter().filter(|(_, _, e)| matches!(e.what, What::Opened { .. })).map(|(shard, ..)| *shard).collect()
}

/// One key makes one message, and what was accepted is in the journal.
fn keys(town: &Town, lines: &[Line]) {
    let (mut used, mut kept) = (BTreeMap::new(), BTreeMap::new());
    for (_, _, entry) in lines {
        let What::Intent(intent) = &entry.what else { continue };
        let key = intent.idempotency.map(|one| one.key);
        kept.insert(intent.id, key);
        let Some(key) = key else { continue };
        if let Some(other) = used.insert((entry.tenant, intent.session, key), intent.id) {
            let sentence = format!("the key of {} made {other} as well", intent.id);
            town.book.wrong("key_makes_one_message", sentence);
        }
    }
    for one in town.book.accepted() {
        if kept.get(&one.message) != Some(&Some(one.key)) {
            let sentence = format!("{} was accepted and is not in the journal", one.message);
            town.book.wrong("accepted_is_kept", sentence);
        }
    }
}

/// What a person wrote is there once when the webhook was taken, and never twice.
fn inbound(town: &Town, lines: &[Line]) {
    let mut found: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, _, entry) in lines {
        if let What::Inbound(inbound) = &entry.what {
            *found.entry(&inbound.provider_id).or_default() += 1;
        }
    }
    let taken = town.post.taken();
    for id in town.book.written() {
        let count = found.get(id.as_str()).copied().unwrap_or(0);
        if count > 1 || count == 0 && taken.contains(&id) {
            town.book.wrong("inbound_exactly_once", format!("{id} is in the journal {count} times"));
        }
    }
}

/// Nothing is claimed for somebody after their opt-out: in the shard that heard it from its entry on, elsewhere from when
/// the others could have heard it. How long that takes is promised for a store that answers; here a read may fail, and
/// the next one comes half a second later.
async fn wishes(town: &Town, lines: &[Line]) -> Result<()> {
    const HEARD_MS: i64 = 10_000;
    let (now, instant) = (town.now(), Instant::now());
    let seen = town.seen.lock().expect("invariant: nobody panics with the wishes in hand").clone();
    let mut heard = BTreeMap::new();
    let mut back: BTreeMap<_, BTreeSet<ShardId>> = BTreeMap::new();
    for (shard, at, entry) in lines {
        let What::Consent { address, wish, .. } = &entry.what else { continue };
        match (wish, seen.get(&(entry.tenant, address.clone(), *shard, *at))) {
            (Wish::OptIn, _) => {
                back.entry((entry.tenant, address.clone())).or_default().insert(*shard);
            }
            (Wish::OptOut, Some(when)) => {
                let ago = i64::try_from(instant.duration_since(*when).as_millis()).unwrap_or(i64::MAX);
                heard.entry((entry.tenant, address.clone())).or_insert(now.plus_ms(-ago));
            }
            (Wish::OptOut, None) => {}
        }
    }
    for claimed in rebuild::claims(&town.base, lines).await?.into_iter().filter(|claimed| !claimed.is_answer)
    {
        let key = (claimed.tenant, claimed.address.clone());
        let known = heard.get(&key).is_some_and(|at| claimed.at.since_ms(*at) > HEARD_MS);
        // Who came back elsewhere is not judged: which wish is the newest depends on when each was heard.
        let came = back.get(&key);
        let stays = came.is_none_or(|came| came.iter().all(|shard| *shard == claimed.shard));
        let elsewhere = known && came.is_none();
        if stays && claimed.wish == Some(Wish::OptOut) || elsewhere {
            let place = if elsewhere { "heard elsewhere" } else { "heard in the same shard" };
            let sentence = format!("shard {}: claimed after an opt-out {place}", claimed.shard.0);
            town.book.wrong("optout_respected", sentence);
        }
    }
    Ok(())
}

/// A reader has read every event once, and those of a shard in their order.
fn events(town: &Town, expected: &BTreeSet<EventId>, read: &[EventId]) {
    let mut last: BTreeMap<ShardId, EventId> = BTreeMap::new();
    for id in read {
        let shard = id.place().0;
        if last.insert(shard, *id).is_some_and(|before| before >= *id) {
            town.book.wrong("events_complete", format!("{id} came twice, or late"));
        }
    }
    let read: BTreeSet<EventId> = read.iter().copied().collect();
    for id in expected.difference(&read) {
        town.book.wrong("events_complete", format!("{id} ({:?}) never came", id.place()));
    }
    for id in read.difference(expected) {
        town.book.wrong("events_complete", format!("{id} came and is not in the journal"));
    }
}

/// Every accepted message has ended as the ledger says.
async fn messages(town: &Town, node: &Arc<Node>, oracle: &Oracle, broken: &BTreeSet<ShardId>) -> Result<()> {
    let mut report = Report::default();
    for one in town.book.accepted() {
        let Some(view) = node.dispatcher().message(one.tenant, one.message).await? else {
            town.book.wrong("accepted_is_kept", format!("{} is not found", one.message));
            continue;
        };
        if view.row.status == Status::Queued {
            town.book.wrong("comes_to_rest", format!("{} is still queued", one.message));
            continue;
        }
        let reference = Reference::Message(one.message).to_string();
        let item = Item { reference, status: view.row.status, cause: view.row.cause };
        report.item(&item, oracle, &|_| broken.contains(&one.message.shard()));
    }
    report.wrong.into_iter().for_each(|wrong| town.book.wrong("status_is_the_ledgers", wrong));
    Ok(())
}

/// Every recipient has ended as the ledger says, and the totals are their sum.
async fn campaigns(town: &Town, node: &Arc<Node>, oracle: &Oracle, broken: &BTreeSet<ShardId>) -> Result<()> {
    let excused = |_: &str| !broken.is_empty();
    for (tenant, campaign) in town.book.campaigns() {
        match audit::campaign(node, (tenant, campaign), oracle, &excused).await {
            Ok(report) => {
                for wrong in report.wrong {
                    let promise =
                        if wrong.starts_with("v1|") { "status_is_the_ledgers" } else { "totals_are_the_sum" };
                    town.book.wrong(promise, wrong);
                }
            }
            // Cancelled before anybody was a recipient.
            Err(_) if is_void(node, tenant, campaign).await => {}
            Err(error) => town.book.wrong("comes_to_rest", format!("{campaign}: {error:#}")),
        }
    }
    Ok(())
}

async fn is_void(node: &Arc<Node>, tenant: TenantId, campaign: CampaignId) -> bool {
    let view = node.dispatcher().campaign(tenant, campaign).await;
    view.is_ok_and(|view| {
        view.is_some_and(|v| v.state == CampaignState::Cancelled && v.totals.recipients == 0)
    })
}
