//! `/v1/sessions`: linked WhatsApp numbers. The access token goes in and never comes out.

mod health;

use super::app::AppId;
use super::name;
use crate::auth::For;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, chosen};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_actors::view::SessionView;
use kabar_engine::id::SessionId;
use kabar_schema::records::{MetaApp, Session};
use serde::{Deserialize, Serialize};
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
#[schema(as = NewSession, example = json!({"name": "Orders", "app": "app_0dwd35p6e5amv", "phone_number_id": "106540352242922", "display_phone_number": "+62 812 3456 7890", "access_token": "EAAJB…", "messages_per_second": 80}))]
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
}

/// A session as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::SessionId)]
    id: SessionId,
    name: String,
    #[schema(value_type = shapes::AppId)]
    app: AppId,
    phone_number_id: String,
    display_phone_number: String,
    api_version: String,
    messages_per_second: u32,
    pair_limit: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    created: Time,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
    /// How it does in WhatsApp's eyes; told of a session that is read alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<health::Shown>,
}

/// How it does now.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionNow)]
struct Live {
    #[schema(value_type = shapes::SessionState)]
    state: &'static str,
    outbox: usize,
    paused_until: Option<Time>,
    last_success: Option<Time>,
}

impl From<SessionView> for Live {
    fn from(view: SessionView) -> Self {
        Self {
            state: view.state,
            outbox: view.outbox,
            paused_until: view.paused_until.map(Time),
            last_success: view.last_success.map(Time),
        }
    }
}

impl From<Session> for Shown {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            name: session.name,
            app: AppId(session.app),
            phone_number_id: session.phone_number_id,
            display_phone_number: session.display_phone_number,
            api_version: session.api_version,
            messages_per_second: session.messages_per_second,
            pair_limit: session.pair_limit,
            base_url: session.base_url,
            created: Time(session.created),
            live: None,
            health: None,
        }
    }
}

/// `POST /v1/sessions`
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", operation_id = "createSession", summary = "Link a WhatsApp number",
    request_body = Wanted, responses((status = 201, body = Shown, description = "Created, or the earlier answer.")),
    extensions(("x-problems" = json!(["already_linked", "unknown_reference"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    if whom.sessions().is_some() {
        return Err(For::not_for("The key is for some sessions only, and this one is none of them."));
    }
    let (now, tenant) = (state.now(), whom.tenant);
    let id = key.id(|k| SessionId::derived(tenant, k), |r| SessionId::random(now, r));
    let session = check(&whom, id, body.value)?;
    let app = state.nouns().get::<MetaApp>(tenant, session.app).await?;
    app.ok_or_else(|| Problem::unknown_reference("app", "app"))?;
    // A webhook names nothing but this id, so it leads to one session only.
    let linked = state.nouns().find::<Session>(Session::PHONE_NUMBER_ID, &session.phone_number_id).await?;
    if linked.is_some_and(|linked| linked.noun.id != id || linked.noun.tenant != tenant) {
        return Err(Problem::new(Code::AlreadyLinked, "Another session has this phone_number_id."));
    }
    let session = Session { created: now, ..session };
    let same = |a: &Session, b: &Session| *a == Session { created: a.created, ..b.clone() };
    let created = create(&state, &key, session, same).await?;
    Ok(answer(StatusCode::CREATED, created.replayed, Shown::from(created.noun)))
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
    let token = wanted.access_token;
    if !(1..=TOKEN_MAX).contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::invalid("access_token", format!("1 to {TOKEN_MAX} characters without spaces")));
    }
    let version = wanted.api_version.unwrap_or_else(|| API_VERSION.to_owned());
    let number = version.strip_prefix('v').and_then(|v| v.split_once('.'));
    let short = |n: &str| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    if !number.is_some_and(|(major, minor)| short(major) && short(minor)) {
        return Err(Problem::invalid("api_version", "a version such as v23.0"));
    }
    let rate = wanted.messages_per_second.unwrap_or(RATE);
    if !(1..=RATE_MAX).contains(&rate) {
        return Err(Problem::invalid("messages_per_second", format!("from 1 to {RATE_MAX}")));
    }
    if wanted.base_url.is_some() && !whom.operator {
        // A tenant who could name any address would reach into the operator's network.
        let detail = "`base_url` is set by the operator: send it with the operator's key and Kabar-Tenant.";
        return Err(Problem::new(Code::OperatorOnly, detail).at("base_url"));
    }
    Ok(Session {
        id,
        tenant: whom.tenant,
        name: name(&wanted.name)?,
        app: wanted.app.0,
        phone_number_id: wanted.phone_number_id,
        display_phone_number: display,
        base_url: wanted.base_url.map(|url| base_url(&url)).transpose()?,
        api_version: version,
        access_token: token,
        messages_per_second: rate,
        pair_limit: wanted.pair_limit.unwrap_or(true),
        created: kabar_engine::time::Timestamp::default(),
    })
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

/// `GET /v1/sessions/{id}`: with how it does now.
#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions", operation_id = "getSession", summary = "Read a session and how it does now",
    params(("id" = shapes::SessionId, Path, description = "The session.")), responses((status = 200, body = Shown, description = "The session.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
) -> Result<axum::Json<Shown>, Problem> {
    let found = state.nouns().get::<Session>(whom.tenant, id.0).await?;
    let session = found.ok_or_else(|| Problem::no_such("session"))?.noun;
    whom.check_session(id)?;
    let live = state.dispatcher.session(whom.tenant, id).await?.map(Live::from);
    let health = Some(state.node.health(whom.tenant, id).await?.into());
    Ok(axum::Json(Shown { live, health, ..session.into() }))
}
