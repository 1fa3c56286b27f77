//! Power loss: the node is killed, and what no sync has seen is taken away from its files, sector by sector, in any
//! combination. The journal's disk notes its writes and syncs (`test.disk_notes`), so that it is known what that is: for
//! the segments exactly, for the views (whose log is synced only when it is full) everything behind any place of their
//! log. `records.db` syncs every commit inside SQLite; it is left alone.

use super::super::child::Child;
use super::super::kill::pass;
use super::super::load::Pace;
use super::super::options::{Options, Plant};
use super::super::place::Place;
use super::super::stage::Stage;
use super::super::verdict::Verdict;
use super::Seen;
use anyhow::{Context, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;
/// The views' log is not synced before it has so many bytes (8,000 pages with their heads).
const LOG_SYNCED: u64 = 8_000 * (8_192 + 24);
/// The power goes so often at least, and so often with something unsynced in the journal.
const LOSSES: u32 = 5;
const UNSYNCED: u32 = 2;
/// And never more often.
const MOST: u32 = 20;
/// Messages that leave between two losses at least, and how long (ms) after them the power goes.
const BETWEEN: u64 = 300;
const LATER_MS: std::ops::Range<u64> = 20..600;

/// What was taken away.
#[derive(Debug, Default)]
struct Lost {
    /// Writes of the journal that no sync had seen.
    writes: u64,
    /// Sectors of them that are gone.
    sectors: u64,
    /// Bytes of the views' log behind the place where it broke.
    log: u64,
}

pub(super) async fn play(options: &Options, verdict: &mut Verdict, seen: &mut Seen) -> Result<()> {
    let notes = tempfile::tempdir()?;
    let notes = notes.path().join("disk.notes");
    let prepare = |_: &Path, child: &mut Child| {
        child.set("KABAR__TEST__DISK_NOTES", notes.display());
        Ok(())
    };
    let mut stage = Stage::begin(options, Pace::FULL, prepare).await?;
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let lies = options.plant == Some(Plant::LyingDisk);
    let (mut nth, mut torn) = (0, 0);
    while nth < MOST && (nth < LOSSES || torn < UNSYNCED) {
        nth += 1;
        stage.works(BETWEEN).await?;
        pass(rng.random_range(LATER_MS)).await;
        let mut lost = Lost::default();
        let kill = stage.strike(|place| lose(place, (&notes, lies), &mut rng, &mut lost)).await?;
        torn += u32::from(lost.writes > 0);
        verdict.kills.push(kill);
        let ready = stage.start().await?;
        seen.note(format!(
            "power loss {nth}: {} writes of the journal were not synced, {} sectors of them are gone, and the last {} KiB \
             of the views' log; ready again in {ready} ms",
            lost.writes,
            lost.sectors,
            lost.log >> 10
        ));
    }
    verdict.promise(torn >= UNSYNCED, || format!("only {torn} of {nth} losses met the journal in a write"));
    stage.finish(verdict).await
}

/// Takes away what a power loss may take.
fn lose(place: &Place, (notes, lies): (&PathBuf, bool), rng: &mut ChaCha8Rng, lost: &mut Lost) -> Result<()> {
    let cache = Cache::read(&std::fs::read_to_string(notes).context("the disk's notes")?, lies);
    let journal = place.folder.join("journal");
    for (name, writes) in &cache.writes {
        let path = journal.join(name);
        if cache.unlisted.contains(name) && rng.random() {
            std::fs::remove_file(&path)?;
            continue;
        }
        let file = File::options().read(true).write(true).open(&path)?;
        for (offset, length) in writes {
            lost.writes += 1;
            lost.sectors += forget(&file, (*offset, *length), rng)?;
        }
    }
    lost.log = lose_log(&place.folder, rng)?;
    Ok(())
}

/// Of a write any sectors may be gone, and the file's new length as well.
fn forget(file: &File, (offset, length): (u64, u64), rng: &mut ChaCha8Rng) -> Result<u64> {
    let end = (offset + length).min(file.metadata()?.len());
    let mut gone = 0;
    let mut at = offset;
    while at < end {
        let next = (at / SECTOR + 1) * SECTOR;
        let bytes = usize::try_from(next.min(end) - at)?;
        if rng.random() {
            file.write_all_at(&vec![0; bytes], at)?;
            gone += 1;
        }
        at = next;
    }
    if end == file.metadata()?.len() && end > offset && rng.random() {
        file.set_len(offset)?;
    }
    Ok(gone)
}

/// Of the views' log everything behind a place may be gone or not; its first sector was synced when it was begun.
fn lose_log(folder: &Path, rng: &mut ChaCha8Rng) -> Result<u64> {
    let path = folder.join("views.db-wal");
    let Ok(file) = File::options().read(true).write(true).open(path) else { return Ok(0) };
    let length = file.metadata()?.len();
    // Once it was that long it has been synced, and nobody here knows up to where.
    if length <= SECTOR || length >= LOG_SYNCED {
        return Ok(0);
    }
    let from = rng.random_range(SECTOR..length) / SECTOR * SECTOR;
    forget(&file, (from.max(SECTOR), length), rng)?;
    Ok(length - from)
}

/// What stood only in the disk's cache, by its own notes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cache {
    /// Writes of each file that no sync has seen: offset and length.
    writes: BTreeMap<String, Vec<(u64, u64)>>,
    /// Files whose folder was not synced since they were made.
    unlisted: BTreeSet<String>,
}

impl Cache {
    /// A disk that lies had not written what its last sync called written.
    fn read(notes: &str, lies: bool) -> Self {
        let mut cache = Self::default();
        let mut claimed: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        let whole = notes.rfind('\n').map_or("", |end| &notes[..end]);
        for line in whole.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["write", name, offset, length] => {
                    let (Ok(offset), Ok(length)) = (offset.parse(), length.parse()) else { continue };
                    if offset == 0 {
                        cache.unlisted.insert(name.to_owned());
                    }
                    cache.writes.entry(name.to_owned()).or_default().push((offset, length));
                }
                ["sync", name] => {
                    let synced = cache.writes.remove(name).unwrap_or_default();
                    if lies {
                        claimed.insert(name.to_owned(), synced);
                    }
                }
                ["cut", name, _] => {
                    cache.writes.remove(name);
                    claimed.remove(name);
                }
                ["list"] => cache.unlisted.clear(),
                _ => {}
            }
        }
        for (name, writes) in claimed.into_iter().filter(|(_, writes)| !writes.is_empty()) {
            let rest = cache.writes.remove(&name).unwrap_or_default();
            cache.writes.insert(name, [writes, rest].concat());
        }
        cache
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: &str =
        "write a 0 8\nsync a\nlist\nwrite a 8 4\nsync a\nwrite a 12 4\nwrite b 0 8\nwrite a 16";

    #[test]
    fn what_no_sync_has_seen_is_in_the_cache_and_nothing_else() {
        let cache = Cache::read(NOTES, false);
        let writes = [("a".to_owned(), vec![(12, 4)]), ("b".to_owned(), vec![(0, 8)])];
        assert_eq!(cache.writes, BTreeMap::from(writes));
        assert_eq!(cache.unlisted, BTreeSet::from(["b".to_owned()]));
        assert_eq!(Cache::read("write a 0 8\nsync a\ncut a 0\nlist\n", false), Cache::default());
    }

    #[test]
    fn a_disk_that_lies_had_not_written_what_it_synced_last() {
        assert_eq!(Cache::read(NOTES, true).writes["a"], [(8, 4), (12, 4)]);
    }

    #[test]
    fn a_forgotten_write_loses_sectors_of_itself_alone() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 4_000], 0).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let gone = forget(&file, (1_000, 1_500), &mut rng).unwrap();
        let mut bytes = vec![0; 4_000];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(gone > 0 && gone < 4, "{gone}");
        assert!(bytes[..1_000].iter().chain(&bytes[2_500..]).all(|byte| *byte == 1));
        assert!(bytes[1_000..2_500].contains(&0) && bytes[1_000..2_500].contains(&1));
    }
}
