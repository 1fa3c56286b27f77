//! The reckoning after the last kill: waits until everything has settled, then holds what Kabar says against what
//! was acknowledged and against the sandbox's ledger, item by item.

use super::child::Child;
use super::kill::open_at_kills;
use super::load::{Ack, Load, Notes};
use super::postmortem::Postmortem;
use super::verdict::Verdict;
use super::world::World;
use crate::audit::{self, Item, Report};
use crate::oracle::Oracle;
use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use kabar_actors::{Clock, Node, NodeOptions};
use kabar_engine::address::Address;
use kabar_engine::id::{CampaignId, MessageId, SessionId, TenantId};
use kabar_engine::outgoing::Reference;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait until everything has settled.
const SETTLE: Duration = Duration::from_secs(90);
/// The same when a bug is planted: what a bug keeps from settling never does.
const SETTLE_PLANTED: Duration = Duration::from_secs(30);
/// Requests at once.
const AT_ONCE: usize = 16;
/// Keys that are sent again, to meet their messages.
const REPEATED: usize = 300;
/// Messages of one history.
const HISTORY: usize = 1_000;
/// The gauge of claims without a result.
const OPEN_CLAIMS: &str = "kabar_node_open_claims";

/// Stops the load and waits until nothing more happens by itself.
pub(super) async fn settle(world: &World, load: &mut Load, verdict: &mut Verdict) -> Result<()> {
    let limit = if verdict.is_planted { SETTLE_PLANTED } else { SETTLE };
    let begin = tokio::time::Instant::now();
    match tokio::time::timeout(limit, load.stop()).await {
        Ok(Ok(())) => {}
        Ok(Err(refused)) => verdict.broken.push(format!("{refused:#}")),
        Err(_) => verdict.broken.push("what was not acknowledged could not be repeated".to_owned()),
    }
    let campaigns = load.notes.campaigns();
    let settled =
        crate::wait::within(limit, async || is_settled(world, &campaigns).await.ok()?.then_some(()));
    if settled.await.is_none() {
        let stats = world.sandbox.stats();
        let (events, webhooks) = (stats.scheduled_events, stats.webhooks.pending);
        verdict.broken.push(format!(
            "not settled within {} s ({events} events and {webhooks} webhooks to come)",
            limit.as_secs()
        ));
    }
    eprintln!("settled after {} ms", begin.elapsed().as_millis());
    Ok(())
}

async fn is_settled(world: &World, campaigns: &[String]) -> Result<bool> {
    if !world.sandbox.stats().is_settled() {
        return Ok(false);
    }
    let metrics = world.client.get("/metrics").await?;
    let text = String::from_utf8_lossy(&metrics.body);
    let gauge = text.lines().find_map(|line| line.strip_prefix(OPEN_CLAIMS)?.trim().parse::<f64>().ok());
    if gauge.context("there is no gauge of open claims")? > 0.0 {
        return Ok(false);
    }
    if !is_drained(world, campaigns).await? {
        return Ok(false);
    }
    for id in campaigns {
        let told = world.client.get(&format!("/v1/campaigns/{id}")).await?.json();
        if told["state"] != "finished" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether no message waits to be sent, or for what became of it.
pub(super) async fn is_drained(world: &World, campaigns: &[String]) -> Result<bool> {
    Ok(waiting(world, campaigns).await?.is_empty())
}

/// The sessions and campaigns of which messages wait, each with what it says of itself.
pub(super) async fn waiting(world: &World, campaigns: &[String]) -> Result<Vec<String>> {
    let mut waiting = Vec::new();
    for session in &world.sessions {
        let told = world.client.get(&format!("/v1/sessions/{session}")).await?.json();
        if told["outbox"].as_u64() != Some(0) {
            waiting.push(format!("session {session}: {told}"));
        }
    }
    for id in campaigns {
        let told = world.client.get(&format!("/v1/campaigns/{id}")).await?.json();
        if told["totals"]["waiting"].as_u64() != Some(0) || told["totals"]["recipients"].as_u64() == Some(0) {
            waiting.push(format!("campaign {id}: {told}"));
        }
    }
    Ok(waiting)
}

/// Counts everything, through the API while the node lives and then in what it left.
pub(super) async fn reckon(
    (world, notes): (&World, &Notes),
    child: &mut Child,
    postmortem: &mut Postmortem,
    verdict: &mut Verdict,
) -> Result<()> {
    let acks = notes.acks();
    let known = ask_all(world, &acks).await?;
    verdict.accepted = acks.len() as u64;
    verdict.accepted_lost = known.iter().filter(|known| !**known).count() as u64;
    repeat_some(world, &acks, verdict).await?;
    let ended = child.end().await;
    verdict.promise(ended.is_ok(), || ended.map_or_else(|e| format!("{e:#}"), |()| String::new()));

    let store = child.place.open().await?;
    postmortem.read(&*store.journal).await?;
    let node = Node::start(NodeOptions::default(), store, Clock::system()).await?;
    let report = audit(&node, (world, notes), verdict).await?;
    inbound(&node, (world, notes), postmortem, verdict).await?;
    verdict.webhooks = world.sandbox.stats().webhooks.updates;
    verdict.webhooks_lost += report.behind;
    verdict.uploads = world.sandbox.stats().media.uploads;
    let twice = world.sandbox.recipients().into_values().map(|count| count - 1);
    verdict.duplicates = twice.sum();
    let left = node.stats().open_claims;
    verdict.promise(left == 0, || format!("{left} claims are open at the end"));
    blame(&report, verdict);
    node.shutdown().await;
    verdict.judge();
    verdict.broken.extend(report.wrong);
    Ok(())
}

/// Whether each acknowledged message is there under its id, for its recipient.
async fn ask_all(world: &World, acks: &[Ack]) -> Result<Vec<bool>> {
    let asked = stream::iter(acks).map(|ack| async move {
        let told = world.client.get(&format!("/v1/messages/{}", ack.id)).await?;
        let to = ack.letter.to();
        let same = told.json()["address"].as_str().is_some_and(|a| a.trim_start_matches('+') == to);
        anyhow::ensure!(told.is_good() || told.status == 404, "{}: {}", ack.id, told.shown());
        Ok(told.is_good() && same)
    });
    asked.buffer_unordered(AT_ONCE).collect::<Vec<Result<bool>>>().await.into_iter().collect()
}

/// The same key and body again is the same message, also over kills.
async fn repeat_some(world: &World, acks: &[Ack], verdict: &mut Verdict) -> Result<()> {
    let step = (acks.len() / REPEATED).max(1);
    let mut strangers = 0;
    for ack in acks.iter().step_by(step) {
        let told = world.client.post("/v1/messages", &ack.key, &ack.letter.body(&world.sessions)).await?;
        strangers += u64::from(told.text("id").ok().as_ref() != Some(&ack.id));
    }
    verdict
        .promise(strangers == 0, || format!("{strangers} repeated keys met another message than their own"));
    Ok(())
}

/// Every message and every recipient against the ledger, and the ledger against both.
async fn audit(node: &Arc<Node>, (world, notes): (&World, &Notes), verdict: &mut Verdict) -> Result<Report> {
    let tenant: TenantId = world.tenant.parse()?;
    let oracle = Oracle::read(&world.sandbox.ledger());
    let mut open: BTreeSet<String> = open_at_kills(&verdict.kills).iter().map(ToString::to_string).collect();
    open.extend(verdict.cut.iter().cloned());
    let excused = |reference: &str| open.contains(reference);
    let mut report = Report::default();
    let mut ours = BTreeSet::new();
    for ack in notes.acks() {
        let id: MessageId = ack.id.parse()?;
        let reference = Reference::Message(id).to_string();
        if let Some(view) = node.dispatcher().message(tenant, id).await? {
            let (status, cause) = (view.row.status, view.row.cause);
            report.item(&Item { reference: reference.clone(), status, cause }, &oracle, &excused);
        }
        ours.insert(reference);
    }
    let mut exact = oracle.nameless == 0;
    for id in notes.campaigns() {
        let campaign: CampaignId = id.parse()?;
        let one = audit::campaign(node, (tenant, campaign), &oracle, &excused).await?;
        exact &= one.wrongs == 0;
        report.add(one);
        ours.insert(campaign.to_string());
    }
    // A recipient's reference holds its campaign's id; anything else must be an acknowledged message.
    let foreign = oracle.accepted().filter(|(name, _)| {
        let campaign = name.strip_prefix("v1|c|").and_then(|rest| rest.split('|').next());
        !ours.contains(campaign.unwrap_or(name))
    });
    let foreign = foreign.count();
    verdict.promise(foreign == 0, || format!("{foreign} messages went out that nobody was acknowledged for"));
    verdict.unknown = report.unknown.len() as u64;
    (verdict.items, verdict.failed, verdict.expired) = (report.items, report.failed, report.expired);
    verdict.totals_exact = exact && foreign == 0;
    Ok(report)
}

/// Tells what ended unknown at each kill, and what is owed to a fault.
fn blame(report: &Report, verdict: &mut Verdict) {
    let unknown: BTreeSet<&str> = report.unknown.iter().map(String::as_str).collect();
    let mut blamed = BTreeSet::new();
    for (nth, kill) in (1..).zip(&verdict.kills) {
        let open = kill.open.iter().map(ToString::to_string);
        let of_this: Vec<String> =
            open.filter(|r| unknown.contains(r.as_str()) && !blamed.contains(r)).collect();
        eprintln!("kill {nth}: {} unknown of {} claims that were open", of_this.len(), kill.open.len());
        blamed.extend(of_this);
    }
    verdict.unknown_by_fault = (unknown.len() - blamed.len()) as u64;
}

/// Everything people wrote is journaled once, and stands once in its conversation's history.
async fn inbound(
    node: &Arc<Node>,
    (world, notes): (&World, &Notes),
    postmortem: &Postmortem,
    verdict: &mut Verdict,
) -> Result<()> {
    let told = world.sandbox.stats().inbound;
    let heard = postmortem.inbound.len() as u64;
    verdict.webhooks_lost += told.saturating_sub(heard);
    let twice = postmortem.inbound.values().filter(|count| **count > 1).count();
    verdict.promise(twice == 0, || format!("{twice} messages of people are journaled twice"));
    let tenant: TenantId = world.tenant.parse()?;
    let mut talks: BTreeMap<(String, usize), Vec<String>> = BTreeMap::new();
    for one in notes.written() {
        talks.entry((one.from, one.number)).or_default().push(one.provider_id);
    }
    let mut wrong = 0_u64;
    for ((from, number), mut ids) in talks {
        let session: SessionId = world.sessions[number].parse()?;
        let address = Address::phone_digits(&from)?;
        let desk = node.dispatcher();
        let history = desk.conversation_history((tenant, session), &address, None, HISTORY).await?;
        let mut shown: Vec<String> =
            history.iter().filter_map(|m| m.row.provider_id.as_deref().map(str::to_owned)).collect();
        ids.sort_unstable();
        shown.sort_unstable();
        wrong += u64::from(ids != shown);
    }
    verdict.promise(wrong == 0, || format!("{wrong} histories do not hold what the person wrote, once each"));
    Ok(())
}
