//! The ledger: frozen audiences, chunk by chunk, written once. Here are the trait and the packed form that every
//! backend on disk keeps: addresses sorted and delta-coded, variables column by column for lz4.
//!
//! Not the marks (views) and not the contacts the audience came from.

use crate::Answer;
use crate::codec::DecodeError;
use crate::codec::row::{Reader, put_bytes, put_text, put_varint};
use kabar_engine::address::Address;
use kabar_engine::chunk::{Chunk, ChunkKey, Recipient};
use kabar_engine::id::{CampaignId, SessionId, TenantId};
use std::sync::Arc;

/// What a frozen part consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartManifest {
    /// The session it is sent from.
    pub session: SessionId,
    /// Its chunks in order: the first address and how many recipients.
    pub chunks: Vec<(Address, u32)>,
}

/// The store of frozen audiences.
pub trait Ledger: Send + Sync {
    /// Writes a chunk. The same content again is Ok; another content under the same key is `Conflict`.
    fn put_chunk(&self, key: ChunkKey, chunk: Chunk) -> Answer<'_, ()>;

    /// The chunk, if it was written and its tenant's key was not erased.
    fn get_chunk(&self, key: ChunkKey) -> Answer<'_, Option<Chunk>>;

    /// Writes a part's manifest, once like a chunk.
    #[expect(
        clippy::too_many_arguments,
        reason = "four numbers are the part's key, as they are in the tables"
    )]
    fn put_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
        manifest: PartManifest,
    ) -> Answer<'_, ()>;

    /// The part's manifest, if it was written.
    fn get_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
    ) -> Answer<'_, Option<PartManifest>>;
}

const ADDRESS: &str = "address";
const VALUE: &str = "value";

/// Addresses one after the other: bytes shared with the one before, further bytes, the further bytes.
pub(crate) fn pack_addresses<'a>(addresses: impl Iterator<Item = &'a Address>) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut before = String::new();
    for address in addresses {
        let key = address.key();
        let shared = before.bytes().zip(key.bytes()).take_while(|(a, b)| a == b).count();
        // A key is ASCII and shorter than 140 bytes, so both lengths fit a byte.
        packed.push(u8::try_from(shared).expect("an address key is shorter than 256 bytes"));
        packed.push(u8::try_from(key.len() - shared).expect("an address key is shorter than 256 bytes"));
        packed.extend_from_slice(&key.as_bytes()[shared..]);
        before = key;
    }
    packed
}

/// The addresses again.
pub(crate) fn unpack_addresses(packed: &[u8]) -> Result<Vec<Address>, DecodeError> {
    let mut reader = Reader::new(packed);
    let mut key: Vec<u8> = Vec::new();
    let mut addresses = Vec::new();
    while !reader.rest().is_empty() {
        let (shared, rest) = (usize::from(reader.byte(ADDRESS)?), usize::from(reader.byte(ADDRESS)?));
        if shared > key.len() {
            return Err(DecodeError::Invalid(ADDRESS));
        }
        key.truncate(shared);
        key.extend_from_slice(reader.take(rest, ADDRESS)?);
        let text = std::str::from_utf8(&key).map_err(|_| DecodeError::Invalid(ADDRESS))?;
        addresses.push(Address::from_key(text).map_err(|_| DecodeError::Invalid(ADDRESS))?);
    }
    Ok(addresses)
}

/// Everything of a chunk but its addresses, compressed: column names, zones, then the values column by column,
/// which compresses better than row by row.
pub(crate) fn pack_variables(chunk: &Chunk) -> Vec<u8> {
    let mut plain = Vec::new();
    put_varint(&mut plain, chunk.columns.len() as u64);
    for column in chunk.columns.iter() {
        put_text(&mut plain, column);
    }
    for recipient in &chunk.recipients {
        put_optional(&mut plain, recipient.zone.as_deref());
    }
    for column in 0..chunk.columns.len() {
        for recipient in &chunk.recipients {
            put_optional(&mut plain, recipient.values.get(column).and_then(Option::as_deref));
        }
    }
    lz4_flex::compress_prepend_size(&plain)
}

/// The chunk again, from its addresses and its variables.
pub(crate) fn unpack(addresses: Vec<Address>, variables: &[u8]) -> Result<Chunk, DecodeError> {
    let plain = lz4_flex::decompress_size_prepended(variables).map_err(|_| DecodeError::Invalid(VALUE))?;
    let mut reader = Reader::new(&plain);
    let columns: Vec<Arc<str>> = reader.list("column", |r| r.text("column").map(Into::into))?;
    let mut recipients = Vec::with_capacity(addresses.len());
    for address in addresses {
        let zone = optional(&mut reader)?;
        recipients.push(Recipient { address, zone, values: Vec::with_capacity(columns.len()) });
    }
    for _ in 0..columns.len() {
        for recipient in &mut recipients {
            recipient.values.push(optional(&mut reader)?);
        }
    }
    reader.finish()?;
    Ok(Chunk { columns: columns.into(), recipients })
}

/// 0 for none, otherwise length + 1 and the text.
fn put_optional(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        None => out.push(0),
        Some(value) => {
            put_varint(out, value.len() as u64 + 1);
            out.extend_from_slice(value.as_bytes());
        }
    }
}

fn optional(reader: &mut Reader<'_>) -> Result<Option<Arc<str>>, DecodeError> {
    let Some(length) = reader.varint(VALUE)?.checked_sub(1) else { return Ok(None) };
    let length = usize::try_from(length).map_err(|_| DecodeError::Invalid(VALUE))?;
    let text = std::str::from_utf8(reader.take(length, VALUE)?).map_err(|_| DecodeError::Invalid(VALUE))?;
    Ok(Some(text.into()))
}

/// A part's chunks, packed.
pub(crate) fn pack_part(chunks: &[(Address, u32)]) -> Vec<u8> {
    let mut packed = Vec::new();
    put_bytes(&mut packed, &pack_addresses(chunks.iter().map(|c| &c.0)));
    for (_, count) in chunks {
        put_varint(&mut packed, u64::from(*count));
    }
    packed
}

/// A part's chunks again.
pub(crate) fn unpack_part(packed: &[u8]) -> Result<Vec<(Address, u32)>, DecodeError> {
    let mut reader = Reader::new(packed);
    let addresses = unpack_addresses(reader.bytes("addresses")?)?;
    let chunks =
        addresses.into_iter().map(|a| reader.small("count").map(|c| (a, c))).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk() -> impl Strategy<Value = Chunk> {
        let recipient = ("[0-9]{5,15}", proptest::option::of("[A-Za-z/]{1,20}"), any::<[Option<u8>; 3]>());
        (0..4_usize, proptest::collection::vec(recipient, 0..60), "\\PC{0,300}").prop_map(
            |(columns, recipients, long)| {
                let value = |v: u8| if v == 0 { long.as_str().into() } else { format!("wert {v}").into() };
                let recipients = recipients
                    .into_iter()
                    .map(|(digits, zone, values)| Recipient {
                        address: Address::phone_digits(&digits).unwrap(),
                        zone: zone.map(Into::into),
                        values: values.into_iter().cycle().take(columns).map(|v| v.map(value)).collect(),
                    })
                    .collect();
                let columns = (0..columns).map(|c| format!("column {c}").into()).collect();
                Chunk { columns, recipients }
            },
        )
    }

    proptest! {
        #[test]
        fn a_chunk_goes_there_and_back(chunk in chunk()) {
            let addresses = unpack_addresses(&pack_addresses(chunk.recipients.iter().map(|r| &r.address))).unwrap();
            prop_assert_eq!(unpack(addresses, &pack_variables(&chunk)).unwrap(), chunk);
        }

        #[test]
        fn damaged_bytes_are_refused_without_a_panic(chunk in chunk(), at: proptest::sample::Index, bit in 0..8_u8) {
            let mut addresses = pack_addresses(chunk.recipients.iter().map(|r| &r.address));
            if !addresses.is_empty() {
                let at = at.index(addresses.len());
                addresses[at] ^= 1 << bit;
                let _ = unpack_addresses(&addresses);
            }
            let list: Vec<_> = chunk.recipients.iter().map(|r| r.address.clone()).collect();
            let mut variables = pack_variables(&chunk);
            // The size in front is left alone: lz4 reserves what it says.
            if variables.len() > 4 {
                let at = 4 + at.index(variables.len() - 4);
                variables[at] ^= 1 << bit;
                let _ = unpack(list, &variables);
            }
        }
    }

    #[test]
    fn sorted_addresses_take_few_bytes() {
        let list: Vec<_> =
            (0..512).map(|n| Address::phone_digits(&format!("62812{:08}", n * 37)).unwrap()).collect();
        assert!(pack_addresses(list.iter()).len() < 512 * 6);
    }
}
