//! Where the newest entries of a tenant lie, for those who follow its events: a shard tells it before it says that a
//! position is durable, and whoever waits is woken. Knows nobody but tenants that are followed; holds no entry.

use dashmap::DashMap;
use kabar_engine::entry::{Entry, Position};
use kabar_engine::hash::Hashing;
use kabar_engine::id::{ShardId, TenantId};
use kabar_schema::journal::{Cursor, ShardSet};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The tides of all tenants that are followed.
#[derive(Default)]
pub struct Tide {
    tenants: DashMap<TenantId, Arc<Water>, Hashing>,
}

/// One tenant's.
struct Water {
    followers: Mutex<usize>,
    marks: Mutex<BTreeMap<ShardId, Position>>,
    risen: watch::Sender<()>,
}

impl Default for Water {
    fn default() -> Self {
        let (followers, marks) = (Mutex::default(), Mutex::default());
        Self { followers, marks, risen: watch::Sender::new(()) }
    }
}

impl Water {
    fn rise(&self, shard: ShardId, to: Position) {
        let mut marks = self.marks.lock();
        let mark = marks.entry(shard).or_default();
        *mark = to.max(*mark);
        drop(marks);
        self.risen.send_replace(());
    }
}

/// Whose entries a frame holds, and the last one of each.
pub(crate) type Touched = Vec<(TenantId, Position)>;

/// Reads a frame's owners.
pub(crate) fn touched(base: Position, entries: &[Arc<Entry>]) -> Touched {
    let mut touched: Touched = Vec::with_capacity(1);
    for (place, entry) in (0..).zip(entries) {
        let at = base.plus(place);
        match touched.iter_mut().find(|(tenant, _)| *tenant == entry.tenant) {
            Some((_, last)) => *last = at,
            None => touched.push((entry.tenant, at)),
        }
    }
    touched
}

impl Tide {
    /// Begins to follow a tenant; `None` when so many do already. What is durable before this call may be untold.
    pub(crate) fn watch(self: &Arc<Self>, tenant: TenantId, most: usize) -> Option<Watching> {
        // Counted while the entry is held: the last follower of before may be on its way out.
        let entry = self.tenants.entry(tenant).or_default();
        {
            let mut followers = entry.followers.lock();
            if *followers >= most {
                return None;
            }
            *followers += 1;
        }
        let water = Arc::clone(&entry);
        drop(entry);
        let risen = water.risen.subscribe();
        Some(Watching { tide: Arc::clone(self), tenant, water, risen })
    }

    /// A frame of a shard is durable; called before anybody is told so.
    pub(crate) fn rise(&self, shard: ShardId, touched: &Touched) {
        for (tenant, at) in touched {
            if let Some(water) = self.tenants.get(tenant) {
                water.rise(shard, *at);
            }
        }
    }

    /// A shard was taken again: up to here there may be entries of anybody that nobody was told of.
    pub(crate) fn flood(&self, shard: ShardId, to: Position) {
        let mut waters: Vec<_> =
            self.tenants.iter().map(|water| (*water.key(), Arc::clone(water.value()))).collect();
        // In the same order every time, whatever the map's: a simulation goes the same way twice.
        waters.sort_unstable_by_key(|(tenant, _)| *tenant);
        waters.iter().for_each(|(_, water)| water.rise(shard, to));
    }
}

/// One follower's view of its tenant's tide.
pub(crate) struct Watching {
    tide: Arc<Tide>,
    tenant: TenantId,
    water: Arc<Water>,
    risen: watch::Receiver<()>,
}

impl Watching {
    /// Shards that have entries of the tenant behind the cursor. Asked before it is waited.
    pub(crate) fn behind(&mut self, cursor: &Cursor) -> ShardSet {
        self.risen.mark_unchanged();
        let marks = self.water.marks.lock();
        marks.iter().filter(|(shard, mark)| **mark > cursor.at(**shard)).map(|(shard, _)| *shard).collect()
    }

    /// Waits until there is more than [`Watching::behind`] last saw.
    pub(crate) async fn risen(&mut self) {
        // The sender lives in the water that is held here.
        let _ = self.risen.changed().await;
    }

    /// Another one of the same follower, to wait with elsewhere.
    pub(crate) fn bell(&self) -> watch::Receiver<()> {
        self.risen.clone()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.tide.tenants.remove_if(&self.tenant, |_, water| {
            let mut followers = self.water.followers.lock();
            *followers -= 1;
            *followers == 0 && Arc::ptr_eq(water, &self.water)
        });
    }
}
