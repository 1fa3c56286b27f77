//! `/v1/events/socket`: events as they come, on a WebSocket. Every frame tells the place behind it; the caller may name
//! another place at any time. A reader that takes nothing is waited for a while and then closed: it costs nobody else
//! anything, and comes back with its last cursor.

use super::stream::{Followed, begin};
use super::{cursor, shown::Shown};
use crate::auth::For;
use crate::body::Query;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use kabar_actors::dispatcher::{EventError, EventPage, Follower};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Between two pings; who says nothing for two of them is gone.
const PING: Duration = Duration::from_secs(15);
/// Most bytes a caller may say at once: a cursor and its frame.
const SAID_MAX: usize = 16 * 1024;
/// The server ends; the standard's code.
const GOING_AWAY: u16 = 1001;

/// Why a socket is closed: 4000 and the status the list would answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Invalid = 4400,
    Key = 4401,
    Slow = 4408,
    Expired = 4410,
    Unavailable = 4503,
}

impl Why {
    fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_query",
            Self::Key => "invalid_key",
            Self::Slow => "slow_reader",
            Self::Expired => "cursor_expired",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<EventError> for Why {
    fn from(error: EventError) -> Self {
        match error {
            EventError::NoSuchPlace => Self::Invalid,
            EventError::Expired => Self::Expired,
            EventError::Failed(_) => Self::Unavailable,
        }
    }
}

/// One frame.
#[derive(Serialize)]
struct Frame {
    /// The place behind its events.
    cursor: String,
    events: Vec<Shown>,
}

/// What a caller may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// Go on behind this place.
    after: String,
}

/// A socket that is served.
struct Reader {
    socket: WebSocket,
    follower: Follower,
    state: ApiState,
    whom: For,
    wait: Duration,
}

impl Reader {
    async fn serve(mut self, first: EventPage, closing: CancellationToken) {
        let ended = match self.tell(first).await {
            Ok(()) => self.run(&closing).await,
            Err(why) => Err(why),
        };
        let (code, reason) = match ended {
            Ok(()) => (GOING_AWAY, ""),
            Err(Some(why)) => (why as u16, why.word()),
            Err(None) => return,
        };
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        // Who takes nothing takes no code either, unless it wakes up now.
        let _ = timeout(self.wait, self.socket.send(close)).await;
    }

    /// `Ok` when the server ends, `None` when the other side has gone.
    async fn run(&mut self, closing: &CancellationToken) -> Result<(), Option<Why>> {
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                () = closing.cancelled() => return Ok(()),
                said = self.socket.recv() => {
                    heard = Instant::now();
                    self.hear(said.ok_or(None)?.map_err(|_| None)?)?;
                }
                page = self.follower.next() => {
                    let page = page.map_err(|error| Some(error.into()))?;
                    self.tell(page).await?;
                }
                _ = ping.tick() => {
                    if heard.elapsed() > PING * 2 {
                        return Err(Some(Why::Slow));
                    }
                    self.whom.still_good(&self.state).await.map_err(|_| Some(Why::Key))?;
                    self.send(Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    fn hear(&mut self, said: Message) -> Result<(), Option<Why>> {
        let text = match said {
            Message::Text(text) => text,
            Message::Close(_) => return Err(None),
            Message::Binary(_) => return Err(Some(Why::Invalid)),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        let said: Said = serde_json::from_str(&text).map_err(|_| Some(Why::Invalid))?;
        let place = cursor::read(&said.after).ok_or(Some(Why::Invalid))?;
        self.follower.seek(place).map_err(|error| Some(error.into()))
    }

    async fn tell(&mut self, page: EventPage) -> Result<(), Option<Why>> {
        let events = page.events.into_iter().map(|event| Shown::of(self.whom.tenant, event)).collect();
        let frame = Frame { cursor: cursor::written(&page.next), events };
        let text = serde_json::to_string(&frame).expect("invariant: a frame has a JSON form");
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Option<Why>> {
        match timeout(self.wait, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|_| None),
            Err(_) => Err(Some(Why::Slow)),
        }
    }
}

/// `GET /v1/events/socket`
#[utoipa::path(get, path = "/v1/events/socket", tag = "events", operation_id = "followEvents", summary = "Follow events on a WebSocket",
    params(Followed),
    responses((status = 101, description = "A WebSocket. Every text frame is `{\"cursor\": \"…\", \"events\": […]}`, up to 200 events and the place behind them; the first comes at once. `{\"after\": \"…\"}` from the caller goes on behind another place. Closed with 4400 (no such cursor), 4401 (the key was revoked or has expired, noticed within 15 s), 4408 (nothing was taken for too long), 4410 (`cursor_expired`), 4503, or 1001 when the server ends.")),
    extensions(("x-problems" = json!(["cursor_expired", "upgrade_required"]))))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Query(followed): Query<Followed>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let refused = |_| Problem::new(Code::UpgradeRequired, "The request asks for no WebSocket.");
    open(state, whom, followed, upgrade.map_err(refused)?).await
}

/// Begins to follow, and then to speak.
pub(super) async fn open(
    state: ApiState,
    whom: For,
    followed: Followed,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let (follower, page) = begin(&state, &whom, followed).await?;
    let (closing, wait) =
        (state.admission.draining.clone(), Duration::from_millis(state.config.edge.write_stall_ms));
    let serve = move |socket| Reader { socket, follower, state, whom, wait }.serve(page, closing);
    Ok(upgrade.max_message_size(SAID_MAX).max_frame_size(SAID_MAX).on_upgrade(serve))
}
