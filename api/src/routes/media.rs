//! `/v1/media`: files of a tenant, kept once whatever way they come, and named by messages. Not what WhatsApp does with
//! them; and the bytes themselves are read in `media/content.rs`.

pub(crate) mod content;
pub(crate) mod form;
pub(crate) mod inline;

use crate::auth::For;
use crate::body::{Id, Json, Query};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, records};
use crate::problem::{Code, Problem};
use crate::share::Place;
use crate::state::ApiState;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use kabar_actors::media::{Kept, MediaError, SourceError, Wanted as Said};
use kabar_engine::id::{MediaId, SessionId, TenantId};
use kabar_engine::media::MediaKind;
use kabar_schema::records::{Media, MediaCopy, MediaOrigin};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A file in the text of a request, or behind a link. Exactly one of `base64` and `link`.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewMedia, example = json!({"link": "https://cdn.example.com/a.jpg", "kind": "image"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The bytes.
    base64: Option<String>,
    /// Where they are: a public http or https address.
    #[schema(max_length = 2048)]
    link: Option<String>,
    /// What they are; found in the bytes when not said.
    #[schema(example = "image/jpeg")]
    mime_type: Option<String>,
    /// What the file is called.
    #[schema(max_length = 240)]
    filename: Option<String>,
    /// Refused when it is not good for this.
    #[schema(value_type = Option<shapes::MediaKind>)]
    kind: Option<MediaKind>,
}

/// A file that is uploaded. `kind` and `filename` stand before `file`.
#[derive(ToSchema)]
#[schema(as = MediaForm)]
#[expect(dead_code, reason = "only its shape is of interest: forms are read as they come")]
pub(crate) struct Form {
    /// A text, one of MediaKind; a form has no other types.
    #[schema(value_type = Value, required = false)]
    kind: Option<String>,
    /// A text.
    #[schema(value_type = Value, required = false)]
    filename: Option<String>,
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A file as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Media)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::MediaId)]
    id: MediaId,
    /// Of the bytes, in hex.
    sha256: String,
    bytes: u64,
    mime_type: String,
    #[schema(value_type = shapes::MediaKind)]
    kind: MediaKind,
    filename: Option<String>,
    #[schema(value_type = shapes::MediaOrigin)]
    origin: MediaOrigin,
    created: Time,
    /// The numbers it was uploaded for; told of a file that is read alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    uploads: Option<Vec<Upload>>,
}

/// A number that a file was uploaded for.
#[derive(Serialize, ToSchema)]
#[schema(as = MediaUpload)]
struct Upload {
    #[schema(value_type = shapes::SessionId)]
    session: SessionId,
    /// WhatsApp's id of it there.
    provider_id: String,
    uploaded: Time,
}

impl From<Media> for Shown {
    fn from(media: Media) -> Self {
        Self {
            id: media.media_id(),
            sha256: media.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            bytes: media.bytes,
            mime_type: media.mime,
            kind: media.kind,
            filename: media.filename,
            origin: media.origin,
            created: Time(media.created),
            uploads: None,
        }
    }
}

impl From<MediaCopy> for Upload {
    fn from(copy: MediaCopy) -> Self {
        Self { session: copy.session, provider_id: copy.provider_id, uploaded: Time(copy.uploaded) }
    }
}

impl From<MediaError> for Problem {
    fn from(error: MediaError) -> Self {
        let detail = sentence(&error);
        match error {
            MediaError::Unfit(_) | MediaError::Source(SourceError::OtherHash) => {
                Self::new(Code::MediaRefused, detail)
            }
            MediaError::Source(SourceError::TooLarge(_)) => Self::new(Code::BodyTooLarge, detail),
            MediaError::Source(SourceError::Broken(_)) => Self::new(Code::BodyUnreadable, detail),
            MediaError::Link(_) => Self::new(Code::LinkUnusable, detail).at("link"),
            MediaError::Store(error) => error.into(),
        }
    }
}

/// An error's words as a sentence.
fn sentence(error: &impl std::fmt::Display) -> String {
    let words = error.to_string();
    let mut letters = words.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str())
}

/// `POST /v1/media`: 201 when it is durable, 200 when it was here before.
#[utoipa::path(post, path = "/v1/media", tag = "media", operation_id = "createMedia", summary = "Keep a file: uploaded, as base64, or from a link",
    request_body(content((Wanted = "application/json"), (Form = "multipart/form-data"))),
    responses((status = 201, body = Shown, description = "Durable."), (status = 200, body = Shown, description = "The tenant has the same bytes already: this is their id.")),
    extensions(("x-problems" = json!(["media_refused", "link_unusable"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    request: Request,
) -> Result<Response, Problem> {
    let _place = place(&state, whom.tenant)?;
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kept = match kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        true => form::take(&state, whom.tenant, request).await?,
        false => {
            let body: Json<Wanted> = Json::within(request, state.config.server.media_inline_bytes()).await?;
            told(&state, whom.tenant, body.value).await?
        }
    };
    let status = if kept.fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(Shown::from(kept.media))).into_response())
}

/// A place among the files that are taken in at a time, of which a tenant has half.
pub(crate) fn place(state: &ApiState, tenant: TenantId) -> Result<Place, Problem> {
    let busy = || Problem::new(Code::Overloaded, "As many files are being taken in as may be.");
    state.media.take(tenant).ok_or_else(busy)
}

async fn told(state: &ApiState, tenant: TenantId, wanted: Wanted) -> Result<Kept, Problem> {
    let Wanted { base64, link, mime_type, filename, kind } = wanted;
    let said = |origin| Said { mime: mime_type, filename, kind, ..Said::from(origin) };
    match (base64, link) {
        (Some(text), None) => {
            let bytes = inline::decode(&text, "base64")?;
            Ok(state.dispatcher.keep_media_bytes(tenant, bytes, said(MediaOrigin::Inline)).await?)
        }
        (None, Some(link)) => {
            let kept = state.dispatcher.keep_media_link(tenant, &link, said(MediaOrigin::Link)).await;
            kept.map_err(|error| match error {
                // What breaks off here is the link's, not the request's.
                MediaError::Source(error) => Problem::new(Code::LinkUnusable, sentence(&error)).at("link"),
                error => error.into(),
            })
        }
        _ => Err(Problem::invalid("base64", "given, or `link` is; not both")),
    }
}

/// `GET /v1/media`
#[utoipa::path(get, path = "/v1/media", tag = "media", operation_id = "listMedia", summary = "List files",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    records::<Media, _>(&state, whom.tenant, &ask).await
}

/// `GET /v1/media/{id}`
#[utoipa::path(get, path = "/v1/media/{id}", tag = "media", operation_id = "getMedia", summary = "Read what is known of a file",
    params(("id" = shapes::MediaId, Path, description = "The file.")), responses((status = 200, body = Shown, description = "The file, and the numbers it was uploaded for.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<MediaId>,
) -> Result<axum::Json<Shown>, Problem> {
    let found = state.dispatcher.media(whom.tenant, id).await?;
    let (media, copies) = found.ok_or_else(|| Problem::no_such("media"))?;
    // A key for some numbers does not learn of the others.
    let uploads = copies.into_iter().filter(|copy| whom.check_session(copy.session).is_ok());
    let uploads = Some(uploads.map(Upload::from).collect());
    Ok(axum::Json(Shown { uploads, ..media.into() }))
}

/// `DELETE /v1/media/{id}`: messages that name it and have not left fail with `media_gone`.
#[utoipa::path(delete, path = "/v1/media/{id}", tag = "media", operation_id = "deleteMedia", summary = "Delete a file",
    params(("id" = shapes::MediaId, Path, description = "The file.")), responses((status = 204, description = "Gone; what names it and has not left yet will fail.")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<MediaId>,
) -> Result<StatusCode, Problem> {
    let gone = state.dispatcher.delete_media(whom.tenant, id).await?;
    if gone { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::no_such("media")) }
}
