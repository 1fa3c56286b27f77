//! SIGKILL at random instants: a child process appends to a real store and tells what was acknowledged; the
//! parent kills it, opens the folder and compares. It cannot show power loss; `segments` does.

use crate::backend::options;
use crate::disks::{self, Gate};
use crate::entries::{TENANT, check, entries, fence, grow, read_on};
use crate::leases_suite::take_all;
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_schema::journal::{Cursor, EmbeddedJournal, Journal, JournalOptions, OnFailure, ShardSet};
use kabar_schema::seal::MasterKey;
use kabar_schema::store::Store;
use parking_lot::{Condvar, Mutex};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FOLDER: &str = "KABAR_TEST_KILL_FOLDER";
const EARLY: &str = "KABAR_TEST_KILL_EARLY";
const BROKEN: &str = "KABAR_TEST_KILL_BROKEN_DISK";
const SHARDS: u8 = 6;
const KILLS: u32 = 24;

fn master() -> MasterKey {
    MasterKey::from_hex(&"5a".repeat(32)).unwrap()
}

async fn store(folder: &Path) -> Store {
    Store::embedded(options(folder.to_owned(), master())).await.unwrap()
}

/// Says on stdout that a shard's entries up to `tip` are acknowledged. One write, so that lines never mix.
fn tell(shard: u8, tip: Position) {
    let line = format!("\nack {shard} {}\n", tip.0);
    std::io::stdout().write_all(line.as_bytes()).expect("the parent listens until it kills");
}

/// Appends until it is killed. `early` is the planted bug: it tells before the journal has answered.
async fn append_for_ever(store: Store, shard: u8, epoch: u64, early: bool) {
    let mut tip = store.journal.open(fence(shard, epoch)).await.unwrap();
    let mut rng = StdRng::seed_from_u64(epoch * 256 + u64::from(shard));
    loop {
        // Up to three batches under way at once, as a shard has them.
        let mut answers = Vec::new();
        for _ in 0..rng.random_range(1..4) {
            let (base, count) = (tip.plus(1), rng.random_range(1..40));
            tip = tip.plus(count);
            let answer =
                store.journal.append(fence(shard, epoch), base, entries(ShardId(shard), base, count));
            if early {
                tell(shard, tip);
            }
            answers.push((tip, answer));
        }
        for (tip, answer) in answers {
            answer.await.unwrap();
            if !early {
                tell(shard, tip);
            }
        }
    }
}

/// Not a test of its own: the process that [`killed`] starts runs only this. Without its folder it has nothing to
/// do.
#[tokio::test]
async fn child_of_the_kill_test() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    if std::env::var_os(BROKEN).is_some() {
        return write_on_a_broken_disk(Path::new(&folder)).await;
    }
    let store = store(Path::new(&folder)).await;
    store.keyring.ensure(TENANT).await.unwrap();
    let epoch = take_all(&store).await;
    let early = std::env::var_os(EARLY).is_some();
    let mut writers = tokio::task::JoinSet::new();
    for shard in 0..SHARDS {
        writers.spawn(append_for_ever(store.clone(), shard, epoch, early));
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
}

fn start(folder: &Path, early: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["kill::child_of_the_kill_test", "--exact", "--nocapture"]).env(FOLDER, folder);
    if early {
        command.env(EARLY, "1");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What the child has told so far.
#[derive(Default)]
struct Heard {
    tips: Mutex<(BTreeMap<u8, Position>, u32)>,
    changed: Condvar,
}

impl Heard {
    fn line(&self, line: &str) {
        let mut words = line.split(' ');
        let (Some("ack"), Some(shard), Some(tip)) = (words.next(), words.next(), words.next()) else {
            return;
        };
        // A line that the kill cut is no promise that anybody heard.
        let (Ok(shard), Ok(tip)) = (shard.parse(), tip.parse()) else { return };
        let mut tips = self.tips.lock();
        let known = tips.0.entry(shard).or_default();
        *known = (*known).max(Position(tip));
        tips.1 += 1;
        self.changed.notify_all();
    }

    fn wait_for(&self, lines: u32) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut tips = self.tips.lock();
        while tips.1 < lines {
            let late = self.changed.wait_until(&mut tips, deadline).timed_out();
            assert!(!late, "the child says nothing");
        }
    }
}

/// Starts a child, kills it once it has told `lines` acknowledgements; gives what it had acknowledged.
fn killed(folder: &Path, lines: u32, early: bool) -> BTreeMap<u8, Position> {
    let mut child = start(folder, early);
    let heard = Arc::new(Heard::default());
    let pipe = BufReader::new(child.stdout.take().unwrap());
    let listener = {
        let heard = Arc::clone(&heard);
        std::thread::spawn(move || {
            // The last line may end without its newline; it is then not heard.
            let mut lines = pipe.split(b'\n').map_while(Result::ok).peekable();
            while let Some(line) = lines.next() {
                if lines.peek().is_some() {
                    heard.line(&String::from_utf8_lossy(&line));
                }
            }
        })
    };
    heard.wait_for(lines);
    child.kill().unwrap();
    child.wait().unwrap();
    listener.join().unwrap();
    heard.tips.lock().0.clone()
}

/// How many acknowledged entries are not in the folder, after checking that what is there is whole.
async fn lost(folder: &Path, acknowledged: &BTreeMap<u8, Position>, seen: &mut Cursor) -> u64 {
    let store = store(folder).await;
    let page = read_on(&*store.journal, &ShardSet::all(), seen.clone(), 5_000).await;
    let tips = check(&page, seen).unwrap();
    *seen = page.cursor;
    store.close().await;
    let missing = |(shard, tip): (&u8, &Position)| {
        tip.0.saturating_sub(tips.get(&ShardId(*shard)).copied().unwrap_or_default().0)
    };
    acknowledged.iter().map(missing).sum()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_or_doubled_by_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(20_261_124);
    let mut seen = Cursor::default();
    let mut told = 0;
    for kill in 1..=KILLS {
        let lines = rng.random_range(1..150);
        let acknowledged = killed(folder.path(), lines, false);
        told += acknowledged.len();
        assert_eq!(lost(folder.path(), &acknowledged, &mut seen).await, 0, "kill {kill} after {lines} lines");
    }
    assert!(told > KILLS as usize, "the children did work");
    // Once more from the beginning: nothing of an earlier life was overwritten by a later one.
    let mut from_the_beginning = Cursor::default();
    assert_eq!(lost(folder.path(), &BTreeMap::new(), &mut from_the_beginning).await, 0);
    assert_eq!(from_the_beginning, seen);
}

#[tokio::test]
async fn telling_before_the_journal_answers_is_found_out() {
    // The test above can fail: with the answers told too early, it does.
    let mut found_out = false;
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let acknowledged = killed(folder.path(), 40, true);
        found_out |= lost(folder.path(), &acknowledged, &mut Cursor::default()).await > 0;
        if found_out {
            break;
        }
    }
    assert!(found_out);
}

/// Returns only if the process outlives a sync that failed.
async fn write_on_a_broken_disk(folder: &Path) {
    let gate = Arc::new(Gate::default());
    let options = JournalOptions { on_failure: OnFailure::Exit, ..disks::options(folder, gate.clone()) };
    let journal = EmbeddedJournal::open(options, disks::keyring().await, &[]).unwrap();
    journal.open(fence(1, 1)).await.unwrap();
    gate.break_down();
    let answer = grow(&journal, fence(1, 1), Position(0), 1).await;
    tell(1, Position(u64::from(answer.is_ok())));
}

#[test]
fn a_failed_sync_ends_the_process_with_a_clear_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["kill::child_of_the_kill_test", "--exact", "--nocapture"]);
    let output = command.env(FOLDER, folder.path()).env(BROKEN, "1").output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ack"), "nobody is answered");
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("kabar: the journal failed: cannot sync "), "{said}");
    assert!(last.contains(".segment"), "{said}");
}
