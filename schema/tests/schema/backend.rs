//! The backends a suite runs on, each with what it needs to be opened again. Not a suite.

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
}

/// An open store; the folder goes with it.
pub struct Opened {
    pub store: Store,
    folder: Option<(TempDir, MasterKey)>,
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
        if self == Self::Memory {
            return Opened { store: Store::memory(), folder: None };
        }
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::random();
        let store = Store::embedded(options(folder.path().to_owned(), master.clone())).await.unwrap();
        Opened { store, folder: Some((folder, master)) }
    }
}

impl Opened {
    /// Closes and opens again; in memory there is nothing to open again.
    pub async fn reopen(self) -> Self {
        let Some((folder, master)) = self.folder else { return self };
        self.store.close().await;
        drop(self.store);
        let store = Store::embedded(options(folder.path().to_owned(), master.clone())).await.unwrap();
        Self { store, folder: Some((folder, master)) }
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.as_ref().expect("only the embedded backend has a folder").0.path().to_owned()
    }
}

/// Each function once on memory and once embedded.
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
    };
}
pub(crate) use on_every_backend;
