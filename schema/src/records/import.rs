//! An import of a contact file: how far it is and what was wrong with it. Its id is also the list of contacts it
//! brought. Not the contacts.

use super::Noun;
use kabar_engine::id::{ImportId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportState {
    /// The file is being read.
    Reading,
    /// Every row was looked at.
    Done,
    /// It ended early; the error says why.
    Failed,
}

/// Why the people of an import may be written to, as its sender says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentBasis {
    /// They asked for it.
    OptIn,
    /// They have bought before.
    ExistingCustomer,
    /// An interest that weighs more than theirs.
    LegitimateInterest,
    /// Nobody said.
    #[default]
    Unknown,
}

/// A row that did not become a contact, or a value that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The row, from 1; the header is row 1.
    pub row: u64,
    /// The column's name.
    pub column: String,
    /// Stable word, e.g. `too_short`.
    pub code: String,
    /// One sentence with what to do; never the value itself.
    pub message: String,
}

/// How far the rows of a running import are durable: up to its `rows_read`, with all its counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The digest of the rows up to there: the same file comes to the same one.
    pub digest: String,
    /// When it was taken; what was written later stands behind it.
    pub at: Timestamp,
}

/// An import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its id, and its list's.
    pub id: ImportId,
    /// Whose.
    pub tenant: TenantId,
    /// What the tenant calls it.
    pub name: String,
    /// Where it is.
    pub state: ImportState,
    /// Rows read, the header not counted.
    pub rows_read: u64,
    /// Distinct valid addresses, new or known.
    pub imported: u64,
    /// Of them, new contacts.
    pub created_contacts: u64,
    /// Of them, known contacts.
    pub updated_contacts: u64,
    /// Rows whose address stood in an earlier row.
    pub duplicate: u64,
    /// Rows without a valid address.
    pub invalid: u64,
    /// Imported contacts that had opted out by then.
    pub opted_out: u64,
    /// The first 100 problems.
    pub problems: Vec<Problem>,
    /// Invalid rows that are kept to be corrected: the first 100,000, if they are not very long.
    #[serde(default)]
    pub errors_kept: u64,
    /// Invalid rows that are not kept.
    #[serde(default)]
    pub errors_left_off: u64,
    /// Why its people may be written to.
    #[serde(default)]
    pub consent_basis: ConsentBasis,
    /// Where their consent was given, in the sender's words.
    #[serde(default)]
    pub consent_source: Option<String>,
    /// When it began.
    pub created: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub finished: Option<Timestamp>,
    /// Why it failed, in one sentence.
    #[serde(default)]
    pub error: Option<String>,
    /// Where it goes on when its process was killed; only while it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
}

impl Import {
    /// Problems kept.
    pub const PROBLEMS_MAX: usize = 100;
}

impl Noun for Import {
    const KIND: &'static str = "import";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}
