//! `POST /v1/contacts/import/preview`: what an import would make of the first rows of a file. Nothing is stored, and no
//! more of the body is read than those rows.

use super::{Wanted, ask, bounded, check_kind, permit};
use crate::auth::For;
use crate::body::{Idempotent, Query};
use crate::openapi::shapes;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::Json;
use axum::extract::{Request, State};
use futures::StreamExt;
use kabar_actors::import::{Becomes, Preview, PreviewColumn, PreviewRow, RowOutcome};
use kabar_engine::schedule::Zone;
use kabar_schema::records::Problem as Wrong;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Bytes that fifty rows of the greatest length can have, in any encoding.
const BYTES_MAX: u64 = 8 << 20;
/// How long the rest of a body is taken off the line for the answer to arrive.
const LINGER: Duration = Duration::from_secs(5);

/// A preview as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportPreview)]
pub(crate) struct Shown {
    /// The text's encoding, as far as it was read.
    #[schema(example = "UTF-8")]
    encoding: &'static str,
    /// The sign between two columns.
    #[schema(example = ",")]
    delimiter: char,
    columns: Vec<Column>,
    /// The first rows, at most 50.
    rows: Vec<Row>,
}

/// A column and what becomes of it.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportPreviewColumn)]
struct Column {
    name: String,
    #[schema(value_type = shapes::Becomes)]
    becomes: &'static str,
    /// The variable of a text that its values fill.
    variable: Option<String>,
    /// How sure that is.
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    /// Why, in a sentence.
    #[schema(example = "by its name; 3 of 3 values read as a phone number")]
    why: String,
}

/// A row and what it counts as.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportPreviewRow)]
struct Row {
    /// The header is row 1.
    row: u64,
    /// As the file has them.
    values: Vec<String>,
    #[schema(example = "+6281234567890")]
    address: Option<String>,
    name: Option<String>,
    /// In which the person would be written to.
    #[schema(value_type = Option<shapes::Zone>)]
    zone: Option<Zone>,
    #[schema(value_type = shapes::RowOutcome)]
    outcome: &'static str,
    /// Why it is invalid, or which value is left out.
    #[schema(value_type = Option<shapes::ImportProblem>)]
    problem: Option<Wrong>,
}

impl From<Preview> for Shown {
    fn from(preview: Preview) -> Self {
        Self {
            encoding: preview.encoding,
            delimiter: char::from(preview.delimiter),
            columns: preview.columns.into_iter().map(Column::from).collect(),
            rows: preview.rows.into_iter().map(Row::from).collect(),
        }
    }
}

impl From<PreviewColumn> for Column {
    fn from(column: PreviewColumn) -> Self {
        let becomes = match column.becomes {
            Becomes::Phone => "phone",
            Becomes::Name => "name",
            Becomes::Zone => "zone",
            Becomes::OptedOut => "opted_out",
            Becomes::Field => "field",
            Becomes::Ignored => "ignored",
        };
        let PreviewColumn { name, variable, confidence, why, .. } = column;
        Self { name, becomes, variable, confidence, why }
    }
}

impl From<PreviewRow> for Row {
    fn from(row: PreviewRow) -> Self {
        let outcome = match row.outcome {
            RowOutcome::Valid => "valid",
            RowOutcome::Invalid => "invalid",
            RowOutcome::Duplicate => "duplicate",
        };
        let PreviewRow { row, values, address, name, zone, problem, .. } = row;
        Self { row, values, address, name, zone, outcome, problem }
    }
}

/// `POST /v1/contacts/import/preview`
#[utoipa::path(post, path = "/v1/contacts/import/preview", tag = "contacts", operation_id = "previewImport",
    summary = "What an import would make of a file's first 50 rows; nothing is stored", params(Wanted),
    request_body(content = String, content_type = "text/csv", description = "The file itself, or its begin: as for an import.",
        example = "name,phone\nAna,+6281234567890\n"),
    responses((status = 200, body = Shown, description = "The columns and the first rows.")),
    extensions(("x-problems" = json!(["import_header", "import_column", "import_encoding", "import_empty", "import_malformed", "unsupported_media_type", "body_unreadable", "invalid_value"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Result<Json<Shown>, Problem> {
    check_kind(&request)?;
    let asked = ask(&state, &whom, &key, wanted)?;
    let _permit = permit(&state, whom.tenant)?;
    let mut body = bounded(request.into_body(), BYTES_MAX).boxed();
    let preview = state.dispatcher.importer().preview(&asked, &mut body).await;
    // A connection that is closed while its sender still writes may take the answer with it.
    tokio::spawn(async move {
        let rest = async { while body.next().await.is_some_and(|chunk| chunk.is_ok()) {} };
        let _ = tokio::time::timeout(LINGER, rest).await;
    });
    Ok(Json(preview?.into()))
}
