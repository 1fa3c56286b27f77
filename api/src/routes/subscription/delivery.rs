//! `/v1/webhooks/{id}/deliveries`: the log of attempts, the newest first. Read from the records, where it is written
//! within a second; not who is to be called next.

use super::found;
use crate::auth::For;
use crate::body::{Id, Query};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, id_cursor};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use kabar_engine::id::{EventId, TenantId, WebhookId};
use kabar_schema::records::{AttemptLine, AttemptLog, AttemptOutcome, Standing};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Pages of the log that one question may go through; a rare outcome then takes several questions.
const PAGES_MAX: u64 = 64;
/// A place in the log is its page times this and the line in it.
const LINES: u64 = AttemptLog::LINES as u64;

/// The query of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Attempts on the page; 50 when not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only this event's.
    #[param(value_type = Option<shapes::EventId>)]
    event: Option<String>,
    /// Only those that came to this.
    #[param(value_type = Option<shapes::AttemptOutcome>)]
    outcome: Option<String>,
}

/// An attempt.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::EventId)]
    event: EventId,
    /// The event's type; empty when the event was no longer kept.
    #[serde(rename = "type")]
    kind: String,
    /// The how manieth of this event, from 1.
    attempt: u32,
    at: Time,
    /// Milliseconds until its outcome.
    took_ms: u32,
    /// The answer's status; null when there was none.
    status: Option<u16>,
    /// Why there was no answer that counts.
    #[schema(value_type = Option<shapes::AttemptError>)]
    error: Option<String>,
    #[schema(value_type = shapes::AttemptOutcome)]
    outcome: &'static str,
    /// When it is tried again.
    next_attempt: Option<Time>,
}

fn word(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Delivered => "delivered",
        AttemptOutcome::Again => "again",
        AttemptOutcome::Failed => "failed",
    }
}

impl From<AttemptLine> for Shown {
    fn from(line: AttemptLine) -> Self {
        Self {
            event: line.event,
            kind: line.kind,
            attempt: line.attempt,
            at: Time(line.at),
            took_ms: line.took_ms,
            status: line.status,
            error: line.error,
            outcome: word(line.outcome),
            next_attempt: line.next.map(Time),
        }
    }
}

/// What is looked for.
struct Wanted {
    event: Option<EventId>,
    outcome: Option<AttemptOutcome>,
}

impl Wanted {
    fn read(event: Option<&str>, outcome: Option<&str>) -> Result<Self, Problem> {
        let refused = |what| Problem::new(Code::InvalidQuery, what);
        let event = event.map(str::parse).transpose();
        let all = [AttemptOutcome::Delivered, AttemptOutcome::Again, AttemptOutcome::Failed];
        let outcome = outcome.map(|given| all.into_iter().find(|outcome| word(*outcome) == given).ok_or(()));
        Ok(Self {
            event: event.map_err(|_| refused("`event` must be an id evt_…."))?,
            outcome: outcome
                .transpose()
                .map_err(|()| refused("`outcome` must be delivered, again or failed."))?,
        })
    }

    fn fits(&self, line: &AttemptLine) -> bool {
        self.event.is_none_or(|event| line.event == event)
            && self.outcome.is_none_or(|outcome| line.outcome == outcome)
    }
}

/// `GET /v1/webhooks/{id}/deliveries`
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks", operation_id = "listWebhookDeliveries", summary = "Read the log of attempts, the newest first",
    params(("id" = shapes::WebhookId, Path, description = "The subscription."), Which),
    responses((status = 200, body = Page<Shown>, description = "A page; with a filter it can be short and have a next one all the same.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<WebhookId>,
    Query(which): Query<Which>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    found(&state, &whom, id).await?;
    let ask = Ask::new(which.limit, which.after);
    let wanted = Wanted::read(which.event.as_deref(), which.outcome.as_deref())?;
    let standing = state.nouns().get::<Standing>(whom.tenant, id.0).await?;
    let (begin, end) = standing.map_or((0, 0), |found| (found.noun.log_begin, found.noun.log_end));
    // Before which place the page ends; the log may be a page longer than was written down.
    let before = ask.after_id()?.unwrap_or((end + 2) * LINES).min((end + 2) * LINES);
    let walk = Walk { state: &state, of: (whom.tenant, id), begin, limit: ask.limit()? };
    let (lines, rest) = walk.back(before, &wanted).await?;
    let data = lines.into_iter().map(Shown::from).collect();
    Ok(axum::Json(Page::until(data, rest.map(id_cursor))))
}

/// A walk through the log.
struct Walk<'a> {
    state: &'a ApiState,
    of: (TenantId, WebhookId),
    begin: u64,
    limit: usize,
}

impl Walk<'_> {
    /// The newest lines before a place, and where to go on.
    async fn back(&self, before: u64, wanted: &Wanted) -> Result<(Vec<AttemptLine>, Option<u64>), Problem> {
        let (tenant, id) = self.of;
        let mut found = Vec::new();
        let (mut place, mut seen) = (before, 0);
        while place > self.begin * LINES && seen < PAGES_MAX {
            let number = (place - 1) / LINES;
            let page = self.state.nouns().get::<AttemptLog>(tenant, AttemptLog::id_of(id, number)).await?;
            let lines = page.map(|page| page.noun.lines).unwrap_or_default();
            let inside = usize::try_from(place - number * LINES).unwrap_or(usize::MAX).min(lines.len());
            for (nth, line) in lines.into_iter().take(inside).enumerate().rev() {
                if found.len() == self.limit {
                    return Ok((found, Some(number * LINES + nth as u64 + 1)));
                }
                if wanted.fits(&line) {
                    found.push(line);
                }
            }
            place = number * LINES;
            seen += 1;
        }
        Ok((found, Some(place).filter(|place| *place > self.begin * LINES)))
    }
}
