//! What only segment files promise: rotation, refusal of what does not fit together, one process at a time, one
//! sync for many, the end after a failed sync, and nothing acknowledged lost when the power goes.

use crate::disks::{Cache, Gate, Lazy, SMALL, keyring, open, options};
use crate::entries::{BEGIN, TENANT, check, entries, entry, fence, grow, large, read_all, read_on};
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_schema::codec::{self, NEWEST_KIND};
use kabar_schema::error::{OpenError, StoreError};
use kabar_schema::journal::{Cursor, EmbeddedJournal, Journal, JournalOptions, ShardSet, seek};
use kabar_schema::seal::Keyring;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "segment"));
    files.sort();
    files
}

fn reopen(folder: &Path, keyring: &Arc<Keyring>) -> Result<EmbeddedJournal, OpenError> {
    EmbeddedJournal::open(options(folder, Arc::new(Lazy)), Arc::clone(keyring), &[])
}

/// A folder of at least four segments; tells the tip of shard 1.
async fn several(folder: &Path, keyring: &Arc<Keyring>) -> Position {
    let journal = open(folder, Arc::new(Lazy), keyring);
    journal.open(fence(1, 1)).await.unwrap();
    let mut tip = Position(0);
    while segments(folder).len() < 4 {
        tip = grow(&journal, fence(1, 1), tip, 100).await.unwrap();
    }
    grow(&journal, fence(1, 1), tip, 1).await.unwrap()
}

#[tokio::test]
async fn entries_are_read_across_segments_in_pages_and_after_reopening() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let tip = several(folder.path(), &keyring).await;
    let floors = [(ShardId(1), tip)];
    for floors in [&[][..], &floors] {
        // With floors the old segments are not read at the opening, so that reading has to look into them first.
        let options = options(folder.path(), Arc::new(Lazy));
        let journal = EmbeddedJournal::open(options, Arc::clone(&keyring), floors).unwrap();
        for max in [37, 1_000] {
            let page = read_on(&journal, &ShardSet::all(), Cursor::default(), max).await;
            assert_eq!(check(&page, &Cursor::default()).unwrap()[&ShardId(1)], tip);
        }
        let after: Cursor = [(ShardId(1), Position(tip.0 - 3))].into_iter().collect();
        let page = read_on(&journal, &ShardSet::all(), after.clone(), 2).await;
        assert_eq!(check(&page, &after).unwrap()[&ShardId(1)], tip);
    }
}

#[tokio::test]
async fn damage_in_an_earlier_segment_is_refused_unless_the_views_hold_it() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let tip = several(folder.path(), &keyring).await;
    let first = segments(folder.path()).remove(0);
    let whole = std::fs::read(&first).unwrap();
    let mut damaged = whole.clone();
    damaged[8 * 1024 + 100] ^= 1;
    std::fs::write(&first, &damaged).unwrap();
    match reopen(folder.path(), &keyring) {
        Err(OpenError::Damaged { file, offset: 8_192, .. }) => assert_eq!(file, first),
        other => panic!("{other:?}"),
    }
    // What the views hold is not needed for starting; who asks for it is told that it cannot be read.
    let floors = [(ShardId(1), tip)];
    let options = options(folder.path(), Arc::new(Lazy));
    let journal = EmbeddedJournal::open(options, Arc::clone(&keyring), &floors).unwrap();
    let read = journal.read(&ShardSet::all(), &Cursor::default(), 10).await;
    assert_eq!(read.unwrap_err(), StoreError::Unavailable);
    drop(journal);
    std::fs::write(&first, &whole[..whole.len() / 2]).unwrap();
    match reopen(folder.path(), &keyring) {
        Err(OpenError::Damaged { file, .. }) => assert_eq!(file, first, "a file cut short"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_hole_between_segments_is_refused() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    several(folder.path(), &keyring).await;
    let files = segments(folder.path());
    std::fs::remove_file(&files[1]).unwrap();
    match reopen(folder.path(), &keyring) {
        Err(OpenError::Damaged { file, what, .. }) => {
            assert_eq!(file, files[2]);
            assert!(what.contains("000000000002.segment"), "{what}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_segment_of_another_journal_is_refused() {
    let keyring = keyring().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    several(one.path(), &keyring).await;
    several(two.path(), &keyring).await;
    // Same name and same positions, but other salts: every frame is foreign, and the next head tells where it ends.
    let (mine, other) = (segments(one.path()), segments(two.path()));
    let head = std::fs::read(&mine[1]).unwrap()[..8 * 1024].to_vec();
    let frames = std::fs::read(&other[1]).unwrap()[8 * 1024..].to_vec();
    std::fs::write(&mine[1], [head, frames].concat()).unwrap();
    match reopen(one.path(), &keyring) {
        Err(OpenError::Damaged { file, offset: 8_192, .. }) => assert_eq!(file, mine[1]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_entry_kind_of_a_later_version_refuses_to_start() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let journal = open(folder.path(), Arc::new(Lazy), &keyring);
    journal.open(fence(1, 1)).await.unwrap();
    grow(&journal, fence(1, 1), Position(0), 1).await.unwrap();
    journal.close();
    let path = segments(folder.path()).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let salt = u32::from_le_bytes(bytes[28..32].try_into().unwrap());
    let at = 8 * 1024;
    let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    bytes[at + codec::frame::HEAD + 1] = NEWEST_KIND + 1;
    codec::frame::finish(&mut bytes[at..at + len], salt, at as u64);
    std::fs::write(&path, bytes).unwrap();
    match reopen(folder.path(), &keyring) {
        Err(OpenError::Newer { file, found, known }) => {
            assert_eq!((file, found, known), (path, u64::from(NEWEST_KIND) + 1, u64::from(NEWEST_KIND)));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_second_process_is_kept_out_until_the_first_lets_go() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let journal = open(folder.path(), Arc::new(Lazy), &keyring);
    assert!(matches!(reopen(folder.path(), &keyring), Err(OpenError::Locked { .. })));
    journal.close();
    reopen(folder.path(), &keyring).unwrap();
}

#[tokio::test]
async fn a_journal_behind_its_views_is_refused_and_an_empty_one_begins_where_they_stand() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let floors = [(ShardId(7), Position(9))];
    let open = |floors: &[(ShardId, Position)]| {
        EmbeddedJournal::open(options(folder.path(), Arc::new(Lazy)), Arc::clone(&keyring), floors)
    };
    let journal = open(&floors).unwrap();
    assert_eq!(journal.open(fence(7, 1)).await, Ok(Position(9)));
    grow(&journal, fence(7, 1), Position(9), 3).await.unwrap();
    journal.close();
    let journal = open(&[(ShardId(7), Position(12))]).unwrap();
    assert_eq!(journal.open(fence(7, 2)).await, Ok(Position(12)));
    journal.close();
    assert!(matches!(open(&[(ShardId(7), Position(13))]), Err(OpenError::ViewsAhead { .. })));
    assert!(matches!(open(&[(ShardId(8), Position(1))]), Err(OpenError::ViewsAhead { .. })));
}

#[tokio::test]
async fn an_erased_tenants_entries_are_passed_over_and_counted() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let other = kabar_engine::id::TenantId(5);
    keyring.ensure(other).await.unwrap();
    let journal = open(folder.path(), Arc::new(Lazy), &keyring);
    journal.open(fence(1, 1)).await.unwrap();
    grow(&journal, fence(1, 1), Position(0), 5).await.unwrap();
    let mut foreign = (*entry(ShardId(1), Position(5))).clone();
    foreign.tenant = other;
    journal.append(fence(1, 1), Position(6), vec![Arc::new(foreign)]).await.unwrap();
    keyring.erase(TENANT).await.unwrap();
    let page = read_all(&journal).await;
    assert_eq!(page.entries.iter().map(|(_, position, _)| position.0).collect::<Vec<_>>(), [6]);
    assert_eq!(page.cursor.at(ShardId(1)), Position(6));
    let refused = grow(&journal, fence(1, 1), Position(6), 1).await;
    assert_eq!(refused, Err(StoreError::Unavailable), "nothing more is written for it");
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn one_writer_alone_does_not_wait_for_the_gap() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let options = JournalOptions { sync_gap: HOUR, ..options(folder.path(), Arc::new(Lazy)) };
    let journal = EmbeddedJournal::open(options, keyring, &[]).unwrap();
    journal.open(fence(1, 1)).await.unwrap();
    let mut tip = Position(0);
    for _ in 0..50 {
        let grown = grow(&journal, fence(1, 1), tip, 1);
        tip = tokio::time::timeout(Duration::from_secs(20), grown).await.unwrap().unwrap();
    }
    assert_eq!(journal.stats().syncs, 50);
}

#[tokio::test]
async fn what_gathers_while_the_gap_lasts_shares_one_sync() {
    let (folder, keyring, gate) = (tempfile::tempdir().unwrap(), keyring().await, Arc::new(Gate::default()));
    let options = JournalOptions { sync_gap: HOUR, ..options(folder.path(), gate.clone()) };
    let journal = EmbeddedJournal::open(options, keyring, &[]).unwrap();
    for shard in 0..64 {
        journal.open(fence(shard, 1)).await.unwrap();
    }
    let append =
        |shard| journal.append(fence(shard, 1), Position(1), entries(ShardId(shard), Position(1), 3));
    gate.close();
    let alone = append(0);
    gate.wait_for_a_sync();
    let mut gathered: Vec<_> = (1..40).map(append).collect();
    gate.open();
    alone.await.unwrap();
    for _ in 0..20 {
        // Time passes; without the gap the first of them would be written by now.
        read_all(&journal).await;
    }
    gathered.extend((40..64).map(append));
    journal.close();
    for answer in gathered {
        answer.await.unwrap();
    }
    assert_eq!((journal.stats().syncs, journal.stats().frames), (2, 64));
}

#[tokio::test]
async fn a_failed_sync_is_the_end_and_is_not_tried_again() {
    let (folder, keyring, gate) = (tempfile::tempdir().unwrap(), keyring().await, Arc::new(Gate::default()));
    let journal = open(folder.path(), gate.clone(), &keyring);
    for shard in [1, 2] {
        journal.open(fence(shard, 1)).await.unwrap();
    }
    let tip = grow(&journal, fence(1, 1), Position(0), 3).await.unwrap();
    gate.close();
    gate.break_down();
    let written = grow(&journal, fence(1, 1), tip, 1);
    let behind = async {
        gate.wait_for_a_sync();
        let behind = grow(&journal, fence(2, 1), Position(0), 1);
        let (behind, ()) = futures::join!(behind, async { gate.open() });
        behind
    };
    let (written, behind) = futures::join!(written, behind);
    assert_eq!(written, Err(StoreError::Unknown), "it may be on the disk");
    assert_eq!(behind, Err(StoreError::Unavailable), "it never was");
    let syncs = journal.stats().syncs;
    assert_eq!(grow(&journal, fence(2, 1), Position(0), 1).await, Err(StoreError::Unavailable));
    assert_eq!(journal.open(fence(1, 2)).await, Err(StoreError::Unavailable));
    assert_eq!(journal.stats().syncs, syncs);
    let found = check(&read_all(&journal).await, &Cursor::default()).unwrap();
    assert_eq!(found[&ShardId(1)], tip, "what was acknowledged is still read");
}

#[tokio::test]
async fn a_moment_is_found_by_the_heads_of_segments_without_reading_those_before() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let tip = several(folder.path(), &keyring).await;
    let floors = [(ShardId(1), tip)];
    let options = options(folder.path(), Arc::new(Lazy));
    let journal = EmbeddedJournal::open(options, Arc::clone(&keyring), &floors).unwrap();
    // Nothing of the first segment is read: it is not there any more.
    std::fs::remove_file(&segments(folder.path())[0]).unwrap();
    for back in [0, 1, 5] {
        let at = BEGIN.plus_ms(i64::try_from(tip.0 - back).unwrap());
        let found = seek(&journal, ShardId(1), at, tip).await;
        assert_eq!(found, Ok(Position(tip.0 - back - 1)));
    }
    let shard = ShardSet::one(ShardId(1));
    let last: Cursor = [(ShardId(1), Position(tip.0 - 2))].into_iter().collect();
    // Full is full, and whether that was the end is known without reading on.
    let page = journal.read(&shard, &last, 1).await.unwrap();
    assert_eq!((page.entries.len(), page.end), (1, false));
    let page = journal.read(&shard, &page.cursor, 1).await.unwrap();
    assert_eq!((page.entries.len(), page.end), (1, true));
}

#[tokio::test]
async fn retiring_deletes_only_whole_old_segments() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let tip = several(folder.path(), &keyring).await;
    // Opened again: the times must come from the files, not from this process' memory.
    let journal = reopen(folder.path(), &keyring).unwrap();
    let files = segments(folder.path());
    let all = [(ShardId(1), tip)];
    assert_eq!(journal.retire(&all, BEGIN.plus_ms(1)).await, Ok(0));
    let begin_of_third = {
        let page = journal.read(&ShardSet::all(), &Cursor::default(), 1).await.unwrap();
        page.entries[0].2.at
    };
    assert_eq!(journal.retire(&all, begin_of_third).await, Ok(0));
    assert_eq!(journal.retire(&all, BEGIN.plus_ms(i64::from(u32::MAX))).await, Ok(files.len() as u64 - 1));
    assert_eq!(segments(folder.path()), files[files.len() - 1..], "the last one always stays");
    journal.open(fence(1, 2)).await.unwrap();
    // What the last segment held before this process must still count when it is sealed.
    let mut next = tip;
    while segments(folder.path()).len() < 2 {
        journal.append(fence(1, 2), next.plus(1), vec![large(30_000)]).await.unwrap();
        next = next.plus(1);
    }
    let young = BEGIN.plus_ms(i64::try_from(tip.0).unwrap());
    assert_eq!(journal.retire(&[(ShardId(1), next)], young).await, Ok(0), "it holds an entry of that time");
}

/// Writers on four shards; at random instants the power goes. Tells what was wrong afterwards.
async fn lose_power(seed: u64, lies: bool) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (folder, keyring, disk) = (tempfile::tempdir().unwrap(), keyring().await, Arc::new(Cache::new(lies)));
    let journal =
        EmbeddedJournal::open(options(folder.path(), disk.clone()), Arc::clone(&keyring), &[]).unwrap();
    for shard in 0..4 {
        journal.open(fence(shard, 1)).await.unwrap();
    }
    let mut given = BTreeMap::<u8, Position>::new();
    let mut acknowledged = BTreeMap::<u8, Position>::new();
    for _ in 0..rng.random_range(1..12) {
        // Several batches are under way at once; some of them are still waited for when the power goes.
        let mut answers = Vec::new();
        for _ in 0..rng.random_range(1..6) {
            let shard = rng.random_range(0..4);
            let tip = given.entry(shard).or_default();
            let count = rng.random_range(1..80);
            let batch = entries(ShardId(shard), tip.plus(1), count);
            answers.push((shard, tip.plus(count), journal.append(fence(shard, 1), tip.plus(1), batch)));
            *tip = tip.plus(count);
        }
        let waited = rng.random_range(0..=answers.len());
        for (shard, tip, answer) in answers.into_iter().take(waited) {
            answer.await.map_err(|error| error.to_string())?;
            acknowledged.insert(shard, tip);
        }
    }
    let after = tempfile::tempdir().unwrap();
    disk.lose_power(&mut rng, after.path());
    let journal = reopen(after.path(), &keyring).map_err(|error| error.to_string())?;
    let found = check(&read_all(&journal).await, &Cursor::default())?;
    for (shard, tip) in acknowledged {
        let kept = found.get(&ShardId(shard)).copied().unwrap_or_default();
        if kept < tip {
            return Err(format!("seed {seed}: shard {shard} had {}, has {}", tip.0, kept.0));
        }
    }
    let tip = journal.open(fence(0, 2)).await.map_err(|error| error.to_string())?;
    grow(&journal, fence(0, 2), tip, 2).await.map_err(|error| error.to_string())?;
    drop(journal);
    let journal = reopen(after.path(), &keyring).map_err(|error| error.to_string())?;
    check(&read_all(&journal).await, &Cursor::default()).map(|_| ())
}

#[tokio::test]
async fn a_power_loss_takes_nothing_that_was_acknowledged() {
    const { assert!(SMALL < 100 * 1024, "small segments, so that rotation is hit as well") };
    for seed in 0..150 {
        lose_power(seed, false).await.unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_acknowledges_before_it_syncs_is_found_out() {
    // The check above can fail: with syncs that do nothing, it does.
    let mut found_out = 0;
    for seed in 0..20 {
        found_out += u32::from(lose_power(seed, true).await.is_err());
    }
    assert!(found_out >= 15, "{found_out} of 20");
}

#[tokio::test]
async fn what_a_killed_process_left_unsynced_is_durable_before_it_is_read() {
    let (folder, keyring, disk) = (tempfile::tempdir().unwrap(), keyring().await, Arc::new(Cache::new(true)));
    let journal = open(folder.path(), disk.clone(), &keyring);
    journal.open(fence(1, 1)).await.unwrap();
    let tip = grow(&journal, fence(1, 1), Position(0), 20).await.unwrap();
    // As after a kill: the operating system has the bytes, the disk may not.
    drop(journal);
    disk.become_honest();
    let journal = open(folder.path(), disk.clone(), &keyring);
    assert_eq!(check(&read_all(&journal).await, &Cursor::default()).unwrap()[&ShardId(1)], tip);
    for seed in 0..8 {
        let after = tempfile::tempdir().unwrap();
        disk.lose_power(&mut StdRng::seed_from_u64(seed), after.path());
        let journal = reopen(after.path(), &keyring).unwrap();
        let found = check(&read_all(&journal).await, &Cursor::default()).unwrap();
        assert_eq!(found[&ShardId(1)], tip, "what was read and acted upon is gone");
    }
}

#[tokio::test]
async fn what_is_not_synced_is_not_read() {
    let (folder, keyring, gate) = (tempfile::tempdir().unwrap(), keyring().await, Arc::new(Gate::default()));
    let journal = open(folder.path(), gate.clone(), &keyring);
    journal.open(fence(1, 1)).await.unwrap();
    let tip = grow(&journal, fence(1, 1), Position(0), 3).await.unwrap();
    gate.close();
    let written = grow(&journal, fence(1, 1), tip, 2);
    let read = async {
        gate.wait_for_a_sync();
        let page = read_all(&journal).await;
        gate.open();
        page
    };
    let (written, page) = futures::join!(written, read);
    assert_eq!(page.cursor.at(ShardId(1)), tip);
    assert_eq!(read_all(&journal).await.cursor.at(ShardId(1)), written.unwrap());
}

#[tokio::test]
async fn a_new_owner_waits_for_what_the_old_one_had_handed_over() {
    let (folder, keyring, gate) = (tempfile::tempdir().unwrap(), keyring().await, Arc::new(Gate::default()));
    let journal = open(folder.path(), gate.clone(), &keyring);
    journal.open(fence(1, 1)).await.unwrap();
    gate.close();
    let old = grow(&journal, fence(1, 1), Position(0), 3);
    let new = async {
        gate.wait_for_a_sync();
        let mut taken = journal.open(fence(1, 2));
        assert!(futures::poll!(&mut taken).is_pending(), "the tip is not durable yet");
        gate.open();
        let tip = taken.await.unwrap();
        (tip, read_all(&journal).await.cursor.at(ShardId(1)))
    };
    let (old, (tip, read)) = futures::join!(old, new);
    assert_eq!((old, tip, read), (Ok(Position(3)), Position(3), Position(3)));
}
