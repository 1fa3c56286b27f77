//! `GET /v1/imports/{id}/errors`: the rows that did not become contacts as a file, to be corrected and imported again.
//! A few batches are in memory at a time, however many rows there are.
//!
//! The columns are the file's own, then `kabar_row` (its number there) and `kabar_problem`, which an import passes
//! over. Every row is as wide as the header: too many fields are cut off, missing ones left empty, and the problem says
//! so. A cell that a spreadsheet would take for a formula has an apostrophe in front, which an import takes away again.

use crate::auth::For;
use crate::body::Id;
use crate::csv::cell;
use crate::openapi::shapes;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, TryStreamExt};
use kabar_actors::import::ERROR_COLUMNS;
use kabar_engine::id::{ImportId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_schema::StoreError;
use kabar_schema::records::{ErrorRow, Import, ImportErrors, Noun, Nouns, Versioned};

/// Batches that are read at once.
const PAGE: usize = 4;

/// `GET /v1/imports/{id}/errors`
#[utoipa::path(get, path = "/v1/imports/{id}/errors", tag = "imports", operation_id = "exportImportErrors",
    summary = "The rows that did not become contacts as a CSV file that imports again",
    params(("id" = shapes::ImportId, Path, description = "The import.")),
    responses((status = 200, body = String, content_type = "text/csv", description = "The file: the columns of the imported one, then `kabar_row` and `kabar_problem`.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<ImportId>,
) -> Result<Response, Problem> {
    let found = state.nouns().get::<Import>(whom.tenant, id.0).await?;
    found.ok_or_else(|| Problem::no_such("import"))?;
    let nouns = state.nouns().clone();
    let mut walk = Walk { nouns, tenant: whom.tenant, import: id.0.to_string(), after: None };
    // Before the first byte, so that a store that does not answer is told as such.
    let first = walk.page().await?;
    let mut head = String::new();
    line(&mut head, first.first().map_or(&[][..], |batch| &batch.noun.header), ERROR_COLUMNS);
    let body = stream::try_unfold((walk, first, head), async |(mut walk, mut page, mut text)| {
        if page.is_empty() && text.is_empty() {
            page = walk
                .page()
                .await
                .inspect_err(|error| tracing::warn!(%error, "a file of errors ended early"))?;
        }
        for ErrorRow { row, problem, values } in page.into_iter().flat_map(|batch| batch.noun.rows) {
            line(&mut text, &values, [&row.to_string(), &problem]);
        }
        let piece = (!text.is_empty()).then(|| Bytes::from(text));
        Ok::<_, StoreError>(piece.map(|piece| (piece, (walk, Vec::new(), String::new()))))
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"errors.csv\""),
    ];
    Ok((headers, Body::from_stream(body.map_err(std::io::Error::other))).into_response())
}

/// The batches of an import, page by page.
struct Walk {
    nouns: Nouns,
    tenant: TenantId,
    import: String,
    after: Option<(Timestamp, u64)>,
}

impl Walk {
    async fn page(&mut self) -> Result<Vec<Versioned<ImportErrors>>, StoreError> {
        let index = Some((ImportErrors::IMPORT, self.import.as_str()));
        let page = self.nouns.page::<ImportErrors>(self.tenant, index, self.after, PAGE).await?;
        if let Some(last) = page.last() {
            self.after = Some((last.noun.created, last.noun.id()));
        }
        Ok(page)
    }
}

/// A row of the file.
fn line(out: &mut String, values: &[String], own: [&str; 2]) {
    for value in values {
        cell(out, value);
        out.push(',');
    }
    cell(out, own[0]);
    out.push(',');
    cell(out, own[1]);
    out.push_str("\r\n");
}
