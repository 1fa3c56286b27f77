//! The projector: the only writer of views. Every second, later while much changes and sooner when too much has, it captures what is
//! dirty in every shard, waits until those entries are durable, and writes all of it in one go.

use crate::metrics;
use crate::node::Node;
use crate::plant::Plant;
use crate::shard::{Drained, Shard};
use kabar_engine::overlay::Changes;
use kabar_schema::views::{HURRY_ROWS, ShardFlush};
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

/// With more than this there is much to do and turns pass: each status that comes a little later would write its message once
/// more. With less nobody who reads a list waits longer than for a turn.
const BUSY_ROWS: usize = 4_000;
/// So many turns are one then.
const BUSY_TURNS: u64 = 3;
/// How often it looks whether it should.
const LOOK_MS: u64 = 50;

/// What was drained and is not in the views yet.
pub struct Projector {
    pending: Mutex<Vec<(Arc<Shard>, Drained)>>,
}

impl Projector {
    /// A projector that has drained nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { pending: Mutex::new(Vec::new()) }
    }

    /// Writes everything that is dirty now; what cannot be written stays and is written next time.
    pub async fn flush(&self, node: &Node) {
        let mut pending = self.pending.lock().await;
        let lag = node.stats_lag_ms();
        let began = tokio::time::Instant::now();
        for shard in node.all_shards() {
            if let Some(drained) = shard.drain() {
                pending.push((shard, drained));
            }
        }
        if pending.is_empty() {
            return;
        }
        if node.options().plant == Plant::CheckpointBeforeAppend {
            // The planted bug: where the views will stand is written before anything else.
            let changes = Changes::default();
            let marks = pending.iter().map(|(_, d)| ShardFlush { mark: d.mark, changes: changes.clone() });
            let _unheard = node.store().views.apply(marks.collect()).await;
        }
        if node.options().plant != Plant::ViewsAheadOfJournal {
            // Whoever asked may be gone before the end, as the projector's own loop is at a shutdown: at each wait everything
            // drained lies in the list. It counts as clean in its shard, so what is dropped here is never written.
            let mut nth = 0;
            while let Some((shard, drained)) = pending.get(nth) {
                let (shard, position) = (Arc::clone(shard), drained.mark.position.0);
                if shard.durable(position).await.is_ok() {
                    nth += 1;
                } else {
                    // A shard that broke takes its drained rows with it: they are void.
                    pending.remove(nth);
                }
            }
        }
        let flushes: Vec<ShardFlush> =
            pending.iter().map(|(_, d)| ShardFlush { mark: d.mark, changes: d.changes.clone() }).collect();
        let rows: usize = flushes.iter().map(|f| f.changes.len()).sum();
        match node.store().views.apply(flushes).await {
            Ok(()) => {
                pending.iter().for_each(|(shard, _)| shard.flushed());
                metrics::flushed(rows, began.elapsed().as_secs_f64(), lag as f64 / 1_000.0);
                for (shard, _) in pending.drain(..) {
                    shard.sweep().await;
                }
            }
            Err(error) => tracing::error!(%error, rows, "the views could not be written; trying again"),
        }
    }

    /// Where nothing changes what nobody wants any more leaves as after a flush; not where something that was drained
    /// could not be written.
    pub async fn rest(&self, node: &Node) {
        let pending = self.pending.lock().await;
        let kept = |shard: &Arc<Shard>| pending.iter().any(|(of, _)| Arc::ptr_eq(of, shard));
        for shard in node.all_shards().filter(|shard| !kept(shard)) {
            if shard.unchanged() {
                shard.sweep().await;
            }
        }
    }
}

impl Default for Projector {
    fn default() -> Self {
        Self::new()
    }
}

fn is_turn(waited: u64, turn: u64, rows: usize) -> bool {
    waited >= turn && (rows <= BUSY_ROWS || waited >= turn * BUSY_TURNS)
}

/// The projector's loop, as long as the node lives.
pub async fn run(node: Weak<Node>) {
    let mut waited = 0;
    loop {
        let Some(node) = node.upgrade() else { return };
        let planted = node.options().plant == Plant::ViewsAheadOfJournal;
        let turn = if planted { 1 } else { node.options().flush_ms.max(1) };
        let look = turn.min(LOOK_MS);
        let hurried = tokio::select! {
            biased;
            () = node.clock().sleep_ms(look) => false,
            () = node.shard_parts().hurry.notified() => true,
        };
        waited += look;
        let rows: usize = node.all_shards().map(|s| s.peek(kabar_engine::overlay::Overlay::dirty)).sum();
        let its_turn = is_turn(waited, turn, rows);
        if its_turn || hurried || rows > HURRY_ROWS {
            waited = 0;
            node.flush().await;
        }
        if its_turn {
            node.rest().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeOptions;
    use crate::house::{BEGINS, House};
    use kabar_engine::time::Timestamp;
    use kabar_schema::memory::fault::{FaultJournal, Faults};
    use std::sync::Arc;

    #[test]
    fn a_turn_passes_where_much_is_to_be_written_and_three_never() {
        for (waited, rows, comes) in [
            (999, 0, false),
            (1_000, 0, true),
            (1_000, BUSY_ROWS, true),
            (1_000, BUSY_ROWS + 1, false),
            (2_999, HURRY_ROWS, false),
            (3_000, HURRY_ROWS, true),
        ] {
            assert_eq!(is_turn(waited, 1_000, rows), comes, "{waited} {rows}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_was_busy_gives_its_rows_back_when_nothing_happens() {
        let house = House::on(House::store().await, Timestamp(BEGINS), NodeOptions::default()).await;
        for nth in 0..20 {
            house.node.dispatcher().send(house.draft(nth, 0)).await.unwrap();
        }
        house.pass(60_000).await;
        let rows = house.node.stats().overlay_rows;
        assert!(rows > 20, "a minute is not long: {rows}");
        house.pass(600_000).await;
        assert_eq!(house.node.stats().overlay_rows, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_that_is_broken_off_while_it_waits_for_the_disk_loses_no_row() {
        let (mut store, faults) = (House::store().await, Faults::none());
        store.journal = Arc::new(FaultJournal::new(store.journal, Arc::clone(&faults)));
        // Nobody flushes but the test.
        let options = NodeOptions { flush_ms: 3_600_000, ..NodeOptions::default() };
        let house = House::on(store, Timestamp(BEGINS), options).await;
        faults.hold();
        let (desk, draft) = (house.node.dispatcher(), house.draft(1, 60_000));
        let sent = tokio::spawn(async move { desk.send(draft).await });
        house.pass(100).await;
        assert!(futures::poll!(Box::pin(house.node.flush())).is_pending(), "the entries are not durable yet");
        faults.release();
        let message = sent.await.unwrap().unwrap().message;
        house.node.flush().await;
        assert!(house.is_in_views(message).await);
    }
}
