//! Why a call of the store failed, and why a store could not be opened. Not why a message failed: that is a
//! `Cause` of the engine.

use std::path::PathBuf;

/// The closed set of answers a caller can act on; details go to the log, never into the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another owner has the shard: stop, and drop what was folded.
    #[error("the shard belongs to epoch {current}")]
    Fenced {
        /// The epoch that owns it.
        current: u64,
    },
    /// The expectation did not hold (version, position, write-once content); nothing was applied.
    #[error("the expected version or position does not hold")]
    Conflict,
    /// Too much is waiting; nothing was applied, a later try may succeed.
    #[error("too much is waiting to be written")]
    Overloaded,
    /// Certainly not applied.
    #[error("the store is not available; nothing was applied")]
    Unavailable,
    /// It may have happened.
    #[error("the outcome is not known")]
    Unknown,
}

/// Why a store cannot be opened: what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the folder.
    #[error("{folder} is in use by another process: stop it, or name another folder")]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried, e.g. `create`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// Acknowledged data is damaged. Opening anyway would lose it silently.
    #[error("{file} is damaged at byte {offset}: {what}; restore the folder from a backup")]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Written by a later version.
    #[error(
        "{file} was written by a newer version ({found}, this one knows up to {known}): start that version"
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format version or entry kind.
        found: u64,
        /// The highest one known here.
        known: u64,
    },
    /// The views tell of entries the journal does not have; only what is durable may be in them.
    #[error(
        "{folder}: the journal ends before what the views tell of; one of the two was replaced or damaged: restore both from the same backup"
    )]
    ViewsAhead {
        /// The journal's folder.
        folder: PathBuf,
    },
    /// A database refused.
    #[error("cannot open {file}: {what}")]
    Database {
        /// The file.
        file: PathBuf,
        /// Its answer.
        what: String,
    },
    /// A cluster cannot be used.
    #[error("cannot use the cluster: {what}")]
    Cluster {
        /// What was tried, and its answer.
        what: String,
    },
    /// The master key does not open what is stored.
    #[error("the master key is not the one this folder was written with: give the right key")]
    MasterKey,
    /// A record could not be read or written while opening.
    #[error("the store did not answer while it was opened: {0}")]
    Store(#[from] StoreError),
}

impl OpenError {
    /// An error of the operating system, with what was tried on which file.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
