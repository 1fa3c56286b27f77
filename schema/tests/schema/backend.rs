//! The backends a suite runs on, each with what it needs to be opened again. Not a suite.

use crate::cluster::Keyspace;
use kabar_schema::journal::OnFailure;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// Which backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Memory,
    Embedded,
    Cql,
}

/// An open store; the folder goes with it.
pub struct Opened {
    pub store: Store,
    folder: Option<(TempDir, MasterKey)>,
    keyspace: Option<Arc<Keyspace>>,
}

/// Positions of a journal's bucket in the suites, as a power of two: so few that every one of them is crossed.
const BUCKET_BITS: u32 = 5;

async fn cql(keyspace: Arc<Keyspace>) -> Opened {
    let cluster = kabar_schema::scylla::connect(&keyspace.options()).await.unwrap();
    let mut store = Store::memory();
    let keyring = Arc::clone(&store.keyring);
    let journal =
        kabar_schema::scylla::CqlJournal::with_buckets(cluster, keyring, BUCKET_BITS).await.unwrap();
    store.journal = Arc::new(journal);
    Opened { store, folder: None, keyspace: Some(keyspace) }
}

pub fn options(folder: PathBuf, master: MasterKey) -> EmbeddedOptions {
    EmbeddedOptions {
        fail: OnFailure::Poison,
        segment_bytes: 1 << 20,
        ..EmbeddedOptions::new(folder, master)
    }
}

impl Backend {
    pub async fn open(self) -> Opened {
        match self {
            Self::Memory => return Opened { store: Store::memory(), folder: None, keyspace: None },
            Self::Cql => return cql(Keyspace::empty().await).await,
            Self::Embedded => {}
        }
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::random();
        let store = Store::embedded(options(folder.path().to_owned(), master.clone())).await.unwrap();
        Opened { store, folder: Some((folder, master)), keyspace: None }
    }
}

impl Opened {
    /// Closes and opens again; in memory there is nothing to open again.
    pub async fn reopen(self) -> Self {
        if let Some(keyspace) = &self.keyspace {
            return cql(Arc::clone(keyspace)).await;
        }
        let Some((folder, master)) = self.folder else { return self };
        self.store.close().await;
        drop(self.store);
        let store = Store::embedded(options(folder.path().to_owned(), master.clone())).await.unwrap();
        Self { store, folder: Some((folder, master)), keyspace: None }
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.as_ref().expect("only the embedded backend has a folder").0.path().to_owned()
    }
}

/// Each function once on memory, once embedded and once on a cluster.
macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::backend::Backend::Memory).await;
            })+
        }
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::backend::Backend::Embedded).await;
            })+
        }
        mod cql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::backend::Backend::Cql).await;
            })+
        }
    };
}
pub(crate) use on_every_backend;
