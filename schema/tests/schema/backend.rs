//! The backends a suite runs on, each with what it needs to be opened again. Not a suite.

use crate::keyspace::Keyspace;
use kabar_schema::journal::OnFailure;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use std::path::PathBuf;
use tempfile::TempDir;

/// Positions of a bucket of the cluster's journal in the suites, as a power of two: so few that many are crossed.
const BUCKET_BITS: u32 = 5;

/// Which backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Memory,
    Embedded,
    Cql,
}

/// Where an open store keeps what it remembers.
pub enum Place {
    Nowhere,
    Folder(TempDir, MasterKey),
    Keyspace(Keyspace),
}

/// An open store; its place goes with it.
pub struct Opened {
    pub store: Store,
    pub place: Place,
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
        let place = match self {
            Self::Memory => return Opened { store: Store::memory(), place: Place::Nowhere },
            Self::Embedded => Place::Folder(tempfile::tempdir().unwrap(), MasterKey::random()),
            Self::Cql => Place::Keyspace(Keyspace::empty().await),
        };
        place.open().await
    }
}

impl Place {
    async fn open(self) -> Opened {
        let store = match &self {
            Self::Nowhere => unreachable!("nothing in memory can be opened again"),
            Self::Folder(folder, master) => {
                Store::embedded(options(folder.path().to_owned(), master.clone())).await
            }
            Self::Keyspace(keyspace) => Store::cql_with_buckets(keyspace.options(), BUCKET_BITS).await,
        };
        Opened { store: store.unwrap(), place: self }
    }
}

impl Opened {
    /// Closes and opens again; in memory there is nothing to open again.
    pub async fn reopen(self) -> Self {
        if matches!(self.place, Place::Nowhere) {
            return self;
        }
        self.store.close().await;
        drop(self.store);
        self.place.open().await
    }

    pub fn folder(&self) -> PathBuf {
        match &self.place {
            Place::Folder(folder, _) => folder.path().to_owned(),
            _ => panic!("only the embedded backend has a folder"),
        }
    }

    /// The keyspace, where a test needs a seam of the cluster itself.
    pub fn keyspace(&self) -> &Keyspace {
        match &self.place {
            Place::Keyspace(keyspace) => keyspace,
            _ => panic!("only the cluster has a keyspace"),
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
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::backend::Backend::Cql).await;
            })+
        }
    };
}
pub(crate) use on_every_backend;
