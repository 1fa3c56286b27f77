//! `/v1/sessions`: linked WhatsApp numbers. The access token goes in and never comes out; before it is kept, Meta is asked
//! whether it works for the number.

pub(crate) mod block;
pub(crate) mod change;
pub(crate) mod health;
pub(crate) mod profile;
pub(crate) mod registration;
pub(crate) mod shown;
pub(crate) mod subscribed_app;

use super::app::{AppId, is_meta_id};
use super::name;
use crate::auth::For;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, chosen};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_actors::account::{Account, NumberLook, rate};
use kabar_engine::id::{SessionId, TenantId};
use kabar_schema::records::{MetaApp, Number, Session};
use serde::Deserialize;
use shown::Shown;
use utoipa::ToSchema;

/// The Graph API's version when none is named.
const API_VERSION: &str = "v23.0";
/// Meta's standard throughput, messages a second.
const RATE: u32 = 80;
/// Meta's highest throughput, messages a second.
const RATE_MAX: u32 = 1_000;
/// Longest access token, characters.
const TOKEN_MAX: usize = 2_048;

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewSession, example = json!({"name": "Orders", "app": "app_0dwd35p6e5amv", "phone_number_id": "106540352242922", "display_phone_number": "+62 812 3456 7890", "access_token": "EAAJB…", "waba_id": "102290129340398"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    #[schema(value_type = shapes::AppId)]
    app: AppId,
    phone_number_id: String,
    display_phone_number: String,
    access_token: String,
    api_version: Option<String>,
    messages_per_second: Option<u32>,
    pair_limit: Option<bool>,
    base_url: Option<String>,
    /// Meta's id of the WhatsApp Business Account the number is of; Meta is asked when it is not said.
    waba_id: Option<String>,
    /// Whether Meta is asked first if the token works for the number; without it the session is taken as it is said.
    #[schema(default = true)]
    validate: Option<bool>,
}

/// `POST /v1/sessions`
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", operation_id = "createSession", summary = "Link a WhatsApp number, after Meta was asked whether its token works",
    request_body = Wanted, responses((status = 201, body = Shown, description = "Created, or the earlier answer.")),
    extensions(("x-problems" = json!(["already_linked", "unknown_reference", "token_refused", "token_lacks_permission", "number_unknown", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    if whom.sessions().is_some() {
        return Err(For::not_for("The key is for some sessions only, and this one is none of them."));
    }
    let (now, tenant, hash) = (state.now(), whom.tenant, body.hash());
    let id = key.id(|k| SessionId::derived(tenant, k), |r| SessionId::random(now, r));
    let (waba, validate) = (body.value.waba_id.clone(), body.value.validate.unwrap_or(true));
    let own_pace = body.value.messages_per_second.is_some();
    let mut session = Session { created: now, ..check(&whom, id, body.value)? };
    let app = state.nouns().get::<MetaApp>(tenant, session.app).await?;
    app.ok_or_else(|| Problem::unknown_reference("app", "app"))?;
    // A webhook names nothing but this id, so it leads to one session only.
    let linked = state.nouns().find::<Session>(Session::PHONE_NUMBER_ID, &session.phone_number_id).await?;
    if linked.is_some_and(|linked| linked.noun.id != id || linked.noun.tenant != tenant) {
        return Err(Problem::new(Code::AlreadyLinked, "Another session has this phone_number_id."));
    }
    // A repeat is answered before Meta is asked again: the token may have been replaced since.
    let known = state.nouns().get::<Number>(tenant, id.0).await?.map(|known| known.noun);
    let repeated = known.is_some_and(|known| known.body_hash == hash);
    let look = match validate && !repeated {
        true => Some(state.dispatcher.look(&session, waba.as_deref()).await?),
        false => None,
    };
    if let Some(look) = look.as_ref().filter(|_| !own_pace) {
        session.messages_per_second = rate(&look.facts);
    }
    let same = |a: &Session, b: &Session| {
        let pace = if own_pace { a.messages_per_second } else { b.messages_per_second };
        repeated
            || *a == Session { created: a.created, messages_per_second: a.messages_per_second, ..b.clone() }
                && pace == b.messages_per_second
    };
    let created = create(&state, &key, session, same).await?;
    if !created.replayed {
        note(&state, (tenant, id), look.as_ref(), (waba, hash)).await?;
    }
    let shown = Shown::of(&state, created.noun).await?;
    Ok(answer(StatusCode::CREATED, created.replayed, shown))
}

/// Keeps what was learnt, and reads the account's templates behind the answer.
async fn note(
    state: &ApiState,
    (tenant, id): (TenantId, SessionId),
    look: Option<&NumberLook>,
    (waba, hash): (Option<String>, String),
) -> Result<(), Problem> {
    let given = |number: &mut Number| {
        number.body_hash.clone_from(&hash);
        if waba.is_some() {
            (number.waba_id, number.waba_given) = (waba.clone(), true);
        }
    };
    let known = match look {
        Some(look) => state.dispatcher.note_number((tenant, id), Ok(look), given).await?,
        None => state.dispatcher.name_account((tenant, id), given).await?,
    };
    if look.is_some() && known.waba_id.is_some() {
        let dispatcher = state.dispatcher.clone();
        tokio::spawn(async move {
            if let Err(error) = dispatcher.sync_provider_templates(tenant, id).await {
                tracing::debug!(%error, "a new session's templates could not be read now");
            }
        });
    }
    Ok(())
}

/// The tenant's session with its way to Meta, when the key is for it.
pub(crate) async fn account(state: &ApiState, whom: &For, id: SessionId) -> Result<Account, Problem> {
    let account = state.dispatcher.account(whom.tenant, id).await?;
    whom.check_session(id)?;
    Ok(account)
}

fn check(whom: &For, id: SessionId, wanted: Wanted) -> Result<Session, Problem> {
    let digits = |text: &str| (5..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(&wanted.phone_number_id) {
        return Err(Problem::invalid("phone_number_id", "5 to 20 digits, as WhatsApp Manager shows them"));
    }
    let display: String = wanted.display_phone_number.chars().filter(char::is_ascii_digit).collect();
    if !digits(&display) {
        return Err(Problem::invalid("display_phone_number", "a phone number with its country code"));
    }
    if wanted.base_url.is_some() && !whom.operator {
        // A tenant who could name any address would reach into the operator's network.
        let detail = "`base_url` is set by the operator: send it with the operator's key and Kabar-Tenant.";
        return Err(Problem::new(Code::OperatorOnly, detail).at("base_url"));
    }
    check_account(wanted.waba_id.as_deref())?;
    Ok(Session {
        id,
        tenant: whom.tenant,
        name: name(&wanted.name)?,
        app: wanted.app.0,
        phone_number_id: wanted.phone_number_id,
        display_phone_number: display,
        base_url: wanted.base_url.map(|url| base_url(&url)).transpose()?,
        api_version: version(wanted.api_version.unwrap_or_else(|| API_VERSION.to_owned()))?,
        access_token: token(wanted.access_token)?,
        messages_per_second: pace(wanted.messages_per_second.unwrap_or(RATE))?,
        pair_limit: wanted.pair_limit.unwrap_or(true),
        created: kabar_engine::time::Timestamp::default(),
    })
}

fn check_account(waba: Option<&str>) -> Result<(), Problem> {
    match waba {
        Some(waba) if !is_meta_id(waba) => {
            Err(Problem::invalid("waba_id", "5 to 20 digits, as WhatsApp Manager shows them"))
        }
        _ => Ok(()),
    }
}

fn token(token: String) -> Result<String, Problem> {
    let good = (1..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    let refused = || Problem::invalid("access_token", format!("1 to {TOKEN_MAX} characters without spaces"));
    good.then_some(token).ok_or_else(refused)
}

fn version(version: String) -> Result<String, Problem> {
    let number = version.strip_prefix('v').and_then(|v| v.split_once('.'));
    let short = |n: &str| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    let good = number.is_some_and(|(major, minor)| short(major) && short(minor));
    good.then_some(version).ok_or_else(|| Problem::invalid("api_version", "a version such as v23.0"))
}

fn pace(rate: u32) -> Result<u32, Problem> {
    let good = (1..=RATE_MAX).contains(&rate).then_some(rate);
    good.ok_or_else(|| Problem::invalid("messages_per_second", format!("from 1 to {RATE_MAX}")))
}

/// `http(s)://host[:port][/path]` without the slash at its end.
fn base_url(given: &str) -> Result<String, Problem> {
    let url = given.trim_end_matches('/');
    let parsed: Option<axum::http::Uri> = url.parse().ok();
    let good = parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    if good {
        Ok(url.to_owned())
    } else {
        Err(Problem::invalid("base_url", "an address such as https://host"))
    }
}

/// `GET /v1/sessions`
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", operation_id = "listSessions", summary = "List sessions",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    chosen::<Session, _>(&state, whom.tenant, None, &ask, |session| whom.may_use(session.id)).await
}

/// `GET /v1/sessions/{id}`: with how it does now, and what Meta says of its number.
#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions", operation_id = "getSession", summary = "Read a session, how it does now, and what Meta said of its number",
    params(("id" = shapes::SessionId, Path, description = "The session.")), responses((status = 200, body = Shown, description = "The session.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
) -> Result<axum::Json<Shown>, Problem> {
    let found = state.nouns().get::<Session>(whom.tenant, id.0).await?;
    let session = found.ok_or_else(|| Problem::no_such("session"))?.noun;
    whom.check_session(id)?;
    Ok(axum::Json(Shown::of(&state, session).await?))
}
