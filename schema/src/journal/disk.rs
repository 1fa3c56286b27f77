//! The three things the writer asks of a disk. Behind a seam, so that tests can lose what was not synced, fail a
//! sync, or lie; production has the one real disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A disk as the journal's writer uses it.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Writes all bytes at an offset of the file; they need not be durable.
    ///
    /// # Errors
    /// As the operating system answers; the journal is dead then.
    fn write(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file's content durable, and its length as far as it is needed to read the content.
    ///
    /// # Errors
    /// As the operating system answers; never asked a second time.
    fn sync(&self, path: &Path, file: &File) -> io::Result<()>;

    /// Cuts the file's end off, durably.
    ///
    /// # Errors
    /// As the operating system answers.
    fn cut(&self, path: &Path, file: &File, len: u64) -> io::Result<()>;

    /// Makes the folder's list of files durable.
    ///
    /// # Errors
    /// As the operating system answers.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The disk of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn write(&self, _: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, _: &Path, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn cut(&self, _: &Path, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)?;
        file.sync_all()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}
