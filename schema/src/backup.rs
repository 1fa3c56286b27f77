//! Backup of an embedded folder while its server runs, without asking it, and the way back.
//!
//! The order is the whole secret. What refers is copied before what it refers to: the views first (they are never
//! ahead of the journal), then the journal's end is noted, then the records (they hold whatever an entry up to that
//! end names), then the journal up to the noted end and no further. Full segments never change, so they are taken
//! before everything else: what the server retires meanwhile is then in hand already.
//!
//! Not the move of a store to another backend, and not a replica: what is accepted after the noted end is not in it.

mod files;
mod manifest;
mod partial;
mod restore;

pub use manifest::{FORMAT, FileLine, MANIFEST, Manifest, ShardLine};
pub use restore::{Unpacked, verify};

use crate::error::OpenError;
use crate::journal::archive::{self, Archive};
use crate::sqlite::Kind;
use crate::sqlite::copy::{self, ViewsTold};
use files::{Target, below, sync};
use kabar_engine::time::Timestamp;
use partial::Partial;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// So often a backup begins anew because a file went away under it.
const TRIES: u32 = 3;
/// The folder of blobs, where there is one.
const MEDIA: &str = "media";
const JOURNAL: &str = "journal";

/// Who looks on while bytes move.
#[derive(Clone, Copy)]
pub struct Watch<'a>(pub &'a dyn Fn(Step));

/// What a [`Watch`] hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many bytes are ahead, as far as can be said; told again when it begins anew.
    Ahead(u64),
    /// So many more were moved.
    Moved(u64),
    /// A file went away under it: it begins anew.
    Again,
}

impl Watch<'_> {
    fn moved(self, bytes: u64) {
        (self.0)(Step::Moved(bytes));
    }
}

/// Why there is no backup, or nothing restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store's files cannot be read, or the restored ones cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Something is there already.
    #[error("{folder} is not empty: name a folder that is empty or not there yet")]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// Another run works on the same place.
    #[error("{folder} is being written by another run: wait for it, or name another folder")]
    Busy {
        /// The unfinished folder.
        folder: PathBuf,
    },
    /// No store is there.
    #[error("{folder} holds no Kabar store: name the folder that `store.folder` names")]
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// No backup is there.
    #[error("{folder} is no finished backup: it has no backup.json")]
    NoBackup {
        /// The folder.
        folder: PathBuf,
    },
    /// A later version wrote it.
    #[error("{file} has format {found}, this version knows up to {known}: use that version")]
    Newer {
        /// The manifest.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest one known here.
        known: u32,
    },
    /// The backup is not what was written.
    #[error("{file} of the backup is damaged: {what}; take another backup")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Files went away again and again.
    #[error(
        "files of {folder} went away {TRIES} times while they were copied: try again, or copy to a faster disk"
    )]
    Vanishing {
        /// The folder.
        folder: PathBuf,
    },
}

impl BackupError {
    fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let refused = OpenError::io(doing, path);
        move |error| Self::Store(refused(error))
    }

    /// Retention took a file, or a restarting server cut a torn tail.
    fn is_passing(&self) -> bool {
        let Self::Store(OpenError::Io { source, .. }) = self else { return false };
        matches!(source.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof)
    }
}

fn damaged(file: &Path, what: String) -> BackupError {
    BackupError::Damaged { file: file.to_owned(), what }
}

/// What is to be backed up.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The store's folder; a server may run on it.
    pub folder: PathBuf,
    /// Where the backup goes: not there yet, or empty.
    pub to: PathBuf,
    /// Key files that go with it, by their names there; none by default.
    pub keys: Vec<(String, PathBuf)>,
    /// The version of Kabar that runs.
    pub version: String,
    /// Now.
    pub began: Timestamp,
}

impl Plan {
    /// Takes the backup. Blocks on files; the server goes on meanwhile. There is a backup at `to` only when it answers
    /// Ok.
    ///
    /// # Errors
    /// [`BackupError`]; nothing is left behind.
    pub fn run(&self, watch: Watch<'_>) -> Result<Manifest, BackupError> {
        for kind in [Kind::Views, Kind::Records] {
            if !self.folder.join(kind.file()).is_file() {
                return Err(BackupError::NoStore { folder: self.folder.clone() });
            }
        }
        let partial = Partial::begin(&self.to)?;
        for _ in 0..TRIES {
            match self.try_once(&partial.path, watch) {
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "a file went away under the backup; it begins anew");
                    (watch.0)(Step::Again);
                    partial.clear()?;
                }
                Err(error) => return Err(error),
                Ok(manifest) => {
                    partial.finish()?;
                    return Ok(manifest);
                }
            }
        }
        Err(BackupError::Vanishing { folder: self.folder.clone() })
    }

    fn try_once(&self, into: &Path, watch: Watch<'_>) -> Result<Manifest, BackupError> {
        let target = Target { folder: into, watch };
        let journal = self.folder.join(JOURNAL);
        (watch.0)(Step::Ahead(self.bytes()?));
        let mut files = BTreeMap::new();
        let first = archive::look(&journal)?;
        take_settled(&target, &first, &mut files)?;
        let views = self.database(Kind::Views, &target, &mut files)?;
        let seen = archive::look(&journal)?;
        stays(&first, &seen)?;
        self.database(Kind::Records, &target, &mut files)?;
        take_rest(&target, &seen, &mut files)?;
        self.take_media(&target, &mut files)?;
        for (name, file) in &self.keys {
            let bytes = std::fs::metadata(file).map_err(BackupError::io("look at", file))?.len();
            files.insert(name.clone(), target.copy(file, name, bytes)?);
        }
        let shards = shards(&views, &seen);
        if shards.iter().any(|shard| shard.views > shard.journal) {
            return Err(OpenError::ViewsAhead { folder: journal }.into());
        }
        let manifest = Manifest {
            format: FORMAT,
            kabar: self.version.clone(),
            began: self.began.to_rfc3339(),
            with_key: !self.keys.is_empty(),
            messages: views.messages,
            open: views.open,
            behind: shards.iter().map(|shard| shard.journal - shard.views).sum(),
            shards,
            files: files.into_values().collect(),
            digest: String::new(),
        }
        .sealed();
        let path = into.join(MANIFEST);
        let mut file = files::create(&path)?;
        let written = file.write_all(manifest.to_text().as_bytes()).and_then(|()| file.sync_all());
        written.map_err(BackupError::io("write", &path))?;
        Ok(manifest)
    }

    /// About how much will be moved: databases count twice, they are copied and read again.
    fn bytes(&self) -> Result<u64, BackupError> {
        let mut all = 0;
        for folder in [JOURNAL, MEDIA] {
            for file in below(&self.folder.join(folder))? {
                all += std::fs::metadata(file).map_or(0, |found| found.len());
            }
        }
        for kind in [Kind::Views, Kind::Records] {
            all += 2 * std::fs::metadata(self.folder.join(kind.file())).map_or(0, |found| found.len());
        }
        Ok(all)
    }

    fn database(
        &self,
        kind: Kind,
        target: &Target<'_>,
        files: &mut BTreeMap<String, FileLine>,
    ) -> Result<ViewsTold, BackupError> {
        let to = target.place(kind.file())?;
        drop(files::create(&to)?);
        let told = copy::copy((&self.folder, kind), &to, &mut |bytes| {
            target.watch.moved(bytes);
            // As with other files: little by little, or a server's syncs wait behind all of it.
            sync(&to).map_err(|error| match error {
                BackupError::Store(error) => error,
                other => OpenError::io("sync", &to)(std::io::Error::other(other.to_string())),
            })
        })?;
        sync(&to)?;
        files.insert(kind.file().to_owned(), target.digest(kind.file())?);
        Ok(told)
    }

    /// Blobs never change; one that goes away was erased, and its backup shall not have it.
    fn take_media(
        &self,
        target: &Target<'_>,
        files: &mut BTreeMap<String, FileLine>,
    ) -> Result<(), BackupError> {
        for path in below(&self.folder.join(MEDIA))? {
            let within = path.strip_prefix(&self.folder).ok().and_then(Path::to_str);
            let Some(name) = within else {
                return Err(damaged(&path, "its name is not readable".to_owned()));
            };
            let taken = std::fs::metadata(&path)
                .map_err(BackupError::io("look at", &path))
                .and_then(|found| target.link(&path, name, found.len()));
            match taken {
                Ok(line) => _ = files.insert(name.to_owned(), line),
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A segment's name within a backup.
fn named(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str());
    format!("{JOURNAL}/{}", name.expect("invariant: segments are found by their names"))
}

fn take_settled(
    target: &Target<'_>,
    seen: &Archive,
    files: &mut BTreeMap<String, FileLine>,
) -> Result<(), BackupError> {
    for piece in seen.pieces.iter().filter(|piece| piece.settled) {
        let name = named(&piece.path);
        if !files.contains_key(&name) {
            files.insert(name.clone(), target.link(&piece.path, &name, piece.bytes)?);
        }
    }
    Ok(())
}

/// What was not full yet is still there: otherwise it was filled and retired meanwhile, and what is copied of the views
/// does not reach to where the copied journal begins.
fn stays(first: &Archive, seen: &Archive) -> Result<(), BackupError> {
    let mut open = first.pieces.iter().filter(|piece| !piece.settled);
    match open.find(|open| seen.pieces.iter().all(|piece| piece.path != open.path)) {
        Some(gone) => Err(BackupError::io("look at", &gone.path)(ErrorKind::NotFound.into())),
        None => Ok(()),
    }
}

/// What has become full since, and the last segments up to the noted end.
fn take_rest(
    target: &Target<'_>,
    seen: &Archive,
    files: &mut BTreeMap<String, FileLine>,
) -> Result<(), BackupError> {
    take_settled(target, seen, files)?;
    for piece in seen.pieces.iter().filter(|piece| !piece.settled) {
        let name = named(&piece.path);
        files.insert(name.clone(), target.copy(&piece.path, &name, piece.bytes)?);
    }
    Ok(())
}

fn shards(views: &ViewsTold, seen: &Archive) -> Vec<ShardLine> {
    let views: BTreeMap<_, _> = views.positions.iter().copied().collect();
    let tips: BTreeMap<_, _> = seen.tips.iter().copied().collect();
    let known: BTreeSet<_> = views.keys().chain(tips.keys()).copied().collect();
    known
        .into_iter()
        .map(|shard| ShardLine {
            shard: shard.0,
            views: views.get(&shard).map_or(0, |at| at.0),
            journal: tips.get(&shard).map_or(0, |at| at.0),
        })
        .collect()
}
