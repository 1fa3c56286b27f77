//! `/v1/events`: what happened to a tenant's messages, conversations, contacts and campaigns, in the order in which
//! Kabar learned it. The list is read from the journal; who stands where is in the cursor alone.

#[cfg(test)]
mod catalogue;
mod cursor;
mod form;
mod shown;
pub(crate) mod socket;
pub(crate) mod stream;

use crate::auth::For;
use crate::body::Query;
use crate::openapi::shapes;
use crate::page::Ask;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use form::Told;
use kabar_actors::dispatcher::{Event, EventAsk, EventError};
use kabar_engine::event::Kind;
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use shown::Shown;
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};

/// The query of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Events on the page; 50 when not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The `next` of the page before; from the oldest event that is kept when not said.
    after: Option<String>,
    /// Only these types, separated by commas.
    #[param(example = "message.received,message.failed")]
    types: Option<String>,
    /// Only this number's; events of no number (of contacts and campaigns) are left out.
    #[param(value_type = Option<shapes::SessionId>)]
    session: Option<String>,
    /// Not those from before this moment, RFC 3339.
    #[param(example = "2026-12-24T11:00:00Z")]
    since: Option<String>,
}

impl Which {
    fn read(self, tenant: TenantId) -> Result<EventAsk, Problem> {
        let limit = Ask::new(self.limit, None).limit()?;
        let after = match self.after.as_deref().filter(|after| !after.is_empty()) {
            None => None,
            Some(after) => Some(cursor::read(after).ok_or_else(wrong_cursor)?),
        };
        let kinds = self.types.as_deref().map(|types| types.split(',').map(kind).collect::<Result<_, _>>());
        let session = self.session.map(|text| {
            let refused = "`session` must be an id ses_….";
            text.parse::<SessionId>().map_err(|_| Problem::new(Code::InvalidQuery, refused))
        });
        let since = self.since.map(|text| {
            let refused = "`since` must be a moment in RFC 3339, like 2026-12-24T11:00:00Z.";
            Timestamp::from_rfc3339(&text).ok_or_else(|| Problem::new(Code::InvalidQuery, refused))
        });
        let (kinds, session, since): (Option<BTreeSet<Kind>>, _, _) =
            (kinds.transpose()?, session.transpose()?, since.transpose()?);
        Ok(EventAsk { tenant, after, since, kinds, session, limit })
    }
}

/// A type as a caller wrote it.
fn kind(word: &str) -> Result<Kind, Problem> {
    let word = word.trim();
    let shown: String = word.chars().filter(|c| !c.is_control()).take(64).collect();
    let refused = || Problem::new(Code::InvalidQuery, format!("`types`: there is no event `{shown}`."));
    Kind::from_word(word).ok_or_else(refused)
}

fn wrong_cursor() -> Problem {
    Problem::new(Code::InvalidQuery, "`after` must be the `next` of an earlier page.")
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        match error {
            EventError::NoSuchPlace => wrong_cursor(),
            EventError::Expired => {
                Self::new(Code::CursorExpired, "Events after this place are no longer kept.")
            }
            EventError::Failed(error) => error.into(),
        }
    }
}

/// An event as webhooks are told it: the same as everywhere.
pub(crate) fn rendered(tenant: TenantId, event: Event) -> Bytes {
    let shown = serde_json::to_vec(&Shown::of(tenant, event));
    Bytes::from(shown.expect("invariant: an event has a JSON form"))
}

/// A page of events.
#[derive(Serialize, ToSchema)]
#[schema(as = EventPage)]
pub(crate) struct Events {
    /// The events, in the order in which Kabar learned them.
    data: Vec<Shown>,
    /// What to ask `after` for what follows; also on the last page, so that one can ask what is new.
    next: String,
    /// Whether asking on now may give more; a page can be empty and still have more behind it.
    more: bool,
}

/// `GET /v1/events`: a page from the journal, or in one of the forms that go on.
#[utoipa::path(get, path = "/v1/events", tag = "events", operation_id = "listEvents", summary = "Read what happened, or what is new",
    params(Which),
    responses((status = 200, body = Events, description = "A page. With `Accept: text/event-stream` the stream of `/v1/events/stream`, and with the upgrade to a WebSocket the socket of `/v1/events/socket`: the same parameters but `limit`, and what is not said is as there.")),
    extensions(("x-problems" = json!(["cursor_expired"]))))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    told: Told,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    told.answer(state, whom, which).await
}

async fn list_page(state: &ApiState, whom: &For, which: Which) -> Result<axum::Json<Events>, Problem> {
    let mut ask = which.read(whom.tenant)?;
    ask.session = state.filtered(whom, ask.session).await?;
    let page = state.dispatcher.events(&ask).await?;
    let data = page.events.into_iter().map(|event| Shown::of(whom.tenant, event)).collect();
    Ok(axum::Json(Events { data, next: cursor::written(&page.next), more: page.more }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whole_or_refused_by_name() {
        let which = Which {
            types: Some("message.sent, campaign.frozen".into()),
            since: Some("2026-09-21T21:13:20.123+07:00".into()),
            ..Which::default()
        };
        let ask = which.read(TenantId(3)).unwrap();
        assert_eq!(ask.kinds, Some(BTreeSet::from([Kind::MessageSent, Kind::CampaignFrozen])));
        assert_eq!((ask.since, ask.limit), (Some(Timestamp(1_790_000_000_123)), 50));
        for (which, word) in [
            (Which { types: Some("message.sent,dance".into()), ..Which::default() }, "dance"),
            (Which { types: Some(String::new()), ..Which::default() }, "types"),
            (Which { since: Some("yesterday".into()), ..Which::default() }, "since"),
            (Which { session: Some("x".into()), ..Which::default() }, "session"),
            (Which { after: Some("MTc".into()), ..Which::default() }, "after"),
            (Which { limit: Some(201), ..Which::default() }, "limit"),
        ] {
            let problem = which.read(TenantId(3)).unwrap_err();
            assert!(format!("{problem:?}").contains(word), "{problem:?}");
        }
    }
}
