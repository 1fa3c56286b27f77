//! The journal half of the conformance suite: what every backend promises. What only files promise stands in
//! `segments`, `torn_tail` and `kill`.

use crate::backend::{Backend, on_every_backend};
use crate::entries::{BEGIN, TENANT, check, entries, entry, fence, grow, large, read_all, read_on};
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_engine::time::Timestamp;
use kabar_schema::codec::{FRAME_MAX, split};
use kabar_schema::error::StoreError;
use kabar_schema::journal::{Cursor, Journal, ShardSet, seek};
use kabar_schema::store::Store;
use parking_lot::Mutex;
use std::sync::Arc;

on_every_backend!(
    what_was_appended_is_read_back_in_order,
    pages_of_any_size_come_to_the_same,
    only_the_shards_asked_for_are_read_and_only_behind_the_cursor,
    an_older_epoch_is_refused_with_the_current_one,
    a_shard_that_was_not_taken_takes_nothing,
    a_batch_must_follow_the_tip_and_a_failed_one_ends_the_line,
    a_batch_is_applied_whole_or_not_at_all,
    a_batch_that_is_too_large_is_refused_and_its_halves_are_taken,
    the_order_of_calls_is_the_order_of_entries,
    many_writers_keep_every_shard_in_order,
    a_reader_that_follows_sees_everything_once,
    small_pages_of_a_long_log_miss_nothing,
    a_moment_is_found_in_a_shard_also_behind_what_was_retired,
    nothing_younger_or_unread_is_retired,
    positions_go_on_after_everything_was_retired,
    what_was_acknowledged_survives_reopening,
);

async fn journal(store: &Store) -> Arc<dyn Journal> {
    store.keyring.ensure(TENANT).await.unwrap();
    Arc::clone(&store.journal)
}

async fn what_was_appended_is_read_back_in_order(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    let mut tips = [Position(0); 3];
    for (shard, tip) in tips.iter().enumerate() {
        assert_eq!(journal.open(fence(shard as u8, 1)).await, Ok(*tip));
    }
    for round in 1..20 {
        for (shard, tip) in tips.iter_mut().enumerate() {
            *tip = grow(&*journal, fence(shard as u8, 1), *tip, 1 + round % 4).await.unwrap();
        }
    }
    let page = read_all(&*journal).await;
    let found = check(&page, &Cursor::default()).unwrap();
    assert_eq!(found.into_values().collect::<Vec<_>>(), tips);
    assert_eq!(journal.stats().entries, tips.iter().map(|tip| tip.0).sum::<u64>());
    assert_eq!(journal.stats().frames, 57);
}

async fn pages_of_any_size_come_to_the_same(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    for shard in 0..3 {
        journal.open(fence(shard, 1)).await.unwrap();
        let tip = grow(&*journal, fence(shard, 1), Position(0), 40).await.unwrap();
        grow(&*journal, fence(shard, 1), tip, 1).await.unwrap();
    }
    let whole = read_all(&*journal).await;
    assert_eq!(whole.entries.len(), 123);
    for max in [1, 2, 7, 41, 122, 123] {
        let pages = read_on(&*journal, &ShardSet::all(), Cursor::default(), max).await;
        assert!(pages.entries == whole.entries && pages.cursor == whole.cursor, "pages of {max}");
    }
    let nothing = journal.read(&ShardSet::all(), &whole.cursor, 10).await.unwrap();
    assert!(nothing.end && nothing.entries.is_empty() && nothing.cursor == whole.cursor);
}

async fn only_the_shards_asked_for_are_read_and_only_behind_the_cursor(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    for shard in [0, 63, 64, 255] {
        journal.open(fence(shard, 1)).await.unwrap();
        grow(&*journal, fence(shard, 1), Position(0), 10).await.unwrap();
    }
    let asked: ShardSet = [ShardId(63), ShardId(255), ShardId(9)].into_iter().collect();
    let after: Cursor = [(ShardId(63), Position(4)), (ShardId(0), Position(2))].into_iter().collect();
    let page = read_on(&*journal, &asked, after.clone(), 3).await;
    let found: Vec<_> = page.entries.iter().map(|(shard, position, _)| (shard.0, position.0)).collect();
    let expected: Vec<_> = (5..=10).map(|p| (63, p)).chain((1..=10).map(|p| (255, p))).collect();
    assert_eq!(found, expected);
    assert_eq!(page.cursor.at(ShardId(0)), Position(2), "the cursor of others stays");
    check(&page, &after).unwrap();
}

async fn an_older_epoch_is_refused_with_the_current_one(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    assert_eq!(journal.open(fence(1, 5)).await, Ok(Position(0)));
    grow(&*journal, fence(1, 5), Position(0), 3).await.unwrap();
    for stale in [1, 4, 5] {
        assert_eq!(journal.open(fence(1, stale)).await, Err(StoreError::Fenced { current: 5 }));
    }
    assert_eq!(journal.open(fence(1, 7)).await, Ok(Position(3)), "the new owner is told the tip");
    let fenced = Err(StoreError::Fenced { current: 7 });
    assert_eq!(grow(&*journal, fence(1, 5), Position(3), 1).await, fenced, "the old owner");
    assert_eq!(grow(&*journal, fence(1, 8), Position(3), 1).await, fenced, "one that has not taken it");
    assert_eq!(
        grow(&*journal, fence(1, 7), Position(3), 2).await,
        Ok(Position(5)),
        "the refused cost nothing"
    );
    check(&read_all(&*journal).await, &Cursor::default()).unwrap();
}

async fn a_shard_that_was_not_taken_takes_nothing(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    let refused = grow(&*journal, fence(1, 1), Position(0), 1).await;
    assert_eq!(refused, Err(StoreError::Fenced { current: 0 }));
    journal.open(fence(2, 1)).await.unwrap();
    let refused = grow(&*journal, fence(1, 1), Position(0), 1).await;
    assert_eq!(refused, Err(StoreError::Fenced { current: 0 }), "another shard's fence is no help");
    assert!(read_all(&*journal).await.entries.is_empty());
}

async fn a_batch_must_follow_the_tip_and_a_failed_one_ends_the_line(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    for (epoch, wrong_tip) in [(1, 3), (2, 1), (3, 100)] {
        assert_eq!(journal.open(fence(1, epoch)).await, Ok(Position(2 * (epoch - 1))));
        let tip = grow(&*journal, fence(1, epoch), Position(2 * (epoch - 1)), 2).await.unwrap();
        let refused = grow(&*journal, fence(1, epoch), Position(wrong_tip), 1).await;
        assert_eq!(refused, Err(StoreError::Conflict), "behind {wrong_tip} while the tip is {}", tip.0);
        let later = grow(&*journal, fence(1, epoch), tip, 1).await;
        assert_eq!(later, Err(StoreError::Unavailable), "what follows a failed append fails too");
    }
    let page = read_all(&*journal).await;
    assert_eq!(check(&page, &Cursor::default()).unwrap()[&ShardId(1)], Position(6));
}

async fn a_batch_is_applied_whole_or_not_at_all(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    journal.open(fence(1, 1)).await.unwrap();
    grow(&*journal, fence(1, 1), Position(0), 2).await.unwrap();
    let mut batch = entries(ShardId(1), Position(3), 5);
    batch[3] = large(40_000);
    assert_eq!(journal.append(fence(1, 1), Position(3), batch).await, Err(StoreError::Conflict));
    assert_eq!(journal.open(fence(1, 2)).await, Ok(Position(2)));
    assert_eq!(journal.append(fence(1, 2), Position(3), Vec::new()).await, Err(StoreError::Conflict));
    let page = read_all(&*journal).await;
    assert_eq!(check(&page, &Cursor::default()).unwrap()[&ShardId(1)], Position(2));
}

async fn a_batch_that_is_too_large_is_refused_and_its_halves_are_taken(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    journal.open(fence(1, 1)).await.unwrap();
    let batch: Vec<_> = (0..10).map(|_| large(20_000)).collect();
    const { assert!(10 * 20_000 > FRAME_MAX) };
    let refused = journal.append(fence(1, 1), Position(1), batch.clone()).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    let mut tip = journal.open(fence(1, 2)).await.unwrap();
    assert_eq!(tip, Position(0));
    for part in split(batch.clone()) {
        let count = part.len() as u64;
        journal.append(fence(1, 2), tip.plus(1), part).await.unwrap();
        tip = tip.plus(count);
    }
    let found: Vec<_> = read_all(&*journal).await.entries.into_iter().map(|(_, _, entry)| entry).collect();
    assert!(found == batch);
}

async fn the_order_of_calls_is_the_order_of_entries(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    journal.open(fence(1, 1)).await.unwrap();
    // Nobody waits between the calls, half of the answers are thrown away, the rest is asked for backwards.
    let mut answers = Vec::new();
    for place in 0..100 {
        let base = Position(3 * place + 1);
        let answer = journal.append(fence(1, 1), base, entries(ShardId(1), base, 3));
        if place % 2 == 1 {
            answers.push(answer);
        }
    }
    for answer in answers.into_iter().rev() {
        assert_eq!(answer.await, Ok(()));
    }
    let page = read_all(&*journal).await;
    assert_eq!(check(&page, &Cursor::default()).unwrap()[&ShardId(1)], Position(300));
}

async fn many_writers_keep_every_shard_in_order(backend: Backend) {
    const SHARDS: u8 = 16;
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    let tips: Arc<Vec<Mutex<Position>>> = Arc::new((0..SHARDS).map(|_| Mutex::default()).collect());
    for shard in 0..SHARDS {
        journal.open(fence(shard, 1)).await.unwrap();
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..64_u8 {
        let (journal, tips) = (Arc::clone(&journal), Arc::clone(&tips));
        writers.spawn(async move {
            let shard = ShardId(writer % SHARDS);
            for round in 0..20 {
                let answer = {
                    // As a shard does it: positions are given and the batch handed over under one lock.
                    let mut tip = tips[usize::from(shard.0)].lock();
                    let count = 1 + u64::from(writer + round) % 5;
                    let base = tip.plus(1);
                    *tip = tip.plus(count);
                    journal.append(fence(shard.0, 1), base, entries(shard, base, count))
                };
                answer.await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let found = check(&read_all(&*journal).await, &Cursor::default()).unwrap();
    let expected: Vec<_> = tips.iter().map(|tip| *tip.lock()).collect();
    assert_eq!(found.into_values().collect::<Vec<_>>(), expected);
}

async fn a_reader_that_follows_sees_everything_once(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    let mut writers = tokio::task::JoinSet::new();
    for shard in 0..4 {
        let journal = Arc::clone(&journal);
        writers.spawn(async move {
            let mut tip = journal.open(fence(shard, 1)).await.unwrap();
            for round in 0..60 {
                tip = grow(&*journal, fence(shard, 1), tip, 1 + round % 7).await.unwrap();
                tokio::task::yield_now().await;
            }
            tip
        });
    }
    let (mut cursor, mut ended, mut tips) = (Cursor::default(), 0, 0);
    while ended < 4 || tips > cursor.0.values().map(|tip| tip.0).sum() {
        let page = journal.read(&ShardSet::all(), &cursor, 50).await.unwrap();
        check(&page, &cursor).unwrap();
        cursor = page.cursor;
        while let Some(done) = writers.try_join_next() {
            ended += 1;
            tips += done.unwrap().0;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(cursor, read_all(&*journal).await.cursor);
}

async fn small_pages_of_a_long_log_miss_nothing(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    for shard in 1..4 {
        journal.open(fence(shard, 1)).await.unwrap();
    }
    let (mut busy, mut seldom) = (Position(0), Position(0));
    for round in 0..4 {
        busy = fill(&*journal, 1, busy).await;
        seldom = grow(&*journal, fence(2, 1), seldom, 1 + round).await.unwrap();
    }
    grow(&*journal, fence(3, 1), Position(0), 1).await.unwrap();
    let all = read_on(&*journal, &ShardSet::all(), Cursor::default(), 100_000).await;
    assert_eq!(all.entries.len() as u64, busy.0 + seldom.0 + 1);
    let paged = read_on(&*journal, &ShardSet::all(), Cursor::default(), 7).await;
    assert!(paged.entries == all.entries && paged.cursor == all.cursor);
    let few: ShardSet = [ShardId(2), ShardId(3)].into_iter().collect();
    let page = read_on(&*journal, &few, Cursor::default(), 2).await;
    check(&page, &Cursor::default()).unwrap();
    assert_eq!(page.entries.len() as u64, seldom.0 + 1);
}

async fn a_moment_is_found_in_a_shard_also_behind_what_was_retired(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    for shard in 1..3 {
        journal.open(fence(shard, 1)).await.unwrap();
    }
    let (mut tip, mut other) = (Position(0), Position(0));
    for _ in 0..40 {
        tip = grow(&*journal, fence(1, 1), tip, 25).await.unwrap();
        other = grow(&*journal, fence(2, 1), other, 3).await.unwrap();
    }
    let find = async |shard, ms: u64, tip| {
        let at = BEGIN.plus_ms(i64::try_from(ms).unwrap());
        seek(&*journal, ShardId(shard), at, tip).await.unwrap().0
    };
    // The entry at a position is as many milliseconds old.
    for ms in [0, 1, 2, 37, 500, 999, 1_000, 1_001, 5_000] {
        assert_eq!(find(1, ms, tip).await, ms.saturating_sub(1).min(1_000), "at {ms}");
        assert_eq!(find(2, ms, other).await, ms.saturating_sub(1).min(120), "at {ms}");
        assert_eq!(find(1, ms, Position(300)).await, ms.saturating_sub(1).min(300), "not behind the tip");
    }
    let gone = [(ShardId(1), Position(400))];
    journal.retire(&gone, BEGIN.plus_ms(10_000)).await.unwrap();
    let floor = journal.floor().await.unwrap().at(ShardId(1)).0;
    for ms in [1, 100, 401, 700] {
        assert_eq!(find(1, ms, tip).await, (ms - 1).max(floor), "at {ms}, from {floor} on");
    }
}

/// Enough to fill several segments of a file backend.
async fn fill(journal: &dyn Journal, shard: u8, tip: Position) -> Position {
    let mut tip = tip;
    for _ in 0..60 {
        let batch = vec![large(30_000), large(30_000)];
        journal.append(fence(shard, 1), tip.plus(1), batch).await.unwrap();
        tip = tip.plus(2);
    }
    tip
}

async fn nothing_younger_or_unread_is_retired(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    journal.open(fence(1, 1)).await.unwrap();
    journal.open(fence(2, 1)).await.unwrap();
    grow(&*journal, fence(2, 1), Position(0), 1).await.unwrap();
    let tip = fill(&*journal, 1, Position(0)).await;
    let far = BEGIN.plus_ms(1_000_000_000);
    let passed = [(ShardId(1), tip), (ShardId(2), Position(1))];
    assert_eq!(journal.retire(&passed, BEGIN).await, Ok(0), "younger than asked for");
    assert_eq!(read_all(&*journal).await.entries.len() as u64, tip.0 + 1);
    assert_eq!(journal.floor().await, Ok(Cursor::default()), "nothing is gone");
    let half = [(ShardId(1), Position(tip.0 / 2)), (ShardId(2), Position(1))];
    assert!(journal.retire(&half, far).await.unwrap() > 0);
    let kept = read_all(&*journal).await;
    let first = kept.entries.iter().map(|(_, position, _)| *position).next().unwrap();
    assert!(first > Position(1) && first <= half[0].1.plus(1), "the first kept is {}", first.0);
    assert_eq!(kept.cursor.at(ShardId(1)), tip, "everything behind is still read");
    let floor = journal.floor().await.unwrap();
    assert_eq!(floor.at(ShardId(1)).plus(1), first, "told how far");
    // What is let go of at once differs: entries, segments, buckets.
    assert!(floor.at(ShardId(2)) <= Position(1));
}

async fn positions_go_on_after_everything_was_retired(backend: Backend) {
    let opened = backend.open().await;
    let journal = journal(&opened.store).await;
    journal.open(fence(1, 1)).await.unwrap();
    journal.open(fence(2, 1)).await.unwrap();
    grow(&*journal, fence(2, 1), Position(0), 3).await.unwrap();
    let tip = fill(&*journal, 1, Position(0)).await;
    let all = [(ShardId(1), tip), (ShardId(2), Position(3))];
    let far = Timestamp(i64::MAX);
    assert!(journal.retire(&all, far).await.unwrap() > 0);
    drop(journal);
    let opened = opened.reopen().await;
    let journal = self::journal(&opened.store).await;
    assert_eq!(journal.open(fence(2, 2)).await, Ok(Position(3)));
    assert_eq!(journal.open(fence(1, 2)).await, Ok(tip));
    let after: Cursor = all.into_iter().collect();
    assert_eq!(grow(&*journal, fence(2, 2), Position(3), 4).await, Ok(Position(7)));
    let page = read_on(&*journal, &ShardSet::one(ShardId(2)), after.clone(), 100).await;
    assert_eq!(check(&page, &after).unwrap()[&ShardId(2)], Position(7));
}

async fn what_was_acknowledged_survives_reopening(backend: Backend) {
    let mut opened = backend.open().await;
    let mut tip = Position(0);
    for epoch in 1..6 {
        let journal = journal(&opened.store).await;
        assert_eq!(journal.open(fence(9, epoch)).await, Ok(tip));
        for count in [1, 30, 2] {
            tip = grow(&*journal, fence(9, epoch), tip, count).await.unwrap();
        }
        drop(journal);
        opened = opened.reopen().await;
        let journal = self::journal(&opened.store).await;
        let page = read_all(&*journal).await;
        assert_eq!(check(&page, &Cursor::default()).unwrap()[&ShardId(9)], tip);
        assert_eq!(journal.open(fence(9, epoch)).await, Err(StoreError::Fenced { current: epoch }));
    }
    assert_eq!(*entry(ShardId(9), tip), *read_all(&*opened.store.journal).await.entries.last().unwrap().2);
}
