//! One seed from its first client to its last check: a storm with kills, a calm in which everything must come to rest by
//! itself, and the promises held against what is there then.

use super::checks;
use super::people;
use super::post::Post;
use super::reader::{Read, follow, witness};
use super::town::{Alive, Town};
use super::weather::{Chance, pass};
use kabar_actors::Plant;
use kabar_actors::view::CampaignState;
use kabar_engine::status::Status;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What does not come to rest by itself within this time waits for ever: longer than any wait the rules know, of which the
/// longest is that of a message tried several times whose account is held then, 65 minutes.
const REST: Duration = Duration::from_secs(150 * 60);
/// In the calm a broken shard is taken again within this.
const MENDED: Duration = Duration::from_secs(30);
/// A question in the calm is answered within this.
const ANSWER: Duration = Duration::from_secs(30);

/// What came of one seed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// The seed.
    pub seed: u64,
    /// What was broken, by promise.
    pub broken: BTreeMap<&'static str, Vec<String>>,
    /// Of journal, ledger and views.
    pub digest: String,
    /// Calls that reached the provider.
    pub calls: usize,
    /// Kills and stops of the node.
    pub ends: u64,
    /// Virtual time it took (ms).
    pub lasted_ms: u64,
}

/// Tells the story of a seed, on a clock of its own.
pub fn tell(seed: u64, plant: Plant) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("invariant: a runtime without sockets and threads can be made");
    let story = runtime.block_on(live(seed, plant));
    // What hangs in ended lives is dropped, not waited for.
    runtime.shutdown_background();
    story
}

async fn live(seed: u64, plant: Plant) -> Story {
    let (town, began) = (Town::found(seed, plant).await, Instant::now());
    let dice = Chance::new(seed, 20);
    let mut story = Story { seed, ..Story::default() };
    let reads: [Read; 2] = Default::default();
    if town.start().await {
        tokio::spawn(Post::run(Arc::clone(&town)));
        for (tenant, read) in reads.iter().enumerate() {
            tokio::spawn(follow(Arc::clone(&town), tenant, Arc::clone(read)));
        }
        tokio::spawn(witness(Arc::clone(&town), Chance::new(seed, 21)));
        let storm_ms = dice.between(8_000, 30_000);
        people::begin(&town, seed, storm_ms);
        story.ends = storm(&town, &dice, storm_ms).await;
        town.weather.calm_down();
        finish(&town, &mut story, &reads).await;
    }
    story.broken = town.book.broken();
    story.calls = town.provider.ledger().len();
    story.lasted_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    story
}

/// Kills and stops the node; how often.
async fn storm(town: &Arc<Town>, dice: &Chance, storm_ms: u64) -> u64 {
    let ends = dice.below(4);
    let mut left = storm_ms;
    for _ in 0..ends {
        let (wait, began) = (dice.below(left / 2 + 1), Instant::now());
        let doomed = tokio::select! {
            biased;
            () = pass(Duration::from_millis(wait)) => false,
            () = town.weather.doomed() => true,
        };
        let waited = u64::try_from(began.elapsed().as_millis()).unwrap_or(0);
        left = left.saturating_sub(waited);
        if !doomed && dice.one_in(4) {
            town.stop().await;
        } else {
            town.kill().await;
        }
        pass(Duration::from_millis(dice.between(1, 2_000))).await;
        if !town.start().await {
            return ends;
        }
    }
    pass(Duration::from_millis(left)).await;
    ends
}

async fn finish(town: &Arc<Town>, story: &mut Story, reads: &[Read; 2]) {
    let Ok(alive) = timeout(ANSWER, town.alive()).await else { return };
    rest(town, &alive).await;
    // A last start, from views that are whole: what it finds must be the same world, and lines of the outbox that a torn
    // flush left behind are put right then.
    town.stop().await;
    if !town.start().await {
        return;
    }
    let alive = town.alive().await;
    let node = Arc::clone(&alive.node);
    rest(town, &alive).await;
    // The reader is told what the views' last writing may bring; nothing moves any more.
    for _ in 0..2 {
        if timeout(ANSWER, node.flush()).await.is_err() {
            town.book.wrong("comes_to_rest", "the views are never written".to_owned());
        }
    }
    pass(Duration::from_secs(2)).await;
    let read = reads
        .each_ref()
        .map(|read| read.lock().expect("invariant: nobody panics with the list in hand").clone());
    match timeout(ANSWER * 4, checks::check(town, &node, read)).await {
        Ok(Ok(digest)) => story.digest = digest,
        Ok(Err(error)) => town.book.wrong("comes_to_rest", format!("a question has no answer: {error:#}")),
        Err(_) => town.book.wrong("comes_to_rest", "a question is never answered".to_owned()),
    }
}

/// Waits until nothing moves any more.
async fn rest(town: &Arc<Town>, alive: &Alive) {
    let (begin, mut turn) = (Instant::now(), Duration::from_millis(500));
    loop {
        let waits = match timeout(ANSWER, waits(town, alive)).await {
            Ok(None) => return,
            Ok(Some(waits)) => waits,
            Err(_) => "a question is never answered".to_owned(),
        };
        // What is broken already need not come to rest to be told.
        if !town.book.broken().is_empty() {
            return;
        }
        let lost = alive.node.all_shards().find(|shard| shard.is_broken());
        if let Some(shard) = lost.filter(|_| begin.elapsed() > MENDED) {
            town.book.wrong("comes_to_rest", format!("shard {} is never taken again", shard.id().0));
            return;
        }
        if begin.elapsed() > REST {
            town.book.wrong("comes_to_rest", format!("after {} s: {waits}", REST.as_secs()));
            return;
        }
        pass(turn).await;
        turn = (turn * 5 / 4).min(Duration::from_secs(60));
    }
}

/// What is not at rest yet.
async fn waits(town: &Arc<Town>, alive: &Alive) -> Option<String> {
    if !town.book.is_quiet() {
        return Some("a client still waits for its answer".to_owned());
    }
    if !town.post.is_idle() {
        return Some("a webhook was not taken".to_owned());
    }
    if !alive.life.is_idle() {
        return Some("a call is under way".to_owned());
    }
    let desk = alive.node.dispatcher();
    for one in town.book.accepted() {
        match desk.message(one.tenant, one.message).await {
            Ok(Some(view)) if view.row.status == Status::Queued => {
                let (row, now) = (view.row, town.now());
                let session = desk.session(row.tenant, row.session).await;
                let (stage, due) = (row.stage, row.due.since_ms(now));
                return Some(format!("{} is queued: {stage:?}, due in {due} ms, {session:?}", one.message));
            }
            Ok(_) => {}
            Err(error) => return Some(format!("{}: {error}", one.message)),
        }
    }
    for (tenant, campaign) in town.book.campaigns() {
        match desk.campaign(tenant, campaign).await {
            Ok(Some(view)) => {
                let ended = matches!(view.state, CampaignState::Finished | CampaignState::Cancelled);
                if !ended || !view.totals.is_finished() {
                    return Some(format!("{campaign} is {:?}: {:?}", view.state, view.totals));
                }
            }
            Ok(None) => {}
            Err(error) => return Some(format!("{campaign}: {error}")),
        }
    }
    unwritten(alive)
}

/// A campaign counts as finished for everybody as soon as all its recipients have ended; that it and its parts have is
/// written by their actors a moment later.
fn unwritten(alive: &Alive) -> Option<String> {
    alive.node.all_shards().find_map(|shard| {
        shard.peek(|overlay| {
            let part = overlay.open_parts().next().map(|part| (part.start.campaign, "a part of"));
            let campaign = overlay.live_campaigns().next().map(|campaign| (campaign.id, "the whole of"));
            let (campaign, what) = part.or(campaign)?;
            Some(format!("the end of {what} {campaign} is not written"))
        })
    })
}
