//! Frames of the journal and the entries in them: `kabar_schema::codec`, on bytes as a damaged disk or a wrong version gives
//! them. Not the files frames lie in, nor their recovery.

use super::{about, kind};
use kabar_engine::entry::{Entry, Position};
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use kabar_schema::codec::frame::{self, FRAME_MAX, HEAD};
use kabar_schema::codec::{DecodeError, Decoded, decode, encode, time_of};
use kabar_schema::journal::Fence;
use kabar_schema::memory::MemoryRecords;
use kabar_schema::records::{DataKey, Record, Records};
use kabar_schema::seal::{Keyring, MasterKey};
use std::sync::{Arc, OnceLock};

/// Bytes are no words; what an edge is stands in the mutations.
pub(super) const WORDS: &[&str] =
    &["\u{0}\u{0}\u{0}\u{0}", "\u{1}", "wamid.A", "628123", "\u{7f}", "ÿÿÿÿÿÿÿÿ"];

/// The salt of the corpus' segment.
const SALT: u32 = 0x5a17;
/// The tenant of the golden entries, and the data key they were sealed with, wrapped under [`MASTER`].
const TENANT: TenantId = TenantId(77);
const MASTER: &str = "0909090909090909090909090909090909090909090909090909090909090909";
const WRAPPED: &str = "050505050505050505050505cc74b55508db1f4e412756fdde6c6a7602cfb193b6d0b5cf017715a269f4a30cade37623355d585189fda36e88556c04";

/// Any bytes are a frame that passed its checksum, or none; the same bytes with length and checksum mended are entries that read
/// back as what they are, or are refused, however wrong what stands in them is.
///
/// # Panics
/// When one of these is not so.
pub fn frame(data: &[u8]) -> u64 {
    let found = frame::parse(data, SALT).map(|found| (found.len, found.count));
    if let Some((len, count)) = found {
        assert!(count > 0 && len <= data.len() && (HEAD..=FRAME_MAX).contains(&len));
        assert_eq!(frame::parse(data, SALT + 1), None, "a frame of another segment passes");
    }
    let mut mended = data.to_vec();
    mended.resize(data.len().clamp(HEAD, FRAME_MAX), 0);
    let len = u32::try_from(mended.len()).expect("invariant: a frame has at most 64 KiB");
    mended[..4].copy_from_slice(&len.to_le_bytes());
    let durable = u64::from(len);
    frame::finish(&mut mended, SALT, durable);
    let Some(parsed) = frame::parse(&mended, SALT) else {
        let base = u64::from_le_bytes(*mended[9..].first_chunk().expect("invariant: as long as a head"));
        let count = u16::from_le_bytes(*mended[17..].first_chunk().expect("invariant: as long as a head"));
        assert!(count == 0 || base.checked_add(count.into()).is_none(), "a whole frame is refused");
        return kind(("none", count == 0));
    };
    assert_eq!((parsed.len, parsed.durable), (mended.len(), durable));
    assert!(parsed.last() >= parsed.base);
    flipped(&mended, data.len());
    let entries = match parsed.entries() {
        Ok(entries) => entries,
        Err(error) => return kind(format!("{error:?}").split('(').next().map(str::to_owned)),
    };
    assert_eq!(entries.len(), usize::from(parsed.count));
    assert_eq!(entries.last().map(|(at, _)| *at), Some(parsed.last()));
    let kinds: Vec<u64> = entries.iter().take(64).map(|(_, bytes)| entry(bytes)).collect();
    rebuilt(&entries);
    kind((about(kinds.len()), kinds.into_iter().take(3).collect::<Vec<_>>()))
}

/// A flipped bit anywhere behind the length is seen.
fn flipped(frame: &[u8], at: usize) {
    let mut damaged = frame.to_vec();
    let place = 4 + at.wrapping_mul(31) % (damaged.len() - 4);
    damaged[place] ^= 1 << (at % 8);
    assert_eq!(frame::parse(&damaged, SALT), None, "a flipped bit at {place} is not seen");
}

/// Reads one entry; what it is, is what it is written as again.
fn entry(bytes: &[u8]) -> u64 {
    let decoded = decode(bytes, keyring());
    if let (Ok(Decoded::Entry(entry)), Ok(at)) = (&decoded, time_of(bytes)) {
        assert_eq!(entry.at, at, "its time is read alike without keys");
    }
    match decoded {
        Ok(Decoded::Entry(entry)) => {
            let mut again = Vec::new();
            // Another tenant's entry has no key here and cannot be written.
            if entry.tenant == TENANT {
                encode(&entry, keyring(), &mut again).expect("what was read is written");
                assert_eq!(decode(&again, keyring()), Ok(Decoded::Entry(entry.clone())));
                assert!(again.len() <= bytes.len() + 64, "{} bytes of {}", again.len(), bytes.len());
            }
            kind((entry.what.name(), about(bytes.len())))
        }
        Ok(Decoded::Erased) => kind("erased"),
        Err(DecodeError::UnknownKind(_)) => kind("unknown"),
        Err(error) => kind((bytes.first(), format!("{error:?}"))),
    }
}

/// All of its entries, written as a frame of their own, read back in order.
fn rebuilt(entries: &[(Position, &[u8])]) {
    let read: Vec<Arc<Entry>> = entries
        .iter()
        .filter_map(|(_, bytes)| match decode(bytes, keyring()) {
            Ok(Decoded::Entry(entry)) if entry.tenant == TENANT => Some(Arc::new(entry)),
            _ => None,
        })
        .collect();
    let fence = Fence { shard: kabar_engine::id::ShardId(3), epoch: 9 };
    let Ok(mut bytes) = frame::build(fence, Position(40), 7, &read, keyring()) else { return };
    frame::finish(&mut bytes, SALT, 1);
    let parsed = frame::parse(&bytes, SALT).expect("a frame that was built parses");
    let again = parsed.entries().expect("its entries are there");
    assert_eq!(again.len(), read.len());
    for ((at, bytes), (place, entry)) in again.into_iter().zip(read.iter().enumerate()) {
        assert_eq!(at, Position(40 + place as u64));
        assert_eq!(decode(bytes, keyring()), Ok(Decoded::Entry(Entry::clone(entry))));
    }
}

/// One keyring with the key of the golden entries; every other tenant counts as erased.
fn keyring() -> &'static Keyring {
    static KEYRING: OnceLock<Keyring> = OnceLock::new();
    KEYRING.get_or_init(|| {
        let records: Arc<dyn Records> = Arc::new(MemoryRecords::default());
        let hex = |text: &str| {
            let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("invariant: hexadecimal digits");
            (0..text.len()).step_by(2).map(byte).collect::<Vec<u8>>()
        };
        let key = DataKey { tenant: TENANT, key_id: 1, wrapped: hex(WRAPPED), created: Timestamp(0) };
        let record = Record::of(&key).expect("invariant: a key is a record");
        let master = MasterKey::from_hex(MASTER).expect("invariant: 64 digits");
        let keyring = Keyring::new(master, Arc::clone(&records));
        futures::executor::block_on(async {
            records.put(record, 0).await.expect("memory takes it");
            keyring.load().await.expect("the master key opens it");
        });
        keyring
    })
}
