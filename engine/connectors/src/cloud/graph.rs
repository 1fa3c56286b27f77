//! Calls of the Graph API that are no sends: what manages media, templates, numbers. One call, one answer; a failure
//! says whether Meta refused it, never had it, or may have done it. Not what a call means: that is its own file's.

use super::answer::{GraphError, regain_ms, retry_after_ms};
use super::classify::{Class, classify};
use super::{ConfigError, Proofs};
use crate::Secret;
use crate::client::{Answer, CallError, Client, Flow, Reading, escape};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Some of Meta's hosts refuse a call without one.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("kabar/", env!("CARGO_PKG_VERSION")));

/// A file that comes or goes slower than this (100 KiB/s) is given up.
const SLOWEST_BYTES_PER_MS: u64 = 100;

/// Where and as whom is called.
#[derive(Debug, Clone)]
pub struct GraphConfig {
    /// Scheme, host and port without a path, e.g. `https://graph.facebook.com`.
    pub base_url: String,
    /// The Graph version, e.g. `v26.0`.
    pub api_version: String,
    /// The bearer token.
    pub access_token: Secret,
    /// Proofs of the token under its app's secrets.
    pub proofs: Arc<Proofs>,
    /// Milliseconds until a call without an answer is given up.
    pub deadline_ms: u64,
}

/// The Graph API as one token sees it. Cheap to make: the pool belongs to the [`Client`].
#[derive(Clone)]
pub struct Graph {
    client: Client,
    root: String,
    token: Secret,
    proofs: Arc<Proofs>,
    deadline: Duration,
}

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphFailure {
    /// Meta refused it: certainly not done.
    #[error("refused with code {}: {}", .0.code, .0.detail)]
    Refused(Box<Refusal>),
    /// Certainly not asked: nobody was reached, or the path makes no URL.
    #[error("not reached")]
    NotReached,
    /// It may have been done: no answer came, or not Graph's.
    #[error("no answer of the Graph API came")]
    Unclear,
}

/// Meta's refusal of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Meta's code.
    pub code: u32,
    /// Meta's subcode.
    pub subcode: Option<u32>,
    /// Meta's words, at most 512 characters.
    pub detail: String,
    /// Words meant for people: title and text.
    pub user: Option<(String, String)>,
    /// Names the call to Meta's support.
    pub trace: Option<String>,
    /// Not before so many milliseconds, when it said so.
    pub after_ms: u64,
    /// The token does not work, or may not do this.
    pub link_lost: bool,
    /// A later try may succeed.
    pub retryable: bool,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Graph {
    /// The Graph API behind a base URL.
    ///
    /// # Errors
    /// [`ConfigError`] naming the part that cannot work.
    pub fn new(client: Client, config: GraphConfig) -> Result<Self, ConfigError> {
        let root = format!("{}/{}", config.base_url.trim_end_matches('/'), config.api_version);
        let url: Uri = root.parse().map_err(|_| ConfigError::Url)?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
            return Err(ConfigError::Url);
        }
        let deadline = Duration::from_millis(config.deadline_ms);
        let (token, proofs) = (config.access_token, config.proofs);
        let graph = Self { client, root, token, proofs, deadline };
        graph.authorization("Bearer")?;
        Ok(graph)
    }

    /// The same, giving calls up earlier: for what somebody waits for.
    #[must_use]
    pub fn within(mut self, deadline_ms: u64) -> Self {
        self.deadline = self.deadline.min(Duration::from_millis(deadline_ms));
        self
    }

    /// Reads a node or an edge, e.g. `106/message_templates`.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, GraphFailure> {
        self.json(Method::GET, path, query, None).await
    }

    /// Reads with another word than `Bearer` before the token.
    pub(super) async fn get_as(&self, scheme: &'static str, path: &str) -> Result<Value, GraphFailure> {
        read(self.call(&self.url(path, &[]), Request::new(Full::default()), scheme).await?)
    }

    /// Writes.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, GraphFailure> {
        self.json(Method::POST, path, query, Some(body)).await
    }

    /// Deletes; a few edges read what from a body.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn delete(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, GraphFailure> {
        self.json(Method::DELETE, path, query, body).await
    }

    /// Writes bytes of any type. `scheme` is the word before the token: `Bearer`, or `OAuth` for the steps of a
    /// resumable upload.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn post_bytes(
        &self,
        path: &str,
        scheme: &'static str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Value, GraphFailure> {
        let mut request = Request::new(Full::new(body));
        (*request.method_mut(), *request.headers_mut()) = (Method::POST, headers);
        read(self.call(&self.url(path, &[]), request, scheme).await?)
    }

    /// Writes a body that is never in memory as a whole; the deadline grows with its length.
    pub(super) async fn pour(
        &self,
        path: &str,
        headers: HeaderMap,
        (flow, length): (Flow, u64),
    ) -> Result<Value, GraphFailure> {
        let way = self.proofs.at();
        let url = parsed(&self.proofs.url(&self.url(path, &[]), way))?;
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (Method::POST, url, headers);
        self.sign(request.headers_mut(), "Bearer")?;
        let answer = self.client.pour(request, (flow, length), self.patience(length)).await;
        if self.proofs.is_refused(way, &answer) {
            // What was poured is gone: the next try goes another way.
            return Err(GraphFailure::NotReached);
        }
        read(answer.map_err(unheard)?)
    }

    /// Opens the bytes behind a URL that Meta gave, to be read as they come.
    pub(super) async fn open(&self, url: &str, bytes_max: u64) -> Result<Reading, GraphFailure> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = parsed(url)?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        self.sign(request.headers_mut(), "Bearer")?;
        let reading =
            self.client.open(request, bytes_max, self.patience(bytes_max)).await.map_err(unheard)?;
        if reading.status == StatusCode::OK {
            return Ok(reading);
        }
        let answer = Answer { status: reading.status, headers: reading.headers, body: Bytes::new() };
        Err(read(answer).err().unwrap_or(GraphFailure::Unclear))
    }

    /// How long a file of this length may take.
    fn patience(&self, bytes: u64) -> Duration {
        self.deadline + Duration::from_millis(bytes / SLOWEST_BYTES_PER_MS)
    }

    /// Reads the bytes behind a URL that Meta gave, with the token; the answer as it came, of any status.
    ///
    /// # Errors
    /// [`GraphFailure`]; never `Refused`.
    pub async fn download(&self, url: &str) -> Result<Answer, GraphFailure> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = parsed(url)?;
        self.sign(request.headers_mut(), "Bearer")?;
        self.client.call(request, self.deadline).await.map_err(unheard)
    }

    /// Every item of a list, page by page. More pages than allowed are an answer nobody can use.
    pub(super) async fn every<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        pages_max: usize,
    ) -> Result<Vec<T>, GraphFailure> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        for _ in 0..pages_max {
            let mut asked = query.to_vec();
            asked.extend(after.as_deref().map(|after| ("after", after)));
            let mut page = self.get(path, &asked).await?;
            let items: Vec<T> = typed(data_of(&mut page))?;
            let (empty, paging) = (items.is_empty(), &page["paging"]);
            all.extend(items);
            // Without `next` the cursor is that of the last page.
            let next = paging["cursors"]["after"].as_str().filter(|_| paging.get("next").is_some() && !empty);
            match next {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(all),
            }
        }
        Err(GraphFailure::Unclear)
    }

    /// A write of which Meta may do a part: what it answered, also beside an error.
    pub(super) async fn partly(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(Value, Option<Box<Refusal>>), GraphFailure> {
        let answer = self.ask(method, path, &[], Some(body)).await?;
        let whole = serde_json::from_slice(&answer.body).unwrap_or_default();
        match read(answer) {
            Ok(value) => Ok((value, None)),
            Err(GraphFailure::Refused(refusal)) => Ok((whole, Some(refusal))),
            Err(failure) => Err(failure),
        }
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, GraphFailure> {
        read(self.ask(method, path, query, body).await?)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, GraphFailure> {
        let bytes = body.map(|body| Bytes::from(body.to_string()));
        let mut request = Request::new(Full::new(bytes.clone().unwrap_or_default()));
        *request.method_mut() = method;
        if bytes.is_some() {
            request.headers_mut().insert(CONTENT_TYPE, JSON);
        }
        self.call(&self.url(path, query), request, "Bearer").await
    }

    /// A call of the Graph API; one whose proof is refused is made again with the next.
    async fn call(
        &self,
        url: &str,
        mut request: Request<Full<Bytes>>,
        scheme: &str,
    ) -> Result<Answer, GraphFailure> {
        self.sign(request.headers_mut(), scheme)?;
        let mut way = self.proofs.at();
        loop {
            *request.uri_mut() = parsed(&self.proofs.url(url, way))?;
            let outcome = self.client.call(request.clone(), self.deadline).await;
            if !self.proofs.is_refused(way, &outcome) {
                return outcome.map_err(unheard);
            }
            way += 1;
        }
    }

    fn sign(&self, headers: &mut HeaderMap, scheme: &str) -> Result<(), GraphFailure> {
        let authorization = self.authorization(scheme).map_err(|_| GraphFailure::NotReached)?;
        headers.insert(AUTHORIZATION, authorization);
        headers.entry(ACCEPT).or_insert(JSON);
        headers.insert(USER_AGENT, AGENT);
        Ok(())
    }

    fn authorization(&self, scheme: &str) -> Result<HeaderValue, ConfigError> {
        let mut value = HeaderValue::try_from(format!("{scheme} {}", self.token.expose()))
            .map_err(|_| ConfigError::Token)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The path as it stands (an upload's id holds `:`, `?` and `=`), the query's values escaped.
    fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}/{path}", self.root);
        for (nth, (key, value)) in query.iter().enumerate() {
            url.push(if nth == 0 && !path.contains('?') { '?' } else { '&' });
            url.push_str(key);
            url.push('=');
            escape(&mut url, value);
        }
        url
    }
}

fn parsed(url: &str) -> Result<Uri, GraphFailure> {
    url.parse().map_err(|_| GraphFailure::NotReached)
}

/// An id of Meta's as a part of a path: nothing in it may lead elsewhere.
pub(super) fn node(id: &str) -> Result<&str, GraphFailure> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if (1..=128).contains(&id.len()) && id.bytes().all(plain) {
        Ok(id)
    } else {
        Err(GraphFailure::NotReached)
    }
}

/// What stands under `data`; nothing in an answer of another shape, which indexing would end in a panic.
pub(super) fn data_of(answer: &mut Value) -> Value {
    answer.get_mut("data").map_or(Value::Null, Value::take)
}

/// An answer in its shape; one of another shape is none of Graph's.
pub(super) fn typed<T: DeserializeOwned>(answer: Value) -> Result<T, GraphFailure> {
    serde_json::from_value(answer).map_err(|_| GraphFailure::Unclear)
}

fn unheard(error: CallError) -> GraphFailure {
    match error {
        CallError::NotSent(_) => GraphFailure::NotReached,
        CallError::Unclear { .. } => GraphFailure::Unclear,
    }
}

fn read(answer: Answer) -> Result<Value, GraphFailure> {
    if let Some(error) = GraphError::read(&answer.body) {
        return Err(refused(&answer, error));
    }
    if answer.status.is_success() {
        return serde_json::from_slice(&answer.body).map_err(|_| GraphFailure::Unclear);
    }
    // A proxy's page: a 4xx refused it, a 5xx says nothing of what is behind it.
    if answer.status.is_client_error() {
        let (detail, user, trace) = (String::new(), None, None);
        let error = GraphError { code: 0, subcode: None, transient: false, detail, user, trace };
        return Err(refused(&answer, error));
    }
    Err(GraphFailure::Unclear)
}

fn refused(answer: &Answer, error: GraphError) -> GraphFailure {
    tracing::debug!(code = error.code, trace = error.trace.as_deref(), "Graph error");
    let bare = error.code == 0 && answer.status != StatusCode::UNAUTHORIZED;
    let class = classify(error.code, error.shape(answer.status));
    GraphFailure::Refused(Box::new(Refusal {
        status: answer.status.as_u16(),
        code: error.code,
        // Code 100 with 33 is an object that is not there: of a send the number itself, here any.
        link_lost: !bare && error.code != 100 && matches!(class, Class::LinkLost),
        retryable: matches!(class, Class::Retry(_))
            || (bare && answer.status == StatusCode::TOO_MANY_REQUESTS),
        subcode: error.subcode,
        detail: error.detail,
        user: error.user,
        trace: error.trace,
        after_ms: retry_after_ms(&answer.headers).max(regain_ms(&answer.headers)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(base_url: &str, token: &str) -> Result<Graph, ConfigError> {
        let config = GraphConfig {
            base_url: base_url.into(),
            api_version: "v26.0".into(),
            access_token: token.into(),
            proofs: Arc::default(),
            deadline_ms: 1_000,
        };
        Graph::new(Client::for_providers(), config)
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn a_url_keeps_the_path_and_escapes_values() {
        let graph = graph("https://graph.facebook.com/", "EAAG").unwrap();
        let url = graph.url("102/message_templates", &[("name", "a b&c"), ("limit", "10")]);
        assert_eq!(url, "https://graph.facebook.com/v26.0/102/message_templates?name=a%20b%26c&limit=10");
        let upload = graph.url("upload:MTph?sig=AR-_", &[("x", "1")]);
        assert_eq!(upload, "https://graph.facebook.com/v26.0/upload:MTph?sig=AR-_&x=1");
        assert!(!format!("{graph:?}").contains("EAAG"));
    }

    #[test]
    fn a_configuration_that_cannot_work_says_which_part() {
        assert_eq!(graph("graph", "EAAG").unwrap_err(), ConfigError::Url);
        assert_eq!(graph("ftp://graph", "EAAG").unwrap_err(), ConfigError::Url);
        assert_eq!(graph("https://graph", "a\nb").unwrap_err(), ConfigError::Token);
    }

    #[test]
    fn an_answer_of_another_shape_holds_no_data() {
        for odd in ["[[]]", "7", "\"ok\"", "null", "true", "{}"] {
            let mut answer = read(answer(200, odd)).unwrap();
            assert_eq!(data_of(&mut answer), Value::Null, "{odd}");
            assert_eq!(typed::<Vec<Value>>(data_of(&mut answer)), Err(GraphFailure::Unclear));
        }
    }

    #[test]
    fn what_an_answer_means_for_a_call() {
        assert_eq!(read(answer(200, r#"{"id":"1"}"#)).unwrap()["id"], "1");
        assert_eq!(read(answer(200, "<html>")), Err(GraphFailure::Unclear));
        assert_eq!(read(answer(502, "<html>")), Err(GraphFailure::Unclear));
        let refusal = |status, body: &str| match read(answer(status, body)) {
            Err(GraphFailure::Refused(refusal)) => *refusal,
            other => panic!("{other:?}"),
        };
        let expired =
            refusal(401, r#"{"error":{"code":190,"message":"m","error_subcode":463,"fbtrace_id":"A1"}}"#);
        assert!(expired.link_lost && !expired.retryable && expired.trace.as_deref() == Some("A1"));
        let gone = refusal(400, r#"{"error":{"code":100,"error_subcode":33,"message":"m"}}"#);
        assert!(!gone.link_lost && !gone.retryable);
        let busy = refusal(400, r#"{"error":{"code":80007,"message":"m"}}"#);
        assert!(busy.retryable && !busy.link_lost);
        let page = refusal(404, "<html>");
        assert!(!page.link_lost && !page.retryable && page.code == 0);
        let told = refusal(
            400,
            r#"{"error":{"code":100,"message":"m","error_user_title":"t","error_user_msg":"u"}}"#,
        );
        assert_eq!(told.user, Some(("t".into(), "u".into())));
    }
}
