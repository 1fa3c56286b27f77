//! The backends a suite runs on, each with what it needs to be opened again. Not a suite.

use crate::keyspace::Keyspace;
use kabar_schema::journal::OnFailure;
use kabar_schema::scylla::CqlViews;
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
    /// Views on a cluster, everything else in memory.
    Cql,
}

/// An open store; what it lies in goes with it.
pub struct Opened {
    pub store: Store,
    kept: Kept,
}

/// What a store lies in.
enum Kept {
    Nothing,
    Folder(TempDir, MasterKey),
    Keyspace(Keyspace, Arc<CqlViews>),
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
            Self::Memory => Opened { store: Store::memory(), kept: Kept::Nothing },
            Self::Embedded => {
                let folder = tempfile::tempdir().unwrap();
                let master = MasterKey::random();
                let store = Store::embedded(options(folder.path().to_owned(), master.clone())).await.unwrap();
                Opened { store, kept: Kept::Folder(folder, master) }
            }
            Self::Cql => Opened::on(Keyspace::fresh().await, Store::memory()).await,
        }
    }
}

impl Opened {
    async fn on(keyspace: Keyspace, mut store: Store) -> Self {
        let views = keyspace.views(Arc::clone(&store.keyring)).await;
        store.views = Arc::clone(&views) as _;
        Self { store, kept: Kept::Keyspace(keyspace, views) }
    }

    /// Closes and opens again; in memory there is nothing to open again.
    pub async fn reopen(self) -> Self {
        match self.kept {
            Kept::Nothing => self,
            Kept::Folder(folder, master) => {
                self.store.close().await;
                drop(self.store);
                let options = options(folder.path().to_owned(), master.clone());
                let store = Store::embedded(options).await.unwrap();
                Self { store, kept: Kept::Folder(folder, master) }
            }
            Kept::Keyspace(keyspace, _) => Self::on(keyspace, self.store).await,
        }
    }

    pub fn folder(&self) -> PathBuf {
        match &self.kept {
            Kept::Folder(folder, _) => folder.path().to_owned(),
            _ => panic!("only the embedded backend has a folder"),
        }
    }

    /// The views themselves, where a test cuts what they write.
    pub fn cql(&self) -> &CqlViews {
        match &self.kept {
            Kept::Keyspace(_, views) => views,
            _ => panic!("not on a cluster"),
        }
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
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::backend::Backend::Cql).await;
            })+
        }
    };
}
pub(crate) use on_every_backend;
