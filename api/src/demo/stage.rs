//! What the demo happens on: a sandbox and a server on free loopback ports, linked with each other, and the calls of
//! Kabar's API that set up tenant, key, app and sessions. Not the campaign's course.

use super::Demo;
use crate::client::{Client, ClientError};
use crate::config::Config;
use crate::exit::Failure;
use crate::secret;
use crate::serve::{self, Running};
use kabar_sandbox::{Behaviour, NumberConfig, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

/// Numbers the campaign leaves from.
const NUMBERS: usize = 2;
/// What each of them may send a second.
const RATE: u32 = 1_000;
/// How long the demo waits for proof of a lost answer, ms.
const PROOF_MS: i64 = 3_000;

/// Everything that runs.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    pub(super) api: Client,
    pub(super) url: String,
    /// The tenant's API key.
    pub(super) key: String,
    pub(super) session: String,
    senders: Vec<String>,
    running: Running,
    folder: PathBuf,
    /// Removed with everything in it when the demo ends.
    temporary: Option<TempDir>,
}

impl Stage {
    /// Starts both sides and links them.
    pub(super) async fn set(demo: &Demo) -> Result<Self, Failure> {
        let failed = |what: &str, why: String| Failure::failed(format!("{what}: {why}"));
        let (folder, temporary) = match &demo.data {
            Some(folder) => (folder.clone(), None),
            None => {
                let made = tempfile::Builder::new().prefix("kabar-demo-").tempdir();
                let made = made.map_err(|e| failed("cannot make a temporary folder", e.to_string()))?;
                (made.path().to_owned(), Some(made))
            }
        };
        let secrets = Secrets::make();
        let sandbox = Sandbox::start(sandbox_config(demo.seed, &secrets)).await;
        let sandbox = sandbox.map_err(|e| failed("the simulated WhatsApp does not start", e.to_string()))?;
        let running = match serve::start(config(&folder)).await {
            Ok(running) => running,
            Err(error) => {
                sandbox.stop().await;
                return Err(Failure::usage(error.to_string()));
            }
        };
        let linked = link(&running, &sandbox, &secrets).await;
        let (key, senders) = match linked {
            Ok(linked) => linked,
            Err(failure) => {
                running.shutdown().await;
                sandbox.stop().await;
                return Err(failure);
            }
        };
        let url = running.url();
        let api = Client::new(&url, &key);
        let session = senders.first().cloned().unwrap_or_default();
        Ok(Self { sandbox, api, url, key, session, senders, running, folder, temporary })
    }

    /// The first lines people see.
    pub(super) fn introduction(&self, audience: &str) -> String {
        let kept = if self.temporary.is_some() { " (temporary)" } else { "" };
        format!(
            "Kabar            {}\nWhatsApp         {} (simulated, {NUMBERS} numbers, {RATE} messages a second each)\n\
             Folder           {}{kept}\nAudience         {audience}\n",
            self.url,
            self.sandbox.base_url(),
            self.folder.display(),
        )
    }

    /// Makes the campaign and launches it; its id.
    pub(super) async fn launch(&self, import: &Value) -> Result<String, Failure> {
        let list = import["id"].as_str().unwrap_or_default();
        let page = self.api.get(&format!("/v1/contacts?list={list}&limit=200")).await.map_err(broken)?;
        let contacts = page["data"].as_array().cloned().unwrap_or_default();
        // A file without cities still gets a campaign; one with some shows what a missing variable does.
        let cities = contacts.iter().any(|contact| contact["fields"]["city"].is_string());
        let campaign = json!({
            "name": "Demo", "senders": self.senders, "audience": {"list": list},
            "message": message(cities), "options": {"spintax": true},
        });
        let campaign = self.api.post("/v1/campaigns", &campaign).await.map_err(broken)?;
        let id = campaign["id"].as_str().unwrap_or_default().to_owned();
        self.api.post(&format!("/v1/campaigns/{id}/launch"), &json!({})).await.map_err(broken)?;
        Ok(id)
    }

    /// Ends everything and removes the temporary folder.
    pub(super) async fn strike(self) {
        // The server first: it still acknowledges what the sandbox tells.
        self.running.shutdown().await;
        self.sandbox.stop().await;
    }
}

/// A template of Meta's shape: body parameters with a default, with alternatives, and one without a default.
fn message(cities: bool) -> Value {
    let mut parameters = vec![
        json!({"type": "text", "text": "{Halo|Hai|Selamat siang}"}),
        json!({"type": "text", "text": "{{name|default:\"Kak\"|trim|title}}"}),
    ];
    if cities {
        parameters.push(json!({"type": "text", "text": "{{city}}"}));
    }
    json!({"type": "template", "template": {
        "name": "pembukaan_toko", "language": {"code": "id"},
        "components": [{"type": "body", "parameters": parameters}],
    }})
}

/// What both sides share.
struct Secrets {
    app: String,
    verify: String,
    access: String,
    numbers: Vec<String>,
}

impl Secrets {
    fn make() -> Self {
        let secret = || secret::base32(&secret::random());
        // Ids of numbers are new in every run: a kept folder still has the sessions of the runs before.
        let begin = rand::random::<u64>() % 100_000_000_000;
        let numbers = (0..NUMBERS as u64).map(|n| format!("1{:014}", begin + n)).collect();
        Self { app: secret(), verify: secret(), access: secret(), numbers }
    }
}

fn sandbox_config(seed: u64, secrets: &Secrets) -> SandboxConfig {
    let number = |(place, id): (usize, &String)| NumberConfig {
        phone_number_id: id.clone(),
        display_phone_number: format!("155502000{place:02}"),
        messages_per_second: RATE,
        ..NumberConfig::default()
    };
    SandboxConfig {
        seed,
        app_secret: secrets.app.clone(),
        verify_token: secrets.verify.clone(),
        access_tokens: vec![secrets.access.clone()],
        numbers: secrets.numbers.iter().enumerate().map(number).collect(),
        behaviour: Behaviour::demo(),
        ..SandboxConfig::default()
    }
}

fn config(folder: &std::path::Path) -> Config {
    let mut config = Config::defaults();
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.server.drain_timeout_ms = 2_000;
    config.store.folder = folder.to_owned();
    config.engine.proof_ms = Some(PROOF_MS);
    config
}

fn broken(error: ClientError) -> Failure {
    Failure::failed(error.to_string())
}

/// Tenant, key, app and sessions, all through the API; then the sandbox is told where its webhooks go.
async fn link(
    running: &Running,
    sandbox: &Sandbox,
    secrets: &Secrets,
) -> Result<(String, Vec<String>), Failure> {
    let url = running.url();
    let operator = Client::new(&url, &running.operator_key);
    // One tenant per folder: who opted out in an earlier run stays opted out.
    let once = operator.with("idempotency-key", "kabar-demo");
    let tenant = once.post("/v1/tenants", &json!({"name": "Demo"})).await.map_err(broken)?;
    let operator = operator.with("kabar-tenant", tenant["id"].as_str().unwrap_or_default());
    let key = operator.post("/v1/keys", &json!({"name": "demo"})).await.map_err(broken)?;
    let key = key["secret"].as_str().unwrap_or_default().to_owned();
    let app = json!({"app_secrets": [secrets.app], "verify_token": secrets.verify});
    let app = operator.post("/v1/apps", &app).await.map_err(broken)?;
    let mut senders = Vec::new();
    for (place, number) in sandbox.config().numbers.iter().enumerate() {
        let session = json!({
            "name": format!("Demo {}", place + 1), "app": app["id"], "phone_number_id": number.phone_number_id,
            "display_phone_number": number.display_phone_number, "access_token": secrets.access,
            "messages_per_second": number.messages_per_second, "base_url": sandbox.base_url(),
        });
        let session = operator.post("/v1/sessions", &session).await.map_err(broken)?;
        senders.push(session["id"].as_str().unwrap_or_default().to_owned());
    }
    let webhook = format!("{url}{}", app["webhook_path"].as_str().unwrap_or_default());
    let subscribed = sandbox.set_webhook(&webhook).await;
    subscribed.map_err(|e| Failure::failed(format!("the webhook was not taken: {e}")))?;
    Ok((key, senders))
}
