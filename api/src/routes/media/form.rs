//! A file in a form, taken in while it arrives: the form's fields first, the file last. Not JSON.

use crate::body::check_length;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use futures::StreamExt;
use kabar_actors::media::{Kept, MediaError, SourceError, Wanted};
use kabar_engine::id::TenantId;
use kabar_engine::media::MediaKind;
use kabar_schema::records::MediaOrigin;
use multer::{Constraints, Field, Multipart, SizeLimit};

/// What a form adds to its file, at most.
const AROUND: u64 = 64 * 1024;
/// Longest value of a field that is not the file, bytes.
const FIELD_MAX: u64 = 1_024;

/// Takes in the file of a form.
pub(super) async fn take(state: &ApiState, tenant: TenantId, request: Request) -> Result<Kept, Problem> {
    let mut form = open(request)?;
    let mut wanted = Wanted::from(MediaOrigin::Upload);
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        match field.name() {
            Some("kind") => {
                let word = said(field).await?;
                let words = MediaKind::ALL.map(MediaKind::word).join(", ");
                let kind = MediaKind::of_word(word.trim());
                wanted.kind = Some(kind.ok_or_else(|| Problem::invalid("kind", format!("one of {words}")))?);
            }
            Some("filename") => {
                wanted.filename = Some(said(field).await?);
            }
            Some("file") => return last(state, tenant, field, wanted).await,
            name => {
                let name = name.unwrap_or_default().chars().take(64).collect::<String>();
                let detail = format!("Unknown field `{name}`, expected `kind`, `filename` and then `file`.");
                return Err(Problem::new(Code::UnknownField, detail).at(&name));
            }
        }
    }
    Err(Problem::new(Code::MissingField, "Missing field `file`.").at("file"))
}

/// A form whose `file` may be as long as a file, and whose other fields are short.
pub(crate) fn open(request: Request) -> Result<Multipart<'static>, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        let detail = "Send the file as `multipart/form-data`; the `Content-Type` names its boundary.";
        Problem::new(Code::UnsupportedMediaType, detail)
    })?;
    check_length(request.headers(), MediaKind::BYTES_MAX + AROUND)?;
    let limits = SizeLimit::new().per_field(FIELD_MAX).for_field("file", MediaKind::BYTES_MAX + 1);
    let constraints = Constraints::new().size_limit(limits.whole_stream(MediaKind::BYTES_MAX + AROUND));
    Ok(Multipart::with_constraints(request.into_body().into_data_stream(), boundary, constraints))
}

/// What stands in a field that is not the file.
pub(crate) async fn said(field: Field<'_>) -> Result<String, Problem> {
    field.text().await.map_err(|error| broken(&error))
}

/// The file itself. What stands behind it would come too late to be heard, and is not looked at.
pub(crate) async fn last(
    state: &ApiState,
    tenant: TenantId,
    field: Field<'_>,
    mut wanted: Wanted,
) -> Result<Kept, Problem> {
    // What the form said of it before counts more than what the client's library wrote.
    wanted.mime = wanted.mime.or_else(|| field.content_type().map(ToString::to_string));
    wanted.filename = wanted.filename.or_else(|| field.file_name().map(str::to_owned));
    let source = field.map(|piece| {
        piece.map_err(|error| match error {
            multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
                SourceError::TooLarge(MediaKind::BYTES_MAX)
            }
            error => SourceError::Broken(error.to_string()),
        })
    });
    state
        .dispatcher
        .keep_media(tenant, source.boxed(), wanted)
        .await
        .map_err(|error: MediaError| error.into())
}

pub(crate) fn broken(error: &multer::Error) -> Problem {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            Problem::new(Code::BodyTooLarge, "A field of the form is larger than it may be.")
        }
        _ => Problem::new(Code::BodyUnreadable, "The form cannot be read, or did not come whole."),
    }
}
