//! A folder that is not there before it is whole: it grows under another name beside its place and is renamed at the
//! end. What an interrupted run left is found by its lock file and cleared by the next one.

use super::BackupError;
use super::files::{create_folder, sync, sync_folders};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Held while the folder grows; its presence says that the folder is ours to clear.
const LOCK: &str = ".unfinished";

/// A folder on its way.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) path: PathBuf,
    place: PathBuf,
    _lock: File,
    is_whole: bool,
}

impl Partial {
    /// Begins the folder that shall stand at `place`, where nothing or an empty folder may be.
    pub(super) fn begin(place: &Path) -> Result<Self, BackupError> {
        vacant(place)?;
        let place = std::path::absolute(place).map_err(BackupError::io("find", place))?;
        let Some(name) = place.file_name() else {
            return Err(BackupError::Occupied { folder: place });
        };
        let mut beside = name.to_owned();
        beside.push(".partial");
        let path = place.with_file_name(beside);
        let lock_path = path.join(LOCK);
        if path.exists() {
            if !lock_path.exists() && !is_empty(&path)? {
                return Err(BackupError::Occupied { folder: path });
            }
            let lock = lock(&lock_path, &path)?;
            std::fs::remove_dir_all(&path).map_err(BackupError::io("clear", &path))?;
            drop(lock);
        }
        create_folder(&path)?;
        let lock = lock(&lock_path, &path)?;
        Ok(Self { path, place, _lock: lock, is_whole: false })
    }

    /// Makes everything durable and gives the folder its name.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        let lock = self.path.join(LOCK);
        std::fs::remove_file(&lock).map_err(BackupError::io("remove", &lock))?;
        sync_folders(&self.path)?;
        vacant(&self.place)?;
        // An empty folder there is replaced; anything else refuses.
        std::fs::rename(&self.path, &self.place).map_err(BackupError::io("rename to", &self.place))?;
        self.is_whole = true;
        sync(self.place.parent().unwrap_or(Path::new("/")))
    }

    /// Empties the folder, to begin once more.
    pub(super) fn clear(&self) -> Result<(), BackupError> {
        let listing = std::fs::read_dir(&self.path).map_err(BackupError::io("list", &self.path))?;
        for entry in listing {
            let entry = entry.map_err(BackupError::io("list", &self.path))?;
            let path = entry.path();
            if entry.file_name() == LOCK {
                continue;
            }
            let gone =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            gone.map_err(BackupError::io("remove", &path))?;
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_whole
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished folder is left behind");
        }
    }
}

fn lock(path: &Path, folder: &Path) -> Result<File, BackupError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(path);
    let file = file.map_err(BackupError::io("create", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(BackupError::io("lock", path)(error)),
    }
}

fn is_empty(folder: &Path) -> Result<bool, BackupError> {
    let mut listing = std::fs::read_dir(folder).map_err(BackupError::io("list", folder))?;
    Ok(listing.next().is_none())
}

/// Nothing is there, or an empty folder.
fn vacant(place: &Path) -> Result<(), BackupError> {
    let is_taken = match std::fs::symlink_metadata(place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(BackupError::io("look at", place)(error)),
        Ok(found) => !found.is_dir() || !is_empty(place)?,
    };
    if is_taken { Err(BackupError::Occupied { folder: place.to_owned() }) } else { Ok(()) }
}
