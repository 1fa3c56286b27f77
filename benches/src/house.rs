//! A whole Kabar in this process, on a temporary folder, driven by its own HTTP API.

use crate::child::{self, TOKEN};
use anyhow::{Context, Result};
use kabar_api::client::Client;
use kabar_api::config::Config;
use kabar_api::serve::{self, Running};
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_schema::records::{MetaApp, Session};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The number of another tenant, beyond those of the simulated WhatsApp.
const NEIGHBOUR: u64 = 1_000;

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
    /// All sessions a campaign goes out by; the one above unless more were linked.
    pub senders: Vec<String>,
    /// The tenant's id.
    pub tenant: TenantId,
    provider: String,
    operator: Client,
    _folder: TempDir,
}

/// Another tenant of the same Kabar, with one session.
pub struct Neighbour {
    /// The tenant's key.
    pub key: String,
    /// The session's id.
    pub session: String,
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
        let (tenant, key) = tenant(&operator, "bench").await?;
        let client = Client::new(&running.url(), &key);
        app(&running, tenant, 1).await?;
        let session = session(&running, (tenant, 1), provider, unpaced(0)).await?;
        let (senders, provider) = (vec![session.clone()], provider.to_owned());
        Ok(Self { running, client, key, session, senders, tenant, provider, operator, _folder: folder })
    }

    /// Links further numbers, until campaigns go out by so many.
    pub async fn link(&mut self, senders: u64) -> Result<()> {
        for nth in 1..senders {
            self.senders.push(session(&self.running, (self.tenant, 1), &self.provider, unpaced(nth)).await?);
        }
        Ok(())
    }

    /// A further number that may send so many messages a second, with the limit of a pair or without.
    pub async fn paced(&self, nth: u64, rate: u32, pair_limit: bool) -> Result<String> {
        session(&self.running, (self.tenant, 1), &self.provider, (nth, rate, pair_limit)).await
    }

    /// Another tenant, whose session speaks to the provider at `provider`.
    pub async fn neighbour(&self, provider: &str) -> Result<Neighbour> {
        let (tenant, key) = tenant(&self.operator, "small").await?;
        app(&self.running, tenant, 2).await?;
        Ok(Neighbour {
            key,
            session: session(&self.running, (tenant, 2), provider, unpaced(NEIGHBOUR)).await?,
        })
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

/// A new tenant and a key of its own.
async fn tenant(operator: &Client, name: &str) -> Result<(TenantId, String)> {
    let tenant = text(&operator.post("/v1/tenants", &json!({"name": name})).await?, "id")?;
    let operator = operator.with("kabar-tenant", tenant.clone());
    let key = operator.post("/v1/keys", &json!({"name": "bench"})).await?;
    Ok((tenant.parse()?, text(&key, "secret")?))
}

async fn app(running: &Running, tenant: TenantId, id: u64) -> Result<()> {
    let created = Timestamp(running.node.clock().now_ms());
    let (app_secrets, verify_token) = (vec!["bench-app-secret".to_owned()], "bench-verify-token".to_owned());
    let app = MetaApp { id, tenant, app_secrets, verify_token, meta_id: None, created };
    running.node.store().nouns.create(&app).await?;
    Ok(())
}

/// A rate no provider gives, which the API would refuse: most benches measure Kabar, not its pacing.
fn unpaced(nth: u64) -> (u64, u32, bool) {
    (nth, 1_000_000, false)
}

/// The nth number with its pace.
async fn session(
    running: &Running,
    of: (TenantId, u64),
    provider: &str,
    (nth, messages_per_second, pair_limit): (u64, u32, bool),
) -> Result<String> {
    let created = Timestamp(running.node.clock().now_ms());
    let session = Session {
        id: SessionId::random(created, nth + 1),
        tenant: of.0,
        name: format!("bench {nth}"),
        app: of.1,
        phone_number_id: child::number(nth),
        display_phone_number: format!("1555020{nth:04}"),
        base_url: Some(provider.to_owned()),
        api_version: "v26.0".to_owned(),
        access_token: TOKEN.to_owned(),
        messages_per_second,
        pair_limit,
        created,
    };
    running.node.store().nouns.create(&session).await?;
    Ok(session.id.to_string())
}

/// A text field of an answer.
pub fn text(value: &Value, field: &str) -> Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("no `{field}` in {value}"))
}
