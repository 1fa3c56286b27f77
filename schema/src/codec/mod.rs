//! The bytes of an entry and of a frame, the same on every backend: `kind u8 | tenant varint | time | fields`.
//! A new field is a new kind; no kind ever changes its meaning, and golden bytes hold each of them. Bodies and
//! names are sealed under the tenant's data key.
//!
//! Not the meaning of an entry: that is the engine's fold.

pub(crate) mod body;
mod campaign;
pub mod frame;
mod held;
mod media;
mod message;
mod notice;
mod once;
mod part;
mod priced;
mod quoted;
mod rests;
pub mod row;
pub(crate) mod view;
mod webhook;

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod golden;

pub use frame::{ENTRY_MAX, FRAME_MAX, entry_len, split};

use crate::seal::{Keyring, SealError};
use kabar_engine::content::Content;
use kabar_engine::entry::{Entry, What};
use kabar_engine::id::{MessageId, TenantId};
use kabar_engine::time::Timestamp;
use row::{Reader, put_time, put_varint};

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("the bytes end inside `{0}`")]
    Short(&'static str),
    /// A value that cannot stand there.
    #[error("`{0}` has a value that cannot stand there")]
    Invalid(&'static str),
    /// More bytes than the kind has fields.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// A kind of a later version: this one must not start, or it would drop what it does not understand.
    #[error("entry kind {0} is not known to this version")]
    UnknownKind(u8),
    /// A sealed part does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// What bytes came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// The entry.
    Entry(Entry),
    /// The tenant's key is gone: the entry counts its position and means nothing.
    Erased,
}

/// Stable numbers of the kinds. 0 is none, so that zeroed bytes are no entry.
mod kind {
    pub(super) const OPENED: u8 = 1;
    pub(super) const CONVERSATION: u8 = 2;
    pub(super) const ALIAS: u8 = 3;
    pub(super) const INTENT: u8 = 4;
    pub(super) const CLAIM: u8 = 5;
    pub(super) const RELEASED: u8 = 6;
    pub(super) const PARKED: u8 = 7;
    pub(super) const RESULTS: u8 = 8;
    pub(super) const STATUSES: u8 = 9;
    pub(super) const RESOLVED: u8 = 10;
    pub(super) const ENDED: u8 = 11;
    pub(super) const INBOUND: u8 = 12;
    pub(super) const CONSENT: u8 = 13;
    pub(super) const FROZEN: u8 = 14;
    pub(super) const MOVED: u8 = 15;
    pub(super) const OBEYED: u8 = 16;
    pub(super) const FINISHED: u8 = 17;
    pub(super) const PART_STARTED: u8 = 18;
    pub(super) const PART_MOVED: u8 = 19;
    pub(super) const PART_CLAIM: u8 = 20;
    pub(super) const PART_RELEASED: u8 = 21;
    pub(super) const PART_PARKED: u8 = 22;
    pub(super) const PART_RESULTS: u8 = 23;
    pub(super) const PART_STATUSES: u8 = 24;
    pub(super) const PART_RESOLVED: u8 = 25;
    pub(super) const PART_ENDED: u8 = 26;
    pub(super) const PART_DEFERRED: u8 = 27;
    pub(super) const PART_FINISHED: u8 = 28;
    pub(super) const TOUCHED: u8 = 29;
    // With the idempotency key they were asked under.
    pub(super) const MOVED_ONCE: u8 = 30;
    pub(super) const CONSENT_ONCE: u8 = 31;
    pub(super) const ENDED_ONCE: u8 = 32;
    pub(super) const WEBHOOK_DISABLED: u8 = 33;
    // With the API key it was asked with, and with what had held them up.
    pub(super) const INTENT_BY: u8 = 34;
    pub(super) const CLAIM_HELD: u8 = 35;
    pub(super) const PART_CLAIM_HELD: u8 = 36;
    // With how many had had enough marketing.
    pub(super) const FROZEN_CAPPED: u8 = 37;
    // With the caller's tag.
    pub(super) const INTENT_TAGGED: u8 = 38;
    pub(super) const MEDIA_STORED: u8 = 39;
    pub(super) const MEDIA_FAILED: u8 = 40;
    // What the provider told beside messages; with what stood beside a message; with what messages cost.
    pub(super) const NOTICE: u8 = 41;
    pub(super) const INBOUND_BESIDE: u8 = 42;
    pub(super) const STATUSES_PRICED: u8 = 43;
    pub(super) const PART_STATUSES_PRICED: u8 = 44;
    // What the provider said of calls it refused.
    pub(super) const QUOTED: u8 = 45;
    // With who the recipient must still be.
    pub(super) const INTENT_IDENTIFIED: u8 = 46;
    // With what else the provider said of a status.
    pub(super) const STATUSES_TOLD: u8 = 47;
    pub(super) const PART_STATUSES_TOLD: u8 = 48;
    pub(super) const LAST: u8 = PART_STATUSES_TOLD;
}

/// The highest entry kind this version knows.
pub const NEWEST_KIND: u8 = kind::LAST;

/// How sealed parts are written: with keys, or as room for them.
#[derive(Clone, Copy)]
pub(crate) enum Sealer<'a> {
    /// For the disk.
    Keys(&'a Keyring),
    /// Only to know how long it will be.
    Room,
}

impl Sealer<'_> {
    /// Appends the length and the sealed form of what `write` writes.
    fn seal(
        self,
        out: &mut Vec<u8>,
        tenant: TenantId,
        aad: &[u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), SealError> {
        // The length is not known before: four bytes are kept for it, which a varint could not promise.
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        match self {
            Self::Keys(keyring) => keyring.seal_into(tenant, out, aad, write)?,
            Self::Room => {
                write(out);
                out.extend_from_slice(&[0; 5 + 12 + 16]);
            }
        }
        let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
        out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }
}

/// Appends the bytes of an entry.
///
/// # Errors
/// [`SealError::NoKey`] when the tenant's key was not ensured; `out` then holds a torn entry and is of no use.
pub fn encode(entry: &Entry, keyring: &Keyring, out: &mut Vec<u8>) -> Result<(), SealError> {
    // Also an entry without a sealed part needs its tenant's key: without one it would read back as erased.
    if !matches!(entry.what, What::Opened { .. }) && !keyring.known(entry.tenant) {
        return Err(SealError::NoKey);
    }
    encode_with(entry, Sealer::Keys(keyring), out)
}

pub(crate) fn encode_with(entry: &Entry, sealer: Sealer<'_>, out: &mut Vec<u8>) -> Result<(), SealError> {
    let at = out.len();
    out.push(0);
    put_varint(out, entry.tenant.0);
    put_time(out, entry.at);
    let mut to = Fields { out, tenant: entry.tenant, at: entry.at, sealer };
    let kind = match message::put(&mut to, &entry.what)? {
        Some(kind) => kind,
        None => match sealed(&mut to, &entry.what)? {
            Some(kind) => kind,
            None => campaign::put(to.out, &entry.what)
                .or_else(|| part::put(to.out, entry.at, &entry.what))
                .or_else(|| webhook::put(to.out, &entry.what))
                .or_else(|| media::put(to.out, &entry.what))
                .expect("invariant: every kind is written by one of the eight"),
        },
    };
    out[at] = kind;
    Ok(())
}

/// Kinds of what the provider said in its own words, which is sealed.
fn sealed(to: &mut Fields<'_>, what: &What) -> Result<Option<u8>, SealError> {
    for put in [notice::put, quoted::put, rests::put] {
        if let Some(kind) = put(to, what)? {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

/// The same read.
fn opened(from: &mut Stored<'_>) -> Result<Option<Found>, DecodeError> {
    for read in [message::read, notice::read, quoted::read, rests::read] {
        if let Some(found) = read(from)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Where an entry's fields are written.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    tenant: TenantId,
    at: Timestamp,
    sealer: Sealer<'a>,
}

/// Reads exactly one entry.
///
/// # Errors
/// [`DecodeError`]; never panics, whatever the bytes.
pub fn decode(bytes: &[u8], keyring: &Keyring) -> Result<Decoded, DecodeError> {
    let mut reader = Reader::new(bytes);
    let (kind, tenant, at) = read_head(&mut reader)?;
    if kind != kind::OPENED && keyring.erased(tenant)? {
        return Ok(Decoded::Erased);
    }
    let mut from = Stored { reader, kind, tenant, at, keyring };
    let what = match opened(&mut from)? {
        Some(Found::Erased) => return Ok(Decoded::Erased),
        Some(Found::What(what)) => what,
        None => match (campaign::read(kind, &mut from.reader)?, webhook::read(kind, &mut from.reader)?) {
            (Some(what), _) | (None, Some(what)) => what,
            (None, None) => match media::read(kind, &mut from.reader)? {
                Some(what) => what,
                None => part::read(kind, &mut from.reader, at)?.ok_or(DecodeError::UnknownKind(kind))?,
            },
        },
    };
    from.reader.finish()?;
    Ok(Decoded::Entry(Entry { tenant, at, what }))
}

/// When the entry happened, read without keys; also a check that this version knows its kind.
///
/// # Errors
/// [`DecodeError::UnknownKind`], or what is wrong with the head.
pub fn time_of(bytes: &[u8]) -> Result<Timestamp, DecodeError> {
    read_head(&mut Reader::new(bytes)).map(|(_, _, at)| at)
}

fn read_head(reader: &mut Reader<'_>) -> Result<(u8, TenantId, Timestamp), DecodeError> {
    let kind = reader.byte("kind")?;
    if !(1..=NEWEST_KIND).contains(&kind) {
        return Err(DecodeError::UnknownKind(kind));
    }
    Ok((kind, TenantId(reader.varint("tenant")?), reader.time("at")?))
}

/// Where an entry's fields are read.
struct Stored<'a> {
    reader: Reader<'a>,
    kind: u8,
    tenant: TenantId,
    at: Timestamp,
    keyring: &'a Keyring,
}

/// What the fields came to.
enum Found {
    What(What),
    Erased,
}

impl Stored<'_> {
    /// Opens a sealed part; `None` when its key is gone.
    fn open(&mut self, aad: &[u8], what: &'static str) -> Result<Option<Vec<u8>>, DecodeError> {
        let length = u32::from_le_bytes(self.reader.array(what)?);
        let length = usize::try_from(length).map_err(|_| DecodeError::Invalid(what))?;
        let sealed = self.reader.take(length, what)?;
        Ok(self.keyring.open_bytes(self.tenant, sealed, aad)?)
    }
}

/// The place a message's content is sealed for: the same in the journal and in a row, so that neither can be
/// moved to another message.
#[must_use]
pub fn content_place(message: MessageId) -> [u8; 15] {
    let mut place = *b"message________";
    place[7..].copy_from_slice(&message.0.to_be_bytes());
    place
}

fn write_content(out: &mut Vec<u8>, content: &Content) {
    serde_json::to_writer(out, content).expect("invariant: a content is JSON, and a vector takes all bytes");
}

/// Reads a content's JSON. One that no longer fits its type is kept as it is: a single odd message must not keep
/// a node from starting.
fn read_content(json: &[u8]) -> Result<Content, DecodeError> {
    if let Ok(content) = serde_json::from_slice(json) {
        return Ok(content);
    }
    let value = serde_json::from_slice(json).map_err(|_| DecodeError::Invalid("content"))?;
    tracing::error!("a stored content does not fit its type; it is shown as unreadable");
    Ok(Content::Other { kind: "unreadable".to_owned(), value })
}

/// A content sealed for `place` ([`content_place`] for a message's), in the compact form of
/// [`crate::seal::Sealed::to_bytes`].
///
/// # Errors
/// [`SealError::NoKey`] when the tenant's key was not ensured.
pub fn seal_content(
    keyring: &Keyring,
    tenant: TenantId,
    content: &Content,
    place: &[u8],
) -> Result<Vec<u8>, SealError> {
    let mut out = Vec::with_capacity(512);
    keyring.seal_into(tenant, &mut out, place, |out| write_content(out, content))?;
    Ok(out)
}

/// Opens what [`seal_content`] gave; `None` when the tenant's key is gone.
///
/// # Errors
/// [`DecodeError::Seal`] when it does not open, [`DecodeError::Invalid`] when it is no content.
pub fn open_content(
    keyring: &Keyring,
    tenant: TenantId,
    sealed: &[u8],
    place: &[u8],
) -> Result<Option<Content>, DecodeError> {
    match keyring.open_bytes(tenant, sealed, place)? {
        Some(json) => read_content(&json).map(Some),
        None => Ok(None),
    }
}
