//! Taking shards: what the views hold, the journal's tail over it, and the promise that nobody older writes any
//! more. And the keeper, which looks twice a second for broken shards, for work nobody does, and for opt-outs
//! other shards heard.

use crate::metrics;
use crate::node::{Node, StartError};
use crate::shard::{Shard, ShardParts};
use futures::{StreamExt, TryStreamExt, stream};
use kabar_engine::entry::{Entry, Position, What};
use kabar_engine::id::{ShardId, TenantId};
use kabar_engine::overlay::{Key, Overlay, Row, Wake};
use kabar_engine::time::{DAY_MS, MINUTE_MS, Timestamp};
use kabar_schema::error::StoreError;
use kabar_schema::journal::{Cursor, Fence, ShardSet};
use kabar_schema::views::ShardMark;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Entries read from the journal at once.
const PAGE: usize = 4_096;
/// Outbox lines read at once.
const OUTBOX_PAGE: usize = 1_000;
/// The keeper's turn.
const KEEP_MS: u64 = 500;
/// What has had its time is dropped this often.
const SWEEP_MS: i64 = MINUTE_MS;
/// How long the journal is kept: the horizon of Meta's repeats, and of our own event log.
const RETENTION_MS: i64 = 7 * DAY_MS;
/// Shards that fail, each for itself, before the store is taken to be away and the rest waits for the next turn.
const GIVE_UP: u32 = 2;
/// Shards that are opened at the same time: a store behind a wire answers many as fast as one.
const AT_ONCE: usize = 32;
/// Rounds of loading one entry may take.
const LOAD_ROUNDS: usize = 16;

/// Shards with the epochs they are owned under.
type Epochs = BTreeMap<ShardId, u64>;

/// Takes every shard.
pub async fn all(parts: &Arc<ShardParts>) -> Result<Vec<Shard>, StartError> {
    let epochs = parts.terms.all().await?;
    take(parts, &epochs).await
}

/// Takes shards whose leases are held, each under its epoch.
async fn take(parts: &Arc<ShardParts>, epochs: &Epochs) -> Result<Vec<Shard>, StartError> {
    let store = &parts.store;
    // First the fence: after this nobody of an older epoch appends, so the tail read below is complete.
    let fences: Vec<Fence> =
        epochs.iter().map(|(shard, epoch)| Fence { shard: *shard, epoch: *epoch }).collect();
    let fenced = stream::iter(fences)
        .map(|fence| async move { Ok::<_, StoreError>((fence.shard, store.journal.open(fence).await?)) });
    let tips: BTreeMap<ShardId, Position> = fenced.buffer_unordered(AT_ONCE).try_collect().await?;
    // Before the marks, which only rise: nothing is retired above them.
    let floor = store.journal.floor().await?;
    let marks: BTreeMap<ShardId, ShardMark> =
        store.views.marks().await?.into_iter().map(|m| (m.shard, m)).collect();
    let mut empty = Vec::with_capacity(epochs.len());
    for id in epochs.keys() {
        let mark = marks.get(id).copied();
        let (position, last_id) = mark.map_or((Position(0), 0), |m| (m.position, m.last_id));
        let tip = tips.get(id).copied().unwrap_or_default();
        if position > tip {
            let (views, journal) = (position.0, tip.0);
            return Err(StartError::ViewsAhead { shard: id.0, views, journal });
        }
        if position < floor.at(*id) {
            let (views, journal) = (position.0, floor.at(*id).0);
            return Err(StartError::JournalGap { shard: id.0, views, journal });
        }
        empty.push(Overlay::new(*id, position, last_id).planted(parts.plant.of_engine()));
    }
    // Also at position 0: a torn first flush may have left rows whose position was never written.
    let recalled = stream::iter(empty).map(|mut overlay| async move {
        recall(parts, &mut overlay).await?;
        Ok::<_, StoreError>((overlay.shard(), overlay))
    });
    let mut overlays: BTreeMap<ShardId, Overlay> = recalled.buffer_unordered(AT_ONCE).try_collect().await?;
    replay(parts, &mut overlays).await?;
    let opened = stream::iter(overlays).map(|(id, overlay)| {
        debug_assert_eq!(tips.get(&id), Some(&overlay.position()));
        open(parts, epochs[&id], id, overlay)
    });
    // In the order of their numbers: the node finds a shard by its place.
    Ok(opened.buffered(AT_ONCE).try_collect().await?)
}

/// What the views say is unfinished: parts, campaigns, outbox.
async fn recall(parts: &Arc<ShardParts>, overlay: &mut Overlay) -> Result<(), StoreError> {
    let (views, id) = (&parts.store.views, overlay.shard());
    let now = Timestamp(parts.clock.now_ms());
    for campaign in views.live_campaigns(id).await? {
        overlay.insert(overlay.generation(), Key::Campaign(campaign.id), Row::Campaign(campaign), now);
    }
    let open = views.open_parts(id).await?;
    let keys: Vec<Key> = open.iter().map(|p| Key::Part(p.start.campaign, p.start.part)).collect();
    for (key, row) in views.load(id, keys).await? {
        overlay.insert(overlay.generation(), key, row, now);
    }
    let mut after = None;
    loop {
        let page = views.outbox(id, after, OUTBOX_PAGE).await?;
        let Some(last) = page.last().and_then(key_of) else { return Ok(()) };
        after = Some(last);
        page.into_iter().for_each(|line| overlay.learn_outbox(line, now));
    }
}

fn key_of(line: &kabar_engine::overlay::OutboxLine) -> Option<kabar_engine::overlay::OutboxKey> {
    match line {
        kabar_engine::overlay::OutboxLine::Open { key, .. } => Some(*key),
        kabar_engine::overlay::OutboxLine::Gone(_) => None,
    }
}

/// Folds the journal's tail over what the views hold.
async fn replay(
    parts: &Arc<ShardParts>,
    overlays: &mut BTreeMap<ShardId, Overlay>,
) -> Result<(), StoreError> {
    let shards: ShardSet = overlays.keys().copied().collect();
    let mut cursor: Cursor = overlays.iter().map(|(id, o)| (*id, o.position())).collect();
    loop {
        let page = parts.store.journal.read(&shards, &cursor, PAGE).await?;
        for (id, at, entry) in &page.entries {
            let Some(overlay) = overlays.get_mut(id) else { continue };
            if *at > overlay.position() {
                learn(parts, overlay, entry).await?;
                overlay.fold(*at, entry);
            }
        }
        cursor = page.cursor;
        if page.end {
            return Ok(());
        }
    }
}

async fn learn(parts: &Arc<ShardParts>, overlay: &mut Overlay, entry: &Entry) -> Result<(), StoreError> {
    let now = Timestamp(parts.clock.now_ms());
    for _ in 0..LOAD_ROUNDS {
        let missing = overlay.needs_of(entry);
        if missing.is_empty() {
            return Ok(());
        }
        for (key, row) in parts.store.views.load(overlay.shard(), missing).await? {
            overlay.insert(overlay.generation(), key, row, now);
        }
    }
    tracing::error!(
        shard = overlay.shard().0,
        kind = entry.what.name(),
        "an entry needs too many rounds of loading"
    );
    Err(StoreError::Unavailable)
}

/// Writes down that the shard has a new owner; a shard without history waits with that until it has one.
async fn open(
    parts: &Arc<ShardParts>,
    epoch: u64,
    id: ShardId,
    mut overlay: Overlay,
) -> Result<Shard, StoreError> {
    if overlay.position().0 > 0 {
        let at = Timestamp(parts.clock.now_ms());
        let entry = Entry { tenant: TenantId(0), at, what: What::Opened { epoch } };
        let base = overlay.position().plus(1);
        overlay.fold(base, &entry);
        let fence = Fence { shard: id, epoch };
        parts.store.journal.append(fence, base, vec![Arc::new(entry)]).await?;
    }
    Ok(Shard::new(id, epoch, overlay, Arc::clone(parts)))
}

/// The keeper's loop, as long as the node lives.
pub async fn keep(node: Weak<Node>) {
    let mut looked: BTreeMap<(TenantId, ShardId), Timestamp> = BTreeMap::new();
    let mut swept = 0;
    loop {
        let Some(node) = node.upgrade() else { return };
        for shard in mend(&node).await {
            // Its new overlay has heard nothing yet.
            looked.retain(|(_, id), _| *id != shard);
        }
        rouse(&node).await;
        if let Err(error) = node.keep_webhooks().await {
            tracing::debug!(%error, "webhook subscriptions could not be read now");
        }
        listen(&node, &mut looked).await;
        let now = node.clock().now_ms();
        if (now - swept).abs() >= SWEEP_MS {
            swept = now;
            if let Err(error) = sweep(&node, Timestamp(now)).await {
                tracing::debug!(%error, "what has had its time could not be dropped now");
            }
        }
        let clock = node.clock().clone();
        drop(node);
        clock.sleep_ms(KEEP_MS).await;
    }
}

/// Drops generations of views and segments of the journal that have had their time.
async fn sweep(node: &Arc<Node>, now: Timestamp) -> Result<(), StoreError> {
    node.store().views.sweep(now).await?;
    let marks = node.store().views.marks().await?;
    let positions: Vec<_> = marks.into_iter().map(|m| (m.shard, m.position)).collect();
    node.store().journal.retire(&positions, now.plus_ms(-RETENTION_MS)).await?;
    Ok(())
}

/// Takes broken shards again; gives those that were. First the leases: a shard without one waits.
async fn mend(node: &Arc<Node>) -> Vec<ShardId> {
    let broken: Vec<(ShardId, u64)> =
        node.all_shards().filter(|s| s.is_broken()).map(|s| (s.id(), s.epoch())).collect();
    if broken.is_empty() {
        return Vec::new();
    }
    for (id, _) in &broken {
        node.stop_actors(*id).await;
    }
    let epochs = node.terms().again(&broken).await;
    // All at once: after an outage it is all of them.
    let error = match retake(node, &epochs).await {
        Ok(shards) => return shards,
        Err(error) => error,
    };
    let (mut mended, mut failed) = (Vec::new(), 0);
    if epochs.len() == 1 {
        tracing::warn!(%error, "a shard cannot be taken again yet");
        return mended;
    }
    for (id, epoch) in epochs {
        let alone = node.terms().again(&[(id, epoch)]).await;
        match retake(node, &alone).await {
            Ok(shards) => mended.extend(shards),
            Err(error) => {
                failed += 1;
                tracing::warn!(shard = id.0, %error, "the shard cannot be taken again yet");
            }
        }
        if failed == GIVE_UP {
            break;
        }
    }
    mended
}

/// Takes these and puts them in their places. What fails may have been opened: it needs a new epoch.
async fn retake(node: &Arc<Node>, epochs: &Epochs) -> Result<Vec<ShardId>, StartError> {
    if epochs.is_empty() {
        return Ok(Vec::new());
    }
    let taken = take(node.shard_parts(), epochs).await;
    if taken.is_err() {
        epochs.iter().for_each(|(id, epoch)| node.terms().renounce(*id, *epoch));
    }
    let mut retaken = Vec::with_capacity(epochs.len());
    for shard in taken? {
        metrics::reopened();
        tracing::info!(shard = shard.id().0, epoch = shard.epoch(), "the shard was taken again");
        retaken.push(shard.id());
        node.replace_shard(shard);
    }
    Ok(retaken)
}

/// Wakes whoever has something to do and does not live: after a start, a passivation, a refused activation.
async fn rouse(node: &Arc<Node>) {
    let now = Timestamp(node.clock().now_ms());
    let mut wakes = Vec::new();
    for shard in node.all_shards().filter(|shard| !shard.is_broken()) {
        shard.peek(|overlay| {
            for (tenant, session) in overlay.due_sessions(now) {
                wakes.push(Wake::Session(tenant, session));
            }
            for part in overlay.open_parts() {
                wakes.push(Wake::Part(part.tenant, part.start.campaign, part.start.part, part.start.session));
            }
            for campaign in overlay.live_campaigns() {
                wakes.push(Wake::Campaign(campaign.tenant, campaign.id));
            }
        });
    }
    for wake in wakes {
        node.wake_if_absent(wake);
    }
}

/// Brings the opt-outs other shards heard to the shards whose parts run.
async fn listen(node: &Arc<Node>, looked: &mut BTreeMap<(TenantId, ShardId), Timestamp>) {
    let now = Timestamp(node.clock().now_ms());
    let mut running: BTreeMap<(TenantId, ShardId), Timestamp> = BTreeMap::new();
    for shard in node.all_shards() {
        let id = shard.id();
        shard.peek(|overlay| {
            for part in overlay.open_parts() {
                let launched = running.entry((part.tenant, id)).or_insert(part.start.launched);
                *launched = part.start.launched.min(*launched);
            }
        });
    }
    looked.retain(|key, _| running.contains_key(key));
    for ((tenant, id), launched) in running {
        // A minute back: rows are found by the minute they were heard in, and clocks differ.
        let since = looked.get(&(tenant, id)).copied().unwrap_or(launched).plus_ms(-MINUTE_MS);
        match node.store().views.consents_since(tenant, since).await {
            Ok(rows) => {
                node.shard(id).tell(|overlay| overlay.hear_consents(tenant, (since, now), &rows));
                looked.insert((tenant, id), now);
            }
            Err(error) => tracing::debug!(%error, "opt-outs could not be read now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::house::{BEGINS, House};
    use crate::node::StartError;
    use crate::{Clock, Node, NodeOptions};
    use kabar_engine::id::ShardId;
    use kabar_engine::time::{DAY_MS, Timestamp};
    use kabar_schema::memory::MemoryViews;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn views_of_an_earlier_day_than_the_journal_still_tells_of_are_refused() {
        let store = House::store().await;
        let house = House::on(store.clone(), Timestamp(BEGINS), NodeOptions::default()).await;
        house.node.dispatcher().send(house.draft(1, 60_000)).await.unwrap();
        house.node.flush().await;
        house.node.shutdown().await;
        let marks = store.views.marks().await.unwrap();
        let earlier = || {
            let mut store = store.clone();
            store.views = Arc::new(MemoryViews::default());
            Node::start(NodeOptions::default(), store, Clock::system())
        };
        // All of the journal is there: new views are made of it.
        earlier().await.unwrap().shutdown().await;
        let positions: Vec<_> = marks.iter().map(|mark| (mark.shard, mark.position)).collect();
        assert!(store.journal.retire(&positions, Timestamp(BEGINS + DAY_MS)).await.unwrap() > 0);
        let begun = earlier().await;
        let gap = |shard: u8| positions.iter().find(|(id, _)| *id == ShardId(shard)).map(|(_, at)| at.0);
        match begun.err() {
            Some(StartError::JournalGap { shard, views: 0, journal }) => {
                assert_eq!(Some(journal), gap(shard))
            }
            other => panic!("{other:?}"),
        }
        // The views it was retired for go on.
        Node::start(NodeOptions::default(), store, Clock::system()).await.unwrap();
    }
}
