//! `/v1/contacts/import` and `/v1/imports`: contact files, read while they arrive. The id of an import is the list
//! of the contacts it brought.

pub(crate) mod errors;
pub(crate) mod preview;

use super::name;
use crate::auth::For;
use crate::body::{Id, Idempotent, Query, check_length};
use crate::create::answer;
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, records};
use crate::problem::{Code, Problem};
use crate::share::Place;
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use kabar_actors::import::{ImportError, ImportRequest, Mapping};
use kabar_engine::address::Region;
use kabar_engine::id::{ImportId, TenantId};
use kabar_schema::records::{ConsentBasis, Import, ImportState, Problem as Row};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use utoipa::{IntoParams, ToSchema};

/// The query of an import; columns that are not named are guessed from the header.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// What the import is called.
    #[param(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The column with phone numbers.
    phone_column: Option<String>,
    /// The column with names.
    name_column: Option<String>,
    /// The column with IANA time zones.
    zone_column: Option<String>,
    /// The column that says who has opted out: yes, true, 1, ya or y.
    opted_out_column: Option<String>,
    /// Where numbers without a country code belong.
    #[param(example = "ID", pattern = "^[A-Z]{2}$")]
    default_region: Option<String>,
    /// One character, or `tab`; guessed when not said.
    delimiter: Option<String>,
    /// Why the people in the file may be written to.
    #[serde(default)]
    #[param(value_type = Option<shapes::ConsentBasis>)]
    consent_basis: ConsentBasis,
    /// Where their consent was given: at most 200 characters, none of them a control character.
    #[param(example = "Form on the shop's page", max_length = 200)]
    consent_source: Option<String>,
}

/// An import as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Import)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::ImportId)]
    id: ImportId,
    name: String,
    #[schema(value_type = shapes::ImportState)]
    state: ImportState,
    rows_read: u64,
    imported: u64,
    created_contacts: u64,
    updated_contacts: u64,
    duplicate: u64,
    invalid: u64,
    opted_out: u64,
    #[schema(value_type = Vec<shapes::ImportProblem>)]
    problems: Vec<Row>,
    /// Invalid rows that `/errors` gives back.
    errors_kept: u64,
    /// Invalid rows beyond those.
    errors_left_off: u64,
    #[schema(value_type = shapes::ConsentBasis)]
    consent_basis: ConsentBasis,
    consent_source: Option<String>,
    error: Option<String>,
    created: Time,
    finished: Option<Time>,
}

impl From<Import> for Shown {
    fn from(import: Import) -> Self {
        Self {
            id: import.id,
            name: import.name,
            state: import.state,
            rows_read: import.rows_read,
            imported: import.imported,
            created_contacts: import.created_contacts,
            updated_contacts: import.updated_contacts,
            duplicate: import.duplicate,
            invalid: import.invalid,
            opted_out: import.opted_out,
            problems: import.problems,
            errors_kept: import.errors_kept,
            errors_left_off: import.errors_left_off,
            consent_basis: import.consent_basis,
            consent_source: import.consent_source,
            error: import.error,
            created: Time(import.created),
            finished: import.finished.map(Time),
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        let sentence = error.to_string();
        let mut letters = sentence.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        let detail = format!("{first}{}.", letters.as_str());
        match error {
            ImportError::NoHeader | ImportError::NoPhoneColumn { .. } => {
                Self::new(Code::ImportHeader, detail)
            }
            ImportError::UnknownColumn { .. } => Self::new(Code::ImportColumn, detail),
            ImportError::Encoding { .. } => Self::new(Code::ImportEncoding, detail),
            ImportError::Empty => Self::new(Code::ImportEmpty, detail),
            ImportError::Malformed { .. } => Self::new(Code::ImportMalformed, detail),
            ImportError::Delimiter(_) => Self::new(Code::InvalidQuery, detail),
            ImportError::Body(_) => Self::new(Code::BodyUnreadable, detail),
            ImportError::TooLarge(_) => Self::new(Code::BodyTooLarge, detail),
            ImportError::OtherFile => Self::new(Code::IdempotencyMismatch, detail),
            ImportError::Store(error) => error.into(),
            ImportError::Compute(_) => Self::new(Code::Unavailable, detail),
        }
    }
}

/// `POST /v1/contacts/import`: 201 with the counts when every row was looked at.
#[utoipa::path(post, path = "/v1/contacts/import", tag = "contacts", operation_id = "importContacts",
    summary = "Import a contact file, read while it arrives", params(Wanted),
    request_body(content = String, content_type = "text/csv", description = "The file itself: UTF-8, UTF-16 or Windows-1252, any delimiter, a header in its first row.",
        example = "name,phone\nAna,+6281234567890\n"),
    responses((status = 201, body = Shown, description = "Every row was looked at.")),
    extensions(("x-problems" = json!(["import_header", "import_column", "import_encoding", "import_empty", "import_malformed", "unsupported_media_type", "body_too_large", "body_unreadable", "invalid_value"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Result<Response, Problem> {
    check_kind(&request)?;
    check_length(request.headers(), state.config.server.import_max_bytes)?;
    let asked = ask(&state, &whom, &key, wanted)?;
    if let Some(earlier) = state.nouns().get::<Import>(whom.tenant, asked.import.0).await? {
        let import = earlier.noun;
        let consent = (import.consent_basis, &import.consent_source);
        if import.name != asked.name || consent != (asked.consent_basis, &asked.consent_source) {
            let detail = "The key belongs to an import of another name or consent.";
            return Err(Problem::new(Code::IdempotencyMismatch, detail));
        }
        if import.state == ImportState::Done {
            return Ok(answer(StatusCode::CREATED, true, Shown::from(import)));
        }
    }
    let _permit = permit(&state, whom.tenant)?;
    let max = state.config.server.import_max_bytes;
    let body = bounded(request.into_body(), max).boxed();
    let import = state.dispatcher.importer().run(asked, body, |_| {}).await?;
    Ok(answer(StatusCode::CREATED, false, Shown::from(import)))
}

/// Refuses what is no file of text.
fn check_kind(request: &Request) -> Result<(), Problem> {
    let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    let plain = ["text/csv", "text/plain", "text/tab-separated-values", "application/octet-stream"];
    if kind.is_none_or(|kind| plain.contains(&kind.split(';').next().unwrap_or_default().trim())) {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "Send the file itself as `text/csv`."))
}

/// A place among the files that are read at a time, of which a tenant has half.
fn permit(state: &ApiState, tenant: TenantId) -> Result<Place, Problem> {
    let busy = || Problem::new(Code::Overloaded, "As many contact files are being read as may be.");
    state.imports.take(tenant).ok_or_else(busy)
}

/// The body, which fails behind so many bytes.
fn bounded(body: Body, max: u64) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let mut bytes = 0_u64;
    body.into_data_stream().map_err(std::io::Error::other).map(move |chunk| {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        let over = || std::io::Error::new(ErrorKind::FileTooLarge, format!("more than {max} bytes"));
        if bytes > max { Err(over()) } else { Ok(chunk) }
    })
}

fn ask(state: &ApiState, whom: &For, key: &Idempotent, wanted: Wanted) -> Result<ImportRequest, Problem> {
    let tenant = whom.tenant;
    let region = wanted.default_region.map(|text| {
        text.parse::<Region>()
            .map_err(|error| Problem::new(Code::InvalidQuery, format!("`default_region`: {error}.")))
    });
    let delimiter = wanted.delimiter.map(|text| match text.as_bytes() {
        b"tab" => Ok(b'\t'),
        [one] => Ok(*one),
        _ => Err(Problem::new(Code::InvalidQuery, "`delimiter` must be one character, or `tab`.")),
    });
    Ok(ImportRequest {
        tenant,
        import: key.id(|k| ImportId::derived(tenant, k), |r| ImportId::random(state.now(), r)),
        name: wanted.name.as_deref().map_or_else(|| Ok("import".to_owned()), name)?,
        mapping: Mapping {
            phone: wanted.phone_column,
            name: wanted.name_column,
            zone: wanted.zone_column,
            opted_out: wanted.opted_out_column,
        },
        consent_basis: wanted.consent_basis,
        consent_source: wanted.consent_source.map(source).transpose()?,
        default_region: region.transpose()?,
        delimiter: delimiter.transpose()?,
    })
}

/// Where a consent was given, as the sender says.
fn source(text: String) -> Result<String, Problem> {
    if text.chars().count() <= 200 && !text.contains(char::is_control) {
        return Ok(text);
    }
    let detail = "`consent_source` must have at most 200 characters, none of them a control character.";
    Err(Problem::new(Code::InvalidQuery, detail))
}

/// `GET /v1/imports`
#[utoipa::path(get, path = "/v1/imports", tag = "imports", operation_id = "listImports", summary = "List imports of contact files",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    records::<Import, _>(&state, whom.tenant, &ask).await
}

/// `GET /v1/imports/{id}`
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports", operation_id = "getImport", summary = "Read an import: how far it is and what was wrong",
    params(("id" = shapes::ImportId, Path, description = "The import.")), responses((status = 200, body = Shown, description = "The import.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<ImportId>,
) -> Result<axum::Json<Shown>, Problem> {
    let found = state.nouns().get::<Import>(whom.tenant, id.0).await?;
    Ok(axum::Json(found.ok_or_else(|| Problem::no_such("import"))?.noun.into()))
}
