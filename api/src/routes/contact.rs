//! `/v1/contacts`: the tenant's address book, all of it or one list, and its contacts one by one. Files come in by
//! import and go out by export.

pub(crate) mod export;

use super::{TRIES, address, name, present, zone};
use crate::auth::For;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::answer;
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, address_cursor};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_engine::id::{ContactId, ImportId, TenantId};
use kabar_engine::schedule::{Zone, zone_of};
use kabar_schema::StoreError;
use kabar_schema::contacts::{Contact, ContactDraft};
use kabar_schema::records::Import;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Most fields of a contact.
const FIELDS_MAX: usize = 100;
/// Longest name of a field, characters.
const FIELD_NAME_MAX: usize = 64;
/// Longest value of a field, characters.
const FIELD_MAX: usize = 4_096;

/// The query of the list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Only the contacts of this list.
    #[param(value_type = Option<shapes::ImportId>)]
    list: Option<String>,
    /// Things on the page; 50 when not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// A contact as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = ContactBrief)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::ContactId)]
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

/// A contact by itself: also what follows from it.
#[derive(Serialize, ToSchema)]
#[schema(as = Contact)]
pub(crate) struct Full {
    #[serde(flatten)]
    shown: Shown,
    /// The zone by which messages are held back, and where it was read from.
    #[schema(value_type = shapes::Zone)]
    zone_used: Zone,
    opted_out: bool,
}

async fn full(state: &ApiState, contact: Contact) -> Result<Full, Problem> {
    let opted_out = state.dispatcher.opted_out(contact.tenant, &contact.address).await?;
    let zone_used = zone_of(&contact.address, contact.zone.as_deref());
    Ok(Full { shown: contact.into(), zone_used, opted_out })
}

/// A new contact.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewContact, example = json!({"address": "+6281234567890", "name": "Ana", "zone": "Asia/Jakarta", "fields": {"city": "Bandung"}}))]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    address: String,
    name: Option<String>,
    zone: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// A merge patch (RFC 7396): what is absent stays, what is null goes.
#[derive(Deserialize, ToSchema)]
#[schema(as = ContactPatch, example = json!({"name": "Ana Maria", "fields": {"city": "Jakarta", "old": null}}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    /// Known, so that its refusal can say why.
    #[serde(default, deserialize_with = "present")]
    #[schema(ignore)]
    address: Option<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    zone: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    fields: Option<Option<BTreeMap<String, Option<String>>>>,
}

fn check_field(field: &str, value: &str) -> Result<(), Problem> {
    if !(1..=FIELD_NAME_MAX).contains(&field.chars().count()) || field.chars().any(char::is_control) {
        let allowed = format_args!(
            "named with 1 to {FIELD_NAME_MAX} characters each, none of them a control character"
        );
        return Err(Problem::invalid("fields", allowed));
    }
    if value.chars().count() > FIELD_MAX {
        let path = format!("fields.{field}");
        return Err(Problem::invalid(&path, format_args!("a text of at most {FIELD_MAX} characters")));
    }
    Ok(())
}

fn check_count(fields: usize) -> Result<(), Problem> {
    if fields <= FIELDS_MAX {
        Ok(())
    } else {
        Err(Problem::invalid("fields", format_args!("at most {FIELDS_MAX}")))
    }
}

/// `POST /v1/contacts`: an address that is not known yet. The id follows from the address, so with an idempotency
/// key a repeat is recognised by a contact that has everything the body gives.
#[utoipa::path(post, path = "/v1/contacts", tag = "contacts", operation_id = "createContact", summary = "Make a contact",
    request_body = New, responses((status = 201, body = Full, description = "Created, or the earlier answer.")),
    extensions(("x-problems" = json!(["invalid_address", "contact_exists"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<New>,
) -> Result<Response, Problem> {
    let given = body.value;
    let address = address(&given.address)?;
    check_count(given.fields.len())?;
    given.fields.iter().try_for_each(|(field, value)| check_field(field, value))?;
    let draft = ContactDraft {
        input: given.address.trim().to_owned(),
        name: given.name.as_deref().map(name).transpose()?,
        zone: given.zone.as_deref().map(|text| zone(&address, text)).transpose()?,
        fields: given.fields,
        address,
    };
    let contact = Contact::begin(whom.tenant, draft, state.now());
    let contacts = &state.node.store().contacts;
    match contacts.replace(contact.clone(), 0).await {
        Ok(_) => Ok(answer(StatusCode::CREATED, false, full(&state, contact).await?)),
        Err(StoreError::Conflict) => {
            let stored = contacts.by_address(whom.tenant, &contact.address).await?;
            let stored = stored.ok_or(StoreError::Conflict)?;
            if key.0.is_some() && has_all(&stored, &contact) {
                return Ok(answer(StatusCode::CREATED, true, full(&state, stored).await?));
            }
            let detail = format!("The address is that of the contact {}.", stored.id);
            Err(Problem::new(Code::ContactExists, detail))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the stored contact has everything that is given.
fn has_all(stored: &Contact, given: &Contact) -> bool {
    let mut fields = given.fields.iter();
    (given.name.is_none() || given.name == stored.name)
        && (given.zone.is_none() || given.zone == stored.zone)
        && fields.all(|(field, value)| stored.fields.get(field) == Some(value))
}

/// `GET /v1/contacts`: in the order of their addresses.
#[utoipa::path(get, path = "/v1/contacts", tag = "contacts", operation_id = "listContacts", summary = "List contacts in the order of their addresses",
    params(Which), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(which): Query<Which>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    let ask = Ask::new(which.limit, which.after);
    let limit = ask.limit()?;
    let list = known_list(&state, whom.tenant, which.list.as_deref()).await?;
    let contacts = &state.node.store().contacts;
    let found = contacts.page(whom.tenant, list, ask.after_address()?, limit).await?;
    let cursor = found.last().map(|contact| address_cursor(&contact.address));
    Ok(axum::Json(Page::new(found.into_iter().map(Shown::from).collect(), limit, cursor)))
}

/// The tenant's list that a filter names, if it names one.
async fn known_list(
    state: &ApiState,
    tenant: TenantId,
    named: Option<&str>,
) -> Result<Option<ImportId>, Problem> {
    let Some(list) = named.map(list_id).transpose()? else { return Ok(None) };
    let known = state.nouns().get::<Import>(tenant, list.0).await?;
    known.map(|_| Some(list)).ok_or_else(|| Problem::no_such("list"))
}

fn list_id(text: &str) -> Result<ImportId, Problem> {
    text.parse().map_err(|_| Problem::new(Code::InvalidQuery, "`list` must be an id imp_…."))
}

/// `GET /v1/contacts/{id}`
#[utoipa::path(get, path = "/v1/contacts/{id}", tag = "contacts", operation_id = "getContact", summary = "Read a contact, its zone and whether it has opted out",
    params(("id" = shapes::ContactId, Path, description = "The contact.")), responses((status = 200, body = Full, description = "The contact.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<ContactId>,
) -> Result<axum::Json<Full>, Problem> {
    let found = state.node.store().contacts.get(whom.tenant, id).await?;
    let contact = found.ok_or_else(|| Problem::no_such("contact"))?;
    Ok(axum::Json(full(&state, contact).await?))
}

/// `PATCH /v1/contacts/{id}`: a JSON merge patch. Twice comes to the same as once, so that an idempotency key is
/// taken but not needed.
#[utoipa::path(patch, path = "/v1/contacts/{id}", tag = "contacts", operation_id = "changeContact", summary = "Change a contact (JSON merge patch)",
    params(("id" = shapes::ContactId, Path, description = "The contact.")), request_body = Patch, responses((status = 200, body = Full, description = "The contact as it is now.")))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<ContactId>,
    body: Json<Patch>,
) -> Result<axum::Json<Full>, Problem> {
    let contacts = &state.node.store().contacts;
    for _ in 0..TRIES {
        let found = contacts.get(whom.tenant, id).await?;
        let stored = found.ok_or_else(|| Problem::no_such("contact"))?;
        let mut contact = stored.clone();
        apply(&body.value, &mut contact)?;
        if contact != stored {
            contact.updated = state.now();
            match contacts.replace(contact.clone(), stored.version).await {
                Ok(_) => {}
                // Somebody was faster: the patch goes onto what they wrote.
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(axum::Json(full(&state, contact).await?));
    }
    Err(StoreError::Conflict.into())
}

fn apply(patch: &Patch, contact: &mut Contact) -> Result<(), Problem> {
    if patch.address.is_some() {
        return Err(Problem::invalid("address", "left out: it cannot change; make another contact instead"));
    }
    if let Some(given) = &patch.name {
        contact.name = given.as_deref().map(name).transpose()?;
    }
    if let Some(given) = &patch.zone {
        contact.zone = given.as_deref().map(|text| zone(&contact.address, text)).transpose()?;
    }
    match &patch.fields {
        None => return Ok(()),
        Some(None) => contact.fields.clear(),
        Some(Some(given)) => {
            for (field, value) in given {
                match value {
                    None => _ = contact.fields.remove(field),
                    Some(value) => {
                        check_field(field, value)?;
                        contact.fields.insert(field.clone(), value.clone());
                    }
                }
            }
        }
    }
    check_count(contact.fields.len())
}

/// `DELETE /v1/contacts/{id}`: the row and its places on lists. What the person wished stays known, so that an
/// opt-out outlives the contact.
#[utoipa::path(delete, path = "/v1/contacts/{id}", tag = "contacts", operation_id = "deleteContact", summary = "Delete a contact; its opt-out stays",
    params(("id" = shapes::ContactId, Path, description = "The contact.")), responses((status = 204, description = "Gone.")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<ContactId>,
) -> Result<StatusCode, Problem> {
    let was = state.node.store().contacts.delete(whom.tenant, id).await?;
    if was { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::no_such("contact")) }
}
