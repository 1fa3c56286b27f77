//! A server that was given everything that must stay private, each with a mark of its own, on the real binary: what a
//! thief of its folder or a reader of its log then looks for. Not a test.

use super::house::OPERATOR;
use super::killed::Server;
use super::receiver::Receiver;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kabar_sandbox::{Behaviour, Inbound, InboundMedia, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);
/// The number of the one who writes, and of the one whose message fails to be a number.
pub const PERSON: &str = "6281277001122";
/// Marks of what is secret for good: bodies, variables, contact fields, secrets.
pub const SECRETS: &[&str] = &[
    "MarkBodyOut",
    "MarkBodyIn",
    "MarkTemplateText",
    "MarkTemplateParameter",
    "MarkCampaignText",
    "MarkContactName",
    "MarkContactVariable",
    "MarkImportedName",
    "MarkImportedCity",
    "MarkBadRow",
    "MarkSenderName",
    "MarkStrayBody",
    "MarkAppSecret",
    "MarkVerifyToken",
    "MarkAccessToken",
    "MarkWebhookToken",
    "MarkFileBytes",
    "MarkFileName",
    "MarkSentBytes",
    "MarkSentName",
];

/// What ran.
pub struct Busy {
    pub server: Server,
    /// The tenant's key, which was shown once.
    pub key: String,
    pub message: String,
    /// The subscription, and the secrets it signed with; each was shown once.
    pub webhook: String,
    pub signing: Vec<String>,
    sandbox: Sandbox,
    receiver: Receiver,
    bearer: String,
}

impl Busy {
    pub async fn run(folder: &Path, more: &[(&str, &str)], said: Stdio) -> Self {
        let config = SandboxConfig {
            behaviour: Behaviour::default(),
            app_secret: "MarkAppSecret".into(),
            verify_token: "MarkVerifyToken".into(),
            access_tokens: vec!["MarkAccessToken".into()],
            ..SandboxConfig::default()
        };
        let sandbox = Sandbox::start(config).await.unwrap();
        let more: Vec<_> =
            more.iter().copied().chain([("KABAR__OUTBOUND__ALLOW_NETWORKS", "127.0.0.0/8")]).collect();
        let server = Server::with(folder, &more, said).await;
        let bearer = server.tenant().await;
        let key = bearer.trim_start_matches("Bearer ").to_owned();
        let receiver = Receiver::open(|_, before| if before.is_empty() { 500 } else { 200 }).await;
        let (message, webhook, signing) = (String::new(), String::new(), Vec::new());
        let mut busy = Self { server, key, message, webhook, signing, sandbox, receiver, bearer };
        let session = busy.link().await;
        busy.subscribe().await;
        busy.converse(&session).await;
        busy.campaign(&session).await;
        busy.brought().await;
        busy
    }

    /// An address that holds a secret of its own, as many do; and one that is refused.
    async fn subscribe(&mut self) {
        let wanted = json!({"url": format!("{}?token=MarkWebhookToken", self.receiver.url())});
        let made = self.ask("POST /v1/webhooks", wanted).await;
        self.webhook = made["id"].as_str().unwrap().to_owned();
        let replaced =
            self.ask(&format!("POST /v1/webhooks/{}/rotate-secret", self.webhook), Value::Null).await;
        for secret in [made, replaced] {
            let text = secret["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap().to_owned();
            self.signing.push(text);
        }
        let (headers, inside) =
            ([("authorization", self.bearer.as_str())], "http://10.0.0.1/MarkWebhookToken");
        let (status, told) =
            self.server.call("POST /v1/webhooks", &headers, json!({"url": inside}).to_string()).await;
        assert_eq!(status, 422, "{told}");
    }

    /// Waits until it was brought something, after it had refused something.
    async fn brought(&self) {
        let path = format!("/v1/webhooks/{}/deliveries?limit=200", self.webhook);
        let has = |page: &Value, outcome: &str| {
            page["data"].as_array().unwrap().iter().any(|line| line["outcome"] == outcome)
        };
        self.until(&path, |page| has(page, "again") && has(page, "delivered")).await;
    }

    async fn ask(&self, what: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.server.call(what, &[("authorization", &self.bearer)], body).await;
        assert!((200..300).contains(&status), "{what}: {answer}");
        answer
    }

    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let (mut turn, begin) = (tokio::time::interval(Duration::from_millis(20)), Instant::now());
        loop {
            turn.tick().await;
            let seen = self.ask(&format!("GET {path}"), Value::Null).await;
            if wanted(&seen) {
                return seen;
            }
            assert!(begin.elapsed() < DEADLINE, "waited in vain: {seen:#}");
        }
    }

    async fn link(&self) -> String {
        let config = self.sandbox.config();
        let app = json!({"app_secrets": [config.app_secret], "verify_token": config.verify_token});
        let app = self.ask("POST /v1/apps", app).await;
        let number = &config.numbers[0];
        let session = json!({
            "name": "test", "app": app["id"], "phone_number_id": number.phone_number_id,
            "display_phone_number": number.display_phone_number, "access_token": config.access_tokens[0],
            "messages_per_second": 1000, "base_url": self.sandbox.base_url(),
        });
        // A base URL is the operator's to give.
        let tenants = self
            .server
            .call("GET /v1/tenants", &[("authorization", &format!("Bearer {OPERATOR}"))], "")
            .await;
        let tenant = tenants.1["data"][0]["id"].as_str().unwrap().to_owned();
        let headers = [("authorization", format!("Bearer {OPERATOR}")), ("kabar-tenant", tenant)];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (_, session) = self.server.call("POST /v1/sessions", &headers, session.to_string()).await;
        let webhook = format!("http://{}{}", self.server.at, app["webhook_path"].as_str().unwrap());
        self.sandbox.set_webhook(&webhook).await.unwrap();
        session["id"].as_str().unwrap_or_else(|| panic!("{session}")).to_owned()
    }

    /// Both directions, and a word to a number nobody linked.
    async fn converse(&mut self, session: &str) {
        let template = json!({"name": "halo", "language": {"code": "id"}, "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "MarkTemplateParameter"}]}]});
        let sent = json!({"session": session, "to": PERSON, "type": "template", "template": template});
        self.message = self.ask("POST /v1/messages", sent).await["id"].as_str().unwrap().to_owned();
        let word = Inbound {
            phone_number_id: self.sandbox.config().numbers[0].phone_number_id.clone(),
            from: PERSON.into(),
            name: Some("MarkSenderName".into()),
            text: Some("MarkBodyIn".into()),
            ..Inbound::default()
        };
        self.sandbox.inbound(&word).unwrap();
        let path = format!("/v1/conversations?session={session}");
        self.until(&path, |page| page["data"][0]["unread"].as_u64() == Some(1)).await;
        let answer = json!({"session": session, "to": PERSON, "text": {"body": "MarkBodyOut"}});
        let answer = self.ask("POST /v1/messages", answer).await["id"].as_str().unwrap().to_owned();
        self.until(&format!("/v1/messages/{answer}"), |m| m["status"] != "queued").await;
        self.files(session).await;
        self.stray().await;
        // Every kind of refusal passes the log too.
        for (path, body) in [
            (
                "/v1/messages",
                json!({"session": session, "to": "MarkBadRow", "text": {"body": "MarkBodyOut"}}),
            ),
            (
                "/v1/messages",
                json!({"session": session, "to": PERSON, "text": {"body": 7}, "MarkBodyOut": 1}),
            ),
            ("/v1/contacts", json!({"phone": PERSON, "name": "MarkContactName"})),
        ] {
            let (what, headers) = (format!("POST {path}"), [("authorization", self.bearer.as_str())]);
            let (status, _) = self.server.call(&what, &headers, body.to_string()).await;
            assert!(status >= 400, "{path}: {status}");
        }
    }

    /// A file of the tenant's in a message, and one that a person sends.
    async fn files(&self, session: &str) {
        let file = json!({"base64": STANDARD.encode("MarkFileBytes"), "filename": "MarkFileName.txt"});
        let media = self.ask("POST /v1/media", file).await["id"].clone();
        let document =
            json!({"session": session, "to": PERSON, "type": "document", "document": {"id": media}});
        let sent = self.ask("POST /v1/messages", document).await["id"].as_str().unwrap().to_owned();
        self.until(&format!("/v1/messages/{sent}"), |m| m["status"] != "queued").await;
        let sent = InboundMedia {
            mime_type: "application/zip".into(),
            base64: STANDARD.encode("MarkSentBytes"),
            filename: Some("MarkSentName.zip".into()),
            ..InboundMedia::default()
        };
        let word = Inbound {
            phone_number_id: self.sandbox.config().numbers[0].phone_number_id.clone(),
            from: PERSON.into(),
            media: Some(sent),
            ..Inbound::default()
        };
        self.sandbox.inbound(&word).unwrap();
        self.until("/v1/media", |page| page["data"].as_array().is_some_and(|all| all.len() == 2)).await;
    }

    /// Signed, and for a number that is no session's; beside it something about the account.
    async fn stray(&self) {
        use hmac::Mac;
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
            "messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550009999", "phone_number_id": "999000000000001"},
            "contacts": [{"profile": {"name": "x"}, "wa_id": PERSON}],
            "messages": [{"from": PERSON, "id": "wamid.stray", "timestamp": "1790000000", "type": "text",
                "text": {"body": "MarkStrayBody"}}]}},
            {"field": "account_alerts", "value": {"alert_info": {"alert_type": "OBA_APPROVED"}}}]}]})
        .to_string();
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"MarkAppSecret").unwrap();
        mac.update(body.as_bytes());
        let signature: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let apps = self.ask("GET /v1/apps", Value::Null).await;
        let path = format!("POST {}", apps["data"][0]["webhook_path"].as_str().unwrap());
        let headers = [("x-hub-signature-256", format!("sha256={signature}"))];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (status, answer) = self.server.call(&path, &headers, body).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// Stored text, a file with good and bad rows, a contact, and a campaign that ends.
    async fn campaign(&self, session: &str) {
        let text =
            json!({"name": "stored", "message": {"type": "text", "text": {"body": "MarkTemplateText"}}});
        self.ask("POST /v1/templates", text).await;
        let contact = json!({"address": "+6281277003344", "name": "MarkContactName", "fields": {"city": "MarkContactVariable"}});
        self.ask("POST /v1/contacts", contact).await;
        let mut csv = String::from("name,phone,city\nMarkBadRow,MarkBadRow,x\n");
        (0..40).for_each(|n| csv += &format!("MarkImportedName,0812770055{n:02},MarkImportedCity\n"));
        let headers = [("authorization", self.bearer.as_str()), ("content-type", "text/csv")];
        let path = "POST /v1/contacts/import?name=people&default_region=ID";
        let (_, import) = self.server.call(path, &headers, csv).await;
        let errors = format!("GET /v1/imports/{}/errors", import["id"].as_str().unwrap());
        let (status, _) = self.server.call(&errors, &headers[..1], "").await;
        assert_eq!((status, &import["invalid"]), (200, &json!(1)), "{import}");
        let parameter = json!({"type": "text", "text": "MarkCampaignText {{name}} {{city}}"});
        let campaign = json!({"name": "sale", "senders": [session], "audience": {"list": import["id"]}, "message": {
            "type": "template", "template": {"name": "halo", "language": {"code": "id"},
            "components": [{"type": "body", "parameters": [parameter]}]}}});
        let id = self.ask("POST /v1/campaigns", campaign).await["id"].as_str().unwrap().to_owned();
        self.ask(&format!("POST /v1/campaigns/{id}/launch"), Value::Null).await;
        self.until(&format!("/v1/campaigns/{id}"), |c| c["state"] == "finished").await;
    }

    /// Killed where it stands.
    pub async fn kill(mut self) {
        self.server.child.kill().await.unwrap();
        self.sandbox.stop().await;
        self.receiver.stop();
    }
}
