//! In which form events are asked for at `/v1/events`: a page, or one of the two forms that go on. Programs that know the
//! one address alone say it with the headers they send anyway. Not the forms themselves.

use super::socket;
use super::stream::{self, Followed};
use super::{Which, list_page};
use crate::auth::For;
use crate::problem::{Code, Problem, TraceId};
use crate::state::ApiState;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;

/// What the request's headers ask for.
pub(crate) enum Told {
    Page,
    /// With the request's name, and its headers: a browser says in them how far it has come.
    Stream(String, HeaderMap),
    Socket(Box<WebSocketUpgrade>),
}

impl FromRequestParts<ApiState> for Told {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        if let Ok(upgrade) = WebSocketUpgrade::from_request_parts(parts, state).await {
            return Ok(Self::Socket(Box::new(upgrade)));
        }
        let trace = parts.extensions.get::<TraceId>();
        Ok(match trace.filter(|_| asks_for_stream(&parts.headers)) {
            Some(TraceId(trace)) => Self::Stream(trace.clone(), parts.headers.clone()),
            None => Self::Page,
        })
    }
}

/// Whoever takes a page as well is given one.
fn asks_for_stream(headers: &HeaderMap) -> bool {
    let named = |kind: &str| {
        let all = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut kinds = all.flat_map(|value| value.split(',')).filter_map(|item| item.split(';').next());
        kinds.any(|item| item.trim().eq_ignore_ascii_case(kind))
    };
    named("text/event-stream") && !named("application/json")
}

impl Told {
    /// Answers in this form.
    pub(super) async fn answer(self, state: ApiState, whom: For, which: Which) -> Result<Response, Problem> {
        match self {
            Self::Page => list_page(&state, &whom, which).await.map(IntoResponse::into_response),
            Self::Stream(trace, headers) => stream::open(state, whom, trace, &headers, endless(which)?).await,
            Self::Socket(upgrade) => socket::open(state, whom, endless(which)?, *upgrade).await,
        }
    }
}

/// What goes on has no pages.
fn endless(which: Which) -> Result<Followed, Problem> {
    if which.limit.is_some() {
        return Err(Problem::new(Code::InvalidQuery, "`limit` is for pages: what is followed has no end."));
    }
    let Which { after, types, session, since, .. } = which;
    Ok(Followed { after, types, session, since })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_stream_is_for_those_who_name_it_and_take_no_page() {
        for (accept, stream) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("*/*", false),
            ("application/json", false),
            ("application/json, text/event-stream", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(asks_for_stream(&headers), stream, "{accept}");
        }
        assert!(!asks_for_stream(&HeaderMap::new()));
    }
}
