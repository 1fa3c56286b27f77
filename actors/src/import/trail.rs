//! Going on after a kill: the rows up to the checkpoint are read again without being written, and must be the same
//! ones. Not the record that keeps the checkpoint.
//!
//! Chunks are cut alike however the file arrives, so a checkpoint always stands between two of them.

use super::split::Rows;
use super::{ImportError, ImportRequest};
use kabar_engine::time::Timestamp;
use kabar_schema::records::Import;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// How far the file is read, and up to where it was read before.
pub(super) struct Trail {
    digest: u128,
    rows: u64,
    /// Rows before the checkpoint; 0 when nothing is to be passed over.
    goal: u64,
    /// What the digest must be there.
    wanted: String,
    /// Contacts that may have been written behind the checkpoint by the run that was killed.
    doubt: u64,
    since: Timestamp,
}

impl Trail {
    /// From the header on.
    pub(super) fn new(request: &ImportRequest, header: &[String], import: &Import) -> Self {
        let checkpoint = import.checkpoint.as_ref();
        // Another mapping makes other contacts of the same rows.
        let begin = format!("{header:?} {:?} {:?}", request.mapping, request.default_region);
        Self {
            digest: xxh3_128(begin.as_bytes()),
            rows: 0,
            goal: import.rows_read,
            wanted: checkpoint.map(|c| c.digest.clone()).unwrap_or_default(),
            doubt: 0,
            since: checkpoint.map_or(import.created, |c| c.at),
        }
    }

    /// Goes over a chunk; whether it stands before the checkpoint, so that it is written already.
    ///
    /// # Errors
    /// `OtherFile` when the rows up to the checkpoint were others.
    pub(super) fn pass(&mut self, rows: usize, digest: u128) -> Result<bool, ImportError> {
        let passed = self.rows >= self.goal;
        self.rows += rows as u64;
        self.digest = xxh3_128(&[self.digest.to_le_bytes(), digest.to_le_bytes()].concat());
        if passed || self.rows < self.goal {
            return Ok(!passed);
        }
        if self.rows == self.goal && self.digest() == self.wanted {
            Ok(true)
        } else {
            Err(ImportError::OtherFile)
        }
    }

    /// The digest of all that was passed, as the record keeps it.
    pub(super) fn digest(&self) -> String {
        format!("{:032x}", self.digest)
    }

    /// Whether everything before the checkpoint is passed.
    pub(super) fn is_passed(&self) -> bool {
        self.rows >= self.goal
    }

    /// So many contacts are on the list; those the checkpoint does not count were written behind it.
    pub(super) fn doubt(&mut self, listed: u64, import: &Import) {
        self.doubt = listed.saturating_sub(import.imported);
    }

    /// Whether the next so many contacts may have been written already, and since when then.
    pub(super) fn doubtful(&mut self, drafts: usize) -> Option<Timestamp> {
        let doubtful = self.doubt > 0;
        self.doubt = self.doubt.saturating_sub(drafts as u64);
        doubtful.then_some(self.since)
    }
}

impl Rows {
    /// The digest of these rows: where they stand, and their fields.
    pub(super) fn digest(&self) -> u128 {
        let mut hasher = Xxh3::new();
        let mut fields = Vec::new();
        for index in 0..self.len() {
            hasher.update(&self.fields(index, &mut fields).to_le_bytes());
            hasher.update(&(fields.len() as u64).to_le_bytes());
            for field in &fields {
                hasher.update(&(field.len() as u64).to_le_bytes());
                hasher.update(field.as_bytes());
            }
        }
        hasher.digest128()
    }
}
