//! Sending through the Cloud API: one message, one call, one outcome. Not pacing, not retries: those are the
//! engine's and the actors'.

use super::{Proofs, answer};
use crate::client::Client;
use crate::{Capabilities, Connector, Secret, metrics};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::Full;
use kabar_engine::address::{Address, AddressKind};
use kabar_engine::cause::Cause;
use kabar_engine::outgoing::{Accepted, Outgoing, Reason, SendError};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the Cloud API can do.
static CAPABILITIES: Capabilities = Capabilities {
    name: "cloud",
    templates: true,
    window: true,
    media_by_link: true,
    media_by_id: true,
    polls: false,
    buttons: true,
    lists: true,
    reactions: true,
    quotes: true,
    read_receipts: true,
    typing: true,
    user_ids: true,
    lids: false,
    groups: false,
    idempotent: false,
    text_max: 4_096,
};

/// Kabar could not build the request (the engine's catalogue).
const INTERNAL: Cause = Cause(8);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("kabar/", env!("CARGO_PKG_VERSION")));
/// Fits a text of the usual length with its envelope: one allocation a send.
const USUAL_BODY: usize = 768;

/// One number of the Cloud API.
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// Scheme, host and port without a path, e.g. `https://graph.facebook.com`.
    pub base_url: String,
    /// The Graph version, e.g. `v26.0`.
    pub api_version: String,
    /// Meta's id of the number, decimal digits.
    pub phone_number_id: String,
    /// The bearer token.
    pub access_token: Secret,
    /// Proofs of the token under its app's secrets.
    pub proofs: Arc<Proofs>,
    /// Milliseconds until a call without an answer is ambiguous; 30,000 is usual.
    pub deadline_ms: u64,
}

/// Why a configuration cannot work. Holds no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not scheme and host, or version and id do not fit into a path.
    #[error("base URL, version and number id make no URL: the base is like https://graph.facebook.com")]
    Url,
    /// The token holds characters that no header may hold.
    #[error("the access token holds a character that is not allowed in a header, such as a line break")]
    Token,
}

/// The Cloud API for one number. Cheap to make: the pool belongs to the [`Client`].
#[derive(Debug)]
pub struct CloudApi {
    client: Client,
    /// The request's URL and authorization, or why there are none.
    target: Result<Target, ConfigError>,
    deadline: Duration,
}

struct Target {
    /// With each proof, and without.
    urls: Vec<Uri>,
    proofs: Arc<Proofs>,
    authorization: HeaderValue,
}

impl std::fmt::Debug for Target {
    /// Without the proofs in the URLs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("proofs", &self.proofs).finish_non_exhaustive()
    }
}

impl CloudApi {
    /// The connector of one number. A configuration that cannot work is reported by [`CloudApi::check`]; sends
    /// through it end with [`SendError::LinkLost`].
    #[must_use]
    pub fn new(client: Client, config: CloudConfig) -> Self {
        let deadline = Duration::from_millis(config.deadline_ms);
        Self { client, target: Target::of(&config), deadline }
    }

    /// Whether the configuration can work at all; asks nobody.
    ///
    /// # Errors
    /// [`ConfigError`] naming the part.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.target.as_ref().map(|_| ()).map_err(|error| *error)
    }

    async fn attempt(&self, m: &Outgoing) -> Result<Accepted, SendError> {
        let Ok(target) = &self.target else {
            return Err(SendError::link_lost());
        };
        let bytes = body(m)?;
        let mut way = target.proofs.at();
        let outcome = loop {
            let mut request = Request::new(Full::new(bytes.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = target.urls[way].clone();
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, target.authorization.clone());
            headers.insert(CONTENT_TYPE, JSON);
            headers.insert(ACCEPT, JSON);
            headers.insert(USER_AGENT, AGENT);
            let outcome = self.client.call(request, self.deadline).await;
            if !target.proofs.is_refused(way, &outcome) {
                break outcome;
            }
            way += 1;
        };
        match answer::read(&outcome) {
            // An object that is not there is the number, unless the words name media of this message.
            Err(SendError::LinkLost(reason)) => {
                let missing = answer::media_missing(&outcome, &m.content);
                Err(missing.map_or(SendError::LinkLost(reason), SendError::Rejected))
            }
            told => told,
        }
    }
}

impl Target {
    fn of(config: &CloudConfig) -> Result<Self, ConfigError> {
        let CloudConfig { base_url, api_version, phone_number_id, access_token, .. } = config;
        let text = format!("{}/{api_version}/{phone_number_id}/messages", base_url.trim_end_matches('/'));
        let parsed = |way| config.proofs.url(&text, way).parse::<Uri>().map_err(|_| ConfigError::Url);
        let urls: Vec<Uri> = (0..config.proofs.ways()).map(parsed).collect::<Result<_, _>>()?;
        let plain =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
        if !matches!(urls[0].scheme_str(), Some("http" | "https"))
            || !plain(api_version)
            || !plain(phone_number_id)
        {
            return Err(ConfigError::Url);
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", access_token.expose()))
            .map_err(|_| ConfigError::Token)?;
        authorization.set_sensitive(true);
        Ok(Self { urls, proofs: Arc::clone(&config.proofs), authorization })
    }
}

impl Connector for CloudApi {
    fn send<'a>(&'a self, m: &'a Outgoing) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            let began = Instant::now();
            let outcome = self.attempt(m).await;
            metrics::sent(&outcome, began.elapsed());
            outcome
        })
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }
}

/// The body of the call: envelope and content in one buffer.
fn body(m: &Outgoing) -> Result<Bytes, SendError> {
    let (field, value) = recipient(&m.to)?;
    let mut buffer = Vec::with_capacity(USUAL_BODY);
    buffer.extend_from_slice(br#"{"messaging_product":"whatsapp","recipient_type":"individual",""#);
    buffer.extend_from_slice(field.as_bytes());
    // An address and a reference are letters, digits, dots and bars: nothing in them needs escaping.
    buffer.extend_from_slice(br#"":""#);
    buffer.extend_from_slice(value.as_bytes());
    buffer.extend_from_slice(br#"","biz_opaque_callback_data":""#);
    write!(buffer, "{}", m.reference).expect("invariant: writing to memory does not fail");
    buffer.push(b'"');
    if let Some(context) = &m.context {
        buffer.extend_from_slice(br#","context":{"message_id":"#);
        json(&mut buffer, context)?;
        buffer.push(b'}');
    }
    if let Some(identity) = &m.identity {
        buffer.extend_from_slice(br#","recipient_identity_key_hash":"#);
        json(&mut buffer, identity)?;
    }
    // The content writes itself as an object of its own; its opening brace becomes the comma between the two.
    let joint = buffer.len();
    json(&mut buffer, &*m.content)?;
    buffer[joint] = b',';
    Ok(buffer.into())
}

fn recipient(to: &Address) -> Result<(&'static str, &str), SendError> {
    match to.kind() {
        AddressKind::Phone => Ok(("to", to.value())),
        AddressKind::UserId => Ok(("recipient", to.value())),
        AddressKind::Lid => Err(rejected("The Cloud API takes no LID as a recipient.")),
    }
}

fn json(buffer: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) -> Result<(), SendError> {
    serde_json::to_writer(buffer, value).map_err(|_| rejected("The content cannot be written as JSON."))
}

fn rejected(detail: &str) -> SendError {
    SendError::Rejected(Reason { cause: INTERNAL, detail: detail.to_owned(), trace: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_engine::content::Content;
    use kabar_engine::id::{CampaignId, SessionId};
    use kabar_engine::outgoing::Reference;
    use serde_json::{Value, json};
    use std::hint::black_box;
    use std::sync::Arc;

    fn outgoing(to: Address, content: Value) -> Outgoing {
        Outgoing {
            session: SessionId(1),
            reference: Reference::Campaign(CampaignId(77), 12),
            to,
            content: Arc::new(Content::from_json(&content).unwrap()),
            context: None,
            identity: None,
        }
    }

    fn phone() -> Address {
        Address::phone_digits("15550100001").unwrap()
    }

    #[test]
    fn the_body_is_metas_envelope_around_the_content() {
        let mut m = outgoing(phone(), json!({"type": "text", "text": {"body": "a \"b\" \u{1f44d}\n"}}));
        (m.context, m.identity) = (Some("wamid.\"X".into()), Some("DF2l\"=".into()));
        let value: Value = serde_json::from_slice(&body(&m).unwrap()).unwrap();
        assert_eq!(
            value,
            json!({
                "messaging_product": "whatsapp", "recipient_type": "individual", "to": "15550100001",
                "biz_opaque_callback_data": m.reference.to_string(), "context": {"message_id": "wamid.\"X"},
                "recipient_identity_key_hash": "DF2l\"=",
                "type": "text", "text": {"body": "a \"b\" \u{1f44d}\n"}
            })
        );
    }

    #[test]
    fn every_kind_of_content_keeps_its_shape() {
        for content in [
            json!({"type": "image", "image": {"link": "https://cdn.example/1.jpg", "caption": "c"}}),
            json!({"type": "template", "template": {"name": "n", "language": {"code": "id"}, "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "Ana"}]}]}}),
            json!({"type": "interactive", "interactive": {"type": "button", "body": {"text": "?"}}}),
            json!({"type": "reaction", "reaction": {"message_id": "wamid.A", "emoji": ""}}),
            json!({"type": "location", "location": {"latitude": "48.2", "longitude": "16.3"}}),
        ] {
            let sent: Value =
                serde_json::from_slice(&body(&outgoing(phone(), content.clone())).unwrap()).unwrap();
            for (key, value) in content.as_object().unwrap() {
                assert_eq!(&sent[key], value);
            }
        }
    }

    #[test]
    fn a_user_id_goes_as_recipient_and_a_lid_goes_nowhere() {
        let text = json!({"type": "text", "text": {"body": "hi"}});
        let m = outgoing(Address::user_id("US.13491208655302741918").unwrap(), text.clone());
        let value: Value = serde_json::from_slice(&body(&m).unwrap()).unwrap();
        assert_eq!(value["recipient"], "US.13491208655302741918");
        assert_eq!(value.get("to"), None);
        let refused = body(&outgoing(Address::lid("123456").unwrap(), text));
        assert!(matches!(refused, Err(SendError::Rejected(Reason { cause: INTERNAL, .. }))));
    }

    #[test]
    fn a_configuration_that_cannot_work_says_which_part() {
        let good = CloudConfig {
            base_url: "https://graph.facebook.com/".into(),
            api_version: "v26.0".into(),
            phone_number_id: "106000000000001".into(),
            access_token: "EAAG".into(),
            proofs: Arc::default(),
            deadline_ms: 30_000,
        };
        let check = |config: CloudConfig| CloudApi::new(Client::for_providers(), config).check();
        assert_eq!(
            Target::of(&good).unwrap().urls,
            ["https://graph.facebook.com/v26.0/106000000000001/messages"]
        );
        assert_eq!(check(good.clone()), Ok(()));
        assert_eq!(check(CloudConfig { base_url: "graph".into(), ..good.clone() }), Err(ConfigError::Url));
        assert_eq!(
            check(CloudConfig { phone_number_id: "1/2?".into(), ..good.clone() }),
            Err(ConfigError::Url)
        );
        assert_eq!(
            check(CloudConfig { access_token: "a\nb".into(), ..good.clone() }),
            Err(ConfigError::Token)
        );
        assert!(!format!("{good:?}").contains("EAAG"));
        assert!(!format!("{:?}", Target::of(&good).unwrap()).contains("EAAG"));
    }

    /// Prints what a body costs; asserts nothing about time.
    #[test]
    fn the_cost_of_a_body_is_printed() {
        let text = json!({"type": "text", "text": {"body": "Halo Ana, your order A-81 is on its way. Reply STOP to stop."}});
        let template = json!({"type": "template", "template": {"name": "order_update", "language": {"code": "id"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "A-81"}]}]}});
        for (name, content) in [("text", text), ("template", template)] {
            let m = outgoing(phone(), content);
            let rounds = 20_000_u32;
            let began = Instant::now();
            for _ in 0..rounds {
                black_box(body(black_box(&m)).unwrap());
            }
            println!("body of a {name}: {:.2} µs", began.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
        }
    }
}
