//! A server on a memory store, a tenant with a key, and the calls the tests make. Not a test.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kabar_api::config::Config;
use kabar_api::serve::{Running, start_on};
use kabar_sandbox::{Behaviour, Sandbox, SandboxConfig};
use kabar_schema::store::Store;
use serde_json::{Value, json};
use std::time::Duration;

pub const OPERATOR: &str = "operator-key-of-the-tests";
/// Longest wait for an event; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Status and code of a problem.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"].as_u64(), Some(self.status.into()), "{body}");
        assert_eq!(body["trace_id"].as_str(), self.headers["trace-id"].to_str().ok(), "{body}");
        (self.status, body["code"].as_str().unwrap().to_owned())
    }

    /// The id of what was created.
    pub fn id(&self) -> String {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()["id"].as_str().unwrap().to_owned()
    }
}

/// A running server and how to reach it.
pub struct House {
    pub running: Running,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl House {
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Store::memory(), change).await
    }

    /// On a store that may have been another server's before.
    pub async fn on(store: Store, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::defaults();
        config.server.listen = ([127, 0, 0, 1], 0).into();
        config.auth.key_cache_ms = 60_000;
        config.engine.proof_ms = Some(3_000);
        config.engine.flush_ms = 50;
        // Tests ask as fast as they can.
        (config.limits.api_per_second, config.limits.send_per_second) = (0, 0);
        change(&mut config);
        let running = start_on(config, store, OPERATOR.to_owned()).await.unwrap();
        Self { running, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Any request. The path stands behind the method: `GET /v1/keys`.
    pub async fn call(&self, what: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let (status, headers, bytes) = self.fetch(what, headers, body.into()).await;
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// The same, answered with bytes that need be no text.
    async fn fetch(&self, what: &str, headers: &[(&str, &str)], body: Bytes) -> (u16, HeaderMap, Bytes) {
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.running.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
    }

    /// A tenant with a key.
    pub async fn tenant(&self, name: &str) -> Tenant<'_> {
        self.tenant_of(name, &[]).await
    }

    /// A tenant of the reseller that the header names.
    pub async fn tenant_of(&self, name: &str, of: &[(&str, &str)]) -> Tenant<'_> {
        let id = self.operator("POST /v1/tenants", of, json!({"name": name})).await.id();
        let made = self.made_key(&[("kabar-tenant", &id)], json!({"name": "test"})).await;
        Tenant { house: self, id, key: made.1, key_id: made.0 }
    }

    /// As the operator.
    pub async fn operator(&self, what: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let operator = format!("Bearer {OPERATOR}");
        let all: Vec<_> = headers.iter().copied().chain([("authorization", operator.as_str())]).collect();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.call(what, &all, body).await
    }

    /// A key's id and secret, made by the operator for whom the headers name.
    pub async fn made_key(&self, of: &[(&str, &str)], body: Value) -> (String, String) {
        let made = self.operator("POST /v1/keys", of, body).await;
        (made.id(), made.json()["secret"].as_str().unwrap().to_owned())
    }

    /// With a key.
    pub async fn by(&self, key: &str, what: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let bearer = format!("Bearer {key}");
        let all: Vec<_> = headers.iter().copied().chain([("authorization", bearer.as_str())]).collect();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.call(what, &all, body).await
    }

    /// A reseller: its id, and the secret of a key.
    pub async fn reseller(&self, name: &str) -> (String, String) {
        let id = self.operator("POST /v1/resellers", &[], json!({"name": name})).await.id();
        let key = self.made_key(&[("kabar-reseller", &id)], json!({"name": name})).await.1;
        (id, key)
    }

    /// A tenant of an earlier server on the same store.
    pub fn again(&self, (id, key, key_id): (String, String, String)) -> Tenant<'_> {
        Tenant { house: self, id, key, key_id }
    }
}

/// A tenant as its own caller.
pub struct Tenant<'h> {
    house: &'h House,
    pub id: String,
    pub key: String,
    pub key_id: String,
}

impl Tenant<'_> {
    pub async fn call(&self, what: &str, body: Value) -> Answer {
        self.with(what, &[], body).await
    }

    pub async fn with(&self, what: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.key);
        let all: Vec<_> = headers.iter().copied().chain([("authorization", bearer.as_str())]).collect();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.house.call(what, &all, body).await
    }

    /// Status and bytes of what is read.
    pub async fn raw(&self, path: &str) -> (u16, Bytes) {
        let bearer = format!("Bearer {}", self.key);
        let headers = [("authorization", bearer.as_str())];
        let (status, _, bytes) = self.house.fetch(&format!("GET {path}"), &headers, Bytes::new()).await;
        (status, bytes)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}"), Value::Null).await
    }

    pub async fn import(&self, csv: &str) -> Value {
        let bearer = format!("Bearer {}", self.key);
        let headers = [("authorization", bearer.as_str()), ("content-type", "text/csv")];
        let what = "POST /v1/contacts/import?name=people&default_region=ID";
        let answer = self.house.call(what, &headers, csv.to_owned()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// An app and a session on a sandbox, whose webhooks come back here.
    pub async fn link(&self, sandbox: &Sandbox) -> String {
        let config = sandbox.config();
        let app = json!({"app_secrets": [config.app_secret], "verify_token": config.verify_token});
        let app = self.call("POST /v1/apps", app).await.json();
        let number = &config.numbers[0];
        let session = json!({
            "name": "test", "app": app["id"], "phone_number_id": number.phone_number_id,
            "display_phone_number": number.display_phone_number, "access_token": config.access_tokens[0],
            "messages_per_second": number.messages_per_second, "base_url": sandbox.base_url(),
        });
        let operator = format!("Bearer {OPERATOR}");
        let headers = [("authorization", operator.as_str()), ("kabar-tenant", self.id.as_str())];
        let session = self.house.call("POST /v1/sessions", &headers, session.to_string()).await.id();
        let webhook = format!("{}{}", self.house.running.url(), app["webhook_path"].as_str().unwrap());
        sandbox.set_webhook(&webhook).await.unwrap();
        session
    }

    /// A session that is never sent from: its provider is a closed port.
    pub async fn idle_session(&self, phone_number_id: &str) -> String {
        let app = json!({"app_secrets": ["secret"], "verify_token": "token"});
        let app = self.call("POST /v1/apps", app).await.id();
        let session = json!({
            "name": "idle", "app": app, "phone_number_id": phone_number_id, "display_phone_number": "15550200000",
            "access_token": "t", "base_url": "http://127.0.0.1:9", "validate": false,
        });
        let operator = format!("Bearer {OPERATOR}");
        let headers = [("authorization", operator.as_str()), ("kabar-tenant", self.id.as_str())];
        self.house.call("POST /v1/sessions", &headers, session.to_string()).await.id()
    }

    /// Asks until the answer is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut turn = tokio::time::interval(Duration::from_millis(20));
        let begin = std::time::Instant::now();
        loop {
            turn.tick().await;
            let seen = self.get(path).await.json();
            if wanted(&seen) {
                return seen;
            }
            assert!(begin.elapsed() < DEADLINE, "waited in vain: {seen:#}");
        }
    }
}

/// A sandbox that tells every status at once.
pub async fn sandbox() -> Sandbox {
    Sandbox::start(SandboxConfig { behaviour: Behaviour::default(), ..SandboxConfig::default() })
        .await
        .unwrap()
}

/// A message that needs no open window.
pub fn template(session: &str, to: &str) -> Value {
    json!({"session": session, "to": to, "type": "template", "template": {"name": "halo", "language": {"code": "id"}}})
}
