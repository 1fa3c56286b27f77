//! `/v1/events/stream`: events as they come, as server-sent events. A place is told as `id:` at the end of what there
//! is, at most once a second in between, and with the heartbeats; who comes back with it misses nothing. Holds one page
//! of events; a reader that does not read is waited for by its own connection alone.

use super::{Which, cursor, shown::Shown};
use crate::auth::For;
use crate::body::Query;
use crate::openapi::shapes;
use crate::problem::{Code, Problem, TraceId};
use crate::state::ApiState;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use kabar_actors::dispatcher::{EventPage, EventPlace, Follow, Follower};
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

/// The header in which a browser says how far it has come.
const LAST_EVENT_ID: &str = "last-event-id";
/// Proxies that would hold events back are told not to.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
/// Events read at once.
const PAGE: usize = 200;
/// Silence is broken after this.
const BEAT: Duration = Duration::from_secs(15);
/// Between two places, unless there is nothing more.
const BETWEEN: Duration = Duration::from_secs(1);

/// What a follower asks for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Followed {
    /// A place: the `next` of a page, an `id:` of this stream, a `cursor` of the socket. What follows it is told; when
    /// not said what comes from now on, or since `since`.
    pub(super) after: Option<String>,
    /// Only these types, separated by commas.
    #[param(example = "message.received,message.failed")]
    pub(super) types: Option<String>,
    /// Only this number's; events of no number (of contacts and campaigns) are left out.
    #[param(value_type = Option<shapes::SessionId>)]
    pub(super) session: Option<String>,
    /// Not those from before this moment, RFC 3339.
    #[param(example = "2026-12-24T11:00:00Z")]
    pub(super) since: Option<String>,
}

/// Begins to follow, and takes the first look: what is too old or wrong is refused before anything is streamed.
pub(super) async fn begin(
    state: &ApiState,
    whom: &For,
    followed: Followed,
) -> Result<(Follower, EventPage), Problem> {
    let Followed { after, types, session, since } = followed;
    let mut ask = Which { limit: Some(PAGE), after, types, session, since }.read(whom.tenant)?;
    ask.session = state.filtered(whom, ask.session).await?;
    let from = match (ask.after.take(), ask.since) {
        (Some(place), _) => Follow::After(place),
        (None, Some(_)) => Follow::Oldest,
        (None, None) => Follow::Now,
    };
    let mut follower = state.dispatcher.follow(ask, from).await?;
    let page = follower.look().await?;
    Ok((follower, page))
}

/// A stream on its way.
struct Flow {
    state: ApiState,
    whom: For,
    checked: Instant,
    follower: Follower,
    closing: CancellationToken,
    trace: String,
    waiting: VecDeque<Event>,
    told: Instant,
    ends: bool,
}

impl Flow {
    /// Puts a page into the queue; its last event tells the place.
    fn take(&mut self, page: EventPage) {
        let tells = !page.more || self.told.elapsed() >= BETWEEN;
        let last = page.events.len();
        for (nth, event) in (1..).zip(page.events) {
            let shown = serde_json::to_string(&Shown::of(self.whom.tenant, event));
            let event = Event::default().data(shown.expect("invariant: an event has a JSON form"));
            let event = if tells && nth == last { event.id(self.place(&page.next)) } else { event };
            self.waiting.push_back(event);
        }
    }

    fn place(&mut self, place: &EventPlace) -> String {
        self.told = Instant::now();
        cursor::written(place)
    }

    /// A place without an event: a comment that a browser keeps the id of.
    fn beat(&mut self) -> Event {
        let place = self.follower.place().clone();
        Event::default().comment("").id(self.place(&place))
    }

    /// The last event says why; what still waited is told no more.
    fn end(&mut self, problem: &Problem) {
        self.waiting.clear();
        let problem = problem.told(&self.trace);
        self.waiting.push_back(Event::default().event("problem").data(problem.to_string()));
        self.ends = true;
    }

    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let closing = self.closing.clone();
        loop {
            if closing.is_cancelled() {
                return None;
            }
            // By the clock, whatever comes or does not come: silence is broken and the key looked at.
            if !self.ends && self.checked.elapsed() >= BEAT {
                self.checked = Instant::now();
                match self.whom.still_good(&self.state).await {
                    Ok(()) => {
                        let beat = self.beat();
                        self.waiting.push_back(beat);
                    }
                    Err(problem) => self.end(&problem),
                }
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some((Ok(event), self));
            }
            if self.ends {
                return None;
            }
            let page = tokio::select! {
                () = closing.cancelled() => return None,
                () = sleep_until(self.checked + BEAT) => continue,
                page = self.follower.next() => page,
            };
            match page {
                Ok(page) => self.take(page),
                Err(error) => self.end(&Problem::from(error)),
            }
        }
    }
}

/// `GET /v1/events/stream`
#[utoipa::path(get, path = "/v1/events/stream", tag = "events", operation_id = "streamEvents", summary = "Follow events as server-sent events",
    params(Followed, ("Last-Event-ID" = Option<String>, Header, description = "The last `id:` of an earlier stream; goes before `after`.")),
    responses((status = 200, content_type = "text/event-stream", body = String,
        description = "Events without an end: `data:` is an Event. `id:` stands at the end of what there is, at most once a second in between and with heartbeats; who comes back may meet some events again and knows them by their `id`. An event named `problem` is the last one: its data is a Problem, such as `cursor_expired`, or `invalid_key` within 15 s of the key's end.")),
    extensions(("x-problems" = json!(["cursor_expired"]))))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Extension(TraceId(trace)): Extension<TraceId>,
    headers: HeaderMap,
    Query(followed): Query<Followed>,
) -> Result<Response, Problem> {
    open(state, whom, trace, &headers, followed).await
}

/// Begins to follow, behind what the headers say where they do.
pub(super) async fn open(
    state: ApiState,
    whom: For,
    trace: String,
    headers: &HeaderMap,
    mut followed: Followed,
) -> Result<Response, Problem> {
    if let Some(last) = headers.get(LAST_EVENT_ID) {
        let refused = || Problem::new(Code::InvalidQuery, "`Last-Event-ID` must be an `id:` of this stream.");
        followed.after = Some(last.to_str().map_err(|_| refused())?.to_owned());
    }
    let (follower, page) = begin(&state, &whom, followed).await?;
    let (closing, waiting, told) = (state.admission.draining.clone(), VecDeque::new(), Instant::now());
    let checked = Instant::now();
    let mut flow = Flow { state, whom, checked, follower, closing, trace, waiting, told, ends: false };
    // Before the first event: who is cut off now begins here again.
    if page.events.is_empty() {
        let beat = flow.beat();
        flow.waiting.push_back(beat);
    }
    flow.take(page);
    Ok(([UNBUFFERED], Sse::new(unfold(flow, Flow::next))).into_response())
}
