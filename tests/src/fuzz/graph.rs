//! What a provider answers: `kabar_connectors::cloud` over a real connection to a server that answers with the input. Not the
//! provider's own behaviour: that is the sandbox.
//!
//! An input is text: a line `operation status`, lines `header: value`, an empty line, and the answer's body.

use super::{about, kind};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kabar_connectors::Connector;
use kabar_connectors::client::Client;
use kabar_connectors::cloud::{
    CloudApi, CloudConfig, Graph, GraphConfig, GraphFailure, delete_media, find_media, upload,
};
use kabar_engine::address::Address;
use kabar_engine::content::Content;
use kabar_engine::id::{MessageId, SessionId};
use kabar_engine::outgoing::{Accepted, Outgoing, Reason, Reference, SendError};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(super) const WORDS: &[&str] = &[
    "send 200\n",
    "send 400\n",
    "send 500\n",
    "templates 200\n",
    "profile 200\n",
    "token 200\n",
    "blocked 200\n",
    "block 200\n",
    "numbers 200\n",
    "number 200\n",
    "media 200\n",
    "upload 200\n",
    "template 200\n",
    "create 200\n",
    "retry-after: 7\n",
    "x-business-use-case-usage: {\"1\":[{\"estimated_time_to_regain_access\":3}]}\n",
    "\n\n",
    "{\"error\":{\"code\":",
    "\"message\":\"",
    "\"error_subcode\":33",
    "\"is_transient\":true",
    "\"error_data\":{\"details\":\"",
    "{\"messages\":[{\"id\":\"wamid.A\"}]}",
    "\"message_status\":\"held_for_quality_assessment\"",
    "{\"data\":[",
    "\"paging\":{\"cursors\":{\"after\":\"b\"},\"next\":\"x\"}",
    "130429",
    "131042",
    "190",
    "null",
    "[]",
    "{}",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
];

/// Longest words that are kept of the provider's, and the longest wait it may ask for.
const WORDS_MAX: usize = 512;
const WAIT_MAX_MS: u64 = 24 * 60 * 60_000;
/// What every call is for.
const NUMBER: &str = "106000000000001";

/// Any answer is understood, or known to be unclear: a send is accepted with an id only by a 2xx, never ambiguous with a Graph
/// error's code or a 4xx, always so with a 5xx without one; every other call gives what it is for or says why not.
///
/// # Panics
/// When one of these is not so, or a call panics.
pub fn graph(data: &[u8]) -> u64 {
    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    }
    WORLD.with(|world| {
        // What panics leaves none behind.
        let here = world.borrow_mut().take().unwrap_or_else(World::new);
        let told = here.ask(&Input::read(data));
        *world.borrow_mut() = Some(here);
        told
    })
}

/// An input.
struct Input<'a> {
    operation: &'a str,
    status: StatusCode,
    headers: HeaderMap,
    body: &'a [u8],
}

impl<'a> Input<'a> {
    fn read(data: &'a [u8]) -> Self {
        let end = data.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = end.map_or((data, &[][..]), |end| (&data[..end], &data[end + 2..]));
        let mut lines = std::str::from_utf8(head).unwrap_or_default().lines();
        let (operation, status) =
            lines.next().and_then(|line| line.split_once(' ')).unwrap_or(("send", "200"));
        let status = status.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = name.parse::<HeaderName>().ok()?;
            let taken = ["retry-after", "x-business-use-case-usage"].contains(&name.as_str());
            taken.then_some(())?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        // An interim answer is none.
        let status = status.filter(|status| !status.is_informational()).unwrap_or(StatusCode::OK);
        Self { operation, status, headers: headers.collect(), body }
    }
}

/// A connector, a server that answers with what it is given, and what both run on.
struct World {
    runtime: Runtime,
    answers: Arc<Mutex<VecDeque<Response<Full<Bytes>>>>>,
    graph: Graph,
    sender: CloudApi,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let base_url = format!("http://{}", listener.local_addr().expect("it has an address"));
        runtime.spawn(serve(listener, Arc::clone(&answers)));
        let (client, token) = (Client::for_providers(), || "token".into());
        let (api_version, deadline_ms) = ("v26.0".to_owned(), 10_000);
        let config = GraphConfig {
            base_url: base_url.clone(),
            api_version: api_version.clone(),
            access_token: token(),
            proofs: Arc::default(),
            deadline_ms,
        };
        let graph = Graph::new(client.clone(), config).expect("the configuration works");
        let phone_number_id = NUMBER.to_owned();
        let config = CloudConfig {
            base_url,
            api_version,
            phone_number_id,
            access_token: token(),
            deadline_ms,
            proofs: Arc::default(),
        };
        Self { runtime, answers, graph, sender: CloudApi::new(client, config) }
    }

    fn ask(&self, input: &Input<'_>) -> u64 {
        let mut response = Response::new(Full::new(Bytes::copy_from_slice(input.body)));
        *response.status_mut() = input.status;
        *response.headers_mut() = input.headers.clone();
        {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.clear();
            answers.push_back(response);
        }
        self.runtime.block_on(async {
            if input.operation == "send" {
                let told = self.sender.send(&outgoing()).await;
                send_is_right(input, &told);
                return kind(("send", input.status.as_u16() / 100, shape_of_send(&told)));
            }
            let told = self.call(input).await;
            if let Err(failure) = &told {
                failure_is_right(input, failure);
            }
            kind((input.operation, input.status.as_u16() / 100, shape_of_call(&told)))
        })
    }

    /// One of the other calls; how much came of it.
    async fn call(&self, input: &Input<'_>) -> Result<usize, GraphFailure> {
        let graph = &self.graph;
        Ok(match input.operation {
            "templates" => graph.templates("102", None).await?.iter().map(|t| t.components.len() + 1).sum(),
            "template" => graph.template("7").await?.quality().map_or(0, str::len),
            "numbers" => graph.numbers("102").await?.iter().filter_map(|number| number.tier()).count(),
            "number" => {
                let facts = graph.number(NUMBER).await?;
                facts.throughput_level().map_or(0, str::len) + facts.waba().map_or(0, str::len)
            }
            "profile" => graph.profile(NUMBER).await?.as_object().map_or(0, serde_json::Map::len),
            "token" => graph.debug_token(&"input".into()).await?.wabas().len(),
            "blocked" => graph.blocked(NUMBER, None, 100).await?.users.len(),
            "block" => {
                let outcome = graph.block(NUMBER, &["15550100001".to_owned()]).await?;
                assert!(outcome.failed.iter().all(|failed| failed.detail.chars().count() <= WORDS_MAX));
                outcome.done.len() + outcome.failed.len()
            }
            "media" => {
                let place = find_media(graph, "900", NUMBER).await?;
                assert!(!place.url.is_empty(), "media without a place");
                place.sha256.map_or(0, |hash| hash.len())
            }
            "unmedia" => delete_media(graph, "900", NUMBER).await.map(|()| 0)?,
            "upload" => upload(graph, "77", "image/png", "a.png", Bytes::from_static(b"abc")).await?.0.len(),
            _ => graph.number_fields(NUMBER, None).await?.to_string().len(),
        })
    }
}

fn outgoing() -> Outgoing {
    let image = serde_json::json!({"type": "image", "image": {"id": "900100"}});
    Outgoing {
        session: SessionId(1),
        reference: Reference::Message(MessageId(5)),
        to: Address::phone_digits("15550100001").expect("invariant: digits"),
        content: Arc::new(Content::from_json(&image).expect("invariant: an image")),
        context: None,
        identity: None,
    }
}

/// The code of a Graph error, by a reading of its own.
fn code_of(body: &[u8]) -> Option<i64> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let code = value.get("error")?.get("code")?;
    let whole =
        code.as_i64().or_else(|| code.as_str()?.parse().ok()).or_else(|| code.as_f64().map(|f| f as i64))?;
    u32::try_from(whole).ok().map(i64::from)
}

fn send_is_right(input: &Input<'_>, told: &Result<Accepted, SendError>) {
    let (status, code) = (input.status, code_of(input.body));
    let words = |reason: &Reason| assert!(reason.detail.chars().count() <= WORDS_MAX);
    match told {
        Ok(accepted) => {
            assert!(status.is_success() && !accepted.provider_id.is_empty(), "accepted with {status}");
        }
        Err(SendError::Ambiguous) => {
            assert!(code.is_none(), "code {code:?} decides, and is left open");
            assert!(!status.is_client_error(), "{status} refuses, and is left open");
        }
        Err(SendError::RetryAfter { after_ms, .. }) => assert!(*after_ms <= WAIT_MAX_MS),
        Err(SendError::Held { after_ms, reason, .. }) => {
            assert!(*after_ms <= WAIT_MAX_MS && code.is_some());
            words(reason);
        }
        Err(SendError::Rejected(reason)) => {
            assert!(code.is_some() || status.is_client_error(), "refused by {status} without a word");
            words(reason);
        }
        Err(SendError::LinkLost(reason)) => {
            assert!(code.is_some(), "a page of a proxy is no lost link");
            words(reason);
        }
    }
}

fn failure_is_right(input: &Input<'_>, failure: &GraphFailure) {
    let (status, code) = (input.status, code_of(input.body));
    match failure {
        GraphFailure::Refused(refusal) => {
            assert!(code.is_some() || status.is_client_error(), "refused by {status} without a word");
            assert!(refusal.detail.chars().count() <= WORDS_MAX && refusal.after_ms <= WAIT_MAX_MS);
        }
        // The path of an upload's second request is the id that the answer gave.
        GraphFailure::NotReached => assert_eq!(input.operation, "upload", "the server was there"),
        GraphFailure::Unclear => {
            // A call of several requests may find a later answer unclear; the server has one for each input.
            let several = ["upload", "number", "numbers", "templates"].contains(&input.operation);
            assert!(several || code.is_none(), "code {code:?} decides, and is left open");
        }
    }
}

fn shape_of_send(told: &Result<Accepted, SendError>) -> String {
    match told {
        Ok(accepted) => format!("accepted {}", accepted.held),
        Err(SendError::RetryAfter { throttle, after_ms, .. }) => format!("{throttle:?} {}", after_ms > &0),
        Err(SendError::Held { throttle, .. }) => format!("held {throttle:?}"),
        Err(SendError::Rejected(reason)) => format!("rejected {}", reason.detail.is_empty()),
        Err(SendError::LinkLost(reason)) => format!("lost {}", reason.detail.is_empty()),
        Err(SendError::Ambiguous) => "ambiguous".to_owned(),
    }
}

fn shape_of_call(told: &Result<usize, GraphFailure>) -> String {
    match told {
        Ok(much) => format!("{}", about(*much)),
        Err(GraphFailure::Refused(refusal)) => {
            format!("refused {} {} {}", refusal.link_lost, refusal.retryable, refusal.user.is_some())
        }
        Err(other) => format!("{other:?}"),
    }
}

/// Answers with what is given; then with an empty list, so that pages end.
async fn serve(listener: TcpListener, answers: Arc<Mutex<VecDeque<Response<Full<Bytes>>>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let answers = Arc::clone(&answers);
                async move {
                    let _read = request.into_body().collect().await;
                    let next = answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let rest = || Response::new(Full::new(Bytes::from_static(b"{\"data\":[]}")));
                    Ok::<_, Infallible>(next.unwrap_or_else(rest))
                }
            });
            let _ended = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
