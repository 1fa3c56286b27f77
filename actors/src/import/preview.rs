//! What an import would make of a file's first rows, with how sure it is of each column. Stores nothing and reads no
//! further than those rows.

use super::columns::Columns;
use super::formula::unguarded;
use super::parse::{Outcome, Valid, parse, yes_or_no, zone};
use super::source::Source;
use super::split::Rows;
use super::{ImportError, ImportRequest, Importer, Mapping};
use bytes::Bytes;
use futures::Stream;
use kabar_engine::address::Address;
use kabar_engine::schedule::{Zone, zone_of};
use kabar_schema::records::Problem;
use std::collections::HashSet;
use std::sync::Arc;

/// Rows that are looked at.
pub const PREVIEW_ROWS: usize = 50;
/// How sure a column is that only its name tells.
const BY_NAME: f64 = 0.9;

/// A file's first rows as an import reads them.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The encoding of the text up to there.
    pub encoding: &'static str,
    /// The byte between two columns.
    pub delimiter: u8,
    /// The columns, as the header has them.
    pub columns: Vec<PreviewColumn>,
    /// At most [`PREVIEW_ROWS`].
    pub rows: Vec<PreviewRow>,
}

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// The phone number.
    Phone,
    /// The person's name.
    Name,
    /// The time zone.
    Zone,
    /// Whether the person has opted out.
    OptedOut,
    /// A field of the contact.
    Field,
    /// Nothing: an error file's own column.
    Ignored,
}

/// A column and why it is taken for what it is.
#[derive(Debug, Clone)]
pub struct PreviewColumn {
    /// As the header has it.
    pub name: String,
    /// What becomes of its values.
    pub becomes: Becomes,
    /// The variable of a text its values fill.
    pub variable: Option<String>,
    /// From 0 to 1.
    pub confidence: f64,
    /// One sentence.
    pub why: String,
}

/// A row as an import counts it.
#[derive(Debug, Clone)]
pub struct PreviewRow {
    /// Its number; the header is row 1.
    pub row: u64,
    /// As the file has them.
    pub values: Vec<String>,
    /// Whose row it is, in words.
    pub address: Option<String>,
    /// The person's name.
    pub name: Option<String>,
    /// The zone in which the person would be written to.
    pub zone: Option<Zone>,
    /// What it counts as.
    pub outcome: RowOutcome,
    /// What is wrong with it, or what is left out.
    pub problem: Option<Problem>,
}

/// What a row counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOutcome {
    /// A valid address, for the first time.
    Valid,
    /// No valid address.
    Invalid,
    /// An address that stood in an earlier row.
    Duplicate,
}

impl Importer {
    /// Reads the first rows of a file and tells what an import would make of them.
    ///
    /// # Errors
    /// [`ImportError`], as an import of these rows would.
    pub async fn preview<S>(&self, request: &ImportRequest, body: S) -> Result<Preview, ImportError>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    {
        let mut source = Source::open(body, request.delimiter).await?;
        let columns = Columns::by_name(source.header(), &request.mapping, request.default_region)?;
        let by_name = columns.has_phone();
        let rows = source.first(PREVIEW_ROWS).await?;
        if rows.len() == 0 {
            return Err(ImportError::Empty);
        }
        let (encoding, delimiter, rows) = (source.encoding(), source.delimiter(), Arc::new(rows));
        let columns = self.settle(columns, &rows).await?;
        let mapping = request.mapping.clone();
        let looked = self.parts.compute.run("import_preview", move || {
            let told = Told { columns: &columns, mapping: &mapping, by_name };
            (told.columns(&rows), told.rows(&rows))
        });
        let (columns, rows) = looked.await.map_err(ImportError::Compute)?;
        Ok(Preview { encoding, delimiter, columns, rows })
    }
}

/// The columns, and where that is known from.
struct Told<'a> {
    columns: &'a Columns,
    mapping: &'a Mapping,
    by_name: bool,
}

impl Told<'_> {
    fn columns(&self, rows: &Rows) -> Vec<PreviewColumn> {
        let names = self.columns.names.iter().enumerate();
        names
            .map(|(column, name)| {
                let becomes = self.becomes(column);
                let (confidence, why) = self.confidence(column, becomes, rows);
                let variable = self.columns.fields.iter().find(|(c, _)| *c == column);
                let own = (becomes == Becomes::Name).then(|| "name".to_owned());
                let variable = variable.map(|(_, variable)| variable.clone()).or(own);
                PreviewColumn { name: name.clone(), becomes, variable, confidence, why }
            })
            .collect()
    }

    fn becomes(&self, column: usize) -> Becomes {
        let Columns { name, zone, opted_out, .. } = self.columns;
        match Some(column) {
            _ if column == self.columns.phone() => Becomes::Phone,
            one if one == *name => Becomes::Name,
            one if one == *zone => Becomes::Zone,
            one if one == *opted_out => Becomes::OptedOut,
            _ if self.columns.is_ignored(column) => Becomes::Ignored,
            _ => Becomes::Field,
        }
    }

    /// How sure it is, and why.
    fn confidence(&self, column: usize, becomes: Becomes, rows: &Rows) -> (f64, String) {
        let (told, what) = match becomes {
            Becomes::Phone => (&self.mapping.phone, "a phone number"),
            Becomes::Name => (&self.mapping.name, "a name"),
            Becomes::Zone => (&self.mapping.zone, "a time zone"),
            Becomes::OptedOut => (&self.mapping.opted_out, "yes or no"),
            Becomes::Field => return (1.0, "nothing else fits, so it becomes a field".to_owned()),
            Becomes::Ignored => return (1.0, "an error file's own column is passed over".to_owned()),
        };
        if told.is_some() {
            return (1.0, "you named it".to_owned());
        }
        let (fit, filled) = self.share(column, becomes, rows);
        let share = if filled == 0 { 0.0 } else { f64::from(fit) / f64::from(filled) };
        let values = format!("{fit} of {filled} values read as {what}");
        if becomes == Becomes::Phone && !self.by_name {
            return (rounded(share), format!("by its content: {values}"));
        }
        if filled == 0 {
            return (BY_NAME, "by its name; it has no values to check that with".to_owned());
        }
        let sure = if share < 0.5 { BY_NAME * share } else { BY_NAME };
        (rounded(sure), format!("by its name; {values}"))
    }

    /// How many of the column's values are what they should be, and how many there are.
    fn share(&self, column: usize, becomes: Becomes, rows: &Rows) -> (u32, u32) {
        let (mut fit, mut filled, mut fields) = (0, 0, Vec::new());
        for index in 0..rows.len() {
            rows.fields(index, &mut fields);
            let value = fields.get(column).map_or("", |field| unguarded(field.trim()));
            if fields.len() != self.columns.names.len() || value.is_empty() {
                continue;
            }
            filled += 1;
            fit += u32::from(match becomes {
                Becomes::Phone => Address::parse(value, self.columns.region).is_ok(),
                Becomes::Name => value.contains(char::is_alphabetic),
                Becomes::Zone => zone(&somebody(), value).is_some(),
                Becomes::OptedOut => yes_or_no(value).is_some(),
                Becomes::Field | Becomes::Ignored => true,
            });
        }
        (fit, filled)
    }

    fn rows(&self, rows: &Rows) -> Vec<PreviewRow> {
        let (mut seen, mut fields, mut told) = (HashSet::new(), Vec::new(), Vec::new());
        for (index, outcome) in parse(self.columns, rows).into_iter().enumerate() {
            let row = rows.fields(index, &mut fields);
            let values = fields.iter().map(|field| (*field).to_owned()).collect();
            told.push(match outcome {
                Outcome::Invalid(problem) => PreviewRow {
                    row,
                    values,
                    address: None,
                    name: None,
                    zone: None,
                    outcome: RowOutcome::Invalid,
                    problem: Some(problem),
                },
                Outcome::Valid(valid) => {
                    let outcome =
                        if seen.insert(valid.hash) { RowOutcome::Valid } else { RowOutcome::Duplicate };
                    let Valid { draft, problems, .. } = *valid;
                    PreviewRow {
                        row,
                        values,
                        address: Some(draft.address.to_text()),
                        zone: Some(zone_of(&draft.address, draft.zone.as_deref())),
                        name: draft.name,
                        outcome,
                        problem: problems.into_iter().next(),
                    }
                }
            });
        }
        told
    }
}

/// A number of no country in particular: whether a text names a zone does not hang on the person.
fn somebody() -> Address {
    Address::phone_digits("6281234567890").expect("invariant: the number is valid")
}

/// Two digits behind the point are enough.
fn rounded(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}
