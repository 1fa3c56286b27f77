//! Counts and digests of rows, the same in whatever order they come: each row's hash is added. What is hashed is the
//! plain row, because what is sealed looks different everywhere. Not a proof against who wants to deceive.

use crate::codec::{self, Sealer};
use crate::contacts::Contact;
use crate::ledger::PartManifest;
use crate::records::Record;
use kabar_engine::address::Address;
use kabar_engine::chunk::{Chunk, ChunkKey};
use kabar_engine::entry::{Entry, Position};
use kabar_engine::id::ShardId;
use kabar_engine::overlay::Row;
use std::fmt::Debug;
use xxhash_rust::xxh3::xxh3_128;

/// How many rows, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub rows: u64,
    /// XXH3-128 of each, added up.
    pub digest: u128,
}

impl Sum {
    /// Adds a row.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.rows += 1;
        self.digest = self.digest.wrapping_add(xxh3_128(bytes));
    }

    /// Adds a row by what its fields show, and the addresses in it, which show nothing of themselves.
    pub(super) fn shown<'a>(&mut self, row: &impl Debug, addresses: impl IntoIterator<Item = &'a Address>) {
        let mut text = format!("{row:?}");
        for address in addresses {
            text.push('\n');
            text.push_str(&address.key());
        }
        self.add(text.as_bytes());
    }

    /// Adds a record, without what it can be found by.
    pub(super) fn record(&mut self, r: &Record) {
        self.shown(&(r.kind, r.tenant, r.id, r.version, r.created, &r.body), []);
    }

    /// Adds a contact.
    pub(super) fn contact(&mut self, contact: &Contact) {
        self.shown(contact, [&contact.address]);
    }

    /// Adds a chunk.
    pub(super) fn chunk(&mut self, key: &ChunkKey, chunk: &Chunk) {
        self.shown(&(key, chunk), chunk.recipients.iter().map(|r| &r.address));
    }

    /// Adds a part's manifest.
    pub(super) fn manifest(&mut self, key: [u64; 4], manifest: &PartManifest) {
        self.shown(&(key, manifest), manifest.chunks.iter().map(|c| &c.0));
    }

    /// Adds an entry.
    pub(super) fn entry(&mut self, shard: ShardId, position: Position, entry: &Entry) {
        let mut bytes = vec![shard.0];
        bytes.extend_from_slice(&position.0.to_be_bytes());
        codec::encode_with(entry, Sealer::Room, &mut bytes).expect("invariant: room needs no key");
        self.add(&bytes);
    }

    /// Adds a row of views; nothing for one that is absent.
    pub(super) fn row(&mut self, row: &Row) {
        match row {
            Row::Absent | Row::Chunk(_) => {}
            Row::Message(row) => self.shown(row, [&row.address]),
            Row::Conversation(row) => self.shown(row, std::iter::once(&row.address).chain(&row.aliases)),
            Row::Address(row) => self.shown(row, [&row.address]),
            Row::Seen(row) => self.shown(row, []),
            Row::Idempotency(row) => self.shown(row, []),
            Row::Campaign(row) => self.shown(row, []),
            Row::Part(row, marks) => {
                let marks: Vec<u32> = marks.iter().map(|m| m.chunk).collect();
                self.shown(&(row, marks), row.start.chunks.iter().map(|c| &c.first));
            }
            Row::Marks(row) => self.shown(row, []),
            Row::SessionParts(rows) => {
                let order: Vec<_> = rows.iter().map(|r| (r.start.campaign, r.start.part, r.upto)).collect();
                self.shown(&order, []);
            }
            Row::Run(row) => self.shown(row, []),
            Row::Consent(rows) => self.shown(rows, rows.iter().map(|r| &r.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_knows_no_order_and_sees_every_address() {
        let address = |n: u32| Address::phone_digits(&format!("62812{n:08}")).unwrap();
        let (mut forth, mut back, mut other) = (Sum::default(), Sum::default(), Sum::default());
        forth.shown(&1, [&address(1)]);
        forth.shown(&2, [&address(2)]);
        back.shown(&2, [&address(2)]);
        back.shown(&1, [&address(1)]);
        other.shown(&1, [&address(1)]);
        other.shown(&2, [&address(3)]);
        assert_eq!(forth, back);
        assert_eq!(forth.rows, other.rows);
        assert_ne!(forth, other);
    }
}
