//! `/v1/contacts/export`: all contacts or a list's as a file that imports again. One page of contacts is in memory at
//! a time, however many there are.
//!
//! The file is CSV (RFC 4180) in UTF-8: `phone,name,zone,opted_out`, then the fields. Which fields must be known
//! before the first row: those of the parameter `fields=city,plan`, without it all that the first 1,000 contacts
//! have. A cell that a spreadsheet would take for a formula gets an apostrophe in front, which an import takes away
//! again; the phone number never does.
//!
//! An import writes the names of columns in its own way (`Kota Asal` becomes `kota_asal`), trims values, takes rows of
//! at most 64 KiB and phone numbers only: contacts known by another id are in the file, and told as invalid there. It
//! guesses columns by their names; who has fields such as `timezone` tells it `zone_column=zone`. A store that fails on the way ends
//! the connection early; a whole file ends properly.

use super::known_list;
use crate::auth::For;
use crate::body::Query;
use crate::csv::{cell, quoted};
use crate::openapi::shapes;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, TryStreamExt};
use kabar_actors::dispatcher::ContactWalk;
use kabar_schema::contacts::Contact;
use serde::Deserialize;
use std::collections::BTreeSet;
use utoipa::IntoParams;

/// Most columns that can be asked for.
const COLUMNS_MAX: usize = 100;

/// The query of an export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only the contacts of this list.
    #[param(value_type = Option<shapes::ImportId>)]
    list: Option<String>,
    /// The columns after the first four, by commas; the fields of the first 1,000 contacts when not said.
    #[param(example = "city,plan")]
    fields: Option<String>,
}

/// `GET /v1/contacts/export`
#[utoipa::path(get, path = "/v1/contacts/export", tag = "contacts", operation_id = "exportContacts", summary = "All contacts or a list as a CSV file",
    params(Wanted), responses((status = 200, body = String, content_type = "text/csv", description = "The file, a row a contact, while it is read.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let asked = wanted.fields.as_deref().map(columns).transpose()?;
    let list = known_list(&state, whom.tenant, wanted.list.as_deref()).await?;
    let mut walk = state.dispatcher.contacts(whom.tenant, list).await;
    // Before the first byte, so that a store that does not answer is told as such.
    let first = walk.page().await?;
    let columns = asked.unwrap_or_else(|| {
        let names = first.iter().flat_map(|(contact, _)| contact.fields.keys().cloned());
        names.collect::<BTreeSet<_>>().into_iter().collect()
    });
    let mut head = String::new();
    header(&mut head, &columns);
    let body = Rest { walk, columns, page: first, text: head };
    let body = stream::try_unfold(body, async |rest| {
        let piece = rest.piece().await;
        if let Err(error) = &piece {
            tracing::warn!(%error, "an export ended early");
        }
        piece
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"contacts.csv\""),
    ];
    Ok((headers, Body::from_stream(body.map_err(std::io::Error::other))).into_response())
}

/// The columns that were asked for, in their order.
fn columns(text: &str) -> Result<Vec<String>, Problem> {
    let names: Vec<String> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() == names.len() && names.len() <= COLUMNS_MAX {
        Ok(names)
    } else {
        let detail = format!("`fields` must be at most {COLUMNS_MAX} names, each once, with commas between.");
        Err(Problem::new(Code::InvalidQuery, detail))
    }
}

/// What is still to be written.
struct Rest {
    walk: ContactWalk,
    columns: Vec<String>,
    page: Vec<(Contact, bool)>,
    /// Written already, and not sent.
    text: String,
}

impl Rest {
    /// The text of the page at hand; the next one is read before.
    async fn piece(mut self) -> Result<Option<(Bytes, Self)>, kabar_actors::dispatcher::DispatchError> {
        if self.page.is_empty() && self.text.is_empty() {
            self.page = self.walk.page().await?;
        }
        for (contact, opted_out) in self.page.drain(..) {
            row(&mut self.text, &self.columns, &contact, opted_out);
        }
        if self.text.is_empty() {
            return Ok(None);
        }
        let piece = Bytes::from(std::mem::take(&mut self.text));
        Ok(Some((piece, self)))
    }
}

fn header(out: &mut String, columns: &[String]) {
    out.push_str("phone,name,zone,opted_out");
    for column in columns {
        out.push(',');
        cell(out, column);
    }
    out.push_str("\r\n");
}

fn row(out: &mut String, columns: &[String], contact: &Contact, opted_out: bool) {
    quoted(out, "", &contact.address.to_text());
    for text in [contact.name.as_deref(), contact.zone.as_deref()] {
        out.push(',');
        cell(out, text.unwrap_or_default());
    }
    out.push_str(if opted_out { ",yes" } else { ",no" });
    for column in columns {
        out.push(',');
        cell(out, contact.fields.get(column).map_or("", String::as_str));
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_asked_for_twice_is_refused() {
        assert_eq!(columns("city, plan,").unwrap(), ["city", "plan"]);
        assert_eq!(columns("").unwrap(), [] as [&str; 0]);
        assert!(columns("city,city").is_err());
    }
}
