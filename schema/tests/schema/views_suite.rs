//! What every backend of the views must keep: twice is once, any prefix and then the rest is all at once, a torn
//! apply is whole when repeated, every read equals the memory model's.

use crate::backend::{Backend, on_every_backend};
use crate::snapshot::{Held, Snapshot, load, snapshot};
use crate::world::{BEGIN, SECRET, Step, World, phone, place, walk};
use kabar_engine::consent::SuppressedRow;
use kabar_engine::entry::{ConsentSource, Position};
use kabar_engine::id::{CampaignId, CommandId, ConversationId, MessageId, ShardId};
use kabar_engine::optout::Wish;
use kabar_engine::overlay::{Changes, IdempotencyRow, Key, OutboxLine, RunRow, SeenRow};
use kabar_engine::part::{PartRow, PartStart};
use kabar_engine::time::DAY_MS;
use kabar_schema::StoreError;
use kabar_schema::memory::MemoryViews;
use kabar_schema::scylla::CqlViews;
use kabar_schema::views::{SESSION_PARTS_MAX, ShardFlush, ShardMark, Views};
use std::sync::Arc;

on_every_backend!(
    every_read_is_the_models,
    twice_is_once,
    any_prefix_and_then_the_rest_is_all_at_once,
    a_late_flush_changes_nothing,
    an_older_row_in_a_newer_flush_is_left_out,
    no_tenant_sees_anothers_rows,
    an_id_of_a_run_is_found_and_its_neighbours_are_not,
    a_sessions_parts_come_newest_launch_first,
    history_stays_in_its_conversation,
    the_shards_of_one_address_are_never_torn_apart,
    a_sweep_drops_what_is_old_and_nothing_else,
    a_sweep_keeps_the_young_rows_of_an_old_generation,
    an_outbox_page_holds_only_open_lines_in_order,
);

/// Flushes of a walk, `each` steps apart.
fn flushes(world: &mut World, steps: u32, each: usize) -> Vec<Vec<ShardFlush>> {
    let steps: Vec<Step> = walk(steps).collect();
    steps
        .chunks(each)
        .map(|chunk| {
            chunk.iter().for_each(|step| world.step(*step));
            world.flush()
        })
        .collect()
}

async fn model(world: &World, all: &[Vec<ShardFlush>]) -> Snapshot {
    let views = MemoryViews::default();
    for flushes in all {
        views.apply(flushes.clone()).await.unwrap();
    }
    snapshot(&views, world, 3).await
}

fn one(shard: ShardId, position: u64, changes: Changes) -> Vec<ShardFlush> {
    vec![ShardFlush { mark: ShardMark { shard, position: Position(position), last_id: 0 }, changes }]
}

async fn every_read_is_the_models(backend: Backend) {
    let mut world = World::default();
    let all = flushes(&mut world, 600, 40);
    let opened = backend.open().await;
    for flushes in &all {
        opened.store.views.apply(flushes.clone()).await.unwrap();
    }
    let expected = model(&world, &all).await;
    for page in [1, 3, 100] {
        assert_eq!(snapshot(&*opened.store.views, &world, page).await, expected);
    }
    // The walk is worth something: every kind of list has something in it.
    let filled = [
        expected.outbox.iter().any(|l| !l.is_empty()),
        expected.campaigns.iter().any(|l| !l.is_empty()),
        expected.parts.iter().any(|l| !l.is_empty()),
        expected.consents.iter().any(|l| !l.is_empty()),
        expected.histories.iter().any(|l| l.len() > 3),
        expected.discovered.iter().any(|l| !l.is_empty()),
    ];
    assert_eq!(filled, [true; 6]);
    let reopened = opened.reopen().await;
    assert_eq!(snapshot(&*reopened.store.views, &world, 3).await, expected, "after closing and opening");
}

async fn twice_is_once(backend: Backend) {
    let mut world = World::default();
    let all = flushes(&mut world, 400, 57);
    let opened = backend.open().await;
    for flushes in &all {
        opened.store.views.apply(flushes.clone()).await.unwrap();
        opened.store.views.apply(flushes.clone()).await.unwrap();
    }
    assert_eq!(snapshot(&*opened.store.views, &world, 3).await, model(&world, &all).await);
}

async fn any_prefix_and_then_the_rest_is_all_at_once(backend: Backend) {
    let mut world = World::default();
    let all = flushes(&mut world, 240, 40);
    let expected = model(&world, &all).await;
    for prefix in 0..=all.len() {
        let opened = backend.open().await;
        for flushes in &all[..prefix] {
            opened.store.views.apply(flushes.clone()).await.unwrap();
        }
        // The rest in one apply, and what was applied before once more in front of it.
        opened.store.views.apply(all.concat()).await.unwrap();
        assert_eq!(snapshot(&*opened.store.views, &world, 3).await, expected, "after {prefix}");
    }
}

async fn a_late_flush_changes_nothing(backend: Backend) {
    let mut world = World::default();
    let all = flushes(&mut world, 400, 80);
    let opened = backend.open().await;
    for flushes in &all {
        opened.store.views.apply(flushes.clone()).await.unwrap();
    }
    let before = snapshot(&*opened.store.views, &world, 3).await;
    for flushes in all.iter().rev() {
        opened.store.views.apply(flushes.clone()).await.unwrap();
        assert_eq!(snapshot(&*opened.store.views, &world, 3).await, before);
    }
}

async fn an_older_row_in_a_newer_flush_is_left_out(backend: Backend) {
    let mut world = World::default();
    let all = flushes(&mut world, 600, 60);
    let opened = backend.open().await;
    let views = &*opened.store.views;
    for flushes in &all {
        views.apply(flushes.clone()).await.unwrap();
    }
    let before = snapshot(views, &world, 3).await;
    // The oldest last: nothing newer comes after it and mends what it broke.
    for mut flush in all.concat().into_iter().rev() {
        // Lines of the outbox and its floor have no age of their own; rows have.
        flush.changes.outbox.clear();
        let last = all.concat().into_iter().rfind(|last| last.mark.shard == flush.mark.shard);
        flush.changes.outbox_floor = last.and_then(|last| last.changes.outbox_floor);
        let mark = before.marks.iter().find(|mark| mark.shard == flush.mark.shard);
        flush.mark = *mark.expect("the shard was flushed");
        views.apply(vec![flush]).await.unwrap();
    }
    assert_eq!(snapshot(views, &world, 3).await, before);
}

#[tokio::test]
async fn a_flush_torn_after_any_single_write_is_whole_when_repeated() {
    let mut world = World::default();
    let all = flushes(&mut world, 120, 30);
    let expected = model(&world, &all).await;
    let single = all.concat().iter().map(|f| f.changes.len() + 1).sum::<usize>();
    for writes in 0..single {
        let views = MemoryViews::default();
        let torn = views.apply_at_most(&all.concat(), writes);
        assert_eq!(torn, Err(StoreError::Unknown), "{writes} of {single}");
        views.apply(all.concat()).await.unwrap();
        assert_eq!(snapshot(&views, &world, 3).await, expected, "torn after {writes}");
    }
}

#[tokio::test]
async fn a_flush_torn_on_the_cluster_is_whole_when_repeated() {
    let mut world = World::default();
    let all = flushes(&mut world, 120, 30);
    let expected = model(&world, &all).await;
    // Every row but a line that is written twice is written before the first mark.
    let rows: usize = all.concat().iter().map(|f| f.changes.len() - f.changes.outbox.len()).sum();
    let mut torn = 0;
    for writes in (0..).step_by(71) {
        let opened = Backend::Cql.open().await;
        let cluster = kabar_schema::scylla::connect(&opened.keyspace().options()).await.unwrap();
        let cut = CqlViews::open(cluster, Arc::clone(&opened.store.keyring)).await.unwrap();
        let outcome = cut.apply_at_most(&all.concat(), writes).await;
        if outcome == Ok(()) {
            break;
        }
        assert_eq!(outcome, Err(StoreError::Unknown), "{writes}");
        if writes <= rows {
            assert_eq!(opened.store.views.marks().await.unwrap(), [], "the marks come last");
        }
        opened.store.views.apply(all.concat()).await.unwrap();
        assert_eq!(snapshot(&*opened.store.views, &world, 3).await, expected, "torn after {writes}");
        torn += 1;
    }
    assert!(torn > 3, "{torn}");
}

#[tokio::test]
async fn a_torn_flush_never_moves_the_mark_before_its_rows() {
    let mut world = World::default();
    let flush = flushes(&mut world, 60, 60).concat();
    let single: Vec<usize> = flush.iter().map(|f| f.changes.len()).collect();
    let views = MemoryViews::default();
    views.apply_at_most(&flush, single[0]).unwrap_err();
    assert_eq!(views.marks().await.unwrap(), []);
    views.apply_at_most(&flush, single[0] + 1).unwrap_err();
    assert_eq!(views.marks().await.unwrap(), [flush[0].mark]);
}

async fn no_tenant_sees_anothers_rows(backend: Backend) {
    let mut world = World::default();
    // Only the first tenant's sessions (places 0 and 2) do anything.
    for step in walk(800).filter(|step| step.place.is_multiple_of(2)) {
        world.step(step);
    }
    let opened = backend.open().await;
    let views = &*opened.store.views;
    views.apply(world.flush()).await.unwrap();
    let (mine, other) = (place(0), place(1));
    assert!(!views.conversations(mine.tenant, None, None, 10).await.unwrap().is_empty());
    assert_eq!(views.conversations(other.tenant, None, None, 10).await.unwrap(), []);
    // Naming another tenant's session does not help.
    assert_eq!(views.conversations(other.tenant, Some(mine.session), None, 10).await.unwrap(), []);
    assert!(!views.consents(mine.tenant, None, 10).await.unwrap().is_empty());
    assert_eq!(views.consents(other.tenant, None, 10).await.unwrap(), []);
    assert_eq!(views.consents_since(other.tenant, BEGIN).await.unwrap(), []);
    assert!(!views.discovered(mine.tenant, None, 10).await.unwrap().is_empty());
    assert_eq!(views.discovered(other.tenant, None, 10).await.unwrap(), []);
    let consent = load(views, vec![Key::Consent(other.tenant, phone(0))]).await;
    assert_eq!(consent[0].1, Held::Consent(Vec::new()));
    for (_, held) in load(views, world.keys()).await {
        let tenant = match held {
            Held::Message(row) => row.tenant,
            Held::Conversation(row) => row.tenant,
            Held::Campaign(row) => row.tenant,
            Held::Part(row, _) => row.tenant,
            Held::Run(row) => row.tenant,
            _ => continue,
        };
        assert_eq!(tenant, mine.tenant, "a row says whose it is");
    }
}

async fn an_id_of_a_run_is_found_and_its_neighbours_are_not(backend: Backend) {
    let opened = backend.open().await;
    let here = place(0);
    let base = MessageId((5 << 22) | (u64::from(here.shard.0) << 14) | 16_000);
    let run = |base: MessageId, chunk| {
        let (tenant, campaign) = (here.tenant, CampaignId(1));
        Arc::new(RunRow { tenant, base, count: 512, campaign, part: 0, chunk, upto: Position(1) })
    };
    // The second begins right behind the first, in the next millisecond.
    let second = base.plus(512);
    let runs = vec![run(base, 0), run(second, 1)];
    opened.store.views.apply(one(here.shard, 1, Changes { runs, ..Changes::default() })).await.unwrap();
    let foreign = MessageId(base.0 ^ (1 << 14));
    let ids =
        [MessageId(base.0 - 1), base, base.plus(511), second, second.plus(511), second.plus(512), foreign];
    let found = load(&*opened.store.views, ids.map(Key::Run).to_vec()).await;
    let chunks = found.into_iter().map(|(_, held)| match held {
        Held::Run(run) => Some(run.chunk),
        _ => None,
    });
    let chunks: Vec<_> = chunks.collect();
    assert_eq!(chunks, [None, Some(0), Some(0), Some(1), Some(1), None, None]);
}

async fn a_sessions_parts_come_newest_launch_first(backend: Backend) {
    let opened = backend.open().await;
    let here = place(0);
    let part = |n: u32| {
        let start = PartStart {
            campaign: CampaignId(u64::from(n % 7)),
            part: n,
            attempt: 1,
            session: here.session,
            launched: BEGIN.plus_ms(i64::from(n * 37 % 1_103)),
            valid_until: BEGIN,
            chunks: Vec::new(),
            command: CommandId(1),
        };
        Arc::new(PartRow { upto: Position(1), ..PartRow::begin(here.tenant, start) })
    };
    let parts = (0..1_103).map(part).collect();
    opened.store.views.apply(one(here.shard, 1, Changes { parts, ..Changes::default() })).await.unwrap();
    let found = load(&*opened.store.views, vec![Key::SessionParts(here.session)]).await;
    let Held::SessionParts(parts) = &found[0].1 else { panic!("{found:?}") };
    assert_eq!(parts.len(), SESSION_PARTS_MAX);
    assert!(parts.is_sorted_by(|a, b| a.start.launched > b.start.launched));
    assert_eq!(parts[0].start.launched, BEGIN.plus_ms(1_102));
    assert_eq!(opened.store.views.open_parts(here.shard).await.unwrap().len(), 1_103);
}

async fn history_stays_in_its_conversation(backend: Backend) {
    let mut world = World::default();
    for seed in 0..40 {
        world.step(Step { kind: 0, place: 0, slot: seed % 2, seed });
    }
    let opened = backend.open().await;
    let views = &*opened.store.views;
    views.apply(world.flush()).await.unwrap();
    let (first, second) = (&world.conversations[&(0, 0)], &world.conversations[&(0, 1)]);
    let page = views.history(first.id, None, 5).await.unwrap();
    assert_eq!(page.len(), 5);
    assert_eq!(page[0].id, first.last.unwrap());
    assert!(page.is_sorted_by(|a, b| a.id > b.id));
    let rest = views.history(first.id, Some(page[4].id), 100).await.unwrap();
    assert_eq!(rest.len(), 15);
    assert_eq!(views.history(first.id, second.last, 100).await.unwrap(), [], "a foreign cursor");
    assert_eq!(views.history(ConversationId(1), None, 100).await.unwrap(), []);
}

async fn the_shards_of_one_address_are_never_torn_apart(backend: Backend) {
    let opened = backend.open().await;
    let tenant = place(0).tenant;
    for shard in 0..6 {
        let row = |n| {
            Arc::new(SuppressedRow {
                tenant,
                address: phone(n),
                shard: ShardId(shard),
                wish: Wish::OptOut,
                at: BEGIN,
                source: ConsentSource::Word,
                upto: Position(1),
            })
        };
        let suppressed = (0..3).map(row).collect();
        let changes = Changes { suppressed, ..Changes::default() };
        opened.store.views.apply(one(ShardId(shard), 1, changes)).await.unwrap();
    }
    for limit in 1..=18 {
        let page = opened.store.views.consents(tenant, None, limit).await.unwrap();
        assert_eq!(page.len(), limit.div_ceil(6) * 6, "limit {limit}");
    }
}

async fn a_sweep_drops_what_is_old_and_nothing_else(backend: Backend) {
    let opened = backend.open().await;
    let views = &*opened.store.views;
    let here = place(0);
    for (n, day) in [(1, 0), (2, 9), (3, 10)] {
        let at = BEGIN.plus_ms(day * DAY_MS);
        let (session, message, upto) = (here.session, MessageId(n), Position(n));
        let seen = vec![Arc::new(SeenRow { session, hash: n, message, at, upto })];
        let key = u128::from(n);
        let idempotency = vec![Arc::new(IdempotencyRow { session, key, body: 9, message, at, upto })];
        views.apply(one(here.shard, n, Changes { seen, idempotency, ..Changes::default() })).await.unwrap();
    }
    let keys =
        || (1..=3).flat_map(|n| [Key::Seen(here.session, n), Key::Idempotency(here.session, n.into())]);
    let held = |rows: Vec<(Key, Held)>| rows.into_iter().map(|(_, h)| h != Held::Absent).collect::<Vec<_>>();
    assert_eq!(held(load(views, keys().collect()).await), [true; 6]);
    views.sweep(BEGIN.plus_ms(10 * DAY_MS + 7_200_000)).await.unwrap();
    assert_eq!(held(load(views, keys().collect()).await), [false, false, true, false, true, true]);
    // The same again once more, and new rows still find their place.
    views.sweep(BEGIN.plus_ms(10 * DAY_MS + 7_200_000)).await.unwrap();
    let (session, at) = (here.session, BEGIN.plus_ms(10 * DAY_MS + 7_200_000));
    let (message, upto) = (MessageId(4), Position(9));
    let seen = vec![Arc::new(SeenRow { session, hash: 4, message, at, upto })];
    let idempotency = vec![Arc::new(IdempotencyRow { session, key: 4, body: 9, message, at, upto })];
    views.apply(one(here.shard, 9, Changes { seen, idempotency, ..Changes::default() })).await.unwrap();
    let keys = vec![Key::Seen(session, 4), Key::Idempotency(session, 4)];
    assert_eq!(held(load(views, keys).await), [true, true]);
}

async fn a_sweep_keeps_the_young_rows_of_an_old_generation(backend: Backend) {
    let opened = backend.open().await;
    let views = &*opened.store.views;
    let here = place(0);
    let hour = DAY_MS / 24;
    // Both of a day, and both of an hour.
    for (n, seen_at, used_at) in [(1, 0, 0), (2, 20 * hour, hour / 2)] {
        let (session, message, upto) = (here.session, MessageId(n), Position(n));
        let seen = vec![Arc::new(SeenRow { session, hash: n, message, at: BEGIN.plus_ms(seen_at), upto })];
        let at = BEGIN.plus_ms(used_at);
        let idempotency =
            vec![Arc::new(IdempotencyRow { session, key: n.into(), body: 9, message, at, upto })];
        views.apply(one(here.shard, n, Changes { seen, idempotency, ..Changes::default() })).await.unwrap();
    }
    views.sweep(BEGIN.plus_ms(DAY_MS + hour / 4)).await.unwrap();
    let used = load(views, vec![Key::Idempotency(here.session, 2)]).await;
    assert_ne!(used[0].1, Held::Absent);
    views.sweep(BEGIN.plus_ms(8 * DAY_MS + 10 * hour)).await.unwrap();
    let seen = load(views, vec![Key::Seen(here.session, 2)]).await;
    assert_ne!(seen[0].1, Held::Absent);
}

async fn an_outbox_page_holds_only_open_lines_in_order(backend: Backend) {
    let mut world = World::default();
    let all = flushes(&mut world, 500, 25);
    let opened = backend.open().await;
    for flushes in &all {
        opened.store.views.apply(flushes.clone()).await.unwrap();
    }
    for number in 0..4 {
        let here = place(number);
        let lines = opened.store.views.outbox(here.shard, None, 1_000).await.unwrap();
        let keys: Vec<_> = lines
            .iter()
            .map(|line| match line {
                OutboxLine::Open { key, .. } => *key,
                OutboxLine::Gone(_) => panic!("a gone line was read"),
            })
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
        let waiting = world.messages.values().flatten().filter(|m| m.is_open() && m.id.shard() == here.shard);
        let mut open: Vec<_> = waiting.map(|m| m.id).collect();
        let mut filed: Vec<_> = keys.iter().map(|key| key.message).collect();
        open.sort();
        filed.sort();
        assert_eq!(filed, open);
    }
}

#[tokio::test]
async fn no_content_and_no_name_is_readable_on_disk() {
    let mut world = World::default();
    let opened = Backend::Embedded.open().await;
    for flushes in flushes(&mut world, 600, 40) {
        opened.store.views.apply(flushes).await.unwrap();
    }
    opened.store.close().await;
    let mut bytes = 0;
    for entry in std::fs::read_dir(opened.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let file = std::fs::read(&path).unwrap();
            bytes += file.len();
            let found = file.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
            assert!(!found, "{} holds a body", path.display());
        }
    }
    assert!(bytes > 100_000, "the folder holds what was written");
}
