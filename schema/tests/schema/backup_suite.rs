//! Backups of an embedded folder while it is written, what comes back from them, and what is refused. Here the
//! writer lives in the same process; that another process sees the same is proved at the edge.

use crate::backend::options;
use crate::disks::SMALL;
use crate::entries::{BEGIN, TENANT, check, fence, grow, read_on};
use crate::snapshot::snapshot;
use crate::world::{World, walk};
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_engine::overlay::Changes;
use kabar_schema::backup::{BackupError, MANIFEST, Manifest, Plan, Step, Unpacked, Watch, verify};
use kabar_schema::error::OpenError;
use kabar_schema::journal::ShardSet;
use kabar_schema::memory::MemoryViews;
use kabar_schema::records::Record;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use kabar_schema::views::{ShardFlush, ShardMark, Views};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const KIND: &str = "named_by_entries";
const SHARDS: u8 = 3;

fn quiet() -> Watch<'static> {
    Watch(&|_| {})
}

fn plan(folder: &Path, to: &Path) -> Plan {
    let (folder, to) = (folder.to_owned(), to.to_owned());
    Plan { folder, to, keys: Vec::new(), version: "test".to_owned(), began: BEGIN }
}

/// A store with small segments beside places for backups.
struct House {
    place: TempDir,
    master: MasterKey,
    store: Store,
}

impl House {
    async fn open() -> Self {
        let place = tempfile::tempdir().unwrap();
        let master = MasterKey::random();
        let store = Self::store(&place.path().join("data"), &master).await.unwrap();
        store.keyring.ensure(TENANT).await.unwrap();
        Self { place, master, store }
    }

    async fn store(folder: &Path, master: &MasterKey) -> Result<Store, OpenError> {
        let options = options(folder.to_owned(), master.clone());
        Store::embedded(EmbeddedOptions { segment_bytes: SMALL, ..options }).await
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Takes a backup as another process would: on a thread of its own, asking nobody.
    async fn backup(&self, name: &str) -> Result<Manifest, BackupError> {
        let plan = plan(&self.at("data"), &self.at(name));
        tokio::task::spawn_blocking(move || plan.run(quiet())).await.unwrap()
    }

    async fn restore(&self, from: &str, to: &str) -> Result<Manifest, BackupError> {
        let unpacked = Unpacked::copy(&self.at(from), &self.at(to), quiet())?;
        unpacked.prove(self.master.clone()).await?;
        unpacked.finish()
    }

    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = Self::store(&self.at("data"), &self.master).await.unwrap();
    }
}

/// What writers have been promised.
#[derive(Default)]
struct Promised {
    tips: Mutex<BTreeMap<ShardId, Position>>,
    is_over: AtomicBool,
}

/// Writes a record, then entries that name it, and so on.
async fn write(store: Store, promised: Arc<Promised>, shard: u8) {
    let mut tip = store.journal.open(fence(shard, 1)).await.unwrap();
    while !promised.is_over.load(Ordering::Relaxed) {
        let id = (u64::from(shard) << 40) + tip.0 + 7;
        let (created, indexes, body) = (BEGIN, Vec::new(), vec![shard; 40]);
        let record = Record { kind: KIND, tenant: TENANT, id, version: 0, created, indexes, body };
        store.records.put(record, 0).await.unwrap();
        tip = grow(&*store.journal, fence(shard, 1), tip, 7).await.unwrap();
        promised.tips.lock().insert(ShardId(shard), tip);
    }
}

/// Carries the views after the journal, and lets go of what they have passed.
async fn carry(store: Store, promised: Arc<Promised>) {
    let far = BEGIN.plus_ms(i64::from(u32::MAX));
    while !promised.is_over.load(Ordering::Relaxed) {
        let tips = promised.tips.lock().clone();
        let flush = |(shard, position): (&ShardId, &Position)| ShardFlush {
            mark: ShardMark { shard: *shard, position: *position, last_id: position.0 },
            changes: Changes::default(),
        };
        store.views.apply(tips.iter().map(flush).collect()).await.unwrap();
        let passed: Vec<_> = tips.into_iter().collect();
        store.journal.retire(&passed, far).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_backup_under_writers_holds_everything_promised_before_it_and_all_that_it_names() {
    let house = House::open().await;
    let promised = Arc::new(Promised::default());
    let mut work = tokio::task::JoinSet::new();
    for shard in 0..SHARDS {
        work.spawn(write(house.store.clone(), Arc::clone(&promised), shard));
    }
    work.spawn(carry(house.store.clone(), Arc::clone(&promised)));
    let mut last = BTreeMap::new();
    for round in 0..5 {
        // Each backup has something new to hold.
        while promised.tips.lock().iter().filter(|(shard, at)| last.get(*shard) < Some(*at)).count() < 3 {
            tokio::task::yield_now().await;
        }
        let before = promised.tips.lock().clone();
        let (name, back) = (format!("backup {round}"), format!("back {round}"));
        let manifest = house.backup(&name).await.unwrap();
        assert_eq!(house.restore(&name, &back).await.unwrap(), manifest);
        let store = House::store(&house.at(&back), &house.master).await.unwrap();
        let floor = store.journal.floor().await.unwrap();
        let page = read_on(&*store.journal, &ShardSet::all(), floor.clone(), 1_000).await;
        let tips = check(&page, &floor).unwrap();
        for (shard, promise) in &before {
            assert!(tips[shard] >= *promise, "round {round}: shard {} was promised {}", shard.0, promise.0);
        }
        for mark in store.views.marks().await.unwrap() {
            let (from, to) = (floor.at(mark.shard), tips[&mark.shard]);
            let fits = from <= mark.position && mark.position <= to;
            assert!(fits, "round {round}: {mark:?} is not within {} to {}", from.0, to.0);
        }
        for (shard, tip) in tips {
            let id = (u64::from(shard.0) << 40) + tip.0;
            let named = store.records.get(KIND, TENANT, id).await.unwrap();
            assert!(named.is_some(), "round {round}: shard {} names what is not there", shard.0);
        }
        store.close().await;
        last = before;
    }
    promised.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = work.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_come_and_go_while_the_views_are_copied_leave_no_gap() {
    let house = House::open().await;
    let tip = Arc::new(Mutex::new(house.store.journal.open(fence(0, 1)).await.unwrap()));
    let (store, runtime) = (house.store.clone(), tokio::runtime::Handle::current());
    let grown = Arc::clone(&tip);
    let rush = move || {
        let mut tip = *grown.lock();
        runtime.block_on(async {
            for _ in 0..400 {
                tip = grow(&*store.journal, fence(0, 1), tip, 20).await.unwrap();
            }
            let mark = ShardMark { shard: ShardId(0), position: tip, last_id: tip.0 };
            store.views.apply(vec![ShardFlush { mark, changes: Changes::default() }]).await.unwrap();
            let far = BEGIN.plus_ms(i64::from(u32::MAX));
            assert!(store.journal.retire(&[(ShardId(0), tip)], far).await.unwrap() > 2);
        });
        *grown.lock() = tip;
    };
    let plan = plan(&house.at("data"), &house.at("backup"));
    // The first that moves are the views: nothing of the journal was full yet.
    let taken = tokio::task::spawn_blocking(move || {
        let (rushed, again) = (AtomicBool::new(false), AtomicBool::new(false));
        let watch = |step: Step| match step {
            Step::Moved(_) if !rushed.swap(true, Ordering::Relaxed) => rush(),
            Step::Again => again.store(true, Ordering::Relaxed),
            _ => {}
        };
        plan.run(Watch(&watch)).map(|_| again.into_inner())
    });
    assert!(taken.await.unwrap().unwrap(), "it began anew");
    house.restore("backup", "back").await.unwrap();
    let store = House::store(&house.at("back"), &house.master).await.unwrap();
    let (floor, marks) = (store.journal.floor().await.unwrap(), store.views.marks().await.unwrap());
    assert!(floor.at(ShardId(0)).0 > 0 && marks[0].position >= floor.at(ShardId(0)), "{floor:?} {marks:?}");
    assert_eq!(marks[0].position, *tip.lock());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_views_read_like_the_model() {
    let mut house = House::open().await;
    let (model, mut world) = (MemoryViews::default(), World::default());
    for number in 1..=2 {
        house.store.keyring.ensure(kabar_engine::id::TenantId(number)).await.unwrap();
    }
    walk(900).for_each(|step| world.step(step));
    let flush = world.flush();
    model.apply(flush.clone()).await.unwrap();
    house.store.views.apply(flush).await.unwrap();
    // The journal is empty: only a new opening makes it begin where the views are.
    house.reopen().await;
    let manifest = house.backup("backup").await.unwrap();
    assert!(manifest.messages > 0 && manifest.open > 0, "{manifest:?}");
    house.restore("backup", "back").await.unwrap();
    let store = House::store(&house.at("back"), &house.master).await.unwrap();
    assert_eq!(snapshot(&*store.views, &world, 7).await, snapshot(&model, &world, 7).await);
    store.close().await;
}

/// A backup of a few segments, a tail and two databases.
async fn filled() -> (House, Manifest) {
    let house = House::open().await;
    let shard = fence(1, 1);
    let mut tip = house.store.journal.open(shard).await.unwrap();
    for _ in 0..60 {
        tip = grow(&*house.store.journal, shard, tip, 80).await.unwrap();
    }
    let manifest = house.backup("backup").await.unwrap();
    (house, manifest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_damaged_byte_is_refused_and_its_file_named() {
    let (house, manifest) = filled().await;
    let from = house.at("backup");
    verify(&from, quiet()).unwrap();
    assert!(manifest.files.len() > 5, "{manifest:?}");
    let names = manifest.files.iter().map(|file| file.path.as_str()).chain([MANIFEST]);
    for name in names {
        let path = from.join(name);
        let whole = std::fs::read(&path).unwrap();
        // A new file: the old one may be a link to the store's own.
        let put = |bytes: &[u8]| {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
        };
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() - 1], &[&whole[..], b"\n"].concat()] {
            put(damaged);
            let checked = verify(&from, quiet()).unwrap_err();
            let copied = Unpacked::copy(&from, &house.at("back"), quiet()).unwrap_err();
            for error in [checked, copied] {
                assert!(
                    matches!(&error, BackupError::Damaged { file, .. } if *file == path),
                    "{name}: {error}"
                );
            }
        }
        std::fs::remove_file(&path).unwrap();
        let error = verify(&from, quiet()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        std::fs::write(&path, whole).unwrap();
    }
    verify(&from, quiet()).unwrap();
    assert!(!house.at("back").exists() && !house.at("back.partial").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_never_changes_is_linked_and_a_restored_folder_shares_nothing() {
    let (house, manifest) = filled().await;
    house.restore("backup", "back").await.unwrap();
    let links = |at: &str, file: &str| std::fs::metadata(house.at(at).join(file)).unwrap().nlink();
    let mut segments: Vec<_> =
        manifest.files.iter().map(|f| f.path.as_str()).filter(|p| p.ends_with(".segment")).collect();
    segments.sort_unstable();
    let (settled, last) = segments.split_at(segments.len() - 2);
    assert!(settled.len() > 2);
    assert!(settled.iter().all(|file| links("backup", file) == 2));
    assert!(last.iter().all(|file| links("backup", file) == 1), "the last two may still be written");
    assert!(manifest.files.iter().all(|file| links("back", &file.path) == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_is_left_alone_and_what_an_interrupted_run_left_is_cleared() {
    let (house, _) = filled().await;
    let taken = house.backup("backup").await;
    assert!(matches!(taken, Err(BackupError::Occupied { .. })), "{taken:?}");
    let into = house.restore("backup", "data").await;
    assert!(matches!(into, Err(BackupError::Occupied { .. })), "{into:?}");
    let none = plan(&house.at("nothing"), &house.at("b")).run(quiet());
    assert!(matches!(none, Err(BackupError::NoStore { .. })), "{none:?}");
    // What an interrupted run leaves, and what somebody else's folder looks like.
    std::fs::create_dir_all(house.at("b.partial/journal")).unwrap();
    std::fs::write(house.at("b.partial/views.db"), "half").unwrap();
    let foreign = house.backup("b").await;
    assert!(matches!(foreign, Err(BackupError::Occupied { .. })), "{foreign:?}");
    assert!(house.at("b.partial/views.db").exists());
    let unfinished = std::fs::File::create(house.at("b.partial/.unfinished")).unwrap();
    assert!(matches!(verify(&house.at("b.partial"), quiet()), Err(BackupError::NoBackup { .. })));
    unfinished.lock().unwrap();
    let busy = house.backup("b").await;
    assert!(matches!(busy, Err(BackupError::Busy { .. })), "{busy:?}");
    drop(unfinished);
    std::fs::create_dir(house.at("b")).unwrap();
    house.backup("b").await.unwrap();
    assert!(!house.at("b.partial").exists() && !house.at("b/.unfinished").exists());
    verify(&house.at("b"), quiet()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_master_key_restores_nothing() {
    let (house, _) = filled().await;
    let unpacked = Unpacked::copy(&house.at("backup"), &house.at("back"), quiet()).unwrap();
    let refused = unpacked.prove(MasterKey::random()).await;
    assert!(matches!(refused, Err(BackupError::Store(OpenError::MasterKey))), "{refused:?}");
    drop(unpacked);
    assert!(!house.at("back").exists() && !house.at("back.partial").exists());
}
