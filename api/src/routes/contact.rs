//! `/v1/contacts`: the tenant's address book, all of it or one list. Contacts come in by import.

use crate::auth::For;
use crate::body::Query;
use crate::page::{Ask, Page, Time, address_cursor};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use kabar_engine::id::{ContactId, ImportId};
use kabar_schema::contacts::Contact;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The query of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    list: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// A contact as it is shown.
#[derive(Serialize)]
pub(crate) struct Shown {
    id: ContactId,
    address: String,
    input: String,
    name: Option<String>,
    zone: Option<String>,
    fields: BTreeMap<String, String>,
    created: Time,
    updated: Time,
}

impl From<Contact> for Shown {
    fn from(contact: Contact) -> Self {
        Self {
            id: contact.id,
            address: contact.address.to_text(),
            input: contact.input,
            name: contact.name,
            zone: contact.zone,
            fields: contact.fields,
            created: Time(contact.created),
            updated: Time(contact.updated),
        }
    }
}

/// `GET /v1/contacts`: in the order of their addresses.
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(which): Query<Which>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    let ask = Ask::new(which.limit, which.after);
    let limit = ask.limit()?;
    let list = which.list.map(|text| {
        text.parse::<ImportId>().map_err(|_| Problem::new(Code::InvalidQuery, "`list` must be an id imp_…."))
    });
    let list = list.transpose()?;
    let contacts = &state.node.store().contacts;
    let found = contacts.page(whom.tenant, list, ask.after_address()?, limit).await?;
    let cursor = found.last().map(|contact| address_cursor(&contact.address));
    Ok(axum::Json(Page::new(found.into_iter().map(Shown::from).collect(), limit, cursor)))
}
