//! A disk that writes down what it was asked, for the proof of a power loss: whoever reads its notes knows which writes
//! no sync has seen, and can take them away from the files a killed process left. It works on the real disk and loses
//! nothing by itself, but syncs as slowly as an ordinary disk does: on one that syncs at once a kill never finds a write
//! that was not synced, and the proof would prove nothing. No node uses it outside that proof.

use super::disk::{Disk, RealDisk};
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// What a sync takes longer than the machine's disk needs for it.
const SYNC: Duration = Duration::from_millis(10);

/// The disk and its notes, one line each: `write NAME OFFSET LENGTH` before a write, `sync NAME` after a sync,
/// `cut NAME LENGTH` after a cut, `list` after the folder was synced.
#[derive(Debug)]
pub struct NotingDisk {
    notes: Mutex<File>,
}

impl NotingDisk {
    /// Notes go to the end of this file, which is made when it is missing.
    ///
    /// # Errors
    /// As the operating system answers.
    pub fn new(notes: &Path) -> io::Result<Self> {
        let notes = OpenOptions::new().create(true).append(true).open(notes)?;
        Ok(Self { notes: Mutex::new(notes) })
    }

    /// One write a line: a kill leaves a line whole or not at all.
    fn note(&self, line: &str) -> io::Result<()> {
        self.notes.lock().write_all(line.as_bytes())
    }
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

impl Disk for NotingDisk {
    fn write(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.note(&format!("write {} {offset} {}\n", name(path), bytes.len()))?;
        RealDisk.write(path, file, bytes, offset)
    }

    fn sync(&self, path: &Path, file: &File) -> io::Result<()> {
        std::thread::sleep(SYNC);
        RealDisk.sync(path, file)?;
        self.note(&format!("sync {}\n", name(path)))
    }

    fn cut(&self, path: &Path, file: &File, len: u64) -> io::Result<()> {
        RealDisk.cut(path, file, len)?;
        self.note(&format!("cut {} {len}\n", name(path)))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync_folder(folder)?;
        self.note("list\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_noted_before_it_and_a_sync_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let (notes, path) = (folder.path().join("notes"), folder.path().join("1.segment"));
        let disk = NotingDisk::new(&notes).unwrap();
        let file = File::create_new(&path).unwrap();
        disk.write(&path, &file, b"abc", 5).unwrap();
        disk.sync(&path, &file).unwrap();
        disk.cut(&path, &file, 6).unwrap();
        disk.sync_folder(folder.path()).unwrap();
        let read_only = File::open(&path).unwrap();
        assert!(disk.write(&path, &read_only, b"d", 6).is_err());
        let told = std::fs::read_to_string(&notes).unwrap();
        let lines =
            ["write 1.segment 5 3", "sync 1.segment", "cut 1.segment 6", "list", "write 1.segment 6 1"];
        assert_eq!(told.lines().collect::<Vec<_>>(), lines);
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0\0\0\0a");
    }
}
