//! `/v1/webhooks`: subscriptions to events. Making, changing, replacing secrets; what is delivered when is the actors'
//! matter. Not the webhooks of providers, which come in: those are `webhook`.

pub(crate) mod delivery;
pub(crate) mod replay;
mod shown;

use super::{TRIES, present};
use crate::auth::For;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, chosen};
use crate::problem::{Code, Problem};
use crate::secret;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kabar_actors::Guard;
use kabar_engine::event::Kind;
use kabar_engine::id::{SessionId, TenantId, WebhookId};
use kabar_engine::subscription::Envelope;
use kabar_engine::time::Timestamp;
use kabar_schema::StoreError;
use kabar_schema::records::{OldSecret, Standing, Subscription, Versioned, WhyDisabled};
use serde::Deserialize;
use shown::{Made, Shown, Stands};
use utoipa::ToSchema;

/// Longest address.
const URL_MAX: usize = 2_048;
/// Most numbers one subscription can name.
const SESSIONS_MAX: usize = 100;
/// A replaced secret goes on signing for so long (ms).
const OLD_SECRET_MS: i64 = 86_400_000;
/// Replaced secrets that sign at the same time.
const OLD_SECRETS_MAX: usize = 3;

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewWebhook, example = json!({"url": "https://example.com/kabar", "types": ["message.received", "message.failed"]}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Where to: http or https, without user and password.
    #[schema(max_length = 2048)]
    url: String,
    /// In whose words it is told: `kabar` (Standard Webhooks) when not said, or `meta`: the Cloud API's own webhooks, for
    /// programs that were written for Meta.
    #[serde(default)]
    #[schema(value_type = Option<shapes::Envelope>)]
    envelope: Envelope,
    /// With `meta`, and needed there: the address is asked with it at once, and has to answer as Meta wants it.
    #[schema(min_length = 1, max_length = 256)]
    verify_token: Option<String>,
    /// With `meta`: what signs, if it is to be one the receiver has already (its app secret); else one is made.
    #[schema(min_length = 16, max_length = 256)]
    secret: Option<String>,
    /// Only these types; all, also those that are still to come, when not said.
    #[serde(default)]
    #[schema(value_type = Option<Vec<shapes::EventType>>)]
    types: Option<Vec<String>>,
    /// Only events of these numbers; also those of no number when not said.
    #[serde(default)]
    #[schema(value_type = Option<Vec<shapes::SessionId>>)]
    sessions: Option<Vec<String>>,
}

/// A merge patch (RFC 7396): what is absent stays, what is null goes.
#[derive(Deserialize, ToSchema)]
#[schema(as = WebhookPatch, example = json!({"types": null}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 2048)]
    url: Option<Option<String>>,
    /// Needed with a new `url` where the envelope is `meta`: the new address is asked with it.
    #[schema(min_length = 1, max_length = 256)]
    verify_token: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<shapes::EventType>>)]
    types: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<shapes::SessionId>>)]
    sessions: Option<Option<Vec<String>>>,
    /// False stops the deliveries, true goes on where they stood.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    enabled: Option<Option<bool>>,
}

/// A secret nobody has seen: of the standard's form, or like the secret of a Meta app.
fn fresh_secret(envelope: Envelope) -> String {
    if envelope == Envelope::Meta {
        return secret::digest_hex(&secret::random())[..32].to_owned();
    }
    format!("whsec_{}", STANDARD.encode(&secret::random()[..24]))
}

/// An address as it is kept. Whether it may be connected to is judged at every connection; what its text shows to be
/// refused there is refused here, so that it is learnt at once.
fn url(given: &str, guard: &Guard) -> Result<String, Problem> {
    let refused = || Problem::invalid("url", "an absolute http or https address without user and password");
    let text = given.trim();
    if text.len() > URL_MAX || text.contains('#') {
        return Err(refused());
    }
    let uri: Uri = text.parse().map_err(|_| refused())?;
    let host = uri.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
    if !host || !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(refused());
    }
    if guard.refuses_text(uri.host().unwrap_or_default()) {
        return Err(Problem::invalid(
            "url",
            "an address of the public internet, or of a network the operator allows",
        ));
    }
    Ok(text.to_owned())
}

/// A secret the receiver has already.
fn own_secret(envelope: Envelope, given: Option<String>) -> Result<Option<String>, Problem> {
    let Some(secret) = given else { return Ok(None) };
    if envelope != Envelope::Meta {
        return Err(Problem::invalid("secret", "left out unless `envelope` is `meta`"));
    }
    let good = (16..=256).contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_graphic());
    good.then_some(Some(secret))
        .ok_or_else(|| Problem::invalid("secret", "16 to 256 printable characters without blanks"))
}

/// Meta asks an address whether it is meant before anything is told to it.
async fn shake_hands(state: &ApiState, url: &str, token: Option<String>) -> Result<(), Problem> {
    let token = token.filter(|token| (1..=256).contains(&token.len()));
    let token = token
        .ok_or_else(|| Problem::invalid("verify_token", "1 to 256 characters, with `envelope` `meta`"))?;
    match state.dispatcher.verify_webhook(url, &token).await {
        Some(true) => Ok(()),
        Some(false) => {
            Err(Problem::new(Code::WebhookUnverified, "The address did not answer with the challenge.")
                .at("url"))
        }
        None => Err(Problem::new(Code::Unavailable, "Nobody delivers yet.")),
    }
}

fn types(given: Option<Vec<String>>, envelope: Envelope) -> Result<Option<Vec<String>>, Problem> {
    let Some(words) = given else { return Ok(None) };
    let refused = || Problem::invalid("types", "a list of types of events, at least one");
    if words.is_empty() || words.len() > Kind::ALL.len() {
        return Err(refused());
    }
    let told = |kind: Kind| envelope == Envelope::Kabar || kind.is_metas();
    let known = words.iter().all(|word| Kind::from_word(word).is_some_and(told));
    known.then_some(Some(words)).ok_or_else(refused)
}

async fn sessions(
    state: &ApiState,
    whom: &For,
    given: Option<Vec<String>>,
) -> Result<Option<Vec<SessionId>>, Problem> {
    let Some(texts) = given else { return own(whom, None).map(|()| None) };
    if texts.is_empty() || texts.len() > SESSIONS_MAX {
        return Err(Problem::invalid("sessions", format_args!("a list of 1 to {SESSIONS_MAX} sessions")));
    }
    let mut sessions = Vec::with_capacity(texts.len());
    for text in texts {
        let unknown = || Problem::unknown_reference("sessions", "session");
        let id: SessionId = text.parse().map_err(|_| unknown())?;
        if !state.has_session(whom.tenant, id).await? {
            return Err(unknown());
        }
        sessions.push(id);
    }
    own(whom, Some(&sessions))?;
    Ok(Some(sessions))
}

/// Refuses events of sessions that the key is not for; who names no sessions means all events.
fn own(whom: &For, sessions: Option<&[SessionId]>) -> Result<(), Problem> {
    match sessions {
        Some(sessions) => whom.check_sessions(sessions.iter()),
        None if whom.sessions().is_none() => Ok(()),
        None => Err(For::not_for("The key is for some sessions only: name those in `sessions`.")),
    }
}

/// The tenant's subscription, to sessions the key is for.
async fn found(state: &ApiState, whom: &For, id: WebhookId) -> Result<Versioned<Subscription>, Problem> {
    let found = state.nouns().get::<Subscription>(whom.tenant, id.0).await?;
    let found = found.ok_or_else(|| Problem::no_such("webhook"))?;
    own(whom, found.noun.sessions.as_deref())?;
    Ok(found)
}

/// Changes a record until nobody was faster, and has that heeded.
async fn edit(
    state: &ApiState,
    (whom, id): (&For, WebhookId),
    mut change: impl FnMut(&mut Subscription),
) -> Result<Subscription, Problem> {
    for _ in 0..TRIES {
        let stored = found(state, whom, id).await?;
        let mut record = stored.noun.clone();
        change(&mut record);
        if record != stored.noun {
            match state.nouns().update(&record, stored.version).await {
                Ok(_) => state.dispatcher.webhook_changed(whom.tenant, id).await?,
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(record);
    }
    Err(StoreError::Conflict.into())
}

fn switch(record: &mut Subscription, enabled: bool, now: Timestamp) {
    if record.disabled.is_none() != enabled {
        record.disabled = (!enabled).then_some(WhyDisabled::Asked);
        record.switched = now;
    }
}

/// Refuses one more than the tenant may have; a repeat meets the one it made.
async fn room(state: &ApiState, tenant: TenantId, id: WebhookId) -> Result<(), Problem> {
    let most = state.config.server.webhooks_max;
    let before = state.nouns().page::<Subscription>(tenant, None, None, most).await?;
    if before.len() < most || state.nouns().get::<Subscription>(tenant, id.0).await?.is_some() {
        return Ok(());
    }
    Err(Problem::new(Code::WebhookLimit, format!("The tenant has {most} webhook subscriptions already.")))
}

/// `POST /v1/webhooks`: the only answer with the secret; a replay has none.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", operation_id = "createWebhook", summary = "Subscribe an address to events",
    request_body = Wanted, responses((status = 201, body = Made, description = "Subscribed: what happens from now on is delivered. The only answer with the secret; a replay has none.")),
    extensions(("x-problems" = json!(["unknown_reference", "webhook_unverified", "webhook_limit"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let (now, tenant, body_hash) = (state.now(), whom.tenant, body.hash());
    let Wanted { url: given, envelope, verify_token, secret, types: words, sessions: texts } = body.value;
    let id = key.id(|k| WebhookId::derived(tenant, k), |r| WebhookId::random(now, r));
    let own = own_secret(envelope, secret)?;
    if envelope == Envelope::Meta {
        let address = url(&given, &state.node.options().guard)?;
        shake_hands(&state, &address, verify_token).await?;
    } else if verify_token.is_some() {
        return Err(Problem::invalid("verify_token", "left out unless `envelope` is `meta`"));
    }
    let record = Subscription {
        id,
        tenant,
        url: url(&given, &state.node.options().guard)?,
        envelope,
        types: types(words, envelope)?,
        sessions: sessions(&state, &whom, texts).await?,
        secret: own.unwrap_or_else(|| fresh_secret(envelope)),
        old_secrets: Vec::new(),
        rotation: None,
        disabled: None,
        switched: now,
        body_hash,
        created: now,
    };
    let _turn = state.subscribing.lock().await;
    room(&state, tenant, id).await?;
    state.dispatcher.begin_webhook(tenant, id).await?;
    let created = create(&state, &key, record, |a, b| a.body_hash == b.body_hash).await?;
    if !created.replayed {
        state.dispatcher.webhook_changed(tenant, id).await?;
    }
    let secret = (!created.replayed).then(|| created.noun.secret.clone());
    Ok(answer(StatusCode::CREATED, created.replayed, Made { webhook: created.noun.into(), secret }))
}

/// `GET /v1/webhooks`
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", operation_id = "listWebhooks", summary = "List subscriptions",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    let wanted = |record: &Subscription| own(&whom, record.sessions.as_deref()).is_ok();
    chosen::<Subscription, _>(&state, whom.tenant, None, &ask, wanted).await
}

/// `GET /v1/webhooks/{id}`
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", operation_id = "getWebhook", summary = "Read a subscription and where it stands",
    params(("id" = shapes::WebhookId, Path, description = "The subscription.")), responses((status = 200, body = Stands, description = "The subscription.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<WebhookId>,
) -> Result<axum::Json<Stands>, Problem> {
    let record = found(&state, &whom, id).await?.noun;
    let standing = state.nouns().get::<Standing>(whom.tenant, id.0).await?;
    Ok(axum::Json(Stands::of(record, standing.map(|found| found.noun))))
}

/// `PATCH /v1/webhooks/{id}`: a JSON merge patch. Twice comes to the same as once.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks", operation_id = "changeWebhook", summary = "Change a subscription (JSON merge patch)",
    params(("id" = shapes::WebhookId, Path, description = "The subscription.")), request_body = Patch,
    responses((status = 200, body = Shown, description = "As it is now. What waits already is delivered to the new address.")),
    extensions(("x-problems" = json!(["unknown_reference", "webhook_unverified"]))))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<WebhookId>,
    body: Json<Patch>,
) -> Result<axum::Json<Shown>, Problem> {
    let envelope = found(&state, &whom, id).await?.noun.envelope;
    let Patch { url: given, verify_token, types: words, sessions: texts, enabled } = body.value;
    let guard = &state.node.options().guard;
    let given = given.map(|text| url(text.as_deref().unwrap_or_default(), guard)).transpose()?;
    if let Some(url) = given.as_ref().filter(|_| envelope == Envelope::Meta) {
        shake_hands(&state, url, verify_token).await?;
    }
    let words = words.map(|words| types(words, envelope)).transpose()?;
    let chosen = match texts {
        Some(texts) => Some(sessions(&state, &whom, texts).await?),
        None => None,
    };
    let now = state.now();
    let change = |record: &mut Subscription| {
        record.url = given.clone().unwrap_or_else(|| record.url.clone());
        record.types = words.clone().unwrap_or_else(|| record.types.clone());
        record.sessions = chosen.clone().unwrap_or_else(|| record.sessions.clone());
        if let Some(enabled) = enabled {
            switch(record, enabled.unwrap_or(true), now);
        }
    };
    Ok(axum::Json(edit(&state, (&whom, id), change).await?.into()))
}

/// `DELETE /v1/webhooks/{id}`: with its log and all that waits.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks", operation_id = "deleteWebhook", summary = "End a subscription",
    params(("id" = shapes::WebhookId, Path, description = "The subscription.")), responses((status = 204, description = "Gone, with its log.")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<WebhookId>,
) -> Result<StatusCode, Problem> {
    for _ in 0..TRIES {
        let stored = found(&state, &whom, id).await?;
        match state.nouns().delete::<Subscription>(whom.tenant, id.0, stored.version).await {
            Ok(()) => {
                state.dispatcher.webhook_changed(whom.tenant, id).await?;
                return Ok(StatusCode::NO_CONTENT);
            }
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict.into())
}

/// `POST /v1/webhooks/{id}/enable`: twice is once.
#[utoipa::path(post, path = "/v1/webhooks/{id}/enable", tag = "webhooks", operation_id = "enableWebhook", summary = "Deliver again where it stood",
    params(("id" = shapes::WebhookId, Path, description = "The subscription.")), responses((status = 200, body = Shown, description = "Enabled. It goes on where it stood; `missed_before` of the subscription tells when that was no longer kept.")))]
pub(crate) async fn enable(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<WebhookId>,
) -> Result<axum::Json<Shown>, Problem> {
    let now = state.now();
    let record = edit(&state, (&whom, id), |record| switch(record, true, now)).await?;
    Ok(axum::Json(record.into()))
}

/// `POST /v1/webhooks/{id}/rotate-secret`: the old secret signs besides the new one for a day. A repeat under the same
/// idempotency key replaces nothing, and shows no secret.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate-secret", tag = "webhooks", operation_id = "rotateWebhookSecret", summary = "Replace the signing secret",
    params(("id" = shapes::WebhookId, Path, description = "The subscription.")), responses((status = 200, body = Made, description = "The only answer with the new secret; a replay has none. Until `old_secrets_until` every delivery is signed with the old one as well.")))]
pub(crate) async fn rotate(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    Id(id): Id<WebhookId>,
) -> Result<Response, Problem> {
    let envelope = found(&state, &whom, id).await?.noun.envelope;
    let (now, fresh) = (state.now(), fresh_secret(envelope));
    let rotation = key.0.as_ref().map(|key| secret::digest_hex(key.as_bytes()));
    let change = |record: &mut Subscription| {
        if rotation.is_some() && record.rotation == rotation {
            return;
        }
        let old = OldSecret { secret: record.secret.clone(), until: now.plus_ms(OLD_SECRET_MS) };
        record.old_secrets.retain(|old| old.until > now);
        record.old_secrets.insert(0, old);
        record.old_secrets.truncate(OLD_SECRETS_MAX);
        (record.secret, record.rotation) = (fresh.clone(), rotation.clone());
    };
    let record = edit(&state, (&whom, id), change).await?;
    let replayed = record.secret != fresh;
    let secret = (!replayed).then_some(fresh);
    Ok(answer(StatusCode::OK, replayed, Made { webhook: record.into(), secret }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_absolute_and_names_nobody() {
        let guard = Guard::PublicOnly;
        for good in ["https://example.com", "http://1.1.1.1:9/a?b=c", " https://[2606:4700::1]:8443/x "] {
            assert!(url(good, &guard).is_ok(), "{good}");
        }
        let long = format!("https://example.com/{}", "x".repeat(URL_MAX));
        for wrong in [
            "",
            "/a",
            "example.com",
            "ftp://example.com",
            "https://a:b@example.com",
            "https://",
            "https://e.x/#a",
            &long,
        ] {
            assert!(url(wrong, &guard).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_whose_text_shows_that_it_is_inside_is_refused_at_once_unless_it_is_allowed() {
        let allowed = Guard::PublicAnd("127.0.0.0/8".parse().unwrap());
        for inside in ["http://127.0.0.1:9/", "http://0x7f.1/", "http://2130706433", "https://localhost./x"] {
            let told = url(inside, &Guard::PublicOnly).unwrap_err();
            assert!(format!("{told:?}").contains("public internet"), "{inside}: {told:?}");
            assert!(url(inside, &allowed).is_ok(), "{inside}");
        }
        for inside in
            ["http://10.0.0.1/", "http://[::1]/", "http://169.254.169.254/", "http://[::ffff:a00:1]/"]
        {
            assert!(url(inside, &allowed).is_err(), "{inside}");
        }
    }

    #[test]
    fn a_secret_is_of_the_standards_form_and_never_the_same() {
        let one = fresh_secret(Envelope::Kabar);
        let key = STANDARD.decode(one.strip_prefix("whsec_").unwrap()).unwrap();
        assert!(key.len() == 24 && one != fresh_secret(Envelope::Kabar));
    }
}
