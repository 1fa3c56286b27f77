//! The world around the node: the sandbox with its two numbers, and the tenant that is made through the API before
//! the first kill.

use super::child::Child;
use super::client::Client;
use anyhow::{Context, Result};
use kabar_sandbox::{Behaviour, Delay, Faults, NumberConfig, Sandbox, SandboxConfig};
use serde_json::json;

/// A very small JPEG's first bytes.
const PICTURE: &str = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQE=";
/// Linked numbers.
pub(super) const SESSIONS: usize = 2;

/// The sandbox, and the tenant's names and key.
pub(super) struct World {
    pub(super) sandbox: Sandbox,
    pub(super) tenant: String,
    pub(super) sessions: Vec<String>,
    /// The tenant's own client.
    pub(super) client: Client,
    key: String,
    picture: String,
}

impl World {
    /// The tenant's picture, which every campaign shows.
    pub(super) fn picture(&self) -> &str {
        &self.picture
    }

    /// The tenant's key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

pub(super) fn number_id(nth: usize) -> String {
    format!("1060000000002{nth:02}")
}

/// As in the field, but quick: answers take a while, statuses repeat and swap, a few requests end in doubt.
pub(super) fn behaviour() -> Behaviour {
    Behaviour {
        answer_ms: Delay { min_ms: 5, p50_ms: 40, p99_ms: 160, max_ms: 300 },
        sent_ms: Delay::spread(40, 120, 200),
        delivered_ms: Delay::spread(150, 700, 1_000),
        read_ms: Delay::spread(200, 800, 1_000),
        undeliverable: 0.01,
        missing_delivered: 0.03,
        no_read: 0.2,
        out_of_order: 0.02,
        duplicate: 0.02,
        status_before_answer: 0.01,
        reply_rate: 0.03,
        reply_delay: Delay::spread(100, 400, 800),
        webhook_batch_max: 50,
        webhook_linger_ms: 15,
        pair_limit: false,
        faults: Faults { rate_bare_502: 0.001, rate_drop_after_accept: 0.000_5, ..Faults::default() },
        ..Behaviour::default()
    }
}

/// A sandbox whose numbers take twice as many messages a second as Kabar shall send.
pub(super) async fn sandbox(seed: u64, rate: u32) -> Result<Sandbox> {
    sandbox_with(seed, rate, behaviour()).await
}

/// The same, behaving otherwise.
pub(super) async fn sandbox_with(seed: u64, rate: u32, behaviour: Behaviour) -> Result<Sandbox> {
    let number = |nth: usize| NumberConfig {
        phone_number_id: number_id(nth),
        display_phone_number: format!("155502002{nth:02}"),
        messages_per_second: rate * 2,
        ..NumberConfig::default()
    };
    let numbers = (0..SESSIONS).map(number).collect();
    let config = SandboxConfig { seed, numbers, behaviour, ..SandboxConfig::default() };
    Sandbox::start(config).await.context("the sandbox does not start")
}

/// Makes tenant, key, app and sessions as an operator would, and points the sandbox's webhooks at the node.
pub(super) async fn furnish(sandbox: Sandbox, child: &Child, rate: u32) -> Result<World> {
    let base = sandbox.base_url();
    furnish_through(sandbox, child, (rate, &base)).await
}

/// The same with the provider reached at `base`.
pub(super) async fn furnish_through(
    sandbox: Sandbox,
    child: &Child,
    (rate, base): (u32, &str),
) -> Result<World> {
    let operator = Client::new(&child.base(), &child.operator);
    let tenant = operator.post("/v1/tenants", "tenant", &json!({"name": "Toko"})).await?.text("id")?;
    let operator = operator.for_tenant(&tenant);
    let secret = operator.post("/v1/keys", "key", &json!({"name": "proof"})).await?.text("secret")?;
    let config = sandbox.config();
    let app = json!({"app_secrets": [config.app_secret], "verify_token": config.verify_token});
    let app = operator.post("/v1/apps", "app", &app).await?;
    let mut sessions = Vec::new();
    for (nth, number) in config.numbers.iter().enumerate() {
        let session = json!({
            "name": format!("Number {nth}"),
            "app": app.text("id")?,
            "phone_number_id": number.phone_number_id,
            "display_phone_number": number.display_phone_number,
            "access_token": config.access_tokens.first(),
            "api_version": "v25.0",
            "messages_per_second": rate,
            "pair_limit": false,
            "base_url": base,
        });
        let made = operator.post("/v1/sessions", &format!("session-{nth}"), &session).await?;
        sessions.push(made.text("id")?);
    }
    let url = format!("{}{}", child.base(), app.text("webhook_path")?);
    sandbox.set_webhook(&url).await.context("the node's webhook address")?;
    let client = operator.with_key(&secret);
    let picture = client.post("/v1/media", "picture", &json!({"base64": PICTURE})).await?.text("id")?;
    Ok(World { sandbox, tenant, sessions, client, key: secret, picture })
}
