//! Files carried from one folder to another with their digests: copied piece by piece, or linked where the file
//! system can. Knows nothing of what is in them.

use super::manifest::{FileLine, hex};
use super::{BackupError, Watch};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes moved at once.
const PIECE: usize = 1024 * 1024;
/// Synced this often: what piles up unsynced would be written in one go, and a server's own syncs wait behind it.
const SYNC: u64 = 8 * 1024 * 1024;

/// Where files are put.
pub(super) struct Target<'a> {
    pub(super) folder: &'a Path,
    pub(super) watch: Watch<'a>,
}

impl Target<'_> {
    /// Copies the first `bytes` of a file; all of it must be there.
    pub(super) fn copy(&self, from: &Path, name: &str, bytes: u64) -> Result<FileLine, BackupError> {
        let mut source = File::open(from).map_err(BackupError::io("open", from))?.take(bytes);
        let to = self.place(name)?;
        let mut target = create(&to)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; PIECE];
        let (mut done, mut synced) = (0, 0);
        loop {
            let read = source.read(&mut buffer).map_err(BackupError::io("read", from))?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            target.write_all(&buffer[..read]).map_err(BackupError::io("write", &to))?;
            done += read as u64;
            self.watch.moved(read as u64);
            if done - synced >= SYNC {
                target.sync_data().map_err(BackupError::io("sync", &to))?;
                synced = done;
            }
        }
        target.sync_all().map_err(BackupError::io("sync", &to))?;
        if done != bytes {
            let short =
                std::io::Error::new(ErrorKind::UnexpectedEof, format!("it has {done} bytes of {bytes}"));
            return Err(BackupError::io("read", from)(short));
        }
        Ok(FileLine { path: name.to_owned(), bytes, sha256: hex(&hasher.finalize()) })
    }

    /// Links a file that never changes, or copies it where that cannot be.
    pub(super) fn link(&self, from: &Path, name: &str, bytes: u64) -> Result<FileLine, BackupError> {
        let to = self.place(name)?;
        match std::fs::hard_link(from, &to) {
            Ok(()) => self.digest(name),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(BackupError::io("link", from)(error)),
            Err(_) => self.copy(from, name, bytes),
        }
    }

    /// The line of a file that is there already.
    pub(super) fn digest(&self, name: &str) -> Result<FileLine, BackupError> {
        let path = self.folder.join(name);
        let (bytes, sha256) = digest(&path, self.watch)?;
        Ok(FileLine { path: name.to_owned(), bytes, sha256 })
    }

    /// Where a file goes; its folder is made.
    pub(super) fn place(&self, name: &str) -> Result<PathBuf, BackupError> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(BackupError::io("create", folder))?;
        }
        Ok(path)
    }
}

/// Length and SHA-256 of a file.
pub(super) fn digest(path: &Path, watch: Watch<'_>) -> Result<(u64, String), BackupError> {
    let mut file = File::open(path).map_err(BackupError::io("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut done = 0;
    loop {
        let read = file.read(&mut buffer).map_err(BackupError::io("read", path))?;
        if read == 0 {
            return Ok((done, hex(&hasher.finalize())));
        }
        hasher.update(&buffer[..read]);
        done += read as u64;
        watch.moved(read as u64);
    }
}

/// A new file that only its owner can read: addresses and keys are in it.
pub(super) fn create(path: &Path) -> Result<File, BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(BackupError::io("create", path))
}

/// A new folder that only its owner can enter.
pub(super) fn create_folder(path: &Path) -> Result<(), BackupError> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(path).map_err(BackupError::io("create", path))
}

/// Every file below a folder, by path, without what begins with a dot; none when there is no folder.
pub(super) fn below(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let listing = match std::fs::read_dir(&folder) {
            Ok(listing) => listing,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(BackupError::io("list", &folder)(error)),
        };
        for entry in listing {
            let entry = entry.map_err(BackupError::io("list", &folder))?;
            let kind = entry.file_type().map_err(BackupError::io("look at", entry.path()))?;
            match entry.file_name().as_encoded_bytes().first() {
                Some(b'.') => {}
                _ if kind.is_dir() => open.push(entry.path()),
                _ if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Makes the lists of all folders from `folder` down durable.
pub(super) fn sync_folders(folder: &Path) -> Result<(), BackupError> {
    let listing = std::fs::read_dir(folder).map_err(BackupError::io("list", folder))?;
    for entry in listing {
        let entry = entry.map_err(BackupError::io("list", folder))?;
        if entry.file_type().map_err(BackupError::io("look at", entry.path()))?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync(folder)
}

/// Makes a file, or a folder's list of files, durable.
pub(super) fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(BackupError::io("sync", path))
}
