//! The rows of a contact file that did not become contacts, a batch a record, so that they can be corrected and
//! imported again. Not the counts, nor the first problems in words: those are the import's.

use super::Noun;
use kabar_engine::id::{ImportId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A row as the file has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRow {
    /// Its number in the file; the header is row 1.
    pub row: u64,
    /// What is wrong with it.
    pub problem: String,
    /// As many as the header has names.
    pub values: Vec<String>,
}

/// Some invalid rows of an import. Sealed: they are what people are called and where they are reached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportErrors {
    /// Whose.
    pub tenant: TenantId,
    /// Of which import.
    pub import: ImportId,
    /// Which batch of it, from 0.
    pub number: u64,
    /// When the import began: its batches are paged in their order.
    pub created: Timestamp,
    /// The names of the columns.
    pub header: Vec<String>,
    /// The rows, in the order of the file.
    pub rows: Vec<ErrorRow>,
}

impl ImportErrors {
    /// Rows of a batch.
    pub const ROWS_MAX: usize = 200;
    /// Batches of an import: so many numbers an id has room for.
    pub const BATCHES_MAX: u64 = 1 << 10;
    /// The index by import, in decimal.
    pub const IMPORT: &'static str = "import";
}

impl std::fmt::Debug for ImportErrors {
    /// Without what the rows hold.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportErrors")
            .field("tenant", &self.tenant)
            .field("import", &self.import)
            .field("number", &self.number)
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

impl Noun for ImportErrors {
    const KIND: &'static str = "import_errors";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    /// From the import and the number, which stands in the lowest bits: of one moment, a page is in that order.
    fn id(&self) -> u64 {
        let import = ImportId::derived(self.tenant, &self.import.0.to_be_bytes());
        import.0 & !(Self::BATCHES_MAX - 1) | (self.number & (Self::BATCHES_MAX - 1))
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(Self::IMPORT, self.import.0.to_string())]
    }
}
