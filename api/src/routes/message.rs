//! `/v1/messages`: single messages out, and any message with its timeline. The body is Meta's message object with
//! our `session` and `options` beside it.

pub(crate) mod read;
mod shown;
pub(crate) mod why;

pub(crate) use shown::Shown;

use super::{address, media};
use crate::auth::For;
use crate::auth::gate::limited;
use crate::auth::purse::Rate;
use crate::body::{Id, Idempotent, Json};
use crate::create::answer;
use crate::openapi::{content, shapes};
use crate::problem::{Code, Problem};
use crate::secret;
use crate::state::ApiState;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use kabar_actors::view::MessageView;
use kabar_engine::address::Address;
use kabar_engine::entry::Idempotency;
use kabar_engine::id::{MessageId, SessionId};
use kabar_engine::overlay::decide::Draft;
use kabar_engine::pacing::Lane;
use kabar_engine::status::Status;
use kabar_engine::time::{DAY_MS, SECOND_MS, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// How long a message may wait when nothing is said.
const VALID_FOR_S: i64 = DAY_MS / SECOND_MS;
/// Thirty days.
const VALID_FOR_MAX_S: i64 = 30 * VALID_FOR_S;
/// Longest tag of the caller, characters: Meta's bound.
const TAG_MAX: usize = 512;
/// Longest hash of an identity, characters; Meta's are shorter.
const IDENTITY_MAX: usize = 256;
/// How far ahead a message may be scheduled.
const SEND_AT_MAX_MS: i64 = 365 * DAY_MS;

/// What stands beside Meta's message object.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    lane: Option<Lane>,
    valid_for_seconds: Option<i64>,
    send_at: Option<String>,
    idempotency_key: Option<String>,
}

/// An accepted message.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedMessage)]
pub(crate) struct Accepted {
    #[schema(value_type = shapes::MessageId)]
    id: MessageId,
    #[schema(value_type = shapes::Status)]
    status: Status,
    status_url: String,
    replayed: bool,
}

impl Accepted {
    /// Which message it is.
    pub(crate) fn id(&self) -> MessageId {
        self.id
    }
}

/// Where single messages are sent to.
pub(crate) const PATH: &str = "/v1/messages";

/// Whether this is one.
pub(crate) fn is_sent(request: &Request) -> bool {
    request.method() == Method::POST && request.uri().path() == PATH
}

/// `POST /v1/messages`: 202 once it is durable.
#[utoipa::path(post, path = "/v1/messages", tag = "messages", operation_id = "sendMessage", summary = "Send one message",
    request_body = content::NewMessage, responses((status = 202, body = Accepted, description = "Durable; it ends as delivered, failed, expired or unknown, never in silence.")),
    extensions(("x-problems" = json!(["invalid_address", "invalid_content", "unknown_reference", "opted_out", "window_closed", "frequency_cap", "outbox_full", "template_unusable", "template_mismatch"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let asked = Asked::read(body.value);
    let accepted = paced(&state, &whom, asked, (key.0, &body.bytes)).await?;
    Ok(answer(StatusCode::ACCEPTED, accepted.replayed, accepted))
}

/// Accepts one message within the rate of the caller's key.
pub(crate) async fn paced(
    state: &ApiState,
    whom: &For,
    asked: Result<Asked, Problem>,
    known: (Option<String>, &[u8]),
) -> Result<Accepted, Problem> {
    let now = state.now();
    if let Some(wait_ms) = whom.pass().and_then(|pass| pass.take_send(now)) {
        return Err(limited(Rate::Send, wait_ms));
    }
    let accepted = match asked {
        Ok(asked) => accept(state, whom, asked, known).await,
        Err(problem) => Err(problem),
    };
    if let Some(pass) = whom.pass().filter(|_| !counts(&accepted)) {
        pass.return_sends(1);
    }
    accepted
}

/// Whether a message was accepted now: what was refused, or accepted earlier, takes nothing from its key's rate.
pub(crate) fn counts(accepted: &Result<Accepted, Problem>) -> bool {
    accepted.as_ref().is_ok_and(|accepted| !accepted.replayed)
}

/// Accepts one message. A repeat is known by its idempotency key, its own before the one of the request, and by
/// the bytes it came in.
pub(crate) async fn accept(
    state: &ApiState,
    whom: &For,
    mut asked: Asked,
    (key, bytes): (Option<String>, &[u8]),
) -> Result<Accepted, Problem> {
    let tenant = whom.tenant;
    let own = match &asked.options.idempotency_key {
        Some(own) => Some(Idempotent::check(own.as_bytes()).map_err(|p| p.at("options.idempotency_key"))?),
        None => None,
    };
    let idempotency = own.or(key).map(|key| Idempotency {
        key: secret::digest_short(key.as_bytes()),
        body: secret::digest_short(bytes),
    });
    if !state.has_session(tenant, asked.session).await? {
        return Err(Problem::unknown_reference("session", "session"));
    }
    whom.check_session(asked.session)?;
    let context = match asked.context {
        Some(quoted) => Some(quote(state, whom, quoted).await?),
        None => None,
    };
    let (due, valid_until) = times(&asked.options, state.now())?;
    let content = media::inline::read(state, tenant, &mut asked.message).await?;
    let draft = Draft {
        tenant,
        session: asked.session,
        to: match asked.to {
            To::Written(text) => address(&text)?,
            To::Known(to) => to,
        },
        content: Arc::new(content),
        lane: asked.options.lane.unwrap_or(Lane::Transactional),
        due,
        valid_until,
        context,
        idempotency,
        by: whom.key,
        tag: asked.tag,
        identity: asked.identity,
        had_enough: false,
    };
    let sent = state.dispatcher.send(draft).await?;
    let status_url = format!("/v1/messages/{}", sent.message);
    Ok(Accepted { id: sent.message, status: Status::Queued, status_url, replayed: sent.replayed })
}

/// Who gets it.
#[derive(Debug, PartialEq, Eq)]
enum To {
    /// As the caller wrote it.
    Written(String),
    /// Read already.
    Known(Address),
}

/// The body, taken apart.
pub(crate) struct Asked {
    session: SessionId,
    to: To,
    context: Option<String>,
    options: Options,
    tag: Option<Arc<str>>,
    identity: Option<Arc<str>>,
    /// Meta's object, not read yet.
    message: Value,
}

impl Asked {
    /// Refuses every field that is neither ours nor Meta's for this type of message.
    pub(crate) fn read(mut body: Map<String, Value>) -> Result<Self, Problem> {
        let session = text(&mut body, "session")?;
        let session = session.parse().map_err(|_| Problem::invalid("session", "an id such as ses_…"))?;
        let to = text(&mut body, "to")?;
        let options: Options = match body.remove("options") {
            Some(options) => serde_json::from_value(options).map_err(|error| {
                Problem::new(Code::InvalidValue, format!("`options`: {error}.")).at("options")
            })?,
            None => Options::default(),
        };
        Self::metas((session, To::Written(to)), options, body)
    }

    /// Of Meta's object alone: from a number, to somebody who was read already.
    pub(crate) fn of(session: SessionId, to: Address, body: Map<String, Value>) -> Result<Self, Problem> {
        Self::metas((session, To::Known(to)), Options::default(), body)
    }

    fn metas(
        (session, to): (SessionId, To),
        options: Options,
        mut body: Map<String, Value>,
    ) -> Result<Self, Problem> {
        word(&mut body, "messaging_product", "whatsapp")?;
        word(&mut body, "recipient_type", "individual")?;
        let context = match body.remove("context") {
            Some(context) if !context.is_null() => Some(quoted(context)?),
            _ => None,
        };
        let tag = body.remove("biz_opaque_callback_data").map(tag).transpose()?;
        let identity = body.remove("recipient_identity_key_hash").map(identity).transpose()?;
        let kind = body.get("type").and_then(Value::as_str).unwrap_or("text").to_owned();
        if let Some(unknown) = body.keys().find(|k| *k != "type" && **k != kind) {
            let detail = format!("Unknown field `{unknown}` in a message of the type `{kind}`.");
            return Err(Problem::new(Code::UnknownField, detail).at(unknown));
        }
        Ok(Self { session, to, context, options, tag, identity, message: Value::Object(body) })
    }
}

fn text(body: &mut Map<String, Value>, field: &str) -> Result<String, Problem> {
    match body.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Problem::invalid(field, "a text")),
        None => Err(Problem::new(Code::MissingField, format!("Missing field `{field}`.")).at(field)),
    }
}

/// The caller's own word for a message.
fn tag(given: Value) -> Result<Arc<str>, Problem> {
    let refused = || {
        Problem::invalid("biz_opaque_callback_data", format_args!("a text of at most {TAG_MAX} characters"))
    };
    match given {
        Value::String(text) if text.chars().count() <= TAG_MAX => Ok(text.into()),
        _ => Err(refused()),
    }
}

/// Who the recipient must still be.
fn identity(given: Value) -> Result<Arc<str>, Problem> {
    match given {
        Value::String(hash) if (1..=IDENTITY_MAX).contains(&hash.chars().count()) => Ok(hash.into()),
        _ => Err(Problem::invalid(
            "recipient_identity_key_hash",
            format_args!("a text of at most {IDENTITY_MAX} characters, as a webhook told it"),
        )),
    }
}

/// A field of Meta's that has one value only.
fn word(body: &mut Map<String, Value>, field: &str, only: &str) -> Result<(), Problem> {
    match body.remove(field) {
        None => Ok(()),
        Some(value) if value.as_str() == Some(only) => Ok(()),
        Some(_) => Err(Problem::invalid(field, format_args!("`{only}`"))),
    }
}

fn quoted(context: Value) -> Result<String, Problem> {
    match context {
        Value::Object(mut fields) => {
            let id = text(&mut fields, "message_id")?;
            match fields.keys().next() {
                None => Ok(id),
                Some(unknown) => {
                    let detail = format!("Unknown field `context.{unknown}`.");
                    Err(Problem::new(Code::UnknownField, detail).at(&format!("context.{unknown}")))
                }
            }
        }
        _ => Err(Problem::invalid("context", "an object with `message_id`")),
    }
}

/// The provider's id of a quoted message; it may be named by ours.
async fn quote(state: &ApiState, whom: &For, quoted: String) -> Result<Arc<str>, Problem> {
    let Ok(id) = quoted.parse::<MessageId>() else { return Ok(quoted.into()) };
    let found = state.dispatcher.message(whom.tenant, id).await?;
    let row = found.ok_or_else(|| Problem::unknown_reference("context.message_id", "message"))?.row;
    whom.check_session(row.session)?;
    let unsent = "a message that WhatsApp has taken";
    row.provider_id.ok_or_else(|| Problem::invalid("context.message_id", unsent))
}

/// Not before, and not after.
fn times(options: &Options, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
    let due = match &options.send_at {
        None => now,
        Some(text) => {
            let at = Timestamp::from_rfc3339(text);
            let near = at.filter(|at| at.since_ms(now) <= SEND_AT_MAX_MS);
            let allowed = "a moment such as 2026-12-24T18:00:00+07:00, at most a year ahead";
            near.ok_or_else(|| Problem::invalid("options.send_at", allowed))?.max(now)
        }
    };
    let valid_for = options.valid_for_seconds.unwrap_or(VALID_FOR_S);
    if !(1..=VALID_FOR_MAX_S).contains(&valid_for) {
        return Err(Problem::invalid("options.valid_for_seconds", format!("from 1 to {VALID_FOR_MAX_S}")));
    }
    Ok((due, due.plus_ms(valid_for * SECOND_MS)))
}

/// The tenant's message, of a session the key is for.
async fn found(state: &ApiState, whom: &For, id: MessageId) -> Result<MessageView, Problem> {
    let found = state.dispatcher.message(whom.tenant, id).await?;
    let found = found.ok_or_else(|| Problem::no_such("message"))?;
    whom.check_session(found.row.session)?;
    Ok(found)
}

/// `GET /v1/messages/{id}`
#[utoipa::path(get, path = "/v1/messages/{id}", tag = "messages", operation_id = "getMessage", summary = "Read a message with its timeline",
    params(("id" = shapes::MessageId, Path, description = "The message.")), responses((status = 200, body = Shown, description = "The message as it stands now.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<MessageId>,
) -> Result<axum::Json<Shown>, Problem> {
    Ok(axum::Json(found(&state, &whom, id).await?.into()))
}

/// `DELETE /v1/messages/{id}`: cancels it while it waits. With an idempotency key a repeat is answered like the first time;
/// the key counts in the message's session, among those of its sends.
#[utoipa::path(delete, path = "/v1/messages/{id}", tag = "messages", operation_id = "cancelMessage", summary = "Cancel a message while it waits",
    params(("id" = shapes::MessageId, Path, description = "The message.")), responses((status = 200, body = Shown, description = "The message, cancelled.")),
    extensions(("x-problems" = json!(["wrong_phase"]))))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    Id(id): Id<MessageId>,
) -> Result<Response, Problem> {
    let asked = key.hashes(&[b"cancel message", id.to_string().as_bytes()]);
    if whom.sessions().is_some() {
        found(&state, &whom, id).await?;
    }
    let acted = state.dispatcher.cancel_message(whom.tenant, id, asked).await?;
    let shown = Shown::from(found(&state, &whom, id).await?);
    Ok(answer(StatusCode::OK, acted.replayed, shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_engine::content::Content;
    use serde_json::json;

    fn read(body: Value) -> Result<Asked, Problem> {
        let Value::Object(body) = body else { panic!("an object is expected") };
        let asked = Asked::read(body)?;
        Content::from_json(&asked.message)?.validate()?;
        Ok(asked)
    }

    #[test]
    fn metas_message_object_is_taken_as_it_is() {
        let session = SessionId(7).to_string();
        let asked = read(json!({
            "messaging_product": "whatsapp", "recipient_type": "individual", "session": session,
            "to": "6281234567890", "type": "text", "text": {"body": "Halo"}, "context": {"message_id": "wamid.1"},
            "options": {"lane": "reply", "valid_for_seconds": 60}
        }))
        .unwrap();
        assert_eq!((asked.session, asked.to), (SessionId(7), To::Written("6281234567890".into())));
        assert_eq!(
            (asked.message["text"]["body"].as_str(), asked.context.as_deref()),
            (Some("Halo"), Some("wamid.1"))
        );
        assert_eq!((asked.options.lane, asked.options.valid_for_seconds), (Some(Lane::Reply), Some(60)));
    }

    #[test]
    fn what_is_not_known_or_not_possible_is_named() {
        let session = SessionId(7).to_string();
        let base = json!({"session": session, "to": "62812", "text": {"body": "a"}});
        for (field, value, words) in [
            ("txet", json!({"body": "b"}), "`txet`"),
            ("image", json!({"link": "https://a.example/b.jpg"}), "`image`"),
            ("messaging_product", json!("telegram"), "`whatsapp`"),
            ("session", json!("ses_1"), "ses_…"),
            ("to", json!(62812), "`to` must be a text"),
            ("options", json!({"lane": "fast"}), "unknown variant `fast`"),
            ("options", json!({"prio": 1}), "unknown field `prio`"),
            ("context", json!({"id": "x"}), "`message_id`"),
            ("context", json!({"message_id": "x", "from": "y"}), "`context.from`"),
            ("biz_opaque_callback_data", json!("x".repeat(513)), "at most 512"),
            ("recipient_identity_key_hash", json!(""), "at most 256"),
            ("recipient_identity_key_hash", json!(7), "at most 256"),
            ("text", json!({}), "text.body"),
            ("text", json!({"body": "x".repeat(5_000)}), "text.body"),
        ] {
            let mut body = base.clone();
            body[field] = value;
            let refused = read(body).err().map(|p| format!("{p:?}")).unwrap_or_default();
            assert!(refused.contains(words), "{field}: {refused}");
        }
    }

    #[test]
    fn a_message_waits_and_expires_when_it_was_told_to() {
        let now = Timestamp(1_790_000_000_000);
        let (due, until) = times(&Options::default(), now).unwrap();
        assert_eq!((due, until), (now, now.plus_ms(DAY_MS)));
        let at = |text: &str| Options { send_at: Some(text.into()), ..Options::default() };
        let later = now.plus_ms(3_600_000);
        let (due, until) = times(&at(&later.to_rfc3339()), now).unwrap();
        assert_eq!((due, until), (later, later.plus_ms(DAY_MS)));
        assert_eq!(times(&at("2020-01-01T00:00:00Z"), now).unwrap().0, now);
        assert!(times(&at("2999-01-01T00:00:00Z"), now).is_err() && times(&at("soon"), now).is_err());
        let zero = Options { valid_for_seconds: Some(0), ..Options::default() };
        assert!(times(&zero, now).is_err());
    }
}
