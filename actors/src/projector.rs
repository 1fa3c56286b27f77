//! The projector: the only writer of views. Every second, or sooner when much has changed, it captures what is
//! dirty in every shard, waits until those entries are durable, and writes all of it in one go.

use crate::metrics;
use crate::node::Node;
use crate::plant::Plant;
use crate::shard::{Drained, Shard};
use kabar_engine::overlay::Changes;
use kabar_schema::views::ShardFlush;
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

/// Rows that make the projector come before its turn.
const HURRY_ROWS: usize = 15_000;
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
            let mut durable = Vec::with_capacity(pending.len());
            for (shard, drained) in pending.drain(..) {
                // A shard that broke takes its drained rows with it: they are void.
                if shard.durable(drained.mark.position.0).await.is_ok() {
                    durable.push((shard, drained));
                }
            }
            *pending = durable;
        }
        let flushes: Vec<ShardFlush> =
            pending.iter().map(|(_, d)| ShardFlush { mark: d.mark, changes: d.changes.clone() }).collect();
        let rows: usize = flushes.iter().map(|f| f.changes.len()).sum();
        match node.store().views.apply(flushes).await {
            Ok(()) => {
                pending.drain(..).for_each(|(shard, _)| shard.flushed());
                metrics::flushed(rows, began.elapsed().as_secs_f64(), lag as f64 / 1_000.0);
            }
            Err(error) => tracing::error!(%error, rows, "the views could not be written; trying again"),
        }
    }
}

impl Default for Projector {
    fn default() -> Self {
        Self::new()
    }
}

/// The projector's loop, as long as the node lives.
pub async fn run(node: Weak<Node>) {
    let mut waited = 0;
    loop {
        let Some(node) = node.upgrade() else { return };
        let planted = node.options().plant == Plant::ViewsAheadOfJournal;
        let turn = if planted { 1 } else { node.options().flush_ms.max(1) };
        let look = turn.min(LOOK_MS);
        tokio::select! {
            biased;
            () = node.clock().sleep_ms(look) => waited += look,
            () = node.shard_parts().hurry.notified() => waited = turn,
        }
        let full = || node.all_shards().map(|s| s.peek(kabar_engine::overlay::Overlay::dirty)).sum::<usize>();
        if waited >= turn || full() > HURRY_ROWS {
            waited = 0;
            node.flush().await;
        }
    }
}
