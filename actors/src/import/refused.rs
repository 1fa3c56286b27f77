//! The rows that did not become contacts, kept while the file is read. Bounded in rows and bytes: what is beyond is
//! counted only.

use super::ImportRequest;
use super::columns::Columns;
use super::parse::Outcome;
use super::retry::insist;
use super::split::Rows;
use kabar_engine::time::Timestamp;
use kabar_runtime::Clock;
use kabar_schema::StoreError;
use kabar_schema::records::{ErrorRow, ImportErrors, Noun, Nouns, Problem};

/// Rows that are kept of an import.
const ROWS_MAX: u64 = 100_000;
/// Bytes that are kept of an import.
const BYTES_MAX: usize = 64 << 20;
/// Bytes of a full batch.
const BATCH_BYTES: usize = 256 << 10;
/// Old batches that are read at once.
const PAGE: usize = 16;

/// The invalid rows of a running import.
pub(super) struct Refused {
    nouns: Nouns,
    clock: Clock,
    /// The batch in progress.
    batch: ImportErrors,
    batch_bytes: usize,
    bytes: usize,
    /// Which columns are kept, by their places.
    columns: Vec<usize>,
    /// How many the file has.
    width: usize,
    /// Whether full batches are written already.
    dry: bool,
    /// Rows that are kept.
    pub(super) kept: u64,
    /// Rows that are not.
    pub(super) left_off: u64,
}

impl Refused {
    /// Nothing refused yet.
    pub(super) fn new(
        nouns: Nouns,
        clock: Clock,
        request: &ImportRequest,
        created: Timestamp,
        columns: &Columns,
    ) -> Self {
        let (tenant, import) = (request.tenant, request.import);
        let width = columns.names.len();
        let kept: Vec<usize> = (0..width).filter(|column| !columns.is_ignored(*column)).collect();
        let header = kept.iter().map(|column| columns.names[*column].clone()).collect();
        let batch = ImportErrors { tenant, import, number: 0, created, header, rows: Vec::new() };
        let (batch_bytes, bytes, dry) = (0, 0, false);
        Self { nouns, clock, batch, batch_bytes, bytes, columns: kept, width, dry, kept: 0, left_off: 0 }
    }

    /// Begins anew: batches of an earlier try of the import are deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn clear(&self) -> Result<(), StoreError> {
        let Self { nouns, clock, batch: ImportErrors { tenant, import, .. }, .. } = self;
        let of = import.0.to_string();
        loop {
            let index = Some((ImportErrors::IMPORT, of.as_str()));
            let old = insist(clock, || nouns.page::<ImportErrors>(*tenant, index, None, PAGE)).await?;
            for batch in &old {
                let gone =
                    insist(clock, || nouns.delete::<ImportErrors>(*tenant, batch.noun.id(), batch.version));
                match gone.await {
                    // A delete of unknown outcome came through, or another run of this import was faster.
                    Ok(()) | Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error),
                }
            }
            if old.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// Full batches before the checkpoint are durable since before it: until [`Self::writes`] they are only gone
    /// through, so that another file changes nothing.
    pub(super) fn written_until_the_checkpoint(&mut self) {
        self.dry = true;
    }

    /// The checkpoint is behind.
    pub(super) fn writes(&mut self) {
        self.dry = false;
    }

    /// Takes the invalid rows of a chunk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn take(&mut self, rows: &Rows, outcomes: &[Outcome]) -> Result<(), StoreError> {
        let mut fields = Vec::new();
        for (index, outcome) in outcomes.iter().enumerate() {
            if let Outcome::Invalid(problem) = outcome {
                let row = rows.fields(index, &mut fields);
                self.push(row, problem, &fields).await?;
            }
        }
        Ok(())
    }

    /// Takes an invalid row; writes the batch when it is full.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn push(&mut self, row: u64, problem: &Problem, fields: &[&str]) -> Result<(), StoreError> {
        let size = fields.iter().map(|field| field.len()).sum::<usize>();
        if self.kept >= ROWS_MAX || self.bytes + size > BYTES_MAX {
            self.left_off += 1;
            return Ok(());
        }
        let value = |column: &usize| fields.get(*column).map_or_else(String::new, |v| (*v).to_owned());
        let values = self.columns.iter().map(value).collect();
        let problem = said(problem, fields.len(), self.width);
        self.batch.rows.push(ErrorRow { row, problem, values });
        self.kept += 1;
        self.bytes += size;
        self.batch_bytes += size;
        if self.batch.rows.len() >= ImportErrors::ROWS_MAX || self.batch_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes the batch in progress and begins another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        if self.batch.rows.is_empty() {
            return Ok(());
        }
        if !self.dry {
            self.write().await?;
        }
        self.batch.rows.clear();
        self.batch.number += 1;
        self.batch_bytes = 0;
        Ok(())
    }

    async fn write(&self) -> Result<(), StoreError> {
        let (nouns, batch) = (&self.nouns, &self.batch);
        let written = insist(&self.clock, || async move {
            match nouns.create(batch).await {
                // Left by a write of unknown outcome, or by another run of this import.
                Err(StoreError::Conflict) => {
                    let known = nouns.get::<ImportErrors>(batch.tenant, batch.id()).await?;
                    let version = known.map_or(0, |known| known.version);
                    nouns.update(batch, version).await.map(|_| ())
                }
                result => result,
            }
        });
        written.await
    }
}

/// What is wrong with a row, and what was done to make it as wide as the header.
fn said(problem: &Problem, fields: usize, width: usize) -> String {
    let told = if problem.column.is_empty() {
        problem.message.clone()
    } else {
        format!("{}: {}", problem.column, problem.message)
    };
    match fields.cmp(&width) {
        std::cmp::Ordering::Less => format!("{told}; the missing ones are left empty here"),
        std::cmp::Ordering::Equal => told,
        std::cmp::Ordering::Greater => format!("{told}; those beyond are cut off here"),
    }
}
