//! Disks for tests: one that syncs nothing and is fast, one that fails when told, one that can lose power, and
//! one that lies. Not the disk of a node.

use kabar_schema::journal::{Disk, EmbeddedJournal, JournalOptions, OnFailure, RealDisk};
use kabar_schema::memory::MemoryRecords;
use kabar_schema::seal::{Keyring, MasterKey};
use parking_lot::{Condvar, Mutex};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::entries::TENANT;

/// The smallest segment: it rotates often.
pub const SMALL: u64 = 72 * 1024;

/// A keyring that knows the tenant of the tests.
pub async fn keyring() -> Arc<Keyring> {
    let keyring = Keyring::new(MasterKey::random(), Arc::new(MemoryRecords::default()));
    keyring.ensure(TENANT).await.unwrap();
    Arc::new(keyring)
}

/// A journal with small segments that does not end the process.
pub fn options(folder: &Path, disk: Arc<dyn Disk>) -> JournalOptions {
    JournalOptions {
        sync_gap: Duration::ZERO,
        segment_bytes: SMALL,
        on_failure: OnFailure::Poison,
        disk,
        ..JournalOptions::new(folder)
    }
}

pub fn open(folder: &Path, disk: Arc<dyn Disk>, keyring: &Arc<Keyring>) -> EmbeddedJournal {
    EmbeddedJournal::open(options(folder, disk), Arc::clone(keyring), &[]).unwrap()
}

/// Syncs nothing: for tests that look at bytes, not at power.
#[derive(Debug, Default)]
pub struct Lazy;

impl Disk for Lazy {
    fn write(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        RealDisk.write(path, file, bytes, offset)
    }
    fn sync(&self, _: &Path, _: &File) -> io::Result<()> {
        Ok(())
    }
    fn cut(&self, _: &Path, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Plan {
    closed: bool,
    waiting: bool,
    fail: bool,
}

/// Its syncs wait while it is closed, and fail once it is broken.
#[derive(Debug, Default)]
pub struct Gate {
    plan: Mutex<Plan>,
    changed: Condvar,
}

impl Gate {
    pub fn close(&self) {
        self.plan.lock().closed = true;
    }
    pub fn open(&self) {
        self.plan.lock().closed = false;
        self.changed.notify_all();
    }
    pub fn break_down(&self) {
        self.plan.lock().fail = true;
    }
    /// Until a sync waits at the gate.
    pub fn wait_for_a_sync(&self) {
        let mut plan = self.plan.lock();
        while !plan.waiting {
            let late = self.changed.wait_for(&mut plan, Duration::from_secs(20)).timed_out();
            assert!(!late, "no sync came");
        }
    }
}

impl Disk for Gate {
    fn write(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        RealDisk.write(path, file, bytes, offset)
    }
    fn sync(&self, _: &Path, _: &File) -> io::Result<()> {
        let mut plan = self.plan.lock();
        plan.waiting = true;
        self.changed.notify_all();
        while plan.closed {
            let late = self.changed.wait_for(&mut plan, Duration::from_secs(20)).timed_out();
            assert!(!late, "nobody opened the gate");
        }
        plan.waiting = false;
        if plan.fail { Err(io::Error::other("the test broke the disk")) } else { Ok(()) }
    }
    fn cut(&self, _: &Path, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Clone, Default)]
struct Platter {
    synced: Vec<u8>,
    cached: Vec<(u64, Vec<u8>)>,
    listed: bool,
}

impl Platter {
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        if self.synced.len() < to {
            self.synced.resize(to, 0);
        }
        self.synced[from..to].copy_from_slice(bytes);
    }
}

/// Remembers what was synced and what only stood in its cache. With `lies` it calls everything synced at once.
#[derive(Debug, Default)]
pub struct Cache {
    platters: Mutex<BTreeMap<PathBuf, Platter>>,
    lies: AtomicBool,
}

const SECTOR: usize = 512;

impl Cache {
    pub fn new(lies: bool) -> Self {
        Self { lies: AtomicBool::new(lies), ..Self::default() }
    }

    /// From now on it does what it says.
    pub fn become_honest(&self) {
        self.lies.store(false, Ordering::SeqCst);
    }

    /// What a power loss now would leave: everything synced, and of the rest any sectors, in any combination.
    pub fn lose_power(&self, rng: &mut StdRng, into: &Path) {
        let platters = self.platters.lock().clone();
        for (path, mut platter) in platters {
            if !platter.listed && rng.random() {
                continue;
            }
            for (offset, bytes) in std::mem::take(&mut platter.cached) {
                for (place, sector) in bytes.chunks(SECTOR).enumerate() {
                    if rng.random() {
                        platter.put(offset + (place * SECTOR) as u64, sector);
                    }
                }
            }
            std::fs::write(into.join(path.file_name().unwrap()), &platter.synced).unwrap();
        }
    }
}

impl Disk for Cache {
    fn write(&self, path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut platters = self.platters.lock();
        platters.entry(path.to_owned()).or_default().cached.push((offset, bytes.to_vec()));
        RealDisk.write(path, file, bytes, offset)
    }
    fn sync(&self, path: &Path, _: &File) -> io::Result<()> {
        if !self.lies.load(Ordering::SeqCst) {
            let mut platters = self.platters.lock();
            let platter = platters.entry(path.to_owned()).or_default();
            for (offset, bytes) in std::mem::take(&mut platter.cached) {
                platter.put(offset, &bytes);
            }
        }
        Ok(())
    }
    fn cut(&self, path: &Path, file: &File, len: u64) -> io::Result<()> {
        let mut platters = self.platters.lock();
        let platter = platters.entry(path.to_owned()).or_default();
        platter.synced.truncate(len as usize);
        platter.cached.clear();
        file.set_len(len)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut platters = self.platters.lock();
        platters
            .iter_mut()
            .filter(|(path, _)| path.parent() == Some(folder))
            .for_each(|(_, p)| p.listed = true);
        Ok(())
    }
}
