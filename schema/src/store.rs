//! The store of one node: the seams wired together, in memory or embedded in one folder (`journal/`, `views.db`,
//! `records.db`, `media/`). Not a seam itself, and not the projector that carries entries into views.

use crate::blobs::Blobs;
use crate::contacts::Contacts;
use crate::error::{OpenError, StoreError};
use crate::journal::{Disk, EmbeddedJournal, Journal, JournalOptions, OnFailure, RealDisk};
use crate::leases::Leases;
use crate::ledger::Ledger;
use crate::media::EmbeddedBlobs;
use crate::memory::{
    MemoryBlobs, MemoryContacts, MemoryJournal, MemoryLeases, MemoryLedger, MemoryRecords, MemoryViews,
};
use crate::records::{Nouns, Records};
use crate::scylla::{
    self, CqlBlobs, CqlContacts, CqlJournal, CqlLeases, CqlLedger, CqlOptions, CqlRecords, CqlViews,
};
use crate::seal::{Keyring, MasterKey};
use crate::sqlite::{
    Database, Export, Kind, SqliteContacts, SqliteLeases, SqliteLedger, SqliteRecords, SqliteViews,
};
use crate::views::Views;
use parking_lot::Mutex;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The file whose lock keeps a second process out of a folder.
const LOCK: &str = "kabar.lock";
/// Memory for pages of `views.db` while writing (KiB).
const VIEWS_CACHE_KIB: u32 = 32 * 1024;
/// Memory for pages of `records.db` while writing (KiB): the random keys of a million contacts fit.
const RECORDS_CACHE_KIB: u32 = 96 * 1024;

/// How a store is opened in a folder.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The folder; made when it is missing.
    pub folder: PathBuf,
    /// What the tenants' keys are wrapped with.
    pub master: MasterKey,
    /// Least time between two syncs of the journal while several wait (ms); 2 by default.
    pub sync_gap_ms: u64,
    /// Bytes of a journal segment; 32 MiB by default.
    pub segment_bytes: u64,
    /// What a failing disk ends.
    pub fail: OnFailure,
    /// What the journal's files lie on; proofs bring their own.
    pub disk: Arc<dyn Disk>,
}

impl EmbeddedOptions {
    /// The defaults for a folder: a failing disk ends the process.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, master: MasterKey) -> Self {
        Self {
            folder: folder.into(),
            master,
            sync_gap_ms: 2,
            segment_bytes: 32 * 1024 * 1024,
            fail: OnFailure::Exit,
            disk: Arc::new(RealDisk),
        }
    }
}

/// Everything a node remembers with. Cloning shares it.
#[derive(Clone)]
pub struct Store {
    /// What happened.
    pub journal: Arc<dyn Journal>,
    /// What it came to.
    pub views: Arc<dyn Views>,
    /// Plain nouns, as bytes.
    pub records: Arc<dyn Records>,
    /// Plain nouns, typed.
    pub nouns: Nouns,
    /// Frozen audiences.
    pub ledger: Arc<dyn Ledger>,
    /// Address books.
    pub contacts: Arc<dyn Contacts>,
    /// Large values.
    pub blobs: Arc<dyn Blobs>,
    /// Epochs.
    pub leases: Arc<dyn Leases>,
    /// The tenants' data keys.
    pub keyring: Arc<Keyring>,
    files: Option<Arc<Files>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("files", &self.files).finish_non_exhaustive()
    }
}

/// What is open on disk.
#[derive(Debug)]
struct Files {
    journal: Arc<EmbeddedJournal>,
    views: Arc<Database>,
    records: Arc<Database>,
    lock: Mutex<Option<File>>,
}

impl Store {
    /// A store in memory: the model, and what most tests run on. Nothing survives it.
    #[must_use]
    pub fn memory() -> Self {
        Self::memory_under(MasterKey::random())
    }

    /// A store in memory under this master key: what was wrapped elsewhere with the same one opens here.
    #[must_use]
    pub fn memory_under(master: MasterKey) -> Self {
        let records: Arc<dyn Records> = Arc::new(MemoryRecords::default());
        let keyring = Arc::new(Keyring::new(master, Arc::clone(&records)));
        Self {
            journal: Arc::new(MemoryJournal::default()),
            views: Arc::new(MemoryViews::default()),
            nouns: Nouns::new(Arc::clone(&records), Arc::clone(&keyring)),
            records,
            ledger: Arc::new(MemoryLedger::default()),
            contacts: Arc::new(MemoryContacts::default()),
            blobs: Arc::new(MemoryBlobs::new(Arc::clone(&keyring))),
            leases: Arc::new(MemoryLeases::default()),
            keyring,
            files: None,
        }
    }

    /// Opens the folder, or makes it: records first, then the keys, the views' positions, and the journal with
    /// its tail.
    ///
    /// # Errors
    /// [`OpenError`]: the folder is locked by another process, a file is damaged or of a newer version, or the
    /// master key is another one.
    pub async fn embedded(options: EmbeddedOptions) -> Result<Self, OpenError> {
        let folder = options.folder.clone();
        let (lock, records_file, views_file) = blocking(move || open_folder(&folder)).await?;
        let records: Arc<dyn Records> = Arc::new(SqliteRecords::new(Arc::clone(&records_file)));
        let keyring = Arc::new(Keyring::new(options.master.clone(), Arc::clone(&records)));
        keyring.load().await?;
        let (media, keys) = (options.folder.join("media"), Arc::clone(&keyring));
        let blobs = blocking(move || EmbeddedBlobs::open(media, keys)).await?;
        let views: Arc<dyn Views> = Arc::new(SqliteViews::new(Arc::clone(&views_file), Arc::clone(&keyring)));
        let floors: Vec<_> = views.marks().await?.into_iter().map(|m| (m.shard, m.position)).collect();
        let keys = Arc::clone(&keyring);
        let journal = blocking(move || {
            let settings = JournalOptions {
                sync_gap: Duration::from_millis(options.sync_gap_ms),
                segment_bytes: options.segment_bytes,
                on_failure: options.fail,
                disk: options.disk,
                ..JournalOptions::new(options.folder.join("journal"))
            };
            EmbeddedJournal::open(settings, keys, &floors).map(Arc::new)
        })
        .await?;
        let files = Files {
            journal: Arc::clone(&journal),
            views: views_file,
            records: Arc::clone(&records_file),
            lock: Mutex::new(Some(lock)),
        };
        Ok(Self {
            journal,
            views,
            nouns: Nouns::new(Arc::clone(&records), Arc::clone(&keyring)),
            records,
            ledger: Arc::new(SqliteLedger::new(Arc::clone(&records_file), Arc::clone(&keyring))),
            contacts: Arc::new(SqliteContacts::new(Arc::clone(&records_file), Arc::clone(&keyring))),
            blobs: Arc::new(blobs),
            leases: Arc::new(SqliteLeases::new(records_file)),
            keyring,
            files: Some(Arc::new(files)),
        })
    }

    /// Connects to a cluster, brings its keyspace to this version and wires the seams on it.
    ///
    /// # Errors
    /// [`OpenError`]: no node answers, the keyspace is of a newer version, or the master key is another one.
    pub async fn cql(options: CqlOptions) -> Result<Self, OpenError> {
        Self::cql_with_buckets(options, scylla::BUCKET_BITS).await
    }

    /// With buckets of the journal of 2^`bits` positions. For tests alone: a keyspace keeps what it began with.
    ///
    /// # Errors
    /// As [`Store::cql`].
    #[doc(hidden)]
    pub async fn cql_with_buckets(options: CqlOptions, bits: u32) -> Result<Self, OpenError> {
        let cluster = scylla::connect(&options).await?;
        let records: Arc<dyn Records> = Arc::new(CqlRecords::open(Arc::clone(&cluster)).await?);
        let keyring = Arc::new(Keyring::new(options.master.clone(), Arc::clone(&records)));
        keyring.load().await?;
        let (at, keys) = (|| Arc::clone(&cluster), || Arc::clone(&keyring));
        Ok(Self {
            journal: Arc::new(CqlJournal::with_buckets(at(), keys(), bits).await?),
            views: Arc::new(CqlViews::open(at(), keys()).await?),
            nouns: Nouns::new(Arc::clone(&records), keys()),
            ledger: Arc::new(CqlLedger::open(at(), keys()).await?),
            contacts: Arc::new(CqlContacts::open(at(), keys()).await?),
            blobs: Arc::new(CqlBlobs::open(at(), keys()).await?),
            leases: Arc::new(CqlLeases::open(at()).await?),
            records,
            keyring,
            files: None,
        })
    }

    /// The tables of an embedded store, row after row, for a move; `None` for a store of another kind.
    pub(crate) fn export(&self) -> Option<Export> {
        let files = self.files.as_ref()?;
        let (views, records) = (Arc::clone(&files.views), Arc::clone(&files.records));
        Some(Export::new(views, records, Arc::clone(&self.keyring)))
    }

    /// Writes what waits and closes the files; every later call answers `Unavailable`. Not needed for safety:
    /// a store that was not closed is found whole. The folder is free once the last clone is gone.
    pub async fn close(&self) {
        let Some(files) = self.files.clone() else { return };
        let journal = Arc::clone(&files.journal);
        if tokio::task::spawn_blocking(move || journal.close()).await.is_err() {
            tracing::error!("the journal was not closed in order");
        }
        files.views.close().await;
        files.records.close().await;
        *files.lock.lock() = None;
    }
}

/// Whether a store was ever opened in the folder: then its master key must exist already.
#[must_use]
pub fn holds_data(folder: &Path) -> bool {
    folder.join(Kind::Records.file()).exists()
}

type Opened = (File, Arc<Database>, Arc<Database>);

fn open_folder(folder: &Path) -> Result<Opened, OpenError> {
    std::fs::create_dir_all(folder).map_err(OpenError::io("create", folder))?;
    let lock = lock(folder)?;
    let records = Database::open(folder, Kind::Records, RECORDS_CACHE_KIB)?;
    let views = Database::open(folder, Kind::Views, VIEWS_CACHE_KIB)?;
    Ok((lock, records, views))
}

/// Held until the file is closed; the operating system lets go of it when a process dies.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(OpenError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("lock", &path)(error)),
    }
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, OpenError> + Send + 'static,
) -> Result<R, OpenError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(OpenError::Store(StoreError::Unavailable)))
}
