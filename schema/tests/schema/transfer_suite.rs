//! A folder that is moved into another store: all of it is there and read alike, a move goes on where it was broken off,
//! and nothing is called moved that differs. On memory and on a cluster.

use crate::backend::options;
use crate::disks::SMALL;
use crate::entries::{TENANT, fence, grow, read_all};
use crate::keyspace::Keyspace;
use crate::snapshot::{Snapshot, snapshot};
use crate::world::{BEGIN, World, phone, walk};
use bytes::Bytes;
use futures::StreamExt;
use kabar_engine::chunk::{Chunk, ChunkKey, Recipient};
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, ImportId, SessionId, ShardId, TenantId};
use kabar_engine::overlay::Changes;
use kabar_schema::blobs::BlobHash;
use kabar_schema::contacts::ContactDraft;
use kabar_schema::ledger::PartManifest;
use kabar_schema::memory::MemoryViews;
use kabar_schema::records::Record;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use kabar_schema::transfer::{EmbeddedSource, Phase, Progress, Report, TransferError, transfer};
use kabar_schema::views::{ShardFlush, ShardMark, Views};
use parking_lot::Mutex;
use std::ops::ControlFlow;
use std::path::Path;
use tempfile::TempDir;

const A: TenantId = TenantId(1);
/// Old entries of it are gone.
const RETIRED: ShardId = ShardId(200);
const LIST: ImportId = ImportId(3);

/// Where it goes.
enum Target {
    Memory(MasterKey, Store),
    Cql(Keyspace),
}

impl Target {
    fn memory() -> Self {
        let master = MasterKey::random();
        Self::Memory(master.clone(), Store::memory_under(master))
    }

    fn master(&self) -> MasterKey {
        match self {
            Self::Memory(master, _) => master.clone(),
            Self::Cql(keyspace) => keyspace.master.clone(),
        }
    }

    /// As a new process opens it.
    async fn open(&self) -> Store {
        match self {
            Self::Memory(_, store) => store.clone(),
            Self::Cql(keyspace) => Store::cql(keyspace.options()).await.unwrap(),
        }
    }
}

/// A folder with something of every kind, and what it must read like.
struct House {
    place: TempDir,
    master: MasterKey,
    world: World,
    model: Snapshot,
    blob: BlobHash,
}

fn small(folder: &Path, master: &MasterKey) -> EmbeddedOptions {
    EmbeddedOptions { segment_bytes: SMALL, ..options(folder.to_owned(), master.clone()) }
}

/// Appends entries to a shard and tells its tip.
async fn write(store: &Store, (shard, epoch): (ShardId, u64), count: u64) -> Position {
    let fence = fence(shard.0, epoch);
    let mut tip = store.journal.open(fence).await.unwrap();
    let end = tip.plus(count);
    while tip < end {
        tip = grow(&*store.journal, fence, tip, (end.0 - tip.0).min(80)).await.unwrap();
    }
    tip
}

async fn plain_rows(store: &Store) -> BlobHash {
    for id in 1..=40 {
        let indexes = vec![("colour", if id % 2 == 0 { "red" } else { "blue" }.to_owned())];
        let created = BEGIN.plus_ms(1_000 - i64::try_from(id).unwrap());
        let body = format!("thing {id}").into_bytes();
        let record = Record { kind: "thing", tenant: A, id, version: 0, created, indexes, body };
        let version = store.records.put(record.clone(), 0).await.unwrap();
        if id % 5 == 0 {
            store.records.put(record, version).await.unwrap();
        }
    }
    let draft = |n: u32, name: &str| ContactDraft {
        address: phone(n),
        input: format!("0812-{n}"),
        name: Some(name.to_owned()),
        zone: None,
        fields: [("city".to_owned(), "Bandung".to_owned())].into(),
    };
    let all = (0..700).map(|n| draft(n, "Ani")).collect();
    store.contacts.upsert(A, Some(LIST), all, BEGIN).await.unwrap();
    let again = (600..800).map(|n| draft(n, "Budi")).collect();
    store.contacts.upsert(A, Some(ImportId(4)), again, BEGIN.plus_ms(9)).await.unwrap();
    for chunk in 0..3 {
        let key = ChunkKey { tenant: A, campaign: CampaignId(4), attempt: 1, chunk };
        let one = |n| Recipient { address: phone(n), zone: None, values: vec![Some("Ani".into())] };
        let frozen = Chunk { columns: ["name".into()].into(), recipients: (0..50).map(one).collect() };
        store.ledger.put_chunk(key, frozen).await.unwrap();
    }
    let chunks = (0..3).map(|n| (phone(n), 50)).collect();
    let manifest = PartManifest { session: SessionId(1), chunks };
    store.ledger.put_part(A, CampaignId(4), 1, 0, manifest).await.unwrap();
    let bytes = Bytes::from(vec![7; 700_000]);
    let content = futures::stream::iter([Ok(bytes)]).boxed();
    store.blobs.put(A, content, u64::MAX).await.unwrap().hash
}

impl House {
    async fn filled(master: MasterKey) -> Self {
        let place = tempfile::tempdir().unwrap();
        let options = small(place.path(), &master);
        let store = Store::embedded(options).await.unwrap();
        for tenant in [A, TenantId(2), TENANT] {
            store.keyring.ensure(tenant).await.unwrap();
        }
        let (model, mut world) = (MemoryViews::default(), World::default());
        walk(900).for_each(|step| world.step(step));
        let flush = world.flush();
        let mut passed: Vec<_> = flush.iter().map(|flush| (flush.mark.shard, flush.mark.position)).collect();
        for (shard, position) in &passed {
            write(&store, (*shard, 1), position.0).await;
        }
        model.apply(flush.clone()).await.unwrap();
        store.views.apply(flush).await.unwrap();
        let blob = plain_rows(&store).await;
        // A shard that nothing was told of, whose stream begins behind its origin.
        let tip = write(&store, (RETIRED, 1), 2_400).await;
        let mark = ShardMark { shard: RETIRED, position: Position(tip.0 - 100), last_id: 2 };
        let carried = ShardFlush { mark, changes: Changes::default() };
        model.apply(vec![carried.clone()]).await.unwrap();
        store.views.apply(vec![carried]).await.unwrap();
        passed.push((RETIRED, mark.position));
        store.journal.retire(&passed, BEGIN.plus_ms(i64::from(u32::MAX))).await.unwrap();
        assert!(store.journal.floor().await.unwrap().at(RETIRED) > Position(0));
        write(&store, (World::shards()[0], 2), 2_400).await;
        store.close().await;
        drop(store);
        let model = snapshot(&model, &world, 50).await;
        Self { place, master, world, model, blob }
    }

    async fn source(&self) -> EmbeddedSource {
        EmbeddedSource::open(small(self.place.path(), &self.master)).await.unwrap()
    }

    /// Moves; `stop` says where the move is broken off.
    async fn moved(
        &self,
        target: &Store,
        stop: impl Fn(Progress) -> bool + Send + Sync,
    ) -> Result<Report, TransferError> {
        let source = self.source().await;
        let listener =
            |progress| if stop(progress) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let answer = transfer(&source, target, &listener).await;
        source.close().await;
        answer
    }

    /// The target reads like the folder.
    async fn check(&self, target: &Store) {
        let source = self.source().await;
        let from = source.store();
        assert_eq!(snapshot(&*target.views, &self.world, 50).await, self.model);
        let (mut there, mut here) = (read_all(&*target.journal).await, read_all(&*from.journal).await);
        // Each shard has its order, shards have none among each other.
        [&mut there, &mut here].into_iter().for_each(|page| page.entries.sort_by_key(|e| (e.0, e.1)));
        assert!(here.entries.len() > 2_500);
        assert_eq!(there.entries.len(), here.entries.len());
        assert!(there.entries == here.entries);
        assert_eq!(target.journal.floor().await.unwrap(), from.journal.floor().await.unwrap());
        for list in [None, Some(LIST), Some(ImportId(4))] {
            let all = from.contacts.page(A, list, None, 1_000).await.unwrap();
            assert!(all.len() >= 200, "{list:?}");
            assert_eq!(target.contacts.page(A, list, None, 1_000).await.unwrap(), all);
        }
        for index in [None, Some(("colour", "red"))] {
            let all = from.records.page("thing", A, index, None, 100).await.unwrap();
            assert!(all.len() >= 20);
            assert_eq!(target.records.page("thing", A, index, None, 100).await.unwrap(), all);
        }
        let key = ChunkKey { tenant: A, campaign: CampaignId(4), attempt: 1, chunk: 2 };
        assert_eq!(target.ledger.get_chunk(key).await, from.ledger.get_chunk(key).await);
        assert!(target.blobs.get(A, self.blob).await.unwrap().is_some());
        source.close().await;
    }
}

async fn everything_is_there_and_a_second_move_does_nothing(to: Target) {
    let house = House::filled(to.master()).await;
    let report = house.moved(&to.open().await, |_| false).await.unwrap();
    assert!(!report.again);
    for kind in
        ["records", "contacts", "contact lists", "ledger chunks", "blobs", "journal", "messages", "outbox"]
    {
        let line = report.lines.iter().find(|line| line.kind == kind);
        assert!(line.is_some_and(|line| line.sum.rows > 0), "{kind}: {report:?}");
    }
    let target = to.open().await;
    house.check(&target).await;
    let second = house.moved(&target, |_| false).await.unwrap();
    assert!(second.again && second.lines == report.lines);
    // What comes next is written behind it.
    let shard = World::shards()[0];
    let rows = target.leases.read(&kabar_schema::journal::ShardSet::all()).await.unwrap();
    let epoch = rows[usize::from(shard.0)].epoch + 1;
    let tip = target.journal.open(fence(shard.0, epoch)).await.unwrap();
    grow(&*target.journal, fence(shard.0, epoch), tip, 5).await.unwrap();
}

async fn a_move_broken_off_in_every_phase_goes_on_to_the_same_end(to: Target) {
    let house = House::filled(to.master()).await;
    for phase in Phase::ALL {
        let told = Mutex::new(0);
        // In the middle where there is one: at the second word of the phase.
        let stop = |progress: Progress| {
            *told.lock() += u32::from(progress.phase == phase);
            *told.lock() == 2
        };
        let error = house.moved(&to.open().await, stop).await.unwrap_err();
        assert!(matches!(error, TransferError::Stopped(at) if at == phase), "{phase:?}: {error}");
    }
    let report = house.moved(&to.open().await, |_| false).await.unwrap();
    assert!(!report.again);
    house.check(&to.open().await).await;
}

async fn a_lost_contact_is_told_and_nothing_is_called_moved(to: Target) {
    let house = House::filled(to.master()).await;
    let target = to.open().await;
    let stop = |progress: Progress| progress.phase == Phase::Verify;
    house.moved(&target, stop).await.unwrap_err();
    let lost = target.contacts.by_address(A, &phone(650)).await.unwrap().unwrap();
    assert!(target.contacts.delete(A, lost.id).await.unwrap());
    let error = house.moved(&target, |_| false).await.unwrap_err();
    let TransferError::Differs { kind, source_sum, target_sum } = error else { panic!("{error}") };
    assert_eq!((kind.as_str(), source_sum.rows, target_sum.rows), ("contacts", 800, 799));
}

async fn a_target_that_is_not_empty_or_has_another_move_is_refused(to: Target) {
    let (house, other) = (House::filled(to.master()).await, House::filled(to.master()).await);
    let target = to.open().await;
    house.moved(&target, |progress| progress.phase == Phase::Contacts).await.unwrap_err();
    let error = other.moved(&target, |_| false).await.unwrap_err();
    assert!(matches!(error, TransferError::Another), "{error}");
}

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Target::memory()).await;
            })+
        }
        mod cql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Target::Cql(crate::keyspace::Keyspace::empty().await)).await;
            })+
        }
    };
}
on_both!(
    everything_is_there_and_a_second_move_does_nothing,
    a_move_broken_off_in_every_phase_goes_on_to_the_same_end,
    a_lost_contact_is_told_and_nothing_is_called_moved,
    a_target_that_is_not_empty_or_has_another_move_is_refused,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_served_already_is_no_target() {
    let to = Target::memory();
    let house = House::filled(to.master()).await;
    let target = to.open().await;
    let record = Record {
        kind: "tenant",
        tenant: A,
        id: 1,
        version: 0,
        created: BEGIN,
        indexes: Vec::new(),
        body: Vec::new(),
    };
    target.records.put(record, 0).await.unwrap();
    let error = house.moved(&target, |_| false).await.unwrap_err();
    assert!(matches!(error, TransferError::NotEmpty { .. }), "{error}");
}
