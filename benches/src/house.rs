//! A whole Kabar in this process, on a temporary folder, driven by its own HTTP API.

use crate::child::{NUMBER, TOKEN};
use anyhow::{Context, Result};
use kabar_api::client::Client;
use kabar_api::config::Config;
use kabar_api::serve::{self, Running};
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_schema::records::{MetaApp, Session};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running Kabar with one tenant and one session.
pub struct House {
    /// Where it listens.
    pub running: Running,
    /// A client with the tenant's key.
    pub client: Client,
    /// The tenant's key.
    pub key: String,
    /// The session's id.
    pub session: String,
    /// The tenant's id.
    pub tenant: TenantId,
    _folder: TempDir,
}

impl House {
    /// Starts one whose session speaks to the simulated WhatsApp at `provider`, as fast as it goes.
    pub async fn open(provider: &str) -> Result<Self> {
        Self::with(provider, |_| {}).await
    }

    /// The same with another configuration.
    pub async fn with(provider: &str, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut config = Config::defaults();
        config.server.listen = "127.0.0.1:0".parse()?;
        config.store.folder = folder.path().to_owned();
        // What is measured is the engine, not the patience of one key.
        (config.limits.api_per_second, config.limits.send_per_second) = (0, 0);
        change(&mut config);
        let running = serve::start(config).await?;
        let operator = Client::new(&running.url(), &running.operator_key);
        let tenant = operator.post("/v1/tenants", &json!({"name": "bench"})).await?;
        let tenant_id = text(&tenant, "id")?;
        let operator = operator.with("kabar-tenant", tenant_id.clone());
        let key = operator.post("/v1/keys", &json!({"name": "bench"})).await?;
        let key = text(&key, "secret")?;
        let client = Client::new(&running.url(), &key);
        let tenant = tenant_id.parse()?;
        let session = session(&running, tenant, provider).await?;
        Ok(Self { running, client, key, session, tenant, _folder: folder })
    }

    /// The template message every bench sends.
    pub fn message() -> Value {
        json!({
            "type": "template",
            "template": {
                "name": "order_update",
                "language": {"code": "id"},
                "components": [{"type": "body", "parameters": [
                    {"type": "text", "text": "Your order is on its way and will arrive between nine and twelve."}
                ]}],
            },
        })
    }

    /// Stops it.
    pub async fn close(self) {
        self.running.shutdown().await;
    }
}

/// A session that may send at a rate no provider gives, which the API would refuse: the bench measures Kabar, not
/// its pacing.
async fn session(running: &Running, tenant: TenantId, provider: &str) -> Result<String> {
    let created = Timestamp(running.node.clock().now_ms());
    let nouns = &running.node.store().nouns;
    let (app_secrets, verify_token) = (vec!["bench-app-secret".to_owned()], "bench-verify-token".to_owned());
    nouns.create(&MetaApp { id: 1, tenant, app_secrets, verify_token, created }).await?;
    let session = Session {
        id: SessionId::random(created, 1),
        tenant,
        name: "bench".to_owned(),
        app: 1,
        phone_number_id: NUMBER.to_owned(),
        display_phone_number: "15550200000".to_owned(),
        base_url: Some(provider.to_owned()),
        api_version: "v26.0".to_owned(),
        access_token: TOKEN.to_owned(),
        messages_per_second: 1_000_000,
        pair_limit: false,
        created,
    };
    nouns.create(&session).await?;
    Ok(session.id.to_string())
}

/// A text field of an answer.
pub fn text(value: &Value, field: &str) -> Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("no `{field}` in {value}"))
}
