//! A plain HTTP client of Kabar's own API, for the command line. Not the client towards third parties: that is the
//! connectors'.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Largest answer that is read, bytes.
const ANSWER_MAX: usize = 16 << 20;

/// Why there is no answer to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The API refused; the sentence is its own.
    #[error("{detail} {remedy}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Stable code.
        code: String,
        /// What is wrong.
        detail: String,
        /// What to do.
        remedy: String,
    },
    /// No answer, or none that is JSON.
    #[error("{url} does not answer as Kabar does: {why}")]
    Broken {
        /// Which address.
        url: String,
        /// What went wrong.
        why: String,
    },
}

type Sent = BoxBody<Bytes, std::io::Error>;

/// A caller with a key.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Sent>,
    base: String,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    /// A client for `base` (`http://host:port`) with a bearer key.
    #[must_use]
    pub fn new(base: &str, key: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            pool: Pool::builder(TokioExecutor::new()).build(connector),
            base: base.trim_end_matches('/').to_owned(),
            headers: vec![(AUTHORIZATION.as_str(), format!("Bearer {key}"))],
        }
    }

    /// The same with a further header on every request.
    #[must_use]
    pub fn with(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut with = self.clone();
        with.headers.push((name, value.into()));
        with
    }

    /// GET.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.send(Method::GET, path, None, empty()).await
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.json(Method::POST, path, body).await
    }

    /// Any method with a JSON body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(method, path, Some("application/json"), full(body.to_string())).await
    }

    /// POST with a body that is read while it is sent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stream(
        &self,
        path: &str,
        kind: &str,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    ) -> Result<Value, ClientError> {
        let body = StreamBody::new(body.map(|chunk| chunk.map(Frame::data)));
        self.send(Method::POST, path, Some(kind), BodyExt::boxed(body)).await
    }

    /// GET of a file, written to `out` while it is read.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn copy(&self, path: &str, out: &mut (impl std::io::Write + Send)) -> Result<(), ClientError> {
        let broken = |why: String| ClientError::Broken { url: self.base.clone(), why };
        let response = self.answer(Method::GET, path, None, empty()).await?;
        if !response.status().is_success() {
            return self.read(response).await.map(|_| ());
        }
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(error.to_string()))?;
            if let Some(bytes) = frame.data_ref() {
                out.write_all(bytes).map_err(|error| broken(error.to_string()))?;
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: Sent,
    ) -> Result<Value, ClientError> {
        let response = self.answer(method, path, kind, body).await?;
        self.read(response).await
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: Sent,
    ) -> Result<Response<Incoming>, ClientError> {
        let url = format!("{}{path}", self.base);
        let broken = |why: String| ClientError::Broken { url: self.base.clone(), why };
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let request = request.body(body).map_err(|error| broken(error.to_string()))?;
        self.pool.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            broken(cause.unwrap_or_else(|| error.to_string()))
        })
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Value, ClientError> {
        let broken = |why: String| ClientError::Broken { url: self.base.clone(), why };
        let status = response.status();
        let read = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let bytes = read.map_err(|error| broken(error.to_string()))?.to_bytes();
        // What is done and has nothing to show.
        if status == StatusCode::NO_CONTENT && bytes.is_empty() {
            return Ok(Value::Null);
        }
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|_| broken(format!("status {}, and no JSON", status.as_u16())))?;
        if status.is_success() { Ok(value) } else { Err(refused(status.as_u16(), &value)) }
    }
}

fn refused(status: u16, problem: &Value) -> ClientError {
    let word = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
    ClientError::Refused { status, code: word("code"), detail: word("detail"), remedy: word("remedy") }
}

fn empty() -> Sent {
    full(String::new())
}

fn full(text: String) -> Sent {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}
