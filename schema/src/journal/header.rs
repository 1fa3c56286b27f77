//! The head of a segment file and the tips it carries: where every shard stood when the segment began. The tips
//! make old segments readable without scanning them, and outlive them when they are retired.

use kabar_engine::entry::Position;
use kabar_engine::id::{SHARDS, ShardId};
use kabar_engine::time::Timestamp;

/// Bytes of a head. A file that is not longer holds no frame.
pub(super) const HEADER: usize = 8 * 1024;
const MAGIC: &[u8; 8] = b"KABARJRN";
const VERSION: u32 = 1;
const FIXED: usize = 8 + 4 + 8 + 8 + 4 + 8 + 2;
const LINE: usize = 1 + 8 + 8;

/// Where one shard stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tip {
    /// Its last position.
    pub(super) position: u64,
    /// The highest epoch that appended.
    pub(super) epoch: u64,
}

/// Where all shards stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tips(Box<[Tip; SHARDS]>);

impl Default for Tips {
    fn default() -> Self {
        Self(Box::new([Tip::default(); SHARDS]))
    }
}

impl Tips {
    pub(super) fn get(&self, shard: ShardId) -> Tip {
        self.0[usize::from(shard.0)]
    }

    pub(super) fn position(&self, shard: ShardId) -> Position {
        Position(self.get(shard).position)
    }

    pub(super) fn set(&mut self, shard: ShardId, tip: Tip) {
        self.0[usize::from(shard.0)] = tip;
    }

    /// Lifts shards that stand below the floors; tells whether one did.
    pub(super) fn lift(&mut self, floors: &[(ShardId, Position)]) -> bool {
        let mut lifted = false;
        for (shard, floor) in floors {
            let tip = &mut self.0[usize::from(shard.0)];
            if tip.position < floor.0 {
                tip.position = floor.0;
                lifted = true;
            }
        }
        lifted
    }

    /// Whether no shard stands below `other`.
    pub(super) fn reach(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).all(|(a, b)| a.position >= b.position && a.epoch >= b.epoch)
    }
}

/// A segment's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// The segment's number, from 1.
    pub(super) ordinal: u64,
    /// The log-wide offset of the file's first byte.
    pub(super) start: u64,
    /// Where the CRC of its frames begins.
    pub(super) salt: u32,
    /// The newest time of an entry in all earlier segments.
    pub(super) newest: Timestamp,
    /// Where the shards stood.
    pub(super) tips: Tips,
}

/// Why a head cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Cut, torn or something else.
    Bad,
    /// Of a later version.
    Newer(u32),
}

impl Header {
    /// The name of the segment's file.
    pub(super) fn name(&self) -> String {
        file_name(self.ordinal)
    }

    /// The bytes at the file's beginning.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        out.extend_from_slice(&self.start.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.newest.0.to_le_bytes());
        let known: Vec<_> =
            ShardId::all().map(|s| (s, self.tips.get(s))).filter(|(_, t)| *t != Tip::default()).collect();
        let count = u16::try_from(known.len()).expect("invariant: there are 256 shards");
        out.extend_from_slice(&count.to_le_bytes());
        for (shard, tip) in known {
            out.push(shard.0);
            out.extend_from_slice(&tip.position.to_le_bytes());
            out.extend_from_slice(&tip.epoch.to_le_bytes());
        }
        out.resize(HEADER - 4, 0);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads what [`Header::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, HeaderError> {
        let (body, crc) =
            bytes.get(..HEADER).and_then(|bytes| bytes.split_last_chunk::<4>()).ok_or(HeaderError::Bad)?;
        if !body.starts_with(MAGIC) || crc32fast::hash(body).to_le_bytes() != *crc {
            return Err(HeaderError::Bad);
        }
        let version = u32::from_le_bytes(field(body, 8));
        if version != VERSION {
            return Err(HeaderError::Newer(version));
        }
        let count = usize::from(u16::from_le_bytes(field(body, FIXED - 2)));
        let lines = body.get(FIXED..FIXED + count * LINE).ok_or(HeaderError::Bad)?;
        let mut tips = Tips::default();
        for line in lines.chunks_exact(LINE) {
            let tip = Tip {
                position: u64::from_le_bytes(field(line, 1)),
                epoch: u64::from_le_bytes(field(line, 9)),
            };
            tips.set(ShardId(line[0]), tip);
        }
        Ok(Self {
            ordinal: u64::from_le_bytes(field(body, 12)),
            start: u64::from_le_bytes(field(body, 20)),
            salt: u32::from_le_bytes(field(body, 28)),
            newest: Timestamp(i64::from_le_bytes(field(body, 32))),
            tips,
        })
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk::<N>().expect("invariant: the caller checked the length")
}

/// The name of a segment's file.
pub(super) fn file_name(ordinal: u64) -> String {
    format!("{ordinal:012}.segment")
}

/// The ordinal a file name tells; `None` when it is no segment's.
pub(super) fn ordinal_of(name: &str) -> Option<u64> {
    name.strip_suffix(".segment").filter(|digits| digits.len() == 12)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_and_one_flipped_bit_is_seen() {
        let mut tips = Tips::default();
        for shard in ShardId::all() {
            tips.set(shard, Tip { position: u64::from(shard.0) + 1, epoch: u64::MAX });
        }
        let header = Header { ordinal: 7, start: 1 << 40, salt: 9, newest: Timestamp(-5), tips };
        let bytes = header.to_bytes();
        assert_eq!(bytes.len(), HEADER);
        assert_eq!(Header::from_bytes(&bytes), Ok(header));
        for at in [0, 30, 60, 4_000, HEADER - 1] {
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            assert_eq!(Header::from_bytes(&torn), Err(HeaderError::Bad), "byte {at}");
        }
        assert_eq!(Header::from_bytes(&bytes[..HEADER - 1]), Err(HeaderError::Bad));
    }

    #[test]
    fn file_names_sort_like_their_numbers() {
        assert_eq!(ordinal_of(&file_name(42)), Some(42));
        assert!(file_name(9) < file_name(10));
        assert_eq!(ordinal_of("LOCK"), None);
        assert_eq!(ordinal_of("1.segment"), None);
    }
}
