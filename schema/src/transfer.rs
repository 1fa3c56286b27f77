//! Moving everything an embedded folder remembers into another store: copied kind by kind, begun again where it was
//! broken off, and believed only after everything was read back and compared. Not a backup, and not the other way
//! round: nothing is moved into a folder.

mod blobs;
mod copy;
mod ground;
mod stream;
mod sum;
mod verify;

pub use sum::Sum;

use crate::error::{OpenError, StoreError};
use crate::sqlite::Export;
use crate::store::{EmbeddedOptions, Store};
use futures::StreamExt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What the mover is doing. The order is the order of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Old messages of the source learn their numbers within their conversations.
    Numbers,
    /// Plain nouns, the tenants' keys first.
    Records,
    /// Address books and lists.
    Contacts,
    /// Frozen audiences.
    Ledger,
    /// Large values.
    Blobs,
    /// The log of what happened.
    Journal,
    /// What it came to.
    Views,
    /// How far the views are, shard by shard.
    Marks,
    /// Everything is read again on both sides.
    Verify,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 9] = [
        Self::Numbers,
        Self::Records,
        Self::Contacts,
        Self::Ledger,
        Self::Blobs,
        Self::Journal,
        Self::Views,
        Self::Marks,
        Self::Verify,
    ];

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Records => "records",
            Self::Contacts => "contacts",
            Self::Ledger => "ledger",
            Self::Blobs => "blobs",
            Self::Journal => "journal",
            Self::Views => "views",
            Self::Marks => "marks",
            Self::Verify => "verify",
        }
    }
}

/// How far a phase is, in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// Rows done.
    pub done: u64,
    /// Rows in all; 0 when that is not known before.
    pub total: u64,
}

/// Hears of progress; `Break` ends the move at once, to be taken up again later.
pub type Listener<'a> = &'a (dyn Fn(Progress) -> ControlFlow<()> + Send + Sync);

/// Which of the two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The folder.
    Source,
    /// The store it is moved to.
    Target,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Source { "source" } else { "target" })
    }
}

/// Why a move ended early. What was moved stays; the same move may be begun again, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The listener said so.
    #[error("stopped while moving {}; run it again and it goes on", .0.name())]
    Stopped(Phase),
    /// Something is there that no move wrote.
    #[error("the target is not empty: it holds {what}; name an empty keyspace")]
    NotEmpty {
        /// What was found.
        what: &'static str,
    },
    /// The target holds a move of something else.
    #[error(
        "the target holds the move of another folder, or a server ran on this one since that move began: name an \
         empty keyspace"
    )]
    Another,
    /// The target's tenants' keys do not open.
    #[error(transparent)]
    Keys(#[from] OpenError),
    /// A store did not do what it was asked.
    #[error("moving {}: the {side} answers: {error}", phase.name())]
    Store {
        /// While doing what.
        phase: Phase,
        /// Which store.
        side: Side,
        /// Its answer.
        error: StoreError,
    },
    /// The two sides are not the same.
    #[error(
        "{kind} differ: the source has {} rows, the target {}; the source is untouched, begin again in an empty keyspace",
        source_sum.rows, target_sum.rows
    )]
    Differs {
        /// What differs.
        kind: String,
        /// What the source holds.
        source_sum: Sum,
        /// What the target holds.
        target_sum: Sum,
    },
}

/// What one kind of rows came to on both sides, which is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub kind: String,
    /// How many, and their digest.
    pub sum: Sum,
}

/// A finished move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Every kind.
    pub lines: Vec<Line>,
    /// It had been finished before; nothing was done.
    pub again: bool,
}

/// A folder that is read for a move, locked meanwhile.
#[derive(Debug)]
pub struct EmbeddedSource {
    store: Store,
    export: Export,
    media: PathBuf,
}

impl EmbeddedSource {
    /// Opens a folder that is there; nobody else may use it until it is closed.
    ///
    /// # Errors
    /// [`OpenError`]: there is no store in the folder, it is in use, or as [`Store::embedded`].
    pub async fn open(options: EmbeddedOptions) -> Result<Self, OpenError> {
        let file = options.folder.join(crate::sqlite::Kind::Records.file());
        if !file.is_file() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(OpenError::io("open", file)(missing));
        }
        let media = options.folder.join("media");
        let store = Store::embedded(options).await?;
        let export = store.export().expect("invariant: an embedded store has tables");
        Ok(Self { store, export, media })
    }

    /// The folder as a store, to be read.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Closes the folder.
    pub async fn close(self) {
        self.store.close().await;
    }
}

/// Both sides and who hears of it.
struct Mover<'a> {
    source: &'a Store,
    export: &'a Export,
    media: &'a Path,
    target: &'a Store,
    progress: Listener<'a>,
}

impl Mover<'_> {
    fn tell(&self, phase: Phase, done: u64, total: u64) -> Result<(), TransferError> {
        match (self.progress)(Progress { phase, done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TransferError::Stopped(phase)),
        }
    }

    async fn copy(&self, phase: Phase) -> Result<(), TransferError> {
        self.tell(phase, 0, 0)?;
        match phase {
            Phase::Numbers => copy::numbers(self).await,
            Phase::Records => copy::records(self).await,
            Phase::Contacts => copy::contacts(self).await,
            Phase::Ledger => copy::ledger(self).await,
            Phase::Blobs => blobs::copy(self).await,
            Phase::Journal => stream::journal(self).await,
            Phase::Views => copy::views(self).await,
            Phase::Marks => copy::marks(self).await,
            Phase::Verify => Ok(()),
        }
    }
}

/// An answer of one side while doing something.
trait On<T> {
    fn on(self, side: Side, phase: Phase) -> Result<T, TransferError>;
}

impl<T> On<T> for Result<T, StoreError> {
    fn on(self, side: Side, phase: Phase) -> Result<T, TransferError> {
        self.map_err(|error| TransferError::Store { phase, side, error })
    }
}

/// Does many things, a few at a time; the first error is the answer.
async fn all<T>(at_once: usize, work: Vec<crate::Answer<'_, T>>) -> Result<Vec<T>, StoreError> {
    let mut stream = futures::stream::iter(work).buffered(at_once);
    let mut list = Vec::new();
    while let Some(done) = stream.next().await {
        list.push(done?);
    }
    Ok(list)
}

/// Moves everything of `source` into `target`, which is empty, or holds a part of the same move. The source is not
/// changed, but for the numbers of old messages. No node may run on the target meanwhile.
///
/// # Errors
/// [`TransferError`]; what was moved stays, and the same call goes on behind the last finished step.
pub async fn transfer(
    source: &EmbeddedSource,
    target: &Store,
    progress: Listener<'_>,
) -> Result<Report, TransferError> {
    let mover =
        Mover { source: &source.store, export: &source.export, media: &source.media, target, progress };
    let mut ground = ground::Ground::find(&mover).await?;
    if let Some(lines) = ground.finished()? {
        return Ok(Report { lines, again: true });
    }
    target.keyring.load().await?;
    for (step, phase) in Phase::ALL.into_iter().enumerate() {
        if step < ground.steps() {
            continue;
        }
        mover.copy(phase).await?;
        if phase != Phase::Verify {
            ground.reached(&mover, step + 1).await?;
        }
    }
    let lines = verify::verify(&mover).await?;
    ground.finish(&mover, &lines).await?;
    Ok(Report { lines, again: false })
}
