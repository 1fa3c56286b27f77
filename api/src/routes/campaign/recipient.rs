//! A launched campaign's recipients one by one, all or by status and cause, as pages and as a CSV file.

use super::found;
use crate::auth::For;
use crate::body::{Id, Query};
use crate::csv::{cell, quoted};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, id_cursor};
use crate::problem::{Code, Problem};
use crate::routes::Explained;
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, TryStreamExt};
use kabar_actors::dispatcher::DispatchError;
use kabar_actors::{Recipients, Standing};
use kabar_engine::cause::Cause;
use kabar_engine::id::{CampaignId, MessageId, SessionId};
use kabar_engine::mark::Mark;
use kabar_engine::part::part_of;
use kabar_engine::schedule::{Zone, zone_of};
use kabar_engine::status::Status;
use kabar_schema::records::Campaign;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use utoipa::{IntoParams, ToSchema};

/// Rows of one piece of an export.
const PIECE: usize = 1_000;

/// The query of the list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// Recipients on the page; 50 when not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only those whose message is there now: a message that was read is `read`, not `sent`.
    #[param(value_type = Option<shapes::Status>)]
    status: Option<String>,
    /// Only the failed with this cause: its number or its code.
    #[param(example = "131026")]
    cause: Option<String>,
}

/// The query of the export.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Exported {
    /// Only those whose message is there now.
    #[param(value_type = Option<shapes::Status>)]
    status: Option<String>,
    /// Only the failed with this cause: its number or its code.
    #[param(example = "undeliverable")]
    cause: Option<String>,
}

/// A recipient as it stands now.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignRecipient)]
pub(crate) struct Shown {
    /// Its message; null until its part has begun.
    #[schema(value_type = Option<shapes::MessageId>)]
    message: Option<MessageId>,
    to: String,
    #[schema(value_type = shapes::SessionId)]
    session: SessionId,
    #[schema(value_type = shapes::Status)]
    status: Status,
    cause: Option<Explained>,
    /// To 16 seconds, as the others.
    sent: Option<Time>,
    delivered: Option<Time>,
    read: Option<Time>,
    replied: bool,
    #[schema(value_type = shapes::Zone)]
    zone: Zone,
}

impl From<&Standing> for Shown {
    fn from(standing: &Standing) -> Self {
        let (mark, launched) = (standing.mark, standing.launched);
        let status = mark.state().status();
        let recipient = &standing.recipient;
        Self {
            message: standing.message,
            to: recipient.address.to_text(),
            session: standing.session,
            status,
            cause: mark.cause().map(Explained::from),
            sent: mark.sent().begin(launched).filter(|_| status.is_sent()).map(Time),
            delivered: mark.delivered().begin(launched).map(Time),
            read: mark.read().begin(launched).map(Time),
            replied: mark.replied(),
            zone: zone_of(&recipient.address, recipient.zone.as_deref()),
        }
    }
}

/// Which recipients are asked for.
#[derive(Clone)]
struct Wanted {
    status: Option<Status>,
    cause: Option<RangeInclusive<Cause>>,
}

impl Wanted {
    fn read(status: Option<&str>, cause: Option<&str>) -> Result<Self, Problem> {
        let wrong = |detail: &str| Problem::new(Code::InvalidQuery, detail);
        let status = match status {
            None => None,
            Some(word) => {
                let read = serde_json::from_value(serde_json::Value::from(word));
                Some(read.map_err(|_| wrong("`status` must be a message's status."))?)
            }
        };
        let known = |text: &str| {
            let number = || text.parse().ok().map(Cause).map(|cause| cause..=cause);
            Cause::named(text).or_else(number)
        };
        let cause = match cause {
            None => None,
            Some(text) => {
                Some(known(text).ok_or_else(|| wrong("`cause` must be a cause's number or code."))?)
            }
        };
        Ok(Self { status, cause })
    }

    fn is(&self, mark: Mark) -> bool {
        self.status.is_none_or(|status| mark.state().status() == status)
            && self
                .cause
                .as_ref()
                .is_none_or(|codes| mark.cause().is_some_and(|cause| codes.contains(&cause)))
    }
}

/// `GET /v1/campaigns/{id}/recipients`
#[utoipa::path(get, path = "/v1/campaigns/{id}/recipients", tag = "campaigns", operation_id = "listCampaignRecipients", summary = "List a launched campaign's recipients, all or by status and cause",
    params(("id" = shapes::CampaignId, Path, description = "The campaign."), Listing),
    responses((status = 200, body = Page<Shown>, description = "A page; empty before the audience is frozen.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<CampaignId>,
    Query(asked): Query<Listing>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    found(&state, &whom, id).await?;
    let wanted = Wanted::read(asked.status.as_deref(), asked.cause.as_deref())?;
    let ask = Ask::new(asked.limit, asked.after);
    let (limit, after) = (ask.limit()?, ask.after_id()?);
    let from = after.map_or(0, |after| u32::try_from(after).unwrap_or(u32::MAX).saturating_add(1));
    let mut rest = match state.dispatcher.recipients(whom.tenant, id).await? {
        Some(recipients) => Walk { recipients, wanted, from },
        None => return Ok(axum::Json(Page::new(Vec::new(), limit, None))),
    };
    let found = rest.some(limit).await?;
    let cursor = found.last().map(|last| id_cursor(u64::from(last.index)));
    Ok(axum::Json(Page::new(found.iter().map(Shown::from).collect(), limit, cursor)))
}

/// A walk through the recipients that are wanted.
struct Walk {
    recipients: Recipients,
    wanted: Wanted,
    from: u32,
}

impl Walk {
    /// The next ones, at most `limit`; fewer behind the last.
    async fn some(&mut self, limit: usize) -> Result<Vec<Standing>, DispatchError> {
        let mut found = Vec::new();
        for part in part_of(self.from)..self.recipients.parts() {
            let left = limit - found.len();
            found.extend(self.recipients.some(part, self.from, left, |mark| self.wanted.is(mark)).await?);
            if found.len() == limit {
                break;
            }
        }
        self.from = found.last().map_or(u32::MAX, |last: &Standing| last.index.saturating_add(1));
        Ok(found)
    }
}

/// `GET /v1/campaigns/{id}/export`
#[utoipa::path(get, path = "/v1/campaigns/{id}/export", tag = "campaigns", operation_id = "exportCampaign", summary = "A launched campaign's recipients as a CSV file",
    params(("id" = shapes::CampaignId, Path, description = "The campaign."), Exported),
    responses((status = 200, body = String, content_type = "text/csv", description = "The file, a row a recipient with its variables, while it is read.")))]
pub(crate) async fn export(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<CampaignId>,
    Query(asked): Query<Exported>,
) -> Result<Response, Problem> {
    let campaign = found(&state, &whom, id).await?;
    let wanted = Wanted::read(asked.status.as_deref(), asked.cause.as_deref())?;
    let recipients = state.dispatcher.recipients(whom.tenant, id).await?;
    let walk = recipients.map(|recipients| Walk { recipients, wanted, from: 0 });
    let columns = columns(&campaign);
    let head = header(&columns);
    let body = stream::try_unfold((walk, head), move |(walk, text)| {
        let columns = columns.clone();
        async move { piece(walk, text, &columns).await }
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"recipients.csv\""),
    ];
    Ok((headers, Body::from_stream(body.map_err(std::io::Error::other))).into_response())
}

/// The variables of the content, in the order they are frozen in.
fn columns(campaign: &Campaign) -> Vec<String> {
    let pattern = kabar_engine::template::ContentPattern::compile(&campaign.content, campaign.spintax);
    pattern.map(|p| p.variables().iter().map(|v| v.name.clone()).collect()).unwrap_or_default()
}

type Piece = Option<(Bytes, (Option<Walk>, String))>;

/// The text at hand, then rows, piece by piece.
async fn piece(walk: Option<Walk>, text: String, columns: &[String]) -> Result<Piece, DispatchError> {
    if !text.is_empty() {
        return Ok(Some((Bytes::from(text), (walk, String::new()))));
    }
    let Some(mut walk) = walk else { return Ok(None) };
    let found = walk.some(PIECE).await.inspect_err(|error| {
        tracing::warn!(%error, "an export ended early");
    })?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut text = String::new();
    found.iter().for_each(|standing| row(&mut text, standing, columns));
    let more = (found.len() == PIECE).then_some(walk);
    Ok(Some((Bytes::from(text), (more, String::new()))))
}

fn header(columns: &[String]) -> String {
    let mut head =
        String::from("to,message,session,status,cause,cause_number,sent,delivered,read,replied,zone");
    for column in columns {
        head.push(',');
        cell(&mut head, column);
    }
    head.push_str("\r\n");
    head
}

fn row(out: &mut String, standing: &Standing, columns: &[String]) {
    let shown = Shown::from(standing);
    quoted(out, "", &shown.to);
    let time = |time: Option<Time>| time.map(|t| t.0.to_rfc3339()).unwrap_or_default();
    let cause = shown.cause.as_ref();
    let status = serde_json::to_value(shown.status).unwrap_or_default();
    for text in [
        shown.message.map(|id| id.to_string()).unwrap_or_default(),
        shown.session.to_string(),
        status.as_str().unwrap_or_default().to_owned(),
        cause.map(|c| c.code.to_owned()).unwrap_or_default(),
        cause.map(|c| c.number.to_string()).unwrap_or_default(),
        time(shown.sent),
        time(shown.delivered),
        time(shown.read),
        if shown.replied { "yes" } else { "no" }.to_owned(),
        shown.zone.name.into_owned(),
    ] {
        out.push(',');
        quoted(out, "", &text);
    }
    for column in columns {
        out.push(',');
        let place = standing.columns.iter().position(|c| &**c == column);
        let value = place.and_then(|place| standing.recipient.values.get(place)?.as_deref());
        cell(out, value.unwrap_or_default());
    }
    out.push_str("\r\n");
}
