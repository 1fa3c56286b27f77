//! Which rows count as what, in the order of the file: the first occurrence of an address is imported, a later one is
//! a duplicate. Writes nothing; the counts are taken over once the batch is written.

use super::parse::Outcome;
use kabar_engine::address::Address;
use kabar_schema::contacts::ContactDraft;
use kabar_schema::records::{Import, Problem};
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// What is remembered of a file between its chunks: hashes, no addresses.
#[derive(Debug, Default)]
pub(super) struct Tally {
    seen: Hashes,
    opted_out: Hashes,
}

/// What is to be written of a chunk, and what it counts as then.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Addresses that stand in the file for the first time.
    pub(super) drafts: Vec<ContactDraft>,
    /// Addresses that opt out, for the first time in the file.
    pub(super) opt_outs: Vec<Address>,
    /// Rows whose address stood in an earlier row.
    pub(super) duplicate: u64,
    /// Rows without a valid address.
    pub(super) invalid: u64,
    /// At most as many as an import keeps.
    pub(super) problems: Vec<Problem>,
}

impl Tally {
    /// Sorts the rows of the next chunk.
    pub(super) fn take(&mut self, outcomes: Vec<Outcome>) -> Batch {
        let mut batch = Batch::default();
        for outcome in outcomes {
            let problems = match outcome {
                Outcome::Invalid(problem) => {
                    batch.invalid += 1;
                    vec![problem]
                }
                Outcome::Valid(valid) => {
                    if valid.opted_out && self.opted_out.insert(valid.hash) {
                        batch.opt_outs.push(valid.draft.address.clone());
                    }
                    if self.seen.insert(valid.hash) {
                        batch.drafts.push(valid.draft);
                    } else {
                        batch.duplicate += 1;
                    }
                    valid.problems
                }
            };
            let room = Import::PROBLEMS_MAX - batch.problems.len();
            batch.problems.extend(problems.into_iter().take(room));
        }
        batch
    }
}

type Hashes = HashSet<u64, BuildHasherDefault<Hashed>>;

/// The value is a good hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
