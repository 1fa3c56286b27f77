//! The client's side of the API in the proof: JSON over a few kept connections, with a deadline. It knows what a
//! customer knows and nothing more.

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;

/// Longest time of one request.
const DEADLINE: Duration = Duration::from_secs(20);

/// A caller with a key.
#[derive(Clone)]
pub(super) struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    base: String,
    key: String,
    tenant: Option<String>,
}

/// What is asked.
#[derive(Clone)]
pub(super) struct Ask {
    method: Method,
    path: String,
    idempotency: Option<String>,
    kind: &'static str,
    body: Bytes,
}

impl Ask {
    fn get(path: &str) -> Self {
        let (method, kind) = (Method::GET, "application/json");
        Self { method, path: path.to_owned(), idempotency: None, kind, body: Bytes::new() }
    }

    /// JSON under an idempotency key.
    pub(super) fn post(path: &str, key: String, body: &Value) -> Self {
        let (method, kind) = (Method::POST, "application/json");
        let body = Bytes::from(body.to_string());
        Self { method, path: path.to_owned(), idempotency: Some(key), kind, body }
    }

    /// A contact file under an idempotency key.
    pub(super) fn file(path: &str, key: String, text: String) -> Self {
        let (method, kind) = (Method::POST, "text/csv");
        Self { method, path: path.to_owned(), idempotency: Some(key), kind, body: Bytes::from(text) }
    }
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: Bytes,
}

impl Told {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A text field of a good answer.
    pub(super) fn text(&self, field: &str) -> Result<String> {
        let text = self.json()[field].as_str().map(str::to_owned);
        text.filter(|_| self.is_good()).with_context(|| format!("no `{field}`: {}", self.shown()))
    }

    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the same request may succeed later: the node was overloaded, starting or ending.
    pub(super) fn is_passing(&self) -> bool {
        self.status == 429 || self.status >= 500
    }

    pub(super) fn shown(&self) -> String {
        format!("HTTP {} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Client {
    pub(super) fn new(base: &str, key: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Self { pool, base: base.to_owned(), key: key.to_owned(), tenant: None }
    }

    /// The operator in a tenant's name.
    pub(super) fn for_tenant(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    pub(super) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), tenant: None, ..self.clone() }
    }

    pub(super) async fn ask(&self, ask: Ask) -> Result<Told> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(format!("{}{}", self.base, ask.path))
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(CONTENT_TYPE, ask.kind);
        if let Some(tenant) = &self.tenant {
            request = request.header("kabar-tenant", tenant);
        }
        if let Some(key) = ask.idempotency {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Full::new(ask.body))?;
        let call = async {
            let response = self.pool.request(request).await?;
            let status = response.status().as_u16();
            let retry_after =
                response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let body = response.into_body().collect().await?.to_bytes();
            Ok(Told { status, retry_after, body })
        };
        tokio::time::timeout(DEADLINE, call).await.unwrap_or_else(|_| Err(anyhow!("no answer in time")))
    }

    pub(super) async fn get(&self, path: &str) -> Result<Told> {
        self.ask(Ask::get(path)).await
    }

    pub(super) async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Told> {
        self.ask(Ask::post(path, key.to_owned(), body)).await
    }
}
