//! Rows → what they tell: an address with name, zone and fields, or what is wrong. This is the part that costs time
//! (reading a phone number), so it runs on the compute pool, chunk by chunk, and knows nothing of other rows.

use super::columns::Columns;
use super::formula::unguarded;
use super::split::Rows;
use kabar_engine::address::{Address, AddressError};
use kabar_engine::schedule::{ZoneSource, zone_of};
use kabar_schema::contacts::ContactDraft;
use kabar_schema::records::Problem;
use std::collections::BTreeMap;

/// What a row tells.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A valid address.
    Valid(Box<Valid>),
    /// Nothing that could be used.
    Invalid(Problem),
}

/// A row with a valid address.
#[derive(Debug)]
pub(super) struct Valid {
    /// The hash of the address' key.
    pub(super) hash: u64,
    /// What becomes of the contact.
    pub(super) draft: ContactDraft,
    /// Whether the row says that the person has opted out.
    pub(super) opted_out: bool,
    /// Values that are left out.
    pub(super) problems: Vec<Problem>,
}

/// Reads the rows of a chunk; one outcome per row, in order.
pub(super) fn parse(columns: &Columns, rows: &Rows) -> Vec<Outcome> {
    let mut fields = Vec::with_capacity(columns.names.len());
    let read = |index| {
        let row = rows.fields(index, &mut fields);
        match parse_row(columns, row, &fields) {
            Ok(valid) => Outcome::Valid(Box::new(valid)),
            Err(problem) => Outcome::Invalid(problem),
        }
    };
    (0..rows.len()).map(read).collect()
}

fn parse_row(columns: &Columns, row: u64, fields: &[&str]) -> Result<Valid, Problem> {
    let problem = |column: &str, code: &str, message: String| Problem {
        row,
        column: column.to_owned(),
        code: code.to_owned(),
        message,
    };
    if fields.len() != columns.names.len() {
        let message = format!(
            "row {row} has {}, the header has {}",
            count_of_fields(fields.len()),
            columns.names.len()
        );
        return Err(problem("", "fields", message));
    }
    let value =
        |column: usize| Some(unguarded(fields[column].trim())).filter(|value: &&str| !value.is_empty());
    let phone = columns.phone();
    let parsed = Address::parse(unguarded(fields[phone].trim()), columns.region)
        .map_err(|error| problem(&columns.names[phone], code(&error), error.to_string()))?;
    let mut problems = Vec::new();
    let zone = columns.zone.and_then(|column| {
        let zone = zone(&parsed.address, value(column)?);
        if zone.is_none() {
            let message = "this is not a time zone and is left out: write a name such as Asia/Jakarta";
            problems.push(problem(&columns.names[column], "unknown_zone", message.to_owned()));
        }
        zone
    });
    let mut opted_out = false;
    if let Some((column, text)) = columns.opted_out.and_then(|column| Some((column, value(column)?))) {
        match yes_or_no(text) {
            Some(answer) => opted_out = answer,
            None => {
                let message =
                    "this is neither yes nor no and is taken for no: write yes for whoever has opted out";
                problems.push(problem(&columns.names[column], "opt_out_unclear", message.to_owned()));
            }
        }
    }
    let named = columns.fields.iter().filter_map(|(c, name)| Some((name.clone(), value(*c)?.to_owned())));
    let draft = ContactDraft {
        input: parsed.input,
        name: columns.name.and_then(value).and_then(one_line),
        zone,
        fields: named.collect::<BTreeMap<_, _>>(),
        address: parsed.address,
    };
    Ok(Valid { hash: draft.address.hash64(), draft, opted_out, problems })
}

/// A name without control characters: it is shown in one line, in tables and in messages.
fn one_line(text: &str) -> Option<String> {
    let plain = text.replace(char::is_control, " ");
    Some(plain.trim()).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn count_of_fields(count: usize) -> String {
    if count == 1 { "1 field".to_owned() } else { format!("{count} fields") }
}

/// The IANA name a text tells; Indonesia's three zones by their usual names too.
pub(super) fn zone(address: &Address, text: &str) -> Option<String> {
    let name = match text.to_ascii_uppercase().as_str() {
        "WIB" => "Asia/Jakarta",
        "WITA" => "Asia/Makassar",
        "WIT" => "Asia/Jayapura",
        _ => text,
    };
    let zone = zone_of(address, Some(name));
    (zone.source == ZoneSource::Contact).then(|| zone.name.into_owned())
}

/// What a text says of an opt-out, if anything.
pub(super) fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "1" | "ya" | "y" => Some(true),
        "no" | "false" | "0" | "tidak" | "n" | "-" => Some(false),
        _ => None,
    }
}

/// The stable word of a problem with an address.
fn code(error: &AddressError) -> &'static str {
    match error {
        AddressError::Empty => "empty",
        AddressError::Letters => "letters",
        AddressError::Spreadsheet => "spreadsheet",
        AddressError::Character(_) => "character",
        AddressError::TooShort => "too_short",
        AddressError::TooLong => "too_long",
        AddressError::NoCountryCode => "no_country_code",
        AddressError::UnknownCountryCode => "unknown_country_code",
        AddressError::InvalidForRegion(_) => "invalid_for_region",
        AddressError::UnknownRegion(_) | AddressError::UserId | AddressError::Lid | AddressError::Key => {
            "form"
        }
    }
}
