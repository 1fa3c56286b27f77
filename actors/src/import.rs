//! The streaming import of contact files: text of any common encoding, cut into rows, read on the compute pool,
//! written to the tenant's contacts under the import's id, which is also the list a campaign sends to.
//!
//! Memory stays constant whatever the size of the file: a few chunks of 1,000 rows are in flight, and of the rows
//! before only 64-bit hashes of their addresses are kept, to know a second occurrence: 8 to 16 MB per million
//! distinct addresses. (Two of a million addresses share a hash once in 40 million files.)
//!
//! What a row counts as: `imported` when its address is valid and stands in the file for the first time, `duplicate`
//! when it stood there before, however spelled (the first row wins, of later ones only the opt-out is taken over),
//! else `invalid`. So `imported + duplicate + invalid = rows_read` at every instant.
//!
//! An import whose process was killed goes on when the same file comes under its id: rows up to the checkpoint are
//! read again but not written. One that failed begins anew. Either way nobody is stored twice.
//!
//! Not here: a campaign's audience, that is frozen from the list at its launch.

mod columns;
mod decode;
mod formula;
mod parse;
mod preview;
mod refused;
mod report;
mod retry;
mod source;
mod split;
mod tally;
#[cfg(test)]
mod tests;
mod trail;

pub use columns::{ERROR_COLUMNS, variable_name};
pub use formula::guard;
pub use preview::{Becomes, PREVIEW_ROWS, Preview, PreviewColumn, PreviewRow, RowOutcome};

use bytes::Bytes;
use columns::Columns;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, stream};
use kabar_engine::address::{Address, Region};
use kabar_engine::id::{ContactId, ImportId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_runtime::{Clock, Compute, ComputeError};
use kabar_schema::StoreError;
use kabar_schema::contacts::{Contact, Contacts, Upserted};
use kabar_schema::records::{ConsentBasis, Import, Nouns};
use parse::Outcome;
use refused::Refused;
use report::{Begun, Report};
use retry::insist;
use source::Source;
use split::Rows;
use std::sync::Arc;
use tally::{Batch, Tally};
use trail::Trail;

/// Chunks that are read or wait to be written: enough to keep the pool busy while one is written.
const IN_FLIGHT: usize = 3;
/// Contacts that are looked up at once.
const LOOK_UPS_AT_ONCE: usize = 64;
/// Opt-outs that are recorded at once; the journal coalesces them.
const OPT_OUTS_AT_ONCE: usize = 64;
/// Column names shown in an error.
const COLUMNS_SHOWN: usize = 20;

/// Records an opt-out of an address for all sessions of the tenant; durable when Ok.
pub type RecordOptOut =
    Arc<dyn Fn(TenantId, Address) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>;
/// Ends when the opt-outs recorded before are visible to the freezing of campaigns.
pub type OptOutsSettled = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What an importer works with.
#[derive(Clone)]
pub struct ImporterParts {
    /// Where the contacts go.
    pub contacts: Arc<dyn Contacts>,
    /// Where the import's record is kept.
    pub nouns: Nouns,
    /// Where rows are read.
    pub compute: Compute,
    /// The node's clock.
    pub clock: Clock,
    /// How an opt-out is recorded.
    pub opt_out: RecordOptOut,
    /// How it is known that freezing sees the opt-outs.
    pub settled: OptOutsSettled,
}

/// Which column is what, by the names in the file's first row (upper and lower case are the same). What is `None` is
/// guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The phone number.
    pub phone: Option<String>,
    /// The person's name.
    pub name: Option<String>,
    /// The IANA time zone.
    pub zone: Option<String>,
    /// Whether the person has opted out: yes, true, 1, ya or y.
    pub opted_out: Option<String>,
}

/// What to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRequest {
    /// Whose contacts.
    pub tenant: TenantId,
    /// The import's id, and its list's.
    pub import: ImportId,
    /// What the tenant calls it.
    pub name: String,
    /// Which column is what.
    pub mapping: Mapping,
    /// Why its people may be written to.
    pub consent_basis: ConsentBasis,
    /// Where their consent was given.
    pub consent_source: Option<String>,
    /// The region of numbers that are written without a country code.
    pub default_region: Option<Region>,
    /// The byte between two columns; guessed among `,` `;` tab and `|` when `None`.
    pub delimiter: Option<u8>,
}

/// Why a file was not imported to its end: one sentence that says what to do. What was read before stays imported;
/// the same file may be imported again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file is empty, or its first row is not a header.
    #[error(
        "the file does not begin with a row of column names: add one, such as `phone,name`, and import it again"
    )]
    NoHeader,
    /// No column was named for the phone numbers and none looks like it.
    #[error("none of the columns {} holds phone numbers: call the column `phone`, or say which one it is", listed(.columns))]
    NoPhoneColumn {
        /// The file's columns.
        columns: Vec<String>,
    },
    /// The mapping names a column that the file does not have.
    #[error("the file has no column `{name}`: name one of {}", listed(.columns))]
    UnknownColumn {
        /// The name that was given.
        name: String,
        /// The file's columns.
        columns: Vec<String>,
    },
    /// Not text, or not in one encoding.
    #[error("row {row} cannot be read as text: save the file as CSV in UTF-8 and import it again")]
    Encoding {
        /// The row, from 1; the header is row 1.
        row: u64,
    },
    /// There is a header and nothing below it.
    #[error("the file has a header but no rows: add the contacts below it and import it again")]
    Empty,
    /// The file cannot be cut into rows.
    #[error("row {row} {message}")]
    Malformed {
        /// The row, from 1; the header is row 1.
        row: u64,
        /// What is wrong with it and what to do, without the row's text.
        message: String,
    },
    /// The delimiter that was asked for cannot separate columns.
    #[error("the byte {0} cannot separate columns: use a comma, a semicolon, a tab or another ASCII sign")]
    Delimiter(u8),
    /// The file did not arrive whole.
    #[error("the file did not arrive completely ({0}): send it again")]
    Body(String),
    /// The file is larger than one may be; how much that is.
    #[error("the file is too large ({0}): split it, and import its parts")]
    TooLarge(String),
    /// A killed import goes on with its own file only.
    #[error(
        "this is not the file, or not the columns, the import was begun with, and nothing was changed: send the same \
         file as before to finish it, or this one under another key"
    )]
    OtherFile,
    /// The store did not take it, also when tried again.
    #[error("the contacts could not be stored ({0}): import the same file again, nobody is stored twice")]
    Store(#[from] StoreError),
    /// The compute pool did not read the rows.
    #[error("the rows could not be read ({0}): import the same file again, nobody is stored twice")]
    Compute(ComputeError),
}

impl ImportError {
    /// Whether the same file would always come to it.
    fn is_of_the_file(&self) -> bool {
        !matches!(self, Self::Body(_) | Self::Store(_) | Self::Compute(_))
    }
}

fn listed(columns: &[String]) -> String {
    let mut text =
        columns.iter().take(COLUMNS_SHOWN).map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
    if columns.len() > COLUMNS_SHOWN {
        text.push_str(", …");
    }
    text
}

/// Imports contact files. Cheap to clone.
#[derive(Clone)]
pub struct Importer {
    parts: Arc<ImporterParts>,
}

impl Importer {
    /// An importer over these parts.
    #[must_use]
    pub fn new(parts: ImporterParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Reads the whole file and gives its record, in state done; when freezing sees its opt-outs. `progress` is
    /// called after every chunk, at most 1,000 rows, with the counts so far.
    ///
    /// An id whose import is done gives that record again and reads nothing. One that failed begins anew, one that
    /// was killed goes on; if the other one still runs, that one ends with a conflict. An import whose future is
    /// dropped, because the sender went away, ends as failed.
    ///
    /// A contact that a killed run wrote behind its checkpoint counts as created when it became known after the
    /// checkpoint: also when somebody else made it known in that second.
    ///
    /// # Errors
    /// [`ImportError`]; the record is then in state failed and holds the same sentence.
    pub async fn run<S>(
        &self,
        request: ImportRequest,
        body: S,
        progress: impl Fn(&Import) + Send + Sync,
    ) -> Result<Import, ImportError>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    {
        let (nouns, clock) = (self.parts.nouns.clone(), self.parts.clock.clone());
        let mut report = match Report::begin(nouns, clock, &request).await? {
            Begun::Replay(import) => return Ok(import),
            Begun::Fresh(report) => report,
        };
        match self.read(&request, body, &mut report, &progress).await {
            Ok(()) => Ok(report.done().await?),
            // The rows up to the checkpoint were read well before.
            Err(error) if report.is_passing() && error.is_of_the_file() => Err(ImportError::OtherFile),
            Err(error) => {
                report.failed(&error).await;
                Err(error)
            }
        }
    }

    async fn read<S>(
        &self,
        request: &ImportRequest,
        body: S,
        report: &mut Report,
        progress: &(impl Fn(&Import) + Send + Sync),
    ) -> Result<(), ImportError>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    {
        let mut source = Source::open(body, request.delimiter).await?;
        let columns = Columns::by_name(source.header(), &request.mapping, request.default_region)?;
        let mut trail = Trail::new(request, source.header(), report.import());
        if report.is_resumed() {
            let listed =
                insist(&self.parts.clock, || self.parts.contacts.count(request.tenant, Some(request.import)));
            trail.doubt(listed.await?, report.import());
        }
        let first = Arc::new(source.rows().await?.ok_or(ImportError::Empty)?);
        let columns = self.settle(columns, &first).await?;
        let (nouns, clock) = (self.parts.nouns.clone(), self.parts.clock.clone());
        let mut refused = Refused::new(nouns, clock, request, report.import().created, &columns);
        if report.is_resumed() {
            refused.written_until_the_checkpoint();
        } else {
            refused.clear().await?;
        }
        let further = stream::unfold(Some(source), |source| async {
            let mut source = source?;
            match source.rows().await {
                Ok(rows) => rows.map(|rows| (Ok(Arc::new(rows)), Some(source))),
                Err(error) => Some((Err(error), None)),
            }
        });
        let chunks = stream::once(std::future::ready(Ok(first))).chain(further);
        let outcomes = chunks.map(|rows| self.parse(&columns, rows)).buffered(IN_FLIGHT);
        let mut outcomes = std::pin::pin!(outcomes);
        let mut tally = Tally::default();
        while let Some(read) = outcomes.next().await {
            let (rows, outcomes) = match read {
                Ok(read) => read,
                Err(error) => {
                    refused.flush().await?;
                    return Err(error);
                }
            };
            let written = trail.pass(outcomes.len(), rows.digest())?;
            refused.take(&rows, &outcomes).await?;
            let batch = tally.take(outcomes);
            if written {
                if trail.is_passed() {
                    report.passed();
                    refused.writes();
                }
                continue;
            }
            let earlier = self.earlier(request, &batch, &mut trail).await?;
            let mut upserted = self.apply(request, &batch).await?;
            upserted.created += earlier;
            upserted.updated = upserted.updated.saturating_sub(earlier);
            report.count(batch, upserted, trail.digest());
            report.refused(refused.kept, refused.left_off);
            progress(report.import());
            report.save_sometimes().await?;
        }
        if report.is_passing() {
            return Err(ImportError::OtherFile);
        }
        refused.flush().await?;
        if report.import().opted_out > 0 {
            (self.parts.settled)().await;
        }
        Ok(())
    }

    /// Finds the phone column by content when no name told it.
    async fn settle(&self, columns: Columns, first: &Arc<Rows>) -> Result<Arc<Columns>, ImportError> {
        if columns.has_phone() {
            return Ok(Arc::new(columns));
        }
        let rows = Arc::clone(first);
        let guess = self.parts.compute.run("import_columns", move || columns.by_content(&rows));
        guess.await.map_err(ImportError::Compute)?.map(Arc::new)
    }

    /// Reads a chunk on the pool; again when the pool was full or a worker died.
    async fn parse(
        &self,
        columns: &Arc<Columns>,
        rows: Result<Arc<Rows>, ImportError>,
    ) -> Result<(Arc<Rows>, Vec<Outcome>), ImportError> {
        let rows = rows?;
        let mut pauses = retry::PAUSES_MS.iter();
        loop {
            let (job_columns, job_rows) = (Arc::clone(columns), Arc::clone(&rows));
            let job = self.parts.compute.run("import_rows", move || parse::parse(&job_columns, &job_rows));
            match (job.await, pauses.next()) {
                (Ok(outcomes), _) => return Ok((rows, outcomes)),
                (Err(ComputeError::Busy | ComputeError::Lost), Some(pause)) => {
                    self.parts.clock.sleep_ms(*pause).await;
                }
                (Err(error), _) => return Err(ImportError::Compute(error)),
            }
        }
    }

    /// How many of a batch a killed run has created already, behind its checkpoint.
    async fn earlier(
        &self,
        request: &ImportRequest,
        batch: &Batch,
        trail: &mut Trail,
    ) -> Result<u64, ImportError> {
        let Some(since) = trail.doubtful(batch.drafts.len()) else { return Ok(0) };
        let ImporterParts { clock, contacts, .. } = &*self.parts;
        let tenant = request.tenant;
        let ids: Vec<ContactId> =
            batch.drafts.iter().map(|draft| Contact::id_of(tenant, &draft.address)).collect();
        let mut found = stream::iter(ids)
            .map(|id| insist(clock, move || contacts.get(tenant, id)))
            .buffer_unordered(LOOK_UPS_AT_ONCE);
        let mut earlier = 0;
        while let Some(contact) = found.next().await {
            earlier += u64::from(contact?.is_some_and(|contact| contact.created >= since));
        }
        Ok(earlier)
    }

    /// Opt-outs first: whoever finds the contact must find the opt-out too.
    async fn apply(&self, request: &ImportRequest, batch: &Batch) -> Result<Upserted, ImportError> {
        let ImporterParts { clock, contacts, opt_out, .. } = &*self.parts;
        let (tenant, list) = (request.tenant, Some(request.import));
        let mut opt_outs = stream::iter(batch.opt_outs.clone())
            .map(|address| insist(clock, move || opt_out(tenant, address.clone())))
            .buffer_unordered(OPT_OUTS_AT_ONCE);
        while let Some(recorded) = opt_outs.next().await {
            recorded?;
        }
        if batch.drafts.is_empty() {
            return Ok(Upserted::default());
        }
        let now = Timestamp(clock.now_ms());
        Ok(insist(clock, || contacts.upsert(tenant, list, batch.drafts.clone(), now)).await?)
    }
}
