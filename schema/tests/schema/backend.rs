//! The backends a suite runs on, each with what it needs to be opened again. Not a suite.

use crate::keyspace::Keyspace;
use kabar_schema::journal::OnFailure;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use std::path::PathBuf;
use tempfile::TempDir;

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
    Keyspace(Keyspace, MasterKey),
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
            Self::Cql => Place::Keyspace(Keyspace::take().await, MasterKey::random()),
        };
        place.open().await
    }
}

impl Place {
    async fn open(self) -> Opened {
        let store = match &self {
            Self::Nowhere => unreachable!("nothing in memory can be opened again"),
            Self::Folder(folder, master) => {
                Store::embedded(options(folder.path().to_owned(), master.clone())).await.unwrap()
            }
            Self::Keyspace(keyspace, master) => keyspace.store(master.clone()).await,
        };
        Opened { store, place: self }
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
}

/// Each function once in memory and once embedded: seams the cluster does not have yet.
macro_rules! on_one_node {
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
    };
}
pub(crate) use on_one_node;

/// Each function once on every backend.
macro_rules! on_every_backend {
    ($($name:ident),+ $(,)?) => {
        crate::backend::on_one_node!($($name),+);
        mod cql {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::backend::Backend::Cql).await;
            })+
        }
    };
}
pub(crate) use on_every_backend;
