//! What a crash can leave of the last batch: cut, flipped, zeroed or overwritten at every byte. Exactly what was
//! acknowledged before it survives, and damage to that is refused. About files only.

use crate::disks::{Gate, Lazy, keyring, open, options};
use crate::entries::{check, fence, grow, read_all};
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_schema::codec::frame;
use kabar_schema::error::OpenError;
use kabar_schema::journal::{Cursor, EmbeddedJournal, Journal};
use kabar_schema::seal::Keyring;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SHARD: u8 = 3;

/// A segment's bytes and where its batches lie.
struct Image {
    bytes: Vec<u8>,
    /// One an append, in order: bytes in the file, the shard's tip after it.
    batches: Vec<(Range<usize>, Position)>,
    keyring: Arc<Keyring>,
}

fn segment(folder: &Path) -> PathBuf {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "segment"));
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// Where the frames lie, by their lengths.
fn frames(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut at, mut frames) = (8 * 1024, Vec::new());
    while let Some(len) = bytes.get(at..at + 4) {
        let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
        if len == 0 {
            break;
        }
        frames.push(at..at + len);
        at += len;
    }
    frames
}

/// Several acknowledged batches; the last one has about a thousand bytes.
async fn image() -> Image {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), keyring().await);
    let journal = open(folder.path(), Arc::new(Lazy), &keyring);
    journal.open(fence(SHARD, 1)).await.unwrap();
    let (mut tip, mut tips) = (Position(0), Vec::new());
    for count in [3, 1, 6, 12] {
        tip = grow(&journal, fence(SHARD, 1), tip, count).await.unwrap();
        tips.push(tip);
    }
    journal.close();
    let mut bytes = std::fs::read(segment(folder.path())).unwrap();
    let frames = frames(&bytes);
    assert_eq!(frames.len(), tips.len());
    let last = frames.last().unwrap().clone();
    assert!((700..3_000).contains(&last.len()), "{} bytes", last.len());
    // The zeros written ahead: a few of them are enough.
    bytes.truncate(last.end + 600);
    Image { bytes, batches: frames.into_iter().zip(tips).collect(), keyring }
}

impl Image {
    fn write(&self, folder: &Path, bytes: &[u8]) {
        std::fs::write(folder.join("000000000001.segment"), bytes).unwrap();
    }

    fn open(&self, folder: &Path) -> Result<EmbeddedJournal, OpenError> {
        EmbeddedJournal::open(options(folder, Arc::new(Lazy)), Arc::clone(&self.keyring), &[])
    }

    /// Opens `bytes`, expects exactly what lies up to `tip`, and that a batch of `more` entries appended then is
    /// read back and nothing behind it.
    async fn survives(&self, bytes: &[u8], tip: Position, more: u64, what: &str) {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path(), bytes);
        let journal = self.open(folder.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(journal.open(fence(SHARD, 2)).await, Ok(tip), "{what}");
        let tips = check(&read_all(&journal).await, &Cursor::default()).unwrap();
        assert_eq!(tips.get(&ShardId(SHARD)).copied().unwrap_or_default(), tip, "{what}");
        let tip = grow(&journal, fence(SHARD, 2), tip, more).await.unwrap();
        drop(journal);
        let journal =
            self.open(folder.path()).unwrap_or_else(|error| panic!("{what}, then appended: {error}"));
        let tips = check(&read_all(&journal).await, &Cursor::default()).unwrap();
        assert_eq!(tips.into_iter().collect::<Vec<_>>(), [(ShardId(SHARD), tip)], "{what}, then appended");
    }

    fn is_refused(&self, bytes: &[u8], offset: u64, what: &str) {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path(), bytes);
        match self.open(folder.path()) {
            Err(OpenError::Damaged { file, offset: at, .. }) => {
                assert_eq!(file, folder.path().join("000000000001.segment"), "{what}");
                assert_eq!(at, offset, "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// The last batch torn at byte `at` in each way.
fn tears(bytes: &[u8], batch: &Range<usize>, at: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut rng = StdRng::seed_from_u64(at as u64);
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 1 << rng.random_range(0..8);
    let mut zeroed = bytes.to_vec();
    zeroed[at..].fill(0);
    let mut garbage = bytes.to_vec();
    rng.fill(&mut garbage[at..]);
    let mut headless = bytes.to_vec();
    headless[batch.start..=at].fill(0);
    vec![
        ("cut", bytes[..at].to_vec()),
        ("a flipped bit", flipped),
        ("zeros to the end", zeroed),
        ("garbage to the end", garbage),
        ("the front missing", headless),
    ]
}

#[tokio::test]
async fn a_last_batch_torn_at_any_byte_is_gone_and_nothing_else() {
    let image = image().await;
    let (batch, whole) = image.batches.last().unwrap();
    let (_, before) = image.batches[image.batches.len() - 2];
    for at in batch.clone() {
        for (what, torn) in tears(&image.bytes, batch, at) {
            // Zeroing zeros tears nothing.
            let intact = torn.get(batch.clone()) == Some(&image.bytes[batch.clone()]);
            let tip = if intact { *whole } else { before };
            image.survives(&torn, tip, 2, &format!("{what} at byte {at}")).await;
        }
    }
    image.survives(&image.bytes, *whole, 2, "untouched").await;
}

#[tokio::test]
async fn damage_before_the_last_acknowledged_batch_is_refused_with_its_place() {
    let image = image().await;
    // The last batch proves that everything before it had been synced.
    let acknowledged = &image.batches[..image.batches.len() - 1];
    for (batch, _) in acknowledged {
        for at in batch.clone() {
            let mut flipped = image.bytes.clone();
            flipped[at] ^= 0x10;
            image.is_refused(&flipped, batch.start as u64, &format!("a flipped bit at byte {at}"));
        }
        let mut zeroed = image.bytes.clone();
        zeroed[batch.clone()].fill(0);
        image.is_refused(&zeroed, batch.start as u64, "a batch of zeros");
    }
}

#[tokio::test]
async fn a_batch_taken_out_or_put_in_twice_is_noticed() {
    let image = image().await;
    for (batch, _) in &image.batches[..image.batches.len() - 1] {
        let (front, back) = (&image.bytes[..batch.start], &image.bytes[batch.end..]);
        image.is_refused(&[front, back].concat(), batch.start as u64, "a batch taken out");
        let twice = [&image.bytes[..batch.end], &image.bytes[batch.start..]].concat();
        image.is_refused(&twice, batch.end as u64, "a batch put in twice");
    }
}

#[tokio::test]
async fn a_batch_of_an_older_epoch_behind_a_newer_one_is_noticed() {
    let image = image().await;
    let (batch, _) = image.batches.last().unwrap();
    let mut bytes = image.bytes.clone();
    let salt = u32::from_le_bytes(bytes[28..32].try_into().unwrap());
    // The epoch lies behind shard, base and count; the CRC is right again afterwards.
    bytes[batch.start + 19..batch.start + 27].fill(0);
    frame::finish(&mut bytes[batch.clone()], salt, batch.start as u64);
    image.is_refused(&bytes, batch.start as u64, "an older epoch");
}

#[tokio::test]
async fn a_damaged_head_with_frames_behind_it_is_refused() {
    let image = image().await;
    for at in (0..8 * 1024).step_by(61) {
        let mut flipped = image.bytes.clone();
        flipped[at] ^= 1;
        image.is_refused(&flipped, 0, &format!("a flipped bit at byte {at} of the head"));
    }
}

#[tokio::test]
async fn a_segment_whose_head_was_never_finished_goes() {
    let image = image().await;
    let (_, tip) = image.batches.last().unwrap();
    for len in [0, 1, 100, 8 * 1024] {
        let folder = tempfile::tempdir().unwrap();
        image.write(folder.path(), &image.bytes);
        let next = folder.path().join("000000000002.segment");
        std::fs::write(&next, vec![0; len]).unwrap();
        let journal = image.open(folder.path()).unwrap();
        assert!(!next.exists());
        assert_eq!(journal.open(fence(SHARD, 2)).await, Ok(*tip));
    }
}

#[tokio::test]
async fn of_two_batches_under_one_sync_the_second_does_not_outlive_the_first() {
    let (folder, keyring, gate) = (tempfile::tempdir().unwrap(), keyring().await, Arc::new(Gate::default()));
    let journal = open(folder.path(), gate.clone(), &keyring);
    for shard in [SHARD, SHARD + 1] {
        journal.open(fence(shard, 1)).await.unwrap();
    }
    let tip = grow(&journal, fence(SHARD, 1), Position(0), 4).await.unwrap();
    gate.close();
    // While this sync waits, two more batches gather behind it and share the next one.
    let alone = grow(&journal, fence(SHARD, 1), tip, 1);
    let first = async {
        gate.wait_for_a_sync();
        let first = grow(&journal, fence(SHARD, 1), tip.plus(1), 5);
        let second = grow(&journal, fence(SHARD + 1, 1), Position(0), 5);
        let opened = async {
            gate.open();
        };
        let (first, second, ()) = futures::join!(first, second, opened);
        first.and(second)
    };
    let (alone, both) = futures::join!(alone, first);
    assert!(alone.is_ok() && both.is_ok());
    journal.close();
    let bytes = std::fs::read(segment(folder.path())).unwrap();
    let frames = frames(&bytes);
    let image = Image { bytes, batches: Vec::new(), keyring };
    let [_, alone, first, second] = &frames[..] else { panic!("{} frames", frames.len()) };
    let mut torn = image.bytes.clone();
    torn[first.start + 50] ^= 1;
    // The same batch again has the same length: what is not cut off would stand right behind it and be read.
    image.survives(&torn, tip.plus(1), 5, "the first of two torn").await;
    let mut torn = image.bytes.clone();
    torn[alone.start + 50] ^= 1;
    image.is_refused(&torn, alone.start as u64, "the one before, which both prove");
    let mut torn = image.bytes.clone();
    torn[second.start + 50] ^= 1;
    image.survives(&torn, tip.plus(6), 2, "the second of two torn").await;
}
